"""Journals in this process's memory, for one process alone; bounded in bytes and in age."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from deltaweir.journal import MOST_BYTES, Journal

LEAST_BYTES = 64 * 1024
"""What a running stream's journal keeps at least, however many there are."""


class Kept(Protocol):
    """What a journal belongs to."""

    @property
    def journal(self) -> Journal:
        """Its frames."""


KeptT = TypeVar("KeptT", bound=Kept)


class MemoryJournals(Generic[KeptT]):
    """Keep journals by their streams' ids.

    Args:
        ttl_s: How long one is kept after its stream's end, in seconds.
        most_bytes: How many bytes all of them may have; those that ended first go first, and
            running ones become shorter.
    """

    def __init__(self, *, ttl_s: float, most_bytes: int) -> None:
        self.ttl_s = ttl_s
        self.most_bytes = most_bytes
        self._running: dict[str, KeptT] = {}
        self._ended: dict[str, tuple[float, KeptT]] = {}  # in the order of their ends

    def __len__(self) -> int:
        return len(self._running) + len(self._ended)

    @property
    def bytes(self) -> int:
        """Bytes of all that is kept."""
        return self._running_bytes + self._ended_bytes

    def begin(self, stream_id: str, kept: KeptT) -> None:
        """Keep a stream that runs."""
        self._running[stream_id] = kept

    def end(self, stream_id: str, now: float) -> None:
        """Keep a stream for a while longer, since it has ended.

        Args:
            stream_id: The stream.
            now: Seconds, of a clock that nobody sets.
        """
        kept = self._running.pop(stream_id, None)
        if kept is not None and self.ttl_s > 0:
            self._ended[stream_id] = now, kept

    def get(self, stream_id: str) -> KeptT | None:
        """Return what is kept of a stream; None for nothing."""
        kept = self._running.get(stream_id)
        if kept is None and stream_id in self._ended:
            kept = self._ended[stream_id][1]
        return kept

    def tidy(self, now: float) -> None:
        """Forget what is too old or too much; about twice a second.

        Args:
            now: Seconds, of the same clock.
        """
        while self._ended:
            stream_id, (at, _) = next(iter(self._ended.items()))
            if now - at < self.ttl_s:
                break
            del self._ended[stream_id]
        running, ended = self._running_bytes, self._ended_bytes
        while self._ended and running + ended > self.most_bytes:
            stream_id = next(iter(self._ended))
            ended -= self._ended.pop(stream_id)[1].journal.bytes
        if self._running:
            fair = max(LEAST_BYTES, self.most_bytes // len(self._running))
            bound = MOST_BYTES if running <= self.most_bytes else min(MOST_BYTES, fair)
            for one in self._running.values():
                one.journal.bound(bound)

    @property
    def _running_bytes(self) -> int:
        return sum(one.journal.bytes for one in self._running.values())

    @property
    def _ended_bytes(self) -> int:
        return sum(one.journal.bytes for _, one in self._ended.values())
