"""What the two inputs share: the base of their models, editions, ports and services."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    StrictInt,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError

from citrix_netpolicy import limits, net
from citrix_netpolicy.inputs.problems import shown
from citrix_netpolicy.net import LAST_PORT, Protocol, ServiceSet

__all__ = [
    "FIRST_EDITION",
    "Day",
    "DomainName",
    "Edition",
    "Model",
    "Part",
    "PortRange",
    "PortRanges",
    "ServiceSpec",
    "at_most",
    "is_day",
    "listed",
    "matching",
    "some",
]


def _kebab(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


class Model(BaseModel):
    """A frozen part of an input. Its keys are written in kebab-case; Python may use the field names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=_kebab, populate_by_name=True, defer_build=True
    )


class Part(Model):
    """A part that people may make in Python. It is checked again when it is put into a whole."""

    @model_validator(mode="wrap")
    @classmethod
    def _again(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # pydantic has unchecked ways to make a part, and takes every instance as it is.
        if isinstance(data, cls):
            fields = cls.model_fields
            data = {name: value for name, value in data.__dict__.items() if value != fields[name].default}
        return handler(data)

    def _with(self, **changes: Any) -> Self:
        """Return an unchecked copy, for those who change one valid value to another and are in a hurry."""
        return self.model_copy(update=changes)


def listed(value: Any) -> Any:
    """Let one value stand for a list of one. A value may itself be a named tuple."""
    return value if type(value) in (list, tuple) else [value]


def at_most(limit: int, what: str) -> BeforeValidator:
    """Return what refuses more than `limit` items or characters, before anything is made of them."""

    def check(value: Any) -> Any:
        if isinstance(value, list | tuple | dict | str) and len(value) > limit:
            raise PydanticCustomError(
                "too_many",
                "{count} {what} are more than the {limit} that are supported",
                {"count": f"{len(value):,}", "what": what, "limit": f"{limit:,}"},
            )
        return value

    return BeforeValidator(check)


def some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse an empty list."""
    if not value:
        raise ValueError("expected at least one value")
    return value


# Leading zeros are refused: some readers take `010` for ten, others for eight.
_PORTS: Final = re.compile(r"(0|[1-9][0-9]{0,9})(?:-(0|[1-9][0-9]{0,9}))?\Z")


def _port_range(value: Any) -> tuple[int, int]:
    """Read a port such as 443, or a range such as `6910-6930`."""
    first, last = value, value
    if isinstance(value, str) and (match := _PORTS.match(value)):
        first, last = int(match[1]), int(match[2] or match[1])
    elif isinstance(value, tuple) and len(value) == 2:
        first, last = value
    if not all(isinstance(port, int) and not isinstance(port, bool) for port in (first, last)):
        raise ValueError(f"{shown(value)} is not a valid port or range; use one such as 443 or 6910-6930")
    service = net.ports(Protocol.TCP, first, last)
    return service.first, service.last


_PORT_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": LAST_PORT},
        {"type": "string", "pattern": "^[0-9]{1,5}(-[0-9]{1,5})?$"},
    ]
}
PortRange = Annotated[
    tuple[int, int],
    BeforeValidator(_port_range),
    PlainSerializer(lambda span: span[0] if span[0] == span[1] else f"{span[0]}-{span[1]}"),
    WithJsonSchema(_PORT_SCHEMA),
]
# One port, one range, or a list of them.
PortRanges = Annotated[
    tuple[PortRange, ...],
    BeforeValidator(listed),
    AfterValidator(some),
    at_most(limits.PORT_RANGES, "ports and ranges"),
    WithJsonSchema(
        {"anyOf": [*_PORT_SCHEMA["anyOf"], {"type": "array", "items": _PORT_SCHEMA, "minItems": 1}]}
    ),
]


_EDITION: Final = re.compile(r"20[0-9]{2}\.(0[1-9]|1[0-2])\Z")
FIRST_EDITION: Final = "2026.11"


def _edition(value: Any) -> Any:
    # A float would read 2026.10 as 2026.1.
    if not isinstance(value, str) or not _EDITION.match(value):
        raise ValueError(f"{shown(value)} is not a valid edition; editions are text such as `2026.11`")
    return value


# A year and a month; editions sort as text.
Edition = Annotated[str, BeforeValidator(_edition), WithJsonSchema({"type": ["string", "number"]})]


_PROTOCOLS: Final = ("tcp", "udp", "icmp", "icmpv6", *net.IP_PROTOCOLS)
_NUMBERS: Final = frozenset(map(str, range(256)))


def _protocol(value: Any) -> str:
    """Return the name of a protocol or, where it has none here, its number."""
    if isinstance(value, str) and value in _PROTOCOLS:
        return str(value)
    if type(value) is not int and not (isinstance(value, str) and value in _NUMBERS):
        raise PydanticKnownError("literal_error", {"expected": ", ".join(_PROTOCOLS)})
    service = net.ip_protocol(int(value))
    return next((name for name, number in net.IP_PROTOCOLS.items() if number == service.first), str(value))


_PROTOCOL_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"enum": [*_PROTOCOLS]}, {"type": "integer", "minimum": 0, "maximum": 255}]
}


def _day(value: Any) -> Any:
    if type(value) is date:
        return value.isoformat()
    if isinstance(value, str) and not is_day(value):
        raise ValueError(f"{shown(value)} is not a valid day; write it as YYYY-MM-DD")
    return value


def is_day(text: str) -> bool:
    """Tell whether a text is a day of the calendar, written YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


# A day as text; days sort as text.
Day = Annotated[str, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


def matching(pattern: str, what: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """Return the metadata of a text that matches `pattern` as a whole; `what` says so to people."""
    expression = re.compile(pattern)

    def check(value: Any) -> Any:
        if isinstance(value, str) and not expression.fullmatch(value):
            raise ValueError(f"{shown(value)} is not a valid {what}")
        return value

    return BeforeValidator(check), WithJsonSchema({"type": "string", "pattern": f"^({pattern})$"})


DomainName = Annotated[
    str,
    *matching(
        r"(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+[A-Za-z][A-Za-z0-9-]{0,62}",
        "DNS name such as api.example.com or *.example.com",
    ),
]


class ServiceSpec(Part):
    """Services of one protocol as people write them."""

    protocol: Annotated[
        str,
        PlainValidator(_protocol),
        PlainSerializer(lambda name: int(name) if name in _NUMBERS else name),
        WithJsonSchema(_PROTOCOL_SCHEMA),
    ] = Field(description="tcp, udp, icmp, icmpv6, esp, ah, gre, or the number of another IP protocol")
    ports: PortRanges = Field(default=(), description="TCP or UDP ports and ranges, such as [443, 6910-6930]")
    type_: StrictInt | None = Field(
        default=None, ge=0, le=255, description="ICMP type; all types when left out"
    )
    code: StrictInt | None = Field(
        default=None, ge=0, le=255, description="ICMP code; all codes when left out"
    )

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        is_icmp = self.protocol.startswith("icmp")
        if self.ports and not self.has_ports:
            raise ValueError(f"{self._called} has no ports{'; give type and code' if is_icmp else ''}")
        if not is_icmp and (self.type_ is not None or self.code is not None):
            raise ValueError(
                f"{self._called} has no ICMP type or code{'; give ports' if self.has_ports else ''}"
            )
        if self.code is not None and self.type_ is None:
            raise ValueError("an ICMP code needs a type")
        return self

    @property
    def has_ports(self) -> bool:
        """Tell whether the protocol has ports."""
        return self.protocol in (Protocol.TCP, Protocol.UDP)

    @property
    def _called(self) -> str:
        """The protocol in words: its name, or `protocol` and its number."""
        return self.protocol if self.protocol in _PROTOCOLS else f"protocol {self.protocol}"

    def services(self, ports: tuple[tuple[int, int], ...] | None = None) -> ServiceSet:
        """Return what is meant; `ports` stand in for the declared ports when given."""
        if self.has_ports:
            ranges = self.ports if ports is None else ports
            return ServiceSet.of(*(net.ports(Protocol(self.protocol), *span) for span in ranges))
        if self.protocol in (Protocol.ICMP, Protocol.ICMPV6):
            return ServiceSet.of(net.icmp(Protocol(self.protocol), self.type_, self.code))
        return ServiceSet.of(net.ip_protocol(net.IP_PROTOCOLS.get(self.protocol) or int(self.protocol)))
