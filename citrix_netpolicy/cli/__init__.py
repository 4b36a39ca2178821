"""The command line: one thin module for each verb, loaded when its verb is used."""

from __future__ import annotations

import sys
from enum import IntEnum
from importlib import import_module
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.cli.output import Parser, UnheardError, finish, warn
from citrix_netpolicy.cli.process import Ended, discard, mend_streams, signals_raised
from citrix_netpolicy.version import __version__

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from citrix_netpolicy.cli.process import Signals

__all__ = ["VERBS", "Exit", "main"]

# Each verb and its line of help. The module of its name has `add_arguments`, which also says what to run.
VERBS: Final = {
    "compile": "write the rules of a deployment for a target",
    "diff": "tell what a change opens and closes",
    "explain": "tell why a connection is permitted, or what would permit it",
    "verify": "hold what is generated or deployed against the deployment",
    "schema": "print the JSON Schema of deployments, for editors",
    "catalog": "browse the catalogue",
    "init": "write a commented deployment to start from",
}


class Exit(IntEnum):
    """How a command ended; a signal gives 128 and its number. Numbers that are not listed are reserved."""

    DONE = 0
    FINDINGS = 1  # the folder is out of date, or a write to it was interrupted
    BAD_INPUT = 2  # nothing was written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    mend_streams()
    try:
        with signals_raised() as signals:
            code = _run(sys.argv[1:] if arguments is None else list(arguments), signals)
            finish()
    except Ended as end:
        warn([f"error: interrupted by {end}; every file is whole, either old or new"])
        return end.code
    except UnheardError as error:
        discard(sys.stdout)
        if error.reason:
            warn([f"error: cannot write the output: {error.reason}"])
        return Exit.BAD_INPUT if error.reason else Exit.DONE
    return code


def _run(words: Sequence[str], signals: Signals) -> int:
    try:
        options = _parser(words).parse_args(words)
        return _done(options, signals)
    except SystemExit as end:  # a parser of arguments has said what there is to say
        return end.code if isinstance(end.code, int) else Exit.DONE


def _done(options: Namespace, signals: Signals) -> int:
    from citrix_netpolicy.errors import NetpolicyError  # noqa: PLC0415

    try:
        code: Exit = options.run(options)
    except NetpolicyError as error:
        signals.raise_again()
        from citrix_netpolicy.reports.summary import problem_lines  # noqa: PLC0415

        warn(problem_lines(error))
        return Exit.BAD_INPUT
    return code


def _parser(words: Sequence[str]) -> Parser:
    """Return the parser of these words; only the verb among them gets its arguments."""
    parser = Parser(prog="citrix-netpolicy", description="Minimal, cited firewall rules for Citrix.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for verb, text in VERBS.items():
        command = commands.add_parser(verb, help=text)
        if verb in words:
            import_module(f"{__name__}.{verb}").add_arguments(command)
    return parser
