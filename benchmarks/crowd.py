"""Clients that read many streams at once, on one loop, and look at no more than they must."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import time
from typing import cast

from benchmarks.pacer import WORDS

CONTENT = b'"delta":{"content":"'
"""How the pacer's contents begin."""
_CONTENTS = re.compile(rb'"delta":\{"content":"((?:[^"\\]|\\.)*)"')
_LAST = b"0\r\n\r\n"


class Reader(asyncio.Protocol):
    """One streamed request on a connection of its own.

    Args:
        model: What is asked for.
        contents: How many come.
        pause_ms: How far apart.

    Attributes:
        first: When the first content came; None before.
        events: How many events have come.
    """

    def __init__(self, model: str, contents: int, pause_ms: int) -> None:
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = loop.create_future()
        self.first: float | None = None
        self.began = 0.0
        self.events = 0
        self.transport: asyncio.Transport
        self._request = request(model, contents, pause_ms)
        self._parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def ask(self) -> None:
        """Send the request."""
        self.began, self.first = time.perf_counter(), None
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Keep what comes."""
        if self.first is None and CONTENT in data:
            self.first = time.perf_counter()
        self.events += data.count(b"\n\n")
        self._parts.append(data)
        if data.endswith(_LAST) and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """Fail if it was not the end."""
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("the server has closed"))

    def again(self) -> None:
        """Ask once more on the same connection."""
        self.done = asyncio.get_running_loop().create_future()
        self._parts.clear()
        self.ask()

    def body(self) -> bytes:
        """Return all that has come."""
        return b"".join(self._parts)


def request(model: str, contents: int, pause_ms: int) -> bytes:
    """Return a request for a stream of the pacer's."""
    messages = [{"role": "user", "content": f"{contents} {pause_ms}"}]
    body = json.dumps({"model": model, "messages": messages, "stream": True}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def reader(port: int, model: str, contents: int, pause_ms: int) -> Reader:
    """Connect, and ask for a stream."""
    loop = asyncio.get_running_loop()
    _, one = await loop.create_connection(
        lambda: Reader(model, contents, pause_ms), "127.0.0.1", port
    )
    return one


async def crowd(
    port: int, model: str, *, streams: int, contents: int, pause_ms: int, within_s: float
) -> list[Reader]:
    """Open streams, spread evenly over a time; return their readers."""
    loop = asyncio.get_running_loop()
    began, readers = loop.time(), []
    for number in range(streams):
        await asyncio.sleep(max(0.0, began + number * within_s / streams - loop.time()))
        readers.append(await reader(port, model, contents, pause_ms))
    return readers


def check(one: Reader, contents: int) -> None:
    """See that a stream was whole, to the last character."""
    body = one.body()
    assert b"data: [DONE]\n\n" in body, body[-400:]
    assert b'"finish_reason":"stop"' in body, body[-400:]
    assert b"".join(_CONTENTS.findall(body)) == _text(contents), body[-400:]


@functools.cache
def _text(contents: int) -> bytes:
    """Return a stream's text, as it stands in JSON."""
    text = "".join(WORDS[number % len(WORDS)] for number in range(contents))
    return json.dumps(text, ensure_ascii=False)[1:-1].encode()
