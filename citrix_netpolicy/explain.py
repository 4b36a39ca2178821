"""Why a connection is permitted, or what stands in its way and what would permit it.

Whoever asks names ends, roles or addresses. The answer is of the policy as it is compiled, with the entries
and flows behind it; where there is none, it is of what the resolution left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from citrix_netpolicy.errors import InputError, Problem, clean, nearest
from citrix_netpolicy.net import EMPTY, Prefix, ServiceSet
from citrix_netpolicy.omissions import (
    Distant,
    Excluded,
    FeatureOff,
    NamesShut,
    NewerEdition,
    NotForTheInternet,
    ParameterUnset,
    RoleMissing,
)
from citrix_netpolicy.policy import Direction, GroupReference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from citrix_netpolicy.compare import Sight
    from citrix_netpolicy.compiler import Compilation
    from citrix_netpolicy.inputs.catalog import Entry
    from citrix_netpolicy.omissions import Omission
    from citrix_netpolicy.policy import Cause, Rule
    from citrix_netpolicy.resolve import Flow

__all__ = ["Answer", "Obstacle", "Side", "explain"]


@dataclass(frozen=True, slots=True)
class Side:
    """What the group of one end says of a connection; `permitted` is the part of it that it lets through."""

    tier: str
    way: Direction
    permitted: ServiceSet
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """An entry, or a flow, that would permit a connection, why it does not, and what to change."""

    entry: str
    purpose: str
    omission: Omission
    remedy: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be said of connections from one end to another; `asked` is nothing when all were asked for.

    `permitted` is what both ends let through. `flows` are those behind it, with what each opens, and `others`
    those that open something else between the two.
    """

    source: str
    destination: str
    asked: ServiceSet | None
    permitted: ServiceSet
    flows: tuple[Flow, ...]
    sides: tuple[Side, ...]
    obstacles: tuple[Obstacle, ...] = ()
    others: tuple[Flow, ...] = ()

    @property
    def is_permitted(self) -> bool:
        """Tell whether all that was asked for is permitted, or anything where no port was named."""
        return self.asked <= self.permitted if self.asked else bool(self.permitted)

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Why it is permitted, each cause once."""
        return tuple(dict.fromkeys(flow.cause for flow in self.flows))


def explain(
    compilation: Compilation,
    sight: Sight,
    source: str | None,
    destination: str | None,
    services: ServiceSet | None = None,
) -> list[Answer]:
    """Answer for every pair of ends that `source` and `destination` name; None stands for every end.

    An end is named by its own name, by a role that it has, or by an address that it holds. Raises InputError
    for a word that names nobody.
    """
    ends = compilation.deployment.ends
    sources = _named(compilation, source) if source else sorted(ends)
    destinations = _named(compilation, destination) if destination else sorted(ends)
    is_whole = bool(source and destination)
    answers = [
        _answer(compilation, sight, one, two, services)
        for one in sources
        for two in destinations
        if compilation.deployment.tiers.keys() & {one, two}
    ]
    # Who asks for one end wants to know what there is, not what there is not.
    return [answer for answer in answers if is_whole or answer.permitted & (services or answer.permitted)]


def _named(compilation: Compilation, word: str) -> list[str]:
    deployment, catalog = compilation.deployment, compilation.catalog
    if word in deployment.ends:
        return [word]
    if word in catalog.roles:
        members = set(catalog.members(word))
        found = sorted(name for name, end in deployment.ends.items() if members & set(end.roles))
        if found:
            return found
        message = f"nobody has the role `{clean(word)}`"
        raise InputError(Problem(code="unknown-end", message=message, hint="name a tier or an external"))
    try:
        address = Prefix.parse(word)
    except ValueError:
        hint = nearest(word, [*deployment.ends, *catalog.roles])
        message = f"`{clean(word)}` is no tier, external, role or address of this deployment"
        raise InputError(Problem(code="unknown-end", message=message, hint=hint)) from None
    holding = {
        name: [prefix for prefix in end.prefixes if prefix.overlaps(address)]
        for name, end in deployment.ends.items()
    }
    found = sorted(name for name, prefixes in holding.items() if prefixes)
    if not found:
        message = f"no tier or external of this deployment has the address `{address}`"
        raise InputError(Problem(code="unknown-end", message=message))
    # What is anybody's says least, so it answers only for addresses that nobody else has.
    own = [name for name in found if all(prefix.length for prefix in holding[name])]
    return own or found


def _answer(
    compilation: Compilation, sight: Sight, source: str, destination: str, asked: ServiceSet | None
) -> Answer:
    asking = _Asking(compilation, sight, asked)
    ways = ((source, Direction.EGRESS, destination), (destination, Direction.INGRESS, source))
    sides = [side for tier, way, peer in ways if (side := asking.side(tier, way, peer))]
    permitted = sides[0].permitted if sides else EMPTY
    for side in sides[1:]:
        permitted &= side.permitted
    between = [
        flow
        for flow in compilation.resolution.flows
        if (flow.source, flow.destination) == (source, destination)
    ]
    flows = tuple(flow for flow in between if asked is None or flow.services & asked)
    answer = Answer(source, destination, asked, permitted, flows, tuple(sides))
    if answer.is_permitted:
        return answer
    others = tuple(flow for flow in between if flow not in flows)
    obstacles = tuple(_obstacles(compilation, source, destination, asked))
    return replace(answer, obstacles=obstacles, others=others)


@dataclass(frozen=True, slots=True)
class _Asking:
    """A question to the groups of a deployment."""

    compilation: Compilation
    sight: Sight
    asked: ServiceSet | None

    def side(self, tier: str, way: Direction, peer: str) -> Side | None:
        """Return what the group of a tier says of a peer, or nothing for an end that has none."""
        deployment = self.compilation.deployment
        if tier not in deployment.tiers:
            return None
        other = deployment.ends[peer]
        reach = self.sight.traffic.reach(tier, way)
        found: ServiceSet | None = None
        for prefix in other.prefixes:
            services = reach.services(prefix)
            found = services if found is None else found & services
        points = [point for point, _ in reach.points if str(point) in _words(deployment.external.get(peer))]
        for point in points:
            found = reach.services(point) if found is None else found | reach.services(point)
        permitted = found or EMPTY
        if self.asked is not None:
            permitted &= self.asked
        group = self.sight.policy.group(tier)
        rules = tuple(
            rule
            for rule in group.side(way)
            if permitted.meets(rule.service) and _is_about(rule, peer, other.prefixes, points)
        )
        return Side(tier, way, permitted, rules)


def _words(external: object) -> set[str]:
    """Return what a cloud calls an external that is no addresses."""
    found = set()
    for name in ("service_tag", "security_group", "prefix_list"):
        value = getattr(external, name, None)
        if value is not None:
            found.add(str(getattr(value, "id", value)))
    return found


def _is_about(rule: Rule, peer: str, prefixes: Sequence[Prefix], points: Sequence[object]) -> bool:
    match rule.peer:
        case Prefix() as prefix:
            return any(prefix.overlaps(other) for other in prefixes)
        case GroupReference(tier):
            return tier == peer
    return rule.peer in points


def _obstacles(
    compilation: Compilation, source: str, destination: str, asked: ServiceSet | None
) -> Iterator[Obstacle]:
    """Yield what would permit a connection, and does not."""
    catalog, deployment = compilation.catalog, compilation.deployment
    roles = [set(deployment.ends[end].roles) for end in (source, destination)]
    entries = {entry.id: entry for entry in catalog.entries}
    for omission in compilation.resolution.omissions:
        entry = entries.get(omission.entry)
        between = [getattr(omission, name, "") for name in ("source", "destination")]
        if any(between) and between != [source, destination]:
            continue
        remedy = _remedy(omission)
        if entry is None or not remedy or entry.treatment != "enforce":
            continue
        sides = [
            {member for role in wanted for member in catalog.members(role)}
            for wanted in (entry.source, entry.destination)
        ]
        if all(have & want for have, want in zip(roles, sides, strict=True)) and (
            asked is None or isinstance(omission, ParameterUnset) or _opens(entry, compilation) & asked
        ):
            yield Obstacle(entry.id, entry.purpose, omission, remedy)


def _opens(entry: Entry, compilation: Compilation) -> ServiceSet:
    """Return the services of an entry, with the ports that parameters give it."""
    parameters = compilation.deployment.parameters
    return ServiceSet.union(
        service.services(parameters.get(service.parameter) if service.parameter else None)
        for service in entry.services
    )


def _remedy(omission: Omission) -> str:
    """Return the smallest change that takes an omission away, or nothing where none would."""
    match omission:
        case FeatureOff(feature=feature, state=state):
            return f"turn the feature `{feature}` {'off' if state else 'on'}"
        case ParameterUnset(parameter=parameter):
            return f"set the parameter `{parameter}`"
        case Excluded():
            return "remove the exclusion"
        case NotForTheInternet(world=world):
            return f"give `{world}` narrower addresses, or turn it on by its own `features`"
        case Distant():
            return "correct `at`, or link the places"
        case NewerEdition(since=since):
            return f"raise `edition` to {since}"
        case RoleMissing(roles=roles):
            return f"give the role {' or '.join(f'`{role}`' for role in roles)} to a tier or external"
        case NamesShut(source=end):
            return f"say with `names` what lets `{end}` through"
    return ""
