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

    A purpose is whole or not there: those that do not fit are counted, `A; B; and 2 more`. Where not even the
    first one fits, the ids of the causes stand for them. The README of a module has all of them.
    """
    return _described(tuple((cause.purpose, cause.id) for cause in causes), limit)


@lru_cache(1 << 12)
def _described(told: tuple[tuple[str, str], ...], limit: int) -> str:
    for texts in zip(*told, strict=True):
        lines = list(dict.fromkeys(filter(None, map(plain_text, texts))))
        for count in range(len(lines), 0, -1):
            left = len(lines) - count
            text = "; ".join([*lines[:count], *([f"and {left} more"] if left else [])])
            if len(text) <= limit:
                return text
    return ""


def plain_text(text: str) -> str:
    """Return `text` in the characters that every cloud accepts in a description."""
    folded = unicodedata.normalize("NFKD", text.replace("->", " to ")).encode("ascii", "ignore").decode()
    return " ".join(_REFUSED.sub(" ", folded).split())
