"""Addresses that cannot hold what a deployment puts there are refused, and their neighbours are not."""

from __future__ import annotations

import pytest

from citrix_netpolicy import Deployment, InputError, compile_deployment
from citrix_netpolicy.syntax import document

EVERYWHERE = ["aws", "azure"]
NEVER_A_SUBNET = [
    ("0.0.0.0/0", EVERYWHERE, "too wide"),
    ("::/0", EVERYWHERE, "too wide"),
    ("128.0.0.0/1", EVERYWHERE, "too wide"),
    ("10.0.0.0/7", EVERYWHERE, "too wide"),
    ("2000::/3", EVERYWHERE, "too wide"),
    ("0.1.2.0/24", EVERYWHERE, "has no address yet"),
    ("127.0.0.1", EVERYWHERE, "loopback"),
    ("::1", EVERYWHERE, "loopback"),
    ("169.254.169.254", EVERYWHERE, "link-local"),
    ("169.254.0.0/16", EVERYWHERE, "link-local"),
    ("169.0.0.0/8", EVERYWHERE, "link-local"),
    ("fe80::/64", EVERYWHERE, "link-local"),
    ("224.0.0.0/24", EVERYWHERE, "multicast"),
    ("ff02::1", EVERYWHERE, "multicast"),
    ("255.255.255.255", EVERYWHERE, "reserved"),
    ("240.0.0.0/8", EVERYWHERE, "reserved"),
    ("::10.0.0.0/104", EVERYWHERE, "IPv4 inside IPv6"),
    ("64:ff9b::/96", EVERYWHERE, "NAT64"),
    ("64:ff9b::a00:0/120", EVERYWHERE, "NAT64"),
    ("168.63.129.16", ["azure"], "Azure's own platform"),
    ("168.63.0.0/16", ["azure"], "Azure's own platform"),
    ("fd00:ec2::254", ["aws"], "AWS' own services"),
]
FINE_AS_A_SUBNET = [
    ("10.0.0.0/8", EVERYWHERE),
    ("1.0.0.0/24", EVERYWHERE),
    ("126.255.255.0/24", EVERYWHERE),
    ("128.0.0.0/9", EVERYWHERE),
    ("100.64.0.0/10", EVERYWHERE),
    ("169.253.0.0/16", EVERYWHERE),
    ("169.255.0.0/16", EVERYWHERE),
    ("223.255.255.0/24", EVERYWHERE),
    ("192.0.2.0/24", EVERYWHERE),
    ("10.0.0.1", EVERYWHERE),
    ("2001:db8::/32", EVERYWHERE),
    ("fd10::/16", EVERYWHERE),
    ("fd12:3456:789a::/48", EVERYWHERE),
    ("168.63.129.16", ["aws"]),
    ("168.63.129.17", EVERYWHERE),
    ("fd00:ec2::254", ["azure"]),
    ("64:ff9a::/32", EVERYWHERE),
]
NEVER_A_PEER = [
    "127.0.0.0/8",
    "::1",
    "169.254.169.254",
    "fe80::1",
    "239.1.1.1",
    "ff05::/16",
    "0.0.0.0",
    "255.255.255.255",
]
FINE_AS_A_PEER = [
    "0.0.0.0/0",
    "::/0",
    "128.0.0.0/1",
    "2000::/3",
    "64:ff9b::/96",
    "168.63.129.16",
    "fd00:ec2::23",
    "8.8.8.8",
]


def _load(cloud: str, subnet: str = "10.0.0.0/24", address: str = "192.0.2.1") -> Deployment:
    text = f"""\
name: site
cloud: {cloud}
tiers:
  ddc: [{subnet!r}]
external:
  ntp: [{address!r}]
"""
    return Deployment.from_document(document.parse(text.encode(), "site.yaml"))


@pytest.mark.parametrize(("prefix", "clouds", "why"), NEVER_A_SUBNET)
def test_what_cannot_be_a_subnet_is_refused_with_its_line(prefix: str, clouds: list[str], why: str) -> None:
    for cloud in clouds:
        with pytest.raises(InputError) as caught:
            _load(cloud, subnet=prefix)
        (problem,) = caught.value.problems
        assert str(problem).startswith("site.yaml:4:9: tiers.ddc.subnets[0]: `")
        assert problem.code == "impossible-address"
        assert why in problem.message


@pytest.mark.parametrize(("prefix", "clouds"), FINE_AS_A_SUBNET)
def test_what_a_site_may_have_is_a_subnet(prefix: str, clouds: list[str]) -> None:
    for cloud in clouds:
        compile_deployment(_load(cloud, subnet=prefix))


@pytest.mark.parametrize("prefix", NEVER_A_PEER)
def test_what_cannot_be_a_peer_is_refused_with_its_line(prefix: str) -> None:
    with pytest.raises(InputError) as caught:
        _load("aws", address=prefix)
    (problem,) = caught.value.problems
    assert str(problem).startswith("site.yaml:6:9: external.ntp.addresses[0]: `")


@pytest.mark.parametrize("prefix", FINE_AS_A_PEER)
def test_what_may_be_a_peer_is_one(prefix: str) -> None:
    for cloud in EVERYWHERE:
        compile_deployment(_load(cloud, address=prefix))


def _refused(**changes: object) -> list[str]:
    site: dict[str, object] = {"name": "site", "cloud": "azure", "tiers": {"ddc": ["10.0.0.0/24"]}}
    site |= changes
    if "networks" in changes:
        del site["cloud"]
    with pytest.raises(InputError) as caught:
        Deployment(**site)
    return [problem.code for problem in caught.value.problems]


NETWORKS = [["east", "East"], ["con"], ["NUL"], ["nul.txt"], ["Com1"], ["lpt9.a.b"], ["aux", "x"]]


@pytest.mark.parametrize("names", NETWORKS)
def test_networks_that_cannot_be_folders_everywhere_are_refused(names: list[str]) -> None:
    tiers = {
        f"ddc{number}": {"roles": "ddc", "subnets": f"10.0.{number}.0/24", "network": name}
        for number, name in enumerate(names)
    }
    codes = _refused(networks={name: {"cloud": "aws"} for name in names}, tiers=tiers)
    assert codes == [("duplicate-name" if len(names) == 2 and names[0] == "east" else "invalid-value")]


@pytest.mark.parametrize("name", ["console", "comm1", "com", "COM10", "nully", "east-1"])
def test_networks_that_only_look_alike_are_fine(name: str) -> None:
    tiers = {"ddc": {"subnets": "10.0.0.0/24", "network": name}}
    assert Deployment(name="site", networks={name: {"cloud": "aws"}, "b": {"cloud": "aws"}}, tiers=tiers)


@pytest.mark.parametrize("version", ["2025-19-39", "2025-02-30", "2025-00-01-preview", "2025-13-01"])
def test_an_api_version_is_a_day(version: str) -> None:
    codes = _refused(networks={"main": {"cloud": "azure", "bicep-api-version": version}})
    assert codes == ["invalid-value"]


def test_an_entry_is_excluded_once() -> None:
    exclude = [{"entry": "ddc-peer", "reason": "one"}, {"entry": "ddc-peer", "reason": "two"}]
    assert _refused(exclude=exclude) == ["duplicate-value"]


def test_a_letter_that_looks_like_another_is_named() -> None:
    key = "t\u0456ers"
    with pytest.raises(InputError) as caught:
        Deployment(**{key: {}})
    hints = [problem.hint for problem in caught.value.problems if problem.code == "unknown-key"]
    assert hints == [
        "`\u0456` is CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I; did you mean `tiers`?",
    ]
