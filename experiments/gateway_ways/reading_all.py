"""Reading every chunk whole, against comparing it with the frame of the one before.

    python reading_all.py

The gateway's own run, weir and source, without sockets; what differs is how a piece becomes a
frame. From the top: the straight way; httptools, the decoder of server-sent events and a typed
chunk that remembers its bytes; the same, but the chunk is encoded anew; the same again with
dictionaries by `json`, and nothing else done to them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httptools

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.forwarded import HEAD, Forwarded, framed, pieces
from benchmarks.guard_texts import TEXTS
from side_by_side import compare

from deltaweir.schema.forwarding import ForwardedChunk
from deltaweir.wire.sse import Decoder, encode

WARM, PIECES = TEXTS["Python's manual"](0)
READY = pieces(PIECES)


def anew(data: bytes) -> ForwardedChunk:
    """Return a chunk that must be encoded anew."""
    return ForwardedChunk.model_validate_json(data)


class Dictionaries:
    """Pass on what `json` makes of an answer."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._decoder = Decoder()
        self._sent: list[bytes] = []
        self._parser.feed_data(HEAD)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        for event in self._decoder.feed(body):
            chunk = json.loads(event.data)
            written = json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))
            self._sent.append(framed(encode(written.encode())))

    def run(self) -> float:
        """Pass all on."""
        self._sent.clear()
        began = time.perf_counter()
        for piece in READY:
            self._parser.feed_data(piece)
        return (time.perf_counter() - began) / len(READY)


def measured(stream: Forwarded) -> Callable[[], float]:
    """Return what measures one way."""

    def run() -> float:
        began = time.perf_counter()
        stream.feed(READY)
        spent = time.perf_counter() - began
        stream.run.tidy()
        return spent / len(READY)

    return run


async def main() -> None:
    """Compare them, without a guard and with one."""
    warm = pieces(WARM[:4_000])
    for guard in (False, True):
        options: dict[str, dict[str, Any]] = {
            "the straight way": {},
            "parsed, its bytes kept": {"straight": False},
            "parsed, and encoded anew": {"straight": False, "read": anew},
        }
        ways: dict[str, Callable[[], float]] = {}
        for name, given in options.items():
            stream = Forwarded(guard=guard, **given)
            await stream.warm(warm)
            ways[name] = measured(stream)
        if not guard:
            ways["dictionaries by json, neither counted nor checked"] = Dictionaries().run
        compare("counted and guarded" if guard else "counted", ways)


if __name__ == "__main__":
    asyncio.run(main())
