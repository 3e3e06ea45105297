"""Requests and tokens a minute, as buckets that drain all the time. Pure.

A limit of N a minute is a bucket that holds N and drains N a minute. Not windows of a minute:
where two of them meet they let twice as much pass, and then nothing for up to a minute. A bucket
says how long to wait to the millisecond, which is what OpenAI's ``x-ratelimit-reset-*`` mean:
the time until all of the limit is there again. It may be filled above its brim, since a reply's
tokens are known only afterwards; then nothing more is admitted until that has drained, so that
over a longer time the rate holds whatever replies come to.

All is whole numbers, so that nothing is lost or won by rounding: a unit weighs 60,000, and a
limit of N a minute drains N of that each millisecond.
"""

from __future__ import annotations

from typing import NamedTuple

_UNIT = 60_000
_MOST = 2**62  # a database's integer holds it
_SECOND_MS, _MINUTE_S, _HOUR_S = 1000, 60, 3600


class Bucket(NamedTuple):
    """How much of a rate is used.

    Attributes:
        weight: What is in it.
        at: When it was, in milliseconds since 1970.
    """

    weight: int = 0
    at: int = 0

    def drained(self, now: int, limit: int) -> Bucket:
        """Return the bucket at a later time; a clock that went back drains nothing.

        Args:
            now: Milliseconds since 1970.
            limit: Units a minute.
        """
        return Bucket(max(0, self.weight - limit * max(0, now - self.at)), now)

    def with_(self, units: int) -> Bucket:
        """Return the bucket with units put in, or below zero taken out."""
        return Bucket(min(_MOST, max(0, self.weight + units * _UNIT)), self.at)

    def remaining(self, limit: int) -> int:
        """Return how many whole units find room."""
        return max(0, (limit * _UNIT - self.weight) // _UNIT)

    def wait_ms(self, units: int, limit: int) -> int:
        """Return in how many milliseconds units find room; the whole limit's where they never do.

        Args:
            units: How many.
            limit: Units a minute.
        """
        needed = self.weight + (min(units, limit) - limit) * _UNIT
        return max(0, -(-needed // limit))

    def reset_ms(self, limit: int) -> int:
        """Return in how many milliseconds it is empty."""
        return -(-self.weight // limit)


def duration(milliseconds: int) -> str:
    """Return a time as OpenAI's headers write it: ``20ms``, ``1.5s``, ``6m0s``, ``1h0m0s``."""
    if milliseconds < _SECOND_MS:
        return f"{milliseconds}ms"
    whole, rest = divmod(milliseconds, _SECOND_MS)
    fraction = f".{rest:03}".rstrip("0").rstrip(".")
    if whole < _MINUTE_S:
        return f"{whole}{fraction}s"
    minutes, seconds = divmod(whole, _MINUTE_S)
    if whole < _HOUR_S:
        return f"{minutes}m{seconds}{fraction}s"
    return f"{minutes // 60}h{minutes % 60}m{seconds}{fraction}s"
