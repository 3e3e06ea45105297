"""What a run has to do without a chunk: heartbeats, clocks that ran out, words that waited."""

from __future__ import annotations

from abc import abstractmethod

from deltaweir.client.clocks import Deadlines
from deltaweir.errors import DeltaweirError
from deltaweir.gateway.runs.alarm import NEVER, Alarm
from deltaweir.gateway.runs.judged import Judges
from deltaweir.gateway.runs.outlet import Outlet
from deltaweir.gateway.runs.view import RunView

HELD_UP_S = 5.0
"""Silence in the middle of a stream after which it counts as held up, in seconds."""
PATIENCE_S = 1.0
"""How long a finish chunk waits for a usage that may come behind it, in seconds."""


class TimedRun(RunView):
    """A run's clocks; one alarm looks after them all."""

    _alarm: Alarm
    _deadlines: Deadlines
    _heartbeat_s: float
    _held: bool
    _judges: Judges | None

    @abstractmethod
    def _source_expired(self, error: DeltaweirError) -> None:
        """Fail by a clock."""

    def _next_due(self) -> float:
        if not self._open:
            return NEVER
        beat = NEVER if self._quiet else self._last_written + self._heartbeat_s
        late = self.pace.last + PATIENCE_S if self.outbox.waits else NEVER
        return min(self._deadlines.due or NEVER, self._weir.deadline or NEVER, beat, late)

    @property
    def unread(self) -> bool:
        """Whether it goes on though its reader has left."""
        return self._outlet is None and not self._keeps and self._open

    def held_up(self, now: float) -> bool:
        """Tell whether nothing comes: its reader is too slow, a classifier thinks, or its source.

        Args:
            now: Seconds on the monotonic clock.
        """
        waits = self._held or (self._judges is not None and self._judges.busy)
        return waits or now - self.pace.last >= HELD_UP_S

    @property
    def _quiet(self) -> bool:
        """Whether no heartbeats are sent."""
        return self._outlet is None or self._keeps or self._outlet.lasting

    @property
    def _last_written(self) -> float:
        """When something was written last: what nothing holds back was, when it came."""
        assert self._outlet is not None
        shown = self.pace.shown if self._weir.controlled else self.pace.last
        return max(self._outlet.last, shown)

    def _look_at_clock(self) -> None:
        """Do what is due."""
        now = self._clock()
        self._deadlines.last = max(self._deadlines.last, self.pace.last)
        due = self._deadlines.due
        if due is not None and due <= now:
            self._source_expired(self._deadlines.error())
        elif self._judges is not None:
            self._judges.look()
        if self._outlet is not None and self._open:
            self._keep_awake(self._outlet, now)
        self._alarm.look()

    def _keep_awake(self, outlet: Outlet, now: float) -> None:
        """Write what has waited long enough, or a heartbeat."""
        if self.outbox.waits and now >= self.pace.last + PATIENCE_S:
            outlet.frames(self.outbox.rest())
        if not self._quiet and now >= self._last_written + self._heartbeat_s:
            if self._held:
                outlet.last = now  # what waits already keeps the connection awake
            else:
                outlet.heartbeat()
