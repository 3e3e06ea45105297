"""A provider as a source that pushes: what its connection brings goes on in the same call.

Where `deltaweir.sources.remote` waits and is asked, this source calls: the loop's
``data_received`` runs the exchange, and the chunks it completes are handed to a reader before it
returns. No task, queue or lock stands between. One source is one attempt at one provider; what
follows a failure is the reader's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic

from deltaweir.client.attempt import Attempt, ChunkT
from deltaweir.client.exchange import StreamExchange
from deltaweir.errors import DeltaweirError
from deltaweir.net.async_pool import AsyncPool
from deltaweir.net.asynchronous import Connection, Receiver
from deltaweir.net.route import lost
from deltaweir.schema.chunk import Usage
from deltaweir.sources.remote import DRAIN_S
from deltaweir.sources.source import Reader


class UpstreamSource(Generic[ChunkT]):
    """One request to a provider, its answer pushed to a reader.

    Args:
        exchange: The request; one that is sent once, since its provider has no ``retries``.
        pool: Where its connection comes from.
        reader: Who takes the chunks.
        released: Called once, when the source needs its connection no more.

    Attributes:
        reader: Who takes the chunks; another may take over.
        shortcut: Who has the connection's bytes whenever it stands between two events, and hands
            those that are not for it to `received`; None for nobody.
    """

    def __init__(
        self,
        exchange: Attempt[ChunkT],
        pool: AsyncPool,
        reader: Reader[ChunkT],
        *,
        released: Callable[[], None] = lambda: None,
    ) -> None:
        self._exchange = exchange
        self._pool = pool
        self.reader = reader
        self.shortcut: Receiver | None = None
        self._way: Receiver | None = None
        self._released: Callable[[], None] | None = released
        self._connection: Connection | None = None
        self._again: asyncio.Task[None] | None = None
        self._draining: asyncio.TimerHandle | None = None
        self._connect_s: float | None = None
        self._closed = False
        self._over = False
        self._paused = False

    @property
    def usage(self) -> Usage | None:
        """The provider's last word on usage."""
        return self._exchange.usage

    @property
    def answered(self) -> bool:
        """Whether the answer has begun."""
        return self._exchange.answered

    @property
    def said_done(self) -> bool:
        """Whether the stream said ``[DONE]``."""
        return self._exchange.said_done

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, once it has said one."""
        return self._exchange.request_id

    async def begin(self, connect_s: float | None) -> None:
        """Send the request; from then on the reader is called.

        Args:
            connect_s: Seconds to make a connection in; None for no limit.

        Raises:
            ConnectionFailed: No connection was made.
            InvalidRequest: The proxy, or the file of certificates, is not usable.
        """
        self._connect_s = connect_s
        try:
            await self._send(fresh=False)
        except DeltaweirError:
            self._drop()
            if not self._closed:
                self._over = True
                raise
        except BaseException:
            self.close()
            raise

    def bypassed_by(self, shortcut: Receiver | None) -> None:
        """Name another shortcut, in the midst of things.

        Args:
            shortcut: Has what comes after the next event; None lets all come here at once.
        """
        self.shortcut = shortcut
        if shortcut is None and self._way is not None:
            self._way = None
            if self._connection is not None:
                self._connection.hand_to(self)

    def pause(self) -> None:
        """Take nothing more for a while."""
        self._paused = True
        if self._connection is not None and not self._over:
            self._connection.pause()

    def resume(self) -> None:
        """Take chunks again."""
        self._paused = False
        if self._connection is not None:
            self._connection.resume()

    def close(self) -> None:
        """End the stream and its connection at once; idempotent, on the loop's thread."""
        self._closed = True
        self.bypassed_by(None)
        if self._again is not None:
            self._again.cancel()
        if self._draining is None:  # else the answer is whole, and its connection may be kept
            self._drop()

    async def _send(self, *, fresh: bool) -> None:
        origin = self._exchange.request.provider.origin
        connection = self._connection = self._pool.take(origin, fresh=fresh)
        if connection.fresh:
            await connection.open(self._pool.tls(origin), self._connect_s)
        if self._closed:
            connection.close()
            return
        raw = connection.route.request(self._exchange.start())
        connection.hand_to(self)
        if self._paused:
            connection.pause()
        try:
            await connection.send(raw)
        except OSError:
            return  # the peer may have said why; that, or its end, is told by the connection

    # what follows is called by the connection

    def received(self, data: bytes) -> None:
        """Take bytes, and hand on the chunks they complete."""
        exchange = self._exchange
        if self._draining is not None:
            self._drain(data)
            return
        try:
            chunks = exchange.feed(data)
        except DeltaweirError as error:
            self._fail(error)
            return
        self._handed(chunks)
        if self._way is not self.shortcut or self.shortcut is not None:
            self._choose_way(data)

    def _choose_way(self, data: bytes) -> None:
        """Let the shortcut have what comes next, if it begins with an event."""
        exchange = self._exchange
        between = isinstance(exchange, StreamExchange) and exchange.between_events(data)
        self._way = self.shortcut if between else None
        if self._connection is not None and not (self._over or self._closed):
            self._connection.hand_to(self._way or self)

    def left(self, error: OSError | None) -> None:
        """Take note of the connection's end."""
        connection = self._connection
        if self._draining is not None:
            self._drop()
            return
        if connection is not None and not connection.fresh and self._exchange.head is None:
            # kept for long, and closed by its peer unused, which is nobody's fault
            self._drop(released=False)
            self._again = asyncio.get_running_loop().create_task(self._resend())
            return
        try:
            if error is None:
                chunks = self._exchange.eof()
            else:
                self._exchange.broke(lost(error))
                chunks = []
        except DeltaweirError as failure:
            self._fail(failure)
            return
        self._handed(chunks)

    async def _resend(self) -> None:
        try:
            await self._send(fresh=True)
        except DeltaweirError as error:
            self._fail(error)

    def _handed(self, chunks: Sequence[ChunkT]) -> None:
        """Hand chunks on, and look whether they were the last."""
        exchange = self._exchange
        if chunks:
            self.reader.took(chunks)
            if self._closed:
                return
        if exchange.failure is not None:
            self._fail(exchange.failure)
        elif exchange.ended and not self._over:
            self._finish()

    def _finish(self) -> None:
        """Keep the connection if the answer's last byte is here, or comes soon."""
        self.bypassed_by(None)  # what follows is no part of the answer
        self._over = True
        if self._exchange.framed_end:
            self._give_back()
        elif self._connection is not None:
            self._connection.resume()
            self._draining = asyncio.get_running_loop().call_later(DRAIN_S, self._drop)
        self.reader.ended()

    def _drain(self, data: bytes) -> None:
        try:
            self._exchange.drain(data)
        except DeltaweirError:  # of no consequence: the answer is whole
            self._drop()
            return
        if self._exchange.framed_end:
            self._give_back()

    def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        self._stop_draining()
        if connection is not None:
            connection.hand_to(None)
            connection.resume()
            if self._exchange.reusable:
                self._pool.give(connection)
            else:
                connection.close()
        self._release()

    def _fail(self, error: DeltaweirError) -> None:
        self._drop()
        if not (self._closed or self._over):
            self._over = True
            self.reader.failed(error)

    def _drop(self, *, released: bool = True) -> None:
        connection, self._connection = self._connection, None
        self._stop_draining()
        if connection is not None:
            connection.close()
        if released:
            self._release()

    def _stop_draining(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None

    def _release(self) -> None:
        released, self._released = self._released, None
        if released is not None:
            released()
