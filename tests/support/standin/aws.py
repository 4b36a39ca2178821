"""A stand-in for version 6 of the AWS provider: `python -m support.standin.aws SCHEMA`.

It knows the arguments and keeps what was planned; it makes no request. What people do by hand is what the
file says that `STANDIN_AWS_BY_HAND` names: ids of ingress rules, which every group then has beside ours.
"""

from __future__ import annotations

import json
import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from tf import runner, types  # type: ignore[import-untyped]
from tf.iface import DataSource, Provider  # type: ignore[import-untyped]

from support.standin.process import end_with_parent
from support.standin.schema import Echo, schema_of

BY_HAND: Final = "STANDIN_AWS_BY_HAND"
EXCLUSIVE: Final = "aws_vpc_security_group_rules_exclusive"
# What makes a resource anew; the schema does not tell.
_FORCES_NEW: Final = {
    "aws_security_group": {"name", "name_prefix", "description", "vpc_id", "region"},
    EXCLUSIVE: {"security_group_id", "region"},
}
_RULE_FORCES_NEW: Final = {"security_group_id", "region"}
_PROVIDER: Final = {"attributes": {"region": {"type": "string", "optional": True}}}


class _Echo(Echo):
    """A resource that is whatever was planned."""

    def validate(self, diags: Any, type_name: str, config: dict[str, Any]) -> None:
        if isinstance(config.get("name"), str) and isinstance(config.get("name_prefix"), str):
            diags.add_error("Conflicting configuration arguments", "name, name_prefix", ["name"])

    def create(self, ctx: Any, planned: dict[str, Any]) -> dict[str, Any]:
        told = sorted((key, str(value)) for key, value in planned.items() if value is not types.Unknown)
        digest = sha256(f"{self.type_name} {told}".encode()).hexdigest()[:17]
        kind = "sg" if self.type_name == "aws_security_group" else "sgr"
        known = {
            "id": f"{kind}-{digest}",
            "security_group_rule_id": f"{kind}-{digest}",
            "arn": f"arn:aws:ec2:eu-central-1:123456789012:{kind}/{digest}",
            "name": f"{planned.get('name_prefix')}{digest}",
            "region": "eu-central-1",
        }
        lists = {name for name in ("ingress", "egress") if name in planned}
        return {
            name: ([] if name in lists else known.get(name)) if value is types.Unknown else value
            for name, value in planned.items()
        }

    def read(self, ctx: Any, current: dict[str, Any]) -> dict[str, Any]:
        by_hand = os.environ.get(BY_HAND)
        if self.type_name != EXCLUSIVE or not by_hand:
            return current
        more = json.loads(Path(by_hand).read_text(encoding="utf-8"))
        return {**current, "ingress_rule_ids": [*current["ingress_rule_ids"], *more]}

    def update(self, ctx: Any, current: dict[str, Any], planned: dict[str, Any]) -> dict[str, Any]:
        return {name: current[name] if value is types.Unknown else value for name, value in planned.items()}


class _Group(DataSource):  # type: ignore[misc]
    """A security group that is there already."""

    schema: Any

    def __init__(self, provider: Any) -> None:
        self.provider = provider

    @classmethod
    def get_name(cls) -> str:
        return "aws_security_group"

    @classmethod
    def get_schema(cls) -> Any:
        return cls.schema

    def validate(self, diags: Any, type_name: str, config: dict[str, Any]) -> None:
        """Accept what fits the schema."""

    def read(self, ctx: Any, config: dict[str, Any]) -> dict[str, Any]:
        return {
            **config,
            "name": "existing",
            "arn": f"arn:aws:ec2:::{config['id']}",
            "description": "",
            "tags": {},
        }


class _Aws(Provider):  # type: ignore[misc]
    """The stand-in provider."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self.resources = [
            type(
                name,
                (_Echo,),
                {"type_name": name, "schema": schema_of(schema, _FORCES_NEW.get(name, _RULE_FORCES_NEW))},
            )
            for name, schema in schemas["resource_schemas"].items()
        ]
        (group,) = schemas["data_source_schemas"].values()
        self.sources = [type("group", (_Group,), {"schema": schema_of(group)})]

    def get_model_prefix(self) -> str:
        return ""

    def full_name(self) -> str:
        return "registry.terraform.io/hashicorp/aws"

    def get_provider_schema(self, diags: Any) -> Any:
        return schema_of({"block": _PROVIDER, "version": 0})

    def validate_config(self, diags: Any, config: Any) -> None:
        """Accept what fits the schema."""

    def configure_provider(self, diags: Any, config: dict[str, Any]) -> None:
        """Ask for nothing."""

    def get_data_sources(self) -> list[Any]:
        return self.sources

    def get_resources(self) -> list[Any]:
        return self.resources


def _main() -> None:
    end_with_parent()
    runner.run_provider(_Aws(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))


_main()
