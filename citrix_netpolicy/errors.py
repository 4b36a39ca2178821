"""What can go wrong, and where: one tree of exceptions over one kind of problem.

NetpolicyError
├── InputError    the catalogue, the deployment or an argument is wrong
├── TargetError   the policy is sound, but a cloud cannot hold it
└── OutputError   the result could not be written
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "DataPath",
    "InputError",
    "Mark",
    "NetpolicyError",
    "OutputError",
    "Problem",
    "TargetError",
    "clean",
    "in_order",
    "nearest",
    "show_path",
]

# Nothing in the vocabularies is longer, and comparing takes time with the length.
_LONGEST_WORD: Final = 100

# A place inside data: the keys and indices on the way to it.
DataPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with an input: what, where, and how to mend it.

    `code` is a stable word for this kind of problem; `docs/codes.md` lists all of them. `path` is the place
    inside the data, such as `("tiers", "ddc", "subnets", 0)`; `mark` is the place in the file, where the data
    came from one.
    """

    code: str
    message: str
    path: DataPath = ()
    mark: Mark | None = None
    hint: str = ""

    def __str__(self) -> str:
        where = [str(part) for part in (self.mark, show_path(self.path)) if part]
        text = ": ".join([*where, self.message])
        return f"{text} (help: {self.hint})" if self.hint else text


class NetpolicyError(Exception):
    """Something a user can mend. `problems` holds at least one problem, in the order of the input."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class InputError(NetpolicyError):
    """The catalogue, the deployment or an argument is wrong."""


class TargetError(NetpolicyError):
    """The policy is sound, but the cloud of a network cannot hold it."""


class OutputError(NetpolicyError):
    """The result is not what was compiled, or could not be written; what was there before is untouched."""


def clean(text: str, limit: int = 60) -> str:
    """Return text as messages quote it: short, and without characters that a terminal would act on."""
    short = plain(text[: limit + 1])
    return short if len(text) <= limit and len(short) <= limit else short[: limit - 3] + "..."


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems in the order of their places; those without a place keep theirs."""
    return sorted(
        problems, key=lambda problem: (problem.mark.line, problem.mark.column) if problem.mark else (0, 0)
    )


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return a hint that names the valid word most like `word`, or all of them when they are few.

    A letter that only looks like a Latin one is named.
    """
    # Both are needed for bad input only, and loading them costs more than the rest of this module.
    import unicodedata  # noqa: PLC0415
    from difflib import get_close_matches  # noqa: PLC0415

    known = sorted(valid)
    if max(map(len, known), default=0) > _LONGEST_WORD:
        return ""  # whoever makes up such words is not helped by seeing them
    match = get_close_matches(word[:_LONGEST_WORD], known, n=1)
    if match:
        strange = next((char for char in word if not char.isascii() and char not in match[0]), "")
        letter = f"`{plain(strange)}` is {unicodedata.name(strange, 'another letter')}; " if strange else ""
        return f"{letter}did you mean `{match[0]}`?"
    if len(known) > 12:
        return ""
    return "one of " + ", ".join(f"`{name}`" for name in known) if known else ""


def show_path(path: DataPath) -> str:
    """Return a path as people write it: `tiers.ddc.subnets[0]`."""
    text = ""
    for step in path:
        name = step if isinstance(step, int) else clean(step)
        text += f"[{name}]" if isinstance(name, int) else f".{name}" if text else name
    return text
