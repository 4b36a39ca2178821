"""`docs/codes.md` lists every stable code of a problem or finding, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import citrix_netpolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(citrix_netpolicy.__file__).parent
DOCUMENT = Path(__file__).parent.parent / "docs" / "codes.md"
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
    if "_data" not in path.parts
}


def _parameters(function: ast.FunctionDef) -> list[ast.arg]:
    arguments = [*function.args.posonlyargs, *function.args.args]
    return arguments[1:] if arguments and arguments[0].arg in ("self", "cls") else arguments


def _takers() -> dict[str, int]:
    """Return the functions that take a code by position, and the classes whose first field it is."""
    takers = {}
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in _parameters(node)]
                if "code" in names:
                    takers[node.name] = names.index("code")
            if isinstance(node, ast.ClassDef):
                fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
                names = [field.id for field in fields if isinstance(field, ast.Name)]
                # `Problem` takes it by keyword alone.
                if names[:1] == ["code"] and node.name != "Problem":
                    takers[node.name] = 0
    return takers


def _texts(value: ast.expr | None) -> Iterator[str]:
    """Yield the texts that an expression may be; `*` stands for what is put in when the program runs."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from (*_texts(value.body), *_texts(value.orelse))
    elif isinstance(value, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in value.values)


def _codes(tree: ast.AST, takers: dict[str, int]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code":
            yield from _texts(node.value)
        elif isinstance(node, ast.FunctionDef):
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args]
            pairs = zip(reversed(named), reversed(arguments.defaults), strict=False)
            for argument, default in (*pairs, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)):
                if argument.arg == "code":
                    yield from _texts(default)
        elif isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "code" for target in node.targets
        ):
            yield from _texts(node.value)
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = takers.get(name)
            if place is not None and len(node.args) > place:
                yield from _texts(node.args[place])


def used() -> dict[str, set[str]]:
    """Return the codes in the source of the package, with the files that use each."""
    takers = _takers()
    found: dict[str, set[str]] = {}
    for name, tree in TREES.items():
        for code in _codes(tree, takers):
            found.setdefault(code, set()).add(name)
    # A service of ICMP has a code of another kind.
    return {code: files for code, files in found.items() if code not in ("*", "any")}


def documented() -> list[str]:
    """Return the codes of the document's tables, in order of lines."""
    return re.findall(r"^\| `([^`]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


def _shape(code: str) -> re.Pattern[str]:
    return re.compile(re.escape(code).replace(r"\*", "[a-z-]+") + r"\Z")


def test_the_reader_of_codes_sees_every_way_to_give_one() -> None:
    found = used()
    assert found.keys() >= {
        "tier-without-peers",  # Finding("...", ...)
        "unknown-target",  # Problem(code="...")
        "overlap",  # self.problem("...", ...)
        "missing-key",  # refusal(..., code="...")
        "name-clash",  # _problem("...", ...)
        "yaml-unsupported",  # a default
        "unwritable",  # code="..." if ... else "..."
        "invalid-value",  # code = "..."
        "unknown-*",  # f"unknown-{...}"
    }


def test_every_code_is_documented() -> None:
    known = documented()
    missing = {
        code: sorted(files)
        for code, files in sorted(used().items())
        if not any(_shape(code).match(other) for other in known)
    }
    told = "\n".join(
        f"| `{code}` | MEANING | WHAT TO DO |    <- {', '.join(files)}" for code, files in missing.items()
    )
    assert not missing, f"add to the table of problems or findings in docs/codes.md:\n{told}"


def test_no_documented_code_is_gone() -> None:
    shapes = [_shape(code) for code in used()]
    gone = [code for code in documented() if not any(shape.match(code) for shape in shapes)]
    assert not gone, f"no source gives these codes any more; remove their lines from docs/codes.md: {gone}"


def test_codes_are_listed_once_and_in_order() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for table in text.split("\n## ")[1:]:
        codes = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
        assert codes == sorted(set(codes)), table.partition("\n")[0]


def test_codes_are_words_in_kebab_case() -> None:
    assert [code for code in documented() if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", code)] == []
