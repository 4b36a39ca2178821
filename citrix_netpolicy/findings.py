"""What lint, targets and comparisons have to say: findings, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from citrix_netpolicy.errors import Mark

__all__ = ["ACCEPTABLE", "LOSSES", "Finding", "Severity"]

# What a cloud cannot express; without `accept` the run stops.
LOSSES: Final = frozenset(["icmp-widened", "icmpv6-blocked"])
# What a deployment may accept, so that nobody is told again. Others are about a run, or `accept` itself.
ACCEPTABLE: Final = LOSSES | {
    "console-without-administrators",
    "dark-place",
    "egress-to-any-address",
    "exclusion-without-effect",
    "external-without-peers",
    "feature-without-effect",
    "flow-without-effect",
    "found-port-shut",
    "group-not-audited",
    "idle-role",
    "link-of-everything",
    "link-without-effect",
    "names-not-reached",
    "no-directory",
    "no-name-server",
    "not-for-the-internet",
    "open-to-the-world",
    "other-family",
    "pair-in-two-tiers",
    "pair-without-balancer",
    "parameter-unset",
    "parameter-without-effect",
    "place-of-one",
    "port-taken",
    "role-cannot-work",
    "shared-address",
    "tier-without-peers",
}


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"  # the site cannot work as it is described
    WARNING = "warning"  # probably not what was meant
    NOTE = "note"  # nothing to mend, but a reviewer should know


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a reviewer should look at, and what to do about it.

    `code` is a stable word for the check; `docs/codes.md` lists all of them. `subject` names the tier, role,
    entry or word that the check found. `locations` are places in files that say it, the first one foremost;
    there are none when the deployment was made in Python. `network` is that of the tier, where the finding is
    about a tier.
    """

    code: str
    subject: str
    message: str
    hint: str = ""
    severity: Severity = Severity.WARNING
    locations: tuple[Mark, ...] = field(default=(), compare=False)
    network: str = field(default="", compare=False)
