"""Where ends are, and whether they are near enough for an entry.

A site has one database, and its zones are its locations, as Citrix calls them. An end is at a site, in one of
its zones, at several places, or, without any place, everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["Place", "Places", "Reach", "holds", "is_near", "nearest_of", "place_of"]

Reach = Literal["tier", "zone", "home", "site", "nearest", "anywhere"]


class Place(NamedTuple):
    """A site, or with `zone` a zone of it."""

    site: str
    zone: str = ""

    def __str__(self) -> str:
        return f"{self.site}/{self.zone}" if self.zone else self.site


# Those of one end; none is everywhere.
Places = tuple[Place, ...]


def place_of(text: str) -> Place:
    """Read `site` or `site/zone`."""
    site, _, zone = text.partition("/")
    return Place(site, zone)


def holds(place: Place, other: Place) -> bool:
    """Tell whether a place is another one, or the site of it."""
    return place in (other, Place(other.site))


def is_near(reach: Reach, ones: Places, others: Places, primaries: Mapping[str, str | None]) -> bool:
    """Tell whether two ends are near enough for a reach of `zone`, `home` or `site`.

    `primaries` maps sites to their primary zones. A less exact place holds all that is below it.
    """
    if not ones or not others:
        return True
    return any(_is_near(reach, one, other, primaries) for one in ones for other in others)


def _is_near(reach: Reach, one: Place, other: Place, primaries: Mapping[str, str | None]) -> bool:
    if one.site != other.site:
        return False
    if reach == "site" or holds(one, other) or holds(other, one):
        return True
    return reach == "home" and primaries.get(one.site) in (one.zone, other.zone)


def nearest_of(
    ones: Places, others: Mapping[str, Places], primaries: Mapping[str, str | None]
) -> Collection[str]:
    """Return which of the others an end goes to: of its zone, else of its site, else without place.

    Those of its site are those at the site itself or in its primary zone: no zone goes to another one beside
    it. An end that is everywhere goes to all of them.
    """
    if not ones:
        return others.keys()
    found: set[str] = set()
    for one in ones:
        same = {name for name, places in others.items() if one in places}
        above = [Place(one.site), Place(one.site, primaries.get(one.site) or "")]
        if one.zone:
            beside = {name for name, places in others.items() if any(place in above for place in places)}
        else:
            beside = {name for name, places in others.items() if any(holds(one, place) for place in places)}
        found |= (same if one.zone else set()) or beside or {name for name in others if not others[name]}
    return found
