"""Names of groups, and what stays when tiers and deployments get others."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from support import real

from citrix_netpolicy import (
    Deployment,
    InputError,
    TargetError,
    compile_deployment,
    identities,
    render,
    traffic_of,
)
from citrix_netpolicy.found import folder
from citrix_netpolicy.targets.aws.groups import security_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from citrix_netpolicy.folder import Module

TARGETS = [
    ("aws", "aws"),
    ("terraform", "aws"),
    ("azure", "azure"),
    ("terraform", "azure"),
    ("bicep", "azure"),
]
# Each target and a cloud.
each_target = pytest.mark.parametrize(("target", "cloud"), TARGETS, ids=["-".join(pair) for pair in TARGETS])


def site(cloud: str = "aws", /, **changes: Any) -> dict[str, Any]:
    """Return a small site, in which tiers are peers by group."""
    data: dict[str, Any] = {
        "name": "site",
        "edition": "2026.11",
        "networks": {"main": {"cloud": cloud}},
        "peers": "group",
        "tiers": {
            "ddc": {"roles": ["ddc"], "subnets": ["10.0.1.0/28"]},
            "storefront": {"roles": ["storefront"], "subnets": ["10.0.2.0/28"]},
            "vda": {"roles": ["vda"], "subnets": ["10.0.4.0/24"]},
        },
        "external": {"directory": {"roles": ["domain-controller"], "addresses": ["10.9.0.0/28"]}},
        "accept": [
            {"finding": code, "subject": ["ddc", "storefront", "vda"], "reason": "a test"}
            for code in ("icmp-widened", "icmpv6-blocked")
        ],
    }
    return data | changes


def renamed(data: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """Return a site in which a tier is called otherwise, and says so."""
    text = json.dumps(data["tiers"]).replace(
        f'"{old}": {{"roles"', f'"{new}": {{"renamed-from": "{old}", "roles"'
    )
    accept = json.loads(json.dumps(data["accept"]).replace(f'"{old}"', f'"{new}"'))
    return data | {"tiers": json.loads(text), "accept": accept}


def run(data: Mapping[str, Any], target: str, previous: Mapping[str, str] | None = None) -> Module:
    return render(compile_deployment(Deployment(**data)), target, previous=previous)


def kept(module: Module) -> dict[str, Any]:
    """Return what the file of identities says of tiers."""
    text = module.files.get(identities.FILE)
    return dict(json.loads(text)["tiers"]) if text else {}


# What names a tier for people, in all targets.
_TITLE = re.compile(
    r"""^\s*(?:tier +=|"?tier"?:|'citrix-netpolicy:tier':).*$|^.*@description\(.*$""", re.MULTILINE
)


def rules_of(module: Module) -> str:
    """Return the files that act, without what only people read."""
    names = [name for name in module.files if name.endswith((".tf", ".bicep")) or "security-groups" in name]
    return "\n".join(_TITLE.sub("", module.files[name]) for name in sorted(names))


@each_target
def test_a_renamed_tier_keeps_its_group_and_all_rules(target: str, cloud: str) -> None:
    before = site(cloud)
    first = run(before, target)
    after = renamed(before, "ddc", "brokers")
    second = run(after, target, first.files)
    assert kept(second)["brokers"]["key"] == "ddc"
    assert "ddc" not in kept(second)
    was, now = (folder.read(dict(files), target, cloud) for files in (_ours(first), _ours(second)))
    assert traffic_of(now.policy.groups) == traffic_of(was.policy.groups)
    assert [group.key for group in now.groups] == [group.key for group in was.groups]
    if cloud == "aws":
        assert rules_of(second) == rules_of(first)
    else:
        # Rules say what a tier is called now; each keeps its priority.
        assert "brokers" in rules_of(second)
        assert sorted(now.priorities.values()) == sorted(was.priorities.values())
    # The word of it may go once it has been heard, and stay without harm.
    plain = {
        **after,
        "tiers": {name: _without(tier, "renamed-from") for name, tier in after["tiers"].items()},
    }
    for later in (after, plain):
        assert run(later, target, second.files).files == second.files
    # Back again, nothing is left of it.
    back = run(renamed(plain, "brokers", "ddc"), target, second.files)
    assert rules_of(back) == rules_of(first)
    assert "key" not in kept(back).get("ddc", {})


def _ours(module: Module) -> dict[str, str]:
    return {
        name: text for name, text in module.files.items() if "fqdn" not in name and name != identities.FILE
    }


def _without(tier: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in tier.items() if name != key}


@each_target
def test_a_renamed_deployment_keeps_every_name(target: str, cloud: str) -> None:
    first = run(site(cloud), target)
    with pytest.raises(InputError, match="renamed-from: site") as caught:
        run(site(cloud, name="other"), target, first.files)
    assert {problem.code for problem in caught.value.problems} == {"foreign-folder"}
    told = site(cloud, name="other", **{"renamed-from": "site"})
    second = run(told, target, first.files)
    head = re.compile(r"^.*(?:Deployment|deployment|metadata).*$", re.MULTILINE)
    assert head.sub("", rules_of(second)) == head.sub("", rules_of(first))
    for later in (told, site(cloud, name="other")):
        assert run(later, target, second.files).files == second.files
    # A tier that comes later has the new name.
    tiers = {**told["tiers"], "sql": {"roles": ["sql"], "subnets": ["10.0.7.0/28"]}}
    third = run({**told, "tiers": tiers}, target, second.files)
    assert "site-sql" not in rules_of(third)
    assert "other-sql" in rules_of(third)


def test_a_tier_is_renamed_again_and_again() -> None:
    data = site()
    module = first = run(data, "terraform")
    for old, new in (("ddc", "a"), ("a", "b"), ("b", "c")):
        data = renamed(
            {**data, "tiers": {n: _without(t, "renamed-from") for n, t in data["tiers"].items()}}, old, new
        )
        module = run(data, "terraform", module.files)
        assert kept(module) == {new: {"key": "ddc"}}
    assert rules_of(module) == rules_of(first)


def test_without_a_last_run_a_tier_has_the_name_that_it_has() -> None:
    data = renamed(site(), "ddc", "brokers")
    assert '"brokers" = {' in run(data, "terraform").files["rules.tf"]
    # So has one that was not there.
    first = run(site(tiers={"vda": site()["tiers"]["vda"]}, accept=[]), "terraform")
    assert '"brokers" = {' in run(data, "terraform", first.files).files["rules.tf"]


def test_a_tier_called_as_another_one_was_is_refused() -> None:
    first = run(site(), "terraform")
    second = run(renamed(site(), "ddc", "brokers"), "terraform", first.files)
    data = renamed(site(), "ddc", "brokers")
    data["tiers"]["brokers"].pop("renamed-from")
    data["tiers"]["ddc"] = {"roles": ["license-server"], "subnets": ["10.0.8.0/28"]}
    with pytest.raises(InputError, match="brokers") as caught:
        run(data, "terraform", second.files)
    assert [problem.code for problem in caught.value.problems] == ["key-clash"]
    assert caught.value.problems[0].path == ("tiers", "ddc")


def test_rules_beyond_the_quota_stay_in_their_groups_when_a_tier_is_renamed() -> None:
    quotas = {"rules-per-group": 4, "groups-per-interface": 16}
    data = site(quotas=quotas)
    first = run(data, "terraform")
    assert '"ddc/2" = {' in first.files["rules.tf"]
    second = run(renamed(data, "ddc", "brokers"), "terraform", first.files)
    assert rules_of(second) == rules_of(first)
    assert kept(second)["brokers"]["held"] == kept(first)["ddc"]["held"]


# Patterns and names of their own


@each_target
def test_a_pattern_names_every_group(target: str, cloud: str) -> None:
    pattern = {"groups": "{network}.{tier}.{deployment}", "application-security-groups": "{tier}_asg"}
    text = rules_of(run(site(cloud, naming=pattern), target))
    for tier in site()["tiers"]:
        assert f"main.{tier}.site" in text
    assert ("ddc_asg" in text) == (cloud == "azure" and target != "azure")
    # What a network says counts before what all have.
    own = {"main": {"cloud": cloud, "naming": {"groups": "x-{tier}"}}}
    assert "x-ddc" in rules_of(run(site(cloud, naming=pattern, networks=own), target))


@each_target
def test_a_name_of_its_own_is_frozen(target: str, cloud: str) -> None:
    def called(name: str | None) -> dict[str, Any]:
        data = site(cloud)
        if name:
            data["tiers"]["ddc"]["group"] = {"name": name}
        return data

    first = run(called("controllers"), target)
    assert kept(first)["ddc"] | {"name": "controllers", "exact": True} == kept(first)["ddc"]
    assert "controllers" in rules_of(first)
    assert run(called("controllers"), target, first.files).files == first.files
    # Without the word it stays what it is.
    assert rules_of(run(called(None), target, first.files)) == rules_of(first)
    with pytest.raises(InputError, match="`controllers`") as caught:
        run(called("brokers"), target, first.files)
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("name-frozen", ("tiers", "ddc", "group", "name"))
    # A group that lives without one would become another.
    plain = run(called(None), target)
    late = run(called("controllers"), target, plain.files)
    assert [finding.subject for finding in late.findings if finding.code == "group-replaced"] == ["ddc"]
    assert not [finding for finding in first.findings if finding.code == "group-replaced"]


def test_an_exact_name_in_terraform_for_aws_is_no_prefix() -> None:
    data = site()
    data["tiers"]["ddc"]["group"] = {"name": "controllers"}
    files = run(data, "terraform").files
    assert re.search(r'"ddc" = \{\n +name += "controllers"\n +exact += true\n', files["rules.tf"])
    assert "name        = can(each.value.exact) ? each.value.name : null\n" in files["main.tf"]
    assert "exact" not in run(site(), "terraform").files["main.tf"]


def test_a_kept_name_that_no_longer_fits_is_told_with_its_place() -> None:
    data = renamed(site("azure"), "ddc", "brokers")
    first = run(data, "terraform", run(site("azure"), "terraform").files)
    text = first.files[identities.FILE].replace(
        '"key": "ddc"', '"key": "ddc",\n      "name": "a name/of none"'
    )
    files = {**first.files, identities.FILE: text}
    with pytest.raises(TargetError) as caught:
        run(data, "terraform", files)
    (problem,) = caught.value.problems
    assert problem.code == "name-refused"
    assert problem.mark is not None
    assert problem.mark.file == identities.FILE
    assert text.splitlines()[problem.mark.line - 1].strip(" ,") == '"name": "a name/of none"'


# Groups of others

SG = "sg-0123456789abcdef0"


def taken_over(**group: Any) -> dict[str, Any]:
    data = site()
    data["tiers"]["ddc"]["group"] = {"id": SG, **group}
    return data


@pytest.mark.parametrize("target", ["aws", "terraform"])
def test_rules_go_to_a_group_that_exists(target: str) -> None:
    plain, module = run(site(), target), run(taken_over(), target)
    was, now = (folder.read(_ours(each), target, "aws").policy for each in (plain, module))
    assert traffic_of(now.groups) == traffic_of(was.groups)
    assert SG in rules_of(module)
    assert "site-ddc" not in rules_of(module)


def test_a_group_of_others_is_a_finding_until_somebody_has_audited_it() -> None:
    def codes(data: dict[str, Any]) -> list[tuple[str, str]]:
        found = compile_deployment(Deployment(**data)).findings
        return [(finding.code, finding.subject) for finding in found if finding.code.startswith("group")]

    assert codes(taken_over()) == [("group-not-audited", "ddc")]
    assert codes(taken_over(audited="2026-11-30")) == []


@pytest.mark.parametrize("version", [None, 5, 6])
@pytest.mark.parametrize("data", [site(), taken_over(), taken_over(audited="2026-11-30")])
def test_the_version_of_the_provider_decides_what_a_module_uses(
    version: int | None, data: dict[str, Any]
) -> None:
    network = {"cloud": "aws"} | ({"aws-provider": version} if version else {})
    module = run({**data, "networks": {"main": network}}, "terraform")
    folder.read(_ours(module), "terraform", "aws")
    text = rules_of(module)
    assert ("aws_vpc_security_group_rules_exclusive" in text) == (version == 6)
    assert ("var.region" in text) == (version == 6)
    assert ('variable "region"' in module.files["variables.tf"]) == (version == 6)
    wanted = {None: ">= 5.0, < 7.0", 5: ">= 5.0, < 6.0", 6: ">= 6.29, < 7.0"}[version]
    assert f'version = "{wanted}"' in module.files["versions.tf"]
    assert f"| aws | {wanted} |" in module.files["README.md"]
    if data["tiers"]["ddc"].get("group"):
        audited = "audited" in data["tiers"]["ddc"]["group"]
        assert f"exclusive = {str(audited).lower()}" in text


def test_a_group_that_exists_is_not_made_by_the_api() -> None:
    case = real.Case.of(compile_deployment(Deployment(**taken_over())))
    groups = {group.key: group for group in security_groups(case.policy, case.options).groups}
    assert groups["ddc"].id == SG
    with pytest.raises(ValueError, match=SG):
        groups["ddc"].create_request("vpc-1")
    assert not groups["vda"].id


def test_rules_made_by_hand_may_stay_with_version_6() -> None:
    network = {"cloud": "aws", "aws-provider": 6, "exclusive": False}
    module = run(site(networks={"main": network}), "terraform")
    folder.read(_ours(module), "terraform", "aws")
    assert "exclusive" not in module.files["main.tf"]
    assert "neither seen nor removed" in module.files["README.md"]
    assert "var.region" in module.files["main.tf"]


def test_the_name_that_a_group_has_in_azure_may_become_its_own() -> None:
    data = site("azure")
    first = run(data, "terraform")
    data["tiers"]["ddc"]["group"] = {"name": "nsg-site-ddc"}
    second = run(data, "terraform", first.files)
    assert not [finding for finding in second.findings if finding.code == "group-replaced"]
    assert rules_of(second) == rules_of(first)
