"""The fewest rules by way of every rule that flows come to: slow, and kept to judge the quick way.

Each rule is one prefix x one service from the start, and asks all rules around it for its causes.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Literal

from citrix_netpolicy.net import BITS, Prefix, Service, ServiceSet, prefixes_between
from citrix_netpolicy.policy import Rule, rule_order
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from citrix_netpolicy.policy import Cause, Peer
    from citrix_netpolicy.traffic import Segment

__all__ = ["slowly_minimized"]


def slowly_minimized(rules: Sequence[Rule], cidrs: Literal["exact", "stable"] = "exact") -> list[Rule]:
    """Minimize the rules of one direction of one group; the result is in `rule_order`."""
    if not rules:
        return []
    pairs: Iterable[tuple[Peer, Service]]
    if cidrs == "exact":
        reach = reach_of(rules)
        points = ((peer, service) for peer, services in reach.points for service in services.blocks())
        pairs = [*points, *_rectangles(reach.segments)]
    else:
        declared: dict[Peer, list[Service]] = {}
        for rule in rules:
            declared.setdefault(rule.peer, []).append(rule.service)
        pairs = [
            (peer, block)
            for peer, services in declared.items()
            for block in ServiceSet.of(*services).blocks()
        ]
    causes = _Causes(rules)
    direction = rules[0].direction
    return sorted((Rule(direction, *pair, causes.of(*pair)) for pair in pairs), key=rule_order)


class _Node:
    """A prefix all of whose addresses are permitted `common`, and the services maximal at some of them."""

    __slots__ = ("common", "length", "maximal", "network")

    def __init__(self, network: int, length: int, common: ServiceSet, maximal: frozenset[Service]) -> None:
        self.network = network
        self.length = length
        self.common = common
        self.maximal = maximal


def _rectangles(segments: Iterable[Segment]) -> Iterator[tuple[Prefix, Service]]:
    """Yield P x J as the module text defines them.

    Prefixes are joined from the leaves up: when two halves of a prefix are both permitted something in
    common, the prefix takes over every maximal service that all of it is permitted. What a half cannot hand
    up has found its maximal prefix.
    """
    by_version: dict[int, list[Segment]] = {version: [] for version in BITS}
    for segment in segments:
        by_version[segment.version].append(segment)
    for version, members in by_version.items():
        stack: list[_Node] = []
        for segment in members:
            maximal = frozenset(segment.services.blocks())
            for network, length in prefixes_between(version, segment.first, segment.last):
                stack.append(_Node(network, length, segment.services, maximal))
                yield from _join(stack, version)
        for node in stack:
            for service in node.maximal:
                yield Prefix(version, node.network, node.length), service


def _join(stack: list[_Node], version: int) -> Iterator[tuple[Prefix, Service]]:
    while len(stack) > 1:
        low, high = stack[-2:]
        size = 1 << (BITS[version] - high.length)
        if low.length != high.length or low.network ^ size != high.network:
            return
        common = low.common & high.common
        if not common:
            return
        if low.maximal == high.maximal:
            kept = low.maximal
        else:
            candidates = low.maximal | high.maximal
            kept = frozenset(service for service in candidates if ServiceSet.of(service) <= common)
        for half in (low, high):
            for service in half.maximal - kept:
                yield Prefix(version, half.network, half.length), service
        stack[-2:] = [_Node(low.network, low.length - 1, common, kept)]


class _Causes:
    """The causes of rules, to be found again for the rules that take their place."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.by_peer: dict[Peer, list[Rule]] = {}
        for rule in rules:
            self.by_peer.setdefault(rule.peer, []).append(rule)
        self.prefixes = sorted(peer for peer in self.by_peer if isinstance(peer, Prefix))
        self.lengths = sorted({(prefix.version, prefix.length) for prefix in self.prefixes})

    def of(self, peer: Peer, service: Service) -> tuple[Cause, ...]:
        """Return the causes of all rules that permit a part of peer x service."""
        wanted = ServiceSet.of(service)
        found = {
            cause
            for near in (self._near(peer) if isinstance(peer, Prefix) else [peer])
            for rule in self.by_peer.get(near, ())
            if rule.service == service or ServiceSet.of(rule.service) & wanted
            for cause in rule.causes
        }
        return tuple(sorted(found))

    def _near(self, prefix: Prefix) -> Iterator[Prefix]:
        """Yield the prefixes that overlap `prefix`: those inside it, then those around it."""
        for index in range(bisect_left(self.prefixes, prefix), len(self.prefixes)):
            inner = self.prefixes[index]
            if inner.version != prefix.version or inner.network > prefix.last:
                break
            yield inner
        bits = BITS[prefix.version]
        for version, length in self.lengths:
            if version == prefix.version and length < prefix.length:
                yield Prefix(version, prefix.network >> (bits - length) << (bits - length), length)
