"""Three published designs, each said without a borrowed role, and packets that must and must not pass.

The packets are written by hand from what the designs say; the judge below knows rules only.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from citrix_netpolicy import Catalog, Compilation, Deployment, Direction, compile_deployment
from citrix_netpolicy.inputs.starter import starter
from citrix_netpolicy.net import ALL, Prefix, Protocol, ServiceSet, ports
from citrix_netpolicy.policy import GroupReference
from citrix_netpolicy.syntax import document

EXAMPLES: Final = Path(__file__).parent.parent / "examples" / "terraform"
ANYBODY: Final = "203.0.113.77"


@cache
def compiled(name: str) -> Compilation:
    return compile_deployment(Deployment.load(EXAMPLES / name / "deployment.yaml"))


def passes(design: str, packet: str) -> bool:
    """Judge a packet such as `vda -> ddc: tcp 80`; an end is a tier, an external, or an address."""
    match = re.fullmatch(r"(\S+) -> (\S+): (tcp|udp) (\d+)", packet)
    assert match, packet
    source, destination, protocol, port = match.groups()
    service = ServiceSet.of(ports(Protocol(protocol), int(port)))
    compilation = compiled(design)
    return all(
        end not in compilation.deployment.tiers or _permits(compilation, end, way, peer, service)
        for end, way, peer in (
            (source, Direction.EGRESS, destination),
            (destination, Direction.INGRESS, source),
        )
    )


def _permits(compilation: Compilation, tier: str, way: Direction, peer: str, service: ServiceSet) -> bool:
    ends = compilation.deployment.ends
    address = ends[peer].prefixes[0] if peer in ends else Prefix.parse(peer)
    return any(
        service <= ServiceSet.of(rule.service)
        for rule in compilation.policy.group(tier).side(way)
        if rule.peer == GroupReference(peer)
        or (isinstance(rule.peer, Prefix) and rule.peer.overlaps(address))
    )


MUST: Final = {
    "shared-subnets": """
        vda -> cloud-connector: tcp 80
        cloud-connector -> vda: tcp 80
        cloud-connector -> vda: tcp 1494
        cloud-connector -> vda: tcp 2598
        cloud-connector -> cloud-connector: tcp 80
        cloud-connector -> 203.0.113.77: tcp 443
        vda -> directory: tcp 88
        vda -> directory: udp 53
        cloud-connector -> directory: tcp 389
        cloud-connector -> directory: udp 123
        bastion -> directory: tcp 445
        directory -> directory: tcp 135
        admin-workstation -> bastion: tcp 443
        bastion -> vda: tcp 3389
        bastion -> cloud-connector: tcp 3389
    """,
    "satellite-zones": """
        vda-west -> ddc-west: tcp 80
        ddc-west -> vda-west: tcp 80
        vda-west -> ddc-main: tcp 80
        ddc-main -> vda-west: tcp 80
        vda-north -> ddc-main: tcp 80
        ddc-west -> sql-main: tcp 1433
        ddc-north -> sql-main: tcp 1433
        ddc-main -> ddc-west: tcp 80
        ddc-north -> ddc-main: tcp 80
        ddc-west -> licences: tcp 27000
        ddc-north -> licences: tcp 7279
        store-west -> ddc-west: tcp 443
        adc-north -> store-north: tcp 443
        adc-north -> vda-north: tcp 1494
        adc-north -> ddc-north: tcp 443
        203.0.113.77 -> adc-west: tcp 443
        203.0.113.77 -> adc-north: udp 443
        vda-west -> directory-west: tcp 88
        vda-north -> directory-main: tcp 88
        vda-north -> directory-main: udp 53
        directory-west -> directory-main: tcp 389
        admin-workstation -> nsip-west: tcp 443
        admin-workstation -> ddc-main: tcp 443
    """,
    "resource-locations": """
        vda-ireland -> connector-ireland: tcp 80
        connector-ireland -> vda-ireland: tcp 80
        vda-virginia -> connector-virginia: tcp 80
        vda-tenant -> connector-tenant: tcp 80
        connector-ireland -> web-proxy: tcp 8080
        connector-tenant -> web-proxy: tcp 8080
        vda-ireland -> web-proxy: tcp 8080
        vda-ireland -> fas-ireland: tcp 80
        fas-ireland -> certificates: tcp 135
        fas-ireland -> certificates: tcp 50100
        fas-virginia -> directory: tcp 389
        vda-ireland -> directory: tcp 88
        vda-virginia -> directory: udp 53
        vda-tenant -> directory-tenant: tcp 88
    """,
}
MUST_NOT: Final = {
    "shared-subnets": """
        203.0.113.77 -> bastion: tcp 3389
        203.0.113.77 -> vda: tcp 1494
        vda -> vda: tcp 445
        vda -> cloud-connector: tcp 3389
        vda -> bastion: tcp 3389
        cloud-connector -> bastion: tcp 443
        admin-workstation -> vda: tcp 3389
        bastion -> vda: tcp 1494
        directory -> vda: tcp 445
        vda -> 203.0.113.77: tcp 443
    """,
    "satellite-zones": """
        vda-west -> ddc-north: tcp 80
        ddc-west -> ddc-north: tcp 80
        ddc-west -> vda-north: tcp 80
        vda-north -> directory-west: tcp 88
        vda-west -> directory-main: tcp 88
        adc-west -> vda-north: tcp 1494
        adc-main -> vda-west: tcp 1494
        store-west -> ddc-main: tcp 443
        vda-west -> sql-main: tcp 1433
        203.0.113.77 -> nsip-west: tcp 443
        203.0.113.77 -> nsip-north: tcp 22
        203.0.113.77 -> store-main: tcp 443
        203.0.113.77 -> vda-main: tcp 1494
        nsip-main -> nsip-west: udp 3003
        store-main -> store-west: tcp 8090
        vda-west -> 203.0.113.77: tcp 443
    """,
    "resource-locations": """
        vda-ireland -> connector-virginia: tcp 80
        vda-tenant -> connector-ireland: tcp 80
        connector-ireland -> vda-tenant: tcp 80
        connector-ireland -> vda-virginia: tcp 80
        vda-ireland -> fas-virginia: tcp 80
        vda-tenant -> directory: tcp 88
        vda-ireland -> directory-tenant: tcp 88
        connector-ireland -> 203.0.113.77: tcp 443
        vda-ireland -> 203.0.113.77: tcp 443
        203.0.113.77 -> vda-ireland: tcp 443
        vda-ireland -> web-proxy: tcp 443
    """,
}


def _packets(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, line.strip()) for name, lines in table.items() for line in lines.strip().splitlines()]


@pytest.mark.parametrize(("design", "packet"), _packets(MUST))
def test_what_must_pass_passes(design: str, packet: str) -> None:
    assert passes(design, packet)


@pytest.mark.parametrize(("design", "packet"), _packets(MUST_NOT))
def test_what_must_not_pass_does_not(design: str, packet: str) -> None:
    assert not passes(design, packet)


def test_satellites_have_no_rule_between_them() -> None:
    compilation = compiled("satellite-zones")
    places = {name: {str(place) for place in end.places} for name, end in compilation.deployment.ends.items()}
    for flow in compilation.resolution.flows:
        assert {"prod/west", "prod/north"} - (places[flow.source] | places[flow.destination])


@pytest.mark.parametrize("design", MUST)
def test_no_design_borrows_a_role_and_findings_are_few(design: str) -> None:
    compilation = compiled(design)
    for name, tier in compilation.deployment.tiers.items():
        group = compilation.policy.group(name)
        assert not tier.roles or group.side(Direction.INGRESS) or group.side(Direction.EGRESS)
        assert all(ServiceSet.of(rule.service) != ALL for rule in group.rules)
    assert not [finding for finding in compilation.findings if finding.severity == "error"]
    assert len(compilation.findings) <= 2


# Log-on on paper


STARTER: Final = "the file of `init`"


@pytest.mark.parametrize("name", [STARTER, *sorted(folder.name for folder in EXAMPLES.iterdir())])
def test_people_can_log_on(name: str) -> None:
    """Each Windows member reaches directory and names; each gateway its stores, tickets and hosts."""
    if name == STARTER:
        text = starter(Catalog.default().newest_edition).encode()
        compilation = compile_deployment(Deployment.from_document(document.parse(text, "deployment.yaml")))
        assert not [finding for finding in compilation.findings if finding.severity != "note"]
    else:
        compilation = compiled(name)
    deployment, flows = compilation.deployment, compilation.resolution.flows
    reached: dict[str, set[str]] = {}
    for flow in flows:
        reached.setdefault(flow.source, set()).add(flow.cause.id)
    members = {
        "storefront", "ddc", "cloud-connector", "director", "license-server", "vda", "pvs", "sql",
        "session-recording", "fas", "wem-server", "universal-print-server", "app-layering-agent",
    }  # fmt: skip
    roles = {role for end in deployment.ends.values() for role in end.roles}
    for tier_name, tier in deployment.tiers.items():
        reaches = reached.get(tier_name, set())
        if members.intersection(tier.roles):
            wanted = {"dns", "kerberos", "ldap", "time", "rpc-mapper", "rpc-dynamic", "smb"}
            assert {f"windows-member-{what}" for what in wanted} <= reaches, tier_name
        if "netscaler-snip" in tier.roles and "netscaler-vip" in roles:
            assert {"gateway-storefront", "gateway-sta"} <= reaches, tier_name
            assert {"gateway-hdx-ica", "gateway-hdx-tls"} & reaches, tier_name
        if "license-server" in roles and "ddc" in tier.roles:
            assert {"license-request", "license-checkout"} <= reaches, tier_name
