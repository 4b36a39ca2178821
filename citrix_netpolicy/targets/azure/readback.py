"""What the files for Azure say, read in one pass, to be held against what was compiled.

As in AWS, this stands apart from the code that wrote the files. All three spellings come down to the
properties of a security rule in Azure Resource Manager.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.grants import Grant, PrefixSet
from citrix_netpolicy.net import ALL, LAST_PORT, Prefix, Protocol, Service, ServiceSet, ip_protocol
from citrix_netpolicy.policy import Direction, GroupReference, ServiceTag
from citrix_netpolicy.syntax.hcl import unquoted
from citrix_netpolicy.syntax.layout import Cursor, LayoutError, hold_resources, pattern
from citrix_netpolicy.traffic import Reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["READERS", "as_said"]

# Properties of a rule, under the names that Azure Resource Manager gives them.
_Rule = dict[str, Any]

_DENY: Final = 4096
_ICMP: Final = ServiceSet.of(Service(Protocol.ICMP, 0, LAST_PORT))
_ICMPV6: Final = ServiceSet.of(Service(Protocol.ICMPV6, 0, LAST_PORT))
_PROTOCOLS: Final = {"Tcp": Protocol.TCP, "Udp": Protocol.UDP, "Icmp": Protocol.ICMP, "*": Protocol.ALL}
# Protocols without ports whose words stand for a number.
_NUMBERS: Final = {"Esp": 50, "Ah": 51}
_EVERYTHING: Final = tuple(Grant(PrefixSet.of([Prefix(version, 0, 0)]), ALL, ()) for version in (4, 6))


def as_said(reach: Reach) -> Reach:
    """Return a reach as Azure says it: ICMP as a whole, ICMPv6 not at all."""
    sets = {*(segment.services for segment in reach.segments), *(services for _, services in reach.points)}
    if all(_of_azure(services) == services for services in sets):
        return reach
    return reach.combine(Reach(), lambda services, _: _of_azure(services))


def _of_azure(services: ServiceSet) -> ServiceSet:
    if services == ALL:
        return ALL
    services -= _ICMPV6
    return services | _ICMP if services & _ICMP else services


class _Said:
    """What is said of each group while it is read."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.keys = keys  # what the files call a tier -> its name
        self.sets: dict[tuple[str, ...], list[PrefixSet]] = {}
        self.grants: dict[tuple[str, Direction], list[Grant]] = {}
        self.seen: set[str] = set()

    def group(self, key: str, rules: Iterable[_Rule]) -> None:
        """Take in the rules of the group that the files call `key`. Raises LayoutError."""
        if key in self.seen or key not in self.keys:
            raise LayoutError(f"group `{key}` is there twice, or belongs to no tier")
        self.seen.add(key)
        tier = self.keys[key]
        ends: dict[Direction, bool] = {}
        ranks: set[Any] = set()
        for rule in rules:
            way = _WAYS[rule["direction"]]
            # Each direction has priorities of its own, and a group has no two rules of one name.
            for rank in ((way, rule["priority"]), rule["name"].lower()):
                if rank in ranks:
                    raise LayoutError(f"two rules of group `{key}` share {rank}")
                ranks.add(rank)
            grants = self.grants.setdefault((tier, way), [])
            if rule["access"] == "Allow" and 100 <= rule["priority"] < _DENY:
                ends.setdefault(way, False)
                grants += self._allowed(rule, way)
            elif _is_final(rule, way):
                ends[way] = True
            else:
                raise LayoutError(f"rule `{rule['name']}` of group `{key}` is neither of ours nor the last")
        if Direction.EGRESS not in ends:
            # Without rules, those that Azure begins with let everything out.
            ends[Direction.EGRESS] = True
            self.grants[tier, Direction.EGRESS] = [*_EVERYTHING]
        if not (ends.get(Direction.INGRESS) and ends[Direction.EGRESS]):
            raise LayoutError(f"group `{key}` does not end with a deny")

    def _allowed(self, rule: _Rule, way: Direction) -> Iterator[Grant]:
        ours, theirs = _sides(way)
        if rule.get("sourcePortRange") != "*" or rule.get(f"{ours}AddressPrefix") != "*":
            raise LayoutError(f"rule `{rule['name']}` is about a part of the machines or their ports")
        services = ServiceSet.of(*_services(rule))
        fields = rule.keys() & {
            f"{theirs}{kind}" for kind in ("AddressPrefix", "AddressPrefixes", "ApplicationSecurityGroups")
        }
        if len(fields) != 1 or rule.keys() & {f"{ours}AddressPrefixes", f"{ours}ApplicationSecurityGroups"}:
            raise LayoutError(f"the peers of rule `{rule['name']}` are said twice, or not at all")
        (field,) = fields
        value = rule[field]
        if field.endswith("Groups"):
            for tier in _distinct(rule, value):
                yield Grant(GroupReference(tier), services, ())
        elif value == "*":
            yield from (Grant(everywhere.peers, services, ()) for everywhere in _EVERYTHING)
        elif isinstance(value, str) and _TAG.fullmatch(value):
            yield Grant(ServiceTag(value), services, ())
        else:
            for peers in self._prefixes(_distinct(rule, value)):
                yield Grant(peers, services, ())

    def _prefixes(self, texts: tuple[str, ...]) -> list[PrefixSet]:
        found = self.sets.get(texts)
        if found is None:
            prefixes = list(map(Prefix.parse, texts))
            families = ([prefix for prefix in prefixes if prefix.version == version] for version in (4, 6))
            found = self.sets[texts] = [PrefixSet.of(family) for family in families if family]
        return found


_WAYS: Final = {"Inbound": Direction.INGRESS, "Outbound": Direction.EGRESS}
_TAG: Final = re.compile(r"[A-Z][A-Za-z0-9.]*")


def _sides(way: Direction) -> tuple[str, str]:
    """Return what the sides of a rule are called: that of the group, and that of its peers."""
    return ("destination", "source") if way is Direction.INGRESS else ("source", "destination")


def _distinct(rule: _Rule, value: str | list[str]) -> tuple[str, ...]:
    """Return the values of a field, which may be one or several. Raises LayoutError when two are the same."""
    values = (value,) if isinstance(value, str) else tuple(value)
    if len(set(values)) != len(values):
        raise LayoutError(f"rule `{rule['name']}` says the same twice")
    return values


def _services(rule: _Rule) -> Iterator[Service]:
    word = rule["protocol"]
    said = [rule[field] for field in ("destinationPortRange", "destinationPortRanges") if field in rule]
    if len(said) != 1:
        raise LayoutError(f"the ports of rule `{rule['name']}` are said twice, or not at all")
    for text in _distinct(rule, said[0]):
        first, _, last = ("0", "-", "65535") if text == "*" else text.partition("-")
        span = (int(first), int(last or first))
        is_whole = span == (0, LAST_PORT)
        if not 0 <= span[0] <= span[1] <= LAST_PORT or (word not in ("Tcp", "Udp") and not is_whole):
            raise LayoutError(f"rule `{rule['name']}` has the ports `{text}`")
        yield ip_protocol(_NUMBERS[word]) if word in _NUMBERS else Service(_PROTOCOLS[word], *span)


def _is_final(rule: _Rule, way: Direction) -> bool:
    """Tell whether a rule is the deny of everything that ends a direction."""
    fields = ("protocol", "sourcePortRange", "destinationPortRange", "sourceAddressPrefix")
    stars = all(rule.get(field) == "*" for field in (*fields, "destinationAddressPrefix"))
    others = rule.keys() - {*fields, "destinationAddressPrefix", "access", "priority", "direction"}
    return (
        stars
        and (rule["access"], rule["priority"]) == ("Deny", _DENY)
        and _WAYS[rule["direction"]] is way
        and others <= {"name", "description"}
    )


# REST JSON


def _read_json(files: Mapping[str, str], keys: Mapping[str, str]) -> dict[tuple[str, Direction], list[Grant]]:
    said = _Said(keys)
    for group in json.loads(files["network-security-groups.json"])["groups"]:
        said.group(group["tier"], map(_of_resource, group["properties"]["securityRules"]))
    return said.grants


def _of_resource(resource: Mapping[str, Any]) -> _Rule:
    rule = {"name": resource["name"], **resource["properties"]}
    for field in rule.keys() & _ASGS:
        rule[field] = [asg["id"].removeprefix("tier:") for asg in rule[field]]
    return rule


_ASGS: Final = {"sourceApplicationSecurityGroups", "destinationApplicationSecurityGroups"}


# Terraform

_HEAD: Final = pattern(r"(?:#.*\n)*\nlocals \{\n  deployment = QUOTED\n\n  groups = \{\n")
_GROUP: Final = pattern(r"    (QUOTED) = \{\n      name = QUOTED\n      tier = QUOTED\n    \}\n")
_ASG_HEAD: Final = pattern(r"\n  application_security_groups = \{\n")
_ASG: Final = pattern(r"    (QUOTED|\S+) += QUOTED\n")
_RULES: Final = pattern(r"\n  rules = \{\n")
_RULE: Final = pattern(r"    (QUOTED) = \{\n((?:      [a-z_]+ += .+\n)+)    \}\n")
_ARGUMENT: Final = pattern(r"      ([a-z_]+) += (.+)\n")
_CLOSED: Final = pattern(r"  \}\n")
_END: Final = pattern(r"\}\n")


def _read_terraform(
    files: Mapping[str, str], keys: Mapping[str, str]
) -> dict[tuple[str, Direction], list[Grant]]:
    cursor = Cursor("rules.tf", files["rules.tf"])
    cursor.take(_HEAD)
    rules: dict[str, list[_Rule]] = {_value(group[1]): [] for group in cursor.each(_GROUP)}
    cursor.take(_CLOSED)
    asgs: set[str] = set()
    if cursor.find(_ASG_HEAD):
        told = [_value(asg[1]) if asg[1].startswith('"') else asg[1] for asg in cursor.each(_ASG)]
        asgs = set(told)
        if len(asgs) != len(told):
            raise LayoutError("two application security groups have the same key")
        cursor.take(_CLOSED)
    cursor.take(_RULES)
    names: set[str] = set()
    for found in cursor.each(_RULE):
        arguments = _ARGUMENT.findall(found[2])
        values = {name: _value(text) for name, text in arguments}
        if len(values) != len(arguments):
            raise LayoutError(f"rule {found[1]} has an argument twice")
        rule = {_property(name): value for name, value in values.items() if name != "group"}
        if not asgs.issuperset(tier for field in rule.keys() & _ASGS for tier in rule[field]):
            raise LayoutError(f"rule `{rule['name']}` refers to a group that is not there")
        names.add(found[1])
        rules[values["group"]].append({"sourcePortRange": "*", **rule})
    if len(names) != sum(map(len, rules.values())):
        raise LayoutError("two rules have the same key")
    cursor.take(_CLOSED)
    cursor.take(_END)
    cursor.end()
    of_interfaces = 'variable "network_interface_ids"' in files.get("variables.tf", "")
    hold_resources(files, _resources(has_asgs=bool(asgs), of_interfaces=of_interfaces))
    said = _Said(keys)
    for key, held in rules.items():
        said.group(key, held)
    return said.grants


def _value(text: str) -> Any:
    """Return what a literal of a text, a number or a list of texts means."""
    if text.startswith("[") and ("\\" in text or "{" in text):
        return [unquoted(item) for item in re.findall(pattern("QUOTED"), text)]
    if text.startswith('"') and ("\\" in text or "{" in text):
        return unquoted(text)
    return json.loads(text)


def _property(name: str) -> str:
    """Return what Azure calls an argument of the provider."""
    if name.endswith("_tiers"):
        return name.removesuffix("_tiers") + "ApplicationSecurityGroups"
    first, *words = name.split("_")
    return first + "".join(map(str.capitalize, words))


# What a group makes of the values in `rules.tf`.
_VALUES: Final = ("name", "description", "priority", "direction", "access", "protocol")
_OPTIONAL: Final = (
    "destination_port_range",
    "destination_port_ranges",
    "source_address_prefix",
    "source_address_prefixes",
    "destination_address_prefix",
    "destination_address_prefixes",
)
_GROUP_OF_RULES: Final = {
    "for_each": "local.groups",
    "name": "each.value.name",
    "location": "var.location",
    "resource_group_name": "var.resource_group_name",
    "tags": (
        'merge(var.tags, { "citrix-netpolicy:deployment" = local.deployment '
        '"citrix-netpolicy:tier" = each.value.tier })'
    ),
    "security_rule.for_each": "{ for key, rule in local.rules : key => rule if rule.group == each.key }",
    "security_rule.source_port_range": '"*"',
    **{f"security_rule.{name}": f"security_rule.value.{name}" for name in _VALUES},
    **{f"security_rule.{name}": f"try(security_rule.value.{name}, null)" for name in _OPTIONAL},
}


def _resources(*, has_asgs: bool, of_interfaces: bool) -> dict[tuple[str, str], dict[str, str] | None]:
    place = "network_interface" if of_interfaces else "subnet_network"
    wiring = dict(_GROUP_OF_RULES)
    resources: dict[tuple[str, str], dict[str, str] | None] = {
        ("azurerm_network_security_group", "tier"): wiring,
        (f"azurerm_{place}_security_group_association", "this"): None,
    }
    if has_asgs:
        resources["azurerm_application_security_group", "tier"] = None
        if of_interfaces:
            resources["azurerm_network_interface_application_security_group_association", "this"] = None
        for side in ("source", "destination"):
            wiring[f"security_rule.{side}_application_security_group_ids"] = (
                f"can(security_rule.value.{side}_tiers) ? [ for tier in security_rule.value.{side}_tiers : "
                "azurerm_application_security_group.tier[tier].id ] : null"
            )
    return resources


# Bicep

_RESOURCE: Final = re.compile(
    r"^resource ([A-Za-z0-9_]+) '(Microsoft\.Network/[A-Za-z]+)@[^'\n]*' = \{\n"
    r"  name: '[A-Za-z0-9._-]+'\n"
    r"  location: location\n"
    r"  tags: union\(tags, \{\n"
    r"    'citrix-netpolicy:deployment': '[A-Za-z0-9._-]+'\n"
    r"    'citrix-netpolicy:tier': '(?:[^'\\\n]|\\.)*'\n"
    r"  \}\)\n"
    r"  properties: (?:\{\}\n\}\n|\{\n    securityRules: \[\n)",
    re.MULTILINE,
)
# Which resource is whose: the ids that the module gives.
_IDS_OF: Final = re.compile(
    r"^output (network|application)SecurityGroupIds [A-Za-z]+ = \{\n((?:  .+: [A-Za-z0-9_]+\.id\n)*)\}$",
    re.MULTILINE,
)
_ID_OF: Final = re.compile(r"^  (?:'((?:[^'\\\n]|\\.)*)'|(\w+)): ([A-Za-z0-9_]+)\.id$", re.MULTILINE)
_BODY: Final = re.compile(r"      \{\n        name: '([^'\\\n]+)'\n        properties: \{\n")
_PROPERTY: Final = re.compile(
    r"          ([A-Za-z]+): (?:'((?:[^'\\\n]|\\.)*)'|([0-9]+)|\[\n(?s:(.*?))          \])\n"
)
_BODY_END: Final = re.compile(r"        \}\n      \}\n")
_LIST_END: Final = re.compile(r"    \]\n  \}\n\}\n")
_TEXTS: Final = re.compile(r"            '([^'\\\n]*)'\n")
_IDS: Final = re.compile(r"            \{\n              id: ([A-Za-z0-9_]+)\.id\n            \}\n")


def _read_bicep(
    files: Mapping[str, str], keys: Mapping[str, str]
) -> dict[tuple[str, Direction], list[Grant]]:
    text = files["main.bicep"]
    said = _Said(keys)
    tiers: dict[str, str] = {}
    for ids in _IDS_OF.findall(text):
        _hold_texts(text, *ids)
        for quoted, plain, symbol in _ID_OF.findall(ids[1]):
            if symbol in tiers:
                raise LayoutError(f"the id of `{symbol}` is given twice")
            tiers[symbol] = plain or _meaning(quoted)
    asgs: dict[str, str] = {}
    cursor = Cursor("main.bicep", text)
    number = 0
    for resource in _RESOURCE.finditer(text):
        number += 1
        symbol, type_ = resource.groups()
        tier = tiers[symbol]
        if type_.endswith("applicationSecurityGroups"):
            asgs[symbol] = tier
            continue
        cursor.at = resource.end()
        said.group(tier, list(_bodies(cursor, asgs)))
        cursor.take(_LIST_END)
    # A resource that is laid out otherwise, a module or a loop would not have been met.
    if number != len(re.findall(r"^(?:resource|module|var)\b", text, re.MULTILINE)):
        raise LayoutError("`main.bicep` has a resource, a module or a variable that is not ours")
    return said.grants


def _hold_texts(text: str, kind: str, ids: str) -> None:
    """Hold the type and the other outputs of a module against the ids that it gives. Raises LayoutError."""
    members = re.sub(r": [A-Za-z0-9_]+\.id$", ": string", ids, flags=re.MULTILINE)
    wanted = [f"\ntype {kind}SecurityGroupTexts = {{\n{members}}}\n"]
    if kind == "network":
        names = re.sub(r"\.id$", ".name", ids, flags=re.MULTILINE)
        wanted.append(f"\noutput networkSecurityGroupNames networkSecurityGroupTexts = {{\n{names}}}\n")
    for block in wanted:
        if text.count(block) != 1:
            raise LayoutError(f"`{block.split()[1]}` does not say what the ids of its groups do")


def _meaning(inner: str) -> str:
    """Return what stands between the quotes of a property's name."""
    return re.sub(
        r"\\(?:u\{([0-9a-f]+)\}|(.))",
        lambda match: chr(int(match[1], 16)) if match[1] else _PLAIN.get(match[2], match[2]),
        inner,
    )


_PLAIN: Final = {"n": "\n", "r": "\r", "t": "\t"}


def _bodies(cursor: Cursor, asgs: Mapping[str, str]) -> Iterator[_Rule]:
    for body in cursor.each(_BODY):
        rule: _Rule = {"name": body[1]}
        for found in cursor.each(_PROPERTY):
            name, text, digits, items = found.groups()
            if name in rule:
                raise LayoutError(f"rule `{rule['name']}` has `{name}` twice")
            if items is None:
                rule[name] = text if digits is None else int(digits)
            elif name in _ASGS:
                rule[name] = [asgs[symbol] for symbol in _all(_IDS, items, cursor)]
            else:
                rule[name] = _all(_TEXTS, items, cursor)
        cursor.take(_BODY_END)
        yield rule


def _all(piece: re.Pattern[str], text: str, cursor: Cursor) -> list[str]:
    """Return the items of a list, which are laid out alike. Raises LayoutError."""
    found = piece.findall(text)
    if piece.sub("", text):
        raise cursor.error()
    return found


READERS: Final = {"azure": _read_json, "terraform": _read_terraform, "bicep": _read_bicep}
