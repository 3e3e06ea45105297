"""When what came of a stream, and how fast it was. Pure."""

from __future__ import annotations

from typing import NamedTuple

from deltaweir.schema.chunk import Usage


class Timing(NamedTuple):
    """How fast a stream was, in seconds since it was asked for; None before it happened."""

    headers: float | None
    """Until the answer began."""
    first_content: float | None
    """Until the first content."""
    total: float | None
    """Until the end, or until now."""
    tokens_per_second: float | None
    """Tokens generated after the first, by the time they took; None below two tokens."""


class Moments:
    """When a stream began, answered, brought content and ended.

    Args:
        started: When it was asked for, in seconds on a monotonic clock, as are all moments.
    """

    __slots__ = ("ended", "first_content", "headers", "last_content", "started")

    def __init__(self, started: float) -> None:
        self.started = started
        self.headers: float | None = None
        """When the answer began."""
        self.first_content: float | None = None
        """When the first content came."""
        self.last_content: float | None = None
        """When content came last."""
        self.ended: float | None = None
        """When the stream ended."""

    def brought(self, now: float) -> None:
        """Take note that content has come."""
        self.last_content = now
        if self.first_content is None:
            self.first_content = now

    def timing(self, now: float, usage: Usage | None) -> Timing:
        """Return how fast the stream was so far.

        Args:
            now: The end of one that has not ended.
            usage: What it used; None where nothing is known.
        """
        return Timing(
            headers=self._since(self.headers),
            first_content=self._since(self.first_content),
            total=self._since(now if self.ended is None else self.ended),
            tokens_per_second=self._speed(usage),
        )

    def _since(self, moment: float | None) -> float | None:
        return None if moment is None else moment - self.started

    def _speed(self, usage: Usage | None) -> float | None:
        first, last = self.first_content, self.last_content
        if usage is None or usage.completion_tokens < 2:  # noqa: PLR2004  # a speed needs two
            return None
        if first is None or last is None or last <= first:
            return None
        return (usage.completion_tokens - 1) / (last - first)
