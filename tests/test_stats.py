"""The numbers that people judge a run by: rules, naive count, lower bound and its certificate."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.slow_minimize import slowly_minimized

from citrix_netpolicy import Compilation, Deployment, Direction, Stats, compile_deployment, render, stats_of
from citrix_netpolicy.cover import minimum_cover
from citrix_netpolicy.reports.summary import summary_lines
from citrix_netpolicy.targets import TARGETS

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").rglob("deployment.yaml"))
CLOUD_TARGETS = [(cloud, target) for target, clouds in TARGETS.items() for cloud in clouds]


def _site(cloud: str, **more: Any) -> Compilation:
    """Compile a tier beside which others have neighbouring subnets, so that prefixes can be joined."""
    return compile_deployment(
        Deployment(
            name="site",
            networks={"main": {"cloud": cloud}},
            tiers={
                "web": {"roles": ["ntp"], "subnets": ["10.0.0.0/28"]},
                "app": {"roles": ["smtp"], "subnets": ["10.0.0.32/28", "10.0.0.48/28"]},
            },
            flows={
                "metrics": {
                    "source": "app",
                    "destination": "web",
                    "services": [{"protocol": "tcp", "ports": [9100, 9182]}],
                    "reason": "Metrics",
                }
            },
            **({"peers": "cidr"} | more),
        )
    )


@pytest.mark.parametrize(("cloud", "target"), CLOUD_TARGETS)
def test_the_numbers_of_a_small_site_are_those_one_counts(cloud: str, target: str) -> None:
    compilation = _site(cloud)
    web, app = sorted(
        stats_of(compilation, render(compilation, target)).groups, key=lambda group: group.tier != "web"
    )
    # Two prefixes x two ports in; Azure says them in one rule, AWS joins the prefixes to one and has two.
    assert (web.network, web.tier, web.naive, web.gap) == ("main", "web", 4, 0)
    assert web.rules == web.lower_bound == (2 if cloud == "aws" else 1)
    assert (app.tier, app.naive) == ("app", 2)
    assert app.rules == app.lower_bound == (2 if cloud == "aws" else 1)
    assert web.certificate == app.certificate == ("maximal pairs" if cloud == "aws" else "fooling set")


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_no_group_of_an_example_has_a_rule_too_many(path: Path) -> None:
    compilation = compile_deployment(Deployment.load(path))
    for network, part in compilation.deployment.networks.items():
        targets = [target for target, clouds in TARGETS.items() if part.cloud in clouds]
        found = [stats_of(compilation, render(compilation, target, network)) for target in targets]
        assert all(stats == found[0] for stats in found)
        groups = {group.tier: group for group in found[0].groups}
        for group in compilation.spelled_out.in_network(network).groups:
            told = groups.pop(group.tier)
            assert told.naive == len(tuple(group.rules))
            assert told.gap == 0
            assert told.certificate != "none"
            if part.cloud == "aws":
                sides = (tuple(group.side(way)) for way in Direction)
                assert told.lower_bound == sum(len(slowly_minimized(side)) for side in sides)
        assert groups == {}


def test_a_sum_is_that_of_its_groups() -> None:
    compilation = _site("aws")
    stats = stats_of(compilation, render(compilation, "aws"))
    assert (stats.rules, stats.naive, stats.lower_bound, stats.gap) == (4, 6, 4, 0)
    assert (Stats(()).rules, Stats(()).gap) == (0, 0)


def test_prefixes_that_stay_as_declared_leave_a_gap_and_the_summary_names_its_group() -> None:
    compilation = _site("aws", cidrs="stable")
    module = render(compilation, "terraform")
    stats = {group.tier: group for group in stats_of(compilation, module).groups}
    assert (stats["web"].rules, stats["web"].lower_bound, stats["web"].gap) == (4, 2, 2)
    assert stats["web"].certificate == "none"
    assert (stats["app"].gap, stats["app"].certificate) == (0, "maximal pairs")
    lines = list(summary_lines(compilation, module))
    assert lines[0].startswith("site: 2 groups, 6 rules (lower bound 4); 6 when")
    assert lines[1] == "  network main: app 2, web 4 (lower bound 2)"
    told = list(summary_lines(compilation, module, verbose=True))
    assert "  main/web: 4 rules, naive 4, lower bound 2, certificate: none" in told
    assert "  main/app: 2 rules, naive 2, lower bound 2, certificate: maximal pairs" in told


def _crossing(number: int) -> Compilation:
    """Compile a tier that each of its peers speaks to on every port but one, as many ports as peers."""
    ports = range(1000, 1000 + 2 * number, 2)
    return compile_deployment(
        Deployment(
            name="site",
            networks={"main": {"cloud": "azure"}},
            tiers={"web": {"roles": ["ntp"], "subnets": ["10.0.0.0/28"]}},
            external={
                f"peer-{peer}": {"roles": ["tacacs"], "addresses": [f"192.0.2.{2 * peer}"]}
                for peer in range(number)
            },
            flows={
                f"flow-{peer}": {
                    "source": f"peer-{peer}",
                    "destination": "web",
                    "services": [
                        {"protocol": "tcp", "ports": [port for at, port in enumerate(ports) if at != peer]}
                    ],
                    "reason": "All but one",
                }
                for peer in range(number)
            },
        )
    )


def test_what_a_fooling_set_cannot_prove_a_search_does() -> None:
    compilation = _crossing(4)
    (web,) = stats_of(compilation, render(compilation, "azure")).groups
    assert (web.rules, web.lower_bound, web.certificate) == (4, 4, "search")


def test_a_search_that_gave_up_certifies_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "citrix_netpolicy.targets.azure.cover.minimum_cover", partial(minimum_cover, budget=0)
    )
    compilation = _crossing(8)
    module = render(compilation, "azure")
    (web,) = stats_of(compilation, module).groups
    assert web.gap > 0
    assert web.certificate == "none"
    assert f"web {web.rules} (lower bound {web.lower_bound})" in "\n".join(summary_lines(compilation, module))
