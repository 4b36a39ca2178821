"""An edition pins the catalogue and its defaults: a newer release opens nothing that was not there before."""

from __future__ import annotations

from typing import Any

import pytest

from citrix_netpolicy import Catalog, Deployment, InputError, compile_deployment, render
from citrix_netpolicy.inputs.catalog import compose_catalog
from citrix_netpolicy.omissions import NewerEdition
from citrix_netpolicy.resolve import resolve
from citrix_netpolicy.syntax import document

WORDS = """
documents: {paper: {title: Paper, publisher: Nobody, lines: 99}}
editions:
  "2026.11": {description: the first}
  "2027.04": {description: a later one}
roles:
  web: {title: Web, description: d, kind: host}
  app: {title: App, description: d, kind: host}
features:
  old: {description: d, default: true}
  new: {description: d, default: true, since: "2027.04"}
"""
ENTRIES = """
product: P
document: paper
section: S
entries:
  - {id: first, source: web, destination: app, line: 1, purpose: x, services: [{protocol: tcp, ports: [80]}]}
  - {id: later, since: "2027.04", source: web, destination: app, line: 2, purpose: x,
     services: [{protocol: tcp, ports: [81]}]}
  - {id: switched, features: [new], source: web, destination: app, line: 3, purpose: x,
     services: [{protocol: tcp, ports: [82]}]}
"""


def catalog(words: str = WORDS, entries: str = ENTRIES) -> Catalog:
    texts = {"words.yaml": words, "entries.yaml": entries}
    return compose_catalog([document.parse(text.encode(), name) for name, text in texts.items()])


def site(**more: Any) -> Deployment:
    tiers = {"web": ["10.0.0.0/24"], "app": ["10.0.1.0/24"]}
    return Deployment(name="site", cloud="aws", tiers=tiers, **more)


def services(deployment: Deployment, known: Catalog) -> list[str]:
    return sorted(str(flow.services) for flow in resolve(deployment, known).flows)


def test_without_an_edition_everything_counts() -> None:
    assert services(site(), catalog()) == ["tcp 80", "tcp 81", "tcp 82"]
    assert services(site(edition="2027.04"), catalog()) == ["tcp 80", "tcp 81", "tcp 82"]


def test_an_edition_leaves_out_what_came_later_and_says_so() -> None:
    pinned = site(edition="2026.11")
    assert services(pinned, catalog()) == ["tcp 80"]
    assert NewerEdition("later", "2027.04") in resolve(pinned, catalog()).omissions


def test_a_release_that_adds_entries_changes_no_byte_of_a_pinned_deployment() -> None:
    before = catalog(
        WORDS.replace('  "2027.04": {description: a later one}\n', "").replace(
            '  new: {description: d, default: true, since: "2027.04"}\n', ""
        ),
        ENTRIES[: ENTRIES.index("  - {id: later")],
    )
    pinned = site(edition="2026.11")
    for target in ("terraform", "aws"):
        files = [render(compile_deployment(pinned, known), target).files for known in (before, catalog())]
        assert files[0] == files[1]


@pytest.mark.parametrize(
    ("more", "code", "path"),
    [
        ({"edition": "2027.05"}, "unknown-edition", ("edition",)),
        ({"edition": "2026.11", "features": {"new": True}}, "newer-edition", ("features", "new")),
    ],
)
def test_what_an_edition_does_not_have_is_refused(
    more: dict[str, Any], code: str, path: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        resolve(site(**more), catalog())
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == (code, path)
    assert problem.hint


@pytest.mark.parametrize("edition", [2026.11, 202611, "2026-11", "2026.13", "26.11", "latest", True])
def test_an_edition_is_a_year_and_a_month(edition: object) -> None:
    with pytest.raises(InputError) as caught:
        site(edition=edition)
    assert [problem.path for problem in caught.value.problems] == [("edition",)]


def test_an_entry_of_an_edition_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        catalog(entries=ENTRIES.replace("2027.04", "2028.01"))
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("unknown-edition", ("entries", 1, "since"))


def test_yaml_needs_no_quotes_around_an_edition() -> None:
    text = "name: site\ncloud: aws\nedition: 2026.10\ntiers: {web: [10.0.0.0/24]}\n"
    deployment = Deployment.from_document(document.parse(text.encode(), "site.yaml"))
    assert deployment.edition == "2026.10"
