"""The options that asking commands share, each explained once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE.gguf",
        help="Which model answers: a name of `deltaweir model list`, or a GGUF file.",
        show_default="qwen2.5-coder-0.5b",
    ),
]
System = Annotated[
    str | None, typer.Option("--system", "-s", help="Instructions that stand before it all.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=0, help="Stop after this many tokens.")
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature", "-t", min=0.0, max=2.0, help="0 always takes the likeliest token."
    ),
]
TopP = Annotated[
    float | None,
    typer.Option("--top-p", min=0.0, max=1.0, help="Keep the likeliest tokens up to this share."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed, the same answer.")]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", help="Stop before this text; may be given several times."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Write one chunk a line as JSON instead of text.")
]
NoStats = Annotated[
    bool, typer.Option("--no-stats", help="Leave out the line with tokens and times.")
]


def sampling(
    *,
    max_tokens: int | None,
    temperature: float | None,
    top_p: float | None,
    seed: int | None,
    stop: list[str] | None,
) -> dict[str, Any]:
    """Return the options that were given, as fields of a request."""
    fields = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "stop": stop or None,
    }
    return {name: value for name, value in fields.items() if value is not None}
