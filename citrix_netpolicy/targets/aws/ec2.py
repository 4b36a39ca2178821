"""Rules as EC2 says them: permissions, both ways.

AWS facts are those of the EC2 API reference and the VPC user guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.net import LAST_PORT, Prefix, Protocol, Service, icmp
from citrix_netpolicy.policy import ExistingGroup, GroupReference, PrefixList, Rule, ServiceTag
from citrix_netpolicy.targets.describe import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mypy_boto3_ec2.type_defs import IpPermissionTypeDef

    from citrix_netpolicy.policy import Direction

__all__ = [
    "DESCRIPTION_LIMIT",
    "from_placeholder",
    "permission_of",
    "port_span",
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
    """Return how EC2 calls the protocol of a service."""
    return "-1" if service.protocol is Protocol.ALL else str(service.protocol)


def port_span(service: Service) -> tuple[int, int] | None:
    """Return the `FromPort` and `ToPort` of a service: ports, or ICMP type and code; None for everything."""
    if service.protocol is Protocol.ALL:
        return None
    if service.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        kind, code = service.icmp_type, service.icmp_code
        return (-1 if kind is None else kind, -1 if code is None else code)
    return service.first, service.last


def rules_of(permission: Mapping[str, Any], direction: Direction, group_peer: Any) -> Iterator[Rule]:
    """Yield the rules that an EC2 permission holds.

    `group_peer` turns the id of a referenced group, with its account where given, into a peer. Raises
    ValueError for what is not understood; nothing is skipped.
    """
    service = _service_of(permission)
    sources = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    unknown = permission.keys() - {"IpProtocol", "FromPort", "ToPort", *sources}
    if unknown:
        raise ValueError(f"a permission has unknown keys {sorted(unknown)}")
    for item in permission.get("IpRanges", ()):
        yield Rule(direction, Prefix.parse(item["CidrIp"]), service)
    for item in permission.get("Ipv6Ranges", ()):
        yield Rule(direction, Prefix.parse(item["CidrIpv6"]), service)
    for item in permission.get("PrefixListIds", ()):
        # What a rule says does not tell the list's maximum of entries.
        yield Rule(direction, PrefixList(item["PrefixListId"]), service)
    for item in permission.get("UserIdGroupPairs", ()):
        yield Rule(direction, group_peer(item), service)


def from_placeholder(pair: Mapping[str, Any]) -> GroupReference | ExistingGroup:
    """Return the peer that a pair of user and group names, where ids of our own groups are placeholders."""
    group: str = pair["GroupId"]
    if group.startswith("tier:"):
        return GroupReference(group.removeprefix("tier:"))
    return ExistingGroup(f"{pair['UserId']}/{group}" if "UserId" in pair else group)


def _service_of(permission: Mapping[str, Any]) -> Service:
    name = permission["IpProtocol"]
    if name == "-1":
        return Service(Protocol.ALL, 0, LAST_PORT)
    return service_of(name, permission["FromPort"], permission["ToPort"])


def service_of(name: str, first: int, last: int) -> Service:
    """Return the service that EC2 calls `name` with these ports, or ICMP type and code.

    Raises ValueError for a protocol or numbers that are not understood.
    """
    if name not in ("tcp", "udp", "icmp", "icmpv6"):
        raise ValueError(f"protocol `{name}` is not understood")
    protocol = Protocol(name)
    if protocol in (Protocol.ICMP, Protocol.ICMPV6):
        return icmp(protocol, None if first == -1 else first, None if last == -1 else last)
    if not 0 <= first <= last <= LAST_PORT:
        raise ValueError(f"ports {first}-{last} are no range")
    return Service(protocol, first, last)
