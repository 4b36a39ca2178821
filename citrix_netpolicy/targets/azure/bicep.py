"""Target `bicep`: network security groups of one Azure network as a Bicep module."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.syntax.bicep import Expression, string
from citrix_netpolicy.syntax.bicep import render as render_template
from citrix_netpolicy.targets import Output
from citrix_netpolicy.targets.azure import arm
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from citrix_netpolicy.identities import Identities
    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.targets import Options
    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup

__all__ = ["FILES", "render"]

FILES: Final = ("README.md", "main.bicep", "main.bicepparam")


def render(policy: Policy, options: Options, identities: Identities) -> Output:
    """Return the files of a Bicep module for a policy in one Azure network.

    Raises TargetError when Azure cannot hold the policy.
    """
    found = network_security_groups(policy, options, identities)
    groups = found.groups
    blocks = (rule.block for group in groups for rule in group.rules)
    tiers = sorted({str(peer) for block in blocks if block.kind == "asg" for peer in block.peers})
    asg_ids = {tier: f"{_symbol('asg', tier)}.id" for tier in tiers}
    context = {
        "name": options.deployment,
        "network": options.network,
        "api_version": options.bicep_api_version,
        "prefix": f"nsg-{options.deployment}-",
        "asg_prefix": f"asg-{options.deployment}-",
        "asgs": [{"symbol": _symbol("asg", tier), "body": _asg(tier)} for tier in tiers],
        "asg_ids": {tier: Expression(id_) for tier, id_ in asg_ids.items()},
        "groups": [{"symbol": _symbol("nsg", group.key), "body": _body(group, asg_ids)} for group in groups],
        "ids": {group.key: Expression(f"{_symbol('nsg', group.key)}.id") for group in groups},
        "names": {group.key: Expression(f"{_symbol('nsg', group.key)}.name") for group in groups},
        "table": [arm.row_of(group, rule) for group in groups for rule in group.rules],
    }
    files = {name: render_template(f"bicep/{name}.j2", **context) for name in FILES}
    return Output(files, found.counts, found.lower_bound, found.findings, found.identities)


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
        properties = arm.properties_of(rule, asg_ids)
        for name, value in properties.items():
            if name.endswith("ApplicationSecurityGroups"):
                properties[name] = [{"id": Expression(asg["id"])} for asg in value]
        rules.append({"name": rule.name, "properties": properties})
    return {**_head("namePrefix", group.key), "properties": {"securityRules": rules}}
