"""What the streams of this gateway have new for a store, and how far it is written. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from deltaweir.gateway.streams import Stream
from deltaweir.journal import Journal
from deltaweir.stores.valkey_journals import MISSING, REFUSED, About, News

BATCH_BYTES = 2**20
"""Bytes of frames that are written at once."""


class _Copy:
    """One stream, and what the store has of it."""

    __slots__ = ("about", "at", "known", "stream")

    def __init__(self, stream: Stream, about: About) -> None:
        self.stream = stream
        self.about = about
        self.at = 0
        """The number of the last frame that is written."""
        self.known = False


class Mirror:
    """Tell what is to be written of all streams.

    Args:
        gateway: The id of this gateway.
    """

    def __init__(self, gateway: str) -> None:
        self._gateway = gateway
        self._copies: dict[str, _Copy] = {}

    @property
    def streams(self) -> int:
        """How many streams are not written to their end."""
        return len(self._copies)

    def began(self, stream: Stream) -> None:
        """Write a stream from now on."""
        about = About(
            gateway=self._gateway,
            key_id=stream.owner.key_id,
            user=stream.owner.user,
            resumable=stream.publication is not None,
        )
        self._copies[stream.stream_id] = _Copy(stream, about)

    def batch(self) -> list[News]:
        """Return what is new, as much as is written at once; then call `learned`."""
        found: list[News] = []
        size = 0
        for stream_id, copy in self._copies.items():
            publication = copy.stream.publication
            news = _news(stream_id, copy, _EMPTY if publication is None else publication.journal)
            if news is not None:
                found.append(news)
                size += len(news.frames)
                if size >= BATCH_BYTES:
                    break
        return found

    def learned(self, batch: Sequence[News], answers: Sequence[int]) -> None:
        """Take note of what the store has now.

        Args:
            batch: What was told.
            answers: How far each stream is written.
        """
        for news, at in zip(batch, answers, strict=True):
            copy = self._copies[news.stream_id]
            if at == MISSING:
                copy.known, copy.at = False, news.kept - 1
            elif at == REFUSED or (news.ended is not None and at >= news.last):
                del self._copies[news.stream_id]
            else:
                copy.known, copy.at = True, at


_EMPTY = Journal()
"""That of a stream that cannot be resumed."""


def _news(stream_id: str, copy: _Copy, journal: Journal) -> News | None:
    over = copy.stream.run is None
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
    )
