"""Compile: a deployment and a catalogue become a policy of the fewest rules, with all that led to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.lint import lint
from citrix_netpolicy.minimize import lower_bound, minimize
from citrix_netpolicy.net import ALL, Prefix, Protocol, Service, ServiceSet
from citrix_netpolicy.policy import (
    Cause,
    Direction,
    ExistingGroup,
    Group,
    GroupKey,
    GroupReference,
    Policy,
    PrefixList,
    Rule,
    ServiceTag,
    rule_order,
)
from citrix_netpolicy.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from citrix_netpolicy.findings import Finding
    from citrix_netpolicy.inputs.catalog import Catalog
    from citrix_netpolicy.inputs.deployment import Deployment, External
    from citrix_netpolicy.policy import Peer
    from citrix_netpolicy.resolve import Flow, Resolution

__all__ = ["Compilation", "compile_deployment", "spell_out"]


@dataclass(frozen=True, slots=True)
class Compilation:
    """A deployment compiled with a catalogue.

    `policy` has the fewest rules, `resolution` the flows behind them and what was left out. `spelled_out` is
    the policy of one rule for each flow, prefix and port range, before any two were joined. `findings` are
    what lint says; what a target says of its files comes with them, from `render`.
    """

    deployment: Deployment
    catalog: Catalog
    resolution: Resolution
    spelled_out: Policy
    policy: Policy
    findings: tuple[Finding, ...]

    @property
    def naive_rules(self) -> int:
        """How many rules it takes to say every flow on its own."""
        return self.spelled_out.rule_count

    @property
    def lower_bound(self) -> int:
        """The proven least number of rules with the same traffic, one prefix and one service each."""
        return lower_bound(self.policy.groups)


def compile_deployment(
    deployment: Deployment, catalog: Catalog | None = None, today: date | None = None
) -> Compilation:
    """Return a deployment compiled: for every tier, the fewest rules that permit exactly its flows.

    `catalog` is the shipped one, with the files that the deployment adds, unless given. `today` lets
    findings say which acceptances have expired; the policy never depends on it, and without it nothing is
    said of dates. Raises InputError when the deployment uses a word that the catalogue lacks, or adds a file
    that does not fit.
    """
    if catalog is None:
        catalog = load_catalog(*deployment.catalog_files())
    resolution = resolve(deployment, catalog)
    spelled_out = spell_out(deployment, resolution)
    policy = minimize(spelled_out, deployment.cidrs)
    findings = lint(deployment, catalog, resolution, policy, today)
    return Compilation(deployment, catalog, resolution, spelled_out, policy, findings)


def spell_out(deployment: Deployment, resolution: Resolution) -> Policy:
    """Return the policy that says each flow on its own: one rule for each prefix and service.

    It permits what the flows say, before any rule is merged with another.
    """
    rules: dict[str, list[Rule]] = {tier: [] for tier in deployment.tiers}
    for flow in resolution.flows:
        if flow.source in rules and deployment.egress == "restricted":
            rules[flow.source] += _rules(deployment, flow, Direction.EGRESS)
        if flow.destination in rules:
            rules[flow.destination] += _rules(deployment, flow, Direction.INGRESS)
    for tier, tier_rules in rules.items():
        tier_rules.extend(_probes(deployment, tier))
    for item in resolution.named if deployment.egress == "restricted" else ():
        if deployment.opens_to_names(item.source):
            rules[item.source] += _egress_to_any(item.services, item.cause)
    if deployment.egress == "open":
        cause = Cause(
            "egress-open",
            "All egress is open",
            ("deployment, egress",),
            kind="setting",
            mark=deployment.mark(("egress",)),
        )
        for tier_rules in rules.values():
            tier_rules.extend(_egress_to_any(ALL, cause))
    return Policy.of(
        Group(GroupKey(deployment.network_of(tier), tier), tuple(sorted(tier_rules, key=rule_order)))
        for tier, tier_rules in rules.items()
    )


def _rules(deployment: Deployment, flow: Flow, direction: Direction) -> Iterator[Rule]:
    """Yield a flow as the rules of the group at one of its ends."""
    ingress = direction is Direction.INGRESS
    tier, peer = (flow.destination, flow.source) if ingress else (flow.source, flow.destination)
    for found in _peers(deployment, tier, peer):
        services = flow.services
        if isinstance(found, Prefix):
            services = services.without_icmp_beside({found.version})
        for service in services.blocks():
            yield Rule(direction, found, service, (flow.cause,))


def _peers(deployment: Deployment, tier: str, peer: str) -> Iterator[Peer]:
    """Yield how the group of `tier` names the tier or external `peer`."""
    if peer in deployment.external:
        yield from _external_peers(deployment.external[peer])
        return
    network = deployment.network_of(tier)
    if deployment.peers_of(network) == "group" and deployment.network_of(peer) == network:
        yield GroupReference(peer)
        return
    families = {prefix.version for prefix in deployment.tiers[tier].subnets}
    yield from (prefix for prefix in deployment.tiers[peer].subnets if prefix.version in families)


def _external_peers(external: External) -> Iterator[Peer]:
    if external.prefix_list:
        yield PrefixList(external.prefix_list.id, external.prefix_list.max_entries)
    elif external.security_group:
        yield ExistingGroup(external.security_group)
    elif external.service_tag:
        yield ServiceTag(external.service_tag)
    else:
        yield from external.addresses or ()


def _probes(deployment: Deployment, tier: str) -> Iterator[Rule]:
    """Yield what lets Azure's load balancer probe a tier; the final deny would stop it otherwise."""
    spans = (Service(Protocol.TCP, *span) for span in deployment.tiers[tier].probe_ports)
    cause = Cause(
        "load-balancer-probes",
        "Health probes of the load balancer",
        ("deployment, probe-ports",),
        kind="setting",
        mark=deployment.mark(("tiers", tier, "probe-ports")),
    )
    for block in ServiceSet.of(*spans).blocks():
        yield Rule(Direction.INGRESS, ServiceTag("AzureLoadBalancer"), block, (cause,))


def _egress_to_any(services: ServiceSet, cause: Cause) -> Iterator[Rule]:
    for block in services.blocks():
        for everywhere in (Prefix(4, 0, 0), Prefix(6, 0, 0)):
            yield Rule(Direction.EGRESS, everywhere, block, (cause,))
