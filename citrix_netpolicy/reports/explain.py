"""An answer about a connection, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.net import Protocol
from citrix_netpolicy.policy import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from citrix_netpolicy.explain import Answer, Side
    from citrix_netpolicy.policy import Cause, Rule

__all__ = ["FORMATS", "cause_data", "cause_line"]

_VERSION: Final = 1


def text_lines(answers: Sequence[Answer]) -> Iterator[str]:
    """Yield the answers for a terminal, those that permit first."""
    if not answers:
        yield "nothing of this is permitted"
    for answer in sorted(answers, key=lambda one: (not one.is_permitted, one.source, one.destination)):
        what = answer.permitted if answer.is_permitted else answer.asked or "nothing"
        word = "permitted" if answer.is_permitted else "not permitted"
        yield f"{answer.source} -> {answer.destination}: {what} {word}"
        for cause in answer.causes:
            yield f"    because of {cause_line(cause)}"
        for side in answer.sides:
            yield from _side_lines(side)
        if not answer.is_permitted:
            yield from _remedy_lines(answer)


def cause_line(cause: Cause) -> str:
    """Return a cause with its place in the deployment and its sources."""
    place = f", {cause.mark}" if cause.mark else ""
    cited = f" ({'; '.join(cause.citations)})" if cause.citations else ""
    return f"{cause.kind} `{cause.id}`{place}: {cause.purpose}{cited}"


def cause_data(cause: Cause) -> dict[str, Any]:
    """Return a cause as data."""
    return {
        "kind": cause.kind,
        "id": cause.id,
        "purpose": cause.purpose,
        "citations": [*cause.citations],
        "place": str(cause.mark) if cause.mark else None,
    }


def _side_lines(side: Side) -> Iterator[str]:
    way = "in" if side.way is Direction.INGRESS else "out"
    if not side.permitted:
        yield f"    group of {side.tier}, {way}: nothing"
    for rule in side.rules:
        yield f"    group of {side.tier}, {way}: {_rule(rule)}"


def _rule(rule: Rule) -> str:
    return f"{rule.service} {'from' if rule.direction is Direction.INGRESS else 'to'} {rule.peer}"


def _remedy_lines(answer: Answer) -> Iterator[str]:
    for obstacle in answer.obstacles:
        told = f"entry `{obstacle.entry}` ({obstacle.purpose})"
        yield f"    {told} would permit it, but {obstacle.omission}: {obstacle.remedy}"
    for flow in answer.others:
        yield f"    between them, {flow.cause.kind} `{flow.cause.id}` opens {flow.services}"
    if not answer.obstacles:
        yield "    a flow of the deployment's own would permit it:"
        yield "        flows:"
        yield "          NAME:"
        yield f"            source: {answer.source}"
        yield f"            destination: {answer.destination}"
        yield f"            services: {_services(answer)}"
        yield "            reason: ..."


def _services(answer: Answer) -> str:
    """Return what was asked for as a deployment says it, where it was one range of ports."""
    blocks = answer.asked.blocks() if answer.asked else ()
    if len(blocks) == 1 and blocks[0].protocol in (Protocol.TCP, Protocol.UDP):
        first, last = blocks[0].first, blocks[0].last
        span = str(first) if first == last else f"{first}-{last}"
        return f"{{protocol: {blocks[0].protocol}, ports: [{span}]}}"
    return "{protocol: ..., ports: [...]}"


def json_lines(answers: Sequence[Answer]) -> Iterator[str]:
    """Yield the answers as JSON, version 1: keys are added within a version, never changed or removed."""
    yield from json.dumps(
        {"version": _VERSION, "answers": [_data(one) for one in answers]}, indent=2
    ).splitlines()


def _data(answer: Answer) -> dict[str, Any]:
    return {
        "source": answer.source,
        "destination": answer.destination,
        "permitted": answer.is_permitted,
        "services": [str(service) for service in answer.permitted.blocks()],
        "causes": [cause_data(cause) for cause in answer.causes],
        "groups": [
            {"tier": side.tier, "direction": str(side.way), "rules": [_rule(rule) for rule in side.rules]}
            for side in answer.sides
        ],
        "obstacles": [
            {
                "entry": one.entry,
                "kind": type(one.omission).__name__,
                "message": str(one.omission),
                "remedy": one.remedy,
            }
            for one in answer.obstacles
        ],
    }


FORMATS: Final = {"text": text_lines, "json": json_lines}
