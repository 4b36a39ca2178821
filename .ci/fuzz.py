"""Try mutants of every file that is read, on its reader, for some time, and keep what is found.

Each run draws new ones. A find goes into `tests/hostile/finds`, where the suite tries it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.fuzz import FINDS, READERS, mutant, tried  # noqa: E402 - tests are no package

MOST = 20  # finds of one reader that are kept


def main() -> int:
    """Fuzz, and return 1 when something was found."""
    parser = argparse.ArgumentParser(description="Try mutants of every file that is read, on its reader.")
    parser.add_argument("--seconds", type=float, default=60.0, help="time for each reader")
    parser.add_argument("--first", type=int, help="number of the first mutant; without it, new ones")
    parser.add_argument("--reader", choices=READERS, action="append", help="only these readers")
    parser.add_argument("--out", type=Path, help="file for the summary")
    options = parser.parse_args()
    first = int(time.time()) * 1_000_000 if options.first is None else options.first
    lines = ["| reader | mutants | refused | finds |", "|---|---|---|---|"]
    count = 0
    for reader in options.reader or READERS:
        tries, refused, finds = _fuzz(reader, first, options.seconds)
        lines.append(f"| {reader} | {tries:,} | {refused / tries:.0%} | {finds} |")
        count += finds
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, "utf-8")
    return 1 if count else 0


def _fuzz(reader: str, first: int, seconds: float) -> tuple[int, int, int]:
    """Try mutants of one reader; return how many, how many were refused, and how many kinds of finds."""
    number, refused, kinds, end = first, 0, set[str](), time.monotonic() + seconds
    while number == first or time.monotonic() < end:
        content = mutant(reader, number)
        outcome = tried(reader, content)
        refused += outcome.refused
        if outcome.wrong and outcome.wrong[:40] not in kinds and len(kinds) < MOST:
            kinds.add(outcome.wrong[:40])
            FINDS.mkdir(exist_ok=True)
            (FINDS / f"{reader}-{hashlib.sha256(content).hexdigest()[:12]}.bin").write_bytes(content)
            print(f"{reader} {number}: {outcome.wrong[:300]!r}", file=sys.stderr, flush=True)
        number += 1
    return number - first, refused, len(kinds)


if __name__ == "__main__":
    sys.exit(main())
