"""When the chunks of a stream came."""

from __future__ import annotations

MOST_BITS = 40
"""More than any gap in milliseconds has: it is 34 years."""


class Pace:
    """The times of one stream's chunks; apart from its run, since each chunk changes it.

    Args:
        now: When the stream began, in seconds on the monotonic clock.

    Attributes:
        last: When the last chunk came, likewise.
        shown: When anything of one was written last that a budget or a guard had to let through.
        gaps: Gaps between contents, by power of two in milliseconds.
    """

    __slots__ = ("gaps", "last", "shown")

    def __init__(self, now: float) -> None:
        self.last = self.shown = now
        self.gaps = [0] * MOST_BITS

    def content(self, now: float) -> None:
        """Take note of a content that follows another.

        Args:
            now: When it came.
        """
        self.gaps[int((now - self.last) * 1000).bit_length()] += 1
        self.last = now
