"""The streams that `deltaweir.client.watch` makes: somebody else's objects, our account.

Each object is read into a record of ours, which goes through the weir. The program gets the
object again, unless the weir has changed the record or made one of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

from deltaweir.client.clocks import Timeouts
from deltaweir.client.foreign import chunk_of, likened, tells_all
from deltaweir.client.metering import Metering, weir_for
from deltaweir.client.streams import AsyncStream, Stream
from deltaweir.client.view import StreamView
from deltaweir.errors import StreamFailed
from deltaweir.guard.guard import StreamGuard
from deltaweir.schema.builder import ReplyBuilder
from deltaweir.schema.chunk import AnyChunk, Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.sources.watched import AsyncWatchedSource, WatchedSource

T = TypeVar("T")

_NO_CLOCKS = Timeouts(None, None, None, None, None)


class _Watched(StreamView[Any, Any]):
    """What both watched streams know beside their view: which object is whose chunk."""

    def __init__(
        self,
        source: Any,
        *,
        metered: Metering,
        guard: StreamGuard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objects: dict[int, Any] = {}
        self._chunk: AnyChunk | None = None
        self._original: Any = None
        self._kind: type[Chunk | TextChunk] | None = None
        self._held: list[AnyChunk] = []
        self._changes = metered.budget is not None or guard is not None
        self._guarded = guard is not None and guard.policy.reads_answers
        super().__init__(
            source,
            Reply,
            # a chunk without choices is here since the program has asked for it elsewhere
            weir=weir_for(None, metered, None, guard, keeps_usage=False),
            metering=metered,
            timeouts=_NO_CLOCKS,
            request_id="",
            clock=clock,
        )

    def _took(self, values: list[Any] | None, began: float) -> None:
        """Read what the foreign stream gave, and pass it through the weir."""
        if values is None:
            self._received(None, began)
        for value in values or ():
            try:
                chunk = self._read(value)
            except StreamFailed as error:
                self._broke(error)
                return
            self._chunk, self._original = chunk, value
            self._received([chunk], began)

    def _read(self, value: Any) -> AnyChunk:
        chunk = chunk_of(value, kind=self._kind or Chunk)
        if chunk.choices and type(chunk) is not self._kind:
            if self._kind is not None:
                raise StreamFailed(
                    f"got a {type(chunk).__name__} in a stream that began with a "
                    f"{self._kind.__name__}"
                )
            self._kind = type(chunk)
            if self._kind is TextChunk:
                with self._reading:
                    self._builder = ReplyBuilder(TextReply)
        return chunk

    def _show(self, chunks: Sequence[Any]) -> None:
        for chunk in chunks:
            self._objects[id(chunk)] = self._object(chunk)
        super()._show(chunks)

    def _object(self, chunk: AnyChunk) -> Any:
        """Return what the program gets for a chunk: the original unless the weir changed it.

        Behind a guard it is one made anew also where the original may have what nobody read.
        """
        original = self._original
        if chunk is not self._chunk or (
            self._changes and chunk != chunk_of(original, kind=type(chunk))
        ):
            return likened(original, chunk)
        return likened(original, chunk) if self._guarded and not tells_all(original) else original

    def _given(self, chunk: AnyChunk) -> Any:
        return self._objects.pop(id(chunk))

    def _settled(self, chunk: AnyChunk | None) -> list[AnyChunk]:
        """Return what may be written now: an end waits for the usage that comes behind it.

        Args:
            chunk: What has come; None when nothing more will.
        """
        out, self._held = self._held, []
        if chunk is not None:
            del self._objects[id(chunk)]
            ends = any(choice.finish_reason is not None for choice in chunk.choices)
            (self._held if ends else out).append(chunk)
        return out


class WatchedStream(_Watched, Stream[Any, Any], Generic[T]):
    """Somebody else's stream for a program that blocks, made by `watch`.

    It yields the objects of the stream it watches, and tells everything that a `Stream`
    tells. Leaving ``with`` or closing ends the other stream as well. One thread iterates, any
    thread may close; an iterator that waits in another thread ends when its wait does.
    """

    _source: WatchedSource

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        given: T = self._given(super().__next__())
        return given

    def _own(self) -> Iterator[Any]:
        try:
            while True:
                yield from self._settled(super().__next__())
        except StopIteration:
            yield from self._settled(None)
        except Exception:
            yield from self._settled(None)
            raise

    def _receive(self) -> None:
        began = self._clock()
        try:
            if self._asking is not None and self._asked(self._asking, began):
                return
            values = self._source.receive(None)
        except BaseException as error:
            self._interrupted(error)
            raise
        self._took(values, began)


class AsyncWatchedStream(_Watched, AsyncStream[Any, Any], Generic[T]):
    """Somebody else's stream for an asyncio program, made by `watch`.

    It yields the objects of the stream it watches, and tells everything that an `AsyncStream`
    tells. Leaving ``async with`` or closing ends the other stream as well, and wakes a task
    that waits for it. One task iterates; any may close.
    """

    _source: AsyncWatchedSource

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        given: T = self._given(await super().__anext__())
        return given

    async def close(self) -> None:
        """End both streams; idempotent. It waits only for the other to close itself."""
        await super().close()
        await self._source.settle()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _own(self) -> AsyncIterator[Any]:
        try:
            while True:
                for chunk in self._settled(await super().__anext__()):
                    yield chunk
        except StopAsyncIteration:
            for chunk in self._settled(None):
                yield chunk
        except Exception:
            for chunk in self._settled(None):
                yield chunk
            raise

    async def _receive(self) -> None:
        began = self._clock()
        try:
            if self._asking is not None and await self._asked(self._asking, began):
                return
            values = await self._source.receive(None)
        except (Exception, asyncio.CancelledError) as error:
            self._interrupted(error)
            await self._source.settle()
            raise
        except BaseException as error:  # in its midst nothing more can be awaited
            self._interrupted(error)
            raise
        self._took(values, began)
        if not self._open:
            await self._source.settle()
