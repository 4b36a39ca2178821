"""What the field has reported, by kind and in every system: each has an entry, or says why it has none.

The kinds are those of public reports in which a firewall closed traffic that Citrix needs, in silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from citrix_netpolicy import Catalog, Deployment, compile_deployment
from citrix_netpolicy.resolve import resolve

if TYPE_CHECKING:
    from citrix_netpolicy.inputs.catalog import Entry

CATALOG = Catalog.default().as_of(None)
ENFORCED = [entry for entry in CATALOG.entries if entry.treatment in ("enforce", "name")]
# What every Windows server does says nothing about the service of its role.
OF_EVERY_SERVER = {"Windows domain member", "Cloud platform"}


def between(source: str, destination: str) -> list[Entry]:
    """Return the entries that join two roles, wildcards and stand-ins resolved."""

    def has(roles: tuple[str, ...], role: str, *, stand_in: bool) -> bool:
        part = CATALOG.roles[role].stands_in_for
        known = {member for one in roles for member in CATALOG.members(one)}
        return role in known or bool(stand_in and part and part.role in known)

    return [
        entry
        for entry in ENFORCED
        if has(entry.source, source, stand_in=entry.stand_in)
        and has(entry.destination, destination, stand_in=entry.stand_in)
    ]


# Pairs of roles that the field found closed, by kind of need. Destinations outside are reached by name, or by
# address when an external has the role.
NAMED: dict[str, list[tuple[str, str]]] = {
    "management APIs of the clouds": [
        ("ddc", "ext-cloud-api"),
        ("cloud-connector", "ext-cloud-api"),
        ("mcs-worker", "ext-cloud-api"),
        ("netscaler-mgmt", "ext-cloud-api"),
        ("app-layering-elm", "ext-cloud-api"),
    ],
    "activation of licences": [
        ("license-server", "ext-citrix-cloud"),
        ("netscaler-console", "ext-citrix-cloud"),
        ("netscaler-mgmt", "ext-citrix-cloud"),
        ("vda", "ext-citrix-cloud"),
    ],
    "authentication by the ADC": [
        ("netscaler-mgmt", "domain-controller"),
        ("netscaler-mgmt", "radius"),
        ("netscaler-mgmt", "ext-identity-provider"),
        ("netscaler-mgmt", "ext-certificate-status"),
        ("netscaler-mgmt", "smtp"),
        ("netscaler-console", "tacacs"),
        ("sdwan-appliance", "tacacs"),
    ],
    "shares": [
        ("vda", "file-server"),
        ("pvs", "file-server"),
        ("app-layering-elm", "file-server"),
        ("hypervisor-host", "file-server"),
    ],
    "servers of one kind among each other": [
        ("storefront", "storefront"),
        ("ddc", "ddc"),
        ("cloud-connector", "cloud-connector"),
        ("pvs", "pvs"),
        ("hypervisor-host", "hypervisor-host"),
        ("netscaler-mgmt", "netscaler-mgmt"),
        ("netscaler-console", "netscaler-console"),
        ("xenmobile-server", "xenmobile-server"),
        ("sdwan-appliance", "sdwan-appliance"),
        ("domain-controller", "domain-controller"),
    ],
    "between systems": [
        ("director", "netscaler-console"),
        ("director", "ddc"),
        ("pvs", "ddc"),
        ("pvs", "cloud-connector"),
        ("pvs", "pvs-target"),
        ("netscaler-console-agent", "netscaler-mgmt"),
        ("netscaler-mgmt", "netscaler-console-agent"),
        ("hypervisor-host", "license-server"),
        ("vda", "universal-print-server"),
        ("ddc", "mcs-worker"),
        ("cloud-connector", "mcs-worker"),
    ],
}


@pytest.mark.parametrize(
    ("kind", "source", "destination"), [(kind, *pair) for kind, pairs in NAMED.items() for pair in pairs]
)
def test_what_the_field_missed_has_an_entry(kind: str, source: str, destination: str) -> None:
    assert between(source, destination), kind


@pytest.mark.parametrize("role", [name for name, role in CATALOG.roles.items() if role.console])
def test_every_console_can_be_opened_by_administrators(role: str) -> None:
    assert between("admin-workstation", role)


# Roles without a service of their own: machines that only ask others, and what no cloud has.
WITHOUT_SERVICE = {"app-layering-agent", "command-center", "mcs-worker", "netscaler-cpx", "netscaler-lom"}


@pytest.mark.parametrize("role", [name for name, role in CATALOG.roles.items() if role.kind == "host"])
def test_every_role_has_an_entry_about_its_own_service(role: str) -> None:
    about = [
        entry
        for entry in ENFORCED
        if entry.product not in OF_EVERY_SERVER
        and role in {member for one in (*entry.source, *entry.destination) for member in CATALOG.members(one)}
    ]
    assert about or role in WITHOUT_SERVICE | {"dhcp"}


def test_every_kind_of_authentication_of_an_adc_has_a_feature() -> None:
    kinds = {
        "ldaps", "ldap-plain", "ldap-gc", "ldap-gc-ssl", "radius-auth", "tacacs-auth", "adc-kerberos",
        "adc-identity-provider", "adc-certificate-status", "adc-mail-otp", "adc-push-otp",
    }  # fmt: skip
    assert kinds <= CATALOG.features.keys()


@pytest.mark.parametrize(
    "external",
    [
        {"service-tag": "AzureResourceManager"},
        {"addresses": ["10.9.0.10"]},
    ],
)
def test_an_addressed_management_api_is_an_ordinary_destination(external: dict[str, Any]) -> None:
    deployment = Deployment(
        name="site",
        cloud="azure",
        tiers={"ddc": ["10.0.0.0/28"]},
        external={"api": {"roles": ["ext-cloud-api"], **external}},
        features={"hosting-azure": True},
    )
    resolution = resolve(deployment, CATALOG)
    assert ("ddc", "api", "ddc-azure-api") in {
        (flow.source, flow.destination, flow.cause.id) for flow in resolution.flows
    }
    assert not [item for item in resolution.named if item.cause.id == "ddc-azure-api"]


def test_the_prefix_list_of_s3_is_a_destination_of_the_preparation_machine() -> None:
    deployment = Deployment(
        name="site",
        cloud="aws",
        tiers={"ddc": ["10.0.0.0/28"], "mcs-worker": ["10.0.1.0/24"]},
        external={"s3": {"roles": ["ext-cloud-api"], "prefix-list": {"id": "pl-0a1b2c3d", "max-entries": 3}}},
        features={"hosting-aws": True},
    )
    rules = compile_deployment(deployment).policy.group("mcs-worker").rules
    assert ("egress", "tcp 443", "pl-0a1b2c3d") in {
        (str(rule.direction), str(rule.service), str(rule.peer)) for rule in rules
    }


@pytest.mark.parametrize("entry", [one for one in CATALOG.entries if one.treatment == "platform"], ids=str)
def test_what_a_cloud_serves_itself_makes_no_rule_and_says_why(entry: Entry) -> None:
    assert entry.reason
    site: dict[str, Any] = {"name": "site", "tiers": {"ddc": ["10.0.0.0/28"]}, "cloud": "azure"}
    resolution = resolve(Deployment(**site), CATALOG)
    assert entry.id in {omission.entry for omission in resolution.omissions}
    assert entry.id not in {flow.cause.id for flow in resolution.flows}
