"""The policy: groups and their rules, in words that no cloud, file or catalogue owns.

What a deployment compiles to and what is read from a folder are policies alike.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, overload

from citrix_netpolicy.net import Prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from citrix_netpolicy.errors import Mark
    from citrix_netpolicy.net import Service

__all__ = [
    "Cause",
    "Direction",
    "ExistingGroup",
    "Group",
    "GroupKey",
    "GroupReference",
    "LazyRules",
    "Origin",
    "Peer",
    "Point",
    "Policy",
    "PrefixList",
    "Rule",
    "ServiceTag",
    "by_peer",
    "rule_order",
]


class Direction(StrEnum):
    """The way of a connection, seen from the group."""

    INGRESS = "ingress"
    EGRESS = "egress"


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """Why a connection is permitted: a catalogue entry, a flow of the deployment's own, or a setting.

    `id` is the entry's id, `flow:` and the name of a flow, or the name of a setting. `evidence` says how well
    an entry is known. `mark` is the line of the deployment that asks for it, where there is one; it is no
    part of what a cause is.
    """

    id: str
    purpose: str
    citations: tuple[str, ...] = ()
    internet: bool = False
    kind: Literal["entry", "flow", "setting"] = "entry"
    evidence: str = "document"
    mark: Mark | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule was read: the place in a file, and the address of the resource there.

    An address is how the tool of that file names the rule, such as
    `aws_vpc_security_group_ingress_rule.this["vda/ingress/tcp/443/tier:ddc"]` or `nsg-site-vda/allow-https`.
    """

    mark: Mark | None
    address: str


class GroupKey(NamedTuple):
    """What a group is called across runs: its network, and the key of its tier (or `sg-…` when live)."""

    network: str
    tier: str


@dataclass(frozen=True, slots=True)
class GroupReference:
    """The group of a tier in the same network."""

    tier: str

    def __str__(self) -> str:
        return self.tier


@dataclass(frozen=True, slots=True)
class PrefixList:
    """A prefix list of AWS. It is the same list whatever its maximum of entries."""

    id: str
    max_entries: int = field(default=1, compare=False)

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class ExistingGroup:
    """A security group that exists outside the deployment: `sg-…` or `account/sg-…`."""

    id: str

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class ServiceTag:
    """A service tag of Azure."""

    name: str

    def __str__(self) -> str:
        return self.name


# A peer whose addresses only the cloud knows.
Point = GroupReference | PrefixList | ExistingGroup | ServiceTag
Peer = Prefix | Point
_PEER_KINDS = (GroupReference, ExistingGroup, PrefixList, ServiceTag, Prefix)


@dataclass(frozen=True, slots=True)
class Rule:
    """One permission of a group: what a peer may open, or what the group may open towards a peer.

    `causes` say why, and `origin` where it was read; neither is a part of what a rule is.
    """

    direction: Direction
    peer: Peer
    service: Service
    causes: tuple[Cause, ...] = field(default=(), compare=False)
    origin: Origin | None = field(default=None, compare=False)


def rule_order(rule: Rule) -> tuple[object, ...]:
    """Sort rules by direction, service, kind of peer, then address as a number."""
    peer = rule.peer
    place = peer if isinstance(peer, Prefix) else (str(peer),)
    ingress_first = rule.direction is Direction.EGRESS
    return (ingress_first, rule.service, _PEER_KINDS.index(type(peer)), place)


def by_peer(rule: Rule) -> tuple[object, ...]:
    """Sort rules by direction, kind of peer and peer, then service.

    Where people read rules, one whose ports move stays in its place then, beside itself in a diff.
    """
    way, service, kind, place = rule_order(rule)
    return (way, kind, place, service)


class LazyRules(Sequence[Rule]):
    """Rules in `rule_order` that are made when somebody reads them; they equal any such sequence."""

    @abstractmethod
    def _make(self) -> Iterable[Rule]:
        """Make the rules. This is called once, if at all."""

    @cached_property
    def _made(self) -> tuple[Rule, ...]:
        return tuple(self._make())

    def __len__(self) -> int:
        return len(self._made)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._made)

    @overload
    def __getitem__(self, index: int) -> Rule: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Rule, ...]: ...

    def __getitem__(self, index: int | slice) -> Rule | tuple[Rule, ...]:
        return self._made[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._made == tuple(other)

    def __hash__(self) -> int:
        return hash(self._made)

    def __repr__(self) -> str:
        return repr(self._made)


class _BothSides(LazyRules):
    """The rules of two directions."""

    def __init__(self, sides: dict[Direction, Sequence[Rule]]) -> None:
        self.sides = sides

    def _make(self) -> Iterator[Rule]:
        for rules in self.sides.values():
            yield from rules

    def __len__(self) -> int:
        return sum(map(len, self.sides.values()))


@dataclass(frozen=True, slots=True)
class Group:
    """A group, with its rules in `rule_order`."""

    key: GroupKey
    rules: Sequence[Rule]

    @classmethod
    def of_sides(cls, key: GroupKey, ingress: Sequence[Rule], egress: Sequence[Rule]) -> Group:
        """Return a group of the rules of both directions, each in `rule_order`."""
        return cls(key, _BothSides({Direction.INGRESS: ingress, Direction.EGRESS: egress}))

    @property
    def tier(self) -> str:
        """The key of the tier whose machines carry this group."""
        return self.key.tier

    @property
    def network(self) -> str:
        """The network that holds the group."""
        return self.key.network

    def side(self, direction: Direction) -> Sequence[Rule]:
        """Return the rules of one direction."""
        if isinstance(self.rules, _BothSides):
            return self.rules.sides[direction]
        return tuple(rule for rule in self.rules if rule.direction is direction)


@dataclass(frozen=True, slots=True)
class Policy:
    """Groups and their rules; the groups are sorted by tier, then network."""

    groups: tuple[Group, ...]

    @classmethod
    def of(cls, groups: Iterable[Group]) -> Policy:
        """Return the policy of these groups, in whatever order they come."""
        return cls(tuple(sorted(groups, key=lambda group: (group.tier, group.network))))

    @property
    def rule_count(self) -> int:
        """How many rules all groups have together."""
        return sum(len(group.rules) for group in self.groups)

    def group(self, tier: str) -> Group:
        """Return the group of a tier. Raises KeyError when there is none."""
        for group in self.groups:
            if group.tier == tier:
                return group
        raise KeyError(tier)

    def in_network(self, network: str) -> Policy:
        """Return the groups that lie in one network. Every figure of the result is that of this part."""
        return Policy(tuple(group for group in self.groups if group.network == network))
