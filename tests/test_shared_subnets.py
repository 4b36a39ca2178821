"""Tiers that share subnets, groups that belong to interfaces, and places that meet over the Internet."""

from __future__ import annotations

from typing import Any

import pytest

from citrix_netpolicy import Compilation, Deployment, Direction, InputError, compile_deployment, render
from citrix_netpolicy.found import folder as found
from citrix_netpolicy.net import Prefix
from citrix_netpolicy.policy import GroupReference
from citrix_netpolicy.traffic import reach_of

SHARED: dict[str, Any] = {
    "name": "site",
    "tiers": {
        "ddc": ["10.0.1.0/28"],
        "storefront": ["10.0.1.0/28"],
        "vda": ["10.0.2.0/24"],
        "sql": ["10.0.1.8/29"],
    },
    "features": {"on-prem-licensing": False},
}


def _compiled(**changes: Any) -> Compilation:
    return compile_deployment(Deployment(**{**SHARED, **changes}))


def _shared(compilation: Compilation) -> dict[str, str]:
    found = [finding for finding in compilation.findings if finding.code == "shared-address"]
    return {finding.subject: finding.message for finding in found}


def test_in_aws_tiers_share_subnets_since_groups_belong_to_interfaces() -> None:
    compilation = _compiled(cloud="aws")
    peers = {rule.peer for rule in compilation.policy.group("vda").rules}
    assert peers == {GroupReference("ddc")}
    assert not _shared(compilation)


def test_where_rules_name_addresses_what_they_open_beyond_is_told() -> None:
    told = _shared(_compiled(cloud="aws", peers="cidr"))
    # Session hosts speak with controllers, and their rules permit the stores as well.
    assert "`vda` from it: tcp 80" in told["ddc"]
    assert "permit `sql` as well" in told["ddc"] or "permit `storefront` as well" in told["ddc"]


def test_what_each_needs_anyway_is_not_told() -> None:
    flow = {"services": {"protocol": "tcp", "ports": 22}, "reason": "Shell"}
    tiers = {"a": {"roles": [], "subnets": ["10.0.1.0/28"]}, "b": {"roles": [], "subnets": ["10.0.1.0/28"]}}
    tiers["c"] = {"roles": [], "subnets": ["10.0.2.0/28"]}
    both = {"f": {"source": ["a", "b"], "destination": "c", **flow}}
    assert not _shared(_compiled(cloud="aws", peers="cidr", tiers=tiers, flows=both))
    one = {"f": {"source": "a", "destination": "c", **flow}}
    assert _shared(_compiled(cloud="aws", peers="cidr", tiers=tiers, flows=one)) == {
        "a": "`a` shares addresses with `b`, and rules that name it by address permit `b` as well: "
        "`c` from it: tcp 22"
    }


INTERFACES = {"networks": {"main": {"cloud": "azure", "attach": "interfaces"}}}


def test_in_azure_a_subnet_has_one_group_unless_groups_belong_to_interfaces() -> None:
    with pytest.raises(InputError, match="attach: interfaces"):
        _compiled(cloud="azure")
    compilation = _compiled(**INTERFACES)
    assert {rule.peer for rule in compilation.policy.group("vda").rules} == {GroupReference("ddc")}
    assert not _shared(compilation)


@pytest.mark.parametrize("target", ["terraform", "bicep", "azure"])
def test_groups_of_interfaces_read_back_with_the_same_meaning(target: str) -> None:
    compilation = _compiled(**INTERFACES)
    files = dict(render(compilation, target).files)
    read = {group.tier: group for group in found.read(files, target, "azure").groups}
    for group in compilation.policy.groups:
        for way in Direction:
            assert reach_of(read[group.tier].side(way)) == reach_of(group.side(way))


def test_the_module_attaches_groups_to_interfaces_or_to_subnets() -> None:
    module = dict(render(_compiled(**INTERFACES), "terraform").files)
    assert "azurerm_network_interface_security_group_association" in module["main.tf"]
    assert "azurerm_network_interface_application_security_group_association" in module["main.tf"]
    assert "network_interface_ids" in module["README.md"]
    assert "subnet" not in module["main.tf"] + module["variables.tf"]
    tiers = {name: subnets for name, subnets in SHARED["tiers"].items() if name not in ("storefront", "sql")}
    module = dict(render(_compiled(cloud="azure", tiers=tiers), "terraform").files)
    assert "azurerm_subnet_network_security_group_association" in module["main.tf"]
    assert "network_interface" not in module["main.tf"] + module["variables.tf"]


def test_aws_has_nothing_to_attach() -> None:
    with pytest.raises(InputError, match="`attach` works in Azure only"):
        _compiled(networks={"main": {"cloud": "aws", "attach": "interfaces"}})


# Over the Internet

GSLB: dict[str, Any] = {
    "name": "site",
    "networks": {"east": {"cloud": "aws"}, "west": {"cloud": "azure"}},
    "sites": {"prod": {"zones": ["east", "west"]}},
    "links": [
        {
            "from": "prod/east",
            "to": "prod/west",
            "entries": ["stores"],
            "via": "public",
            "reason": "Two regions",
        }
    ],
    "tiers": {
        "snip-east": {
            "network": "east",
            "at": "prod/east",
            "roles": ["netscaler-snip"],
            "subnets": ["10.0.1.0/28"],
            "public": {"out": ["198.51.100.7"]},
        },
        "store-west": {
            "network": "west",
            "at": "prod/west",
            "roles": ["storefront"],
            "subnets": ["10.0.1.0/28"],
            "public": {"in": ["203.0.113.9"]},
        },
        "vip-east": {
            "network": "east",
            "at": "prod/east",
            "roles": ["netscaler-vip"],
            "subnets": ["10.0.2.0/28"],
        },
    },
}


def _peers(compilation: Compilation, tier: str, way: Direction) -> set[Any]:
    return {rule.peer for rule in compilation.policy.group(tier).side(way)}


def test_a_link_over_the_internet_names_public_addresses() -> None:
    compilation = compile_deployment(Deployment(**GSLB))
    assert _peers(compilation, "snip-east", Direction.EGRESS) >= {Prefix.parse("203.0.113.9")}
    assert _peers(compilation, "store-west", Direction.INGRESS) == {Prefix.parse("198.51.100.7")}
    inside = Prefix.parse("10.0.1.0/28")
    for tier in ("snip-east", "store-west"):
        assert inside not in _peers(compilation, tier, Direction.INGRESS) | _peers(
            compilation, tier, Direction.EGRESS
        )


def test_public_addresses_that_are_missing_are_asked_for() -> None:
    tiers = {
        name: {key: value for key, value in tier.items() if key != "public"}
        for name, tier in GSLB["tiers"].items()
    }
    with pytest.raises(InputError, match="via: public") as caught:
        compile_deployment(Deployment(**{**GSLB, "tiers": tiers}))
    assert caught.value.problems[0].code == "public-needed"
