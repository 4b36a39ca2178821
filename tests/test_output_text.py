"""What is printed and written acts on nothing that shows it, whoever wrote the words in it.

Terminals act on control characters, readers of text on marks that turn its direction, Markdown on formatting
and HTML, and GitHub on more than that.
"""

from __future__ import annotations

import ast
import csv
import html
import importlib
import io
import re
import unicodedata
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import real
from support.strategies import examples

import citrix_netpolicy
from citrix_netpolicy import Deployment, cli, compile_deployment, render
from citrix_netpolicy.inputs.catalog import load_catalog
from citrix_netpolicy.plain import plain
from citrix_netpolicy.reports.catalog import export_csv, export_markdown
from citrix_netpolicy.syntax import document
from citrix_netpolicy.syntax.markdown import cell
from citrix_netpolicy.syntax.yaml import dump

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE: Final = Path(citrix_netpolicy.__file__).parent
# One of each kind that shows nothing or acts: controls, a turn of direction, no width, ends of lines that few
# know, a tag, a half of a character, one that is for private use, and one that is none.
UNSEEN: Final = "\x1b\x07\x7f\x85\x9b\u200b\u200f\u2028\u202e\u2066\ufeff\U000e0041\ue000\uffff"
FORMATS: Final = "a | b `c` <d> *e* [f](g) ![h](i) \\ _j_ ~~k~~ &amp; &#64;x <!-- # -> - 1. "
CALLS: Final = (
    "@team @org/team a@b.example #12 org/repo#12 GH-1 gh-1 $x$ $$y$$ $`z`$ http://a.example "
    "https://a.example ftp://a.example www.a.example mailto:a@b.example xmpp:a@b.example/c org/repo@0123456"
)
PIECES: Final = [
    *"a1 |`<>*_[]()\\~&#@$:/.-!",
    "www.",
    "https://",
    "GH-",
    "&#64;",
    "<!--",
    "-->",
    "é",
    *UNSEEN,
]
TEXTS: Final = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


# Plain text


@given(TEXTS)
def test_plain_text_shows_every_character(text: str) -> None:
    shown = plain(text)
    assert all(char.isprintable() for char in shown)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    kept = [char for char in text if char.isprintable()]
    assert len(shown) >= len(text)
    assert not kept or set(kept) <= set(shown)


@pytest.mark.parametrize("char", [*UNSEEN, "\n", "\r", "\t", "\0", "\xa0", "\ud800"])
def test_what_shows_nothing_becomes_an_escape(char: str) -> None:
    assert re.fullmatch(r"a\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|[nrt])b", plain(f"a{char}b"))


# Markdown


@cache
def _renderer() -> Callable[[str], str]:
    """Return the renderer that GitHub uses, with all of HTML let through."""
    try:
        cmarkgfm = importlib.import_module("cmarkgfm")
        options = importlib.import_module("cmarkgfm.cmark").Options
    except ImportError:
        real.absent("cmarkgfm is absent")
    return lambda text: str(cmarkgfm.github_flavored_markdown_to_html(text, options.CMARK_OPT_UNSAFE))


def _rendered_cell(text: str) -> str:
    """Return the HTML that a cell becomes, in a row of two."""
    page = _renderer()(f"| a | b |\n|---|---|\n| {cell(text)} | z |\n")
    body = page.partition("<tbody>")[2]
    found = re.findall(r"<td>(.*?)</td>", body, re.DOTALL)
    assert len(found) == 2 or not text.strip()
    assert found[-1] == "z"
    return str(found[0])


@examples(300)
@example(FORMATS)
@example(CALLS)
@example("\\|")
@given(TEXTS)
def test_a_cell_shows_its_text_and_does_nothing(text: str) -> None:
    inside = _rendered_cell(text)
    # Comments and marks around `$` are ours; with them gone, there is text alone, and it is the one given.
    bare = inside.replace("<!-- -->", "").replace("<span>$</span>", "$")
    assert "<" not in bare
    assert html.unescape(bare) == plain(" ".join(text.split()))


@examples(300)
@example(CALLS)
@given(TEXTS)
def test_a_cell_holds_nothing_that_github_acts_on(text: str) -> None:
    """What a page shows is searched by GitHub for these, between one element or comment and the next."""
    page = _rendered_cell(text)
    for piece in re.split(r"<!-- -->|<span>\$</span>", page):
        shown = html.unescape(piece)
        assert not re.search(r"@\w|#\d|\bGH-\d|\$|\b(https?|ftp|mailto|xmpp):|\bwww\.", shown, re.IGNORECASE)


# Files


def _site(cloud: str, text: str, folder: Path) -> Deployment:
    """Return a site that says `text` wherever it may: names of tiers and externals, reasons, a catalogue."""
    # A cloud takes less than that in a name: EC2 letters, digits, spaces and some marks, Azure even less.
    some = "".join(re.findall(r"[A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$*-]", text))[-80:]
    name = " ".join(some.split()) if cloud == "aws" else ""
    (folder / "ours.yaml").write_text(
        dump(
            {
                "documents": {"wiki": {"title": f"w {text}", "publisher": f"p {text}", "note": f"n {text}"}},
                "roles": {"billing": {"title": f"t {text}", "description": f"d {text}", "kind": "host"}},
                "product": f"Billing {text}",
                "document": "wiki",
                "section": f"s {text}",
                "entries": [
                    {
                        "id": "vda-billing",
                        "citations": [{"document": "wiki", "section": f"s {text}"}],
                        "source": ["vda"],
                        "destination": ["billing"],
                        "services": [{"protocol": "tcp", "ports": [9443], "application": f"a {text}"}],
                        "purpose": "Session hosts to billing",  # held to what clouds take, as reasons are not
                        "as-written": f"w {text}",
                    }
                ],
            }
        )
    )
    data = {
        "name": "site",
        "cloud": cloud,
        "catalogs": ["ours.yaml"],
        "tiers": {
            "vda": ["10.0.0.0/24"],
            "billing": ["10.0.1.0/28"],
            f"ddc {name}".strip(): {"roles": "ddc", "subnets": ["10.0.2.0/28"]},
        },
        "flows": {
            "metrics": {
                "source": "vda",
                "destination": "billing",
                "services": [{"protocol": "tcp", "ports": [9100]}],
                "reason": f"r {text}",
            }
        },
        "exclude": [{"entry": "ddc-vda-local-host-cache", "reason": f"r {text}"}],
    }
    (folder / "site.yaml").write_text(dump(data), "utf-8")
    return Deployment.load(folder / "site.yaml")


TARGETS: Final = [
    ("aws", "aws"),
    ("azure", "azure"),
    ("terraform", "aws"),
    ("terraform", "azure"),
    ("bicep", "azure"),
]


@pytest.mark.parametrize(("target", "cloud"), TARGETS)
def test_no_file_holds_what_shows_nothing(target: str, cloud: str, tmp_path: Path) -> None:
    text = f"{UNSEEN}\n| # {FORMATS} {CALLS} ${{x}} %{{y}} ' \" \r\n end"
    site = _site(cloud, UNSEEN + text, tmp_path)
    module = render(compile_deployment(site), target)
    assert module.files
    for name, content in module.files.items():
        for line in content.split("\n"):
            assert line.isprintable(), (name, line)


@pytest.mark.parametrize(("target", "cloud"), TARGETS)
def test_no_page_acts_on_its_reader(target: str, cloud: str, tmp_path: Path) -> None:
    """A page has the same elements and the same text outside of cells, whatever the words in its cells."""
    pages = []
    for number, text in enumerate(("fine", f"{FORMATS} {CALLS}")):
        (tmp_path / str(number)).mkdir()
        site = _site(cloud, text, tmp_path / str(number))
        files = render(compile_deployment(site), target).files
        pages.append({name: _renderer()(content) for name, content in files.items() if name.endswith(".md")})
    assert pages[0].keys() == pages[1].keys()
    assert pages[0]
    for name, page in pages[0].items():
        hostile = pages[1][name].replace("<span>$</span>", "$").replace("<!-- -->", "")
        assert re.findall(r"<[^>]*>", hostile) == re.findall(r"<[^>]*>", page)


def test_a_deployment_written_as_yaml_shows_every_character(tmp_path: Path) -> None:
    site = _site("aws", f"{UNSEEN} {FORMATS}", tmp_path)
    text = site.to_yaml()
    assert all(line.isprintable() for line in text.split("\n"))
    assert (
        document.parse(text.encode(), "site.yaml").data["flows"]["metrics"]["reason"]
        == site.flows["metrics"].reason
    )


def test_exports_of_a_catalogue_show_every_character() -> None:
    catalog = load_catalog()
    entry = replace_in(catalog.entries[0], purpose=f"x {UNSEEN} {CALLS}", product=f"y {UNSEEN}")
    hostile = replace_in(catalog, entries=(entry, *catalog.entries[1:]))
    for text in (export_csv(hostile), export_markdown(hostile)):
        assert all(line.isprintable() for line in text.split("\n"))
    row = list(csv.reader(io.StringIO(export_csv(hostile))))[1]
    assert row[-1] == plain(entry.purpose)


def replace_in(model: Any, **changes: Any) -> Any:
    """Return a model with other values, which nothing has looked at."""
    return model.model_copy(update=changes)


# What is printed


HOSTILE: Final = "a\x1b[31m\nerror: forged\r\u202e\u200bb"


@pytest.mark.parametrize(
    "arguments",
    [
        ["compile", f"{HOSTILE}.yaml", "--target", "aws", "--out", "out"],
        ["compile", "site.yaml", "--target", HOSTILE, "--out", "out"],
        ["compile", "site.yaml", "--target", "aws", "--out", f"absent/{HOSTILE}/{HOSTILE}"],
        ["compile", "site.yaml", "--target", "aws", "--out", "out", "--network", HOSTILE],
        ["init", f"absent/{HOSTILE}"],
        ["catalog", "show", HOSTILE],
        ["catalog", "list", "--role", HOSTILE],
        ["catalog", "list", "--feature", HOSTILE],
        ["catalog", "list", "--port", HOSTILE],
        ["catalog", "list", "--product", HOSTILE],
        [HOSTILE],
        [f"--{HOSTILE}"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(HOSTILE, "HOSTILE"),
)
def test_arguments_are_printed_as_they_may_be_seen(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site.yaml").write_text("name: site\ncloud: aws\ntiers: {ddc: [10.0.0.0/24]}\n")
    with suppress(SystemExit):
        cli.main(arguments)
    printed = capsys.readouterr()
    lines = (printed.out + printed.err).split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("error: forged") for line in lines)


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_a_summary_is_printed_as_it_may_be_seen(
    cloud: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _site(cloud, f"{UNSEEN}\nerror: forged", tmp_path)
    arguments = ["--target", "terraform", "--out", str(tmp_path / "out"), "--verbose"]
    assert cli.main(["compile", str(tmp_path / "site.yaml"), *arguments]) == 0
    lines = capsys.readouterr().err.split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("error:") for line in lines)


def test_only_one_door_leads_out() -> None:
    """Nothing prints, and nothing writes to a stream, but the module that escapes what it prints."""
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).as_posix() in ("cli/output.py", "cli/process.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not (isinstance(node, ast.Name) and node.id == "print"), path
            if isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr", "__stdout__"):
                assert path.name == "__init__.py", f"{path}:{node.lineno}"
                assert path.parent.name == "cli", path


def test_the_process_module_prints_only_what_is_fixed() -> None:
    tree = ast.parse((PACKAGE / "cli" / "process.py").read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
    assert "print" not in {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    assert "writelines" not in names
