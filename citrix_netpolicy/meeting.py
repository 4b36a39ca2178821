"""Which ends of a deployment meet for an entry of the catalogue, and why others do not.

Nothing else decides it: what ends say of features, what is excluded between them, and who is open to the
world are known here, and neither to those who walk the catalogue nor to those who make rules of flows.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from citrix_netpolicy.inputs.deployment import front_of
from citrix_netpolicy.net import BITS, EMPTY, LAST_PORT, Protocol, ServiceSet, icmp, ports
from citrix_netpolicy.omissions import (
    Distant,
    Excluded,
    FeatureOff,
    Needless,
    NoCommonFamily,
    NotBalanced,
    NotForTheInternet,
    ParameterUnset,
)
from citrix_netpolicy.places import holds, is_near, nearest_of, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from citrix_netpolicy.inputs.catalog import Catalog, CatalogService, Entry
    from citrix_netpolicy.inputs.deployment import Behind, Deployment, Tier
    from citrix_netpolicy.omissions import Omission
    from citrix_netpolicy.places import Place

__all__ = ["Excluding", "Leg", "Meetings", "feature_states", "features_of", "is_one_host"]


class Leg(NamedTuple):
    """A part of the way between two ends that meet."""

    source: str
    destination: str
    services: ServiceSet


_UDP: Final = ServiceSet.of(ports(Protocol.UDP, 1, LAST_PORT))
_ECHO: Final = ServiceSet.of(icmp(Protocol.ICMP, 8))


class Excluding(NamedTuple):
    """Between which ends something is excluded, and why; None stands for all ends."""

    sources: frozenset[str] | None
    destinations: frozenset[str] | None
    reason: str


class Meetings:
    """The ends of one deployment, held against each other for the entries of one catalogue.

    Both have to know every word of the other.
    """

    def __init__(self, deployment: Deployment, catalog: Catalog) -> None:
        self.deployment = deployment
        self.catalog = catalog
        self.ends_of = deployment.ends
        self.states = feature_states(deployment, catalog)
        self.optional = frozenset(name for name, feature in catalog.features.items() if not feature.default)
        self.said: dict[str, Mapping[str, bool]] = {
            name: end.features for name, end in self.ends_of.items() if end.features
        }
        self.world = frozenset(name for name, end in deployment.external.items() if end.is_the_world)

        self.members = {
            name: end.domain_member for name, end in self.ends_of.items() if end.domain_member is not None
        }
        self.special = self.world.union(name for name, end in self.ends_of.items() if end.service)
        self.spoken_of = frozenset(name for features in self.said.values() for name in features)
        self.places = {name: end.places for name, end in self.ends_of.items()}
        self.primaries = {name: site.primary for name, site in deployment.sites.items()}
        self.links = tuple(_links(deployment, catalog))
        self.used: set[int] = set()  # the numbers of links that have joined somebody
        self.nearest: dict[tuple[str, str], frozenset[str]] = {}

    @cached_property
    def holders(self) -> dict[str, tuple[str, ...]]:
        """The tiers and externals that have each role."""
        holders: dict[str, list[str]] = {}
        for name, end in self.ends_of.items():
            for role in dict.fromkeys(end.roles):
                holders.setdefault(role, []).append(name)
        return {role: tuple(sorted(names)) for role, names in holders.items()}

    def ends(self, roles: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return the tiers and externals that have one of the roles, and the roles nobody has."""
        ends: dict[str, None] = {}
        nobody: list[str] = []
        for role in roles:
            found = [end for member in self.catalog.members(role) for end in self.holders.get(member, ())]
            if self.catalog.roles[role].domain_members:
                found = [end for end in found if end not in self.members or self.members[end]]
                found += [end for end, is_member in self.members.items() if is_member]
            ends |= dict.fromkeys(found)
            if not found:
                nobody.append(role)
        return sorted(ends), nobody

    def named(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return ends that are named, each by its name or by a role, and the roles nobody has."""
        ends: dict[str, None] = {}
        nobody: list[str] = []
        for name in names:
            found, lacking = ([name], []) if name in self.ends_of else self.ends([name])
            ends |= dict.fromkeys(found)
            nobody += lacking
        return sorted(ends), nobody

    @cached_property
    def exclusions(self) -> dict[str, list[Excluding]]:
        """What is excluded, by entry."""
        found: dict[str, list[Excluding]] = {}
        for exclusion in self.deployment.exclude:
            sources, destinations = (
                frozenset(self.named(names)[0]) if names else None
                for names in (exclusion.source, exclusion.destination)
            )
            for entry in self.catalog.entries_of(exclusion.entry):
                found.setdefault(entry, []).append(Excluding(sources, destinations, exclusion.reason))
        return found

    @cached_property
    def families(self) -> dict[str, frozenset[int]]:
        """The address families of each tier and external; one without addresses may have both."""
        return {
            name: frozenset(prefix.version for prefix in end.prefixes) or frozenset(BITS)
            for name, end in self.ends_of.items()
        }

    def saying(self, entry: Entry, *ends: str) -> tuple[tuple[str, bool], ...]:
        """Return what decides about the services of an entry between ends, beside the deployment.

        Ends of which this is equal get the same services.
        """
        if self.special.isdisjoint(ends) and self.said.keys().isdisjoint(ends):
            return ()
        wanted = features_of(entry)
        said = {item for end in ends for item in self.said.get(end, {}).items() if item[0] in wanted}
        # Ports of a managed service may be its own, and the world gets what it asks for alone.
        return tuple(sorted(said | {(f"end {end}", True) for end in self.special.intersection(ends)}))

    def is_on(self, feature: str, *ends: str) -> bool:
        """Tell whether a feature is on between ends: none says off, and one of them or the deployment on."""
        said = {self.said[end][feature] for end in ends if feature in self.said.get(end, ())}
        return False not in said and (True in said or self.states[feature])

    def services(self, entry: Entry, *ends: str) -> tuple[ServiceSet, list[Omission]]:
        """Return the services of an entry between ends, and why the others are left out."""
        unmet = self._unmet(entry.id, entry.features, ends)
        if unmet:
            return EMPTY, [unmet]
        services = EMPTY
        omissions: list[Omission] = []
        for service in entry.services:
            omission = (
                self._unmet(entry.id, service.features, ends)
                or self._unasked(entry, service, ends)
                or self._unset(entry.id, service)
            )
            if omission:
                omissions.append(omission)
            else:
                services |= service.services(self._moved(service, ends))
        return services, omissions

    def apart(self, entry: Entry, source: str, destination: str) -> Omission | None:
        """Tell why two ends do not meet for an entry, whatever its services; None when they do."""
        for end in (source, destination) if self.world else ():
            if end in self.world and not self._is_for_the_world(entry, end, is_source=end == source):
                return NotForTheInternet(entry.id, source, destination, end)
        if entry.balancing and source not in self._adc_of(destination):
            return NotBalanced(entry.id, source, destination)
        if self._is_distant(entry, source, destination) and not self._is_linked(entry, source, destination):
            return Distant(entry.id, source, destination, entry.reach)
        # The last, so that an exclusion which is told has kept apart what would meet.
        return self.excluded(entry, source, destination)

    def legs(self, entry: Entry, source: str, destination: str, services: ServiceSet) -> Iterator[Leg]:
        """Yield how two ends that meet are joined: directly, or through what the destination is behind."""
        direct = Leg(source, destination, services)
        tier = self.deployment.tiers.get(destination)
        behind = tier.behind if tier else None
        if behind is None or not self._goes_through(entry, behind):
            yield direct
        elif behind.end:
            yield from self._through_adc(entry, direct, behind)
        elif behind.addresses:
            front = front_of(destination)
            yield Leg(source, front, services)
            if self.deployment.keeps_source(destination):
                yield direct
            else:
                yield Leg(front, destination, services)
        else:
            yield direct

    def _goes_through(self, entry: Entry, behind: Behind) -> bool:
        if not behind.entries:
            return entry.balanced
        return any(entry.id in self.catalog.entries_of(name) for name in behind.entries)

    def _through_adc(self, entry: Entry, direct: Leg, behind: Behind) -> Iterator[Leg]:
        if direct.source in behind.end:
            yield direct  # the ADC itself asks
            return

        def having(*roles: str) -> list[str]:
            return [name for name in behind.end if not set(roles).isdisjoint(self.ends_of[name].roles)]

        if behind.also_direct:
            yield direct
        yield from (Leg(direct.source, vip, direct.services) for vip in having("netscaler-vip"))
        for snip in having("netscaler-snip"):
            yield Leg(snip, direct.destination, direct.services)
            # Services of UDP are watched by echo.
            if direct.services & _UDP:
                yield Leg(snip, direct.destination, _ECHO)
        yield from (
            Leg(monitor, direct.destination, direct.services) for monitor in having(*entry.monitored_by)
        )

    def _adc_of(self, tier: str) -> tuple[str, ...]:
        found = self.deployment.tiers.get(tier)
        return found.behind.end if found and found.behind else ()

    def _is_distant(self, entry: Entry, source: str, destination: str) -> bool:
        match entry.reach:
            case "anywhere":
                return False
            case "tier":
                return source != destination
            case "nearest":
                return destination not in self._nearest(entry, source)
            case _:
                ends = (self.places[source], self.places[destination])
                return not is_near(entry.reach, *ends, self.primaries)

    def _nearest(self, entry: Entry, source: str) -> frozenset[str]:
        """Return what a source goes to, role by role: of those that its entry may reach, the nearest."""
        found: frozenset[str] = frozenset()
        for role in self._destinations(entry):
            key = (source, role)
            if key not in self.nearest:
                others = {name: self.places[name] for name in self.holders.get(role, ())}
                self.nearest[key] = frozenset(nearest_of(self.places[source], others, self.primaries))
            found |= self.nearest[key]
        return found

    def variants(self, entry: Entry) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Yield the roles at both ends of an entry: its own, and those with a stand-in in their place."""
        yield entry.source, entry.destination
        for name, role in self.catalog.roles.items() if entry.stand_in else ():
            part = role.stands_in_for
            if part and self.is_on(part.feature):
                source, destination = (
                    tuple(name if one == part.role else one for one in end)
                    for end in (entry.source, entry.destination)
                )
                yield source, destination

    def _destinations(self, entry: Entry) -> tuple[str, ...]:
        """Return the roles at the end of an entry, with those that stand in for them."""
        roles = (role for _, destination in self.variants(entry) for role in destination)
        return tuple(dict.fromkeys(member for role in roles for member in self.catalog.members(role)))

    def is_public(self, entry: Entry, source: str, destination: str) -> bool:
        """Tell whether two ends that meet do so by a link over the Internet."""
        if not any(link.is_public for link in self.links) or not self._is_distant(entry, source, destination):
            return False
        links = list(self._linking(entry, source, destination))
        return all(link.is_public for link in links)

    def _is_linked(self, entry: Entry, source: str, destination: str) -> bool:
        found = {link.number for link in self._linking(entry, source, destination)}
        self.used |= found
        return bool(found)

    def _linking(self, entry: Entry, source: str, destination: str) -> Iterator[_Link]:
        """Yield the links that join two ends for an entry."""
        for link in self.links if entry.reach != "tier" else ():
            if (
                (link.entries is None or entry.id in link.entries)
                and not link.origin.isdisjoint(self.places[source])
                and not link.target.isdisjoint(self.places[destination])
            ):
                yield link

    def excluded_everywhere(self, entry: Entry) -> Excluded | None:
        """Return what excludes an entry between all ends."""
        for sources, destinations, reason in self.exclusions.get(entry.id, ()):
            if sources is None and destinations is None:
                return Excluded(entry.id, reason)
        return None

    def excluded(self, entry: Entry, source: str, destination: str = "") -> Excluded | None:
        """Return what excludes an entry between two ends, or from one end to a destination of a name."""
        for sources, destinations, reason in self.exclusions.get(entry.id, ()):
            is_source = sources is None or source in sources
            if is_source and (destinations is None or destination in destinations):
                return Excluded(entry.id, reason, source, destination)
        return None

    def unreachable(self, id_: str, source: str, destination: str, services: ServiceSet) -> Omission | None:
        """Tell why no rule can be wanted between two ends, whatever for; None when one can."""
        tiers = self.deployment.tiers
        if source not in tiers and destination not in tiers:
            return Needless(id_, source, destination, "outside")
        if source == destination and is_one_host(tiers[source]):
            return Needless(id_, source, destination, "one-host")
        for tier, peer in ((source, destination), (destination, source)):
            external = self.deployment.external.get(peer)
            if external and external.networks and self.deployment.network_of(tier) not in external.networks:
                return Needless(id_, source, destination, "other-network")
        families = self.families[source] & self.families[destination]
        if not families:
            return NoCommonFamily(id_, source, destination)
        if not services.without_icmp_beside(families):
            return NoCommonFamily(id_, source, destination, str(services))
        return None

    def _is_for_the_world(self, entry: Entry, end: str, *, is_source: bool) -> bool:
        # What is known by name only is somewhere in the world, and goes there.
        is_name = entry.treatment == "name" and not is_source
        # An end that says `direct-hdx` means it; one that says `edt` for its gateway does not mean that.
        chosen = [name for name in entry.features if name in self.optional]
        said = self.said.get(end, {})
        return entry.internet or is_name or (bool(chosen) and all(said.get(name) for name in chosen))

    def _unmet(self, entry: str, features: Iterable[str], ends: tuple[str, ...]) -> FeatureOff | None:
        """Return which of the features does not hold, or nothing."""
        for name in features:
            wanted, feature = not name.startswith("!"), name.removeprefix("!")
            if self.is_on(feature, *ends) is not wanted:
                is_of_ends = self.states[feature] is wanted
                return FeatureOff(entry, feature, not wanted, *(ends if is_of_ends else ()))
        return None

    def _unasked(self, entry: Entry, service: CatalogService, ends: tuple[str, ...]) -> FeatureOff | None:
        """Return the optional feature of a service that an end which is the world has not asked for."""
        for end in ends if not entry.internet else ():
            for name in service.features if end in self.world else ():
                if name in self.optional and not self.said.get(end, {}).get(name):
                    return FeatureOff(entry.id, name, state=False, source=ends[0], destination=ends[-1])
        return None

    def _moved(self, service: CatalogService, ends: tuple[str, ...]) -> tuple[tuple[int, int], ...] | None:
        """Return the ports of a service where they are others than the catalogue's, or None."""
        parameter = service.parameter or ""
        if len(ends) == 2 and parameter:
            managed = self.catalog.managed_services.get(self.ends_of[ends[1]].service or "")
            if managed and parameter in managed.ports:
                return managed.ports[parameter]
        return self.deployment.parameters.get(parameter)

    def _unset(self, entry: str, service: CatalogService) -> ParameterUnset | None:
        if service.ports or service.parameter is None or service.parameter in self.deployment.parameters:
            return None
        return ParameterUnset(entry, service.parameter)


class _Link(NamedTuple):
    """What is linked, one way: all places of either side, and the entries; None for all of them."""

    number: int
    origin: frozenset[Place]
    target: frozenset[Place]
    entries: frozenset[str] | None
    is_public: bool


def _links(deployment: Deployment, catalog: Catalog) -> Iterator[_Link]:
    def below(names: tuple[str, ...]) -> frozenset[Place]:
        return frozenset(
            place for name in names for place in deployment.places if holds(place_of(name), place)
        )

    for number, link in enumerate(deployment.links):
        entries = frozenset(id_ for name in link.entries for id_ in catalog.entries_of(name)) or None
        origin, target = below(link.from_), below(link.to)
        yield _Link(number, origin, target, entries, link.via == "public")
        if link.both:
            yield _Link(number, target, origin, entries, link.via == "public")


def features_of(entry: Entry) -> frozenset[str]:
    """Return the features that an entry or a service of it depends on."""
    names = (*entry.features, *(name for service in entry.services for name in service.features))
    return frozenset(name.removeprefix("!") for name in names)


def feature_states(deployment: Deployment, catalog: Catalog) -> dict[str, bool]:
    """Return every feature of the catalogue, on or off in this site."""
    deployed = {role for end in deployment.ends.values() for role in end.roles}
    clouds = {network.cloud for network in deployment.networks.values()}
    states = {}
    for name, feature in catalog.features.items():
        if not deployment.has_edition(feature.since):
            states[name] = False
            continue
        has_product = not feature.roles or not deployed.isdisjoint(feature.roles)
        has_product = has_product and (not feature.clouds or not clouds.isdisjoint(feature.clouds))
        states[name] = deployment.features.get(name, feature.default and has_product)
    # What is on by default goes off with what it needs; what somebody has turned on is told instead.
    waiting = [name for name in states if states[name] and name not in deployment.features]
    idle = waiting
    while idle:
        idle = [name for name in waiting if not all(map(states.get, catalog.features[name].requires))]
        waiting = [name for name in waiting if name not in idle]
        states |= dict.fromkeys(idle, False)
    return states


def is_one_host(tier: Tier) -> bool:
    """Tell whether a tier is a single machine: at most one address in each family."""
    versions = [prefix.version for prefix in tier.subnets]
    return all(prefix.first == prefix.last for prefix in tier.subnets) and len(versions) == len(set(versions))
