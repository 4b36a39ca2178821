"""What importing, compiling and running the command costs, beside pydantic in the same run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time

from common import ROOT, machine, run

from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.generate import render
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.inputs.deployment import Deployment

REFERENCE = ROOT / "examples" / "terraform" / "reference" / "deployment.yaml"
TARGET = "terraform"
RUNS = 10

# The neighbour first. What a package puts off until it is used is imported by name as well.
IMPORTS = (
    "from pydantic import BaseModel",
    "import citrix_netpolicy",
    "from citrix_netpolicy import Deployment, compile_deployment",
)

_TIMED = "import time; t = time.process_time(); {0}; print(time.process_time() - t)"


def _import_ms(statement: str) -> float:
    """Return the CPU ms that one import takes inside a fresh interpreter, without its start."""
    done = subprocess.run(
        [sys.executable, "-c", _TIMED.format(statement)], cwd=ROOT, check=True, capture_output=True
    )
    return float(done.stdout) * 1000


def _process_ms(*arguments: str) -> float:
    """Return the CPU ms of a whole Python process, with its start and its end."""
    done = run(sys.executable, *arguments)
    if done.code:
        raise RuntimeError(done.output)
    return done.seconds * 1000


def _command_ms() -> float:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["compile", str(REFERENCE), "--target", TARGET, "--out", f"{folder}/module"]
        return _process_ms("-m", "citrix_netpolicy", *arguments)


def _row(name: str, times: list[float], base: list[float]) -> None:
    low, middle, high = min(times), statistics.median(times), max(times)
    print(f"| {name} | {low:.1f} | {middle:.1f} | {high:.1f} | {middle / statistics.median(base):.2f} |")


def _in_process() -> None:
    """Print the steps of one compile; the first reads the catalogue, the others find it read."""

    def timed(name: str, runs: int) -> None:
        times = []
        for _ in range(runs):
            start = time.process_time()
            files = render(compile_deployment(Deployment.load(REFERENCE)), TARGET).files
            times.append((time.process_time() - start) * 1000)
        _step(name, times, f"{len(files)} files")

    start = time.process_time()
    load_catalog()
    _step("read and check the catalogue", [(time.process_time() - start) * 1000], "")
    timed("load, compile and write, first", 1)
    timed("load, compile and write, again", RUNS)
    deployment, catalog = Deployment.load(REFERENCE), load_catalog()
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        compilation = compile_deployment(deployment, catalog)
        times.append((time.process_time() - start) * 1000)
    counts = compilation.naive_rules, compilation.policy.rule_count, compilation.lower_bound
    rules = "{} rules became {}, lower bound {}".format(*counts)
    _step("compile alone, again", times, rules)


def _step(name: str, times: list[float], what: str) -> None:
    print(f"| {name} | {min(times):.1f} | {statistics.median(times):.1f} | {max(times):.1f} | {what} |")


def main() -> None:
    """Print the times and their ratios."""
    print(f"{machine()}; {RUNS} runs each, CPU ms.\n")
    print("| whole process, or import | lowest | median | highest | beside pydantic |")
    print("|---|---|---|---|---|")
    whole_import: list[float] = []
    version: list[float] = []
    command: list[float] = []
    inside: dict[str, list[float]] = {statement: [] for statement in IMPORTS}
    for number in range(
        RUNS + 1
    ):  # the first run fills caches and is not counted; runs of both kinds alternate
        taken = {statement: _import_ms(statement) for statement in IMPORTS}
        processes = (
            _process_ms("-c", IMPORTS[0]),
            _process_ms("-m", "citrix_netpolicy", "--version"),
            _command_ms(),
        )
        if number:
            for statement in IMPORTS:
                inside[statement].append(taken[statement])
            for times, one in zip((whole_import, version, command), processes, strict=True):
                times.append(one)
    for statement in IMPORTS:
        _row(statement.replace("Deployment, compile_deployment", "…"), inside[statement], inside[IMPORTS[0]])
    _row(f"process `{IMPORTS[0]}`", whole_import, whole_import)
    _row("process `--version`", version, whole_import)
    _row(f"process `compile … --target {TARGET}`", command, whole_import)
    print(f"\n| in one process, {REFERENCE.relative_to(ROOT)} | lowest | median | highest | |")
    print("|---|---|---|---|---|")
    _in_process()


if __name__ == "__main__":
    main()
