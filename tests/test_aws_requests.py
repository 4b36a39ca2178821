"""Target `aws` against botocore's own model of EC2 and against EC2 as moto plays it."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support import real

from citrix_netpolicy import Compilation, Direction, Group, GroupKey, Policy, Rule, TargetError, traffic_of
from citrix_netpolicy.net import Prefix, Protocol, Service, icmp, ip_protocol, ports
from citrix_netpolicy.policy import (
    Cause,
    ExistingGroup,
    GroupReference,
    PrefixList,
    ServiceTag,
    rule_order,
)
from citrix_netpolicy.targets import Options
from citrix_netpolicy.targets.aws import groups as aws
from citrix_netpolicy.targets.aws.attributes import rule_key
from citrix_netpolicy.targets.describe import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from mypy_boto3_ec2 import EC2Client

    from citrix_netpolicy.policy import Peer
    from citrix_netpolicy.targets.aws.groups import SecurityGroup

    Check = Callable[[str, Mapping[str, Any]], None]

# EC2 API reference: names of groups and descriptions of groups and rules have up to 255 of these characters.
# Some of the lists there lack `&`, so no description may hold one.
ACCEPTED = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
CAUSE = Cause("flow:test", "A flow of a test", ("a test",))
HTTPS = ports(Protocol.TCP, 443)


@pytest.fixture(params=["reference main", "two-networks control", "two-networks workload", "every kind"])
def case(request: pytest.FixtureRequest, reference: Compilation, two_networks: Compilation) -> real.Case:
    """The part of each example that lies in one network, and a policy with every kind of peer and service."""
    if request.param == "every kind":
        return every_kind()
    example, network = request.param.split()
    return real.Case.of({"reference": reference, "two-networks": two_networks}[example], network)


@pytest.fixture(scope="module")
def check() -> Check:
    """Check that arguments fit an operation of EC2, as botocore describes it."""
    try:
        import botocore.session  # noqa: PLC0415 - may be absent
        from botocore.validate import ParamValidator  # noqa: PLC0415
    except ImportError as error:
        real.absent(f"botocore is absent: {error}")
    model = botocore.session.get_session().get_service_model("ec2")

    def checked(operation: str, arguments: Mapping[str, Any]) -> None:
        shape = model.operation_model(operation).input_shape
        assert shape is not None
        report = ParamValidator().validate(dict(arguments), shape)
        assert not report.has_errors(), report.generate_report()
        assert arguments.keys() <= shape.members.keys()

    return checked


def make_case(
    *groups: Group, name: str = "site", rules_per_group: int = 60, groups_per_interface: int = 5
) -> real.Case:
    return real.Case(Policy.of(groups), Options(name, "main", rules_per_group, groups_per_interface))


def security_groups(case: real.Case) -> tuple[SecurityGroup, ...]:
    return aws.security_groups(case.policy, case.options).groups


def make_group(tier: str, rules: Iterable[Rule]) -> Group:
    return Group(GroupKey("main", tier), tuple(sorted(rules, key=rule_order)))


def ingress(peer: Peer | str, service: Service = HTTPS) -> Rule:
    return Rule(Direction.INGRESS, Prefix.parse(peer) if isinstance(peer, str) else peer, service, (CAUSE,))


def every_kind() -> real.Case:
    """Every kind of peer and of service that AWS has, in both directions."""
    services = {
        4: [
            ports(Protocol.TCP, 80),
            ports(Protocol.UDP, 1, 65535),
            icmp(Protocol.ICMP),
            icmp(Protocol.ICMP, 3),
            icmp(Protocol.ICMP, 3, 4),
        ],
        6: [Service(Protocol.TCP, 0, 65535), icmp(Protocol.ICMPV6, 128), icmp(Protocol.ICMPV6, 1, 0)],
    }
    nasty = Cause("flow:x", 'say "hi" \\ ${x} %{if}\n\ttab é -> `b` & ' + "long " * 80, ("a test",))
    other: list[Peer] = [
        GroupReference("a"),
        GroupReference("b"),
        PrefixList("pl-0a1b2c3d4e5f60718", 3),
    ]
    rules = [
        Rule(direction, peer, service, (CAUSE, nasty))
        for direction in Direction
        for version, address in ((4, "192.0.2.0/24"), (4, "0.0.0.0/0"), (6, "2001:db8::/32"), (6, "::/0"))
        for peer in (Prefix.parse(address),)
        for service in services[version]
    ]
    rules += [
        Rule(direction, peer, service, (nasty,))
        for direction in Direction
        for peer in other
        for service in (HTTPS, icmp(Protocol.ICMP))
    ]
    rules.append(Rule(Direction.EGRESS, Prefix.parse("198.51.100.0/24"), Service(Protocol.ALL, 0, 65535)))
    return make_case(make_group("a", rules), make_group("b", []))


def requests(
    groups: Iterable[SecurityGroup], ids: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for group in groups:
        yield "CreateSecurityGroup", group.create_request("vpc-0123456789abcdef0")
        yield "RevokeSecurityGroupEgress", group.revoke_default_egress_request(ids, vpc_has_ipv6=True)
        yield "AuthorizeSecurityGroupIngress", group.ingress_request(ids)
        yield "AuthorizeSecurityGroupEgress", group.egress_request(ids)


# Requests


def test_every_request_fits_its_operation(case: real.Case, check: Check) -> None:
    groups = security_groups(case)
    ids = {group.key: f"sg-{number:017x}" for number, group in enumerate(groups)}
    made = [*requests(groups, ids)]
    for operation, arguments in made:
        check(operation, arguments)
    assert len(made) == 4 * len(groups) > 0
    asked = [arguments.get("IpPermissions", ()) for name, arguments in made if name.startswith("Authorize")]
    assert sum(map(len, asked)) == case.policy.rule_count > 0


def test_the_check_of_requests_is_able_to_fail(check: Check) -> None:
    with pytest.raises(AssertionError):
        check("CreateSecurityGroup", {"GroupName": "a"})
    with pytest.raises(AssertionError):
        check("AuthorizeSecurityGroupIngress", {"IpPermissions": [{"CidrIp": "10.0.0.0/8"}]})


def test_names_and_descriptions_are_what_aws_accepts(case: real.Case) -> None:
    groups = security_groups(case)
    ids = {group.key: "sg-0" for group in groups}
    for group in groups:
        request = group.create_request("vpc-0")
        assert ACCEPTED.fullmatch(request["GroupName"])
        assert not request["GroupName"].lower().startswith("sg-")
        descriptions = [request["Description"]]
        for direction in Direction:
            for permission in group.permissions(direction, ids):
                (item,) = _items(permission)
                descriptions.append(item["Description"])
        for text in descriptions:
            assert text == "" or ACCEPTED.fullmatch(text)
            assert "&" not in text
    names = [group.name.lower() for group in groups]
    assert len(set(names)) == len(names)


def test_every_permission_holds_one_rule_once(case: real.Case) -> None:
    groups = security_groups(case)
    ids = {group.key: f"id of {group.key}" for group in groups}
    judged = 0
    for group in groups:
        for direction in Direction:
            permissions = group.permissions(direction, ids)
            seen: list[tuple[Any, ...]] = []
            for permission in permissions:
                # Other protocols, and all of them, are numbers; AWS returns no ports for them and wants none.
                with_ports = permission["IpProtocol"] in ("tcp", "udp", "icmp", "icmpv6")
                assert with_ports or -1 <= int(permission["IpProtocol"]) <= 255
                assert ("FromPort" in permission, "ToPort" in permission) == (with_ports, with_ports)
                (item,) = _items(permission)
                target = tuple((key, item[key]) for key in sorted(item) if key != "Description")
                span = (permission.get("FromPort"), permission.get("ToPort"))
                seen.append((permission["IpProtocol"], span, target))
            assert len(set(seen)) == len(seen), "AWS refuses the same permission twice"
            judged += len(seen)
    assert judged == case.policy.rule_count > 0


def test_every_permission_says_why_it_is_there(case: real.Case) -> None:
    groups = security_groups(case)
    ids = {group.key: f"id of {group.key}" for group in groups}
    judged = 0
    for group in groups:
        for direction in Direction:
            rules = [rule for rule in group.rules if rule.direction is direction]
            for rule, permission in zip(rules, group.permissions(direction, ids), strict=True):
                (item,) = _items(permission)
                assert item["Description"] == describe(rule.causes, 255)
                judged += 1
    assert judged == case.policy.rule_count > 0


def _items(permission: Mapping[str, Any]) -> list[dict[str, Any]]:
    kinds = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    return [item for kind in kinds for item in permission.get(kind, ())]


@pytest.mark.parametrize(
    ("service", "protocol", "span"),
    [
        (ports(Protocol.TCP, 80, 81), "tcp", (80, 81)),
        (icmp(Protocol.ICMP), "icmp", (-1, -1)),
        (icmp(Protocol.ICMP, 3), "icmp", (3, -1)),
        (icmp(Protocol.ICMP, 3, 4), "icmp", (3, 4)),
        (icmp(Protocol.ICMPV6, 128, 0), "icmpv6", (128, 0)),
    ],
)
def test_ports_and_icmp_are_where_ec2_expects_them(
    service: Service, protocol: str, span: tuple[int, int]
) -> None:
    address = "2001:db8::/32" if protocol == "icmpv6" else "192.0.2.0/24"
    (group,) = security_groups(make_case(make_group("a", [ingress(address, service)])))
    (permission,) = group.permissions(Direction.INGRESS, {})
    assert permission["IpProtocol"] == protocol
    assert (permission["FromPort"], permission["ToPort"]) == span


@pytest.mark.parametrize(("name", "number"), [("gre", 47), ("esp", 50), ("ah", 51), ("ip/89", 89)])
def test_a_protocol_without_ports_is_its_number(name: str, number: int) -> None:
    (group,) = security_groups(make_case(make_group("a", [ingress("192.0.2.0/24", ip_protocol(number))])))
    (permission,) = group.permissions(Direction.INGRESS, {})
    assert permission["IpProtocol"] == str(number)
    assert permission.keys() == {"IpProtocol", "IpRanges"}
    (rule,) = group.rules
    assert rule_key("a", rule) == f"a/ingress/{name}/192.0.2.0/24"


def test_what_a_new_group_begins_with_is_revoked_in_the_families_of_its_vpc() -> None:
    (group,) = security_groups(make_case(make_group("a", [])))
    for vpc_has_ipv6, expected in ((False, ["0.0.0.0/0"]), (True, ["0.0.0.0/0", "::/0"])):
        request = group.revoke_default_egress_request({"a": "sg-a"}, vpc_has_ipv6=vpc_has_ipv6)
        (permission,) = request.get("IpPermissions", ())
        assert permission.get("IpProtocol") == "-1"
        assert [item.get("CidrIp") or item["CidrIpv6"] for item in _items(permission)] == expected


def test_a_group_of_another_account_is_named_with_its_account(check: Check) -> None:
    rules = [ingress(ExistingGroup("123456789012/sg-0f1e2d3c")), ingress(ExistingGroup("sg-12345678"))]
    (group,) = security_groups(make_case(make_group("a", rules)))
    request = group.ingress_request({"a": "sg-a"})
    check("AuthorizeSecurityGroupIngress", request)
    pairs = [item for permission in request.get("IpPermissions", ()) for item in _items(permission)]
    for pair in pairs:
        del pair["Description"]
    assert pairs == [{"GroupId": "sg-0f1e2d3c", "UserId": "123456789012"}, {"GroupId": "sg-12345678"}]


# EC2 as moto plays it


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "network", "ipv6"),
    [
        ("reference", "main", True),
        pytest.param("two-networks", "control", False, marks=pytest.mark.slow),
        pytest.param("reference", "main", False, marks=pytest.mark.slow),
        pytest.param("two-networks", "control", True, marks=pytest.mark.slow),
        pytest.param("two-networks", "workload", False, marks=pytest.mark.slow),
        pytest.param("two-networks", "workload", True, marks=pytest.mark.slow),
    ],
)
def test_an_example_read_back_from_ec2_permits_the_same(
    name: str, network: str, ipv6: bool, ec2: EC2Client
) -> None:
    # A new group in a VPC with IPv6 starts with open egress in both families.
    vpc = real.create_vpc(ec2, ipv6=ipv6)
    data = real.example(name)
    if name == "two-networks":
        # moto refuses to name a group that it does not have.
        data["external"]["domain-controller"] = {"security-group": existing_group(ec2, vpc)}
    case = real.Case.of(real.compile_data(data), network)
    ids = real.create_groups(ec2, security_groups(case), vpc)
    found = real.read_groups(ec2, {tier: [id_] for tier, id_ in ids.items()}, network)
    assert traffic_of(found) == traffic_of(case.groups)
    assert sum(len(group.rules) for group in found) == case.policy.rule_count


@pytest.mark.slow
@pytest.mark.parametrize("rules_per_group", [5, 60])
def test_every_kind_of_rule_read_back_from_ec2_permits_the_same(rules_per_group: int, ec2: EC2Client) -> None:
    case = every_kind()
    options = replace(case.options, rules_per_group=rules_per_group, groups_per_interface=16)
    case = replace(case, options=options)
    groups = security_groups(case)
    ids = real.create_groups(ec2, groups, real.create_vpc(ec2))
    by_tier = {tier: [ids[group.key] for group in groups if group.tier == tier] for tier in ("a", "b")}
    found = real.read_groups(ec2, by_tier, "main")
    assert traffic_of(found) == traffic_of(case.groups)
    assert sum(len(group.rules) for group in found) == case.policy.rule_count


@pytest.mark.slow
def test_a_difference_in_ec2_is_seen(ec2: EC2Client) -> None:
    case = every_kind()
    ids = real.create_groups(ec2, security_groups(case), real.create_vpc(ec2))
    ec2.authorize_security_group_ingress(
        GroupId=ids["b"], IpProtocol="tcp", FromPort=1, ToPort=1, CidrIp="192.0.2.0/24"
    )
    found = real.read_groups(ec2, {tier: [id_] for tier, id_ in ids.items()}, "main")
    assert traffic_of(found) != traffic_of(case.groups)


def existing_group(ec2: EC2Client, vpc: str) -> str:
    return ec2.create_security_group(GroupName="directory", Description="not ours", VpcId=vpc)["GroupId"]


# Quotas


def hosts(count: int) -> list[Rule]:
    return [ingress(f"192.0.{number // 250}.{number % 250}") for number in range(count)]


def loads(group: SecurityGroup) -> dict[tuple[Direction, int], int]:
    """Count a group's rules as the VPC user guide does: by direction and family, lists at their maximum."""
    found: Counter[tuple[Direction, int]] = Counter()
    for rule in group.rules:
        peer = rule.peer
        versions = [peer.version] if isinstance(peer, Prefix) else [4, 6]
        for version in versions:
            found[rule.direction, version] += peer.max_entries if isinstance(peer, PrefixList) else 1
    return found


@pytest.mark.parametrize(("count", "rules_per_group"), [(150, 60), (61, 60), (300, 60), (23, 5), (25, 5)])
def test_a_tier_over_the_quota_gets_several_groups(count: int, rules_per_group: int) -> None:
    rules = hosts(count)
    case = make_case(make_group("a", rules), rules_per_group=rules_per_group)
    groups = security_groups(case)
    assert 1 < len(groups) <= 5
    assert all(max(loads(group).values(), default=0) <= rules_per_group for group in groups)
    assert sorted((rule for group in groups for rule in group.rules), key=rule_order) == sorted(
        rules, key=rule_order
    )
    assert [group.key for group in groups] == ["a", *(f"a/{n}" for n in range(2, len(groups) + 1))]
    assert [group.name for group in groups] == [
        "site-a",
        *(f"site-a-{n}" for n in range(2, len(groups) + 1)),
    ]


def test_150_external_prefixes_of_a_deployment_are_split() -> None:
    data = real.example("reference")
    # Every second address, so that no two of them are one prefix.
    data["external"]["admin-workstation"] = [f"10.99.{n // 100}.{2 * (n % 100)}" for n in range(150)]
    data["quotas"] = {"rules-per-group": 100, "groups-per-interface": 10}
    case = real.Case.of(real.compile_data(data))
    groups = security_groups(case)
    assert {group.tier for group in groups if group.key != group.tier} >= {"adc-management", "ddc"}
    assert all(max(loads(group).values(), default=0) <= 100 for group in groups)
    assert Counter((group.tier, rule) for group in groups for rule in group.rules) == Counter(
        (group.tier, rule) for group in case.groups for rule in group.rules
    )


def mixed(chance: random.Random) -> list[Rule]:
    rules = [
        *hosts(400),
        *(replace(rule, direction=Direction.EGRESS) for rule in hosts(60)),
        *(ingress(f"2001:db8::{number:x}") for number in range(60)),
        *(ingress(GroupReference(f"tier{number}")) for number in range(20)),
        *(ingress(PrefixList(f"pl-{number:08x}", chance.randint(1, 15))) for number in range(4)),
    ]
    chance.shuffle(rules)
    return rules


def first_fast(count: int, *, fast: int) -> list[Any]:
    """Return seeds, all but the first of which are for the slow suite."""
    return [pytest.param(seed, marks=pytest.mark.slow if seed >= fast else ()) for seed in range(count)]


def moves(rules: list[Rule], more: list[Rule], groups_per_interface: int) -> Iterator[tuple[int, int, int]]:
    """Add rules one by one; yield how many groups there were, how many there are, how many rules moved."""

    def placing() -> dict[Rule, str]:
        group = make_group("a", rules)
        case = make_case(group, rules_per_group=60, groups_per_interface=groups_per_interface)
        return {rule: group.key for group in security_groups(case) for rule in group.rules}

    rules = list(rules)
    before = placing()
    for rule in more:
        rules.append(rule)
        after = placing()
        assert after.keys() == {*before, rule}
        moved = sum(after[old] != key for old, key in before.items())
        yield len(set(before.values())), len(set(after.values())), moved
        before = after


@pytest.mark.parametrize("seed", first_fast(12, fast=4))
def test_a_new_rule_moves_no_other_while_the_number_of_groups_stays(seed: int) -> None:
    chance = random.Random(seed)
    rules = mixed(chance)
    start = chance.randint(1, 250)
    for groups, now, moved in moves(rules[:start], rules[start : start + 15], 16):
        assert now - groups in (0, 1)
        assert moved == 0 or now > groups


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_new_rule_moves_hardly_any_other_when_the_last_group_fills(seed: int) -> None:
    chance = random.Random(seed)
    rules = hosts(300)
    chance.shuffle(rules)
    start = chance.randint(220, 285)
    for groups, now, moved in moves(rules[:start], rules[start : start + 15], 5):
        assert groups == now == 5
        assert moved <= 5


def test_more_rules_than_all_groups_hold_are_refused_with_the_numbers() -> None:
    with pytest.raises(TargetError) as refusal:
        security_groups(make_case(make_group("web", hosts(301))))
    text = str(refusal.value)
    assert "tiers.web" in text
    for number in ("301", "300", "60", "5"):
        assert re.search(rf"\b{number}\b", text), text


def test_families_and_directions_are_counted_apart() -> None:
    families = [*hosts(10), *(ingress(f"2001:db8::{number:x}") for number in range(10))]
    rules = [replace(rule, direction=direction) for rule in families for direction in Direction]
    assert len(security_groups(make_case(make_group("a", rules), rules_per_group=10))) == 1
    assert len(security_groups(make_case(make_group("a", rules), rules_per_group=9))) > 1


def test_a_reference_to_a_group_counts_in_both_families() -> None:
    rules = [*hosts(5), *(ingress(f"2001:db8::{number:x}") for number in range(5))]
    rules += [ingress(GroupReference("a"), ports(Protocol.TCP, port)) for port in range(1, 4)]
    rules += [ingress(ExistingGroup("sg-12345678"), ports(Protocol.TCP, port)) for port in range(1, 3)]
    assert len(security_groups(make_case(make_group("a", rules), rules_per_group=10))) == 1
    for more in (ingress("198.51.100.1"), ingress("2001:db8:1::1"), ingress(GroupReference("a"))):
        groups = security_groups(make_case(make_group("a", [*rules, more]), rules_per_group=10))
        assert len(groups) > 1
        assert all(max(loads(group).values()) <= 10 for group in groups if group.rules)


def test_a_prefix_list_weighs_its_maximum_of_entries() -> None:
    rules = [ingress(PrefixList("pl-12345678", 8)), ingress("192.0.2.1"), ingress("192.0.2.2")]
    rules += [ingress("2001:db8::1"), ingress("2001:db8::2")]
    assert len(security_groups(make_case(make_group("a", rules), rules_per_group=10))) == 1
    for more in (ingress("192.0.2.3"), ingress("2001:db8::3")):
        groups = security_groups(make_case(make_group("a", [*rules, more]), rules_per_group=10))
        assert len(groups) > 1
        assert all(max(loads(group).values()) <= 10 for group in groups if group.rules)


def test_a_prefix_list_that_no_group_holds_is_refused() -> None:
    with pytest.raises(TargetError, match=r"tiers\.a.*\b61\b"):
        security_groups(make_case(make_group("a", [ingress(PrefixList("pl-12345678", 61))])))


# What AWS refuses


def test_a_service_tag_is_refused() -> None:
    rules = [ingress(ServiceTag("AzureCloud"))]
    for target in ("aws", "terraform"):
        with pytest.raises(TargetError, match=r"tiers\.a: .*AzureCloud"):
            make_case(make_group("a", rules)).files(target)


def test_a_service_tag_of_a_deployment_in_aws_is_refused() -> None:
    data = real.example("reference")
    data["external"]["admin-workstation"] = {"service-tag": "AzureCloud"}
    with pytest.raises(TargetError, match="AzureCloud"):
        real.files_of(real.compile_data(data), "terraform")


def test_group_names_that_differ_in_case_only_are_refused() -> None:
    with pytest.raises(TargetError, match="case-insensitive") as refusal:
        security_groups(make_case(make_group("Web", []), make_group("web", [])))
    assert "`Web`" in str(refusal.value)
    assert "`web`" in str(refusal.value)


def test_the_name_of_a_further_group_may_not_be_that_of_another_tier() -> None:
    with pytest.raises(TargetError, match="share the group name"):
        security_groups(make_case(make_group("web", hosts(100)), make_group("web-2", [])))


@pytest.mark.parametrize(
    ("other", "keys"),
    [
        ("web/2", None),
        ("web/3", ["web", "web/2", "web/3"]),
        ("web/02", ["web", "web/02", "web/2"]),
        ("WEB/2", ["WEB/2", "web", "web/2"]),
        ("web2", ["web", "web/2", "web2"]),
    ],
)
def test_the_key_of_a_further_group_is_never_that_of_another_tier(other: str, keys: list[str] | None) -> None:
    case = make_case(make_group("web", hosts(100)), make_group(other, hosts(1)))
    if keys is not None:
        assert sorted(group.key for group in security_groups(case)) == keys
        return
    with pytest.raises(TargetError, match=f"share the group key `{other}`") as refusal:
        security_groups(case)
    assert [(problem.code, problem.path) for problem in refusal.value.problems] == [
        ("name-clash", ("tiers", other))
    ]


@pytest.mark.parametrize("name", ["sg-x", "SG-x", "Sg-"])
def test_names_that_begin_like_an_id_are_refused(name: str) -> None:
    with pytest.raises(TargetError, match="refuses the group name"):
        security_groups(make_case(make_group("a", []), name=name))


@pytest.mark.parametrize(
    "tier", ['q"', "it%{if}", "é", "a\\b", "a|b", "a>b", "a?", "a~", "a^", "`a`", "it's", "a" * 251]
)
def test_a_tier_name_that_aws_refuses_is_refused(tier: str) -> None:
    for target in ("aws", "terraform"):
        with pytest.raises(TargetError, match="refuses the group name"):
            make_case(make_group(tier, [])).files(target)


def test_a_name_has_room_for_what_terraform_appends() -> None:
    (group,) = security_groups(make_case(make_group("a" * 215, [])))
    assert len(group.name) == 220
    assert ACCEPTED.fullmatch(group.description)
    with pytest.raises(TargetError, match="refuses the group name"):
        security_groups(make_case(make_group("a" * 216, [])))


@pytest.mark.parametrize(
    ("rule", "key", "peer"),
    [
        (ingress("192.0.2.0/24"), "tcp/443/192.0.2.0/24", ("cidr_ipv4", "192.0.2.0/24")),
        (ingress("2001:db8::/32"), "tcp/443/2001:db8::/32", ("cidr_ipv6", "2001:db8::/32")),
        (ingress(GroupReference("a")), "tcp/443/tier:a", ("tier", "a")),
        (ingress(PrefixList("pl-12345678")), "tcp/443/pl-12345678", ("prefix_list_id", "pl-12345678")),
        (ingress("192.0.2.1", ports(Protocol.UDP, 1, 5)), "udp/1-5/192.0.2.1/32", ("to_port", 5)),
        (ingress("192.0.2.1", icmp(Protocol.ICMP, 3, 4)), "icmp/3.4/192.0.2.1/32", ("to_port", 4)),
    ],
)
@pytest.mark.parametrize("direction", Direction)
def test_terraform_names_a_rule_by_what_it_says(
    direction: Direction, rule: Rule, key: str, peer: tuple[str, str | int]
) -> None:
    # Keys are a contract with every state file, and the attribute of a peer is one with the provider.
    case = make_case(make_group("a", [replace(rule, direction=direction)]))
    text = case.files("terraform")["rules.tf"]
    _, _, attributes = text.partition(f'"a/{direction}/{key}" = {{')
    name, value = peer
    assert re.search(rf"^ *{name} += {re.escape(json.dumps(value))}$", attributes, re.MULTILINE), text


def test_terraform_spreads_rules_over_the_groups_of_a_tier() -> None:
    case = make_case(make_group("a", hosts(150)))
    text = case.files("terraform")["rules.tf"]
    placed = Counter(re.findall(r'^ *group += "(.+)"$', text, re.MULTILINE))
    assert placed == {group.key: len(group.rules) for group in security_groups(case)}
    assert max(placed.values()) <= 60


@pytest.mark.slow
@pytest.mark.parametrize("target", ["aws", "terraform"])
def test_a_network_gets_only_its_own_groups(two_networks: Compilation, target: str) -> None:
    for network in ("control", "workload"):
        found = real.read(real.files_of(two_networks, target, network), target, "aws")
        expected = {group.tier for group in two_networks.policy.groups if group.network == network}
        assert {group.tier for group in found} == expected


def test_rules_that_would_share_a_key_in_terraform_are_refused() -> None:
    one = make_group("a", [ingress(GroupReference("b/ingress/tcp/443/tier:c"))])
    two = make_group("a/ingress/tcp/443/tier:b", [ingress(GroupReference("c"))])
    others = [make_group("b/ingress/tcp/443/tier:c", []), make_group("c", [])]
    with pytest.raises(TargetError, match="two rules would share the key"):
        make_case(one, two, *others).files("terraform")


def test_every_problem_is_told_at_once() -> None:
    case = make_case(
        make_group("é", []),
        make_group("full", hosts(301)),
        make_group("tag", [ingress(ServiceTag("AzureCloud"))]),
        make_group("Web", []),
        make_group("web", []),
    )
    with pytest.raises(TargetError) as refusal:
        security_groups(case)
    assert {problem.path for problem in refusal.value.problems} == {
        ("tiers", tier) for tier in ("é", "full", "tag", "web")
    }


@pytest.mark.parametrize(("name", "number"), [("tcp", "6"), ("udp", "17"), ("icmp", "1"), ("icmpv6", "58")])
def test_a_name_of_ec2_and_its_number_are_read_alike(name: str, number: str) -> None:
    opened = [
        *(ports(protocol, 80, 81) for protocol in (Protocol.TCP, Protocol.UDP)),
        *(icmp(protocol, 3) for protocol in (Protocol.ICMP, Protocol.ICMPV6)),
    ]
    addresses = ["192.0.2.0/24"] * 3 + ["2001:db8::/64"]
    case = make_case(make_group("a", [ingress(*pair) for pair in zip(addresses, opened, strict=True)]))
    files = dict(case.render("aws").files)
    told = {
        file: text.replace(f'"IpProtocol": "{name}"', f'"IpProtocol": "{number}"')
        for file, text in files.items()
    }
    assert told != files
    assert traffic_of(real.read(told, "aws", "aws")) == traffic_of(case.groups)
