"""The form of catalogue files: what is checked when they are put together, and where mistakes are told."""

from __future__ import annotations

from typing import Any

import pytest

from citrix_netpolicy import Catalog, InputError, resources
from citrix_netpolicy.inputs.catalog import compose_catalog, load_catalog
from citrix_netpolicy.syntax import document

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
            "a.yaml:5:5: entries[0].id: `DDC_VDA` is no id: lower-case words joined by single hyphens",
        ),
        (
            _entry("purpose: Registration", "purpose: R\u00e9gistration"),
            "a.yaml:10:5: entries[0].purpose: a purpose is 1 to 80 characters that every cloud accepts in a "
            "rule description",
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
            "a.yaml:5:5: entries[0]: an enforced entry needs ports, a parameter, or an ICMP type",
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
            "a.yaml:5:5: entries[0]: treatment `duplicate` and `duplicate-of` go together",
        ),
        (
            HEAD + ENTRY + "    treatment: duplicate\n    duplicate-of: ddc-vdaa\n",
            "a.yaml:12:5: entries[0].duplicate-of: `ddc-vdaa` is no entry that stands for itself "
            "(help: did you mean `ddc-vda`?)",
        ),
        (HEAD + ENTRY + ENTRY, "a.yaml:11:5: entries[1].id: `ddc-vda` is already taken in a.yaml:5:5"),
        (
            "entrys: []\n",
            "a.yaml:1:1: entrys: unknown key `entrys`, or not of the form expected here "
            "(help: did you mean `entries`?)",
        ),
        ("- a\n", "a.yaml:1:1: a catalogue file is a map"),
        (
            "features: {edt: {description: x, default: true}}\n",
            "a.yaml:1:12: features.edt: `edt` is already one of the features",
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
            "a.yaml:1:9: roles.x: a wildcard has members, and only a wildcard has",
        ),
        (
            "roles: {x: {title: x, description: x, kind: host, members: [ddc]}}\n",
            "a.yaml:1:9: roles.x: a wildcard has members, and only a wildcard has",
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


def test_every_file_of_the_catalogue_is_yaml() -> None:
    assert {file.name.rpartition(".")[2] for file in resources.catalog().iterdir()} == {"yaml"}
