"""Files that several deployments share: each says a part, and none says again what another has said."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final

from citrix_netpolicy import limits
from citrix_netpolicy.errors import InputError, Problem
from citrix_netpolicy.inputs.problems import shown
from citrix_netpolicy.syntax import document
from citrix_netpolicy.syntax.document import Document

if TYPE_CHECKING:
    from citrix_netpolicy.errors import DataPath

__all__ = ["INCLUDE", "is_below", "is_relative", "with_included"]

INCLUDE: Final = "include"
# What is said once, by the deployment itself.
_OWN: Final = ("name", "catalogs")


def with_included(source: Document) -> Document:
    """Return a deployment together with the files that it includes, and with the places of all they say.

    Their paths are relative to the file that names them, and stay below the folder of the deployment. Maps
    are joined by key. Raises InputError for a file that leads out or includes itself, and for a key that is
    given twice.
    """
    if not isinstance(source.data, dict) or INCLUDE not in source.data:
        return source
    merging = _Merging(source)
    merging.add(source, (source,))
    return Document(source.file, merging.data, source.places, merging.origins)


class _Merging:
    """The parts of a deployment on their way to becoming one."""

    def __init__(self, source: Document) -> None:
        self.source = source
        self.folder = Path(source.file).parent
        self.data: dict[str, Any] = {}
        self.origins: dict[DataPath, Document] = {}
        self.said: dict[DataPath, Document] = {}
        self.read: dict[Path, Document] = {}
        self.bytes = 0

    def add(self, part: Document, way: tuple[Document, ...]) -> None:
        """Add what a file says, and then the files that it includes; `way` leads to it."""
        if not isinstance(part.data, dict):
            raise part.root.refusal("expected a map at the top of an included file", code="invalid-type")
        for key, value in part.data.items():
            if key == INCLUDE:
                continue
            if part is not self.source and key in _OWN:
                raise _refused("contradiction", part, (key,), f"`{key}` is the deployment's own to say")
            if isinstance(value, dict):
                mine = self.data.setdefault(key, {})
                if not isinstance(mine, dict):
                    raise self._twice(part, (key,))
                if (key,) not in self.said:
                    self.said[key,] = part
                    self.origins |= {(key,): part} if part is not self.source else {}
                for name, member in value.items():
                    self._say(part, (key, name), mine, member)
            else:
                self._say(part, (key,), self.data, value)
        for index, name in enumerate(_names(part)):
            self._include(part, index, name, way)

    def _say(self, part: Document, path: DataPath, holder: dict[Any, Any], value: Any) -> None:
        if path[-1] in holder:
            raise self._twice(part, path)
        holder[path[-1]] = value
        self.said[path] = part
        if part is not self.source:
            self.origins[path] = part

    def _twice(self, part: Document, path: DataPath) -> InputError:
        other = self.said.get(path, self.source).mark(path)
        message = f"{shown(str(path[-1]))} is given twice, here and at {other}"
        return _refused("duplicate-key", part, path, message, "leave it out in one of them")

    def _include(self, part: Document, index: int, name: str, way: tuple[Document, ...]) -> None:
        path: DataPath = (INCLUDE, index)
        file = Path(part.file).parent / name
        if not is_relative(name) or not is_below(file, self.folder):
            message = f"{shown(name)} is not a path below the folder of the deployment"
            raise _refused("outside", part, path, message, "move the file there")
        known = file.resolve()
        if any(known == Path(other.file).resolve() for other in way):
            raise _refused("circular-include", part, path, f"{shown(name)} includes itself")
        if known in self.read:
            return  # two files may share a third one
        if len(self.read) >= limits.INCLUDES:
            message = f"more than the {limits.INCLUDES} included files that are supported"
            raise _refused("too-many", part, path, message, "join some of them")
        try:
            found = document.load(file)
            self.bytes += file.stat().st_size
        except InputError as error:
            told = [problem for problem in error.problems if problem.code != "unreadable"]
            if told:
                raise
            raise _refused("unreadable", part, path, error.problems[0].message) from None
        if self.bytes > limits.CATALOG_BYTES:
            mib = limits.CATALOG_BYTES // 1024 // 1024
            message = f"included files have more than the {mib} MiB that are supported in all"
            raise _refused("too-large", part, path, message)
        self.read[known] = found
        self.add(found, (*way, found))


def is_relative(name: str) -> bool:
    """Tell whether a text is a path that starts at a folder, wherever it leads, in Windows too."""
    path = PurePosixPath(name.replace("\\", "/"))
    is_rooted = path.is_absolute() or PureWindowsPath(name).drive
    return bool(path.parts) and not is_rooted and name.isprintable()


def is_below(file: Path, folder: Path) -> bool:
    """Tell whether a file is below a folder once all links are followed."""
    try:
        return file.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):
        return True  # whoever reads it says what is wrong with it


def _names(part: Document) -> list[str]:
    node = part.root.members().get(INCLUDE)
    if node is None:
        return []
    return [node.text()] if isinstance(node.value, str) else [item.text() for item in node.items()]


def _refused(code: str, part: Document, path: DataPath, message: str, hint: str = "") -> InputError:
    return InputError(Problem(code=code, message=message, path=path, mark=part.mark(path), hint=hint))
