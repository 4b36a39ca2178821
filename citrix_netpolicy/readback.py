"""The files of a network, read back before anybody sees them: they must permit what was compiled.

Templates, spellings and writers stand between a policy and its files. A slip in any of them would be an
outage or a hole, so what they made is read by code of its own, and compared as traffic. The algebra of
addresses and ports is shared, and so are the escapes of HCL.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.errors import OutputError, Problem
from citrix_netpolicy.grants import Grants
from citrix_netpolicy.net import BITS, Prefix
from citrix_netpolicy.policy import Direction
from citrix_netpolicy.syntax.layout import LayoutError
from citrix_netpolicy.traffic import Segment, Traffic, reach_of

if TYPE_CHECKING:
    from citrix_netpolicy.policy import Peer, Policy
    from citrix_netpolicy.targets import Output
    from citrix_netpolicy.traffic import Reach

__all__ = ["hold_against"]

_HINT: Final = "this is a mistake of citrix-netpolicy, and nothing was written; please report it"


def hold_against(policy: Policy, output: Output, target: str, cloud: str) -> None:
    """Hold the files of one network against its policy.

    Raises OutputError when they do not permit exactly what it does, or are not laid out as they should be.
    """
    # Policy and files alike know tiers by their keys.
    keys = {group.tier: group.tier for group in policy.groups}
    reader = import_module(f"citrix_netpolicy.targets.{cloud}.readback")
    try:
        said = reader.READERS[target](output.files, keys)
    except (LayoutError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _error(f"cannot read back what was generated: {error}") from None
    sides = {(group.tier, way): group.side(way) for group in policy.groups for way in Direction}
    if said.keys() - sides.keys():
        raise _error("the generated files hold groups of no tier")
    equal: set[tuple[int, int]] = set()  # groups may share both what was compiled and what is said
    for (tier, way), side in sides.items():
        grants = said.get((tier, way), ())
        if (id(side), id(grants)) in equal:
            continue
        expected = reader.as_said(reach_of(side))
        found = Grants(way, grants).reach
        if found != expected:
            raise _error(_difference(tier, way, found, expected))
        equal.add((id(side), id(grants)))


def _difference(tier: str, way: Direction, found: Reach, expected: Reach) -> str:
    """Tell the first thing that one permits and the other does not."""
    there, wanted = (Traffic(((tier, way, reach),)) for reach in (found, expected))
    for word, traffic in (("more than", there - wanted), ("less than", wanted - there)):
        for part in traffic.permissions():
            what = f"{part.services} {'from' if way is Direction.INGRESS else 'to'} {_peer(part.peer)}"
            return f"the files permit {word} was compiled: tier `{tier}`, {way}, {what}"
    raise AssertionError("two reaches that differ permit different things")


def _peer(peer: Peer | Segment) -> str:
    if not isinstance(peer, Segment):
        return f"`{peer}`"
    first, last = (Prefix(peer.version, address, BITS[peer.version]) for address in (peer.first, peer.last))
    return f"{str(first).partition('/')[0]} to {str(last).partition('/')[0]}"


def _error(message: str) -> OutputError:
    return OutputError(Problem(code="output-differs", message=message, hint=_HINT))
