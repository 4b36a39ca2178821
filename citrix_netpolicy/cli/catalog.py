"""`citrix-netpolicy catalog`: list, show and export what the catalogue knows."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING

from citrix_netpolicy.cli import Exit
from citrix_netpolicy.cli.arguments import path, port, word
from citrix_netpolicy.cli.output import examples, helping, say, warn
from citrix_netpolicy.errors import InputError, Problem, nearest
from citrix_netpolicy.inputs.catalog import load_catalog, load_state
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.reports import catalog as catalog_report

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from citrix_netpolicy.inputs.catalog import Catalog

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    examples(
        parser,
        "catalog list --role vda --port 1494",
        "catalog show storefront-fas",
        "catalog diff 2026.11 --deployment site.yaml",
    )
    parser.set_defaults(run=helping(parser))
    commands = parser.add_subparsers(metavar="WHAT")

    list_ = commands.add_parser("list", help="list entries")
    list_.add_argument("--product", type=word, metavar="TEXT", help="only products whose name contains TEXT")
    list_.add_argument("--role", type=word, metavar="ROLE", help="only entries with this role at either end")
    list_.add_argument(
        "--feature", type=word, metavar="FEATURE", help="only entries that this feature affects"
    )
    list_.add_argument("--port", metavar="PORT", type=port, help="only entries on this TCP or UDP port")
    list_.set_defaults(run=_catalog_list)

    show = commands.add_parser("show", help="show everything about an entry")
    show.add_argument("id", type=word, metavar="ID")
    show.set_defaults(run=lambda options: _print(_entry_lines(options.id)))

    roles = commands.add_parser("roles", help="list the roles")
    roles.set_defaults(run=lambda _: _print(catalog_report.role_lines(_newest())))

    features = commands.add_parser("features", help="list the features and their defaults")
    features.set_defaults(run=lambda _: _print(catalog_report.feature_lines(_newest())))

    bundles = commands.add_parser("bundles", help="list the bundles of entries")
    bundles.set_defaults(run=lambda _: _print(catalog_report.bundle_lines(_newest())))

    services = commands.add_parser("services", help="list the managed services of the clouds")
    services.set_defaults(run=lambda _: _print(catalog_report.service_lines(_newest())))

    review = commands.add_parser(
        "review", help="list what should be read again: read over a year ago, unverified or contested"
    )
    review.set_defaults(run=lambda _: _print(catalog_report.review_lines(_newest(), date.today())))

    diff = commands.add_parser("diff", help="tell how two states of the catalogue differ")
    diff.add_argument("old", type=word, metavar="OLD", help="an edition, an exported file, or a folder")
    diff.add_argument(
        "new", type=word, metavar="NEW", nargs="?", help="the same; the newest edition when left out"
    )
    diff.add_argument(
        "--deployment", type=path, metavar="FILE", action="append", default=[], dest="deployments",
        help="tell which rules of this deployment change, and because of what; may be repeated",
    )  # fmt: skip
    diff.add_argument("--format", choices=("text", "json"), default="text")
    diff.set_defaults(run=_catalog_diff)

    export = commands.add_parser("export", help="print the whole catalogue")
    export.add_argument("--format", choices=sorted(catalog_report.EXPORTS), default="json")
    export.set_defaults(run=_catalog_export)


def _newest() -> Catalog:
    return load_catalog().as_of(None)


def _catalog_list(options: argparse.Namespace) -> Exit:
    catalog = _newest()
    for kind, name, known in (
        ("role", options.role, catalog.roles),
        ("feature", options.feature, catalog.features),
    ):
        if name is not None and name not in known:
            raise InputError(
                Problem(code=f"unknown-{kind}", message=f"unknown {kind} `{name}`", hint=nearest(name, known))
            )
    found = catalog_report.select(
        catalog, product=options.product, role=options.role, feature=options.feature, port=options.port
    )
    if not found:
        warn(["note: no entry matches"])
    return _print(catalog_report.entry_list(found))


def _entry_lines(id_: str) -> Iterator[str]:
    catalog = _newest()
    return catalog_report.entry_lines(catalog, catalog.entry(id_))


def _catalog_export(options: argparse.Namespace) -> Exit:
    return _print(catalog_report.EXPORTS[options.format](_newest()).split("\n")[:-1])


def _catalog_diff(options: argparse.Namespace) -> Exit:
    """Tell the difference; the exit code is 1 where there is one, as that of `diff` is."""
    from citrix_netpolicy.reports import catalog_diff  # noqa: PLC0415 - no other verb compiles here

    states = [options.old, options.new or load_catalog().newest_edition]
    old, new = map(load_state, states)
    deployments = []
    for file in options.deployments:
        deployment = Deployment.load(file)
        own = deployment.catalog_files()
        ours = [load_state(state, *own) for state in states] if own else [old, new]
        deployments.append(catalog_diff.diff_deployment(deployment, str(file), *ours))
    found = catalog_diff.CatalogDiff(catalog_diff.diff_catalogs(old, new), tuple(deployments))
    data = json.dumps(found.to_data(), indent=2).splitlines()
    say(data if options.format == "json" else found.lines())
    return Exit.FINDINGS if found.changes or any(one.lines for one in deployments) else Exit.DONE


def _print(lines: Iterable[str]) -> Exit:
    say(lines)
    return Exit.DONE
