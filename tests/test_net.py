"""Values of the network, and the algebra of service sets."""

from __future__ import annotations

import ipaddress
import itertools
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.oracle import Address, Packet, allows
from support.strategies import NUMBERS, SERVICES, differences, examples, prefixes, services

from citrix_netpolicy.net import (
    ALL,
    EMPTY,
    Prefix,
    Protocol,
    Service,
    ServiceSet,
    icmp,
    ip_protocol,
    merge_prefixes,
    ports,
    prefixes_between,
)
from citrix_netpolicy.policy import Direction, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

TCP, UDP, ICMP, ICMPV6 = Protocol.TCP, Protocol.UDP, Protocol.ICMP, Protocol.ICMPV6
BITS = {4: 32, 6: 128}

# Prefixes


@pytest.mark.parametrize(
    ("text", "version", "network", "length"),
    [
        ("10.20.1.0/24", 4, "10.20.1.0", 24),
        ("0.0.0.0/0", 4, "0.0.0.0", 0),
        ("10.0.0.1", 4, "10.0.0.1", 32),
        ("255.255.255.255/32", 4, "255.255.255.255", 32),
        ("128.0.0.0/1", 4, "128.0.0.0", 1),
        ("2001:db8::/32", 6, "2001:db8::", 32),
        ("::/0", 6, "::", 0),
        ("::1", 6, "::1", 128),
        ("2001:DB8:0:0::/64", 6, "2001:db8::", 64),
    ],
)
def test_a_prefix_is_read_as_family_network_and_length(
    text: str, version: int, network: str, length: int
) -> None:
    assert Prefix.parse(text) == Prefix(version, int(ipaddress.ip_address(network)), length)


_NO_PREFIX = "is not a valid prefix; use one such as 10.20.1.0/24 or 2001:db8::/32"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"`` {_NO_PREFIX}"),
        ("/8", f"`/8` {_NO_PREFIX}"),
        ("subnet-a", f"`subnet-a` {_NO_PREFIX}"),
        ("10.0.0/8", f"`10.0.0/8` {_NO_PREFIX}"),
        ("10.0.0.256/32", f"`10.0.0.256/32` {_NO_PREFIX}"),
        ("010.0.0.0/8", f"`010.0.0.0/8` {_NO_PREFIX}"),
        (" 10.0.0.0/8", f"` 10.0.0.0/8` {_NO_PREFIX}"),
        ("10.0.0.0-10.0.0.7", f"`10.0.0.0-10.0.0.7` {_NO_PREFIX}"),
        ("2001:db8:::/32", f"`2001:db8:::/32` {_NO_PREFIX}"),
        ("10.0.0.0/", "`10.0.0.0/` needs a prefix length between 0 and 32"),
        ("10.0.0.0/33", "`10.0.0.0/33` needs a prefix length between 0 and 32"),
        ("10.0.0.0/-1", "`10.0.0.0/-1` needs a prefix length between 0 and 32"),
        ("10.0.0.0/+8", "`10.0.0.0/+8` needs a prefix length between 0 and 32"),
        ("10.0.0.0/08", "`10.0.0.0/08` needs a prefix length between 0 and 32"),
        ("10.0.0.0/8 ", "`10.0.0.0/8 ` needs a prefix length between 0 and 32"),
        ("10.0.0.0/8/8", "`10.0.0.0/8/8` needs a prefix length between 0 and 32"),
        ("10.0.0.0/٨", "`10.0.0.0/٨` needs a prefix length between 0 and 32"),
        ("10.0.0.0/255.0.0.0", "`10.0.0.0/255.0.0.0` needs a prefix length between 0 and 32"),
        ("::/129", "`::/129` needs a prefix length between 0 and 128"),
        ("10.0.0.1/24", "`10.0.0.1/24` has host bits set; did you mean 10.0.0.0/24?"),
        ("10.0.0.1/0", "`10.0.0.1/0` has host bits set; did you mean 0.0.0.0/0?"),
        ("2001:db8::1/127", "`2001:db8::1/127` has host bits set; did you mean 2001:db8::/127?"),
        ("fe80::1%eth0", "`fe80::1%eth0` has a zone, which cloud rules do not support"),
        ("fe80::%1/64", "`fe80::%1/64` has a zone, which cloud rules do not support"),
    ],
)
def test_what_is_no_prefix_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        Prefix.parse(text)
    assert str(caught.value) == message


@st.composite
def _any_prefixes(draw: st.DrawFn) -> Prefix:
    version = draw(st.sampled_from([4, 6]))
    length = draw(st.integers(0, BITS[version]))
    free = BITS[version] - length
    return Prefix(version, draw(st.integers(0, (1 << length) - 1)) << free, length)


@examples(50)
@given(_any_prefixes().filter(lambda prefix: prefix.network >> 32 != 0xFFFF) | prefixes)
def test_parse_reads_what_str_writes(prefix: Prefix) -> None:
    assert Prefix.parse(str(prefix)) == prefix


@examples(300)
@given(
    st.lists(
        st.sampled_from(["0", "1", "9", "10", "255", "256", "01", "", "-1", " 1", "\u0661", "1e1"]),
        max_size=5,
    )
)
def test_an_ipv4_address_is_read_as_ipaddress_reads_it(octets: list[str]) -> None:
    text = ".".join(octets)
    try:
        expected = Prefix(4, int(ipaddress.IPv4Address(text)), 32)
    except ValueError:
        with pytest.raises(ValueError, match="is not a valid prefix"):
            Prefix.parse(text)
        return
    assert Prefix.parse(text) == expected
    assert str(expected) == str(ipaddress.ip_network(text))


@examples(50)
@given(_any_prefixes())
def test_a_prefix_has_the_ends_that_ipaddress_gives_it(prefix: Prefix) -> None:
    network = ipaddress.ip_network(str(prefix))
    assert (prefix.first, prefix.last) == (int(network[0]), int(network[-1]))


@examples(80)
@given(prefixes, prefixes)
def test_prefixes_overlap_when_one_holds_an_end_of_the_other(one: Prefix, other: Prefix) -> None:
    nested = one.version == other.version and (
        one.first <= other.first <= one.last or other.first <= one.first <= other.last
    )
    assert one.overlaps(other) == other.overlaps(one) == nested


def test_prefixes_sort_by_family_then_address_then_the_wider_first() -> None:
    texts = ["0.0.0.0/0", "9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/32", "::/0", "::a00:0/104"]
    assert [str(prefix) for prefix in sorted(map(Prefix.parse, reversed(texts)))] == texts


def _collapsed(found: Iterable[Prefix]) -> list[str]:
    networks = [ipaddress.ip_network(str(prefix)) for prefix in found]
    four = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    merged = (*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six))
    return [str(network) for network in merged]


@examples(150)
@given(st.lists(prefixes, max_size=14) | st.lists(_any_prefixes(), max_size=8))
def test_merged_prefixes_are_those_of_ipaddress(found: list[Prefix]) -> None:
    assert [str(prefix) for prefix in merge_prefixes(found)] == _collapsed(found)


@examples(40)
@given(st.lists(prefixes, max_size=10), st.randoms(use_true_random=False))
def test_merging_prefixes_is_idempotent_and_independent_of_order(found: list[Prefix], random: Random) -> None:
    merged = merge_prefixes(found)
    random.shuffle(found)
    assert merge_prefixes(iter(found)) == merged == merge_prefixes(merged)


def _summarized(version: int, first: int, last: int) -> list[tuple[int, int]]:
    address = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    summary = ipaddress.summarize_address_range(address(first), address(last))
    return [(int(network.network_address), network.prefixlen) for network in summary]


@examples(100)
@given(st.integers(0, 2**32 - 1) | st.integers(0, 40), st.integers(0, 2**32 - 1) | st.integers(0, 40))
@example(0, 2**32 - 1)
@example(2**32 - 1, 2**32 - 1)
@example(1, 2**32 - 2)
@example(0, 0)
def test_prefixes_between_are_those_of_ipaddress(one: int, other: int) -> None:
    first, last = sorted((one, other))
    assert list(prefixes_between(4, first, last)) == _summarized(4, first, last)
    top = 2**128 - 2**32
    assert list(prefixes_between(6, first, top + last)) == _summarized(6, first, top + last)


def test_there_are_no_prefixes_in_an_empty_range() -> None:
    assert list(prefixes_between(4, 5, 4)) == []


# Services


def test_ports_are_one_port_or_a_range() -> None:
    assert ports(TCP, 443) == Service(TCP, 443, 443)
    assert ports(UDP, 1, 65535) == Service(UDP, 1, 65535)


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (0, None, "port `0` is not between 1 and 65535"),
        (-1, 5, "port `-1` is not between 1 and 65535"),
        (65536, None, "port `65536` is not between 1 and 65535"),
        (1, 65536, "port `65536` is not between 1 and 65535"),
        (81, 80, "port range `81-80` runs backwards"),
    ],
)
def test_impossible_ports_are_refused(first: int, last: int | None, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        ports(TCP, first, last)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("type_", "code", "first", "last"),
    [
        (None, None, 0, 65535),
        (0, None, 0, 255),
        (8, 0, 2048, 2048),
        (8, None, 2048, 2303),
        (255, 255, 65535, 65535),
    ],
)
def test_icmp_is_a_code_or_a_type_or_the_whole_protocol(
    type_: int | None, code: int | None, first: int, last: int
) -> None:
    service = icmp(ICMP, type_, code)
    assert service == Service(ICMP, first, last)
    assert (service.icmp_type, service.icmp_code) == (type_, code)


@pytest.mark.parametrize(
    ("type_", "code", "message"),
    [
        (None, 0, "an ICMP code needs a type"),
        (256, None, "ICMP number `256` is not between 0 and 255"),
        (-1, None, "ICMP number `-1` is not between 0 and 255"),
        (8, 256, "ICMP number `256` is not between 0 and 255"),
        (8, -1, "ICMP number `-1` is not between 0 and 255"),
    ],
)
def test_impossible_icmp_is_refused(type_: int | None, code: int | None, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        icmp(ICMP, type_, code)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("service", "text"),
    [
        (ports(TCP, 443), "tcp 443"),
        (ports(UDP, 16500, 16509), "udp 16500-16509"),
        (ports(TCP, 1, 65535), "tcp 1-65535"),
        (Service(TCP, 0, 65535), "tcp all"),
        (icmp(ICMP, 8, 0), "icmp 8/0"),
        (icmp(ICMP, 0), "icmp 0/*"),
        (icmp(ICMPV6), "icmpv6 all"),
        (Service(Protocol.ALL, 0, 65535), "all protocols"),
        (ip_protocol(47), "gre"),
        (ip_protocol(50), "esp"),
        (ip_protocol(51), "ah"),
        (ip_protocol(89), "ip 89"),
    ],
)
def test_a_service_is_told_in_words(service: Service, text: str) -> None:
    assert str(service) == text
    assert str(ServiceSet.of(service)) == text


def test_the_empty_set_is_told_as_nothing() -> None:
    assert str(EMPTY) == "nothing"


def _span(protocol: Protocol, first: int, last: int) -> Service:
    return Service(protocol, first, last)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (ServiceSet.of(ports(TCP, 80), ports(TCP, 443)), "tcp 80, tcp 443"),
        (ServiceSet.of(ports(TCP, 80), ports(UDP, 1, 53)), "tcp 80, udp 1-53"),
        (ServiceSet.of(icmp(ICMP, 8, 0), icmp(ICMP, 11)), "icmp 8/0, icmp 11/*"),
        (ServiceSet.of(icmp(ICMP, 8, 0), icmp(ICMP, 8, 1), icmp(ICMP, 8, 3)), "icmp 8/0-1, icmp 8/3"),
        (ServiceSet.of(_span(ICMP, 9 * 256, 65535)), "icmp types 9-255"),
        (ServiceSet.of(_span(ICMP, 8 * 256 + 7, 10 * 256)), "icmp 8/7-255, icmp 9/*, icmp 10/0"),
        (ServiceSet.of(icmp(ICMP)) - ServiceSet.of(icmp(ICMP, 8)), "icmp all but type 8"),
        (
            ServiceSet.of(icmp(ICMPV6))
            - ServiceSet.of(icmp(ICMPV6, 8), icmp(ICMPV6, 9), icmp(ICMPV6, 128, 0)),
            "icmpv6 all but types 8-9 and 128/0",
        ),
        (ServiceSet.of(_span(TCP, 0, 65535)) - ServiceSet.of(ports(TCP, 22)), "tcp all but 22"),
        (ServiceSet.of(ports(TCP, 1, 79), ports(TCP, 81, 65535)), "tcp 1-79, tcp 81-65535"),
        (
            ALL - ServiceSet.of(ports(TCP, 25), ports(TCP, 137, 139)),
            "tcp all but 25 and 137-139, udp all, icmp all, icmpv6 all, other protocols",
        ),
        (
            ALL - ServiceSet.of(ip_protocol(50), ip_protocol(2)),
            "tcp all, udp all, icmp all, icmpv6 all, other protocols but ip 2 and esp",
        ),
        (ServiceSet.of(ip_protocol(51), ip_protocol(4), ip_protocol(50)), "ip 4, esp, ah"),
    ],
)
def test_a_set_is_told_exactly_and_briefly(found: ServiceSet, text: str) -> None:
    assert str(found) == text


_IP_WORDS = {f"ip {number}": Service(Protocol.OTHER, number, number) for number in range(256)}
_IP_WORDS |= {"gre": ip_protocol(47), "esp": ip_protocol(50), "ah": ip_protocol(51)}


def _read(text: str) -> ServiceSet:
    """Return the set that a text tells, word by word."""
    if text in ("all protocols", "nothing"):
        return ALL if text == "all protocols" else EMPTY
    found = EMPTY
    for part in text.split(", "):
        word, _, rest = part.partition(" ")
        if word == "other":
            missing = rest.removeprefix("protocols").removeprefix(" but ")
            others = [number for number in range(256) if number not in (1, 6, 17, 58)]
            found |= ServiceSet.of(*map(ip_protocol, others))
            found -= ServiceSet.of(*(_IP_WORDS[one] for one in missing.split(" and ") if one))
        elif part in _IP_WORDS:
            found |= ServiceSet.of(_IP_WORDS[part])
        elif rest.startswith("all"):
            _, _, missing = rest.partition(" but ")
            found |= ServiceSet.of(_span(Protocol(word), 0, 65535))
            found -= ServiceSet.of(*(_read_one(Protocol(word), one) for one in missing.split(" and ") if one))
        else:
            found |= ServiceSet.of(_read_one(Protocol(word), rest))
    return found


def _read_one(protocol: Protocol, text: str) -> Service:
    head, slash, codes = text.removeprefix("types ").removeprefix("type ").partition("/")
    first, last = (int(number) for number in (head.partition("-")[0], head.rpartition("-")[2]))
    if protocol in (TCP, UDP):
        return _span(protocol, first, last)
    if not slash or codes == "*":
        return _span(protocol, 256 * first, 256 * last + 255)
    low, high = codes.partition("-")[0], codes.rpartition("-")[2]
    return _span(protocol, 256 * first + int(low), 256 * first + int(high))


@examples(300)
@given(differences | differences.map(lambda found: ALL - found))
@example(ServiceSet.of(_span(ICMP, 0, 254)))
@example(ServiceSet.of(_span(ICMP, 255, 65280)))
@example(ServiceSet.of(_span(ICMPV6, 1, 65534)))
def test_the_text_of_a_set_can_be_read_back(found: ServiceSet) -> None:
    assert _read(str(found)) == found


def test_distinct_sets_have_distinct_texts() -> None:
    """Every union of pieces that meet where the words change."""
    edges = {TCP: (0, 80, 81, 65535), ICMP: (0, 256, 2048, 2049, 2304, 65280, 65535)}
    pieces = [
        _span(protocol, first, last - 1)
        for protocol, at in edges.items()
        for first, last in itertools.pairwise((*at, 65536))
    ]
    sets = {
        ServiceSet.of(*chosen)
        for count in range(len(pieces) + 1)
        for chosen in itertools.combinations(pieces, count)
    }
    assert len(sets) == 2 ** len(pieces) == len({str(found) for found in sets})


@examples(300)
@given(differences | differences.map(lambda found: ALL - found))
def test_the_text_of_a_set_is_as_short_as_its_ranges(found: ServiceSet) -> None:
    # A range of ICMP is a part of a type, a run of types and a part of another.
    assert len(str(found)) <= max(len("nothing"), 3 * len("icmpv6 types 100-255, ") * len(found.ranges))


# Service sets: what they mean


def _numbers(found: Iterable[Service]) -> frozenset[object]:
    """Return the (protocol, number) pairs of the small world that rules with these services allow."""
    everywhere = Prefix(4, 0, 0)
    opened = [Rule(Direction.INGRESS, everywhere, service) for service in found]
    return frozenset(
        pair for pair in NUMBERS if allows(opened, Packet(Direction.INGRESS, Address(4, 1), *pair))
    )


some_services = st.lists(services, max_size=6)


@examples(50)
@given(some_services)
def test_a_set_of_services_holds_what_the_services_allow(found: list[Service]) -> None:
    assert _numbers(ServiceSet.of(*found).blocks()) == _numbers(found)


@examples(80)
@given(some_services, some_services)
def test_union_intersection_and_difference_are_those_of_what_is_allowed(
    one: list[Service], two: list[Service]
) -> None:
    a, b = ServiceSet.of(*one), ServiceSet.of(*two)
    assert _numbers((a | b).blocks()) == _numbers(one) | _numbers(two)
    assert _numbers((a & b).blocks()) == _numbers(one) & _numbers(two)
    assert _numbers((a - b).blocks()) == _numbers(one) - _numbers(two)


@examples(80)
@given(some_services, some_services)
def test_sets_are_equal_and_contained_exactly_when_their_meanings_are(
    one: list[Service], two: list[Service]
) -> None:
    a, b = ServiceSet.of(*one), ServiceSet.of(*two)
    assert (a == b) == (_numbers(one) == _numbers(two))
    assert (a <= b) == (_numbers(one) <= _numbers(two))
    assert bool(a) == bool(_numbers(one))


def test_all_protocols_are_never_inferred_from_those_with_a_name() -> None:
    named = ServiceSet.of(*(Service(protocol, 0, 65535) for protocol in (TCP, UDP, ICMP, ICMPV6)))
    assert named != ALL
    assert named <= ALL
    assert len(named.blocks()) == 4
    others = (ALL - named).blocks()
    assert {service.protocol for service in others} == {Protocol.OTHER}
    assert [service.first for service in others] == [n for n in range(256) if n not in (1, 6, 17, 58)]
    assert all(service.first == service.last for service in others)
    assert named | ServiceSet.of(*others) == ALL
    assert named | ServiceSet.of(*others[:-1]) != ALL


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (-1, "IP protocol `-1` is not between 0 and 255"),
        (256, "IP protocol `256` is not between 0 and 255"),
        (1, "IP protocol 1 is icmp; call it by its name"),
        (6, "IP protocol 6 is tcp; call it by its name"),
        (17, "IP protocol 17 is udp; call it by its name"),
        (58, "IP protocol 58 is icmpv6; call it by its name"),
    ],
)
def test_a_number_that_is_no_protocol_of_its_own_is_refused(number: int, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ip_protocol(number)


def test_a_range_never_runs_from_one_protocol_into_the_next() -> None:
    both = ServiceSet.of(ports(TCP, 1, 65535), Service(UDP, 0, 65535))
    assert both.blocks() == (ports(TCP, 1, 65535), Service(UDP, 0, 65535))


def test_neighbouring_icmp_codes_are_not_a_range() -> None:
    found = (icmp(ICMP, 7, 255), icmp(ICMP, 8, 0), icmp(ICMP, 8, 1))
    assert ServiceSet.of(*found).blocks() == found


def test_all_codes_of_a_type_are_the_type_and_all_types_are_the_protocol() -> None:
    assert ServiceSet.of(*(icmp(ICMP, 8, code) for code in range(256))).blocks() == (icmp(ICMP, 8),)
    assert ServiceSet.of(*(icmp(ICMP, type_) for type_ in range(256))).blocks() == (icmp(ICMP),)


@pytest.mark.parametrize(
    ("versions", "absent"), [((4,), [ICMPV6]), ((6,), [ICMP]), ((4, 6), []), ((), [ICMP, ICMPV6])]
)
def test_icmp_of_absent_families_is_taken_away(versions: tuple[int, ...], absent: list[Protocol]) -> None:
    full = [Service(protocol, 0, 65535) for protocol in (TCP, UDP, ICMP, ICMPV6)]
    kept = [service for service in full if service.protocol not in absent]
    assert ServiceSet.of(*full).without_icmp_beside(versions) == ServiceSet.of(*kept)
    assert ALL.without_icmp_beside(versions) == ALL


# Service sets: the laws of an algebra


@examples(50)
@given(differences)
def test_union_and_intersection_are_idempotent(a: ServiceSet) -> None:
    assert a | a == a == a & a


@examples(50)
@given(differences, differences)
def test_union_and_intersection_are_commutative(a: ServiceSet, b: ServiceSet) -> None:
    assert a | b == b | a
    assert a & b == b & a


@examples(50)
@given(differences, differences, differences)
def test_union_and_intersection_are_associative(a: ServiceSet, b: ServiceSet, c: ServiceSet) -> None:
    assert (a | b) | c == a | (b | c)
    assert (a & b) & c == a & (b & c)


@examples(50)
@given(differences, differences, differences)
def test_union_and_intersection_distribute_over_each_other(
    a: ServiceSet, b: ServiceSet, c: ServiceSet
) -> None:
    assert a & (b | c) == (a & b) | (a & c)
    assert a | (b & c) == (a | b) & (a | c)


@examples(50)
@given(differences, differences)
def test_union_and_intersection_absorb_each_other(a: ServiceSet, b: ServiceSet) -> None:
    assert a | (a & b) == a == a & (a | b)


@examples(50)
@given(differences, differences, differences)
def test_difference_follows_de_morgan(a: ServiceSet, b: ServiceSet, c: ServiceSet) -> None:
    assert a - (b | c) == (a - b) & (a - c)
    assert a - (b & c) == (a - b) | (a - c)


@examples(50)
@given(differences, differences)
def test_difference_and_intersection_part_a_set(a: ServiceSet, b: ServiceSet) -> None:
    assert (a - b) | (a & b) == a
    assert (a - b) & b == EMPTY


@examples(50)
@given(differences, differences)
def test_containment_is_told_alike_by_every_operation(a: ServiceSet, b: ServiceSet) -> None:
    assert (a <= b) == (a | b == b) == (a & b == a) == (a - b == EMPTY)


@examples(40)
@given(differences, differences, differences)
def test_containment_is_a_partial_order(a: ServiceSet, b: ServiceSet, c: ServiceSet) -> None:
    assert a <= a | EMPTY
    assert a & b <= a <= a | b
    assert all((a <= b, b <= a)) == (a == b)
    assert a & b & c <= a & b <= a


@examples(40)
@given(differences)
def test_nothing_and_everything_are_neutral(a: ServiceSet) -> None:
    assert a | EMPTY == a == EMPTY | a
    assert a & ALL == a == ALL & a
    assert a & EMPTY == EMPTY == a - ALL
    assert a | ALL == ALL == (ALL - a) | a
    assert ALL - (ALL - a) == a


@examples(50)
@given(differences, differences)
def test_ranges_are_ascending_and_never_touch(a: ServiceSet, b: ServiceSet) -> None:
    for found in (a | b, a & b, a - b):
        assert all(low <= high for low, high in found.ranges)
        assert all(one[1] + 1 < two[0] for one, two in itertools.pairwise(found.ranges))


@examples(50)
@given(differences)
def test_blocks_reunite_to_the_set(a: ServiceSet) -> None:
    assert ServiceSet.of(*a.blocks()) == a


@examples(50)
@given(differences)
def test_blocks_are_pairwise_disjoint(a: ServiceSet) -> None:
    ranges = sorted(span for block in a.blocks() for span in ServiceSet.of(block).ranges)
    assert all(one[1] < two[0] for one, two in itertools.pairwise(ranges))


def _next_larger(service: Service) -> list[Service]:
    """Return the smallest services that hold `service` and more."""
    protocol, first, last = service
    whole = Service(protocol, 0, 65535)
    if protocol is Protocol.ALL:
        return []
    if protocol is Protocol.OTHER or service == whole:
        return [Service(Protocol.ALL, 0, 65535)]
    if protocol in (ICMP, ICMPV6):
        return [whole if service.icmp_code is None else icmp(protocol, service.icmp_type)]
    lower = [Service(protocol, first - 1, last)] if first > 0 else []
    upper = [Service(protocol, first, last + 1)] if last < 65535 else []
    return lower + upper


@examples(50)
@given(differences)
def test_blocks_are_maximal(a: ServiceSet) -> None:
    for block in a.blocks():
        assert not any(ServiceSet.of(larger) <= a for larger in _next_larger(block))


@examples(50)
@given(differences)
def test_every_service_inside_a_set_lies_in_exactly_one_block(a: ServiceSet) -> None:
    for service in SERVICES:
        near = [block for block in a.blocks() if block.protocol in (service.protocol, Protocol.ALL)]
        inside = ServiceSet.of(service)
        assert sum(inside <= ServiceSet.of(block) for block in near) == (inside <= a)


def test_the_lowest_of_all_icmp_goes_where_its_family_is_absent() -> None:
    # The echo reply is the very first of the numbers that stand for ICMP.
    echo_reply = ServiceSet.of(icmp(Protocol.ICMP, 0, 0))
    assert not echo_reply.without_icmp_beside([6])
    assert echo_reply.without_icmp_beside([4]) == echo_reply


def test_everything_is_one_block() -> None:
    assert ALL.blocks() == (Service(Protocol.ALL, 0, 65535),)
