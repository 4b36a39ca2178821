"""The oracle of network security groups against tables worked out by hand from the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.nsg_oracle import DEFAULT_RULES, HOST, UndecidedError, allows, flows

if TYPE_CHECKING:
    from support.nsg_oracle import Direction

NETWORK = ["10.0.0.0/16", "fd00::/48"]
# Public addresses outside of the network, one of each family.
PUBLIC, PUBLIC6 = "1.1.1.1", "2606:4700::1"
ASG = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/applicationSecurityGroups/"
MEMBERS = {f"{ASG}web": ["10.0.1.4", "10.0.1.5"], f"{ASG}db": ["10.0.2.4"], f"{ASG}empty": []}


def rule(
    priority: int = 100, access: str = "Allow", direction: str = "Inbound", **fields: Any
) -> dict[str, Any]:
    """Return a rule for everything, with changes; what is None is left out."""
    properties = {
        "priority": priority,
        "access": access,
        "direction": direction,
        "protocol": "*",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "*",
        **fields,
    }
    kept = {key: value for key, value in properties.items() if value is not None}
    return {"name": f"{direction}-{priority}", "properties": kept}


def group(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"securityRules": list(rules)}}


def inbound(
    source: str, destination: str, nsg: dict[str, Any], *, port: int | None = 443, **more: Any
) -> bool:
    protocol = more.pop("protocol", "Tcp")
    more.setdefault("members", MEMBERS)
    return allows(nsg, "Inbound", protocol, source, destination, port, virtual_network=NETWORK, **more)


DENY = rule(4096, "Deny")


@pytest.mark.parametrize(
    ("direction", "source", "destination", "allowed"),
    [
        ("Inbound", "10.0.1.4", "10.0.2.4", True),  # AllowVnetInBound
        ("Inbound", "fd00::1", "fd00::2", True),
        ("Inbound", HOST, "10.0.2.4", True),  # the tag VirtualNetwork, and AllowAzureLoadBalancerInBound
        ("Inbound", HOST, "192.168.0.1", True),  # AllowAzureLoadBalancerInBound alone
        ("Inbound", PUBLIC, "10.0.2.4", False),  # DenyAllInBound
        ("Inbound", "192.168.0.1", "10.0.2.4", False),
        ("Inbound", "10.1.0.0", "10.0.2.4", False),  # just outside
        ("Inbound", "10.0.255.255", "10.0.2.4", True),  # just inside
        ("Outbound", "10.0.1.4", "10.0.2.4", True),  # AllowVnetOutBound
        ("Outbound", "10.0.1.4", PUBLIC, True),  # AllowInternetOutBound
        ("Outbound", "fd00::1", PUBLIC6, True),
        ("Outbound", "10.0.1.4", "192.168.0.1", False),  # DenyAllOutBound: neither network nor public
        ("Outbound", "10.0.1.4", "100.64.0.1", False),
        ("Outbound", "192.168.0.1", "10.0.2.4", False),
    ],
)
def test_the_default_rules_decide_last(
    direction: Direction, source: str, destination: str, allowed: bool
) -> None:
    groups: list[dict[str, Any]] = [group(), {"properties": {}}, {"properties": {"securityRules": None}}]
    for nsg in groups:
        for protocol, port in (("Tcp", 443), ("Icmp", None), (47, None)):
            assert (
                allows(nsg, direction, protocol, source, destination, port, virtual_network=NETWORK)
                is allowed
            )


def test_the_default_rules_are_the_six_of_the_documentation() -> None:
    assert [
        (rule["name"], rule["properties"]["priority"], rule["properties"]["direction"])
        for rule in DEFAULT_RULES
    ] == [
        ("AllowVnetInBound", 65000, "Inbound"),
        ("AllowAzureLoadBalancerInBound", 65001, "Inbound"),
        ("DenyAllInBound", 65500, "Inbound"),
        ("AllowVnetOutBound", 65000, "Outbound"),
        ("AllowInternetOutBound", 65001, "Outbound"),
        ("DenyAllOutBound", 65500, "Outbound"),
    ]


def test_the_internet_is_what_is_public_and_outside_of_the_network() -> None:
    nsg = group(rule(sourceAddressPrefix="Internet"), DENY)
    assert inbound(PUBLIC, "10.0.0.4", nsg)
    assert not inbound("10.0.0.5", "10.0.0.4", nsg)
    assert not inbound(HOST, "10.0.0.4", nsg)
    assert not allows(nsg, "Inbound", "Tcp", PUBLIC, "10.0.0.4", 443, virtual_network=["1.1.0.0/16"])


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([rule(100), rule(200, "Deny")], True),
        ([rule(200, "Deny"), rule(100)], True),  # their order in the group says nothing
        ([rule(100, "Deny"), rule(200)], False),
        ([rule(200), rule(100, "Deny")], False),
        ([rule(99, "Deny"), rule(100)], False),  # numbers are not compared as texts
        ([rule(1000, "Deny"), rule(200)], True),
        ([rule(100, "Deny", "Outbound"), rule(100)], True),  # a direction has its own priorities
        ([rule(100, direction="Outbound")], False),
        ([rule(100, "Deny", destinationPortRange="80"), rule(200)], True),  # no match, so the next
        ([rule(100, destinationPortRange="80"), rule(200, "Deny")], False),
    ],
)
def test_the_first_rule_that_matches_decides(rules: list[dict[str, Any]], allowed: bool) -> None:
    assert inbound(PUBLIC, "10.0.0.4", group(*rules)) is allowed


@pytest.mark.parametrize(
    ("word", "matched"),
    [
        ("*", ["Tcp", "Udp", "Icmp", "Esp", "Ah", 6, 17, 1, 50, 51, 47, 58]),
        ("Tcp", ["Tcp", 6]),
        ("Udp", ["Udp", 17]),
        ("Icmp", ["Icmp", 1]),
        ("Esp", ["Esp", 50]),
        ("Ah", ["Ah", 51]),
    ],
)
def test_protocols(word: str, matched: list[str | int]) -> None:
    nsg = group(rule(protocol=word), DENY)
    everything: list[str | int] = ["Tcp", "Udp", "Icmp", "Esp", "Ah", 6, 17, 1, 50, 51, 47, 58]
    assert [
        each for each in everything if inbound(PUBLIC, "10.0.0.4", nsg, protocol=each, port=None)
    ] == matched


@pytest.mark.parametrize(
    ("fields", "matched"),
    [
        ({"destinationPortRange": "*"}, [0, 79, 80, 81, 443, 8000, 8080, 65535]),
        ({"destinationPortRange": "0-65535"}, [0, 79, 80, 81, 443, 8000, 8080, 65535]),
        ({"destinationPortRange": "80"}, [80]),
        ({"destinationPortRange": "80-443"}, [80, 81, 443]),
        ({"destinationPortRange": None, "destinationPortRanges": ["80", "8000-8079"]}, [80, 8000]),
        ({"destinationPortRange": "443", "destinationPortRanges": []}, [443]),  # as Azure answers
    ],
)
def test_ports(fields: dict[str, Any], matched: list[int]) -> None:
    nsg = group(rule(protocol="Tcp", **fields), DENY)
    ports = [0, 79, 80, 81, 443, 8000, 8080, 65535]
    assert [port for port in ports if inbound(PUBLIC, "10.0.0.4", nsg, port=port)] == matched


def test_source_ports() -> None:
    nsg = group(rule(sourcePortRange="1024-2047"), DENY)
    assert [
        port for port in (1023, 1024, 2047, 2048) if inbound(PUBLIC, "10.0.0.4", nsg, source_port=port)
    ] == [
        1024,
        2047,
    ]


@pytest.mark.parametrize(
    ("fields", "matched"),
    [
        ({"AddressPrefix": "*"}, ["10.0.1.4", "10.0.1.5", "10.0.2.4", PUBLIC]),
        ({"AddressPrefix": "0.0.0.0/0"}, ["10.0.1.4", "10.0.1.5", "10.0.2.4", PUBLIC]),
        ({"AddressPrefix": "::/0"}, []),
        ({"AddressPrefix": "10.0.1.4"}, ["10.0.1.4"]),
        ({"AddressPrefix": "10.0.1.4/31"}, ["10.0.1.4", "10.0.1.5"]),
        ({"AddressPrefix": "10.0.1.4/32", "AddressPrefixes": []}, ["10.0.1.4"]),
        ({"AddressPrefixes": ["10.0.2.0/24", "10.0.1.5/32"]}, ["10.0.1.5", "10.0.2.4"]),
        ({"AddressPrefix": "VirtualNetwork"}, ["10.0.1.4", "10.0.1.5", "10.0.2.4"]),
        ({"AddressPrefix": "Storage.WestEurope"}, [PUBLIC]),
        ({"AddressPrefix": "AzureCloud"}, ["10.0.1.5"]),
        ({"ApplicationSecurityGroups": [{"id": f"{ASG}web"}]}, ["10.0.1.4", "10.0.1.5"]),
        (
            {"ApplicationSecurityGroups": [{"id": f"{ASG}web"}, {"id": f"{ASG}db"}]},
            ["10.0.1.4", "10.0.1.5", "10.0.2.4"],
        ),
        ({"ApplicationSecurityGroups": [{"id": f"{ASG}empty"}]}, []),
    ],
)
def test_addresses(fields: dict[str, Any], matched: list[str]) -> None:
    tags = {"Storage.WestEurope": ["1.1.0.0/16"], "AzureCloud": lambda address: str(address) == "10.0.1.5"}
    addresses = ["10.0.1.4", "10.0.1.5", "10.0.2.4", PUBLIC]
    source = {f"source{key}": value for key, value in ({"AddressPrefix": None} | fields).items()}
    destination = {f"destination{key}": value for key, value in ({"AddressPrefix": None} | fields).items()}
    from_them, to_them = group(rule(**source), DENY), group(rule(**destination), DENY)
    assert [each for each in addresses if inbound(each, "10.0.9.9", from_them, tags=tags)] == matched
    assert [each for each in addresses if inbound("10.0.9.9", each, to_them, tags=tags)] == matched


def test_families_do_not_meet() -> None:
    assert not inbound(PUBLIC6, "fd00::4", group(rule(sourceAddressPrefix="0.0.0.0/0"), DENY))
    assert inbound(PUBLIC6, "fd00::4", group(rule(sourceAddressPrefix="::/0"), DENY))
    assert inbound(PUBLIC6, "fd00::4", group(rule(), DENY))


def test_a_connection_needs_both_ends() -> None:
    both = group(rule(direction="Inbound"), rule(direction="Outbound"))
    out_only = group(rule(direction="Outbound"), DENY)
    in_only = group(rule(direction="Inbound"), rule(4096, "Deny", "Outbound"))
    table = [
        (both, both, True),
        (out_only, in_only, True),
        (in_only, both, False),
        (both, out_only, False),
        (in_only, out_only, False),
        (None, in_only, True),
        (None, out_only, False),
        (out_only, None, True),
        (in_only, None, False),
        (None, None, True),
    ]
    for source, destination, expected in table:
        found = flows(source, destination, "Tcp", "10.0.1.4", "10.0.2.4", 443, virtual_network=NETWORK)
        assert found is expected


def test_neighbours_in_a_subnet_are_filtered_too() -> None:
    nsg = group(DENY)
    assert not flows(nsg, nsg, "Tcp", "10.0.1.4", "10.0.1.5", 443, virtual_network=NETWORK)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ([rule(sourceAddressPrefix="Storag")], "Storag"),
        ([rule(sourceAddressPrefix="10.0.0.1/8")], "10.0.0.1/8"),
        ([rule(sourceAddressPrefix="10.0.0.1-10.0.0.9")], "10.0.0.1-10.0.0.9"),
        # In a rule that cannot match, in one behind the deciding one, and beside a prefix that matches.
        ([rule(protocol="Udp", sourceAddressPrefix="Sql")], "Sql"),
        ([rule(100), rule(200, destinationAddressPrefix="Sql")], "Sql"),
        ([rule(sourceAddressPrefix=None, sourceAddressPrefixes=["0.0.0.0/0", "Sql"])], "Sql"),
        ([rule(sourceAddressPrefix=None, sourceApplicationSecurityGroups=[{"id": "app"}])], "members of app"),
        ([rule(sourceApplicationSecurityGroups=[{"id": f"{ASG}web"}])], "prefixes or groups as its source"),
        ([rule(destinationAddressPrefix=None)], "prefixes or groups as its destination"),
        ([rule(destinationPortRange=None)], "ports of its destination"),
        ([rule(sourcePortRange="1024")], "without a source port"),
        ([rule(protocol="tcp")], "no protocol 'tcp'"),
        ([rule(direction="inbound")], "no direction"),
        ([rule(100), rule(100, "Deny")], r"priorities \[100\]"),
    ],
)
def test_what_is_not_known_is_never_guessed(rules: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(UndecidedError, match=told):
        inbound(PUBLIC, "10.0.0.4", group(*rules))


def test_packets_that_make_no_sense() -> None:
    with pytest.raises(UndecidedError, match="different families"):
        inbound(PUBLIC, "fd00::1", group())
    with pytest.raises(UndecidedError, match="no protocol 'GRE'"):
        inbound(PUBLIC, "10.0.0.4", group(), protocol="GRE")
    with pytest.raises(UndecidedError, match="no direction"):
        allows(group(), "In", "Tcp", PUBLIC, "10.0.0.4", 443, virtual_network=NETWORK)  # type: ignore[arg-type]


def test_a_port_is_asked_for_only_where_it_matters() -> None:
    elsewhere = rule(100, protocol="Tcp", destinationPortRange="443")
    assert not inbound(PUBLIC, "10.0.0.4", group(elsewhere, DENY), protocol="Icmp", port=None)
    for word in ("Icmp", "*"):
        nsg = group(rule(protocol=word, destinationPortRange="8"), DENY)
        with pytest.raises(UndecidedError, match="without a destination port"):
            inbound(PUBLIC, "10.0.0.4", nsg, protocol="Icmp", port=None)
