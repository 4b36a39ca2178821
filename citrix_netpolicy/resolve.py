"""Catalogue x deployment -> flows, and every entry that gave none, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import count, product
from typing import TYPE_CHECKING

from citrix_netpolicy import limits
from citrix_netpolicy.errors import InputError, Problem, in_order, nearest
from citrix_netpolicy.inputs.base import FIRST_EDITION
from citrix_netpolicy.net import BITS, EMPTY, Protocol, ServiceSet
from citrix_netpolicy.omissions import (
    Excluded,
    FeatureOff,
    Needless,
    NewerEdition,
    NoCommonFamily,
    ParameterUnset,
    RoleMissing,
    Treated,
    omission_order,
)
from citrix_netpolicy.policy import Cause

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from citrix_netpolicy.errors import DataPath
    from citrix_netpolicy.inputs.catalog import Catalog, CatalogService, Entry
    from citrix_netpolicy.inputs.deployment import Deployment, Tier
    from citrix_netpolicy.omissions import Omission

__all__ = ["Flow", "NamedDestination", "Resolution", "feature_states", "resolve"]


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection that `source` opens to `destination`; both are names of tiers or externals."""

    source: str
    destination: str
    services: ServiceSet
    cause: Cause


@dataclass(frozen=True, slots=True)
class NamedDestination:
    """What `source`, a tier or external in these roles, reaches by DNS name.

    `names` may be empty: the document then says that there is such a destination, but not its name.
    """

    source: str
    roles: tuple[str, ...]
    names: tuple[str, ...]
    services: ServiceSet
    cause: Cause


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a catalogue means for a deployment."""

    flows: tuple[Flow, ...]
    named: tuple[NamedDestination, ...]
    omissions: tuple[Omission, ...]


def resolve(deployment: Deployment, catalog: Catalog) -> Resolution:
    """Return the flows that `deployment` needs, and the entries that gave none.

    Raises InputError when the deployment uses a role, feature, parameter or entry that `catalog` lacks.
    """
    return _Resolver(deployment, catalog).resolution()


class _Resolver:
    """One deployment held against one catalogue."""

    def __init__(self, deployment: Deployment, catalog: Catalog) -> None:
        self.deployment = deployment
        self.catalog = catalog
        self.flows: list[Flow] = []
        self.named: list[NamedDestination] = []
        self.omissions: dict[Omission, None] = {}
        self.pairs = 0  # of ends, looked at so far

    def resolution(self) -> Resolution:
        problems = list(_vocabulary_problems(self.deployment, self.catalog))
        if problems:
            raise InputError(in_order(problems))
        excluded = {exclusion.entry: exclusion.reason for exclusion in self.deployment.exclude}
        for entry in self.catalog.entries:
            if not self.deployment.has_edition(entry.since):
                self._omit(NewerEdition(entry.id, entry.since))
            elif entry.treatment not in ("enforce", "name"):
                self._omit(_treated(entry))
            elif entry.id in excluded:
                self._omit(Excluded(entry.id, excluded[entry.id]))
            else:
                self._resolve_entry(entry)
        for name in sorted(self.deployment.flows):
            self._resolve_custom_flow(name)
        return Resolution(
            tuple(self.flows), tuple(self.named), tuple(sorted(self.omissions, key=omission_order))
        )

    @cached_property
    def features(self) -> dict[str, bool]:
        return feature_states(self.deployment, self.catalog)

    @cached_property
    def families(self) -> dict[str, frozenset[int]]:
        """The address families of each tier and external; one without addresses may have both."""
        tiers = ((name, tier.subnets) for name, tier in self.deployment.tiers.items())
        externals = ((name, external.addresses or ()) for name, external in self.deployment.external.items())
        return {
            name: frozenset(prefix.version for prefix in prefixes) or frozenset(BITS)
            for name, prefixes in (*tiers, *externals)
        }

    @cached_property
    def holders(self) -> dict[str, tuple[str, ...]]:
        """The tiers and externals that have each role."""
        holders: dict[str, list[str]] = {}
        for name, end in self.deployment.ends.items():
            for role in dict.fromkeys(end.roles):
                holders.setdefault(role, []).append(name)
        return {role: tuple(sorted(names)) for role, names in holders.items()}

    def _omit(self, *omissions: Omission) -> None:
        self.omissions |= dict.fromkeys(omissions)

    def _resolve_entry(self, entry: Entry) -> None:
        unmet = self._unmet(entry.id, entry.features)
        if unmet:
            self._omit(unmet)
            return
        services, omissions = self._services(entry)
        if not services:
            self._omit(*omissions)
            return
        if entry.treatment == "name":
            self._name_destinations(entry, services)
            return
        pairs: dict[tuple[str, str], None] = {}
        for roles_of_source, roles_of_destination in self._variants(entry):
            sources, destinations = self._ends(roles_of_source)[0], self._ends(roles_of_destination)[0]
            self._count(sources, destinations, f"entry `{entry.id}`")
            pairs |= dict.fromkeys(product(sources, destinations))
        if pairs:
            self._connect(pairs, services, self._cause(entry))
        else:
            self._leave_for_want_of_roles(entry)

    def _cause(self, entry: Entry) -> Cause:
        citations = tuple(str(citation) for citation in self.catalog.citations(entry))
        # Whoever reads the rule should know that nobody has seen it in a source.
        purpose = f"{entry.purpose} (unverified)" if entry.evidence == "unverified" else entry.purpose
        return Cause(entry.id, purpose, citations, entry.internet, evidence=entry.evidence)

    def _variants(self, entry: Entry) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Yield the roles at both ends of an entry: its own, and those with a stand-in in their place."""
        yield entry.source, entry.destination
        for name, role in self.catalog.roles.items() if entry.stand_in else ():
            part = role.stands_in_for
            if part and self.features[part.feature]:
                source, destination = (
                    tuple(name if one == part.role else one for one in end)
                    for end in (entry.source, entry.destination)
                )
                yield source, destination

    def _name_destinations(self, entry: Entry, services: ServiceSet) -> None:
        """Note what the holders of the source roles reach by name. A rule needs their tier's consent."""
        sources, nobody = self._ends(entry.source)
        if not sources:
            self._omit(RoleMissing(entry.id, tuple(nobody)))
            return
        wanted = {member for role in entry.source for member in self.catalog.members(role)}
        cause = self._cause(entry)
        for source in sources:
            roles = tuple(role for role in self.deployment.ends[source].roles if role in wanted)
            self.named.append(NamedDestination(source, roles, entry.names, services, cause))
            if not self.deployment.opens_to_names(source):
                self._omit(_treated(entry))

    def _leave_for_want_of_roles(self, entry: Entry) -> None:
        sources, no_source = self._ends(entry.source)
        destinations, no_destination = self._ends(entry.destination)
        lacking = [] if sources else [*no_source]
        lacking += [] if destinations else no_destination
        self._omit(RoleMissing(entry.id, tuple(dict.fromkeys(lacking)), bool(sources or destinations)))

    def _resolve_custom_flow(self, name: str) -> None:
        flow = self.deployment.flows[name]
        services = ServiceSet.union(spec.services() for spec in flow.services)
        cause = Cause(
            f"flow:{name}",
            flow.reason,
            (f"deployment {self.deployment.name}, flows.{name}",),
            kind="flow",
            mark=self.deployment.mark(("flows", name)),
        )
        sources, nobody = self._named_ends(flow.source)
        destinations, nobody_there = self._named_ends(flow.destination)
        for role in dict.fromkeys((*nobody, *nobody_there)):
            self._omit(RoleMissing(cause.id, (role,)))
        self._count(sources, destinations, f"flow `{name}`", ("flows", name))
        self._connect(product(sources, destinations), services, cause)

    def _count(self, sources: list[str], destinations: list[str], what: str, path: DataPath = ()) -> None:
        """Refuse what would take too long to work out, before it is."""
        self.pairs += len(sources) * len(destinations)
        if self.pairs > limits.CONNECTIONS:
            message = (
                f"the deployment connects more than {limits.CONNECTIONS:,} pairs of tiers and externals; "
                f"{what} alone has {len(sources):,} sources and {len(destinations):,} destinations"
            )
            hint = "describe parts of the site in deployments of their own"
            raise InputError(self.deployment.problem("too-many", path, message, hint))

    def _connect(self, pairs: Iterable[tuple[str, str]], services: ServiceSet, cause: Cause) -> None:
        """Add a flow for each pair of ends. A pair that can have none is reported.

        Pairs that need none, because the same entry connects others, are passed over.
        """
        found = False
        needless: list[Omission] = []
        for source, destination in pairs:
            omission = self._apart(source, destination, services, cause)
            if isinstance(omission, Needless):
                needless.append(omission)
            elif omission:
                self._omit(omission)
            else:
                usable = services.without_icmp_beside(self.families[source] & self.families[destination])
                self.flows.append(Flow(source, destination, usable, cause))
                found = True
        if not found:
            self._omit(*needless)

    def _apart(self, source: str, destination: str, services: ServiceSet, cause: Cause) -> Omission | None:
        """Tell why two ends do not meet for these services, or return None when they do.

        This is the one place that decides it.
        """
        tiers = self.deployment.tiers
        if source not in tiers and destination not in tiers:
            return Needless(cause.id, source, destination, "outside")
        if source == destination and _is_one_host(tiers[source]):
            return Needless(cause.id, source, destination, "one-host")
        for tier, peer in ((source, destination), (destination, source)):
            external = self.deployment.external.get(peer)
            if external and external.networks and self.deployment.network_of(tier) not in external.networks:
                return Needless(cause.id, source, destination, "other-network")
        families = self.families[source] & self.families[destination]
        if not families:
            return NoCommonFamily(cause.id, source, destination)
        if not services.without_icmp_beside(families):
            return NoCommonFamily(cause.id, source, destination, str(services))
        return None

    def _services(self, entry: Entry) -> tuple[ServiceSet, list[Omission]]:
        """Return the services of an entry in this deployment, and why the others are left out."""
        services = EMPTY
        omissions: list[Omission] = []
        for service in entry.services:
            omission = self._unmet(entry.id, service.features) or self._unset(entry.id, service)
            if omission:
                omissions.append(omission)
            else:
                moved = self.deployment.parameters.get(service.parameter or "")
                services |= service.services(moved)
        return services, omissions

    def _unmet(self, entry: str, features: Iterable[str]) -> FeatureOff | None:
        """Return which of the features does not hold, or nothing."""
        for name in features:
            wanted, feature = not name.startswith("!"), name.removeprefix("!")
            if self.features[feature] is not wanted:
                return FeatureOff(entry, feature, not wanted)
        return None

    def _unset(self, entry: str, service: CatalogService) -> ParameterUnset | None:
        if service.ports or service.protocol in (Protocol.ICMP, Protocol.ICMPV6):
            return None
        if service.parameter is None or service.parameter in self.deployment.parameters:
            return None
        return ParameterUnset(entry, service.parameter)

    def _ends(self, roles: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return the tiers and externals that have one of the roles, and the roles nobody has."""
        ends: dict[str, None] = {}
        nobody: list[str] = []
        for role in roles:
            found = [end for member in self.catalog.members(role) for end in self.holders.get(member, ())]
            ends |= dict.fromkeys(found)
            if not found:
                nobody.append(role)
        return sorted(ends), nobody

    def _named_ends(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return the ends of a custom flow, named or by role, and the roles nobody has."""
        ends: dict[str, None] = {}
        nobody: list[str] = []
        for name in names:
            found, lacking = ([name], []) if name in self.deployment.ends else self._ends([name])
            ends |= dict.fromkeys(found)
            nobody += lacking
        return sorted(ends), nobody


def feature_states(deployment: Deployment, catalog: Catalog) -> dict[str, bool]:
    """Return every feature of the catalogue, on or off in this site."""
    deployed = {role for end in deployment.ends.values() for role in end.roles}
    states = {}
    for name, feature in catalog.features.items():
        if not deployment.has_edition(feature.since):
            states[name] = False
            continue
        has_product = not feature.roles or not deployed.isdisjoint(feature.roles)
        states[name] = deployment.features.get(name, feature.default and has_product)
    return states


def _treated(entry: Entry) -> Treated:
    return Treated(entry.id, entry.treatment, entry.reason, entry.duplicate_of)


def _is_one_host(tier: Tier) -> bool:
    """Tell whether a tier is a single machine: at most one address in each family."""
    versions = [prefix.version for prefix in tier.subnets]
    return all(prefix.first == prefix.last for prefix in tier.subnets) and len(versions) == len(set(versions))


def _vocabulary_problems(deployment: Deployment, catalog: Catalog) -> Iterator[Problem]:
    """Find what the deployment names and the catalogue lacks."""
    told = count()

    def unknown(path: DataPath, kind: str, name: str, valid: Collection[str]) -> Iterator[Problem]:
        if name not in valid:
            word = kind.partition(",")[0].replace("tier", "end")
            hint = nearest(name, valid) if next(told) < limits.SHOWN else ""
            yield deployment.problem(f"unknown-{word}", path, f"unknown {kind} `{name}`", hint)

    placeable = {name for name, role in catalog.roles.items() if role.kind != "wildcard"}
    for name, end in deployment.ends.items():
        place = "tiers" if name in deployment.tiers else "external"
        for index, role in enumerate(end.roles):
            path = (place, name, "roles", index)
            if role in catalog.roles and role not in placeable:
                hint = "use one of " + ", ".join(f"`{member}`" for member in catalog.members(role))
                yield deployment.problem(
                    "wildcard-placed", path, f"role `{role}` is a wildcard and cannot be placed", hint
                )
            else:
                yield from unknown(path, "role", role, placeable)
    if deployment.edition is not None:
        yield from unknown(("edition",), "edition", deployment.edition, (FIRST_EDITION, *catalog.editions))
    for name in deployment.features:
        yield from unknown(("features", name), "feature", name, catalog.features)
        feature = catalog.features.get(name)
        if feature and not deployment.has_edition(feature.since):
            pinned = deployment.edition
            message = f"feature `{name}` was added in edition {feature.since}; the deployment uses {pinned}"
            hint = f"remove it, or set `edition: {feature.since}`"
            yield deployment.problem("newer-edition", ("features", name), message, hint)
    for name in deployment.parameters:
        yield from unknown(("parameters", name), "parameter", name, catalog.parameters)
    entries = {entry.id for entry in catalog.entries}
    for index, exclusion in enumerate(deployment.exclude):
        yield from unknown(("exclude", index, "entry"), "entry", exclusion.entry, entries)
    ends_and_roles = {*deployment.ends, *catalog.roles}
    for name, flow in deployment.flows.items():
        for key, names in (("source", flow.source), ("destination", flow.destination)):
            for index, word in enumerate(names):
                kind = "tier, external or role"
                yield from unknown(("flows", name, key, index), kind, word, ends_and_roles)
    yield from _feature_problems(deployment, catalog)


def _feature_problems(deployment: Deployment, catalog: Catalog) -> Iterator[Problem]:
    states = feature_states(deployment, catalog)
    told: set[frozenset[str]] = set()
    for name, feature in catalog.features.items():
        if not states[name]:
            continue
        for other in feature.requires:
            if not states[other]:
                chosen = name if name in deployment.features else other
                message = f"feature `{name}` needs `{other}`, which is off"
                yield deployment.problem(
                    "feature-needed", ("features", chosen), message, f"turn it on: `{other}: true`"
                )
        for other in feature.conflicts:
            if states[other] and frozenset((name, other)) not in told:
                told.add(frozenset((name, other)))
                chosen, default = (name, other) if name in deployment.features else (other, name)
                message = f"features `{chosen}` and `{default}` cannot be on together"
                hint = f"turn one off, for example `{default}: false`"
                yield deployment.problem("feature-conflict", ("features", chosen), message, hint)
