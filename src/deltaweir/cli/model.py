"""``deltaweir model``: the weights on this machine."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from deltaweir.cli.endings import ends_well
from deltaweir.cli.show import say
from deltaweir.models.cache import cache_folder, path_of, present
from deltaweir.models.catalogue import Entry, catalogue, default_entry, find
from deltaweir.models.pull import pull as pull_weights
from deltaweir.models.terminal import TerminalProgress

app = typer.Typer(no_args_is_help=True, help="Download, list and find embedded models.")

Name = Annotated[
    str | None,
    typer.Argument(help="A name of `deltaweir model list`.", show_default="the default model"),
]


@app.command()
@ends_well
def pull(name: Name = None) -> None:
    """Download a model now, so that the first answer need not wait for it."""
    entry = find(name or default_entry().name)
    path = pull_weights(entry, progress=TerminalProgress(lines=True))
    say(f"{entry.name} is at {path}")


@app.command("list")
@ends_well
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """List the models that have a name, and say which are on this machine."""
    rows = [_row(entry) for entry in catalogue().values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif sys.stdout.isatty():
        _table(rows)
    else:
        for row in rows:
            typer.echo("\t".join(str(value) for value in row.values()))


@app.command()
@ends_well
def path(name: Name = None) -> None:
    """Print where a model's file is, or will be."""
    typer.echo(path_of(find(name or default_entry().name)))


def _row(entry: Entry) -> dict[str, str | int | bool]:
    return {
        "name": entry.name,
        "title": entry.title,
        "megabytes": round(entry.bytes / 1e6),
        "licence": entry.licence,
        "here": present(entry),
        "default": entry.default,
    }


def _table(rows: list[dict[str, str | int | bool]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "model", "MB", "licence", "on this machine"):
        table.add_column(heading, justify="right" if heading == "MB" else "left")
    for row in rows:
        mark = " (default)" if row["default"] else ""
        table.add_row(
            f"{row['name']}{mark}",
            str(row["title"]),
            str(row["megabytes"]),
            str(row["licence"]),
            "yes" if row["here"] else "no",
        )
    console = Console()
    console.print(table)
    console.print(f"\nFiles are kept in {cache_folder() / 'models'}", highlight=False)
