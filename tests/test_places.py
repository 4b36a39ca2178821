"""Places: which ends are near enough for the reach of an entry, what links add, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import examples

from citrix_netpolicy import Compilation, Deployment, InputError, compile_deployment, render
from citrix_netpolicy.inputs.catalog import Catalog
from citrix_netpolicy.omissions import Distant
from citrix_netpolicy.reports.summary import summary_lines
from citrix_netpolicy.resolve import resolve
from citrix_netpolicy.syntax import document

CATALOG = Path(__file__).parent.parent / "catalog"
SITES = {"prod": {"zones": ["main", "west", "north"], "primary": "main"}, "test": {"zones": ["lab", "shop"]}}
PLACES = ("prod", "prod/main", "prod/west", "prod/north", "test", "test/lab", "test/shop")
REACHES = ("tier", "zone", "home", "site", "nearest", "anywhere")


def _catalog() -> Catalog:
    """Return a catalogue of one entry for each reach, from the role `asks` to the role `answers`."""
    return Catalog(
        editions={"2026.11": {"description": "The first."}},
        documents={"wiki": {"title": "Ours", "publisher": "Us"}},
        roles={role: {"title": role, "description": role, "kind": "host"} for role in ("asks", "answers")},
        features={},
        parameters={},
        bundles={"both": {"description": "Two.", "entries": ["zone", "site"]}},
        entries=[
            {
                "id": reach,
                "product": "P",
                "citations": [{"document": "wiki", "section": "Ports"}],
                "source": ["asks"],
                "destination": ["answers"],
                "reach": reach,
                "services": [{"protocol": "tcp", "ports": [1 + number]}],
                "purpose": "Some",
            }
            for number, reach in enumerate(REACHES)
        ],
    )


# The oracle


def _split(place: str) -> tuple[str, str]:
    site, _, zone = place.partition("/")
    return site, zone


def _same_zone(one: str, other: str) -> bool:
    (site, zone), (site_2, zone_2) = _split(one), _split(other)
    return site == site_2 and (zone == zone_2 or "" in (zone, zone_2))


def _same_site(one: str, other: str) -> bool:
    return _split(one)[0] == _split(other)[0]


def _meets(reach: str, source: str, target: str, ends: dict[str, tuple[str, list[str]]]) -> bool:
    """Tell whether two ends meet, as the page on places says it."""
    ones, others = ends[source][1], ends[target][1]
    if reach in ("tier", "anywhere") or not ones or (not others and reach != "nearest"):
        return reach != "tier" or source == target
    pairs = [(one, other) for one in ones for other in others]
    if reach == "zone":
        return any(_same_zone(*pair) for pair in pairs)
    if reach == "home":
        return any(_same_zone(*pair) or ("prod/main" in pair and _same_site(*pair)) for pair in pairs)
    if reach == "site":
        return any(_same_site(*pair) for pair in pairs)
    answers = {name: places for name, (role, places) in ends.items() if role == "answers"}
    return any(target in _nearest(one, answers) for one in ones)


def _nearest(one: str, answers: dict[str, list[str]]) -> list[str]:
    site, zone = _split(one)
    above = {site, "prod/main"} if site == "prod" else {site}
    steps = [
        [name for name, places in answers.items() if zone and one in places],
        [
            name
            for name, places in answers.items()
            if any((place in above) if zone else _split(place)[0] == site for place in places)
        ],
        [name for name, places in answers.items() if not places],
    ]
    return next((step for step in steps if step), [])


at = st.lists(st.sampled_from(PLACES), max_size=2, unique=True)
some_places = st.lists(st.sampled_from(PLACES), min_size=1, max_size=2, unique=True)
ends_of_pool = st.lists(st.tuples(st.sampled_from(["asks", "answers"]), at), min_size=1, max_size=5)
links_of_pool: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {
            "from": some_places,
            "to": some_places,
            "both": st.booleans(),
            "entries": st.sampled_from([[], ["zone"], ["both"], ["nearest", "home"]]),
        }
    ),
    max_size=2,
)


def _linked(reach: str, ones: list[str], others: list[str], links: list[dict[str, Any]]) -> bool:
    expanded = {"both": ("zone", "site")}
    for link in links:
        names = [id_ for name in link["entries"] for id_ in expanded.get(name, (name,))]
        for origin, target in [(link["from"], link["to"])] + [(link["to"], link["from"])] * link["both"]:
            if reach != "tier" and (reach in names or not names):
                is_in = [
                    any(place == name or _split(place)[0] == name for place in places for name in side)
                    for places, side in ((ones, origin), (others, target))
                ]
                if all(is_in):
                    return True
    return False


@examples(500)
@given(ends_of_pool, links_of_pool)
def test_ends_meet_as_the_oracle_says(
    given_ends: list[tuple[str, list[str]]], links: list[dict[str, Any]]
) -> None:
    ends = {f"e{number}": end for number, end in enumerate(given_ends)}
    tiers = {
        name: {"roles": [role], "subnets": [f"10.0.{number}.0/24"], **({"at": places} if places else {})}
        for number, (name, (role, places)) in enumerate(ends.items())
    }
    links = [link for link in links if not set(link["from"]) & set(link["to"])]
    given_links = [
        {**{key: value for key, value in link.items() if value != []}, "reason": "So"} for link in links
    ]
    deployment = Deployment(name="s", cloud="aws", sites=SITES, tiers=tiers, links=given_links)
    flows = {(flow.cause.id, flow.source, flow.destination) for flow in resolve(deployment, _catalog()).flows}
    assert flows == {
        (reach, one, other)
        for reach in REACHES
        for one, (role, ones) in ends.items()
        for other, (role_2, others) in ends.items()
        if (role, role_2) == ("asks", "answers")
        and (_meets(reach, one, other, ends) or _linked(reach, ones, others, links))
    }


# A primary zone and two satellites

SATELLITES = """\
name: contoso
networks: {main: {cloud: aws}, west: {cloud: azure}, north: {cloud: azure}}
sites: {prod: {zones: [main, west, north], primary: main}}
tiers:
  ddc-main: {at: prod/main, network: main, roles: [ddc], subnets: [10.1.1.0/28]}
  sql: {at: prod/main, network: main, subnets: [10.1.2.0/28]}
  licences: {at: prod/main, network: main, roles: [license-server], subnets: [10.1.2.16/28]}
  vda-main: {at: prod/main, network: main, roles: [vda], subnets: [10.1.64.0/20]}
  ddc-west: {at: prod/west, network: west, roles: [ddc], subnets: [10.2.1.0/28]}
  vda-west: {at: prod/west, network: west, roles: [vda], subnets: [10.2.64.0/20]}
  dc-west: {at: prod/west, network: west, roles: [domain-controller, dns], subnets: [10.2.2.0/28]}
  ddc-north: {at: prod/north, network: north, roles: [ddc], subnets: [10.3.1.0/28]}
  vda-north: {at: prod/north, network: north, roles: [vda], subnets: [10.3.64.0/20]}
external:
  dc-main: {at: prod/main, roles: [domain-controller, dns], addresses: [10.9.0.10]}
features: {ad-member-baseline: true}
"""


def _compiled(text: str) -> Compilation:
    return compile_deployment(Deployment.from_document(document.parse(text.encode(), "site.yaml")))


def _pairs(compilation: Compilation, *entries: str) -> set[tuple[str, str]]:
    flows = compilation.resolution.flows
    return {(flow.source, flow.destination) for flow in flows if not entries or flow.cause.id in entries}


def test_satellites_reach_the_primary_zone_and_never_each_other() -> None:
    compilation = _compiled(SATELLITES)
    for one, other in _pairs(compilation):
        assert {"west", "north"} != {end.rpartition("-")[2] for end in (one, other)}
    assert _pairs(compilation, "ddc-sql") == {(f"ddc-{zone}", "sql") for zone in ("main", "west", "north")}
    assert _pairs(compilation, "vda-ddc") == {
        *((f"vda-{zone}", f"ddc-{zone}") for zone in ("main", "west", "north")),
        *((f"vda-{zone}", "ddc-main") for zone in ("west", "north")),
        *(("vda-main", f"ddc-{zone}") for zone in ("west", "north")),
    }
    assert _pairs(compilation, "ddc-vda-local-host-cache") == {
        (f"ddc-{zone}", f"vda-{zone}") for zone in ("main", "west", "north")
    }


def test_a_zone_with_a_directory_of_its_own_goes_there() -> None:
    pairs = _pairs(_compiled(SATELLITES), "windows-member-kerberos")
    assert {pair for pair in pairs if "west" in pair[0]} == {("ddc-west", "dc-west"), ("vda-west", "dc-west")}
    assert {(one, other) for one, other in pairs if "north" in one} == {
        ("ddc-north", "dc-main"),
        ("vda-north", "dc-main"),
    }


def test_what_crosses_places_is_told() -> None:
    compilation = _compiled(SATELLITES)
    lines = list(summary_lines(compilation, render(compilation, "terraform"), verbose=True))
    (line,) = [line for line in lines if line.startswith("  from prod/west to prod/main: ")]
    assert {"ddc-sql", "vda-ddc", "license-request"} <= set(line.partition(": ")[2].split(", "))
    short = list(summary_lines(compilation, render(compilation, "terraform")))
    assert any(line.startswith("  from prod/west to prod/main: ") and " more" in line for line in short)


def test_controllers_that_do_not_reach_their_database_are_refused() -> None:
    text = SATELLITES.replace("sites: {prod:", "sites: {other: {}, prod:")
    text = text.replace("sql: {at: prod/main", "sql: {at: other")
    with pytest.raises(InputError) as caught:
        _compiled(text)
    assert {(problem.code, problem.path) for problem in caught.value.problems} == {
        ("cut-off", ("tiers", f"ddc-{zone}", "at")) for zone in ("main", "west", "north")
    }
    assert str(caught.value).startswith(
        "site.yaml:5:14: tiers.ddc-main.at: tier `ddc-main` does not reach `sql` from prod/main: "
    )


def test_a_place_without_what_it_needs_is_told_with_the_link_that_mends_it() -> None:
    text = SATELLITES.replace("sites: {prod:", "sites: {other: {}, prod:")
    text = text.replace("features:", "  user-device: {addresses: [10.8.0.0/16]}\nfeatures:")
    text = text.replace(
        "  ddc-north: {at: prod/north, network: north, roles: [ddc], subnets: [10.3.1.0/28]}\n",
        "  shop: {at: other, network: north, roles: [vda], subnets: [10.3.1.0/28]}\n",
    )
    found = [finding for finding in _compiled(text).findings if finding.code == "dark-place"]
    (finding,) = [one for one in found if one.subject == "shop" and "in role `ddc`" in one.message]
    assert finding.severity == "warning"
    assert "entries: [ddc-vda, ddc-vda-local-host-cache, vda-ddc]" in finding.hint
    assert "from: prod/main, to: other" in finding.hint


def test_two_pairs_of_adcs_do_not_beat_at_each_others_hearts() -> None:
    tiers = {f"adc-{n}": {"roles": ["netscaler-mgmt"], "subnets": [f"10.0.{n}.0/29"]} for n in (1, 2)}
    compilation = compile_deployment(Deployment(name="site", cloud="aws", tiers=tiers))
    assert _pairs(compilation, "adc-ha-heartbeat") == {("adc-1", "adc-1"), ("adc-2", "adc-2")}
    told = {str(one) for one in compilation.resolution.omissions if isinstance(one, Distant)}
    assert "`adc-1` and `adc-2` are two tiers, and this stays within one" in told
    single = {name: {**tier, "subnets": f"10.0.0.{n}"} for n, (name, tier) in enumerate(tiers.items())}
    findings = compile_deployment(Deployment(name="site", cloud="aws", tiers=single)).findings
    assert "pair-in-two-tiers" in {finding.code for finding in findings}


def test_links_are_directed_and_of_what_they_name() -> None:
    link = "links: [{from: prod/west, to: test, entries: [registration], reason: Tests}]\n"
    text = SATELLITES.replace("sites: {prod:", "sites: {test: {}, prod:").replace(
        "features:", link + "features:"
    )
    text = text.replace(
        "external:", "  lab: {at: test, network: north, roles: [ddc, vda], subnets: [10.3.9.0/28]}\nexternal:"
    )
    text = text.replace("sql: {at: prod/main, ", "sql: {")
    pairs = _pairs(_compiled(text))
    assert {pair for pair in pairs if "lab" in pair and {"ddc-west", "vda-west"} & {*pair}} == {
        ("vda-west", "lab"),
        ("ddc-west", "lab"),
    }
    both = text.replace("reason: Tests", "reason: Tests, both: true")
    assert {("lab", "vda-west"), ("lab", "ddc-west")} <= _pairs(_compiled(both))


def test_links_say_when_they_do_too_much_or_nothing() -> None:
    base = SATELLITES.replace("sites: {prod:", "sites: {test: {}, prod:")
    idle = base + "links: [{from: test, to: prod/west, reason: Nobody is there}]\n"
    assert "link-without-effect" in {finding.code for finding in _compiled(idle).findings}
    wide = base + "links: [{from: prod/west, to: prod/north, reason: All of it}]\n"
    assert "link-of-everything" in {finding.code for finding in _compiled(wide).findings}


def test_a_place_that_one_end_alone_is_at_is_told() -> None:
    text = SATELLITES.replace("sites: {prod:", "sites: {tset: {}, prod:").replace(
        "  dc-main: {at: prod/main", "  dc-main: {at: tset"
    )
    assert {finding.subject for finding in _compiled(text).findings if finding.code == "place-of-one"} == {
        "tset"
    }


LINK = "links: [{from: prod/west, to: %s, reason: r}]\nfeatures:"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "t: prod/west, network: west, roles: [ddc]",
            "t: prod/wset, roles: [ddc]",
            "unknown place `prod/wset`",
        ),
        ("primary: main", "primary: mian", "the primary zone `mian` is not one of the `zones`"),
        ("zones: [main, west, north]", "zones: [main, west, north, west]", "a zone is listed twice"),
        ("features:", LINK % "prod/west", "`prod/west` is linked to itself"),
        ("features:", LINK % "nowhere", "unknown place `nowhere`"),
        ("features:", LINK % "prod/main, entries: [sesions]", "unknown entry `sesions` (help: did you mean"),
        ("features:", (LINK % "prod/main").replace(", reason: r", ""), "`reason` is missing"),
        ("at: prod/west, network: west, roles: [ddc]", "at: prod/, roles: [ddc]", "is not a valid place"),
    ],
)
def test_bad_places_are_told_with_their_line(old: str, new: str, said: str) -> None:
    assert old in SATELLITES
    with pytest.raises(InputError) as caught:
        _compiled(SATELLITES.replace(old, new, 1))
    assert said in str(caught.value)
    assert all(problem.mark for problem in caught.value.problems)


def test_every_entry_that_makes_rules_says_how_far_it_reaches() -> None:
    silent = [
        entry["id"]
        for file in sorted(CATALOG.glob("*.yaml"))
        for entry in document.load(file).data.get("entries", ())
        if entry.get("treatment", "enforce") in ("enforce", "name") and "reach" not in entry
    ]
    assert not silent
