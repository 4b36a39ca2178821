"""Rules as azurerm says them: arguments of a rule's resource and properties of ARM, both ways."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.targets.azure import arm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup, SecurityRule

__all__ = ["attributes_of", "properties_of"]

_GROUPS: Final = "ApplicationSecurityGroups"


def attributes_of(group: NetworkSecurityGroup, rule: SecurityRule) -> dict[str, Any]:
    """Return the arguments of a rule's resource; application security groups are named by their tiers."""
    values: dict[str, Any] = {"group": group.key, "name": rule.name}
    for name, value in arm.properties_of(rule, None).items():
        if name.endswith(_GROUPS):
            values[f"{name.removesuffix(_GROUPS)}_tiers"] = [arm.tier_of(asg["id"]) for asg in value]
        elif name != "sourcePortRange":
            values[_snake(name)] = value
    return values


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


def _camel(name: str) -> str:
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)


def properties_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that `attributes_of` wrote."""
    properties = {}
    for name, value in values.items():
        if name.endswith("_tiers"):
            properties[name.removesuffix("_tiers") + _GROUPS] = [{"id": arm.asg_of(tier)} for tier in value]
        else:
            properties[_camel(name)] = value
    return properties
