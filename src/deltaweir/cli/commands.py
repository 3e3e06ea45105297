"""The commands of a conversation, in one table, and what a typed line means by it. Pure."""

from __future__ import annotations

import difflib
from typing import NamedTuple

from deltaweir.cli.folding import folded


class Command(NamedTuple):
    """A command that a line of a conversation can be."""

    name: str
    argument: str
    """What may stand behind it, for people; empty for nothing."""
    meaning: str
    others: tuple[str, ...] = ()
    """Other names of it."""


COMMANDS = (
    Command("model", "[NAME]", "lists the models, or asks another one from now on"),
    Command("system", "[TEXT|off]", "shows or sets the instructions that stand before it all"),
    Command("guard", "[NAME|off]", "shows or sets what hides secrets: a preset, or a .toml file"),
    Command("retry", "", "asks the last question again"),
    Command("usage", "", "shows tokens and cost of the conversation"),
    Command("save", "[FILE]", "writes it to a file: Markdown, or JSON if it ends with .json"),
    Command("reset", "", "forgets what was said", ("new", "clear")),
    Command("help", "", "shows this", ("?",)),
    Command("quit", "", "leaves, as Ctrl-D does", ("exit", "q")),
)
_LEAST_ROOM = 30
"""Columns that a meaning needs beside its name."""
_BY_NAME = {name: one for one in COMMANDS for name in (one.name, *one.others)}
_KEYS = (
    ("Ctrl-C", "stops an answer, or clears the line; twice on an empty line it leaves"),
    ("//", "at the beginning is sent as /"),
)
_EDITING_KEYS = (
    ("Alt-Enter", "breaks the line, as Ctrl-J does; Enter sends"),
    ("Up, Ctrl-R", "bring back what was asked before"),
)


class Said(NamedTuple):
    """A line that is a message for the model."""

    text: str


class Wanted(NamedTuple):
    """A line that is a command."""

    command: Command
    argument: str


class Unknown(NamedTuple):
    """A line that looks like a command, and is none."""

    name: str
    nearest: str | None


def meant(line: str) -> Said | Wanted | Unknown:
    """Return what a typed line means.

    Args:
        line: The line, or several; a message that begins with / has two, or a space before it.
    """
    if line.startswith("//") or not line.startswith("/"):
        text = line.strip()
        return Said(text[1:] if line.startswith("//") else text)
    name, _, argument = line[1:].strip().partition(" ")
    name, broken, more = name.partition("\n")
    if command := _BY_NAME.get(name.lower()):
        return Wanted(command, f"{more} {argument}".strip() if broken else argument.strip())
    near = difflib.get_close_matches(name.lower(), _BY_NAME, 1)
    begun = [known for known in _BY_NAME if name and known.startswith(name.lower())]
    return Unknown(name, next(iter([*begun, *near]), None))


def explained(*, editing: bool, columns: int) -> str:
    """Return the help: each command and key with its meaning.

    Args:
        editing: Whether the line can be edited with more keys than a plain terminal has.
        columns: How wide the terminal is; on a narrow one a meaning stands below its name.
    """
    rows = [(f"/{one.name} {one.argument}".strip(), one.meaning) for one in COMMANDS]
    rows += [*(_EDITING_KEYS if editing else ()), *_KEYS]
    width = max(len(name) for name, _ in rows)
    room = columns - width - 2
    if room < _LEAST_ROOM:
        return "\n".join(f"{name}\n    {meaning}" for name, meaning in rows)
    below = f"\n{' ' * (width + 2)}"
    return "\n".join(
        f"{name:{width}}  {folded(meaning, room).replace(chr(10), below)}" for name, meaning in rows
    )
