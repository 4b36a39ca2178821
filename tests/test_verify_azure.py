"""What Bicep has worked out is held against the deployment: rules by priority, and who carries them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from support import real

from citrix_netpolicy import Deployment, InputError, cli, compile_deployment
from citrix_netpolicy.found.snapshot import read_snapshot
from citrix_netpolicy.review import sight_of
from citrix_netpolicy.targets.azure.arm import resource_of
from citrix_netpolicy.targets.azure.groups import network_security_groups
from citrix_netpolicy.verify import fails, verify_deployed

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.compiler import Compiler

    from citrix_netpolicy import Compilation
    from citrix_netpolicy.findings import Finding

Resource = dict[str, Any]
EXAMPLE: Final = Path(__file__).parent.parent / "examples" / "bicep" / "reference"
PLACE: Final = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network"


@cache
def site(peers: str = "cidr") -> Compilation:
    data = Deployment.load(EXAMPLE / "deployment.yaml").to_dict()
    return compile_deployment(Deployment(**data, peers=peers))


@cache
def _whole(peers: str) -> str:
    """A root that is right: our groups, and a virtual network whose subnets carry them."""
    compilation = site(peers)
    case = real.Case.of(compilation)
    groups = network_security_groups(case.policy, case.options).groups
    asgs = {group.tier: f"{PLACE}/applicationSecurityGroups/asg-{group.tier}" for group in groups}
    found: list[Resource] = [
        {
            "id": f"{PLACE}/networkSecurityGroups/{group.name}",
            "type": "Microsoft.Network/networkSecurityGroups",
            "name": group.name,
            "tags": {"citrix-netpolicy:deployment": "contoso-prod", "citrix-netpolicy:tier": group.tier},
            **resource_of(group, asgs),
        }
        for group in groups
    ]
    found += [
        {
            "id": id_,
            "type": "Microsoft.Network/applicationSecurityGroups",
            "name": f"asg-{tier}",
            "tags": {"citrix-netpolicy:tier": tier},
        }
        for tier, id_ in asgs.items()
    ]
    subnets = [
        {
            "name": f"{group.tier}-{number}",
            "properties": {
                "addressPrefix": str(prefix),
                "networkSecurityGroup": {"id": f"{PLACE}/networkSecurityGroups/{group.name}"},
            },
        }
        for group in groups
        for number, prefix in enumerate(compilation.deployment.tiers[group.tier].subnets)
    ]
    network = {"id": f"{PLACE}/virtualNetworks/v", "type": "Microsoft.Network/virtualNetworks", "name": "v"}
    return json.dumps([*found, {**network, "properties": {"subnets": subnets}}])


def root(peers: str = "cidr") -> list[Resource]:
    found: list[Resource] = json.loads(_whole(peers))
    return found


def judged(resources: list[Resource], peers: str = "cidr") -> list[Finding]:
    content = json.dumps({"predictedResources": resources}).encode()
    return verify_deployed(site(peers), sight_of(site(peers)), read_snapshot(content, "snapshot.json"))


@pytest.mark.parametrize("peers", ["cidr", "group"])
def test_a_root_that_is_right_has_no_finding(peers: str) -> None:
    assert judged(root(peers), peers) == []


def rules_of(resources: list[Resource], tier: str) -> list[Resource]:
    (group,) = (one for one in resources if one["name"] == f"nsg-contoso-prod-{tier}")
    found: list[Resource] = group["properties"]["securityRules"]
    return found


def subnets_of(resources: list[Resource]) -> dict[str, Resource]:
    return {one["name"]: one["properties"] for one in resources[-1]["properties"]["subnets"]}


def rule(name: str, priority: int, access: str = "Allow", **more: Any) -> Resource:
    properties = {
        "protocol": "Tcp",
        "sourcePortRange": "*",
        "destinationPortRange": "3389",
        "sourceAddressPrefix": "10.99.7.0/26",
        "destinationAddressPrefix": "*",
        "access": access,
        "priority": priority,
        "direction": "Inbound",
    }
    return {
        "name": name,
        "properties": {key: value for key, value in {**properties, **more}.items() if value},
    }


# Harmless


def _a_deny_that_denies_nothing_more(resources: list[Resource]) -> None:
    rules_of(resources, "sql").append(rule("deny-again", 4095, "Deny"))


def _an_allow_behind_the_deny(resources: list[Resource]) -> None:
    rules_of(resources, "sql").append(rule("shadowed", 150))
    rules_of(resources, "sql").append(rule("before", 100, "Deny"))


def _a_rule_of_its_own(resources: list[Resource]) -> None:
    moved = rules_of(resources, "sql").pop(0)
    name = f"nsg-contoso-prod-sql/{moved['name']}"
    kind = "Microsoft.Network/networkSecurityGroups/securityRules"
    resources.insert(0, {"id": "r", "type": kind, "name": name, "properties": moved["properties"]})


def _a_subnet_of_its_own(resources: list[Resource]) -> None:
    subnet = resources[-1]["properties"]["subnets"].pop()
    kind = "Microsoft.Network/virtualNetworks/subnets"
    resources.insert(
        0, {"id": "s", "type": kind, "name": f"v/{subnet['name']}", "properties": subnet["properties"]}
    )


def _a_subnet_of_nobody(resources: list[Resource]) -> None:
    resources[-1]["properties"]["subnets"].append(
        {"name": "x", "properties": {"addressPrefix": "10.77.0.0/24"}}
    )


@pytest.mark.parametrize(
    "change",
    [
        _a_deny_that_denies_nothing_more,
        _an_allow_behind_the_deny,
        _a_rule_of_its_own,
        _a_subnet_of_its_own,
        _a_subnet_of_nobody,
    ],
)
def test_what_says_the_same_has_no_finding(change: Callable[[list[Resource]], None]) -> None:
    resources = root()
    change(resources)
    assert judged(resources) == []


# Spoiled


def _forgotten_subnet(resources: list[Resource]) -> None:
    del subnets_of(resources)["vda-1"]["networkSecurityGroup"]


def _other_group(resources: list[Resource]) -> None:
    subnets = subnets_of(resources)
    subnets["sql-0"]["networkSecurityGroup"] = subnets["pvs-0"]["networkSecurityGroup"]


def _rule_beside(resources: list[Resource]) -> None:
    rules_of(resources, "sql").append(rule("mine", 150))


def _deny_before(resources: list[Resource]) -> None:
    rules_of(resources, "sql").append(
        rule("no-sql", 150, "Deny", destinationPortRange="1433", sourceAddressPrefix="10.20.2.0/28")
    )


def _final_deny_gone(resources: list[Resource]) -> None:
    rules = rules_of(resources, "sql")
    rules[:] = [one for one in rules if one["name"] != "deny-all-inbound"]


def _port_moved(resources: list[Resource]) -> None:
    (one,) = (one for one in rules_of(resources, "sql") if one["name"].endswith("ms-sql"))
    one["properties"]["destinationPortRange"] = "1434"


def _group_gone(resources: list[Resource]) -> None:
    resources[:] = [one for one in resources if one["name"] != "nsg-contoso-prod-pvs"]


@pytest.mark.parametrize(
    ("change", "code", "tier", "named"),
    [
        (_forgotten_subnet, "not-attached", "vda", "v/vda-1"),
        (_other_group, "not-attached", "sql", "v/sql-0"),
        (_other_group, "attached-elsewhere", "pvs", "v/sql-0"),
        (_rule_beside, "opens", "sql", "tcp 3389"),
        (_deny_before, "closes", "sql", "tcp 1433"),
        (_final_deny_gone, "opens", "sql", "VirtualNetwork"),
        (_port_moved, "opens", "sql", "tcp 1434"),
        (_port_moved, "closes", "sql", "tcp 1433"),
        (_group_gone, "no-group", "pvs", "pvs"),
    ],
)
def test_a_spoiled_root_is_found_with_its_place(
    change: Callable[[list[Resource]], None], code: str, tier: str, named: str
) -> None:
    resources = root()
    change(resources)
    found = judged(resources)
    assert fails(found)
    assert any((one.code, one.subject) == (code, tier) and named in one.message for one in found), found


def test_what_is_not_known_is_told() -> None:
    resources = root()
    rules_of(resources, "sql").append(rule("odd", 150, sourceAddressPrefix="[reference('x').prefix]"))
    assert [one.subject for one in judged(resources) if one.code == "not-judged"] == [""]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not-json"),
        (b"\xff", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b"[]", "not-evaluated"),
        (b"{}", "not-evaluated"),
        (b'{"predictedResources": 1}', "not-evaluated"),
    ],
)
def test_what_is_no_snapshot_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read_snapshot(content, "snapshot.json")
    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.slow
def test_the_root_for_landing_zones_is_right_and_a_forgotten_subnet_is_found(
    bicep_compiler: Compiler, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resources = bicep_compiler.snapshot(EXAMPLE / "landing-zone" / "main.bicepparam")
    file = tmp_path / "snapshot.json"
    file.write_text(json.dumps({"predictedResources": resources}), encoding="utf-8")
    words = ["verify", str(EXAMPLE / "deployment.yaml"), str(file)]
    assert cli.main(words) == 0
    for name in ("landing-zone", "module"):
        folder = EXAMPLE / name
        files = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.bicep*")}
        real.lay(tmp_path / name, files)
    main = tmp_path / "landing-zone" / "main.bicep"
    text = main.read_text(encoding="utf-8")
    group = (
        "          networkSecurityGroup: {\n"
        "            id: citrix.outputs.networkSecurityGroupIds.sql\n"
        "          }\n"
    )
    assert group in text
    main.write_text(text.replace(group, ""), encoding="utf-8")
    spoiled = bicep_compiler.snapshot(tmp_path / "landing-zone" / "main.bicepparam")
    file.write_text(json.dumps({"predictedResources": spoiled}), encoding="utf-8")
    capsys.readouterr()
    assert cli.main(words) == 1
    assert "`vnet-contoso-prod/snet-sql` stands in subnets of tier `sql`" in capsys.readouterr().out
