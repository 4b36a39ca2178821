"""The stand-in as a process that Terraform starts: `python -m standin SCHEMA`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from tf import runner, types  # type: ignore[import-untyped]
from tf.iface import Provider  # type: ignore[import-untyped]

from support.standin.limits import problems
from support.standin.process import end_with_parent
from support.standin.schema import Echo, schema_of

# azurerm makes these anew when one of these arguments changes; the schema does not tell.
_FORCES_NEW: Final = {
    "location",
    "name",
    "network_security_group_id",
    "network_security_group_name",
    "resource_group_name",
    "subnet_id",
    "virtual_network_name",
}
_NETWORK: Final = (
    "/subscriptions/{subscription}/resourceGroups/{resource_group_name}/providers/Microsoft.Network"
)
_IDS: Final = {
    "azurerm_application_security_group": _NETWORK + "/applicationSecurityGroups/{name}",
    "azurerm_network_security_group": _NETWORK + "/networkSecurityGroups/{name}",
    "azurerm_network_security_rule": (
        _NETWORK + "/networkSecurityGroups/{network_security_group_name}/securityRules/{name}"
    ),
    "azurerm_resource_group": "/subscriptions/{subscription}/resourceGroups/{name}",
    "azurerm_subnet": _NETWORK + "/virtualNetworks/{virtual_network_name}/subnets/{name}",
    "azurerm_subnet_network_security_group_association": "{subnet_id}",
    "azurerm_virtual_network": _NETWORK + "/virtualNetworks/{name}",
}
# The schema at hand has no provider block: this is the part of it that sites use, without the features.
_PROVIDER: Final = {
    "attributes": {
        "client_id": {"type": "string", "optional": True},
        "resource_provider_registrations": {"type": "string", "optional": True},
        "subscription_id": {"type": "string", "optional": True},
        "tenant_id": {"type": "string", "optional": True},
        "use_cli": {"type": "bool", "optional": True},
    },
    "block_types": {"features": {"nesting_mode": "list", "block": {}, "min_items": 1, "max_items": 1}},
}


class _Echo(Echo):
    """A resource that is whatever was planned."""

    def validate(self, diags: Any, type_name: str, config: dict[str, Any]) -> None:
        for problem in problems(type_name, config):
            diags.add_error(problem.summary, problem.detail, [problem.argument])

    def create(self, ctx: Any, planned: dict[str, Any]) -> dict[str, Any]:
        known = {**planned, "subscription": self.provider.subscription}
        return {
            **{
                name: self._computed(name) if value is types.Unknown else value
                for name, value in planned.items()
            },
            "id": _IDS[self.type_name].format_map(known),
        }

    def _computed(self, name: str) -> list[Any] | None:
        (written,) = [
            attribute.type.written for attribute in self.schema.attributes if attribute.name == name
        ]
        return [] if written[0] in ("list", "set") else None

    def update(self, ctx: Any, current: dict[str, Any], planned: dict[str, Any]) -> dict[str, Any]:
        return planned


class _Azurerm(Provider):  # type: ignore[misc]
    """The stand-in provider."""

    subscription = ""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self.resources = [
            type(name, (_Echo,), {"type_name": name, "schema": schema_of(schema, _FORCES_NEW)})
            for name, schema in schemas.items()
        ]

    def get_model_prefix(self) -> str:
        return ""

    def full_name(self) -> str:
        return "registry.terraform.io/hashicorp/azurerm"

    def get_provider_schema(self, diags: Any) -> Any:
        return schema_of({"block": _PROVIDER, "version": 0})

    def validate_config(self, diags: Any, config: Any) -> None:
        """Accept what fits the schema."""

    def configure_provider(self, diags: Any, config: dict[str, Any]) -> None:
        self.subscription = config["subscription_id"] or os.environ.get("ARM_SUBSCRIPTION_ID", "")
        if not self.subscription:
            summary = (
                "`subscription_id` is a required provider property when performing a plan/apply operation"
            )
            diags.add_error(summary)

    def get_data_sources(self) -> list[Any]:
        return []

    def get_resources(self) -> list[Any]:
        return self.resources


def _main() -> None:
    end_with_parent()
    schemas = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["resource_schemas"]
    runner.run_provider(_Azurerm(schemas))


_main()
