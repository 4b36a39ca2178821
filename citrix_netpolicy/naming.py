"""What groups are called: by a pattern, by a name of their own, or as they were called before."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULTS", "FIELDS", "Names", "named"]

# How groups are called unless a deployment says otherwise, and application security groups of Azure.
DEFAULTS: Final = {
    "aws": "{deployment}-{tier}",
    "azure": "nsg-{deployment}-{tier}",
    "asg": "asg-{deployment}-{tier}",
}
FIELDS: Final = ("deployment", "network", "tier")


def named(pattern: str, **values: str) -> str:
    """Return a pattern with its fields filled in."""
    return re.sub(r"\{([a-z]+)\}", lambda match: values[match[1]], pattern)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of groups in one network, by the keys of their tiers.

    `groups` and `asgs` hold those that do not follow the patterns. A name in `exact` is that of the group
    itself; others begin the name of a group in AWS. `existing` maps tiers to the ids of groups that others
    have made, and those in `audited` are known to hold no rules beside ours. `titles` are the names that
    tiers have now, where these are not their keys.
    """

    patterns: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    asgs: Mapping[str, str] = field(default_factory=dict)
    exact: frozenset[str] = frozenset()
    existing: Mapping[str, str] = field(default_factory=dict)
    audited: frozenset[str] = frozenset()
    titles: Mapping[str, str] = field(default_factory=dict)

    def title(self, key: str) -> str:
        """Return what a tier is called now."""
        return self.titles.get(key, key)

    def derived(self, kind: str, deployment: str, network: str, key: str) -> str:
        """Return the name that a pattern gives; `kind` is a cloud, or `asg`."""
        pattern = self.patterns.get("asg" if kind == "asg" else "groups") or DEFAULTS[kind]
        return named(pattern, deployment=deployment, network=network, tier=key)
