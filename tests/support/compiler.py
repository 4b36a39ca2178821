"""The real Bicep compiler, where there is one: one process for all modules, asked over JSON-RPC.

`CITRIX_NETPOLICY_BICEP` names it, else it is the `bicep` on PATH. No registry carries it, so nobody is asked
to have it, and tests that need it are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMPILER: Final = "CITRIX_NETPOLICY_BICEP"
# Where a snapshot is taken: any subscription and group do.
METADATA: Final = {
    "tenantId": "00000000-0000-0000-0000-000000000002",
    "subscriptionId": "00000000-0000-0000-0000-000000000001",
    "resourceGroup": "rg",
    "location": "westeurope",
    "deploymentName": "site",
}


class Compiler:
    """A running compiler. Paths that it is given are absolute."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.asked = 0

    @property
    def version(self) -> str:
        """The version of the compiler."""
        return str(self._ask("bicep/version", {})["version"])

    def compile(self, path: Path) -> dict[str, Any]:
        """Return the template of a module. The test fails for whatever the compiler or its linter says."""
        found = self._ask("bicep/compile", {"path": str(path)})
        assert found["diagnostics"] == []
        assert found["success"]
        template: dict[str, Any] = json.loads(found["contents"])
        return template

    def diagnostics(self, path: Path) -> list[str]:
        """Return the codes of all that the compiler and its linter say of a module."""
        return [one["code"] for one in self._ask("bicep/compile", {"path": str(path)})["diagnostics"]]

    def formatted(self, path: Path) -> str:
        """Return a file as the formatter prints it."""
        return str(self._ask("bicep/format", {"path": str(path)})["contents"])

    def parameters(self, path: Path) -> dict[str, Any]:
        """Return the parameters that a parameter file gives its module."""
        found = self._ask("bicep/compileParams", {"path": str(path), "parameterOverrides": {}})
        assert found["diagnostics"] == []
        parameters: dict[str, Any] = json.loads(found["parameters"])
        return parameters

    def snapshot(self, path: Path) -> list[dict[str, Any]]:
        """Return the resources that the deployment of a parameter file would make, worked out offline."""
        asked = {"path": str(path), "metadata": METADATA, "externalInputs": []}
        found = json.loads(self._ask("bicep/getSnapshot", asked)["snapshot"])
        assert found["diagnostics"] == []
        resources: list[dict[str, Any]] = found["predictedResources"]
        return resources

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        body = json.dumps({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params}).encode()
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()
        size = 0
        while (line := self.process.stdout.readline().strip()) or not size:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
            assert self.process.poll() is None, "the compiler has ended"
        answer = json.loads(self.process.stdout.read(size))
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result


@pytest.fixture(scope="session")
def bicep_compiler() -> Iterator[Compiler]:
    """The compiler, or a skip with the reason."""
    found = os.environ.get(COMPILER) or shutil.which("bicep")
    if not found:
        pytest.skip(f"there is no `bicep` on PATH, and {COMPILER} names none")
    environment = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
    command = [found, "jsonrpc", "--stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        yield Compiler(process)
        assert process.stdin
        process.stdin.close()
        process.terminate()
