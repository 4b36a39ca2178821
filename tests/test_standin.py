"""The stand-in for azurerm: it must refuse what azurerm refuses, or tests of Azure modules mean nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from support import real
from support.azurerm import SUBSCRIPTION, Azurerm

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Case: TypeAlias = tuple[str, dict[str, Any], str]  # a type of resources, arguments, a part of the refusal

pytestmark = pytest.mark.slow

NETWORK = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/net-rg/providers/Microsoft.Network"
SUBNET = f"{NETWORK}/virtualNetworks/hub/subnets/vda"
ARGUMENTS: dict[str, Any] = {
    "subnet_id": SUBNET,
    "rules": {
        "in/tcp/443": {"priority": 100, "ports": ["443"], "prefixes": ["10.0.0.0/24", "10.0.2.0/24"]},
        "in/tcp/1494": {"priority": 4096, "ports": ["1494", "2598"], "prefixes": ["10.0.1.0/24"]},
    },
}
MODULE = {
    "main.tf": """
terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 4.0, < 6.0"
    }
  }
}

variable "subnet_id" {
  type = string
}

variable "rules" {
  type = map(object({ priority = number, ports = set(string), prefixes = set(string) }))
}

resource "azurerm_application_security_group" "vda" {
  name                = "vda"
  location            = "westeurope"
  resource_group_name = "net-rg"
}

resource "azurerm_network_security_group" "vda" {
  name                = "vda"
  location            = "westeurope"
  resource_group_name = "net-rg"
  tags                = { Owner = "network-team" }

  timeouts {
    create = "5m"
  }
}

resource "azurerm_network_security_rule" "vda" {
  for_each                    = var.rules
  name                        = replace(each.key, "/", "-")
  network_security_group_name = azurerm_network_security_group.vda.name
  resource_group_name         = azurerm_network_security_group.vda.resource_group_name
  priority                    = each.value.priority
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_port_range           = "*"
  source_address_prefix       = length(each.value.prefixes) == 1 ? one(each.value.prefixes) : null
  source_address_prefixes     = length(each.value.prefixes) == 1 ? null : each.value.prefixes
  destination_port_range      = length(each.value.ports) == 1 ? one(each.value.ports) : null
  destination_port_ranges     = length(each.value.ports) == 1 ? null : each.value.ports

  destination_application_security_group_ids = [azurerm_application_security_group.vda.id]
}

resource "azurerm_network_security_group" "inline" {
  name                = "inline"
  location            = "westeurope"
  resource_group_name = "net-rg"

  dynamic "security_rule" {
    for_each = var.rules
    content {
      name                       = replace(security_rule.key, "/", "-")
      priority                   = security_rule.value.priority
      direction                  = "Outbound"
      access                     = "Deny"
      protocol                   = "*"
      source_port_range          = "*"
      source_address_prefixes    = security_rule.value.prefixes
      destination_port_ranges    = security_rule.value.ports
      destination_address_prefix = "VirtualNetwork"
    }
  }
}

resource "azurerm_subnet_network_security_group_association" "vda" {
  subnet_id                 = var.subnet_id
  network_security_group_id = azurerm_network_security_group.vda.id
}

output "ids" {
  value = {
    group       = azurerm_network_security_group.vda.id
    association = azurerm_subnet_network_security_group_association.vda.id
    rules       = { for key, rule in azurerm_network_security_rule.vda : key => rule.id }
  }
}
""",
}
# With a mock, an id is eight random letters, which the association does not take for one.
TEST = (
    f"""
mock_provider "azurerm" {{
  mock_resource "azurerm_network_security_group" {{
    defaults = {{
      id = "{NETWORK}/networkSecurityGroups/mock"
    }}
  }}
}}

variables {{
  subnet_id = "{SUBNET}"
  rules     = {{ "in/tcp/443" = {{ priority = 100, ports = ["443"], prefixes = ["10.0.0.0/24"] }} }}
}}
"""
    """
run "plan" {
  command = plan

  assert {
    condition     = azurerm_network_security_rule.vda["in/tcp/443"].priority == PRIORITY
    error_message = "The priority is another."
  }
}

run "apply" {
  assert {
    condition     = length(output.ids.rules) == 1
    error_message = "There is not one rule."
  }
}
"""
)

RULE: dict[str, Any] = {
    "name": "r",
    "network_security_group_name": "nsg",
    "resource_group_name": "net-rg",
    "priority": 100,
    "direction": "Inbound",
    "access": "Allow",
    "protocol": "Tcp",
    "source_port_range": "*",
    "source_address_prefix": "10.0.0.0/24",
    "destination_port_range": "443",
    "destination_address_prefix": "10.0.1.0/24",
}
GROUP: dict[str, Any] = {"name": "nsg", "location": "westeurope", "resource_group_name": "net-rg"}
# Written as an attribute, an inline rule must name every argument.
INLINE: dict[str, Any] = {
    "description": None,
    "source_port_ranges": [],
    "source_address_prefixes": [],
    "source_application_security_group_ids": [],
    "destination_port_ranges": None,
    "destination_address_prefixes": None,
    "destination_application_security_group_ids": None,
    **{key: value for key, value in RULE.items() if not key.endswith("group_name")},
}
ASSOCIATION = {"subnet_id": SUBNET, "network_security_group_id": f"{NETWORK}/networkSecurityGroups/nsg"}
IDS = [f"{NETWORK}/applicationSecurityGroups/{number}" for number in range(11)]
ASG = "azurerm_application_security_group"
NSG = "azurerm_network_security_group"
NSR = "azurerm_network_security_rule"
LINK = "azurerm_subnet_network_security_group_association"


def changed(arguments: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return arguments with some changed, and without those that become `None`."""
    return {key: value for key, value in {**arguments, **changes}.items() if value is not None}


def judge(
    azurerm: Azurerm, folder: Path, cases: Mapping[str, tuple[str, dict[str, Any]]]
) -> dict[str, list[str]]:
    """Return what is wrong with the resource of every case; one `terraform validate` sees them all."""
    files = {
        f"{name}.tf.json": json.dumps({"resource": {type_: {name: arguments}}})
        for name, (type_, arguments) in cases.items()
    }
    said = azurerm.validate(azurerm.module(folder, files))
    judgement: dict[str, list[str]] = {name: [] for name in cases}
    for saying in said:
        file, _, rest = saying.partition(": ")
        judgement[file.removesuffix(".tf.json")].append(rest)
    return judgement


# What is good passes


def test_a_good_module_validates(azurerm: Azurerm, tmp_path: Path) -> None:
    assert azurerm.validate(azurerm.module(tmp_path, MODULE)) == []


def test_good_resources_pass(azurerm: Azurerm, tmp_path: Path) -> None:
    good: dict[str, tuple[str, dict[str, Any]]] = {
        "rule": (NSR, RULE),
        "rule_texts": (NSR, changed(RULE, name="r" * 80 + "._- ", description="d" * 140)),
        "rule_limits": (NSR, changed(RULE, priority=4096, protocol="*", direction="Outbound", access="Deny")),
        "rule_groups": (
            NSR,
            changed(RULE, source_address_prefix=None, source_application_security_group_ids=IDS[:10]),
        ),
        "group": (NSG, GROUP),
        "group_without_rules": (NSG, {**GROUP, "security_rule": []}),
        "group_with_rules": (NSG, {**GROUP, "security_rule": [INLINE, {**INLINE, "name": "s"}]}),
        "link": (LINK, ASSOCIATION),
        "application_group": (ASG, {**GROUP, "tags": {"Owner": "network-team"}}),
        "resource_group": ("azurerm_resource_group", {"name": "rg", "location": "westeurope"}),
        "network": (
            "azurerm_virtual_network",
            {**GROUP, "address_space": ["10.0.0.0/16"], "encryption": {"enforcement": "AllowUnencrypted"}},
        ),
        "subnet": (
            "azurerm_subnet",
            {
                "name": "vda",
                "resource_group_name": "net-rg",
                "virtual_network_name": "${azurerm_virtual_network.network.name}",
                "address_prefixes": ["10.0.0.0/24"],
                "delegation": {"name": "d", "service_delegation": {"name": "Microsoft.Web/serverFarms"}},
            },
        ),
    }
    assert judge(azurerm, tmp_path, good) == {name: [] for name in good}


# What is bad is refused

# By Terraform, which knows the schema.
MISFITS: list[Case] = [
    ("azurerm_nsg", GROUP, "Invalid resource type"),
    (NSR, {**RULE, "ports": ["443"]}, 'No argument or block type is named "ports"'),
    (NSR, changed(RULE, protocol=None), 'The argument "protocol" is required'),
    (NSR, {**RULE, "priority": "first"}, 'attribute "priority": a number is required'),
    (NSR, {**RULE, "source_port_ranges": "443"}, "set of string required"),
    (NSG, {**GROUP, "tags": "x"}, "map of string required"),
    (NSG, {**GROUP, "security_rule": ["x"]}, "element 0: object required"),
    (NSG, {**GROUP, "security_rule": [RULE]}, "source_port_ranges"),
    (NSG, {**GROUP, "timeouts": {"wait": "5m"}}, 'named "wait"'),
    (LINK, changed(ASSOCIATION, subnet_id=None), 'The argument "subnet_id" is required'),
    (
        NSR,
        {**RULE, "network_security_group_name": "${azurerm_network_security_group.nsg.name}"},
        "Reference to undeclared resource",
    ),
    (
        NSR,
        {**RULE, "network_security_group_name": "${azurerm_resource_group.other.title}"},
        "Unsupported attribute",
    ),
]
# By azurerm, beyond its schema.
EXCESSES: list[Case] = [
    (NSR, {**RULE, "access": "allow"}, 'expected access to be one of ["Allow" "Deny"], got allow'),
    (NSR, {**RULE, "direction": "In"}, 'expected direction to be one of ["Inbound" "Outbound"]'),
    (NSR, {**RULE, "protocol": "TCP"}, "expected protocol to be one of"),
    (NSR, {**RULE, "protocol": "Icmpv6"}, "expected protocol to be one of"),
    (NSR, {**RULE, "priority": 99}, "expected priority to be in the range (100 - 4096), got 99"),
    (NSR, {**RULE, "priority": 4097}, "expected priority to be in the range (100 - 4096), got 4097"),
    (NSR, {**RULE, "priority": 100.5}, "priority"),
    (NSR, {**RULE, "priority": 10**30}, "priority"),
    *((NSR, {**RULE, "name": f"a{c}b"}, "expected value of name to not contain any") for c in "/\\?%"),
    # 140 bytes, not letters.
    (NSR, {**RULE, "description": "é" * 71}, "length of description to be in the range (0 - 140)"),
    *(
        (NSR, {**RULE, f"{side}_port_ranges": ports}, f'"{side}_port_range": conflicts with')
        for side in ("source", "destination")
        for ports in (["80"], [])
    ),
    *(
        (NSR, {**RULE, f"{side}_{argument}": [IDS[0]]}, f"only one of `{side}_address_prefix,")
        for side in ("source", "destination")
        for argument in ("address_prefixes", "application_security_group_ids")
    ),
    *(
        (NSR, changed(RULE, **{f"{side}_address_prefix": None}), f"one of `{side}_address_prefix,")
        for side in ("source", "destination")
    ),
    (
        NSR,
        changed(RULE, source_address_prefix=None, source_application_security_group_ids=IDS),
        "source_application_security_group_ids supports 10 item maximum",
    ),
    (NSR, {**RULE, "id": "x"}, "Invalid or unknown key"),
    (NSG, {**GROUP, "security_rule": [{**INLINE, "access": "allow"}]}, "expected access to be one of"),
    (NSG, {**GROUP, "security_rule": [{**INLINE, "priority": 1}]}, "expected priority to be in"),
    (NSG, {**GROUP, "security_rule": [{**INLINE, "name": None}]}, 'The argument "name" is required'),
    (NSG, {**GROUP, "resource_group_name": "net-rg."}, "resource_group_name"),
    (NSG, {**GROUP, "tags": {f"{n}": "" for n in range(51)}}, "a maximum of 50 tags"),
    (LINK, {**ASSOCIATION, "subnet_id": "vda"}, "parsing"),
    (LINK, {**ASSOCIATION, "network_security_group_id": SUBNET}, "parsing"),
]
# By Azure, and by azurerm only while it applies.
LATE_EXCESSES: list[Case] = [
    *(
        (NSR, changed(RULE, **{f"{side}_port_range": None}), f"one of `{side}_port_range,")
        for side in ("source", "destination")
    ),
    (
        NSR,
        changed(RULE, source_address_prefix=None, source_address_prefixes=[]),
        "one of `source_address_prefix,",
    ),
    (
        NSG,
        {**GROUP, "security_rule": [INLINE, {**INLINE, "source_port_ranges": ["80"]}]},
        '"source_port_range": conflicts with',
    ),
    (
        NSG,
        {**GROUP, "security_rule": [{**INLINE, "destination_application_security_group_ids": [IDS[0]]}]},
        "only one of `destination_address_prefix,",
    ),
    (
        NSG,
        {**GROUP, "security_rule": [{**INLINE, "source_address_prefix": ""}]},
        "one of `source_address_prefix,",
    ),
    (NSG, {**GROUP, "name": "a/b"}, "expected value of name to not contain any"),
    (ASG, {**GROUP, "name": "a/b"}, "expected value of name to not contain any"),
]


BAD: dict[str, Case] = {f"bad-{number}": case for number, case in enumerate([*MISFITS, *EXCESSES])}
LATE: dict[str, Case] = {f"late-{number}": case for number, case in enumerate(LATE_EXCESSES)}


@pytest.fixture(scope="module")
def judgement(azurerm: Azurerm, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    cases = {name: (type_, arguments) for name, (type_, arguments, _) in {**BAD, **LATE}.items()}
    other = {"other": ("azurerm_resource_group", {"name": "rg", "location": "westeurope"})}
    return judge(azurerm, tmp_path_factory.mktemp("bad"), {**cases, **other})


@pytest.mark.parametrize("name", BAD)
def test_bad_resources_are_refused(judgement: dict[str, list[str]], name: str) -> None:
    (refusal,) = judgement[name]
    assert BAD[name][2] in refusal


@pytest.mark.parametrize("name", LATE)
def test_the_stand_in_refuses_early_what_azure_refuses_late(
    azurerm: Azurerm, judgement: dict[str, list[str]], name: str
) -> None:
    if not azurerm.standin:
        pytest.skip("the real azurerm leaves these to Azure")
    (refusal,) = judgement[name]
    assert LATE[name][2] in refusal


def test_nothing_is_refused_for_its_neighbours(judgement: dict[str, list[str]]) -> None:
    assert judgement["other"] == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "azurerm_network_security_group.vda.name",
            "azurerm_network_security_group.vdi.name",
            "undeclared resource",
        ),
        (
            "azurerm_network_security_group.vda.id",
            "azurerm_network_security_group.vda.arn",
            "Unsupported attribute",
        ),
        ("destination_port_ranges    =", "destination_ports    =", 'argument named "destination_ports"'),
    ],
)
def test_a_bad_module_is_refused(azurerm: Azurerm, tmp_path: Path, old: str, new: str, message: str) -> None:
    bad = MODULE["main.tf"].replace(old, new)
    assert bad != MODULE["main.tf"]
    sayings = azurerm.validate(azurerm.module(tmp_path, {"main.tf": bad}))
    assert sayings
    assert all(message in saying for saying in sayings)


def test_an_init_asks_for_the_version_of_the_module(azurerm: Azurerm, tmp_path: Path) -> None:
    if not azurerm.standin:
        pytest.skip("the real azurerm has another version")
    for version, passes in (("< 6.0", True), ("< 5.0", False)):
        folder = tmp_path / str(passes)
        real.lay(folder, {"main.tf": MODULE["main.tf"].replace("< 6.0", version)})
        done = azurerm.run(folder, "init", "-input=false")
        assert (done.returncode == 0) is passes
        assert ("no available releases match" in " ".join(done.stderr.split())) is not passes


# Values that only a plan knows


def change_of(plan: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the change of the group of this name."""
    (change,) = [
        resource["change"]
        for resource in plan["resource_changes"]
        if (resource["type"], resource["name"]) == (NSG, name)
    ]
    found: dict[str, Any] = change
    return found


@pytest.fixture(scope="module")
def site(azurerm: Azurerm, tmp_path_factory: pytest.TempPathFactory) -> real.Site:
    return azurerm.site(tmp_path_factory.mktemp("site"), MODULE, ARGUMENTS)


def test_the_plan_shows_the_rules(site: real.Site) -> None:
    plan = site.plan()
    assert {tuple(change["actions"]) for change in real.changes(plan).values()} == {("create",)}
    rules = {key: change["after"] for (_, key), change in real.changes(plan, NSR).items()}
    assert rules.keys() == {"in/tcp/443", "in/tcp/1494"}
    rule = rules["in/tcp/1494"]
    assert {name for name, value in rule.items() if value is None} == {
        "description",
        "destination_address_prefix",
        "destination_address_prefixes",
        "destination_port_range",
        "source_address_prefixes",
        "source_application_security_group_ids",
        "source_port_ranges",
        "timeouts",
    }
    assert (rule["priority"], rule["access"], rule["direction"]) == (4096, "Allow", "Inbound")
    assert (rule["source_address_prefix"], rule["destination_port_ranges"]) == (
        "10.0.1.0/24",
        ["1494", "2598"],
    )
    assert rules["in/tcp/443"]["source_address_prefixes"] == ["10.0.0.0/24", "10.0.2.0/24"]
    assert rules["in/tcp/443"]["destination_port_range"] == "443"

    inline = change_of(plan, "inline")["after"]["security_rule"]
    assert [rule["name"] for rule in inline] == ["in-tcp-1494", "in-tcp-443"]


def test_a_plan_refuses_bad_values(azurerm: Azurerm, tmp_path: Path) -> None:
    good = ARGUMENTS["rules"]["in/tcp/443"]
    rules = {"priority": {**good, "priority": 4097}, "per%cent": good, "none": {**good, "prefixes": []}}
    site = azurerm.site(tmp_path, MODULE, {"subnet_id": "vda", "rules": rules})
    assert azurerm.validate(site.folder) == []
    said = "\n".join(azurerm.refusals(site))
    for message in (
        "expected priority to be in the range (100 - 4096), got 4097",
        "expected value of name to not contain any",
        "one of `source_address_prefix,",
        'parsing "vda"',
    ):
        assert message in said


def test_a_plan_sees_what_validate_cannot(azurerm: Azurerm, tmp_path: Path) -> None:
    """While Terraform validates, `each.value` may have any attribute."""
    bad = {"main.tf": MODULE["main.tf"].replace("null : each.value.ports", "null : each.value.port")}
    assert bad != MODULE
    site = azurerm.site(tmp_path, bad, ARGUMENTS)
    assert azurerm.validate(site.folder) == []
    assert "Unsupported attribute" in "".join(azurerm.refusals(site))


def test_what_was_applied_is_echoed(azurerm: Azurerm, tmp_path: Path) -> None:
    """It proves that Terraform finds the order of things, and nothing of Azure."""
    site = azurerm.site(tmp_path, MODULE, ARGUMENTS)
    assert site.plan()["applyable"]
    events = [(event.kind, event.type) for event in site.apply()]
    assert events.index(("apply_complete", NSG)) < events.index(("apply_start", LINK))
    group = f"{NETWORK}/networkSecurityGroups/vda"
    rules = {"in/tcp/443": "in-tcp-443", "in/tcp/1494": "in-tcp-1494"}
    assert site.output("site")["ids"] == {
        "group": group,
        "association": SUBNET,
        "rules": {key: f"{group}/securityRules/{name}" for key, name in rules.items()},
    }
    assert not site.plan()["applyable"]

    # A changed value is changed in place, and a changed name makes a resource anew.
    site.place({"main.tf": MODULE["main.tf"].replace('"Allow"', '"Deny"').replace('= "inline"', '= "other"')})
    plan = site.plan()
    assert {tuple(change["actions"]) for change in real.changes(plan, NSR).values()} == {("update",)}
    assert change_of(plan, "inline")["actions"] == ["delete", "create"]
    site.apply()
    site.destroy()


@pytest.mark.parametrize(("priority", "passes"), [(100, True), (101, False)])
def test_terraform_test_works_with_a_mock(
    azurerm: Azurerm, tmp_path: Path, priority: int, passes: bool
) -> None:
    test = TEST.replace("PRIORITY", str(priority))
    folder = azurerm.module(tmp_path, {**MODULE, "tests/module.tftest.hcl": test})
    if passes:
        assert "Success! 2 passed, 0 failed." in azurerm.test(folder)
    else:
        with pytest.raises(pytest.fail.Exception, match="The priority is another"):
            azurerm.test(folder)


def test_a_mock_refuses_bad_values_too(azurerm: Azurerm, tmp_path: Path) -> None:
    test = TEST.replace("PRIORITY", "99").replace("priority = 100", "priority = 99")
    folder = azurerm.module(tmp_path, {**MODULE, "tests/module.tftest.hcl": test})
    with pytest.raises(
        pytest.fail.Exception, match=r"expected priority to be in the range \(100 - 4096\), got 99"
    ):
        azurerm.test(folder)
