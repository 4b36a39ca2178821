"""Templates hold layout and never a decision; every value enters them through a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from citrix_netpolicy import resources
from citrix_netpolicy.syntax import markdown

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment

__all__ = ["environment_of"]


def environment_of(filters: dict[str, Callable[..., Any]]) -> Environment:
    """Return an environment for the shipped templates, with these filters and `cell` for Markdown."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FunctionLoader(_load),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - HCL, Bicep and Markdown; every value passes a filter of its own
    )
    environment.filters |= {**filters, "cell": markdown.cell}
    return environment


def _load(name: str) -> str:
    return resources.templates().joinpath(*name.split("/")).read_text(encoding="utf-8")
