"""What inputs cost that are large on purpose, at each bound and beyond it.

Each is a whole process. It has to end within seconds, with a message or with files. The exit code is 1 when
one takes too long, or ends otherwise than with files or a message of ours.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from common import machine, run

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 5.0
ENDED = (0, 2)


def _tier(*rest: str, cloud: str = "aws") -> str:
    return "\n".join(
        [f"name: site\ncloud: {cloud}", "tiers: {a: {roles: [ddc], subnets: [10.0.0.0/24]}}", *rest]
    )


def _features(count: int) -> str:
    return _tier("features:", *(f"  unknown-{number}: true" for number in range(count)))


def _copies(count: int) -> str:
    subnets = ", ".join(["10.0.0.0/24"] * count)
    return f"name: site\ncloud: aws\ntiers: {{a: {{roles: [ddc], subnets: [{subnets}]}}}}\n"


def _names(count: int) -> str:
    tiers = (
        f"  't/{number:05}?': {{roles: [domain-controller], subnets: [10.{number >> 8}.{number & 255}.0/28]}}"
        for number in range(count)
    )
    return "\n".join(["name: site\ncloud: azure\ntiers:", *tiers])


def _services(count: int, service: Callable[[int], str], cloud: str = "azure") -> str:
    return _tier(
        "external: {users: {roles: [user-device], addresses: [192.0.2.0/24]}}",
        "flows:",
        "  f:",
        "    {source: users, destination: a, reason: r,",
        f"     services: [{', '.join(map(service, range(count)))}]}}",
        *(["quotas: {rules-per-group: 1000, groups-per-interface: 1}"] if cloud == "aws" else []),
        cloud=cloud,
    )


def _port(number: int) -> str:
    return f"{{protocol: tcp, ports: {1 + 2 * number}}}"


def _ports_of(count: int) -> Callable[[int], str]:
    ports = ", ".join(str(1 + 2 * number) for number in range(count))
    return lambda _: f"{{protocol: tcp, ports: [{ports}]}}"


def _icmp(number: int) -> str:
    return f"{{protocol: icmp, type: {number % 256}, code: {number // 256}}}"


def _addresses(count: int) -> str:
    addresses = ", ".join(f"11.{n >> 12 & 255}.{n >> 4 & 255}.{(n & 15) * 16}/32" for n in range(count))
    return _tier(
        f"external: {{users: {{roles: [user-device], addresses: [{addresses}]}}}}",
        "flows:",
        "  f: {source: users, destination: a, services: {protocol: tcp, ports: 443}, reason: r}",
        cloud="azure",
    )


CASES: dict[str, tuple[str, Callable[[], str]]] = {
    "60,000 unknown features": ("aws", lambda: _features(60_000)),
    "100,000 copies of a subnet": ("aws", lambda: _copies(100_000)),
    "2,000 names that Azure refuses": ("azure", lambda: _names(2_000)),
    "2,000 single ports as services, Azure": ("azure", lambda: _services(2_000, _port)),
    "2,000 single ports as services, AWS": ("aws", lambda: _services(2_000, _port, "aws")),
    "30,000 single ports as services, Azure": ("azure", lambda: _services(30_000, _port)),
    "one flow of 20,000 single ports, Azure": ("azure", lambda: _services(1, _ports_of(20_000))),
    "7,000 ICMP services, AWS": ("aws", lambda: _services(7_000, _icmp, "aws")),
    "7,000 ICMP services, Azure": ("azure", lambda: _services(7_000, _icmp)),
    "3,996 addresses of a peer, which Azure holds": ("azure", lambda: _addresses(3_996)),
    "3,997 addresses of a peer, which it does not": ("azure", lambda: _addresses(3_997)),
    "60,000 addresses of a peer": ("azure", lambda: _addresses(60_000)),
    "nesting of 50,000 lists": ("aws", lambda: "[" * 50_000),
    "one key of 5,000,000 characters": ("aws", lambda: f"{'a' * 5_000_000}: 1"),
    "a number of 100,000 digits": ("aws", lambda: f"name: {'9' * 100_000}"),
    "10,000 aliases": ("aws", lambda: "a: &a [1]\nb: [" + ", ".join(["*a"] * 10_000) + "]"),
    "beyond the largest file": ("aws", lambda: "# " + "x" * 60_000_000),
}


def main() -> int:
    """Print a row for each input; return 1 when one fails."""
    print(f"{machine()}; one run each.\n")
    print("| input | CPU seconds | peak MB | exit code | lines said | first |")
    print("|---|---|---|---|---|---|")
    code = 0
    for name, (target, text) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "site.yaml")
            file.write_text(text() + "\n", encoding="utf-8")
            command = ("-m", "citrix_netpolicy", "compile", str(file), "--target", target)
            done = run(sys.executable, *command, "--out", str(Path(folder, "out")))
            lines = done.output.replace(folder, "").splitlines()
        first = lines[0].replace("|", "\\|")[:120] if lines else ""
        print(
            f"| {name} | {done.seconds:.2f} | {done.memory:.0f} | {done.code} | {len(lines)} | {first} |",
            flush=True,
        )
        code |= done.seconds > LIMIT or done.code not in ENDED or "Traceback" in done.output
    return code


if __name__ == "__main__":
    sys.exit(main())
