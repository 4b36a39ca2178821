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
from citrix_netpolicy.net import BITS, Prefix, Protocol, ServiceSet, ports
from citrix_netpolicy.omissions import RoleMissing
from citrix_netpolicy.policy import Direction
from citrix_netpolicy.resolve import feature_states, resolve
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from citrix_netpolicy.errors import Mark
    from citrix_netpolicy.inputs.catalog import Catalog
    from citrix_netpolicy.inputs.deployment import Deployment
    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.resolve import Resolution

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
    """Services that any address may reach although a cause of them is not meant for the Internet."""
    for group in compiled.policy.groups:
        rules = group.side(Direction.INGRESS)
        # Rules are only made where one of them does open something to every address.
        if not any(reach_of(rules).services(Prefix(version, 0, 0)) for version in BITS):
            continue
        for rule in rules:
            inside = [cause.id for cause in rule.causes if not cause.internet]
            if inside and isinstance(rule.peer, Prefix) and rule.peer.length == 0:
                yield Finding(
                    "open-to-the-world",
                    group.tier,
                    f"tier `{group.tier}` opens {rule.service} to any address ({rule.peer}), "
                    f"including flows not meant for the Internet: {', '.join(inside)}",
                    "narrow the peer's addresses, or move roles that face the Internet to their own tier",
                    locations=compiled.at("tiers", group.tier),
                    network=group.network,
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


def _idle_features(compiled: _Compiled) -> Iterator[Finding]:
    """Features that the site sets to another state than it would have, without any effect."""
    deployment = compiled.deployment
    for name in sorted(deployment.features):
        others = {other: state for other, state in deployment.features.items() if other != name}
        flipped = {**others, name: not deployment.features[name]}
        without = feature_states(deployment.model_copy(update={"features": others}), compiled.catalog)
        if deployment.features[name] is without[name]:
            continue
        if compiled.is_unmoved_by(features=flipped):
            state = "on" if deployment.features[name] else "off"
            yield Finding(
                "feature-without-effect",
                name,
                f"feature `{name}` is {state}, which has no effect here",
                "remove it, or deploy the roles that it affects",
                locations=compiled.at("features", name),
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
    for index, exclusion in enumerate(compiled.deployment.exclude):
        others = tuple(one for one in compiled.deployment.exclude if one.entry != exclusion.entry)
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


def _expired_acceptances(compiled: _Compiled) -> Iterator[Finding]:
    """Find acceptances whose last day has passed.

    They still hold: a date must not break a run.
    """
    for index, acceptance in enumerate(compiled.deployment.accept):
        if compiled.today is not None and acceptance.is_expired(compiled.today):
            owner = f" (owner: {acceptance.owner})" if acceptance.owner else ""
            yield Finding(
                "acceptance-expired",
                acceptance.finding,
                f"`{acceptance.finding}` is accepted until {acceptance.until}, which has passed{owner}",
                "decide again: move `until`, or remove the acceptance and what makes it necessary",
                locations=compiled.at("accept", index, "until"),
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
    _egress_to_any_address,
    _unserved_roles,
    _port_collisions,
    _idle_features,
    _idle_parameters,
    _idle_exclusions,
    _idle_flows,
    _expired_acceptances,
    _lonely_tiers,
    _roles_without_subnet,
)
