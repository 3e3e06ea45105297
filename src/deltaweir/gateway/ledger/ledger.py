"""What streams tell the ledger: a row opened, attempts, an end. No stream ever waits for a disk.

Each of these puts one entry into the queue of a thread, one for each process, that writes them
in batches (`ledger_writer`). Nothing happens per chunk: about once a second the thread asks
each running stream for its tally.

**Before the first upstream byte.** `Ledger.opened` only queues the row, which takes microseconds;
it is on disk one window and one commit later. A process killed in between loses the row of a
stream that had just begun. Whoever pays for the upstream waits for `Handle.durable` instead,
off the loop: asking for it cuts the window short, so that it costs one commit, which streams that
begin together share. For the embedded model queueing is enough: what dies with the process
has cost nothing.

**When the disk is slow, full or locked**, streams go on, and entries wait in memory; those for a
database that is away wait in a queue on disk (`spooled`), and in memory once that is full. A row in
that queue counts as being on disk. When too many wait in memory, new streams are not queued: their
handles keep what they are told, and try again with each entry. A stream that finds no room even at
its end is lost; it is counted in `Ledger.lost` and logged. Streams once queued are never given up
while the process lives; they add at most their attempts and their ends to the queue.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Self

from deltaweir.accounts import Attempt, Closed, Entry, Opened, Tally
from deltaweir.errors import DeltaweirError
from deltaweir.gateway.config.ledger import LedgerConfig, ledger_path
from deltaweir.gateway.ledger.reading import in_postgres
from deltaweir.gateway.ledger.spooled import SpooledStore
from deltaweir.gateway.ledger.writer import Pace, Store, Writer
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.ledger_columns import RunningRow
from deltaweir.stores.spool import Spool
from deltaweir.stores.sqlite import SqliteLedger
from deltaweir.usage_report import Line

_BUSY_S = 1.0  # shorter than `close` waits; the writer tries again by itself
_LEASED = Pace(look_s=3.0, batch=2000)
"""A look for the dead is a sign of life as well, for which a fifth of a lease is often enough; a
trip over a network may take as many entries as have come."""

_settling = threading.RLock()  # a future's callbacks run inside it


class Ledger:
    """Take what streams tell, and write it in the background.

    Args:
        store: Where to write; closed with the ledger.
        clock: Seconds since 1970.
        pace: How often the thread does what.
        waiting: Entries that may wait before new streams are not queued any more.

    It may be used from any thread, of the process that made it only.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float] = time.time,
        pace: Pace = Pace(),
        waiting: int = 100_000,
    ) -> None:
        self._store = store
        self._spooled = store if isinstance(store, SpooledStore) else None
        self._writer = Writer(store, clock=clock, pace=pace)
        self._most = waiting
        self._process = os.getpid()
        self._closed = False
        atexit.register(self.close)

    @classmethod
    def open(
        cls, config: LedgerConfig | str, *, clock: Callable[[], float] = time.time
    ) -> Ledger | None:
        """Return the ledger that a configuration names; dead processes' rows are closed then.

        A database that cannot be reached is none the less returned: what is told waits for it.

        Args:
            config: The table ``[ledger]``, or its ``url`` alone.
            clock: Seconds since 1970.

        Raises:
            InvalidRequest: The URL names no ledger that is supported.
            LedgerUnavailable: The ledger's file cannot be opened, or is damaged or too new.
            LedgerMisconfigured: The database refuses us, for what only who configured it can mend.
        """
        told = LedgerConfig(url=config) if isinstance(config, str) else config
        if not told.address:
            return None
        if told.remote:
            most = int(told.spool_mib * 2**20)
            spool = Spool(Path(told.spool).absolute(), most_bytes=most) if told.spool else None
            spooled = SpooledStore(in_postgres(told.address), spool)
            spooled.open(clock())
            return cls(spooled, clock=clock, pace=_LEASED)
        path = ledger_path(told.address)
        store = SqliteLedger(path if path == ":memory:" else Path(path), busy_s=_BUSY_S)
        store.close_dead(clock())
        return cls(store, clock=clock)

    @property
    def lost(self) -> int:
        """How many streams were not recorded, or not to their end, since the ledger was opened."""
        return self._writer.lost + (self._spooled.lost if self._spooled else 0)

    @property
    def waiting(self) -> int:
        """How many entries wait to be written, in memory and on disk."""
        return self._writer.waiting + (self._spooled.waiting if self._spooled else 0)

    @property
    def unavailable_since(self) -> float | None:
        """Since when the ledger cannot be written, in seconds since 1970; None while it can."""
        since = self._spooled.unavailable_since if self._spooled else None
        return since or self._writer.refused_since

    @property
    def full(self) -> bool:
        """Whether the ledger cannot be written, and nothing more can be kept for it."""
        return self._writer.refused_since is not None and self._writer.waiting >= self._most

    def opened(self, entry: Opened, tally: Callable[[], Tally]) -> Handle:
        """Queue a stream's row, and return the handle that must end it.

        Args:
            entry: How the stream begins.
            tally: Returns what it has used so far. The writer's thread calls it about once a
                second until the stream is closed, and perhaps once after: it must be quick,
                change nothing, and bear that the stream goes on meanwhile.

        Raises:
            LedgerUnavailable: The ledger is closed, or was made before a fork.
        """
        if self._closed or self._process != os.getpid():
            raise LedgerUnavailable("this ledger is closed, or belongs to another process")
        return Handle(self._writer, entry, tally=tally, most=self._most)

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
        """Return what was used, as far as it is on disk; blocks.

        Arguments and errors as for `deltaweir.stores.sqlite.SqliteLedger.usage`.
        """
        return self._store.usage(
            group_by=group_by, since=since, until=until, user=user, key_id=key_id, most=most
        )

    def running(self, most: int) -> list[RunningRow]:
        """Return the streams that other processes run, the newest first; blocks.

        Arguments and errors as for `deltaweir.stores.sqlite.SqliteLedger.running`.
        """
        return self._store.running(most)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was told before is on disk; return whether it is.

        Args:
            timeout_s: Seconds to wait at most.
        """
        if self._closed or self._process != os.getpid():
            return True
        return self._writer.flush(timeout_s)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what is queued and let go of the store; return whether all was written.

        What could not be written in time is counted in `lost`. Streams that are still open
        count as dead from now on.

        Args:
            timeout_s: Seconds to wait at most for the writing.
        """
        if self._closed or self._process != os.getpid():
            return True
        self._closed = True
        atexit.unregister(self.close)
        return self._writer.stop(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Handle:
    """One stream's row, while the stream runs; made by `Ledger.opened`.

    Its methods never wait, and may be called from one thread at a time.

    Attributes:
        stream_id: The stream's id.
        tally: What it has used so far.
    """

    __slots__ = (
        "_closed",
        "_durable",
        "_most",
        "_outcome",
        "_untold",
        "_writer",
        "stream_id",
        "tally",
    )

    def __init__(
        self, writer: Writer, opened: Opened, *, tally: Callable[[], Tally], most: int
    ) -> None:
        self.stream_id = opened.stream_id
        self.tally = tally
        self._writer = writer
        self._most = most
        self._untold: list[Entry] | None = []  # None once the stream is queued
        self._durable: Future[None] | None = None
        self._outcome: DeltaweirError | bool = False  # True once the row is on disk
        self._closed = False
        self._tell(opened)

    @property
    def durable(self) -> Future[None]:
        """Done as soon as the row is on disk; asking for it hastens that.

        Wait for it with a time limit, since it stays undone while the disk cannot be written. It
        raises `LedgerUnavailable` when the row was given up. In a coroutine: ``await
        asyncio.wait_for(asyncio.wrap_future(handle.durable), limit_s)``.
        """
        with _settling:
            if self._durable is None:
                self._durable = Future()
                self._durable.set_running_or_notify_cancel()  # one waiter cannot cancel all
                self._resolve()
        self._writer.hurry()
        return self._durable

    def attempt(self, attempt: Attempt) -> None:
        """Add an attempt, or its end."""
        self._tell(attempt)

    def close(self, closed: Closed) -> None:
        """End the row; all calls after the first do nothing."""
        if self._closed:
            return
        self._closed = True
        self._tell(closed)
        if self._untold:
            self._untold.clear()
            self._writer.lose(1)
            self.settle(LedgerUnavailable("the ledger's queue was full until the stream's end"))

    def settle(self, error: DeltaweirError | None) -> None:
        """Learn from the writer that the row is on disk, or why it never will be."""
        with _settling:
            if self._outcome is False:
                self._outcome = error or True
                self._resolve()

    def _tell(self, entry: Entry) -> None:
        """Queue an entry, after those that found no room before."""
        if self._untold is None:
            self._writer.put(self, entry)
            return
        self._untold.append(entry)
        if self._writer.waiting < self._most:
            entries, self._untold = self._untold, None
            for one in entries:
                self._writer.put(self, one)

    def _resolve(self) -> None:
        if self._durable is None or self._outcome is False:
            return
        if isinstance(self._outcome, DeltaweirError):
            self._durable.set_exception(self._outcome)
        else:
            self._durable.set_result(None)
