"""The command line: one thin module for each verb, loaded when its verb is used."""

from __future__ import annotations

import argparse
import os
import sys
from enum import IntEnum
from importlib import import_module
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERBS", "Exit", "main"]

# Each verb and its line of help. The module of its name has `add_arguments`, which also says what to run.
VERBS: Final = {
    "compile": "write the rules of a deployment for a target",
    "schema": "print the JSON Schema of deployments, for editors",
    "catalog": "browse the catalogue",
    "init": "write a commented deployment to start from",
}


class Exit(IntEnum):
    """How a command ended. Numbers that are not listed are reserved."""

    DONE = 0
    FINDINGS = 1  # the folder is out of date
    BAD_INPUT = 2  # nothing was written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(words).parse_args(words)
    from citrix_netpolicy.errors import NetpolicyError  # noqa: PLC0415

    try:
        code: Exit = options.run(options)
        sys.stdout.flush()
        sys.stderr.flush()
    except NetpolicyError as error:
        from citrix_netpolicy.reports.summary import problem_lines  # noqa: PLC0415

        for line in problem_lines(error):
            print(line, file=sys.stderr)
        return Exit.BAD_INPUT
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody left to tell.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return Exit.DONE
    except OSError as error:
        print(f"error: cannot write the output: {error.strerror}", file=sys.stderr)
        return Exit.BAD_INPUT
    return code


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of these words; only the verb among them gets its arguments."""
    parser = argparse.ArgumentParser(
        prog="citrix-netpolicy", description="Minimal, cited firewall rules for Citrix."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for verb, text in VERBS.items():
        command = commands.add_parser(verb, help=text)
        if verb in words:
            import_module(f"{__name__}.{verb}").add_arguments(command)
    return parser
