"""What compiling a policy costs, beside Capirca and Aerleon on the same policy, and beside bare reading.

The neighbours live in an environment of their own, which the first run makes: their dependencies are no
business of ours. All of them run in turn, so that what else the machine does disturbs them alike.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from common import environment, machine, run

ROLES, TERMS = 20, 40
SIZES = (4, 40, 400)
RUNS = 11
# Read the file with the plain C loader, and write as many bytes as we do.
FLOOR = (
    "import sys, yaml; yaml.load(open(sys.argv[1], 'rb'), yaml.CSafeLoader); "
    "open(sys.argv[2], 'wb').write(b' ' * int(sys.argv[3]))"
)


@dataclass
class Case:
    """One command, and the CPU seconds of its runs."""

    name: str
    command: list[str]
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The CPU seconds in the middle."""
        return statistics.median(self.seconds)

    def ratio(self, other: Case) -> float:
        """Return the middle of the ratios of each round.

        What slows a machine for a while slows a whole round, so these vary less than the ratio of medians.
        """
        return statistics.median(
            ours / theirs for ours, theirs in zip(self.seconds, other.seconds, strict=True)
        )


def _prefixes(role: int, size: int) -> list[str]:
    """Return the disjoint /28 of a role; no two of them join."""
    base = int(IPv4Address("10.0.0.0")) + (role << 18)
    return [f"{IPv4Address(base + (number << 5))}/28" for number in range(size)]


def _terms() -> list[tuple[int, int, str, str]]:
    """Return source, destination, and ports as a list of each of the two languages."""
    return [
        (
            term % ROLES,
            (term * 7 + 3 + term // ROLES) % ROLES,
            f"{1000 + term * 3}, {2000 + term}-{2005 + term}",
            f"{1000 + term * 3}/tcp {2000 + term}-{2005 + term}/tcp",
        )
        for term in range(TERMS)
    ]


def write_ours(folder: Path, cloud: str, peers: str, size: int) -> Path:
    """Write the policy as a deployment, and return its file."""
    lines = ["name: site", f"cloud: {cloud}", f"peers: {peers}", "tiers:"]
    for role in range(ROLES):
        subnets = ", ".join(_prefixes(role, size))
        lines.append(f"  r{role:02}: {{roles: [syslog], subnets: [{subnets}]}}")
    lines.append("flows:")
    for number, (source, destination, ports, _) in enumerate(_terms()):
        lines += [
            f"  f{number:02}:",
            f"    {{source: r{source:02}, destination: r{destination:02}, reason: flow {number},",
            f"     services: {{protocol: tcp, ports: [{ports}]}}}}",
        ]
    path = folder / f"{cloud}-{peers}-{size}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _theirs(folder: Path, size: int) -> None:
    """Write the same policy as the neighbours read it, for nftables."""
    networks: list[str] = []
    for role in range(ROLES):
        first, *others = _prefixes(role, size)
        networks += [f"R{role:02} = {first}", *(f"  {prefix}" for prefix in others)]
    terms = ["header {", "  target:: nftables inet output", "}"]
    services = []
    for number, (source, destination, _, ports) in enumerate(_terms()):
        services.append(f"S{number:02} = {ports}")
        terms += [
            f"term f{number:02} {{",
            f"  source-address:: R{source:02}",
            f"  destination-address:: R{destination:02}",
            f"  destination-port:: S{number:02}",
            "  protocol:: tcp",
            "  action:: accept",
            "}",
        ]
    for name, lines in (
        ("def/NETWORK.net", networks),
        ("def/SERVICES.svc", services),
        ("pol/site.pol", terms),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "out").mkdir(exist_ok=True)


def _cpu(command: list[str]) -> float:
    done = run(*command)
    if done.code:
        raise RuntimeError(done.output)
    return done.seconds


def _compile(path: Path, target: str, out: Path) -> list[str]:
    command = [sys.executable, "-m", "citrix_netpolicy", "compile", str(path)]
    return [*command, "--target", target, "--out", str(out)]


def _cases(folder: Path, size: int, python: str) -> list[Case]:
    _theirs(folder, size)
    azure = write_ours(folder, "azure", "cidr", size)
    aws = write_ours(folder, "aws", "group", size)
    out = folder / "ours"
    # What the floor has to write is known when it was written once.
    _cpu(_compile(azure, "azure", out))
    size_written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    flags = [
        f"--policy_file={folder}/pol/site.pol",
        f"--base_directory={folder}/pol",
        f"--definitions_directory={folder}/def",
        f"--output_directory={folder}/out",
    ]
    return [
        Case("capirca", [python, "-m", "capirca.aclgen", *flags]),
        Case("aerleon", [python, "-m", "aerleon.aclgen", *flags]),
        Case("azure by prefix", _compile(azure, "azure", out)),
        Case("aws by group", _compile(aws, "aws", folder / "ours-aws")),
        Case("floor", [sys.executable, "-c", FLOOR, str(azure), str(folder / "floor"), str(size_written)]),
    ]


def _measure(size: int, python: str, runs: int) -> list[Case]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = _cases(folder, size, python)
        for _ in range(runs):
            for case in cases:
                # Each run is a first one: nothing of the last run is read or spared.
                for left in ("ours", "ours-aws", "out"):
                    shutil.rmtree(folder / left, ignore_errors=True)
                (folder / "out").mkdir()
                case.seconds.append(_cpu(case.command))
        return cases


def main() -> None:
    """Print a table for each size: CPU seconds, and the ratios to the first neighbour and to the floor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    python = environment()
    print(f"{machine()}; {options.runs} runs each.\n")
    print(f"{ROLES} roles, {TERMS} terms; CPU seconds of the whole process.\n")
    for size in options.sizes:
        cases = _measure(size, python, options.runs)
        print(f"| {size} prefixes a role | median | lowest | highest | to {cases[0].name} | to the floor |")
        print("|---|---|---|---|---|---|")
        for case in cases:
            low, high = min(case.seconds), max(case.seconds)
            ratios = " | ".join(f"{case.ratio(other):.2f}" for other in (cases[0], cases[-1]))
            print(f"| {case.name} | {case.median:.2f} | {low:.2f} | {high:.2f} | {ratios} |")
        print(flush=True)


if __name__ == "__main__":
    main()
