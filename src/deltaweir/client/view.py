"""What a stream shows beside its chunks: text, usage, timing, how it ended.

Both stream classes are this view plus a way of waiting. The view takes the source's chunks
and their times, runs them through the weir, and keeps what came, so that it can be read
while the stream runs, after it, and after it broke.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from deltaweir.client.clocks import Clocks, Timeouts
from deltaweir.client.failures import ended_early, ending_of
from deltaweir.client.guarding import GuardedWeir, ToldByWeir
from deltaweir.client.judging import asking
from deltaweir.client.metering import Metering, engine_metering
from deltaweir.client.recordable import Recordable
from deltaweir.client.resumed import ToldBySource
from deltaweir.client.timing import Moments, Timing
from deltaweir.client.used import ToldByMeter
from deltaweir.endings import Ending, State
from deltaweir.errors import DeltaweirError
from deltaweir.meter.budget import NO_LIMIT
from deltaweir.partial import Partial
from deltaweir.schema.builder import ReplyBuilder
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.schema.texts import has_content
from deltaweir.sources.source import AnySource
from deltaweir.weir import Weir

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)

MOST_KEPT = 64
"""Chunks kept as they came; more are added up, since the collector looks at all that live."""

MOST_UNCOUNTED = 256
"""Chunks whose texts are kept for counting as they came; more are joined."""


class StreamView(ToldByWeir, ToldByMeter, ToldBySource, Recordable, Generic[ChunkT, ReplyT]):
    """Read what a stream has brought so far; safe at any moment, from any thread.

    Args:
        source: Where chunks come from; it can be closed.
        reply_kind: The reply type.
        weir: The stream's weir.
        metering: What the weir counts and limits by; None takes the source's own count.
        timeouts: How long to wait for what.
        request_id: The id the request was given.
        clock: Returns seconds on a monotonic clock.
    """

    def __init__(
        self,
        source: AnySource,
        reply_kind: type[ReplyT],
        *,
        weir: Weir[ChunkT],
        metering: Metering | None,
        timeouts: Timeouts,
        request_id: str,
        clock: Callable[[], float],
    ) -> None:
        self._request_id = request_id
        self._closing = source
        self._weir = weir
        self._metering = metering or engine_metering(lambda: source.usage, NO_LIMIT)
        self._meter, self._budget = self._metering
        self._clock = clock
        self._builder: ReplyBuilder[ReplyT] = ReplyBuilder(reply_kind)
        self._kept: list[ChunkT] = []
        self._reading = threading.RLock()
        self._moments = Moments(clock())
        self._clocks = Clocks(timeouts)
        self._ready: list[ChunkT] = []
        self._failure: DeltaweirError | None = None
        self._uncondensed = 0
        self._asking = asking(weir, clock)

    @property
    def request_id(self) -> str:
        """The server's id of the request once it has said one, ours until then."""
        return getattr(self._closing, "request_id", None) or self._request_id

    @property
    def usage_asked(self) -> bool:
        """Whether a chunk with usage and no choices was asked for."""
        return self._weir.usage_asked

    @property
    def text(self) -> str:
        """The content of the first choice so far."""
        with self._reading:
            return self._built().text()

    @property
    def prompt_progress(self) -> tuple[int, int]:
        """Tokens of the prompt that are read, and tokens it has; zeros while unknown."""
        return getattr(self._closing, "progress", (0, 0))

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended; None while it is open."""
        with self._reading:
            return self._built().finish_reason

    @property
    def ending(self) -> Ending | None:
        """How the stream ended; None while it runs."""
        return self._weir.ending

    @property
    def timing(self) -> Timing:
        """How fast the stream was so far."""
        return self._moments.timing(self._clock(), self.usage)

    def reply(self) -> ReplyT:
        """Return what came so far, as the same call without ``stream`` returns it."""
        reply = self._whole()
        reply.usage = self.usage or reply.usage
        return reply

    def whole_reply(self) -> ReplyT:
        """Return what came as a call without ``stream`` does: with what guards did, if anything."""
        reply = self.reply()
        reply.deltaweir = self.told or reply.deltaweir
        return reply

    def _whole(self) -> ReplyT:
        with self._reading:
            return self._built().build()

    def _built(self) -> ReplyBuilder[ReplyT]:
        """Add up what has come since the last look; reading costs nothing while unread."""
        while self._kept:
            self._builder.add(self._kept.pop(0))
        return self._builder

    def _server_said(self) -> Mapping[str, Any]:
        with self._reading:
            return self._built().told

    @property
    def _open(self) -> bool:
        return self._weir.state is State.OPEN

    def _take(self, over: type[Exception]) -> ChunkT | None:
        """Return the next chunk; None when the source must be asked first.

        Raises:
            DeltaweirError: The stream failed; raised once, after all that could be shown.
            Exception: The stream is over.
        """
        try:
            return self._ready.pop(0)
        except IndexError:  # none is left, or another thread has cleared them
            if self._open:
                return None
        failure, self._failure = self._failure, None
        if self._recorder is not None:
            self._recorder.ended(self, failure)
        raise failure or over

    def _received(self, chunks: Sequence[ChunkT] | None, began: float) -> None:
        """Pass what the source sent through the weir; None is its end."""
        now = self._clock()
        if chunks is None:
            if self._asking is not None and not self._asking.ended:
                self._asking.ended = True  # what waits for a classifier comes first
                return
            self._ended(now)
            return
        moments = self._moments
        if moments.headers is None and (chunks or self._closing.answered):
            moments.headers = now
        feed = self._weir.feed
        fed: list[ChunkT] = []
        content = False
        for chunk in chunks:
            content = content or any(map(has_content, chunk.choices))
            fed += feed(chunk, now)
        self._show(fed)
        self._uncondensed += len(chunks)
        if self._uncondensed > MOST_UNCOUNTED:
            self._uncondensed = 0
            self._meter.condense()
        if content:
            moments.brought(now)
        self._clocks.waited(
            now - began,
            answered=moments.headers is not None,
            chunk=bool(chunks),
            content=moments.first_content is not None,
        )
        if not self._open:
            moments.ended = now
            self._closing.close()

    def _heard(self, chunks: Sequence[ChunkT]) -> None:
        """Show what a classifier has cleared, or end as it demands."""
        self._show(chunks)
        if not self._open:
            self._moments.ended = self._clock()
            self._closing.close()

    def _ended(self, now: float) -> None:
        """Take note that the source has ended: complete only if every choice said so."""
        if self._open:
            self._moments.ended = now
            said_done = self._closing.said_done
            self._show(self._weir.finish(Ending.COMPLETE if said_done else Ending.TRUNCATED))
            self._closing.close()
            if self._weir.state is State.FAILED:
                self._failure = self._told(ended_early(self._gave_up))

    def _expired(self, began: float) -> None:
        """Fail with the error of the clock that ran out during a wait, or go on all the same."""
        self._clocks.waited(self._clock() - began)
        error = self._clocks.error()
        try:
            if not self._goes_on(error):
                self._broke(error)
        except DeltaweirError as failure:
            self._broke(failure)

    def _broke(self, error: DeltaweirError) -> None:
        """Fail with an error, once what can still be shown is read.

        A stream that its reader has closed cannot fail: its source died of that.
        """
        if self._open:
            self._stop(ending_of(error))
            self._failure = self._told(error)

    def _told(self, error: DeltaweirError) -> DeltaweirError:
        """Give an error what had come, and the request's id."""
        if isinstance(self._weir, GuardedWeir):
            self._weir.clean(error)
        error.request_id = error.request_id or self.request_id
        if self._moments.headers is not None:
            error.partial = Partial(reply=self._whole(), usage=lambda: self.usage)
        return error

    def _stop(self, ending: Ending) -> None:
        """End the stream before its source did; the weir first, so that no end is misread."""
        if self._open:
            self._moments.ended = self._clock()
            self._show(self._weir.abort(ending))
        self._closing.close()

    def _abandon(self) -> None:
        """End the stream since its reader wants no more."""
        self._stop(Ending.ABANDONED)
        self._ready.clear()
        self._failure = None
        if self._recorder is not None:
            self._recorder.left(self)

    def _interrupted(self, error: BaseException) -> None:
        """End the stream in the middle of a wait: the reader left, or the source has a bug."""
        self._stop(Ending.FAILED if isinstance(error, Exception) else Ending.ABANDONED)

    def _show(self, chunks: Sequence[ChunkT]) -> None:
        if not chunks:
            return  # as for a reader who closes, and must not wait for a lock
        self._kept.extend(chunks)
        if len(self._kept) > MOST_KEPT:
            with self._reading:
                self._built()
        self._ready.extend(chunks)
        if self._recorder is not None:
            self._recorder.took(chunks)

    def __del__(self) -> None:
        if hasattr(self, "_closing"):
            self._closing.close()
            if self._recorder is not None:
                self._recorder.left(self)
