"""What ``--help`` shows: plain text that fits any width, read as well through a pipe.

A docstring's paragraphs are refilled; lines that are indented, such as examples, stay as they
are. On a narrow terminal an option's explanation stands below it, so that no name is cut.
"""

from __future__ import annotations

import inspect
import os
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

_MAX_COLUMNS = 80
_NARROW_COLUMNS = 60
_NAMES_COLUMNS = 28
_MARGIN = "  "

Entry = tuple[str, str]
"""A name, and what it means."""


class Command(TyperCommand):
    """A command with our help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the command's help."""
        formatter.write(_page(self, ctx))


class Group(TyperGroup):
    """A group of commands with our help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the group's help."""
        formatter.write(_page(self, ctx))


def help_when_alone(context: typer.Context) -> None:
    """Show a group's help when no command of it is named, which is a wrong usage.

    Raises:
        typer.Exit: The help has been shown.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def _page(command: Any, context: Any) -> str:
    columns = min(shutil.get_terminal_size().columns, _MAX_COLUMNS)
    shown = [param for param in command.get_params(context) if not param.hidden]
    sections = {
        "Arguments": [_entry(param) for param in shown if param.param_type_name == "argument"],
        "Commands": [
            (name, _summary(found))
            for name in (command.list_commands(context) if isinstance(command, Group) else ())
            if (found := command.get_command(context, name)) is not None
        ],
        "Options": [_entry(param) for param in shown if param.param_type_name == "option"],
    }
    head, _, rest = inspect.cleandoc(command.help or "").partition("\n\n")
    usage = heading("Usage:") + f" {' '.join(_usage(command, context))}"
    blocks = [*_filled(head, columns), usage, *_filled(rest, columns)]
    for title, entries in sections.items():
        if entries:
            lines = _table(entries, columns)
            blocks.append("\n".join([heading(f"{title}:"), *lines]))
    return "\n\n".join(blocks) + "\n"


def _usage(command: Any, context: Any) -> Iterator[str]:
    yield context.command_path
    yield "[OPTIONS]"
    if isinstance(command, Group):
        yield "COMMAND ..."
    for param in command.get_params(context):
        if param.param_type_name == "argument":
            yield param.metavar if param.required else f"[{param.metavar}]"


def heading(text: str) -> str:
    """Make a heading bold; ``typer.echo`` takes that out where it is not for a terminal."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else typer.style(text, bold=True)


def _filled(text: str, columns: int) -> Iterator[str]:
    for paragraph in filter(None, text.split("\n\n")):
        title, *lines = paragraph.splitlines()
        if lines and all(line.startswith(" ") for line in lines):
            yield "\n".join([heading(title), *lines])
        else:
            yield textwrap.fill(" ".join(paragraph.split()), columns, break_on_hyphens=False)


def _entry(param: Any) -> Entry:
    if param.param_type_name == "argument":
        return param.metavar, param.help or ""
    short = [name for name in param.opts if not name.startswith("--")]
    long = [name for name in param.opts if name.startswith("--")]
    names = ", ".join([*short, *long]) if short else f"    {', '.join(long)}"
    return f"{names} {param.metavar or ''}".rstrip(), param.help or ""


def _summary(command: Any) -> str:
    return " ".join((command.help or "").partition("\n\n")[0].split())


def _table(entries: Iterable[Entry], columns: int) -> Iterator[str]:
    entries = list(entries)
    if columns < _NARROW_COLUMNS:
        for name, meaning in entries:
            yield f"{_MARGIN}{name.strip()}"
            yield from _indented(meaning, columns, indent=6)
        return
    names = min(max(len(name) for name, _ in entries), _NAMES_COLUMNS)
    indent = len(_MARGIN) + names + 2
    for name, meaning in entries:
        lines = list(_indented(meaning, columns, indent=indent))
        if len(name) <= names:
            first = lines.pop(0).strip() if lines else ""
            yield f"{_MARGIN}{name:{names}}  {first}".rstrip()
        else:
            yield f"{_MARGIN}{name}"
        yield from lines


def _indented(text: str, columns: int, *, indent: int) -> list[str]:
    margin = " " * indent
    return textwrap.wrap(
        text,
        columns,
        initial_indent=margin,
        subsequent_indent=margin,
        break_on_hyphens=False,
    )
