"""The algebra: what rules permit, in canonical form. Equality of traffic is equality of meaning.

Addresses are numbers on a line, one line for each family. Groups, prefix lists and service tags are peers
whose addresses are not known here; each of them is a point of its own.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from citrix_netpolicy.net import BITS, EMPTY, Prefix, ServiceSet, prefixes_between
from citrix_netpolicy.policy import Direction, LazyRules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from citrix_netpolicy.policy import Group, Peer, Rule

__all__ = [
    "Permission",
    "Reach",
    "ReachingRules",
    "Segment",
    "Traffic",
    "reach_of",
    "reach_to",
    "sorted_points",
    "traffic_of",
]


class Segment(NamedTuple):
    """Consecutive addresses, `first` to `last` inclusive, that are permitted the same services."""

    version: int
    first: int
    last: int
    services: ServiceSet

    def prefixes(self) -> Iterator[Prefix]:
        """Yield the fewest prefixes that hold exactly these addresses, ascending."""
        for network, length in prefixes_between(self.version, self.first, self.last):
            yield Prefix(self.version, network, length)


class Permission(NamedTuple):
    """A part of traffic: what one group permits from or to a point, or a run of addresses."""

    group: str
    direction: Direction
    peer: Peer | Segment
    services: ServiceSet


@dataclass(frozen=True, slots=True)
class Reach:
    """What one direction of one group permits, for every peer.

    `segments` are ascending and as long as they can be; `points` are sorted. Both permit something.
    """

    segments: tuple[Segment, ...] = ()
    points: tuple[tuple[Peer, ServiceSet], ...] = ()

    def services(self, peer: Peer) -> ServiceSet:
        """Return what every address of `peer`, or the point `peer`, is permitted."""
        if not isinstance(peer, Prefix):
            return dict(self.points).get(peer, EMPTY)
        common: ServiceSet | None = None
        covered = peer.first
        for version, first, last, services in self.segments:
            if version != peer.version or last < peer.first or first > peer.last:
                continue
            if first > covered:
                return EMPTY
            common = services if common is None else common & services
            covered = last + 1
        return common if common is not None and covered > peer.last else EMPTY

    def combine(self, other: Reach, operation: Callable[[ServiceSet, ServiceSet], ServiceSet]) -> Reach:
        """Apply an operation of service sets peer by peer; it must take nothing and nothing to nothing."""
        mine, theirs = dict(self.points), dict(other.points)
        points = {
            peer: operation(mine.get(peer, EMPTY), theirs.get(peer, EMPTY))
            for peer in mine.keys() | theirs.keys()
        }
        segments: list[Segment] = []
        for version in BITS:
            left = [segment for segment in self.segments if segment.version == version]
            right = [segment for segment in other.segments if segment.version == version]
            for first, last, one, two in _aligned(left, right):
                _append(segments, Segment(version, first, last, operation(one, two)))
        return Reach(tuple(segments), sorted_points(points))


class ReachingRules(LazyRules):
    """Rules of one direction of one group whose reach is known before they are made."""

    @property
    @abstractmethod
    def reach(self) -> Reach:
        """What they permit together."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a policy permits: the reach of each direction of each group that permits anything."""

    reaches: tuple[tuple[str, Direction, Reach], ...] = ()

    def reach(self, group: str, direction: Direction) -> Reach:
        """Return what one direction of a group permits."""
        for name, way, reach in self.reaches:
            if (name, way) == (group, direction):
                return reach
        return Reach()

    def __or__(self, other: Traffic) -> Traffic:
        return self._combine(other, ServiceSet.__or__)

    def __and__(self, other: Traffic) -> Traffic:
        return self._combine(other, ServiceSet.__and__)

    def __sub__(self, other: Traffic) -> Traffic:
        return self._combine(other, ServiceSet.__sub__)

    def __le__(self, other: Traffic) -> bool:
        return not (self - other)

    def __bool__(self) -> bool:
        return bool(self.reaches)

    def permissions(self) -> Iterator[Permission]:
        """Yield the parts of this traffic, in a fixed order."""
        for group, direction, reach in self.reaches:
            for peer, services in reach.points:
                yield Permission(group, direction, peer, services)
            for segment in reach.segments:
                yield Permission(group, direction, segment, segment.services)

    def _combine(self, other: Traffic, operation: Callable[[ServiceSet, ServiceSet], ServiceSet]) -> Traffic:
        keys = sorted({key[:2] for key in (*self.reaches, *other.reaches)})
        found = ((*key, self.reach(*key).combine(other.reach(*key), operation)) for key in keys)
        return Traffic(tuple(item for item in found if item[2] != Reach()))


def traffic_of(groups: Iterable[Group]) -> Traffic:
    """Return what groups permit, such as those of a policy: `traffic_of(policy.groups)`."""
    reaches = (
        (group.tier, direction, reach_of(group.side(direction)))
        for group in sorted(groups, key=lambda group: group.tier)
        for direction in sorted(Direction)
    )
    return Traffic(tuple(item for item in reaches if item[2] != Reach()))


def reach_of(rules: Iterable[Rule]) -> Reach:
    """Return what rules of one direction of one group permit together."""
    if isinstance(rules, ReachingRules):
        return rules.reach
    services: dict[Peer, list[ServiceSet]] = {}
    for rule in rules:
        services.setdefault(rule.peer, []).append(ServiceSet.of(rule.service))
    prefixes: dict[Prefix, ServiceSet] = {}
    points: dict[Peer, ServiceSet] = {}
    for peer, parts in services.items():
        union = parts[0] if len(parts) == 1 else ServiceSet.union(parts)
        if isinstance(peer, Prefix):
            prefixes[peer] = union
        else:
            points[peer] = union
    return Reach(tuple(_segments(prefixes)), sorted_points(points))


def reach_to(services: Mapping[Prefix, ServiceSet]) -> Reach:
    """Return the reach of prefixes, each with what its addresses are permitted."""
    return Reach(tuple(_segments(dict(services))))


def sorted_points(points: Mapping[Any, ServiceSet]) -> tuple[tuple[Peer, ServiceSet], ...]:
    """Return the points that are permitted something, in the order of a reach."""
    kept = [(peer, services) for peer, services in points.items() if services]
    return tuple(sorted(kept, key=lambda item: (type(item[0]).__name__, str(item[0]))))


def _segments(prefixes: dict[Prefix, ServiceSet]) -> list[Segment]:
    """Lay prefixes on their lines. Prefixes are nested or apart, so those open at a time form a stack."""
    segments: list[Segment] = []
    stack: list[tuple[int, int, ServiceSet]] = []
    position = 0

    def close_before(version: int, address: int | None) -> None:
        nonlocal position
        while stack and (address is None or stack[-1][0] != version or stack[-1][1] < address):
            family, last, services = stack.pop()
            if position <= last:
                _append(segments, Segment(family, position, last, services))
                position = last + 1

    for prefix in sorted(prefixes):
        close_before(prefix.version, prefix.first)
        inherited = EMPTY
        if stack:
            inherited = stack[-1][2]
            if position < prefix.first:
                _append(segments, Segment(prefix.version, position, prefix.first - 1, inherited))
        position = prefix.first
        stack.append((prefix.version, prefix.last, inherited | prefixes[prefix]))
    close_before(0, None)
    return segments


def _append(segments: list[Segment], new: Segment) -> None:
    """Add a segment behind the others; it joins the last one when the two are one run."""
    if not new.services:
        return
    if segments:
        version, first, last, services = segments[-1]
        if (version, last + 1, services) == (new.version, new.first, new.services):
            segments[-1] = Segment(version, first, new.last, services)
            return
    segments.append(new)


def _aligned(
    left: Sequence[Segment], right: Sequence[Segment]
) -> Iterator[tuple[int, int, ServiceSet, ServiceSet]]:
    """Cut two rows of segments at each other's ends and yield the pieces, ascending."""
    cuts = {edge for segment in (*left, *right) for edge in (segment.first, segment.last + 1)}
    edges = sorted(cuts)
    i = j = 0
    for first, end in itertools.pairwise(edges):
        while i < len(left) and left[i].last < first:
            i += 1
        while j < len(right) and right[j].last < first:
            j += 1
        one = left[i].services if i < len(left) and left[i].first <= first else EMPTY
        two = right[j].services if j < len(right) and right[j].first <= first else EMPTY
        yield first, end - 1, one, two
