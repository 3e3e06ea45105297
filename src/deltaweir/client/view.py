"""What a stream shows beside its chunks: text, usage, timing, how it ended.

Both stream classes are this view plus a way of waiting. The view takes the source's chunks
and their times, runs them through the weir, and keeps what came, so that it can be read
while the stream runs, after it, and after it broke.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from deltaweir.client.clocks import Clocks, Timeouts
from deltaweir.errors import DeltaweirError, Partial
from deltaweir.schema.builder import ReplyBuilder
from deltaweir.schema.chunk import Chunk, TextChunk, Usage
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.schema.texts import has_content
from deltaweir.weir import Ending, State, Weir

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)


class Timing(NamedTuple):
    """How fast a stream was, in seconds since it was asked for; None before it happened."""

    headers: float | None
    """Until the answer began."""
    first_content: float | None
    """Until the first content."""
    total: float | None
    """Until the end, or until now."""
    tokens_per_second: float | None
    """Tokens generated after the first, by the time they took; None below two tokens."""


class Closing(Protocol):
    """What the view needs of a source, whichever way one waits for it."""

    @property
    def usage(self) -> Usage | None:
        """The source's own count so far, None before it has one."""

    def close(self) -> None:
        """End the stream and what makes it at once."""


class StreamView(Generic[ChunkT, ReplyT]):
    """Read what a stream has brought so far; safe at any moment, from any thread.

    Args:
        source: Counts what it generates, and can be closed.
        reply_kind: The reply type.
        weir: The stream's weir.
        timeouts: How long to wait for what.
        request_id: The id the request was given.
        clock: Returns seconds on a monotonic clock.
    """

    def __init__(
        self,
        source: Closing,
        reply_kind: type[ReplyT],
        *,
        weir: Weir[ChunkT],
        timeouts: Timeouts,
        request_id: str,
        clock: Callable[[], float],
    ) -> None:
        self.request_id = request_id
        self._closing = source
        self._weir = weir
        self._clock = clock
        self._builder: ReplyBuilder[ReplyT] = ReplyBuilder(reply_kind)
        self._kept: collections.deque[ChunkT] = collections.deque()
        self._reading = threading.RLock()
        self._started = clock()
        self._headers_at: float | None = None
        self._content_at: float | None = None
        self._last_at: float | None = None
        self._ended_at: float | None = None
        self._clocks = Clocks(timeouts)
        self._ready: collections.deque[ChunkT] = collections.deque()

    @property
    def stream_id(self) -> str | None:
        """The id by which a server lets this stream be resumed; None where it does not."""
        return None

    @property
    def text(self) -> str:
        """The content of the first choice so far."""
        return self._built().text()

    @property
    def usage(self) -> Usage | None:
        """Tokens read and generated so far; None before anything was counted."""
        return self._closing.usage

    @property
    def cost(self) -> float | None:
        """What it cost in US dollars; 0.0, since the embedded model costs nothing."""
        return 0.0

    @property
    def prompt_progress(self) -> tuple[int, int]:
        """Tokens of the prompt that are read, and tokens it has; zeros while unknown."""
        read, total = getattr(self._closing, "progress", (0, 0))
        return read, total

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended; None while it is open."""
        return self._built().finish_reason

    @property
    def complete(self) -> bool:
        """Whether the source itself said that all was sent."""
        return self._weir.complete

    @property
    def stopped_by(self) -> str | None:
        """Who cut the stream: guard, budget, stop, revoked or reader; None when nobody did."""
        return self._weir.stopped_by

    @property
    def timing(self) -> Timing:
        """How fast the stream was so far."""
        end = self._ended_at if self._ended_at is not None else self._clock()
        return Timing(
            headers=self._since(self._headers_at),
            first_content=self._since(self._content_at),
            total=self._since(end),
            tokens_per_second=self._speed(),
        )

    def reply(self) -> ReplyT:
        """Return what came so far, as the same call without ``stream`` returns it."""
        reply = self._built().build()
        reply.usage = self.usage
        return reply

    def _speed(self) -> float | None:
        usage, first, last = self.usage, self._content_at, self._last_at
        if usage is None or first is None or last is None or last <= first:
            return None
        return (usage.completion_tokens - 1) / (last - first)

    def _since(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self._started

    def _built(self) -> ReplyBuilder[ReplyT]:
        """Add up what has come since the last look; reading costs nothing while unread."""
        with self._reading:
            while self._kept:
                self._builder.add(self._kept.popleft())
        return self._builder

    @property
    def _open(self) -> bool:
        return self._weir.state is State.OPEN

    def _received(self, chunks: Sequence[ChunkT] | None, began: float) -> None:
        """Pass what the source sent through the weir; None is its end."""
        now = self._clock()
        if chunks is None:
            if self._open:
                self._ended_at = now
                self._show(self._weir.finish(Ending.COMPLETE))
            return
        for chunk in chunks:
            if self._headers_at is None:
                self._headers_at = now
            if any(map(has_content, chunk.choices)):
                self._last_at = now
                if self._content_at is None:
                    self._content_at = now
            self._show(self._weir.feed(chunk, now))
        self._clocks.waited(now - began, chunk=bool(chunks), content=self._content_at is not None)
        if not self._open:
            self._ended_at = now
            self._closing.close()

    def _expired(self, began: float) -> DeltaweirError:
        """Return the error of the clock that ran out during a wait, the source closed."""
        self._clocks.waited(self._clock() - began, chunk=False, content=False)
        return self._broke(self._clocks.error(), Ending.STALLED)

    def _broke(self, error: DeltaweirError, ending: Ending = Ending.FAILED) -> DeltaweirError:
        """End a stream that failed, and give the error what had come and the request's id."""
        self._closing.close()
        self._ended_at = self._clock()
        self._show(self._weir.abort(ending))
        error.request_id = error.request_id or self.request_id
        if self._headers_at is not None:
            error.partial = Partial(reply=self.reply(), usage=self.usage)
        return error

    def _stop(self) -> None:
        """End the stream since its reader wants no more."""
        self._closing.close()
        if self._open:
            self._ended_at = self._clock()
            self._weir.abort(Ending.ABANDONED)
        self._ready.clear()

    def _show(self, chunks: Sequence[ChunkT]) -> None:
        self._ready.extend(chunks)
        self._kept.extend(chunks)

    def __del__(self) -> None:
        if hasattr(self, "_closing"):
            self._closing.close()
