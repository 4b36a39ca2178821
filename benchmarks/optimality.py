"""Count the rules of every example and of random deployments, and hold them against the proven lower bound.

    python benchmarks/optimality.py [--count N] [--write]

The same seed draws the same deployments on every machine. `--write` puts the report into OPTIMALITY.md. The
exit code is 1 when a group has more rules than its bound.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from multiprocessing import Pool
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy import Deployment, compile_deployment, render, stats_of

if TYPE_CHECKING:
    from citrix_netpolicy.targets import Certificate

HERE: Final = Path(__file__).parent
EXAMPLES: Final = HERE.parent / "examples"
REPORT: Final = HERE / "OPTIMALITY.md"
COUNT: Final = 10_000
# Every target of a cloud says the same rules, so one stands for all.
TARGET: Final = {"aws": "aws", "azure": "azure"}

# Few roles, subnets and ports, so that whatever can collide does.
_ROLES: Final = ("ddc", "vda", "storefront", "sql", "license-server", "pvs", "director", "file-server")
_PORTS: Final = (80, 443, "443-445", "440-460", 1433, "1433-1434", "49152-65535", "50000-50100", "1-65535")
_PROTOCOLS: Final = ("tcp", "udp")


def draw(seed: int, cloud: str) -> dict[str, Any]:
    """Return a deployment of two to six tiers whose subnets are neighbours, with flows of its own."""
    chance = random.Random(seed)
    roles = chance.sample(_ROLES, chance.randint(2, 6))
    blocks = [f"10.0.{number // 16}.{number % 16 * 16}/28" for number in range(32)]
    if chance.random() < 0.3:
        blocks += [f"2001:db8:0:{number:x}::/64" for number in range(8)]
    chance.shuffle(blocks)
    tiers: dict[str, Any] = {}
    for role in roles:
        size = chance.choice((1, 2, 3, 5))
        subnets, blocks = blocks[:size], blocks[size:]
        tiers[role] = {"subnets": subnets or [blocks.pop()]}
    external = {
        role: [f"192.0.2.{number * 32}/27" for number in chance.sample(range(8), chance.randint(1, 4))]
        for role in ("admin-workstation", "user-device", "dns")
        if chance.random() < 0.5
    }
    ends = [*roles, *external]
    flows = {}
    for number in range(chance.choice((0, 3, 6, 12, 24))):
        # A flow begins or ends in a tier of ours.
        source, destination = chance.choice(roles), chance.choice(ends)
        if chance.random() < 0.5:
            source, destination = destination, source
        if source == destination:
            continue
        services = [
            {"protocol": chance.choice(_PROTOCOLS), "ports": chance.choice(_PORTS)}
            for _ in range(chance.randint(1, 3))
        ]
        flows[f"flow-{number}"] = {
            "source": source,
            "destination": destination,
            "services": services,
            "reason": "Drawn at random",
        }
    return {
        "name": "site",
        "networks": {"main": {"cloud": cloud}},
        "tiers": tiers,
        **({"external": external} if external else {}),
        **({"flows": flows} if flows else {}),
        "peers": chance.choice(("group", "cidr")),
        "egress": chance.choice(("restricted", "open")),
        "accept": [],
    }


def _judge(task: tuple[int, str]) -> tuple[str, list[tuple[int, int, int, Certificate]], int]:
    """Return the numbers of each group of one random deployment, and how many of its groups have a gap."""
    seed, cloud = task
    data = draw(seed, cloud)
    if cloud == "azure":
        # Azure cannot tell one ping from another; what it widens is accepted, and counted as it stands there.
        data["accept"] = [
            {"finding": code, "subject": tier, "reason": "The subject here is the number of rules"}
            for tier in data["tiers"]
            for code in ("icmp-widened", "icmpv6-blocked")
        ]
    compilation = compile_deployment(Deployment(**data))
    found = stats_of(compilation, render(compilation, TARGET[cloud])).groups
    numbers = [(group.rules, group.naive, group.lower_bound, group.certificate) for group in found]
    return cloud, numbers, sum(group.gap != 0 for group in found)


def _examples() -> tuple[list[str], int]:
    """Return a row for each group of each example and target, and how many have a gap."""
    rows, gaps = [], 0
    for path in sorted(EXAMPLES.rglob("deployment.yaml")):
        compilation = compile_deployment(Deployment.load(path))
        name = path.parent.relative_to(EXAMPLES).as_posix()
        for network, part in compilation.deployment.networks.items():
            module = render(compilation, TARGET[part.cloud], network)
            for group in stats_of(compilation, module).groups:
                numbers = f"{group.naive} | {group.rules} | {group.lower_bound} | {group.certificate}"
                rows.append(f"| {name} | {part.cloud} | {network}/{group.tier} | {numbers} |")
                gaps += group.gap != 0
    return rows, gaps


def report(count: int) -> tuple[str, int]:
    """Return the report, and how many groups have more rules than their bound."""
    rows, gaps = _examples()
    totals: dict[str, Counter[str]] = {cloud: Counter() for cloud in TARGET}
    tasks = [(seed, cloud) for seed in range(count) for cloud in TARGET]
    with Pool() as pool:
        for cloud, groups, with_gap in pool.imap_unordered(_judge, tasks, chunksize=50):
            total = totals[cloud]
            total["deployments"] += 1
            total["gaps"] += with_gap
            for rules, naive, bound, certificate in groups:
                total.update(
                    {"groups": 1, "rules": rules, "naive": naive, "bound": bound, f"by {certificate}": 1}
                )
    lines = [
        "# How many rules, and the proof that fewer cannot do",
        "",
        "Written by `python benchmarks/optimality.py --write`; run it again after a change of the minimiser, "
        "of the cover or of the catalogue. Nothing in it depends on the machine.",
        "",
        "`naive` is one rule for each flow, prefix and port range. The certificates are told in "
        "[docs/architecture.md](../docs/architecture.md).",
        "",
        "## Random deployments",
        "",
        f"{count} seeds in each cloud; the roles, neighbouring subnets, ports and options of each are drawn "
        "from pools so small that rules collide.",
        "",
        "| cloud | deployments | groups | naive | rules | lower bound | groups with a gap | certificates |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cloud, total in totals.items():
        proofs = ", ".join(
            f"{total[key]} {key.removeprefix('by ')}" for key in sorted(total) if key.startswith("by ")
        )
        lines.append(
            f"| {cloud} | {total['deployments']} | {total['groups']} | {total['naive']} | {total['rules']} "
            f"| {total['bound']} | {total['gaps']} | {proofs} |"
        )
        gaps += total["gaps"]
    lines += [
        "",
        "## Examples",
        "",
        "| example | cloud | group | naive | rules | lower bound | certificate |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n", gaps


def main() -> int:
    """Print the report or write it; return 1 when a group has a gap."""
    parser = argparse.ArgumentParser(description="Hold numbers of rules against their lower bounds.")
    parser.add_argument("--count", type=int, default=COUNT, help="how many random deployments in each cloud")
    parser.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    arguments = parser.parse_args()
    text, gaps = report(arguments.count)
    if arguments.write:
        REPORT.write_text(text, encoding="utf-8", newline="\n")
    else:
        sys.stdout.write(text)
    if gaps:
        print(f"error: {gaps} groups have more rules than their lower bound", file=sys.stderr)
    return 1 if gaps else 0


if __name__ == "__main__":
    sys.exit(main())
