"""The policy: all groups and their rules."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from citrix_netpolicy.net import ALL, Prefix, Protocol, Service, ServiceSet
from citrix_netpolicy.resolve import Cause, Flow, NamedDestination, Resolution, Unenforced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from citrix_netpolicy.inputs.deployment import Deployment, External, Network, Quotas

__all__ = [
    "Direction",
    "ExistingGroup",
    "Finding",
    "Group",
    "GroupReference",
    "Peer",
    "Policy",
    "PrefixList",
    "Rule",
    "ServiceTag",
    "policy_of",
    "rule_order",
]


class Direction(StrEnum):
    """The way of a connection, seen from the group."""

    INGRESS = "ingress"
    EGRESS = "egress"


@dataclass(frozen=True, slots=True)
class GroupReference:
    """The group of a tier in the same network."""

    tier: str

    def __str__(self) -> str:
        return self.tier


@dataclass(frozen=True, slots=True)
class PrefixList:
    """A prefix list of AWS. It is the same list whatever its maximum of entries."""

    id: str
    max_entries: int = field(default=1, compare=False)

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class ExistingGroup:
    """A security group that exists outside the deployment: `sg-…` or `account/sg-…`."""

    id: str

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class ServiceTag:
    """A service tag of Azure."""

    name: str

    def __str__(self) -> str:
        return self.name


Peer = Prefix | GroupReference | PrefixList | ExistingGroup | ServiceTag
_PEER_KINDS = (GroupReference, ExistingGroup, PrefixList, ServiceTag, Prefix)


@dataclass(frozen=True, slots=True)
class Rule:
    """A flow seen from one group. `causes` say why; they are no part of what a rule is."""

    direction: Direction
    peer: Peer
    service: Service
    causes: tuple[Cause, ...] = field(default=(), compare=False)


def rule_order(rule: Rule) -> tuple[object, ...]:
    """Sort rules by direction, service, kind of peer, then address as a number."""
    peer = rule.peer
    place = peer if isinstance(peer, Prefix) else (str(peer),)
    ingress_first = rule.direction is Direction.EGRESS
    return (ingress_first, rule.service, _PEER_KINDS.index(type(peer)), place)


@dataclass(frozen=True, slots=True)
class Group:
    """The group of a tier, with its rules in `rule_order`."""

    tier: str
    network: str
    rules: tuple[Rule, ...]

    def side(self, direction: Direction) -> tuple[Rule, ...]:
        """Return the rules of one direction."""
        return tuple(rule for rule in self.rules if rule.direction is direction)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something a reviewer should look at, and what to do about it.

    `code` names the check, `subject` the tier, role or word that it found.
    """

    code: str
    subject: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Policy:
    """All groups of a deployment and their rules; groups are sorted by tier.

    `naive_rules` is what one rule for each flow, prefix and port range would take; `lower_bound` is the
    proven least number of rules that permit the same.
    """

    name: str
    networks: dict[str, Network]
    quotas: Quotas
    groups: tuple[Group, ...]
    flows: tuple[Flow, ...] = field(default=(), compare=False)
    named: tuple[NamedDestination, ...] = field(default=(), compare=False)
    unenforced: tuple[Unenforced, ...] = field(default=(), compare=False)
    findings: tuple[Finding, ...] = field(default=(), compare=False)
    naive_rules: int = field(default=0, compare=False)
    lower_bound: int = field(default=0, compare=False)

    @property
    def rule_count(self) -> int:
        """How many rules all groups have together."""
        return sum(len(group.rules) for group in self.groups)

    def group(self, tier: str) -> Group:
        """Return the group of a tier. Raises KeyError when there is none."""
        for group in self.groups:
            if group.tier == tier:
                return group
        raise KeyError(tier)

    def in_network(self, network: str) -> Policy:
        """Return the part of this policy that lies in one network."""
        groups = tuple(group for group in self.groups if group.network == network)
        elsewhere = {group.tier for group in self.groups if group.network != network}
        named = tuple(item for item in self.named if item.source not in elsewhere)
        return replace(self, groups=groups, named=named, networks={network: self.networks[network]})


def policy_of(deployment: Deployment, resolution: Resolution) -> Policy:
    """Return the policy that says each flow on its own: one rule for each prefix and service.

    It permits what the flows say, before any rule is merged with another.
    """
    rules: dict[str, list[Rule]] = {tier: [] for tier in sorted(deployment.tiers)}
    for flow in resolution.flows:
        if flow.source in rules and deployment.egress == "restricted":
            rules[flow.source] += _rules(deployment, flow, Direction.EGRESS)
        if flow.destination in rules:
            rules[flow.destination] += _rules(deployment, flow, Direction.INGRESS)
    for tier in rules:
        rules[tier] += _probes(deployment, tier)
    for item in resolution.named if deployment.egress == "restricted" else ():
        if deployment.opens_to_names(item.source):
            rules[item.source] += _egress_to_any(item.services, item.cause)
    if deployment.egress == "open":
        for tier_rules in rules.values():
            tier_rules.extend(_egress_to_any(ALL, _OPEN_EGRESS))
    groups = tuple(
        Group(tier, deployment.network_of(tier), tuple(sorted(tier_rules, key=rule_order)))
        for tier, tier_rules in rules.items()
    )
    networks = {name: deployment.networks[name] for name in sorted(deployment.networks)}
    count = sum(len(group.rules) for group in groups)
    return Policy(
        deployment.name,
        networks,
        deployment.quotas,
        groups,
        flows=resolution.flows,
        named=resolution.named,
        unenforced=resolution.unenforced,
        naive_rules=count,
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


_PROBES = Cause("load-balancer-probes", "Health probes of the load balancer", ("deployment, probe-ports",))


def _probes(deployment: Deployment, tier: str) -> Iterator[Rule]:
    """Yield what lets Azure's load balancer probe a tier; the final deny would stop it otherwise."""
    spans = (Service(Protocol.TCP, *span) for span in deployment.tiers[tier].probe_ports)
    for block in ServiceSet.of(*spans).blocks():
        yield Rule(Direction.INGRESS, ServiceTag("AzureLoadBalancer"), block, (_PROBES,))


_OPEN_EGRESS = Cause("egress-open", "All egress is open", ("deployment, egress",))


def _egress_to_any(services: ServiceSet, cause: Cause) -> Iterator[Rule]:
    for block in services.blocks():
        for everywhere in (Prefix(4, 0, 0), Prefix(6, 0, 0)):
            yield Rule(Direction.EGRESS, everywhere, block, (cause,))
