"""Destinations that have only a name, and who is a member of the domain."""

from __future__ import annotations

import re
from typing import Any

import pytest

from citrix_netpolicy import Compilation, Deployment, Direction, InputError, compile_deployment
from citrix_netpolicy.net import Prefix

SITE: dict[str, Any] = {
    "name": "site",
    "cloud": "azure",
    "tiers": {"cloud-connector": ["10.0.1.0/28"], "vda": ["10.0.2.0/24"]},
    "external": {
        "directory": {"roles": ["domain-controller", "dns"], "addresses": ["10.9.0.10"]},
        "web-proxy": {"roles": [], "addresses": ["10.9.0.30"]},
    },
}
PROXY = {"through": "proxy", "end": "web-proxy", "port": 8080}
ANY = Prefix.parse("0.0.0.0/0")


def _compiled(**changes: Any) -> Compilation:
    return compile_deployment(Deployment(**{**SITE, **changes}))


def _opened(compilation: Compilation, tier: str, prefix: str) -> set[str]:
    rules = compilation.policy.group(tier).side(Direction.EGRESS)
    return {str(rule.service) for rule in rules if rule.peer == Prefix.parse(prefix)}


def _codes(compilation: Compilation) -> dict[str, str]:
    return {
        finding.code: finding.severity
        for finding in compilation.findings
        if "cloud-connector" in finding.subject
    }


def test_by_default_the_group_stays_shut_and_the_run_says_who_does_not_work() -> None:
    compilation = _compiled()
    assert not _opened(compilation, "cloud-connector", "0.0.0.0/0")
    assert _codes(compilation)["names-not-reached"] == "warning"


@pytest.mark.parametrize(("names", "severity"), [("open", "warning"), ({"through": "firewall"}, "note")])
@pytest.mark.parametrize("is_of_tier", [False, True])
def test_open_and_a_firewall_open_the_ports_to_any_address(
    names: Any, severity: str, *, is_of_tier: bool
) -> None:
    tiers = {**SITE["tiers"], "cloud-connector": {"subnets": ["10.0.1.0/28"], "names": names}}
    compilation = _compiled(tiers=tiers) if is_of_tier else _compiled(names=names)
    assert _opened(compilation, "cloud-connector", "0.0.0.0/0") == {"tcp 80", "tcp 443"}
    found = [finding for finding in compilation.findings if finding.code == "egress-to-any-address"]
    assert [finding.severity for finding in found if finding.subject == "cloud-connector"] == [severity]
    assert "names-not-reached" not in _codes(compilation)


def test_a_proxy_is_one_flow_and_nothing_else_leaves() -> None:
    compilation = _compiled(names=PROXY)
    assert not _opened(compilation, "cloud-connector", "0.0.0.0/0")
    assert _opened(compilation, "cloud-connector", "10.9.0.30") == {"tcp 8080"}
    assert "names-not-reached" not in _codes(compilation)
    assert "external-without-peers" not in {finding.code for finding in compilation.findings}
    (flow,) = [flow for flow in compilation.resolution.flows if flow.destination == "web-proxy"]
    assert (flow.source, str(flow.services), flow.cause.kind) == ("cloud-connector", "tcp 8080", "setting")


@pytest.mark.parametrize(
    "way",
    [
        {"addresses": ["10.9.0.31"]},
        {"service-tag": "AzureCloud"},
        {"addresses": ["10.9.0.31", "2001:db8::1"]},
    ],
)
def test_an_external_in_the_role_of_a_name_is_an_ordinary_destination(way: dict[str, Any]) -> None:
    external = {**SITE["external"], "cloud": {"roles": ["ext-citrix-cloud"], **way}}
    compilation = _compiled(external=external)
    flows = {
        (flow.source, str(flow.services))
        for flow in compilation.resolution.flows
        if (flow.destination, flow.cause.id) == ("cloud", "cloud-connector-citrix-cloud")
    }
    assert flows == {("cloud-connector", "tcp 443")}
    named = {(item.source, item.cause.id) for item in compilation.resolution.named}
    assert ("cloud-connector", "cloud-connector-citrix-cloud") not in named
    assert "names-not-reached" not in _codes(compilation)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"through": "proxy", "end": "web-proxy"}, "a proxy needs `end` and `port`"),
        ({"through": "firewall", "port": 80}, "a firewall has none"),
        ({"through": "proxy", "end": "web-poxy", "port": 8080}, "unknown tier or external `web-poxy`"),
        ("closed", "names"),
    ],
)
def test_what_lets_names_through_is_checked(names: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Deployment(**{**SITE, "names": names})


def test_members_of_the_domain_get_their_baseline_with_the_first_domain_controller() -> None:
    def members(**changes: Any) -> set[str]:
        flows = _compiled(**changes).resolution.flows
        return {flow.source for flow in flows if flow.cause.id == "windows-member-kerberos"}

    assert members() == {"cloud-connector", "vda"}
    jump = {"roles": [], "subnets": ["10.0.3.0/28"]}
    tiers = {
        **SITE["tiers"],
        "jump": {**jump, "domain-member": True},
        "linux": {**jump, "subnets": ["10.0.4.0/28"]},
    }
    tiers["vda"] = {"subnets": ["10.0.2.0/24"], "domain-member": False}
    assert members(tiers=tiers) == {"cloud-connector", "jump"}
    assert members(features={"ad-member-baseline": False}) == set()
    external = {name: end for name, end in SITE["external"].items() if name != "directory"}
    assert members(external=external) == set()


def test_domain_controllers_that_are_a_tier_replicate_and_find_names_and_time() -> None:
    tiers = {**SITE["tiers"], "dc": {"roles": ["domain-controller"], "subnets": ["10.0.5.0/28"]}}
    external = {**SITE["external"], "time": {"roles": ["ntp"], "addresses": ["10.9.0.40"]}}
    flows = _compiled(tiers=tiers, external=external).resolution.flows
    found = {(flow.cause.id, flow.destination) for flow in flows if flow.source == "dc"}
    assert found >= {
        ("domain-controller-peer", "dc"),
        ("domain-controller-peer", "directory"),
        ("domain-controller-dns", "directory"),
        ("domain-controller-time", "time"),
    }


def test_flows_of_the_sites_own_go_to_names() -> None:
    flow = {
        "source": "vda",
        "names": ["*.example.com"],
        "services": {"protocol": "tcp", "ports": 8443},
        "reason": "App",
    }
    shut = _compiled(flows={"app": flow})
    assert not _opened(shut, "vda", "0.0.0.0/0")
    assert "flow-without-effect" in {finding.code for finding in shut.findings}
    assert [item.names for item in shut.resolution.named if item.cause.id == "flow:app"] == [
        ("*.example.com",)
    ]
    assert _opened(_compiled(flows={"app": flow}, names="open"), "vda", "0.0.0.0/0") == {"tcp 8443"}
    proxied = _compiled(flows={"app": flow}, names=PROXY)
    assert _opened(proxied, "vda", "10.9.0.30") == {"tcp 8080"}
    assert "flow-without-effect" not in {finding.code for finding in proxied.findings}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"destination": "directory"}, "a flow needs a `destination`, or `names`"),
        ({"names": []}, "expected at least one value"),
        ({"names": "example"}, "is not a valid DNS name"),
        ({"names": "*.exa mple.com"}, "is not a valid DNS name"),
        ({"names": "a.*.com"}, "is not a valid DNS name"),
    ],
)
def test_a_flow_to_names_is_checked(changes: dict[str, Any], said: str) -> None:
    flow = {
        "source": "vda",
        "names": "example.com",
        "services": {"protocol": "tcp", "ports": 1},
        "reason": "r",
    }
    with pytest.raises(InputError, match=re.escape(said)):
        _compiled(flows={"app": {**flow, **changes}})
