"""Target `terraform` in AWS, judged by Terraform and the schema of the real provider. Nothing is applied."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hcl2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import real

from citrix_netpolicy import Compilation, InputError, TargetError, traffic_of
from citrix_netpolicy.syntax import hcl
from citrix_netpolicy.targets.aws.groups import security_groups

if TYPE_CHECKING:
    from collections.abc import Callable

# What a template, a string or a comment of HCL could take for its own.
NASTY = [
    "a}${x}",
    "it%{if}",
    'q"',
    "${",
    "%{",
    "$${",
    "%%{",
    "$$${x}",
    "$$$${x}",
    "%%%{x}",
    "$",
    "%",
    "$$",
    "a$",
    "{}",
    "\\",
    "\\\\",
    "\\n",
    "\\${x}",
    "$\\{",
    '\\"',
    "one\ntwo\rthree\r\nfour",
    "tab\there",
    "é\u0301 \u00ad \u2028 \u200b \U0001f600 \U000e0001",
    "\u0000\u0001\u001b\u007f\u0085",
    "# no // comment /* at */ all",
    "<<EOT",
    "",
    " ",
]
# Names that AWS accepts and HCL could misread.
NASTY_TIERS = [
    "a}${x}",
    "$${y}",
    "$$${z}",
    "# x",
    "//",
    "/*",
    "0",
    "1x",
    "null",
    "true",
    "a b",
    "a/b",
    "-",
    "x=y",
]
NASTY_REASON = 'say "hi" \\ and \\n ${path.module} %{if true} $${x}\n<<EOT\ttab é | `tick` -> <b> & more'


def nasty_data() -> dict[str, Any]:
    """A deployment of names and reasons that try to leave their quotes; one of its tiers is split."""
    return {
        "name": "nasty",
        "cloud": "aws",
        "tiers": {
            name: {"roles": ["vda"], "subnets": [f"10.1.{number}.0/24", f"2001:db8:{number}::/64"]}
            for number, name in enumerate(NASTY_TIERS)
        },
        "external": {
            "ex ${x}": {"roles": ["user-device"], "addresses": [f"192.0.2.{2 * n}" for n in range(40)]},
            "list %{": {
                "roles": ["user-device"],
                "prefix-list": {"id": "pl-0a1b2c3d4e5f60718", "max-entries": 3},
            },
            'group "': {
                "roles": ["domain-controller"],
                "security-group": "123456789012/sg-0f1e2d3c4b5a69788",
            },
        },
        "features": {"on-prem-site": False, "gateway": False},
        "flows": {
            "mesh": {
                "source": NASTY_TIERS[:6],
                "destination": NASTY_TIERS[:6],
                "services": [
                    {"protocol": "icmp", "type": 3, "code": 4},
                    {"protocol": "icmpv6"},
                    {"protocol": "esp"},
                    {"protocol": 89},
                    {"protocol": "udp", "ports": ["1-5"]},
                ],
                "reason": NASTY_REASON,
            },
            "in": {
                "source": ["ex ${x}", "list %{"],
                "destination": NASTY_TIERS[0],
                "services": [{"protocol": "tcp", "ports": [443, "8000-8010"]}],
                "reason": NASTY_REASON,
            },
            "out": {
                "source": NASTY_TIERS,
                "destination": 'group "',
                "services": [{"protocol": "tcp", "ports": [636]}],
                "reason": NASTY_REASON * 9,
            },
        },
    }


each_module = pytest.mark.parametrize(
    ("name", "network"),
    [
        pytest.param("reference", "main", id="reference"),
        pytest.param("two-networks", "control", id="two-networks-control"),
        pytest.param("two-networks", "workload", id="two-networks-workload"),
        pytest.param("nasty", "main", id="nasty"),
    ],
)


@pytest.fixture(scope="session")
def nasty() -> Compilation:
    return real.compile_data(nasty_data())


@pytest.fixture
def case(
    name: str,
    network: str,
    reference: Compilation,
    two_networks: Compilation,
    nasty: Compilation,
) -> real.Case:
    compilations = {
        "reference": reference,
        "two-networks": two_networks,
        "nasty": nasty,
    }
    return real.Case.of(compilations[name], network)


# Terraform's own judgement


@pytest.mark.slow
@each_module
def test_terraform_formats_validates_and_tests_the_module(
    case: real.Case, terraform: real.Terraform, tmp_path: Path
) -> None:
    folder = terraform.module(tmp_path / "module", case.files("terraform"))
    assert terraform.run(folder, "fmt", "-check", "-recursive", "-diff") == ""
    judgement = json.loads(terraform.run(folder, "validate", "-json"))
    assert (judgement["valid"], judgement["diagnostics"]) == (True, [])
    assert "Success! 2 passed, 0 failed." in terraform.run(folder, "test")


@pytest.mark.slow
def test_the_test_of_a_module_is_able_to_fail(
    reference: Compilation, terraform: real.Terraform, tmp_path: Path
) -> None:
    files = real.files_of(reference, "terraform")
    group = "aws_security_group.tier[each.value.tier].id"
    assert group in files["main.tf"]
    files["main.tf"] = files["main.tf"].replace(group, "values(aws_security_group.tier)[0].id")
    folder = terraform.module(tmp_path / "module", files)
    with pytest.raises(pytest.fail.Exception, match="An ingress rule refers to another group"):
        terraform.run(folder, "test")


@pytest.mark.slow
@each_module
def test_the_plan_is_the_policy_rule_by_rule(
    case: real.Case, terraform: real.Terraform, tmp_path: Path
) -> None:
    site = terraform.site(tmp_path, case.files("terraform"))
    plan = site.plan("-refresh=false")
    assert plan["complete"]
    assert {tuple(change["actions"]) for change in real.changes(plan).values()} == {("create",)}

    expected = real.expected_rules(case.policy)
    planned = real.changes(plan, *real.RULE_TYPES)
    assert planned.keys() == expected.keys()
    for place, change in planned.items():
        # That a rule refers to the group its key names is seen where the module is applied.
        assert real.arguments_of(change, expected[place]["tier"]) == expected[place], place
        assert change["after_unknown"]["security_group_id"] is True

    groups = {
        key: {name: change["after"][name] for name in ("name_prefix", "description", "vpc_id", "tags")}
        for (_, key), change in real.changes(plan, "aws_security_group").items()
    }
    assert groups == {
        group.key: {
            "name_prefix": f"{group.name}-",
            "description": "Managed by citrix-netpolicy",
            "vpc_id": real.NO_VPC,
            "tags": {
                **real.TAGS,
                "Name": group.name,
                **real.identity_tags(case.options.deployment, group.tier),
            },
        }
        for group in security_groups(case.policy, case.options).groups
    }
    assert output_keys(plan) == {group.tier for group in case.groups}

    others = real.changes(plan).keys() - planned.keys()
    assert {type_ for type_, _ in others} == {"aws_security_group", "terraform_data"}


def output_keys(plan: dict[str, Any]) -> set[str]:
    change = plan["output_changes"]["ids"]
    return {*change["after"], *change["after_unknown"]}


# Names and quotes


@pytest.mark.slow
def test_what_is_nasty_is_read_back(nasty: Compilation) -> None:
    for target in ("aws", "terraform"):
        files = real.files_of(nasty, target)
        assert traffic_of(real.read(files, target, "aws")) == traffic_of(nasty.policy.groups)


def test_a_key_is_that_of_its_rule_whatever_the_names(nasty: Compilation) -> None:
    found = hcl.read_literals(real.files_of(nasty, "terraform")["rules.tf"], "rules.tf").data["locals"]
    keys = {(type_, key) for type_, way in real.RULE_TYPES.items() for key in found[f"{way}_rules"]}
    assert keys == real.expected_rules(nasty.policy).keys()
    assert any("${" in key for _, key in keys)
    assert found["tiers"].keys() == set(NASTY_TIERS)


@pytest.mark.parametrize(
    "word", ["for", "if", "in", "null", "true", "false", "_", "__x", "1x", "a.b", "é", ""]
)
def test_a_key_that_could_be_read_as_something_else_is_quoted(word: str) -> None:
    assert hcl.attributes({word: 1}, 2) == f"  {hcl.literal(word)} = 1"


@pytest.mark.parametrize(
    "tier",
    ["for", "if", "in", "null", "true", "__x", "__comments__"],
)
def test_a_tier_with_a_word_of_hcl_for_a_name_is_read_back(tier: str) -> None:
    data = nasty_data()
    data["tiers"] = {tier: {"roles": ["vda"], "subnets": ["10.1.0.0/24"]}}
    data["flows"] = {
        "mesh": {
            "source": tier,
            "destination": tier,
            "services": [{"protocol": "tcp", "ports": [80]}],
            "reason": "r",
        }
    }
    compilation = real.compile_data(data)
    files = real.files_of(compilation, "terraform")
    groups = real.read(files, "terraform", "aws")
    assert [group.tier for group in groups] == [tier]
    assert groups[0].rules
    assert traffic_of(groups) == traffic_of(compilation.policy.groups)


@pytest.mark.parametrize(
    "text", ["", "{", "locals {", 'locals {\n  a = "${\n}', "locals {}\n", "\0", "a = 1 = 2"]
)
def test_what_is_no_module_of_ours_is_refused_as_input(text: str, reference: Compilation) -> None:
    files = real.files_of(reference, "terraform") | {"rules.tf": text}
    with pytest.raises(InputError, match=r"^rules\.tf:[0-9]+:[0-9]+: "):
        real.read(files, "terraform", "aws")


def test_a_name_that_python_hcl2_cannot_read_is_refused_as_input() -> None:
    data = nasty_data()
    data["tiers"]["a${"] = data["tiers"].pop("x=y")
    del data["flows"]["out"]
    files = real.files_of(real.compile_data(data), "terraform")
    with pytest.raises(InputError, match=r"rules\.tf"):
        real.read(files, "terraform", "aws")


nasty_text = st.text(alphabet='${}%"\\\n\té', max_size=12)


@given(nasty_text)
@example("$${")
@example("$$${")
def test_a_literal_means_its_text(text: str) -> None:
    literal = hcl.literal(text)
    assert "\n" not in literal
    assert hcl.unquoted(literal) == text


@given(st.text())
def test_a_literal_of_any_text_means_its_text(text: str) -> None:
    literal = hcl.literal(text)
    assert hcl.unquoted(literal) == text
    assert literal.isprintable()


def readable(text: str) -> bool:
    """Tell whether python-hcl2 reads `text`: it wants the brace of an escaped `$${` closed again."""
    return not re.search(r"[$%]\{[^}]*\Z", text)


@given(st.lists(nasty_text.filter(readable), min_size=1, max_size=3))
def test_python_hcl2_reads_a_literal_as_written(texts: list[str]) -> None:
    body = hcl.attributes({f"a{number}": text for number, text in enumerate(texts)}, 2)
    lists = hcl.attributes({"list": texts}, 2)
    parsed = hcl2.loads(f"locals {{\n{body}\n{lists}\n}}\n")["locals"][0]
    assert [hcl.unquoted(parsed[f"a{number}"]) for number in range(len(texts))] == texts
    assert [hcl.unquoted(item) for item in parsed["list"]] == texts


@pytest.mark.slow
def test_terraform_reads_literals_and_keys_as_they_are_meant(
    terraform: real.Terraform, tmp_path: Path
) -> None:
    small = [*map("".join, itertools.product('${%"\\', repeat=3))]
    texts = list(dict.fromkeys([*NASTY, *NASTY_TIERS, NASTY_REASON, *small]))
    values = hcl.attributes({"list": texts, **{f"a{number}": text for number, text in enumerate(texts)}}, 2)
    keys = hcl.attributes(dict.fromkeys(texts, 1), 4)
    text = f"locals {{\n{values}\n  keys = {{\n{keys}\n  }}\n}}\n"
    real.lay(tmp_path, {"main.tf": text + 'output "all" {\n  value = [local.list, keys(local.keys)]\n}\n'})
    terraform.run(tmp_path, "apply", "-auto-approve", "-input=false")
    found = json.loads(terraform.run(tmp_path, "output", "-json", "all"))
    # Terraform normalizes text to NFC.
    assert found == [texts_nfc(texts), sorted(texts_nfc(texts), key=str.encode)]


def texts_nfc(texts: list[str]) -> list[str]:
    return [unicodedata.normalize("NFC", text) for text in texts]


@pytest.mark.slow
def test_every_name_can_be_the_first_key_of_an_object(terraform: real.Terraform, tmp_path: Path) -> None:
    names = ["for", "if", "in", "null", "true", "false", "__x", "x", "endfor", "dynamic", "each", "local"]
    objects = [f"{{\n{hcl.attributes({name: 1}, 4)}\n  }}" for name in names]
    text = "".join(f"  a{number} = {value}\n" for number, value in enumerate(objects))
    output = ", ".join(f"local.a{number}" for number in range(len(names)))
    real.lay(tmp_path, {"main.tf": f'locals {{\n{text}}}\noutput "all" {{\n  value = [{output}]\n}}\n'})
    terraform.run(tmp_path, "apply", "-auto-approve", "-input=false")
    found = json.loads(terraform.run(tmp_path, "output", "-json", "all"))
    assert found == [{name: 1} for name in names]


@pytest.mark.parametrize("text", ['"${x}"', '"%{if x}"', '"a', "a", '"', '"\\q"'])
def test_what_is_no_plain_literal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"`"):
        hcl.unquoted(text)


@pytest.mark.parametrize("tier", ['q"', "it%{if}"])
def test_a_name_that_hcl_can_hold_and_aws_cannot_is_refused(tier: str) -> None:
    assert hcl.unquoted(hcl.literal(tier)) == tier
    data = nasty_data()
    data["tiers"][tier] = {"roles": ["vda"], "subnets": ["10.2.0.0/24"]}
    with pytest.raises(TargetError, match="AWS refuses the group name"):
        real.files_of(real.compile_data(data), "terraform")


# The same input gives the same bytes


def shuffled(value: Any, chance: random.Random) -> Any:
    """Return YAML data with its maps and lists in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(item, chance)) for key, item in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return chance.sample([shuffled(item, chance) for item in value], len(value))
    return value


def files_of(data: dict[str, Any]) -> dict[str, str]:
    compilation = real.compile_data(data)
    return {
        f"{target}/{path}": text
        for target in ("aws", "terraform")
        for path, text in real.files_of(compilation, target).items()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda: real.example("reference"), id="reference"),
        pytest.param(lambda: real.example("two-networks"), id="two-networks"),
        pytest.param(nasty_data, id="nasty"),
    ],
)
def test_the_order_of_the_input_does_not_matter(data: Callable[[], dict[str, Any]]) -> None:
    wanted = files_of(data())
    assert files_of(data()) == wanted
    for seed in range(4):
        other = shuffled(data(), random.Random(seed))
        assert json.dumps(other) != json.dumps(data())
        assert files_of(other) == wanted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "seeds"),
    [("t.nasty_data()", ("1", "2")), ("real.example('reference')", ("1", "2", "3"))],
    ids=["nasty", "reference"],
)
def test_the_seed_of_hashes_does_not_matter(data: str, seeds: tuple[str, ...], tmp_path: Path) -> None:
    tests = Path(__file__).parent
    script = (
        "import json, sys; sys.path[:0] = sys.argv[1:]\n"
        "from support import real; import test_terraform_module as t\n"
        f"print(json.dumps(t.files_of({data})))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script, str(tests), str(tests.parent)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=tmp_path,
            capture_output=True,
            check=True,
        ).stdout
        for seed in seeds
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10_000
