"""A reason reaches those who read rules: whole in reports, and in rules as far as a cloud accepts it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from citrix_netpolicy import Deployment, InputError, Module, compile_deployment, render
from citrix_netpolicy.inputs.deployment import Exclusion
from citrix_netpolicy.syntax import document
from citrix_netpolicy.targets import TARGETS
from citrix_netpolicy.targets.describe import plain_text

CYRILLIC = "\u043c\u043e\u043d\u0438\u0442\u043e\u0440\u0438\u043d\u0433"
NASTY = "a | b `c` <d> *e* [f](g) \\ _h_ ~i~ ${j} %{k} \"l\" 'm' &amp; #n"
CASES = [(target, cloud) for target, clouds in TARGETS.items() for cloud in clouds]
WITH_README = [(target, cloud) for target, cloud in CASES if target in ("bicep", "terraform")]


def _data(cloud: str, reason: Any) -> dict[str, Any]:
    flow = {"source": "watch", "destination": "vda", "services": {"protocol": "tcp", "ports": [9182]}}
    return {
        "name": "site",
        "cloud": cloud,
        "tiers": {"vda": ["10.0.0.0/24"]},
        "external": {"watch": {"roles": ["admin-workstation"], "addresses": ["192.0.2.0/24"]}},
        "flows": {"metrics": {**flow, "reason": reason}},
    }


def _rendered(target: str, cloud: str, reason: str) -> Module:
    return render(compile_deployment(Deployment(**_data(cloud, reason))), target)


@pytest.mark.parametrize("reason", [CYRILLIC, f"{CYRILLIC}!", "\u76d1\u63a7", "|", "`", "->", "", " "])
def test_a_reason_that_no_cloud_accepts_a_letter_of_is_refused(reason: str) -> None:
    text = json.dumps(_data("aws", reason), ensure_ascii=False, indent=1)
    with pytest.raises(InputError) as caught:
        Deployment.from_document(document.parse(text.encode(), "site.yaml"))
    (problem,) = caught.value.problems
    assert problem.path == ("flows", "metrics", "reason")
    line = next(n for n, one in enumerate(text.splitlines(), 1) if '"reason"' in one)
    assert problem.mark
    assert problem.mark.line == line
    # It says what is wanted, and not only that this is wrong.
    assert "reason" in problem.message
    assert re.search("letters|ASCII", problem.message)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("\u00e9", "e"),
        ("\u00c9\u00ea", "Ee"),
        ("\uff11", "1"),
        ("\u2460", "1"),
        (f"{CYRILLIC} \u00df \u00fc", "u"),
    ],
)
def test_a_letter_that_a_rule_keeps_without_its_accent_is_enough(reason: str, kept: str) -> None:
    assert plain_text(reason) == kept
    assert f'"{kept}"' in _rendered("terraform", "aws", reason).files["rules.tf"]


@given(
    st.text(
        st.sampled_from("a\u00e9\u00df\u0133\u043c\u0439\u76d1\uff11\u2460\u00bd|` \u0301-.")
        | st.characters(),
        max_size=4,
    )
)
def test_a_reason_is_taken_exactly_where_a_rule_keeps_something_of_it(reason: str) -> None:
    assume("->" not in reason)  # an arrow becomes a word, and still says nothing
    is_kept = re.search("[A-Za-z0-9]", plain_text(reason)) is not None
    try:
        taken = Exclusion(entry="ddc-vda", reason=reason)
    except ValidationError:
        taken = None
    assert (taken is not None) == is_kept


@pytest.mark.parametrize("key", ["exclude", "accept"])
def test_every_reason_is_held_to_the_same(key: str) -> None:
    items = {
        "exclude": {"entry": "ddc-vda", "reason": CYRILLIC},
        "accept": {"finding": "icmp-widened", "subject": "vda", "reason": CYRILLIC},
    }
    with pytest.raises(InputError) as caught:
        Deployment(**{**_data("aws", "fine"), key: [items[key]]})
    (problem,) = caught.value.problems
    assert problem.path == (key, 0, "reason")


@pytest.mark.parametrize(("target", "cloud"), CASES)
@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (f"{CYRILLIC} Prometheus", "Prometheus"),
        (f"Prometheus ({CYRILLIC})", "Prometheus ()"),
        ("caf\u00e9 \u2014 metrics", "cafe metrics"),
        ("a | b `c`", "a b c"),
    ],
)
def test_a_rule_keeps_what_its_cloud_accepts(target: str, cloud: str, reason: str, kept: str) -> None:
    module = _rendered(target, cloud, reason)
    said = [text for name, text in module.files.items() if not name.endswith(".md")]
    quoted = [f'"{kept}"', f"'{kept}'"]
    assert any(text in file for text in quoted for file in said)
    assert not any(CYRILLIC in file for file in said)


@pytest.mark.parametrize(("target", "cloud"), WITH_README)
@pytest.mark.parametrize("reason", [NASTY, f"{CYRILLIC} web", "| | |", "a\nb | c\n"])
def test_a_readme_has_the_whole_reason_in_one_cell(target: str, cloud: str, reason: str) -> None:
    reason = f"x {reason}"
    readme = _rendered(target, cloud, reason).files["README.md"]
    rows = [line for line in readme.splitlines() if "flow:metrics" in line]
    assert rows
    heads = next(line for line in readme.splitlines() if line.startswith("| Group |"))
    for row in rows:
        cells = _cells(row)
        assert len(cells) == len(_cells(heads)), row
        why = cells[_cells(heads).index("Why")]
        shown = why.replace("<!-- -->", "").replace("<span>$</span>", "$")
        assert re.sub(r"\\([^\w\s])|\\(_)", r"\1\2", shown) == f"{' '.join(reason.split())} (flow:metrics)"
        # Nothing of it is code, emphasis, a link or an element.
        assert not re.search(r"(?<!\\)[`*<\[~]", why.replace("<!-- -->", "").replace("<span>$</span>", "$"))


def _cells(row: str) -> list[str]:
    """Split a row of a table where Markdown does: at bars that are not escaped."""
    parts = re.split(r"(?<!\\)(?:\\\\)*\|", row)
    assert parts[0] == parts[-1] == ""
    return [part.strip() for part in parts[1:-1]]


@pytest.mark.parametrize(("target", "cloud"), CASES)
def test_the_reason_of_an_exclusion_is_told_whole(target: str, cloud: str) -> None:
    exclude = [{"entry": "ddc-vda", "reason": f"{CYRILLIC} x | `y`"}]
    compilation = compile_deployment(Deployment(**{**_data(cloud, "fine"), "exclude": exclude}))
    (omission,) = (one for one in compilation.resolution.omissions if one.entry == "ddc-vda")
    assert str(omission) == f"excluded by the deployment: {CYRILLIC} x | `y`"
    assert render(compilation, target).files
