"""``deltaweir chat``: one answer, or a conversation."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deltaweir.cli import options
from deltaweir.cli.ask import announce, answer, open_stream, prompt_from, show
from deltaweir.cli.endings import COMPLETE, INTERRUPTED, fail
from deltaweir.cli.show import say, statistics, write
from deltaweir.client.blocking import Client
from deltaweir.errors import ContextLengthExceeded, DeltaweirError

_HELP = "/reset forgets the conversation, /help shows this, /exit or Ctrl-D leaves, Ctrl-C stops"


def chat(
    prompt: Annotated[
        str | None,
        typer.Argument(
            envvar="DELTAWEIR_PROMPT",
            help="What to ask; - or nothing reads it from a pipe. Without it, a conversation.",
            show_envvar=False,
        ),
    ] = None,
    model: options.Model = None,
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    stop: options.Stop = None,
    as_json: options.Json = False,
    no_stats: options.NoStats = False,
) -> None:
    """Ask a question and watch the answer arrive.

    `deltaweir chat "What's 1+1? Answer in one word."`

    `cat notes.txt | deltaweir chat --system "Summarise in one sentence."`

    `deltaweir chat` alone begins a conversation.
    """
    text = prompt_from(prompt)
    fields = options.sampling(
        max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed, stop=stop
    )
    fields["model"] = announce(model)
    messages = [{"role": "system", "content": system}] if system else []
    if text is None:
        raise typer.Exit(_converse(messages, fields, stats=not no_stats, as_json=as_json))
    messages.append({"role": "user", "content": text})
    raise typer.Exit(
        answer(
            lambda client: client.chat.completions.create,
            {**fields, "messages": messages},
            as_json=as_json,
            stats=not (no_stats or as_json),
        )
    )


def _converse(opening: list[Any], fields: dict[str, Any], *, stats: bool, as_json: bool) -> int:
    """Talk until the user leaves; an interruption ends an answer, not the conversation."""
    _line_editing()
    say(_HELP)
    client, messages = Client(), [*opening]
    while True:
        try:
            text = input("> ").strip()
        except EOFError:
            write("\n")
            return COMPLETE
        except KeyboardInterrupt:
            write("\n")
            return INTERRUPTED
        if text == "/exit":
            return COMPLETE
        if text == "/reset":
            messages = [*opening]
        elif text.startswith("/"):
            say(_HELP)
        elif text:
            messages.append({"role": "user", "content": text})
            reply = _turn(client, {**fields, "messages": messages}, stats=stats, as_json=as_json)
            if reply is None:
                messages.pop()
            else:
                messages.append(reply)


def _turn(client: Client, fields: dict[str, Any], *, stats: bool, as_json: bool) -> Any:
    """Answer once and return the message, None when there is nothing to go on from."""
    try:
        with open_stream(client.chat.completions.create, fields) as stream:
            try:
                show(stream, as_json=as_json)
            except KeyboardInterrupt:
                stream.close()
            write("" if as_json else "\n")
            if stats:
                say(statistics(stream))
            return stream.reply().choices[0].message if stream.text else None
    except ContextLengthExceeded as error:
        fail(error)
        say("The conversation has grown too long; /reset begins a new one.")
    except DeltaweirError as error:
        fail(error)
    return None


def _line_editing() -> None:
    """Give the input line its editing keys and its past, where Python has readline."""
    try:
        import readline  # noqa: F401  # importing it is what turns it on
    except ImportError:
        return
