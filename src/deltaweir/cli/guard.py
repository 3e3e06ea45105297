"""``deltaweir guard``: what the rules of guards find, and what they cost."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaweir.cli.folding import folded
from deltaweir.cli.help import Command, Group, heading, help_when_alone
from deltaweir.cli.process import ERROR, USAGE
from deltaweir.cli.show import say, separated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deltaweir.cli.examples import Checked
    from deltaweir.errors import InvalidRule
    from deltaweir.guard.rules import Rule

_PRESETS = {
    "standard": "all that the others find, and the addresses of machines",
    "secrets": "keys, tokens and passwords",
    "pii": "what tells who somebody is: mail, telephone, cards, accounts",
}
_GAP = "  "
_LEAST_COLUMNS = 48
"""How much room a last column needs beside the others."""
_SHOWN_CHARACTERS = 30
"""How much of a pattern is shown on each side of what is wrong with it."""

app = typer.Typer(cls=Group, invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def guard(context: typer.Context) -> None:
    """Explain and test the rules of guards.

    Examples:
      deltaweir guard list
      deltaweir guard check standard
      deltaweir guard check rules.toml
      deltaweir chat --guard rules.toml

    A file of rules:
      [[rules]]
      id = "ticket"
      regex = 'TICKET-[0-9]{1,9}'
      examples = ["See TICKET-12."]
      counterexamples = ["See TICKET-x."]

      [[rules]]
      id = "colleagues"
      literals_file = "names.txt"
      fold = true
      action = "block"
      scope = ["prompt", "content"]

    An action is redact, unless told, which shows [REDACTED:ticket] instead; truncate or block,
    which end the answer; or flag, which only tells. A scope is any of prompt, content,
    reasoning, refusal and tool_args: all but the prompt, unless told. A match is never shown,
    however it falls into pieces; to be sure of that, text that may become one is held back
    until it is known.
    """
    help_when_alone(context)


@app.command("list", cls=Command)
def list_presets(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """List the presets, each with the number of its rules."""
    from deltaweir.adapters.rule_files import PRESETS, preset

    rows = [{"name": name, "rules": len(preset(name)), "finds": _PRESETS[name]} for name in PRESETS]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif sys.stdout.isatty():
        _draw(
            ["preset", "rules", "finds"],
            [[str(value) for value in row.values()] for row in rows],
            numbers={"rules"},
        )
    else:
        for row in rows:
            typer.echo("\t".join(map(str, row.values())))


@app.command(cls=Command)
def check(
    rules: Annotated[
        str,
        typer.Argument(metavar="FILE|PRESET", help="A .toml file with rules, or a preset's name."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Explain rules, and try them on their own examples.

    Examples:
      deltaweir guard check rules.toml
      deltaweir guard check secrets --json

    For each rule it says what happens to a match unless the guard says otherwise, what it
    looks at (output is all but the prompt), how many characters it can hold back at most, and
    how many of its examples are right. Each example is tried whole and a character at a time.
    Through a pipe each line has, between tabs: rule, action, scope, characters held back,
    examples, how many of them are wrong, description.

    Exit codes: 0 all is right, 1 an example is not, 2 the rules cannot be used.
    """
    # heavy: only this command pays for it
    from deltaweir.adapters.rule_files import rules_named
    from deltaweir.cli.examples import checked
    from deltaweir.errors import InvalidRule

    try:
        found = checked(rules_named(rules))
    except InvalidRule as error:
        _explain(error, rules, as_json=as_json)
        raise typer.Exit(USAGE) from error
    wrong = [one for rule in found for one in rule.wrong]
    if as_json:
        report = {"ok": not wrong, "rules": [one.as_dict() for one in found], "error": None}
        typer.echo(json.dumps(report, indent=2))
    elif sys.stdout.isatty():
        _table(found)
    else:
        for one in found:
            typer.echo("\t".join(_cells(one)))
    if not as_json:
        _summary(found, wrong)
    raise typer.Exit(ERROR if wrong else 0)


def _explain(error: InvalidRule, source: str, *, as_json: bool) -> None:
    """Say why rules cannot be used, and on a terminal show the place in the user's own file."""
    if as_json:
        said = {name: getattr(error, name) for name in ("message", "rule", "position", "reason")}
        typer.echo(json.dumps({"ok": False, "rules": [], "error": said}, indent=2))
        return
    message = error.message
    shown = source if source.isprintable() else repr(source)[1:-1]  # no escapes for a terminal
    say(f"deltaweir: {message if shown in message else f'{shown}: {message}'}")
    if error.rule is not None and error.position is not None and sys.stderr.isatty():
        for line in _place(source, error.rule, error.position):
            say(line)


def _place(source: str, rule: str, position: int) -> Iterator[str]:
    """Return a rule's pattern around a place, and a line that points there."""
    import tomllib
    from pathlib import Path

    from rich.cells import cell_len  # knows which letters are two columns wide

    tables = tomllib.loads(Path(source).read_text("utf-8-sig"))["rules"]
    pattern = next((one.get("regex") for one in tables if one.get("id") == rule), None)
    if not isinstance(pattern, str):
        return
    shown = "".join(letter if letter.isprintable() else " " for letter in pattern)
    begin = max(0, position - _SHOWN_CHARACTERS)
    yield f"  {shown[begin : position + _SHOWN_CHARACTERS]}"
    yield f"  {' ' * cell_len(shown[begin:position])}^"


def _summary(found: list[Checked], wrong: list[Any]) -> None:
    for one in wrong:
        say(f"deltaweir: {one}")
    examples = sum(one.examples for one in found)
    most = max(one.holds for one in found)
    say(
        separated(
            _counted(len(found), "rule"),
            f"at most {_counted(most, 'character')} held back",
            _counted(examples, "example") + (f", {len(wrong)} wrong" if wrong else ", all right")
            if examples
            else "no examples",
        )
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _cells(one: Checked) -> list[str]:
    """Return a rule as a line for programs."""
    known = one.as_dict()
    return [
        known["id"],
        known["action"],
        ",".join(_scope(one.rule)),
        str(one.holds),
        str(one.examples),
        str(len(one.wrong)),
        known["description"] or "",
    ]


def _scope(rule: Rule) -> tuple[str, ...]:
    return rule.scope or ("output",)


def _table(found: list[Checked]) -> None:
    """Write for people: of a description its first sentence."""
    rows = []
    for one in found:
        known = one.as_dict()
        holds = f"{one.holds:,}"
        if known["on_overflow"] not in (None, "redact"):
            holds += f", then {known['on_overflow']}"
        right = one.examples - len(one.wrong)
        examples = f"{right} of {one.examples}" if one.examples else "none"
        described = "".join(filter(str.isprintable, known["description"] or ""))
        finds = re.split(r"\. (?=[A-Z])", described)[0].removesuffix(".")
        rows.append(
            [known["id"], known["action"], ", ".join(_scope(one.rule)), holds, examples, finds]
        )
    titles = ["rule", "action", "looks at", "holds", "right", "finds"]
    _draw(titles, rows, numbers={"holds", "right"})


def _draw(titles: list[str], rows: list[list[str]], *, numbers: set[str]) -> None:
    """Write a table for a terminal; a last column that finds no room stands below its row.

    Where the others find none either, each row is some lines, with the titles in them.
    """
    from rich.cells import cell_len  # knows which letters are two columns wide
    from rich.console import Console
    from rich.text import Text

    *heads, last = titles
    widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)][:-1]
    left = sum(widths) + len(_GAP) * len(widths)
    console = Console()
    room = console.width - left
    if left - len(_GAP) > console.width:
        for row in rows:
            cells = [f"{title} {cell}" for title, cell in zip(heads[1:], row[1:], strict=False)]
            lines = [f"{_GAP}{', '.join(cells)}", f"{_GAP}{row[-1]}".rstrip()]
            typer.echo(heading(row[0]))
            typer.echo(folded("\n".join(filter(None, lines)), console.width))
        return
    below = room < _LEAST_COLUMNS
    for number, row in enumerate([titles, *rows]):
        cells = []
        for name, cell, width in zip(heads, row, widths, strict=False):
            space = " " * (width - cell_len(cell))
            cells.append(f"{space}{cell}" if name in numbers else f"{cell}{space}")
        begun = _GAP.join([heading(cells[0]) if below and number else cells[0], *cells[1:]])
        if number == 0:
            typer.echo(heading(begun.rstrip() if below else f"{begun}{_GAP}{last}"))
            continue
        wrapped = Text(row[-1]).wrap(console, console.width - len(_GAP) if below else room)
        lines = [line.plain.rstrip() for line in wrapped]
        if below:
            typer.echo(begun.rstrip())
        else:
            typer.echo(f"{begun}{_GAP}{lines.pop(0) if lines else ''}".rstrip())
        for line in lines:
            typer.echo(f"{_GAP if below else ' ' * left}{line}")
