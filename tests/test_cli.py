"""The command: what it writes, what it prints where, and how it ends."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import faults

import citrix_netpolicy
from citrix_netpolicy import Deployment, cli, compile_deployment, limits, render
from citrix_netpolicy.folder import MANIFEST

if TYPE_CHECKING:
    from citrix_netpolicy import Compilation

ROOT = Path(__file__).parent.parent
TARGETS = ("aws", "terraform")
ONE = """\
name: site
cloud: aws
tiers:
  ddc: [10.0.1.0/28]
  vda: [10.0.2.0/24]
  storefront: [10.0.3.0/28]
external:
  admin-workstation: [10.99.0.0/25, 10.99.0.128/25]
"""
TWO = """\
name: site
networks: {east: {cloud: aws}, west: {cloud: aws}}
tiers:
  ddc: {network: east, subnets: [10.0.1.0/28]}
  vda: {network: west, subnets: [10.0.2.0/24]}
"""
FINDINGS = """\
name: site
cloud: aws
tiers:
  netscaler-mgmt: [10.0.1.0/28]
  vda: [10.0.2.0/24]
  sql: [10.0.3.0/28]
external:
  admin-workstation: [0.0.0.0/0]
"""


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return _file(tmp_path, ONE)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return _file(tmp_path, TWO)


def _file(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text)
    return path


def _compiled(file: Path) -> Compilation:
    return compile_deployment(Deployment.load(file))


def _expected(compilation: Compilation, target: str, network: str | None = None) -> dict[str, str]:
    """Return the files of one network."""
    return dict(render(compilation, target, network).files)


def _written(folder: Path) -> dict[str, str]:
    found = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }
    manifest = json.loads(found.pop(MANIFEST))
    assert manifest["files"] == sorted(found)
    return found


def _compile(file: Path, out: Path, *more: str, target: str = "terraform") -> int:
    return cli.main(["compile", str(file), "--target", target, "--out", str(out), *more])


@pytest.mark.parametrize("target", TARGETS)
def test_compile_writes_what_the_library_returns(target: str, one: Path, tmp_path: Path) -> None:
    assert _compile(one, tmp_path / "out", target=target) == 0
    assert _written(tmp_path / "out") == _expected(_compiled(one), target)


@pytest.mark.parametrize("target", TARGETS)
def test_several_networks_get_a_folder_each(target: str, two: Path, tmp_path: Path) -> None:
    assert _compile(two, tmp_path / "out", target=target) == 0
    compilation = _compiled(two)
    assert _written(tmp_path / "out") == {
        f"{network}/{name}": text
        for network in ("east", "west")
        for name, text in _expected(compilation, target, network).items()
    }


@pytest.mark.parametrize("target", TARGETS)
def test_one_network_of_several(target: str, two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _compile(two, out, "--network", "west", target=target) == 0
    assert _written(out) == _expected(_compiled(two), target, "west")
    assert _compile(two, out, "--network", "east", target=target) == 0
    assert _written(out) == _expected(_compiled(two), target, "east")
    assert _compile(two, out, target=target) == 0
    assert {path.name for path in out.iterdir()} == {MANIFEST, "east", "west"}


def test_the_network_of_one_may_be_named(one: Path, tmp_path: Path) -> None:
    assert _compile(one, tmp_path / "a") == 0
    assert _compile(one, tmp_path / "b", "--network", "main") == 0
    assert _written(tmp_path / "a") == _written(tmp_path / "b")


def test_the_target_may_change(one: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _compile(one, out, target="terraform") == 0
    assert _compile(one, out, target="aws") == 0
    assert _written(out) == _expected(_compiled(one), "aws")
    assert not (out / "tests").exists()


def test_check(one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert _compile(one, out, "--check") == 1
    assert f"{out}: rules.tf: missing\n" in capsys.readouterr().err
    assert not out.exists()

    assert _compile(one, out) == 0
    for path in (out, *out.rglob("*")):
        os.utime(path, (1, 1))
    capsys.readouterr()
    assert _compile(one, out, "--check") == 0
    assert capsys.readouterr() == ("", "")

    (out / "main.tf").write_text("changed by hand")
    (out / "rules.tf").unlink()
    (out / "mine.tf").write_text("mine")
    assert _compile(one, out, "--check") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"{out}: main.tf: out of date\n{out}: rules.tf: missing\n"
    assert (out / "main.tf").read_text() == "changed by hand"
    assert not (out / "rules.tf").exists()

    assert _compile(one, out) == 0
    assert _compile(one, out, "--check") == 0


def test_check_sees_a_changed_deployment(
    one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _compile(one, out) == 0
    one.write_text(ONE + "parameters: {xml-service-port: 8080}\n")
    capsys.readouterr()
    assert _compile(one, out, "--check") == 1
    assert f"{out}: rules.tf: out of date\n" in capsys.readouterr().err


def test_check_refuses_bad_input(tmp_path: Path) -> None:
    assert _compile(tmp_path / "missing.yaml", tmp_path / "out", "--check") == 2
    file = _file(tmp_path, ONE)
    assert _compile(file, file, "--check") == 2


def test_check_of_several_networks(two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert _compile(two, out) == 0
    assert _compile(two, out, "--check") == 0
    (out / "east" / "rules.tf").unlink()
    capsys.readouterr()
    assert _compile(two, out, "--check") == 1
    assert capsys.readouterr().err == f"{out}: east/rules.tf: missing\n"


def test_a_foreign_file_stops_everything(
    one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "rules.tf").write_text("mine")
    assert _compile(one, out) == 2
    assert capsys.readouterr().err == (
        f"error: refusing to overwrite `{out / 'rules.tf'}`: not generated by citrix-netpolicy "
        "(help: choose another folder, or move the file)\n"
    )
    assert [path.name for path in out.iterdir()] == ["rules.tf"]


def test_a_folder_that_cannot_be_written(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _compile(one, one / "out") == 2
    assert re.match(r"error: `.*` is not a folder \(help: ", capsys.readouterr().err)


def test_the_summary_is_on_stderr(one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _compile(one, tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    compilation = _compiled(one)
    policy, omissions = compilation.policy, compilation.resolution.omissions
    assert policy.rule_count == compilation.lower_bound < compilation.naive_rules
    lines = printed.err.splitlines()
    assert lines[0] == (
        f"site: 3 groups, {policy.rule_count} rules (the fewest possible); "
        f"{compilation.naive_rules} when every flow is written out"
    )
    counts = ", ".join(f"{group.tier} {len(group.rules)}" for group in policy.groups)
    assert lines[1] == f"  network main: {counts}"
    assert re.fullmatch(
        rf"{len(omissions)} entries produced no rules \(.*\); use --verbose to list them", lines[-2]
    )
    numbers = re.findall(r"[(,] ?([0-9]+) ", lines[-2])
    assert sum(map(int, numbers)) == len(omissions)


def test_verbose_names_every_entry(one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _compile(one, tmp_path / "out", "--verbose") == 0
    lines = capsys.readouterr().err.splitlines()
    omissions = _compiled(one).resolution.omissions
    start = lines.index(f"{len(omissions)} entries produced no rules:")
    # Before them stands what there is to say of each group.
    for line, group in zip(lines[2:], _compiled(one).spelled_out.groups, strict=False):
        assert re.fullmatch(
            rf"  main/{group.tier}: (\d+) rules?, naive {len(group.rules)}, lower bound \1, "
            "certificate: maximal pairs",
            line,
        )
    assert lines[start + 1 : -1] == [f"  {omission.entry}: {omission}" for omission in omissions]
    assert all(str(omission) for omission in omissions)


def test_findings_are_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _compile(_file(tmp_path, FINDINGS), tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    warnings = [line for line in printed.err.splitlines() if line.startswith("warning: ")]
    (world,) = [line for line in warnings if line.endswith("[not-for-the-internet]")]
    assert "`admin-workstation`" in world
    assert "adc-admin-ssh" in world
    assert any("`sql`" in line and line.endswith("[tier-without-peers]") for line in warnings)
    assert any(line.endswith("[no-directory]") for line in warnings)


def test_the_gateway_may_face_the_world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ONE.replace("  ddc:", "  netscaler-vip: [10.0.9.0/28]\n  ddc:")
    text += '  user-device: [0.0.0.0/0, "::/0"]\n'
    assert _compile(_file(tmp_path, text), tmp_path / "out") == 0
    assert "open-to-the-world" not in capsys.readouterr().err


def test_init_writes_what_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("wrote deployment.yaml; edit it")
    assert _compile(Path("deployment.yaml"), tmp_path / "out") == 0
    assert "tier-without-peers" not in capsys.readouterr().err


def test_what_the_starter_offers_in_comments_works(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    assert cli.main(["init", str(path)]) == 0
    offered = re.compile(
        r"^(  )?# ((?:ntp|syslog|parameters|flows|exclude|egress|cidrs): ?.*|  .*|(?:flows):)$", re.MULTILINE
    )
    text = offered.sub(lambda match: (match[1] or "") + match[2], path.read_text())
    head, _, rest = text.partition("# Names the site")
    text = "# Names the site" + rest
    assert head
    path.write_text(text)
    deployment = Deployment.load(path)
    assert deployment.flows.keys() == {"monitoring"}
    assert deployment.exclude
    assert deployment.parameters
    assert deployment.external["ntp"].prefix_list
    assert deployment.external["syslog"].security_group
    assert (deployment.egress, deployment.cidrs) == ("open", "stable")
    assert _compile(path, tmp_path / "out") == 0


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("mine")
    assert cli.main(["init", str(path)]) == 2
    assert capsys.readouterr() == ("", f"error: `{path}` already exists (help: choose another file)\n")
    assert path.read_text() == "mine"
    assert cli.main(["init", str(tmp_path / "a" / "b.yaml")]) == 2
    assert capsys.readouterr().err == (
        f"error: cannot write `{tmp_path / 'a' / 'b.yaml'}`: No such file or directory\n"
    )
    assert [found.name for found in tmp_path.iterdir()] == ["site.yaml"]


@pytest.mark.parametrize("number", range(1, 4))
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), faults.Killed()])
def test_init_writes_a_file_whole_or_not_at_all(
    number: int, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "site.yaml"
    fault = faults.Fault(monkeypatch, number, error)
    try:
        code = cli.main(["init", str(path)])
    except faults.Killed:
        assert not path.exists() or Deployment.load(path)
        return
    assert code == (2 if fault.step in ("write_file", "place_file") else 0)
    assert path.exists() == (code == 0)
    assert [found for found in tmp_path.iterdir() if found != path] == []


def test_init_works_on_a_disk_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "site.yaml"
    assert cli.main(["init", str(path)]) == 0
    assert Deployment.load(path).tiers
    assert cli.main(["init", str(path)]) == 2
    assert [found.name for found in tmp_path.iterdir()] == ["site.yaml"]


def test_schema_is_json_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    schema = json.loads(printed.out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert printed.out.isascii()


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["compile", "--help"]])
def test_what_is_asked_for_is_on_stdout(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.strip()
    if arguments == ["--version"]:
        assert printed.out == f"{citrix_netpolicy.__version__}\n"


def _run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "citrix_netpolicy", *arguments]
    settings: dict[str, object] = {"capture_output": True, "cwd": ROOT, **options}
    if "stdout" in settings:
        settings.pop("capture_output")
        settings["stderr"] = subprocess.PIPE
    return subprocess.run(command, text=True, check=False, **settings)  # type: ignore[call-overload, no-any-return]


def test_the_module_runs(one: Path, tmp_path: Path) -> None:
    done = _run("compile", str(one), "--target", "terraform", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("site: 3 groups, ")
    assert _written(tmp_path / "out") == _expected(_compiled(one), "terraform")
    refused = _run("compile", str(tmp_path), "--target", "aws", "--out", str(tmp_path / "out"))
    assert refused.returncode == 2
    assert refused.stderr == f"error: {tmp_path}:1:1: cannot read the file: Is a directory\n"


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_gone_is_no_error(stream: str, one: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        if stream == "stdout":
            done = _run("schema", stdout=gone)
            assert done.stderr == ""
        else:
            command = ["compile", str(one), "--target", "aws", "--out", str(tmp_path / "out"), "--verbose"]
            done = subprocess.run(
                [sys.executable, "-m", "citrix_netpolicy", *command],
                stdout=subprocess.PIPE,
                stderr=gone,
                text=True,
                check=False,
                cwd=ROOT,
            )
            assert done.stdout == ""
            assert (tmp_path / "out" / MANIFEST).exists()
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_stdout_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = _run("schema", stdout=full)
    assert "Traceback" not in done.stderr
    assert done.returncode == 2


@pytest.mark.slow
def test_text_that_the_terminal_cannot_show_is_no_error(tmp_path: Path) -> None:
    text = "name: site\ncloud: aws\ntiers:\n  b\u00fcro: {roles: [ddc], subnets: [10.0.1.0/28]}\n"
    file = tmp_path / "site.yaml"
    file.write_text(text, encoding="utf-8")
    done = _run(
        *("compile", str(file), "--target", "aws", "--out", str(tmp_path / "out")),
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {file}:4:3: tiers.b\\xfcro: AWS refuses the group name")


def test_the_order_of_the_file_changes_nothing(tmp_path: Path) -> None:
    backwards = """\
external:
  admin-workstation: [10.99.0.128/25, 10.99.0.0/25]
tiers:
  storefront: [10.0.3.0/28]
  vda: [10.0.2.0/24]
  ddc: [10.0.1.0/28]
cloud: aws
name: site
"""
    for name, text in (("a", ONE), ("b", backwards)):
        (tmp_path / f"{name}.yaml").write_text(text)
        for target in TARGETS:
            assert _compile(tmp_path / f"{name}.yaml", tmp_path / target / name, target=target) == 0
    for target in TARGETS:
        assert _written(tmp_path / target / "a") == _written(tmp_path / target / "b")


# What is told, and how


def test_strict_refuses_warnings_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _compile(_file(tmp_path, FINDINGS), out, "--strict") == 2
    lines = capsys.readouterr().err.splitlines()
    assert not out.exists()
    assert all(line.startswith("error: ") for line in lines)
    assert any("is open to the world" in line for line in lines)


def test_strict_takes_what_is_accepted(one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = {finding.code for finding in _compiled(one).findings if finding.severity == "warning"}
    accepted = "".join(f"  - {{finding: {code}, reason: Known}}\n" for code in sorted(codes))
    assert _compile(_file(tmp_path, ONE + "accept:\n" + accepted), tmp_path / "out", "--strict") == 0
    assert " accepted; use --verbose to list them" in capsys.readouterr().err


def test_quiet_tells_warnings_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _compile(_file(tmp_path, FINDINGS), tmp_path / "out", "-q") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("warning: ") for line in lines)


def test_json_tells_programs_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = _file(tmp_path, FINDINGS), tmp_path / "out"
    assert _compile(file, out, "--format", "json") == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    compilation = _compiled(file)
    assert printed.err == ""
    assert (told["version"], told["deployment"], told["rules"]) == (1, "site", compilation.policy.rule_count)
    assert {one["code"] for one in told["findings"]} == {one.code for one in compilation.findings}
    assert all(one["locations"][0]["file"] == str(file) for one in told["findings"] if one["locations"])
    assert len(told["omissions"]) == len(compilation.resolution.omissions)
    assert _compile(file, out, "--format", "json", "--check") == 0
    assert json.loads(capsys.readouterr().out) == {"version": 1, "differences": []}


def test_json_tells_programs_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _file(tmp_path, ONE.replace("10.0.1.0/28", "10.0.1.1/28"))
    assert _compile(file, tmp_path / "out", "--format", "json") == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["path"] == ["tiers", "ddc", "subnets", 0]
    assert problem["location"] == {"file": str(file), "line": 4, "column": 9}


# Terminal manners


def test_a_run_says_what_became_of_files(
    one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def said() -> list[str]:
        assert _compile(one, out) == 0
        lines = capsys.readouterr().err.splitlines()
        return [line for line in lines if str(out) in line]

    (first,) = said()
    assert re.match(r"wrote [0-9]+ files in .*: .* and [0-9]+ more", first)
    assert said() == [f"{out} is up to date"]
    one.write_text(ONE.replace("10.0.2.0/24", "10.0.2.0/25"), encoding="utf-8")
    (out / "main.tf").unlink()
    assert [line.split(" file")[0] for line in said()] == ["wrote 1", "changed 1"]


def test_the_report_for_programs_says_what_became_of_files(
    one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for what in ({"new"}, set()):
        assert _compile(one, tmp_path / "out", "--format", "json") == 0
        assert set(json.loads(capsys.readouterr().out)["files"].values()) == what


def test_a_deployment_comes_from_standard_input(
    one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _compile(one, tmp_path / "file") == 0
    _feed(monkeypatch, ONE.encode())
    assert _compile(Path("-"), tmp_path / "stdin") == 0
    assert _texts(tmp_path / "stdin") == _texts(tmp_path / "file")
    capsys.readouterr()
    _feed(monkeypatch, ONE.replace("vda:", "vdaa:").encode())
    assert _compile(Path("-"), tmp_path / "bad") == 2
    assert capsys.readouterr().err.startswith("error: <stdin>:5:10: ")
    _feed(monkeypatch, b"\xff")
    assert _compile(Path("-"), tmp_path / "bad") == 2
    monkeypatch.setattr(sys, "stdin", None)
    assert _compile(Path("-"), tmp_path / "bad") == 2
    assert "cannot read standard input" in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()


def _feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def _texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_catalog_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "export" in printed.out
    assert "examples:" in printed.out


@pytest.mark.parametrize(
    ("words", "usage", "told"),
    [
        (["compile", "x", "--target", "aws", "--out", "y", "--chekc"], "compile", "--check"),
        (["catalog", "list", "--prot", "1"], "catalog list", "--port"),
        (["catalog", "show", "a", "b"], "catalog show", "b"),
        (["schema", "--all"], "schema", "--all"),
    ],
)
def test_a_wrong_option_shows_the_usage_of_its_verb(
    words: list[str], usage: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"usage: citrix-netpolicy {usage} ")
    assert told in printed.splitlines()[-1]


@pytest.mark.parametrize("verb", [*cli.VERBS])
def test_the_help_of_a_verb_ends_with_examples_that_are_understood(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([verb, "--help"]) == 0
    examples = capsys.readouterr().out.partition("examples:\n")[2].splitlines()
    assert examples
    for line in examples:
        words = line.partition(" <")[0].partition(" >")[0].split()
        assert words[:2] == ["citrix-netpolicy", verb]
        assert cli._parser(words[1:]).parse_args(words[1:]).run


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "is_coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False)],
)
def test_a_terminal_gets_colours_unless_it_asks_for_none(
    environment: dict[str, str],
    is_coloured: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    file = _file(tmp_path, ONE.replace("ddc:", '"\\e[31mddc":'))
    assert _compile(file, tmp_path / "out") == 2
    line = terminal.getvalue()
    assert line.startswith("\x1b[1;31merror:\x1b[0m " if is_coloured else "error: ")
    # What the input holds acts on no terminal.
    assert "\x1b" not in re.sub(r"\x1b\[(?:1;31|1;33|1;36|0)m", "", line)
    assert ("\x1b" in line) == is_coloured


BESIDE = 'resource "aws_security_group_rule" "more" {}\n'


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("more.tf", f"\n\n{BESIDE}", "more.tf:3:1"),
        ("more.tf.json", '{"resource": {"aws_vpc_security_group_ingress_rule": {}}}', "more.tf.json:1:1"),
        ("more.tofu", BESIDE, "more.tofu:1:1"),
        ("outputs_more.tf", 'output "x" { value = 1 }\n', ""),
        ("notes.md", BESIDE, ""),
        ("tests/more.tf", BESIDE, ""),
    ],
)
def test_a_file_beside_the_module_that_acts_on_groups_is_told(
    name: str, text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, out = _file(tmp_path, ONE), tmp_path / "out"
    assert _compile(one, out) == 0
    (out / name).write_text(text, encoding="utf-8")
    capsys.readouterr()
    assert _compile(one, out, "--format", "json") == 0
    found = [one for one in json.loads(capsys.readouterr().out)["findings"] if one["code"] == "file-beside"]
    places = [
        f"{Path(place['file']).name}:{place['line']}:{place['column']}"
        for one in found
        for place in one["locations"]
    ]
    assert places == ([told] if told else [])
    assert (out / name).read_text(encoding="utf-8") == text


def test_a_file_beside_that_cannot_be_read_is_told(
    one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert _compile(one, out) == 0
    (out / "more.tf").write_bytes(b" " * (limits.INPUT_BYTES + 1))
    (out / "link.tf").symlink_to(one)
    capsys.readouterr()
    assert _compile(one, out) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "[file-beside]" in line]
    assert "`more.tf` cannot be read" in line


def test_a_file_beside_the_module_of_one_network_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = _file(tmp_path, TWO), tmp_path / "out"
    assert _compile(file, out) == 0
    for folder in (out, out / "west"):
        (folder / "more.tf").write_text(BESIDE, encoding="utf-8")
    capsys.readouterr()
    assert _compile(file, out, "--format", "json") == 0
    found = [one for one in json.loads(capsys.readouterr().out)["findings"] if one["code"] == "file-beside"]
    # What stands above the modules belongs to none of them.
    assert [one["locations"][0]["file"] for one in found] == [str(out / "west" / "more.tf")]
