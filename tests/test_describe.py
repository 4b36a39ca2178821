"""Descriptions of rules fit the length and the characters that a cloud accepts, and count what they drop."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrix_netpolicy.policy import Cause
from citrix_netpolicy.targets.describe import describe, plain_text

# The characters of a security group rule's description, as the EC2 API reference lists them.
ACCEPTED = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]*\Z")
PURPOSES = st.lists(st.text(max_size=40) | st.sampled_from(["HDX", "ICA -> VDA", "XML & STA"]), max_size=8)


def causes(purposes: list[str]) -> list[Cause]:
    return [Cause(f"entry-{index}", purpose, ()) for index, purpose in enumerate(purposes)]


@pytest.mark.parametrize(
    ("purposes", "limit", "text"),
    [
        ([], 255, ""),
        (["HDX sessions"], 255, "HDX sessions"),
        (["A", "B", "C"], 255, "A; B; C"),
        (["A", "B", "A"], 255, "A; B"),
        (["A" * 10, "B" * 10, "C" * 10], 34, "A" * 10 + "; " + "B" * 10 + "; " + "C" * 10),
        (["A" * 10, "B" * 10, "C" * 10, "D"], 36, "A" * 10 + "; " + "B" * 10 + "; and 2 more"),
        (["A" * 10, "B" * 10, "C" * 10], 33, "A" * 10 + "; and 2 more"),
        (["A" * 10, "B" * 10, "C" * 10], 25, "A" * 10 + "; and 2 more"),
        (["A" * 30, "B"], 20, "entry-0; entry-1"),
        (["A" * 30, "B", "C"], 22, "entry-0; and 2 more"),
        (["A" * 30], 20, "entry-0"),
        (["A" * 20], 20, "A" * 20),
        (["A" * 21], 20, "entry-0"),
    ],
)
def test_examples(purposes: list[str], limit: int, text: str) -> None:
    assert describe(causes(purposes), limit) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("HDX -> VDA", "HDX to VDA"),
        ("caf\u00e9 \u2014 b\u00fcro", "cafe buro"),
        ("a & b", "a b"),
        ('say "${x}" <b>', "say ${x} b"),
        ("  two\n lines\t", "two lines"),
        ("\u4e2d\u6587", ""),
        ("._-:/()#,@[]+=;{}!$*", "._-:/()#,@[]+=;{}!$*"),
    ],
)
def test_plain_text(text: str, plain: str) -> None:
    assert plain_text(text) == plain


@given(PURPOSES, st.integers(20, 255))
def test_laws(purposes: list[str], limit: int) -> None:
    text = describe(causes(purposes), limit)
    assert len(text) <= limit
    assert ACCEPTED.match(text)
    assert text == describe(causes(purposes), limit)
    # A text is whole or counted, never cut.
    whole = [*dict.fromkeys(filter(None, map(plain_text, purposes)))]
    if more := re.search(r"(?:\A|; )and ([0-9]+) more\Z", text):
        text = text[: more.start()]
        ids = [f"entry-{index}" for index in range(len(purposes))]
        left = int(more[1])
        assert text in {"; ".join(lines[: len(lines) - left]) for lines in (whole, ids)}
    else:
        assert text in {"; ".join(whole), "; ".join(f"entry-{index}" for index in range(len(purposes)))}


@given(st.text())
def test_plain_text_is_plain_already(text: str) -> None:
    assert ACCEPTED.match(plain_text(text))
    assert plain_text(plain_text(text)) == plain_text(text)


def test_an_empty_purpose_leaves_no_trace() -> None:
    assert describe(causes(["\u4e2d\u6587", "A"]), 255) == "A"
