"""Covers by rectangles: exact, canonical, and as few as there can be on every small matrix."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from functools import cache
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import examples

from citrix_netpolicy.cover import Cover, Rectangle, minimum_cover

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Matrix = tuple[frozenset[int], ...]


def _matrix(*rows: str) -> Matrix:
    """Read rows such as `110`."""
    return tuple(frozenset(column for column, digit in enumerate(row) if digit == "1") for row in rows)


def _numbered(numbers: Iterable[int], width: int) -> Matrix:
    """Return the matrix whose rows are the bits of numbers."""
    return tuple(frozenset(c for c in range(width) if number >> c & 1) for number in numbers)


def _all_but_one(size: int) -> Matrix:
    """Return ones everywhere but on the diagonal."""
    return tuple(frozenset(range(size)) - {row} for row in range(size))


def _random(seed: int, size: int, share: float) -> Matrix:
    draw = Random(seed)
    return tuple(frozenset(c for c in range(size) if draw.random() < share) for _ in range(size))


def _planted(seed: int, size: int, groups: int) -> Matrix:
    """Return a union of `groups` rectangles, each of a tenth of the rows and columns or so."""
    draw = Random(seed)
    rows: list[set[int]] = [set() for _ in range(size)]
    for _ in range(groups):
        columns = {c for c in range(size) if draw.random() < 0.1}
        for row in rows:
            row.update(columns if draw.random() < 0.1 else ())
    return tuple(map(frozenset, rows))


def _ones(rows: Sequence[frozenset[int]]) -> set[tuple[int, int]]:
    return {(number, column) for number, row in enumerate(rows) for column in row}


def _held(rectangles: Iterable[Rectangle]) -> set[tuple[int, int]]:
    return {pair for found in rectangles for pair in itertools.product(found.rows, found.columns)}


def _order(rectangle: Rectangle) -> tuple[list[int], list[int]]:
    return sorted(rectangle.rows), sorted(rectangle.columns)


def _rectangle(rows: Iterable[int], columns: Iterable[int]) -> Rectangle:
    return Rectangle(frozenset(rows), frozenset(columns))


def _check(rows: Sequence[frozenset[int]], cover: Cover) -> None:
    """Hold a cover to all that is promised of every cover."""
    found = cover.rectangles
    assert _held(found) == _ones(rows)
    assert list(found) == sorted(set(found), key=_order)
    assert all(rectangle.rows and rectangle.columns for rectangle in found)
    assert cover.lower_bound <= len(found)
    assert cover.is_minimum == (cover.proof != "none") == (cover.lower_bound == len(found))


def _check_maximal(rows: Sequence[frozenset[int]], cover: Cover) -> None:
    for found in cover.rectangles:
        assert found.rows == {number for number, row in enumerate(rows) if found.columns <= row}
        assert found.columns == frozenset.intersection(*(rows[number] for number in found.rows))


# The true minimum, from unions alone


@cache
def _ranks(height: int, width: int) -> bytes:
    """Return the fewest rectangles of every matrix; the ones of matrix n are the bits of n."""
    rectangles = {
        sum(columns << width * row for row in range(height) if rows >> row & 1)
        for rows in range(1, 1 << height)
        for columns in range(1, 1 << width)
    }
    ranks = bytearray([255]) * (1 << height * width)
    ranks[0] = 0
    edge = [0]
    for rank in itertools.count(1):
        reached = {matrix | rectangle for matrix in edge for rectangle in rectangles}
        edge = [matrix for matrix in reached if ranks[matrix] == 255]
        if not edge:
            return bytes(ranks)
        for matrix in edge:
            ranks[matrix] = rank
    raise AssertionError


def _check_minimum(numbers: Sequence[int], width: int) -> None:
    rows = _numbered(numbers, width)
    cover = minimum_cover(rows)
    _check(rows, cover)
    _check_maximal(rows, cover)
    assert cover.is_minimum
    whole = sum(number << width * row for row, number in enumerate(numbers))
    assert len(cover.rectangles) == _ranks(len(numbers), width)[whole], rows


@pytest.mark.slow
def test_the_search_for_the_true_minimum_knows_the_classic_cases() -> None:
    assert _ranks(2, 2)[0b1111] == 1
    assert _ranks(2, 2)[0b1001] == 2
    assert _ranks(2, 2)[0b0111] == 2
    assert _ranks(4, 4)[0b0111_1011_1101_1110] == 4


def test_minimum_on_all_3x3() -> None:
    for numbers in itertools.product(range(8), repeat=3):
        _check_minimum(numbers, 3)


@pytest.mark.slow
def test_minimum_on_all_4x4_up_to_the_order_of_rows() -> None:
    for numbers in itertools.combinations_with_replacement(range(16), 4):
        _check_minimum(numbers, 4)


@pytest.mark.long
def test_minimum_on_all_4x4() -> None:
    for numbers in itertools.product(range(16), repeat=4):
        _check_minimum(numbers, 4)


@pytest.mark.long
def test_minimum_on_all_3x5_and_5x3() -> None:
    for numbers in itertools.product(range(32), repeat=3):
        _check_minimum(numbers, 5)
    for numbers in itertools.product(range(8), repeat=5):
        _check_minimum(numbers, 3)


@pytest.mark.slow
@examples(200)
@given(numbers=st.lists(st.integers(0, 31), min_size=3, max_size=3))
def test_minimum_on_some_3x5(numbers: list[int]) -> None:
    _check_minimum(numbers, 5)


def _fewest_by_trial(rows: Matrix) -> int:
    """Try every choice of maximal rectangles, the smallest choices first."""
    meets = [
        frozenset.intersection(*(rows[number] for number in numbers))
        for size in range(1, len(rows) + 1)
        for numbers in itertools.combinations(range(len(rows)), size)
    ]
    held = [{(n, c) for n, row in enumerate(rows) if columns <= row for c in columns} for columns in {*meets}]
    ones = _ones(rows)
    for size in itertools.count():
        if any(set().union(*chosen) == ones for chosen in itertools.combinations(held, size)):
            return size
    raise AssertionError


@examples(60)
@given(rows=st.lists(st.frozensets(st.sampled_from(range(6)), min_size=1), min_size=5, max_size=6))
def test_minimum_on_some_6x6(rows: list[frozenset[int]]) -> None:
    cover = minimum_cover(rows)
    _check(rows, cover)
    assert cover.is_minimum
    assert len(cover.rectangles) == _fewest_by_trial(tuple(rows))


@pytest.mark.parametrize(
    "rows",
    [
        _matrix("1110011", "0110111", "1101010", "1110110", "1101011", "1111010", "1011111"),
        _matrix("1110111", "0111110", "1111101", "1011101", "0111001", "1011100", "1101111"),
    ],
)
def test_a_cell_may_need_a_group_of_its_own_although_another_has_room(rows: Matrix) -> None:
    cover = minimum_cover(rows)
    _check(rows, cover)
    assert (len(cover.rectangles), cover.proof) == (5, "search")
    assert _fewest_by_trial(rows) == 5


@pytest.mark.parametrize("size", range(4, 11))
def test_what_no_fooling_set_proves_a_search_does(size: int) -> None:
    """Three ones off the diagonal at most fool; as many rectangles are needed as give each row a subset."""
    rows = _all_but_one(size)
    cover = minimum_cover(rows)
    _check(rows, cover)
    assert cover.proof == "search"
    assert len(cover.rectangles) == next(k for k in range(size + 1) if math.comb(k, k // 2) >= size)


def test_separate_blocks_are_proved_one_by_one() -> None:
    rows = [frozenset(c + 20 * block for c in row) for block in range(4) for row in _all_but_one(8)]
    cover = minimum_cover(rows)
    _check(rows, cover)
    assert (len(cover.rectangles), cover.proof) == (20, "search")


@pytest.mark.parametrize("seed", range(3))
def test_planted_groups_are_found_and_proved(seed: int) -> None:
    rows = _planted(seed, 60, 25)
    cover = minimum_cover(rows)
    _check(rows, cover)
    _check_maximal(rows, cover)
    assert cover.is_minimum
    assert len(cover.rectangles) <= 25


# What a cover depends on

_ROWS = st.frozensets(st.sampled_from((0, 1, 2, 3, 5, 8, 40)))
_MATRICES = st.lists(_ROWS, max_size=8)


@examples(200)
@given(rows=_MATRICES, budget=st.sampled_from((0, 20, 100_000)))
def test_every_cover_is_exact(rows: list[frozenset[int]], budget: int) -> None:
    cover = minimum_cover(rows, budget=budget)
    _check(rows, cover)
    _check_maximal(rows, cover)


@examples(200)
@given(data=st.data(), rows=_MATRICES)
def test_the_order_of_rows_changes_nothing_but_their_numbers(
    data: st.DataObject, rows: list[frozenset[int]]
) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    # Sets that were filled in another order, too.
    shuffled = [frozenset(sorted(rows[number], reverse=True)) for number in order]
    back = [_rectangle((order[n] for n in r.rows), r.columns) for r in minimum_cover(shuffled).rectangles]
    assert tuple(sorted(back, key=_order)) == minimum_cover(rows).rectangles


@examples(100)
@given(data=st.data(), rows=_MATRICES)
def test_repeated_rows_and_columns_and_empty_rows_cost_nothing(
    data: st.DataObject, rows: list[frozenset[int]]
) -> None:
    repeated = [*rows, *data.draw(st.lists(st.sampled_from(rows), max_size=3) if rows else st.just([]))]
    wider = [row | {column + 100 for column in row} for row in [*repeated, frozenset[int]()]]
    narrow, wide = minimum_cover(rows), minimum_cover(wider)
    _check(wider, wide)
    assert len(wide.rectangles) == len(narrow.rectangles)
    assert wide.lower_bound == narrow.lower_bound


@examples(60)
@given(rows=_MATRICES)
def test_rows_and_columns_can_change_places(rows: list[frozenset[int]]) -> None:
    columns = sorted(set().union(*rows))
    turned = [frozenset(n for n, row in enumerate(rows) if column in row) for column in columns]
    assert len(minimum_cover(turned).rectangles) == len(minimum_cover(rows).rectangles)


def test_nothing_needs_no_rectangle() -> None:
    for rows in ([], [frozenset[int]()], [frozenset[int]()] * 3):
        assert minimum_cover(rows) == Cover((), 0, "fooling set")


@pytest.mark.slow
def test_hash_seeds_change_nothing() -> None:
    program = (
        "from random import Random; from citrix_netpolicy.cover import minimum_cover; draw = Random(5)\n"
        "for share in (0.2, 0.5):\n"
        "    rows = [frozenset(c for c in range(16) if draw.random() < share) for _ in range(16)]\n"
        "    cover = minimum_cover(rows, budget=5000)\n"
        "    print([(sorted(r.rows), sorted(r.columns)) for r in cover.rectangles], cover.lower_bound)\n"
    )
    written = [
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True, capture_output=True, text=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert written[0] == written[1]
    assert written[0].count("\n") == 2


# The cover before


# Ones in a ring of six: two of its covers alternate, and more are between.
_RING = _matrix("110", "011", "101")


def test_a_previous_cover_of_as_few_is_kept() -> None:
    chosen = minimum_cover(_RING)
    other = (_rectangle({1, 2}, {2}), _rectangle({0, 1}, {1}), _rectangle({0, 2}, {0}))
    assert set(chosen.rectangles) != set(other)
    kept = minimum_cover(_RING, other)
    assert kept == Cover(tuple(sorted(other, key=_order)), chosen.lower_bound, chosen.proof)


def test_a_previous_cover_is_sorted_and_need_not_be_maximal() -> None:
    rows = _matrix("110", "111", "011")
    trimmed = (_rectangle({0, 1}, {0, 1}), _rectangle({1, 2}, {2}), _rectangle({2}, {1}))
    assert len(minimum_cover(rows, trimmed).rectangles) == 2
    rows = _matrix("100", "111")
    trimmed_to_ones = (_rectangle({0, 1}, {0}), _rectangle({1}, {1, 2}))
    assert minimum_cover(rows).rectangles != trimmed_to_ones
    assert minimum_cover(rows, trimmed_to_ones[::-1]).rectangles == trimmed_to_ones


@pytest.mark.parametrize(
    "previous",
    [
        pytest.param([_rectangle({0, 1}, {1}), _rectangle({0, 2}, {0})], id="holds too little"),
        pytest.param([_rectangle({0, 1, 2}, {0, 1, 2})], id="holds too much"),
        pytest.param(
            [_rectangle({0, 1}, {1}), _rectangle({0, 2}, {0}), _rectangle({1, 2}, {0, 2})], id="holds a zero"
        ),
        pytest.param(
            [_rectangle({0, 1}, {1}), _rectangle({0, 2}, {0}), _rectangle({1, 2, 3}, {2})], id="row too far"
        ),
        pytest.param(
            [_rectangle({0, 1}, {1}), _rectangle({0, 2}, {0}), _rectangle({1, -1}, {2})], id="row below zero"
        ),
        pytest.param(
            [_rectangle({n}, {c}) for n, row in enumerate(_RING) for c in sorted(row)], id="more than needed"
        ),
        pytest.param([], id="none"),
    ],
)
def test_another_previous_cover_is_replaced(previous: list[Rectangle]) -> None:
    assert minimum_cover(_RING, previous) == minimum_cover(_RING)


@examples(100)
@given(rows=_MATRICES, before=_MATRICES)
def test_what_is_found_is_kept_and_what_was_elsewhere_never_harms(
    rows: list[frozenset[int]], before: list[frozenset[int]]
) -> None:
    found = minimum_cover(rows)
    assert minimum_cover(rows, found.rectangles) == found
    changed = minimum_cover(rows, minimum_cover(before).rectangles)
    _check(rows, changed)
    assert len(changed.rectangles) == len(found.rectangles)


# The budget


def test_beyond_the_budget_the_gap_is_told() -> None:
    rows = _all_but_one(8)
    cover = minimum_cover(rows, budget=0)
    _check(rows, cover)
    _check_maximal(rows, cover)
    assert (cover.proof, cover.is_minimum, cover.lower_bound) == ("none", False, 3)
    assert len(cover.rectangles) >= 5


def test_what_the_search_ruled_out_counts_although_it_did_not_end() -> None:
    bounds = [minimum_cover(_all_but_one(8), budget=budget).lower_bound for budget in (0, 600, 1_000_000)]
    assert bounds == [3, 4, 5]


def test_a_previous_cover_that_is_better_than_what_is_found_is_kept() -> None:
    """No two of the subsets contain one another, so (i, j) is held by an element of i that j lacks."""
    subsets = [*itertools.combinations(range(6), 3)]
    previous = [
        _rectangle(
            (n for n, subset in enumerate(subsets) if element in subset),
            (n for n, subset in enumerate(subsets) if element not in subset),
        )
        for element in range(6)
    ]
    rows = _all_but_one(len(subsets))
    poor = minimum_cover(rows, budget=0)
    assert len(poor.rectangles) > 6
    kept = minimum_cover(rows, previous, budget=0)
    _check(rows, kept)
    assert kept == Cover(tuple(sorted(previous, key=_order)), poor.lower_bound, "none")


@examples(60)
@given(rows=_MATRICES, budget=st.sampled_from((0, 10, 50, 200)))
def test_a_bound_without_proof_is_still_true(rows: list[frozenset[int]], budget: int) -> None:
    fewest = minimum_cover(rows)
    assert fewest.is_minimum
    cover = minimum_cover(rows, budget=budget)
    assert cover.lower_bound <= len(fewest.rectangles) <= len(cover.rectangles)


@pytest.mark.slow
def test_what_is_too_hard_still_has_a_cover() -> None:
    rows = _random(1, 40, 0.5)
    cover = minimum_cover(rows, budget=100_000)
    _check(rows, cover)
    assert not cover.is_minimum
    assert len(cover.rectangles) <= 40
