"""A folder of generated files on disk: written whole or not at all, and only what is ours.

Its manifest, `.citrix-netpolicy.json`, tells our files from foreign ones, and says what wrote them. Whoever
only reads writes nothing, and nothing is read or written through a link.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy import disk, journal, limits
from citrix_netpolicy.beside import files_beside
from citrix_netpolicy.errors import InputError, Mark, NetpolicyError, OutputError, Problem, clean
from citrix_netpolicy.files import read_file
from citrix_netpolicy.findings import Finding, Severity
from citrix_netpolicy.lock import LOCK, exclusive
from citrix_netpolicy.syntax import document
from citrix_netpolicy.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from citrix_netpolicy.syntax.document import Node
    from citrix_netpolicy.targets import Output

__all__ = [
    "MANIFEST",
    "Module",
    "Update",
    "changes_of",
    "differences",
    "previous_files",
    "restore_command",
    "update_folder",
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

    Raises InputError when the manifest or a file cannot be read, or a link is among them.
    """
    files = {}
    with _told(InputError, f"cannot read `{folder}`"):
        names = sorted(_ours(folder) - {MANIFEST})
        disk.refuse_links(folder, names)
        for name in names:
            path = folder / name
            if not path.is_file():
                continue
            try:
                # A checkout may have brought the line ends of Windows.
                files[name] = _read(path).decode("utf-8").replace("\r\n", "\n")
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
    with _told(InputError, f"cannot read `{folder}`"):
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
    or its manifest cannot be read, or a link is among the files.
    """
    with _told(InputError, f"cannot read `{folder}`"):
        lines = _differences(folder, _with_manifest(module))
    return [line for line in lines if line != f"{MANIFEST}: out of date"]


def _differences(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    lines = []
    names = sorted(wanted.keys() | _ours(folder))
    disk.refuse_links(folder, names)
    for name in names:
        path = folder / name
        if name not in wanted:
            # A folder under the name of a file of ours is somebody else's.
            lines += [f"{name}: no longer generated"] if disk.is_there(path) and not path.is_dir() else []
        elif not disk.is_there(path):
            lines.append(f"{name}: missing")
        elif not _holds(path, wanted[name]):
            lines.append(f"{name}: out of date")
    return lines


def _read(path: Path) -> bytes:
    return read_file(path, limits.GENERATED_BYTES, follow=False)


def _holds(path: Path, text: str) -> bool:
    """Tell whether a path is a file with this text; whoever has put a larger one there is not read."""
    content = text.encode()
    return path.is_file() and path.stat().st_size == len(content) and _read(path) == content


@dataclass(frozen=True, slots=True)
class Update:
    """What an update of a folder did: the module, what became of files, and what to know.

    `changes` maps the names of files to `new`, `changed` or `removed`; those that stay are not among them.
    """

    module: Module
    changes: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def changed(self) -> tuple[str, ...]:
        """The names of the files that are not as they were."""
        return tuple(self.changes)


def update_folder(folder: str | Path, make: Callable[[Mapping[str, str]], Module]) -> Update:
    """Make `folder` hold the files of a module and remove others of ours; foreign files stay.

    `make` gets the files of the last run, as `render` takes them, and returns the module. No other process
    writes to the folder meanwhile. Every file is replaced in one step, and the change of all of them is whole
    or not at all: what ends the process before it is decided leaves the folder as it was, and after that, the
    next update finishes it before anything else.

    Raises InputError when something foreign or a link is in the way, or another process writes to the folder,
    and OutputError when the folder cannot be written; then it is as it was. What `make` raises passes.
    """
    folder = Path(folder)
    with _told(InputError, f"cannot read `{folder}`"):
        _refuse_unusable(folder)
        # A module that cannot be made leaves no folder behind.
        module = None if disk.is_there(folder) else make({})
    with (
        _told(OutputError, f"cannot write `{folder}`", "; nothing was changed"),
        _folders_made(folder),
        exclusive(folder) as is_locked,
    ):
        findings = [] if is_locked else [_without_locks(folder)]
        findings += _recovered(folder)
        try:
            if module is None or disk.is_there(folder / MANIFEST):
                module = make(previous_files(folder))
            wanted = _with_manifest(module)
            _refuse_foreign(folder, wanted)
            lines = [line.rpartition(": ") for line in _differences(folder, wanted)]
            changes = {name: _CHANGES[what] for name, _, what in lines}
            if changes:
                contents = {name: wanted[name].encode() if name in wanted else None for name in changes}
                findings += _left_over(journal.change(folder, contents))
            findings += files_beside(folder, wanted)
        except NetpolicyError as error:
            for finding in findings:
                error.add_note(finding.message)
            raise
    return Update(module, changes, tuple(findings))


# What is done about a file of which this is told.
_CHANGES: Final = {"missing": "new", "out of date": "changed", "no longer generated": "removed"}


def write_folder(folder: str | Path, module: Module) -> list[str]:
    """Make `folder` hold the files of `module`, as `update_folder` does; returns the names of changed files.

    Raises InputError and OutputError as `update_folder` does.
    """
    return list(update_folder(folder, lambda _: module).changed)


def _without_locks(folder: Path) -> Finding:
    message = f"the file system of `{clean(str(folder), 200)}` has no locks"
    return Finding("no-locks", str(folder), message, "run one command at a time", severity=Severity.NOTE)


_RECOVERED: Final = {
    journal.Recovery.FINISHED: "finished a write that had been interrupted",
    journal.Recovery.TAKEN_BACK: "took back a write that had been interrupted",
    journal.Recovery.SWEPT: "removed what an interrupted write had left",
}


def _recovered(folder: Path) -> list[Finding]:
    recovery = journal.recover(folder)
    if recovery is None:
        return []
    message = f"`{clean(str(folder), 200)}`: {_RECOVERED[recovery]}"
    return [Finding("interrupted-write", str(folder), message, severity=Severity.NOTE)]


def _left_over(paths: Iterable[Path]) -> list[Finding]:
    return [
        Finding(
            "left-over",
            str(path),
            f"`{clean(str(path), 200)}` could not be removed; all files are written",
            "remove it",
            severity=Severity.NOTE,
        )
        for path in paths
    ]


def _with_manifest(module: Module) -> dict[str, str]:
    manifest = {
        "//": "Written by citrix-netpolicy: the generated files of this folder, and what they were made of.",
        "format": FORMAT,
        "tool": __version__,
        **module.about,
        "files": sorted(module.files),
    }
    return {**module.files, MANIFEST: json.dumps(manifest, indent=2) + "\n"}


def _ours(folder: Path) -> set[str]:
    """Return the names that the manifest in `folder` claims, the manifest among them."""
    manifest = _manifest(folder)
    return set() if manifest is None else {*manifest["files"], MANIFEST}


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a folder, or None where there is none. Raises InputError when it is unsound."""
    _refuse_unusable(folder)
    path = folder / MANIFEST
    disk.refuse_links(folder, (MANIFEST,))
    try:
        return _checked(document.parse_json(read_file(path, follow=False), str(path)).root)
    except FileNotFoundError:
        return None
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
    if not disk.is_inside(name.text()):
        message = f"`{clean(name.text())}` is not a path inside the folder"
        raise name.refusal(message, code="outside")
    if name.text().partition("/")[0] in (MANIFEST, LOCK, journal.WORK):
        message = f"`{clean(name.text())}` is not a generated file"
        raise name.refusal(message, code="outside")


def _refuse_unusable(folder: Path) -> None:
    """Refuse a folder behind a link, or one that cannot be since a file is there."""
    disk.refuse_links(folder)
    there = next((path for path in (folder, *folder.parents) if disk.is_there(path)), None)
    if there is not None and not there.is_dir():
        message = f"`{there}` is not a folder"
        raise InputError(Problem(code="not-a-folder", message=message, hint="choose a folder to write to"))


def _refuse_foreign(folder: Path, wanted: Mapping[str, str]) -> None:
    """Refuse what would be overwritten, and all that is no file where one of ours is or was."""
    ours = _ours(folder)
    disk.refuse_links(folder, wanted.keys() | ours)
    foreign: set[Path] = set()
    for name in wanted.keys() | ours:
        path = folder / name
        above = [parent for parent in path.parents if folder in parent.parents]
        foreign |= {parent for parent in above if disk.is_there(parent) and not parent.is_dir()}
        if not disk.is_there(path) or (name not in wanted and path.is_dir()):
            continue
        if not path.is_file() or (name not in ours and not _holds(path, wanted[name])):
            foreign.add(path)
    if foreign:
        raise InputError(
            Problem(
                code="not-ours",
                message=f"refusing to overwrite `{path}`: not generated by citrix-netpolicy",
                hint="choose another folder, or move the file",
            )
            for path in sorted(foreign)
        )


@contextmanager
def _folders_made(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; when what follows fails, remove those again that are new."""
    made: list[Path] = []
    try:
        for missing in reversed([path for path in (folder, *folder.parents) if not disk.is_there(path)]):
            # Another process may have made it in this moment.
            with suppress(FileExistsError):
                disk.make_folder(missing)
                made.append(missing)
        yield
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                disk.remove_folder(path)
        raise


@contextmanager
def _told(kind: type[InputError | OutputError], what: str, after: str = "") -> Iterator[None]:
    """Tell an error of the operating system as one of ours: what failed, the reason, and what it means."""
    try:
        yield
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error)
        hint = "choose a folder to write to" if isinstance(error, NotADirectoryError) else ""
        raise kind(
            Problem(
                code="unwritable" if kind is OutputError else "unreadable",
                message=f"{what}: {reason}{after}",
                hint=hint,
            )
        ) from None
