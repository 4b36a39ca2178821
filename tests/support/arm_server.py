"""A small Azure Resource Manager on loopback that keeps network and application security groups.

It is a stand-in for Azure: it answers the requests of its real client, and refuses what Azure refuses. Codes
in `OBSERVED` were seen in answers of Azure that people published, most of them in issues on GitHub. For those
in `ASSUMED` only the rule behind them is known: they are made up in the manner of the others, so a test must
not rest on them. Resource groups and subscriptions need not exist, operations end at once, and there are no
resources for single rules. Words such as `Tcp` must be spelled as in the schema, where Azure is lenient.
"""

from __future__ import annotations

import copy
import json
import re
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

from support.nsg_oracle import DEFAULT_RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    Network = IPv4Network | IPv6Network

__all__ = ["ASSUMED", "OBSERVED", "ArmServer", "RefusalError", "check"]

MAX_RULES: Final = 1000
MAX_PREFIXES: Final = 4000
MAX_GROUPS_OF_A_SIDE: Final = 10
MAX_GROUPS: Final = 100
MAX_DESCRIPTION: Final = 140
PRIORITIES: Final = range(100, 4097)

OBSERVED: Final = frozenset(
    {
        "InvalidRequestContent",
        "InvalidRequestFormat",
        "InvalidResourceName",
        "InvalidResourceReference",
        "LocationRequired",
        "MissingApiVersionParameter",
        "NumberOfApplicationSecurityGroupsReferencedInSecurityRuleLimitReached",
        "OverlappingSubnetsNotPermittedInSecurityRule",
        "ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies",
        "SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached",
        "SecurityRuleConflict",
        "SecurityRuleCountLimitReached",
        "SecurityRuleInvalidAccessType",
        "SecurityRuleInvalidAddressPrefix",
        "SecurityRuleInvalidPortRange",
        "SecurityRuleInvalidPriority",
        "SecurityRuleInvalidProtocol",
        "SecurityRuleParameterContainsUnsupportedValue",
        "SecurityRuleParameterMissing",
        "SecurityRuleParametersMissing",
    }
)
ASSUMED: Final = frozenset(
    {
        "NumberOfApplicationSecurityGroupsReferencedInSecurityGroupLimitReached",
        "SecurityRuleInvalidDescription",
        "SecurityRuleInvalidDirection",
        "SecurityRuleNameReserved",
        "SecurityRuleParametersNotExclusive",
    }
)

_NSG: Final = "networkSecurityGroups"
_ASG: Final = "applicationSecurityGroups"
_TYPES: Final = {name.lower(): name for name in (_NSG, _ASG)}
_PATH: Final = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)(?:/resourceGroups/(?P<group>[^/]+))?"
    r"/providers/Microsoft\.Network/(?P<type>[^/]+)(?:/(?P<name>[^/]+))?/?",
    re.IGNORECASE,
)

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?")
_PREFIX: Final = re.compile(r"[0-9A-Fa-f:.]+(/(0|[1-9][0-9]{0,2}))?")
# Which tags there are is not known here.
_TAG: Final = re.compile(r"[A-Z][A-Za-z0-9]*(\.[A-Za-z0-9]+)*")
_PORTS: Final = re.compile(r"(?P<first>0|[1-9][0-9]{0,4})(-(?P<last>0|[1-9][0-9]{0,4}))?")

# Members of JSON that a request may have; Azure sets those on the second lines, and passes over them.
_RESOURCE_KEYS: Final = {"location", "properties", "tags"} | {"etag", "id", "name", "type"}
_GROUP_KEYS: Final = {"flushConnection", "securityRules"} | {
    *("defaultSecurityRules", "flowLogs", "networkInterfaces", "provisioningState", "resourceGuid", "subnets")
}
_RULE_KEYS: Final = {"name", "properties"} | {"etag", "id", "type"}
_SIDES: Final = ("source", "destination")
_SIDE_KEYS: Final = (
    "AddressPrefix",
    "AddressPrefixes",
    "ApplicationSecurityGroups",
    "PortRange",
    "PortRanges",
)
_WORDS: Final = {
    "protocol": (("Tcp", "Udp", "Icmp", "Esp", "Ah", "*"), "SecurityRuleInvalidProtocol"),
    "access": (("Allow", "Deny"), "SecurityRuleInvalidAccessType"),
    "direction": (("Inbound", "Outbound"), "SecurityRuleInvalidDirection"),
}
_PROPERTY_KEYS: Final = {
    *("access", "description", "direction", "priority", "protocol", "provisioningState"),
    *(side + key for side in _SIDES for key in _SIDE_KEYS),
}


class RefusalError(Exception):
    """A request that Azure refuses."""

    def __init__(
        self, code: str, message: str, *, status: int = 400, details: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(f"{code}: {message} {details or ''}")
        self.code = code
        self.status = status
        told = [{"code": code, "message": message} for code, message in details]
        self.body = {"error": {"code": code, "message": message, "details": told}}


def _unreadable(code: str, message: str) -> RefusalError:
    return RefusalError("InvalidRequestFormat", "Cannot parse the request.", details=((code, message),))


class ArmServer:
    """A server that runs while it is entered as a context.

    `url` is its address, for the `base_url` of a client.
    """

    def __init__(self) -> None:
        self._resources: dict[str, _Resource] = {}
        self._lock = Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._answer))
        self._http.daemon_threads = False  # so that closing waits for them
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def state(self) -> dict[str, dict[str, Any]]:
        """Return the body of every resource as it was put, under its id."""
        with self._lock:
            return {resource.id: copy.deepcopy(resource.body) for resource in self._resources.values()}

    def clear(self) -> None:
        """Forget every resource."""
        with self._lock:
            self._resources.clear()

    def _answer(self, method: str, target: str, content: bytes) -> tuple[int, Any]:
        """Return the status and the body of the answer to a request."""
        address = urlsplit(target)
        path = _PATH.fullmatch(address.path)
        type_ = _TYPES.get(path["type"].lower()) if path else None
        if path is None or type_ is None:
            raise RefusalError(
                "InvalidResourceType", f"There is no resource type at {address.path}.", status=404
            )
        if not parse_qs(address.query).get("api-version"):
            raise RefusalError("MissingApiVersionParameter", "The parameter api-version is required.")
        parts = {key: unquote(value) for key, value in path.groupdict().items() if value is not None}
        with self._lock:
            if "name" not in parts:
                return self._list(method, type_, parts)
            if "group" not in parts:
                raise RefusalError(
                    "InvalidResourceType", f"A resource needs a group: {address.path}.", status=404
                )
            place = f"/subscriptions/{parts['subscription']}/resourceGroups/{parts['group']}"
            id_ = f"{place}/providers/Microsoft.Network/{type_}/{parts['name']}"
            return self._one(method, type_, id_, content)

    def _list(self, method: str, type_: str, parts: Mapping[str, str]) -> tuple[int, Any]:
        if method != "GET":
            raise RefusalError("MethodNotAllowed", f"A list cannot be asked to {method}.", status=405)
        start = f"/subscriptions/{parts['subscription']}/"
        if "group" in parts:
            start += f"resourceGroups/{parts['group']}/"
        found = [
            resource.answer()
            for key, resource in self._resources.items()
            if key.startswith(start.lower()) and resource.type == type_
        ]
        return 200, {"value": found}

    def _one(self, method: str, type_: str, id_: str, content: bytes) -> tuple[int, Any]:
        old = self._resources.get(id_.lower())  # ids are compared without case
        if method == "DELETE":
            self._resources.pop(id_.lower(), None)
            return (200 if old else 204), None
        if method == "PUT":
            try:
                body = json.loads(content)
            except ValueError as error:
                raise RefusalError("InvalidRequestContent", f"The request is no JSON: {error}.") from None
            locations = {
                key: each.body["location"] for key, each in self._resources.items() if each.type == _ASG
            }
            check(id_, body, locations)
            new = _Resource(old.id if old else id_, type_, body, str(uuid.uuid4()))
            self._resources[id_.lower()] = new
            return (200 if old else 201), new.answer()
        if old is None:
            name = id_.rpartition("/")[2]
            raise RefusalError("ResourceNotFound", f"The resource {type_}/{name} was not found.", status=404)
        return 200, old.answer()


class _Resource(NamedTuple):
    id: str
    type: str
    body: dict[str, Any]
    etag: str

    def answer(self) -> dict[str, Any]:
        """Return the resource as Azure tells of it."""
        properties = {"provisioningState": "Succeeded", **(self.body.get("properties") or {})}
        if self.type == _NSG:
            properties["securityRules"] = [
                self._rule("securityRules", rule) for rule in properties.get("securityRules") or ()
            ]
            properties["defaultSecurityRules"] = [
                self._rule("defaultSecurityRules", rule) for rule in DEFAULT_RULES
            ]
        return {
            **self.body,
            "name": self.id.rpartition("/")[2],
            "id": self.id,
            "etag": f'W/"{self.etag}"',
            "type": f"Microsoft.Network/{self.type}",
            "properties": properties | {"provisioningState": "Succeeded"},
        }

    def _rule(self, collection: str, rule: Mapping[str, Any]) -> dict[str, Any]:
        # The lists that are not in use are told of as empty ones.
        empty: dict[str, Any] = {
            f"{side}{key}": [] for side in _SIDES for key in ("AddressPrefixes", "PortRanges")
        }
        given = {key: value for key, value in rule["properties"].items() if value is not None}
        return {
            "name": rule["name"],
            "id": f"{self.id}/{collection}/{rule['name']}",
            "etag": f'W/"{self.etag}"',
            "type": f"Microsoft.Network/{self.type}/{collection}",
            "properties": {**empty, **given, "provisioningState": "Succeeded"},
        }


def _handler(answer: Callable[[str, str, bytes], tuple[int, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            self._handle()

        def do_PUT(self) -> None:
            self._handle()

        def do_DELETE(self) -> None:
            self._handle()

        def _handle(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                status, body = answer(self.command, self.path, content)
            except RefusalError as error:
                status, body = error.status, error.body
            except Exception as error:  # else the client would see no answer at all
                status, body = 500, {"error": {"code": "InternalServerError", "message": repr(error)}}
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            if data:
                self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is given
            """Say nothing."""

    return Handler


def check(id_: str, body: Any, locations: Mapping[str, str]) -> None:
    """Raise the refusal of a resource, if Azure refuses it.

    `locations` holds those of the application security groups that there are, under their ids in lower case.
    """
    _has_keys(body, _RESOURCE_KEYS, "the resource")
    _has_name(id_.rpartition("/")[2])
    if not body.get("location"):
        raise RefusalError("LocationRequired", "The location property is required for this definition.")
    properties = body.get("properties") or {}
    if f"/{_ASG}/" in id_:
        _has_keys(properties, {"provisioningState", "resourceGuid"}, "properties")
        return
    _has_keys(properties, _GROUP_KEYS, "properties")
    rules = [] if properties.get("securityRules") is None else properties["securityRules"]
    if not isinstance(rules, list):
        raise _unreadable("InvalidJson", "The member securityRules is no list.")
    for rule in rules:
        _check_rule(rule)
    _check_together(rules)
    for group in {group["id"] for rule in rules for side in _SIDES for group in _groups(rule, side)}:
        if _region(locations.get(group.lower(), "")) != _region(body["location"]):
            message = f"Resource {group} referenced by resource {id_} was not found in its region."
            raise RefusalError("InvalidResourceReference", message)


def _region(location: str) -> str:
    return location.replace(" ", "").lower()


def _has_keys(body: Any, keys: set[str], what: str) -> None:
    if not isinstance(body, dict):
        raise _unreadable("InvalidJson", f"{what} is no object.")
    if unknown := sorted(body.keys() - keys):
        raise _unreadable("InvalidJson", f"Could not find member '{unknown[0]}' on {what}.")


def _has_name(name: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = (
            f"Resource name {name} is invalid. It has up to 80 word characters, '.', '-' or '_', begins with "
            "a word character, and ends with one or with '_'."
        )
        raise RefusalError("InvalidResourceName", message)


def _check_together(rules: list[dict[str, Any]]) -> None:
    """Check what concerns several rules of a group."""
    if len(rules) > MAX_RULES:
        message = f"A security group cannot have more than {MAX_RULES} security rules."
        raise RefusalError("SecurityRuleCountLimitReached", message)
    names: set[str] = set()
    places: dict[tuple[int, str], str] = {}
    for rule in rules:
        name, properties = rule["name"], rule["properties"]
        if name.lower() in names:
            message = f"The group has two child resources with the same name ({name})."
            raise _unreadable("DuplicateResourceName", message)
        names.add(name.lower())
        other = places.setdefault((properties["priority"], properties["direction"]), name)
        if other != name:
            message = f"Security rule {name} conflicts with rule {other}. "
            message += "Rules cannot have the same Priority and Direction."
            raise RefusalError("SecurityRuleConflict", message)
    for side in _SIDES:
        count = sum(len(_values(rule, side, "AddressPrefix", "AddressPrefixes")) for rule in rules)
        if count > MAX_PREFIXES:
            message = f"The group has {count} {side} prefixes, and cannot have more than {MAX_PREFIXES}."
            raise RefusalError("SecurityRuleAddressesOrPortsPerSecurityGroupLimitReached", message)
    groups = {group["id"].lower() for rule in rules for side in _SIDES for group in _groups(rule, side)}
    if len(groups) > MAX_GROUPS:
        message = f"The rules of a group may have up to {MAX_GROUPS} Application Security Groups."
        raise RefusalError("NumberOfApplicationSecurityGroupsReferencedInSecurityGroupLimitReached", message)


def _check_rule(rule: Any) -> None:
    _has_keys(rule, _RULE_KEYS, "a security rule")
    if not rule.get("name"):
        raise _unreadable("MissingJsonReferenceId", "A security rule has no name.")
    name, properties = rule["name"], rule.get("properties")
    _has_name(name)
    if name.lower() in {default["name"].lower() for default in DEFAULT_RULES}:
        raise RefusalError("SecurityRuleNameReserved", f"A default security rule has the name {name}.")
    _has_keys(properties, _PROPERTY_KEYS, f"properties of security rule {name}")
    for key, (words, code) in _WORDS.items():
        value = _required(rule, key)
        if value not in words:
            message = (
                f"Security rule has invalid {key}. Value provided: {value} Allowed values: {','.join(words)}."
            )
            raise RefusalError(code, message)
    priority = _required(rule, "priority")
    if type(priority) is not int or priority not in PRIORITIES:
        message = f"Security rule has invalid Priority. Value provided: {priority} Allowed range 100-4096."
        raise RefusalError("SecurityRuleInvalidPriority", message)
    if len(properties.get("description") or "") > MAX_DESCRIPTION:
        message = f"The description of security rule {name} has more than {MAX_DESCRIPTION} characters."
        raise RefusalError("SecurityRuleInvalidDescription", message)
    networks: list[Network] = []
    for side in _SIDES:
        _has_one(rule, side, "AddressPrefixes", "AddressPrefix", "ApplicationSecurityGroups")
        _has_one(rule, side, "PortRanges", "PortRange")
        for text in _values(rule, side, "PortRange", "PortRanges"):
            _check_ports(text, alone=bool(properties.get(f"{side}PortRange")))
        _check_groups(rule, side)
        networks += _networks_of(rule, side)
    if len({network.version for network in networks}) > 1:
        message = f"Security rule {name} has prefixes of IPv4 and of IPv6."
        raise RefusalError("ResourceCannotContainAddressPrefixesFromDifferentAddressFamilies", message)


def _required(rule: Mapping[str, Any], key: str) -> Any:
    value = rule["properties"].get(key)
    if value is None:
        message = f"The parameter {key} of security rule {rule['name']} is missing."
        raise RefusalError("SecurityRuleParameterMissing", message)
    return value


def _has_one(rule: Mapping[str, Any], side: str, *keys: str) -> None:
    """Check that exactly one of the fields of a side is given."""
    names = ", ".join(side.capitalize() + key for key in keys)
    given = [key for key in keys if rule["properties"].get(side + key)]
    if not given:
        message = f"Security rule {rule['name']} lacks a required parameter, one of: {names}."
        raise RefusalError("SecurityRuleParametersMissing", message)
    if len(given) > 1:
        message = f"Security rule {rule['name']} must specify a non empty value for exactly one of: {names}."
        raise RefusalError("SecurityRuleParametersNotExclusive", message)


def _values(rule: Mapping[str, Any], side: str, one: str, many: str) -> list[Any]:
    properties = rule["properties"]
    single, several = properties.get(side + one), properties.get(side + many) or []
    if not isinstance(several, list):
        raise _unreadable("InvalidJson", f"{side}{many} is no list.")
    return [*([single] if single else []), *several]


def _groups(rule: Mapping[str, Any], side: str) -> list[Any]:
    groups = rule["properties"].get(f"{side}ApplicationSecurityGroups") or []
    return groups if isinstance(groups, list) else [groups]


def _check_groups(rule: Mapping[str, Any], side: str) -> None:
    groups = _groups(rule, side)
    for group in groups:
        if not isinstance(group, dict) or not isinstance(group.get("id"), str):
            raise _unreadable("MissingJsonReferenceId", f"{group} is no reference with an id.")
    if len(groups) > MAX_GROUPS_OF_A_SIDE:
        message = (
            f"A security rule may have up to {MAX_GROUPS_OF_A_SIDE} Application Security Groups in a field. "
        )
        message += f"The requested configuration has {len(groups)} as its {side}."
        raise RefusalError("NumberOfApplicationSecurityGroupsReferencedInSecurityRuleLimitReached", message)


def _check_ports(text: Any, *, alone: bool) -> None:
    if text == "*" and alone:
        return
    match = _PORTS.fullmatch(text) if isinstance(text, str) else None
    if match is None or not int(match["first"]) <= int(match["last"] or match["first"]) <= 65535:
        message = f"Security rule has invalid Port range. Value provided: {text}. "
        message += "Value should be an integer OR integer range with '-' delimiter. Valid range 0-65535."
        raise RefusalError("SecurityRuleInvalidPortRange", message)


def _networks_of(rule: Mapping[str, Any], side: str) -> list[Network]:
    """Return the prefixes of a side, checked."""
    where = f"{side.capitalize()}AddressPrefix for rule {rule['name']}"
    texts = _values(rule, side, "AddressPrefix", "AddressPrefixes")
    if rule["properties"].get(f"{side}AddressPrefix") and _is_name(texts[0]):
        return []
    for text in texts:
        if _is_name(text):
            message = f"Security rule parameter {where} cannot specify existing VIRTUALNETWORK, INTERNET, "
            message += f"AZURELOADBALANCER, '*' or system tags. Unsupported value used: {text}."
            raise RefusalError("SecurityRuleParameterContainsUnsupportedValue", message)
    networks = [_network(text, where) for text in texts]
    for one, other in _overlaps(networks):
        message = f"Security rule parameter {where} cannot have overlapping subnets: {one}, {other}."
        raise RefusalError("OverlappingSubnetsNotPermittedInSecurityRule", message)
    return networks


def _is_name(text: Any) -> bool:
    return isinstance(text, str) and (text == "*" or _TAG.fullmatch(text) is not None)


def _network(text: Any, where: str) -> Network:
    try:
        if isinstance(text, str) and _PREFIX.fullmatch(text):
            return ip_network(text)
    except ValueError:
        pass
    message = f"Security rule parameter {where} has an invalid Address prefix. Value provided: {text}"
    raise RefusalError("SecurityRuleInvalidAddressPrefix", message)


def _overlaps(networks: list[Network]) -> Iterator[tuple[Network, Network]]:
    # Of two prefixes that overlap, one holds the other; then it also holds the next one in this order.
    ordered = sorted(networks, key=lambda each: (each.version, int(each.network_address), each.prefixlen))
    for one, other in pairwise(ordered):
        if other.version == one.version and other.network_address in one:
            yield one, other
