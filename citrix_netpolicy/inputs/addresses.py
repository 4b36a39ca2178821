"""Address space that cannot hold what a deployment puts there, or cannot be reached as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from citrix_netpolicy.net import Prefix, merge_prefixes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["external_refusal", "is_the_world", "subnet_refusal"]


class _Special(NamedTuple):
    """A part of the address space that is no site's own, from the `first` to the `last` address.

    `clouds` are those in which it is special; `is_peer` tells that rules for an external may name it.
    """

    first: int
    last: int
    what: str
    clouds: Sequence[str]
    is_peer: bool


def _special(text: str, what: str, *clouds: str, is_peer: bool = False) -> _Special:
    prefix = Prefix.parse(text)
    return _Special(prefix.first, prefix.last, what, clouds or ("aws", "azure"), is_peer)


# From the registries of special-purpose addresses (RFC 6890 and its updates), and what the clouds document.
_SPECIAL: Final = {
    4: (
        _special("0.0.0.0/8", "those of a host that has no address yet (0.0.0.0/8)"),
        _special("127.0.0.0/8", "loopback"),
        _special("169.254.0.0/16", "link-local, where the clouds serve metadata"),
        _special("168.63.129.16/32", "Azure's own platform (168.63.129.16)", "azure", is_peer=True),
        _special("224.0.0.0/4", "multicast"),
        _special("240.0.0.0/4", "reserved (240.0.0.0/4)"),
    ),
    6: (
        _special("::/96", "loopback, or IPv4 inside IPv6"),
        _special("64:ff9b::/96", "NAT64", is_peer=True),
        _special("fd00:ec2::/32", "AWS' own services (fd00:ec2::/32)", "aws", is_peer=True),
        _special("fe80::/10", "link-local"),
        _special("ff00::/8", "multicast"),
    ),
}
# A tier as wide as this is a slip of the keyboard: all private address space of a kind fits into these.
_WIDEST: Final = {4: 8, 6: 16}
# IPv6 gives out addresses of 2000::/3 only.
_WORLD: Final = {4: Prefix.parse("0.0.0.0/0"), 6: Prefix.parse("2000::/3")}


def subnet_refusal(prefix: Prefix, cloud: str) -> str:
    """Tell why a prefix cannot be a subnet of a tier in a cloud; nothing when it can."""
    widest = _WIDEST[prefix.version]
    if prefix.length < widest:
        return f"`{prefix}` is too wide for a subnet; the widest is a /{widest}"
    first, last = prefix.first, prefix.last
    for special in _SPECIAL[prefix.version]:
        if first <= special.last and special.first <= last and cloud in special.clouds:
            return f"`{prefix}` cannot be a subnet: these addresses are {special.what}"
    return ""


def external_refusal(prefix: Prefix) -> str:
    """Tell why a prefix cannot be that of an external; nothing when it can."""
    for special in _SPECIAL[prefix.version]:
        if special.first <= prefix.first and prefix.last <= special.last and not special.is_peer:
            return f"`{prefix}` cannot be a peer: these addresses are {special.what}"
    return ""


def is_the_world(prefixes: Iterable[Prefix]) -> bool:
    """Tell whether prefixes hold at least half of all IPv4 addresses, or of those that IPv6 has given out."""
    held = dict.fromkeys(_WORLD, 0)
    for prefix in merge_prefixes(prefixes):
        world = _WORLD[prefix.version]
        held[prefix.version] += max(0, min(prefix.last, world.last) - max(prefix.first, world.first) + 1)
    return any(2 * held[version] > world.last - world.first for version, world in _WORLD.items())
