"""The straight way of a chunk through the gateway, for the commonest of all.

Nearly all chunks of a stream come alone: one event in one piece of a chunked body (RFC 9112,
section 7.1), which says what the one before it said, but for a text. Of such a piece the frame
is known byte for byte, so that nothing needs to be parsed but its text; and where the weir lets
the text through as it is, the very bytes that came are the bytes that go out.

Everything else takes the long way (`deltaweir.sources.upstream`, `deltaweir.client.exchange`),
and so does all that follows, until the stream is known to stand between two such pieces again.
Both ways show the same: a test sends all streams by both.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from deltaweir.client.view import MOST_UNCOUNTED
from deltaweir.gateway.outflow import Outflow
from deltaweir.schema.forwarding import Frame
from deltaweir.weir import Weir

_EVENT = b"data: "
_END = b"\n\n\r\n"
_TEXT = msgspec.json.Decoder(str)
_ENCODER = msgspec.json.Encoder()
_LONGEST_SIZE = 8
"""Digits of a piece's size."""


class LongWay(Protocol):
    """The source that has the connection's bytes otherwise."""

    def received(self, data: bytes) -> None:
        """Take bytes."""

    def left(self, error: OSError | None) -> None:
        """Take note of the connection's end."""


class Traveller(Protocol):
    """The run whose chunks go straight."""

    last: float
    """When the last chunk came, in seconds on the monotonic clock."""
    gaps: list[int]
    """Gaps between contents, by power of two in milliseconds."""

    def condense(self) -> None:
        """Keep what waits to be counted in less memory."""

    def was_cut(self, chunks: Sequence[Any]) -> None:
        """Take what a cut brings, after which the weir has ended."""


class Straight:
    """Take a connection's bytes while they are pieces of one frame.

    Args:
        run: Whose they are.
        weir: Its weir.
        source: Where everything else goes.
        outflow: Where they go; its reader's body is chunked too.
        frame: What the pieces have in common.
        index: The choice whose text they bring.

    Attributes:
        index: The choice.
        misses: How many pieces in a row were others.
    """

    __slots__ = (
        "_after",
        "_before",
        "_feed",
        "_frame",
        "_outflow",
        "_pieces",
        "_run",
        "_source",
        "_write",
        "index",
        "misses",
    )

    def __init__(
        self,
        run: Traveller,
        weir: Weir[Any],
        source: LongWay,
        outflow: Outflow,
        *,
        frame: Frame,
        index: int,
    ) -> None:
        self._run = run
        self._feed = weir.feed_text
        self._source = source
        self._outflow = outflow
        self._write = outflow.lane.transport.write
        self._frame = frame
        self._before = _EVENT + frame.before
        self._after = frame.after + _END
        self.index = index
        self._pieces = 0
        self.misses = 0

    def received(self, data: bytes) -> None:
        """Take the connection's next bytes."""
        line = data.find(b"\r\n", 0, _LONGEST_SIZE)
        start = line + 2 + len(self._before)
        end = len(data) - len(self._after)
        if (
            line <= 0
            or start >= end
            or not data.startswith(self._before, line + 2)
            or not (data.endswith(self._after) or (end := self._filled(data, start)))
            or data[:line] != b"%x" % (len(data) - line - 4)
        ):
            self._by_the_long_way(data)
            return
        try:
            text = _TEXT.decode(b'"%b"' % data[start:end])
        except (msgspec.DecodeError, UnicodeError):
            self._by_the_long_way(data)
            return
        run = self._run
        now = time.monotonic()
        gap = int((now - run.last) * 1000).bit_length()
        run.last = now
        run.gaps[gap if gap < len(run.gaps) else -1] += 1
        self.misses = 0
        self._pieces += 1
        if self._pieces > MOST_UNCOUNTED:
            self._pieces = 0
            run.condense()
        shown, more = self._feed(self.index, text, now)
        if shown == text:
            self._outflow.last = now
            self._write(data)
        elif shown:
            self._outflow.last = now
            event = b"%b%b%b" % (
                self._before,
                _ENCODER.encode(shown)[1:-1],
                data[end:-2],
            )
            self._write(b"%x\r\n%b\r\n" % (len(event), event))
        if more:
            run.was_cut(more)

    def left(self, error: OSError | None) -> None:
        """Take note of the connection's end."""
        self._source.left(error)

    def _filled(self, data: bytes, start: int) -> int:
        """Return where a text ends whose piece differs in its filling; 0 where it is another."""
        end = data.find(b'"', start)
        if self._frame.filling is None or end <= start or data[-4:] != _END:
            return 0
        # a text with an escaped quote is left to the long way
        return end if self._frame.filled(data[end:-4]) else 0

    def _by_the_long_way(self, data: bytes) -> None:
        self.misses += 1
        self._source.received(data)
