"""What inputs cost that are large on purpose, at each bound and beyond it.

Each is a whole process. It has to end within seconds, with a message or with files. The exit code is 1 when
one takes too long, or ends otherwise than with files or a message of ours.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from common import machine, run

from citrix_netpolicy import limits
from citrix_netpolicy.inputs.catalog import load_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LIMIT = 10.0
MEMORY = 1000.0
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
        f"  't/{number:05}?': {{roles: [syslog], subnets: [10.{number >> 8}.{number & 255}.0/28]}}"
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


def _prefix(number: int) -> str:
    return f"11.{number >> 12 & 255}.{number >> 4 & 255}.{(number & 15) * 16}/32"


def _map(key: str, items: Iterable[str]) -> str:
    return "\n".join([f"{key}:", *(f"  {item}" for item in items)])


def _tiers(count: int, *rest: str, cloud: str = "azure") -> str:
    tiers = (f"t{n}: {{roles: [syslog], subnets: [10.{n >> 8}.{n & 255}.0/24]}}" for n in range(count))
    return "\n".join([f"name: site\ncloud: {cloud}", _map("tiers", tiers), *rest])


def _networks(count: int) -> str:
    tiers = (f"t{n}: {{roles: [syslog], subnets: [10.{n}.0.0/24], network: n{n}}}" for n in range(count))
    networks = (f"n{n}: {{cloud: azure}}" for n in range(count))
    return "\n".join(["name: site", _map("networks", networks), _map("tiers", tiers)])


def _externals(count: int, each: int = 1, whole: int | None = None) -> str:
    """Write externals of the same number of addresses, the last with the rest of `whole`."""
    flow = "f: {source: [%s], destination: a, services: {protocol: tcp, ports: 443}, reason: r}"
    sizes = [each] * count if whole is None else [min(each, whole - at) for at in range(0, whole, each)]
    starts = [each * n for n in range(len(sizes))]
    externals = (
        f"e{n}: {{roles: [user-device], addresses: [{', '.join(map(_prefix, range(at, at + size)))}]}}"
        for n, (at, size) in enumerate(zip(starts, sizes, strict=True))
    )
    names = ", ".join(f"e{n}" for n in range(len(sizes)))
    return _tier(_map("external", externals), _map("flows", [flow % names]), cloud="azure")


def _flows(count: int, cloud: str = "azure") -> str:
    flows = (
        f"f{n}: {{source: users, destination: a, services: {{protocol: tcp, ports: {2 * n + 1}}}, reason: r}}"
        for n in range(count)
    )
    users = "external: {users: {roles: [user-device], addresses: [192.0.2.0/24]}}"
    return _tier(users, _map("flows", flows), cloud=cloud)


def _mesh(sources: int, destinations: int, ports: str = "443") -> str:
    """Write a flow from some tiers to others, of as many pairs."""
    ends = [", ".join(f"t{n}" for n in range(count)) for count in (sources, destinations)]
    flow = (
        f"f: {{source: [{ends[0]}], destination: [{ends[1]}], services: {{protocol: tcp, ports: {ports}}}, "
    )
    tiers = (
        f"t{n}: {{roles: [user-device], subnets: [10.{n >> 8}.{n & 255}.0/24]}}"
        for n in range(max(sources, destinations))
    )
    return "\n".join(["name: site\ncloud: azure", _map("tiers", tiers), _map("flows", [flow + "reason: r}"])])


def _excluded(count: int) -> str:
    return _tier(_map("exclude", (f"- {{entry: e{n}, reason: r}}" for n in range(count))))


def _accepted(count: int) -> str:
    return _tier(_map("accept", ["- {finding: icmp-widened, subject: a, reason: r}"] * count))


# Each bound of `limits.py`: the largest input taken, and one more. Some of the largest are refused for
# another reason, by the cloud that they are for, or because a word is not in the catalogue.
BOUNDS: dict[str, tuple[Callable[[int], str], str]] = {
    "VALUES": (lambda count: "a: [" + ", ".join(["1"] * (count - 1)) + "]", "aws"),
    "NETWORKS": (_networks, "azure"),
    "TIERS": (_tiers, "azure"),
    "EXTERNALS": (_externals, "azure"),
    "END_PREFIXES": (lambda count: _externals(1, count), "azure"),
    "PREFIXES": (lambda count: _externals(15, 4000, count - 1), "azure"),
    "FLOWS": (_flows, "azure"),
    "FLOW_SERVICES": (lambda count: _services(count, _port), "azure"),
    "PORT_RANGES": (lambda count: _services(1, _ports_of(count)), "azure"),
    "EXCLUSIONS": (_excluded, "aws"),
    "ACCEPTANCES": (_accepted, "aws"),
    "CONNECTIONS": (lambda count: _mesh(200 + count % 2, 1000), "azure"),
}


def _crowd(*rest: str, features: str = "") -> str:
    """Write many tiers of eight roles, all of which speak with each other."""
    roles = ("vda", "ddc", "storefront", "license-server", "pvs", "domain-controller", "director", "fas")
    tiers = (
        f"t{n}: {{roles: [{roles[n % 8]}], subnets: [10.{n >> 8}.{n & 255}.0/24]{features}}}"
        for n in range(200)
    )
    return "\n".join(["name: site\ncloud: azure", _map("tiers", tiers), *rest])


def _entries() -> list[str]:
    return [entry.id for entry in load_catalog().entries]


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
    "200 tiers, each with features of its own": (
        "azure",
        lambda: _crowd(features=", features: {edt: false, html5: true, udp-audio: true}"),
    ),
    "200 tiers, and every entry excluded": (
        "azure",
        lambda: _crowd(_map("exclude", (f"- {{entry: {entry}, reason: r}}" for entry in _entries()))),
    ),
    "nesting of 50,000 lists": ("aws", lambda: "[" * 50_000),
    "one key of 5,000,000 characters": ("aws", lambda: f"{'a' * 5_000_000}: 1"),
    "a number of 100,000 digits": ("aws", lambda: f"name: {'9' * 100_000}"),
    "10,000 aliases": ("aws", lambda: "a: &a [1]\nb: [" + ", ".join(["*a"] * 10_000) + "]"),
    "beyond the largest file": ("aws", lambda: "# " + "x" * 60_000_000),
}


def _cases() -> dict[str, tuple[str, Callable[[], str]]]:
    bounds = {
        f"{name}: {count:,}": (target, lambda text=text, count=count: text(count))
        for name, (text, target) in BOUNDS.items()
        for count in (getattr(limits, name), getattr(limits, name) + 1)
    }
    return CASES | bounds


def main() -> int:
    """Print a row for each input; return 1 when one fails."""
    if sys.argv[
        1:
    ]:  # a process of its own writes the input, since the peak of this one counts as its child's
        name, path = sys.argv[1:]
        Path(path).write_text(_cases()[name][1]() + "\n", encoding="utf-8")
        return 0
    print(f"{machine()}; one run each.\n")
    print("| input | CPU seconds | peak MB | exit code | lines said | first |")
    print("|---|---|---|---|---|---|")
    code = 0
    for name, (target, _) in _cases().items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "site.yaml")
            subprocess.run([sys.executable, __file__, name, str(file)], check=True)
            command = ("-m", "citrix_netpolicy", "compile", str(file), "--target", target)
            done = run(sys.executable, *command, "--out", str(Path(folder, "out")))
            lines = done.output.replace(folder, "").splitlines()
        first = lines[0].replace("|", "\\|")[:120] if lines else ""
        print(
            f"| {name} | {done.seconds:.2f} | {done.memory:.0f} | {done.code} | {len(lines)} | {first} |",
            flush=True,
        )
        code |= (
            done.seconds > LIMIT
            or done.memory > MEMORY
            or done.code not in ENDED
            or "Traceback" in done.output
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
