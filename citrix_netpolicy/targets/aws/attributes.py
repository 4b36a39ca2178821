"""Rules as the Terraform provider says them: attributes of a rule's resource, both ways, and its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.net import Prefix, Protocol
from citrix_netpolicy.policy import ExistingGroup, GroupReference, Origin, PrefixList, Rule
from citrix_netpolicy.targets.aws import ec2
from citrix_netpolicy.targets.describe import describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from citrix_netpolicy.net import Service
    from citrix_netpolicy.policy import Direction, Peer
    from citrix_netpolicy.syntax.document import Node

__all__ = ["attributes_of", "rule_key", "rule_name", "rule_of"]

_PEERS: Final = ("cidr_ipv4", "cidr_ipv6", "prefix_list_id", "security_group_id", "tier")


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
    if service.protocol is Protocol.OTHER:
        return str(service).replace(" ", "/")
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


def rule_of(
    direction: Direction, node: Node, tiers: Mapping[str, str], address: str = ""
) -> tuple[str, Rule]:
    """Return the rule that such arguments mean, and the key of the group that holds it.

    `tiers` maps the keys of groups that rules may refer to, to their tiers. Raises InputError for what is not
    understood.
    """
    fields = node.fields(("group", "description", "ip_protocol"), ("from_port", "to_port", *_PEERS))
    fields["description"].text()
    kinds = [kind for kind in _PEERS if kind in fields]
    if len(kinds) != 1:
        raise node.refusal(f"expected exactly one of {', '.join(f'`{kind}`' for kind in _PEERS)}")
    service = ec2.service_of(node, fields, ("ip_protocol", "from_port", "to_port"))
    peer = _peer_of(kinds[0], fields[kinds[0]], tiers)
    return fields["group"].text(), Rule(direction, peer, service, origin=Origin(node.mark, address))


def _peer_of(kind: str, node: Node, tiers: Mapping[str, str]) -> Peer:
    match kind:
        case "cidr_ipv4":
            return ec2.prefix_of(node, 4)
        case "cidr_ipv6":
            return ec2.prefix_of(node, 6)
        case "prefix_list_id":
            return PrefixList(node.text())
        case "security_group_id":
            return ExistingGroup(node.text())
    return GroupReference(tiers[node.choice(tiers)])
