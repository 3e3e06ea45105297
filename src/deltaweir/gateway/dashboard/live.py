"""What is known of the streams that run now, and how fast they are: from reading to reading. Pure.

A reading is what was found at one moment: the streams that run, and what all that have ended add
up to. A rate needs two: `Rates` keeps those of the last seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from deltaweir.accounts import PICODOLLARS

State = Literal["waiting", "streaming", "held_up", "unread"]

WINDOW_S = 3.0
"""Over how many seconds rates are taken: checkpoints of other processes come once a second."""
LATE_S = 1.5
"""How much later than it began a stream of another process may come into sight, in seconds."""
SETTLED_S = 1.5
"""Within what time its row and the sums both know the end of a stream of another process."""
OWED_S = 4.0
"""How long a stream that is gone waits to be found in the sums, where it may never come."""
SHORTEST_S = 0.2
"""The shortest time over which an average says anything, in seconds."""
_HOUR_S = 3600.0


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """One stream that runs.

    Attributes:
        stream_id: Its id.
        model: The model's name as its client used it.
        started: When it was asked for, in seconds since 1970.
        at: When the figures were taken, likewise.
        state: ``waiting`` before its first content, ``streaming``, ``held_up`` when nothing comes
            or its reader takes nothing, ``unread`` when it goes on without a reader.
        upstream: Who was asked last; None before anybody was.
        key_id: The id of its client's key; None without keys.
        key_name: What that key is called; None where that is not known.
        user: Who asked; None when nobody said.
        tag: What its cost is filed under.
        prompt_tokens: Tokens of its prompt; None for unknown, as all figures here.
        completion_tokens: Tokens generated.
        cost_pico: What it cost so far, in picodollars.
        first_token_s: Seconds from the request to the first content.
        readers: How many read it.
        here: Whether this process runs it.
        stoppable: Whether it can be stopped from here.
    """

    stream_id: str
    model: str
    started: float
    at: float
    state: State
    upstream: str | None = None
    key_id: str | None = None
    key_name: str | None = None
    user: str | None = None
    tag: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_pico: int | None = None
    first_token_s: float | None = None
    readers: int | None = None
    here: bool = True
    stoppable: bool = True

    @property
    def average(self) -> float | None:
        """Tokens in a second since the first content; None before it, or where that is unknown."""
        if self.completion_tokens is None or self.first_token_s is None:
            return None
        return _rate(self.completion_tokens, self.at - self.started - self.first_token_s)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What streams that have ended add up to.

    Attributes:
        streams: How many.
        completion_tokens: What they generated, as far as known.
        cost_pico: What they cost, in picodollars; None where no cost is known.
    """

    streams: int = 0
    completion_tokens: int = 0
    cost_pico: int | None = None


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How much happens in a time; None where that is not known yet.

    Attributes:
        tokens_per_s: Tokens of all streams in a second.
        streams_per_s: Streams that begin in a second.
        usd_per_hour: What an hour costs at that pace, in US dollars.
    """

    tokens_per_s: float | None = None
    streams_per_s: float | None = None
    usd_per_hour: float | None = None


class _Before(msgspec.Struct, frozen=True):
    now: float
    live: dict[str, Live]
    ended: Ended


class _Amount(NamedTuple):
    """Some streams, what they generated and what that cost; None where no cost is known."""

    streams: int = 0
    tokens: int = 0
    pico: int | None = None

    def plus(self, other: _Amount) -> _Amount:
        """Return both together."""
        known = [one for one in (self.pico, other.pico) if one is not None]
        streams, tokens = self.streams + other.streams, self.tokens + other.tokens
        return _Amount(streams, tokens, sum(known) if known else None)


class _Step(NamedTuple):
    """What came between two readings."""

    since: float
    upto: float
    amount: _Amount


class Rates:
    """Tell how fast all is, from readings that come about once a second.

    A stream counts from when it is seen first: whole if it began since the reading before, else
    by what comes from then on. At its end it goes from those that run into the sums, which for
    streams of other processes may happen in two readings, in any order: what the sums gain waits
    for `SETTLED_S`, and what is gone for `OWED_S`, to meet the other. Streams of other machines
    never come into the sums; where several workers share these, the pace of what ends may for
    that read too low for `OWED_S`, never too high.
    """

    def __init__(self) -> None:
        self._kept: list[_Before] = []
        self._speeds: dict[str, float] = {}
        self._steps: list[_Step] = []
        self._due: list[tuple[float, _Amount]] = []
        self._owed: dict[str, tuple[float, _Amount]] = {}

    def take(self, now: float, live: Sequence[Live], ended: Ended, *, others: bool = True) -> Pace:
        """Take a reading; return the pace of all since those before.

        Args:
            now: When, in seconds since 1970.
            live: The streams that run.
            ended: What those come to that have ended.
            others: Whether streams of other processes are in that as well.
        """
        current = _Before(now, {one.stream_id: one for one in live}, ended)
        self._kept = [one for one in self._kept if 0 < now - one.now <= WINDOW_S]
        self._speeds = {}
        for one in live:
            speed = self._speed(one)
            if speed is not None:
                self._speeds[one.stream_id] = speed
        self._steps = [one for one in self._steps if self._kept and one.since >= self._kept[0].now]
        if self._kept:
            amount = self._step(self._kept[-1], current, others=others)
            self._steps.append(_Step(self._kept[-1].now, now, amount))
        else:
            self._due, self._owed = [], {}
        self._kept.append(current)
        return _pace(self._steps)

    def of(self, live: Live) -> float | None:
        """Return the tokens in a second of a stream of the last reading; None for unknown."""
        return self._speeds.get(live.stream_id)

    def _speed(self, live: Live) -> float | None:
        """Return a stream's speed against the oldest reading that has other figures of it."""
        tokens = live.completion_tokens
        if not tokens or live.state == "waiting":
            return None
        for before in self._kept:
            one = before.live.get(live.stream_id)
            if one is not None and one.state != "waiting" and live.at - one.at >= SHORTEST_S:
                return _rate(max(0, tokens - (one.completion_tokens or 0)), live.at - one.at)
        return live.average

    def _step(self, before: _Before, now: _Before, *, others: bool) -> _Amount:
        """Return what came between two readings that follow each other."""
        amount = _Amount()
        for one in now.live.values():
            amount = amount.plus(self._grown(one, before))
            self._owed.pop(one.stream_id, None)
        for one in before.live.values():
            if one.stream_id not in now.live and (one.here or others):
                tokens, pico = one.completion_tokens or 0, one.cost_pico
                self._owed[one.stream_id] = now.now, _Amount(1, tokens, pico)
        self._due.append((now.now, _since(before.ended, now.ended)))
        waits = others and not all(one.here for one in now.live.values())
        return amount.plus(self._settled(now.now - (SETTLED_S if waits else 0.0), now.now))

    def _grown(self, one: Live, before: _Before) -> _Amount:
        """Return what a stream that runs adds."""
        tokens, pico = one.completion_tokens or 0, one.cost_pico
        earlier = before.live.get(one.stream_id)
        if earlier is None:
            late = 0.0 if one.here else LATE_S
            began = one.started > before.now - late and one.stream_id not in self._owed
            return _Amount(1, tokens, pico) if began else _Amount(0, 0, None if pico is None else 0)
        tokens = max(0, tokens - (earlier.completion_tokens or 0))
        pico = None if pico is None else max(0, pico - (earlier.cost_pico or 0))
        took = one.at - earlier.at
        if took > WINDOW_S:  # after a time without figures: no more of it than is of now
            tokens = round(tokens * WINDOW_S / took)
            pico = None if pico is None else round(pico * WINDOW_S / took)
        return _Amount(0, tokens, pico)

    def _settled(self, upto: float, now: float) -> _Amount:
        """Return what the sums have gained until a time, without what was counted before."""
        self._owed = {name: one for name, one in self._owed.items() if now - one[0] <= OWED_S}
        found = _Amount()
        while self._due and self._due[0][0] <= upto:
            due = self._due.pop(0)[1]
            found = found.plus(self._without_owed(due))
        return found

    def _without_owed(self, due: _Amount) -> _Amount:
        """Take what was counted already, of as many streams at most, from what has ended.

        Those that had most go first, so that a stream of another machine makes nothing too high.
        """
        streams, tokens, pico = due
        for name in sorted(self._owed, key=lambda one: -self._owed[one][1].tokens)[: due.streams]:
            at, owed = self._owed.pop(name)
            streams -= owed.streams
            tokens -= owed.tokens
            pico = None if pico is None else pico - (owed.pico or 0)
            if tokens < 0:  # another one's end has come first: its own is to come
                self._owed[name] = at, _Amount(0, -tokens, -min(0, pico or 0))
                tokens, pico = 0, None if pico is None else max(0, pico)
        return _Amount(streams, tokens, None if pico is None else max(0, pico))


def _since(before: Ended, now: Ended) -> _Amount:
    """Return what has ended between two readings; sums never fall but with a new start."""
    pico = None if now.cost_pico is None else max(0, now.cost_pico - (before.cost_pico or 0))
    streams = max(0, now.streams - before.streams)
    return _Amount(streams, max(0, now.completion_tokens - before.completion_tokens), pico)


def _pace(steps: Sequence[_Step]) -> Pace:
    """Return the pace of all steps together."""
    if not steps:
        return Pace()
    amount = _Amount()
    for one in steps:
        amount = amount.plus(one.amount)
    seconds, pico = steps[-1].upto - steps[0].since, amount.pico
    return Pace(
        tokens_per_s=_rate(amount.tokens, seconds),
        streams_per_s=_rate(amount.streams, seconds),
        usd_per_hour=None if pico is None else _rate(pico / PICODOLLARS * _HOUR_S, seconds),
    )


def _rate(amount: float, seconds: float) -> float | None:
    return round(amount / seconds, 6) if seconds >= SHORTEST_S else None
