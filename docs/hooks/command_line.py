"""Write the page on the command line anew, from the command line itself.

Run ``.venv/bin/python docs/hooks/command_line.py`` after an option has changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from deltaweir.cli.app import app

PAGE = Path(__file__).parents[1] / "command-line.md"
_HEAD = """\
# The command line

`deltaweir COMMAND --help` says the same, with examples. Answers go to standard output as they \
arrive, everything else to standard error, so that any command can stand in a pipe. A prompt that \
begins with a dash goes behind `--`.

| exit code | what it means |
|---|---|
| 0 | done; an answer was complete |
| 1 | an error |
| 2 | the command line, or a configuration, cannot be used |
| 3 | a guard or a budget cut the answer |
| 130 | interrupted |
"""


def page() -> str:
    """Return the page."""
    parts = [_part(name, one) for name, one in commands(typer.main.get_command(app), "deltaweir")]
    return "\n".join([_HEAD, *parts])


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each command with its full name, in the order of the help."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, inner in command.commands.items():
        if not inner.hidden:
            yield from commands(inner, f"{name} {word}")


def _part(name: str, command: Any) -> str:
    said = (command.help or "").split("\n\n")[0]
    rows = [f"| {_named(param)} | {_plain(param.help)} |" for param in _shown(command)]
    table = "\n".join(["| option | meaning |", "|---|---|", *rows])
    return f"## {name}\n\n{_plain(said)}\n\n{table}\n"


def _shown(command: Any) -> list[Any]:
    params = [param for param in command.params if not getattr(param, "hidden", False)]
    return sorted(params, key=lambda param: param.param_type_name != "argument")


def _named(param: Any) -> str:
    value = " or ".join(f"`{word}`" for word in _value(param).split("|") if word)
    if param.param_type_name == "argument":
        return value
    names = [*sorted(param.opts, key=len, reverse=True), *param.secondary_opts]
    return f"{', '.join(f'`{name}`' for name in names)} {value}".strip()


def _value(param: Any) -> str:
    if getattr(param, "is_flag", False):
        return ""
    return str(param.metavar or param.name.upper())


def _plain(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").replace("|", "\\|").strip()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
