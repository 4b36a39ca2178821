"""Compile: a deployment and a catalogue become a policy of the fewest rules, with all that led to it."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from citrix_netpolicy import limits
from citrix_netpolicy.errors import InputError, in_order
from citrix_netpolicy.grants import Grant, Grants, PrefixSet, SpelledOut, grants_of
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.inputs.deployment import Tier
from citrix_netpolicy.lint import lint
from citrix_netpolicy.meeting import feature_states
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
    ServiceTag,
)
from citrix_netpolicy.resolve import resolve, staffed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from citrix_netpolicy.errors import Problem
    from citrix_netpolicy.findings import Finding
    from citrix_netpolicy.inputs.catalog import Catalog
    from citrix_netpolicy.inputs.deployment import Deployment, External
    from citrix_netpolicy.policy import Point
    from citrix_netpolicy.resolve import Flow, Resolution

__all__ = ["Compilation", "compile_deployment", "spell_out"]


@dataclass(frozen=True, slots=True)
class Compilation:
    """A deployment compiled with a catalogue.

    `policy` has the fewest rules, `resolution` the flows behind them and what was left out. `spelled_out` is
    the policy of one rule for each flow, prefix and port range, before any two were joined. `findings` are
    what lint says, without those that the deployment accepts, which are `accepted`; what a target says of its
    files comes with them, from `render`.
    """

    deployment: Deployment
    catalog: Catalog
    resolution: Resolution
    spelled_out: Policy
    policy: Policy
    findings: tuple[Finding, ...]
    accepted: tuple[Finding, ...] = ()

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
        catalog = _catalog_of(deployment)
    catalog = catalog.as_of(deployment.edition)
    said, deployment = deployment, staffed(deployment, catalog)
    resolution = resolve(deployment, catalog)
    problems = [*_ambiguous(deployment, resolution), *_cut_off(deployment, catalog, resolution)]
    if problems:
        raise InputError(in_order(problems))
    spelled_out = spell_out(deployment, resolution)
    _refuse_large(deployment, spelled_out)
    policy = minimize(spelled_out, deployment.cidrs)
    findings = lint(deployment, catalog, resolution, policy, today)
    return Compilation(said, catalog, resolution, spelled_out, policy, *findings)


def _catalog_of(deployment: Deployment) -> Catalog:
    files = deployment.catalog_files()
    try:
        return load_catalog(*files)
    except InputError as error:
        # What is wrong with a file as a whole is a mistake of the line that names it.
        places = {str(file): index for index, file in enumerate(files)}
        raise InputError(
            deployment.problem(
                problem.code, ("catalogs", places[problem.mark.file]), problem.message, problem.hint
            )
            if problem.code in _ABOUT_FILES and problem.mark and problem.mark.file in places
            else problem
            for problem in error.problems
        ) from None


_ABOUT_FILES: Final = frozenset(
    ["empty", "not-a-catalogue", "not-a-file", "not-utf-8", "too-large", "unreadable"]
)


def _ambiguous(deployment: Deployment, resolution: Resolution) -> Iterator[Problem]:
    """Find subnets that a tier of another network would be permitted by, and that this network has as well.

    Networks name each other's tiers by address, so one rule would permit two tiers.
    """
    networks: dict[str, list[tuple[Prefix, str]]] = {}
    for name, tier in deployment.tiers.items():
        placed = networks.setdefault(deployment.network_of(name), [])
        placed += [(subnet, name) for subnet in tier.subnets]
    for network, placed in networks.items():
        networks[network] = _outermost(placed)
    tiers = deployment.tiers
    pairs = {
        (peer, deployment.network_of(tier))
        for flow in resolution.flows
        for peer, tier in ((flow.source, flow.destination), (flow.destination, flow.source))
        if peer in tiers and tier in tiers and not flow.is_public
    }
    for peer, network in sorted(pairs):
        if deployment.network_of(peer) == network:
            continue
        placed = networks[network]
        for index, subnet in enumerate(tiers[peer].subnets):
            # These are apart from each other, so only two of them can overlap another one.
            at = bisect(placed, (subnet, ""))
            for other, holder in placed[max(at - 1, 0) : at + 1]:
                if subnet.overlaps(other):
                    yield deployment.problem(
                        "overlap",
                        ("tiers", peer, "subnets", index),
                        f"`{subnet}` overlaps `{other}` of tier `{holder}` in network `{network}`, "
                        f"which permits `{peer}` by its addresses and would permit that tier too",
                        "use other addresses, or two deployments for networks that do not reach each other",
                    )
                    break


def _outermost(placed: Iterable[tuple[Prefix, str]]) -> list[tuple[Prefix, str]]:
    """Return the prefixes that lie in no other, ascending."""
    found: list[tuple[Prefix, str]] = []
    for prefix, name in sorted(placed):
        if not found or not found[-1][0].overlaps(prefix):
            found.append((prefix, name))
    return found


def _cut_off(deployment: Deployment, catalog: Catalog, resolution: Resolution) -> Iterator[Problem]:
    """Find tiers that from where they are do not reach what they cannot do without, though it is there."""
    met = {frozenset((flow.source, flow.destination)) for flow in resolution.flows}
    states = feature_states(deployment, catalog)
    for name, tier in deployment.tiers.items():
        needs = [need for role in tier.roles for need in catalog.roles[role].needs if need.vital]
        for need in needs if tier.at else ():
            partners = [
                end for end, other in deployment.ends.items() if not set(need.one_of).isdisjoint(other.roles)
            ]
            is_wanted = need.feature is None or states[need.feature]
            if is_wanted and partners and not any({name, partner} in met for partner in partners):
                places = deployment.ends[partners[0]].at
                hint = f"correct its `at`, or link {tier.at[0]} to {places[0] if places else 'its place'}"
                message = f"tier `{name}` does not reach {_listed(partners)} from {tier.at[0]}: {need.why}"
                yield deployment.problem("cut-off", ("tiers", name, "at"), message, hint)


def _listed(names: Sequence[str]) -> str:
    more = f" or {len(names) - 3} others" if len(names) > 3 else ""
    return " or ".join(f"`{name}`" for name in names[:3]) + more


def _refuse_large(deployment: Deployment, policy: Policy) -> None:
    """Refuse what would take too long to work out, before it is."""
    counted = 0
    seen: set[int] = set()
    for group in policy.groups:
        for way in Direction:
            side = group.side(way)
            if id(side) in seen:  # equal sides are one
                continue
            seen.add(id(side))
            cells = grants_of(way, side).cells(limits.SIDE_CELLS)
            counted += cells
            if cells > limits.SIDE_CELLS or counted > limits.CELLS:
                most = limits.SIDE_CELLS if cells > limits.SIDE_CELLS else limits.CELLS
                what = "tier" if cells > limits.SIDE_CELLS else "deployment, up to tier"
                ways = f"more than {most:,} ways ({way})"
                message = f"the {what} `{group.tier}` combines addresses and ports in {ways}"
                hint = "use fewer prefixes or wider port ranges, or describe parts of the site apart"
                raise InputError(deployment.problem("too-many", ("tiers", group.tier), message, hint))


def spell_out(deployment: Deployment, resolution: Resolution) -> Policy:
    """Return the policy that says each flow on its own: one rule for each prefix and service.

    It permits what the flows say, before any rule is merged with another. Its rules are made when somebody
    reads them.
    """
    return _Speller(deployment).policy(resolution)


class _Speller:
    """Turns the flows of one deployment into grants of its groups.

    What an end is called is found once, and so are equal grants and equal sides of groups: where all tiers
    speak to each other, what follows is then worked out once and not for each tier.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.grants: dict[tuple[str, Direction], list[Grant]] = {}
        self.everywhere = tuple(PrefixSet.of([Prefix(version, 0, 0)]) for version in (4, 6))
        self.ends = deployment.ends
        # Earlier editions name the addresses of an external in both families, whatever the tier has.
        self.is_per_family = deployment.has_edition("2026.12")
        self.sets = {name: _by_family(end.prefixes) for name, end in self.ends.items()}
        # The network of each tier and its families, which decide what its groups call their peers.
        self.places = {
            tier: (deployment.network_of(tier), tuple(self.sets[tier])) for tier in deployment.tiers
        }
        self.peers: dict[tuple[tuple[str, tuple[int, ...]], str, bool], tuple[PrefixSet | Point, ...]] = {}
        self.equal_grants: dict[tuple[PrefixSet | Point, ServiceSet, int], Grant] = {}
        self.equal_sides: dict[tuple[Direction, tuple[int, ...]], SpelledOut] = {}

    def policy(self, resolution: Resolution) -> Policy:
        deployment = self.deployment
        is_restricted = deployment.egress == "restricted"
        for flow in resolution.flows:
            if flow.source in deployment.tiers and is_restricted:
                self._add(flow.source, Direction.EGRESS, flow.destination, flow)
            if flow.destination in deployment.tiers:
                self._add(flow.destination, Direction.INGRESS, flow.source, flow)
        for tier in deployment.tiers:
            self._add_probes(tier)
        for item in resolution.named if is_restricted else ():
            if deployment.opens_to_names(item.source):
                self._open(item.source, item.services, item.cause)
        if not is_restricted:
            mark = deployment.mark(("egress",))
            cause = Cause(
                "egress-open", "All egress is open", ("deployment, egress",), kind="setting", mark=mark
            )
            for tier in deployment.tiers:
                self._open(tier, ALL, cause)
        return Policy.of(
            Group.of_sides(
                GroupKey(deployment.network_of(tier), tier),
                *(self._side(tier, way) for way in Direction),
            )
            for tier in deployment.tiers
        )

    def _grant(
        self, tier: str, way: Direction, peers: PrefixSet | Point, services: ServiceSet, cause: Cause
    ) -> None:
        # The number of a cause is found faster than its text, and is its own while the grant holds it. Equal
        # causes that are two objects only share less.
        key = (peers, services, id(cause))
        grant = self.equal_grants.get(key)
        if grant is None:
            grant = self.equal_grants[key] = Grant(peers, services, (cause,))
        self.grants.setdefault((tier, way), []).append(grant)

    def _side(self, tier: str, way: Direction) -> SpelledOut:
        grants = self.grants.get((tier, way), ())
        key = (way, tuple(map(id, grants)))
        if key not in self.equal_sides:
            self.equal_sides[key] = SpelledOut(Grants(way, grants))
        return self.equal_sides[key]

    def _add(self, tier: str, way: Direction, peer: str, flow: Flow) -> None:
        """Grant a flow at the group of one of its ends."""
        named: tuple[PrefixSet | Point, ...]
        if flow.is_public and peer in self.deployment.tiers:
            named = self._public(tier, peer, is_source=way is Direction.INGRESS)
        else:
            key = (self.places[tier], peer, tier == peer)
            if key not in self.peers:
                self.peers[key] = tuple(self._peers(tier, peer))
            named = self.peers[key]
        for found in named:
            services = flow.services
            if isinstance(found, PrefixSet):
                services = services.without_icmp_beside({found.version})
            if services:
                self._grant(tier, way, found, services, flow.cause)

    def _peers(self, tier: str, peer: str) -> Iterator[PrefixSet | Point]:
        """Yield how the group of `tier` names the tier or external `peer`."""
        deployment = self.deployment
        external = self.ends[peer]
        if not isinstance(external, Tier):
            point = _point(external)
            yield from (point,) if point else self._of_families(tier, peer)
            return
        network = deployment.network_of(tier)
        if deployment.peers_of(network) == "group" and deployment.network_of(peer) == network:
            yield GroupReference(peer)
            return
        alone = self._alone(tier) if tier == peer else ()
        yield from (
            found
            for version, found in self.sets[peer].items()
            if version in self.sets[tier] and version not in alone
        )

    def _of_families(self, tier: str, external: str) -> Iterator[PrefixSet]:
        """Yield the addresses of an external in families that the tier has; others could carry no packet."""
        for version, found in self.sets[external].items():
            if not self.is_per_family or version in self.sets[tier]:
                yield found

    def _alone(self, tier: str) -> frozenset[int]:
        """Return the families in which a tier is one machine, which sends itself nothing over a network."""
        if not self.is_per_family:
            return frozenset()
        versions = [prefix.version for prefix in self.ends[tier].prefixes]
        ones = {prefix.version for prefix in self.ends[tier].prefixes if prefix.first == prefix.last}
        return frozenset(version for version in ones if versions.count(version) == 1)

    def _public(self, tier: str, peer: str, *, is_source: bool) -> tuple[PrefixSet, ...]:
        """Return the public addresses of a peer as `tier` sees it. Raises InputError where there are none."""
        public = self.deployment.tiers[peer].public
        prefixes = (public.out if is_source else public.in_) if public else ()
        if not prefixes:
            key = "out" if is_source else "in"
            message = (
                f"a link `via: public` joins it with tier `{tier}`, and `public: {{{key}: ...}}` is missing"
            )
            raise InputError(self.deployment.problem("public-needed", ("tiers", peer), message))
        return tuple(_by_family(prefixes).values())

    def _add_probes(self, tier: str) -> None:
        """Grant a balancer of the cloud its probes of a tier; the group would stop them otherwise."""
        behind = self.deployment.tiers[tier].behind
        services = ServiceSet.of(
            *(Service(Protocol.TCP, *span) for span in (behind.probes if behind else ()))
        )
        if behind is None or not services:
            return
        cause = Cause(
            "load-balancer-probes",
            "Health probes of the load balancer",
            ("deployment, behind",),
            kind="setting",
            mark=self.deployment.mark(("tiers", tier, "behind")),
        )
        if self.deployment.networks[self.deployment.network_of(tier)].cloud == "azure":
            self._grant(tier, Direction.INGRESS, ServiceTag("AzureLoadBalancer"), services, cause)
            return
        # In AWS a balancer probes from its own addresses.
        for version, fronts in _by_family(behind.addresses).items():
            if version in self.sets[tier]:
                self._grant(tier, Direction.INGRESS, fronts, services, cause)

    def _open(self, tier: str, services: ServiceSet, cause: Cause) -> None:
        """Let a tier open services to any address."""
        for anything in self.everywhere:
            self._grant(tier, Direction.EGRESS, anything, services, cause)


def _by_family(prefixes: Iterable[Prefix]) -> dict[int, PrefixSet]:
    families: dict[int, list[Prefix]] = {}
    for prefix in prefixes:
        families.setdefault(prefix.version, []).append(prefix)
    return {version: PrefixSet.of(found) for version, found in families.items()}


def _point(external: External) -> Point | None:
    """Return what the cloud calls an external, or None when it is addresses."""
    if external.prefix_list:
        return PrefixList(external.prefix_list.id, external.prefix_list.max_entries)
    if external.security_group:
        return ExistingGroup(external.security_group)
    if external.service_tag:
        return ServiceTag(external.service_tag)
    return None
