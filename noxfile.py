"""The tasks of a maintainer. `.ci/run` runs the landing tier; docs/development.md tells of the others."""

from __future__ import annotations

import re
import shutil
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.error_on_external_run = True
# The landing tier. The suite comes last, so that its closing lines are at the end of the log.
nox.options.sessions = ["lint", "types", "lowest", "package", "tests"]

ROOT = Path(__file__).parent
BIN = Path(
    sys.executable
).parent  # the venv that nox itself runs in, with `.[dev]` as `.ci/constraints.txt` has it
CONSTRAINTS = ".ci/constraints.txt"
LOWEST = ".ci/lowest.txt"
LOWEST_PYTHON = (3, 11)
SUMMARY = "docs/long-tier.md"
EXAMPLES = 20  # times the examples that a law is tried on in the landing tier
MUTANTS = 15  # of each module
FUZZ_SECONDS = 60  # of each reader


def _run(session: nox.Session, tool: str, *arguments: str | Path, **env: str) -> None:
    """Run a tool of the venv that nox runs in."""
    session.run(str(BIN / tool), *(str(argument) for argument in arguments), env=env or None, external=True)


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    """Check style and format."""
    _run(session, "ruff", "check", ".")
    _run(session, "ruff", "format", "--check", ".")


@nox.session(python=False)
def types(session: nox.Session) -> None:
    """Check types."""
    _run(session, "mypy")


def _scanners(session: nox.Session) -> None:
    """Install the scanners that judge the examples, apart from us: their dependencies clash with ours."""
    _run(session, "python", "-m", "venv", ".venv-scan")
    folder = next(path for path in (ROOT / ".venv-scan/bin", ROOT / ".venv-scan/Scripts") if path.is_dir())
    pip = (str(folder / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    # Their versions are pinned, since every release brings new opinions.
    session.run(*pip, "--requirement", ".ci/scanners.txt", external=True)


@nox.session(python=False)
def tests(session: nox.Session) -> None:
    """Run the test command of the README with the slow tests, without skips, and measure branch coverage."""
    _scanners(session)
    options = session.posargs or ["--cov", "--cov-report=term"]
    command = ("pytest", "-m", "not long", "--examples-factor", "1")
    _run(session, *command, *options, CITRIX_NETPOLICY_REQUIRE_REAL="1")


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the fast suite on the lowest versions that pyproject.toml allows."""
    if sys.version_info[:2] != LOWEST_PYTHON:
        session.skip("the lowest versions have wheels for the lowest Python only")
    session.install("--constraint", LOWEST, "--editable", ".[azure,test]")
    session.run("pytest", *session.posargs)


@nox.session
def package(session: nox.Session) -> None:
    """Build the sdist, from it the wheel, and use the wheel where nothing else is installed."""
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    _run(session, "python", "-m", "build", "--no-isolation", "--outdir", folder)
    (wheel,) = folder.glob("*.whl")
    session.install("--constraint", CONSTRAINTS, str(wheel))
    with session.chdir(folder):
        session.run("citrix-netpolicy", "--version")
        session.run("citrix-netpolicy", "init", "site.yaml")
        compile_ = ("citrix-netpolicy", "compile", "site.yaml", "--target", "terraform", "--out", "out")
        session.run(*compile_)
        session.run(*compile_, "--check")


@nox.session(python=False)
def newest(session: nox.Session) -> None:
    """Run the two commands of the README in a new clone, on the newest versions of everything."""
    section = re.search(r"^## Try it$(.*?)^## ", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    commands = re.findall(r"^```sh\n(.*?)^```$", section[1] if section else "", re.M | re.S)
    if len(commands) != 2:
        session.error(f"README.md has {len(commands)} commands under `Try it`, not 2")
    clone = Path(session.create_tmp()).resolve() / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    session.run("git", "clone", "--quiet", str(ROOT), str(clone), external=True)
    with session.chdir(clone):
        for command in commands:
            session.run("bash", "-euc", command, external=True)


@nox.session(python=False)
def long(session: nox.Session) -> None:
    """Try every law on many more examples, plant mutants, and write the outcome into docs/long-tier.md."""
    _scanners(session)
    folder = Path(session.create_tmp()).resolve()
    report, mutants, fuzzed = folder / "junit.xml", folder / "mutants.md", folder / "fuzzed.md"
    for stale in (report, mutants, fuzzed):
        stale.unlink(missing_ok=True)
    session.run(
        str(BIN / "pytest"),
        *("-m", "", "--examples-factor", str(EXAMPLES), f"--junit-xml={report}", *session.posargs),
        env={"CITRIX_NETPOLICY_REQUIRE_REAL": "1"},
        external=True,
        success_codes=[0, 1],  # failures are part of the summary, and end the session below
    )
    suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - pytest wrote it
    if suite is None:
        session.error("pytest wrote no report")
    _run(session, "python", ".ci/mutants.py", "--count", str(MUTANTS), "--out", mutants)
    # A find ends it, and so stays out of the summary: it is mended first.
    _run(session, "python", ".ci/fuzz.py", "--seconds", str(FUZZ_SECONDS), "--out", fuzzed)
    commit = session.run("git", "rev-parse", "--short", "HEAD", external=True, silent=True)
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    (ROOT / SUMMARY).write_text(
        "# The long tier\n\n"
        "Written by `.ci/run long`, which runs once for each release; commit it with the release.\n\n"
        f"- Run on {datetime.now(UTC):%Y-%m-%d} at commit `{str(commit).strip()}`, "
        f"Python {sys.version.split()[0]}.\n"
        f"- Suite with {EXAMPLES} times the examples: {suite.attrib['tests']} tests, {failed} failed, "
        f"{suite.attrib['skipped']} skipped, {float(suite.attrib['time']) / 60:.0f} minutes.\n\n"
        f"{mutants.read_text('utf-8')}\n"
        f"## Mutants of what is read, for {FUZZ_SECONDS} seconds each\n\n{fuzzed.read_text('utf-8')}",
        "utf-8",
        newline="\n",
    )
    if failed:
        session.error(f"{failed} tests failed")


@nox.session(python=False)
def fuzz(session: nox.Session) -> None:
    """Try new mutants of every file that is read, and keep what is found below tests/hostile/finds."""
    _run(session, "python", ".ci/fuzz.py", *session.posargs)


@nox.session(python=False)
def lock(session: nox.Session) -> None:
    """Pin the newest versions for development and the lowest ones for `lowest`."""
    python = ".".join(map(str, LOWEST_PYTHON))
    command = ("pip", "compile", "--quiet", "--upgrade", "--no-annotate", "pyproject.toml")
    common = (*command, "--python-version", python, "--custom-compile-command", ".ci/run lock")
    _run(session, "uv", *common, "--universal", "--extra", "dev", "--output-file", CONSTRAINTS)
    extras = ("--extra", "azure", "--extra", "test")
    _run(session, "uv", *common, "--resolution", "lowest-direct", *extras, "--output-file", LOWEST)
