"""Warnings are errors where they blame our code; what a library deprecates in another stops nobody."""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

TESTS = Path(__file__).parent
GOING = [DeprecationWarning, PendingDeprecationWarning, FutureWarning]
# A module that calls what its author has deprecated, as any module may.
SOURCE = """
import warnings

def deprecated(category):
    warnings.warn("use something else", category, stacklevel=2)

def call(category):
    deprecated(category)
"""


def _module(folder: Path, name: str) -> ModuleType:
    folder.joinpath(f"{name}.py").write_text(SOURCE)
    return importlib.import_module(name)


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(tmp_path)
    yield _module(tmp_path, "a_library_of_others")
    del sys.modules["a_library_of_others"]


@pytest.mark.parametrize("category", GOING)
def test_what_a_library_deprecates_in_itself_is_no_error(category: type[Warning], theirs: ModuleType) -> None:
    with warnings.catch_warnings(record=True) as caught:
        theirs.call(category)
    assert [warning.category for warning in caught] == [category]


@pytest.mark.parametrize("category", GOING)
def test_a_deprecated_call_of_a_test_is_an_error(category: type[Warning], theirs: ModuleType) -> None:
    with pytest.raises(category, match="use something else"):
        theirs.deprecated(category)


@pytest.mark.parametrize("category", GOING)
@pytest.mark.parametrize(
    "module", ["citrix_netpolicy", "citrix_netpolicy.targets.aws.ec2", "support.real", "systems", "conftest"]
)
def test_a_deprecated_call_of_ours_is_an_error(module: str, category: type[Warning]) -> None:
    with pytest.raises(category, match="use something else"):
        warnings.warn_explicit("use something else", category, f"{module}.py", 1, module=module)


@pytest.mark.parametrize("category", [UserWarning, ResourceWarning, SyntaxWarning, RuntimeWarning])
def test_any_other_warning_is_an_error_wherever_it_comes_from(
    category: type[Warning], theirs: ModuleType
) -> None:
    with pytest.raises(category):
        theirs.call(category)


def test_every_module_beside_the_tests_is_ours() -> None:
    """Modules of `tests/` have no package in common, so the filters name each; none may be missing."""
    modules = {path.stem for path in TESTS.glob("*.py")} | {path.parent.name for path in TESTS.glob("*/*.py")}
    assert {"conftest", "support", "test_warnings"} <= modules
    for module in sorted(modules):
        with pytest.raises(DeprecationWarning):
            warnings.warn_explicit("use something else", DeprecationWarning, "x.py", 1, module=module)
