"""The two streams a program iterates over: the view, and a way of waiting for its source."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from deltaweir.client.clocks import Timeouts
from deltaweir.client.view import StreamView
from deltaweir.errors import DeltaweirError
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.sources.source import AsyncSource, Source
from deltaweir.weir import Weir

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)


class Stream(StreamView[ChunkT, ReplyT]):
    """A reply while it arrives, for a program that blocks: iterate over its chunks, once.

    Leaving ``with``, dropping the object, or interrupting a wait ends the generation at once;
    what came is kept and can still be read. One thread iterates; any thread may close.

    Args:
        source: Where the chunks come from.
        reply_kind: What the chunks add up to.
        weir: The stream's weir.
        timeouts: How long to wait for what.
        request_id: The id the request was given.
        clock: Returns seconds on a monotonic clock.
    """

    def __init__(
        self,
        source: Source[ChunkT],
        reply_kind: type[ReplyT],
        *,
        weir: Weir[ChunkT],
        timeouts: Timeouts | None = None,
        request_id: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        super().__init__(
            source,
            reply_kind,
            weir=weir,
            timeouts=timeouts or Timeouts(),
            request_id=request_id,
            clock=clock,
        )

    def __iter__(self) -> Iterator[ChunkT]:
        return self

    def __next__(self) -> ChunkT:
        while not self._ready:
            if not self._open:
                raise StopIteration
            self._receive()
        return self._ready.popleft()

    def close(self) -> None:
        """End the generation at once; idempotent, from any thread, never waits."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _receive(self) -> None:
        """Wait for the source once."""
        began = self._clock()
        try:
            chunks = self._source.receive(self._clocks.limit)
        except TimeoutError:
            raise self._expired(began) from None
        except DeltaweirError as error:
            self._broke(error)
            raise
        except BaseException:  # an interruption: nobody will read on
            self._stop()
            raise
        self._received(chunks, began)


class AsyncStream(StreamView[ChunkT, ReplyT]):
    """A reply while it arrives, for an asyncio program: iterate over its chunks, once.

    Leaving ``async with``, dropping the object, or cancelling a wait ends the generation at
    once; what came is kept and can still be read. One task iterates; any may close.

    Args:
        source: Where the chunks come from.
        reply_kind: What the chunks add up to.
        weir: The stream's weir.
        timeouts: How long to wait for what.
        request_id: The id the request was given.
        clock: Returns seconds on a monotonic clock.
    """

    def __init__(
        self,
        source: AsyncSource[ChunkT],
        reply_kind: type[ReplyT],
        *,
        weir: Weir[ChunkT],
        timeouts: Timeouts | None = None,
        request_id: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        super().__init__(
            source,
            reply_kind,
            weir=weir,
            timeouts=timeouts or Timeouts(),
            request_id=request_id,
            clock=clock,
        )

    def __aiter__(self) -> AsyncIterator[ChunkT]:
        return self

    async def __anext__(self) -> ChunkT:
        while not self._ready:
            if not self._open:
                raise StopAsyncIteration
            await self._receive()
        return self._ready.popleft()

    async def close(self) -> None:
        """End the generation at once; idempotent, never waits."""
        self._stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    async def _receive(self) -> None:
        """Wait for the source once."""
        began = self._clock()
        try:
            chunks = await self._source.receive(self._clocks.limit)
        except TimeoutError:
            raise self._expired(began) from None
        except DeltaweirError as error:
            self._broke(error)
            raise
        except BaseException:  # a cancellation: nobody will read on
            self._stop()
            raise
        self._received(chunks, began)
