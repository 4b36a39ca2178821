"""Text of a layout that is fixed, taken apart from its beginning to its end in one pass.

This is for files that were just made. It knows no grammar: what is not laid out as our templates lay it out
is an error, and nothing is skipped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["QUOTED", "Cursor", "LayoutError", "hold_resources", "pattern"]

# A text in double quotes.
QUOTED: Final = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'


class LayoutError(ValueError):
    """A text is not laid out as it should be, or says what cannot be meant."""


def pattern(text: str) -> re.Pattern[str]:
    """Return an expression in which `QUOTED` stands for a text in double quotes."""
    return re.compile(text.replace("QUOTED", QUOTED))


class Cursor:
    """A place in a text, which moves on as pieces of the text are taken."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.at = 0

    def find(self, piece: re.Pattern[str]) -> re.Match[str] | None:
        """Take a piece, if it is what stands here."""
        found = piece.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def take(self, piece: re.Pattern[str]) -> re.Match[str]:
        """Take the piece that must stand here. Raises LayoutError."""
        found = self.find(piece)
        if not found:
            raise self.error()
        return found

    def each(self, piece: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Take pieces of one kind, as many as stand here; others may be taken in between."""
        text, match = self.text, piece.match
        while found := match(text, self.at):
            self.at = found.end()
            yield found

    def until(self, mark: str, end: re.Pattern[str]) -> str:
        """Take and return what stands before `end`, which begins with a mark unless it stands here.

        `end` is taken, too. Raises LayoutError where it is not found.
        """
        if self.find(end):
            return ""
        start = self.at
        self.at = self.text.find(mark, start)
        if self.at < 0:
            self.at = start
            raise self.error()
        text = self.text[start : self.at]
        self.take(end)
        return text

    def end(self) -> None:
        """Tell that the text ends here. Raises LayoutError."""
        if self.at != len(self.text):
            raise self.error()

    def error(self) -> LayoutError:
        """Return the error that says where the cursor stands."""
        line = self.text.count("\n", 0, self.at) + 1
        return LayoutError(f"line {line} of `{self.file}` is not laid out as it should be")


def hold_resources(
    files: Mapping[str, str], wanted: Mapping[tuple[str, str], Mapping[str, str] | None]
) -> None:
    """Hold the resources of a module against those it must have, by type and name, with their arguments.

    What it reads of the cloud has `data.` before its type. Raises LayoutError for another resource, and for
    other arguments of one that has some here.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, text in files.items():
        if not name.endswith(".tf") or name == "rules.tf":
            continue  # `rules.tf` is read to its last byte, and holds no resource
        for block in _BLOCK.finditer(text):
            if block[1] in ("resource", "data"):
                kind = block[2] if block[1] == "resource" else f"data.{block[2]}"
                found[kind, block[3]] = dict(_arguments(block[4]))
            elif block[1] in ("module", "provider", "import", "moved", "removed"):
                raise LayoutError(f"`{name}` has a block `{block[1]}`")
    if found.keys() != wanted.keys():
        raise LayoutError("the resources of the module are not those it must have")
    for key, arguments in wanted.items():
        if arguments is not None and found[key] != arguments:
            raise LayoutError(f"resource `{'.'.join(key)}` does not make of a rule what it must")


def _arguments(body: str) -> Iterator[tuple[str, str]]:
    """Yield the arguments of a resource, and those of a `dynamic` block in it behind its name and a dot.

    Raises LayoutError for another block than `lifecycle`.
    """
    rest = body
    for nested in _DYNAMIC.finditer(body):
        for name, value in _NESTED_ARGUMENT.findall(nested[2]):
            yield f"{nested[1]}.{name}", " ".join(value.split())
        rest = rest.replace(nested[0], "")
    if any(word != "lifecycle" for word in _OPENED.findall(rest)):
        raise LayoutError("a resource of the module has a block that is not ours")
    for name, value in _ARGUMENT.findall(rest):
        yield name, " ".join(value.split())


_BLOCK: Final = re.compile(
    r'^([a-z]+)(?: "([^"\n]*)")?(?: "([^"\n]*)")? \{\n(.*?)^\}$', re.MULTILINE | re.DOTALL
)
# An argument ends with its line, unless that opens a list or a map.
_ARGUMENT: Final = re.compile(
    r"^  ([a-z0-9_]+) += (.*[^\[{\n]|.*\[(?:\n    .*)*\n  \].*|.*\{(?:\n    .*)*\n  \}.*)$", re.MULTILINE
)
_DYNAMIC: Final = re.compile(r'^  dynamic "([a-z_]+)" \{\n(.*?)^  \}$', re.MULTILINE | re.DOTALL)
_NESTED_ARGUMENT: Final = re.compile(
    r"^ {4}(?: {2})?([a-z0-9_]+) += (.*[^\[\n]|.*\[(?:\n {8}.*)*\n {6}\].*)$", re.MULTILINE
)
_OPENED: Final = re.compile(r'^  ([a-z_]+)(?: "[^"\n]*")* \{', re.MULTILINE)
