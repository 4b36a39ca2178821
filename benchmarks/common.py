"""What the benchmarks share: a child's CPU time and memory, and the machine they ran on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

__all__ = ["ENVIRONMENT", "PEERS", "ROOT", "Run", "environment", "machine", "peer_version", "run"]

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / ".venv-peers"
PEERS = ("capirca", "aerleon")


class Run(NamedTuple):
    """One process that ended: CPU seconds, peak memory in MB, exit code, and what it said."""

    seconds: float
    memory: float
    code: int
    output: str


def run(*command: str) -> Run:
    """Run a command to its end, with what it prints kept apart from ours."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        output = child.stdout.read() if child.stdout else b""
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    # Linux counts kilobytes, macOS bytes.
    memory = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
    return Run(used.ru_utime + used.ru_stime, memory, child.returncode, output.decode(errors="replace"))


def environment() -> str:
    """Return the Python of the environment that holds the neighbours, made on the first run."""
    python = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEERS], check=True)
    return str(python)


def peer_version(package: str) -> str:
    """Return the version of a neighbour."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return run(environment(), "-c", code).output.strip()


def machine() -> str:
    """Return what ran: the machine without its name, Python, and the libraries that we stand on."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pydantic", "PyYAML", "Jinja2"))
    peers = ", ".join(f"{peer} {peer_version(peer)}" for peer in PEERS)
    return (
        f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {libraries}; {peers}"
    )
