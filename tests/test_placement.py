"""Crossing a quota in AWS: no rule leaves its group, and nothing that is permitted today is cut off.

The world is small: quotas of a few rules, prefixes that merge and nest, so that groups overflow all the
time. The oracle lists what machines carry and permit, address by address.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import real
from support.strategies import examples

from citrix_netpolicy import Direction, Group, GroupKey, Policy, Rule, TargetError
from citrix_netpolicy.found import folder
from citrix_netpolicy.identities import Identities, LastRun, TierIdentity
from citrix_netpolicy.net import Prefix, Protocol, Service, ports
from citrix_netpolicy.policy import PrefixList, rule_order
from citrix_netpolicy.targets import Options
from citrix_netpolicy.targets.aws.attributes import rule_name
from citrix_netpolicy.targets.aws.placement import Placement, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PREFIXES = tuple(
    Prefix.parse(f"10.0.0.{number}/{length}")
    for length in (32, 31, 30)
    for number in range(0, 8, 1 << 32 - length)
)
SERVICES = tuple(
    ports(Protocol.TCP, first, last) for first, last in ((80, 80), (81, 81), (80, 81), (443, 443))
)
# A cell is one way, one address and one port.
CELLS = [(way, number, port) for way in Direction for number in range(8) for port in (80, 81, 443)]


def parts_of(placement: Placement) -> tuple[tuple[Rule, ...], ...]:
    """Return the rules of each group, of both directions."""
    return tuple(tuple(rule for rules in sides.values() for rule in rules) for sides in placement.sides)


def cells(rules: Iterable[Rule]) -> set[tuple[Direction, int, int]]:
    """Return what rules permit, by definition."""
    rules = list(rules)
    base = Prefix.parse("10.0.0.0").network
    return {
        (way, number, port)
        for way, number, port in CELLS
        for rule in rules
        if rule.direction is way
        and isinstance(rule.peer, Prefix)
        and rule.peer.first <= base + number <= rule.peer.last
        and rule.service.first <= port <= rule.service.last
    }


rules_of_pool = st.builds(
    Rule, st.sampled_from(Direction), st.sampled_from(PREFIXES), st.sampled_from(SERVICES)
)
sets_of_rules = st.lists(rules_of_pool, max_size=9, unique=True)


def options(limit: int, most: int = 5) -> Options:
    return Options("site", "main", limit, most)


def group(rules: Iterable[Rule]) -> Group:
    return Group(GroupKey("main", "vda"), tuple(sorted(rules, key=rule_order)))


def read_back(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return rules as a reader sees them, who cannot tell how many entries a prefix list may have."""
    return tuple(
        replace(rule, peer=PrefixList(rule.peer.id)) if isinstance(rule.peer, PrefixList) else rule
        for rule in rules
    )


class Machine:
    """What the machines of a tier carry, through a row of runs."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.placement: Placement | None = None
        self.carried: set[int] = set()

    def run(self, rules: Sequence[Rule], *, attached: bool = False) -> Placement:
        """Compile once more over what the last run left."""
        before = self.placement
        identities = Identities(attached=frozenset({"vda"} if attached else ()))
        if before:
            last = LastRun(
                tuple(
                    Group(GroupKey("main", f"vda/{number}" if number > 1 else "vda"), read_back(part))
                    for number, part in enumerate(parts_of(before), 1)
                )
            )
            kept = {"vda": TierIdentity(held=before.held, waiting=before.waiting)}
            identities = Identities(kept, identities.attached, lambda: last)
            if attached:
                self.carried = set(range(1, len(parts_of(before)) + 1))
        self.placement = place(group(rules), options(self.limit, 8), identities)
        if before is None:
            self.carried = set(range(1, len(parts_of(self.placement)) + 1))
        # A group that is no longer there is carried by nobody, and another of its name is another group.
        self.carried &= set(range(1, len(parts_of(self.placement)) + 1))
        return self.placement

    def permitted(self, placement: Placement) -> set[tuple[Direction, int, int]]:
        """Return what the groups permit that machines carry."""
        return cells(
            rule
            for number, part in enumerate(parts_of(placement), 1)
            if number in self.carried
            for rule in part
        )


def numbers(placement: Placement) -> dict[str, int]:
    return {rule_name(rule): number for number, part in enumerate(parts_of(placement), 1) for rule in part}


@examples(300)
@given(st.lists(sets_of_rules, min_size=2, max_size=4), st.integers(2, 4), st.data())
def test_no_rule_leaves_its_group_and_nothing_of_today_is_cut_off(
    runs: list[list[Rule]], limit: int, data: st.DataObject
) -> None:
    machine = Machine(limit)
    before: Placement | None = None
    wanted_before: set[tuple[Direction, int, int]] = set()
    for rules in runs:
        attached = before is not None and data.draw(st.booleans())
        if attached:
            machine.carried = set(range(1, len(parts_of(before)) + 1)) if before else set()
        today = machine.permitted(before) if before else set()
        after = machine.run(rules, attached=attached)
        wanted = cells(rules)
        # Everything that is asked for is somewhere, and what stays beside it is of the last run.
        assert wanted <= cells(rule for part in parts_of(after) for rule in part)
        old = numbers(before) if before else {}
        for name, number in numbers(after).items():
            if name in old:
                assert number == old[name], "a rule left its group"
            else:
                assert name in {rule_name(rule) for rule in rules}
        # What is permitted today and asked for tomorrow never ceases.
        assert today & wanted <= machine.permitted(after)
        for part in parts_of(after):
            for way in Direction:
                assert sum(rule.direction is way for rule in part) <= limit
        waits = {number for number in range(1, len(parts_of(after)) + 1) if number not in machine.carried}
        assert waits == set(after.waiting)
        assert bool(after.findings) == bool(after.waiting)
        before, wanted_before = after, wanted
    assert wanted_before is not None


def _rule(way: Direction, prefix: str, *span: int) -> Rule:
    return Rule(way, Prefix.parse(prefix), ports(Protocol.TCP, *span))


_IN, _OUT = Direction.INGRESS, Direction.EGRESS
# What a new rule carries in a group that is attached needs no rule of before that stays for it.
_CARRIED_TWICE = (
    [
        *(_rule(_IN, "10.0.0.0", *span) for span in ((80,), (81,), (80, 81))),
        _rule(_OUT, "10.0.0.6/31", 80),
        _rule(_OUT, "10.0.0.0/30", 81),
    ],
    [
        _rule(_OUT, "10.0.0.0", 81),
        _rule(_OUT, "10.0.0.1", 81),
        _rule(_OUT, "10.0.0.1", 80, 81),
        _rule(_OUT, "10.0.0.6", 80),
        _rule(_OUT, "10.0.0.2/31", 81),
    ],
)


@examples(200)
@given(sets_of_rules, sets_of_rules, st.integers(2, 4))
@example(*_CARRIED_TWICE, 2)
def test_once_attached_only_what_is_asked_for_remains(one: list[Rule], two: list[Rule], limit: int) -> None:
    machine = Machine(limit)
    machine.run(one)
    first = machine.run(two)
    assert numbers(machine.run(two)) == numbers(first), "the same again changes nothing"
    last = machine.run(two, attached=True)
    assert not last.waiting
    assert not last.findings
    assert {rule for part in parts_of(last) for rule in part} == set(two)
    assert numbers(machine.run(two)) == numbers(last)


@examples(200)
@given(sets_of_rules, sets_of_rules, st.integers(2, 4))
def test_going_back_brings_every_rule_to_where_it_was(one: list[Rule], two: list[Rule], limit: int) -> None:
    machine = Machine(limit)
    first = numbers(machine.run(one))
    both = numbers(machine.run(list(dict.fromkeys([*one, *two]))))
    assert {name: both[name] for name in first} == first
    machine.run(one, attached=True)
    assert machine.placement
    assert numbers(machine.placement) == first


def hosts(count: int) -> list[Rule]:
    return [
        Rule(Direction.INGRESS, Prefix(4, 2 * number, 32), Service(Protocol.TCP, 443, 443))
        for number in range(count)
    ]


def test_one_rule_too_many_opens_a_group_and_moves_none() -> None:
    machine = Machine(60)
    full = machine.run(hosts(60))
    assert (len(parts_of(full)), full.held, full.findings) == (1, {}, ())
    over = machine.run(hosts(61))
    assert [len(part) for part in parts_of(over)] == [60, 1]
    assert list(over.held.values()) == [2]
    (finding,) = over.findings
    assert (finding.code, finding.subject) == ("attach-first", "vda")
    assert "`vda/2`" in finding.message
    assert "--attached vda" in finding.hint


def test_a_tier_that_shrinks_moves_nothing() -> None:
    machine = Machine(60)
    machine.run(hosts(60))
    machine.run(hosts(70))
    machine.run(hosts(70), attached=True)
    small = machine.run(hosts(70)[55:])
    assert [len(part) for part in parts_of(small)] == [5, 10]


def test_a_rule_in_the_place_of_another_goes_where_machines_are() -> None:
    machine = Machine(2)
    old = [Rule(Direction.INGRESS, Prefix.parse(f"10.0.0.{n}"), SERVICES[0]) for n in (0, 4)]
    machine.run(old)
    wider = Rule(Direction.INGRESS, Prefix.parse("10.0.0.0/31"), SERVICES[0])
    other = Rule(Direction.INGRESS, Prefix.parse("10.0.0.6"), SERVICES[3])
    after = machine.run([wider, old[1], other])
    assert set(parts_of(after)[0]) == {wider, old[1]}
    assert parts_of(after)[1] == (other,)


def test_what_two_rules_replace_stays_until_the_group_is_attached() -> None:
    machine = Machine(2)
    wide = Rule(Direction.INGRESS, Prefix.parse("10.0.0.0/30"), SERVICES[2])
    other = Rule(Direction.INGRESS, Prefix.parse("10.0.0.6"), SERVICES[3])
    machine.run([wide, other])
    parts = [
        Rule(Direction.INGRESS, Prefix.parse(f"10.0.0.{n}/31"), service)
        for n, service in ((0, SERVICES[0]), (2, SERVICES[1]))
    ]
    first = machine.run([*parts, other])
    assert wide in parts_of(first)[0]
    assert "stay until then" in first.findings[0].message
    stays = next(rule for rule in parts_of(first)[0] if rule == wide)
    assert [cause.id for cause in stays.causes] == ["attach-first"]
    last = machine.run([*parts, other], attached=True)
    assert {rule for part in parts_of(last) for rule in part} == {*parts, other}


def test_more_groups_than_an_interface_carries_are_refused() -> None:
    machine = Machine(60)
    machine.run(hosts(60))
    with pytest.raises(TargetError, match="8 groups of 60 rules"):
        machine.run(hosts(60 * 8 + 1))


def test_what_fits_by_number_but_not_by_parts_is_told() -> None:
    lists = [Rule(Direction.INGRESS, PrefixList(f"pl-1234567{n}", 4), SERVICES[0]) for n in range(3)]
    with pytest.raises(TargetError, match=r"needs 12 .* can not hold them"):
        place(group(lists), options(6, 2), Identities())


def test_a_group_that_a_lower_quota_makes_too_full_is_told() -> None:
    machine = Machine(60)
    machine.run(hosts(8))
    machine.limit = 5
    after = machine.run(hosts(8))
    assert [len(part) for part in parts_of(after)] == [8]
    (finding,) = after.findings
    assert (finding.code, finding.subject) == ("group-over-quota", "vda")
    assert "`vda` holds 8 ingress rules" in finding.message
    assert "the quota allows 5" in finding.message


def test_a_prefix_list_weighs_its_maximum_where_it_is() -> None:
    machine = Machine(10)
    heavy = Rule(Direction.INGRESS, PrefixList("pl-12345678", 8), SERVICES[0])
    machine.run([heavy, *hosts(2)])
    after = machine.run([heavy, *hosts(3)])
    assert heavy in parts_of(after)[0]
    assert len(parts_of(after)) == 2


def test_a_prefix_list_weighs_its_maximum_in_a_rule_that_stays() -> None:
    machine = Machine(5)
    peer = PrefixList("pl-12345678", 3)
    wide, *parts = (Rule(Direction.INGRESS, peer, SERVICES[number]) for number in (2, 0, 1))
    machine.run([wide, *hosts(1)])
    after = machine.run([*parts, *hosts(1)])
    assert set(parts_of(after)[0]) == {wide, *hosts(1)}
    assert [len(part) for part in parts_of(after)] == [2, 1, 1]
    assert {finding.code for finding in after.findings} == {"attach-first"}


STEPS = (8, 20, 27, 29, 41, 56, 59)


@pytest.mark.parametrize(
    ("target", "counts"),
    [
        ("aws", (8, 56)),
        pytest.param("aws", STEPS, marks=pytest.mark.slow),
        pytest.param("terraform", STEPS, marks=pytest.mark.slow),
    ],
)
def test_the_56th_administrator_prefix_of_a_plain_deployment_moves_no_rule(
    target: str, counts: tuple[int, ...]
) -> None:
    def files(count: int, previous: dict[str, str] | None) -> dict[str, str]:
        data = real.example("reference")
        addresses = [f"10.99.{number // 100}.{2 * (number % 100)}" for number in range(count)]
        data["external"]["admin-workstation"] = addresses
        return real.files_of(real.compile_data(data), target, previous=previous)

    previous: dict[str, str] | None = None
    placed: dict[tuple[str, str], str] = {}
    for count in counts:
        previous = files(count, previous)
        found = folder.read_rules(previous, target, "aws")
        now = {
            (group.key.tier.partition("/")[0], rule_name(rule)): group.key.tier
            for group in found.groups
            for rule in group.rules
        }
        assert all(now[place] == key for place, key in placed.items() if place in now)
        placed = now
    assert any("/" in key for key in placed.values())
    assert "identities.json" in (previous or {})


def test_a_policy_without_quota_trouble_keeps_no_file() -> None:
    compilation = real.compile_data(real.example("reference"))
    assert "identities.json" not in real.files_of(compilation, "terraform")
    assert Policy.of(compilation.policy.groups) == compilation.policy
