"""``deltaweir complete``: go on with a text."""

from __future__ import annotations

from typing import Annotated

import typer

from deltaweir.cli import options

MAX_TOKENS = 256
"""How much is written when nothing is said; OpenAI's own default of 16 shows too little."""


def complete(
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="What to go on from. Without it, or with -, it is read from a pipe.",
        ),
    ] = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    api_key: options.ApiKey = None,
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens",
            metavar="N",
            min=0,
            help=f"Stop after N tokens of answer. Default: {MAX_TOKENS}.",
        ),
    ] = MAX_TOKENS,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    budget: options.Budget = None,
    guard: options.Guard = None,
    record: options.Record = None,
    suffix: Annotated[
        str | None,
        typer.Option("--suffix", metavar="TEXT", help="What comes after; the model fills the gap."),
    ] = None,
    as_json: options.Json = False,
    no_stats: options.NoStats = False,
) -> None:
    """Go on with a text, as a completion model does.

    Examples:
      deltaweir complete "def fibonacci(n):" -t 0 --stop "def"
      deltaweir complete --max-tokens 50 < beginning.txt

    Only the new text is written, without the prompt.
    """
    text = options.prompt_from(prompt)
    if text is None:
        raise typer.BadParameter("there is no prompt; type one, or pipe one in")
    fields = options.sampling(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        stop=stop,
        budget=budget,
        guard=guard,
        record=record,
    )
    if suffix is not None:
        fields["suffix"] = suffix
    # heavy: only a command that asks pays for it
    from deltaweir.cli.ask import Asking, way_to

    fields["prompt"] = text
    way = way_to(model, base_url=base_url, api_key=api_key)
    asking = Asking(way, fields, as_json=as_json, stats=not (no_stats or as_json))
    raise typer.Exit(asking.ask().code)
