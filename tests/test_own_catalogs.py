"""Catalogue files of a site's own: the same format, and nothing of the shipped catalogue is replaced."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from citrix_netpolicy import Deployment, InputError, compile_deployment
from citrix_netpolicy.errors import show_path
from citrix_netpolicy.inputs.catalog import checked_text, load_catalog, load_state

if TYPE_CHECKING:
    from pathlib import Path

SITE = """
name: site
cloud: aws
catalogs: [apps/our-apps.yaml]
tiers:
  vda: [10.0.0.0/24]
  billing: [10.0.1.0/28]
"""
OURS = """
documents: {wiki: {title: Our wiki, publisher: Us}}
roles:
  billing: {title: Billing, description: The billing service., kind: host}
product: Billing
document: wiki
section: Ports
entries:
  - id: vda-billing
    citations: [{document: wiki, section: Ports}]
    source: [vda]
    destination: [billing]
    services: [{protocol: tcp, ports: [9443]}]
    purpose: Session hosts to billing
"""


def compile_with(folder: Path, ours: str) -> list[str]:
    (folder / "apps").mkdir()
    (folder / "apps" / "our-apps.yaml").write_text(ours)
    (folder / "site.yaml").write_text(SITE)
    compilation = compile_deployment(Deployment.load(folder / "site.yaml"))
    return [f"{flow.source} to {flow.destination}: {flow.services}" for flow in compilation.resolution.flows]


def test_own_entries_and_roles_join_the_shipped_ones(tmp_path: Path) -> None:
    assert compile_with(tmp_path, OURS) == ["vda to billing: tcp 9443"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "id: vda-billing",
            "id: ddc-vda",
            "our-apps.yaml:9:5: entries[0].id: `ddc-vda` is already used by the entry at catalog/",
        ),
        (
            "  billing: {title",
            "  vda: {title",
            "our-apps.yaml:4:3: roles.vda: `vda` is already defined in `roles`",
        ),
        ("source: [vda]", "source: [vdaa]", "our-apps.yaml:11:5: entries[0].source: unknown role `vdaa`"),
        (
            "ports: [9443]",
            "ports: [9443-9440]",
            "our-apps.yaml:13:40: entries[0].services[0].ports[0]: port range",
        ),
        (
            "ports: [9443]",
            "prots: [9443]",
            "our-apps.yaml:13:32: entries[0].services[0].prots: unknown key `prots`",
        ),
        (
            "services: [{protocol: tcp, ports: [9443]}]",
            "services: [{protocol: tcp}]",
            "our-apps.yaml:9:5: entries[0]: an enforced tcp service needs ports",
        ),
        ("entries:", "entrees:", "our-apps.yaml:8:1: entrees: unknown key `entrees`"),
        (
            "wiki, section: Ports}]",
            "wiki, section: Ports, line: 3}]",
            "our-apps.yaml:9:5: entries[0]: line 3 is outside",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in OURS
    with pytest.raises(InputError) as caught:
        compile_with(tmp_path, OURS.replace(old, new))
    told = [str(problem).replace(f"{tmp_path}/apps/", "") for problem in caught.value.problems]
    assert any(line.startswith(message) for line in told), told


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    with pytest.raises(
        InputError, match=r"site\.yaml:4:12: catalogs\[0\]: cannot read the file: No such file"
    ):
        compile_deployment(Deployment.load(tmp_path / "site.yaml"))


SECRET = "hunter2"


@pytest.mark.parametrize(
    "content",
    [
        f"root:{SECRET}:19000:0",
        f"password: {SECRET}\npassword: {SECRET}",
        f"password: [{SECRET}",
        f"{SECRET}: {{",
        f"a: *{SECRET}",
        f"a: !{SECRET} b",
        f"{SECRET}\n---\n{SECRET}",
        f"- {SECRET}",
        f"{SECRET}: entries",
        f"\t{SECRET}",
        f"[{SECRET}]: 1",
        "[" * 60 + SECRET,
        f"{SECRET}\x07",
        f"% {SECRET}",
        "",
    ],
)
def test_nothing_of_a_file_that_is_no_catalogue_is_quoted(content: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        compile_with(tmp_path, content)
    said = [f"{problem} {problem.path}" for problem in caught.value.problems]
    assert SECRET not in str(said)


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../ours.yaml", "a/../../ours.yaml", "..", "", "C:/x", "..\\x", "a\0b"]
)
def test_a_catalogue_stays_below_the_folder_of_the_deployment(name: str) -> None:
    with pytest.raises(InputError) as caught:
        Deployment(name="site", cloud="aws", tiers={"vda": ["10.0.0.0/24"]}, catalogs=[name])
    assert [(problem.code, problem.path) for problem in caught.value.problems] == [
        ("outside", ("catalogs", 0))
    ]


@pytest.mark.parametrize("place", ["apps", "apps/our-apps.yaml"])
def test_no_link_leads_a_catalogue_out(place: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "site.yaml").write_text(SITE)
    (tmp_path / "our-apps.yaml").write_text(f"root:{SECRET}")
    if place == "apps":
        (site / "apps").symlink_to(tmp_path)
    else:
        (site / "apps").mkdir()
        (site / place).symlink_to(tmp_path / "our-apps.yaml")
    with pytest.raises(InputError) as caught:
        compile_deployment(Deployment.load(site / "site.yaml"))
    (problem,) = caught.value.problems
    assert problem.code == "outside"
    assert str(problem).startswith(f"{site / 'site.yaml'}:4:12: catalogs[0]: ")


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text(OURS)
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "our-apps.yaml").symlink_to(tmp_path / "real.yaml")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "site.yaml").write_text(SITE)
    (tmp_path / "site.yaml").symlink_to(tmp_path / "data" / "site.yaml")
    assert compile_deployment(Deployment.load(tmp_path / "site.yaml")).policy.rule_count > 0


def test_a_deployment_that_is_a_link_out_of_its_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"root:{SECRET}\n")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "site.yaml").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError) as caught:
        Deployment.load(tmp_path / "site" / "site.yaml")
    assert [problem.code for problem in caught.value.problems] == ["link"]
    assert SECRET not in str(caught.value)


# What would be read and never give a rule, or one that nobody meant.
BEYOND = {
    "no source": ("source: [vda]", "source: []", "entries[0].source: expected at least one role"),
    "no destination": (
        "destination: [billing]",
        "destination: []",
        "entries[0].destination: expected at least",
    ),
    "a role twice": ("source: [vda]", "source: [vda, vda]", "entries[0].source: a role is listed twice"),
    "a name without services": (
        "services: [{protocol: tcp, ports: [9443]}]",
        "treatment: name\n    reason: by name",
        "entries[0]: treatment `name` needs services",
    ),
    "a parameter of another protocol": (
        "{protocol: tcp, ports: [9443]}",
        "{protocol: udp, parameter: xml-service-port}",
        "entries[0].services[0]: parameter `xml-service-port` moves tcp ports",
    ),
    "features that never hold": (
        "source: [vda]",
        "features: [edt, '!edt']\n    source: [vda]",
        "entries[0]: `edt` and `!edt` never hold at once",
    ),
    "a service that never holds": (
        "{protocol: tcp, ports: [9443]}",
        "{protocol: tcp, ports: [9443], features: [edt, '!edt']}",
        "entries[0]: `edt` and `!edt` never hold at once",
    ),
    "a service that never holds in its entry": (
        "source: [vda]\n    destination: [billing]\n    services: [{protocol: tcp, ports: [9443]}]",
        "features: edt\n    source: [vda]\n    destination: [billing]\n"
        "    services: [{protocol: tcp, ports: [9443], features: '!edt'}]",
        "entries[0]: `edt` and `!edt` never hold at once",
    ),
    "a blank purpose": (
        "purpose: Session hosts to billing",
        "purpose: ' '",
        "entries[0].purpose: a purpose must",
    ),
    "a blank reason": (
        "purpose: Session hosts to billing",
        "purpose: Session hosts\n    treatment: loopback\n    reason: ' '",
        "entries[0]: treatment `loopback` needs a reason",
    ),
    "a wildcard in itself": (
        "product: Billing",
        "  all: {title: All, description: All., kind: wildcard, members: [all, vda]}\nproduct: Billing",
        "roles.all: `all` is a wildcard, and cannot be a member of one",
    ),
    "a stand-in for itself": (
        "kind: host}",
        "kind: host, stands-in-for: {role: billing, feature: edt}}",
        "roles.billing: `billing` cannot stand in for itself",
    ),
    "a feature against itself": (
        "product: Billing",
        "features: {ours: {description: Ours., default: false, conflicts: ours}}\nproduct: Billing",
        "features.ours: `ours` conflicts with `ours`",
    ),
    "a feature against what it requires": (
        "product: Billing",
        "features:\n  ours: {description: Ours., default: false, requires: edt, conflicts: edt}\n"
        "product: Billing",
        "features.ours: `ours` conflicts with `edt`",
    ),
}


@pytest.mark.parametrize("case", BEYOND)
def test_what_could_never_give_a_rule_is_refused(case: str, tmp_path: Path) -> None:
    old, new, message = BEYOND[case]
    assert old in OURS
    with pytest.raises(InputError) as caught:
        compile_with(tmp_path, OURS.replace(old, new))
    assert any(message in str(problem) for problem in caught.value.problems), str(caught.value)
    assert all(problem.mark for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("documents:\n  page: {title: T, publisher: P, read: 2999-01-01}\n", "documents.page.read", 2),
        (
            "documents: {page: {title: T, publisher: P}}\nentries:\n  - id: one\n    citations:\n"
            "      - {document: page, section: S, read: 2999-01-01}\n",
            "entries[0].citations[0].read",
            5,
        ),
    ],
)
def test_nobody_has_read_a_page_in_the_future(tmp_path: Path, text: str, path: str, line: int) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(text, encoding="utf-8")
    for load in (load_catalog, lambda one: load_state(str(one))):
        with pytest.raises(InputError) as caught:
            load(file)
        (problem,) = caught.value.problems
        assert (problem.message, show_path(problem.path)) == ("2999-01-01 is in the future", path)
        assert problem.mark
        assert problem.mark.line == line


def test_what_is_shipped_is_read_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Earlier(date):
        @classmethod
        def today(cls) -> Earlier:
            return cls(1980, 1, 1)

    monkeypatch.setattr("citrix_netpolicy.inputs.catalog.date", Earlier)
    assert checked_text()
    today = date.today().isoformat()
    assert all((known.read or "") <= today for known in load_catalog().documents.values())
