"""Write `docs/api.md`: the public names of the package, from their signatures and docstrings.

Run `python docs/api.py`; a test says when the document is not current.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import citrix_netpolicy
from citrix_netpolicy.inputs import deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE: Final = Path(__file__).parent / "api.md"
_HEAD: Final = """\
# Python API

Generated from signatures and docstrings by `python docs/api.py`. These are the names of
`citrix_netpolicy.__all__`; [stability.md](stability.md) says what is stable about them. Everything that is
wrong with an input is raised as `InputError`; codes of problems and findings are in [codes.md](codes.md).

"""
# In the order in which people meet them.
_CHAPTERS: Final = {
    "From a deployment to files": (
        "Deployment",
        "Catalog",
        "compile_deployment",
        "render",
        "update_folder",
        "Update",
        "write_folder",
    ),
    "What comes out": ("Compilation", "Module", "Finding", "Severity"),
    "How many rules": ("stats_of", "Stats", "GroupStats"),
    "Policies": ("Policy", "Group", "GroupKey", "Rule", "Direction", "Cause"),
    "What a policy permits": ("Traffic", "traffic_of"),
    "Errors": ("NetpolicyError", "InputError", "TargetError", "OutputError", "Problem", "Mark"),
}


def document() -> str:
    """Return the text of the document."""
    listed = [name for names in _CHAPTERS.values() for name in names]
    missing = sorted(set(citrix_netpolicy.__all__) ^ set(listed))
    if missing:
        raise SystemExit(f"docs/api.py: put these into a chapter, or take them out: {', '.join(missing)}")
    lines = [_HEAD.rstrip("\n")]
    for chapter, names in _CHAPTERS.items():
        lines += ["", f"## {chapter}"]
        for name in names:
            lines += ["", *_entry(name, getattr(citrix_netpolicy, name))]
    lines += ["", "## Parts of a deployment", ""]
    lines += [
        "These are in `citrix_netpolicy.inputs.deployment`. Plain values with the keys of the YAML do too."
    ]
    for name in deployment.__all__:
        if name not in citrix_netpolicy.__all__:
            lines += ["", *_entry(name, getattr(deployment, name))]
    return "\n".join(lines) + "\n"


def _entry(name: str, what: Any) -> Iterator[str]:
    yield f"### `{name}`"
    yield ""
    if not inspect.isclass(what):
        yield from _function(name, what)
        return
    bases = [base.__name__ for base in what.__bases__ if base.__name__ in citrix_netpolicy.__all__]
    if bases:
        yield f"A kind of `{bases[0]}`."
        yield ""
    yield from _text(what)
    fields = list(_fields(what))
    if fields:
        yield ""
        yield from fields
    for member, item in _members(what):
        yield ""
        if isinstance(item, property):
            kind = _annotation(inspect.signature(item.fget).return_annotation) if item.fget else ""
            yield f"#### `{name}.{member}: {kind}`"
            yield ""
            yield from _text(item)
        else:
            yield f"#### `{name}.{member}`"
            yield ""
            yield from _function(member, item)


def _function(name: str, function: Any) -> Iterator[str]:
    yield "```python"
    yield from _signature(name, function)
    yield "```"
    yield ""
    yield from _text(function)


def _signature(name: str, function: Any) -> Iterator[str]:
    signature = inspect.signature(function)
    parts: list[str] = []
    is_keyword = False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword:
            parts.append("*")
            is_keyword = True
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        text = f"{stars}{parameter.name}: {_annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}"
        parts.append(text)
    result = f" -> {_annotation(signature.return_annotation)}"
    line = f"{name}({', '.join(parts)}){result}"
    if len(line) <= 100:
        yield line
        return
    yield f"{name}("
    yield from (f"    {part}," for part in parts)
    yield f"){result}"


def _annotation(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text)


def _text(what: Any) -> Iterator[str]:
    yield from (inspect.getdoc(what) or "").splitlines()


def _fields(what: type) -> Iterator[str]:
    """Yield a list of what a value of this class holds."""
    if issubclass(what, enum.Enum):
        yield from (f"- `{member.name}`: `{member.value!s}`" for member in what)
    elif dataclasses.is_dataclass(what):
        for field in dataclasses.fields(what):
            yield f"- `{field.name}: {field.type}`"
    elif hasattr(what, "_fields"):
        hints = inspect.get_annotations(what)
        yield from (f"- `{name}: {_named(hints[name])}`" for name in what._fields)
    elif hasattr(what, "model_fields"):
        for name, model_field in what.model_fields.items():
            told = f": {model_field.description}" if model_field.description else ""
            need = " (required)" if model_field.is_required() else ""
            yield f"- `{name}`{need}{told}"


def _named(hint: Any) -> str:
    # A named tuple keeps its annotations as forward references.
    return str(getattr(hint, "__forward_arg__", None) or getattr(hint, "__name__", hint))


def _members(what: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that the package itself gives a class, in order of source."""
    for name, raw in vars(what).items():
        item = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
        if name.startswith(("_", "model_")) or not inspect.getdoc(item):
            continue
        if isinstance(item, property) or (inspect.isfunction(item) and item.__module__ == what.__module__):
            yield name, getattr(what, name) if isinstance(raw, classmethod) else item


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
