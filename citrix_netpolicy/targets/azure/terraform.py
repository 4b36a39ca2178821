"""Target `terraform` in Azure: a module of network security groups with their rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from citrix_netpolicy.syntax import hcl
from citrix_netpolicy.targets import Output
from citrix_netpolicy.targets.azure import arm
from citrix_netpolicy.targets.azure.attributes import attributes_of
from citrix_netpolicy.targets.azure.groups import network_security_groups

if TYPE_CHECKING:
    from citrix_netpolicy.identities import Identities
    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.targets import Options

__all__ = ["FILES", "render"]

_FOLDER: Final = "terraform-azure"
FILES: Final = (
    "README.md",
    "main.tf",
    "outputs.tf",
    "rules.tf",
    "tests/module.tftest.hcl",
    "variables.tf",
    "versions.tf",
)


def render(policy: Policy, options: Options, identities: Identities) -> Output:
    """Return the files of a module for a policy in one Azure network.

    Raises TargetError when Azure cannot hold the policy.
    """
    found = network_security_groups(policy, options, identities)
    blocks = (rule.block for group in found.groups for rule in group.rules)
    tiers = {str(peer) for block in blocks if block.kind == "asg" for peer in block.peers}
    context = {
        "name": options.deployment,
        "network": options.network,
        "of_interfaces": options.attach == "interfaces",
        "groups": {
            group.tier: {"name": group.name, "tier": options.names.title(group.tier)}
            for group in found.groups
        },
        "asgs": {tier: options.asg_name(tier) for tier in sorted(tiers)},
        "titles": dict(sorted(options.names.titles.items())),
        "rules": {
            f"{group.tier}/{rule.direction}/{rule.name}": attributes_of(group, rule)
            for group in found.groups
            for rule in group.rules
        },
        "table": [arm.row_of(group, rule) for group in found.groups for rule in group.rules],
    }
    files = {name: hcl.render(f"{_FOLDER}/{name}.j2", **context) for name in FILES}
    return Output(files, found.rule_counts, found.findings, found.identities)
