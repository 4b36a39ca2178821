"""The syntax of Bicep: values as the formatter prints them, templates, and a reader of what we write."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from citrix_netpolicy.errors import DataPath, InputError, Mark, Problem, clean
from citrix_netpolicy.syntax.document import Document
from citrix_netpolicy.syntax.templates import environment_of

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Call", "Expression", "Module", "member", "name", "read_module", "render", "string", "value"]

_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES: Final = {escape[1]: plain for plain, escape in _ESCAPES.items()} | {"$": "$"}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


# Ours are not half as deep.
_MAX_DEPTH: Final = 20


@dataclass(frozen=True, slots=True)
class Expression:
    """Code that stands in a value as it is, such as `group.id`."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """The call of a function in a value, such as `union(tags, {...})`."""

    function: str
    arguments: tuple[Any, ...]


def string(text: str) -> str:
    """Return text as a Bicep string that means exactly this."""
    plain = "".join(
        _ESCAPES.get(char, char if char.isprintable() else f"\\u{{{ord(char):x}}}") for char in text
    )
    return "'" + plain.replace("${", "\\${") + "'"


def name(text: str) -> str:
    """Return a property name, quoted where it is no identifier."""
    return text if _IDENTIFIER.match(text) else string(text)


def member(text: str) -> str:
    """Return what reads a property of an object, such as `.ddc` or `['a b']`."""
    return f".{text}" if _IDENTIFIER.match(text) else f"[{string(text)}]"


def value(item: Any, indent: int) -> str:
    """Return a value; objects and arrays have a line for each item, `indent` spaces deep."""
    inner, outer = " " * (indent + 2), " " * indent
    match item:
        case Expression(text):
            return text
        case Call(function, arguments):
            return f"{function}({', '.join(value(argument, indent) for argument in arguments)})"
        case bool():
            return "true" if item else "false"
        case int():
            return str(item)
        case str():
            return string(item)
        case {} if not item:
            return "{}"
        case dict():
            lines = [f"{inner}{name(key)}: {value(member, indent + 2)}" for key, member in item.items()]
            return "\n".join(["{", *lines, f"{outer}}}"])
        case list() if not item:
            return "[]"
        case list():
            return "\n".join(["[", *(inner + value(member, indent + 2) for member in item), f"{outer}]"])
    raise TypeError(f"Bicep has no value for {type(item).__name__}")


def render(template: str, **context: Any) -> str:
    """Return the text of a template; values enter it through the filters `bicep`, `string` and `cell`."""
    return _environment().get_template(template).render(**context)


@cache
def _environment() -> Environment:
    return environment_of({"bicep": value, "string": string, "name": name})


_RESOURCE: Final = re.compile(r"resource (\w+) '([^']*)' = (?=\{)")
_OUTPUT: Final = re.compile(r"output (\w+) (\w+) = (?=\{)")
# What separates tokens: spaces, ends of lines and comments.
# What is taken is not given back: a row of slashes is one comment, and not as many as it can be divided into.
_GAP: Final = r"(?:\s++|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+"
_WORD: Final = re.compile(_GAP + r"(?P<word>'(?:[^'\\\n]|\\[^\n])*'|[\w.]+|[^\s])")


# A token of the objects and arrays that `value` writes.
_TOKEN: Final = re.compile(
    _GAP
    + r"(?:(?P<string>'(?:[^'\\\n]|\\.)*')|(?P<number>[0-9]+)"
    + r"|(?P<word>[A-Za-z_][A-Za-z0-9_.]*)|(?P<mark>[{}\[\]:(),]))"
)


class Module(NamedTuple):
    """A file that we wrote, taken apart.

    `resources` maps symbolic names to their values, with places; `types` to their types. `outputs` maps names
    to values. `rest` are the tokens of all else, each with its line; `{…}` stands for one of these values.
    """

    resources: Document
    types: dict[str, str]
    outputs: Document
    rest: list[tuple[str, int]]


def read_module(text: str, file: str) -> Module:
    """Take a file apart that we wrote; `file` is how messages call it.

    Raises InputError, with line and column, for what is not of the form that `value` writes.
    """
    data: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    types: dict[str, str] = {}
    rest: list[tuple[str, int]] = []
    reader = _Reader(text, file)
    while match := _WORD.match(text, reader.end):
        place = match.start("word")
        line = reader.where(place)[0] + 1
        reader.end = match.end()
        # A tier may be called so, and is a key then.
        is_key = text[match.end() : match.end() + 1] == ":"
        if match["word"] not in ("resource", "output") or is_key:
            rest.append((match["word"], line))
            continue
        kind = match["word"]
        found = (_RESOURCE if kind == "resource" else _OUTPUT).match(text, place)
        if found is None or reader.where(place)[1] != 0:
            raise reader.refusal(f"this {kind} is not of the form that is written here", place)
        symbol, held = found[1], data if kind == "resource" else outputs
        if symbol in held:
            raise reader.refusal(f"the {kind} `{symbol}` is defined twice", place, "duplicate-key")
        # An output may have the name of a resource, and has its place behind another first word.
        path: DataPath = (symbol,) if kind == "resource" else ("output", symbol)
        rest += [(kind, line), (symbol, line), ("{…}", line)]
        reader.places[path] = reader.where(place)
        reader.end = found.end()
        held[symbol] = reader.value(path)
        if kind == "resource":
            types[symbol] = found[2]
        else:
            rest.append((found[2], line))
    return Module(
        Document(file, data, reader.places),
        types,
        Document(file, {"output": outputs}, reader.places),
        rest,
    )


class _Reader:
    """Reads values from a text. What was read last lies between `start` and `end`."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.places: dict[DataPath, tuple[int, int]] = {}
        self.start = self.end = 0

    def _next(self) -> tuple[str, str]:
        match = _TOKEN.match(self.text, self.end)
        if match is None:
            here = len(self.text) - len(self.text[self.end :].lstrip())
            raise self.refusal("this is not of the form that is written here", here)
        kind = str(match.lastgroup)
        self.start, self.end = match.start(kind), match.end()
        return kind, match[kind]

    def where(self, place: int) -> tuple[int, int]:
        """Return line and column of a place, from 0."""
        line = bisect_right(self.lines, place) - 1
        return line, place - self.lines[line]

    def refusal(self, message: str, place: int, code: str = "not-literal") -> InputError:
        line, column = self.where(place)
        return InputError(Problem(code=code, message=message, mark=Mark(self.file, line + 1, column + 1)))

    def value(self, path: DataPath) -> Any:
        return self._rest(path, *self._next())

    def _rest(self, path: DataPath, kind: str, text: str) -> Any:
        if kind == "string":
            return self._meaning(text)
        if kind == "number":
            if len(text) > 100:
                raise self.refusal("a number has more than 100 digits", self.start)
            return int(text)
        if kind == "word" and self.text[self.end : self.end + 1] == "(":
            return self._call(path, text)
        if kind == "word":
            return {"true": True, "false": False}.get(text, Expression(text))
        if text not in ("{", "["):
            raise self.refusal(f"expected a value, found `{text}`", self.start)
        if len(path) > _MAX_DEPTH:
            raise self.refusal(
                f"values are nested more than {_MAX_DEPTH} levels deep", self.start, "too-deep"
            )
        return self._members(path) if text == "{" else self._items(path)

    def _call(self, path: DataPath, function: str) -> Call:
        """Read the arguments of a function, of which there is one at least."""
        arguments: list[Any] = []
        if len(path) > _MAX_DEPTH:
            raise self.refusal(
                f"values are nested more than {_MAX_DEPTH} levels deep", self.start, "too-deep"
            )
        ending = self._next()
        while ending != ("mark", ")"):
            arguments.append(self.value((*path, len(arguments))))
            ending = self._next()
            if ending not in (("mark", ","), ("mark", ")")):
                raise self.refusal("expected `,` or `)` here", self.start)
        return Call(function, tuple(arguments))

    def _members(self, path: DataPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (pair := self._next()) != ("mark", "}"):
            kind, text = pair
            place = self.start
            key = self._meaning(text) if kind == "string" else text
            if kind not in ("string", "word") or not isinstance(key, str):
                raise self.refusal(f"expected a property, found `{clean(text)}`", place)
            if key in found:
                first = self.places[*path, key][0] + 1
                message = f"duplicate key `{clean(key)}`, first defined on line {first}"
                raise self.refusal(message, place, "duplicate-key")
            self.places[*path, key] = self.where(place)
            if self._next() != ("mark", ":"):
                raise self.refusal("expected `:` here", self.start)
            found[key] = self.value((*path, key))
        return found

    def _items(self, path: DataPath) -> list[Any]:
        found: list[Any] = []
        while (pair := self._next()) != ("mark", "]"):
            self.places[*path, len(found)] = self.where(self.start)
            found.append(self._rest((*path, len(found)), *pair))
        return found

    def _meaning(self, text: str) -> Any:
        try:
            return _unquoted(text)
        except ValueError as error:
            raise self.refusal(str(error), self.start) from None


def _unquoted(text: str) -> Any:
    """Return what a string means; one with an interpolation stays an expression."""
    if re.search(r"(?<!\\)\$\{", text):
        return Expression(text)

    def meaning(match: re.Match[str]) -> str:
        if match[1]:
            number = int(match[1], 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise ValueError(f"`{clean(text)}` contains the unknown character `{match[0]}`")
            return chr(number)
        if match[2] not in _UNESCAPES:
            raise ValueError(f"`{clean(text)}` contains the unknown escape `{match[0]}`")
        return _UNESCAPES[match[2]]

    return re.sub(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|(.))", meaning, text[1:-1])
