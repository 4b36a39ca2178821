"""What is read: groups and their rules, what carries them, and what stayed unknown, each with its origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from citrix_netpolicy.policy import Direction, Group, GroupKey, Policy, rule_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from citrix_netpolicy.errors import Problem

__all__ = ["Found"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a reader returns.

    `groups` are as the cloud has them, so a tier may have several; `attachments` names the groups that the
    machines of each tier carry. `unknown` holds what the reader could not take for a rule, with its place.
    `priorities` are those of rules that have one, by key of the group, direction and name of the rule.
    """

    groups: tuple[Group, ...]
    attachments: Mapping[str, tuple[GroupKey, ...]] = field(default_factory=dict)
    unknown: tuple[Problem, ...] = ()
    priorities: Mapping[tuple[str, Direction, str], int] = field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """What the machines of each tier are permitted by all groups that they carry."""
        groups = {group.key: group for group in self.groups}
        return Policy.of(
            Group(
                GroupKey(keys[0].network, tier),
                tuple(sorted((rule for key in keys for rule in groups[key].rules), key=rule_order)),
            )
            for tier, keys in self.attachments.items()
        )
