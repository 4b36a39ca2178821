"""Names of security rules in Azure: what a rule means, in words that stay while it means that.

A name says who opens connections to whom and with which service, such as
`allow-storefront-vda-to-ddc-http`. Nothing refers to a rule by its name: a group is written as a whole, so a
name may follow what the rule means. What must stay is its priority.
"""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.net import Prefix
from citrix_netpolicy.policy import Direction
from citrix_netpolicy.targets.azure.cover import ANYWHERE, EVERY_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from citrix_netpolicy.ends import Ends
    from citrix_netpolicy.naming import Names
    from citrix_netpolicy.targets.azure.cover import Block

__all__ = ["LIMIT", "names_of"]

# The documented length of a rule's name.
LIMIT: Final = 80
_DIGEST: Final = 10
# What the registry of service names and port numbers of IANA calls these ports, where people say so too, and
# by what Citrix calls its own two; every other port is a number.
_WORDS: Final = {
    22: "ssh",
    53: "dns",
    80: "http",
    88: "kerberos",
    123: "ntp",
    135: "rpc-epmap",
    161: "snmp",
    162: "snmptrap",
    389: "ldap",
    443: "https",
    445: "smb",
    464: "kpasswd",
    514: "syslog",
    636: "ldaps",
    1433: "ms-sql",
    1434: "ms-sql-browser",
    1494: "ica",
    1812: "radius",
    2598: "session-reliability",
    3268: "global-catalog",
    3269: "global-catalog-tls",
    3389: "rdp",
    5985: "winrm",
    5986: "winrm-tls",
}


def names_of(
    key: str, sides: Mapping[Direction, Sequence[Block]], ends: Ends, names: Names
) -> dict[Direction, dict[str, Block]]:
    """Return the blocks of the group `key` under the names of their rules.

    `ends` tells who has which addresses, and `names` what a tier is called now. A group has no two rules of
    one name, in whatever case. Where words do not tell two rules apart, or are too long, a digest ends the
    name.
    """
    tier = names.title(key)
    told = [
        (direction, block, _name(direction, block, tier, _peers(block, tier, ends, names)))
        for direction, blocks in sides.items()
        for block in blocks
    ]
    times = Counter(name.lower() for _, _, name in told)
    named: dict[Direction, dict[str, Block]] = {direction: {} for direction in sides}
    for direction, block, name in told:
        is_alone = times[name.lower()] == 1
        named[direction][name if is_alone else _with_digest(name, direction, block)] = block
    return named


def _name(direction: Direction, block: Block, tier: str, named: Sequence[str]) -> str:
    """Return the longest name of a rule that fits, or one that ends with a digest."""
    peers = [_word(peer) for peer in named]
    us = _word(tier)
    for services in _shortened(_services(block)):
        for others in _shortened(peers):
            source, destination = (others, us) if direction is Direction.INGRESS else (us, others)
            name = f"allow-{source}-to-{destination}-{services}"
            if len(name) <= LIMIT:
                return name
    return _with_digest(f"allow-{us}-{block.protocol}", direction, block)


def _peers(block: Block, tier: str, ends: Ends, names: Names) -> Sequence[str]:
    """Return what the peers of a block are called."""
    if block.peers == ANYWHERE:
        return ("any",)
    if block.kind == "tag":
        return (str(block.peers[0]),)
    if block.kind == "asg":
        named = tuple(names.title(str(peer)) for peer in block.peers)
    elif block.peers in (ANYWHERE[:1], ANYWHERE[1:]):
        return ("any-ipv4" if block.peers == ANYWHERE[:1] else "any-ipv6",)
    else:
        prefixes = (peer for peer in block.peers if isinstance(peer, Prefix))
        named = ends.named(prefixes) or tuple(map(str, block.peers))
    # A rule of both directions may be about the tier alone, and no two rules of a group share a name.
    return ("itself",) if named == (tier,) else tuple(sorted(named))


def _services(block: Block) -> list[str]:
    """Return what the ports of a block are called; TCP goes without saying where ports have a name."""
    protocol = "any" if block.protocol == "*" else block.protocol.lower()
    if block.spans == (EVERY_PORT,):
        return [f"all-{protocol}" if protocol in ("tcp", "udp") else protocol]
    words = [_WORDS[first] for first, last in block.spans if first == last and first in _WORDS]
    numbers = [
        str(first) if first == last else f"{first}_{last}"
        for first, last in block.spans
        if first != last or first not in _WORDS
    ]
    if protocol == "udp":
        first, *others = [*words, *numbers]
        return [f"udp-{first}", *others]
    return [*words, *(f"tcp-{number}" for number in numbers[:1]), *numbers[1:]]


def _shortened(words: Sequence[str]) -> Iterator[str]:
    """Yield words as one text, ever fewer of them: `a-b-c`, `a-b-and-1-more`, `a-and-2-more`."""
    yield "-".join(words)
    for count in range(len(words) - 1, 0, -1):
        yield f"{'-'.join(words[:count])}-and-{len(words) - count}-more"


def _word(text: str) -> str:
    """Return a text in the characters that a name may have."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", text)


def _with_digest(name: str, direction: Direction, block: Block) -> str:
    content = (str(direction), block.protocol, block.kind, tuple(map(str, block.peers)), block.ports)
    digest = sha256(repr(content).encode()).hexdigest()[:_DIGEST]
    return f"{name[: LIMIT - _DIGEST - 1]}-{digest}"
