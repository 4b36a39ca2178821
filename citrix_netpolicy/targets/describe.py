"""The text that a rule carries: why it is there, in the characters and the length a cloud accepts."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from citrix_netpolicy.policy import Cause

__all__ = ["describe", "plain_text"]

# What AWS accepts in every kind of rule description; `&` is missing in some of its lists, so it is left out.
_REFUSED: Final = re.compile(r"[^A-Za-z0-9 ._\-:/()#,@\[\]+=;{}!$*]+")


def describe(causes: Iterable[Cause], limit: int) -> str:
    """Return the purposes of `causes` as one line of at most `limit` characters.

    Purposes that do not fit are counted: `A; B; and 2 more`.
    """
    return _described(tuple(cause.purpose for cause in causes), limit)


@lru_cache(1 << 12)
def _described(told: tuple[str, ...], limit: int) -> str:
    purposes = list(dict.fromkeys(filter(None, map(plain_text, told))))
    for count in range(len(purposes), 0, -1):
        left = len(purposes) - count
        text = "; ".join([*purposes[:count], *([f"and {left} more"] if left else [])])
        if len(text) <= limit:
            return text
    more = f"... and {len(purposes) - 1} more" if len(purposes) > 1 else "..."
    return purposes[0][: limit - len(more)].rstrip() + more if purposes else ""


def plain_text(text: str) -> str:
    """Return `text` in the characters that every cloud accepts in a description."""
    folded = unicodedata.normalize("NFKD", text.replace("->", " to ")).encode("ascii", "ignore").decode()
    return " ".join(_REFUSED.sub(" ", folded).split())
