"""The syntax of HCL: values, aligned attributes, templates. It knows nothing of groups."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import DataPath, InputError, Mark, Problem, clean
from citrix_netpolicy.syntax.document import Document
from citrix_netpolicy.syntax.templates import environment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment

__all__ = [
    "attributes",
    "heading",
    "literal",
    "parse",
    "plain",
    "read_literals",
    "render",
    "tokens_of",
    "unquoted",
]

_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNESCAPES: Final = {escape[1]: plain for plain, escape in _ESCAPES.items()}
# Keys that could be read as something else are quoted: words of the language, and names that begin with `_`,
# under which readers put notes of their own.
_IDENTIFIER: Final = re.compile(r"(?!(?:for|if|in|null|true|false)\Z)[A-Za-z][A-Za-z0-9_-]*\Z")


def literal(value: Any) -> str:
    """Return a string, number, boolean, None or list of these as HCL that means exactly this value."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            return f'"{_escaped(value)}"'
        case list() | tuple():
            return f"[{', '.join(literal(item) for item in value)}]"
    raise TypeError(f"HCL has no literal for {type(value).__name__}")


def _escaped(text: str) -> str:
    plain = "".join(_ESCAPES.get(char, char if char.isprintable() else _numbered(char)) for char in text)
    # `${` and `%{` begin a template; doubled, their first character is data.
    return plain.replace("${", "$${").replace("%{", "%%{")


def _numbered(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"


def unquoted(text: str) -> str:
    """Return the string that a quoted HCL literal means. Raises ValueError when `text` is none."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise ValueError(f"`{clean(text)}` is not quoted text")

    def meaning(match: re.Match[str]) -> str:
        token = match[0]
        if token in ("$${", "%%{"):
            return token[1:]
        if token in ("${", "%{"):
            raise ValueError(f"`{clean(text)}` contains a template; only plain text is allowed")
        if len(token) > 2:
            number = int(token[2:], 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise ValueError(f"`{clean(text)}` contains the unknown character `{token}`")
            return chr(number)
        if token[1:] not in _UNESCAPES:
            raise ValueError(f"`{clean(text)}` contains the unknown escape `{token}`")
        return _UNESCAPES[token[1]]

    return re.sub(r"\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\.|\$\$\{|%%\{|\$\{|%\{", meaning, text[1:-1])


def parse(text: str, file: str) -> dict[str, Any]:
    """Return the blocks and attributes of a file as python-hcl2 has them. Raises InputError.

    It is slow, about 150 kB/s, and knows no places; it is the second opinion on what `read_literals` reads.
    """
    # A parser generator stands behind this.
    import hcl2  # noqa: PLC0415
    from lark.exceptions import LarkError  # noqa: PLC0415

    try:
        found: dict[str, Any] = hcl2.loads(text)
    except (LarkError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        message = "python-hcl2 cannot read this file"
        raise InputError(Problem(code="not-hcl", message=message, mark=Mark(file, 1, 1))) from None
    return found


def plain(found: Any) -> Any:
    """Return what a value of python-hcl2 means, without the parser's own notes. Raises ValueError."""
    match found:
        case dict():
            return {_key(key): plain(item) for key, item in found.items() if not key.startswith("__")}
        case list():
            return [plain(item) for item in found]
        case str():
            return unquoted(found)
    return found


def _key(text: str) -> str:
    return text if _IDENTIFIER.match(text) else unquoted(text)


def heading(text: str, label: str, file: str, mark: str = "#") -> str:
    """Return what the head of a file says behind `label`. Raises InputError when it says nothing."""
    found = re.search(rf"^{mark} {label}: (.+)$", text, re.MULTILINE)
    if not found:
        message = f"the head of the file does not name the {label.lower()}"
        raise InputError(Problem(code="not-ours", message=message, mark=Mark(file, 1, 1)))
    return found[1]


def read_literals(text: str, file: str) -> Document:
    """Read a file of one `locals` block that holds literals alone; `file` is how messages call it.

    Raises InputError, with line and column, for all else: other blocks, expressions, templates, a key that is
    there twice, or values nested too deep.
    """
    reader = _Reader(text, file)
    return Document(file, reader.file_body(), reader.places)


def tokens_of(text: str, file: str) -> list[tuple[str, int]]:
    """Return the tokens of a file, each with its line, without comments and spaces. Raises InputError."""
    reader = _Reader(text, file)
    found = []
    while reader.kind != "end":
        if reader.kind != "newline":
            found.append((reader.seen, reader.line + 1))
        reader.step()
    return found


_TOKEN: Final = re.compile(
    r"""[ \t\r]*(?:
    (?P<newline>(?:[#][^\n]*|//[^\n]*)?\n)
    |(?P<comment>/[*](?:[^*]|[*](?!/))*[*]/)
    |(?P<string>"(?:[^"\\\n]|\\[^\n])*")
    |(?P<number>-?[0-9]+(?:[.][0-9]+)?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_-]*)
    |(?P<end>(?:[#][^\n]*|//[^\n]*)?\Z)
    |(?P<mark>[^\n]))""",
    re.VERBOSE,
)
_MAX_DEPTH: Final = 20
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


class _Reader:
    """Reads literals token by token. `seen` is the one at hand, `kind` says what sort it is."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.place = 0
        self.line = 0
        self.start_of_line = 0
        self.places: dict[DataPath, tuple[int, int]] = {}
        self.kind = self.seen = ""
        self.column = 0
        self.step()

    def step(self) -> None:
        """Go to the next token. Comments count as the end of their line, or as nothing."""
        while True:
            if self.kind == "newline":
                self.line += 1
                self.start_of_line = self.place
            found = _TOKEN.match(self.text, self.place)
            if found is None:
                self.kind = "end"
                return
            self.kind = str(found.lastgroup)
            self.seen = found[self.kind]
            self.column = found.start(self.kind) - self.start_of_line
            self.place = found.end()
            if self.kind != "comment":
                return
            lines = self.seen.count("\n")
            if lines:
                self.line += lines
                self.start_of_line = found.start(self.kind) + self.seen.rindex("\n") + 1
            self.kind = ""

    def file_body(self) -> dict[str, Any]:
        self._skip_lines()
        if (self.kind, self.seen) != ("word", "locals"):
            raise self._unexpected("a `locals` block")
        self.places["locals",] = (self.line, self.column)
        self.step()
        self._take("{")
        body = self._members(("locals",))
        self._skip_lines()
        if self.kind != "end":
            raise self._unexpected("the end of the file")
        return {"locals": body}

    def _members(self, path: DataPath) -> dict[str, Any]:
        """Read attributes up to the closing brace, each on lines of its own."""
        if len(path) > _MAX_DEPTH:
            raise self._refusal(f"values are nested more than {_MAX_DEPTH} levels deep", "too-deep")
        found: dict[str, Any] = {}
        while True:
            self._skip_lines()
            if self.seen == "}" and self.kind == "mark":
                self.step()
                return found
            name = self._name()
            place = (*path, name)
            if name in found:
                first = self.places[place][0] + 1
                message = f"duplicate key `{clean(name)}`, first defined on line {first}"
                raise self._refusal(message, "duplicate-key")
            self.places[place] = (self.line, self.column)
            self.step()
            self._take("=")
            found[name] = self._value(place)
            if not (self.kind in ("newline", "end") or self.seen == "}"):
                raise self._unexpected("the end of the line")

    def _name(self) -> str:
        if self.kind == "word":
            return self.seen
        if self.kind == "string":
            return self._string()
        raise self._unexpected("a key")

    def _value(self, path: DataPath) -> Any:
        kind, seen = self.kind, self.seen
        if kind == "string":
            value: Any = self._string()
        elif kind == "number" and len(seen) <= 20 and "." not in seen:
            value = int(seen)
        elif kind == "word" and seen in _CONSTANTS:
            value = _CONSTANTS[seen]
        elif seen == "{" and kind == "mark":
            self.step()
            return self._members(path)
        elif seen == "[" and kind == "mark":
            self.step()
            return self._items(path)
        else:
            raise self._unexpected("a literal value")
        self.step()
        return value

    def _items(self, path: DataPath) -> list[Any]:
        if len(path) > _MAX_DEPTH:
            raise self._refusal(f"values are nested more than {_MAX_DEPTH} levels deep", "too-deep")
        found: list[Any] = []
        while True:
            self._skip_lines()
            if self.seen == "]" and self.kind == "mark":
                self.step()
                return found
            place = (*path, len(found))
            self.places[place] = (self.line, self.column)
            found.append(self._value(place))
            self._skip_lines()
            if self.seen == "," and self.kind == "mark":
                self.step()
            elif self.seen != "]":
                raise self._unexpected("`,` or `]`")

    def _string(self) -> str:
        try:
            return unquoted(self.seen)
        except ValueError as error:
            raise self._refusal(str(error), "not-literal") from None

    def _take(self, mark: str) -> None:
        if self.seen != mark or self.kind != "mark":
            raise self._unexpected(f"`{mark}`")
        self.step()

    def _skip_lines(self) -> None:
        while self.kind == "newline":
            self.step()

    def _unexpected(self, what: str) -> InputError:
        found = {"newline": "the end of the line", "end": "the end of the file"}.get(self.kind)
        return self._refusal(f"expected {what}, found {found or f'`{clean(self.seen)}`'}", "not-literal")

    def _refusal(self, message: str, code: str) -> InputError:
        mark = Mark(self.file, self.line + 1, self.column + 1)
        return InputError(Problem(code=code, message=message, mark=mark))


def attributes(values: Mapping[str, Any], indent: int) -> str:
    """Return `key = value` lines, indented by `indent` spaces, with `=` aligned as `terraform fmt` does."""
    names = [name if _IDENTIFIER.match(name) else literal(name) for name in values]
    width = max(map(len, names), default=0)
    lines = (
        f"{name:<{width}} = {literal(value)}" for name, value in zip(names, values.values(), strict=True)
    )
    return "\n".join(" " * indent + line for line in lines)


def render(template: str, **context: Any) -> str:
    """Return the text of a template; values enter it through the filters `hcl`, `attributes` and `cell`."""
    return _environment().get_template(template).render(**context)


@cache
def _environment() -> Environment:
    return environment_of({"hcl": literal, "attributes": attributes})
