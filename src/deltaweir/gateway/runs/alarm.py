"""One timer for all that is due without anything happening."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

NEVER = float("inf")


class Alarm:
    """Ring when the first thing is due; what is due may change, and is looked at again then.

    Args:
        due: Returns when that is, in seconds on the monotonic clock; `NEVER` for never.
        ring: Called then; what was due may have been put off meanwhile.
    """

    __slots__ = ("_at", "_due", "_loop", "_ring", "_timer")

    def __init__(self, due: Callable[[], float], ring: Callable[[], None]) -> None:
        self._due = due
        self._ring = ring
        self._at = NEVER
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Set the timer, unless it is set to an earlier time: that one looks again."""
        due = self._due()
        if self._timer is not None:
            if self._at <= due:
                return
            self._timer.cancel()
            self._timer = None
        self._at = due
        if due < NEVER:
            self._timer = self._loop.call_later(max(0.0, due - time.monotonic()), self._rung)

    def cancel(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _rung(self) -> None:
        self._timer = None
        self._ring()
