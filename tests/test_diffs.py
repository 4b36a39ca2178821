"""What a reviewer sees: a rule that changes is changed where it stands, beside itself in a diff."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import pytest
from support import real

from citrix_netpolicy import render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TARGETS = [("terraform", "aws"), ("terraform", "azure"), ("bicep", "azure")]
RULES = {"terraform": "rules.tf", "bicep": "main.bicep"}


def _xml_moves(data: dict[str, Any]) -> None:
    data["parameters"] = {**data["parameters"], "xml-service-port": 8085}


def _addresses_move(data: dict[str, Any]) -> None:
    data["external"]["admin-workstation"] = ["10.99.17.0/26", "10.99.17.64/26"]


def files_of(
    cloud: str, target: str, change: Callable[[dict[str, Any]], None] | None, before: Mapping[str, str]
) -> dict[str, str]:
    data = {**real.example("reference"), "cloud": cloud}
    if change:
        change(data)
    return dict(render(real.compile_data(data), target, previous=before).files)


@pytest.mark.parametrize(("target", "cloud"), TARGETS)
@pytest.mark.parametrize("change", [_xml_moves, _addresses_move])
def test_a_change_stays_in_its_place(
    target: str, cloud: str, change: Callable[[dict[str, Any]], None]
) -> None:
    before = files_of(cloud, target, None, {})
    after = files_of(cloud, target, change, before)
    for name in (RULES[target], "README.md"):
        old, new = (files[name].splitlines() for files in (before, after))
        steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        moved = [step for step in steps if step[0] != "equal"]
        assert moved
        # No line comes or goes alone: each stands where the one stood that it replaces.
        assert {(tag, last - first) for tag, first, last, _, _ in moved} == {
            ("replace", last - first) for _, _, _, first, last in moved
        }
