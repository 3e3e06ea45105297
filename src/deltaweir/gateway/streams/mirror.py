"""What the streams of this gateway have new for a store, and how far it is written.

Streams that cannot be resumed are told twice, at their beginning and their end; those that can are
looked through for new frames. What has ended is remembered for as long as the store keeps it: a
store may lose what it was told last, and then has to be told again.
"""

from __future__ import annotations

from collections.abc import Sequence

from deltaweir.gateway.streams.streams import Stream
from deltaweir.journal import Journal
from deltaweir.stores.valkey_journals import MISSING, REFUSED, About, News

BATCH_BYTES = 2**20
"""Bytes of frames that are written at once."""
BATCH_STREAMS = 500
"""Streams that are written at once; the store does nothing else meanwhile."""


class _Copy:
    """One stream, and what the store has of it."""

    __slots__ = ("about", "at", "known", "stream")

    def __init__(self, stream: Stream, about: About) -> None:
        self.stream = stream
        self.about = about
        self.at = 0
        """The number of the last frame that is written."""
        self.known = False

    @property
    def journal(self) -> Journal:
        """Its frames; none where it cannot be resumed."""
        publication = self.stream.publication
        return _EMPTY if publication is None else publication.journal


_EMPTY = Journal()


class Mirror:
    """Tell what is to be written of all streams.

    Args:
        gateway: The id of this gateway.
        ttl_s: How long the store keeps a stream after its end, in seconds.
        most_bytes: What journals of streams that have ended may take here; those that ended first
            are told no more.
    """

    def __init__(self, gateway: str, *, ttl_s: float, most_bytes: int) -> None:
        self._gateway = gateway
        self._ttl_s = ttl_s
        self._most_bytes = most_bytes
        self._copies: dict[str, _Copy] = {}
        self._due: dict[str, _Copy] = {}
        """Those whose beginning or end is to be told."""
        self._kept: dict[str, _Copy] = {}
        """Those that run and have frames."""
        self._ended: dict[str, float] = {}
        """When those ended that have, in the order of their ends."""
        self._ended_bytes = 0

    @property
    def streams(self) -> int:
        """How many streams are not written to their end."""
        return len(self._due) + sum(one not in self._due for one in self._kept)

    def began(self, stream: Stream) -> None:
        """Write a stream from now on."""
        about = About(
            gateway=self._gateway,
            key_id=stream.owner.key_id,
            user=stream.owner.user,
            resumable=stream.publication is not None,
        )
        copy = _Copy(stream, about)
        self._copies[stream.stream_id] = self._due[stream.stream_id] = copy
        if stream.publication is not None:
            self._kept[stream.stream_id] = copy

    def ended(self, stream: Stream, now: float) -> None:
        """Write a stream's end.

        Args:
            stream: A stream of which all is known.
            now: Seconds, of a clock that nobody sets.
        """
        copy = self._copies.get(stream.stream_id)
        if copy is None:
            return
        self._kept.pop(stream.stream_id, None)
        if stream.publication is None and not copy.known:
            self._forget(stream.stream_id)  # nobody elsewhere has heard of it
            return
        self._due[stream.stream_id] = copy
        self._ended[stream.stream_id] = now
        self._ended_bytes += copy.journal.bytes

    def tidy(self, now: float) -> None:
        """Forget what ended too long ago, or is too much; about once a second."""
        for stream_id, at in [*self._ended.items()]:
            if now - at < self._ttl_s and self._ended_bytes <= self._most_bytes:
                break
            self._forget(stream_id)

    def doubt(self) -> None:
        """Tell all again, as far as it is not there: the store may have lost its last words."""
        for stream_id, copy in self._copies.items():
            copy.known = False
            self._due[stream_id] = copy

    def batch(self) -> list[News]:
        """Return what is new, as much as is written at once; then call `learned`."""
        found: list[News] = []
        size = 0
        for copies, others in ((self._due, {}), (self._kept, self._due)):
            for stream_id, copy in copies.items():
                news = None if stream_id in others else _news(stream_id, copy)
                if news is None:
                    continue
                found.append(news)
                size += len(news.frames)
                if size >= BATCH_BYTES or len(found) >= BATCH_STREAMS:
                    return found
        return found

    def learned(self, batch: Sequence[News], answers: Sequence[int]) -> None:
        """Take note of what the store has now.

        Args:
            batch: What was told.
            answers: How far each stream is written.
        """
        for news, at in zip(batch, answers, strict=True):
            copy = self._copies.get(news.stream_id)
            if copy is None:  # it has ended meanwhile, too long ago or too much
                continue
            if at == MISSING:
                copy.known, copy.at = False, news.kept - 1
            elif at == REFUSED:
                self._forget(news.stream_id)
            else:
                copy.known, copy.at = True, at
                told_end = news.ended is not None and at >= news.last
                if copy.stream.run is not None or told_end:
                    self._due.pop(news.stream_id, None)

    def _forget(self, stream_id: str) -> None:
        copy = self._copies.pop(stream_id)
        self._due.pop(stream_id, None)
        self._kept.pop(stream_id, None)
        if self._ended.pop(stream_id, None) is not None:
            self._ended_bytes -= copy.journal.bytes


def _news(stream_id: str, copy: _Copy) -> News | None:
    journal, over = copy.journal, copy.stream.run is None
    if copy.known and not over and copy.at == journal.last:
        return None
    if not journal.keeps(copy.at):
        copy.at = journal.first - 1  # the store was away for too long
    frames = journal.after(copy.at, BATCH_BYTES)
    last = copy.at + len(frames)
    return News(
        stream_id,
        first=copy.at + 1,
        frames=b"".join(frames),
        last=last,
        kept=journal.first,
        about=None if copy.known else copy.about,
        ended=copy.stream.usage() if over and last == journal.last else None,
        resumable=copy.about.resumable,
    )
