"""Network security groups of Azure as values: rules with names and priorities that stay.

Facts are those of the Azure documentation of network security groups. Rules are read by ascending priority
and the first that matches decides, so allow rules may stand in any order and one deny ends them. Without
that deny the default rules let the whole virtual network in and out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

from citrix_netpolicy.errors import Problem, TargetError, clean
from citrix_netpolicy.net import ALL, Prefix, Protocol
from citrix_netpolicy.policy import Direction, ExistingGroup, PrefixList
from citrix_netpolicy.targets.azure.cover import Block, cover_side
from citrix_netpolicy.targets.describe import describe
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from citrix_netpolicy.policy import Group, Policy, Rule
    from citrix_netpolicy.resolve import Cause

__all__ = [
    "DENY_PRIORITY",
    "Keeping",
    "Kept",
    "NetworkSecurityGroup",
    "SecurityRule",
    "network_security_groups",
]

DENY_PRIORITY: Final = 4096
DESCRIPTION_LIMIT: Final = 140
# Allow rules take the lowest free multiple of ten; between them is room for rules of other hands.
_BAND: Final = (*range(1000, 4000, 10), *(number for number in range(1000, 4000) if number % 10))
_MAX_RULES: Final = 1000
_MAX_ADDRESSES: Final = 4000
_MAX_ASGS: Final = 10
_MAX_ASGS_OF_GROUP: Final = 100
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
class Kept:
    """What the last generation left of a rule, by tier, direction and name."""

    priority: int
    block: Block


# Tier -> direction -> name of a rule.
Keeping = dict[str, dict[str, dict[str, Kept]]]


@dataclass(frozen=True, slots=True)
class NetworkSecurityGroup:
    """The network security group of a tier.

    `lower_bound` is that of its allow rules; `notes` tell people what differs from the policy.
    """

    tier: str
    name: str
    rules: tuple[SecurityRule, ...]
    lower_bound: int
    notes: tuple[str, ...]


def network_security_groups(policy: Policy, keeping: Keeping) -> list[NetworkSecurityGroup]:
    """Return the network security groups of a policy in one Azure network, sorted by tier.

    `keeping` is what the last generation left; a rule of the same name keeps its priority. Raises TargetError
    when Azure cannot hold the policy: a name it refuses, a peer it does not know, or too many rules.
    """
    found: list[NetworkSecurityGroup] = []
    problems: list[Problem] = []
    for group in policy.groups:
        told = list(_refusals(policy, group))
        problems += told
        if not told:
            found.append(_group(policy, group, keeping.get(group.tier, {})))
    names: dict[str, str] = {}
    for made in found:
        problems += _excesses(made)
        other = names.setdefault(made.name.lower(), made.tier)
        if other != made.tier:
            message = f"tiers `{other}` and `{made.tier}` would share the name `{made.name}`"
            hint = "rename one; Azure does not tell upper from lower case"
            problems.append(_problem("name-clash", made.tier, message, hint))
    if problems:
        raise TargetError(problems)
    return found


def _problem(code: str, tier: str, message: str, hint: str) -> Problem:
    return Problem(code=code, message=message, path=("tiers", tier), hint=hint)


def _refusals(policy: Policy, group: Group) -> Iterator[Problem]:
    name = f"nsg-{policy.name}-{group.tier}"
    if not _NAME.match(name):
        hint = "at most 80 ASCII letters, digits, `.`, `-` and `_`"
        yield _problem("name-refused", group.tier, f"Azure refuses the name `{clean(name)}`", hint)
    strange = (str(rule.peer) for rule in group.rules if isinstance(rule.peer, ExistingGroup | PrefixList))
    for peer in dict.fromkeys(strange):
        hint = "give addresses, or set its `networks`"
        yield _problem(
            "peer-unknown-to-cloud",
            group.tier,
            f"Azure does not know `{peer}`, a peer of tier `{group.tier}`",
            hint,
        )


def _group(policy: Policy, group: Group, kept: Mapping[str, Mapping[str, Kept]]) -> NetworkSecurityGroup:
    rules: list[SecurityRule] = []
    notes: list[str] = []
    bound = 0
    for direction in Direction:
        side = group.side(direction)
        if direction is Direction.EGRESS and _opens_all(side):
            notes.append(f"tier `{group.tier}`: egress is open, so Azure's default rules decide outbound")
            continue
        before = kept.get(direction, {})
        covered = cover_side(side, [old.block for old in before.values()])
        bound += covered.lower_bound
        notes += _differences(group.tier, side)
        blocks = [part for block in covered.blocks for part in _parts(block)]
        rules += _numbered(direction, blocks, before)
        rules.append(_deny(direction))
    name = f"nsg-{policy.name}-{group.tier}"
    return NetworkSecurityGroup(group.tier, name, tuple(rules), bound, tuple(notes))


def _opens_all(rules: Sequence[Rule]) -> bool:
    reach = reach_of(rules)
    return all(reach.services(Prefix(version, 0, 0)) == ALL for version in (4, 6))


def _deny(direction: Direction) -> SecurityRule:
    way = "inbound" if direction is Direction.INGRESS else "outbound"
    block = Block("*", "tag", ("*",), ("*",))
    why = "Everything else; without this, default rules let the virtual network through"
    return SecurityRule(f"deny-all-{way}", DENY_PRIORITY, direction, "Deny", block, why)


def _differences(tier: str, rules: Sequence[Rule]) -> list[str]:
    """Return what Azure cannot say of these rules, so that nothing differs in silence."""
    told: dict[str, None] = {}
    for rule in rules:
        where = f"tier `{tier}`, {rule.direction}, {rule.peer}"
        if rule.service.protocol is Protocol.ICMP and rule.service.icmp_type is not None:
            told[f"{where}: Azure cannot tell {rule.service} from other ICMP, so all of it is allowed"] = None
        elif rule.service.protocol is Protocol.ICMPV6:
            told[f"{where}: Azure has no word for {rule.service}, so it is not allowed"] = None
    return list(told)


def _parts(block: Block) -> Iterator[Block]:
    """Yield a block in parts that name no more application security groups than one rule may."""
    size = _MAX_ASGS if block.kind == "asg" else len(block.peers)
    for start in range(0, len(block.peers), size):
        yield Block(block.protocol, block.kind, block.peers[start : start + size], block.ports, block.causes)


def _numbered(
    direction: Direction, blocks: Sequence[Block], kept: Mapping[str, Kept]
) -> Iterator[SecurityRule]:
    """Yield the rules of blocks by priority: the one each had, or the lowest that is free.

    A priority that a rule gives up in this very change is not given away yet, since Azure refuses two rules
    of one priority even for the moment between two requests.
    """
    taken = {old.priority for old in kept.values()}
    free = (number for number in _BAND if number not in taken)
    rules = []
    names: set[str] = set()
    for block in blocks:
        name = _rule_name(direction, block)
        # Azure does not tell upper from lower case.
        if name.lower() in names:
            name = _with_digest(name, block)
        names.add(name.lower())
        # Nothing is left in the band only when the group has too many rules, which is told of all groups.
        priority = kept[name].priority if name in kept else next(free, 0)
        why = describe(block.causes, DESCRIPTION_LIMIT)
        rules.append(SecurityRule(name, priority, direction, "Allow", block, why, block.causes))
    yield from sorted(rules, key=lambda rule: rule.priority)


def _rule_name(direction: Direction, block: Block) -> str:
    """Return a name that says what a rule is, and stays as long as the rule is that.

    A rule of several peers or port ranges names the first of each, and a digest of all of them.
    """
    way = "from" if direction is Direction.INGRESS else "to"
    protocol = "any" if block.protocol == "*" else block.protocol.lower()
    # A tier and a service tag may have the same name.
    peer = f"asg-{block.peers[0]}" if block.kind == "asg" else block.peers[0]
    words = f"{protocol}-{block.ports[0].replace('*', 'all')}-{way}-{peer}"
    name = re.sub(r"[^A-Za-z0-9.-]", "_", words)
    is_whole = len(block.peers) == len(block.ports) == 1 and name == words.replace("/", "_").replace(":", "_")
    if is_whole and _NAME.match(name):
        return name
    return _with_digest(name, block)


def _with_digest(name: str, block: Block) -> str:
    content = (block.protocol, block.kind, block.peers, block.ports)
    return f"{name[:68]}-{sha256(repr(content).encode()).hexdigest()[:10]}"


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
            message = f"tier `{group.tier}` needs {count} {what}; a network security group holds {limit}"
            hint = "use fewer or wider prefixes, or split the tier"
            yield _problem("over-limit", group.tier, message, hint)
