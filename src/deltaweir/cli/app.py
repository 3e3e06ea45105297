"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from deltaweir import __version__
from deltaweir.cli.chat import chat
from deltaweir.cli.complete import complete
from deltaweir.cli.count import count
from deltaweir.cli.guard import app as guard
from deltaweir.cli.help import Command, Group, help_when_alone
from deltaweir.cli.keys import app as keys
from deltaweir.cli.model import app as model
from deltaweir.cli.replay import replay
from deltaweir.cli.serve import serve
from deltaweir.cli.usage import usage

app = typer.Typer(
    cls=Group,
    invoke_without_command=True,
    rich_markup_mode=None,
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
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  its callback has done it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Stream LLM completions, from a model on this machine or any OpenAI-compatible server.

    Examples:
      deltaweir chat "Why is the sky blue?"
      deltaweir chat
      git diff | deltaweir chat -s "Write a commit message."
      deltaweir complete "def fibonacci(n):"
      deltaweir serve
      deltaweir count README.md --model gpt-4o
      deltaweir chat --guard standard
      deltaweir guard check rules.toml
      deltaweir replay answer.jsonl --speed 2

    The first call downloads a small model (491 MB) and keeps it; after that no network is
    needed, and no prompt leaves this machine. `--model smollm2` takes a smaller model (98 MB),
    `--model FILE.gguf` takes one of yours. Where --base-url, DELTAWEIR_BASE_URL or
    OPENAI_API_KEY names a provider, prompts go there; the first line on stderr always says
    where.

    The answer goes to stdout, everything else to stderr. Exit codes: 0 complete, 1 error,
    2 wrong usage, 3 cut by a guard or a budget, 130 interrupted by Ctrl-C.
    """
    help_when_alone(context)


app.command(cls=Command)(chat)
app.command(cls=Command)(complete)
app.command(cls=Command)(serve)
app.command(cls=Command)(count)
app.command(cls=Command)(usage)
app.command(cls=Command)(replay)
app.add_typer(keys, name="keys")
app.add_typer(guard, name="guard")
app.add_typer(model, name="model")
