"""What Azure's network security groups permit, by their documentation. Slow and obviously right: keep it so.

A group is the REST JSON of one `Microsoft.Network/networkSecurityGroups` resource. Whatever the documentation
or the caller leaves open raises `UndecidedError`; nothing unknown counts as no match.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Tag = Callable[["Address"], bool] | Collection[str]

__all__ = ["DEFAULT_RULES", "HOST", "Address", "Direction", "UndecidedError", "allows", "flows"]

Address = IPv4Address | IPv6Address
Direction = Literal["Inbound", "Outbound"]

# The virtual address of the host that a machine runs on, from which health probes come.
HOST: Final = "168.63.129.16"

# Every protocol that a rule can name; any other is matched by `*` alone.
_PROTOCOLS: Final = {1: "Icmp", 6: "Tcp", 17: "Udp", 50: "Esp", 51: "Ah"}
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class UndecidedError(ValueError):
    """The documentation does not say, or the caller did not say what a name stands for."""


def _default(name: str, priority: int, access: str, source: str, destination: str) -> dict[str, Any]:
    properties = {
        "priority": priority,
        "direction": "Inbound" if name.endswith("InBound") else "Outbound",
        "access": access,
        "protocol": "*",
        "sourceAddressPrefix": source,
        "sourcePortRange": "*",
        "destinationAddressPrefix": destination,
        "destinationPortRange": "*",
    }
    return {"name": name, "properties": properties}


# The rules that every group ends with.
DEFAULT_RULES: Final = (
    _default("AllowVnetInBound", 65000, "Allow", "VirtualNetwork", "VirtualNetwork"),
    _default("AllowAzureLoadBalancerInBound", 65001, "Allow", "AzureLoadBalancer", "*"),
    _default("DenyAllInBound", 65500, "Deny", "*", "*"),
    _default("AllowVnetOutBound", 65000, "Allow", "VirtualNetwork", "VirtualNetwork"),
    _default("AllowInternetOutBound", 65001, "Allow", "*", "Internet"),
    _default("DenyAllOutBound", 65500, "Deny", "*", "*"),
)


def allows(  # noqa: PLR0917 - a packet, as one writes it
    nsg: Mapping[str, Any],
    direction: Direction,
    protocol: str | int,
    source: str,
    destination: str,
    port: int | None,
    *,
    virtual_network: Collection[str],
    members: Mapping[str, Collection[str]] = _NOTHING,
    tags: Mapping[str, Tag] = _NOTHING,
    source_port: int | None = None,
) -> bool:
    """Tell whether a group permits the first packet of a connection.

    `protocol` is a word of Azure or an IP protocol number, and `port` is None where the protocol has none.
    `virtual_network` holds the prefixes of the tag of that name, `members` the addresses of each application
    security group under its id, and `tags` the prefixes of service tags, or what tells if one has an address.
    """
    names = _Names(virtual_network, members, tags)
    addresses = ip_address(source), ip_address(destination)
    if addresses[0].version != addresses[1].version:
        raise UndecidedError(f"{source} and {destination} are of different families")
    word = _protocol(protocol)
    # The list in `all` is no slip: every name of every rule is looked up, so that none goes unknown.
    met = [
        rule
        for rule in _rules(nsg, direction)
        if all(
            [
                _protocol(rule["protocol"]) in ("*", word),
                _has_address(rule, "source", addresses[0], names),
                _has_address(rule, "destination", addresses[1], names),
            ]
        )
    ]
    first = next(
        rule
        for rule in met
        if _has_port(rule, "source", source_port) and _has_port(rule, "destination", port)
    )
    return {"Allow": True, "Deny": False}[first["access"]]


def flows(  # noqa: PLR0917 - a packet, as one writes it
    nsg_source: Mapping[str, Any] | None,
    nsg_destination: Mapping[str, Any] | None,
    protocol: str | int,
    source: str,
    destination: str,
    port: int | None,
    *,
    virtual_network: Collection[str],
    members: Mapping[str, Collection[str]] = _NOTHING,
    tags: Mapping[str, Tag] = _NOTHING,
    source_port: int | None = None,
) -> bool:
    """Tell whether a connection can be made: out of its source, and into its destination.

    None stands for an end without a group, which permits everything.
    """

    def end(nsg: Mapping[str, Any] | None, direction: Direction) -> bool:
        return nsg is None or allows(
            nsg,
            direction,
            protocol,
            source,
            destination,
            port,
            virtual_network=virtual_network,
            members=members,
            tags=tags,
            source_port=source_port,
        )

    return all([end(nsg_source, "Outbound"), end(nsg_destination, "Inbound")])


def _rules(nsg: Mapping[str, Any], direction: Direction) -> list[Mapping[str, Any]]:
    """Return the properties of the rules of a direction, in the order in which they are tried."""
    rules = [rule["properties"] for rule in (*(nsg["properties"].get("securityRules") or ()), *DEFAULT_RULES)]
    strays = {direction, *(rule["direction"] for rule in rules)} - {"Inbound", "Outbound"}
    if strays:
        raise UndecidedError(f"there is no direction {sorted(strays)}")
    found = sorted(
        (rule for rule in rules if rule["direction"] == direction), key=lambda rule: rule["priority"]
    )
    twice = [number for number, times in Counter(rule["priority"] for rule in found).items() if times > 1]
    if twice:
        raise UndecidedError(f"several rules {direction} have the priorities {twice}")
    return found


def _protocol(protocol: str | int) -> str | int:
    """Return a protocol as the word that rules have for it, or as its number if they have none."""
    if isinstance(protocol, int):
        return _PROTOCOLS.get(protocol, protocol)
    if protocol not in ("*", *_PROTOCOLS.values()):
        raise UndecidedError(f"there is no protocol {protocol!r}")
    return protocol


def _has_address(rule: Mapping[str, Any], side: str, address: Address, names: _Names) -> bool:
    groups = [group["id"] for group in rule.get(f"{side}ApplicationSecurityGroups") or ()]
    prefixes = _either(rule, f"{side}AddressPrefix", f"{side}AddressPrefixes")
    if bool(groups) == bool(prefixes):
        raise UndecidedError(f"a rule must have prefixes or groups as its {side}")
    found = [names.group_has(group, address) for group in groups]
    return any(found + [names.prefix_has(prefix, address) for prefix in prefixes])


def _has_port(rule: Mapping[str, Any], side: str, port: int | None) -> bool:
    ranges = _either(rule, f"{side}PortRange", f"{side}PortRanges")
    if not ranges:
        raise UndecidedError(f"a rule must have ports of its {side}")
    if "*" in ranges:
        return True
    if port is None:
        raise UndecidedError(f"whether a packet without a {side} port meets {ranges} is not documented")
    bounds = [text.partition("-") for text in ranges]
    return any(int(first) <= port <= int(last or first) for first, _, last in bounds)


def _either(rule: Mapping[str, Any], one: str, many: str) -> list[str]:
    """Return the values of a field that has a singular and a plural form; either may be empty."""
    return [*([rule[one]] if rule.get(one) else []), *(rule.get(many) or ())]


@dataclass(frozen=True, slots=True)
class _Names:
    """What the names in rules stand for."""

    virtual_network: Collection[str]
    members: Mapping[str, Collection[str]]
    tags: Mapping[str, Tag]

    def group_has(self, group: str, address: Address) -> bool:
        if group not in self.members:
            raise UndecidedError(f"the members of {group} are not given")
        return address in [ip_address(member) for member in self.members[group]]

    def prefix_has(self, prefix: str, address: Address) -> bool:
        if prefix == "*":
            return True
        network = _network(prefix)
        return self._tag_has(prefix, address) if network is None else address in network

    def _tag_has(self, tag: str, address: Address) -> bool:
        if tag in self.tags:
            meaning = self.tags[tag]
            return meaning(address) if callable(meaning) else _lies_in(address, meaning)
        match tag:
            case "VirtualNetwork":  # with the host, by the documentation of service tags
                return _lies_in(address, [*self.virtual_network, HOST])
            case "AzureLoadBalancer":
                return _lies_in(address, [HOST])
            case "Internet":  # what is public and lies outside of the virtual network; Azure's own included
                return address.is_global and not self._tag_has("VirtualNetwork", address)
        raise UndecidedError(f"what {tag!r} stands for is not given")


def _lies_in(address: Address, prefixes: Collection[str]) -> bool:
    return any(address in ip_network(prefix) for prefix in prefixes)


@cache
def _network(prefix: str) -> IPv4Network | IPv6Network | None:
    """Return a prefix, or None for what is none."""
    try:
        return ip_network(prefix)
    except ValueError:
        return None
