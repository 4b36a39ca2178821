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


DATED = """
product: P
document: paper
section: S
entries:
  - id: moved
    source: web
    destination: app
    citations:
      - {document: paper, section: S, line: 4}
      - {document: paper, section: T, line: 5, since: "2027.04"}
    purpose: x
    services:
      - {protocol: tcp, ports: [514], until: "2027.04"}
      - {protocol: udp, ports: [514], since: "2027.04"}
  - id: by-default
    features: [changed]
    source: web
    destination: app
    line: 6
    purpose: x
    services: [{protocol: tcp, ports: [99]}]
"""
CHANGED = WORDS.replace(
    "  old: {description: d, default: true}\n",
    '  changed: {description: d, default: false, changed: {"2027.04": true}}\n'
    '  new: {description: d, default: true, since: "2027.04"}\n',
).replace('  new: {description: d, default: true, since: "2027.04"}\n', "", 1)


@pytest.mark.parametrize(
    ("edition", "said", "cited"),
    [
        ("2026.11", ["tcp 514"], ["paper, S L4"]),
        ("2027.04", ["tcp 99", "udp 514"], ["paper, S L4", "paper, T L5"]),
        (None, ["tcp 99", "udp 514"], ["paper, S L4", "paper, T L5"]),
    ],
)
def test_what_an_entry_says_and_a_default_may_change_with_an_edition(
    edition: str | None, said: list[str], cited: list[str]
) -> None:
    known = catalog(CHANGED, DATED)
    pinned = site(edition=edition)
    assert services(pinned, known) == said
    compilation = compile_deployment(pinned, known)
    assert services(pinned, compilation.catalog) == said
    moved = [flow.cause.citations for flow in compilation.resolution.flows if flow.cause.id == "moved"]
    assert moved == [tuple(cited)]


def test_a_pinned_deployment_has_the_same_digest_of_the_catalogue_after_a_change() -> None:
    without = DATED.replace(', until: "2027.04"', "").replace(
        '      - {protocol: udp, ports: [514], since: "2027.04"}\n', ""
    )
    without = without.replace('      - {document: paper, section: T, line: 5, since: "2027.04"}\n', "")
    before = catalog(CHANGED.replace(', changed: {"2027.04": true}', ""), without)
    after = catalog(CHANGED, DATED.replace("id: by-default", "erratum: Explained since\n    id: by-default"))
    assert before.decisive_json("2026.11") == after.decisive_json("2026.11")
    assert before.decisive_json("2027.04") != after.decisive_json("2027.04")
    other = catalog(CHANGED, DATED.replace("ports: [99]", "ports: [98]"))
    assert after.decisive_json("2026.11") != other.decisive_json("2026.11")


@pytest.mark.parametrize(
    ("words", "entries", "code"),
    [
        (CHANGED.replace('changed: {"2027.04"', 'changed: {"2027.05"'), DATED, "unknown-edition"),
        (CHANGED, DATED.replace('until: "2027.04"', 'until: "2027.05"'), "unknown-edition"),
        (CHANGED, DATED.replace('line: 5, since: "2027.04"', 'line: 5, since: "2027.05"'), "unknown-edition"),
        (CHANGED, DATED.replace('until: "2027.04"', 'until: "2026.11"'), "invalid-value"),
        (CHANGED.replace("lines: 99", "lines: 99, read: 2026-02-30"), DATED, "invalid-value"),
        (CHANGED.replace("lines: 99", "lines: 99, read: tomorrow"), DATED, "invalid-value"),
        (CHANGED, DATED.replace("purpose: x", "names: ['not a name']\n    purpose: x", 1), "invalid-value"),
        (
            CHANGED,
            DATED.replace("purpose: x", "regional: {mars: []}\n    purpose: x", 1),
            "unknown-region",
        ),
        (CHANGED + "regions:\n  eu: {title: EU}\n  eu: {title: EU}\n", DATED, "duplicate-key"),
    ],
)
def test_a_change_that_cannot_be_is_refused(words: str, entries: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        catalog(words, entries)
    assert code in {problem.code for problem in caught.value.problems} <= {code, "unknown-document"}
    assert all(problem.mark for problem in caught.value.problems)


REGIONS = """
regions:
  eu: {title: Europe}
  us: {title: America}
roles:
  far: {title: Far, description: d, kind: name}
"""
NAMED = """
product: P
document: paper
section: S
entries:
  - id: named
    source: web
    destination: far
    line: 1
    purpose: x
    treatment: name
    reason: By name
    names: [all.example]
    regional: {eu: [eu.example], us: [us.example, all.example]}
    services: [{protocol: tcp, ports: [443]}]
"""


@pytest.mark.parametrize(
    ("region", "names"),
    [
        (None, ("all.example", "eu.example", "us.example")),
        ("eu", ("all.example", "eu.example")),
        ("us", ("all.example", "us.example")),
    ],
)
def test_a_region_has_names_of_its_own(region: str | None, names: tuple[str, ...]) -> None:
    words = WORDS.replace("roles:\n", REGIONS.strip("\n") + "\n", 1)
    known = catalog(words, NAMED)
    (item,) = resolve(site(citrix_cloud_region=region), known).named
    assert item.names == names


def test_a_region_that_nobody_knows_is_refused() -> None:
    known = catalog(WORDS.replace("roles:\n", REGIONS.strip("\n") + "\n", 1), NAMED)
    with pytest.raises(InputError) as caught:
        resolve(site(citrix_cloud_region="mars"), known)
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("unknown-region", ("citrix-cloud-region",))
