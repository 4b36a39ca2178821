"""Who meets whom: what ends say of features, what is excluded between them, and who is the world.

The oracle knows ten lines of rules, and tries every pair of a small world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.strategies import examples

from citrix_netpolicy import Deployment, InputError, compile_deployment
from citrix_netpolicy.inputs.catalog import Catalog
from citrix_netpolicy.omissions import Excluded, FeatureOff, NotForTheInternet
from citrix_netpolicy.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FEATURES = ("alpha", "beta", "gamma")
ROLES = ("one", "two")
WORLD = "0.0.0.0/0"


def _catalog(entries: Iterable[Mapping[str, Any]]) -> Catalog:
    return Catalog(
        editions={"2026.11": {"description": "The first."}},
        documents={"wiki": {"title": "Ours", "publisher": "Us"}},
        roles={role: {"title": role, "description": role, "kind": "host"} for role in ROLES},
        features={
            name: {"description": name, "default": default}
            for name, default in zip(FEATURES, (False, False, True), strict=True)
        },
        parameters={},
        entries=[
            {
                "product": "P",
                "citations": [{"document": "wiki", "section": "Ports"}],
                "services": [{"protocol": "tcp", "ports": [1 + number]}],
                "purpose": "Some",
                **entry,
            }
            for number, entry in enumerate(entries)
        ],
    )


wishes = st.lists(st.sampled_from([*FEATURES, *(f"!{name}" for name in FEATURES)]), max_size=2).filter(
    lambda names: not any(f"!{name}" in names for name in names)
)
saying = st.dictionaries(st.sampled_from(FEATURES), st.booleans(), max_size=2)
entries_of_pool = st.lists(
    st.fixed_dictionaries(
        {
            "source": st.sampled_from(ROLES),
            "destination": st.sampled_from(ROLES),
            "features": wishes,
            "internet": st.booleans(),
        }
    ),
    min_size=1,
    max_size=3,
)
ends_of_pool = st.lists(
    st.tuples(st.sampled_from(ROLES), saying, st.sampled_from(["tier", "office", "world"])),
    min_size=1,
    max_size=4,
)


def _expected(
    entry: Mapping[str, Any],
    one: tuple[str, Mapping[str, bool], str],
    two: tuple[str, Mapping[str, bool], str],
    whole: Mapping[str, bool],
) -> bool:
    """Tell whether two ends meet for an entry, by the rules as people read them."""
    if (entry["source"], entry["destination"]) != (one[0], two[0]) or "tier" not in (one[2], two[2]):
        return False
    for wish in entry["features"]:
        name = wish.removeprefix("!")
        said = [end[1][name] for end in (one, two) if name in end[1]]
        default = whole.get(name, name == "gamma")
        if (all(said) and (any(said) or default)) is wish.startswith("!"):
            return False
    optional = [wish for wish in entry["features"] if wish in ("alpha", "beta")]
    return all(
        entry["internet"] or (optional and all(end[1].get(name) for name in optional))
        for end in (one, two)
        if end[2] == "world"
    )


@examples(400)
@given(entries_of_pool, ends_of_pool, saying)
def test_ends_meet_as_the_oracle_says(
    entries: list[dict[str, Any]],
    ends: list[tuple[str, dict[str, bool], str]],
    whole: dict[str, bool],
) -> None:
    tiers: dict[str, Any] = {"other": {"roles": ["one"], "subnets": ["10.9.0.0/24"]}}
    external: dict[str, Any] = {}
    for number, (role, said, kind) in enumerate(ends):
        if kind == "tier":
            tiers[f"e{number}"] = {"roles": [role], "subnets": [f"10.0.{number}.0/24"], "features": said}
        else:
            addresses = [WORLD if kind == "world" else f"192.0.2.{number}"]
            external[f"e{number}"] = {"roles": [role], "addresses": addresses, "features": said}
    named = [{"id": f"entry-{number}", **entry} for number, entry in enumerate(entries)]
    deployment = Deployment(name="site", cloud="aws", tiers=tiers, external=external, features=whole)
    flows = resolve(deployment, _catalog(named)).flows
    places = {f"e{number}": end for number, end in enumerate(ends)} | {"other": ("one", {}, "tier")}
    assert {(flow.cause.id, flow.source, flow.destination) for flow in flows} == {
        (entry["id"], one, two)
        for entry in named
        for one, end in places.items()
        for two, peer in places.items()
        if _expected(entry, end, peer, whole)
    }


SITE: dict[str, Any] = {
    "name": "site",
    "cloud": "aws",
    "tiers": {"ddc": ["10.0.1.0/28"], "storefront": ["10.0.2.0/28"], "vda": ["10.0.3.0/24"]},
    "external": {
        "office": {"roles": ["user-device"], "addresses": ["10.9.0.0/16"], "features": {"direct-hdx": True}},
        "internet": {"roles": ["user-device"], "addresses": [WORLD]},
    },
}


def _pairs(entry: str, **changes: Any) -> set[tuple[str, str]]:
    flows = compile_deployment(Deployment(**{**SITE, **changes})).resolution.flows
    return {(flow.source, flow.destination) for flow in flows if flow.cause.id == entry}


def test_people_inside_and_outside_are_two_ends_of_one_role() -> None:
    assert _pairs("user-hdx-ica") == {("office", "vda")}
    assert _pairs("user-storefront") == {("office", "storefront")}


def test_an_end_that_says_off_goes_before_a_deployment_that_says_on() -> None:
    tiers = {
        **SITE["tiers"],
        "kiosk": {"roles": ["vda"], "subnets": ["10.0.4.0/24"], "features": {"edt": False}},
    }
    flows = compile_deployment(Deployment(**{**SITE, "tiers": tiers})).resolution.flows
    udp = {
        flow.destination for flow in flows if flow.cause.id == "user-hdx-ica" and "udp" in str(flow.services)
    }
    assert udp == {"vda"}


def test_what_is_left_out_between_two_ends_is_told() -> None:
    omissions = compile_deployment(Deployment(**SITE, features={"direct-hdx": True})).resolution.omissions
    told = {
        str(one) for one in omissions if isinstance(one, NotForTheInternet) and one.entry == "user-hdx-ica"
    }
    assert told == {
        "`internet` is open to the world, and this is not meant for the Internet between `internet` and `vda`"
    }
    off = compile_deployment(Deployment(**SITE)).resolution.omissions
    assert FeatureOff("user-hdx-ica", "direct-hdx", False) in off


@pytest.mark.parametrize(
    "world",
    [
        {"addresses": [WORLD]},
        {"addresses": ["0.0.0.0/1"]},
        {"addresses": ["0.0.0.0/2", "128.0.0.0/2", "192.0.0.0/3"]},
        {"addresses": ["::/0"]},
        {"addresses": ["::/1"]},
        {"addresses": ["2000::/4"]},
        {"service-tag": "Internet"},
    ],
)
def test_the_world_in_every_spelling(world: dict[str, Any]) -> None:
    tiers = {
        "storefront": ["10.0.2.0/28", "2001:db8::/64"],
        "vda": ["10.0.3.0/24", "2001:db8:0:1::/64"],
    }
    external = {"internet": {"roles": ["user-device"], **world}}
    cloud = "azure" if "service-tag" in world else "aws"
    site = Deployment(name="site", cloud=cloud, tiers=tiers, external=external, features={"direct-hdx": True})
    compilation = compile_deployment(site)
    assert not [
        flow for flow in compilation.resolution.flows if "internet" in (flow.source, flow.destination)
    ]
    assert "not-for-the-internet" in {finding.code for finding in compilation.findings}


@pytest.mark.parametrize("prefixes", [["0.0.0.0/2"], ["10.0.0.0/8"], ["2000::/5"], ["fc00::/7"]])
def test_what_is_wide_and_yet_not_the_world(prefixes: list[str]) -> None:
    external = {"people": {"roles": ["user-device"], "addresses": prefixes}}
    assert not Deployment(**{**SITE, "external": external}).external["people"].is_the_world


def test_the_world_gets_no_plain_port_that_the_deployment_wants_for_others() -> None:
    plain = {"direct-hdx": True, "plaintext-storefront": True}
    external: dict[str, dict[str, Any]] = {
        "office": {"roles": ["user-device"], "addresses": ["10.9.0.0/16"]},
        "internet": {"roles": ["user-device"], "addresses": [WORLD], "features": {"direct-hdx": True}},
    }
    flows = compile_deployment(
        Deployment(**{**SITE, "external": external, "features": plain})
    ).resolution.flows
    found = {flow.source: str(flow.services) for flow in flows if flow.cause.id == "user-storefront"}
    assert found == {"office": "tcp 80, tcp 443", "internet": "tcp 443"}
    external["internet"]["features"] = plain
    flows = compile_deployment(Deployment(**{**SITE, "external": external})).resolution.flows
    assert {str(flow.services) for flow in flows if flow.cause.id == "user-storefront"} == {"tcp 80, tcp 443"}


def test_an_entry_is_excluded_between_some_ends() -> None:
    exclusion = {"entry": "user-hdx-ica", "source": "office", "destination": "vda", "reason": "Not here"}
    external = {**SITE["external"], "branch": {**SITE["external"]["office"], "addresses": ["10.8.0.0/16"]}}
    assert _pairs("user-hdx-ica", external=external) == {("office", "vda"), ("branch", "vda")}
    assert _pairs("user-hdx-ica", external=external, exclude=[exclusion]) == {("branch", "vda")}
    omissions = compile_deployment(Deployment(**{**SITE, "exclude": [exclusion]})).resolution.omissions
    assert Excluded("user-hdx-ica", "Not here", "office", "vda") in omissions


def test_an_exclusion_of_a_role_that_nobody_has_excludes_nothing() -> None:
    exclusion = {"entry": "user-hdx-ica", "source": "director", "reason": "Not here"}
    site = Deployment(**SITE, exclude=[exclusion])
    assert _pairs("user-hdx-ica", exclude=[exclusion]) == {("office", "vda")}
    assert "exclusion-without-effect" in {finding.code for finding in compile_deployment(site).findings}


@pytest.mark.parametrize(
    ("changes", "path", "said"),
    [
        (
            {"exclude": [{"entry": "ddc-vda", "source": "dcc", "reason": "r"}]},
            ("exclude", 0, "source", 0),
            "unknown tier",
        ),
        (
            {"tiers": {"vda": {"subnets": ["10.0.3.0/24"], "features": {"ed": True}}}},
            ("tiers", "vda", "features", "ed"),
            "unknown feature `ed`",
        ),
        (
            {
                "tiers": {
                    "vda": {
                        "subnets": ["10.0.3.0/24"],
                        "features": {"remote-assistance-dynamic-ports": True},
                    }
                }
            },
            ("tiers", "vda", "features", "remote-assistance-dynamic-ports"),
            "needs `remote-assistance`, which is off",
        ),
    ],
)
def test_bad_words_are_told_where_they_stand(
    changes: dict[str, Any], path: tuple[Any, ...], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        compile_deployment(Deployment(**{**SITE, **changes}))
    assert (caught.value.problems[0].path, said in str(caught.value)) == (path, True)
