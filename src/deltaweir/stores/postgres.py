"""The ledger in PostgreSQL, written by all processes of all machines.

It keeps what `SqliteLedger` keeps, by the same rules. What differs is who is dead, since no lock
of an operating system reaches over machines: each writer has a lease by the database's clock,
which it renews with what it writes anyway. The open rows of a writer whose lease ran out are
closed as ``failed``, from their last checkpoint. Such an end is presumed: a writer that was only
away opens them again when it comes back, and the end that it tells replaces the presumed one. So
neither clocks that differ nor a database that was away for long lose or double anything.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

import psycopg

from deltaweir.accounts import Attempt, Entry, Row
from deltaweir.stores import postgres_statements as sql
from deltaweir.stores.failures import LedgerBusy, LedgerUnavailable
from deltaweir.stores.ledger_columns import RunningRow, attempt, row, running_row
from deltaweir.stores.postgres_address import shown
from deltaweir.stores.postgres_connection import Slow, Timed, connect, explained
from deltaweir.stores.postgres_schema import check_version, migrate
from deltaweir.usage_report import Line, grouping

ResultT = TypeVar("ResultT")

LEASE_S = 15.0
"""How long a writer counts as alive after its last sign, in seconds."""
RENEW_S = 3.0
"""How old a sign may be before a write renews it, in seconds."""
_READ_S = 60.0
_abandoned: list[Timed] = []


class PostgresLedger:
    """Keep and report what streams use, in one database.

    Args:
        url: ``postgresql://user:password@host:port/database``, with libpq's options as its query.
        read_only: Whether only to read; the ledger must exist then.
        timeout_s: Seconds that a call may take; reports have a minute.
        lease_s: Seconds without a sign after which a writer counts as dead.

    Calls block and may come from any thread, and from a child after a fork. Nothing is connected
    before the first call, so there may be no server yet; tables are made by whoever first finds
    that they are missing.

    Attributes:
        name: What it is called in messages: its URL without user and password.
        writer_id: Whose rows these are; random.

    Each call raises:
        LedgerUnavailable: The server cannot be reached, does not answer in time, or cannot write.
        LedgerMisconfigured: It refuses what the URL says.
        LedgerTooNew: A newer version of this package wrote the ledger.
        LedgerBusy: Another's transaction was in the way; the same call may succeed at once.
    """

    def __init__(
        self,
        url: str,
        *,
        read_only: bool = False,
        timeout_s: float = 5.0,
        lease_s: float = LEASE_S,
    ) -> None:
        self.name = shown(url)
        self.writer_id = secrets.token_hex(8)
        self._url = url
        self._read_only = read_only
        self._timeout_s = timeout_s
        self._lease_s = lease_s
        self._using = threading.Lock()
        self._connection: Timed | None = None
        self._process = os.getpid()
        self._renewed: float | None = None

    def prepare(self) -> None:
        """Connect, make or migrate the tables where that is needed, and hang up."""
        with explained(self.name), contextlib.closing(self._connected(self._timeout_s)):
            pass

    def write(self, batch: Sequence[Entry], *, writer_id: str | None = None) -> None:
        """Write all entries, or none, in one transaction.

        Entries may have been written before, and may come in any order. Of several checkpoints
        the latest counts, of several ends the first; a checkpoint never changes an ended row.

        Args:
            batch: The entries.
            writer_id: Who told them; None for this writer, else one that has died.

        Raises:
            psycopg.DataError: An entry has a figure that the database cannot hold.
        """
        self._run(lambda connection: self._write(connection, batch, writer_id))

    def close_dead(self, now: float) -> int:
        """Close the open rows of writers whose lease ran out as ``failed``; return how many.

        They end at their last checkpoint, or else when they were opened. It is a sign of life as
        well, from who has written.

        Args:
            now: Seconds since 1970; the end of rows of which neither is known.
        """
        return 0 if self._read_only else self._run(lambda connection: self._bury(connection, now))

    def usage(
        self,
        *,
        group_by: Sequence[str] = (),
        since: float | None = None,
        until: float | None = None,
        key_id: str | None = None,
        user: str | None = None,
        most: int | None = None,
    ) -> list[Line]:
        """Return the streams that began in a time, grouped and added up, running ones too.

        Arguments as for `deltaweir.stores.sqlite.SqliteLedger.usage`.

        Raises:
            InvalidRequest: ``group_by`` has an unknown name.
        """
        query = sql.usage(grouping(group_by), most=most).encode()
        with self._reading() as connection:
            found = connection.execute(query, sql.window(since, until, key_id, user)).fetchall()
        lines = [sql.line(one) for one in found]
        return [line for line in lines if line.streams]  # without groups nothing makes a line too

    def rows(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        key_id: str | None = None,
        user: str | None = None,
    ) -> list[Row]:
        """Return rows, the oldest first; arguments as for `usage`."""
        chosen = sql.window(since, until, key_id, user)
        attempts: dict[str, list[Attempt]] = {}
        with self._reading() as connection, connection.transaction():
            connection.execute(b"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            streams = connection.execute(sql.ROWS.encode(), chosen).fetchall()
            for one in connection.execute(sql.ATTEMPTS.encode(), chosen):
                attempts.setdefault(one[0], []).append(attempt(one))
        return [row(one, tuple(attempts.get(one[0], ()))) for one in streams]

    def running(self, most: int) -> list[RunningRow]:
        """Return the open rows of other writers, the newest first.

        Arguments as for `deltaweir.stores.sqlite.SqliteLedger.running`.
        """
        chosen = {"own": self.writer_id, "most": most}
        with self._reading() as connection:
            found = connection.execute(sql.RUNNING.encode(), chosen).fetchall()
        return [running_row(one) for one in found]

    def close(self) -> None:
        """Hang up; rows that are still open count as a dead writer's from now on."""
        if self._process != os.getpid():
            return
        with self._using:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            with contextlib.closing(connection), contextlib.suppress(psycopg.Error):
                connection.within(self._timeout_s)  # else the lease runs out by itself
                connection.execute(sql.END_LEASE.encode(), (self.writer_id,))
            self._renewed = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, connection: Timed, batch: Sequence[Entry], writer_id: str | None) -> None:
        statements, arrays = sql.written(batch, writer_id or self.writer_id)
        now = time.monotonic()
        another = writer_id not in {None, self.writer_id}
        if another or (self._renewed is not None and now - self._renewed < RENEW_S):
            if statements:
                connection.execute("; ".join(statements).encode(), arrays)
            return
        cursor = connection.execute(
            "; ".join([sql.LEASE, *statements]).encode(), [self.writer_id, self._lease_s, *arrays]
        )
        self._renew(connection, cursor, now)

    def _bury(self, connection: Timed, now: float) -> int:
        if self._renewed is not None:
            moment = time.monotonic()
            taken = (self.writer_id, self._lease_s)
            self._renew(connection, connection.execute(sql.LEASE.encode(), taken), moment)
        told = {"now": now, "lease_s": self._lease_s}
        cursor = connection.execute("; ".join(sql.BURY).encode(), told)
        closed = cursor.rowcount
        while cursor.nextset():
            closed = cursor.rowcount
        return closed

    def _renew(self, connection: Timed, cursor: psycopg.Cursor[Any], now: float) -> None:
        """Take note of a lease that was renewed; open again what was closed without it."""
        found = cursor.fetchone()
        if self._renewed is not None and found is not None and found[0]:
            revived = {"writer": self.writer_id}
            connection.execute("; ".join(sql.REVIVE).encode(), revived)
        self._renewed = now

    def _connected(self, within_s: float) -> Timed:
        """Return a new connection to a ledger of the newest version."""
        connection = connect(self._url, within_s=within_s)
        try:
            if self._read_only:
                check_version(connection, self.name)
            else:
                migrate(connection, self.name)
        except BaseException:
            connection.close()
            raise
        return connection

    def _run(self, work: Callable[[Timed], ResultT]) -> ResultT:
        """Do something with the connection that is kept, once more where that had broken."""
        if self._read_only:
            raise LedgerUnavailable(f"the ledger {self.name} was opened for reading")
        if self._process != os.getpid():
            self._forked()
        with self._using:
            kept = self._connection is not None
            try:
                return self._once(work)
            except LedgerUnavailable as error:
                if not kept or isinstance(error, LedgerBusy) or isinstance(error.__cause__, Slow):
                    raise
            return self._once(work)

    def _once(self, work: Callable[[Timed], ResultT]) -> ResultT:
        with explained(self.name):
            if self._connection is None:
                self._connection = self._connected(self._timeout_s)
            self._connection.within(self._timeout_s)
            try:
                return work(self._connection)
            except (psycopg.DataError, psycopg.IntegrityError):
                raise
            except psycopg.Error:
                self._connection.close()
                self._connection = None
                raise

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Timed]:
        """Use a connection of one's own, so that reading never waits for writing."""
        with explained(self.name), contextlib.closing(self._connected(_READ_S)) as connection:
            yield connection

    def _forked(self) -> None:
        """Start anew in a child, as a writer of its own, without its parent's connection."""
        self._process = os.getpid()
        self._using = threading.Lock()
        self.writer_id = secrets.token_hex(8)
        self._renewed = None
        if self._connection is not None:
            _abandoned.append(self._connection)  # closing it would say goodbye for the parent
            self._connection = None
