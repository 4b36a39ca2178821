"""Services that a cloud runs: they bring roles, membership and ports of their own."""

from __future__ import annotations

from typing import Any

import pytest

from citrix_netpolicy import Compilation, Deployment, InputError, compile_deployment
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.syntax import document

SITE: dict[str, Any] = {
    "name": "site",
    "cloud": "azure",
    "tiers": {"ddc": ["10.0.1.0/28"], "vda": ["10.0.2.0/24"], "sql": ["10.0.3.0/28"]},
    "external": {
        "database": {"service": "azure-sql-managed-instance", "addresses": ["10.9.1.0/27"]},
        "directory": {"service": "entra-domain-services", "addresses": ["10.9.2.0/28"]},
    },
}


def _compiled(**changes: Any) -> Compilation:
    return compile_deployment(Deployment(**{**SITE, **changes}))


def _services(compilation: Compilation, entry: str) -> dict[str, str]:
    return {
        flow.destination: str(flow.services)
        for flow in compilation.resolution.flows
        if flow.cause.id == entry and flow.source == "ddc"
    }


def test_a_service_brings_its_roles_and_its_ports() -> None:
    compilation = _compiled()
    assert _services(compilation, "ddc-sql") == {"database": "tcp 1433, tcp 11000-11999", "sql": "tcp 1433"}
    assert _services(compilation, "windows-member-kerberos") == {"directory": "tcp 88, udp 88"}
    assert "no-directory" not in {finding.code for finding in compilation.findings}


def test_ports_of_the_deployment_are_those_of_machines() -> None:
    found = _services(_compiled(parameters={"sql-port": 14330}), "ddc-sql")
    assert found == {"database": "tcp 1433, tcp 11000-11999", "sql": "tcp 14330"}


def test_a_tier_may_be_a_service_and_have_roles_of_its_own() -> None:
    files = {"service": "amazon-fsx-windows", "subnets": ["10.0.4.0/28"], "roles": ["certificate-authority"]}
    compilation = _compiled(
        cloud="aws", tiers={**SITE["tiers"], "files": files}, features={"file-shares": True}
    )
    assert {flow.source for flow in compilation.resolution.flows if flow.destination == "files"} >= {"vda"}
    members = {flow.source for flow in compilation.resolution.flows if flow.cause.id == "windows-member-ldap"}
    assert "files" in members


def test_what_is_written_says_the_service_and_not_its_roles() -> None:
    text = Deployment(**SITE).to_yaml()
    assert "service: entra-domain-services" in text
    assert "domain-controller" not in text
    again = Deployment.from_document(document.parse(text.encode(), "site.yaml"))
    assert again == Deployment(**SITE)


def test_a_service_that_is_not_known_is_refused_with_its_line() -> None:
    text = "name: s\ncloud: aws\ntiers: {ddc: [10.0.1.0/28]}\nexternal:\n"
    text += "  sql: {service: rds, addresses: [10.9.0.1]}\n"
    with pytest.raises(InputError, match="unknown managed service `rds`") as caught:
        compile_deployment(Deployment.from_document(document.parse(text.encode(), "site.yaml")))
    assert str(caught.value).startswith("site.yaml:5:9: external.sql.service: ")


def test_services_of_the_catalogue_cite_what_they_say() -> None:
    catalog = load_catalog()
    assert len(catalog.managed_services) >= 5
    for service in catalog.managed_services.values():
        assert service.roles
        assert all(citation.document in catalog.documents for citation in service.citations)
