"""Catalogue x deployment -> flows, and every entry that gave none, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, product
from typing import TYPE_CHECKING, Any

from citrix_netpolicy import limits
from citrix_netpolicy.errors import InputError, Problem, in_order, nearest
from citrix_netpolicy.inputs.base import FIRST_EDITION
from citrix_netpolicy.inputs.deployment import Through
from citrix_netpolicy.meeting import Leg, Meetings, feature_states, features_of
from citrix_netpolicy.net import Protocol, ServiceSet, ports
from citrix_netpolicy.omissions import (
    Fronted,
    NamesShut,
    Needless,
    NewerEdition,
    RoleMissing,
    Treated,
    omission_order,
)
from citrix_netpolicy.policy import Cause

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from citrix_netpolicy.errors import DataPath
    from citrix_netpolicy.inputs.catalog import Catalog, Entry
    from citrix_netpolicy.inputs.deployment import CustomFlow, Deployment, Exclusion
    from citrix_netpolicy.omissions import Omission

__all__ = ["Flow", "NamedDestination", "Resolution", "resolve", "resolve_entries", "staffed"]


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection that `source` opens to `destination`; both are names of tiers or externals.

    With `is_public` it goes over the Internet, between public addresses.
    """

    source: str
    destination: str
    services: ServiceSet
    cause: Cause
    is_public: bool = False


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
    """What a catalogue means for a deployment. `links` are the numbers of those that joined somebody."""

    flows: tuple[Flow, ...]
    named: tuple[NamedDestination, ...]
    omissions: tuple[Omission, ...]
    links: frozenset[int] = frozenset()


def staffed(deployment: Deployment, catalog: Catalog) -> Deployment:
    """Return a deployment in which ends that are managed services have what the catalogue says of them.

    Raises InputError for a service that the catalogue lacks.
    """
    kinds: dict[str, dict[str, Any]] = {
        "tiers": dict(deployment.tiers),
        "external": dict(deployment.external),
    }
    problems = []
    for kind, ends in kinds.items():
        for name, end in ends.items():
            if end.service is None:
                continue
            service = catalog.managed_services.get(end.service)
            if service is None:
                hint = nearest(end.service, catalog.managed_services)
                message = f"unknown managed service `{end.service}`"
                problems.append(deployment.problem("unknown-service", (kind, name, "service"), message, hint))
                continue
            member = service.domain_member if end.domain_member is None else end.domain_member
            roles = tuple(dict.fromkeys((*end.roles, *service.roles)))
            ends[name] = end._with(roles=roles, domain_member=member)
    if problems:
        raise InputError(in_order(problems))
    if not any(end.service for ends in kinds.values() for end in ends.values()):
        return deployment
    return deployment._with(**kinds)


def resolve(deployment: Deployment, catalog: Catalog) -> Resolution:
    """Return the flows that `deployment` needs, and the entries that gave none.

    Raises InputError when the deployment uses a role, feature, parameter or entry that `catalog` lacks.
    """
    catalog = catalog.as_of(deployment.edition)
    problems = list(_vocabulary_problems(deployment, catalog))
    if problems:
        raise InputError(in_order(problems))
    return _Resolver(deployment, catalog).resolution()


def resolve_entries(deployment: Deployment, catalog: Catalog, entries: Collection[str]) -> Resolution:
    """Return what some entries alone mean for a deployment whose words are known.

    Raises InputError when its features do not go together.
    """
    catalog = catalog.as_of(deployment.edition)
    problems = list(_feature_problems(deployment, catalog))
    if problems:
        raise InputError(in_order(problems))
    return _Resolver(deployment, catalog, entries).resolution()


class _Resolver:
    """One deployment held against one catalogue."""

    def __init__(
        self, deployment: Deployment, catalog: Catalog, entries: Collection[str] | None = None
    ) -> None:
        self.deployment = deployment
        self.catalog = catalog
        self.entries = entries  # those that are looked at; all of them, and own flows, when None
        self.meetings = Meetings(deployment, catalog)
        self.flows: list[Flow] = []
        self.named: list[NamedDestination] = []
        self.omissions: dict[Omission, None] = {}
        self.proxied: set[tuple[str, str]] = set()  # tiers, and the proxies that they have a flow to
        self.pairs = 0  # of ends, looked at so far

    def resolution(self) -> Resolution:
        for entry in self.catalog.entries:
            if self.entries is not None and entry.id not in self.entries:
                continue
            if not self.deployment.has_edition(entry.since):
                self._omit(NewerEdition(entry.id, entry.since))
            elif entry.treatment not in ("enforce", "name"):
                self._omit(_treated(entry))
            else:
                excluded = self.meetings.excluded_everywhere(entry)
                if excluded:
                    self._omit(excluded)
                else:
                    self._resolve_entry(entry)
        for name in sorted(self.deployment.flows) if self.entries is None else ():
            self._resolve_custom_flow(name)
        return Resolution(
            tuple(self.flows),
            tuple(self.named),
            tuple(sorted(self.omissions, key=omission_order)),
            frozenset(self.meetings.used),
        )

    def _omit(self, *omissions: Omission) -> None:
        self.omissions |= dict.fromkeys(omissions)

    def _resolve_entry(self, entry: Entry) -> None:
        is_same_everywhere = self.meetings.spoken_of.isdisjoint(features_of(entry))
        services, omissions = self.meetings.services(entry)
        if is_same_everywhere and not services:
            self._omit(*omissions)
            return
        if entry.treatment == "name":
            self._name_destinations(entry)
            return
        pairs: dict[tuple[str, str], None] = {}
        for variant in self.meetings.variants(entry):
            sources, destinations = (self.meetings.ends(roles)[0] for roles in variant)
            self._count(sources, destinations, f"entry `{entry.id}`")
            pairs |= dict.fromkeys(product(sources, destinations))
        if pairs:
            self._connect_all(entry, pairs)
        elif services:
            self._leave_for_want_of_roles(entry)
        else:
            self._omit(*omissions)

    def _connect_all(self, entry: Entry, pairs: Iterable[tuple[str, str]]) -> None:
        """Add a flow for each pair of ends that meet, and note why others have none."""
        cause = self._cause(entry)
        between: dict[tuple[tuple[str, bool], ...], tuple[ServiceSet, list[Omission]]] = {}
        left: list[Omission] = []
        joined: set[Leg] = set()
        count = len(self.flows)
        for source, destination in pairs:
            saying = self.meetings.saying(entry, source, destination)
            if saying not in between:
                between[saying] = self.meetings.services(entry, source, destination)
            services, omissions = between[saying]
            if not services:
                # What these ends say, others may say as well, but a pair has reasons of its own.
                left += self.meetings.services(entry, source, destination)[1] if saying else omissions
                continue
            apart = self.meetings.apart(entry, source, destination)
            if apart:
                left.append(apart)
                continue
            is_public = self.meetings.is_public(entry, source, destination)
            legs = list(self.meetings.legs(entry, source, destination, services))
            if all(leg[:2] != (source, destination) for leg in legs):
                left.append(Fronted(entry.id, source, destination))
            for leg in legs:
                if leg not in joined:
                    joined.add(leg)
                    omission = self._connect(*leg, cause, is_public=is_public)
                    left += [omission] if omission else []
        self._leave(left, is_used=len(self.flows) > count)

    def _cause(self, entry: Entry) -> Cause:
        citations = tuple(str(citation) for citation in self.catalog.citations(entry))
        # Whoever reads the rule should know that nobody has seen it in a source.
        purpose = f"{entry.purpose} (unverified)" if entry.evidence == "unverified" else entry.purpose
        return Cause(entry.id, purpose, citations, entry.internet, evidence=entry.evidence)

    def _name_destinations(self, entry: Entry) -> None:
        """Note what the holders of the source roles reach by name, or connect them where it has addresses."""
        meetings = self.meetings
        sources, nobody = meetings.ends(entry.source)
        if not sources:
            self._omit(RoleMissing(entry.id, tuple(nobody)))
            return
        destinations = meetings.ends(entry.destination)[0]
        wanted = {member for role in entry.source for member in self.catalog.members(role)}
        cause = self._cause(entry)
        for source in sources:
            services, omissions = meetings.services(entry, source)
            excluded = meetings.excluded(entry, source)
            if excluded or not services:
                self._omit(*([excluded] if excluded else omissions))
                continue
            count = len(self.flows)
            if destinations:
                self._count([source], destinations, f"entry `{entry.id}`")
                self._connect_all(entry, [(source, destination) for destination in destinations])
            if len(self.flows) == count:
                roles = tuple(role for role in meetings.ends_of[source].roles if role in wanted)
                self.named.append(NamedDestination(source, roles, self._names(entry), services, cause))
                if not self._let_through(source):
                    self._omit(_treated(entry))

    def _names(self, entry: Entry) -> tuple[str, ...]:
        """Return the names of an entry, with those of the site's region, or of all where it names none."""
        region = self.deployment.citrix_cloud_region
        ruling = entry.regional if region is None else {region: entry.regional.get(region, ())}
        return tuple(dict.fromkeys([*entry.names, *(name for names in ruling.values() for name in names)]))

    def _let_through(self, source: str) -> bool:
        """Connect a tier to its proxy, if it has one; tell whether something lets names through."""
        names = self.deployment.names_of(source) if source in self.deployment.tiers else "listed"
        if isinstance(names, Through) and names.through == "proxy" and names.end and names.port:
            path = ("tiers", source, "names") if self.deployment.tiers[source].names else ("names",)
            cause = Cause(
                "proxy",
                "Destinations known by name through the proxy",
                ("deployment, names",),
                kind="setting",
                mark=self.deployment.mark(path),
            )
            proxy = ServiceSet.of(ports(Protocol.TCP, *names.port))
            if (source, names.end) not in self.proxied:
                self.proxied.add((source, names.end))
                self._leave(filter(None, [self._connect(source, names.end, proxy, cause)]), is_used=False)
            return True
        return self.deployment.opens_to_names(source)

    def _leave_for_want_of_roles(self, entry: Entry) -> None:
        sources, no_source = self.meetings.ends(entry.source)
        destinations, no_destination = self.meetings.ends(entry.destination)
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
        sources, nobody = self.meetings.named(flow.source)
        if flow.names:
            self._omit(*(RoleMissing(cause.id, (role,)) for role in dict.fromkeys(nobody)))
            for source in sources:
                self.named.append(NamedDestination(source, (), flow.names, services, cause))
                if not self._let_through(source):
                    self._omit(NamesShut(cause.id, source))
            return
        destinations, nobody_there = self.meetings.named(flow.destination)
        for role in dict.fromkeys((*nobody, *nobody_there)):
            self._omit(RoleMissing(cause.id, (role,)))
        self._count(sources, destinations, f"flow `{name}`", ("flows", name))
        count = len(self.flows)
        left = [self._connect(*pair, services, cause) for pair in product(sources, destinations)]
        self._leave(filter(None, left), is_used=len(self.flows) > count)

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

    def _connect(
        self, source: str, destination: str, services: ServiceSet, cause: Cause, *, is_public: bool = False
    ) -> Omission | None:
        """Add the flow between two ends, or tell why no rule can be wanted there."""
        omission = self.meetings.unreachable(cause.id, source, destination, services)
        if omission is None:
            families = self.meetings.families
            usable = services.without_icmp_beside(families[source] & families[destination])
            self.flows.append(Flow(source, destination, usable, cause, is_public))
        return omission

    def _leave(self, omissions: Iterable[Omission], *, is_used: bool) -> None:
        """Note why pairs of ends have no flow. That none is needed matters only where there is no other."""
        self._omit(*(one for one in omissions if not (is_used and isinstance(one, Needless))))


def _treated(entry: Entry) -> Treated:
    return Treated(entry.id, entry.treatment, entry.reason, entry.duplicate_of)


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
    for above, features in _feature_places(deployment):
        for name in features:
            where = (*above, "features", name)
            yield from unknown(where, "feature", name, catalog.features)
            feature = catalog.features.get(name)
            if feature and not deployment.has_edition(feature.since):
                message = f"feature `{name}` was added in edition {feature.since}; "
                message += f"the deployment uses {deployment.edition}"
                hint = f"remove it, or set `edition: {feature.since}`"
                yield deployment.problem("newer-edition", where, message, hint)
    if deployment.citrix_cloud_region is not None:
        region = deployment.citrix_cloud_region
        yield from unknown(("citrix-cloud-region",), "region", region, catalog.regions)
    for name in deployment.parameters:
        yield from unknown(("parameters", name), "parameter", name, catalog.parameters)
    entries = {*(entry.id for entry in catalog.entries), *catalog.bundles}
    for index, exclusion in enumerate(deployment.exclude):
        yield from unknown(("exclude", index, "entry"), "entry", exclusion.entry, entries)
    for name, tier in deployment.tiers.items():
        for number, entry in enumerate(tier.behind.entries if tier.behind else ()):
            yield from unknown(("tiers", name, "behind", "entries", number), "entry", entry, entries)
    for index, link in enumerate(deployment.links):
        for number, entry in enumerate(link.entries):
            yield from unknown(("links", index, "entries", number), "entry", entry, entries)
    ends_and_roles = {*deployment.ends, *catalog.roles}
    between: Iterable[tuple[DataPath, CustomFlow | Exclusion]] = (
        *((("flows", name), flow) for name, flow in deployment.flows.items()),
        *((("exclude", index), exclusion) for index, exclusion in enumerate(deployment.exclude)),
    )
    for above, item in between:
        for key, names in (("source", item.source), ("destination", item.destination)):
            for index, word in enumerate(names):
                kind = "tier, external or role"
                yield from unknown((*above, key, index), kind, word, ends_and_roles)
    yield from _feature_problems(deployment, catalog)
    yield from _behind_problems(deployment)


def _behind_problems(deployment: Deployment) -> Iterator[Problem]:
    """Find tiers that are behind what is no ADC."""
    known = deployment.ends
    for name, tier in deployment.tiers.items():
        ends = tier.behind.end if tier.behind else ()
        roles = {role for end in ends for role in known[end].roles}
        for role in ("netscaler-vip", "netscaler-snip") if ends else ():
            if role not in roles:
                message = f"nothing that tier `{name}` is behind has role `{role}`, so it is no ADC"
                hint = "name the tiers or externals of its VIPs and of its SNIPs"
                yield deployment.problem("not-an-adc", ("tiers", name, "behind", "end"), message, hint)


def _feature_places(deployment: Deployment) -> Iterator[tuple[DataPath, Mapping[str, bool]]]:
    """Yield every place that turns features on or off."""
    yield (), deployment.features
    yield from ((("tiers", name), tier.features) for name, tier in deployment.tiers.items())
    yield from ((("external", name), external.features) for name, external in deployment.external.items())


def _feature_problems(deployment: Deployment, catalog: Catalog) -> Iterator[Problem]:
    """Find features that need what is off, or cannot be on together: in the deployment, or at an end."""
    whole = feature_states(deployment, catalog)
    for place, features in _feature_places(deployment):
        states = {**whole, **features}
        # What the deployment says is told once, and not again at each end.
        chosen = catalog.features if not place else features
        told: set[frozenset[str]] = set()
        for name in chosen:
            feature = catalog.features.get(name)
            if feature is None or not states[name]:
                continue
            for other in feature.requires:
                if not states[other]:
                    path = (*place, "features", name if name in features else other)
                    message = f"feature `{name}` needs `{other}`, which is off"
                    hint = f"turn it on: `{other}: true`"
                    yield deployment.problem("feature-needed", path, message, hint)
            for other in feature.conflicts:
                if states.get(other) and frozenset((name, other)) not in told:
                    told.add(frozenset((name, other)))
                    first, second = (name, other) if name in features else (other, name)
                    path = (*place, "features", first)
                    message = f"features `{first}` and `{second}` cannot be on together"
                    hint = f"turn one off, for example `{second}: false`"
                    yield deployment.problem("feature-conflict", path, message, hint)
