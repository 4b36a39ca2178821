"""The algebra of traffic, held against the oracle packet by packet."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from support.oracle import Address, Packet, allows
from support.strategies import (
    ADDRESSES,
    DIRECTIONS,
    NUMBERS,
    PACKETS,
    PEERS,
    PLACES,
    POINTS,
    SERVICES,
    examples,
    meaning,
    rule_lists,
)

from citrix_netpolicy.net import EMPTY, Prefix, Protocol, Service, ServiceSet, icmp
from citrix_netpolicy.policy import Direction, Group, GroupKey, GroupReference, Rule, ServiceTag
from citrix_netpolicy.traffic import Permission, Reach, Segment, Traffic, reach_of, sorted_points, traffic_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

INGRESS = Direction.INGRESS
TIERS = ("app", "db")


def _service(protocol: Protocol, number: int | tuple[int, int] | None) -> ServiceSet:
    """Return the set that holds exactly what a packet needs."""
    if isinstance(number, tuple):
        return ServiceSet.of(icmp(protocol, *number))
    return ServiceSet.of(Service(protocol, number or 0, number or 0))


NEEDED = {pair: _service(*pair) for pair in NUMBERS}


def _packets(reach: Reach, direction: Direction = INGRESS) -> frozenset[Packet]:
    """Return the packets of the small world that a reach holds."""
    found: set[Packet] = set()
    for peer in PLACES:
        place = Prefix(*peer, {4: 32, 6: 128}[peer.version]) if isinstance(peer, Address) else peer
        services = reach.services(place)
        if services:
            found.update(
                Packet(direction, peer, *pair) for pair, needed in NEEDED.items() if needed <= services
            )
    return frozenset(found)


# Reach: what one direction of one group permits


@examples(50)
@given(rule_lists())
def test_reach_holds_exactly_the_packets_that_the_oracle_allows(rules: list[Rule]) -> None:
    reach = reach_of(rules)
    assert _packets(reach) == frozenset(packet for packet in PACKETS if allows(rules, packet))


@examples(40)
@given(rule_lists(), st.randoms(use_true_random=False))
def test_reach_depends_on_no_order_and_no_repetition(rules: list[Rule], random: Random) -> None:
    shuffled = [*rules, *rules[:2]]
    random.shuffle(shuffled)
    assert reach_of(iter(shuffled)) == reach_of(rules)


@examples(80)
@given(rule_lists(max_size=3), rule_lists(max_size=3))
def test_reaches_are_equal_exactly_when_they_mean_the_same(one: list[Rule], two: list[Rule]) -> None:
    assert (reach_of(one) == reach_of(two)) == (meaning(one) == meaning(two))


def _respelled(rule: Rule) -> list[Rule]:
    """Return other rules with the same meaning: halves of the prefix, halves of the port range."""
    direction, peer, service = rule.direction, rule.peer, rule.service
    if isinstance(peer, Prefix) and peer.first < peer.last:
        middle = peer.first + (peer.last - peer.first + 1) // 2
        halves = (Prefix(peer.version, first, peer.length + 1) for first in (peer.first, middle))
        return [Rule(direction, half, service) for half in halves]
    if service.protocol in (Protocol.TCP, Protocol.UDP) and service.first < service.last:
        spans = (
            (service.first, service.first),
            (service.first, service.last - 1),
            (service.last, service.last),
        )
        return [Rule(direction, peer, Service(service.protocol, *span)) for span in spans]
    return [rule, rule]


@examples(50)
@given(rule_lists(), st.data())
def test_reach_is_the_same_however_the_rules_are_spelled(rules: list[Rule], data: st.DataObject) -> None:
    respelled = [
        part
        for rule in rules
        for half in _respelled(rule)
        for part in (_respelled(half) if data.draw(st.booleans()) else [half])
    ]
    assert reach_of(respelled) == reach_of(rules)


def _assert_canonical(reach: Reach) -> None:
    for one, two in itertools.pairwise(reach.segments):
        assert one.version <= two.version
        if one.version == two.version:
            assert one.last < two.first
            assert one.last + 1 < two.first or one.services != two.services
    for segment in reach.segments:
        assert 0 <= segment.first <= segment.last < 2 ** {4: 32, 6: 128}[segment.version]
        assert segment.services
    names = [(type(peer).__name__, str(peer)) for peer, _ in reach.points]
    assert names == sorted(set(names))
    assert all(services for _, services in reach.points)


@examples(50)
@given(rule_lists(), rule_lists())
def test_segments_are_ascending_and_as_long_as_they_can_be(one: list[Rule], two: list[Rule]) -> None:
    a, b = reach_of(one), reach_of(two)
    for reach in (a, b, *(a.combine(b, operation) for operation in OPERATIONS)):
        _assert_canonical(reach)


OPERATIONS: tuple[Callable[[ServiceSet, ServiceSet], ServiceSet], ...] = (
    ServiceSet.__or__,
    ServiceSet.__and__,
    ServiceSet.__sub__,
)


@examples(50)
@given(rule_lists(max_size=5), rule_lists(max_size=5))
def test_reaches_combine_packet_by_packet(one: list[Rule], two: list[Rule]) -> None:
    a, b = reach_of(one), reach_of(two)
    union, common, rest = (_packets(a.combine(b, operation)) for operation in OPERATIONS)
    assert union == meaning(one) | meaning(two)
    assert common == meaning(one) & meaning(two)
    assert rest == meaning(one) - meaning(two)


@examples(40)
@given(rule_lists(), rule_lists())
def test_reaches_combine_to_the_reach_of_the_rules_together(one: list[Rule], two: list[Rule]) -> None:
    assert reach_of(one).combine(reach_of(two), ServiceSet.__or__) == reach_of([*one, *two])


def _holds(prefix: Prefix, address: Address) -> bool:
    return prefix.version == address.version and prefix.first <= address.number <= prefix.last


@examples(40)
@given(rule_lists())
def test_the_services_of_a_peer_are_those_that_all_its_addresses_are_permitted(rules: list[Rule]) -> None:
    reach, allowed = reach_of(rules), meaning(rules)
    for peer in PEERS:
        inside = [a for a in ADDRESSES if _holds(peer, a)] if isinstance(peer, Prefix) else [peer]
        services = reach.services(peer)
        for pair, needed in NEEDED.items():
            everywhere = all(Packet(INGRESS, place, *pair) in allowed for place in inside)
            assert (needed <= services) == everywhere


def test_a_hole_in_a_prefix_leaves_it_without_services() -> None:
    web = Service(Protocol.TCP, 80, 80)
    halves = [Rule(INGRESS, Prefix.parse(text), web) for text in ("10.0.0.0/31", "10.0.0.3/32")]
    assert reach_of(halves).services(Prefix.parse("10.0.0.0/30")) == EMPTY
    whole = [*halves, Rule(INGRESS, Prefix.parse("10.0.0.2/32"), web)]
    assert reach_of(whole).services(Prefix.parse("10.0.0.0/30")) == ServiceSet.of(web)


def test_points_with_one_name_and_several_kinds_stay_apart() -> None:
    web = Service(Protocol.TCP, 80, 80)
    reach = reach_of([Rule(INGRESS, GroupReference("web"), web)])
    assert reach.services(GroupReference("web")) == ServiceSet.of(web)
    assert reach.services(ServiceTag("web")) == EMPTY


def test_families_with_the_same_numbers_stay_apart() -> None:
    web = Service(Protocol.TCP, 80, 80)
    reach = reach_of([Rule(INGRESS, Prefix.parse("10.0.0.0/29"), web)])
    assert reach.services(Prefix.parse("::a00:0/125")) == EMPTY


# Traffic: what groups permit


@st.composite
def _groups(draw: st.DrawFn, max_size: int = 5) -> list[Group]:
    tiers = draw(st.lists(st.sampled_from(TIERS), unique=True))
    return [
        Group(GroupKey("main", tier), tuple(draw(rule_lists(direction=None, max_size=max_size))))
        for tier in tiers
    ]


def _meaning(groups: list[Group]) -> dict[str, frozenset[Packet]]:
    found = {tier: frozenset[Packet]() for tier in TIERS}
    return found | {group.tier: meaning(group.rules) for group in groups}


def _held(traffic: Traffic) -> dict[str, frozenset[Packet]]:
    return {
        tier: frozenset[Packet]().union(*(_packets(traffic.reach(tier, way), way) for way in DIRECTIONS))
        for tier in TIERS
    }


@examples(30)
@given(_groups())
def test_traffic_holds_exactly_the_packets_that_the_oracle_allows(groups: list[Group]) -> None:
    held = _held(traffic_of(groups))
    for group in groups:
        assert held[group.tier] == frozenset(packet for packet in PACKETS if allows(group.rules, packet))
    assert held == _meaning(groups)


@examples(30)
@given(_groups(max_size=4), _groups(max_size=4))
def test_union_intersection_and_difference_act_packet_by_packet(one: list[Group], two: list[Group]) -> None:
    a, b = traffic_of(one), traffic_of(two)
    x, y = _meaning(one), _meaning(two)
    assert _held(a | b) == {tier: x[tier] | y[tier] for tier in TIERS}
    assert _held(a & b) == {tier: x[tier] & y[tier] for tier in TIERS}
    assert _held(a - b) == {tier: x[tier] - y[tier] for tier in TIERS}


@examples(40)
@given(_groups(max_size=2), _groups(max_size=2))
def test_traffic_is_equal_and_contained_exactly_when_its_meaning_is(
    one: list[Group], two: list[Group]
) -> None:
    a, b = traffic_of(one), traffic_of(two)
    x, y = _meaning(one), _meaning(two)
    assert (a == b) == (x == y)
    assert (a <= b) == all(x[tier] <= y[tier] for tier in TIERS)
    assert bool(a) == any(x.values())
    assert a & b <= a <= a | b


@examples(40)
@given(_groups(), _groups())
def test_traffic_is_canonical_after_every_operation(one: list[Group], two: list[Group]) -> None:
    a, b = traffic_of(one), traffic_of(two)
    assert (a - b) | (a & b) == a
    assert a | b == b | a
    assert not (a - b) & b
    for traffic in (a, a | b, a & b, a - b):
        keys = [key[:2] for key in traffic.reaches]
        assert keys == sorted(set(keys))
        for *_, reach in traffic.reaches:
            assert reach != Reach()
            _assert_canonical(reach)


@examples(30)
@given(_groups())
def test_traffic_depends_on_no_order_of_groups_or_rules(groups: list[Group]) -> None:
    turned = [Group(GroupKey("other", group.tier), group.rules[::-1]) for group in reversed(groups)]
    assert traffic_of(turned) == traffic_of(groups)


@examples(30)
@given(_groups())
def test_permissions_are_all_of_the_traffic(groups: list[Group]) -> None:
    traffic = traffic_of(groups)
    reaches: dict[tuple[str, Direction], Reach] = {}
    for group, direction, peer, services in traffic.permissions():
        before = reaches.get((group, direction), Reach())
        if isinstance(peer, Segment):
            assert peer.services == services
            after = Reach((*before.segments, peer), before.points)
        else:
            after = Reach(before.segments, (*before.points, (peer, services)))
        reaches[group, direction] = after
    assert tuple((*key, reach) for key, reach in reaches.items()) == traffic.reaches


def test_permissions_name_the_group_the_way_the_peer_and_the_services() -> None:
    peer, web = GroupReference("web"), Service(Protocol.TCP, 443, 443)
    groups = [Group(GroupKey("main", "app"), (Rule(Direction.EGRESS, peer, web),))]
    expected = Permission("app", Direction.EGRESS, peer, ServiceSet.of(web))
    assert list(traffic_of(groups).permissions()) == [expected]


def test_a_group_without_rules_has_no_traffic() -> None:
    assert traffic_of([Group(GroupKey("main", "app"), ())]) == Traffic()
    assert Traffic().reach("app", INGRESS) == Reach()
    assert not Traffic()


def test_every_service_of_the_small_world_has_packets_that_tell_it_from_the_others() -> None:
    told = {meaning([Rule(INGRESS, POINTS[0], service)]) for service in SERVICES}
    assert len(told) == len(SERVICES)
    assert len({meaning([Rule(INGRESS, peer, SERVICES[0])]) for peer in PEERS}) == len(PEERS)


def test_points_come_by_their_kind_first() -> None:
    points = [ServiceTag("Aaa"), GroupReference("z"), ServiceTag("Bbb"), GroupReference("a")]
    ordered = [peer for peer, _ in sorted_points(dict.fromkeys(points, ServiceSet.of(icmp(Protocol.ICMP))))]
    assert ordered == [GroupReference("a"), GroupReference("z"), ServiceTag("Aaa"), ServiceTag("Bbb")]
