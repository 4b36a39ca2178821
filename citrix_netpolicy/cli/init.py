"""`citrix-netpolicy init`: write a commented deployment to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from citrix_netpolicy.cli import Exit
from citrix_netpolicy.cli.arguments import path
from citrix_netpolicy.cli.output import warn
from citrix_netpolicy.errors import InputError, Problem
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.inputs.starter import starter

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("file", nargs="?", type=path, default=Path("deployment.yaml"), metavar="FILE")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> Exit:
    try:
        with options.file.open("x", encoding="utf-8") as file:
            file.write(starter(load_catalog().newest_edition))
    except FileExistsError:
        message = f"`{options.file}` already exists"
        raise InputError(Problem(code="already-there", message=message, hint="choose another file")) from None
    except OSError as error:
        message = f"cannot write `{options.file}`: {error.strerror}"
        raise InputError(Problem(code="unwritable", message=message)) from None
    command = f"citrix-netpolicy compile {options.file} --target terraform --out DIR"
    warn([f"wrote {options.file}; edit it, then run: {command}"])
    return Exit.DONE
