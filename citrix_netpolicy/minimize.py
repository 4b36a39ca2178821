"""The fewest rules that permit exactly the same, and the proof that there are no fewer.

A rule is one prefix x one service. Given what every address is permitted, call a service J *maximal* at an
address when the address is permitted all of J and of nothing contiguous that is larger. The fewest rules are
P x J for every J and every maximal prefix P such that all of P is permitted J and J is maximal at some
address of P. (Any exact rule set needs as many: the rule with the smallest prefix that covers J at an address
lies in one such P x J, and two of these never share that rule.) They depend on what is permitted alone, not
on the rules that said so. Groups, prefix lists and tags are single addresses to this.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from citrix_netpolicy.grants import GrantedRules, PrefixSet, grants_of
from citrix_netpolicy.net import BITS, Prefix, Service, ServiceSet, merge_prefixes, prefixes_between
from citrix_netpolicy.policy import Direction, Group, Policy, Rule, rule_order
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from citrix_netpolicy.grants import Grants
    from citrix_netpolicy.policy import Peer
    from citrix_netpolicy.traffic import Segment

__all__ = ["FewestRules", "lower_bound", "minimize", "minimize_rules"]

Cidrs = Literal["exact", "stable"]


def minimize(policy: Policy, cidrs: Cidrs = "exact") -> Policy:
    """Return a policy of the fewest rules with the same traffic; each rule keeps all causes it serves.

    `exact` joins prefixes wherever that saves a rule. `stable` joins services only and leaves every prefix
    as it was declared, so that a new subnet adds rules and changes none; one that overlaps others lends them
    its causes. The rules are made when somebody reads them.
    """
    found: dict[Grants, FewestRules] = {}  # groups that share the grants of a side share its rules

    def fewest(group: Group, way: Direction) -> FewestRules:
        grants = grants_of(way, group.side(way))
        return found.setdefault(grants, FewestRules(grants, cidrs))

    return Policy(
        tuple(
            Group.of_sides(group.key, *(fewest(group, way) for way in Direction)) for group in policy.groups
        )
    )


def minimize_rules(rules: Sequence[Rule], cidrs: Cidrs = "exact") -> FewestRules:
    """Minimize the rules of one direction of one group, which is that of the first."""
    way = rules[0].direction if rules else Direction.INGRESS
    return FewestRules(grants_of(way, rules), cidrs)


class FewestRules(GrantedRules):
    """The fewest rules that say what some grants permit."""

    def __init__(self, grants: Grants, cidrs: Cidrs = "exact") -> None:
        super().__init__(grants)
        self.cidrs = cidrs

    def __len__(self) -> int:
        return len(self._pairs)

    def _make(self) -> list[Rule]:
        way, causes = self.grants.direction, self.grants.causes
        rules = (Rule(way, peer, service, causes((peer,), (service,))) for peer, service in self._pairs)
        return sorted(rules, key=rule_order)

    @cached_property
    def _pairs(self) -> list[tuple[Peer, Service]]:
        if self.cidrs == "exact":
            points = ((peer, block) for peer, services in self.reach.points for block in services.blocks())
            return [*points, *_rectangles(self.reach.segments)]
        declared: dict[Peer, list[ServiceSet]] = {}
        for grant in self.grants:
            for peer in grant.peers.prefixes if isinstance(grant.peers, PrefixSet) else (grant.peers,):
                declared.setdefault(peer, []).append(grant.services)
        return [(peer, block) for peer, sets in declared.items() for block in ServiceSet.union(sets).blocks()]


def lower_bound(groups: Iterable[Group]) -> int:
    """Return the least number of rules any policy with the traffic of `groups` has.

    This counts from the definition, service by service, and shares nothing with `minimize`.
    """
    return sum(_fewest(group.side(way)) for group in groups for way in Direction)


def _fewest(rules: Iterable[Rule]) -> int:
    reach = reach_of(rules)
    count = sum(len(services.blocks()) for _, services in reach.points)
    alike: dict[ServiceSet, list[Segment]] = {}
    for segment in reach.segments:
        alike.setdefault(segment.services, []).append(segment)
    for service in {block for services in alike for block in services.blocks()}:
        wanted = ServiceSet.of(service)
        permitted = [services for services in alike if wanted <= services]
        anchored = [services for services in permitted if service in services.blocks()]
        prefixes = merge_prefixes(p for services in permitted for s in alike[services] for p in s.prefixes())
        anchors = sorted(segment[:3] for services in anchored for segment in alike[services])
        count += _meeting(prefixes, anchors)
    return count


def _meeting(prefixes: list[Prefix], runs: list[tuple[int, int, int]]) -> int:
    """Count the prefixes that meet one of the runs (family, first, last); both are ascending and disjoint."""
    count = i = 0
    for prefix in prefixes:
        while i < len(runs) and (runs[i][0], runs[i][2]) < (prefix.version, prefix.first):
            i += 1
        count += i < len(runs) and runs[i][0] == prefix.version and runs[i][1] <= prefix.last
    return count


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
            kept = frozenset(service for service in candidates if common.holds(service))
        for half in (low, high):
            for service in half.maximal - kept:
                yield Prefix(version, half.network, half.length), service
        stack[-2:] = [_Node(low.network, low.length - 1, common, kept)]
