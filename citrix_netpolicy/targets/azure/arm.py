"""Rules as Azure Resource Manager says them: properties of a security rule, both ways, and models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.net import LAST_PORT, Prefix, Protocol, Service
from citrix_netpolicy.policy import Direction, GroupReference, Rule, ServiceTag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from azure.mgmt.network import models

    from citrix_netpolicy.policy import Peer
    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup, SecurityRule

__all__ = ["asg_of", "model_of", "properties_of", "resource_of", "row_of", "rules_of", "tier_of"]

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
        values |= _one_or_many(f"{theirs}AddressPrefix", tuple(map(str, block.peers)))
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
        "peers": ", ".join(map(str, rule.block.peers)),
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


def rules_of(name: str, security_rules: Iterable[Mapping[str, Any]]) -> Iterator[Rule]:
    """Yield what the rules of a group in REST JSON allow, as single rules.

    Each direction must end with a deny; outbound may be left alone. Raises ValueError otherwise.
    """
    closed: set[Direction] = set()
    for rule in sorted(security_rules, key=lambda rule: int(rule["properties"]["priority"])):
        properties = rule["properties"]
        direction = {word: way for way, word in _WAYS.items()}[properties["direction"]]
        if properties["access"] == "Deny":
            closed.add(direction)
        elif direction in closed:
            raise ValueError(f"`{rule['name']}` allows something behind the final deny")
        else:
            for service in _services_of(properties):
                yield from (Rule(direction, peer, service) for peer in _peers_of(properties, direction))
    if Direction.INGRESS not in closed:
        raise ValueError(f"group `{name}` does not deny what it does not allow")
    if Direction.EGRESS not in closed:
        everything = Service(Protocol.ALL, 0, LAST_PORT)
        yield from (Rule(Direction.EGRESS, Prefix(version, 0, 0), everything) for version in (4, 6))


def _services_of(properties: Mapping[str, Any]) -> Iterator[Service]:
    names = {"Tcp": Protocol.TCP, "Udp": Protocol.UDP, "Icmp": Protocol.ICMP, "*": Protocol.ALL}
    protocol = names[properties["protocol"]]
    for text in properties.get("destinationPortRanges", [properties.get("destinationPortRange")]):
        low, _, high = text.partition("-")
        first, last = (0, LAST_PORT) if text == "*" else (int(low), int(high or low))
        if not 0 <= first <= last <= LAST_PORT:
            raise ValueError(f"`{text}` is no port and no range")
        yield Service(protocol, first, last)


def _peers_of(properties: Mapping[str, Any], direction: Direction) -> Iterator[Peer]:
    side = "source" if direction is Direction.INGRESS else "destination"
    for asg in properties.get(f"{side}ApplicationSecurityGroups", ()):
        yield GroupReference(tier_of(asg["id"]))
    one = properties.get(f"{side}AddressPrefix")
    for text in properties.get(f"{side}AddressPrefixes", [one] if one else []):
        yield Prefix.parse(text) if text[:1].isdigit() or ":" in text or not text else ServiceTag(text)
