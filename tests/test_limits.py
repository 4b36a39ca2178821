"""Everything that is read has a bound, with a message that holds its number; `docs/limits.md` lists all."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from citrix_netpolicy import Deployment, InputError, NetpolicyError, compile_deployment, limits, render
from citrix_netpolicy.findings import Finding
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.reports.summary import finding_lines
from citrix_netpolicy.syntax import document

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT = Path(__file__).parent.parent / "docs" / "limits.md"
BASE: dict[str, Any] = {"name": "site", "cloud": "azure", "tiers": {"ddc": ["10.255.0.0/24"]}}


def test_the_document_holds_every_limit() -> None:
    found = re.findall(r"^\|.*\| ([0-9,]+) \| `([A-Z_]+)` \|$", DOCUMENT.read_text(encoding="utf-8"), re.M)
    assert [name for _, name in found] == [name for name in vars(limits) if name.isupper()]
    assert {name: int(number.replace(",", "")) for number, name in found} == {
        name: getattr(limits, name) for name in limits.__all__
    }


def _networks(count: int) -> dict[str, Any]:
    tiers = {"ddc": {"subnets": ["10.255.0.0/24"], "network": "n0"}}
    return {
        "cloud": None,
        "networks": {f"n{number}": {"cloud": "aws"} for number in range(count)},
        "tiers": tiers,
    }


def _addresses(count: int) -> list[str]:
    return [f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(count)]


def _flow(**changes: Any) -> dict[str, Any]:
    services = {"protocol": "tcp", "ports": 443}
    flow = {"source": "vda", "destination": "ddc", "services": services, "reason": "r"}
    return {"flows": {"f": flow | changes}}


def _peers(count: int) -> dict[str, Any]:
    whole, rest = divmod(count, limits.END_PREFIXES)
    counts = [limits.END_PREFIXES] * whole + [rest]
    return {
        "external": {f"e{n}": {"roles": "sql", "addresses": _addresses(c)} for n, c in enumerate(counts) if c}
    }


# What a deployment looks like that holds so many of something.
COUNTED: dict[str, Callable[[int], dict[str, Any]]] = {
    "NETWORKS": _networks,
    "TIERS": lambda count: {
        "tiers": {f"t{n}": {"roles": "ddc", "subnets": f"10.{n >> 8}.{n & 255}.0/24"} for n in range(count)}
    },
    "EXTERNALS": lambda count: {
        "external": {f"e{n}": {"roles": "sql", "addresses": "192.0.2.1"} for n in range(count)}
    },
    "ROLES": lambda count: {"tiers": {"ddc": {"roles": ["ddc"] * count, "subnets": "10.0.0.0/24"}}},
    "END_PREFIXES": lambda count: {"external": {"sql": _addresses(count)}},
    "PREFIXES": lambda count: _peers(count - 1),
    "FLOWS": lambda count: {"flows": {f"f{n}": _flow()["flows"]["f"] for n in range(count)}},
    "FLOW_SERVICES": lambda count: _flow(services=[{"protocol": "tcp", "ports": 443}] * count),
    "PORT_RANGES": lambda count: _flow(services={"protocol": "tcp", "ports": [1 + n for n in range(count)]}),
    "EXCLUSIONS": lambda count: {"exclude": [{"entry": f"e{n}", "reason": "r"} for n in range(count)]},
    "ACCEPTANCES": lambda count: {
        "accept": [{"finding": "icmp-widened", "subject": "ddc", "reason": "r"}] * count
    },
    "NAME": lambda count: {"tiers": {"x" * count: {"roles": "ddc", "subnets": "10.0.0.0/24"}}},
    "TEXT": lambda count: _flow(reason="x" * count),
    "CATALOGS": lambda count: {"catalogs": [f"c{n}.yaml" for n in range(count)]},
}


@pytest.mark.parametrize("name", COUNTED)
def test_the_limit_is_taken_and_one_more_is_not(name: str) -> None:
    limit = getattr(limits, name)
    assert Deployment(**BASE | COUNTED[name](limit))
    with pytest.raises(InputError) as caught:
        Deployment(**BASE | COUNTED[name](limit + 1))
    (problem,) = caught.value.problems
    assert problem.code == "too-many"
    assert f"{limit + 1:,} " in problem.message
    assert f" {limit:,} that are supported" in problem.message
    assert problem.hint


def test_the_line_of_what_is_too_much_is_told() -> None:
    text = (
        "name: site\ncloud: aws\ntiers: {ddc: [10.0.0.0/24]}\nexternal:\n  sql: ["
        + ", ".join(_addresses(4001))
        + "]"
    )
    with pytest.raises(InputError) as caught:
        Deployment.from_document(document.parse(text.encode(), "site.yaml"))
    assert str(caught.value).startswith(
        "site.yaml:5:3: external.sql.addresses: 4,001 prefixes are more than the 4,000 "
    )


def test_entries_of_own_catalogues_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CATALOG_ENTRIES", 3)
    entry = "  - {id: e%d, product: P, source: vda, destination: ddc, services: {protocol: tcp, ports: 1}}\n"
    for name, numbers in (("a", (0, 1)), ("b", (2, 3))):
        (tmp_path / f"{name}.yaml").write_text("entries:\n" + "".join(entry % number for number in numbers))
    (tmp_path / "site.yaml").write_text(
        "name: site\ncloud: aws\ntiers: {ddc: [10.0.0.0/24]}\ncatalogs: [a.yaml, b.yaml]\n"
    )
    with pytest.raises(InputError) as caught:
        compile_deployment(Deployment.load(tmp_path / "site.yaml"))
    (problem,) = caught.value.problems
    assert problem.code == "too-many"
    assert str(problem).startswith(f"{tmp_path / 'b.yaml'}:1:1: own catalogues have more than the 3 entries")


def test_own_catalogues_have_a_limit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CATALOG_BYTES", 2 * 1024 * 1024)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("entries: []\n#" + "x" * 1024 * 1024)
    with pytest.raises(InputError) as caught:
        load_catalog(tmp_path / "a.yaml", tmp_path / "b.yaml")
    said = f"{tmp_path / 'b.yaml'}:1:1: own catalogues have more than the 2 MiB that are supported in all"
    assert str(caught.value) == said


def _mesh(size: int) -> Deployment:
    ends = [f"t{number}" for number in range(size)]
    return Deployment(
        name="site",
        cloud="aws",
        tiers={end: {"roles": "user-device", "subnets": f"10.0.{n}.0/24"} for n, end in enumerate(ends)},
        flows=_flow(source=ends, destination=ends)["flows"],
    )


def test_connections_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS", 16)
    assert compile_deployment(_mesh(4))
    with pytest.raises(InputError) as caught:
        compile_deployment(_mesh(5))
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("too-many", ("flows", "f"))
    assert "more than 16 pairs of tiers and externals; flow `f` alone has 5 sources and 5 " in problem.message


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_rules_have_a_limit(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compilation = compile_deployment(_mesh(4).replace(cloud=cloud))
    count = sum(output.rules for output in render(compilation, cloud).outputs.values())
    # Azure counts the final deny of each direction as well.
    count += 8 if cloud == "azure" else 0
    monkeypatch.setattr(limits, "RULES", count)
    assert render(compilation, cloud)
    monkeypatch.setattr(limits, "RULES", count - 1)
    with pytest.raises(NetpolicyError) as caught:
        render(compilation, cloud)
    assert f"the network needs {count} rules; at most {count - 1} are supported" in str(caught.value)


def test_findings_beyond_what_helps_are_counted() -> None:
    findings = [
        Finding("tier-without-peers", f"t{n}", f"tier `t{n}` has no flow") for n in range(limits.SHOWN + 7)
    ]
    lines = list(finding_lines(findings))
    assert len(lines) == limits.SHOWN + 1
    assert lines[-1] == "note: and 7 more findings"


# What is no regular file must neither be waited for nor read.


def _refused(path: Path) -> str:
    """Compile a deployment in a process that must end, and return its one line."""
    command = [
        sys.executable,
        "-m",
        "citrix_netpolicy",
        "compile",
        str(path),
        "--target",
        "aws",
        "--out",
        "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("kind", ["fifo", "socket", "/dev/zero", "/dev/full"])
def test_what_is_no_regular_file_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif Path(kind).exists():
        path = Path(kind)
    else:
        pytest.skip(f"there is no {kind}")
    assert _refused(path) == f"error: {path}:1:1: this is not a regular file"


def test_combinations_of_addresses_and_ports_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    external = {
        f"e{n}": {"roles": "user-device", "addresses": [f"192.0.2.{m * 2}" for m in range(n, 9)]}
        for n in range(3)
    }
    flows = {
        f"f{n}": _flow(source=f"e{n}", services={"protocol": "tcp", "ports": [1, 3, 5]})["flows"]["f"]
        for n in range(3)
    }
    site = Deployment(**BASE | {"external": external, "flows": flows, "egress": "open"})
    # Each address combines with the three ranges of each peer that has it, beside what a controller needs.
    monkeypatch.setattr(limits, "CELLS", 100)
    compile_deployment(site)
    monkeypatch.setattr(limits, "SIDE_CELLS", 20)
    with pytest.raises(InputError) as caught:
        compile_deployment(site)
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("too-many", ("tiers", "ddc"))
    assert "in more than 20 ways" in problem.message
