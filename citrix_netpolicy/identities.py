"""What must not move between two runs: keys of tiers, names of groups, priorities, and the group of a rule.

Whatever can be derived from the policy alone is derived. `Identities` holds only what differs from that, such
as a priority that another rule made necessary once, so most networks need no file of it. Two things are known
besides: the last run, which is what the folder holds now, and which groups people have attached since.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import InputError, Problem, clean
from citrix_netpolicy.net import LAST_PORT, Prefix
from citrix_netpolicy.policy import Direction, Group

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from citrix_netpolicy.errors import Mark
    from citrix_netpolicy.syntax.document import Document, Node

__all__ = ["FILE", "MERGED", "Identities", "LastRun", "TierIdentity", "derived_priority", "read_identities"]

FILE: Final = "identities.json"
FORMAT: Final = 1
FIRST_PRIORITY: Final = 1000
LAST_PRIORITY: Final = 3999


@dataclass(frozen=True, slots=True)
class LastRun:
    """What the last run wrote, read back: its groups, and the priority of each rule that has one.

    Rules that one rule of a cloud says together share the address of their origin. Priorities are by tier,
    direction and name of the rule.
    """

    groups: tuple[Group, ...] = ()
    priorities: Mapping[tuple[str, Direction, str], int] = field(default_factory=dict)


def _nothing() -> LastRun | None:
    return None


@dataclass(frozen=True, slots=True)
class TierIdentity:
    """What one tier keeps. Every part is empty where the derived value holds.

    `priorities` are those of rules by direction and name; `covers` the rules of a direction, as data of the
    target, where another choice of equally many was made before. `held` maps rules to the number of the group
    that holds them, from 2 on, and `waiting` are the numbers of groups that machines do not carry yet.
    `name` is that of the group where it does not follow from the key, `exact` when a cloud may not add to
    it, and `asg` that of the application security group. `mark` is where a file says the name.
    """

    key: str = ""
    name: str = ""
    exact: bool = False
    asg: str = ""
    description: str = ""
    priorities: Mapping[Direction, Mapping[str, int]] = field(default_factory=dict)
    covers: Mapping[Direction, tuple[Any, ...]] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    waiting: tuple[int, ...] = ()
    mark: Mark | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Identities:
    """The identities of one network.

    `tiers` holds those of tiers that have any. `last` answers with the last run, where there was one; it may
    be slow, so ask only when the answer matters. `attached` names the tiers whose groups people have
    attached.
    """

    tiers: Mapping[str, TierIdentity] = field(default_factory=dict)
    attached: frozenset[str] = frozenset()
    last: Callable[[], LastRun | None] = field(default=_nothing, compare=False)

    def tier(self, name: str) -> TierIdentity:
        """Return what a tier keeps."""
        return self.tiers.get(name, TierIdentity())

    def to_json(self, deployment: str, network: str) -> str:
        """Return the text of the file, or nothing when there is nothing to keep."""
        tiers = {name: data for name, one in sorted(self.tiers.items()) if (data := _as_data(one))}
        if not tiers:
            return ""
        document = {
            "//": "Written by citrix-netpolicy. Commit it: what it names does not move.",
            "format": FORMAT,
            "deployment": deployment,
            "network": network,
            "tiers": tiers,
        }
        return json.dumps(document, indent=2) + "\n"


def _as_data(one: TierIdentity) -> dict[str, Any]:
    ways = sorted(Direction)
    data: dict[str, Any] = {
        "key": one.key,
        "name": one.name,
        "exact": one.exact,
        "application-security-group": one.asg,
        "description": one.description,
        "priorities": {
            str(way): dict(sorted(one.priorities[way].items())) for way in ways if one.priorities.get(way)
        },
        "covers": {str(way): list(one.covers[way]) for way in ways if one.covers.get(way)},
        "held": dict(sorted(one.held.items())),
        "waiting": list(one.waiting),
    }
    return {key: value for key, value in data.items() if value}


def read_identities(document: Document, deployment: Collection[str], network: str) -> Identities:
    """Return the identities that a file holds; `deployment` are the names that a deployment has or had.

    Raises InputError, with the place, when it is of another deployment, of a newer format, holds the markers
    of a merge, or says what cannot be.
    """
    root = document.root
    if (
        isinstance(root.value, dict)
        and type(root.value.get("format")) is int
        and root.value["format"] > FORMAT
    ):
        message = f"this file has format {root.value['format']}; this release reads format {FORMAT}"
        raise root.members()["format"].refusal(
            message, code="newer-format", hint="use the release that wrote it, or a newer one"
        )
    fields = root.fields(("format", "deployment", "network", "tiers"), ("//",))
    fields["format"].integer(1, FORMAT)
    for key, ours in (("deployment", list(deployment)), ("network", [network])):
        theirs = fields[key].text()
        if theirs not in ours:
            message = f"these are identities of {key} `{clean(theirs)}`, not of `{ours[0]}`"
            hint = "choose another output folder, or restore the file from version control"
            if key == "deployment":
                hint += f"; after a change of name, say `renamed-from: {clean(theirs)}`"
            raise fields[key].refusal(message, code="foreign-identities", hint=hint)
    return Identities({name: _tier(node) for name, node in fields["tiers"].members().items()})


def _tier(node: Node) -> TierIdentity:
    words = ("key", "name", "application-security-group", "description")
    fields = node.fields((), (*words, "exact", "priorities", "covers", "held", "waiting"))
    if "exact" in fields:
        fields["exact"].only(value=True, what="true")
    said = {key: fields[key].text() for key in words if key in fields}
    return TierIdentity(
        key=said.get("key", ""),
        name=said.get("name", ""),
        exact="exact" in fields,
        asg=said.get("application-security-group", ""),
        description=said.get("description", ""),
        mark=fields["name"].mark if "name" in fields else None,
        priorities=_priorities(fields["priorities"]) if "priorities" in fields else {},
        covers=_covers(fields["covers"]) if "covers" in fields else {},
        held=_held(fields["held"]) if "held" in fields else {},
        waiting=tuple(item.integer(2, 16) for item in fields["waiting"].items())
        if "waiting" in fields
        else (),
    )


def _priorities(node: Node) -> dict[Direction, dict[str, int]]:
    found: dict[Direction, dict[str, int]] = {}
    for way, rules in node.fields((), [str(way) for way in Direction]).items():
        numbers: dict[int, str] = {}
        for name, priority in rules.members().items():
            number = priority.integer(FIRST_PRIORITY, LAST_PRIORITY)
            other = numbers.setdefault(number, name)
            if other != name:
                message = f"`{clean(name)}` and `{clean(other)}` have the same priority"
                raise priority.refusal(message, code="priority-clash", hint=MERGED)
        found[Direction(way)] = {name: number for number, name in numbers.items()}
    return found


def _covers(node: Node) -> dict[Direction, tuple[Any, ...]]:
    found: dict[Direction, tuple[Any, ...]] = {}
    for way, blocks in node.fields((), [str(way) for way in Direction]).items():
        for block in blocks.items():
            fields = block.fields(("protocol", "kind", "peers", "ports"))
            fields["protocol"].choice(("Tcp", "Udp", "Icmp", "Esp", "Ah", "*"))
            is_prefixes = fields["kind"].choice(("prefixes", "tag", "asg")) == "prefixes"
            for item in _some(fields["peers"]):
                item.parsed(Prefix.parse if is_prefixes else str)
            for item in _some(fields["ports"]):
                item.parsed(_ports)
        found[Direction(way)] = tuple(blocks.value)
    return found


def _some(node: Node) -> list[Node]:
    items = node.items()
    if not items:
        raise node.refusal("expected at least one value")
    return items


def _ports(text: str) -> str:
    """Check a range of ports as Azure writes it."""
    found = re.fullmatch(r"\*|([0-9]{1,5})(?:-([0-9]{1,5}))?", text, re.ASCII)
    if not found or (found[1] and not int(found[1]) <= int(found[2] or found[1]) <= LAST_PORT):
        raise ValueError(f"`{clean(text)}` is not a valid port or range")
    return text


def _held(node: Node) -> dict[str, int]:
    return {rule: number.integer(2, 16) for rule, number in node.members().items()}


# A folder of generated files that a merge has mixed is mended by going back to one side of it and compiling
# again. `FOLDER` stands for its name, which is not known here.
MERGED: Final = (
    "two branches were merged; run `git rm -rqf FOLDER && git checkout BRANCH -- FOLDER` with the "
    "branch that is deployed, then compile again"
)


def derived_priority(name: str, attempt: int = 0) -> int:
    """Return the priority that a rule's name asks for: its first choice, or a later one."""
    digest = sha256(f"{attempt} {name}".encode()).digest()
    return FIRST_PRIORITY + int.from_bytes(digest[:8], "big") % (LAST_PRIORITY - FIRST_PRIORITY + 1)


def assign_priorities(
    names: Iterable[str],
    kept: Mapping[str, int],
    last: Mapping[str, int],
    successors: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Return a priority for each name, different from each other.

    A name keeps the priority that it had in the last run, or that of the rule of the last run which it is a
    successor of, or the one that is kept for it; else it gets its first choice that nobody has. No other rule
    gets a number that a rule gives up in this very change: whoever reads the change would take the one for
    the other. Raises InputError when the last run holds one number twice.
    """
    wanted = list(dict.fromkeys(names))
    _refuse_clash(wanted, last)
    found = {name: last[name] for name in wanted if name in last}
    found |= {name: last[old] for name, old in (successors or {}).items() if old not in found}
    taken = set(last.values())
    for name in wanted:
        if name not in found and name in kept and kept[name] not in taken:
            found[name] = kept[name]
            taken.add(kept[name])
    # The rules are served in an order of their own, so the order in which they come is nothing to them.
    for name in sorted(wanted, key=lambda name: (derived_priority(name), name)):
        if name not in found and derived_priority(name) not in taken:
            found[name] = derived_priority(name)
            taken.add(found[name])
    for name in sorted(wanted):
        if name not in found:
            found[name] = next(number for number in _choices(name, len(taken)) if number not in taken)
            taken.add(found[name])
    return found


def _choices(name: str, taken: int) -> Iterable[int]:
    """Yield the numbers that a name asks for, and after some attempts all others."""
    yield from (derived_priority(name, attempt) for attempt in range(1, 8 + taken.bit_length()))
    yield from range(FIRST_PRIORITY, LAST_PRIORITY + 1)
    # Nothing is left only when the group has too many rules, which its target refuses.
    yield from count(LAST_PRIORITY + 1)


def _refuse_clash(names: Collection[str], last: Mapping[str, int]) -> None:
    holders: dict[int, str] = {}
    for name in names:
        if name in last:
            other = holders.setdefault(last[name], name)
            if other != name:
                both = f"rules `{clean(other)}` and `{clean(name)}`"
                message = f"{both} have the same priority {last[name]} in the output folder"
                raise InputError(Problem(code="priority-clash", message=message, hint=MERGED))
