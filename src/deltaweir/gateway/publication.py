"""A stream that many read: its journal, and those who are served from it at this moment.

Readers never pause the source. One that has all and takes all is *live*: what comes is written to
it in the same call, for all live readers the same bytes. One that is too slow is left behind, and
goes on from the journal once it has caught up with its own connection; when what it lacks has left
the journal, its connection is broken off, and it is told so when it comes back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from deltaweir.gateway.outflow import Outflow
from deltaweir.journal import Journal, numbered

BATCH_BYTES = 64 * 1024
"""Bytes that a reader is given of a journal at once."""
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
        self._id = stream_id.encode()
        self._readers: dict[JournalReader, None] = {}
        self._direct: dict[JournalReader, _Write] = {}
        self._writes: tuple[_Write, ...] = ()
        self._indirect: dict[JournalReader, Outflow] = {}
        self._seen = journal.last
        self._left = False

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

    def behind(self, reader: JournalReader) -> None:
        """Write nothing to a reader: it goes on from the journal later."""
        if self._direct.pop(reader, None) is not None:
            self._writes = (*self._direct.values(),)
        self._indirect.pop(reader, None)

    def leave(self, reader: JournalReader) -> None:
        """Forget a reader."""
        self.behind(reader)
        self._readers.pop(reader, None)
        self._left = self._left or reader.gone
        if not self._readers:
            self.unread_since = time.monotonic()

    def _publish(self, frame: bytes) -> None:
        number = self.journal.append(frame)
        writes = self._writes  # a reader may leave it meanwhile, with this frame
        if writes:
            head = b"id: %b:%d\n" % (self._id, number)
            piece = b"%x\r\n%b%b\r\n" % (len(head) + len(frame), head, frame)
            for write in writes:
                write(piece)
        if self._indirect:
            self._publish_indirectly(numbered(self._id, number, frame))

    def _publish_indirectly(self, text: bytes) -> None:
        for reader, outflow in [*self._indirect.items()]:
            outflow.write(text)
            if outflow.straight and reader in self._indirect:
                del self._indirect[reader]
                self.live(reader, outflow)


class JournalReader:
    """One reader of a publication; what its lane's feeder is.

    Args:
        publication: What it reads.
        after: The number of the last frame that it has.

    Attributes:
        done: Set when all was written, or its client has gone.
        gone: Whether its client has gone.
    """

    def __init__(self, publication: Publication, after: int = 0) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone = False
        self._publication = publication
        self._journal = publication.journal
        self._has = after
        self._outflow: Outflow | None = None
        self._live = self._held = False

    @property
    def begun(self) -> bool:
        """Whether the status of its answer is out."""
        return self._outflow is not None and self._outflow.begun

    def read(self, outflow: Outflow) -> None:
        """Begin: write what it lacks, and what comes."""
        self._outflow = outflow
        self._publication.enter(self)
        if outflow.gone:
            self.reader_left()
        else:
            self._catch_up(outflow)

    async def end(self) -> None:
        """End the answer; the client has all, or has gone."""
        if self._outflow is not None:
            await self._outflow.end()

    def look(self) -> None:
        """Go on, or break off, if there is a reason that nobody has told of."""
        if self._outflow is None or self.done.done():
            return
        if self._live and not self._journal.ended:
            return
        if not (self._live or self._journal.keeps(self._has)):
            self._outflow.lane.abort()
        elif not self._held or self._live:
            self._catch_up(self._outflow)

    def awake(self) -> None:
        """Send a heartbeat, unless what waits already keeps the connection awake."""
        if self._outflow is not None and not (self._held or self.done.done()):
            self._outflow.heartbeat()

    # what follows is called by the lane

    def hold(self) -> None:
        """Fall behind: the client reads too slowly."""
        self._held = True
        self._leave_live()

    def go_on(self) -> None:
        """Catch up."""
        self._held = False
        self.look()

    def reader_left(self) -> None:
        """End: the client has gone, or takes nothing."""
        self.gone = True
        self._end()

    def _catch_up(self, outflow: Outflow) -> None:
        self._leave_live()
        journal, publication = self._journal, self._publication
        while not (self._held or self.gone) and self._has < journal.last:
            frames = journal.after(self._has, BATCH_BYTES)
            name, first = publication.stream_id.encode(), self._has + 1
            self._has += len(frames)  # writing may come back to us
            outflow.write(
                b"".join(numbered(name, first + at, frame) for at, frame in enumerate(frames))
            )
        if self._held or self.gone:
            return
        if journal.ended:
            self._end()
        elif self._has == journal.last:  # else it has frames that are not known here yet
            self._live = True
            publication.live(self, outflow)

    def _leave_live(self) -> None:
        if self._live:
            self._live = False
            self._has = self._journal.last
            self._publication.behind(self)

    def _end(self) -> None:
        self._live = False
        self._publication.leave(self)
        if not self.done.done():
            self.done.set_result(None)
