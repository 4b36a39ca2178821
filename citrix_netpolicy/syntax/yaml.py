"""The YAML that this project reads and writes: values and marks, without what YAML would guess at."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml.reader import ReaderError

from citrix_netpolicy import limits
from citrix_netpolicy.errors import DataPath, InputError, Mark, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from yaml.error import MarkedYAMLError

__all__ = ["compose", "dump"]

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
            code="not-yaml", message="the file contains a character that YAML does not allow", mark=mark
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
            message="found a tab where YAML requires spaces",
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
            raise self._refusal("the file contains more than one YAML document", event)
        return data

    def _node(self, event: Any, path: DataPath) -> Any:
        kind = type(event)
        if len(self.places) > limits.VALUES:
            raise self._refusal(
                f"the file contains more than {limits.VALUES} values", event, code="too-large"
            )
        if kind is yaml.AliasEvent:
            # Aliases would make one value stand in two places with one line; nothing here needs them.
            raise self._refusal(f"the alias `*{event.anchor}` is not supported", event, "write the value out")
        if event.tag is not None and event.tag != "!":
            raise self._refusal(f"the tag `{event.tag}` is not supported", event)
        if kind is yaml.ScalarEvent:
            return _plain(event.value) if event.implicit[0] and event.tag is None else event.value
        if len(path) == limits.DEPTH:
            raise self._refusal(
                f"values are nested more than {limits.DEPTH} levels deep", event, code="too-deep"
            )
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
                raise self._refusal("expected a plain key", event)
            key = event.value
            place = (*path, key)
            if key in mapping:
                first = self.places[place][0] + 1
                message = f"duplicate key `{key}`, first defined on line {first}"
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


# What is written without quotes: a word that no YAML reader takes for anything but text, an IPv4 prefix, and
# a range of ports. All else is quoted, since readers differ in what they guess at: `no`, `010`, `22:30`.
_WORD: Final = re.compile(r"[^\W\d_](?:[\w./ -]*\w)?\Z")
_NUMERIC: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}/\d{1,2}\Z|[1-9]\d{0,4}-[1-9]\d{0,4}\Z", re.ASCII)
_GUESSED: Final = frozenset(["y", "yes", "n", "no", "on", "off", "true", "false", "null", "nan", "inf"])
_FLOW_WIDTH: Final = 80


def dump(data: dict[str, Any]) -> str:
    """Return a map of plain values as YAML: maps in blocks, short lists of single values on one line.

    `compose`, and every other reader of YAML 1.1 or 1.2, reads the same values from it. The order is that of
    `data`.
    """
    text: str = yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
        default_flow_style=False,
    )
    return text


class _Dumper(yaml.SafeDumper):
    """Writes text without quotes only where nobody could take it for something else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """Indent items of a list below their key."""
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Write a value out wherever it is."""
        return True

    def write_double_quoted(self, text: str, split: bool = True) -> None:  # noqa: FBT001, FBT002
        """Write a text in quotes; where a part of it shows nothing, all but plain letters are escapes."""
        self.allow_unicode = text.isprintable()
        super().write_double_quoted(text, split=split)

    def text(self, text: str) -> yaml.ScalarNode:
        """Return a text as a node."""
        style = None if _is_plain(text) else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def items(self, items: list[Any]) -> yaml.SequenceNode:
        """Return a list as a node."""
        is_short = sum(len(str(item)) + 2 for item in items) <= _FLOW_WIDTH
        is_flow = is_short and not any(isinstance(item, dict | list) for item in items)
        return self.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=is_flow)


_Dumper.add_representer(str, _Dumper.text)
_Dumper.add_representer(list, _Dumper.items)


def _is_plain(text: str) -> bool:
    return bool(_WORD.match(text) or _NUMERIC.match(text)) and text.lower() not in _GUESSED
