"""Rules as azurerm says them: arguments of a rule's resource and properties of ARM, both ways."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.syntax.document import Document
from citrix_netpolicy.targets.azure import arm

if TYPE_CHECKING:
    from citrix_netpolicy.errors import DataPath
    from citrix_netpolicy.syntax.document import Node
    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup, SecurityRule

__all__ = ["attributes_of", "read_rule"]

_GROUPS: Final = "ApplicationSecurityGroups"


def attributes_of(group: NetworkSecurityGroup, rule: SecurityRule) -> dict[str, Any]:
    """Return the arguments of a rule's resource; application security groups are named by their tiers."""
    values: dict[str, Any] = {"group": group.tier, "name": rule.name}
    for name, value in arm.properties_of(rule, None).items():
        if name.endswith(_GROUPS):
            values[f"{name.removesuffix(_GROUPS)}_tiers"] = [arm.tier_of(asg["id"]) for asg in value]
        elif name != "sourcePortRange":
            values[_snake(name)] = value
    return values


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


_OPTIONAL: Final = (
    "description",
    "destination_port_range",
    "destination_port_ranges",
    "source_address_prefix",
    "source_address_prefixes",
    "source_tiers",
    "destination_address_prefix",
    "destination_address_prefixes",
    "destination_tiers",
)


def read_rule(node: Node) -> tuple[Node, Node]:
    """Return the group that such arguments name, and the rule in the form of ARM, with the same places.

    Raises InputError for an unknown or missing argument.
    """
    fields = node.fields(("group", "name", "access", "direction", "priority", "protocol"), _OPTIONAL)
    properties: dict[str, Any] = {"sourcePortRange": "*"}
    here = _place(node)
    places: dict[DataPath, tuple[int, int]] = {(): here, ("properties",): here}
    for name, field in fields.items():
        if name.endswith("_tiers"):
            key = name.removesuffix("_tiers") + _GROUPS
            properties[key] = [{"id": item.value} for item in field.items()]
        elif name not in ("group", "name"):
            key = re.sub("_([a-z])", lambda match: match[1].upper(), name)
            properties[key] = field.value
        else:
            continue
        places["properties", key] = _place(field)
    places["name",] = _place(fields["name"])
    data = {"name": fields["name"].value, "properties": properties}
    return fields["group"], Document(node.document.file, data, places).root


def _place(node: Node) -> tuple[int, int]:
    return node.document.places.get(node.path, (0, 0))
