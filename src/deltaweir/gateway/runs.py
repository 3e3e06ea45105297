"""Runs: the streams of a gateway, each with its source, its weir and its clocks.

A run outlives the connection it is read by. Its source pushes chunks into it; in the same call
they go through the weir, become frames, and are written to the reader's outflow. One timer looks
after all that is due without a chunk: heartbeats, clocks that ran out, text that a classifier
must clear. Nothing is made per chunk but its frame.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from deltaweir.client.clocks import Deadlines, Timeouts
from deltaweir.client.guarding import GuardedWeir
from deltaweir.client.judging import Asking
from deltaweir.client.metering import Metering
from deltaweir.client.timing import Timing
from deltaweir.client.view import MOST_UNCOUNTED, StreamView
from deltaweir.endings import Ending, State
from deltaweir.errors import DeltaweirError, ServiceUnavailable, StreamFailed
from deltaweir.gateway.outbox import Outbox
from deltaweir.gateway.outflow import Outflow
from deltaweir.gateway.straight import Straight
from deltaweir.guard.judging import Question
from deltaweir.meter.account import Account
from deltaweir.schema.chunk import AnyChunk, Usage
from deltaweir.schema.forwarding import ForwardedChunk, ForwardedTextChunk, frame_of
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.schema.texts import has_content
from deltaweir.sources.source import PushingSource
from deltaweir.sources.upstream import UpstreamSource
from deltaweir.weir import Weir
from deltaweir.wire.sse import DONE, HEARTBEAT

_log = logging.getLogger("deltaweir.gateway")

_NEVER = float("inf")
MOST_TRIES = 8
"""How often a stream may find out what its chunks have in common."""
MOST_MISSES = 4
"""Chunks in a row that were others, after which it is looked for anew."""
MOST_BITS = 64
"""Classes of gaps between contents, by powers of two in milliseconds: enough for any."""


class _Nobody:
    """The source of a run before it has one."""

    usage: Usage | None = None
    answered = False
    said_done = False

    def pause(self) -> None:
        """Do nothing."""

    def resume(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Run(StreamView[Any, Any]):
    """One stream of a gateway.

    Args:
        reply_kind: What its chunks add up to.
        weir: Its weir.
        metering: What the weir counts and limits by.
        request_id: The id that its answer is given.
        annotate: Whether to add our account.
        patient: Whether its source tells its usage behind the finish reason.
        heartbeat_s: Silence after which a heartbeat is sent, in seconds.
        finishes: Whether it goes on when its reader has left.
        whole: Whether what comes is kept for a whole reply, and no frame is written.
        began: When the request came, in seconds on the monotonic clock; None for now.
        key_id: Whose key asked for it; None without keys.

    Attributes:
        done: Set when the run has ended.
        gaps: Gaps between contents, by power of two in milliseconds.
        last: When the last chunk came, in seconds on the monotonic clock.
    """

    def __init__(
        self,
        reply_kind: type[Reply | TextReply],
        *,
        weir: Weir[Any],
        metering: Metering,
        request_id: str,
        annotate: bool,
        patient: bool,
        heartbeat_s: float,
        finishes: bool = False,
        whole: bool = False,
        began: float | None = None,
        key_id: str | None = None,
    ) -> None:
        self._source: PushingSource = _Nobody()
        super().__init__(
            self._source,
            reply_kind,
            weir=weir,
            metering=metering,
            timeouts=Timeouts(),
            request_id=request_id,
            clock=time.monotonic,
        )
        if began is not None:
            self._moments.started = began
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.key_id = key_id
        self.gaps = [0] * MOST_BITS
        self._added_s: float | None = None
        self._final: tuple[Account, bool] | None = None
        self.outbox = Outbox(
            self, annotate=annotate, usage_asked=weir.usage_asked, patient=patient and not whole
        )
        self._deadlines = Deadlines(Timeouts(headers=None, first_content=None), self._clock())
        self._heartbeat_s = heartbeat_s
        self._finishes = finishes
        self._keeps = whole
        self._outflow: Outflow | None = None
        self.last = self._clock()
        self._held = False
        self._tries = 0
        self._tidied = self.last
        self._due = _NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._judging: asyncio.Task[None] | None = None
        self._asked_at: float | None = None

    @property
    def request_id(self) -> str:
        """The id that its answer is given, whatever an upstream calls it."""
        return self._request_id

    def account(self, *, both: bool = False) -> Account:
        """Return usage and cost so far, and who says so; the last word once it has ended."""
        if not self.done.done():
            return super().account(both=both)
        if self._final is None or (both and not self._final[1]):
            self._final = super().account(both=both), both
        return self._final[0]

    @property
    def began(self) -> float:
        """When the request came, in seconds on the monotonic clock."""
        return self._moments.started

    @property
    def reported(self) -> Usage | None:
        """What the source itself said last of its usage."""
        return self._meter.reported

    @property
    def finish_reason(self) -> str | None:
        """What the first choice ended with; None while it is open."""
        return super().finish_reason if self._keeps else self.outbox.finish_reason

    @property
    def timing(self) -> Timing:
        """How fast the stream was so far."""
        if self._moments.first_content is not None:
            self._moments.last_content = max(self._moments.first_content, self.last)
        return super().timing

    @property
    def open(self) -> bool:
        """Whether the run has not ended."""
        return self._open

    @property
    def failure(self) -> DeltaweirError | None:
        """What it failed with; None where it did not."""
        return self._failure

    @property
    def added_s(self) -> float | None:
        """Seconds of the time to the first content that were ours; None before it was sent."""
        first, outflow = self._moments.first_content, self._outflow
        if self._added_s is None or first is None or outflow is None or outflow.opened is None:
            return self._added_s
        return self._added_s + max(0.0, outflow.opened - first)

    @property
    def held_chars(self) -> int:
        """How many characters a guard holds back at this moment."""
        return self._weir.held_chars if isinstance(self._weir, GuardedWeir) else 0

    @property
    def begun(self) -> bool:
        """Whether a part of the answer is on its way, so that its status is out."""
        return self._outflow is not None and self._outflow.begun

    def write_to(self, outflow: Outflow) -> None:
        """Write frames to a reader from now on."""
        if outflow.lane.gone:
            self.reader_left()
        else:
            self._outflow = outflow
        self._look_at_clock()

    def follow(self, source: PushingSource, timeouts: Timeouts) -> None:
        """Take a source's chunks from now on, and its clocks.

        Args:
            source: Pushes into `took`, `ended` and `failed`, and is closed with the run.
            timeouts: How long to wait for it, and for what.
        """
        now = self._clock()
        self._source = self._closing = source
        self._deadlines = Deadlines(timeouts, now)
        self._asked_at = self._asked_at or now
        if not self._open:
            source.close()
        elif self._held:
            self.hold()
        self._look_at_clock()

    # what follows is called by the source

    def took(self, chunks: Sequence[AnyChunk]) -> None:
        """Take chunks through the weir to the reader."""
        try:
            self._take_in(chunks)
        except Exception as error:  # noqa: BLE001  # a fault of ours must not look like an end
            self._fault(error)

    def ended(self) -> None:
        """Take note that the source has ended."""
        try:
            if self._asking is not None:
                self._asking.ended = True  # what waits for a classifier comes first
                self._judge()
            else:
                self._ended(self._clock())
                self._conclude()
        except Exception as error:  # noqa: BLE001  # as above
            self._fault(error)

    def failed(self, error: DeltaweirError) -> None:
        """Take note that the source failed."""
        self._broke(error)
        self._conclude()

    # what follows is called by the lane

    def hold(self) -> None:
        """Pause the source for a reader who is too slow."""
        self._held = True
        self._deadlines.last = self.last
        self._deadlines.pause(self._clock())
        self._source.pause()

    def go_on(self) -> None:
        """Let the source go on."""
        self._held = False
        self._deadlines.resume(self._clock())
        if self._judging is None:
            self._source.resume()
        if self._open:
            self._look_at_clock()

    def reader_left(self) -> None:
        """End the run, or go on without a reader, as was asked."""
        self._outflow = None
        self._go_long()
        if not self._finishes:
            self.abort(Ending.ABANDONED)

    # what follows is called by the gateway

    def abort(self, ending: Ending) -> None:
        """End the run from this side: its reader left, wants no more, or may have no more."""
        if self._open:
            self._stop(ending)
        self._conclude()

    def tidy(self) -> None:
        """Keep what waits to be counted in less memory; about twice a second."""
        self._uncondensed = 0
        if self._tidied != self.last:
            self._tidied = self.last
            self._meter.condense()

    def leave(self) -> None:
        """End the run since nobody looks after it any more; nothing happens if it has ended."""
        self._outflow = None
        self.abort(Ending.ABANDONED)

    def stop(self) -> None:
        """End the run since the server stops; its reader is told."""
        if self._open:
            self._stop(Ending.FAILED)
            self._failure = ServiceUnavailable("the server is stopping; ask again")
        self._conclude()

    # what follows is called by the straight way

    def was_cut(self, chunks: Sequence[AnyChunk]) -> None:
        """Take what a cut brings, after which the weir has ended."""
        self._show(chunks)
        self._moments.ended = self._clock()
        self._conclude()

    def _take_in(self, chunks: Sequence[AnyChunk]) -> None:
        now = self._clock()
        if self._moments.first_content is None:
            self._not_begun(chunks, now)
        else:
            gap = int((now - self.last) * 1000).bit_length()
            self.gaps[gap] += 1
        self.last = now
        feed = self._weir.feed
        fed: list[AnyChunk] = []
        for chunk in chunks:
            fed += feed(chunk, now)
        self._show(fed)
        self._uncondensed += len(chunks)
        if self._uncondensed > MOST_UNCOUNTED:
            self.tidy()
        if not self._open:
            self._moments.ended = now
            self._conclude()
        elif self._asking is not None:
            self._judge()
        elif self._tries < MOST_TRIES and not self._keeps:
            self._shorten(chunks)

    def _shorten(self, chunks: Sequence[AnyChunk]) -> None:
        """Send chunks like the last of these straight from now on, if all may go so."""
        source = getattr(self._source, "long_way", None)
        outflow = self._outflow
        if source is None:
            return
        straight = source.shortcut
        if straight is not None:
            if straight.misses > MOST_MISSES or not self._weir.takes_texts(straight.index):
                source.shortcut = None
        elif outflow is not None and outflow.opened is not None and outflow.lane.framed:
            source.shortcut = self._straight(chunks[-1], source, outflow)

    def _go_long(self) -> None:
        """Send no chunk straight any more: there is nobody to send it to."""
        source = getattr(self._source, "long_way", None)
        if source is not None:
            source.bypassed_by(None)

    def _straight(
        self, chunk: AnyChunk, source: UpstreamSource[Any], outflow: Outflow
    ) -> Straight | None:
        if not isinstance(chunk, ForwardedChunk | ForwardedTextChunk) or not chunk.choices:
            return None
        index = chunk.choices[0].index
        if not self._weir.takes_texts(index):
            return None
        self._tries += 1
        frame = frame_of(chunk)
        if frame is None:
            return None
        return Straight(self, self._weir, source, outflow, frame=frame, index=index)

    def _not_begun(self, chunks: Sequence[AnyChunk], now: float) -> None:
        """Look for the first content."""
        if self._moments.headers is None:
            self._moments.headers = now
            self._deadlines.answered()
        if any(has_content(choice) for chunk in chunks for choice in chunk.choices):
            self._moments.brought(now)
            self._deadlines.content()
            if self._asked_at is not None:
                self._added_s = self._asked_at - self._moments.started

    def _show(self, chunks: Sequence[Any]) -> None:
        """Write what may be shown, or keep it for a whole reply."""
        if self._keeps:
            super()._show(chunks)
            self._ready.clear()
            return
        frames = self.outbox.frames(chunks)  # looked at without a reader too
        if frames and self._outflow is not None:
            self._outflow.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def _conclude(self) -> None:
        """Say the last words, once."""
        if self.done.done():
            return
        self.done.set_result(None)
        self._source.close()
        for waiting in (self._timer, self._judging):
            if waiting is not None:
                waiting.cancel()
        outflow = self._outflow
        if outflow is None or self._keeps or self.ending is Ending.ABANDONED:
            return
        last = self.outbox.rest()
        if self._failure is None:
            last.append(DONE)
        elif last or outflow.begun:
            last.append(self.outbox.error(self._failure))
        if last:
            outflow.write(b"".join(last))

    def _fault(self, error: Exception) -> None:
        """End after a fault of our own; the log has its place, and no text of the stream."""
        _log.error("a stream was ended by %s", type(error).__name__, exc_info=error)
        failure = StreamFailed("this server could not handle the stream", status=500)
        if self._open:
            self._stop_quietly()
        self._failure = self._failure or failure
        self._conclude()

    def _stop_quietly(self) -> None:
        """End the weir without looking at what it would still show."""
        self._moments.ended = self._clock()
        self._weir.state, self._weir.ending = State.FAILED, Ending.FAILED

    @property
    def _last_written(self) -> float:
        """When something was written last: what nothing holds back was, when it came."""
        assert self._outflow is not None
        if self._weir.controlled:
            return self._outflow.last
        return max(self._outflow.last, self.last)

    # what is due without a chunk

    def _look_at_clock(self) -> None:
        """Set the timer to what is due next, unless it is set to an earlier time."""
        if not self._open:
            return
        due = min(
            self._deadlines.due or _NEVER,
            self._weir.deadline or _NEVER,
            _NEVER
            if self._outflow is None or self._keeps
            else self._last_written + self._heartbeat_s,
        )
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        if due < _NEVER:
            wait = max(0.0, due - self._clock())
            self._timer = self._loop.call_later(wait, self._tick)

    def _tick(self) -> None:
        """Do what is due."""
        self._timer = None
        now = self._clock()
        self._deadlines.last = self.last
        due = self._deadlines.due
        if due is not None and due <= now:
            self._source_expired(self._deadlines.error())
        elif self._asking is not None:
            self._judge()
        outflow = self._outflow
        if (
            outflow is not None
            and now >= self._last_written + self._heartbeat_s
            and not self._keeps
        ):
            if self._held:
                outflow.last = now  # what waits already keeps the connection awake
            else:
                outflow.write(HEARTBEAT)
        self._look_at_clock()

    def _source_expired(self, error: DeltaweirError) -> None:
        """Fail by a clock; an attempt that may be followed by another hears of it instead."""
        expired = getattr(self._source, "expired", None)
        if expired is None or not expired(error):
            self.failed(error)

    def _judge(self) -> None:
        """Ask the classifier that is due, while the source waits."""
        if self._judging is None and self._open:
            assert self._asking is not None
            question = self._asking.due()  # it is told once
            if question is not None or self._asking.ended:
                self._source.pause()
                self._judging = self._loop.create_task(self._judged(self._asking, question))

    async def _judged(self, asking: Asking, question: Question | None) -> None:
        while self._open and question is not None:
            self._show(await asking.ask_async(question))
            question = asking.due()
        self._judging = None
        if not self._open:
            self._moments.ended = self._clock()
            self._conclude()
        elif asking.ended:
            self._ended(self._clock())
            self._conclude()
        elif not self._held:
            self._source.resume()
            self._look_at_clock()

    def _server_said(self) -> Mapping[str, Any]:
        return super()._server_said() if self._keeps else self.outbox.said
