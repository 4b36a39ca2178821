"""Security groups as values: which rules each holds, and the requests that make it in EC2.

AWS facts are those of the EC2 API reference and the VPC user guide: a group has rules that only allow; the
quota of rules counts each direction and each address family on its own; a reference to a group weighs one in
both families, a prefix list its maximum of entries.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from citrix_netpolicy.errors import Problem, TargetError, clean
from citrix_netpolicy.identities import Identities, TierIdentity
from citrix_netpolicy.minimize import lower_bound
from citrix_netpolicy.policy import Direction, ServiceTag
from citrix_netpolicy.targets import RuleCount, rules_in_excess
from citrix_netpolicy.targets.aws.ec2 import permission_of
from citrix_netpolicy.targets.aws.placement import Placement, place
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_ec2.type_defs import (
        AuthorizeSecurityGroupEgressRequestTypeDef,
        AuthorizeSecurityGroupIngressRequestTypeDef,
        CreateSecurityGroupRequestTypeDef,
        IpPermissionTypeDef,
        RevokeSecurityGroupEgressRequestTypeDef,
    )

    from citrix_netpolicy.errors import DataPath
    from citrix_netpolicy.findings import Finding
    from citrix_netpolicy.policy import Group, Policy, Rule
    from citrix_netpolicy.targets import Options

__all__ = ["SecurityGroup", "SecurityGroups", "security_groups"]

# A description cannot change while its group lives, so it says nothing that may change.
GROUP_DESCRIPTION: Final = "Managed by citrix-netpolicy"
_GROUP_NAME: Final = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}\Z")


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """One security group. A tier whose rules exceed the quota has several; its interfaces carry them all.

    `key` is the tier's name, with `/2`, `/3` … for further groups of the tier. A reference to the tier names
    the first of them, which is enough: every interface of the tier carries it.

    `id` is that of a group that others have made; nothing is known of its name, and it is not created here.
    A name that is `exact` is the group's own; Terraform appends to any other.
    """

    key: str
    tier: str
    name: str
    description: str
    ingress: Sequence[Rule]
    egress: Sequence[Rule]
    id: str = ""
    is_exact: bool = False

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of both directions, in `rule_order`."""
        return (*self.ingress, *self.egress)

    def side(self, direction: Direction) -> Sequence[Rule]:
        """Return the rules of one direction."""
        return self.ingress if direction is Direction.INGRESS else self.egress

    def create_request(self, vpc_id: str) -> CreateSecurityGroupRequestTypeDef:
        """Return the arguments of `create_security_group`. Raises ValueError for a group that exists."""
        if self.id:
            raise ValueError(f"`{self.id}` exists and is not created")
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
        return [permission_of(rule, ids) for rule in self.side(direction)]


@dataclass(frozen=True, slots=True)
class SecurityGroups:
    """The security groups of a network, sorted by tier, with what people and the next run should know."""

    groups: tuple[SecurityGroup, ...]
    findings: tuple[Finding, ...]
    identities: Identities

    def rule_counts(self, policy: Policy) -> dict[str, RuleCount]:
        """Return how many rules each tier of `policy`, which these groups say, has here."""
        rules = dict.fromkeys((group.tier for group in policy.groups), 0)
        for made in self.groups:
            rules[made.tier] += len(made.ingress) + len(made.egress)
        found = {}
        for group in policy.groups:
            number, bound = rules[group.tier], lower_bound([group])
            found[group.tier] = RuleCount(number, bound, "maximal pairs" if number == bound else "none")
        return found


def security_groups(policy: Policy, options: Options, identities: Identities | None = None) -> SecurityGroups:
    """Return the security groups of a policy in one AWS network.

    Rules stay in the groups that `identities` and the last run say. Raises TargetError when AWS cannot hold
    the policy: a name it refuses, a peer it does not know, or more rules than the quotas allow.
    """
    before = identities or Identities()
    groups: list[SecurityGroup] = []
    findings: list[Finding] = []
    kept: dict[str, TierIdentity] = {}
    problems: list[Problem] = []
    for group in policy.groups:
        try:
            placement = _placed(group, options, before)
        except TargetError as error:
            problems += error.problems
            continue
        identity = before.tier(group.tier)
        groups += _groups_of(group, placement, options, identity)
        findings += placement.findings
        kept[group.tier] = replace(identity, held=placement.held, waiting=placement.waiting)
    problems += _clashes(groups)
    problems += rules_in_excess(sum(len(group.ingress) + len(group.egress) for group in groups))
    if problems:
        raise TargetError(problems)
    return SecurityGroups(tuple(groups), tuple(findings), Identities(kept))


def _clashes(groups: list[SecurityGroup]) -> Iterator[Problem]:
    """Find tiers whose groups AWS, or a reference to them, could not tell apart."""
    hint = "rename one tier; AWS group names are case-insensitive"
    taken: dict[str, SecurityGroup] = {}
    for group in groups:
        for label in (f"name `{group.name.lower()}`" if group.name else "", f"key `{group.key}`"):
            if not label:
                continue
            other = taken.setdefault(label, group)
            if other is not group:
                message = f"tiers `{other.tier}` and `{group.tier}` would share the group {label}"
                yield Problem(code="name-clash", message=message, path=("tiers", group.tier), hint=hint)


def _placed(group: Group, options: Options, identities: Identities) -> Placement:
    """Return which group of its tier holds each rule. Raises TargetError for what AWS cannot hold."""
    path: DataPath = ("tiers", group.tier)
    name = options.group_name("aws", group.tier)
    # Terraform appends 26 characters to a name prefix, and a further group of a tier needs its number.
    if not _GROUP_NAME.match(name) or name.lower().startswith("sg-") or len(name) > 220:
        hint = (
            "at most 220 ASCII letters, digits, spaces and ._-:/()#,@[]+=&;{}!$* that do not begin with sg-"
        )
        message = f"AWS refuses the group name `{clean(name)}`"
        raise TargetError(Problem(code="name-refused", message=message, path=path, hint=hint))
    for peer in (peer for way in Direction for peer, _ in reach_of(group.side(way)).points):
        if isinstance(peer, ServiceTag):
            message = f"AWS has no service tags, but tier `{group.tier}` has the peer `{peer}`"
            hint = "use addresses, or set its `networks`"
            raise TargetError(Problem(code="peer-unknown-to-cloud", message=message, path=path, hint=hint))
    return place(group, options, identities)


def _groups_of(
    group: Group, placement: Placement, options: Options, identity: TierIdentity
) -> Iterator[SecurityGroup]:
    key = group.tier
    name = options.group_name("aws", key)
    for number, sides in enumerate(placement.sides, start=1):
        existing = options.names.existing.get(key, "") if number == 1 else ""
        yield SecurityGroup(
            key=f"{key}/{number}" if number > 1 else key,
            tier=key,
            name="" if existing else f"{name}-{number}" if number > 1 else name,
            description="" if existing else identity.description or GROUP_DESCRIPTION,
            ingress=sides[Direction.INGRESS],
            egress=sides[Direction.EGRESS],
            id=existing,
            is_exact=not existing and key in options.names.exact,
        )
