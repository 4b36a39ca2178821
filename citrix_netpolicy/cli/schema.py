"""`citrix-netpolicy schema`: print the JSON Schema of deployments, for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from citrix_netpolicy.cli import Exit
from citrix_netpolicy.cli.output import examples, say
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.inputs.schema import deployment_schema

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    examples(parser, "schema > deployment.schema.json")
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> Exit:
    say(json.dumps(deployment_schema(load_catalog()), indent=2).splitlines())
    return Exit.DONE
