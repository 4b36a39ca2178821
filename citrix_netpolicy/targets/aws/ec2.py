"""Rules as EC2 says them: permissions, both ways.

AWS facts are those of the EC2 API reference and the VPC user guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from citrix_netpolicy.errors import clean
from citrix_netpolicy.net import LAST_PORT, NUMBERS, Prefix, Protocol, Service, icmp, ip_protocol
from citrix_netpolicy.policy import ExistingGroup, GroupReference, Origin, PrefixList, Rule, ServiceTag
from citrix_netpolicy.targets.describe import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mypy_boto3_ec2.type_defs import IpPermissionTypeDef

    from citrix_netpolicy.policy import Direction, Peer
    from citrix_netpolicy.syntax.document import Node

__all__ = [
    "DESCRIPTION_LIMIT",
    "permission_of",
    "port_span",
    "prefix_of",
    "protocol_name",
    "rules_of",
    "service_of",
]

DESCRIPTION_LIMIT: Final = 255


def permission_of(rule: Rule, ids: Mapping[str, str]) -> IpPermissionTypeDef:
    """Return a rule as a permission of EC2; `ids` maps keys of groups to their ids."""
    permission: IpPermissionTypeDef = {"IpProtocol": protocol_name(rule.service)}
    span = port_span(rule.service)
    if span is not None:
        permission["FromPort"], permission["ToPort"] = span
    why = describe(rule.causes, DESCRIPTION_LIMIT)
    match rule.peer:
        case Prefix(version=4):
            permission["IpRanges"] = [{"CidrIp": str(rule.peer), "Description": why}]
        case Prefix():
            permission["Ipv6Ranges"] = [{"CidrIpv6": str(rule.peer), "Description": why}]
        case PrefixList(id=list_id):
            permission["PrefixListIds"] = [{"PrefixListId": list_id, "Description": why}]
        case GroupReference(tier=tier):
            permission["UserIdGroupPairs"] = [{"GroupId": ids[tier], "Description": why}]
        case ExistingGroup(id=group_id):
            account, slash, group = group_id.rpartition("/")
            pair = permission["UserIdGroupPairs"] = [{"GroupId": group, "Description": why}]
            if slash:
                pair[0]["UserId"] = account
        case ServiceTag():
            raise AssertionError("security_groups refuses service tags")
    return permission


def protocol_name(service: Service) -> str:
    """Return how EC2 calls the protocol of a service: `-1` for all of them, a number where it has no name."""
    match service.protocol:
        case Protocol.ALL:
            return "-1"
        case Protocol.OTHER:
            return str(service.first)
    return str(service.protocol)


def port_span(service: Service) -> tuple[int, int] | None:
    """Return `FromPort` and `ToPort` of a service: ports, ICMP type and code, or None if it has neither."""
    if service.protocol in (Protocol.ALL, Protocol.OTHER):
        return None
    if service.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        kind, code = service.icmp_type, service.icmp_code
        return (-1 if kind is None else kind, -1 if code is None else code)
    return service.first, service.last


def rules_of(
    permission: Node, direction: Direction, group_peer: Callable[[Node], Peer], address: str = ""
) -> Iterator[Rule]:
    """Yield the rules that an EC2 permission holds; each comes from the resource at `address`.

    `group_peer` turns a pair of user and group into a peer. Raises InputError for what is not understood;
    nothing is skipped.
    """
    fields = permission.fields(("IpProtocol",), ("FromPort", "ToPort", *_PEER_KEYS))
    service = service_of(permission, fields, ("IpProtocol", "FromPort", "ToPort"))
    items = {key: fields[key].items() if key in fields else [] for key in _PEER_KEYS}
    if not any(items.values()):
        raise permission.refusal("a permission needs a peer", code="missing-key")

    def rule(peer: Peer, item: Node) -> Rule:
        return Rule(direction, peer, service, origin=Origin(item.mark, address))

    for key, field, version in (("IpRanges", "CidrIp", 4), ("Ipv6Ranges", "CidrIpv6", 6)):
        for item in items[key]:
            yield rule(prefix_of(item.fields((field,), ("Description",))[field], version), item)
    for item in items["PrefixListIds"]:
        # What a rule says does not tell the list's maximum of entries.
        fields = item.fields(("PrefixListId",), ("Description",))
        yield rule(PrefixList(fields["PrefixListId"].text()), item)
    for item in items["UserIdGroupPairs"]:
        yield rule(group_peer(item), item)


_PEER_KEYS: Final = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")


def prefix_of(node: Node, version: int) -> Prefix:
    """Return the prefix of this address family that a value means."""
    prefix = node.parsed(Prefix.parse)
    if prefix.version != version:
        raise node.refusal(f"`{prefix}` is not an IPv{version} prefix")
    return prefix


def service_of(node: Node, fields: Mapping[str, Node], names: tuple[str, str, str]) -> Service:
    """Return the service that EC2 means by a protocol and ports, or ICMP type and code.

    `names` are those of the three among `fields` of `node`. Raises InputError for a protocol or numbers that
    are not understood.
    """
    protocol, span = fields[names[0]], names[1:]
    service = protocol.parsed(_protocol)
    if service.protocol in (Protocol.ALL, Protocol.OTHER):
        for key in span:
            if key in fields:
                fields[key].only(-1, f"no ports with protocol `{protocol.value}`")
        return service
    for key in span:
        if key not in fields:
            raise node.refusal(f"`{key}` is missing", code="missing-key")
    first, last = (fields[key] for key in span)
    if service.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        type_, code = first.integer(-1, 255), last.integer(-1, 255)
        if type_ == -1 and code != -1:
            raise last.refusal("an ICMP code needs a type")
        return icmp(service.protocol, None if type_ == -1 else type_, None if code == -1 else code)
    low = first.integer(0, LAST_PORT)
    return Service(service.protocol, low, last.integer(low, LAST_PORT))


def _protocol(text: str) -> Service:
    """Return all of the protocol that EC2 calls by this name or number. Raises ValueError."""
    if text == "-1":
        return Service(Protocol.ALL, 0, LAST_PORT)
    number = int(text) if text in _NUMBERS else None
    named = Protocol(text) if text in NUMBERS.values() else NUMBERS.get(-1 if number is None else number)
    if named is not None:
        return Service(named, 0, LAST_PORT)
    if number is None:
        raise ValueError(
            f"`{clean(text)}` is not valid here; EC2 knows tcp, udp, icmp, icmpv6, a number or -1"
        )
    return ip_protocol(number)


_NUMBERS: Final = frozenset(map(str, range(256)))
