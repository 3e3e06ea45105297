"""`wire.sse`: the decoder against the standard written out plainly, however its bytes are cut."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.engine import cut, cuts, floods, instrumented, kept_bytes, run

with instrumented("deltaweir.wire"):
    from deltaweir.errors import StreamFailed
    from deltaweir.wire.sse import DONE, HEARTBEAT, Decoder, Event, encode

LIMIT = 256
FLOOD_BYTES = 64 * 1024
KEPT_BYTES = 16 * 1024
RETRY_DIGITS = 15
SEEDS = [
    b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n' * 3 + DONE,
    b'data: {"choices":[]}\r\n\r\n' + HEARTBEAT + b"data: [DONE]\r\n\r\n",
    b"\xef\xbb\xbfdata: a\rdata: b\r\rdata\n\ndata:c\n",
    b"event: ping\ndata: a\nid: 7\nretry: 1000\n\nid\ndata:  b\n\n",
    b"id: 1\0\n: comment\n\n\ndata: \xc3\xa4\xff\r\n\ndatab: x\n data: y\n\n",
]
LONG = b"retry: " + b"9" * 5000 + b"\n\n"
"""A number that Python refuses to read; too long for a seed."""

Outcome = tuple[list[Event], str, int | None]


def decoded(pieces: list[bytes]) -> Outcome:
    """Return all that a decoder makes of some bytes."""
    decoder = Decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events, decoder.last_id, decoder.retry_ms


def plainly(data: bytes) -> Outcome:
    """Do what WHATWG HTML, section 9.2.6 "Interpreting an event stream", says, line by line."""
    events: list[Event] = []
    lines: list[bytes] = []
    name, last_id, retry = "", "", None
    for line in re.split(rb"\r\n|\n|\r", data.removeprefix(b"\xef\xbb\xbf"))[:-1]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if lines:
                events.append(Event(b"\n".join(lines), name or "message", last_id))
            lines, name = [], ""
        elif field == b"data":
            lines.append(value)
        elif field == b"event":
            name = value.decode(errors="replace")
        elif field == b"id" and b"\0" not in value:
            last_id = value.decode(errors="replace")
        elif field == b"retry" and value.isdigit() and len(value) <= RETRY_DIGITS:
            retry = int(value)
    return events, last_id, retry


def limited(pieces: list[bytes]) -> Decoder:
    """Feed a decoder with a low limit, and let its events go."""
    decoder = Decoder(max_event_bytes=LIMIT)
    try:
        for piece in pieces:
            for event in decoder.feed(piece):
                assert len(event.data) <= LIMIT, "an event above the limit came out"
    except StreamFailed:
        pass
    return decoder


def check(seed: int, data: bytes) -> None:
    """Compare with the standard, cut three ways; then flood a decoder that has a low limit."""
    expected = plainly(data)
    for how, pieces in cuts(data, seed):
        assert decoded(pieces) == expected, f"{how}: {decoded(pieces)} is not {expected}"
    limited(pieces)
    assert decoded([encode(data)])[0] == [Event(re.sub(rb"\r\n|\r", b"\n", data))]
    if data and floods(seed):
        pieces = cut(data * (FLOOD_BYTES // len(data) + 1), seed)
        kept = kept_bytes(lambda: limited(pieces))
        assert kept < KEPT_BYTES, f"a decoder with a limit of {LIMIT} bytes keeps {kept}"


if __name__ == "__main__":
    check(0, LONG)
    run("sse", check, SEEDS)
