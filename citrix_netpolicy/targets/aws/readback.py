"""What the files for AWS say, read in one pass, to be held against what was compiled.

`found` reads files that people may have changed, and says where they are wrong. This reads the layout that
was just written, apart from the code that wrote it, so that a slip there is found before the files replace
others.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.grants import Grant, PrefixSet
from citrix_netpolicy.net import LAST_PORT, NUMBERS, Prefix, Protocol, Service, ServiceSet, icmp, ip_protocol
from citrix_netpolicy.policy import Direction, ExistingGroup, GroupReference, PrefixList
from citrix_netpolicy.syntax.hcl import unquoted
from citrix_netpolicy.syntax.layout import Cursor, LayoutError, hold_resources, pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from citrix_netpolicy.policy import Point
    from citrix_netpolicy.traffic import Reach

__all__ = ["READERS", "as_said"]


def as_said(reach: Reach) -> Reach:
    """Return a reach as AWS says it, which is as it is."""
    return reach


# A protocol, its first and last port, and the kind of the peer; and all peers that have these in common.
_Line = tuple[str, int, int, str]
_Lines = dict[_Line, list[str]]


def _line(protocol: str, first: str | None, last: str | None, kind: str) -> _Line:
    """Return the line that a rule belongs to; one without ports has -1 in their place."""
    return protocol, -1 if first is None else int(first), -1 if last is None else int(last), kind


def _grants(group: str, lines: _Lines, keys: Mapping[str, str]) -> list[Grant]:
    """Return what lines of one direction of a group mean; `keys` maps what rules call a tier to its name."""
    found: list[Grant] = []
    for (protocol, first, last, kind), peers in lines.items():
        services = ServiceSet.of(_service(protocol, first, last))
        if len(set(peers)) != len(peers):
            raise LayoutError(f"group `{group}` has the same rule twice")
        if kind in _FAMILIES:
            prefixes = list(map(Prefix.parse, peers))
            if any(prefix.version != _FAMILIES[kind] for prefix in prefixes):
                raise LayoutError(f"`{kind}` of group `{group}` holds a prefix of another family")
            found.append(Grant(PrefixSet.of(prefixes), services, ()))
        else:
            found += (Grant(_point(kind, peer, keys), services, ()) for peer in peers)
    return found


def _point(kind: str, peer: str, keys: Mapping[str, str]) -> Point:
    if kind == "prefix_list_id":
        return PrefixList(peer)
    if kind == "security_group_id":
        return ExistingGroup(peer)
    if peer not in keys:
        raise LayoutError(f"a rule refers to tier `{peer}`, which is not there")
    return GroupReference(keys[peer])


_FAMILIES: Final = {"cidr_ipv4": 4, "cidr_ipv6": 6}


# Protocols without ports stand as numbers.
_NUMBERS: Final = frozenset(str(number) for number in range(256) if number not in NUMBERS)


def _service(protocol: str, first: int, last: int) -> Service:
    """Return the service that EC2 means by a protocol with its ports, or with type and code of ICMP."""
    match protocol:
        case "-1":
            return Service(Protocol.ALL, 0, LAST_PORT)
        case "icmp" | "icmpv6":
            type_, code = (None if number == -1 else number for number in (first, last))
            return icmp(Protocol(protocol), type_, code)
        case _ if protocol in _NUMBERS and (first, last) == (-1, -1):
            return ip_protocol(int(protocol))
        case "tcp" | "udp" if 0 <= first <= last <= LAST_PORT:
            return Service(Protocol(protocol), first, last)
    raise LayoutError(f"protocol `{protocol}` with {first} and {last} means nothing")


# EC2's JSON

_WORD: Final = r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'
_NUMBER: Final = r"(-?(?:0|[1-9][0-9]*))"
_JSON_HEAD: Final = re.compile(
    rf'\{{\n  "//": {_WORD},\n  "version": 1,\n  "deployment": {_WORD},\n  "network": {_WORD},\n'
    r'  "groups": \['
)
_JSON_GROUP: Final = re.compile(
    rf'\n    \{{\n      "key": ({_WORD}),\n      "tier": ({_WORD}),\n'
    rf'      (?:"GroupName": {_WORD},\n      "Description"|"GroupId"): {_WORD},\n'
)
_SIDES: Final = {
    Direction.INGRESS: (re.compile(r'      "IpPermissions": \['), re.compile(r"(?:\n      )?\],\n")),
    Direction.EGRESS: (
        re.compile(r'      "IpPermissionsEgress": \['),
        re.compile(r"(?:\n      )?\]\n    \}"),
    ),
}
_SIDE_END: Final = "\n      ]"
_PERMISSION: Final = re.compile(
    r"\n        \{\n"
    r'          "IpProtocol": "([a-z0-9-]+)",\n'
    rf'(?:          "FromPort": {_NUMBER},\n          "ToPort": {_NUMBER},\n)?'
    r'          "(IpRanges|Ipv6Ranges|PrefixListIds|UserIdGroupPairs)": \[\n'
    r"            \{\n"
    rf'              "(CidrIp|CidrIpv6|PrefixListId|GroupId)": ({_WORD}),\n'
    rf'              "Description": {_WORD}(?:,\n              "UserId": ({_WORD}))?\n'
    r"            \}\n          \]\n        \}"
    r"(?:,(?=\n)|\Z)"
)
_NEXT_GROUP: Final = re.compile(r",(?=\n    \{)")
_JSON_END: Final = re.compile(r"(?:\n  )?\]\n\}\n")
_KINDS: Final = {
    ("IpRanges", "CidrIp"): "cidr_ipv4",
    ("Ipv6Ranges", "CidrIpv6"): "cidr_ipv6",
    ("PrefixListIds", "PrefixListId"): "prefix_list_id",
    ("UserIdGroupPairs", "GroupId"): "group",
}


def _read_json(files: Mapping[str, str], keys: Mapping[str, str]) -> dict[tuple[str, Direction], list[Grant]]:
    cursor = Cursor("security-groups.json", files["security-groups.json"])
    cursor.take(_JSON_HEAD)
    found: dict[tuple[str, Direction], list[Grant]] = {}
    groups: set[str] = set()
    read: dict[str, list[Grant]] = {}  # groups may have the same rules, word for word
    while group := cursor.find(_JSON_GROUP):
        key, tier = json.loads(group[1]), json.loads(group[2])
        if key in groups:
            raise LayoutError(f"two groups are called `{key}`")
        groups.add(key)
        for way, (begin, end) in _SIDES.items():
            cursor.take(begin)
            text = cursor.until(_SIDE_END, end)
            if text not in read:
                read[text] = _grants(key, _lines(Cursor(cursor.file, text)), keys)
            before = found.get((tier, way))
            found[tier, way] = read[text] if before is None else [*before, *read[text]]
        if not cursor.find(_NEXT_GROUP):
            break
    cursor.take(_JSON_END)
    cursor.end()
    return found


def _lines(cursor: Cursor) -> _Lines:
    """Read the permissions of one direction of a group."""
    lines: _Lines = {}
    for permission in cursor.each(_PERMISSION):
        protocol, first, last, field, name, peer, account = permission.groups()
        kind = _KINDS[field, name]
        text = json.loads(peer) if "\\" in peer else peer[1:-1]
        if kind == "group":
            # A group of ours stands there as `tier:` and its key.
            kind = "tier" if text.startswith("tier:") else "security_group_id"
            text = text.removeprefix("tier:")
        if account:
            text = f"{json.loads(account)}/{text}"
        lines.setdefault(_line(protocol, first, last, kind), []).append(text)
    cursor.end()
    return lines


# Terraform

_HEAD: Final = pattern(r"(?:#.*\n)*\nlocals \{\n  deployment = QUOTED\n\n(?:  #.*\n)*  tiers = \{\n")
_TIER: Final = pattern(r"    (QUOTED|\S+) += \[(.*)\]\n")
_ITEM: Final = pattern(r"QUOTED")
# Without tiers, an empty line stands in their place.
_GROUPS: Final = pattern(r"\n?  \}\n\n  groups = \{\n")
# A group is made here under a name, or exists and is known by its id.
_GROUP: Final = pattern(
    r"    (QUOTED) = \{\n"
    r"(?:      name        = QUOTED\n(      exact       = true\n)?"
    r"      description = QUOTED\n      tier        = QUOTED\n"
    r"|(      id        = QUOTED\n)      tier      = QUOTED\n      exclusive = (?:true|false)\n)"
    r"    \}\n"
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
    said: dict[tuple[str, Direction], _Lines] = {}
    cursor.take(_HEAD)
    tiers: dict[str, str] = {}
    for tier in cursor.each(_TIER):
        name = _text(tier[1]) if tier[1].startswith('"') else tier[1]
        for group in map(_text, _ITEM.findall(tier[2])):
            if group in tiers:
                raise LayoutError(f"two tiers have the group `{group}`")
            tiers[group] = name
    cursor.take(_GROUPS)
    groups = list(cursor.each(_GROUP))
    if sorted(_text(group[1]) for group in groups) != sorted(tiers):
        raise LayoutError("the groups are not those of the tiers")
    cursor.take(_CLOSED)
    for way in Direction:
        some, none = _RULES[way]
        if cursor.find(none):
            continue
        cursor.take(some)
        names: list[str] = []
        for rule in cursor.each(_RULE):
            name, group, protocol, first, last, kind, peer = rule.groups()
            names.append(name)
            lines = said.setdefault((group, way), {})
            lines.setdefault(_line(protocol, first, last, kind), []).append(_text(peer))
        if len(set(names)) != len(names):
            raise LayoutError("two rules have the same key")
        cursor.take(_CLOSED)
    cursor.take(_END)
    cursor.end()
    _hold_wiring(
        files, has_exact=any(group[2] for group in groups), has_existing=any(group[3] for group in groups)
    )
    found: dict[tuple[str, Direction], list[Grant]] = {}
    for (quoted, way), lines in said.items():
        group = _text(quoted)
        if group not in tiers:
            raise LayoutError(f"a rule stands in group `{group}`, which is not there")
        found.setdefault((tiers[group], way), []).extend(_grants(group, lines, keys))
    return found


def _text(quoted: str) -> str:
    """Return what a text in double quotes means."""
    return unquoted(quoted) if "\\" in quoted or "{" in quoted else quoted[1:-1]


# What the resource of a rule makes of the values in `rules.tf`; `{of}` stands for all groups.
_WIRING: Final = {
    "for_each": "local.{way}_rules",
    "security_group_id": "{of}[each.value.group].id",
    "description": "each.value.description",
    "ip_protocol": "each.value.ip_protocol",
    "from_port": "try(each.value.from_port, null)",
    "to_port": "try(each.value.to_port, null)",
    "cidr_ipv4": "try(each.value.cidr_ipv4, null)",
    "cidr_ipv6": "try(each.value.cidr_ipv6, null)",
    "prefix_list_id": "try(each.value.prefix_list_id, null)",
    "referenced_security_group_id": (
        "can(each.value.tier) ? {of}[each.value.tier].id : try(each.value.security_group_id, null)"
    ),
    "tags": "var.tags",
}


def _hold_wiring(files: Mapping[str, str], *, has_exact: bool, has_existing: bool) -> None:
    """Hold the resources of the module against what a rule has to become. Raises LayoutError."""
    of = "local.all_groups" if has_existing else "aws_security_group.tier"
    is_exclusive = '"aws_vpc_security_group_rules_exclusive"' in files["main.tf"]
    is_version_6 = 'variable "region"' in files["variables.tf"]
    region = {"region": "var.region"} if is_version_6 else {}
    own = "{ for key, group in local.groups : key => group if !can(group.id) }"
    prefix = '"${each.value.name}-"'
    group = {
        "for_each": own if has_existing else "local.groups",
        **region,
        "name_prefix": f"can(each.value.exact) ? null : {prefix}" if has_exact else prefix,
        "description": "each.value.description",
        "vpc_id": "var.vpc_id",
        "tags": (
            "merge(var.tags, { Name = each.value.name "
            '"citrix-netpolicy:deployment" = local.deployment "citrix-netpolicy:tier" = each.value.tier })'
        ),
    }
    if has_exact:
        group["name"] = "can(each.value.exact) ? each.value.name : null"
    wanted: dict[tuple[str, str], Mapping[str, str] | None] = {
        ("aws_security_group", "tier"): group,
        ("terraform_data", "open_before_close"): None,
    }
    for way in Direction:
        wiring = {name: value.replace("{way}", way).replace("{of}", of) for name, value in _WIRING.items()}
        wanted[f"aws_vpc_security_group_{way}_rule", "this"] = {**region, **wiring}
    if has_existing:
        wanted["data.aws_security_group", "existing"] = {
            "for_each": "{ for key, group in local.groups : key => group.id if can(group.id) }",
            **region,
            "id": "each.value",
            "vpc_id": "var.vpc_id",
        }
    if is_exclusive:
        exclusive = "{ for key, group in local.groups : key => group if try(group.exclusive, true) }"
        wanted["aws_vpc_security_group_rules_exclusive", "tier"] = {
            "for_each": exclusive if has_existing else "local.groups",
            **region,
            "security_group_id": f"{of}[each.key].id",
            **{
                f"{way}_rule_ids": (
                    f"[for key, rule in local.{way}_rules : "
                    f"aws_vpc_security_group_{way}_rule.this[key].id if rule.group == each.key]"
                )
                for way in Direction
            },
        }
    hold_resources(files, wanted)


READERS: Final = {"aws": _read_json, "terraform": _read_terraform}
