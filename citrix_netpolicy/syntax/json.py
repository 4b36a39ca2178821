"""The JSON that this project reads: values and marks, without duplicate keys or numbers that are none."""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Any, Final, cast

from citrix_netpolicy import limits
from citrix_netpolicy.errors import DataPath, InputError, Mark, Problem, clean

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["compose", "indented"]

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
_WORD: Final = re.compile("[A-Za-z]+")
_CONFLICT: Final = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)


def compose(text: str, name: str) -> tuple[Any, dict[DataPath, tuple[int, int]]]:
    """Read one JSON text: its value, and the place (line and column from 0) of every key and item.

    Raises InputError, with line and column, when it is not JSON, names a key twice, or is nested too deep.
    """
    reader = _Reader(text, name)
    value = reader.whole()
    return value, reader.places


def indented(value: Any) -> str:
    """Return the text of `json.dumps(value, indent=2)`, which writes in Python and is slow.

    Keys are strings, and there are no floats. A list that stands in several places is written once.
    """
    return _indented(value, "\n", {})


def _indented(value: Any, line: str, written: dict[tuple[int, str], str]) -> str:
    """Return the text of a value whose lines begin with `line`; `written` is what was written before."""
    kind = type(value)
    if kind is str:
        return _quoted(value)
    if kind is int:
        return repr(value)
    inside = line + "  "
    if kind is dict:
        if not value:
            return "{}"
        items = [f"{_quoted(key)}: {_indented(item, inside, written)}" for key, item in value.items()]
        return f"{{{inside}{f',{inside}'.join(items)}{line}}}"
    if kind in (list, tuple):
        if not value:
            return "[]"
        text = written.get((id(value), line))
        if text is None:
            items = [_indented(item, inside, written) for item in value]
            text = f"[{inside}{f',{inside}'.join(items)}{line}]"
            if len(value) > 1:
                written[id(value), line] = text
        return text
    return json.dumps(value)


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.place = 0
        self.places: dict[DataPath, tuple[int, int]] = {}
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.line = 0

    def whole(self) -> Any:
        conflict = _CONFLICT.search(self.text)
        if conflict:
            message = "the file contains merge conflict markers"
            raise self._refusal(message, conflict.start(), "merge-conflict")
        value = self._value(())
        self._skip()
        if self.place < len(self.text):
            raise self._refusal("the JSON value ends here, and more text follows", self.place)
        return value

    def _value(self, path: DataPath) -> Any:
        self._skip()
        if len(path) > limits.DEPTH:
            message = f"values are nested more than {limits.DEPTH} levels deep"
            raise self._refusal(message, self.place, "too-deep")
        if len(self.places) > limits.GENERATED_VALUES:
            raise self._refusal(
                f"the file contains more than {limits.GENERATED_VALUES} values", self.place, "too-large"
            )
        match self.text[self.place : self.place + 1]:
            case "{":
                return dict(self._members(path))
            case "[":
                return list(self._items(path))
            case '"':
                return self._string()
        number = _NUMBER.match(self.text, self.place)
        if number:
            if number.end() - number.start() > 300:
                raise self._refusal("a number has more than 300 digits", self.place)
            self.place = number.end()
            return float(number[0]) if number[1] or number[2] else int(number[0])
        word = _WORD.match(self.text, self.place)
        if word and word[0] in _WORDS:
            self.place = word.end()
            return _WORDS[word[0]]
        raise self._refusal("a JSON value is expected here", self.place)

    def _members(self, path: DataPath) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for _ in self._until("}"):
            start = self.place
            if self.text[start : start + 1] != '"':
                raise self._refusal('a key in `"` is expected here', start)
            key = self._string()
            place = (*path, key)
            if key in seen:
                first = self.places[place][0] + 1
                message = f"duplicate key `{clean(key)}`, first defined on line {first}"
                raise self._refusal(message, start, "duplicate-key")
            seen.add(key)
            self._note(place, start)
            self._skip()
            if self.text[self.place : self.place + 1] != ":":
                raise self._refusal("`:` is expected here", self.place)
            self.place += 1
            yield key, self._value(place)

    def _items(self, path: DataPath) -> Iterator[Any]:
        for index in self._until("]"):
            place = (*path, index)
            self._note(place, self.place)
            yield self._value(place)

    def _until(self, end: str) -> Iterator[int]:
        """Yield the number of each item of a list or map, with the reader standing at its beginning."""
        self.place += 1
        index = 0
        while True:
            self._skip()
            here = self.text[self.place : self.place + 1]
            if here == end and index == 0:
                break
            yield index
            index += 1
            self._skip()
            here = self.text[self.place : self.place + 1]
            if here == end:
                break
            if here != ",":
                raise self._refusal(f"`,` or `{end}` is expected here", self.place)
            self.place += 1
        self.place += 1

    def _string(self) -> str:
        found = _STRING.match(self.text, self.place)
        if not found:
            raise self._refusal("this text is not a valid JSON string", self.place)
        self.place = found.end()
        text: str = json.loads(found[0])
        if not text.isascii() and any(0xD800 <= ord(char) <= 0xDFFF for char in text):
            raise self._refusal("this string holds half of a surrogate pair", found.start())
        return text

    def _skip(self) -> None:
        # The pattern matches nothing, too.
        self.place = cast("re.Match[str]", _SPACE.match(self.text, self.place)).end()

    def _note(self, path: DataPath, place: int) -> None:
        # Places only grow, so the line is found by walking on.
        while self.line + 1 < len(self.lines) and self.lines[self.line + 1] <= place:
            self.line += 1
        self.places[path] = (self.line, place - self.lines[self.line])

    def _refusal(self, message: str, place: int, code: str = "not-json") -> InputError:
        line = self.text.count("\n", 0, place)
        column = place - (self.text.rfind("\n", 0, place) + 1)
        mark = Mark(self.name, line + 1, column + 1)
        return InputError(Problem(code=code, message=message, mark=mark))
