"""Plant small mistakes in the core, one at a time, and see whether the tests of the module notice.

A module `citrix_netpolicy/<name>.py` is judged by `tests/test_<name>.py`, and by others that `ALSO` names.
Which mistakes are planted is drawn with a fixed seed, so that two runs on one commit agree.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
MODULES: Final = ("net", "traffic", "grants", "minimize", "cover", "places", "meeting", "resolve")
# Tests of a module that are named after what it does.
ALSO: Final = {
    "meeting": ("behind", "managed_services", "names", "places", "resolve", "shared_subnets"),
    "resolve": ("behind", "names"),
}
SWAPS: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one mistake."""

    module: Path  # relative to the checkout
    line: int
    change: str
    source: str


def _changes(node: ast.AST) -> Iterator[tuple[str, str, int, object]]:
    """Yield each mistake that a node allows: what it is, and the field, index and value that make it."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            if swap := SWAPS.get(type(operator)):
                yield f"{type(operator).__name__} -> {swap.__name__}", "ops", index, swap()
    elif isinstance(node, ast.BoolOp | ast.BinOp) and (swap := SWAPS.get(type(node.op))):
        yield f"{type(node.op).__name__} -> {swap.__name__}", "op", -1, swap()
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield f"{node.value} -> {node.value + 1}", "value", -1, node.value + 1
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "condition negated", "test", -1, ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield "filter dropped", "ifs", -1, []


def mutants(module: Path) -> list[Mutant]:
    """Return every mutant of a module."""
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    found = []
    for place, node in enumerate(ast.walk(tree)):
        for change, field, index, value in _changes(node):
            changed = copy.deepcopy(tree)
            target = list(ast.walk(changed))[place]
            if index < 0:
                setattr(target, field, value)
            else:
                getattr(target, field)[index] = value
            where = node.target if isinstance(node, ast.comprehension) else node
            line: int = getattr(where, "lineno", 0)
            found.append(Mutant(module, line, change, ast.unparse(ast.fix_missing_locations(changed))))
    return found


def _copy(folder: Path) -> Path:
    """Copy what tests need into `folder`."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)  # noqa: S607
    for name in filter(None, tracked.stdout.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def _notice(checkout: Path, module: Path, limit: float | None = None) -> bool:
    """Return whether a module's tests fail in a checkout, or last longer than the limit."""
    tests = [f"tests/test_{name}.py" for name in (module.stem, *ALSO.get(module.stem, ()))]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
    command += ["--examples-factor", "1", *tests]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}
    try:
        done = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def _survivors(checkout: Path, module: Path, drawn: list[Mutant]) -> list[Mutant]:
    """Return the mutants of a module that its tests do not notice."""
    started = time.monotonic()
    if _notice(checkout, module):
        raise SystemExit(f"the tests of {module} fail without a mutant")
    limit = 10 + 3 * (time.monotonic() - started)
    original = (checkout / module).read_bytes()
    survivors = []
    for mutant in drawn:
        (checkout / module).write_text(mutant.source, "utf-8")
        if not _notice(checkout, module, limit):
            survivors.append(mutant)
    (checkout / module).write_bytes(original)
    return survivors


def main() -> None:
    """Write a table of the modules, and the mutants that survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=15, help="mutants of each module")
    parser.add_argument("--out", type=Path, required=True, help="the Markdown file to write")
    options = parser.parse_args()
    modules = [Path("citrix_netpolicy", f"{name}.py") for name in MODULES]
    draw = random.Random(0)  # noqa: S311 - a sample
    drawn = {}
    for module in modules:
        every = mutants(module)
        drawn[module] = draw.sample(every, min(options.count, len(every)))

    def judge(module: Path) -> list[Mutant]:
        with tempfile.TemporaryDirectory() as folder:
            return _survivors(_copy(Path(folder)), module, drawn[module])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        survivors = dict(zip(modules, pool.map(judge, modules), strict=True))
    lines = ["| module | mutants | survived |", "|---|---|---|"]
    lines += [f"| `{m.as_posix()}` | {len(drawn[m])} | {len(survivors[m])} |" for m in modules]
    listed = [f"- `{m.as_posix()}` line {s.line}: {s.change}" for m in modules for s in survivors[m]]
    if listed:
        lines += ["", "Survivors, each a missing test or a change without an effect:", "", *listed]
    options.out.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
