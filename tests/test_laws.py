"""The tests that `docs/architecture.md` names for its laws are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "architecture.md"
TO_COME = " *(to come)*"
NAMED = re.compile(r"`(tests/[a-z_*/]+\.py)(?:::(test_[a-z0-9_]+))?`(" + re.escape(TO_COME) + ")?")


def rows() -> list[str]:
    laws = DOCUMENT.read_text(encoding="utf-8").partition("\n## Laws\n")[2]
    return [line for line in laws.splitlines() if line.startswith("| ")][1:]


CASES = [(file, test, bool(mark)) for row in rows() for file, test, mark in NAMED.findall(row)]


def test_every_law_names_a_test() -> None:
    assert len(rows()) >= 20
    assert [row for row in rows() if not NAMED.search(row)] == []


@pytest.mark.parametrize(("file", "test", "is_to_come"), CASES, ids=str)
def test_a_test_that_a_law_names_is_there(file: str, test: str, is_to_come: bool) -> None:
    path = ROOT / file
    if is_to_come:
        told = f"`{file}` is there: name its test in docs/architecture.md, and remove `{TO_COME.strip()}`"
        assert not path.exists(), told
        return
    assert path.is_file(), f"docs/architecture.md names {file}, which is gone"
    if test:
        assert test in _functions(path), f"docs/architecture.md names {file}::{test}, which is gone"


@cache
def _functions(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_every_module_has_its_place_in_the_house() -> None:
    house = DOCUMENT.read_text(encoding="utf-8").partition("\n## The house\n")[2].partition("\n## ")[0]
    parts = {name.strip("/") for name in re.findall(r"`([a-z_/]+)`", house)}
    package = ROOT / "citrix_netpolicy"
    modules = {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    named = parts | {part.partition("/")[0] for part in parts}
    assert not (modules | folders) - named, "give them a row in docs/architecture.md, The house"


def test_every_file_that_a_document_names_is_there() -> None:
    for document in (DOCUMENT, ROOT / "docs" / "stability.md", ROOT / "docs" / "README.md"):
        text = document.read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
        assert links, f"{document.name} links to nothing"
        for target in links:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
        modules = re.findall(r"`((?:syntax|inputs|targets|found)/[a-z_/]+\.py)`", text)
        assert modules or document != DOCUMENT
        for name in modules:
            assert (ROOT / "citrix_netpolicy" / name).is_file(), f"{document.name} names {name}"
