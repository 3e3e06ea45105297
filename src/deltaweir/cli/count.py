"""``deltaweir count``: tokens and price of a text, or of a conversation."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaweir.cli.show import dollars, say, separated, write

if TYPE_CHECKING:
    from deltaweir.meter.prompt import PromptCount

Fields = dict[str, Any]


def count(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="A text, or JSON with messages: a list of them, or a whole request. Without it "
            "stdin is read, as for -.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Whose tokens, and at whose price: gpt-4o, a dated or fine-tuned name, or an "
            "embedded model's. Default: the encoding o200k_base, without a price.",
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            "--encoding", "-e", metavar="NAME", help="One of tiktoken's names, such as cl100k_base."
        ),
    ] = None,
    text: Annotated[
        bool, typer.Option("--text", help="Count JSON as the text it is, not as messages.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Count the tokens of a text or of messages, without sending anything.

    Examples:
      deltaweir count README.md
      git diff | deltaweir count --model gpt-4o
      deltaweir count messages.json --model gpt-4o
      tokens=$(deltaweir count notes.txt 2>/dev/null)

    The number stands on stdout; what it rests on, and the price as a prompt, on stderr. A
    terminal shows messages one by one and in all, with what their format adds; through a pipe
    comes the whole number alone, and with --json all of it. The count of a text is tiktoken's;
    that of messages is official, observed, or estimated, whichever is the weakest rule in it.
    """
    given = _read(file)
    fields = None if text else _request(given)
    if fields is not None and encoding is not None:
        raise typer.BadParameter("messages are counted by --model; --encoding is for a text")
    if fields is None:
        _count_text(given, model=model, encoding=encoding, as_json=as_json)
    else:
        _count_messages(fields, model=model, as_json=as_json)


def _read(file: Path | None) -> str:
    if file is None or str(file) == "-":
        if file is None and sys.stdin.isatty():
            say("Type the text; Ctrl-D on a line of its own ends it.")
        raw = sys.stdin.buffer.read()
    else:
        raw = file.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(
            f"byte {error.start} is not UTF-8; only text can be counted"
        ) from error


def _request(text: str) -> Fields | None:
    """Return the request that a text is when it is JSON with messages, else None."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and "messages" in value:
        return value
    if isinstance(value, list) and value and all(_is_message(one) for one in value):
        return {"messages": value}
    return None


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value


def _count_text(text: str, *, model: str | None, encoding: str | None, as_json: bool) -> None:
    from deltaweir.adapters.encodings import encoding_of
    from deltaweir.client.counting import count_tokens, prompt_cost_usd
    from deltaweir.models.weights import is_embedded

    tokens = count_tokens(text, model, encoding)
    cost = prompt_cost_usd(model, tokens)
    embedded = encoding is None and model is not None and is_embedded(model)
    named = encoding or (model if embedded else encoding_of(model).name)
    known = encoding is not None or model is None or embedded or encoding_of(model).known
    if as_json:
        counted = {"tokens": tokens, "encoding": named, "model": model, "cost_usd": cost}
        typer.echo(json.dumps(counted | {"source": "official" if known else "estimated"}))
        return
    typer.echo(tokens)
    how = f"tokens in {named}" if known else f"tokens, estimated with {named}"
    say(separated(how, *_priced(model, cost)))


def _count_messages(fields: Fields, *, model: str | None, as_json: bool) -> None:
    from deltaweir.client.counting import prompt_cost_usd, prompt_of

    name = model or fields.get("model")
    counted = prompt_of({**fields, "model": name})
    cost = prompt_cost_usd(name, counted.tokens)
    roles = [str(message["role"]) for message in fields["messages"]]
    if as_json:
        each = [
            {"role": role, "tokens": tokens}
            for role, tokens in zip(roles, counted.messages, strict=False)
        ]
        typer.echo(
            json.dumps(
                {
                    "tokens": counted.tokens,
                    "source": counted.source,
                    "model": name,
                    "cost_usd": cost,
                    "messages": each,
                }
            )
        )
        return
    _show_messages(roles, counted)
    how = f"tokens ({counted.source})"
    say(separated(how, *_priced(name, cost)))


def _show_messages(roles: list[str], counted: PromptCount) -> None:
    if not sys.stdout.isatty() or not counted.messages:
        typer.echo(counted.tokens)
        return
    added = counted.tokens - sum(counted.messages)
    names = [f"{number}  {role}" for number, role in enumerate(roles, 1)]
    rows = [*zip(names, counted.messages, strict=True), ("format and tools", added)]
    rows.append(("in all", counted.tokens))
    wide = max(len(name) for name, _ in rows)
    tall = len(f"{counted.tokens:,}")
    for name, tokens in rows:
        write(f"{name:{wide}}  {tokens:{tall},}\n")


def _priced(model: str | None, cost: float | None) -> list[str]:
    if model is None:
        return ["--model tells the price"]
    if cost is None:
        return [f"no price known for {model}"]
    return [f"{dollars(cost)} as a prompt of {model}"]
