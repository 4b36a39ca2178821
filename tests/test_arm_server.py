"""What the stand-in for Azure Resource Manager keeps and refuses, and that Azure's own client takes it."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import pytest
from support import real
from support.arm_server import ASSUMED, OBSERVED, ArmServer
from support.nsg_oracle import allows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.mgmt.network import NetworkManagementClient

PROVIDER = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network"
NSG = f"{PROVIDER}/networkSecurityGroups/nsg"
ASG = f"{PROVIDER}/applicationSecurityGroups"
WEB = f"{ASG}/web"
ELSEWHERE = f"{ASG}/elsewhere"
VERSION = "?api-version=2025-05-01"


@pytest.fixture(scope="module")
def running() -> Iterator[ArmServer]:
    with ArmServer() as server:
        yield server


@pytest.fixture
def server(running: ArmServer) -> ArmServer:
    """Return a server that holds nothing."""
    running.clear()
    return running


def ask(server: ArmServer, method: str, target: str, body: Any = None) -> tuple[int, Any]:
    """Send a request; a body that is text goes as it is."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request(method, target, body if isinstance(body, str) else json.dumps(body))
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None
    finally:
        connection.close()


def rule(
    name: Any = "rule", priority: Any = 100, direction: Any = "Inbound", **fields: Any
) -> dict[str, Any]:
    """Return a rule for HTTPS from and to anywhere, with changes; what is None is left out."""
    properties = {
        "priority": priority,
        "direction": direction,
        "access": "Allow",
        "protocol": "Tcp",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "443",
        **fields,
    }
    return {
        "name": name,
        "properties": {key: value for key, value in properties.items() if value is not None},
    }


def sources(*prefixes: str, **fields: Any) -> dict[str, Any]:
    return rule(sourceAddressPrefix=None, sourceAddressPrefixes=list(prefixes), **fields)


def source_groups(*ids: str, **fields: Any) -> dict[str, Any]:
    return rule(
        sourceAddressPrefix=None, sourceApplicationSecurityGroups=[{"id": id_} for id_ in ids], **fields
    )


def group(*rules: Any) -> dict[str, Any]:
    return {"location": "westeurope", "properties": {"securityRules": list(rules)}}


def many(count: int, side: str = "source") -> list[dict[str, Any]]:
    """Return rules that have that many prefixes on a side, and one each on the other."""
    prefixes = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(count)]
    parts = [prefixes[start : start + 500] for start in range(0, count, 500)]
    return [
        rule(f"rule-{number}", 100 + number, **{f"{side}AddressPrefix": None, f"{side}AddressPrefixes": part})
        for number, part in enumerate(parts)
    ]


TEN = [f"{ASG}/group-{number}" for number in range(10)]


def hundred() -> list[dict[str, Any]]:
    """Return rules that name a hundred application security groups."""
    return [
        source_groups(*(f"{id_}-{number}" for id_ in TEN), name=f"rule-{number}", priority=100 + number)
        for number in range(10)
    ]


ACCEPTED = {
    "no rules": group(),
    "no properties": {"location": "westeurope"},
    "tags": group() | {"tags": {"Owner": "network-team"}},
    "one priority in both directions": group(rule(), rule("other", direction="Outbound")),
    "first and last priority": group(rule(priority=100), rule("other", 4096)),
    "a tag alone": group(
        rule(sourceAddressPrefix="Storage.WestEurope", destinationAddressPrefix="VirtualNetwork")
    ),
    "prefixes apart": group(sources("10.0.0.0/9", "10.128.0.0/9", "192.168.1.1")),
    "IPv6": group(sources("fd00::/64", "2001:db8::1")),
    "a family on each side, beside *": group(rule(sourceAddressPrefix="fd00::/64")),
    "overlap between rules": group(sources("10.0.0.0/8"), sources("10.0.0.0/16", name="other", priority=101)),
    "overlap between sides": group(sources("10.0.0.0/8", destinationAddressPrefix="10.0.0.0/16")),
    "a group and a prefix": group(source_groups(WEB, destinationAddressPrefix="10.0.0.0/16")),
    "10 groups on a side, 100 in all": group(*hundred()),
    "ports": group(rule(destinationPortRange=None, destinationPortRanges=["80", "443-443", "0-65535"])),
    "every protocol": group(
        *(
            rule(f"rule-{number}", 100 + number, protocol=word, destinationPortRange="*")
            for number, word in enumerate(("Tcp", "Udp", "Icmp", "Esp", "Ah", "*"))
        )
    ),
    "a description of 140 characters": group(rule(description="x" * 140)),
    "a name of 80 characters": group(rule("A" + "." * 78 + "_")),
    "a name of one character": group(rule("1")),
    "1,000 rules": group(*(rule(f"rule-{number}", 100 + number) for number in range(1000))),
    "4,000 sources": group(*many(4000)),
    "4,000 destinations": group(*many(4000, "destination")),
    "4,000 prefixes with * and tags": group(*many(3999), rule("last", 4096)),
    "what was answered": group(
        rule(sourceAddressPrefixes=[], sourcePortRanges=[], provisioningState="Succeeded")
        | {"id": "x", "etag": "y"}
    ),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_what_azure_takes_is_kept(server: ArmServer, what: str) -> None:
    for id_ in (WEB, *(f"{id_}-{number}" for id_ in TEN for number in range(10) if "groups" in what)):
        ask(server, "PUT", id_ + VERSION, {"location": "westeurope"})
    status, answer = ask(server, "PUT", NSG + VERSION, ACCEPTED[what])
    assert status == 201, answer
    assert server.state()[NSG] == ACCEPTED[what]


# What is put, the code of the refusal, and what its message tells of.
REFUSED: dict[str, tuple[Any, str, str]] = {
    "priority and direction twice": (
        group(rule("one"), rule("two")),
        "SecurityRuleConflict",
        "rule two conflicts with rule one",
    ),
    "overlap": (
        group(sources("10.0.0.0/16", "10.0.0.0/8")),
        "OverlappingSubnetsNotPermittedInSecurityRule",
        "Source",
    ),
    "overlap with others between": (
        group(sources("10.0.0.0/8", "9.0.0.0/8", "11.0.0.0/8", "10.255.255.255/32")),
        "OverlappingSubnetsNotPermittedInSecurityRule",
        "10.0.0.0/8, 10.255.255.255/32",
    ),
    "a prefix twice": (
        group(rule(destinationAddressPrefix=None, destinationAddressPrefixes=["10.0.0.1", "10.0.0.1/32"])),
        "OverlappingSubnetsNotPermittedInSecurityRule",
        "Destination",
    ),
    "families on a side": (
        group(sources("10.0.0.0/8", "fd00::/64")),
        "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies",
        "rule",
    ),
    "families on two sides": (
        group(rule(sourceAddressPrefix="10.0.0.0/8", destinationAddressPrefix="fd00::/64")),
        "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies",
        "rule",
    ),
    **{
        f"ports {text}": (group(rule(destinationPortRange=text)), "SecurityRuleInvalidPortRange", str(text))
        for text in ("80,443", "65536", "443-80", "-1", "80-", "any", "https", "0443", 443)
    },
    "* in a list of ports": (
        group(rule(sourcePortRange=None, sourcePortRanges=["*"])),
        "SecurityRuleInvalidPortRange",
        "*",
    ),
    **{
        f"prefix {text}": (group(rule(sourceAddressPrefix=text)), "SecurityRuleInvalidAddressPrefix", text)
        for text in (
            *("50.206.209.68/27", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0.0/08", "10.0.0.1-10.0.0.9"),
            *("10.0.0", "fd00::1/64", "10.0.0.0/8,11.0.0.0/8", "not a tag"),
        )
    },
    "host bits in a list": (
        group(sources("10.0.0.0/8", "192.168.0.1/24")),
        "SecurityRuleInvalidAddressPrefix",
        "192.168.0.1/24",
    ),
    **{
        f"{text} in a list": (
            group(sources("10.0.0.0/8", text)),
            "SecurityRuleParameterContainsUnsupportedValue",
            f"used: {text}.",
        )
        for text in ("*", "VirtualNetwork", "Storage.WestEurope")
    },
    "one prefix and a list": (
        group(rule(sourceAddressPrefixes=["10.0.0.0/8"])),
        "SecurityRuleParametersNotExclusive",
        "SourceAddressPrefix",
    ),
    "one port and a list": (
        group(rule(destinationPortRanges=["80"])),
        "SecurityRuleParametersNotExclusive",
        "DestinationPortRange",
    ),
    "a prefix and a group": (
        group(rule(destinationApplicationSecurityGroups=[{"id": WEB}])),
        "SecurityRuleParametersNotExclusive",
        "DestinationApplicationSecurityGroups",
    ),
    "prefixes and a group": (
        group(sources("10.0.0.0/8", sourceApplicationSecurityGroups=[{"id": WEB}])),
        "SecurityRuleParametersNotExclusive",
        "SourceApplicationSecurityGroups",
    ),
    **{
        f"priority {number}": (group(rule(priority=number)), "SecurityRuleInvalidPriority", str(number))
        for number in (99, 4097, 65500, True, "100")
    },
    "1,001 rules": (
        group(*(rule(f"rule-{number}", 100 + number) for number in range(1001))),
        "SecurityRuleCountLimitReached",
        "1000",
    ),
    "4,001 sources": (
        group(*many(4001)),
        "SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached",
        "4001 source prefixes",
    ),
    "4,000 destinations and *": (
        group(*many(4000, "destination"), rule("last", 4096)),
        "SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached",
        "4001 destination prefixes",
    ),
    **{
        f"name {name[:9]}": (group(rule(name)), "InvalidResourceName", name)
        for name in ("_rule", "rule-", "rule.", "a rule", "rule/1", "-", "é", "x" * 81)
    },
    "a name twice": (group(rule("one"), rule("ONE", 101)), "InvalidRequestFormat", "same name (ONE)"),
    "the name of a default rule": (
        group(rule("DenyAllInbound")),
        "SecurityRuleNameReserved",
        "DenyAllInbound",
    ),
    "a description of 141 characters": (
        group(rule(description="x" * 141)),
        "SecurityRuleInvalidDescription",
        "140",
    ),
    "11 groups on a side": (
        group(source_groups(*TEN, WEB)),
        "NumberOfApplicationSecurityGroupsReferencedInSecurityRuleLimitReached",
        "11 as its source",
    ),
    "101 groups": (
        group(*hundred(), source_groups(WEB, priority=200)),
        "NumberOfApplicationSecurityGroupsReferencedInSecurityGroupLimitReached",
        "100",
    ),
    "a group that is not there": (
        group(source_groups(f"{ASG}/none")),
        "InvalidResourceReference",
        f"{ASG}/none",
    ),
    "a group in another region": (group(source_groups(ELSEWHERE)), "InvalidResourceReference", ELSEWHERE),
    "a group without id": (
        group(rule(sourceAddressPrefix=None, sourceApplicationSecurityGroups=[WEB])),
        "InvalidRequestFormat",
        "no reference",
    ),
    **{
        f"protocol {word}": (group(rule(protocol=word)), "SecurityRuleInvalidProtocol", word)
        for word in ("tcp", "TCP", "6", "Gre", "IcmpV6")
    },
    "access": (group(rule(access="allow")), "SecurityRuleInvalidAccessType", "allow"),
    "direction": (group(rule(direction="Ingress")), "SecurityRuleInvalidDirection", "Ingress"),
    **{
        f"no {key}": (group(rule(**{key: None})), "SecurityRuleParameterMissing", key)
        for key in ("access", "protocol", "direction", "priority")
    },
    **{
        f"no {key}": (
            group(rule(**{key: None})),
            "SecurityRuleParametersMissing",
            key[0].upper() + key[1:],
        )
        for key in (
            "sourceAddressPrefix",
            "sourcePortRange",
            "destinationAddressPrefix",
            "destinationPortRange",
        )
    },
    "an empty list of prefixes": (group(sources()), "SecurityRuleParametersMissing", "SourceAddressPrefixes"),
    "no location": ({"properties": {}}, "LocationRequired", "location"),
    "no name": (group({"properties": rule()["properties"]}), "InvalidRequestFormat", "name"),
    "no properties": (group({"name": "rule"}), "InvalidRequestFormat", "object"),
    "rules that are no list": (
        {"location": "westeurope", "properties": {"securityRules": {}}},
        "InvalidRequestFormat",
        "list",
    ),
    "prefixes that are no list": (
        group(rule(sourceAddressPrefix=None, sourceAddressPrefixes="10.0.0.0/8")),
        "InvalidRequestFormat",
        "list",
    ),
    "a misspelt property": (
        group(rule(sourceAdressPrefix="*")),
        "InvalidRequestFormat",
        "'sourceAdressPrefix'",
    ),
    "a flat rule": (group(rule()["properties"] | {"name": "rule"}), "InvalidRequestFormat", "'access'"),
    "a misspelt list of rules": (
        {"location": "westeurope", "properties": {"rules": []}},
        "InvalidRequestFormat",
        "'rules'",
    ),
    "no JSON": ("{", "InvalidRequestContent", "JSON"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_azure_refuses_is_refused(server: ArmServer, what: str) -> None:
    body, code, told = REFUSED[what]
    ask(server, "PUT", WEB + VERSION, {"location": "westeurope"})
    ask(server, "PUT", ELSEWHERE + VERSION, {"location": "northeurope"})
    before = server.state()
    status, answer = ask(server, "PUT", NSG + VERSION, body)
    assert (status, answer["error"]["code"]) == (400, code), answer
    assert answer.keys() == {"error"}
    assert answer["error"].keys() == {"code", "message", "details"}
    assert told in " ".join(
        [answer["error"]["message"], *(each["message"] for each in answer["error"]["details"])]
    )
    assert server.state() == before


def test_every_refusal_is_produced() -> None:
    assert {code for _, code, _ in REFUSED.values()} == (OBSERVED | ASSUMED) - {"MissingApiVersionParameter"}


def test_a_refused_change_leaves_what_was_there(server: ArmServer) -> None:
    ask(server, "PUT", NSG + VERSION, group(rule()))
    assert ask(server, "PUT", NSG + VERSION, group(rule(priority=1)))[0] == 400
    assert server.state() == {NSG: group(rule())}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (f"{PROVIDER}/networkSecurityGroups/-nsg", group(), "InvalidResourceName"),
        (f"{PROVIDER}/networkSecurityGroups/{'x' * 81}", group(), "InvalidResourceName"),
        (f"{ASG}/a%20group", {"location": "westeurope"}, "InvalidResourceName"),
        (WEB, {}, "LocationRequired"),
        (WEB, group(), "InvalidRequestFormat"),
        (WEB, [], "InvalidRequestFormat"),
    ],
)
def test_refused_resources(server: ArmServer, path: str, body: Any, code: str) -> None:
    status, answer = ask(server, "PUT", path + VERSION, body)
    assert (status, answer["error"]["code"]) == (400, code)
    assert server.state() == {}


def test_the_life_of_a_resource(server: ArmServer) -> None:
    body = group(rule()) | {"tags": {"Owner": "network-team"}}
    assert ask(server, "GET", NSG + VERSION)[0] == 404
    status, created = ask(server, "PUT", NSG + VERSION, body)
    assert status == 201
    assert created["id"] == NSG
    assert created["name"] == "nsg"
    assert created["type"] == "Microsoft.Network/networkSecurityGroups"
    assert created["tags"] == {"Owner": "network-team"}
    assert created["properties"]["provisioningState"] == "Succeeded"
    (answered,) = created["properties"]["securityRules"]
    assert answered["id"] == f"{NSG}/securityRules/rule"
    assert answered["properties"].items() >= rule()["properties"].items()
    assert answered["properties"]["sourceAddressPrefixes"] == []
    assert len(created["properties"]["defaultSecurityRules"]) == 6
    assert ask(server, "GET", NSG.upper().replace("MICROSOFT.NETWORK", "microsoft.network") + VERSION) == (
        200,
        created,
    )

    # What was answered can be put again, and means the same.
    status, again = ask(server, "PUT", NSG + VERSION, created)
    assert status == 200
    assert again["properties"] | {"securityRules": 0, "defaultSecurityRules": 0} == {
        "provisioningState": "Succeeded",
        "securityRules": 0,
        "defaultSecurityRules": 0,
    }
    for port, allowed in ((443, True), (80, False)):
        for nsg in (body, created, again):
            assert allows(nsg, "Inbound", "Tcp", "1.1.1.1", "10.0.0.4", port, virtual_network=[]) is allowed

    assert ask(server, "DELETE", NSG + VERSION) == (200, None)
    assert ask(server, "DELETE", NSG + VERSION) == (204, None)
    assert server.state() == {}


def test_lists(server: ArmServer) -> None:
    other_group, other_subscription = NSG.replace("/g/", "/other/"), NSG.replace("/s/", "/other/")
    for path in (NSG, other_group, other_subscription):
        ask(server, "PUT", path + VERSION, group())
    ask(server, "PUT", WEB + VERSION, {"location": "westeurope"})

    def ids(path: str) -> list[str]:
        status, answer = ask(server, "GET", path + VERSION)
        assert status == 200
        return [each["id"] for each in answer["value"]]

    assert ids(f"{PROVIDER}/networkSecurityGroups") == [NSG]
    assert ids(ASG) == [WEB]
    assert ids("/subscriptions/s/providers/Microsoft.Network/networkSecurityGroups") == [NSG, other_group]


def test_other_requests(server: ArmServer) -> None:
    table = [
        ("PUT", NSG, 400, "MissingApiVersionParameter"),
        ("GET", f"{PROVIDER}/virtualNetworks/vnet{VERSION}", 404, "InvalidResourceType"),
        ("GET", f"{NSG}/securityRules/rule{VERSION}", 404, "InvalidResourceType"),
        (
            "PUT",
            f"/subscriptions/s/providers/Microsoft.Network/networkSecurityGroups/x{VERSION}",
            404,
            "InvalidResourceType",
        ),
        ("PUT", ASG + VERSION, 405, "MethodNotAllowed"),
        ("GET", NSG + VERSION, 404, "ResourceNotFound"),
    ]
    for method, target, status, code in table:
        found, answer = ask(server, method, target, group())
        assert (found, answer["error"]["code"]) == (status, code)


# With Azure's own client


class NoCredential:
    """What a client must be given; nothing asks it for a token."""

    def get_token(self, *scopes: str, **options: Any) -> NoReturn:
        raise AssertionError("a token was asked for")

    def get_token_info(self, *scopes: str, **options: Any) -> NoReturn:
        raise AssertionError("a token was asked for")


@pytest.fixture
def client(server: ArmServer) -> Iterator[NetworkManagementClient]:
    """A client of Azure that asks the server."""
    try:
        from azure.core.pipeline.policies import SansIOHTTPPolicy  # noqa: PLC0415 - may be absent
        from azure.mgmt.network import NetworkManagementClient  # noqa: PLC0415
    except ImportError as error:
        real.absent(f"azure-mgmt-network is absent: {error}")
    with NetworkManagementClient(
        NoCredential(),
        "s",
        base_url=server.url,
        authentication_policy=SansIOHTTPPolicy(),
        polling_interval=0,
        retry_total=0,
        use_env_settings=False,  # no proxies
    ) as client:
        yield client


@pytest.mark.slow
def test_the_client_of_azure_gets_back_what_it_put(
    client: NetworkManagementClient, server: ArmServer
) -> None:
    from azure.mgmt.network import models  # noqa: PLC0415 - may be absent

    web = client.application_security_groups.begin_create_or_update(
        "g", "web", models.ApplicationSecurityGroup(location="westeurope")
    ).result()
    assert web.id == WEB
    properties = models.SecurityRulePropertiesFormat(
        priority=100,
        direction="Inbound",
        access="Allow",
        protocol="Tcp",
        description="Users to the web",
        source_address_prefixes=["10.0.0.0/9", "192.168.0.0/16"],
        source_port_range="*",
        destination_application_security_groups=[models.ApplicationSecurityGroup(id=web.id)],
        destination_port_ranges=["80", "443"],
    )
    nsg = models.NetworkSecurityGroup(
        location="westeurope",
        tags={"Owner": "network-team"},
        properties=models.NetworkSecurityGroupPropertiesFormat(
            security_rules=[models.SecurityRule(name="users-to-web", properties=properties)]
        ),
    )
    put = client.network_security_groups.begin_create_or_update("g", "nsg", nsg).result()
    got = client.network_security_groups.get("g", "nsg")
    assert got.as_dict() == put.as_dict()
    assert got.id == NSG
    assert got.tags == {"Owner": "network-team"}
    assert got.properties is not None
    assert got.properties.provisioning_state == "Succeeded"
    (found,) = list(got.properties.security_rules or [])
    assert found.name == "users-to-web"
    assert found.properties is not None
    assert found.as_dict()["properties"].items() >= properties.as_dict().items()
    assert server.state()[NSG] == nsg.as_dict()
    assert [each.id for each in client.network_security_groups.list("g")] == [NSG]
    assert [each.id for each in client.network_security_groups.list_all()] == [NSG]

    members = {WEB: ["10.0.1.4"]}
    for destination, allowed in (("10.0.1.4", True), ("10.0.1.5", False)):
        for body in (nsg.as_dict(), got.as_dict()):
            permitted = allows(
                body, "Inbound", "Tcp", "192.168.1.1", destination, 443, virtual_network=[], members=members
            )
            assert permitted is allowed

    client.network_security_groups.begin_delete("g", "nsg").result()
    client.application_security_groups.begin_delete("g", "web").result()
    assert server.state() == {}


def test_the_client_of_azure_tells_a_refusal(client: NetworkManagementClient, server: ArmServer) -> None:
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError  # noqa: PLC0415 - may be absent
    from azure.mgmt.network import models  # noqa: PLC0415

    with pytest.raises(ResourceNotFoundError):
        client.network_security_groups.get("g", "nsg")
    nsg = models.NetworkSecurityGroup(group(rule("one"), rule("two")))
    with pytest.raises(HttpResponseError, match="rule two conflicts with rule one") as raised:
        client.network_security_groups.begin_create_or_update("g", "nsg", nsg)
    assert raised.value.status_code == 400
    assert raised.value.error is not None
    assert raised.value.error.code == "SecurityRuleConflict"
    assert server.state() == {}
