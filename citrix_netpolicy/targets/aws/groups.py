"""Target `aws`: security groups as the request shapes of EC2, and as JSON.

AWS facts are those of the EC2 API reference and the VPC user guide: a group has rules that only allow; the
quota of rules counts each direction and each address family on its own; a reference to a group weighs one in
both families, a prefix list its maximum of entries.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.errors import DataPath, InputError, Mark, Problem, TargetError, clean
from citrix_netpolicy.net import LAST_PORT, Prefix, Protocol, Service, icmp
from citrix_netpolicy.policy import (
    Direction,
    ExistingGroup,
    Group,
    GroupReference,
    PrefixList,
    Rule,
    ServiceTag,
    rule_order,
)
from citrix_netpolicy.targets.describe import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mypy_boto3_ec2.type_defs import (
        AuthorizeSecurityGroupEgressRequestTypeDef,
        AuthorizeSecurityGroupIngressRequestTypeDef,
        CreateSecurityGroupRequestTypeDef,
        IpPermissionTypeDef,
        RevokeSecurityGroupEgressRequestTypeDef,
    )

    from citrix_netpolicy.inputs.deployment import Quotas
    from citrix_netpolicy.policy import Policy

__all__ = ["KEEPS", "SecurityGroup", "notes", "read", "security_groups", "write"]

FILE: Final = "security-groups.json"
DESCRIPTION_LIMIT: Final = 255
_GROUP_NAME: Final = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}\Z")


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """One security group. A tier whose rules exceed the quota has several; its interfaces carry them all.

    `key` is the tier's name, with `/2`, `/3` … for further groups of the tier. A reference to the tier names
    the first of them, which is enough: every interface of the tier carries it.
    """

    key: str
    tier: str
    name: str
    description: str
    rules: tuple[Rule, ...]

    def create_request(self, vpc_id: str) -> CreateSecurityGroupRequestTypeDef:
        """Return the arguments of `create_security_group`."""
        return {"GroupName": self.name, "Description": self.description, "VpcId": vpc_id}

    def revoke_default_egress_request(
        self, ids: Mapping[str, str], *, vpc_has_ipv6: bool
    ) -> RevokeSecurityGroupEgressRequestTypeDef:
        """Return the arguments of `revoke_security_group_egress` for what every new group starts with.

        A group in a VPC with IPv6 starts with open egress in both families. EC2 refuses to revoke a rule that
        is not there, so it must be told.
        """
        everything: IpPermissionTypeDef = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        if vpc_has_ipv6:
            everything["Ipv6Ranges"] = [{"CidrIpv6": "::/0"}]
        return {"GroupId": ids[self.key], "IpPermissions": [everything]}

    def ingress_request(self, ids: Mapping[str, str]) -> AuthorizeSecurityGroupIngressRequestTypeDef:
        """Return the arguments of `authorize_security_group_ingress`; `ids` maps keys to group ids.

        Without ingress rules the list of permissions is empty, and there is nothing to call.
        """
        return {"GroupId": ids[self.key], "IpPermissions": self.permissions(Direction.INGRESS, ids)}

    def egress_request(self, ids: Mapping[str, str]) -> AuthorizeSecurityGroupEgressRequestTypeDef:
        """Return the arguments of `authorize_security_group_egress`; `ids` maps keys to group ids.

        Without egress rules the list of permissions is empty, and there is nothing to call.
        """
        return {"GroupId": ids[self.key], "IpPermissions": self.permissions(Direction.EGRESS, ids)}

    def permissions(self, direction: Direction, ids: Mapping[str, str]) -> list[IpPermissionTypeDef]:
        """Return the rules of one direction, one permission each; `ids` maps keys to group ids."""
        return [_permission(rule, ids) for rule in self.rules if rule.direction is direction]


def security_groups(policy: Policy) -> list[SecurityGroup]:
    """Return the security groups of a policy in one AWS network, sorted by tier.

    Raises TargetError when AWS cannot hold them: a name it refuses, a peer it does not know, or more rules
    than the quotas allow.
    """
    groups: list[SecurityGroup] = []
    problems: list[Problem] = []
    for group in policy.groups:
        try:
            groups += _groups_of(policy, group)
        except TargetError as error:
            problems += error.problems
    problems += _clashes(groups)
    if problems:
        raise TargetError(problems)
    return groups


def _clashes(groups: list[SecurityGroup]) -> Iterator[Problem]:
    """Find tiers whose groups AWS, or a reference to them, could not tell apart."""
    hint = "rename one tier; AWS does not tell upper from lower case in group names"
    taken: dict[str, SecurityGroup] = {}
    for group in groups:
        for label in (f"name `{group.name.lower()}`", f"key `{group.key}`"):
            other = taken.setdefault(label, group)
            if other is not group:
                message = f"tiers `{other.tier}` and `{group.tier}` would share the group {label}"
                yield Problem(code="name-clash", message=message, path=("tiers", group.tier), hint=hint)


KEEPS: Final = ()


def notes(_policy: Policy, _previous: Mapping[str, str]) -> list[str]:
    """Return nothing: AWS can say everything that a policy says."""
    return []


def write(policy: Policy, _previous: Mapping[str, str]) -> dict[str, str]:
    """Return the groups as one JSON file, in the shapes of the EC2 API.

    Group ids are not known before the groups exist, so `GroupId` holds `tier:` and the key of the group.
    """
    groups = security_groups(policy)
    ids = {group.key: f"tier:{group.key}" for group in groups}
    document = {
        "//": "Code generated by citrix-netpolicy. DO NOT EDIT.",
        "version": 1,
        "deployment": policy.name,
        "network": next(iter(policy.networks)),
        "groups": [
            {
                "key": group.key,
                "tier": group.tier,
                "GroupName": group.name,
                "Description": group.description,
                "IpPermissions": group.permissions(Direction.INGRESS, ids),
                "IpPermissionsEgress": group.permissions(Direction.EGRESS, ids),
            }
            for group in groups
        ],
    }
    return {FILE: json.dumps(document, indent=2) + "\n"}


def read(files: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the groups that `write` described, without their causes.

    Raises InputError when the file is missing, is not of this form, or holds a permission that is not
    understood.
    """
    try:
        document = json.loads(files[FILE])
        tiers: dict[str, list[Rule]] = {}
        for group in document["groups"]:
            rules = tiers.setdefault(group["tier"], [])
            for key, direction in (
                ("IpPermissions", Direction.INGRESS),
                ("IpPermissionsEgress", Direction.EGRESS),
            ):
                for permission in group[key]:
                    rules += rules_of(permission, direction, _from_placeholder)
        network = document["network"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            Problem(code="not-ours", message=f"not a file of target aws: {error}", mark=Mark(FILE, 1, 1))
        ) from None
    return tuple(
        Group(tier, network, tuple(sorted(rules, key=rule_order))) for tier, rules in sorted(tiers.items())
    )


def rules_of(permission: Mapping[str, Any], direction: Direction, group_peer: Any) -> Iterator[Rule]:
    """Yield the rules that an EC2 permission holds.

    `group_peer` turns the id of a referenced group, with its account where given, into a peer. Raises
    ValueError for what is not understood; nothing is skipped.
    """
    service = _service_of(permission)
    sources = ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
    unknown = permission.keys() - {"IpProtocol", "FromPort", "ToPort", *sources}
    if unknown:
        raise ValueError(f"a permission has unknown keys {sorted(unknown)}")
    for item in permission.get("IpRanges", ()):
        yield Rule(direction, Prefix.parse(item["CidrIp"]), service)
    for item in permission.get("Ipv6Ranges", ()):
        yield Rule(direction, Prefix.parse(item["CidrIpv6"]), service)
    for item in permission.get("PrefixListIds", ()):
        # What a rule says does not tell the list's maximum of entries.
        yield Rule(direction, PrefixList(item["PrefixListId"]), service)
    for item in permission.get("UserIdGroupPairs", ()):
        yield Rule(direction, group_peer(item), service)


def _from_placeholder(pair: Mapping[str, Any]) -> GroupReference | ExistingGroup:
    group: str = pair["GroupId"]
    if group.startswith("tier:"):
        return GroupReference(group.removeprefix("tier:"))
    return ExistingGroup(f"{pair['UserId']}/{group}" if "UserId" in pair else group)


def _groups_of(policy: Policy, group: Group) -> Iterator[SecurityGroup]:
    path: DataPath = ("tiers", group.tier)
    name = f"{policy.name}-{group.tier}"
    # Terraform appends 26 characters to a name prefix, and a further group of a tier needs its number.
    if not _GROUP_NAME.match(name) or name.lower().startswith("sg-") or len(name) > 220:
        hint = (
            "at most 220 ASCII letters, digits, spaces and ._-:/()#,@[]+=&;{}!$* that do not begin with sg-"
        )
        raise TargetError(
            Problem(
                code="name-refused",
                message=f"AWS refuses the group name `{clean(name)}`",
                path=path,
                hint=hint,
            )
        )
    for rule in group.rules:
        if isinstance(rule.peer, ServiceTag):
            message = f"AWS has no service tags, but tier `{group.tier}` has the peer `{rule.peer}`"
            raise TargetError(
                Problem(
                    code="peer-unknown-to-cloud",
                    message=message,
                    path=path,
                    hint="give addresses, or set its `networks`",
                )
            )
    sides = {way: _split(group.tier, group.side(way), policy.quotas) for way in Direction}
    for index in range(max(len(parts) for parts in sides.values())):
        rules = [rule for parts in sides.values() for rule in (parts[index] if index < len(parts) else ())]
        suffix = f"-{index + 1}" if index else ""
        yield SecurityGroup(
            key=f"{group.tier}/{index + 1}" if index else group.tier,
            tier=group.tier,
            name=name + suffix,
            # A group's description cannot change while it lives, so it says nothing that may change.
            description=f"Managed by citrix-netpolicy: tier {group.tier} of {policy.name}"[
                :DESCRIPTION_LIMIT
            ],
            rules=tuple(sorted(rules, key=rule_order)),
        )


def _split(tier: str, rules: tuple[Rule, ...], quotas: Quotas) -> list[list[Rule]]:
    """Spread the rules of one direction over as few groups as hold them, at most those of an interface.

    Each rule prefers the groups in an order of its own, drawn from what the rule says. So a new rule moves
    no other one as long as the number of groups stays, and few of them when it grows. Only at the highest
    number of groups, when a rule's first choice may be full, a new rule may push others to their next one.
    """
    for count in range(1, quotas.groups_per_interface + 1):
        parts = _parts(rules, count, quotas.rules_per_group, 1)
        if parts is not None:
            return parts
    # No number of groups lets every rule have its first choice; use all groups and any of its choices.
    parts = _parts(rules, quotas.groups_per_interface, quotas.rules_per_group, quotas.groups_per_interface)
    if parts is not None:
        return parts
    heaviest = max(rules, key=lambda rule: max(_weight(rule)))
    way = rules[0].direction
    path: DataPath = ("tiers", tier)
    if max(_weight(heaviest)) > quotas.rules_per_group:
        message = (
            f"`{heaviest.peer}` weighs {max(_weight(heaviest))} rules; a group holds {quotas.rules_per_group}"
        )
        hint = "raise `quotas` if the account's are higher, or give addresses"
        raise TargetError(
            Problem(code="over-quota", message=f"tier `{tier}`, {way}: {message}", path=path, hint=hint)
        )
    needed = max(sum(_weight(rule)[family] for rule in rules) for family in (0, 1))
    capacity = quotas.rules_per_group * quotas.groups_per_interface
    message = (
        f"tier `{tier}` needs {needed} {way} rules; {quotas.groups_per_interface} groups of "
        f"{quotas.rules_per_group} rules hold {capacity}"
    )
    hint = "raise `quotas` if the account's are higher, use fewer prefixes, or split the tier"
    raise TargetError(Problem(code="over-quota", message=message, path=path, hint=hint))


def _parts(rules: Iterable[Rule], count: int, limit: int, choices: int) -> list[list[Rule]] | None:
    """Put each rule into one of its first `choices` of `count` groups, or return None when one is full."""
    parts: list[list[Rule]] = [[] for _ in range(count)]
    loads = [[0, 0] for _ in range(count)]
    # Heavy rules first, then by name: an order that a new rule does not disturb.
    for rule in sorted(rules, key=lambda rule: (-max(_weight(rule)), _rank(rule, 0))):
        v4, v6 = _weight(rule)
        for index in sorted(range(count), key=lambda index: _rank(rule, index))[:choices]:
            if loads[index][0] + v4 <= limit and loads[index][1] + v6 <= limit:
                parts[index].append(rule)
                loads[index][0] += v4
                loads[index][1] += v6
                break
        else:
            return None
    return parts


def _rank(rule: Rule, index: int) -> bytes:
    return sha256(f"{index} {rule.direction} {rule.service} {rule.peer}".encode()).digest()


def _weight(rule: Rule) -> tuple[int, int]:
    """Return what a rule weighs on the quota of IPv4 rules and on that of IPv6 rules."""
    match rule.peer:
        case Prefix(version=4):
            return 1, 0
        case Prefix():
            return 0, 1
        case PrefixList(max_entries=entries):
            return entries, entries
        case _:
            return 1, 1


def _permission(rule: Rule, ids: Mapping[str, str]) -> IpPermissionTypeDef:
    permission: IpPermissionTypeDef = {"IpProtocol": protocol_name(rule.service)}
    span = port_span(rule.service)
    if span is not None:
        permission["FromPort"], permission["ToPort"] = span
    why = describe(rule.causes, DESCRIPTION_LIMIT)
    match rule.peer:
        case Prefix(version=4):
            permission["IpRanges"] = [{"CidrIp": str(rule.peer), "Description": why}]
        case Prefix():
            permission["Ipv6Ranges"] = [{"CidrIpv6": str(rule.peer), "Description": why}]
        case PrefixList(id=list_id):
            permission["PrefixListIds"] = [{"PrefixListId": list_id, "Description": why}]
        case GroupReference(tier=tier):
            permission["UserIdGroupPairs"] = [{"GroupId": ids[tier], "Description": why}]
        case ExistingGroup(id=group_id):
            account, slash, group = group_id.rpartition("/")
            pair = permission["UserIdGroupPairs"] = [{"GroupId": group, "Description": why}]
            if slash:
                pair[0]["UserId"] = account
        case ServiceTag():
            raise AssertionError("security_groups refuses service tags")
    return permission


def protocol_name(service: Service) -> str:
    """Return how EC2 calls the protocol of a service."""
    return "-1" if service.protocol is Protocol.ALL else str(service.protocol)


def port_span(service: Service) -> tuple[int, int] | None:
    """Return the `FromPort` and `ToPort` of a service: ports, or ICMP type and code; None for everything."""
    if service.protocol is Protocol.ALL:
        return None
    if service.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        kind, code = service.icmp_type, service.icmp_code
        return (-1 if kind is None else kind, -1 if code is None else code)
    return service.first, service.last


def _service_of(permission: Mapping[str, Any]) -> Service:
    name = permission["IpProtocol"]
    if name == "-1":
        return Service(Protocol.ALL, 0, LAST_PORT)
    return service_of(name, permission["FromPort"], permission["ToPort"])


def service_of(name: str, first: int, last: int) -> Service:
    """Return the service that EC2 calls `name` with these ports, or ICMP type and code.

    Raises ValueError for a protocol or numbers that are not understood.
    """
    if name not in ("tcp", "udp", "icmp", "icmpv6"):
        raise ValueError(f"protocol `{name}` is not understood")
    protocol = Protocol(name)
    if protocol in (Protocol.ICMP, Protocol.ICMPV6):
        return icmp(protocol, None if first == -1 else first, None if last == -1 else last)
    if not 0 <= first <= last <= LAST_PORT:
        raise ValueError(f"ports {first}-{last} are no range")
    return Service(protocol, first, last)
