"""Checks of places: who is out of reach, and links that do nothing or too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from citrix_netpolicy.findings import Finding, Severity
from citrix_netpolicy.meeting import is_one_host
from citrix_netpolicy.omissions import Distant
from citrix_netpolicy.places import holds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from citrix_netpolicy.lint.compiled import Compiled
    from citrix_netpolicy.places import Place

__all__ = ["dark_places", "links", "pairs_in_two_tiers", "places_of_one"]


def dark_places(compiled: Compiled) -> Iterator[Finding]:
    """Tiers that, from where they are, meet nobody in a role that somebody elsewhere has."""
    deployment, catalog = compiled.deployment, compiled.catalog
    ends_of = compiled.meetings.ends_of
    met = {
        (flow.cause.id, end) for flow in compiled.resolution.flows for end in (flow.source, flow.destination)
    }
    dark: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    for item in compiled.resolution.omissions:
        if not isinstance(item, Distant) or item.reach == "tier":
            continue
        for tier, peer in ((item.source, item.destination), (item.destination, item.source)):
            if tier in deployment.tiers and (item.entry, tier) not in met:
                for role in ends_of[peer].roles:
                    dark.setdefault((tier, role), {}).setdefault(item.entry, (item.source, item.destination))
    for (tier, role), entries in sorted(dark.items()):
        known = {wanted for entry in entries for wanted in _roles_of(compiled, entry)}
        if role not in known:
            continue
        needed = {
            other
            for own in deployment.tiers[tier].roles
            for need in catalog.roles[own].needs
            for other in need.one_of
        }
        origin, target = next(iter(entries.values()))
        ends = [(ends_of[end].at or ("...",))[0] for end in (origin, target)]
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


def _roles_of(compiled: Compiled, entry: str) -> Iterator[str]:
    found = compiled.entries[entry]
    for role in (*found.source, *found.destination):
        yield from compiled.catalog.members(role)


def pairs_in_two_tiers(compiled: Compiled) -> Iterator[Finding]:
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


def places_of_one(compiled: Compiled) -> Iterator[Finding]:
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


def links(compiled: Compiled) -> Iterator[Finding]:
    """Links without effect, and those that open all that there is."""
    links = compiled.deployment.links
    for index, link in enumerate(links):
        name = f"{', '.join(link.from_)} to {', '.join(link.to)}"
        if index not in compiled.resolution.links:
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
