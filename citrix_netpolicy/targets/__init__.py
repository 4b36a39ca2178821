"""Targets: the spellings of a policy. A target is one module and one line in `TARGETS`.

A target turns the part of a policy that lies in one network into a folder of files, and reads such a folder
back. What the cloud of the network cannot hold raises TargetError; nothing is ever left out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from citrix_netpolicy.errors import InputError, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from citrix_netpolicy.policy import Group, Policy

__all__ = ["TARGETS", "Target", "keeps", "notes", "read", "write"]

# Each target, and the module that spells it for a cloud. Modules load when used: some of them cost a lot.
TARGETS: Final[dict[str, dict[str, str]]] = {
    "aws": {"aws": "aws.groups"},
    "azure": {"azure": "azure.arm_json"},
    "bicep": {"azure": "azure.bicep"},
    "terraform": {"aws": "aws.terraform", "azure": "azure.terraform"},
}


class Target(Protocol):
    """What a module of this package offers."""

    # Files that the next generation wants to see again, since something in them must not move.
    KEEPS: tuple[str, ...]

    def write(self, policy: Policy, previous: Mapping[str, str]) -> dict[str, str]:
        """Return the files of a policy in one network: relative path to text."""

    def notes(self, policy: Policy, previous: Mapping[str, str]) -> list[str]:
        """Return what people should know of the files, above all what the cloud cannot say."""

    def read(self, files: Mapping[str, str]) -> tuple[Group, ...]:
        """Return the groups that such files describe."""


def write(
    policy: Policy, target: str, network: str | None = None, previous: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the files of `target` for one network: relative path with `/` to text.

    `network` may be left out when the policy has one. `previous` holds what is there of the files that
    `keeps` names. Raises InputError when the target or the network is not known, or the target does not speak
    of the network's cloud; TargetError when the cloud cannot hold the policy.
    """
    part, module = _part(policy, target, network)
    return module.write(part, previous or {})


def notes(
    policy: Policy, target: str, network: str | None = None, previous: Mapping[str, str] | None = None
) -> list[str]:
    """Return what people should know of what `write` returns for the same arguments."""
    part, module = _part(policy, target, network)
    return module.notes(part, previous or {})


def keeps(policy: Policy, target: str, network: str | None = None) -> tuple[str, ...]:
    """Return the files of the last generation that `write` wants to see again."""
    return _part(policy, target, network)[1].KEEPS


def read(files: Mapping[str, str], target: str, cloud: str) -> tuple[Group, ...]:
    """Return the groups that the files of `target` describe. Raises InputError when they are not its own."""
    return _load(target, cloud, "").read(files)


def _part(policy: Policy, target: str, network: str | None) -> tuple[Policy, Target]:
    name = _network(policy, network)
    return policy.in_network(name), _load(target, policy.networks[name].cloud, name)


def _network(policy: Policy, network: str | None) -> str:
    if network in policy.networks:
        return network
    if network is not None:
        hint = nearest(network, policy.networks)
        raise InputError(Problem(code="unknown-network", message=f"unknown network `{network}`", hint=hint))
    if len(policy.networks) > 1:
        hint = "one of " + ", ".join(f"`{name}`" for name in policy.networks)
        raise InputError(
            Problem(code="network-needed", message="the policy has several networks; name one", hint=hint)
        )
    return next(iter(policy.networks))


def _load(target: str, cloud: str, network: str) -> Target:
    if target not in TARGETS:
        raise InputError(
            Problem(
                code="unknown-target", message=f"unknown target `{target}`", hint=nearest(target, TARGETS)
            )
        )
    if cloud not in TARGETS[target]:
        fitting = [name for name, clouds in TARGETS.items() if cloud in clouds]
        hint = f"targets for {cloud}: {', '.join(fitting) or 'none yet'}"
        place = ("networks", network, "cloud") if network else ()
        message = f"target `{target}` does not speak of the cloud `{cloud}`"
        raise InputError(Problem(code="target-without-cloud", message=message, path=place, hint=hint))
    module: Target = import_module(f"citrix_netpolicy.targets.{TARGETS[target][cloud]}")
    return module
