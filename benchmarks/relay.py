"""The least that a relay on uvloop costs: two protocols that copy, and know nothing of HTTP.

    python benchmarks/relay.py PORT UPSTREAM_PORT

Each client has a connection of its own to the upstream.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

BACKLOG = 4096


class End(asyncio.Protocol):
    """One of two connections; what it reads is written to the other."""

    def __init__(self) -> None:
        self.other: End | None = None
        self.transport: asyncio.Transport | None = None
        self.waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Write it to the other, or keep it until that is there."""
        if self.other is None or self.other.transport is None:
            self.waiting.append(data)
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Let the other read no more."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let the other read again."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        """Close the other."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Client(End):
    """A client's connection, for which one to the upstream is made.

    Args:
        upstream_port: Where.
    """

    def __init__(self, upstream_port: int) -> None:
        super().__init__()
        self._upstream_port = upstream_port
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the upstream."""
        super().connection_made(transport)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        upstream = End()
        upstream.other = self
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: upstream, "127.0.0.1", self._upstream_port)
        self.other = upstream
        assert upstream.transport is not None
        for data in self.waiting:
            upstream.transport.write(data)
        if self.transport is None or self.transport.is_closing():
            upstream.transport.close()


async def serve(port: int, upstream_port: int) -> None:
    """Relay until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Client(upstream_port), "127.0.0.1", port, backlog=BACKLOG
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
