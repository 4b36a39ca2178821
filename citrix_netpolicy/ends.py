"""Ends by their addresses: who stands behind the prefixes of a rule, told by name."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from citrix_netpolicy.net import joined_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from citrix_netpolicy.net import Prefix

__all__ = ["Ends"]

Runs = tuple[tuple[int, int], ...]


class _Stretch(NamedTuple):
    """The addresses of one end in one family, as ascending runs with gaps between."""

    name: str
    runs: Runs


@dataclass(frozen=True)
class Ends:
    """The tiers and externals of a deployment, with the prefixes of each."""

    prefixes: Mapping[str, Sequence[Prefix]] = field(default_factory=dict)

    def named(self, prefixes: Iterable[Prefix]) -> tuple[str, ...]:
        """Return who has these addresses, sorted: the ends that lie in them.

        An end that lies in a larger one of them is not told of beside it. Where no whole end has some of the
        addresses, the smallest of those that have a part of them are told as well, since what is anybody's
        says least; addresses of nobody give no name.
        """
        given: dict[int, list[tuple[int, int]]] = {}
        for prefix in prefixes:
            given.setdefault(prefix.version, []).append((prefix.first, prefix.last))
        found: set[str] = set()
        for version, ranges in given.items():
            runs = joined_runs(ranges)
            whole = [end for end in self._stretches.get(version, ()) if _holds(runs, end.runs)]
            kept = [end for end in whole if not any(_is_larger(other.runs, end.runs) for other in whole)]
            found |= {end.name for end in kept}
            found |= self._parts(
                version, _without(runs, joined_runs(run for end in kept for run in end.runs))
            )
        return tuple(sorted(found))

    def _parts(self, version: int, rest: Runs) -> set[str]:
        """Return the smallest ends that have some of these addresses; equal ones are told together."""
        found: set[str] = set()
        by_size: dict[tuple[int, Runs], list[str]] = {}
        for end in self._stretches.get(version, ()) if rest else ():
            by_size.setdefault((sum(last - first for first, last in end.runs), end.runs), []).append(end.name)
        for (_, held), names in sorted(by_size.items()):
            if rest and _meets(rest, held):
                found.update(names)
                rest = _without(rest, held)
        return found

    @cached_property
    def _stretches(self) -> dict[int, list[_Stretch]]:
        stretches: dict[int, list[_Stretch]] = {}
        for name, prefixes in self.prefixes.items():
            for version in sorted({prefix.version for prefix in prefixes}):
                ranges = ((prefix.first, prefix.last) for prefix in prefixes if prefix.version == version)
                stretches.setdefault(version, []).append(_Stretch(name, joined_runs(ranges)))
        return stretches


def _holds(runs: Runs, others: Runs) -> bool:
    """Tell whether `others` lie in `runs`."""
    for first, last in others:
        at = bisect_right(runs, (first, 1 << 129)) - 1
        if at < 0 or runs[at][1] < last:
            return False
    return True


def _is_larger(runs: Runs, others: Runs) -> bool:
    """Tell whether `others` lie in `runs` and are not all of them."""
    return runs != others and _holds(runs, others)


def _meets(runs: Runs, others: Runs) -> bool:
    """Tell whether some address lies in both."""
    for first, last in others:
        at = bisect_right(runs, (last, 1 << 129)) - 1
        if at >= 0 and runs[at][1] >= first:
            return True
    return False


def _without(runs: Runs, others: Runs) -> Runs:
    """Return what of `runs` does not lie in `others`."""
    left: list[tuple[int, int]] = []
    for first, last in runs:
        at = first
        for low, high in others:
            if high < at or low > last:
                continue
            if low > at:
                left.append((at, low - 1))
            at = high + 1
        if at <= last:
            left.append((at, last))
    return tuple(left)
