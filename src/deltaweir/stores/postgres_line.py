"""One connection to PostgreSQL for keys and limits, lent to one thread at a time.

Each call says how long it may take, and is one message: one transaction, whatever becomes of the
connection. An answer that does not come in time is waited for by whoever comes next, before
anything else is asked. Where somebody who had time got none, the connection is given up, and the
server left alone for `ALONE_S`, so that not everybody waits for it, one after the other.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn

from deltaweir.stores.failures import LedgerBusy, LedgerUnavailable, StoreUnavailable, StoreUnsure
from deltaweir.stores.postgres_address import shown
from deltaweir.stores.postgres_connection import Slow, Timed, connect, explained
from deltaweir.stores.postgres_schema import MIGRATIONS, migrate, version_of

PATIENT_S = 0.25
"""Who waits for less says nothing about the server by giving up, in seconds."""
CONNECT_S = 0.03
"""Who waits for less does not connect, since that may look a name up, in seconds."""
ALONE_S = 0.5
"""How long a server that does not answer is left alone, in seconds."""

_CONNECTING_S = 2  # the least that libpq takes
_LEAST_S = 0.001
_UNSURE = ("08", "57", "58", "XX")
"""Classes of errors after which nobody knows what the server did: it, or the line, is going."""
_HARMLESS = (
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.SerializationFailure,
    psycopg.DataError,
    psycopg.IntegrityError,
)
"""What says nothing about the server."""


class PostgresLine:
    """Ask a database, from any thread of the process that made this.

    Args:
        url: ``postgresql://user:password@host:port/database``.
        begin: Whether to make the tables where there are none.
    """

    def __init__(self, url: str, *, begin: bool = True) -> None:
        self.name = shown(url)
        self.openings = 0
        """How often it was connected; what was read before the last time may be another's."""
        self._url = url
        self._begin = begin
        self._using = threading.Lock()
        self._connection: Timed | None = None
        self._late = False
        self._process = os.getpid()
        self._alone_until = 0.0

    def __repr__(self) -> str:
        return f"PostgresLine({self.name!r})"

    def ask(
        self,
        statements: str,
        told: Mapping[str, Any] | None = None,
        *,
        wait_s: float,
        begins: bool = False,
    ) -> list[tuple[Any, ...]]:
        """Return the rows that the last of some statements returns that has any to return.

        All are one transaction, unless they begin or end one themselves.

        Args:
            statements: Parted by semicolons.
            told: What they take, by name.
            wait_s: Seconds to wait at most; up to two more to connect.
            begins: Whether the transaction goes on after them; it ends if the answer is late.

        Raises:
            LedgerBusy: Another thread has used the connection, or another's transaction was in
                the way, for too long; nothing was done.
            StoreUnsure: The server was told, and has not answered.
            LedgerUnavailable: It cannot be reached, or refuses; nothing was done.
            psycopg.IntegrityError: There is such a row already; nothing was done.
        """
        deadline = time.monotonic() + wait_s
        with self._mine(wait_s):
            connection = self._connected(deadline, wait_s)
            connection.within(max(_LEAST_S, deadline - time.monotonic()))
            try:
                return _answer(connection, statements, told)
            except psycopg.Error as error:
                if not _is_unsure(error):
                    if isinstance(error, _HARMLESS):
                        self._undo(connection)
                    else:
                        self._drop()  # a name may lead to another server now
                    if isinstance(error, psycopg.DataError):
                        said = f"the ledger {self.name} refuses a value: {_brief(error)}"
                        raise LedgerUnavailable(said) from error
                    with explained(self.name):
                        raise
                said = f"went away: {_brief(error)}"
                if isinstance(error, Slow):
                    said = f"has not answered in {wait_s:.3g} s"
                    self._late = not begins and wait_s < PATIENT_S
                    self._give_up(wait_s)
                if not self._late:
                    self._drop()
                raise StoreUnsure(f"the ledger {self.name} {said}") from error

    def undo(self, *, wait_s: float) -> None:
        """End what was begun and not ended, if anything was.

        Args:
            wait_s: Seconds to wait at most; the connection is given up then.

        Raises:
            LedgerBusy: Another thread has used the connection for too long.
        """
        with self._mine(wait_s):
            connection = self._connection
            if connection is not None and not self._late and self._process == os.getpid():
                connection.within(wait_s)
                self._undo(connection)

    def close(self) -> None:
        """Hang up, for good."""
        if self._process == os.getpid():
            with self._using:
                self._drop()
                self._process = -1

    @contextlib.contextmanager
    def _mine(self, wait_s: float) -> Iterator[None]:
        if not self._using.acquire(timeout=wait_s):
            raise LedgerBusy(f"the ledger {self.name} is in use by another thread")
        try:
            yield
        finally:
            self._using.release()

    def _connected(self, deadline: float, wait_s: float) -> Timed:
        if self._process != os.getpid():
            raise StoreUnavailable(
                f"the ledger {self.name} was closed, or open when this process was forked"
            )
        if self._late and self._connection is not None:
            self._hear(self._connection, deadline, wait_s)
        if self._connection is not None:
            if _is_there(self._connection):
                return self._connection
            self._drop()
        now = time.monotonic()
        if now < self._alone_until or wait_s < CONNECT_S:
            raise StoreUnavailable(f"the ledger {self.name} cannot be reached at the moment")
        try:
            self._connection = self._connect(max(_LEAST_S, deadline - now))
        except LedgerUnavailable:
            if time.monotonic() >= deadline:  # who is refused has not waited
                self._give_up(wait_s)
            raise
        self.openings += 1
        return self._connection

    def _hear(self, connection: Timed, deadline: float, wait_s: float) -> None:
        """Wait for an answer that nobody waits for any more."""
        try:
            heard = _heard(connection.pgconn, deadline)
        except psycopg.OperationalError:  # it has gone
            self._drop()
            return
        if not heard:
            if wait_s >= PATIENT_S:
                self._give_up(wait_s)
                self._drop()
            raise StoreUnavailable(f"the ledger {self.name} has not answered yet")
        self._late = False

    def _connect(self, within_s: float) -> Timed:
        """Return a new connection to a ledger of the newest version."""
        with explained(self.name):
            connection = connect(self._url, within_s=within_s, connect_s=_CONNECTING_S)
            try:
                self._check(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _check(self, connection: Timed) -> None:
        found = version_of(connection, self.name)
        if not found and not self._begin:
            raise LedgerUnavailable(
                f"there is no ledger in {self.name}; `deltaweir serve` and `deltaweir keys create` "
                "begin one"
            )
        if found < len(MIGRATIONS):
            migrate(connection, self.name)

    def _undo(self, connection: Timed) -> None:
        """End what a message has begun that failed later on."""
        try:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute(b"ROLLBACK")
        except psycopg.Error:
            self._drop()

    def _give_up(self, wait_s: float) -> None:
        if wait_s >= PATIENT_S:
            self._alone_until = time.monotonic() + ALONE_S

    def _drop(self) -> None:
        connection, self._connection, self._late = self._connection, None, False
        if connection is not None:
            connection.close()


def _answer(
    connection: Timed, statements: str, told: Mapping[str, Any] | None
) -> list[tuple[Any, ...]]:
    cursor = connection.execute(statements.encode(), told)
    found = list[tuple[Any, ...]]()
    while True:
        if cursor.description:
            found = cursor.fetchall()
        if not cursor.nextset():
            return found


def _heard(line: PGconn, deadline: float) -> bool:
    """Take what a server still has to say of what it was told; return whether it is at its end."""
    with selectors.DefaultSelector() as selector:
        selector.register(line.socket, selectors.EVENT_READ)
        while True:
            while line.is_busy():
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return False
                line.consume_input()
            if line.get_result() is None:
                return True


def _is_there(connection: Timed) -> bool:
    """Return whether the server has not hung up, so that it can be told something."""
    try:
        for _ in range(2):  # what it said last hides that it has gone
            connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return False
    return not connection.closed


def _is_unsure(error: psycopg.Error) -> bool:
    """Return whether what was told may have been done all the same."""
    if isinstance(error, errors.QueryCanceled):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_UNSURE)


def _brief(error: Exception) -> str:
    """Return what a server or a socket says first; what follows may be what it was told."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
