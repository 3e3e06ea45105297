"""The thread that writes what a ledger's streams tell.

It gathers entries for a short window, asks the running streams for their tallies when that is
due, and writes all in one transaction. What cannot be written stays in its hands, and is tried
again until it can be, or until the ledger is closed; what is given up is counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol

import msgspec

from deltaweir.accounts import Checkpoint, Closed, Entry, Opened, Tally
from deltaweir.errors import DeltaweirError
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.ledger_columns import RunningRow
from deltaweir.usage_report import Line

_log = logging.getLogger("deltaweir.gateway.ledger")

_FIRST_RETRY_S, _LAST_RETRY_S = 0.05, 2.0


class Store(Protocol):
    """Where entries go; calls block and come from one thread at a time."""

    def write(self, batch: Sequence[Entry]) -> None:
        """Write all or nothing; writing the same again changes nothing."""

    def close_dead(self, now: float) -> int:
        """Close the rows of processes that died, and return how many."""

    def usage(
        self,
        *,
        group_by: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
        user: str | None = None,
        key_id: str | None = None,
        most: int | None = None,
    ) -> list[Line]:
        """Return what was used, grouped and added up; from any thread."""

    def running(self, most: int) -> list[RunningRow]:
        """Return the open rows of other processes, the newest first; from any thread."""

    def close(self) -> None:
        """Let go of everything."""


class Stream(Protocol):
    """A stream as the writer sees it."""

    @property
    def stream_id(self) -> str:
        """Its id."""

    @property
    def tally(self) -> Callable[[], Tally]:
        """What it has used so far, asked in the writer's thread."""

    def settle(self, error: DeltaweirError | None) -> None:
        """Learn that its row is on disk, or why it never will be."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often a writer does what.

    Attributes:
        window_s: Seconds for which entries are gathered into one transaction.
        batch: Entries of one transaction at most, checkpoints aside.
        checkpoint_s: Seconds between two checkpoints of a stream; with the window and the
            writing, below the one second that is promised.
        look_s: Seconds between two looks for dead processes.
    """

    window_s: float = 0.05
    batch: int = 500
    checkpoint_s: float = 0.8
    look_s: float = 10.0


_Told = tuple[Stream, Entry]


class Writer:
    """Write to a store, in a thread that runs from now until `stop`.

    Args:
        store: Where to write; closed by the thread when it ends.
        clock: Seconds since 1970.
        pace: How often.

    Attributes:
        lost: How many streams were not recorded, or not to their end.
        refused_since: Since when the store takes nothing, in seconds since 1970; None while it
            does.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float], pace: Pace) -> None:
        self.lost = 0
        self.refused_since: float | None = None
        self._store = store
        self._clock = clock
        self._pace = pace
        self._queue = SimpleQueue[_Told | threading.Event]()
        self._hurry = threading.Event()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._losing = threading.Lock()
        self._running: dict[Stream, None] = {}  # the thread's own
        self._thread = threading.Thread(target=self._run, name="deltaweir-ledger", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many entries wait, without those of the transaction that is being written."""
        return self._queue.qsize()

    def put(self, stream: Stream, entry: Entry) -> None:
        """Queue an entry; never waits."""
        self._queue.put((stream, entry))
        if self._ended.is_set():
            self._lose_all(self._left())

    def hurry(self) -> None:
        """Write what is queued at once."""
        self._hurry.set()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was queued before is on disk; return whether it is.

        Args:
            timeout_s: Seconds to wait at most.
        """
        mark = threading.Event()
        self._queue.put(mark)
        self.hurry()
        return mark.wait(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Write what is queued and end the thread; return whether all was written.

        Args:
            timeout_s: Seconds to wait at most for the writing, and as long for the thread.
        """
        written = self.flush(timeout_s)
        self._stopping.set()
        self.hurry()
        self._queue.put(threading.Event())  # wakes the thread
        self._thread.join(timeout_s)
        return written

    def lose(self, streams: int) -> None:
        """Count streams that are given up, and say so at the first, second, fourth, ..."""
        with self._losing:
            before, self.lost = self.lost, self.lost + streams
            if before.bit_length() != self.lost.bit_length():  # never a flood of lines
                _log.error("ledger: %d streams could not be recorded so far", self.lost)

    def _run(self) -> None:
        checkpoint = look = time.monotonic()
        while not self._stopping.is_set():
            items = self._gathered(min(look, checkpoint) if self._running else look)
            told = [one for one in items if not isinstance(one, threading.Event)]
            self._follow(told)
            now = time.monotonic()
            if now >= checkpoint:
                checkpoint = now + self._pace.checkpoint_s
                told += self._checkpoints()
            if self._written(told):
                for one in items:
                    if isinstance(one, threading.Event):
                        one.set()
            if now >= look:
                look = now + self._pace.look_s
                self._bury()
        self._written(self._left())  # tried once: a write that hung may have held all this up
        self._ended.set()
        self._lose_all(self._left())
        self._store.close()

    def _gathered(self, due: float) -> list[_Told | threading.Event]:
        """Return what comes within a window of the first item; nothing when none comes."""
        try:
            items = [self._queue.get(timeout=max(0.0, due - time.monotonic()))]
        except Empty:
            return []
        if self._queue.qsize() < self._pace.batch:
            self._hurry.wait(self._pace.window_s)
        self._hurry.clear()  # before the queue is emptied: who hurries has queued first
        while len(items) < self._pace.batch:
            try:
                items.append(self._queue.get_nowait())
            except Empty:
                break
        return items

    def _follow(self, told: Iterable[_Told]) -> None:
        """Know which streams run."""
        for stream, entry in told:
            if isinstance(entry, Opened):
                self._running[stream] = None
            elif isinstance(entry, Closed):
                self._running.pop(stream, None)

    def _checkpoints(self) -> list[_Told]:
        found: list[_Told] = []
        for stream in self._running:
            try:
                tally = stream.tally()
            except Exception:  # noqa: BLE001  # a stream's own error must not end all others' writer
                _log.warning("ledger: no checkpoint of %s", stream.stream_id, exc_info=True)
                continue
            at = self._clock()
            found.append((stream, Checkpoint(stream_id=stream.stream_id, at=at, tally=tally)))
        return found

    def _written(self, told: Sequence[_Told]) -> bool:
        """Write all, however long it takes; return False when told to stop before that."""
        if not told:
            return True
        wait_s = _FIRST_RETRY_S
        while (error := self._refused(told)) is not None:
            if not isinstance(error, LedgerUnavailable):
                return self._singly(told, error)
            if wait_s == _FIRST_RETRY_S:
                _log.warning("ledger: entries wait: %s", error)
            self.refused_since = self.refused_since or self._clock()
            if self._stopping.wait(wait_s):
                self._lose_all(told)
                return False
            wait_s = min(2 * wait_s, _LAST_RETRY_S)
        if wait_s != _FIRST_RETRY_S:
            _log.warning("ledger: written again")
        self.refused_since = None
        for stream, entry in told:
            if isinstance(entry, Opened):
                stream.settle(None)
        return True

    def _refused(self, told: Sequence[_Told]) -> Exception | None:
        try:
            self._store.write([entry for _, entry in told])
        except Exception as error:  # noqa: BLE001  # one bad entry must not hold up all others
            return error
        return None

    def _singly(self, told: Sequence[_Told], error: Exception) -> bool:
        """Write one by one what was refused together, and give up what is refused alone."""
        if len(told) > 1:
            written = [self._written([one]) for one in told]
            return all(written)
        ((_, entry),) = told
        _log.error("ledger: %s of %s: %r", type(entry).__name__, entry.stream_id, error)
        self._lose_all(told)
        return True

    def _bury(self) -> None:
        try:
            closed = self._store.close_dead(self._clock())
        except Exception as error:  # noqa: BLE001  # the dead can wait, the living's rows cannot
            _log.warning("ledger: the rows of dead processes wait: %s", error)
        else:
            if closed:
                _log.warning("ledger: closed %d rows of processes that died", closed)

    def _left(self) -> list[_Told]:
        """Return what is still queued."""
        left: list[_Told] = []
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if not isinstance(item, threading.Event):
                left.append(item)
        return left

    def _lose_all(self, told: Iterable[_Told]) -> None:
        streams = {stream for stream, entry in told if not isinstance(entry, Checkpoint)}
        if streams:
            self.lose(len(streams))
        for stream in streams:
            stream.settle(LedgerUnavailable("the ledger gave the row up"))
