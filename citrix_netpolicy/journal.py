"""A change of several files that is whole or not at all, whatever ends the process on the way.

All new files, and copies of those that they replace, are staged in one folder beside them. Then a journal of
the steps appears there under its name, in one step: before it, nothing has changed, and after it, the change
is decided. Each file is replaced in one step, so none is ever absent. Who finds a journal finishes what it
says; who finds staged files without a journal removes them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal

from citrix_netpolicy import disk, limits
from citrix_netpolicy.errors import InputError, Mark, OutputError, Problem, clean
from citrix_netpolicy.files import read_file
from citrix_netpolicy.syntax import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from citrix_netpolicy.syntax.document import Node

__all__ = ["WORK", "Recovery", "change", "is_interrupted", "recover"]

WORK: Final = ".citrix-netpolicy.work"
FORMAT: Final = 1
_JOURNAL: Final = "journal.json"
_NEXT: Final = "journal.tmp"
_STAGED: Final = re.compile(r"[0-9]+\.(new|old)|journal\.(json|tmp)")

Side = Literal["new", "old"]


class Recovery(StrEnum):
    """What became of a write that was interrupted."""

    FINISHED = "finished"
    TAKEN_BACK = "taken-back"
    SWEPT = "swept"  # it had not begun to change anything, or had ended


@dataclass(frozen=True, slots=True)
class _Journal:
    """What a change does. `files` maps names to their digests, None where there is no file on that side.

    `side` is where the folder is on its way to, and `folders` are those that the change makes.
    """

    files: Mapping[str, Mapping[Side, str | None]]
    folders: tuple[str, ...] = ()
    side: Side = "new"

    def write(self, work: Path) -> None:
        """Put the journal in its place, in one step."""
        data = {"format": FORMAT, "side": self.side, "folders": list(self.folders), "files": self.files}
        disk.remove_file(work / _NEXT)
        disk.write_file(work / _NEXT, json.dumps(data, indent=1).encode())
        disk.replace_file(work / _NEXT, work / _JOURNAL)
        # Without this, only a loss of power in the next moment could undo the step.
        with suppress(OSError):
            disk.sync_folder(work)


def is_interrupted(folder: Path) -> bool:
    """Tell whether a write to a folder has begun and not ended."""
    return disk.is_there(folder / WORK)


def change(folder: Path, contents: Mapping[str, bytes | None]) -> list[Path]:
    """Give files below a folder their contents, and remove those that have None. Hold its lock meanwhile.

    Returns what could not be tidied up afterwards. Raises OSError when the disk refuses; then everything is
    as it was. Raises OutputError when even taking back fails; then `recover` has to end the work.
    """
    work = folder / WORK
    try:
        disk.make_folder(work)
        journal = _staged(folder, contents)
        with _signals_held():
            journal.write(work)
            try:
                _bring(folder, journal)
            except OSError as error:
                _take_back(folder, journal, error)
                raise
            return _tidied(folder, journal)
    except BaseException:
        if not disk.is_there(work / _JOURNAL):  # nothing has changed
            with suppress(OSError):
                _sweep(work)
        raise


def recover(folder: Path) -> Recovery | None:
    """End a write that was interrupted, if there is one: finish it, or take it back. Hold the lock meanwhile.

    Raises InputError when what was left is not as it was written, and OutputError when the disk refuses.
    """
    work = folder / WORK
    if not disk.is_there(work):
        return None
    disk.refuse_links(folder, (f"{WORK}/{_JOURNAL}",))
    with _signals_held():
        if not disk.is_there(work / _JOURNAL):
            _sweep(work)
            return Recovery.SWEPT
        journal = _read(folder)
        disk.refuse_links(folder, (*journal.files, *journal.folders))
        try:
            _bring(folder, journal)
        except OSError as error:
            if journal.side == "old":
                raise _half_done(folder, error) from None
            _take_back(folder, journal, error)
            return Recovery.TAKEN_BACK
        _tidied(folder, journal)
        return Recovery.FINISHED if journal.side == "new" else Recovery.TAKEN_BACK


def _staged(folder: Path, contents: Mapping[str, bytes | None]) -> _Journal:
    work = folder / WORK
    files: dict[str, Mapping[Side, str | None]] = {}
    for number, (name, content) in enumerate(contents.items()):
        before, old = folder / name, None
        if disk.is_there(before):
            disk.copy_file(before, work / f"{number}.old")
            old = _digest(before.read_bytes())
        if content is not None:
            disk.write_file(work / f"{number}.new", content)
        files[name] = {"new": None if content is None else _digest(content), "old": old}
    above = {parent for name in files for parent in (folder / name).parents if folder in parent.parents}
    missing = sorted(parent for parent in above if not parent.exists())
    return _Journal(files, tuple(parent.relative_to(folder).as_posix() for parent in missing))


def _bring(folder: Path, journal: _Journal) -> None:
    """Do the steps of a journal that are not done yet. Raises OSError."""
    for number, (name, digests) in enumerate(journal.files.items()):
        target, staged = folder / name, folder / WORK / f"{number}.{journal.side}"
        if digests[journal.side] is None:
            disk.remove_file(target)
        elif disk.is_there(staged):
            for parent in reversed(target.parents):
                if folder in parent.parents and not parent.exists():
                    disk.make_folder(parent)
            disk.replace_file(staged, target)


def _take_back(folder: Path, journal: _Journal, error: OSError) -> None:
    """Bring the old files back after an error on the way to the new ones. Raises OutputError."""
    back = replace(journal, side="old")
    try:
        back.write(folder / WORK)
        _bring(folder, back)
    except OSError:
        raise _half_done(folder, error) from None
    _tidied(folder, back)


def _half_done(folder: Path, error: OSError) -> OutputError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return OutputError(
        Problem(
            code="interrupted-write",
            message=f"cannot write `{clean(str(folder), 200)}`: {reason}; some files are new and others old",
            hint="mend what the disk refuses, then compile again: that ends this write first",
        )
    )


def _tidied(folder: Path, journal: _Journal) -> list[Path]:
    """Remove what a change leaves behind when it is done, and return what cannot be removed."""
    empty = [folder / name for name in journal.folders] if journal.side == "old" else []
    gone = [folder / name for name, digests in journal.files.items() if digests[journal.side] is None]
    empty += {parent for path in gone for parent in path.parents if folder in parent.parents}
    left = []
    # The deepest come first, and with them those above become empty.
    for path in sorted(empty, reverse=True):
        try:
            if path.is_dir() and not any(path.iterdir()):
                disk.remove_folder(path)
        except OSError:
            left.append(path)
    try:
        _sweep(folder / WORK)
    except OSError:
        left.append(folder / WORK)
    return left


def _sweep(work: Path) -> None:
    """Remove the folder of staged files, the journal first, and nothing that is not of ours."""
    names = [path.name for path in work.iterdir()] if work.is_dir() else []
    for name in sorted(names, key=lambda name: (name != _JOURNAL, name)):
        if _STAGED.fullmatch(name):
            disk.remove_file(work / name)
    disk.remove_folder(work)


def _read(folder: Path) -> _Journal:
    """Read a journal that somebody else may have touched. Raises InputError."""
    work = folder / WORK
    path = work / _JOURNAL
    try:
        root = document.parse_json(read_file(path, follow=False), str(path)).root
        fields = root.fields(("format", "side", "folders", "files"))
        fields["format"].integer(FORMAT, FORMAT)
        journal = _Journal(
            {_name(node, name): _digests(node) for name, node in fields["files"].members().items()},
            tuple(_name(node, node.text()) for node in fields["folders"].items()),
            "new" if fields["side"].choice(("new", "old")) == "new" else "old",
        )
        for number, (name, node) in enumerate(fields["files"].members().items()):
            digest = journal.files[name][journal.side]
            staged = work / f"{number}.{journal.side}"
            place = staged if disk.is_there(staged) else folder / name
            if (
                digest is not None
                and _digest(read_file(place, limits.GENERATED_BYTES, follow=False)) != digest
            ):
                raise node.refusal(f"`{clean(str(place), 200)}` is not as it was written")
    except (InputError, FileNotFoundError, NotADirectoryError) as error:
        problems = error.problems if isinstance(error, InputError) else ()
        missing = Problem(code="missing-file", message="a staged file is missing", mark=Mark(str(path), 1, 1))
        hint = f"remove `{clean(str(work), 200)}` and restore the folder from version control"
        raise InputError(replace(problem, hint=hint) for problem in problems or (missing,)) from None
    return journal


def _name(node: Node, name: str) -> str:
    if not disk.is_inside(name) or name.startswith(WORK):
        raise node.refusal(f"`{clean(name)}` is not a path inside the folder", code="outside")
    return name


def _digests(node: Node) -> dict[Side, str | None]:
    fields = node.fields(("new", "old"))
    found = {side: None if fields[side].value is None else fields[side].text() for side in ("new", "old")}
    return {"new": found["new"], "old": found["old"]}


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let signals that end a process wait until the steps between are done."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread only
        return
    waiting: list[int] = []
    handlers: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler is not None:  # else it was set outside of Python, and could not be set again
                handlers[number] = handler
                signal.signal(number, lambda number, _: waiting.append(number))
        yield
    finally:
        for held, handler in handlers.items():
            signal.signal(held, handler)
        for first in waiting[:1]:
            signal.raise_signal(first)
