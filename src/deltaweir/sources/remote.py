"""A provider as a source of chunks, for readers that block and for readers that await.

Each `receive` does one step of the exchange: it waits out a pause, opens a connection, or
reads from it. What to do next the exchange decides; here is only the waiting.
"""

from __future__ import annotations

import asyncio
import queue
import time
from typing import Generic, TypeVar

from deltaweir.client.exchange import StreamExchange
from deltaweir.errors import ConnectionFailed, DeltaweirError
from deltaweir.net import asynchronous, blocking
from deltaweir.net.route import lost
from deltaweir.schema.chunk import Chunk, TextChunk, Usage
from deltaweir.weir import Ending

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)

DRAIN_S = 0.05
"""How long to wait for an answer's last byte after ``[DONE]``, to keep the connection."""


class _Remote(Generic[ChunkT]):
    """What both ways of waiting share."""

    def __init__(self, exchange: StreamExchange[ChunkT], connect_s: float | None) -> None:
        self._exchange = exchange
        self._connect_s = connect_s
        self._fresh = False
        self._closed = False

    @property
    def usage(self) -> Usage | None:
        """The provider's last word on usage."""
        return self._exchange.usage

    @property
    def answered(self) -> bool:
        """Whether the answer has begun."""
        head = self._exchange.head
        return head is not None and head.status == 200  # noqa: PLR2004

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, once it has said one."""
        return self._exchange.request_id

    @property
    def ending(self) -> Ending:
        """How the source ended: it said so itself, or fell silent."""
        return Ending.COMPLETE if self._exchange.said_done else Ending.TRUNCATED

    def _connect_limit(self, timeout_s: float | None) -> float | None:
        limits = [limit for limit in (timeout_s, self._connect_s) if limit is not None]
        return min(limits, default=None)

    def _retried_at_once(self, fresh: bool) -> bool:
        """Tell whether a kept connection died unused, which is nobody's fault."""
        self._fresh = not fresh and self._exchange.head is None
        return self._fresh


class RemoteSource(_Remote[ChunkT]):
    """A provider's answer, for a reader that blocks.

    Args:
        exchange: The request.
        pool: Where its connection comes from.
        connect_s: Seconds to make a connection in; None for no limit.
    """

    def __init__(
        self, exchange: StreamExchange[ChunkT], pool: blocking.Pool, *, connect_s: float | None
    ) -> None:
        super().__init__(exchange, connect_s)
        self._pool = pool
        self._connection: blocking.Connection | None = None
        # woken by a put, which takes no lock that a finaliser could meet
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def receive(self, timeout_s: float | None) -> list[ChunkT] | None:
        """Do one step; see `deltaweir.sources.source.Source`."""
        if self._closed:
            return None
        if self._exchange.ended:
            self._finish()
            return None
        try:
            return self._step(timeout_s)
        except ConnectionAbortedError:  # by our own close
            return None

    def close(self) -> None:
        """Close the connection at once, and wake the reader."""
        self._closed = True
        connection = self._connection
        if connection is not None:
            connection.close()
        self._wake.put(None)

    def _step(self, timeout_s: float | None) -> list[ChunkT]:
        if self._connection is None:
            self._begin(timeout_s)
            return []
        connection = self._connection
        try:
            data = connection.receive(timeout_s)
        except (ConnectionAbortedError, TimeoutError):
            raise
        except OSError as error:
            self._drop()
            if not self._retried_at_once(connection.fresh):
                self._exchange.broke(lost(error))
            return []
        if not data and self._retried_at_once(connection.fresh):
            self._drop()
            return []
        try:
            chunks = self._exchange.feed(data) if data else self._exchange.eof()
        except DeltaweirError:
            self._drop()
            raise
        if self._exchange.pause_s is not None:
            self._drop()
        return chunks

    def _begin(self, timeout_s: float | None) -> None:
        """Wait out a pause, then send the request on a connection."""
        pause = self._exchange.pause_s
        if pause:
            self._pause(pause, timeout_s)
        connection = self._pool.take(self._exchange.request.provider.origin, fresh=self._fresh)
        self._connection = connection
        if self._closed:
            connection.close()
        try:
            if connection.fresh:
                connection.open(self._connect_limit(timeout_s))
            connection.send(self._exchange.start(), timeout_s)
        except ConnectionFailed as error:
            self._drop()
            if self._closed:
                raise ConnectionAbortedError from error
            self._exchange.broke(error)
        except (ConnectionAbortedError, TimeoutError):
            raise
        except OSError as error:
            self._drop()
            if not self._retried_at_once(connection.fresh):
                self._exchange.broke(lost(error))

    def _pause(self, pause: float, timeout_s: float | None) -> None:
        short = timeout_s is not None and timeout_s < pause
        try:
            self._wake.get(timeout=timeout_s if short else pause)
        except queue.Empty:
            if short:
                raise TimeoutError from None
            return
        raise ConnectionAbortedError

    def _finish(self) -> None:
        """Keep the connection if the answer's last byte comes soon."""
        connection = self._connection
        if connection is None:
            return
        deadline = time.monotonic() + DRAIN_S
        try:
            while not self._exchange.framed_end and (left := deadline - time.monotonic()) > 0:
                data = connection.receive(left)
                if not data:
                    break
                self._exchange.drain(data)
        except (OSError, DeltaweirError):
            self._drop()
            return
        self._connection = None
        if self._exchange.reusable and not self._closed:
            self._pool.give(connection)
        else:
            connection.close()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class AsyncRemoteSource(_Remote[ChunkT]):
    """A provider's answer, for a reader that awaits on the loop that made it.

    Args:
        exchange: The request.
        pool: Where its connection comes from.
        connect_s: Seconds to make a connection in; None for no limit.
    """

    def __init__(
        self,
        exchange: StreamExchange[ChunkT],
        pool: asynchronous.AsyncPool,
        *,
        connect_s: float | None,
    ) -> None:
        super().__init__(exchange, connect_s)
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._connection: asynchronous.Connection | None = None
        self._wake = asyncio.Event()

    async def receive(self, timeout_s: float | None) -> list[ChunkT] | None:
        """Do one step; see `deltaweir.sources.source.AsyncSource`."""
        if self._closed:
            return None
        if self._exchange.ended:
            await self._finish()
            return None
        try:
            return await self._step(timeout_s)
        except ConnectionAbortedError:  # by our own close
            return None

    def close(self) -> None:
        """Close the connection at once, and wake the reader."""
        self._closed = True
        try:
            self._loop.call_soon_threadsafe(self._close_here)
        except RuntimeError:  # the loop is closed, and its connections with it
            return

    def _close_here(self) -> None:
        self._wake.set()
        if self._connection is not None:
            self._connection.close()

    async def _step(self, timeout_s: float | None) -> list[ChunkT]:
        if self._connection is None:
            await self._begin(timeout_s)
            return []
        connection = self._connection
        try:
            data = await connection.receive(timeout_s)
        except (ConnectionAbortedError, TimeoutError):
            raise
        except OSError as error:
            self._drop()
            if not self._retried_at_once(connection.fresh):
                self._exchange.broke(lost(error))
            return []
        if not data and self._retried_at_once(connection.fresh):
            self._drop()
            return []
        try:
            chunks = self._exchange.feed(data) if data else self._exchange.eof()
        except DeltaweirError:
            self._drop()
            raise
        if self._exchange.pause_s is not None:
            self._drop()
        return chunks

    async def _begin(self, timeout_s: float | None) -> None:
        """Wait out a pause, then send the request on a connection."""
        pause = self._exchange.pause_s
        if pause:
            await self._pause(pause, timeout_s)
        origin = self._exchange.request.provider.origin
        connection = self._pool.take(origin, fresh=self._fresh)
        self._connection = connection
        try:
            if connection.fresh:
                await connection.open(self._pool.tls(origin), self._connect_limit(timeout_s))
            async with asyncio.timeout(timeout_s):
                await connection.send(self._exchange.start())
        except ConnectionFailed as error:
            self._drop()
            if self._closed:
                raise ConnectionAbortedError from error
            self._exchange.broke(error)
        except (ConnectionAbortedError, TimeoutError):
            raise
        except OSError as error:
            self._drop()
            if not self._retried_at_once(connection.fresh):
                self._exchange.broke(lost(error))

    async def _pause(self, pause: float, timeout_s: float | None) -> None:
        short = timeout_s is not None and timeout_s < pause
        try:
            async with asyncio.timeout(timeout_s if short else pause):
                await self._wake.wait()
        except TimeoutError:
            if short:
                raise
            return
        raise ConnectionAbortedError

    async def _finish(self) -> None:
        """Keep the connection if the answer's last byte comes soon."""
        connection = self._connection
        if connection is None:
            return
        try:
            async with asyncio.timeout(DRAIN_S):
                while not self._exchange.framed_end:
                    data = await connection.receive(None)
                    if not data:
                        break
                    self._exchange.drain(data)
        except (OSError, DeltaweirError):
            self._drop()
            return
        self._connection = None
        if self._exchange.reusable and not self._closed:
            self._pool.give(connection)
        else:
            connection.close()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
