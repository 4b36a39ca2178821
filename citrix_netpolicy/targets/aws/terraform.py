"""Target `terraform` in AWS: a module of security groups and of one resource for each rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import Problem, TargetError
from citrix_netpolicy.policy import Direction, GroupReference, by_peer
from citrix_netpolicy.syntax import hcl
from citrix_netpolicy.targets import Output
from citrix_netpolicy.targets.aws.attributes import attributes_of, rule_key
from citrix_netpolicy.targets.aws.groups import security_groups

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from citrix_netpolicy.identities import Identities
    from citrix_netpolicy.policy import Policy, Rule
    from citrix_netpolicy.targets import Options
    from citrix_netpolicy.targets.aws.groups import SecurityGroup

__all__ = ["FILES", "PROVIDERS", "render"]

_FOLDER: Final = "terraform-aws"
FILES: Final = (
    "README.md",
    "main.tf",
    "outputs.tf",
    "rules.tf",
    "tests/module.tftest.hcl",
    "variables.tf",
    "versions.tf",
)

# What a module asks of the provider. One module fits versions 5 and 6; what only 6 has needs a module for it.
PROVIDERS: Final[dict[int | None, str]] = {
    None: ">= 5.0, < 7.0",
    5: ">= 5.0, < 6.0",
    6: ">= 6.29, < 7.0",
}


def render(policy: Policy, options: Options, identities: Identities) -> Output:
    """Return the files of a module for a policy in one AWS network.

    Raises TargetError when AWS cannot hold the policy.
    """
    found = security_groups(policy, options, identities)
    groups = found.groups
    keys = {group.tier: group.key for group in reversed(groups)}
    context = {
        "name": options.deployment,
        "network": options.network,
        "provider": options.aws_provider,
        "is_exclusive": options.aws_provider == 6 and options.exclusive,
        "providers": PROVIDERS,
        "groups": {group.key: _attributes(group, options) for group in groups},
        "has_existing": bool(options.names.existing),
        "has_exact": any(group.is_exact for group in groups),
        "titles": dict(sorted(options.names.titles.items())),
        "tiers": {tier: [part.key for part in groups if part.tier == tier] for tier in sorted(keys)},
        "rules": {str(way): _rule_maps(groups, way, keys) for way in Direction},
        "table": [_row(rule, group) for group in groups for rule in sorted(group.rules, key=by_peer)],
    }
    files = {name: hcl.render(f"{_FOLDER}/{name}.j2", **context) for name in FILES}
    return Output(files, found.rule_counts(policy), found.findings, found.identities)


def _rule_maps(
    groups: Sequence[SecurityGroup], direction: Direction, keys: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return the attributes of every rule of one direction, under its key; by tier, then by peer."""
    found: dict[str, dict[str, Any]] = {}
    placed = [(group, rule) for group in groups for rule in group.side(direction)]
    for group, rule in sorted(placed, key=lambda item: (item[0].tier, by_peer(item[1]))):
        key = rule_key(group.tier, rule)
        if key in found:
            message = f"two rules would share the key `{key}`"
            hint = "a tier's name reads like a part of a rule; rename the tier"
            raise TargetError(
                Problem(code="name-clash", message=message, path=("tiers", group.tier), hint=hint)
            )
        found[key] = {"group": group.key, **attributes_of(rule, keys)}
    return found


def _attributes(group: SecurityGroup, options: Options) -> dict[str, Any]:
    """Return what the module is told of a group."""
    tier = tag_value(options.names.title(group.tier))
    if group.id:
        return {"id": group.id, "tier": tier, "exclusive": group.tier in options.names.audited}
    exact = {"exact": True} if group.is_exact else {}
    return {"name": group.name, **exact, "description": group.description, "tier": tier}


def tag_value(text: str) -> str:
    """Return a text in the characters that AWS takes in the value of a tag."""
    return re.sub(r"[^\w .:/=+@-]", "_", text)


def _row(rule: Rule, group: SecurityGroup) -> dict[str, str]:
    peer = f"tier {rule.peer}" if isinstance(rule.peer, GroupReference) else str(rule.peer)
    citations = dict.fromkeys(citation for cause in rule.causes for citation in cause.citations)
    return {
        "group": group.key,
        "direction": str(rule.direction),
        "service": str(rule.service),
        "peer": peer,
        "why": "; ".join(f"{cause.purpose} ({cause.id})" for cause in rule.causes),
        "citations": "; ".join(citations),
    }
