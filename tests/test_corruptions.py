"""Law 2: any corruption of a generated folder is refused with its place, or changes the traffic that is read.

What may differ in silence is what permits nothing: descriptions, comments, spaces, names of the deployment
and of groups, and files that take no part in a deployment (README, lists for people, tests of the module).
"""

from __future__ import annotations

import random
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from support import real

from citrix_netpolicy import GroupKey, InputError, traffic_of
from citrix_netpolicy.found import folder
from citrix_netpolicy.identities import Identities, TierIdentity

if TYPE_CHECKING:
    from collections.abc import Callable

    from citrix_netpolicy import Traffic

    Files = dict[str, str]
    Change = Callable[[Files], Files]

CLOUDS = {"aws": "aws", "tf-aws": "aws", "azure": "azure", "tf-azure": "azure", "bicep": "azure"}
TARGETS = {"tf-aws": "terraform", "tf-azure": "terraform"}
MAIN = {
    "aws": "security-groups.json",
    "tf-aws": "rules.tf",
    "azure": "network-security-groups.json",
    "tf-azure": "rules.tf",
    "bicep": "main.bicep",
}


@cache
def generated(kind: str) -> Files:
    """The files of the reference deployment, with groups as peers and a flow to each family."""
    data = real.example("reference")
    data |= {"cloud": CLOUDS[kind], "peers": "group"}
    data["external"]["v6"] = {"roles": ["syslog"], "addresses": ["2001:db8::/32"]}
    data["flows"]["six"] = {
        "source": "v6",
        "destination": "ddc",
        "services": [{"protocol": "tcp", "ports": [22]}],
        "reason": "Six",
    }
    data["tiers"]["ddc"] = {"roles": ["ddc"], "subnets": [*_subnets(data["tiers"]["ddc"]), "2001:db8:1::/64"]}
    files = real.files_of(real.compile_data(data), TARGETS.get(kind, kind))
    return {name: text for name, text in files.items() if name != "identities.json"}


def _subnets(tier: Any) -> list[str]:
    return list(tier if isinstance(tier, list) else tier["subnets"])


def read(kind: str, files: Files) -> Traffic:
    return traffic_of(folder.read(files, TARGETS.get(kind, kind), CLOUDS[kind]).policy.groups)


@cache
def traffic(kind: str) -> Traffic:
    return read(kind, generated(kind))


def main(kind: str, change: Callable[[str], str]) -> Change:
    """Change the file of the rules."""
    return lambda files: files | {MAIN[kind]: change(files[MAIN[kind]])}


def swap(kind: str, old: str, new: str, count: int = 1) -> Change:
    return main(kind, lambda text: text.replace(old, new, count))


def sub(kind: str, pattern: str, new: str, count: int = 1) -> Change:
    return main(kind, lambda text: re.sub(pattern, new, text, count=count, flags=re.MULTILINE))


def in_file(name: str, old: str, new: str) -> Change:
    def change(files: Files) -> Files:
        assert old in files[name], name
        return files | {name: files[name].replace(old, new, 1)}

    return change


def add(name: str, text: str) -> Change:
    return lambda files: files | {name: text}


def lose(name: str) -> Change:
    return lambda files: {other: text for other, text in files.items() if other != name}


RULE_AWS = re.compile(r'^    "vda/ingress/.*= \{\n(?:.*\n)*?    \}\n', re.MULTILINE)
RULE_AZURE = re.compile(r'^    "vda/ingress/allow.*= \{\n(?:.*\n)*?    \}\n', re.MULTILINE)
RULE_JSON = re.compile(r"^        \{\n(?:.*\n)*?        \},\n", re.MULTILINE)
RULE_BICEP = re.compile(r"^      \{\n(?:.*\n)*?      \}\n", re.MULTILINE)


def without(kind: str, pattern: re.Pattern[str]) -> Change:
    return main(kind, lambda text: pattern.sub("", text, count=1))


def twice(kind: str, pattern: re.Pattern[str]) -> Change:
    return main(kind, lambda text: pattern.sub(lambda match: match[0] * 2, text, count=1))


def twice_renamed(kind: str, pattern: re.Pattern[str], name: str, new: str) -> Change:
    def change(text: str) -> str:
        found = pattern.search(text)
        assert found
        copy = re.sub(name, new, found[0])
        assert copy != found[0]
        return text[: found.end()] + copy + text[found.end() :]

    return main(kind, change)


DENY_JSON = '"protocol": "*",\n            "sourcePortRange": "*",\n            "destinationPortRange": "*",'
DENY_HCL = re.compile(r"deny-all-inbound\"\n(?:.*\n)*?    \}\n")
DENY_BICEP = re.compile(r"deny-all-inbound'\n(?:.*\n)*?      \}\n")


def in_deny(kind: str, pattern: re.Pattern[str], old: str, new: str) -> Change:
    """Change the first final deny of a text."""

    def change(text: str) -> str:
        found = pattern.search(text)
        assert found
        assert re.search(old, found[0]), found[0]
        return text[: found.start()] + re.sub(old, new, found[0], count=1) + text[found.end() :]

    return main(kind, change)


DENY_OF_JSON = re.compile(r'"name": "deny-all-inbound",\n(?:.*\n)*?          \}')

CORRUPTIONS: dict[str, tuple[str, Change]] = {
    # aws: EC2 shapes as JSON
    "aws-not-json": ("aws", swap("aws", "{", "[")),
    "aws-cut-off": ("aws", main("aws", lambda text: text[: len(text) // 2])),
    "aws-unknown-key": ("aws", swap("aws", '"IpProtocol": "tcp",', '"IpProtocol": "tcp",\n"Weather": 1,')),
    "aws-duplicate-key": ("aws", swap("aws", '"FromPort"', '"FromPort": 1,\n"FromPort"')),
    "aws-no-port": ("aws", sub("aws", r'^ *"ToPort": .*\n', "")),
    "aws-port-text": ("aws", sub("aws", r'"FromPort": ([0-9]+)', r'"FromPort": "\1"')),
    "aws-port-true": ("aws", sub("aws", r'"FromPort": [0-9]+', '"FromPort": true')),
    "aws-port-huge": ("aws", sub("aws", r'"ToPort": [0-9]+', '"ToPort": 99999')),
    "aws-port-wider": ("aws", sub("aws", r'"FromPort": [0-9]+', '"FromPort": 1')),
    "aws-all-protocols": ("aws", swap("aws", '"IpProtocol": "tcp"', '"IpProtocol": "-1"')),
    "aws-protocol-number": ("aws", swap("aws", '"IpProtocol": "tcp"', '"IpProtocol": "47"')),
    "aws-open": ("aws", sub("aws", r'"CidrIp": "10[^"]*"', '"CidrIp": "0.0.0.0/0"')),
    "aws-host-bits": ("aws", sub("aws", r'"CidrIp": "[^"]*"', '"CidrIp": "10.0.0.1/8"')),
    "aws-other-family": ("aws", sub("aws", r'"CidrIp": "[^"]*"', '"CidrIp": "::/0"')),
    "aws-no-peer": ("aws", sub("aws", r'"UserIdGroupPairs": \[\n(?:.*\n)*?\s*\]', '"UserIdGroupPairs": []')),
    "aws-other-group": ("aws", swap("aws", '"GroupId": "tier:ddc"', '"GroupId": "tier:sql"')),
    "aws-unknown-group": ("aws", swap("aws", '"GroupId": "tier:ddc"', '"GroupId": "tier:nobody"')),
    "aws-group-with-account": (
        "aws",
        swap("aws", '"GroupId": "tier:ddc"', '"UserId": "123456789012",\n"GroupId": "tier:ddc"'),
    ),
    "aws-sides-swapped": (
        "aws",
        main(
            "aws",
            lambda text: (
                text.replace('"IpPermissions"', '"x"')
                .replace('Egress"', '"')
                .replace('"x"', '"IpPermissionsEgress"')
            ),
        ),
    ),
    "aws-rule-twice": ("aws", twice("aws", RULE_JSON)),
    "aws-rule-lost": ("aws", without("aws", RULE_JSON)),
    "aws-tier-renamed": ("aws", swap("aws", '"tier": "vda"', '"tier": "ddc"')),
    "aws-key-renamed": ("aws", swap("aws", '"key": "vda"', '"key": "vda/2"')),
    "aws-version": ("aws", swap("aws", '"version": 1', '"version": 2')),
    "aws-file-lost": ("aws", lose("security-groups.json")),
    # terraform in AWS
    "tf-aws-no-hcl": ("tf-aws", swap("tf-aws", "locals {", "locals {{")),
    "tf-aws-empty": ("tf-aws", main("tf-aws", lambda text: "")),
    "tf-aws-nul": ("tf-aws", swap("tf-aws", "locals {", "\0locals {")),
    "tf-aws-rules-are-a-list": (
        "tf-aws",
        sub("tf-aws", r"^  ingress_rules = \{(?:.*\n)*?  \}$", "  ingress_rules = []"),
    ),
    "tf-aws-no-port": ("tf-aws", sub("tf-aws", r"^ +to_port +=.*\n", "")),
    "tf-aws-open": ("tf-aws", sub("tf-aws", r'cidr_ipv4   = "10[^"]*"', 'cidr_ipv4   = "0.0.0.0/0"')),
    "tf-aws-wider": ("tf-aws", sub("tf-aws", r"from_port   = [0-9]+", "from_port   = 1")),
    "tf-aws-other-group": ("tf-aws", sub("tf-aws", r'group       = "vda"', 'group       = "ddc"')),
    "tf-aws-two-peers": (
        "tf-aws",
        sub("tf-aws", r"^( +)(tier +=.*)\n", r'\1\2\n\1cidr_ipv4   = "0.0.0.0/0"\n'),
    ),
    "tf-aws-unknown-argument": ("tf-aws", sub("tf-aws", r"^( +)(to_port.*)\n", r"\1\2\n\1weather     = 1\n")),
    "tf-aws-expression": ("tf-aws", sub("tf-aws", r"from_port   = [0-9]+", "from_port   = 1 + 1")),
    "tf-aws-template": ("tf-aws", sub("tf-aws", r'cidr_ipv4   = "[^"]*"', 'cidr_ipv4   = "${var.x}"')),
    "tf-aws-second-locals": ("tf-aws", main("tf-aws", lambda text: text + "\nlocals {\n  x = 1\n}\n")),
    "tf-aws-resource-behind": (
        "tf-aws",
        main("tf-aws", lambda text: text + '\nresource "aws_security_group" "x" {\n}\n'),
    ),
    "tf-aws-rule-lost": ("tf-aws", without("tf-aws", RULE_AWS)),
    "tf-aws-rule-twice": ("tf-aws", twice("tf-aws", RULE_AWS)),
    "tf-aws-rule-copied": ("tf-aws", twice_renamed("tf-aws", RULE_AWS, "vda/ingress", "vda/again")),
    "tf-aws-rule-commented-out": (
        "tf-aws",
        main("tf-aws", lambda text: RULE_AWS.sub(lambda match: f"/*\n{match[0]}*/\n", text, count=1)),
    ),
    "tf-aws-way-moved": (
        "tf-aws",
        main(
            "tf-aws",
            lambda text: (
                text.replace("ingress_rules =", "x =")
                .replace("egress_rules =", "ingress_rules =")
                .replace("  x =", "  egress_rules =")
            ),
        ),
    ),
    "tf-aws-tier-lost": ("tf-aws", sub("tf-aws", r'^    vda += \["vda"\]\n', "")),
    "tf-aws-group-of-another-tier": ("tf-aws", sub("tf-aws", r'^(    vda +=) \["vda"\]', r'\1 ["ddc"]')),
    "tf-aws-no-network": ("tf-aws", sub("tf-aws", r"^# Network: .*\n", "")),
    "tf-aws-main-rule": (
        "tf-aws",
        lambda files: (
            files
            | {"main.tf": files["main.tf"] + '\nresource "aws_vpc_security_group_ingress_rule" "x" {\n}\n'}
        ),
    ),
    "tf-aws-main-open": ("tf-aws", in_file("main.tf", "try(each.value.cidr_ipv4, null)", '"0.0.0.0/0"')),
    "tf-aws-main-for-each": ("tf-aws", in_file("main.tf", "for_each = local.ingress_rules", "for_each = {}")),
    "tf-aws-main-lifecycle": (
        "tf-aws",
        in_file("main.tf", "create_before_destroy = true", "prevent_destroy = true"),
    ),
    "tf-aws-main-other-group": (
        "tf-aws",
        in_file("main.tf", "tier[each.value.group]", "tier[each.value.tier]"),
    ),
    "tf-aws-output-spoiled": ("tf-aws", in_file("outputs.tf", "local.tiers", "{}")),
    "tf-aws-versions-spoiled": ("tf-aws", in_file("versions.tf", "hashicorp/aws", "somebody/aws")),
    "tf-aws-variables-spoiled": ("tf-aws", in_file("variables.tf", "vpc_id", "vpc")),
    "tf-aws-main-lost": ("tf-aws", lose("main.tf")),
    "tf-aws-file-added": ("tf-aws", add("more.tf", 'resource "aws_security_group" "x" {}\n')),
    "tf-aws-override": ("tf-aws", add("main_override.tf", "locals {\n}\n")),
    "tf-aws-json-added": ("tf-aws", add("x.tf.json", "{}")),
    # azure: REST JSON
    "azure-deny-tcp": ("azure", in_deny("azure", DENY_OF_JSON, r'"protocol": "\*"', '"protocol": "Tcp"')),
    "azure-deny-part": (
        "azure",
        in_deny("azure", DENY_OF_JSON, r'"sourceAddressPrefix": "\*"', '"sourceAddressPrefix": "10.0.0.0/8"'),
    ),
    "azure-deny-port": (
        "azure",
        in_deny("azure", DENY_OF_JSON, r'"destinationPortRange": "\*"', '"destinationPortRange": "22"'),
    ),
    "azure-deny-earlier": ("azure", in_deny("azure", DENY_OF_JSON, '"priority": 4096', '"priority": 4095')),
    "azure-deny-first": ("azure", in_deny("azure", DENY_OF_JSON, '"priority": 4096', '"priority": 100')),
    "azure-deny-in-lower-case": ("azure", in_deny("azure", DENY_OF_JSON, '"Deny"', '"deny"')),
    "azure-deny-allows": ("azure", in_deny("azure", DENY_OF_JSON, '"Deny"', '"Allow"')),
    "azure-own-side": (
        "azure",
        swap("azure", '"destinationAddressPrefix": "*"', '"destinationAddressPrefix": "10.0.0.1"'),
    ),
    "azure-source-port": ("azure", swap("azure", '"sourcePortRange": "*"', '"sourcePortRange": "53"')),
    "azure-unknown-key": ("azure", swap("azure", '"access": "Allow"', '"weather": 1,\n"access": "Allow"')),
    "azure-access-lower": ("azure", swap("azure", '"access": "Allow"', '"access": "allow"')),
    "azure-access-denied": ("azure", swap("azure", '"access": "Allow"', '"access": "Deny"')),
    "azure-direction": ("azure", swap("azure", '"direction": "Inbound"', '"direction": "Outbound"')),
    "azure-priority-twice": ("azure", sub("azure", r'"priority": [123][0-9]+', '"priority": 4096')),
    "azure-priority-huge": ("azure", sub("azure", r'"priority": [123][0-9]+', '"priority": 65000')),
    "azure-any-source": (
        "azure",
        sub("azure", r'"sourceAddressPrefix": "[0-9][^"]*"', '"sourceAddressPrefix": "*"'),
    ),
    "azure-tag": (
        "azure",
        sub("azure", r'"sourceAddressPrefix": "[0-9][^"]*"', '"sourceAddressPrefix": "Internet"'),
    ),
    "azure-no-port": ("azure", sub("azure", r'^ *"destinationPortRange": .*\n', "")),
    "azure-other-asg": ("azure", swap("azure", '"id": "tier:ddc"', '"id": "tier:sql"')),
    "azure-strange-asg": ("azure", swap("azure", '"id": "tier:ddc"', '"id": "/subscriptions/x"')),
    "azure-both-forms": (
        "azure",
        swap("azure", '"sourcePortRange": "*"', '"sourcePortRange": "*",\n"sourcePortRanges": ["*"]'),
    ),
    "azure-rules-are-a-map": ("azure", swap("azure", '"securityRules": [', '"securityRules": {}, "x": [')),
    "azure-protocol-lower": ("azure", swap("azure", '"protocol": "Tcp"', '"protocol": "TCP"')),
    # terraform in Azure
    "tf-azure-deny-tcp": (
        "tf-azure",
        in_deny("tf-azure", DENY_HCL, r'protocol( +)= "\*"', r'protocol\1= "Tcp"'),
    ),
    "tf-azure-deny-part": (
        "tf-azure",
        in_deny(
            "tf-azure", DENY_HCL, r'source_address_prefix( +)= "\*"', r'source_address_prefix\1= "10.0.0.0/8"'
        ),
    ),
    "tf-azure-deny-port": (
        "tf-azure",
        in_deny("tf-azure", DENY_HCL, r'destination_port_range( +)= "\*"', r'destination_port_range\1= "22"'),
    ),
    "tf-azure-deny-earlier": ("tf-azure", in_deny("tf-azure", DENY_HCL, "4096", "4095")),
    "tf-azure-rules-are-a-list": (
        "tf-azure",
        sub("tf-azure", r"^  rules = \{(?:.*\n)*?  \}$", "  rules = []"),
    ),
    "tf-azure-source-port": (
        "tf-azure",
        sub("tf-azure", r"^( +)(access +=.*)\n", r'\1\2\n\1source_port_range = "53"\n'),
    ),
    "tf-azure-rule-lost": ("tf-azure", without("tf-azure", RULE_AZURE)),
    "tf-azure-rule-copied": ("tf-azure", twice_renamed("tf-azure", RULE_AZURE, "allow-", "allow_")),
    "tf-azure-other-tier": (
        "tf-azure",
        sub("tf-azure", r'source_tiers( +)= \["[^"]*"', r'source_tiers\1= ["sql"'),
    ),
    "tf-azure-unknown-tier": (
        "tf-azure",
        sub("tf-azure", r'source_tiers( +)= \["[^"]*"', r'source_tiers\1= ["x"'),
    ),
    "tf-azure-main-access": ("tf-azure", in_file("main.tf", "security_rule.value.access", '"Allow"')),
    "tf-azure-main-source": (
        "tf-azure",
        in_file("main.tf", "try(security_rule.value.source_address_prefix, null)", '"*"'),
    ),
    "tf-azure-file-added": ("tf-azure", add("more.tf", 'resource "azurerm_network_security_rule" "x" {}\n')),
    # bicep
    "bicep-deny-tcp": ("bicep", in_deny("bicep", DENY_BICEP, r"protocol: '\*'", "protocol: 'Tcp'")),
    "bicep-deny-part": (
        "bicep",
        in_deny("bicep", DENY_BICEP, r"sourceAddressPrefix: '\*'", "sourceAddressPrefix: '10.0.0.0/8'"),
    ),
    "bicep-deny-earlier": ("bicep", in_deny("bicep", DENY_BICEP, "4096", "4095")),
    "bicep-own-side": (
        "bicep",
        swap("bicep", "destinationAddressPrefix: '*'", "destinationAddressPrefix: '10.0.0.1'"),
    ),
    "bicep-unknown-key": ("bicep", swap("bicep", "access: 'Allow'", "weather: 1\n access: 'Allow'")),
    "bicep-duplicate-key": ("bicep", swap("bicep", "access: 'Allow'", "access: 'Deny'\n access: 'Allow'")),
    "bicep-interpolation": ("bicep", swap("bicep", "access: 'Allow'", "access: 'All${ow}'")),
    "bicep-expression": ("bicep", swap("bicep", "priority: 4096", "priority: location")),
    "bicep-other-asg": ("bicep", swap("bicep", "id: asg_ddc.id", "id: asg_sql.id")),
    "bicep-unknown-asg": ("bicep", swap("bicep", "id: asg_ddc.id", "id: nsg_ddc.id")),
    "bicep-rule-lost": ("bicep", without("bicep", RULE_BICEP)),
    "bicep-rule-copied": ("bicep", twice("bicep", RULE_BICEP)),
    "bicep-resource-added": (
        "bicep",
        main(
            "bicep",
            lambda text: text + "\nresource x 'Microsoft.Network/publicIPAddresses@2025-05-01' = {}\n",
        ),
    ),
    "bicep-module-added": ("bicep", main("bicep", lambda text: text + "\nmodule x 'x.bicep' = {}\n")),
    "bicep-resource-commented-out": (
        "bicep",
        sub("bicep", r"^(resource nsg_vda (?:.*\n)*?\}\n)", r"/*\n\1*/\n"),
    ),
    "bicep-other-type": (
        "bicep",
        sub("bicep", r"networkSecurityGroups@2025-05-01", "networkSecurityGroups@2020-01-01"),
    ),
    "bicep-condition": ("bicep", sub("bicep", r"^(resource nsg_vda .*) = \{", r"\1 = if (false) {")),
    "bicep-parameter-added": ("bicep", main("bicep", lambda text: "param x string = 'y'\n" + text)),
    "bicep-output-spoiled": ("bicep", swap("bicep", "vda: nsg_vda.id", "vda: nsg_ddc.id")),
    "bicep-name-swapped": ("bicep", swap("bicep", "'nsg-contoso-prod-vda'", "'nsg-contoso-prod-ddc'")),
    "bicep-other-tags": ("bicep", swap("bicep", "union(tags, {", "union(resourceGroup().tags, {")),
    "bicep-linter-off": ("bicep", in_file("bicepconfig.json", '"enabled": true', '"enabled": false')),
    "bicep-decorator": ("bicep", sub("bicep", r"^resource nsg_vda", "@batchSize(1)\nresource nsg_vda")),
    "bicep-file-added": ("bicep", add("more.bicep", "param x string\n")),
    "bicep-file-lost": ("bicep", lose("main.bicep")),
}


def test_there_are_many_corruptions_of_every_target() -> None:
    assert len(CORRUPTIONS) >= 100
    counts = {kind: sum(kind == one for one, _ in CORRUPTIONS.values()) for kind in CLOUDS}
    assert min(counts.values()) >= 10, counts


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAIN)
def test_a_tier_that_is_kept_under_another_key_is_read(kind: str) -> None:
    target = TARGETS.get(kind, kind)
    data = real.example("reference") | {"cloud": CLOUDS[kind], "peers": "group"}
    compilation = real.compile_data(data)
    kept = Identities({"ddc": TierIdentity(key="controllers")})
    previous = {"identities.json": kept.to_json(compilation.deployment.name, "main")}
    files = real.files_of(compilation, target, previous=previous)
    found = folder.read(files, target, CLOUDS[kind])
    assert {GroupKey("main", "controllers")} == {
        group.key for group in found.groups if group.key.tier in ("ddc", "controllers")
    }
    unmoved = folder.read(real.files_of(compilation, target), target, CLOUDS[kind])
    assert [len(group.rules) for group in found.groups if group.key.tier == "controllers"] == [
        len(group.rules) for group in unmoved.groups if group.key.tier == "ddc"
    ]


@pytest.mark.parametrize("kind", CLOUDS)
def test_what_is_generated_is_read(kind: str) -> None:
    assert traffic(kind)
    rules = [
        rule
        for group in folder.read(generated(kind), TARGETS.get(kind, kind), CLOUDS[kind]).groups
        for rule in group.rules
    ]
    assert rules
    for rule in rules:
        assert rule.origin
        assert rule.origin.address
        assert rule.origin.mark
        assert rule.origin.mark.file == MAIN[kind]
        assert rule.origin.mark.line > 1


# HCL takes long to read, so the fast suite has one of its kinds where every kind is read many times.
FEW_OF_HCL = [pytest.param(kind, marks=pytest.mark.slow if kind.startswith("tf") else ()) for kind in CLOUDS]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if kind.startswith("tf") and number % 4 else ())
        for number, (name, (kind, _)) in enumerate(CORRUPTIONS.items())
    ],
)
def test_a_corruption_is_refused_or_changes_the_traffic(name: str) -> None:
    kind, change = CORRUPTIONS[name]
    files = change(dict(generated(kind)))
    assert files != generated(kind), "the corruption changes nothing"
    try:
        found = read(kind, files)
    except InputError as error:
        for problem in error.problems:
            assert problem.mark, problem
            assert problem.code
            assert problem.mark.file in {*files, *generated(kind)}
            assert not re.search(r"NoneType|object has no|Traceback|invalid literal|codec", problem.message)
    else:
        assert found != traffic(kind)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("aws-unknown-key", '"Weather"'),
        ("azure-source-port", '"sourcePortRange": "53"'),
        ("tf-aws-unknown-argument", "weather"),
        ("tf-aws-expression", "1 + 1"),
        ("tf-aws-main-open", '"0.0.0.0/0"'),
        ("bicep-unknown-key", "weather"),
        ("bicep-interpolation", "All${ow}"),
    ],
)
def test_a_refusal_names_the_line(name: str, line: str) -> None:
    kind, change = CORRUPTIONS[name]
    files = change(dict(generated(kind)))
    with pytest.raises(InputError) as caught:
        read(kind, files)
    (problem,) = caught.value.problems
    assert problem.mark
    lines = files[problem.mark.file].splitlines()
    near = lines[problem.mark.line - 1 : problem.mark.line + 16]
    assert any(line in each for each in near), problem


@pytest.mark.parametrize("kind", FEW_OF_HCL)
def test_spaces_mean_nothing(kind: str) -> None:
    files = generated(kind)
    comment = {"aws": "", "azure": "", "bicep": "// x\n"}.get(kind, "# x\n")
    judged = []
    for name, text in files.items():
        if name.endswith((".tf", ".bicep", ".json")) and "fqdn" not in name:
            changed = text.replace("  ", "   ").replace("\n\n", f"\n{comment}\n\n")
            assert changed != text, name
            assert read(kind, files | {name: changed}) == traffic(kind), name
            judged.append(name)
    assert MAIN[kind] in judged


@pytest.mark.parametrize("kind", ["tf-aws", "tf-azure"])
def test_a_key_that_says_another_rule_is_refused(kind: str) -> None:
    files = generated(kind)
    text, count = re.subn(
        r'^    "(vda/ingress/[a-z]+)', r'    "\1x', files["rules.tf"], count=1, flags=re.MULTILINE
    )
    assert count == 1
    with pytest.raises(InputError, match="the key of this rule does not say what the rule is"):
        read(kind, files | {"rules.tf": text})


@pytest.mark.parametrize("kind", ["azure", "tf-azure", "bicep"])
def test_one_rule_with_the_priority_of_another_is_refused(kind: str) -> None:
    files, file = generated(kind), MAIN[kind]
    number = re.compile(r"""(\bpriority"? *[:=] *)([1-4][0-9]{3})\b""")
    first = number.search(files[file])
    assert first
    assert first[2] != "4096"
    others = [found[2] for found in number.finditer(files[file]) if found[2] != first[2]]
    # That of its neighbour, and that of the deny, which ends its group.
    for other in (others[0], "4096"):
        spoiled = files[file][: first.start(2)] + other + files[file][first.end(2) :]
        with pytest.raises(InputError) as caught:
            read(kind, files | {file: spoiled})
        (problem,) = caught.value.problems
        assert problem.code == "priority-clash"


# Files that the tools take up from the folder of a module without being told.
TAKEN_UP = [
    "more.tf",
    "override.tf",
    "main_override.tf",
    "more.tf.json",
    "override.tf.json",
    "main.tofu",
    "more.tofu",
    "override.tofu",
    "more.tofu.json",
    "terraform.tfvars",
    "terraform.tfvars.json",
    "site.auto.tfvars",
    "site.auto.tfvars.json",
    ".terraformignore",
    "more.bicep",
    "modules/bicepconfig.json",
    "modules/more/main.tf",
]
# Files that change nothing of a deployment: tests, locks, words for people, values that a command must name.
LEFT_ALONE = [
    "tests/more.tftest.hcl",
    "more.tftest.hcl",
    "more.tftest.json",
    "more.tofutest.hcl",
    "more.tfmock.hcl",
    ".terraform.lock.hcl",
    "site.tfvars",
    "backend.hcl",
    "README.md",
    "NOTES.md",
    "LICENSE",
    "CODEOWNERS",
    ".gitignore",
    ".tflint.hcl",
    "main.json",
    "site.bicepparam",
    "identities.json",
    ".citrix-netpolicy.json",
    "not.tf.txt",
    "auto.tfvars.md",
]


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("name", TAKEN_UP)
def test_what_a_tool_would_take_up_is_refused_by_name(kind: str, name: str) -> None:
    assert name not in generated(kind)
    with pytest.raises(InputError) as caught:
        read(kind, generated(kind) | {name: ""})
    (problem,) = caught.value.problems
    assert problem.code == "not-ours"
    assert problem.mark
    assert problem.mark.file == name


@pytest.mark.parametrize("kind", CLOUDS)
def test_what_no_tool_takes_up_is_left_alone(kind: str) -> None:
    foreign = dict.fromkeys(LEFT_ALONE, "anything")
    assert read(kind, generated(kind) | foreign) == traffic(kind)


@pytest.mark.parametrize("kind", [kind for kind in CLOUDS if kind.startswith("tf")])
def test_a_test_of_the_module_may_be_gone(kind: str) -> None:
    name = "tests/module.tftest.hcl"
    assert name in generated(kind)
    assert read(kind, lose(name)(generated(kind))) == traffic(kind)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'westeurope'", "'northeurope'"),
        ("  Owner: 'network-team'\n", ""),
        ("using './main.bicep'", "using './other.bicep'"),
        ("param location", "param place"),
        ("param location", "resource a 'b' = {}\n\nparam location"),
    ],
)
def test_other_parameters_than_the_generated_ones_are_refused(old: str, new: str) -> None:
    files, name = generated("bicep"), "main.bicepparam"
    assert old in files[name]
    with pytest.raises(InputError) as caught:
        read("bicep", files | {name: files[name].replace(old, new)})
    (problem,) = caught.value.problems
    assert problem.mark
    assert problem.mark.file == name
    assert read("bicep", lose(name)(files)) == traffic("bicep")


@pytest.mark.parametrize("kind", CLOUDS)
def test_what_people_read_means_nothing(kind: str) -> None:
    files = generated(kind)
    without_readme = {name: text for name, text in files.items() if not name.endswith((".md", ".hcl"))}
    assert read(kind, without_readme | {"notes.txt": "mine"}) == traffic(kind)


# What may differ in silence, line by line: words for people, names of groups, and what JSON has as a comment.
WORDS = re.compile(
    r'description|"asg-|Description|GroupName|"?name"? *[=:]|"//"|deployment|# |// |"network"|\* '
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FEW_OF_HCL)
def test_a_lost_character_is_noticed(kind: str) -> None:
    text = generated(kind)[MAIN[kind]]
    chance = random.Random(11)
    judged = 0
    for _ in range(60):
        place = chance.randrange(len(text))
        line = text[text.rfind("\n", 0, place) + 1 : (text + "\n").index("\n", place)]
        if text[place].isspace() or WORDS.search(line):
            continue
        files = generated(kind) | {MAIN[kind]: text[:place] + text[place + 1 :]}
        # A comma may be one too many for a list of HCL, and a priority is no part of traffic.
        if "priority" not in line and text[place] != ",":
            assert read_or_place(kind, files) != traffic(kind), line
            judged += 1
    assert judged >= 10


def read_or_place(kind: str, files: Files) -> object:
    """Return the traffic, or the places where the files are refused."""
    try:
        return read(kind, files)
    except InputError as error:
        return [problem.mark for problem in error.problems if problem.mark]


@pytest.mark.parametrize("kind", FEW_OF_HCL)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        "{" * 5000,
        "[" * 5000,
        "9" * 5000,
        "locals {\n x = " + "9" * 5000 + "\n}\n",
        "\ud800",
        "null",
        "[]",
        "{}",
    ],
)
def test_whatever_a_file_holds_no_exception_of_python_gets_out(kind: str, text: str) -> None:
    for name in generated(kind):
        if name.endswith((".tf", ".bicep", ".json")) and "fqdn" not in name:
            with pytest.raises(InputError):
                read(kind, generated(kind) | {name: text})
