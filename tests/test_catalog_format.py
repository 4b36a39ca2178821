"""The form of catalogue files: what is checked when they are put together, and where mistakes are told."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from citrix_netpolicy import Catalog, InputError, resources
from citrix_netpolicy.inputs import catalog as catalog_module
from citrix_netpolicy.inputs.catalog import compose_catalog, load_catalog
from citrix_netpolicy.syntax import document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = """\
documents:
  ports: {title: Ports, publisher: Citrix, lines: 100}
  site: {title: A page, publisher: Citrix}
roles:
  ddc: {title: Controller, description: Brokers, kind: host}
  vda: {title: Session host, description: Hosts, kind: host}
  any: {title: Any, description: All, kind: wildcard, members: [ddc, vda]}
features:
  edt: {description: UDP, default: true}
  html5: {description: WebSocket, default: false, requires: [edt]}
parameters:
  xml-port: {description: XML, protocol: tcp}
  audio-ports: {description: Audio, protocol: udp}
"""
HEAD = "product: VAD\ndocument: ports\nsection: Controllers\nentries:\n"
ENTRY = """\
  - id: ddc-vda
    line: 7
    source: ddc
    destination: vda
    services: [{protocol: tcp, ports: 80}]
    purpose: Registration
"""


def compose(*texts: str) -> Catalog:
    names = ["words.yaml", "a.yaml", "b.yaml"]
    return compose_catalog(
        [document.parse(text.encode(), name) for name, text in zip(names, texts, strict=False)]
    )


def problems(*texts: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        compose(*texts)
    return [str(problem) for problem in caught.value.problems]


def test_a_good_catalogue() -> None:
    catalog = compose(WORDS, HEAD + ENTRY)
    (entry,) = catalog.entries
    assert entry.id == "ddc-vda"
    assert entry.product == "VAD"
    assert (entry.source, entry.destination) == (("ddc",), ("vda",))
    assert [str(citation) for citation in entry.citations] == ["ports, Controllers L7"]
    assert catalog.entry("ddc-vda") is entry
    assert catalog.members("any") == ("ddc", "vda")
    assert catalog.members("ddc") == ("ddc",)


def test_entries_are_sorted_whatever_the_order_of_files() -> None:
    other = ENTRY.replace("id: ddc-vda", "id: a-first")
    one, two = compose(WORDS, HEAD + ENTRY, HEAD + other), compose(WORDS, HEAD + other, HEAD + ENTRY)
    assert one == two
    assert [entry.id for entry in one.entries] == ["a-first", "ddc-vda"]


def test_lines_become_citations() -> None:
    (entry,) = compose(WORDS, HEAD + ENTRY.replace("line: 7", "lines: [7, 9]")).entries
    assert [str(citation) for citation in entry.citations] == [
        "ports, Controllers L7",
        "ports, Controllers L9",
    ]


def test_a_duplicate_adds_its_citation() -> None:
    again = (
        ENTRY.replace("id: ddc-vda", "id: again").replace("line: 7", "line: 8")
        + "    treatment: duplicate\n    duplicate-of: ddc-vda\n"
    )
    catalog = compose(WORDS, HEAD + ENTRY + again)
    told = [str(citation) for citation in catalog.citations(catalog.entry("ddc-vda"))]
    assert told == ["ports, Controllers L7", "ports, Controllers L8"]


def _entry(old: str, new: str) -> str:
    assert old in ENTRY
    return HEAD + ENTRY.replace(old, new)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            _entry("source: ddc", "source: dcc"),
            "a.yaml:7:5: entries[0].source: unknown role `dcc` (help: did you mean `ddc`?)",
        ),
        (
            _entry("destination: vda", "destination: [ddc, vdaa]"),
            "a.yaml:8:5: entries[0].destination: unknown role `vdaa` (help: did you mean `vda`?)",
        ),
        (
            HEAD + ENTRY + "    features: ['!htlm5']\n",
            "a.yaml:11:5: entries[0].features: unknown feature `htlm5` (help: did you mean `html5`?)",
        ),
        (
            _entry("ports: 80}", "ports: 80, parameter: xml-prt}"),
            "a.yaml:9:5: entries[0].services: unknown parameter `xml-prt` (help: did you mean `xml-port`?)",
        ),
        (
            _entry("ports: 80}", "ports: 80, features: edd}"),
            "a.yaml:9:5: entries[0].services: unknown feature `edd` (help: did you mean `edt`?)",
        ),
        (
            _entry("ports: 80}", "ports: 80, parameter: audio-ports}"),
            "a.yaml:9:16: entries[0].services[0]: parameter `audio-ports` moves udp ports, but this service "
            "is tcp",
        ),
        (
            _entry("[{protocol: tcp, ports: 80}]", "[{protocol: udp, ports: 80, parameter: xml-port}]"),
            "a.yaml:9:16: entries[0].services[0]: parameter `xml-port` moves tcp ports, "
            "but this service is udp",
        ),
        (
            _entry(
                "[{protocol: tcp, ports: 80}]",
                "[{protocol: tcp, ports: 80}, {protocol: icmp, type: 8, parameter: xml-port}]",
            ),
            "a.yaml:9:44: entries[0].services[1]: parameter `xml-port` moves tcp ports, "
            "but this service is icmp",
        ),
        (
            HEAD.replace("document: ports", "document: porst") + ENTRY,
            "a.yaml:5:5: entries[0].citations: unknown document `porst` (help: did you mean `ports`?)",
        ),
        (
            _entry("line: 7", "line: 101"),
            "a.yaml:5:5: entries[0]: line 101 is outside the document `ports`",
        ),
        (
            _entry("id: ddc-vda", "id: DDC_VDA"),
            "a.yaml:5:5: entries[0].id: `DDC_VDA` is not a valid id; use lowercase words joined by hyphens",
        ),
        (
            _entry("purpose: Registration", "purpose: R\u00e9gistration"),
            "a.yaml:10:5: entries[0].purpose: a purpose must be 1 to 80 characters that every cloud accepts "
            "in a rule description",
        ),
        (_entry("    purpose: Registration\n", ""), "a.yaml:5:5: entries[0]: `purpose` is missing"),
        (
            _entry("purpose:", "porpoise: x\n    purpose:"),
            "a.yaml:10:5: entries[0].porpoise: unknown key `porpoise` (help: did you mean `purpose`?)",
        ),
        (
            _entry("[{protocol: tcp, ports: 80}]", "[]"),
            "a.yaml:5:5: entries[0]: an enforced entry needs services",
        ),
        (
            _entry(", ports: 80", ""),
            "a.yaml:5:5: entries[0]: an enforced tcp service needs ports or a parameter",
        ),
        (
            _entry("ports: 80", "ports: 80-79"),
            "a.yaml:9:32: entries[0].services[0].ports[0]: port range `80-79` runs backwards",
        ),
        (
            HEAD + ENTRY + "    treatment: retired\n",
            "a.yaml:5:5: entries[0]: treatment `retired` needs a reason",
        ),
        (
            HEAD + ENTRY + "    treatment: retird\n    reason: x\n",
            "a.yaml:11:5: entries[0].treatment: `retird` is not valid here (help: did you mean `retired`?)",
        ),
        (
            HEAD + ENTRY + "    treatment: retired\n    reason: x\n    duplicate-of: a\n",
            "a.yaml:5:5: entries[0]: `treatment: duplicate` and `duplicate-of` require each other",
        ),
        (
            HEAD + ENTRY + "    treatment: duplicate\n    duplicate-of: ddc-vdaa\n",
            "a.yaml:12:5: entries[0].duplicate-of: `ddc-vdaa` is not an entry that can be duplicated "
            "(help: did you mean `ddc-vda`?)",
        ),
        (
            HEAD + ENTRY + ENTRY,
            "a.yaml:11:5: entries[1].id: `ddc-vda` is already used by the entry at a.yaml:5:5",
        ),
        (
            "entrys: []\n",
            "a.yaml:1:1: entrys: unknown key `entrys`, or a value of the wrong type "
            "(help: did you mean `entries`?)",
        ),
        ("- a\n", "a.yaml:1:1: expected a map at the top of a catalogue file"),
        (
            "features: {edt: {description: x, default: true}}\n",
            "a.yaml:1:12: features.edt: `edt` is already defined in `features`",
        ),
        (
            "features: {x: {description: x, default: true, requires: y}}\n",
            "a.yaml:1:12: features.x: unknown feature `y`",
        ),
        (
            "features: {x: {description: x, default: true, requires: x}}\n",
            "a.yaml:1:12: features.x: `x` requires itself",
        ),
        (
            "roles: {x: {title: x, description: x, kind: wildcard}}\n",
            "a.yaml:1:9: roles.x: `members` are required for a wildcard, and allowed nowhere else",
        ),
        (
            "roles: {x: {title: x, description: x, kind: host, members: [ddc]}}\n",
            "a.yaml:1:9: roles.x: `members` are required for a wildcard, and allowed nowhere else",
        ),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, said: str) -> None:
    (found,) = problems(WORDS, text)
    if "(help: " in said:
        assert found == said
    else:
        assert found.partition(" (help: ")[0] == said


def test_every_mistake_is_told_at_once() -> None:
    text = (
        HEAD
        + ENTRY.replace("source: ddc", "source: dcc")
        + ENTRY.replace("ddc-vda", "other").replace("7", "0")
    )
    assert len(problems(WORDS, text)) == 2


def test_an_entry_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"has no entry `ddc-vdaa` \(help: did you mean `ddc-vda`\?\)"):
        compose(WORDS, HEAD + ENTRY).entry("ddc-vdaa")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let a copy of the shipped folder be the shipped one."""
    folder = tmp_path / "catalog"
    shutil.copytree(str(resources.catalog()), folder)
    monkeypatch.setattr(resources, "catalog", lambda: folder)
    for forget in (catalog_module._shipped.cache_clear, catalog_module._shipped_catalog.cache_clear):
        forget()
    yield folder
    for forget in (catalog_module._shipped.cache_clear, catalog_module._shipped_catalog.cache_clear):
        forget()


def _refuse(*_: object) -> NoReturn:
    raise AssertionError("the files of the catalogue are not needed")


def test_what_was_checked_stands_in_for_the_files(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = compose_catalog(catalog_module._shipped())
    monkeypatch.setattr(document, "load", _refuse)
    found = load_catalog()
    assert found == said
    assert found.to_json() == said.to_json()


def test_files_that_changed_are_read(own_folder: Path) -> None:
    file = own_folder / "citrix-adc.yaml"
    before = Catalog.model_validate_json(_checked(own_folder))
    file.write_text(
        file.read_text(encoding="utf-8").replace("purpose: ", "purpose: New ", 1), encoding="utf-8"
    )
    pairs = zip(before.entries, load_catalog().entries, strict=True)
    changed = [(old.purpose, new.purpose) for old, new in pairs if old != new]
    assert [new for _, new in changed] == [f"New {old}" for old, _ in changed]
    assert len(changed) == 1


def test_a_file_that_came_is_read(own_folder: Path) -> None:
    shutil.copy(own_folder / "citrix-adc.yaml", own_folder / "more.yaml")
    with pytest.raises(InputError, match=r"already used by the entry at catalog/citrix-adc\.yaml"):
        load_catalog()


def test_a_file_that_went_is_missed(own_folder: Path) -> None:
    (own_folder / "citrix-adc.yaml").unlink()
    with pytest.raises(InputError, match="is not an entry that can be duplicated"):
        load_catalog()


def _checked(folder: Path) -> str:
    data = json.loads((folder / "checked.json").read_text(encoding="utf-8"))
    del data["files"]
    return json.dumps(data)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"files": {}}', "\0", '{"entries": []}'])
def test_a_damaged_stand_in_is_none(text: str, own_folder: Path) -> None:
    whole = load_catalog()
    (own_folder / "checked.json").write_text(text)
    catalog_module._shipped_catalog.cache_clear()
    assert load_catalog() == whole


def test_no_stand_in_is_needed(own_folder: Path) -> None:
    whole = load_catalog()
    (own_folder / "checked.json").unlink()
    catalog_module._shipped_catalog.cache_clear()
    assert load_catalog() == whole


def test_the_shipped_catalogue_is_sound_and_read_once() -> None:
    catalog = load_catalog()
    assert Catalog.default() is catalog
    assert {"ddc", "vda", "storefront", "sql", "netscaler-mgmt", "netscaler-vip"} <= catalog.roles.keys()
    assert {"edt", "html5", "tls-to-vda"} <= catalog.features.keys()
    assert "xml-service-port" in catalog.parameters
    assert len(catalog.entries) > 50


def test_a_parameter_of_the_right_protocol_is_taken() -> None:
    services = "[{protocol: tcp, parameter: xml-port}, {protocol: udp, parameter: audio-ports}]"
    (entry,) = compose(WORDS, _entry("[{protocol: tcp, ports: 80}]", services)).entries
    assert [service.parameter for service in entry.services] == ["xml-port", "audio-ports"]


def _words() -> dict[str, set[str]]:
    """Return the words that the entries of the shipped catalogue use."""
    used: dict[str, set[str]] = {"roles": set(), "features": set(), "parameters": set(), "documents": set()}
    for entry in load_catalog().entries:
        used["roles"].update(entry.source, entry.destination)
        used["features"].update(name.removeprefix("!") for name in entry.features)
        used["documents"].update(citation.document for citation in entry.citations)
        for service in entry.services:
            used["features"].update(name.removeprefix("!") for name in service.features)
            used["parameters"].update([service.parameter] if service.parameter else [])
    for managed in load_catalog().managed_services.values():
        used["documents"].update(citation.document for citation in managed.citations)
    return used


@pytest.mark.parametrize("kind", ["documents", "features", "parameters"])
def test_no_word_is_idle(kind: str) -> None:
    vocabulary: dict[str, Any] = getattr(load_catalog(), kind)
    assert vocabulary.keys() - _words()[kind] == set()


def test_every_entry_could_be_reached() -> None:
    catalog = load_catalog()
    for entry in catalog.entries:
        for name in entry.features:
            assert f"!{name}" not in entry.features, f"{entry.id} wants `{name}` both on and off"


def test_every_file_of_the_catalogue_is_yaml_but_for_what_stands_in_for_all() -> None:
    names = {file.name for file in resources.catalog().iterdir()} - {"checked.json"}
    assert {name.rpartition(".")[2] for name in names} == {"yaml"}
