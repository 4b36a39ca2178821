"""Target `terraform` in Azure, judged by real Terraform against the stand-in for azurerm."""

from __future__ import annotations

import random
import re
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from support import real
from support.azurerm import SUBSCRIPTION, Azurerm

from citrix_netpolicy import render, traffic_of
from citrix_netpolicy.found import folder
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from citrix_netpolicy.found import Found

SUBNET = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/"
)
ARGUMENTS = {
    "resource_group_name": "rg",
    "location": "westeurope",
    "tags": {"Owner": "network-team"},
    "subnet_ids": {"vda": {"one": f"{SUBNET}one", "two": f"{SUBNET}two"}, "ddc": {"one": f"{SUBNET}ddc"}},
}
GROUP = "azurerm_network_security_group"
FORMS: dict[str, dict[str, Any]] = {"prefixes": {}, "groups": {"peers": "group"}, "open": {"egress": "open"}}


@cache
def formed(form: str) -> real.Case:
    """Return the deployment in one of the forms."""
    return compiled(**FORMS[form])


def compiled(**changes: Any) -> real.Case:
    return real.Case.of(real.compile_data({**reference(), **changes}))


def reference() -> dict[str, Any]:
    """The reference deployment in Azure, with a load balancer and a service tag."""
    data = real.example("reference")
    data["cloud"] = "azure"
    data["tiers"]["adc-client"]["behind"] = {"probes": [9000]}
    data["external"]["backup"] = {"roles": ["syslog"], "service-tag": "Storage.WestEurope"}
    services = [{"protocol": "tcp", "ports": [443]}]
    data["flows"]["backup"] = {
        "source": "sql",
        "destination": "backup",
        "services": services,
        "reason": "backup",
    }
    return data


@pytest.fixture(params=FORMS)
def case(request: pytest.FixtureRequest) -> real.Case:
    return formed(request.param)


two_slow = [form if form == "groups" else pytest.param(form, marks=pytest.mark.slow) for form in FORMS]


@pytest.mark.parametrize("case", two_slow, indirect=True)
def test_a_module_reads_back_with_the_same_meaning(case: real.Case) -> None:
    files = case.files("terraform")
    assert traffic_of(real.read(files, "terraform", "azure")) == traffic_of(case.groups)


@pytest.mark.parametrize("case", two_slow, indirect=True)
def test_writing_again_changes_nothing(case: real.Case) -> None:
    files = case.files("terraform")
    assert case.files("terraform", files) == files == case.files("terraform")


@pytest.mark.slow
@pytest.mark.parametrize("case", two_slow, indirect=True)
def test_a_rule_that_stays_keeps_its_priority(case: real.Case) -> None:
    files = case.files("terraform")
    number = re.findall(r" priority += (1[0-9]{3}|2[0-9]{3}|3[0-9]{3})\n", files["rules.tf"])[0]
    moved = {**files, "rules.tf": re.sub(rf"( priority +=) {number}\n", r"\1 1234\n", files["rules.tf"])}
    after = case.files("terraform", moved)
    found = [folder.read(each, "terraform", "azure").priorities for each in (moved, after)]
    assert found[0] == found[1]
    assert 1234 in found[1].values()


def test_the_order_of_a_deployment_is_no_part_of_the_module() -> None:
    data = real.example("reference") | {"cloud": "azure"}
    files = real.files_of(real.compile_data(data), "terraform")
    chance = random.Random(0)
    for _ in range(3):
        shuffled = {**data}
        for key in ("tiers", "external"):
            items = list(data[key].items())
            chance.shuffle(items)
            shuffled[key] = dict(items)
        assert real.files_of(real.compile_data(shuffled), "terraform") == files


@pytest.mark.slow
def test_terraform_accepts_the_module(case: real.Case, azurerm: Azurerm, tmp_path: Path) -> None:
    folder = azurerm.module(tmp_path / "module", case.files("terraform"))
    formatted = azurerm.run(folder, "fmt", "-check", "-recursive", "-diff")
    assert formatted.stdout == ""
    assert azurerm.validate(folder) == []
    assert "0 failed" in azurerm.test(folder)


def planned(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The resources of a plan, under their address inside the module."""
    found = {}
    for change in plan["resource_changes"]:
        found[change["address"].removeprefix("module.site.")] = change
    return found


@pytest.mark.slow
def test_the_plan_is_the_policy_rule_by_rule(case: real.Case, azurerm: Azurerm, tmp_path: Path) -> None:
    changes = planned(azurerm.site(tmp_path / "site", case.files("terraform"), ARGUMENTS).plan())
    groups = network_security_groups(case.policy, case.options).groups
    for group in groups:
        change = changes[f'{GROUP}.tier["{group.tier}"]']["change"]
        rules = {(rule["direction"], rule["name"]): rule for rule in change["after"]["security_rule"]}
        assert change["after"]["name"] == group.name
        assert len(rules) == len(change["after"]["security_rule"]) == len(group.rules)
        for rule in group.rules:
            way = {"ingress": "Inbound", "egress": "Outbound"}[rule.direction]
            found = rules[way, rule.name]
            ours, theirs = ("destination", "source") if way == "Inbound" else ("source", "destination")
            assert (found["priority"], found["access"]) == (rule.priority, rule.access)
            assert (found["protocol"], found["description"]) == (rule.block.protocol, rule.description)
            assert _given(found, "destination_port_range") == set(rule.block.ports)
            assert _given(found, f"{ours}_address_prefix") == {"*"}
            if rule.block.kind != "asg":
                # The ids of application security groups are not known before they exist.
                peers = set(map(str, rule.block.peers))
                everyone = {"*"} if peers == {"0.0.0.0/0", "::/0"} else peers
                assert _given(found, f"{theirs}_address_prefix") == everyone
    made = {address for address in changes if address.startswith(f"{GROUP}.")}
    assert made == {f'{GROUP}.tier["{group.tier}"]' for group in groups}
    assert not [address for address in changes if "security_rule" in address]
    attached = {address for address in changes if "association" in address}
    association = "azurerm_subnet_network_security_group_association.this"
    assert attached == {f'{association}["{place}"]' for place in ("vda/one", "vda/two", "ddc/one")}


def _given(values: dict[str, Any], field: str) -> set[str]:
    one, many = values[field], values[f"{field}{'es' if field.endswith('x') else 's'}"]
    assert bool(one) != bool(many)
    return {one} if one else set(many)


@pytest.mark.slow
def test_a_change_is_one_request_for_each_group_concerned(azurerm: Azurerm, tmp_path: Path) -> None:
    before = compiled().files("terraform")
    site = azurerm.site(tmp_path / "site", before, ARGUMENTS)
    site.create()
    features = {"edt": True, "html5": False, "remote-assistance": True}
    after = compiled(features=features).files("terraform", before)
    site.place(after)
    changes = planned(site.plan())
    touched = {a: c["change"]["actions"] for a, c in changes.items() if c["change"]["actions"] != ["no-op"]}
    # HTML5 goes through the gateway; Director, on the controllers, opens Remote Assistance.
    assert touched == {f'{GROUP}.tier["{tier}"]': ["update"] for tier in ("adc-server", "ddc", "vda")}
    for address in touched:
        one, two = (_priorities(changes[address]["change"][when]) for when in ("before", "after"))
        stay = one.keys() & two.keys()
        assert {key: one[key] for key in stay} == {key: two[key] for key in stay}
        # At no moment is a group without the deny that ends it.
        assert one["Inbound", "deny-all-inbound"] == two["Inbound", "deny-all-inbound"] == 4096
    events = [(event.kind, event.action) for event in site.apply() if event.kind == "apply_start"]
    assert events == [("apply_start", "update")] * 3


def _priorities(group: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(rule["direction"], rule["name"]): rule["priority"] for rule in group["security_rule"]}


def _one_more_domain_controller(data: dict[str, Any]) -> None:
    (directory,) = (
        end
        for end in data["external"].values()
        if isinstance(end, dict) and "domain-controller" in end.get("roles", ())
    )
    directory["addresses"] = [*directory["addresses"], "10.98.0.14"]


def _one_more_subnet(data: dict[str, Any]) -> None:
    data["tiers"]["vda"]["subnets"] = [*data["tiers"]["vda"]["subnets"], "10.30.0.0/24"]


@pytest.mark.slow
@pytest.mark.parametrize("grow", [_one_more_domain_controller, _one_more_subnet])
def test_a_site_that_grows_destroys_nothing(
    grow: Callable[[dict[str, Any]], None], azurerm: Azurerm, tmp_path: Path
) -> None:
    before = compiled().files("terraform")
    site = azurerm.site(tmp_path / "site", before, ARGUMENTS)
    site.create()
    data = deepcopy(reference())
    grow(data)
    after = compiled(**data)
    site.place(after.files("terraform", before))
    changes = planned(site.plan())
    assert {tuple(change["change"]["actions"]) for change in changes.values()} == {("no-op",), ("update",)}
    updated = {address for address, change in changes.items() if change["change"]["actions"] == ["update"]}
    assert all(address.startswith(f"{GROUP}.") for address in updated)
    # One request for each group, and none for anything else.
    assert len([event for event in site.apply() if event.kind == "apply_start"]) == len(updated)
    groups = network_security_groups(after.policy, after.options).groups
    assert len(updated) <= len(groups)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["prefixes", "groups"])
def test_a_renamed_tier_destroys_nothing(form: str, azurerm: Azurerm, tmp_path: Path) -> None:
    data = {**reference(), **FORMS[form]}
    first = dict(render(real.compile_data(data), "terraform").files)
    site = azurerm.site(tmp_path / "site", first, ARGUMENTS)
    site.create()
    data["tiers"] = {"brokers" if name == "ddc" else name: tier for name, tier in data["tiers"].items()}
    data["tiers"]["brokers"]["renamed-from"] = "ddc"
    compilation = real.compile_data(data)
    second = dict(render(compilation, "terraform", previous=first).files)
    was, now = (_found(files) for files in (first, second))
    assert traffic_of(now.groups) == traffic_of(was.groups)
    site.place(second)
    changes = planned(site.plan())
    assert {tuple(change["change"]["actions"]) for change in changes.values()} == {("no-op",), ("update",)}
    updated = {address for address, change in changes.items() if change["change"]["actions"] == ["update"]}
    assert f'{GROUP}.tier["ddc"]' in updated
    for address, change in changes.items():
        if address.startswith(f"{GROUP}."):
            one, two = (_priorities(change["change"][when]) for when in ("before", "after"))
            assert sorted(one.values()) == sorted(two.values())
            for way in ("Inbound", "Outbound"):
                assert one[way, f"deny-all-{way.lower()}"] == two[way, f"deny-all-{way.lower()}"] == 4096
    assert len([event for event in site.apply() if event.kind == "apply_start"]) == len(updated)


def _found(files: dict[str, str]) -> Found:
    beside = {"fqdn-allowlist.json", "fqdn-allowlist.md", "identities.json"}
    ours = {name: text for name, text in files.items() if name not in beside}
    return folder.read(ours, "terraform", "azure")
