"""Target `bicep`, judged by parsers of others and by the types of Bicep."""

from __future__ import annotations

import difflib
import json
import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import bicep, real
from support.strategies import TryLaw, examples
from test_terraform_azure import FORMS, compiled

from citrix_netpolicy import Deployment, InputError, TargetError, compile_deployment, render, traffic_of
from citrix_netpolicy.syntax import document
from citrix_netpolicy.syntax.bicep import read_module, string, value
from citrix_netpolicy.targets.azure import bicep as azure_bicep
from citrix_netpolicy.targets.azure.arm import properties_of, resource_of
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from collections.abc import Callable

# A custom flow whose reason holds all that a string of Bicep gives a meaning.
NASTY_REASON = "it's ${location} \\${tags} \\ \\\\${ $${ '''${x}''' // é 😀 {{ name }} {% raw %}"
PARAMETERS = {"location": "string", "tags": "object"}


def files_of(case: real.Case) -> dict[str, str]:
    return case.files("bicep")


def with_reason(reason: str) -> real.Case:
    flows = compiled_data()["flows"]
    for flow in flows.values():
        flow["reason"] = reason
    return compiled(flows=flows)


def compiled_data() -> dict[str, Any]:
    data = real.example("reference")
    data["flows"]["backup"] = {
        "source": "sql",
        "destination": "admin-workstation",
        "services": [{"protocol": "tcp", "ports": [443]}],
        "reason": "backup",
    }
    return data


def odd_tiers() -> real.Case:
    names = ("a-b", "a.b", "a_b", "1x", "A")
    tiers = {name: {"roles": ["vda"], "subnets": [f"10.0.{n}.0/24"]} for n, name in enumerate(names)}
    tiers["resource"] = {"roles": ["ddc"], "subnets": ["10.0.9.0/24"]}
    data = {"name": "site", "cloud": "azure", "peers": "group", "tiers": tiers}
    return real.Case.of(real.compile_data(data))


CASES = {name: lambda changes=changes: compiled(**changes) for name, changes in FORMS.items()} | {
    "odd-tiers": odd_tiers,
    "nasty-reason": lambda: with_reason(NASTY_REASON),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> real.Case:
    made: real.Case = CASES[request.param]()
    return made


@pytest.fixture(scope="module")
def files(case: real.Case) -> dict[str, str]:
    return files_of(case)


# The text


@pytest.mark.slow
def test_both_parsers_read_the_module(case: real.Case, files: dict[str, str]) -> None:
    root = bicep.tree(files["main.bicep"])
    kinds = {"parameter": "parameters", "resource": "resources", "output": "outputs"}
    declared = {
        f"{kinds[node.type.removesuffix('_declaration')]}.{bicep.text_of(node.named_children[0])}"
        for node in root.named_children
        if node.type.removesuffix("_declaration") in kinds
    }
    assert bicep.pycep_keys(files["main.bicep"]) == declared
    assert {f"resources.{symbol}" for symbol in bicep.resources_of(root)} < declared


def test_the_parameter_file_fits_the_module(files: dict[str, str]) -> None:
    # Neither grammar has parameter files, and only one has `using`.
    text = bicep.as_variables(files["main.bicepparam"])
    root = bicep.tree(text)
    bicep.pycep_keys(text.replace("using './main.bicep'\n", ""))
    assert [bicep.text_of(node) for node in root.named_children if node.type == "using_statement"] == [
        "using './main.bicep'"
    ]
    given_ = re.findall(r"^param (\w+) = ", files["main.bicepparam"], re.MULTILINE)
    declared = dict(re.findall(r"^param (\w+) \w+(?: = (.*))?$", files["main.bicep"], re.MULTILINE))
    assert set(given_) <= set(declared)
    assert len(set(given_)) == len(given_)
    # What must be given is given.
    assert {name for name, default in declared.items() if not default} <= set(given_)


def test_every_symbol_is_declared_once_and_used(files: dict[str, str]) -> None:
    assert bicep.symbol_problems(bicep.tree(files["main.bicep"])) == []


def test_the_check_of_symbols_finds_what_is_wrong() -> None:
    text = "param a string = b\nparam a string = a\n"
    text += "resource r 'x@y' = {\n  c: d('${e}')\n}\noutput o object = r.f\n"
    assert sorted(bicep.symbol_problems(bicep.tree(text))) == [
        "a stands twice",
        "b is not known",
        "d is not known",
        "e is not known",
        "r.f is not known",
    ]
    assert bicep.symbol_problems(bicep.tree("param a string = 'x'\n")) == ["a is not used"]


def test_the_format_is_that_of_the_formatter(files: dict[str, str]) -> None:
    for name in ("main.bicep", "main.bicepparam"):
        text = files[name]
        assert "\r" not in text
        assert "\t" not in text
        assert text.splitlines() == [line.rstrip() for line in text.splitlines()]
        assert bicep.formatted(bicep.tree(bicep.as_variables(text))) == bicep.as_variables(text)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("var a = {\n  b:  1\n}\n", "var a = {\n  b: 1\n}\n"),
        ("var a = {\n    b: 1\n}\n", "var a = {\n  b: 1\n}\n"),
        ("var a = {\n  'b': 1\n}\n", "var a = {\n  b: 1\n}\n"),
        ("var a = [\n  1, 2\n]\n", "var a = [\n  1\n  2\n]\n"),
        ("var a = {\n}\n", "var a = {}\n"),
        ("var a  = 1\n\n\nvar b = 2\n\n", "var a = 1\n\nvar b = 2\n"),
        ("var a = 1", "var a = 1\n"),
    ],
)
def test_the_check_of_the_format_finds_what_is_wrong(wrong: str, right: str) -> None:
    assert bicep.formatted(bicep.tree(wrong)) == right
    assert bicep.formatted(bicep.tree(right)) == right


# The meaning


def test_resources_hold_against_the_types(case: real.Case, files: dict[str, str]) -> None:
    resources = bicep.resources_of(bicep.tree(files["main.bicep"]))
    assert [found for one in resources.values() for found in bicep.type_problems(one, PARAMETERS)] == []
    assert {one.api_version for one in resources.values()} == {"2025-05-01"}


def test_the_check_of_types_finds_what_is_wrong() -> None:
    rule = {"protocol": "TCP", "access": "Allow", "direction": "Inbound", "port": 1, "sourcePortRange": 443}
    body = {
        "location": bicep.Code("tags"),
        "properties": {"securityRules": [{"name": "x", "properties": rule}]},
        "tags": {"a": 1},
    }
    resource = bicep.Resource("Microsoft.Network/networkSecurityGroups", "2025-05-01", body)
    top = resource.type
    rule_path = f"{top}.properties.securityRules[0].properties"
    assert sorted(bicep.type_problems(resource, PARAMETERS)) == sorted(
        [
            f"{top}.location: tags is no StringType",
            f"{top}.name is missing",
            f"{top}.tags.a: 1 is no StringType",
            f"{rule_path}.port is not known",
            f"{rule_path}.priority is missing",
            f"{rule_path}.protocol: 'TCP' is no UnionType",
            f"{rule_path}.sourcePortRange: 443 is no StringType",
        ]
    )


def test_resources_are_the_policy_rule_by_rule(case: real.Case, files: dict[str, str]) -> None:
    root = bicep.tree(files["main.bicep"])
    resources = bicep.resources_of(root)
    # A symbol stands for the tier that the outputs give it.
    outputs = {
        bicep.text_of(node.named_children[0]): bicep.value_of(node.named_children[2])
        for node in root.named_children
        if node.type == "output_declaration"
    }
    symbols = {
        tier: code.text.removesuffix(".id") for tier, code in outputs["networkSecurityGroupIds"].items()
    }
    names = {
        tier: code.text.removesuffix(".name") for tier, code in outputs["networkSecurityGroupNames"].items()
    }
    asgs = {
        tier: code.text.removesuffix(".id")
        for tier, code in outputs.get("applicationSecurityGroupIds", {}).items()
    }
    groups = network_security_groups(case.policy, case.options).groups
    assert symbols == names
    assert set(symbols) == {group.tier for group in groups}
    every = [*symbols.values(), *asgs.values()]
    assert len({symbol.lower() for symbol in every}) == len(every) == len(resources)
    ids = {tier: f"{symbol}.id" for tier, symbol in asgs.items()}
    used = set()
    for group in groups:
        body = resources[symbols[group.tier]].body
        assert body["name"] == group.name
        check_tags(case, body, group.tier)
        expected = []
        for rule in group.rules:
            properties = properties_of(rule, ids)
            for name in properties:
                if name.endswith("ApplicationSecurityGroups"):
                    used |= {asg["id"] for asg in properties[name]}
                    properties[name] = [{"id": bicep.Code(asg["id"])} for asg in properties[name]]
            expected.append({"name": rule.name, "properties": properties})
        assert body["properties"] == {"securityRules": expected}
    assert used == set(ids.values())
    for tier, symbol in asgs.items():
        body = resources[symbol].body
        assert body["name"] == f"asg-{case.options.deployment}-{tier}"
        check_tags(case, body, tier)


def check_tags(case: real.Case, body: dict[str, Any], tier: str) -> None:
    """A resource has the tags of the caller, and those by which whoever finds it knows what it is."""
    ours = {"citrix-netpolicy:deployment": case.options.deployment, "citrix-netpolicy:tier": tier}
    assert body["tags"] == bicep.Call("union", (bicep.Code("tags"), ours))


def test_a_reason_stays_data() -> None:
    root = bicep.tree(files_of(with_reason("buys ${location} 'now' \\${tags}"))["main.bicep"])
    interpolations = {bicep.text_of(node) for node in bicep.nodes(root) if node.type == "interpolation"}
    assert interpolations == set()
    bodies = [one.body for one in bicep.resources_of(root).values()]
    told = {
        rule["properties"]["description"] for body in bodies for rule in body["properties"]["securityRules"]
    }
    case = with_reason("buys ${location} 'now' \\${tags}")
    groups = network_security_groups(case.policy, case.options).groups
    described = {rule.description for group in groups for rule in group.rules}
    assert told == described


# Strings and values

TEXTS = st.text(
    st.one_of(st.sampled_from("'\\${}$\n\r\t\0\x1b\x7f\u2028\ufeffé😀u n0"), st.characters(codec="utf-8"))
)
VALUES = st.recursive(
    st.booleans() | st.integers(min_value=0) | TEXTS,
    lambda items: st.lists(items, max_size=3) | st.dictionaries(TEXTS, items, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)


def test_a_string_means_exactly_its_text(try_law: TryLaw) -> None:
    judged: set[str] = set()

    @examples(200)
    @given(TEXTS)
    def means_its_text(text: str) -> None:
        written = string(text)
        assert written.isprintable()
        assert written[0] == written[-1] == "'"
        assert bicep.meaning(written[1:-1]) == text
        # That judge takes two slashes in a string for a comment.
        if "//" not in written:
            root = bicep.tree(f"var a = {written}\n")
            assert bicep.value_of(root.named_children[0].named_children[1]) == text
            judged.add(text)

    try_law(means_its_text)
    assert len(judged) > 1


@pytest.mark.parametrize(
    "text", ["${a}", "\\${a}", "\\\\${a}", "$${a}", "'", "\\", "$", "\n", "a\\", "\\u{41}", ""]
)
def test_a_nasty_string_is_read_back(text: str) -> None:
    assert bicep.meaning(string(text)[1:-1]) == text
    written = f"resource a 'b' = {value({text: [text]}, 0)}\n"
    assert read_module(written, "main.bicep").resources.data == {"a": {text: [text]}}


@examples(100)
@given(OBJECTS)
def test_a_value_is_read_back(data: dict[str, Any]) -> None:
    text = f"// a\n\nresource some_thing 'b@c' = {value(data, 0)}\n\noutput x object = {{}}\n"
    # As JSON, True is not 1.
    assert json.dumps(read_module(text, "main.bicep").resources.data) == json.dumps({"some_thing": data})
    # That judge takes two slashes in a string for a comment.
    if "//" not in text.partition("\n")[2]:
        root = bicep.tree(text)
        assert json.dumps(bicep.resources_of(root)["some_thing"].body) == json.dumps(data)
        assert bicep.formatted(root) == text


# Reading


def test_a_module_reads_back_with_the_same_meaning(case: real.Case, files: dict[str, str]) -> None:
    groups = real.read(files, "bicep", "azure")
    assert traffic_of(groups) == traffic_of(case.groups)
    assert [group.tier for group in groups] == sorted(group.tier for group in case.groups)


@pytest.fixture(scope="module")
def module() -> str:
    return files_of(compiled(**FORMS["groups"]))["main.bicep"]


def refused(text: str) -> bool:
    """Tell whether a text is refused as it must be: any other exception is a failure."""
    try:
        real.read({"main.bicep": text}, "bicep", "azure")
    except InputError:
        return True
    return False


@pytest.mark.slow
def test_a_truncated_module_is_refused(module: str) -> None:
    bodies = [
        (found.start(1), found.end())
        for found in re.finditer(r"^resource .* = (\{)\n(?:.*\n)*?\}", module, re.M)
    ]
    chance = random.Random(0)
    inside = [chance.randrange(first + 1, last) for first, last in bodies for _ in range(6)]
    for place in inside:
        assert refused(module[:place]), module[place - 40 : place]
    # Behind the last resource the outputs are missed. Only the end of the last line means nothing.
    for place in [*chance.sample(range(len(module) - 1), 60), *range(len(module) - 40, len(module) - 1)]:
        assert refused(module[:place]), module[place - 40 : place]
    assert not refused(module[:-1])


# Lines of a module that may change, come or go while the traffic stays: words for people, names and
# priorities of rules, ports and addresses that stand twice, and what means nothing.
SILENT = re.compile(r" *(?:(?:description|name|priority): .*|'[0-9a-f.:/-]+'|[{}\[\]]?)\Z")


def is_silent(before: str, after: str) -> bool:
    """Tell whether all that differs between two modules is what traffic does not show: lines, or spaces."""
    if before.split() == after.split():
        return True
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return all(SILENT.match(line[2:]) for line in lines if line[0] in "+-")


@pytest.mark.slow
def test_a_changed_module_is_read_or_refused(module: str) -> None:
    traffic = traffic_of(real.read({"main.bicep": module}, "bicep", "azure"))
    outcomes: Counter[bool] = Counter()

    def judge(text: str) -> None:
        outcomes[is_refused := refused(text)] += 1
        # What is read means what it says: the same only where the change says nothing of traffic.
        if not is_refused and not is_silent(module, text):
            assert traffic_of(real.read({"main.bicep": text}, "bicep", "azure")) != traffic

    chance = random.Random(1)
    pieces = [
        "'",
        "''",
        "{",
        "}",
        "[",
        "]",
        ":",
        "\\",
        "\\u{110000}",
        "${",
        "$",
        "\n",
        "0",
        "-1",
        "x",
        "é",
        "²",
        "true",
        "",
    ]
    lines = module.splitlines(keepends=True)
    for _ in range(50):
        first = chance.randrange(len(module))
        last = first + chance.choice([0, 0, 1, 3, 40])
        judge(module[:first] + chance.choice(pieces) + module[last:])
    for _ in range(50):
        number = chance.randrange(len(lines))
        line = chance.choice(
            ["", chance.choice(lines), lines[number] * 2, lines[number].rpartition(":")[0] + ": ''\n"]
        )
        judge("".join([*lines[:number], line, *lines[number + 1 :]]))
    assert outcomes[True] > 50
    assert outcomes[False] > 0


BROKEN: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "no-network": lambda text: text.replace("// Network: main\n", ""),
    "no-end": lambda text: text.replace("priority: 4096", "priority: 4096 }", 1),
    "unknown-escape": lambda text: text.replace("description: '", "description: '\\x", 1),
    "no-unicode": lambda text: text.replace("description: '", "description: '\\u{110000}", 1),
    "huge-unicode": lambda text: text.replace("description: '", "description: '\\u{ffffffffffffffffffff}", 1),
    "empty-peer": lambda text: text.replace("AddressPrefix: '10.98.0.10/31'", "AddressPrefixes: [\n''\n]", 1),
    "empty-object-as-peer": lambda text: text.replace(
        "AddressPrefix: '10.98.0.10/31'", "AddressPrefixes: [\n{}\n]", 1
    ),
    "no-peer": lambda text: text.replace("AddressPrefix: '10.98.0.10/31'", "AddressPrefix: '1.2.3.4/99'", 1),
    "no-port": lambda text: text.replace("destinationPortRange: '443'", "destinationPortRange: '70000'", 1),
    "ports-the-wrong-way": lambda text: text.replace("PortRange: '443'", "PortRange: '443-1'", 1),
    "no-protocol": lambda text: text.replace("protocol: 'Tcp'", "protocol: 'Sctp'", 1),
    "no-direction": lambda text: text.replace("direction: 'Inbound'", "direction: 'Up'", 1),
    "protocol-is-a-list": lambda text: text.replace("protocol: 'Tcp'", "protocol: []", 1),
    "no-priority": lambda text: re.sub("priority: [123][0-9]+", "priority: location", text, count=1),
    "unknown-symbol": lambda text: text.replace("id: asg_ddc.id", "id: asg_x.id", 1),
    "name-with-a-parameter": lambda text: text.replace("-ddc'", "-${location}'", 1),
    "name-of-another": lambda text: text.replace("-prod-ddc'", "-prod-vda'", 1),
    "other-tags": lambda text: text.replace("union(tags, {", "union(other, {", 1),
    "other-function": lambda text: text.replace("union(tags, {", "concat(tags, {", 1),
    "no-argument": lambda text: text.replace("union(tags, {", "union(, {", 1),
    "of-another-deployment": lambda text: text.replace("deployment': '", "deployment': 'x", 1),
    "one-tag-more": lambda text: text.replace("union(tags, {", "union(tags, {\n'x': 'y'\n", 1),
    "no-id-is-given": lambda text: text.replace("  ddc: nsg_ddc.id\n", ""),
    "an-id-is-given-twice": lambda text: text.replace("  ddc: nsg_ddc.id\n", "  ddc: nsg_vda.id\n"),
    "id-of-nothing": lambda text: text.replace("  ddc: nsg_ddc.id\n", "  ddc: nsg_ddc.name\n"),
    "an-output-twice": lambda text: text + "output networkSecurityGroupIds object = {}\n",
    "rules-are-no-list": lambda text: text.replace("securityRules: [", "securityRules: 1\n x: [", 1),
    "no-properties": lambda text: text.replace("  properties: {", "  attributes: {", 1),
    "deep": lambda text: text.replace("securityRules: [", "securityRules: " + "[" * 20000, 1),
    "long-number": lambda text: re.sub("priority: [123][0-9]+", f"priority: {'1' * 5000}", text, count=1),
    "no-deny": lambda text: text.replace("access: 'Deny'", "access: 'Allow'"),
}


@pytest.mark.parametrize("change", BROKEN)
def test_a_broken_module_is_refused(change: str, module: str) -> None:
    text = BROKEN[change](module)
    assert text != module
    with pytest.raises(InputError) as caught:
        real.read({"main.bicep": text}, "bicep", "azure")
    assert "main.bicep" in str(caught.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(InputError, match=r"main\.bicep"):
        real.read({}, "bicep", "azure")


# Writing


def test_writing_again_changes_nothing(case: real.Case, files: dict[str, str]) -> None:
    assert case.files("bicep", files) == files == files_of(case)


def versioned(version: str) -> real.Case:
    networks = f"networks: {{main: {{cloud: azure, bicep-api-version: {version}}}}}"
    tiers = "tiers: {ddc: [10.0.1.0/28], vda: [10.0.2.0/24]}"
    text = f"name: site\npeers: group\n{networks}\n{tiers}\n"
    data = document.parse(text.encode(), "deployment.yaml").data
    return real.Case.of(compile_deployment(Deployment(**data)))


def test_the_api_version_may_be_chosen() -> None:
    default, chosen = files_of(versioned("2025-05-01")), files_of(versioned("2026-03-01"))
    assert default.keys() == chosen.keys()
    assert default == {name: text.replace("@2026-03-01'", "@2025-05-01'") for name, text in chosen.items()}
    assert "2026-03-01" not in default["main.bicep"]
    assert "2025-05-01" not in chosen["main.bicep"]
    resources = bicep.resources_of(bicep.tree(chosen["main.bicep"]))
    assert {one.api_version for one in resources.values()} == {"2026-03-01"}
    assert real.read(chosen, "bicep", "azure") == real.read(default, "bicep", "azure")


@pytest.mark.parametrize(
    "version", ["latest", "2026-3-1", "1999-01-01", "'2026-03-01'' = {}'", "2026-13-01-x", "1"]
)
def test_a_bad_api_version_is_refused(version: str) -> None:
    with pytest.raises(InputError, match="bicep-api-version"):
        versioned(version)


def test_the_group_of_a_tier_that_is_gone_is_told() -> None:
    data = {**compiled_data(), "cloud": "azure", "flows": {}}
    first = render(real.compile_data(data), "bicep")
    assert not [finding for finding in first.findings if finding.code == "group-left-behind"]
    del data["tiers"]["pvs"]
    data["features"] = {}
    data["parameters"] = {}
    second = render(real.compile_data(data), "bicep", previous=first.files)
    assert [finding.subject for finding in second.findings if finding.code == "group-left-behind"] == ["pvs"]
    third = render(real.compile_data(data), "bicep", previous=second.files)
    assert not [finding for finding in third.findings if finding.code == "group-left-behind"]


@pytest.mark.parametrize("limit", ["_RESOURCE_BYTES", "_TEMPLATE_BYTES"])
def test_what_is_larger_than_azure_takes_is_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = compiled(**FORMS["prefixes"])
    groups = network_security_groups(case.policy, case.options).groups
    largest = max(len(json.dumps(resource_of(group))) for group in groups)
    monkeypatch.setattr(azure_bicep, limit, largest - 1)
    with pytest.raises(TargetError, match="bytes") as caught:
        case.files("bicep")
    assert {problem.code for problem in caught.value.problems} == {"over-limit"}
    monkeypatch.setattr(azure_bicep, limit, largest * 100)
    assert case.files("bicep")
