"""What is known of the streams that run now, and how fast they are: from reading to reading. Pure.

A reading is what was found at one moment: the streams that run, and what all that have ended add
up to. A rate needs two: `Rates` keeps those of the last seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from deltaweir.accounts import PICODOLLARS

State = Literal["waiting", "streaming", "held_up", "unread"]

WINDOW_S = 3.0
"""Over how many seconds rates are taken: checkpoints of other processes come once a second."""
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


class Rates:
    """Tell how fast all is, from readings that come about once a second."""

    def __init__(self) -> None:
        self._kept: list[_Before] = []
        self._speeds: dict[str, float] = {}

    def take(self, now: float, live: Sequence[Live], ended: Ended) -> Pace:
        """Take a reading; return the pace of all since those before.

        Args:
            now: When, in seconds since 1970.
            live: The streams that run.
            ended: What those come to that have ended.
        """
        current = _Before(now, {one.stream_id: one for one in live}, ended)
        self._kept = [one for one in self._kept if 0 < now - one.now <= WINDOW_S]
        self._speeds = {}
        for one in live:
            speed = self._speed(one)
            if speed is not None:
                self._speeds[one.stream_id] = speed
        pace = _pace(self._kept[0], current) if self._kept else Pace()
        self._kept.append(current)
        return pace

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


def _pace(before: _Before, now: _Before) -> Pace:
    """Return the pace between two readings.

    What has ended between them is in the sums of what has ended, but for what it had before; of
    other machines' streams those sums know nothing, so none of it may fall below zero.
    """
    gone = [one for name, one in before.live.items() if name not in now.live]
    begun = sum(name not in before.live for name in now.live)
    begun += max(0, now.ended.streams - before.ended.streams - len(gone))
    tokens = sum(_more(one, before).completion_tokens or 0 for one in now.live.values())
    tokens += max(
        0,
        now.ended.completion_tokens
        - before.ended.completion_tokens
        - sum(one.completion_tokens or 0 for one in gone),
    )
    seconds = now.now - before.now
    cost = _cost(before, now, gone)
    return Pace(
        tokens_per_s=_rate(tokens, seconds),
        streams_per_s=_rate(begun, seconds),
        usd_per_hour=None if cost is None else _rate(cost / PICODOLLARS * _HOUR_S, seconds),
    )


def _more(one: Live, before: _Before) -> Ended:
    """Return what a stream has generated since a reading."""
    earlier = before.live.get(one.stream_id)
    tokens, pico = one.completion_tokens or 0, one.cost_pico
    if earlier is not None:
        tokens -= earlier.completion_tokens or 0
        pico = None if pico is None else pico - (earlier.cost_pico or 0)
    return Ended(completion_tokens=max(0, tokens), cost_pico=None if pico is None else max(0, pico))


def _cost(before: _Before, now: _Before, gone: Sequence[Live]) -> int | None:
    """Return what was spent between two readings; None where no cost is known at all."""
    known = [_more(one, before).cost_pico for one in now.live.values()]
    spent = [one for one in known if one is not None]
    if now.ended.cost_pico is not None:
        ended = now.ended.cost_pico - (before.ended.cost_pico or 0)
        spent.append(max(0, ended - sum(one.cost_pico or 0 for one in gone)))
    return sum(spent) if spent else None


def _rate(amount: float, seconds: float) -> float | None:
    return round(amount / seconds, 6) if seconds >= SHORTEST_S else None
