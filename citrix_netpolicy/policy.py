"""The policy: groups and their rules, in words that no cloud, file or catalogue owns.

What a deployment compiles to and what is read from a folder are policies alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

from citrix_netpolicy.net import Prefix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from citrix_netpolicy.errors import Mark
    from citrix_netpolicy.net import Service

__all__ = [
    "Cause",
    "Direction",
    "ExistingGroup",
    "Group",
    "GroupKey",
    "GroupReference",
    "Origin",
    "Peer",
    "Policy",
    "PrefixList",
    "Rule",
    "ServiceTag",
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


Peer = Prefix | GroupReference | PrefixList | ExistingGroup | ServiceTag
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


@dataclass(frozen=True, slots=True)
class Group:
    """A group, with its rules in `rule_order`."""

    key: GroupKey
    rules: tuple[Rule, ...]

    @property
    def tier(self) -> str:
        """The key of the tier whose machines carry this group."""
        return self.key.tier

    @property
    def network(self) -> str:
        """The network that holds the group."""
        return self.key.network

    def side(self, direction: Direction) -> tuple[Rule, ...]:
        """Return the rules of one direction."""
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
