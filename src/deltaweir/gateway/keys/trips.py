"""Trips to where processes share keys' budgets, a file or a store: one at a time, each in a moment.

The ledger's writer holds the file while it waits for the disk, commonly for a few milliseconds.
Whoever waits for the file gives way every `TURN_S`, so that a running stream, which waits on the
loop's thread, never stands behind a new request, which has time.

Whoever may not wait asks `Trips.resting` first. When somebody has waited in vain the file is left
alone for a tenth of a second, then for twice as long each time, up to a second, until somebody
who has time gets at it: streams that run dry together wait once, not one after the other.

A store may hear of a trip and its answer be lost. What such a trip did is learnt with the answer
to a later one, before anything else is worked out: what was written counts, once.
"""

from __future__ import annotations

import functools
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from deltaweir.stores.books import Books, LeaseStore
from deltaweir.stores.failures import LedgerBusy, LedgerUnavailable, StoreUnsure

T = TypeVar("T")

TURN_S = 0.01
"""How long one try for a locked file is, in seconds."""
PATIENT_S = 0.05
"""How long whoever may come again waits for it, in seconds."""

_FIRST_REST_S, _LAST_REST_S = 0.1, 1.0


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long things take, in seconds.

    Attributes:
        lease_s: How long a dead process's leases last.
        renew_s: How long until the living renew theirs.
        idle_s: How long a share may lie unused before it is given back.
        look_s: How often that is looked for.
        admit_s: How long a request waits for a locked file.
        more_s: How long a running stream does, on the loop's thread.
        gather_s: How long what was used is gathered before it is booked.
        turn_s: How long one try is.
        patient_s: How long the thread waits that may come again.
    """

    lease_s: float = 30.0
    renew_s: float = 8.0
    idle_s: float = 1.0
    look_s: float = 0.5
    admit_s: float = 2.0
    more_s: float = 0.02
    gather_s: float = 0.02
    turn_s: float = TURN_S
    patient_s: float = PATIENT_S


OVER_A_NETWORK = Pace(turn_s=1.0, patient_s=0.5)
"""Where a try is a trip to another machine: one that is given up costs a connection."""


class Rest:
    """How long a file that could not be used is left alone by those who may not wait. Pure."""

    __slots__ = ("_next_s", "_until")

    def __init__(self) -> None:
        self._next_s = _FIRST_REST_S
        self._until = 0.0

    def lasts(self, now: float) -> bool:
        """Return whether to leave it alone; ``now`` is in seconds, of a clock nobody sets."""
        return now < self._until

    def begin(self, now: float) -> None:
        """Learn that it could not be used; while a rest lasts that is no news."""
        if not self.lasts(now):
            self._until = now + self._next_s
            self._next_s = min(2 * self._next_s, _LAST_REST_S)

    def end(self) -> None:
        """Learn that it was used."""
        self._next_s = _FIRST_REST_S
        self._until = 0.0


class Trips:
    """Work on the file, from any thread.

    Args:
        store: The file.
        turn_s: How long one try is.
    """

    def __init__(self, store: LeaseStore, *, turn_s: float = TURN_S) -> None:
        self._store = store
        self._turn_s = turn_s
        self._travelling = threading.Lock()
        self._rest = Rest()
        self._late: dict[str, Callable[[], None]] = {}
        self._late_after = ""
        self._losses = 0

    @property
    def resting(self) -> bool:
        """Whether the file could not be used just now; who may not wait does not try."""
        return self._rest.lasts(time.monotonic())

    def has_lost(self) -> bool:
        """Return whether what was written was found to be lost, since the call before."""
        before, self._losses = self._losses, self._store.losses
        return self._losses != before

    def run(
        self,
        work: Callable[[Books], T],
        done: Callable[[T], None],
        *,
        wait_s: float,
        late: Callable[[T], None] | None = None,
    ) -> None:
        """Do all or nothing of a piece of work.

        Args:
            work: Reads and writes; called again when the file was locked.
            done: Learns what it returned once that is written, before anybody else works.
            wait_s: Seconds to wait at most.
            late: The same, where that is learnt after this has raised; None for ``done``.

        Raises:
            LedgerBusy: Others worked on it for too long; nothing was written.
            LedgerUnavailable: The file cannot be used.
        """
        try:
            self._run(work, done, late or done, time.monotonic() + wait_s)
        except LedgerUnavailable:
            self._rest.begin(time.monotonic())
            raise
        self._rest.end()

    def _run(
        self,
        work: Callable[[Books], T],
        done: Callable[[T], None],
        late: Callable[[T], None],
        deadline: float,
    ) -> None:
        while True:
            if self._travelling.acquire(timeout=max(0.0, deadline - time.monotonic())):
                left = deadline - time.monotonic()  # it may have taken a while
                try:
                    done(self._worked(work, late, max(0.001, min(self._turn_s, left))))
                except LedgerBusy:
                    if time.monotonic() >= deadline:
                        raise
                else:
                    return
                finally:
                    self._travelling.release()
            elif time.monotonic() >= deadline:
                raise LedgerBusy("the ledger was in use by this process's threads for too long")

    def _worked(self, work: Callable[[Books], T], late: Callable[[T], None], wait_s: float) -> T:
        result: list[T] = []
        try:
            with self._store.writing(wait_s=wait_s) as books:
                result.append(work(books))
        except StoreUnsure as error:
            if error.commit and result:
                self._late_after = self._store.last
                self._late[error.commit] = functools.partial(late, result[0])
            raise
        except sqlite3.Error as error:  # such as a table that somebody has removed
            raise LedgerUnavailable(f"the ledger cannot be used: {error}") from error
        finally:
            if self._late:
                self._settle()
        return result[0]

    def _settle(self) -> None:
        """Tell which of the trips without an answer was written, once that is known."""
        last = self._store.last
        if last != self._late_after:
            written = self._late.get(last)
            self._late.clear()
            if written is not None:
                written()
