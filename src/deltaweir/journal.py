"""A stream's frames by number, exactly as they were sent, for whoever reads from any point. Pure.

Frames count from 1; ``[DONE]`` and error events count too, heartbeats never. A journal keeps the
newest frames, bounded in bytes: what falls out at the front can never be read again, and whoever
asks for it is told so. It keeps frames as the first reader got them, without ids, so that no
reading can show what a guard withheld.

The number of a frame becomes the ``id`` of its event (`numbered`), with the stream's own id in
front: an EventSource sends it back as ``Last-Event-ID`` (WHATWG HTML, section 9.2), and `position`
reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from deltaweir.errors import InvalidRequest

MOST_BYTES = 8 * 2**20
"""Bytes of one stream that are kept: the frames of some 35,000 tokens."""

_KEPT_OF_FULL = 3, 4
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)


class Journal:
    """The frames of one stream.

    Args:
        most_bytes: How many bytes are kept; the newest frame always is.
        first: The number of the first frame that will be appended.

    Attributes:
        frames: What is kept, in order.
        first: The number of the first frame that is kept, or would be.
        bytes: Bytes of what is kept.
        ended: Whether nothing will be appended any more.
    """

    __slots__ = ("bytes", "ended", "first", "frames", "most_bytes")

    def __init__(self, most_bytes: int = MOST_BYTES, *, first: int = 1) -> None:
        self.frames: list[bytes] = []
        self.first = first
        self.bytes = 0
        self.ended = False
        self.most_bytes = most_bytes

    @property
    def last(self) -> int:
        """The number of the last frame; one below the first before there is any."""
        return self.first + len(self.frames) - 1

    def append(self, frame: bytes) -> int:
        """Keep a frame, and return its number."""
        frames = self.frames
        frames.append(frame)
        self.bytes += len(frame)
        if self.bytes > self.most_bytes:
            self._shorten()
        return self.first + len(frames) - 1

    def skip_to(self, number: int) -> None:
        """Forget all frames, since those before a number are lost; the next has that number."""
        self.frames.clear()
        self.bytes = 0
        self.first = number

    def end(self) -> None:
        """Take note that all has been appended."""
        self.ended = True

    def keeps(self, number: int) -> bool:
        """Tell whether all frames behind a number are still kept, or still to come."""
        return number >= self.first - 1

    def after(self, number: int, most_bytes: int) -> Sequence[bytes]:
        """Return the frames behind a number, in order; none where none has come.

        Args:
            number: Must be kept.
            most_bytes: Where to stop; one frame is always returned, whatever its size.
        """
        frames = self.frames
        start = end = number + 1 - self.first
        size = 0
        while end < len(frames) and (end == start or size + len(frames[end]) <= most_bytes):
            size += len(frames[end])
            end += 1
        return frames[start:end]

    def bound(self, most_bytes: int) -> None:
        """Keep no more than so many bytes from now on."""
        self.most_bytes = most_bytes
        if self.bytes > most_bytes:
            self._shorten()

    def _shorten(self) -> None:
        """Drop a quarter, so that this is seldom done."""
        part, full = _KEPT_OF_FULL
        aim, dropped = self.most_bytes * part // full, 0
        while self.bytes > aim and dropped < len(self.frames) - 1:
            self.bytes -= len(self.frames[dropped])
            dropped += 1
        del self.frames[:dropped]
        self.first += dropped


def numbered(stream_id: bytes, number: int, frame: bytes) -> bytes:
    """Return a frame with its event's id; nothing for a number that has no frame."""
    return frame and b"id: %b:%d\n%b" % (stream_id, number, frame)


def position(stream_id: str, *, last_event_id: str | None, starting_after: str | None) -> int:
    """Return behind which number somebody wants to read.

    Args:
        stream_id: The stream.
        last_event_id: What a ``Last-Event-ID`` says, the id of an event or its number alone;
            it comes first, since an EventSource that comes back asks its first address again.
        starting_after: What a query says; without both all is wanted.

    Raises:
        InvalidRequest: It is no number, or another stream's.
    """
    if last_event_id:
        stream, colon, number = last_event_id.rpartition(":")
        if colon and stream != stream_id:
            raise InvalidRequest("got the Last-Event-ID of another stream", param="Last-Event-ID")
        return _number(number, "Last-Event-ID", "an event's id, or its number")
    if starting_after is None:
        return 0
    return _number(starting_after, "starting_after", "an event's number; 0 gives all")


def _number(text: str, param: str, wanted: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise InvalidRequest(f"got {param} {text[:40]!r}, expected {wanted}", param=param)
    return int(text)
