"""Target `bicep`: network security groups of one Azure network as a Bicep module."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import InputError, Mark, Problem
from citrix_netpolicy.policy import Group, rule_order
from citrix_netpolicy.syntax.bicep import Expression, behind_parameter, objects_of, render, string
from citrix_netpolicy.syntax.hcl import heading
from citrix_netpolicy.targets.azure import arm_json as azure
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from citrix_netpolicy.policy import Policy, Rule
    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup

__all__ = ["KEEPS", "notes", "read", "write"]

KEEPS = azure.KEEPS
notes = azure.notes

_FILES: Final = ("README.md", "main.bicep", "main.bicepparam")


def write(policy: Policy, previous: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a Bicep module for a policy in one Azure network, with the priorities it keeps.

    `previous` holds the files of `KEEPS` that the last generation left. Raises TargetError when Azure cannot
    hold the policy, InputError when the list of priorities cannot be read.
    """
    groups = network_security_groups(policy, azure.keeping_of(previous))
    network = next(iter(policy.networks))
    named = (rule.block for group in groups for rule in group.rules if rule.block.kind == "asg")
    tiers = sorted({tier for block in named for tier in block.peers})
    asg_ids = {tier: f"{_symbol('asg', tier)}.id" for tier in tiers}
    prefix, asg_prefix = f"nsg-{policy.name}-", f"asg-{policy.name}-"
    context = {
        "name": policy.name,
        "network": network,
        "api_version": policy.networks[network].bicep_api_version,
        "prefix": prefix,
        "asg_prefix": asg_prefix,
        "asgs": [{"symbol": _symbol("asg", tier), "body": _asg(tier)} for tier in tiers],
        "asg_ids": {tier: Expression(id_) for tier, id_ in asg_ids.items()},
        "groups": [{"symbol": _symbol("nsg", group.tier), "body": _body(group, asg_ids)} for group in groups],
        "ids": {group.tier: Expression(f"{_symbol('nsg', group.tier)}.id") for group in groups},
        "names": {group.tier: Expression(f"{_symbol('nsg', group.tier)}.name") for group in groups},
        "table": [azure.row_of(group, rule) for group in groups for rule in group.rules],
    }
    files = {name: render(f"bicep/{name}.j2", **context) for name in _FILES}
    return files | {azure.PRIORITIES: azure.priorities_of(groups)}


def _symbol(kind: str, tier: str) -> str:
    """Return the symbolic name of a tier's resource; a digest stands for what an identifier cannot hold."""
    plain = re.sub(r"[^A-Za-z0-9]", "_", tier)
    # `a-b` and `a.b` are two tiers.
    digest = "" if plain == tier else "_" + sha256(tier.encode()).hexdigest()[:6]
    return f"{kind}_{plain}{digest}"


def _head(prefix: str, tier: str) -> dict[str, Any]:
    name = Expression("'${" + prefix + "}" + string(tier)[1:])
    return {"name": name, "location": Expression("location"), "tags": Expression("tags")}


def _asg(tier: str) -> dict[str, Any]:
    return {**_head("applicationSecurityGroupNamePrefix", tier), "properties": {}}


def _body(group: NetworkSecurityGroup, asg_ids: Mapping[str, str]) -> dict[str, Any]:
    rules = []
    for rule in group.rules:
        properties = azure.properties_of(rule, asg_ids)
        for name, value in properties.items():
            if name.endswith("ApplicationSecurityGroups"):
                properties[name] = [{"id": Expression(asg["id"])} for asg in value]
        rules.append({"name": rule.name, "properties": properties})
    return {**_head("namePrefix", group.tier), "properties": {"securityRules": rules}}


def read(files: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the groups that a module of this target holds, without their causes.

    Raises InputError when `main.bicep` is missing, or is not as `write` leaves it.
    """
    try:
        text = files["main.bicep"]
        network = heading(text.replace("// ", "# "), "Network")
        resources = objects_of(text)
        tiers = {symbol: behind_parameter(body["name"]) for symbol, body in resources.items()}
        groups = (
            Group(tiers[symbol], network, tuple(sorted(_rules(tiers, symbol, body), key=rule_order)))
            for symbol, body in resources.items()
            if "securityRules" in body["properties"]
        )
        found = tuple(sorted(groups, key=lambda group: group.tier))
        if len(found) != text.count(".name\n"):
            raise ValueError("it does not hold all the groups that it promises")  # noqa: TRY301
    except KeyError as error:
        raise InputError(
            Problem(
                code="not-ours",
                message=f"no module of ours: {error} is missing",
                mark=Mark("main.bicep", 1, 1),
            )
        ) from None
    except (AttributeError, RuntimeError, StopIteration, TypeError, ValueError) as error:
        raise InputError(
            Problem(code="not-ours", message=f"no module of ours: {error}", mark=Mark("main.bicep", 1, 1))
        ) from None
    return found


def _rules(tiers: Mapping[str, str], symbol: str, body: Mapping[str, Any]) -> Iterator[Rule]:
    """Yield the rules of a group; ids of application security groups are told by their symbols."""
    for rule in body["properties"]["securityRules"]:
        for name, value in rule["properties"].items():
            if name.endswith("ApplicationSecurityGroups"):
                symbols = (asg["id"].text.removesuffix(".id") for asg in value)
                rule["properties"][name] = [{"id": azure.asg_of(tiers[one])} for one in symbols]
    return azure.rules_of(tiers[symbol], body["properties"]["securityRules"])
