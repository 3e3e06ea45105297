"""``deltaweir model``: the weights on this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from deltaweir.cli.help import Command, Group, heading, help_when_alone
from deltaweir.cli.show import say

if TYPE_CHECKING:
    from deltaweir.models.catalogue import Entry

app = typer.Typer(cls=Group, invoke_without_command=True, rich_markup_mode=None)

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", help="A name of `deltaweir model list`. Default: qwen2.5-coder-0.5b."
    ),
]


@app.callback()
def model(context: typer.Context) -> None:
    """Download, list and find embedded models.

    Examples:
      deltaweir model list
      deltaweir model pull smollm2
      deltaweir chat --model "$(deltaweir model path smollm2)" hello
    """
    help_when_alone(context)


@app.command(cls=Command)
def pull(name: Name = None) -> None:
    """Download a model now, so that the first answer need not wait for it.

    An interrupted download goes on where it was. Files are kept in a folder of your user's
    cache; the environment variable DELTAWEIR_CACHE names another one.
    """
    from deltaweir.cli.pulling import pulling
    from deltaweir.models.pull import pull as pull_weights

    entry = _entry(name)
    with pulling() as progress:
        found = pull_weights(entry, progress=progress)
    say(f"{entry.name} is at {found}")


@app.command("list", cls=Command)
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """List the models that have a name, and say which are on this machine.

    Through a pipe each line has, between tabs: name, title, megabytes, licence, whether it
    is here, whether it is the default.
    """
    from deltaweir.models.catalogue import catalogue

    rows = [_row(entry) for entry in catalogue().values()]
    if as_json:
        import json

        typer.echo(json.dumps(rows, indent=2))
    elif sys.stdout.isatty():
        _table(rows)
    else:
        for row in rows:
            typer.echo("\t".join(_word(value) for value in row.values()))


@app.command(cls=Command)
def path(name: Name = None) -> None:
    """Print where a model's file is, or will be."""
    from deltaweir.models.cache import path_of

    typer.echo(path_of(_entry(name)))


def _entry(name: str | None) -> Entry:
    from deltaweir.models.catalogue import default_entry, find

    return find(name) if name else default_entry()


def _row(entry: Entry) -> dict[str, str | int | bool]:
    from deltaweir.models.cache import present

    return {
        "name": entry.name,
        "title": entry.title,
        "megabytes": round(entry.bytes / 1e6),
        "licence": entry.licence,
        "here": present(entry),
        "default": entry.default,
    }


def _word(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _table(rows: list[dict[str, str | int | bool]]) -> None:
    """Write for people, a model in two lines, so that it fits a narrow terminal."""
    from deltaweir.models.cache import cache_folder

    for row in rows:
        mark = " (the default)" if row["default"] else ""
        here = "on this machine" if row["here"] else "not on this machine"
        typer.echo(f"{heading(str(row['name']))}{mark}")
        typer.echo(f"  {row['title']}")
        typer.echo(f"  {row['megabytes']} MB, {row['licence']}, {here}")
    typer.echo(f"\nFiles are kept in {cache_folder() / 'models'}")
