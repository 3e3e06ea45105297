"""Clients on asyncio that read streams, slowly, or not to their end; many in one process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

_DATA = b"data: "


class Reading:
    """One stream that a client reads.

    Attributes:
        status: The HTTP status; 0 before it came.
        text: What came so far.
        moments: When each piece of it came, in seconds on the monotonic clock.
        finish_reason: What it ended with.
        done: Whether it ended with ``[DONE]``.
        error: The error that it, or its request, ended with.
    """

    def __init__(self) -> None:
        self.status = 0
        self.pieces: list[str] = []
        self.moments: list[float] = []
        self.finish_reason: str | None = None
        self.done = False
        self.error: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """What came so far."""
        return "".join(self.pieces)

    def take(self, data: bytes) -> None:
        """Take what an event says."""
        if data == b"[DONE]":
            self.done = True
            return
        chunk = msgspec.json.decode(data)
        if "error" in chunk:
            self.error = chunk["error"]
            return
        for choice in chunk["choices"]:
            if content := choice["delta"].get("content"):
                self.moments.append(time.monotonic())
                self.pieces.append(content)
            self.finish_reason = choice["finish_reason"] or self.finish_reason


class Connection:
    """A connection that asks for one stream.

    Args:
        address: Of the gateway.
        receives: Bytes that the system takes for it unread; None as it likes.
    """

    def __init__(self, address: tuple[str, int], *, receives: int | None = None) -> None:
        self._sock = socket.socket()
        if receives is not None:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self._sock.setblocking(False)  # noqa: FBT003  # its only argument
        self._address = address
        self._limit = 2**16 if receives is None else receives

    async def ask(self, body: dict[str, Any], key: str | None = None) -> None:
        """Connect and send the request."""
        await asyncio.get_running_loop().sock_connect(self._sock, self._address)
        self._reader, self._writer = await asyncio.open_connection(
            sock=self._sock, limit=self._limit
        )
        data = json.dumps({"stream": True, **body}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(data)}\r\n"
        if key is not None:
            head += f"authorization: Bearer {key}\r\n"
        self._writer.write(head.encode() + b"\r\n" + data)

    async def events(self, reading: Reading) -> AsyncGenerator[None, None]:
        """Read the answer event by event; each is taken before it is yielded."""
        reader = self._reader
        head = await reader.readuntil(b"\r\n\r\n")
        reading.status = int(head.split()[1])
        if b"transfer-encoding: chunked" not in head.lower():
            (length,) = (
                int(line[15:])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            )
            reading.error = json.loads(await reader.readexactly(length))["error"]
            return
        rest = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            *events, rest = (rest + (await reader.readexactly(size + 2))[:-2]).split(b"\n\n")
            for event in events:
                for line in event.split(b"\n"):
                    if line.startswith(_DATA):
                        reading.take(line[len(_DATA) :])
                yield
        await reader.readexactly(2)

    async def close(self, *, abruptly: bool = False) -> None:
        """Hang up, with a reset if abruptly."""
        if abruptly:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        with contextlib.suppress(OSError):  # the other side may have closed it first
            await self._writer.wait_closed()


async def read(
    address: tuple[str, int], body: dict[str, Any], *, key: str | None = None
) -> Reading:
    """Return a stream, read to its end."""
    reading, connection = Reading(), Connection(address)
    await connection.ask(body, key)
    async for _ in connection.events(reading):
        pass
    await connection.close()
    return reading


async def read_slowly(
    address: tuple[str, int],
    body: dict[str, Any],
    *,
    pause_s: float,
    until: asyncio.Event,
) -> Reading:
    """Return a stream that is read event by event with pauses, from a moment on at once."""
    reading, connection = Reading(), Connection(address, receives=4096)
    await connection.ask(body)
    try:
        async for _ in connection.events(reading):
            if not until.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(until.wait(), pause_s)
    finally:
        await connection.close()
    return reading
