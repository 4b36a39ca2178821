"""`citrix-netpolicy init`: write a commented deployment to start from."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from citrix_netpolicy import disk
from citrix_netpolicy.cli import Exit
from citrix_netpolicy.cli.arguments import path
from citrix_netpolicy.cli.output import examples, warn
from citrix_netpolicy.errors import InputError, Problem
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.inputs.starter import starter

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    examples(parser, "init", "init sites/frankfurt.yaml")
    parser.add_argument("file", nargs="?", type=path, default=Path("deployment.yaml"), metavar="FILE")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> Exit:
    content = starter(load_catalog().newest_edition).encode("utf-8")
    staged = options.file.with_name(f".{options.file.name}.{os.getpid()}")
    try:
        try:
            disk.write_file(staged, content)
            disk.place_file(staged, options.file)
        except BaseException:
            with suppress(OSError):
                disk.remove_file(staged)
            raise
    except FileExistsError:
        message = f"`{options.file}` already exists"
        raise InputError(Problem(code="already-there", message=message, hint="choose another file")) from None
    except OSError as error:
        message = f"cannot write `{options.file}`: {error.strerror}"
        raise InputError(Problem(code="unwritable", message=message)) from None
    command = f"citrix-netpolicy compile {options.file} --target terraform --out DIR"
    warn([f"wrote {options.file}; edit it, then run: {command}"])
    return Exit.DONE
