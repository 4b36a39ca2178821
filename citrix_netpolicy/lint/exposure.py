"""Checks of what is open: to anybody, and from a tier to any address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from citrix_netpolicy.findings import Finding, Severity
from citrix_netpolicy.net import EMPTY, ServiceSet
from citrix_netpolicy.omissions import NotForTheInternet
from citrix_netpolicy.policy import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from citrix_netpolicy.inputs.deployment import Deployment
    from citrix_netpolicy.lint.compiled import Compiled
    from citrix_netpolicy.net import Prefix
    from citrix_netpolicy.resolve import Flow, NamedDestination

__all__ = [
    "addresses_of_another_family",
    "destinations_by_name",
    "groups_of_others",
    "not_for_the_internet",
    "open_to_the_world",
    "shared_addresses",
]


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


def groups_of_others(compiled: Compiled) -> Iterator[Finding]:
    """Security groups that others have made, and that nobody has audited."""
    for name, tier in sorted(compiled.deployment.tiers.items()):
        if tier.group and tier.group.id and tier.group.audited is None:
            yield Finding(
                "group-not-audited",
                name,
                f"tier `{name}`: group `{tier.group.id}` was made by others, and what it holds beside our "
                "rules stays in force, such as the egress to any address that the console gives a group; "
                "where a state holds its rules inline, each apply of that one removes ours",
                "look at its rules and at whoever manages them; then say `audited` with the day",
                locations=compiled.at("tiers", name, "group", "id"),
                network=compiled.deployment.network_of(name),
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


def addresses_of_another_family(compiled: Compiled) -> Iterator[Finding]:
    """Externals with addresses of a family that no tier has which they meet: no rule names these."""
    deployment = compiled.deployment
    if not deployment.has_edition("2026.12"):
        return
    met: dict[str, set[int]] = {}
    for flow in compiled.resolution.flows:
        for external, tier in ((flow.source, flow.destination), (flow.destination, flow.source)):
            if external in deployment.external and tier in deployment.tiers:
                met.setdefault(external, set()).update(p.version for p in deployment.tiers[tier].prefixes)
    for external, families in sorted(met.items()):
        others = {prefix.version for prefix in deployment.external[external].prefixes} - families
        if others:
            yield Finding(
                "other-family",
                external,
                f"no rule names the IPv{others.pop()} addresses of `{external}`: its tiers have none",
                "remove them, or add the subnets that tiers have in this family",
                Severity.NOTE,
                locations=compiled.at("external", external),
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
            essential = sorted(
                cause for cause in needed if cause in compiled.entries and compiled.entries[cause].essential
            )
            if essential:
                # What several entries need is often the same.
                otherwise = dict.fromkeys(compiled.entries[cause].otherwise for cause in essential)
                yield Finding(
                    "names-not-reached",
                    tier,
                    f"tier `{tier}` does not work without destinations that have only a name, and its group "
                    f"stays shut to them: {', '.join(essential)}",
                    "say what lets them through: `names: {through: firewall}`, "
                    "`names: {through: proxy, end: ..., port: ...}`, or `names: open`"
                    + "".join(f"; {one}" for one in otherwise if one),
                    locations=compiled.at("tiers", tier),
                    network=deployment.network_of(tier),
                )


def shared_addresses(compiled: Compiled) -> Iterator[Finding]:
    """Tiers that share addresses, where a rule names one by address and so lets the other in as well."""
    deployment = compiled.deployment
    shared = _sharing(deployment)
    if not shared:
        return
    # What a tier opens to or from each peer by its addresses.
    opened: dict[tuple[str, Direction], dict[str, ServiceSet]] = {}
    for flow in compiled.resolution.flows:
        sides = (
            (flow.source, Direction.EGRESS, flow.destination),
            (flow.destination, Direction.INGRESS, flow.source),
        )
        for tier, way, peer in sides:
            if tier in deployment.tiers and not (way is Direction.EGRESS and deployment.egress == "open"):
                peers = opened.setdefault((tier, way), {})
                peers[peer] = peers.get(peer, EMPTY) | flow.services
    found: dict[str, dict[str, list[str]]] = {}
    # Equal services are one object, so that a pair is found without looking at what it holds.
    one: dict[ServiceSet, ServiceSet] = {EMPTY: EMPTY}
    for peers in opened.values():
        peers |= {peer: one.setdefault(services, services) for peer, services in peers.items()}
    beyond: dict[tuple[int, int], ServiceSet] = {}
    for (tier, way), peers in sorted(opened.items()):
        network = deployment.network_of(tier)
        for peer, services in sorted(peers.items()):
            is_by_address = peer in shared and (
                deployment.network_of(peer) != network or deployment.peers_of(network) == "cidr"
            )
            for other in shared[peer] if is_by_address else ():
                needed = peers.get(other, one[EMPTY])
                key = (id(services), id(needed))
                if key not in beyond:
                    beyond[key] = services - needed
                if beyond[key] and other != tier:
                    preposition = "from" if way is Direction.INGRESS else "to"
                    told = found.setdefault(peer, {}).setdefault(other, [])
                    told.append(f"`{tier}` {preposition} it: {beyond[key]}")
    for peer, others in sorted(found.items()):
        other, opens = next(iter(others.items()))
        more = f" and {len(shared[peer]) - 1} others" if len(shared[peer]) > 1 else ""
        left = f"; and {len(opens) - _OPENS} more" if len(opens) > _OPENS else ""
        yield Finding(
            "shared-address",
            peer,
            f"`{peer}` shares addresses with `{other}`{more}, and rules that name it by address permit "
            f"`{other}` as well: {'; '.join(opens[:_OPENS])}{left}",
            "give them subnets of their own, or keep all of them in one network whose rules name groups",
            locations=compiled.at("tiers", peer, "subnets"),
            network=deployment.network_of(peer),
        )


# More than these of one tier are counted, and not looked at one by one.
_OTHERS: Final = 5
_OPENS: Final = 6


def _sharing(deployment: Deployment) -> dict[str, list[str]]:
    """Return with which tiers of its network each tier shares addresses: some of them where they are many."""
    found: dict[str, dict[str, None]] = {}
    networks: dict[str, list[tuple[Prefix, str]]] = {}
    for name, tier in deployment.tiers.items():
        placed = networks.setdefault(deployment.network_of(name), [])
        placed += [(subnet, name) for subnet in tier.subnets]
    for placed in networks.values():
        open_: list[tuple[Prefix, str]] = []
        # A wider prefix sorts first, so another overlaps those that are still open before it.
        for prefix, name in sorted(placed):
            open_ = [(other, holder) for other, holder in open_ if other.overlaps(prefix)]
            for _, holder in open_:
                for one, two in ((name, holder), (holder, name)):
                    others = found.setdefault(one, {})
                    if one != two and len(others) < _OTHERS:
                        others[two] = None
            open_ = [*open_[-_OTHERS:], (prefix, name)]
    return {name: sorted(others) for name, others in found.items() if others}
