"""Checks of whether what is described can work: needs, directory, consoles, and ports that have to be set."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.findings import Finding, Severity
from citrix_netpolicy.net import Protocol, ServiceSet, ports
from citrix_netpolicy.omissions import FeatureOff, ParameterUnset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from citrix_netpolicy.inputs.catalog import Entry
    from citrix_netpolicy.lint.compiled import Compiled

__all__ = [
    "consoles_without_administrators",
    "found_ports",
    "idle_roles",
    "no_directory",
    "pairs_without_balancer",
    "port_collisions",
    "unserved_roles",
    "unset_parameters",
]


def unserved_roles(compiled: Compiled) -> Iterator[Finding]:
    """Roles of tiers that are there without another that they cannot work without.

    What an external lacks is not ours to complete.
    """
    for role in sorted({role for tier in compiled.deployment.tiers.values() for role in tier.roles}):
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


def no_directory(compiled: Compiled) -> Iterator[Finding]:
    """Windows members that reach no directory, or no name server, although their egress is restricted."""
    deployment = compiled.deployment
    members = sorted(compiled.members & deployment.tiers.keys())
    for network, tiers in _by_network(compiled, members if deployment.egress == "restricted" else ()):
        said = (
            f"{_listed(tiers)} are Windows members" if len(tiers) > 1 else f"`{tiers[0]}` is a Windows member"
        )
        if "domain-controller" not in compiled.roles:
            yield Finding(
                "no-directory",
                network,
                f"{said}, and nobody has role `domain-controller`: they do not start, and nobody can log on",
                "add an external with roles [domain-controller, dns]; in a workgroup, accept this finding",
                locations=compiled.at("tiers", tiers[0]),
                network=network,
            )
        elif "dns" not in compiled.roles:
            yield Finding(
                "no-name-server",
                network,
                f"{said}, and nobody has role `dns`: they find no domain controller",
                "give the role to the domain controllers if they answer for names, or add the name servers",
                locations=compiled.at("tiers", tiers[0]),
                network=network,
            )


def _by_network(compiled: Compiled, tiers: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    networks: dict[str, list[str]] = {}
    for tier in tiers:
        networks.setdefault(compiled.deployment.network_of(tier), []).append(tier)
    yield from sorted(networks.items())


def _listed(tiers: Iterable[str]) -> str:
    return ", ".join(f"`{tier}`" for tier in tiers)


def idle_roles(compiled: Compiled) -> Iterator[Finding]:
    """Roles of tiers about which nothing is on, although the tier has other flows."""
    own: dict[str, list[Entry]] = {}
    for entry in compiled.catalog.entries:
        if entry.treatment in ("enforce", "name") and compiled.deployment.has_edition(entry.since):
            for role in {*entry.source, *entry.destination}:
                own.setdefault(role, []).append(entry)
    flows, resolution = compiled.resolution.flows, compiled.resolution
    busy = {(flow.cause.id, end) for flow in flows for end in (flow.source, flow.destination)}
    busy |= {(item.cause.id, item.source) for item in resolution.named}
    off: dict[str, set[str]] = {}
    for item in resolution.omissions:
        if isinstance(item, FeatureOff) and not item.state:
            off.setdefault(item.entry, set()).add(item.feature)
    for name, tier in sorted(compiled.deployment.tiers.items()):
        if all(end != name for _, end in busy):
            continue  # it has no flow at all, which another check tells
        for role in tier.roles:
            part = compiled.catalog.roles[role].stands_in_for
            entries = [*own.get(role, ()), *(own.get(part.role, ()) if part else ())]
            if any((entry.id, name) in busy for entry in entries):
                continue
            features = sorted(set[str]().union(*(off.get(entry.id, ()) for entry in entries)))
            if entries and not features:
                continue  # somebody is missing, which is no fault of this tier
            yield Finding(
                "idle-role",
                name,
                f"nothing about role `{role}` of tier `{name}` is on",
                f"features that would be about it are off: {', '.join(features)}"
                if features
                else "the catalogue has no entry about it; use flows of your own",
                locations=compiled.at("tiers", name),
                network=compiled.deployment.network_of(name),
            )


def found_ports(compiled: Compiled) -> Iterator[Finding]:
    """Entries that open the port of a lookup, while what is found has its default and stays shut."""
    busy = {flow.cause.id for flow in compiled.resolution.flows}
    for entry in compiled.catalog.entries:
        finds = entry.finds
        if finds is None or entry.id not in busy or finds.parameter in compiled.deployment.parameters:
            continue
        if finds.feature is not None and compiled.features[finds.feature]:
            continue
        way = f", or turn `{finds.feature}` on" if finds.feature else ""
        yield Finding(
            "found-port-shut",
            entry.id,
            f"`{entry.id}` opens a lookup of what listens elsewhere, and `{finds.parameter}` has its "
            f"default: {finds.why}",
            f"set the parameter `{finds.parameter}` to the port that it listens on{way}",
            locations=compiled.at("parameters"),
        )


def unset_parameters(compiled: Compiled) -> Iterator[Finding]:
    """Entries that have both of their ends, and no port until a parameter is set."""
    waiting: dict[str, list[str]] = {}
    for item in compiled.resolution.omissions:
        if isinstance(item, ParameterUnset):
            entry = compiled.entries[item.entry]
            pairs = product(*(compiled.holders_of(roles) for roles in (entry.source, entry.destination)))
            # A single host has nobody to speak with in its own tier.
            if any(one != other or not compiled.is_one_host(one) for one, other in pairs):
                waiting.setdefault(item.parameter, []).append(item.entry)
    for parameter, entries in sorted(waiting.items()):
        yield Finding(
            "parameter-unset",
            parameter,
            f"parameter `{parameter}` is not set, so these give no rule: {', '.join(sorted(set(entries)))}",
            f"set it: {compiled.catalog.parameters[parameter].description.strip().rstrip('.')}",
        )


def consoles_without_administrators(compiled: Compiled) -> Iterator[Finding]:
    """Tiers that have a console which no administration workstation reaches."""
    admins = {name for name, end in compiled.deployment.ends.items() if "admin-workstation" in end.roles}
    managed = {
        flow.destination
        for flow in compiled.resolution.flows
        if flow.source in admins or flow.cause.kind == "flow"
    }
    consoles = {role for role, known in compiled.catalog.roles.items() if known.console}
    shut = sorted(
        name
        for name, tier in compiled.deployment.tiers.items()
        if consoles.intersection(tier.roles) and name not in managed
    )
    for network, tiers in _by_network(compiled, shut):
        yield Finding(
            "console-without-administrators",
            network,
            f"nobody may open the consoles of {_listed(tiers)}",
            "add a tier or external with role `admin-workstation`, or a flow of your own",
            Severity.NOTE,
            locations=compiled.at("tiers", tiers[0]),
            network=network,
        )


def pairs_without_balancer(compiled: Compiled) -> Iterator[Finding]:
    """Pairs of ADCs in Azure, where no address moves from one to the other without a balancer."""
    deployment = compiled.deployment
    for name, tier in sorted(deployment.tiers.items()):
        is_pair = (
            "netscaler-vip" in tier.roles and not compiled.is_one_host(name) and compiled.features["adc-ha"]
        )
        is_balanced = tier.behind is not None and not tier.behind.end
        cloud = deployment.networks[deployment.network_of(name)].cloud
        if is_pair and cloud == "azure" and not is_balanced:
            yield Finding(
                "pair-without-balancer",
                name,
                f"tier `{name}` may hold a pair of ADCs, and in Azure an address does not move between them: "
                "a load balancer in front probes them, and its probes are shut out",
                "say `behind: {probes: 9000}`, or turn `adc-ha` off if it is a single ADC",
                locations=compiled.at("tiers", name),
                network=deployment.network_of(name),
            )


# Windows services share these two ports by host name and path, so a meeting there is ordinary.
_SHARED: Final = ServiceSet.of(ports(Protocol.TCP, 80), ports(Protocol.TCP, 443))


def port_collisions(compiled: Compiled) -> Iterator[Finding]:
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
