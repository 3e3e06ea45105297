"""The arguments and options that asking commands share, each explained once."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from deltaweir.cli.show import say


def _not_empty(texts: list[str] | None) -> list[str] | None:
    if texts and not all(texts):
        raise typer.BadParameter("the text is empty; nothing would ever be written")
    return texts


def _a_budget(text: str | None) -> str | None:
    if text is not None:
        from deltaweir.errors import InvalidRequest
        from deltaweir.meter.budget import limit_of

        try:
            limit_of(text)
        except InvalidRequest as error:
            raise typer.BadParameter(
                f"got {text[:40]!r}, expected a limit such as 500tok or 0.02usd"
            ) from error
    return text


def _guards(names: list[str] | None) -> list[str] | None:
    """Refuse guards that cannot be used, before anything is asked."""
    if names:
        from deltaweir.adapters.guards import Guard as Compiled
        from deltaweir.errors import InvalidRule

        for name in names:
            try:
                Compiled(name).policy.prepare()
            except InvalidRule as error:
                message = error.message
                raise typer.BadParameter(
                    message if name in message else f"{name}: {message}"
                ) from error
    return names


def _preset_names() -> list[str]:
    from deltaweir.adapters.rule_files import PRESETS

    return [*PRESETS]


def _model_names() -> list[str]:
    from deltaweir.models.catalogue import catalogue

    return list(catalogue())


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="Which model answers: a name of `deltaweir model list`, or a file that ends with "
        ".gguf. Default: qwen2.5-coder-0.5b.",
        autocompletion=_model_names,
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="Ask an OpenAI-compatible server instead, such as http://127.0.0.1:8080/v1.",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="Its key; better kept in DELTAWEIR_API_KEY, out of sight.",
    ),
]
System = Annotated[
    str | None,
    typer.Option("--system", "-s", metavar="TEXT", help="Instructions that stand before it all."),
]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", metavar="N", min=0, help="Stop after N tokens of answer."),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        "-t",
        metavar="0..2",
        min=0.0,
        max=2.0,
        help="How much chance there is in it. The embedded model always takes the likeliest "
        "token unless told; a provider has a default of its own.",
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        "--top-p",
        metavar="0..1",
        min=0.0,
        max=1.0,
        help="Choose among the likeliest tokens that together have this share.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="The same seed gives the same answer again."),
]
Stop = Annotated[
    list[str] | None,
    typer.Option(
        "--stop",
        metavar="TEXT",
        callback=_not_empty,
        help="Stop before this text; may be given several times.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="LIMIT",
        callback=_a_budget,
        help="What the answer may use at most: 500tok of answer, 0.02usd for prompt and answer, "
        "or both with a comma between. It is cut at that token, and the exit code is 3.",
    ),
]
Guard = Annotated[
    list[str] | None,
    typer.Option(
        "--guard",
        metavar="NAME|FILE",
        callback=_guards,
        help="Hide what rules find before it is shown: standard, secrets, pii, or a .toml file "
        "of yours; may be given several times. `deltaweir guard --help` explains rules. Where "
        "one cuts the answer, the exit code is 3.",
        autocompletion=_preset_names,
    ),
]
Record = Annotated[
    str | None,
    typer.Option(
        "--record",
        metavar="FILE",
        help="Write the answer to a file with its times, to be played again by `deltaweir replay "
        "FILE`; a folder takes one file an answer. The prompt is not in it. No file is ever "
        "replaced.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Write each chunk as a line of JSON, instead of text.")
]
NoStats = Annotated[
    bool, typer.Option("--no-stats", help="Leave out the line with tokens and times.")
]


def prompt_from(argument: str | None) -> str | None:
    """Return the prompt: the argument, or what is piped in; None when a person sits there.

    Raises:
        typer.BadParameter: The prompt is empty, or no text.
    """
    if argument is not None and argument != "-":
        try:
            argument.encode()  # bytes that are no text come as halves of surrogate pairs
        except UnicodeEncodeError as error:
            raise typer.BadParameter("the prompt is not UTF-8 text") from error
        text = argument
    elif argument is None and sys.stdin.isatty():
        return None
    else:
        if sys.stdin.isatty():
            say("Type the prompt; Ctrl-D on a line of its own ends it.")
        try:
            # read as bytes, since a terminal's encoding would let broken text pass
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise typer.BadParameter("what is piped in is not UTF-8 text") from error
        except OSError as error:
            raise typer.BadParameter(f"stdin cannot be read: {error.strerror}") from error
    if not text.strip():
        raise typer.BadParameter("the prompt is empty; type one, or pipe one in")
    return text


def sampling(
    *,
    max_tokens: int | None,
    temperature: float | None,
    top_p: float | None,
    seed: int | None,
    stop: list[str] | None,
    budget: str | None,
    guard: list[str] | None,
    record: str | None = None,
) -> dict[str, Any]:
    """Return the options that were given, as fields of a request."""
    guards = None
    if guard:
        from deltaweir.adapters.guards import Guard as Compiled

        guards = [Compiled(name) for name in guard]
    fields = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "stop": stop or None,
        "budget": budget,
        "guard": guards,
        "record": record,
    }
    return {name: value for name, value in fields.items() if value is not None}
