"""Fixtures that tests share. Those for real parts skip with a reason where the part is absent."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import settings
from support import real
from support.azurerm import azurerm
from support.compiler import bicep_compiler

from citrix_netpolicy.syntax import hcl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_ec2 import EC2Client

    from citrix_netpolicy import Compilation

__all__ = ["azurerm", "bicep_compiler"]  # fixtures that live beside what they offer

# A busy machine is no bug.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# Hypothesis keeps the settings of a law here, and offers no other way to change them from outside.
_SETTINGS: Final = "_hypothesis_internal_use_settings"
# The fast suite tries a law on a part of its examples, and on no fewer than these.
_PART: Final = 0.1
_FEWEST: Final = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the number that the examples of every law are multiplied by."""
    parser.addoption(
        "--examples-factor",
        type=float,
        default=_PART,
        metavar="FACTOR",
        help=f"try each law on FACTOR times its examples (default: {_PART}, and {_FEWEST} examples or more); "
        "above 1, they are always new",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Multiply the examples of every law."""
    # What is collected stays to the end, and passing over it again and again is a tenth of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    functions = (getattr(item, "obj", None) for item in items)
    # Old versions of hypothesis mark a law in this way, too, and export no function that asks for it.
    laws = {id(law): law for law in functions if getattr(law, "is_hypothesis_test", False)}
    for law in laws.values():
        _multiply(law, config)


def _multiply(law: object, config: pytest.Config) -> None:
    factor: float = config.getoption("--examples-factor")
    if factor == 1:
        return
    if not hasattr(law, _SETTINGS):
        raise pytest.UsageError("a law has no settings: does hypothesis keep them elsewhere now?")
    usual: settings = getattr(law, _SETTINGS)
    count = max(round(usual.max_examples * factor), min(usual.max_examples, _FEWEST))
    changed = settings(usual, max_examples=count)
    if factor > 1:
        changed = settings(changed, derandomize=False, database=None)
    setattr(law, _SETTINGS, changed)


@pytest.fixture
def try_law(pytestconfig: pytest.Config) -> Callable[[Callable[[], None]], None]:
    """Try a law that a test defines within itself, on as many examples as the other laws."""

    def tried(law: Callable[[], None]) -> None:
        _multiply(law, pytestconfig)
        law()

    return tried


@pytest.fixture(scope="session", autouse=True)
def second_opinion() -> Iterator[None]:
    """Ask python-hcl2 once for each text; it is by far the slowest part of reading a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hcl, "parse", lru_cache(maxsize=100)(hcl.parse))
        yield


@pytest.fixture(scope="session")
def reference() -> Compilation:
    """The compilation of `examples/terraform/reference`: one AWS network, `main`."""
    return real.compile_data(real.example("reference"))


@pytest.fixture(scope="session")
def two_networks() -> Compilation:
    """The compilation of `examples/terraform/two-networks`: the AWS networks `control` and `workload`."""
    return real.compile_data(real.example("two-networks"))


@pytest.fixture(scope="session")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> real.Terraform:
    """Terraform with the real AWS provider. Nothing but a registry or a folder of plugins is contacted."""
    binary = shutil.which("terraform")
    if binary is None:
        real.absent("there is no `terraform` on PATH")
    folder = tmp_path_factory.mktemp("terraform")
    config = folder / "terraform.rc"
    config.write_text(real.cli_config(folder), encoding="utf-8")
    ours = {
        "TF_CLI_CONFIG_FILE": str(config),
        "TF_IN_AUTOMATION": "1",
        "TF_CLI_ARGS": "-no-color",
        "CHECKPOINT_DISABLE": "1",
        "GOGC": "400",  # the provider spends a quarter of its time on collecting garbage
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }
    theirs = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "TF_"))}
    initialized = folder / "initialized"
    versions = """terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "vpc_id" {}

variable "tags" {}

output "security_group_ids" {
  value = {}
}

output "security_group_names" {
  value = {}
}
"""
    real.lay(initialized, {"main.tf": real.root_module(None, real.NO_VPC), "site/versions.tf": versions})
    environment = {**theirs, **ours}
    done = subprocess.run(
        [binary, "init", "-input=false"],
        cwd=initialized,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        real.absent(f"`terraform init` does not get the AWS provider: {' '.join(done.stderr.split())}")
    return real.Terraform(binary, environment, initialized)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The address of a moto server on loopback."""
    try:
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - may be absent
    except ImportError as error:
        real.absent(f"the moto server is absent: {error}")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def ec2() -> Iterator[EC2Client]:
    """A client for an EC2 that moto plays in this process; tests that share it use a VPC each."""
    try:
        from moto import mock_aws  # noqa: PLC0415 - may be absent
    except ImportError as error:
        real.absent(f"moto is absent: {error}")
    with _no_aws_settings(), mock_aws():
        yield real.ec2_client()


@pytest.fixture(scope="module")
def ec2_server(moto_server: str) -> Iterator[EC2Client]:
    """A client for the EC2 of the moto server."""
    with _no_aws_settings():
        client = real.ec2_client(moto_server)
        yield client
        client.close()


@contextmanager
def _no_aws_settings() -> Iterator[None]:
    """Hide the AWS settings of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        yield
