"""`client.exchange.StreamExchange`: the same chunks and the same end however answers are cut."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.engine import cut, cuts, instrumented, run

with instrumented("deltaweir.client", "deltaweir.wire", "deltaweir.schema"):
    from deltaweir.client.exchange import StreamExchange
    from deltaweir.client.provider import outgoing, provider_of
    from deltaweir.errors import DeltaweirError
    from deltaweir.testing.faults import (
        Step,
        chat_events,
        crlf,
        error_answer,
        error_event,
        json_answer,
        stream_answer,
    )
    from deltaweir.types import Chunk, Usage

REQUEST = outgoing(
    provider_of("http://127.0.0.1/v1", api_key="sk-fuzz", retries=1),
    "/chat/completions",
    request_id="req_fuzz",
    body=b"{}",
    stream=True,
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
RAW, CHUNKED, LENGTH, CLOSE = range(4)
"""What an input's first byte says: a whole answer, or events to be framed in one of three ways."""


class Outcome(NamedTuple):
    """What a reader gets."""

    chunks: list[Chunk]
    usage: Usage | None
    said_done: bool
    ended: bool
    again: bool
    error: tuple[str, str] | None


def framed(kind: int, data: bytes, seed: int) -> bytes:
    """Return the bytes of an answer."""
    if kind == CHUNKED:
        parts = cut(data, seed + 1)
        pieces = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        return HEAD + b"transfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    if kind == LENGTH:
        return HEAD + b"content-length: %d\r\n\r\n%b" % (len(data), data)
    return HEAD + b"\r\n" + data if kind == CLOSE else data


def read(pieces: list[bytes]) -> Outcome:
    """Drive an exchange as its shells do, up to the end of one attempt."""
    exchange = StreamExchange(REQUEST, Chunk, chance=lambda: 0.5, now=lambda: 0.0)
    exchange.start()
    chunks: list[Chunk] = []
    error: DeltaweirError | None = None
    try:
        for piece in pieces:
            chunks += exchange.feed(piece)
            error = exchange.failure
            if error or exchange.ended or exchange.pause_s is not None:
                break
        else:
            chunks += exchange.eof()
    except DeltaweirError as failure:
        error = failure
    return Outcome(
        chunks,
        exchange.usage,
        exchange.said_done,
        exchange.ended,
        exchange.pause_s is not None,
        None if error is None else (type(error).__name__, error.message),
    )


def check(seed: int, data: bytes) -> None:
    """Compare three ways of cutting."""
    kind, data = (data[:1] or b"\0")[0] % 4, data[1:]
    answer = framed(kind, data, seed)
    outcomes = {how: read(pieces) for how, pieces in cuts(answer, seed)}
    whole = outcomes["whole"]
    for how, outcome in outcomes.items():
        assert outcome == whole, f"{how}: {outcome} is not {whole}, of {answer!r}"
    for chunk in whole.chunks:
        chunk.model_dump_json()


def seeds() -> list[bytes]:
    """Return good answers, and refusals."""
    events: list[list[Step]] = [
        chat_events("Hel", "lo", usage=(3, 2)),
        crlf(chat_events("Hi")),
        [
            *chat_events("Hel", finish=None, done=False),
            error_event("it broke", code="server_error"),
        ],
        [error_event("too many", flat=True)],
        [b": keep-alive\n", *chat_events("a", finish=None, done=False)],
    ]
    bodies = [b"".join(one for one in some if isinstance(one, bytes)) for some in events]
    answers = [
        error_answer(429, "slow down", headers={"retry-after": "1"}),
        error_answer(400, "too long", code="context_length_exceeded"),
        json_answer({"error": {"message": "no"}}),
        json_answer({"object": "chat.completion", "choices": []}),
        stream_answer(events[0], headers={"content-type": "application/json"}),
    ]
    raw = [b"".join(one for one in answer if isinstance(one, bytes)) for answer in answers]
    return [
        *(b"%c%b" % (kind, body) for body in bodies for kind in (CHUNKED, LENGTH, CLOSE)),
        *(b"%c%b" % (RAW, answer) for answer in raw),
    ]


if __name__ == "__main__":
    run("exchange", check, seeds())
