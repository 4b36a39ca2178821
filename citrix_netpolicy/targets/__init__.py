"""Targets: the spellings of a policy. A target is a module for each cloud that it knows, named in `TARGETS`.

A target turns the groups of one network into a folder of files. What the cloud cannot hold raises
TargetError, and so does what it cannot say, unless the deployment accepts that loss by name; nothing is left
out in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from citrix_netpolicy.errors import InputError, Problem, nearest
from citrix_netpolicy.identities import Identities

if TYPE_CHECKING:
    from citrix_netpolicy.findings import Finding
    from citrix_netpolicy.policy import Policy

__all__ = ["TARGETS", "Options", "Output", "Target", "load_target"]

# Each target, and the module that spells it for a cloud. Modules load when used: some of them cost a lot.
TARGETS: Final[dict[str, dict[str, str]]] = {
    "aws": {"aws": "aws.ec2_json"},
    "azure": {"azure": "azure.arm_json"},
    "bicep": {"azure": "azure.bicep"},
    "terraform": {"aws": "aws.terraform", "azure": "azure.terraform"},
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a target needs to know beside the policy.

    `deployment` is the name that the names of groups begin with, `network` that of the network. The quotas
    are those of an AWS account. `accepted` holds the losses that the deployment accepts, as code and tier.
    """

    deployment: str
    network: str
    rules_per_group: int = 60
    groups_per_interface: int = 5
    bicep_api_version: str = "2025-05-01"
    accepted: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Output:
    """What a target makes of the groups of one network.

    `files` maps relative paths with `/` to texts. `counts` says how many rules each tier has, as the cloud
    counts them, and `lower_bound` the proven least of all. `findings` tell what people should know, above all
    accepted losses, and `identities` what the next run must not move.
    """

    files: dict[str, str]
    counts: dict[str, int]
    lower_bound: int
    findings: tuple[Finding, ...] = ()
    identities: Identities = field(default_factory=Identities)

    @property
    def rules(self) -> int:
        """How many rules all groups have together, as the cloud counts them."""
        return sum(self.counts.values())


class Target(Protocol):
    """What a module of this package offers."""

    def render(self, policy: Policy, options: Options, identities: Identities) -> Output:
        """Return the files of a policy in one network, and all there is to say of them."""


def load_target(name: str, cloud: str, network: str = "") -> Target:
    """Return the module that spells a target for a cloud.

    Raises InputError when there is no such target, or it does not support the cloud, which is that of
    `network`.
    """
    if name not in TARGETS:
        hint = nearest(name, TARGETS)
        raise InputError(Problem(code="unknown-target", message=f"unknown target `{name}`", hint=hint))
    if cloud not in TARGETS[name]:
        fitting = [other for other, clouds in TARGETS.items() if cloud in clouds]
        hint = f"targets for {cloud}: {', '.join(fitting)}"
        path = ("networks", network, "cloud") if network else ()
        message = f"target `{name}` does not support cloud `{cloud}`"
        raise InputError(Problem(code="target-without-cloud", message=message, path=path, hint=hint))
    module: Target = import_module(f"citrix_netpolicy.targets.{TARGETS[name][cloud]}")
    return module
