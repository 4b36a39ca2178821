"""The deployment: which roles stand in which subnets, and what the site has chosen."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PrivateAttr,
    StrictBool,
    StrictInt,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from citrix_netpolicy import limits, net
from citrix_netpolicy.errors import DataPath, InputError, Problem, clean, in_order, nearest
from citrix_netpolicy.findings import ACCEPTABLE, LOSSES
from citrix_netpolicy.inputs import addresses
from citrix_netpolicy.inputs.base import (
    Day,
    DomainName,
    Edition,
    Model,
    Part,
    PortRange,
    PortRanges,
    ServiceSpec,
    at_most,
    is_day,
    listed,
    matching,
    some,
)
from citrix_netpolicy.inputs.include import is_below, is_relative, with_included
from citrix_netpolicy.inputs.problems import problems_of, shown
from citrix_netpolicy.naming import FIELDS
from citrix_netpolicy.places import Place, Places, place_of
from citrix_netpolicy.syntax import document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

    from citrix_netpolicy.errors import Mark
    from citrix_netpolicy.syntax.document import Document

__all__ = [
    "Acceptance",
    "Behind",
    "CustomFlow",
    "Deployment",
    "Exclusion",
    "External",
    "Justified",
    "Link",
    "Network",
    "PrefixListId",
    "Quotas",
    "Site",
    "Through",
    "Tier",
]


Cloud = Literal["aws", "azure"]
# What Windows takes for a device whatever stands behind a dot.
_DEVICES: Final = frozenset(
    ["CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))]
)


def _prefix(value: Any) -> net.Prefix:
    if isinstance(value, net.Prefix):
        return value
    if isinstance(value, bool | int | float | dict | list) or value is None or value == "":
        raise ValueError(f"expected a prefix such as 10.20.1.0/24, found {shown(value)}")
    return net.Prefix.parse(str(value))


def _tier_name(value: Any) -> Any:
    # A tier's name goes into the names of cloud groups. What a cloud refuses there is its target's to say.
    if isinstance(value, str) and (not value.strip() or value != value.strip() or not value.isprintable()):
        raise ValueError(
            f"{shown(value)} is not a valid name; use printable text without spaces at either end"
        )
    return value


def _reason(value: Any) -> Any:
    # A reason becomes part of rule descriptions, where clouds accept little more than ASCII letters. What is
    # one of these but for an accent is kept there without it.
    if isinstance(value, str) and not re.search("[A-Za-z0-9]", unicodedata.normalize("NFKD", value)):
        raise ValueError("a reason needs Latin letters or digits; it becomes the description of rules")
    return value


def _dated(version: str) -> str:
    if not is_day(version.removesuffix("-preview")):
        raise ValueError(f"{shown(version)} is not a valid API version: there is no such day")
    return version


Prefix = Annotated[
    net.Prefix,
    BeforeValidator(_prefix),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "description": "an IPv4 or IPv6 prefix such as 10.20.1.0/24"}),
]
_WORD: Final = "[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"
Word = Annotated[
    str,
    *matching(_WORD, "name: letters, digits, `.`, `_` and `-`, at most 64"),
]
Name = Annotated[str, BeforeValidator(_tier_name), at_most(limits.NAME, "characters")]
GroupId = Annotated[
    str,
    *matching(
        "([0-9]{12}/)?sg-[0-9a-f]{8,17}", "security group id such as sg-0123456789abcdef0 or account/sg-..."
    ),
]
ListId = Annotated[str, *matching("pl-[0-9a-f]{8,17}", "prefix list id such as pl-0123456789abcdef0")]
TagName = Annotated[
    str, *matching(r"[A-Z][A-Za-z0-9]*(\.[A-Za-z0-9]+)*", "service tag such as Storage.WestEurope")
]
Text = Annotated[str, at_most(limits.TEXT, "characters")]
# One item, or a list of some. Validators hide the bound from the schema, so it is told there again.
_Prefixes = Prefix | Annotated[tuple[Prefix, ...], Field(min_length=1)]
_Words = Word | Annotated[tuple[Word, ...], Field(min_length=1)]
_Names = Name | Annotated[tuple[Name, ...], Field(min_length=1)]
_DomainNames = DomainName | Annotated[tuple[DomainName, ...], Field(min_length=1)]
_Texts = Text | Annotated[tuple[Text, ...], Field(min_length=1)]
Subjects = Annotated[
    tuple[Text, ...],
    BeforeValidator(listed, json_schema_input_type=_Texts),
    AfterValidator(some),
    at_most(limits.EXTERNALS, "subjects"),
]
_Services = ServiceSpec | Annotated[tuple[ServiceSpec, ...], Field(min_length=1)]
Prefixes = Annotated[
    tuple[Prefix, ...],
    BeforeValidator(listed, json_schema_input_type=_Prefixes),
    AfterValidator(some),
    at_most(limits.END_PREFIXES, "prefixes"),
]
Words = Annotated[
    tuple[Word, ...],
    BeforeValidator(listed, json_schema_input_type=_Words),
    AfterValidator(some),
    at_most(limits.ROLES, "names"),
]
Roles = Annotated[
    tuple[Word, ...],
    BeforeValidator(listed, json_schema_input_type=Word | tuple[Word, ...]),
    at_most(limits.ROLES, "names"),
]
Names = Annotated[
    tuple[Name, ...],
    BeforeValidator(listed, json_schema_input_type=_Names),
    AfterValidator(some),
    at_most(limits.EXTERNALS, "names"),
]
Services = Annotated[
    tuple[ServiceSpec, ...],
    BeforeValidator(listed, json_schema_input_type=_Services),
    AfterValidator(some),
    at_most(limits.FLOW_SERVICES, "services"),
]
ApiVersion = Annotated[
    str,
    *matching("20[0-9]{2}-[01][0-9]-[0-3][0-9](-preview)?", "API version such as 2025-05-01"),
    AfterValidator(_dated),
]
Reason = Annotated[Text, BeforeValidator(_reason)]
# A site, or a zone of it.
PlaceName = Annotated[
    str,
    *matching(
        f"{_WORD}(/{_WORD})?",
        "place: the name of a site, or `site/zone`",
    ),
]
_PlaceNames = PlaceName | Annotated[tuple[PlaceName, ...], Field(min_length=1)]
PlaceNames = Annotated[
    tuple[PlaceName, ...],
    BeforeValidator(listed, json_schema_input_type=_PlaceNames),
    AfterValidator(some),
    at_most(limits.PLACES, "places"),
]
_MEMBER: Final = "whether it is a Windows member of the domain; its roles say so when left out"
_SERVICE: Final = (
    "a managed service of a cloud, which brings its roles and ports; `catalog services` lists them"
)
_AT: Final = "its places: a site, `site/zone`, or several; everywhere when left out"
Features = dict[str, StrictBool]
_FEATURES_OF_AN_END: Final = (
    "features on or off for what this end takes part in, whatever the deployment says"
)


class Justified(Part):
    """Why something is there that a reviewer would ask about, and who answers for it until when.

    After the day `until` it still holds, so that no run fails because of the date; a finding says that
    somebody should look at it again.
    """

    reason: Reason = Field(description="why, for reviewers")
    ticket: Text | None = Field(default=None, description="where the decision is recorded")
    owner: Text | None = Field(default=None, description="who answers for it")
    until: Day | None = Field(default=None, description="the last day on which it is meant to hold")

    def is_expired(self, today: date) -> bool:
        """Tell whether its last day has passed."""
        # Days in this form sort as text; a `datetime` is a date too, and does not compare with one.
        return self.until is not None and today.isoformat()[:10] > self.until


def _pattern(text: str) -> str:
    rest = re.sub(rf"\{{({'|'.join(FIELDS)})\}}", "", text)
    if "{tier}" not in text or "{" in rest or "}" in rest:
        fields = ", ".join(f"`{{{name}}}`" for name in FIELDS)
        raise ValueError(f"{shown(text)} is not a pattern: its fields are {fields}, and it needs `{{tier}}`")
    return text


NamePattern = Annotated[Text, AfterValidator(_pattern)]


class Naming(Part):
    """How groups are called. Fields of a pattern are `{deployment}`, `{network}` and `{tier}`."""

    groups: NamePattern | None = Field(
        default=None,
        description="the pattern of groups: `{deployment}-{tier}` in AWS, `nsg-{deployment}-{tier}` in Azure",
    )
    application_security_groups: NamePattern | None = Field(
        default=None, description="that of application security groups: `asg-{deployment}-{tier}`"
    )


class GroupOf(Part):
    """The group of a tier where it has a name of its own, or others have made it."""

    name: Text | None = Field(default=None, description="its exact name, which cannot change while it lives")
    id: Text | None = Field(
        default=None, description="in AWS: the id of a group that exists; this module manages rules of it"
    )
    audited: Day | None = Field(
        default=None, description="the day on which an audit found no rules on it beside ours"
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.name is None) == (self.id is None):
            raise ValueError("use either `name` or `id`")
        if self.audited is not None and self.id is None:
            raise ValueError("`audited` is for a group that others have made, by its `id`")
        return self


class Network(Part):
    """One VPC or VNet."""

    cloud: Cloud = Field(description="aws or azure")
    aws_provider: Literal[5, 6] | None = Field(
        default=None,
        description="in AWS: the major version of the Terraform provider; both work when left out",
    )
    exclusive: StrictBool | None = Field(
        default=None,
        description="in AWS with provider 6: whether rules made by hand are revoked; they are when left out",
    )
    naming: Naming = Field(default_factory=Naming, description="how its groups are called")
    bicep_api_version: ApiVersion = Field(
        default="2025-05-01", description="in Azure: the version of the Microsoft.Network API in Bicep"
    )
    attach: Literal["subnets", "interfaces"] = Field(
        default="subnets",
        description="in Azure: what groups are attached to; with interfaces, tiers may share subnets",
    )


class Site(Part):
    """A site in Citrix' sense: it has one database. Its zones are its locations."""

    zones: Annotated[
        tuple[Word, ...], BeforeValidator(listed), AfterValidator(some), at_most(limits.PLACES, "zones")
    ] = Field(default=(), description="its zones; none when left out")
    primary: Word | None = Field(default=None, description="the zone that holds the database")

    @model_validator(mode="after")
    def _with_its_primary(self) -> Self:
        if len(set(self.zones)) < len(self.zones):
            raise ValueError("a zone is listed twice")
        if self.primary is not None and self.primary not in self.zones:
            raise ValueError(f"the primary zone {shown(self.primary)} is not one of the `zones`")
        return self


class Public(Part):
    """How a tier is seen beyond a NAT, and how it appears there."""

    in_: Prefixes = Field(default=(), description="the public addresses at which it is reached")
    out: Prefixes = Field(default=(), description="the public addresses from which it opens connections")


class Link(Justified):
    """What places communicate beyond what entries reach by themselves; in one direction, unless `both`."""

    from_: PlaceNames = Field(description="the places of those who open connections")
    to: PlaceNames = Field(description="the places that they are opened to")
    entries: Annotated[
        tuple[Text, ...], BeforeValidator(listed), AfterValidator(some), at_most(limits.EXCLUSIONS, "entries")
    ] = Field(default=(), description="entries or bundles of the catalogue; all when left out")
    both: StrictBool = Field(default=False, description="whether it holds in the other direction too")
    via: Literal["public"] | None = Field(
        default=None, description="public: over the Internet, between the `public` addresses of both ends"
    )


class Behind(Part):
    """What stands in front of a tier: an ADC, by the names of its ends, or a balancer of the cloud."""

    end: Names = Field(default=(), description="the tiers or externals of the ADC: its VIPs, SNIPs and NSIPs")
    also_direct: StrictBool = Field(
        default=False, description="of an ADC: whether clients reach the tier without it as well"
    )
    addresses: Prefixes = Field(default=(), description="of a balancer: its front addresses")
    probes: PortRanges = Field(default=(), description="of a balancer: the TCP ports that it probes")
    keeps_source: StrictBool | None = Field(
        default=None,
        description="of a balancer: whether the tier sees the client; in Azure it always does",
    )
    entries: Annotated[
        tuple[Text, ...], BeforeValidator(listed), AfterValidator(some), at_most(limits.EXCLUSIONS, "entries")
    ] = Field(
        default=(), description="entries or bundles that go through it; all that are balanced in practice"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        is_balancer = bool(self.addresses or self.probes)
        if bool(self.end) == is_balancer:
            raise ValueError("name the `end` of an ADC, or the `addresses` or `probes` of a balancer")
        if self.also_direct and is_balancer:
            raise ValueError("`also-direct` is for an ADC; a balancer of the cloud hides nobody")
        if self.keeps_source is not None and not is_balancer:
            raise ValueError("`keeps-source` is for a balancer of the cloud; an ADC is the source itself")
        return self


def _behind(value: Any) -> Any:
    """Let the names of an ADC stand for themselves."""
    return {"end": value} if isinstance(value, str | list | tuple) else value


class Through(Part):
    """What lets destinations through that have only a name: a transparent firewall, or a proxy."""

    through: Literal["firewall", "proxy"] = Field(
        description="firewall: it sees packets to any address and knows names; proxy: it is spoken to"
    )
    end: Name | None = Field(default=None, description="the tier or external that is the proxy")
    port: PortRange | None = Field(default=None, description="the TCP port of the proxy")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.through == "proxy" and (self.end is None or self.port is None):
            raise ValueError("a proxy needs `end` and `port`")
        if self.through == "firewall" and (self.end is not None or self.port is not None):
            raise ValueError("`end` and `port` are those of a proxy; a firewall has none")
        return self


NamesState = Literal["listed", "open"] | Through
_NAMES: Final = (
    "what has only a name: listed (the group stays shut), open (their ports leave to any address), "
    "{through: firewall} (the same, and a firewall knows the names), or {through: proxy, end: ..., port: ...}"
)


class Tier(Part):
    """Roles placed in subnets of one network. The tier gets a group."""

    roles: Roles = Field(description="the catalogue roles that these machines have; [] for none")
    subnets: Prefixes = Field(description="the subnets, or single addresses, that hold the machines")
    network: Word | None = Field(default=None, description="the network, when there are several")
    behind: Annotated[Behind, BeforeValidator(_behind, json_schema_input_type=_Names | Behind)] | None = (
        Field(default=None, description="the ADC or the balancer of the cloud in front of it")
    )
    names: NamesState | None = Field(default=None, description=_NAMES)
    domain_member: StrictBool | None = Field(default=None, description=_MEMBER)
    service: Word | None = Field(default=None, description=_SERVICE)
    public: Public | None = Field(
        default=None, description="its addresses beyond a NAT, for links `via: public`"
    )
    features: Features = Field(default_factory=dict, description=_FEATURES_OF_AN_END)
    at: PlaceNames = Field(default=(), description=_AT)
    group: GroupOf | None = Field(
        default=None, description="its group, where that has a name of its own or exists already"
    )
    renamed_from: Name | None = Field(
        default=None, description="what it was called in the last run; its group and rules stay"
    )

    @property
    def places(self) -> Places:
        """Where it is; nowhere in particular, that is everywhere, when nothing says so."""
        return tuple(map(place_of, self.at))

    @property
    def prefixes(self) -> tuple[net.Prefix, ...]:
        """The addresses of its machines."""
        return self.subnets


class PrefixListId(Part):
    """A prefix list of AWS. It weighs its maximum on the quota, not what it holds today."""

    id: ListId
    max_entries: StrictInt = Field(ge=1, le=1000)


class External(Part):
    """A peer outside: people, on-premises services. It gets no group, and is given in exactly one way."""

    roles: Roles = Field(description="the catalogue roles of this peer; [] for none")
    addresses: Prefixes | None = Field(default=None, description="IPv4 and IPv6 prefixes")
    prefix_list: PrefixListId | None = Field(default=None, description="an AWS prefix list")
    security_group: GroupId | None = Field(
        default=None, description="an existing AWS security group: sg-... or account/sg-..."
    )
    service_tag: TagName | None = Field(default=None, description="an Azure service tag")
    networks: Words = Field(
        default=(), description="the networks that communicate with it; all when left out"
    )
    domain_member: StrictBool | None = Field(default=None, description=_MEMBER)
    service: Word | None = Field(default=None, description=_SERVICE)
    features: Features = Field(default_factory=dict, description=_FEATURES_OF_AN_END)
    at: PlaceNames = Field(default=(), description=_AT)

    @property
    def places(self) -> Places:
        """Where it is; nowhere in particular, that is everywhere, when nothing says so."""
        return tuple(map(place_of, self.at))

    @property
    def prefixes(self) -> tuple[net.Prefix, ...]:
        """Its addresses; none when it is given in another way."""
        return self.addresses or ()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = (self.addresses, self.prefix_list, self.security_group, self.service_tag)
        if sum(way is not None for way in ways) != 1:
            raise ValueError(
                "an external needs exactly one of `addresses`, `prefix-list`, "
                "`security-group` and `service-tag`"
            )
        return self

    @property
    def is_the_world(self) -> bool:
        """Tell whether nearly anybody is this external, however that is written."""
        return self.service_tag == "Internet" or addresses.is_the_world(self.addresses or ())


class CustomFlow(Justified):
    """A connection of the site's own. Both ends are names of tiers or externals, or roles.

    A destination may be `names` instead: what has only a DNS name is let through as the source says.
    """

    source: Names
    destination: Names = ()
    names: Annotated[
        tuple[DomainName, ...],
        BeforeValidator(listed, json_schema_input_type=_DomainNames),
        AfterValidator(some),
        at_most(limits.EXTERNALS, "names"),
    ] = Field(default=(), description="DNS names in place of a destination; `*.` stands for all below")
    services: Services

    @model_validator(mode="after")
    def _one_destination(self) -> Self:
        if bool(self.destination) == bool(self.names):
            raise ValueError("a flow needs a `destination`, or `names`")
        return self

    @model_validator(mode="after")
    def _with_ports(self) -> Self:
        for service in self.services:
            if not service.ports and service.has_ports:
                raise ValueError(f"a {service.protocol} service needs ports")
        return self


class Exclusion(Justified):
    """A catalogue entry that the site does without, everywhere or between some ends."""

    entry: Text
    source: Names = Field(default=(), description="only from these: tiers, externals or roles")
    destination: Names = Field(default=(), description="only to these: tiers, externals or roles")


class Acceptance(Justified):
    """A finding that the deployment accepts, by its code and subjects; a loss is permitted by it too."""

    finding: Annotated[str, WithJsonSchema({"enum": sorted(ACCEPTABLE)})] = Field(
        description="the code of the finding"
    )
    subject: Subjects = Field(default=(), description="what it is about, such as tiers; all when left out")


class Quotas(Part):
    """What the account's AWS quotas allow. The defaults are those of a new account."""

    rules_per_group: StrictInt = Field(default=60, ge=1, le=1000)
    groups_per_interface: StrictInt = Field(default=5, ge=1, le=16)

    @model_validator(mode="after")
    def _within_product(self) -> Self:
        product = self.rules_per_group * self.groups_per_interface
        if product > 1000:
            raise ValueError(f"rules-per-group x groups-per-interface is {product}; AWS allows at most 1000")
        return self


def front_of(tier: str) -> str:
    """Return what the front of the balancer of a tier is called."""
    return f"front of {tier}"


def _without_roles(value: Any, key: str) -> Any:
    """Expand the short forms: a list of prefixes, and a map that leaves its roles to its name."""
    if not isinstance(value, dict):
        return value
    return {name: _long_form(name, item, key) for name, item in value.items()}


def _long_form(name: str, item: Any, key: str) -> Any:
    if isinstance(item, list | tuple | str):
        return {"roles": [name], key: item}
    if not isinstance(item, dict):
        return item
    # A managed service brings its roles with it.
    return {"roles": [] if item.get("service") is not None else [name], **item}


def _in_short(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data of a deployment with names sorted and in the short forms of the language."""
    short: dict[str, Any] = {}
    for key, value in data.items():
        if key == "networks" and list(value) == ["main"] and value["main"].keys() == {"cloud"}:
            short["cloud"] = value["main"]["cloud"]
        elif key in ("tiers", "external"):
            only = "subnets" if key == "tiers" else "addresses"
            short[key] = {name: _short_form(name, value[name], only) for name in sorted(value)}
        elif key == "flows":
            short[key] = {name: _reason_last(value[name]) for name in sorted(value)}
        elif key in ("links", "exclude", "accept"):
            short[key] = [_reason_last(item) for item in value]
        elif key in ("networks", "sites", "features", "parameters"):
            short[key] = dict(sorted(value.items()))
        else:
            short[key] = value
    return short


def _reason_last(item: dict[str, Any]) -> dict[str, Any]:
    """Tell first what is meant, and then why."""
    why = [key for key in ("reason", "until", "ticket", "owner") if key in item]
    return {
        **{key: value for key, value in item.items() if key not in why},
        **{key: item[key] for key in why},
    }


def _short_form(name: str, item: dict[str, Any], only: str) -> Any:
    """Undo what `_long_form` does, where it would do it again, and sort the features."""
    if "features" in item:
        item = {**item, "features": dict(sorted(item["features"].items()))}
    roles = [] if "service" in item else [name]
    if item["roles"] != roles:
        return item
    left = {key: value for key, value in item.items() if key != "roles"}
    return left[only] if left.keys() == {only} else left


def _changed_paths(before: Deployment, after: Deployment) -> Iterable[DataPath]:
    """Yield the places where two deployments differ: keys, and members of maps."""
    for name in type(before).model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if isinstance(old, dict):
            for member in old.keys() | new.keys():
                if member not in old or member not in new or old[member] != new[member]:
                    yield name, member
        elif old != new:
            yield (name,)


class Deployment(Model):  # noqa: PLW1641 - it holds maps, so it has no hash
    """A deployment: tiers, externals and choices. Build it in Python or `load` it from YAML.

    The constructor takes the keys of the YAML: parts as models or as plain values, prefixes as text, and
    ports as numbers or text such as `6910-6930`. It raises InputError, naming every problem, when something
    does not make sense. Files that a YAML file includes are a part of it. Roles, features, parameters and
    entries are checked against a catalogue when it is compiled.
    """

    name: Word = Field(description="the name of the deployment; group names begin with it")
    renamed_from: Word | None = Field(
        default=None, description="what it was called in the last run; groups keep their names"
    )
    edition: Edition | None = Field(
        default=None, description="the edition of the catalogue and its defaults; the newest when left out"
    )
    citrix_cloud_region: Text | None = Field(
        default=None, description="the region of Citrix Cloud; the names of all regions when left out"
    )
    cloud: Cloud | None = Field(default=None, description="short for one network, `main`, in this cloud")
    networks: Annotated[dict[Word, Network], at_most(limits.NETWORKS, "networks")] = Field(
        default_factory=dict, description="the VPCs and VNets"
    )
    sites: Annotated[dict[Word, Site], at_most(limits.PLACES, "sites")] = Field(
        default_factory=dict, description="sites with their zones, where there are several places"
    )
    links: Annotated[tuple[Link, ...], at_most(limits.LINKS, "links")] = Field(
        default=(), description="what places communicate beyond what entries reach by themselves"
    )
    tiers: Annotated[
        dict[Name, Tier],
        BeforeValidator(lambda v: _without_roles(v, "subnets")),
        at_most(limits.TIERS, "tiers"),
    ] = Field(min_length=1, description="name to subnets, or to roles and subnets")
    external: Annotated[
        dict[Name, External],
        BeforeValidator(lambda v: _without_roles(v, "addresses")),
        at_most(limits.EXTERNALS, "externals"),
    ] = Field(default_factory=dict, description="peers that get no group")
    features: Features = Field(default_factory=dict, description="features on or off")
    parameters: dict[str, PortRanges] = Field(
        default_factory=dict, description="ports that differ from the defaults"
    )
    flows: Annotated[dict[Word, CustomFlow], at_most(limits.FLOWS, "flows")] = Field(
        default_factory=dict, description="flows beside those of the catalogue"
    )
    exclude: Annotated[tuple[Exclusion, ...], at_most(limits.EXCLUSIONS, "exclusions")] = Field(
        default=(), description="catalogue entries to leave out"
    )
    catalogs: Annotated[tuple[Text, ...], at_most(limits.CATALOGS, "catalogue files")] = Field(
        default=(), description="additional catalogue files, relative to this file"
    )
    peers: Literal["group", "cidr"] | None = Field(
        default=None,
        description="how a rule names a tier of its network: by group (default in AWS) or by prefix",
    )
    cidrs: Literal["exact", "stable"] = Field(
        default="exact", description="exact: the fewest rules; stable: prefixes stay as declared"
    )
    egress: Literal["restricted", "open"] = Field(
        default="restricted", description="restricted: only flows of the policy leave a tier"
    )
    names: NamesState = Field(default="listed", description=_NAMES)
    naming: Naming = Field(default_factory=Naming, description="how groups are called in all networks")
    quotas: Quotas = Field(default_factory=Quotas, description="AWS quotas of the account")
    accept: Annotated[tuple[Acceptance, ...], at_most(limits.ACCEPTANCES, "acceptances")] = Field(
        default=(), description="losses to accept: what a cloud cannot express"
    )

    _document: Document | None = PrivateAttr(default=None)
    # What `replace` has changed since: the document has no place for it.
    _replaced: frozenset[DataPath] = PrivateAttr(default=frozenset())

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise InputError(problems_of(type(self), error)) from None
        self._check()

    @classmethod
    def load(cls, path: str | Path) -> Deployment:
        """Read a deployment from a YAML file. Raises InputError with the line of every problem.

        The file may be a link to another one in its folder or below, and to no other.
        """
        path = Path(path)
        if not is_below(path, path.parent):
            message = f"`{clean(str(path), 200)}` is a link that leads out of its folder"
            hint = "name the file that it leads to"
            raise InputError(Problem(code="link", message=message, hint=hint))
        return cls.from_document(document.load(path))

    @classmethod
    def from_document(cls, source: Document) -> Deployment:
        """Return the deployment that a document holds, with the files that it includes.

        Raises InputError with the line of every problem.
        """
        source = with_included(source)
        deployment = cls.__new__(cls)
        try:
            cls.__pydantic_validator__.validate_python(
                source.data, self_instance=deployment, by_alias=True, by_name=False
            )
        except ValidationError as error:
            raise InputError(problems_of(cls, error, source)) from None
        deployment._document = source
        deployment._check()
        return deployment

    def replace(self, **changes: Any) -> Self:
        """Return a checked copy with other values; `changes` are named as in the constructor.

        A map such as `tiers` is replaced as a whole: `replace(tiers={**site.tiers, "sql": ["10.0.4.0/29"]})`.
        `cloud` replaces all networks by one. Raises InputError as the constructor does.

        A copy of a loaded deployment belongs to the same file: `catalogs` are relative to it, and problems
        have the lines of what the change leaves as it is. What was changed has no line, since the file does
        not say it.
        """
        data = {name: getattr(self, name) for name in type(self).model_fields}
        if changes.get("cloud") is not None and "networks" not in changes:
            del data["networks"]
        changed = type(self).__new__(type(self))
        try:
            self.__pydantic_validator__.validate_python(data | changes, self_instance=changed, by_name=True)
        except ValidationError as error:
            raise InputError(problems_of(type(self), error)) from None
        changed._document = self._document
        changed._replaced = self._replaced.union(_changed_paths(self, changed))
        changed._check()
        return changed

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy. With `update` this is `replace`, which checks; pydantic's own does not."""
        copy = super().model_copy(deep=deep)
        return copy.replace(**update) if update else copy

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **_: Any) -> Self:  # type: ignore[override]
        """Refuse to make a deployment that nobody has checked. Raises TypeError."""
        raise TypeError("a deployment is always checked: use `Deployment(...)` or `replace`")

    def _with(self, **changes: Any) -> Self:
        """Return an unchecked copy, for those who change one valid value to another and are in a hurry."""
        return super().model_copy(update=changes)

    def problem(self, code: str, path: DataPath, message: str, hint: str = "") -> Problem:
        """Return a problem at `path`, with its line when this deployment was loaded from a file."""
        return Problem(code=code, message=message, path=path, mark=self.mark(path), hint=hint)

    def mark(self, path: DataPath) -> Mark | None:
        """Return the line of `path`, when this deployment was loaded from a file."""
        if self._document is None or any(path[:depth] in self._replaced for depth in range(len(path) + 1)):
            return None
        return self._document.mark(path)

    def located(self, problem: Problem) -> Problem:
        """Return `problem` with the line of its path, when this deployment was loaded from a file."""
        mark = self.mark(problem.path)
        if self._document is None or mark is None or problem.mark is not None or not problem.path:
            return problem
        if problem.path == ("networks", "main", "cloud") and "cloud" in self._document.data:
            problem = replace(problem, path=("cloud",))
        return replace(problem, mark=self._document.mark(problem.path))

    def __eq__(self, other: object) -> bool:
        # Where a deployment was read from is no part of what it says.
        return isinstance(other, Deployment) and self.__dict__ == other.__dict__

    def to_dict(self) -> dict[str, Any]:
        """Return the deployment as plain values: the keys of the YAML, without what has its default.

        `Deployment(**deployment.to_dict())` is equal to `deployment`.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def to_yaml(self) -> str:
        """Return the text of a file that `load` reads as an equal deployment; equal ones have equal texts.

        Keys of the language come in the order of the model, names in maps (tiers, features ...) sorted, and
        items of lists as declared. Defaults are left out, short forms used where they say the same, and text
        is quoted where some reader of YAML could take it for another value. Comments of a file that was
        loaded are not kept. Paths in `catalogs` are written as they are, relative to the file.
        """
        # Nobody else should pay for YAML.
        from citrix_netpolicy.syntax import yaml  # noqa: PLC0415

        return yaml.dump(_in_short(self.to_dict()))

    @property
    def ends(self) -> dict[str, Tier | External]:
        """Everything a flow may begin or end at, by name: tiers, externals, and fronts of balancers."""
        return {**self.tiers, **self.external, **self.fronts}

    @property
    def fronts(self) -> dict[str, External]:
        """The front addresses of balancers of the cloud; nobody has given them a name."""
        return {
            front_of(name): External(roles=(), addresses=tier.behind.addresses)
            for name, tier in self.tiers.items()
            if tier.behind and tier.behind.addresses
        }

    def keeps_source(self, tier: str) -> bool:
        """Tell whether a tier sees its clients through the balancer in front of it."""
        behind = self.tiers[tier].behind
        if behind and behind.keeps_source is not None:
            return behind.keeps_source
        return self.networks[self.network_of(tier)].cloud == "azure"

    def catalog_files(self) -> tuple[Path, ...]:
        """Return the site's own catalogue files; their paths begin where this was loaded from.

        Raises InputError when a link leads out of that folder.
        """
        folder = Path(self._document.file).parent if self._document else Path()
        files = tuple(folder / name for name in self.catalogs)
        outside = [index for index, file in enumerate(files) if not is_below(file, folder)]
        if outside:
            raise InputError(
                self.problem(
                    "outside",
                    ("catalogs", index),
                    f"{shown(self.catalogs[index])} leads out of the folder of the deployment",
                    "move the file there",
                )
                for index in outside
            )
        return files

    def has_edition(self, since: str) -> bool:
        """Tell whether what came with the edition `since` is part of the edition of this deployment."""
        return self.edition is None or since <= self.edition

    def accepts(self, code: str, subject: str) -> bool:
        """Tell whether a finding about a subject is accepted."""
        return any(item.finding == code and subject in (item.subject or (subject,)) for item in self.accept)

    def names_of(self, tier: str) -> NamesState:
        """Return how what has only a name is let through for a tier."""
        return self.tiers[tier].names or self.names

    def opens_to_names(self, end: str) -> bool:
        """Tell whether a tier may open the ports of named destinations to any address."""
        if end not in self.tiers:
            return False
        names = self.names_of(end)
        return names == "open" or (isinstance(names, Through) and names.through == "firewall")

    def network_of(self, tier: str) -> str:
        """Return the name of the network that holds a tier."""
        return self.tiers[tier].network or next(iter(self.networks))

    def peers_of(self, network: str) -> Literal["group", "cidr"]:
        """Return how rules of a network name its own tiers."""
        of_interfaces = self.attaches_to_interfaces(network)
        return self.peers or ("group" if of_interfaces else "cidr")

    def attaches_to_interfaces(self, network: str) -> bool:
        """Tell whether groups belong to interfaces there, so that tiers may share addresses."""
        found = self.networks[network]
        return found.cloud == "aws" or found.attach == "interfaces"

    @model_validator(mode="before")
    @classmethod
    def _one_network(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("cloud") not in get_args(Cloud):
            return data
        if data.get("networks"):
            raise ValueError("use either `cloud` or `networks`, not both")
        return {**data, "cloud": None, "networks": {"main": {"cloud": data["cloud"]}}}

    def _check(self) -> None:
        problems = [
            *self._network_problems(),
            *self._network_name_problems(),
            *self._catalog_problems(),
            *self._address_problems(),
            *self._external_problems(),
            *self._place_problems(),
            *self._name_problems(),
            *self._behind_problems(),
            *self._exclusion_problems(),
            *self._acceptance_problems(),
            *self._attach_problems(),
            *self._group_problems(),
            *self._renaming_problems(),
            *self._overlaps(),
        ]
        if problems:
            raise InputError(in_order(problems))

    def _network_problems(self) -> Iterator[Problem]:
        if not self.networks:
            hint = "add `cloud: aws`, or `networks` with the cloud of each"
            yield self.problem("network-needed", (), "the deployment has no networks", hint)
            return
        named: list[tuple[DataPath, str]] = []
        for name, tier in self.tiers.items():
            if tier.network is not None:
                named.append((("tiers", name, "network"), tier.network))
            elif len(self.networks) > 1:
                hint = "add `network: " + " | ".join(self.networks) + "`"
                yield self.problem(
                    "network-needed",
                    ("tiers", name),
                    "`network` is required, since the deployment has several networks",
                    hint,
                )
        for name, external in self.external.items():
            for index, network in enumerate(external.networks):
                named.append((("external", name, "networks", index), network))
        for path, network in named:
            if network not in self.networks:
                yield self.problem(
                    "unknown-network",
                    path,
                    f"unknown network `{clean(network)}`",
                    nearest(network, self.networks),
                )

    def _network_name_problems(self) -> Iterator[Problem]:
        """Find names that cannot be those of folders on every machine: each network gets one."""
        first: dict[str, str] = {}
        for name in self.networks:
            other = first.setdefault(name.casefold(), name)
            if other != name:
                message = f"networks `{other}` and `{name}` differ in the case of letters only"
                hint = "some file systems take their folders for one; rename one of them"
                yield self.problem("duplicate-name", ("networks", name), message, hint)
            if name.partition(".")[0].upper() in _DEVICES:
                message = f"`{name}` is the name of a device in Windows, so it cannot be a folder there"
                yield self.problem("invalid-value", ("networks", name), message, "rename the network")

    def _catalog_problems(self) -> Iterator[Problem]:
        listed: set[PurePosixPath] = set()
        for index, name in enumerate(self.catalogs):
            path = PurePosixPath(name.replace("\\", "/"))
            if not is_relative(name) or ".." in path.parts:
                message = f"{shown(name)} is not a path below the folder of the deployment"
                yield self.problem("outside", ("catalogs", index), message, "move the file there")
            elif path in listed:
                yield self.problem("duplicate-value", ("catalogs", index), f"{shown(name)} is listed twice")
            listed.add(path)

    def _address_problems(self) -> Iterator[Problem]:
        whole = sum(
            len(end.subnets if isinstance(end, Tier) else end.addresses or ()) for end in self.ends.values()
        )
        if whole > limits.PREFIXES:
            message = f"{whole:,} prefixes are more than the {limits.PREFIXES:,} that are supported in all"
            yield self.problem("too-many", (), message, "docs/limits.md says what to do")
            return
        for name, tier in self.tiers.items():
            network = self.networks.get(tier.network or next(iter(self.networks), ""))
            for index, prefix in enumerate(tier.subnets):
                message = addresses.subnet_refusal(prefix, network.cloud) if network else ""
                if message:
                    yield self.problem("impossible-address", ("tiers", name, "subnets", index), message)
        for name, external in self.external.items():
            for index, prefix in enumerate(external.addresses or ()):
                message = addresses.external_refusal(prefix)
                if message:
                    yield self.problem("impossible-address", ("external", name, "addresses", index), message)

    def _external_problems(self) -> Iterator[Problem]:
        lists: dict[str, PrefixListId] = {}
        for name, external in self.external.items():
            if name in self.tiers:
                hint = "tiers and externals share one namespace; rename it and list its `roles`"
                yield self.problem("duplicate-name", ("external", name), f"`{name}` is already a tier", hint)
            prefix_list = external.prefix_list
            if prefix_list and lists.setdefault(prefix_list.id, prefix_list) != prefix_list:
                other = lists[prefix_list.id].max_entries
                message = (
                    f"`{prefix_list.id}` has `max-entries` {prefix_list.max_entries} here and {other} before"
                )
                yield self.problem(
                    "contradiction",
                    ("external", name, "prefix-list"),
                    message,
                    "use the maximum of the list itself",
                )

    @property
    def places(self) -> frozenset[Place]:
        """All places that are declared."""
        sites = (Place(site) for site in self.sites)
        zones = (Place(name, zone) for name, site in self.sites.items() for zone in site.zones)
        return frozenset((*sites, *zones))

    def _place_problems(self) -> Iterator[Problem]:
        declared = {str(place) for place in self.places}
        named: list[tuple[DataPath, str]] = []
        for kind, ends in (("tiers", self.tiers), ("external", self.external)):
            for name, end in ends.items():
                named += [((kind, name, "at", index), place) for index, place in enumerate(end.at)]
        for index, link in enumerate(self.links):
            for key, places in (("from", link.from_), ("to", link.to)):
                named += [(("links", index, key, number), place) for number, place in enumerate(places)]
            common = sorted(set(link.from_) & set(link.to))
            if common:
                message = f"{shown(common[0])} is linked to itself"
                hint = "ends of one place meet without a link; name two places"
                yield self.problem("invalid-value", ("links", index), message, hint)
        for path, place in named:
            if place not in declared:
                hint = nearest(place, declared) or "declare it below `sites`"
                yield self.problem("unknown-place", path, f"unknown place {shown(place)}", hint)

    def _behind_problems(self) -> Iterator[Problem]:
        for name, tier in self.tiers.items():
            if tier.behind and tier.behind.addresses and front_of(name) in {*self.tiers, *self.external}:
                message = f"`{clean(front_of(name))}` is what the front of its balancer is called"
                yield self.problem("duplicate-name", ("tiers", name, "behind"), message, "rename the other")
            for index, end in enumerate(tier.behind.end if tier.behind else ()):
                path: DataPath = ("tiers", name, "behind", "end", index)
                if end == name:
                    yield self.problem("invalid-value", path, f"`{clean(name)}` is behind itself")
                elif end not in self.ends:
                    message = f"unknown tier or external `{clean(end)}`"
                    yield self.problem("unknown-end", path, message, nearest(end, self.ends))

    def _exclusion_problems(self) -> Iterator[Problem]:
        excluded: set[tuple[str, Names, Names]] = set()
        for index, exclusion in enumerate(self.exclude):
            what = (exclusion.entry, exclusion.source, exclusion.destination)
            if what in excluded:
                message = f"{shown(exclusion.entry)} is excluded twice"
                yield self.problem("duplicate-value", ("exclude", index), message, "remove one of them")
            excluded.add(what)

    def _acceptance_problems(self) -> Iterator[Problem]:
        for index, acceptance in enumerate(self.accept):
            path: DataPath = ("accept", index)
            if acceptance.finding not in ACCEPTABLE:
                message = f"{shown(acceptance.finding)} is not a finding that can be accepted"
                hint = nearest(acceptance.finding, ACCEPTABLE) or "docs/codes.md has all"
                yield self.problem("unknown-finding", (*path, "finding"), message, hint)
            if acceptance.finding in LOSSES:
                if not acceptance.subject:
                    message = "`subject` is missing: a loss is accepted for tiers that are named"
                    yield self.problem("missing-key", path, message)
                for number, tier in enumerate(acceptance.subject):
                    if tier not in self.tiers:
                        where = (*path, "subject", number)
                        message = f"unknown tier `{clean(tier)}`"
                        yield self.problem("unknown-tier", where, message, nearest(tier, self.tiers))

    def _name_problems(self) -> Iterator[Problem]:
        places: list[tuple[DataPath, NamesState | None]] = [(("names",), self.names)]
        places += [(("tiers", name, "names"), tier.names) for name, tier in self.tiers.items()]
        for path, names in places:
            if isinstance(names, Through) and names.end is not None and names.end not in self.ends:
                message = f"unknown tier or external `{clean(names.end)}`"
                yield self.problem("unknown-end", (*path, "end"), message, nearest(names.end, self.ends))

    def _attach_problems(self) -> Iterator[Problem]:
        for name, network in self.networks.items():
            if network.attach == "interfaces" and network.cloud != "azure":
                message = "`attach` works in Azure only; security groups of AWS always belong to interfaces"
                yield self.problem("wrong-cloud", ("networks", name, "attach"), message, "leave it out")

            if network.aws_provider is not None and network.cloud != "aws":
                path: DataPath = ("networks", name, "aws-provider")
                yield self.problem("wrong-cloud", path, "`aws-provider` is for AWS", "leave it out")
            if network.exclusive and network.aws_provider != 6:
                message = "only version 6 of the AWS provider knows the rules of a group as a whole"
                hint = "add `aws-provider: 6`, or leave it out"
                yield self.problem("contradiction", ("networks", name, "exclusive"), message, hint)

    def _group_problems(self) -> Iterator[Problem]:
        """Find groups that cannot be those of their tiers."""
        taken: dict[tuple[str, str], str] = {}
        for name, tier in self.tiers.items():
            network = self.networks.get(tier.network or next(iter(self.networks), ""))
            group = tier.group
            if group is None or network is None:
                continue
            key, value = ("id", group.id) if group.id is not None else ("name", group.name or "")
            path: DataPath = ("tiers", name, "group", key)
            where = "" if key == "id" else tier.network or ""
            other = taken.setdefault((where, value.lower()), name)
            if other != name:
                message = f"tiers `{clean(other)}` and `{clean(name)}` have one group"
                hint = "give each its own, or make them one tier with the roles of both"
                yield self.problem("duplicate-value", path, message, hint)
            if key == "id" and network.cloud == "azure":
                message = "in Azure a group and its rules are one resource, which this module owns"
                hint = "give the `name` of the group and import it; docs/platforms.md says how"
                yield self.problem("wrong-cloud", path, message, hint)
            elif key == "id" and not re.fullmatch("sg-[0-9a-f]{8,17}", value):
                message = f"{shown(value)} is not the id of a security group such as sg-0123456789abcdef0"
                yield self.problem("invalid-value", path, message)

    def _renaming_problems(self) -> Iterator[Problem]:
        """Find tiers that cannot have been called what they say."""
        first: dict[str, str] = {}
        for name, tier in self.tiers.items():
            old = tier.renamed_from
            path: DataPath = ("tiers", name, "renamed-from")
            if old is None:
                continue
            if old in self.tiers:
                message = f"`{clean(name)}` cannot be tier `{clean(old)}` renamed, which is still there"
                hint = "rename one tier at a time: compile, and apply what that gives, in between"
                yield self.problem("contradiction", path, message, hint)
            elif first.setdefault(old, name) != name:
                message = f"`{clean(first[old])}` was tier `{clean(old)}` already"
                yield self.problem("duplicate-value", path, message, "a tier has one successor")
        if self.renamed_from == self.name:
            message = f"{shown(self.name)} is the name that the deployment has now"
            yield self.problem("contradiction", ("renamed-from",), message, "leave it out")

    def _overlaps(self) -> Iterator[Problem]:
        """Find subnets that are listed twice, or that two tiers share where a subnet has one group."""
        by_network: dict[str, list[tuple[net.Prefix, str, int]]] = {}
        for name, tier in self.tiers.items():
            network = tier.network or next(iter(self.networks), "")
            subnets = by_network.setdefault(network, [])
            subnets += [(prefix, name, index) for index, prefix in enumerate(tier.subnets)]
        for network, placed in by_network.items():
            is_shared = network in self.networks and self.attaches_to_interfaces(network)
            # Prefixes are nested or apart, and a wider one sorts first, so a prefix overlaps another exactly
            # when it lies in one of those still open before it.
            still_open: list[tuple[net.Prefix, str, int]] = []
            for item in sorted(placed):
                still_open = [other for other in still_open if other[0].overlaps(item[0])]
                place: DataPath = ("tiers", item[1], "subnets", item[2])
                is_repeated = False
                for prefix, other, _ in still_open:
                    if (prefix, other) == item[:2]:
                        yield self.problem("duplicate-value", place, f"`{item[0]}` is listed twice")
                        is_repeated = True
                        break
                    if other != item[1] and not is_shared:
                        message = f"`{item[0]}` overlaps `{prefix}` of tier `{other}`"
                        hint = "in Azure a subnet has one group: make them one tier with all the roles, or "
                        hint += "set `attach: interfaces` on the network"
                        yield self.problem("overlap", place, message, hint)
                        break
                if not is_repeated:
                    still_open.append(item)
