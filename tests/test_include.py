"""Files that deployments share: what they say is a part of each, and messages name the file that said it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from citrix_netpolicy import Deployment, InputError, compile_deployment, limits

if TYPE_CHECKING:
    from pathlib import Path

SITE = """\
name: site
include: [shared/directory.yaml, shared/people.yaml]
cloud: aws
tiers: {ddc: [10.0.1.0/28], vda: [10.0.2.0/24]}
external: {sql: [10.9.0.20]}
features: {html5: true}
"""
DIRECTORY = "external: {directory: {roles: [domain-controller, dns], addresses: [10.9.0.10]}}\n"
PEOPLE = """\
include: flows.yaml
external:
  office: {roles: [user-device], addresses: [10.8.0.0/16], features: {direct-hdx: true}}
features: {edt: false}
quotas: {rules-per-group: 100}
"""
FLOWS = """\
flows:
  shell: {source: office, destination: ddc, services: {protocol: tcp, ports: 22}, reason: Shell}
"""


def _files(folder: Path, **changes: str) -> Path:
    texts = {
        "site": SITE,
        "shared/directory": DIRECTORY,
        "shared/people": PEOPLE,
        "shared/flows": FLOWS,
        **changes,
    }
    for name, text in texts.items():
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "site.yaml"


def test_what_is_included_is_a_part_of_the_deployment(tmp_path: Path) -> None:
    deployment = Deployment.load(_files(tmp_path))
    assert set(deployment.external) == {"sql", "directory", "office"}
    assert deployment.features == {"html5": True, "edt": False}
    assert deployment.quotas.rules_per_group == 100
    whole = Deployment(
        name="site",
        cloud="aws",
        tiers={"ddc": ["10.0.1.0/28"], "vda": ["10.0.2.0/24"]},
        external={
            "sql": ["10.9.0.20"],
            "directory": {"roles": ["domain-controller", "dns"], "addresses": ["10.9.0.10"]},
            "office": {
                "roles": ["user-device"],
                "addresses": ["10.8.0.0/16"],
                "features": {"direct-hdx": True},
            },
        },
        features={"html5": True, "edt": False},
        quotas={"rules-per-group": 100},
        flows={
            "shell": {
                "source": "office",
                "destination": "ddc",
                "services": {"protocol": "tcp", "ports": 22},
                "reason": "Shell",
            }
        },
    )
    assert deployment == whole
    assert compile_deployment(deployment).policy == compile_deployment(whole).policy


def test_causes_findings_and_problems_name_the_file_that_said_it(tmp_path: Path) -> None:
    flows = (
        FLOWS
        + "  idle: {source: office, destination: pvs, services: {protocol: tcp, ports: 1}, reason: No}\n"
    )
    compilation = compile_deployment(Deployment.load(_files(tmp_path, **{"shared/flows": flows})))
    (cause,) = {flow.cause for flow in compilation.resolution.flows if flow.cause.id == "flow:shell"}
    assert str(cause.mark) == f"{tmp_path / 'shared/flows.yaml'}:2:3"
    (finding,) = [finding for finding in compilation.findings if finding.code == "flow-without-effect"]
    assert str(finding.locations[0]) == f"{tmp_path / 'shared/flows.yaml'}:3:3"
    with pytest.raises(InputError) as caught:
        Deployment.load(_files(tmp_path, **{"shared/directory": DIRECTORY.replace("10.9.0.10", "10.9.0.1O")}))
    place = f"{tmp_path / 'shared/directory.yaml'}:1:69: external.directory.addresses[0]: "
    assert str(caught.value).startswith(place)


@pytest.mark.parametrize(
    ("changes", "place", "said"),
    [
        ({"site": SITE.replace("shared/p", "../p")}, "site.yaml:2:34", "is not a path below"),
        ({"site": SITE.replace("shared/people", "/etc/passwd")}, "site.yaml:2:34", "is not a path below"),
        ({"site": SITE.replace("shared/people", "absent")}, "site.yaml:2:34", "cannot read the file"),
        ({"site": SITE.replace("[shared/d", "[{a: b}, shared/d")}, "site.yaml:2:11", "expected text"),
        ({"shared/people": "include: [../site.yaml]\n"}, "shared/people.yaml:1:11", "includes itself"),
        ({"shared/flows": "include: people.yaml\n" + FLOWS}, "shared/flows.yaml:1:1", "includes itself"),
        ({"shared/people": "a: {b: 1, b: 2}\n"}, "shared/people.yaml:1:11", "duplicate key `b`"),
        (
            {"shared/people": PEOPLE.replace("office:", "directory:")},
            "shared/people.yaml:3:3",
            "`directory` is given twice, here and at {folder}/shared/directory.yaml:1:12",
        ),
        ({"shared/people": "cloud: aws\n"}, "shared/people.yaml:1:1", "here and at {folder}/site.yaml:3:1"),
        ({"shared/people": "name: x\n"}, "shared/people.yaml:1:1", "`name` is the deployment's own to say"),
        ({"shared/people": "- a\n"}, "shared/people.yaml:1:1", "expected a map at the top of an included"),
        ({"shared/people": "extrenal: {}\n"}, "shared/people.yaml:1:1", "unknown key `extrenal`"),
        ({"shared/people": "external: [a]\n"}, "shared/people.yaml:1:1", "given twice"),
    ],
)
def test_bad_includes_are_told_with_their_line(
    changes: dict[str, str], place: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        Deployment.load(_files(tmp_path, **changes))
    text = str(caught.value)
    assert said.replace("{folder}", str(tmp_path)) in text
    assert text.startswith(f"{tmp_path}/{place}: ")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("password: hunter2\n")
    site = _files(tmp_path / "site")
    (tmp_path / "site" / "shared" / "people.yaml").unlink()
    (tmp_path / "site" / "shared" / "people.yaml").symlink_to(tmp_path / "secret.yaml")
    with pytest.raises(InputError) as caught:
        Deployment.load(site)
    assert "is not a path below the folder" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_two_files_may_share_a_third(tmp_path: Path) -> None:
    site = _files(tmp_path, **{"shared/directory": "include: flows.yaml\n" + DIRECTORY})
    assert set(Deployment.load(site).flows) == {"shell"}


def test_included_files_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "INCLUDES", 2)
    with pytest.raises(InputError, match="more than the 2 included files"):
        Deployment.load(_files(tmp_path))
    monkeypatch.setattr(limits, "INCLUDES", 20)
    monkeypatch.setattr(limits, "CATALOG_BYTES", 64)
    with pytest.raises(InputError, match="in all"):
        Deployment.load(_files(tmp_path))
