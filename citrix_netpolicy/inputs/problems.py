"""What pydantic finds wrong with an input, told as problems with places."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel

from citrix_netpolicy import limits
from citrix_netpolicy.errors import Problem, clean, in_order, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from citrix_netpolicy.errors import DataPath
    from citrix_netpolicy.syntax.document import Document

__all__ = ["problems_of", "shown"]


def problems_of(
    model: type[BaseModel], error: ValidationError, document: Document | None = None, base: DataPath = ()
) -> list[Problem]:
    """Tell what pydantic found wrong with a `model` as problems.

    `base` is the path of what was validated inside `document`, which gives the places in the file.
    """
    return in_order(
        _problem(model, details, document, base, is_shown=number < limits.SHOWN)
        for number, details in enumerate(error.errors())
    )


def _problem(
    model: type[BaseModel], error: ErrorDetails, document: Document | None, base: DataPath, *, is_shown: bool
) -> Problem:
    path: DataPath = (*base, *error["loc"])
    code = "invalid-value"
    if error["type"] == "extra_forbidden":
        code = "unknown-key"
        message, hint = f"unknown key `{clean(str(path[-1]))}`", ""
        if is_shown:
            hint = nearest(str(path[-1]), _keys(model, error["loc"][:-1]))
    elif error["type"] == "missing":
        code = "missing-key"
        message, hint = f"`{clean(str(path[-1]))}` is missing", ""
        path = path[:-1]
    elif error["type"] == "too_many":
        code, message, hint = "too-many", error["msg"], "docs/limits.md says what to do"
    elif error["type"] in _TELL:
        message, hint = _TELL[error["type"]](error["input"], error.get("ctx", {}))
    else:
        message, hint = error["msg"][:1].lower() + error["msg"][1:], ""
    path = tuple(step for step in path if step != "[key]")
    mark = document.mark(path) if document else None
    return Problem(code=code, message=message, path=path, mark=mark, hint=hint)


def _keys(model: type[BaseModel], path: DataPath) -> list[str]:
    """Return the keys of the model found at `path` below `model`."""
    here: Any = model
    for step in path:
        if _is_model(here):
            fields = {str(field.alias): field.annotation for field in here.model_fields.values()}
            here = fields.get(str(step))
        else:  # a map's or a list's item: dict[str, X], tuple[X, ...]
            here = next((part for part in reversed(get_args(here)) if part is not Ellipsis), None)
        here = _bare(here)
    return [str(field.alias) for field in here.model_fields.values()] if _is_model(here) else []


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _bare(annotation: Any) -> Any:
    """Strip `Annotated` and `| None` from an annotation."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not NoneType)
    return annotation


def shown(value: Any) -> str:
    """Return a value as messages quote it: short, and without characters that a terminal would act on."""
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{clean(str(value))}`"


def _expected(what: str) -> Callable[[Any, Mapping[str, Any]], tuple[str, str]]:
    return lambda value, _: (f"expected {what}, found {shown(value)}", "")


def _choice(value: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    valid = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ",").split(",")]
    return f"{shown(value)} is not valid here", nearest(str(value), valid)


_TELL: Final[dict[str, Callable[[Any, Mapping[str, Any]], tuple[str, str]]]] = {
    "value_error": lambda _, context: (str(context["error"]), ""),
    "literal_error": _choice,
    "enum": _choice,
    "bool_type": _expected("true or false"),
    "bool_parsing": _expected("true or false"),
    "string_type": _expected("text"),
    "int_type": _expected("a whole number"),
    "int_parsing": _expected("a whole number"),
    "int_from_float": _expected("a whole number"),
    "tuple_type": _expected("a list"),
    "list_type": _expected("a list"),
    "too_short": lambda _, __: ("expected at least one value", ""),
    "greater_than_equal": lambda value, context: (f"{shown(value)} is less than {context['ge']}", ""),
    "less_than_equal": lambda value, context: (f"{shown(value)} is more than {context['le']}", ""),
    "dict_type": _expected("a map"),
    "model_type": _expected("a map"),
    "model_attributes_type": _expected("a map"),
}
