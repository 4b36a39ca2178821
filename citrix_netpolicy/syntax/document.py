"""Texts as plain values, with a place for each of them, and getters that refuse what they do not know.

Every file that is read becomes a `Document`, whatever its language. `Node` walks it: a value with its path,
which is asked for what it must be and answers with that, or with a problem that names file, line and column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from citrix_netpolicy import limits
from citrix_netpolicy.errors import DataPath, InputError, Mark, Problem, clean, nearest
from citrix_netpolicy.files import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from importlib.resources.abc import Traversable

__all__ = ["Document", "Node", "load", "parse", "parse_json"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Document:
    """A file as plain values, with the line and column, from 0, of every key and item.

    `origins` are the other files that said a part of it, by the path of that part.
    """

    file: str
    data: Any
    places: dict[DataPath, tuple[int, int]]
    origins: Mapping[DataPath, Document] = field(default_factory=dict)

    @property
    def root(self) -> Node:
        """The whole value."""
        return Node(self, (), self.data)

    def mark(self, path: DataPath) -> Mark:
        """Return the place of `path`, or of the closest place above it.

        Steps that the file leaves out (a short form has fewer levels than the model) are skipped.
        """
        for depth in range(len(path), 0, -1) if self.origins else ():
            if path[:depth] in self.origins:
                return self.origins[path[:depth]].mark(path)
        here: DataPath = ()
        for step in path:
            if (*here, step) in self.places:
                here = (*here, step)
        line, column = self.places.get(here, (0, 0))
        return Mark(self.file, line + 1, column + 1)


@dataclass(frozen=True, slots=True)
class Node:
    """A value inside a document. Each getter raises InputError when the value is not what it asks for."""

    document: Document
    path: DataPath
    value: Any

    @property
    def mark(self) -> Mark:
        """The place of the value, or of the key that holds it."""
        return self.document.mark(self.path)

    def refusal(self, message: str, *, code: str = "invalid-value", hint: str = "") -> InputError:
        """Return an error about this value, to be raised."""
        return InputError(Problem(code=code, message=message, path=self.path, mark=self.mark, hint=hint))

    def fields(self, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Node]:
        """Return the members of a map that has all of the `required` keys, and no key that is not named."""
        members = self.members()
        known = [*required, *optional]
        for key, member in members.items():
            if key not in known:
                message = f"unknown key `{clean(key)}`"
                raise member.refusal(message, code="unknown-key", hint=nearest(key, known))
        for key in required:
            if key not in members:
                raise self.refusal(f"`{key}` is missing", code="missing-key")
        return members

    def members(self) -> dict[str, Node]:
        """Return the members of a map, whatever their keys."""
        if not isinstance(self.value, dict):
            raise self._unexpected("a map")
        return {key: Node(self.document, (*self.path, key), item) for key, item in self.value.items()}

    def items(self) -> list[Node]:
        """Return the items of a list."""
        if not isinstance(self.value, list):
            raise self._unexpected("a list")
        return [Node(self.document, (*self.path, index), item) for index, item in enumerate(self.value)]

    def text(self) -> str:
        """Return a text."""
        if not isinstance(self.value, str):
            raise self._unexpected("text")
        return self.value

    def parsed(self, parse: Callable[[str], T]) -> T:
        """Return what `parse` makes of a text; its ValueError tells what is wrong with it."""
        try:
            return parse(self.text())
        except ValueError as error:
            raise self.refusal(str(error)) from None

    def choice(self, words: Iterable[str]) -> str:
        """Return a text that is one of `words`."""
        text, known = self.text(), list(words)
        if text not in known:
            raise self.refusal(f"`{clean(text)}` is not valid here", hint=nearest(text, known))
        return text

    def only(self, value: Any, what: str) -> None:
        """Refuse any value but this one."""
        if type(self.value) is not type(value) or self.value != value:
            raise self.refusal(f"expected {what}")

    def integer(self, first: int, last: int) -> int:
        """Return a whole number between `first` and `last`, both inclusive."""
        if type(self.value) is not int:
            raise self._unexpected("a whole number")
        if not first <= self.value <= last:
            raise self.refusal(f"`{clean(str(self.value))}` is not between {first} and {last}")
        return self.value

    def _unexpected(self, what: str) -> InputError:
        return self.refusal(f"expected {what}, found {_kind(self.value)}", code="invalid-type")


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    names = {dict: "a map", list: "a list", str: "text", bool: "true or false", int: "a number"}
    return names.get(type(value), "a value of another kind")


def load(file: Traversable, name: str | None = None) -> Document:
    """Read a YAML file; `name` is how messages call it.

    Raises InputError, with the file and where possible the line, when it cannot be read.
    """
    name = str(file) if name is None else name
    return parse(_content(file, name), name)


def load_json(file: Traversable) -> Document:
    """Read a JSON file. Raises InputError as `load` does."""
    return parse_json(_content(file, str(file)), str(file))


def _content(file: Traversable, name: str) -> bytes:
    try:
        if isinstance(file, Path):
            content = read_file(file)
        else:  # inside an archive
            with file.open("rb") as stream:
                content = stream.read(limits.INPUT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problem = Problem(code="unreadable", message=f"cannot read the file: {reason}", mark=Mark(name, 1, 1))
        raise InputError(problem) from None
    return content


def parse(content: bytes, name: str) -> Document:
    """Read YAML from `content`; `name` is how messages call it. Raises InputError."""
    text = _decoded(content, name)
    # A bare import of the package should not pay for YAML.
    from citrix_netpolicy.syntax import yaml  # noqa: PLC0415

    return Document(name, *yaml.compose(text, name))


def parse_json(content: bytes | str, name: str) -> Document:
    """Read JSON from `content`; `name` is how messages call it. Raises InputError."""
    text = content if isinstance(content, str) else _decoded(content, name)
    from citrix_netpolicy.syntax import json  # noqa: PLC0415

    return Document(name, *json.compose(text, name))


def _decoded(content: bytes, name: str) -> str:
    if len(content) > limits.INPUT_BYTES:
        limit = limits.INPUT_BYTES // 1024 // 1024
        message = f"the file is larger than {limit} MiB"
        raise InputError(Problem(code="too-large", message=message, mark=Mark(name, 1, 1)))
    try:
        return content.decode("utf-8-sig")
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
