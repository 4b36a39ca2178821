"""The command line: arguments -> one library call -> report."""

from __future__ import annotations

import argparse
import json
import os
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

import citrix_netpolicy
from citrix_netpolicy import targets
from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.errors import InputError, NetpolicyError, Problem, TargetError, nearest
from citrix_netpolicy.folder import differences, write_folder
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.inputs.schema import deployment_schema
from citrix_netpolicy.inputs.starter import STARTER
from citrix_netpolicy.net import LAST_PORT
from citrix_netpolicy.reports import catalog as catalog_report
from citrix_netpolicy.reports.allowlist import allowlist_files
from citrix_netpolicy.reports.summary import problem_lines, summary_lines
from citrix_netpolicy.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
        sys.stdout.flush()
        sys.stderr.flush()
    except NetpolicyError as error:
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

    _add_catalog(commands.add_parser("catalog", help="look into the catalogue"))

    init = commands.add_parser("init", help="write a commented deployment to start from")
    init.add_argument("file", nargs="?", type=Path, default=Path("deployment.yaml"), metavar="FILE")
    init.set_defaults(run=_init)
    return parser


def _add_catalog(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT")

    list_ = commands.add_parser("list", help="list entries")
    list_.add_argument("--product", metavar="TEXT", help="of products with this in their name")
    list_.add_argument("--role", metavar="ROLE", help="with this role at one of their ends")
    list_.add_argument("--feature", metavar="FEATURE", help="that this feature switches")
    list_.add_argument("--port", metavar="PORT", type=int, help="on this TCP or UDP port")
    list_.set_defaults(run=_catalog_list)

    show = commands.add_parser("show", help="tell all about one entry")
    show.add_argument("id", metavar="ID")
    show.set_defaults(run=lambda options: _print(_entry_lines(options.id)))

    roles = commands.add_parser("roles", help="list the roles")
    roles.set_defaults(run=lambda _: _print(catalog_report.role_lines(load_catalog())))

    features = commands.add_parser("features", help="list the features and their defaults")
    features.set_defaults(run=lambda _: _print(catalog_report.feature_lines(load_catalog())))

    export = commands.add_parser("export", help="print the whole catalogue")
    export.add_argument("--format", choices=sorted(catalog_report.EXPORTS), default="json")
    export.set_defaults(run=_catalog_export)


def _catalog_list(options: argparse.Namespace) -> Exit:
    catalog = load_catalog()
    for kind, word, known in (
        ("role", options.role, catalog.roles),
        ("feature", options.feature, catalog.features),
    ):
        if word is not None and word not in known:
            raise InputError(
                Problem(code=f"unknown-{kind}", message=f"unknown {kind} `{word}`", hint=nearest(word, known))
            )
    if options.port is not None and not 1 <= options.port <= LAST_PORT:
        raise InputError(
            Problem(code="invalid-value", message=f"port `{options.port}` is not between 1 and {LAST_PORT}")
        )
    found = catalog_report.select(
        catalog, product=options.product, role=options.role, feature=options.feature, port=options.port
    )
    return _print(catalog_report.entry_list(found))


def _entry_lines(id_: str) -> Iterator[str]:
    catalog = load_catalog()
    return catalog_report.entry_lines(catalog, catalog.entry(id_))


def _catalog_export(options: argparse.Namespace) -> Exit:
    print(catalog_report.EXPORTS[options.format](load_catalog()), end="")
    return Exit.DONE


def _print(lines: Iterable[str]) -> Exit:
    for line in lines:
        print(line)
    return Exit.DONE


def _compile(options: argparse.Namespace) -> Exit:
    deployment = Deployment.load(options.deployment)
    try:
        policy = compile_deployment(deployment)
        files, notes = _files(policy, options.target, options.network, options.out)
    except (InputError, TargetError) as error:
        raise type(error)(deployment.located(problem) for problem in error.problems) from None
    if options.check:
        stale = differences(options.out, files)
        for line in stale:
            print(f"{options.out}: {line}", file=sys.stderr)
        return Exit.FINDINGS if stale else Exit.DONE
    write_folder(options.out, files)
    for line in (*summary_lines(policy, verbose=options.verbose), *(f"note: {note}" for note in notes)):
        print(line, file=sys.stderr)
    return Exit.DONE


def _files(policy: Policy, target: str, network: str | None, out: Path) -> tuple[dict[str, str], list[str]]:
    """Return the files of one network, or those of all networks, each in a folder of its name; and notes."""
    if network is not None or len(policy.networks) == 1:
        name = network or next(iter(policy.networks))
        previous = _texts(out, targets.keeps(policy, target, name))
        files = targets.write(policy, target, name, previous)
        notes = targets.notes(policy, target, name, previous)
        return files | allowlist_files(policy.in_network(name)), notes
    files, notes = {}, []
    for name in policy.networks:
        found, told = _files(policy, target, name, out / name)
        files |= {f"{name}/{path}": text for path, text in found.items()}
        notes += told
    return files, notes


def _texts(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the files of the last generation that are there."""
    found = {}
    for path in (folder / name for name in names):
        try:
            found[path.name] = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            message = f"cannot read `{path}`: {error}"
            raise InputError(
                Problem(code="unreadable", message=message, hint="restore it from version control")
            ) from None
    return found


def _schema(_: argparse.Namespace) -> Exit:
    print(json.dumps(deployment_schema(load_catalog()), indent=2))
    return Exit.DONE


def _init(options: argparse.Namespace) -> Exit:
    try:
        with options.file.open("x", encoding="utf-8") as file:
            file.write(STARTER)
    except FileExistsError:
        hint = "name another file"
        raise InputError(
            Problem(code="already-there", message=f"`{options.file}` is there already", hint=hint)
        ) from None
    except OSError as error:
        raise InputError(
            Problem(code="unwritable", message=f"cannot write `{options.file}`: {error.strerror}")
        ) from None
    command = f"citrix-netpolicy compile {options.file} --target terraform --out DIR"
    print(f"wrote {options.file}; edit it, then: {command}", file=sys.stderr)
    return Exit.DONE
