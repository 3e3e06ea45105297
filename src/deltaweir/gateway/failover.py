"""Which upstream to ask next, and which to leave alone for a while. Pure.

A model's upstreams are asked in their order. One that fails before its first content hands over
to the next; when all have failed, those whose failure may pass are asked again after a pause, as
a client would do it. An upstream that fails again and again, or asks for a pause, is left alone
by all streams for a time, so that they need not find out one by one: a circuit breaker (M. Nygard,
"Release It!"), closed, open, and half-open for one trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from deltaweir.client.answers import pause_before_retry
from deltaweir.errors import (
    AuthenticationFailed,
    BadRequestError,
    DeltaweirError,
    ModelNotFound,
    NotFoundError,
    PermissionDenied,
)
from deltaweir.wire.http1 import Head

FAILURES = 5
"""Failures in a row that open a breaker."""
FIRST_REST_S, LONGEST_REST_S = 5.0, 60.0
"""How long an open breaker keeps everybody away: at first, and at most, doubling between."""
RETRIES = 2
"""How often upstreams that have all failed are asked again."""

_SPENT = "insufficient_quota"
_THEIR_FAULT = (AuthenticationFailed, PermissionDenied, NotFoundError, ModelNotFound)
"""Refusals of this server's key or of the model's name there; another upstream may know better."""
_WORKS = (PermissionDenied, NotFoundError, ModelNotFound)
"""Refusals that may be of one model's name alone: whoever asks for such must not, by asking often,
keep everybody away from the others."""


class Breaker:
    """Keep streams away from one upstream that does not work; shared by all of them.

    Times are seconds on one monotonic clock.
    """

    __slots__ = ("_failures", "_rest", "_trial", "_until")

    def __init__(self) -> None:
        self._failures = 0
        self._rest = FIRST_REST_S
        self._until = 0.0
        self._trial = False

    @property
    def open(self) -> bool:
        """Whether the upstream's last trial failed."""
        return self._failures >= FAILURES

    def wait(self, now: float) -> float:
        """Return how long the upstream is still left alone, in seconds; 0.0 when it is not."""
        if now < self._until:
            return self._until - now
        return self._rest if self._trial else 0.0

    def asked(self) -> None:
        """Take note that a stream asks now; of an open breaker that is the one trial."""
        self._trial = self.open

    def answered(self) -> None:
        """Take note that the upstream works."""
        self._failures, self._rest, self._until, self._trial = 0, FIRST_REST_S, 0.0, False

    def let_go(self) -> None:
        """Take note that a stream went away before one could tell."""
        self._trial = False

    def failed(self, now: float, *, asks_s: float | None = None) -> None:
        """Take note of a failure.

        Args:
            now: When.
            asks_s: The pause that the upstream asks for, in seconds.
        """
        self._trial = False
        self._failures += 1
        # streams that began together fail together: that is one failed trial, not many
        if self._failures == FAILURES or (self.open and now >= self._until):
            self._until = max(self._until, now + self._rest)
            self._rest = min(self._rest * 2, LONGEST_REST_S)
        if asks_s is not None:
            self._until = max(self._until, now + asks_s)


class Step(NamedTuple):
    """What to do next."""

    upstream: int
    """Which to ask, by its place among the model's."""
    pause_s: float
    """How long to wait before."""


def may_move_on(error: DeltaweirError) -> bool:
    """Tell whether another upstream may answer what this one did not.

    A request that is malformed, too long, or refused for its content is so everywhere.
    """
    return isinstance(error, _THEIR_FAULT) or not isinstance(error, BadRequestError)


class Itinerary:
    """One stream's way along the upstreams of its model.

    Args:
        breakers: The upstreams' breakers, in order of preference.
        chance: A number from 0 to 1, which spreads the pauses of streams that fail together.
    """

    def __init__(self, breakers: Sequence[Breaker], *, chance: float) -> None:
        self._breakers = breakers
        self._chance = chance
        self._fresh = [*range(len(breakers))]
        self._again: dict[int, float] = {}  # when to ask those again whose failure may pass
        self._retries = 0

    def next(self, now: float) -> Step | None:
        """Return the next step; None when no upstream is left, or all are to be left alone."""
        while self._fresh:
            index = self._fresh.pop(0)
            if self._breakers[index].wait(now) == 0:
                return Step(index, 0.0)
        pauses = {index: max(0.0, due - now) for index, due in self._again.items()}
        # some breakers may have opened meanwhile
        ready = [index for index in pauses if self._breakers[index].wait(now) <= pauses[index]]
        if self._retries >= RETRIES or not ready:
            return None
        index = min(ready, key=pauses.__getitem__)
        del self._again[index]
        self._retries += 1
        return Step(index, pauses[index])

    def failed(
        self, index: int, error: DeltaweirError, head: Head | None, *, now: float, wall: float
    ) -> bool:
        """Take note of an attempt that failed before its first content.

        Args:
            index: Which upstream.
            error: Its error.
            head: The head of its answer; None when there was none.
            now: When.
            wall: The same in seconds since 1970, for the dates of ``retry-after``.

        Returns:
            Whether there is any use in asking on.
        """
        if not may_move_on(error):
            self._breakers[index].answered()
            return False
        refused = head is not None and head.status >= 300  # noqa: PLR2004  # no answer
        pause = pause_before_retry(
            head if refused else None,
            error.code,
            attempt=self._retries,
            chance=self._chance,
            now=wall,
        )
        spent = error.code == _SPENT or isinstance(error, _THEIR_FAULT)
        asks = pause if head is not None and head.get("retry-after") is not None else None
        if isinstance(error, _WORKS):
            self._breakers[index].answered()
        else:
            self._breakers[index].failed(now, asks_s=asks)
        if pause is not None and not spent:
            self._again[index] = now + pause
        return True

    def rest(self, now: float) -> float:
        """Return in how many seconds an upstream may be asked again; 0.0 when one may be now."""
        return min((breaker.wait(now) for breaker in self._breakers), default=0.0)
