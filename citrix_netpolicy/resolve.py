"""Catalogue x deployment -> flows, and every entry that gave none, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

from citrix_netpolicy.errors import InputError, Problem, in_order, nearest
from citrix_netpolicy.net import EMPTY, Protocol, ServiceSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from citrix_netpolicy.errors import DataPath
    from citrix_netpolicy.inputs.catalog import Catalog, CatalogService, Entry
    from citrix_netpolicy.inputs.deployment import Deployment, Tier

__all__ = ["Cause", "Flow", "NamedDestination", "Resolution", "Unenforced", "resolve"]


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """Why a flow is permitted: a catalogue entry, or a flow of the site's own."""

    id: str
    purpose: str
    citations: tuple[str, ...]
    internet: bool = False


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


@dataclass(frozen=True, slots=True, order=True)
class Unenforced:
    """An entry, or one pair of its ends, that gave no flow, and why.

    `missing` are the roles the site lacks, where that is the reason and the other end is there.
    """

    entry: str
    reason: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a catalogue means for a deployment."""

    flows: tuple[Flow, ...]
    named: tuple[NamedDestination, ...]
    unenforced: tuple[Unenforced, ...]


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
        self.unenforced: list[Unenforced] = []

    def resolution(self) -> Resolution:
        problems = list(_vocabulary_problems(self.deployment, self.catalog))
        if problems:
            raise InputError(in_order(problems))
        excluded = {exclusion.entry: exclusion.reason for exclusion in self.deployment.exclude}
        for entry in self.catalog.entries:
            if entry.treatment not in ("enforce", "name"):
                self._leave(entry.id, _treatment(entry))
            elif entry.id in excluded:
                self._leave(entry.id, f"excluded by the site: {excluded[entry.id]}")
            else:
                self._resolve_entry(entry)
        for name in sorted(self.deployment.flows):
            self._resolve_custom_flow(name)
        return Resolution(tuple(self.flows), tuple(self.named), tuple(sorted(set(self.unenforced))))

    @cached_property
    def features(self) -> dict[str, bool]:
        return feature_states(self.deployment, self.catalog)

    @cached_property
    def holders(self) -> dict[str, tuple[str, ...]]:
        """The tiers and externals that have each role."""
        holders: dict[str, list[str]] = {}
        for name, end in self.deployment.ends.items():
            for role in dict.fromkeys(end.roles):
                holders.setdefault(role, []).append(name)
        return {role: tuple(sorted(names)) for role, names in holders.items()}

    def _leave(self, entry: str, reason: str, missing: Iterable[str] = ()) -> None:
        self.unenforced.append(Unenforced(entry, reason, tuple(sorted(missing))))

    def _resolve_entry(self, entry: Entry) -> None:
        wanting = self._unmet(entry.features)
        if wanting:
            self._leave(entry.id, wanting)
            return
        services, reason = self._services(entry)
        if not services:
            self._leave(entry.id, reason)
            return
        citations = tuple(str(citation) for citation in self.catalog.citations(entry))
        # Whoever reads the rule should know that nobody has seen it in a source.
        purpose = f"{entry.purpose} (unverified)" if entry.evidence == "unverified" else entry.purpose
        cause = Cause(entry.id, purpose, citations, entry.internet)
        if entry.treatment == "name":
            self._name_destinations(entry, services, cause)
            return
        pairs: dict[tuple[str, str], None] = {}
        for source, destination in self._variants(entry):
            pairs |= dict.fromkeys(product(self._ends(source)[0], self._ends(destination)[0]))
        if pairs:
            self._connect(pairs, services, cause)
        else:
            self._leave_for_want_of_roles(entry)

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

    def _name_destinations(self, entry: Entry, services: ServiceSet, cause: Cause) -> None:
        """Note what the holders of the source roles reach by name. A rule needs their tier's consent."""
        sources, nobody = self._ends(entry.source)
        if not sources:
            names = " or ".join(f"`{role}`" for role in nobody)
            self._leave(entry.id, f"no tier or external has the role {names}")
            return
        wanted = {member for role in entry.source for member in self.catalog.members(role)}
        for source in sources:
            roles = tuple(role for role in self.deployment.ends[source].roles if role in wanted)
            self.named.append(NamedDestination(source, roles, entry.names, services, cause))
            if not self.deployment.opens_to_names(source):
                self._leave(entry.id, _treatment(entry))

    def _leave_for_want_of_roles(self, entry: Entry) -> None:
        sources, no_source = self._ends(entry.source)
        destinations, no_destination = self._ends(entry.destination)
        lacking = [] if sources else [*no_source]
        lacking += [] if destinations else no_destination
        names = " or ".join(f"`{role}`" for role in dict.fromkeys(lacking))
        one_end = bool(sources) or bool(destinations)
        self._leave(entry.id, f"no tier or external has the role {names}", lacking if one_end else ())

    def _resolve_custom_flow(self, name: str) -> None:
        flow = self.deployment.flows[name]
        services = EMPTY
        for spec in flow.services:
            services |= spec.services()
        cause = Cause(f"flow:{name}", flow.reason, (f"deployment {self.deployment.name}, flows.{name}",))
        sources, nobody = self._named_ends(flow.source)
        destinations, nobody_there = self._named_ends(flow.destination)
        for role in dict.fromkeys((*nobody, *nobody_there)):
            self._leave(cause.id, f"no tier or external has the role `{role}`")
        self._connect(product(sources, destinations), services, cause)

    def _connect(self, pairs: Iterable[tuple[str, str]], services: ServiceSet, cause: Cause) -> None:
        """Add a flow for each pair of ends. A pair that can have none is reported.

        Pairs that need none, because the same entry connects others, are passed over.
        """
        found = False
        needless: list[str] = []
        for source, destination in pairs:
            usable = services.without_icmp_beside(self._families(source) & self._families(destination))
            reason = self._needless(source, destination)
            if reason:
                needless.append(reason)
            elif not self._families(source) & self._families(destination):
                self._leave(cause.id, f"`{source}` and `{destination}` share no address family")
            elif not usable:
                message = f"`{source}` and `{destination}` share no address family that has {services}"
                self._leave(cause.id, message)
            else:
                self.flows.append(Flow(source, destination, usable, cause))
                found = True
        if not found:
            for reason in dict.fromkeys(needless):
                self._leave(cause.id, reason)

    def _needless(self, source: str, destination: str) -> str:
        """Return why no rule is wanted between two ends, or nothing."""
        tiers = self.deployment.tiers
        if source not in tiers and destination not in tiers:
            return f"`{source}` and `{destination}` are both outside the networks"
        if source == destination and _is_one_host(tiers[source]):
            return f"both ends are the one host of tier `{source}`"
        for tier, peer in ((source, destination), (destination, source)):
            external = self.deployment.external.get(peer)
            if external and external.networks and self.deployment.network_of(tier) not in external.networks:
                return f"`{peer}` is not a peer of the network of tier `{tier}`"
        return ""

    def _families(self, end: str) -> set[int]:
        """Return the address families of a tier or an external; one without addresses may have both."""
        tier = self.deployment.tiers.get(end)
        prefixes = tier.subnets if tier else self.deployment.external[end].addresses
        return {prefix.version for prefix in prefixes} if prefixes else {4, 6}

    def _services(self, entry: Entry) -> tuple[ServiceSet, str]:
        """Return the services of an entry in this site, or nothing and the reason."""
        services = EMPTY
        reasons: list[str] = []
        for service in entry.services:
            wanting = self._unmet(service.features) or self._unset(service)
            if wanting:
                reasons.append(wanting)
            else:
                moved = self.deployment.parameters.get(service.parameter or "")
                services |= service.services(moved)
        return services, "; ".join(dict.fromkeys(reasons))

    def _unmet(self, features: Iterable[str]) -> str:
        """Return which of the features does not hold, or nothing."""
        for name in features:
            wanted = not name.startswith("!")
            if self.features[name.removeprefix("!")] is not wanted:
                return f"feature `{name.removeprefix('!')}` is {'off' if wanted else 'on'}"
        return ""

    def _unset(self, service: CatalogService) -> str:
        if service.ports or service.protocol in (Protocol.ICMP, Protocol.ICMPV6):
            return ""
        if service.parameter in self.deployment.parameters:
            return ""
        return f"parameter `{service.parameter}` is not set"

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
        has_product = not feature.roles or not deployed.isdisjoint(feature.roles)
        states[name] = deployment.features.get(name, feature.default and has_product)
    return states


def _treatment(entry: Entry) -> str:
    if entry.duplicate_of:
        return f"duplicate: the same as `{entry.duplicate_of}`"
    return f"{entry.treatment}: {entry.reason}"


def _is_one_host(tier: Tier) -> bool:
    """Tell whether a tier is a single machine: at most one address in each family."""
    versions = [prefix.version for prefix in tier.subnets]
    return all(prefix.first == prefix.last for prefix in tier.subnets) and len(versions) == len(set(versions))


def _vocabulary_problems(deployment: Deployment, catalog: Catalog) -> Iterator[Problem]:
    """Find what the deployment names and the catalogue lacks."""

    def unknown(path: DataPath, kind: str, name: str, valid: Iterable[str]) -> Iterator[Problem]:
        if name not in valid:
            word = kind.partition(",")[0].replace("tier", "end")
            yield deployment.problem(
                f"unknown-{word}", path, f"unknown {kind} `{name}`", nearest(name, valid)
            )

    placeable = [name for name, role in catalog.roles.items() if role.kind != "wildcard"]
    for name, end in deployment.ends.items():
        place = "tiers" if name in deployment.tiers else "external"
        for index, role in enumerate(end.roles):
            path = (place, name, "roles", index)
            if role in catalog.roles and role not in placeable:
                hint = f"it stands for others; place one of {', '.join(catalog.members(role))}"
                yield deployment.problem(
                    "wildcard-placed", path, f"the role `{role}` is nowhere by itself", hint
                )
            else:
                yield from unknown(path, "role", role, placeable)
    for name in deployment.features:
        yield from unknown(("features", name), "feature", name, catalog.features)
    for name in deployment.parameters:
        yield from unknown(("parameters", name), "parameter", name, catalog.parameters)
    entries = [entry.id for entry in catalog.entries]
    for index, exclusion in enumerate(deployment.exclude):
        yield from unknown(("exclude", index, "entry"), "entry", exclusion.entry, entries)
    ends_and_roles = [*deployment.ends, *catalog.roles]
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
                message = f"features `{chosen}` and `{default}` exclude each other"
                hint = f"turn one of them off: `{default}: false`"
                yield deployment.problem("feature-conflict", ("features", chosen), message, hint)
