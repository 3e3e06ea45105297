"""A provider of many streams at once on loopback, in a process of its own, that computes none.

Started as a script it prints its port. What a stream is like stands in the last message of its
request: ``"100 20"`` are 100 contents, one every 20 milliseconds, the first at once; with 0
milliseconds all come together in one write. Each line on stdin is answered with one of JSON: how
many streams run, and when those that were hung up on were found to be, in seconds on the monotonic
clock, which processes of a machine share; then that is forgotten.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import cast

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.forwarded import HEAD, event, framed

TEXT = """ Well, the weir holds water back until it is measured, and lets what may pass go on.

 It's read by 37 gauges in 1998 of naïve 日本 stone ( see below ) . def flow_of ( height )"""
WORDS = tuple(re.findall(r" Well, the| \S+|\n+", TEXT))
"""What contents bring, one after the other; of the first a guard lets something out at once."""
BACKLOG = 4096
_FILLING = "aZ3kQ9"


@functools.cache
def content(number: int) -> bytes:
    """Return the piece that brings a stream's next content."""
    return framed(event({"content": WORDS[number]}, filling=_FILLING))


ROLE = framed(event({"role": "assistant", "content": "", "refusal": None}, filling=_FILLING))
FINISH = framed(event({}, finish="stop", filling=_FILLING))
END = framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def usage(contents: int) -> bytes:
    """Return the piece that tells the usage."""
    said = {"prompt_tokens": 9, "completion_tokens": contents, "total_tokens": 9 + contents}
    chunk = json.loads(event({}, filling=_FILLING)[6:]) | {"choices": [], "usage": said}
    return framed(b"data: %b\n\n" % json.dumps(chunk, separators=(",", ":")).encode())


class Pacer(asyncio.Protocol):
    """One connection; asyncio calls it."""

    running = 0
    left: list[float] = []  # noqa: RUF012  # of all connections

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._got = b""
        self._sent = 0
        self._contents = 0
        self._pause_s = 0.0
        self._usage = False
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """Take note of a stream that was hung up on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            Pacer.running -= 1
            Pacer.left.append(time.monotonic())  # the loop's own has but milliseconds

    def data_received(self, data: bytes) -> None:
        """Answer a request once it is whole."""
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
        if not end or len(body) < length:
            return
        self._got = b""
        asked = json.loads(body)
        contents, pause_ms = asked["messages"][-1]["content"].split()
        self._contents, self._pause_s = int(contents), int(pause_ms) / 1000
        self._usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        if not self._pause_s:
            ready = b"".join(content(number % len(WORDS)) for number in range(self._contents))
            self._transport.write(HEAD + ROLE + ready + self._last())
            return
        Pacer.running += 1
        self._sent, self._began = 0, self._loop.time()
        self._transport.write(HEAD + ROLE)
        self._step()

    def _step(self) -> None:
        if self._sent == self._contents:
            self._timer = None
            Pacer.running -= 1
            self._transport.write(self._last())
            return
        self._transport.write(content(self._sent % len(WORDS)))
        self._sent += 1
        due = self._began + self._sent * self._pause_s  # so that delays do not add up
        self._timer = self._loop.call_at(due, self._step)

    def _last(self) -> bytes:
        return FINISH + (usage(self._contents) if self._usage else b"") + END


def tell() -> None:
    """Answer each line on stdin with what was seen since; end with the last."""
    for _ in sys.stdin:
        left, Pacer.left = Pacer.left, []
        print(json.dumps({"running": Pacer.running, "left": left}), flush=True)
    os._exit(0)


async def serve() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Pacer, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    threading.Thread(target=tell, daemon=True).start()
    uvloop.run(serve())
