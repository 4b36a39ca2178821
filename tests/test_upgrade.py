"""An upgrade replaces nothing and opens nothing: today's compiler on modules that each release wrote.

`tests/upgrade` keeps them. The module of a release is applied by real Terraform, then today's is put in its
place, as an upgrade in a pipeline does it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import real

from citrix_netpolicy import Deployment, compile_deployment, render, traffic_of
from citrix_netpolicy.folder import previous_files
from citrix_netpolicy.found import folder
from citrix_netpolicy.version import __version__

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from support.azurerm import Azurerm

RELEASES = Path(__file__).parent / "upgrade"
# Below a release there is a folder for each cloud, and in it one for each target.
MODULES = sorted(path.parent for path in RELEASES.glob("*/*/*/.citrix-netpolicy.json"))


def _of(cloud: str) -> list[Path]:
    return [module for module in MODULES if (module.parent.name, module.name) == (cloud, "terraform")]


def _id(module: Path) -> str:
    return "-".join(module.parts[-3:])


def upgraded(module: Path) -> dict[str, str]:
    """Return what today's compiler makes of the deployment of a module, in the place of that module."""
    compilation = compile_deployment(Deployment.load(module.parent / "deployment.yaml"))
    return dict(render(compilation, module.name, previous=previous_files(module)).files)


def replaced_or_opened(plan: dict[str, Any]) -> list[str]:
    """Return the resources that a plan creates, or deletes although machines may carry them."""
    return [
        change["address"]
        for change in plan["resource_changes"]
        if "create" in change["change"]["actions"]
        or ("delete" in change["change"]["actions"] and "rule" not in change["type"])
    ]


def with_other_keys(files: dict[str, str]) -> dict[str, str]:
    """Return a module whose rules have other keys: the slip that an upgrade must not make."""
    return {**files, "rules.tf": files["rules.tf"].replace("hosts/ingress/", "hosts/from/")}


def with_other_groups(files: dict[str, str]) -> dict[str, str]:
    """Return a module whose groups have other names, which replaces them."""
    return {**files, "rules.tf": files["rules.tf"].replace('name = "nsg-', 'name = "other-')}


def test_this_release_is_kept_for_both_clouds() -> None:
    kept = {module.parts[-2:] for module in MODULES if module.parts[-3] == __version__}
    assert kept == {("aws", "terraform"), ("azure", "terraform"), ("azure", "bicep")}


@pytest.mark.parametrize("module", MODULES, ids=_id)
def test_an_upgrade_opens_nothing_and_moves_nothing(module: Path) -> None:
    cloud = module.parent.name
    before = folder.read(previous_files(module), module.name, cloud)
    after = folder.read(upgraded(module), module.name, cloud)
    assert traffic_of(after.policy.groups) <= traffic_of(before.policy.groups)
    assert after.attachments == before.attachments
    old, new = ({group.key: set(group.rules) for group in found.groups} for found in (before, after))
    assert {key: rules - old[key] for key, rules in new.items()} == {key: set() for key in old}
    assert {place: before.priorities.get(place) for place in after.priorities} == after.priorities


@pytest.mark.parametrize("module", [module for module in MODULES if module.parts[-3] == __version__], ids=_id)
def test_the_folder_of_this_release_is_what_it_writes(module: Path) -> None:
    assert upgraded(module) == previous_files(module)


@pytest.mark.slow
@pytest.mark.parametrize("module", _of("aws"), ids=_id)
def test_terraform_sees_no_replacement_in_aws(
    module: Path, terraform: real.Terraform, moto_server: str, ec2_server: EC2Client, tmp_path: Path
) -> None:
    vpc = real.create_vpc(ec2_server, ipv6=True)
    files = previous_files(module)
    site = terraform.site(tmp_path, files, moto_server, vpc)
    site.create()
    ids, network = site.output("ids"), "main"
    before = traffic_of(real.read_groups(ec2_server, ids, network))
    assert any(len(tier_ids) > 1 for tier_ids in ids.values())

    site.place(with_other_keys(files))
    assert replaced_or_opened(site.plan()), "the check sees no replacement where there is one"

    site.place(upgraded(module))
    assert replaced_or_opened(site.plan()) == []
    site.apply()
    assert site.output("ids") == ids
    assert traffic_of(real.read_groups(ec2_server, ids, network)) <= before
    site.destroy()


@pytest.mark.slow
@pytest.mark.parametrize("module", _of("azure"), ids=_id)
def test_terraform_sees_no_replacement_in_azure(module: Path, azurerm: Azurerm, tmp_path: Path) -> None:
    files = previous_files(module)
    arguments = {"resource_group_name": "rg", "location": "westeurope", "subnet_ids": {}}
    site = azurerm.site(tmp_path / "site", files, arguments)
    site.create()

    site.place(with_other_groups(files))
    assert replaced_or_opened(site.plan()), "the check sees no replacement where there is one"

    site.place(upgraded(module))
    assert replaced_or_opened(site.plan()) == []
    site.apply()
