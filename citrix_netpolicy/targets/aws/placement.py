"""Which group of a tier holds each of its rules, when the quota asks for several.

A rule never leaves its group: machines may not carry the other one yet, and whoever moves a rule there cuts
them off. So new rules fill what is free, and then open a further group, which people attach first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.errors import Problem, TargetError
from citrix_netpolicy.findings import Finding
from citrix_netpolicy.net import Prefix, ServiceSet
from citrix_netpolicy.policy import Cause, Direction, PrefixList, rule_order
from citrix_netpolicy.targets.aws.attributes import rule_name
from citrix_netpolicy.traffic import Reach, reach_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from citrix_netpolicy.identities import Identities
    from citrix_netpolicy.policy import Group, Rule
    from citrix_netpolicy.targets import Options

__all__ = ["Placement", "place"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Which rules each group of a tier holds, the first group first; by direction, in `rule_order`.

    `held` maps names of rules to the number of their group, from 2 on; `waiting` are the numbers of groups
    that machines do not carry yet.
    """

    sides: tuple[Mapping[Direction, Sequence[Rule]], ...]
    held: Mapping[str, int]
    waiting: tuple[int, ...]
    findings: tuple[Finding, ...]


def place(group: Group, options: Options, identities: Identities) -> Placement:
    """Return which group of its tier holds each rule of `group`.

    A rule stays where `identities` and the last run say; a tier that has neither is spread afresh. Raises
    TargetError when the groups that an interface may carry do not hold the rules.
    """
    identity = identities.tier(group.tier)
    sides = [_Side(group, way, options) for way in Direction]
    is_known = bool(identity.held or identity.waiting)
    if not is_known and all(side.fits_one_group() for side in sides):
        return Placement(({side.way: side.rules for side in sides},), {}, (), ())
    # Only now does it matter what the folder holds.
    last = identities.last()
    before = _Before.of(last.groups if last else (), group.tier, identity.held)
    if not before.groups and not is_known:
        return _numbered([side.spread() for side in sides], (), ())
    waiting = () if group.tier in identities.attached else identity.waiting
    arranged = [side.arrange(before, waiting) for side in sides]
    count = max(len(parts) for parts, _ in arranged)
    is_new = range(before.count + 1, count + 1) if before.groups or is_known else ()
    waiting = tuple(sorted({*waiting, *is_new} & set(range(2, count + 1))))
    key = group.tier
    findings = [
        *_findings(group.tier, key, waiting, [staying for _, staying in arranged]),
        *(
            finding
            for side, (parts, _) in zip(sides, arranged, strict=True)
            for finding in side.overfull(parts, key)
        ),
    ]
    return _numbered([parts for parts, _ in arranged], waiting, tuple(findings))


def _numbered(
    sides: Sequence[Sequence[Sequence[Rule]]], waiting: tuple[int, ...], findings: tuple[Finding, ...]
) -> Placement:
    count = max(len(parts) for parts in sides)
    parts = tuple(
        {
            way: tuple(sorted(side[index] if index < len(side) else (), key=rule_order))
            for way, side in zip(Direction, sides, strict=True)
        }
        for index in range(count)
    )
    held = {
        rule_name(rule): number
        for number, part in enumerate(parts, 1)
        for rules in part.values()
        for rule in rules
        if number > 1
    }
    return Placement(parts, held, waiting, findings)


def _findings(tier: str, key: str, waiting: Iterable[int], staying: list[list[Rule]]) -> Iterable[Finding]:
    stay = sum(map(len, staying))
    for number in waiting:
        also = f", and {stay} rules that are no longer needed stay until then" if stay else ""
        yield Finding(
            "attach-first",
            tier,
            f"tier `{tier}` needs the further group `{key}/{number}`; its rules do nothing for machines that "
            f"do not carry it{also}",
            f"apply, attach the group to the machines of the tier, then compile with `--attached {tier}`",
        )


@dataclass(frozen=True, slots=True)
class _Before:
    """What is known of the groups of a tier: the rules of each, by number, and the number of each rule's."""

    groups: Mapping[int, Sequence[Rule]]
    numbers: Mapping[str, int]

    @classmethod
    def of(cls, groups: Iterable[Group], key: str, held: Mapping[str, int]) -> _Before:
        """Find the groups of a tier among those of the last run; `held` says what is known without them."""
        found: dict[int, Sequence[Rule]] = {}
        for group in groups:
            tier, _, number = group.key.tier.rpartition("/")
            if group.key.tier == key:
                found[1] = group.rules
            elif tier == key and number.isdecimal():
                found[int(number)] = group.rules
        numbers = {rule_name(rule): number for number, rules in found.items() for rule in rules}
        return cls(found, {**held, **numbers})

    @property
    def count(self) -> int:
        """How many groups the tier had."""
        return max([1, *self.groups, *self.numbers.values()])

    def side(self, way: Direction, numbers: Iterable[int]) -> list[Rule]:
        """Return the rules of one direction that some of the groups held."""
        return [rule for number in numbers for rule in self.groups.get(number, ()) if rule.direction is way]


# The reason that a rule gives which nothing asks for any more.
_STAYING: Final = Cause("attach-first", "Stays until a further group is attached", kind="setting")


class _Side:
    """One direction of a tier on its way into groups."""

    def __init__(self, group: Group, way: Direction, options: Options) -> None:
        self.tier = group.tier
        self.way = way
        self.rules = group.side(way)
        self.limit = options.rules_per_group
        self.most = options.groups_per_interface

    def fits_one_group(self) -> bool:
        return max(_weight_of(self.rules)) <= self.limit

    def spread(self) -> list[list[Rule]]:
        """Spread the rules over as few groups as hold them, at most those of an interface.

        Each rule prefers the groups in an order of its own, drawn from what the rule says.
        """
        weight = max(_weight_of(self.rules))
        if weight > self.limit * self.most:
            raise TargetError(self._excess())
        # What no group can hold need not be tried; it would be with every number of them.
        for count in range(max(1, -(-weight // self.limit)), self.most + 1):
            parts = self._parts(count, 1)
            if parts is not None:
                return parts
        # No number of groups lets every rule have its first choice; use all groups and any of its choices.
        parts = self._parts(self.most, self.most)
        if parts is not None:
            return parts
        raise TargetError(self._excess())

    def arrange(self, before: _Before, waiting: Collection[int]) -> tuple[list[list[Rule]], list[Rule]]:
        """Leave each rule where it was, and find room for new ones; return the groups, and rules that stay.

        New rules go into groups that machines carry, and only then into others. When that leaves a connection
        of today to a group that is not attached, the rules that permit it now stay for the time being.
        """
        attached = [number for number in range(1, before.count + 1) if number not in waiting]
        new = [rule for rule in self.rules if rule_name(rule) not in before.numbers]
        placed = _Groups(self.limit, self.most)
        for rule in self.rules:
            if rule_name(rule) in before.numbers:
                placed.add(before.numbers[rule_name(rule)], rule)
        # A reader cannot tell what a prefix list weighs; a list that still matters is in the policy.
        lists = {rule.peer: rule.peer for rule in self.rules}
        held = [
            replace(rule, peer=lists.get(rule.peer, rule.peer)) for rule in before.side(self.way, attached)
        ]
        ordered = self._ordered(new, held)
        left = self._fill(placed.copy(), ordered, attached)
        staying: list[Rule] = []
        if left or waiting:
            staying = self._staying(placed, ordered, attached, held)
            room = placed.copy()
            for rule in staying:
                room.add(before.numbers[rule_name(rule)], rule)
            left = self._fill(room, ordered, attached)
            fitting = set(ordered).difference(left)
            for place in attached:
                for rule in room.rules(place):
                    if rule in fitting:
                        placed.add(place, rule)
            # What these carry beside the rules that might stay needs none of them any more.
            staying = self._meeting(staying, self._missing(placed, attached, held))
            for rule in staying:
                placed.add(before.numbers[rule_name(rule)], replace(rule, causes=(_STAYING,)))
        else:
            left = self._fill(placed, ordered, attached)
        for rule in left:
            number = placed.room(range(1, self.most + 1), rule, without=attached)
            if number is None:
                raise TargetError(self._excess())
            placed.add(number, rule)
        return placed.parts(), staying

    def overfull(self, parts: Sequence[Sequence[Rule]], key: str) -> Iterable[Finding]:
        """Tell of the groups in which rules that stay are more than the quota allows."""
        for number, rules in enumerate(parts, 1):
            weight = max(_weight_of(rules))
            if weight > self.limit:
                name = key if number == 1 else f"{key}/{number}"
                yield Finding(
                    "group-over-quota",
                    self.tier,
                    f"group `{name}` holds {weight} {self.way} rules, where the last run put them; "
                    f"the quota allows {self.limit}",
                    "raise `rules-per-group` if the account's is higher; if the last run was never applied, "
                    "remove the generated folder and compile again",
                )

    def _ordered(self, rules: Iterable[Rule], held: Sequence[Rule]) -> list[Rule]:
        """Sort new rules: first those that carry connections of today, then heavy ones, then by name."""
        today = reach_of(held)

        def carries(rule: Rule) -> bool:
            return bool(today.combine(reach_of([rule]), ServiceSet.__and__) != Reach())

        order = {rule: (not carries(rule), -max(_weight(rule)), _rank(rule, 0)) for rule in rules}
        return sorted(order, key=order.__getitem__)

    def _fill(self, placed: _Groups, rules: Iterable[Rule], numbers: Sequence[int]) -> list[Rule]:
        """Put rules into the groups of these numbers while there is room, and return the others."""
        left = []
        for rule in rules:
            number = placed.room(numbers, rule)
            if number is None:
                left.append(rule)
            else:
                placed.add(number, rule)
        return left

    def _staying(
        self, placed: _Groups, new: Iterable[Rule], attached: Sequence[int], held: Sequence[Rule]
    ) -> list[Rule]:
        """Return the rules of before that still carry connections which nothing attached would carry."""
        names = {rule_name(rule) for rule in self.rules}
        gone = [rule for rule in held if rule_name(rule) not in names]
        trial = placed.copy()
        self._fill(trial, new, attached)
        missing = self._missing(trial, attached, held)
        if missing == Reach():
            return []
        # They need the room that they had, so new rules cannot count on it.
        return self._meeting(gone, self._missing(placed, attached, held))

    def _meeting(self, rules: Iterable[Rule], reach: Reach) -> list[Rule]:
        """Return the rules that permit a part of a reach."""
        return [rule for rule in rules if reach.combine(reach_of([rule]), ServiceSet.__and__) != Reach()]

    def _missing(self, placed: _Groups, attached: Sequence[int], held: Sequence[Rule]) -> Reach:
        """Return what is permitted today and tomorrow, and by no rule in a group that machines carry."""
        both = reach_of(held).combine(reach_of(self.rules), ServiceSet.__and__)
        carried = [rule for number in attached for rule in placed.rules(number)]
        return both.combine(reach_of(carried), ServiceSet.__sub__)

    def _parts(self, count: int, choices: int) -> list[list[Rule]] | None:
        """Put each rule into one of its first `choices` of `count` groups; return None when they are full."""
        groups = _Groups(self.limit, count)
        # Heavy rules first, then by name: an order that a new rule does not disturb.
        for rule in sorted(self.rules, key=lambda rule: (-max(_weight(rule)), _rank(rule, 0))):
            preferred = sorted(range(count), key=lambda index: _rank(rule, index))[:choices]
            number = groups.room([index + 1 for index in preferred], rule)
            if number is None:
                return None
            groups.add(number, rule)
        return groups.parts(count)

    def _excess(self) -> Problem:
        heaviest = max(self.rules, key=lambda rule: max(_weight(rule)))
        weight = max(_weight(heaviest))
        if weight > self.limit:
            message = (
                f"tier `{self.tier}`, {self.way}: `{heaviest.peer}` counts as {weight} rules; "
                f"a group can hold {self.limit}"
            )
            hint = "raise `quotas` if the account's are higher, or give addresses"
        else:
            needed, room = max(_weight_of(self.rules)), self.limit * self.most
            can = f"hold only {room}" if needed > room else "not hold them: a prefix list counts whole"
            message = (
                f"tier `{self.tier}` needs {needed} {self.way} rules, but "
                f"{self.most} groups of {self.limit} rules can {can}"
            )
            hint = "raise `quotas` if the account's are higher, use fewer prefixes, or split the tier"
        return Problem(code="over-quota", message=message, path=("tiers", self.tier), hint=hint)


class _Groups:
    """The groups of one direction of a tier while they fill; they are numbered from 1."""

    def __init__(self, limit: int, most: int) -> None:
        self.limit = limit
        self.most = most
        self.held: dict[int, list[Rule]] = {}
        self.loads: dict[int, tuple[int, int]] = {}

    def copy(self) -> _Groups:
        other = _Groups(self.limit, self.most)
        other.held = {number: [*rules] for number, rules in self.held.items()}
        other.loads = dict(self.loads)
        return other

    def rules(self, number: int) -> list[Rule]:
        return self.held.get(number, [])

    def add(self, number: int, rule: Rule) -> None:
        v4, v6 = _weight(rule)
        load = self.loads.get(number, (0, 0))
        self.loads[number] = (load[0] + v4, load[1] + v6)
        self.held.setdefault(number, []).append(rule)

    def room(self, numbers: Iterable[int], rule: Rule, without: Collection[int] = ()) -> int | None:
        """Return the first group of `numbers` that has room for a rule."""
        v4, v6 = _weight(rule)
        for number in numbers:
            load = self.loads.get(number, (0, 0))
            if number not in without and load[0] + v4 <= self.limit and load[1] + v6 <= self.limit:
                return number
        return None

    def parts(self, count: int = 1) -> list[list[Rule]]:
        """Return the rules of each group, of `count` groups at least."""
        return [self.rules(number) for number in range(1, max([count, *self.held]) + 1)]


def _rank(rule: Rule, index: int) -> bytes:
    return sha256(f"{index} {rule.direction} {rule.service} {rule.peer}".encode()).digest()


def _weight(rule: Rule) -> tuple[int, int]:
    """Return what a rule weighs on the quota of IPv4 rules and on that of IPv6 rules."""
    match rule.peer:
        case Prefix(version=4):
            return 1, 0
        case Prefix():
            return 0, 1
        case PrefixList(max_entries=entries):
            return entries, entries
        case _:
            return 1, 1


def _weight_of(rules: Iterable[Rule]) -> tuple[int, int]:
    """Return what rules weigh together on both quotas."""
    weights = [_weight(rule) for rule in rules]
    return sum(v4 for v4, _ in weights), sum(v6 for _, v6 in weights)
