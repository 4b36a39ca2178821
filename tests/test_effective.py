"""The reading of what a group really permits agrees with the evaluator of Azure's semantics."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import nsg_oracle
from support.strategies import TryLaw, examples

from citrix_netpolicy import Direction, InputError
from citrix_netpolicy.net import Prefix, Protocol, ServiceSet, ports
from citrix_netpolicy.policy import GroupReference, ServiceTag
from citrix_netpolicy.syntax.document import Document
from citrix_netpolicy.targets.azure.arm import read_rule
from citrix_netpolicy.targets.azure.effective import effective

if TYPE_CHECKING:
    from citrix_netpolicy.targets.azure.arm import ArmRule

WAYS: tuple[tuple[Direction, nsg_oracle.Direction], ...] = (
    (Direction.INGRESS, "Inbound"),
    (Direction.EGRESS, "Outbound"),
)
ADDRESSES = (
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "192.0.2.1",
    "2001:db8::",
    "2001:db8::1",
)
PREFIXES = ("10.0.0.0/30", "10.0.0.0/31", "10.0.0.2/31", "10.0.0.1/32", "2001:db8::/127", "2001:db8::1/128")
PORTS = (1, 79, 80, 81, 82, 65535)
RANGES = ("80", "81", "80-81", "79-82", "*", "82-65535")
HERE = {4: "198.51.100.1", 6: "2001:db8:ffff::1"}
# What the names stand for: among the prefixes, so that rules of all kinds meet.
TAGS = {"Storage": ("10.0.0.3", "2001:db8::1")}
MEMBERS = {"web": ("10.0.0.2",)}
# The virtual network of this world. The load balancer and the Internet lie outside of it.
NETWORK = ("10.0.0.0/30", "198.51.100.0/24", "2001:db8::/32")


def peers(side: str) -> st.SearchStrategy[dict[str, Any]]:
    many = st.lists(st.sampled_from(PREFIXES[:4]), min_size=2, max_size=2, unique=True)
    return st.one_of(
        st.sampled_from([*PREFIXES, "*", "*", "Storage", "VirtualNetwork"]).map(
            lambda one: {f"{side}AddressPrefix": one}
        ),
        many.map(lambda found: {f"{side}AddressPrefixes": found}),
        st.just({f"{side}ApplicationSecurityGroups": [{"id": "web"}]}),
    )


@st.composite
def groups(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw rules of both directions, each with a priority of its own."""
    rules = []
    for number in range(draw(st.integers(0, 6))):
        way = draw(st.sampled_from(["Inbound", "Outbound"]))
        theirs, ours = ("source", "destination") if way == "Inbound" else ("destination", "source")
        protocol = draw(st.sampled_from(["Tcp", "Tcp", "Udp", "*"]))
        span = "*" if protocol == "*" else draw(st.sampled_from(RANGES))
        properties = {
            "access": draw(st.sampled_from(["Allow", "Deny"])),
            "direction": way,
            "priority": 100 + 10 * number,
            "protocol": protocol,
            "sourcePortRange": "*",
            "destinationPortRange": span,
            f"{ours}AddressPrefix": "*",
            **draw(peers(theirs)),
        }
        rules.append({"name": f"rule-{number}", "properties": properties})
    return rules


def read(rules: list[dict[str, Any]]) -> list[ArmRule]:
    root = Document("nsg.json", rules, {}).root
    return [read_rule(node, lambda node: node.text()) for node in root.items()]


def says(
    rules: list[dict[str, Any]], way: nsg_oracle.Direction, address: str, protocol: str, port: int
) -> bool:
    ours = HERE[6 if ":" in address else 4]
    source, destination = (address, ours) if way == "Inbound" else (ours, address)
    return nsg_oracle.allows(
        {"properties": {"securityRules": rules}},
        way,
        protocol,
        source,
        destination,
        port,
        virtual_network=NETWORK,
        members=MEMBERS,
        tags={**TAGS, "Internet": lambda _: address == "192.0.2.1"},
    )


def permits(rules: list[ArmRule], way: Direction, address: str, protocol: Protocol, port: int) -> bool:
    """Tell what the reading permits: an address itself, and every name that stands for it."""
    reach = effective(rules, way).reach
    wanted = ServiceSet.of(ports(protocol, port))
    names: list[Any] = [Prefix.parse(address)]
    names += [ServiceTag(tag) for tag, members in TAGS.items() if address in members]
    names += [GroupReference(group) for group, members in MEMBERS.items() if address in members]
    names += [ServiceTag("VirtualNetwork")] if address not in {"192.0.2.1", "10.0.0.4"} else []
    names += [ServiceTag("Internet")] if address == "192.0.2.1" else []
    return any(wanted <= reach.services(name) for name in names)


@pytest.mark.slow
def test_a_reading_without_unknowns_says_what_azure_does(try_law: TryLaw) -> None:
    answers: Counter[bool] = Counter()

    @examples(300)
    @given(groups())
    def says_what_azure_does(rules: list[dict[str, Any]]) -> None:
        found = read(rules)
        for way, word in WAYS:
            if effective(found, way).unknown:
                continue
            for address in ADDRESSES:
                for protocol, name in ((Protocol.TCP, "Tcp"), (Protocol.UDP, "Udp")):
                    for port in PORTS:
                        expected = says(rules, word, address, name, port)
                        place = (way, address, name, port)
                        assert permits(found, way, address, protocol, port) == expected, place
                        if any(rule.direction is way for rule in found):
                            answers[expected] += 1

    try_law(says_what_azure_does)
    assert answers.keys() == {True, False}, "no group with rules was decided"


def test_a_deny_before_an_allow_is_decided_as_azure_decides() -> None:
    rules = [
        rule(access="Deny", sourceAddressPrefix="10.0.0.0/31", destinationPortRange="80", priority=100),
        rule(sourceAddressPrefix="10.0.0.0/30", destinationPortRange="79-82", priority=110),
        rule(access="Deny", sourceAddressPrefix="10.0.0.2/32", destinationPortRange="*", priority=120),
        rule(sourceAddressPrefix="*", destinationPortRange="81", priority=130),
        rule(access="Deny", sourceAddressPrefix="*", protocol="*", destinationPortRange="*", priority=140),
    ]
    found = read(rules)
    assert effective(found, Direction.INGRESS).unknown == ()
    answers = {
        (address, port): permits(found, Direction.INGRESS, address, Protocol.TCP, port)
        for address in ADDRESSES
        for port in PORTS
    }
    assert answers == {
        (address, port): says(rules, "Inbound", address, "Tcp", port) for address, port in answers
    }
    assert {*answers.values()} == {True, False}


@pytest.mark.slow
@examples(200)
@given(groups())
def test_rules_about_addresses_alone_are_always_decided(rules: list[dict[str, Any]]) -> None:
    closing = [
        {
            "name": f"end-{way}",
            "properties": {
                "access": "Deny",
                "direction": way,
                "priority": 4096,
                "protocol": "*",
                "sourcePortRange": "*",
                "destinationPortRange": "*",
                "sourceAddressPrefix": "*",
                "destinationAddressPrefix": "*",
            },
        }
        for way in ("Inbound", "Outbound")
    ]

    def is_named(rule: dict[str, Any]) -> bool:
        text = str(rule["properties"])
        return "Storage" in text or "VirtualNetwork" in text or "ApplicationSecurityGroups" in text

    plain = [rule for rule in rules if not is_named(rule)]
    allows = [rule for rule in plain if rule["properties"]["access"] == "Allow"]
    for chosen in (allows, [*allows, *closing]):
        for way, _ in WAYS:
            assert effective(read(chosen), way).unknown == ()


def rule(**properties: Any) -> dict[str, Any]:
    base = {
        "access": "Allow",
        "direction": "Inbound",
        "priority": 100,
        "protocol": "Tcp",
        "sourcePortRange": "*",
        "destinationPortRange": "443",
        "sourceAddressPrefix": "10.0.0.0/8",
        "destinationAddressPrefix": "*",
    }
    return {"name": "rule", "properties": {**base, **properties}}


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"destinationAddressPrefix": "10.0.0.1"}, "not-expressible"),
        ({"sourcePortRange": "53"}, "not-expressible"),
        ({"protocol": "Esp"}, "not-expressible"),
        ({"protocol": "Ah"}, "not-expressible"),
        ({"protocol": "*"}, "not-expressible"),
        ({"access": "Deny"}, "undecided"),
        ({"access": "Deny", "sourceAddressPrefix": "Storage"}, "undecided"),
    ],
)
def test_what_cannot_be_said_is_a_named_unknown(properties: dict[str, Any], code: str) -> None:
    found = effective(read([rule(**properties)]), Direction.INGRESS)
    assert {problem.code for problem in found.unknown} == {code}
    assert all("`rule`" in problem.message and problem.mark for problem in found.unknown)


def test_a_group_without_rules_has_the_default_rules() -> None:
    names = {way: {str(peer) for peer, _ in effective([], way).reach.points} for way in Direction}
    assert names[Direction.INGRESS] == {"VirtualNetwork", "AzureLoadBalancer"}
    assert names[Direction.EGRESS] == {"VirtualNetwork", "Internet"}


@pytest.mark.parametrize(
    "properties",
    [
        {"access": "allow"},
        {"direction": "In"},
        {"priority": 99},
        {"priority": 4097},
        {"priority": "100"},
        {"priority": True},
        {"protocol": "TCP"},
        {"destinationPortRange": "443-80"},
        {"destinationPortRange": "65536"},
        {"destinationPortRange": 443},
        {"destinationPortRange": "\u0664\u0664\u0663"},
        {"destinationPortRanges": ["80"]},
        {"sourceAddressPrefix": "10.0.0.1/8"},
        {"sourceAddressPrefix": ""},
        {"sourceAddressPrefix": None},
        {"sourceAddressPrefixes": ["10.0.0.0/8"]},
        {"sourceApplicationSecurityGroups": [{"id": "web"}]},
        {"sourceApplicationSecurityGroups": "web"},
        {"weather": "fine"},
    ],
)
def test_what_azure_would_not_take_is_refused(properties: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        read([rule(**properties)])
    assert all(problem.path for problem in caught.value.problems)
