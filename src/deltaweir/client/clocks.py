"""The clocks of a stream: how long to wait for the peer, and for what. Pure.

A clock runs only while somebody waits for the peer. What a reader does between two chunks,
and the time a source is paused for him, count for none.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from deltaweir.errors import InvalidRequest, StallTimeout

_LONGEST = 1_000_000.0
"""Seconds; the waits of every platform take it (Windows ends at 4,294,967)."""


class Timeouts(NamedTuple):
    """How long to wait, in seconds; None waits for ever."""

    connect: float | None = 5
    """For a connection to be made."""
    headers: float | None = 60
    """For the answer to begin."""
    first_content: float | None = 600
    """For the first content: prompts may be long, and queues longer."""
    stall: float | None = 60
    """Between two chunks after the first content."""
    total: float | None = None
    """For everything together."""


def timeouts_of(
    timeouts: Mapping[str, float | None] | None = None,
    timeout: float | None = None,
    *,
    base: Timeouts = Timeouts(),  # immutable
) -> Timeouts:
    """Return the clocks a caller asked for.

    Args:
        timeouts: Seconds by name; names left out keep the base's value.
        timeout: Seconds for everything together.
        base: What holds where the caller says nothing.

    Raises:
        InvalidRequest: A name is unknown, or a value is not a positive number.
    """
    if not isinstance(timeouts, Mapping | None):
        raise InvalidRequest(
            f"got timeouts of type {type(timeouts).__name__}, expected seconds by name",
            param="timeouts",
        )
    for name, value in (timeouts or {}).items():
        if name not in Timeouts._fields:
            near = difflib.get_close_matches(str(name), Timeouts._fields, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidRequest(
                f"got a timeout named {name!r}, expected one of "
                f"{', '.join(Timeouts._fields)}{hint}",
                param="timeouts",
            )
        _check_seconds(f"timeouts[{name!r}]", value, param="timeouts")
    _check_seconds("timeout", timeout, param="timeout")
    clocks = base._replace(**(timeouts or {}))
    return clocks if timeout is None else clocks._replace(total=timeout)


def _check_seconds(name: str, value: Any, *, param: str) -> None:
    if value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # written so that NaN is refused too
    if not (number and 0 < value <= _LONGEST):
        got = repr(value) if number else f"a value of type {type(value).__name__}"
        raise InvalidRequest(
            f"got {got} for {name}, expected seconds above 0 and up to {_LONGEST:,.0f}, or None",
            param=param,
        )


class Clocks:
    """The clocks of one stream.

    Ask `limit` before each wait, and tell `waited` how it went. Whoever waited longer than
    the limit raises `error`.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._total = 0.0
        self._before_content = 0.0
        self._quiet = 0.0
        self._answered = False
        self._has_content = False

    @property
    def limit(self) -> float | None:
        """Seconds that the next wait may last; None for ever."""
        left = [seconds for _, seconds in self._left()]
        return max(0.0, min(left)) if left else None

    def waited(
        self,
        seconds: float,
        *,
        answered: bool = False,
        chunk: bool = False,
        content: bool = False,
    ) -> None:
        """Take note of a wait.

        Args:
            seconds: How long it lasted.
            answered: Whether the answer has now begun.
            chunk: Whether it ended with a chunk; heartbeats and signs of life are none.
            content: Whether content has now arrived.
        """
        self._total += seconds
        self._answered = self._answered or answered
        self._quiet = 0.0 if chunk else self._quiet + seconds
        if not self._has_content:
            self._before_content += seconds
            self._has_content = content

    def renew(self) -> None:
        """Let the clock between two chunks begin anew, since another connection is tried."""
        self._quiet = 0.0

    def error(self) -> StallTimeout:
        """Return the error of the clock that has run out first."""
        left = self._left()
        if not left:
            return StallTimeout("the source gave up waiting, though no clock was set")
        name, _ = min(left, key=lambda pair: pair[1])
        return _ran_out(name, getattr(self._timeouts, name))

    def _left(self) -> list[tuple[str, float]]:
        used = [("total", self._timeouts.total, self._total)]
        if not self._answered:
            used.append(("headers", self._timeouts.headers, self._total))
        if self._has_content:
            used.append(("stall", self._timeouts.stall, self._quiet))
        else:
            used.append(("first_content", self._timeouts.first_content, self._before_content))
        return [(name, limit - spent) for name, limit, spent in used if limit is not None]


class Deadlines:
    """The clocks of an answer that is pushed: when will the next one run out?

    Where `Clocks` adds up waits, this looks at moments, so that a chunk costs one assignment.
    All moments are seconds on one monotonic clock.

    Args:
        timeouts: How long to wait for what.
        now: When the request is sent.

    Attributes:
        last: When the last chunk came; set it with each.
    """

    __slots__ = ("_answered", "_began", "_content", "_paused", "_timeouts", "last")

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        self._timeouts = timeouts
        self._began = now
        self._answered = False
        self._content = False
        self._paused: float | None = None
        self.last = now

    @property
    def due(self) -> float | None:
        """When the first clock runs out; None for never, or while the source is paused."""
        if self._paused is not None:
            return None
        return min((moment for _, moment in self._due()), default=None)

    def answered(self) -> None:
        """Take note that the answer has begun."""
        self._answered = True

    def content(self) -> None:
        """Take note that content has come."""
        self._content = True

    def pause(self, now: float) -> None:
        """Stop all clocks: we wait for a reader, not for the peer."""
        if self._paused is None:
            self._paused = now

    def resume(self, now: float) -> None:
        """Let the clocks go on."""
        if self._paused is not None:
            self._began += now - self._paused
            self.last += now - self._paused
            self._paused = None

    def error(self) -> StallTimeout:
        """Return the error of the clock that runs out first."""
        due = self._due()
        if not due:
            return StallTimeout("the source gave up waiting, though no clock was set")
        name, _ = min(due, key=lambda pair: pair[1])
        return _ran_out(name, getattr(self._timeouts, name))

    def _due(self) -> list[tuple[str, float]]:
        limits = self._timeouts
        moments = [("total", limits.total, self._began)]
        if not self._answered:
            moments.append(("headers", limits.headers, self._began))
        if self._content:
            moments.append(("stall", limits.stall, self.last))
        else:
            moments.append(("first_content", limits.first_content, self._began))
        return [(name, since + limit) for name, limit, since in moments if limit is not None]


def _ran_out(name: str, limit: float) -> StallTimeout:
    what = {
        "headers": "no answer began",
        "first_content": "no content came",
        "stall": "nothing came after the last chunk",
        "total": "the answer was not whole",
    }[name]
    return StallTimeout(
        f"{what} within {limit:g} s; raise the timeout {name!r} to wait longer", param=name
    )
