"""What a run says, as JSON for programs. Keys are added within a version, never changed or removed."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.reports.stats import stats_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from citrix_netpolicy.compiler import Compilation
    from citrix_netpolicy.errors import Mark, NetpolicyError, Problem
    from citrix_netpolicy.findings import Finding
    from citrix_netpolicy.folder import Update

__all__ = ["check_report", "compile_report", "finding_data", "problem_report"]

_VERSION: Final = 1


def compile_report(compilation: Compilation, update: Update) -> str:
    """Return what there is to say of a compilation and its folder: numbers, findings, what was left out."""
    module, findings = update.module, update.findings
    here = ("", *module.outputs)
    ours = [finding for finding in compilation.findings if finding.network in here]
    stats = stats_of(compilation, module)
    return _text(
        {
            "deployment": compilation.deployment.name,
            "rules": stats.rules,
            "naive": stats.naive,
            "lower_bound": stats.lower_bound,
            "groups": [asdict(group) for group in stats.groups],
            "files": dict(update.changes),
            "findings": [finding_data(one) for one in (*findings, *ours, *module.findings)],
            "accepted": [finding_data(one) for one in compilation.accepted if one.network in here],
            "omissions": [
                {"entry": one.entry, "kind": type(one).__name__, "message": str(one)}
                for one in compilation.resolution.omissions
            ],
        }
    )


def check_report(lines: Iterable[str]) -> str:
    """Return how a folder differs from what would be written."""
    return _text({"differences": list(lines)})


def problem_report(error: NetpolicyError) -> str:
    """Return what is wrong with an input."""
    return _text({"problems": [_problem(problem) for problem in error.problems]})


def finding_data(finding: Finding) -> dict[str, Any]:
    """Return a finding as data."""
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "subject": finding.subject,
        "network": finding.network,
        "message": finding.message,
        "hint": finding.hint,
        "locations": [_mark(mark) for mark in finding.locations],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
        "path": list(problem.path),
        "location": _mark(problem.mark) if problem.mark else None,
    }


def _mark(mark: Mark) -> dict[str, Any]:
    return {"file": mark.file, "line": mark.line, "column": mark.column}


def _text(data: dict[str, Any]) -> str:
    return json.dumps({"version": _VERSION, **data}, indent=2)
