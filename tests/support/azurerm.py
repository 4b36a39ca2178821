"""Terraform with a stand-in for azurerm, or with the real one from `CITRIX_NETPOLICY_AZURERM_PLUGINS`.

The variable names a folder with the real provider, laid out as a filesystem mirror of Terraform. Without it
the stand-in of `tests/support/standin` is put into a mirror of its own, under the version whose schema it
serves.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from support import real

if TYPE_CHECKING:
    from collections.abc import Mapping

PLUGINS: Final = "CITRIX_NETPOLICY_AZURERM_PLUGINS"
SUBSCRIPTION: Final = "00000000-0000-0000-0000-000000000001"

_TESTS: Final = Path(__file__).parent.parent
_SCHEMA: Final = _TESTS / "data" / "azurerm-network-schema.json"


@dataclass(frozen=True, slots=True)
class Azurerm:
    """The Terraform of this machine with azurerm. `standin` tells whether azurerm is only the stand-in."""

    terraform: real.Terraform
    standin: bool

    def module(self, folder: Path, files: Mapping[str, str]) -> Path:
        """Lay the files of a module into `folder`, ready for `validate` and `test`."""
        return self.terraform.module(folder, files)

    def validate(self, folder: Path) -> list[str]:
        """Return what `terraform validate` has to say against a folder, warnings included.

        A saying is `file: severity: summary: detail`.
        """
        done = self.run(folder, "validate", "-json")
        return [_told(diagnostic) for diagnostic in json.loads(done.stdout)["diagnostics"]]

    def test(self, folder: Path) -> str:
        """Run the `terraform test` of a module and return its output; when it fails, so does the test."""
        return self.terraform.run(folder, "test")

    def site(self, folder: Path, files: Mapping[str, str], arguments: Mapping[str, Any]) -> real.Site:
        """Return a root module in `folder` that calls the module of `files`, ready for every command.

        The values of `arguments` are as JSON would hold them: `${...}` in a string is a template. All outputs
        of the module are the output `site`. With the real provider the test is skipped: it plans nothing
        without an Azure account, and tests have none.
        """
        if not self.standin:
            pytest.skip("the real azurerm plans only with an Azure account")
        root = {
            "provider": {"azurerm": {"features": {}, "subscription_id": SUBSCRIPTION, "use_cli": False}},
            "module": {"site": {"source": "./site", **arguments}},
            "output": {"site": {"value": "${module.site}"}},
        }
        self.module(folder, {"main.tf.json": json.dumps(root, indent=2)})
        site = real.Site(self.terraform, folder)
        site.place(files)
        self.terraform.run(folder, "get")
        return site

    def refusals(self, site: real.Site) -> list[str]:
        """Return what `terraform plan` has to say against a site, in the form of `validate`."""
        done = self.run(site.folder, "plan", "-input=false", "-lock=false", "-json")
        messages = map(json.loads, done.stdout.splitlines())
        return [_told(message["diagnostic"]) for message in messages if message["type"] == "diagnostic"]

    def run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder, whatever comes of it."""
        command = [self.terraform.binary, *arguments]
        return subprocess.run(
            command, cwd=folder, env=self.terraform.environment, capture_output=True, text=True, check=False
        )


def _told(diagnostic: Mapping[str, Any]) -> str:
    file = diagnostic.get("range", {}).get("filename", "")
    said = (file, diagnostic["severity"], diagnostic["summary"], diagnostic.get("detail", ""))
    return ": ".join(filter(None, said))


@pytest.fixture(scope="session")
def azurerm(tmp_path_factory: pytest.TempPathFactory) -> Azurerm:
    """Terraform with the stand-in for azurerm or the real one, after one `init` that contacts nothing."""
    folder = tmp_path_factory.mktemp("azurerm")
    plugins = os.environ.get(PLUGINS)
    terraform = terraform_with(folder, "azurerm", _SCHEMA, Path(plugins).absolute() if plugins else None)
    helper = Azurerm(terraform, standin=not plugins)
    done = helper.run(terraform.initialized, "init", "-input=false")
    if done.returncode:
        said = " ".join(done.stderr.split())
        if plugins:
            real.absent(f"`terraform init` does not get the azurerm provider from {plugins}: {said}")
        pytest.fail(f"`terraform init` does not take the stand-in for azurerm: {said}")
    return helper


def terraform_with(folder: Path, provider: str, schema: Path, mirror: Path | None = None) -> real.Terraform:
    """Return a Terraform that knows one provider, from a mirror or as a stand-in; nothing is contacted.

    Its `initialized` is a root that asks for that provider and has not gone through `init`.
    """
    binary = shutil.which("terraform")
    if binary is None:
        real.absent("there is no `terraform` on PATH")
    config = folder / "terraform.rc"
    foreign = ("ARM_", "AWS_", "AZURE_", "TF_")
    environment = {
        **{key: text for key, text in os.environ.items() if not key.startswith(foreign)},
        "TF_CLI_CONFIG_FILE": str(config),
        "TF_IN_AUTOMATION": "1",
        "TF_CLI_ARGS": "-no-color",
        "CHECKPOINT_DISABLE": "1",
        "NO_PROXY": "127.0.0.1",
    }
    mirror = mirror or _standin_mirror(folder, binary, environment, schema, provider)
    config.write_text(_mirror_config(folder, mirror), encoding="utf-8")
    initialized = folder / "initialized"
    required = {"required_providers": {provider: {"source": f"hashicorp/{provider}"}}}
    real.lay(initialized, {"main.tf.json": json.dumps({"terraform": required})})
    return real.Terraform(binary, environment, initialized)


def _standin_mirror(
    folder: Path, binary: str, environment: Mapping[str, str], schema: Path, provider: str
) -> Path:
    """Return a filesystem mirror that holds the stand-in for a provider: `azurerm` or `aws`."""
    try:
        found = importlib.util.find_spec("tf.runner")
    except ModuleNotFoundError:
        found = None
    if found is None:
        real.absent("the package `tf`, on which stand-ins for providers stand, is absent")
    version = json.loads(schema.read_text(encoding="utf-8"))["version"]
    done = subprocess.run([binary, "version", "-json"], env=environment, capture_output=True, check=True)
    mirror = folder / "mirror"
    plugin = (
        mirror
        / f"registry.terraform.io/hashicorp/{provider}"
        / version
        / json.loads(done.stdout)["platform"]
        / f"terraform-provider-{provider}_v{version}"
    )
    home = folder / "home"  # `tf` keeps a certificate there
    home.mkdir()
    module = {"azurerm": "support.standin", "aws": "support.standin.aws"}[provider]
    command = shlex.join([sys.executable, "-P", "-m", module, str(schema)])
    paths = (
        f"HOME={shlex.quote(str(home))} PYTHONPATH={shlex.quote(str(_TESTS))}${{PYTHONPATH:+:$PYTHONPATH}}"
    )
    real.lay(plugin.parent, {plugin.name: f"#!/bin/sh\n{paths} exec {command}\n"})
    plugin.chmod(0o755)
    return mirror


def _mirror_config(folder: Path, mirror: Path) -> str:
    """Return a Terraform CLI configuration: providers from a mirror, and from nowhere else."""
    cache = folder / "plugin-cache"
    cache.mkdir()
    path = f"filesystem_mirror {{\npath = {json.dumps(str(mirror))}\n}}"
    return f"plugin_cache_dir = {json.dumps(str(cache))}\nprovider_installation {{\n{path}\n}}\n"
