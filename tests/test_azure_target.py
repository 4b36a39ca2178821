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
    GroupKey,
    InputError,
    Policy,
    Rule,
    TargetError,
    cli,
    identities,
    traffic_of,
)
from citrix_netpolicy.compiler import spell_out
from citrix_netpolicy.folder import MANIFEST
from citrix_netpolicy.found import folder
from citrix_netpolicy.generate import options_of
from citrix_netpolicy.grants import Grant, Grants, PrefixSet
from citrix_netpolicy.identities import Identities, LastRun, derived_priority, read_identities
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.minimize import minimize
from citrix_netpolicy.net import ALL, Prefix, Protocol, Service, ServiceSet, icmp, ip_protocol, ports
from citrix_netpolicy.policy import (
    Cause,
    ExistingGroup,
    GroupReference,
    PrefixList,
    ServiceTag,
    rule_order,
)
from citrix_netpolicy.resolve import resolve
from citrix_netpolicy.syntax.document import parse_json
from citrix_netpolicy.targets import Options, RuleCount
from citrix_netpolicy.targets.azure.arm import model_of, resource_of
from citrix_netpolicy.targets.azure.cover import block_of_data, cover_side
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from random import Random

    from azure.mgmt.network import NetworkManagementClient

    from citrix_netpolicy.policy import Peer
    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup

FILE = "network-security-groups.json"
IDENTITIES = identities.FILE
PROVIDER = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network"
LOCATION = "westeurope"
EXAMPLES = ("citrix-cloud", "classic", "reference", "two-networks")
WAYS: dict[Direction, nsg_oracle.Direction] = {Direction.INGRESS: "Inbound", Direction.EGRESS: "Outbound"}
HTTPS = ports(Protocol.TCP, 443)
EVERYTHING = Service(Protocol.ALL, 0, 65535)
CAUSE = Cause("flow:test", "A flow of a test", ("a test",))


# Policies, and what becomes of them


def make_case(*groups: Group, name: str = "site", accept: bool = True) -> real.Case:
    """Return groups as one network in Azure, which accepts each loss unless told otherwise."""
    losses = [(code, group.tier) for group in groups for code in ("icmp-widened", "icmpv6-blocked")]
    options = Options(name, "main", accepted=frozenset(losses if accept else ()))
    return real.Case(Policy.of(groups), options, "azure")


def make_group(tier: str, rules: Iterable[Rule] = ()) -> Group:
    return Group(GroupKey("main", tier), tuple(sorted(rules, key=rule_order)))


def identities_of(previous: Mapping[str, str], network: str = "main") -> Identities:
    """Return what the files of the last run leave to the next one."""
    kept = Identities()
    if IDENTITIES in previous:
        kept = read_identities(parse_json(previous[IDENTITIES], IDENTITIES), ["site"], network)
    if FILE not in previous:
        return kept
    found = folder.read(previous, "azure", "azure")
    return replace(kept, last=lambda: LastRun(found.groups, found.priorities))


def write(case: real.Case, previous: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the files of a run that follows another."""
    output = case.render("azure", identities_of(previous or {}))
    kept = output.identities.to_json("site", "main")
    return output.files | ({IDENTITIES: kept} if kept else {})


def read(files: Mapping[str, str]) -> tuple[Group, ...]:
    return real.read(files, "azure", "azure")


def nsgs(case: real.Case) -> tuple[NetworkSecurityGroup, ...]:
    return network_security_groups(case.policy, case.options).groups


def ingress(peer: Peer | str, service: Service = HTTPS) -> Rule:
    return Rule(Direction.INGRESS, Prefix.parse(peer) if isinstance(peer, str) else peer, service, (CAUSE,))


def made(*rules: Rule) -> NetworkSecurityGroup:
    """Return the group of a tier with these rules."""
    (group,) = nsgs(make_case(make_group("app", rules)))
    return group


def allowing(group: NetworkSecurityGroup) -> list[dict[str, Any]]:
    """Return the properties of the rules of a group that allow."""
    rules = resource_of(group)["properties"]["securityRules"]
    return [rule["properties"] for rule in rules if rule["properties"]["access"] == "Allow"]


def without_denies(nsg: Mapping[str, Any]) -> dict[str, Any]:
    rules = nsg["properties"]["securityRules"]
    return {
        "properties": {"securityRules": [rule for rule in rules if rule["properties"]["access"] != "Deny"]}
    }


def asg_ids(case: real.Case) -> dict[str, str]:
    return {group.tier: f"{PROVIDER}/applicationSecurityGroups/{group.tier}" for group in case.groups}


def check_accepted(group: NetworkSecurityGroup, ids: Mapping[str, str]) -> None:
    """Check that the stand-in for Azure does not refuse a group."""
    body = {"location": LOCATION, **resource_of(group, ids)}
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
    tiers = list(data["tiers"])
    accept = [{"finding": "icmp-widened", "subject": tiers, "reason": "Test"}]
    return data | {"accept": accept} | changes


@cache
def parts(name: str, peers: str) -> tuple[real.Case, ...]:
    """Return the parts of an example in Azure, one for each network."""
    compilation = real.compile_data(in_azure(name, peers=peers))
    return tuple(real.Case.of(compilation, network) for network in compilation.deployment.networks)


def some_parts(name: str, peers: str) -> tuple[real.Case, ...]:
    """Return the parts of an example in Azure: there are some, and each has groups and rules."""
    found = parts(name, peers=peers)
    assert len(found) == (2 if name == "two-networks" else 1)
    assert all(case.groups and case.policy.rule_count for case in found)
    return found


def as_azure_says(case: real.Case) -> tuple[Group, ...]:
    """Return the groups with what Azure cannot tell apart: ICMP as a whole, and nothing of ICMPv6.

    Where all egress is open, what is named beside it says nothing more.
    """
    return tuple(Group(group.key, tuple(_widened(group.rules))) for group in case.groups)


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
ESP, AH, GRE = map(ip_protocol, (50, 51, 47))


def permits(
    rules: Sequence[Rule], way: Direction, place: Place, protocol: Protocol, number: int | tuple[int, int]
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
        offers = [
            (*WITH_PORTS[:4], EVERYTHING, ESP, AH, *ICMP, *ICMPV6),
            (*ICMP, *ICMPV6),
            (ESP, AH, *ICMP[:2]),
        ]
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
    nsg = resource_of(group, {"web": WEB_ID})
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
    nsg = resource_of(made(*rules), {"web": WEB_ID})
    whole = list(_widened(rules))
    for way in Direction:
        for place in PLACES:
            for number, word in ((50, "Esp"), (51, "Ah"), (47, 47)):
                expected = permits(whole, way, place, Protocol.OTHER, number)
                assert azure_permits(nsg, way, place, word, None) == expected
            is_open = permits(whole, way, place, Protocol.OTHER, 47)
            assert azure_permits(nsg, way, place, 58, None) == is_open
            if place.address.version == 4:
                expected = permits(whole, way, place, Protocol.ICMP, (8, 0))
                assert azure_permits(nsg, way, place, "Icmp", None) == expected


ICMP_RULES = (
    Rule(Direction.INGRESS, Prefix.parse("10.0.0.0/8"), icmp(Protocol.ICMP, 8), (CAUSE,)),
    Rule(Direction.INGRESS, Prefix.parse("10.1.0.0/16"), icmp(Protocol.ICMP), (CAUSE,)),
    Rule(Direction.INGRESS, Prefix.parse("2001:db8::/32"), icmp(Protocol.ICMPV6), (CAUSE,)),
)


def test_what_azure_cannot_say_of_icmp_is_refused() -> None:
    with pytest.raises(TargetError) as refused:
        write(make_case(make_group("app", ICMP_RULES), accept=False))
    assert [(problem.code, problem.path) for problem in refused.value.problems] == [
        ("icmp-widened", ("tiers", "app")),
        ("icmpv6-blocked", ("tiers", "app")),
    ]
    assert all("accept: [{finding: icmp" in problem.hint for problem in refused.value.problems)


@pytest.mark.parametrize("code", ["icmp-widened", "icmpv6-blocked"])
def test_one_accepted_loss_is_not_the_other(code: str) -> None:
    case = make_case(make_group("app", ICMP_RULES))
    options = replace(case.options, accepted=frozenset({(code, "app"), ("icmp-widened", "other")}))
    with pytest.raises(TargetError) as refused:
        write(replace(case, options=options))
    (problem,) = refused.value.problems
    assert problem.code != code


def test_an_accepted_loss_is_a_finding() -> None:
    output = make_case(make_group("app", ICMP_RULES)).render("azure")
    assert output.tiers == {"app": RuleCount(1, 1, "fooling set")}
    assert output.rules == output.lower_bound == 1
    assert [(finding.code, finding.subject) for finding in output.findings] == [
        ("icmp-widened", "app"),
        ("icmpv6-blocked", "app"),
    ]
    assert "icmp 8/* (ingress, 10.0.0.0/8)" in output.findings[0].message
    assert "all of it is allowed" in output.findings[0].message
    assert "is blocked" in output.findings[1].message
    (rule,) = allowing(made(*ICMP_RULES))
    assert (rule["protocol"], rule["sourceAddressPrefix"], rule["destinationPortRange"]) == (
        "Icmp",
        "10.0.0.0/8",
        "*",
    )


def test_a_deployment_accepts_a_loss_by_name() -> None:
    flow = {
        "source": "admin-workstation",
        "destination": "ddc",
        "services": {"protocol": "icmp", "type": 8},
        "reason": "Ping",
    }
    data = in_azure("reference", flows={"ping": flow}, accept=[])
    with pytest.raises(TargetError, match="finding: icmp-widened, subject: ddc"):
        real.files_of(real.compile_data(data), "azure")
    data["accept"] = [{"finding": "icmp-widened", "subject": "ddc", "reason": "Reviewed"}]
    for target in ("azure", "terraform", "bicep"):
        assert real.files_of(real.compile_data(data), target)


def test_icmpv6_alone_gives_no_rule() -> None:
    assert allowing(made(ingress("2001:db8::/32", icmp(Protocol.ICMPV6, 128)))) == []


def test_open_egress_is_left_to_the_default_rules_and_told() -> None:
    everywhere = [Rule(Direction.EGRESS, Prefix(version, 0, 0), EVERYTHING) for version in (4, 6)]
    group = made(*everywhere)
    assert [rule.name for rule in group.rules] == ["deny-all-inbound"]
    found = make_case(make_group("app", everywhere)).render("azure").findings
    assert [finding.code for finding in found] == ["egress-open"]
    half = made(everywhere[0])
    assert [rule.name for rule in half.rules if rule.access == "Deny"] == [
        "deny-all-inbound",
        "deny-all-outbound",
    ]


# What is written


@st.composite
def _cases(draw: st.DrawFn, *, with_icmp: bool = False) -> real.Case:
    tiers = ("app", "db")
    return make_case(*(make_group(tier, draw(rule_lists(with_icmp=with_icmp))) for tier in tiers))


@examples(40)
@given(_cases())
def test_what_is_read_back_permits_the_same(case: real.Case) -> None:
    found = read(write(case))
    assert traffic_of(found) == traffic_of(as_azure_says(case))
    assert [(group.tier, group.network) for group in found] == [("app", "main"), ("db", "main")]


@examples(40)
@given(_cases(with_icmp=True))
def test_what_is_read_back_is_wider_only_in_icmp(case: real.Case) -> None:
    assert traffic_of(read(write(case))) == traffic_of(as_azure_says(case))


@examples(40)
@given(_cases(with_icmp=True), st.randoms(use_true_random=False))
def test_nothing_depends_on_the_order_of_rules_or_on_being_written_again(
    case: real.Case, chance: Random
) -> None:
    written = write(case)
    shuffled = Policy(
        tuple(
            replace(group, rules=tuple(chance.sample(group.rules, len(group.rules)))) for group in case.groups
        )
    )
    assert write(case) == written
    assert write(replace(case, policy=shuffled)) == written
    assert write(case, written) == written
    assert write(replace(case, policy=shuffled), written) == written
    # What is kept says enough, also without the files.
    assert write(case, {name: written[name] for name in written if name == IDENTITIES}) == written


# One example is fast, and the others are for the slow suite.
examples_by_speed = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "reference" else pytest.mark.slow) for name in EXAMPLES]
)


@pytest.mark.parametrize("peers", ["cidr", "group"])
@examples_by_speed
def test_an_example_has_the_fewest_rules_by_proof_and_stays_as_it_is(name: str, peers: str) -> None:
    for case in some_parts(name, peers):
        files = case.files("azure")
        found = folder.read(files, "azure", "azure")
        last = Identities(last=lambda found=found: LastRun(found.groups, found.priorities))  # type: ignore[misc]
        assert case.render("azure", last).files == files
        assert traffic_of(found.policy.groups) == traffic_of(as_azure_says(case))
        groups = nsgs(case)
        for group, before in zip(groups, case.groups, strict=True):
            assert len(allowing(group)) == group.lower_bound <= len(set(before.rules))
        output = case.render("azure")
        assert output.rules == output.lower_bound == sum(group.lower_bound for group in groups)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("peers", ["cidr", "group"])
def test_every_rule_of_an_example_has_the_form_that_azure_asks_for(name: str, peers: str) -> None:
    for case in some_parts(name, peers):
        for group in nsgs(case):
            check_form(group)
            assert group.rules
            for rule in resource_of(group)["properties"]["securityRules"]:
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
    for rule in resource_of(group)["properties"]["securityRules"]:
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
        "priority": derived_priority("allow-10.0.0.0_24-to-app-https"),
        "direction": "Inbound",
    }
    services = [ports(Protocol.UDP, 80), ports(Protocol.UDP, 90, 99)]
    peers = [Prefix.parse("10.0.0.0/24"), Prefix.parse("10.0.2.0/24")]
    (many,) = allowing(
        made(*(Rule(Direction.EGRESS, peer, service, CAUSES) for peer in peers for service in services))
    )
    assert 1000 <= many.pop("priority") < 4000
    assert many == {
        "description": "Purpose a; Purpose b; Purpose c; Purpose d",
        "protocol": "Udp",
        "sourcePortRange": "*",
        "destinationPortRanges": ["80", "90-99"],
        "sourceAddressPrefix": "*",
        "destinationAddressPrefixes": ["10.0.0.0/24", "10.0.2.0/24"],
        "access": "Allow",
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


def case_without_lint(data: Mapping[str, Any]) -> real.Case:
    """Return a deployment compiled without its findings, which take most of the time."""
    deployment = Deployment(**data)
    policy = minimize(spell_out(deployment, resolve(deployment, load_catalog())), deployment.cidrs)
    return real.Case(policy, replace(options_of(deployment, "main"), deployment="site"), "azure")


def _subnets(tier: Any) -> list[str]:
    return list(tier if isinstance(tier, list) else tier["subnets"])


def check_inheritance(rules: Mapping[str, Placed], old: Mapping[str, Placed]) -> None:
    """A rule that came has a priority of before only when it serves the peers or ports of one that went."""
    went = {old[name].priority: old[name] for name in old.keys() - rules.keys()}
    kept = {rule.priority for rule in old.values()} - went.keys()
    for name in rules.keys() - old.keys():
        rule = rules[name]
        assert rule.priority not in kept
        if rule.priority in went:
            was = went[rule.priority].content
            alike = [
                {key: value for key, value in rule.content.items() if key.startswith(side)}
                == {key: value for key, value in was.items() if key.startswith(side)}
                for side in (("sourceA", "destinationA"), ("destinationPort", "protocol"))
            ]
            assert any(alike), (name, was)


@pytest.mark.parametrize("edits", [5, pytest.param(40, marks=pytest.mark.slow)])
def test_through_many_edits_rules_that_stay_keep_their_priority(edits: int) -> None:
    chance = random.Random(20)
    data = in_azure("reference")
    previous: dict[str, str] = {}
    before: dict[tuple[str, str], dict[str, Placed]] = {}
    seen = {"stayed": 0, "came": 0, "went": 0}
    for number in range(edits):
        case = case_without_lint(data)
        files = write(case, previous)
        after = placed(files)
        for place, rules in after.items():
            old = before.get(place, {})
            priorities = [rule.priority for rule in rules.values()]
            assert len(set(priorities)) == len(priorities)
            assert all(100 <= priority <= 4096 for priority in priorities)
            assert max(priorities) == 4096
            for name in rules.keys() & old.keys():
                assert rules[name].priority == old[name].priority
            came = rules.keys() - old.keys()
            check_inheritance(rules, old)
            if old:
                seen["stayed"] += len(rules.keys() & old.keys())
                seen["came"] += len(came)
                seen["went"] += len(old.keys() - rules.keys())
        if number % 10 == 0:
            assert traffic_of(read(files)) == traffic_of(as_azure_says(case))
        previous, before = files, after
        edit(data, chance)
    assert seen["stayed"] > edits
    # A few edits change what rules hold and not what they mean, so their names stay as well.
    assert edits < 10 or (seen["came"] and seen["went"]), seen


@examples(40)
@given(rule_lists(), rule_lists())
def test_what_stood_before_costs_no_rule_and_moves_none(one: list[Rule], two: list[Rule]) -> None:
    first = write(make_case(make_group("app", one)))
    case = make_case(make_group("app", two))
    after = placed(write(case, first))
    fresh = placed(write(case))
    assert {place: len(rules) for place, rules in after.items()} == {
        place: len(rules) for place, rules in fresh.items()
    }
    for place, old in placed(first).items():
        rules = after.get(place, {})
        assert all(rules[name].priority == old[name].priority for name in rules.keys() & old.keys())
        check_inheritance(rules, old)


def priorities(files: Mapping[str, str]) -> dict[str, int]:
    rules = placed(files)["app", "Inbound"]
    return {name: rule.priority for name, rule in rules.items() if rule.priority < 4096}


def tagged(*numbers: int) -> real.Case:
    return make_case(make_group("app", [ingress(ServiceTag(f"Tag{number}")) for number in numbers]))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave so few numbers that names ask for the same ones."""
    monkeypatch.setattr(identities, "LAST_PRIORITY", identities.FIRST_PRIORITY + 4)


def test_a_priority_is_derived_from_the_name_of_the_rule() -> None:
    files = write(tagged(1, 2))
    assert priorities(files) == {name: derived_priority(name) for name in priorities(files)}
    assert IDENTITIES not in files


def test_a_priority_that_another_name_has_is_noted_and_stays(narrow: None) -> None:
    for first in range(4):
        alone = write(tagged(first))
        for others in ((1, 2, 3), (0, 3, 7), (4, 5, 6)):
            both = write(tagged(first, *others), alone)
            (name,) = priorities(alone)
            assert priorities(both)[name] == priorities(alone)[name]
            assert len(set(priorities(both).values())) == len(priorities(both))
            noted = {
                name: number for name, number in priorities(both).items() if number != derived_priority(name)
            }
            kept = json.loads(both[IDENTITIES])["tiers"]["app"]["priorities"]["ingress"] if noted else {}
            assert kept == noted
            # With the notes alone, or with the files alone, all stays.
            assert write(tagged(first, *others), both) == both
            assert write(tagged(first, *others), {IDENTITIES: both[IDENTITIES]} if noted else {}) == both


def test_a_priority_is_free_again_one_generation_later(narrow: None) -> None:
    first = write(tagged(1, 2, 3))
    second = write(tagged(2, 3, 4), first)
    assert not set(priorities(second).values()) - set(range(1000, 1005))
    gone = priorities(first)["allow-Tag1-to-app-https"]
    assert gone not in priorities(second).values()
    third = write(tagged(2, 3, 4, 5, 6), second)
    assert gone in priorities(third).values()


def test_a_rule_that_means_something_else_for_the_same_peers_keeps_its_priority() -> None:
    peers = ["10.0.0.0/24", "10.0.9.0/24"]
    first = write(make_case(make_group("app", [ingress(peer, ports(Protocol.TCP, 80)) for peer in peers])))
    moved = [ingress(peer, ports(Protocol.TCP, 8080)) for peer in peers]
    second = write(make_case(make_group("app", moved)), first)
    assert [*priorities(first).values()] == [*priorities(second).values()]
    assert priorities(first).keys() != priorities(second).keys()
    # One peer more at the same port is the same rule, too; another peer alone is a rule of its own.
    more = [*moved, ingress("10.0.7.0/24", ports(Protocol.TCP, 8080))]
    third = write(make_case(make_group("app", more)), second)
    assert [*priorities(third).values()] == [*priorities(second).values()]
    other = write(make_case(make_group("app", [ingress("10.7.0.0/24", ports(Protocol.TCP, 8080))])), third)
    assert not set(priorities(other).values()) & set(priorities(third).values())
    # What was kept once stays without the files.
    assert priorities(write(make_case(make_group("app", more)), {IDENTITIES: third[IDENTITIES]})) == (
        priorities(third)
    )


def test_two_rules_of_one_priority_in_the_last_run_are_refused_with_the_command() -> None:
    files = write(tagged(1, 2))
    numbers = list(priorities(files).values())
    files[FILE] = files[FILE].replace(f'"priority": {numbers[1]},', f'"priority": {numbers[0]},')
    with pytest.raises(InputError, match="git checkout") as caught:
        write(tagged(1, 2, 3), files)
    assert [problem.code for problem in caught.value.problems] == ["priority-clash"]


@pytest.mark.slow
def test_priorities_stay_in_each_of_two_networks() -> None:
    data = in_azure("two-networks")
    compilation = real.compile_data(data)
    before = {target: real.files_of(compilation, target) for target in ("azure", "terraform", "bicep")}
    data["flows"] = {
        "own": {
            "source": "admin-workstation",
            "destination": ["sql", "vda"],
            "services": {"protocol": "tcp", "ports": [8443]},
            "reason": "Own",
        }
    }
    compilation = real.compile_data(data)
    for target, previous in before.items():
        after = real.files_of(compilation, target, previous=previous)
        for network in ("control", "workload"):
            old, new = (
                folder.read(
                    {
                        name.removeprefix(f"{network}/"): text
                        for name, text in files.items()
                        if name.startswith(f"{network}/")
                    },
                    target,
                    "azure",
                ).priorities
                for files in (previous, after)
            )
            assert new.keys() - old.keys()
            stayed = new.keys() & old.keys()
            assert len(stayed) > len(old) / 2
            assert all(new[key] == old[key] for key in stayed)


@pytest.mark.parametrize("target", ["azure", "terraform", "bicep"])
def test_a_priority_of_the_last_run_stays_in_each_of_two_networks(target: str) -> None:
    data = in_azure("two-networks")
    compilation = real.compile_data(data)
    before = real.files_of(compilation, target)
    # Priorities that no name asks for: nothing but the files of the last run can tell them.
    moved, numbers = dict(before), {}
    for network, number in (("control", 1234), ("workload", 2345)):
        (file,) = (name for name in before if name.startswith(f"{network}/") and _RULE.search(before[name]))
        assert not re.search(rf"\b{number}\b", before[file])
        moved[file], numbers[network] = _RULE.sub(rf"\g<1>{number}", before[file], count=1), number
    data["flows"] = {
        "own": {
            "source": "admin-workstation",
            "destination": ["sql", "vda"],
            "services": {"protocol": "tcp", "ports": [8443]},
            "reason": "Own",
        }
    }
    again = real.files_of(compilation, target, previous=moved)
    edited = real.files_of(real.compile_data(data), target, previous=moved)
    for network, number in numbers.items():
        was, now, later = (_priorities_of(files, target, network) for files in (moved, again, edited))
        assert number in was.values()
        assert now == was
        assert {key: later[key] for key in was.keys() & later.keys()} == {
            key: was[key] for key in was.keys() & later.keys()
        }
        assert number in later.values()
        assert later.keys() - was.keys()


# The first priority of a file that is not that of the deny, as each target spells it.
_RULE = re.compile(r"""(\bpriority"? *[:=] *)(?:1[0-9]{3}|2[0-9]{3}|3[0-9]{3})\b""")


def _priorities_of(files: Mapping[str, str], target: str, network: str) -> Mapping[Any, int]:
    place = f"{network}/"
    own = {name.removeprefix(place): text for name, text in files.items() if name.startswith(place)}
    return folder.read_rules(own, target, "azure").priorities


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


def put_asgs(client: NetworkManagementClient, case: real.Case) -> dict[str, str]:
    """Put an application security group for each tier; return their ids."""
    from azure.mgmt.network import models  # noqa: PLC0415 - may be absent

    ids: dict[str, str] = {}
    for group in case.groups:
        asg = models.ApplicationSecurityGroup(location=LOCATION)
        answer = client.application_security_groups.begin_create_or_update("g", group.tier, asg).result()
        ids[group.tier] = str(answer.id)
    return ids


def put_and_get(
    client: NetworkManagementClient, case: real.Case, ids: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Put the groups of a policy; return them in the form of `write`, as the client reads them back."""
    tiers = {id_: tier for tier, id_ in ids.items()}
    found = []
    for group in nsgs(case):
        model = model_of(group, LOCATION, ids)
        client.network_security_groups.begin_create_or_update("g", group.name, model).result()
        answer = json.loads(json.dumps(client.network_security_groups.get("g", group.name).as_dict()))
        for rule in answer["properties"]["securityRules"]:
            rule["properties"] = {key: value for key, value in rule["properties"].items() if value != []}
            for key in ("source", "destination"):
                for asg in rule["properties"].get(f"{key}ApplicationSecurityGroups", ()):
                    asg["id"] = "tier:" + tiers[asg["id"]]
        found.append({"tier": group.tier, **answer})
    return found


@pytest.mark.slow
@pytest.mark.parametrize("peers", ["cidr", "group"])
@examples_by_speed
def test_azures_client_puts_an_example_and_gets_the_same_traffic_back(
    name: str, peers: str, client: NetworkManagementClient
) -> None:
    for case in parts(name, peers=peers):
        ids = put_asgs(client, case) if peers == "group" else {}
        groups = put_and_get(client, case, ids)
        assert traffic_of(read(as_file(case, groups))) == traffic_of(as_azure_says(case))
        if peers == "group":
            assert any("ApplicationSecurityGroups" in json.dumps(group) for group in groups) == any(
                isinstance(rule.peer, GroupReference) for group in case.groups for rule in group.rules
            )


@pytest.mark.slow
@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])])
def test_more_tiers_than_a_rule_may_name_are_split(
    count: int, sizes: list[int], client: NetworkManagementClient
) -> None:
    tiers = [f"tier-{number:02}" for number in range(count)]
    case = make_case(
        make_group("app", [ingress(GroupReference(tier)) for tier in tiers]), *map(make_group, tiers)
    )
    ids = put_asgs(client, case)
    group = nsgs(case)[0]
    properties = [rule["properties"] for rule in resource_of(group, ids)["properties"]["securityRules"]]
    named = [rule["sourceApplicationSecurityGroups"] for rule in properties if rule["access"] == "Allow"]
    assert sorted((len(each) for each in named), reverse=True) == sizes
    assert sorted(asg["id"] for each in named for asg in each) == [ids[tier] for tier in tiers]
    found = put_and_get(client, case, ids)
    assert traffic_of(read(as_file(case, found))) == traffic_of(case.groups)
    written = write(case)
    assert write(case, written) == written


def as_file(case: real.Case, groups: list[dict[str, Any]]) -> dict[str, str]:
    """Return groups as the file of the target has them."""
    document = json.loads(case.files("azure")[FILE])
    for group, found in zip(document["groups"], groups, strict=True):
        group["properties"] = {"securityRules": found["properties"]["securityRules"]}
        for rule in group["properties"]["securityRules"]:
            for key in rule.keys() - {"name", "properties"}:
                del rule[key]
    return {FILE: json.dumps(document)}


def test_a_model_says_what_the_json_says() -> None:
    if find_spec("azure") is None:
        real.absent("azure-mgmt-network is absent")
    for case in some_parts("reference", "group"):
        ids = asg_ids(case)
        for group in nsgs(case):
            body = json.loads(json.dumps(model_of(group, LOCATION, ids).as_dict()))
            assert body == {"location": LOCATION, **resource_of(group, ids)}
            assert body["properties"]["securityRules"]


# The same site in two clouds


def without_icmp(groups: Iterable[Group]) -> tuple[Group, ...]:
    icmps = (Protocol.ICMP, Protocol.ICMPV6)
    return tuple(
        replace(group, rules=tuple(rule for rule in group.rules if rule.service.protocol not in icmps))
        for group in groups
    )


@examples_by_speed
def test_a_deployment_in_aws_and_in_azure_permits_the_same(name: str) -> None:
    data = in_azure(name, peers="cidr") | {"quotas": {"rules-per-group": 200}}
    theirs = json.loads(json.dumps(data).replace('"azure"', '"aws"'))
    ours, aws = (real.compile_data(each) for each in (data, theirs))
    for network in ours.deployment.networks:
        in_aws = without_icmp(real.read(real.files_of(aws, "aws", network), "aws", "aws"))
        in_azure_ = without_icmp(real.read(real.files_of(ours, "azure", network), "azure", "azure"))
        assert traffic_of(in_aws) == traffic_of(in_azure_)
        assert any(group.rules for group in in_azure_)


# Refusals


def refusal(case: real.Case) -> str:
    """Return what is told of a policy, which every target refuses."""
    told = set()
    for target in ("azure", "terraform", "bicep"):
        with pytest.raises(TargetError) as refused:
            case.render(target)
        assert all(problem.hint and problem.path for problem in refused.value.problems)
        told.add(str(refused.value))
    (text,) = told
    return text


@pytest.mark.parametrize(
    "peer", [PrefixList("pl-12345678", 5), ExistingGroup("sg-12345678"), ExistingGroup("123456789012/sg-1")]
)
def test_peers_of_aws_are_refused(peer: Peer) -> None:
    text = refusal(make_case(make_group("app", [ingress(peer), ingress(peer, ports(Protocol.UDP, 1))])))
    assert text.count(f"tiers.app: Azure has no equivalent of `{peer}`, a peer of tier `app`") == 1


@pytest.mark.parametrize(
    ("four", "six", "said"),
    [
        ([HTTPS], [HTTPS], [("Tcp", "*", "443")]),
        ([HTTPS], [], [("Tcp", "0.0.0.0/0", "443")]),
        ([HTTPS], [ports(Protocol.TCP, 80)], [("Tcp", "0.0.0.0/0", "443"), ("Tcp", "::/0", "80")]),
        (
            [HTTPS, ports(Protocol.UDP, 53)],
            [HTTPS, ports(Protocol.UDP, 54)],
            [("Tcp", "*", "443"), ("Udp", "0.0.0.0/0", "53"), ("Udp", "::/0", "54")],
        ),
        ([HTTPS, icmp(Protocol.ICMP)], [HTTPS], [("Icmp", "0.0.0.0/0", "*"), ("Tcp", "*", "443")]),
        ([EVERYTHING], [EVERYTHING], [("*", "*", "*")]),
        ([ESP], [ESP], [("Esp", "*", "*")]),
    ],
)
def test_all_addresses_of_both_families_are_one_word(
    four: list[Service], six: list[Service], said: list[tuple[str, str, str]]
) -> None:
    rules = [ingress(prefix, one) for prefix, some in (("0.0.0.0/0", four), ("::/0", six)) for one in some]
    group = made(*rules)
    found = [
        (rule["protocol"], rule["sourceAddressPrefix"], rule["destinationPortRange"])
        for rule in allowing(group)
    ]
    assert sorted(found) == sorted(said)
    assert group.lower_bound == len(said)
    assert group.certificate != "none"
    nsg = resource_of(group)
    for place in PLACES:
        for protocol, word in ((Protocol.TCP, "Tcp"), (Protocol.UDP, "Udp")):
            for port in (53, 54, 80, 443):
                expected = permits(rules, Direction.INGRESS, place, protocol, port)
                assert azure_permits(nsg, Direction.INGRESS, place, word, port) == expected


def test_where_some_addresses_have_more_a_rule_stays_in_its_family() -> None:
    ssh = ports(Protocol.TCP, 22)
    group = made(ingress("0.0.0.0/0"), ingress("::/0"), ingress("10.0.0.0/24", ssh))
    assert not [rule for rule in allowing(group) if rule.get("sourceAddressPrefix") == "*"]


def test_a_protocol_that_azure_cannot_name_is_refused_once_a_flow() -> None:
    flow = Cause("flow:tunnel", "A tunnel", kind="flow")
    entry = Cause("ospf", "An entry of an own catalogue")
    rules = [Rule(way, Prefix.parse("10.9.0.0/24"), GRE, (flow,)) for way in Direction]
    rules.append(Rule(Direction.INGRESS, GroupReference("db"), ip_protocol(89), (entry,)))
    with pytest.raises(TargetError) as caught:
        nsgs(make_case(make_group("app", rules), make_group("db", rules[:2])))
    found = [(problem.code, problem.path, problem.message) for problem in caught.value.problems]
    code = "protocol-unknown-to-cloud"
    assert sorted(found) == [
        (code, ("flows", "tunnel"), "flow `tunnel`: Azure rules cannot name the protocol gre"),
        (code, ("tiers", "app"), "entry `ospf`: Azure rules cannot name the protocol ip 89"),
    ]


def test_everything_but_one_protocol_is_refused_with_what_is_left() -> None:
    everything_else = (ALL - ServiceSet.of(GRE)).blocks()
    with pytest.raises(TargetError, match="protocol ip 0") as caught:
        made(*(ingress("10.0.0.0/24", service) for service in everything_else))
    assert len(caught.value.problems) == 252 - 3


@pytest.mark.parametrize(
    "tier", ["a" * 72, "a b", "é", "web-", "web.", "a/b", "a:b", "a\nb", "a#", "\uff41", "web\n"]
)
def test_names_that_azure_refuses_are_refused(tier: str) -> None:
    assert "Azure refuses the name `nsg-site-" in refusal(make_case(make_group(tier)))


@pytest.mark.parametrize("tier", ["a" * 71, "web_", "A.b-c_d", "1"])
def test_names_that_azure_takes_are_taken(tier: str) -> None:
    (group,) = nsgs(make_case(make_group(tier)))
    assert group.name == f"nsg-site-{tier}"
    assert len(group.name) <= 80
    check_accepted(group, {})


def test_names_that_differ_in_case_only_are_refused() -> None:
    text = refusal(make_case(make_group("Web"), make_group("web")))
    assert "tiers `Web` and `web` would share the name `nsg-site-web`" in text
    assert "case-insensitive" in text


def tags(count: int) -> list[Rule]:
    return [ingress(ServiceTag(f"Tag{number}")) for number in range(count)]


def hosts(count: int) -> list[Rule]:
    """Return rules for every second address, so that no two of them are one prefix."""
    return [ingress(Prefix(4, 2 * number, 32)) for number in range(count)]


@pytest.mark.slow
def test_more_rules_than_a_group_holds_are_refused_with_the_numbers() -> None:
    check_accepted(made(*tags(998)), {})
    text = refusal(make_case(make_group("app", tags(999))))
    assert "tiers.app: tier `app` needs 1001 rules; a network security group can hold 1000" in text


@pytest.mark.slow
def test_more_addresses_than_a_group_holds_are_refused_with_the_numbers() -> None:
    check_accepted(made(*hosts(3990)), {})
    text = refusal(make_case(make_group("app", hosts(4100))))
    assert re.search(r"tiers\.app: tier `app` needs 41\d\d addresses on one side; .* can hold 4000", text)


@pytest.mark.slow
def test_as_many_addresses_as_a_group_holds_are_taken() -> None:
    check_accepted(made(*hosts(3998)), {})


def egress(rules: list[Rule]) -> list[Rule]:
    return [replace(rule, direction=Direction.EGRESS) for rule in rules]


@pytest.mark.slow
@pytest.mark.parametrize("way", Direction)
def test_one_address_more_than_a_group_holds_is_refused(way: Direction) -> None:
    # Each rule of the other direction, and the deny of each, has one address on the same side.
    there, beside = hosts(3998 - 3 + 1), tags(3)
    if way is Direction.EGRESS:
        there = egress(there)
    else:
        beside = egress(beside)
    check_accepted(made(*there[1:], *beside), {})
    with pytest.raises(TargetError) as refused:
        nsgs(make_case(make_group("app", [*there, *beside])))
    (problem,) = refused.value.problems
    told = "tier `app` needs 4001 addresses on one side; a network security group can hold 4000"
    assert (problem.code, problem.message) == ("over-limit", told)


def test_more_application_security_groups_than_a_group_may_name_are_refused() -> None:
    tiers = [f"tier-{number:03}" for number in range(101)]
    rules = [ingress(GroupReference(tier)) for tier in tiers]
    check_accepted(
        made(*rules[:100]), {tier: f"{PROVIDER}/applicationSecurityGroups/{tier}" for tier in tiers}
    )
    text = refusal(make_case(make_group("app", rules)))
    assert "needs 101 application security groups; a network security group can hold 100" in text


def test_every_problem_is_told_at_once() -> None:
    case = make_case(
        make_group("é"),
        make_group("list", [ingress(PrefixList("pl-1")), ingress(ExistingGroup("sg-1"))]),
        make_group("full", tags(999)),
        make_group("Web"),
        make_group("web"),
    )
    with pytest.raises(TargetError) as refused:
        nsgs(case)
    assert sorted(problem.path for problem in refused.value.problems) == sorted(
        [("tiers", tier) for tier in ("é", "list", "list", "full", "web")]
    )


@pytest.mark.parametrize(
    "peers", [(GroupReference("storage"), ServiceTag("Storage")), (ServiceTag("Sql"), ServiceTag("SQL"))]
)
def test_names_of_rules_do_not_differ_in_case_only(peers: tuple[Peer, Peer]) -> None:
    names = [rule.name.lower() for rule in made(*map(ingress, peers)).rules]
    assert len(set(names)) == len(names)


def test_a_rule_keeps_its_priority_when_a_peer_of_another_kind_is_called_alike() -> None:
    alone = make_case(make_group("app", [ingress(GroupReference("Storage"))]))
    files = write(alone)
    both = make_case(make_group("app", [ingress(GroupReference("Storage")), ingress(STORAGE)]))
    (old,), new = (
        [rule for rule in placed(each)["app", "Inbound"].values() if rule.priority < 4096]
        for each in (files, write(both, files))
    )
    assert old in new


# Broken identities


SITE = make_case(make_group("app", [ingress("10.0.0.0/24"), ingress("10.0.9.0/24", ports(Protocol.TCP, 80))]))
COVER = {"protocol": "Tcp", "kind": "prefixes", "peers": ["10.0.0.0/24"], "ports": ["443"]}


def kept(**tier: Any) -> str:
    """Return a file of identities with these for the one tier of `SITE`."""
    document = {"format": 1, "deployment": "site", "network": "main", "tiers": {"app": tier}}
    return json.dumps(document, indent=1)


def lacking(key: str) -> str:
    document = json.loads(kept())
    del document[key]
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("", "not-json", id="empty"),
        pytest.param("{", "not-json", id="cut-off"),
        pytest.param("null", "invalid-type", id="null"),
        pytest.param("[]", "invalid-type", id="list"),
        pytest.param("[" * 100_000, "too-deep", id="deep"),
        pytest.param('{"format": ' + "1" * 5000 + "}", "not-json", id="long-number"),
        *(
            pytest.param(lacking(key), "missing-key", id=f"no-{key}")
            for key in ("format", "deployment", "tiers")
        ),
        pytest.param(kept().replace('"format": 1', '"format": 2'), "newer-format", id="newer"),
        pytest.param(kept().replace('"format": 1', '"format": true'), "invalid-type", id="format-true"),
        pytest.param(kept().replace('"format": 1', '"format": 0'), "invalid-value", id="format-zero"),
        pytest.param(kept().replace('"site"', '"other"'), "foreign-identities", id="other-deployment"),
        pytest.param(kept().replace('"main"', '"other"'), "foreign-identities", id="other-network"),
        pytest.param("<<<<<<< ours\n" + kept(), "merge-conflict", id="conflict"),
        pytest.param(kept().replace('"app"', '"app": {}, "app"'), "duplicate-key", id="a-tier-twice"),
        pytest.param(kept().replace('"app": {}', '"app": null'), "invalid-type", id="a-tier-is-null"),
        pytest.param(kept(weather="fine"), "unknown-key", id="unknown-key"),
        pytest.param(kept(priorities=[]), "invalid-type", id="priorities-are-a-list"),
        pytest.param(kept(priorities={"sideways": {}}), "unknown-key", id="sideways"),
        *(
            pytest.param(kept(priorities={"ingress": {"x": number}}), code, id=f"priority-{number}")
            for number, code in (
                *((number, "invalid-value") for number in (0, 99, 999, 4000, 4096, -1)),
                *((number, "invalid-type") for number in (True, None, "1000", 1000.5)),
            )
        ),
        pytest.param(kept(priorities={"ingress": {"x": 1000, "y": 1000}}), "priority-clash", id="one-twice"),
        *(
            pytest.param(kept(covers={"ingress": [COVER | {key: value}]}), code, id=f"cover-{key}-{value}")
            for key, value, code in (
                ("protocol", "Sctp", "invalid-value"),
                ("protocol", None, "invalid-type"),
                ("kind", "wild", "invalid-value"),
                ("peers", "10.0.0.0/8", "invalid-type"),
                ("peers", ["x"], "invalid-value"),
                ("peers", [1], "invalid-type"),
                ("peers", [], "invalid-value"),
                ("ports", ["x"], "invalid-value"),
                ("ports", ["70000"], "invalid-value"),
                ("ports", ["90-80"], "invalid-value"),
                ("ports", [80], "invalid-type"),
                ("more", 1, "unknown-key"),
            )
        ),
        pytest.param(kept(held={"x": 1}), "invalid-value", id="held-by-the-first"),
        pytest.param(kept(waiting=[0]), "invalid-value", id="waiting-for-none"),
        pytest.param(kept(name=["x"]), "invalid-type", id="a-name-is-a-list"),
    ],
)
def test_broken_identities_are_refused_with_their_place(text: str, code: str) -> None:
    with pytest.raises(InputError) as refused:
        write(SITE, {IDENTITIES: text})
    (problem,) = refused.value.problems
    assert problem.code == code
    assert problem.mark
    assert problem.mark.file == IDENTITIES


@pytest.mark.parametrize("word", ["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"])
def test_a_kept_cover_may_hold_every_protocol_of_azure(word: str) -> None:
    text = kept(covers={"ingress": [COVER | {"protocol": word, "ports": ["*"]}]})
    (cover,) = read_identities(parse_json(text, IDENTITIES), ["site"], "main").tier("app").covers.values()
    assert [block_of_data(data).protocol for data in cover] == [word]


@pytest.mark.parametrize("files", [{}, {FILE: ""}, {FILE: "{}"}, {FILE: '{"network": "main", "groups": 1}'}])
def test_files_of_another_kind_are_not_read(files: dict[str, str]) -> None:
    with pytest.raises(InputError, match=FILE):
        read(files)


@pytest.mark.parametrize("name", ["deny-all-inbound", "the-order"])
def test_a_group_that_does_not_end_with_a_deny_is_not_read(name: str) -> None:
    document = json.loads(write(SITE)[FILE])
    rules = document["groups"][0]["properties"]["securityRules"]
    if name == "the-order":
        next(rule for rule in rules if rule["name"] == "deny-all-inbound")["properties"]["priority"] = 100
    else:
        rules[:] = [rule for rule in rules if rule["name"] != name]
    with pytest.raises(InputError, match="deny"):
        read({FILE: json.dumps(document)})


# The command


DEPLOYMENT = """\
name: site
cloud: azure
tiers:
  ddc: [10.0.1.0/28]
  vda: [10.0.2.0/24]
  storefront:
    subnets: [10.0.3.0/28]
    behind: {probes: [443]}
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
    assert FILE in before
    assert IDENTITIES not in before
    assert compile_(site, "--check") == 0
    assert compile_(site) == 0
    assert {name: text for name, (text, _) in state(site).items()} == {
        name: text for name, (text, _) in before.items()
    }


def test_findings_go_to_stderr(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.write_text(DEPLOYMENT + "egress: open\n", encoding="utf-8")
    assert compile_(site) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"^site: 3 groups, [0-9]+ rules \(the fewest possible\); ", err, re.MULTILINE)
    assert re.search(r"^note: tier `ddc`: egress is open.* \[egress-open\]$", err, re.MULTILINE)


def test_priorities_stay_through_an_edit(site: Path) -> None:
    assert compile_(site) == 0
    before = placed_in(site)
    site.write_text(DEPLOYMENT.replace("10.99.0.0/25", "10.98.0.0/25, 10.99.0.0/25"), encoding="utf-8")
    assert compile_(site, "--check") == 1
    assert placed_in(site) == before
    assert compile_(site) == 0
    assert compile_(site, "--check") == 0
    after = placed_in(site)
    stayed = [(place, name) for place in before for name in before[place].keys() & after[place].keys()]
    assert all(before[place][name].priority == after[place][name].priority for place, name in stayed)
    assert any(before[place][name].priority < 4096 for place, name in stayed)
    # One address more is no other rule.
    assert {place: {*rules} for place, rules in before.items()} == {
        place: {*rules} for place, rules in after.items()
    }
    assert before != after


@pytest.mark.parametrize("text", [b"", b"{}", b"<<<<<<< ours\n", b"\xff\xfe", b'{"tiers": {"ddc": 1}}'])
def test_broken_identities_are_told_and_nothing_is_written(
    text: bytes, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_(site) == 0
    out = site.parent / "out"
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["files"].append(IDENTITIES)
    (out / MANIFEST).write_text(json.dumps(manifest))
    (out / IDENTITIES).write_bytes(text)
    before = state(site)
    site.write_text(DEPLOYMENT.replace("10.99.0.0/25", "10.97.0.0/25"), encoding="utf-8")
    capsys.readouterr()
    for more in ((), ("--check",)):
        assert compile_(site, *more) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert f"{out / IDENTITIES}:" in printed.err
        assert "Traceback" not in printed.err
        assert state(site) == before


def test_probe_ports_let_azures_balancer_in(site: Path) -> None:
    assert compile_(site) == 0
    rule = placed_in(site)["storefront", "Inbound"]["allow-AzureLoadBalancer-to-storefront-https"]
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


def test_a_block_claims_no_purpose_of_what_another_block_carries() -> None:
    people, controllers = (PrefixSet.of([Prefix.parse(text)]) for text in ("10.99.7.0/25", "10.20.2.0/27"))
    console, licences = (Cause(name, f"Purpose {name}") for name in ("console", "licences"))
    grants = Grants(
        Direction.INGRESS,
        [
            # For people the ports of both are one range, and so one rule of the fewest.
            Grant(people, ServiceSet.of(ports(Protocol.TCP, 8082)), (console,)),
            Grant(people, ServiceSet.of(ports(Protocol.TCP, 8083)), (licences,)),
            Grant(controllers, ServiceSet.of(ports(Protocol.TCP, 8083)), (licences,)),
        ],
    )
    blocks = cover_side(grants).blocks
    # The block of 8083 holds people too, whose console it does not carry.
    assert {block.ports: block.causes for block in blocks} == {
        ("8082-8083",): (console, licences),
        ("8083",): (licences,),
    }
