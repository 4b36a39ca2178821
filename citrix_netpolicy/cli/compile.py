"""`citrix-netpolicy compile`: write the rules of a deployment, or check a folder of them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from citrix_netpolicy.cli import Exit
from citrix_netpolicy.cli.arguments import path, word
from citrix_netpolicy.cli.output import examples, say, warn
from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.errors import InputError, NetpolicyError, Problem
from citrix_netpolicy.files import read_standard_input
from citrix_netpolicy.findings import Severity
from citrix_netpolicy.folder import changes_of, differences, previous_files, update_folder
from citrix_netpolicy.generate import render
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.journal import is_interrupted
from citrix_netpolicy.reports.machine import check_report, compile_report, problem_report
from citrix_netpolicy.reports.summary import finding_lines, summary_lines, update_lines
from citrix_netpolicy.syntax import document
from citrix_netpolicy.targets import TARGETS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from citrix_netpolicy.compiler import Compilation
    from citrix_netpolicy.findings import Finding
    from citrix_netpolicy.folder import Module

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    examples(
        parser,
        "compile site.yaml --target terraform --out modules/citrix",
        "compile site.yaml --target terraform --out modules/citrix --check",
        "compile - --target bicep --out modules/citrix --network tenant < site.yaml",
    )
    parser.add_argument(
        "deployment",
        type=path,
        metavar="DEPLOYMENT",
        help="a YAML file; - is standard input",
    )
    parser.add_argument("--target", required=True, type=word, metavar="TARGET", help=" | ".join(TARGETS))
    parser.add_argument("--out", required=True, type=path, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--network", type=word, metavar="NAME", help="this network only; else a folder for each in DIR"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if DIR is out of date")
    parser.add_argument("--strict", action="store_true", help="write nothing when there is a warning; exit 2")
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--verbose", action="store_true", help="list every entry that produced no rule")
    told.add_argument("-q", "--quiet", action="store_true", help="tell warnings and errors only")
    told.add_argument(
        "--format", choices=("text", "json"), default="text", help="json: tell all on standard output"
    )
    parser.add_argument(
        "--attached",
        type=word,
        metavar="TIER",
        action="append",
        default=[],
        help="the machines of TIER carry all groups that the last run asked for",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> Exit:
    if options.format == "text":
        return _compile(options)
    try:
        return _compile(options)
    except NetpolicyError as error:
        say(problem_report(error).splitlines())
        return Exit.BAD_INPUT


def _compile(options: argparse.Namespace) -> Exit:
    compilation = compile_deployment(_deployment(options.deployment), today=date.today())

    def make(previous: Mapping[str, str]) -> Module:
        module = render(
            compilation,
            options.target,
            options.network,
            previous=previous,
            folder=options.out,
            attached=options.attached,
        )
        if options.strict:
            _refuse_warnings(compilation, module)
        return module

    if options.check:
        lines = [f"{options.out}: {line}" for line in _stale(options.out, make)]
        if options.format == "json":
            say(check_report(lines).splitlines())
        else:
            warn(lines)
        return Exit.FINDINGS if lines else Exit.DONE
    update = update_folder(options.out, make)
    if options.format == "json":
        say(compile_report(compilation, update).splitlines())
    elif options.quiet:
        found = (*update.findings, *_findings(compilation, update.module))
        warn(finding_lines(finding for finding in found if finding.severity != Severity.NOTE))
    else:
        warn(finding_lines(update.findings))
        warn(summary_lines(compilation, update.module, verbose=options.verbose))
        warn(update_lines(str(options.out), update.changes))
    return Exit.DONE


def _deployment(file: Path) -> Deployment:
    """Return the deployment of a file, or of standard input for `-`; paths in it begin here then."""
    if str(file) != "-":
        return Deployment.load(file)
    return Deployment.from_document(document.parse(read_standard_input(), "<stdin>"))


def _findings(compilation: Compilation, module: Module) -> Iterator[Finding]:
    """Yield the findings about what is written: it may be one network of several."""
    yield from (finding for finding in compilation.findings if finding.network in ("", *module.outputs))
    yield from module.findings


def _refuse_warnings(compilation: Compilation, module: Module) -> None:
    problems = [
        Problem(
            code=finding.code,
            message=finding.message,
            mark=finding.locations[0] if finding.locations else None,
            hint=finding.hint,
        )
        for finding in _findings(compilation, module)
        if finding.severity != Severity.NOTE
    ]
    if problems:
        raise InputError(problems)


def _stale(folder: Path, make: Callable[[Mapping[str, str]], Module]) -> Iterator[str]:
    """Yield how a folder differs from what would be written, and why; nothing when it is up to date."""
    if is_interrupted(folder):
        # Old and new files may stand side by side, so nothing else can be said of them.
        yield "a write was interrupted; compile without --check to finish it"
        return
    module = make(previous_files(folder))
    lines = differences(folder, module)
    if lines:
        yield from (*lines, *changes_of(folder, module))
