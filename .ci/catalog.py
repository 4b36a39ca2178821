"""Write catalog/checked.json: what the files of the catalogue say, in a form that is fast to read.

Run it after every change of the catalogue; a test tells when it was forgotten.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from citrix_netpolicy.inputs.catalog import checked_text

FILE: Final = Path(__file__).parent.parent / "catalog/checked.json"

if __name__ == "__main__":
    FILE.write_text(checked_text(), encoding="utf-8", newline="\n")
