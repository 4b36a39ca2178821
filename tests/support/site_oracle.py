"""What a deployment permits, by definition, from the data as people write it.

This reads the deployment's own flows, the probes of its balancers and its choice of egress; of entries it
knows nothing. It shares no code with the product, and judges one packet at a time.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import product
from typing import Any, Literal, NamedTuple

__all__ = ["Kind", "Way", "Wire", "permits"]

Way = Literal["ingress", "egress"]
Kind = Literal["address", "tier", "tag", "list", "group"]


_FAMILY_OF = {"icmp": 4, "icmpv6": 6}
_NUMBER_OF = {"gre": 47, "esp": 50, "ah": 51}


class Wire(NamedTuple):
    """The first packet of a connection, at the machines of a tier.

    `peer` is the text of an address, or the name of something whose addresses only the cloud knows. `number`
    is a port, (type, code) of ICMP, or that of the protocol where `protocol` is `other`.
    """

    tier: str
    way: Way
    kind: Kind
    peer: str
    protocol: str
    number: int | tuple[int, int]


def permits(data: dict[str, Any], packet: Wire) -> bool:
    """Tell whether a deployment lets a packet pass at a tier."""
    if packet.way == "egress" and data["egress"] == "open":
        return packet.kind == "address"
    if (packet.kind, packet.peer) == ("tag", "AzureLoadBalancer"):
        probed = data["tiers"][packet.tier].get("behind", {}).get("probes", [])
        return packet.way == "ingress" and packet.protocol == "tcp" and packet.number in probed
    return any(_flow_permits(data, flow, packet) for flow in data["flows"].values())


def _flow_permits(data: dict[str, Any], flow: dict[str, Any], packet: Wire) -> bool:
    if not _is_of(flow["services"], packet):
        return False
    mine, theirs = ("destination", "source") if packet.way == "ingress" else ("source", "destination")
    return any(
        tier == packet.tier and _meet(data, tier, peer, packet) and _is_seen(data, tier, peer, packet)
        for tier, peer in product(flow[mine], flow[theirs])
    )


def _is_of(services: list[dict[str, Any]], packet: Wire) -> bool:
    for service in services:
        if packet.protocol == "other" and packet.number == _NUMBER_OF.get(
            service["protocol"], service["protocol"]
        ):
            return True
        if service["protocol"] != packet.protocol:
            continue
        if isinstance(packet.number, int):
            if packet.number in service["ports"]:
                return True
        elif packet.number == tuple(map(service.get, ("type", "code"), packet.number)):
            return True
    return False


def _meet(data: dict[str, Any], tier: str, peer: str, packet: Wire) -> bool:
    """Tell whether packets like this one may pass between two ends at all."""
    if tier == peer and _is_one_machine(data["tiers"][tier]["subnets"]):
        return False
    external = data["external"].get(peer)
    if external and data["tiers"][tier]["network"] not in external.get("networks", data["networks"]):
        return False
    common = _families(data, tier) & _families(data, peer)
    if packet.protocol not in _FAMILY_OF:
        return bool(common)
    needed = _FAMILY_OF[packet.protocol]
    return needed in common and (packet.kind != "address" or ip_address(packet.peer).version == needed)


def _is_one_machine(subnets: list[str]) -> bool:
    networks = [ip_network(subnet) for subnet in subnets]
    versions = [network.version for network in networks]
    return all(network.num_addresses == 1 for network in networks) and len(set(versions)) == len(versions)


def _families(data: dict[str, Any], end: str) -> set[int]:
    prefixes = (
        data["tiers"][end]["subnets"] if end in data["tiers"] else data["external"][end].get("addresses")
    )
    return {_version(prefix) for prefix in prefixes} if prefixes else {4, 6}


def _is_seen(data: dict[str, Any], tier: str, peer: str, packet: Wire) -> bool:
    """Tell whether the packet's peer is what the rules of `tier` call `peer`."""
    external = data["external"].get(peer)
    families = _families(data, tier)
    knows_families = data.get("edition") != "2026.11"
    if external:
        seen = {
            "address": [
                one
                for one in external.get("addresses", [])
                if not knows_families or _version(one) in families
            ],
            "tag": [external.get("service-tag")],
            "list": [external.get("prefix-list", {}).get("id")],
            "group": [external.get("security-group")],
        }
    elif data["peers"] == "group" and data["tiers"][tier]["network"] == data["tiers"][peer]["network"]:
        seen = {"tier": [peer]}
    else:
        if tier == peer and knows_families:
            # What has one address of a family sends nothing to itself there.
            mine = data["tiers"][tier]["subnets"]
            families = {
                version
                for version in families
                if not _is_one_machine([one for one in mine if _version(one) == version])
            }
        seen = {"address": [one for one in data["tiers"][peer]["subnets"] if _version(one) in families]}
    if packet.kind != "address":
        return packet.peer in seen.get(packet.kind, [])
    return any(ip_address(packet.peer) in ip_network(prefix) for prefix in seen.get("address", []))


def _version(prefix: str) -> int:
    return ip_network(prefix).version
