"""Bicep as two parsers of others see it, as the formatter prints it, and as its types allow it.

No registry carries the Bicep compiler, so this judges in its place, and asks no code that it judges.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from support import real

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

FUNCTIONS: Final = frozenset({"description", "resourceGroup", "union"})

_TYPES: Final = Path(__file__).parent.parent / "data" / "bicep-types-nsg.json"
_REQUIRED: Final = 1
_PLAIN: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", "$": "$"}
_DECLARATIONS: Final = {
    "parameter_declaration": "param",
    "resource_declaration": "resource",
    "output_declaration": "output",
    "variable_declaration": "var",
    "type_declaration": "type",
    "metadata_declaration": "metadata",
}


@dataclass(frozen=True, slots=True)
class Code:
    """What is no literal, as it is written."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """The call of a function, with what its arguments mean."""

    function: str
    arguments: tuple[Any, ...]


# Parsers


def tree(text: str) -> Node:
    """Return the tree of tree-sitter-bicep, which has no error.

    Its grammar has no parameter files; there `param name = value` is read as `var name = value`.
    """
    try:
        import tree_sitter  # noqa: PLC0415 - may be absent
        import tree_sitter_bicep  # noqa: PLC0415
    except ImportError:
        real.absent("tree-sitter-bicep is absent")
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
    root = parser.parse(text.encode()).root_node
    wrong = [f"{node.type} at {node.start_point}" for node in nodes(root) if node.is_error or node.is_missing]
    assert wrong == []
    assert not root.has_error
    return root


def pycep_keys(text: str) -> set[str]:
    """Return what pycep finds of resources, parameters and outputs, as `resources.name`."""
    parsed = _pycep().parse(text=text)
    kinds = ("parameters", "resources", "outputs")
    return {f"{kind}.{name}" for kind in kinds for name in parsed.get(kind, {})}


@cache
def _pycep() -> Any:
    try:
        from pycep import BicepParser  # noqa: PLC0415 - may be absent
    except ImportError:
        real.absent("pycep-parser is absent")
    return BicepParser()


def as_variables(parameters: str) -> str:
    """Return a parameter file in the form that parsers of Bicep files know."""
    return re.sub(r"^param (\w+) = ", r"var \1 = ", parameters, flags=re.MULTILINE)


def nodes(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in node.children:
        yield from nodes(child)


def text_of(node: Node) -> str:
    """Return the text of a node."""
    assert node.text is not None
    return node.text.decode()


# Values


def value_of(node: Node) -> Any:
    """Return what a node means; what is no literal is `Code`."""
    match node.type:
        case "object":
            pairs = [(property_name(one), value_of(one.named_children[1])) for one in node.named_children]
            assert len(dict(pairs)) == len(pairs), f"a property stands twice: {pairs}"
            return dict(pairs)
        case "array":
            return [value_of(item) for item in node.named_children]
        case "string":
            if any(child.type == "interpolation" for child in node.children):
                return Code(text_of(node))
            return meaning(text_of(node)[1:-1])
        case "number":
            return int(text_of(node))
        case "boolean":
            return {"true": True, "false": False}[text_of(node)]
        case "identifier" | "member_expression":
            return Code(text_of(node))
        case "call_expression":
            function, arguments = node.named_children
            return Call(text_of(function), tuple(map(value_of, arguments.named_children)))
    raise AssertionError(f"a {node.type} is outside the subset: {text_of(node)}")


def property_name(node: Node) -> str:
    """Return the name of a property of an object."""
    assert node.type == "object_property"
    name = node.named_children[0]
    return meaning(text_of(name)[1:-1]) if name.type == "string" else text_of(name)


def meaning(inner: str) -> str:
    """Return what stands between the quotes of a string without interpolation, by the rules of Bicep."""
    found, rest = "", inner
    while rest:
        if rest[0] == "\\":
            if code := re.match(r"\\u\{([0-9a-f]{1,6})\}", rest):
                found, rest = found + chr(int(code[1], 16)), rest[code.end() :]
            else:
                found, rest = found + _PLAIN[rest[1]], rest[2:]
            continue
        assert rest[0] not in "'\r\n", "this would end the string"
        assert not rest.startswith("${"), "this would be an interpolation"
        found, rest = found + rest[0], rest[1:]
    return found


@dataclass(frozen=True, slots=True)
class Resource:
    """A declared resource."""

    type: str
    api_version: str
    body: dict[str, Any]


def resources_of(root: Node) -> dict[str, Resource]:
    """Return the resources of a file by symbolic name."""
    found = {}
    for node in root.named_children:
        if node.type == "resource_declaration":
            symbol, type_, body = node.named_children
            name, _, version = value_of(type_).partition("@")
            found[text_of(symbol)] = Resource(name, version, value_of(body))
    return found


# Symbols


def symbol_problems(root: Node) -> list[str]:
    """Return what a compiler or the linter would say of the symbols of a file."""
    declared: dict[str, str] = {}
    apart: set[str] = set()
    problems = []
    for node in root.named_children:
        if kind := _DECLARATIONS.get(node.type):
            name = text_of(node.named_children[0])
            # Outputs and metadata have names of their own.
            alone = f"{kind} {name}" if kind in ("output", "metadata") else name
            if alone in declared or alone in apart:
                problems.append(f"{name} stands twice")
            if alone == name:
                declared[name] = kind
            else:
                apart.add(alone)
    used = set()
    for node in nodes(root):
        if node.type == "identifier" and not _is_label(node):
            name = text_of(node)
            used.add(name)
            known = FUNCTIONS if node.parent and node.parent.type == "call_expression" else declared
            if name not in known:
                problems.append(f"{name} is not known")
        if node.type == "member_expression":
            owner, member = node.named_children
            is_resource = declared.get(text_of(owner)) == "resource"
            if text_of(member) not in (("id", "name") if is_resource else ("location",)):
                problems.append(f"{text_of(node)} is not known")
    return problems + [f"{name} is not used" for name in declared if name not in used]


def _is_label(node: Node) -> bool:
    """Tell whether an identifier declares something or names a property, and so uses nothing."""
    parent = node.parent
    assert parent is not None
    return parent.named_children[0] == node and (
        parent.type in _DECLARATIONS or parent.type == "object_property"
    )


# Format


def formatted(root: Node) -> str:
    """Return a file as `bicep format` prints it, where every object and array begins with a new line."""
    text, last = "", None
    for node in root.named_children:
        if last is not None:
            text += "\n" * min(node.start_point.row - last.end_point.row, 2)
        text += _printed_statement(node)
        last = node
    return text + "\n"


def _printed_statement(node: Node) -> str:
    if node.type in ("comment", "diagnostic_comment"):
        return text_of(node).rstrip()
    if node.type == "decorators":
        return "\n".join(text_of(one) for one in node.named_children)
    if node.type == "using_statement":
        return f"using {text_of(node.named_children[0])}"
    *head, value = node.named_children
    words = [_DECLARATIONS[node.type], *map(text_of, head)]
    return f"{' '.join(words)} = {_printed(value, 0)}"


def _printed(node: Node, indent: int) -> str:
    if node.type == "call_expression" and node.named_children[1].named_children:
        function, arguments = node.named_children
        told = ", ".join(_printed(one, indent) for one in arguments.named_children)
        return f"{text_of(function)}({told})"
    if node.type not in ("object", "array") or not node.named_children:
        return (
            text_of(node)
            if node.type not in ("object", "array")
            else {"object": "{}", "array": "[]"}[node.type]
        )
    inner = "\n" + " " * (indent + 2)
    is_object = node.type == "object"
    items = [
        _printed_property(one, indent + 2) if is_object else _printed(one, indent + 2)
        for one in node.named_children
    ]
    first, last = "{}" if is_object else "[]"
    return f"{first}{inner}{inner.join(items)}\n{' ' * indent}{last}"


def _printed_property(node: Node, indent: int) -> str:
    name = property_name(node)
    # The linter prefers names without quotes.
    label = name if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) else text_of(node.named_children[0])
    return f"{label}: {_printed(node.named_children[1], indent)}"


# Types


def type_problems(resource: Resource, parameters: dict[str, str]) -> list[str]:
    """Return where a resource differs from its type; `parameters` are the types of the parameters."""
    types = _types()
    (declared,) = (
        number for name, number in types["resources"].items() if name.split("@")[0] == resource.type
    )
    body = types["types"][str(declared)]["body"]
    return list(_type_problems(resource.body, body, parameters, resource.type))


@cache
def _types() -> dict[str, Any]:
    types: dict[str, Any] = json.loads(_TYPES.read_text(encoding="utf-8"))
    return types


def _type_problems(
    value: Any, reference: dict[str, str], parameters: dict[str, str], path: str
) -> Iterator[str]:
    expected = _types()["types"][reference["$ref"].removeprefix("#/")]
    if isinstance(value, Call):
        assert value.function == "union"
        for argument in value.arguments:
            yield from _type_problems(argument, reference, parameters, path)
        return
    if isinstance(value, Code):
        is_text = value.text[0] == "'" or value.text.endswith((".id", ".name"))
        given = "string" if is_text else parameters[value.text]
        if {"StringType": "string", "ObjectType": "object"}.get(expected["$type"]) != given:
            yield f"{path}: {value.text} is no {expected['$type']}"
        return
    match expected["$type"]:
        case "StringType":
            fits = isinstance(value, str)
        case "IntegerType":
            fits = isinstance(value, int) and not isinstance(value, bool)
        case "UnionType":
            parts = [_types()["types"][part["$ref"].removeprefix("#/")] for part in expected["elements"]]
            # Bicep takes any string beside these, the service does not.
            fits = value in [part["value"] for part in parts if part["$type"] == "StringLiteralType"]
        case "ArrayType":
            fits = isinstance(value, list)
            for number, item in enumerate(value if fits else ()):
                yield from _type_problems(item, expected["itemType"], parameters, f"{path}[{number}]")
        case "ObjectType":
            fits = isinstance(value, dict)
            properties = expected["properties"]
            for name, item in value.items() if fits else ():
                if name in properties:
                    yield from _type_problems(item, properties[name]["type"], parameters, f"{path}.{name}")
                elif "additionalProperties" in expected:
                    yield from _type_problems(
                        item, expected["additionalProperties"], parameters, f"{path}.{name}"
                    )
                else:
                    yield f"{path}.{name} is not known"
            required = {name for name, one in properties.items() if one["flags"] & _REQUIRED}
            yield from (f"{path}.{name} is missing" for name in sorted(required - set(value if fits else ())))
        case other:
            raise AssertionError(f"{path}: no value has type {other}")
    if not fits:
        yield f"{path}: {value!r} is no {expected['$type']}"
