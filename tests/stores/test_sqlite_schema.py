"""The schema: every older file becomes the newest, once, and no stranger's file is touched."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deltaweir.stores.failures import (
    LedgerBusy,
    LedgerDamaged,
    LedgerTooNew,
    LedgerUnavailable,
)
from deltaweir.stores.sqlite_schema import (
    APPLICATION_ID,
    MIGRATIONS,
    READABLE,
    check_library,
    check_version,
    connect,
    migrate,
    transaction,
    version_of,
)

NEXT = (*MIGRATIONS, ("ALTER TABLE streams ADD COLUMN colour TEXT",))
ONE_TOO_MANY = (*MIGRATIONS, ("CREATE TABLE more (a TEXT) STRICT", "CREATE TABLE more (a TEXT)"))


@contextlib.contextmanager
def _connected(path: Path, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(connect(path, read_only=read_only, busy_s=5)) as connection:
        yield connection


def _shape(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@pytest.mark.parametrize("older", range(len(MIGRATIONS) + 1))
def test_every_older_version_becomes_the_newest(tmp_path: Path, older: int) -> None:
    """A file of any version, the empty one too, ends with the tables of a new file."""
    with _connected(tmp_path / "old.db") as old, _connected(tmp_path / "new.db") as new:
        migrate(old, "old", busy_s=5, migrations=MIGRATIONS[:older])
        assert version_of(old, "old", known=older) == older
        migrate(old, "old", busy_s=5)
        migrate(new, "new", busy_s=5)
        assert version_of(old, "old", known=99) == len(MIGRATIONS)
        assert _shape(old) == _shape(new)


def test_a_migration_keeps_what_is_there(tmp_path: Path) -> None:
    """Rows of the older version are there after the migration, with the new columns empty."""
    with _connected(tmp_path / "a.db") as connection:
        migrate(connection, "a", busy_s=5)
        connection.execute("INSERT INTO streams (stream_id, model) VALUES ('s', 'm')")
        migrate(connection, "a", busy_s=5, migrations=NEXT)
        found = connection.execute("SELECT stream_id, model, colour FROM streams").fetchall()
    assert found == [("s", "m", None)]


def test_a_failing_migration_leaves_the_version_before(tmp_path: Path) -> None:
    """A migration that fails half-way leaves nothing of itself."""
    with _connected(tmp_path / "a.db") as connection:
        with pytest.raises(sqlite3.OperationalError, match="more"):
            migrate(connection, "a", busy_s=5, migrations=ONE_TOO_MANY)
        assert version_of(connection, "a", known=99) == len(MIGRATIONS)
        assert "more" not in dict(_shape(connection))


def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    """Several processes that open a new file in the same moment all find the newest version."""
    program = (
        "import sys; from deltaweir.stores.sqlite import SqliteLedger\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "SqliteLedger(sys.argv[1]).close()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a.db")]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(4)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            process.communicate(timeout=20)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    with _connected(tmp_path / "a.db", read_only=True) as connection:
        check_version(connection, tmp_path / "a.db")
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A file of a newer version is left as it is; the error names both versions."""
    with _connected(tmp_path / "a.db") as connection:
        migrate(connection, "a", busy_s=5)
        connection.execute("PRAGMA user_version = 99")
        with pytest.raises(LedgerTooNew, match=f"99.* {len(MIGRATIONS)}") as refused:
            migrate(connection, "a", busy_s=5)
        with pytest.raises(LedgerTooNew):
            check_version(connection, "a")
        assert connection.execute("PRAGMA user_version").fetchone() == (99,)
    assert (refused.value.found, refused.value.known) == (99, len(MIGRATIONS))


def test_another_program_s_database_is_refused(tmp_path: Path) -> None:
    """A database that is no ledger is left as it is, whether or not it has a version."""
    for number, statement in enumerate(("CREATE TABLE a (b)", "PRAGMA user_version = 1")):
        with _connected(tmp_path / f"{number}.db") as connection:
            connection.execute(statement)
            before = _shape(connection)
            with pytest.raises(LedgerDamaged, match="another program"):
                migrate(connection, tmp_path / f"{number}.db", busy_s=5)
            assert _shape(connection) == before


def test_reading_does_not_migrate(tmp_path: Path) -> None:
    """A file below the newest version cannot only be read; the error says what to do."""
    path = tmp_path / "a.db"
    path.touch()
    with (
        _connected(path, read_only=True) as connection,
        pytest.raises(LedgerUnavailable, match=f"version 0, wanted is {len(MIGRATIONS)}"),
    ):
        check_version(connection, path)


def test_an_older_file_can_be_read_when_its_rows_are_the_same(tmp_path: Path) -> None:
    """Whoever only reads a ledger need not wait until a server has migrated it."""
    for version in range(READABLE, len(MIGRATIONS)):
        with _connected(tmp_path / f"{version}.db") as connection:
            migrate(connection, "a", busy_s=5, migrations=MIGRATIONS[:version])
            check_version(connection, "a")
            assert version_of(connection, "a", known=99) == version


def test_a_file_that_stays_locked_is_busy(tmp_path: Path) -> None:
    """A new file that another holds is waited for, and then reported."""
    path = tmp_path / "a.db"
    with _connected(path) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerBusy):
            connect(path, read_only=False, busy_s=0.01)
        holder.execute("ROLLBACK")
        with contextlib.closing(connect(path, read_only=False, busy_s=0.01)) as late:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerBusy):
                migrate(late, path, busy_s=0.01)


def test_a_file_that_is_being_read_is_waited_for(tmp_path: Path) -> None:
    """The switch to WAL needs the file for itself, and is tried until time is up."""
    path = tmp_path / "a.db"
    with _connected(path) as reader, _connected(path) as late:
        reader.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sqlite_master").fetchall()
        late.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(LedgerBusy):
            migrate(late, path, busy_s=0.03)
        reader.execute("ROLLBACK")
        migrate(late, path, busy_s=5)


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """What a block wrote before it raised is gone, and the next transaction works."""
    with _connected(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE a (b)")
        with pytest.raises(sqlite3.OperationalError), transaction(connection):
            connection.executemany("INSERT INTO a VALUES (abs(?))", [(1,), (-(2**63),)])
        with transaction(connection):
            connection.execute("INSERT INTO a VALUES (2)")
        assert connection.execute("SELECT b FROM a").fetchall() == [(2,)]


def test_commits_survive_a_power_cut(tmp_path: Path) -> None:
    """Every commit is synced: 2 is what SQLite calls FULL."""
    with _connected(tmp_path / "a.db") as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_an_old_library_is_refused() -> None:
    """The error names the version found and the one wanted."""
    check_library((3, 37, 0))
    with pytest.raises(LedgerUnavailable, match=r"3\.37\.0 or newer, this is 3\.34\.1"):
        check_library((3, 34, 1))


@pytest.mark.skipif(os.name == "nt", reason="such names do not exist there")
def test_a_name_is_taken_literally(tmp_path: Path) -> None:
    """Characters that mean something in an address are part of the name."""
    path = tmp_path / "a?mode=ro#%41 b.db"
    with _connected(path) as connection:
        connection.execute("CREATE TABLE a (b)")
    assert path.exists()
