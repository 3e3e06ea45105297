"""What processes of several machines hold and book of keys' budgets and rates, in PostgreSQL.

A transaction works on records as this process has seen them last, and is then one message: the
server locks the records in the order of their names, and writes them if each is still of the
version that was seen; otherwise it answers with all of them as they are. So where nobody else
writes, one trip does, and nothing is locked while anybody thinks. It is the way of
`deltaweir.stores.versioned_books`, which knows what the records mean, and what became of a message
whose answer got lost.

Where others write the same records all the time, who thinks without a lock is always late. So
what somebody else has written before us is *hot*: it is locked when it is read, which takes a
trip more, and then written without fail. Others wait in line meanwhile; should this process stand
still, the server ends its transaction after a second. When nobody else has written between two
times, it is hot no more.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from deltaweir.errors import DeltaweirError
from deltaweir.leases import SpentError
from deltaweir.stores import postgres_books as sql
from deltaweir.stores.failures import LedgerBusy, LedgerUnavailable, StoreUnsure
from deltaweir.stores.postgres_hot import Hot
from deltaweir.stores.postgres_line import PostgresLine
from deltaweir.stores.versioned_books import Clock, Fields, Memory, VersionedBooks

_OPEN_S = 5.0
_TIDY_MS = 3_600_000
_LEAST_S = 0.001
_UNDO_S = 0.05


class PostgresLeases:
    """Write leases, bookings and rates. Calls block and may come from any thread.

    Args:
        line: The database, which nobody else may use; closed with this.
        holder: A name that no other process, of any time, has.

    Raises:
        LedgerUnavailable: It cannot be reached, or used.
    """

    def __init__(self, line: PostgresLine, *, holder: str) -> None:
        self._line = line
        self._memory = Memory("", holder)
        self._hot = Hot()
        self._clock = Clock()
        self._using = threading.Lock()
        self._tidied_ms = 0
        asked = time.monotonic()
        ((told,),) = line.ask(sql.NOW, wait_s=_OPEN_S)
        self._clock.learn(told, asked, time.monotonic())

    @property
    def last(self) -> str:
        """The name of what was written last for this process, as far as it knows."""
        return self._memory.last

    @property
    def losses(self) -> int:
        """How often what was written for this process was found to be lost."""
        return self._memory.losses

    def now(self) -> float:
        """Return the database's time, the same for all machines, in seconds since 1970."""
        return self._clock.at(time.monotonic())

    @contextlib.contextmanager
    def writing(self, *, wait_s: float) -> Iterator[VersionedBooks]:
        """Write all or nothing of what the block does.

        Args:
            wait_s: Seconds to wait for other threads, and the database.

        Raises:
            LedgerBusy: Others wrote meanwhile, or for too long; nothing was written.
            StoreUnsure: The database has not answered; `last` tells later whether it was written.
            LedgerUnavailable: It cannot be reached, or refuses; nothing was written.
        """
        deadline = time.monotonic() + wait_s
        if not self._using.acquire(timeout=wait_s):
            raise LedgerBusy("the ledger is in use by another thread")
        reading = _Reading(self._line, self._memory, self._hot, deadline)
        try:
            books = self._memory.begin(reading.read)
            try:
                yield books
            except LedgerUnavailable:
                raise
            except (DeltaweirError, SpentError):
                # nobody is refused for what was true a while ago
                if books.guesses:
                    books.only_look()
                    self._commit(books, reading)
                raise
            self._tidy(reading)
            if books.changes():
                self._commit(books, reading)
        finally:
            reading.end()
            self._using.release()

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def _tidy(self, reading: _Reading) -> None:
        """Remove what has expired, once an hour, when dead processes' leases are forgotten."""
        forgotten_ms = self._memory.forgotten_ms
        if forgotten_ms > self._tidied_ms + _TIDY_MS and not reading.begun:
            self._tidied_ms = forgotten_ms
            self._line.ask(sql.TIDY, wait_s=reading.left_s)

    def _commit(self, books: VersionedBooks, reading: _Reading) -> None:
        memory, changes = self._memory, books.changes()
        names, commit = [one.name for one in changes], memory.name()
        wait_s = reading.left_s
        message = sql.commit(memory, changes, commit, wait_s, begun=reading.begun)
        asked = time.monotonic()
        try:
            ((held, now, records),) = self._line.ask(*message, wait_s=wait_s)
        except LedgerBusy:
            self._hot.add(names, late=names)
            raise
        except StoreUnsure as error:
            memory.unsure(commit)
            error.commit = commit
            raise
        reading.begun = False
        self._clock.learn(now, asked, time.monotonic())
        if held:
            memory.wrote(books, commit)
            return
        memory.found([memory.own, *names], sql.flat(records, [memory.own, *names]))
        seen = {one.name: one.seen.decode() for one in changes}
        late = [name for name in names if records.get(name, ("",))[0] != seen[name]]
        self._hot.add(names, late=late)
        raise LedgerBusy("others wrote to the ledger meanwhile")


class _Reading:
    """What one transaction reads; records of one key come together, in one trip."""

    def __init__(self, line: PostgresLine, memory: Memory, hot: Hot, deadline: float) -> None:
        self.begun = False
        """Whether the server holds records for it."""
        self._line = line
        self._memory = memory
        self._hot = hot
        self._deadline = deadline
        self._found: dict[str, Fields] = {}
        self._keys = set[str]()

    @property
    def left_s(self) -> float:
        """Seconds that are left.

        Raises:
            LedgerBusy: None are; nobody asks what he cannot wait for.
        """
        left_s = self._deadline - time.monotonic()
        if left_s < _LEAST_S:
            raise LedgerBusy("others used the ledger for too long")
        return left_s

    def read(self, name: str) -> Fields:
        """Return a record; a hot one is locked, with those that are used with it."""
        group = self._hot.group(name)
        if group and not self.begun:
            self._lock(group)
        _, key_id, _ = name.split(":", 2)
        if name not in self._found and key_id not in self._keys:
            self._keys.add(key_id)
            told = {"pots": f"pot:{key_id}", "rates": f"rate:{key_id}"}
            rows = self._line.ask(sql.OF_KEY, told, wait_s=self.left_s)
            self._found = {**{row[0]: sql.fields_of(*row[1:]) for row in rows}, **self._found}
        return self._found.get(name, {})

    def end(self) -> None:
        """Let go of what is held, and of what is hot."""
        if self.begun:  # and not written
            with contextlib.suppress(LedgerUnavailable):
                self._line.undo(wait_s=_UNDO_S)
        self._hot.leave(self._memory.known)

    def _lock(self, group: Sequence[str]) -> None:
        memory, names = self._memory, [self._memory.own, *group]
        wait_s = self.left_s
        ((records,),) = self._line.ask(
            sql.HOLD, sql.hold(names, wait_s), wait_s=wait_s, begins=True
        )
        self.begun = True
        memory.found(names, sql.flat(records, names))
        self._found.update({name: memory.known.pop(name) for name in group})
        self._hot.look({name: self._found[name] for name in group})
