"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from deltaweir import __version__
from deltaweir.cli.chat import chat
from deltaweir.cli.complete import complete
from deltaweir.cli.endings import ends_well
from deltaweir.cli.model import app as model

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # a traceback with local variables would show prompts
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"deltaweir {__version__}")
        raise typer.Exit


@app.callback()
def deltaweir(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Stream LLM completions, from a model on this machine.

    Start with `deltaweir chat "Why is the sky blue?"`: the first call downloads a small model
    (491 MB) and keeps it. `--model smollm2` takes a smaller one (98 MB), `--model FILE.gguf`
    one of yours.
    """


app.command()(ends_well(chat))
app.command()(ends_well(complete))
app.add_typer(model, name="model")
