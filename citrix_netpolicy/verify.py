"""What is deployed, or generated, held against the deployment: what opens, what closes, and who carries what.

Pure: a compilation and what was read in, findings out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from citrix_netpolicy.compare import Sight, compare
from citrix_netpolicy.findings import Finding, Severity
from citrix_netpolicy.found.snapshot import rules_of_reach
from citrix_netpolicy.policy import Direction, Group, GroupKey, Policy, rule_order
from citrix_netpolicy.targets.azure.readback import as_said
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from citrix_netpolicy.compare import Difference
    from citrix_netpolicy.compiler import Compilation
    from citrix_netpolicy.found.evaluated import Carrier, Deployed, LiveGroup
    from citrix_netpolicy.net import Prefix

__all__ = ["fails", "verify_deployed", "verify_policy"]

_NAMED = 3  # resources that a finding names


def fails(findings: Iterable[Finding]) -> bool:
    """Tell whether something is wrong; what could not be judged, and what is only to be known, is not."""
    return any(finding.severity is not Severity.NOTE for finding in findings)


def verify_policy(required: Sight, found: Sight) -> list[Finding]:
    """Return what a policy that was found opens beyond what is required, and what it lacks."""
    found = replace(found, subnets=required.subnets, ends=required.ends)
    return [_finding(one, "") for one in compare(required, found).differences]


def _finding(one: Difference, where: str) -> Finding:
    code = "opens" if one.is_opened else "closes"
    told = "is open and is not required" if one.is_opened else "is required and does not pass"
    rules = ", ".join(f"`{origin.address}`" for origin in one.origins[:_NAMED])
    causes = ", ".join(f"`{cause.id}`" for cause in one.causes[:_NAMED])
    because = f", by {rules}" if rules else f", for {causes}" if causes else ""
    example = f"{one.packet.peer}, {one.packet.service}"
    return Finding(
        code,
        one.tier,
        f"{one.source} -> {one.destination}: {one.services} {told}{because}{where}, for example {example}",
        "say it as a flow of the deployment, or close it" if one.is_opened else "compile and apply",
        severity=Severity.WARNING if one.is_opened else Severity.ERROR,
    )


def verify_deployed(compilation: Compilation, required: Sight, deployed: Deployed) -> list[Finding]:
    """Return what is wrong with what is deployed in one network, tier by tier, whoever wrote the modules.

    A group belongs to a tier by the tags that modules give it, or by the id that the deployment names.
    """
    judge = _Judge(compilation, _as_the_cloud_says(compilation, required), deployed)
    found = [finding for group in judge.required.policy.groups for finding in judge.tier(group)]
    found += (Finding(one.code, "", one.message, severity=Severity.NOTE) for one in deployed.unknown)
    return found


def _as_the_cloud_says(compilation: Compilation, required: Sight) -> Sight:
    """Return what is required in the words of its cloud: Azure has none for parts of ICMP, nor ICMPv6."""
    groups = [
        Group.of_sides(
            group.key,
            *(
                tuple(sorted(rules_of_reach(as_said(reach_of(group.side(way))), way), key=rule_order))
                for way in Direction
            ),
        )
        if compilation.deployment.networks[group.network].cloud == "azure"
        else group
        for group in required.policy.groups
    ]
    return replace(required, policy=Policy.of(groups))


@dataclass
class _Judge:
    """Tiers of a deployment, held against those who carry their groups."""

    compilation: Compilation
    required: Sight
    deployed: Deployed

    def tier(self, group: Group) -> Iterator[Finding]:
        """Yield what is wrong with one tier."""
        name = group.tier
        own = {one.id for one in self.deployed.groups.values() if self._is_of(one, name)}
        if not own:
            message = f"tier `{name}` has no group there"
            yield Finding("no-group", name, message, "deploy the module", severity=Severity.ERROR)
            return
        subnets = self.required.subnets.get(name, ())
        carriers = [one for one in self.deployed.carriers if own & set(one.groups)]
        for one in self.deployed.carriers:
            if not own & set(one.groups) and one.subnets and _lie_in(one.subnets, subnets):
                yield self._not_attached(name, one)
        if not carriers:
            message = f"nothing there carries the group of tier `{name}`"
            yield Finding("not-attached", name, message, severity=Severity.NOTE)
        for one in carriers:
            if one.subnets and not _lie_in(one.subnets, subnets):
                where = ", ".join(map(str, one.subnets))
                message = f"`{one.address}` carries the group of tier `{name}` and stands in {where}"
                hint = "attach the group of the tier that has these addresses, or correct the deployment"
                yield Finding("attached-elsewhere", name, message, hint)
        # What is in force is what all groups say that one of them carries together.
        sets = sorted((one.groups, one.address) for one in carriers) or [(tuple(sorted(own)), "")]
        for groups, alike in groupby(sets, key=lambda item: item[0]):
            addresses = [address for _, address in alike if address]
            yield from self._compared(group, [*{*groups, *(own if not addresses else ())}], addresses)

    def _is_of(self, group: LiveGroup, tier: str) -> bool:
        chosen = self.compilation.deployment.tiers[tier].group
        if chosen and chosen.id:
            return group.id == chosen.id
        return group.tier == tier and group.deployment in ("", self.compilation.deployment.name)

    def _not_attached(self, tier: str, carrier: Carrier) -> Finding:
        cloud = self.compilation.deployment.networks[self.compilation.deployment.network_of(tier)].cloud
        holds = "Azure's default rules hold" if cloud == "azure" else "the default group of the VPC holds"
        what = "other groups" if carrier.groups else f"no group, so {holds}"
        return Finding(
            "not-attached",
            tier,
            f"`{carrier.address}` stands in subnets of tier `{tier}` and carries {what}",
            f"attach the group of tier `{tier}` to it",
            severity=Severity.ERROR,
        )

    def _compared(self, group: Group, groups: Sequence[str], addresses: Sequence[str]) -> Iterator[Finding]:
        """Yield how the rules of some groups together differ from what a tier requires."""
        known = [self.deployed.groups[id_] for id_ in groups if id_ in self.deployed.groups]
        rules = dict.fromkeys(rule for one in known for rule in one.rules)
        found = Group(GroupKey(group.network, group.tier), tuple(sorted(rules, key=rule_order)))
        one, two = (replace(self.required, policy=Policy((each,))) for each in (group, found))
        more = f" and {len(addresses) - _NAMED} more" if len(addresses) > _NAMED else ""
        named = ", ".join(f"`{address}`" for address in addresses[:_NAMED])
        where = f" at {named}{more}" if addresses else ""
        for difference in compare(one, two).differences:
            yield _finding(difference, where)


def _lie_in(prefixes: Iterable[Prefix], subnets: Sequence[Prefix]) -> bool:
    """Tell whether some of the prefixes of a subnet lie in a tier, or a tier in them."""
    return any(prefix.overlaps(subnet) for prefix in prefixes for subnet in subnets)
