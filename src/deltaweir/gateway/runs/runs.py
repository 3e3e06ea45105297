"""Runs: the streams of a gateway, each with its source, its weir and its clocks.

A run outlives the connection it is read by. Its source pushes chunks into it; in the same call
they go through the weir, become frames, and are written to the reader's outflow. One timer looks
after all that is due without a chunk: heartbeats, clocks that ran out, text that a classifier
must clear. Nothing is made per chunk but its frame.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from deltaweir.client.clocks import Deadlines, Timeouts
from deltaweir.client.view import MOST_UNCOUNTED
from deltaweir.endings import Ending, State
from deltaweir.errors import (
    AuthenticationFailed,
    DeltaweirError,
    ServiceUnavailable,
    StreamFailed,
)
from deltaweir.gateway.log.hints import plain
from deltaweir.gateway.runs.alarm import Alarm
from deltaweir.gateway.runs.judged import Judges
from deltaweir.gateway.runs.outlet import Outlet
from deltaweir.gateway.runs.shortcut import Shortcut
from deltaweir.gateway.runs.timed import TimedRun
from deltaweir.schema.chunk import AnyChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.schema.texts import has_content
from deltaweir.sources.source import NO_SOURCE, PushingSource
from deltaweir.wire.sse import DONE

_log = logging.getLogger("deltaweir.gateway")


class Run(TimedRun):
    """One stream of a gateway.

    Args:
        reply_kind: What its chunks add up to.
        heartbeat_s: Silence after which a heartbeat is sent, in seconds.
        finishes: Whether it goes on when its reader has left.
        **view: As for `RunView`.
    """

    def __init__(
        self,
        reply_kind: type[Reply | TextReply],
        *,
        heartbeat_s: float,
        finishes: bool = False,
        **view: Any,
    ) -> None:
        self._source: PushingSource = NO_SOURCE
        super().__init__(reply_kind, **view)
        self._deadlines = Deadlines(Timeouts(headers=None, first_content=None), self._clock())
        self._heartbeat_s = heartbeat_s
        self._finishes = finishes
        self._held = False
        self._tidied = self.pace.last
        self._alarm = Alarm(self._next_due, self._look_at_clock)
        self._shortcut = Shortcut(self, self._weir)
        self._judges = None if self._asking is None else Judges(self._asking, self)

    def write_to(self, outlet: Outlet) -> None:
        """Write frames to a reader, or to many, from now on."""
        if outlet.gone:
            self.reader_left()
        else:
            self._outlet = outlet
        self._alarm.look()

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
        self._alarm.look()

    # what follows is called by the source

    def took(self, chunks: Sequence[AnyChunk]) -> None:
        """Take chunks through the weir to the reader."""
        try:
            self._take_in(chunks)
        except Exception as error:  # noqa: BLE001  # a fault of ours must not look like an end
            self.fault(error)

    def ended(self) -> None:
        """Take note that the source has ended."""
        try:
            if self._judges is not None:  # what waits for a classifier comes first
                self._judges.end()
            else:
                self._ended(self._clock())
                self._conclude()
        except Exception as error:  # noqa: BLE001  # as above
            self.fault(error)

    def failed(self, error: DeltaweirError) -> None:
        """Take note that the source failed."""
        self._broke(plain(error))
        self._conclude()

    # what follows is called by the lane

    def hold(self) -> None:
        """Pause the source for a reader who is too slow."""
        self._held = True
        self.wait()

    def go_on(self) -> None:
        """Let the source go on."""
        self._held = False
        if self._judges is None or not self._judges.busy:
            self._go_on()

    def reader_left(self) -> None:
        """End the run, or go on without a reader, as was asked."""
        self._outlet = None
        self._shortcut.leave(self._source)
        if not self._finishes:
            self.abort(Ending.ABANDONED)

    # what follows is called by the gateway

    def abort(self, ending: Ending) -> None:
        """End the run from this side: its reader left, wants no more, or may have no more."""
        if self._open:
            nothing = self._moments.first_content is None and not self.begun
            self._stop(ending)
            if ending is Ending.REVOKED and nothing:
                self._failure = AuthenticationFailed("this key was revoked")
        self._conclude()

    def tidy(self) -> None:
        """Keep what waits to be counted in less memory; about twice a second."""
        self._uncondensed = 0
        if self._tidied != self.pace.last:
            self._tidied = self.pace.last
            self._meter.condense()

    def leave(self) -> None:
        """End the run since nobody looks after it any more; nothing happens if it has ended."""
        if self._outlet is not None and not self._outlet.lasting:
            self._outlet = None
        self.abort(Ending.ABANDONED)

    def stop(self) -> None:
        """End the run since the server stops; its reader is told."""
        if self._open:
            self._stop(Ending.FAILED)
            self._failure = ServiceUnavailable("the server is stopping; ask again")
        self._conclude()

    def forget(self) -> None:
        """Let go of all that knows this run, so that its memory is free at once.

        Nothing may be asked of it afterwards. Else a stream's objects stay until the collector
        comes, and to look through them is a tenth of what a short stream costs.
        """
        self._source = self._closing = NO_SOURCE
        self._failure = None  # it can tell what was used until then, by this run
        del self.outbox, self._alarm, self._shortcut, self._judges

    # what follows is called by the straight way

    def was_cut(self, chunks: Sequence[AnyChunk]) -> None:
        """Take what a cut brings, after which the weir has ended."""
        self._show(chunks)
        self._moments.ended = self._clock()
        self._conclude()

    # what follows is called by its judges

    def wait(self) -> None:
        """Take nothing from the source for a while."""
        self._deadlines.last = max(self._deadlines.last, self.pace.last)
        self._deadlines.pause(self._clock())
        self._source.pause()

    def heard(self, chunks: Sequence[AnyChunk]) -> None:
        """Take what a classifier's word lets out."""
        self._show(chunks)

    def judged(self, *, ended: bool) -> None:
        """Go on: nothing is to be asked now."""
        if not self._open:
            self._moments.ended = self._clock()
            self._conclude()
        elif ended:
            self._ended(self._clock())
            self._conclude()
        elif not self._held:
            self._go_on()

    def _go_on(self) -> None:
        self._deadlines.resume(self._clock())
        self._source.resume()
        self._alarm.look()

    def _take_in(self, chunks: Sequence[AnyChunk]) -> None:
        now = self._clock()
        if self._moments.first_content is None:
            self._not_begun(chunks, now)
            self.pace.last = now
        else:
            self.pace.content(now)
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
        elif self._judges is not None:
            self._judges.look()
        elif not self._keeps:
            outlet = self._outlet
            if self.outbox.waits:  # that goes first
                outlet = None
                self._alarm.look()
            self._shortcut.look(self._source, outlet, chunks[-1])

    def _not_begun(self, chunks: Sequence[AnyChunk], now: float) -> None:
        """Look for the first content."""
        if self._moments.headers is None:
            self._moments.headers = now
            self._deadlines.answered()
        if any(has_content(choice) for chunk in chunks for choice in chunk.choices):
            self._moments.brought(now)
            self._deadlines.content()
            self._deadlines.last = now
            self._alarm.look()  # a stall is due sooner
            if self._asked_at is not None:
                self._added_s = self._asked_at - self._moments.started

    def _show(self, chunks: Sequence[Any]) -> None:
        """Write what may be shown, or keep it for a whole reply."""
        if self._keeps:
            super()._show(chunks)
            self._ready.clear()
            return
        frames = self.outbox.frames(chunks)  # looked at without a reader too
        if frames and self._outlet is not None:
            self._outlet.frames(frames)

    def _conclude(self) -> None:
        """Say the last words, once."""
        if self.done.done():
            return
        self.done.set_result(None)
        self._source.close()
        for waiting in (self._alarm, self._judges):
            if waiting is not None:
                waiting.cancel()
        outlet = self._outlet
        if outlet is None or self._keeps:
            return
        last = self._last_words(outlet)
        if last:
            outlet.frames(last)
        outlet.conclude()

    def _last_words(self, outlet: Outlet) -> list[bytes]:
        """Return the frames that the end brings."""
        if self.ending is Ending.ABANDONED:
            # whoever comes back later shall not wait for more
            return [self.outbox.error(_abandoned())] if outlet.lasting else []
        last = self.outbox.rest()
        if self._failure is None:
            last.append(DONE)
        elif last or outlet.begun:
            last.append(self.outbox.error(self._failure))
        return last

    def fault(self, error: Exception) -> None:
        """End after a fault of our own; the log has its place, and no text of the stream."""
        _log.error("a stream was ended by %s", type(error).__name__, exc_info=error)
        failure = StreamFailed("this server could not handle the stream", status=500)
        if self._open:  # ended without a look at what the weir would still show
            self._moments.ended = self._clock()
            self._weir.state, self._weir.ending = State.FAILED, Ending.FAILED
        self._failure = self._failure or failure
        self._conclude()

    def _source_expired(self, error: DeltaweirError) -> None:
        """Fail by a clock; an attempt that may be followed by another hears of it instead."""
        expired = getattr(self._source, "expired", None)
        if expired is not None and expired(error):
            return
        if self._weir.all_ended:  # it has said all, but did not hang up
            self._ended(self._clock())
            self._conclude()
        else:
            self.failed(error)


def _abandoned() -> StreamFailed:
    return StreamFailed("nobody read this stream any more, so it was ended", code="abandoned")
