"""The wheel carries the catalogue and the templates, and works where it is unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import real

from citrix_netpolicy import cli

ROOT = Path(__file__).parent.parent
DATA = ("catalog", "templates")
pytestmark = pytest.mark.slow


def _run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that nothing is left in the checkout."""
    for module in ("build", "hatchling"):
        if find_spec(module) is None:
            real.absent(f"`{module}` is absent")
    copy = tmp_path_factory.mktemp("source") / "project"
    copy.mkdir()
    for name in ("citrix_netpolicy", *DATA):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, cwd=copy)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip = ("-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    _run(sys.executable, *pip, "--target", target, wheel, cwd=target)
    return target


def _on_disk(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def _in_wheel(wheel: Path, prefix: str) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.removeprefix(prefix): archive.read(name)
            for name in archive.namelist()
            if name.startswith(prefix) and not name.endswith("/")
        }


@pytest.mark.parametrize("folder", DATA)
def test_the_wheel_holds_the_data(wheel: Path, folder: str) -> None:
    here = _on_disk(ROOT / folder)
    there = _in_wheel(wheel, f"citrix_netpolicy/_data/{folder}/")
    assert here
    assert there == here


@pytest.mark.parametrize("folder", DATA)
def test_data_folders_hold_no_code(folder: str) -> None:
    assert not list((ROOT / folder).rglob("*.py"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    package = {
        name: content
        for name, content in _on_disk(ROOT / "citrix_netpolicy").items()
        if "__pycache__" not in name
    }
    found = _in_wheel(wheel, "citrix_netpolicy/")
    assert {name: content for name, content in found.items() if not name.startswith("_data/")} == package
    assert "py.typed" in found
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"citrix_netpolicy"}


def test_the_installed_wheel_compiles(installed: Path, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    run = (sys.executable, "-m", "citrix_netpolicy")
    _run(*run, "init", site, cwd=tmp_path, PYTHONPATH=str(installed))
    code = "import citrix_netpolicy; print(citrix_netpolicy.__file__)"
    where = _run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(installed)).stdout
    assert where.startswith(str(installed))
    arguments = ("compile", str(site), "--target", "terraform", "--out")
    _run(*run, *arguments, tmp_path / "wheel", cwd=tmp_path, PYTHONPATH=str(installed))
    assert cli.main([*arguments, str(tmp_path / "checkout")]) == 0
    assert _on_disk(tmp_path / "wheel") == _on_disk(tmp_path / "checkout")


def test_the_command_is_installed(installed: Path, tmp_path: Path) -> None:
    done = _run(installed / "bin" / "citrix-netpolicy", "--version", cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.stdout.strip()


def test_the_wheel_works_without_being_unpacked(wheel: Path, tmp_path: Path) -> None:
    run = (sys.executable, "-m", "citrix_netpolicy")
    _run(*run, "init", "site.yaml", cwd=tmp_path, PYTHONPATH=str(wheel))
    arguments = ("compile", "site.yaml", "--target", "terraform", "--out", "out")
    _run(*run, *arguments, cwd=tmp_path, PYTHONPATH=str(wheel))
    assert (tmp_path / "out" / "rules.tf").exists()
