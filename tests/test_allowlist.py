"""Destinations known by name: listed for a firewall, opened only where the site says so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from citrix_netpolicy import Compilation, Deployment, Direction, compile_deployment
from citrix_netpolicy.net import Prefix, Protocol, ServiceSet, ports
from citrix_netpolicy.omissions import Treated
from citrix_netpolicy.policy import GroupKey
from citrix_netpolicy.reports.allowlist import JSON_FILE, TABLE_FILE, allowlist_files

if TYPE_CHECKING:
    from citrix_netpolicy.resolve import NamedDestination

SITE: dict[str, Any] = {
    "name": "site",
    "cloud": "aws",
    "tiers": {"vda": ["10.0.0.0/24"], "cloud-connector": ["10.0.1.0/28"]},
    "features": {"rendezvous": True, "gateway-service": True},
}


def compiled(**changes: Any) -> Compilation:
    return compile_deployment(Deployment(**{**SITE, **changes}))


def rows(found: Compilation, network: str = "main") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(allowlist_files(found, network)[JSON_FILE])["destinations"]
    return listed


def with_named(named: NamedDestination) -> Compilation:
    found = compiled()
    return replace(found, resolution=replace(found.resolution, named=(named,)))


def to_any_address(found: Compilation, tier: str) -> list[str]:
    rules = found.policy.group(tier).side(Direction.EGRESS)
    return [str(r.service) for r in rules if isinstance(r.peer, Prefix) and r.peer.length == 0]


def test_every_name_is_listed_with_port_source_and_citation() -> None:
    listed = [row for row in rows(compiled()) if row["source"] == "vda" and row["name"] == "*.nssvc.net"]
    told = [(row["protocol"], row["ports"], row["roles"], row["entry"]) for row in listed]
    assert told == [
        ("tcp", [443, 443], ["vda"], "rendezvous-tcp"),
        ("udp", [443, 443], ["vda"], "rendezvous-edt"),
    ]
    assert all(any("L69" in c or "L79" in c for c in row["citations"]) for row in listed)
    assert all(row["purpose"] for row in listed)


def test_no_address_is_opened_for_a_name_without_consent() -> None:
    assert to_any_address(compiled(), "vda") == []
    assert to_any_address(compiled(), "cloud-connector") == []
    reasons = {omission.entry: omission for omission in compiled().resolution.omissions}
    omission = reasons["rendezvous-tcp"]
    assert isinstance(omission, Treated)
    assert omission.treatment == "name"


def test_consent_opens_the_ports_of_that_tier_only() -> None:
    tiers = {**SITE["tiers"], "vda": {"subnets": ["10.0.0.0/24"], "names": "open"}}
    found = compiled(tiers=tiers)
    assert to_any_address(found, "vda") == ["tcp 443", "tcp 443", "udp 443", "udp 443"]
    assert to_any_address(found, "cloud-connector") == []
    assert "rendezvous-tcp" not in {omission.entry for omission in found.resolution.omissions}
    assert rows(found) == rows(compiled())


def test_a_feature_that_is_off_lists_nothing() -> None:
    off = compiled(features={"citrix-cloud": False})
    assert rows(off) == []
    assert "This deployment reaches no destination by name." in allowlist_files(off, "main")[TABLE_FILE]


def test_a_name_that_the_source_does_not_print_is_listed_as_unknown() -> None:
    tiers = {"netscaler-mgmt": ["10.0.0.0/28"], "vda": ["10.0.1.0/24"]}
    found = compiled(tiers=tiers, features={"waf-signatures": True}, edition="2026.11")
    assert [(row["name"], row["entry"]) for row in rows(found)] == [(None, "adc-waf-signatures")]
    assert "(not printed in the source)" in allowlist_files(found, "main")[TABLE_FILE]


def test_a_range_of_ports_is_listed_from_first_to_last() -> None:
    named = compiled().resolution.named[0]
    ranged = replace(named, services=ServiceSet.of(ports(Protocol.TCP, 8000, 8010)))
    found = with_named(ranged)
    assert {tuple(row["ports"]) for row in rows(found)} == {(8000, 8010)}
    assert "tcp 8000-8010" in allowlist_files(found, "main")[TABLE_FILE]


def test_each_service_of_a_destination_is_a_row() -> None:
    services = ServiceSet.of(ports(Protocol.TCP, 443), ports(Protocol.UDP, 443), ports(Protocol.TCP, 80, 81))
    named = replace(compiled().resolution.named[0], names=("a.example", "b.example"), services=services)
    found = with_named(named)
    assert [(row["name"], row["protocol"], row["ports"]) for row in rows(found)] == [
        (name, *service)
        for name in ("a.example", "b.example")
        for service in (("tcp", [80, 81]), ("tcp", [443, 443]), ("udp", [443, 443]))
    ]
    lines = allowlist_files(found, "main")[TABLE_FILE].splitlines()
    assert [line.split(" | ")[1] for line in lines if "example" in line] == [
        *("tcp 80-81", "tcp 443", "udp 443") * 2
    ]


def test_every_name_of_an_entry_is_listed() -> None:
    named = replace(compiled().resolution.named[0], names=("a.example", "b.example"))
    assert {row["name"] for row in rows(with_named(named))} == {"a.example", "b.example"}


def test_a_network_lists_its_own_tiers() -> None:
    tiers = {
        "vda": {"network": "a", "subnets": ["10.0.0.0/24"]},
        "cloud-connector": {"network": "b", "subnets": ["10.1.0.0/28"]},
    }
    networks = {"a": {"cloud": "aws"}, "b": {"cloud": "aws"}}
    found = compiled(cloud=None, networks=networks, tiers=tiers)
    assert {row["source"] for row in rows(found, "a")} == {"vda"}
    assert {row["source"] for row in rows(found, "b")} == {"cloud-connector"}
    assert json.loads(allowlist_files(found, "b")[JSON_FILE])["network"] == "b"


def test_a_network_has_only_its_own_groups() -> None:
    tiers = {
        "vda": {"network": "a", "subnets": ["10.0.0.0/24"]},
        "cloud-connector": {"network": "b", "subnets": ["10.1.0.0/28"]},
    }
    networks = {"a": {"cloud": "aws"}, "b": {"cloud": "aws"}}
    part = compiled(cloud=None, networks=networks, tiers=tiers).policy.in_network("a")
    assert [group.key for group in part.groups] == [GroupKey("a", "vda")]
    assert part.rule_count == sum(len(group.rules) for group in part.groups)


def test_a_protocol_without_ports_is_listed_without_ports() -> None:
    services = [{"protocol": "esp"}, {"protocol": 89}, {"protocol": "icmp", "type": 8}, {"protocol": "icmp"}]
    flow = {"source": "vda", "names": ["vpn.example.com"], "services": services[:3], "reason": "A tunnel"}
    found = compiled(
        flows={"tunnel": flow, "ping": {**flow, "names": ["all.example.com"], "services": services[3:]}}
    )
    listed = [row for row in rows(found) if row["entry"] in ("flow:tunnel", "flow:ping")]
    numbers = ("protocol", "ports", "type", "code")
    assert [{key: row[key] for key in numbers if key in row} for row in listed] == [
        {"protocol": "icmp", "type": None, "code": None},
        {"protocol": "icmp", "type": 8, "code": None},
        {"protocol": "esp"},
        {"protocol": "ip 89"},
    ]
    table = allowlist_files(found, "main")[TABLE_FILE]
    for words in ("| icmp all |", "| icmp 8/\\* |", "| ip 89 |", "| esp |"):
        assert words in table
