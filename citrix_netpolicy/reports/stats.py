"""How many rules there are, how many there would be unmerged, and the proof that fewer cannot do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from citrix_netpolicy.policy import Direction, GroupKey

if TYPE_CHECKING:
    from citrix_netpolicy.compiler import Compilation
    from citrix_netpolicy.folder import Module
    from citrix_netpolicy.targets import Certificate

__all__ = ["GroupStats", "Stats", "stats_of"]


@dataclass(frozen=True, slots=True)
class GroupStats:
    """The numbers of one tier.

    `rules` are counted as the cloud counts them, and `naive` is how many it takes to write out every flow,
    one prefix and one port range each. No rules of that cloud permit the same and are fewer than
    `lower_bound`; `certificate` is why: `maximal pairs` in AWS, `fooling set` or `search` in Azure, and
    `none` when the rules are more. docs/architecture.md tells what these are.
    """

    network: str
    tier: str
    rules: int
    naive: int
    lower_bound: int
    certificate: Certificate

    @property
    def gap(self) -> int:
        """How many rules more there are than the lower bound."""
        return self.rules - self.lower_bound


@dataclass(frozen=True, slots=True)
class Stats:
    """The numbers of a module, by group in the order of networks and tiers, and in all."""

    groups: tuple[GroupStats, ...]

    @property
    def rules(self) -> int:
        """How many rules all groups have."""
        return sum(group.rules for group in self.groups)

    @property
    def naive(self) -> int:
        """How many rules it takes to write out every flow."""
        return sum(group.naive for group in self.groups)

    @property
    def lower_bound(self) -> int:
        """The proven least number of rules."""
        return sum(group.lower_bound for group in self.groups)

    @property
    def gap(self) -> int:
        """How many rules more there are than the lower bound."""
        return self.rules - self.lower_bound


def stats_of(compilation: Compilation, module: Module) -> Stats:
    """Return the numbers of a module, which is that of one network or of all, that `render` made."""
    naive = {
        group.key: sum(len(group.side(way)) for way in Direction) for group in compilation.spelled_out.groups
    }
    return Stats(
        tuple(
            GroupStats(
                network,
                tier,
                count.rules,
                naive[GroupKey(network, tier)],
                count.lower_bound,
                count.certificate,
            )
            for network, output in module.outputs.items()
            for tier, count in sorted(output.tiers.items())
        )
    )
