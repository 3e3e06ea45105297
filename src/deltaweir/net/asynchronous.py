"""Connections for asyncio programs: read by waiting, or handed on as bytes arrive."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ssl
import time
from typing import Protocol, cast

from deltaweir.net.blocking import IDLE_S, RECEIVE_BYTES
from deltaweir.net.route import Route, connect_error, discard_unsent, tunnelled
from deltaweir.wire.http1 import ResponseReader

HIGH_WATER_BYTES = 256 * 1024
"""Bytes that may wait for a slow reader before the peer is paused."""


class Receiver(Protocol):
    """Takes what a connection brings, in the very call in which the loop brings it."""

    def received(self, data: bytes) -> None:
        """Take the next bytes."""

    def left(self, error: OSError | None) -> None:
        """Take note that no more will come: the peer has closed, or the connection broke."""


class Connection(asyncio.Protocol):
    """One connection to an origin; asyncio calls it when something happens.

    What comes is kept for `receive`, or goes to the receiver that `hand_to` names.

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
        self._receiver: Receiver | None = None
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
        if self._waiting_bytes <= RECEIVE_BYTES:
            self.resume()
        return data

    def hand_to(self, receiver: Receiver | None) -> None:
        """Hand what comes from now on to a receiver, and what has come already at once.

        Args:
            receiver: Called with each piece until another is named; None keeps what comes.
        """
        self._receiver = receiver
        if self._transport is not None and not self._ended:
            # the loop then calls the receiver itself, which saves a call for each piece
            self._transport.set_protocol(self if receiver is None else _Handing(self, receiver))
        while self._pieces and self._receiver is not None:
            data = self._pieces.popleft()
            self._waiting_bytes -= len(data)
            self._receiver.received(data)
        if self._ended and self._receiver is not None:
            self._receiver.left(self._error)

    def pause(self) -> None:
        """Take no more from the peer for a while: who reads here is too slow."""
        if not self._paused and self._transport is not None and not self._ended:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take from the peer again; idempotent."""
        if self._paused and self._transport is not None:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def stale(self) -> bool:
        """Tell whether the peer has closed, or said something unasked, while it was idle."""
        return self._ended or bool(self._pieces) or time.monotonic() - self.idle_since > IDLE_S

    def close(self) -> None:
        """Close at once, and wake whoever waits; idempotent, on the connection's loop."""
        self._error = self._error or ConnectionAbortedError("closed by the reader")
        self._ended = True
        self._receiver = None
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
        """Hand bytes on, or keep them for the reader and pause the peer when too many wait."""
        if self._receiver is not None:
            self._receiver.received(data)
            return
        self._pieces.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > HIGH_WATER_BYTES:
            self.pause()
        self._wake()

    def eof_received(self) -> None:
        """Take note that the peer sends no more; the transport closes itself."""
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is gone."""
        error = exc if isinstance(exc, OSError) else None
        if exc is not None and error is None:
            error = ConnectionResetError(f"the transport failed: {type(exc).__name__}")
        self._error = self._error or error
        self._end()
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

    def _end(self) -> None:
        ended, self._ended = self._ended, True
        if self._receiver is not None and not ended:
            self._receiver.left(self._error)
        self._wake()

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


class _Handing(asyncio.Protocol):
    """A connection whose bytes its receiver has at once; all else it hears of itself."""

    def __init__(self, connection: Connection, receiver: Receiver) -> None:
        self.data_received = receiver.received  # type: ignore[method-assign]  # what this is for
        self.eof_received = connection.eof_received  # type: ignore[method-assign]  # likewise
        self.connection_lost = connection.connection_lost  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]
