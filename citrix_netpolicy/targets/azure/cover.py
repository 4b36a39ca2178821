"""The fewest rules of Azure for one direction of a group, before they have names and priorities.

One rule holds many prefixes and many port ranges, so the fewest rules of a protocol are the fewest rectangles
that cover a matrix of addresses and ports. What may not share a rule has a matrix of its own: a rule has one
address family, tags stand alone, and application security groups do not mix with prefixes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from citrix_netpolicy.cover import Rectangle, minimum_cover
from citrix_netpolicy.minimize import Causes
from citrix_netpolicy.net import (
    ALL,
    BITS,
    LAST_PORT,
    Prefix,
    Protocol,
    Service,
    ServiceSet,
    merge_prefixes,
    prefixes_between,
)
from citrix_netpolicy.policy import GroupReference, ServiceTag
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from citrix_netpolicy.policy import Peer, Rule
    from citrix_netpolicy.resolve import Cause
    from citrix_netpolicy.traffic import Reach

__all__ = ["Block", "Kind", "Side", "cover_side"]

Kind = Literal["prefixes", "tag", "asg"]
_Span = tuple[int, int]
_EVERY_PORT: Final = (0, LAST_PORT)
# How Azure calls the protocols that have ports.
_NAMES: Final = {Protocol.TCP: "Tcp", Protocol.UDP: "Udp"}


@dataclass(frozen=True, slots=True)
class Block:
    """A rule without name and priority.

    `peers` are prefixes, one tag, or names of tiers; ports are ranges, `*` all of them.
    """

    protocol: str
    kind: Kind
    peers: tuple[str, ...]
    ports: tuple[str, ...]
    causes: tuple[Cause, ...] = ()


class Side(NamedTuple):
    """The blocks of one direction, and the proven least number of them."""

    blocks: list[Block]
    lower_bound: int


class _Row(NamedTuple):
    """Peers that may use the same services, in one protocol `spans` of ports."""

    peers: list[Peer]
    spans: tuple[_Span, ...]


class _Column(NamedTuple):
    """Ports that the same rows have."""

    spans: list[_Span]
    rows: frozenset[int]


def cover_side(rules: Sequence[Rule], before: Sequence[Block] = ()) -> Side:
    """Return the fewest blocks that permit what `rules` of one direction of one group permit.

    ICMP is allowed as a whole and ICMPv6 not at all, since Azure has no words for more. A cover that `before`
    holds is kept when none is smaller.
    """
    reach = reach_of(rules)
    causes = Causes(rules)
    sides = [_cover_kind(kind, alike, causes, before) for kind, alike in _kinds(reach)]
    return Side([block for side in sides for block in side.blocks], sum(side.lower_bound for side in sides))


def _cover_kind(
    kind: Kind, alike: dict[ServiceSet, list[Peer]], causes: Causes, before: Sequence[Block]
) -> Side:
    """Cover the peers of one kind, grouped by what they may use."""
    blocks: list[Block] = []
    everything = alike.get(ALL, [])
    if everything:
        blocks.append(_block("*", kind, everything, [Service(Protocol.ALL, *_EVERY_PORT)], causes))
    named = {services: peers for services, peers in alike.items() if services != ALL}
    pinging = [peer for services, peers in named.items() if _has_icmp(services) for peer in peers]
    if pinging and not _is_ipv6(pinging[0]):
        blocks.append(_block("Icmp", kind, pinging, [Service(Protocol.ICMP, *_EVERY_PORT)], causes))
    bound = len(blocks)
    for protocol, name in _NAMES.items():
        rows = [_Row(peers, _spans(services, protocol)) for services, peers in named.items()]
        rows = [row for row in rows if row.spans]
        columns = _columns(rows)
        matrix = [
            frozenset(number for number, column in enumerate(columns) if row in column.rows)
            for row in range(len(rows))
        ]
        old = [block for block in before if (block.protocol, block.kind) == (name, kind)]
        cover = minimum_cover(matrix, [_rectangle(block, rows, columns) for block in old])
        bound += cover.lower_bound
        for rectangle in cover.rectangles:
            peers = [peer for row in sorted(rectangle.rows) for peer in rows[row].peers]
            spans = [span for column in rectangle.columns for span in columns[column].spans]
            services = ServiceSet.of(*(Service(protocol, *span) for span in spans)).blocks()
            blocks.append(_block(name, kind, peers, services, causes))
    return Side(blocks, bound)


def _kinds(reach: Reach) -> Iterator[tuple[Kind, dict[ServiceSet, list[Peer]]]]:
    """Yield the peers that may share a rule, grouped by what they may use."""
    for version in BITS:
        alike: dict[ServiceSet, list[Peer]] = {}
        for family, first, last, services in reach.segments:
            if family == version:
                prefixes = (Prefix(version, *pair) for pair in prefixes_between(version, first, last))
                alike.setdefault(services, []).extend(prefixes)
        if alike:
            yield "prefixes", alike
    groups: dict[ServiceSet, list[Peer]] = {}
    for peer, services in reach.points:
        if isinstance(peer, ServiceTag):
            yield "tag", {services: [peer]}
        elif isinstance(peer, GroupReference):
            groups.setdefault(services, []).append(peer)
        else:
            # `azure_rules` refuses these with a message for users.
            raise TypeError(f"Azure does not know `{peer}`")
    if groups:
        yield "asg", groups


def _has_icmp(services: ServiceSet) -> bool:
    return any(block.protocol is Protocol.ICMP for block in services.blocks())


def _is_ipv6(peer: Peer) -> bool:
    return isinstance(peer, Prefix) and peer.version == 6


def _spans(services: ServiceSet, protocol: Protocol) -> tuple[_Span, ...]:
    return tuple((block.first, block.last) for block in services.blocks() if block.protocol is protocol)


def _columns(rows: Sequence[_Row]) -> list[_Column]:
    """Cut the ports wherever a span begins or ends; ports that the same rows have are one column."""
    cuts = sorted({edge for row in rows for first, last in row.spans for edge in (first, last + 1)})
    columns: dict[frozenset[int], list[_Span]] = {}
    for first, end in pairwise(cuts):
        having = frozenset(
            number
            for number, row in enumerate(rows)
            if any(low <= first and end - 1 <= high for low, high in row.spans)
        )
        if having:
            columns.setdefault(having, []).append((first, end - 1))
    return [_Column(spans, having) for having, spans in columns.items()]


def _rectangle(old: Block, rows: Sequence[_Row], columns: Sequence[_Column]) -> Rectangle:
    """Return what a block of before covers of today's matrix."""
    spans = [_span(text) for text in old.ports]
    prefixes = [Prefix.parse(text) for text in old.peers] if old.kind == "prefixes" else []

    def has(peer: Peer) -> bool:
        if isinstance(peer, Prefix):
            return any(one.overlaps(peer) and one.length <= peer.length for one in prefixes)
        return str(peer) in old.peers

    return Rectangle(
        frozenset(number for number, row in enumerate(rows) if all(map(has, row.peers))),
        frozenset(
            number
            for number, column in enumerate(columns)
            if all(any(low <= first and last <= high for low, high in spans) for first, last in column.spans)
        ),
    )


def _span(text: str) -> _Span:
    first, _, last = text.partition("-")
    return _EVERY_PORT if text == "*" else (int(first), int(last or first))


def _block(
    name: str, kind: Kind, peers: Sequence[Peer], services: Iterable[Service], causes: Causes
) -> Block:
    """Return a block with the causes of all it carries; Azure wants prefixes apart, so they are merged."""
    services = tuple(services)
    prefixes = merge_prefixes(peer for peer in peers if isinstance(peer, Prefix))
    others = sorted((peer for peer in peers if not isinstance(peer, Prefix)), key=str)
    told: list[Peer] = [*prefixes, *others]
    found = {cause for peer in told for service in services for cause in causes.of(peer, service)}
    ports = tuple(_port_text(service.first, service.last) for service in services)
    return Block(name, kind, tuple(map(str, told)), ports, tuple(sorted(found)))


def _port_text(first: int, last: int) -> str:
    if (first, last) == _EVERY_PORT:
        return "*"
    return str(first) if first == last else f"{first}-{last}"
