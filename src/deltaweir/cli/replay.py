"""``deltaweir replay``: a recording, as it was shown."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deltaweir.cli import options
from deltaweir.cli.show import say


def _a_speed(text: str) -> str:
    _factor(text)
    return text


def _factor(text: str) -> float:
    from deltaweir.errors import InvalidRequest
    from deltaweir.recording import speed_of

    try:
        return speed_of(text if text == "max" else float(text))
    except (ValueError, InvalidRequest) as error:
        raise typer.BadParameter(
            f"got {text[:40]!r}, expected a factor such as 2 or 0.5, or max for at once"
        ) from error


def replay(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A recording.")],
    speed: Annotated[
        str,
        typer.Option(
            "--speed",
            metavar="FACTOR",
            callback=_a_speed,
            help="How fast: 2 is twice its own pace, 0 or max is at once.",
        ),
    ] = "1",
    budget: options.Budget = None,
    guard: options.Guard = None,
    as_json: options.Json = False,
    no_stats: options.NoStats = False,
) -> None:
    """Play a recording, as `deltaweir chat` showed it and at its own pace.

    Examples:
      deltaweir chat "Why is the sky blue?" --record sky.jsonl
      deltaweir replay sky.jsonl
      deltaweir replay sky.jsonl --speed max --guard standard

    Nothing is asked and nothing costs anything. It ends as it did: the exit code is 3 where the
    answer was cut, and 1 where it failed, where its reader left, or where its end is not in the
    file.
    """
    # heavy: only a command that plays pays for it
    from deltaweir.cli.playing import Playing, recording

    recorded = recording(file)
    header = recorded.header
    day, _, time = header.began.partition("T")
    when = f", made {day} {time[:5]} UTC" if time else ""
    say(f"recording of {header.model or 'an unknown model'}{when}; nothing is asked")
    fields: dict[str, Any] = options.sampling(
        max_tokens=None,
        temperature=None,
        top_p=None,
        seed=None,
        stop=None,
        budget=budget,
        guard=guard,
    )
    playing = Playing(
        recorded,
        fields,
        speed=_factor(speed),
        as_json=as_json,
        stats=not (no_stats or as_json),
    )
    raise typer.Exit(playing.ask().code)
