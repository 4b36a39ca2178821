"""Read YAML into plain values and remember where each of them stood.

The reader is stricter than YAML: no duplicate keys, no tags, no values that YAML would guess at (`010`
and `22:30` stay text), and no aliases, and bounds on size and depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import DataPath, InputError, Mark, Problem

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["Document", "load", "parse"]

MAX_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Document:
    """A file as plain values, with the place of every key and item as YAML marks it."""

    file: str
    data: Any
    places: dict[DataPath, Any]

    def mark(self, path: DataPath) -> Mark:
        """Return the place of `path`, or of the closest place above it.

        Steps that the file leaves out (a short form has fewer levels than the model) are skipped.
        """
        here: DataPath = ()
        for step in path:
            if (*here, step) in self.places:
                here = (*here, step)
        place = self.places.get(here)
        return Mark(self.file, place.line + 1, place.column + 1) if place else Mark(self.file, 1, 1)


def load(file: Traversable, name: str | None = None) -> Document:
    """Read a YAML file; `name` is how messages call it.

    Raises InputError, with the file and where possible the line, when it cannot be read.
    """
    name = str(file) if name is None else name
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            Problem(code="unreadable", message=f"cannot read the file: {reason}", mark=Mark(name, 1, 1))
        ) from None
    return parse(content, name)


def parse(content: bytes, name: str) -> Document:
    """Read YAML from `content`; `name` is how messages call it. Raises InputError."""
    start = Mark(name, 1, 1)
    if len(content) > MAX_BYTES:
        limit = MAX_BYTES // 1024 // 1024
        raise InputError(
            Problem(code="too-large", message=f"the file is larger than {limit} MiB", mark=start)
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        problem = Problem(
            code="not-utf-8",
            message=f"byte {content[error.start]:#04x} is not UTF-8",
            mark=Mark(name, line, column),
            hint="save the file as UTF-8",
        )
        raise InputError(problem) from None
    # A bare import of the package should not pay for YAML.
    from citrix_netpolicy.syntax import yaml as strict_yaml  # noqa: PLC0415

    return Document(name, *strict_yaml.compose(text, name))
