"""`citrix-netpolicy compile`: write the rules of a deployment, or check a folder of them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from citrix_netpolicy.cli import Exit
from citrix_netpolicy.cli.arguments import path, word
from citrix_netpolicy.cli.output import warn
from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.folder import changes_of, differences, previous_files, update_folder
from citrix_netpolicy.generate import render
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.journal import is_interrupted
from citrix_netpolicy.reports.summary import finding_lines, summary_lines
from citrix_netpolicy.targets import TARGETS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from citrix_netpolicy.folder import Module

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("deployment", type=path, metavar="DEPLOYMENT", help="the deployment, a YAML file")
    parser.add_argument("--target", required=True, type=word, metavar="TARGET", help=" | ".join(TARGETS))
    parser.add_argument("--out", required=True, type=path, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--network", type=word, metavar="NAME", help="this network only; else a folder for each in DIR"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if DIR is out of date")
    parser.add_argument("--verbose", action="store_true", help="list every entry that produced no rule")
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
    compilation = compile_deployment(Deployment.load(options.deployment), today=date.today())

    def make(previous: Mapping[str, str]) -> Module:
        return render(
            compilation,
            options.target,
            options.network,
            previous=previous,
            folder=options.out,
            attached=options.attached,
        )

    if options.check:
        lines = [f"{options.out}: {line}" for line in _stale(options.out, make)]
        warn(lines)
        return Exit.FINDINGS if lines else Exit.DONE
    update = update_folder(options.out, make)
    warn(finding_lines(update.findings))
    warn(summary_lines(compilation, update.module, verbose=options.verbose))
    return Exit.DONE


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
