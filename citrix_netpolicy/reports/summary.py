"""What a run prints: the summary of a compilation, findings and problems."""

from __future__ import annotations

from collections import Counter
from itertools import groupby, islice
from typing import TYPE_CHECKING, Final

from citrix_netpolicy import limits
from citrix_netpolicy.meeting import feature_states
from citrix_netpolicy.omissions import (
    Distant,
    Excluded,
    FeatureOff,
    Fronted,
    NamesShut,
    Needless,
    NewerEdition,
    NoCommonFamily,
    NotBalanced,
    NotForTheInternet,
    ParameterUnset,
    RoleMissing,
    Treated,
)
from citrix_netpolicy.places import holds
from citrix_netpolicy.reports.stats import stats_of

_CROSSINGS: Final = 6  # entries between two places that are named without being asked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from citrix_netpolicy.compiler import Compilation
    from citrix_netpolicy.errors import NetpolicyError
    from citrix_netpolicy.findings import Finding
    from citrix_netpolicy.folder import Module
    from citrix_netpolicy.omissions import Omission
    from citrix_netpolicy.places import Place
    from citrix_netpolicy.reports.stats import GroupStats

__all__ = ["finding_lines", "problem_lines", "summary_lines", "update_lines"]


def problem_lines(error: NetpolicyError) -> Iterator[str]:
    """Yield a line for each problem, up to a number that still helps, and for what is noted beside them."""
    for problem in error.problems[: limits.SHOWN]:
        yield f"error: {problem}"
    if len(error.problems) > limits.SHOWN:
        yield f"error: and {len(error.problems) - limits.SHOWN} more problems"
    yield from (f"note: {note}" for note in getattr(error, "__notes__", ()))


def summary_lines(compilation: Compilation, module: Module, *, verbose: bool = False) -> Iterator[str]:
    """Yield what there is to say of a compilation: counts, findings, and the entries that gave no rule.

    A group that has more rules than its lower bound is told with that number. Entries that are off or have
    no role in the deployment are counted by reason. `verbose` names every one, and tells the naive count,
    the bound and its certificate of every group.
    """
    # The module may be that of one network of several, so every number is that of its networks.
    stats = stats_of(compilation, module)
    groups, rules = _counted(len(stats.groups), "group"), _counted(stats.rules, "rule")
    proof = f"lower bound {stats.lower_bound}" if stats.gap else "the fewest possible"
    name = compilation.deployment.name
    yield f"{name}: {groups}, {rules} ({proof}); {stats.naive} when every flow is written out"
    for network, alike in groupby(stats.groups, key=lambda group: group.network):
        yield f"  network {network}: " + ", ".join(_size(group) for group in alike)
    for group in stats.groups if verbose else ():
        yield (
            f"  {group.network}/{group.tier}: {_counted(group.rules, 'rule')}, naive {group.naive}, "
            f"lower bound {group.lower_bound}, certificate: {group.certificate}"
        )
    yield from _crossings(compilation, verbose=verbose)
    yield from _without_http(compilation, {group.tier for group in stats.groups})
    here = (finding for finding in compilation.findings if finding.network in ("", *module.outputs))
    yield from finding_lines((*here, *module.findings))
    accepted = [finding for finding in compilation.accepted if finding.network in ("", *module.outputs)]
    if accepted:
        yield f"{_counted(len(accepted), 'finding')} accepted" + (
            "" if verbose else "; use --verbose to list them"
        )
        yield from (f"  {line}" for line in _lines_of(accepted) if verbose)
    omissions = compilation.resolution.omissions
    made = _with_rules(compilation)
    silent = [omission for omission in omissions if omission.entry not in made]
    partial = [omission for omission in omissions if omission.entry in made]
    yield from _left_out(f"{_entries(silent)} produced no rules", silent, verbose=verbose)
    if partial:
        what = f"{_entries(partial)} produced rules for a part only"
        yield from _left_out(what, partial, verbose=verbose)


def _crossings(compilation: Compilation, *, verbose: bool) -> Iterator[str]:
    """Yield what goes from one place to another, a line for each two places that do not hold each other."""
    ends = compilation.deployment.ends
    crossing: dict[tuple[Place, Place], set[str]] = {}
    for flow in compilation.resolution.flows if compilation.deployment.sites else ():
        ones, others = ends[flow.source].places, ends[flow.destination].places
        if ones and others and not any(holds(a, b) or holds(b, a) for a in ones for b in others):
            crossing.setdefault((ones[0], others[0]), set()).add(flow.cause.id)
    for (origin, target), entries in sorted(crossing.items()):
        shown = sorted(entries)[: None if verbose else _CROSSINGS]
        more = f" and {len(entries) - len(shown)} more" if len(entries) > len(shown) else ""
        yield f"  from {origin} to {target}: {', '.join(shown)}{more}"


def _without_http(compilation: Compilation, tiers: Collection[str]) -> Iterator[str]:
    """Yield a line on tiers that are reached over TLS where HTTP would be open by a feature that is off.

    Servers of Citrix answer on HTTP out of the box, and such a site stays dark until they have certificates.
    """
    states = feature_states(compilation.deployment, compilation.catalog)
    off = {
        entry.id
        for entry in compilation.catalog.entries
        for service in entry.services
        if any(name.startswith("plaintext-") and not states[name] for name in service.features)
    }
    told = sorted(
        {flow.destination for flow in compilation.resolution.flows if flow.cause.id in off} & {*tiers}
    )
    if told:
        yield f"  HTTP stays closed, so these must answer over TLS: {', '.join(told)}"


def _size(group: GroupStats) -> str:
    """Tell the rules of a tier, and the lower bound where they are not the fewest."""
    return f"{group.tier} {group.rules}" + (f" (lower bound {group.lower_bound})" if group.gap else "")


def _left_out(what: str, omissions: Sequence[Omission], *, verbose: bool) -> Iterator[str]:
    if not verbose:
        yield what + _reasons(omissions)
        return
    yield f"{what}:"
    for omission in omissions:
        yield f"  {omission.entry}: {omission}"


def _with_rules(compilation: Compilation) -> set[str]:
    """Return the entries and flows of the site that gave a rule."""
    deployment, resolution = compilation.deployment, compilation.resolution
    opened = (item for item in resolution.named if deployment.opens_to_names(item.source))
    return {item.cause.id for items in (resolution.flows, opened) for item in items}


def _entries(omissions: Iterable[Omission]) -> str:
    """Tell how many entries these are: one may be left out for several reasons."""
    number = len({omission.entry for omission in omissions})
    return "1 entry" if number == 1 else f"{number} entries"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield a line for each finding, as many as still help."""
    lines = _lines_of(findings)
    yield from islice(lines, limits.SHOWN)
    left = sum(1 for _ in lines)
    if left:
        yield f"note: and {left} more findings"


def _lines_of(findings: Iterable[Finding]) -> Iterator[str]:
    for finding in findings:
        hint = f" (help: {finding.hint})" if finding.hint else ""
        yield f"{finding.severity}: {finding.message}{hint} [{finding.code}]"


def _reasons(omissions: Iterable[Omission]) -> str:
    """Count the entries by kind of reason; one that has several counts for the first of them."""
    first: dict[str, Omission] = {}
    for omission in omissions:
        first.setdefault(omission.entry, omission)
    kinds = Counter(map(_kind, first.values()))
    told = ", ".join(
        f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    )
    return f" ({told}); use --verbose to list them" if told else ""


def _kind(omission: Omission) -> str:
    match omission:
        case FeatureOff():
            return "by a feature"
        case RoleMissing():
            return "role not deployed"
        case ParameterUnset():
            return "parameter not set"
        case Excluded():
            return "excluded by the deployment"
        case NamesShut():
            return "by name only"
        case Treated():
            return omission.treatment
        case NewerEdition():
            return "newer edition"
        case Fronted() | NotBalanced():
            return "by what is in front"
        case Distant():
            return "by places"
        case NotForTheInternet():
            return "not for the Internet"
        case Needless() | NoCommonFamily():
            return "between those ends"


_NAMED: Final = 4  # files of a kind that are named


def update_lines(folder: str, changes: Mapping[str, str]) -> Iterator[str]:
    """Yield what became of the files of a folder: which are new, changed and removed."""
    if not changes:
        yield f"{folder} is up to date"
    for what, told in (("new", "wrote"), ("changed", "changed"), ("removed", "removed")):
        names = [name for name, found in changes.items() if found == what]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            yield f"{told} {_counted(len(names), 'file')} in {folder}: {', '.join(names[:_NAMED])}{more}"
