"""How long merging prefixes takes, beside `ipaddress`, `netaddr` and Aerleon on the same prefixes.

Each library works on objects of its own, parsed before the clock starts. CPU time, best of several runs.
Aerleon works in the environment of the neighbours.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import math
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import netaddr  # type: ignore[import-untyped]
from common import environment, machine, run

from citrix_netpolicy.net import Prefix, merge_prefixes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = (1_000, 10_000, 100_000, 1_000_000)
RUNS = 5
# A million take some of the libraries half a minute.
RUNS_OF_MANY = 1
SEED = 1
T = TypeVar("T")
BASE = int(ipaddress.IPv4Address("10.0.0.0"))


def scattered(size: int) -> list[Prefix]:
    """Return prefixes of /24 to /32 anywhere: few of them join."""
    draw = random.Random(SEED)
    found = []
    for _ in range(size):
        length = draw.randint(24, 32)
        found.append(Prefix(4, draw.getrandbits(length) << 32 - length, length))
    return found


def in_rows(size: int) -> list[Prefix]:
    """Return single addresses side by side with holes, some subnets around them, in no order: most join."""
    draw = random.Random(SEED)
    found = []
    for offset in range(size):
        length = draw.choice((32, 32, 32, 32, 32, 32, 31, 30))
        address = BASE + offset + offset // 1000  # a hole behind every thousand
        found.append(Prefix(4, address >> 32 - length << 32 - length, length))
    draw.shuffle(found)
    return found


def best(work: Callable[[], T], runs: int = RUNS) -> tuple[float, T]:
    """Return the least CPU time of several runs in seconds, and the result."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        result = work()
        times.append(time.process_time() - start)
    return min(times), result


class Times(NamedTuple):
    """CPU seconds of each library, and how many prefixes are left."""

    ours: float
    ipaddress: float
    netaddr: float
    aerleon: float
    left: int


# Reads prefixes from a file; prints the best time, and where the merged ones begin and how long they are.
_AERLEON = """
import json, sys, time
from aerleon.lib import nacaddr
path, runs = sys.argv[1], int(sys.argv[2])
with open(path) as file:
    found = [nacaddr.IPv4(line.strip()) for line in file]
times = []
for _ in range(runs):
    start = time.process_time()
    merged = nacaddr.CollapseAddrList(list(found))
    times.append(time.process_time() - start)
print(json.dumps([min(times), [[int(one.network_address), one.prefixlen] for one in merged]]))
"""


def _aerleon(prefixes: Sequence[Prefix], runs: int) -> tuple[float, list[tuple[int, int]]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "prefixes")
        file.write_text("\n".join(map(str, prefixes)), encoding="utf-8")
        done = run(environment(), "-c", _AERLEON, str(file), str(runs))
    if done.code:
        raise RuntimeError(done.output)
    seconds, merged = json.loads(done.output)
    return seconds, [tuple(pair) for pair in merged]


def measure(prefixes: Sequence[Prefix], runs: int) -> Times:
    """Measure every library; the results have to be equal."""
    networks = [ipaddress.IPv4Network((prefix.network, prefix.length)) for prefix in prefixes]
    cidrs = [netaddr.IPNetwork(str(prefix)) for prefix in prefixes]
    ours, merged = best(lambda: merge_prefixes(prefixes), runs)
    standard, collapsed = best(lambda: list(ipaddress.collapse_addresses(networks)), runs)
    theirs, joined = best(lambda: netaddr.cidr_merge(cidrs), runs)
    aerleon, last = _aerleon(prefixes, runs)
    expected = [(prefix.network, prefix.length) for prefix in merged]
    for name, found in (
        ("ipaddress", [(int(one.network_address), one.prefixlen) for one in collapsed]),
        ("netaddr", [(one.first, one.prefixlen) for one in joined]),
        ("aerleon", last),
    ):
        if found != expected:
            raise AssertionError(f"{name} merges otherwise")
    return Times(ours, standard, theirs, aerleon, len(merged))


def main() -> None:
    """Print the times and their ratios."""
    parser = argparse.ArgumentParser(description="Merge prefixes beside other libraries.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    print(f"{machine()}; best of {RUNS}, of {RUNS_OF_MANY} for a million.\n")
    print("CPU ms; `x` is the time of the other library divided by ours. All results are equal.\n")
    print("| input | prefixes | merged | ours | ipaddress | netaddr | aerleon | growth | sorting | n log n |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for inputs in (scattered, in_rows):
        before: tuple[int, float, float] | None = None
        for size in options.sizes:
            prefixes = inputs(size)
            runs = RUNS if size < 1_000_000 else RUNS_OF_MANY
            sorting, _ = best(partial(sorted, prefixes), runs)
            found = measure(prefixes, runs)
            others = " | ".join(f"{other * 1000:,.1f} ({other / found.ours:.1f}x)" for other in found[1:4])
            growth = " |  | "
            if before:
                few, ours, sorted_before = before
                best_growth = size * math.log(size) / (few * math.log(few))
                growth = f"{found.ours / ours:.1f} | {sorting / sorted_before:.1f} | {best_growth:.1f}"
            row = f"{inputs.__name__} | {size:,} | {found.left:,} | {found.ours * 1000:,.2f} | {others}"
            print(f"| {row} | {growth} |", flush=True)
            before = size, found.ours, sorting


if __name__ == "__main__":
    main()
