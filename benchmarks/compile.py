"""What importing, compiling and running the command costs, beside pydantic in the same run."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.generate import render
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.inputs.deployment import Deployment

ROOT = Path(__file__).parent.parent
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
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def _command_ms() -> float:
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["compile", str(REFERENCE), "--target", TARGET, "--out", f"{folder}/module"]
        return _process_ms("-m", "citrix_netpolicy", *arguments)


def _row(name: str, times: list[float], base: list[float]) -> None:
    low, middle = min(times), statistics.median(times)
    ratios = f"{low / min(base):5.2f}x min {middle / statistics.median(base):5.2f}x median"
    print(f"{name:<44} {low:8.1f} {middle:8.1f}   {ratios}")


def _in_process() -> None:
    """Print the steps of one compile; the first reads the catalogue, the others find it read."""

    def timed(name: str, runs: int) -> None:
        times = []
        for _ in range(runs):
            start = time.process_time()
            files = render(compile_deployment(Deployment.load(REFERENCE)), TARGET).files
            times.append((time.process_time() - start) * 1000)
        low, middle = min(times), statistics.median(times)
        print(f"{name:<44} {low:8.1f} {middle:8.1f}   {len(files)} files")

    start = time.process_time()
    load_catalog()
    print(f"{'read and check the catalogue':<44} {(time.process_time() - start) * 1000:8.1f}")
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
    print(f"{'compile alone, again':<44} {min(times):8.1f} {statistics.median(times):8.1f}   {rules}")


def main() -> None:
    """Print the times and their ratios."""
    print(f"{f'CPU ms of {RUNS} runs':<44} {'min':>8} {'median':>8}   beside pydantic")
    whole_import, command = [], []
    inside: dict[str, list[float]] = {statement: [] for statement in IMPORTS}
    for run in range(RUNS + 1):  # the first run fills caches and is not counted; runs of both kinds alternate
        taken = {statement: _import_ms(statement) for statement in IMPORTS}
        processes = _process_ms("-c", IMPORTS[0]), _command_ms()
        if run:
            for statement in IMPORTS:
                inside[statement].append(taken[statement])
            whole_import.append(processes[0])
            command.append(processes[1])
    for statement in IMPORTS:
        _row(statement.replace("Deployment, compile_deployment", "…"), inside[statement], inside[IMPORTS[0]])
    _row(f"process `{IMPORTS[0]}`", whole_import, whole_import)
    _row(f"process `compile … --target {TARGET}`", command, whole_import)
    print()
    print(f"in one process, {REFERENCE.relative_to(ROOT)}")
    _in_process()


if __name__ == "__main__":
    main()
