"""What rules permit, by definition. Slow and obviously right: keep it so."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from citrix_netpolicy.net import Prefix, Protocol
from citrix_netpolicy.policy import Direction, ExistingGroup, GroupReference, PrefixList, ServiceTag

if TYPE_CHECKING:
    from collections.abc import Iterable

    from citrix_netpolicy.policy import Rule

__all__ = ["Address", "Packet", "Point", "allows"]

Point = GroupReference | ExistingGroup | PrefixList | ServiceTag


class Address(NamedTuple):
    """One address: its family, and its number."""

    version: int
    number: int


class Packet(NamedTuple):
    """The first packet of a connection; `number` is a port, an ICMP (type, code), or that of the protocol."""

    direction: Direction
    peer: Address | Point
    protocol: Protocol
    number: int | tuple[int, int]


def allows(rules: Iterable[Rule], packet: Packet) -> bool:
    """Tell whether one of the rules permits the packet."""
    return any(
        rule.direction is packet.direction and _has_peer(rule, packet) and _has_service(rule, packet)
        for rule in rules
    )


def _has_peer(rule: Rule, packet: Packet) -> bool:
    if not isinstance(rule.peer, Prefix) or not isinstance(packet.peer, Address):
        return rule.peer == packet.peer
    free_bits = {4: 32, 6: 128}[rule.peer.version] - rule.peer.length
    same_bits = packet.peer.number >> free_bits == rule.peer.network >> free_bits
    return rule.peer.version == packet.peer.version and same_bits


def _has_service(rule: Rule, packet: Packet) -> bool:
    if rule.service.protocol is Protocol.ALL:
        return True
    if rule.service.protocol is not packet.protocol:
        return False
    if isinstance(packet.number, tuple):
        type_, code = packet.number
        return rule.service.icmp_type in (None, type_) and rule.service.icmp_code in (None, code)
    return rule.service.first <= packet.number <= rule.service.last
