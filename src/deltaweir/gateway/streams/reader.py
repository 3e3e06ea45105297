"""One reader of a publication, which feeds its lane.

One that has all and takes all is *live*: what comes is written to it at once. One that is too slow
falls behind, and goes on from the journal once its connection has taken what waited for it; when
what it lacks has left the journal, its connection is broken off, and it is told so when it comes
back. One may be *ahead*, having read at another gateway what is not known here yet.
"""

from __future__ import annotations

import asyncio

from deltaweir.gateway.lanes.outflow import Outflow
from deltaweir.gateway.streams.publication import Publication
from deltaweir.journal import numbered

BATCH_BYTES = 64 * 1024
"""Bytes that a reader is given of a journal at once."""
MOST_BATCHES = 8
"""Batches that it is given in one turn of the loop."""


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

    @property
    def has(self) -> int:
        """The number of the last frame that it has."""
        return self._journal.last if self._live else self._has

    def abort(self) -> None:
        """Break the connection off."""
        if self._outflow is not None:
            self._outflow.lane.abort()

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
        if self._outflow is None or self._outflow.gone or self.done.done():
            return
        if self._live and not self._journal.ended:
            return
        if not (self._live or self._journal.keeps(self._has)):
            self.abort()
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
        self._publication.behind(self)
        journal, publication = self._journal, self._publication
        name, turns = publication.stream_id.encode(), MOST_BATCHES
        while turns and not (self._held or outflow.gone) and self._has < journal.last:
            frames, first = journal.after(self._has, BATCH_BYTES), self._has + 1
            self._has += len(frames)  # writing may come back to us
            outflow.write(
                b"".join(numbered(name, first + at, frame) for at, frame in enumerate(frames))
            )
            turns -= 1
        if not turns:
            asyncio.get_running_loop().call_soon(self.look)
            return
        if self._held or outflow.gone:
            return
        if journal.ended:
            self._end()
        elif self._has > journal.last:  # those frames come here later
            publication.ahead(self)
        else:
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
