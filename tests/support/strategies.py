"""A small world whose values collide, and strategies that draw rules from it.

`PACKETS` holds a packet of every kind the pools can tell apart: two lists of rules drawn from the pools mean
the same exactly when they allow the same packets of `PACKETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st

from citrix_netpolicy.net import Prefix, Protocol, Service, ServiceSet, icmp, ip_protocol, ports
from citrix_netpolicy.policy import (
    Cause,
    Direction,
    ExistingGroup,
    GroupReference,
    Peer,
    PrefixList,
    Rule,
    ServiceTag,
)
from support.oracle import Address, Packet, Point, allows

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ADDRESSES",
    "CAUSES",
    "DIRECTIONS",
    "NUMBERS",
    "PACKETS",
    "PEERS",
    "PLACES",
    "POINTS",
    "PREFIXES",
    "SERVICES",
    "TryLaw",
    "causes",
    "differences",
    "examples",
    "meaning",
    "meaning_of_rule",
    "prefixes",
    "rule_lists",
    "rules",
    "service_sets",
    "services",
]

DIRECTIONS = (Direction.INGRESS, Direction.EGRESS)


# What the fixture `try_law` does.
TryLaw = Callable[[Callable[[], None]], None]


def examples(count: int) -> settings:
    """Return the settings of a law that the landing tier tries on `count` examples, without a deadline."""
    return settings(max_examples=count, deadline=None)


def _inside(version: int, base: int, bits: int) -> list[Prefix]:
    """Return every prefix of the `bits` lowest bits behind `base`, the widest first."""
    longest = {4: 32, 6: 128}[version]
    return [
        Prefix(version, base + (index << bits - depth), longest - bits + depth)
        for depth in range(bits + 1)
        for index in range(1 << depth)
    ]


_BASE_4 = Prefix.parse("10.0.0.0").network
_BASE_6 = Prefix.parse("2001:db8::").network

PREFIXES = (
    *_inside(4, _BASE_4, 3),  # 10.0.0.0/29 and all that lies in it
    *_inside(6, _BASE_6, 3),  # 2001:db8::/125
    Prefix.parse("10.0.0.8/29"),
    Prefix.parse("10.0.0.0/28"),
    Prefix.parse("0.0.0.0/0"),
    Prefix.parse("128.0.0.0/1"),
    Prefix.parse("0.0.0.0/1"),
    Prefix.parse("::/0"),
    *_inside(6, _BASE_4, 1),  # the same numbers as 10.0.0.0/31
    Prefix.parse("::a00:0/125"),
)
# The texts collide across kinds.
POINTS: tuple[Point, ...] = (
    GroupReference("web"),
    GroupReference("sg-1"),
    ExistingGroup("sg-1"),
    PrefixList("pl-1"),
    PrefixList("sg-1"),
    ServiceTag("web"),
)
PEERS: tuple[Peer, ...] = (*PREFIXES, *POINTS)


def _port_services(protocol: Protocol) -> list[Service]:
    spans = [(79, 79), (80, 80), (81, 81), (82, 82), (80, 81), (81, 82), (79, 82), (79, 80), (1, 79)]
    spans += [(82, 65535), (80, 65535), (1, 65535)]
    return [*(ports(protocol, *span) for span in spans), Service(protocol, 0, 65535)]


def _icmp_services(protocol: Protocol) -> list[Service]:
    pairs = [(0, 0), (7, 255), (8, 0), (8, 1), (8, 254), (8, 255), (9, 0), (255, 255)]
    return [
        *(icmp(protocol, *pair) for pair in pairs),
        *(icmp(protocol, type_) for type_ in (0, 7, 8, 9, 255)),
        icmp(protocol),
    ]


# Neighbours, names, the first, the last, and both sides of a number that stands for TCP.
_IP_PROTOCOLS = (0, 5, 7, 47, 50, 51, 52, 255)
SERVICES = (
    *_port_services(Protocol.TCP),
    *_port_services(Protocol.UDP),
    *_icmp_services(Protocol.ICMP),
    *_icmp_services(Protocol.ICMPV6),
    *map(ip_protocol, _IP_PROTOCOLS),
    Service(Protocol.ALL, 0, 65535),
)

ADDRESSES = (
    *(Address(4, _BASE_4 + offset) for offset in range(9)),
    *(Address(4, number) for number in (0, _BASE_4 - 1, _BASE_4 + 15, _BASE_4 + 16, 2**31, 2**32 - 1)),
    *(Address(6, _BASE_6 + offset) for offset in range(9)),
    *(
        Address(6, number)
        for number in (
            0,
            _BASE_4,
            _BASE_4 + 1,
            _BASE_4 + 2,
            _BASE_4 + 7,
            _BASE_4 + 8,
            _BASE_6 - 1,
            2**128 - 1,
        )
    ),
)
PLACES: tuple[Address | Point, ...] = (*ADDRESSES, *POINTS)
_PORTS = (0, 1, 78, 79, 80, 81, 82, 83, 65534, 65535)
_TYPES_AND_CODES = (
    *((0, 0), (0, 1), (7, 0), (7, 254), (7, 255)),
    *((8, 0), (8, 1), (8, 2), (8, 253), (8, 254), (8, 255)),
    *((9, 0), (9, 1), (10, 0), (254, 255), (255, 0), (255, 254), (255, 255)),
)
NUMBERS: tuple[tuple[Protocol, int | tuple[int, int]], ...] = (
    *((protocol, port) for protocol in (Protocol.TCP, Protocol.UDP) for port in _PORTS),
    *((protocol, pair) for protocol in (Protocol.ICMP, Protocol.ICMPV6) for pair in _TYPES_AND_CODES),
    *((Protocol.OTHER, number) for number in (*_IP_PROTOCOLS, 254)),
)
PACKETS = tuple(
    Packet(direction, peer, protocol, number)
    for direction in DIRECTIONS
    for peer in PLACES
    for protocol, number in NUMBERS
)

CAUSES = tuple(Cause(name, f"Purpose {name}", (f"guide, section {name}",)) for name in "abcd")


@cache
def meaning_of_rule(rule: Rule) -> frozenset[Packet]:
    """Return the packets of the small world that one rule allows."""
    return frozenset(packet for packet in PACKETS if allows([rule], packet))


def meaning(rules: Iterable[Rule]) -> frozenset[Packet]:
    """Return the packets of the small world that rules allow: those that one of them allows."""
    return frozenset[Packet]().union(*map(meaning_of_rule, rules))


prefixes = st.sampled_from(PREFIXES)
services = st.sampled_from(SERVICES)
causes = st.lists(st.sampled_from(CAUSES), min_size=1, max_size=2, unique=True).map(
    lambda found: tuple(sorted(found))
)
service_sets = st.lists(services, max_size=6).map(lambda found: ServiceSet.of(*found))
# Differences hold what no rule says in one piece, and the protocols without a name.
differences = st.builds(ServiceSet.__sub__, service_sets, service_sets) | service_sets


def rules(
    direction: Direction | None = None,
    peers: st.SearchStrategy[Peer] | None = None,
    of: st.SearchStrategy[Service] = services,
) -> st.SearchStrategy[Rule]:
    """Draw one rule; of any direction unless one is given."""
    directions = st.sampled_from(DIRECTIONS) if direction is None else st.just(direction)
    return st.builds(Rule, directions, st.sampled_from(PEERS) if peers is None else peers, of, causes)


# Where to draw a list of rules from: one family or all peers, one protocol or all services.
_NEIGHBOURHOODS: tuple[tuple[Peer, ...], ...] = (
    tuple(prefix for prefix in PREFIXES if prefix.version == 4),
    tuple(prefix for prefix in PREFIXES if prefix.version == 6),
    PEERS,
)
_KINDS = (
    *(tuple(s for s in SERVICES if s.protocol is protocol) for protocol in (Protocol.TCP, Protocol.ICMP)),
    SERVICES,
)


@st.composite
def rule_lists(
    draw: st.DrawFn, direction: Direction | None = Direction.INGRESS, max_size: int = 8
) -> list[Rule]:
    """Draw up to `max_size` rules out of a few peers and a few services, so that they meet."""
    near, alike = draw(st.sampled_from(_NEIGHBOURHOODS)), draw(st.sampled_from(_KINDS))
    peers = draw(st.lists(st.sampled_from(near), min_size=1, max_size=5, unique=True))
    opened = draw(st.lists(st.sampled_from(alike), min_size=1, max_size=4, unique=True))
    rule = rules(direction, st.sampled_from(peers), st.sampled_from(opened))
    return draw(st.lists(rule, max_size=max_size))
