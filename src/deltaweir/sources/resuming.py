"""A provider's stream that is resumed where it offers that, for readers that block or await.

The exchange decides when to connect again; the steps are those of `deltaweir.sources.remote`.
Here is what it takes besides: the limit of a wait for a server that may never answer, the end of
the generation when the reader leaves, and which source serves a request.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import random
import time
from typing import Generic

from deltaweir.client.attempt import ChunkT
from deltaweir.client.exchange import StreamExchange
from deltaweir.client.provider import Outgoing
from deltaweir.client.resuming import ResumingExchange
from deltaweir.client.resumption import Resumption
from deltaweir.errors import ConnectionFailed, DeltaweirError, StallTimeout
from deltaweir.net import asynchronous, blocking
from deltaweir.net.async_pool import AsyncPool
from deltaweir.net.blocking import Pool
from deltaweir.net.route import hopeless
from deltaweir.sources.remote import AsyncRemoteSource, RemoteSource
from deltaweir.sources.steps import ConnectionT, RemoteSteps
from deltaweir.sources.stopping import Stop, Stopper, stopper

_log = logging.getLogger("deltaweir.client")


class ResumingSteps(RemoteSteps[ChunkT, ConnectionT], Generic[ChunkT, ConnectionT]):
    """What both sources of a resumable stream share, apart from waiting."""

    _resuming: ResumingExchange[ChunkT]
    _stops: collections.deque[tuple[Stopper, Stop]]
    _sought: bool

    @property
    def stream_id(self) -> str | None:
        """The id in the server's offer; None without one."""
        return self._resuming.stream_id

    @property
    def resumed_at(self) -> tuple[int, ...]:
        """The number of the event with which each further connection began."""
        return self._resuming.resumed_at

    @property
    def gave_up(self) -> DeltaweirError | None:
        """Why resuming was given up; None where it was not."""
        return self._resuming.gave_up

    def stalled(self, error: StallTimeout) -> bool:
        """Take note that nothing has come for too long; tell whether to wait for more.

        Args:
            error: What is raised if not.

        Raises:
            DeltaweirError: The stream could not be resumed.
        """
        if self._closed or self._over:
            return False
        goes_on = self._resuming.stalled(error)
        if goes_on:
            self._drop()
        return goes_on

    def _within(self, timeout_s: float | None) -> float | None:
        """Return how long a step may take: no longer than resuming may."""
        patience = self._resuming.patience_s
        if patience is None or (timeout_s is not None and timeout_s <= patience):
            return timeout_s
        return patience

    def _unheard(self) -> None:
        """Take note that a server did not answer while it was waited for."""
        self._drop()
        if self._resuming.pause_s is None:
            self._resuming.broke(ConnectionFailed("the server did not answer in time"))

    def _unconnected(self, error: ConnectionFailed, timeout_s: float | None) -> None:
        """Try again, or give up where that would fail alike."""
        if self.stream_id is not None and not self._closed and hopeless(error):
            self._drop()
            self._resuming.give_up(error)
        else:
            super()._unconnected(error, timeout_s)

    def _look_for_offer(self, pool: Pool | AsyncPool) -> None:
        """Keep at hand what ends the generation, once the server has offered to resume it."""
        if self._sought or self.stream_id is None:
            return
        self._sought = True
        stop = self._resuming.stopping
        if stop is None:
            return
        try:
            serving = stopper()
        except RuntimeError:  # the server stops by itself once nobody has read for a while
            _log.debug("no thread can be started to stop a stream that is left")
            return
        origin = stop.provider.origin
        # sent by a thread, as a connection of its own: a loop may be gone by then
        self._stops.append((serving, Stop(pool.route(origin), pool.tls(origin), stop.raw)))
        serving.watch(self)

    def _end_generation(self) -> None:
        """Have the server stop, once, unless it has ended by itself."""
        if self._resuming.generating:
            with contextlib.suppress(IndexError):  # there was no offer, or it is under way
                serving, stop = self._stops.pop()
                serving.send(stop)


class ResumingSource(ResumingSteps[ChunkT, blocking.Connection], RemoteSource[ChunkT]):
    """A provider's answer that is resumed, for a reader that blocks.

    Args:
        exchange: The request.
        pool: Where its connections come from.
        connect_s: Seconds to make a connection in; None for no limit.
    """

    def __init__(
        self, exchange: ResumingExchange[ChunkT], pool: Pool, *, connect_s: float | None
    ) -> None:
        self._resuming = exchange
        self._stops = collections.deque()
        self._sought = False
        super().__init__(exchange, pool, connect_s=connect_s)

    def close(self) -> None:
        """Close the connection at once, wake the reader, and have the server stop."""
        super().close()
        self._end_generation()

    def _step(self, timeout_s: float | None) -> list[ChunkT]:
        limit = self._within(timeout_s)
        try:
            chunks = super()._step(limit)
        except TimeoutError:
            if limit == timeout_s:
                raise
            self._unheard()
            return []
        self._look_for_offer(self._pool)
        return chunks


class AsyncResumingSource(
    ResumingSteps[ChunkT, asynchronous.Connection], AsyncRemoteSource[ChunkT]
):
    """A provider's answer that is resumed, for a reader that awaits on the loop that made it.

    Args:
        exchange: The request.
        pool: Where its connections come from.
        connect_s: Seconds to make a connection in; None for no limit.
    """

    def __init__(
        self, exchange: ResumingExchange[ChunkT], pool: AsyncPool, *, connect_s: float | None
    ) -> None:
        self._resuming = exchange
        self._stops = collections.deque()
        self._sought = False
        super().__init__(exchange, pool, connect_s=connect_s)

    def close(self) -> None:
        """Close the connection at once, wake the reader, and have the server stop."""
        super().close()
        self._end_generation()

    async def _step(self, timeout_s: float | None) -> list[ChunkT]:
        limit = self._within(timeout_s)
        try:
            chunks = await super()._step(limit)
        except TimeoutError:
            if limit == timeout_s:
                raise
            self._unheard()
            return []
        self._look_for_offer(self._pool)
        return chunks


def remote_source(
    sent: Outgoing,
    kind: type[ChunkT],
    pool: Pool,
    *,
    connect_s: float | None,
    resumption: Resumption | None,
) -> RemoteSource[ChunkT]:
    """Return the source of a streamed reply, for a reader that blocks.

    Args:
        sent: The request.
        kind: The chunk type.
        pool: Where its connections come from.
        connect_s: Seconds to make a connection in; None for no limit.
        resumption: How the stream is resumed; None for a stream that is not.
    """
    if resumption is None:
        return RemoteSource(_exchange(sent, kind), pool, connect_s=connect_s)
    return ResumingSource(_resuming(sent, kind, resumption), pool, connect_s=connect_s)


def async_remote_source(
    sent: Outgoing,
    kind: type[ChunkT],
    pool: AsyncPool,
    *,
    connect_s: float | None,
    resumption: Resumption | None,
) -> AsyncRemoteSource[ChunkT]:
    """Return the source of a streamed reply, for a reader that awaits; see `remote_source`."""
    if resumption is None:
        return AsyncRemoteSource(_exchange(sent, kind), pool, connect_s=connect_s)
    return AsyncResumingSource(_resuming(sent, kind, resumption), pool, connect_s=connect_s)


def _exchange(sent: Outgoing, kind: type[ChunkT]) -> StreamExchange[ChunkT]:
    return StreamExchange(sent, kind, chance=random.random, now=time.time)


def _resuming(
    sent: Outgoing, kind: type[ChunkT], resumption: Resumption
) -> ResumingExchange[ChunkT]:
    return ResumingExchange(
        sent, kind, resumption, chance=random.random, now=time.time, clock=time.monotonic
    )
