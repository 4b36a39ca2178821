"""The syntax of Bicep: values as the formatter prints them, templates, and a reader of what we write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.syntax.templates import environment_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Environment

__all__ = ["Expression", "behind_parameter", "name", "objects_of", "render", "string", "value"]

_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES: Final = {escape[1]: plain for plain, escape in _ESCAPES.items()} | {"$": "$"}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# A token of the objects and arrays that `value` writes.
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*')|(?P<number>[0-9]+)|(?P<word>[A-Za-z_][A-Za-z0-9_.]*)|(?P<mark>[{}\[\]:]))"
)


# Ours are not half as deep.
_MAX_DEPTH: Final = 20


@dataclass(frozen=True, slots=True)
class Expression:
    """Code that stands in a value as it is, such as `group.id`."""

    text: str


def string(text: str) -> str:
    """Return text as a Bicep string that means exactly this."""
    plain = "".join(
        _ESCAPES.get(char, char if char.isprintable() else f"\\u{{{ord(char):x}}}") for char in text
    )
    return "'" + plain.replace("${", "\\${") + "'"


def name(text: str) -> str:
    """Return a property name, quoted where it is no identifier."""
    return text if _IDENTIFIER.match(text) else string(text)


def value(item: Any, indent: int) -> str:
    """Return a value; objects and arrays have a line for each item, `indent` spaces deep."""
    inner, outer = " " * (indent + 2), " " * indent
    match item:
        case Expression(text):
            return text
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


def objects_of(text: str) -> dict[str, Any]:
    """Return the value of every resource in a file that we wrote, by its symbolic name.

    Raises ValueError for what is not of the form that `value` writes.
    """
    starts = list(re.finditer(r"^resource (\w+) '[^']*' = (?=\{)", text, re.MULTILINE))
    found = {start[1]: _Reader(text, start.end()).value() for start in starts}
    if not len(found) == len(starts) == len(re.findall("^resource", text, re.MULTILINE)):
        raise ValueError("a resource stands twice, or does not begin as one")
    return found


def behind_parameter(expression: Any) -> str:
    """Return the text behind the one parameter of `'${parameter}text'`. Raises ValueError for all else."""
    found = re.match(r"'\$\{\w+\}", expression.text) if isinstance(expression, Expression) else None
    if not found:
        raise ValueError("a name does not begin with its parameter")
    plain = _unquoted("'" + expression.text[found.end() :])
    if not isinstance(plain, str):
        raise ValueError("a name holds more than one parameter")  # noqa: TRY004 - it is the file that is wrong
    return plain


class _Reader:
    """Reads one value from a place in a text."""

    def __init__(self, text: str, place: int) -> None:
        self.tokens = self._tokens(text, place)
        self.depth = 0

    def _tokens(self, text: str, place: int) -> Iterator[tuple[str, str]]:
        while match := _TOKEN.match(text, place):
            place = match.end()
            yield str(match.lastgroup), match[str(match.lastgroup)]
        line = text.count("\n", 0, place) + 1
        raise ValueError(f"line {line} is not of the form that is written here")

    def value(self) -> Any:
        kind, text = next(self.tokens)
        return self._rest(kind, text)

    def _rest(self, kind: str, text: str) -> Any:
        if kind == "string":
            return _unquoted(text)
        if kind == "number":
            return int(text)
        if kind == "word":
            return {"true": True, "false": False}.get(text, Expression(text))
        if text not in ("{", "["):
            raise ValueError(f"`{text}` stands where a value belongs")
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ValueError(f"values are nested more than {_MAX_DEPTH} deep")
        found = dict(self._members()) if text == "{" else list(self._items())
        self.depth -= 1
        return found

    def _members(self) -> Iterator[tuple[str, Any]]:
        while (pair := next(self.tokens)) != ("mark", "}"):
            kind, text = pair
            if kind not in ("string", "word") or next(self.tokens) != ("mark", ":"):
                raise ValueError(f"`{text}` stands where a property belongs")
            yield _unquoted(text) if kind == "string" else text, self.value()

    def _items(self) -> Iterator[Any]:
        while (pair := next(self.tokens)) != ("mark", "]"):
            yield self._rest(*pair)


def _unquoted(text: str) -> Any:
    """Return what a string means; one with an interpolation stays an expression."""
    if re.search(r"(?<!\\)\$\{", text):
        return Expression(text)

    def meaning(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 16))
        if match[2] not in _UNESCAPES:
            raise ValueError(f"`{text}` holds the unknown escape `{match[0]}`")
        return _UNESCAPES[match[2]]

    return re.sub(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|(.))", meaning, text[1:-1])
