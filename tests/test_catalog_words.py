"""What the vocabularies of the shipped catalogue say, written down a second time.

A slip in a DNS name, or in what a feature requires, changes no flow that another test looks at.
"""

from __future__ import annotations

from itertools import product

import pytest

from citrix_netpolicy import Catalog, Deployment, InputError
from citrix_netpolicy.resolve import resolve

GATEWAY_SERVICE = {"*.nssvc.net", "*.c.nssvc.net", "*.g.nssvc.net"}
ZERO_TOUCH = {"*.citrixnetworkapi.net"}
# Every entry with treatment `name`, and the names that a firewall or proxy must let through for it.
NAMES: dict[str, set[str]] = {
    "adc-aws-failover": {"*.amazonaws.com"},
    "adc-bot-signatures": set(),  # the document prints no name
    "adc-call-home": {"callhome.citrix.com", "cis.citrix.com", "taas.citrix.com"},
    "adc-certificate-status": set(),  # they stand in the certificates
    "adc-identity-provider": set(),  # they are those of the provider
    "adc-license-activation": {"las.cloud.com"},
    "adc-push-otp": {"mfa.cloud.com", "trust.citrixworkspacesapi.net"},
    "adc-waf-signatures": set(),
    "admin-pvs-console-cloud": set(),
    "agent-console-service": {
        "adm.cloud.com",
        "*.adm.cloud.com",
        "agent.adm.cloud.com",
        "*.agent.adm.cloud.com",
    },
    "app-layering-aws-api": {"ec2.amazonaws.com"},
    "app-layering-azure-api": {"management.azure.com"},
    "app-layering-google-cloud-api": {"compute.googleapis.com"},
    "app-layering-telemetry": {"api.unidesk.com"},
    "cloud-connector-citrix-cloud": {
        "*.azureedge.net",
        "*.blob.core.windows.net",
        "*.citrixdata.com",
        "*.citrixnetworkapi.net",
        "*.citrixworkspacesapi.net",
        "*.cloud.com",
        "*.nssvc.net",
        "*.servicebus.windows.net",
        "*.sharefile.com",
        "*.xendesktop.net",
        "login.citrixonline.com",
    },
    "cloud-connector-digicert-code-signing": {"dl.cacerts.digicert.com"},
    "cloud-connector-digicert-http": {"*.digicert.com"},
    "cloud-connector-digicert-https": {"*.digicert.com"},
    "cloud-connector-digicert-root": {"dl.cacerts.digicert.com"},
    "cloud-connector-host-management": {"*.servicebus.windows.net"},
    "endpoint-management-gateway-mam": {"*.xm.cloud.com"},
    "license-server-citrix-cloud": {"*.citrixworkspacesapi.net", "*.citrixnetworkapi.net", "cis.citrix.com"},
    "mobile-device-apns": {"*.push.apple.com"},
    "mobile-device-fcm": {"mtalk.google.com", "fcm.googleapis.com"},
    "powershell-sdk-citrix-cloud": {"*.cloud.com", "*.citrixworkspacesapi.net", "*.xendesktop.net"},
    "rendezvous-edt": GATEWAY_SERVICE,
    "rendezvous-tcp": GATEWAY_SERVICE,
    "rendezvous-v2-control": {"*.xendesktop.net"},
    "sdwan-center-zero-touch": ZERO_TOUCH,
    "sdwan-zero-touch": ZERO_TOUCH,
    "wem-service-agent": {"*.wem.cloud.com"},
    "xenmobile-apns": {"*.push.apple.com"},
    "xenmobile-cloud-services": set(),
    "console-license-activation": {"las.cloud.com"},
    "ddc-aws-api": {"*.amazonaws.com"},
    "ddc-azure-api": {"management.azure.com", "login.microsoftonline.com", "*.blob.core.windows.net"},
    "license-activation": {
        "las.cloud.com",
        "cis.citrix.com",
        "trust.citrixnetworkapi.net",
        "trust.citrixworkspacesapi.net",
        "core.citrixworkspacesapi.net",
        "customers.citrixworkspacesapi.net",
    },
    "mcs-worker-s3": {"*.amazonaws.com"},
    "uberagent-license": set(),  # it has those of regions alone
}
REQUIRES: dict[str, set[str]] = {
    "ad-member-dynamic-rpc": {"ad-member-baseline"},
    "adc-cloud-failover": {"adc-ha"},
    "adm-agent": {"adm"},
    "adm-ha": {"adm"},
    "app-layering-aws": {"app-layering"},
    "app-layering-azure": {"app-layering"},
    "app-layering-google-cloud": {"app-layering"},
    "app-layering-nfs": {"app-layering"},
    "app-layering-nutanix": {"app-layering"},
    "app-layering-packer": {"app-layering"},
    "app-layering-telemetry": {"app-layering"},
    "app-layering-unverified": {"app-layering"},
    "cloud-host-management": {"citrix-cloud"},
    "email-notify": {"adm"},
    "endpoint-management-unverified": {"endpoint-management"},
    "fas-ca-dynamic-ports": {"fas"},
    "gslb-adns": {"gslb"},
    "netflow": {"sdwan"},
    "pooled-licensing": {"adm"},
    "pvs-bdm": {"pvs"},
    "pvs-imaging": {"pvs"},
    "pvs-pxe": {"pvs"},
    "pvs-target-control": {"pvs"},
    "pvs-tftp": {"pvs"},
    "radius-legacy-port": {"radius-auth"},
    "remote-assistance-dynamic-ports": {"remote-assistance"},
    "rendezvous": {"citrix-cloud", "gateway-service"},
    "rendezvous-v2": {"rendezvous", "session-reliability"},
    "sdwan-wanop-ssl": {"sdwan"},
    "sdwan-ztd": {"sdwan"},
    "tls-to-print-server": {"universal-print"},
    "wem-1909": {"wem"},
}
CONFLICTS: set[frozenset[str]] = {frozenset({"wem-1909", "wem-1912"})}

CATALOG = Catalog.default()


def test_every_destination_that_is_known_by_name_has_its_names() -> None:
    named = {entry.id: set(entry.names) for entry in CATALOG.entries if entry.treatment == "name"}
    assert named == NAMES


def test_names_of_regions_are_those_of_the_pages() -> None:
    everywhere = {"api.cloud.com", "api-us.cloud.com"}
    assert {
        entry.id: {region: set(names) for region, names in entry.regional.items()}
        for entry in CATALOG.entries
        if entry.regional
    } == {
        "license-activation": {"eu": {"api-eu.cloud.com"}},
        "uberagent-license": {
            "us": everywhere, "eu": everywhere, "ap-s": everywhere, "jp": {"api.citrixcloud.jp"},
        },
    }  # fmt: skip


def test_names_stand_where_a_destination_is_known_by_them_and_nowhere_else() -> None:
    others = {entry.id for entry in CATALOG.entries if entry.names and entry.treatment != "name"}
    again = {entry.id for entry in CATALOG.entries if entry.duplicate_of in NAMES}
    assert others <= again
    for id_ in others:
        entry = CATALOG.entry(id_)
        assert set(entry.names) == NAMES[entry.duplicate_of or ""], id_


@pytest.mark.parametrize("name", sorted({name for names in NAMES.values() for name in names}))
def test_a_name_is_one_that_a_filter_takes(name: str) -> None:
    labels = name.removeprefix("*.").split(".")
    assert len(labels) >= 2
    assert all(label.isascii() and label.replace("-", "").isalnum() and label.islower() for label in labels)


def test_features_require_what_they_are_a_part_of() -> None:
    found = {name: set(feature.requires) for name, feature in CATALOG.features.items() if feature.requires}
    assert found == REQUIRES


def test_features_conflict_where_only_one_can_be() -> None:
    found = {
        frozenset({name, other}) for name, feature in CATALOG.features.items() for other in feature.conflicts
    }
    assert found == CONFLICTS
    # Either of the two says so, whichever the reader looks at.
    assert all(
        two in CATALOG.features[one].conflicts and one in CATALOG.features[two].conflicts
        for one, two in map(sorted, CONFLICTS)
    )


def _refusals(features: dict[str, bool]) -> set[str]:
    deployment = Deployment(name="site", cloud="aws", tiers={"vda": ["10.0.0.0/24"]}, features=features)
    try:
        resolve(deployment, CATALOG)
    except InputError as error:
        return {f"{problem.code} {problem.path[-1]}" for problem in error.problems}
    return set()


def _with_all(*names: str) -> dict[str, bool]:
    """Turn features on with all that they require, and what those conflict with off."""
    waiting, on = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        on.add(name)
        waiting += REQUIRES.get(name, set()) - on
    off = {other for pair in CONFLICTS if len(pair & on) == 1 for other in pair - on}
    return dict.fromkeys(on, True) | dict.fromkeys(off, False)


@pytest.mark.parametrize("name", CATALOG.features)
def test_a_feature_is_taken_with_all_that_it_requires_and_refused_without(name: str) -> None:
    assert _refusals(_with_all(name)) == set()
    for needed in REQUIRES.get(name, ()):
        assert f"feature-needed {name}" in _refusals(_with_all(name) | {needed: False})


def test_features_are_refused_together_exactly_where_they_conflict() -> None:
    for one, two in map(sorted, CONFLICTS):
        found = _refusals({**_with_all(one), **_with_all(two), one: True, two: True})
        assert [line for line in found if line.startswith("feature-conflict")]
    # All that do not conflict go together.
    for off in product(*CONFLICTS):
        assert _refusals(dict.fromkeys(CATALOG.features, True) | dict.fromkeys(off, False)) == set()
