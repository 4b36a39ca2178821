"""Compile: a deployment and a catalogue become a policy of the fewest rules, with its findings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from citrix_netpolicy.catalog import load_catalog
from citrix_netpolicy.minimize import minimize
from citrix_netpolicy.net import Prefix
from citrix_netpolicy.policy import Direction, Finding, policy_of
from citrix_netpolicy.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from citrix_netpolicy.catalog import Catalog
    from citrix_netpolicy.deployment import Deployment
    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.resolve import Unenforced

__all__ = ["compile_deployment"]


def compile_deployment(deployment: Deployment, catalog: Catalog | None = None) -> Policy:
    """Return the policy of a deployment: for every tier, the fewest rules that permit exactly its flows.

    `catalog` is the shipped one unless given. Raises InputError when the deployment uses a word that the
    catalogue lacks.
    """
    resolution = resolve(deployment, load_catalog() if catalog is None else catalog)
    policy = minimize(policy_of(deployment, resolution), deployment.cidrs)
    findings = (
        *_open_to_the_world(policy),
        *_egress_to_any_address(deployment, policy),
        *_lonely(policy),
        *_missing_roles(policy.unenforced),
    )
    return replace(policy, findings=findings)


def _open_to_the_world(policy: Policy) -> Iterator[Finding]:
    """Find services that any address may reach although no cause is meant for the Internet."""
    for group in policy.groups:
        for rule in group.side(Direction.INGRESS):
            if isinstance(rule.peer, Prefix) and rule.peer.length == 0:
                inside = [cause.id for cause in rule.causes if not cause.internet]
                if inside:
                    message = f"tier `{group.tier}` opens {rule.service} to any address ({rule.peer})"
                    yield Finding("open-to-the-world", group.tier, f"{message}: {', '.join(inside)}")


def _egress_to_any_address(deployment: Deployment, policy: Policy) -> Iterator[Finding]:
    """Find the tiers that open ports to any address for the sake of destinations known by name."""
    for item in policy.named:
        if deployment.egress == "restricted" and deployment.opens_to_names(item.source):
            names = ", ".join(item.names) or "a name that the source does not print"
            message = (
                f"tier `{item.source}` may open {item.services} to any address, for {names} ({item.cause.id})"
            )
            yield Finding("egress-to-any-address", item.source, message)


def _lonely(policy: Policy) -> Iterator[Finding]:
    for group in policy.groups:
        if not any(group.tier in (flow.source, flow.destination) for flow in policy.flows):
            yield Finding("tier-without-peers", group.tier, f"tier `{group.tier}` has no flow with any peer")


def _missing_roles(unenforced: tuple[Unenforced, ...]) -> Iterator[Finding]:
    """Find the roles that other roles of the site would speak with, and nobody has."""
    waiting: dict[str, list[str]] = {}
    for item in unenforced:
        for role in item.missing:
            waiting.setdefault(role, []).append(item.entry)
    for role, entries in sorted(waiting.items()):
        message = f"no tier or external has the role `{role}`, so these give no rule: {', '.join(entries)}"
        yield Finding("role-without-subnet", role, message)
