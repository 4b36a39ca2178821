"""From flows to rules: what every group permits is what the deployment says, packet by packet."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.oracle import Address, Packet, Point, allows
from support.site_oracle import Kind, Way, Wire, permits
from support.strategies import examples

from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.inputs.catalog import compose_catalog
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.net import Protocol
from citrix_netpolicy.policy import Direction, ExistingGroup, GroupReference, PrefixList, ServiceTag
from citrix_netpolicy.syntax import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from citrix_netpolicy.policy import Rule

# No entry of a catalogue plays a part here: the roles below are all that there is.
CATALOG = compose_catalog(
    [
        document.parse(
            b"""
documents: {paper: {title: Paper, publisher: Nobody, lines: 99}}
roles:
  host: {title: Host, description: d, kind: host}
  user: {title: User, description: d, kind: outside}
""",
            "words.yaml",
        )
    ]
)
# Subnets of different tiers are apart, as a deployment must have them, but next to each other.
SUBNETS = (
    ("10.0.0.0/31", "10.0.0.2/32", "2001:db8::/127"),
    ("10.0.0.4/32", "10.0.0.6/31", "2001:db8::4/128"),
    ("10.0.0.3/32", "2001:db8::2/127", "2001:db8::6/128"),
)
ADDRESSES = ("10.0.0.0/30", "10.0.0.2/31", "192.0.2.1/32", "0.0.0.0/0", "2001:db8::/126", "2001:db8::5/128")
PEOPLE: dict[str, list[dict[str, Any]]] = {
    "aws": [{"prefix-list": {"id": "pl-0a1b2c3d", "max-entries": 2}}, {"security-group": "sg-0a1b2c3d"}],
    "azure": [{"service-tag": "Storage"}, {"service-tag": "AzureCloud"}],
}
SERVICES: tuple[dict[str, Any], ...] = (
    {"protocol": "tcp", "ports": [80]},
    {"protocol": "tcp", "ports": [80, 81]},
    {"protocol": "tcp", "ports": [82]},
    {"protocol": "udp", "ports": [81]},
    {"protocol": "icmp", "type": 8, "code": 0},
    {"protocol": "icmp", "type": 8},
    {"protocol": "icmpv6"},
    {"protocol": "esp"},
    {"protocol": 51},
    {"protocol": 89},
)
NUMBERS: tuple[tuple[str, int | tuple[int, int]], ...] = (
    *(("tcp", port) for port in (79, 80, 81, 82, 83)),
    *(("udp", port) for port in (80, 81)),
    *(("icmp", pair) for pair in ((8, 0), (8, 1), (0, 0))),
    ("icmpv6", (128, 0)),
    *(("other", number) for number in (47, 50, 51, 88, 89)),
)
HOSTS = (
    *(f"10.0.0.{last}" for last in range(9)),
    *("9.255.255.255", "192.0.2.1", "192.0.2.2", "255.255.255.255"),
    *(f"2001:db8::{last:x}" for last in range(8)),
    "2001:db7:ffff::",
)
POINTS: dict[Kind, Callable[[str], Point]] = {
    "tier": GroupReference,
    "tag": ServiceTag,
    "list": PrefixList,
    "group": ExistingGroup,
}
PEERS: tuple[tuple[Kind, str], ...] = (
    *(("address", host) for host in HOSTS),
    *(("tier", tier) for tier in "abc"),
    *(("tag", tag) for tag in ("AzureLoadBalancer", "Storage", "AzureCloud")),
    ("list", "pl-0a1b2c3d"),
    ("group", "sg-0a1b2c3d"),
)


def some(pool: Iterable[Any], most: int = 3) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(list(pool)), min_size=1, max_size=most, unique_by=str)


@st.composite
def sites(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a deployment as people write it, with every choice in it."""
    cloud = draw(st.sampled_from(["aws", "azure"]))
    networks = {"one": {"cloud": cloud}, "two": {"cloud": cloud}}
    tiers: dict[str, Any] = {}
    for name, pool in zip("abc", SUBNETS, strict=True):
        network = "one" if name == "a" else draw(st.sampled_from(["one", "two"]))
        tiers[name] = {"roles": ["host"], "subnets": draw(some(pool)), "network": network}
        if cloud == "azure" and draw(st.booleans()):
            tiers[name]["behind"] = {"probes": draw(some((80, 81, 83)))}
    external: dict[str, Any] = {}
    for name in "xy":
        way = draw(st.one_of(some(ADDRESSES).map(lambda a: {"addresses": a}), st.sampled_from(PEOPLE[cloud])))
        limit = draw(st.sampled_from([{}, {"networks": ["one"]}]))
        external[name] = {"roles": ["user"], **way, **limit}
    ends = some("abcxy", 2)
    flow = st.fixed_dictionaries(
        {"source": ends, "destination": ends, "services": some(SERVICES), "reason": st.just("r")}
    )
    return {
        "name": "site",
        "edition": draw(st.sampled_from([None, "2026.11"])),
        "networks": {name: networks[name] for name in sorted({tier["network"] for tier in tiers.values()})},
        "tiers": tiers,
        "external": external,
        "flows": {f"f{n}": one for n, one in enumerate(draw(st.lists(flow, min_size=1, max_size=4)))},
        "peers": draw(st.sampled_from(["group", "cidr"])),
        "cidrs": draw(st.sampled_from(["exact", "stable"])),
        "egress": draw(st.sampled_from(["restricted", "restricted", "open"])),
    }


def permitted(rules: Iterable[Rule], wire: Wire) -> bool:
    if wire.kind == "address":
        address = ip_address(wire.peer)
        peer: Address | Point = Address(address.version, int(address))
    else:
        peer = POINTS[wire.kind](wire.peer)
    return allows(rules, Packet(Direction(wire.way), peer, Protocol(wire.protocol), wire.number))


def judge(data: dict[str, Any]) -> int:
    """Hold every group of a deployment against the oracle; return how many packets pass."""
    compilation = compile_deployment(Deployment(**data), CATALOG)
    passed = 0
    for tier in data["tiers"]:
        groups = [policy.group(tier).rules for policy in (compilation.spelled_out, compilation.policy)]
        for way in get_args(Way):
            for kind, peer in PEERS:
                for protocol, number in NUMBERS:
                    wire = Wire(tier, way, kind, peer, protocol, number)
                    expected = permits(data, wire)
                    assert [permitted(rules, wire) for rules in groups] == [expected, expected], wire
                    passed += expected
    return passed


@examples(100)
@given(sites())
def test_groups_permit_what_the_deployment_says_and_nothing_else(data: dict[str, Any]) -> None:
    judge(data)


@pytest.mark.parametrize("way", get_args(Way))
@pytest.mark.parametrize(
    ("cloud", "peer", "passing"),
    [
        *((cloud, {"addresses": ["192.0.2.1/32"]}, 1) for cloud in ("aws", "azure")),
        *((cloud, {"addresses": ["192.0.2.1/32", "2001:db8::5/128"]}, 2) for cloud in ("aws", "azure")),
        *(("aws", peer, 1) for peer in PEOPLE["aws"]),
        *(("azure", peer, 1) for peer in PEOPLE["azure"]),
    ],
)
def test_every_kind_of_external_meets_its_tier(cloud: str, peer: Any, passing: int, way: Way) -> None:
    ends = ("x", "a") if way == "ingress" else ("a", "x")
    flow = dict(zip(("source", "destination"), ([end] for end in ends), strict=True))
    site = {
        "name": "site",
        "networks": {"one": {"cloud": cloud}},
        "tiers": {
            name: {"roles": ["host"], "subnets": list(subnets), "network": "one"}
            for name, subnets in zip("abc", SUBNETS, strict=True)
        },
        "external": {"x": {"roles": ["user"], **peer}},
        "flows": {"f": {**flow, "services": [{"protocol": "tcp", "ports": [80]}], "reason": "r"}},
        "peers": "group",
        "egress": "restricted",
    }
    # One address or point, one port, one tier, one way: all other packets are stopped.
    assert judge(site) == passing
