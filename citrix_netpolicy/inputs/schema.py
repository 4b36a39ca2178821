"""The JSON Schema of deployments, with the words of a catalogue, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from citrix_netpolicy.inputs.base import FIRST_EDITION
from citrix_netpolicy.inputs.deployment import Deployment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from citrix_netpolicy.inputs.catalog import Catalog

__all__ = ["deployment_schema"]


def deployment_schema(catalog: Catalog) -> dict[str, Any]:
    """Return the JSON Schema of a deployment file.

    It offers the catalogue's roles, features, regions and parameters with their descriptions, and allows the
    short forms of tiers and externals.
    """
    schema = Deployment.model_json_schema(by_alias=True)
    editions = sorted({FIRST_EDITION, *catalog.editions})
    # Readers of YAML in editors take an edition without quotes for a number.
    words: list[Any] = [*editions, *map(float, editions), None]
    schema["properties"]["edition"] = {
        "description": schema["properties"]["edition"]["description"],
        "enum": words,
    }
    properties = schema["properties"]
    properties["citrix-cloud-region"] = {
        "description": properties["citrix-cloud-region"]["description"],
        "enum": [*sorted(catalog.regions), None],
    }
    path = {"type": "string", "description": "a file below the folder of this one that says a part of it"}
    schema["properties"]["include"] = _one_or_many(path, {"description": "files that deployments share"})
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = schema["$defs"]
    roles = sorted(name for name, role in catalog.roles.items() if role.kind != "wildcard")
    for kind, key in (("Tier", "subnets"), ("External", "addresses")):
        model = definitions[kind]
        # There are machines without a role of the catalogue.
        one_or_none = _one_or_many({"enum": roles}, model["properties"]["roles"], least=0)
        model["properties"]["roles"] = one_or_none
        # The short form leaves the roles to the name.
        model["required"] = [name for name in model.get("required", []) if name != "roles"]
        model["properties"][key] = _one_or_many({"type": "string"}, model["properties"][key])
        features = model["properties"]["features"]
        model["properties"]["features"] = _words(features, catalog.features.items(), {"type": "boolean"})
    for name, kind in (("tiers", "Tier"), ("external", "External")):
        short = _one_or_many({"type": "string"}, {"description": "prefixes; the name is the role"})
        properties[name]["additionalProperties"] = {"anyOf": [{"$ref": f"#/$defs/{kind}"}, short]}
    properties["features"] = _words(properties["features"], catalog.features.items(), {"type": "boolean"})
    ports = properties["parameters"]["additionalProperties"]
    properties["parameters"] = _words(properties["parameters"], catalog.parameters.items(), ports)
    return schema


def _one_or_many(item: dict[str, Any], described: dict[str, Any], least: int = 1) -> dict[str, Any]:
    told = {"description": described["description"]} if "description" in described else {}
    return {**told, "anyOf": [item, {"type": "array", "items": item, "minItems": least}]}


def _words(schema: dict[str, Any], words: Iterable[tuple[str, Any]], value: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a map whose keys are words of the catalogue."""
    properties = {}
    for name, word in sorted(words):
        default = {"default": word.default} if hasattr(word, "default") else {}
        properties[name] = {**value, "description": word.description, **default}
    kept: dict[str, Any] = {
        key: schema[key] for key in ("title", "type", "description", "default") if key in schema
    }
    return {**kept, "properties": properties, "additionalProperties": False}
