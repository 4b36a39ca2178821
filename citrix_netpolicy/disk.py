"""Names below a folder that no link leads away from, and the steps that change a disk.

Each step is done or not done, and none leaves half of a file under its name. Whatever is written below an
output folder goes through them, so a test can let every one fail, or be the last that a process does.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.errors import InputError, Problem, clean

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "copy_file",
    "is_inside",
    "is_link",
    "is_there",
    "make_folder",
    "place_file",
    "refuse_links",
    "remove_file",
    "remove_folder",
    "replace_file",
    "sync_folder",
    "write_file",
]

# Bytes stay what they are in Windows too, no child inherits the file, and nothing is reached through a link.
_NEW: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
)
# What every system takes, in one part of a name and in all of them.
_PART_BYTES: Final = 255
_NAME_BYTES: Final = 800
# What Windows calls a link, and a folder that stands for another one.
_REPARSE_TAGS: Final = (0xA000000C, 0xA0000003)


def is_there(path: Path) -> bool:
    """Tell whether a path names anything; a link that leads nowhere is there as well."""
    return os.path.lexists(path)


def is_link(path: Path) -> bool:
    """Tell whether a path is a link itself, or in Windows a junction. Raises OSError."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) in _REPARSE_TAGS


def is_inside(name: str) -> bool:
    """Tell whether a name with `/` is that of something below a folder, as it is written.

    A name that is too long for a disk is none.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        return False
    sizes = [len(part.encode("utf-8", "surrogatepass")) for part in path.parts]
    return max(sizes) <= _PART_BYTES and sum(sizes) <= _NAME_BYTES


def refuse_links(folder: Path, names: Iterable[str] = ()) -> None:
    """Refuse a folder, or names below it, that a link would lead elsewhere.

    Of a relative path every part is looked at, since a checkout may hold links that somebody planted; what
    is above an absolute path belongs to the machine. Raises InputError, and OSError when the disk does.
    """
    above = [] if folder.is_absolute() else folder.parents
    paths = {folder, *above}
    for name in names:
        path = folder / name
        paths.add(path)
        for parent in path.parents:
            if parent in paths:
                break
            paths.add(parent)
    links = sorted(path for path in paths if is_link(path))
    if links:
        raise InputError(
            Problem(
                code="link",
                message=f"`{clean(str(path), 200)}` is a link, and may lead out of the folder",
                hint="name the folder that it leads to" if path in (folder, *above) else "remove the link",
            )
            for path in links
        )


def make_folder(path: Path) -> None:
    """Make a folder whose parent exists. Raises OSError."""
    path.mkdir()


def write_file(path: Path, content: bytes) -> None:
    """Write a new file, and wait until the disk has it. Raises OSError, also where something is there."""
    with os.fdopen(os.open(path, _NEW, 0o666), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    # A disk that lost a part says so here, and not after the old files are gone.
    if path.read_bytes() != content:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def copy_file(source: Path, target: Path) -> None:
    """Copy a file with its mode and times to a new place. Raises OSError."""
    shutil.copy2(source, target, follow_symlinks=False)


def replace_file(source: Path, target: Path) -> None:
    """Move a file to a place that may hold one already; at any moment the place holds one of both."""
    source.replace(target)


def place_file(source: Path, target: Path) -> None:
    """Move a file to a place that holds none. Raises FileExistsError where it does, and other OSErrors."""
    if os.name == "nt":
        source.rename(target)  # which replaces nothing there
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # there are disks without a second name for a file
        if is_there(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        source.rename(target)
        return
    source.unlink()


def remove_file(path: Path) -> None:
    """Remove a file; one that is gone already is no problem. Raises OSError."""
    path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove an empty folder; one that is gone already is no problem. Raises OSError."""
    with suppress(FileNotFoundError):
        path.rmdir()


def sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder. Raises OSError where the system does not offer that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
