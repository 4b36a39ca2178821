"""The order of the modules: each imports only from those before it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import citrix_netpolicy

PACKAGE = Path(citrix_netpolicy.__file__).parent

# From bottom to top. Modules of one line do not import each other.
ORDER = (
    "plain limits naming omissions places resources version syntax inputs reports targets.aws targets.azure",
    "errors syntax.markdown",
    "cover net findings files disk lock syntax.yaml syntax.json",
    "policy syntax.document syntax.templates",
    "traffic found found.evaluated identities syntax.bicep syntax.hcl syntax.layout inputs.problems",
    "grants inputs.base inputs.addresses ends",
    "minimize compare",
    "inputs.include",
    "inputs.catalog inputs.deployment",
    "meeting",
    "resolve",
    "lint.compiled",
    "lint.exposure lint.idle lint.places lint.working",
    "lint",
    "compiler",
    "targets targets.describe",
    "targets.aws.ec2 targets.azure.cover",
    "targets.azure.rule_names",
    "targets.aws.attributes targets.azure.groups targets.aws.readback targets.azure.readback",
    "targets.aws.placement targets.azure.arm",
    "targets.aws.groups targets.azure.attributes targets.azure.effective",
    "targets.aws.ec2_json targets.aws.terraform",
    "targets.azure.arm_json targets.azure.bicep targets.azure.terraform",
    "found.folder found.snapshot reports.allowlist reports.catalog reports.catalog_diff",
    "inputs.schema inputs.starter",
    "journal beside",
    "folder",
    "readback",
    "succession",
    "generate reports.stats",
    "explain verify",
    "reports.explain",
    "review reports.diff",
    "reports.summary reports.machine",
    "__init__",
    "cli.process cli.arguments",
    "cli.output",
    "cli",
    "cli.catalog cli.compile cli.diff cli.explain cli.verify cli.init cli.schema",
    "__main__",
)
RANKS = {name: rank for rank, names in enumerate(ORDER) for name in names.split()}


def _name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if "_data" not in path.parts}


class _Imports(ast.NodeVisitor):
    """Collects what a module imports from this package, for type checkers too."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"{self.name} imports relatively"
        for alias in node.names:
            module = f"{node.module}.{alias.name}"
            self._add(module if module.removeprefix("citrix_netpolicy.") in FILES else str(node.module))

    def _add(self, module: str) -> None:
        if module == "citrix_netpolicy":
            self.found.add("__init__")
        elif module.startswith("citrix_netpolicy."):
            self.found.add(module.removeprefix("citrix_netpolicy."))


def imports_of(name: str) -> set[str]:
    visitor = _Imports(name)
    visitor.visit(ast.parse(FILES[name].read_text(encoding="utf-8")))
    return visitor.found


def test_the_reader_of_imports_sees_them() -> None:
    assert imports_of("cli.compile") >= {"cli", "compiler", "folder", "targets"}
    assert "syntax.yaml" in imports_of("syntax.document"), "an import inside a function counts"
    assert "syntax.document" in imports_of("inputs.problems"), "so does an import for type checkers"


def test_every_module_has_its_place() -> None:
    assert sorted(FILES) == sorted(RANKS)


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_come_from_below(name: str) -> None:
    above = {other for other in imports_of(name) if RANKS[other] >= RANKS[name]}
    assert not above, f"{name} imports from {sorted(above)}"


def test_no_public_name_is_that_of_a_module() -> None:
    # Loading the module would replace what the name stands for.
    assert not {name for name in citrix_netpolicy.__all__ if name in FILES}


def test_a_policy_knows_numbers_and_places_alone() -> None:
    assert imports_of("policy") == {"errors", "net"}


@pytest.mark.parametrize("name", ["net", "policy", "traffic", "minimize", "compiler"])
def test_policies_know_no_cloud(name: str) -> None:
    assert not [other for other in imports_of(name) if other.startswith("targets")]


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("targets")])
def test_targets_know_no_citrix(name: str) -> None:
    assert not imports_of(name) & {
        "inputs.catalog",
        "inputs.deployment",
        "resolve",
        "compiler",
        "inputs.base",
    }


@pytest.mark.parametrize("name", sorted(name for name in FILES if not name.startswith("cli")))
def test_only_the_command_prints(name: str) -> None:
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Name) and node.id == "print")
        assert not (isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"})


def _loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `statement`."""
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_every_public_name_is_what_it_says() -> None:
    # Loading a module binds it to its name in the package, so a public name must not be that of a module.
    assert not set(citrix_netpolicy.__all__) & {name.partition(".")[0] for name in FILES}


def test_a_bare_import_loads_nothing_else() -> None:
    names = ", ".join(citrix_netpolicy.__all__)
    assert "pydantic" not in _loaded_by("import citrix_netpolicy")
    loaded = _loaded_by(f"from citrix_netpolicy import {names}")
    assert "pydantic" in loaded
    assert not loaded & {
        "azure",
        "boto3",
        "botocore",
        "hcl2",
        "jinja2",
        "lark",
        "mypy_boto3_ec2",
        "rich",
        "yaml",
    }
