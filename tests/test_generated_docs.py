"""The documents generated from the catalogue are current."""

from __future__ import annotations

from pathlib import Path

import pytest

from citrix_netpolicy import Catalog
from citrix_netpolicy.reports.catalog import EXPORTS

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(("file", "format_"), [("catalog.md", "markdown"), ("errata.md", "errata")])
def test_the_document_is_what_the_catalogue_exports(file: str, format_: str) -> None:
    assert (DOCS / file).read_text(encoding="utf-8") == EXPORTS[format_](Catalog.default())
