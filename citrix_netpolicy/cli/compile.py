"""`citrix-netpolicy compile`: write the rules of a deployment, or check a folder of them."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from citrix_netpolicy.cli import Exit
from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.folder import changes_of, differences, previous_files, write_folder
from citrix_netpolicy.generate import render
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.reports.summary import summary_lines
from citrix_netpolicy.targets import TARGETS

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("deployment", type=Path, metavar="DEPLOYMENT", help="the deployment, a YAML file")
    parser.add_argument("--target", required=True, metavar="TARGET", help=" | ".join(TARGETS))
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write")
    parser.add_argument("--network", metavar="NAME", help="this network only; else a folder for each in DIR")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if DIR is out of date")
    parser.add_argument("--verbose", action="store_true", help="name every entry that gave no rule")
    parser.add_argument(
        "--attached",
        metavar="TIER",
        action="append",
        default=[],
        help="the machines of TIER carry all groups that the last run asked for",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> Exit:
    compilation = compile_deployment(Deployment.load(options.deployment), today=date.today())
    module = render(
        compilation,
        options.target,
        options.network,
        previous=previous_files(options.out),
        folder=options.out,
        attached=options.attached,
    )
    if options.check:
        stale = differences(options.out, module)
        for line in (*stale, *changes_of(options.out, module)):
            print(f"{options.out}: {line}", file=sys.stderr)
        return Exit.FINDINGS if stale else Exit.DONE
    write_folder(options.out, module)
    for line in summary_lines(compilation, module, verbose=options.verbose):
        print(line, file=sys.stderr)
    return Exit.DONE
