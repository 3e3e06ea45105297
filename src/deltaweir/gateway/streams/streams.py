"""The streams of a gateway by their ids: for whoever reads, stops or asks about one.

Every stream is known while it runs; one that may be resumed is kept for a while longer. A stream
is shown to its owner alone: for all others there is none of its id.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from deltaweir.endings import Ending
from deltaweir.errors import InvalidRequest, NotFoundError
from deltaweir.gateway.keys.access import Caller
from deltaweir.gateway.streams.publication import Owner, Publication
from deltaweir.journal import Journal
from deltaweir.stores.memory import MemoryJournals

if TYPE_CHECKING:
    from deltaweir.gateway.ledger.rows import StreamRow

_NONE: dict[str, Any] = {"usage": None, "cost_usd": None, "source": None, "ending": None}


class Stoppable(Protocol):
    """A stream's run, as far as it is steered from here."""

    @property
    def ending(self) -> Ending | None:
        """How it ended; None while it runs."""

    def abort(self, ending: Ending) -> None:
        """End it."""

    def shown_usage(self) -> dict[str, Any]:
        """Return usage, cost and source so far, as clients are shown them."""


class Stream:
    """One stream, for whoever has its id.

    Args:
        stream_id: The id.
        owner: Whose it is.
        run: What makes it; None where another process does.
        publication: Its journal and readers; None where it cannot be resumed.
        waits: Whether it goes on for a while only when nobody reads it.
        gateway: The id of the gateway that runs it; None for this one.
        row: Its row in the ledger; None where another process does.
    """

    __slots__ = ("_shown", "gateway", "owner", "publication", "row", "run", "stream_id", "waits")

    def __init__(
        self,
        stream_id: str,
        owner: Owner,
        run: Stoppable | None,
        publication: Publication | None,
        *,
        waits: bool = False,
        gateway: str | None = None,
        row: StreamRow | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.owner = owner
        self.run = run
        self.publication = publication
        self.waits = waits
        self.gateway = gateway
        self.row = row
        self._shown = _NONE

    @property
    def journal(self) -> Journal:
        """Its frames; only where it can be resumed."""
        assert self.publication is not None
        return self.publication.journal

    def usage(self) -> dict[str, Any]:
        """Return ``{"usage", "cost_usd", "source", "ending"}`` so far."""
        if self.run is not None:
            ending = self.run.ending
            self._shown = {
                **self.run.shown_usage(),
                "ending": None if ending is None else ending.value,
            }
        return self._shown

    def told(self, usage: dict[str, Any]) -> None:
        """Take the last figures from who ran it."""
        self._shown = usage

    def over(self) -> None:
        """Keep the last figures and let go of the run, which has ended."""
        self.usage()
        self.run = self.row = None


class Streams:
    """Know the streams of one process.

    Args:
        ttl_s: How long a stream that may be resumed is kept after its end, in seconds.
        most_bytes: What all journals may have.
        wait_s: How long a stream that nobody reads goes on, where it was asked to wait.

    Attributes:
        on_begin: Called with each stream that begins.
        on_end: Called with each stream that has ended.
    """

    def __init__(self, *, ttl_s: float, most_bytes: int, wait_s: float) -> None:
        self.wait_s = wait_s
        self.on_begin: Callable[[Stream], object] = lambda _stream: None
        self.on_end: Callable[[Stream], object] = lambda _stream: None
        self.journals = MemoryJournals[Stream](ttl_s=ttl_s, most_bytes=most_bytes)
        self._running: dict[str, Stream] = {}

    def begin(self, stream: Stream) -> None:
        """Know a stream from now on."""
        self._running[stream.stream_id] = stream
        self.on_begin(stream)
        if stream.publication is not None:
            self.journals.begin(stream.stream_id, stream)

    def end(self, stream_id: str) -> None:
        """Take note that a stream has ended, and all is known of it; calls may repeat."""
        stream = self._running.pop(stream_id, None)
        if stream is None:
            return
        stream.over()
        self.on_end(stream)
        if stream.publication is not None:
            self.journals.end(stream_id, time.monotonic())

    def get(self, stream_id: str) -> Stream | None:
        """Return a stream of this process; None where there is none of this id."""
        return self._running.get(stream_id) or self.journals.get(stream_id)

    @property
    def running(self) -> list[Stream]:
        """Those that run now, in the order of their beginnings; from any thread."""
        return [*self._running.values()]

    def read_elsewhere(self, stream_ids: Iterable[str]) -> None:
        """Take note that streams are read at another gateway at this moment."""
        for stream_id in stream_ids:
            stream = self._running.get(stream_id)
            if stream is not None and stream.publication is not None:
                stream.publication.read_elsewhere(time.monotonic())

    def look_after(self, now: float, heartbeat_s: float) -> None:
        """Keep readers awake, end what nobody reads, and forget what is old; twice a second.

        Args:
            now: Seconds on the monotonic clock.
            heartbeat_s: Silence after which a heartbeat is sent.
        """
        for stream in [*self._running.values()]:
            publication, run = stream.publication, stream.run
            if publication is None:
                continue
            publication.beat(now, heartbeat_s)
            since = publication.unread_since
            if stream.waits and since is not None and now - since >= self.wait_s and run:
                run.abort(Ending.ABANDONED)
        self.journals.tidy(now)


def may(caller: Caller, stream: Stream, *, as_admin: bool) -> bool:
    """Tell whether somebody may do something with a stream.

    Args:
        caller: Who.
        stream: With which.
        as_admin: Whether keys for administrators may do it with all streams.
    """
    admin = as_admin and caller.key is not None and caller.key.admin
    return admin or stream.owner == owner_of(caller)


def owner_of(caller: Caller) -> Owner:
    """Return whose a stream is that somebody asks for."""
    return Owner(None if caller.key is None else caller.key.id, caller.user)


def no_stream() -> NotFoundError:
    """Return what is said where there is no stream, or none that somebody may see."""
    return NotFoundError(
        "there is no such stream here: its id is another, it was not asked to be resumed, it ended "
        "too long ago, or the server was started anew since",
        code="stream_not_found",
    )


def not_resumable() -> InvalidRequest:
    """Return what is said where processes share nothing in which a stream could be kept."""
    return InvalidRequest(
        "this server has several workers and nothing in which they share streams: resume needs "
        '[store] url, such as "valkey://127.0.0.1:6379/0", or one worker',
        param="deltaweir.resume",
        code="resume_needs_store",
    )
