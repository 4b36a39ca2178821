"""Several networks: what is said of one is said of that one, and counts agree wherever they are told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from citrix_netpolicy import Deployment, Direction, cli, compile_deployment, render, traffic_of
from citrix_netpolicy.found import folder
from citrix_netpolicy.minimize import lower_bound
from citrix_netpolicy.reports.summary import summary_lines
from citrix_netpolicy.syntax import document
from citrix_netpolicy.targets import TARGETS

if TYPE_CHECKING:
    from citrix_netpolicy import Compilation
    from citrix_netpolicy.targets import Output

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").rglob("deployment.yaml"))
SEVERAL = [path for path in EXAMPLES if len(Deployment.load(path).networks) > 1]


def _site(cloud: str) -> dict[str, Any]:
    """Two networks whose tiers speak with each other, so that a whole is more than one of its parts."""
    data: dict[str, Any] = {
        "name": "site",
        "networks": {"east": {"cloud": cloud}, "west": {"cloud": cloud}, "north": {"cloud": cloud}},
        "tiers": {
            "ddc": {"network": "east", "subnets": ["10.0.1.0/28"]},
            "sql": {"network": "east", "subnets": ["10.0.2.0/28", "10.0.3.0/28"]},
            "vda": {"network": "west", "subnets": ["10.1.0.0/24"]},
            "storefront": {"network": "north", "subnets": ["10.2.0.0/28"]},
        },
        "external": {"admin-workstation": ["192.0.2.0/25", "192.0.2.128/25"]},
    }
    return data


def _compilation(cloud: str) -> Compilation:
    return compile_deployment(Deployment(**_site(cloud)))


@pytest.fixture(
    params=["aws", "azure", *SEVERAL], ids=lambda one: one if type(one) is str else one.parent.name
)
def compilation(request: pytest.FixtureRequest) -> Compilation:
    if isinstance(request.param, str):
        return _compilation(request.param)
    return compile_deployment(Deployment.load(request.param))


def test_there_are_examples_of_several_networks() -> None:
    assert SEVERAL


def test_every_figure_of_a_part_is_that_of_the_part(compilation: Compilation) -> None:
    deployment, policy = compilation.deployment, compilation.policy
    parts = {name: policy.in_network(name) for name in deployment.networks}
    for name, part in parts.items():
        tiers = sorted(tier for tier in deployment.tiers if deployment.network_of(tier) == name)
        assert tiers
        assert [group.tier for group in part.groups] == tiers
        assert {group.network for group in part.groups} == {name}
        assert part.rule_count == sum(len(policy.group(tier).rules) for tier in tiers)
        assert 0 < part.rule_count < policy.rule_count
        assert [part.group(tier) for tier in tiers] == [policy.group(tier) for tier in tiers]
        with pytest.raises(KeyError):
            part.group(next(tier for tier in deployment.tiers if tier not in tiers))
        assert part.in_network(name) == part
    assert sum(part.rule_count for part in parts.values()) == policy.rule_count
    assert sum(lower_bound(part.groups) for part in parts.values()) == compilation.lower_bound
    assert policy.in_network("elsewhere").rule_count == 0


def _rules(output: Output) -> dict[str, int]:
    return {tier: count.rules for tier, count in output.tiers.items()}


CASES = [(target, cloud) for target, clouds in TARGETS.items() for cloud in clouds]


@pytest.mark.parametrize(("target", "cloud"), CASES)
def test_the_counts_of_a_network_are_those_of_its_files(target: str, cloud: str) -> None:
    compilation = _compilation(cloud)
    module = render(compilation, target)
    assert module.outputs.keys() == compilation.deployment.networks.keys()
    for name, output in module.outputs.items():
        alone = render(compilation, target, name)
        assert alone.outputs == {name: output}
        found = folder.read(dict(alone.files), target, cloud).policy
        assert output.tiers.keys() == {group.tier for group in found.groups}
        assert output.rules == sum(count.rules for count in output.tiers.values())
        assert output.lower_bound == output.rules
        assert traffic_of(found.groups) == traffic_of(compilation.policy.in_network(name).groups)
        if cloud == "aws":
            assert _rules(output) == {group.tier: len(group.rules) for group in found.groups}
    assert sum(output.rules for output in module.outputs.values()) > 0


def _numbers(lines: list[str]) -> tuple[int, dict[str, int], dict[str, dict[str, int]]]:
    """Return how many groups and rules the summary tells in all, of each network, and of each tier."""
    head = re.fullmatch(
        r"site: (\d+) groups?, (\d+) rules? \((?:the fewest possible|lower bound (\d+))\); "
        r"(\d+) when every flow is written out",
        lines[0],
    )
    assert head
    assert int(head[2]) <= int(head[4])
    assert head[3] is None or int(head[3]) < int(head[2])
    networks: dict[str, dict[str, int]] = {}
    for line in lines[1:]:
        if line.startswith("  network "):
            name, _, counts = line.removeprefix("  network ").partition(": ")
            networks[name] = {
                tier: int(number) for tier, number in (one.split(" ") for one in counts.split(", "))
            }
    totals = {name: sum(counts.values()) for name, counts in networks.items()}
    assert int(head[1]) == sum(map(len, networks.values()))
    return int(head[2]), totals, networks


@pytest.mark.parametrize(("target", "cloud"), CASES)
def test_the_summary_of_several_networks_adds_up(
    target: str, cloud: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compilation = _compilation(cloud)
    module = render(compilation, target)
    total, totals, networks = _numbers(list(summary_lines(compilation, module)))
    assert networks == {name: _rules(output) for name, output in module.outputs.items()}
    assert total == sum(totals.values())
    assert totals == {name: output.rules for name, output in module.outputs.items()}


@pytest.mark.parametrize(("target", "cloud"), CASES)
def test_the_summary_of_one_network_of_several_tells_of_that_one(target: str, cloud: str) -> None:
    compilation = _compilation(cloud)
    for name in compilation.deployment.networks:
        module = render(compilation, target, name)
        total, totals, networks = _numbers(list(summary_lines(compilation, module)))
        assert networks == {name: _rules(module.outputs[name])}
        assert total == totals[name] == module.outputs[name].rules


def test_one_is_told_in_the_singular() -> None:
    flow = {"source": "user-device", "destination": "web", "reason": "Web"}
    data = {
        "name": "site",
        "cloud": "aws",
        "tiers": {"web": {"roles": ["netscaler-lom"], "subnets": ["10.0.0.0/28"]}},
        "external": {"user-device": ["192.0.2.0/24"]},
        "flows": {"web": {**flow, "services": {"protocol": "tcp", "ports": 443}}},
    }
    compilation = compile_deployment(Deployment(**data))
    (head, *_) = summary_lines(compilation, render(compilation, "aws"))
    assert head == "site: 1 group, 1 rule (the fewest possible); 1 when every flow is written out"


def test_an_entry_that_is_left_out_for_two_reasons_counts_once() -> None:
    data = _site("aws")
    lacking = {"destination": "vda", "services": {"protocol": "tcp", "ports": 443}, "reason": "Web"}
    data["flows"] = {
        "none": {**lacking, "source": ["pvs", "fas"]},
        "part": {**lacking, "source": ["pvs", "fas", "sql"]},
    }
    compilation = compile_deployment(Deployment(**data))
    module = render(compilation, "aws")
    omissions = compilation.resolution.omissions
    assert [one.entry for one in omissions].count("flow:none") == 2
    assert [one.entry for one in omissions].count("flow:part") == 2
    entries = {one.entry for one in omissions} - {"flow:part"}
    assert len(entries) == len(omissions) - 3
    (told,) = [line for line in summary_lines(compilation, module) if "produced no rules" in line]
    assert told.startswith(f"{len(entries)} entries produced no rules (")
    assert sum(map(int, re.findall(r"[(,] ?([0-9]+) ", told))) == len(entries)
    # What is listed is each reason, and that one of the two has rules is said.
    lines = list(summary_lines(compilation, module, verbose=True))
    none = lines.index(f"{len(entries)} entries produced no rules:")
    part = lines.index("1 entry produced rules for a part only:")
    assert {line.strip().split(": ")[0] for line in lines[none + 1 : part]} == entries
    assert [line.split(": ")[0] for line in lines[part + 1 :]] == ["  flow:part"] * 2
    # It is said without being asked, too.
    short = list(summary_lines(compilation, module))
    assert [line for line in short if line.startswith("1 entry produced rules for a part only (1 ")]


def test_what_is_opened_for_a_name_has_rules() -> None:
    tier = {"subnets": ["10.0.0.0/24"], "names": "open"}
    tiers = {"cloud-connector": tier, "vda": {"subnets": ["10.0.1.0/24"]}}
    features = {"rendezvous": True, "gateway-service": True}
    data = {"name": "site", "cloud": "aws", "tiers": tiers, "features": features}
    compilation = compile_deployment(Deployment(**data))
    lines = list(summary_lines(compilation, render(compilation, "aws"), verbose=True))
    listed = {line.strip().split(": ")[0] for line in lines if line.startswith("  ")}
    assert "rendezvous-tcp" in listed
    assert "cloud-connector-citrix-cloud" not in listed


def test_one_network_of_several_tells_no_findings_of_other_tiers() -> None:
    def tier(role: str, network: str, number: int, **more: Any) -> dict[str, Any]:
        return {"roles": [role], "network": network, "subnets": [f"10.0.{number}.0/28"], **more}

    named = {"names": "open"}
    roles = ("netscaler-lom", "netscaler-mgmt", "ddc", "storefront", "cloud-connector")
    tiers = {
        f"{role}-{network}": tier(role, network, number, **(named if role == "cloud-connector" else {}))
        for number, (network, role) in enumerate((n, r) for n in ("east", "west") for r in roles)
    }
    data = {
        "name": "site",
        "networks": {"east": {"cloud": "aws"}, "west": {"cloud": "aws"}},
        "tiers": tiers,
        "external": {"user-device": {"addresses": ["0.0.0.0/0"], "features": {"direct-hdx": True}}},
        "features": {"tacacs-auth": True},
        "parameters": {"xml-service-port": 9095},
    }
    compilation = compile_deployment(Deployment(**data))
    told = {
        network: [
            line for line in summary_lines(compilation, render(compilation, "aws", network)) if "[" in line
        ]
        for network in ("east", "west", None)
    }
    of_tiers = {"open-to-the-world", "egress-to-any-address", "port-taken", "tier-without-peers"}
    for network, other in (("east", "west"), ("west", "east")):
        codes = {line.rpartition("[")[2].rstrip("]") for line in told[network]}
        assert of_tiers | {"feature-without-effect"} <= codes
        assert not [line for line in told[network] if f"-{other}`" in line]
    # What is of no tier is told of each, and all of it where all networks are written.
    assert {*told["east"], *told["west"]} == {*told[None]}
    assert len(told[None]) > max(len(told["east"]), len(told["west"]))


def test_the_command_says_one_count_for_each_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(json.dumps(_site("azure")))
    command = ["compile", str(file), "--target", "azure", "--out"]
    assert cli.main([*command, str(tmp_path / "all")]) == 0
    _, totals, _ = _numbers(capsys.readouterr().err.splitlines())
    for name, number in totals.items():
        assert cli.main([*command, str(tmp_path / name), "--network", name]) == 0
        assert _numbers(capsys.readouterr().err.splitlines())[0] == number


PING = {"protocol": "icmp", "type": 8, "code": 0}
PING6 = {"protocol": "icmpv6", "type": 128, "code": 0}


@pytest.mark.parametrize("target", [target for target, clouds in TARGETS.items() if "azure" in clouds])
def test_every_tier_of_every_network_tells_what_azure_cannot_express(target: str) -> None:
    tiers = {
        f"{tier}-{network}": {
            "roles": [tier],
            "network": network,
            "subnets": [f"10.{m}.{n}.0/24", f"2001:db8:{m}:{n}::/64"],
        }
        for m, network in enumerate(("east", "west"))
        for n, tier in enumerate(("vda", "ddc"))
    }
    flow = {"source": "watch", "destination": ["vda", "ddc"], "services": [PING, PING6], "reason": "Ping"}
    losses = [("icmp-widened", tier) for tier in tiers] + [("icmpv6-blocked", tier) for tier in tiers]
    settings: dict[str, Any] = {
        "name": "site",
        "networks": {"east": {"cloud": "azure"}, "west": {"cloud": "azure"}},
        "tiers": tiers,
        "external": {"watch": {"roles": ["admin-workstation"], "addresses": ["192.0.2.1", "2001:db8:f::1"]}},
        "flows": {"ping": flow},
        "accept": [
            {"finding": code, "subject": [tier for kind, tier in losses if kind == code], "reason": "known"}
            for code in ("icmp-widened", "icmpv6-blocked")
        ],
    }
    compilation = compile_deployment(Deployment(**settings))
    module = render(compilation, target)
    for network, output in module.outputs.items():
        told = sorted((finding.code, finding.subject) for finding in output.findings)
        assert told == sorted(loss for loss in losses if loss[1].endswith(network))
    assert sorted((f.code, f.subject) for f in module.findings) == sorted(losses)
    lines = [line for line in summary_lines(compilation, module) if line.startswith("note: tier ")]
    assert len(lines) == len(losses)
    assert len(set(lines)) == len(losses)
    for code, tier in losses:
        assert [line for line in lines if f"`{tier}`" in line and line.endswith(f"[{code}]")], (code, tier)


@pytest.mark.parametrize("target", [target for target, clouds in TARGETS.items() if "azure" in clouds])
def test_every_tier_of_every_network_tells_that_its_egress_is_open(target: str) -> None:
    data = _site("azure")
    compilation = compile_deployment(Deployment(**{**data, "egress": "open"}))
    module = render(compilation, target)
    told = {network: [one.subject for one in output.findings] for network, output in module.outputs.items()}
    tiers = data["tiers"]
    assert told == {
        network: sorted(tier for tier in tiers if tiers[tier]["network"] == network)
        for network in data["networks"]
    }
    assert {finding.code for finding in module.findings} == {"egress-open"}


def test_both_directions_of_a_part_are_the_part() -> None:
    part = _compilation("aws").policy.in_network("west")
    (group,) = part.groups
    assert part.rule_count == sum(len(group.side(way)) for way in Direction)
    assert all(group.side(way) for way in Direction)


def test_the_order_of_networks_changes_no_file() -> None:
    data = _site("azure")
    turned = {**data, "networks": dict(reversed(data["networks"].items()))}
    one, two = (
        render(
            compile_deployment(Deployment.from_document(document.parse(json.dumps(each).encode(), "a"))),
            "bicep",
        )
        for each in (data, turned)
    )
    assert one.files == two.files


# Address families


def _families(edition: str | None, peers: str = "cidr", **tiers: Any) -> dict[str, set[tuple[str, str]]]:
    """Return the peers of each tier in rules, each with its direction."""
    compilation = compile_deployment(
        Deployment(
            name="site",
            cloud="aws",
            edition=edition,
            peers=peers,
            tiers={"web": {"roles": [], "subnets": ["10.0.0.0/28"]}, **tiers},
            external={"people": {"roles": [], "addresses": ["192.0.2.0/24", "2001:db8:9::/48"]}},
            flows={
                "in": {
                    "source": "people",
                    "destination": "web",
                    "services": HTTPS,
                    "reason": "People",
                },
                "out": {"source": "web", "destination": "people", "services": HTTPS, "reason": "And out"},
            },
        )
    )
    return {
        group.tier: {(str(rule.direction), str(rule.peer)) for rule in group.rules}
        for group in compilation.policy.groups
    }


HTTPS = {"protocol": "tcp", "ports": 443}


def test_no_rule_is_for_a_family_that_the_tier_does_not_have() -> None:
    ways = ("ingress", "egress")
    assert _families(None)["web"] == {(way, "192.0.2.0/24") for way in ways}
    # What the first edition had stays as it was.
    both = {(way, peer) for way in ways for peer in ("192.0.2.0/24", "2001:db8:9::/48")}
    assert _families("2026.11")["web"] == both
    dual = {"roles": [], "subnets": ["10.0.0.0/28", "2001:db8::/64"]}
    assert _families(None, web=dual)["web"] == both


@pytest.mark.parametrize(
    ("subnets", "own"),
    [
        (["10.0.1.4", "2001:db8:1::/64"], {"2001:db8:1::/64"}),
        (["10.0.1.4", "10.0.1.6", "2001:db8:1::/64"], {"10.0.1.4/32", "10.0.1.6/32", "2001:db8:1::/64"}),
        (["10.0.1.0/28", "2001:db8:1::4"], {"10.0.1.0/28"}),
        (["10.0.1.4", "2001:db8:1::4"], set()),
    ],
)
def test_a_machine_that_is_alone_in_a_family_has_no_rule_to_itself_there(
    subnets: list[str], own: set[str]
) -> None:
    compilation = compile_deployment(
        Deployment(
            name="site",
            cloud="aws",
            peers="cidr",
            tiers={
                "web": {"roles": [], "subnets": subnets},
                "app": {"roles": [], "subnets": ["10.0.2.0/28"]},
            },
            flows={"self": {"source": "web", "destination": "web", "services": HTTPS, "reason": "Peers"}},
        )
    )
    rules = compilation.policy.group("web").rules
    assert {str(rule.peer) for rule in rules} == own


def test_addresses_that_no_rule_names_are_told() -> None:
    site: dict[str, Any] = {
        "name": "site",
        "cloud": "aws",
        "tiers": {"ddc": ["10.0.0.0/28"], "vda": ["10.0.1.0/24"]},
        "external": {"admin-workstation": ["192.0.2.0/24", "2001:db8:9::/48"]},
    }
    told = [one for one in compile_deployment(Deployment(**site)).findings if one.code == "other-family"]
    assert [(one.subject, one.severity) for one in told] == [("admin-workstation", "note")]
    assert "IPv6" in told[0].message
    for changed in (
        {"edition": "2026.11"},
        {"tiers": {**site["tiers"], "ddc": ["10.0.0.0/28", "2001:db8::/64"]}},
        {"external": {"admin-workstation": ["192.0.2.0/24"]}},
    ):
        findings = compile_deployment(Deployment(**{**site, **changed})).findings
        assert not [one for one in findings if one.code == "other-family"]


def test_who_must_answer_over_tls_is_told() -> None:
    site: dict[str, Any] = {
        "name": "site",
        "networks": {"one": {"cloud": "aws"}, "two": {"cloud": "aws"}},
        "tiers": {
            "ddc": {"subnets": ["10.0.0.0/28"], "network": "one"},
            "storefront": {"subnets": ["10.0.1.0/28"], "network": "two"},
        },
        "external": {"admin-workstation": ["10.9.0.0/24"]},
    }
    line = "  HTTP stays closed, so these must answer over TLS: ddc"

    def told(network: str, **changes: Any) -> list[str]:
        compilation = compile_deployment(Deployment(**site, **changes))
        return [*summary_lines(compilation, render(compilation, "terraform", network))]

    assert line in told("one")
    assert not [one for one in told("two") if "TLS" in one]
    assert line in told("one", features={"plaintext-xml": True})
    assert line not in told("one", features={"plaintext-xml": True, "plaintext-studio": True})


@pytest.mark.parametrize("ends", [["a", "b"], ["b", "a"]])
def test_what_a_tier_says_of_itself_is_not_what_others_say_of_it(ends: list[str]) -> None:
    """A machine that is alone in a family says nothing to itself there, and its neighbours do."""
    tiers = {"a": ["10.0.0.0/31", "2001:db8::/127"], "b": ["10.0.0.6/31", "2001:db8::4"]}
    compilation = compile_deployment(
        Deployment(
            name="site",
            cloud="aws",
            peers="cidr",
            tiers={name: {"roles": [], "subnets": subnets} for name, subnets in tiers.items()},
            flows={"all": {"source": ends, "destination": ends, "services": HTTPS, "reason": "All"}},
        )
    )
    peers = {
        tier: {str(rule.peer) for rule in compilation.policy.group(tier).rules if ":" in str(rule.peer)}
        for tier in tiers
    }
    assert peers == {"a": {"2001:db8::/127", "2001:db8::4/128"}, "b": {"2001:db8::/127"}}
