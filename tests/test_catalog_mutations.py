"""A wrong entry is noticed: every change to what the catalogue enforces breaks a table of `systems/`.

Each mutant is one plausible slip, such as a port that is off by one, swapped ends, or a condition that is
gone. It is caught when the flows of at least one site are no longer the expected ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from systems import Flows, Site, flows_of, load_systems

from citrix_netpolicy.errors import InputError
from citrix_netpolicy.inputs.catalog import Catalog, Entry, load_catalog
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.meeting import feature_states, features_of
from citrix_netpolicy.net import EMPTY
from citrix_netpolicy.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from citrix_netpolicy.inputs.catalog import CatalogService

pytestmark = pytest.mark.slow

CATALOG = load_catalog()
ENFORCED = [entry for entry in CATALOG.entries if entry.treatment in ("enforce", "name")]
LEFT_OUT = [
    entry
    for entry in CATALOG.entries
    if entry.treatment not in ("enforce", "name", "duplicate") and entry.services
]
# A destination that is known by name only yields no flow to compare.
DUPLICATES = [
    entry
    for entry in CATALOG.entries
    if entry.duplicate_of and CATALOG.entry(entry.duplicate_of).treatment == "enforce"
]
# Rows that say the same of the same roles, wholly or in part, so that one covers for a slip in another. Each
# is looked at as if the site had excluded the others.
TWINS: tuple[frozenset[str], ...] = (
    # These differ in their names, which the tables of the systems compare on their own.
    frozenset(
        {
            "cloud-connector-digicert-https",
            "cloud-connector-digicert-root",
            "cloud-connector-digicert-code-signing",
        }
    ),
    frozenset({"mobile-device-apns", "mobile-device-fcm"}),
    frozenset({"xenmobile-apns", "xenmobile-cloud-services"}),
    # The plug-in for Packer opens the appliance where administrators do.
    frozenset({"app-layering-console", "app-layering-packer-appliance"}),
    # Two documents speak of the time of an ADC.
    frozenset({"adc-ntp", "endpoint-management-gateway-ntp"}),
)


@dataclass(frozen=True)
class Mutant:
    """An entry with one slip in it."""

    slip: str
    entry: Entry


def mutants(entry: Entry) -> Iterator[Mutant]:
    """Yield an entry with each slip, but for those that mean the same by themselves."""
    for slip, changed in _end_slips(entry):
        yield Mutant(slip, entry.model_copy(update=changed))
    for name in entry.features:
        if not _implied(name, entry.features):
            left = tuple(other for other in entry.features if other != name)
            yield Mutant(f"without {name}", entry.model_copy(update={"features": left}))
    for index, service in enumerate(entry.services):
        for slip, others in _service_slips(entry, service):
            services = (*entry.services[:index], *others, *entry.services[index + 1 :])
            yield Mutant(f"{_told(service)} {slip}", entry.model_copy(update={"services": services}))
    if entry.treatment == "enforce" and not entry.stand_in and _has_stand_in(entry):
        yield Mutant("stand-in", entry.model_copy(update={"stand_in": True}))
    if entry.stand_in:
        yield Mutant("no stand-in", entry.model_copy(update={"stand_in": False}))


def _end_slips(entry: Entry) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if set(entry.source) != set(entry.destination) and entry.treatment == "enforce":
        yield "swapped ends", {"source": entry.destination, "destination": entry.source}
    for key, roles in (("source", entry.source), ("destination", entry.destination)):
        for role in roles:
            rest = tuple(other for other in roles if other != role)
            yield f"{_next(role, entry)} as {key} in place of {role}", {key: (_next(role, entry), *rest)}
            if rest:
                yield f"without {key} {role}", {key: rest}


def _next(role: str, entry: Entry) -> str:
    """Return the next role of the catalogue that is no end of `entry`."""
    names = [name for name, other in CATALOG.roles.items() if other.kind != "wildcard" or name == role]
    ends = {*entry.source, *entry.destination}
    start = names.index(role)
    return next(name for name in (*names[start:], *names) if name not in ends)


def _service_slips(entry: Entry, service: CatalogService) -> Iterator[tuple[str, list[CatalogService]]]:
    yield "dropped", []
    if service.protocol in ("tcp", "udp"):
        other = "udp" if service.protocol == "tcp" else "tcp"
        yield f"as {other}", [service.model_copy(update={"protocol": other})]
    else:
        yield "as every type", [service.model_copy(update={"type_": None, "code": None})]
    for index, (first, last) in enumerate(service.ports):
        slips = [(first + 1, min(last + 1, 65535))]
        if first < last:
            slips += [(first + 1, last), (first, last - 1)]
        for slip in slips:
            ports = (*service.ports[:index], slip, *service.ports[index + 1 :])
            yield f"on {slip[0]}-{slip[1]}", [service.model_copy(update={"ports": ports})]
        if len(service.ports) > 1:
            ports = service.ports[:index] + service.ports[index + 1 :]
            yield f"without {first}-{last}", [service.model_copy(update={"ports": ports})]
    for name in service.features:
        if not _implied(name, (*entry.features, *service.features)):
            left = tuple(other for other in service.features if other != name)
            yield f"without {name}", [service.model_copy(update={"features": left})]
    if service.parameter and service.ports:
        yield f"without {service.parameter}", [service.model_copy(update={"parameter": None})]


def _implied(name: str, features: tuple[str, ...]) -> bool:
    """Tell whether a condition holds in any case where the others do, because they require it."""
    waiting = [other for other in features if other != name]
    seen: set[str] = set()
    while waiting:
        feature = CATALOG.features.get(waiting.pop())
        new = set(feature.requires) - seen if feature else set()
        seen |= new
        waiting += new
    return name in seen


def _has_stand_in(entry: Entry) -> bool:
    replaced = {role.stands_in_for.role for role in CATALOG.roles.values() if role.stands_in_for}
    return bool(replaced & {*entry.source, *entry.destination})


def _told(service: CatalogService) -> str:
    return f"{service.protocol} {','.join(f'{first}-{last}' for first, last in service.ports)}"


# A site, and what each entry yields for it.
Part = tuple[Site, dict[str, Flows]]


@cache
def parts() -> tuple[Part, ...]:
    """Every site with the flows that each entry yields for it."""
    return tuple((site, _parts(site)) for system in load_systems() for site in system.sites)


def _parts(site: Site) -> dict[str, Flows]:
    found: dict[str, Flows] = {}
    resolution = resolve(site.deployment, CATALOG)
    for flow in resolution.flows:
        mine = found.setdefault(flow.cause.id, {})
        pair = (flow.source, "->", flow.destination)
        mine[pair] = mine.get(pair, EMPTY) | flow.services
    for item in resolution.named:
        mine = found.setdefault(item.cause.id, {})
        for role in CATALOG.entry(item.cause.id).destination:
            pair = (item.source, "=>", role)
            mine[pair] = mine.get(pair, EMPTY) | item.services
    return found


def _roles(entry: Entry, roles: tuple[str, ...]) -> set[str]:
    named = {member for role in roles for member in CATALOG.members(role)}
    return named | {name for name, role in CATALOG.roles.items() if role.stands_in_for and entry.stand_in}


def caught(mutant: Mutant, original: Entry) -> bool:
    """Tell whether some site has other flows with the mutant than its table says."""
    catalog = CATALOG.model_copy(update={"entries": (mutant.entry,)})
    twins = next((twins for twins in TWINS if original.id in twins), frozenset({original.id}))
    sources = _roles(mutant.entry, mutant.entry.source) | _roles(original, original.source)
    destinations = _roles(mutant.entry, mutant.entry.destination) | _roles(original, original.destination)
    named = mutant.entry.treatment == "name"
    likely, others = _sites_of(original.id)
    for site, by_entry in (*likely, *others):
        if sources.isdisjoint(site.roles) or not (named or not destinations.isdisjoint(site.roles)):
            continue
        mine = flows_of(site.deployment, catalog)
        before = by_entry.get(original.id, {})
        # `test_systems` sees to it that what all entries yield together is what the table says.
        if mine != before and _together(by_entry, twins, mine) != _together(by_entry, twins, before):
            return True
    return False


@cache
def _sites_of(entry: str) -> tuple[list[Part], list[Part]]:
    """Return the sites where an entry yields something, and the others."""
    return [one for one in parts() if entry in one[1]], [one for one in parts() if entry not in one[1]]


def _together(by_entry: Mapping[str, Flows], without: frozenset[str], mine: Flows) -> Flows:
    flows = dict(mine)
    for id_, part in by_entry.items():
        if id_ not in without:
            for pair, services in part.items():
                flows[pair] = flows.get(pair, EMPTY) | services
    return flows


@pytest.mark.parametrize("entry", ENFORCED, ids=lambda entry: entry.id)
def test_every_slip_in_an_entry_is_caught(entry: Entry) -> None:
    found = list(mutants(entry))
    survivors = [mutant.slip for mutant in found if not caught(mutant, entry)]
    assert found
    assert survivors == []


@pytest.mark.parametrize("entry", LEFT_OUT, ids=lambda entry: entry.id)
def test_a_rule_for_what_yields_none_on_purpose_is_caught(entry: Entry) -> None:
    named = all(CATALOG.roles[role].kind == "name" for role in entry.destination)
    enforced = entry.model_copy(update={"treatment": "name" if named else "enforce"})
    assert caught(Mutant("enforced", enforced), entry) or _is_forbidden(enforced)


def _is_forbidden(entry: Entry) -> bool:
    """Tell whether a table says that what an entry yields must never be."""
    catalog = CATALOG.model_copy(update={"entries": (entry,)})
    features = dict.fromkeys(CATALOG.features, True) | {"wem-1909": False}
    tiers = {role: [f"10.0.{n}.0/24"] for n, role in enumerate((*entry.source, *entry.destination))}
    deployment = Deployment(name="site", cloud="aws", tiers=tiers, features=features)
    return any(
        services & never.services
        for (source, _, destination), services in flows_of(deployment, catalog).items()
        for system in load_systems()
        for never in system.never
        if never.pair[0] in ("*", source) and never.pair[2] in ("*", destination)
    )


@pytest.mark.parametrize("entry", DUPLICATES, ids=lambda entry: entry.id)
def test_a_duplicate_says_nothing_that_the_original_does_not(entry: Entry) -> None:
    enforced = entry.model_copy(update={"treatment": "enforce", "features": ()})
    catalog = CATALOG.model_copy(update={"entries": (enforced,)})
    compared = False
    for site, by_entry in _sites_of(entry.duplicate_of or "")[0]:
        for pair, services in flows_of(site.deployment, catalog).items():
            assert services <= by_entry[entry.duplicate_of or ""].get(pair, EMPTY), (str(site), pair)
            compared = True
    assert compared


# One that decides of entries without rules alone, such as those of a broadcast, shows nowhere.
DECIDING = sorted(
    {
        name
        for entry in CATALOG.entries
        if entry.treatment in ("enforce", "name")
        for name in features_of(entry)
    }
)


def test_nearly_every_feature_decides_something() -> None:
    assert set(CATALOG.features) - set(DECIDING) == {"pvs-pxe"}


@pytest.mark.parametrize("name", DECIDING)
def test_another_default_of_a_feature_is_caught(name: str) -> None:
    feature = CATALOG.features[name]
    other = feature.model_copy(update={"default": not feature.default})
    mutant = CATALOG.model_copy(update={"features": {**CATALOG.features, name: other}})
    assert any(_differs(site, mutant, name) for site, _ in parts())


def _differs(site: Site, catalog: Catalog, name: str) -> bool:
    """Tell whether another default of one feature shows in a site."""
    if name in site.deployment.features:
        return False
    if feature_states(site.deployment, catalog)[name] == feature_states(site.deployment, CATALOG)[name]:
        return False
    return _flows_or_refusal(site, catalog) != site.flows


def _flows_or_refusal(site: Site, catalog: Catalog) -> Flows | None:
    try:
        return flows_of(site.deployment, catalog)
    except InputError:
        return None
