"""What Terraform has worked out of a whole root: groups of AWS with their rules, and who carries them.

The source is JSON that Terraform prints: `terraform show -json` of a state or a plan, or the lines of
`terraform test -json -verbose` with mocked providers. Whoever wrote the modules, what is in force is there.
Places are addresses of resources, since nobody reads such JSON by lines.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import InputError, Mark, Problem, clean
from citrix_netpolicy.net import LAST_PORT, Prefix, Protocol, Service, icmp, ip_protocol
from citrix_netpolicy.policy import Direction, ExistingGroup, GroupReference, Origin, PrefixList, Rule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from citrix_netpolicy.policy import Peer

__all__ = [
    "DEPLOYMENT_TAG",
    "TIER_TAG",
    "Carrier",
    "Deployed",
    "LiveGroup",
    "list_of",
    "map_of",
    "read_evaluated",
]

TIER_TAG: Final = "citrix-netpolicy:tier"
DEPLOYMENT_TAG: Final = "citrix-netpolicy:deployment"
_GROUP: Final = "aws_security_group"
_RULES: Final = {
    "aws_vpc_security_group_ingress_rule": Direction.INGRESS,
    "aws_vpc_security_group_egress_rule": Direction.EGRESS,
}
_OLD_RULE: Final = "aws_security_group_rule"
# Resources that say which rules a group has, and carry none.
_ABOUT_GROUPS: Final = frozenset([_GROUP, *_RULES, _OLD_RULE, "aws_vpc_security_group_rules_exclusive"])
_ATTACHMENT: Final = "aws_network_interface_sg_attachment"


@dataclass(frozen=True, slots=True)
class LiveGroup:
    """A security group as it will be: `tier` is that of its tags, or nothing for a group of others."""

    id: str
    address: str
    deployment: str
    tier: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Carrier:
    """Something that carries groups, or stands in a subnet: a machine, an interface, a template."""

    address: str
    groups: tuple[str, ...]
    subnets: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is deployed. `unknown` are rules that could not be read, and what is not known before an apply."""

    groups: Mapping[str, LiveGroup]
    carriers: tuple[Carrier, ...]
    unknown: tuple[Problem, ...] = ()


def read_evaluated(content: bytes, file: str) -> Deployed:
    """Return what JSON of Terraform says. Raises InputError for what is none, or of an unknown form."""
    root = _root(content, file)
    return _Reader(file, list(_resources(root, file))).deployed()


def _root(content: bytes, file: str) -> dict[str, Any]:
    """Return the root module: of a state, of a plan, or of the last state that a test printed."""
    try:
        is_test = b'"@level"' in content[:300]
        found = _last_state(content) if is_test else json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        message = f"this is not JSON that Terraform prints: {clean(str(error), 100)}"
        raise InputError(Problem(code="not-json", message=message, mark=Mark(file, 1, 1))) from None
    for key in ("values", "planned_values"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not isinstance(found.get("root_module"), dict):
        message = "this JSON holds no state, plan or tested state of Terraform"
        hint = "use `terraform show -json`, or `terraform test -json -verbose -filter=FILE`"
        raise InputError(Problem(code="not-evaluated", message=message, mark=Mark(file, 1, 1), hint=hint))
    root: dict[str, Any] = found["root_module"]
    return root


def _last_state(content: bytes) -> Any:
    """Return the root of the state that a run printed last, as a state holds it; nothing else is built.

    The line holds the schemas of all providers as well, many megabytes. In JSON, quotes inside of a text have
    a backslash before them, so what looks like a key here is one.
    """
    line = content.rfind(b'"test_state":{')
    start = content.find(_ROOT, line) if line >= 0 else -1
    if start < 0:
        raise ValueError("no run printed its state; add `-verbose`, and a run with `command = apply`")
    end = content.find(b"\n", start)
    text = content[start + len(_ROOT) : end if end >= 0 else len(content)].decode()
    root, _ = json.JSONDecoder().raw_decode(text)
    return {"root_module": root}


_ROOT: Final = b'"root_module":'


def _resources(module: Mapping[str, Any], file: str, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if depth > 50:
        raise InputError(
            Problem(code="too-deep", message="modules are nested more than 50 deep", mark=Mark(file, 1, 1))
        )
    for resource in list_of(module.get("resources")):
        if isinstance(resource, dict) and isinstance(resource.get("values"), dict):
            kind = resource.get("type")
            yield {**resource, "type": kind if isinstance(kind, str) else ""}
    for child in list_of(module.get("child_modules")):
        if isinstance(child, dict):
            yield from _resources(child, file, depth + 1)


@dataclass
class _Reader:
    """Resources on their way to groups and to those who carry them."""

    file: str
    resources: list[Mapping[str, Any]]
    unknown: list[Problem] = field(default_factory=list)

    def deployed(self) -> Deployed:
        heads = {
            str(one["values"].get("id")): one
            for one in self._of(_GROUP)
            if one["values"].get("id") and one.get("mode") == "managed"
        }
        tags = {id_: map_of(one["values"].get("tags")) for id_, one in heads.items()}
        tiers = {id_: str(said[TIER_TAG]) for id_, said in tags.items() if TIER_TAG in said}
        rules: dict[str, list[Rule]] = {id_: [] for id_ in heads}
        for id_, rule in self._rules(tiers, heads.keys()):
            rules.setdefault(id_, []).append(rule)
        groups = {
            id_: LiveGroup(
                id_,
                str(heads[id_].get("address")) if id_ in heads else id_,
                str(tags.get(id_, {}).get(DEPLOYMENT_TAG, "")),
                tiers.get(id_, ""),
                tuple(dict.fromkeys(found)),
            )
            for id_, found in rules.items()
        }
        return Deployed(groups, tuple(self._carriers(set(groups))), tuple(self.unknown))

    def _of(self, *types: str) -> Iterator[Mapping[str, Any]]:
        return (one for one in self.resources if one.get("type") in types)

    def _rules(self, tiers: Mapping[str, str], known: Collection[str]) -> Iterator[tuple[str, Rule]]:
        for one in self._of(*_RULES):
            values = one["values"]
            said = {
                "cidr_blocks": [values.get("cidr_ipv4")],
                "ipv6_cidr_blocks": [values.get("cidr_ipv6")],
                "prefix_list_ids": [values.get("prefix_list_id")],
                "security_groups": [values.get("referenced_security_group_id")],
            }
            yield from self._made(one, _RULES[one["type"]], {**values, **said}, tiers, known)
        for one in self._of(_OLD_RULE):
            way = Direction.INGRESS if one["values"].get("type") == "ingress" else Direction.EGRESS
            yield from self._made(one, way, one["values"], tiers, known)
        for one in self._of(_GROUP):
            for way in Direction:
                for block in list_of(one["values"].get(str(way))):
                    values = {**map_of(block), "security_group_id": one["values"].get("id")}
                    yield from self._made(one, way, values, tiers, known)

    def _made(
        self,
        resource: Mapping[str, Any],
        way: Direction,
        values: Mapping[str, Any],
        tiers: Mapping[str, str],
        known: Collection[str],
    ) -> Iterator[tuple[str, Rule]]:
        """Yield the rules that one resource or block says, each with the id of its group."""
        address = str(resource.get("address"))
        group = values.get("security_group_id")
        try:
            service = _service(values)
            peers = list(_peers(values, str(group), tiers, known))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            self._not_judged(address, str(error))
            return
        if not isinstance(group, str) or not peers:
            self._not_judged(
                address, f"its {'peer' if isinstance(group, str) else 'group'} is not known here"
            )
            return
        for peer in peers:
            yield group, Rule(way, peer, service, origin=Origin(None, address))

    def _not_judged(self, address: str, why: str) -> None:
        message = f"`{clean(address, 200)}` cannot be judged: {clean(why, 100)}"
        self.unknown.append(Problem(code="not-judged", message=message, mark=Mark(self.file, 1, 1)))

    def _carriers(self, groups: set[str]) -> Iterator[Carrier]:
        """Yield every resource that names a group anywhere in its values, or stands in a subnet."""
        subnets = {str(one["values"].get("id")): _prefixes(one["values"]) for one in self._of("aws_subnet")}
        late: dict[str, list[str]] = {}
        for one in self._of(_ATTACHMENT):
            interface = str(one["values"].get("network_interface_id"))
            late.setdefault(interface, []).append(str(one["values"].get("security_group_id")))
        for one in self.resources:
            if one.get("type") in {*_ABOUT_GROUPS, _ATTACHMENT, "aws_subnet"} or one.get("mode") != "managed":
                continue
            texts = set(_texts(one["values"]))
            interfaces = (str(one["values"].get(key)) for key in ("id", "primary_network_interface_id"))
            carried = (texts & groups).union(*(late.get(interface, ()) for interface in interfaces))
            stands = tuple(prefix for id_ in sorted(texts & subnets.keys()) for prefix in subnets[id_])
            is_machine = one.get("type") in ("aws_instance", "aws_network_interface")
            if carried or (stands and is_machine):
                yield Carrier(str(one.get("address")), tuple(sorted(carried)), stands)


def list_of(value: Any) -> list[Any]:
    """Return a list, or an empty one for what is none."""
    return value if isinstance(value, list) else []


def map_of(value: Any) -> dict[str, Any]:
    """Return a map, or an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def _prefixes(values: Mapping[str, Any]) -> list[Prefix]:
    """Return the prefixes of a subnet; what a mocked provider makes up is none."""
    found = []
    for text in (values.get("cidr_block"), values.get("ipv6_cidr_block")):
        try:
            found.append(Prefix.parse(text if isinstance(text, str) else ""))
        except ValueError:
            continue
    return found


def _texts(value: Any) -> Iterator[str]:
    """Yield every text of a value, however deep it stands."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


_ID: Final = re.compile("(?:[0-9]{12}/)?sg-[0-9a-f]{8,17}")


def _peers(
    values: Mapping[str, Any], group: str, tiers: Mapping[str, str], known: Collection[str]
) -> Iterator[Peer]:
    """Yield the peers that a rule names. Raises ValueError for an address that is none.

    A mocked provider makes up texts for what is left unset; what is no id of a group is none.
    """
    for key in ("cidr_blocks", "ipv6_cidr_blocks"):
        yield from (Prefix.parse(str(text)) for text in list_of(values.get(key)) if text)
    yield from (PrefixList(str(text)) for text in list_of(values.get("prefix_list_ids")) if text)
    named = [*list_of(values.get("security_groups")), values.get("source_security_group_id")]
    if values.get("self"):
        named.append(group)
    for id_ in dict.fromkeys(map(str, named)):
        if id_ in tiers:
            yield GroupReference(tiers[id_])
        elif id_ in known or _ID.fullmatch(id_):
            yield ExistingGroup(id_)


def _service(values: Mapping[str, Any]) -> Service:
    """Return the service of a rule. Raises ValueError, KeyError or TypeError for what is none."""
    protocol = str(values.get("ip_protocol") or values["protocol"]).lower()
    named = {"6": "tcp", "17": "udp", "1": "icmp", "58": "icmpv6", "-1": "all"}.get(protocol, protocol)
    if named == "all":
        return Service(Protocol.ALL, 0, LAST_PORT)
    if named in ("tcp", "udp"):
        first, last = int(values["from_port"]), int(values["to_port"])
        if not 0 <= first <= last <= LAST_PORT:
            raise ValueError(f"`{first}-{last}` is no range of ports")
        return Service(Protocol(named), first, last)
    if named in ("icmp", "icmpv6"):
        kind, code = (int(values.get(key, -1)) for key in ("from_port", "to_port"))
        return icmp(Protocol(named), None if kind == -1 else kind, None if code == -1 else code)
    return ip_protocol(int(named))
