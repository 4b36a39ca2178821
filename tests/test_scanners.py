"""What independent scanners say of every example: checkov and Trivy, both without a network.

A finding is mended, or stands in `JUSTIFIED` with its reason. What a scanner did not read it cannot find, so
the tests also ask whether it saw every rule.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from support import real

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.slow

_CHECKOUT: Final = Path(__file__).parent.parent
_EXAMPLES: Final = _CHECKOUT / "examples"
_TERRAFORM: Final = tuple(sorted(_EXAMPLES.glob("terraform/*/module")))
_BICEP: Final = tuple(sorted(_EXAMPLES.glob("bicep/*/module")))


@dataclass(frozen=True, slots=True)
class Justification:
    """Why a finding may stand, and where, if not everywhere."""

    reason: str
    only: frozenset[str] = frozenset()


# Under the id of a check and the type of a resource.
JUSTIFIED: Final = {
    ("CKV2_AWS_5", "aws_security_group"): Justification(
        "The module makes groups and hands out their ids; its caller attaches them to machines."
    ),
    ("AWS-0104", "aws_vpc_security_group_egress_rule"): Justification(
        "The deployments say `names: open`: services of Citrix Cloud have names, a security group cannot "
        "hold names, and nothing filters them in these designs.",
        frozenset(
            f'terraform/citrix-cloud/module: aws_vpc_security_group_egress_rule.this["{key}"]'
            for key in (
                "vda/egress/tcp/443/0.0.0.0/0",
                "vda/egress/tcp/443/::/0",
                "vda/egress/udp/443/0.0.0.0/0",
                "vda/egress/udp/443/::/0",
            )
        )
        | frozenset(
            f"terraform/shared-subnets/module: aws_vpc_security_group_egress_rule.this"
            f'["cloud-connector/egress/tcp/{key}"]'
            for key in ("80/0.0.0.0/0", "80/::/0", "443/0.0.0.0/0", "443/::/0")
        ),
    ),
    ("AZU-0047", "azurerm_network_security_group"): Justification(
        "The deployments declare user devices anywhere, and the gateway is there to be reached from the "
        "internet: one port of one tier.",
        frozenset(
            f'terraform/{example}/module: azurerm_network_security_group.tier["{tier}"]'
            for example, tier in (("azure-reference", "adc-client"), ("satellite-zones", "adc-north"))
        ),
    ),
}


def _name(folder: Path) -> str:
    return folder.relative_to(_EXAMPLES).as_posix()


def _binary(tool: str, variable: str) -> str:
    """Return a scanner: what a variable names, or of the checkout's own venv, or on PATH."""
    named = os.environ.get(variable)
    beside = [str(_CHECKOUT / ".venv-scan" / folder) for folder in ("bin", "Scripts")]
    found = shutil.which(named) if named else shutil.which(tool, path=os.pathsep.join(beside))
    found = found or (None if named else shutil.which(tool))
    if found is None:
        real.absent(f"no {tool} in {variable}, .venv-scan or on PATH")
    return found


def _run(command: list[str], **environment: str) -> tuple[Any, str]:
    """Return what a scanner says as JSON, and what it logs."""
    # Settings of this machine must not decide what is found.
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("CHECKOV_", "CKV_", "BC_", "PRISMA_", "TRIVY_"))
    }
    done = subprocess.run(
        command, env=kept | environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    # Checkov ends with 1 when it finds anything.
    assert done.returncode in (0, 1), done.stderr[-4000:]
    assert done.stdout, done.stderr[-4000:]
    return json.loads(done.stdout), done.stderr


_MOST: Final = 150  # rules of a map that checkov still evaluates; somewhat above 200 it gives up


def _parts(path: Path) -> list[str]:
    """Return a file of rules in parts that checkov can evaluate, each with some rules of each map."""
    text = path.read_text(encoding="utf-8")
    # A map is a name of two spaces' indent, its items have four.
    pieces = re.split(r"(?m)^(?=  \w+ = \{$)|(?<=^  \}\n)", text)
    items = [re.split(r'(?m)^(?=    "|  \})', piece) if "rules = {" in piece else [piece] for piece in pieces]
    count = max(1, *(-(-(len(item) - 2) // _MOST) for item in items))
    return [
        "".join(
            "".join([item[0], *item[1:-1][number * _MOST : (number + 1) * _MOST], item[-1]])
            if len(item) > 1
            else item[0]
            for item in items
        )
        for number in range(count)
    ]


def _joined(report: Any, other: Any) -> Any:
    """Return two reports of checkov on parts of one module as one."""
    results = {key: [*report["results"][key], *other["results"][key]] for key in report["results"]}
    summary = {
        key: report["summary"][key] + other["summary"][key] if isinstance(value, int) else value
        for key, value in report["summary"].items()
    }
    return {**report, "results": results, "summary": summary}


class Scanners:
    """Both scanners, each run at most once per folder."""

    def __init__(self) -> None:
        self.checkov = _binary("checkov", "CITRIX_NETPOLICY_CHECKOV")
        self.trivy = _binary("trivy", "CITRIX_NETPOLICY_TRIVY")
        self._said: dict[tuple[str, Path], Any] = {}

    def _checked(self, command: list[str], folder: Path, part: int) -> Any:
        # Without this, a map of more than 10,000 characters is not evaluated: its rules are never seen.
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch, "module")
            shutil.copytree(folder, copy)
            for path in copy.rglob("main.tf"):
                # Nor does it evaluate `try`: no address or port would be judged.
                text = path.read_text(encoding="utf-8")
                text = re.sub(r"= try\(((?:each|security_rule)\.value\.\w+), null\)", r"= \1", text)
                path.write_text(text, encoding="utf-8")
            for path in copy.rglob("rules.tf"):
                parts = _parts(path)
                path.write_text(parts[min(part, len(parts) - 1)], encoding="utf-8")
            said, _ = _run(
                [*command, "--directory", str(copy)], CHECKOV_RENDER_MAX_LEN="0", LOG_LEVEL="ERROR"
            )
            return said

    def ask_checkov(self, folder: Path) -> dict[str, Any]:
        """Return checkov's report on a folder."""
        framework = "bicep" if folder in _BICEP else "terraform"
        command = [self.checkov, "--skip-download", "--compact", "--output", "json", "--framework", framework]
        if ("checkov", folder) not in self._said:
            count = max((len(_parts(path)) for path in folder.rglob("rules.tf")), default=1)
            self._said["checkov", folder] = reduce(
                _joined, (self._checked(command, folder, part) for part in range(count))
            )
        report: dict[str, Any] = self._said["checkov", folder]
        return report

    def ask_trivy(self, folder: Path) -> tuple[dict[str, Any], str]:
        """Return Trivy's report on a folder, and its log: only there does it tell what it cannot parse."""
        options = ["--skip-check-update", "--skip-version-check", "--disable-telemetry", "--format", "json"]
        if ("trivy", folder) not in self._said:
            self._said["trivy", folder] = _run([self.trivy, "config", *options, str(folder)])
        report: tuple[dict[str, Any], str] = self._said["trivy", folder]
        return report


@pytest.fixture(scope="module")
def scanners() -> Scanners:
    return Scanners()


def _rules(folder: Path) -> dict[str, str]:
    """Return the text of every rule of a Terraform module under its key, subfolder first."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("rules.tf")):
        text = path.read_text(encoding="utf-8")
        for key, body in re.findall(
            r'^    "([^"]+/(?:in|e)gress/[^"]+)" = \{$(.*?)^    \}$', text, re.M | re.S
        ):
            found[f"{path.relative_to(folder).parent.as_posix()}:{key}"] = body
    return found


def _key(file: str, resource: str) -> str:
    """Return a resource that a scanner names as `_rules` does; anything but a rule gets some other key."""
    subfolder = Path(file.lstrip("/")).parent.as_posix()
    found = re.search(r'\["(.*)"\]$', resource)
    return f"{subfolder}:{found[1] if found else ''}"


def _judged(rules: Iterable[str], folder: Path) -> set[str]:
    """Return the keys under which scanners judge rules: their own in AWS, those of their groups in Azure."""
    found = set()
    for key in rules:
        subfolder, _, name = key.partition(":")
        text = (folder / subfolder / "main.tf").read_text(encoding="utf-8")
        group = re.split(r"/(?:in|e)gress/", name)[0]
        found.add(f"{subfolder}:{group}" if "azurerm_network_security_group" in text else key)
    return found


def _trivy_findings(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return check, file and resource of each finding."""
    return [
        (found["ID"], result["Target"], found["CauseMetadata"]["Resource"])
        for result in report.get("Results", ())
        for found in result.get("Misconfigurations", ())
    ]


def _findings(scanners: Scanners, folder: Path) -> set[tuple[str, str, str]]:
    """Return check, type and place of all that the scanners find; Trivy does not read Bicep."""
    found = {
        (check["check_id"], check["resource"])
        for check in scanners.ask_checkov(folder)["results"]["failed_checks"]
    }
    if folder in _TERRAFORM:
        found |= {(check, resource) for check, _, resource in _trivy_findings(scanners.ask_trivy(folder)[0])}
    types = re.compile(r"Microsoft\.[^.]+|[^.]+")
    return {
        (check, named[0] if (named := types.match(resource)) else "", f"{_name(folder)}: {resource}")
        for check, resource in found
    }


def _assert_checkov_read(report: dict[str, Any]) -> set[tuple[str, str]]:
    """Check that checkov parsed all files, and return file and resource of all that it checked."""
    assert "results" in report, f"checkov found nothing to read: {report}"
    summary, results = report["summary"], report["results"]
    assert summary["parsing_errors"] == 0, results["parsing_errors"]
    assert summary["skipped"] == 0, results["skipped_checks"]
    assert summary["resource_count"] > 0
    return {
        (check["file_path"], check["resource"])
        for outcome in ("passed_checks", "failed_checks")
        for check in results[outcome]
    }


@pytest.mark.parametrize("folder", _TERRAFORM, ids=_name)
def test_checkov_reads_every_rule(scanners: Scanners, folder: Path) -> None:
    """In Azure it reads the groups alone: what a `dynamic` block makes of a map, it does not evaluate."""
    checked = _assert_checkov_read(scanners.ask_checkov(folder))
    rules = _rules(folder)
    assert rules
    assert _judged(rules, folder) <= {_key(file, resource) for file, resource in checked}


@pytest.mark.parametrize("folder", _BICEP, ids=_name)
def test_checkov_reads_every_bicep_file(scanners: Scanners, folder: Path) -> None:
    checked = _assert_checkov_read(scanners.ask_checkov(folder))
    # A file that it cannot parse is left out whole. A file without groups has nothing to check.
    files = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.bicep")
        if "'Microsoft.Network/networkSecurityGroups@" in path.read_text(encoding="utf-8")
    }
    assert files
    assert files <= {file.lstrip("/") for file, _ in checked}


@pytest.mark.parametrize("folder", _TERRAFORM, ids=_name)
def test_trivy_parses_every_file(scanners: Scanners, folder: Path) -> None:
    report, log = scanners.ask_trivy(folder)
    assert "Error parsing" not in log, log
    assert sum(result["MisconfSummary"]["Successes"] for result in report["Results"]) > 0


@pytest.mark.parametrize("folder", _TERRAFORM, ids=_name)
def test_trivy_reads_every_rule(scanners: Scanners, folder: Path, tmp_path: Path) -> None:
    """Trivy does not tell what it read, so it gets the module once more with every address opened."""
    copy = tmp_path / "module"
    shutil.copytree(folder, copy)
    for path in copy.rglob("rules.tf"):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"^( +cidr_ipv4 += ).*$", r'\1"0.0.0.0/0"', text, flags=re.M)
        text = re.sub(r"^( +cidr_ipv6 += ).*$", r'\1"::/0"', text, flags=re.M)
        text = re.sub(r"^( +source_address_prefix += ).*$", r'\1"*"', text, flags=re.M)
        path.write_text(text, encoding="utf-8")
    # Trivy judges outbound rules in AWS and inbound rules in Azure.
    opened = {
        key
        for key, body in _rules(copy).items()
        if ("/egress/" in key and re.search(r"cidr_ipv[46] +=", body))
        or ("/ingress/" in key and re.search(r"source_address_prefix +=", body) and '"Allow"' in body)
    }
    assert opened
    found = _trivy_findings(scanners.ask_trivy(copy)[0])
    assert _judged(opened, copy) <= {
        _key(file, resource) for check, file, resource in found if check in ("AWS-0104", "AZU-0047")
    }


def test_all_findings_are_justified(scanners: Scanners) -> None:
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for folder in (*_TERRAFORM, *_BICEP):
        for check, type_, place in _findings(scanners, folder):
            places[check, type_].add(place)
    new = {finding: sorted(places[finding]) for finding in places.keys() - JUSTIFIED.keys()}
    assert not new, "findings to mend, or to justify"
    assert places.keys() == JUSTIFIED.keys(), "justifications of what no scanner finds"
    for finding, justification in JUSTIFIED.items():
        assert justification.reason
        if justification.only:
            assert places[finding] == justification.only, finding


def test_what_the_page_suppresses_for_trivy_is_the_gateway_and_nothing_else(
    scanners: Scanners, tmp_path: Path
) -> None:
    page = (_CHECKOUT / "docs" / "scanners.md").read_text(encoding="utf-8")
    policy = tmp_path / "ignore.rego"
    policy.write_text(page.partition("```rego\n")[2].partition("```")[0], encoding="utf-8")
    folder = tmp_path / "module"
    shutil.copytree(_EXAMPLES / "terraform" / "azure-reference" / "module", folder)

    def findings() -> set[tuple[str, str]]:
        options = ["--skip-check-update", "--skip-version-check", "--disable-telemetry", "--format", "json"]
        report, _ = _run([scanners.trivy, "config", *options, "--ignore-policy", str(policy), str(folder)])
        return {(check, resource) for check, _, resource in _trivy_findings(report)}

    assert findings() == set()
    rules = folder / "rules.tf"
    text = rules.read_text(encoding="utf-8")
    # Whoever opens another group is still told.
    key = next(key for key in re.findall(r'^    "(vda/ingress/allow[^"]*)" = ', text, re.MULTILINE))
    head, name, body = text.partition(f'    "{key}" = {{\n')
    body = re.sub(r"source_address_prefix( +)= .*", r'source_address_prefix\1= "*"', body, count=1)
    rules.write_text(head + name + body, encoding="utf-8")
    assert ("AZU-0047", 'azurerm_network_security_group.tier["vda"]') in findings()
