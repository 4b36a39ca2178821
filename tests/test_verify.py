"""What is deployed is held against the deployment, whoever wrote the modules: each spoiled root is found."""

from __future__ import annotations

import copy
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from support import real

from citrix_netpolicy import Deployment, InputError, cli
from citrix_netpolicy.found.evaluated import read_evaluated
from citrix_netpolicy.review import sight_of
from citrix_netpolicy.targets.aws.attributes import attributes_of
from citrix_netpolicy.targets.aws.groups import security_groups
from citrix_netpolicy.verify import fails, verify_deployed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from citrix_netpolicy import Compilation
    from citrix_netpolicy.findings import Finding

Resource = dict[str, Any]
State = dict[str, list[Resource]]


@cache
def site() -> Compilation:
    return real.compile_data(real.example("reference"))


@cache
def _whole() -> str:
    """A root that is right: our groups with their rules, subnets, and a machine for each tier."""
    case = real.Case.of(site())
    made: list[Resource] = []
    ids: dict[str, str] = {}
    for group in security_groups(case.policy, case.options).groups:
        ids[group.key] = f"grp{len(ids):05d}"
        tags = {"citrix-netpolicy:deployment": "contoso-prod", "citrix-netpolicy:tier": group.tier}
        made.append(
            resource(f'module.site.aws_security_group.tier["{group.key}"]', id=ids[group.key], tags=tags)
        )
    for group in security_groups(case.policy, case.options).groups:
        keys = {one.tier: one.tier for one in case.groups}
        for number, rule in enumerate(group.rules):
            values = attributes_of(rule, keys)
            if "tier" in values:
                values["referenced_security_group_id"] = ids[values.pop("tier")]
            kind = f"aws_vpc_security_group_{rule.direction}_rule"
            made.append(
                resource(
                    f"module.site.{kind}.this[{group.key}/{number}]",
                    security_group_id=ids[group.key],
                    **values,
                )
            )
    for tier, found in site().deployment.tiers.items():
        for number, prefix in enumerate(found.subnets):
            subnet = f"net-{tier}-{number}"
            made.append(resource(f"aws_subnet.{tier}[{number}]", id=subnet, cidr_block=str(prefix)))
            made.append(
                resource(
                    f"aws_instance.{tier}[{number}]",
                    id=f"i-{tier}-{number}",
                    subnet_id=subnet,
                    vpc_security_group_ids=[ids[tier]],
                    ami="abcdefgh",
                )
            )
    return json.dumps({"resources": made})


def resource(address: str, **values: Any) -> Resource:
    kind = address.removeprefix("module.site.").partition(".")[0]
    return {"address": address, "mode": "managed", "type": kind, "values": values}


def root() -> State:
    state: State = json.loads(_whole())
    return state


def judged(state: State) -> list[Finding]:
    content = json.dumps({"values": {"root_module": state}}).encode()
    return verify_deployed(site(), sight_of(site()), read_evaluated(content, "state.json"))


def values_of(state: State, address: str) -> dict[str, Any]:
    (found,) = (one["values"] for one in state["resources"] if one["address"] == address)
    values: dict[str, Any] = found
    return values


def group_of(state: State, tier: str) -> str:
    return str(values_of(state, f'module.site.aws_security_group.tier["{tier}"]')["id"])


def rules_of(state: State, way: str, tier: str) -> list[Resource]:
    group = group_of(state, tier)
    return [
        one
        for one in state["resources"]
        if one["type"] == f"aws_vpc_security_group_{way}_rule" and one["values"]["security_group_id"] == group
    ]


def test_a_root_that_is_right_has_no_finding() -> None:
    assert judged(root()) == []


# Harmless


def _second_group_that_opens_nothing(state: State) -> None:
    state["resources"].append(resource("aws_security_group.monitoring", id="sg-0123456789abcdef0"))
    values_of(state, "aws_instance.ddc[0]")["vpc_security_group_ids"].append("sg-0123456789abcdef0")


def _second_group_that_opens_what_is_open(state: State) -> None:
    _second_group_that_opens_nothing(state)
    some = rules_of(state, "ingress", "ddc")[0]
    more = copy.deepcopy(some)
    more["address"] = "aws_vpc_security_group_ingress_rule.more"
    more["values"]["security_group_id"] = "sg-0123456789abcdef0"
    state["resources"].append(more)


def _a_rule_in_two(state: State) -> None:
    (wide,) = [
        one
        for one in rules_of(state, "ingress", "ddc")
        if (one["values"].get("from_port"), one["values"].get("to_port")) == (5985, 5986)
    ]
    half = copy.deepcopy(wide)
    wide["values"]["to_port"] = 5985
    half["values"]["from_port"] = 5986
    half["address"] += ".half"
    state["resources"].append(half)


def _rules_of_the_old_kind(state: State) -> None:
    for one in rules_of(state, "ingress", "sql"):
        values = one["values"]
        one["type"] = "aws_security_group_rule"
        peer = values.pop("referenced_security_group_id", None)
        values |= {
            "type": "ingress",
            "protocol": values.pop("ip_protocol"),
            "source_security_group_id": peer or "zzzzzzzz",
        }
        values["cidr_blocks"] = [values.pop("cidr_ipv4")] if values.get("cidr_ipv4") else []


def _rules_inline(state: State) -> None:
    group = values_of(state, 'module.site.aws_security_group.tier["sql"]')
    blocks = []
    for one in rules_of(state, "ingress", "sql"):
        state["resources"].remove(one)
        values = one["values"]
        blocks.append(
            {
                "protocol": values["ip_protocol"],
                "from_port": values.get("from_port"),
                "to_port": values.get("to_port"),
                "security_groups": [values["referenced_security_group_id"]]
                if values.get("referenced_security_group_id")
                else [],
                "cidr_blocks": [values["cidr_ipv4"]] if values.get("cidr_ipv4") else [],
                "self": False,
            }
        )
    group["ingress"] = blocks


def _in_a_nested_module(state: State) -> None:
    inner = {"address": "module.a.module.b", "resources": state["resources"]}
    state.clear()
    state |= {"resources": [], "child_modules": [{"address": "module.a", "child_modules": [inner]}]}


@pytest.mark.parametrize(
    "change",
    [
        _second_group_that_opens_nothing,
        _second_group_that_opens_what_is_open,
        _a_rule_in_two,
        _rules_of_the_old_kind,
        _rules_inline,
        _in_a_nested_module,
    ],
)
def test_what_says_the_same_has_no_finding(change: Callable[[State], None]) -> None:
    state = root()
    change(state)
    assert judged(state) == []


# Spoiled


def _no_group(state: State) -> None:
    values_of(state, "aws_instance.vda[1]")["vpc_security_group_ids"] = []


def _other_group(state: State) -> None:
    values_of(state, "aws_instance.sql[0]")["vpc_security_group_ids"] = [group_of(state, "pvs")]


def _wide_second_group(state: State) -> None:
    _second_group_that_opens_nothing(state)
    state["resources"].append(
        resource(
            "aws_security_group_rule.everything",
            type="ingress",
            protocol="-1",
            from_port=0,
            to_port=0,
            cidr_blocks=["0.0.0.0/0"],
            security_group_id="sg-0123456789abcdef0",
        )
    )


def _rule_beside(state: State) -> None:
    state["resources"].append(
        resource(
            "aws_vpc_security_group_ingress_rule.mine",
            security_group_id=group_of(state, "sql"),
            ip_protocol="tcp",
            from_port=3389,
            to_port=3389,
            cidr_ipv4="10.99.7.0/26",
        )
    )


def _rule_lost(state: State) -> None:
    state["resources"].remove(rules_of(state, "ingress", "sql")[0])


def _port_moved(state: State) -> None:
    rules_of(state, "ingress", "sql")[0]["values"]["to_port"] = 1434


def _peer_swapped(state: State) -> None:
    rules_of(state, "ingress", "sql")[0]["values"]["referenced_security_group_id"] = group_of(state, "vda")


def _group_gone(state: State) -> None:
    group = group_of(state, "pvs")
    state["resources"] = [
        one
        for one in state["resources"]
        if group not in (one["values"].get("id"), one["values"].get("security_group_id"))
    ]


def _late_attachment(state: State) -> None:
    values_of(state, "aws_instance.pvs[0]")["primary_network_interface_id"] = "eni-1"
    _wide_second_group(state)
    values_of(state, "aws_instance.ddc[0]")["vpc_security_group_ids"].pop()
    state["resources"].append(
        resource(
            "aws_network_interface_sg_attachment.late",
            network_interface_id="eni-1",
            security_group_id="sg-0123456789abcdef0",
        )
    )


def _template_with_the_wrong_group(state: State) -> None:
    state["resources"].append(
        resource(
            "aws_launch_template.vda",
            id="lt-1",
            network_interfaces=[{"security_groups": [group_of(state, "vda")], "subnet_id": "net-sql-0"}],
        )
    )


@pytest.mark.parametrize(
    ("change", "code", "tier", "named"),
    [
        (_no_group, "not-attached", "vda", "aws_instance.vda[1]"),
        (_other_group, "not-attached", "sql", "aws_instance.sql[0]"),
        (_other_group, "attached-elsewhere", "pvs", "aws_instance.sql[0]"),
        (_wide_second_group, "opens", "ddc", "aws_security_group_rule.everything"),
        (_rule_beside, "opens", "sql", "aws_vpc_security_group_ingress_rule.mine"),
        (_rule_lost, "closes", "sql", "aws_instance.sql[0]"),
        (_port_moved, "opens", "sql", "module.site.aws_vpc_security_group_ingress_rule.this[sql/0]"),
        (_peer_swapped, "opens", "sql", "module.site.aws_vpc_security_group_ingress_rule.this[sql/0]"),
        (_peer_swapped, "closes", "sql", "tcp 1433"),
        (_group_gone, "no-group", "pvs", "pvs"),
        (_late_attachment, "opens", "pvs", "aws_security_group_rule.everything"),
        (_template_with_the_wrong_group, "attached-elsewhere", "vda", "aws_launch_template.vda"),
    ],
)
def test_a_spoiled_root_is_found_with_its_resource(
    change: Callable[[State], None], code: str, tier: str, named: str
) -> None:
    state = root()
    change(state)
    found = judged(state)
    assert fails(found)
    assert any((one.code, one.subject) == (code, tier) and named in one.message for one in found), found


def test_what_is_not_known_yet_is_told_and_never_taken_for_harmless() -> None:
    state = root()
    rules_of(state, "ingress", "sql")[0]["values"]["referenced_security_group_id"] = None
    found = judged(state)
    assert [one.code for one in found if one.subject == ""] == ["not-judged"]
    # What it might permit does not pass as far as is known.
    assert any(one.code == "closes" and one.subject == "sql" for one in found)


# The source


def lines_of(state: State) -> bytes:
    head = {"@level": "info", "type": "version"}
    tested = {"@level": "info", "@message": "x", "test_state": {"root_module": state}, "type": "test_state"}
    return "\n".join(json.dumps(one, separators=(",", ":")) for one in (head, tested)).encode()


def test_a_state_a_plan_and_a_test_say_the_same() -> None:
    state = root()
    plain = json.dumps({"values": {"root_module": state}}).encode()
    plan = json.dumps({"planned_values": {"root_module": state}}).encode()
    found = [read_evaluated(content, "x") for content in (plain, plan, lines_of(state))]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not-json"),
        (b"{", "not-json"),
        (b"\xff", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b"[]", "not-evaluated"),
        (b"{}", "not-evaluated"),
        (b'{"values": 1}', "not-evaluated"),
        (b'{"values": {"root_module": []}}', "not-evaluated"),
        (b'{"predictedResources": []}', "not-evaluated"),
        (b'{"@level":"info","type":"version"}', "not-json"),
        (b'{"provider_schemas": {}}', "not-evaluated"),
    ],
)
def test_what_is_no_state_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read_evaluated(content, "state.json")
    (problem,) = caught.value.problems
    assert problem.code == code
    assert str(problem.mark) == "state.json:1:1"


@pytest.mark.parametrize(
    "odd", [None, 7, "x", [], {}, {"values": None}, {"values": {}, "type": "aws_security_group"}]
)
def test_odd_resources_end_in_no_traceback(odd: Any) -> None:
    state = root()
    state["resources"] += [
        odd,
        {"type": "aws_security_group_rule", "values": {"protocol": odd, "cidr_blocks": odd}},
    ]
    content = json.dumps({"values": {"root_module": state}}).encode()
    read_evaluated(content, "state.json")


# The command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(Deployment(**real.example("reference")).to_yaml(), encoding="utf-8")
    return path


def test_the_command_judges_files_and_folders(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, good, bad = tmp_path / "out", tmp_path / "good.jsonl", tmp_path / "bad.json"
    assert cli.main(["compile", str(file), "--target", "terraform", "--out", str(out), "-q"]) == 0
    good.write_bytes(lines_of(root()))
    state = root()
    _no_group(state)
    bad.write_text(json.dumps({"values": {"root_module": state}}), encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["verify", str(file), str(out), str(good)]) == 0
    assert capsys.readouterr().out == "nothing differs\n"
    assert cli.main(["verify", str(file), str(good), str(bad), "--format", "json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert [(one["code"], one["subject"]) for one in data["findings"]] == [("not-attached", "vda")]
    for words in (["nowhere.json"], [str(good), "--network", "east"]):
        assert cli.main(["verify", str(file), *words]) == 2


def test_a_folder_that_was_edited_is_found(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["compile", str(file), "--target", "aws", "--out", str(out), "-q"]) == 0
    rules = out / "security-groups.json"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace('"ToPort": 1494', '"ToPort": 1495', 1), encoding="utf-8")
    capsys.readouterr()
    assert cli.main(["verify", str(file), str(out)]) == 1
    printed = capsys.readouterr().out
    assert "tcp 1495 is open and is not required" in printed
    assert "[opens]" in printed


@pytest.mark.slow
def test_a_root_that_terraform_has_worked_out_is_judged(terraform: real.Terraform, tmp_path: Path) -> None:
    """Real Terraform, with the real provider mocked: machines by `for_each` around the module."""
    case = real.Case.of(site())
    root = """
module "site" {
  source = "./site"
  vpc_id = aws_vpc.main.id
}

resource "aws_vpc" "main" {
  cidr_block = "10.20.0.0/16"
}

resource "aws_subnet" "ddc" {
  vpc_id     = aws_vpc.main.id
  cidr_block = "10.20.2.0/28"
}

resource "aws_instance" "ddc" {
  for_each               = toset(["a", "b"])
  ami                    = "ami-0123456789abcdef0"
  instance_type          = "m5.large"
  subnet_id              = aws_subnet.ddc.id
  vpc_security_group_ids = each.key == "a" ? module.site.security_group_ids["ddc"] : []
}
"""
    test = """
mock_provider "aws" {
  mock_resource "aws_vpc" {
    defaults = { id = "vpc-0123456789abcdef0" }
  }
}

run "judge" {
  command = apply
}
"""
    folder = terraform.module(tmp_path / "root", {"main.tf": root, "judge.tftest.hcl": test})
    real.lay(folder / "site", case.files("terraform"))
    terraform.run(folder, "init", "-input=false")
    said = terraform.run(folder, "test", "-json", "-verbose", "-filter=judge.tftest.hcl")
    found = verify_deployed(site(), sight_of(site()), read_evaluated(said.encode(), "judge.jsonl"))
    wrong = [one for one in found if one.severity != "note"]
    assert [(one.code, one.subject) for one in wrong] == [("not-attached", "ddc")]
    assert 'aws_instance.ddc["b"]' in wrong[0].message
