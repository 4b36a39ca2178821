"""All output for people: the summary of a policy, and problems."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from citrix_netpolicy.errors import NetpolicyError
    from citrix_netpolicy.policy import Policy

__all__ = ["problem_lines", "summary_lines"]

MAX_PROBLEMS = 20


def problem_lines(error: NetpolicyError) -> Iterator[str]:
    """Yield a line for each problem, up to a number that still helps."""
    for problem in error.problems[:MAX_PROBLEMS]:
        yield f"error: {problem}"
    if len(error.problems) > MAX_PROBLEMS:
        yield f"error: and {len(error.problems) - MAX_PROBLEMS} more problems"


def summary_lines(policy: Policy, *, verbose: bool = False) -> Iterator[str]:
    """Yield what there is to say of a policy: counts, findings, and the entries that gave no rule.

    Entries that are off or have no role in the site are counted by reason; `verbose` names every one.
    """
    yield f"{policy.name}: {len(policy.groups)} groups, {_counts(policy)}"
    for network, groups in _by_network(policy):
        yield f"  network {network}: " + ", ".join(f"{tier} {rules}" for tier, rules in groups)
    for code, findings in groupby(policy.findings, key=lambda finding: finding.code):
        if code == "role-without-subnet":
            # Most sites lack many roles; one line tells all of them without drowning the rest.
            roles = ", ".join(finding.subject for finding in findings)
            yield f"warning: no tier or external has the role of: {roles} [{code}]"
            continue
        for finding in findings:
            yield f"warning: {finding.message} (help: {finding.remedy}) [{code}]"
    yield f"{len(policy.unenforced)} entries not enforced" + (":" if verbose else _reasons(policy))
    if verbose:
        for item in policy.unenforced:
            yield f"  {item.entry}: {item.reason}"


def _counts(policy: Policy) -> str:
    proof = "the fewest possible" if policy.rule_count == policy.lower_bound else "not the fewest"
    return (
        f"{policy.rule_count} rules ({proof}); naive {policy.naive_rules}, lower bound {policy.lower_bound}"
    )


def _by_network(policy: Policy) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    groups = sorted(policy.groups, key=lambda group: (group.network, group.tier))
    for network, members in groupby(groups, key=lambda group: group.network):
        yield network, [(group.tier, len(group.rules)) for group in members]


def _reasons(policy: Policy) -> str:
    """Count the entries by kind of reason."""
    kinds: dict[str, int] = {}
    for item in policy.unenforced:
        kind = item.reason.partition(":")[0]
        if kind.startswith("feature "):
            kind = "by a feature"
        elif kind.startswith("no tier or external"):
            kind = "role not deployed"
        elif kind.startswith("parameter "):
            kind = "parameter not set"
        elif "`" in kind:
            kind = "between those ends"
        kinds[kind] = kinds.get(kind, 0) + 1
    told = ", ".join(
        f"{count} {kind}" for kind, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    )
    return f" ({told}); --verbose names them" if told else ""
