"""A provider as a source of chunks, for readers that block and for readers that await.

Each `receive` does one step of the exchange: it waits out a pause, opens a connection, or
reads from it. What to do next the exchange decides; what is done without waiting stands in
`deltaweir.sources.steps`; here is only the waiting. An exchange without chunks
(`deltaweir.client.whole`) is driven alike: its answer is there at the end.
"""

from __future__ import annotations

import asyncio
import queue
import time

from deltaweir.client.attempt import Attempt, ChunkT
from deltaweir.errors import ConnectionFailed, DeltaweirError
from deltaweir.net import asynchronous, blocking
from deltaweir.net.async_pool import AsyncPool
from deltaweir.sources.steps import RemoteSteps

DRAIN_S = 0.05
"""How long to wait for an answer's last byte after ``[DONE]``, to keep the connection."""


class RemoteSource(RemoteSteps[ChunkT, blocking.Connection]):
    """A provider's answer, for a reader that blocks.

    Args:
        exchange: The request.
        pool: Where its connection comes from.
        connect_s: Seconds to make a connection in; None for no limit.
    """

    def __init__(
        self, exchange: Attempt[ChunkT], pool: blocking.Pool, *, connect_s: float | None
    ) -> None:
        self._pool = pool
        # woken by a put, which takes no lock that a finaliser could meet
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        super().__init__(exchange, connect_s)

    def receive(self, timeout_s: float | None) -> list[ChunkT] | None:
        """Do one step; see `deltaweir.sources.source.Source`."""
        if self._closed or self._over:
            return None
        try:
            if self._exchange.failure is not None:
                raise self._exchange.failure
            if self._exchange.ended:
                self._finish()
                return None
            return self._step(timeout_s)
        except TimeoutError:
            if self._closed:
                return None
            raise
        except (OSError, DeltaweirError):
            if self._failed():
                raise
            return None

    def close(self) -> None:
        """Close the connection at once, and wake the reader."""
        self._closed = True
        connection = self._connection
        if connection is not None:
            connection.close()
        self._wake.put(None)

    def _step(self, timeout_s: float | None) -> list[ChunkT]:
        connection = self._connection
        if connection is None:
            self._begin(timeout_s)
            return []
        try:
            data = connection.receive(timeout_s)
        except OSError as error:
            return self._broke(error, fresh=connection.fresh)
        return self._took(data, fresh=connection.fresh)

    def _begin(self, timeout_s: float | None) -> None:
        """Wait out a pause, or else send the request on a connection."""
        if pause := self._pausing():
            self._pause(pause, timeout_s)
            return
        self._paused()
        began = time.monotonic()
        connection = self._pool.take(self._exchange.request.provider.origin, fresh=self._fresh)
        self._connection = connection
        if self._closed:
            connection.close()
        try:
            if connection.fresh:
                connection.open(self._connect_limit(timeout_s))
            if timeout_s is not None:
                timeout_s -= time.monotonic() - began
            connection.send(connection.route.request(self._exchange.start()), timeout_s)
        except ConnectionFailed as error:
            self._unconnected(error, timeout_s)
        except TimeoutError:
            self._drop()
            raise
        except OSError:
            return  # the peer may have said why; that, or its end, is read next
        except BaseException:
            self._drop()
            raise

    def _pause(self, pause: float, timeout_s: float | None) -> None:
        short = timeout_s is not None and timeout_s < pause
        try:
            self._wake.get(timeout=timeout_s if short else pause)
        except queue.Empty:
            if short:
                raise TimeoutError from None
            self._paused()

    def _finish(self) -> None:
        """Keep the connection if the answer's last byte comes soon."""
        self._over = True
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


class AsyncRemoteSource(RemoteSteps[ChunkT, asynchronous.Connection]):
    """A provider's answer, for a reader that awaits on the loop that made it.

    Args:
        exchange: The request.
        pool: Where its connection comes from.
        connect_s: Seconds to make a connection in; None for no limit.
    """

    def __init__(
        self,
        exchange: Attempt[ChunkT],
        pool: AsyncPool,
        *,
        connect_s: float | None,
    ) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        super().__init__(exchange, connect_s)

    async def receive(self, timeout_s: float | None) -> list[ChunkT] | None:
        """Do one step; see `deltaweir.sources.source.AsyncSource`."""
        if self._closed or self._over:
            return None
        try:
            if self._exchange.failure is not None:
                raise self._exchange.failure
            if self._exchange.ended:
                await self._finish()
                return None
            return await self._step(timeout_s)
        except TimeoutError:
            if self._closed:
                return None
            raise
        except (OSError, DeltaweirError):
            if self._failed():
                raise
            return None

    def close(self) -> None:
        """Close the connection at once, and wake the reader."""
        if self._closed:
            return
        self._closed = True
        if self._over and self._connection is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._close_here)
        except RuntimeError:  # the loop is closed, and its connections with it
            return

    def _close_here(self) -> None:
        self._wake.set()
        if self._connection is not None:
            self._connection.close()

    async def _step(self, timeout_s: float | None) -> list[ChunkT]:
        connection = self._connection
        if connection is None:
            await self._begin(timeout_s)
            return []
        try:
            data = await connection.receive(timeout_s)
        except OSError as error:
            return self._broke(error, fresh=connection.fresh)
        return self._took(data, fresh=connection.fresh)

    async def _begin(self, timeout_s: float | None) -> None:
        """Wait out a pause, or else send the request on a connection."""
        if pause := self._pausing():
            await self._pause(pause, timeout_s)
            return
        self._paused()
        began = time.monotonic()
        origin = self._exchange.request.provider.origin
        connection = self._pool.take(origin, fresh=self._fresh)
        self._connection = connection
        try:
            if connection.fresh:
                await connection.open(self._pool.tls(origin), self._connect_limit(timeout_s))
            if timeout_s is not None:
                timeout_s -= time.monotonic() - began
            async with asyncio.timeout(timeout_s):
                await connection.send(connection.route.request(self._exchange.start()))
        except ConnectionFailed as error:
            self._unconnected(error, timeout_s)
        except TimeoutError:
            self._drop()
            raise
        except OSError:
            return  # the peer may have said why; that, or its end, is read next
        except BaseException:
            self._drop()
            raise

    async def _pause(self, pause: float, timeout_s: float | None) -> None:
        short = timeout_s is not None and timeout_s < pause
        try:
            async with asyncio.timeout(timeout_s if short else pause):
                await self._wake.wait()
        except TimeoutError:
            if short:
                raise
            self._paused()

    async def _finish(self) -> None:
        """Keep the connection if the answer's last byte comes soon."""
        self._over = True
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
