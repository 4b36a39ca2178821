"""Checks of what is open: to anybody, and from a tier to any address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from citrix_netpolicy.findings import Finding, Severity
from citrix_netpolicy.net import ServiceSet
from citrix_netpolicy.omissions import NotForTheInternet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from citrix_netpolicy.lint.compiled import Compiled
    from citrix_netpolicy.resolve import Flow, NamedDestination

__all__ = ["destinations_by_name", "not_for_the_internet", "open_to_the_world"]


def open_to_the_world(compiled: Compiled) -> Iterator[Finding]:
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


def not_for_the_internet(compiled: Compiled) -> Iterator[Finding]:
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


def destinations_by_name(compiled: Compiled) -> Iterator[Finding]:
    """Tiers that have destinations known by name: what lets them through, and what nothing does."""
    deployment = compiled.deployment
    named: dict[str, list[NamedDestination]] = {}
    for item in compiled.resolution.named if deployment.egress == "restricted" else ():
        if item.source in deployment.tiers:
            named.setdefault(item.source, []).append(item)
    for tier, items in sorted(named.items()):
        names = deployment.names_of(tier)
        entries = ", ".join(sorted({item.cause.id for item in items}))
        services = ServiceSet.union(item.services for item in items)
        place = compiled.at("tiers", tier, "names") if deployment.tiers[tier].names else compiled.at("names")
        if deployment.opens_to_names(tier):
            is_filtered = names != "open"
            told = sorted({name for item in items for name in item.names}) or ["names that no source prints"]
            known = ", ".join(told[:4]) + (f" and {len(told) - 4} more" if len(told) > 4 else "")
            yield Finding(
                "egress-to-any-address",
                tier,
                f"tier `{tier}` may open {services} to any address, for {known} ({entries})",
                "" if is_filtered else "filter names on a firewall or a proxy, and say so with `names`",
                Severity.NOTE if is_filtered else Severity.WARNING,
                locations=place,
                network=deployment.network_of(tier),
            )
        elif names == "listed":
            needed = {item.cause.id for item in items}
            essential = sorted(entry for entry in needed if compiled.catalog.entry(entry).essential)
            if essential:
                yield Finding(
                    "names-not-reached",
                    tier,
                    f"tier `{tier}` does not work without destinations that have only a name, and its group "
                    f"stays shut to them: {', '.join(essential)}",
                    "say what lets them through: `names: {through: firewall}`, "
                    "`names: {through: proxy, end: ..., port: ...}`, or `names: open`",
                    locations=compiled.at("tiers", tier),
                    network=deployment.network_of(tier),
                )
