"""One connection to PostgreSQL that never waits for ever, and the border for its errors.

A server that is stopped, or lies behind a network that swallows all, keeps its connections open
and says nothing; no setting of the protocol ends that in seconds. So each connection has a
deadline, looked at ten times a second while it waits. After it the connection is of no more use.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from collections.abc import Generator, Iterator
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from deltaweir.stores.failures import (
    LedgerBusy,
    LedgerDamaged,
    LedgerMisconfigured,
    LedgerUnavailable,
)
from deltaweir.stores.postgres_address import shown

CONNECT_S = 3
"""Seconds that an attempt to connect may take; libpq takes no less than 2."""
_LOOK_S = 0.1
"""How often a deadline is looked at, in seconds."""

_LATER = (
    errors.DeadlockDetected,
    errors.IdleInTransactionSessionTimeout,
    errors.LockNotAvailable,
    errors.SerializationFailure,
)
_MISTAKES = (
    errors.InsufficientPrivilege,
    errors.InvalidAuthorizationSpecification,
    errors.InvalidCatalogName,
    errors.InvalidSchemaName,
    errors.UndefinedTable,
)
_REFUSALS = (
    "authentication failed",
    "does not exist",
    "is not permitted to log in",
    "no password supplied",
    "no pg_hba.conf entry",
    "permission denied",
)
"""What a server says that refuses a connection for good. libpq tells no code of such a refusal.
One that speaks another language than English is taken for one that is away."""


class Slow(psycopg.OperationalError):
    """The server did not answer until the deadline."""


class Timed(psycopg.Connection[Any]):
    """A connection whose statements fail with `Slow` after its deadline.

    Attributes:
        deadline: On the monotonic clock, in seconds.
    """

    deadline = math.inf

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait for the server, until the deadline."""
        left = self.deadline - time.monotonic()
        options.setdefault("interval", min(_LOOK_S, max(0.001, left)))
        return super().wait(_until(gen, self.deadline), *args, **options)

    def within(self, seconds: float) -> None:
        """Let what follows take so many seconds in all."""
        self.deadline = time.monotonic() + seconds


def _until(waiting: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
    ready: Any = None
    while True:
        try:
            state = waiting.send(ready)
        except StopIteration as done:
            return done.value
        ready = yield state
        if not ready and time.monotonic() > deadline:
            waiting.close()
            raise Slow("the server does not answer")


def connect(url: str, *, within_s: float, connect_s: int = CONNECT_S) -> Timed:
    """Return a connection on which each call is a transaction, unless one is begun.

    Several statements of one call are one transaction, which takes one round trip and leaves
    nothing half done on a server whose client is gone. Parameters are put into the text, so that
    nothing is prepared, which poolers of connections do not always bear.

    Args:
        url: The database's.
        within_s: Seconds that what follows may take in all.
        connect_s: Seconds that connecting may take, unless the URL says.

    Raises:
        psycopg.Error: There is no connection to be had.
        LedgerMisconfigured: The URL has options that libpq does not know.
    """
    try:
        told: dict[str, Any] = dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:  # its message may hold a password
        raise LedgerMisconfigured(
            f"the URL of the ledger {shown(url)} has a part that PostgreSQL does not know"
        ) from None
    told.setdefault("application_name", "deltaweir")
    told.setdefault("connect_timeout", connect_s)
    told |= {"client_encoding": "utf8"}
    connection = Timed.connect(**told, autocommit=True, cursor_factory=psycopg.ClientCursor)
    assert isinstance(connection, Timed)
    connection.within(within_s)
    return connection


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn psycopg's errors, raised inside the block, into ours; those about a value pass.

    Args:
        name: What the ledger is called in messages.

    Raises:
        LedgerBusy: Another's transaction was in the way.
        LedgerMisconfigured: The server refuses what was configured.
        LedgerDamaged: Another program has tables of the same names there.
        LedgerUnavailable: It cannot be reached, or cannot write.
        psycopg.DataError: A value is none that a column can hold.
    """
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError):
        raise
    except psycopg.Error as error:
        raise _failure(error, name) from error


def _failure(error: psycopg.Error, name: str) -> LedgerUnavailable:
    said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if isinstance(error, _LATER):
        return LedgerBusy(f"the ledger {name} is held by another: {said}")
    if isinstance(error, errors.DuplicateTable | errors.DuplicateObject):
        return LedgerDamaged(f"the ledger {name} has another program's tables: {said}")
    if isinstance(error, _MISTAKES) or _refuses(error, said):
        return LedgerMisconfigured(f"the ledger {name} refuses what [ledger] url says: {said}")
    return LedgerUnavailable(f"the ledger {name} cannot be used now: {said}")


def _refuses(error: psycopg.Error, said: str) -> bool:
    if error.sqlstate is not None:
        return False
    if "resolve host" in said:  # a name that nobody knows, unless nobody could be asked
        return f"[Errno {socket.EAI_AGAIN}]" not in said
    return any(words in said for words in _REFUSALS)
