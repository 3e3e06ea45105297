"""Server-sent events: a decoder that takes bytes however they are cut, and an encoder.

The rules are those of the WHATWG HTML standard, section 9.2 "Server-sent events": UTF-8, one
leading BOM dropped; lines end in CRLF, LF or CR and nothing else; a block without any data
dispatches nothing; an unfinished block at the end is discarded. Streams of language models
are almost wholly ``data: {...}`` and a blank line, so that shape has a way of its own, which
hands everything else to the standard's.
"""

from __future__ import annotations

import re

import msgspec

from deltaweir.errors import StreamFailed

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Bytes of the largest event a decoder takes by default; nothing of a chat comes near."""
DONE = b"data: [DONE]\n\n"
"""The event that ends a stream of OpenAI's kind."""
HEARTBEAT = b": keep-alive\n"
"""A comment between two events. A blank line after it would crash clients (FACTS, section 3)."""

_BOM = b"\xef\xbb\xbf"
_MOST_DIGITS = 15  # of a retry: some thousand years; int() refuses much longer ones
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(msgspec.Struct, frozen=True, gc=False):
    """One dispatched event.

    Attributes:
        data: The data lines, joined with LF; bytes, since whoever reads JSON wants them.
        name: The event's type, ``message`` unless it has one.
        id: The last id seen, which persists from event to event.
    """

    data: bytes
    name: str = "message"
    id: str = ""


class Decoder:
    """Take a stream's bytes and return its events.

    Bytes are looked at once: what waits for the end of its line is not searched again.

    Args:
        max_event_bytes: Bytes of the largest event, and of the longest line.

    One decoder belongs to one stream; it may be fed by one thread at a time.
    """

    __slots__ = (
        "_begun",
        "_cr",
        "_data",
        "_data_bytes",
        "_held",
        "_held_bytes",
        "_limit",
        "_name",
        "last_id",
        "retry_ms",
    )

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.last_id = ""
        """The id of the last event, to resume from."""
        self.retry_ms: int | None = None
        """How long to wait before connecting again, in milliseconds, where the server said."""
        self._limit = max_event_bytes
        self._begun = False
        self._cr = False
        self._held: list[bytes] = []  # pieces of a line whose end has not come
        self._held_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = ""

    def feed(self, piece: bytes) -> list[Event]:
        """Take the next bytes and return the events they complete.

        Raises:
            StreamFailed: An event is larger than the limit; the decoder is of no more use.
        """
        if not self._begun:
            piece = self._without_bom(piece)
        if self._cr and piece:  # a CRLF was cut between its halves
            self._cr = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._cr = piece.endswith(b"\r")
            piece = _LINE_END.sub(b"\n", piece)
        if not (self._held or self._data or self._name):
            return self._plain(piece)
        events: list[Event] = []
        self._lines(piece, events)
        return events

    @property
    def idle(self) -> bool:
        """Whether it holds nothing: the next byte begins a block."""
        return self._begun and not (self._cr or self._held or self._data or self._name)

    def _without_bom(self, piece: bytes) -> bytes:
        """Drop the mark that may open a stream, once enough bytes are there to tell."""
        piece = b"".join((*self._held, piece))
        self._held = []
        if len(piece) < len(_BOM) and _BOM.startswith(piece):
            self._held = [piece]
            return b""
        self._begun = True
        return piece.removeprefix(_BOM)

    def _plain(self, piece: bytes) -> list[Event]:
        """Take whole blocks, the usual ones without looking at their lines."""
        events: list[Event] = []
        end = piece.rfind(b"\n\n")
        if end < 0:
            self._lines(piece, events)
            return events
        for block in piece[:end].split(b"\n\n"):
            if block[:6] == b"data: " and b"\n" not in block and not self._data:
                if len(block) > self._limit:
                    raise self._too_large()
                events.append(Event(block[6:], "message", self.last_id))
            elif block[:4] != b"id: " or not self._numbered(block, events):
                self._lines(block + b"\n\n", events)
        if end + 2 < len(piece):
            self._lines(piece[end + 2 :], events)
        return events

    def _numbered(self, block: bytes, events: list[Event]) -> bool:
        """Take a block of an id and one line of data, if it is one; tell whether it was."""
        line, _, rest = block.partition(b"\n")
        usual = rest[:6] == b"data: " and b"\n" not in rest and b"\0" not in line
        if not usual or self._data or len(block) > self._limit:
            return False
        self.last_id = line[4:].decode(errors="replace")
        events.append(Event(rest[6:], "message", self.last_id))
        return True

    def _lines(self, piece: bytes, events: list[Event]) -> None:
        """Take lines that end in LF; hold what has no end yet."""
        first, *rest = piece.split(b"\n")
        if first or not rest:
            self._hold(first)
        if not rest:
            return
        last = rest.pop()
        self._line(b"".join(self._held), events)
        self._held, self._held_bytes = [], 0
        for line in rest:
            self._line(line, events)
        if last:
            self._hold(last)

    def _hold(self, piece: bytes) -> None:
        if piece:
            self._held.append(piece)
            self._held_bytes += len(piece)
            if self._held_bytes > self._limit:
                raise self._too_large()

    def _line(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self._dispatch(events)
            return
        field, colon, value = line.partition(b":")
        if not field and colon:
            return  # a comment
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
            if self._data_bytes > self._limit:
                raise self._too_large()
        elif field == b"event":
            self._name = value.decode(errors="replace")
        elif field == b"id":
            if b"\0" not in value:
                self.last_id = value.decode(errors="replace")
        elif field == b"retry" and value.isdigit() and len(value) <= _MOST_DIGITS:
            self.retry_ms = int(value)

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            data = b"\n".join(self._data)
            events.append(Event(data, self._name or "message", self.last_id))
            self._data, self._data_bytes = [], 0
        self._name = ""

    def _too_large(self) -> StreamFailed:
        return StreamFailed(
            f"got an event of more than {self._limit} bytes without an end; "
            "this is no stream of server-sent events"
        )


def encode(data: bytes, *, event_id: str | None = None) -> bytes:
    """Return a frame that dispatches these data, whatever line ends they hold.

    Args:
        data: The event's data; each of its lines gets a ``data`` line.
        event_id: The event's id, without line ends and NUL; None writes none, since many
            clients crash on ids they did not ask for (FACTS, section 3).
    """
    head = b"" if event_id is None else b"id: %b\n" % event_id.encode()
    if b"\n" in data or b"\r" in data:
        lines = b"".join(b"data: %b\n" % line for line in _LINE_END.split(data))
        return b"%b%b\n" % (head, lines)
    return b"%bdata: %b\n\n" % (head, data)
