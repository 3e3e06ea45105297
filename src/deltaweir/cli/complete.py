"""``deltaweir complete``: go on with a text."""

from __future__ import annotations

from typing import Annotated

import typer

from deltaweir.cli import options
from deltaweir.cli.ask import announce, answer, prompt_from

MAX_TOKENS = 256
"""How much is written when nothing is said; OpenAI's own default of 16 shows too little."""


def complete(
    prompt: Annotated[
        str | None, typer.Argument(help="What to go on from; - or nothing reads it from a pipe.")
    ] = None,
    model: options.Model = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=0, help="Stop after this many tokens.")
    ] = MAX_TOKENS,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    suffix: Annotated[
        str | None, typer.Option("--suffix", help="What comes after; the model fills the gap.")
    ] = None,
    as_json: options.Json = False,
    no_stats: options.NoStats = False,
) -> None:
    """Go on with a text, as a completion model does.

    `deltaweir complete "def fibonacci(n):" --temperature 0 --stop "def"`
    """
    text = prompt_from(prompt)
    if text is None:
        raise typer.BadParameter("there is no prompt; type one, or pipe one in")
    fields = options.sampling(
        max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=stop
    )
    if suffix is not None:
        fields["suffix"] = suffix
    fields["model"] = announce(model)
    raise typer.Exit(
        answer(
            lambda client: client.completions.create,
            {**fields, "prompt": text},
            as_json=as_json,
            stats=not (no_stats or as_json),
        )
    )
