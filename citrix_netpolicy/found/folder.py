"""Read a module of ours back: every file in it is accounted for, and nothing is guessed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import InputError, Mark, Problem
from citrix_netpolicy.found import Found
from citrix_netpolicy.policy import Direction, Group, GroupKey, rule_order
from citrix_netpolicy.syntax import bicep, hcl
from citrix_netpolicy.targets.aws import attributes as aws_attributes
from citrix_netpolicy.targets.aws import ec2
from citrix_netpolicy.targets.azure import arm
from citrix_netpolicy.targets.azure import attributes as azure_attributes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from citrix_netpolicy.policy import Rule

__all__ = ["read"]


def read(files: Mapping[str, str], target: str, cloud: str) -> Found:
    """Return what the files of `target` for one network of a cloud say.

    Raises InputError when they are not its own, or hold what is not understood.
    """
    file, reader = _READERS[target, cloud]
    try:
        return reader(files[file])
    except KeyError as error:
        problem = Problem(
            code="not-ours", message=f"no module of ours: {error} is missing", mark=Mark(file, 1, 1)
        )
        raise InputError(problem) from None
    except (AttributeError, RuntimeError, StopIteration, TypeError, ValueError) as error:
        problem = Problem(code="not-ours", message=f"no module of ours: {error}", mark=Mark(file, 1, 1))
        raise InputError(problem) from None


def _ec2_json(text: str) -> Found:
    document = json.loads(text)
    network = document["network"]
    groups: list[Group] = []
    attachments: dict[str, list[GroupKey]] = {}
    for group in document["groups"]:
        rules: list[Rule] = []
        for key, direction in (
            ("IpPermissions", Direction.INGRESS),
            ("IpPermissionsEgress", Direction.EGRESS),
        ):
            for permission in group[key]:
                rules += ec2.rules_of(permission, direction, ec2.from_placeholder)
        groups.append(Group(GroupKey(network, group["key"]), tuple(sorted(rules, key=rule_order))))
        attachments.setdefault(group["tier"], []).append(groups[-1].key)
    return Found(tuple(groups), {tier: tuple(keys) for tier, keys in attachments.items()})


def _terraform_aws(text: str) -> Found:
    body = hcl.locals_of(text)
    network = hcl.heading(text, "Network")
    parts = {hcl.name(tier): hcl.value(groups) for tier, groups in hcl.entries(body["tiers"]).items()}
    rules: dict[str, list[Rule]] = {group: [] for groups in parts.values() for group in groups}
    for direction in Direction:
        for attributes in hcl.entries(body[f"{direction}_rules"]).values():
            values = {name: hcl.value(found) for name, found in hcl.entries(attributes).items()}
            rules[values.pop("group")].append(aws_attributes.rule_of(direction, values))
    groups = (
        Group(GroupKey(network, key), tuple(sorted(found, key=rule_order))) for key, found in rules.items()
    )
    attachments = {tier: tuple(GroupKey(network, key) for key in keys) for tier, keys in parts.items()}
    return Found(tuple(groups), attachments)


def _arm_json(text: str) -> Found:
    document = json.loads(text)
    groups = {group["tier"]: group["properties"]["securityRules"] for group in document["groups"]}
    return _azure(document["network"], groups)


def _terraform_azure(text: str) -> Found:
    body = hcl.locals_of(text)
    network = hcl.heading(text, "Network")
    rules: dict[str, list[dict[str, Any]]] = {hcl.name(tier): [] for tier in hcl.entries(body["groups"])}
    for attributes in hcl.entries(body["rules"]).values():
        values = {name: hcl.value(found) for name, found in hcl.entries(attributes).items()}
        tier, name = values.pop("group"), values.pop("name")
        rules[tier].append({"name": name, "properties": azure_attributes.properties_of(values)})
    return _azure(network, rules)


def _bicep(text: str) -> Found:
    network = hcl.heading(text.replace("// ", "# "), "Network")
    resources = bicep.objects_of(text)
    tiers = {symbol: bicep.behind_parameter(body["name"]) for symbol, body in resources.items()}
    groups = {
        tiers[symbol]: list(_bicep_rules(tiers, body))
        for symbol, body in resources.items()
        if "securityRules" in body["properties"]
    }
    if len(groups) != text.count(".name\n"):
        raise ValueError("it does not hold all the groups that it promises")
    return _azure(network, groups)


def _bicep_rules(tiers: Mapping[str, str], body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rules of a group; ids of application security groups are told by their symbols."""
    for rule in body["properties"]["securityRules"]:
        for name, value in rule["properties"].items():
            if name.endswith("ApplicationSecurityGroups"):
                symbols = (asg["id"].text.removesuffix(".id") for asg in value)
                rule["properties"][name] = [{"id": arm.asg_of(tiers[one])} for one in symbols]
        yield rule


def _azure(network: str, security_rules: Mapping[str, list[dict[str, Any]]]) -> Found:
    groups = []
    priorities: dict[tuple[str, Direction, str], int] = {}
    for tier, rules in sorted(security_rules.items()):
        found = sorted(arm.rules_of(tier, rules), key=rule_order)
        groups.append(Group(GroupKey(network, tier), tuple(found)))
        for rule in rules:
            properties = rule["properties"]
            if properties["access"] == "Allow":
                way = Direction.INGRESS if properties["direction"] == "Inbound" else Direction.EGRESS
                priorities[tier, way, rule["name"]] = properties["priority"]
    attachments = {group.tier: (group.key,) for group in groups}
    return Found(tuple(groups), attachments, priorities=priorities)


_READERS: Final[dict[tuple[str, str], tuple[str, Callable[[str], Found]]]] = {
    ("aws", "aws"): ("security-groups.json", _ec2_json),
    ("terraform", "aws"): ("rules.tf", _terraform_aws),
    ("azure", "azure"): ("network-security-groups.json", _arm_json),
    ("terraform", "azure"): ("rules.tf", _terraform_azure),
    ("bicep", "azure"): ("main.bicep", _bicep),
}
