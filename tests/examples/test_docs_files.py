"""What README and docs show beside Python: configurations load, commands exist, JSON is JSON."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.examples.blocks import ROOT, Block, blocks, pages

from deltaweir.adapters.rule_files import rules_from
from deltaweir.cli.app import app
from deltaweir.gateway.config.file import load_config

KNOWN = {
    *("console", "haproxy", "html", "ini", "js", "json", "nginx", "promql", "python", "sh"),
    *("text", "toml", "yaml"),
}
UPSTREAM = '\n[[upstreams]]\nname = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
"""What makes a configuration of one that shows a single table."""
NAMED = {
    "house.toml": '[[rules]]\nid = "codename"\nliterals = ["Project Nightjar"]\n',
    "demo.jsonl": '{"format":"deltaweir-recording","version":1,"kind":"chat","model":"m"}\n',
}
"""Files that lie beside a configuration."""
FOREIGN = {
    *(".venv/bin/pip", ".venv/bin/python", ".venv/bin/uvicorn", "curl", "export", "git", "head"),
    *("make", "pip", "printf", "psql", "pytest", "python", "sudo"),
}
"""Commands that are not ours; a name that is neither is misspelled, or new and to be added."""
OURS = re.compile(r"^(?:\.venv/bin/)?deltaweir$")


def shown(*languages: str) -> list[Any]:
    """Return the blocks in a language, as parameters of a test."""
    return [pytest.param(block, id=block.id) for block in blocks(*languages) if block.runs]


def beside(folder: Path) -> None:
    """Make the files that pages name."""
    for name, text in NAMED.items():
        (folder / name).write_text(text, "utf-8")


def configurations() -> list[Any]:
    """Return every configuration that is shown, and those that lie in the examples."""
    files = sorted((ROOT / "examples" / "gateway").glob("*.toml"))
    lying = [Block(path, 1, "toml", None, path.read_text("utf-8"), runs=True) for path in files]
    return shown("toml") + [pytest.param(block, id=block.id) for block in lying]


@pytest.mark.parametrize("block", configurations())
def test_toml_loads(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever copies it has rules that compile, or a gateway once the environment has the keys."""
    for name in re.findall(r'"env:(\w+)"', block.text):
        monkeypatch.setenv(name, "sk-for-nobody")
    beside(tmp_path)
    path = tmp_path / "shown.toml"
    tables = tomllib.loads(block.text)
    whole = tables.keys() & {"models", "upstreams", "rules"}
    path.write_text(block.text if whole else block.text + UPSTREAM, "utf-8")
    if "rules" in tables:
        assert rules_from(str(path))
    else:
        assert load_config(path).models


@pytest.mark.parametrize("block", shown("json"))
def test_json_parses(block: Block) -> None:
    """Each document, or each line, is JSON."""
    try:
        json.loads(block.text)
    except json.JSONDecodeError:
        for line in block.text.splitlines():
            json.loads(line)


@pytest.mark.parametrize("block", shown("yaml"))
def test_yaml_parses(block: Block) -> None:
    """It is YAML, and says something."""
    assert yaml.safe_load(block.text)


def lines(block: Block) -> Iterator[list[str]]:
    """Yield what is typed in a block of a console, as a shell would split it."""
    typed = ""
    for line in block.text.splitlines():
        if not typed and not line.startswith("$ "):
            continue  # what is answered
        typed += line.removeprefix("$ ") if not typed else "\n" + line
        if typed.endswith("\\"):
            typed = typed[:-1]
            continue
        try:
            yield list(_lexed(typed))
        except ValueError:  # a quotation that goes on in the next line
            continue
        typed = ""
    assert not typed, f"{block.id} ends within a quotation"


def _lexed(typed: str) -> Iterator[str]:
    found = shlex.shlex(typed, posix=True, punctuation_chars="|;&<>")
    found.whitespace_split = True
    return iter(found)


def commands(words: list[str]) -> Iterator[list[str]]:
    """Yield the commands of a line: those between pipes, without what is read or written."""
    command: list[str] = []
    skipped = False
    for word in [*words, ";"]:
        if set(word) <= set("|;&"):
            yield command
            command = []
        elif set(word) <= set("<>"):
            skipped = True
        elif skipped or (not command and re.match(r"[A-Z_]+=", word)):
            skipped = False
        else:
            command.append(word)


def typed() -> Iterator[Any]:
    """Return every command that is shown."""
    for block in blocks("console"):
        for words in lines(block):
            for command in filter(None, commands(words)):
                yield pytest.param(command, id=f"{block.id} {' '.join(command)[:50]}")


@functools.cache
def application() -> Any:
    """Return our command line."""
    return typer.main.get_command(app)


@functools.cache
def targets() -> set[str]:
    """Return what ``make`` can make."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z-]+):.* ## ", makefile, re.MULTILINE))


@pytest.mark.parametrize("words", [*typed()])
def test_a_command_exists(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one of ours and takes the options it is shown with; or its bodies and files are."""
    beside(tmp_path)
    monkeypatch.chdir(tmp_path)
    name, *rest = words
    if rest[:2] == ["-m", "deltaweir"]:
        name, rest = "deltaweir", rest[2:]
    if OURS.match(name):
        command = application()
        while hasattr(command, "commands"):
            command = command.commands[rest.pop(0)]
        command.make_context("deltaweir", rest)
        return
    assert name in FOREIGN
    if name == "make":
        assert {word for word in rest if "=" not in word} <= targets()
    elif name == "curl":
        for option, value in itertools.pairwise(rest):
            if option in {"-d", "--data"}:
                json.loads(value)
    elif name == ".venv/bin/python" and rest[0].endswith(".py"):
        assert (ROOT / rest[0]).exists()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_is_read_whole(page: Path) -> None:
    """Each block says its language, one that is known here; none stands there by indentation."""
    text = page.read_text("utf-8")
    opened = re.findall(r"^```(.*)$", text, re.MULTILINE)
    assert len(opened) % 2 == 0
    assert not [mark for mark in opened[1::2] if mark], "a block within a block"
    assert {mark.partition(" ")[0] for mark in opened[::2]} <= KNOWN
    found = [block for block in blocks() if block.page == page]
    assert len(found) == len(opened) // 2


def test_there_is_much_to_see() -> None:
    """The tests above have found what they are about."""
    assert len(configurations()) > 30
    assert len([*typed()]) > 80
