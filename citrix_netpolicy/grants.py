"""Grants: what one direction of a group permits, and why, before there are rules.

A flow of 400 prefixes and ten ports is one grant and 4,000 rules. So reach and causes are found from grants:
the line of addresses is cut where the prefixes of ends begin and end, and each piece knows which ends it
belongs to.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from citrix_netpolicy.net import BITS, Prefix, Service, ServiceSet, joined_runs
from citrix_netpolicy.policy import Rule, rule_order
from citrix_netpolicy.traffic import Reach, ReachingRules, Segment, sorted_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from citrix_netpolicy.policy import Cause, Direction, Peer, Point

__all__ = ["Grant", "GrantedRules", "Grants", "PrefixSet", "SpelledOut", "grants_of"]


@dataclass(frozen=True, slots=True, eq=False)
class PrefixSet:
    """The prefixes of one end in one family, as declared. Two ends with equal prefixes stay two."""

    version: int
    prefixes: tuple[Prefix, ...]
    runs: tuple[tuple[int, int], ...]  # the addresses, first and last inclusive; ascending, with gaps between

    @classmethod
    def of(cls, prefixes: Sequence[Prefix]) -> PrefixSet:
        """Return the set of some prefixes of one family; there is at least one."""
        runs = joined_runs((prefix.first, prefix.last) for prefix in prefixes)
        return cls(prefixes[0].version, tuple(prefixes), runs)


class Grant(NamedTuple):
    """Services that are permitted for the same causes, to or from one end: its prefixes, or a point."""

    peers: PrefixSet | Point
    services: ServiceSet
    causes: tuple[Cause, ...]


class _Piece(NamedTuple):
    """Consecutive addresses that belong to the same ends; bit n of `ends` is the n-th set of its family."""

    first: int
    last: int
    ends: int


class Grants:
    """The grants of one direction of one group."""

    def __init__(self, direction: Direction, grants: Iterable[Grant]) -> None:
        self.direction = direction
        self.of_sets: dict[int, dict[PrefixSet, list[Grant]]] = {version: {} for version in BITS}
        self.of_points: dict[Point, list[Grant]] = {}
        for grant in grants:
            if isinstance(grant.peers, PrefixSet):
                self.of_sets[grant.peers.version].setdefault(grant.peers, []).append(grant)
            else:
                self.of_points.setdefault(grant.peers, []).append(grant)
        self._services: dict[tuple[int, int], ServiceSet] = {}
        self._lines: dict[tuple[int, int], _Line] = {}
        self._causes: dict[tuple[Any, ...], tuple[Cause, ...]] = {}

    def __iter__(self) -> Iterator[Grant]:
        for sets in self.of_sets.values():
            for grants in sets.values():
                yield from grants
        for grants in self.of_points.values():
            yield from grants

    @cached_property
    def reach(self) -> Reach:
        """What the grants permit together."""
        segments: list[Segment] = []
        for version, pieces in self._pieces.items():
            run: list[Any] = []
            for first, last, ends in pieces:
                services = self._services_of(version, ends)
                if run and run[1] + 1 == first and run[2] == services:
                    run[1] = last
                    continue
                if run and run[2]:
                    segments.append(Segment(version, *run))
                run = [first, last, services]
            if run and run[2]:
                segments.append(Segment(version, *run))
        points = {peer: _union(grants) for peer, grants in self.of_points.items()}
        return Reach(tuple(segments), sorted_points(points))

    def cells(self, most: int) -> int:
        """Return how many pairs of a stretch of addresses and a range of services there are to look at.

        Counting ends above `most`, since it would take as long as the look itself.
        """
        counted = 0
        for version, pieces in self._pieces.items():
            sizes = [sum(len(grant.services.ranges) for grant in grants) for grants in self._grants[version]]
            for ends in {piece.ends for piece in pieces}:
                left = ends
                while left and counted <= most:
                    lowest = left & -left
                    counted += sizes[lowest.bit_length() - 1]
                    left ^= lowest
            counted += len(pieces)
        return counted

    def causes(self, peers: Iterable[Peer], services: Iterable[Service]) -> tuple[Cause, ...]:
        """Return the causes of all grants that permit a part of peers x services, sorted."""
        ends = dict.fromkeys(BITS, 0)
        points: list[Point] = []
        for peer in peers:
            if isinstance(peer, Prefix):
                ends[peer.version] |= self._ends(peer)
            else:
                points.append(peer)
        wanted = tuple(services)
        key = (*ends.values(), tuple(points), wanted)
        if key not in self._causes:
            asked = ServiceSet.of(*wanted).ranges
            lines = [self._line(version, mask) for version, mask in ends.items() if mask]
            lines += [_Line(self.of_points.get(point, ())) for point in points]
            found = {cause for line in lines for grant in line.meeting(asked) for cause in grant.causes}
            self._causes[key] = tuple(sorted(found))
        return self._causes[key]

    @cached_property
    def _pieces(self) -> dict[int, list[_Piece]]:
        """The line of each family, cut where prefixes of ends begin and end."""
        return {version: _cut(list(sets)) for version, sets in self.of_sets.items()}

    @cached_property
    def _starts(self) -> dict[int, list[int]]:
        return {version: [piece.first for piece in pieces] for version, pieces in self._pieces.items()}

    @cached_property
    def _grants(self) -> dict[int, list[list[Grant]]]:
        return {version: list(sets.values()) for version, sets in self.of_sets.items()}

    def _ends(self, prefix: Prefix) -> int:
        """Return the ends that have an address of a prefix."""
        pieces = self._pieces[prefix.version]
        at = max(0, bisect_left(self._starts[prefix.version], prefix.first + 1) - 1)
        ends = 0
        while at < len(pieces) and pieces[at].first <= prefix.last:
            if pieces[at].last >= prefix.first:
                ends |= pieces[at].ends
            at += 1
        return ends

    def _line(self, version: int, ends: int) -> _Line:
        found = self._lines.get((version, ends))
        if found is None:
            found = self._lines[version, ends] = _Line(self._granted(version, ends))
        return found

    def _granted(self, version: int, ends: int) -> Iterator[Grant]:
        """Yield the grants of some ends."""
        grants = self._grants[version]
        while ends:
            lowest = ends & -ends
            yield from grants[lowest.bit_length() - 1]
            ends ^= lowest

    def _services_of(self, version: int, ends: int) -> ServiceSet:
        found = self._services.get((version, ends))
        if found is None:
            found = self._services[version, ends] = _union(self._granted(version, ends))
        return found


class _Line:
    """Grants laid on the line of services, to find those that meet some without a look at all others."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        spans = [(low, high, grant) for grant in grants for low, high in grant.services.ranges]
        spans.sort(key=itemgetter(0, 1))
        self.grants = [grant for _, _, grant in spans]
        self.lows = [low for low, _, _ in spans]
        self.highs = [high for _, high, _ in spans]
        # No span up to here reaches further, so those that end before a service are passed over at once.
        self.tops = list(accumulate(self.highs, max))

    def meeting(self, ranges: Iterable[tuple[int, int]]) -> Iterator[Grant]:
        """Yield the grants that share a part with one of these ranges, some of them more than once."""
        for first, last in ranges:
            for at in range(bisect_left(self.tops, first), bisect_right(self.lows, last)):
                if self.highs[at] >= first:
                    yield self.grants[at]


def _cut(sets: Sequence[PrefixSet]) -> list[_Piece]:
    """Cut the addresses of some sets where one of them begins or ends."""
    changes: dict[int, int] = {}
    for number, one in enumerate(sets):
        bit = 1 << number
        for first, last in one.runs:
            changes[first] = changes.get(first, 0) ^ bit
            changes[last + 1] = changes.get(last + 1, 0) ^ bit
    edges = sorted(changes)
    pieces: list[_Piece] = []
    ends = 0
    for first, end in pairwise(edges):
        ends ^= changes[first]
        if ends:
            pieces.append(_Piece(first, end - 1, ends))
    return pieces


def _union(grants: Iterable[Grant]) -> ServiceSet:
    parts = {grant.services for grant in grants}
    if len(parts) == 1:
        return parts.pop()
    return ServiceSet.union(parts)


class GrantedRules(ReachingRules):
    """Rules that say what some grants permit."""

    def __init__(self, grants: Grants) -> None:
        self.grants = grants

    @property
    def reach(self) -> Reach:
        """What they permit together."""
        return self.grants.reach


class SpelledOut(GrantedRules):
    """Each grant said on its own: one rule for each of its prefixes and services."""

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return sum(_size(grant) * len(grant.services.blocks()) for grant in self.grants)

    def _make(self) -> Iterable[Rule]:
        direction = self.grants.direction
        return sorted(
            (
                Rule(direction, peer, service, grant.causes)
                for grant in self.grants
                for peer in (grant.peers.prefixes if isinstance(grant.peers, PrefixSet) else (grant.peers,))
                for service in grant.services.blocks()
            ),
            key=rule_order,
        )


def _size(grant: Grant) -> int:
    return len(grant.peers.prefixes) if isinstance(grant.peers, PrefixSet) else 1


def grants_of(direction: Direction, rules: Iterable[Rule]) -> Grants:
    """Return the grants that rules of one direction come from; rules that do not know are a grant each."""
    if isinstance(rules, GrantedRules):
        return rules.grants
    sets: dict[Prefix, PrefixSet] = {}
    grants = []
    for rule in rules:
        peers: PrefixSet | Point
        if isinstance(rule.peer, Prefix):
            peers = sets.setdefault(rule.peer, PrefixSet.of([rule.peer]))
        else:
            peers = rule.peer
        grants.append(Grant(peers, ServiceSet.of(rule.service), rule.causes))
    return Grants(direction, grants)
