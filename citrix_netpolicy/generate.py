"""A compilation and a target become a module: the files of one network, or of all, and what is to be said."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy.ends import Ends
from citrix_netpolicy.errors import InputError, Mark, Problem, TargetError, clean, nearest
from citrix_netpolicy.findings import LOSSES, Finding
from citrix_netpolicy.folder import Module, restore_command
from citrix_netpolicy.identities import FILE as IDENTITIES
from citrix_netpolicy.identities import Identities, LastRun, read_identities
from citrix_netpolicy.readback import hold_against
from citrix_netpolicy.reports.allowlist import JSON_FILE as ALLOWLIST
from citrix_netpolicy.reports.allowlist import allowlist_files
from citrix_netpolicy.succession import keyed_policy, succeed
from citrix_netpolicy.syntax import document
from citrix_netpolicy.targets import TARGETS, Options, load_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from citrix_netpolicy.compiler import Compilation
    from citrix_netpolicy.errors import DataPath
    from citrix_netpolicy.inputs.deployment import Deployment
    from citrix_netpolicy.policy import Policy
    from citrix_netpolicy.succession import Succession
    from citrix_netpolicy.targets import Output, Target

__all__ = ["ends_of", "options_of", "render"]

# The scheme of the keys of resources in modules; a change of it is a change of every state file.
KEY_SCHEME: Final = 1
# The files that name their deployment, and how.
_HEADS: Final = frozenset(["main.bicep", "network-security-groups.json", "rules.tf", "security-groups.json"])
_DEPLOYMENT: Final = re.compile(
    r"""^(?:(?:#|//) Deployment: (.+)|  "deployment": "([^"\\]+)",?)$""", re.MULTILINE
)
_CONFLICT: Final = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)


def render(
    compilation: Compilation,
    target: str,
    network: str | None = None,
    *,
    previous: Mapping[str, str] | None = None,
    folder: str | Path = "",
    attached: Iterable[str] = (),
) -> Module:
    """Return the files of `target`, and what people should know of them. Nothing is written.

    Of a deployment with several networks, `network` picks one; without it each gets a folder of its name.
    `previous` holds the files of the last run, relative path with `/` to text, so that nothing moves that
    need not; it may lack files. `folder` is how messages call the place that they came from. `attached`
    names tiers whose machines carry all groups that the last run asked for.

    Raises InputError when the target or the network is not known, the target does not support the cloud, or
    `previous` cannot be read; TargetError when a cloud cannot hold the policy; OutputError when the files,
    read back, do not permit what was compiled.
    """
    deployment = compilation.deployment
    if target not in TARGETS:
        hint = nearest(target, TARGETS)
        raise InputError(Problem(code="unknown-target", message=f"unknown target `{target}`", hint=hint))
    if network is not None and network not in deployment.networks:
        hint = nearest(network, deployment.networks)
        raise InputError(Problem(code="unknown-network", message=f"unknown network `{network}`", hint=hint))
    tiers = frozenset(attached)
    for tier in sorted(tiers - deployment.tiers.keys()):
        hint = nearest(tier, deployment.tiers)
        raise InputError(Problem(code="unknown-tier", message=f"unknown tier `{tier}`", hint=hint))
    names = sorted(deployment.networks) if network is None else [network]
    previous = previous or {}
    files: dict[str, str] = {}
    outputs: dict[str, Output] = {}
    try:
        for name in names:
            place = f"{name}/" if len(names) > 1 else ""
            run = _Previous.of(previous, Path(folder), name, is_only=len(names) == 1)
            output = _network(compilation, target, name, run, tiers)
            files |= {f"{place}{path}": text for path, text in output.files.items()}
            outputs[name] = replace(
                output, findings=(*output.findings, *_idle_acceptances(deployment, name, output))
            )
    except (InputError, TargetError) as error:
        mended = (_with_remedy(problem, Path(folder)) for problem in error.problems)
        raise type(error)(deployment.located(problem) for problem in mended) from None
    return Module(files, _about(compilation), outputs)


def _with_remedy(problem: Problem, folder: Path) -> Problem:
    """Return a problem with the command that mends the folder of the last run, where that is the remedy."""
    if problem.code == "merge-conflict":
        return replace(problem, hint=f"run `{restore_command(folder)}`, then compile again")
    return replace(problem, hint=problem.hint.replace("FOLDER", str(folder)))


def _network(
    compilation: Compilation, target: str, network: str, previous: _Previous, attached: frozenset[str]
) -> Output:
    """Return the output of one network, with all files that stand beside the target's own."""
    deployment = compilation.deployment
    cloud = deployment.networks[network].cloud
    module = load_target(target, cloud, network)
    was = previous.deployment
    known = [deployment.name, *([deployment.renamed_from] if deployment.renamed_from else [])]
    kept = Identities(attached=attached)
    if IDENTITIES in previous.files:
        source = document.parse_json(previous.files[IDENTITIES], str(previous.folder / IDENTITIES))
        kept = replace(read_identities(source, known, network), attached=attached)
    if was is not None and was not in known:
        raise InputError(previous.foreign(was))
    last = cache(partial(previous.last_run, target, cloud, network))
    succession = succeed(deployment, network, kept, was, last)
    policy = keyed_policy(compilation, network, succession.keys)
    options = options_of(deployment, network, succession)
    try:
        output = _rendered(module, policy, options, replace(succession.identities, last=last), previous)
    except TargetError as error:
        raise TargetError(_by_tier(problem, deployment, succession) for problem in error.problems) from None
    hold_against(policy, output, target, cloud)
    files = output.files | allowlist_files(compilation, network)
    identities = succession.by_tier(output.identities).to_json(deployment.name, network)
    if identities:
        files[IDENTITIES] = identities
    titles = {key: tier for tier, key in succession.keys.items()}
    return replace(
        output,
        files=files,
        tiers={titles[key]: count for key, count in output.tiers.items()},
        findings=(*succession.findings, *(_finding_by_tier(found, succession) for found in output.findings)),
    )


def _rendered(
    module: Target, policy: Policy, options: Options, kept: Identities, previous: _Previous
) -> Output:
    """Return what a target makes of a policy after the last run.

    What that run wrote is slow to read. Where nobody asks for it, or all files come out as they are, it can
    change nothing; otherwise the files are made once more with it at hand.
    """
    asked: list[None] = []
    output = module.render(policy, options, replace(kept, last=lambda: asked.append(None)))
    if asked and previous.files and previous.is_changed(output.files):
        output = module.render(policy, options, kept)
    return output


def _by_tier(problem: Problem, deployment: Deployment, succession: Succession) -> Problem:
    """Return a problem about the key of a tier as one about the tier, or about who named its group."""
    for tier, key in succession.keys.items():
        if problem.path[:2] != ("tiers", key):
            continue
        path: DataPath = ("tiers", tier, *problem.path[2:])
        mark, hint = None, problem.hint
        group = deployment.tiers[tier].group
        if problem.code == "name-refused" and group and group.name:
            path = (*path, "group", "name")
        elif problem.code == "name-refused" and succession.identities.tier(key).mark:
            mark = succession.identities.tier(key).mark
            hint += "; mend the `name` of the tier there, or remove it"
        message = _told_by_tier(problem.message, succession)
        return replace(problem, path=path, mark=mark, hint=hint, message=message)
    return problem


def _finding_by_tier(finding: Finding, succession: Succession) -> Finding:
    subject = succession.names.title(finding.subject)
    message = _told_by_tier(finding.message, succession)
    return replace(finding, subject=subject, message=message)


def _told_by_tier(message: str, succession: Succession) -> str:
    """Return a message that calls tiers what they are called now."""
    for key, tier in succession.names.titles.items():
        message = message.replace(f"`{key}`", f"`{tier}`")
    return message


@dataclass(frozen=True, slots=True)
class _Previous:
    """The files of the last run of one network, and the folder that they came from."""

    files: Mapping[str, str]
    folder: Path

    @classmethod
    def of(cls, files: Mapping[str, str], folder: Path, network: str, *, is_only: bool) -> _Previous:
        """Find the files of one network among those of a folder, where it may have been the only one."""
        place = f"{network}/"
        inside = {name.removeprefix(place): text for name, text in files.items() if name.startswith(place)}
        if inside:
            return cls(inside, folder / network)
        return cls(files if is_only or _network_of(files) == network else {}, folder)

    @property
    def deployment(self) -> str | None:
        """The name that the deployment had in the last run, or None without one."""
        for name in sorted(self.files):
            found = _DEPLOYMENT.search(self.files[name]) if name in _HEADS else None
            if found:
                return found[1] or found[2]
        return None

    def foreign(self, was: str) -> Problem:
        """Return what is wrong with a folder of another deployment."""
        message = f"this folder holds deployment `{clean(was)}`"
        hint = "choose another output folder; after a change of name, say `renamed-from: " + clean(was) + "`"
        return Problem(code="foreign-folder", message=message, mark=Mark(str(self.folder), 1, 1), hint=hint)

    def is_changed(self, files: Mapping[str, str]) -> bool:
        """Tell whether one of these files is not as it was."""
        return any(self.files.get(name) != text for name, text in files.items())

    def last_run(self, target: str, cloud: str, network: str) -> LastRun | None:
        """Read what the last run wrote. A run of another network is none of this one.

        Raises InputError, with the place, when the files are not as they were written.
        """
        # A parser stands behind this.
        from citrix_netpolicy.found import folder  # noqa: PLC0415

        try:
            if not folder.has_rules(self.files, target, cloud):
                return None
            self._refuse_conflicts()
            found = folder.read_rules(self.files, target, cloud)
        except InputError as error:
            raise InputError(map(self._placed, error.problems)) from None
        if any(group.network != network for group in found.groups):
            return None
        return LastRun(found.groups, found.priorities)

    def _placed(self, problem: Problem) -> Problem:
        mark = problem.mark
        if mark is None:
            return problem
        hint = problem.hint or "restore the folder, for example with `git checkout -- FOLDER`"
        return replace(problem, mark=replace(mark, file=str(self.folder / mark.file)), hint=hint)

    def _refuse_conflicts(self) -> None:
        for name, text in sorted(self.files.items()):
            found = _CONFLICT.search(text)
            if found and not name.endswith(".md"):
                raise InputError(
                    Problem(
                        code="merge-conflict",
                        message="the file contains merge conflict markers",
                        mark=Mark(name, text.count("\n", 0, found.start()) + 1, 1),
                    )
                )


def _network_of(files: Mapping[str, str]) -> str | None:
    """Return the network that files in the folder itself belong to, where one does."""
    try:
        found = document.parse_json(files.get(ALLOWLIST, ""), ALLOWLIST).root.members()
        return found["network"].text()
    except (InputError, KeyError):
        return None


def _idle_acceptances(deployment: Deployment, network: str, output: Output) -> Iterator[Finding]:
    """Yield a finding for each acceptance of a loss that this target does not have in this network."""
    losses = {(finding.code, finding.subject) for finding in output.findings}
    for index, acceptance in enumerate(deployment.accept):
        for number, tier in enumerate(acceptance.subject if acceptance.finding in LOSSES else ()):
            if deployment.network_of(tier) == network and (acceptance.finding, tier) not in losses:
                mark = deployment.mark(("accept", index, "subject", number))
                yield Finding(
                    "acceptance-without-effect",
                    tier,
                    f"`{acceptance.finding}` is accepted for tier `{tier}`, which has no such loss here",
                    "remove the tier from the acceptance, unless another target needs it",
                    locations=(mark,) if mark else (),
                )


def options_of(deployment: Deployment, network: str, succession: Succession | None = None) -> Options:
    """Return what a target needs to know of one network of a deployment, beside its policy.

    `succession` says what tiers and groups are called; without it there was no last run.
    """
    found = succession or succeed(deployment, network, Identities(), None, lambda: None)
    chosen = deployment.networks[network]
    return Options(
        deployment.name,
        network,
        rules_per_group=deployment.quotas.rules_per_group,
        groups_per_interface=deployment.quotas.groups_per_interface,
        bicep_api_version=chosen.bicep_api_version,
        attach=chosen.attach,
        aws_provider=chosen.aws_provider,
        exclusive=chosen.exclusive is not False,
        accepted=frozenset(
            (item.finding, found.keys.get(subject, subject))
            for item in deployment.accept
            for subject in item.subject
        ),
        ends=ends_of(deployment),
        names=found.names,
    )


def ends_of(deployment: Deployment) -> Ends:
    """Return who has which addresses, those beyond a NAT included."""
    prefixes = {name: [*end.prefixes] for name, end in deployment.ends.items()}
    for name, tier in deployment.tiers.items():
        prefixes[name] += (*tier.public.in_, *tier.public.out) if tier.public else ()
    return Ends(prefixes)


def _about(compilation: Compilation) -> dict[str, Any]:
    """Return what the manifest says of a run: what wrote the files, and from what."""
    deployment, catalog = compilation.deployment, compilation.catalog
    edition = deployment.edition or catalog.newest_edition
    return {
        "keys": KEY_SCHEME,
        "edition": edition,
        "catalog": _digest(catalog.decisive_json(deployment.edition)),
        "input": {name: {"digest": _digest(json.dumps(data))} for name, data in sorted(_parts(deployment))},
    }


def _parts(deployment: Deployment) -> Iterable[tuple[str, Any]]:
    """Yield the parts of a deployment that a run is made of: each key, and each member of a map.

    One digest for all of it would make every two branches conflict.
    """
    for key, value in deployment.to_dict().items():
        if isinstance(value, dict):
            yield from ((f"{key}.{name}", member) for name, member in value.items())
        else:
            yield key, value


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
