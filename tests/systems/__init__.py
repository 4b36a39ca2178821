"""Small sites of every system of the source document, with the flows that the document demands of them.

The tables beside this file were written by hand from the document, never from the catalogue. A flow is a
line `source -> destination: tcp 80, 443; udp 3003  # L8`, in roles; `=>` says that the destination is known
by name only. The comment cites the line of the document, or another source in words. A site is one of the
first edition, which knew the document alone, unless it asks for the newest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from citrix_netpolicy import net
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.net import EMPTY, Protocol, Service, ServiceSet
from citrix_netpolicy.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from citrix_netpolicy.inputs.catalog import Catalog

__all__ = ["Flows", "Never", "Pair", "Site", "System", "flows_of", "load_systems", "parse_flows", "shown"]

FOLDER: Final = Path(__file__).parent
_LINE: Final = re.compile(r"(?P<source>\S+) (?P<arrow>[-=]>) (?P<destination>\S+): (?P<services>[^#]+)\Z")

# The one of libyaml is several times as fast.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_OF_THE_DIRECTORY: Final = ("ad-member-baseline", "ad-member-dynamic-rpc", "domain-controller-peers")

# Source, arrow and destination.
Pair = tuple[str, str, str]
Flows = dict[Pair, ServiceSet]


@dataclass(frozen=True)
class Site:
    """One deployment and everything that its flows should be."""

    system: str
    name: str
    deployment: Deployment
    flows: Flows
    names: dict[str, frozenset[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.system}, {self.name}"

    @property
    def roles(self) -> frozenset[str]:
        """The roles that somebody in this site has; names of the outside count."""
        return frozenset(role for end in self.deployment.ends.values() for role in end.roles)


@dataclass(frozen=True)
class Never:
    """What no site may permit: roles may be `*`."""

    system: str
    line: str
    pair: Pair
    services: ServiceSet


@dataclass(frozen=True)
class System:
    """The sites of one system, what it must never yield, and the lines of the document they stand for."""

    name: str
    sites: tuple[Site, ...]
    never: tuple[Never, ...]
    lines: frozenset[int]
    uncited: tuple[str, ...]


def flows_of(deployment: Deployment, catalog: Catalog) -> Flows:
    """Return what a catalogue yields for a site, with one item for each pair of its ends."""
    found: Flows = {}
    resolution = resolve(deployment, catalog)
    for flow in resolution.flows:
        pair = (flow.source, "->", flow.destination)
        found[pair] = found.get(pair, EMPTY) | flow.services
    for item in resolution.named:
        for role in catalog.entry(item.cause.id).destination:
            pair = (item.source, "=>", role)
            found[pair] = found.get(pair, EMPTY) | item.services
    return found


def shown(flows: Flows) -> list[str]:
    """Return flows as lines, for people."""
    return [f"{' '.join(pair)}: {services}" for pair, services in sorted(flows.items())]


def parse_services(text: str) -> ServiceSet:
    """Read `tcp 80, 443; udp 6910-6930; icmp 8/0`, or `all`."""
    if text.strip() == "all":
        return net.ALL
    services: list[Service] = []
    for part in text.split(";"):
        word, _, numbers = part.strip().partition(" ")
        protocol = Protocol(word)
        for number in numbers.split(","):
            if protocol in (Protocol.ICMP, Protocol.ICMPV6):
                type_, code = number.split("/")
                services.append(net.icmp(protocol, int(type_), int(code)))
            else:
                first, _, last = number.strip().partition("-")
                services.append(net.ports(protocol, int(first), int(last or first)))
    return ServiceSet.of(*services)


def parse_flows(text: str) -> Flows:
    """Read flow lines; several lines may speak of the same pair."""
    flows: Flows = {}
    for line in _lines(text):
        match = _LINE.match(line.partition("#")[0].strip())
        if match is None:
            raise ValueError(f"`{line}` is no flow line")
        pair = (match["source"], match["arrow"], match["destination"])
        flows[pair] = flows.get(pair, EMPTY) | parse_services(match["services"])
    return flows


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line]


@cache
def load_systems() -> tuple[System, ...]:
    """Read every table."""
    return tuple(_system(file) for file in sorted(FOLDER.glob("*.yaml")))


def _system(file: Path) -> System:
    data: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=_LOADER)
    name = data["system"]
    texts: list[str] = [data.get("never", ""), data.get("cited-elsewhere", "")]
    sites = [site for key, item in data["sites"].items() for site in _sites(name, key, item, texts)]
    never = tuple(
        Never(name, line.partition("#")[0].strip(), pair, services)
        for line in _lines(data.get("never", ""))
        for pair, services in parse_flows(line).items()
    )
    comments = [line.partition("#")[2] for text in texts for line in _lines(text)]
    numbers = frozenset(int(number) for comment in comments for number in re.findall(r"\bL(\d+)", comment))
    uncited = tuple(line for text in texts for line in _lines(text) if not line.partition("#")[2].strip())
    return System(name, tuple(sites), never, numbers, uncited)


def _sites(system: str, name: str, item: Mapping[str, Any], texts: list[str]) -> Iterable[Site]:
    """Yield a site as its table says, then once more for each of its changes, each on its own."""
    base = parse_flows(item.get("flows", ""))
    texts.append(item.get("flows", ""))
    yield _site(system, name, item, {}, base)
    for change in item.get("changes", ()):
        flows = dict(base)
        adds, takes = parse_flows(change.get("adds", "")), parse_flows(change.get("takes", ""))
        texts += [change.get("adds", ""), change.get("takes", "")]
        for pair, services in takes.items():
            if not services <= flows.get(pair, EMPTY):
                raise ValueError(f"{system}, {name}: {shown({pair: services})} is not there to take")
            flows[pair] -= services
        for pair, services in adds.items():
            if flows.get(pair, EMPTY) - services != flows.get(pair, EMPTY):
                raise ValueError(f"{system}, {name}: {shown({pair: services})} is there already")
            flows[pair] = flows.get(pair, EMPTY) | services
        yield _site(system, name, item, change, {pair: found for pair, found in flows.items() if found})


def _site(system: str, name: str, item: Mapping[str, Any], change: Mapping[str, Any], flows: Flows) -> Site:
    tiers: dict[str, Any] = {
        role: [f"10.{n}.0.0/28", f"10.{n}.0.64/28"] for n, role in enumerate(item["tiers"])
    }
    people = {role: [f"172.{16 + n}.0.0/24"] for n, role in enumerate(item.get("external", ()))}
    if change.get("ipv6", False):
        for n, prefixes in enumerate((*tiers.values(), *people.values())):
            prefixes.append(f"2001:db8:{n:x}::/64")
    for role, behind in change.get("behind", {}).items():
        tiers[role] = {"subnets": tiers[role], "behind": behind}
    # What the directory needs comes with it in every site; only the tables about it speak of that.
    features = {} if item.get("defaults") else dict.fromkeys(_OF_THE_DIRECTORY, False)
    features |= {feature: True for part in (item, change) for feature in part.get("with", ())}
    features |= {feature: False for part in (item, change) for feature in part.get("without", ())}
    features |= dict.fromkeys(change.get("with", ()), True)
    told = [*(f"+{one}" for one in change.get("with", ())), *(f"-{one}" for one in change.get("without", ()))]
    told += [f"{role} behind {', '.join(ends)}" for role, ends in change.get("behind", {}).items()]
    told += ["on both address families"] if change.get("ipv6", False) else []
    told += [f"{key}={value}" for key, value in change.get("parameters", {}).items()]
    edition = item.get("edition", "2026.11")
    deployment = Deployment(
        name="site",
        edition=None if edition == "newest" else edition,
        cloud=item.get("cloud", "aws"),
        tiers=tiers,
        external=people,
        features=features,
        parameters={**item.get("parameters", {}), **change.get("parameters", {})},
    )
    names = {role: frozenset(listed) for role, listed in item.get("names", {}).items()}
    return Site(system, " ".join([name, *told]), deployment, flows, names)
