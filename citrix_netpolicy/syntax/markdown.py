"""The syntax of Markdown tables. Every value enters as data: nothing in it formats or ends a cell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["cell", "table"]


def cell(value: Any) -> str:
    """Return text as one cell of a table."""
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", " ".join(str(value).split()))


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' for _ in heads)}|"
    for row in rows:
        yield f"| {' | '.join(cell(value) for value in row)} |"
