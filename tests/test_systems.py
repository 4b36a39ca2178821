"""Every system of the source document yields exactly the flows that the document demands.

What is expected is spelt out by hand in `systems/`; see there for the form of the tables.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from systems import Flows, Never, Site, flows_of, load_systems, parse_flows, shown

from citrix_netpolicy.inputs.catalog import Catalog, load_catalog
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.net import EMPTY, ServiceSet
from citrix_netpolicy.resolve import resolve

SYSTEMS = load_systems()
SITES = [site for system in SYSTEMS for site in system.sites]
NEVER = [never for system in SYSTEMS for never in system.never]
# A feature may also take flows away, so everything is turned on in more than one way.
ALL_BUT: tuple[tuple[str, ...], ...] = (
    ("wem-1909",),
    ("wem-1912", "tls-to-vda", "adc-secure-rpc", "rendezvous-v2", "rendezvous"),
    ("wem-1909", "tls-to-vda", "rendezvous-v2", "rendezvous"),
)


@cache
def everything(edition: str | None = "2026.11") -> tuple[Flows, ...]:
    """The flows of sites with every role and every feature of an edition, but for those that must be off."""
    catalog = load_catalog()
    known = [name for name, one in catalog.features.items() if edition is None or one.since <= edition]
    hosts = [name for name, role in catalog.roles.items() if role.kind == "host"]
    people = [name for name, role in catalog.roles.items() if role.kind == "outside"]
    settings: dict[str, Any] = {
        "name": "everything",
        "cloud": "aws",
        "edition": edition,
        "tiers": {role: [f"10.{n}.0.0/24"] for n, role in enumerate(hosts)},
        "external": {role: [f"172.{16 + n}.0.0/24"] for n, role in enumerate(people)},
        "parameters": {"storefront-peer-port": 9393, "fas-ca-port": 50135},
    }
    sites = (
        Deployment(features=dict.fromkeys(known, True) | dict.fromkeys(off, False), **settings)
        for off in ALL_BUT
    )
    return tuple(flows_of(site, catalog) for site in sites)


def test_all_eighteen_systems_have_a_table() -> None:
    assert len(SYSTEMS) >= 18
    assert len({system.name for system in SYSTEMS}) == len(SYSTEMS)
    assert len({str(site) for site in SITES}) == len(SITES), "the name of a site tells what it varies"


def test_every_expected_flow_cites_its_source() -> None:
    assert [line for system in SYSTEMS for line in system.uncited] == []


@pytest.mark.parametrize("site", SITES, ids=str)
def test_a_site_has_exactly_the_flows_of_the_document(site: Site) -> None:
    found = flows_of(site.deployment, Catalog.default())
    extra = {pair: services - site.flows.get(pair, services - services) for pair, services in found.items()}
    missing = {pair: services - found.get(pair, services - services) for pair, services in site.flows.items()}
    assert shown({pair: services for pair, services in missing.items() if services}) == [], "missing"
    assert shown({pair: services for pair, services in extra.items() if services}) == [], "extra"


# What the first edition opened as the document prints it, and what carries nothing.
SETTLED: Flows = parse_flows(
    """
    hypervisor-host -> syslog: tcp 514
    hypervisor-host -> ntp: tcp 123
    netscaler-mgmt -> ntp: tcp 123
    netscaler-snip -> ntp: tcp 123
    xenmobile-server -> ntp: tcp 123
    hypervisor-host -> file-server: udp 139, 445
    """
)


@pytest.mark.parametrize("site", [site for site in SITES if site.deployment.edition], ids=str)
def test_the_newest_edition_has_all_that_the_document_demands(site: Site) -> None:
    found = flows_of(site.deployment.replace(edition=None), Catalog.default())
    nothing: ServiceSet = EMPTY
    lost = {
        pair: services - found.get(pair, nothing) - SETTLED.get(pair, nothing)
        for pair, services in site.flows.items()
    }
    assert shown({pair: services for pair, services in lost.items() if services}) == []


@pytest.mark.parametrize("site", [site for site in SITES if site.names], ids=str)
def test_named_destinations_have_the_names_of_the_document(site: Site) -> None:
    catalog = Catalog.default()
    found: dict[str, frozenset[str]] = {}
    for item in resolve(site.deployment, catalog).named:
        for role in catalog.entry(item.cause.id).destination:
            found[role] = found.get(role, frozenset()) | set(item.names)
    # A change of a site may take a destination away, and then its flow too.
    reached = {role for _, arrow, role in site.flows if arrow == "=>"}
    assert found.keys() == reached
    assert {role: found[role] for role in site.names.keys() & reached} == {
        role: names for role, names in site.names.items() if role in reached
    }


def test_every_name_that_a_table_tells_is_reached_in_one_of_its_sites() -> None:
    told = {(site.system, role) for site in SITES for role in site.names}
    reached = {(site.system, role) for site in SITES for _, arrow, role in site.flows if arrow == "=>"}
    assert told
    assert told <= reached


# What the document lacks and later sources have.
LATER: Flows = parse_flows(
    """
    hypervisor-host -> syslog: udp 514
    hypervisor-host -> domain-controller: udp 389
    pvs -> pvs-target: udp 6901-6902, 6905
    netscaler-mgmt -> domain-controller: tcp 88; udp 88
    """
)


@pytest.mark.parametrize("never", NEVER, ids=lambda never: f"{never.system}, {never.line}")
def test_what_must_yield_nothing_yields_nothing_with_everything_on(never: Never) -> None:
    source, _, destination = never.pair
    allowed: dict[str | None, Flows] = {"2026.11": {}, None: LATER}
    for flows, later in ((flows, allowed[edition]) for edition in allowed for flows in everything(edition)):
        wrong = {
            pair: (services & never.services) - later.get(pair, EMPTY)
            for pair, services in flows.items()
            if pair[1] == "->" and source in ("*", pair[0]) and destination in ("*", pair[2])
        }
        assert shown({pair: services for pair, services in wrong.items() if services}) == []


def test_everything_on_is_a_great_deal() -> None:
    assert len(everything()) == len(ALL_BUT)
    assert all(len(flows) > 100 for flows in everything())


@pytest.mark.parametrize("text", ["a - b: tcp 1", "a -> b tcp 1", "a -> b: tpc 1", "a -> b: tcp x"])
def test_a_line_that_is_no_flow_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_flows(text)
