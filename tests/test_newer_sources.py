"""Every row of the port tables that are newer than the tech paper is an entry, or is accounted for.

The rows are those of the pages, in their order: what each opens, and which entries say so. They were written
from the pages, not from the catalogue.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from systems import parse_services

from citrix_netpolicy import Catalog, Compilation, Deployment, Direction, compile_deployment
from citrix_netpolicy.net import EMPTY, Prefix, Protocol, Service, ServiceSet, ports
from citrix_netpolicy.policy import GroupReference
from citrix_netpolicy.reports.allowlist import JSON_FILE, allowlist_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from citrix_netpolicy.policy import Peer, Rule

# The document that each table is cited as, and how many rows of it could be read.
SOURCES = {
    "E": ("citrix-communication-ports-netscaler", 16),
    "I": ("tech-zone-issues", 4),
    "X": ("xenserver-8-ports", 22),
    "LV": ("linux-vda-ports", 7),
    "AL": ("app-layering-firewall-ports", 5),
    "AL0": ("unidesk-firewall-ports", 14),
    "ALP": ("packer-plugin-citrix", 2),
    "XM": ("xenmobile-server-ports", 6),
    "LAS": ("citrix-las-tool", 4),
}
TABLE = """
E 1: tcp 80, 443 = sdx-lights-out
E 2: tcp 80, 443 = sdx-admin-web
E 3: tcp 22 = sdx-admin-ssh
E 4: tcp 22 = sdx-hypervisor-ssh
E 5: tcp 80, 443 = sdx-instance-web
E 6: tcp 22 = sdx-instance-ssh
E 7: icmp 8/0 = sdx-instance-ping
E 8: udp 123 = sdx-ntp
E 9: udp 161, 162 = sdx-snmp
E 10: icmp 8/0 = sdx-service-machine-ping
E 11: udp 7000 = adc-cluster-heartbeat
E 12: udp 3003 = adc-ha-heartbeat
E 13: tcp 3008 = adc-ha-sync-secure
E 14: tcp 3009 = adc-gslb-mep-secure
E 15: tcp 3010 = adc-ha-sync-plain
E 16: tcp 3011 = adc-gslb-mep-plain
I 1: tcp 27000, 7279 = adc-license-request adc-license-checkout cpx-license-request cpx-license-checkout
I 2: tcp 1494, 2598; udp 1494, 2598 = connector-hdx-ica connector-hdx-session-reliability
I 3: tcp 80, 89 = ddc-vda ddc-vda-local-host-cache
I 4: tcp 80, 89, 9095 = ddc-peer ddc-peer-local-host-cache ddc-peer-orchestration
X 1: tcp 80, 443 = xenserver-pool
X 2: tcp 27000 = xenserver-license-request
X 3: tcp 7279 = xenserver-license-checkout
X 4: udp 123 = xenserver-ntp
X 5: tcp 53; udp 53 = xenserver-dns
X 6: tcp 389; udp 389 = xenserver-ldap
X 7: tcp 636 = xenserver-ldaps
X 8: tcp 139 = xenserver-iso-netbios
X 9: tcp 445 = xenserver-iso-smb
X 10: tcp 3260 = xenserver-iscsi
X 11: tcp 2049 = xenserver-nfs
X 12: tcp 2049; udp 2049 = xenserver-nfs xenserver-nfs-v3
X 13: tcp 111; udp 111 = xenserver-nfs-v3
X 14: none = xenserver-nfs-v3-dynamic
X 15: udp 514 = xenserver-syslog
X 16: tcp 8892, 21064 = xenserver-cluster-tcp
X 17: udp 5404, 5405 = xenserver-cluster-udp
X 18: tcp 22 = xencenter-ssh
X 19: tcp 443 = xencenter-management
X 20: tcp 5900 = xencenter-vnc
X 21: tcp 3389 = xencenter-rdp
X 22: tcp 80, 443 = ddc-xenserver xencenter-management
LV 1: tcp 80 = vda-ddc
LV 2: tcp 80 = ddc-vda
LV 3: tcp 1494 = user-hdx-ica
LV 4: tcp 2598 = user-hdx-session-reliability
LV 5: tcp 443 = user-hdx-tls
LV 6: udp 443 = user-hdx-tls
LV 7: tcp 8008 = user-hdx-html5
AL 1: tcp 80, 443 = app-layering-console
AL 2: tcp 3000, 3500 = app-layering-connector-azure
AL 3: tcp 3015, 3515 = app-layering-disk-upload
AL 4: tcp 3009, 3509 = app-layering-connector-provisioning
AL 5: tcp 3016, 3516 = app-layering-connector-google-cloud
AL0 1: tcp 80, 443 = app-layering-console
AL0 2: tcp 8161 = app-layering-activemq-console
AL0 3: tcp 8787 = app-layering-agent-logs
AL0 4: tcp 8888 = app-layering-log-delivery
AL0 5: tcp 443 = app-layering-vsphere
AL0 6: tcp 8016 = app-layering-agent-commands
AL0 7: tcp 14243 = app-layering-log-gathering
AL0 8: tcp 389, 636 = app-layering-ldap
AL0 9: tcp 3000, 3500 = app-layering-connector-azure
AL0 10: tcp 3009, 3509 = app-layering-connector-provisioning
AL0 11: tcp 3004, 3504 = app-layering-connector-vsphere
AL0 12: tcp 3002, 3502 = app-layering-connector-xenserver
AL0 13: tcp 443 = app-layering-telemetry
AL0 14: tcp 5900 = app-layering-os-image-console
ALP 1: tcp 443 = app-layering-packer-appliance
ALP 2: tcp 5985 = app-layering-packer-winrm
XM 1: tcp 21, 22 = xenmobile-support-bundles
XM 2: tcp 53; udp 53 = xenmobile-dns endpoint-management-gateway-dns
XM 3: tcp 80 = endpoint-management-intranet-http
XM 4: tcp 80, 443 = endpoint-management-storefront-xml endpoint-management-gateway-sta
XM 5: udp 123 = xenmobile-ntp endpoint-management-gateway-ntp
XM 6: tcp 389 = xenmobile-ldap endpoint-management-gateway-ldap
LAS 1: tcp 443 = license-activation console-license-activation adc-license-activation
LAS 2: tcp 443 = license-activation
LAS 3: tcp 443 = license-activation
LAS 4: tcp 443 = uberagent-license
"""
# Rows whose page is not that of their table, and entries that rest on the tech paper there.
ELSEWHERE = {"LAS 4"}


class Row(NamedTuple):
    """One row of a page: what it opens, and the entries that stand for it."""

    table: str
    number: int
    services: ServiceSet
    entries: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.table} {self.number}"


def _rows() -> list[Row]:
    found = []
    for line in TABLE.strip().splitlines():
        match = re.fullmatch(r"(\w+) (\d+): (.+) = (.+)", line)
        assert match, line
        services = EMPTY if match[3] == "none" else parse_services(match[3])
        found.append(Row(match[1], int(match[2]), services, tuple(match[4].split())))
    return found


ROWS = _rows()
CATALOG = Catalog.default().as_of(None)


@pytest.mark.parametrize("table", SOURCES)
def test_no_row_of_a_page_is_silent(table: str) -> None:
    assert [row.number for row in ROWS if row.table == table] == [*range(1, SOURCES[table][1] + 1)]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_is_said_by_its_entries_and_cited(row: Row) -> None:
    entries = [CATALOG.entry(id_) for id_ in row.entries]
    said = ServiceSet.union(service.services() for entry in entries for service in entry.services)
    assert row.services <= said
    assert all(entry.reason for entry in entries if entry.treatment != "enforce")
    if str(row) not in ELSEWHERE:
        document = SOURCES[row.table][0]
        cited = [entry for entry in entries if any(one.document == document for one in entry.citations)]
        assert cited, document


def test_every_page_was_read_on_a_day() -> None:
    for document, _ in SOURCES.values():
        assert CATALOG.documents[document].read


def test_a_later_source_is_cited_by_entries_of_its_edition_or_later() -> None:
    """What the first edition said stands as it was, so a page that was read since says so."""
    new = {name for name, known in CATALOG.documents.items() if (known.read or "") >= "2026-11-24"}
    new -= {"azure-sql-connectivity"}
    for entry in Catalog.default().entries:
        for citation in entry.citations:
            if citation.document in new:
                assert "2026.12" in (entry.since, citation.since), (entry.id, citation.document)


# A check-out of licences needs a component that reaches the server, and a server that is activated.

LICENSED: dict[str, list[str]] = {
    "ddc": ["10.0.1.0/28"],
    "director": ["10.0.2.0/28"],
    "pvs": ["10.0.3.0/28"],
    "wem-server": ["10.0.4.0/28"],
    "session-recording": ["10.0.5.0/28"],
}
OTHERS: dict[str, Any] = {
    "vda": ["10.0.64.0/24"],
    "sql": ["10.0.6.0/28"],
    "license-server": ["10.0.7.0/28"],
}
ACTIVATION = {
    *("las.cloud.com", "api-eu.cloud.com", "cis.citrix.com", "trust.citrixnetworkapi.net"),
    *("trust.citrixworkspacesapi.net", "core.citrixworkspacesapi.net", "customers.citrixworkspacesapi.net"),
}
CHECK_OUT = [ports(Protocol.TCP, 27000), ports(Protocol.TCP, 7279)]


def _licensed(**more: Any) -> Compilation:
    return compile_deployment(Deployment(name="site", cloud="aws", tiers={**LICENSED, **OTHERS}, **more))


def _opens(rules: Iterable[Rule], peer: Peer, service: Service) -> bool:
    return any(rule.peer == peer and ServiceSet.of(rule.service).holds(service) for rule in rules)


def test_every_product_of_a_default_site_can_be_licensed() -> None:
    policy = _licensed().policy
    server = policy.group("license-server")
    for tier in LICENSED:
        for service in CHECK_OUT:
            egress = policy.group(tier).side(Direction.EGRESS)
            assert _opens(egress, GroupReference("license-server"), service), tier
            assert _opens(server.side(Direction.INGRESS), GroupReference(tier), service), tier


def _allowed(compilation: Compilation) -> set[str]:
    """Return the names that the allow list has for the License Server, on TCP 443."""
    text = allowlist_files(compilation, "main")[JSON_FILE]
    listed = [row for row in json.loads(text)["destinations"] if row["source"] == "license-server"]
    assert all((row["protocol"], row["ports"]) == ("tcp", [443, 443]) for row in listed)
    return {row["name"] for row in listed}


def test_the_allow_list_has_the_names_that_activate_the_license_server() -> None:
    assert _allowed(_licensed()) == ACTIVATION
    assert _allowed(_licensed(citrix_cloud_region="us")) == ACTIVATION - {"api-eu.cloud.com"}
    assert _allowed(_licensed(edition="2026.11")) == set()


def test_a_license_server_that_cannot_be_activated_is_found_and_told_whom_to_ask() -> None:
    (finding,) = (found for found in _licensed().findings if found.code == "names-not-reached")
    assert finding.subject == "license-server"
    assert "license-activation" in finding.message
    assert finding.severity == "warning"
    assert "ask who runs the proxy or the firewall of names" in finding.hint
    for way in ("open", {"through": "firewall"}):
        compilation = _licensed(names=way)
        assert not [found for found in compilation.findings if found.code == "names-not-reached"]
        egress = compilation.policy.group("license-server").side(Direction.EGRESS)
        assert _opens(egress, Prefix(4, 0, 0), ports(Protocol.TCP, 443))
