"""Examples cannot rot: every one is compiled again and compared byte for byte."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from citrix_netpolicy import Deployment, compile_deployment, traffic_of
from citrix_netpolicy.allowlist import JSON_FILE, TABLE_FILE
from citrix_netpolicy.cli import Exit, main
from citrix_netpolicy.minimize import minimize
from citrix_netpolicy.output import MANIFEST
from citrix_netpolicy.targets import TARGETS, read, write

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES = Path(__file__).parent.parent / "examples"
DEPLOYMENTS = sorted(EXAMPLES.glob("terraform/*/deployment.yaml"))

assert DEPLOYMENTS, "no example deployment found"

each_deployment = pytest.mark.parametrize("path", DEPLOYMENTS, ids=lambda path: path.parent.name)


@each_deployment
def test_the_committed_module_is_what_the_compiler_writes(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = path.parent / "module"
    code = main(["compile", str(path), "--target", "terraform", "--out", str(module), "--check"])
    assert (code, capsys.readouterr().err) == (Exit.DONE, "")


@each_deployment
def test_the_module_folder_holds_nothing_else(path: Path) -> None:
    policy = compile_deployment(Deployment.load(path))
    several = len(policy.networks) > 1
    expected = {MANIFEST} | {
        f"{network}/{name}" if several else name
        for network in policy.networks
        for name in (*write(policy, "terraform", network), JSON_FILE, TABLE_FILE)
    }
    module = path.parent / "module"
    assert {str(file.relative_to(module)) for file in module.rglob("*") if _is_kept(file)} == expected


def _is_kept(file: Path) -> bool:
    return file.is_file() and ".terraform" not in str(file.relative_to(EXAMPLES))


@each_deployment
def test_the_rules_are_as_few_as_the_bound(path: Path) -> None:
    policy = compile_deployment(Deployment.load(path))
    assert policy.rule_count == policy.lower_bound < policy.naive_rules


@each_deployment
def test_stable_prefixes_permit_the_same(path: Path) -> None:
    policy = compile_deployment(Deployment.load(path))
    assert traffic_of(minimize(policy, "stable").groups) == traffic_of(policy.groups)


@each_deployment
@pytest.mark.parametrize("target", [name for name, clouds in TARGETS.items() if "aws" in clouds])
def test_what_is_written_reads_back_with_the_same_meaning(path: Path, target: str) -> None:
    policy = compile_deployment(Deployment.load(path))
    for network in policy.networks:
        groups = read(write(policy, target, network), target, "aws")
        assert traffic_of(groups) == traffic_of(policy.in_network(network).groups)


def _script() -> ModuleType:
    path = EXAMPLES / "apply_with_boto3.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_build_script_makes_the_groups(ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    path = EXAMPLES / "terraform" / "reference" / "deployment.yaml"
    ids = _script().apply(ec2, str(path), vpc)
    policy = compile_deployment(Deployment.load(path))
    groups = ec2.describe_security_groups(GroupIds=list(ids.values()))["SecurityGroups"]
    made = {group["GroupId"]: group for group in groups}
    for group in policy.groups:
        found = made[ids[group.tier]]
        count = sum(_peers(p) for key in ("IpPermissions", "IpPermissionsEgress") for p in found[key])
        assert count == len(group.rules)


def _peers(permission: dict[str, Any]) -> int:
    keys = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    return sum(len(permission.get(key, ())) for key in keys)
