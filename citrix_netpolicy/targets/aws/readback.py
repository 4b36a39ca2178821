"""What the files for AWS say, read in one pass, to be held against what was compiled.

`found` reads files that people may have changed, and says where they are wrong. This reads the layout that
was just written, apart from the code that wrote it, so that a slip there is found before the files replace
others.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.grants import Grant, PrefixSet
from citrix_netpolicy.net import LAST_PORT, Prefix, Protocol, Service, ServiceSet, icmp
from citrix_netpolicy.policy import Direction, ExistingGroup, GroupReference, PrefixList
from citrix_netpolicy.syntax.hcl import unquoted
from citrix_netpolicy.syntax.layout import Cursor, LayoutError, hold_resources, pattern

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from citrix_netpolicy.policy import Point
    from citrix_netpolicy.traffic import Reach

__all__ = ["READERS", "as_said"]


def as_said(reach: Reach) -> Reach:
    """Return a reach as AWS says it, which is as it is."""
    return reach


# A group, its direction, protocol, first and last port, kind of peer.
_Line = tuple[str, Direction, str, int, int, str]


class _Said:
    """What is said of each group while it is read: peers by all that they have in common."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.keys = keys  # what rules call a tier -> its name
        self.lines: dict[_Line, list[str]] = {}

    def grants(self, tiers: Mapping[str, str]) -> dict[tuple[str, Direction], list[Grant]]:
        """Return the grants of each tier; `tiers` says whose each group is."""
        found: dict[tuple[str, Direction], list[Grant]] = {}
        for (group, way, protocol, first, last, kind), peers in self.lines.items():
            if group not in tiers:
                raise LayoutError(f"a rule stands in group `{group}`, which is not there")
            services = ServiceSet.of(_service(protocol, first, last))
            grants = found.setdefault((tiers[group], way), [])
            if len(set(peers)) != len(peers):
                raise LayoutError(f"group `{group}` has the same rule twice")
            if kind in _FAMILIES:
                prefixes = list(map(Prefix.parse, peers))
                if any(prefix.version != _FAMILIES[kind] for prefix in prefixes):
                    raise LayoutError(f"`{kind}` of group `{group}` holds a prefix of another family")
                grants.append(Grant(PrefixSet.of(prefixes), services, ()))
            else:
                grants += (Grant(self._point(kind, peer), services, ()) for peer in peers)
        return found

    def _point(self, kind: str, peer: str) -> Point:
        if kind == "prefix_list_id":
            return PrefixList(peer)
        if kind == "security_group_id":
            return ExistingGroup(peer)
        if peer not in self.keys:
            raise LayoutError(f"a rule refers to tier `{peer}`, which is not there")
        return GroupReference(self.keys[peer])


_FAMILIES: Final = {"cidr_ipv4": 4, "cidr_ipv6": 6}


def _service(protocol: str, first: int, last: int) -> Service:
    """Return the service that EC2 means by a protocol with ports, or with type and code of ICMP."""
    match protocol:
        case "-1":
            return Service(Protocol.ALL, 0, LAST_PORT)
        case "icmp" | "icmpv6":
            type_, code = (None if number == -1 else number for number in (first, last))
            return icmp(Protocol(protocol), type_, code)
        case "tcp" | "udp" if 0 <= first <= last <= LAST_PORT:
            return Service(Protocol(protocol), first, last)
    raise LayoutError(f"protocol `{protocol}` with {first} and {last} means nothing")


# EC2's JSON


def _read_json(files: Mapping[str, str], keys: Mapping[str, str]) -> dict[tuple[str, Direction], list[Grant]]:
    (text,) = (text for name, text in files.items() if name == "security-groups.json")
    said = _Said(keys)
    tiers: dict[str, str] = {}
    for group in json.loads(text)["groups"]:
        key = group["key"]
        if key in tiers:
            raise LayoutError(f"two groups are called `{key}`")
        tiers[key] = group["tier"]
        for field, way in (
            ("IpPermissions", Direction.INGRESS),
            ("IpPermissionsEgress", Direction.EGRESS),
        ):
            for permission in group[field]:
                protocol = permission["IpProtocol"]
                first, last = -1, -1
                if protocol != "-1" or "FromPort" in permission or "ToPort" in permission:
                    first, last = permission["FromPort"], permission["ToPort"]
                for kind, peer in _peers(permission):
                    said.lines.setdefault((key, way, protocol, first, last, kind), []).append(peer)
    return said.grants(tiers)


def _peers(permission: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the kind and text of each peer of a permission; a group of ours is told without its `tier:`."""
    for field, items in permission.items():
        if field in ("IpProtocol", "FromPort", "ToPort"):
            continue
        for item in items:
            match field:
                case "IpRanges":
                    yield "cidr_ipv4", item["CidrIp"]
                case "Ipv6Ranges":
                    yield "cidr_ipv6", item["CidrIpv6"]
                case "PrefixListIds":
                    yield "prefix_list_id", item["PrefixListId"]
                case "UserIdGroupPairs":
                    group = item["GroupId"]
                    if group.startswith("tier:"):
                        yield "tier", group.removeprefix("tier:")
                    else:
                        yield "security_group_id", f"{item['UserId']}/{group}" if "UserId" in item else group
                case _:
                    raise LayoutError(f"a permission has the field `{field}`")


# Terraform

_HEAD: Final = pattern(r"(?:#.*\n)*\nlocals \{\n(?:  #.*\n)*  tiers = \{\n")
_TIER: Final = pattern(r"    (QUOTED|\S+) += \[(.*)\]\n")
_ITEM: Final = pattern(r"QUOTED")
# Without tiers, an empty line stands in their place.
_GROUPS: Final = pattern(r"\n?  \}\n\n  groups = \{\n")
_GROUP: Final = pattern(
    r"    (QUOTED) = \{\n      name        = QUOTED\n      description = QUOTED\n    \}\n"
)
_CLOSED: Final = pattern(r"  \}\n")
_RULES: Final = {
    way: (pattern(rf"\n  {way}_rules = \{{\n"), pattern(rf"\n  {way}_rules = \{{\}}\n")) for way in Direction
}
_RULE: Final = pattern(
    r"    (QUOTED) = \{\n"
    r"      group += (QUOTED)\n"
    r"      description += QUOTED\n"
    r"      ip_protocol += \"([a-z0-9-]+)\"\n"
    r"(?:      from_port += (-?[0-9]+)\n      to_port += (-?[0-9]+)\n)?"
    r"      (cidr_ipv4|cidr_ipv6|prefix_list_id|security_group_id|tier) += (QUOTED)\n"
    r"    \}\n"
)
_END: Final = pattern(r"\}\n")


def _read_terraform(
    files: Mapping[str, str], keys: Mapping[str, str]
) -> dict[tuple[str, Direction], list[Grant]]:
    cursor = Cursor("rules.tf", files["rules.tf"])
    said = _Said(keys)
    cursor.take(_HEAD)
    tiers: dict[str, str] = {}
    for tier in cursor.each(_TIER):
        name = _text(tier[1]) if tier[1].startswith('"') else tier[1]
        for group in map(_text, _ITEM.findall(tier[2])):
            if group in tiers:
                raise LayoutError(f"two tiers have the group `{group}`")
            tiers[group] = name
    cursor.take(_GROUPS)
    if sorted(_text(group[1]) for group in cursor.each(_GROUP)) != sorted(tiers):
        raise LayoutError("the groups are not those of the tiers")
    cursor.take(_CLOSED)
    for way in Direction:
        some, none = _RULES[way]
        if cursor.find(none):
            continue
        cursor.take(some)
        names: list[str] = []
        lines = said.lines
        for rule in cursor.each(_RULE):
            name, group, protocol, first, last, kind, peer = rule.groups()
            names.append(name)
            line = (group, way, protocol, -1 if first is None else int(first), int(last or -1), kind)
            held = lines.get(line)
            if held is None:
                held = lines[line] = []
            held.append(peer)
        if len(set(names)) != len(names):
            raise LayoutError("two rules have the same key")
        cursor.take(_CLOSED)
    cursor.take(_END)
    cursor.end()
    _hold_wiring(files)
    said.lines = {(_text(line[0]), *line[1:]): list(map(_text, peers)) for line, peers in said.lines.items()}
    return said.grants(tiers)


def _text(quoted: str) -> str:
    """Return what a text in double quotes means."""
    return unquoted(quoted) if "\\" in quoted or "{" in quoted else quoted[1:-1]


# What the resource of a rule makes of the values in `rules.tf`.
_WIRING: Final = {
    "for_each": "local.{way}_rules",
    "security_group_id": "aws_security_group.tier[each.value.group].id",
    "description": "each.value.description",
    "ip_protocol": "each.value.ip_protocol",
    "from_port": "try(each.value.from_port, null)",
    "to_port": "try(each.value.to_port, null)",
    "cidr_ipv4": "try(each.value.cidr_ipv4, null)",
    "cidr_ipv6": "try(each.value.cidr_ipv6, null)",
    "prefix_list_id": "try(each.value.prefix_list_id, null)",
    "referenced_security_group_id": (
        "can(each.value.tier) ? aws_security_group.tier[each.value.tier].id "
        ": try(each.value.security_group_id, null)"
    ),
    "tags": "var.tags",
}


def _hold_wiring(files: Mapping[str, str]) -> None:
    """Hold the resources of the module against what a rule has to become. Raises LayoutError."""
    hold_resources(
        files,
        {
            ("aws_security_group", "tier"): None,
            ("terraform_data", "open_before_close"): None,
            **{
                (f"aws_vpc_security_group_{way}_rule", "this"): {
                    name: value.replace("{way}", way) for name, value in _WIRING.items()
                }
                for way in Direction
            },
        },
    )


READERS: Final = {"aws": _read_json, "terraform": _read_terraform}
