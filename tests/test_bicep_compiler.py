"""Target `bicep`, judged by the real compiler: its linter, its formatter, and deployments worked out offline.

A snapshot is what Azure would be asked for, with parameters and modules evaluated. It is held against target
`azure`, which is made without Bicep.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from support import real
from test_azure_target import case_without_lint, edit, in_azure
from test_bicep import CASES

from citrix_netpolicy import Deployment, compile_deployment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.compiler import Compiler

ROOT: Final = Path(__file__).parent.parent
NSG: Final = "Microsoft.Network/networkSecurityGroups"
ASG: Final = "Microsoft.Network/applicationSecurityGroups"
BUNDLED: Final = sorted(
    path
    for path in (ROOT / "examples").rglob("deployment.yaml")
    if any(network.cloud == "azure" for network in Deployment.load(path).networks.values())
)


def judge(compiler: Compiler, folder: Path, case: real.Case) -> None:
    """Hold a module against all that the compiler can tell of it."""
    files = case.files("bicep")
    real.lay(folder, files)
    # The settings beside the module make an error of every rule of the linter.
    compiler.compile(folder / "main.bicep")
    assert set(compiler.parameters(folder / "main.bicepparam")["parameters"]) == {"location", "tags"}
    for name in ("main.bicep", "main.bicepparam"):
        assert compiler.formatted(folder / name) == files[name]
    hold(compiler.snapshot(folder / "main.bicepparam"), case)


def hold(resources: list[dict[str, Any]], case: real.Case) -> None:
    """Hold the resources of a snapshot against target `azure`, with every property of every rule."""
    wanted = json.loads(case.files("azure")["network-security-groups.json"])["groups"]
    tiers = {
        resource["id"]: resource["tags"]["citrix-netpolicy:tier"]
        for resource in resources
        if resource["type"] == ASG
    }
    found = {
        (resource["name"], resource["tags"]["citrix-netpolicy:tier"]): _by_tier(resource["properties"], tiers)
        for resource in resources
        if resource["type"] == NSG
    }
    assert found == {(group["name"], group["tier"]): group["properties"] for group in wanted}
    assert {resource["type"] for resource in resources} <= {NSG, ASG}
    for resource in resources:
        ours = real.identity_tags(case.options.deployment, resource["tags"]["citrix-netpolicy:tier"])
        assert resource["tags"] == {"Owner": "network-team", **ours}
        assert resource["location"] == "westeurope"


def _by_tier(properties: dict[str, Any], tiers: Mapping[str, str]) -> dict[str, Any]:
    """Return the properties of a group in which application security groups are named by their tiers."""
    for rule in properties["securityRules"]:
        for side in ("source", "destination"):
            for group in rule["properties"].get(f"{side}ApplicationSecurityGroups", ()):
                group["id"] = f"tier:{tiers[group['id']]}"
    return properties


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name != "odd-tiers"])
def test_the_compiler_takes_the_module(name: str, bicep_compiler: Compiler, tmp_path: Path) -> None:
    judge(bicep_compiler, tmp_path, CASES[name]())


@pytest.mark.slow
def test_the_compiler_takes_tiers_of_any_name(bicep_compiler: Compiler, tmp_path: Path) -> None:
    case = CASES["odd-tiers"]()
    real.lay(tmp_path, case.files("bicep"))
    bicep_compiler.compile(tmp_path / "main.bicep")
    hold(bicep_compiler.snapshot(tmp_path / "main.bicepparam"), case)


@pytest.mark.slow
@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.parent.name)
def test_the_compiler_takes_every_example(path: Path, bicep_compiler: Compiler, tmp_path: Path) -> None:
    compilation = compile_deployment(Deployment.load(path))
    for name, network in compilation.deployment.networks.items():
        if network.cloud == "azure":
            judge(bicep_compiler, tmp_path / name, real.Case.of(compilation, name))


@pytest.mark.parametrize(
    "count", [pytest.param(25, marks=pytest.mark.slow), pytest.param(150, marks=pytest.mark.long)]
)
def test_the_compiler_takes_random_deployments(count: int, bicep_compiler: Compiler, tmp_path: Path) -> None:
    chance = random.Random(count)
    data = in_azure("reference")
    for number in range(count):
        edit(data, chance)
        form = {
            "peers": chance.choice(["group", "cidr"]),
            "egress": chance.choice(["restricted"] * 3 + ["open"]),
        }
        judge(bicep_compiler, tmp_path / str(number), case_without_lint({**data, **form}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "codes"),
    [
        ("priority: 4096", "priority: '4096'", {"BCP036"}),
        ("direction: 'Inbound'", "way: 'Inbound'", {"BCP035", "BCP037"}),
        ("location: location", "location: 'westeurope'", {"no-hardcoded-location"}),
        ("param tags object", "param spare string = 'x'\nparam tags object", {"no-unused-params"}),
        ("#disable-next-line use-user-defined-types\n", "", {"use-user-defined-types"}),
    ],
)
def test_the_compiler_finds_what_is_wrong(
    old: str, new: str, codes: set[str], bicep_compiler: Compiler, tmp_path: Path
) -> None:
    files = CASES["groups"]().files("bicep")
    assert old in files["main.bicep"]
    real.lay(tmp_path, {**files, "main.bicep": files["main.bicep"].replace(old, new, 1)})
    assert codes <= set(bicep_compiler.diagnostics(tmp_path / "main.bicep"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r"protocol: 'Tcp'", "protocol: 'TCP'"),
        (r"destinationPortRange: '443'", "destinationPortRange: '444'"),
        (r"id: asg_ddc\.id", "id: asg_sql.id"),
        (r" {6}\{\n {8}name: 'allow(?:.*\n)*? {6}\}\n", ""),
    ],
)
def test_the_snapshot_shows_what_no_compiler_finds(
    pattern: str, new: str, bicep_compiler: Compiler, tmp_path: Path
) -> None:
    case = CASES["groups"]()
    files = case.files("bicep")
    spoiled = re.sub(pattern, new, files["main.bicep"], count=1)
    assert spoiled != files["main.bicep"]
    real.lay(tmp_path, {**files, "main.bicep": spoiled})
    with pytest.raises(AssertionError):
        hold(bicep_compiler.snapshot(tmp_path / "main.bicepparam"), case)


# A root that calls the module


@pytest.mark.slow
def test_in_the_root_for_landing_zones_every_subnet_has_the_group_of_its_tier(
    bicep_compiler: Compiler,
) -> None:
    folder = ROOT / "examples" / "bicep" / "reference" / "landing-zone"
    bicep_compiler.compile(folder / "main.bicep")
    for name in ("main.bicep", "main.bicepparam"):
        text = (folder / name).read_text(encoding="utf-8")
        assert bicep_compiler.formatted(folder / name) == text
    resources = bicep_compiler.snapshot(folder / "main.bicepparam")
    deployment = Deployment.load(folder.parent / "deployment.yaml")
    tiers = {
        resource["id"]: resource["tags"]["citrix-netpolicy:tier"]
        for resource in resources
        if resource["type"] == NSG
    }
    assert set(tiers.values()) == deployment.tiers.keys()
    (network,) = (one for one in resources if one["type"] == "Microsoft.Network/virtualNetworks")
    attached: dict[str, list[str]] = {}
    for subnet in network["properties"]["subnets"]:
        tier = tiers[subnet["properties"]["networkSecurityGroup"]["id"]]
        attached.setdefault(tier, []).append(subnet["properties"]["addressPrefix"])
    assert attached == {name: [*map(str, tier.subnets)] for name, tier in deployment.tiers.items()}
