"""`--check` sees whatever happens to a generated file, in every target, for one network and for two."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from citrix_netpolicy import cli
from citrix_netpolicy.folder import MANIFEST
from citrix_netpolicy.targets import TARGETS

ONE = """\
name: site
cloud: CLOUD
tiers:
  ddc: [10.0.1.0/28]
  vda: [10.0.2.0/24]
"""
TWO = """\
name: site
networks: {east: {cloud: CLOUD}, west: {cloud: CLOUD}}
tiers:
  ddc: {network: east, subnets: [10.0.1.0/28]}
  vda: {network: west, subnets: [10.0.2.0/24]}
"""
SITES = {"one": ONE, "two": TWO}
# Files that no target may do without.
WITH_RULES = {
    "aws": "security-groups.json",
    "azure": "network-security-groups.json",
    "bicep": "main.bicep",
    "terraform": "rules.tf",
}
CASES = [
    (target, cloud, networks) for target, clouds in TARGETS.items() for cloud in clouds for networks in SITES
]


class Checked:
    """A folder that a run wrote, and the command that checks it."""

    def __init__(self, place: Path, target: str, cloud: str, networks: str) -> None:
        self.deployment = place / "site.yaml"
        self.deployment.write_text(SITES[networks].replace("CLOUD", cloud))
        self.out = place / "out"
        self.target = target
        assert self.compile() == 0
        self.files: list[str] = json.loads((self.out / MANIFEST).read_text())["files"]
        shutil.copytree(self.out, place / "kept")

    def compile(self, *more: str) -> int:
        command = ["compile", str(self.deployment), "--target", self.target, "--out", str(self.out)]
        return cli.main([*command, *more])

    def is_unchanged_but_for(self, name: str) -> bool:
        """Tell whether all files but one are as they were written."""
        kept = self.out.parent / "kept"
        return all(
            (self.out / other).read_bytes() == (kept / other).read_bytes()
            for other in (*self.files, MANIFEST)
            if other != name
        )


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def checked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    return Checked(tmp_path_factory.mktemp("checked"), *request.param)


def test_all_targets_and_clouds_are_checked() -> None:
    assert {target for target, _, _ in CASES} == set(TARGETS) == set(WITH_RULES)
    assert len(CASES) == 2 * sum(map(len, TARGETS.values()))


def test_the_folder_is_as_it_should_be(checked: Checked, capsys: pytest.CaptureFixture[str]) -> None:
    assert [Path(name).name for name in checked.files].count(WITH_RULES[checked.target]) in (1, 2)
    assert checked.compile("--check") == 0
    assert capsys.readouterr() == ("", "")


SLIPS = ("gone", "longer", "empty", "other text", "not text", "a folder", "swapped")


# Every case with every slip; the fast suite has some of both, and not all pairs.
PAIRS = [
    pytest.param(
        case,
        slip,
        id="-".join((*case, slip.replace(" ", "-"))),
        marks=() if other == number % len(SLIPS) and number % 2 else pytest.mark.slow,
    )
    for number, case in enumerate(CASES)
    for other, slip in enumerate(SLIPS)
]


@pytest.mark.parametrize(("checked", "slip"), PAIRS, indirect=["checked"])
def test_a_slip_in_any_file_is_seen(checked: Checked, slip: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked.files
    for name in checked.files:
        path = checked.out / name
        content = path.read_bytes()
        path.unlink()
        match slip:
            case "longer":
                path.write_bytes(content + b"\n")
            case "empty":
                path.write_bytes(b"")
            case "other text":
                path.write_bytes(b"somebody's own")
            case "not text":
                path.write_bytes(b"\xff" + content)
            case "a folder":
                path.mkdir()
            case "swapped":  # the end comes before the beginning
                path.write_bytes(content[len(content) // 2 :] + content[: len(content) // 2])
        capsys.readouterr()
        code = checked.compile("--check")
        said = capsys.readouterr()
        # A file that the next run must read, to move nothing, is refused when it cannot be read.
        assert code in (1, 2), (name, said.err)
        assert said.out == ""
        assert name in said.err
        if slip == "gone":
            assert (code, said.err) == (1, f"{checked.out}: {name}: missing\n")
        elif slip == "longer":
            assert (code, said.err) == (1, f"{checked.out}: {name}: out of date\n")
        assert checked.is_unchanged_but_for(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(content)
    assert checked.compile("--check") == 0


def test_files_of_two_names_that_changed_places_are_seen(
    checked: Checked, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (checked.out / name for name in (checked.files[0], checked.files[-1]))
    contents = one.read_bytes(), two.read_bytes()
    assert contents[0] != contents[1]
    one.write_bytes(contents[1])
    two.write_bytes(contents[0])
    assert checked.compile("--check") in (1, 2)
    assert capsys.readouterr().err
    one.write_bytes(contents[0])
    two.write_bytes(contents[1])
    assert checked.compile("--check") == 0


def test_a_manifest_that_is_gone_is_seen(checked: Checked, capsys: pytest.CaptureFixture[str]) -> None:
    path = checked.out / MANIFEST
    content = path.read_bytes()
    path.unlink()
    assert checked.compile("--check") == 1
    assert f"{checked.out}: {MANIFEST}: missing\n" in capsys.readouterr().err
    path.write_bytes(b"{")
    assert checked.compile("--check") == 2
    assert f"{path}:1:" in capsys.readouterr().err
    path.write_bytes(content)
    assert checked.compile("--check") == 0


def test_a_file_that_is_no_longer_generated_is_seen(
    checked: Checked, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checked.out / MANIFEST
    content = path.read_bytes()
    manifest = json.loads(content)
    path.write_text(json.dumps({**manifest, "files": [*manifest["files"], "old.tf"]}))
    (checked.out / "old.tf").write_text("old")
    assert checked.compile("--check") == 1
    assert f"{checked.out}: old.tf: no longer generated\n" in capsys.readouterr().err
    (checked.out / "old.tf").unlink()
    path.write_bytes(content)
    assert checked.compile("--check") == 0
