"""Which upstream to ask next, and which to leave alone for a while. Pure.

A model's upstreams are asked in their order. One that fails before its first content hands over
to the next; when all have failed, those whose failure may pass are asked again after a pause, as
a client would do it. An upstream that fails again and again, or asks for a pause, is left alone
by all streams for a time (`deltaweir.gateway.upstreams.breaker`). A rate that is used up (429) is
no failure: it rests the model that was asked for, and opens no breaker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from deltaweir.client.answers import pause_before_retry
from deltaweir.errors import (
    AuthenticationFailed,
    BadRequestError,
    DeltaweirError,
    ModelNotFound,
    NotFoundError,
    PermissionDenied,
    RateLimitError,
)
from deltaweir.gateway.upstreams.breaker import Breaker
from deltaweir.wire.http1 import Head

RETRIES = 2
"""How often upstreams that have all failed are asked again."""
MOST_RESTS = 1000
"""Models of one upstream whose pauses are remembered; those that end first are forgotten."""

_SPENT = "insufficient_quota"
_THEIR_FAULT = (AuthenticationFailed, PermissionDenied, NotFoundError, ModelNotFound)
"""Refusals of this server's key or of the model's name there; another upstream may know better."""
_WORKS = (PermissionDenied, NotFoundError, ModelNotFound)
"""Refusals that may be of one model's name alone: whoever asks for such must not, by asking often,
keep everybody away from the others."""


class Rests:
    """The pauses that an upstream asks for by 429, each for one model; shared by all streams.

    One model's rate, used up by whomever, says nothing of the others.
    """

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def wait(self, what: str, now: float) -> float:
        """Return how long a model, or a path, is still left alone; 0.0 when it is not."""
        return max(0.0, self._until.get(what, 0.0) - now)

    def leave_alone(self, what: str, until: float, *, now: float) -> None:
        """Take note of a pause that is asked for now, and when it ends."""
        if len(self._until) >= MOST_RESTS:  # clients name models as they like
            kept = sorted(self._until.items(), key=lambda pair: pair[1])[MOST_RESTS // 2 :]
            self._until = {name: end for name, end in kept if end > now}
        self._until[what] = max(until, self._until.get(what, 0.0))


class Candidate(NamedTuple):
    """An upstream that may be asked."""

    breaker: Breaker
    rests: Rests
    what: str
    """What it is asked for: the model's name there, or a path."""

    def wait(self, now: float) -> float:
        """Return how long it is still left alone, in seconds; 0.0 when it is not."""
        return max(self.breaker.wait(now), self.rests.wait(self.what, now))


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
    """One stream's way along the upstreams of its model; it asks one at a time.

    Args:
        candidates: The upstreams, in order of preference.
        chance: A number from 0 to 1, which spreads the pauses of streams that fail together.
    """

    def __init__(self, candidates: Sequence[Candidate], *, chance: float) -> None:
        self._candidates = candidates
        self._chance = chance
        self._fresh = [*range(len(candidates))]
        self._again: dict[int, float] = {}  # when to ask those again whose failure may pass
        self._retries = 0
        self._index = 0
        self._asking: int | None = None
        self._counted: set[int] = set()

    def next(self, now: float) -> Step | None:
        """Return the next step; None when no upstream is left, or all are to be left alone."""
        while self._fresh:
            self._index = self._fresh.pop(0)
            if self.wait(now) == 0:
                return Step(self._index, 0.0)
        pauses = {index: max(0.0, due - now) for index, due in self._again.items()}
        # some breakers may have opened meanwhile
        ready = [index for index in pauses if self._candidates[index].wait(now) <= pauses[index]]
        if self._retries >= RETRIES or not ready:
            return None
        self._index = min(ready, key=pauses.__getitem__)
        del self._again[self._index]
        self._retries += 1
        return Step(self._index, pauses[self._index])

    def wait(self, now: float) -> float:
        """Return how long the step's upstream is left alone, which may have changed meanwhile."""
        return self._candidates[self._index].wait(now)

    # what becomes of the step

    def asked(self, now: float, heard: Callable[[], bool]) -> None:
        """Take note that the step's upstream is asked now; as for `Breaker.asked`."""
        self._asking = self._breaker.asked(now, heard=heard)

    def answered(self) -> None:
        """Take note that it has answered."""
        self._asking = None
        self._breaker.answered()

    def let_go(self) -> None:
        """Take note that nobody waits for it any more, or that nothing is known of it."""
        if self._asking is not None:
            self._breaker.let_go(self._asking)
            self._asking = None

    def failed(self, error: DeltaweirError, head: Head | None, *, now: float, wall: float) -> bool:
        """Take note that it failed before its first content.

        One that was not asked, since no connection to it was free, is none the worse for it.

        Args:
            error: Its error.
            head: The head of its answer; None when there was none.
            now: When.
            wall: The same in seconds since 1970, for the dates of ``retry-after``.

        Returns:
            Whether there is any use in asking on.
        """
        if not may_move_on(error):
            self.answered()
            return False
        refused = head is not None and head.status >= 300  # noqa: PLR2004  # no answer
        pause = pause_before_retry(
            head if refused else None,
            error.code,
            attempt=self._retries,
            chance=self._chance,
            now=wall,
        )
        if self._asking is not None:
            wishes = head is not None and head.get("retry-after") is not None
            self._tell(error, now, None if pause is None or not wishes else now + pause)
        spent = error.code == _SPENT or isinstance(error, _THEIR_FAULT)
        if pause is not None and not spent:
            self._again[self._index] = now + pause
        return True

    def rest(self, now: float) -> float:
        """Return in how many seconds an upstream may be asked again; 0.0 when one may be now."""
        return min((one.wait(now) for one in self._candidates), default=0.0)

    @property
    def _breaker(self) -> Breaker:
        return self._candidates[self._index].breaker

    def _tell(self, error: DeltaweirError, now: float, until: float | None) -> None:
        """Tell all others what is to be learnt from a failure."""
        breaker, rests, what = self._candidates[self._index]
        if isinstance(error, RateLimitError):
            self.let_go()
            if until is not None:
                rests.leave_alone(what, until, now=now)
        elif isinstance(error, _WORKS):
            self.answered()
        else:
            self._count(now)
            if until is not None:
                breaker.leave_alone(until)

    def _count(self, now: float) -> None:
        """Count a failure, but one only of all that one request meets at one upstream."""
        assert self._asking is not None
        if self._index in self._counted and not self._breaker.open:
            self.let_go()
            return
        self._counted.add(self._index)
        self._breaker.failed(self._asking, now)
        self._asking = None
