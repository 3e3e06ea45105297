"""The straight way of a chunk through the gateway, for the commonest of all.

Nearly all chunks of a stream come alone: one event in one piece of a chunked body (RFC 9112,
section 7.1), which says what the one before it said, but for a text. Of such a piece the frame
is known byte for byte, so that nothing needs to be parsed but its text; and where the weir lets
the text through as it is, the very bytes that came are the bytes that go out.

Where several such pieces come together, each goes so, and all are written at once.

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
from deltaweir.gateway.runs.outlet import Outlet
from deltaweir.gateway.runs.pace import Pace
from deltaweir.schema.text_frames import Frame
from deltaweir.weir import Weir

_EVENT = b"data: "
_END = b"\n\n\r\n"
_TEXT = msgspec.json.Decoder(str).decode
_TOLD = msgspec.json.Encoder().encode
_MOST_SIZES = 4096
"""Pieces below this size have their first lines kept; longer ones come seldom alone."""
_LINES: dict[int, bytes] = {}
"""The first line of a piece, by the piece's size; the same for all streams."""
_NO_LINE = b"\0"
"""No piece begins with this."""


class LongWay(Protocol):
    """The source that has the connection's bytes otherwise."""

    def received(self, data: bytes) -> None:
        """Take bytes."""

    def left(self, error: OSError | None) -> None:
        """Take note of the connection's end."""


class Traveller(Protocol):
    """The run whose chunks go straight."""

    pace: Pace
    """When they came."""

    def was_cut(self, chunks: Sequence[Any]) -> None:
        """Take what a cut brings, after which the weir has ended."""

    def fault(self, error: Exception) -> None:
        """End after a fault of our own."""


class Straight:
    """Take a connection's bytes while they are pieces of one frame.

    Args:
        run: Whose they are.
        weir: Its weir.
        source: Where everything else goes.
        outlet: Where they go.
        frame: What the pieces have in common.
        index: The choice whose text they bring.

    Attributes:
        index: The choice.
        misses: How many pieces in a row were others.
    """

    __slots__ = (
        "_after",
        "_before",
        "_end",
        "_ending",
        "_frame",
        "_pace",
        "_run",
        "_seen",
        "_show",
        "_source",
        "_take",
        "_weir",
        "_write",
        "_write_all",
        "index",
        "misses",
    )

    def __init__(
        self,
        run: Traveller,
        weir: Weir[Any],
        source: LongWay,
        outlet: Outlet,
        *,
        frame: Frame,
        index: int,
    ) -> None:
        self._run = run
        self._pace = run.pace
        self._weir = weir
        self._source = source
        self._write, self._write_all = outlet.piece, outlet.pieces
        self._frame = frame
        self._before = _EVENT + frame.before
        self._after = frame.after + _END
        self._seen = 0.0
        self._ending: Ending | None = None
        self.index = index
        self.misses = 0
        self.renew()

    def renew(self) -> None:
        """Take the weir's steps anew, after it was fed otherwise."""
        self._take, self._show, self._end = self._weir.text_way(self.index)

    def received(self, data: bytes) -> None:
        """Take the connection's next bytes."""
        now = monotonic()
        try:
            told = self._taken(data, now)
            if told is None:
                self._several(data, now)
                return
            if told:
                self._write(told)
            if self._ending is not None:
                self._run.was_cut(self._end(self._ending))
        except Exception as error:  # noqa: BLE001  # a fault of ours must not look like an end
            self._run.fault(error)

    def left(self, error: OSError | None) -> None:
        """Take note of the connection's end."""
        self._source.left(error)

    def _taken(self, data: bytes, now: float) -> bytes | None:
        """Take a piece of this frame; return what is to be written, None where it is another."""
        size = len(data)
        line = _LINES.get(size) or _line(size)
        before = self._before
        start = len(line) + len(before)
        if not (data.startswith(line) and data.startswith(before, len(line))):
            return None
        end = size - len(self._after) if data.endswith(self._after) else self._filled(data, start)
        try:
            text = _TEXT(data[start - 1 : end + 1])  # with its quotes
        except (msgspec.DecodeError, UnicodeError):
            text = ""
        if not text:
            return None
        pace = self._pace
        if now != pace.last:  # what comes in one read is one step for its reader
            pace.gaps[int((now - pace.last) * 1000).bit_length()] += 1
            pace.last = now
        if self._take is not None:
            self._take(text)
        if self._show is None:
            return data
        shown, self._ending = self._show(text, now)
        if not shown:
            return b""
        pace.shown = now
        if shown == text:
            return data
        told, after = _TOLD(shown), data[end + 1 :]  # each without one quote
        event = len(before) + len(told) + len(after) - 3
        return b"%x\r\n%b%b%b" % (event, before, told[1:], after)

    def _several(self, data: bytes, now: float) -> None:
        """Take what came together, as it does where this process has much to do."""
        told: list[bytes] = []
        start, size = 0, len(data)
        try:
            while self._ending is None and (end := data.find(_END, start) + len(_END)) >= len(_END):
                one = None if end - start == size else self._taken(data[start:end], now)
                if one is None:
                    break
                told.append(one)
                start = end
        finally:
            if any(told):
                self._write_all(told)
        if self._ending is not None:
            self._run.was_cut(self._end(self._ending))
        elif start < size:
            self._by_the_long_way(data[start:])

    def _filled(self, data: bytes, start: int) -> int:
        """Return where a text ends whose piece differs in its filling; 0 where it is another."""
        end = data.find(b'"', start)
        if self._frame.filling is None or end < 0 or not data.endswith(_END):
            return 0
        # a text with an escaped quote is left to the long way
        return end if self._frame.filled(data[end:-4]) else 0

    def _by_the_long_way(self, data: bytes) -> None:
        pace = self._pace
        self.misses = self.misses + 1 if pace.last == self._seen else 1
        self._source.received(data)
        self._seen = pace.last


def _line(size: int) -> bytes:
    """Return the first line of a piece of this size in all."""
    digits = 1
    while size - digits - 4 >= 16**digits:
        digits += 1
    number = b"%x" % max(0, size - digits - 4)
    # no piece has some sizes, such as 21: neither 1 digit and 16 bytes, nor 2 and 15
    line = number + b"\r\n" if len(number) == digits else _NO_LINE
    if size < _MOST_SIZES:
        _LINES[size] = line
    return line
