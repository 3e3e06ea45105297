"""A stream that runs at another gateway, read here."""

from __future__ import annotations

from deltaweir.gateway.streams.publication import Owner, Publication
from deltaweir.gateway.streams.streams import Stream
from deltaweir.journal import Journal
from deltaweir.stores.valkey_journals import About, Heard


class Followed:
    """Give what is heard of a stream to its readers here.

    Args:
        stream_id: The stream.
        about: Whose it is, and who runs it.

    Attributes:
        stream: The stream, with its publication here.
        lost_since: Since when its gateway shows no sign of life, or the store does not know the
            stream, in seconds on the monotonic clock; None where all is well.
    """

    def __init__(self, stream_id: str, about: About) -> None:
        owner = Owner(about.key_id, about.user)
        self._publication = Publication(stream_id, owner, Journal())
        self.stream = Stream(stream_id, owner, None, self._publication, gateway=about.gateway)
        self.lost_since: float | None = None

    @property
    def publication(self) -> Publication:
        """Its journal and readers here."""
        return self._publication

    @property
    def ended(self) -> bool:
        """Whether all of it has come."""
        return self._publication.journal.ended

    def take(self, heard: Heard) -> None:
        """Take what has come; what had come before changes nothing."""
        publication, journal = self._publication, self._publication.journal
        frames = heard.frames
        if frames and heard.first <= journal.last:
            frames = frames[journal.last + 1 - heard.first :]
        elif frames and heard.dead and journal.last:
            while journal.last < heard.first - 1:
                journal.append(b"")  # a reader has what the store never got
        elif frames and heard.first > journal.last + 1:
            publication.skip_to(heard.first)
        publication.died = publication.died or heard.dead
        publication.frames(frames)
        if heard.ended is not None and not journal.ended:
            self.stream.told(heard.ended)
            publication.conclude()

    def lost(self, now: float, *, lost: bool) -> float:
        """Take note of whether all is well; return for how many seconds it is not.

        Args:
            now: Seconds on the monotonic clock.
            lost: Whether its gateway shows no sign of life.
        """
        if not lost:
            self.lost_since = None
            return 0.0
        self.lost_since = self.lost_since or now
        return now - self.lost_since

    def unread(self, now: float) -> float:
        """Return for how many seconds nobody has read it."""
        since = self._publication.unread_since
        return 0.0 if since is None else now - since
