"""The command line: arguments -> one library call -> report."""

from __future__ import annotations

import argparse
import json
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import citrix_netpolicy
from citrix_netpolicy.allowlist import allowlist_files
from citrix_netpolicy.catalog import load_catalog
from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.deployment import Deployment
from citrix_netpolicy.errors import InputError, NetpolicyError, Problem, TargetError
from citrix_netpolicy.output import differences, write_folder
from citrix_netpolicy.report import problem_lines, summary_lines
from citrix_netpolicy.schema import deployment_schema
from citrix_netpolicy.starter import STARTER
from citrix_netpolicy.targets import TARGETS, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from citrix_netpolicy.policy import Policy

__all__ = ["Exit", "main"]


class Exit(IntEnum):
    """How a command ended. Numbers that are not listed are reserved."""

    DONE = 0
    FINDINGS = 1  # the folder is out of date
    BAD_INPUT = 2  # nothing was written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: Exit = options.run(options)
    except NetpolicyError as error:
        for line in problem_lines(error):
            print(line, file=sys.stderr)
        return Exit.BAD_INPUT
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return Exit.DONE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="citrix-netpolicy", description="Minimal, cited firewall rules for Citrix."
    )
    parser.add_argument("--version", action="version", version=citrix_netpolicy.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    compile_ = commands.add_parser("compile", help="write the rules of a deployment for a target")
    compile_.add_argument("deployment", type=Path, metavar="DEPLOYMENT", help="the deployment, a YAML file")
    compile_.add_argument("--target", required=True, metavar="TARGET", help=" | ".join(TARGETS))
    compile_.add_argument("--out", required=True, type=Path, metavar="DIR", help="the folder to write")
    compile_.add_argument(
        "--network", metavar="NAME", help="this network only; else one folder for each in DIR"
    )
    compile_.add_argument("--check", action="store_true", help="write nothing; exit 1 if DIR is out of date")
    compile_.add_argument("--verbose", action="store_true", help="name every entry that gave no rule")
    compile_.set_defaults(run=_compile)

    schema = commands.add_parser("schema", help="print the JSON Schema of deployments, for editors")
    schema.set_defaults(run=_schema)

    init = commands.add_parser("init", help="write a commented deployment to start from")
    init.add_argument("file", nargs="?", type=Path, default=Path("deployment.yaml"), metavar="FILE")
    init.set_defaults(run=_init)
    return parser


def _compile(options: argparse.Namespace) -> Exit:
    deployment = Deployment.load(options.deployment)
    try:
        policy = compile_deployment(deployment)
        files = _files(policy, options.target, options.network)
    except (InputError, TargetError) as error:
        raise type(error)(deployment.located(problem) for problem in error.problems) from None
    if options.check:
        stale = differences(options.out, files)
        for line in stale:
            print(f"{options.out}: {line}", file=sys.stderr)
        return Exit.FINDINGS if stale else Exit.DONE
    write_folder(options.out, files)
    for line in summary_lines(policy, verbose=options.verbose):
        print(line, file=sys.stderr)
    return Exit.DONE


def _files(policy: Policy, target: str, network: str | None) -> dict[str, str]:
    """Return the files of one network, or those of all networks, each in a folder of its name."""
    if network is not None or len(policy.networks) == 1:
        files = write(policy, target, network)
        return files | allowlist_files(policy.in_network(network or next(iter(policy.networks))))
    return {
        f"{name}/{path}": text
        for name in policy.networks
        for path, text in _files(policy, target, name).items()
    }


def _schema(_: argparse.Namespace) -> Exit:
    print(json.dumps(deployment_schema(load_catalog()), indent=2))
    return Exit.DONE


def _init(options: argparse.Namespace) -> Exit:
    try:
        with options.file.open("x", encoding="utf-8") as file:
            file.write(STARTER)
    except FileExistsError:
        hint = "name another file"
        raise InputError(Problem(message=f"`{options.file}` is there already", hint=hint)) from None
    except OSError as error:
        raise InputError(Problem(message=f"cannot write `{options.file}`: {error.strerror}")) from None
    print(f"wrote {options.file}; edit it, then: citrix-netpolicy compile {options.file}", file=sys.stderr)
    return Exit.DONE
