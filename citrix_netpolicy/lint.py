"""Lint: what a site compiles to without fault, and yet is probably not what was meant.

A check takes the site as compiled and yields findings. `CHECKS` is the order in which they are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.errors import InputError
from citrix_netpolicy.net import Prefix, Protocol, ServiceSet, ports
from citrix_netpolicy.policy import Direction, Finding
from citrix_netpolicy.resolve import feature_states, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from citrix_netpolicy.inputs.catalog import Catalog
    from citrix_netpolicy.inputs.deployment import Deployment
    from citrix_netpolicy.policy import Policy

__all__ = ["CHECKS", "lint"]


@dataclass(frozen=True)
class _Site:
    """A deployment, the catalogue it was compiled with, and its policy."""

    deployment: Deployment
    catalog: Catalog
    policy: Policy

    @cached_property
    def roles(self) -> frozenset[str]:
        return frozenset(role for end in self.deployment.ends.values() for role in end.roles)

    @cached_property
    def features(self) -> dict[str, bool]:
        return feature_states(self.deployment, self.catalog)

    def is_unmoved_by(self, **changes: object) -> bool:
        """Tell whether other features or parameters would come to the same flows."""
        try:
            resolution = resolve(self.deployment.model_copy(update=changes), self.catalog)
        except InputError:
            # Another feature needs or excludes this one, so it does have an effect.
            return False
        return (resolution.flows, resolution.named) == (self.policy.flows, self.policy.named)


def lint(deployment: Deployment, catalog: Catalog, policy: Policy) -> tuple[Finding, ...]:
    """Return the findings on a site, check by check."""
    site = _Site(deployment, catalog, policy)
    return tuple(finding for check in CHECKS for finding in check(site))


def _open_to_the_world(site: _Site) -> Iterator[Finding]:
    """Services that any address may reach although a cause of them is not meant for the Internet."""
    for group in site.policy.groups:
        for rule in group.side(Direction.INGRESS):
            inside = [cause.id for cause in rule.causes if not cause.internet]
            if inside and isinstance(rule.peer, Prefix) and rule.peer.length == 0:
                yield Finding(
                    "open-to-the-world",
                    group.tier,
                    f"tier `{group.tier}` opens {rule.service} to any address ({rule.peer}), and with it "
                    f"what is not meant for the Internet: {', '.join(inside)}",
                    "narrow the peer's addresses, or give roles that face the Internet a tier of their own",
                )


def _egress_to_any_address(site: _Site) -> Iterator[Finding]:
    """Ports that a tier may open to any address for the sake of destinations known by name."""
    for item in site.policy.named:
        if site.deployment.egress == "restricted" and site.deployment.opens_to_names(item.source):
            names = ", ".join(item.names) or "a name that the source does not print"
            yield Finding(
                "egress-to-any-address",
                item.source,
                f"tier `{item.source}` may open {item.services} to any address, "
                f"for {names} ({item.cause.id})",
                "filter names on a firewall or proxy and remove `egress-to-names: open`",
            )


def _unserved_roles(site: _Site) -> Iterator[Finding]:
    """Roles that are there without another that they cannot work without."""
    for role in sorted(site.roles):
        for need in site.catalog.roles[role].needs:
            wanted = need.feature is None or site.features[need.feature]
            if wanted and site.roles.isdisjoint(need.one_of):
                lacking = " or ".join(f"`{partner}`" for partner in need.one_of)
                remedy = f"give a tier or an external the role {lacking}"
                yield Finding(
                    "role-cannot-work",
                    role,
                    f"the site has `{role}` but not {lacking}: {need.why}",
                    f"{remedy}, or turn `{need.feature}` off" if need.feature else remedy,
                )


def _idle_features(site: _Site) -> Iterator[Finding]:
    """Features that the site sets to another state than it would have, without any effect."""
    deployment = site.deployment
    for name in sorted(deployment.features):
        others = {other: state for other, state in deployment.features.items() if other != name}
        flipped = {**others, name: not deployment.features[name]}
        if deployment.features[name] is site.catalog.features[name].default:
            continue
        if site.is_unmoved_by(features=flipped):
            state = "on" if deployment.features[name] else "off"
            yield Finding(
                "feature-without-effect",
                name,
                f"feature `{name}` is {state}, which changes nothing in this site",
                "remove it, or deploy the roles it is about",
            )


def _idle_parameters(site: _Site) -> Iterator[Finding]:
    """Parameters that the site sets, without any effect."""
    for name in sorted(site.deployment.parameters):
        others = {other: value for other, value in site.deployment.parameters.items() if other != name}
        if site.is_unmoved_by(parameters=others):
            yield Finding(
                "parameter-without-effect",
                name,
                f"parameter `{name}` changes nothing in this site",
                "remove it, or deploy the roles it is about",
            )


# Windows services share these two ports by host name and path, so a meeting there is ordinary.
_SHARED: Final = ServiceSet.of(ports(Protocol.TCP, 80), ports(Protocol.TCP, 443))


def _port_collisions(site: _Site) -> Iterator[Finding]:
    """Ports that the site moved to where another service of the same tier listens."""
    for name in sorted(site.deployment.parameters):
        users = {
            entry.id for entry in site.catalog.entries if any(s.parameter == name for s in entry.services)
        }
        moved = site.catalog.parameters[name].services(site.deployment.parameters[name])
        inside = [flow for flow in site.policy.flows if flow.cause.id in users]
        others = [flow for flow in site.policy.flows if flow.cause.id not in users]
        for flow, other in product(inside, others):
            meeting = (moved & flow.services & other.services) - _SHARED
            if meeting and flow.destination == other.destination:
                yield Finding(
                    "port-taken",
                    name,
                    f"`{name}` moves `{flow.cause.id}` to {meeting}, where `{other.cause.id}` listens "
                    f"on tier `{flow.destination}`",
                    "choose another port, here and in the product",
                )


def _idle_exclusions(site: _Site) -> Iterator[Finding]:
    """Exclusions of entries that would give nothing anyway."""
    for exclusion in site.deployment.exclude:
        others = tuple(other for other in site.deployment.exclude if other != exclusion)
        if site.is_unmoved_by(exclude=others):
            yield Finding(
                "exclusion-without-effect",
                exclusion.entry,
                f"the entry `{exclusion.entry}` is excluded, but gives nothing in this site anyway",
                f"remove it; `citrix-netpolicy catalog show {exclusion.entry}` tells of the entry",
            )


def _idle_flows(site: _Site) -> Iterator[Finding]:
    """Flows of the site's own that give less than they say."""
    for item in site.policy.unenforced:
        kind, _, name = item.entry.partition("flow:")
        if not kind and name in site.deployment.flows:
            yield Finding(
                "flow-without-effect",
                name,
                f"a part of the flow `{name}` gives no rule: {item.reason}",
                "check its ends",
            )


def _lonely_tiers(site: _Site) -> Iterator[Finding]:
    """Tiers that have no flow with any peer."""
    busy = {end for flow in site.policy.flows for end in (flow.source, flow.destination)}
    for group in site.policy.groups:
        if group.tier not in busy:
            yield Finding(
                "tier-without-peers",
                group.tier,
                f"tier `{group.tier}` has no flow with any peer",
                "check its roles, and that the roles it speaks with are deployed",
            )


def _roles_without_subnet(site: _Site) -> Iterator[Finding]:
    """Roles that other roles of the site would speak with, and nobody has."""
    waiting: dict[str, list[str]] = {}
    for item in site.policy.unenforced:
        for role in item.missing:
            waiting.setdefault(role, []).append(item.entry)
    for role, entries in sorted(waiting.items()):
        yield Finding(
            "role-without-subnet",
            role,
            f"no tier or external has the role `{role}`, so these give no rule: {', '.join(entries)}",
            "add it if the site has it",
        )


CHECKS: Final[tuple[Callable[[_Site], Iterator[Finding]], ...]] = (
    _open_to_the_world,
    _egress_to_any_address,
    _unserved_roles,
    _port_collisions,
    _idle_features,
    _idle_parameters,
    _idle_exclusions,
    _idle_flows,
    _lonely_tiers,
    _roles_without_subnet,
)
