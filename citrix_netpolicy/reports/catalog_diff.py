"""How two states of the catalogue differ, and which rules of a deployment change because of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from citrix_netpolicy.compiler import Compilation
    from citrix_netpolicy.inputs.catalog import Catalog, Entry
    from citrix_netpolicy.inputs.deployment import Deployment
    from citrix_netpolicy.policy import Cause, Rule

__all__ = ["CatalogDiff", "Change", "DeploymentDiff", "diff_catalogs", "diff_deployment"]

# What decides about rules and allow lists, in the order in which it is told; all else is for readers.
_MEANING: Final = (
    *("source", "destination", "reach", "services", "features", "names", "regional", "treatment"),
    *("duplicate_of", "internet", "stand_in", "balanced", "balancing", "monitored_by"),
)
_WORDS: Final = {"features": "feature", "parameters": "parameter", "roles": "role", "bundles": "bundle"}
_WORDS_MEANING: Final = {
    "features": ("default", "roles", "clouds", "requires", "conflicts"),
    "parameters": ("protocol",),
    "roles": ("kind", "members", "domain_members", "stands_in_for"),
    "bundles": ("entries",),
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is there in one state only, or means another thing in each.

    `what` is `entry`, `feature`, `parameter`, `role` or `bundle`; `how` is `added`, `removed` or `changed`.
    `details` tell it in words, each with the old and the new value of a part, and `cited` who says so.
    """

    what: str
    how: str
    name: str
    details: tuple[str, ...]
    cited: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = f": {'; '.join(self.details)}" if self.details else ""
        because = f" ({'; '.join(self.cited)})" if self.cited else ""
        return f"{self.how} {self.what} {self.name}{said}{because}"


@dataclass(frozen=True, slots=True)
class DeploymentDiff:
    """What becomes of one deployment: rules and named destinations that come and go, each with its causes."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CatalogDiff:
    """All that differs between two states, and what that means for some deployments."""

    changes: tuple[Change, ...]
    deployments: tuple[DeploymentDiff, ...] = field(default=())

    def lines(self) -> Iterator[str]:
        """Yield the difference for people, a line for each change."""
        yield from map(str, self.changes)
        for deployment in self.deployments:
            yield f"deployment {deployment.name}: {_count(len(deployment.lines), 'change')}"
            yield from (f"  {line}" for line in deployment.lines)

    def to_data(self) -> dict[str, Any]:
        """Return the difference as data for programs, version 1."""
        return {
            "version": 1,
            "changes": [
                {
                    "what": change.what,
                    "how": change.how,
                    "name": change.name,
                    "details": list(change.details),
                    "cited": list(change.cited),
                }
                for change in self.changes
            ],
            "deployments": [
                {"name": deployment.name, "changes": list(deployment.lines)}
                for deployment in self.deployments
            ],
        }


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def diff_catalogs(old: Catalog, new: Catalog) -> tuple[Change, ...]:
    """Return what was added, removed and changed in meaning between two states; texts are not compared."""
    return (*_entries(old, new), *_vocabularies(old, new))


def _entries(old: Catalog, new: Catalog) -> Iterator[Change]:
    before, after = ({entry.id: entry for entry in catalog.entries} for catalog in (old, new))
    for id_ in sorted({*before, *after}):
        one, two = before.get(id_), after.get(id_)
        if one is None and two is not None:
            yield Change("entry", "added", id_, (_entry(two),), _cited(new, two))
        elif two is None and one is not None:
            yield Change("entry", "removed", id_, (_entry(one),), _cited(old, one))
        elif one is not None and two is not None:
            details = tuple(_details(one, two, _MEANING))
            if details:
                yield Change("entry", "changed", id_, details, _cited(new, two, before=_cited(old, one)))


def _vocabularies(old: Catalog, new: Catalog) -> Iterator[Change]:
    for kind, word in _WORDS.items():
        before: Mapping[str, Any] = getattr(old, kind)
        after: Mapping[str, Any] = getattr(new, kind)
        for name in sorted({*before, *after}):
            if name not in before or name not in after:
                how = "added" if name in after else "removed"
                told = _default(after.get(name, before.get(name))) if kind == "features" else ()
                yield Change(word, how, name, told)
            elif details := tuple(_details(before[name], after[name], _WORDS_MEANING[kind])):
                yield Change(word, "changed", name, details)


def _details(one: Any, two: Any, parts: Iterable[str]) -> Iterator[str]:
    for part in parts:
        old, new = (_told(part, getattr(item, part)) for item in (one, two))
        if old != new:
            yield f"{part.replace('_', '-')} {old} -> {new}"


def _told(part: str, value: Any) -> str:
    """Return the value of a part in words that are equal where it means the same."""
    if part == "services":
        return " + ".join(sorted(map(_service, value))) or "none"
    if part == "regional":
        return (
            "; ".join(f"{region}: {', '.join(sorted(names))}" for region, names in sorted(value.items()))
            or "none"
        )
    if part == "default":
        return "on" if value else "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(sorted(map(str, value))) or "none"
    return "none" if value is None else str(value)


def _service(service: Any) -> str:
    text = str(service.services()) if service.services() else service.protocol
    conditions = [f"parameter {service.parameter}"] if service.parameter else []
    conditions += [f"with {name}" for name in sorted(service.features)]
    return f"{text} ({', '.join(conditions)})" if conditions else text


def _entry(entry: Entry) -> str:
    ends = f"{', '.join(entry.source)} to {', '.join(entry.destination)}"
    conditions = f", with {', '.join(entry.features)}" if entry.features else ""
    treatment = "" if entry.treatment == "enforce" else f" [{entry.treatment}]"
    return f"{ends}, {_told('services', entry.services)}{conditions}{treatment}"


def _default(feature: Any) -> tuple[str, ...]:
    with_roles = f" with {', '.join(feature.roles)}" if feature.default and feature.roles else ""
    return (f"{_told('default', feature.default)} by default{with_roles}",)


def _cited(catalog: Catalog, entry: Entry, before: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the citations of an entry, without those that it had before where it has others since."""
    cited = tuple(map(str, catalog.citations(entry)))
    return tuple(one for one in cited if one not in before) or cited


def diff_deployment(deployment: Deployment, name: str, old: Catalog, new: Catalog) -> DeploymentDiff:
    """Return which rules and named destinations of a deployment come and go between two states.

    The edition that the deployment names does not count: it is compiled with the newest of each state. Raises
    InputError when it does not compile with one of them, and says with which.
    """
    compilations = []
    for word, catalog in (("old", old), ("new", new)):
        try:
            pinned = deployment.replace(edition=catalog.newest_edition)
            compilations.append(compile_deployment(pinned, catalog))
        except InputError as error:
            raise InputError(_with_state(problem, word) for problem in error.problems) from None
    before, after = map(_lines, compilations)
    lines = [f"- {line} ({before[line]})" for line in before if line not in after]
    lines += [f"+ {line} ({after[line]})" for line in after if line not in before]
    return DeploymentDiff(name, tuple(sorted(lines, key=lambda line: (line[2:], line[0]))))


def _with_state(problem: Problem, word: str) -> Problem:
    hint = problem.hint or "compare states that have all that the deployment names"
    message = f"with the {word} state of the catalogue: {problem.message}"
    return Problem(code=problem.code, message=message, path=problem.path, mark=problem.mark, hint=hint)


def _lines(compilation: Compilation) -> dict[str, str]:
    """Return every rule and named destination as a line, with who says so."""
    found: dict[str, str] = {}
    for group in compilation.policy.groups:
        for rule in group.rules:
            found[f"{group.network}/{group.tier}: {_rule(rule)}"] = _because(rule.causes)
    deployment = compilation.deployment
    networks = {tier: deployment.network_of(tier) for tier in deployment.tiers}
    for item in compilation.resolution.named:
        for one in item.names or ("a name that no source prints",):
            where = f"{networks[item.source]}/" if item.source in networks else ""
            found[f"{where}{item.source}: {item.services} to {one}, by name"] = _because([item.cause])
    return found


def _rule(rule: Rule) -> str:
    way = "from" if rule.direction == "ingress" else "to"
    return f"{rule.service} {way} {rule.peer}"


def _because(causes: Iterable[Cause]) -> str:
    """Return the entries behind a rule and what they cite."""
    return "; ".join(
        f"{cause.id}: {', '.join(cause.citations)}" if cause.citations else cause.id for cause in causes
    )
