"""A stream that many read: its journal, and those who are served from it at this moment.

Readers (`journal_reader`) never pause the source. What comes is written to all live ones in the
same call, the same bytes to each.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from deltaweir.gateway.lanes.outflow import Outflow
from deltaweir.journal import Journal, numbered

if TYPE_CHECKING:
    from deltaweir.gateway.streams.reader import JournalReader

_Write = Callable[[bytes], object]


class Owner(NamedTuple):
    """Whom a stream belongs to: who may read, stop and see it."""

    key_id: str | None = None
    user: str | None = None
    """Who asked, as the host of the gateway knows them."""


class Publication:
    """One stream's journal and its readers.

    Args:
        stream_id: The stream's id.
        owner: Whose it is.
        journal: What was sent of it; it may have frames already.

    Attributes:
        unread_since: Since when nobody reads it, in seconds on the monotonic clock; None while
            somebody does.
        died: Whether its run died, and what a reader has may be more than was ever written here.
        opened: When the first live reader was sent a frame, likewise; None before.
    """

    lasting = True
    straight = True
    gone = False

    def __init__(self, stream_id: str, owner: Owner, journal: Journal) -> None:
        self.stream_id = stream_id
        self.owner = owner
        self.journal = journal
        self.last = time.monotonic()
        self.unread_since: float | None = self.last
        self.opened: float | None = None
        self.died = False
        self._id = stream_id.encode()
        self._piece = b"%%x\r\nid: %b:%%d\n%%b\r\n" % self._id  # an id has no sign of percent
        self._around = self._longer = 0
        self._readers: dict[JournalReader, None] = {}
        self._direct: dict[JournalReader, _Write] = {}
        self._writes: tuple[_Write, ...] = ()
        self._indirect: dict[JournalReader, Outflow] = {}
        self._ahead: dict[JournalReader, None] = {}
        self._seen = journal.last
        self._left = self._heard_of = False

    @property
    def begun(self) -> bool:
        """Whether something of the answer is on its way, or was; see `Outlet`."""
        return bool(self.journal.frames or self._left or any(one.begun for one in self._readers))

    @property
    def readers(self) -> int:
        """How many read it at this moment."""
        return len(self._readers)

    # what follows is called by the run

    def frames(self, frames: Sequence[bytes]) -> None:
        """Keep frames, and write them to all live readers."""
        for frame in frames:
            self._publish(frame)
        for reader in [*self._ahead]:
            reader.look()

    def piece(self, data: bytes, /) -> None:
        """Keep the frame that is a piece of a chunked body, and write it likewise."""
        self._publish(data[data.index(b"\n") + 1 : -2])

    def pieces(self, pieces: Sequence[bytes]) -> None:
        """Keep such frames, and write them likewise."""
        for piece in pieces:
            if piece:
                self.piece(piece)

    def heartbeat(self) -> None:
        """Do nothing: `beat` is called for all publications."""

    def conclude(self) -> None:
        """End the journal, and every reader that has all."""
        self.journal.end()
        for reader in [*self._readers]:
            reader.look()

    # what follows is called by the gateway

    def beat(self, now: float, heartbeat_s: float) -> None:
        """Keep idle connections awake, and break those off that lost what they lack.

        Args:
            now: Seconds on the monotonic clock; a few times in each ``heartbeat_s``.
            heartbeat_s: Silence after which a heartbeat is sent.
        """
        if self.journal.last != self._seen:
            self._seen, self.last = self.journal.last, now
        idle = now - self.last >= heartbeat_s
        if idle:
            self.last = now
        for reader in [*self._readers]:
            reader.look()
            if idle:
                reader.awake()

    def read_elsewhere(self, now: float) -> None:
        """Take note that somebody reads it at another gateway.

        Args:
            now: Seconds on the monotonic clock.
        """
        if self.unread_since is not None:
            self.unread_since = now

    def skip_to(self, number: int) -> None:
        """Break off all readers, since frames before a number are lost."""
        for reader in [*self._readers]:
            reader.abort()
        self.journal.skip_to(number)

    @property
    def furthest(self) -> int:
        """The number of the last frame that any reader has."""
        return max((reader.has for reader in self._readers), default=0)

    # what follows is called by readers

    def enter(self, reader: JournalReader) -> None:
        """Take note of a reader."""
        self._readers[reader] = None
        self.unread_since = None

    def live(self, reader: JournalReader, outflow: Outflow) -> None:
        """Write what comes to a reader who has all."""
        if outflow.straight:
            self._direct[reader] = outflow.piece
            self._writes = (*self._direct.values(),)
            self.opened = self.opened or outflow.opened
        else:
            self._indirect[reader] = outflow

    def ahead(self, reader: JournalReader) -> None:
        """Call a reader that has more than is known here, whenever frames come."""
        self._ahead[reader] = None

    def behind(self, reader: JournalReader) -> None:
        """Write nothing to a reader: it goes on from the journal later."""
        self._ahead.pop(reader, None)
        if self._direct.pop(reader, None) is not None:
            self._writes = (*self._direct.values(),)
        self._indirect.pop(reader, None)

    def leave(self, reader: JournalReader) -> None:
        """Forget a reader."""
        self.behind(reader)
        self._readers.pop(reader, None)
        self._left = self._left or reader.gone
        self._heard_of = self._heard_of or reader.begun
        if not self._readers:
            # nobody can come back who was never told its id
            self.unread_since = time.monotonic() if self._heard_of else -math.inf

    def _publish(self, frame: bytes) -> None:
        number = self.journal.append(frame)
        writes = self._writes  # a reader may leave it meanwhile, with this frame
        if writes:
            if number >= self._longer:
                self._lengthen(number)
            piece = self._piece % (self._around + len(frame), number, frame)
            for write in writes:
                write(piece)
        if self._indirect:
            self._publish_indirectly(numbered(self._id, number, frame))

    def _lengthen(self, number: int) -> None:
        """Know how many bytes are around a frame with a number, up to the next power of ten."""
        self._around = len(numbered(self._id, number, b"-")) - 1
        self._longer = 10 ** len(str(number))

    def _publish_indirectly(self, text: bytes) -> None:
        for reader, outflow in [*self._indirect.items()]:
            outflow.write(text)
            if outflow.straight and reader in self._indirect:
                del self._indirect[reader]
                self.live(reader, outflow)
