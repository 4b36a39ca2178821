"""What a run loads before it knows what to do: next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from citrix_netpolicy.cli import VERBS
from citrix_netpolicy.version import __version__

ROOT = Path(__file__).parent.parent
# Modules that cost more than all else that starting takes, or that only some verbs need.
SLOW = {
    *("azure", "csv", "decimal", "difflib", "hashlib", "hcl2", "ipaddress", "jinja2", "json", "lark"),
    *("pydantic", "pydantic_core", "tempfile", "typing_extensions", "unittest", "yaml", "zipfile"),
}
# Runs `python -m citrix_netpolicy`, and tells behind what it prints which modules that loaded.
RUN = """
import runpy, sys
before = set(sys.modules)
sys.argv = ["citrix-netpolicy", *sys.argv[1:]]
try:
    runpy.run_module("citrix_netpolicy", run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code
loaded = sorted(set(sys.modules) - before)
import json
print("\\n" + json.dumps([code, loaded]))
"""


def _run(*arguments: str) -> tuple[str, int | None, set[str]]:
    """Return what a fresh interpreter prints, its exit code, and the modules that the command loaded."""
    # Without the hooks of installed packages, all that is loaded is our doing.
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {_packages()!r}\n{RUN}", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    said, _, told = done.stdout.rstrip("\n").rpartition("\n")
    code, loaded = json.loads(told)
    assert done.stderr == ""
    return said, code, set(loaded)


def _packages() -> list[str]:
    """Return where packages are found, ours first."""
    return [str(ROOT), *(path for path in sys.path if path.endswith("-packages"))]


def _ours(loaded: set[str]) -> set[str]:
    return {name for name in loaded if name.partition(".")[0] == "citrix_netpolicy"}


def test_the_version_loads_next_to_nothing() -> None:
    said, code, loaded = _run("--version")
    assert (said, code) == (f"{__version__}\n", 0)
    assert loaded & SLOW == set()
    assert _ours(loaded) == {
        "citrix_netpolicy",
        "citrix_netpolicy.cli",
        "citrix_netpolicy.cli.output",
        "citrix_netpolicy.cli.process",
        "citrix_netpolicy.plain",
        "citrix_netpolicy.version",
    }


def test_the_help_loads_next_to_nothing() -> None:
    said, code, loaded = _run("--help")
    assert code == 0
    assert all(f"    {verb}" in said and text in said for verb, text in VERBS.items())
    assert loaded & SLOW == set()
    assert _ours(loaded) == {
        "citrix_netpolicy",
        "citrix_netpolicy.cli",
        "citrix_netpolicy.cli.output",
        "citrix_netpolicy.cli.process",
        "citrix_netpolicy.plain",
        "citrix_netpolicy.version",
    }


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_loads_no_renderer_and_no_parser(verb: str) -> None:
    said, code, loaded = _run(verb, "--help")
    assert code == 0
    assert said.startswith(f"usage: citrix-netpolicy {verb}")
    assert loaded & {"hcl2", "jinja2", "lark", "yaml"} == set()


def test_a_slow_module_would_be_seen() -> None:
    """The test above would pass if it looked in the wrong place."""
    _, _, loaded = _run("schema", "--help")
    assert {"pydantic", "json"} <= loaded
    assert len(_ours(loaded)) > 5


def test_the_build_backend_finds_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    file = ROOT / project["tool"]["hatch"]["version"]["path"]
    # The backend's pattern takes no annotation but `str`.
    assert f'\n__version__ = "{__version__}"\n' in file.read_text(encoding="utf-8")
