"""The syntax of HCL: values, aligned attributes, templates. It knows nothing of groups."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.syntax.templates import environment_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment

__all__ = ["attributes", "entries", "heading", "literal", "locals_of", "name", "render", "unquoted", "value"]

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
        raise ValueError(f"`{text}` is no quoted text")

    def meaning(match: re.Match[str]) -> str:
        token = match[0]
        if token in ("$${", "%%{"):
            return token[1:]
        if token in ("${", "%{"):
            raise ValueError(f"`{text}` holds a template, not plain text")
        if len(token) > 2:
            return chr(int(token[2:], 16))
        if token[1:] not in _UNESCAPES:
            raise ValueError(f"`{text}` holds the unknown escape `{token}`")
        return _UNESCAPES[token[1]]

    return re.sub(r"\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\.|\$\$\{|%%\{|\$\{|%\{", meaning, text[1:-1])


def name(text: str) -> str:
    """Return the name that an attribute or map key means, quoted or not. Raises ValueError for neither."""
    return text if _IDENTIFIER.match(text) else unquoted(text)


def value(found: Any) -> Any:
    """Return what a parsed value means: strings unquoted, also those in lists."""
    if isinstance(found, list):
        return [value(item) for item in found]
    return unquoted(found) if isinstance(found, str) else found


def entries(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a parsed body, without the parser's own notes."""
    return {key: item for key, item in body.items() if not key.startswith("__")}


def locals_of(text: str) -> dict[str, Any]:
    """Return the one `locals` block of a file, parsed. Raises ValueError when the text is not that."""
    # A parser generator stands behind this, which only reading needs.
    import hcl2  # noqa: PLC0415
    from lark.exceptions import LarkError  # noqa: PLC0415

    try:
        (body,) = hcl2.loads(text)["locals"]
    except LarkError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    return dict(body)


def heading(text: str, label: str) -> str:
    """Return what the head of a file says behind `label`. Raises ValueError when it says nothing."""
    found = re.search(rf"^# {label}: (.+)$", text, re.MULTILINE)
    if not found:
        raise ValueError(f"the head does not name the {label.lower()}")
    return found[1]


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
