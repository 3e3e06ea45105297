"""Ask upstreams one after the other: whose turn it is, and what is told of those that failed.

What streams (`deltaweir.gateway.answering.attempts`) and requests that are passed on
(`deltaweir.gateway.passthrough.relay`) have in common. An upstream's words may repeat a prompt:
they go to the client that asked, and never to the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from deltaweir.client.attempt import Attempt
from deltaweir.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    DeltaweirError,
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
    StreamFailed,
)
from deltaweir.gateway.log.hints import without_hint
from deltaweir.gateway.log.refusals import code_of
from deltaweir.gateway.log.upstreams import failure_line
from deltaweir.gateway.upstreams.failover import Candidate, Itinerary, may_move_on
from deltaweir.gateway.upstreams.upstreams import Upstream

_log = logging.getLogger("deltaweir.gateway")
_ERRORS = range(400, 600)
_REDIRECTIONS = range(300, 400)
_EARLY_S = 0.002
"""Timers may ring so much too early."""
_USED_UP = "rate_limit_exceeded"


class Asking:
    """One request's way along its upstreams; shared by nobody.

    Args:
        upstreams: Whom to ask, in order of preference.
        what: Tells what an upstream is asked for: its name of the model, or a path.
        done: Set when nobody waits for an answer any more.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        what: Callable[[Upstream], str],
        done: asyncio.Future[None],
    ) -> None:
        self._upstreams = upstreams
        candidates = [Candidate(one.breaker, one.rests, what(one)) for one in upstreams]
        self._way = Itinerary(candidates, chance=random.random())  # noqa: S311  # no secret
        self._done = done
        self._attempts = 0

    async def next(self) -> Upstream | None:
        """Return whom to ask now, after a pause where one is due; None when it is nobody."""
        while not self._done.done():
            step = self._way.next(time.monotonic())
            if step is None:
                return None
            if step.pause_s:
                await asyncio.wait([self._done], timeout=step.pause_s + _EARLY_S)
                # others may have found out meanwhile that it does not work
                if self._done.done() or self._way.wait(time.monotonic()):
                    continue
            self._attempts += 1
            return self._upstreams[step.upstream]
        return None

    async def connection(
        self, upstream: Upstream, connect_s: float | None, exchange: Attempt[Any]
    ) -> Callable[[], None]:
        """Wait for a connection to be free; return what gives it back.

        Only with it the upstream counts as asked: of a crowd here it knows nothing.

        Args:
            upstream: Whose.
            connect_s: Seconds to wait at most; None for ever.
            exchange: What it is asked; its head shows that the upstream works.

        Raises:
            ConnectionFailed: None was free all the time.
            ServiceUnavailable: Others found out meanwhile that the upstream does not work.
        """
        release = await upstream.reserve(connect_s, gone=self._done)
        now = time.monotonic()
        wait = self._way.wait(now)
        if wait and not self._done.done():
            release()
            raise resting(wait)
        if not self._done.done():
            self._way.asked(now, lambda: exchange.answered)
        return release

    @contextlib.contextmanager
    def given_up(self) -> Iterator[None]:
        """Let go of an attempt that is cancelled."""
        try:
            yield
        except BaseException:
            self._way.let_go()
            raise

    def settled(self, *, answered: bool) -> None:
        """Take note that an attempt is over that did not fail.

        Args:
            answered: Whether the upstream has answered; or else nobody waits any more.
        """
        if answered:
            self._way.answered()
        else:
            self._way.let_go()

    def failed(
        self, upstream: Upstream, error: DeltaweirError, exchange: Attempt[Any], *, final: bool
    ) -> bool:
        """Take note that an attempt failed, and log that.

        Args:
            upstream: Who was asked.
            error: Why.
            exchange: What was asked.
            final: Whether the upstream works, and has refused what others would refuse too.

        Returns:
            Whether to ask on.
        """
        log_failure(upstream.name, error, exchange, attempt=self._attempts)
        if final:
            self._way.answered()
            return False
        if may_move_on(error):  # else the request is at fault
            upstream.failed(code_of(error))
        now, wall = time.monotonic(), time.time()
        return self._way.failed(error, exchange.head, now=now, wall=wall)

    def resting(self) -> DeltaweirError:
        """Return the error of a request for which no upstream is asked."""
        return resting(self._way.rest(time.monotonic()))


def log_failure(name: str, error: DeltaweirError, exchange: Attempt[Any], *, attempt: int) -> None:
    """Log that an upstream failed, in words of our own.

    Args:
        name: Which.
        error: Why.
        exchange: What was asked.
        attempt: Which of the request's attempts it was, from one.
    """
    request_id = exchange.request.request_id
    _log.warning(
        "%s", failure_line(name, error, exchange.head, attempt=attempt, request_id=request_id)
    )


def as_meant(error: DeltaweirError) -> DeltaweirError:
    """Return an error event as what it says: that of a rate is a 429, like a refusal's."""
    if not isinstance(error, StreamFailed) or error.code != _USED_UP:
        return error
    return RateLimited(
        error.message, code=error.code, param=error.param, request_id=error.request_id
    )


def told(error: DeltaweirError, name: str) -> DeltaweirError:
    """Return an upstream's error as a client may hear it.

    It has a status that clients know, and neither our key's fate nor an address nor a hint for
    whoever runs this server in it.
    """
    message = f"the upstream {name!r}: {without_hint(error.message)}"
    if isinstance(error, AuthenticationFailed | PermissionDenied):
        shown: DeltaweirError = StreamFailed(f"the upstream {name!r} refused this server's key")
    elif isinstance(error, ConnectionFailed):
        shown = ConnectionFailed(f"the upstream {name!r} could not be reached")
    elif error.status in _REDIRECTIONS:  # which no client could follow
        shown = StreamFailed(f"the upstream {name!r}: the server answered with a redirection")
    elif error.status not in _ERRORS:
        shown = StreamFailed(message)
    else:
        error.message = message
        error.args = (message,)
        return error
    shown.__cause__ = error
    return shown


def resting(seconds: float) -> DeltaweirError:
    """Return the error of a request that no upstream is asked for, with its ``retry-after``.

    Args:
        seconds: In how many one may be asked again.
    """
    wait = max(1, round(seconds + 0.5))
    error = ServiceUnavailable(
        f"the upstreams are left alone for now; ask again in {wait} s",
        code="upstreams_resting",
    )
    return with_headers(error, {"retry-after": str(wait)})


def with_headers(error: DeltaweirError, headers: dict[str, str]) -> DeltaweirError:
    """Return an error whose answer has these headers too."""
    if headers:
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        error.headers = pairs  # type: ignore[attr-defined]  # the answer's, beside its own
    return error
