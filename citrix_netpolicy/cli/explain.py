"""`citrix-netpolicy explain`: why a connection is permitted, or what would permit it."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

from citrix_netpolicy.cli import Exit
from citrix_netpolicy.cli.arguments import path, word
from citrix_netpolicy.cli.output import examples, say
from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.errors import clean
from citrix_netpolicy.explain import explain
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.net import LAST_PORT, Protocol, ServiceSet, icmp, ports
from citrix_netpolicy.reports.explain import FORMATS
from citrix_netpolicy.review import sight_of

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    examples(
        parser,
        "explain site.yaml --from storefront --to ddc --port tcp/443",
        "explain site.yaml --to 10.20.64.7",
        "explain site.yaml --from vda --format json",
    )
    parser.add_argument("deployment", type=path, metavar="DEPLOYMENT", help="a YAML file")
    ends = "a tier, an external, a role or an address"
    parser.add_argument("--from", dest="source", type=word, metavar="END", help=f"{ends}; all when left out")
    parser.add_argument("--to", dest="destination", type=word, metavar="END", help="the same")
    parser.add_argument(
        "--port",
        type=_services,
        metavar="PORT",
        help="such as tcp/2598, udp/6910-6930 or icmp",
    )
    parser.add_argument("--format", choices=sorted(FORMATS), default="text")
    parser.set_defaults(run=lambda options: _run(parser, options))


def _services(text: str) -> ServiceSet:
    if text in ("icmp", "icmpv6"):
        return ServiceSet.of(icmp(Protocol(text)))
    found = re.fullmatch(r"(tcp|udp)/([0-9]{1,5})(?:-([0-9]{1,5}))?", text, re.ASCII)
    if found:
        first, last = int(found[2]), int(found[3] or found[2])
        if 1 <= first <= last <= LAST_PORT:
            return ServiceSet.of(ports(Protocol(found[1]), first, last))
    raise ArgumentTypeError(f"`{clean(text)}` is not a port such as tcp/2598")


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Exit:
    """Answer; the exit code is 1 where somebody asked for a connection that is not permitted."""
    if not options.source and not options.destination:
        parser.error("expected `--from`, `--to` or both")
    compilation = compile_deployment(Deployment.load(options.deployment))
    answers = explain(compilation, sight_of(compilation), options.source, options.destination, options.port)
    say(FORMATS[options.format](answers))
    return Exit.DONE if answers and all(answer.is_permitted for answer in answers) else Exit.FINDINGS
