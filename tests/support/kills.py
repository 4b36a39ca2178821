"""Kill processes that write to a folder, each at a moment of its own; the next run must make it whole.

    python kills.py FOLDER COUNT

Prints how many processes were killed before they ended, and what the next runs said. Ends with an error when
a folder is neither old nor new, something strays, or the next run sees files of two runs.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from citrix_netpolicy.folder import MANIFEST, Module, update_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("README.md", "east/rules.tf", "east/main.tf", "west/rules.tf", "identities.json")
VERSIONS = {
    word: {f"{word}.tf": word, **{name: f"{word} {name}\n" * 50 for name in NAMES}} for word in ("a", "b")
}


def _write(out: Path, word: str, shown: list[dict[str, str]] | None = None) -> list[str]:
    def make(previous: Mapping[str, str]) -> Module:
        if shown is not None:
            shown.append(dict(previous))
        return Module(VERSIONS[word])

    return [finding.message for finding in update_folder(out, make).findings]


def _there(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): path.read_text()
        for path in out.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


def main() -> None:
    """Kill as often as was asked for."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    out = folder / "out"
    (out / "foreign").mkdir(parents=True)
    foreign = {"foreign/mine": "mine\n"}
    (out / "foreign" / "mine").write_text("mine\n")
    # How long a write takes here, so that the moments are spread over all of it.
    for word in ("a", "b"):
        begin = time.monotonic()
        _write(out, word)
        span = time.monotonic() - begin
    chance = random.Random(count)
    figures: Counter[str] = Counter(kills=count)
    now = "b"
    for _ in range(count):
        other = "a" if now == "b" else "b"
        child = os.fork()
        if child == 0:
            _write(out, other)
            os._exit(0)
        time.sleep(chance.uniform(0, 1.2 * span))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        figures["killed"] += os.WIFSIGNALED(status)
        shown: list[dict[str, str]] = []
        now = chance.choice("ab")
        for message in _write(out, now, shown):
            figures.update(key for key in ("finished", "took back", "had left") if key in message)
        assert shown[0] in VERSIONS.values(), "the next run saw files of two runs"
        assert _there(out) == VERSIONS[now] | foreign, "something strays"
    figures["swept"] = figures.pop("had left", 0)
    print(json.dumps(figures))  # noqa: T201 - whoever started this reads it


if __name__ == "__main__":
    main()
