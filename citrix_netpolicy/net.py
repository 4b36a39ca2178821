"""Values of the network: protocols, services and sets of them, prefixes and their merging.

A *service* is what one rule can open: a contiguous port range, an ICMP type and code, all codes of a type,
a whole protocol, or everything. A *service set* is any union of services. Both live on one
line of numbers, so that union, difference and containment are operations on intervals.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from citrix_netpolicy.errors import clean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = [
    "ALL",
    "EMPTY",
    "IP_PROTOCOLS",
    "NUMBERS",
    "Prefix",
    "Protocol",
    "Service",
    "ServiceSet",
    "icmp",
    "ip_protocol",
    "joined_runs",
    "merge_prefixes",
    "ports",
    "prefixes_between",
]

LAST_PORT: Final = 65535
BITS: Final = {4: 32, 6: 128}
_LENGTHS: Final = frozenset(map(str, range(129)))


class Protocol(StrEnum):
    """What a rule speaks about. `ALL` is truly every protocol, `OTHER` one without ports, by its number."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
    ICMPV6 = "icmpv6"
    ALL = "all"
    OTHER = "other"


# Protocols that people know by name rather than by number; names and numbers are IANA's.
IP_PROTOCOLS: Final = {"gre": 47, "esp": 50, "ah": 51}
_WORDS: Final = {number: name for name, number in IP_PROTOCOLS.items()}
# Numbers of the protocols that have a stretch of their own, and stand for it.
NUMBERS: Final = {1: Protocol.ICMP, 6: Protocol.TCP, 17: Protocol.UDP, 58: Protocol.ICMPV6}


class Service(NamedTuple):
    """What one rule can open: `first` to `last`, both inclusive.

    For TCP and UDP these are ports. For ICMP they are `256 * type + code`, so that a whole type is a range.
    For other protocols they are its number, twice.
    """

    protocol: Protocol
    first: int
    last: int

    @property
    def icmp_type(self) -> int | None:
        """The ICMP type, or None for all types."""
        return None if self.last - self.first > 255 else self.first >> 8

    @property
    def icmp_code(self) -> int | None:
        """The ICMP code, or None for all codes."""
        return self.first & 255 if self.first == self.last else None

    def __str__(self) -> str:
        if self.protocol is Protocol.ALL:
            return "all protocols"
        if self.protocol is Protocol.OTHER:
            return _WORDS.get(self.first, f"ip {self.first}")
        if (self.first, self.last) == (0, LAST_PORT):
            return f"{self.protocol} all"
        if self.protocol in (Protocol.ICMP, Protocol.ICMPV6):
            code = "*" if self.icmp_code is None else self.icmp_code
            return f"{self.protocol} {self.icmp_type}/{code}"
        span = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.protocol} {span}"


_ICMP_OF: Final = {4: Protocol.ICMP, 6: Protocol.ICMPV6}

# Each protocol has its stretch of the line. The stretches do not touch, so a port range never runs from one
# protocol into the next.
_STRETCH: Final = 1 << 17
_BASE: Final = {
    Protocol.TCP: 0,
    Protocol.UDP: _STRETCH,
    Protocol.ICMP: 2 * _STRETCH,
    Protocol.ICMPV6: 3 * _STRETCH,
    Protocol.OTHER: 4 * _STRETCH,
}
_PROTOCOLS: Final = tuple(_BASE)
_BEYOND: Final = _STRETCH * len(_BASE)  # more than any number of the line


@dataclass(frozen=True, slots=True)
class ServiceSet:
    """A set of services; two sets with the same meaning are equal.

    `ranges` are disjoint, ascending, never adjacent, and each lies within one protocol's stretch.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, *services: Service) -> ServiceSet:
        """Return the union of `services`."""
        ranges: list[tuple[int, int]] = []
        for protocol, first, last in services:
            if protocol is Protocol.ALL:
                return ALL
            base = _BASE[protocol]
            ranges.append((base + first, base + last))
        return cls(joined_runs(ranges))

    @classmethod
    def union(cls, sets: Iterable[ServiceSet]) -> ServiceSet:
        """Return what is in one of `sets`."""
        return cls(joined_runs([span for one in sets for span in one.ranges]))

    def blocks(self) -> tuple[Service, ...]:
        """Return the maximal services inside this set: the fewest rules that open exactly this set.

        They are pairwise disjoint, which is what the proof of minimality asks of them.
        """
        return _blocks_of(self.ranges)

    def without_icmp_beside(self, versions: Collection[int]) -> ServiceSet:
        """Return this set without the ICMP of address families that are not in `versions`."""
        has_icmp = bool(self.ranges) and self.ranges[-1][1] >= _BASE[Protocol.ICMP]
        if not has_icmp or self == ALL:
            return self
        absent = [protocol for version, protocol in _ICMP_OF.items() if version not in versions]
        return self - ServiceSet.of(*(Service(protocol, 0, LAST_PORT) for protocol in absent))

    def holds(self, service: Service) -> bool:
        """Tell whether all of a service is in this set."""
        if service.protocol is Protocol.ALL:
            return self == ALL
        first, last = _on_line(service)
        at = bisect_right(self.ranges, (first, _BEYOND)) - 1
        return at >= 0 and last <= self.ranges[at][1]

    def meets(self, service: Service) -> bool:
        """Tell whether a part of a service is in this set."""
        if service.protocol is Protocol.ALL:
            return bool(self.ranges)
        first, last = _on_line(service)
        at = bisect_right(self.ranges, (last, _BEYOND)) - 1
        return at >= 0 and first <= self.ranges[at][1]

    def __or__(self, other: ServiceSet) -> ServiceSet:
        if self.ranges == other.ranges or not other.ranges:
            return self
        return ServiceSet(joined_runs([*self.ranges, *other.ranges])) if self.ranges else other

    def __and__(self, other: ServiceSet) -> ServiceSet:
        if self.ranges == other.ranges:
            return self
        found: list[tuple[int, int]] = []
        mine, theirs = self.ranges, other.ranges
        i = j = 0
        while i < len(mine) and j < len(theirs):
            low, high = max(mine[i][0], theirs[j][0]), min(mine[i][1], theirs[j][1])
            if low <= high:
                found.append((low, high))
            if mine[i][1] < theirs[j][1]:
                i += 1
            else:
                j += 1
        return ServiceSet(tuple(found))

    def __sub__(self, other: ServiceSet) -> ServiceSet:
        left: list[tuple[int, int]] = []
        j = 0
        theirs = other.ranges
        for low, high in self.ranges:
            start = low
            while j < len(theirs) and theirs[j][1] < start:
                j += 1
            k = j
            while k < len(theirs) and theirs[k][0] <= high:
                if theirs[k][0] > start:
                    left.append((start, theirs[k][0] - 1))
                start = theirs[k][1] + 1
                k += 1
            if start <= high:
                left.append((start, high))
        return ServiceSet(tuple(left))

    def __le__(self, other: ServiceSet) -> bool:
        return not (self - other)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __str__(self) -> str:
        """Say the set exactly, as short as its ranges: `tcp 80, udp all but 53, icmp types 9-255`."""
        if self == ALL:
            return str(self.blocks()[0])
        parts: list[str] = []
        for protocol, base in _BASE.items():
            spans = [(low - base, high - base) for low, high in self.ranges if 0 <= low - base <= LAST_PORT]
            if spans:
                parts += _in_words(protocol, spans)
        return ", ".join(parts) or "nothing"


def _on_line(service: Service) -> tuple[int, int]:
    base = _BASE[service.protocol]
    return base + service.first, base + service.last


def joined_runs(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the numbers of some ranges, first and last inclusive, as ascending ranges with gaps between."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            if high > joined[-1][1]:
                joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return tuple(joined)


@lru_cache(1 << 12)
def _blocks_of(ranges: tuple[tuple[int, int], ...]) -> tuple[Service, ...]:
    if ranges == ALL.ranges:
        return (Service(Protocol.ALL, 0, LAST_PORT),)
    return tuple(block for low, high in ranges for block in _blocks(low, high))


def _blocks(low: int, high: int) -> Iterator[Service]:
    protocol = _PROTOCOLS[low // _STRETCH]
    first, last = low - _BASE[protocol], high - _BASE[protocol]
    whole = (first, last) == (0, LAST_PORT)
    if protocol is Protocol.OTHER:
        # A rule names one protocol or all of them.
        yield from (Service(protocol, number, number) for number in range(first, last + 1))
        return
    if protocol not in (Protocol.ICMP, Protocol.ICMPV6) or whole:
        yield Service(protocol, first, last)
        return
    # A rule names one ICMP code, or one type with all its codes; no rule names a range of either.
    while first <= last:
        whole_type = first & 255 == 0 and first + 255 <= last
        end = first + 255 if whole_type else first
        yield Service(protocol, first, end)
        first = end + 1


def _in_words(protocol: Protocol, spans: list[tuple[int, int]]) -> list[str]:
    """Return the words for one protocol: what there is of it or, where that is shorter, what is missing."""
    if protocol is Protocol.OTHER:
        return _protocol_words(spans)
    if spans == [(0, LAST_PORT)]:
        return [str(Service(protocol, *spans[0]))]
    say = _icmp_words if protocol in (Protocol.ICMP, Protocol.ICMPV6) else _port_words
    edges = [-1, *(edge for span in spans for edge in span), LAST_PORT + 1]
    gaps = [(low + 1, high - 1) for low, high in zip(edges[::2], edges[1::2], strict=True)]
    words = [word for span in spans for word in say(*span)]
    missing = [word for low, high in gaps if low <= high for word in say(low, high)]
    if len(missing) < len(words):
        return [f"{protocol} all but {' and '.join(missing)}"]
    # A type on its own is written as rules write it.
    as_in_rules = (f"{word[5:]}/*" if word.startswith("type ") else word for word in words)
    return [f"{protocol} {word}" for word in as_in_rules]


def _protocol_words(spans: list[tuple[int, int]]) -> list[str]:
    numbers = {number for first, last in spans for number in range(first, last + 1)}
    there, missing = (
        [str(Service(Protocol.OTHER, number, number)) for number in sorted(some)]
        for some in (numbers, _UNNAMED - numbers)
    )
    if len(missing) >= len(there):
        return there
    return [f"other protocols{' but ' if missing else ''}{' and '.join(missing)}"]


def _port_words(first: int, last: int) -> Iterator[str]:
    yield str(first) if first == last else f"{first}-{last}"


def _icmp_words(first: int, last: int) -> Iterator[str]:
    """Yield the codes of a type that is there in part, a run of whole types, and the codes of another."""
    while first <= last:
        type_, code = divmod(first, 256)
        if code == 0 and first + 255 <= last:
            last_type = (last + 1) // 256 - 1
            yield f"type {type_}" if type_ == last_type else f"types {type_}-{last_type}"
            first = 256 * (last_type + 1)
        else:
            end = min(last, first | 255)
            yield f"{type_}/{code}" if first == end else f"{type_}/{code}-{end & 255}"
            first = end + 1


EMPTY: Final = ServiceSet()
_UNNAMED: Final = frozenset(range(256)) - NUMBERS.keys()
ALL: Final = ServiceSet(
    (
        *((base, base + LAST_PORT) for name, base in _BASE.items() if name is not Protocol.OTHER),
        *joined_runs((_BASE[Protocol.OTHER] + number,) * 2 for number in _UNNAMED),
    )
)


def ports(protocol: Protocol, first: int, last: int | None = None) -> Service:
    """Return the TCP or UDP service `first` to `last`.

    Raises ValueError for another protocol, a port outside 1 to 65535 or a range that runs backwards.
    """
    if protocol not in (Protocol.TCP, Protocol.UDP):
        raise ValueError(f"{protocol} has no ports")
    last = first if last is None else last
    for port in (first, last):
        if not 1 <= port <= LAST_PORT:
            raise ValueError(f"port `{port}` is not between 1 and {LAST_PORT}")
    if first > last:
        raise ValueError(f"port range `{first}-{last}` runs backwards")
    return Service(protocol, first, last)


def icmp(protocol: Protocol, type_: int | None = None, code: int | None = None) -> Service:
    """Return an ICMP service; None stands for all types, or all codes of the type.

    Raises ValueError for another protocol, a number outside 0 to 255 or a code without a type.
    """
    if protocol not in (Protocol.ICMP, Protocol.ICMPV6):
        raise ValueError(f"{protocol} has no ICMP types")
    if type_ is None:
        if code is not None:
            raise ValueError("an ICMP code needs a type")
        return Service(protocol, 0, LAST_PORT)
    for number in (type_, code):
        if number is not None and not 0 <= number <= 255:
            raise ValueError(f"ICMP number `{number}` is not between 0 and 255")
    low = 256 * type_
    return Service(protocol, low, low + 255) if code is None else Service(protocol, low + code, low + code)


def ip_protocol(number: int) -> Service:
    """Return the service of an IP protocol that has no ports here.

    Raises ValueError for a number outside 0 to 255, or that of TCP, UDP, ICMP or ICMPv6.
    """
    if not 0 <= number <= 255:
        raise ValueError(f"IP protocol `{number}` is not between 0 and 255")
    if number in NUMBERS:
        raise ValueError(f"IP protocol {number} is {NUMBERS[number]}; call it by its name")
    return Service(Protocol.OTHER, number, number)


_OCTETS: Final = {str(number): number for number in range(256)}


def _ipv4(address: str) -> tuple[int, int] | None:
    """Return family and number of a plain IPv4 address; `ipaddress` is slow, and sites hold thousands."""
    try:
        a, b, c, d = (_OCTETS[octet] for octet in address.split("."))
    except (KeyError, ValueError):
        return None
    return 4, a << 24 | b << 16 | c << 8 | d


def _ip(address: str, text: str) -> tuple[int, int]:
    """Return family and number of an address; `text` is what errors show."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(
            f"`{clean(text)}` is not a valid prefix; use one such as 10.20.1.0/24 or 2001:db8::/32"
        ) from None
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            raise ValueError(f"`{clean(text)}` has a zone, which cloud rules do not support")
        if ip.ipv4_mapped is not None:
            raise ValueError(f"`{clean(text)}` is an IPv4-mapped IPv6 address; write it as IPv4")
    return ip.version, int(ip)


class Prefix(NamedTuple):
    """An IPv4 or IPv6 prefix; prefixes sort by family, then address, then the wider first."""

    version: int
    network: int
    length: int

    @classmethod
    def parse(cls, text: str) -> Prefix:
        """Read `10.0.0.0/8`, `2001:db8::/32` or a single address.

        Raises ValueError when the text is no prefix, or has bits set behind its length.
        """
        address, slash, length = text.partition("/")
        version, number = _ipv4(address) or _ip(address, text)
        bits = BITS[version]
        if not slash:
            return cls(version, number, bits)
        if length not in _LENGTHS or int(length) > bits:
            raise ValueError(f"`{clean(text)}` needs a prefix length between 0 and {bits}")
        network = number >> (bits - int(length)) << (bits - int(length))
        if network != number:
            meant = cls(version, network, int(length))
            raise ValueError(f"`{clean(text)}` has host bits set; did you mean {meant}?")
        return cls(version, network, int(length))

    @property
    def first(self) -> int:
        """The lowest address."""
        return self.network

    @property
    def last(self) -> int:
        """The highest address."""
        return self.network | (1 << (BITS[self.version] - self.length)) - 1

    def overlaps(self, other: Prefix) -> bool:
        """Tell whether some address lies in both prefixes."""
        return self.version == other.version and self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        _, n, length = self
        if self.version == 4:
            return f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/{length}"
        return f"{ipaddress.IPv6Address(n)}/{length}"


def merge_prefixes(prefixes: Iterable[Prefix]) -> list[Prefix]:
    """Return the fewest prefixes that hold exactly the same addresses, in ascending order."""
    # One number for network and length sorts as the pair does, and costs a fraction of it.
    keys: dict[int, list[int]] = {version: [] for version in BITS}
    for version, network, length in prefixes:
        keys[version].append(network << 8 | length)
    new = tuple.__new__
    return [
        new(Prefix, (version, key >> 8, key & 255))
        for version, members in keys.items()
        for key in _merged(sorted(members), BITS[version])
    ]


def _merged(keys: list[int], bits: int) -> list[int]:
    """Merge ascending prefixes of one family, each written `network << 8 | length`."""
    sizes = [1 << (bits - length) for length in range(bits + 1)]
    # Disjoint prefixes whose other half, the one that makes them a wider prefix, has not been seen yet.
    waiting: list[int] = []
    end = -1
    for key in keys:
        network = key >> 8
        if network <= end:
            continue
        joined, size = key, sizes[key & 255]
        end = network + size - 1
        while waiting and network & size and waiting[-1] == joined - (size << 8):
            joined = waiting.pop() - 1
            network -= size
            size <<= 1
        waiting.append(joined)
    return waiting


def prefixes_between(version: int, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield the fewest (network, length) that hold exactly the addresses `first` to `last`, ascending."""
    bits = BITS[version]
    while first <= last:
        size_bits = (last - first + 1).bit_length() - 1
        if first:
            size_bits = min(size_bits, (first & -first).bit_length() - 1)
        yield first, bits - size_bits
        first += 1 << size_bits
