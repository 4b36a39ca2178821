"""A compiled deployment as the checks look at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from citrix_netpolicy.errors import InputError
from citrix_netpolicy.meeting import Meetings, features_of, is_one_host
from citrix_netpolicy.resolve import resolve_entries

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import date

    from citrix_netpolicy.errors import Mark
    from citrix_netpolicy.inputs.catalog import Catalog, Entry
    from citrix_netpolicy.inputs.deployment import Deployment
    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.resolve import Flow, Resolution

__all__ = ["Compiled"]


@dataclass(frozen=True)
class Compiled:
    """A deployment, the catalogue it was compiled with, what came of them, and the day where it matters."""

    deployment: Deployment
    catalog: Catalog
    resolution: Resolution
    policy: Policy
    today: date | None = None

    def at(self, *path: str | int) -> tuple[Mark, ...]:
        """Return the line of the deployment that `path` leads to, where it came from a file."""
        mark = self.deployment.mark(path)
        return (mark,) if mark else ()

    def network_of(self, end: str) -> str:
        """Return the network of a tier, and nothing for an external."""
        return self.deployment.network_of(end) if end in self.deployment.tiers else ""

    def holders(self, role: str) -> tuple[Mark, ...]:
        """Return the lines of the tiers and externals that have a role."""
        return tuple(
            mark
            for name in self.meetings.ends_of
            if role in self.meetings.ends_of[name].roles
            for mark in self.at("tiers" if name in self.deployment.tiers else "external", name)
        )

    @cached_property
    def meetings(self) -> Meetings:
        """The ends, held against each other."""
        return Meetings(self.deployment, self.catalog)

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The entries of the catalogue, by id."""
        return {entry.id: entry for entry in self.catalog.entries}

    @cached_property
    def roles(self) -> frozenset[str]:
        """The roles that somebody has."""
        return frozenset(role for end in self.deployment.ends.values() for role in end.roles)

    def holders_of(self, roles: Iterable[str]) -> list[str]:
        """Return the tiers and externals that have one of some roles."""
        return self.meetings.ends(roles)[0]

    def is_one_host(self, end: str) -> bool:
        """Tell whether an end is a tier of a single machine."""
        tier = self.deployment.tiers.get(end)
        return tier is not None and is_one_host(tier)

    @cached_property
    def members(self) -> frozenset[str]:
        """The ends that are Windows members of a domain."""
        wildcards = [role for role, known in self.catalog.roles.items() if known.domain_members]
        return frozenset(self.holders_of(wildcards))

    @cached_property
    def features(self) -> dict[str, bool]:
        """Every feature of the catalogue, on or off in this site."""
        return self.meetings.states

    def is_unmoved_by(self, entries: Collection[str], **changes: object) -> bool:
        """Tell whether other features or parameters come to the same flows of the entries that they touch."""
        try:
            resolution = resolve_entries(self.deployment._with(**changes), self.catalog, entries)
        except InputError:
            # Another feature needs or excludes this one, so it does have an effect.
            return False
        flows = [flow for entry in sorted(entries) for flow in self.flows_of.get(entry, ())]
        named = [item for item in self.resolution.named if item.cause.id in entries]
        found = [flow for flow in resolution.flows if flow.cause.id in entries]
        return (found, [*resolution.named]) == (flows, named)

    @cached_property
    def flows_of(self) -> dict[str, list[Flow]]:
        """The flows of each cause."""
        found: dict[str, list[Flow]] = {}
        for flow in self.resolution.flows:
            found.setdefault(flow.cause.id, []).append(flow)
        return found

    @cached_property
    def touched_by(self) -> dict[str, set[str]]:
        """The entries that depend on each feature."""
        touched: dict[str, set[str]] = {}
        standing_in = [
            role.stands_in_for.feature for role in self.catalog.roles.values() if role.stands_in_for
        ]
        for entry in self.catalog.entries:
            for feature in (*features_of(entry), *(standing_in if entry.stand_in else ())):
                touched.setdefault(feature, set()).add(entry.id)
        return touched
