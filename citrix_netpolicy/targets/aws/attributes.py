"""Rules as the Terraform provider says them: attributes of a rule's resource, both ways, and its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.net import LAST_PORT, Prefix, Protocol, Service
from citrix_netpolicy.policy import ExistingGroup, GroupReference, PrefixList, Rule
from citrix_netpolicy.targets.aws import ec2
from citrix_netpolicy.targets.describe import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from citrix_netpolicy.policy import Direction, Peer

__all__ = ["attributes_of", "rule_key", "rule_name", "rule_of"]

# How a rule names its peer, as an attribute of the rule map in `rules.tf`.
_PEERS: Final[dict[str, Callable[[str], Peer]]] = {
    "cidr_ipv4": Prefix.parse,
    "cidr_ipv6": Prefix.parse,
    "prefix_list_id": PrefixList,
    "security_group_id": ExistingGroup,
    "tier": GroupReference,
}


def rule_key(tier: str, rule: Rule) -> str:
    """Return the name of a rule in the module: tier, direction, protocol, ports and peer.

    It says what the rule is and nothing else, so it stays when rules around it come and go. Keys are a
    contract with every state file; a change of their form needs `moved` blocks.
    """
    return f"{tier}/{rule_name(rule)}"


def rule_name(rule: Rule) -> str:
    """Return the part of a rule's key behind its tier."""
    kind, peer = _peer(rule.peer)
    prefix = "tier:" if kind == "tier" else ""
    return f"{rule.direction}/{_service_key(rule.service)}/{prefix}{peer}"


def _service_key(service: Service) -> str:
    if service.protocol is Protocol.ALL:
        return "all"
    if service.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        kind = "any" if service.icmp_type is None else service.icmp_type
        code = "any" if service.icmp_code is None else service.icmp_code
        return f"{service.protocol}/{kind}.{code}"
    span = service.first if service.first == service.last else f"{service.first}-{service.last}"
    return f"{service.protocol}/{span}"


def attributes_of(rule: Rule, keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of a rule's resource; `keys` maps tiers to the keys of their groups."""
    span = ec2.port_span(rule.service)
    kind, peer = _peer(rule.peer)
    return {
        "description": describe(rule.causes, ec2.DESCRIPTION_LIMIT),
        "ip_protocol": ec2.protocol_name(rule.service),
        **({"from_port": span[0], "to_port": span[1]} if span else {}),
        kind: keys[peer] if kind == "tier" else peer,
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


def rule_of(direction: Direction, values: dict[str, Any]) -> Rule:
    """Return the rule that such arguments mean. Raises ValueError or TypeError when they mean none."""
    values.pop("description")
    protocol = values.pop("ip_protocol")
    service = Service(Protocol.ALL, 0, LAST_PORT)
    if protocol != "-1":
        service = ec2.service_of(protocol, values.pop("from_port"), values.pop("to_port"))
    ((kind, peer),) = values.items()
    return Rule(direction, _PEERS[kind](peer), service)
