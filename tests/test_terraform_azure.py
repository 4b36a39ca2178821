"""Target `terraform` in Azure, judged by real Terraform against the stand-in for azurerm."""

from __future__ import annotations

import random
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from support import real
from support.azurerm import SUBSCRIPTION, Azurerm

from citrix_netpolicy import traffic_of
from citrix_netpolicy.found import folder
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from pathlib import Path

SUBNET = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/"
)
ARGUMENTS = {
    "resource_group_name": "rg",
    "location": "westeurope",
    "tags": {"Owner": "network-team"},
    "subnet_ids": {"vda": {"one": f"{SUBNET}one", "two": f"{SUBNET}two"}, "ddc": {"one": f"{SUBNET}ddc"}},
}
RULE = "azurerm_network_security_rule"
FORMS: dict[str, dict[str, Any]] = {"prefixes": {}, "groups": {"peers": "group"}, "open": {"egress": "open"}}


@cache
def formed(form: str) -> real.Case:
    """Return the deployment in one of the forms."""
    return compiled(**FORMS[form])


def compiled(**changes: Any) -> real.Case:
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
    return real.Case.of(real.compile_data({**data, **changes}))


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
    expected = {f'{RULE}.this["{g.tier}/{r.direction}/{r.name}"]': (g, r) for g in groups for r in g.rules}
    assert {address for address in changes if address.startswith(RULE)} == set(expected)
    for address, (group, rule) in expected.items():
        found = changes[address]["change"]["after"]
        ours, theirs = ("destination", "source") if rule.direction == "ingress" else ("source", "destination")
        assert (found["name"], found["priority"], found["access"]) == (rule.name, rule.priority, rule.access)
        assert found["network_security_group_name"] == group.name
        assert found["direction"] == {"ingress": "Inbound", "egress": "Outbound"}[rule.direction]
        assert (found["protocol"], found["description"]) == (rule.block.protocol, rule.description)
        assert _given(found, "destination_port_range") == set(rule.block.ports)
        assert _given(found, f"{ours}_address_prefix") == {"*"}
        if rule.block.kind == "asg":
            # Their ids are not known before they exist.
            unknown = changes[address]["change"]["after_unknown"]
            assert unknown[f"{theirs}_application_security_group_ids"]
        else:
            assert _given(found, f"{theirs}_address_prefix") == set(map(str, rule.block.peers))
    made = {address for address in changes if address.startswith("azurerm_network_security_group.")}
    assert made == {f'azurerm_network_security_group.tier["{group.tier}"]' for group in groups}
    attached = {address for address in changes if "association" in address}
    association = "azurerm_subnet_network_security_group_association.this"
    assert attached == {f'{association}["{place}"]' for place in ("vda/one", "vda/two", "ddc/one")}


def _given(values: dict[str, Any], field: str) -> set[str]:
    one, many = values[field], values[f"{field}{'es' if field.endswith('x') else 's'}"]
    assert (one is None) != (many is None)
    return {one} if one is not None else set(many)


@pytest.mark.slow
def test_a_change_touches_only_the_rules_concerned(azurerm: Azurerm, tmp_path: Path) -> None:
    before = compiled().files("terraform")
    site = azurerm.site(tmp_path / "site", before, ARGUMENTS)
    site.create()
    features = {"edt": True, "html5": False, "remote-assistance": True}
    after = compiled(features=features).files("terraform", before)
    site.place(after)
    changes = planned(site.plan())
    touched = {a: c["change"]["actions"] for a, c in changes.items() if c["change"]["actions"] != ["no-op"]}
    assert touched.pop("terraform_data.open_before_close") == ["update"]
    # Nothing is replaced or renumbered: rules come and go, and all others stay as they are.
    assert set(map(tuple, touched.values())) <= {("create",), ("delete",)}
    tiers = {address.partition('["')[2].partition("/")[0] for address in touched}
    # HTML5 goes through the gateway; Director, on the controllers, opens Remote Assistance.
    assert tiers == {"adc-server", "ddc", "vda"}
    events = [(event.kind, event.action) for event in site.apply() if event.type == RULE]
    created = max(n for n, event in enumerate(events) if event == ("apply_complete", "create"))
    deleted = min(n for n, event in enumerate(events) if event == ("apply_start", "delete"))
    assert created < deleted
