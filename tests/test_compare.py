"""Two policies held against each other: by packets and pairs, between spellings, folders and revisions."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import real
from support.strategies import examples

from citrix_netpolicy import Deployment, InputError, cli, compile_deployment, render, write_folder
from citrix_netpolicy.compare import Sight, Verdict, compare
from citrix_netpolicy.ends import Ends
from citrix_netpolicy.net import Prefix, Protocol, ports
from citrix_netpolicy.policy import (
    Cause,
    Direction,
    Group,
    GroupKey,
    GroupReference,
    Policy,
    Rule,
    rule_order,
)
from citrix_netpolicy.reports.diff import Risk, changes_of, markdown_lines
from citrix_netpolicy.review import sight_at, sight_of, sight_of_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

SUBNETS = {"a": (Prefix(4, 0, 31),), "b": (Prefix(4, 2, 31), Prefix(4, 6, 32))}
TIERS = sorted(SUBNETS)
ADDRESSES = range(8)
PORTS = (80, 81, 443)
# Addresses are so few that prefixes, tiers and nobody collide.
PEERS = st.sampled_from(
    [
        GroupReference("a"),
        GroupReference("b"),
        *(Prefix(4, at, 30) for at in (0, 4)),
        Prefix(4, 2, 31),
        Prefix(4, 5, 32),
    ]
)
SERVICES = st.sampled_from([ports(Protocol.TCP, 80), ports(Protocol.TCP, 80, 81), ports(Protocol.TCP, 443)])
RULES = st.lists(
    st.tuples(st.sampled_from(TIERS), st.sampled_from(list(Direction)), PEERS, SERVICES), max_size=8
)


def sight(said: Iterable[Any]) -> Sight:
    rules: dict[str, list[Rule]] = {tier: [] for tier in TIERS}
    for tier, way, peer, service in said:
        rules[tier].append(Rule(way, peer, service, (Cause("flow:x", "Test"),)))
    groups = [
        Group(GroupKey("main", tier), tuple(sorted(dict.fromkeys(found), key=rule_order)))
        for tier, found in rules.items()
    ]
    return Sight(Policy.of(groups), SUBNETS, Ends(SUBNETS))


def packets(said: Iterable[Any]) -> set[tuple[str, Direction, int, int]]:
    """Return every packet that rules let through, one by one."""
    found = set()
    for tier, way, peer, service in said:
        prefixes = SUBNETS[peer.tier] if isinstance(peer, GroupReference) else (peer,)
        for address, port in product(ADDRESSES, PORTS):
            is_theirs = any(prefix.first <= address <= prefix.last for prefix in prefixes)
            if is_theirs and service.first <= port <= service.last:
                found.add((tier, way, address, port))
    return found


@examples(150)
@given(RULES, RULES)
def test_a_comparison_is_that_of_packets(one: list[Any], two: list[Any]) -> None:
    found = compare(sight(one), sight(two))
    before, after = packets(one), packets(two)
    assert found.verdict == Verdict.of(is_more=bool(after - before), is_less=bool(before - after))
    for is_opened, wanted in ((True, after - before), (False, before - after)):
        told = {
            (each.tier, each.way, port)
            for each in found.differences
            if each.is_opened is is_opened
            for port in PORTS
            if each.services.meets(ports(Protocol.TCP, port))
        }
        assert told == {(tier, way, port) for tier, way, _, port in wanted}
    for each in found.differences:
        # The packet that is named makes the difference.
        address = Prefix.parse(each.packet.peer).first
        port = int(each.packet.service.split()[1].split("-")[0])
        packet = (each.tier, each.way, address, port)
        assert packet in ((after - before) if each.is_opened else (before - after))
        assert each.causes == (Cause("flow:x", "Test"),)
        assert found.verdicts[each.pair] != Verdict.EQUIVALENT


@examples(50)
@given(RULES)
def test_nothing_differs_from_itself_and_turning_round_turns_the_signs(one: list[Any]) -> None:
    assert compare(sight(one), sight(one[::-1])).verdict is Verdict.EQUIVALENT
    grown = compare(sight([]), sight(one))
    shrunk = compare(sight(one), sight([]))
    assert [(each.pair, each.services) for each in grown.differences] == [
        (each.pair, each.services) for each in shrunk.differences
    ]
    assert grown.verdict in (Verdict.BROADER, Verdict.EQUIVALENT)
    assert shrunk.verdict in (Verdict.NARROWER, Verdict.EQUIVALENT)


def compiled(**changes: Any) -> Sight:
    return sight_of(real.compile_data({**real.example("reference"), **changes}))


def test_groups_and_addresses_say_the_same() -> None:
    found = compare(compiled(), compiled(peers="cidr"))
    assert found.verdict is Verdict.EQUIVALENT
    assert found.respelled > 0
    assert set(found.verdicts.values()) == {Verdict.EQUIVALENT}


def test_a_change_is_told_by_pairs_with_its_cause_and_its_line(tmp_path: Path) -> None:
    file = Path(real.__file__).parents[2] / "examples" / "terraform" / "reference" / "deployment.yaml"
    new = tmp_path / "new.yaml"
    text = file.read_text(encoding="utf-8").replace("xml-service-port: 8080", "xml-service-port: 8085")
    new.write_text(text.replace("ports: [5985-5986]", "ports: [5985-5987]"), encoding="utf-8")
    found = compare(*(sight_of(compile_deployment(Deployment.load(each))) for each in (file, new)))
    changes = changes_of(found)
    opened = {(one.first.pair, str(one.first.services)) for one in changes if one.first.is_opened}
    assert (("storefront", "ddc"), "tcp 8085") in opened
    assert (("admin-workstation", "ddc"), "tcp 5987") in opened
    (patching,) = (
        cause
        for one in changes
        if one.first.pair == ("admin-workstation", "ddc")
        for cause in one.causes
        if cause.id == "flow:patching"
    )
    assert patching.mark is not None
    assert "patching:" in text.splitlines()[patching.mark.line - 1]
    assert all(not one.sides for one in changes)


def test_what_is_open_to_the_world_comes_first() -> None:
    data = real.example("reference")
    data["flows"]["portal"] = {
        "source": "user-device",
        "destination": "adc-client",
        "services": [{"protocol": "tcp", "ports": [8443]}],
        "reason": "Portal",
    }
    data["features"] = {**data["features"], "tls-to-vda": True}
    new = real.compile_data(data)
    world = {name for name, one in new.deployment.external.items() if one.is_the_world}
    changes = changes_of(compare(compiled(), sight_of(new)), world)
    assert changes[0].risk is Risk.INTERNET
    assert changes[0].first.pair == ("user-device", "adc-client")
    assert [one.risk for one in changes] == sorted(one.risk for one in changes)


def test_a_comment_stays_below_the_size_that_one_may_have() -> None:
    rules = [
        ("a", Direction.INGRESS, Prefix(4, 16 * at, 32), ports(Protocol.TCP, 1000 + at)) for at in range(3000)
    ]
    found = compare(sight([]), sight(rules))
    text = "\n".join(markdown_lines(found, changes_of(found)))
    assert len(text) < 65_536
    assert " more, which this comment has no room for" in text


# Folders of ours


@pytest.mark.parametrize(
    ("target", "cloud", "peers"),
    [
        ("terraform", "aws", "group"),
        ("aws", "aws", "cidr"),
        ("terraform", "azure", "cidr"),
        ("azure", "azure", "group"),
        ("bicep", "azure", "group"),
    ],
)
def test_a_folder_is_equivalent_to_its_deployment(
    target: str, cloud: str, peers: str, tmp_path: Path
) -> None:
    data = {**real.example("reference"), "cloud": cloud, "peers": peers}
    compilation = real.compile_data(data)
    write_folder(tmp_path / "out", render(compilation, target))
    wanted = sight_of(compilation)
    found = sight_of_folder(tmp_path / "out")
    found = Sight(found.policy, wanted.subnets, wanted.ends)
    assert compare(wanted, found).verdict is Verdict.EQUIVALENT
    assert compare(found, wanted).verdict is Verdict.EQUIVALENT


def test_a_renamed_tier_is_the_same_in_its_folder(tmp_path: Path) -> None:
    data = real.example("reference")
    write_folder(tmp_path / "out", render(real.compile_data(data), "terraform"))
    data["tiers"] = {"brokers" if name == "ddc" else name: tier for name, tier in data["tiers"].items()}
    data["tiers"]["brokers"]["renamed-from"] = "ddc"
    data["flows"]["patching"]["destination"] = ["brokers", "storefront", "pvs", "license-server"]
    compilation = real.compile_data(data)
    file = tmp_path / "site.yaml"
    file.write_text(compilation.deployment.to_yaml(), encoding="utf-8")
    out = str(tmp_path / "out")
    assert cli.main(["compile", str(file), "--target", "terraform", "--out", out, "-q"]) == 0
    assert cli.main(["diff", out, str(file), "--fail-on", "any"]) == 0


def test_an_edited_folder_is_broader_and_names_the_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(real.compile_data(real.example("reference")).deployment.to_yaml(), encoding="utf-8")
    out = tmp_path / "out"
    assert cli.main(["compile", str(file), "--target", "aws", "--out", str(out), "-q"]) == 0
    rules = out / "security-groups.json"
    text = rules.read_text(encoding="utf-8")
    assert text.count('"FromPort": 1494,\n          "ToPort": 1494') > 1
    rules.write_text(text.replace('"ToPort": 1494', '"ToPort": 1495', 1), encoding="utf-8")
    capsys.readouterr()
    arguments = ["diff", str(file), str(out), "--format", "json", "--fail-on"]
    assert cli.main([*arguments, "broader"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["verdict"] == "broader"
    (change,) = data["changes"]
    assert change["services"] == ["tcp 1495"]
    assert change["rules"]
    assert cli.main([*arguments, "internet"]) == 0
    (out / "more.tf").write_text('resource "aws_security_group_rule" "x" {}\n', encoding="utf-8")
    assert cli.main(["diff", str(file), str(out)]) == 2
    assert "more.tf" in capsys.readouterr().err


# Revisions


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    environment = {key: text for key, text in os.environ.items() if not key.startswith("GIT_")}
    subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, env=environment, capture_output=True
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a deployment that includes a file; its filters and monitor would leave a trace."""
    folder = tmp_path / "repository"
    site = folder / "sites"
    site.mkdir(parents=True)
    (site / "people.yaml").write_text("external:\n  admin-workstation: [10.99.0.0/25]\n", encoding="utf-8")
    text = (
        "name: site\ncloud: aws\ninclude: people.yaml\ntiers:\n  ddc: [10.0.1.0/28]\n  vda: [10.0.2.0/24]\n"
    )
    (site / "site.yaml").write_text(text, encoding="utf-8")
    (folder / ".gitattributes").write_text("*.yaml filter=spy diff=spy\n", encoding="utf-8")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    spy = f"touch {tmp_path / 'spied'}"
    for name in (
        "filter.spy.smudge",
        "filter.spy.clean",
        "diff.spy.textconv",
        "diff.spy.command",
        "core.fsmonitor",
    ):
        git(folder, "config", name, spy)
    return folder


def test_a_revision_is_read_with_what_it_includes_and_runs_nothing(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = repository / "sites"
    (site / "people.yaml").write_text("external:\n  admin-workstation: [10.99.0.0/24]\n", encoding="utf-8")
    monkeypatch.chdir(repository)
    assert cli.main(["diff", "--against", "main", "sites/site.yaml"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("broader: ")
    assert "opened  admin-workstation -> ddc" in told
    assert "for example 10.99.0.128 to tier ddc" in told
    assert not (tmp_path / "spied").exists()
    # What is gone has its place in the revision.
    (site / "people.yaml").write_text(
        "external:\n  admin-workstation: [10.99.0.0/25]\nflows: {}\n", encoding="utf-8"
    )
    assert cli.main(["diff", "--against", "HEAD", "sites/site.yaml", "--fail-on", "any"]) == 0


@pytest.mark.parametrize(
    "revision", ["no-such-branch", "--output=x", "HEAD:sites", "-h", "HEAD~1", "0" * 40, "@{upstream}"]
)
def test_a_revision_that_is_none_is_told(
    revision: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(repository / "sites" / "site.yaml")
    assert cli.main(["diff", f"--against={revision}", file]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err
    assert sorted(path.name for path in repository.iterdir()) == [".git", ".gitattributes", "sites"]


def test_what_is_wrong_in_a_revision_has_its_place_there(repository: Path) -> None:
    file = repository / "sites" / "site.yaml"
    good = file.read_text(encoding="utf-8")
    file.write_text(good.replace("vda:", "vdaa:"), encoding="utf-8")
    git(repository, "-c", "filter.spy.clean=cat", "commit", "-q", "-am", "bad")
    file.write_text(good, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        sight_at(file, "HEAD")
    (problem,) = caught.value.problems
    assert str(problem.mark).startswith("HEAD:sites/site.yaml:6:")


def test_outside_of_a_repository_there_are_no_revisions(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("name: site\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        sight_at(file, "HEAD")
    assert [problem.code for problem in caught.value.problems] == ["unknown-revision"]


@pytest.mark.parametrize("words", [["a.yaml"], ["a.yaml", "b.yaml", "c.yaml"], ["--against", "x", "a", "b"]])
def test_the_number_of_sides_is_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["diff", *words]) == 2
    assert "expected OLD and NEW" in capsys.readouterr().err


def test_sarif_has_the_line_of_the_deployment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    text = Deployment(**real.example("reference")).to_yaml()
    old.write_text(text, encoding="utf-8")
    new.write_text(text.replace("5985-5986", "5985-5987").replace("8080", "8085"), encoding="utf-8")
    assert cli.main(["diff", str(old), str(new), "--format", "sarif"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["version"] == "2.1.0"
    (run,) = data["runs"]
    assert {one["ruleId"] for one in run["results"]} == {one["id"] for one in run["tool"]["driver"]["rules"]}
    (patching,) = (
        one for one in run["results"] if "admin-workstation -> ddc: tcp 5987" in one["message"]["text"]
    )
    (place,) = patching["locations"]
    where = place["physicalLocation"]
    assert where["artifactLocation"]["uri"] == str(new)
    assert "patching:" in new.read_text(encoding="utf-8").splitlines()[where["region"]["startLine"] - 1]
    assert patching["level"] == "warning"
    # What the catalogue asks for alone has no line of the deployment.
    assert any(not one["locations"] for one in run["results"])
