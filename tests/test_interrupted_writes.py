"""A write is whole or not at all: it fails, is interrupted or killed at every step that it takes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.faults import STEPS, Fault, Killed

from citrix_netpolicy import InputError, OutputError, Problem, disk
from citrix_netpolicy.folder import MANIFEST, Module, differences, update_folder, write_folder
from citrix_netpolicy.journal import WORK, is_interrupted
from citrix_netpolicy.lock import exclusive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Files = dict[str, str]

FULL = OSError(errno.ENOSPC, "full")
ONE: Files = {"README.md": "one\n", "main.tf": "one\n", "gone/a.tf": "a\n", "same.tf": "same\n"}
OTHER: Files = {
    "README.md": "two\n",
    "main.tf": "two\n",
    "same.tf": "same\n",
    "tests/t.hcl": "t\n",
    "x/y/z": "z\n",
}
FOREIGN: Files = {"mine.txt": "mine\n", "tests/mine.hcl": "mine\n", "gone/mine": "mine\n"}
# What was there before, foreign files beside it, and what is written.
SCENARIOS: dict[str, tuple[Files | None, Files, Files]] = {
    "first": (None, {}, OTHER),
    "same": (ONE, {}, ONE),
    "other": (ONE, {}, OTHER),
    "foreign": (ONE, FOREIGN, OTHER),
    "networks": (
        {f"{network}/{name}": text for network in ("east", "west") for name, text in ONE.items()},
        {},
        {f"{network}/{name}": text for network in ("east", "north") for name, text in OTHER.items()},
    ),
    "identities": (ONE | {"identities.json": "1\n"}, {}, OTHER | {"identities.json": "2\n"}),
}


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return every file and folder below `folder`, and what the files hold."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: a real fsync only takes time here."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def _prepared(folder: Path, before: Files | None, foreign: Files) -> Path:
    out = folder / "parent" / "out"
    out.parent.mkdir(parents=True)
    if before is not None:
        write_folder(out, Module(before))
    for name, text in foreign.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return out


def _after(folder: Path, foreign: Files, files: Files) -> dict[str, bytes | None]:
    """Return what is below a folder after a run that nothing disturbs."""
    write_folder(_prepared(folder, {}, foreign), Module(files))
    return snapshot(folder)


class Step:
    """One number of a step, and the folder in which it goes wrong."""

    def __init__(self, tmp_path: Path, scenario: str, number: int, error: BaseException) -> None:
        before, self.foreign, self.files = SCENARIOS[scenario]
        self.folder = tmp_path / str(number)
        self.out = _prepared(self.folder, before, self.foreign)
        self.before = snapshot(self.folder)
        self.previous = dict(before or {})
        self.raised: BaseException | None = None
        with pytest.MonkeyPatch.context() as monkeypatch:
            fault = Fault(monkeypatch, number, error)
            try:
                write_folder(self.out, Module(self.files))
            except (Killed, KeyboardInterrupt, OutputError) as raised:
                self.raised = raised
        self.step = fault.step


def _steps(tmp_path: Path, scenario: str, error: BaseException) -> Iterator[Step]:
    """Let every step go wrong, each in a folder of its own."""
    for number in range(1, 300):
        step = Step(tmp_path, scenario, number, error)
        if not step.step:
            # All steps were counted, and a run over the same files takes none.
            assert number > 10 or (scenario == "same" and number == 1)
            assert differences(step.out, Module(step.files)) == []
            return
        yield step
    raise AssertionError("there is no end of steps")


FEW = [
    name if name in ("foreign", "identities") else pytest.param(name, marks=pytest.mark.slow)
    for name in SCENARIOS
]


@pytest.mark.parametrize("scenario", FEW)
def test_killed_at_any_step_the_next_run_ends_it(scenario: str, tmp_path: Path) -> None:
    _, foreign, files = SCENARIOS[scenario]
    whole = {name: _after(tmp_path / name, foreign, one) for name, one in (("new", files), ("next", ONE))}
    seen: set[str] = set()
    for step in _steps(tmp_path, scenario, Killed()):
        seen.add(step.step)
        left = snapshot(step.folder)
        # Whoever only reads writes nothing, and what is mixed is never taken as up to date.
        lines = differences(step.out, Module(files))
        assert snapshot(step.folder) == left
        assert lines or left == whole["new"] or is_interrupted(step.out)
        # The next run, of whatever deployment, gets the files of one run, whole, with its identities.
        shown: list[Mapping[str, str]] = []

        def make(previous: Mapping[str, str], shown: list[Any] = shown) -> Module:
            shown.append(dict(previous))
            return Module(ONE)

        update = update_folder(step.out, make)
        assert shown[-1] in (step.previous, files), f"step {step.step}"
        assert [finding.code for finding in update.findings] in ([], ["interrupted-write"])
        assert bool(update.findings) == any(WORK in name for name in left)
        assert snapshot(step.folder) == whole["next"], f"step {step.step}"
    if scenario != "same":
        # `init` alone places a file where none is.
        assert seen == set(STEPS) - {"place_file"} - ({"copy_file"} if scenario == "first" else set())


@pytest.mark.parametrize("scenario", FEW)
def test_a_failure_at_any_step_leaves_all_as_it_was(scenario: str, tmp_path: Path) -> None:
    for step in _steps(tmp_path, scenario, FULL):
        if step.raised is None:
            # Only what comes after the change may fail in silence, and what waits for the disk.
            assert step.step in ("sync_folder", "remove_file", "remove_folder")
            assert differences(step.out, Module(step.files)) == []
        else:
            said = f"cannot write `{step.out}`: No space left on device; nothing was changed"
            assert str(step.raised) == said
            assert snapshot(step.folder) == step.before, f"step {step.step}"
        write_folder(step.out, Module(step.files))
        assert differences(step.out, Module(step.files)) == []
        assert not list(step.folder.rglob(".citrix-netpolicy.work*"))


@pytest.mark.parametrize("scenario", FEW)
def test_an_interrupt_at_any_step_leaves_all_as_it_was_or_new(scenario: str, tmp_path: Path) -> None:
    for step in _steps(tmp_path, scenario, KeyboardInterrupt()):
        assert isinstance(step.raised, KeyboardInterrupt)
        write_folder(step.out, Module(step.files))
        assert differences(step.out, Module(step.files)) == []


# Taking back may fail as well; then the next run ends the work.


def test_an_error_that_stays_is_told_and_the_next_run_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = _prepared(tmp_path / "site", ONE, FOREIGN)
    replace = disk.replace_file

    def refusing(source: Path, target: Path) -> None:
        if target.name == "main.tf":
            raise PermissionError(errno.EACCES, "denied")
        replace(source, target)

    with monkeypatch.context() as context:
        context.setattr(disk, "replace_file", refusing)
        for _ in range(2):
            with pytest.raises(OutputError) as caught:
                write_folder(out, Module(OTHER))
            (problem,) = caught.value.problems
            assert problem.code == "interrupted-write"
            assert problem.message.endswith("Permission denied; some files are new and others old")
            assert is_interrupted(out)
    update = update_folder(out, lambda _: Module(OTHER))
    assert [finding.code for finding in update.findings] == ["interrupted-write"]
    assert snapshot(tmp_path / "site") == _after(tmp_path / "after", FOREIGN, OTHER)


def test_what_cannot_be_tidied_up_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = _prepared(tmp_path, ONE, {})

    def refusing(path: Path) -> None:
        raise FULL

    with monkeypatch.context() as context:
        context.setattr(disk, "remove_folder", refusing)
        update = update_folder(out, lambda _: Module(OTHER))
    assert {finding.code for finding in update.findings} == {"left-over"}
    assert {finding.subject for finding in update.findings} == {str(out / "gone"), str(out / WORK)}
    assert update_folder(out, lambda _: Module(OTHER)).findings[0].message.endswith("had left")
    assert differences(out, Module(OTHER)) == []


def test_what_a_run_recovers_is_told_even_when_it_fails(tmp_path: Path) -> None:
    step = Step(tmp_path, "other", 12, Killed())
    assert is_interrupted(step.out)

    def failing(_: Mapping[str, str]) -> Module:
        raise InputError(Problem(code="invalid-value", message="wrong"))

    with pytest.raises(InputError) as caught:
        update_folder(step.out, failing)
    (note,) = caught.value.__notes__
    assert note.startswith(f"`{step.out}`: ")


# What a pull request may plant in the place of an interrupted write.


def _journal(**changes: Any) -> dict[str, Any]:
    digest = sha256(b"evil").hexdigest()
    return {
        "format": 1,
        "side": "new",
        "folders": [],
        "files": {"main.tf": {"new": digest, "old": None}},
    } | changes


PLANTED = {
    "outside": _journal(files={"../victim": {"new": None, "old": None}}),
    "absolute": _journal(files={"/etc/victim": {"new": None, "old": None}}),
    "folder outside": _journal(folders=["../victim"]),
    "through a link": _journal(files={"link/victim": {"new": None, "old": None}}),
    "in the work folder": _journal(files={f"{WORK}/journal.json": {"new": None, "old": None}}),
    "another content": _journal(files={"main.tf": {"new": "0" * 64, "old": None}}),
    "not staged": _journal(
        files={"main.tf": {"new": None, "old": None}, "x": {"new": "0" * 64, "old": None}}
    ),
    "below a file": _journal(
        files={"x": {"new": None, "old": None}, "main.tf/x": {"new": "0" * 64, "old": None}}
    ),
    "newer": _journal(format=2),
    "no format": _journal(format=True),
    "no side": _journal(side="sideways"),
    "no digest": _journal(files={"main.tf": {"new": 7, "old": None}}),
    "no files": _journal(files=["main.tf"]),
    "more": _journal(more=1),
    "no map": [],
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_journal_reaches_nothing(name: str, tmp_path: Path) -> None:
    out = _prepared(tmp_path, ONE, {})
    (tmp_path / "parent" / "victim").write_text("precious")
    (out / "link").symlink_to(tmp_path / "parent")
    (out / WORK).mkdir()
    (out / WORK / "0.new").write_text("evil")
    (out / WORK / "journal.json").write_text(json.dumps(PLANTED[name]))
    before = snapshot(tmp_path)
    with pytest.raises(InputError) as caught:
        write_folder(out, Module(OTHER))
    assert snapshot(tmp_path) == before
    assert all(problem.hint for problem in caught.value.problems)


@pytest.mark.parametrize("name", ["", "journal.json", "0.new"])
def test_a_link_in_the_work_folder_is_not_followed(name: str, tmp_path: Path) -> None:
    out = _prepared(tmp_path, ONE, {})
    work = out / WORK
    work.mkdir()
    (work / "0.new").write_text("evil")
    (work / "journal.json").write_text(json.dumps(_journal()))
    (work / name).rename(tmp_path / "elsewhere")
    (work / name).symlink_to(tmp_path / "elsewhere")
    before = snapshot(tmp_path)
    with pytest.raises(InputError):
        write_folder(out, Module(OTHER))
    assert snapshot(tmp_path) == before


def test_foreign_files_in_the_work_folder_stay(tmp_path: Path) -> None:
    out = _prepared(tmp_path, ONE, {})
    (out / WORK).mkdir()
    (out / WORK / "mine").write_text("mine")
    with pytest.raises(OutputError, match="Directory not empty"):
        write_folder(out, Module(OTHER))
    assert (out / WORK / "mine").exists()
    assert differences(out, Module(ONE)) == []


# One process at a time.


def test_a_second_process_waits_and_then_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = _prepared(tmp_path, ONE, {})
    with exclusive(out), monkeypatch.context() as context:
        context.setattr("citrix_netpolicy.lock.WAIT", 0.2)
        with pytest.raises(InputError) as caught:
            write_folder(out, Module(OTHER))
        assert [problem.code for problem in caught.value.problems] == ["locked"]
        # Whoever only reads does not wait.
        assert differences(out, Module(ONE)) == []
    assert write_folder(out, Module(OTHER))


def test_many_writers_at_once_leave_the_files_of_one(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    modules = [Module({"main.tf": f"{number}\n", f"{number}.tf": f"{number}\n"}) for number in range(8)]
    writers = [threading.Thread(target=write_folder, args=(out, module)) for module in modules]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    number = (out / "main.tf").read_text().strip()
    assert {path.name for path in out.iterdir()} == {MANIFEST, "main.tf", f"{number}.tf"}


def test_a_folder_that_goes_while_another_waits_is_made_again(tmp_path: Path) -> None:
    out = _prepared(tmp_path, ONE, {})
    with exclusive(out):
        waiting = threading.Thread(target=write_folder, args=(out, Module(OTHER)))
        waiting.start()
        shutil.rmtree(out)
        out.mkdir()
    waiting.join()
    assert differences(out, Module(OTHER)) == []


def test_where_there_are_no_locks_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("citrix_netpolicy.lock._try_lock", lambda _: None)
    update = update_folder(tmp_path / "out", lambda _: Module(ONE))
    assert [finding.code for finding in update.findings] == ["no-locks"]


# Real processes, with a real end.

KILLS = Path(__file__).parent / "support" / "kills.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no `fork`")
@pytest.mark.parametrize("count", [pytest.param(1000, marks=pytest.mark.long), 40])
def test_killed_at_any_moment(count: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(KILLS), str(tmp_path), str(count)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0
    figures = json.loads(done.stdout)
    assert figures["kills"] == count
    assert figures["killed"] > count / 4, figures
    if count >= 1000:
        # The moments hit all of what there is to end.
        assert all(figures[key] for key in ("finished", "swept")), figures
