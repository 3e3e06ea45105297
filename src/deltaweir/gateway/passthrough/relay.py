"""One request passed on: upstreams are asked until one answers, then its body goes through.

Bytes go on in the call that brings them. Until an answer's head has come nothing was shown, so
another upstream may take over; after it nothing is tried again, and an answer that breaks off
breaks off for the client too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from deltaweir.client.clocks import Deadlines
from deltaweir.client.failures import ending_of
from deltaweir.client.relayed import RelayExchange
from deltaweir.endings import Ending
from deltaweir.errors import AuthenticationFailed, DeltaweirError, ServiceUnavailable
from deltaweir.gateway.lanes.lane import Lane
from deltaweir.gateway.passthrough.answers import Said, is_final, refusal_of
from deltaweir.gateway.upstreams.asking import Asking, log_failure, told
from deltaweir.gateway.upstreams.upstreams import Upstream
from deltaweir.sources.upstream import UpstreamSource


class Relay:
    """One request on its way, to be looked after like a run.

    It reads a source, and feeds a lane; all of it on the loop's thread.

    Args:
        upstreams: Whom to ask, in order of preference.
        exchange: Makes the exchange of an attempt.
        what: What is asked for: the upstreams' name of the model, or a path.
        key_id: Whose key asked for it; None without keys.

    Attributes:
        done: Set when it has ended.
        ending: How it ended; None before.
        failure: Why it failed; None where it did not.
        upstream: Who was asked last; empty before.
        attempts: How often upstreams were asked.
        held_chars: Zero, since no guard looks at it.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        exchange: Callable[[Upstream], RelayExchange],
        *,
        what: str,
        key_id: str | None = None,
    ) -> None:
        self._upstreams = upstreams
        self._exchange = exchange
        self._what = what
        self._loop = asyncio.get_running_loop()
        self.key_id = key_id
        self.held_chars = 0
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.ending: Ending | None = None
        self.failure: DeltaweirError | None = None
        self.upstream = ""
        self.attempts = 0
        self.asked_before: list[str] = []
        self._source: UpstreamSource[Any] | None = None
        self._asked: RelayExchange | None = None
        self._settled: asyncio.Future[DeltaweirError | None] | None = None
        self._begun = False
        self._lane: Lane | None = None
        self._unsent: list[bytes] = []
        self._held = False
        self._deadlines: Deadlines | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return not self.done.done()

    async def ask(self) -> Said | None:
        """Ask until an upstream has begun to answer, or has refused what others refuse too.

        Returns:
            The answer's head, or the refusal; None where there is neither: ``failure`` says why,
            as a client may hear it.
        """
        asking = Asking(self._upstreams, lambda _: self._what, self.done)
        refused: Said | DeltaweirError | None = None
        while (upstream := await asking.next()) is not None:
            exchange = self._exchange(upstream)
            if self.attempts:
                self.asked_before.append(self.upstream)
            self.upstream, self.attempts = upstream.name, self.attempts + 1
            with asking.given_up():
                error = await self._outcome(upstream, exchange, asking)
            head = exchange.head
            if error is None:
                asking.settled(answered=self._begun)
                return Said(head, upstream.provider) if self._begun and head else None
            final = is_final(head)
            useful = asking.failed(upstream, error, exchange, final=final)
            refused = refusal_of(exchange, upstream.provider) or told(error, upstream.name)
            if not useful:
                break
        if not self.open:
            return None
        refused = refused or asking.resting()
        if isinstance(refused, Said):
            self._end(Ending.FAILED)
            return refused
        self._end(ending_of(refused), refused)
        return None

    def open_to(self, lane: Lane) -> None:
        """Let the body go, now that its head is on its way."""
        self._lane = lane
        lane.write(b"".join(self._unsent))
        self._unsent.clear()
        if not self._held:
            self._flow()

    # what follows is called by the source

    def took(self, pieces: Sequence[bytes]) -> None:
        """Hand the body's bytes on; the first come with its head, and wait until that is sent."""
        assert self._deadlines is not None
        data = b"".join(pieces)
        if self._begun:
            self._deadlines.last = time.monotonic()
        else:
            self._begun = True
            self._deadlines.answered()
            self._deadlines.content()
            self._deadlines.last = time.monotonic()
            self._rest()
            self._settle(None)
        if self._lane is None:
            self._unsent.append(data)
        else:
            self._lane.write(data)

    def ended(self) -> None:
        """Take note that the answer is whole."""
        self._end(Ending.COMPLETE)

    def failed(self, error: DeltaweirError) -> None:
        """Take note that there is no answer, or that it broke off."""
        if self._begun:
            assert self._asked is not None
            log_failure(self.upstream, error, self._asked, attempt=self.attempts)
            self._end(ending_of(error), error)
        else:
            self._settle(error)

    # what follows is called by the lane

    def hold(self) -> None:
        """Pause the upstream for a client who is too slow."""
        self._held = True
        self._rest()

    def go_on(self) -> None:
        """Let the upstream go on."""
        self._held = False
        if self._lane is not None or not self._begun:
            self._flow()

    def reader_left(self) -> None:
        """End at once, since the client has gone."""
        self._end(Ending.ABANDONED)

    # what follows is called by the gateway

    def tidy(self) -> None:
        """Do nothing: what goes through is not kept."""

    def abort(self, ending: Ending) -> None:
        """End from this side."""
        revoked = ending is Ending.REVOKED
        self._end(ending, AuthenticationFailed("this key was revoked") if revoked else None)

    def stop(self) -> None:
        """End since the server stops."""
        self._end(Ending.FAILED, ServiceUnavailable("the server is stopping; ask again"))

    def leave(self) -> None:
        """End since nobody looks after it any more; nothing happens if it has ended."""
        self._end(Ending.ABANDONED)

    async def _outcome(
        self, upstream: Upstream, exchange: RelayExchange, asking: Asking
    ) -> DeltaweirError | None:
        """Ask one upstream; return why it has not answered, None where it has, or nobody waits."""
        clocks = upstream.whole_clocks
        try:
            release = await asking.connection(upstream, clocks.connect, exchange)
        except DeltaweirError as error:
            return error if self.open else None
        if not self.open:
            release()
            return None
        source: UpstreamSource[Any] = UpstreamSource(
            exchange, upstream.pool, self, released=release
        )
        self._source, self._asked = source, exchange
        self._settled = self._loop.create_future()
        self._deadlines = Deadlines(clocks, time.monotonic())
        if self._held:
            self._rest()
        self._look_at_clock()
        try:
            await source.begin(clocks.connect)
        except DeltaweirError as error:
            return None if self.done.done() else error
        return await self._settled

    def _settle(self, error: DeltaweirError | None) -> None:
        """Let the attempt have its outcome."""
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(error)

    def _end(self, ending: Ending, failure: DeltaweirError | None = None) -> None:
        """End, once."""
        if not self.open:
            return
        self.ending, self.failure = ending, failure
        self.done.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        if self._source is not None:
            self._source.close()
        self._settle(None)

    def _rest(self) -> None:
        """Let the source and its clocks rest."""
        if self._source is not None and self._deadlines is not None:
            self._deadlines.pause(time.monotonic())
            self._source.pause()
            self._look_at_clock()

    def _flow(self) -> None:
        """Let the source and its clocks go on."""
        if self._source is not None and self._deadlines is not None and self.open:
            self._deadlines.resume(time.monotonic())
            self._source.resume()
            self._look_at_clock()

    def _look_at_clock(self) -> None:
        """Set the timer to the clock that runs out next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = None if self._deadlines is None else self._deadlines.due
        if due is not None and self.open:
            wait = max(0.0, due - time.monotonic())
            self._timer = self._loop.call_later(wait, self._tick)

    def _tick(self) -> None:
        """End what waits for too long."""
        assert self._deadlines is not None
        assert self._source is not None
        due = self._deadlines.due
        if due is not None and due <= time.monotonic():
            self._source.close()
            self.failed(self._deadlines.error())
        else:
            self._look_at_clock()
