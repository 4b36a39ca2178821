"""What the last run called the tiers of a network, and its groups, carried over to what they are called now.

A tier has a key, which is the name that it had first. Keys of resources and names of groups are made of it,
so a tier that is renamed is the same to Terraform, Bicep and the cloud. Targets know tiers by their keys.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from citrix_netpolicy.errors import InputError, clean
from citrix_netpolicy.findings import Finding, Severity
from citrix_netpolicy.grants import Grant, Grants, SpelledOut, grants_of
from citrix_netpolicy.minimize import minimize
from citrix_netpolicy.naming import Names
from citrix_netpolicy.policy import Direction, Group, GroupKey, GroupReference, Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from citrix_netpolicy.compiler import Compilation
    from citrix_netpolicy.errors import Problem
    from citrix_netpolicy.identities import Identities, LastRun, TierIdentity
    from citrix_netpolicy.inputs.deployment import Deployment

__all__ = ["Succession", "keyed_policy", "succeed"]


@dataclass(frozen=True, slots=True)
class Succession:
    """What the tiers of one network are called: `keys` by tier, and `names` of groups by key.

    `identities` are by key as well. `findings` tell what happens to groups that live.
    """

    keys: Mapping[str, str]
    identities: Identities
    names: Names
    findings: tuple[Finding, ...] = ()

    def by_tier(self, identities: Identities) -> Identities:
        """Return identities by the names of tiers, as a file keeps them."""
        kept = {
            tier: replace(identities.tier(key), key=key if key != tier else "")
            for tier, key in self.keys.items()
        }
        return replace(identities, tiers=kept)


def succeed(
    deployment: Deployment,
    network: str,
    kept: Identities,
    was: str | None,
    last: Callable[[], LastRun | None],
) -> Succession:
    """Return what the tiers of a network are called after a run that left `kept`.

    `was` is the name that the deployment had in the last run, or None without one; `last` reads that run, and
    may be slow. Raises InputError where two tiers would have one key, or a group another name than it has.
    """
    heirs = _Heirs(deployment, network, kept, was, last)
    found = {
        tier: heirs.identity(tier) for tier in deployment.tiers if deployment.network_of(tier) == network
    }
    keys = {tier: identity.key or tier for tier, identity in found.items()}
    problems = [*_clashes(deployment, keys), *heirs.problems]
    if problems:
        raise InputError(problems)
    groups = {tier: one.group for tier in found if (one := deployment.tiers[tier]).group}
    existing = {keys[tier]: group.id for tier, group in groups.items() if group and group.id}
    names = Names(
        heirs.patterns,
        {keys[tier]: identity.name for tier, identity in found.items() if identity.name},
        {keys[tier]: identity.asg for tier, identity in found.items() if identity.asg},
        frozenset(keys[tier] for tier, identity in found.items() if identity.exact),
        existing,
        frozenset(keys[tier] for tier, group in groups.items() if group and group.audited),
        {key: tier for tier, key in keys.items() if tier != key},
    )
    by_key = replace(
        kept,
        tiers={keys[tier]: replace(identity, key="") for tier, identity in found.items()},
        attached=frozenset(keys.get(tier, tier) for tier in kept.attached),
    )
    return Succession(keys, by_key, names, tuple(heirs.findings))


class _Heirs:
    """Tiers of today, each on its way to what it was in the last run."""

    def __init__(
        self,
        deployment: Deployment,
        network: str,
        kept: Identities,
        was: str | None,
        last: Callable[[], LastRun | None],
    ) -> None:
        self.deployment = deployment
        self.network = network
        self.kept = kept
        self.was = was
        self.last = last
        self.problems: list[Problem] = []
        self.findings: list[Finding] = []
        own = deployment.networks[network].naming
        common = deployment.naming
        self.patterns = {
            "groups": own.groups or common.groups or "",
            "asg": own.application_security_groups or common.application_security_groups or "",
        }

    def identity(self, tier: str) -> TierIdentity:
        """Return what a tier keeps."""
        found = self._renamed(tier, self.kept.tier(tier))
        key = found.key or tier
        if self.was not in (None, self.deployment.name) and self._was_there(key):
            found = self._under_the_old_name(key, found)
        group = self.deployment.tiers[tier].group
        if group and group.id:
            return replace(found, name="", exact=False)
        if group and group.name:
            self._look_at_name(tier, key, found, group.name)
            return replace(found, name=group.name, exact=True)
        return found

    def _renamed(self, tier: str, identity: TierIdentity) -> TierIdentity:
        """Give a tier that was renamed since the last run what it kept under its old name."""
        old = self.deployment.tiers[tier].renamed_from
        if old is None or self.was is None or identity.key:
            return identity
        before = self.kept.tier(old)
        key = before.key or old
        if self._was_there(key) and not self._was_there(tier):
            return replace(before, key=key if key != tier else "")
        return identity

    def _was_there(self, key: str) -> bool:
        """Tell whether the last run had a group under this key."""
        last = self.last() if self.was is not None else None
        return last is not None and any(group.tier == key for group in last.groups)

    def _under_the_old_name(self, key: str, identity: TierIdentity) -> TierIdentity:
        """Keep the names that groups have from the name that the deployment had."""
        derive = Names(self.patterns).derived
        cloud = self.deployment.networks[self.network].cloud
        old = self.was or ""
        name = identity.name or derive(cloud, old, self.network, key)
        asg = "" if cloud == "aws" else identity.asg or derive("asg", old, self.network, key)
        return replace(identity, name=name, asg=asg)

    def _look_at_name(self, tier: str, key: str, identity: TierIdentity, name: str) -> None:
        """Refuse another name for a group that has an exact one, and tell of one that gets its first."""
        deployment = self.deployment
        path = ("tiers", tier, "group", "name")
        if identity.exact and identity.name != name:
            message = f"the group of tier `{clean(tier)}` is called `{clean(identity.name)}`"
            hint = (
                "a group cannot be renamed; take that name back, or remove `name` and `exact` of the tier in "
                "identities.json to replace the group, for which its machines must let go of it first"
            )
            self.problems.append(deployment.problem("name-frozen", path, message, hint))
        elif not identity.exact and self._was_there(key):
            cloud = deployment.networks[self.network].cloud
            before = identity.name or Names(self.patterns).derived(cloud, deployment.name, self.network, key)
            if cloud == "azure" and before == name:
                return
            message = f"tier `{tier}`: `{name}` will be ANOTHER GROUP in place of `{before}`"
            hint = "a group cannot be renamed: machines must carry the new one before the old one goes"
            mark = deployment.mark(path)
            self.findings.append(
                Finding(
                    "group-replaced",
                    tier,
                    message,
                    hint,
                    severity=Severity.WARNING,
                    locations=(mark,) if mark else (),
                )
            )


def _clashes(deployment: Deployment, keys: Mapping[str, str]) -> Iterator[Problem]:
    """Find tiers that would have one key, since one of them has it from before it was renamed."""
    first: dict[str, str] = {}
    for tier, key in sorted(keys.items(), key=lambda item: item[0] == item[1]):
        other = first.setdefault(key, tier)
        if other != tier:
            message = f"tier `{clean(other)}` was called `{clean(key)}` and keeps that as its key"
            hint = "call this tier otherwise; resources and groups are told apart by keys"
            yield deployment.problem("key-clash", ("tiers", tier), message, hint)


def keyed_policy(compilation: Compilation, network: str, keys: Mapping[str, str]) -> Policy:
    """Return the policy of one network with tiers under their keys."""
    if all(tier == key for tier, key in keys.items()):
        return compilation.policy.in_network(network)
    spelled_out = compilation.spelled_out.in_network(network)
    policy = Policy.of(
        Group.of_sides(
            GroupKey(group.network, keys[group.tier]),
            *(SpelledOut(_keyed(grants_of(way, group.side(way)), keys)) for way in Direction),
        )
        for group in spelled_out.groups
    )
    return minimize(policy, compilation.deployment.cidrs)


def _keyed(grants: Grants, keys: Mapping[str, str]) -> Grants:
    return Grants(
        grants.direction,
        (
            Grant(GroupReference(keys[grant.peers.tier]), grant.services, grant.causes)
            if isinstance(grant.peers, GroupReference)
            else grant
            for grant in grants
        ),
    )
