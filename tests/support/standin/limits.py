"""What azurerm refuses beyond its schema, in about its words.

Values are as Terraform sends them: a value that is neither null nor of its type is not known yet, and passes.

Some limits are Azure's, and azurerm learns of them only from an apply: that a rule has ports, that an inline
rule has exactly one kind of address per side, and the characters in the names of groups and inline rules.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Config: TypeAlias = Mapping[str, Any]

_WORDS: Final = {
    "access": ("Allow", "Deny"),
    "direction": ("Inbound", "Outbound"),
    "protocol": ("*", "Tcp", "Udp", "Icmp", "Ah", "Esp"),
}
_REQUIRED_INLINE: Final = ("access", "direction", "name", "priority", "protocol")
_NOT_IN_NAMES: Final = "/\\?%"
_IDS: Final = {
    "subnet_id": "/Microsoft.Network/virtualNetworks/[^/]+/subnets/[^/]+",
    "network_security_group_id": "/Microsoft.Network/networkSecurityGroups/[^/]+",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a configuration is refused; `argument` is that of the resource, not of a block in it."""

    argument: str
    summary: str
    detail: str


def problems(type_: str, config: Config) -> Iterator[Problem]:
    """Tell what azurerm refuses in the configuration of a resource."""
    if config.get("id") is not None:
        yield Problem("id", "Invalid or unknown key", "An id is given by Azure, not by a configuration.")
    yield from _resource_group(config)
    yield from _tags(config.get("tags"))
    yield from _OF_TYPE.get(type_, _nothing)(config)


def _nothing(config: Config) -> Iterator[Problem]:
    yield from ()


def _resource_group(config: Config) -> Iterator[Problem]:
    name = config.get("resource_group_name")
    if isinstance(name, str) and not re.fullmatch(r"[-\w.()]{0,89}[-\w()]", name):
        detail = (
            f'"resource_group_name" may only contain alphanumeric characters, dash, underscores, parentheses '
            f"and periods, may not exceed 90 characters and may not end with a period, got {name}"
        )
        yield _invalid("resource_group_name", detail)
    if config.get("location") == "":
        yield _invalid("location", 'expected "location" to not be an empty string')


def _tags(tags: object) -> Iterator[Problem]:
    if not isinstance(tags, dict):
        return
    if len(tags) > 50:
        yield _invalid("tags", "a maximum of 50 tags can be applied to each ARM resource")
    for key, value in tags.items():
        if len(key) > 512:
            yield _invalid("tags", f"the maximum length for a tag key is 512 characters: {key}")
        if isinstance(value, str) and len(value) > 256:
            yield _invalid("tags", f"the maximum length for a tag value is 256 characters: {key}")


def _name(config: Config) -> Iterator[Problem]:
    name = config.get("name")
    if isinstance(name, str) and any(character in name for character in _NOT_IN_NAMES):
        forbidden = json.dumps(_NOT_IN_NAMES)
        yield _invalid("name", f"expected value of name to not contain any of {forbidden}, got {name}")


def _group(config: Config) -> Iterator[Problem]:
    yield from _name(config)
    rules = config.get("security_rule")
    for rule in rules if isinstance(rules, list) else ():
        if not isinstance(rule, dict):
            continue
        for name in _REQUIRED_INLINE:
            if rule.get(name) is None:
                detail = f'The argument "{name}" is required, but no definition was found.'
                yield Problem("security_rule", "Missing required argument", detail)
        # What is empty counts as absent here: written as an attribute, a rule must name every argument.
        given = {name: None if value in ("", []) else value for name, value in rule.items()}
        for problem in _rule(given):
            yield Problem("security_rule", problem.summary, problem.detail)


def _rule(rule: Config) -> Iterator[Problem]:
    yield from _name(rule)
    for name, words in _WORDS.items():
        word = rule.get(name)
        if isinstance(word, str) and word not in words:
            known = " ".join(map(json.dumps, words))
            yield _invalid(name, f"expected {name} to be one of [{known}], got {word}")
    priority = rule.get("priority")
    if isinstance(priority, (int, float, str)) and not (
        isinstance(priority, int) and 100 <= priority <= 4096
    ):
        yield _invalid("priority", f"expected priority to be in the range (100 - 4096), got {priority}")
    description = rule.get("description")
    if isinstance(description, str) and len(description.encode()) > 140:
        detail = f"expected length of description to be in the range (0 - 140), got {description}"
        yield _invalid("description", detail)
    for side in ("source", "destination"):
        ports = (f"{side}_port_range", f"{side}_port_ranges")
        groups = f"{side}_application_security_group_ids"
        addresses = (f"{side}_address_prefix", f"{side}_address_prefixes", groups)
        yield from _exactly_one(rule, ports)
        yield from _exactly_one(rule, addresses)
        ids = rule.get(groups)
        if isinstance(ids, list) and len(ids) > 10:
            detail = f"Attribute {groups} supports 10 item maximum, but config has {len(ids)} declared."
            yield Problem(groups, "Too many list items", detail)


def _exactly_one(rule: Config, names: tuple[str, ...]) -> Iterator[Problem]:
    given = [name for name in names if isinstance(rule.get(name), (str, list))]
    unknown = any(rule.get(name) is not None and name not in given for name in names)
    if len(given) > 1:
        if len(names) == 2:
            detail = f'"{given[0]}": conflicts with {given[1]}'
            yield Problem(given[0], "Conflicting configuration arguments", detail)
        else:
            detail = (
                f'"{given[0]}": only one of `{",".join(names)}` can be specified, '
                f"but `{','.join(given)}` were specified."
            )
            yield Problem(given[0], "Invalid combination of arguments", detail)
    elif not unknown and not any(rule[name] for name in given):
        detail = f'"{names[0]}": one of `{",".join(names)}` must be specified'
        yield Problem(names[0], "Invalid combination of arguments", detail)


def _association(config: Config) -> Iterator[Problem]:
    for name, tail in _IDS.items():
        id_ = config.get(name)
        form = "/subscriptions/[^/]+/resourceGroups/[^/]+/providers" + tail
        if isinstance(id_, str) and not re.fullmatch(form, id_):
            yield _invalid(name, f'parsing "{id_}": it is not of the form {form}')


def _invalid(argument: str, detail: str) -> Problem:
    return Problem(argument, "Invalid value", detail)


_OF_TYPE: Final[dict[str, Callable[[Config], Iterator[Problem]]]] = {
    "azurerm_application_security_group": _name,
    "azurerm_network_security_group": _group,
    "azurerm_network_security_rule": _rule,
    "azurerm_subnet_network_security_group_association": _association,
}
