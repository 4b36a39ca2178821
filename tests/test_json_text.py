"""The text of JSON that is written is that of the standard library, byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrix_netpolicy.syntax.json import indented

TEXTS = st.sampled_from(["", "a", '"', "\\", "\n", "\u00e9", "\u2028", "\U0001f600", "</"])
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_the_text_is_that_of_the_standard_library(value: object) -> None:
    assert indented(value) == json.dumps(value, indent=2)


@pytest.mark.parametrize("value", [(), ((), {}), {"a": (1, [2])}, {"a": {"b": []}}])
def test_tuples_are_lists(value: object) -> None:
    assert indented(value) == json.dumps(value, indent=2)


def test_a_list_in_several_places_has_the_indentation_of_each() -> None:
    shared = [1, [2, 3]]
    value = {"a": shared, "b": [shared, {"c": shared}], "d": [[1, [2, 3]], shared]}
    assert indented(value) == json.dumps(value, indent=2)
