"""When a worker that died is started again. Pure: times come in as arguments."""

from __future__ import annotations

STEADY_S = 10.0
"""Seconds after which a worker counts as one that works; what kills it later is an accident."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
TRIES = 3
"""How often a worker may die before it has started, where none has ever, until that is given up."""


class Restarts:
    """The deaths of one worker."""

    def __init__(self) -> None:
        self._in_a_row = 0

    @property
    def hopeless(self) -> bool:
        """Whether it died at its start as often as anybody should try."""
        return self._in_a_row >= TRIES

    def died(self, lived_s: float) -> float:
        """Return how long to wait before it is started again, in seconds.

        The first time that is at once; a worker that dies again and again soon after its start
        waits twice as long each time, since each start costs a core a second.

        Args:
            lived_s: How long it lived, in seconds.
        """
        if lived_s >= STEADY_S:
            self._in_a_row = 0
        self._in_a_row += 1
        if self._in_a_row == 1:
            return 0.0
        # a large exponent would be no float
        doubled = FIRST_PAUSE_S * 2.0 ** min(self._in_a_row - 2, 16)
        return min(doubled, LONGEST_PAUSE_S)
