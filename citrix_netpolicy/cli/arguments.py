"""The kinds of arguments that the verbs share."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

from citrix_netpolicy.errors import clean
from citrix_netpolicy.net import LAST_PORT

__all__ = ["path", "port", "word"]


def word(text: str) -> str:
    """Return an argument that must say something. An empty one is most often a variable that is not set."""
    if not text.strip():
        raise ArgumentTypeError("must not be empty")
    return text


def port(text: str) -> int:
    """Return the number of a TCP or UDP port."""
    # Python would read digits of every script.
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= LAST_PORT):
        raise ArgumentTypeError(f"`{clean(text)}` is not a port between 1 and {LAST_PORT}")
    return int(text)


def path(text: str) -> Path:
    """Return the path of a file or folder."""
    return Path(word(text))
