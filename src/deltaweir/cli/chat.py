"""``deltaweir chat``: one answer, or a conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deltaweir.cli import options


def chat(
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            envvar="DELTAWEIR_PROMPT",
            help="What to ask. Without it the prompt is read from a pipe; without a pipe a "
            "conversation begins. - reads stdin in any case.",
            show_envvar=False,
        ),
    ] = None,
    model: options.Model = None,
    base_url: options.BaseUrl = None,
    api_key: options.ApiKey = None,
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    budget: options.Budget = None,
    guard: options.Guard = None,
    record: options.Record = None,
    as_json: options.Json = False,
    no_stats: options.NoStats = False,
) -> None:
    """Ask a question and watch the answer arrive.

    Examples:
      deltaweir chat "What's 1+1? Answer in one word."
      deltaweir chat -s "Summarise in one sentence." < notes.txt
      deltaweir chat -- "--help is what kind of word?"

    `deltaweir chat` alone begins a conversation. In it /help explains the commands, Ctrl-C
    stops an answer, and Ctrl-D leaves. From a Deltaweir gateway an answer goes on by itself
    after a lost connection.
    """
    text = options.prompt_from(prompt)
    if text is None and record is not None and not Path(record).is_dir():
        raise typer.BadParameter(
            "a conversation has many answers, and a file records one; name a folder that exists",
            param_hint="--record",
        )
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
    # heavy: only a command that asks pays for it
    from deltaweir.cli.ask import Asking, way_to

    way = way_to(model, base_url=base_url, api_key=api_key)
    opening = [{"role": "system", "content": system}] if system else []
    if text is None:
        from deltaweir.cli.conversation import Conversation

        asking = Asking(way, fields, as_json=as_json, stats=not no_stats)
        raise typer.Exit(Conversation(asking, opening=opening).run())
    fields["messages"] = [*opening, {"role": "user", "content": text}]
    asking = Asking(way, fields, as_json=as_json, stats=not (no_stats or as_json))
    raise typer.Exit(asking.ask().code)
