"""Connections for asyncio programs, and the pool that keeps them for another request."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ssl
import time
import weakref
from collections.abc import AsyncGenerator
from typing import cast

from deltaweir.client.provider import Origin
from deltaweir.net.blocking import IDLE_S, MAX_IDLE, RECEIVE_BYTES
from deltaweir.net.route import (
    Route,
    connect_error,
    discard_unsent,
    route_to,
    tls_context,
    tunnelled,
)
from deltaweir.wire.http1 import ResponseReader

HIGH_WATER_BYTES = 256 * 1024
"""Bytes that may wait for a slow reader before the peer is paused."""


class Connection(asyncio.Protocol):
    """One connection to an origin; asyncio calls it when something happens.

    Args:
        route: The way there.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        self.fresh = True
        """Whether it has not yet served a request."""
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._pieces: collections.deque[bytes] = collections.deque()
        self._waiting_bytes = 0
        self._paused = False
        self._opening: asyncio.Timeout | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._ended = False
        self._error: OSError | None = None

    async def open(self, tls: ssl.SSLContext | None, timeout_s: float | None) -> None:
        """Connect, through the proxy and TLS where there are any.

        Args:
            tls: Checks certificates; None for plain HTTP.
            timeout_s: Seconds for all of it.

        Raises:
            ConnectionFailed: No connection was made in time.
        """
        loop = asyncio.get_running_loop()
        host, port = self.route.address
        direct = tls if self.route.origin.scheme == "https" and not self.route.tunnel else None
        self._opening = asyncio.timeout(timeout_s)
        try:
            async with self._opening:
                await loop.create_connection(lambda: self, host, port, ssl=direct)
                if self.route.tunnel:
                    assert tls is not None
                    await self._tunnel(tls)
        except OSError as error:
            self.close()
            raise connect_error(self.route, error) from error
        except BaseException:
            self.close()
            raise
        finally:
            self._opening = None

    async def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: The connection broke.
        """
        if self._transport is None or self._ended:
            raise self._error or ConnectionResetError("the peer has closed")
        self._transport.write(data)
        if self._writer is not None:
            await self._writer

    async def receive(self, timeout_s: float | None) -> bytes:
        """Wait for bytes; none mean that the peer has closed.

        Raises:
            TimeoutError: Nothing came in time.
            OSError: The connection broke, or was closed here.
        """
        if not self._pieces and not self._ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._reader
            finally:
                self._reader = None
        if not self._pieces:
            if self._error is not None:
                raise self._error
            return b""
        data = self._pieces.popleft()
        if len(data) > RECEIVE_BYTES:
            self._pieces.appendleft(data[RECEIVE_BYTES:])
            data = data[:RECEIVE_BYTES]
        self._waiting_bytes -= len(data)
        if self._waiting_bytes <= RECEIVE_BYTES and self._paused and self._transport is not None:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    def stale(self) -> bool:
        """Tell whether the peer has closed, or said something unasked, while it was idle."""
        return self._ended or bool(self._pieces) or time.monotonic() - self.idle_since > IDLE_S

    def close(self) -> None:
        """Close at once, and wake whoever waits; idempotent, on the connection's loop."""
        self._error = self._error or ConnectionAbortedError("closed by the reader")
        self._ended = True
        self._pieces.clear()
        if self._opening is not None:
            with contextlib.suppress(RuntimeError):  # its time is up already
                self._opening.reschedule(0.0)  # long ago, so that it ends now
        if self._transport is not None:
            if self._transport.get_write_buffer_size() and not self._transport.is_closing():
                discard_unsent(self._transport.get_extra_info("socket"))
            with contextlib.suppress(RuntimeError):  # its loop is closed
                self._transport.abort()
        self._wake()

    # what follows is called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; close it if nobody wants it any more."""
        self._transport = cast("asyncio.Transport", transport)
        if self._ended:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Keep bytes for the reader, and pause the peer when too many wait."""
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > HIGH_WATER_BYTES and not self._paused:
            assert self._transport is not None
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Take note that the peer sends no more; the transport closes itself."""
        self._ended = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Take note that the connection is gone."""
        self._ended = True
        if error is not None and not isinstance(error, OSError):
            error = ConnectionResetError(f"the transport failed: {type(error).__name__}")
        self._error = self._error or error
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Make senders wait."""
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let senders go on."""
        writer, self._writer = self._writer, None
        if writer is not None and not writer.done():
            writer.set_result(None)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def _tunnel(self, tls: ssl.SSLContext) -> None:
        await self.send(self.route.tunnel)
        reader = ResponseReader()
        while not tunnelled(reader, await self.receive(None)):
            pass
        loop = asyncio.get_running_loop()
        assert self._transport is not None
        self._transport = await loop.start_tls(
            self._transport, self, tls, server_hostname=self.route.origin.host
        )


class AsyncPool:
    """Connections that wait for another request, and the making of new ones.

    Args:
        proxy: A proxy's address; None asks the environment, empty uses none.
        ca_file: Certificates to trust instead of the system's.

    Belongs to the event loop it is used on; on another it begins anew. When its loop ends, or
    nobody has the pool any more, its connections are closed.
    """

    def __init__(self, *, proxy: str | None = None, ca_file: str | None = None) -> None:
        self._proxy = proxy
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: dict[Route, collections.deque[Connection]] = {}
        self._made: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._keeper: AsyncGenerator[None] | None = None
        self._closed = False

    def take(self, origin: Origin, *, fresh: bool = False) -> Connection:
        """Return an idle connection, or one that is still to be opened with `tls`.

        Args:
            origin: Where it goes.
            fresh: Whether an idle one will not do.

        Raises:
            InvalidRequest: The proxy is not usable.
        """
        self._settle()
        route = route_to(origin, proxy=self._proxy)
        idle = self._idle.setdefault(route, collections.deque())
        while idle and not fresh:
            connection = idle.pop()
            if not connection.stale():
                return connection
            connection.close()
        connection = Connection(route)
        self._made.add(connection)
        return connection

    def tls(self, origin: Origin) -> ssl.SSLContext | None:
        """Return what checks an origin's certificates; None for plain HTTP.

        Raises:
            InvalidRequest: The file of certificates is not usable.
        """
        if origin.scheme == "https" and self._tls is None:
            self._tls = tls_context(self._ca_file)
        return self._tls if origin.scheme == "https" else None

    def give(self, connection: Connection) -> None:
        """Take a connection back whose response has ended, for another request."""
        connection.fresh = False
        connection.idle_since = time.monotonic()
        idle = self._idle.setdefault(connection.route, collections.deque())
        idle.append(connection)
        while idle and (self._closed or len(idle) > MAX_IDLE or idle[0].stale()):
            idle.popleft().close()

    def close(self) -> None:
        """Close all idle connections; those in use are closed when they are given back."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _settle(self) -> None:
        """Belong to the running loop."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        self._idle = {}
        self._made = weakref.WeakSet()
        self._keeper = _keep(self._made)
        with contextlib.suppress(StopIteration):  # so that the loop knows it, and ends it
            self._keeper.__anext__().send(None)


async def _keep(connections: weakref.WeakSet[Connection]) -> AsyncGenerator[None]:
    """Close connections when the loop shuts its generators down, or drops this one."""
    try:
        yield
    finally:
        for connection in list(connections):
            connection.close()
