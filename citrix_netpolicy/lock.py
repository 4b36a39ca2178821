"""One process at a time writes to a folder. The system takes a lock back when its process ends."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.errors import InputError, Problem, clean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LOCK", "exclusive"]

# In Windows a folder cannot be locked, so a file in it is; the system removes that with its last handle.
LOCK: Final = ".citrix-netpolicy.lock"
WAIT: Final = 30.0
_PAUSE: Final = 0.05
_TAKEN: Final = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


@contextmanager
def exclusive(folder: Path, wait: float = WAIT) -> Iterator[bool]:
    """Hold the lock of an existing folder; gives False where its file system has no locks.

    Raises InputError when another process holds it for longer than `wait` seconds, and OSError when the
    folder cannot be opened.
    """
    last = time.monotonic() + wait
    while True:
        descriptor = _open(folder)
        try:
            is_locked = _try_lock(descriptor)
            # Who waited may hold the lock of a folder that has been removed since.
            if is_locked is not False and _is_same(descriptor, folder):
                yield is_locked is True
                return
        finally:
            os.close(descriptor)
        if time.monotonic() > last:
            message = f"another process is writing to `{clean(str(folder), 200)}`"
            raise InputError(
                Problem(code="locked", message=message, hint="wait for it to end, then run again")
            )
        time.sleep(_PAUSE)


if sys.platform == "win32":
    import msvcrt

    def _open(folder: Path) -> int:
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_TEMPORARY | os.O_NOINHERIT)

    def _try_lock(descriptor: int) -> bool | None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            return False if error.errno in _TAKEN else None
        return True

    def _is_same(_descriptor: int, _folder: Path) -> bool:
        return True  # Windows does not remove a folder that holds an open file

else:
    import fcntl

    def _open(folder: Path) -> int:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _try_lock(descriptor: int) -> bool | None:
        """Return True for a lock, False where another has it, and None where there are no locks."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return False if error.errno in _TAKEN else None
        return True

    def _is_same(descriptor: int, folder: Path) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), folder.stat())
        return False
