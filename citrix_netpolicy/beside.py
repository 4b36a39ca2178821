"""Files of others in an output folder that act on the groups of the module.

Terraform takes up every file of a folder, so a rule that somebody adds there belongs to the module. It is
neither touched nor judged here; it is told of, for a reviewer of the module would not see it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from citrix_netpolicy import disk, limits
from citrix_netpolicy.errors import InputError, Mark
from citrix_netpolicy.files import read_file
from citrix_netpolicy.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["files_beside"]

# What opens or attaches a group, or is one.
_ACTS: Final = re.compile(
    rb"""(?x)\b(
    aws_(?:default_)?security_group(?:_rule)?
    |aws_vpc_security_group_(?:ingress_rule|egress_rule|rules_exclusive|vpc_association)
    |aws_network_interface_sg_attachment
    |azurerm_network_security_(?:group|rule)
    |azurerm_(?:subnet_network|network_interface)_(?:application_)?security_group_association
    |azurerm_application_security_group
    |Microsoft\.Network/(?:network|application)SecurityGroups[/A-Za-z]*
    )\b"""
)
_SUFFIXES: Final = (".tf", ".tf.json", ".tofu", ".tofu.json", ".bicep")
_MOST: Final = 100  # files that are looked at in one folder


def files_beside(folder: Path, ours: Collection[str]) -> Iterator[Finding]:
    """Yield a finding for each file of others, beside one of `ours`, that declares what acts on groups.

    Links are not followed. A file that cannot be read, or is too large, is told of as well.
    """
    for name in sorted({str(Path(name).parent) for name in ours if name.endswith(_SUFFIXES)}):
        place = folder if name == "." else folder / name
        names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
        there = [place / file for file in names if file.endswith(_SUFFIXES)]
        for path in there[:_MOST]:
            if path.relative_to(folder).as_posix() not in ours and not disk.is_link(path):
                yield from _judged(path)


def _judged(path: Path) -> Iterator[Finding]:
    try:
        content = read_file(path, limits.INPUT_BYTES, follow=False)
    except (InputError, OSError):
        yield _finding(path, 1, "cannot be read, so what it does to the groups of this module is not known")
        return
    found = _ACTS.search(content)
    if found:
        line = content.count(b"\n", 0, found.start()) + 1
        yield _finding(path, line, f"declares `{found[1].decode()}` in this module, which is not generated")


def _finding(path: Path, line: int, what: str) -> Finding:
    return Finding(
        "file-beside",
        str(path),
        f"`{path.name}` {what}",
        "move it to the root that calls the module, or say as a flow of the deployment what it opens",
        locations=(Mark(str(path), line, 1),),
    )
