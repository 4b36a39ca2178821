"""`catalog diff`: what differs between two states of the catalogue, and what becomes of a deployment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from citrix_netpolicy import Catalog, Deployment, InputError, cli, compile_deployment
from citrix_netpolicy.inputs.catalog import compose_catalog, load_catalog, load_state
from citrix_netpolicy.reports.catalog import EXPORTS
from citrix_netpolicy.reports.catalog_diff import CatalogDiff, diff_catalogs, diff_deployment
from citrix_netpolicy.syntax import document

ROOT = Path(__file__).parent.parent
WORDS = """
documents:
  paper: {title: Paper, publisher: Nobody, lines: 99}
  page: {title: Page, publisher: Nobody}
roles:
  web: {title: Web, description: d, kind: host}
  app: {title: App, description: d, kind: host}
  far: {title: Far, description: d, kind: name}
features:
  old: {description: d, default: true}
parameters:
  port: {description: d, protocol: tcp}
bundles:
  both: {description: d, entries: [first]}
regions:
  eu: {title: Europe}
product: P
document: paper
section: S
entries:
  - id: first
    source: web
    destination: app
    line: 1
    purpose: x
    services: [{protocol: tcp, ports: [80]}]
  - id: second
    source: app
    destination: far
    line: 2
    purpose: x
    treatment: name
    reason: By name
    names: [one.example]
    services: [{protocol: tcp, ports: [443], parameter: port, features: [old]}]
"""


def state(*changes: tuple[str, str]) -> Catalog:
    text = WORDS
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return compose_catalog([document.parse(text.encode(), "words.yaml")]).as_of(None)


PAPER, PAGE = "{document: paper, section: S, line: 1}", "{document: page, section: T}"
UDP = "  other: {description: d, protocol: udp}"
SECOND = WORDS[WORDS.index("  - id: second") :]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("ports: [80]", "ports: [81]"), "changed entry first: services tcp 80 -> tcp 81 (paper, S L1)"),
        (
            ("ports: [80]}]", "ports: [80]}, {protocol: udp, ports: [80], features: [old]}]"),
            "changed entry first: services tcp 80 -> tcp 80 + udp 80 (with old) (paper, S L1)",
        ),
        (
            ("source: web\n    destination: app", "source: app\n    destination: web"),
            "changed entry first: source web -> app; destination app -> web (paper, S L1)",
        ),
        (
            ("line: 1\n", f"citations: [{PAPER}, {PAGE}]\n    reach: site\n"),
            "changed entry first: reach zone -> site (page, T)",
        ),
        (
            ("line: 1\n", "line: 1\n    features: [old]\n"),
            "changed entry first: features none -> old (paper, S L1)",
        ),
        (
            ("one.example", "two.example"),
            "changed entry second: names one.example -> two.example (paper, S L2)",
        ),
        (
            ("names: [one.example]", "names: [one.example]\n    regional: {eu: [eu.example]}"),
            "changed entry second: regional none -> eu: eu.example (paper, S L2)",
        ),
        (
            ("treatment: name", "treatment: tunnel"),
            "changed entry second: treatment name -> tunnel (paper, S L2)",
        ),
        (
            ("line: 1\n", "line: 1\n    internet: true\n"),
            "changed entry first: internet no -> yes (paper, S L1)",
        ),
        (
            (SECOND, ""),
            "removed entry second: app to far, tcp 443 (parameter port, with old) [name] (paper, S L2)",
        ),
        (
            ("parameters:", "  new: {description: d, default: true, roles: [app]}\nparameters:"),
            "added feature new: on by default with app",
        ),
        (("default: true", "default: false"), "changed feature old: default on -> off"),
        (
            ("default: true}", "default: true, clouds: [aws]}"),
            "changed feature old: clouds none -> aws",
        ),
        (
            ("features:\n  old", "  more: {title: M, description: d, kind: host}\nfeatures:\n  old"),
            "added role more",
        ),
        (
            ("description: d, protocol: tcp}", f"description: d, protocol: tcp}}\n{UDP}"),
            "added parameter other",
        ),
        (
            ("entries: [first]", "entries: [first, second]"),
            "changed bundle both: entries first -> first, second",
        ),
    ],
)  # fmt: skip
def test_a_change_of_meaning_is_told_with_who_says_so(change: tuple[str, str], told: str) -> None:
    assert [str(one) for one in diff_catalogs(state(), state(change))] == [told]
    back = diff_catalogs(state(change), state())
    assert len(back) == 1
    how = {"added": "removed", "removed": "added"}.get(told.split(maxsplit=1)[0], "changed")
    assert (back[0].how, back[0].name) == (how, told.split()[2].rstrip(":"))


@pytest.mark.parametrize(
    "change",
    [
        ("purpose: x\n    services", "purpose: y\n    services"),
        ("ports: [80]", "ports: 80"),
        ("reason: By name", "reason: Said otherwise"),
        ("title: Web, description: d", "title: Web server, description: e"),
        ("line: 1\n", "lines: [1, 3]\n    erratum: Explained\n"),
        ("ports: [80]", "ports: [80-80, 80]"),
    ],
)  # fmt: skip
def test_what_is_for_readers_is_no_change(change: tuple[str, str]) -> None:
    assert diff_catalogs(state(), state(change)) == ()


# Where states come from


def test_an_export_a_folder_and_an_edition_are_the_same_state(tmp_path: Path) -> None:
    newest = load_catalog().newest_edition
    export = tmp_path / "release.json"
    export.write_text(EXPORTS["full"](load_catalog()), encoding="utf-8")
    for name in (str(export), str(ROOT / "catalog")):
        assert diff_catalogs(load_state(name), load_state(newest)) == ()
        assert diff_catalogs(load_state(newest), load_state(name)) == ()


def test_what_an_edition_was_can_be_exported_and_read(tmp_path: Path) -> None:
    first = load_state("2026.11")
    export = tmp_path / "first.json"
    export.write_text(EXPORTS["full"](first), encoding="utf-8")
    assert diff_catalogs(load_state(str(export)), first) == ()
    assert diff_catalogs(first, load_state(load_catalog().newest_edition))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["catalog", "diff", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_no_difference_is_0_and_a_difference_1(capsys: pytest.CaptureFixture[str]) -> None:
    newest = load_catalog().newest_edition
    assert run(capsys, newest) == (0, "", "")
    code, out, err = run(capsys, "2026.11", newest)
    assert (code, err) == (1, "")
    assert "changed entry xenserver-syslog: services tcp 514 -> udp 514 (xenserver-8-ports, Syslog)\n" in out
    assert run(capsys, "2026.11") == (code, out, err)
    data = json.loads(run(capsys, "2026.11", "--format", "json")[1])
    assert data["version"] == 1
    assert len(data["changes"]) == len(out.splitlines())
    (syslog,) = (one for one in data["changes"] if one["name"] == "xenserver-syslog")
    assert syslog == {
        "what": "entry",
        "how": "changed",
        "name": "xenserver-syslog",
        "details": ["services tcp 514 -> udp 514"],
        "cited": ["xenserver-8-ports, Syslog"],
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("2026.10", None, "error: unknown edition `2026.10` (help: did you mean `2026.12`?)\n"),
        ("absent.json", None, "absent.json:1:1: cannot read the file: No such file or directory"),
        ("broken.json", "{", "broken.json:1:2: "),
        ("list.json", "[]", "list.json:1:1: this is not a catalogue file"),
        ("other.json", '{"version": 1}', "other.json:1:1: this is not a catalogue file"),
        ("lossy.json", None, "lossy.json:"),
        ("folder", None, "there is no catalogue file in `"),
        (
            "roles.json",
            '{"roles": {"web": {"title": "W"}}}',
            "roles.json:1:12: roles.web: `description`",
        ),
    ],
)
def test_what_is_no_state_is_refused(
    capsys: pytest.CaptureFixture[str], here: Path, name: str, content: str | None, said: str
) -> None:
    if name == "folder":
        (here / name).mkdir()
    if name == "lossy.json":
        content = EXPORTS["json"](load_catalog())
    if content is not None:
        (here / name).write_text(content, encoding="utf-8")
    code, out, err = run(capsys, name)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


# What becomes of deployments

EXAMPLES = sorted((ROOT / "examples/terraform").glob("*/deployment.yaml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_the_lines_of_a_deployment_are_the_rules_that_come_and_go(file: Path) -> None:
    deployment = Deployment.load(file)
    states = [load_state(edition) for edition in ("2026.11", load_catalog().newest_edition)]
    sets = [
        {
            (group.network, group.tier, str(rule.direction), str(rule.peer), rule.service)
            for group in compile_deployment(deployment.replace(edition=edition)).policy.groups
            for rule in group.rules
        }
        for edition in ("2026.11", None)
    ]
    lines = [line for line in diff_deployment(deployment, "x", *states).lines if ", by name (" not in line]
    assert sum(line.startswith("+ ") for line in lines) == len(sets[1] - sets[0])
    assert sum(line.startswith("- ") for line in lines) == len(sets[0] - sets[1])
    assert all(line.endswith(")") for line in lines), "each says why"


def test_a_deployment_is_told_with_the_citation_that_changes_it(capsys: pytest.CaptureFixture[str]) -> None:
    file = ROOT / "examples/terraform/classic/deployment.yaml"
    code, out, _ = run(capsys, "2026.11", "--deployment", file)
    assert code == 1
    head, *lines = out[out.index("deployment ") :].splitlines()
    assert head == f"deployment {file}: {len(lines)} changes"
    cited = "pvs-target-control: citrix-communication-ports, Provisioning Services L217"
    assert f"  + main/pvs: udp 6905 to vda ({cited})" in lines
    activation = "  + main/license-server: tcp 443 to las.cloud.com, by name (license-activation"
    assert any(line.startswith(activation) for line in lines)


OWN = """
documents: {runbook: {title: Runbook, publisher: Us}}
product: Ours
document: runbook
section: Ports
entries:
  - id: own-metrics
    citations: [{document: runbook, section: Ports}]
    source: admin-workstation
    destination: vda
    purpose: Metrics
    services: [{protocol: tcp, ports: [9182]}]
"""


def test_own_catalogues_of_a_deployment_come_on_top_of_each_state(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN, encoding="utf-8")
    (tmp_path / "site.yaml").write_text(
        "name: site\ncloud: aws\ncatalogs: [own.yaml]\ntiers: {vda: [10.0.0.0/24], ddc: [10.0.1.0/28]}\n"
        "external: {admin-workstation: [10.9.0.0/24]}\nfeatures: {}\n",
        encoding="utf-8",
    )
    deployment = Deployment.load(tmp_path / "site.yaml")
    states = [load_state(edition, *deployment.catalog_files()) for edition in ("2026.11", "2026.12")]
    assert all(one.entry("own-metrics") for one in states)
    assert diff_deployment(deployment, "site", *states).lines == ()


def test_a_deployment_that_an_old_state_does_not_know_is_refused_with_that_state() -> None:
    site: dict[str, Any] = {"name": "site", "cloud": "aws", "tiers": {"vda": ["10.0.0.0/24"]}}
    deployment = Deployment(**site, features={"uberagent": True})
    with pytest.raises(InputError) as caught:
        diff_deployment(deployment, "site", load_state("2026.11"), load_state("2026.12"))
    (problem,) = caught.value.problems
    assert problem.code == "unknown-feature"
    assert problem.message == "with the old state of the catalogue: unknown feature `uberagent`"


def test_a_deployment_that_stays_as_it_is_says_so() -> None:
    site: dict[str, Any] = {"name": "site", "cloud": "aws", "tiers": {"vda": ["10.0.0.0/24"]}}
    same = diff_deployment(Deployment(**site), "site", load_state("2026.11"), load_state("2026.12"))
    assert list(CatalogDiff((), (same,)).lines()) == ["deployment site: 0 changes"]
