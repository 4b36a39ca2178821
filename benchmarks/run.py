"""Run every benchmark and write RESULTS.md: the figures of one run, with the machine and all versions.

    python benchmarks/run.py [NAME ...]

With names, only those are run, and their parts of RESULTS.md replaced. README.md tells what each figure
means, and which targets are met.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
NAMES = ("compile", "peers", "floor", "profiles", "scale", "hostile", "merge")


def main() -> int:
    """Run benchmarks; return 1 when one of them missed what it demands."""
    parser = argparse.ArgumentParser(description="Run benchmarks and write RESULTS.md.")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="what to run; all unless given")
    names = parser.parse_args().names or NAMES
    parts = _parts()
    missed = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, str(HERE / f"{name}.py")], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            missed.append(name)
        said = "" if done.returncode == 0 else "\nThis run missed a limit of its own.\n"
        parts[name] = f"{datetime.now(UTC):%Y-%m-%d}, {done.stdout.strip()}\n{said}"
    text = [
        "# Results",
        "",
        "Written by `python benchmarks/run.py`; [README.md](README.md) tells what it means.",
    ]
    for name in NAMES:
        if name in parts:
            text += ["", f"## {name}.py", "", parts[name].strip()]
    RESULTS.write_text("\n".join(text) + "\n", encoding="utf-8", newline="\n")
    if missed:
        print(f"error: {', '.join(missed)} missed a limit", file=sys.stderr)
    return 1 if missed else 0


def _parts() -> dict[str, str]:
    """Return the parts that RESULTS.md has, by the name of their benchmark."""
    if not RESULTS.exists():
        return {}
    parts = re.split(r"^## (\w+)\.py$", RESULTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


if __name__ == "__main__":
    sys.exit(main())
