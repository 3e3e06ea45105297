"""A ledger behind a network, with a queue on disk for what it cannot take now.

What cannot be written goes to the queue at once, so that it outlives this process too; only while
the ledger makes up its mind, for some seconds, and when the queue is full, does it wait in memory.
A thread of its own asks now and then whether the ledger is back, since a server that does not
answer takes its time. Then what waited is written, in portions between what is new.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

from deltaweir.accounts import Checkpoint, Entry
from deltaweir.stores.failures import (
    LedgerBusy,
    LedgerDamaged,
    LedgerMisconfigured,
    LedgerTooNew,
    LedgerUnavailable,
)
from deltaweir.stores.ledger_columns import RunningRow
from deltaweir.stores.spool import Portion, Spool
from deltaweir.usage_report import Line

_log = logging.getLogger("deltaweir.gateway.ledger")

PORTION = 2000
"""Entries of the queue that are written at once."""
TURN_S = 0.5
"""How long what waited is written before what is new has its turn, in seconds."""
FIRST_ASKED_S, LAST_ASKED_S = 0.2, 3.0
"""How long a ledger that is away is left alone, at first and at most, in seconds."""
_FOR_GOOD = (LedgerMisconfigured, LedgerDamaged, LedgerTooNew)


class Remote(Protocol):
    """A ledger that may be away; calls block, `prepare` may come from a thread of its own."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def writer_id(self) -> str:
        """Whose rows it writes."""

    def prepare(self) -> None:
        """See that it can be written."""

    def write(self, batch: Sequence[Entry], *, writer_id: str | None = None) -> None:
        """Write all or nothing; writing the same again changes nothing."""

    def close_dead(self, now: float) -> int:
        """Close the rows of processes that died, and return how many."""

    def usage(self, *args: Any, **chosen: Any) -> list[Line]:
        """Return what was used; from any thread."""

    def running(self, most: int) -> list[RunningRow]:
        """Return the open rows of other processes; from any thread."""

    def close(self) -> None:
        """Let go of everything."""


class SpooledStore:
    """Write to a ledger, or to a queue on disk while it is away.

    Args:
        remote: The ledger.
        spool: The queue; None keeps what waits in the memory of who writes.

    Attributes:
        unavailable_since: When it was found to be away, in seconds since 1970; None while it is
            not.
        lost: Entries of the queue that the ledger would not take for themselves.

    Calls but `usage` come from one thread at a time.
    """

    def __init__(self, remote: Remote, spool: Spool | None) -> None:
        self.unavailable_since: float | None = None
        self.lost = 0
        self._remote = remote
        self._spool = spool
        self._why = self._unread = ""
        self._asking: threading.Thread | None = None
        self._back = threading.Event()
        self._ask_at = self._ask_after_s = 0.0

    def open(self, now: float) -> None:
        """See whether the ledger is there; where it is only away, that is logged.

        Args:
            now: Seconds since 1970.

        Raises:
            LedgerMisconfigured: It refuses what was configured.
            LedgerDamaged: Its tables are another program's.
            LedgerTooNew: A newer version of this package wrote it.
        """
        try:
            self._remote.prepare()
            self.close_dead(now)
        except _FOR_GOOD:
            raise
        except LedgerUnavailable as error:
            self._away(error)

    @property
    def waiting(self) -> int:
        """How many entries of this process are in the queue on disk."""
        return 0 if self._spool is None else self._spool.waiting

    def write(self, batch: Sequence[Entry]) -> None:
        """Write all or nothing, to the ledger or else to the queue.

        Raises:
            LedgerUnavailable: Neither takes it now.
        """
        if self._reachable():
            try:
                self._remote.write(batch)
            except LedgerBusy:
                raise
            except LedgerUnavailable as error:
                self._away(error)
            else:
                self._here()
                self._catch_up()
                return
        if self._spool is None:
            raise LedgerUnavailable(self._why)
        if self._spool.half_full:  # what is left is for beginnings and ends
            batch = [entry for entry in batch if not isinstance(entry, Checkpoint)]
        if batch and not self._spool.append(batch, writer_id=self._remote.writer_id):
            raise LedgerUnavailable(f"{self._why}; the queue is full: {self._spool.refused}")

    def close_dead(self, now: float) -> int:
        """Close the rows of processes that died, and return how many; write what waited."""
        if not self._reachable():
            return 0
        try:
            closed = self._remote.close_dead(now)
        except LedgerBusy:
            raise
        except LedgerUnavailable as error:
            self._away(error)
            return 0
        self._here()
        self._catch_up()
        return closed

    def usage(self, **chosen: Any) -> list[Line]:
        """Return what was used, as far as it is in the ledger; from any thread."""
        return self._remote.usage(**chosen)

    def running(self, most: int) -> list[RunningRow]:
        """Return the open rows of other processes; likewise.

        Raises:
            LedgerUnavailable: It is away; who runs what is not known then.
        """
        if self.unavailable_since is not None:
            raise LedgerUnavailable(self._why)
        return self._remote.running(most)

    def close(self) -> None:
        """Write what waits, if that takes no time, and let go; the rest stays on disk."""
        if self.unavailable_since is None:
            self._catch_up()
        self._remote.close()
        if self._spool is not None:
            if self._spool.waiting:
                _log.warning("ledger: %d entries stay in the queue on disk", self._spool.waiting)
            self._spool.close()

    def _reachable(self) -> bool:
        """Tell whether it is worth trying; else ask now and then, off this thread."""
        if self.unavailable_since is None or self._back.is_set():
            return True
        now = time.monotonic()
        if now >= self._ask_at and (self._asking is None or not self._asking.is_alive()):
            self._ask_after_s = min(2 * self._ask_after_s, LAST_ASKED_S)
            self._ask_at = now + self._ask_after_s
            self._asking = threading.Thread(target=self._ask, name="deltaweir-ask", daemon=True)
            self._asking.start()
        return False

    def _ask(self) -> None:
        try:
            self._remote.prepare()
        except LedgerUnavailable as error:
            self._tell(error)
        else:
            self._back.set()

    def _away(self, error: LedgerUnavailable) -> None:
        self._back.clear()
        self._tell(error)
        self._ask_after_s = FIRST_ASKED_S
        self._ask_at = time.monotonic() + FIRST_ASKED_S
        if self.unavailable_since is None:
            self.unavailable_since = time.time()

    def _tell(self, error: LedgerUnavailable) -> None:
        if self._why != str(error):  # never a flood of lines
            self._why = str(error)
            where = "memory" if self._spool is None else str(self._spool.directory)
            _log.warning("ledger: entries wait in %s: %s", where, error)

    def _here(self) -> None:
        if self.unavailable_since is not None:
            away_s = time.time() - self.unavailable_since
            _log.warning("ledger: %s is back after %.1f s", self._remote.name, away_s)
        self.unavailable_since, self._why = None, ""
        self._back.clear()

    def _catch_up(self) -> None:
        """Write what waited, of this process first, then of dead ones, for a turn."""
        until = time.monotonic() + TURN_S
        try:
            while self._spool is not None and time.monotonic() < until:
                if not (self._write_own(self._spool) or self._write_inherited(self._spool)):
                    return
        except LedgerBusy:
            return  # it waits for the next turn
        except LedgerUnavailable as error:
            self._away(error)
        except OSError as error:
            if self._unread != str(error):  # never a flood of lines
                self._unread = str(error)
                _log.error("ledger: the queue on disk cannot be read: %s", error)

    def _write_own(self, spool: Spool) -> bool:
        found = spool.first(PORTION)
        if found is None:
            return False
        self._write_portion(found)
        spool.taken(found)
        if not spool.waiting:
            _log.warning("ledger: all that waited on disk is written")
        return True

    def _write_inherited(self, spool: Spool) -> bool:
        with spool.inherited(PORTION) as found:
            if found is None:
                return False
            self._write_portion(found)
            if found.ended:
                _log.warning("ledger: the queue of a process that died is written")
            return True

    def _write_portion(self, found: Portion) -> None:
        if found.dropped:
            _log.warning("ledger: a queue on disk ends with %d torn bytes", found.dropped)
        try:
            self._remote.write(found.entries, writer_id=found.writer)
        except LedgerUnavailable:
            raise
        except Exception:  # noqa: BLE001  # one bad entry must not hold up all others
            for entry in found.entries:
                self._write_one(entry, found.writer)

    def _write_one(self, entry: Entry, writer_id: str) -> None:
        try:
            self._remote.write([entry], writer_id=writer_id)
        except LedgerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # likewise; it is counted
            _log.error("ledger: %s of %s: %r", type(entry).__name__, entry.stream_id, error)
            self.lost += not isinstance(entry, Checkpoint)
