"""How cost grows: each axis of a deployment over three decades, in CPU time and peak memory.

Each point is a whole process, `compile` with its files. The exponent is that of the last decade, after the
time of the smallest point, which is nearly all start-up, is taken off: 1 is linear. The exit code is 1 when
an axis grows faster than it may.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from common import Run, machine, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUNS = 7
LINEAR, SQUARE = 1.1, 2.1
# The growth of less than this is the noise of the machine.
LEAST_SECONDS = 0.05


@dataclass(frozen=True)
class Axis:
    """What grows, its sizes, the lines of a deployment of one size, and the exponent that it may have."""

    name: str
    sizes: tuple[int, ...]
    lines: Callable[[int, str], Iterator[str]]
    limit: float = LINEAR


def _subnet(number: int) -> str:
    return f"10.{number >> 8 & 255}.{number & 255}.0/28"


def _head(cloud: str) -> Iterator[str]:
    yield f"name: site\ncloud: {cloud}"
    if cloud == "aws":
        yield "quotas: {rules-per-group: 1000, groups-per-interface: 1}"


def _tiers(count: int) -> Iterator[str]:
    yield "tiers:"
    for number in range(count):
        yield f"  t{number:05}: {{roles: [syslog], subnets: [{_subnet(number)}]}}"


def _flow(name: str, source: str, destination: str, ports: str) -> str:
    services = f"{{protocol: tcp, ports: [{ports}]}}"
    return f"  {name}: {{source: {source}, destination: {destination}, services: {services}, reason: r}}"


def _prefixes(size: int, cloud: str) -> Iterator[str]:
    yield from _head(cloud)
    yield from _tiers(1)
    addresses = ", ".join(f"11.{n >> 12}.{n >> 4 & 255}.{(n & 15) * 16}/32" for n in range(size))
    yield f"external:\n  users: {{roles: [user-device], addresses: [{addresses}]}}"
    yield "flows:"
    yield _flow("f", "users", "t00000", "443, 8443")


def _ports(size: int, cloud: str) -> Iterator[str]:
    yield from _head(cloud)
    yield from _tiers(2)
    yield "flows:"
    yield _flow("f", "t00000", "t00001", ", ".join(str(1000 + 3 * number) for number in range(size)))


def _flows(size: int, cloud: str) -> Iterator[str]:
    yield from _head(cloud)
    yield from _tiers(20)
    yield "flows:"
    for number in range(size):
        ends = f"t{number % 20:05}", f"t{(number * 7 + 1) % 20:05}"
        yield _flow(f"f{number}", *ends, str(1000 + number % 50 * 2))


def _chain(size: int, cloud: str) -> Iterator[str]:
    yield from _head(cloud)
    yield from _tiers(size)
    yield "flows:"
    for number in range(size):
        yield _flow(f"f{number}", f"t{number:05}", f"t{(number + 1) % size:05}", str(1000 + number % 50 * 2))


def _mesh(size: int, cloud: str) -> Iterator[str]:
    yield from _head(cloud)
    yield from _tiers(size)
    yield "flows:"
    yield _flow("f", "syslog", "syslog", "443")


def _networks(size: int, cloud: str) -> Iterator[str]:
    yield "name: site\nnetworks:"
    for number in range(size):
        yield f"  n{number:05}: {{cloud: {cloud}}}"
    yield "tiers:"
    for number in range(size):
        end = f"roles: [syslog], subnets: [{_subnet(number)}], network: n{number:05}"
        yield f"  t{number:05}: {{{end}}}"
    yield "flows:"
    yield _flow("f", "t00000", f"t{size - 1:05}", "443")


AXES = (
    Axis("prefixes of a peer, azure", (4, 40, 400, 3900), _prefixes),
    Axis("prefixes of a peer, aws", (4, 40, 400), _prefixes),
    Axis("ports of a flow, azure", (2, 20, 200, 2000), _ports),
    Axis("ports of a flow, aws", (1, 10, 100, 900), _ports),
    Axis("flows, azure", (10, 100, 1000, 10_000), _flows),
    Axis("flows, aws", (10, 100, 1000, 10_000), _flows),
    Axis("tiers in a chain, azure", (2, 10, 100, 1000), _chain),
    Axis("tiers in a chain, aws", (2, 10, 100, 1000), _chain),
    Axis("tiers, all pairs, azure", (3, 30, 300), _mesh, SQUARE),
    Axis("tiers, all pairs, aws", (3, 30, 300), _mesh, SQUARE),
    Axis("networks, azure", (2, 20, 200), _networks),
    Axis("networks, aws", (2, 20, 200), _networks),
)


def _exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Return the exponent of the last decade, without the start-up."""
    before, last = (max(found - seconds[0], LEAST_SECONDS) for found in seconds[-2:])
    return math.log(last / before) / math.log(sizes[-1] / sizes[-2])


def _measure(axis: Axis, folder: Path, runs: int) -> Iterator[tuple[float, float]]:
    """Yield the lowest CPU seconds and the peak MB of each size. Raises RuntimeError when one is refused.

    All sizes run in turn, so that what slows the machine for a while slows each of them once. Nothing runs
    faster than it can, so the lowest of some runs is nearest to what a size costs.
    """
    target = axis.name.rpartition(" ")[2]
    found: dict[int, list[Run]] = {size: [] for size in axis.sizes}
    for size in axis.sizes:
        text = "\n".join(axis.lines(size, target)) + "\n"
        (folder / f"site-{size}.yaml").write_text(text, encoding="utf-8")
    for number, size in product(range(runs), axis.sizes):
        out = str(folder / f"out-{size}-{number}")
        command = ("-m", "citrix_netpolicy", "compile", str(folder / f"site-{size}.yaml"))
        done = run(sys.executable, *command, "--target", target, "--out", out)
        if done.code:
            raise RuntimeError(f"{axis.name}, {size}: {done.output[:500]}")
        found[size].append(done)
    for alike in found.values():
        yield min(done.seconds for done in alike), max(done.memory for done in alike)


def main() -> int:
    """Print a row for each axis; return 1 when one grows faster than it may."""
    parser = argparse.ArgumentParser(description="Measure how cost grows.")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--only", default="", help="axes whose name has this in it")
    options = parser.parse_args()
    print(f"{machine()}; {options.runs} runs each.\n")
    print("| what grows | sizes | CPU seconds, lowest | exponent | at most | peak MB |")
    print("|---|---|---|---|---|---|")
    code = 0
    for axis in AXES:
        if options.only not in axis.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            seconds, memory = zip(*_measure(axis, Path(folder), options.runs), strict=True)
        exponent = _exponent(axis.sizes, list(seconds))
        code |= exponent > axis.limit
        sizes = ", ".join(f"{size:,}" for size in axis.sizes)
        times = ", ".join(f"{found:.2f}" for found in seconds)
        print(
            f"| {axis.name} | {sizes} | {times} | {exponent:.2f} | {axis.limit} | {max(memory):.0f} |",
            flush=True,
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
