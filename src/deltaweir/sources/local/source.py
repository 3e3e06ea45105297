"""The embedded model as a source, for readers that block and for readers that await."""

from __future__ import annotations

import asyncio
import queue
from typing import TypeVar

from deltaweir.models.weights import Weights
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.sources.local.answer import LocalAnswer
from deltaweir.sources.local.engine import Engine
from deltaweir.sources.local.request import Plan
from deltaweir.sources.local.voice import Heard

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)

_Item = Heard | None
"""What the engine said; None when the reader closed the source."""


class LocalSource(LocalAnswer[ChunkT]):
    """The embedded model's answer, for a reader that blocks.

    Memory is bounded by the model's context: the engine cannot be paused, but it never
    generates more than that.
    """

    def __init__(
        self, planned: Plan, weights: Weights, engine: Engine, *, identity: str, created: int
    ) -> None:
        # this queue may be put to in a signal handler or a finaliser without a deadlock
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        super().__init__(
            planned, weights, deliver=self._queue.put, identity=identity, created=created
        )
        self.start(engine)

    def receive(self, timeout_s: float | None) -> list[ChunkT] | None:
        """Wait for the engine's next word; see `deltaweir.sources.source.Source`."""
        if self.finished:
            return None
        try:
            item = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None
        return None if item is None else self.feed(item)

    def close(self) -> None:
        """Stop computing within a token, and wake the reader."""
        self.cancel()
        self._queue.put(None)


class AsyncLocalSource(LocalAnswer[ChunkT]):
    """The embedded model's answer, for a reader that awaits on the loop that made it."""

    def __init__(
        self, planned: Plan, weights: Weights, engine: Engine, *, identity: str, created: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()
        super().__init__(planned, weights, deliver=self._put, identity=identity, created=created)
        self.start(engine)

    def _put(self, item: _Item) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except RuntimeError:  # the loop is closed, so nobody reads any more
            self.cancel()

    async def receive(self, timeout_s: float | None) -> list[ChunkT] | None:
        """Wait for the engine's next word; see `deltaweir.sources.source.AsyncSource`."""
        if self.finished:
            return None
        async with asyncio.timeout(timeout_s):
            item = await self._queue.get()
        return None if item is None else self.feed(item)

    def close(self) -> None:
        """Stop computing within a token, and wake the reader."""
        self.cancel()
        self._put(None)
