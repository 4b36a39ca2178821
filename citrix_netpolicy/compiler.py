"""Compile: a deployment and a catalogue become a policy of the fewest rules, with its findings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.lint import lint
from citrix_netpolicy.minimize import minimize
from citrix_netpolicy.policy import policy_of
from citrix_netpolicy.resolve import resolve

if TYPE_CHECKING:
    from citrix_netpolicy.inputs.catalog import Catalog
    from citrix_netpolicy.inputs.deployment import Deployment
    from citrix_netpolicy.policy import Policy

__all__ = ["compile_deployment"]


def compile_deployment(deployment: Deployment, catalog: Catalog | None = None) -> Policy:
    """Return the policy of a deployment: for every tier, the fewest rules that permit exactly its flows.

    `catalog` is the shipped one, with the files that the deployment adds, unless given. Raises InputError
    when the deployment uses a word that the catalogue lacks, or adds a file that does not fit.
    """
    if catalog is None:
        catalog = load_catalog(*deployment.catalog_files())
    policy = minimize(policy_of(deployment, resolve(deployment, catalog)), deployment.cidrs)
    return replace(policy, findings=lint(deployment, catalog, policy))
