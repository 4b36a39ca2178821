"""The kinds of arguments that the verbs share."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

__all__ = ["path", "word"]


def word(text: str) -> str:
    """Return an argument that must say something. An empty one is most often a variable that is not set."""
    if not text.strip():
        raise ArgumentTypeError("must not be empty")
    return text


def path(text: str) -> Path:
    """Return the path of a file or folder."""
    return Path(word(text))
