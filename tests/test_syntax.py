"""The readers of JSON and HCL against independent ones, and what they refuse, with its place."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies import TryLaw, examples

from citrix_netpolicy import InputError
from citrix_netpolicy.syntax import hcl
from citrix_netpolicy.syntax.document import parse_json

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").rglob("module/**/*"))
TEXTS = st.text(alphabet=st.sampled_from('ab${}%"\\\n\t#/*é\U0001f600 '), max_size=8)
KEYS = st.sampled_from(["a", "b-c", "d e", "1", "null", "__x", "é", "a/b", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


# JSON


@examples(200)
@given(VALUES, st.sampled_from([None, 1]))
def test_json_is_read_as_python_reads_it(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert parse_json(text, "x.json").data == json.loads(text)


@pytest.mark.parametrize(
    "text", ["1.5", "-0", "1e3", "-1.25E-2", '"\\ud83d\\ude00"', " [ ] ", '{"a":{"a":[]}}']
)
def test_forms_of_json(text: str) -> None:
    assert parse_json(text, "x.json").data == json.loads(text)


def test_every_value_has_its_place() -> None:
    document = parse_json('{\n  "a": [1,\n    {"b": 2}],\n  "c": 3\n}', "x.json")
    assert str(document.mark(("a",))) == "x.json:2:3"
    assert str(document.mark(("a", 1))) == "x.json:3:5"
    assert str(document.mark(("a", 1, "b"))) == "x.json:3:6"
    assert str(document.mark(("c",))) == "x.json:4:3"


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("", "1:1", "not-json"),
        ("{", "1:2", "not-json"),
        ('{"a" 1}', "1:6", "not-json"),
        ('{"a": 1,}', "1:9", "not-json"),
        ("[1,]", "1:4", "not-json"),
        ("[1 2]", "1:4", "not-json"),
        ("{a: 1}", "1:2", "not-json"),
        ("1 2", "1:3", "not-json"),
        ("01", "1:2", "not-json"),
        ("NaN", "1:1", "not-json"),
        ('"a\nb"', "1:1", "not-json"),
        ('"\\ud83d"', "1:1", "not-json"),
        ('{"a": 1,\n "a": 2}', "2:2", "duplicate-key"),
        ("[" * 50, "1:42", "too-deep"),
        ('{\n<<<<<<< HEAD\n"a": 1\n}', "2:1", "merge-conflict"),
    ],
)
def test_json_is_refused_with_its_place(text: str, place: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(text, "x.json")
    (problem,) = caught.value.problems
    assert (str(problem.mark), problem.code) == (f"x.json:{place}", code)


def test_spoiled_json_is_read_as_python_reads_it_or_refused(try_law: TryLaw) -> None:
    outcomes: Counter[str] = Counter()

    @examples(150)
    @given(VALUES, st.integers(0, 40), st.sampled_from('{}[],:"\\ 0a'))
    @example([1, 2], 1, "0")
    @example({"a": "b"}, 2, "0")
    @example([1, 2], 2, ":")
    def is_read_or_refused(value: Any, place: int, char: str) -> None:
        text = json.dumps(value)
        spoiled = text[:place] + char + text[place + 1 :]
        try:
            found = parse_json(spoiled, "x.json").data
        except InputError as error:
            outcomes["refused"] += 1
            (problem,) = error.problems
        else:
            outcomes["read"] += 1
            assert found == json.loads(spoiled)
            return
        assert problem.mark
        # Python would read two keys of one name, and half of a character.
        if problem.code == "not-json" and "\\ud" not in spoiled:
            with pytest.raises(ValueError, match=r"line \d+ column"):
                json.loads(spoiled)

    try_law(is_read_or_refused)
    assert outcomes["read"] > 1
    assert outcomes["refused"] > 1


# HCL


def _written(value: Any, indent: int) -> str:
    if isinstance(value, dict):
        lines = (f"{hcl.literal(key)} = {_written(item, indent + 2)}\n" for key, item in value.items())
        return "{\n" + "".join(" " * indent + line for line in lines) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_written(item, indent) for item in value) + "]"
    return hcl.literal(value)


@examples(200)
@given(st.dictionaries(st.sampled_from(["a", "b", "c_d"]), VALUES, max_size=3))
def test_literals_of_hcl_are_read_back(value: dict[str, Any]) -> None:
    body = "".join(f"  {key} = {_written(item, 2)}\n" for key, item in value.items())
    found = hcl.read_literals(f"# head\n\nlocals {{\n{body}}}\n", "x.tf")
    assert json.dumps(found.data) == json.dumps({"locals": value})


# The smallest are fast.
RULES = sorted((path for path in EXAMPLES if path.name == "rules.tf"), key=lambda path: path.stat().st_size)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.parent.relative_to(path.parents[3]).as_posix(), marks=marks)
        for number, path in enumerate(RULES)
        for marks in [pytest.mark.slow if number >= 3 else ()]
    ],
)
def test_two_parsers_read_the_rules_of_every_example(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert hcl.plain(hcl.parse(text, "rules.tf")["locals"]) == [
        hcl.read_literals(text, "rules.tf").data["locals"]
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "1:1"),
        ("x = 1\n", "1:1"),
        ("locals {\n", "2:1"),
        ("locals {\n  a = b\n}\n", "2:7"),
        ("locals {\n  a = 1 + 1\n}\n", "2:9"),
        ('locals {\n  a = "${b}"\n}\n', "2:7"),
        ('locals {\n  a = "%{if b}"\n}\n', "2:7"),
        ("locals {\n  a = <<EOT\nx\nEOT\n}\n", "2:7"),
        ("locals {\n  a = 1\n  a = 2\n}\n", "3:3"),
        ("locals {\n  a = 1 b = 2\n}\n", "2:9"),
        ("locals {\n  a {\n  }\n}\n", "2:5"),
        ("locals {\n  a = [1 2]\n}\n", "2:10"),
        ("locals {\n  a = 1.5\n}\n", "2:7"),
        ('locals {\n  a = "\\q"\n}\n', "2:7"),
        ('locals {\n  a = "\\ud800"\n}\n', "2:7"),
        ("locals {\n}\nlocals {\n}\n", "3:1"),
        ("locals {\n  /* a = 1\n}\n", "2:3"),
        ("/*\n*/ x", "2:4"),
    ],
)
def test_what_is_no_literal_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        hcl.read_literals(text, "x.tf")
    (problem,) = caught.value.problems
    assert str(problem.mark) == f"x.tf:{place}"


def test_comments_and_commas_of_hcl() -> None:
    text = 'locals { # one\n  a = [1, // two\n    2,\n  ] /* three\n  four */\n  "b c" = "#"\n}\n'
    document = hcl.read_literals(text, "x.tf")
    assert document.data == {"locals": {"a": [1, 2], "b c": "#"}}
    assert str(document.mark(("locals", "a", 1))) == "x.tf:3:5"
    assert str(document.mark(("locals", "b c"))) == "x.tf:6:3"
