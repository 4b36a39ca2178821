"""Text as people may safely see it, whoever wrote it."""

from __future__ import annotations

__all__ = ["plain"]


def plain(text: str) -> str:
    """Return text with an escape for every character that shows nothing or acts on what shows it.

    Those are control characters, marks that turn the direction of writing or have no width, spaces of other
    kinds than the usual one, halves of characters, and what Unicode does not know.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
