"""Lint: what compiles without fault, and yet is probably not what was meant.

A check takes a deployment as resolved and compiled and yields findings. `CHECKS` is the order of their
findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.errors import InputError
from citrix_netpolicy.findings import Finding, Severity
from citrix_netpolicy.meeting import feature_states, is_one_host
from citrix_netpolicy.net import Protocol, ServiceSet, ports
from citrix_netpolicy.omissions import Distant, NotForTheInternet, RoleMissing
from citrix_netpolicy.places import holds
from citrix_netpolicy.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date

    from citrix_netpolicy.errors import DataPath, Mark
    from citrix_netpolicy.inputs.catalog import Catalog
    from citrix_netpolicy.inputs.deployment import Deployment, External, Justified, Tier
    from citrix_netpolicy.places import Place
    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.resolve import Flow, Resolution

__all__ = ["CHECKS", "lint"]


@dataclass(frozen=True)
class _Compiled:
    """A deployment, the catalogue it was compiled with, what came of them, and the day where it matters."""

    deployment: Deployment
    catalog: Catalog
    resolution: Resolution
    policy: Policy
    today: date | None = None

    def at(self, *path: str | int) -> tuple[Mark, ...]:
        """Return the line of the deployment that `path` leads to, where it came from a file."""
        mark = self.deployment.mark(path)
        return (mark,) if mark else ()

    def network_of(self, end: str) -> str:
        """Return the network of a tier, and nothing for an external."""
        return self.deployment.network_of(end) if end in self.deployment.tiers else ""

    def holders(self, role: str) -> tuple[Mark, ...]:
        """Return the lines of the tiers and externals that have a role."""
        deployment = self.deployment
        places = ((("tiers" if name in deployment.tiers else "external"), name) for name in deployment.ends)
        return tuple(
            mark
            for kind, name in places
            if role in deployment.ends[name].roles
            for mark in self.at(kind, name)
        )

    @cached_property
    def roles(self) -> frozenset[str]:
        return frozenset(role for end in self.deployment.ends.values() for role in end.roles)

    @cached_property
    def features(self) -> dict[str, bool]:
        return feature_states(self.deployment, self.catalog)

    def is_unmoved_by(self, **changes: object) -> bool:
        """Tell whether other features or parameters would come to the same flows."""
        try:
            resolution = resolve(self.deployment._with(**changes), self.catalog)
        except InputError:
            # Another feature needs or excludes this one, so it does have an effect.
            return False
        return (resolution.flows, resolution.named) == (self.resolution.flows, self.resolution.named)


def lint(
    deployment: Deployment,
    catalog: Catalog,
    resolution: Resolution,
    policy: Policy,
    today: date | None = None,
) -> tuple[Finding, ...]:
    """Return the findings on a compiled deployment, check by check.

    Checks of dates need `today`, and find nothing without it.
    """
    compiled = _Compiled(deployment, catalog, resolution, policy, today)
    return tuple(finding for check in CHECKS for finding in check(compiled))


def _open_to_the_world(compiled: _Compiled) -> Iterator[Finding]:
    """Services that anybody may reach, or that may reach anybody, and that are not meant for the Internet.

    A port that is open to anybody is so for all that listens there, whoever else was meant.
    """
    deployment = compiled.deployment
    world = {name for name, external in deployment.external.items() if external.is_the_world}
    sides: dict[tuple[str, str], list[tuple[str, Flow]]] = {}
    for flow in compiled.resolution.flows if world else ():
        sides.setdefault((flow.destination, "from"), []).append((flow.source, flow))
        sides.setdefault((flow.source, "to"), []).append((flow.destination, flow))
    for (tier, way), side in sorted(sides.items()):
        peers = sorted({peer for peer, _ in side if peer in world})
        if tier not in deployment.tiers or not peers:
            continue
        opened = ServiceSet.union(flow.services for peer, flow in side if peer in world)
        inside = [
            flow
            for peer, flow in side
            if not flow.cause.internet and (peer in world or way == "from") and flow.services & opened
        ]
        if inside:
            causes = ", ".join(sorted({flow.cause.id for flow in inside}))
            services = ServiceSet.union(flow.services for flow in inside) & opened
            yield Finding(
                "open-to-the-world",
                tier,
                f"tier `{tier}` opens {services} {way} any address ({', '.join(peers)}), including flows "
                f"that are not meant for the Internet: {causes}",
                "narrow the peer's addresses, or move roles that face the Internet to their own tier",
                locations=compiled.at("tiers", tier),
                network=deployment.network_of(tier),
            )


def _not_for_the_internet(compiled: _Compiled) -> Iterator[Finding]:
    """Entries that an end which is open to the world does not get."""
    busy = {flow.cause.id for flow in compiled.resolution.flows}
    left: dict[str, set[str]] = {}
    for item in compiled.resolution.omissions:
        if isinstance(item, NotForTheInternet):
            left.setdefault(item.world, set()).add(item.entry)
    for world, entries in sorted(left.items()):
        # Where others get them, this is what was meant; where nobody does, something may be missing.
        is_missing = not entries <= busy
        yield Finding(
            "not-for-the-internet",
            world,
            f"`{world}` is open to the world, so it does not get what is not meant for the Internet: "
            f"{', '.join(sorted(entries))}",
            "narrow its addresses, or turn on what it may reach by its own `features` or a flow",
            Severity.WARNING if is_missing else Severity.NOTE,
            locations=compiled.at("external", world),
        )


def _egress_to_any_address(compiled: _Compiled) -> Iterator[Finding]:
    """Ports that a tier may open to any address for the sake of destinations known by name."""
    for item in compiled.resolution.named:
        if compiled.deployment.egress == "restricted" and compiled.deployment.opens_to_names(item.source):
            names = ", ".join(item.names) or "a name that the source does not print"
            yield Finding(
                "egress-to-any-address",
                item.source,
                f"tier `{item.source}` may open {item.services} to any address, "
                f"for {names} ({item.cause.id})",
                "filter names on a firewall or proxy and remove `egress-to-names: open`",
                locations=compiled.at("tiers", item.source, "egress-to-names"),
                network=compiled.deployment.network_of(item.source),
            )


def _unserved_roles(compiled: _Compiled) -> Iterator[Finding]:
    """Roles that are there without another that they cannot work without."""
    for role in sorted(compiled.roles):
        for need in compiled.catalog.roles[role].needs:
            wanted = need.feature is None or compiled.features[need.feature]
            if wanted and compiled.roles.isdisjoint(need.one_of):
                lacking = " or ".join(f"`{partner}`" for partner in need.one_of)
                remedy = f"add a tier or external with role {lacking}"
                yield Finding(
                    "role-cannot-work",
                    role,
                    f"the deployment has `{role}` but not {lacking}: {need.why}",
                    f"{remedy}, or turn `{need.feature}` off" if need.feature else remedy,
                    locations=compiled.holders(role),
                )


def _dark_places(compiled: _Compiled) -> Iterator[Finding]:
    """Tiers that, from where they are, meet nobody in a role that somebody elsewhere has."""
    deployment, catalog = compiled.deployment, compiled.catalog
    met = {
        (flow.cause.id, end) for flow in compiled.resolution.flows for end in (flow.source, flow.destination)
    }
    dark: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    for item in compiled.resolution.omissions:
        if not isinstance(item, Distant) or item.reach == "tier":
            continue
        for tier, peer in ((item.source, item.destination), (item.destination, item.source)):
            if tier in deployment.tiers and (item.entry, tier) not in met:
                for role in deployment.ends[peer].roles:
                    dark.setdefault((tier, role), {}).setdefault(item.entry, (item.source, item.destination))
    for (tier, role), entries in sorted(dark.items()):
        known = {wanted for entry in entries for wanted in _roles_of(catalog, entry)}
        if role not in known:
            continue
        needed = {
            other
            for own in deployment.tiers[tier].roles
            for need in catalog.roles[own].needs
            for other in need.one_of
        }
        origin, target = next(iter(entries.values()))
        ends = [(deployment.ends[end].at or ("...",))[0] for end in (origin, target)]
        yield Finding(
            "dark-place",
            tier,
            f"tier `{tier}` ({', '.join(deployment.tiers[tier].at)}) meets nobody in role `{role}`: "
            f"{', '.join(sorted(entries))}",
            f"if it should, link the places: `links: [{{from: {ends[0]}, to: {ends[1]}, "
            f"entries: [{', '.join(sorted(entries))}], reason: ...}}]`",
            Severity.WARNING if role in needed else Severity.NOTE,
            locations=compiled.at("tiers", tier, "at"),
            network=deployment.network_of(tier),
        )


def _roles_of(catalog: Catalog, entry: str) -> Iterator[str]:
    found = catalog.entry(entry)
    for role in (*found.source, *found.destination):
        yield from catalog.members(role)


def _pairs_in_two_tiers(compiled: _Compiled) -> Iterator[Finding]:
    """Single hosts of one role that are tiers of their own, although a pair is one tier."""
    busy = {flow.cause.id for flow in compiled.resolution.flows}
    apart: dict[tuple[str, str], list[str]] = {}
    for item in compiled.resolution.omissions:
        if isinstance(item, Distant) and item.reach == "tier" and item.entry not in busy:
            tiers = [compiled.deployment.tiers.get(end) for end in (item.source, item.destination)]
            if all(tier and len(tier.subnets) == 1 and is_one_host(tier) for tier in tiers):
                first, second = sorted((item.source, item.destination))
                apart.setdefault((first, second), []).append(item.entry)
    for (first, second), entries in sorted(apart.items()):
        yield Finding(
            "pair-in-two-tiers",
            first,
            f"`{first}` and `{second}` are one host each, and these stay within a tier: "
            f"{', '.join(sorted(set(entries)))}",
            "make the hosts of one pair or group one tier",
            Severity.NOTE,
            locations=compiled.at("tiers", first),
            network=compiled.deployment.network_of(first),
        )


def _places_of_one(compiled: _Compiled) -> Iterator[Finding]:
    """Places that one end alone is at, which is a slip of the keyboard or needless."""
    at: dict[Place, list[str]] = {}
    for name, end in compiled.deployment.ends.items():
        for place in end.places:
            at.setdefault(place, []).append(name)
    for place, names in sorted(at.items()):
        if len(names) == 1 and not any(
            holds(place, other) or holds(other, place) for other in at if other != place
        ):
            kind = "tiers" if names[0] in compiled.deployment.tiers else "external"
            yield Finding(
                "place-of-one",
                str(place),
                f"`{names[0]}` is alone at `{place}`",
                "correct its `at`, or leave it out",
                Severity.NOTE,
                locations=compiled.at(kind, names[0], "at"),
            )


def _links(compiled: _Compiled) -> Iterator[Finding]:
    """Links without effect, and those that open all that there is."""
    links = compiled.deployment.links
    for index, link in enumerate(links):
        name = f"{', '.join(link.from_)} to {', '.join(link.to)}"
        others = (*links[:index], *links[index + 1 :])
        if compiled.is_unmoved_by(links=others):
            yield Finding(
                "link-without-effect",
                name,
                f"the link from {name} has no effect here",
                "remove it, or name what should be reached",
                locations=compiled.at("links", index),
            )
        elif not link.entries:
            yield Finding(
                "link-of-everything",
                name,
                f"the link from {name} names no entries, so it opens all that these places can say",
                "name `entries` or bundles; `citrix-netpolicy catalog list` has them",
                locations=compiled.at("links", index),
            )


def _idle_features(compiled: _Compiled) -> Iterator[Finding]:
    """Features that the site sets to another state than they would have, without any effect."""
    deployment = compiled.deployment
    for name in sorted(deployment.features):
        others = {other: state for other, state in deployment.features.items() if other != name}
        flipped = {**others, name: not deployment.features[name]}
        without = feature_states(deployment.model_copy(update={"features": others}), compiled.catalog)
        if deployment.features[name] is without[name]:
            continue
        if compiled.is_unmoved_by(features=flipped):
            yield _idle_feature(compiled, name, ("features", name), "here", is_on=deployment.features[name])
    for kind in ("tiers", "external"):
        ends: Mapping[str, Tier | External] = getattr(deployment, kind)
        for end in sorted(ends):
            features = ends[end].features
            for name in sorted(features):
                others = {other: state for other, state in features.items() if other != name}
                changed = {**ends, end: ends[end]._with(features=others)}
                if compiled.is_unmoved_by(**{kind: changed}):
                    path = (kind, end, "features", name)
                    yield _idle_feature(compiled, name, path, f"for `{end}`", is_on=features[name])


def _idle_feature(compiled: _Compiled, name: str, path: DataPath, where: str, *, is_on: bool) -> Finding:
    return Finding(
        "feature-without-effect",
        name,
        f"feature `{name}` is {'on' if is_on else 'off'}, which has no effect {where}",
        "remove it, or deploy the roles that it affects",
        locations=compiled.at(*path),
    )


def _idle_parameters(compiled: _Compiled) -> Iterator[Finding]:
    """Parameters that the site sets, without any effect."""
    for name in sorted(compiled.deployment.parameters):
        others = {other: value for other, value in compiled.deployment.parameters.items() if other != name}
        if compiled.is_unmoved_by(parameters=others):
            yield Finding(
                "parameter-without-effect",
                name,
                f"parameter `{name}` has no effect here",
                "remove it, or deploy the roles that it affects",
                locations=compiled.at("parameters", name),
            )


# Windows services share these two ports by host name and path, so a meeting there is ordinary.
_SHARED: Final = ServiceSet.of(ports(Protocol.TCP, 80), ports(Protocol.TCP, 443))


def _port_collisions(compiled: _Compiled) -> Iterator[Finding]:
    """Ports that the site moved to where another service of the same tier listens."""
    for name in sorted(compiled.deployment.parameters):
        users = {
            entry.id for entry in compiled.catalog.entries if any(s.parameter == name for s in entry.services)
        }
        moved = compiled.catalog.parameters[name].services(compiled.deployment.parameters[name])
        inside = [flow for flow in compiled.resolution.flows if flow.cause.id in users]
        others = [flow for flow in compiled.resolution.flows if flow.cause.id not in users]
        for flow, other in product(inside, others):
            meeting = (moved & flow.services & other.services) - _SHARED
            if meeting and flow.destination == other.destination:
                yield Finding(
                    "port-taken",
                    name,
                    f"`{name}` moves `{flow.cause.id}` to {meeting}, where `{other.cause.id}` listens "
                    f"on tier `{flow.destination}`",
                    "choose another port, here and in the product",
                    locations=compiled.at("parameters", name),
                    network=compiled.network_of(flow.destination),
                )


def _idle_exclusions(compiled: _Compiled) -> Iterator[Finding]:
    """Exclusions of entries that would give nothing anyway."""
    exclude = compiled.deployment.exclude
    for index, exclusion in enumerate(exclude):
        others = (*exclude[:index], *exclude[index + 1 :])
        if compiled.is_unmoved_by(exclude=others):
            yield Finding(
                "exclusion-without-effect",
                exclusion.entry,
                f"entry `{exclusion.entry}` is excluded, but would produce no rules here anyway",
                f"remove it; see `citrix-netpolicy catalog show {exclusion.entry}`",
                locations=compiled.at("exclude", index),
            )


def _idle_flows(compiled: _Compiled) -> Iterator[Finding]:
    """Flows of the site's own that give less than they say."""
    for item in compiled.resolution.omissions:
        kind, _, name = item.entry.partition("flow:")
        if not kind and name in compiled.deployment.flows:
            yield Finding(
                "flow-without-effect",
                name,
                f"part of flow `{name}` produces no rule: {item}",
                "check its `source` and `destination`",
                locations=compiled.at("flows", name),
            )


def _expired(compiled: _Compiled) -> Iterator[Finding]:
    """Find acceptances, flows and exclusions whose last day has passed.

    They still hold: a date must not break a run.
    """
    deployment = compiled.deployment
    justified: list[tuple[str, str, str, DataPath, Justified]] = [
        *(
            ("acceptance", one.finding, f"`{one.finding}` is accepted", ("accept", index), one)
            for index, one in enumerate(deployment.accept)
        ),
        *(
            ("flow", name, f"flow `{name}` is wanted", ("flows", name), deployment.flows[name])
            for name in sorted(deployment.flows)
        ),
        *(
            ("exclusion", one.entry, f"entry `{one.entry}` is excluded", ("exclude", index), one)
            for index, one in enumerate(deployment.exclude)
        ),
    ]
    for kind, subject, what, path, item in justified:
        if compiled.today is not None and item.is_expired(compiled.today):
            owner = f" (owner: {item.owner})" if item.owner else ""
            yield Finding(
                f"{kind}-expired",
                subject,
                f"{what} until {item.until}, which has passed{owner}",
                f"decide again: move `until`, or remove the {kind} and what makes it necessary",
                locations=compiled.at(*path, "until"),
            )


def _lonely_tiers(compiled: _Compiled) -> Iterator[Finding]:
    """Tiers that have no flow with any peer."""
    busy = {end for flow in compiled.resolution.flows for end in (flow.source, flow.destination)}
    for group in compiled.policy.groups:
        if group.tier not in busy:
            yield Finding(
                "tier-without-peers",
                group.tier,
                f"tier `{group.tier}` has no flow with any peer",
                "check its roles, and that the roles it communicates with are deployed",
                locations=compiled.at("tiers", group.tier),
                network=group.network,
            )


def _roles_without_subnet(compiled: _Compiled) -> Iterator[Finding]:
    """Roles that other roles of the site would speak with, and nobody has."""
    waiting: dict[str, list[str]] = {}
    for item in compiled.resolution.omissions:
        if isinstance(item, RoleMissing) and item.waiting:
            for role in item.roles:
                waiting.setdefault(role, []).append(item.entry)
    for role, entries in sorted(waiting.items()):
        yield Finding(
            "role-without-subnet",
            role,
            f"no tier or external provides role `{role}`; left out: {', '.join(entries)}",
            "add it if you have it",
            Severity.NOTE,
        )


CHECKS: Final[tuple[Callable[[_Compiled], Iterator[Finding]], ...]] = (
    _open_to_the_world,
    _not_for_the_internet,
    _egress_to_any_address,
    _unserved_roles,
    _dark_places,
    _pairs_in_two_tiers,
    _places_of_one,
    _links,
    _port_collisions,
    _idle_features,
    _idle_parameters,
    _idle_exclusions,
    _idle_flows,
    _expired,
    _lonely_tiers,
    _roles_without_subnet,
)
