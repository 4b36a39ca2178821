"""The evaluator of Azure's semantics agrees with the traffic of every example, at all its edges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import nsg_oracle, real

from citrix_netpolicy import Deployment, Direction, Group, compile_deployment, traffic_of
from citrix_netpolicy.net import BITS, Prefix, Protocol, ServiceSet, ports
from citrix_netpolicy.targets.azure.arm import resource_of
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup

EXAMPLES = Path(__file__).parent.parent / "examples"
DEPLOYMENTS = sorted(EXAMPLES.glob("*/*/deployment.yaml"))


def azure_networks() -> Iterator[tuple[Path, str]]:
    for path in DEPLOYMENTS:
        for name, network in Deployment.load(path).networks.items():
            if network.cloud == "azure":
                yield path, name


def case_of(path: Path, network: str) -> real.Case:
    return real.Case.of(compile_deployment(Deployment.load(path)), network)


def nsgs(case: real.Case) -> dict[str, NetworkSecurityGroup]:
    found = network_security_groups(case.policy, case.options)
    return {nsg.tier: nsg for nsg in found.groups}


NETWORKS = list(azure_networks())
# Some address of the tier itself, in each family; rules say any.
HERE = {4: "198.51.100.1", 6: "2001:db8:ffff::1"}
WAYS: tuple[tuple[Direction, nsg_oracle.Direction], ...] = (
    (Direction.INGRESS, "Inbound"),
    (Direction.EGRESS, "Outbound"),
)


def edges(group: Group) -> tuple[list[Prefix], list[int]]:
    """Addresses and ports at both sides of every edge that a rule of the group has."""
    addresses: set[Prefix] = set()
    numbers = {0, 1, 65535}
    for rule in group.rules:
        if isinstance(rule.peer, Prefix):
            bits = BITS[rule.peer.version]
            around = (rule.peer.first - 1, rule.peer.first, rule.peer.last, rule.peer.last + 1)
            inside = [number for number in around if 0 <= number < 1 << bits]
            addresses |= {Prefix(rule.peer.version, number, bits) for number in inside}
        numbers |= {rule.service.first - 1, rule.service.first, rule.service.last, rule.service.last + 1}
    return sorted(addresses), sorted(number for number in numbers if 0 <= number <= 65535)


def disagreements(group: Group, nsg: Any) -> list[str]:
    """Packets of which the evaluator and the traffic of a group say different things."""
    found = []
    addresses, numbers = edges(group)
    for direction, word in WAYS:
        reach = traffic_of([group]).reach(group.tier, direction)
        for address in addresses:
            theirs, ours = str(address).partition("/")[0], HERE[address.version]
            source, destination = (theirs, ours) if direction is Direction.INGRESS else (ours, theirs)
            permitted = reach.services(address)
            for protocol, name in ((Protocol.TCP, "Tcp"), (Protocol.UDP, "Udp")):
                for number in filter(None, numbers):
                    expected = ServiceSet.of(ports(protocol, number)) <= permitted
                    world = ["0.0.0.0/0", "::/0"]
                    said = nsg_oracle.allows(
                        nsg, word, name, source, destination, number, virtual_network=world
                    )
                    if said is not expected:
                        found.append(f"{direction} {name} {number} {address}: {said}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "network"),
    [
        pytest.param(path, network, id=f"{path.parent.name}-{network}", marks=marks)
        for number, (path, network) in enumerate(NETWORKS)
        for marks in [pytest.mark.slow if number else ()]
    ],
)
def test_azure_decides_as_the_traffic_says(path: Path, network: str) -> None:
    case = case_of(path, network)
    made = nsgs(case)
    for group in case.groups:
        assert disagreements(group, resource_of(made[group.tier])) == []


def test_without_the_final_denies_the_virtual_network_is_let_in() -> None:
    case = case_of(*NETWORKS[0])
    body = resource_of(nsgs(case)["sql"])
    rules = body["properties"]["securityRules"]
    open_ = {"properties": {"securityRules": [r for r in rules if r["properties"]["access"] == "Allow"]}}
    assert any(text.endswith(": True") for text in disagreements(case.policy.group("sql"), open_))


def test_there_are_examples_in_azure() -> None:
    assert len(NETWORKS) >= 3
