"""How long merging prefixes takes, beside `ipaddress` and `netaddr` on the same prefixes.

Each library works on objects of its own, parsed before the clock starts. CPU time, best of several runs.
"""

from __future__ import annotations

import ipaddress
import math
import random
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import netaddr  # type: ignore[import-untyped]

from citrix_netpolicy.net import Prefix, merge_prefixes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = (1_000, 10_000, 100_000)
RUNS = 5
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


def best(work: Callable[[], T]) -> tuple[float, T]:
    """Return the least CPU time of several runs in seconds, and the result."""
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        result = work()
        times.append(time.process_time() - start)
    return min(times), result


def measure(prefixes: Sequence[Prefix]) -> tuple[float, float, float, int]:
    """Return the times of this project, ipaddress and netaddr, and how many prefixes are left."""
    networks = [ipaddress.IPv4Network((prefix.network, prefix.length)) for prefix in prefixes]
    cidrs = [netaddr.IPNetwork(str(prefix)) for prefix in prefixes]
    ours, merged = best(lambda: merge_prefixes(prefixes))
    standard, collapsed = best(lambda: list(ipaddress.collapse_addresses(networks)))
    theirs, joined = best(lambda: netaddr.cidr_merge(cidrs))
    expected = [(prefix.network, prefix.length) for prefix in merged]
    if [(int(found.network_address), found.prefixlen) for found in collapsed] != expected:
        raise AssertionError("ipaddress merges otherwise")
    if [(found.first, found.prefixlen) for found in joined] != expected:
        raise AssertionError("netaddr merges otherwise")
    return ours, standard, theirs, len(merged)


def main() -> None:
    """Print the times and their ratios."""
    print(f"CPU ms, best of {RUNS}; `x` is the time of the other library divided by ours; results are equal")
    print(f"{'input':>10} {'prefixes':>9} {'merged':>8} {'ours':>9} {'ipaddress':>17} {'netaddr':>17}")
    for inputs in (scattered, in_rows):
        times: dict[int, float] = {}
        sorting: dict[int, float] = {}
        for size in SIZES:
            prefixes = inputs(size)
            sorting[size], _ = best(partial(sorted, prefixes))
            ours, standard, theirs, left = measure(prefixes)
            times[size] = ours
            others = " ".join(f"{other * 1000:9.1f} {other / ours:6.1f}x" for other in (standard, theirs))
            print(f"{inputs.__name__:>10} {size:9} {left:8} {ours * 1000:9.2f} {others}")
        _, few, many = SIZES
        linearithmic = many * math.log(many) / (few * math.log(few))
        grown, as_sorted = (found[many] / found[few] for found in (times, sorting))
        print(
            f"{inputs.__name__:>10} grows x{grown:.1f} from {few} to {many}; sorting the same prefixes grows "
            f"x{as_sorted:.1f}, and n log n is x{linearithmic:.1f}"
        )


if __name__ == "__main__":
    main()
