"""Tables and lists of the docs, against what they are about: none lacks a thing or has one more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.examples.blocks import DOCS, ROOT, pages

import deltaweir
from deltaweir.cli.app import app
from deltaweir.cli.commands import COMMANDS

SOURCE = ROOT / "src" / "deltaweir"
NAME = re.compile(r"[A-Z][A-Z0-9_]+")
READERS = {"environ", "getenv", "_env"}
"""Who is asked for a variable: ``os.environ`` and mappings of this name, and functions."""
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def variables(tree: ast.Module) -> Iterator[str]:
    """Yield the names of environment variables that a module reads."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Call):
            of = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            asked = node.args[:1] if _name(of) in READERS or _name(node.func) in READERS else []
            asked += [word.value for word in node.keywords if word.arg == "envvar"]
        elif isinstance(node, ast.Subscript) and _name(node.value) in READERS:
            asked = [node.slice]
        elif isinstance(node, ast.Compare) and _name(node.comparators[0]) in READERS:
            asked = [node.left]
        for expression in asked:
            for leaf in ast.walk(constants.get(_name(expression), expression)):
                value = getattr(leaf, "value", None)
                if isinstance(value, str) and NAME.fullmatch(value):
                    yield value


def _name(node: ast.expr) -> str:
    return getattr(node, "id", getattr(node, "attr", ""))


def cells(text: str) -> list[str]:
    """Return the first cells of all tables in a text."""
    return re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)


def test_each_variable_stands_on_its_page() -> None:
    """Each that is read in the sources is there, and none that is not."""
    page = (DOCS / "environment.md").read_text("utf-8").partition("## Read by what")[0]
    told = re.findall(r"`(\w+)`", " ".join(cells(page)))
    texts = [path.read_text("utf-8") for path in SOURCE.rglob("*.py")]
    reading = [text for text in texts if re.search(r"environ|getenv|envvar|_env\b", text)]
    read = {name for text in reading for name in variables(ast.parse(text))}
    assert len(told) == len(set(told))
    assert set(told) == read


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands with their names."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, inner in command.commands.items():
        if not inner.hidden:
            yield from commands(inner, f"{name} {word}")


def test_each_option_stands_on_its_page() -> None:
    """The page on the command line has each command, with its arguments and options in order.

    ``.venv/bin/python docs/hooks/command_line.py`` writes it anew.
    """
    page = (DOCS / "command-line.md").read_text("utf-8")
    parts = {part.partition("\n")[0]: part for part in page.split("\n## ")[1:]}
    known = dict(commands(typer.main.get_command(app), "deltaweir"))
    assert [*parts] == [*known]
    for name, command in known.items():
        told = [re.findall(r"`(-[\w-]+)`", cell) for cell in cells(parts[name])]
        params = [param for param in command.params if not getattr(param, "hidden", False)]
        options = [
            [*sorted(param.opts, key=len, reverse=True), *param.secondary_opts]
            for param in params
            if param.param_type_name == "option"
        ]
        arguments: list[list[str]] = [[] for param in params if param.param_type_name == "argument"]
        assert told == arguments + options, name


def test_each_command_of_a_conversation_stands_on_its_page() -> None:
    """The page on the terminal has each command that a line of a conversation can be."""
    page = (DOCS / "terminal.md").read_text("utf-8")
    told = re.findall(r"^\| `/(\w+)(?: ([^`]+))?` \|", page, re.MULTILINE)
    assert told == [(one.name, one.argument.replace("|", " or ")) for one in COMMANDS]


def test_each_public_name_stands_in_the_reference() -> None:
    """Every name of the package and of its public modules is on a page of the reference."""
    text = "".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))
    whole = {"errors", "error", "testing", "types"}  # modules, of which some are shown as a whole
    errors = {name for name in deltaweir.errors.__dict__ if name[0].isupper()}
    for names in (deltaweir.__all__, deltaweir.types.__all__, deltaweir.testing.__all__):
        for name in {*names} - whole - errors - {"__version__"}:
            assert re.search(rf"\b{name}\b", text), name
    for module in whole - {"testing", "types"}:
        assert f"::: deltaweir.{module}\n" in text


def test_each_object_of_the_reference_is_there() -> None:
    """The reference names what can be imported."""
    for page in (DOCS / "reference").glob("*.md"):
        for path in re.findall(r"^::: deltaweir\.(\S+)$", page.read_text("utf-8"), re.MULTILINE):
            found: Any = deltaweir
            for name in path.split("."):
                __import__(f"{found.__name__}.{name}") if _is_module(found, name) else None
                found = getattr(found, name)


def _is_module(within: Any, name: str) -> bool:
    folder = SOURCE.joinpath(*within.__name__.split(".")[1:])
    return (folder / name).is_dir() or (folder / f"{name}.py").exists()


def headings(page: Path) -> set[str]:
    """Return what a page can be linked to by."""
    text = _FENCED.sub("", page.read_text("utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", one.lower()).strip().replace(" ", "-") for one in titles}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each file of the repository that a page links to is there, and each heading."""
    text = _FENCED.sub("", page.read_text("utf-8"))
    mounted = {"changelog.md", "security-policy.md"}  # pages of the site alone
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        other = (page.parent / name) if name else page
        assert other.exists(), target
        assert other.name not in mounted
        if anchor and other.parent.name != "reference":
            assert anchor in headings(other), target


def test_each_page_is_in_the_navigation() -> None:
    """Whoever comes to the site finds every page of it."""
    named = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    nav = re.findall(r"[\w/-]+\.md", str(named))
    lying = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert len(nav) == len(set(nav))
    assert lying <= set(nav)
