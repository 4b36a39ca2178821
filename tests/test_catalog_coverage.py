"""The catalogue speaks of every row of the source document, and of nothing that is not there.

Only the numbers of its lines are held here: the document stays outside the repository.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from systems import load_systems

from citrix_netpolicy.inputs.catalog import Catalog, Entry

DOCUMENT = "citrix-communication-ports"

# Section by section, in the order of the document: the section as entries cite it, and the first and last
# line of the rows of its table.
TABLES: dict[str, tuple[int, int]] = {
    "Citrix ADC": (7, 27),
    "Citrix ADM": (33, 50),
    "Citrix Cloud": (57, 64),
    "Citrix Cloud - Virtual Apps and Desktops Service": (69, 72),
    "Citrix Cloud - Gateway Service": (79, 79),
    "Citrix Cloud - Workspace Environment Management Service": (90, 91),
    "Citrix Gateway": (98, 116),
    "Citrix Hypervisor": (123, 137),
    "Citrix License Server": (144, 148),
    "Citrix SD-WAN": (152, 170),
    "Citrix Virtual Apps and Desktops": (174, 196),
    "Federated Authentication Service": (203, 208),
    "Provisioning Services": (214, 225),
    "Session Recording": (229, 231),
    "StoreFront": (235, 243),
    "Workspace Environment Management": (261, 269),
}
# The first and last line of each section, with its heading.
SECTIONS: dict[str, tuple[int, int]] = {
    "Citrix ADC": (4, 29),
    "Citrix ADM": (30, 50),
    "Citrix Cloud": (51, 65),
    "Citrix Cloud - Virtual Apps and Desktops Service": (66, 73),
    "Citrix Cloud - Gateway Service": (74, 86),
    "Citrix Cloud - Workspace Environment Management Service": (87, 92),
    "Citrix Endpoint Management": (93, 94),
    "Citrix Gateway": (95, 119),
    "Citrix Hypervisor": (120, 140),
    "Citrix License Server": (141, 148),
    "Citrix SD-WAN": (149, 170),
    "Citrix Virtual Apps and Desktops": (171, 197),
    "Citrix App Layering": (198, 199),
    "Federated Authentication Service": (200, 210),
    "Provisioning Services": (211, 225),
    "Session Recording": (226, 231),
    "StoreFront": (232, 257),
    "Workspace Environment Management": (258, 271),
}
# Rows that fill two lines: the second holds the type, the port and the details.
WRAPPED = {58: 57, 60: 59, 62: 61, 64: 63}
# Statements outside of tables that name ports, or the peers of a port; each may be cited by any of its lines.
STATEMENTS: dict[str, tuple[int, ...]] = {
    "connectors reach the cloud on 443 only": (52,),
    "9350-9354 of host management": (53,),
    "revocation checks": (54,),
    "names of the Gateway Service": (80, 81, 82, 83),
    "UDP at the gateway on Azure": (85,),
    "ports of Endpoint Management are on another page": (94,),
    "ports of App Layering are on another page": (199,),
    "fixed port of the CA": (210,),
    "fixed port of StoreFront peers": (250, 251, 252, 253, 254, 255, 256),
}
# Prose without a port that an entry may cite as the ground of a correction.
REMARKS = {
    29: "traffic may start from SNIP, MIP or NSIP",
    75: "the Gateway Service sends sessions through connectors by default",
}

ROWS = {line for first, last in TABLES.values() for line in range(first, last + 1)}
# Documents, features, parameters and roles that nothing uses, and why that is as it should be.
UNUSED: dict[str, dict[str, str]] = {
    "documents": {},
    "features": {},
    "parameters": {},
    "roles": {"ext-stun": "the external variant of HDX Direct has no entry"},
}
# Roles that only explain why a row gives no rule.
NEVER_AN_END = {"command-center", "dhcp", "ext-cloud-platform", "netscaler-lom"}


def cited_lines(entry: Entry) -> set[int]:
    return {one.line for one in entry.citations if one.document == DOCUMENT and one.line is not None}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.default()


def test_the_lines_above_are_those_of_the_document() -> None:
    assert len(TABLES) == 16
    assert len(SECTIONS) == 18
    assert len(ROWS) - len(WRAPPED) == 170
    assert all(
        SECTIONS[name][0] < first <= last <= SECTIONS[name][1] for name, (first, last) in TABLES.items()
    )
    assert all(before[1] + 1 == after[0] for before, after in pairwise(SECTIONS.values()))
    assert not ROWS & {line for lines in STATEMENTS.values() for line in lines}


@pytest.mark.parametrize("section", TABLES)
def test_every_row_has_an_entry(catalog: Catalog, section: str) -> None:
    cited = {WRAPPED.get(line, line) for entry in catalog.entries for line in cited_lines(entry)}
    first, last = TABLES[section]
    assert [line for line in range(first, last + 1) if WRAPPED.get(line, line) not in cited] == []


def test_every_row_has_an_entry_of_its_own_section(catalog: Catalog) -> None:
    sections = {
        WRAPPED.get(line, line): entry.product
        for entry in catalog.entries
        for line in cited_lines(entry)
        if entry.product not in ("Supplement", "Windows domain member")
    }
    assert sorted({WRAPPED.get(line, line) for line in ROWS} - set(sections)) == []


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_statement_outside_of_tables_has_an_entry(catalog: Catalog, statement: str) -> None:
    cited = {line for entry in catalog.entries for line in cited_lines(entry)}
    assert cited & set(STATEMENTS[statement])


def test_no_entry_cites_a_line_that_says_nothing(catalog: Catalog) -> None:
    says = ROWS | set(REMARKS) | {line for lines in STATEMENTS.values() for line in lines}
    wrong = {entry.id: sorted(cited_lines(entry) - says) for entry in catalog.entries}
    assert {id_: lines for id_, lines in wrong.items() if lines} == {}


def test_remarks_are_cited_only_beside_something_else(catalog: Catalog) -> None:
    alone = [
        entry.id
        for entry in catalog.entries
        if cited_lines(entry) & set(REMARKS) and len(entry.citations) == 1
    ]
    assert alone == []


def test_a_citation_names_the_section_of_its_line(catalog: Catalog) -> None:
    wrong = {
        (entry.id, citation.line): citation.section
        for entry in catalog.entries
        for citation in entry.citations
        if citation.document == DOCUMENT and citation.line is not None
        for first, last in [SECTIONS.get(citation.section, (1, 0))]
        if not first <= citation.line <= last
    }
    assert wrong == {}


def test_a_line_is_cited_only_for_the_document_that_has_lines(catalog: Catalog) -> None:
    counted = {name for name, document in catalog.documents.items() if document.lines is not None}
    assert counted == {DOCUMENT}
    assert catalog.documents[DOCUMENT].lines == 271


def test_what_is_not_enforced_has_a_reason_of_its_own(catalog: Catalog) -> None:
    without = [
        entry.id
        for entry in catalog.entries
        if entry.treatment != "enforce" and len(entry.reason.split()) < 4
    ]
    assert without == []


def test_what_is_unverified_is_off_unless_a_site_asks_for_it(catalog: Catalog) -> None:
    by_default = [
        entry.id
        for entry in catalog.entries
        if entry.evidence == "unverified"
        and entry.treatment in ("enforce", "name")
        and not any(
            not name.startswith("!") and not catalog.features[name].default for name in entry.features
        )
    ]
    assert by_default == []


def test_every_document_is_cited(catalog: Catalog) -> None:
    used = {citation.document for entry in catalog.entries for citation in entry.citations}
    used |= {cited.document for service in catalog.managed_services.values() for cited in service.citations}
    assert sorted(set(catalog.documents) - used) == sorted(UNUSED["documents"])


def test_every_feature_decides_something(catalog: Catalog) -> None:
    used = {name.removeprefix("!") for entry in catalog.entries for name in entry.features}
    used |= {
        name.removeprefix("!")
        for entry in catalog.entries
        for service in entry.services
        for name in service.features
    }
    assert sorted(set(catalog.features) - used) == sorted(UNUSED["features"])


def test_every_parameter_moves_an_enforced_port(catalog: Catalog) -> None:
    used = {
        service.parameter
        for entry in catalog.entries
        if entry.treatment == "enforce"
        for service in entry.services
    }
    assert sorted(set(catalog.parameters) - used) == sorted(UNUSED["parameters"])


def test_every_role_is_an_end_of_something(catalog: Catalog) -> None:
    used = {role for entry in catalog.entries for role in (*entry.source, *entry.destination)}
    used |= {member for role in used for member in catalog.roles[role].members}
    assert sorted(set(catalog.roles) - used) == sorted(UNUSED["roles"])


def test_every_role_that_serves_is_reached_by_a_rule(catalog: Catalog) -> None:
    enforced = {
        member
        for entry in catalog.entries
        if entry.treatment in ("enforce", "name")
        for role in (*entry.source, *entry.destination)
        for member in catalog.members(role)
    }
    wanted = {name for name, role in catalog.roles.items() if role.kind != "wildcard"}
    assert sorted(wanted - enforced) == sorted(NEVER_AN_END | set(UNUSED["roles"]))


def test_the_tables_of_the_systems_account_for_every_row() -> None:
    """What `systems/` expects cites each row: as a flow of a site, or as something that never is one."""
    cited = {WRAPPED.get(line, line) for system in load_systems() for line in system.lines}
    assert sorted({WRAPPED.get(line, line) for line in ROWS} - cited) == []


def test_the_table_of_a_system_cites_rows_of_its_own_section() -> None:
    systems = {system.name: system for system in load_systems()}
    for name, (first, last) in TABLES.items():
        rows = {WRAPPED.get(line, line) for line in range(first, last + 1)}
        assert rows
        assert sorted(rows - {WRAPPED.get(line, line) for line in systems[name].lines}) == [], name


def test_every_section_has_a_table_of_a_system() -> None:
    assert sorted(set(SECTIONS) - {system.name for system in load_systems()}) == []
