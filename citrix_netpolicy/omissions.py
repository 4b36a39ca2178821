"""Why an entry of the catalogue, or a flow of the deployment's own, gave no flow.

These are data: `str` says them to people, and nothing reads what it says. `entry` is the id of a cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

__all__ = [
    "OMISSIONS",
    "Distant",
    "Excluded",
    "FeatureOff",
    "Fronted",
    "NamesShut",
    "Needless",
    "NewerEdition",
    "NoCommonFamily",
    "NotBalanced",
    "NotForTheInternet",
    "Omission",
    "ParameterUnset",
    "RoleMissing",
    "Treated",
    "omission_order",
]


@dataclass(frozen=True, slots=True)
class FeatureOff:
    """The entry, or a service of it, wants a feature in the other state; `state` is what the feature has.

    It names two ends where it is one of them that says so.
    """

    entry: str
    feature: str
    state: bool
    source: str = ""
    destination: str = ""

    def __str__(self) -> str:
        return f"feature `{self.feature}` is {'on' if self.state else 'off'}" + _between(self)


@dataclass(frozen=True, slots=True)
class RoleMissing:
    """No tier and no external has one of these roles.

    `waiting` tells whether the other end is there, so that somebody does wait for the role.
    """

    entry: str
    roles: tuple[str, ...]
    waiting: bool = False

    def __str__(self) -> str:
        return f"no tier or external provides role {' or '.join(f'`{role}`' for role in self.roles)}"


@dataclass(frozen=True, slots=True)
class ParameterUnset:
    """The entry, or a service of it, has no ports until this parameter is set."""

    entry: str
    parameter: str

    def __str__(self) -> str:
        return f"parameter `{self.parameter}` is not set"


@dataclass(frozen=True, slots=True)
class Excluded:
    """The deployment does without the entry, everywhere or between two ends, for this reason."""

    entry: str
    reason: str
    source: str = ""
    destination: str = ""

    def __str__(self) -> str:
        return f"excluded by the deployment{_between(self)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class NotForTheInternet:
    """One of the ends is open to the world, and neither the catalogue nor that end wants the entry there."""

    entry: str
    source: str
    destination: str
    world: str

    def __str__(self) -> str:
        return f"`{self.world}` is open to the world, and this is not meant for the Internet" + _between(self)


@dataclass(frozen=True, slots=True)
class Treated:
    """The catalogue does not enforce the entry; `same_as` is set where it says another one again."""

    entry: str
    treatment: str
    reason: str
    same_as: str | None = None

    def __str__(self) -> str:
        if self.same_as:
            return f"duplicate of `{self.same_as}`"
        return f"{self.treatment}: {self.reason}"


@dataclass(frozen=True, slots=True)
class NoCommonFamily:
    """Two ends share no address family, or none that has the services."""

    entry: str
    source: str
    destination: str
    services: str = ""

    def __str__(self) -> str:
        lacking = f" with {self.services}" if self.services else ""
        return f"`{self.source}` and `{self.destination}` share no address family{lacking}"


@dataclass(frozen=True, slots=True)
class Needless:
    """No rule is wanted between two ends: both are outside, they are one host, or one is no peer here."""

    entry: str
    source: str
    destination: str
    why: Literal["outside", "one-host", "other-network"]

    def __str__(self) -> str:
        ends = f"`{self.source}` and `{self.destination}`"
        match self.why:
            case "outside":
                return f"{ends} are both outside the networks"
            case "one-host":
                return f"both ends are the single host of tier `{self.source}`"
            case "other-network":
                return f"{ends} are in networks that do not communicate"


@dataclass(frozen=True, slots=True)
class NewerEdition:
    """The entry came with a later edition of the catalogue than the deployment asks for."""

    entry: str
    since: str

    def __str__(self) -> str:
        return f"came with edition {self.since}"


@dataclass(frozen=True, slots=True)
class Distant:
    """The ends are in places that do not meet for an entry of this reach, and no link joins them for it."""

    entry: str
    source: str
    destination: str
    reach: str

    def __str__(self) -> str:
        if self.reach == "tier":
            return f"`{self.source}` and `{self.destination}` are two tiers, and this stays within one"
        if self.reach == "nearest":
            return f"`{self.destination}` is not what is nearest to `{self.source}`"
        return f"`{self.source}` and `{self.destination}` are in places that do not meet ({self.reach})"


@dataclass(frozen=True, slots=True)
class Fronted:
    """The destination is behind something, so its clients do not reach it themselves."""

    entry: str
    source: str
    destination: str

    def __str__(self) -> str:
        return f"`{self.source}` reaches `{self.destination}` through what it is behind"


@dataclass(frozen=True, slots=True)
class NamesShut:
    """A flow of the deployment's own goes to names, and nothing lets its source through to them."""

    entry: str
    source: str

    def __str__(self) -> str:
        return f"the group of `{self.source}` stays shut to names; say with `names` what lets them through"


@dataclass(frozen=True, slots=True)
class NotBalanced:
    """The entry is one of an ADC that balances, and none stands in front of the destination."""

    entry: str
    source: str
    destination: str

    def __str__(self) -> str:
        return f"`{self.destination}` is not behind `{self.source}`"


def _between(omission: FeatureOff | Excluded | NotForTheInternet) -> str:
    ends = (omission.source, omission.destination)
    return f" between `{ends[0]}` and `{ends[1]}`" if all(ends) else f" for `{ends[0]}`" if ends[0] else ""


Omission = (
    FeatureOff
    | RoleMissing
    | ParameterUnset
    | Excluded
    | Treated
    | NotForTheInternet
    | Distant
    | Fronted
    | NotBalanced
    | NamesShut
    | NoCommonFamily
    | Needless
    | NewerEdition
)
# A name below the union's own says its parts to `isinstance` and to tests.
OMISSIONS: Final[tuple[type[Omission], ...]] = get_args(Omission)


def omission_order(omission: Omission) -> tuple[object, ...]:
    """Sort omissions by entry, then by kind, then by what they say."""
    kind = type(omission)
    return (omission.entry, OMISSIONS.index(kind), [getattr(omission, name) for name in kind.__slots__])
