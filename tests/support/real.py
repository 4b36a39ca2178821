"""Real parts that tests run against: Terraform with the real provider, and EC2 as moto plays it.

What a rule must look like in them is written down here once more, straight from the policy, so that a test
never asks the code it tests.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from citrix_netpolicy import (
    Compilation,
    Deployment,
    Direction,
    Group,
    GroupKey,
    Policy,
    Rule,
    compile_deployment,
    render,
)
from citrix_netpolicy.found import folder
from citrix_netpolicy.generate import options_of
from citrix_netpolicy.identities import Identities, LastRun
from citrix_netpolicy.net import Prefix, Protocol, Service
from citrix_netpolicy.policy import ExistingGroup, GroupReference, PrefixList, rule_order
from citrix_netpolicy.syntax import document
from citrix_netpolicy.targets import Options, Output, load_target
from citrix_netpolicy.targets.aws.ec2 import rules_of
from citrix_netpolicy.targets.describe import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client

    from citrix_netpolicy.targets.aws.groups import SecurityGroup

REGION: Final = "eu-central-1"
TAGS: Final = {"Owner": "network-team"}
# Characters that AWS refuses in the value of a tag.
_NOT_OF_TAGS: Final = re.compile(r"[^\w .:/=+@-]")
NO_VPC: Final = "vpc-0123456789abcdef0"
INGRESS_RULE: Final = "aws_vpc_security_group_ingress_rule"
EGRESS_RULE: Final = "aws_vpc_security_group_egress_rule"
RULE_TYPES: Final = {INGRESS_RULE: Direction.INGRESS, EGRESS_RULE: Direction.EGRESS}

_EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "terraform"
# Where machines keep a mirror of providers, beside what the environment variable names.
_MIRRORS: Final = ("~/.terraform.d/plugins", "/usr/local/share/terraform/plugins", "/opt/*")


def absent(what: str) -> NoReturn:
    """Skip the test because a tool is absent, or fail where every tool must be there."""
    if os.environ.get("CITRIX_NETPOLICY_REQUIRE_REAL") == "1":
        pytest.fail(f"{what}, and CITRIX_NETPOLICY_REQUIRE_REAL=1 asks for it")
    pytest.skip(what)


def example(name: str) -> dict[str, Any]:
    """Return the data of an example's deployment, for a test to change."""
    data: dict[str, Any] = document.load(_EXAMPLES / name / "deployment.yaml").data
    return data


def compile_data(data: Mapping[str, Any]) -> Compilation:
    """Return a deployment, given as YAML would hold it, compiled."""
    return compile_deployment(Deployment(**data))


def files_of(
    compilation: Compilation,
    target: str,
    network: str | None = None,
    previous: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the files of a target alone, without the lists that stand beside them for people."""
    files = render(compilation, target, network, previous=previous).files
    return {name: text for name, text in files.items() if "fqdn-allowlist" not in name}


@dataclass(frozen=True, slots=True)
class Case:
    """A policy of one network, and what a target is told beside it."""

    policy: Policy
    options: Options
    cloud: str = "aws"

    @classmethod
    def of(cls, compilation: Compilation, network: str | None = None) -> Case:
        """Return one network of a compilation, or its only one."""
        names = [network] if network else list(compilation.deployment.networks)
        (name,) = names
        cloud = compilation.deployment.networks[name].cloud
        return cls(compilation.policy.in_network(name), options_of(compilation.deployment, name), cloud)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of the policy."""
        return self.policy.groups

    def render(self, target: str, identities: Identities | None = None) -> Output:
        """Return what a target makes of it."""
        module = load_target(target, self.cloud)
        return module.render(self.policy, self.options, identities or Identities())

    def files(self, target: str, previous: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the files that a target makes of it, after a run that left `previous`."""
        if previous is None:
            return self.render(target).files
        found = folder.read(previous, target, self.cloud)
        last = LastRun(found.groups, found.priorities)
        return self.render(target, Identities(last=lambda: last)).files


def read(files: Mapping[str, str], target: str, cloud: str) -> tuple[Group, ...]:
    """Return what the files of a target permit, a group for each tier."""
    return folder.read(files, target, cloud).policy.groups


# Terraform


@dataclass(frozen=True, slots=True)
class Terraform:
    """The Terraform of this machine. `initialized` is a root module that went through `terraform init`."""

    binary: str
    environment: dict[str, str]
    initialized: Path

    def run(self, folder: Path, *arguments: str) -> str:
        """Run a command in a folder and return its output; when it fails, so does the test."""
        command = [self.binary, *arguments]
        done = subprocess.run(
            command, cwd=folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = (done.stdout + done.stderr)[-4000:]
            pytest.fail(f"terraform {' '.join(arguments)}: exit code {done.returncode}\n{said}")
        return done.stdout

    def module(self, folder: Path, files: Mapping[str, str]) -> Path:
        """Lay the files of a module into `folder`, ready for `validate` and `test`."""
        lay(folder, files)
        shutil.copytree(
            self.initialized / ".terraform" / "providers", folder / ".terraform" / "providers", symlinks=True
        )
        shutil.copy(self.initialized / ".terraform.lock.hcl", folder)
        return folder

    def site(
        self, folder: Path, files: Mapping[str, str], endpoint: str | None = None, vpc: str = NO_VPC
    ) -> Site:
        """Return a root module in `folder` that calls the module of `files`."""
        lay(folder, {"main.tf": root_module(endpoint, vpc)})
        shutil.copytree(self.initialized / ".terraform", folder / ".terraform", symlinks=True)
        shutil.copy(self.initialized / ".terraform.lock.hcl", folder)
        site = Site(self, folder)
        site.place(files)
        return site


@dataclass(frozen=True, slots=True)
class Event:
    """Something that began or ended while Terraform applied a plan."""

    kind: str  # apply_start, apply_complete
    action: str  # create, update, delete
    type: str
    key: str


@dataclass(frozen=True, slots=True)
class Site:
    """A root module that calls a module of ours as `module.site`."""

    terraform: Terraform
    folder: Path

    def place(self, files: Mapping[str, str]) -> None:
        """Make `files` the called module."""
        shutil.rmtree(self.folder / "site", ignore_errors=True)
        lay(self.folder / "site", files)

    def plan(self, *arguments: str) -> dict[str, Any]:
        """Plan, and return the plan as JSON."""
        self._plan(*arguments)
        plan: dict[str, Any] = json.loads(self.terraform.run(self.folder, "show", "-json", "plan"))
        return plan

    def create(self) -> None:
        """Plan and apply for the first time."""
        self._plan("-refresh=false")
        self.apply()

    def _plan(self, *arguments: str) -> None:
        self.terraform.run(self.folder, "plan", "-input=false", "-lock=false", "-out=plan", *arguments)

    def apply(self) -> list[Event]:
        """Apply what was planned last, and return what happened, in its order."""
        output = self.terraform.run(self.folder, "apply", "-input=false", "-json", "plan")
        return list(_events(output))

    def destroy(self) -> None:
        """Destroy everything."""
        self.terraform.run(self.folder, "destroy", "-auto-approve", "-input=false", "-refresh=false")

    def output(self, name: str) -> Any:
        """Return an output of the module after an apply."""
        return json.loads(self.terraform.run(self.folder, "output", "-json", name))


def _events(output: str) -> Iterator[Event]:
    for line in output.splitlines():
        message = json.loads(line)
        if message["type"] in ("apply_start", "apply_complete"):
            resource = message["hook"]["resource"]
            yield Event(
                message["type"],
                message["hook"]["action"],
                resource["resource_type"],
                str(resource["resource_key"]),
            )


def lay(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def root_module(endpoint: str | None, vpc: str) -> str:
    """Return a root module; without an endpoint it can plan, and nothing more."""
    # With an endpoint the account id is asked for: else references to groups are read back in another form.
    where = "  skip_requesting_account_id = true\n"
    if endpoint is not None:
        services = "".join(f'    {service} = "{endpoint}"\n' for service in ("ec2", "iam", "sts"))
        where = f"  endpoints {{\n{services}  }}\n"
    tags = "".join(f'    {key} = "{value}"\n' for key, value in TAGS.items())
    return f"""
provider "aws" {{
  region = "{REGION}"
  access_key = "nobody"
  secret_key = "nothing"
  skip_credentials_validation = true
  skip_metadata_api_check = true
  skip_region_validation = true
{where}}}

module "site" {{
  source = "./site"
  vpc_id = "{vpc}"
  tags = {{
{tags}  }}
}}

output "ids" {{
  value = module.site.security_group_ids
}}

output "names" {{
  value = module.site.security_group_names
}}
"""


def identity_tags(deployment: str, tier: str) -> dict[str, str]:
    """Return the tags by which whoever finds a group knows what it is."""
    tier = _NOT_OF_TAGS.sub("_", tier)
    return {"citrix-netpolicy:deployment": deployment, "citrix-netpolicy:tier": tier}


def _mirror() -> str:
    """Return a folder of this machine that holds the AWS provider, or nothing."""
    for pattern in _MIRRORS:
        for place in sorted(glob.glob(os.path.expanduser(pattern))):  # noqa: PTH111, PTH207
            if Path(place, "registry.terraform.io", "hashicorp", "aws").is_dir():
                return place
    return ""


def cli_config(folder: Path) -> str:
    """Return a Terraform CLI configuration: the provider from a folder if there is one, else downloaded."""
    plugins = os.environ.get("CITRIX_NETPOLICY_TF_PLUGINS") or _mirror()
    cache = folder / "plugin-cache"
    cache.mkdir()
    source = "direct {}"
    if plugins:
        include = 'include = ["registry.terraform.io/hashicorp/aws"]'
        source = f"filesystem_mirror {{\npath = {json.dumps(plugins)}\n{include}\n}}"
    return f"plugin_cache_dir = {json.dumps(str(cache))}\nprovider_installation {{\n{source}\n}}\n"


# What rules must look like in Terraform


def rule_types(direction: Direction) -> str:
    """Return the type of the resource that holds a rule of this direction."""
    return {Direction.INGRESS: INGRESS_RULE, Direction.EGRESS: EGRESS_RULE}[direction]


def expected_rules(policy: Policy) -> dict[tuple[str, str], dict[str, Any]]:
    """Return every rule as the arguments of its resource, under its type and key.

    `tier` stands for the group that a rule refers to; its id is not known before it exists.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for group in policy.groups:
        for rule in group.rules:
            key = expected_key(group.tier, rule)
            place = (rule_types(rule.direction), key)
            assert place not in found, f"two rules at {place}"
            found[place] = _expected(rule)
    return found


def expected_key(tier: str, rule: Rule) -> str:
    """Return the key of a rule: a contract with every state file."""
    protocol, first, last = _protocol_and_ports(rule.service)
    if protocol == "-1":
        service = "all"
    elif protocol.startswith("icmp"):
        service = f"{protocol}/{'any' if first == -1 else first}.{'any' if last == -1 else last}"
    elif first is None:
        service = {"47": "gre", "50": "esp", "51": "ah"}.get(protocol, f"ip/{protocol}")
    else:
        service = f"{protocol}/{first}" if first == last else f"{protocol}/{first}-{last}"
    peer = f"tier:{rule.peer.tier}" if isinstance(rule.peer, GroupReference) else str(rule.peer)
    return f"{tier}/{rule.direction.value}/{service}/{peer}"


def _expected(rule: Rule) -> dict[str, Any]:
    protocol, first, last = _protocol_and_ports(rule.service)
    peer = rule.peer
    prefix = str(peer) if isinstance(peer, Prefix) else ""
    return {
        "description": describe(rule.causes, 255),
        "ip_protocol": protocol,
        "from_port": first,
        "to_port": last,
        "cidr_ipv4": prefix if prefix and ":" not in prefix else None,
        "cidr_ipv6": prefix if ":" in prefix else None,
        "prefix_list_id": peer.id if isinstance(peer, PrefixList) else None,
        "referenced_security_group_id": peer.id if isinstance(peer, ExistingGroup) else None,
        "tier": peer.tier if isinstance(peer, GroupReference) else None,
        "tags": TAGS,
    }


def _protocol_and_ports(service: Service) -> tuple[str, int | None, int | None]:
    match service:
        case Service(protocol=Protocol.ALL):
            return "-1", None, None
        case Service(protocol=Protocol.OTHER):
            return str(service.first), None, None
        case Service(protocol=Protocol.ICMP | Protocol.ICMPV6, first=0, last=65535):
            return service.protocol.value, -1, -1
        case Service(protocol=Protocol.ICMP | Protocol.ICMPV6):
            type_, code = divmod(service.first, 256)
            return service.protocol.value, type_, code if service.first == service.last else -1
    return service.protocol.value, service.first, service.last


def changes(plan: Mapping[str, Any], *types: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what a plan does to each resource of these types, or of all, under type and key."""
    return {
        (resource["type"], str(resource.get("index", ""))): resource["change"]
        for resource in plan["resource_changes"]
        if not types or resource["type"] in types
    }


def arguments_of(change: Mapping[str, Any], tier: str | None) -> dict[str, Any]:
    """Return a planned rule in the form of `expected_rules`; `tier` is what its key says it refers to."""
    after, unknown = change["after"], change["after_unknown"]
    names = ("description", "ip_protocol", "from_port", "to_port", "cidr_ipv4", "cidr_ipv6", "prefix_list_id")
    arguments = {name: after[name] for name in names}
    # The id of a group of the module is not known while planning, and that of any other group is.
    arguments["referenced_security_group_id"] = after.get("referenced_security_group_id")
    arguments["tier"] = tier if unknown.get("referenced_security_group_id") else None
    arguments["tags"] = after["tags"]
    return arguments


# EC2


def ec2_client(endpoint: str | None = None) -> EC2Client:
    """Return a client for EC2; without an endpoint it is for use under `mock_aws`."""
    import boto3  # noqa: PLC0415 - absent where real parts are

    return boto3.client(
        "ec2",
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )


def create_vpc(ec2: EC2Client, *, ipv6: bool = False) -> str:
    """Make a VPC and return its id."""
    return ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=ipv6)["Vpc"]["VpcId"]


def _has_ipv6(ec2: EC2Client, vpc: str) -> bool:
    (found,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    return bool(found.get("Ipv6CidrBlockAssociationSet"))


def create_groups(ec2: EC2Client, groups: Sequence[SecurityGroup], vpc: str) -> dict[str, str]:
    """Make security groups with the requests of the library, and return their ids by key."""
    ids = {group.key: ec2.create_security_group(**group.create_request(vpc))["GroupId"] for group in groups}
    for group in groups:
        ec2.revoke_security_group_egress(
            **group.revoke_default_egress_request(ids, vpc_has_ipv6=_has_ipv6(ec2, vpc))
        )
        ingress, egress = group.ingress_request(ids), group.egress_request(ids)
        # EC2 refuses a request without rules.
        if ingress.get("IpPermissions"):
            ec2.authorize_security_group_ingress(**ingress)
        if egress.get("IpPermissions"):
            ec2.authorize_security_group_egress(**egress)
    return ids


def read_groups(ec2: EC2Client, ids: Mapping[str, Sequence[str]], network: str) -> tuple[Group, ...]:
    """Read back the groups of every tier; `ids` maps tiers to the ids of their groups, the first first."""
    references = {tier_ids[0]: tier for tier, tier_ids in ids.items()}

    def peer(pair: document.Node) -> GroupReference | ExistingGroup:
        group = pair.members()["GroupId"].text()
        return GroupReference(references[group]) if group in references else ExistingGroup(group)

    groups = []
    for tier, tier_ids in ids.items():
        rules: list[Rule] = []
        for group in ec2.describe_security_groups(GroupIds=list(tier_ids))["SecurityGroups"]:
            sides = {
                Direction.INGRESS: group["IpPermissions"],
                Direction.EGRESS: group["IpPermissionsEgress"],
            }
            for direction, permissions in sides.items():
                for permission in permissions:
                    read = document.Document("ec2", permission, {}).root
                    rules += rules_of(read, direction, peer)
        groups.append(Group(GroupKey(network, tier), tuple(sorted(rules, key=rule_order))))
    return tuple(groups)
