"""The fewest rules of Azure for one direction of a group, before they have names and priorities.

One rule holds many prefixes and many port ranges, so the fewest rules of a protocol are the fewest rectangles
that cover a matrix of addresses and ports. What may not share a rule has a matrix of its own: a rule has one
address family, tags stand alone, and application security groups do not mix with prefixes.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from citrix_netpolicy.cover import Proof, Rectangle, minimum_cover
from citrix_netpolicy.grants import PrefixSet
from citrix_netpolicy.net import (
    ALL,
    BITS,
    IP_PROTOCOLS,
    LAST_PORT,
    Prefix,
    Protocol,
    Service,
    ServiceSet,
    icmp,
    ip_protocol,
    joined_runs,
    merge_prefixes,
    prefixes_between,
)
from citrix_netpolicy.policy import GroupReference, ServiceTag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from citrix_netpolicy.grants import Grants
    from citrix_netpolicy.policy import Cause, Peer, Rule
    from citrix_netpolicy.traffic import Reach

__all__ = ["ANYWHERE", "EVERY_PORT", "WHOLE", "Block", "Kind", "Side", "Span", "cover_side", "services_of"]

Kind = Literal["prefixes", "tag", "asg"]
Span = tuple[int, int]
EVERY_PORT: Final = (0, LAST_PORT)
# Every address, for which Azure has one word.
ANYWHERE: Final[tuple[Peer, ...]] = (Prefix(4, 0, 0), Prefix(6, 0, 0))
# How Azure calls the protocols that have ports.
_NAMES: Final = {Protocol.TCP: "Tcp", Protocol.UDP: "Udp"}
# What Azure calls by one word without ports.
WHOLE: Final = {
    "*": Service(Protocol.ALL, *EVERY_PORT),
    "Icmp": icmp(Protocol.ICMP),
    "Esp": ip_protocol(IP_PROTOCOLS["esp"]),
    "Ah": ip_protocol(IP_PROTOCOLS["ah"]),
}


@dataclass(frozen=True, slots=True)
class Block:
    """A rule without name and priority.

    `protocol` is Azure's word, `*` every protocol. `peers` are prefixes of one family, all addresses of both
    (`ANYWHERE`), one tag, or groups of tiers; `spans` are ranges of ports, both ends inclusive: all of them
    with a word of `WHOLE`. They are sorted.
    """

    protocol: str
    peers: tuple[Peer, ...]
    spans: tuple[Span, ...]
    causes: tuple[Cause, ...] = field(default=(), compare=False)

    @property
    def kind(self) -> Kind:
        """What sort of peers these are; one rule has peers of one kind."""
        match self.peers[0]:
            case Prefix():
                return "prefixes"
            case GroupReference():
                return "asg"
        return "tag"

    @property
    def ports(self) -> tuple[str, ...]:
        """The ranges as Azure writes them: `443`, `6910-6930`, `*`."""
        return tuple(map(_port_text, self.spans))


class Side(NamedTuple):
    """The blocks of one direction, the proven least number of them, and the proofs of it, one a matrix."""

    blocks: list[Block]
    lower_bound: int
    proofs: frozenset[Proof]


class _Row(NamedTuple):
    """Peers that may use the same services, in one protocol `spans` of ports."""

    peers: list[Peer]
    spans: tuple[Span, ...]


class _Column(NamedTuple):
    """Ports that the same rows have."""

    spans: list[Span]
    rows: frozenset[int]


def cover_side(grants: Grants, before: Sequence[Block] = ()) -> Side:
    """Return the fewest blocks that permit what the grants of one direction of one group permit.

    ICMP is allowed as a whole and ICMPv6 not at all, since Azure has no words for more. A cover that `before`
    holds is kept when none is smaller.
    """
    sides = [_cover_kind(kind, alike, grants, before) for kind, alike in _kinds(grants.reach)]
    blocks = [block for side in sides for block in side.blocks]
    joined = _joined(blocks) if _is_whole(grants.reach) else blocks
    return Side(
        joined,
        sum(side.lower_bound for side in sides) - (len(blocks) - len(joined)),
        frozenset().union(*(side.proofs for side in sides)),
    )


def _is_whole(reach: Reach) -> bool:
    """Tell whether every address of both families may use the same as any other of its family."""
    whole = {(version, 0, (1 << bits) - 1) for version, bits in BITS.items()}
    return {segment[:3] for segment in reach.segments} == whole


def _joined(blocks: list[Block]) -> list[Block]:
    """Join blocks of all addresses of one family with their equals of the other, as `*` of Azure has both.

    Where both families are whole, a protocol needs one block in each, or one for both where the ports are the
    same; none could do with less. Where some addresses have more than others, a block stays in its family.
    """
    joined: list[Block] = []
    all_of_6 = {(block.protocol, block.spans): block for block in blocks if block.peers == ANYWHERE[1:]}
    for block in blocks:
        other = all_of_6.get((block.protocol, block.spans))
        if other is not None and block.peers == ANYWHERE[:1]:
            causes = tuple(dict.fromkeys((*block.causes, *other.causes)))
            joined.append(replace(block, peers=ANYWHERE, causes=causes))
        else:
            joined.append(block)
    gone = {(block.protocol, block.spans) for block in joined if block.peers == ANYWHERE}
    return [b for b in joined if not (b.peers == ANYWHERE[1:] and (b.protocol, b.spans) in gone)]


def _cover_kind(
    kind: Kind, alike: dict[ServiceSet, list[Peer]], grants: Grants, before: Sequence[Block]
) -> Side:
    """Cover the peers of one kind, grouped by what they may use."""
    blocks: list[Block] = []
    named = {services: peers for services, peers in alike.items() if services != ALL}
    for word, whole in WHOLE.items():
        if whole.protocol is Protocol.ALL:
            peers = alike.get(ALL, [])
        else:
            peers = [peer for services, some in named.items() if services.meets(whole) for peer in some]
        if peers and not (whole.protocol is Protocol.ICMP and _is_ipv6(peers[0])):
            blocks.append(_block(word, peers, [whole], grants))
    bound = len(blocks)
    proofs: set[Proof] = set()
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
        proofs.add(cover.proof)
        for rectangle in cover.rectangles:
            peers = [peer for row in sorted(rectangle.rows) for peer in rows[row].peers]
            spans = [span for column in rectangle.columns for span in columns[column].spans]
            services = ServiceSet.of(*(Service(protocol, *span) for span in spans)).blocks()
            blocks.append(_block(name, peers, services, grants))
    return Side(blocks, bound, frozenset(proofs))


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


def _is_ipv6(peer: Peer) -> bool:
    return isinstance(peer, Prefix) and peer.version == 6


def _spans(services: ServiceSet, protocol: Protocol) -> tuple[Span, ...]:
    return tuple((block.first, block.last) for block in services.blocks() if block.protocol is protocol)


def _columns(rows: Sequence[_Row]) -> list[_Column]:
    """Cut the ports wherever a span begins or ends; ports that the same rows have are one column."""
    changes: dict[int, set[int]] = {}
    for number, row in enumerate(rows):
        for first, last in row.spans:
            changes.setdefault(first, set()).add(number)
            changes.setdefault(last + 1, set()).add(number)
    columns: dict[frozenset[int], list[Span]] = {}
    having: frozenset[int] = frozenset()
    for first, end in pairwise(sorted(changes)):
        # Spans of a row neither meet nor touch, so a row that changes at an edge begins there or ends there.
        having ^= changes[first]
        if having:
            columns.setdefault(having, []).append((first, end - 1))
    return [_Column(spans, having) for having, spans in columns.items()]


def _rectangle(old: Block, rows: Sequence[_Row], columns: Sequence[_Column]) -> Rectangle:
    """Return what a block of before covers of today's matrix."""
    others = {peer for peer in old.peers if not isinstance(peer, Prefix)}
    families: dict[int, list[Prefix]] = {}
    for peer in old.peers:
        if isinstance(peer, Prefix):
            families.setdefault(peer.version, []).append(peer)
    runs = {version: PrefixSet.of(prefixes).runs for version, prefixes in families.items()}
    spans = joined_runs(old.spans)

    def has(peer: Peer) -> bool:
        if isinstance(peer, Prefix):
            return _holds(runs.get(peer.version, ()), peer.first, peer.last)
        return peer in others

    return Rectangle(
        frozenset(number for number, row in enumerate(rows) if all(map(has, row.peers))),
        frozenset(
            number
            for number, column in enumerate(columns)
            if all(_holds(spans, first, last) for first, last in column.spans)
        ),
    )


def _holds(runs: Sequence[tuple[int, int]], first: int, last: int) -> bool:
    """Tell whether one of some disjoint, ascending runs holds `first` to `last`."""
    at = bisect_right(runs, first, key=itemgetter(0)) - 1
    return at >= 0 and last <= runs[at][1]


def _block(name: str, peers: Sequence[Peer], services: Iterable[Service], grants: Grants) -> Block:
    """Return a block with the causes of all it carries; Azure wants prefixes apart, so they are merged."""
    services = tuple(services)
    prefixes = merge_prefixes(peer for peer in peers if isinstance(peer, Prefix))
    others = sorted((peer for peer in peers if not isinstance(peer, Prefix)), key=str)
    told: list[Peer] = [*prefixes, *others]
    spans = (EVERY_PORT,) if name in WHOLE else tuple((service.first, service.last) for service in services)
    return Block(name, tuple(told), spans, grants.causes(told, services))


def services_of(protocol: str, spans: Iterable[Span]) -> Iterator[Service]:
    """Yield what Azure means by a protocol, in its word, with ranges of ports."""
    if protocol in WHOLE:
        yield WHOLE[protocol]
        return
    named = {word: protocol for protocol, word in _NAMES.items()}[protocol]
    yield from (Service(named, *span) for span in spans)


def _port_text(span: Span) -> str:
    first, last = span
    if span == EVERY_PORT:
        return "*"
    return str(first) if first == last else f"{first}-{last}"


def block_to_data(block: Block) -> dict[str, Any]:
    """Return a block as data for a file."""
    return {
        "protocol": block.protocol,
        "kind": block.kind,
        "peers": [str(peer) for peer in block.peers],
        "ports": list(block.ports),
    }


def block_of_data(data: Mapping[str, Any]) -> Block:
    """Return the block that such data means. Raises ValueError when it means none."""
    makers: dict[str, Callable[[str], Peer]] = {
        "prefixes": Prefix.parse,
        "tag": ServiceTag,
        "asg": GroupReference,
    }
    if data["kind"] not in makers or data["protocol"] not in {*WHOLE, *_NAMES.values()}:
        raise ValueError(f"`{data['kind']}` or `{data['protocol']}` is not valid here")
    peers = tuple(makers[data["kind"]](text) for text in data["peers"])
    return Block(data["protocol"], peers, tuple(span_of(text) for text in data["ports"]))


def span_of(text: str) -> Span:
    """Return the ports that Azure's text means. Raises ValueError when it means none."""
    if text == "*":
        return EVERY_PORT
    first, _, last = text.partition("-")
    if not (first.isascii() and first.isdigit()) or (last and not (last.isascii() and last.isdigit())):
        raise ValueError(f"`{text}` is not a valid port or range")
    span = (int(first), int(last or first))
    if not 0 <= span[0] <= span[1] <= LAST_PORT:
        raise ValueError(f"`{text}` is not a valid port or range")
    return span


def blocks_of_rules(rules: Iterable[Rule]) -> Iterator[Block]:
    """Yield the blocks with ports that rules of one origin were read from: one for each protocol."""
    by_protocol: dict[Protocol, list[Rule]] = {}
    for rule in rules:
        by_protocol.setdefault(rule.service.protocol, []).append(rule)
    for protocol, word in _NAMES.items():
        if alike := by_protocol.get(protocol):
            peers = tuple(dict.fromkeys(rule.peer for rule in alike))
            spans = tuple(dict.fromkeys((rule.service.first, rule.service.last) for rule in alike))
            yield Block(word, peers, spans)
