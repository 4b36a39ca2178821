"""Lint: what compiles without fault, and yet is probably not what was meant.

A check takes a deployment as resolved and compiled and yields findings. `CHECKS` is the order of their
findings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from citrix_netpolicy.lint.compiled import Compiled
from citrix_netpolicy.lint.exposure import (
    addresses_of_another_family,
    destinations_by_name,
    groups_of_others,
    not_for_the_internet,
    open_to_the_world,
    shared_addresses,
)
from citrix_netpolicy.lint.idle import (
    expired,
    idle_acceptances,
    idle_exclusions,
    idle_features,
    idle_flows,
    idle_parameters,
    lonely_externals,
    lonely_tiers,
)
from citrix_netpolicy.lint.places import dark_places, links, pairs_in_two_tiers, places_of_one
from citrix_netpolicy.lint.working import (
    consoles_without_administrators,
    found_ports,
    idle_roles,
    no_directory,
    pairs_without_balancer,
    port_collisions,
    unserved_roles,
    unset_parameters,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from citrix_netpolicy.findings import Finding
    from citrix_netpolicy.inputs.catalog import Catalog
    from citrix_netpolicy.inputs.deployment import Deployment
    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.resolve import Resolution

__all__ = ["CHECKS", "Findings", "lint"]

CHECKS: Final[tuple[Callable[[Compiled], Iterator[Finding]], ...]] = (
    no_directory,
    open_to_the_world,
    groups_of_others,
    not_for_the_internet,
    addresses_of_another_family,
    destinations_by_name,
    shared_addresses,
    unserved_roles,
    dark_places,
    pairs_in_two_tiers,
    places_of_one,
    links,
    idle_roles,
    found_ports,
    unset_parameters,
    consoles_without_administrators,
    pairs_without_balancer,
    port_collisions,
    idle_features,
    idle_parameters,
    idle_exclusions,
    idle_flows,
    expired,
    lonely_tiers,
    lonely_externals,
)


class Findings(NamedTuple):
    """What the checks found: what people should look at, and what the deployment accepts."""

    open: tuple[Finding, ...]
    accepted: tuple[Finding, ...]


def lint(
    deployment: Deployment,
    catalog: Catalog,
    resolution: Resolution,
    policy: Policy,
    today: date | None = None,
) -> Findings:
    """Return the findings on a compiled deployment, check by check.

    Checks of dates need `today`, and find nothing without it.
    """
    compiled = Compiled(deployment, catalog, resolution, policy, today)
    found = [finding for check in CHECKS for finding in check(compiled)]
    found += idle_acceptances(compiled, found)
    accepted = tuple(finding for finding in found if deployment.accepts(finding.code, finding.subject))
    return Findings(tuple(finding for finding in found if finding not in accepted), accepted)
