"""How the process meets the system: streams that are closed or full, and signals."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from citrix_netpolicy import InputError, Problem, cli, disk
from citrix_netpolicy.cli import schema as cli_schema
from citrix_netpolicy.journal import is_interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SITE = Path(__file__).parent.parent / "examples" / "terraform" / "reference" / "deployment.yaml"


def _compile(out: Path, *options: str) -> list[str]:
    return ["compile", str(SITE), "--target", "terraform", "--out", str(out), *options]


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that is up to date."""
    out = tmp_path_factory.mktemp("process") / "out"
    assert cli.main(_compile(out)) == 0
    return out


# Streams. The shell closes them, so they are closed before Python starts.

needs_sh = pytest.mark.skipif(os.name == "nt" or shutil.which("sh") is None, reason="there is no shell")


def _in_shell(streams: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'"$@" {streams}', "sh", sys.executable, "-m", "citrix_netpolicy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_sh
@pytest.mark.parametrize(
    "streams", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full"]
)
def test_what_is_written_does_not_depend_on_streams(streams: str, compiled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = _in_shell(streams, _compile(out))
    assert (done.returncode, done.stdout) == (0, "")
    assert _files(out) == _files(compiled)
    assert _in_shell(streams, _compile(out, "--check")).returncode == 0
    (out / "rules.tf").write_text("changed")
    assert _in_shell(streams, _compile(out, "--check")).returncode == 1
    assert _in_shell(streams, _compile(tmp_path / "out", "--network", "nope")).returncode == 2


@needs_sh
@pytest.mark.parametrize("streams", [">&-", "<&- >&-", ">/dev/full"])
@pytest.mark.parametrize("arguments", [["catalog", "roles"], ["schema"], ["--version"], ["--help"]])
def test_output_that_nobody_gets_is_an_error(streams: str, arguments: list[str]) -> None:
    done = _in_shell(streams, arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: cannot write the output: ")


@needs_sh
@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "2>&- | cat", "| true"])
def test_lost_messages_are_no_error(streams: str) -> None:
    done = _in_shell(streams, ["catalog", "roles"])
    assert (done.returncode, done.stderr) == (0, "")


@needs_sh
def test_nothing_said_goes_into_a_file(tmp_path: Path) -> None:
    # With standard error closed, the first file that is opened would get its number.
    site = tmp_path / "site.yaml"
    site.write_text(SITE.read_text() + "unknown: 1\n")
    before = _files(tmp_path)
    done = _in_shell("2>&-", ["compile", str(site), "--target", "terraform", "--out", str(tmp_path / "out")])
    assert (done.returncode, done.stdout) == (2, "")
    assert _files(tmp_path) == before


# Arguments


@pytest.mark.parametrize(
    "arguments",
    [
        ["compile", "", "--target", "aws", "--out", "x"],
        ["compile", "x", "--target", "aws", "--out", ""],
        ["compile", "x", "--target", "aws", "--out", " "],
        ["compile", "x", "--target", "", "--out", "x"],
        ["compile", "x", "--target", "aws", "--out", "x", "--network", ""],
        ["compile", "x", "--target", "aws", "--out", "x", "--attached", ""],
        ["init", ""],
        ["catalog", "list", "--product", ""],
        ["catalog", "list", "--role", ""],
        ["catalog", "show", ""],
    ],
)
def test_an_empty_argument_is_refused(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    assert "must not be empty" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


# Signals


def _raising(number: int, step: Callable[..., None], wait: int = 0) -> Callable[..., None]:
    """Return a step that raises a signal, once, before it is done."""
    left = [wait]

    def raising(*arguments: object) -> None:
        if left[0] == 0:
            signal.raise_signal(number)
        left[0] -= 1
        step(*arguments)

    return raising


@pytest.fixture
def _heard() -> Iterator[None]:
    """Hear signals that whoever started the tests may ignore, as shells do for what is in the background."""
    before = [(one, signal.getsignal(one)) for one in (signal.SIGTERM, signal.SIGINT)]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for one, handler in before:
        signal.signal(one, handler)


SIGNALS = [pytest.param(signal.SIGTERM, 143, id="SIGTERM"), pytest.param(signal.SIGINT, 130, id="SIGINT")]


@pytest.mark.usefixtures("_heard")
@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize(("step", "is_written"), [("write_file", False), ("replace_file", True)])
def test_a_signal_ends_in_order(
    number: int,
    code: int,
    step: str,
    is_written: bool,
    compiled: Path,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    monkeypatch.setattr(disk, step, _raising(number, getattr(disk, step), wait=2))
    assert cli.main(_compile(out)) == code
    name = signal.Signals(number).name
    assert (
        capsys.readouterr().err == f"error: interrupted by {name}; every file is whole, either old or new\n"
    )
    assert (_files(out) if out.exists() else {}) == (_files(compiled) if is_written else {})
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_a_signal_that_is_ignored_stays_ignored(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        monkeypatch.setattr(disk, "write_file", _raising(signal.SIGINT, disk.write_file))
        assert cli.main(_compile(tmp_path / "out")) == 0
    finally:
        signal.signal(signal.SIGINT, former)
    assert _files(tmp_path / "out") == _files(compiled)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM for others")
@pytest.mark.parametrize(
    "count", [pytest.param(100, marks=pytest.mark.long), pytest.param(6, marks=pytest.mark.slow)]
)
def test_terminated_at_any_moment(count: int, compiled: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "citrix_netpolicy", *_compile(tmp_path / "out")]
    begin = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    span = time.monotonic() - begin
    chance = random.Random(count)
    ended = []
    for _ in range(count):
        out = tmp_path / "out"
        if chance.random() < 0.5:
            shutil.rmtree(out, ignore_errors=True)
        elif (out / "rules.tf").exists():
            (out / "rules.tf").write_text("old")
        before = _files(out) if out.exists() else {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            time.sleep(chance.uniform(0, span))
            child.send_signal(signal.SIGTERM)
            _, said = child.communicate()
        ended.append(child.returncode)
        # Before Python has set up anything, the signal ends it without a word.
        assert child.returncode in (0, 143, -signal.SIGTERM), said
        if child.returncode == 143:
            # What was told before stays; nothing else comes of a signal than that it came.
            *told, last = said.splitlines()
            assert last.startswith("error: interrupted by SIGTERM")
            assert not [line for line in told if "error" in line or "Traceback" in line]
            assert not is_interrupted(out)
        assert (_files(out) if out.exists() else {}) in (before, _files(compiled))
    assert ended.count(143) >= count / 6


@pytest.mark.parametrize("raised", [RuntimeError, ValueError, InputError])
def test_an_error_that_a_library_makes_of_a_signal_is_the_signal(
    raised: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Libraries catch what is raised in the midst of them, and raise errors of their own."""

    def run(options: object) -> object:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as end:
            problem = Problem(code="unreadable", message=f"cannot read: {end}")
            raise raised(problem if raised is InputError else str(end)) from end
        return options

    monkeypatch.setattr(cli_schema, "add_arguments", lambda parser: parser.set_defaults(run=run))
    assert cli.main(["schema"]) == 143
    assert capsys.readouterr().err.splitlines() == [
        "error: interrupted by SIGTERM; every file is whole, either old or new"
    ]
