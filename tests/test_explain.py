"""Why a connection is permitted, by which entry and line, and what stands in the way of one that is not."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from support import real

from citrix_netpolicy import Deployment, InputError, cli, compile_deployment
from citrix_netpolicy.explain import Answer, explain
from citrix_netpolicy.net import Protocol, ServiceSet, ports
from citrix_netpolicy.omissions import NotForTheInternet
from citrix_netpolicy.review import sight_of

if TYPE_CHECKING:
    from pathlib import Path

    from citrix_netpolicy import Compilation

EXAMPLES = ("reference", "classic", "two-networks", "hybrid", "shared-subnets", "satellite-zones")


@cache
def compiled(name: str) -> Compilation:
    return real.compile_data(real.example(name))


def ask(
    compilation: Compilation, source: str | None, destination: str | None, port: int | None = None
) -> list[Answer]:
    services = ServiceSet.of(ports(Protocol.TCP, port)) if port else None
    return explain(compilation, sight_of(compilation), source, destination, services)


def one(data: dict[str, Any], source: str, destination: str, port: int) -> Answer:
    (answer,) = ask(real.compile_data(data), source, destination, port)
    return answer


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_flow_is_permitted_because_of_itself(name: str) -> None:
    compilation = compiled(name)
    sight = sight_of(compilation)
    tiers = compilation.deployment.tiers
    checked = 0
    for flow in compilation.resolution.flows:
        if flow.is_public or not {flow.source, flow.destination} & tiers.keys():
            continue
        (answer,) = explain(compilation, sight, flow.source, flow.destination, flow.services)
        # What two ends have no family for, or say to any address, is no part of it.
        assert flow.cause in answer.causes
        assert {side.tier for side in answer.sides} == {flow.source, flow.destination} & tiers.keys()
        if answer.is_permitted:
            assert all(side.rules for side in answer.sides)
            assert not answer.obstacles
            checked += 1
    assert checked > 20


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_no_flow_says_is_not_permitted(name: str) -> None:
    compilation = compiled(name)
    sight = sight_of(compilation)
    ends = sorted(compilation.deployment.ends)
    opened = {
        (flow.source, flow.destination): flow.services
        for flow in compilation.resolution.flows
        if flow.services.meets(ports(Protocol.TCP, 22))
    }
    asked = ServiceSet.of(ports(Protocol.TCP, 22))
    for source in ends:
        for destination in ends:
            if (source, destination) not in opened and source in compilation.deployment.tiers:
                for answer in explain(compilation, sight, source, destination, asked):
                    # Addresses that two ends share are let in for both.
                    shared = any(
                        prefix.overlaps(other)
                        for end, held in compilation.deployment.ends.items()
                        if end != destination
                        for prefix in held.prefixes
                        for other in compilation.deployment.ends[destination].prefixes
                    )
                    assert shared or not answer.is_permitted, (source, destination)


# What stands in the way


def site(**changes: Any) -> dict[str, Any]:
    return {**real.example("reference"), **changes}


def test_a_feature_that_is_off_is_named_with_what_to_do() -> None:
    answer = one(site(), "user-device", "vda", 2598)
    assert not answer.is_permitted
    (obstacle,) = [found for found in answer.obstacles if found.entry == "user-hdx-session-reliability"]
    assert obstacle.remedy == "turn the feature `direct-hdx` on"
    fixed = one(site(features={**site()["features"], "direct-hdx": True}), "user-device", "vda", 2598)
    # With the feature on, what stands in the way is that anybody may be there.
    assert not fixed.is_permitted
    assert [(found.entry, type(found.omission)) for found in fixed.obstacles] == [
        ("user-hdx-session-reliability", NotForTheInternet)
    ]


def test_an_exclusion_is_named() -> None:
    data = site(exclude=[{"entry": "storefront-xml", "reason": "Through a proxy"}])
    answer = one(data, "storefront", "ddc", 8080)
    assert [(found.entry, found.remedy) for found in answer.obstacles] == [
        ("storefront-xml", "remove the exclusion")
    ]
    assert one(site(), "storefront", "ddc", 8080).is_permitted


def test_what_the_catalogue_does_not_know_gets_a_flow_and_tells_what_there_is() -> None:
    answer = one(site(), "storefront", "ddc", 4711)
    assert not answer.obstacles
    assert [flow.cause.id for flow in answer.others] == ["storefront-xml"]


def test_one_group_that_says_so_is_not_enough() -> None:
    """With egress open, a tier lets out what its peer does not let in."""
    answer = one(site(egress="open"), "storefront", "ddc", 4711)
    assert not answer.is_permitted
    assert [bool(side.permitted) for side in answer.sides] == [True, False]


# Who is asked about


def test_ends_are_named_by_name_role_and_address() -> None:
    compilation = compiled("reference")
    by_name = ask(compilation, "storefront", "ddc", 8080)
    assert by_name == ask(compilation, "storefront", "10.20.2.17", 8080)
    assert by_name == ask(compilation, "10.20.1.3", "director", 8080)
    # An address that is anybody's is somebody's first.
    assert [answer.source for answer in ask(compilation, "10.99.7.70", "ddc", 80)] == ["admin-workstation"]
    assert [answer.source for answer in ask(compilation, "203.0.113.9", "adc-client", 443)] == ["user-device"]


def test_one_end_alone_lists_what_there_is() -> None:
    found = ask(compiled("reference"), None, "sql")
    assert [(answer.source, str(answer.permitted)) for answer in found] == [
        ("ddc", "tcp 1433"),
        ("pvs", "tcp 1433"),
    ]
    assert all(answer.is_permitted for answer in ask(compiled("reference"), "vda", None))


@pytest.mark.parametrize("word", ["storefrnt", "10.20.2.0/33", "citrix-hypervisor"])
def test_whoever_is_not_there_is_told(word: str) -> None:
    with pytest.raises(InputError) as caught:
        ask(compiled("reference"), word, "ddc")
    assert [problem.code for problem in caught.value.problems] == ["unknown-end"]


def test_an_address_of_nobody_is_told() -> None:
    data = site()
    del data["external"]["user-device"]
    with pytest.raises(InputError, match=r"172\.31\.0\.1"):
        ask(real.compile_data(data), "172.31.0.1", "ddc")


# The command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(Deployment(**site()).to_yaml(), encoding="utf-8")
    return path


def test_the_command_answers_with_lines_and_sources(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", str(file), "--from", "admin-workstation", "--to", "ddc", "--port", "tcp/5985"]
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "admin-workstation -> ddc: tcp 5985 permitted"
    assert any(line.startswith(f"    because of flow `flow:patching`, {file}:") for line in lines)
    assert any("group of ddc, in: tcp 5985-5986 from 10.99.7.0/25" in line for line in lines)


def test_the_command_says_no_with_exit_code_1(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", str(file), "--from", "sql", "--to", "vda", "--port"]
    assert cli.main([*words, "udp/1-9"]) == 1
    printed = capsys.readouterr().out
    assert "sql -> vda: udp 1-9 not permitted" in printed
    assert "services: {protocol: udp, ports: [1-9]}" in printed
    assert cli.main([*words, "icmp", "--format", "json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["version"] == 1
    assert [answer["permitted"] for answer in data["answers"]] == [False]


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "vda", "--to", "ddc", "--port", "80"],
        ["--from", "vda", "--port", "tcp/0"],
        ["--from", "vda", "--port", "tcp/70000"],
        ["--from", "vda", "--port", "tcp/9-8"],
        [],
        ["--from", "nobody"],
        ["--to", ""],
    ],
)
def test_what_cannot_be_asked_is_refused(
    words: list[str], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", str(file), *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "error: " in printed.err


def test_a_snippet_of_the_answer_permits_what_was_asked(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", str(file), "--from", "sql", "--to", "vda", "--port", "tcp/4711"]
    assert cli.main(words) == 1
    printed = capsys.readouterr().out
    snippet = printed.partition("        flows:\n")[2].replace("        ", "", 1)
    data = site()
    told = dict(line.strip().split(": ", 1) for line in snippet.splitlines() if ": " in line)
    data["flows"]["own"] = {
        "source": told["source"],
        "destination": told["destination"],
        "services": [{"protocol": "tcp", "ports": [4711]}],
        "reason": "Asked for",
    }
    assert told["services"] == "{protocol: tcp, ports: [4711]}"
    (answer,) = ask(compile_deployment(Deployment(**data)), "sql", "vda", 4711)
    assert answer.is_permitted
