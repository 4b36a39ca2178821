"""What a network security group really permits: its rules by priority, denies too, and Azure's default rules.

Facts are those of the Azure documentation: rules are read by ascending priority, and the first that matches
decides; default rules let the virtual network through, both ways, the load balancer in, and everything out to
the Internet. Addresses behind tags and application security groups are not known here, so each is a point of
its own; where a deny of addresses meets an allow of a point, or the other way round, nothing can be said, and
the reading names that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.errors import Problem, clean
from citrix_netpolicy.net import ALL, EMPTY, Prefix, ServiceSet
from citrix_netpolicy.policy import Direction, Rule, ServiceTag
from citrix_netpolicy.targets.azure.arm import unsaid
from citrix_netpolicy.targets.azure.cover import ANYWHERE, services_of
from citrix_netpolicy.traffic import Reach, reach_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from citrix_netpolicy.policy import Peer
    from citrix_netpolicy.targets.azure.arm import ArmRule

__all__ = ["Effective", "effective"]

_DEFAULTS: Final = {
    Direction.INGRESS: (ServiceTag("VirtualNetwork"), ServiceTag("AzureLoadBalancer")),
    Direction.EGRESS: (ServiceTag("VirtualNetwork"), ServiceTag("Internet")),
}


@dataclass(frozen=True, slots=True)
class Effective:
    """What one direction of a group permits. `unknown` says what could not be decided, if anything."""

    reach: Reach
    unknown: tuple[Problem, ...] = ()


def effective(rules: Iterable[ArmRule], direction: Direction) -> Effective:
    """Return what the rules of a group permit in one direction, with Azure's default rules behind them."""
    ours = sorted((rule for rule in rules if rule.direction is direction), key=lambda rule: rule.priority)
    unknown = [problem for rule in ours if (problem := unsaid(rule))]
    unknown += _undecided(ours)
    points = {peer: None for rule in ours for peer in rule.theirs or () if not isinstance(peer, Prefix)}
    points |= dict.fromkeys(_DEFAULTS[direction])
    allowed = decided = Reach()
    for rule in ours:
        if unsaid(rule) is None:
            if rule.allows:
                new = _match(rule, ()).combine(decided, ServiceSet.__sub__)
                allowed = allowed.combine(new, ServiceSet.__or__)
            # A rule about any address decides for what stands behind a name, too.
            decided = decided.combine(_match(rule, points), ServiceSet.__or__)
    (everything,) = ALL.blocks()
    defaults = reach_of(Rule(direction, peer, everything) for peer in _DEFAULTS[direction])
    allowed = allowed.combine(defaults.combine(decided, ServiceSet.__sub__), ServiceSet.__or__)
    return Effective(allowed, tuple(unknown))


def _match(rule: ArmRule, points: Iterable[Peer]) -> Reach:
    """Return what a rule is about; any address stands for these points, too."""
    peers = (*ANYWHERE, *points) if rule.theirs is None else rule.theirs
    services = _services(rule)
    return reach_of(Rule(rule.direction, peer, block) for peer in peers for block in services.blocks())


def _services(rule: ArmRule) -> ServiceSet:
    if unsaid(rule):
        return EMPTY
    return ServiceSet.of(*services_of(rule.protocol, rule.spans))


def _undecided(rules: Sequence[ArmRule]) -> Iterator[Problem]:
    """Find denies that may or may not take something away from an allow that comes later."""
    denies: list[tuple[ArmRule, ServiceSet]] = []
    # What a rule about any address has decided for all that come later.
    closed = EMPTY
    for rule in rules:
        services = _services(rule) - closed
        if rule.allows:
            yield from _meetings(denies, rule.name, rule.theirs, services)
        elif rule.theirs is not None:
            denies.append((rule, services))
        if rule.theirs is None:
            closed |= services
    for peer in _DEFAULTS[rules[0].direction] if rules else ():
        yield from _meetings(denies, f"of Azure for {peer}", (peer,), ALL - closed)


def _meetings(
    denies: Iterable[tuple[ArmRule, ServiceSet]],
    name: str,
    allowed: tuple[Peer, ...] | None,
    services: ServiceSet,
) -> Iterator[Problem]:
    for deny, denied in denies:
        if denied & services and _may_meet(deny.theirs or (), allowed):
            message = (
                f"rule `{clean(deny.name)}` denies what rule `{clean(name)}` may allow; whether their "
                "addresses overlap is not known"
            )
            yield Problem(code="undecided", message=message, mark=deny.mark)


def _may_meet(denied: Iterable[Peer], allowed: Iterable[Peer] | None) -> bool:
    """Tell whether peers may share addresses that are not known to be the same or apart."""
    for one in denied:
        for other in ANYWHERE if allowed is None else allowed:
            both_known = isinstance(one, Prefix) and isinstance(other, Prefix)
            if not both_known and one != other:
                return True
    return False
