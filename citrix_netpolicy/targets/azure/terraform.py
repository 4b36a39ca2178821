"""Target `terraform` in Azure: a module of network security groups and of one resource for each rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import InputError, Mark, Problem
from citrix_netpolicy.policy import Group, rule_order
from citrix_netpolicy.syntax import hcl
from citrix_netpolicy.targets.azure import arm_json as azure
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup, SecurityRule

__all__ = ["KEEPS", "notes", "read", "write"]

KEEPS = azure.KEEPS
notes = azure.notes

_FOLDER: Final = "terraform-azure"
_FILES: Final = (
    "README.md",
    "main.tf",
    "outputs.tf",
    "rules.tf",
    "tests/module.tftest.hcl",
    "variables.tf",
    "versions.tf",
)
_GROUPS: Final = "ApplicationSecurityGroups"


def write(policy: Policy, previous: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a module for a policy in one Azure network, with the priorities it keeps.

    `previous` holds the files of `KEEPS` that the last generation left. Raises TargetError when Azure cannot
    hold the policy, InputError when the list of priorities cannot be read.
    """
    groups = network_security_groups(policy, azure.keeping_of(previous))
    tiers = {
        peer
        for group in groups
        for rule in group.rules
        if rule.block.kind == "asg"
        for peer in rule.block.peers
    }
    context = {
        "name": policy.name,
        "network": next(iter(policy.networks)),
        "groups": groups,
        "asgs": {tier: f"asg-{policy.name}-{tier}" for tier in sorted(tiers)},
        "rules": {
            f"{group.tier}/{rule.direction}/{rule.name}": _attributes(group, rule)
            for group in groups
            for rule in group.rules
        },
        "table": [azure.row_of(group, rule) for group in groups for rule in group.rules],
    }
    files = {name: hcl.render(f"{_FOLDER}/{name}.j2", **context) for name in _FILES}
    return files | {azure.PRIORITIES: azure.priorities_of(groups)}


def _attributes(group: NetworkSecurityGroup, rule: SecurityRule) -> dict[str, Any]:
    """Return the arguments of a rule's resource; application security groups are named by their tiers."""
    values: dict[str, Any] = {"group": group.tier, "name": rule.name}
    for name, value in azure.properties_of(rule, None).items():
        if name.endswith(_GROUPS):
            values[f"{name.removesuffix(_GROUPS)}_tiers"] = [azure.tier_of(asg["id"]) for asg in value]
        elif name != "sourcePortRange":
            values[_snake(name)] = value
    return values


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


def _camel(name: str) -> str:
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)


def read(files: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the groups that a module of this target holds, without their causes.

    Raises InputError when `rules.tf` is missing, is no HCL, or holds what is not understood.
    """
    try:
        body = hcl.locals_of(files["rules.tf"])
        network = hcl.heading(files["rules.tf"], "Network")
        rules: dict[str, list[dict[str, Any]]] = {hcl.name(tier): [] for tier in hcl.entries(body["groups"])}
        for attributes in hcl.entries(body["rules"]).values():
            values = {name: hcl.value(found) for name, found in hcl.entries(attributes).items()}
            tier, name = values.pop("group"), values.pop("name")
            rules[tier].append({"name": name, "properties": _properties(values)})
        return tuple(
            Group(tier, network, tuple(sorted(azure.rules_of(tier, found), key=rule_order)))
            for tier, found in sorted(rules.items())
        )
    except KeyError as error:
        raise InputError(
            Problem(
                code="not-ours", message=f"no module of ours: {error} is missing", mark=Mark("rules.tf", 1, 1)
            )
        ) from None
    except (TypeError, ValueError) as error:
        raise InputError(
            Problem(code="not-ours", message=f"no module of ours: {error}", mark=Mark("rules.tf", 1, 1))
        ) from None


def _properties(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that `_attributes` wrote."""
    properties = {}
    for name, value in values.items():
        if name.endswith("_tiers"):
            properties[name.removesuffix("_tiers") + _GROUPS] = [{"id": azure.asg_of(tier)} for tier in value]
        else:
            properties[_camel(name)] = value
    return properties
