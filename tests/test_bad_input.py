"""Bad input ends with exit code 2, a message that helps, and no file written.

`bad/<case>.yaml` is a deployment and `bad/<case>.txt` what the command says of it, checked by hand; `<any>`
there stands for the words and the column of a YAML parser, which are its own. A first line `# arguments: ...`
adds arguments to the command.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from citrix_netpolicy import (
    Deployment,
    InputError,
    NetpolicyError,
    TargetError,
    cli,
    compile_deployment,
    limits,
    render,
)
from citrix_netpolicy.syntax import document

if TYPE_CHECKING:
    from collections.abc import Iterator

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.stem for path in BAD.glob("*.yaml"))
GOOD = "name: site\ncloud: aws\ntiers:\n  ddc: [10.0.1.0/28]\n  vda: [10.0.2.0/24]\n"


def test_the_table_is_whole() -> None:
    assert CASES, "no case found below tests/bad"
    assert sorted(path.stem for path in BAD.glob("*.txt")) == CASES


def _snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return every file and folder below `folder`, and what the files hold."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def _refused(
    capsys: pytest.CaptureFixture[str], file: Path | str, tmp_path: Path, arguments: list[str] | None = None
) -> str:
    """Compile `file`, assert that it is refused and nothing is written, and return what is said."""
    used = tmp_path / "used"
    (used / "tests").mkdir(parents=True)
    (used / "mine.txt").write_text("mine")
    (used / ".citrix-netpolicy.json").write_text('{"files": ["rules.tf", "tests/a"]}')
    (used / "rules.tf").write_text("as it was")
    (used / "tests" / "a").write_text("as it was")
    before = _snapshot(tmp_path)
    said = set()
    for out in (tmp_path / "absent" / "below", used):
        command = ["compile", str(file), "--target", "terraform", "--out", str(out), *(arguments or [])]
        code = cli.main(command)
        printed = capsys.readouterr()
        assert code == 2
        assert printed.out == ""
        said.add(printed.err)
    assert _snapshot(tmp_path) == before
    (text,) = said
    assert "Traceback" not in text
    return text


@pytest.fixture(scope="module")
def bad() -> Iterator[Path]:
    """Return the folder of the cases, and see at the end of the module that nothing wrote into it."""
    before = _snapshot(BAD)
    yield BAD
    assert _snapshot(BAD) == before


@pytest.mark.parametrize("case", CASES)
def test_is_refused(
    case: str, bad: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bad)
    file = Path(f"{case}.yaml")
    head = file.read_text(encoding="utf-8").partition("\n")[0]
    more = shlex.split(head.removeprefix("# arguments:")) if head.startswith("# arguments:") else []
    said = _refused(capsys, file, tmp_path, more)
    for line in said.splitlines():
        place = "" if more else rf"{re.escape(case)}\.yaml:[1-9][0-9]*:[1-9][0-9]*: "
        assert re.match(f"error: {place}.", line)
    expected = re.escape(Path(f"{case}.txt").read_text(encoding="utf-8")).replace("<any>", ".+")
    assert re.fullmatch(expected, said), said


def test_only_faults_that_the_parser_finds_are_left_to_its_words() -> None:
    vague = [case for case in CASES if "<any>" in BAD.joinpath(f"{case}.txt").read_text(encoding="utf-8")]
    assert vague == [case for case in CASES if case.startswith("not-yaml-")]
    assert vague


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
@pytest.mark.parametrize("case", CASES)
def test_both_parsers_of_pyyaml_agree(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML was built without libyaml, its slower parser takes over; nothing else may change."""
    content = BAD.joinpath(f"{case}.yaml").read_bytes()
    results: list[Any] = []
    for loader in (yaml.CSafeLoader, yaml.SafeLoader):
        monkeypatch.setattr("citrix_netpolicy.syntax.yaml._Loader", loader)
        try:
            found = document.parse(content, case)
        except InputError as error:
            results.append([(problem.code, problem.mark and problem.mark.line) for problem in error.problems])
        else:
            results.append([found])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            b"name: site\nnote: b\xfcro\n",
            "2:8: byte 0xfc is not UTF-8 (help: save the file as UTF-8)",
            id="latin-1",
        ),
        pytest.param(
            GOOD.encode("utf-16"), "1:1: byte 0xff is not UTF-8 (help: save the file as UTF-8)", id="utf-16"
        ),
        pytest.param(
            b"name: site\nnote: \xed\xa0\x80\n",
            "2:7: byte 0xed is not UTF-8 (help: save the file as UTF-8)",
            id="surrogate",
        ),
        pytest.param(
            b"name: si\0te\n", "1:9: the file contains a character that YAML does not allow", id="nul"
        ),
        pytest.param(
            b"\0" * 100, "1:1: the file contains a character that YAML does not allow", id="only-nul"
        ),
        pytest.param(
            b"name: site\ncloud: \x1b[31maws\n",
            "2:8: the file contains a character that YAML does not allow",
            id="escape",
        ),
        pytest.param(b"[" * 100_000, "1:41: values are nested more than 40 levels deep", id="brackets"),
        pytest.param(b"- " * 100_000, "1:81: values are nested more than 40 levels deep", id="dashes"),
        pytest.param(b"{a: " * 100_000, "1:161: values are nested more than 40 levels deep", id="maps"),
        pytest.param(b"{" * 100_000, "1:2: expected a plain key", id="braces"),
        pytest.param(b"? " * 100_000, "1:3: expected a plain key", id="question-marks"),
        pytest.param(
            b"[" + b"1," * 250_000 + b"1]",
            "1:400002: the file contains more than 200000 values",
            id="values",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            b"name: site\rcloud: aws\r",
            "1:1: `tiers` is missing",
            id="carriage-returns-alone-are-line-ends",
        ),
        pytest.param(b"\xef\xbb\xbf", "1:1: the file is empty", id="only-a-byte-order-mark"),
    ],
)
def test_bytes_are_refused(
    content: bytes, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_bytes(content)
    assert _refused(capsys, file, tmp_path) == f"error: {file}:{said}\n"


def test_a_file_that_cannot_be_read_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    reasons = {
        "missing": "No such file or directory",
        "folder": "Is a directory",
        "file/below": "Not a directory",
        "loop": "Too many levels of symbolic links",
        "n" * 300: "File name too long",
    }
    for number, (name, reason) in enumerate(reasons.items()):
        file, out = tmp_path / name, tmp_path / f"out{number}"
        out.mkdir()
        said = _refused(capsys, file, out)
        assert said == f"error: {file}:1:1: cannot read the file: {reason}\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(GOOD)
    file.chmod(0)
    with pytest.raises(InputError, match="cannot read the file: Permission denied"):
        Deployment.load(file)


class _Endless(io.RawIOBase):
    """A file without an end, which counts the bytes that were read of it."""

    taken = 0

    def read(self, size: int = -1, /) -> bytes:
        assert size >= 0, "the whole of an endless file is asked for"
        self.taken += size
        return b" " * size


def test_no_more_than_the_limit_is_read_of_a_huge_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, stream = tmp_path / "deployment.yaml", _Endless()
    file.touch()
    fdopen = os.fdopen

    def endless(descriptor: int, mode: str) -> _Endless:
        fdopen(descriptor, mode).close()
        return stream

    monkeypatch.setattr(os, "fdopen", endless)
    with pytest.raises(InputError) as caught:
        Deployment.load(file)
    assert str(caught.value) == f"{file}:1:1: the file is larger than 4 MiB"
    assert 0 < stream.taken <= limits.INPUT_BYTES + 1


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    with file.open("wb") as stream:
        stream.write(GOOD.encode())
        stream.truncate(50 * 1024 * 1024)
    with pytest.raises(InputError) as caught:
        Deployment.load(file)
    assert str(caught.value) == f"{file}:1:1: the file is larger than 4 MiB"


def _events_of(content: bytes, patch: pytest.MonkeyPatch) -> int:
    """Return how many events the reader asks its parser for, whatever it makes of them."""
    asked = 0

    class Counting(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def get_event(self) -> Any:
            nonlocal asked
            asked += 1
            return super().get_event()

    patch.setattr("citrix_netpolicy.syntax.yaml._Loader", Counting)
    with contextlib.suppress(InputError):
        document.parse(content, "deployment.yaml")
    return asked


def test_an_alias_bomb_is_refused_before_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    content = (BAD / "billion-laughs.yaml").read_bytes()
    with pytest.raises(InputError, match="alias"):
        document.parse(content, "deployment.yaml")
    asked = _events_of(content, monkeypatch)
    assert 0 < asked < len(content)
    # More levels behind the first alias cost nothing.
    assert _events_of(content + content.replace(b": &", b"2: &"), monkeypatch) == asked


@pytest.mark.parametrize("text", ["- [1, 2]\n", "- {a: 1}\n", "- - - 1\n", "- 'x\n  y'\n"])
def test_the_events_grow_as_the_file_does(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (_events_of(text.encode() * count, monkeypatch) for count in (100, 1000))
    assert 0 < few < many <= 10 * few


def test_many_problems_are_cut_to_what_helps(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("".join(f"key{number}: 1\n" for number in range(110)))
    said = _refused(capsys, file, tmp_path).splitlines()
    assert len(said) == 101
    assert said[0] == f"error: {file}:1:1: `name` is missing"
    assert said[-1] == "error: and 12 more problems"


def test_many_copies_of_a_subnet_take_no_time() -> None:
    copies = ", ".join(["10.0.0.0/24"] * 200)
    text = f"name: site\ncloud: aws\ntiers:\n  ddc: [{copies}]\n"
    with pytest.raises(InputError) as caught:
        Deployment.from_document(document.parse(text.encode(), "deployment.yaml"))
    assert len(caught.value.problems) == 199


@pytest.mark.parametrize("text", ["parameters: {xml-service-port: '%s'}", "external: {sql: '10.0.0.0/%s'}"])
def test_endless_digits_are_told_as_a_bad_number(text: str) -> None:
    content = GOOD + text % ("9" * 5000)
    with pytest.raises(InputError) as caught:
        Deployment.from_document(document.parse(content.encode(), "deployment.yaml"))
    assert "sys." not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["compil"], "invalid choice: 'compil'"),
        (["compile", "x.yaml", "--out", "out"], "the following arguments are required: --target"),
        (["compile", "x.yaml", "--target", "aws"], "the following arguments are required: --out"),
        (
            ["compile", "x.yaml", "--target", "aws", "--out", "out", "--fast"],
            "unrecognized arguments: --fast",
        ),
    ],
)
def test_bad_arguments_end_with_2(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert not any(tmp_path.iterdir())


# A good deployment with every form of every part, and values that are wrong nearly everywhere.
EVERYTHING: dict[str, Any] = {
    "name": "site",
    "networks": {"east": {"cloud": "aws"}, "west": {"cloud": "aws"}},
    "tiers": {
        "ddc": {"network": "east", "subnets": ["10.0.1.0/28", "2001:db8::/64"]},
        "hosts": {"network": "west", "roles": ["vda"], "subnets": "10.0.2.0/24"},
    },
    "external": {
        "storefront": ["10.9.0.1"],
        "sql": {"prefix-list": {"id": "pl-0a1b2c3d", "max-entries": 4}, "networks": ["east"]},
        "site-licences": {"roles": "license-server", "security-group": "123456789012/sg-0a1b2c3d"},
    },
    "features": {"edt": True, "html5": False},
    "parameters": {"xml-service-port": [8080, "8090-8099"]},
    "flows": {
        "metrics": {
            "source": "hosts",
            "destination": ["ddc", "storefront"],
            "services": [{"protocol": "tcp", "ports": 9182}, {"protocol": "icmp", "type": 3, "code": 4}],
            "reason": "Metrics",
        }
    },
    "exclude": [{"entry": "ddc-vda-local-host-cache", "reason": "None here"}],
    "peers": "group",
    "cidrs": "stable",
    "egress": "restricted",
    "quotas": {"rules-per-group": 60, "groups-per-interface": 5},
}
WRONG: list[Any] = [
    *(None, True, False, 0, -1, 1, 256, 65536, 10**18, "", " ", "010", "22:30", "1e3", "aws", "azure"),
    *("ddc", "vda", "east", "any", "!edt", "0.0.0.0/0", "::/0", "10.0.0.0/8", "10.0.1.1/8", "1-2-3", "2-1"),
    *(
        "sg-0a1b2c3d",
        "Sql",
        "\u00e9\u4e2d",
        '"${x}"',
        "%{if}",
        "../..",
        "a/b",
        "a\nb",
        "x" * 300,
        "tcp",
        "all",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"": ""},
        {"a": {"b": ["c"]}},
        [{"roles": ["ddc"]}],
        ["10.0.0.0/8", "10.0.0.0/8"],
    ),
    {"protocol": "icmp"},
    {"cloud": "azure"},
]


def _places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield from _places(item, (*path, key))


PLACES = list(_places(EVERYTHING))


def _changed(changes: list[tuple[int, Any, str | None]]) -> Any:
    """Replace the values at some places of a good deployment, or rename the keys they stand under."""
    data = copy.deepcopy(EVERYTHING)
    for number, wrong, key in changes:
        *above, last = PLACES[number % len(PLACES)] or ("",)
        here: Any = data
        for step in above:
            inside = isinstance(here, dict) and step in here
            if not (inside or (isinstance(here, list) and isinstance(step, int) and step < len(here))):
                break  # an earlier change took this place away
            here = here[step]
        else:
            if isinstance(here, dict) and key is not None:
                here[key] = here.pop(str(last), wrong)
            elif isinstance(here, dict):
                here[str(last)] = copy.deepcopy(wrong)
            elif isinstance(here, list) and isinstance(last, int) and last < len(here):
                here[last] = copy.deepcopy(wrong)
    return data


def _compile(data: Any) -> bool:
    """Compile a deployment; what is wrong with it is an InputError or a TargetError that names its line.

    Return whether nothing is.
    """
    text = json.dumps(data, ensure_ascii=False, indent=1)
    try:
        deployment = Deployment.from_document(document.parse(text.encode(), "deployment.yaml"))
        compilation = compile_deployment(deployment)
        for target in ("aws", "terraform"):
            render(compilation, target)
    except (InputError, TargetError) as error:
        _assert_helpful(error)
        return False
    return True


def _assert_helpful(error: NetpolicyError) -> None:
    assert error.problems
    assert all(problem.message for problem in error.problems)
    assert all(problem.mark for problem in error.problems)


def test_the_good_deployment_compiles() -> None:
    deployment = Deployment(**copy.deepcopy(EVERYTHING))
    for network in ("east", "west"):
        assert render(compile_deployment(deployment), "terraform", network).files


@pytest.mark.slow
def test_every_wrong_value_at_a_few_places() -> None:
    compiled = [
        _compile(_changed([(number, wrong, None)]))
        for number, _ in enumerate(PLACES)
        for wrong in WRONG[number % 4 :: 4]
    ]
    # Some values are fine where they are put; most are not.
    assert 0 < compiled.count(True) < compiled.count(False)


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(PLACES) - 1),
            st.sampled_from(WRONG),
            st.none()
            | st.sampled_from(["", " ", "a b", "a\nb", "self", "cloud", "roles", "vda", "\u00e9", "1"]),
        ),
        min_size=1,
        max_size=4,
    )
)
@example([])
@example([(PLACES.index(("features", "html5")), 0, None)])
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_wrong_data_is_a_problem_and_nothing_else(changes: list[tuple[int, Any, str | None]]) -> None:
    data = _changed(changes)
    # Compared as text, since 0 in the place of `false` is wrong although Python takes the two as equal.
    assert _compile(data) or json.dumps(data) != json.dumps(EVERYTHING)


@given(
    st.binary(max_size=200) | st.text("-:[]{},&*!|>'\"%@`?#~ \n\tab0\\\u00e9", max_size=60).map(str.encode)
)
@example(b"%YAML 9.9\n---\na: b\n")
@example(b'"\\ud800"')
@settings(max_examples=400)
def test_any_bytes_are_a_document_or_a_problem(content: bytes) -> None:
    try:
        read = document.parse(content, "bytes")
    except InputError as error:
        _assert_helpful(error)
    else:
        assert read.mark(()).file == "bytes"
