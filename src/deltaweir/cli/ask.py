"""Ask the model once and show the answer while it arrives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from deltaweir.cli.endings import COMPLETE, CUT, ERROR, INTERRUPTED, fail
from deltaweir.cli.show import Waiting, say, statistics, write
from deltaweir.client.blocking import Client
from deltaweir.client.embedded import weights_of
from deltaweir.client.streams import Stream
from deltaweir.errors import DeltaweirError
from deltaweir.models.catalogue import default_entry, find
from deltaweir.models.terminal import TerminalProgress
from deltaweir.models.weights import is_embedded
from deltaweir.schema.chunk import TextChunk


def prompt_from(argument: str | None) -> str | None:
    """Return the prompt: the argument, or what is piped in; None when a person sits there.

    Raises:
        typer.BadParameter: What is piped in is empty or no text.
    """
    if argument is not None and argument != "-":
        text = argument
    elif sys.stdin is None or (argument is None and sys.stdin.isatty()):
        return None
    else:
        try:
            # read as bytes, since a terminal's encoding would let broken text pass
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise typer.BadParameter("what is piped in is not UTF-8 text") from error
    if not text.strip():
        raise typer.BadParameter("the prompt is empty; type one, or pipe one in")
    return text


def announce(model: str | None) -> str:
    """Say where prompts go, make sure that the model is there, and return its name.

    Raises:
        ModelNotFound: No model has this name.
        ModelUnavailable: Its weights cannot be had.
    """
    name = model or default_entry().name
    if not is_embedded(name):
        find(name)
    say(f"embedded {name}, nothing leaves this machine")
    weights_of(name, progress=TerminalProgress(lines=True))
    return name


def open_stream(create: Callable[..., Any], fields: dict[str, Any]) -> Stream[Any, Any]:
    """Start an answer; loading the model is explained when it takes long."""
    with Waiting(lambda: "loading the model ..."):
        stream: Stream[Any, Any] = create(stream=True, **fields)
    return stream


def show(stream: Stream[Any, Any], *, as_json: bool) -> None:
    """Write an answer to stdout piece by piece.

    Raises:
        DeltaweirError: The answer broke off.
        KeyboardInterrupt: The user has seen enough; the stream is closed.
    """
    with Waiting(lambda: _reading(stream)) as waiting:
        for chunk in stream:
            if as_json:
                waiting.end()
                write(chunk.model_dump_json() + "\n")
                continue
            for choice in chunk.choices:
                text = choice.text if isinstance(chunk, TextChunk) else choice.delta.content
                if text:
                    waiting.end()
                    write(text)


def answer(
    client_call: Callable[[Client], Callable[..., Any]],
    fields: dict[str, Any],
    *,
    as_json: bool,
    stats: bool,
) -> int:
    """Ask once, show the answer and what it took, and return the exit code."""
    with open_stream(client_call(Client()), fields) as stream:
        try:
            show(stream, as_json=as_json)
        except KeyboardInterrupt:
            stream.close()
            code = INTERRUPTED
        except DeltaweirError as error:
            _end_line(stream, as_json=as_json)
            code = fail(error)
        else:
            code = CUT if stream.stopped_by else COMPLETE
        if code != ERROR:
            _end_line(stream, as_json=as_json)
        if stats and stream.usage is not None:
            say(statistics(stream))
        return code


def _end_line(stream: Stream[Any, Any], *, as_json: bool) -> None:
    if not as_json and stream.text and not stream.text.endswith("\n"):
        write("\n")


def _reading(stream: Stream[Any, Any]) -> str:
    read, total = stream.prompt_progress
    return f"reading the prompt: {read} of {total} tokens ..." if total else "waiting ..."
