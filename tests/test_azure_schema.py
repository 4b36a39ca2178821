"""What the Azure targets make is held against the JSON schema of Azure Resource Manager."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support import real
from test_terraform_azure import FORMS, compiled, formed

from citrix_netpolicy.targets.azure.arm import asg_of, model_of, properties_of, resource_of
from citrix_netpolicy.targets.azure.groups import NetworkSecurityGroup, network_security_groups

SCHEMA = json.loads((Path(__file__).parent / "data" / "arm-nsg-schema.json").read_text(encoding="utf-8"))
VERSION = "2025-07-01"


@pytest.fixture(scope="module")
def complain() -> Any:
    """A function that returns what the schema has to say against a resource."""
    try:
        import jsonschema  # type: ignore[import-untyped] # noqa: PLC0415 - may be absent
    except ImportError:
        real.absent("a judge of JSON Schema is absent")
    reference = {"$ref": "#/resourceDefinitions/networkSecurityGroups"}
    validator = jsonschema.Draft4Validator({**SCHEMA, **reference})

    def complaints(body: dict[str, Any]) -> list[str]:
        head = {"type": "Microsoft.Network/networkSecurityGroups", "apiVersion": VERSION, "name": "x"}
        return [
            f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors({**head, **body})
        ]

    return complaints


@pytest.fixture(params=FORMS)
def groups(request: pytest.FixtureRequest) -> tuple[NetworkSecurityGroup, ...]:
    return groups_of(formed(request.param))


def groups_of(case: real.Case) -> tuple[NetworkSecurityGroup, ...]:
    return network_security_groups(case.policy, case.options).groups


def test_the_json_is_what_azure_resource_manager_takes(
    complain: Any, groups: tuple[NetworkSecurityGroup, ...]
) -> None:
    assert groups
    assert [
        line for group in groups for line in complain({"location": "westeurope", **resource_of(group)})
    ] == []


def test_the_models_are_what_azure_resource_manager_takes(
    complain: Any, groups: tuple[NetworkSecurityGroup, ...]
) -> None:
    if find_spec("azure") is None:
        real.absent("azure-mgmt-network is absent")
    ids = {group.tier: asg_of(group.tier) for group in groups}
    assert all(group.rules for group in groups)
    assert len(groups) > 1
    for group in groups:
        body = model_of(group, "westeurope", ids).as_dict()
        assert complain(body) == []
        assert body["properties"] == resource_of(group, ids)["properties"]


@pytest.mark.parametrize(
    "slip",
    [{"protocol": "TCP6"}, {"direction": "inbound-ish"}, {"access": "Maybe"}, {"priority": "high"}],
    ids=lambda slip: next(iter(slip)),
)
def test_a_slip_is_seen(complain: Any, slip: dict[str, Any]) -> None:
    group = groups_of(compiled())[0]
    rule = {"name": "x", "properties": {**properties_of(group.rules[0], None), **slip}}
    assert complain({"location": "westeurope", "properties": {"securityRules": [rule]}})
