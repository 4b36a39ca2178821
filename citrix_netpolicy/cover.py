"""The fewest rectangles that hold exactly the ones of a matrix, and the proof that there are no fewer.

Where one rule may list several prefixes and several port ranges, it permits all pairs of them: rows x columns
of a matrix, all ones. Rules only permit and may overlap, so the fewest rules are the fewest such rectangles
whose union is the ones.

Two ones are *mates* when some all-ones rectangle holds both: (i, j) and (k, l) are when (i, l) and (k, j) are
ones too. Ones that are mates pairwise all fit into one rectangle, so a cover is a division of the ones into
groups of mates. Ones of which no two are mates, a *fooling set*, need a rectangle each; when a cover has as
many, both are proved. Otherwise a search shows that one rectangle fewer cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["BUDGET", "Cover", "Proof", "Rectangle", "minimum_cover"]

# Limits are counts and never seconds, so that every machine finds the same cover.
BUDGET: Final = 5_000_000
_STARTS: Final = 16
_ROUNDS: Final = 200

Proof = Literal["fooling set", "search", "none"]

# The cells of each row and of each column.
_Lines = tuple[dict[int, int], dict[int, int]]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """All pairs of some rows and some columns, both by their numbers in the matrix."""

    rows: frozenset[int]
    columns: frozenset[int]


@dataclass(frozen=True, slots=True)
class Cover:
    """Rectangles that hold exactly the ones of a matrix.

    `lower_bound` is a number of rectangles below which no cover goes, and `proof` is why: as many ones of
    which no two fit into one rectangle, or a search. It is `none` when the rectangles are more than that.
    """

    rectangles: tuple[Rectangle, ...]
    lower_bound: int
    proof: Proof

    @property
    def is_minimum(self) -> bool:
        """Whether no cover has fewer rectangles, by proof."""
        return self.proof != "none"


def minimum_cover(
    rows: Sequence[frozenset[int]], previous: Sequence[Rectangle] = (), *, budget: int = BUDGET
) -> Cover:
    """Return the fewest rectangles whose union is exactly the ones; row i has its ones in columns `rows[i]`.

    `previous` is kept when it is such a cover and no larger than the one found. Otherwise the cover depends
    on the matrix alone, every rectangle is maximal, and equal rows share their rectangles, as equal columns
    do. `budget` is how many cells the search may look at; beyond it, the best cover so far has no proof.
    """
    cells = _cells(rows)
    mates = _mates(cells)
    division = _divide(mates, _lines(cells), budget)
    found = {_rectangle(rows, {cells[cell][1] for cell in _members(group)}) for group in division.groups}
    if len(previous) <= len(found) and _is_cover(rows, previous):
        found = set(previous)
    if len(found) > division.bound:
        proof: Proof = "none"
    else:
        proof = "fooling set" if division.bound == division.fooling else "search"
    return Cover(tuple(sorted(found, key=_rectangle_order)), division.bound, proof)


def _rectangle_order(rectangle: Rectangle) -> tuple[list[int], list[int]]:
    return sorted(rectangle.rows), sorted(rectangle.columns)


def _rectangle(rows: Sequence[frozenset[int]], columns: set[int]) -> Rectangle:
    """Return the maximal rectangle of all rows that have `columns`, and of all columns these have."""
    having = [number for number, row in enumerate(rows) if columns <= row]
    return Rectangle(frozenset(having), frozenset.intersection(*(rows[number] for number in having)))


def _is_cover(rows: Sequence[frozenset[int]], rectangles: Sequence[Rectangle]) -> bool:
    held: list[set[int]] = [set() for _ in rows]
    for rectangle in rectangles:
        for number in rectangle.rows:
            if not 0 <= number < len(rows) or not rectangle.columns <= rows[number]:
                return False
            held[number] |= rectangle.columns
    # A rectangle of nothing is no rule; a cover of the fewest has none, a cover without proof could.
    return held == list(rows) and all(rectangle.rows and rectangle.columns for rectangle in rectangles)


# The ones, and sets of them as the bits of an integer


def _cells(rows: Sequence[frozenset[int]]) -> list[tuple[int, int]]:
    """Return the ones of the distinct rows and columns, in an order that is not that of `rows`."""
    distinct = sorted({tuple(sorted(row)) for row in rows if row})
    having: dict[int, int] = {}
    for number, row in enumerate(distinct):
        for column in row:
            having[column] = having.get(column, 0) | 1 << number
    first: dict[int, int] = {}
    for column in sorted(having):
        first.setdefault(having[column], column)
    kept = set(first.values())
    return [(number, column) for number, row in enumerate(distinct) for column in row if column in kept]


def _lines(cells: Sequence[tuple[int, int]]) -> _Lines:
    """Return the cells of each row and of each column."""
    in_row: dict[int, int] = {}
    in_column: dict[int, int] = {}
    for cell, (row, column) in enumerate(cells):
        in_row[row] = in_row.get(row, 0) | 1 << cell
        in_column[column] = in_column.get(column, 0) | 1 << cell
    return in_row, in_column


def _mates(cells: Sequence[tuple[int, int]]) -> list[int]:
    """Return the mates of each cell, itself among them."""
    in_row, in_column = _lines(cells)
    # The cells in all columns where the row has a one, and in all rows where the column has a one.
    across = dict.fromkeys(in_row, 0)
    along = dict.fromkeys(in_column, 0)
    for row, column in cells:
        across[row] |= in_column[column]
        along[column] |= in_row[row]
    return [across[row] & along[column] for row, column in cells]


def _members(cells: int) -> Iterator[int]:
    while cells:
        lowest = cells & -cells
        yield lowest.bit_length() - 1
        cells ^= lowest


# Division of the cells into groups of mates


@dataclass(frozen=True, slots=True)
class _Division:
    """Groups of mates; no division has fewer than `bound`, of which a fooling set shows `fooling`."""

    groups: list[int]
    bound: int
    fooling: int


class _BudgetError(Exception):
    """The search has looked at as many cells as it may."""


@dataclass(slots=True)
class _Budget:
    """How many cells the search may still look at."""

    left: int

    def spend(self, cells: int) -> None:
        """Take away `cells` and one more, so that no choice is free; raises _BudgetError at the end."""
        if self.left <= cells:
            self.left = 0
            raise _BudgetError
        self.left -= cells + 1


def _divide(mates: list[int], lines: _Lines, budget: int) -> _Division:
    """Divide all cells, part by part: cells of different parts are never mates, so their groups add up."""
    core, removed = _peel(mates, (1 << len(mates)) - 1, 0)
    parts = sorted(_parts(mates, core), key=lambda part: (part.bit_count(), part))
    divisions: list[_Division] = []
    for part in parts:
        # What small parts leave goes to the larger ones that follow.
        share = _Budget(budget // (len(parts) - len(divisions)))
        budget -= share.left
        divisions.append(_divide_part(mates, lines, part, share))
        budget += share.left
    groups = [group for division in divisions for group in division.groups]
    return _Division(
        _restored(mates, groups, removed),
        sum(division.bound for division in divisions),
        sum(division.fooling for division in divisions),
    )


def _divide_part(mates: list[int], lines: _Lines, cells: int, budget: _Budget) -> _Division:
    """Divide, then ask whether fewer groups do: as many as the fooling set, one more, and so on."""
    fooling = _fooling_set(mates, cells).bit_count()
    by_line = ([line & cells for line in way.values() if line & cells] for way in lines)
    groups = min([_greedy(mates, cells), *by_line], key=len)
    groups = _improved(mates, groups, fooling)
    bound = fooling
    try:
        while bound < len(groups):
            core, removed = _peel(mates, cells, bound)
            found = _search(mates, core, bound, budget)
            if found is not None:
                groups = _restored(mates, found, removed)
            else:
                bound += 1
    except _BudgetError:
        pass
    return _Division(groups, bound, fooling)


def _peel(mates: list[int], cells: int, count: int) -> tuple[int, list[int]]:
    """Take away cells that any division of the others into `count` groups has room for.

    These are the cells whose mates include all mates of one of them, which they can follow into its group,
    and the cells with fewer than `count` others that are no mates.
    """
    removed: list[int] = []
    size = -1
    while size != len(removed):
        size = len(removed)
        for cell in reversed([*_members(cells)]):
            if (cells & ~mates[cell]).bit_count() < count or _can_follow(mates, cells, cell):
                cells ^= 1 << cell
                removed.append(cell)
    return cells, removed


def _can_follow(mates: list[int], cells: int, cell: int) -> bool:
    """Tell whether all mates of some other cell are mates of `cell` too."""
    foreign = cells & ~mates[cell]
    leaders = cells ^ foreign ^ 1 << cell
    if leaders.bit_count() < foreign.bit_count():
        return any(not mates[leader] & foreign for leader in _members(leaders))
    for other in _members(foreign):
        if not leaders:
            break
        leaders &= ~mates[other]
    return bool(leaders)


def _restored(mates: list[int], groups: list[int], removed: list[int]) -> list[int]:
    """Put the cells that `_peel` took away into groups, last taken first."""
    groups = list(groups)
    for cell in reversed(removed):
        _place(mates, groups, cell)
    return groups


def _place(mates: list[int], groups: list[int], cell: int) -> None:
    """Put a cell into the first group of mates, or a new one."""
    foreign = ~mates[cell]
    for number, group in enumerate(groups):
        if not group & foreign:
            groups[number] |= 1 << cell
            return
    groups.append(1 << cell)


def _parts(mates: list[int], cells: int) -> Iterator[int]:
    """Yield the cells by parts: mates, mates of mates and so on."""
    while cells:
        part, edge = 0, cells & -cells
        while edge:
            part |= edge
            reached = 0
            for cell in _members(edge):
                reached |= mates[cell]
            edge = reached & cells & ~part
        yield part
        cells ^= part


def _fooling_set(mates: list[int], cells: int) -> int:
    """Return a large set of cells of which no two are mates."""
    best = 0
    order = sorted(_members(cells), key=lambda cell: (mates[cell] & cells).bit_count())
    for start in order[:_STARTS]:
        chosen, left = 1 << start, cells & ~mates[start]
        while left:
            cell = _fewest_mates(mates, left, left)
            chosen |= 1 << cell
            left &= ~mates[cell]
        if chosen.bit_count() > best.bit_count():
            best = chosen
    return best


def _fewest_mates(mates: list[int], among: int, cells: int) -> int:
    """Return the first cell of `among` that has the fewest mates in `cells`."""
    return min(_members(among), key=lambda cell: (mates[cell] & cells).bit_count())


def _greedy(mates: list[int], cells: int) -> list[int]:
    """Divide without going back: with a group for each cell to spare, the search never has to."""
    count = cells.bit_count()
    return _search(mates, cells, count, _Budget((count + 1) ** 2)) or []


def _improved(mates: list[int], groups: list[int], enough: int) -> list[int]:
    """Divide again and again, group by group: cells of one group stay together or find an earlier one."""
    for turn in range(_ROUNDS):
        if len(groups) <= enough:
            break
        cut = turn % len(groups)
        turned, largest = groups[cut:] + groups[:cut], sorted(groups, key=int.bit_count, reverse=True)
        order = (turned, groups[::-1], largest, groups[::-1])[turn % 4]
        groups = []
        for cell in (cell for group in order for cell in _members(group)):
            _place(mates, groups, cell)
    return groups


# The search


@dataclass(slots=True)
class _State:
    """Groups so far with the room of each, the mates of all its cells; cells left; groups to spare."""

    groups: list[int]
    rooms: list[int]
    left: int
    spare: int

    def join(self, number: int, cell: int, mates: list[int]) -> None:
        """Let a cell join a group, or begin the next one."""
        if number == len(self.groups):
            self.groups.append(0)
            self.rooms.append(-1)
            self.spare -= 1
        self.groups[number] |= 1 << cell
        self.rooms[number] &= mates[cell]
        self.left ^= 1 << cell

    def joined(self, number: int, cell: int, mates: list[int]) -> _State:
        """Return a new state in which the cell has joined."""
        state = _State(self.groups.copy(), self.rooms.copy(), self.left, self.spare)
        state.join(number, cell, mates)
        return state


def _search(mates: list[int], cells: int, count: int, budget: _Budget) -> list[int] | None:
    """Divide `cells` into at most `count` groups of mates, or return None: there is no such division.

    Raises _BudgetError when the budget ends before that is known.
    """
    fooling = _fooling_set(mates, cells)
    spare = count - fooling.bit_count()
    if spare < 0:
        return None
    # No two cells of a fooling set share a group, so which group gets which of them is no choice.
    rooms = [mates[cell] for cell in _members(fooling)]
    stack = [_State([1 << cell for cell in _members(fooling)], rooms, cells ^ fooling, spare)]
    while stack:
        state = stack.pop()
        budget.spend(state.left.bit_count())
        if not _settle(state, mates):
            continue
        if not state.left:
            return state.groups
        stack.extend(_choices(state, mates))
    return None


def _settle(state: _State, mates: list[int]) -> bool:
    """Let cells join that have one way only, until none is left; tell whether all cells have a way."""
    while state.left:
        some, several, _ = _counts(state.rooms)
        homeless = state.left & ~some
        if homeless:
            if not state.spare:
                return False
            cell = _fewest_mates(mates, homeless, state.left)
            state.join(len(state.groups), cell, mates)
            continue
        single = 0 if state.spare else state.left & ~several
        if not single:
            return True
        for cell in _members(single):
            number = next((n for n, room in enumerate(state.rooms) if room >> cell & 1), None)
            if number is None:
                return False
            state.join(number, cell, mates)
    return True


def _counts(rooms: list[int]) -> tuple[int, int, int]:
    """Return the cells that one room, two rooms and three rooms at least have a place for."""
    one = two = three = 0
    for room in rooms:
        three |= two & room
        two |= one & room
        one |= room
    return one, two, three


def _choices(state: _State, mates: list[int]) -> list[_State]:
    """Return what can follow, the most promising last: the ways of the cell that has the fewest."""
    _, several, many = _counts(state.rooms)
    scarce = state.left & ~(several if state.spare else many)
    cell = _fewest_mates(mates, scarce or state.left, state.left)
    foreign = state.left & ~mates[cell]
    rooms = [(number, room) for number, room in enumerate(state.rooms) if room >> cell & 1]
    losses = sorted(((room & foreign).bit_count(), number) for number, room in rooms)
    if not losses[0][0]:
        # The group loses no room to this cell, so nothing is lost by this way either.
        return [state.joined(losses[0][1], cell, mates)]
    ways = [number for _, number in losses]
    if state.spare:
        ways.append(len(state.groups))
    return [state.joined(number, cell, mates) for number in reversed(ways)]
