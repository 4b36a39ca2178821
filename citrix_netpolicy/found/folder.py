"""Read a module of ours back: every file in it is accounted for, and nothing is guessed.

`read_rules` reads what the next run asks for, the rules alone. `read` holds all other files against what the
templates would write for these rules, too, so a rule or a resource that somebody added is not overlooked.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple

from citrix_netpolicy.errors import InputError, Mark, Problem, clean
from citrix_netpolicy.found import Found
from citrix_netpolicy.identities import MERGED
from citrix_netpolicy.policy import Direction, ExistingGroup, Group, GroupKey, GroupReference, rule_order
from citrix_netpolicy.syntax import bicep, document, hcl
from citrix_netpolicy.syntax.bicep import Call, Expression
from citrix_netpolicy.syntax.document import Node
from citrix_netpolicy.targets.aws import attributes as aws_attributes
from citrix_netpolicy.targets.aws import ec2, ec2_json
from citrix_netpolicy.targets.aws import terraform as aws_terraform
from citrix_netpolicy.targets.azure import arm, arm_json
from citrix_netpolicy.targets.azure import attributes as azure_attributes
from citrix_netpolicy.targets.azure import bicep as azure_bicep
from citrix_netpolicy.targets.azure import terraform as azure_terraform
from citrix_netpolicy.targets.azure.cover import EVERY_PORT
from citrix_netpolicy.targets.azure.effective import effective
from citrix_netpolicy.targets.azure.groups import DENY_PRIORITY
from citrix_netpolicy.traffic import reach_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from citrix_netpolicy.policy import Peer, Rule
    from citrix_netpolicy.syntax.bicep import Module
    from citrix_netpolicy.targets.azure.arm import ArmRule

__all__ = ["has_rules", "read", "read_rules"]


def read(files: Mapping[str, str], target: str, cloud: str) -> Found:
    """Return what the files of `target` for one network of a cloud say: relative path to text.

    Raises InputError, with file and line, for a file that is missing, one that is not ours, and all that the
    target would not have written.
    """
    format_ = _FORMATS[target, cloud]
    problems = [
        Problem(code="not-ours", message="this file is not part of the module", mark=Mark(name, 1, 1))
        for name in sorted(files)
        if _ACTED_UPON.search(name) and name not in format_.files
    ]
    problems += [_missing(name) for name in format_.files if name not in files and _counts(name)]
    if problems:
        raise InputError(problems)
    found = format_.read(files[format_.rules])
    format_.check(files)
    return found


def read_rules(files: Mapping[str, str], target: str, cloud: str) -> Found:
    """Return what the one file says that holds the rules, whatever stands beside it. Raises InputError."""
    format_ = _FORMATS[target, cloud]
    if format_.rules not in files:
        raise InputError(_missing(format_.rules))
    return format_.read(files[format_.rules])


def has_rules(files: Mapping[str, str], target: str, cloud: str) -> bool:
    """Tell whether the file that holds the rules of a target is there."""
    return _FORMATS[target, cloud].rules in files


# What Terraform, OpenTofu and Bicep take up from a folder without being told: code, values of variables,
# settings, and what a remote run is spared. Tests, lock files and what people read change nothing of a
# deployment, and a file of values under another name is used only where a command names it.
_ACTED_UPON: Final = re.compile(
    r"""
    \.(?:tf|tofu)(?:\.json)?\Z
    |(?:(?:\A|/)terraform|\.auto)\.tfvars(?:\.json)?\Z
    |(?:\A|/)\.terraformignore\Z
    |\.bicep\Z
    |(?:\A|/)bicepconfig\.json\Z
    """,
    re.VERBOSE,
)


_LINTER: Final = "bicepconfig.json"


def _counts(name: str) -> bool:
    """Tell whether a file takes part in what is deployed; settings of a linter do not."""
    return name.endswith((".tf", ".bicep", ".json")) and name != _LINTER


def _missing(name: str) -> Problem:
    return Problem(code="missing-file", message="the file is missing", mark=Mark(name, 1, 1))


# AWS


def _ec2_json(text: str) -> Found:
    root = document.parse_json(text, ec2_json.FILE).root
    fields = root.fields(("version", "deployment", "network", "groups"), ("//",))
    fields["version"].only(1, "version 1")
    fields["deployment"].text()
    network = fields["network"].text()
    required = ("key", "tier", "IpPermissions", "IpPermissionsEgress")
    head = ("GroupName", "Description", "GroupId")
    groups = [node.fields(required, head) for node in fields["groups"].items()]
    parts = _Parts(network)
    names: set[str] = set()
    for group in groups:
        parts.add(group["tier"].text(), group["key"])
        said = [group[key].text() for key in head if key in group]
        is_new = "GroupId" not in group
        if len(said) != (2 if is_new else 1):
            raise group["key"].refusal("expected `GroupName` and `Description`, or `GroupId`")
        if said[0].lower() in names:
            place = group["GroupName" if is_new else "GroupId"]
            raise place.refusal("two groups have this name or id", code="duplicate-name")
        names.add(said[0].lower())
    for group in groups:
        key = group["key"].text()
        for field, direction in (
            ("IpPermissions", Direction.INGRESS),
            ("IpPermissionsEgress", Direction.EGRESS),
        ):
            for permission in group[field].items():
                for rule in ec2.rules_of(permission, direction, parts.peer, f"{key}/{field}"):
                    parts.hold(key, rule, permission)
    return parts.found()


class _Parts:
    """The groups of each tier in AWS, while they are read."""

    def __init__(self, network: str) -> None:
        self.network = network
        self.rules: dict[str, dict[Rule, None]] = {}
        self.keys: dict[str, list[str]] = {}

    def add(self, tier: str, node: Node) -> None:
        """Add a group of a tier; its key is that of the tier, or the same with a number."""
        key = node.text()
        number = len(self.keys.setdefault(tier, [])) + 1
        first = self.keys[tier][0] if self.keys[tier] else key
        if key in self.rules or key != (first if number == 1 else f"{first}/{number}"):
            raise node.refusal(f"`{clean(key)}` is not the key of group {number} of this tier")
        self.keys[tier].append(key)
        self.rules[key] = {}

    @property
    def tiers(self) -> dict[str, str]:
        """The tier of each first group, which is what rules refer to."""
        return {keys[0]: tier for tier, keys in self.keys.items()}

    def tier_of(self, key: str) -> str:
        """Return the tier that a group belongs to."""
        return next(tier for tier, keys in self.keys.items() if key in keys)

    def hold(self, key: str, rule: Rule, node: Node) -> None:
        """Put a rule into a group that does not hold it yet."""
        if rule in self.rules[key]:
            raise node.refusal("the group holds this rule already", code="duplicate-value")
        self.rules[key][rule] = None

    def peer(self, pair: Node) -> Peer:
        """Return the peer that a pair of user and group names; ids of our own groups are placeholders."""
        fields = pair.fields(("GroupId",), ("UserId", "Description"))
        group = fields["GroupId"].text()
        if group.startswith("tier:") and "UserId" not in fields:
            if group.removeprefix("tier:") not in self.tiers:
                raise fields["GroupId"].refusal(f"`{clean(group)}` is not a group of this file")
            return GroupReference(self.tiers[group.removeprefix("tier:")])
        if not re.fullmatch("sg-[0-9a-f]{8,17}", group):
            raise fields["GroupId"].refusal(f"`{clean(group)}` is not the id of a group")
        return ExistingGroup(f"{fields['UserId'].text()}/{group}" if "UserId" in fields else group)

    def found(self) -> Found:
        groups = tuple(
            Group(GroupKey(self.network, key), tuple(sorted(rules, key=rule_order)))
            for key, rules in self.rules.items()
        )
        attachments = {
            tier: tuple(GroupKey(self.network, key) for key in keys) for tier, keys in self.keys.items()
        }
        return Found(groups, attachments)


_RULES_TF: Final = "rules.tf"


def _terraform_aws(text: str) -> Found:
    body = hcl.read_literals(text, _RULES_TF).root.fields(("locals",))["locals"]
    fields = body.fields(("deployment", "tiers", "groups", "ingress_rules", "egress_rules"))
    fields["deployment"].text()
    parts = _Parts(hcl.heading(text, "Network", _RULES_TF))
    groups = fields["groups"].members()
    for group in groups.values():
        if "id" in group.members():
            words = group.fields(("id", "tier", "exclusive"))
            if type(words.pop("exclusive").value) is not bool:
                raise group.refusal("`exclusive` is true or false")
        else:
            words = group.fields(("name", "description", "tier"), ("exact",))
            if "exact" in words:
                words.pop("exact").only(value=True, what="true")
        for word in words.values():
            word.text()
    for tier, keys in fields["tiers"].members().items():
        if not keys.items():
            raise keys.refusal("expected at least one value")
        for key in keys.items():
            key.choice(groups)
            parts.add(tier, key)
    for name, group in groups.items():
        if name not in parts.rules:
            raise group.refusal("this group belongs to no tier")
    for direction in Direction:
        kind = f"aws_vpc_security_group_{direction}_rule"
        for name, node in fields[f"{direction}_rules"].members().items():
            address = f"{kind}.this[{hcl.literal(name)}]"
            holder, rule = aws_attributes.rule_of(direction, node, parts.tiers, address)
            if holder not in parts.rules:
                raise node.refusal(f"`{clean(holder)}` is not one of the groups")
            if name != _rule_key(parts, parts.tier_of(holder), rule):
                raise node.refusal("the key of this rule does not say what the rule is")
            parts.hold(holder, rule, node)
    return parts.found()


def _rule_key(parts: _Parts, tier: str, rule: Rule) -> str:
    """Return the key that a rule of a tier has; rules name tiers by the keys of their groups."""
    first = parts.keys[tier][0]
    if isinstance(rule.peer, GroupReference):
        named = GroupReference(parts.keys[rule.peer.tier][0])
        return aws_attributes.rule_key(first, replace(rule, peer=named))
    return aws_attributes.rule_key(first, rule)


# Azure


def _arm_json(text: str) -> Found:
    root = document.parse_json(text, arm_json.FILE).root
    fields = root.fields(("version", "deployment", "network", "groups"), ("//",))
    fields["version"].only(1, "version 1")
    fields["deployment"].text()
    groups = _Groups(fields["network"].text())
    for node in fields["groups"].items():
        group = node.fields(("tier", "name", "properties"))
        rules = group["properties"].fields(("securityRules",))["securityRules"]
        groups.add(group["tier"].text(), group["name"].text(), node, rules.items(), _tier_of_placeholder)
    return groups.found()


def _tier_of_placeholder(node: Node) -> str:
    text = node.text()
    if not text.startswith("tier:"):
        raise node.refusal(f"`{clean(text)}` is not the placeholder of a tier")
    return arm.tier_of(text)


class _Groups:
    """The groups of an Azure network, while they are read."""

    def __init__(self, network: str) -> None:
        self.network = network
        self.groups: dict[str, Group] = {}
        self.names: set[str] = set()
        self.priorities: dict[tuple[str, Direction, str], int] = {}

    def add(
        self, tier: str, name: str, node: Node, rules: Iterable[Node], tier_of: Callable[[Node], str]
    ) -> None:
        """Add the group of a tier. Raises InputError when it is not as we write groups."""
        if tier in self.groups or name.lower() in self.names:
            raise node.refusal("two groups have this tier or name", code="duplicate-name")
        self.names.add(name.lower())
        read = [arm.read_rule(rule, tier_of) for rule in rules]
        _refuse_doubles(read)
        permitted: list[Rule] = []
        for direction in Direction:
            permitted += self._side(
                tier, name, node, [rule for rule in read if rule.direction is direction], direction
            )
        self.groups[tier] = Group(GroupKey(self.network, tier), tuple(sorted(permitted, key=rule_order)))

    def _side(
        self, tier: str, name: str, node: Node, rules: list[ArmRule], direction: Direction
    ) -> list[Rule]:
        if not rules and direction is Direction.EGRESS:
            # Azure's default rules let everything out.
            whole = _rule_of_everything(direction, node.mark)
            return list(arm.rules_of(whole, f"{name}/default"))
        permitted: list[tuple[ArmRule, tuple[Rule, ...]]] = []
        for rule in rules:
            if rule.allows:
                if rule.priority == DENY_PRIORITY:
                    raise _refusal(rule, "the last priority is that of the final deny")
                permitted.append((rule, arm.rules_of(rule, f"{name}/{rule.name}")))
                self.priorities[tier, direction, rule.name] = rule.priority
            elif not _is_final(rule):
                raise _refusal(rule, "this is not the deny of everything that ends a group")
        if all(rule.allows for rule in rules):
            message = f"group `{clean(name)}` does not end with a deny, {direction}"
            raise node.refusal(message, code="no-final-deny")
        # Rules may overlap, but the fewest of them hold none that others say already.
        times = Counter(part for _, parts in permitted for part in parts)
        for rule, parts in permitted:
            if all(times[part] > 1 for part in parts):
                raise _refusal(rule, "other rules allow all of this already")
        outcome = effective(rules, direction)
        if outcome.unknown or outcome.reach != reach_of(times):
            message = f"group `{clean(name)}` does not permit what its rules say, {direction}"
            raise node.refusal(message, code="not-ours")
        return [part for _, parts in permitted for part in parts]

    def found(self) -> Found:
        groups = tuple(self.groups[tier] for tier in sorted(self.groups))
        return Found(groups, {group.tier: (group.key,) for group in groups}, priorities=self.priorities)


def _rule_of_everything(direction: Direction, mark: Mark) -> ArmRule:
    every = (EVERY_PORT,)
    return arm.ArmRule(
        "default",
        65001,
        direction,
        allows=True,
        protocol="*",
        spans=every,
        theirs=None,
        ours=None,
        source_spans=every,
        mark=mark,
    )


def _refuse_doubles(rules: Iterable[ArmRule]) -> None:
    """Refuse two rules of a group with one name, or two of one direction with one priority."""
    names: set[str] = set()
    numbers: set[tuple[Direction, int]] = set()
    for rule in rules:
        if rule.name.lower() in names:
            raise _refusal(rule, "another rule has this name")
        if (rule.direction, rule.priority) in numbers:
            message = f"rule `{clean(rule.name)}`: another rule has the priority {rule.priority}"
            problem = Problem(code="priority-clash", message=message, mark=rule.mark, hint=MERGED)
            raise InputError(problem)
        names.add(rule.name.lower())
        numbers.add((rule.direction, rule.priority))


def _is_final(rule: ArmRule) -> bool:
    everything = (EVERY_PORT,)
    return (rule.priority, rule.protocol, rule.theirs, rule.ours) == (
        DENY_PRIORITY,
        "*",
        None,
        None,
    ) and rule.spans == rule.source_spans == everything


def _refusal(rule: ArmRule, message: str) -> InputError:
    return InputError(
        Problem(code="not-ours", message=f"rule `{clean(rule.name)}`: {message}", mark=rule.mark)
    )


def _terraform_azure(text: str) -> Found:
    body = hcl.read_literals(text, _RULES_TF).root.fields(("locals",))["locals"]
    fields = body.fields(("deployment", "groups", "rules"), ("application_security_groups",))
    fields["deployment"].text()
    groups = _Groups(hcl.heading(text, "Network", _RULES_TF))
    names: dict[str, str] = {}
    for tier, node in fields["groups"].members().items():
        words = node.fields(("name", "tier"))
        words["tier"].text()
        names[tier] = words["name"].text()
    asgs = fields["application_security_groups"].members() if "application_security_groups" in fields else {}
    for asg in asgs.values():
        asg.text()
    rules: dict[str, list[Node]] = {tier: [] for tier in names}
    for key, node in fields["rules"].members().items():
        group, rule = azure_attributes.read_rule(node)
        if group.text() not in names:
            raise group.refusal(f"`{clean(group.text())}` is not one of the groups")
        made = arm.read_rule(rule, lambda node: node.choice(asgs))
        if key != f"{group.text()}/{made.direction}/{made.name}":
            raise node.refusal("the key of this rule does not say what the rule is")
        rules[group.text()].append(rule)
    for tier, node in fields["groups"].members().items():
        groups.add(tier, names[tier], node, rules[tier], lambda node: node.choice(asgs))
    return groups.found()


_BICEP: Final = "main.bicep"
_PARAMETERS: Final = "main.bicepparam"


def _bicep(text: str) -> Found:
    module = bicep.read_module(text, _BICEP)
    groups = _Groups(hcl.heading(text, "Network", _BICEP, "//"))
    deployment = hcl.heading(text, "Deployment", _BICEP, "//")
    bodies = module.resources.root.members()
    tiers = _tiers_of(module)
    names: dict[tuple[str, str], str] = {}
    for symbol, node in bodies.items():
        fields = node.fields(("name", "location", "tags", "properties"))
        name = fields["name"].text().lower()
        if names.setdefault((module.types[symbol], name), symbol) != symbol:
            raise fields["name"].refusal("two resources have this name", code="duplicate-name")
        if symbol not in tiers:
            raise node.refusal("no output gives the id of this resource")
        if fields["location"].value != Expression("location"):
            raise fields["location"].refusal("expected the parameter `location`")
        _title(fields["tags"], deployment)
    asgs = {symbol: tiers[symbol] for symbol, node in bodies.items() if not _holds_rules(node)}
    for symbol in asgs:
        bodies[symbol].members()["properties"].fields(())

    def tier_of(node: Node) -> str:
        symbol = node.value.text.removesuffix(".id") if isinstance(node.value, Expression) else ""
        if symbol not in asgs or node.value.text != f"{symbol}.id":
            raise node.refusal("expected the id of an application security group of this file")
        return asgs[symbol]

    for symbol, node in bodies.items():
        if symbol not in asgs:
            fields = node.members()
            rules = fields["properties"].fields(("securityRules",))["securityRules"]
            groups.add(tiers[symbol], fields["name"].text(), node, rules.items(), tier_of)
    return groups.found()


def _tiers_of(module: Module) -> dict[str, str]:
    """Return the key of the tier that each resource belongs to, as the outputs of ids say."""
    found: dict[str, str] = {}
    outputs = module.outputs.root.members()["output"].members()
    for name in ("networkSecurityGroupIds", "applicationSecurityGroupIds"):
        for key, node in outputs[name].members().items() if name in outputs else ():
            symbol = node.value.text.removesuffix(".id") if isinstance(node.value, Expression) else ""
            if symbol not in module.types or node.value.text != f"{symbol}.id" or symbol in found:
                raise node.refusal("expected the id of a resource of this file, each once")
            found[symbol] = key
    return found


def _title(tags: Node, deployment: str) -> str:
    """Return what a tier is called, by the tags of its resource: those of the caller, and two of ours."""
    match tags.value:
        case Call("union", (Expression("tags"), dict() as ours)):
            title = ours.get("citrix-netpolicy:tier")
            if ours.keys() == _TAGS and isinstance(title, str) and deployment in ours.values():
                return title
    raise tags.refusal("expected the tags of the caller, and those of deployment and tier")


_TAGS: Final = {"citrix-netpolicy:deployment", "citrix-netpolicy:tier"}


def _holds_rules(node: Node) -> bool:
    properties = node.members()["properties"].value
    return not isinstance(properties, dict) or bool(properties)


# What stands beside the rules


def _no_check(_files: Mapping[str, str]) -> None:
    """Hold nothing: the rules are all there is."""


def _check_terraform_aws(files: Mapping[str, str]) -> None:
    _check_second_opinion(files[_RULES_TF])
    groups = hcl.read_literals(files[_RULES_TF], _RULES_TF).data["locals"]["groups"].values()
    versions = {f'version = "{text}"': number for number, text in aws_terraform.PROVIDERS.items()}
    found = [number for text, number in versions.items() if text in files["versions.tf"]]
    context = {
        "provider": found[0] if found else None,
        "providers": aws_terraform.PROVIDERS,
        # Both are modules of ours; which of them this is, the deployment says.
        "is_exclusive": '"aws_vpc_security_group_rules_exclusive"' in files["main.tf"],
        "has_existing": any("id" in group for group in groups),
        "has_exact": any("exact" in group for group in groups),
    }
    _check_templates(files, "terraform-aws", aws_terraform.FILES, context)


def _check_terraform_azure(files: Mapping[str, str]) -> None:
    _check_second_opinion(files[_RULES_TF])
    body = hcl.read_literals(files[_RULES_TF], _RULES_TF).data["locals"]
    asgs = body.get("application_security_groups", {})
    # One variable tells the two ways to attach groups apart, and all files are held to its way.
    of_interfaces = 'variable "network_interface_ids"' in files["variables.tf"]
    context = {"asgs": asgs, "of_interfaces": of_interfaces}
    _check_templates(files, "terraform-azure", azure_terraform.FILES, context)


def _check_templates(
    files: Mapping[str, str], folder: str, names: Iterable[str], context: Mapping[str, object]
) -> None:
    """Hold the files without rules against their templates, without comments and spaces."""
    for name in names:
        if name.endswith(".tf") and name != _RULES_TF:
            expected = hcl.tokens_of(hcl.render(f"{folder}/{name}.j2", **{"rules": _WAYS, **context}), name)
            _check_tokens(hcl.tokens_of(files[name], name), expected, name)


# The templates of AWS have a resource for each direction.
_WAYS: Final[dict[str, dict[str, object]]] = {str(direction): {} for direction in Direction}


def _check_tokens(found: list[tuple[str, int]], expected: list[tuple[str, int]], name: str) -> None:
    line = 1
    for there, wanted in zip_longest(found, expected):
        if there == wanted or (there and wanted and there[0] == wanted[0]):
            line = there[1] if there else line
            continue
        told = f"`{clean(there[0])}`" if there else "the end of the file"
        message = f"this differs from what is generated: found {told}"
        if wanted:
            message += f", expected `{clean(wanted[0])}`"
        mark = Mark(name, there[1] if there else line, 1)
        raise InputError(Problem(code="not-ours", message=message, mark=mark))


def _check_second_opinion(text: str) -> None:
    """Let an independent parser read the rules, too: both must find the same."""
    ours = hcl.read_literals(text, _RULES_TF).data["locals"]
    try:
        blocks = hcl.plain(hcl.parse(text, _RULES_TF).get("locals", []))
    except ValueError:
        blocks = []
    if blocks != [ours]:
        message = "python-hcl2 reads this file in another way; rename what has `${` or `%{` in its name"
        raise InputError(Problem(code="not-hcl", message=message, mark=Mark(_RULES_TF, 1, 1)))


def _check_bicep(files: Mapping[str, str]) -> None:
    """Hold all of the module but the values of its resources against the template."""
    text = files[_BICEP]
    module = bicep.read_module(text, _BICEP)
    types = {type_.partition("@")[2] for type_ in module.types.values()}
    deployment = hcl.heading(text, "Deployment", _BICEP, "//")
    network = hcl.heading(text, "Network", _BICEP, "//")
    tiers: dict[str, dict[str, azure_bicep.Named]] = {"asg": {}, "nsg": {}}
    keys = _tiers_of(module)
    for symbol, node in module.resources.root.members().items():
        kind = "nsg" if _holds_rules(node) else "asg"
        tier, fields = keys[symbol], node.members()
        if symbol != azure_bicep.symbol_of(kind, tier):
            raise node.refusal(f"the symbol of tier `{clean(tier)}` is `{azure_bicep.symbol_of(kind, tier)}`")
        tiers[kind][tier] = azure_bicep.Named(fields["name"].text(), _title(fields["tags"], deployment))
    version = types.pop() if len(types) == 1 else ""
    context = azure_bicep.context_of(deployment, network, version, tiers["nsg"], tiers["asg"])
    expected = bicep.read_module(bicep.render(f"bicep/{_BICEP}.j2", **context), _BICEP)
    _check_tokens(module.rest, expected.rest, _BICEP)
    if _PARAMETERS in files:
        # The file that the README deploys with; whoever has other values gives them in a copy.
        theirs = bicep.read_module(files[_PARAMETERS], _PARAMETERS)
        ours = bicep.read_module(bicep.render(f"bicep/{_PARAMETERS}.j2", **context), _PARAMETERS)
        _check_tokens(theirs.rest, ours.rest, _PARAMETERS)
        if theirs.resources.data:
            raise theirs.resources.root.refusal("a file of parameters holds no resources")
    for symbol, type_ in module.types.items():
        if type_ != expected.types[symbol]:
            node = Node(module.resources, (symbol,), None)
            raise node.refusal(f"expected the type `{expected.types[symbol]}`")
    for name, node in module.outputs.root.members()["output"].members().items():
        if node.value != expected.outputs.data["output"].get(name):
            raise node.refusal("this output is not what is generated")
    if _LINTER in files:
        expected_rules = document.parse_json(bicep.render(f"bicep/{_LINTER}.j2"), _LINTER).data
        if document.parse_json(files[_LINTER], _LINTER).data != expected_rules:
            message = "this differs from what is generated"
            raise InputError(Problem(code="not-ours", message=message, mark=Mark(_LINTER, 1, 1)))


class _Format(NamedTuple):
    """How the files of a target are read: the file of the rules, all files, and what checks the others."""

    rules: str
    files: tuple[str, ...]
    read: Callable[[str], Found]
    check: Callable[[Mapping[str, str]], None]


_FORMATS: Final[dict[tuple[str, str], _Format]] = {
    ("aws", "aws"): _Format(ec2_json.FILE, (ec2_json.FILE,), _ec2_json, _no_check),
    ("terraform", "aws"): _Format(_RULES_TF, aws_terraform.FILES, _terraform_aws, _check_terraform_aws),
    ("azure", "azure"): _Format(arm_json.FILE, (arm_json.FILE,), _arm_json, _no_check),
    ("terraform", "azure"): _Format(
        _RULES_TF, azure_terraform.FILES, _terraform_azure, _check_terraform_azure
    ),
    ("bicep", "azure"): _Format(_BICEP, azure_bicep.FILES, _bicep, _check_bicep),
}
