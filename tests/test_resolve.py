"""Resolve: every entry yields flows or is reported with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from citrix_netpolicy.compiler import compile_deployment, spell_out
from citrix_netpolicy.errors import InputError
from citrix_netpolicy.inputs.catalog import Catalog, compose_catalog
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.meeting import feature_states
from citrix_netpolicy.omissions import RoleMissing
from citrix_netpolicy.resolve import resolve
from citrix_netpolicy.syntax import document

WORDS = """
documents: {paper: {title: Paper, publisher: Nobody, lines: 99}}
roles:
  web: {title: Web, description: d, kind: host}
  app: {title: App, description: d, kind: host}
  db: {title: Database, description: d, kind: host}
  relay: {title: Relay, description: d, kind: host, stands-in-for: {role: app, feature: fast}}
  user: {title: User, description: d, kind: outside}
  any: {title: Any, description: d, kind: wildcard, members: [web, app]}
features:
  fast: {description: d, default: true}
  slow: {description: d, default: false, conflicts: [fast]}
  turbo: {description: d, default: false, requires: [fast]}
  with-db: {description: d, default: true, roles: [db]}
parameters:
  app-port: {description: d, protocol: tcp}
  peer-port: {description: d, protocol: tcp}
"""
TWO_TIERS = {"web": ["10.0.0.0/24"], "app": ["10.0.1.0/24"]}


def catalog(*entries: str) -> Catalog:
    """A catalogue of the words above and of entries written as flow maps."""
    head = "product: P\ndocument: paper\nsection: S\n"
    lines = [f"  - {{line: {number}, purpose: x, {entry}}}" for number, entry in enumerate(entries, 1)]
    texts = [WORDS, head + "\n".join(["entries:", *lines] if lines else [])]
    return compose_catalog([document.parse(text.encode(), f"{n}.yaml") for n, text in enumerate(texts)])


def site(**settings: Any) -> Deployment:
    return Deployment(**{"name": "site", "cloud": "aws", "tiers": TWO_TIERS, **settings})


def told(deployment: Deployment, *entries: str) -> tuple[list[str], dict[str, str]]:
    """The flows as text, and the reason of every entry that gave none."""
    resolution = resolve(deployment, catalog(*entries))
    flows = [f"{flow.source} to {flow.destination}: {flow.services}" for flow in resolution.flows]
    return flows, {omission.entry: str(omission) for omission in resolution.omissions}


WEB_APP = "id: web-app, source: web, destination: app, services: [{protocol: tcp, ports: [443]}]"


def test_an_entry_between_deployed_roles_is_a_flow() -> None:
    assert told(site(), WEB_APP) == (["web to app: tcp 443"], {})


def test_the_reason_names_the_role_that_nobody_has() -> None:
    entry = "id: e, source: web, destination: db, services: [{protocol: tcp, ports: [1433]}]"
    assert told(site(), entry) == ([], {"e": "no tier or external provides role `db`"})
    assert resolve(site(), catalog(entry)).omissions == (RoleMissing("e", ("db",), waiting=True),)


@pytest.mark.parametrize(
    ("ends", "roles", "waiting"),
    [
        ("source: web, destination: db", ("db",), True),
        ("source: db, destination: web", ("db",), True),
        ("source: db, destination: [db, user]", ("db", "user"), False),
        ("source: [db, user], destination: [user, web]", ("db", "user"), True),
    ],
)
def test_a_role_is_waited_for_where_the_other_end_is_there(
    ends: str, roles: tuple[str, ...], waiting: bool
) -> None:
    entry = f"id: e, {ends}, services: [{{protocol: tcp, ports: [1]}}]"
    assert resolve(site(), catalog(entry)).omissions == (RoleMissing("e", roles, waiting=waiting),)


def test_the_setting_that_somebody_wrote_is_the_one_to_blame() -> None:
    text = WORDS.replace(
        "  with-db:", "  deep: {description: d, default: true, requires: [fast]}\n  with-db:"
    )
    known = compose_catalog([document.parse(text.encode(), "words.yaml")])
    # What is on by default goes off with what it needs.
    assert not feature_states(site(features={"fast": False}), known)["deep"]
    with pytest.raises(InputError) as caught:
        resolve(site(features={"deep": True, "fast": False}), known)
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == (
        ("features", "deep"),
        "feature `deep` needs `fast`, which is off",
    )


@pytest.mark.parametrize(
    ("condition", "settings", "expected"),
    [
        ("features: [fast]", {}, "tcp 443"),
        ("features: [fast]", {"fast": False}, "feature `fast` is off"),
        ("features: ['!fast']", {}, "feature `fast` is on"),
        ("features: ['!fast']", {"fast": False}, "tcp 443"),
        ("features: [with-db]", {}, "feature `with-db` is off"),
        ("features: [with-db]", {"with-db": True}, "tcp 443"),
        ("features: [turbo]", {}, "feature `turbo` is off"),
        ("features: [turbo]", {"turbo": True}, "tcp 443"),
    ],
)
def test_features_switch_entries(condition: str, settings: dict[str, bool], expected: str) -> None:
    flows, reasons = told(site(features=settings), f"{WEB_APP}, {condition}")
    assert [*flows, *reasons.values()] in ([f"web to app: {expected}"], [expected])


def test_a_feature_of_a_product_is_on_where_the_product_is() -> None:
    tiers = {**TWO_TIERS, "db": ["10.0.2.0/24"]}
    assert told(site(tiers=tiers), f"{WEB_APP}, features: [with-db]")[0] == ["web to app: tcp 443"]


def test_features_switch_single_services() -> None:
    services = "[{protocol: tcp, ports: [443]}, {protocol: udp, ports: [443], features: [fast]}]"
    entry = f"id: e, source: web, destination: app, services: {services}"
    assert told(site(), entry)[0] == ["web to app: tcp 443, udp 443"]
    assert told(site(features={"fast": False}), entry)[0] == ["web to app: tcp 443"]


def test_a_parameter_replaces_the_ports_and_only_those() -> None:
    services = "[{protocol: tcp, ports: [443], parameter: app-port}, {protocol: tcp, ports: [89]}]"
    entry = f"id: e, source: web, destination: app, services: {services}"
    assert told(site(), entry)[0] == ["web to app: tcp 89, tcp 443"]
    assert told(site(parameters={"app-port": [8080, "9000-9001"]}), entry)[0] == [
        "web to app: tcp 89, tcp 8080, tcp 9000-9001"
    ]


def test_a_service_without_a_port_waits_for_its_parameter() -> None:
    entry = "id: e, source: web, destination: web, services: [{protocol: tcp, parameter: peer-port}]"
    assert told(site(), entry) == ([], {"e": "parameter `peer-port` is not set"})
    assert told(site(parameters={"peer-port": 93}), entry)[0] == ["web to web: tcp 93"]


def test_a_wildcard_stands_for_its_members_and_never_for_an_address() -> None:
    entry = "id: e, source: any, destination: db, services: [{protocol: tcp, ports: [27000]}]"
    deployment = site(tiers={**TWO_TIERS, "db": ["10.0.2.0/24"]}, external={"user": ["0.0.0.0/0"]})
    assert told(deployment, entry)[0] == ["app to db: tcp 27000", "web to db: tcp 27000"]


def test_a_role_may_stand_in_several_tiers_and_a_tier_may_have_several_roles() -> None:
    tiers = {"one": {"roles": ["web", "app"], "subnets": ["10.0.0.0/24"]}, "app": ["10.0.1.0/24"]}
    assert told(site(tiers=tiers), WEB_APP)[0] == ["one to app: tcp 443", "one to one: tcp 443"]


@pytest.mark.parametrize(
    ("subnets", "is_one_host"),
    [
        (["10.0.0.5"], True),
        (["10.0.0.5/32", "2001:db8::5/128"], True),
        (["10.0.0.5/32", "10.0.0.6/32"], False),
        (["10.0.0.4/31"], False),
    ],
)
def test_nothing_flows_within_one_host(subnets: list[str], is_one_host: bool) -> None:
    entry = "id: e, source: web, destination: web, services: [{protocol: tcp, ports: [80]}]"
    flows, reasons = told(site(tiers={"web": subnets}), entry)
    assert bool(flows) is not is_one_host
    assert reasons == ({"e": "both ends are the single host of tier `web`"} if is_one_host else {})


def test_what_needs_no_rule_is_passed_over_where_the_entry_connects_others() -> None:
    tiers = {"one": {"roles": ["web", "app"], "subnets": ["10.0.0.5"]}, "app": ["10.0.1.0/24"]}
    assert told(site(tiers=tiers), WEB_APP) == (["one to app: tcp 443"], {})
    alone = {"one": {"roles": ["web", "app"], "subnets": ["10.0.0.5"]}}
    assert told(site(tiers=alone), WEB_APP) == (
        [],
        {"web-app": "both ends are the single host of tier `one`"},
    )


def test_a_stand_in_takes_the_place_of_a_role_in_the_entries_that_allow_it() -> None:
    peers = "source: app, destination: app, services: [{protocol: tcp, ports: [89]}]"
    tiers = {**TWO_TIERS, "relay": ["10.0.3.0/24"]}
    entries = (f"{WEB_APP}, stand-in: true", f"id: peers, {peers}, stand-in: true", f"id: own, {peers}")
    both = [
        "app to app: tcp 89",
        "app to app: tcp 89",
        "relay to relay: tcp 89",
        "web to app: tcp 443",
        "web to relay: tcp 443",
    ]
    assert sorted(told(site(tiers=tiers), *entries)[0]) == both
    alone = {"web": ["10.0.0.0/24"], "relay": ["10.0.3.0/24"]}
    flows, reasons = told(site(tiers=alone), *entries)
    assert flows == ["relay to relay: tcp 89", "web to relay: tcp 443"]
    assert reasons == {"own": "no tier or external provides role `app`"}
    assert told(site(tiers=alone, features={"fast": False}), *entries)[0] == []


def test_a_pair_without_a_common_address_family_is_reported_beside_pairs_that_flow() -> None:
    tiers = {**TWO_TIERS, "db": {"roles": ["app"], "subnets": ["2001:db8::/64"]}}
    flows, reasons = told(site(tiers=tiers), WEB_APP)
    assert flows == ["web to app: tcp 443"]
    assert reasons == {"web-app": "`web` and `db` share no address family"}


def test_two_externals_have_no_flow_between_them() -> None:
    external = {"web": ["192.0.2.1"], "app": ["192.0.2.2"]}
    _, reasons = told(site(tiers={"db": ["10.0.0.0/24"]}, external=external), WEB_APP)
    assert reasons == {"web-app": "`web` and `app` are both outside the networks"}


def test_externals_may_share_addresses() -> None:
    external = {"db": ["192.0.2.1"], "user": ["192.0.2.1"]}
    entry = "id: e, source: [user, db], destination: web, services: [{protocol: tcp, ports: [80]}]"
    assert told(site(external=external), entry)[0] == ["db to web: tcp 80", "user to web: tcp 80"]


def test_ends_without_a_common_address_family_are_reported() -> None:
    tiers = {"web": ["10.0.0.0/24"], "app": ["2001:db8::/64"]}
    assert told(site(tiers=tiers), WEB_APP)[1] == {"web-app": "`web` and `app` share no address family"}


def test_icmp_follows_the_address_family() -> None:
    services = "[{protocol: icmp, type: 8, code: 0}, {protocol: icmpv6, type: 128, code: 0}]"
    entry = f"id: e, source: web, destination: app, services: {services}"
    v6 = {"web": ["2001:db8::/64"], "app": ["2001:db8:1::/64"]}
    assert told(site(), entry)[0] == ["web to app: icmp 8/0"]
    assert told(site(tiers=v6), entry)[0] == ["web to app: icmpv6 128/0"]
    only_v6 = "id: e, source: web, destination: app, services: [{protocol: icmpv6, type: 128, code: 0}]"
    reason = "`web` and `app` share no address family with icmpv6 128/0"
    assert told(site(), only_v6) == ([], {"e": reason})


def test_an_external_may_speak_with_some_networks_only() -> None:
    tiers = {
        "web": {"network": "a", "subnets": ["10.0.0.0/24"]},
        "app": {"network": "b", "subnets": ["10.1.0.0/24"]},
    }
    deployment = site(
        cloud=None,
        networks={"a": {"cloud": "aws"}, "b": {"cloud": "aws"}},
        tiers=tiers,
        external={"user": {"addresses": ["192.0.2.0/24"], "networks": ["b"]}},
    )
    entry = "id: e, source: user, destination: [web, app], services: [{protocol: tcp, ports: [80]}]"
    assert told(deployment, entry)[0] == ["user to app: tcp 80"]


def test_an_external_of_other_networks_is_no_destination_either() -> None:
    deployment = site(
        cloud=None,
        networks={"a": {"cloud": "aws"}, "b": {"cloud": "aws"}},
        tiers={"web": {"network": "a", "subnets": ["10.0.0.0/24"]}},
        external={"app": {"addresses": ["192.0.2.0/24"], "networks": ["b"]}},
    )
    assert told(deployment, WEB_APP) == (
        [],
        {"web-app": "`web` and `app` are in networks that do not communicate"},
    )


def test_icmp_needs_its_family_at_both_ends() -> None:
    services = "[{protocol: icmp, type: 8, code: 0}, {protocol: icmpv6, type: 128, code: 0}]"
    entry = f"id: e, source: web, destination: app, services: {services}"
    tiers = {"web": ["10.0.0.0/24", "2001:db8::/64"], "app": ["10.0.1.0/24"]}
    assert told(site(tiers=tiers), entry)[0] == ["web to app: icmp 8/0"]


def test_an_external_without_addresses_may_have_both_families() -> None:
    entry = "id: e, source: user, destination: web, services: [{protocol: icmpv6, type: 128, code: 0}]"
    external = {"user": {"security-group": "sg-12345678"}}
    deployment = site(tiers={"web": ["2001:db8::/64"]}, external=external)
    assert told(deployment, entry) == (["user to web: icmpv6 128/0"], {})


def test_what_is_not_enforced_says_why() -> None:
    entries = (
        "id: e, source: web, destination: web, treatment: loopback, reason: stays on the host",
        "id: f, source: web, destination: app, treatment: duplicate, duplicate-of: web-app",
        WEB_APP,
    )
    flows, reasons = told(site(exclude=[{"entry": "web-app", "reason": "not used"}]), *entries)
    assert flows == []
    assert reasons == {
        "e": "loopback: stays on the host",
        "f": "duplicate of `web-app`",
        "web-app": "excluded by the deployment: not used",
    }


def test_a_custom_flow_names_tiers_externals_and_roles() -> None:
    flow = {
        "source": ["user", "web"],
        "destination": "one",
        "services": {"protocol": "tcp", "ports": [9182]},
        "reason": "metrics",
    }
    tiers = {
        "one": {"roles": ["app"], "subnets": ["10.0.1.0/24"]},
        "two": {"roles": "web", "subnets": "10.0.2.0/24"},
    }
    deployment = site(tiers=tiers, external={"user": "192.0.2.0/24"}, flows={"metrics": flow})
    assert told(deployment)[0] == ["two to one: tcp 9182", "user to one: tcp 9182"]
    cause = resolve(deployment, catalog()).flows[0].cause
    assert (cause.id, cause.purpose) == ("flow:metrics", "metrics")


def test_a_custom_flow_has_all_its_services() -> None:
    services = [{"protocol": "tcp", "ports": [1]}, {"protocol": "udp", "ports": [2]}]
    flow = {"source": "web", "destination": "app", "services": services, "reason": "r"}
    assert told(site(flows={"f": flow}))[0] == ["web to app: tcp 1, udp 2"]


def test_a_custom_flow_without_ends_is_reported() -> None:
    services = [{"protocol": "tcp", "ports": 1}]
    flow = {"source": "db", "destination": "web", "services": services, "reason": "r"}
    assert told(site(flows={"f": flow}))[1] == {"flow:f": "no tier or external provides role `db`"}


def test_a_custom_flow_tells_of_each_role_that_nobody_has() -> None:
    services = [{"protocol": "tcp", "ports": 1}]
    flow = {"source": ["db", "app"], "destination": "web", "services": services, "reason": "r"}
    flows, reasons = told(site(flows={"f": flow}))
    assert flows == ["app to web: tcp 1"]
    assert reasons == {"flow:f": "no tier or external provides role `db`"}


def test_what_nobody_has_seen_says_so_in_the_rule() -> None:
    unverified, seen = (
        resolve(site(), catalog(f"{WEB_APP}, evidence: {e}")).flows for e in ("unverified", "seen")
    )
    assert [flow.cause.purpose for flow in (*unverified, *seen)] == ["x (unverified)", "x"]


def test_the_roles_of_a_named_destination_are_those_that_a_wildcard_stands_for() -> None:
    entry = (
        "id: e, source: any, destination: db, names: [a.example], treatment: name, reason: by name, "
        "services: [{protocol: tcp, ports: [443]}]"
    )
    tiers = {"one": {"roles": ["relay", "web"], "subnets": ["10.0.0.0/24"]}, "app": ["10.0.1.0/24"]}
    named = resolve(site(tiers=tiers), catalog(entry)).named
    assert [(item.source, item.roles) for item in named] == [("app", ("app",)), ("one", ("web",))]


def test_duplicates_lend_their_citations() -> None:
    again = f"{WEB_APP.replace('web-app', 'again')}, treatment: duplicate, duplicate-of: web-app"
    (flow,) = resolve(site(), catalog(WEB_APP, again)).flows
    assert flow.cause.citations == ("paper, S L1", "paper, S L2")


def test_duplicates_on_bad_evidence_lend_no_citation() -> None:
    again = f"{WEB_APP.replace('web-app', 'again')}, treatment: duplicate, duplicate-of: web-app"
    (flow,) = resolve(site(), catalog(WEB_APP, f"{again}, evidence: unverified")).flows
    assert flow.cause.citations == ("paper, S L1",)


def test_a_duplicate_of_a_duplicate_is_refused() -> None:
    again = f"{WEB_APP.replace('web-app', 'again')}, treatment: duplicate, duplicate-of: web-app"
    third = f"{WEB_APP.replace('web-app', 'third')}, treatment: duplicate, duplicate-of: again"
    with pytest.raises(InputError, match="`again` is not an entry that can be duplicated"):
        catalog(WEB_APP, again, third)


def test_a_subnet_within_an_earlier_one_is_found_past_those_beside_it() -> None:
    with pytest.raises(InputError, match=r"`10\.2\.0\.0/16` overlaps `10\.0\.0\.0/8` of tier `web`"):
        site(cloud="azure", tiers={"web": ["10.0.0.0/8", "10.1.0.0/16"], "app": ["10.2.0.0/16"]})


@pytest.mark.parametrize(
    ("cidrs", "peers"), [("exact", ["192.0.2.0/24"]), ("stable", ["192.0.2.0/25", "192.0.2.128/25"])]
)
def test_prefixes_stay_as_declared_where_the_site_says_so(cidrs: str, peers: list[str]) -> None:
    entry = "id: e, source: user, destination: web, services: [{protocol: tcp, ports: [80]}]"
    deployment = site(cidrs=cidrs, external={"user": ["192.0.2.0/25", "192.0.2.128/25"]})
    compiled = compile_deployment(deployment, catalog(entry))
    assert [str(rule.peer) for rule in compiled.policy.group("web").rules] == peers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"tiers": {"webb": ["10.0.0.0/24"]}},
            "tiers.webb.roles[0]: unknown role `webb` (help: did you mean `web`?)",
        ),
        (
            {"external": {"any": ["10.0.0.0/24"]}},
            "external.any.roles[0]: role `any` is a wildcard and cannot be placed "
            "(help: use one of `web`, `app`)",
        ),
        (
            {"features": {"fasst": True}},
            "features.fasst: unknown feature `fasst` (help: did you mean `fast`?)",
        ),
        (
            {"features": {"turbo": True, "fast": False}},
            "features.turbo: feature `turbo` needs `fast`, which is off",
        ),
        (
            {"features": {"slow": True}},
            "features.slow: features `slow` and `fast` cannot be on together "
            "(help: turn one off, for example `fast: false`)",
        ),
        (
            {"parameters": {"app-prt": 1}},
            "parameters.app-prt: unknown parameter `app-prt` (help: did you mean `app-port`?)",
        ),
        (
            {"exclude": [{"entry": "web-ap", "reason": "r"}]},
            "exclude[0].entry: unknown entry `web-ap` (help: did you mean `web-app`?)",
        ),
    ],
)
def test_words_that_the_catalogue_lacks_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        told(site(**settings), WEB_APP)
    assert str(caught.value).startswith(message)


# What the flows become in the groups, before any rule is merged


def rules(deployment: Deployment, *entries: str) -> list[str]:
    """Every rule as text: its group, direction, peer and service."""
    policy = spell_out(deployment, resolve(deployment, catalog(*entries)))
    return [
        f"{group.tier} {rule.direction} {type(rule.peer).__name__} {rule.peer}: {rule.service}"
        for group in policy.groups
        for rule in group.rules
    ]


SELF = "id: self, source: app, destination: app, services: [{protocol: tcp, ports: [89]}]"


def test_a_flow_leaves_its_source_and_enters_its_destination() -> None:
    assert rules(site(), WEB_APP) == [
        "app ingress GroupReference web: tcp 443",
        "web egress GroupReference app: tcp 443",
    ]


def test_the_machines_of_a_tier_reach_each_other() -> None:
    assert rules(site(), SELF) == [
        "app ingress GroupReference app: tcp 89",
        "app egress GroupReference app: tcp 89",
    ]
    assert rules(site(peers="cidr"), SELF) == [
        "app ingress Prefix 10.0.1.0/24: tcp 89",
        "app egress Prefix 10.0.1.0/24: tcp 89",
    ]


def test_peers_may_be_named_by_their_prefixes() -> None:
    expected = ["app ingress Prefix 10.0.0.0/24: tcp 443", "web egress Prefix 10.0.1.0/24: tcp 443"]
    assert rules(site(peers="cidr"), WEB_APP) == expected
    assert rules(site(cloud="azure"), WEB_APP) == expected


def test_a_tier_of_another_network_is_never_named_by_its_group() -> None:
    tiers = {
        "web": {"network": "a", "subnets": ["10.0.0.0/24"]},
        "app": {"network": "b", "subnets": ["10.1.0.0/24"]},
    }
    networks = {"a": {"cloud": "aws"}, "b": {"cloud": "aws"}}
    assert rules(site(cloud=None, networks=networks, tiers=tiers, peers="group"), WEB_APP) == [
        "app ingress Prefix 10.0.0.0/24: tcp 443",
        "web egress Prefix 10.1.0.0/24: tcp 443",
    ]


def test_a_group_names_only_prefixes_of_its_own_families() -> None:
    tiers = {"web": ["10.0.0.0/24", "2001:db8::/64"], "app": ["10.0.1.0/24"]}
    assert rules(site(tiers=tiers, peers="cidr"), WEB_APP) == [
        "app ingress Prefix 10.0.0.0/24: tcp 443",
        "web egress Prefix 10.0.1.0/24: tcp 443",
    ]


def test_a_prefix_has_the_icmp_of_its_family() -> None:
    services = "[{protocol: icmp, type: 8, code: 0}, {protocol: icmpv6, type: 128, code: 0}]"
    entry = f"id: e, source: user, destination: web, services: {services}"
    deployment = site(
        tiers={"web": ["10.0.0.0/24", "2001:db8::/64"]},
        external={"user": ["192.0.2.0/24", "198.51.100.0/24", "2001:db8:1::/64"]},
    )
    assert sorted(rules(deployment, entry)) == [
        "web ingress Prefix 192.0.2.0/24: icmp 8/0",
        "web ingress Prefix 198.51.100.0/24: icmp 8/0",
        "web ingress Prefix 2001:db8:1::/64: icmpv6 128/0",
    ]


def test_open_egress_opens_every_tier_in_both_families_and_says_nothing_else() -> None:
    ways = ["Prefix 0.0.0.0/0: all protocols", "Prefix ::/0: all protocols"]
    assert rules(site(egress="open"), WEB_APP) == [
        "app ingress GroupReference web: tcp 443",
        *(f"app egress {way}" for way in ways),
        *(f"web egress {way}" for way in ways),
    ]


PING = "services: [{protocol: icmp, type: 8, code: 0}, {protocol: icmpv6, type: 128, code: 0}]"


def test_every_port_that_a_balancer_probes_is_open() -> None:
    def probed(*ports: Any) -> list[str]:
        web = {"subnets": ["10.0.0.0/24", "2001:db8::/64"], "behind": {"probes": list(ports)}}
        tiers = {"web": web, "app": ["10.0.1.0/24"]}
        return [line for line in rules(site(cloud="azure", tiers=tiers), WEB_APP) if "Balancer" in line]

    way = "web ingress ServiceTag AzureLoadBalancer"
    assert probed(80) == [f"{way}: tcp 80"]
    assert probed(8443, 80) == [f"{way}: tcp 80", f"{way}: tcp 8443"]
    assert probed(81, "8000-8010", 80) == [f"{way}: tcp 80-81", f"{way}: tcp 8000-8010"]


def test_each_tier_has_its_own_probes() -> None:
    tiers = {
        "web": {"subnets": ["10.0.0.0/24"], "behind": {"probes": 80}},
        "app": {"subnets": ["10.0.1.0/24"], "behind": {"probes": 81}},
    }
    assert rules(site(cloud="azure", tiers=tiers)) == [
        "app ingress ServiceTag AzureLoadBalancer: tcp 81",
        "web ingress ServiceTag AzureLoadBalancer: tcp 80",
    ]
    probe = spell_out(deployment := site(cloud="azure", tiers=tiers), resolve(deployment, catalog()))
    (cause,) = probe.group("web").rules[0].causes
    assert (cause.id, cause.kind) == ("load-balancer-probes", "setting")


@pytest.mark.parametrize(
    ("cloud", "external", "peer"),
    [
        ("aws", ["192.0.2.0/24"], ["Prefix 192.0.2.0/24"]),
        ("aws", ["192.0.2.0/24", "2001:db8::/32"], ["Prefix 192.0.2.0/24", "Prefix 2001:db8::/32"]),
        ("aws", {"prefix-list": {"id": "pl-0a1b2c3d", "max-entries": 4}}, ["PrefixList pl-0a1b2c3d"]),
        ("aws", {"security-group": "sg-0a1b2c3d"}, ["ExistingGroup sg-0a1b2c3d"]),
        ("azure", {"service-tag": "Storage.WestEurope"}, ["ServiceTag Storage.WestEurope"]),
    ],
)
@pytest.mark.parametrize("way", ["egress", "ingress"])
def test_an_external_is_named_in_its_own_way_in_both_directions(
    way: str, cloud: str, external: Any, peer: list[str]
) -> None:
    ends = "source: user, destination: web" if way == "ingress" else "source: web, destination: user"
    entry = f"id: e, {ends}, services: [{{protocol: tcp, ports: [80]}}]"
    tiers = {"web": ["10.0.0.0/24", "2001:db8:1::/64"]}
    deployment = site(cloud=cloud, tiers=tiers, external={"user": external})
    assert rules(deployment, entry) == [f"web {way} {one}: tcp 80" for one in peer]


def test_a_peer_of_both_families_has_the_ping_of_each() -> None:
    tiers = {"web": ["10.0.0.0/24", "2001:db8::/64"], "app": ["10.0.1.0/24", "2001:db8:1::/64"]}
    entry = f"id: e, source: web, destination: app, {PING}"
    assert rules(site(tiers=tiers, peers="cidr"), entry) == [
        "app ingress Prefix 10.0.0.0/24: icmp 8/0",
        "app ingress Prefix 2001:db8::/64: icmpv6 128/0",
        "web egress Prefix 10.0.1.0/24: icmp 8/0",
        "web egress Prefix 2001:db8:1::/64: icmpv6 128/0",
    ]


BY_NAME = (
    "id: n, source: web, destination: db, names: [a.example], treatment: name, reason: by name, "
    "services: [{protocol: tcp, ports: [443]}, {protocol: udp, ports: [443]}]"
)


def test_a_tier_opens_to_names_where_it_says_so_and_egress_is_restricted() -> None:
    tiers = {"web": {"subnets": ["10.0.0.0/24"], "names": "open"}, "app": ["10.0.1.0/24"]}
    everywhere = ["Prefix 0.0.0.0/0", "Prefix ::/0"]
    assert rules(site(tiers=tiers), BY_NAME) == [
        *(f"web egress {one}: tcp 443" for one in everywhere),
        *(f"web egress {one}: udp 443" for one in everywhere),
    ]
    assert rules(site(), BY_NAME) == []
    opened = rules(site(tiers=tiers, egress="open"), BY_NAME)
    assert opened == [f"{tier} egress {one}: all protocols" for tier in ("app", "web") for one in everywhere]


def test_an_exclusion_takes_a_destination_known_by_name_away_too() -> None:
    deployment = site(exclude=[{"entry": "n", "reason": "not used"}])
    resolution = resolve(deployment, catalog(BY_NAME))
    assert resolution.named == ()
    assert [str(omission) for omission in resolution.omissions] == ["excluded by the deployment: not used"]


def test_causes_name_the_line_that_asks_for_them() -> None:
    text = """\
name: site
cloud: azure
tiers:
  web: {subnets: [10.0.0.0/24], behind: {probes: 80}}
  app:
    subnets: [10.0.1.0/24]
    behind: {probes: [81]}
flows:
  metrics: {source: web, destination: app, services: {protocol: tcp, ports: 1}, reason: Metrics}
egress: open
"""
    deployment = Deployment.from_document(document.parse(text.encode(), "site.yaml"))
    policy = spell_out(deployment, resolve(deployment, catalog(WEB_APP)))
    lines = {
        (group.tier, str(rule.service), cause.id): cause.mark and cause.mark.line
        for group in policy.groups
        for rule in group.rules
        for cause in rule.causes
    }
    assert lines == {
        ("web", "tcp 80", "load-balancer-probes"): 4,
        ("app", "tcp 81", "load-balancer-probes"): 7,
        ("app", "tcp 1", "flow:metrics"): 9,
        ("app", "tcp 443", "web-app"): None,
        ("app", "all protocols", "egress-open"): 10,
        ("web", "all protocols", "egress-open"): 10,
    }
