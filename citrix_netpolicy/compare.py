"""Two policies held against each other as traffic, whatever rules say it, and told by pairs of ends.

A policy may name a tier by its group or by its addresses, and two clouds spell one policy in two ways. What
counts is who may open what to whom: groups of tiers become their addresses, and what differs is set algebra.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from citrix_netpolicy.ends import Ends
from citrix_netpolicy.grants import grants_of
from citrix_netpolicy.net import BITS, Prefix, ServiceSet
from citrix_netpolicy.policy import Direction, GroupReference, LazyRules
from citrix_netpolicy.traffic import Reach, Segment, Traffic, reach_of, reach_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from citrix_netpolicy.grants import Grants
    from citrix_netpolicy.policy import Cause, Origin, Peer, Policy, Rule

__all__ = ["Comparison", "Difference", "Packet", "Sight", "Verdict", "compare"]


class Verdict(StrEnum):
    """How what is there now stands to what was, or to what is required."""

    EQUIVALENT = "equivalent"
    NARROWER = "narrower"
    BROADER = "broader"
    INCOMPARABLE = "incomparable"

    @classmethod
    def of(cls, *, is_more: bool, is_less: bool) -> Verdict:
        """Return the verdict where something is opened, closed, both or neither."""
        if is_more:
            return cls.INCOMPARABLE if is_less else cls.BROADER
        return cls.NARROWER if is_less else cls.EQUIVALENT


@dataclass(frozen=True)
class Sight:
    """A policy, and what is known of addresses where it holds.

    `subnets` are those of each tier, for rules that name a tier by its group. `ends` tells who has which
    addresses. `moved` says where files were read and what people call that place, where the two differ.
    """

    policy: Policy
    subnets: Mapping[str, Sequence[Prefix]] = field(default_factory=dict)
    ends: Ends = field(default_factory=Ends)
    moved: tuple[str, str] = ("", "")

    @cached_property
    def traffic(self) -> Traffic:
        """What the policy permits, with the addresses of tiers in place of their groups."""
        return Traffic(
            tuple(
                (group.tier, way, reach)
                for group in self.policy.groups
                for way in sorted(Direction)
                if (reach := self._addressed(reach_of(group.side(way)))) != Reach()
            )
        )

    def _addressed(self, reach: Reach) -> Reach:
        """Return a reach in which a group of a known tier is its addresses."""
        known: dict[Prefix, ServiceSet] = {}
        for peer, services in reach.points:
            for prefix in self.subnets.get(peer.tier, ()) if isinstance(peer, GroupReference) else ():
                part = services.without_icmp_beside({prefix.version})
                known[prefix] = known[prefix] | part if prefix in known else part
        if not known:
            return reach
        points = tuple(
            (peer, services)
            for peer, services in reach.points
            if not (isinstance(peer, GroupReference) and peer.tier in self.subnets)
        )
        return Reach(reach.segments, points).combine(reach_to(known), ServiceSet.__or__)

    def named(self, peer: Peer | Segment) -> tuple[str, ...]:
        """Return what a peer is called: the ends that have its addresses, or else what it is."""
        if not isinstance(peer, Segment):
            return (str(peer),)
        prefixes = tuple(peer.prefixes())
        if prefixes == (Prefix(peer.version, 0, 0),):
            # Whoever is anybody has a name of the deployment's own.
            world = [name for name, held in self.ends.prefixes.items() if prefixes[0] in held]
            return tuple(sorted(world)) or ("any address",)
        return self.ends.named(prefixes) or tuple(map(str, prefixes))

    def causes(
        self, tier: str, way: Direction, peer: Peer | Segment, services: ServiceSet
    ) -> tuple[Cause, ...]:
        """Return why a group permits some of this; nothing where its rules do not say."""
        grants = self._grants.get((tier, way))
        if grants is None:
            return ()
        peers: list[Peer] = [*peer.prefixes()] if isinstance(peer, Segment) else [peer]
        known = [one for one in peers if not isinstance(one, Prefix) or grants.of_sets[one.version]]
        # A rule may name the tier that has these addresses by its group.
        known += (
            point
            for point in grants.of_points
            if isinstance(peer, Segment) and isinstance(point, GroupReference) and self._has(point.tier, peer)
        )
        return tuple(map(self._placed, grants.causes(known, services.blocks())))

    def _has(self, tier: str, segment: Segment) -> bool:
        """Tell whether a tier has some of these addresses."""
        return any(
            prefix.version == segment.version
            and prefix.first <= segment.last
            and segment.first <= prefix.last
            for prefix in self.subnets.get(tier, ())
        )

    @cached_property
    def _grants(self) -> dict[tuple[str, Direction], Grants]:
        sides = ((group.tier, way, group.side(way)) for group in self.policy.groups for way in Direction)
        return {(tier, way): grants_of(way, side) for tier, way, side in sides}

    def _placed(self, cause: Cause) -> Cause:
        """Return a cause with the place that its file has for people."""
        scratch, place = self.moved
        if not scratch or cause.mark is None or not cause.mark.file.startswith(scratch):
            return cause
        name = cause.mark.file.removeprefix(scratch).lstrip("/\\")
        return replace(cause, mark=replace(cause.mark, file=f"{place}:{name}"))

    def origins(self, tier: str, way: Direction, services: ServiceSet) -> tuple[Origin, ...]:
        """Return where rules of a group were read that open some of these services."""
        met = (rule.origin for rule in self._read.get((tier, way), ()) if services.meets(rule.service))
        return tuple(dict.fromkeys(origin for origin in met if origin))

    @cached_property
    def _read(self) -> dict[tuple[str, Direction], list[Rule]]:
        """The rules that were read from somewhere; those that were compiled are not asked to be made."""
        found: dict[tuple[str, Direction], list[Rule]] = {}
        for group in self.policy.groups:
            for way in Direction:
                side = group.side(way)
                if not isinstance(side, LazyRules):
                    found[group.tier, way] = [rule for rule in side if rule.origin]
        return found


class Packet(NamedTuple):
    """One connection that makes the difference: the address of the peer, and what is opened."""

    peer: str
    service: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What one side permits and the other does not, between two ends, as the group of a tier sees it.

    `is_opened` tells whether the second side has it. `tier` is that whose group says so, `way` its direction.
    """

    source: str
    destination: str
    services: ServiceSet
    is_opened: bool
    tier: str
    way: Direction
    packet: Packet
    causes: tuple[Cause, ...] = ()
    origins: tuple[Origin, ...] = ()
    is_new_pair: bool = False

    @property
    def pair(self) -> tuple[str, str]:
        """Who opens connections to whom."""
        return (self.source, self.destination)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two policies, with a verdict for each pair of ends and for all.

    `respelled` counts rules that one side has and the other has not, although the pair of ends has no
    difference: they say the same in other words. `tiers` are all that have a group on one of the sides.
    """

    differences: tuple[Difference, ...]
    verdicts: Mapping[tuple[str, str], Verdict]
    respelled: int = 0
    tiers: frozenset[str] = frozenset()

    @property
    def verdict(self) -> Verdict:
        """The verdict of the whole."""
        return Verdict.of(
            is_more=any(found.is_opened for found in self.differences),
            is_less=any(not found.is_opened for found in self.differences),
        )


def compare(old: Sight, new: Sight) -> Comparison:
    """Return how a policy differs from an older one, or what is found from what is required."""
    before, after = old.traffic, new.traffic
    old_pairs, new_pairs = _pairs(old, before), _pairs(new, after)
    common = before & after
    differences = [
        *_differences(new, after - before, old_pairs, is_opened=True),
        *_differences(old, before - after, new_pairs, is_opened=False),
    ]
    differences.sort(key=lambda one: (one.pair, not one.is_opened, one.tier, one.way, str(one.services)))
    more, less = ({one.pair for one in differences if one.is_opened is way} for way in (True, False))
    verdicts = {
        pair: Verdict.of(is_more=pair in more, is_less=pair in less)
        for pair in sorted(_pairs(new, common) | more | less)
    }
    tiers = frozenset(group.tier for sight in (old, new) for group in sight.policy.groups)
    return Comparison(tuple(differences), verdicts, _respelled(old, new, differences), tiers)


def _pair(tier: str, way: Direction, peer: str) -> tuple[str, str]:
    return (peer, tier) if way is Direction.INGRESS else (tier, peer)


def _pairs(sight: Sight, traffic: Traffic) -> set[tuple[str, str]]:
    return {
        _pair(permission.group, permission.direction, name)
        for permission in traffic.permissions()
        for name in sight.named(permission.peer)
    }


def _differences(
    sight: Sight, traffic: Traffic, known: set[tuple[str, str]], *, is_opened: bool
) -> Iterator[Difference]:
    """Yield what is left of the traffic of one side, a part for each pair of ends and group."""
    parts: dict[tuple[str, Direction, str], list[tuple[Peer | Segment, ServiceSet]]] = {}
    for tier, way, peer, services in traffic.permissions():
        for name in sight.named(peer):
            parts.setdefault((tier, way, name), []).append((peer, services))
    for (tier, way, name), found in parts.items():
        services = ServiceSet.union(some for _, some in found)
        causes = {cause for peer, some in found for cause in sight.causes(tier, way, peer, some)}
        peer, some = found[0]
        source, destination = _pair(tier, way, name)
        yield Difference(
            source,
            destination,
            services,
            is_opened,
            tier,
            way,
            Packet(_address(peer), str(some.blocks()[0])),
            tuple(sorted(causes)),
            sight.origins(tier, way, services),
            (source, destination) not in known,
        )


def _address(peer: Peer | Segment) -> str:
    if not isinstance(peer, Segment):
        return str(peer)
    return str(Prefix(peer.version, peer.first, BITS[peer.version])).partition("/")[0]


def _respelled(old: Sight, new: Sight, differences: Iterable[Difference]) -> int:
    """Count the rules of groups without a difference that one side has and the other has not."""
    touched = {(one.tier, one.way) for one in differences}
    before, after = (
        {
            (group.tier, rule)
            for group in sight.policy.groups
            for way in Direction
            if (group.tier, way) not in touched
            for rule in group.side(way)
        }
        for sight in (old, new)
    )
    return len(before ^ after)
