"""Locate the data shipped with the library: the port catalogue and the templates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["catalog", "templates"]


def catalog() -> Traversable:
    """Return the folder of catalogue files."""
    return _data("catalog")


def templates() -> Traversable:
    """Return the folder that holds one folder of templates for each rendered target."""
    return _data("templates")


def _data(name: str) -> Traversable:
    # A wheel carries the data inside the package; a checkout, editable or not, keeps it beside the package,
    # where its reviewers look for it.
    package = Path(__file__).parent
    for folder in (package / "_data" / name, package.parent / name):
        if folder.is_dir():
            return folder
    # The package was imported from an archive. The general way is slow to import, so it comes last.
    from importlib.resources import files  # noqa: PLC0415

    return files("citrix_netpolicy") / "_data" / name
