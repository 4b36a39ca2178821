"""Deployments in Python and in YAML are the same thing; what is wrong with one is told as problems."""

from __future__ import annotations

import copy
import ipaddress
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from citrix_netpolicy import Deployment, InputError, Problem, compile_deployment
from citrix_netpolicy.errors import Mark, show_path
from citrix_netpolicy.inputs.base import ServiceSpec
from citrix_netpolicy.inputs.deployment import (
    CustomFlow,
    Exclusion,
    External,
    Network,
    PrefixListId,
    Quotas,
    Tier,
)
from citrix_netpolicy.net import Prefix
from citrix_netpolicy.syntax import document

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
name: site
networks: {east: {cloud: aws}, west: {cloud: aws}}
tiers:
  ddc: {network: east, subnets: [10.0.1.0/28, "2001:db8::/64"]}
  hosts:
    network: west
    roles: [vda]
    subnets: [10.0.2.0/24]
external:
  sql: {addresses: [10.9.0.1], networks: [east]}
  ntp: {prefix-list: {id: pl-0a1b2c3d, max-entries: 4}}
  site-licences: {roles: [license-server], security-group: sg-0a1b2c3d}
features: {edt: false}
parameters: {xml-service-port: [8080, 8090-8099]}
flows:
  metrics:
    source: [hosts]
    destination: [ddc, sql]
    services: [{protocol: tcp, ports: [9182]}, {protocol: icmp, type: 3, code: 4}]
    reason: Metrics
exclude: [{entry: ddc-vda-local-host-cache, reason: None here}]
peers: cidr
cidrs: stable
egress: open
quotas: {rules-per-group: 100}
"""


def load(text: str) -> Deployment:
    return Deployment.from_document(document.parse(text.encode(), "site.yaml"))


def data(deployment: Deployment) -> dict[str, Any]:
    return deployment.model_dump(by_alias=True)


def in_python() -> Deployment:
    """Build the site of `TEXT` of parts."""
    return Deployment(
        name="site",
        networks={"east": Network(cloud="aws"), "west": Network(cloud="aws")},
        tiers={
            "ddc": Tier(
                roles=("ddc",),
                subnets=(Prefix.parse("10.0.1.0/28"), Prefix.parse("2001:db8::/64")),
                network="east",
            ),
            "hosts": Tier(roles=("vda",), subnets=(Prefix.parse("10.0.2.0/24"),), network="west"),
        },
        external={
            "sql": External(roles=("sql",), addresses=(Prefix.parse("10.9.0.1"),), networks=("east",)),
            "ntp": External(roles=("ntp",), prefix_list=PrefixListId(id="pl-0a1b2c3d", max_entries=4)),
            "site-licences": External(roles=("license-server",), security_group="sg-0a1b2c3d"),
        },
        features={"edt": False},
        parameters={"xml-service-port": ((8080, 8080), (8090, 8099))},
        flows={
            "metrics": CustomFlow(
                source=("hosts",),
                destination=("ddc", "sql"),
                services=(
                    ServiceSpec(protocol="tcp", ports=((9182, 9182),)),
                    ServiceSpec(protocol="icmp", type_=3, code=4),
                ),
                reason="Metrics",
            )
        },
        exclude=(Exclusion(entry="ddc-vda-local-host-cache", reason="None here"),),
        peers="cidr",
        cidrs="stable",
        egress="open",
        quotas=Quotas(rules_per_group=100),
    )


def test_python_and_yaml_mean_the_same(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(TEXT)
    loaded = Deployment.load(path)
    assert data(in_python()) == data(loaded)
    assert compile_deployment(in_python()) == compile_deployment(loaded)
    plain = Deployment(**document.load(path).data)
    assert data(plain) == data(loaded)


def test_python_and_yaml_are_equal() -> None:
    assert in_python() == load(TEXT)


def test_two_loads_are_equal() -> None:
    assert load(TEXT) == load(TEXT)


def test_equality_sees_what_differs() -> None:
    assert in_python() == in_python()
    assert load(TEXT) != load(TEXT.replace("8080", "8081"))


LONG = {
    "name": "site",
    "cloud": "aws",
    "tiers": {"ddc": {"roles": ["ddc"], "subnets": ["10.0.1.0/28"]}},
    "external": {"sql": {"roles": ["sql"], "addresses": ["10.9.0.1/32"], "networks": ["main"]}},
    "parameters": {"xml-service-port": ["8080-8080"]},
    "flows": {
        "metrics": {
            "source": ["sql"],
            "destination": ["ddc"],
            "services": [{"protocol": "tcp", "ports": ["9182-9182"]}],
            "reason": "Metrics",
        }
    },
}


@pytest.mark.parametrize(
    ("part", "short"),
    [
        ("tiers", {"ddc": ["10.0.1.0/28"]}),
        ("tiers", {"ddc": "10.0.1.0/28"}),
        ("tiers", {"ddc": {"subnets": ["10.0.1.0/28"]}}),
        ("tiers", {"ddc": {"roles": "ddc", "subnets": "10.0.1.0/28"}}),
        ("external", {"sql": {"addresses": "10.9.0.1", "networks": "main"}}),
        ("parameters", {"xml-service-port": 8080}),
        ("parameters", {"xml-service-port": [8080]}),
        ("parameters", {"xml-service-port": "8080"}),
        (
            "flows",
            {
                "metrics": {
                    "source": "sql",
                    "destination": "ddc",
                    "services": {"protocol": "tcp", "ports": 9182},
                    "reason": "Metrics",
                }
            },
        ),
    ],
)
def test_short_and_long_forms_are_equal(part: str, short: Any) -> None:
    assert Deployment(**{**LONG, part: short}) == Deployment(**LONG)


def test_the_short_form_of_an_external() -> None:
    without = {**LONG, "external": {"sql": ["10.9.0.1"]}}
    with_all = {**LONG, "external": {"sql": {"roles": ["sql"], "addresses": ["10.9.0.1"]}}}
    assert Deployment(**without) == Deployment(**with_all)


def test_one_cloud_means_the_network_main() -> None:
    short = Deployment(**LONG)
    networks = {key: value for key, value in LONG.items() if key != "cloud"} | {
        "networks": {"main": {"cloud": "aws"}}
    }
    long = Deployment(**networks)
    assert short.networks == long.networks
    assert compile_deployment(short) == compile_deployment(long)


def test_one_cloud_is_equal_to_the_network_main() -> None:
    networks = {key: value for key, value in LONG.items() if key != "cloud"}
    assert Deployment(**LONG) == Deployment(**networks, networks={"main": {"cloud": "aws"}})


@pytest.mark.parametrize("tier", [Prefix.parse("10.0.1.0/28"), {"subnets": Prefix.parse("10.0.1.0/28")}])
def test_one_prefix_stands_for_a_list_of_one(tier: Any) -> None:
    assert Deployment(**{**LONG, "tiers": {"ddc": tier}}) == Deployment(**LONG)


def test_addresses_of_the_standard_library_are_taken() -> None:
    subnet = ipaddress.ip_network("10.0.1.0/28")
    assert Deployment(**{**LONG, "tiers": {"ddc": [subnet]}}) == Deployment(**LONG)


def test_a_deployment_is_frozen() -> None:
    deployment = load(TEXT)
    for part, field in (
        (deployment, "name"),
        (deployment, "tiers"),
        (deployment.tiers["ddc"], "subnets"),
        (deployment.external["sql"], "addresses"),
        (deployment.quotas, "rules_per_group"),
        (deployment.flows["metrics"], "reason"),
        (deployment.networks["east"], "cloud"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, field, getattr(part, field))


def test_a_deployment_is_copied_and_pickled() -> None:
    deployment = in_python()
    assert copy.deepcopy(deployment) == deployment
    assert pickle.loads(pickle.dumps(deployment)) == deployment
    loaded = pickle.loads(pickle.dumps(load(TEXT)))
    assert data(loaded) == data(load(TEXT))
    assert loaded.problem("x", ("tiers", "hosts"), "bad").mark == Mark("site.yaml", 5, 3)


def test_a_replaced_deployment_is_the_one_that_the_constructor_makes() -> None:
    site = load(TEXT)
    sql = {"roles": ["sql"], "subnets": ["10.0.4.0/29"], "network": "east"}
    changed = site.replace(egress="restricted", tiers={**site.tiers, "db": sql})
    whole = document.parse(TEXT.encode(), "site.yaml").data
    assert changed == Deployment(**{**whole, "egress": "restricted", "tiers": {**whole["tiers"], "db": sql}})
    assert site == load(TEXT), "the original is as it was"
    assert site.replace() == site
    assert type(changed) is Deployment


def test_a_replaced_cloud_takes_the_place_of_the_networks() -> None:
    site = Deployment(**LONG)
    assert site.replace(cloud="azure") == Deployment(**{**LONG, "cloud": "azure"})
    assert site.replace(cloud=None) == site
    networks = {"main": {"cloud": "azure"}}
    assert site.replace(networks=networks) == Deployment(**{**LONG, "cloud": "azure"})
    with pytest.raises(InputError, match="not both"):
        site.replace(cloud="azure", networks=networks)


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"name": "my site"}, "invalid-value", ("name",)),
        ({"egres": "open"}, "unknown-key", ("egres",)),
        ({"tiers": {"ddc": ["10.0.1.7/28"]}}, "invalid-value", ("tiers", "ddc", "subnets", 0)),
        (
            {"cloud": "azure", "tiers": {"vda": ["10.0.1.0/28"], "ddc": ["10.0.0.0/8"]}},
            "overlap",
            ("tiers", "vda", "subnets", 0),
        ),
        ({"networks": {}}, "network-needed", ()),
    ],
    ids=str,
)
def test_a_replacement_is_checked(changes: dict[str, Any], code: str, path: tuple[str | int, ...]) -> None:
    site = Deployment(**{**LONG, "external": {}, "flows": {}})
    with pytest.raises(InputError) as caught:
        site.replace(**changes)
    assert [(problem.code, problem.path) for problem in caught.value.problems] == [(code, path)]
    with pytest.raises(InputError) as again:
        site.model_copy(update=changes)
    assert again.value.problems == caught.value.problems


def test_there_is_no_unchecked_way_to_a_deployment() -> None:
    site = load(TEXT)
    assert site.model_copy() == site.model_copy(deep=True) == site
    assert site.model_copy(update={"egress": "restricted"}) == site.replace(egress="restricted")
    with pytest.raises(TypeError, match="replace"):
        Deployment.model_construct(name="site", tiers={})
    tier = site.tiers["ddc"]
    wrong: list[Any] = [
        {"tiers": {**site.tiers, "ddc": tier.model_copy(update={"subnets": ("10.0.1.7/28",)})}},
        {"tiers": {**site.tiers, "ddc": Tier.model_construct(roles=("ddc",), subnets=(), network="east")}},
        {"quotas": site.quotas.model_copy(update={"rules_per_group": 10**6})},
        {"flows": {"metrics": site.flows["metrics"].model_copy(update={"services": ()})}},
    ]
    for changes in wrong:
        with pytest.raises(InputError):
            site.replace(**changes)
        with pytest.raises(InputError):
            Deployment(**{**site.to_dict(), **changes})


def test_a_replacement_keeps_the_lines_of_what_the_file_still_says() -> None:
    site = load(TEXT)
    ddc = {"roles": ["ddc"], "subnets": ["10.0.7.0/28"], "network": "east"}
    changed = site.replace(tiers={**site.tiers, "ddc": ddc}, egress="restricted").replace(cidrs="exact")
    assert changed.mark(("tiers", "hosts", "subnets", 0)) == site.mark(("tiers", "hosts", "subnets", 0))
    assert changed.mark(("features", "edt")) == site.mark(("features", "edt"))
    for path in (("tiers", "ddc"), ("tiers", "ddc", "subnets", 0), ("egress",), ("cidrs",)):
        assert site.mark(path)
        assert changed.mark(path) is None
        assert changed.located(Problem(code="x", message="bad", path=path)).mark is None
    with pytest.raises(InputError) as caught:
        site.replace(
            networks={"east": {"cloud": "aws"}, "west": {"cloud": "azure"}},
            tiers={**site.tiers, "ddc": {**ddc, "network": "west", "subnets": ["10.0.0.0/8"]}},
        )
    (problem,) = caught.value.problems
    assert (problem.path, problem.mark) == (("tiers", "hosts", "subnets", 0), Mark("site.yaml", 8, 15))


def test_a_replacement_finds_the_catalogues_beside_its_file(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(TEXT + "catalogs: [ours.yaml]\n")
    site = Deployment.load(path)
    assert site.replace(egress="restricted").catalog_files() == (tmp_path / "ours.yaml",)
    assert site.replace(catalogs=["theirs.yaml"]).catalog_files() == (tmp_path / "theirs.yaml",)


def test_defaults() -> None:
    deployment = Deployment(name="site", cloud="aws", tiers={"ddc": ["10.0.1.0/28"]})
    assert (deployment.cidrs, deployment.egress, deployment.peers) == ("exact", "restricted", None)
    assert (deployment.quotas.rules_per_group, deployment.quotas.groups_per_interface) == (60, 5)
    assert deployment.network_of("ddc") == "main"
    assert deployment.peers_of("main") == "group"
    azure = Deployment(name="site", cloud="azure", tiers={"ddc": ["10.0.1.0/28"]})
    assert azure.peers_of("main") == "cidr"
    assert load(TEXT).peers_of("east") == "cidr"
    assert load(TEXT).network_of("hosts") == "west"


WRONG = {
    "name": "my site",
    "cloud": "aws",
    "tiers": {"ddc": ["10.0.1.7/28"], "vda": {"subnet": ["10.0.2.0/24"]}},
    "parameters": {"xml-service-port": 0},
}


def test_problems_from_python_have_paths_and_no_places() -> None:
    with pytest.raises(InputError) as caught:
        Deployment(**WRONG)
    problems = caught.value.problems
    assert {show_path(problem.path) for problem in problems} == {
        "name",
        "tiers.ddc.subnets[0]",
        "tiers.vda",
        "tiers.vda.subnet",
        "parameters.xml-service-port[0]",
    }
    assert all(problem.mark is None for problem in problems)
    assert str(caught.value).splitlines()[1] == (
        "tiers.ddc.subnets[0]: `10.0.1.7/28` has host bits set; did you mean 10.0.1.0/28?"
    )


def test_later_problems_from_python_have_paths_and_no_places() -> None:
    with pytest.raises(InputError) as caught:
        Deployment(**{**LONG, "external": {"ddc": ["10.9.0.1"]}})
    (problem,) = caught.value.problems
    assert (problem.path, problem.mark) == (("external", "ddc"), None)
    with pytest.raises(InputError) as caught:
        compile_deployment(Deployment(**{**LONG, "features": {"htlm5": True}}))
    (problem,) = caught.value.problems
    assert (problem.path, problem.mark) == (("features", "htlm5"), None)
    assert problem.hint == "did you mean `html5`?"


def test_field_names_and_keys_are_both_taken_in_python() -> None:
    for quotas in ({"rules_per_group": 50}, {"rules-per-group": 50}):
        assert Deployment(**{**LONG, "quotas": quotas}).quotas.rules_per_group == 50
    spec = ServiceSpec.model_validate({"protocol": "icmp", "type": 3})
    assert spec == ServiceSpec(protocol="icmp", type_=3)


@pytest.mark.parametrize(
    ("said", "written"),
    [("esp", "esp"), (50, "esp"), ("50", "esp"), (47, "gre"), (51, "ah"), (89, 89), ("89", 89), (0, 0)],
)
def test_a_protocol_is_written_by_its_name_or_its_number(said: str | int, written: str | int) -> None:
    spec = ServiceSpec.model_validate({"protocol": said})
    assert spec == ServiceSpec.model_validate({"protocol": written})
    assert spec.model_dump(exclude_defaults=True) == {"protocol": written}


def test_every_kind_of_validation_is_checked_as_a_whole() -> None:
    with pytest.raises(InputError, match="overlaps"):
        Deployment.model_validate(
            {**LONG, "cloud": "azure", "tiers": {"ddc": ["10.0.0.0/8"], "vda": ["10.0.0.0/9"]}}
        )


def test_a_problem_is_located_by_its_path() -> None:
    deployment = load(TEXT)
    found = deployment.located(Problem(code="x", message="bad", path=("tiers", "hosts", "subnets", 0)))
    assert found.mark == Mark("site.yaml", 8, 15)
    assert deployment.problem("x", ("tiers", "hosts"), "bad").mark == Mark("site.yaml", 5, 3)
    marked = Problem(code="x", message="bad", path=("tiers",), mark=Mark("other", 7, 7))
    assert deployment.located(marked) is marked
    unmarked = Problem(code="x", message="bad", path=("tiers",))
    assert in_python().located(unmarked) is unmarked


TWO_NETWORKS = """\
name: site
networks: {east: {cloud: aws}, west: {cloud: aws}}
tiers:
  ddc: {network: east, subnets: [10.0.0.0/16, 10.1.0.0/16]}
  %s: {network: west, subnets: [10.0.0.0/16, 10.1.2.0/24]}
"""


def test_the_same_subnets_in_two_networks_are_fine_while_they_have_no_flows() -> None:
    assert compile_deployment(load(TWO_NETWORKS % "file-server"))


def test_the_same_subnets_in_two_networks_that_name_each_other_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        compile_deployment(load(TWO_NETWORKS % "vda"))
    told = [str(problem).partition(", which")[0] for problem in caught.value.problems]
    ddc, vda = (
        "`10.0.0.0/16` of tier `ddc` in network `east`",
        "`10.0.0.0/16` of tier `vda` in network `west`",
    )
    assert told == [
        f"site.yaml:4:34: tiers.ddc.subnets[0]: `10.0.0.0/16` overlaps {vda}",
        f"site.yaml:4:47: tiers.ddc.subnets[1]: `10.1.0.0/16` overlaps {vda.replace('0.0.0/16', '1.2.0/24')}",
        f"site.yaml:5:34: tiers.vda.subnets[0]: `10.0.0.0/16` overlaps {ddc}",
        f"site.yaml:5:47: tiers.vda.subnets[1]: `10.1.2.0/24` overlaps {ddc.replace('10.0', '10.1')}",
    ]


def test_a_tier_may_list_a_subnet_and_a_part_of_it() -> None:
    assert Deployment(name="site", cloud="aws", tiers={"ddc": ["10.0.0.0/16", "10.0.1.0/24"]})


PREFIXES = st.builds(
    lambda length, bits: str(
        ipaddress.ip_network(
            (int(ipaddress.ip_address("10.0.0.0")) | bits << 24 - 20 + 4, length), strict=False
        )
    ),
    st.integers(22, 28),
    st.integers(0, 15),
)
TIERS = st.lists(st.lists(PREFIXES, min_size=1, max_size=4, unique=True), min_size=1, max_size=4)


@given(TIERS, st.booleans())
@settings(max_examples=200)
def test_overlaps_are_those_that_a_slow_look_finds(tiers: list[list[str]], several: bool) -> None:
    networks = [f"n{index % 2 if several else 0}" for index in range(len(tiers))]
    expected = {
        frozenset({f"t{one}", f"t{two}"})
        for one in range(len(tiers))
        for two in range(one)
        if networks[one] == networks[two]
        and any(
            ipaddress.ip_network(a).overlaps(ipaddress.ip_network(b)) for a in tiers[one] for b in tiers[two]
        )
    }
    found: set[frozenset[str]] = set()
    try:
        Deployment(
            name="site",
            networks={"n0": {"cloud": "azure"}, "n1": {"cloud": "azure"}},
            tiers={
                f"t{index}": {"roles": ["ddc"], "subnets": subnets, "network": networks[index]}
                for index, subnets in enumerate(tiers)
            },
        )
    except InputError as error:
        for problem in error.problems:
            assert "overlaps" in problem.message
            found.add(frozenset({str(problem.path[1]), problem.message.split("`")[-2]}))
    # Each subnet is told once, with one of those that it overlaps: all of a tier's neighbours lead to it.
    assert found <= expected
    assert bool(found) == bool(expected)
    assert {tier for pair in found for tier in pair} >= {max(pair) for pair in expected if len(expected) == 1}
