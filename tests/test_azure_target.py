"""Target `azure`: what its groups permit, priorities that stay, and what Azure takes and refuses."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import nsg_oracle, oracle, real
from support.arm_server import ArmServer, check
from support.strategies import CAUSES, SERVICES, examples
from support.strategies import rules as rules_of_pool

from citrix_netpolicy import (
    Deployment,
    Direction,
    Group,
    InputError,
    Policy,
    Rule,
    TargetError,
    cli,
    traffic_of,
    write,
)
from citrix_netpolicy.errors import Mark
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.inputs.deployment import Network, Quotas
from citrix_netpolicy.minimize import minimize
from citrix_netpolicy.net import Prefix, Protocol, Service, icmp, ports
from citrix_netpolicy.policy import (
    ExistingGroup,
    GroupReference,
    PrefixList,
    ServiceTag,
    policy_of,
    rule_order,
)
from citrix_netpolicy.resolve import Cause, resolve
from citrix_netpolicy.targets import read as read_target
from citrix_netpolicy.targets.azure import arm_json as azure
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from random import Random

    from azure.mgmt.network import NetworkManagementClient

    from citrix_netpolicy.policy import Peer
    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup

FILE = "network-security-groups.json"
PRIORITIES = "priorities.json"
PROVIDER = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network"
LOCATION = "westeurope"
EXAMPLES = ("citrix-cloud", "classic", "reference", "two-networks")
WAYS: dict[Direction, nsg_oracle.Direction] = {Direction.INGRESS: "Inbound", Direction.EGRESS: "Outbound"}
HTTPS = ports(Protocol.TCP, 443)
EVERYTHING = Service(Protocol.ALL, 0, 65535)
CAUSE = Cause("flow:test", "A flow of a test", ("a test",))


# Policies, and what becomes of them


def make_policy(*groups: Group, name: str = "site") -> Policy:
    return Policy(
        name, {"main": Network(cloud="azure")}, Quotas(), tuple(sorted(groups, key=lambda g: g.tier))
    )


def make_group(tier: str, rules: Iterable[Rule] = ()) -> Group:
    return Group(tier, "main", tuple(sorted(rules, key=rule_order)))


def ingress(peer: Peer | str, service: Service = HTTPS) -> Rule:
    return Rule(Direction.INGRESS, Prefix.parse(peer) if isinstance(peer, str) else peer, service, (CAUSE,))


def made(*rules: Rule, previous: Mapping[str, str] | None = None) -> NetworkSecurityGroup:
    """Return the group of a tier with these rules."""
    (group,) = network_security_groups(
        make_policy(make_group("app", rules)), azure.keeping_of(previous or {})
    )
    return group


def allowing(group: NetworkSecurityGroup) -> list[dict[str, Any]]:
    """Return the properties of the rules of a group that allow."""
    rules = azure.resource_of(group)["properties"]["securityRules"]
    return [rule["properties"] for rule in rules if rule["properties"]["access"] == "Allow"]


def without_denies(nsg: Mapping[str, Any]) -> dict[str, Any]:
    rules = nsg["properties"]["securityRules"]
    return {
        "properties": {"securityRules": [rule for rule in rules if rule["properties"]["access"] != "Deny"]}
    }


def asg_ids(policy: Policy) -> dict[str, str]:
    return {group.tier: f"{PROVIDER}/applicationSecurityGroups/{group.tier}" for group in policy.groups}


def check_accepted(group: NetworkSecurityGroup, ids: Mapping[str, str]) -> None:
    """Check that the stand-in for Azure does not refuse a group."""
    body = {"location": LOCATION, **azure.resource_of(group, ids)}
    locations = dict.fromkeys((id_.lower() for id_ in ids.values()), LOCATION)
    check(f"{PROVIDER}/networkSecurityGroups/{group.name}", body, locations)


def in_azure(name: str, **changes: Any) -> dict[str, Any]:
    """Return an example's deployment, moved to Azure; peers that only AWS knows become addresses."""
    data = real.example(name)
    if "cloud" in data:
        data["cloud"] = "azure"
    else:
        data["networks"] = {network: {"cloud": "azure"} for network in data["networks"]}
    for number, external in enumerate(data["external"].values()):
        if isinstance(external, dict) and external.keys() & {"prefix-list", "security-group"}:
            for key in ("prefix-list", "security-group"):
                external.pop(key, None)
            external["addresses"] = [f"198.51.100.{16 * number}/28"]
    return data | changes


@cache
def parts(name: str, peers: str) -> tuple[Policy, ...]:
    """Return the parts of an example in Azure, one for each network."""
    policy = real.compile_data(in_azure(name, peers=peers))
    return tuple(policy.in_network(network) for network in policy.networks)


def as_azure_says(policy: Policy) -> tuple[Group, ...]:
    """Return the groups with what Azure cannot tell apart: ICMP as a whole, and nothing of ICMPv6.

    Where all egress is open, what is named beside it says nothing more.
    """
    return tuple(make_group(group.tier, _widened(group.rules)) for group in policy.groups)


def _widened(rules: Sequence[Rule]) -> Iterator[Rule]:
    everywhere = {Rule(Direction.EGRESS, Prefix(version, 0, 0), EVERYTHING) for version in (4, 6)}
    for rule in rules:
        is_named_in_vain = rule.direction is Direction.EGRESS and not isinstance(rule.peer, Prefix)
        if everywhere <= set(rules) and is_named_in_vain:
            continue
        if rule.service.protocol is Protocol.ICMP:
            yield replace(rule, service=icmp(Protocol.ICMP))
        elif rule.service.protocol is not Protocol.ICMPV6:
            yield rule


# What rules permit, on a small world


class Place(NamedTuple):
    """An address, in the words of both oracles."""

    text: str
    address: oracle.Address


def _places(*texts: str) -> tuple[Place, ...]:
    prefixes = [(text, Prefix.parse(text)) for text in texts]
    return tuple(Place(text, oracle.Address(prefix.version, prefix.network)) for text, prefix in prefixes)


PREFIXES = tuple(
    Prefix.parse(text)
    for start, longest, everything in (("10.0.0.", 32, "0.0.0.0/0"), ("2001:db8::", 128, "::/0"))
    for text in (
        *(f"{start}{number}/{longest}" for number in range(4)),
        *(f"{start}{number}/{longest - 1}" for number in (0, 2)),
        *(f"{start}{number}/{longest - 2}" for number in (0, 4)),
        f"{start}0/{longest - 3}",
        everything,
    )
)
PLACES = _places(
    *(f"10.0.0.{number}" for number in (0, 1, 2, 3, 4, 8)),
    *(f"2001:db8::{number}" for number in (0, 1, 2, 3, 4, 8)),
    *("192.0.2.1", "2001:db8:1::"),
)
STORAGE, WEB = ServiceTag("Storage"), GroupReference("web")
# What the names stand for lies among the prefixes, so that rules of all kinds meet.
MEMBERS: dict[Peer, tuple[str, ...]] = {
    STORAGE: ("10.0.0.3", "192.0.2.1", "2001:db8::3"),
    WEB: ("10.0.0.2", "2001:db8::2"),
}
WEB_ID = f"{PROVIDER}/applicationSecurityGroups/web"
PORTS = (0, 1, 78, 79, 80, 81, 82, 83, 65535)
WITH_PORTS = tuple(s for s in SERVICES if s.protocol in (Protocol.TCP, Protocol.UDP, Protocol.ALL))
ICMP = tuple(s for s in SERVICES if s.protocol is Protocol.ICMP)
ICMPV6 = tuple(s for s in SERVICES if s.protocol is Protocol.ICMPV6)


def permits(
    rules: Sequence[Rule], way: Direction, place: Place, protocol: Protocol, number: int | None
) -> bool:
    """Tell what the rules permit, by definition: to an address itself, and to what names it."""
    peers = [place.address, *(peer for peer, members in MEMBERS.items() if place.text in members)]
    packets = (oracle.Packet(way, peer, protocol, number) for peer in peers)  # type: ignore[arg-type]
    return any(oracle.allows(rules, packet) for packet in packets)


def azure_permits(
    nsg: Mapping[str, Any], way: Direction, place: Place, protocol: str | int, port: int | None
) -> bool:
    ours = "10.0.0.200" if place.address.version == 4 else "2001:db8::200"
    source, destination = (place.text, ours) if way is Direction.INGRESS else (ours, place.text)
    return nsg_oracle.allows(
        nsg,
        WAYS[way],
        protocol,
        source,
        destination,
        port,
        virtual_network=("0.0.0.0/0", "::/0"),
        members={WEB_ID: MEMBERS[WEB]},
        tags={"Storage": MEMBERS[STORAGE]},
    )


@st.composite
def rule_lists(draw: st.DrawFn, *, with_icmp: bool = False, max_size: int = 8) -> list[Rule]:
    """Draw rules of both directions out of a few peers and a few services, so that they meet."""
    pool: tuple[Peer, ...] = (*PREFIXES, STORAGE, WEB)
    near = draw(st.sampled_from([pool, PREFIXES[:10], pool[10:]]))
    peers = draw(st.lists(st.sampled_from(near), min_size=1, max_size=5, unique=True))
    offers = [WITH_PORTS, tuple(s for s in WITH_PORTS if s.protocol is Protocol.TCP)]
    if with_icmp:
        offers = [(*WITH_PORTS[:4], EVERYTHING, *ICMP, *ICMPV6), (*ICMP, *ICMPV6)]
    opened = draw(
        st.lists(st.sampled_from(draw(st.sampled_from(offers))), min_size=1, max_size=5, unique=True)
    )
    rule = rules_of_pool(None, st.sampled_from(peers), st.sampled_from(opened))
    return [rule for rule in draw(st.lists(rule, max_size=max_size)) if _is_sound(rule)]


def _is_sound(rule: Rule) -> bool:
    """Tell whether a prefix can use a service: each family has an ICMP of its own."""
    strange = {4: Protocol.ICMPV6, 6: Protocol.ICMP}
    return not isinstance(rule.peer, Prefix) or rule.service.protocol is not strange[rule.peer.version]


@examples(50)
@given(rule_lists())
def test_a_group_permits_exactly_what_its_rules_permit(rules: list[Rule]) -> None:
    group = made(*rules)
    nsg = azure.resource_of(group, {"web": WEB_ID})
    bare = without_denies(nsg)
    for way in Direction:
        refused = []
        for place in PLACES:
            for protocol, word in ((Protocol.TCP, "Tcp"), (Protocol.UDP, "Udp")):
                for port in PORTS:
                    expected = permits(rules, way, place, protocol, port)
                    assert azure_permits(nsg, way, place, word, port) == expected, (way, place, word, port)
                    refused += [] if expected else [(place, word, port)]
        # Azure's default rules would let the virtual network through: the final deny is what stops it.
        assert any(azure_permits(bare, way, *packet) for packet in refused) == bool(refused)


@examples(60)
@given(rule_lists())
def test_azure_takes_every_group_and_it_has_no_more_rules_than_before(rules: list[Rule]) -> None:
    group = made(*rules)
    check_accepted(group, {"web": WEB_ID})
    assert group.lower_bound <= len(allowing(group)) <= len(set(rules))
    assert {rule.priority for rule in group.rules if rule.access == "Deny"} == {4096}


@examples(60)
@given(rule_lists(with_icmp=True))
def test_icmp_is_allowed_as_a_whole_and_icmpv6_not_at_all(rules: list[Rule]) -> None:
    nsg = azure.resource_of(made(*rules), {"web": WEB_ID})
    whole = list(_widened(rules))
    for way in Direction:
        for place in PLACES:
            is_open = permits(whole, way, place, Protocol.OTHER, None)
            assert azure_permits(nsg, way, place, 47, None) == is_open
            assert azure_permits(nsg, way, place, 58, None) == is_open
            if place.address.version == 4:
                expected = permits(whole, way, place, Protocol.ICMP, None)
                assert azure_permits(nsg, way, place, "Icmp", None) == expected


def test_what_azure_cannot_say_of_icmp_is_told() -> None:
    rules = [
        ingress("10.0.0.0/8", icmp(Protocol.ICMP, 8)),
        ingress("10.1.0.0/16", icmp(Protocol.ICMP)),
        ingress("2001:db8::/32", icmp(Protocol.ICMPV6)),
    ]
    policy = make_policy(make_group("app", rules))
    counts, *told = azure.notes(policy, {})
    assert counts.startswith("Azure needs 1 allow rules (the fewest possible), lower bound 1")
    assert [note.rpartition(": ")[0] for note in told] == [
        "tier `app`, ingress, 10.0.0.0/8",
        "tier `app`, ingress, 2001:db8::/32",
    ]
    assert "all of it is allowed" in told[0]
    assert "so it is not allowed" in told[1]
    (rule,) = allowing(made(*rules))
    assert (rule["protocol"], rule["sourceAddressPrefix"], rule["destinationPortRange"]) == (
        "Icmp",
        "10.0.0.0/8",
        "*",
    )


def test_icmpv6_alone_gives_no_rule() -> None:
    assert allowing(made(ingress("2001:db8::/32", icmp(Protocol.ICMPV6, 128)))) == []


def test_open_egress_is_left_to_the_default_rules_and_told() -> None:
    everywhere = [Rule(Direction.EGRESS, Prefix(version, 0, 0), EVERYTHING) for version in (4, 6)]
    group = made(*everywhere)
    assert [rule.name for rule in group.rules] == ["deny-all-inbound"]
    assert any("egress is open" in note for note in group.notes)
    half = made(everywhere[0])
    assert [rule.name for rule in half.rules if rule.access == "Deny"] == [
        "deny-all-inbound",
        "deny-all-outbound",
    ]


# What is written


@st.composite
def _policies(draw: st.DrawFn, *, with_icmp: bool = False) -> Policy:
    tiers = ("app", "db")
    return make_policy(*(make_group(tier, draw(rule_lists(with_icmp=with_icmp))) for tier in tiers))


@examples(40)
@given(_policies())
def test_what_is_read_back_permits_the_same(policy: Policy) -> None:
    found = azure.read(azure.write(policy, {}))
    assert traffic_of(found) == traffic_of(as_azure_says(policy))
    assert [(group.tier, group.network) for group in found] == [("app", "main"), ("db", "main")]


@examples(40)
@given(_policies(with_icmp=True))
def test_what_is_read_back_is_wider_only_in_icmp(policy: Policy) -> None:
    assert traffic_of(azure.read(azure.write(policy, {}))) == traffic_of(as_azure_says(policy))


@examples(40)
@given(_policies(with_icmp=True), st.randoms(use_true_random=False))
def test_nothing_depends_on_the_order_of_rules_or_on_being_written_again(
    policy: Policy, chance: Random
) -> None:
    written = azure.write(policy, {})
    shuffled = tuple(
        replace(group, rules=tuple(chance.sample(group.rules, len(group.rules)))) for group in policy.groups
    )
    assert azure.write(policy, {}) == written
    assert azure.write(replace(policy, groups=shuffled), {}) == written
    assert azure.write(policy, written) == written
    assert azure.write(replace(policy, groups=shuffled), written) == written


@pytest.mark.parametrize("peers", ["cidr", "group"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_the_fewest_rules_by_proof_and_stays_as_it_is(name: str, peers: str) -> None:
    for policy in parts(name, peers=peers):
        written = azure.write(policy, {})
        assert azure.write(policy, written) == written
        assert traffic_of(azure.read(written)) == traffic_of(as_azure_says(policy))
        groups = network_security_groups(policy, {})
        for group, before in zip(groups, policy.groups, strict=True):
            assert len(allowing(group)) == group.lower_bound <= len(set(before.rules))
        count = sum(group.lower_bound for group in groups)
        expected = f"Azure needs {count} allow rules (the fewest possible), lower bound {count},"
        assert azure.notes(policy, {})[0].startswith(expected)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("peers", ["cidr", "group"])
def test_every_rule_of_an_example_has_the_form_that_azure_asks_for(name: str, peers: str) -> None:
    for policy in parts(name, peers=peers):
        for group in network_security_groups(policy, {}):
            check_form(group)
            for rule in azure.resource_of(group)["properties"]["securityRules"]:
                ours = "destination" if rule["properties"]["direction"] == "Inbound" else "source"
                assert rule["properties"][f"{ours}AddressPrefix"] == "*"
                assert rule["properties"]["sourcePortRange"] == "*"


def check_form(group: NetworkSecurityGroup) -> None:
    """Check the form of every rule against the documentation, apart from what the stand-in checks."""
    names = [rule.name.lower() for rule in group.rules]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?", name) for name in names)
    places = [(rule.direction, rule.priority) for rule in group.rules]
    assert len(set(places)) == len(places)
    for rule in azure.resource_of(group)["properties"]["securityRules"]:
        properties = rule["properties"]
        assert len(properties["description"]) <= 140
        assert 100 <= properties["priority"] <= 4096
        assert (properties["priority"] == 4096) == (properties["access"] == "Deny")
        for side in ("source", "destination"):
            one = properties.get(f"{side}AddressPrefix")
            many = properties.get(f"{side}AddressPrefixes", [])
            groups = properties.get(f"{side}ApplicationSecurityGroups", [])
            assert [one is not None, bool(many), bool(groups)].count(True) == 1
            assert len(many) != 1
            assert len(groups) <= 10
            prefixes = sorted(map(Prefix.parse, many))  # tags do not parse: they stand alone
            assert len({prefix.version for prefix in prefixes}) <= 1
            assert not any(low.overlaps(high) for low, high in pairwise(prefixes))
            ranges = properties.get(f"{side}PortRanges", [])
            assert (f"{side}PortRange" in properties) != bool(ranges)
            assert len(ranges) != 1
            assert "*" not in ranges


@examples(40)
@given(rule_lists(with_icmp=True))
def test_every_rule_has_the_form_that_azure_asks_for(rules: list[Rule]) -> None:
    check_form(made(*rules))


def test_one_value_stands_in_the_singular_field_and_several_in_the_plural() -> None:
    (one,) = allowing(made(ingress("10.0.0.0/24")))
    assert one == {
        "description": "A flow of a test",
        "protocol": "Tcp",
        "sourcePortRange": "*",
        "destinationPortRange": "443",
        "destinationAddressPrefix": "*",
        "sourceAddressPrefix": "10.0.0.0/24",
        "access": "Allow",
        "priority": 1000,
        "direction": "Inbound",
    }
    services = [ports(Protocol.UDP, 80), ports(Protocol.UDP, 90, 99)]
    peers = [Prefix.parse("10.0.0.0/24"), Prefix.parse("10.0.2.0/24")]
    (many,) = allowing(
        made(*(Rule(Direction.EGRESS, peer, service, CAUSES) for peer in peers for service in services))
    )
    assert many == {
        "description": "Purpose a; Purpose b; Purpose c; Purpose d",
        "protocol": "Udp",
        "sourcePortRange": "*",
        "destinationPortRanges": ["80", "90-99"],
        "sourceAddressPrefix": "*",
        "destinationAddressPrefixes": ["10.0.0.0/24", "10.0.2.0/24"],
        "access": "Allow",
        "priority": 1000,
        "direction": "Outbound",
    }


def test_families_and_tags_have_rules_of_their_own_and_prefixes_are_merged() -> None:
    peers: list[Peer | str] = ["10.0.0.0/25", "10.0.0.128/25", "10.0.0.7", "2001:db8::/32"]
    peers += [ServiceTag("Storage"), ServiceTag("Sql.WestEurope"), GroupReference("web")]
    found = allowing(made(*map(ingress, peers)))
    singles = {rule["sourceAddressPrefix"] for rule in found if "sourceAddressPrefix" in rule}
    assert singles == {"10.0.0.0/24", "2001:db8::/32", "Storage", "Sql.WestEurope"}
    groups = [rule.get("sourceApplicationSecurityGroups") for rule in found]
    assert [ids for ids in groups if ids] == [[{"id": "tier:web"}]]
    assert len(found) == 5


@pytest.mark.parametrize("length", [1, 60, 139, 140, 141, 500])
def test_a_description_has_140_characters_at_most(length: int) -> None:
    causes = tuple(Cause(f"flow:{number}", letter * length, ("a",)) for number, letter in enumerate("abc"))
    (rule,) = made(Rule(Direction.INGRESS, Prefix.parse("10.0.0.1"), HTTPS, causes)).rules[:1]
    assert 0 < len(rule.description) <= 140
    assert rule.causes == causes


# Priorities that stay


class Placed(NamedTuple):
    """A rule where it stands: what it is, without the words about why."""

    priority: int
    content: dict[str, Any]


def placed(files: Mapping[str, str]) -> dict[tuple[str, str], dict[str, Placed]]:
    """Return the rules of each tier and direction by their names."""
    found: dict[tuple[str, str], dict[str, Placed]] = {}
    for group in json.loads(files[FILE])["groups"]:
        for rule in group["properties"]["securityRules"]:
            properties = dict(rule["properties"])
            del properties["description"]
            priority = properties.pop("priority")
            side = found.setdefault((group["tier"], properties["direction"]), {})
            assert rule["name"] not in side
            side[rule["name"]] = Placed(priority, properties)
    return found


FEATURES = ("edt", "html5", "tls-to-vda", "file-shares", "udp-audio", "remote-assistance")


def edit(data: dict[str, Any], chance: Random) -> None:
    """Change one thing about a deployment."""
    flows, tiers = data["flows"], data["tiers"]
    match chance.choice(["subnet", "subnet", "feature", "flow"]):
        case "feature":
            feature = chance.choice(FEATURES)
            data["features"][feature] = not data["features"].get(feature, False)
        case "subnet":
            tier = chance.choice(sorted(tiers))
            subnets = tiers[tier] if isinstance(tiers[tier], list) else tiers[tier]["subnets"]
            if len(subnets) > chance.randint(1, 3):
                subnets.remove(chance.choice(subnets))
            else:
                used = {subnet for each in tiers.values() for subnet in _subnets(each)}
                free = [f"10.30.{number // 16}.{number % 16 * 16}/28" for number in range(48)]
                subnets.append(chance.choice([subnet for subnet in free if subnet not in used]))
        case _:
            name = f"own-{chance.randrange(4)}"
            if flows.pop(name, None) is None:
                first = chance.randrange(8000, 8010)
                flows[name] = {
                    "source": chance.choice(["admin-workstation", "ddc", "vda"]),
                    "destination": chance.choice(["storefront", "sql", "pvs"]),
                    "services": [
                        {"protocol": chance.choice(["tcp", "udp"]), "ports": [f"{first}-{first + 3}"]}
                    ],
                    "reason": f"Test {name}",
                }


def policy_without_lint(data: Mapping[str, Any]) -> Policy:
    """Return the policy of a deployment without its findings, which take most of the time."""
    deployment = Deployment(**data)
    return minimize(policy_of(deployment, resolve(deployment, load_catalog())), deployment.cidrs)


def _subnets(tier: Any) -> list[str]:
    return list(tier if isinstance(tier, list) else tier["subnets"])


def test_through_a_hundred_edits_rules_that_stay_keep_their_priority() -> None:
    chance = random.Random(20)
    data = in_azure("reference")
    previous: dict[str, str] = {}
    before: dict[tuple[str, str], dict[str, Placed]] = {}
    seen = {"stayed": 0, "came": 0, "went": 0}
    for number in range(100):
        policy = policy_without_lint(data)
        files = azure.write(policy, previous)
        after = placed(files)
        for place, rules in after.items():
            old = before.get(place, {})
            priorities = [rule.priority for rule in rules.values()]
            assert len(set(priorities)) == len(priorities)
            assert all(100 <= priority <= 4096 for priority in priorities)
            assert max(priorities) == 4096
            for name in rules.keys() & old.keys():
                assert rules[name] == old[name]
            came = rules.keys() - old.keys()
            assert not {rules[name].priority for name in came} & {rule.priority for rule in old.values()}
            if old:
                seen["stayed"] += len(rules.keys() & old.keys())
                seen["came"] += len(came)
                seen["went"] += len(old.keys() - rules.keys())
        if number % 10 == 0:
            assert traffic_of(azure.read(files)) == traffic_of(as_azure_says(policy))
        previous, before = {PRIORITIES: files[PRIORITIES]}, after
        edit(data, chance)
    assert all(count > 100 for count in seen.values()), seen


@examples(40)
@given(rule_lists(), rule_lists())
def test_what_stood_before_costs_no_rule_and_moves_none(one: list[Rule], two: list[Rule]) -> None:
    first = azure.write(make_policy(make_group("app", one)), {})
    policy = make_policy(make_group("app", two))
    after = placed(azure.write(policy, first))
    fresh = placed(azure.write(policy, {}))
    assert {place: len(rules) for place, rules in after.items()} == {
        place: len(rules) for place, rules in fresh.items()
    }
    for place, old in placed(first).items():
        rules = after.get(place, {})
        assert all(rules[name] == old[name] for name in rules.keys() & old.keys())
        came = {rules[name].priority for name in rules.keys() - old.keys()}
        assert not came & {rule.priority for rule in old.values()}


def test_a_priority_is_free_again_one_generation_later() -> None:
    def priorities(files: Mapping[str, str]) -> dict[str, int]:
        rules = placed(files)["app", "Inbound"]
        return {name: rule.priority for name, rule in rules.items() if rule.priority < 4096}

    def next_files(previous: Mapping[str, str], *numbers: int) -> dict[str, str]:
        rules = (ingress(ServiceTag(f"Tag{number}")) for number in numbers)
        return azure.write(make_policy(make_group("app", rules)), previous)

    first = next_files({}, 1, 2)
    assert priorities(first) == {"tcp-443-from-Tag1": 1000, "tcp-443-from-Tag2": 1010}
    second = next_files(first, 2, 3)
    assert priorities(second) == {"tcp-443-from-Tag2": 1010, "tcp-443-from-Tag3": 1020}
    third = next_files(second, 2, 3, 4)
    assert priorities(third) == {
        "tcp-443-from-Tag4": 1000,
        "tcp-443-from-Tag2": 1010,
        "tcp-443-from-Tag3": 1020,
    }


# Azure's own client


@pytest.fixture(scope="module")
def running() -> Iterator[ArmServer]:
    with ArmServer() as server:
        yield server


@pytest.fixture
def client(running: ArmServer) -> Iterator[NetworkManagementClient]:
    """A client of Azure that asks a stand-in which holds nothing."""
    try:
        from azure.core.pipeline.policies import SansIOHTTPPolicy  # noqa: PLC0415 - may be absent
        from azure.mgmt.network import NetworkManagementClient  # noqa: PLC0415
    except ImportError as error:
        real.absent(f"azure-mgmt-network is absent: {error}")
    running.clear()
    with NetworkManagementClient(
        _NoCredential(),
        "s",
        base_url=running.url,
        authentication_policy=SansIOHTTPPolicy(),
        polling_interval=0,
        retry_total=0,
        use_env_settings=False,  # no proxies
    ) as client:
        yield client


class _NoCredential:
    """Loopback asks for none."""

    def get_token(self, *scopes: str, **options: Any) -> Any:
        raise NotImplementedError


def put_asgs(client: NetworkManagementClient, policy: Policy) -> dict[str, str]:
    """Put an application security group for each tier; return their ids."""
    from azure.mgmt.network import models  # noqa: PLC0415 - may be absent

    ids: dict[str, str] = {}
    for group in policy.groups:
        asg = models.ApplicationSecurityGroup(location=LOCATION)
        answer = client.application_security_groups.begin_create_or_update("g", group.tier, asg).result()
        ids[group.tier] = str(answer.id)
    return ids


def put_and_get(
    client: NetworkManagementClient, policy: Policy, ids: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Put the groups of a policy; return them in the form of `write`, as the client reads them back."""
    tiers = {id_: tier for tier, id_ in ids.items()}
    found = []
    for group in network_security_groups(policy, {}):
        model = azure.model_of(group, LOCATION, ids)
        client.network_security_groups.begin_create_or_update("g", group.name, model).result()
        answer = json.loads(json.dumps(client.network_security_groups.get("g", group.name).as_dict()))
        for rule in answer["properties"]["securityRules"]:
            rule["properties"] = {key: value for key, value in rule["properties"].items() if value != []}
            for key in ("source", "destination"):
                for asg in rule["properties"].get(f"{key}ApplicationSecurityGroups", ()):
                    asg["id"] = "tier:" + tiers[asg["id"]]
        found.append({"tier": group.tier, **answer})
    return found


@pytest.mark.parametrize("peers", ["cidr", "group"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_azures_client_puts_an_example_and_gets_the_same_traffic_back(
    name: str, peers: str, client: NetworkManagementClient
) -> None:
    for policy in parts(name, peers=peers):
        ids = put_asgs(client, policy) if peers == "group" else {}
        groups = put_and_get(client, policy, ids)
        document = {"network": next(iter(policy.networks)), "groups": groups}
        assert traffic_of(azure.read({FILE: json.dumps(document)})) == traffic_of(as_azure_says(policy))
        if peers == "group":
            assert any("ApplicationSecurityGroups" in json.dumps(group) for group in groups) == any(
                isinstance(rule.peer, GroupReference) for group in policy.groups for rule in group.rules
            )


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])])
def test_more_tiers_than_a_rule_may_name_are_split(
    count: int, sizes: list[int], client: NetworkManagementClient
) -> None:
    tiers = [f"tier-{number:02}" for number in range(count)]
    policy = make_policy(
        make_group("app", [ingress(GroupReference(tier)) for tier in tiers]), *map(make_group, tiers)
    )
    ids = put_asgs(client, policy)
    group = network_security_groups(policy, {})[0]
    properties = [rule["properties"] for rule in azure.resource_of(group, ids)["properties"]["securityRules"]]
    named = [rule["sourceApplicationSecurityGroups"] for rule in properties if rule["access"] == "Allow"]
    assert [len(each) for each in named] == sizes
    assert [asg["id"] for each in named for asg in each] == [ids[tier] for tier in tiers]
    found = put_and_get(client, policy, ids)
    document = {"network": "main", "groups": found}
    assert traffic_of(azure.read({FILE: json.dumps(document)})) == traffic_of(policy.groups)
    written = azure.write(policy, {})
    assert azure.write(policy, written) == written


def test_a_model_says_what_the_json_says() -> None:
    if find_spec("azure") is None:
        real.absent("azure-mgmt-network is absent")
    for policy in parts("reference", peers="group"):
        ids = asg_ids(policy)
        for group in network_security_groups(policy, {}):
            body = json.loads(json.dumps(azure.model_of(group, LOCATION, ids).as_dict()))
            assert body == {"location": LOCATION, **azure.resource_of(group, ids)}


# The same site in two clouds


def without_icmp(policy: Policy) -> Policy:
    icmps = (Protocol.ICMP, Protocol.ICMPV6)
    groups = (
        replace(group, rules=tuple(rule for rule in group.rules if rule.service.protocol not in icmps))
        for group in policy.groups
    )
    return replace(policy, groups=tuple(groups))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_deployment_in_aws_and_in_azure_permits_the_same(name: str) -> None:
    data = in_azure(name, peers="cidr") | {"quotas": {"rules-per-group": 200}}
    theirs = json.loads(json.dumps(data).replace('"azure"', '"aws"'))
    ours, aws = (without_icmp(real.compile_data(each)) for each in (data, theirs))
    for network in ours.networks:
        in_aws = read_target(write(aws, "aws", network), "aws", "aws")
        in_azure_ = read_target(write(ours, "azure", network), "azure", "azure")
        assert traffic_of(in_aws) == traffic_of(in_azure_)
        assert any(group.rules for group in in_azure_)


# Refusals


def refusal(policy: Policy) -> str:
    """Return what is told of a policy, which all that asks for its groups refuses."""
    told = set()
    asking: list[Callable[[], object]] = [
        lambda: azure.write(policy, {}),
        lambda: azure.notes(policy, {}),
        lambda: network_security_groups(policy, {}),
    ]
    for ask in asking:
        with pytest.raises(TargetError) as refused:
            ask()
        assert all(problem.hint and problem.path for problem in refused.value.problems)
        told.add(str(refused.value))
    (text,) = told
    return text


@pytest.mark.parametrize(
    "peer", [PrefixList("pl-12345678", 5), ExistingGroup("sg-12345678"), ExistingGroup("123456789012/sg-1")]
)
def test_peers_of_aws_are_refused(peer: Peer) -> None:
    text = refusal(make_policy(make_group("app", [ingress(peer), ingress(peer, ports(Protocol.UDP, 1))])))
    assert text.count(f"tiers.app: Azure does not know `{peer}`, a peer of tier `app`") == 1


@pytest.mark.parametrize(
    "tier", ["a" * 72, "a b", "é", "web-", "web.", "a/b", "a:b", "a\nb", "a#", "\uff41", "web\n"]
)
def test_names_that_azure_refuses_are_refused(tier: str) -> None:
    assert "Azure refuses the name `nsg-site-" in refusal(make_policy(make_group(tier)))


@pytest.mark.parametrize("tier", ["a" * 71, "web_", "A.b-c_d", "1"])
def test_names_that_azure_takes_are_taken(tier: str) -> None:
    (group,) = network_security_groups(make_policy(make_group(tier)), {})
    assert group.name == f"nsg-site-{tier}"
    assert len(group.name) <= 80
    check_accepted(group, {})


def test_names_that_differ_in_case_only_are_refused() -> None:
    text = refusal(make_policy(make_group("Web"), make_group("web")))
    assert "tiers `Web` and `web` would share the name `nsg-site-web`" in text
    assert "upper from lower case" in text


def tags(count: int) -> list[Rule]:
    return [ingress(ServiceTag(f"Tag{number}")) for number in range(count)]


def hosts(count: int) -> list[Rule]:
    """Return rules for every second address, so that no two of them are one prefix."""
    return [ingress(Prefix(4, 2 * number, 32)) for number in range(count)]


def test_more_rules_than_a_group_holds_are_refused_with_the_numbers() -> None:
    check_accepted(made(*tags(998)), {})
    text = refusal(make_policy(make_group("app", tags(999))))
    assert "tiers.app: tier `app` needs 1001 rules; a network security group holds 1000" in text


def test_more_addresses_than_a_group_holds_are_refused_with_the_numbers() -> None:
    check_accepted(made(*hosts(3990)), {})
    text = refusal(make_policy(make_group("app", hosts(4100))))
    assert re.search(r"tiers\.app: tier `app` needs 41\d\d addresses on one side; .* holds 4000", text)


def test_as_many_addresses_as_a_group_holds_are_taken() -> None:
    check_accepted(made(*hosts(3998)), {})


def test_more_application_security_groups_than_a_group_may_name_are_refused() -> None:
    tiers = [f"tier-{number:03}" for number in range(101)]
    rules = [ingress(GroupReference(tier)) for tier in tiers]
    check_accepted(
        made(*rules[:100]), {tier: f"{PROVIDER}/applicationSecurityGroups/{tier}" for tier in tiers}
    )
    text = refusal(make_policy(make_group("app", rules)))
    assert "needs 101 application security groups; a network security group holds 100" in text


def test_every_problem_is_told_at_once() -> None:
    policy = make_policy(
        make_group("é"),
        make_group("list", [ingress(PrefixList("pl-1")), ingress(ExistingGroup("sg-1"))]),
        make_group("full", tags(999)),
        make_group("Web"),
        make_group("web"),
    )
    with pytest.raises(TargetError) as refused:
        network_security_groups(policy, {})
    assert sorted(problem.path for problem in refused.value.problems) == sorted(
        [("tiers", tier) for tier in ("é", "list", "list", "full", "web")]
    )


@pytest.mark.parametrize(
    "peers", [(GroupReference("storage"), ServiceTag("Storage")), (ServiceTag("Sql"), ServiceTag("SQL"))]
)
def test_names_of_rules_do_not_differ_in_case_only(peers: tuple[Peer, Peer]) -> None:
    names = [rule.name.lower() for rule in made(*map(ingress, peers)).rules]
    assert len(set(names)) == len(names)


def test_a_rule_keeps_its_name_when_a_peer_of_another_kind_is_called_alike() -> None:
    alone = make_policy(make_group("app", [ingress(GroupReference("Storage"))]))
    files = azure.write(alone, {})
    both = make_policy(make_group("app", [ingress(GroupReference("Storage")), ingress(STORAGE)]))
    (old,), new = (
        {name: rule for name, rule in placed(each)["app", "Inbound"].items() if rule.priority < 4096}.items()
        for each in (files, azure.write(both, files))
    )
    assert old in new


# A broken list of priorities


NO_PRIORITIES: tuple[Any, ...] = (0, 99, 4097, -1, True, None, "1000", 1000.5, [])

SITE = make_policy(
    make_group("app", [ingress("10.0.0.0/24"), ingress("10.0.9.0/24", ports(Protocol.TCP, 80))])
)


def broken(**changes: Any) -> str:
    """Return the priorities of `SITE` with changes in each of its two rules."""
    document = json.loads(azure.write(SITE, {})[PRIORITIES])
    for rule in document["tiers"]["app"]["ingress"].values():
        rule.update(changes)
    return json.dumps(document)


def _lacking(key: str) -> str:
    document = json.loads(broken())
    for rule in document["tiers"]["app"]["ingress"].values():
        del rule[key]
    return json.dumps(document)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut-off"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="list"),
        pytest.param("{}", id="no-tiers"),
        pytest.param('{"tiers": []}', id="tiers-are-a-list"),
        pytest.param('{"tiers": {"app": null}}', id="a-tier-is-null"),
        pytest.param('{"tiers": {"app": {"ingress": []}}}', id="a-way-is-a-list"),
        pytest.param('{"tiers": {"app": {"ingress": {"x": 1000}}}}', id="a-rule-is-a-number"),
        pytest.param("<<<<<<< ours\n" + broken(), id="conflict"),
        *(pytest.param(_lacking(key), id=f"no-{key}") for key in ("priority", "protocol", "kind", "peers")),
        *(pytest.param(broken(priority=number), id=f"priority-{number}") for number in NO_PRIORITIES),
        pytest.param(broken(peers=None), id="peers-are-null"),
        pytest.param(broken(peers=1), id="peers-are-a-number"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(broken(priority=1000), id="one-priority-twice"),
        pytest.param(broken(priority=4096), id="the-priority-of-the-deny"),
        pytest.param(broken(peers="10.0.0.0/8"), id="peers-are-a-text"),
        pytest.param(broken(peers=["x"]), id="peers-are-no-prefixes"),
        pytest.param(broken(peers=[1]), id="peers-are-numbers"),
        pytest.param(broken(ports=["x"]), id="ports-are-words"),
        pytest.param(broken(ports=[80]), id="ports-are-numbers"),
        pytest.param(broken(ports="80"), id="ports-are-a-text"),
    ],
)
def test_broken_priorities_are_refused_with_a_way_out(text: str) -> None:
    for ask in (azure.write, azure.notes):
        with pytest.raises(InputError, match="not a list of priorities: ") as refused:
            ask(SITE, {PRIORITIES: text})
        (problem,) = refused.value.problems
        assert problem.mark == Mark(PRIORITIES, 1, 1)
        assert "restore it" in problem.hint


@pytest.mark.parametrize("files", [{}, {FILE: ""}, {FILE: "{}"}, {FILE: '{"network": "main", "groups": 1}'}])
def test_files_of_another_kind_are_not_read(files: dict[str, str]) -> None:
    with pytest.raises(InputError, match=f"{FILE}:1:1: not a file of target azure"):
        azure.read(files)


@pytest.mark.parametrize("name", ["deny-all-inbound", "the-order"])
def test_a_group_that_does_not_end_with_a_deny_is_not_read(name: str) -> None:
    document = json.loads(azure.write(SITE, {})[FILE])
    rules = document["groups"][0]["properties"]["securityRules"]
    if name == "the-order":
        next(rule for rule in rules if rule["name"] == "deny-all-inbound")["properties"]["priority"] = 100
    else:
        rules[:] = [rule for rule in rules if rule["name"] != name]
    with pytest.raises(InputError, match="deny"):
        azure.read({FILE: json.dumps(document)})


# The command


DEPLOYMENT = """\
name: site
cloud: azure
tiers:
  ddc: [10.0.1.0/28]
  vda: [10.0.2.0/24]
  storefront:
    subnets: [10.0.3.0/28]
    probe-ports: [443]
external:
  admin-workstation: [10.99.0.0/25]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(DEPLOYMENT, encoding="utf-8")
    return path


def compile_(site: Path, *more: str, target: str = "azure") -> int:
    arguments = ["compile", str(site), "--target", target, "--out", str(site.parent / "out")]
    return cli.main([*arguments, *more])


def state(site: Path) -> dict[str, tuple[bytes, int]]:
    """Return what is in the folder, and when it was written."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (site.parent / "out").iterdir()
        if path.is_file()
    }


def placed_in(site: Path) -> dict[tuple[str, str], dict[str, Placed]]:
    return placed({FILE: (site.parent / "out" / FILE).read_text(encoding="utf-8")})


def test_compiling_again_leaves_all_as_it_is(site: Path) -> None:
    assert compile_(site) == 0
    before = state(site)
    assert {FILE, PRIORITIES} <= before.keys()
    assert compile_(site, "--check") == 0
    assert compile_(site) == 0
    assert {name: text for name, (text, _) in state(site).items()} == {
        name: text for name, (text, _) in before.items()
    }


def test_notes_go_to_stderr(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compile_(site) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(
        r"^note: Azure needs (\d+) allow rules \(the fewest possible\), lower bound \1,", err, re.MULTILINE
    )


def test_priorities_stay_through_an_edit_and_are_lost_without_the_file(site: Path) -> None:
    assert compile_(site) == 0
    before = placed_in(site)
    site.write_text(DEPLOYMENT.replace("10.99.0.0/25", "10.98.0.0/25, 10.99.0.0/25"), encoding="utf-8")
    assert compile_(site, "--check") == 1
    assert placed_in(site) == before
    assert compile_(site) == 0
    assert compile_(site, "--check") == 0
    after = placed_in(site)
    stayed = [(place, name) for place in before for name in before[place].keys() & after[place].keys()]
    assert all(before[place][name] == after[place][name] for place, name in stayed)
    assert any(before[place][name].priority < 4096 for place, name in stayed)
    assert before != after
    (site.parent / "out" / PRIORITIES).unlink()
    assert compile_(site) == 0
    assert placed_in(site) != after


@pytest.mark.parametrize("text", [b"", b"{}", b"<<<<<<< ours\n", b"\xff\xfe", b'{"tiers": {"ddc": 1}}'])
def test_broken_priorities_are_told_and_nothing_is_written(
    text: bytes, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_(site) == 0
    (site.parent / "out" / PRIORITIES).write_bytes(text)
    before = state(site)
    site.write_text(DEPLOYMENT.replace("10.99.0.0/25", "10.97.0.0/25"), encoding="utf-8")
    capsys.readouterr()
    for more in ((), ("--check",)):
        assert compile_(site, *more) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert PRIORITIES in err
        assert "restore it" in err
        assert "Traceback" not in err
        assert state(site) == before


def test_probe_ports_let_azures_balancer_in(site: Path) -> None:
    assert compile_(site) == 0
    rule = placed_in(site)["storefront", "Inbound"]["tcp-443-from-AzureLoadBalancer"]
    properties = rule.content
    assert properties["sourceAddressPrefix"] == "AzureLoadBalancer"
    assert (properties["protocol"], properties["destinationPortRange"]) == ("Tcp", "443")
    text = (site.parent / "out" / FILE).read_text(encoding="utf-8")
    groups = {group["tier"]: group for group in json.loads(text)["groups"]}
    for tier, expected in (("storefront", True), ("ddc", False)):
        probed = nsg_oracle.allows(
            groups[tier],
            "Inbound",
            "Tcp",
            nsg_oracle.HOST,
            "10.0.3.1",
            443,
            virtual_network=("10.0.0.0/8",),
        )
        assert probed == expected


def test_probe_ports_are_refused_in_aws_with_line_and_hint(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write_text(DEPLOYMENT.replace("cloud: azure", "cloud: aws"), encoding="utf-8")
    assert compile_(site, target="aws") == 2
    err = capsys.readouterr().err
    assert f"{site}:8:" in err
    assert "storefront" in err
    assert "make it an external" in err
    assert not (site.parent / "out").exists()
