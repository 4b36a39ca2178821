"""The documents generated from the catalogue and from the source are current."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from citrix_netpolicy import Catalog
from citrix_netpolicy.inputs.catalog import checked_text
from citrix_netpolicy.reports.catalog import EXPORTS

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(("file", "format_"), [("catalog.md", "markdown"), ("errata.md", "errata")])
def test_the_document_is_what_the_catalogue_exports(file: str, format_: str) -> None:
    assert (DOCS / file).read_text(encoding="utf-8") == EXPORTS[format_](Catalog.default().as_of(None))


def test_what_stands_in_for_the_files_of_the_catalogue_is_what_they_say() -> None:
    path = DOCS.parent / "catalog/checked.json"
    assert path.read_text(encoding="utf-8") == checked_text(), "run `python .ci/catalog.py`"


def test_the_reference_of_the_api_is_what_the_source_says() -> None:
    text = runpy.run_path(str(DOCS / "api.py"))["document"]()
    assert (DOCS / "api.md").read_text(encoding="utf-8") == text, "run `python docs/api.py`"
