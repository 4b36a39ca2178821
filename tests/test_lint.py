"""Lint: each check finds its fault, and is silent on a sound site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from citrix_netpolicy import Catalog, Deployment, InputError, compile_deployment, lint
from citrix_netpolicy.findings import ACCEPTABLE, LOSSES
from citrix_netpolicy.lint import CHECKS
from citrix_netpolicy.omissions import RoleMissing
from citrix_netpolicy.syntax import document

SOUND: dict[str, Any] = {
    "name": "site",
    "cloud": "aws",
    "tiers": {
        "netscaler-vip": ["10.0.0.0/28"],
        # What has only a name is the matter of other tests.
        "netscaler-mgmt": {
            "subnets": ["10.0.0.16/28"],
            "features": {"adc-license-activation": False, "adc-cloud-failover": False},
        },
        "netscaler-snip": ["10.0.0.32/28"],
        "storefront": ["10.0.1.4"],
        "ddc": ["10.0.2.0/28"],
        "vda": ["10.0.3.0/24"],
        "sql": ["10.0.4.0/28"],
    },
    "external": {
        "user-device": ["0.0.0.0/0"],
        "admin-workstation": ["10.9.0.0/24"],
        "directory": {"roles": ["domain-controller", "dns"], "addresses": ["10.9.1.10"]},
        "license-server": ["10.9.1.11"],
    },
}


def findings(**changes: Any) -> dict[str, list[str]]:
    """The subjects of the findings of a site, by code."""
    policy = compile_deployment(Deployment(**{**SOUND, **changes}))
    found: dict[str, list[str]] = {}
    for finding in policy.findings:
        assert finding.message
        assert finding.hint or finding.severity == "note"
        found.setdefault(finding.code, []).append(finding.subject)
    return found


def without(*tiers: str) -> dict[str, Any]:
    return {name: subnets for name, subnets in SOUND["tiers"].items() if name not in tiers}


def test_a_sound_site_has_no_findings() -> None:
    assert findings() == {}


@pytest.mark.parametrize(
    ("absent", "roles"),
    [
        ("ddc", ["netscaler-vip", "storefront", "vda"]),
        ("netscaler-snip", ["netscaler-vip"]),
        ("sql", ["ddc"]),
    ],
)
def test_roles_that_cannot_work_together(absent: str, roles: list[str]) -> None:
    assert sorted(findings(tiers=without(absent))["role-cannot-work"]) == roles


def test_what_a_product_needs_while_it_is_off_is_no_finding() -> None:
    assert "role-cannot-work" not in findings(tiers=without("netscaler-snip"), features={"gateway": False})


def test_provisioning_needs_a_database_and_targets() -> None:
    tiers = {**without("sql", "ddc", "vda", "storefront"), "pvs": ["10.0.5.0/28"]}
    assert findings(tiers=tiers)["role-cannot-work"].count("pvs") == 2


def test_a_cloud_connector_takes_the_place_of_a_controller() -> None:
    tiers = {**without("ddc", "sql"), "cloud-connector": ["10.0.2.0/28"]}
    assert "role-cannot-work" not in findings(tiers=tiers)


def test_management_beside_the_gateway_is_open_to_the_world() -> None:
    roles = ["netscaler-vip", "netscaler-mgmt", "netscaler-snip"]
    tiers = {**without(*roles), "dmz": {"roles": roles, "subnets": ["10.0.0.0/26"]}}
    assert findings(tiers=tiers)["open-to-the-world"] == ["dmz"]


def test_all_that_is_not_meant_for_the_internet_is_named() -> None:
    roles = ["netscaler-vip", "netscaler-mgmt", "netscaler-snip"]
    dmz = {"roles": roles, "subnets": ["10.0.0.0/26"]}
    flows = {
        name: {
            "source": "user-device",
            "destination": "dmz",
            "services": {"protocol": "tcp", "ports": [443]},
            "reason": name,
        }
        for name in ("backup", "metrics")
    }
    compilation = compile_deployment(
        Deployment(**{**SOUND, "tiers": {**without(*roles), "dmz": dmz}, "flows": flows})
    )
    (finding,) = (
        one for one in compilation.findings if one.code == "open-to-the-world" and "tcp 443" in one.message
    )
    named = finding.message.rpartition(": ")[2].split(", ")
    assert {"flow:backup", "flow:metrics"} <= set(named)
    assert "user-gateway" not in named


def test_what_changes_destinations_known_by_name_has_an_effect() -> None:
    tiers = {**without("ddc", "sql"), "cloud-connector": ["10.0.2.0/28"]}
    exclude = [{"entry": "cloud-connector-citrix-cloud", "reason": "by proxy"}]
    assert "exclusion-without-effect" not in findings(tiers=tiers, exclude=exclude)
    assert "feature-without-effect" not in findings(
        tiers={**SOUND["tiers"]}, features={"waf-signatures": True}
    )


def test_what_somebody_waits_for_is_an_omission_and_what_cannot_work_a_finding() -> None:
    external = {name: end for name, end in SOUND["external"].items() if name != "license-server"}
    compilation = compile_deployment(Deployment(**{**SOUND, "external": external}, features={"sdwan": True}))
    omissions = [one for one in compilation.resolution.omissions if isinstance(one, RoleMissing)]
    assert ("license-server",) in [one.roles for one in omissions if one.waiting]
    (finding,) = [one for one in compilation.findings if one.code == "role-cannot-work"]
    assert "`ddc` but not `license-server`" in finding.message


def _with(kind: str, **ends: Any) -> dict[str, Any]:
    return {kind: {**SOUND[kind], **ends}}


PRINT_SERVER = {
    "roles": ["universal-print-server"],
    "subnets": ["10.0.9.0/28"],
    "features": {"universal-print": False},
}
PRINT = {"print": PRINT_SERVER}
MOBILE = {"vda": {"roles": ["vda", "xenmobile-server"], "subnets": ["10.0.3.0/24"]}}
MEMBER = {"host": {"roles": [], "subnets": ["10.0.9.0/28"], "domain-member": True}}
NO_DNS = {"directory": {"roles": ["domain-controller"], "addresses": ["10.9.1.1"]}}
CONTAINER = {"container": {"roles": ["netscaler-cpx"], "addresses": ["10.9.2.1"]}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"external": {"user-device": ["10.0.0.0/9"]}}, {"no-directory", "console-without-administrators"}),
        (_with("external", **NO_DNS), {"no-name-server"}),
        (_with("external", **CONTAINER), {"external-without-peers"}),
        ({"features": {"sql-named-instance": True}}, {"found-port-shut"}),
        ({"features": {"sql-named-instance": True}, "parameters": {"sql-port": 14330}}, set()),
        ({"features": {"ad-member-dynamic-rpc": False}}, {"found-port-shut"}),
        (_with("tiers", storefront=["10.0.1.0/28"]), {"parameter-unset"}),
        (_with("tiers", **PRINT), {"idle-role"}),
        (_with("tiers", **MOBILE), {"idle-role", "console-without-administrators"}),
        (_with("tiers", **MEMBER), set()),
    ],
)
def test_what_cannot_work_is_found(changes: dict[str, Any], expected: set[str]) -> None:
    found = findings(**changes)
    assert expected <= found.keys()
    if expected:
        return
    assert not found


def test_findings_are_accepted_by_code_and_subject() -> None:
    tiers = {**SOUND["tiers"], **PRINT}
    accept = [{"finding": "idle-role", "subject": "print", "reason": "Own flows will come"}]
    assert findings(tiers=tiers) == {"idle-role": ["print"]}
    assert findings(tiers=tiers, accept=accept) == {}
    compilation = compile_deployment(Deployment(**{**SOUND, "tiers": tiers, "accept": accept}))
    assert [finding.subject for finding in compilation.accepted] == ["print"]
    accept[0]["subject"] = "prnt"
    assert findings(tiers=tiers, accept=accept) == {
        "idle-role": ["print"],
        "acceptance-without-effect": ["prnt"],
    }


def test_what_cannot_be_accepted_is_refused() -> None:
    accept = [{"finding": "atach-first", "reason": "No"}]
    with pytest.raises(InputError, match="is not a finding that can be accepted"):
        Deployment(**{**SOUND, "accept": accept})


def test_all_that_the_checks_find_can_be_accepted_but_what_is_about_accepting() -> None:
    folder = Path(lint.__file__).parent
    codes = {
        match[1]
        for file in folder.glob("*.py")
        for match in re.finditer(r'Finding\(\s*f?"([^"]+)"', file.read_text(encoding="utf-8"))
    }
    assert codes - {"{kind}-expired", "acceptance-without-effect"} == ACCEPTABLE - LOSSES


def test_administrators_everywhere_are_found() -> None:
    external = {**SOUND["external"], "admin-workstation": ["0.0.0.0/0"]}
    found = findings(external=external)
    assert found["not-for-the-internet"] == ["admin-workstation"]
    assert "open-to-the-world" not in found


def test_any_address_of_ipv6_is_the_world_too() -> None:
    tiers = {**without("netscaler-mgmt"), "netscaler-mgmt": ["2001:db8::/64"]}
    external = {**SOUND["external"], "admin-workstation": ["::/0"]}
    assert findings(tiers=tiers, external=external)["not-for-the-internet"] == ["admin-workstation"]


def test_open_egress_is_no_finding_of_names() -> None:
    tiers = {**without("ddc", "sql"), "vda": {"subnets": ["10.0.3.0/24"], "names": "open"}}
    tiers["cloud-connector"] = ["10.0.2.0/28"]
    features = {"rendezvous": True, "gateway-service": True}
    assert "egress-to-any-address" in findings(tiers=tiers, features=features)
    assert "egress-to-any-address" not in findings(tiers=tiers, features=features, egress="open")


def test_people_may_reach_the_gateway_from_everywhere_but_not_session_hosts() -> None:
    found = findings(features={"direct-hdx": True})
    assert found["not-for-the-internet"] == ["user-device"]
    assert "open-to-the-world" not in found
    people = {
        **SOUND["external"],
        "user-device": {"addresses": ["0.0.0.0/0"], "features": {"direct-hdx": True}},
    }
    assert set(findings(external=people)["open-to-the-world"]) == {"storefront", "vda"}


def test_a_feature_that_changes_nothing() -> None:
    found = findings(features={"html5": True, "tacacs-auth": True, "edt": True})
    assert found == {"feature-without-effect": ["tacacs-auth"]}


@pytest.mark.parametrize("state", [True, False])
def test_an_idle_feature_in_the_state_that_it_has_anyway_is_no_finding(state: bool) -> None:
    catalog = Catalog.default()
    alike = {
        name: state
        for name, feature in catalog.features.items()
        if feature.default is state and not feature.roles
    }
    assert len(alike) > 5
    assert findings(features=alike) == {}


def test_a_default_that_hangs_on_a_role_counts_as_it_is_in_this_site() -> None:
    # The site has no WEM server, so its feature is off unless somebody turns it on, for nothing.
    assert findings(features={"wem": False}) == {}
    assert findings(features={"wem": True}) == {"feature-without-effect": ["wem"]}


def test_a_port_that_another_tier_listens_on_is_free() -> None:
    # 2598 is session reliability on session hosts; the XML service is on the controllers.
    assert "port-taken" not in findings(parameters={"xml-service-port": 2598})


def test_a_parameter_that_changes_nothing() -> None:
    found = findings(parameters={"xml-service-port": 8080, "pvs-soap-ports": "54400-54402"})
    assert found == {"parameter-without-effect": ["pvs-soap-ports"]}


def test_a_port_moved_to_where_another_service_listens() -> None:
    policy = compile_deployment(Deployment(**{**SOUND, "parameters": {"xml-service-port": 9095}}))
    (first, *_) = [finding for finding in policy.findings if finding.code == "port-taken"]
    assert first.message == (
        "`xml-service-port` moves `gateway-sta` to tcp 9095, "
        "where `ddc-peer-orchestration` listens on tier `ddc`"
    )
    # IIS shares these between sites by name and path.
    assert "port-taken" not in findings(parameters={"xml-service-port": 443})


def test_an_exclusion_of_what_gives_nothing_anyway() -> None:
    exclude = [
        {"entry": "ddc-vcenter", "reason": "no vSphere"},
        {"entry": "ddc-peer", "reason": "one controller"},
    ]
    assert findings(exclude=exclude) == {"exclusion-without-effect": ["ddc-vcenter"]}


def test_each_of_two_idle_exclusions_is_found() -> None:
    exclude = [
        {"entry": "ddc-vcenter", "reason": "no vSphere"},
        {"entry": "pvs-peer", "reason": "no provisioning"},
    ]
    assert findings(exclude=exclude) == {"exclusion-without-effect": ["ddc-vcenter", "pvs-peer"]}


def test_a_flow_of_the_site_that_gives_nothing() -> None:
    services = [{"protocol": "tcp", "ports": [9182]}]
    flow = {"source": "pvs", "destination": "vda", "services": services, "reason": "metrics"}
    assert findings(flows={"metrics": flow}) == {"flow-without-effect": ["metrics"]}


def test_a_tier_without_peers() -> None:
    found = findings(tiers={**SOUND["tiers"], "netscaler-lom": ["10.0.9.0/28"]})
    assert found == {"tier-without-peers": ["netscaler-lom"]}


def test_egress_for_names_is_found_with_what_it_is_for() -> None:
    tiers = {**without("ddc", "sql"), "vda": {"subnets": ["10.0.3.0/24"], "names": "open"}}
    tiers["cloud-connector"] = ["10.0.2.0/28"]
    features = {"rendezvous": True, "gateway-service": True}
    policy = compile_deployment(Deployment(**{**SOUND, "tiers": tiers, "features": features}))
    messages = [finding.message for finding in policy.findings if finding.code == "egress-to-any-address"]
    assert messages
    assert all(message.startswith("tier `vda` may open ") for message in messages)
    assert any("*.nssvc.net" in message for message in messages)


def _two_networks(
    *roles: str, features: dict[str, bool] | None = None, flows: dict[str, Any] | None = None, **more: Any
) -> Deployment:
    """Two networks with the same roles in each, every tier named after its network."""
    tiers = {
        f"{role}-{network}": {"roles": [role], "network": network, "subnets": [f"10.{n}.{m}.0/24"], **more}
        for n, network in enumerate(("east", "west"))
        for m, role in enumerate(roles)
    }
    networks = {"east": {"cloud": "aws"}, "west": {"cloud": "aws"}}
    external = {"admin-workstation": ["0.0.0.0/0"]}
    return Deployment(
        name="site",
        networks=networks,
        tiers=tiers,
        external=external,
        features=features or {},
        flows=flows or {},
    )


def _subjects(deployment: Deployment, code: str) -> set[str]:
    return {finding.subject for finding in compile_deployment(deployment).findings if finding.code == code}


def test_tiers_of_every_network_are_looked_at() -> None:
    flow = {"source": "admin-workstation", "destination": ["netscaler-mgmt", "ddc"], "reason": "All"}
    opened = {"all": {**flow, "services": {"protocol": "tcp", "ports": 22}}}
    assert _subjects(_two_networks("netscaler-mgmt", "ddc", flows=opened), "open-to-the-world") == {
        *("netscaler-mgmt-east", "netscaler-mgmt-west", "ddc-east", "ddc-west")
    }
    assert _subjects(_two_networks("netscaler-lom"), "tier-without-peers") == {
        "netscaler-lom-east",
        "netscaler-lom-west",
    }
    named = _two_networks(*("vda", "cloud-connector"), features={"rendezvous": True}, names="open")
    assert _subjects(named, "egress-to-any-address") == set(named.tiers)


def test_every_finding_names_its_line() -> None:
    text = """\
name: site
cloud: aws
tiers:
  netscaler-lom: [10.0.0.0/28]
  netscaler-mgmt: [10.0.1.0/28]
  brokers: {roles: [ddc], subnets: [10.0.2.0/28]}
  cloud-connector: {subnets: [10.0.3.0/28], names: open}
  storefront: [10.0.4.0/28]
external: {admin-workstation: [0.0.0.0/0]}
features:
  edt: true
  tacacs-auth: true
parameters:
  xml-service-port: 9095
  pvs-soap-ports: 54400
flows:
  metrics: {source: pvs, destination: ddc, services: {protocol: tcp, ports: 1}, reason: Metrics}
  shell:
    {source: admin-workstation, destination: brokers, services: {protocol: tcp, ports: 22}, reason: Shell}
exclude:
  - {entry: ddc-peer, reason: one controller}
  - {entry: ddc-vcenter, reason: none}
"""
    compilation = compile_deployment(Deployment.from_document(document.parse(text.encode(), "site.yaml")))
    places: dict[str, set[tuple[str, int]]] = {}
    for finding in compilation.findings:
        lines = places.setdefault(finding.code, set())
        lines |= {(finding.subject, mark.line) for mark in finding.locations}
    assert places.pop("no-directory") == {("main", 6)}
    assert places.pop("idle-role", set()) == set()
    assert {code for code, lines in places.items() if not lines} <= {"parameter-unset"}
    places.pop("parameter-unset", None)
    assert places.pop("console-without-administrators") == {("main", 5)}
    assert places.pop("role-cannot-work") >= {("ddc", 6)}
    assert places == {
        "open-to-the-world": {("brokers", 6)},
        "not-for-the-internet": {("admin-workstation", 9)},
        "names-not-reached": {("netscaler-mgmt", 5)},
        "egress-to-any-address": {("cloud-connector", 7)},
        "feature-without-effect": {("tacacs-auth", 12)},
        "port-taken": {("xml-service-port", 14)},
        "parameter-without-effect": {("pvs-soap-ports", 15)},
        "flow-without-effect": {("metrics", 17)},
        "exclusion-without-effect": {("ddc-vcenter", 22)},
        "tier-without-peers": {("netscaler-lom", 4)},
    }


def test_each_check_is_listed_once() -> None:
    assert len(set(CHECKS)) == len(CHECKS)
