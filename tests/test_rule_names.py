"""Names of Azure rules: they say what a rule means, fit and are unique; a digest helps where words fail."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import examples

from citrix_netpolicy.ends import Ends
from citrix_netpolicy.naming import Names
from citrix_netpolicy.net import Prefix
from citrix_netpolicy.policy import Direction, GroupReference, ServiceTag
from citrix_netpolicy.targets.azure.cover import ANYWHERE, EVERY_PORT, Block
from citrix_netpolicy.targets.azure.rule_names import LIMIT, names_of


def prefixes(*texts: str) -> tuple[Prefix, ...]:
    return tuple(map(Prefix.parse, texts))


ENDS = Ends(
    {
        "ddc": prefixes("10.0.1.0/28"),
        "vda": prefixes("10.0.4.0/24", "10.0.5.0/24"),
        "pvs": prefixes("10.0.4.16/28"),
        "site": prefixes("10.0.0.0/16", "2001:db8::/48"),
        "web": prefixes("10.9.0.0/28"),
        "web-copy": prefixes("10.9.0.0/28"),
    }
)


STORAGE = ServiceTag("Storage.WestEurope")
APP, DDC = GroupReference("app"), GroupReference("ddc")


def block(peers: tuple[str, ...], *spans: int | tuple[int, int], protocol: str = "Tcp") -> Block:
    pairs = tuple(span if isinstance(span, tuple) else (span, span) for span in spans)
    return Block(protocol, prefixes(*peers), pairs or (EVERY_PORT,))


def name_of(some: Block, way: Direction = Direction.INGRESS, key: str = "app") -> str:
    (name,) = names_of(key, {way: [some]}, ENDS, Names())[way]
    return name


@pytest.mark.parametrize(
    ("some", "name"),
    [
        (block(("10.0.1.0/28",), 80), "allow-ddc-to-app-http"),
        (block(("10.0.1.0/28", "10.0.4.0/23"), 443, 8080), "allow-ddc-vda-to-app-https-tcp-8080"),
        (block(("10.0.4.0/23",), (6910, 6930), protocol="Udp"), "allow-vda-to-app-udp-6910_6930"),
        (block(("10.0.4.0/23",), 53, 123, 9, protocol="Udp"), "allow-vda-to-app-udp-dns-ntp-9"),
        (block(("10.0.4.0/23",), 7279, 27000), "allow-vda-to-app-tcp-7279-27000"),
        (block(("10.0.4.0/23",)), "allow-vda-to-app-all-tcp"),
        (block(("10.0.4.0/23",), protocol="*"), "allow-vda-to-app-any"),
        (block(("10.0.4.0/23",), protocol="Icmp"), "allow-vda-to-app-icmp"),
        # A part of an end, and addresses of nobody.
        (block(("10.0.4.0/25",), 80), "allow-pvs-vda-to-app-http"),
        (block(("192.0.2.0/28",), 80), "allow-192.0.2.0_28-to-app-http"),
        (block(("2001:db9::/32",), 80), "allow-2001_db9___32-to-app-http"),
        # Whoever holds all of the others stands for them; those of the same addresses are both told.
        (block(("10.0.0.0/16",), 80), "allow-site-to-app-http"),
        (block(("10.9.0.0/28",), 80), "allow-web-web-copy-to-app-http"),
        (Block("Tcp", ANYWHERE, ((443, 443),)), "allow-any-to-app-https"),
        (Block("Tcp", ANYWHERE[:1], ((443, 443),)), "allow-any-ipv4-to-app-https"),
        (Block("Tcp", ANYWHERE[1:], ((443, 443),)), "allow-any-ipv6-to-app-https"),
        (
            Block("Tcp", (ServiceTag("Storage.WestEurope"),), ((443, 443),)),
            "allow-Storage.WestEurope-to-app-https",
        ),
        (
            Block("Tcp", (GroupReference("ddc"), GroupReference("app")), ((80, 80),)),
            "allow-app-ddc-to-app-http",
        ),
        (Block("Tcp", (GroupReference("app"),), ((80, 80),)), "allow-itself-to-app-http"),
    ],
)
def test_examples_of_names(some: Block, name: str) -> None:
    assert name_of(some) == name


def test_the_direction_is_in_the_order_of_the_words() -> None:
    assert name_of(block(("10.0.1.0/28",), 80), Direction.EGRESS) == "allow-app-to-ddc-http"
    alone = block(("10.0.1.0/28",), 80)
    both = names_of("ddc", {Direction.INGRESS: [alone], Direction.EGRESS: [alone]}, ENDS, Names())
    assert [*both[Direction.INGRESS], *both[Direction.EGRESS]] == [
        "allow-itself-to-ddc-http",
        "allow-ddc-to-itself-http",
    ]


def test_what_is_too_long_is_counted_and_never_cut() -> None:
    ports = [22, 53, 80, 88, 135, 161, 162, 389, 443, 445, 464, 636]
    name = name_of(block(("10.0.1.0/28",), *ports))
    assert name == "allow-ddc-to-app-ssh-dns-http-kerberos-rpc-epmap-snmp-snmptrap-ldap-and-4-more"
    assert len(name_of(block(("10.0.1.0/28",), *ports), key="k" * 78)) == LIMIT
    # One word and a number remain where that is all that fits.
    few = name_of(block(("10.0.1.0/28",), 2598, 1434, 443), key="k" * 30)
    assert few == f"allow-ddc-to-{'k' * 30}-session-reliability-and-2-more"
    assert name_of(block(("10.0.1.0/28",), 1494, 5985)) == "allow-ddc-to-app-ica-winrm"


def test_rules_that_words_do_not_tell_apart_all_end_with_a_digest() -> None:
    some = [block(("10.0.4.0/25",), 80), block(("10.0.4.128/25", "10.0.4.16/28"), 80)]
    told = names_of("app", {Direction.INGRESS: some}, ENDS, Names())[Direction.INGRESS]
    again = names_of("app", {Direction.INGRESS: some[::-1]}, ENDS, Names())[Direction.INGRESS]
    assert told == again
    assert all(re.fullmatch(r"allow-pvs-vda-to-app-http-[0-9a-f]{10}", name) for name in told)


PEERS = st.sampled_from(
    ["10.0.1.0/28", "10.0.4.0/25", "10.0.4.128/25", "10.0.0.0/16", "10.9.0.0/28", "10.7.0.0/16"]
)
BLOCKS = st.builds(
    lambda peers, spans, protocol: block(tuple(sorted(peers)), *spans, protocol=protocol),
    st.sets(PEERS, min_size=1, max_size=4),
    st.lists(st.sampled_from([22, 80, 443, (80, 81), (5000, 5001)]), min_size=1, max_size=4, unique=True),
    st.sampled_from(["Tcp", "Udp"]),
)


@examples(60)
@given(
    st.lists(BLOCKS, max_size=8, unique=True),
    st.lists(BLOCKS, max_size=8, unique=True),
    st.sampled_from(["app", "App", "ddc", "a b", "itself", "x" * 70]),
)
def test_names_are_unique_in_a_group_fit_and_do_not_depend_on_order(
    incoming: list[Block], outgoing: list[Block], key: str
) -> None:
    sides = {Direction.INGRESS: incoming, Direction.EGRESS: outgoing}
    named = names_of(key, sides, ENDS, Names())
    every = [name for rules in named.values() for name in rules]
    assert len({name.lower() for name in every}) == len(incoming) + len(outgoing)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,78}[A-Za-z0-9_]", name) for name in every)
    assert all({*rules.values()} == {*sides[way]} for way, rules in named.items())
    turned = {way: blocks[::-1] for way, blocks in sides.items()}
    assert names_of(key, turned, ENDS, Names()) == named


# Ends by their addresses

ADDRESSES = range(16)


def _as_prefixes(addresses: set[int]) -> tuple[Prefix, ...]:
    return tuple(Prefix(4, address, 32) for address in sorted(addresses))


def _runs(addresses: frozenset[int]) -> list[tuple[int, int]]:
    """Return addresses as runs, by hand."""
    firsts = sorted(address for address in addresses if address - 1 not in addresses)
    lasts = sorted(address for address in addresses if address + 1 not in addresses)
    return list(zip(firsts, lasts, strict=True))


def _span(addresses: frozenset[int]) -> int:
    return sum(last - first for first, last in _runs(addresses))


@examples(100)
@given(
    st.dictionaries(st.sampled_from("abcde"), st.sets(st.sampled_from(ADDRESSES), min_size=1)),
    st.sets(st.sampled_from(ADDRESSES), min_size=1),
)
def test_ends_are_those_that_lie_in_the_addresses(ends: dict[str, set[int]], given_: set[int]) -> None:
    whole = {name for name, held in ends.items() if held <= given_}
    expected = {name for name in whole if not any(ends[name] < ends[other] for other in whole)}
    rest = given_ - {address for name in expected for address in ends[name]}
    runs = {name: _as_prefixes(held) for name, held in ends.items()}
    # Of those that have a part of the rest, the smallest come first; equal ones are told together.
    for held in sorted(set(map(frozenset, ends.values())), key=lambda held: (_span(held), _runs(held))):
        if rest & held:
            expected |= {name for name in ends if ends[name] == held}
            rest -= held
    found = Ends(runs).named(_as_prefixes(given_))
    assert found == tuple(sorted(expected))


def test_an_address_right_behind_an_end_is_nobodys() -> None:
    ends = Ends({"a": _as_prefixes({1, 2}), "b": _as_prefixes({3, 4})})
    assert ends.named(_as_prefixes({1, 2, 3})) == ("a", "b")
    assert ends.named(_as_prefixes({1, 2})) == ("a",)
