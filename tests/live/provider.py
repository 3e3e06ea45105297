"""A provider on asyncio that plays what the prompt says, to many clients at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Self

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class Play(NamedTuple):
    """What one stream is like.

    Attributes:
        number: Its number, below 10,000, which its text tells.
        pieces: How many pieces it has.
        pause_s: Seconds between two of them; 0 as fast as they are taken.
        padding: Characters that a piece has besides, as OpenAI's chunks have ``obfuscation``.
        usage: Whether it tells its usage.
    """

    number: int
    pieces: int
    pause_s: float = 0.0
    padding: int = 0
    usage: bool = True

    @property
    def prompt(self) -> str:
        """What a client says to have it."""
        return json.dumps(self._asdict())

    @property
    def text(self) -> str:
        """What it says in all."""
        return "".join(self.piece(index) for index in range(self.pieces))

    def piece(self, index: int) -> str:
        """Return one piece; it ends where no guard holds anything back.

        Pieces of different streams are of one small vocabulary, as words are, but any four in a
        row tell the stream's number.
        """
        digit = self.number // 10 ** (index % 4) % 10
        return f"{_spelled(digit)}{_spelled(index % 50)}, "


class Provider:
    """Serve plays; an asynchronous context manager.

    Attributes:
        sent: How many pieces were handed to the system, by a stream's number.
        moments: When each piece was, in seconds on the monotonic clock, for streams with pauses.
        running: How many connections play a stream now.
    """

    def __init__(self) -> None:
        self.sent: dict[int, int] = {}
        self.moments: dict[tuple[int, int], float] = {}
        self.running = 0
        self._serving = set[asyncio.Task[None]]()

    @property
    def base_url(self) -> str:
        """The address to give to a gateway."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1000)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        if self._serving:
            for one in self._serving:
                one.cancel()
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # uvloop has a RuntimeError for who writes when the other side has gone
        with contextlib.suppress(OSError, RuntimeError, asyncio.IncompleteReadError):
            async for play in _asked(reader):
                self.running += 1
                try:
                    await self._play(play, writer)
                finally:
                    self.running -= 1
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _play(self, play: Play, writer: asyncio.StreamWriter) -> None:
        began, more = time.monotonic(), {"obfuscation": "x" * play.padding} if play.padding else {}
        writer.write(HEAD + _event({"role": "assistant", "content": ""}))
        for index in range(play.pieces):
            if play.pause_s:
                wait = began + index * play.pause_s - time.monotonic()
                await asyncio.sleep(max(0.0, wait))
                self.moments[play.number, index] = time.monotonic()
            writer.write(_event({"content": play.piece(index)}, **more))
            await writer.drain()
            self.sent[play.number] = index + 1
        writer.write(_event({}, "stop"))
        if play.usage:
            counts = {"prompt_tokens": 7, "completion_tokens": play.pieces}
            told = {**counts, "total_tokens": sum(counts.values())}
            writer.write(_framed({"choices": [], "usage": told}))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()


async def _asked(reader: asyncio.StreamReader) -> AsyncIterator[Play]:
    """Yield what the requests of one connection ask for."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        lines = head.lower().split(b"\r\n")
        (length,) = (int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        body = json.loads(await reader.readexactly(length))
        yield Play(**json.loads(body["messages"][-1]["content"]))


def _spelled(number: int) -> str:
    """Return a number in letters."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def _event(delta: dict[str, Any], finish: str | None = None, **more: str) -> bytes:
    return _framed({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})


def _framed(fields: dict[str, Any]) -> bytes:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    data = b"data: %b\n\n" % json.dumps({**base, **fields}).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)
