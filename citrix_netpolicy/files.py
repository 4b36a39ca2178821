"""The one door through which files come in: regular files only, and no more of them than a bound allows."""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import TYPE_CHECKING, Final

from citrix_netpolicy import limits
from citrix_netpolicy.errors import InputError, Mark, Problem

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_file", "read_standard_input"]

# A FIFO or a device must not make us wait, not even to be opened.
_FLAGS: Final = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK"))


def read_file(path: Path, limit: int = limits.INPUT_BYTES, *, follow: bool = True) -> bytes:
    """Return the bytes of a regular file; without `follow`, a link is none.

    Raises InputError for anything but a regular file, and for more than `limit` bytes; OSError when the file
    is not there or cannot be read.
    """
    name = str(path)
    if not follow and stat.S_ISLNK(path.lstat().st_mode):
        raise _refusal("a link is not read here", name)
    try:
        descriptor = os.open(path, _FLAGS | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    except OSError as error:
        # What cannot be opened this way is a socket, or a link that has just appeared.
        if error.errno == errno.ENXIO or (error.errno == errno.ELOOP and not follow):
            raise _refusal("this is not a regular file", name) from None
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        raise _refusal("this is not a regular file", name)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise _refusal(f"the file is larger than {limit // 1024 // 1024} MiB", name, code="too-large")
    return content


def read_standard_input() -> bytes:
    """Return what standard input holds, up to one byte more than is read of a file. Raises InputError."""
    try:
        return sys.stdin.buffer.read(limits.INPUT_BYTES + 1)
    except (OSError, ValueError, AttributeError) as error:  # it may be closed, or not be there at all
        reason = getattr(error, "strerror", None) or "it is closed"
        problem = Problem(code="unreadable", message=f"cannot read standard input: {reason}")
        raise InputError(problem) from None


def _refusal(message: str, name: str, *, code: str = "not-a-file") -> InputError:
    return InputError(Problem(code=code, message=message, mark=Mark(name, 1, 1)))
