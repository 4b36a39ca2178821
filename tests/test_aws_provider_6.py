"""Modules for version 6 of the AWS provider, judged by real Terraform against a stand-in with its schema.

The stand-in is none of the provider: it knows the arguments, and keeps what was planned.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from support import real
from support.azurerm import terraform_with

from citrix_netpolicy import render

pytestmark = pytest.mark.slow

SCHEMA: Final = Path(__file__).parent / "data" / "aws-6-schema.json"
BY_HAND: Final = "STANDIN_AWS_BY_HAND"
SG: Final = "sg-0123456789abcdef0"


@pytest.fixture(scope="module")
def aws6(tmp_path_factory: pytest.TempPathFactory) -> real.Terraform:
    """Terraform with the stand-in, after one `init` that contacts nothing."""
    terraform = terraform_with(tmp_path_factory.mktemp("aws6"), "aws", SCHEMA)
    terraform.run(terraform.initialized, "init", "-input=false")
    return terraform


def small(**group: Any) -> dict[str, str]:
    """Return the module of a small site for version 6."""
    ddc: dict[str, Any] = {"roles": ["ddc"], "subnets": ["10.0.1.0/28"]}
    data: dict[str, Any] = {
        "name": "site",
        "edition": "2026.11",
        "networks": {"main": {"cloud": "aws", "aws-provider": 6}},
        "tiers": {
            "ddc": ddc | ({"group": group} if group else {}),
            "vda": {"roles": ["vda"], "subnets": ["10.0.4.0/24"]},
        },
    }
    return dict(render(real.compile_data(data), "terraform").files)


def site_of(terraform: real.Terraform, folder: Path, files: dict[str, str], **arguments: Any) -> real.Site:
    """Return a root module that calls the module of `files`."""
    call = {"source": "./site", "vpc_id": real.NO_VPC, "tags": real.TAGS, **arguments}
    root = {
        "provider": {"aws": {"region": real.REGION}},
        "module": {"site": call},
        "output": {"site": {"value": "${module.site}"}},
    }
    terraform.module(folder, {"main.tf.json": json.dumps(root)})
    site = real.Site(terraform, folder)
    site.place(files)
    terraform.run(folder, "get")
    return site


def exclusive(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a plan has for the rules of each group, all and alone."""
    changes = real.changes(plan, "aws_vpc_security_group_rules_exclusive")
    return {key: change for (_, key), change in changes.items()}


def test_a_module_for_version_6_is_valid_formatted_and_tested(aws6: real.Terraform, tmp_path: Path) -> None:
    for number, files in enumerate((small(), small(id=SG), small(name="controllers"))):
        folder = aws6.module(tmp_path / str(number), files)
        found = json.loads(aws6.run(folder, "validate", "-json"))
        assert (found["valid"], found["diagnostics"]) == (True, [])
        aws6.run(folder, "fmt", "-check", "-recursive", ".")
        assert "0 failed" in aws6.run(folder, "test")


@pytest.mark.parametrize(
    ("group", "owned"),
    [
        ({}, {"ddc", "vda"}),
        ({"id": SG}, {"vda"}),
        ({"id": SG, "audited": "2026-11-30"}, {"ddc", "vda"}),
        ({"name": "controllers"}, {"ddc", "vda"}),
    ],
)
def test_rules_are_all_that_a_group_of_ours_has(
    aws6: real.Terraform, tmp_path: Path, group: dict[str, Any], owned: set[str]
) -> None:
    site = site_of(aws6, tmp_path, small(**group), region="eu-west-1")
    plan = site.plan()
    assert exclusive(plan).keys() == owned
    made = {key for _, key in real.changes(plan, "aws_security_group")}
    assert made == {"ddc", "vda"} - ({"ddc"} if "id" in group else set())
    site.apply()
    state = json.loads(aws6.run(tmp_path, "show", "-json"))
    (module,) = state["values"]["root_module"]["child_modules"]
    resources = [one for one in module["resources"] if one["mode"] == "managed"]
    assert {one["values"]["region"] for one in resources if one["type"] != "terraform_data"} == {"eu-west-1"}
    rules: dict[tuple[str, str], set[str]] = {}
    for one in resources:
        if one["type"] in real.RULE_TYPES:
            place = (one["values"]["security_group_id"], real.RULE_TYPES[one["type"]])
            rules.setdefault(place, set()).add(one["values"]["id"])
    for one in resources:
        if one["type"] == "aws_vpc_security_group_rules_exclusive":
            for way in set(real.RULE_TYPES.values()):
                held = set(one["values"][f"{way}_rule_ids"])
                assert held == rules.get((one["values"]["security_group_id"], way), set())
    assert {tuple(change["actions"]) for change in real.changes(site.plan()).values()} == {("no-op",)}


def test_a_rule_added_by_hand_appears_in_the_plan(
    aws6: real.Terraform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(aws6, tmp_path, small(id=SG))
    site.plan()
    site.apply()
    by_hand = tmp_path / "by-hand.json"
    by_hand.write_text('["sgr-99999999999999999"]', encoding="utf-8")
    monkeypatch.setitem(aws6.environment, BY_HAND, str(by_hand))
    plan = site.plan()
    # It is seen where the group is ours, and not on the one that others have made.
    (change,) = exclusive(plan).values()
    assert change["actions"] == ["update"]
    assert set(change["before"]["ingress_rule_ids"]) - set(change["after"]["ingress_rule_ids"]) == {
        "sgr-99999999999999999"
    }


def test_a_module_for_both_versions_is_valid_with_version_6(aws6: real.Terraform, tmp_path: Path) -> None:
    folder = aws6.module(
        tmp_path, real.Case.of(real.compile_data(real.example("reference"))).files("terraform")
    )
    assert json.loads(aws6.run(folder, "validate", "-json"))["valid"]
