"""Catalogue files of a site's own: the same format, and nothing of the shipped catalogue is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from citrix_netpolicy import Deployment, InputError, compile_deployment

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
            "our-apps.yaml:9:5: entries[0]: an enforced entry needs ports",
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
    with pytest.raises(InputError, match=r"our-apps\.yaml:1:1: cannot read the file: No such file"):
        compile_deployment(Deployment.load(tmp_path / "site.yaml"))
