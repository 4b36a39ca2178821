"""What Bicep has worked out of a whole root: network security groups, and the subnets that carry them.

The source is the JSON of `bicep snapshot`, Azure's plan made offline, whatever module wrote a resource. What
a group says is read by priority, denies and Azure's default rules included.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import InputError, Mark, Problem, clean
from citrix_netpolicy.found.evaluated import (
    DEPLOYMENT_TAG,
    TIER_TAG,
    Carrier,
    Deployed,
    LiveGroup,
    list_of,
    map_of,
)
from citrix_netpolicy.net import Prefix
from citrix_netpolicy.policy import Direction, Origin, Rule
from citrix_netpolicy.syntax.document import Document
from citrix_netpolicy.targets.azure.arm import read_rule
from citrix_netpolicy.targets.azure.effective import effective

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from citrix_netpolicy.policy import Peer
    from citrix_netpolicy.syntax.document import Node
    from citrix_netpolicy.targets.azure.arm import ArmRule
    from citrix_netpolicy.traffic import Reach

__all__ = ["is_snapshot", "read_snapshot", "rules_of_reach"]

_GROUP: Final = "Microsoft.Network/networkSecurityGroups"
_RULE: Final = f"{_GROUP}/securityRules"
_ASG: Final = "Microsoft.Network/applicationSecurityGroups"
_NETWORK: Final = "Microsoft.Network/virtualNetworks"
_SUBNET: Final = f"{_NETWORK}/subnets"


def is_snapshot(content: bytes) -> bool:
    """Tell whether this looks like a snapshot of Bicep."""
    return b'"predictedResources"' in content[:4096]


def read_snapshot(content: bytes, file: str) -> Deployed:
    """Return what a snapshot says. Raises InputError for what is none."""
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        message = f"this is not JSON: {clean(str(error), 100)}"
        raise InputError(Problem(code="not-json", message=message, mark=Mark(file, 1, 1))) from None
    resources = map_of(data).get("predictedResources")
    if not isinstance(resources, list):
        message = "this JSON holds no `predictedResources`"
        hint = "use `bicep snapshot FILE.bicepparam --mode overwrite`"
        raise InputError(Problem(code="not-evaluated", message=message, mark=Mark(file, 1, 1), hint=hint))
    return _Reader(file, [map_of(one) for one in resources]).deployed()


def rules_of_reach(reach: Reach, way: Direction, origin: Origin | None = None) -> Iterator[Rule]:
    """Yield rules that permit exactly this, whatever rules it came from."""
    peers: list[tuple[Peer, Any]] = [*reach.points]
    peers += ((prefix, segment.services) for segment in reach.segments for prefix in segment.prefixes())
    for peer, services in peers:
        for service in services.blocks():
            yield Rule(way, peer, service, origin=origin)


class _Reader:
    """Resources of a snapshot on their way to groups and subnets."""

    def __init__(self, file: str, resources: Sequence[Mapping[str, Any]]) -> None:
        self.file = file
        self.resources = resources
        self.unknown: list[Problem] = []
        self.tiers = {
            _id(one): str(map_of(one.get("tags")).get(TIER_TAG, one.get("name"))) for one in self._of(_ASG)
        }

    def deployed(self) -> Deployed:
        groups = {_id(one): self._group(one) for one in self._of(_GROUP)}
        return Deployed(groups, tuple(self._carriers()), tuple(self.unknown))

    def _of(self, kind: str) -> Iterator[Mapping[str, Any]]:
        return (one for one in self.resources if str(one.get("type")).lower() == kind.lower())

    def _group(self, resource: Mapping[str, Any]) -> LiveGroup:
        name = str(resource.get("name"))
        tags = map_of(resource.get("tags"))
        own = list_of(map_of(resource.get("properties")).get("securityRules"))
        beside = [
            {"name": str(one.get("name")).rpartition("/")[2], "properties": one.get("properties")}
            for one in self._of(_RULE)
            if str(one.get("name")).partition("/")[0].lower() == name.lower()
        ]
        read = [rule for one in (*own, *beside) if (rule := self._read(name, one))]
        rules: list[Rule] = []
        for way in Direction:
            found = effective(read, way)
            for problem in found.unknown:
                self._not_judged(name, problem.message)
            rules += rules_of_reach(found.reach, way, Origin(None, f"{name}/{_named(read, way)}"))
        return LiveGroup(
            _id(resource), name, str(tags.get(DEPLOYMENT_TAG, "")), str(tags.get(TIER_TAG, "")), tuple(rules)
        )

    def _read(self, group: str, data: Any) -> ArmRule | None:
        try:
            return read_rule(Document(self.file, data, {}).root, self._tier_of)
        except InputError as error:
            self._not_judged(group, error.problems[0].message)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._not_judged(group, str(error))
        return None

    def _tier_of(self, node: Node) -> str:
        return self.tiers.get(node.text().lower(), node.text())

    def _not_judged(self, group: str, why: str) -> None:
        message = f"a rule of `{clean(group, 200)}` cannot be judged: {clean(why, 200)}"
        self.unknown.append(Problem(code="not-judged", message=message, mark=Mark(self.file, 1, 1)))

    def _carriers(self) -> Iterator[Carrier]:
        """Yield the subnets, and whatever else names a group."""
        for network in self._of(_NETWORK):
            for subnet in list_of(map_of(network.get("properties")).get("subnets")):
                yield self._carrier(f"{network.get('name')}/{map_of(subnet).get('name')}", map_of(subnet))
        for one in self.resources:
            if (str(one.get("type")).lower() != _NETWORK.lower() and _held(one)) or str(
                one.get("type")
            ).lower() == _SUBNET.lower():
                yield self._carrier(str(one.get("name")), one)

    def _carrier(self, address: str, resource: Mapping[str, Any]) -> Carrier:
        properties = map_of(resource.get("properties"))
        texts = [properties.get("addressPrefix"), *list_of(properties.get("addressPrefixes"))]
        prefixes = []
        for text in texts:
            try:
                prefixes += [Prefix.parse(text)] if isinstance(text, str) else []
            except ValueError:
                self._not_judged(address, f"`{clean(str(text), 100)}` is not known before a deployment")
        held = _held(resource)
        return Carrier(address, (held,) if held else (), tuple(prefixes))


def _held(resource: Mapping[str, Any]) -> str:
    """Return the id of the group that a resource carries, or nothing."""
    group = map_of(map_of(resource.get("properties")).get("networkSecurityGroup"))
    return str(group["id"]).lower() if "id" in group else ""


def _id(resource: Mapping[str, Any]) -> str:
    return str(resource.get("id")).lower()


def _named(rules: Sequence[ArmRule], way: Direction) -> str:
    """Return the first rule that allows something in one direction, by its name."""
    ours = sorted((one for one in rules if one.direction is way and one.allows), key=lambda one: one.priority)
    more = f" and {len(ours) - 1} more" if len(ours) > 1 else ""
    return f"{ours[0].name}{more}" if ours else "default rules"
