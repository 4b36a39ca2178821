"""The catalogue command: listings that filter, and exports that hold everything."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from citrix_netpolicy import Catalog, cli
from citrix_netpolicy.inputs.catalog import compose_catalog
from citrix_netpolicy.reports.catalog import EXPORTS, entry_lines, review_lines, select
from citrix_netpolicy.syntax import document

CATALOG = Catalog.default()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["catalog", *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def ids(**filters: Any) -> set[str]:
    return {entry.id for entry in select(CATALOG, **filters)}


def test_filters_by_product_in_any_case_and_by_part() -> None:
    found = ids(product="provisioning serv")
    assert found == {entry.id for entry in CATALOG.entries if entry.product == "Provisioning Services"}
    assert found


def test_filters_by_role_through_wildcards() -> None:
    assert {"license-request", "ddc-sql", "storefront-xml"} <= ids(role="ddc")
    assert "pvs-sql" not in ids(role="ddc")


def test_filters_by_feature_whether_it_must_be_on_or_off() -> None:
    assert {"gateway-hdx-tls", "gateway-hdx-ica"} <= ids(feature="tls-to-vda")
    # A feature may switch a single service of an entry.
    assert "gateway-storefront" in ids(feature="plaintext-storefront")


def test_filters_by_a_port_inside_a_range() -> None:
    assert "pvs-target-streaming" in ids(port=6915)
    assert "pvs-target-streaming" not in ids(port=6931)


def test_filters_add_up() -> None:
    assert ids(role="vda", port=1494, product="Citrix Gateway") == {"gateway-hdx-ica"}


def test_list_prints_a_line_for_each_entry(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "list", "--port", "9095")
    assert (code, err) == (0, "")
    assert out == "ddc-peer-orchestration: ddc to ddc: tcp 9095\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--role", "dcd"], "error: unknown role `dcd` (help: did you mean `ddc`?)\n"),
        (["list", "--feature", "etd"], "error: unknown feature `etd` (help: did you mean `edt`?)\n"),
        (["show", "ddc-sq"], "error: the catalogue has no entry `ddc-sq` (help: did you mean `ddc-sql`?)\n"),
    ],
)
def test_words_that_are_not_there_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(capsys, *arguments) == (2, "", said)


def test_show_tells_citation_and_erratum(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "show", "ddc-sql-browser")
    assert code == 0
    title = CATALOG.documents["citrix-communication-ports"].title
    assert f"  cited        {title}: Citrix Virtual Apps and Desktops, line 178 (read 20" in out
    assert "  as written   DDC Controller | Microsoft SQL Server | TCP | 1434\n" in out
    assert "  erratum      " in out


@pytest.mark.parametrize("entry", CATALOG.entries, ids=lambda entry: entry.id)
def test_every_entry_can_be_shown(entry: Any) -> None:
    text = "\n".join(entry_lines(CATALOG, entry))
    assert entry.purpose in text
    assert entry.reason in text
    assert entry.erratum in text


@pytest.mark.parametrize(("what", "count"), [("roles", CATALOG.roles), ("features", CATALOG.features)])
def test_words_are_listed_with_their_description(
    capsys: pytest.CaptureFixture[str], what: str, count: dict[str, Any]
) -> None:
    code, out, _ = run(capsys, what)
    assert code == 0
    assert len(out.splitlines()) == len(count)
    assert all(word.description in out for word in count.values())


def test_a_default_that_hangs_on_a_role_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\npvs [on with pvs]: " in run(capsys, "features")[1]


def test_the_json_has_the_shape_that_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "export", "--format", "json")
    document = json.loads(out)
    assert code == 0
    assert document["version"] == 1
    assert [entry["id"] for entry in document["entries"]] == [entry.id for entry in CATALOG.entries]
    keys = "id product source destination services features treatment reason evidence citation"
    for entry in document["entries"]:
        assert {*keys.split(), "as_written", "purpose"} <= set(entry)
        assert set(entry["citation"]) == {"document", "section", "line"}
        assert all(set(citation) == set(entry["citation"]) for citation in entry.get("citations", ()))
        for service in entry["services"]:
            assert all(first <= last for first, last in service["ports"])
    (sync,) = (entry for entry in document["entries"] if entry["id"] == "adc-ha-file-sync")
    assert sync["services"] == [{"protocol": "tcp", "ports": [[22, 22]]}]
    section = {"document": "citrix-communication-ports", "section": "Citrix ADC", "line": 14}
    assert sync["citation"] == section
    assert "citations" not in sync


def test_an_entry_for_several_lines_lists_its_citations() -> None:
    document = json.loads(EXPORTS["json"](CATALOG))
    several = {entry["id"]: entry["citations"] for entry in document["entries"] if "citations" in entry}
    lines = [citation["line"] for citation in several["cloud-connector-digicert-http"]]
    assert {57, 58} <= set(lines)


def test_the_csv_has_a_row_for_each_entry() -> None:
    rows = list(csv.DictReader(io.StringIO(EXPORTS["csv"](CATALOG))))
    assert [row["id"] for row in rows] == [entry.id for entry in CATALOG.entries]
    (row,) = (row for row in rows if row["id"] == "ddc-sql-browser")
    assert row["citations"] == "citrix-communication-ports, Citrix Virtual Apps and Desktops L178"
    assert (row["source"], row["destination"], row["services"]) == ("ddc", "sql", "udp 1434")


def test_every_erratum_is_in_the_errata() -> None:
    text = EXPORTS["errata"](CATALOG)
    told = [entry.id for entry in CATALOG.entries if entry.erratum]
    assert told
    assert all(f"| {id_} |" in text for id_ in told)


def test_every_word_is_in_the_document() -> None:
    text = EXPORTS["markdown"](CATALOG)
    for name in (*CATALOG.features, *CATALOG.parameters, *(entry.id for entry in CATALOG.entries)):
        assert f"| {name} |" in text


@pytest.mark.parametrize("port", ["0", "65536", "\u0661\u0664\u0669\u0664", "-1", "1e3", "443 ", "9" * 9999])
def test_what_is_no_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog", "list", f"--port={port}"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "is not a port between 1 and 65535" in printed.err
    assert len(printed.err) < 400


def test_that_no_entry_matches_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog", "list", "--product", "nope"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "note: no entry matches\n")


# What should be read again

REVIEWED = """
documents:
  fresh: {title: T, publisher: P, read: 2026-01-01}
  unseen: {title: T, publisher: P}
roles: {a: {title: A, description: d, kind: host}, b: {title: B, description: d, kind: host}}
product: P
entries:
"""
REVIEWED_ENTRY = """
  - id: %s
    source: a
    destination: b
    purpose: x
    services: [{protocol: tcp, ports: 80}]
    citations: [{document: %s, section: S%s}]
    evidence: %s%s
"""


@pytest.mark.parametrize(
    ("told", "today", "said"),
    [
        (("fresh", "", "seen", ""), "2027-01-01", None),
        (("fresh", "", "seen", ""), "2027-01-02", "read last on 2026-01-01"),
        (("fresh", ", read: 2025-06-01", "seen", ""), "2026-06-01", None),
        (("fresh", ", read: 2025-06-01", "seen", ""), "2026-06-02", "read last on 2025-06-01"),
        (("unseen", "", "seen", ""), "2026-02-01", "nobody has read a source of it"),
        (("unseen", ", read: 2026-01-01", "seen", ""), "2026-02-01", None),
        (("fresh", "", "unverified", ""), "2026-02-01", "unverified"),
        (("fresh", "", "seen", "\n    contested: Or 81"), "2026-02-01", "contested: Or 81"),
        (
            ("unseen", "", "unverified", "\n    contested: Or 81"),
            "2026-02-01",
            "nobody has read a source of it; unverified; contested: Or 81",
        ),
    ],
)
def test_what_should_be_read_again_is_told_with_the_reason(
    told: tuple[str, str, str, str], today: str, said: str | None
) -> None:
    text = REVIEWED + REVIEWED_ENTRY % ("one", *told)
    catalog = compose_catalog([document.parse(text.encode(), "words.yaml")])
    lines = list(review_lines(catalog, date.fromisoformat(today)))
    assert lines == ([] if said is None else [f"one: {said}"])


def test_the_review_names_what_is_unverified_and_contested(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = run(capsys, "review")
    assert code == 0
    named = {line.partition(":")[0] for line in out.splitlines()}
    newest = CATALOG.as_of(None).entries
    assert named >= {entry.id for entry in newest if entry.evidence == "unverified" or entry.contested}
    assert "pvs-target-control" in named


def test_a_section_without_a_later_state_says_so_and_dates_are_in_no_generated_file() -> None:
    text = EXPORTS["markdown"](CATALOG.as_of(None))
    frozen = CATALOG.documents["citrix-communication-ports"].frozen
    assert "Citrix Gateway" in frozen
    for section in frozen:
        assert f"Of the section `{section}` of `citrix-communication-ports`" in text
    modules = (Path(__file__).parent.parent / "examples").rglob("module/**/*")
    assert not [
        path for path in modules if path.is_file() and "2026-11-2" in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize(
    ("word", "product"), [("netscaler", "Citrix ADC"), ("XenServer", "Citrix Hypervisor")]
)
def test_a_product_is_found_by_its_other_names(word: str, product: str) -> None:
    found = {entry.product for entry in select(CATALOG, product=word)}
    assert product in found
