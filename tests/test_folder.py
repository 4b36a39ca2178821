"""Folders are written whole or not at all, and only what is ours is touched."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from citrix_netpolicy import InputError, OutputError
from citrix_netpolicy import folder as output
from citrix_netpolicy.files import read_file
from citrix_netpolicy.folder import MANIFEST, Module, changes_of, differences, previous_files, write_folder
from citrix_netpolicy.journal import WORK
from citrix_netpolicy.lock import LOCK
from citrix_netpolicy.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = {"README.md": "read me\n", "main.tf": "main\n", "tests/module.hcl": "test\n"}


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return every file and folder below `folder`, and what the files hold."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def only_files(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in snapshot(folder).items() if content is not None}


def text_of(caught: pytest.ExceptionInfo[Any]) -> str:
    return str(caught.value)


def test_a_folder_is_created(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    changed = write_folder(out, Module(FILES))
    assert sorted(changed) == sorted([*FILES, MANIFEST])
    assert only_files(out).keys() == {*FILES, MANIFEST}
    assert {name: (out / name).read_text() for name in FILES} == FILES
    assert json.loads((out / MANIFEST).read_text())["files"] == sorted(FILES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["b"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_folder(tmp_path, Module(FILES))
    assert only_files(tmp_path).keys() == {*FILES, MANIFEST}


def test_modes_are_those_of_any_file(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        write_folder(tmp_path / "out", Module(FILES))
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out" / "main.tf").stat().st_mode & 0o777 == 0o644


def test_the_second_time_changes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, Module(FILES))
    for path in (out, *out.rglob("*")):
        os.utime(path, (1, 1))
    assert write_folder(out, Module(FILES)) == []
    assert differences(out, Module(FILES)) == []
    assert {path.stat().st_mtime for path in (out, *out.rglob("*"))} == {1}


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    write_folder(tmp_path, Module(FILES))
    for path in tmp_path.rglob("*"):
        os.utime(path, (1, 1))
    assert write_folder(tmp_path, Module(FILES | {"main.tf": "new\n"})) == ["main.tf"]
    assert (tmp_path / "main.tf").read_text() == "new\n"
    assert (tmp_path / "README.md").stat().st_mtime == 1
    assert (tmp_path / MANIFEST).stat().st_mtime == 1


def test_what_is_no_longer_generated_goes_with_its_folders(tmp_path: Path) -> None:
    write_folder(tmp_path, Module({**FILES, "a/b/c.tf": "c", "a/d.tf": "d", "kept/e.tf": "e"}))
    (tmp_path / "kept" / "mine.txt").write_text("mine")
    changed = write_folder(tmp_path, Module({"main.tf": "main\n"}))
    assert sorted(changed) == sorted(
        [MANIFEST, "README.md", "a/b/c.tf", "a/d.tf", "kept/e.tf", "tests/module.hcl"]
    )
    assert snapshot(tmp_path).keys() == {MANIFEST, "main.tf", "kept", "kept/mine.txt"}


def test_foreign_files_stay(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("mine.tf", "tests/mine.hcl", ".terraform.lock.hcl"):
        (tmp_path / name).write_text("mine")
    before = snapshot(tmp_path)
    write_folder(tmp_path, Module(FILES))
    write_folder(tmp_path, Module({}))
    assert snapshot(tmp_path) == before | {MANIFEST: (tmp_path / MANIFEST).read_bytes()}


def test_a_file_of_ours_that_was_removed_by_hand_is_no_problem(tmp_path: Path) -> None:
    write_folder(tmp_path, Module(FILES))
    (tmp_path / "main.tf").unlink()
    shutil.rmtree(tmp_path / "tests")
    assert differences(tmp_path, Module(FILES)) == ["main.tf: missing", "tests/module.hcl: missing"]
    assert differences(tmp_path, Module({"README.md": "read me\n"})) == []
    write_folder(tmp_path, Module(FILES))
    assert differences(tmp_path, Module(FILES)) == []


ABOUT: dict[str, Any] = {
    "keys": 1,
    "edition": "2026.11",
    "catalog": "aa",
    "input": {"name": {"digest": "1"}, "tiers.ddc": {"digest": "2"}, "tiers.vda": {"digest": "3"}},
}


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"keys": 2}, ["keys: written with `1`, now `2`"]),
        ({"edition": "2027.04"}, ["edition: written with `2026.11`, now `2027.04`"]),
        ({"catalog": "bb"}, ["catalog: written with `aa`, now `bb`"]),
        ({"input": {**ABOUT["input"], "tiers.vda": {"digest": "4"}}}, ["tiers.vda"]),
        ({"input": {**ABOUT["input"], "egress": {"digest": "4"}}}, ["egress"]),
        ({"input": {"name": {"digest": "1"}}}, ["tiers.ddc, tiers.vda"]),
        ({"input": {}}, ["name, tiers.ddc, tiers.vda"]),
    ],
)
def test_what_changed_since_the_last_run_is_told(
    change: dict[str, Any], lines: list[str], tmp_path: Path
) -> None:
    write_folder(tmp_path, Module(FILES, ABOUT))
    told = [line if ": written" in line else f"input: changed since then: {line}" for line in lines]
    assert changes_of(tmp_path, Module(FILES, {**ABOUT, **change})) == told


def test_a_release_and_what_it_did_not_note_are_told_apart(tmp_path: Path) -> None:
    assert changes_of(tmp_path, Module(FILES, ABOUT)) == []
    write_folder(tmp_path, Module(FILES, ABOUT))
    # A run that does not say its edition does not say that it is another one.
    told = changes_of(tmp_path, Module(FILES))
    assert not [line for line in told if ": written with" in line]
    path = tmp_path / MANIFEST
    path.write_text(path.read_text().replace(f'"tool": "{__version__}"', '"tool": "0.0.9"'))
    assert changes_of(tmp_path, Module(FILES, ABOUT)) == [f"tool: written with `0.0.9`, now `{__version__}`"]


def _uses(folder: Path) -> dict[str, Callable[[], object]]:
    return {
        "differences": lambda: differences(folder, Module(NEW)),
        "previous_files": lambda: previous_files(folder),
        "write_folder": lambda: write_folder(folder, Module(NEW)),
    }


# What a pull request may plant: a link in the place of each thing that we reach.
LINKS = {
    "file": "main.tf",
    "folder of a file": "tests",
    "old file": "old.tf",
    "folder of an old file": "gone",
    "manifest": MANIFEST,
    "folder itself": "",
}


@pytest.mark.parametrize("use", ["differences", "previous_files", "write_folder"])
@pytest.mark.parametrize("place", LINKS)
@pytest.mark.parametrize("leads", ["to a copy", "nowhere"])
def test_nothing_is_reached_through_a_link(place: str, use: str, leads: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_folder(out, Module({**FILES, "old.tf": "old\n", "gone/precious": "old\n"}))
    path = out / LINKS[place]
    victim = tmp_path / "victim"
    path.rename(victim)
    path.symlink_to(victim if leads == "to a copy" else tmp_path / "nowhere")
    before = snapshot(tmp_path)
    with pytest.raises(InputError) as caught:
        _uses(out)[use]()
    assert [problem.code for problem in caught.value.problems] == ["link"]
    assert f"`{path}` is a link" in text_of(caught)
    assert snapshot(tmp_path) == before
    assert path.is_symlink()


@pytest.mark.parametrize("use", ["differences", "previous_files", "write_folder"])
def test_no_part_of_a_relative_path_is_a_link(
    use: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere" / "out").mkdir(parents=True)
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "infra").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "checkout")
    with pytest.raises(InputError, match="`infra` is a link"):
        _uses(Path("infra/out"))[use]()
    # What is above an absolute path belongs to the machine: `/tmp` is a link on some.
    write_folder(tmp_path / "checkout" / "infra" / "out", Module(NEW))
    assert differences(tmp_path / "elsewhere" / "out", Module(NEW)) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
@pytest.mark.parametrize("use", ["differences", "previous_files", "write_folder"])
@pytest.mark.parametrize("name", [MANIFEST, "main.tf", "old.tf"])
def test_a_fifo_does_not_make_us_wait(name: str, use: str, tmp_path: Path) -> None:
    write_folder(tmp_path, Module({**FILES, "old.tf": "old\n"}))
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    is_refused = name == MANIFEST or use == "write_folder"
    with pytest.raises(InputError) if is_refused else contextlib.nullcontext():
        _uses(tmp_path)[use]()
    assert (tmp_path / name).is_fifo()


@pytest.mark.parametrize("name", [MANIFEST, f"{WORK}/journal.json", f"{WORK}/mine", LOCK])
def test_a_list_cannot_claim_what_is_not_generated(name: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"files": [name]}))
    with pytest.raises(InputError, match="is not a generated file"):
        write_folder(tmp_path, Module(FILES))


def test_a_huge_list_or_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, Module(FILES))
    with (tmp_path / "main.tf").open("wb") as file:
        file.truncate(10**9)
    assert differences(tmp_path, Module(FILES)) == ["main.tf: out of date"]
    with pytest.raises(InputError, match="larger than 64 MiB"):
        previous_files(tmp_path)
    with (tmp_path / MANIFEST).open("wb") as file:
        file.truncate(10**9)
    for use in _uses(tmp_path).values():
        with pytest.raises(InputError, match="larger than 4 MiB"):
            use()


def test_a_foreign_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text("mine")
    (tmp_path / "README.md").mkdir()
    before = snapshot(tmp_path)
    with pytest.raises(InputError) as caught:
        write_folder(tmp_path, Module(FILES))
    assert text_of(caught).splitlines() == [
        f"refusing to overwrite `{tmp_path / name}`: not generated by citrix-netpolicy "
        "(help: choose another folder, or move the file)"
        for name in ("README.md", "main.tf")
    ]
    assert snapshot(tmp_path) == before


def test_a_foreign_file_that_holds_the_same_becomes_ours(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text("main\n")
    assert "main.tf" not in write_folder(tmp_path, Module(FILES))
    write_folder(tmp_path, Module({}))
    assert not (tmp_path / "main.tf").exists()


def test_a_foreign_file_where_a_folder_is_needed_stays(tmp_path: Path) -> None:
    (tmp_path / "tests").write_text("mine")
    with pytest.raises(InputError, match=r"refusing to overwrite `.*tests`"):
        write_folder(tmp_path, Module(FILES))


def test_a_folder_in_the_place_of_an_old_file_stays(tmp_path: Path) -> None:
    write_folder(tmp_path, Module({**FILES, "old.tf": "old\n"}))
    (tmp_path / "old.tf").unlink()
    (tmp_path / "old.tf").mkdir()
    write_folder(tmp_path, Module(FILES))
    assert (tmp_path / "old.tf").is_dir()


def test_a_foreign_file_where_a_folder_is_needed_stops_everything(tmp_path: Path) -> None:
    (tmp_path / "tests").write_text("mine")
    with pytest.raises((InputError, OutputError)):
        write_folder(tmp_path, Module(FILES))
    assert snapshot(tmp_path) == {"tests": b"mine"}


def test_a_foreign_link_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "main.tf").symlink_to("elsewhere")
    with pytest.raises(InputError):
        write_folder(tmp_path, Module(FILES))
    assert (tmp_path / "main.tf").is_symlink()


def test_a_folder_in_the_list_stays(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text('{"files": ["folder"]}')
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    with contextlib.suppress(InputError):
        write_folder(tmp_path, Module(FILES))
    assert (tmp_path / "folder" / "mine").exists()


def test_differences_are_told_by_file(tmp_path: Path) -> None:
    write_folder(tmp_path, Module(FILES))
    (tmp_path / "main.tf").write_text("changed by hand")
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").mkdir()
    (tmp_path / "mine").write_text("mine")
    before = snapshot(tmp_path)
    wanted = {"README.md": "read me\n", "main.tf": "main\n", "new/x.tf": "x"}
    assert differences(tmp_path, Module(wanted)) == [
        "README.md: out of date",
        "main.tf: out of date",
        "new/x.tf: missing",
        "tests/module.hcl: no longer generated",
    ]
    assert snapshot(tmp_path) == before


def test_differences_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert differences(tmp_path / "out", Module(FILES)) == [
        f"{name}: missing" for name in sorted([*FILES, MANIFEST])
    ]
    assert not any(tmp_path.iterdir())


def test_line_ends_are_kept(tmp_path: Path) -> None:
    write_folder(tmp_path, Module({"a": "one\ntwo\r\n", "b": "\u00e9\u4e2d"}))
    assert (tmp_path / "a").read_bytes() == b"one\ntwo\r\n"
    assert (tmp_path / "b").read_bytes() == "\u00e9\u4e2d".encode()


LISTS = [
    '{"files": ["../victim"]}',
    '{"files": ["a/../../victim"]}',
    '{"files": ["/etc/passwd"]}',
    '{"files": ["."]}',
    '{"files": [""]}',
    '{"files": [7]}',
    '{"files": [["main.tf"]]}',
    '{"files": null}',
    '{"files": 7}',
    '{"version": 1}',
    "[]",
    "null",
    "",
    "no JSON",
]


@pytest.mark.parametrize("content", LISTS)
def test_a_list_that_reaches_outside_is_refused(content: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "victim").write_text("mine")
    (out / MANIFEST).write_text(content)
    before = snapshot(tmp_path)
    for use in (differences, write_folder):
        with pytest.raises(InputError) as caught:
            use(out, Module(FILES))
        (problem,) = caught.value.problems
        assert problem.mark
        assert problem.mark.file == str(out / MANIFEST)
        assert "restore it from version control" in problem.hint
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "content",
    [
        pytest.param('{"files": "abc"}'),
        pytest.param('{"files": {"main.tf": 1}}'),
        pytest.param("[" * 100_000),
    ],
    ids=["text", "map", "deep"],
)
def test_a_list_of_another_form_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(InputError):
        differences(tmp_path, Module(FILES))


def test_bytes_that_are_no_text_are_no_list(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        write_folder(tmp_path, Module(FILES))


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("mine")
    for use in (differences, write_folder):
        for out in (file, file / "below"):
            with pytest.raises(InputError) as caught:
                use(out, Module(FILES))
            assert text_of(caught) == f"`{file}` is not a folder (help: choose a folder to write to)"
    assert snapshot(tmp_path) == {"out": b"mine"}


def test_a_list_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(InputError, match="cannot read"):
        write_folder(tmp_path, Module(FILES))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc to be refused by")
def test_a_folder_that_cannot_be_created() -> None:
    with pytest.raises(OutputError, match=r"^cannot write `/proc/out`: .*; nothing was changed$"):
        write_folder(Path("/proc/out"), Module(FILES))


NEW = FILES | {"main.tf": "new\n", "x/y/z": "z\n"}
FULL = OSError(errno.ENOSPC, "full")


def test_a_failure_leaves_no_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", _raise_full)
    with pytest.raises(OutputError):
        write_folder(tmp_path / "a" / "b" / "out", Module(NEW))
    assert snapshot(tmp_path) == {}


def test_a_disk_that_loses_a_part_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "out", Module(FILES))
    before = snapshot(tmp_path)

    def lose(number: int) -> None:
        os.truncate(number, 1)

    monkeypatch.setattr(os, "fsync", lose)
    with pytest.raises(OutputError, match="nothing was changed"):
        write_folder(tmp_path / "out", Module(NEW))
    assert snapshot(tmp_path) == before


def _raise_full(*_: object) -> None:
    raise FULL


@pytest.mark.parametrize("use", [differences, write_folder])
def test_an_old_file_that_cannot_be_read(
    tmp_path: Path, use: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, Module(FILES))

    def refusing(path: Path, *limit: int, follow: bool = True) -> bytes:
        if path.name == "main.tf":
            raise PermissionError(errno.EACCES, "denied")
        return read_file(path, *limit, follow=follow)

    monkeypatch.setattr(output, "read_file", refusing)
    with pytest.raises((InputError, OutputError)):
        use(tmp_path, Module(FILES))


def test_an_empty_folder_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, Module(FILES))
    monkeypatch.setattr(Path, "rmdir", _raise_full)
    write_folder(tmp_path, Module({"main.tf": "new\n"}))
    assert (tmp_path / "main.tf").read_text() == "new\n"


# Real file systems that refuse, in a mount namespace of their own: nothing stays mounted.

FULL_DISK = """\
import sys
from pathlib import Path
from citrix_netpolicy import OutputError
from citrix_netpolicy.folder import Module, differences, write_folder
for name in ("there", "new"):
    out = Path(sys.argv[1], name)
    if name == "there":
        write_folder(out, Module({"main.tf": "old"}))
    before = {str(path): path.is_file() and path.read_bytes() for path in Path(sys.argv[1]).rglob("*")}
    try:
        write_folder(out, Module({"main.tf": "x" * 40_000, "b.tf": "x" * 40_000}))
    except OutputError as error:
        print(error)
    after = {str(path): path.is_file() and path.read_bytes() for path in Path(sys.argv[1]).rglob("*")}
    assert before == after, (before.keys(), after.keys())
"""
READ_ONLY = """\
import sys
from pathlib import Path
from citrix_netpolicy import OutputError
from citrix_netpolicy.folder import Module, write_folder
try:
    write_folder(Path(sys.argv[1], "new"), Module({"main.tf": "x"}))
except OutputError as error:
    print(error)
"""


def _on_a_mount(folder: Path, options: str, code: str) -> str:
    """Run `code` with a tmpfs mounted on `folder`, seen by no other process."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no `unshare`")
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    probe = subprocess.run([unshare, "-m", *mount], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"this process may not mount: {probe.stderr.strip()}")
    script = f'mount -t tmpfs -o {options} tmpfs "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        [unshare, "-m", "sh", "-c", script, "sh", str(folder), sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(output.__file__).parent.parent,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def test_a_full_disk(tmp_path: Path) -> None:
    said = _on_a_mount(tmp_path, "size=64k", FULL_DISK)
    assert said.splitlines() == [
        f"cannot write `{tmp_path / name}`: No space left on device; nothing was changed"
        for name in ("there", "new")
    ]


def test_a_read_only_disk(tmp_path: Path) -> None:
    said = _on_a_mount(tmp_path, "ro", READ_ONLY)
    assert said == f"cannot write `{tmp_path / 'new'}`: Read-only file system; nothing was changed\n"
