"""A pytest plugin for the long tier: laws are tried on EXAMPLES_FACTOR times their examples, always new."""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import settings

# Hypothesis keeps the settings of a test here, and offers no other way to change them from outside.
_SETTINGS: Final = "_hypothesis_internal_use_settings"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Multiply the examples of every law."""
    factor = int(os.environ["EXAMPLES_FACTOR"])
    functions = {
        id(function): function for item in items if hasattr(function := getattr(item, "obj", None), _SETTINGS)
    }
    for function in functions.values():
        usual: settings = getattr(function, _SETTINGS)
        count = usual.max_examples * factor
        setattr(function, _SETTINGS, settings(usual, max_examples=count, derandomize=False, database=None))
    if not functions:
        raise pytest.UsageError("no law was found: does hypothesis keep its settings elsewhere now?")
