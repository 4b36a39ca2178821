"""Target `bicep`: network security groups of one Azure network as a Bicep module."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from citrix_netpolicy.errors import Problem, TargetError
from citrix_netpolicy.findings import Finding
from citrix_netpolicy.syntax.bicep import Call, Expression, member
from citrix_netpolicy.syntax.bicep import render as render_template
from citrix_netpolicy.targets import Output
from citrix_netpolicy.targets.azure import arm
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from citrix_netpolicy.identities import Identities
    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.targets import Options
    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup

__all__ = ["FILES", "Named", "context_of", "render", "symbol_of"]

# The documented limits of a resource and of a template; what Bicep adds to the rules is small beside that.
_RESOURCE_BYTES: Final = 1_000_000
_TEMPLATE_BYTES: Final = 4_000_000
_SMALLER: Final = "use fewer or wider prefixes, or describe parts of the site in deployments of their own"
FILES: Final = ("README.md", "bicepconfig.json", "main.bicep", "main.bicepparam")


def render(policy: Policy, options: Options, identities: Identities) -> Output:
    """Return the files of a Bicep module for a policy in one Azure network.

    Raises TargetError when Azure cannot hold the policy.
    """
    found = network_security_groups(policy, options, identities)
    groups = found.groups
    blocks = (rule.block for group in groups for rule in group.rules)
    tiers = sorted({str(peer) for block in blocks if block.kind == "asg" for peer in block.peers})
    title = options.names.title
    asg_ids = {tier: f"{symbol_of('asg', tier)}.id" for tier in tiers}
    context = context_of(
        options.deployment,
        options.network,
        options.bicep_api_version,
        {group.tier: Named(group.name, title(group.tier)) for group in groups},
        {tier: Named(options.asg_name(tier), title(tier)) for tier in tiers},
    )
    bodies = {symbol_of("nsg", group.tier): _rules(group, asg_ids) for group in groups}
    for group in context["groups"]:
        group["body"]["properties"]["securityRules"] = bodies[group["symbol"]]
    context["of_interfaces"] = options.attach == "interfaces"
    context["example"] = member(next((group.tier for group in groups), "TIER"))
    context["titles"] = dict(sorted(options.names.titles.items()))
    context["table"] = [arm.row_of(group, rule) for group in groups for rule in group.rules]
    problems = [*_too_large(groups)]
    if problems:
        raise TargetError(problems)
    files = {name: render_template(f"bicep/{name}.j2", **context) for name in FILES}
    findings = (*found.findings, *_left_behind(groups, identities))
    return Output(files, found.rule_counts, findings, found.identities)


def _too_large(groups: Iterable[NetworkSecurityGroup]) -> Iterator[Problem]:
    """Yield a problem where a resource, or the template of the module, is larger than Azure takes."""
    whole = 0
    for group in groups:
        size = len(json.dumps(arm.resource_of(group)))
        whole += size
        if size > _RESOURCE_BYTES:
            message = f"the group of tier `{group.tier}` has {size:,} bytes; Azure takes {_RESOURCE_BYTES:,}"
            yield Problem(code="over-limit", message=message, path=("tiers", group.tier), hint=_SMALLER)
    if whole > _TEMPLATE_BYTES:
        message = f"the template has {whole:,} bytes; Azure takes {_TEMPLATE_BYTES:,}"
        yield Problem(code="over-limit", message=message, hint=_SMALLER)


def _left_behind(groups: Iterable[NetworkSecurityGroup], identities: Identities) -> Iterator[Finding]:
    """Yield a finding for each group of the last run whose tier is gone."""
    last = identities.last()
    tiers = {group.tier for group in groups}
    for group in last.groups if last else ():
        if group.tier not in tiers:
            yield Finding(
                "group-left-behind",
                group.tier,
                f"tier `{group.tier}` is gone, and a deployment leaves its group where it is, with all rules",
                "deploy the module as a deployment stack, or delete the group once nothing carries it",
            )


class Named(NamedTuple):
    """What a resource is called, and its tier now."""

    name: str
    title: str


def context_of(
    deployment: str,
    network: str,
    api_version: str,
    nsgs: Mapping[str, Named],
    asgs: Mapping[str, Named],
) -> dict[str, Any]:
    """Return what the templates are given, without rules; `nsgs` and `asgs` are by the keys of tiers."""
    return {
        "name": deployment,
        "network": network,
        "title": f"Network security groups of {deployment}, network {network}",
        "api_version": api_version,
        "asgs": [
            {
                "symbol": symbol_of("asg", tier),
                "told": f"Application security group of tier {named.title}.",
                "body": {**_head(deployment, named), "properties": {}},
            }
            for tier, named in asgs.items()
        ],
        "asg_ids": {tier: Expression(f"{symbol_of('asg', tier)}.id") for tier in asgs},
        "groups": [
            {
                "symbol": symbol_of("nsg", tier),
                "told": f"Network security group of tier {named.title}.",
                "body": {**_head(deployment, named), "properties": {"securityRules": []}},
            }
            for tier, named in nsgs.items()
        ],
        "ids": {tier: Expression(f"{symbol_of('nsg', tier)}.id") for tier in nsgs},
        "names": {tier: Expression(f"{symbol_of('nsg', tier)}.name") for tier in nsgs},
    }


def symbol_of(kind: str, tier: str) -> str:
    """Return the symbolic name of a tier's resource; a digest stands for what an identifier cannot hold."""
    plain = re.sub(r"[^A-Za-z0-9]", "_", tier)
    # `a-b` and `a.b` are two tiers, and the linter of Bicep takes some endings for those of a decompiler.
    is_odd = plain != tier or re.search(r"(?:^|_)(?:resource|var|param|output)\Z", plain)
    digest = "" if not is_odd else "_" + sha256(tier.encode()).hexdigest()[:6]
    return f"{kind}_{plain}{digest}"


def _head(deployment: str, named: Named) -> dict[str, Any]:
    identity = {"citrix-netpolicy:deployment": deployment, "citrix-netpolicy:tier": named.title}
    tags = Call("union", (Expression("tags"), identity))
    return {"name": named.name, "location": Expression("location"), "tags": tags}


def _rules(group: NetworkSecurityGroup, asg_ids: Mapping[str, str]) -> list[dict[str, Any]]:
    rules = []
    for rule in group.rules:
        properties = arm.properties_of(rule, asg_ids)
        for name, value in properties.items():
            if name.endswith("ApplicationSecurityGroups"):
                properties[name] = [{"id": Expression(asg["id"])} for asg in value]
        rules.append({"name": rule.name, "properties": properties})
    return rules
