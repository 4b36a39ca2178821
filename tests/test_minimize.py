"""The minimizer: the laws it keeps, and the true minimum on every set of small worlds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies import CAUSES, PEERS, PREFIXES, examples, meaning, rule_lists, services

from citrix_netpolicy.minimize import lower_bound, minimize, minimize_rules
from citrix_netpolicy.net import Prefix, Protocol, Service, ServiceSet, icmp, ports
from citrix_netpolicy.policy import (
    Direction,
    Group,
    GroupKey,
    GroupReference,
    Policy,
    PrefixList,
    Rule,
    rule_order,
)
from citrix_netpolicy.traffic import reach_of, traffic_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from citrix_netpolicy.minimize import Cidrs
    from citrix_netpolicy.policy import Cause, Peer

INGRESS = Direction.INGRESS
TCP, UDP, ICMP = Protocol.TCP, Protocol.UDP, Protocol.ICMP
EVERYTHING = Service(Protocol.ALL, 0, 65535)

both_modes = pytest.mark.parametrize("cidrs", ["exact", "stable"])


def _bound(rules: Iterable[Rule]) -> int:
    return lower_bound([Group(GroupKey("main", "app"), tuple(rules))])


def _written(rules: Iterable[Rule]) -> list[tuple[Rule, tuple[Cause, ...]]]:
    """Return rules with their causes, which are no part of equality."""
    return [(rule, rule.causes) for rule in rules]


def _caused(prefix: str, port: int, cause: int) -> Rule:
    return Rule(INGRESS, Prefix.parse(prefix), ports(TCP, port), CAUSES[cause : cause + 1])


# Laws, on rules of every kind


@both_modes
@examples(40)
@given(rules=rule_lists())
def test_minimized_rules_allow_exactly_the_same(rules: list[Rule], cidrs: Cidrs) -> None:
    fewest = minimize_rules(rules, cidrs)
    assert meaning(fewest) == meaning(rules)
    assert reach_of(fewest) == reach_of(rules)


@both_modes
@examples(40)
@given(rules=rule_lists())
def test_there_are_never_more_rules_than_distinct_ones_before(rules: list[Rule], cidrs: Cidrs) -> None:
    assert len(minimize_rules(rules, cidrs)) <= len(set(rules))


@examples(40)
@given(rule_lists())
def test_stable_is_never_fewer_rules_than_exact(rules: list[Rule]) -> None:
    assert len(minimize_rules(rules, "exact")) <= len(minimize_rules(rules, "stable"))


@both_modes
@examples(40)
@given(rules=rule_lists())
def test_minimizing_again_changes_no_rule(rules: list[Rule], cidrs: Cidrs) -> None:
    fewest = minimize_rules(rules, cidrs)
    assert minimize_rules(fewest, cidrs) == fewest


@both_modes
@examples(40)
@given(rules=rule_lists(), random=st.randoms(use_true_random=False))
def test_the_result_depends_on_no_order_of_the_rules(rules: list[Rule], random: Random, cidrs: Cidrs) -> None:
    shuffled = random.sample(rules, len(rules))
    assert _written(minimize_rules(shuffled, cidrs)) == _written(minimize_rules(rules, cidrs))


@examples(60)
@given(rule_lists(max_size=4), rule_lists(max_size=4))
def test_exact_rules_are_a_function_of_the_traffic_alone(one: list[Rule], two: list[Rule]) -> None:
    assert (minimize_rules(one) == minimize_rules(two)) == (meaning(one) == meaning(two))


@both_modes
@examples(40)
@given(rules=rule_lists())
def test_the_result_is_in_rule_order_without_repetition(rules: list[Rule], cidrs: Cidrs) -> None:
    fewest = minimize_rules(rules, cidrs)
    assert fewest == sorted(set(fewest), key=rule_order)


@examples(60)
@given(rule_lists())
@example(
    [Rule(INGRESS, Prefix(4, 5, 32), ports(TCP, 79, 82)), Rule(INGRESS, Prefix(6, 0, 0), ports(TCP, 80))]
)
def test_the_lower_bound_is_met(rules: list[Rule]) -> None:
    assert len(minimize_rules(rules)) == _bound(rules)


@both_modes
@examples(60)
@given(rules=rule_lists())
@example(rules=[_caused("10.0.0.1/32", 80, 0), _caused("10.0.0.2/32", 80, 1)])  # side by side
@example(rules=[_caused("10.0.0.0/31", 80, 0), _caused("10.0.0.0/32", 81, 1)])  # one in the other
def test_a_rule_has_the_causes_of_the_rules_it_shares_packets_with_and_no_others(
    rules: list[Rule], cidrs: Cidrs
) -> None:
    for made in minimize_rules(rules, cidrs):
        sharing = [rule for rule in rules if meaning([rule]) & meaning([made])]
        assert made.causes == tuple(sorted({cause for rule in sharing for cause in rule.causes}))


@both_modes
@examples(40)
@given(rules=rule_lists())
def test_no_cause_is_lost(rules: list[Rule], cidrs: Cidrs) -> None:
    after = {cause for rule in minimize_rules(rules, cidrs) for cause in rule.causes}
    assert after == {cause for rule in rules for cause in rule.causes}


# Stable: prefixes as they were declared


@examples(40)
@given(rule_lists())
def test_stable_keeps_the_declared_peers(rules: list[Rule]) -> None:
    assert {rule.peer for rule in minimize_rules(rules, "stable")} == {rule.peer for rule in rules}


@examples(40)
@given(rule_lists())
def test_stable_opens_to_each_peer_the_fewest_services_that_were_declared_for_it(rules: list[Rule]) -> None:
    fewest = minimize_rules(rules, "stable")
    for peer in {rule.peer for rule in rules}:
        declared = ServiceSet.of(*(rule.service for rule in rules if rule.peer == peer))
        made = [rule.service for rule in fewest if rule.peer == peer]
        assert sorted(made) == sorted(declared.blocks())


@examples(40)
@given(rule_lists(), st.sampled_from(PEERS), st.lists(services, min_size=1, max_size=3))
def test_stable_gives_a_new_peer_rules_and_changes_no_other_rule(
    rules: list[Rule], peer: Peer, opened: list[Service]
) -> None:
    before = [rule for rule in rules if rule.peer != peer]
    added = [Rule(INGRESS, peer, service, CAUSES[:1]) for service in opened]
    after = minimize_rules([*before, *added], "stable")
    assert [rule for rule in after if rule.peer != peer] == minimize_rules(before, "stable")


@examples(40)
@given(rule_lists(), st.sampled_from(PREFIXES), st.lists(services, min_size=1, max_size=3))
def test_stable_leaves_the_causes_of_rules_that_a_new_prefix_does_not_overlap(
    rules: list[Rule], prefix: Prefix, opened: list[Service]
) -> None:
    before = [r for r in rules if not (isinstance(r.peer, Prefix) and r.peer.overlaps(prefix))]
    added = [Rule(INGRESS, prefix, service, CAUSES[:1]) for service in opened]
    after = minimize_rules([*before, *added], "stable")
    kept = [rule for rule in after if rule.peer != prefix]
    assert _written(kept) == _written(minimize_rules(before, "stable"))


# Examples, for people


def _rules(*lines: str) -> list[Rule]:
    """Read rules such as `10.0.0.0/24 tcp 80-81`."""
    found = []
    for line in lines:
        prefix, protocol, span = line.split()
        first, _, last = span.partition("-")
        service = ports(Protocol(protocol), int(first), int(last or first))
        found.append(Rule(INGRESS, Prefix.parse(prefix), service))
    return found


@pytest.mark.parametrize(
    ("given_rules", "expected"),
    [
        pytest.param(["10.0.0.0/24 tcp 80", "10.0.1.0/24 tcp 80"], ["10.0.0.0/23 tcp 80"], id="buddies-join"),
        pytest.param(
            ["10.0.1.0/24 tcp 80", "10.0.2.0/24 tcp 80"],
            ["10.0.1.0/24 tcp 80", "10.0.2.0/24 tcp 80"],
            id="neighbours-that-are-no-buddies-stay",
        ),
        pytest.param(
            ["10.0.0.0/24 tcp 80", "10.0.0.0/24 tcp 81"], ["10.0.0.0/24 tcp 80-81"], id="ports-join"
        ),
        pytest.param(
            ["10.0.0.0/24 tcp 80", "10.0.0.0/24 tcp 82"],
            ["10.0.0.0/24 tcp 80", "10.0.0.0/24 tcp 82"],
            id="a-gap-stays",
        ),
        pytest.param(
            ["10.0.0.0/23 tcp 80", "10.0.0.0/24 tcp 81"],
            ["10.0.0.0/23 tcp 80", "10.0.0.0/24 tcp 80-81"],
            id="rules-may-overlap",
        ),
        pytest.param(
            ["10.0.0.0/24 tcp 80-82", "10.0.1.0/24 tcp 80-82", "10.0.1.0/24 tcp 83"],
            ["10.0.0.0/23 tcp 80-82", "10.0.1.0/24 tcp 80-83"],
            id="a-join-may-need-a-part-of-a-wider-range",
        ),
        pytest.param(["0.0.0.0/1 udp 1", "128.0.0.0/1 udp 1"], ["0.0.0.0/0 udp 1"], id="the-whole-line"),
        pytest.param(
            ["::/1 tcp 80", "8000::/1 tcp 80", "0.0.0.0/1 tcp 80"],
            ["0.0.0.0/1 tcp 80", "::/0 tcp 80"],
            id="families-stay-apart",
        ),
    ],
)
def test_rules_become_the_fewest(given_rules: list[str], expected: list[str]) -> None:
    assert minimize_rules(_rules(*given_rules)) == _rules(*expected)


def test_nothing_becomes_nothing() -> None:
    assert minimize_rules([]) == []
    assert _bound([]) == 0


def test_all_protocols_are_one_rule_and_never_inferred() -> None:
    peer = GroupReference("web")
    named = [Service(protocol, 0, 65535) for protocol in (TCP, UDP, ICMP, Protocol.ICMPV6)]
    rules = [Rule(INGRESS, peer, service) for service in named]
    assert len(minimize_rules(rules)) == 4
    everything = Rule(INGRESS, peer, EVERYTHING)
    assert minimize_rules([*rules, everything]) == [everything]


def test_a_prefix_list_is_the_same_list_whatever_its_maximum() -> None:
    rules = [Rule(INGRESS, PrefixList("pl-1", size), ports(TCP, 79 + size)) for size in (1, 2)]
    assert minimize_rules(rules) == [Rule(INGRESS, PrefixList("pl-1"), ports(TCP, 80, 81))]


# Whole policies


@st.composite
def _policies(draw: st.DrawFn) -> Policy:
    groups = tuple(
        Group(GroupKey("main", tier), tuple(draw(rule_lists(direction=None, max_size=5))))
        for tier in ("app", "db")
    )
    return Policy(groups)


@both_modes
@examples(30)
@given(policy=_policies())
def test_a_minimized_policy_has_the_same_traffic_and_says_how_few_rules_there_can_be(
    policy: Policy, cidrs: Cidrs
) -> None:
    fewest = minimize(policy, cidrs)
    assert traffic_of(fewest.groups) == traffic_of(policy.groups)
    assert [group.tier for group in fewest.groups] == [group.tier for group in policy.groups]
    bound = lower_bound(fewest.groups)
    assert bound == lower_bound(policy.groups) <= fewest.rule_count
    if cidrs == "exact":
        assert fewest.rule_count == bound


@both_modes
@examples(20)
@given(policy=_policies())
def test_each_direction_of_a_policy_is_minimized_on_its_own(policy: Policy, cidrs: Cidrs) -> None:
    fewest = minimize(policy, cidrs)
    for before, after in zip(policy.groups, fewest.groups, strict=True):
        assert after.rules == tuple(sorted(after.rules, key=rule_order))
        for way in Direction:
            assert list(after.side(way)) == minimize_rules(before.side(way), cidrs)
    assert minimize(fewest, cidrs) == fewest == minimize(replace(policy, groups=policy.groups), cidrs)


# The true minimum, for every set that rules of a small world can permit


@dataclass(frozen=True)
class World:
    """Every candidate rule of a small world, and the cells each of them covers.

    A world has 2**depth places side by side, the quarters (eighths …) of `root`, and some atoms: stretches of
    services that no candidate splits. A cell is one atom at one place. `offers` are the services a rule can
    open, and the atoms each of them holds.
    """

    root: Prefix
    depth: int
    offers: dict[Service, frozenset[int]]

    def candidates(self) -> dict[tuple[Prefix, Service], int]:
        """Return every rule of this world as a bit mask of the cells it covers."""
        atoms = 1 + max(max(held) for held in self.offers.values())
        longest = {4: 32, 6: 128}[self.root.version]
        found: dict[tuple[Prefix, Service], int] = {}
        for level in range(self.depth + 1):
            length = self.root.length + level
            span = 1 << (self.depth - level)  # how many places a prefix of this level holds
            for index in range(1 << level):
                prefix = Prefix(self.root.version, self.root.network + (index << longest - length), length)
                places = range(index * span, (index + 1) * span)
                for service, held in self.offers.items():
                    found[prefix, service] = sum(
                        1 << place * atoms + atom for place in places for atom in held
                    )
        return found


def _fewest(candidates: Iterable[int]) -> dict[int, int]:
    """Return every union of candidates, and how few of them it takes: breadth first."""
    distinct = set(candidates)
    fewest = {0: 0}
    frontier = [0]
    for count in itertools.count(1):
        reached = {covered | candidate for covered in frontier for candidate in distinct} - fewest.keys()
        if not reached:
            return fewest
        fewest |= dict.fromkeys(reached, count)
        frontier = list(reached)
    raise AssertionError


def _spans(protocol: Protocol, first: int, count: int, atom: int = 0) -> dict[Service, frozenset[int]]:
    """Return every range of `count` consecutive ports; the ports are atoms from `atom` on."""
    return {
        ports(protocol, first + low, first + high): frozenset(range(atom + low, atom + high + 1))
        for low in range(count)
        for high in range(low, count)
    }


def _mixed(tcp: int, udp: int) -> dict[Service, frozenset[int]]:
    """Return ranges of both protocols and `ALL`, which holds one atom that nothing else holds."""
    every = frozenset(range(tcp + udp + 1))
    return {**_spans(TCP, 80, tcp), **_spans(UDP, 80, udp, tcp), EVERYTHING: every}


# Neighbouring codes across a type boundary, their types, the protocol, everything. The atoms: 8/254, 8/255,
# other codes of 8, 9/0, other codes of 9, other types, other protocols. Rules that name one of other codes
# save nothing: too few to name them all, they leave a code that only wider rules cover.
ICMP_OFFERS = {
    icmp(ICMP, 8, 254): frozenset({0}),
    icmp(ICMP, 8, 255): frozenset({1}),
    icmp(ICMP, 8): frozenset({0, 1, 2}),
    icmp(ICMP, 9, 0): frozenset({3}),
    icmp(ICMP, 9): frozenset({3, 4}),
    icmp(ICMP): frozenset(range(6)),
    EVERYTHING: frozenset(range(7)),
}
# Port 80 splits the protocol in three, so that the whole of it is a candidate.
WHOLE_TCP_OFFERS = {
    Service(TCP, first, last): frozenset(range(low, high + 1))
    for low, first in enumerate((0, 80, 81))
    for high, last in enumerate((79, 80, 65535))
    if low <= high
} | {EVERYTHING: frozenset(range(4))}


def _world(root: str, depth: int, offers: dict[Service, frozenset[int]]) -> World:
    return World(Prefix.parse(root), depth, offers)


QUICK = {
    "4 addresses x 3 ports": (_world("10.0.0.0/30", 2, _spans(TCP, 80, 3)), 4096),
    "the whole IPv6 line in quarters x 2 ports": (_world("::/0", 2, _spans(UDP, 65534, 2)), 256),
    "the whole IPv4 line in eighths x 1 port": (_world("0.0.0.0/0", 3, _spans(TCP, 1, 1)), 256),
    "2 addresses x mixed protocols": (_world("255.255.255.254/31", 1, _mixed(3, 2)), 33**2),
    "2 addresses x ICMP": (_world("2001:db8::/127", 1, ICMP_OFFERS), 17**2),
    "2 addresses x all of TCP": (_world("10.0.0.2/31", 1, WHOLE_TCP_OFFERS), 9**2),
}
SLOW = {
    "4 addresses x 4 ports": (_world("10.0.0.0/30", 2, _spans(TCP, 80, 4)), 65_536),
    "8 addresses x 2 ports": (_world("2001:db8::/125", 3, _spans(TCP, 80, 2)), 65_536),
    "16 addresses x 1 port": (_world("10.0.0.0/28", 4, _spans(UDP, 53, 1)), 65_536),
    "4 addresses x mixed protocols": (_world("10.0.0.0/30", 2, _mixed(3, 1)), 17**4),
    "4 addresses x ICMP": (_world("10.0.0.0/30", 2, ICMP_OFFERS), 17**4),
    "4 quarters x all of TCP": (_world("0.0.0.0/0", 2, WHOLE_TCP_OFFERS), 9**4),
}


# The two largest of the quick ones take longer than all others.
WITH_SOME_SLOW = [
    pytest.param(name, marks=pytest.mark.slow if sets > 500 else ()) for name, (_, sets) in QUICK.items()
]

# Sixty thousand sets take minutes.
ALL_SLOW = [
    pytest.param(name, marks=pytest.mark.long if sets > 20_000 else pytest.mark.slow)
    for name, (_, sets) in SLOW.items()
]


def _assert_minimal(world: World, sets: int) -> None:
    candidates = world.candidates()
    fewest = _fewest(candidates.values())
    assert len(fewest) == sets
    deepest = world.root.length + world.depth
    single = [(Rule(INGRESS, *pair), mask) for pair, mask in candidates.items() if pair[0].length == deepest]
    for wanted, count in fewest.items():
        # A set is told to the minimizer by every rule of a single place that lies in it.
        told = [rule for rule, mask in single if mask & ~wanted == 0]
        found = minimize_rules(told)
        covered = 0
        for rule in found:
            assert isinstance(rule.peer, Prefix)
            covered |= candidates[rule.peer, rule.service]
        assert (covered, len(found), _bound(told)) == (wanted, count, count), told


@pytest.mark.parametrize("name", WITH_SOME_SLOW)
def test_no_fewer_rules_permit_exactly_the_same_in_any_set_of_a_small_world(name: str) -> None:
    _assert_minimal(*QUICK[name])


@pytest.mark.parametrize("name", ALL_SLOW)
def test_no_fewer_rules_permit_exactly_the_same_in_any_set_of_a_larger_world(name: str) -> None:
    _assert_minimal(*SLOW[name])
