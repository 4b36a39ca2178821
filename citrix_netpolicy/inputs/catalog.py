"""The catalogue: who opens a connection to whom, on what, when, and who says so."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import date, timedelta
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)

from citrix_netpolicy import limits, resources
from citrix_netpolicy.errors import InputError, Mark, Problem, clean, nearest
from citrix_netpolicy.inputs.base import (
    FIRST_EDITION,
    Day,
    DomainName,
    Edition,
    Model,
    PortRanges,
    ServiceSpec,
    is_day,
    listed,
)
from citrix_netpolicy.inputs.problems import problems_of
from citrix_netpolicy.places import Reach  # noqa: TC001 - pydantic reads it
from citrix_netpolicy.syntax import document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.resources.abc import Traversable

    from citrix_netpolicy.errors import DataPath
    from citrix_netpolicy.net import ServiceSet
    from citrix_netpolicy.syntax.document import Document

__all__ = [
    "Catalog",
    "Citation",
    "Entry",
    "Feature",
    "Parameter",
    "Role",
    "SourceDocument",
    "load_catalog",
    "load_state",
    "spelled_out",
]

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
# A purpose becomes part of a rule description, so it keeps to what both clouds accept there.
_PURPOSE = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=;{}!$*]{1,80}\Z")

Names = Annotated[tuple[str, ...], BeforeValidator(listed)]
DomainNames = Annotated[tuple[DomainName, ...], BeforeValidator(listed)]
Treatment = Literal[
    "enforce",
    "name",
    "loopback",
    "broadcast",
    "dynamic-port",
    "platform",
    "no-port",
    "retired",
    "not-implemented",
    "duplicate",
    "reply",
    "hardware",
    "tunnel",
    "ambiguous",
]


class EditionNote(Model):
    """A dated state of the catalogue and its defaults, and what it brought."""

    description: str


class SourceDocument(Model):
    """A document that entries cite; `lines` is its length where citations count lines.

    `read` is the day on which somebody read it, `state` what it says of its own age. Of the sections that are
    `frozen` no later state could be had.
    """

    title: str
    publisher: str
    address: str = ""
    state: str = ""
    read: Day | None = None
    lines: int | None = None
    frozen: Names = ()
    note: str = ""


class Region(Model):
    """A region of Citrix Cloud, which has names of its own."""

    title: str


class StandIn(Model):
    """The part of another role that a role takes over while a feature is on."""

    role: str
    feature: str


class Need(Model):
    """What a role cannot work without, while a feature is on: one of some roles.

    Where it is `vital`, a deployment that has one of them out of its reach is refused.
    """

    one_of: Names
    feature: str | None = None
    vital: StrictBool = False
    why: str


class Finds(Model):
    """A lookup: what it leads to listens on ports of a parameter, or on those that a feature opens."""

    parameter: str
    feature: str | None = None
    why: str


class Role(Model):
    """A kind of endpoint. A wildcard stands for its `members` and never for an address.

    A role that stands in for another takes its place in the entries that allow it (`stand-in: true`). Ends
    join or leave a wildcard of `domain-members` whatever their roles, when they say so. A `console` is what
    administrators open in a browser.
    """

    title: str
    description: str
    kind: Literal["host", "outside", "name", "wildcard"]
    members: Names = ()
    domain_members: StrictBool = False
    console: StrictBool = False
    stands_in_for: StandIn | None = None
    needs: tuple[Need, ...] = ()


class Product(Model):
    """A product of the catalogue, and the other names that people know it by."""

    aliases: Names


class Feature(Model):
    """A switch that adds, replaces or removes flows.

    With `roles`, a default of true holds only in a site that has one of them, and with `clouds` only in one
    that has a network in one of these. `changed` maps editions to the defaults that they brought.
    """

    description: str
    default: StrictBool
    changed: dict[Edition, StrictBool] = Field(default_factory=dict)
    since: Edition = FIRST_EDITION
    roles: Names = ()
    clouds: tuple[Literal["aws", "azure"], ...] = ()
    requires: Names = ()
    conflicts: Names = ()

    def as_of(self, edition: str) -> Feature:
        """Return the feature with the default that it had in an edition."""
        if not self.changed:
            return self
        ruling = [self.changed[other] for other in sorted(self.changed) if other <= edition]
        return self.model_copy(update={"default": ruling[-1] if ruling else self.default, "changed": {}})


class Parameter(Model):
    """Ports that a site may have moved."""

    description: str
    protocol: Literal["tcp", "udp"]

    def services(self, ports: tuple[tuple[int, int], ...]) -> ServiceSet:
        """Return what the parameter stands for when it is set to `ports`."""
        return ServiceSpec(protocol=self.protocol, ports=ports).services()


class Bundle(Model):
    """Entries that a deployment may name together."""

    description: str
    entries: Names


class Citation(Model):
    """Where a statement comes from; `read` is the day on which it was read, if not that of its document."""

    document: str
    section: str
    line: int | None = None
    read: Day | None = None
    since: Edition = FIRST_EDITION

    def __str__(self) -> str:
        line = "" if self.line is None else f" L{self.line}"
        return f"{self.document}, {self.section}{line}"


class ManagedService(Model):
    """A service that a cloud runs in place of a machine of the site's: what it is, and ports that differ.

    `ports` are those of parameters, where the service listens on others than a machine does.
    """

    title: str
    roles: Names
    domain_member: StrictBool = False
    ports: dict[str, PortRanges] = Field(default_factory=dict)
    citations: tuple[Citation, ...] = Field(min_length=1)
    note: str = ""


class CatalogService(ServiceSpec):
    """Services of an entry. Set `parameter`s replace the ports; all `features` must hold.

    They hold from the edition `since` on, and before the edition `until`.
    """

    parameter: str | None = None
    features: Names = ()
    application: str = ""
    since: Edition = FIRST_EDITION
    until: Edition | None = None


class Entry(Model):
    """One row of the catalogue. `features` must all hold; `!edt` holds when `edt` is off.

    `reach` says between which places of a site it holds. The source of an `essential` one cannot work
    without it, and `finds` says what a lookup leads to. What is `balanced` goes through an ADC where the
    destination is behind one; then the roles of that ADC in `monitored-by` watch it, beside the SNIP, and
    `balancing` entries hold between them alone. `regional` names are those of a region of Citrix Cloud,
    `otherwise` says what to do where names cannot be reached, `contested` what the other reading is.
    """

    id: str
    product: str
    since: Edition = FIRST_EDITION
    citations: tuple[Citation, ...] = Field(min_length=1)
    source: Names
    destination: Names
    reach: Reach = "zone"
    services: tuple[CatalogService, ...] = ()
    features: Names = ()
    names: DomainNames = ()
    regional: dict[str, DomainNames] = Field(default_factory=dict)
    otherwise: str = ""
    versions: str = ""
    internet: StrictBool = False
    essential: StrictBool = False
    finds: Finds | None = None
    stand_in: StrictBool = False
    balanced: StrictBool = False
    balancing: StrictBool = False
    monitored_by: Names = ()
    purpose: str
    as_written: str = ""
    treatment: Treatment = "enforce"
    reason: str = ""
    duplicate_of: str | None = None
    erratum: str = ""
    contested: str = ""
    evidence: Literal["document", "seen", "partly-seen", "unverified"] = "document"

    @field_validator("id")
    @classmethod
    def _well_named(cls, value: str) -> str:
        if not _ID.match(value):
            raise ValueError(f"`{clean(value)}` is not a valid id; use lowercase words joined by hyphens")
        return value

    @field_validator("source", "destination")
    @classmethod
    def _once_each(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        if not roles:
            raise ValueError("expected at least one role")
        if len(set(roles)) < len(roles):
            raise ValueError("a role is listed twice")
        return roles

    @field_validator("purpose")
    @classmethod
    def _describable(cls, value: str) -> str:
        if not _PURPOSE.match(value) or not value.strip():
            raise ValueError(
                "a purpose must be 1 to 80 characters that every cloud accepts in a rule description"
            )
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.treatment == "enforce":
            if not self.services:
                raise ValueError("an enforced entry needs services")
            for service in self.services:
                if service.has_ports and not (service.ports or service.parameter):
                    raise ValueError(f"an enforced {service.protocol} service needs ports or a parameter")
        elif not (self.reason.strip() or self.duplicate_of):
            raise ValueError(f"treatment `{self.treatment}` needs a reason")
        if self.treatment == "name" and not self.services:
            raise ValueError("treatment `name` needs services: the ports that open to the named destination")
        for features in ((), *(service.features for service in self.services)):
            wanted = {*self.features, *features}
            for name in sorted(wanted):
                if f"!{name}" in wanted:
                    raise ValueError(f"`{clean(name)}` and `!{clean(name)}` never hold at once")
        if (self.duplicate_of is not None) != (self.treatment == "duplicate"):
            raise ValueError("`treatment: duplicate` and `duplicate-of` require each other")
        for service in self.services:
            if service.until is not None and service.until <= max(self.since, service.since):
                raise ValueError("`until` names an edition that is not after `since`")
        return self

    def without_end(self) -> Entry:
        """Return the entry without the editions in which services of it end, which are still to come."""
        if all(one.until is None for one in self.services):
            return self
        services = tuple(one.model_copy(update={"until": None}) for one in self.services)
        return self.model_copy(update={"services": services})

    def as_of(self, edition: str) -> Entry:
        """Return the entry with the services and citations that it had in an edition."""
        dated = any(one.since != FIRST_EDITION or one.until for one in self.services)
        if not dated and all(one.since == FIRST_EDITION for one in self.citations):
            return self
        services = tuple(
            one
            for one in self.services
            if one.since <= edition and (one.until is None or edition < one.until)
        )
        citations = tuple(one for one in self.citations if one.since <= edition) or self.citations
        return self.model_copy(update={"services": services, "citations": citations})


# What changes no rule, wherever it stands.
_FOR_READERS: Final[dict[str, Any]] = {
    **dict.fromkeys(("description", "title", "note", "reason", "erratum", "contested", "as_written"), True),
    **dict.fromkeys(("otherwise", "needs", "console", "finds", "essential", "since", "changed"), True),
    "citations": {"__all__": {"read": True, "since": True}},
    "services": {"__all__": {"since": True, "until": True}},
}


class Catalog(Model):
    """Everything that is known about ports, with its closed vocabularies."""

    editions: dict[str, EditionNote]
    documents: dict[str, SourceDocument]
    roles: dict[str, Role]
    features: dict[str, Feature]
    parameters: dict[str, Parameter]
    bundles: dict[str, Bundle] = Field(default_factory=dict)
    managed_services: dict[str, ManagedService] = Field(default_factory=dict)
    regions: dict[str, Region] = Field(default_factory=dict)
    products: dict[str, Product] = Field(default_factory=dict)
    entries: tuple[Entry, ...]

    @classmethod
    def default(cls) -> Catalog:
        """Return the catalogue shipped with the library."""
        return load_catalog()

    @property
    def newest_edition(self) -> str:
        """The newest edition that this catalogue names."""
        return max(self.editions, default=FIRST_EDITION)

    def read_on(self, citation: Citation) -> str | None:
        """Return the day on which somebody read what a citation cites, or None where nobody did."""
        return citation.read or self.documents[citation.document].read

    def entry(self, id_: str) -> Entry:
        """Return the entry with this id. Raises InputError with the nearest id when there is none."""
        for entry in self.entries:
            if entry.id == id_:
                return entry
        hint = nearest(id_, (entry.id for entry in self.entries))
        raise InputError(
            Problem(code="unknown-entry", message=f"the catalogue has no entry `{clean(id_)}`", hint=hint)
        )

    def as_of(self, edition: str | None) -> Catalog:
        """Return the catalogue with the defaults, services and citations of an edition; the newest if None.

        Entries and features that came later are still there, and their `since` says so.
        """
        last = self.newest_edition if edition is None else edition
        # A copy of a catalogue takes what is kept here with it, and may have other words.
        of, found = self._of_editions.get(last, (None, self))
        if of is None or of.entries is not self.entries or of.features is not self.features:
            words = {name: getattr(self, name) for name in type(self).model_fields}
            words["features"] = {name: feature.as_of(last) for name, feature in self.features.items()}
            words["entries"] = tuple(entry.as_of(last) for entry in self.entries)
            found = Catalog.model_construct(_fields_set=None, **words)
            found._of_editions[last] = (found, found)
            self._of_editions[last] = (self, found)
        return found

    def of_edition(self, edition: str) -> Catalog:
        """Return the catalogue as it was in an edition, without what came later. Raises InputError."""
        if edition not in {FIRST_EDITION, *self.editions}:
            hint = nearest(edition, self.editions)
            message = f"unknown edition `{clean(edition)}`"
            raise InputError(Problem(code="unknown-edition", message=message, hint=hint))
        known = self.as_of(edition)
        entries = tuple(entry.without_end() for entry in known.entries if entry.since <= edition)
        ids = {entry.id for entry in entries}
        words = {name: getattr(known, name) for name in type(self).model_fields} | {
            "editions": {name: note for name, note in known.editions.items() if name <= edition},
            "features": {name: one for name, one in known.features.items() if one.since <= edition},
            "bundles": {name: one for name, one in known.bundles.items() if ids.issuperset(one.entries)},
            "entries": entries,
        }
        return Catalog.model_construct(_fields_set=None, **words)

    def decisive_json(self, edition: str | None) -> str:
        """Return as JSON what decides about rules in an edition, without what came later or is for readers.

        So it stays the same, byte for byte, when a later release adds to the catalogue or explains it better.
        """
        known = self.of_edition(self.newest_edition if edition is None else edition)
        ends = {end for one in known.entries for end in (*one.source, *one.destination)}
        roles = {role for end in ends for role in known.members(end)}
        moving = {service.parameter for one in known.entries for service in one.services}
        parts: dict[str, Mapping[str, Model]] = {
            "entries": {one.id: one for one in known.entries},
            "features": known.features,
            "roles": {name: one for name, one in known.roles.items() if name in roles},
            "parameters": {name: one for name, one in known.parameters.items() if name in moving},
            "bundles": known.bundles,
            "managed-services": known.managed_services,
        }
        told = {
            part: {
                name: one.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_FOR_READERS)
                for name, one in sorted(items.items())
            }
            for part, items in parts.items()
        }
        return json.dumps(told)

    @cached_property
    def _of_editions(self) -> dict[str, tuple[Catalog, Catalog]]:
        """For each edition, the catalogue that was asked and what it is there."""
        return {}

    def entries_of(self, name: str) -> tuple[str, ...]:
        """Return the ids that the name of an entry or a bundle stands for."""
        return self.bundles[name].entries if name in self.bundles else (name,)

    def members(self, role: str) -> tuple[str, ...]:
        """Return the roles that `role` stands for: itself, or the members of a wildcard."""
        return self.roles[role].members or (role,)

    def citations(self, entry: Entry) -> tuple[Citation, ...]:
        """Return the citations of an entry, and of the entries that say the same again on good evidence."""
        return entry.citations + self._cited_again.get(entry.id, ())

    @cached_property
    def _cited_again(self) -> dict[str, tuple[Citation, ...]]:
        """What entries cite that say another one again, for the id of that one."""
        cited: dict[str, tuple[Citation, ...]] = {}
        for entry in self.entries:
            if entry.duplicate_of and entry.evidence in ("document", "seen"):
                cited[entry.duplicate_of] = cited.get(entry.duplicate_of, ()) + entry.citations
        return cited

    @cached_property
    def _text(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_defaults=True)

    def to_json(self) -> str:
        """Return all that the catalogue says as JSON, without its comments and layout."""
        return self._text


def load_catalog(*files: Path) -> Catalog:
    """Read and check the shipped catalogue together with `files` of the same format.

    The shipped one is read once per process. Raises InputError, with file and line, when a file cannot be
    read, is unsound, or uses an id or a word that is taken. Of a file that is no catalogue nothing is quoted.
    """
    if files:
        _refuse_too_large(files)
        found = [_own(file) for file in files]
        _refuse_too_many(found)
        return compose_catalog([*_shipped(), *found])
    return _shipped_catalog()


@cache
def _shipped_catalog() -> Catalog:
    return _checked_catalog() or compose_catalog(_shipped())


def load_state(name: str, *files: Path) -> Catalog:
    """Return a state of the catalogue: an edition of the shipped one, an exported file, or a folder of files.

    `files` of a site's own come on top of it. Raises InputError when there is no such state, and with file
    and line when a file is none or unsound.
    """
    if re.fullmatch("[0-9]{4}[.][0-9]{2}", name):
        return load_catalog(*files).of_edition(name)
    path = Path(name)
    whole = [path]
    if path.is_dir():
        whole = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml"))
        if not whole:
            message = f"there is no catalogue file in `{clean(name)}`"
            raise InputError(Problem(code="not-a-catalogue", message=message, mark=Mark(name, 1, 1)))
    return compose_catalog([*map(_whole, whole), *map(_own, files)]).as_of(None)


def _whole(file: Path) -> Document:
    """Read a file that is a catalogue or a part of one: YAML, or what `catalog export` writes."""
    found = document.load(file) if file.suffix in (".yaml", ".yml") else document.load_json(file)
    _refuse_others(found)
    _refuse_future(found)
    return found


# A deployment may come from a stranger, who names files to see what stands in them. So until a file has shown
# that it is a catalogue, its problems are told in these words alone.
_UNQUOTED: Final = {
    "duplicate-key": "a key is given twice",
    "empty": "the file is empty",
    "not-utf-8": "the file is not UTF-8",
    "not-yaml": "this is not valid YAML",
    "too-deep": "values are nested too deep",
    "yaml-unsupported": "a part of YAML that is not read here: an alias, a tag, or several documents",
}


def _refuse_future(found: Document) -> None:
    """Raise InputError for a day that is still to come: nobody has read anything then.

    What is shipped is not held against the clock, so that it is read whatever the clock of a machine says.
    """
    tomorrow = (date.today() + timedelta(days=1)).isoformat()  # which it is already, somewhere
    problems = [
        Problem(code="invalid-value", message=f"{day} is in the future", path=path, mark=found.mark(path))
        for path, day in _days(found.data)
        if isinstance(day, str) and is_day(day) and day > tomorrow
    ]
    if problems:
        raise InputError(problems)


def _days(data: Any) -> Iterator[tuple[DataPath, Any]]:
    """Yield the days on which something was read, each with its path."""
    documents, entries = data.get("documents"), data.get("entries")
    for name, known in documents.items() if isinstance(documents, dict) else ():
        if isinstance(known, dict):
            yield ("documents", name, "read"), known.get("read")
    for index, entry in enumerate(entries) if isinstance(entries, list) else ():
        citations = entry.get("citations") if isinstance(entry, dict) else None
        for place, citation in enumerate(citations) if isinstance(citations, list) else ():
            if isinstance(citation, dict):
                yield ("entries", index, "citations", place, "read"), citation.get("read")


def _refuse_others(found: Document) -> None:
    """Raise InputError for a file that is no catalogue."""
    if not isinstance(found.data, dict) or not found.data.keys() & {*_VOCABULARIES, "entries"}:
        hint = "a catalogue file has one of " + ", ".join(f"`{key}`" for key in ("entries", *_VOCABULARIES))
        message = "this is not a catalogue file"
        raise InputError(
            Problem(code="not-a-catalogue", message=message, mark=Mark(found.file, 1, 1), hint=hint)
        )


def _own(file: Path) -> Document:
    """Read a catalogue file of a site's own."""
    try:
        found = document.load(file)
    except InputError as error:
        raise InputError(
            Problem(
                code=problem.code, message=_UNQUOTED.get(problem.code, problem.message), mark=problem.mark
            )
            for problem in error.problems
        ) from None
    _refuse_others(found)
    _refuse_future(found)
    return found


@cache
def _shipped() -> tuple[Document, ...]:
    return tuple(document.load(file, f"catalog/{file.name}") for file in _shipped_files())


def _refuse_too_large(files: tuple[Path, ...]) -> None:
    whole = 0
    for file in files:
        with suppress(OSError, ValueError):  # the reader tells why
            whole += file.stat().st_size
        if whole > limits.CATALOG_BYTES:
            mib = limits.CATALOG_BYTES // 1024 // 1024
            message = f"own catalogues have more than the {mib} MiB that are supported in all"
            raise InputError(Problem(code="too-large", message=message, mark=Mark(str(file), 1, 1)))


def _refuse_too_many(files: list[Document]) -> None:
    whole = 0
    for file in files:
        entries = file.data.get("entries")
        whole += len(entries) if isinstance(entries, list) else 0
        if whole > limits.CATALOG_ENTRIES:
            message = (
                f"own catalogues have more than the {limits.CATALOG_ENTRIES:,} entries that are supported"
            )
            raise InputError(Problem(code="too-many", message=message, mark=file.mark(("entries",))))


def _shipped_files() -> list[Traversable]:
    files = (file for file in resources.catalog().iterdir() if file.name.endswith(".yaml"))
    return sorted(files, key=lambda file: file.name)


# The shipped files take long to read. So what they say stands beside them in a form that is fast to read,
# with the digest of each file that it was made of; where one differs, the files are read.
_CHECKED: Final = "checked.json"


def checked_text() -> str:
    """Return what the shipped files say, as the text of the file that stands in for them.

    Every entry and every word has a line, so that branches which change different ones do not conflict.
    """
    catalog = json.loads(compose_catalog(_shipped()).to_json())
    return spelled_out({"files": _digests(), **catalog})


def spelled_out(parts: Mapping[str, Any]) -> str:
    """Return the parts of a catalogue as JSON in which every entry and every word has a line."""
    blocks = []
    for name, part in parts.items():
        if isinstance(part, list):
            lines, ends = [json.dumps(item) for item in part], "[]"
        else:
            lines, ends = [f"{json.dumps(key)}: {json.dumps(item)}" for key, item in part.items()], "{}"
        blocks.append(f"{json.dumps(name)}: {ends[0]}\n" + ",\n".join(lines) + f"\n{ends[1]}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def _digests() -> dict[str, str]:
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in _shipped_files()}


def _checked_catalog() -> Catalog | None:
    """Return the catalogue as it was read before, or None where the files have changed since."""
    try:
        data = json.loads(resources.catalog().joinpath(_CHECKED).read_bytes())
        if data.pop("files") == _digests():
            return Catalog.model_validate(data)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # the files themselves say what is wrong, if anything is
    return None


def compose_catalog(documents: Iterable[Document]) -> Catalog:
    """Make one catalogue of its files: the vocabularies and one file for each product.

    Raises InputError with every problem found.
    """
    return _Composition(list(documents)).catalog()


_VOCABULARIES: dict[str, type[Model]] = {
    "editions": EditionNote,
    "documents": SourceDocument,
    "roles": Role,
    "features": Feature,
    "parameters": Parameter,
    "bundles": Bundle,
    "managed-services": ManagedService,
    "regions": Region,
    "products": Product,
}


class _Composition:
    """The files of a catalogue on their way to becoming one."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents
        self.problems: list[Problem] = []
        self.vocabularies: dict[str, dict[str, Any]] = {name: {} for name in _VOCABULARIES}
        self.entries: dict[str, Entry] = {}
        self.places: dict[str, tuple[Document, DataPath]] = {}

    def catalog(self) -> Catalog:
        for file in self.documents:
            self._read(file)
        for id_, entry in self.entries.items():
            self._check(id_, entry)
        self._check_vocabularies()
        if self.problems:
            raise InputError(self.problems)
        entries = tuple(self.entries[id_] for id_ in sorted(self.entries))
        words = {name.replace("-", "_"): found for name, found in self.vocabularies.items()}
        return Catalog.model_construct(_fields_set=None, **words, entries=entries)

    def _read(self, file: Document) -> None:
        if not isinstance(file.data, dict):
            self._problem("invalid-type", file, (), "expected a map at the top of a catalogue file")
            return
        for key, value in file.data.items():
            if key in _VOCABULARIES and isinstance(value, dict):
                for name, item in value.items():
                    self._add_word(file, key, name, item)
            elif key == "entries" and isinstance(value, list):
                for index, item in enumerate(value):
                    self._add_entry(file, index, item)
            elif key not in ("product", "document", "section"):
                hint = nearest(str(key), [*_VOCABULARIES, "entries", "product", "document", "section"])
                self._problem(
                    "unknown-key",
                    file,
                    (key,),
                    f"unknown key `{clean(key)}`, or a value of the wrong type",
                    hint,
                )

    def _add_word(self, file: Document, kind: str, name: str, item: Any) -> None:
        if name in self.vocabularies[kind]:
            self._problem(
                "duplicate-name", file, (kind, name), f"`{clean(name)}` is already defined in `{kind}`"
            )
            return
        model = _VOCABULARIES[kind]
        try:
            self.vocabularies[kind][name] = model.model_validate(item)
            self.places[f"{kind} {name}"] = (file, (kind, name))
        except ValidationError as error:
            self.problems += problems_of(model, error, file, (kind, name))

    def _add_entry(self, file: Document, index: int, item: Any) -> None:
        path: DataPath = ("entries", index)
        try:
            entry = Entry.model_validate(_with_defaults(item, file.data))
        except ValidationError as error:
            self.problems += problems_of(Entry, error, file, path)
            return
        if entry.id in self.entries:
            first_file, first_path = self.places[entry.id]
            self._problem(
                "duplicate-name",
                file,
                (*path, "id"),
                f"`{clean(entry.id)}` is already used by the entry at {first_file.mark(first_path)}",
            )
            return
        self.entries[entry.id] = entry
        self.places[entry.id] = (file, path)

    def _check(self, id_: str, entry: Entry) -> None:
        file, path = self.places[id_]
        for key, kind, names in _words_of(entry):
            for name in names:
                if name not in self.vocabularies[kind]:
                    self._known(file, (*path, key), kind, name)
        for index, service in enumerate(entry.services):
            moved = self.vocabularies["parameters"].get(service.parameter or "")
            if moved and moved.protocol != service.protocol:
                message = (
                    f"parameter `{service.parameter}` moves {moved.protocol} ports, "
                    f"but this service is {service.protocol}"
                )
                self._problem("wrong-protocol", file, (*path, "services", index), message)
        for citation in entry.citations:
            source = self.vocabularies["documents"].get(citation.document)
            if source and citation.line is not None and not 1 <= citation.line <= (source.lines or 0):
                message = f"line {citation.line} is outside the document `{clean(citation.document)}`"
                self._problem("invalid-citation", file, path, message)
        original = self.entries.get(entry.duplicate_of or "")
        if entry.duplicate_of and (original is None or original.treatment == "duplicate"):
            hint = nearest(entry.duplicate_of, self.entries)
            message = f"`{clean(entry.duplicate_of)}` is not an entry that can be duplicated"
            self._problem("unknown-entry", file, (*path, "duplicate-of"), message, hint)

    def _check_vocabularies(self) -> None:
        for name, role in self.vocabularies["roles"].items():
            file, path = self.places[f"roles {name}"]
            part = role.stands_in_for
            roles = [*role.members, *([part.role] if part else [])]
            roles += [other for need in role.needs for other in need.one_of]
            features = [part.feature] if part else []
            features += [need.feature for need in role.needs if need.feature]
            self._all_known(file, path, roles, features)
            for member in role.members:
                other = self.vocabularies["roles"].get(member)
                if other is not None and other.kind == "wildcard":
                    message = f"`{clean(member)}` is a wildcard, and cannot be a member of one"
                    self._problem("invalid-wildcard", file, path, message, "list its members")
            if part and part.role == name:
                self._problem("invalid-value", file, path, f"`{clean(name)}` cannot stand in for itself")
            if (role.kind == "wildcard") != bool(role.members):
                self._problem(
                    "invalid-wildcard",
                    file,
                    path,
                    "`members` are required for a wildcard, and allowed nowhere else",
                )
        for name, feature in self.vocabularies["features"].items():
            file, path = self.places[f"features {name}"]
            self._all_known(file, path, feature.roles, (*feature.requires, *feature.conflicts))
            for edition in (*_later(feature.since), *feature.changed):
                self._known(file, path, "editions", edition)
            required = _reachable(name, self.vocabularies["features"])
            if name in required:
                self._problem("circular-feature", file, path, f"`{clean(name)}` requires itself")
            for other in sorted({name, *required}.intersection(feature.conflicts)):
                message = (
                    f"`{clean(name)}` conflicts with `{clean(other)}`, which it needs, so it can never be on"
                )
                self._problem("circular-feature", file, path, message)

        for name, bundle in self.vocabularies["bundles"].items():
            file, path = self.places[f"bundles {name}"]
            if name in self.entries:
                message = f"`{clean(name)}` is an entry already"
                self._problem("duplicate-name", file, path, message, "rename the bundle")
            for entry in bundle.entries:
                if entry not in self.entries:
                    hint = nearest(entry, self.entries)
                    self._problem("unknown-entry", file, path, f"unknown entry `{clean(entry)}`", hint)

        for name, service in self.vocabularies["managed-services"].items():
            file, path = self.places[f"managed-services {name}"]
            self._all_known(file, path, service.roles, ())
            for parameter in service.ports:
                self._known(file, path, "parameters", parameter)
            for citation in service.citations:
                self._known(file, path, "documents", citation.document)

    def _all_known(
        self, file: Document, path: DataPath, roles: Iterable[str], features: Iterable[str]
    ) -> None:
        for role in roles:
            self._known(file, path, "roles", role)
        for feature in features:
            self._known(file, path, "features", feature)

    def _known(self, file: Document, path: DataPath, kind: str, name: str) -> None:
        if name not in self.vocabularies[kind]:
            hint = nearest(name, self.vocabularies[kind])
            self._problem(
                f"unknown-{kind.removesuffix('s')}",
                file,
                path,
                f"unknown {kind.removesuffix('s')} `{clean(name)}`",
                hint,
            )

    def _problem(self, code: str, file: Document, path: DataPath, message: str, hint: str = "") -> None:
        self.problems.append(Problem(code=code, message=message, path=path, mark=file.mark(path), hint=hint))


def _words_of(entry: Entry) -> Iterator[tuple[str, str, Iterable[str]]]:
    """Yield the words that an entry uses: under which key, of which vocabulary, and which."""
    yield "source", "roles", entry.source
    yield "destination", "roles", entry.destination
    yield "monitored-by", "roles", entry.monitored_by
    if entry.finds:
        yield "finds", "parameters", (entry.finds.parameter,)
        yield "finds", "features", (entry.finds.feature,) if entry.finds.feature else ()
    yield "since", "editions", _later(entry.since)
    yield "regional", "regions", entry.regional
    yield "citations", "editions", (e for citation in entry.citations for e in _later(citation.since))
    for service in entry.services:
        yield "services", "editions", (*_later(service.since), *([service.until] if service.until else []))
    yield "features", "features", (name.removeprefix("!") for name in entry.features)
    yield "citations", "documents", (citation.document for citation in entry.citations)
    for service in entry.services:
        yield "services", "features", (name.removeprefix("!") for name in service.features)
        if service.parameter:
            yield "services", "parameters", (service.parameter,)


def _later(edition: str) -> tuple[str, ...]:
    """Return an edition that must be known; the first one always is."""
    return () if edition == FIRST_EDITION else (edition,)


def _reachable(name: str, features: Mapping[str, Feature]) -> set[str]:
    """Return what `name` requires, directly or through others."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        feature = features.get(waiting.pop())
        for other in feature.requires if feature else ():
            if other not in seen:
                seen.add(other)
                waiting.append(other)
    return seen


def _with_defaults(item: Any, head: Mapping[str, Any]) -> Any:
    """Fill in what an entry leaves to the head of its file: the product and the cited document."""
    if not isinstance(item, dict):
        return item
    entry = {"product": head.get("product"), **item}
    lines = list(_lines(entry))
    if lines:
        section = {"document": head.get("document"), "section": head.get("section")}
        entry["citations"] = [{**section, "line": line} for line in lines]
    return entry


def _lines(entry: dict[str, Any]) -> Iterator[Any]:
    if "line" in entry:
        yield entry.pop("line")
    yield from listed(entry.pop("lines", []))
