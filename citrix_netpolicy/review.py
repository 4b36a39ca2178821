"""What a reviewer holds against each other: deployments, folders of ours, and revisions of a repository.

Each becomes a `Sight`. Nothing here runs what it reads; of a repository, git gives the bytes of files and
nothing else.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from citrix_netpolicy import limits
from citrix_netpolicy.compare import Sight
from citrix_netpolicy.compiler import compile_deployment
from citrix_netpolicy.errors import InputError, Mark, Problem, clean
from citrix_netpolicy.folder import MANIFEST, previous_files
from citrix_netpolicy.found import folder as found_folder
from citrix_netpolicy.generate import ends_of
from citrix_netpolicy.identities import FILE as IDENTITIES
from citrix_netpolicy.inputs.deployment import Deployment
from citrix_netpolicy.policy import Group, GroupKey, GroupReference, Policy, rule_order
from citrix_netpolicy.syntax import document

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from citrix_netpolicy.compiler import Compilation

__all__ = ["sight_at", "sight_of", "sight_of_folder"]


def sight_of(compilation: Compilation, network: str | None = None) -> Sight:
    """Return what a compiled deployment permits, in all networks or in one."""
    deployment = compilation.deployment
    policy = compilation.policy.in_network(network) if network else compilation.policy
    subnets = {name: tier.subnets for name, tier in deployment.tiers.items()}
    return Sight(policy, subnets, ends_of(deployment))


# The file that holds the rules of a target, and how a folder of it is told from one for the other cloud.
_KINDS: Final = {
    "security-groups.json": ("aws", "aws"),
    "network-security-groups.json": ("azure", "azure"),
    "main.bicep": ("bicep", "azure"),
    "rules.tf": ("terraform", ""),
}


def sight_of_folder(folder: Path) -> Sight:
    """Return what the modules in a folder of ours permit, every file that acts accounted for.

    Tiers have the names that they have now. Addresses of tiers are not known here. Raises InputError, with
    the place, for a folder that is none of ours and for all that was not generated.
    """
    if not (folder / MANIFEST).is_file():
        message = f"`{clean(str(folder), 200)}` is not a folder that was generated here"
        hint = "name a deployment, or a folder with the manifest `" + MANIFEST + "`"
        raise InputError(Problem(code="not-ours", message=message, hint=hint))
    ours = previous_files(folder)
    files = ours | _beside(folder, ours)
    places = {str(PurePosixPath(name).parent) for name in files if PurePosixPath(name).name in _KINDS}
    groups: list[Group] = []
    for place in sorted(places):
        prefix = "" if place == "." else f"{place}/"
        own = {name.removeprefix(prefix): text for name, text in files.items() if name.startswith(prefix)}
        groups += _groups_of(own, folder / place)
    return Sight(Policy.of(groups))


def _beside(folder: Path, ours: Collection[str]) -> dict[str, str]:
    """Return files that Terraform or Bicep would take up beside ours; they are refused by name."""
    return {
        path.relative_to(folder).as_posix(): ""
        for path in sorted(folder.rglob("*"))
        if path.name.endswith((".tf", ".tf.json", ".tofu", ".bicep"))
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.relative_to(folder).as_posix() not in ours
    }


def _groups_of(files: Mapping[str, str], place: Path) -> Iterator[Group]:
    rules = next(name for name in _KINDS if name in files)
    target, cloud = _KINDS[rules]
    if not cloud:
        cloud = "azure" if "azurerm_network_security_group" in files.get("main.tf", "") else "aws"
    ours = {name: text for name, text in files.items() if name != IDENTITIES and "fqdn-allowlist" not in name}
    try:
        found = found_folder.read(ours, target, cloud)
    except InputError as error:
        raise InputError(_below(problem, place) for problem in error.problems) from None
    titles = _titles(files.get(IDENTITIES, ""))
    for group in found.policy.groups:
        called = (
            replace(rule, peer=GroupReference(titles.get(rule.peer.tier, rule.peer.tier)))
            if isinstance(rule.peer, GroupReference)
            else rule
            for rule in group.rules
        )
        key = GroupKey(group.network, titles.get(group.tier, group.tier))
        yield Group(key, tuple(sorted(called, key=rule_order)))


def _below(problem: Problem, place: Path) -> Problem:
    mark = problem.mark
    return replace(problem, mark=replace(mark, file=str(place / mark.file))) if mark else problem


def _titles(identities: str) -> dict[str, str]:
    """Return what tiers are called now, by their keys."""
    if not identities:
        return {}
    tiers = document.parse_json(identities, IDENTITIES).root.members()["tiers"].members()
    return {node.members()["key"].text(): name for name, node in tiers.items() if "key" in node.members()}


# Revisions of a repository

_FILES: Final = 1000
_GIT: Final = (
    "git",
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "core.quotePath=false"),
    "--no-pager",
    "--no-replace-objects",
)


def sight_at(file: Path, revision: str, network: str | None = None) -> Sight:
    """Return what a deployment permits as a revision of its repository has it, with all that it includes.

    Raises InputError where there is no such repository, revision or file; places are told as
    `revision:path`.
    """
    top = Path(_git(file.parent, "rev-parse", "--show-toplevel").decode().strip())
    commit = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    path = file.resolve().relative_to(top.resolve()).as_posix()
    place = PurePosixPath(path).parent.as_posix()
    with tempfile.TemporaryDirectory() as scratch:
        # The deployment may include what lies below its folder, and nothing else.
        below = [] if place == "." else ["--", f"{place}/"]
        listed = _git(top, "ls-tree", "-r", "-z", "-l", "--full-tree", commit.decode().strip(), *below)
        _lay(top, Path(scratch), listed, path)
        try:
            compilation = compile_deployment(Deployment.load(Path(scratch, path)))
        except InputError as error:
            raise InputError(_at(problem, scratch, revision) for problem in error.problems) from None
        return replace(sight_of(compilation, network), moved=(scratch, revision))


def _lay(top: Path, scratch: Path, listed: bytes, wanted: str) -> None:
    """Write the YAML files of a listing below a folder, none of them a link, and none too large."""
    count = 0
    for line in listed.split(b"\0"):
        head, _, name = line.decode("utf-8", "surrogateescape").partition("\t")
        if not head or not name.endswith((".yaml", ".yml")):
            continue
        mode, _, blob, size = head.split()
        count += 1
        if not mode.startswith("100") or int(size) > limits.INPUT_BYTES or count > _FILES:
            continue
        place = scratch / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(_git(top, "cat-file", "blob", blob))
    if not (scratch / wanted).is_file():
        message = f"the revision has no file `{clean(wanted, 200)}`"
        raise InputError(Problem(code="unknown-revision", message=message, hint="name one that has it"))


def _at(problem: Problem, scratch: str, revision: str) -> Problem:
    mark = problem.mark
    if mark is None or not mark.file.startswith(scratch):
        return problem
    name = mark.file.removeprefix(scratch).lstrip("/\\")
    return replace(problem, mark=Mark(f"{revision}:{name}", mark.line, mark.column))


def _git(folder: Path, *arguments: str) -> bytes:
    """Return what git prints. It runs no hook, filter, driver or monitor of the repository."""
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("GIT_")},
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
    }
    command = [*_GIT, *arguments]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(  # noqa: S603 - users name a revision, and nothing else
            command, cwd=folder, env=environment, stdout=pipe, stderr=pipe
        ) as process:
            found, said = process.communicate(timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = Problem(code="unknown-revision", message=f"cannot run git: {clean(str(error), 200)}")
        raise InputError(problem) from None
    if process.returncode:
        why = clean(said.decode("utf-8", "replace").strip() or "no such revision", 200)
        message = f"git cannot read this: {why}"
        hint = "name a revision that is here; a shallow clone has few: `git fetch --unshallow`"
        raise InputError(Problem(code="unknown-revision", message=message, hint=hint))
    return found
