"""Examples cannot rot: every one is compiled again and compared byte for byte."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import real

from citrix_netpolicy import Compilation, Deployment, InputError, compile_deployment, traffic_of
from citrix_netpolicy.cli import Exit, main
from citrix_netpolicy.minimize import minimize
from citrix_netpolicy.targets import TARGETS

if TYPE_CHECKING:
    from types import ModuleType

EXAMPLES = Path(__file__).parent.parent / "examples"
# Below each target's folder there is a folder for each example.
DEPLOYMENTS = sorted(EXAMPLES.glob("*/*/deployment.yaml"))

assert {path.parent.parent.name for path in DEPLOYMENTS} == {"bicep", "terraform"}

each_deployment = pytest.mark.parametrize(
    "path", DEPLOYMENTS, ids=lambda path: f"{path.parent.parent.name}-{path.parent.name}"
)


def _target(path: Path) -> str:
    return path.parent.parent.name


@cache
def _compiled(path: Path) -> Compilation:
    return compile_deployment(Deployment.load(path))


@each_deployment
def test_the_committed_module_is_what_the_compiler_writes(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = path.parent / "module"
    code = main(["compile", str(path), "--target", _target(path), "--out", str(module), "--check"])
    assert (code, capsys.readouterr().err) == (Exit.DONE, "")


@each_deployment
def test_a_first_generation_is_the_committed_one(path: Path, tmp_path: Path) -> None:
    assert main(["compile", str(path), "--target", _target(path), "--out", str(tmp_path)]) == Exit.DONE
    module = path.parent / "module"
    assert _contents(tmp_path) == _contents(module)


def _contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and ".terraform" not in str(file))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@each_deployment
def test_the_rules_are_as_few_as_the_bound(path: Path) -> None:
    compilation = _compiled(path)
    assert compilation.policy.rule_count == compilation.lower_bound < compilation.naive_rules


@each_deployment
def test_stable_prefixes_permit_the_same(path: Path) -> None:
    policy = _compiled(path).policy
    assert traffic_of(minimize(policy, "stable").groups) == traffic_of(policy.groups)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        # An example is fast in the target that it is an example of, but for the longest one.
        pytest.param(
            path,
            target,
            id=f"{_target(path)}-{path.parent.name}-{target}",
            marks=() if target == _target(path) and path.parent.name != "classic" else pytest.mark.slow,
        )
        for path in DEPLOYMENTS
        for target in TARGETS
    ],
)
def test_what_is_written_reads_back_with_the_same_meaning(path: Path, target: str) -> None:
    compilation = _compiled(path)
    assert compilation.deployment.networks
    for name, network in compilation.deployment.networks.items():
        if network.cloud not in TARGETS[target]:
            with pytest.raises(InputError) as refused:
                real.files_of(compilation, target, name)
            assert [problem.code for problem in refused.value.problems] == ["target-without-cloud"]
            continue
        groups = real.read(real.files_of(compilation, target, name), target, network.cloud)
        assert any(group.rules for group in groups)
        assert traffic_of(groups) == traffic_of(compilation.policy.in_network(name).groups)


def test_every_target_writes_an_example_in_each_of_its_clouds() -> None:
    clouds = {network.cloud for path in DEPLOYMENTS for network in Deployment.load(path).networks.values()}
    assert clouds == {cloud for known in TARGETS.values() for cloud in known}


def _script() -> ModuleType:
    path = EXAMPLES / "apply_with_boto3.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_build_script_makes_the_groups(ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    path = EXAMPLES / "terraform" / "reference" / "deployment.yaml"
    ids = _script().apply(ec2, str(path), vpc)
    policy = _compiled(path).policy
    groups = ec2.describe_security_groups(GroupIds=list(ids.values()))["SecurityGroups"]
    made = {group["GroupId"]: group for group in groups}
    assert {*ids} == {group.tier for group in policy.groups}
    assert policy.rule_count > 0
    for group in policy.groups:
        found = made[ids[group.tier]]
        count = sum(_peers(p) for key in ("IpPermissions", "IpPermissionsEgress") for p in found[key])
        assert count == len(group.rules)


def _peers(permission: dict[str, Any]) -> int:
    keys = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    return sum(len(permission.get(key, ())) for key in keys)
