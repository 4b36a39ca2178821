"""What stands in front of a tier: clients reach the ADC, the ADC reaches and watches the tier."""

from __future__ import annotations

from typing import Any

import pytest

from citrix_netpolicy import Compilation, Deployment, Direction, InputError, compile_deployment
from citrix_netpolicy.net import Prefix
from citrix_netpolicy.omissions import Fronted, NotBalanced
from citrix_netpolicy.policy import GroupReference, ServiceTag

SITE: dict[str, Any] = {
    "name": "site",
    "cloud": "aws",
    "tiers": {
        "vip": {"roles": ["netscaler-vip"], "subnets": ["10.0.0.0/28"]},
        "snip": {"roles": ["netscaler-snip"], "subnets": ["10.0.0.16/28"]},
        "nsip": {"roles": ["netscaler-mgmt"], "subnets": ["10.0.0.32/28"]},
        "storefront": {"subnets": ["10.0.1.0/28"], "behind": ["vip", "snip", "nsip"]},
        "ddc": ["10.0.2.0/28"],
        "vda": ["10.0.3.0/24"],
    },
    "external": {"office": {"roles": ["user-device"], "addresses": ["10.9.0.0/16"]}},
    "features": {"direct-hdx": True, "gateway": False, "on-prem-licensing": False},
}


def _compiled(**changes: Any) -> Compilation:
    return compile_deployment(Deployment(**{**SITE, **changes}))


def _tiers(**tiers: Any) -> dict[str, Any]:
    return {"tiers": {**SITE["tiers"], **tiers}}


def _flows(compilation: Compilation, *entries: str) -> set[tuple[str, str, str]]:
    return {
        (flow.source, flow.destination, str(flow.services))
        for flow in compilation.resolution.flows
        if flow.cause.id in entries
    }


def test_clients_reach_the_vip_the_snip_reaches_the_stores_and_monitors_leave_from_both() -> None:
    compilation = _compiled()
    assert _flows(compilation, "user-storefront") == {
        ("office", "vip", "tcp 443"),
        ("snip", "storefront", "tcp 443"),
    }
    assert _flows(compilation, "adc-storefront-monitor") == {
        ("snip", "storefront", "tcp 8000"),
        ("nsip", "storefront", "tcp 8000"),
    }
    assert Fronted("user-storefront", "office", "storefront") in compilation.resolution.omissions


def test_without_an_adc_in_front_nothing_changes() -> None:
    compilation = _compiled(**_tiers(storefront=["10.0.1.0/28"]))
    assert _flows(compilation, "user-storefront") == {("office", "storefront", "tcp 443")}
    assert not _flows(compilation, "adc-storefront-monitor")
    assert any(isinstance(one, NotBalanced) for one in compilation.resolution.omissions)


def test_what_is_not_balanced_in_practice_stays_direct() -> None:
    assert _flows(_compiled(), "storefront-xml") == {("storefront", "ddc", "tcp 443")}
    behind = {"subnets": ["10.0.3.0/24"], "behind": ["vip", "snip"]}
    assert _flows(_compiled(**_tiers(vda=behind)), "vda-ddc") == {("vda", "ddc", "tcp 80")}


def test_scripted_monitors_leave_from_the_management_address() -> None:
    compilation = _compiled(**_tiers(ddc={"subnets": ["10.0.2.0/28"], "behind": ["vip", "snip", "nsip"]}))
    assert _flows(compilation, "storefront-xml") == {
        ("storefront", "vip", "tcp 443"),
        ("snip", "ddc", "tcp 443"),
        ("nsip", "ddc", "tcp 443"),
    }


def test_services_of_udp_are_watched_by_echo() -> None:
    dns = {"roles": ["dns"], "subnets": ["10.0.5.0/28"], "behind": ["vip", "snip"]}
    dc = {"roles": ["domain-controller"], "subnets": ["10.0.6.0/28"]}
    flows = _flows(_compiled(**_tiers(names=dns, dc=dc)), "windows-member-dns")
    assert ("snip", "names", "tcp 53, udp 53") in flows
    assert ("snip", "names", "icmp 8/*") in flows
    assert ("vda", "vip", "tcp 53, udp 53") in flows
    assert not [flow for flow in flows if flow[:2] == ("vda", "names")]


def test_clients_may_keep_their_own_way() -> None:
    behind = {"end": ["vip", "snip"], "also-direct": True}
    compilation = _compiled(**_tiers(storefront={"subnets": ["10.0.1.0/28"], "behind": behind}))
    assert ("office", "storefront", "tcp 443") in _flows(compilation, "user-storefront")
    assert ("office", "vip", "tcp 443") in _flows(compilation, "user-storefront")


def test_entries_say_what_goes_through() -> None:
    behind = {"end": ["vip", "snip"], "entries": ["vda-ddc"]}
    compilation = _compiled(**_tiers(ddc={"subnets": ["10.0.2.0/28"], "behind": behind}))
    assert _flows(compilation, "vda-ddc") == {("vda", "vip", "tcp 80"), ("snip", "ddc", "tcp 80")}
    assert _flows(compilation, "storefront-xml") == {("storefront", "ddc", "tcp 443")}


# Balancers of the cloud


def _peers(compilation: Compilation, tier: str, way: Direction) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rule in compilation.policy.group(tier).side(way):
        found.setdefault(str(rule.peer), set()).add(str(rule.service))
    return found


def test_the_front_of_a_balancer_stands_beside_the_group() -> None:
    behind = {"addresses": ["10.0.9.4"], "probes": [8080], "keeps-source": True}
    compilation = _compiled(**_tiers(ddc={"subnets": ["10.0.2.0/28"], "behind": behind}))
    egress = _peers(compilation, "storefront", Direction.EGRESS)
    assert egress["10.0.9.4/32"] == {"tcp 443"}
    assert "tcp 443" in egress["ddc"]
    ingress = compilation.policy.group("ddc").side(Direction.INGRESS)
    assert GroupReference("storefront") in {rule.peer for rule in ingress}
    probes = [rule for rule in ingress if rule.peer == Prefix.parse("10.0.9.4")]
    assert [str(rule.service) for rule in probes] == ["tcp 8080"]


def test_a_balancer_that_hides_its_clients_is_the_source() -> None:
    compilation = _compiled(**_tiers(ddc={"subnets": ["10.0.2.0/28"], "behind": {"addresses": ["10.0.9.4"]}}))
    assert _flows(compilation, "storefront-xml") == {
        ("storefront", "front of ddc", "tcp 443"),
        ("front of ddc", "ddc", "tcp 443"),
    }
    assert "storefront" not in _peers(compilation, "ddc", Direction.INGRESS)


def test_in_azure_clients_are_seen_and_probes_come_from_the_platform() -> None:
    vip = {"roles": ["netscaler-vip"], "subnets": ["10.0.0.0/28"], "behind": {"probes": [9000]}}
    compilation = _compiled(cloud="azure", **_tiers(vip=vip))
    rules = compilation.policy.group("vip").side(Direction.INGRESS)
    assert [str(rule.service) for rule in rules if rule.peer == ServiceTag("AzureLoadBalancer")] == [
        "tcp 9000"
    ]
    behind = {"subnets": ["10.0.2.0/28"], "behind": {"addresses": ["10.0.9.4"]}}
    flows = _flows(_compiled(cloud="azure", **_tiers(ddc=behind)), "storefront-xml")
    assert flows == {("storefront", "front of ddc", "tcp 443"), ("storefront", "ddc", "tcp 443")}


def test_a_pair_in_azure_without_a_balancer_is_told() -> None:
    def told(cloud: str, **changes: Any) -> bool:
        return "pair-without-balancer" in {one.code for one in _compiled(cloud=cloud, **changes).findings}

    balanced = {"roles": ["netscaler-vip"], "subnets": ["10.0.0.0/28"], "behind": {"probes": 9000}}
    assert told("azure")
    assert not told("aws")
    assert not told("azure", **_tiers(vip=balanced))
    assert not told("azure", features={**SITE["features"], "adc-ha": False})
    assert not told("azure", **_tiers(vip={"roles": ["netscaler-vip"], "subnets": ["10.0.0.4"]}))


def test_the_front_of_a_balancer_takes_nobodys_name() -> None:
    external = {**SITE["external"], "front of ddc": {"roles": [], "addresses": ["10.9.9.9"]}}
    tiers = _tiers(ddc={"subnets": ["10.0.2.0/28"], "behind": {"addresses": ["10.0.9.4"]}})
    with pytest.raises(InputError, match="`front of ddc` is what the front of its balancer is called"):
        _compiled(**tiers, external=external)


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        ("storefront", "`storefront` is behind itself"),
        ("vpi", "unknown tier or external `vpi` (help: did you mean `vip`?)"),
        ("ddc", "has role `netscaler-vip`, so it is no ADC"),
        ("vip", "has role `netscaler-snip`, so it is no ADC"),
        ({"end": "vip", "probes": [80]}, "name the `end` of an ADC, or"),
        ({}, "name the `end` of an ADC, or"),
        ({"probes": [80], "also-direct": True}, "`also-direct` is for an ADC"),
        ({"end": ["vip", "snip"], "keeps-source": True}, "`keeps-source` is for a balancer"),
        ({"end": ["vip", "snip"], "entries": ["ddc-vdaa"]}, "unknown entry `ddc-vdaa`"),
    ],
)
def test_what_cannot_stand_in_front_is_refused(behind: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        _compiled(**_tiers(storefront={"subnets": ["10.0.1.0/28"], "behind": behind}))
    assert said in str(caught.value)
