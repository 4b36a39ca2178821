"""Rules as Azure Resource Manager says them: properties of a security rule, both ways, and models."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import InputError, Problem, clean
from citrix_netpolicy.net import Prefix
from citrix_netpolicy.policy import Direction, GroupReference, Origin, Rule, ServiceTag
from citrix_netpolicy.targets.azure.cover import ANYWHERE, EVERY_PORT, WHOLE, services_of, span_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from azure.mgmt.network import models

    from citrix_netpolicy.errors import Mark
    from citrix_netpolicy.policy import Peer
    from citrix_netpolicy.syntax.document import Node
    from citrix_netpolicy.targets.azure.cover import Span
    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup, SecurityRule

__all__ = [
    "ArmRule",
    "asg_of",
    "model_of",
    "properties_of",
    "read_rule",
    "resource_of",
    "row_of",
    "rules_of",
    "tier_of",
    "unsaid",
]

_WAYS: Final = {Direction.INGRESS: "Inbound", Direction.EGRESS: "Outbound"}
_ASG: Final = "tier:"


def resource_of(group: NetworkSecurityGroup, asg_ids: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the body of a PUT of the group, without its location.

    `asg_ids` maps tiers to ids of application security groups; without it an id is `tier:` and the tier.
    """
    rules = [{"name": rule.name, "properties": properties_of(rule, asg_ids)} for rule in group.rules]
    return {"properties": {"securityRules": rules}}


def properties_of(rule: SecurityRule, asg_ids: Mapping[str, str] | None) -> dict[str, Any]:
    """Return the properties of a rule; one value stands in the singular field.

    Raises KeyError when the rule refers to a tier that `asg_ids` lacks.
    """
    is_ingress = rule.direction is Direction.INGRESS
    theirs, ours = ("source", "destination") if is_ingress else ("destination", "source")
    block = rule.block
    values: dict[str, Any] = {
        "description": rule.description,
        "protocol": block.protocol,
        "sourcePortRange": "*",
        **_one_or_many("destinationPortRange", block.ports),
        f"{ours}AddressPrefix": "*",
    }
    if block.kind == "asg":
        tiers = map(str, block.peers)
        ids = [{"id": asg_of(tier) if asg_ids is None else asg_ids[tier]} for tier in tiers]
        values[f"{theirs}ApplicationSecurityGroups"] = ids
    else:
        peers = ("*",) if block.peers == ANYWHERE else tuple(map(str, block.peers))
        values |= _one_or_many(f"{theirs}AddressPrefix", peers)
    last = {"access": rule.access, "priority": rule.priority, "direction": _WAYS[rule.direction]}
    return values | last


def row_of(group: NetworkSecurityGroup, rule: SecurityRule) -> dict[str, Any]:
    """Return a rule as a row of the table in a README."""
    citations = dict.fromkeys(citation for cause in rule.causes for citation in cause.citations)
    return {
        "group": group.tier,
        "direction": str(rule.direction),
        "priority": rule.priority,
        "name": rule.name,
        "protocol": rule.block.protocol,
        "ports": ", ".join(rule.block.ports),
        "peers": "*" if rule.block.peers == ANYWHERE else ", ".join(map(str, rule.block.peers)),
        "why": "; ".join(f"{cause.purpose} ({cause.id})" for cause in rule.causes) or rule.description,
        "citations": "; ".join(citations),
    }


def asg_of(tier: str) -> str:
    """Return what stands for the id of a tier's application security group while it is not known."""
    return f"{_ASG}{tier}"


def tier_of(asg_id: str) -> str:
    """Return the tier that such an id stands for."""
    return asg_id.removeprefix(_ASG)


def _one_or_many(field: str, values: tuple[str, ...]) -> dict[str, Any]:
    if len(values) == 1:
        return {field: values[0]}
    return {field + ("es" if field.endswith("x") else "s"): list(values)}


def model_of(
    group: NetworkSecurityGroup, location: str, asg_ids: Mapping[str, str]
) -> models.NetworkSecurityGroup:
    """Return the group as a model of azure-mgmt-network, ready for `begin_create_or_update`.

    `asg_ids` maps tiers to ids of application security groups; it may be empty unless rules refer to tiers,
    and KeyError names the tier that it lacks then.
    """
    # A third of a second and 40 MB, for those who ask.
    from azure.mgmt.network import models  # noqa: PLC0415

    rules = [
        models.SecurityRule(
            name=rule.name, properties=models.SecurityRulePropertiesFormat(properties_of(rule, asg_ids))
        )
        for rule in group.rules
    ]
    properties = models.NetworkSecurityGroupPropertiesFormat(security_rules=rules)
    return models.NetworkSecurityGroup(location=location, properties=properties)


@dataclass(frozen=True, slots=True)
class ArmRule:
    """A security rule as it was read. `spans` are ports; peers are `None` for any address.

    `theirs` is the side of the peer, `ours` that of the machines that carry the group.
    """

    name: str
    priority: int
    direction: Direction
    allows: bool
    protocol: str
    spans: tuple[Span, ...]
    theirs: tuple[Peer, ...] | None
    ours: tuple[Peer, ...] | None
    source_spans: tuple[Span, ...]
    mark: Mark


_RANGES: Final = ("sourcePortRange", "destinationPortRange")
_SIDES: Final = ("source", "destination")


def read_rule(node: Node, tier_of: Callable[[Node], str]) -> ArmRule:
    """Return the rule that REST JSON says; `tier_of` tells whose application security group an id is.

    Raises InputError for an unknown or missing key, or a value that Azure does not take.
    """
    fields = node.fields(("name", "properties"), ("id", "etag", "type"))
    many = tuple(f"{name}s" for name in _RANGES)
    addresses = [f"{side}{field}" for side in _SIDES for field in ("AddressPrefix", "AddressPrefixes")]
    groups = [f"{side}ApplicationSecurityGroups" for side in _SIDES]
    properties = fields["properties"].fields(
        ("access", "direction", "priority", "protocol"),
        ("description", "provisioningState", *_RANGES, *many, *addresses, *groups),
    )
    if "description" in properties:
        properties["description"].text()
    words = {word: way for way, word in _WAYS.items()}
    direction = words[properties["direction"].choice(words)]
    sides = {side: _peers(fields["properties"], properties, side, tier_of) for side in _SIDES}
    theirs, ours = _SIDES if direction is Direction.INGRESS else reversed(_SIDES)
    return ArmRule(
        fields["name"].text(),
        properties["priority"].integer(100, 4096),
        direction,
        properties["access"].choice(("Allow", "Deny")) == "Allow",
        properties["protocol"].choice(("Tcp", "Udp", *WHOLE)),
        _spans(fields["properties"], properties, "destinationPortRange"),
        sides[theirs],
        sides[ours],
        _spans(fields["properties"], properties, "sourcePortRange"),
        node.mark,
    )


def _one_or_list(fields: Mapping[str, Node], one: str, many: str) -> list[Node]:
    """Return the values of a field with a singular and a plural form, of which one must be there."""
    given = [name for name in (one, many) if name in fields]
    if len(given) > 1:
        raise fields[many].refusal(f"`{one}` and `{many}` exclude each other")
    if not given:
        return []
    items = [fields[one]] if given == [one] else fields[many].items()
    if not items:
        raise fields[many].refusal("expected at least one value")
    return items


def _spans(node: Node, fields: Mapping[str, Node], name: str) -> tuple[Span, ...]:
    items = _one_or_list(fields, name, f"{name}s")
    if not items:
        raise node.refusal(f"`{name}` is missing", code="missing-key")
    spans = tuple(item.parsed(span_of) for item in items)
    if EVERY_PORT in spans and len(spans) > 1:
        raise items[0].refusal("`*` stands alone")
    return spans


def _peers(
    node: Node, fields: Mapping[str, Node], side: str, tier_of: Callable[[Node], str]
) -> tuple[Peer, ...] | None:
    """Return the peers of one side, or None for any address."""
    items = _one_or_list(fields, f"{side}AddressPrefix", f"{side}AddressPrefixes")
    key = f"{side}ApplicationSecurityGroups"
    groups = fields[key].items() if key in fields else []
    if bool(items) == bool(groups):
        raise node.refusal(f"expected either `{side}AddressPrefix` or `{key}`", code="missing-key")
    if groups:
        return tuple(GroupReference(tier_of(group.fields(("id",))["id"])) for group in groups)
    if len(items) == 1 and items[0].value == "*":
        return None
    peers = tuple(item.parsed(_address) for item in items)
    if len(peers) > 1 and not all(isinstance(peer, Prefix) for peer in peers):
        raise items[0].refusal("a service tag stands alone")
    return peers


def _address(text: str) -> Peer:
    """Return the prefix or the service tag that a text means."""
    if re.fullmatch(r"[A-Z][A-Za-z0-9]*(\.[A-Za-z0-9]+)*", text, re.ASCII):
        return ServiceTag(text)
    return Prefix.parse(text)


def rules_of(rule: ArmRule, address: str) -> tuple[Rule, ...]:
    """Return an allow rule as rules of a policy, one for each peer and range; it comes from `address`.

    Raises InputError for what such rules do not say: see `unsaid`.
    """
    problem = unsaid(rule)
    if problem:
        raise InputError(problem)
    services = tuple(services_of(rule.protocol, rule.spans))
    return tuple(
        Rule(rule.direction, peer, service, origin=Origin(rule.mark, address))
        for peer in (ANYWHERE if rule.theirs is None else rule.theirs)
        for service in services
    )


def unsaid(rule: ArmRule) -> Problem | None:
    """Return why a rule cannot be said in the words of a policy, or nothing."""
    if rule.ours is not None:
        message = "this rule is about a part of the machines that carry its group"
    elif rule.source_spans != (EVERY_PORT,):
        message = "this rule is about some source ports"
    elif rule.protocol in WHOLE and rule.spans != (EVERY_PORT,):
        message = (
            f"this rule has ports, and protocol `{rule.protocol}`; which of them match is not documented"
        )
    else:
        return None
    return Problem(code="not-expressible", message=f"rule `{clean(rule.name)}`: {message}", mark=rule.mark)
