"""Network security groups of Azure as values: rules with names and priorities that stay.

Facts are those of the Azure documentation of network security groups. Rules are read by ascending priority
and the first that matches decides, so allow rules may stand in any order and one deny ends them. Without
that deny the default rules let the whole virtual network in and out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from citrix_netpolicy.errors import Problem, TargetError, clean
from citrix_netpolicy.findings import Finding, Severity
from citrix_netpolicy.grants import grants_of
from citrix_netpolicy.identities import Identities, TierIdentity, assign_priorities, derived_priority
from citrix_netpolicy.net import (
    ALL,
    BITS,
    Prefix,
    Protocol,
    Service,
    ServiceSet,
    icmp,
    joined_runs,
    prefixes_between,
)
from citrix_netpolicy.policy import Direction, ExistingGroup, PrefixList, ServiceTag
from citrix_netpolicy.targets import RuleCount, rules_in_excess
from citrix_netpolicy.targets.azure.cover import (
    EVERY_PORT,
    WHOLE,
    Block,
    block_of_data,
    block_to_data,
    blocks_of_rules,
    cover_side,
)
from citrix_netpolicy.targets.azure.rule_names import names_of
from citrix_netpolicy.targets.describe import describe
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from citrix_netpolicy.cover import Proof
    from citrix_netpolicy.grants import Grants
    from citrix_netpolicy.identities import LastRun
    from citrix_netpolicy.policy import Cause, Group, Policy, Rule
    from citrix_netpolicy.targets import Certificate, Options
    from citrix_netpolicy.targets.azure.cover import Side

__all__ = [
    "DENY_PRIORITY",
    "NetworkSecurityGroup",
    "NetworkSecurityGroups",
    "SecurityRule",
    "network_security_groups",
]

DENY_PRIORITY: Final = 4096
DESCRIPTION_LIMIT: Final = 140
_MAX_RULES: Final = 1000
_MAX_ADDRESSES: Final = 4000
_MAX_ASGS: Final = 10
_MAX_ASGS_OF_GROUP: Final = 100
_ICMP: Final = ServiceSet.of(icmp(Protocol.ICMP), icmp(Protocol.ICMPV6))
# Protocols that Azure has no word for, beside all of them.
_UNKNOWN: Final = ALL - ServiceSet.of(
    *(Service(protocol, *EVERY_PORT) for protocol in (Protocol.TCP, Protocol.UDP, Protocol.ICMPV6)),
    *(whole for whole in WHOLE.values() if whole.protocol is not Protocol.ALL),
)
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?\Z")


@dataclass(frozen=True, slots=True)
class SecurityRule:
    """One rule. `block` says what it permits to or from; the other side is always any address.

    A group is attached to the subnets of its own tier, so that side is the tier whatever the rule says.
    """

    name: str
    priority: int
    direction: Direction
    access: Literal["Allow", "Deny"]
    block: Block
    description: str
    causes: tuple[Cause, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class NetworkSecurityGroup:
    """The network security group of a tier.

    `lower_bound` and `certificate` are those of its allow rules. `tier` is the key of its tier.
    """

    tier: str
    name: str
    rules: tuple[SecurityRule, ...]
    lower_bound: int
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class NetworkSecurityGroups:
    """The groups of a network, sorted by tier, with what people and the next run should know."""

    groups: tuple[NetworkSecurityGroup, ...]
    findings: tuple[Finding, ...]
    identities: Identities

    @property
    def rule_counts(self) -> dict[str, RuleCount]:
        """How many rules of each tier allow something; every direction ends with one more, which denies."""
        return {
            group.tier: RuleCount(_allowing(group.rules), group.lower_bound, group.certificate)
            for group in self.groups
        }


def network_security_groups(
    policy: Policy, options: Options, identities: Identities | None = None
) -> NetworkSecurityGroups:
    """Return the network security groups of a policy in one Azure network.

    A rule that stays keeps the priority that `identities` and the last run say. Raises TargetError when Azure
    cannot hold the policy: a name it refuses, a peer it does not know, too many rules, or a loss that the
    deployment does not accept.
    """
    before = identities or Identities()
    groups: list[NetworkSecurityGroup] = []
    findings: list[Finding] = []
    kept: dict[str, TierIdentity] = {}
    problems = [*_wordless(policy)]
    fresh: dict[Grants, Side] = {}
    for group in policy.groups:
        name = options.group_name("azure", group.tier)
        losses = _losses(group)
        told = [*_refusals(group, name), *_too_wide(group), *_unaccepted(losses, options)]
        problems += told
        if not told:
            made, kept[group.tier] = _group(group, name, before, options, fresh)
            groups.append(made)
            findings += [*losses, *_open_egress(group)]
    names: dict[str, str] = {}
    for made in groups:
        problems += _excesses(made)
        other = names.setdefault(made.name.lower(), made.tier)
        if other != made.tier:
            message = f"tiers `{other}` and `{made.tier}` would share the name `{made.name}`"
            hint = "rename one; Azure names are case-insensitive"
            problems.append(_problem("name-clash", made.tier, message, hint))
    problems += rules_in_excess(sum(len(made.rules) for made in groups))
    if problems:
        raise TargetError(problems)
    return NetworkSecurityGroups(tuple(groups), tuple(findings), Identities(kept))


def _problem(code: str, tier: str, message: str, hint: str) -> Problem:
    return Problem(code=code, message=message, path=("tiers", tier), hint=hint)


def _refusals(group: Group, name: str) -> Iterator[Problem]:
    if not _NAME.match(name):
        hint = "at most 80 ASCII letters, digits, `.`, `-` and `_`"
        yield _problem("name-refused", group.tier, f"Azure refuses the name `{clean(name)}`", hint)
    strange = dict.fromkeys(
        str(peer)
        for way in Direction
        for peer, _ in reach_of(group.side(way)).points
        if isinstance(peer, ExistingGroup | PrefixList)
    )
    for peer in strange:
        hint = "use addresses, or set its `networks`"
        yield _problem(
            "peer-unknown-to-cloud",
            group.tier,
            f"Azure has no equivalent of `{peer}`, a peer of tier `{group.tier}`",
            hint,
        )


def _too_wide(group: Group) -> Iterator[Problem]:
    """Yield a problem where rules cannot name all peers, whatever they look like.

    All rules together name each address, so the fewest prefixes of all addresses are the least they need.
    """
    for way in Direction:
        segments = reach_of(group.side(way)).segments
        count = 0
        for version in BITS:
            runs = joined_runs([(first, last) for found, first, last, _ in segments if found == version])
            count += sum(1 for run in runs for _ in prefixes_between(version, *run))
        if count > _MAX_ADDRESSES:
            yield _excess(group.tier, count, _MAX_ADDRESSES, "addresses on one side")


def _losses(group: Group) -> list[Finding]:
    """Return what Azure cannot say of a group's rules, one finding for each kind of loss."""
    if not _speaks(group, _ICMP):
        return []
    widened = [rule for rule in group.rules if _is_part_of_icmp(rule)]
    blocked = [rule for rule in group.rules if rule.service.protocol is Protocol.ICMPV6]
    found = []
    if widened:
        told = _told(widened)
        message = f"tier `{group.tier}`: Azure cannot tell {told} from other ICMP, so all of it is allowed"
        found.append(Finding("icmp-widened", group.tier, message, severity=Severity.NOTE))
    if blocked:
        message = f"tier `{group.tier}`: Azure NSGs cannot express ICMPv6, so {_told(blocked)} is blocked"
        found.append(Finding("icmpv6-blocked", group.tier, message, severity=Severity.NOTE))
    return found


def _speaks(group: Group, services: ServiceSet) -> bool:
    """Tell whether some of these services have a part in what a group opens, beside all protocols."""
    reaches = [reach_of(group.side(way)) for way in Direction]
    sets = {some for reach in reaches for *_, some in reach.segments}
    sets |= {some for reach in reaches for _, some in reach.points}
    return any(some != ALL and some & services for some in sets)


def _wordless(policy: Policy) -> Iterator[Problem]:
    """Yield a problem for each flow of a protocol that Azure has no word for."""
    told = {
        (cause.id, cause.kind, rule.service): group.tier
        for group in policy.groups
        if _speaks(group, _UNKNOWN)
        for rule in group.rules
        if _UNKNOWN.holds(rule.service)
        for cause in rule.causes
    }
    for (cause, kind, service), tier in told.items():
        is_flow = kind == "flow"
        name = cause.removeprefix("flow:") if is_flow else cause
        yield Problem(
            code="protocol-unknown-to-cloud",
            message=f"{kind} `{clean(name)}`: Azure rules cannot name the protocol {service}",
            path=("flows", name) if is_flow else ("tiers", tier),
            hint="Azure knows tcp, udp, icmp, esp and ah; leave the flow out, or keep both ends in AWS",
        )


def _is_part_of_icmp(rule: Rule) -> bool:
    return rule.service.protocol is Protocol.ICMP and rule.service.icmp_type is not None


def _told(rules: Sequence[Rule]) -> str:
    told = dict.fromkeys(f"{rule.service} ({rule.direction}, {rule.peer})" for rule in rules)
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return ", ".join([*told][:3]) + more


def _unaccepted(losses: Sequence[Finding], options: Options) -> Iterator[Problem]:
    """Yield a problem for each loss that the deployment does not accept by name."""
    for loss in losses:
        if (loss.code, loss.subject) not in options.accepted:
            hint = (
                f"accept it with `accept: [{{finding: {loss.code}, subject: {loss.subject}, reason: ...}}]`, "
                "or leave the flow out"
            )
            yield _problem(loss.code, loss.subject, loss.message, hint)


def _open_egress(group: Group) -> Iterator[Finding]:
    if _opens_all(group.side(Direction.EGRESS)):
        message = f"tier `{group.tier}`: egress is open, so Azure's default rules decide outbound"
        yield Finding("egress-open", group.tier, message, severity=Severity.NOTE)


def _group(
    group: Group,
    name: str,
    identities: Identities,
    options: Options,
    found: dict[Grants, Side],
) -> tuple[NetworkSecurityGroup, TierIdentity]:
    """Return the group of a tier, and what its next run must not move.

    `found` keeps the covers of sides, since groups may share one.
    """
    identity, last = identities.tier(group.tier), identities.last()
    key = group.tier
    sides: dict[Direction, list[Block]] = {}
    covers: dict[Direction, tuple[Any, ...]] = {}
    bound = 0
    proofs: set[Proof] = set()
    for direction in Direction:
        side = group.side(direction)
        if direction is Direction.EGRESS and _opens_all(side):
            continue
        grants = grants_of(direction, side)
        fresh = found.get(grants)
        if fresh is None:
            fresh = found[grants] = cover_side(grants)
        before = _blocks_before(key, direction, identity, last)
        covered = cover_side(grants, before) if before else fresh
        bound += covered.lower_bound
        proofs |= covered.proofs
        sides[direction] = [part for block in covered.blocks for part in _parts(block)]
        if set(covered.blocks) != set(fresh.blocks):
            covers[direction] = tuple(map(block_to_data, covered.blocks))
    rules: list[SecurityRule] = []
    priorities: dict[Direction, dict[str, int]] = {}
    for direction, blocks in names_of(key, sides, options.ends, options.names).items():
        numbers = assign_priorities(
            blocks,
            identity.priorities.get(direction, {}),
            *_priorities_before(key, direction, last, blocks),
        )
        allowing = [_allow(rule, numbers[rule], direction, block) for rule, block in blocks.items()]
        rules += sorted(allowing, key=lambda rule: rule.priority)
        rules.append(_deny(direction))
        priorities[direction] = {
            rule: number for rule, number in numbers.items() if number != derived_priority(rule)
        }
    certificate: Certificate = "none"
    if _allowing(rules) == bound:
        certificate = "search" if "search" in proofs else "fooling set"
    made = NetworkSecurityGroup(key, name, tuple(rules), bound, certificate)
    return made, replace(identity, priorities=priorities, covers=covers)


def _priorities_before(
    key: str, direction: Direction, last: LastRun | None, blocks: Mapping[str, Block]
) -> tuple[dict[str, int], dict[str, str]]:
    """Return the priorities that one direction of a group had, by rule, and whom each new rule succeeds."""
    if last is None:
        return {}, {}
    had = {rule: at for (tier, way, rule), at in last.priorities.items() if (tier, way) == (key, direction)}
    gone: dict[str, list[Rule]] = {rule: [] for rule in had if rule not in blocks}
    for group in last.groups if gone else ():
        for rule in group.side(direction) if group.tier == key else ():
            name = rule.origin.address.rpartition("/")[2] if rule.origin else ""
            if name in gone:
                gone[name].append(rule)
    before = {name: block for name, rules in gone.items() for block in blocks_of_rules(rules)}
    new = {name: block for name, block in blocks.items() if name not in had}
    return had, _successors(before, new)


def _successors(gone: Mapping[str, Block], new: Mapping[str, Block]) -> dict[str, str]:
    """Return which of the rules that are gone each new rule takes the place of, by their names.

    A rule is what it was while it serves the same peers, or opens the same ports to some of them; else it is
    another. Rules that share both come first.
    """
    alike = sorted(
        (not same_peers, not same_ports, name, old)
        for name, block in new.items()
        for old, was in gone.items()
        if block.protocol == was.protocol and not set(block.peers).isdisjoint(was.peers)
        for same_peers in (set(block.peers) == set(was.peers),)
        for same_ports in (set(block.spans) == set(was.spans),)
        if same_peers or same_ports
    )
    found: dict[str, str] = {}
    taken: set[str] = set()
    for _, _, name, old in alike:
        if name not in found and old not in taken:
            found[name] = old
            taken.add(old)
    return found


def _blocks_before(
    key: str, direction: Direction, identity: TierIdentity, last: LastRun | None
) -> list[Block]:
    """Return the rules that one direction of a group had: those of the last run, or those that are kept."""
    if last is None:
        return [block_of_data(data) for data in identity.covers.get(direction, ())]
    named: dict[str, list[Rule]] = {}
    for group in last.groups:
        for rule in group.side(direction) if group.tier == key else ():
            named.setdefault(rule.origin.address if rule.origin else "", []).append(rule)
    return [block for rules in named.values() for block in blocks_of_rules(rules)]


def _allowing(rules: Iterable[SecurityRule]) -> int:
    return sum(rule.access == "Allow" for rule in rules)


def _allow(name: str, priority: int, direction: Direction, block: Block) -> SecurityRule:
    why = describe(block.causes, DESCRIPTION_LIMIT)
    return SecurityRule(name, priority, direction, "Allow", block, why, block.causes)


def _opens_all(rules: Sequence[Rule]) -> bool:
    reach = reach_of(rules)
    return all(reach.services(Prefix(version, 0, 0)) == ALL for version in (4, 6))


def _deny(direction: Direction) -> SecurityRule:
    way = "inbound" if direction is Direction.INGRESS else "outbound"
    block = Block("*", (ServiceTag("*"),), (EVERY_PORT,))
    why = "Everything else; without this, default rules let the virtual network through"
    return SecurityRule(f"deny-all-{way}", DENY_PRIORITY, direction, "Deny", block, why)


def _parts(block: Block) -> Iterator[Block]:
    """Yield a block in parts that name no more application security groups than one rule may."""
    size = _MAX_ASGS if block.kind == "asg" else len(block.peers)
    for start in range(0, len(block.peers), size):
        yield replace(block, peers=block.peers[start : start + size])


def _excesses(group: NetworkSecurityGroup) -> Iterator[Problem]:
    """Yield a problem for every limit of Azure that a group exceeds."""
    ingress, egress = ([r for r in group.rules if r.direction is way] for way in Direction)
    # The side of the tier is one address, any, in every rule.
    sources = sum(len(rule.block.peers) for rule in ingress) + len(egress)
    destinations = sum(len(rule.block.peers) for rule in egress) + len(ingress)
    asgs = {peer for rule in group.rules if rule.block.kind == "asg" for peer in rule.block.peers}
    counts = (
        (len(group.rules), _MAX_RULES, "rules"),
        (max(sources, destinations), _MAX_ADDRESSES, "addresses on one side"),
        (len(asgs), _MAX_ASGS_OF_GROUP, "application security groups"),
    )
    for count, limit, what in counts:
        if count > limit:
            yield _excess(group.tier, count, limit, what)


def _excess(tier: str, count: int, limit: int, what: str) -> Problem:
    message = f"tier `{tier}` needs {count} {what}; a network security group can hold {limit}"
    return _problem("over-limit", tier, message, "use fewer or wider prefixes, or split the tier")
