"""Acceptances: losses that a deployment accepts by name, for a tier, until a day."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from citrix_netpolicy import Deployment, InputError, Severity, compile_deployment, render
from citrix_netpolicy.errors import Mark
from citrix_netpolicy.syntax import document

ICMP = {
    "source": "ddc",
    "destination": "vda",
    "services": [{"protocol": "icmp", "type": 8}],
    "reason": "Operators ping session hosts",
}
ACCEPTED = {"finding": "icmp-widened", "subject": ["ddc", "vda"], "reason": "Agreed with security"}
SITE: dict[str, Any] = {
    "name": "site",
    "cloud": "azure",
    "tiers": {"ddc": ["10.0.1.0/28"], "vda": ["10.0.2.0/24"], "sql": ["10.0.3.0/28"]},
    "flows": {"ping": ICMP},
}


def site(*accept: dict[str, Any], **more: Any) -> Deployment:
    return Deployment(**{**SITE, "accept": accept, **more})


def idle(deployment: Deployment, target: str = "azure", network: str | None = None) -> list[str]:
    module = render(compile_deployment(deployment), target, network)
    return [finding.subject for finding in module.findings if finding.code == "acceptance-without-effect"]


def expired(deployment: Deployment, today: date | None) -> list[str]:
    findings = compile_deployment(deployment, today=today).findings
    return [finding.message for finding in findings if finding.code == "acceptance-expired"]


def test_the_subject_is_a_tier() -> None:
    with pytest.raises(InputError) as caught:
        site({**ACCEPTED, "subject": ["ddc", "vdaa", "ping"]})
    problems = caught.value.problems
    assert [(problem.code, problem.path) for problem in problems] == [
        ("unknown-tier", ("accept", 0, "subject", 1)),
        ("unknown-tier", ("accept", 0, "subject", 2)),
    ]
    assert problems[0].hint == "did you mean `vda`?"


def test_an_external_is_no_subject() -> None:
    with pytest.raises(InputError, match="unknown tier `ntp`"):
        site({**ACCEPTED, "subject": "ntp"}, external={"ntp": ["10.9.0.1"]})


def test_an_acceptance_says_who_decided_and_where() -> None:
    deployment = site({**ACCEPTED, "until": "2027-03-31", "ticket": "NET-7", "owner": "Network team"})
    (acceptance,) = deployment.accept
    assert (acceptance.until, acceptance.ticket, acceptance.owner) == ("2027-03-31", "NET-7", "Network team")
    assert site({**ACCEPTED, "until": date(2027, 3, 31)}).accept[0].until == "2027-03-31"


@pytest.mark.parametrize(
    "until",
    ["2027-02-29", "31.03.2027", "20270331", "2027-W13-3", "2027-3-31", "", 20270331, datetime(2027, 3, 31)],
)
def test_until_is_a_day(until: Any) -> None:
    with pytest.raises(InputError) as caught:
        site({**ACCEPTED, "until": until})
    assert [problem.path for problem in caught.value.problems] == [("accept", 0, "until")]


def test_the_day_needs_no_quotes_in_a_file() -> None:
    text = """\
name: site
cloud: azure
tiers: {ddc: [10.0.1.0/28]}
accept:
  - {finding: icmp-widened, subject: ddc, reason: Agreed, until: 2027-03-31}
"""
    deployment = Deployment.from_document(document.parse(text.encode(), "site.yaml"))
    assert deployment.accept[0].until == "2027-03-31"
    (finding,) = [
        finding
        for finding in compile_deployment(deployment, today=date(2028, 1, 1)).findings
        if finding.code == "acceptance-expired"
    ]
    assert finding.locations == (Mark("site.yaml", 5, 59),)
    (finding,) = [
        finding
        for finding in render(compile_deployment(deployment), "azure").findings
        if finding.code == "acceptance-without-effect"
    ]
    assert finding.locations == (Mark("site.yaml", 5, 29),)


def test_an_acceptance_expires_after_its_last_day() -> None:
    deployment = site({**ACCEPTED, "until": "2027-03-31", "owner": "Network team"}, ACCEPTED)
    assert expired(deployment, date(2027, 3, 31)) == []
    assert expired(deployment, date(2027, 4, 1)) == [
        "`icmp-widened` is accepted until 2027-03-31, which has passed (owner: Network team)"
    ]
    assert expired(deployment, None) == []
    assert expired(deployment, datetime(2027, 3, 31, 23, 59)) == []
    assert len(expired(deployment, datetime(2027, 4, 1))) == 1


def test_a_day_changes_no_byte() -> None:
    deployment = site({**ACCEPTED, "until": "2027-03-31"})
    days = (None, date(2026, 1, 1), date(2030, 1, 1))
    compiled = [compile_deployment(deployment, today=day) for day in days]
    for target in ("azure", "terraform", "bicep"):
        modules = [render(compilation, target) for compilation in compiled]
        assert all((module.files, module.about) == (modules[0].files, modules[0].about) for module in modules)


def test_an_accepted_loss_is_in_use() -> None:
    assert idle(site(ACCEPTED)) == []


def test_an_acceptance_of_nothing_is_found() -> None:
    wide = {**ACCEPTED, "subject": ["ddc", "vda", "sql"]}
    other = {**ACCEPTED, "finding": "icmpv6-blocked", "subject": "vda"}
    assert idle(site(wide, other)) == ["sql", "vda"]
    module = render(compile_deployment(site(wide)), "azure")
    assert {finding.severity for finding in module.findings if "without-effect" in finding.code} == {
        Severity.WARNING
    }


def test_a_loss_of_another_cloud_is_none_in_aws() -> None:
    assert idle(site({**ACCEPTED, "subject": "vda"}, cloud="aws"), "terraform") == ["vda"]


def test_only_the_networks_of_this_run_are_judged() -> None:
    networks = {"east": {"cloud": "azure"}, "west": {"cloud": "azure"}}
    tiers = {
        "ddc": {"subnets": ["10.0.1.0/28"], "network": "east"},
        "vda": {"subnets": ["10.0.2.0/24"], "network": "west"},
    }
    deployment = Deployment(name="site", networks=networks, tiers=tiers, accept=[ACCEPTED])
    assert idle(deployment, network="east") == ["ddc"]
    assert idle(deployment) == ["ddc", "vda"]
