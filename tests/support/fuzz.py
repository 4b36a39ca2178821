"""A fuzzer of everything that reads: files that are nearly right, and what the readers make of them.

A reader takes bytes. It ends, or refuses them with an error of ours that says where; anything else is a find.
Mutants are drawn from a number, so a find can be made again; what was found stays in `tests/hostile/finds`,
by the name of its reader.
`.ci/run fuzz` tries new ones for some time.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
import re
import signal
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from citrix_netpolicy import (
    Deployment,
    InputError,
    NetpolicyError,
    Problem,
    compile_deployment,
    journal,
    render,
)
from citrix_netpolicy import folder as folders
from citrix_netpolicy.found import folder as found
from citrix_netpolicy.found.evaluated import read_evaluated
from citrix_netpolicy.found.snapshot import read_snapshot
from citrix_netpolicy.identities import read_identities
from citrix_netpolicy.inputs.catalog import compose_catalog, load_catalog, load_state
from citrix_netpolicy.net import Prefix
from citrix_netpolicy.reports.catalog import EXPORTS
from citrix_netpolicy.reports.catalog_diff import diff_catalogs
from citrix_netpolicy.syntax import bicep, document, hcl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FINDS", "HOSTILE", "READERS", "Outcome", "mutant", "tried"]

ROOT: Final = Path(__file__).parents[2]
HOSTILE: Final = ROOT / "tests" / "hostile"
FINDS: Final = HOSTILE / "finds"
# Far more than any mutant of a small file takes on a busy machine.
SECONDS: Final = 20.0
LONGEST: Final = 4_000


class Outcome(NamedTuple):
    """What a reader made of a file: whether it refused it, and what is wrong with that, or ""."""

    refused: bool
    wrong: str


class Reader(NamedTuple):
    """What is read, how, and what mutants are made of."""

    read: Callable[[bytes], object]
    seeds: Callable[[], tuple[bytes, ...]]


def tried(reader: str, content: bytes) -> Outcome:
    """Let a reader have a file."""
    begun = time.process_time()
    refused, wrong = False, ""
    try:
        with _alarmed():
            READERS[reader].read(content)
    except NetpolicyError as error:
        refused, wrong = True, _wrong(error, content)
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    taken = time.process_time() - begun
    if not wrong and taken > SECONDS:
        wrong = f"it took {taken:.0f} s"
    return Outcome(refused, wrong)


@contextmanager
def _alarmed() -> Iterator[None]:
    """End what never ends, where the system can: one find is worth more than a night of waiting."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise TimeoutError(f"it took more than {3 * SECONDS:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 3 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _wrong(error: NetpolicyError, content: bytes) -> str:
    """Tell what is wrong with an error of ours; "" when nothing is."""
    if not error.problems:
        return "an error without a problem"
    lines = len(re.split(rb"\r\n|\r|\n|\xc2\x85|\xe2\x80[\xa8\xa9]", content))
    for problem in error.problems:
        text = str(problem)
        if len(text) > LONGEST:
            return f"a message of {len(text)} characters"
        if not re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", problem.code):
            return f"`{problem.code}` is no code"
        mark = problem.mark
        if mark and mark.file in ("input", str(_folder() / "input")) and not 1 <= mark.line <= lines + 1:
            return f"line {mark.line} of {lines}: {text}"
        if re.search(r"Traceback|object at 0x|<class |NoneType|pydantic|\bErrno\b", text):
            return f"a message that shows Python: {text}"
    return ""


# Readers


@cache
def _folder() -> Path:
    """Return a folder of this process, for what is read from disk."""
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def _read_deployment(content: bytes) -> None:
    deployment = Deployment.from_document(document.parse(content, "input"))
    if deployment.catalogs:
        return  # the next reader is for these, and has their files
    compilation = compile_deployment(deployment)
    again = Deployment.from_document(document.parse(deployment.to_yaml().encode(), "again"))
    if again != deployment:
        raise AssertionError("written as YAML, it is another deployment")
    for name, network in deployment.networks.items():
        for target in {"aws": ("aws", "terraform"), "azure": ("azure", "bicep")}[network.cloud]:
            render(compilation, target, name)


@cache
def _shipped() -> tuple[document.Document, ...]:
    files = sorted((ROOT / "catalog").glob("*.yaml"))
    return tuple(document.load(file, f"catalog/{file.name}") for file in files)


def _read_catalogue(content: bytes) -> None:
    """Read one file of the shipped catalogue in place of itself: nearly all of them stand on others."""
    file = _folder() / "input"
    file.write_bytes(content)
    load_catalog(file)


def _read_shipped(content: bytes) -> None:
    one = document.parse(content, "input")
    compose_catalog([one, *(other for other in _shipped() if other.file != "catalog/storefront.yaml")])


def _read_export(content: bytes) -> None:
    """Read what `catalog export --format full` writes, and hold it against itself."""
    file = _folder() / "input"
    file.write_bytes(content)
    found = load_state(str(file))
    if diff_catalogs(found, found):
        raise AssertionError("a state differs from itself")


_SMALL: Final = """
documents: {paper: {title: Paper, publisher: Nobody, lines: 9, read: 2026-01-01, frozen: [S]}}
editions: {"2026.11": {description: the first}, "2026.12": {description: the second}}
roles: {web: {title: Web, description: d, kind: host}, far: {title: Far, description: d, kind: name}}
features: {old: {description: d, default: false, changed: {"2026.12": true}, roles: [web], clouds: [aws]}}
parameters: {port: {description: d, protocol: tcp}}
regions: {eu: {title: Europe}}
products: {P: {aliases: [Q]}}
bundles: {both: {description: d, entries: [one]}}
entries:
  - id: one
    product: P
    citations: [{document: paper, section: S, line: 1, since: "2026.12"}]
    source: web
    destination: far
    purpose: x
    treatment: name
    reason: By name
    names: [a.example, "*.b.example"]
    regional: {eu: [eu.example]}
    services: [{protocol: tcp, ports: [443], parameter: port, until: "2026.12"}, {protocol: udp, ports: 1-9}]
"""


def _small_export() -> bytes:
    return EXPORTS["full"](compose_catalog([document.parse(_SMALL.encode(), "small.yaml")])).encode()


def _read_identities(content: bytes) -> None:
    read_identities(document.parse_json(content, "input"), ["reference"], "main")


def _read_manifest(content: bytes) -> None:
    (_folder() / folders.MANIFEST).write_bytes(content)
    folders.previous_files(_folder())


def _read_journal(content: bytes) -> None:
    place = _folder() / "journal"
    work = place / journal.WORK
    work.mkdir(parents=True, exist_ok=True)
    (place / "rules.tf").write_text("here")
    (work / "journal.json").write_bytes(content)
    try:
        journal.recover(place)
    finally:
        outside = [path.name for path in _folder().iterdir() if path.name not in _OWN]
        if outside:
            raise AssertionError(f"a journal made {outside}")


_OWN: Final = ("journal", "input", folders.MANIFEST)


def _evaluated() -> tuple[bytes, ...]:
    """Return a state, and the line of a test, with every kind of rule and of what carries a group."""
    rule = {"security_group_id": "sg-1", "ip_protocol": "tcp", "from_port": 443, "to_port": 444}
    values = {
        "aws_security_group": {
            "id": "sg-1",
            "tags": {"citrix-netpolicy:tier": "vda", "citrix-netpolicy:deployment": "site"},
            "ingress": [
                {"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": ["10.0.0.0/8"], "self": True}
            ],
        },
        "aws_vpc_security_group_ingress_rule": {**rule, "cidr_ipv4": "10.0.0.0/8"},
        "aws_vpc_security_group_egress_rule": {**rule, "referenced_security_group_id": "sg-1"},
        "aws_security_group_rule": {
            "security_group_id": "sg-1",
            "type": "egress",
            "protocol": "icmp",
            "from_port": 3,
            "to_port": -1,
            "ipv6_cidr_blocks": ["2001:db8::/32"],
            "prefix_list_ids": ["pl-1"],
        },
        "aws_subnet": {"id": "subnet-1", "cidr_block": "10.0.4.0/24"},
        "aws_instance": {"id": "i-1", "subnet_id": "subnet-1", "vpc_security_group_ids": ["sg-1"]},
        "aws_network_interface_sg_attachment": {"network_interface_id": "i-1", "security_group_id": "sg-1"},
    }
    resources = [
        {"address": f"{type_}.x", "mode": "managed", "type": type_, "values": one}
        for type_, one in values.items()
    ]
    root = {"root_module": {"resources": resources[:3], "child_modules": [{"resources": resources[3:]}]}}
    line = {"@level": "info", "test_state": root, "type": "test_state"}
    return json.dumps({"values": root}).encode(), json.dumps(line, separators=(",", ":")).encode()


def _snapshot() -> tuple[bytes, ...]:
    """Return a snapshot of a group with its rules, and a network whose subnet carries it."""
    rules = [
        {
            "name": name,
            "properties": {
                "protocol": "Tcp",
                "sourcePortRange": "*",
                "destinationPortRanges": ["443", "80-90"],
                "sourceAddressPrefix": "10.0.0.0/8",
                "destinationAddressPrefix": "*",
                "access": access,
                "priority": priority,
                "direction": "Inbound",
            },
        }
        for name, access, priority in (("allow", "Allow", 200), ("deny", "Deny", 100))
    ]
    kind = "Microsoft.Network/networkSecurityGroups"
    tags = {"citrix-netpolicy:tier": "vda"}
    subnet = {"addressPrefix": "10.0.4.0/24", "networkSecurityGroup": {"id": "/nsg"}}
    resources = [
        {"id": "/nsg", "type": kind, "name": "nsg", "tags": tags, "properties": {"securityRules": rules[:1]}},
        {
            "id": "/r",
            "type": f"{kind}/securityRules",
            "name": "nsg/deny",
            "properties": rules[1]["properties"],
        },
        {"id": "/asg", "type": "Microsoft.Network/applicationSecurityGroups", "name": "asg", "tags": tags},
        {
            "id": "/v",
            "type": "Microsoft.Network/virtualNetworks",
            "name": "v",
            "properties": {"subnets": [{"name": "s", "properties": subnet}]},
        },
    ]
    return (json.dumps({"predictedResources": resources}).encode(),)


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _read_rules(target: str, cloud: str, name: str) -> Callable[[bytes], object]:
    return lambda content: found.read_rules({name: _text(content)}, target, cloud)


def _read_whole(target: str, cloud: str, name: str, example: str) -> Callable[[bytes], object]:
    """Read a module in which one file is another."""

    def read(content: bytes) -> object:
        return found.read({**_module(target, example), name: _text(content)}, target, cloud)

    return read


def _read_previous(target: str, name: str, example: str) -> Callable[[bytes], object]:
    """Make a module where a file of the last run is another."""

    def read(content: bytes) -> object:
        previous = {**_module(target, example), name: _text(content)}
        return render(_compiled(example), target, previous=previous)

    return read


@cache
def _compiled(example: str) -> Any:
    return compile_deployment(Deployment.load(_example(example)))


def _example(name: str) -> Path:
    return ROOT / "examples" / "terraform" / name / "deployment.yaml"


@cache
def _module(target: str, example: str) -> dict[str, str]:
    """Return the files of an example of one network."""
    return dict(render(_compiled(example), target).files)


def _read_prefix(content: bytes) -> None:
    try:
        Prefix.parse(_text(content))
    except ValueError as error:
        raise InputError(Problem(code="prefix", message=str(error))) from None


def _generated(target: str, example: str, name: str) -> Callable[[], tuple[bytes, ...]]:
    return lambda: (_module(target, example)[name].encode(),)


def _deployments() -> tuple[bytes, ...]:
    good, bad = sorted(ROOT.glob("examples/*/*/deployment.yaml")), sorted(ROOT.glob("tests/bad/*.yaml"))
    # The bad ones are many, and what comes from them is refused nearly always.
    return tuple(file.read_bytes() for file in (*good * (2 * len(bad) // len(good)), *bad))


def _own_catalogues() -> tuple[bytes, ...]:
    return (OWN_CATALOGUE.encode(), json.dumps(yaml.safe_load(OWN_CATALOGUE)).encode())


OWN_CATALOGUE: Final = """\
documents: {wiki: {title: Our wiki, publisher: Us, note: Of ours}}
roles:
  billing: {title: Billing, description: The billing service., kind: host}
  any-billing: {title: Both, description: Either of them., kind: wildcard, members: [billing, vda]}
features:
  billing-beta: {default: false, description: The next one.}
parameters:
  billing-port: {protocol: tcp, description: What it moves.}
product: Billing
document: wiki
section: Ports
entries:
  - id: vda-billing
    citations: [{document: wiki, section: Ports}]
    source: [vda]
    destination: [billing]
    services: [{protocol: tcp, ports: [9443, 9500-9510], application: HTTPS}, {protocol: icmp, type: 8}]
    features: [billing-beta, "!edt"]
    purpose: Session hosts to billing
    as-written: TCP 9443
  - id: billing-names
    citations: [{document: wiki, section: Ports}]
    source: [billing]
    destination: [ext-citrix-cloud]
    services: [{protocol: tcp, ports: [443]}]
    treatment: name
    reason: Known by name only
    names: ["*.billing.example"]
    purpose: Billing to its cloud
"""
COVER: Final = {"protocol": "Tcp", "kind": "prefixes", "peers": ["10.0.0.0/24"], "ports": ["80", "1-9"]}
IDENTITIES: Final = {
    "//": "Written by a test.",
    "format": 1,
    "deployment": "reference",
    "network": "main",
    "tiers": {
        "ddc": {
            "key": "ddc-1",
            "name": "sg-ddc",
            "description": "Controllers",
            "priorities": {"ingress": {"in-a": 1000, "in-b": 3999}, "egress": {"out-a": 1000}},
            "covers": {"ingress": [COVER, {**COVER, "kind": "asg", "peers": ["vda"]}]},
            "held": {"in-a": 2},
            "waiting": [2, 3],
        },
        "vda": {"key": "vda"},
    },
}
JOURNAL: Final = {
    "format": 1,
    "side": "new",
    "folders": ["sub", "sub/sub"],
    "files": {
        "rules.tf": {"old": None, "new": hashlib.sha256(b"here").hexdigest()},
        "sub/a": {"old": None, "new": None},
    },
}

READERS: Final[dict[str, Reader]] = {
    "catalog-export": Reader(_read_export, lambda: (_small_export(),)),
    "deployment": Reader(_read_deployment, _deployments),
    "own-catalogue": Reader(_read_catalogue, _own_catalogues),
    "shipped-catalogue": Reader(
        _read_shipped, lambda: ((ROOT / "catalog" / "storefront.yaml").read_bytes(),)
    ),
    "identities": Reader(_read_identities, lambda: (json.dumps(IDENTITIES, indent=2).encode(),)),
    "manifest": Reader(
        _read_manifest,
        lambda: tuple(
            file.read_bytes() for file in sorted(ROOT.glob(f"examples/*/*/module/{folders.MANIFEST}"))
        ),
    ),
    "evaluated": Reader(lambda content: read_evaluated(content, "input"), _evaluated),
    "snapshot": Reader(lambda content: read_snapshot(content, "input"), _snapshot),
    "journal": Reader(_read_journal, lambda: (json.dumps(JOURNAL).encode(),)),
    "ec2-json": Reader(
        _read_rules("aws", "aws", "security-groups.json"),
        _generated("aws", "reference", "security-groups.json"),
    ),
    "arm-json": Reader(
        _read_rules("azure", "azure", "network-security-groups.json"),
        _generated("azure", "azure-reference", "network-security-groups.json"),
    ),
    "terraform-aws": Reader(
        _read_rules("terraform", "aws", "rules.tf"), _generated("terraform", "reference", "rules.tf")
    ),
    "terraform-azure": Reader(
        _read_rules("terraform", "azure", "rules.tf"), _generated("terraform", "azure-reference", "rules.tf")
    ),
    "terraform-main": Reader(
        _read_whole("terraform", "aws", "main.tf", "reference"),
        _generated("terraform", "reference", "main.tf"),
    ),
    "bicep": Reader(
        _read_rules("bicep", "azure", "main.bicep"), _generated("bicep", "azure-reference", "main.bicep")
    ),
    "previous": Reader(
        _read_previous("bicep", "main.bicep", "azure-reference"),
        _generated("bicep", "azure-reference", "main.bicep"),
    ),
    "yaml": Reader(lambda content: document.parse(content, "input"), _deployments),
    "json": Reader(lambda content: document.parse_json(content, "input"), lambda: _own_catalogues()[1:]),
    "hcl": Reader(
        lambda content: hcl.parse(_text(content), "input"), _generated("terraform", "reference", "rules.tf")
    ),
    "bicep-syntax": Reader(
        lambda content: bicep.read_module(_text(content), "input"),
        _generated("bicep", "azure-reference", "main.bicep"),
    ),
    "prefix": Reader(_read_prefix, lambda: (b"10.0.0.0/8", b"2001:db8::/32", b"2001:db8::1", b"192.0.2.1")),
}


# Mutants

# Values that are wrong nearly everywhere, or right where nobody expects them.
_VALUES: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1, 65535, 65536, 2**31, 2**64, 10**40, 1.5, "", " ", "0", "-", "0-65535"),
    *("10.0.0.0/8", "0.0.0.0/0", "::/0", "169.254.169.254", "ddc", "any", "*", "!edt", "main", "tcp", "all"),
    *("a" * 300, "\u202e", "\x1b[0m", "\u0661", "\u0430ws", "../..", "CON", "a/b", "${x}", "%{x}", "'", '"'),
    *([], {}, [[]], [None], {"": None}, {"a": 1}, ["a"] * 50, [1, "1"], "2026-02-30", "9" * 5000),
]
_PIECES: Final = [
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\xc2\x85", b"\xe2\x80\xa8", b"\t"),
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"'", b"\\", b"#", b"//", b"/*", b"*/", b"- "),
    *(b"? ", b"&a ", b"=", b"<<EOT\n", b"~"),
    *(b"*a", b"!!python/object:a ", b"<<: ", b"---\n", b"...\n", b"%YAML 1.2\n", b"|\n", b">\n", b"\\u0000"),
    *(b"${", b"%{", b"$${", b"\\U00110000", b"1e999", b"0x10", b"1_000", b"NaN", b"null"),
]


def mutant(reader: str, number: int) -> bytes:
    """Return a mutant of a file of this reader."""
    draw = random.Random(f"{reader} {number}")
    seeds = READERS[reader].seeds()
    content = draw.choice(seeds)
    if draw.random() < 0.5:
        changed = _changed_data(content, draw)
        if changed is not None:
            return changed
    for _ in range(draw.choice((1, 1, 2, 5))):
        content = _changed_text(content, draw, seeds)
    return content


def _changed_text(content: bytes, draw: random.Random, seeds: tuple[bytes, ...]) -> bytes:
    """Return a text in which some bytes are others, gone, doubled, or come from elsewhere."""
    first = draw.randrange(len(content) + 1)
    last = min(len(content), first + draw.choice((1, 1, 2, 8, 64, 1000)))
    piece = content[first:last]
    way = draw.randrange(8)
    if way == 0:
        new = b""
    elif way == 1:
        new = piece * draw.choice((2, 2, 3, 50))
    elif way == 2:
        new = piece + draw.choice(_PIECES)
    elif way == 3:
        new = draw.choice(_PIECES) * draw.choice((1, 1, 60))
    elif way == 4:
        other = draw.choice(seeds)
        at = draw.randrange(len(other) + 1)
        new = other[at : at + draw.choice((4, 40, 400))]
    elif way == 5:
        return content[:first]
    elif way == 6 and piece:
        new = bytes([piece[0] ^ 1 << draw.randrange(8)]) + piece[1:]
    else:
        # A word or a number becomes another one.
        words = list(re.finditer(rb"[\w.:/-]+", content))
        if not words:
            return content + draw.choice(_PIECES)
        word, other_word = draw.choice(words), draw.choice(words)
        value = copy.deepcopy(draw.choice(_VALUES))
        new = other_word[0] if draw.random() < 0.5 else json.dumps(value).encode()
        first, last = word.span()
    return content[:first] + new + content[last:]


def _changed_data(content: bytes, draw: random.Random) -> bytes | None:
    """Return a file of YAML or JSON in which values are others; None for files of another kind."""
    try:
        data = json.loads(content)
    except ValueError:
        if b"&" in content:
            return None  # aliases make a small file a large value
        try:
            data = yaml.safe_load(content)
        except (yaml.YAMLError, ValueError, RecursionError):
            return None
    if not isinstance(data, dict | list):
        return None
    for _ in range(draw.choice((1, 1, 2, 4))):
        places = list(_places(data))
        if not places:
            break
        holder, key = draw.choice(places)
        way = draw.randrange(5)
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder, dict):
            holder[str(copy.deepcopy(draw.choice(_VALUES)))[:300]] = holder.pop(key)
        elif way == 2:
            other, other_key = draw.choice(places)
            value = other[other_key]
            holder[key] = json.loads(json.dumps(value, default=str))
        elif way == 3 and isinstance(holder, list):
            holder.append(json.loads(json.dumps(holder[key], default=str)))
        else:
            holder[key] = copy.deepcopy(draw.choice(_VALUES))
    return json.dumps(data, indent=1, ensure_ascii=draw.random() < 0.5, default=str).encode(
        "utf-8", "surrogatepass"
    )


def _places(data: Any) -> Any:
    keys = list(data) if isinstance(data, dict) else range(len(data))
    for key in keys:
        yield data, key
        if isinstance(data[key], dict | list):
            yield from _places(data[key])
