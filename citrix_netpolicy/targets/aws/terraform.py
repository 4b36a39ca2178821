"""Target `terraform` in AWS: a module of security groups and of one resource for each rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import InputError, Mark, Problem, TargetError
from citrix_netpolicy.net import LAST_PORT, Prefix, Protocol, Service
from citrix_netpolicy.policy import (
    Direction,
    ExistingGroup,
    Group,
    GroupReference,
    Peer,
    PrefixList,
    Rule,
    rule_order,
)
from citrix_netpolicy.syntax import hcl
from citrix_netpolicy.targets.aws import groups as aws
from citrix_netpolicy.targets.describe import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from citrix_netpolicy.policy import Policy

__all__ = ["KEEPS", "notes", "read", "rule_key", "write"]

KEEPS = aws.KEEPS
notes = aws.notes

_FOLDER: Final = "terraform-aws"
_FILES: Final = (
    "README.md",
    "main.tf",
    "outputs.tf",
    "rules.tf",
    "tests/module.tftest.hcl",
    "variables.tf",
    "versions.tf",
)
# How a rule names its peer, as an attribute of the rule map in `rules.tf`.
_PEERS: Final[dict[str, Callable[[str], Peer]]] = {
    "cidr_ipv4": Prefix.parse,
    "cidr_ipv6": Prefix.parse,
    "prefix_list_id": PrefixList,
    "security_group_id": ExistingGroup,
    "tier": GroupReference,
}


def write(policy: Policy, _previous: Mapping[str, str]) -> dict[str, str]:
    """Return the files of a module for a policy in one AWS network.

    Raises TargetError when AWS cannot hold the policy.
    """
    groups = aws.security_groups(policy)
    context = {
        "name": policy.name,
        "network": next(iter(policy.networks)),
        "groups": groups,
        "tiers": {group.tier: [part.key for part in groups if part.tier == group.tier] for group in groups},
        "rules": {str(way): _rule_maps(groups, way) for way in Direction},
        "counts": {"rules": sum(len(group.rules) for group in groups), "groups": len(groups)},
        "table": [_row(rule, group) for group in groups for rule in group.rules],
    }
    return {name: hcl.render(f"{_FOLDER}/{name}.j2", **context) for name in _FILES}


def _rule_maps(groups: list[aws.SecurityGroup], direction: Direction) -> dict[str, dict[str, Any]]:
    """Return the attributes of every rule of one direction, under its key; by tier, then in rule order."""
    found: dict[str, dict[str, Any]] = {}
    placed = [(group, rule) for group in groups for rule in group.rules if rule.direction is direction]
    for group, rule in sorted(placed, key=lambda item: (item[0].tier, rule_order(item[1]))):
        key = rule_key(group.tier, rule)
        if key in found:
            message = f"two rules would share the key `{key}`"
            hint = "a tier's name reads like a part of a rule; rename the tier"
            raise TargetError(
                Problem(code="name-clash", message=message, path=("tiers", group.tier), hint=hint)
            )
        found[key] = {"group": group.key, **_attributes(rule)}
    return found


def rule_key(tier: str, rule: Rule) -> str:
    """Return the name of a rule in the module: tier, direction, protocol, ports and peer.

    It says what the rule is and nothing else, so it stays when rules around it come and go. Keys are a
    contract with every state file; a change of their form needs `moved` blocks.
    """
    kind, peer = _peer(rule.peer)
    prefix = "tier:" if kind == "tier" else ""
    return f"{tier}/{rule.direction}/{_service_key(rule.service)}/{prefix}{peer}"


def _service_key(service: Service) -> str:
    if service.protocol is Protocol.ALL:
        return "all"
    if service.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        kind = "any" if service.icmp_type is None else service.icmp_type
        code = "any" if service.icmp_code is None else service.icmp_code
        return f"{service.protocol}/{kind}.{code}"
    span = service.first if service.first == service.last else f"{service.first}-{service.last}"
    return f"{service.protocol}/{span}"


def _attributes(rule: Rule) -> dict[str, Any]:
    span = aws.port_span(rule.service)
    kind, peer = _peer(rule.peer)
    return {
        "description": describe(rule.causes, aws.DESCRIPTION_LIMIT),
        "ip_protocol": aws.protocol_name(rule.service),
        **({"from_port": span[0], "to_port": span[1]} if span else {}),
        kind: peer,
    }


def _peer(peer: Peer) -> tuple[str, str]:
    match peer:
        case Prefix(version=4):
            return "cidr_ipv4", str(peer)
        case Prefix():
            return "cidr_ipv6", str(peer)
        case PrefixList(id=list_id):
            return "prefix_list_id", list_id
        case ExistingGroup(id=group_id):
            return "security_group_id", group_id
        case GroupReference(tier=tier):
            return "tier", tier
    raise AssertionError("aws.security_groups refuses service tags")


def _row(rule: Rule, group: aws.SecurityGroup) -> dict[str, str]:
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


def read(files: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the groups that a module of this target holds, without their causes.

    Raises InputError when `rules.tf` is missing, is no HCL, or holds what is not understood.
    """
    try:
        body = hcl.locals_of(files["rules.tf"])
        network = hcl.heading(files["rules.tf"], "Network")
        parts = {hcl.name(tier): hcl.value(groups) for tier, groups in hcl.entries(body["tiers"]).items()}
        rules: dict[str, list[Rule]] = {tier: [] for tier in parts}
        tiers = {group: tier for tier, groups in parts.items() for group in groups}
        for direction in Direction:
            for attributes in hcl.entries(body[f"{direction}_rules"]).values():
                values = {name: hcl.value(found) for name, found in hcl.entries(attributes).items()}
                rules[tiers[values.pop("group")]].append(_rule(direction, values))
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
    return tuple(
        Group(tier, network, tuple(sorted(found, key=rule_order))) for tier, found in sorted(rules.items())
    )


def _rule(direction: Direction, values: dict[str, Any]) -> Rule:
    values.pop("description")
    protocol = values.pop("ip_protocol")
    service = Service(Protocol.ALL, 0, LAST_PORT)
    if protocol != "-1":
        service = aws.service_of(protocol, values.pop("from_port"), values.pop("to_port"))
    ((kind, peer),) = values.items()
    return Rule(direction, _PEERS[kind](peer), service)
