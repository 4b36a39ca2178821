"""A folder of generated files on disk: written whole or not at all, and only what is ours.

Its manifest, `.citrix-netpolicy.json`, tells our files from foreign ones, and says what wrote them. New files
are written beside the old ones first, then renamed into their place; when anything fails, everything is put
back.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import InputError, Mark, OutputError, Problem, clean
from citrix_netpolicy.syntax import document
from citrix_netpolicy.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from citrix_netpolicy.findings import Finding
    from citrix_netpolicy.syntax.document import Node
    from citrix_netpolicy.targets import Output

__all__ = [
    "MANIFEST",
    "Module",
    "changes_of",
    "differences",
    "previous_files",
    "restore_command",
    "write_folder",
]

MANIFEST: Final = ".citrix-netpolicy.json"
FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class Module:
    """A folder of generated files: relative path with `/` to text.

    `about` is what its manifest says of the run, and `outputs` what the target says of each network.
    """

    files: Mapping[str, str]
    about: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What people should know of the files, above all accepted losses."""
        return tuple(finding for output in self.outputs.values() for finding in output.findings)


def previous_files(folder: Path) -> dict[str, str]:
    """Return the files of the last run that are still in `folder`: relative path with `/` to text.

    Raises InputError when the manifest or a file cannot be read.
    """
    files = {}
    with _told(InputError, f"cannot read `{folder}`"):
        for name in sorted(_ours(folder) - {MANIFEST}):
            path = folder / name
            if not path.is_file():
                continue
            try:
                files[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                problem = Problem(
                    code="not-utf-8",
                    message="the file is not UTF-8",
                    mark=Mark(str(path), 1, 1),
                    hint="restore it from version control",
                )
                raise InputError(problem) from None
    return files


def changes_of(folder: Path, module: Module) -> list[str]:
    """Return what the manifest in `folder` says differently from that of `module`, a line for each.

    It tells why files are out of date; when none is, it does not matter. Raises InputError when the manifest
    cannot be read.
    """
    there = _manifest(folder)
    if there is None:
        return []
    about = {"tool": __version__, "format": FORMAT, **module.about}
    lines = []
    for key in ("tool", "format", "keys", "edition", "catalog"):
        theirs, ours = there.get(key), about.get(key)
        if theirs != ours and key in about:
            lines.append(f"{key}: written with `{clean(str(theirs))}`, now `{ours}`")
    known, now = there.get("input"), about.get("input", {})
    if isinstance(known, dict):
        changed = sorted(name for name in known.keys() | now.keys() if known.get(name) != now.get(name))
        if changed:
            lines.append(f"input: changed since then: {', '.join(clean(name) for name in changed)}")
    return lines


def differences(folder: Path, module: Module) -> list[str]:
    """Return how the files in `folder` differ from `module`, a line for each; nothing when it is up to date.

    What the manifest says of the run does not count, as `changes_of` tells. Raises InputError when the folder
    or its manifest cannot be read.
    """
    lines = _differences(folder, _with_manifest(module))
    return [line for line in lines if line != f"{MANIFEST}: out of date"]


def _differences(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    lines = []
    with _told(InputError, f"cannot read `{folder}`"):
        for name in sorted(wanted.keys() | _ours(folder)):
            path = folder / name
            if name not in wanted:
                # A folder under the name of a file of ours is somebody else's.
                lines += [f"{name}: no longer generated"] if _is_there(path) and not path.is_dir() else []
            elif not _is_there(path):
                lines.append(f"{name}: missing")
            elif not path.is_file() or path.read_bytes() != wanted[name].encode():
                lines.append(f"{name}: out of date")
    return lines


def write_folder(folder: str | Path, module: Module) -> list[str]:
    """Make `folder` hold the files of `module` and remove others of ours; foreign files stay.

    Returns the names of the files that changed. Raises InputError when something foreign is in the way, and
    OutputError when the folder cannot be written; then it is as it was.
    """
    folder = Path(folder)
    wanted = _with_manifest(module)
    with _told(InputError, f"cannot read `{folder}`"):
        _refuse_foreign(folder, wanted, _ours(folder))
    changed = [line.partition(":")[0] for line in _differences(folder, wanted)]
    if changed:
        with _told(OutputError, f"cannot write `{folder}`", "; nothing was changed"), _undone() as made:
            _make_folder(folder.parent, made)
            # Staging within the same file system makes each rename one step.
            place = folder if folder.is_dir() else folder.parent
            with tempfile.TemporaryDirectory(prefix=".citrix-netpolicy-", dir=place) as stage:
                new, old = Path(stage, "new"), Path(stage, "old")
                for name in changed:
                    if name in wanted:
                        _write(new / name, wanted[name])
                _swap(folder, new, old, changed)
        _remove_empty_folders(folder, changed)
    return changed


def _with_manifest(module: Module) -> dict[str, str]:
    manifest = {
        "//": "Written by citrix-netpolicy: the generated files of this folder, and what they were made of.",
        "format": FORMAT,
        "tool": __version__,
        **module.about,
        "files": sorted(module.files),
    }
    return {**module.files, MANIFEST: json.dumps(manifest, indent=2) + "\n"}


def _is_there(path: Path) -> bool:
    # A link that leads nowhere is there as well, and not ours to replace.
    return os.path.lexists(path)


def _ours(folder: Path) -> set[str]:
    """Return the names that the manifest in `folder` claims, the manifest among them."""
    manifest = _manifest(folder)
    return set() if manifest is None else {*manifest["files"], MANIFEST}


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a folder, or None where there is none. Raises InputError when it is unsound."""
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return _checked(document.parse_json(content, str(path)).root)
    except InputError as error:
        hint = "restore it from version control, or remove it and the files that it lists"
        if any(problem.code == "merge-conflict" for problem in error.problems):
            hint = f"run `{restore_command(folder)}`, then compile again"
        raise InputError(replace(problem, hint=problem.hint or hint) for problem in error.problems) from None


def restore_command(folder: Path, branch: str = "HEAD") -> str:
    """Return what brings a folder back to the state of a branch, also in the middle of a merge."""
    return f"git rm -rqf {folder} && git checkout {branch} -- {folder}"


def _checked(root: Node) -> dict[str, Any]:
    """Return the data of a manifest. Raises InputError when it is not valid."""
    members = root.members()
    # Format 1 called itself a version, and listed the files alone.
    number = members.get("format") or members.get("version")
    if number is not None and type(number.value) is int and number.value > FORMAT:
        message = f"this manifest has format {number.value}; this release reads up to {FORMAT}"
        hint = "use the release that wrote the folder, or a newer one"
        raise number.refusal(message, code="newer-format", hint=hint)
    optional = ("//", "format", "version", "tool", "keys", "edition", "catalog", "input")
    fields = root.fields(("files",), optional)
    for name in fields["files"].items():
        _refuse_outside(name)
    data: dict[str, Any] = root.value
    return data


def _refuse_outside(name: Node) -> None:
    if not _is_inside(name.text()):
        message = f"`{clean(name.text())}` is not a path inside the folder"
        raise name.refusal(message, code="outside")


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _refuse_foreign(folder: Path, wanted: Mapping[str, str], ours: set[str]) -> None:
    if _is_there(folder) and not folder.is_dir():
        raise InputError(
            Problem(code="not-a-folder", message=f"`{folder}` is a file", hint="choose a folder to write to")
        )
    foreign: dict[Path, str] = {}
    for name in sorted(wanted):
        path = folder / name
        above = [parent for parent in path.parents if folder in parent.parents]
        foreign |= {parent: "folder" for parent in above if _is_there(parent) and not parent.is_dir()}
        is_same = path.is_file() and path.read_bytes() == wanted[name].encode()
        if path.is_dir() or (_is_there(path) and name not in ours and not is_same):
            foreign[path] = "file"
    if foreign:
        hint = "choose another folder, or move the file"
        raise InputError(
            Problem(
                code="not-ours",
                message=f"refusing to overwrite `{path}`: not generated by citrix-netpolicy",
                hint=hint,
            )
            for path, kind in foreign.items()
        )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    # A disk that lost a part says so here, and not after the old files are gone.
    if path.read_bytes() != content:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def _make_folder(path: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and note in `made` which of them are new."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir()
        made.append(folder)


@contextmanager
def _undone() -> Iterator[list[Path]]:
    """Give a list for folders that are made on the way; when the way ends early, remove them again."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def _swap(folder: Path, new: Path, old: Path, names: list[str]) -> None:
    """Move the files of `new` into `folder` and those in their way to `old`, or leave all as it was."""
    if not folder.exists():
        new.rename(folder)
        return
    moves: list[tuple[Path, Path]] = []
    with _undone() as made:
        try:
            for name in names:
                for source, target in ((folder / name, old / name), (new / name, folder / name)):
                    if _is_there(source):
                        _make_folder(target.parent, made)
                        moves.append((source, target))
                        source.rename(target)
        # Whatever ends this early, an interrupt too, must not leave half of the files.
        except BaseException:
            for source, target in reversed(moves):
                if _is_there(target) and not _is_there(source):
                    target.rename(source)
            raise


def _remove_empty_folders(folder: Path, names: list[str]) -> None:
    for name in names:
        for parent in (folder / name).parents:
            # The rules are in place by now; an empty folder that stays is no reason to fail.
            with suppress(OSError):
                if folder in parent.parents and not any(parent.iterdir()):
                    parent.rmdir()


@contextmanager
def _told(kind: type[InputError | OutputError], what: str, after: str = "") -> Iterator[None]:
    """Tell an error of the operating system as one of ours: what failed, the reason, and what it means."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        hint = "choose a folder to write to" if isinstance(error, NotADirectoryError) else ""
        raise kind(
            Problem(
                code="unwritable" if kind is OutputError else "unreadable",
                message=f"{what}: {reason}{after}",
                hint=hint,
            )
        ) from None
