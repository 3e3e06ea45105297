"""A circuit breaker for one upstream (M. Nygard, "Release It!"). Pure.

It is closed, open, or half-open for one trial.
"""

from __future__ import annotations

from collections.abc import Callable

FAILURES = 5
"""Failures in a row that open a breaker."""
FIRST_REST_S, LONGEST_REST_S = 5.0, 60.0
"""How long an open breaker keeps everybody away: at first, and at most, doubling between."""


def _never() -> bool:
    return False


def _nobody(_: float | None) -> None:
    return


class Breaker:
    """Keep streams away from one upstream that does not work; shared by all of them.

    Times are seconds on one monotonic clock.

    Args:
        turned: Called when it opens, with the seconds for which it keeps everybody away, and when
            it closes, with None. A trial that fails leaves it open, and is no change.
    """

    __slots__ = (
        "_asked",
        "_failures",
        "_heard",
        "_opened",
        "_rest",
        "_trial",
        "_turned",
        "_until",
        "_waits",
    )

    def __init__(self, turned: Callable[[float | None], object] = _nobody) -> None:
        self._turned = turned
        self._failures = 0
        self._rest = FIRST_REST_S
        self._until = 0.0
        self._asked = 0
        self._opened = 0  # how many had been asked when it opened
        self._trial = 0  # the number of the one trial; 0 for none
        self._waits = 0.0  # until when others wait for the trial
        self._heard = _never

    @property
    def open(self) -> bool:
        """Whether the upstream's last trial failed."""
        return self._failures >= FAILURES

    @property
    def trying(self) -> bool:
        """Whether a request is on its way that is to show if the upstream works again."""
        return self.open and bool(self._trial)

    def wait(self, now: float) -> float:
        """Return how long the upstream is still left alone, in seconds; 0.0 when it is not.

        A trial whose answer has begun has shown enough for others to ask too.
        """
        if self._trial and self._heard():  # the next failure shuts all out again, for longer
            self._until = 0.0
            self._close(FAILURES - 1)
        until = max(self._until, self._waits) if self._trial else self._until
        return max(0.0, until - now)

    def asked(self, now: float, *, heard: Callable[[], bool] = _never) -> int:
        """Take note that a stream asks now; of an open breaker that is the one trial.

        Args:
            now: When.
            heard: Tells whether the answer has begun; is asked only when somebody waits for that.

        Returns:
            The number of this asking, by which its outcome is told.
        """
        self._asked += 1
        if self.open:
            # an answer may take as long as it likes, which is no reason to keep all others away
            self._trial, self._waits, self._heard = self._asked, now + self._rest, heard
        return self._asked

    def answered(self) -> None:
        """Take note that the upstream works."""
        self._rest, self._until = FIRST_REST_S, 0.0
        self._close(0)

    def let_go(self, asking: int) -> None:
        """Take note that a stream went away before one could tell; another's trial goes on."""
        if asking == self._trial:
            self._end_trial()

    def failed(self, asking: int, now: float) -> None:
        """Take note of an asking's failure."""
        self.let_go(asking)
        self._failures += 1
        # streams that began together fail together: that is one failed trial, not many
        if self._failures == FAILURES or (self.open and asking > self._opened):
            rest = self._rest
            self.leave_alone(now + rest)
            self._rest = min(rest * 2, LONGEST_REST_S)
            self._opened = self._asked
            self._end_trial()
            if self._failures == FAILURES:
                self._turned(rest)

    def leave_alone(self, until: float) -> None:
        """Take note that the upstream asks for a pause, and when that ends."""
        self._until = max(self._until, until)

    def _close(self, failures: int) -> None:
        """Let everybody ask, after so many failures in a row."""
        was_open, self._failures = self.open, failures
        self._end_trial()
        if was_open:
            self._turned(None)

    def _end_trial(self) -> None:
        self._trial, self._heard = 0, _never
