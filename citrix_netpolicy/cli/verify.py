"""`citrix-netpolicy verify`: hold what is generated or deployed against the deployment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from citrix_netpolicy.cli import Exit
from citrix_netpolicy.cli.arguments import path, word
from citrix_netpolicy.cli.output import examples, say
from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.errors import InputError, Problem, nearest
from citrix_netpolicy.files import read_file
from citrix_netpolicy.found.evaluated import read_evaluated
from citrix_netpolicy.found.snapshot import is_snapshot, read_snapshot
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.reports.machine import finding_data
from citrix_netpolicy.reports.summary import finding_lines
from citrix_netpolicy.review import sight_of, sight_of_folder
from citrix_netpolicy.verify import fails, verify_deployed, verify_policy

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from citrix_netpolicy.compiler import Compilation
    from citrix_netpolicy.findings import Finding

__all__ = ["add_arguments"]

_SOURCE_BYTES = 256 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    examples(
        parser,
        "verify site.yaml modules/citrix",
        "verify site.yaml evaluated.jsonl",
        "verify site.yaml state.json --network control --format json",
    )
    parser.add_argument("deployment", type=path, metavar="DEPLOYMENT", help="a YAML file")
    parser.add_argument(
        "sources", type=path, metavar="SOURCE", nargs="+",
        help="a generated folder; JSON of Terraform (show -json, test -json -verbose); or a Bicep snapshot",
    )  # fmt: skip
    parser.add_argument("--network", type=word, metavar="NAME", help="the network that a source holds")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> Exit:
    compilation = compile_deployment(Deployment.load(options.deployment))
    known = compilation.deployment.networks
    if options.network is not None and options.network not in known:
        hint = nearest(options.network, known)
        message = f"unknown network `{options.network}`"
        raise InputError(Problem(code="unknown-network", message=message, hint=hint))
    found = [one for source in options.sources for one in _verified(compilation, source, options.network)]
    if options.format == "json":
        data = {"version": 1, "findings": [finding_data(one) for one in found]}
        say(json.dumps(data, indent=2).splitlines())
    else:
        say(finding_lines(found) if found else ["nothing differs"])
    return Exit.FINDINGS if fails(found) else Exit.DONE


def _verified(compilation: Compilation, source: Path, network: str | None) -> list[Finding]:
    if source.is_dir():
        found = sight_of_folder(source)
        networks = {group.network for group in found.policy.groups}
        name = network or (networks.pop() if len(networks) == 1 else None)
        return verify_policy(sight_of(compilation, name), found)
    try:
        content = read_file(source, _SOURCE_BYTES)
    except OSError as error:
        message = f"cannot read `{source}`: {error.strerror}"
        raise InputError(Problem(code="unreadable", message=message)) from None
    read, cloud = (read_snapshot, "azure") if is_snapshot(content) else (read_evaluated, "aws")
    deployed = read(content, str(source))
    known = compilation.deployment.networks
    names = [network] if network else [name for name, one in known.items() if one.cloud == cloud]
    if not names or known[names[0]].cloud != cloud:
        message = f"`{source}` is of {cloud}, and the deployment has no such network"
        raise InputError(Problem(code="wrong-cloud", message=message, hint="name another source"))
    if len(names) > 1:
        message = f"`{source}` does not say which network it holds"
        hint = f"add `--network {' | '.join(names)}`"
        raise InputError(Problem(code="network-needed", message=message, hint=hint))
    return verify_deployed(compilation, sight_of(compilation, names[0]), deployed)
