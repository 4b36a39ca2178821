"""What was generated is read back before it replaces anything: a slip anywhere on the way is found."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from citrix_netpolicy import (
    Compilation,
    Deployment,
    Direction,
    InputError,
    Module,
    OutputError,
    Rule,
    cli,
    compile_deployment,
    render,
    traffic_of,
    write_folder,
)
from citrix_netpolicy.found import folder as found
from citrix_netpolicy.net import ALL, Prefix, Protocol, Service, ServiceSet, icmp
from citrix_netpolicy.readback import hold_against
from citrix_netpolicy.syntax import bicep, hcl, templates
from citrix_netpolicy.targets import Output
from citrix_netpolicy.targets.aws.ec2 import port_span
from citrix_netpolicy.targets.azure import readback as azure_readback
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from citrix_netpolicy import Traffic

CASES = [("aws", "aws"), ("terraform", "aws"), ("azure", "azure"), ("terraform", "azure"), ("bicep", "azure")]
MAIN = {"aws": "security-groups.json", "azure": "network-security-groups.json", "bicep": "main.bicep"}


def _data(cloud: str, peers: str = "group") -> dict[str, Any]:
    """A site of nearly everything that rules can hold."""
    data: dict[str, Any] = {
        "name": "site",
        "networks": {"main": {"cloud": cloud}},
        "tiers": {
            "ddc": {"subnets": ["10.0.1.0/28", "2001:db8::/64"]},
            "hosts": {"roles": ["vda"], "subnets": ["10.0.2.0/24", "10.0.3.0/25", "2001:db8:1::/64"]},
            "web": {"roles": ["storefront"], "subnets": ["10.0.4.0/28"]},
        },
        "external": {"user-device": ["192.0.2.0/25", "198.51.100.0/24"]},
        "flows": {
            "metrics": {
                "source": "hosts",
                "destination": ["ddc", "web"],
                "services": [
                    {"protocol": "tcp", "ports": [9100, "9182-9190"]},
                    {"protocol": "icmp", "type": 8},
                ],
                "reason": "Metrics",
            },
            "tunnel": {
                "source": ["hosts", "user-device"],
                "destination": "web",
                "services": [{"protocol": "esp"}, {"protocol": "ah"}],
                "reason": "An IPsec tunnel",
            },
            "headers": {
                "source": "ddc",
                "destination": "web",
                "services": {"protocol": "ah"},
                "reason": "Authentication headers alone",
            },
        },
        "peers": peers,
    }
    if cloud == "aws":
        data["flows"]["tunnel"]["services"] += [{"protocol": "gre"}, {"protocol": 89}]
        data["external"] |= {
            "sql": {"prefix-list": {"id": "pl-0a1b2c3d", "max-entries": 4}},
            "site-licences": {"roles": "license-server", "security-group": "123456789012/sg-0a1b2c3d"},
        }
    else:
        data["external"]["sql"] = {"service-tag": "Sql"}
        data["tiers"]["web"]["behind"] = {"probes": [8443]}
        data["accept"] = [
            {"finding": code, "subject": tier, "reason": "Monitoring"}
            for code in ("icmp-widened", "icmpv6-blocked")
            for tier in data["tiers"]
        ]
    return data


@cache
def _compilation(cloud: str, peers: str = "group") -> Compilation:
    return compile_deployment(Deployment(**_data(cloud, peers)))


@cache
def _module(target: str, cloud: str, peers: str = "group") -> Module:
    return render(_compilation(cloud, peers), target)


def _hold(target: str, cloud: str, files: dict[str, str], peers: str = "group") -> None:
    policy = _compilation(cloud, peers).policy.in_network("main")
    hold_against(policy, Output(files, {}), target, cloud)


@pytest.mark.parametrize("peers", ["group", "cidr"])
@pytest.mark.parametrize(("target", "cloud"), CASES)
def test_what_was_compiled_is_what_the_files_say(target: str, cloud: str, peers: str) -> None:
    _hold(target, cloud, dict(_module(target, cloud, peers).files), peers)


def _is_refused(target: str, cloud: str, files: dict[str, str], peers: str) -> bool:
    """Tell whether files are not what was compiled."""
    try:
        _hold(target, cloud, files, peers)
    except OutputError as error:
        return [problem.code for problem in error.problems] == ["output-differs"]
    return False


def _traffic(target: str, cloud: str, text: str) -> Traffic | None:
    """Return what the rules of a file permit, as the reader that serves people finds it."""
    try:
        return traffic_of(found.read_rules({MAIN.get(target, "rules.tf"): text}, target, cloud).groups)
    except InputError:
        return None


# Lines that permit nothing: what people read, names that the cloud shows, places and tags of resources.
WORDS = re.compile(
    r' *(#|//|"//"|"?description"?|"Description"|"GroupName"|"deployment"|"network"|"version"|[}\]],?$|'
    r"\{$|$|@|(param|output|location|tags)\b)"
)
NAME = re.compile(r' *("name"|name) *[:=]')


@pytest.mark.slow
@pytest.mark.parametrize("peers", ["group", "cidr"])
@pytest.mark.parametrize(("target", "cloud"), CASES)
def test_no_line_can_be_lost_or_said_twice(target: str, cloud: str, peers: str) -> None:
    files = dict(_module(target, cloud, peers).files)
    name = MAIN.get(target, "rules.tf")
    lines = files[name].splitlines(keepends=True)
    head = next((at for at, line in enumerate(lines) if line.startswith("resource")), 0)
    whole = _traffic(target, cloud, files[name])
    judged = 0
    for number, line in enumerate(lines):
        if number < head or WORDS.match(line) or line.startswith(("    ddc:", "    hosts:", "    web:")):
            continue
        for changed in ([], [line, line]):
            text = "".join([*lines[:number], *changed, *lines[number + 1 :]])
            if _is_refused(target, cloud, files | {name: text}, peers):
                judged += 1
                continue
            # The fewest rules may overlap; the reader that serves people finds the same traffic then. Beside
            # that, JSON takes what it is told twice as told once, and names are the cloud's.
            is_json = bool(changed) and name.endswith(".json")
            assert is_json or NAME.match(line) or _traffic(target, cloud, text) == whole, line
    assert judged > 100


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_no_comma_of_json_can_be_lost_or_added(cloud: str) -> None:
    files = dict(_module(cloud, cloud).files)
    lines = files[MAIN[cloud]].splitlines()
    judged = 0
    for number, line in enumerate(lines):
        if line.endswith(("{", "[")):
            continue
        changed = line.removesuffix(",") if line.endswith(",") else f"{line},"
        text = "\n".join([*lines[:number], changed, *lines[number + 1 :], ""])
        assert _is_refused(cloud, cloud, files | {MAIN[cloud]: text}, "group"), number
        judged += 1
    assert judged > 100


# A template and its slip.
SLIPS = [
    ("terraform-aws/rules.tf.j2", "in entries.items()", "in (entries.items() | list)[1:]"),
    ("terraform-aws/rules.tf.j2", "{{ direction }}_rules = {\n", "ingress_rules = {\n"),
    ("terraform-aws/rules.tf.j2", "in groups.items() %}", "in (groups.items() | list)[1:] %}"),
    ("terraform-aws/main.tf.j2", "value.from_port", "value.to_port"),
    ("terraform-aws/main.tf.j2", "try(each.value.cidr_ipv6", "try(each.value.cidr_ipv4"),
    ("terraform-aws/main.tf.j2", "each.value.ip_protocol", '"-1"'),
    ("terraform-aws/main.tf.j2", "_{{ direction }}_rule", "_ingress_rule"),
    ("terraform-aws/main.tf.j2", "{% for direction in rules %}", "{% for direction in ['ingress'] %}"),
    ("terraform-aws/outputs.tf.j2", "\noutput", '\nresource "aws_security_group" "more" {\n}\n\noutput'),
    ("terraform-aws/variables.tf.j2", "\nvariable", '\nmodule "more" {\n}\n\nvariable'),
    ("terraform-azure/rules.tf.j2", "in rules.items()", "in (rules.items() | list)[:-1]"),
    ("terraform-azure/main.tf.j2", "security_rule.value.access", '"Allow"'),
    ("terraform-azure/main.tf.j2", 'source_port_range            = "*"', ""),
    (
        "terraform-azure/main.tf.j2",
        "in security_rule.value.source_tiers :",
        "in security_rule.value.destination_tiers :",
    ),
    ("terraform-azure/main.tf.j2", "security_rule.value.direction", '"Inbound"'),
    ("terraform-azure/main.tf.j2", "rule if rule.group == each.key", "rule"),
    (
        "terraform-azure/main.tf.j2",
        '  dynamic "security_rule" {',
        '  security_rule {\n  }\n\n  dynamic "security_rule" {',
    ),
    ("terraform-azure/main.tf.j2", 'dynamic "security_rule" {', 'dynamic "other_rule" {'),
    ("bicep/main.bicep.j2", "in groups %}", "in groups[1:] %}"),
    ("bicep/main.bicep.j2", "group.body | bicep", "groups[0].body | bicep"),
    (
        "bicep/main.bicep.j2",
        "\n@description('Resource id",
        "\nmodule more 'more.bicep' = {\n}\n\n@description('",
    ),
]


@pytest.fixture
def forget_templates() -> Iterator[Callable[[], None]]:
    """Give what makes the templates load again; they do before and after a test, too."""

    def forget() -> None:
        hcl._environment.cache_clear()
        bicep._environment.cache_clear()

    forget()
    yield forget
    forget()


@pytest.mark.parametrize(("template", "old", "new"), SLIPS)
def test_a_slip_in_a_template_is_found_before_the_folder_changes(
    template: str,
    old: str,
    new: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    forget_templates: Callable[[], None],
) -> None:
    target, _, cloud = template.partition("/")[0].replace("bicep", "bicep-azure").partition("-")
    file, folder = tmp_path / "site.yaml", tmp_path / "out"
    write_folder(folder, render(_compilation(cloud), target))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    # Something is new, so that the folder would be written.
    data = _data(cloud)
    data["flows"]["metrics"]["services"][0]["ports"] = [9100]
    file.write_text(Deployment(**data).to_yaml(), encoding="utf-8")
    load = templates._load

    def corrupted(name: str) -> str:
        text = load(name)
        assert name != template or old in text
        return text.replace(old, new) if name == template else text

    monkeypatch.setattr(templates, "_load", corrupted)
    forget_templates()
    assert cli.main(["compile", str(file), "--target", target, "--out", str(folder)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "please report it" in told
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _off_by_one(service: Service) -> tuple[int, int] | None:
    span = port_span(service)
    return span and (span[0], min(span[1] + 1, 65535))


def _only_443(*_: object) -> tuple[tuple[int, int], ...]:
    return ((443, 443),)


WRITERS: list[tuple[str, str, str, Callable[..., Any]]] = [
    ("aws", "aws", "citrix_netpolicy.targets.aws.ec2.port_span", _off_by_one),
    ("terraform", "aws", "citrix_netpolicy.targets.aws.ec2.port_span", _off_by_one),
    ("aws", "aws", "citrix_netpolicy.targets.aws.ec2.protocol_name", lambda _: "tcp"),
    ("azure", "azure", "citrix_netpolicy.targets.azure.cover._port_text", lambda span: str(span[0])),
    ("bicep", "azure", "citrix_netpolicy.targets.azure.cover._spans", _only_443),
    ("terraform", "azure", "citrix_netpolicy.targets.azure.groups._opens_all", lambda _: True),
    ("terraform", "aws", "citrix_netpolicy.minimize.prefixes_between", lambda *_: iter(())),
]


@pytest.mark.parametrize(("target", "cloud", "place", "slip"), WRITERS)
def test_a_slip_on_the_way_to_the_files_is_found(
    target: str, cloud: str, place: str, slip: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, slip)
    with pytest.raises(OutputError) as caught:
        render(compile_deployment(Deployment(**_data(cloud, "cidr"))), target)
    assert [problem.code for problem in caught.value.problems] == ["output-differs"]


def test_the_first_difference_is_told() -> None:
    files = dict(_module("aws", "aws").files)
    name = MAIN["aws"]
    narrower = files | {name: files[name].replace('"ToPort": 9190', '"ToPort": 9189')}
    with pytest.raises(OutputError, match=r"less than was compiled: tier `ddc`, ingress, tcp 9190 from"):
        _hold("aws", "aws", narrower)
    files = dict(_module("aws", "aws", "cidr").files)
    wider = files | {name: files[name].replace("10.0.4.0/28", "10.0.4.0/27")}
    with pytest.raises(OutputError, match=r"more than .* from 10\.0\.4\.16 to 10\.0\.4\.31"):
        _hold("aws", "aws", wider, "cidr")


@pytest.mark.parametrize("egress", ["open", "restricted"])
@pytest.mark.parametrize(("target", "cloud"), CASES)
def test_open_egress_is_read_as_such(target: str, cloud: str, egress: str) -> None:
    policies = {}
    for word in ("open", "restricted"):
        compilation = compile_deployment(Deployment(**_data(cloud), egress=word))
        policies[word] = compilation.policy.in_network("main")
        if word == egress:
            files = dict(render(compilation, target).files)
    hold_against(policies.pop(egress), Output(files, {}), target, cloud)
    (other,) = policies.values()
    with pytest.raises(OutputError):
        hold_against(other, Output(files, {}), target, cloud)


@pytest.mark.parametrize(("target", "cloud"), CASES)
def test_a_network_without_tiers_holds_nothing(target: str, cloud: str) -> None:
    data = _data(cloud)
    data["networks"]["empty"] = {"cloud": cloud}
    for tier in data["tiers"].values():
        tier["network"] = "main"
    compilation = compile_deployment(Deployment(**data))
    module = render(compilation, target)
    assert module.outputs["empty"].rules == 0 < module.outputs["main"].rules


def test_azure_says_icmp_as_a_whole() -> None:
    web = Service(Protocol.TCP, 443, 443)
    low, high = Prefix.parse("10.0.0.0/25"), Prefix.parse("10.0.0.128/25")
    rules = [
        Rule(Direction.INGRESS, low, icmp(Protocol.ICMP, 8)),
        Rule(Direction.INGRESS, high, icmp(Protocol.ICMP, 3)),
        Rule(Direction.INGRESS, Prefix.parse("2001:db8::/64"), icmp(Protocol.ICMPV6, 128)),
        *(Rule(Direction.INGRESS, prefix, web) for prefix in (low, high)),
    ]
    (segment,) = azure_readback.as_said(reach_of(rules)).segments
    assert (segment.first, segment.last) == (low.first, high.last)
    assert segment.services == ServiceSet.of(web, icmp(Protocol.ICMP))
    everything = reach_of([Rule(Direction.INGRESS, low, Service(Protocol.ALL, 0, 65535))])
    assert azure_readback.as_said(everything) == everything
    assert everything.segments[0].services == ALL
