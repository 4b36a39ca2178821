"""Schemas as Terraform prints them, in the form that the protocol of providers wants."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tf import types  # type: ignore[import-untyped]
from tf.gen import tfplugin_pb2 as pb  # type: ignore[import-untyped]
from tf.iface import Resource  # type: ignore[import-untyped]
from tf.schema import Attribute, Block, NestedBlock, NestMode, Schema  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Collection


class _Type(types.TfType):  # type: ignore[misc]
    """A type as the schema writes it; values pass as Terraform sends them."""

    def __init__(self, written: Any) -> None:
        self.written = written

    def encode(self, value: Any) -> Any:
        return value

    def decode(self, value: Any) -> Any:
        return value

    def tf_type(self) -> bytes:
        return json.dumps(self.written).encode()


class _NestedBlock(NestedBlock):  # type: ignore[misc]
    """A nested block of any mode; values pass as Terraform sends them."""

    def __init__(self, name: str, written: dict[str, Any], forces_new: Collection[str]) -> None:
        # `tf` knows no lists of blocks, though the protocol does.
        self.mode = pb.Schema.NestedBlock.NestingMode.Value(written["nesting_mode"].upper())
        limits = {limit: written[limit] for limit in ("min_items", "max_items") if limit in written}
        super().__init__(name, NestMode.Single, Block(*_content(written["block"], forces_new)), **limits)

    def to_pb(self) -> Any:
        message = super().to_pb()
        message.nesting = self.mode
        return message

    def encode(self, value: Any) -> Any:
        return value

    def decode(self, value: Any) -> Any:
        return value

    def semantically_equal(self, a_decoded: Any, b_decoded: Any) -> bool:
        return bool(a_decoded == b_decoded)


def _content(block: dict[str, Any], forces_new: Collection[str]) -> tuple[list[Any], list[Any]]:
    """Return the arguments of `Block` for a block as the schema writes it."""
    attributes = [
        Attribute(
            name,
            _Type(written["type"]),
            required=written.get("required"),
            optional=written.get("optional"),
            computed=written.get("computed"),
            requires_replace=name in forces_new,
        )
        for name, written in block.get("attributes", {}).items()
        if not written.get("write_only")  # the protocol of `tf` is older than these
    ]
    return attributes, [
        _NestedBlock(name, one, forces_new) for name, one in block.get("block_types", {}).items()
    ]


def schema_of(written: dict[str, Any], forces_new: Collection[str] = ()) -> Any:
    """Return a schema; a change of an argument in `forces_new` makes a resource anew."""
    attributes, blocks = _content(written["block"], forces_new)
    return Schema(attributes, written["version"], blocks)


class Echo(Resource):  # type: ignore[misc]
    """A resource that is whatever was planned."""

    type_name: str
    schema: Any

    def __init__(self, provider: Any) -> None:
        self.provider = provider

    @classmethod
    def get_name(cls) -> str:
        """Return the type that Terraform knows it by."""
        return cls.type_name

    @classmethod
    def get_schema(cls) -> Any:
        """Return its schema."""
        return cls.schema

    def read(self, ctx: Any, current: dict[str, Any]) -> dict[str, Any]:
        """Return what is there, which is what was planned."""
        return current

    def delete(self, ctx: Any, current: dict[str, Any]) -> None:
        """Forget it."""
