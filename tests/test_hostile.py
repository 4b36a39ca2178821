"""What strangers may hand us: a corpus of cases with what is said of each, and a fuzzer of all readers.

`hostile/cases/<case>.txt` holds a working folder, a command that runs in it, and its end: a line on what the
case tries, then sections that start with a line `-- … --`.

- `-- NAME --` is a file, and `-- escaped NAME --` one whose escapes (`\\x1b`) become bytes. NAME may have
  escapes too.
- `-- link NAME -> TARGET --` and `-- fifo NAME --` are what they say.
- `-- command --` is what the command is given; escapes become characters here as well.
- `-- ends with CODE --`, the last one, is the exit code and all that is said on standard error; `<any>` there
  is what a parser says in its own words, or what a case is not about.

Nothing may change in the folder unless the code is 0, and even then nothing that was there but the manifest.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from support import fuzz
from support.fuzz import FINDS, READERS, mutant, tried

from citrix_netpolicy import cli
from citrix_netpolicy.folder import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES: Final = sorted((Path(__file__).parent / "hostile" / "cases").glob("*.txt"))
MUTANTS: Final = 40


# The corpus


def _sections(case: Path) -> Iterator[tuple[str, str]]:
    """Yield the heads and bodies of a case."""
    parts = re.split(r"^-- (.+) --\n", case.read_text("utf-8"), flags=re.MULTILINE)
    assert parts[0].strip(), "a case starts with what it tries"
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _unescaped(text: str) -> bytes:
    """Turn escapes into bytes: `\\x1b` is one, `\\u202e` its UTF-8; a half of a pair stays what it is."""
    units = re.split(r"((?:\\x[0-9a-f]{2})+)", text)
    return b"".join(
        bytes.fromhex(unit.replace("\\x", ""))
        if number % 2
        else re.sub(r"\\(u[0-9a-f]{4}|U[0-9a-f]{8}|[nrt0])", _character, unit).encode(
            "utf-8", "surrogatepass"
        )
        for number, unit in enumerate(units)
    )


def _character(match: re.Match[str]) -> str:
    escape = match[1]
    return {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}.get(escape) or chr(int(escape[1:], 16))


def _laid_out(case: Path, folder: Path) -> tuple[list[str], int, str]:
    """Make the working folder of a case; return its arguments, its exit code and what it says."""
    arguments: list[str] = []
    code, said = -1, ""
    for head, body in _sections(case):
        if head == "command":
            words = shlex.split(body.replace("\\", "\\\\"))
            arguments = [os.fsdecode(_unescaped(word)) for word in words]
            continue
        if head.startswith("ends with "):
            code, said = int(head.removeprefix("ends with ")), body
            continue
        kind, _, rest = head.partition(" ")
        name = os.fsdecode(_unescaped(rest if kind in ("escaped", "link", "fifo") else head))
        name, _, target = name.partition(" -> ")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "link":
            path.symlink_to(target)
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            # A file ends without the line end that only parts it from the next section, if it says so.
            path.write_bytes(_unescaped(body) if kind == "escaped" else body.encode())
    return arguments, code, said


def _snapshot(folder: Path) -> dict[str, bytes | str | None]:
    """Return everything below a folder: what files hold, where links lead, None for the rest."""
    return {
        os.fsencode(path.relative_to(folder)).decode("latin-1"): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.skipif(os.name != "posix", reason="links, FIFOs and such names are those of POSIX")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_case(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, code, said = _laid_out(case, tmp_path)
    before = _snapshot(tmp_path)
    monkeypatch.chdir(tmp_path)
    ended = cli.main(arguments)
    out, error = capsys.readouterr()
    assert all(char.isprintable() or char == "\n" for char in out + error)
    assert "Traceback" not in error
    pattern = re.escape(said).replace("<any>", ".+")
    assert re.fullmatch(pattern, error, re.DOTALL), error
    assert ended == code
    after = _snapshot(tmp_path)
    if code:
        assert after == before
        assert code != 2 or not out
    kept = before.keys() - {f"out/{MANIFEST}"}
    assert {name: after.get(name) for name in kept} == {name: before[name] for name in kept}
    assert [name for name in after if name not in before and name.split("/")[0] != "out"] == []


def test_the_corpus_is_there() -> None:
    assert len(CASES) >= 60


# The fuzzer


@pytest.mark.parametrize("find", sorted(FINDS.glob("*.bin")), ids=lambda find: find.stem)
def test_a_find_is_mended(find: Path) -> None:
    reader = find.stem.rpartition("-")[0]
    assert not tried(reader, find.read_bytes()).wrong


@pytest.mark.parametrize("reader", READERS)
def test_what_mutants_are_made_of_is_right(reader: str) -> None:
    assert tried(reader, READERS[reader].seeds()[0]) == (False, "")


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_mutants_are_read_or_refused(reader: str) -> None:
    for number in range(MUTANTS):
        outcome = tried(reader, mutant(reader, number))
        assert not outcome.wrong, f"mutant {number}"


@pytest.mark.parametrize("kind", [AttributeError, OverflowError, RecursionError, KeyError])
def test_the_fuzzer_notices(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: bytes) -> None:
        raise kind("planted")

    monkeypatch.setitem(READERS, "prefix", READERS["prefix"]._replace(read=broken))
    assert "planted" in tried("prefix", b"10.0.0.0/8").wrong


def test_the_fuzzer_ends_what_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(_: bytes) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    monkeypatch.setitem(READERS, "prefix", READERS["prefix"]._replace(read=endless))
    assert "it took more than" in tried("prefix", b"10.0.0.0/8").wrong


def test_the_fuzzer_draws_the_same_again() -> None:
    assert [mutant("yaml", number) for number in range(5)] == [mutant("yaml", number) for number in range(5)]
    assert len({mutant("yaml", number) for number in range(20)}) > 15
