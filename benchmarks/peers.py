"""What compiling a policy costs, beside Capirca and Aerleon on the same policy, and beside bare reading.

The neighbours live in an environment of their own, which the first run makes: their dependencies are no
business of ours. All of them run in turn, so that what else the machine does disturbs them alike.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / ".venv-peers"
PEERS = ("capirca", "aerleon")
ROLES, TERMS = 20, 40
SIZES = (4, 40, 400)
RUNS = 5
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


def _ours(folder: Path, cloud: str, peers: str, size: int) -> Path:
    lines = ["name: site", f"cloud: {cloud}", f"peers: {peers}", "tiers:"]
    for role in range(ROLES):
        subnets = ", ".join(_prefixes(role, size))
        lines.append(f"  r{role:02}: {{roles: [domain-controller], subnets: [{subnets}]}}")
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


def _environment() -> str:
    """Return the Python of the environment that holds the neighbours, made on the first run."""
    folder = "Scripts" if os.name == "nt" else "bin"
    python = ENVIRONMENT / folder / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEERS], check=True)
    return str(python)


def _version(python: str, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _cpu(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _compile(path: Path, target: str, out: Path) -> list[str]:
    command = [sys.executable, "-m", "citrix_netpolicy", "compile", str(path)]
    return [*command, "--target", target, "--out", str(out)]


def _cases(folder: Path, size: int, python: str) -> list[Case]:
    _theirs(folder, size)
    azure = _ours(folder, "azure", "cidr", size)
    aws = _ours(folder, "aws", "group", size)
    out = folder / "ours"
    # What the floor has to write is known when it was written once.
    subprocess.run(_compile(azure, "azure", out), cwd=ROOT, check=True, capture_output=True)
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
    """Print a table for each size: CPU seconds, and the ratio to the first neighbour."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    python = _environment()
    versions = ", ".join(f"{peer} {_version(python, peer)}" for peer in PEERS)
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {versions}; {options.runs} runs each."
    )
    print(f"{ROLES} roles, {TERMS} terms; CPU seconds of the whole process.\n")
    for size in options.sizes:
        cases = _measure(size, python, options.runs)
        print(f"| {size} prefixes a role | median | lowest | highest | to {cases[0].name} |")
        print("|---|---|---|---|---|")
        for case in cases:
            low, high, ratio = min(case.seconds), max(case.seconds), case.median / cases[0].median
            print(f"| {case.name} | {case.median:.2f} | {low:.2f} | {high:.2f} | {ratio:.2f} |")
        print(flush=True)


if __name__ == "__main__":
    main()
