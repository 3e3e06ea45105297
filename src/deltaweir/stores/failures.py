"""What goes wrong with a ledger, and the border where SQLite's errors become ours.

::

    DeltaweirError
     └─ LedgerUnavailable        cannot be opened or written: path, permission, full disk
         ├─ LedgerBusy           another process holds it; the same call may succeed later
         ├─ LedgerDamaged        no database, another program's, or with torn pages
         ├─ LedgerMisconfigured  refused for what was configured: a password, a name, a right
         ├─ LedgerTooNew         written by a newer version of this package
         └─ StoreUnavailable     the store that machines share cannot be reached, or refuses
             └─ StoreUnsure      it was told, and nobody knows whether it has heard
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from deltaweir.errors import DeltaweirError


class LedgerUnavailable(DeltaweirError):
    """The ledger cannot be opened, read or written; the message names its path."""

    default_status: ClassVar[int] = 503
    default_code: ClassVar[str | None] = "ledger_unavailable"


class LedgerBusy(LedgerUnavailable):
    """Another process has held the ledger longer than we wait; nothing was written."""

    default_code = "ledger_busy"


class LedgerDamaged(LedgerUnavailable):
    """The file is no database, is another program's, or has damaged pages."""

    default_code = "ledger_damaged"


class LedgerMisconfigured(LedgerUnavailable):
    """The database refuses us, for what only whoever configured it can mend; waiting does not."""

    default_code = "ledger_misconfigured"


class LedgerTooNew(LedgerUnavailable):
    """The ledger was written by a newer version of this package, and is left as it is.

    Attributes:
        found: The file's schema version.
        known: The newest schema version that this package knows.
    """

    default_code = "ledger_too_new"

    def __init__(self, message: str, *, found: int = 0, known: int = 0, **data: Any) -> None:
        super().__init__(message, **data)
        self.found = found
        self.known = known


class StoreUnavailable(LedgerUnavailable):
    """The store that several machines share cannot be reached, or refuses what is asked."""

    default_code = "store_unavailable"


class StoreUnsure(StoreUnavailable):
    """The store was told and has not answered: what was to be written may be written.

    Attributes:
        commit: The name of what was to be written; empty where nothing was.
    """

    def __init__(self, message: str, *, commit: str = "", **data: Any) -> None:
        super().__init__(message, **data)
        self.commit = commit


_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
_UNAVAILABLE = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
_PRIMARY = 0xFF  # the low byte of an extended result code is the primary one


@contextlib.contextmanager
def named(path: Path | str) -> Iterator[None]:
    """Turn SQLite's errors about the file ``path``, raised inside the block, into ours.

    Raises:
        LedgerBusy: It stayed locked.
        LedgerDamaged: It is no database, or damaged.
        LedgerUnavailable: It cannot be opened, read or written.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", -1) & _PRIMARY
        if code in _BUSY:
            raise LedgerBusy(f"the ledger {path} is locked by another process") from error
        if code in _DAMAGED:
            raise LedgerDamaged(f"the ledger {path} cannot be read as one: {error}") from error
        if code in _UNAVAILABLE:
            raise LedgerUnavailable(f"the ledger {path} cannot be used: {error}") from error
        raise
