"""Where the time of the missed targets goes: one profiled process each, by library and by module of ours.

A profiler counts calls, which costs time of its own, so read the shares and not the seconds. What a built-in
function takes is told as time of the code that called it, and time inside Python's own modules likewise.
"""

from __future__ import annotations

import cProfile
import pstats
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from common import ROOT, machine
from floor import COMMAND, SIZE
from peers import write_ours

SHOWN = 12
PYTHON = "Python's own modules"
COMPILE = "from citrix_netpolicy.cli import main; main(sys.argv[1:])"
PACKAGE = re.compile(r"citrix_netpolicy/(?:.*/)?(?:__init__|[^/]+)\.py$")
LIBRARY = re.compile(r"site-packages/([A-Za-z0-9_]+)")
Function = tuple[str, int, str]


def main() -> None:
    """Print a table for each target that is missed."""
    if sys.argv[1:2] == ["--child"]:
        _profile(sys.argv[2], sys.argv[3], sys.argv[4:])
        return
    print(f"{machine()}; one profiled run each.\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = ROOT / "examples/terraform/reference/deployment.yaml"
        cases = {
            "reference deployment": (COMPILE, [str(site), "--target", "terraform"]),
            "4 prefixes a role": (
                COMPILE,
                [str(write_ours(folder, "azure", "cidr", 4)), "--target", "azure"],
            ),
            "Azure, 400 prefixes a role": (
                COMPILE,
                [str(write_ours(folder, "azure", "cidr", SIZE)), "--target", "azure"],
            ),
            "AWS by group, 400 prefixes a role": (
                COMPILE,
                [str(write_ours(folder, "aws", "group", SIZE)), "--target", "aws"],
            ),
            "address peers, AWS, 400 prefixes a role": (
                COMMAND,
                [str(write_ours(folder, "aws", "cidr", SIZE)), str(folder), "check"],
            ),
        }
        for what, (code, words) in cases.items():
            out = folder / "stats"
            arguments = ["compile", *words, "--out", str(folder / what)] if code is COMPILE else words
            command = [sys.executable, __file__, "--child", str(out), "import sys\n" + code, *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _print(what, pstats.Stats(str(out)))


def _profile(out: str, code: str, words: list[str]) -> None:
    """Run code under the profiler, as if it were the whole process."""
    sys.argv = ["-c", *words]
    sys.path[0] = ""
    profiler = cProfile.Profile()
    try:
        profiler.runctx(code, {"__name__": "__main__"}, {})
    finally:
        profiler.dump_stats(out)


def _print(what: str, stats: pstats.Stats) -> None:
    shares: defaultdict[str, float] = defaultdict(float)
    functions: dict[Function, Any] = vars(stats)["stats"]
    for function, (_, _, own, _, callers) in functions.items():
        part = _part(function)
        if part is None and callers:
            for caller, (_, _, inside, _) in callers.items():
                shares[_part(caller) or PYTHON] += inside
        else:
            shares[part or PYTHON] += own
    whole = sum(shares.values())
    print(f"| {what} | share |\n|---|---|")
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    for part, own in ranked[:SHOWN]:
        print(f"| {part} | {100 * own / whole:.0f} % |")
    left = sum(own for _, own in ranked[SHOWN:])
    print(f"| all others | {100 * left / whole:.0f} % |\n", flush=True)


def _part(function: Function) -> str | None:
    """Return what a function belongs to, or None where its caller decides."""
    file, _, name = function
    file = file.replace("\\", "/")
    if "importlib" in file or name == "<module>":
        return "imports"
    if found := PACKAGE.search(file):
        return f"`{found[0]}`"
    if found := LIBRARY.search(file):
        return {"yaml": "PyYAML", "jinja2": "Jinja2", "pydantic_core": "pydantic"}.get(found[1], found[1])
    return None


if __name__ == "__main__":
    main()
