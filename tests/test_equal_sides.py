"""Tiers that say the same share what is worked out for it, and those that do not never do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from citrix_netpolicy import Deployment, compile_deployment
from citrix_netpolicy.policy import Direction

if TYPE_CHECKING:
    from pathlib import Path

SITE = """
name: site
networks: {{main: {{cloud: {cloud}}}}}
features: {{domain-controller-peers: false}}
tiers:
  a: {{roles: [domain-controller], subnets: [10.0.0.0/24]}}
  b: {{roles: [domain-controller], subnets: [10.0.2.0/24]}}
  c: {{roles: [domain-controller], subnets: [10.0.4.0/24]}}
flows:
  all:
    source: domain-controller
    destination: domain-controller
    services: [{{protocol: tcp, ports: ["443"]}}]
    reason: x
{more}
"""
MORE = '  one: {source: a, destination: c, services: [{protocol: tcp, ports: ["444"]}], reason: y}'


def _site(folder: Path, cloud: str, more: str = "") -> Deployment:
    file = folder / "site.yaml"
    file.write_text(SITE.format(cloud=cloud, more=more), encoding="utf-8")
    return Deployment.load(file)


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_equal_sides_are_one_object(cloud: str, tmp_path: Path) -> None:
    groups = compile_deployment(_site(tmp_path, cloud)).policy.groups
    for way in Direction:
        assert len({id(group.side(way)) for group in groups}) == 1


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_a_side_that_differs_is_its_own(cloud: str, tmp_path: Path) -> None:
    policy = compile_deployment(_site(tmp_path, cloud, MORE)).policy
    a, b, c = (policy.group(tier) for tier in "abc")
    assert a.side(Direction.INGRESS) is b.side(Direction.INGRESS)
    assert a.side(Direction.INGRESS) != c.side(Direction.INGRESS)
    assert b.side(Direction.EGRESS) is c.side(Direction.EGRESS)
    assert a.side(Direction.EGRESS) != b.side(Direction.EGRESS)
    opened = [rule.service for rule in a.side(Direction.EGRESS) if rule not in b.side(Direction.EGRESS)]
    assert {444} <= {port for span in opened for port in (span.first, span.last)}
