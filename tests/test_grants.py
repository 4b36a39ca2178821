"""Grants: what they say is what the rules say that they come to, found without making any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.slow_minimize import slowly_minimized
from support.strategies import (
    CAUSES,
    POINTS,
    PREFIXES,
    SERVICES,
    examples,
    meaning_of_rule,
    service_sets,
    services,
)

from citrix_netpolicy.grants import Grant, Grants, PrefixSet, SpelledOut, grants_of
from citrix_netpolicy.minimize import FewestRules, minimize_rules
from citrix_netpolicy.net import Prefix, Protocol, Service, ServiceSet, ports
from citrix_netpolicy.policy import Direction, Group, GroupKey, Peer, Rule
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from citrix_netpolicy.minimize import Cidrs

INGRESS = Direction.INGRESS
# A pool of sets, so that grants share some: a set is an end, and an end has many flows.
prefix_sets = st.sampled_from([4, 6]).flatmap(
    lambda version: st.lists(
        st.sampled_from([prefix for prefix in PREFIXES if prefix.version == version]), min_size=1, max_size=4
    ).map(PrefixSet.of)
)
some_causes = st.lists(st.sampled_from(CAUSES), min_size=1, max_size=2, unique=True).map(tuple)


@st.composite
def sides(draw: st.DrawFn) -> Grants:
    ends = [*draw(st.lists(prefix_sets, max_size=4)), *draw(st.lists(st.sampled_from(POINTS), max_size=2))]
    if not ends:
        return Grants(INGRESS, ())
    grant = st.builds(Grant, st.sampled_from(ends), service_sets.filter(bool), some_causes)
    return Grants(INGRESS, draw(st.lists(grant, max_size=6)))


def _written(rules: object) -> list[tuple[Rule, object]]:
    assert isinstance(rules, list | tuple)
    return [(rule, rule.causes) for rule in rules]


@examples(400)
@given(sides())
def test_the_reach_of_grants_is_that_of_the_rules_they_spell(grants: Grants) -> None:
    assert grants.reach == reach_of(list(SpelledOut(grants)))


@pytest.mark.parametrize("cidrs", ["exact", "stable"])
@examples(400)
@given(grants=sides())
def test_the_fewest_rules_and_their_causes_are_those_of_the_slow_way(grants: Grants, cidrs: Cidrs) -> None:
    slow = slowly_minimized(list(SpelledOut(grants)), cidrs)
    quick = FewestRules(grants, cidrs)
    assert len(quick) == len(slow)
    assert _written(list(quick)) == _written(slow)


@examples(200)
@given(sides())
def test_rules_are_counted_before_they_are_made(grants: Grants) -> None:
    assert len(SpelledOut(grants)) == len(list(SpelledOut(grants)))


@examples(300)
@given(sides(), services, st.sampled_from((*PREFIXES, *POINTS)))
def test_a_cause_is_one_of_a_grant_that_shares_packets(grants: Grants, service: Service, peer: Peer) -> None:
    packets = meaning_of_rule(Rule(INGRESS, peer, service))
    wanted = {
        cause for rule in SpelledOut(grants) if packets & meaning_of_rule(rule) for cause in rule.causes
    }
    told = grants.causes([peer], [service])
    assert list(told) == sorted(told)
    assert set(told) == wanted


@examples(200)
@given(sides())
def test_causes_of_many_are_those_of_each(grants: Grants) -> None:
    peers, some = [*PREFIXES[:5], *POINTS[:2]], SERVICES[:6]
    each = {cause for peer in peers for service in some for cause in grants.causes([peer], [service])}
    assert set(grants.causes(peers, some)) == each


@examples(200)
@given(service_sets, services)
def test_a_set_holds_or_meets_a_service_as_packets_say(found: ServiceSet, service: Service) -> None:
    one = ServiceSet.of(service)
    assert found.holds(service) == (one <= found)
    assert found.meets(service) == bool(one & found)


def test_rules_that_know_their_grants_are_not_taken_apart() -> None:
    grants = Grants(INGRESS, [Grant(PrefixSet.of([PREFIXES[0]]), ServiceSet.of(SERVICES[0]), ())])
    assert grants_of(INGRESS, SpelledOut(grants)) is grants
    assert grants_of(INGRESS, minimize_rules(SpelledOut(grants))) is grants


def test_a_group_of_sides_is_the_group_of_their_rules() -> None:
    grants = Grants(INGRESS, [Grant(PrefixSet.of([PREFIXES[0]]), ServiceSet.of(SERVICES[0]), ())])
    lazy = Group.of_sides(GroupKey("main", "web"), SpelledOut(grants), ())
    plain = Group(GroupKey("main", "web"), tuple(SpelledOut(grants)))
    assert lazy == plain
    assert plain == lazy
    assert hash(lazy) == hash(plain)
    assert (lazy.rules[0], lazy.rules[:1]) == (plain.rules[0], plain.rules)
    assert repr(lazy.rules) == repr(plain.rules)
    assert len(lazy.side(INGRESS)) == len(plain.side(INGRESS)) == 1
    assert len(lazy.side(Direction.EGRESS)) == 0
    assert lazy.rules != ()


def test_a_rule_over_two_single_addresses_has_the_causes_of_both() -> None:
    services = ServiceSet.of(ports(Protocol.TCP, 443))
    grants = Grants(
        INGRESS,
        [
            Grant(PrefixSet.of([Prefix.parse(f"10.0.0.{number}")]), services, (cause,))
            for number, cause in enumerate(CAUSES[:2])
        ],
    )
    (rule,) = minimize_rules(SpelledOut(grants))
    assert rule.peer == Prefix.parse("10.0.0.0/31")
    assert set(rule.causes) == set(CAUSES[:2])
