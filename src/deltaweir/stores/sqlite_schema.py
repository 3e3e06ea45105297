"""A ledger's tables in SQLite, how an older file becomes a newer one, and how a file is opened.

The version stands in the file's header (``PRAGMA user_version``), beside an application id that
tells our files from other programs'. Migrations are only ever added at the end. Each runs in a
transaction of its own that takes the write lock before it looks at the version, so processes
that start at once migrate once, and a crash leaves a whole version behind.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deltaweir.stores.failures import (
    LedgerDamaged,
    LedgerTooNew,
    LedgerUnavailable,
    named,
)

APPLICATION_ID = 0x64776C67
"""Marks a file as a ledger of ours: "dwlg" in ASCII."""

OLDEST_SQLITE = (3, 37, 0)
"""The first SQLite with STRICT tables, which refuse a value of the wrong type."""

_POLL_S = 0.01

_TALLY = """
    prompt_tokens INTEGER, completion_tokens INTEGER, cached_tokens INTEGER,
    reasoning_tokens INTEGER, cost_pico INTEGER, source TEXT, counted_tokens INTEGER"""

# What is told of a stream may come in any order, so only its id is sure to be there. For the
# same reason attempts have no foreign key.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"""CREATE TABLE streams (
    stream_id TEXT NOT NULL PRIMARY KEY, writer TEXT,
    started REAL, model TEXT, upstream_model TEXT, key_id TEXT, user TEXT, tag TEXT,
    endpoint TEXT, streamed INTEGER,
    checkpointed REAL, {_TALLY},
    ended REAL, ending TEXT, finish_reason TEXT, first_content_s REAL, total_s REAL,
    presumed INTEGER NOT NULL DEFAULT 0
) STRICT""",
        "CREATE INDEX streams_by_start ON streams (started)",
        "CREATE INDEX streams_still_open ON streams (writer) WHERE ended IS NULL",
        f"""CREATE TABLE attempts (
    stream_id TEXT NOT NULL, number INTEGER NOT NULL, upstream TEXT NOT NULL,
    started REAL NOT NULL, ended REAL, ending TEXT, {_TALLY},
    presumed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stream_id, number)
) STRICT, WITHOUT ROWID""",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
    # Clients' keys. Whoever knows them by heart asks for `number` only, which every change of
    # theirs raises, whoever makes it; the file itself changes many times a second.
    (
        """CREATE TABLE keys (
    key_id TEXT NOT NULL PRIMARY KEY, digest BLOB NOT NULL, name TEXT NOT NULL,
    terms TEXT NOT NULL, created REAL NOT NULL, revoked REAL
) STRICT, WITHOUT ROWID""",
        "CREATE TABLE key_changes (number INTEGER NOT NULL) STRICT",
        "INSERT INTO key_changes VALUES (0)",
        *(
            f"CREATE TRIGGER key_{change.lower()} AFTER {change} ON keys"  # noqa: S608  # constants
            " BEGIN UPDATE key_changes SET number = number + 1; END"
            for change in ("INSERT", "UPDATE", "DELETE")
        ),
        """CREATE TABLE key_spending (
    key_id TEXT NOT NULL, unit TEXT NOT NULL, period TEXT NOT NULL, began INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    PRIMARY KEY (key_id, unit, period, began)
) STRICT, WITHOUT ROWID""",
        """CREATE TABLE key_leases (
    key_id TEXT NOT NULL, unit TEXT NOT NULL, period TEXT NOT NULL, began INTEGER NOT NULL,
    holder TEXT NOT NULL, amount INTEGER NOT NULL, expires REAL NOT NULL,
    PRIMARY KEY (key_id, unit, period, began, holder)
) STRICT, WITHOUT ROWID""",
        """CREATE TABLE key_rates (
    key_id TEXT NOT NULL, unit TEXT NOT NULL, weight INTEGER NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (key_id, unit)
) STRICT, WITHOUT ROWID""",
    ),
)
"""The statements that lead from each version to the next, from 0, the empty file."""

READABLE = 1
"""The oldest version whose streams and attempts are those of the newest."""


def connect(path: Path | str, *, read_only: bool, busy_s: float) -> sqlite3.Connection:
    """Return a connection on which transactions begin and end by statements alone.

    Args:
        path: The file, or ":memory:".
        read_only: Whether nothing may be created or changed.
        busy_s: Seconds that a statement waits for another process's lock.

    Raises:
        LedgerUnavailable: The file cannot be opened, or this SQLite is too old.
        LedgerDamaged: It is no database.
        LedgerBusy: Another process holds it for itself.
    """
    check_library(sqlite3.sqlite_version_info)
    address = ":memory:"
    if isinstance(path, Path):
        address = f"{path.as_uri()}?mode={'ro' if read_only else 'rwc'}"
    with named(path):
        connection = sqlite3.connect(
            address, uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
        )
        try:
            # FULL syncs the log at every commit, so that what was acknowledged survives a power
            # cut. NORMAL would lose all commits since the last checkpoint of the log, which a
            # quiet gateway makes once in hours. The price is one sync a batch, off the loop.
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    return connection


def check_library(found: Sequence[int]) -> None:
    """Accept a version of SQLite.

    Raises:
        LedgerUnavailable: It is too old.
    """
    if tuple(found) < OLDEST_SQLITE:
        wanted, got = (".".join(map(str, version)) for version in (OLDEST_SQLITE, found))
        raise LedgerUnavailable(f"the ledger needs SQLite {wanted} or newer, this is {got}")


def migrate(
    connection: sqlite3.Connection,
    path: Path | str,
    *,
    busy_s: float,
    migrations: Sequence[Sequence[str]] = MIGRATIONS,
) -> None:
    """Bring a ledger, or an empty file, to the newest version, in WAL mode.

    Raises:
        LedgerTooNew: The file's version is above the newest.
        LedgerDamaged: The file is no database, or another program's.
        LedgerBusy: Another process holds the file.
    """
    with named(path):
        if version_of(connection, path, known=len(migrations)) == len(migrations):
            return
        _switch_to_wal(connection, busy_s)
        for number in range(len(migrations)):
            with transaction(connection):
                if version_of(connection, path, known=len(migrations)) > number:
                    continue
                for statement in migrations[number]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")


def check_version(connection: sqlite3.Connection, path: Path | str) -> None:
    """Accept a ledger whose rows can be read as the newest version's, and change nothing.

    Raises:
        LedgerTooNew: The file's version is above the newest.
        LedgerUnavailable: It is below `READABLE`.
        LedgerDamaged: The file is no database, or another program's.
    """
    with named(path):
        found = version_of(connection, path, known=len(MIGRATIONS))
    if found < READABLE:
        raise LedgerUnavailable(
            f"the ledger {path} has schema version {found}, wanted is {len(MIGRATIONS)}; "
            "opening it once for writing migrates it"
        )


def version_of(connection: sqlite3.Connection, path: Path | str, *, known: int) -> int:
    """Return a ledger's schema version, 0 for an empty file.

    Raises:
        LedgerTooNew: The version is above ``known``.
        LedgerDamaged: The file is another program's database.
    """
    found, application, tables = connection.execute(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)"
        " FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    if application != APPLICATION_ID and (application or found or tables):
        raise LedgerDamaged(f"{path} is a database of another program, wanted is a ledger")
    if found > known:
        raise LedgerTooNew(
            f"the ledger {path} has schema version {found}, this program knows {known}: "
            "a newer version of the program is needed",
            found=found,
            known=known,
        )
    return int(found)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all or nothing of what the block does, alone among all writers."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have rolled back itself, on a full disk say
            connection.execute("ROLLBACK")
        raise


def _switch_to_wal(connection: sqlite3.Connection, busy_s: float) -> None:
    # The switch needs the file for itself, and does not always wait for it.
    deadline = time.monotonic() + busy_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not locked or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
        else:
            return
