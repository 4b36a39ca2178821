"""The JSON Schema accepts what is a deployment, in every form, and knows the words of the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import real

from citrix_netpolicy import Deployment
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.inputs.schema import deployment_schema
from citrix_netpolicy.inputs.starter import starter
from citrix_netpolicy.syntax import document

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples" / "terraform").glob("*/deployment.yaml"))
SITE: dict[str, Any] = {"name": "site", "cloud": "aws", "tiers": {"ddc": ["10.0.1.0/28"]}}
FLOW = {
    "source": ["vda"],
    "destination": ["ddc"],
    "services": [{"protocol": "tcp", "ports": [1]}],
    "reason": "x",
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return deployment_schema(load_catalog())


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Any:
    try:
        import jsonschema  # type: ignore[import-untyped] # noqa: PLC0415 - may be absent
    except ImportError:
        real.absent("a judge of JSON Schema is absent")
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def complaints(validator: Any, data: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(data)]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize(
    "path",
    EXAMPLES,
    ids=lambda path: str(path.parent.name),
)
def test_examples_are_accepted(path: Path, validator: Any) -> None:
    assert Deployment.load(path)
    assert complaints(validator, document.load(path).data) == []


def test_the_starter_is_accepted(validator: Any) -> None:
    assert complaints(validator, document.parse(starter("2026.11").encode(), "starter").data) == []


@pytest.mark.parametrize(
    "more",
    [
        {"tiers": {"ddc": "10.0.1.0/28"}},
        {"tiers": {"a": {"roles": "ddc", "subnets": "10.0.1.0/28", "network": "main"}}},
        {"tiers": {"a": {"roles": ["ddc", "sql"], "subnets": ["10.0.1.0/28"]}}},
        {"tiers": {"ddc": {"subnets": ["10.0.1.0/28"]}}},
        {"external": {"sql": "10.9.0.1"}},
        {"external": {"sql": ["10.9.0.1"]}},
        {"external": {"sql": {"prefix-list": {"id": "pl-0a1b2c3d", "max-entries": 4}}}},
        {"external": {"sql": {"security-group": "123456789012/sg-0a1b2c3d"}}},
        {"external": {"sql": {"service-tag": "Sql.WestEurope"}}},
        {"external": {"sql": {"addresses": ["10.9.0.1"], "networks": ["main"]}}},
        {"features": {"edt": True, "html5": False}},
        {"parameters": {"xml-service-port": 8080}},
        {"parameters": {"xml-service-port": "8080-8090"}},
        {"parameters": {"xml-service-port": [8080, "8090-8099"]}},
        {"tiers": {"ddc": ["10.0.1.0/28"], "vda": ["10.0.2.0/28"]}, "flows": {"a": FLOW}},
        {"exclude": [{"entry": "ddc-vda-local-host-cache", "reason": "x"}]},
        {"peers": "cidr", "cidrs": "stable", "egress": "open"},
        {"quotas": {"rules-per-group": 100}},
        {"edition": "2026.11"},
        {"accept": [{"finding": "icmp-widened", "subject": "ddc", "reason": "x"}]},
        {
            "accept": [
                {
                    "finding": "icmpv6-blocked",
                    "subject": ["ddc"],
                    "reason": "x",
                    "until": "2027-03-31",
                    "ticket": "NET-7",
                    "owner": "Network team",
                }
            ]
        },
        pytest.param(
            {"external": {"sql": {"addresses": ["10.9.0.1"], "networks": "main"}}},
        ),
        *(
            pytest.param({"flows": {"a": {**FLOW, **short}}})
            for short in (
                {"source": "vda"},
                {"destination": "ddc"},
                {"services": {"protocol": "tcp", "ports": 1}},
            )
        ),
    ],
    ids=str,
)
def test_every_form_is_accepted(more: dict[str, Any], validator: Any) -> None:
    data = {**SITE, **more}
    assert Deployment(**data)
    assert complaints(validator, data) == []


@pytest.mark.parametrize(
    "more",
    [
        {"name": 7},
        {"cloud": "aswz"},
        {"tier": {}},
        {"tiers": []},
        {"tiers": {"a": {"roles": ["dcc"], "subnets": ["10.0.1.0/28"]}}},
        {"tiers": {"ddc": {"subnet": ["10.0.1.0/28"]}}},
        {"tiers": {"ddc": 7}},
        {"tiers": {"ddc": []}},
        {"features": {"htlm5": True}},
        {"features": {"edt": "yes"}},
        {"parameters": {"xml-service-prot": 1}},
        {"parameters": {"xml-service-port": 0}},
        {"parameters": {"xml-service-port": 65536}},
        {"parameters": {"xml-service-port": "22:30"}},
        {"flows": {"a": {key: value for key, value in FLOW.items() if key != "reason"}}},
        {"external": {"sql": {"prefix-list": {"id": "pl-0a1b2c3d", "max_entries": 4}}}},
        {"quotas": {"rules-per-group": 0}},
        {"egress": "close"},
        {"edition": "2026.13"},
        {"accept": [{"finding": "icmp-widened", "subject": "ddc"}]},
        {"accept": [{"finding": "icmp-widen", "subject": "ddc", "reason": "x"}]},
        {"accept": [{"finding": "icmp-widened", "subject": [], "reason": "x"}]},
        {"accept": {"finding": "icmp-widened", "subject": "ddc", "reason": "x"}},
    ],
    ids=str,
)
def test_what_is_no_deployment_is_refused(more: dict[str, Any], validator: Any) -> None:
    assert complaints(validator, {**SITE, **more})


def test_an_edition_without_quotes_is_accepted_where_a_reader_takes_it_for_a_number(validator: Any) -> None:
    assert complaints(validator, {**SITE, "edition": 2026.11}) == []


def test_the_known_editions_are_offered(schema: dict[str, Any]) -> None:
    words = schema["properties"]["edition"]["enum"]
    assert set(load_catalog().editions) == {word for word in words if isinstance(word, str)}


def test_the_words_of_the_catalogue_are_offered(schema: dict[str, Any]) -> None:
    catalog = load_catalog()
    features = schema["properties"]["features"]
    assert features["properties"].keys() == catalog.features.keys()
    assert features["properties"]["edt"]["description"] == catalog.features["edt"].description
    assert features["additionalProperties"] is False
    assert schema["properties"]["parameters"]["properties"].keys() == catalog.parameters.keys()
    roles = schema["$defs"]["Tier"]["properties"]["roles"]["anyOf"][0]["enum"]
    assert {"ddc", "vda", "storefront", "sql"} <= set(roles)
    assert not [role for role in roles if catalog.roles[role].kind == "wildcard"]


def test_every_key_is_described(schema: dict[str, Any]) -> None:
    silent = [name for name, value in schema["properties"].items() if "description" not in value]
    assert silent == []


def test_bounds_of_lists_are_those_of_lists(schema: dict[str, Any]) -> None:
    def wrong(value: Any) -> list[Any]:
        if isinstance(value, dict):
            here = [value] if "minLength" in value and value.get("type") != "string" else []
            return here + [found for item in value.values() for found in wrong(item)]
        return [found for item in value for found in wrong(item)] if isinstance(value, list) else []

    assert wrong(schema) == []


def test_the_schema_is_the_same_every_time(schema: dict[str, Any]) -> None:
    assert deployment_schema(load_catalog()) == schema
