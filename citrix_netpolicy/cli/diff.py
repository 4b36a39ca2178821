"""`citrix-netpolicy diff`: what a change opens and closes, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from citrix_netpolicy.cli import Exit
from citrix_netpolicy.cli.arguments import path, word
from citrix_netpolicy.cli.output import examples, say
from citrix_netpolicy.compare import Verdict, compare
from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.reports.diff import FORMATS, Risk, changes_of
from citrix_netpolicy.review import sight_at, sight_of, sight_of_folder

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from citrix_netpolicy.compare import Comparison, Sight
    from citrix_netpolicy.reports.diff import Change

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    examples(
        parser,
        "diff old.yaml new.yaml",
        "diff --against origin/main site.yaml --format markdown",
        "diff modules/citrix site.yaml --fail-on broader",
    )
    parser.add_argument(
        "sides", type=path, metavar="OLD NEW", nargs="+", help="a deployment, or a folder that was generated"
    )
    parser.add_argument(
        "--against", type=word, metavar="REVISION", help="compare with NEW as this git revision has it"
    )
    parser.add_argument("--network", type=word, metavar="NAME", help="this network of the deployments only")
    parser.add_argument("--format", choices=sorted(FORMATS), default="text")
    parser.add_argument(
        "--fail-on", choices=("broader", "internet", "any"), help="exit 1 for more than nothing of this"
    )
    parser.set_defaults(run=lambda options: _run(parser, options))


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Exit:
    if len(options.sides) != (1 if options.against else 2):
        parser.error("expected OLD and NEW, or `--against REVISION` and NEW")
    world, new = _sight(options.sides[-1], options.network)
    if options.against:
        old = sight_at(options.sides[0], options.against, options.network)
    else:
        more, old = _sight(options.sides[0], options.network)
        world |= more
    # A folder does not say who has which addresses; the deployment on the other side does.
    old, new = _completed(old, new), _completed(new, old)
    comparison = compare(old, new)
    changes = changes_of(comparison, world)
    say(FORMATS[options.format](comparison, changes))
    return Exit.FINDINGS if _fails(options.fail_on, comparison, changes) else Exit.DONE


def _sight(side: Path, network: str | None) -> tuple[set[str], Sight]:
    if side.is_dir():
        return set(), sight_of_folder(side)
    deployment = Deployment.load(side)
    world = {name for name, external in deployment.external.items() if external.is_the_world}
    return world, sight_of(compile_deployment(deployment), network)


def _completed(sight: Sight, other: Sight) -> Sight:
    if sight.subnets or sight.ends.prefixes:
        return sight
    return replace(sight, subnets=other.subnets, ends=other.ends)


def _fails(what: str | None, comparison: Comparison, changes: list[Change]) -> bool:
    if what == "internet":
        return any(change.risk is Risk.INTERNET for change in changes)
    if what == "broader":
        return comparison.verdict in (Verdict.BROADER, Verdict.INCOMPARABLE)
    return what == "any" and bool(changes)
