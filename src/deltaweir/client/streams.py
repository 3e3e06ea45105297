"""The two streams a program iterates over: the view, and a way of waiting for its source."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from deltaweir.client.clocks import Timeouts
from deltaweir.client.frames import StreamFrames
from deltaweir.client.judging import Asking
from deltaweir.client.metering import Metering
from deltaweir.client.view import StreamView
from deltaweir.errors import DeltaweirError
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.sources.source import AsyncSource, Source
from deltaweir.weir import Weir
from deltaweir.wire.sse import DONE

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)


class Stream(StreamView[ChunkT, ReplyT]):
    """A reply while it arrives, for a program that blocks: iterate over its chunks, once.

    Leaving ``with``, dropping the object, or interrupting a wait ends the generation at once;
    what came is kept and can still be read. One thread iterates; any thread may close.

    With ``resume=True``, and a server that offers it, the loop goes on when the connection
    broke: the stream is read on by another, at first at once, then after growing pauses, until
    no new event has come for `deltaweir.client.resuming.RESUME_S` seconds (60). Then the error
    of the interruption is raised. The clocks hold all the same: ``stall`` tells a dead
    connection, and ``total`` ends everything.

    Args:
        source: Where the chunks come from.
        reply_kind: What the chunks add up to.
        weir: The stream's weir.
        metering: What the weir counts and limits by; None takes the source's own count.
        timeouts: How long to wait for what; the defaults of a source without heads unless told.
        request_id: The id the request was given.
        clock: Returns seconds on a monotonic clock.
    """

    def __init__(
        self,
        source: Source[ChunkT],
        reply_kind: type[ReplyT],
        *,
        weir: Weir[ChunkT],
        metering: Metering | None = None,
        timeouts: Timeouts | None = None,
        request_id: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        super().__init__(
            source,
            reply_kind,
            weir=weir,
            metering=metering,
            timeouts=timeouts or Timeouts(headers=None),
            request_id=request_id,
            clock=clock,
        )

    def __iter__(self) -> Iterator[ChunkT]:
        return self

    def __next__(self) -> ChunkT:
        while (chunk := self._take(StopIteration)) is None:
            self._receive()
        return chunk

    def _own(self) -> Iterator[ChunkT]:
        """Iterate over records of ours, which can be written; elsewhere programs get others."""
        return self

    def sse(self, *, annotate: bool = True) -> Iterator[bytes]:
        """Yield the stream as ready frames of server-sent events.

        A stream that breaks off ends with an error event, and only a whole one with
        ``[DONE]``. Send heartbeats beside them where proxies are on the way.

        Args:
            annotate: Whether finish chunks carry usage and cost under ``deltaweir``.
        """
        frames = StreamFrames(self, annotate=annotate, usage_asked=self.usage_asked)
        try:
            for chunk in self._own():
                yield frames.frame(chunk)
        except DeltaweirError as error:
            yield frames.error(error)
            return
        if self.stopped_by != "reader":
            yield DONE

    def close(self) -> None:
        """End the generation at once; idempotent, from any thread, never waits."""
        self._abandon()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._abandon()

    def _asked(self, asking: Asking, began: float) -> bool:
        """Ask the classifier that is due, or end what waited for one; tell if there was that."""
        if (question := asking.due()) is not None:
            self._heard(asking.ask(question))
            return True
        if asking.ended:
            self._received(None, began)
        return asking.ended

    def _receive(self) -> None:
        """Wait for the source once."""
        began, limit, wake = self._clock(), self._clocks.limit, None
        if limit == 0:  # used up by signs of life
            self._expired(began)
            return
        try:
            if self._asking is not None:
                if self._asked(self._asking, began):
                    return
                wake = self._asking.wait(limit)
            chunks = self._source.receive(limit if wake is None else wake)
        except TimeoutError:
            if wake is None:
                self._expired(began)
            else:  # only a classifier is due
                self._clocks.waited(self._clock() - began)
        except DeltaweirError as error:
            self._broke(error)
        except BaseException as error:
            self._interrupted(error)
            raise
        else:
            self._received(chunks, began)


class AsyncStream(StreamView[ChunkT, ReplyT]):
    """A reply while it arrives, for an asyncio program: iterate over its chunks, once.

    Leaving ``async with``, dropping the object, or cancelling a wait ends the generation at
    once; what came is kept and can still be read. One task iterates; any may close. With
    ``resume=True`` it is resumed as `Stream` is.

    Args:
        source: Where the chunks come from.
        reply_kind: What the chunks add up to.
        weir: The stream's weir.
        metering: What the weir counts and limits by; None takes the source's own count.
        timeouts: How long to wait for what; the defaults of a source without heads unless told.
        request_id: The id the request was given.
        clock: Returns seconds on a monotonic clock.
    """

    def __init__(
        self,
        source: AsyncSource[ChunkT],
        reply_kind: type[ReplyT],
        *,
        weir: Weir[ChunkT],
        metering: Metering | None = None,
        timeouts: Timeouts | None = None,
        request_id: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        super().__init__(
            source,
            reply_kind,
            weir=weir,
            metering=metering,
            timeouts=timeouts or Timeouts(headers=None),
            request_id=request_id,
            clock=clock,
        )

    def __aiter__(self) -> AsyncIterator[ChunkT]:
        return self

    async def __anext__(self) -> ChunkT:
        while (chunk := self._take(StopAsyncIteration)) is None:
            await self._receive()
            if self._recorder is not None and not (self._open or self.quick_account):
                # which recording the end asks for, and says where it cannot be had
                try:
                    await asyncio.to_thread(self.account)
                except (DeltaweirError, OSError) as error:
                    self._recorder.uncounted(error)
        return chunk

    def _own(self) -> AsyncIterator[ChunkT]:
        """Iterate over records of ours, which can be written; elsewhere programs get others."""
        return self

    async def sse(self, *, annotate: bool = True) -> AsyncIterator[bytes]:
        """Yield the stream as ready frames of server-sent events.

        A stream that breaks off ends with an error event, and only a whole one with
        ``[DONE]``. Send heartbeats beside them where proxies are on the way.

        Args:
            annotate: Whether finish chunks carry usage and cost under ``deltaweir``.
        """
        frames = StreamFrames(self, annotate=annotate, usage_asked=self.usage_asked)
        try:
            async for chunk in self._own():
                if frames.needs_account(chunk):
                    await asyncio.to_thread(self.account)
                yield frames.frame(chunk)
        except DeltaweirError as error:
            yield frames.error(error)
            return
        if self.stopped_by != "reader":
            yield DONE

    async def close(self) -> None:
        """End the generation at once; idempotent, never waits."""
        self._abandon()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._abandon()

    async def _asked(self, asking: Asking, began: float) -> bool:
        """Ask the classifier that is due, or end what waited for one; tell if there was that."""
        if (question := asking.due()) is not None:
            self._heard(await asking.ask_async(question))
            return True
        if asking.ended:
            self._received(None, began)
        return asking.ended

    async def _receive(self) -> None:
        """Wait for the source once."""
        began, limit, wake = self._clock(), self._clocks.limit, None
        if limit == 0:  # used up by signs of life
            self._expired(began)
            return
        try:
            if self._asking is not None:
                if await self._asked(self._asking, began):
                    return
                wake = self._asking.wait(limit)
            chunks = await self._source.receive(limit if wake is None else wake)
        except TimeoutError:
            if wake is None:
                self._expired(began)
            else:  # only a classifier is due
                self._clocks.waited(self._clock() - began)
        except DeltaweirError as error:
            self._broke(error)
        except BaseException as error:
            self._interrupted(error)
            raise
        else:
            self._received(chunks, began)
