"""The merge law: two branches that were merged compile to what both say, and main moves nothing.

Real git merges random pairs of edits. Whatever it leaves, `compile` either runs or names the command that
mends the folder, and then every name, key and priority of main is as it was.
"""

from __future__ import annotations

import copy
import os
import random
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support import real

from citrix_netpolicy import Deployment, NetpolicyError, compile_deployment, identities, render, traffic_of
from citrix_netpolicy.cli import Exit, main
from citrix_netpolicy.folder import MANIFEST, previous_files
from citrix_netpolicy.found import Found, folder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git on PATH")

BASE: dict[str, Any] = {
    "name": "site",
    "networks": {"main": {"cloud": "azure"}},
    "tiers": {
        "ddc": {"roles": ["ddc"], "subnets": ["10.0.2.0/28"]},
        "pvs": {"roles": ["pvs"], "subnets": ["10.0.3.0/28"]},
        "sql": {"roles": ["sql"], "subnets": ["10.0.4.0/28"]},
        "storefront": {"roles": ["storefront"], "subnets": ["10.0.1.0/28"]},
        "vda": {"roles": ["vda"], "subnets": ["10.0.64.0/20"]},
    },
    "external": {
        "admin-workstation": {"roles": ["admin-workstation"], "addresses": ["10.99.0.0/24"]},
        "user-device": {"roles": ["user-device"], "addresses": ["10.98.0.0/16"]},
    },
    "features": {"edt": True},
    "flows": {
        "metrics": {
            "source": "admin-workstation",
            "destination": "vda",
            "services": {"protocol": "tcp", "ports": [9182]},
            "reason": "Metrics",
        }
    },
}


def _tier(name: str, role: str, subnet: str) -> Any:
    def edit(data: dict[str, Any]) -> None:
        data["tiers"][name] = {"roles": [role], "subnets": [subnet]}

    return edit


def _subnet(tier: str, subnet: str) -> Any:
    def edit(data: dict[str, Any]) -> None:
        data["tiers"][tier]["subnets"].append(subnet)

    return edit


def _flow(name: str, destination: str, port: int) -> Any:
    def edit(data: dict[str, Any]) -> None:
        data["flows"][name] = {
            "source": "admin-workstation",
            "destination": destination,
            "services": {"protocol": "tcp", "ports": [port]},
            "reason": f"Reason of {name}",
        }

    return edit


def _address(external: str, prefix: str) -> Any:
    def edit(data: dict[str, Any]) -> None:
        data["external"][external]["addresses"].append(prefix)

    return edit


def _feature(name: str, state: bool) -> Any:
    def edit(data: dict[str, Any]) -> None:
        data["features"][name] = state

    return edit


def _without(kind: str, name: str) -> Any:
    def edit(data: dict[str, Any]) -> None:
        data[kind].pop(name, None)

    return edit


EDITS = {
    "add an early tier": _tier("a-licence", "license-server", "10.0.5.0/28"),
    "add a late tier": _tier("wem", "wem-server", "10.0.6.0/28"),
    "add a second vda": _tier("vda-two", "vda", "10.0.80.0/20"),
    "another subnet of vda": _subnet("vda", "10.1.64.0/20"),
    "a neighbouring subnet of ddc": _subnet("ddc", "10.0.2.16/28"),
    "an early flow": _flow("backup", "sql", 1433),
    "a late flow": _flow("patching", "vda", 8530),
    "a flow to ddc": _flow("console", "ddc", 8080),
    "another administrator": _address("admin-workstation", "10.97.0.0/24"),
    "another user": _address("user-device", "10.96.0.0/16"),
    "no edt": _feature("edt", False),
    "direct hdx": _feature("direct-hdx", True),
    "no pvs": _without("tiers", "pvs"),
    "no metrics": _without("flows", "metrics"),
}


def _yaml(data: Any, indent: int = 0) -> str:
    """Return data as block YAML, in which an edit touches few lines."""
    lines = []
    pad = " " * indent
    for key, value in data.items():
        if isinstance(value, dict) and value:
            lines.append(f"{pad}{key}:\n{_yaml(value, indent + 2)}")
        elif isinstance(value, list):
            lines.append(f"{pad}{key}:\n" + "".join(f"{pad}  - {item}\n" for item in value))
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            lines.append(f"{pad}{key}: {text}\n")
    return "".join(lines)


class Repository:
    """A repository with a deployment and its module."""

    def __init__(self, place: Path, target: str, cloud: str) -> None:
        self.place = place
        self.target = target
        self.cloud = cloud
        place.mkdir()
        self.git("init", "-q", "-b", "main")
        self.file = place / "deployment.yaml"
        self.out = place / "module"

    def git(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        who = {
            f"GIT_{kind}_{what}": "someone" for kind in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        nowhere = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        environment = {**os.environ, **who, **nowhere}
        return subprocess.run(
            ["git", *arguments], cwd=self.place, env=environment, check=check, capture_output=True, text=True
        )

    def commit(self, data: dict[str, Any]) -> None:
        self.file.write_text(_yaml(data))
        assert self.compile() == Exit.DONE
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change")

    def compile(self, *more: str) -> int:
        return main(["compile", str(self.file), "--target", self.target, "--out", str(self.out), *more])

    def found(self) -> Found:
        return folder.read(previous_files(self.out), self.target, self.cloud)


def _merge(
    place: Path, target: str, cloud: str, edits: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> bool:
    """Merge two edits, mend what the tool says, and check the law. Return whether git merged the YAML."""
    base = copy.deepcopy(BASE)
    base["networks"]["main"]["cloud"] = cloud
    repository = Repository(place, target, cloud)
    repository.commit(base)
    repository.git("branch", "other")
    for branch, name in zip(("main", "other"), edits, strict=True):
        repository.git("checkout", "-q", branch)
        data = copy.deepcopy(base)
        EDITS[name](data)
        repository.commit(data)
    repository.git("checkout", "-q", "main")
    before = repository.found()
    repository.git("merge", "-q", "--no-edit", "other", check=False)
    if "<<<<<<<" in repository.file.read_text():
        return False
    capsys.readouterr()
    for _ in range(4):
        if repository.compile() == Exit.DONE:
            break
        said = capsys.readouterr().err
        command = re.search(r"run `(git [^`]+)`", said)
        assert command, said
        for part in command[1].replace("BRANCH", "HEAD~1").split(" && "):
            repository.git(*part.split()[1:])
    else:
        pytest.fail("the commands do not mend the folder")
    after = repository.found()
    compilation = compile_deployment(Deployment.load(repository.file))
    assert traffic_of(after.policy.groups) == traffic_of(compilation.policy.groups)
    for key, priority in before.priorities.items():
        assert after.priorities.get(key, priority) == priority, key
    assert repository.compile("--check") == Exit.DONE
    return True


PAIRS = [(one, two) for one in EDITS for two in EDITS if one != two]


@pytest.mark.parametrize(
    ("target", "cloud"),
    [
        pytest.param("terraform", "azure", marks=pytest.mark.slow),
        pytest.param("terraform", "aws", marks=pytest.mark.slow),
        ("bicep", "azure"),
    ],
)
def test_merged_branches_compile_to_what_both_say(
    target: str, cloud: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = random.Random(7).sample(PAIRS, 3)
    merged = [
        _merge(tmp_path / str(number), target, cloud, pair, capsys) for number, pair in enumerate(pairs)
    ]
    assert any(merged)


@pytest.mark.parametrize(
    ("target", "cloud"),
    [
        pytest.param("terraform", "azure", marks=pytest.mark.slow),
        # What differs from the one above is the spelling alone.
        pytest.param("azure", "azure", marks=pytest.mark.long),
        pytest.param("terraform", "aws", marks=pytest.mark.slow),
    ],
)
def test_every_pair_of_edits_keeps_the_merge_law(
    target: str,
    cloud: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # With so few numbers, names ask for the same one all the time.
    monkeypatch.setattr(identities, "LAST_PRIORITY", identities.FIRST_PRIORITY + 39)
    merged = [
        _merge(tmp_path / str(number), target, cloud, pair, capsys) for number, pair in enumerate(PAIRS[::3])
    ]
    assert sum(merged) > 20


def test_disjoint_edits_do_not_conflict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository = Repository(tmp_path / "repository", "terraform", "azure")
    repository.commit(BASE)
    repository.git("branch", "other")
    edits = ("another subnet of vda", "add an early tier")
    for branch, name in zip(("main", "other"), edits, strict=True):
        repository.git("checkout", "-q", branch)
        data = copy.deepcopy(BASE)
        EDITS[name](data)
        repository.commit(data)
    merged = repository.git("merge", "-q", "--no-edit", "main", check=False)
    # What both edits touch must be decided by a compile; the manifest and the tests are no part of that.
    conflicts = repository.git("diff", "--name-only", "--diff-filter=U").stdout.split()
    assert not {f"module/{name}" for name in (MANIFEST, "main.tf", "tests/module.tftest.hcl")} & set(
        conflicts
    )
    assert merged.returncode == bool(conflicts)


def test_a_clean_merge_is_out_of_date_until_it_is_compiled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = Repository(tmp_path / "repository", "azure", "azure")
    repository.commit(BASE)
    data = copy.deepcopy(BASE)
    EDITS["add a second vda"](data)
    repository.file.write_text(_yaml(data))
    capsys.readouterr()
    assert repository.compile("--check") == Exit.FINDINGS
    said = capsys.readouterr().err
    assert "network-security-groups.json: out of date" in said
    assert "input: changed since then: tiers.vda-two" in said


@pytest.mark.slow
def test_git_revert_brings_the_priorities_back(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository", "terraform", "azure")
    repository.commit(BASE)
    before = repository.found().priorities
    data = copy.deepcopy(BASE)
    for name in ("add a second vda", "a flow to ddc", "no pvs"):
        EDITS[name](data)
    repository.commit(data)
    repository.git("revert", "--no-edit", "HEAD")
    assert repository.found().priorities == before
    assert repository.compile("--check") == Exit.DONE
    assert repository.compile() == Exit.DONE
    assert repository.found().priorities == before


def test_two_rules_of_one_priority_are_answered_with_the_command(tmp_path: Path) -> None:
    compilation = real.compile_data(BASE)
    files = dict(render(compilation, "azure").files)
    name = "network-security-groups.json"
    numbers = re.findall(r'"priority": (1[0-9]{3}|2[0-9]{3}|3[0-9]{3})', files[name])
    files[name] = files[name].replace(f'"priority": {numbers[1]}', f'"priority": {numbers[0]}')
    changed = copy.deepcopy(BASE)
    EDITS["a flow to ddc"](changed)
    with pytest.raises(NetpolicyError) as caught:
        render(real.compile_data(changed), "azure", previous=files, folder="out")
    assert any("git checkout" in problem.hint for problem in caught.value.problems)


def test_a_second_network_moves_the_files_and_not_the_priorities(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository", "azure", "azure")
    repository.commit(BASE)
    # A number that no name asks for shows whether the last run was read.
    name = "network-security-groups.json"
    text = (repository.out / name).read_text()
    number = re.findall(r'"priority": (1[0-9]{3}|2[0-9]{3}|3[0-9]{3})', text)[0]
    (repository.out / name).write_text(text.replace(f'"priority": {number}', '"priority": 1234'))
    data = copy.deepcopy(BASE)
    data["networks"]["other"] = {"cloud": "azure"}
    for tier in data["tiers"].values():
        tier["network"] = "main"
    data["tiers"]["vda-two"] = {"roles": ["vda"], "subnets": ["10.9.0.0/24"], "network": "other"}
    repository.file.write_text(_yaml(data))
    assert repository.compile() == Exit.DONE
    assert '"priority": 1234' in (repository.out / "main" / name).read_text()
    assert "1234" in (repository.out / "main" / "identities.json").read_text()
    assert not (repository.out / name).exists()
