"""Target `terraform` in AWS: the module is applied, by the real provider, to EC2 as moto plays it.

When moto creates a rule that refers to a group or a prefix list, it forgets the description, so the next plan
wants to give it again. Nothing else may differ; what moto cannot judge is judged elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support import real

from citrix_netpolicy import Policy, render, traffic_of
from citrix_netpolicy.net import Prefix
from citrix_netpolicy.policy import rule_order
from citrix_netpolicy.targets.aws import groups as aws

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_ec2 import EC2Client

    from citrix_netpolicy import Compilation, Rule, Traffic
    from citrix_netpolicy.targets.aws.groups import SecurityGroup

pytestmark = pytest.mark.slow

# The type and the key of a rule's resource.
Place = tuple[str, str]

PATCHING = "5985-5986"


def security_groups(case: real.Case) -> tuple[SecurityGroup, ...]:
    return aws.security_groups(case.policy, case.options).groups


def rules_by_place(policy: Policy) -> dict[Place, Rule]:
    return {
        (real.rule_types(rule.direction), real.expected_key(group.tier, rule)): rule
        for group in policy.groups
        for rule in group.rules
    }


def expected_actions(before: real.Case, after: real.Case) -> dict[Place, list[str]]:
    """Return what a plan does to each rule when a site goes from its first policy to the next."""
    old, new = rules_by_place(before.policy), rules_by_place(after.policy)
    old_text, new_text = real.expected_rules(before.policy), real.expected_rules(after.policy)
    actions: dict[Place, list[str]] = {}
    for place in old.keys() | new.keys():
        if place not in new:
            actions[place] = ["delete"]
        elif place not in old:
            actions[place] = ["create"]
        elif old_text[place] != new_text[place] or not isinstance(new[place].peer, Prefix):
            actions[place] = ["update"]
        else:
            actions[place] = ["no-op"]
    return actions


def assert_plan(plan: dict[str, Any], before: real.Case, after: real.Case) -> None:
    """Hold every change of a plan against the two policies."""
    planned = real.changes(plan, *real.RULE_TYPES)
    expected = expected_actions(before, after)
    assert {place: change["actions"] for place, change in planned.items()} == expected
    wanted = real.expected_rules(after.policy)
    for place, change in planned.items():
        if change["actions"] == ["update"]:
            old, new = change["before"], change["after"]
            assert {key for key in new if old[key] != new[key]} == {"description"}, place
            assert not any(change["after_unknown"].values())
            assert new["description"] == wanted[place]["description"]
    others = {
        place: change["actions"] for place, change in real.changes(plan).items() if place not in planned
    }
    same_rules = rules_by_place(before.policy).keys() == rules_by_place(after.policy).keys()
    assert others == {
        **{("aws_security_group", group.key): ["no-op"] for group in security_groups(after)},
        ("terraform_data", ""): ["no-op"] if same_rules else ["update"],
    }


def assert_applied(site: real.Site, ec2: EC2Client, case: real.Case, vpc: str) -> None:
    """Read everything back from EC2 and hold it against the policy, as traffic and rule by rule."""
    ids, names = site.output("ids"), site.output("names")
    groups = security_groups(case)
    found = real.read_groups(ec2, ids, case.options.network)
    assert traffic_of(found) == traffic_of(case.groups)
    assert {group.tier: sorted(group.rules, key=rule_order) for group in found} == {
        group.tier: sorted(group.rules, key=rule_order) for group in case.groups
    }
    assert {tier: len(tier_ids) for tier, tier_ids in ids.items()} == {
        tier: sum(group.tier == tier for group in groups) for tier in {group.tier for group in groups}
    }
    for tier, tier_ids in ids.items():
        in_order = [group for group in groups if group.tier == tier]
        for id_, name, group in zip(tier_ids, names[tier], in_order, strict=True):
            (described,) = ec2.describe_security_groups(GroupIds=[id_])["SecurityGroups"]
            assert described["GroupName"] == name
            assert name.startswith(f"{group.name}-")
            assert described["Description"] == group.description
            assert described["VpcId"] == vpc
            tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}
            ours = real.identity_tags(case.options.deployment, tier)
            assert tags == {**real.TAGS, "Name": group.name, **ours}


def groups_in(ec2: EC2Client, vpc: str) -> set[str]:
    """Return the names of the groups in a VPC, but for the one that every VPC has."""
    found = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    return {group["GroupName"] for group in found} - {"default"}


def test_a_site_lives_from_its_first_apply_to_its_end(
    terraform: real.Terraform, moto_server: str, ec2_server: EC2Client, tmp_path: Path
) -> None:
    # The VPC has IPv6, so that each new group begins with two rules that let everything out.
    vpc = real.create_vpc(ec2_server, ipv6=True)
    data = real.example("reference")
    first = real.Case.of(real.compile_data(data))

    site = terraform.site(tmp_path, first.files("terraform"), moto_server, vpc)
    site.create()
    assert_applied(site, ec2_server, first, vpc)
    assert_plan(site.plan(), first, first)

    # One more subnet of a tier that rules name by its group changes no rule. One more feature does, and a
    # range that widens by one port is another rule.
    data["tiers"]["vda"]["subnets"].append("10.20.96.0/20")
    assert expected_actions(first, real.Case.of(real.compile_data(data))) == expected_actions(first, first)
    data["features"]["tls-to-vda"] = True
    data["flows"]["patching"]["services"][0]["ports"] = ["5985-5987"]
    second = real.Case.of(real.compile_data(data))
    site.place(second.files("terraform"))
    plan = site.plan()
    assert_plan(plan, first, second)
    kinds = {change["actions"][0] for change in real.changes(plan, *real.RULE_TYPES).values()}
    assert kinds == {"create", "delete", "update", "no-op"}
    events = site.apply()
    assert_opened_before_closed(events)
    closed = {event.key for event in events if event.action == "delete" and PATCHING in event.key}
    assert closed == {
        f"{tier}/ingress/tcp/{PATCHING}/10.99.7.0/25"
        for tier in ("ddc", "storefront", "pvs", "license-server")
    }
    assert_applied(site, ec2_server, second, vpc)

    assert len(groups_in(ec2_server, vpc)) == len(second.groups)
    site.destroy()
    assert groups_in(ec2_server, vpc) == set()


def assert_opened_before_closed(events: list[real.Event]) -> None:
    """Check that every new rule was there before the first old one began to go."""
    rules = [event for event in events if event.type in real.RULE_TYPES]
    opened = [
        n for n, event in enumerate(rules) if (event.kind, event.action) == ("apply_complete", "create")
    ]
    closed = [n for n, event in enumerate(rules) if (event.kind, event.action) == ("apply_start", "delete")]
    assert opened
    assert closed
    assert max(opened) < min(closed)


@pytest.mark.long
def test_two_networks_are_applied_into_two_vpcs(
    terraform: real.Terraform, moto_server: str, ec2_server: EC2Client, tmp_path: Path
) -> None:
    vpcs = {"control": real.create_vpc(ec2_server), "workload": real.create_vpc(ec2_server, ipv6=True)}
    data = real.example("two-networks")
    # moto refuses to name a group that it does not have.
    directory = ec2_server.create_security_group(
        GroupName="directory", Description="not ours", VpcId=real.create_vpc(ec2_server)
    )
    data["external"]["domain-controller"] = {"security-group": directory["GroupId"]}
    compilation = real.compile_data(data)
    sites = {}
    for network, vpc in vpcs.items():
        part = real.Case.of(compilation, network)
        sites[network] = terraform.site(tmp_path / network, part.files("terraform"), moto_server, vpc)
        sites[network].create()
        assert_applied(sites[network], ec2_server, part, vpc)

    # A new subnet of the session hosts opens the control plane to it, and changes no rule of their own.
    data["tiers"]["vda"]["subnets"].append("10.50.192.0/18")
    grown = real.compile_data(data)
    before = real.Case.of(compilation, "control")
    assert grown.policy.in_network("workload") == compilation.policy.in_network("workload")
    part = real.Case.of(grown, "control")
    sites["control"].place(part.files("terraform"))
    assert_plan(sites["control"].plan(), before, part)
    sites["control"].apply()
    assert_applied(sites["control"], ec2_server, part, vpcs["control"])


def test_a_tier_of_several_groups_is_applied(
    terraform: real.Terraform, moto_server: str, ec2_server: EC2Client, tmp_path: Path
) -> None:
    vpc = real.create_vpc(ec2_server)
    data: dict[str, Any] = {
        "name": "split",
        "cloud": "aws",
        "quotas": {"rules-per-group": 12, "groups-per-interface": 5},
        "tiers": {
            "a}${x}": {"roles": ["vda"], "subnets": ["10.0.0.0/24"]},
            "b": {"roles": ["vda"], "subnets": ["10.0.1.0/24"]},
        },
        "external": {"out": {"roles": ["user-device"], "addresses": [f"192.0.2.{2 * n}" for n in range(20)]}},
        "flows": {
            "in": {
                "source": ["out", "b"],
                "destination": "a}${x}",
                "services": [{"protocol": "tcp", "ports": [443]}, {"protocol": "icmp", "type": 3, "code": 4}],
                "reason": 'say "${x}" \\ twice',
            },
            "back": {
                "source": "a}${x}",
                "destination": ["b", "a}${x}"],
                "services": [{"protocol": "icmp"}, {"protocol": "udp", "ports": ["1-65535"]}],
                "reason": "%{if}",
            },
        },
    }
    case = real.Case.of(real.compile_data(data))
    assert len(security_groups(case)) > len(case.groups) == 2
    site = terraform.site(tmp_path, case.files("terraform"), moto_server, vpc)
    site.create()
    assert_applied(site, ec2_server, case, vpc)


def test_crossing_a_quota_cuts_nobody_off(
    terraform: real.Terraform, moto_server: str, ec2_server: EC2Client, tmp_path: Path
) -> None:
    """One rule too many: the machines carry one group until somebody attaches the other."""
    vpc = real.create_vpc(ec2_server)

    def compiled(*addresses: str) -> Compilation:
        flow = {
            "source": "office",
            "destination": "hosts",
            "services": [{"protocol": "tcp", "ports": [443]}],
            "reason": "Office",
        }
        return real.compile_data(
            {
                "name": "quota",
                "cloud": "aws",
                "cidrs": "exact",
                "quotas": {"rules-per-group": 4, "groups-per-interface": 3},
                "tiers": {"hosts": {"roles": ["sql"], "subnets": ["10.0.0.0/24"]}},
                "external": {"office": {"roles": ["user-device"], "addresses": list(addresses)}},
                "flows": {"office": flow},
            }
        )

    def permitted(ids: list[str]) -> Traffic:
        return traffic_of(real.read_groups(ec2_server, {"hosts": ids}, "main"))

    first = compiled("192.0.2.0/31", "192.0.2.4", "192.0.2.8", "192.0.2.12")
    files = dict(render(first, "terraform").files)
    site = terraform.site(tmp_path, files, moto_server, vpc)
    site.create()
    (carried,) = site.output("ids")["hosts"]
    today = permitted([carried])
    assert today == traffic_of(first.policy.groups)

    # A half of one prefix goes, which makes one rule another, and more come than the group can hold.
    second = compiled("192.0.2.0", "192.0.2.4", "192.0.2.8", "192.0.2.12", "192.0.2.16", "192.0.2.20")
    tomorrow = traffic_of(second.policy.groups)
    module = render(second, "terraform", previous=files)
    assert [finding.code for finding in module.findings] == ["attach-first"]
    site.place(dict(module.files))
    plan = site.plan()
    assert ("delete",) not in {
        tuple(change["actions"]) for change in real.changes(plan, "aws_security_group").values()
    }
    events = site.apply()
    creations = [event for event in events if (event.kind, event.action) == ("apply_complete", "create")]
    assert creations
    assert site.output("ids")["hosts"][0] == carried
    assert len(site.output("ids")["hosts"]) == 2
    # What was permitted and still is asked for, never ceased for those who carry the first group alone.
    assert (today & tomorrow) <= permitted([carried])
    if any(event.action == "delete" for event in events):
        assert_opened_before_closed(events)

    # The machines carry both groups now.
    assert tomorrow <= permitted(site.output("ids")["hosts"])
    after = render(second, "terraform", previous=dict(module.files), attached=["hosts"])
    assert after.findings == ()
    site.place(dict(after.files))
    site.plan()
    site.apply()
    assert site.output("ids")["hosts"][0] == carried
    assert permitted(site.output("ids")["hosts"]) == tomorrow
    assert render(second, "terraform", previous=dict(after.files)).files == after.files

    # Going back is the inverse: every rule returns to where it was.
    back = render(first, "terraform", previous=dict(after.files))
    site.place(dict(back.files))
    site.plan()
    site.apply()
    assert permitted(site.output("ids")["hosts"]) == today
    site.destroy()


# What is called otherwise, and what was there before


def small(**changes: Any) -> dict[str, Any]:
    """Return a small site, in which tiers are peers by group."""
    return {
        "name": "site",
        "edition": "2026.11",
        "cloud": "aws",
        "tiers": {
            "ddc": {"roles": ["ddc"], "subnets": ["10.0.1.0/28"]},
            "vda": {"roles": ["vda"], "subnets": ["10.0.4.0/24"]},
        },
    } | changes


def replaced(plan: dict[str, Any]) -> list[Place]:
    """Return what a plan destroys, whatever it puts in its place."""
    changes = real.changes(plan)
    return [place for place, change in changes.items() if "delete" in change["actions"]]


def test_a_renamed_tier_and_a_renamed_deployment_replace_nothing(
    terraform: real.Terraform, moto_server: str, ec2_server: EC2Client, tmp_path: Path
) -> None:
    vpc = real.create_vpc(ec2_server)
    files = dict(render(real.compile_data(small()), "terraform").files)
    site = terraform.site(tmp_path, files, moto_server, vpc)
    site.create()
    ids = site.output("ids")

    tiers = {**small()["tiers"], "brokers": {**small()["tiers"]["ddc"], "renamed-from": "ddc"}}
    del tiers["ddc"]
    for data in (small(tiers=tiers), small(name="other", tiers=tiers, **{"renamed-from": "site"})):
        files = dict(render(real.compile_data(data), "terraform", previous=files).files)
        site.place(files)
        plan = site.plan()
        assert replaced(plan) == []
        changed = {
            (place, key)
            for place, change in real.changes(plan, "aws_security_group").items()
            for key in ("name", "name_prefix", "description", "tags")
            if change["before"][key] != change["after"][key]
        }
        assert {key for _, key in changed} == {"tags"}
        site.apply()
        assert site.output("ids") == ids
    (described,) = ec2_server.describe_security_groups(GroupIds=ids["ddc"])["SecurityGroups"]
    tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    assert tags == {**real.TAGS, "Name": "site-ddc", **real.identity_tags("other", "brokers")}
    site.destroy()


def test_rules_of_a_group_that_others_have_made_come_and_go_with_us(
    terraform: real.Terraform, moto_server: str, ec2_server: EC2Client, tmp_path: Path
) -> None:
    vpc = real.create_vpc(ec2_server)
    theirs = ec2_server.create_security_group(GroupName="controllers", Description="by hand", VpcId=vpc)
    group_id = theirs["GroupId"]
    before = real.read_groups(ec2_server, {"ddc": [group_id]}, "main")
    data = small()
    data["tiers"]["ddc"]["group"] = {"id": group_id}
    compilation = real.compile_data(data)
    site = terraform.site(tmp_path, render(compilation, "terraform").files, moto_server, vpc)
    site.create()
    assert site.output("ids")["ddc"] == [group_id]
    assert site.output("names")["ddc"] == ["controllers"]
    (described,) = ec2_server.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    assert (described["GroupName"], described["Description"]) == ("controllers", "by hand")
    # All of ours is there, and the egress to any address that such a group begins with.
    found = traffic_of(real.read_groups(ec2_server, site.output("ids"), "main"))
    wanted = traffic_of(compilation.policy.groups)
    assert found == wanted | traffic_of(before)
    assert replaced(site.plan()) == []
    site.destroy()
    assert traffic_of(real.read_groups(ec2_server, {"ddc": [group_id]}, "main")) == traffic_of(before)
    assert groups_in(ec2_server, vpc) == {"controllers"}


def test_a_group_is_imported_under_its_own_name(
    terraform: real.Terraform, moto_server: str, ec2_server: EC2Client, tmp_path: Path
) -> None:
    """Whoever takes a group over whole gives its name, and imports it: nothing about it has to change."""
    vpc = real.create_vpc(ec2_server)
    theirs = ec2_server.create_security_group(GroupName="controllers", Description="by hand", VpcId=vpc)
    data = small()
    data["tiers"]["ddc"]["group"] = {"name": "controllers"}
    site = terraform.site(tmp_path, render(real.compile_data(data), "terraform").files, moto_server, vpc)
    block = f"""
import {{
  to = module.site.aws_security_group.tier["ddc"]
  id = "{theirs["GroupId"]}"
}}
"""
    real.lay(tmp_path, {"import.tf": block})
    plan = site.plan()
    assert replaced(plan) == []
    change = real.changes(plan, "aws_security_group")["aws_security_group", "ddc"]
    assert change["actions"] in (["update"], ["no-op"])
    site.apply()
    assert site.output("ids")["ddc"] == [theirs["GroupId"]]
    (described,) = ec2_server.describe_security_groups(GroupIds=[theirs["GroupId"]])["SecurityGroups"]
    assert described["Description"] == "by hand"
    site.destroy()
