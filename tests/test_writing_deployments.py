"""A deployment written back says the same: as plain values and as YAML, for every reader of YAML."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies import examples

from citrix_netpolicy import Deployment
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.inputs.schema import deployment_schema
from citrix_netpolicy.inputs.starter import starter
from citrix_netpolicy.syntax import document
from citrix_netpolicy.syntax.yaml import dump

ROOT = Path(__file__).parent.parent
BUNDLED = sorted((ROOT / "examples").rglob("deployment.yaml"))

# What some reader of YAML takes for something else, or cannot read without quotes.
GUESSED = (
    *("yes", "No", "y", "N", "on", "OFF", "true", "False", "null", "NULL", "~", "010", "0o17", "0x1F", "0b1"),
    *("1e3", "1E+3", "-1", "+1", "1_000", ".5", "5.", ".inf", "-.INF", ".nan", "nan", "inf", "2026.11"),
    *("22:30", "190:20:30.15", "2026-11-30", "2026-11-30 10:00:00", "<<", "=", "-", "--", "---", "...", "?"),
    *(":", "a: b", "a:", ":a", "a #b", "#a", "- a", "? a", "!a", "&a", "*a", "|", ">", "%a", "@a", "`a`"),
    *("a,b", "[a]", "{a}", "'a'", '"a"', "a'b", 'a"b', "\\", "10.0.0.0/8", "8080-8090", "10.0.0.0", "::1"),
)
UNICODE = ("münchen", "東京", "ÅS", "\uff21", "x٣", "٣", "Ⅷ", "e\u0301", "😀", "\U0001d400", "ßẞ", "\ufb01")
ODD = (
    "",
    " a",
    "a ",
    "a  b",
    "a\nb",
    "a\n",
    "\n",
    "a\tb",
    "\x00",
    "\x1b[0m",
    "a\x85b",
    "\u2028",
    "\ufeffa",
    "\xa0",
)
TEXTS = (*GUESSED, *UNICODE, *ODD, "ddc", "x" * 140, "x" * 1100, "two words")
CATALOGS = tuple(f"ours/{text}.yaml" for text in TEXTS if text.isprintable())

NAMES = (
    "ddc",
    "vda",
    "sql",
    "host",
    "yes",
    "010",
    "22:30",
    "null",
    "1e3",
    "2026.11",
    "~",
    "münchen",
    "東京 1",
    "#",
)
ROLES = ("ddc", "vda", "sql", "yes", "010", "1e3", "2026.11", "null")
WORDS = ("main", "east", "no", "2026.11", "1e3", "010")
PREFIXES = (
    "10.0.0.0/24",
    "10.0.1.0/28",
    "10.0.0.0/8",
    "10.9.0.1",
    "0.0.0.0/0",
    "2001:db8::/64",
    "::/0",
    "2001:db8::1",
)
PORTS = (1, 80, "80", "80-81", "80-80", 65535, "1-65535")


def some(values: tuple[Any, ...], most: int = 3, least: int = 1) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=least, max_size=most)


def maybe(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={key.replace("_", "-"): value for key, value in keys.items()})


ports = some(PORTS) | st.sampled_from(PORTS)
reasons = st.sampled_from(("Metrics", "no", "1e3: x", "see #7", "2026-11-30", "a\nb", "Über 9000"))
SERVICES = st.one_of(
    st.fixed_dictionaries({"protocol": st.sampled_from(("tcp", "udp")), "ports": ports}),
    st.sampled_from(
        [
            {"protocol": "icmp"},
            {"protocol": "icmp", "type": 3},
            {"protocol": "icmp", "type": 3, "code": 0},
            {"protocol": "icmpv6", "type": 0},
            {"protocol": "gre"},
            {"protocol": 50},
            {"protocol": 0},
            {"protocol": "89"},
        ]
    ),
)


SITES = {"prod": {"zones": ["main", "no"], "primary": "main"}, "test": {}}
PLACES = ("prod", "prod/no", "test")
FEATURES = st.dictionaries(st.sampled_from(TEXTS), st.booleans(), max_size=2)
NAMES_STATES = st.sampled_from(["listed", "open", {"through": "firewall"}])
LINKS = st.builds(
    dict.__or__,
    st.fixed_dictionaries({"from": some(PLACES[:2]), "to": st.just("test"), "reason": reasons}),
    maybe(both=st.booleans(), entries=some(TEXTS), owner=st.sampled_from(TEXTS)),
)


@st.composite
def deployments(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the data of a valid deployment, in whatever forms and order."""
    networks = draw(st.dictionaries(st.sampled_from(WORDS), NETWORKS, min_size=1, max_size=3))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    inside = names[: draw(st.integers(1, len(names)))]
    data: dict[str, Any] = {
        "name": draw(st.sampled_from(WORDS)),
        "sites": SITES,
        "networks": networks,
        "tiers": {name: draw(tiers(index, name, networks, inside)) for index, name in enumerate(inside)},
        "external": {name: draw(externals(name, tuple(networks))) for name in names[len(inside) :]},
        "flows": draw(st.dictionaries(st.sampled_from(WORDS), flows(names), max_size=2)),
        **draw(
            maybe(
                edition=st.sampled_from(("2026.11", "2026.10")),
                names=NAMES_STATES,
                links=st.lists(LINKS, max_size=2),
                features=st.dictionaries(st.sampled_from(TEXTS), st.booleans(), max_size=3),
                parameters=st.dictionaries(st.sampled_from(TEXTS), ports, max_size=3),
                exclude=st.lists(
                    st.fixed_dictionaries({"entry": st.sampled_from(TEXTS), "reason": reasons}),
                    max_size=2,
                    unique_by=lambda exclusion: exclusion["entry"],
                ),
                # A backslash parts folders as a slash does, and an empty part is none.
                catalogs=st.lists(
                    st.sampled_from(CATALOGS), max_size=2, unique_by=lambda name: PureWindowsPath(name).parts
                ),
                peers=st.sampled_from(("group", "cidr")),
                cidrs=st.sampled_from(("exact", "stable")),
                egress=st.sampled_from(("restricted", "open")),
                quotas=maybe(rules_per_group=st.just(100), groups_per_interface=st.sampled_from((1, 5))),
                accept=st.lists(acceptances(inside), max_size=2),
                naming=maybe(
                    groups=st.just("x-{tier}"), application_security_groups=st.just("{deployment}.{tier}")
                ),
                renamed_from=st.just("before"),
            )
        ),
    }
    if networks.keys() == {"main"} and networks["main"].keys() == {"cloud"} and draw(st.booleans()):
        data["cloud"] = data.pop("networks")["main"]["cloud"]
    return {key: data[key] for key in draw(st.permutations(list(data)))}


NETWORKS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"cloud": "aws"},
        {"cloud": "azure"},
        {"cloud": "azure", "bicep-api-version": "2024-01-01"},
        {"cloud": "aws", "aws-provider": 6, "naming": {"groups": "{tier}@{network}"}},
    ]
)


@st.composite
def tiers(draw: st.DrawFn, index: int, name: str, networks: dict[str, Any], inside: list[str]) -> Any:
    # A stretch of its own for each tier, since subnets of two must not overlap.
    subnets = draw(
        some((f"10.{index}.0.0/24", f"10.{index}.1.0/28", f"10.{index}.2.7", f"2001:db8:{index}::/64"))
    )
    subnets = list(dict.fromkeys(subnets))
    if len(networks) == 1 and name in ROLES and draw(st.booleans()):
        return draw(st.sampled_from([subnets, {"subnets": subnets}, subnets[0]]))
    network = draw(st.sampled_from(sorted(networks)))
    tier: dict[str, Any] = {"roles": draw(some(ROLES)), "subnets": subnets}
    if name in ROLES and draw(st.booleans()):
        tier["roles"] = [name]
    tier |= draw(maybe(names=NAMES_STATES, domain_member=st.booleans(), at=some(PLACES), features=FEATURES))
    tier |= draw(maybe(renamed_from=st.just(f"once {index}")))
    if draw(st.booleans()):
        tier["group"] = {"name": f"group {index}"}
    if len(networks) > 1 or draw(st.booleans()):
        tier["network"] = network
    if networks[tier.get("network", next(iter(networks)))]["cloud"] == "azure":
        tier |= draw(maybe(behind=maybe(probes=ports).filter(bool)))
    return tier


@st.composite
def externals(draw: st.DrawFn, name: str, networks: tuple[str, ...]) -> Any:
    if name in ROLES and draw(st.booleans()):
        return draw(some(PREFIXES) | st.sampled_from(PREFIXES))
    way = draw(
        st.one_of(
            some(PREFIXES).map(lambda found: {"addresses": found}),
            st.sampled_from(
                [
                    {"prefix-list": {"id": "pl-0a1b2c3d", "max-entries": 4}},
                    {"security-group": "sg-0a1b2c3d"},
                    {"security-group": "123456789012/sg-0a1b2c3d"},
                    {"service-tag": "Sql.WestEurope"},
                ]
            ),
        )
    )
    roles = {} if name in ROLES and draw(st.booleans()) else {"roles": draw(some(ROLES))}
    more = maybe(networks=some(networks), domain_member=st.booleans(), at=some(PLACES), features=FEATURES)
    return {**way, **roles, **draw(more)}


def flows(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    ends = some((*names, *ROLES))
    services = st.lists(SERVICES, min_size=1, max_size=2) | SERVICES
    return st.fixed_dictionaries(
        {"source": ends, "destination": ends, "services": services, "reason": reasons}
    )


def acceptances(inside: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        dict.__or__,
        st.fixed_dictionaries(
            {
                "finding": st.sampled_from(("icmp-widened", "icmpv6-blocked")),
                "subject": some(tuple(inside)),
                "reason": reasons,
            }
        ),
        maybe(until=st.just("2026-11-30"), ticket=st.sampled_from(TEXTS), owner=st.sampled_from(TEXTS)),
    )


def read(text: str) -> Deployment:
    return Deployment.from_document(document.parse(text.encode(), "site.yaml"))


def shuffled(value: Any) -> Any:
    """The same value with its maps the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(deployments())
@examples(100)
def test_plain_values_make_an_equal_deployment(data: dict[str, Any]) -> None:
    deployment = Deployment(**data)
    assert Deployment(**deployment.to_dict()) == deployment


@given(deployments())
@examples(100)
def test_written_yaml_is_read_as_an_equal_deployment(data: dict[str, Any]) -> None:
    deployment = Deployment(**data)
    text = deployment.to_yaml()
    assert read(text) == deployment
    assert read(text).to_yaml() == text


@pytest.mark.slow
@given(deployments())
@examples(200)
def test_other_readers_of_yaml_read_the_same(data: dict[str, Any]) -> None:
    deployment = Deployment(**data)
    assert Deployment(**yaml.safe_load(deployment.to_yaml())) == deployment


@pytest.mark.slow
@given(deployments())
@examples(200)
def test_equal_deployments_have_equal_texts(data: dict[str, Any]) -> None:
    one, other = Deployment(**data), Deployment(**shuffled(data))
    assert one == other
    assert one.to_yaml() == other.to_yaml()


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_bundled_examples_are_written_back(path: Path) -> None:
    deployment = Deployment.load(path)
    assert Deployment(**deployment.to_dict()) == deployment
    assert read(deployment.to_yaml()) == deployment


def test_there_are_bundled_examples() -> None:
    assert len(BUNDLED) >= 2


@given(
    st.dictionaries(
        st.text(max_size=8) | st.sampled_from(TEXTS), st.text(max_size=8) | st.sampled_from(TEXTS)
    )
)
@example({text: text for text in TEXTS})
@examples(300)
def test_every_text_is_written_so_that_nobody_guesses(data: dict[str, str]) -> None:
    for value in (data, {"list": list(data.values())}):
        text = dump(value)
        assert document.parse(text.encode(), "x").data == value
        assert yaml.safe_load(text) == value


# The scalars that YAML 1.1 (https://yaml.org/type/) and the core schema of YAML 1.2 resolve to something else
# than text, as their specifications write them, in one expression.
RESOLVED = re.compile(
    r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"
    r"|~|null|Null|NULL|<<|=|"
    r"[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+"
    r"|[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+|[-+]?([0-9][0-9_]*)?\.[0-9.]*([eE][-+][0-9]+)?"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(([Tt]|[ \t]+)[0-9]{1,2}:.*)?"
    r"|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
)


@given(
    st.from_regex(RESOLVED, fullmatch=True) | st.text(alphabet="yYnNoOfF0123456789.:-_eExXinfa/", max_size=6)
)
@examples(1500)
def test_what_a_specification_resolves_is_quoted(text: str) -> None:
    if RESOLVED.fullmatch(text):
        assert dump({"key": text}).startswith('key: "')
        assert dump({text: "x"}).lstrip("? ").startswith('"')


def test_the_text_is_one_that_people_would_write() -> None:
    deployment = Deployment(
        name="site",
        edition="2026.11",
        cloud="azure",
        tiers={
            "vda": ["10.0.2.0/24", "2001:db8::/64"],
            "ddc": {"subnets": "10.0.1.0/28", "behind": {"probes": [443, "8000-8010"]}},
            "no": {"roles": ["sql"], "subnets": ["10.0.3.0/28"]},
        },
        external={
            "ntp": ["10.9.0.1"],
            "storage": {"roles": ["file-server"], "service-tag": "Storage.WestEurope"},
            "syslog": {"service-tag": "AzureMonitor", "networks": ["main"]},
        },
        features={"html5": False, "edt": True},
        flows={
            "metrics": {
                "source": ["ntp"],
                "destination": ["ddc"],
                "services": [{"protocol": "tcp", "ports": 9182}, {"protocol": "icmp", "type": 8}],
                "reason": "Metrics: read by operations",
            }
        },
        accept=[
            {"finding": "icmp-widened", "subject": "ddc", "reason": "Agreed", "until": "2027-03-31"},
        ],
    )
    assert (
        deployment.to_yaml()
        == """\
name: site
edition: "2026.11"
cloud: azure
tiers:
  ddc:
    subnets: [10.0.1.0/28]
    behind:
      probes: [443, 8000-8010]
  "no":
    roles: [sql]
    subnets: [10.0.3.0/28]
  vda: [10.0.2.0/24, "2001:db8::/64"]
external:
  ntp: [10.9.0.1/32]
  storage:
    roles: [file-server]
    service-tag: Storage.WestEurope
  syslog:
    service-tag: AzureMonitor
    networks: [main]
features:
  edt: true
  html5: false
flows:
  metrics:
    source: [ntp]
    destination: [ddc]
    services:
      - protocol: tcp
        ports: [9182]
      - protocol: icmp
        type: 8
    reason: "Metrics: read by operations"
accept:
  - finding: icmp-widened
    subject: [ddc]
    reason: Agreed
    until: "2027-03-31"
"""
    )


def test_a_network_with_settings_of_its_own_is_written_out() -> None:
    networks = {"main": {"cloud": "azure", "bicep-api-version": "2024-01-01"}}
    text = Deployment(name="site", networks=networks, tiers={"ddc": ["10.0.1.0/28"]}).to_yaml()
    assert 'networks:\n  main:\n    cloud: azure\n    bicep-api-version: "2024-01-01"\n' in text


def test_long_lists_are_written_line_by_line() -> None:
    subnets = [f"10.0.{number}.0/24" for number in range(9)]
    text = Deployment(name="site", cloud="aws", tiers={"ddc": subnets}).to_yaml()
    assert "  ddc:\n    - 10.0.0.0/24\n    - 10.0.1.0/24\n" in text


def test_what_is_written_fits_the_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(deployment_schema(load_catalog()))
    texts = [path.read_text(encoding="utf-8") for path in BUNDLED] + [starter("2026.11")]
    for text in texts:
        assert not list(validator.iter_errors(yaml.safe_load(read(text).to_yaml())))
