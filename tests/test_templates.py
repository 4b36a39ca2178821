"""What the templates print, taken apart and held against the policy, without any tool of others.

Terraform and the Bicep compiler judge a module where they are there; this sees everywhere what they would
act upon: every argument, what outlives what, tags, outputs, and the tables that people read. Nothing here
compares with files that were generated before.
"""

from __future__ import annotations

import re
from collections import deque
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from support import real

from citrix_netpolicy import Deployment, Direction, Rule
from citrix_netpolicy.net import Prefix, Protocol
from citrix_netpolicy.policy import Cause, GroupReference
from citrix_netpolicy.syntax import bicep, document, hcl
from citrix_netpolicy.syntax.bicep import Call, Expression
from citrix_netpolicy.targets import TARGETS
from citrix_netpolicy.targets.azure.groups import network_security_groups
from citrix_netpolicy.targets.describe import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.targets.azure.cover import Block
    from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup, SecurityRule

EXAMPLES: Final = Path(__file__).parent.parent / "examples"
# What no example has: tiers that rules name by their groups, a tier of several groups, what nobody has seen.
VARIANTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "groups": ("terraform/azure-reference", {"peers": "group"}),
    "split": ("terraform/reference", {"quotas": {"rules-per-group": 5, "groups-per-interface": 16}}),
    "unverified": (
        "terraform/azure-reference",
        {"features": {"edt": True, "html5": True, "director-directory": True}},
    ),
}


class Module(NamedTuple):
    """A module of one network, and what it was made of; `spelled_out` says every flow on its own."""

    case: real.Case
    target: str
    files: dict[str, str]
    spelled_out: Policy


class Place(NamedTuple):
    """Which module: an example or a variant, its network and its cloud, and a target."""

    name: str
    network: str
    target: str
    cloud: str


def _places() -> Iterator[Place]:
    examples = {str(path.parent.relative_to(EXAMPLES)) for path in EXAMPLES.glob("*/*/deployment.yaml")}
    for name in (*sorted(examples), *VARIANTS):
        path = VARIANTS[name][0] if name in VARIANTS else name
        networks = Deployment.load(EXAMPLES / path / "deployment.yaml").networks
        for network, target in ((one, two) for one in networks for two in ("terraform", "bicep")):
            if networks[network].cloud in TARGETS[target]:
                yield Place(name, network, target, networks[network].cloud)


PLACES: Final = tuple(_places())


@cache
def module_of(place: Place) -> Module:
    path, changes = VARIANTS.get(place.name, (place.name, {}))
    data: dict[str, Any] = document.load(EXAMPLES / path / "deployment.yaml").data
    compilation = real.compile_data({**data, **changes})
    case = real.Case.of(compilation, place.network)
    return Module(case, place.target, case.files(place.target), compilation.spelled_out)


@pytest.fixture
def module(place: Place) -> Module:
    return module_of(place)


def each(target: str = "", cloud: str = "") -> pytest.MarkDecorator:
    """Run a test for the module of each place of a target and a cloud, or of all."""
    fitting = [place for place in PLACES if target in ("", place.target) and cloud in ("", place.cloud)]
    assert len(fitting) > 2
    return pytest.mark.parametrize("place", fitting, ids="-".join)


def test_the_modules_hold_what_is_to_be_judged() -> None:
    modules = {place[:3]: module_of(place) for place in PLACES}
    groups = modules["groups", "main", "terraform"].case.groups
    peers = {(type(rule.peer), rule.direction) for group in groups for rule in group.rules}
    assert {(GroupReference, way) for way in Direction} <= peers
    tiers = locals_of(modules["split", "main", "terraform"])["tiers"]
    assert max(map(len, tiers.values())) > 2
    evidence = {
        cause.evidence
        for module in modules.values()
        for group in module.case.groups
        for rule in group.rules
        for cause in rule.causes
    }
    assert {"document", "seen", "unverified"} <= evidence


# HCL, taken apart


def blocks_of(module: Module, name: str) -> dict[str, Any]:
    """Return the blocks of a file under type and labels; an argument is the text of its tokens."""
    left = deque(hcl.tokens_of(module.files[name], name))
    found = _body(left)
    assert not left
    return found


def _body(left: deque[tuple[str, int]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while left and left[0][0] != "}":
        words = [left.popleft()[0]]
        while left[0][0] not in ("=", "{"):
            words.append(left.popleft()[0])
        name = " ".join(word.strip('"') for word in words)
        assert name not in found, f"{name} stands twice"
        if left.popleft()[0] == "=":
            found[name] = _expression(left)
        else:
            found[name] = _body(left)
            assert left.popleft()[0] == "}"
    return found


def _expression(left: deque[tuple[str, int]]) -> str:
    """Take the tokens up to the end of the line that closes every bracket."""
    texts, depth, line = [], 0, left[0][1]
    while left and (depth or (left[0][1] == line and left[0][0] != "}")):
        text, line = left.popleft()
        depth += (text in "([{") - (text in ")]}")
        texts.append(text)
    return " ".join(texts)


def code(text: str) -> str:
    """Return an expression as `blocks_of` does."""
    return " ".join(token for token, _ in hcl.tokens_of(text, "expected"))


def arguments(**texts: str) -> dict[str, Any]:
    return {name: code(text) for name, text in texts.items()}


def locals_of(module: Module) -> dict[str, Any]:
    found: dict[str, Any] = hcl.read_literals(module.files["rules.tf"], "rules.tf").data["locals"]
    return found


LASTS: Final = {"lifecycle": {"create_before_destroy": "true"}}
# The tags by which whoever finds a group knows what it is.
IDENTITY: Final = '"citrix-netpolicy:deployment" = local.deployment "citrix-netpolicy:tier" ='


@pytest.mark.parametrize("name", ["main.tf", "outputs.tf", "variables.tf", "versions.tf"])
@each("terraform")
def test_another_parser_finds_the_same_blocks(module: Module, name: str) -> None:
    found = {
        " ".join((kind, *_labels(block)))
        for kind, blocks in hcl.parse(module.files[name], name).items()
        if not kind.startswith("__")
        for block in blocks
    }
    assert found == blocks_of(module, name).keys()


def _labels(block: Mapping[str, Any]) -> Iterator[str]:
    """Yield the labels of a block of python-hcl2: those of our blocks that have any are quoted there."""
    while True:
        names = [name for name in block if not name.startswith("__")]
        if len(names) != 1 or not isinstance(block[names[0]], dict):
            return
        yield names[0].strip('"')
        block = block[names[0]]


# The resources of a Terraform module


def optional(*names: str) -> dict[str, str]:
    return {name: code(f"try(each.value.{name}, null)") for name in names}


def aws_rule(way: str) -> dict[str, Any]:
    return {
        **arguments(
            for_each=f"local.{way}_rules",
            security_group_id="aws_security_group.tier[each.value.group].id",
            description="each.value.description",
            ip_protocol="each.value.ip_protocol",
            referenced_security_group_id="can(each.value.tier) ? "
            "aws_security_group.tier[each.value.tier].id : try(each.value.security_group_id, null)",
            tags="var.tags",
        ),
        **optional("from_port", "to_port", "cidr_ipv4", "cidr_ipv6", "prefix_list_id"),
        **LASTS,
    }


@each("terraform", "aws")
def test_the_resources_of_a_module_in_aws(module: Module) -> None:
    found = blocks_of(module, "main.tf")
    waits = found.pop("resource terraform_data open_before_close")
    rules = {f"resource aws_vpc_security_group_{way}_rule this": aws_rule(str(way)) for way in Direction}
    group = arguments(
        for_each="local.groups",
        name_prefix='"${each.value.name}-"',
        description="each.value.description",
        vpc_id="var.vpc_id",
        tags=f"merge(var.tags, {{ Name = each.value.name {IDENTITY} each.value.tier }})",
    )
    lasts = {"lifecycle": {"create_before_destroy": "true", "ignore_changes": code("[description]")}}
    assert found == {"resource aws_security_group tier": {**group, **lasts}, **rules}
    # It waits for the rules of every kind, and changes with their keys.
    assert waits.keys() == {"input"}
    assert re.findall(r"keys \( (\S+) \)", waits["input"].replace(" . ", ".")) == [
        f"aws_vpc_security_group_{way}_rule.this" for way in Direction
    ]


@each("terraform", "azure")
def test_the_resources_of_a_module_in_azure(module: Module) -> None:
    found = blocks_of(module, "main.tf")
    has_asgs = "application_security_groups" in locals_of(module)
    head = arguments(location="var.location", resource_group_name="var.resource_group_name")
    sides = ("source", "destination")
    value = "security_rule.value"
    asg_ids = {
        f"{side}_application_security_group_ids": code(
            f"can({value}.{side}_tiers) ? "
            f"[for tier in {value}.{side}_tiers : azurerm_application_security_group.tier[tier].id] : null"
        )
        for side in sides
    }
    places = (
        *("destination_port_range", "destination_port_ranges"),
        *(f"{side}_address_{plural}" for side in sides for plural in ("prefix", "prefixes")),
    )
    content = {
        **arguments(
            source_port_range='"*"',
            **{
                name: f"{value}.{name}"
                for name in ("name", "description", "priority", "direction", "access", "protocol")
            },
            **{name: f"try({value}.{name}, null)" for name in places},
        ),
        **(asg_ids if has_asgs else {}),
    }
    rules = {
        "for_each": code("{ for key, rule in local.rules : key => rule if rule.group == each.key }"),
        "content": content,
    }
    # The key of an association says tier and subnet: two tiers may call their subnets alike.
    association = arguments(
        for_each="merge([for tier, subnets in var.subnet_ids : "
        '{ for name, id in subnets : "${tier}/${name}" => { tier = tier, id = id } }]...)',
        subnet_id="each.value.id",
        network_security_group_id="azurerm_network_security_group.tier[each.value.tier].id",
    )
    expected = {
        "azurerm_network_security_group tier": arguments(
            for_each="local.groups",
            name="each.value.name",
            tags=f"merge(var.tags, {{ {IDENTITY} each.value.tier }})",
        )
        | head
        | {"dynamic security_rule": rules},
        "azurerm_subnet_network_security_group_association this": association,
    }
    if has_asgs:
        name = arguments(
            for_each="local.application_security_groups",
            name="each.value",
            tags=f"merge(var.tags, {{ {IDENTITY} local.groups[each.key].tier }})",
        )
        expected["azurerm_application_security_group tier"] = name | head
    assert found == {f"resource {name}": body for name, body in expected.items()}


def outputs_of(module: Module) -> dict[str, str]:
    return {name: body["value"] for name, body in blocks_of(module, "outputs.tf").items()}


@each("terraform", "aws")
def test_whoever_attaches_a_group_in_aws_waits_for_all_of_its_rules(module: Module) -> None:
    """In Azure a group is written with its rules, so there is nothing to wait for."""
    wanted = "[aws_vpc_security_group_ingress_rule.this, aws_vpc_security_group_egress_rule.this]"
    assert {body["depends_on"] for body in blocks_of(module, "outputs.tf").values()} == {code(wanted)}


@each("terraform", "aws")
def test_outputs_in_aws_list_every_group_of_every_tier(module: Module) -> None:
    assert outputs_of(module) == {
        f"output security_group_{what}s": code(
            f"{{ for tier, groups in local.tiers : tier => "
            f"[for group in groups : aws_security_group.tier[group].{what}] }}"
        )
        for what in ("id", "arn", "name")
    }
    found = locals_of(module)
    assert found["tiers"].keys() == {group.tier for group in module.case.groups}
    listed = [key for keys in found["tiers"].values() for key in keys]
    assert sorted(listed) == sorted(found["groups"])


@each("terraform", "azure")
def test_outputs_in_azure_list_every_group(module: Module) -> None:
    kinds = ["network_security_group"]
    found = locals_of(module)
    assert found["groups"].keys() == {group.tier for group in module.case.groups}
    expected = {
        f"output {kind}_{what}s": code(f"{{ for tier, group in azurerm_{kind}.tier : tier => group.{what} }}")
        for kind in kinds
        for what in ("id", "name")
    }
    if "application_security_groups" in found:
        kind = "application_security_group"
        expected[f"output {kind}_ids"] = code(
            f"{{ for tier, group in azurerm_{kind}.tier : tier => group.id }}"
        )
    assert outputs_of(module) == expected


@each("terraform")
def test_every_variable_is_declared_used_and_told(module: Module) -> None:
    declared = {
        name.removeprefix("variable "): body for name, body in blocks_of(module, "variables.tf").items()
    }
    tokens = [token for token, _ in hcl.tokens_of(module.files["main.tf"], "main.tf")]
    used = {tokens[at + 2] for at, token in enumerate(tokens) if token == "var"}
    assert used == declared.keys()
    rows = [
        {
            "Name": name,
            "Description": hcl.unquoted(body["description"]),
            "Type": f"`{body['type'].replace(' ', '')}`",
            "Default": f"`{body['default'].replace(' ', '')}`" if "default" in body else "n/a",
            "Required": "no" if "default" in body else "yes",
        }
        for name, body in declared.items()
    ]
    assert table_of(module, "Inputs", raw=("Type", "Default")) == rows
    assert all(body["nullable"] == "false" for body in declared.values())
    outputs = blocks_of(module, "outputs.tf")
    told_outputs = [
        {column: text.replace("`", "") for column, text in row.items()} for row in table_of(module, "Outputs")
    ]
    assert told_outputs == [
        {"Name": name.removeprefix("output "), "Description": hcl.unquoted(body["description"])}
        for name, body in outputs.items()
    ]


@each("terraform")
def test_the_provider_is_the_one_whose_resources_are_used(module: Module) -> None:
    kinds = {name.split()[1].partition("_")[0] for name in blocks_of(module, "main.tf")} - {"terraform"}
    (terraform,) = blocks_of(module, "versions.tf").values()
    assert set(terraform["required_providers"]) == kinds
    (provider,) = terraform["required_providers"].values()
    assert f'source = "hashicorp/{kinds.pop()}"' in provider
    rows = table_of(module, "Requirements")
    assert [row["Name"] for row in rows] == ["terraform", *terraform["required_providers"]]
    assert rows[0]["Version"].startswith(hcl.unquoted(terraform["required_version"]))
    assert f'"{rows[1]["Version"]}"' in provider


# The rules of a module in AWS


@each("terraform", "aws")
def test_the_rules_of_a_module_in_aws_are_the_policy(module: Module) -> None:
    found = locals_of(module)
    tier_of = {key: tier for tier, keys in found["tiers"].items() for key in keys}
    expected = real.expected_rules(module.case.policy)
    told = {}
    for type_, way in real.RULE_TYPES.items():
        for key, rule in found[f"{way}_rules"].items():
            holder, named = tier_of[rule["group"]], rule.get("security_group_id")
            told[type_, key] = {
                **dict.fromkeys(expected[type_, key]),
                **{name: value for name, value in rule.items() if name not in ("group", "security_group_id")},
                "referenced_security_group_id": named,
                "tags": real.TAGS,
            }
            assert key.startswith(f"{holder}/{way}/")
            assert "tier" not in rule or rule["tier"] == found["tiers"][rule["tier"]][0]
    assert told == expected
    for tier, keys in found["tiers"].items():
        names = [f"{module.case.options.deployment}-{tier}"]
        names += [f"{names[0]}-{number}" for number in range(2, len(keys) + 1)]
        assert [found["groups"][key]["name"] for key in keys] == names
        assert {found["groups"][key]["description"] for key in keys} == {"Managed by citrix-netpolicy"}


# The rules of a module in Azure


def rows_of(module: Module) -> list[tuple[NetworkSecurityGroup, SecurityRule]]:
    groups = network_security_groups(module.case.policy, module.case.options).groups
    return [(group, rule) for group in groups for rule in group.rules]


def causes_of(module: Module, tier: str, way: Direction, block: Block) -> list[Cause]:
    """Return the causes of all flows that permit a part of what a block says: peer by peer, port by port."""
    found = set()
    for rule in module.spelled_out.group(tier).side(way):
        if _meets(rule, block):
            found |= {*rule.causes}
    return sorted(found)


def _meets(rule: Rule, block: Block) -> bool:
    words = {"Tcp": Protocol.TCP, "Udp": Protocol.UDP, "Icmp": Protocol.ICMP}
    is_protocol = block.protocol == "*" or rule.service.protocol in (words[block.protocol], Protocol.ALL)
    service = rule.service
    is_port = any(first <= service.last and service.first <= last for first, last in block.spans)
    is_peer = any(
        peer.overlaps(rule.peer)
        if isinstance(peer, Prefix) and isinstance(rule.peer, Prefix)
        else peer == rule.peer
        for peer in block.peers
    )
    return is_protocol and is_port and is_peer


@each("terraform", "azure")
def test_a_rule_in_azure_has_the_causes_of_all_its_cells(module: Module) -> None:
    several = 0
    for group, rule in rows_of(module):
        if rule.access == "Deny":
            assert rule.causes == ()
            continue
        expected = causes_of(module, group.tier, rule.direction, rule.block)
        assert [*rule.causes] == expected, rule.name
        assert rule.description == describe(expected, 140)
        several += len(expected) > 1
    assert several > 0


def peers_of(rule: SecurityRule) -> list[str]:
    """Return the peers of a rule in the words of Azure, which has one for all addresses of both families."""
    peers = [str(peer) for peer in rule.block.peers]
    return ["*"] if peers == ["0.0.0.0/0", "::/0"] else peers


def expected_properties(rule: SecurityRule) -> dict[str, Any]:
    """Return what a rule says in the words of Azure; `tiers` stand for application security groups."""
    theirs, ours = ("source", "destination") if rule.direction == "ingress" else ("destination", "source")
    ports = [str(first) if first == last else f"{first}-{last}" for first, last in rule.block.spans]
    ports = ["*"] if ports == ["0-65535"] else ports
    peers = peers_of(rule)
    said: dict[str, Any] = {
        "name": rule.name,
        "description": rule.description,
        "priority": rule.priority,
        "direction": {"ingress": "Inbound", "egress": "Outbound"}[rule.direction],
        "access": rule.access,
        "protocol": rule.block.protocol,
        f"{ours}AddressPrefix": "*",
        **({"destinationPortRange": ports[0]} if len(ports) == 1 else {"destinationPortRanges": ports}),
    }
    if all(isinstance(peer, GroupReference) for peer in rule.block.peers):
        return said | {f"{theirs}Tiers": peers}
    many = {f"{theirs}AddressPrefixes": peers}
    return said | ({f"{theirs}AddressPrefix": peers[0]} if len(peers) == 1 else many)


def snake(values: Mapping[str, Any]) -> dict[str, Any]:
    return {re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name): one for name, one in values.items()}


@each("terraform", "azure")
def test_the_rules_of_a_module_in_azure_are_those_of_its_groups(module: Module) -> None:
    found = locals_of(module)
    rows = rows_of(module)
    assert found["rules"] == {
        f"{group.tier}/{rule.direction}/{rule.name}": {
            "group": group.tier,
            **snake(expected_properties(rule)),
        }
        for group, rule in rows
    }
    name = module.case.options.deployment
    assert found["groups"] == {
        group.tier: {"name": f"nsg-{name}-{group.tier}", "tier": group.tier} for group, _ in rows
    }
    asgs = named_tiers(rows)
    assert found.get("application_security_groups", {}) == {tier: f"asg-{name}-{tier}" for tier in asgs}


def named_tiers(rows: list[tuple[NetworkSecurityGroup, SecurityRule]]) -> list[str]:
    """Return the tiers that rules name, on either side."""
    peers = {peer for _, rule in rows for peer in rule.block.peers}
    return sorted(peer.tier for peer in peers if isinstance(peer, GroupReference))


# A module of Bicep


@each("bicep", "azure")
def test_the_resources_of_a_module_of_bicep(module: Module) -> None:
    read = bicep.read_module(module.files["main.bicep"], "main.bicep")
    rows = rows_of(module)
    outputs = bicep_outputs(read)
    tiers = {group.tier for group, _ in rows}
    symbols = {tier: text.removesuffix(".id") for tier, text in outputs["networkSecurityGroupIds"].items()}
    assert symbols.keys() == tiers
    assert outputs["networkSecurityGroupNames"] == {tier: f"{one}.name" for tier, one in symbols.items()}
    assert all(text.endswith(".id") for text in outputs["networkSecurityGroupIds"].values())
    asg_ids = outputs.get("applicationSecurityGroupIds", {})
    asgs = {tier: text.removesuffix(".id") for tier, text in asg_ids.items()}
    assert sorted(asgs) == named_tiers(rows)
    assert all(text.endswith(".id") for text in asg_ids.values())
    assert sorted(read.resources.data) == sorted([*symbols.values(), *asgs.values()])
    name = module.case.options.deployment
    for prefix, kind in (("nsg", symbols), ("asg", asgs)):
        for tier, symbol in kind.items():
            body = read.resources.data[symbol]
            assert body["name"] == f"{prefix}-{name}-{tier}"
            ours = {"citrix-netpolicy:deployment": name, "citrix-netpolicy:tier": tier}
            tags = Call("union", (Expression("tags"), ours))
            assert (body["location"], body["tags"]) == (Expression("location"), tags)
            assert read.types[symbol].partition("@")[0] == (
                "Microsoft.Network/" + ("network" if kind is symbols else "application") + "SecurityGroups"
            )
    for tier in tiers:
        rules = read.resources.data[symbols[tier]]["properties"]["securityRules"]
        expected = [expected_properties(rule) for group, rule in rows if group.tier == tier]
        assert [in_our_words(rule, asgs) for rule in rules] == expected
    assert all(read.resources.data[symbol]["properties"] == {} for symbol in asgs.values())


def in_our_words(rule: dict[str, Any], asgs: Mapping[str, str]) -> dict[str, Any]:
    """Return a rule of Bicep as `expected_properties` says it."""
    tiers = {Expression(f"{symbol}.id"): tier for tier, symbol in asgs.items()}
    said = {"name": rule["name"], **rule["properties"]}
    assert said.pop("sourcePortRange") == "*"
    for side in ("source", "destination"):
        groups = said.pop(f"{side}ApplicationSecurityGroups", None)
        if groups is not None:
            said[f"{side}Tiers"] = [tiers[group["id"]] for group in groups]
    return said


def bicep_outputs(read: bicep.Module) -> dict[str, dict[str, str]]:
    return {
        name: {key: one.text for key, one in values.items()}
        for name, values in read.outputs.data["output"].items()
    }


@each("bicep", "azure")
def test_every_parameter_of_bicep_is_declared_and_told(module: Module) -> None:
    words = [word for word, _ in bicep.read_module(module.files["main.bicep"], "main.bicep").rest]
    declared = [words[at + 1] for at, word in enumerate(words) if word == "param"]
    assert declared == ["location", "tags"]
    rows = table_of(module, "Publish to a registry", raw=("Default",))
    assert [row["Parameter"] for row in rows] == declared
    for row in rows:
        assert f"'Optional. {row['Description']}'" in words


@each("bicep", "azure")
def test_outputs_of_bicep_have_a_type_with_every_tier(module: Module) -> None:
    text = module.files["main.bicep"]
    types = dict(re.findall(r"^type (\w+) = \{\n((?:  .*: string\n)*)\}$", text, re.MULTILINE))
    outputs = bicep_outputs(bicep.read_module(text, "main.bicep"))
    declared = dict(re.findall(r"^output (\w+) (\w+) = ", text, re.MULTILINE))
    assert outputs.keys() == declared.keys()
    for name, values in outputs.items():
        members = types[declared[name]].replace(": string", "").split("\n")[:-1]
        assert [member.strip(" '") for member in members] == [*values]
    told = re.findall(r"^\| (\w+(?:Ids|Names)) \| (.*) \|$", module.files["README.md"], re.MULTILINE)
    assert [name for name, _ in told] == [*outputs]
    assert all(f"@description('{words}')\noutput {name} " in text for name, words in told)


# What people read


def table_of(module: Module, heading: str, raw: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Return the rows of the first table below a heading of the README, by column, as what they mean."""
    text = module.files["README.md"].partition(f"## {heading}\n" if heading else "\n\n")[2]
    lines = text[text.index("\n|" if not text.startswith("|") else "|") :].strip("\n").split("\n")
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    heads = rows[0]
    assert all(len(row) == len(heads) for row in rows)
    return [
        {head: one if head in raw else meaning(one) for head, one in zip(heads, row, strict=True)}
        for row in rows[2:]
    ]


def meaning(cell: str) -> str:
    return re.sub(r"\\(.)", r"\1", cell)


def told(causes: list[Cause] | tuple[Cause, ...]) -> dict[str, str]:
    """Return what a row says of causes: every purpose with its entry, and every source once."""
    citations = dict.fromkeys(one for cause in causes for one in cause.citations)
    return {
        "Why": "; ".join(f"{cause.purpose} ({cause.id})" for cause in causes),
        "Source": "; ".join(citations),
    }


@each("terraform", "aws")
def test_the_readme_tells_every_rule_in_aws(module: Module) -> None:
    found = locals_of(module)
    held = {key: rule["group"] for way in Direction for key, rule in found[f"{way}_rules"].items()}
    expected = [
        {
            "Group": held[real.expected_key(group.tier, rule)],
            "Direction": str(rule.direction),
            "Service": str(rule.service),
            "Peer": f"tier {rule.peer}" if isinstance(rule.peer, GroupReference) else str(rule.peer),
            **told(rule.causes),
        }
        for group in module.case.groups
        for rule in group.rules
    ]
    assert sorted(table_of(module, "Rules"), key=str) == sorted(expected, key=str)
    assert all(row["Why"] and row["Source"] for row in expected)


@each(cloud="azure")
def test_the_readme_tells_every_rule_in_azure(module: Module) -> None:
    expected = []
    for group, rule in rows_of(module):
        said = expected_properties(rule)
        ports = said.get("destinationPortRanges") or [said["destinationPortRange"]]
        causes = causes_of(module, group.tier, rule.direction, rule.block) if rule.access == "Allow" else []
        expected.append(
            {
                "Group": group.tier,
                "Direction": str(rule.direction),
                "Priority": str(rule.priority),
                "Rule": rule.name,
                "Protocol": rule.block.protocol,
                "Ports": ", ".join(ports),
                "Peers": ", ".join(peers_of(rule)),
                **(told(causes) if causes else {"Why": rule.description, "Source": ""}),
            }
        )
    assert table_of(module, "Rules") == expected
    assert sum(row["Source"] != "" for row in expected) > 2


@each()
def test_what_nobody_has_seen_is_told_wherever_a_rule_is_told(module: Module) -> None:
    for group in module.case.groups:
        for rule in group.rules:
            for cause in rule.causes:
                assert cause.purpose.endswith(" (unverified)") == (cause.evidence == "unverified")
                assert cause.citations
                assert f"{cause.id}" in module.files["README.md"]
