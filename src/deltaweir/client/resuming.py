"""A streamed reply that goes on by another connection when its own broke. Pure.

Until the server has offered to resume, this is an exchange like any other. From then on the
request is never sent again; what has not come is asked for at the stream's own address, after
the last event that was taken whole. Chunks that are kept back before content stay where they
are, and what a cut connection had brought of an event comes again, whole.

A *loss* is a connection that died, could not be made, or was refused for a while; losses
without a new event between them are one interruption, whose first error is raised in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from deltaweir.client.answers import pause_before_retry
from deltaweir.client.attempt import Attempt, ChunkT
from deltaweir.client.exchange import StreamExchange
from deltaweir.client.failures import unresumed
from deltaweir.client.provider import Outgoing
from deltaweir.client.resumption import PlacedDecoder, Resumption, number_of, offer_in, refused
from deltaweir.errors import ConnectionFailed, DeltaweirError, StreamFailed, StreamTruncated
from deltaweir.wire.http1 import Head

RESUME_S = 60.0
"""Seconds for which a stream is tried to be resumed without a new event, from the first loss."""

_NOT_FOUND = 404
_NOTHING_MORE = 204


class ResumingExchange(StreamExchange[ChunkT], Generic[ChunkT]):
    """The exchange of a streamed reply that is resumed where its server offers it.

    Args:
        request: What is sent first.
        kind: The chunk type.
        resumption: How the stream is asked for again.
        chance: Returns a number from 0 to 1.
        now: Returns seconds since the epoch.
        clock: Returns seconds on a monotonic clock.
        resume_s: Seconds after which an interruption without a new event is given up.

    Attributes:
        stream_id: The id in the server's offer; None without one.
        resumed_at: The number of the event with which each new connection began.
        gave_up: Why resuming was given up.
    """

    def __init__(
        self,
        request: Outgoing,
        kind: type[ChunkT],
        resumption: Resumption,
        *,
        chance: Callable[[], float],
        now: Callable[[], float],
        clock: Callable[[], float],
        resume_s: float = RESUME_S,
    ) -> None:
        super().__init__(request, kind, chance=chance, now=now)
        self.stream_id: str | None = None
        self.resumed_at: tuple[int, ...] = ()
        self.gave_up: DeltaweirError | None = None
        self._resumption = resumption
        self._clock = clock
        self._resume_s = resume_s
        self._decoder = self._placed = PlacedDecoder()
        self._sought = False  # an offer, in the head of the first answer
        self._said_id: str | None = None
        self._last_word = False  # whether the stream is known to have ended
        self._taken = 0  # events, when the connection was lost
        self._lost_at: float | None = None
        self._losses = 0
        self._fault: DeltaweirError | None = None  # None: an end like any other, but too early

    @property
    def request_id(self) -> str | None:
        """The server's id of the first request, once it has said one."""
        return self._said_id or super().request_id

    @property
    def stopping(self) -> Outgoing | None:
        """The request that ends the generation; None where it has ended, or goes on for others."""
        if self.stream_id is None or not self._resumption.stops:
            return None
        return self._resumption.stopping(self.stream_id)

    @property
    def generating(self) -> bool:
        """Whether the server may still be generating, for all that is known."""
        return not (self.said_done or self._last_word)

    @property
    def patience_s(self) -> float | None:
        """Seconds that are left for an answer to begin, when one is due; None for any time."""
        if self._lost_at is None or self.head is not None:
            return None
        return max(0.0, self._lost_at + self._resume_s - self._clock())

    def start(self) -> bytes:
        """Begin an attempt, or go on after a loss; send what is returned."""
        if self.stream_id is None:
            self._sought = False
            raw = super().start()
            self._decoder = self._placed = PlacedDecoder()
            return raw
        self._renew()  # but for chunks that are kept back, and usage
        return self._resumption.reading(self.stream_id, self._taken).raw

    def feed(self, data: bytes) -> list[ChunkT]:
        """Take the connection's next bytes; return the chunks they complete.

        Raises:
            DeltaweirError: As for any exchange, or the stream could not be resumed.
        """
        chunks: list[ChunkT] = []
        try:
            pieces = self._reader.feed(data)
        except StreamFailed as garbage:
            if self._offered():
                self._lost(garbage)
            elif not self._again():
                raise
            return self._left(chunks)
        self._offered()
        try:
            self._take(pieces, chunks)
        except DeltaweirError as error:
            self._failed(error, chunks)
        else:
            self._note_progress()
        return self._left(chunks)

    def eof(self) -> list[ChunkT]:
        """Take note that the peer closed the connection; return the last chunks.

        Raises:
            DeltaweirError: As for any exchange, or the stream could not be resumed.
        """
        if not self._offered():
            return super().eof()
        cut: DeltaweirError = StreamTruncated("the server closed the connection before [DONE]")
        try:
            self._reader.eof()
        except DeltaweirError as error:
            cut = error
        if self.head is None:
            self._lost(self._no_answer(StreamTruncated(cut.message)))
        elif not self.answered:
            self._refuse()
        elif self._page:
            self._failed(self._no_stream(), [])
        else:
            self._lost(cut, ends=self._settled and isinstance(cut, StreamTruncated))
        return self._left([])

    def broke(self, error: DeltaweirError) -> None:
        """Take note that the connection failed, or could not be made.

        Raises:
            DeltaweirError: The error, when nothing is sent again.
        """
        if self._offered():
            self._lost(error, ends=self._settled)
        else:
            super().broke(error)

    def stalled(self, error: DeltaweirError) -> bool:
        """Take note that nothing has come for too long; tell whether to ask once more.

        Args:
            error: What is raised if not.

        Raises:
            DeltaweirError: The error, if the stream could not be resumed.
        """
        if not self._offered():
            return False
        if self.pause_s is None and not self.ended and self.failure is None:
            self._lost(error)  # else the end is at hand, and is what counts
        return True

    def give_up(self, why: DeltaweirError) -> None:
        """End, since the stream cannot be resumed.

        Args:
            why: What resuming said.

        Raises:
            DeltaweirError: What the interruption began with, unless that was a mere end.
        """
        self.gave_up, self.pause_s = why, None
        if self._fault is not None:
            fault = unresumed(self._fault, why)
            raise self._final(fault) from why
        self.ended = True

    def _offered(self) -> bool:
        """Tell whether the stream may be resumed; look for the offer once it can be there."""
        if self.stream_id is None and not self._sought and self.answered and self.head is not None:
            self._sought = True
            self.stream_id = offer_in(self.head)
            if self.stream_id is not None:
                self._said_id = super().request_id
        return self.stream_id is not None

    def _again(self, head: Head | None = None, code: str | None = None) -> bool:
        return self.stream_id is None and super()._again(head, code)

    def _lost(self, error: DeltaweirError, *, ends: bool = False, head: Head | None = None) -> None:
        """Take note of a loss: try again after a pause, at once at first, or give up.

        Args:
            error: What went wrong.
            ends: Whether that alone would be an end like any other, which finish reasons judge.
            head: The head of a refusal.
        """
        self._note_progress()
        now = self._clock()
        if self._lost_at is None:
            self._fault = None if ends else error
            place = self._placed.place
            taken = self._taken if place is None else number_of(place, self.stream_id or "")
            if taken is None:  # nobody knows where to go on
                self.give_up(StreamFailed("the server numbers no events, though it offered to"))
                return
            self._lost_at, self._losses, self._taken = now, 0, taken
        left = self._lost_at + self._resume_s - now
        pause: float | None = 0.0
        if self._losses:
            pause = pause_before_retry(
                head, error.code, attempt=self._losses - 1, chance=self._chance(), now=self._now()
            )
        if pause is None:
            self.give_up(error)
        elif left <= 0:
            late = ConnectionFailed(f"given up after {self._resume_s:g} s, at last: {error}")
            late.__cause__ = error
            self.give_up(late)
        else:
            self._losses += 1
            self._renew()
            self.pause_s = min(pause, left)

    def _renew(self) -> None:
        """Forget the connection that was lost, so that nothing of it is taken for the next."""
        Attempt.start(self)
        self._page, self._sniffing = None, True
        first_id = f"{self.stream_id}:{self._taken + 1}"
        self._decoder = self._placed = PlacedDecoder(first_id)

    def _note_progress(self) -> None:
        """End an interruption by an event that came on a new connection."""
        if self._lost_at is not None and self._placed.place is not None:
            self._lost_at = self._fault = None
            self.resumed_at += (self._taken + 1,)

    def _failed(self, error: DeltaweirError, chunks: list[ChunkT]) -> None:
        """Raise what went wrong in an answer, behind the chunks before it."""
        if self.gave_up is not None:
            raise error
        if self._lost_at is not None and self._placed.place is None and not self._last_word:
            self.give_up(error)  # what answers is not the stream
            return
        self._note_progress()
        if chunks:
            self.failure = error
        elif not self._again():
            raise error

    def _left(self, chunks: list[ChunkT]) -> list[ChunkT]:
        """Return chunks, and those that were kept back if no more can come."""
        if self.ended and not self._settled:
            chunks += self._let_go()
        return chunks

    def _said(self, value: object) -> DeltaweirError:
        self._last_word = True
        return super()._said(value)

    def _completed(self, chunks: list[ChunkT]) -> None:
        if self.head is None or not self._offered():
            super()._completed(chunks)
        elif self._lost_at is not None and self.head.status == _NOTHING_MORE:
            self._last_word, self._fault = True, None
            self.give_up(StreamTruncated(f"the server has nothing after event {self._taken}"))
        else:
            early = StreamTruncated("the server's answer ended before [DONE]")
            self._lost(early, ends=self._settled)

    def _refuse(self) -> None:
        head = self.head
        if self.stream_id is None or head is None:
            super()._refuse()
            return
        self._last_word = head.status == _NOT_FOUND
        body, provider = b"".join(self._aside), self.request.provider
        self._lost(refused(head, body, last=self._taken, provider=provider), head=head)
