"""The syntax of Markdown tables. Every value enters as data: nothing in it formats or ends a cell.

Nor does anything in it act where people read it: no HTML, no link, and on GitHub nobody is called, no issue
referred to and no formula set.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["cell", "table"]


_FORMATTING: Final = re.compile(r"[\\`*_\[\]<>|~&]")
# What GitHub acts on after it has read the Markdown, where a backslash does not help: a person or a team, an
# issue, a commit of somebody, and what looks like an address, whatever stands before it. An empty comment
# takes them apart.
_ACTS: Final = re.compile(
    r"[@#](?=[\w\\])|(?<![^\W_])GH-(?=\w)|(https?|ftp|mailto|xmpp)(?=:)|www(?=\.)", re.IGNORECASE
)


def cell(value: Any) -> str:
    """Return text as one cell of a table."""
    text = plain(" ".join(str(value).split()))
    text = _FORMATTING.sub(r"\\\g<0>", text)
    text = _ACTS.sub(r"\g<0><!-- -->", text)
    return text.replace("$", "<span>$</span>")


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' for _ in heads)}|"
    for row in rows:
        yield f"| {' | '.join(cell(value) for value in row)} |"
