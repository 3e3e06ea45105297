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

from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol

import msgspec

from deltaweir.endings import Ending
from deltaweir.gateway.outflow import Outflow
from deltaweir.schema.text_frames import Frame
from deltaweir.weir import Weir

_EVENT = b"data: "
_END = b"\n\n\r\n"
_TEXT = msgspec.json.Decoder(str).decode
_ENCODER = msgspec.json.Encoder()
_MOST_SIZES = 512
"""Sizes of pieces whose beginnings are kept; a longer piece comes seldom."""


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
    """Gaps between contents, by power of two in milliseconds, with room for the longest."""

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
        "_frame",
        "_gaps",
        "_outflow",
        "_prefixes",
        "_run",
        "_seen",
        "_source",
        "_way",
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
        self._gaps = run.gaps
        self._way = weir.text_way(index)
        self._source = source
        self._outflow = outflow
        self._write = outflow.lane.transport.write
        self._frame = frame
        self._before = _EVENT + frame.before
        self._after = frame.after + _END
        self._prefixes: dict[int, bytes] = {}
        self._seen = 0.0
        self.index = index
        self.misses = 0

    def received(self, data: bytes) -> None:
        """Take the connection's next bytes."""
        size = len(data)
        prefix = self._prefixes.get(size) or self._prefix(size)
        if not data.startswith(prefix):
            self._by_the_long_way(data)
            return
        end = size - len(self._after) if data.endswith(self._after) else self._filled(data, prefix)
        try:
            text = _TEXT(b'"%b"' % data[len(prefix) : end])
        except (msgspec.DecodeError, UnicodeError):
            text = ""
        if not text:
            self._by_the_long_way(data)
            return
        run, (take, show, _) = self._run, self._way
        now = monotonic()
        self._gaps[int((now - run.last) * 1000).bit_length()] += 1
        run.last = now
        if take is not None:
            take(text)
        if show is None:
            self._write(data)
        else:
            self._shown(data, text, show(text, now), end)

    def left(self, error: OSError | None) -> None:
        """Take note of the connection's end."""
        self._source.left(error)

    def _shown(self, data: bytes, text: str, passed: tuple[str, Ending | None], end: int) -> None:
        """Write what may leave of a text, in its own frame."""
        shown, ending = passed
        if shown:
            self._outflow.last = self._run.last
            if shown != text:
                event = b"%b%b%b" % (self._before, _ENCODER.encode(shown)[1:-1], data[end:-2])
                data = b"%x\r\n%b\r\n" % (len(event), event)
            self._write(data)
        if ending is not None:
            self._run.was_cut(self._way.end(ending))

    def _prefix(self, size: int) -> bytes:
        """Return what a piece of this size, in all, begins with."""
        digits = 1
        while size - digits - 4 >= 16**digits:
            digits += 1
        line = b"%x" % max(0, size - digits - 4)
        # no piece has some sizes, such as 21: neither 1 digit and 16 bytes, nor 2 and 15
        prefix = b"%b\r\n%b" % (line, self._before) if len(line) == digits else b"\0"
        if len(self._prefixes) < _MOST_SIZES:
            self._prefixes[size] = prefix
        return prefix

    def _filled(self, data: bytes, prefix: bytes) -> int:
        """Return where a text ends whose piece differs in its filling; 0 where it is another."""
        end = data.find(b'"', len(prefix))
        if self._frame.filling is None or end < 0 or not data.endswith(_END):
            return 0
        # a text with an escaped quote is left to the long way
        return end if self._frame.filled(data[end:-4]) else 0

    def _by_the_long_way(self, data: bytes) -> None:
        run = self._run
        self.misses = self.misses + 1 if run.last == self._seen else 1
        self._source.received(data)
        self._seen = run.last
