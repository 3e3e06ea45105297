"""``deltaweir chat``: one answer, or a conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deltaweir.cli import options
from deltaweir.cli.show import has_colours


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
    markdown: Annotated[
        bool | None,
        typer.Option(
            "--markdown/--no-markdown",
            help="Show Markdown as it is meant, while it arrives, on a terminal. Default: in a "
            "conversation, unless NO_COLOR is set; one answer stays the text it is.",
        ),
    ] = None,
    no_history: Annotated[
        bool,
        typer.Option(
            "--no-history",
            help="Keep nothing of what you type. A conversation's prompts are otherwise kept in a "
            "file that only you can read, for the Up key; DELTAWEIR_HISTORY=FILE names another "
            "one, DELTAWEIR_HISTORY=off keeps none.",
        ),
    ] = False,
) -> None:
    """Ask a question and watch the answer arrive.

    Examples:
      deltaweir chat "What's 1+1? Answer in one word."
      deltaweir chat -s "Summarise in one sentence." < notes.txt
      deltaweir chat -- "--help is what kind of word?"

    `deltaweir chat` alone begins a conversation. In it Enter sends and Alt-Enter breaks the
    line, /help explains the commands, Ctrl-C stops an answer, and Ctrl-D leaves. From a
    Deltaweir gateway an answer goes on by itself after a lost connection.
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
    from deltaweir.cli.ask import Asking, Way, way_to

    def find(name: str | None) -> Way:
        return way_to(name, base_url=base_url, api_key=api_key)

    if text is None:
        from deltaweir.cli.conversation import Conversation

        asking = Asking(
            find(model),
            fields,
            as_json=as_json,
            stats=not no_stats,
            markdown=_is_live(markdown, default=has_colours()),
        )
        talk = Conversation(
            asking, find=find, system=system, guards=guard or (), keep_history=not no_history
        )
        raise typer.Exit(talk.run())
    opening = [{"role": "system", "content": system}] if system else []
    fields["messages"] = [*opening, {"role": "user", "content": text}]
    asking = Asking(
        find(model),
        fields,
        as_json=as_json,
        stats=not (no_stats or as_json),
        markdown=_is_live(markdown, default=False),
    )
    raise typer.Exit(asking.ask().code)


def _is_live(wanted: bool | None, *, default: bool) -> bool:
    """Say whether answers are shown as live Markdown; elsewhere than on a terminal they never are.

    Args:
        wanted: What the options say; None for nothing.
        default: What holds then.
    """
    from deltaweir.cli.answers import can_be_live

    return can_be_live() and (default if wanted is None else wanted)
