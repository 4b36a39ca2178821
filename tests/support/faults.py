"""A disk on which one step goes wrong: it fails, or it is the last that the process does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from citrix_netpolicy import disk

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

# Every step that changes a disk, as `disk` offers them.
STEPS = (
    "copy_file",
    "make_folder",
    "place_file",
    "remove_file",
    "remove_folder",
    "replace_file",
    "sync_folder",
    "write_file",
)


class Killed(BaseException):
    """The process has ended here."""


class Fault:
    """Lets the `number`-th step go wrong, counted from 1: `error` is raised in its place.

    Of a file that would have been written, the first half is there then. After `Killed` every later step does
    nothing but raise it again, as nothing happens after the end of a process.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
        self.left = number
        self.error = error
        self.step = ""
        for name in STEPS:
            monkeypatch.setattr(disk, name, self._faulty(name, getattr(disk, name)))

    def _faulty(self, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*arguments: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                self.step = name
                self._write_half(name, *arguments)
                raise self.error
            if self.left < 0 and isinstance(self.error, Killed):
                raise self.error
            return step(*arguments)

        return faulty

    def _write_half(self, name: str, *arguments: Any) -> None:
        if name == "write_file":
            path, content = arguments
        elif name == "copy_file":
            path, content = arguments[1], Path(arguments[0]).read_bytes()
        else:
            return
        path.write_bytes(content[: len(content) // 2])
