"""The YAML that this project reads: values and marks, without what YAML would guess at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml.reader import ReaderError

from citrix_netpolicy.errors import DataPath, InputError, Mark, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from yaml.error import MarkedYAMLError

__all__ = ["compose"]

MAX_DEPTH: Final = 40
MAX_VALUES: Final = 200_000

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})\Z")
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def compose(text: str, name: str) -> tuple[Any, dict[DataPath, tuple[int, int]]]:
    """Read one YAML document: its value, and the place (`line` and `column` from 0) of every key and item.

    Raises InputError, with the line, when it is not YAML or uses a part of YAML that is refused here.
    """
    try:
        composer = _Composer(text, name)
        return composer.compose(), composer.places
    except yaml.MarkedYAMLError as error:
        _refuse_before(error, text, name)
        raise InputError(_syntax_problem(error, text, name)) from None
    except ReaderError as error:
        before = text[: error.position]
        mark = Mark(name, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problem = Problem(
            code="not-yaml", message="the file holds a character that YAML does not allow", mark=mark
        )
        raise InputError(problem) from None


class _EmptyError(InputError):
    """There is no value at all."""


def _refuse_before(error: MarkedYAMLError, text: str, name: str) -> None:
    """Raise our own refusal, such as that of depth, of what stands before a syntax error.

    A scanner that reads ahead may meet a limit of its own first. Which limit that is depends on its version.
    """
    where = error.problem_mark or error.context_mark
    if where is None:
        return
    try:
        _Composer(text[: where.index], name).compose()
    except (_EmptyError, yaml.YAMLError):
        return


def _syntax_problem(error: MarkedYAMLError, text: str, name: str) -> Problem:
    where = error.problem_mark or error.context_mark
    mark = Mark(name, where.line + 1, where.column + 1) if where else Mark(name, 1, 1)
    lines = text.splitlines()
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    if "\t" in line[: mark.column]:
        return Problem(
            code="not-yaml",
            message="a tab stands where YAML wants spaces",
            mark=mark,
            hint="indent with spaces",
        )
    said = ", ".join(part for part in (error.context, error.problem) if part)
    shown = f" near `{line.strip()[:60]}`" if line.strip() else ""
    return Problem(code="not-yaml", message=f"not valid YAML{shown}: {said}", mark=mark)


class _Composer:
    """Builds values from YAML events, so that depth and size are bounded while reading."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.next_event: Callable[[], Any] = _Loader(text).get_event
        self.places: dict[DataPath, tuple[int, int]] = {}

    def compose(self) -> Any:
        self.next_event()
        event = self.next_event()
        if isinstance(event, yaml.StreamEndEvent):
            raise _EmptyError(self._refusal("the file is empty", event, code="empty").problems)
        data = self._node(self.next_event(), ())
        self.next_event()
        event = self.next_event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._refusal("the file holds more than one YAML document", event)
        return data

    def _node(self, event: Any, path: DataPath) -> Any:
        kind = type(event)
        if len(self.places) > MAX_VALUES:
            raise self._refusal(f"the file holds more than {MAX_VALUES} values", event, code="too-large")
        if kind is yaml.AliasEvent:
            # Aliases would make one value stand in two places with one line; nothing here needs them.
            raise self._refusal(f"the alias `*{event.anchor}` is not supported", event, "write the value out")
        if event.tag is not None and event.tag != "!":
            raise self._refusal(f"the tag `{event.tag}` is not supported", event)
        if kind is yaml.ScalarEvent:
            return _plain(event.value) if event.implicit[0] and event.tag is None else event.value
        if len(path) == MAX_DEPTH:
            raise self._refusal(f"values are nested more than {MAX_DEPTH} deep", event, code="too-deep")
        if kind is yaml.SequenceStartEvent:
            return self._sequence(path)
        return self._mapping(path)

    def _sequence(self, path: DataPath) -> list[Any]:
        items: list[Any] = []
        while type(event := self.next_event()) is not yaml.SequenceEndEvent:
            place = (*path, len(items))
            self.places[place] = _place(event)
            items.append(self._node(event, place))
        return items

    def _mapping(self, path: DataPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while type(event := self.next_event()) is not yaml.MappingEndEvent:
            if type(event) is not yaml.ScalarEvent:
                raise self._refusal("a key is a plain word here", event)
            key = event.value
            place = (*path, key)
            if key in mapping:
                first = self.places[place][0] + 1
                message = f"the key `{key}` stands twice, first in line {first}"
                raise self._refusal(message, event, code="duplicate-key")
            self.places[place] = _place(event)
            mapping[key] = self._node(self.next_event(), place)
        return mapping

    def _refusal(
        self, message: str, event: Any, hint: str = "", code: str = "yaml-unsupported"
    ) -> InputError:
        mark = Mark(self.name, event.start_mark.line + 1, event.start_mark.column + 1)
        return InputError(Problem(code=code, message=message, mark=mark, hint=hint))


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line, event.start_mark.column


def _plain(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return int(text) if _INTEGER.match(text) else text
