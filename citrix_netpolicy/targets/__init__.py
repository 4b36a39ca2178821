"""Targets: the spellings of a policy. A target is a module for each cloud that it knows, named in `TARGETS`.

A target turns the groups of one network into a folder of files. What the cloud cannot hold raises
TargetError, and so does what it cannot say, unless the deployment accepts that loss by name; nothing is left
out in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal, Protocol

from citrix_netpolicy import limits
from citrix_netpolicy.ends import Ends
from citrix_netpolicy.errors import InputError, Problem, nearest
from citrix_netpolicy.identities import Identities
from citrix_netpolicy.naming import Names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from citrix_netpolicy.findings import Finding
    from citrix_netpolicy.policy import Policy

__all__ = [
    "TARGETS",
    "Certificate",
    "Options",
    "Output",
    "RuleCount",
    "Target",
    "load_target",
    "rules_in_excess",
]

# Why there cannot be fewer rules, from the plainest proof to none: every rule is a maximal prefix with a
# maximal service, of which each takes a rule (`minimize`); no two of as many pairs of a peer and a port fit
# into one rule, or a search found that one rule fewer does not do (`cover`).
Certificate = Literal["maximal pairs", "fooling set", "search", "none"]

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
    `exclusive` says whether rules made by hand are revoked, where the provider can.
    `attach` says what groups of Azure are attached to, `ends` who stands behind prefixes, and `names` what
    groups are called. Tiers are known by their keys.
    """

    deployment: str
    network: str
    rules_per_group: int = 60
    groups_per_interface: int = 5
    bicep_api_version: str = "2025-05-01"
    attach: Literal["subnets", "interfaces"] = "subnets"
    accepted: frozenset[tuple[str, str]] = frozenset()
    ends: Ends = field(default_factory=Ends)
    aws_provider: Literal[5, 6] | None = None
    exclusive: bool = True
    names: Names = field(default_factory=Names)

    def group_name(self, cloud: Literal["aws", "azure"], tier: str) -> str:
        """Return what the group of a tier is called, or what its name begins with in AWS."""
        derived = self.names.derived(cloud, self.deployment, self.network, tier)
        return self.names.groups.get(tier) or derived

    def asg_name(self, tier: str) -> str:
        """Return what the application security group of a tier is called."""
        derived = self.names.derived("asg", self.deployment, self.network, tier)
        return self.names.asgs.get(tier) or derived


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many rules one tier has, as the cloud counts them, and the proof that fewer cannot do.

    No rules of this cloud permit the same and are fewer than `lower_bound`; `certificate` is why. It is
    `none` when the rules are more than that.
    """

    rules: int
    lower_bound: int
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Output:
    """What a target makes of the groups of one network.

    `files` maps relative paths with `/` to texts, and `tiers` each tier to the number of its rules.
    `findings` tell what people should know, above all accepted losses, and `identities` what the next run
    must not move.
    """

    files: dict[str, str]
    tiers: Mapping[str, RuleCount]
    findings: tuple[Finding, ...] = ()
    identities: Identities = field(default_factory=Identities)

    @property
    def rules(self) -> int:
        """How many rules all groups have together, as the cloud counts them."""
        return sum(count.rules for count in self.tiers.values())

    @property
    def lower_bound(self) -> int:
        """The proven least number of rules that all groups have together."""
        return sum(count.lower_bound for count in self.tiers.values())


class Target(Protocol):
    """What a module of this package offers."""

    def render(self, policy: Policy, options: Options, identities: Identities) -> Output:
        """Return the files of a policy in one network, and all there is to say of them."""


def rules_in_excess(count: int) -> Iterator[Problem]:
    """Yield a problem where a network has more rules than are written in one run."""
    if count > limits.RULES:
        message = f"the network needs {count:,} rules; at most {limits.RULES:,} are supported"
        hint = "describe parts of the site in deployments of their own"
        yield Problem(code="too-many", message=message, hint=hint)


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
