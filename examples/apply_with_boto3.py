"""A build script: compile a deployment and make its security groups with boto3.

    python examples/apply_with_boto3.py examples/terraform/reference/deployment.yaml vpc-0123456789abcdef0

It makes new groups, so it fits a pipeline that builds a network from nothing. To change groups that live, use
the Terraform module, which knows what is there.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import boto3

from citrix_netpolicy import Deployment, compile_deployment
from citrix_netpolicy.generate import options_of
from citrix_netpolicy.targets.aws.groups import security_groups

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def apply(ec2: EC2Client, path: str, vpc_id: str) -> dict[str, str]:
    """Make the security groups of a deployment with one network; return group ids by group key."""
    compilation = compile_deployment(Deployment.load(path))
    options = options_of(compilation.deployment, next(iter(compilation.deployment.networks)))
    groups = security_groups(compilation.policy, options).groups
    # All groups exist before any rule does, because rules refer to groups in both directions.
    ids = {
        group.key: ec2.create_security_group(**group.create_request(vpc_id))["GroupId"] for group in groups
    }
    (vpc,) = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    has_ipv6 = bool(vpc.get("Ipv6CidrBlockAssociationSet"))
    for group in groups:
        # AWS opens all egress of a new group; the policy says which egress there is.
        ec2.revoke_security_group_egress(**group.revoke_default_egress_request(ids, vpc_has_ipv6=has_ipv6))
        for authorize, request in (
            (ec2.authorize_security_group_ingress, group.ingress_request(ids)),
            (ec2.authorize_security_group_egress, group.egress_request(ids)),
        ):
            if request["IpPermissions"]:
                authorize(**request)
    return ids


if __name__ == "__main__":
    for key, group_id in apply(boto3.client("ec2"), *sys.argv[1:]).items():
        print(f"{group_id}  {key}")
