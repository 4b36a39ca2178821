"""How two policies differ, for reviewers and for programs: what is opened and closed, riskiest first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.compare import Verdict
from citrix_netpolicy.net import Protocol, ServiceSet, ports
from citrix_netpolicy.reports.explain import cause_data, cause_line
from citrix_netpolicy.syntax.markdown import cell
from citrix_netpolicy.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from citrix_netpolicy.compare import Comparison, Difference
    from citrix_netpolicy.policy import Cause

__all__ = ["FORMATS", "Risk", "changes_of", "json_lines", "markdown_lines", "text_lines"]

_VERSION: Final = 1
# The documented most of a comment on GitHub, less room for what others put around it.
_COMMENT: Final = 65_000
# By this, a workflow finds the comment that it wrote before.
MARKER: Final = "<!-- citrix-netpolicy diff -->"
# Where machines are administered: SSH, Remote Desktop, WinRM, RPC with SMB.
_MANAGEMENT: Final = ServiceSet.of(*(ports(Protocol.TCP, port) for port in (22, 135, 445, 3389, 5985, 5986)))


class Risk(IntEnum):
    """Why a reviewer should look at a change first."""

    INTERNET = 0
    NEW_PAIR = 1
    MANAGEMENT = 2
    OTHER = 3
    CLOSED = 4

    @property
    def word(self) -> str:
        """What people read."""
        return {0: "INTERNET", 1: "new pair", 2: "management port"}.get(self, "")


@dataclass(frozen=True, slots=True)
class Change:
    """What is opened or closed between two ends, as all groups that say it see it."""

    differences: tuple[Difference, ...]
    risk: Risk
    tiers: frozenset[str] = frozenset()

    @property
    def first(self) -> Difference:
        """Any of them: they share ends and services."""
        return self.differences[0]

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Why it is so, each once."""
        return tuple(dict.fromkeys(cause for one in self.differences for cause in one.causes))

    @property
    def sides(self) -> str:
        """At whose group, where both ends have one and only one of them says so."""
        said = {one.tier for one in self.differences}
        return f"at the group of {min(said)} alone" if self.tiers.intersection(self.first.pair) - said else ""

    def __str__(self) -> str:
        one = self.first
        told = f"{'opened' if one.is_opened else 'closed'}  {one.source} -> {one.destination}: {one.services}"
        notes = ", ".join(filter(None, (self.risk.word, self.sides)))
        return f"{told} [{notes}]" if notes else told


def changes_of(comparison: Comparison, world: Iterable[str] = ()) -> list[Change]:
    """Return what is opened and closed, riskiest first; `world` are the ends that are anybody."""
    anybody = {"any address", "Internet", *world}

    def key(one: Difference) -> tuple[Any, ...]:
        return (one.pair, not one.is_opened, str(one.services))

    changes = []
    for _, alike in groupby(sorted(comparison.differences, key=key), key=key):
        found = tuple(alike)
        changes.append(Change(found, _risk(found[0], anybody), comparison.tiers))
    return sorted(changes, key=lambda change: (change.risk, key(change.first)))


def _risk(one: Difference, anybody: set[str]) -> Risk:
    if not one.is_opened:
        return Risk.CLOSED
    if anybody & set(one.pair):
        return Risk.INTERNET
    if one.is_new_pair:
        return Risk.NEW_PAIR
    return Risk.MANAGEMENT if one.services & _MANAGEMENT else Risk.OTHER


def _summary(comparison: Comparison) -> str:
    verdicts = [*comparison.verdicts.values()]
    counts = {verdict: verdicts.count(verdict) for verdict in Verdict}
    told = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    respelled = comparison.respelled
    rules = "1 rule says" if respelled == 1 else f"{respelled} rules say"
    more = f"; {rules} the same in other words" if respelled else ""
    return f"{comparison.verdict}: {', '.join(told) or 'nothing is permitted'} (pairs of ends){more}"


def text_lines(comparison: Comparison, changes: Sequence[Change]) -> Iterator[str]:
    """Yield the difference for a terminal."""
    yield _summary(comparison)
    for change in changes:
        yield str(change)
        packet = change.first.packet
        yield f"    for example {_example(change.first)} ({packet.service})"
        for cause in change.causes:
            yield f"    because of {cause_line(cause)}"
        for origin in sorted({o.address for one in change.differences for o in one.origins}):
            yield f"    in {origin}"


def _example(one: Difference) -> str:
    peer, other = one.packet.peer, f"tier {one.tier}"
    return f"{peer} to {other}" if one.source != one.tier else f"{other} to {peer}"


def markdown_lines(comparison: Comparison, changes: Sequence[Change]) -> Iterator[str]:
    """Yield the difference as a comment on a pull request, below the size that one may have."""
    head = [MARKER, f"**Network policy: {comparison.verdict}**", "", _summary(comparison), ""]
    yield from head
    if not changes:
        return
    table = ["| | from | to | service | why |", "|---|---|---|---|---|"]
    yield from table
    left = _COMMENT - sum(len(line) + 1 for line in (*head, *table)) - 200
    rows = [_row(change) for change in changes]
    shown = 0
    for row in rows:
        left -= len(row) + 1
        if left < 0:
            break
        yield row
        shown += 1
    if shown < len(rows):
        yield ""
        yield f"and {len(rows) - shown} more, which this comment has no room for; the artefact has all"
        return
    yield from _folded(changes, left)


def _row(change: Change) -> str:
    one = change.first
    sign = "\u2795 opened" if one.is_opened else "\u2796 closed"
    notes = ", ".join(filter(None, (change.risk.word, change.sides)))
    why = "; ".join(f"`{cause.id}`" for cause in change.causes[:3])
    more = f" and {len(change.causes) - 3} more" if len(change.causes) > 3 else ""
    services = (f"**{cell(notes)}** " if notes else "") + cell(str(one.services))
    return f"| {sign} | {cell(one.source)} | {cell(one.destination)} | {services} | {why}{more} |"


def _folded(changes: Sequence[Change], left: int) -> Iterator[str]:
    """Yield the causes with their places and sources, folded, as long as there is room."""
    lines = ["", "<details><summary>Causes and sources</summary>", ""]
    for change in changes:
        for cause in change.causes:
            one = change.first
            lines.append(f"- {cell(one.source)} to {cell(one.destination)}: {cell(cause_line(cause))}")
    lines += ["", "</details>"]
    if sum(len(line) + 1 for line in lines) < left:
        yield from lines


def json_lines(comparison: Comparison, changes: Sequence[Change]) -> list[str]:
    """Return the difference as JSON, version 1: keys are added within a version, never changed or removed."""
    data = {
        "version": _VERSION,
        "verdict": str(comparison.verdict),
        "pairs": [
            {"source": source, "destination": destination, "verdict": str(verdict)}
            for (source, destination), verdict in comparison.verdicts.items()
        ],
        "respelled": comparison.respelled,
        "changes": [_data(change) for change in changes],
    }
    return json.dumps(data, indent=2).splitlines()


def _data(change: Change) -> dict[str, Any]:
    one = change.first
    return {
        "source": one.source,
        "destination": one.destination,
        "opened": one.is_opened,
        "services": [str(service) for service in one.services.blocks()],
        "risk": change.risk.name.lower().replace("_", "-"),
        "groups": sorted({each.tier for each in change.differences}),
        "example": {"peer": one.packet.peer, "tier": one.tier, "service": one.packet.service},
        "causes": [cause_data(cause) for cause in change.causes],
        "rules": sorted({origin.address for each in change.differences for origin in each.origins}),
    }


# What GitHub takes of one run.
_RESULTS: Final = 5000


def sarif_lines(_: Comparison, changes: Sequence[Change]) -> list[str]:
    """Return what is opened as SARIF 2.1.0, each at the line of the deployment that asks for it.

    What the catalogue alone asks for has no line; such a result has no place. Closed connections are notes.
    """
    rules = [
        {"id": "opened", "shortDescription": {"text": "A connection is opened"}},
        {"id": "closed", "shortDescription": {"text": "A connection is closed"}},
    ]
    driver = {"name": "citrix-netpolicy", "version": __version__, "rules": rules}
    results = [_result(change) for change in changes[:_RESULTS]]
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    run = {"tool": {"driver": driver}, "results": results}
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2).splitlines()


def _result(change: Change) -> dict[str, Any]:
    level = "note" if change.risk is Risk.CLOSED else "error" if change.risk is Risk.INTERNET else "warning"
    marks = [cause.mark for cause in change.causes if cause.mark]
    places = [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": mark.file.replace("\\", "/")},
                "region": {"startLine": mark.line, "startColumn": mark.column},
            }
        }
        for mark in marks[:1]
    ]
    because = "; ".join(cause_line(cause) for cause in change.causes[:5])
    return {
        "ruleId": "opened" if change.first.is_opened else "closed",
        "level": level,
        "message": {"text": f"{change}{f': {because}' if because else ''}"},
        "locations": places,
    }


FORMATS: Final = {"text": text_lines, "markdown": markdown_lines, "json": json_lines, "sarif": sarif_lines}
