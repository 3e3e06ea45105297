"""Ask a model's upstreams for one answer, one after the other until one of them begins.

Until the first content nothing of an answer has been shown, so another upstream may take over;
after it nothing is tried again, since two attempts are two texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from deltaweir.client.attempt import Attempt as Exchange
from deltaweir.client.clocks import Timeouts
from deltaweir.client.failures import ending_of
from deltaweir.client.whole import WholeExchange
from deltaweir.errors import DeltaweirError, StreamTruncated
from deltaweir.gateway.ledger.rows import StreamRow
from deltaweir.gateway.runs.runs import Run
from deltaweir.gateway.upstreams.asking import Asking, as_meant, told, with_headers
from deltaweir.gateway.upstreams.upstreams import Upstream
from deltaweir.schema.chunk import AnyChunk, Usage
from deltaweir.schema.record import Record
from deltaweir.schema.texts import has_content
from deltaweir.sources.upstream import UpstreamSource
from deltaweir.wire.http1 import Head

_SPENT = "insufficient_quota"
_WISHES = ("retry-after", "retry-after-ms", "x-should-retry")
_LATER = (429, 503)
"""Statuses that clients ask again after."""
_NO_CLOCKS = Timeouts(connect=None, headers=None, first_content=None, stall=None, total=None)


def _anything(_: Upstream) -> str:
    return ""


class Question(NamedTuple):
    """What upstreams are asked."""

    exchange: Callable[[Upstream], Exchange[Any]]
    """Makes the exchange of an attempt."""
    reply: type[Record] | None
    """What an answer in one piece is; None for a stream."""
    model: Callable[[Upstream], str] = _anything
    """Tells an upstream's name of the model, whose rate may be used up there."""


async def ask(
    run: Run, upstreams: Sequence[Upstream], question: Question, row: StreamRow
) -> Record | None:
    """Ask until an upstream has begun to answer, or the run has ended.

    Args:
        run: Takes the chunks of the answer.
        upstreams: Whom to ask, in order of preference.
        question: What to ask.
        row: Is told of each attempt.

    Returns:
        The answer, where it comes in one piece.

    Raises:
        DeltaweirError: Nobody answers; the error of the last that was asked, as a client may
            hear it.
    """
    asking = Asking(upstreams, question.model, run.done)
    last: DeltaweirError | None = None
    while (upstream := await asking.next()) is not None:
        attempt = _Attempt(run, upstream, question, asking)
        row.asked(upstream.name)
        with asking.given_up():
            error = await attempt.outcome()
        if error is None:
            asking.settled(answered=attempt.begun or attempt.reply is not None)
            return attempt.reply
        error = as_meant(error)
        row.refused(ending_of(error))
        run.follow(attempt, _NO_CLOCKS)  # or those of this attempt would run on in the pause
        useful = asking.failed(upstream, error, attempt.exchange, final=False)
        last = _told(error, upstream.name, attempt.exchange.head)
        if not useful:
            break
    if run.open:
        raise last or asking.resting()
    return None


class _Attempt:
    """One upstream is asked; hears what comes until that is an answer, or none."""

    def __init__(self, run: Run, upstream: Upstream, question: Question, asking: Asking) -> None:
        self.reply: Record | None = None
        self.begun = False
        """Whether content has come, or an end."""
        self.exchange = question.exchange(upstream)
        self._run = run
        self._upstream = upstream
        self._kind = question.reply
        self._asking = asking
        self._source: UpstreamSource[Any] | None = None
        self._settled: asyncio.Future[DeltaweirError | None]
        self._settled = asyncio.get_running_loop().create_future()

    async def outcome(self) -> DeltaweirError | None:
        """Ask, and return why there is no answer; None where there is one, or nobody waits."""
        run = self._run
        clocks = self._upstream.clocks if self._kind is None else self._upstream.whole_clocks
        try:
            release = await self._asking.connection(self._upstream, clocks.connect, self.exchange)
        except DeltaweirError as error:
            return error if run.open else None
        if run.done.done():
            release()
            return None
        source: UpstreamSource[Any] = UpstreamSource(
            self.exchange, self._upstream.pool, self, released=release
        )
        self._source = source
        run.follow(self, clocks)
        try:
            await source.begin(clocks.connect)
        except DeltaweirError as error:
            return None if run.done.done() else error
        return await self._settled

    # a source to the run

    @property
    def usage(self) -> Usage | None:
        """The upstream's last word on usage."""
        return self.exchange.usage

    @property
    def answered(self) -> bool:
        """Whether the answer has begun."""
        return self.exchange.answered

    @property
    def said_done(self) -> bool:
        """Whether all was sent: the stream said ``[DONE]``, or the answer came in one piece."""
        return self.reply is not None or self.exchange.said_done

    @property
    def long_way(self) -> UpstreamSource[Any] | None:
        """What has the connection's bytes; None before there is a connection."""
        return self._source

    def pause(self) -> None:
        """Take nothing more for a while."""
        if self._source is not None:
            self._source.pause()

    def resume(self) -> None:
        """Take chunks again."""
        if self._source is not None:
            self._source.resume()

    def close(self) -> None:
        """End the attempt and its connection."""
        if self._source is not None:
            self._source.close()
        self._settle(None)

    def expired(self, error: DeltaweirError) -> bool:
        """Take note that a clock ran out; tell whether that ends this attempt alone."""
        if self.begun:
            return False
        if self._source is not None:
            self._source.close()
        self._settle(error)
        self._run.follow(self, _NO_CLOCKS)
        return True

    # a reader to the upstream

    def took(self, chunks: Sequence[AnyChunk]) -> None:
        """Hand chunks on; the first with content, or with an end, are the answer."""
        if not self.begun:
            if self.exchange.ended and not any(
                has_content(choice) or choice.finish_reason
                for chunk in chunks
                for choice in chunk.choices
            ):
                return  # it has ended before it began
            self.begun = True
            if self._source is not None:
                self._source.reader = self._run
            self._settle(None)
        self._run.took(chunks)

    def ended(self) -> None:
        """Take note of an end without a beginning, or of a whole answer."""
        if self._kind is None:
            self._settle(StreamTruncated("it ended its answer before any content"))
            return
        exchange = self.exchange
        assert isinstance(exchange, WholeExchange)
        try:
            self.reply = exchange.reply(self._kind)
        except DeltaweirError as error:
            self._settle(error)
        else:
            self._settle(None)

    def failed(self, error: DeltaweirError) -> None:
        """Take note that there is no answer."""
        self._settle(error)

    def _settle(self, error: DeltaweirError | None) -> None:
        if not self._settled.done():
            self._settled.set_result(error)


def _told(error: DeltaweirError, name: str, head: Head | None) -> DeltaweirError:
    """Return an upstream's error as a client may hear it, with its wishes for the next try."""
    shown = told(error, name)
    return with_headers(shown, _wishes(error, head)) if shown is error else shown


def _wishes(error: DeltaweirError, head: Head | None) -> dict[str, str]:
    """Return what an upstream says about asking again, for clients that ask again by themselves."""
    if head is None or error.status not in _LATER:
        return {}
    said = {name: head.get(name) for name in _WISHES}
    found = {name: value for name, value in said.items() if value is not None}
    return found or ({"x-should-retry": "false"} if error.code == _SPENT else {})
