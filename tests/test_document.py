"""The reader: plain values, and the place of every key and value."""

from __future__ import annotations

import json
import re
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from citrix_netpolicy.errors import InputError, Mark, show_path
from citrix_netpolicy.syntax.document import Document, load, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True, params=["CSafeLoader", "SafeLoader"])
def _each_parser(request: pytest.FixtureRequest) -> Iterator[None]:
    """Read with libyaml, and as where PyYAML was built without it."""
    if not hasattr(yaml, request.param):
        pytest.skip(f"PyYAML has no {request.param} here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("citrix_netpolicy.syntax.yaml._Loader", getattr(yaml, request.param))
        yield


def read(text: str) -> Document:
    return parse(text.encode(), "file")


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read(text)
    (problem,) = caught.value.problems
    return str(problem)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("443", 443),
        ("0", 0),
        ("-7", -7),
        ("999999999999999999", 10**18 - 1),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("''", ""),
        ("'true'", "true"),
        ('"443"', "443"),
        ("'~'", "~"),
        ("|\n  443\n", "443\n"),
        # What YAML 1.1 would guess at stays text.
        *(
            (text, text)
            for text in (
                *(
                    "010",
                    "+7",
                    "0x1f",
                    "0o17",
                    "0b1",
                    "1_000",
                    "22:30",
                    "1:2:3",
                    "1e3",
                    "1.5",
                    ".inf",
                    "-0.0",
                ),
                *("yes", "no", "on", "off", "y", "n", "True", "TRUE", "Null", "NULL", "2024-01-02", "="),
                *("1" * 20, "\u0661", "10.0.0.0/8", "2001:db8::/32"),
            )
        ),
    ],
)
def test_values(text: str, value: Any) -> None:
    data = read(f"key: {text}").data["key"]
    assert data == value
    assert type(data) is type(value)


def test_keys_are_text() -> None:
    assert read("1: a\ntrue: b\nnull: c\n'': d\n010: e").data == {
        "1": "a",
        "true": "b",
        "null": "c",
        "": "d",
        "010": "e",
    }


def test_every_key_and_item_has_its_place() -> None:
    found = read("# head\na:\n  b: [x, {c: y}]\n  d:\n    - 1\n    - - 2\n")
    assert found.data == {"a": {"b": ["x", {"c": "y"}], "d": [1, [2]]}}
    places: dict[tuple[str | int, ...], tuple[int, int]] = {
        ("a",): (2, 1),
        ("a", "b"): (3, 3),
        ("a", "b", 0): (3, 7),
        ("a", "b", 1): (3, 10),
        ("a", "b", 1, "c"): (3, 11),
        ("a", "d"): (4, 3),
        ("a", "d", 0): (5, 7),
        ("a", "d", 1): (6, 7),
        ("a", "d", 1, 0): (6, 9),
    }
    assert {path: found.mark(path) for path in places} == {
        path: Mark("file", *place) for path, place in places.items()
    }


def test_columns_count_characters() -> None:
    assert read("{\u00e9\u4e2d: 1, b: 2}").mark(("b",)) == Mark("file", 1, 9)


def test_the_closest_place_is_found() -> None:
    found = read("tiers:\n  ddc: [10.0.0.1]\n")
    assert found.mark(("tiers", "ddc", 0)) == Mark("file", 2, 9)
    # The short form has no `subnets`, so that step is skipped.
    assert found.mark(("tiers", "ddc", "subnets", 0)) == Mark("file", 2, 9)
    assert found.mark(("tiers", "ddc", "roles")) == Mark("file", 2, 3)
    assert found.mark(("tiers", "vda", "subnets")) == Mark("file", 1, 1)
    assert found.mark(("elsewhere",)) == Mark("file", 1, 1)
    assert found.mark(()) == Mark("file", 1, 1)
    assert read("# head\na: 1\n").mark(()) == Mark("file", 1, 1)


def test_paths_are_shown_as_people_write_them() -> None:
    assert show_path(()) == ""
    assert show_path(("tiers", "ddc", "subnets", 0)) == "tiers.ddc.subnets[0]"
    assert show_path((0, "a", 1, 2)) == "[0].a[1][2]"


@pytest.mark.parametrize("text", ["name: site\r\ncloud: aws\r\n", "\ufeffname: site\ncloud: aws"])
def test_line_ends_and_a_byte_order_mark_change_nothing(text: str) -> None:
    found = read(text)
    assert found.data == {"name": "site", "cloud": "aws"}
    assert found.mark(("cloud",)) == Mark("file", 2, 1)


def test_a_document_may_have_its_marks() -> None:
    assert read("%YAML 1.1\n---\na: 1\n...\n").data == {"a": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "file:1:1: the file is empty"),
        ("# only\n", "file:2:1: the file is empty"),
        ("a: 1\n---\nb: 2\n", "file:2:1: the file contains more than one YAML document"),
        ("a: 1\nb:\n  a: 1\n  a: 2\n", "file:4:3: duplicate key `a`, first defined on line 3"),
        ("1: a\n'1': b\n", "file:2:1: duplicate key `1`, first defined on line 1"),
        ("a: &x 1\nb: *x\n", "file:2:4: the alias `*x` is not supported (help: write the value out)"),
        ("a: &x [*x]\n", "file:1:8: the alias `*x` is not supported (help: write the value out)"),
        ("a: !!str 1\n", "file:1:4: the tag `tag:yaml.org,2002:str` is not supported"),
        ("a: !x {b: 1}\n", "file:1:4: the tag `!x` is not supported"),
        ("{a: 1}: 2\n", "file:1:1: expected a plain key"),
        ("a:\n\t- 1\n", "file:2:1: found a tab where YAML requires spaces (help: indent with spaces)"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    assert refusal(text) == said


@pytest.mark.parametrize(
    ("text", "line", "near"),
    [
        ("%YAML 9.9\n---\na: 1\n", 1, "%YAML 9.9"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "c: 3"),
        ("a: 1\n b: 2\n", 2, "b: 2"),
        ("a: 1\nb: @x\n", 2, "b: @x"),
    ],
)
def test_what_the_parser_refuses_is_told_with_its_line(text: str, line: int, near: str) -> None:
    # The rest of the message is in the words of the parser, and the column is where it gave up.
    found = re.fullmatch(r"file:([0-9]+):[1-9][0-9]*: not valid YAML near `(.*)`: .+", refusal(text))
    assert found
    assert (int(found[1]), found[2]) == (line, near)


def test_an_anchor_alone_is_harmless() -> None:
    assert read("a: &x 1\n").data == {"a": 1}


def test_bounds() -> None:
    assert read("[" * 40 + "]" * 40).data
    assert refusal("[" * 41 + "]" * 41) == "file:1:41: values are nested more than 40 levels deep"


@pytest.mark.slow
def test_the_largest_file() -> None:
    limit = 4 * 1024 * 1024
    assert parse(b"a" * limit, "file").data == "a" * limit
    with pytest.raises(InputError, match=r"^file:1:1: the file is larger than 4 MiB$"):
        parse(b"a" * (limit + 1), "file")


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n")
    assert load(path).file == str(path)
    assert load(path, "shown").mark(()) == Mark("shown", 1, 1)
    with pytest.raises(InputError, match=r"^shown:1:1: cannot read the file: No such file or directory$"):
        load(tmp_path / "b.yaml", "shown")


def test_load_reads_inside_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("folder/a.yaml", "a: 1\n")
        assert load(zipfile.Path(archive, "folder/a.yaml")).data == {"a": 1}


WORDS = st.text(st.characters(max_codepoint=0xFFFD, exclude_categories=["Cs"]), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN, st.sampled_from([None, 2]))
@settings(max_examples=200)
def test_json_is_read_as_it_is(value: Any, indent: int | None) -> None:
    assert read(json.dumps(value, indent=indent)).data == value


@given(st.lists(WORDS, unique=True, min_size=1, max_size=5))
def test_every_key_is_marked_where_it_stands(keys: list[str]) -> None:
    found = read("".join(f"{json.dumps(key)}: 1\n" for key in keys))
    assert [found.mark((key,)) for key in keys] == [Mark("file", line, 1) for line in range(1, len(keys) + 1)]
