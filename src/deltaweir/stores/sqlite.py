"""The ledger in one SQLite file, written by all processes of one machine.

Every write is idempotent and knows no order: a row is filled by upserts, each of which touches
only what it knows, and only while nothing final stands there. So a batch that was interrupted
is simply written again.

A row belongs to the writer that first told of its stream. `liveness` tells which writers died;
their open rows are closed as ``failed``, from their last checkpoint. Such an end is presumed:
should the writer live after all, since somebody removed its lock file, the end that it tells
replaces it.

SQLite forbids to fork while a database is open and to use it in the child, even through a new
connection: the child would believe that it holds its parent's locks. The child is refused.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from deltaweir.accounts import Attempt, Entry, Row
from deltaweir.stores import sqlite_statements as sql
from deltaweir.stores.failures import LedgerUnavailable, named
from deltaweir.stores.ledger_columns import RunningRow, attempt, row, running_row, values
from deltaweir.stores.liveness import Life, dead, signs
from deltaweir.stores.sqlite_schema import check_version, connect, migrate, transaction
from deltaweir.usage_report import Line, grouping

_open_in: dict[Path, int] = {}
_abandoned: list[sqlite3.Connection] = []


class SqliteLedger:
    """Keep and report what streams use, in one file.

    Args:
        path: The file, created when missing in a directory that exists; ":memory:" keeps all in
            this object.
        read_only: Whether only to read; the file must exist then.
        busy_s: Seconds that a call waits while another process writes.

    Calls block and may come from any thread. Processes share the file, each with an object of
    its own, made after a fork. Until the first write nothing is held open.

    Raises:
        LedgerUnavailable: The file cannot be opened.
        LedgerDamaged: It is no database, another program's, or damaged.
        LedgerTooNew: A newer version of this package wrote it.
        LedgerBusy: Another process holds it.
    """

    def __init__(self, path: Path | str, *, read_only: bool = False, busy_s: float = 5.0) -> None:
        self.path: Path | str = path if path == ":memory:" else Path(path).absolute()
        self._read_only = read_only
        self._busy_s = busy_s
        self._using = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._life: Life | None = None
        self._process = os.getpid()
        connection = self._connected()
        if isinstance(self.path, Path):
            connection.close()
        else:
            self._connection = connection

    def write(self, batch: Sequence[Entry]) -> None:
        """Write all entries, or none, in one transaction.

        Entries may have been written before, and may come in any order. Of several checkpoints
        the latest counts, of several ends the first; a checkpoint never changes an ended row.

        Raises:
            LedgerBusy: Another process held the file for too long.
            LedgerUnavailable: The file cannot be written.
        """
        with self._writing() as connection:
            writer = self._writer_id()
            with transaction(connection):
                for kind, statement in sql.INSERTS.items():
                    rows = (values(entry, writer) for entry in batch if type(entry) is kind)
                    connection.executemany(statement, rows)

    def close_dead(self, now: float) -> int:
        """Close the open rows of dead processes as ``failed``; return how many.

        They end at their last checkpoint, or else when they were opened.

        Args:
            now: Seconds since 1970; the end of rows of which neither is known.
        """
        if self._read_only or not isinstance(self.path, Path):
            return 0
        directory = self._signs_of_life()
        closed = 0
        with self._writing() as connection:
            own = self._life.writer_id if self._life else None
            suspects = {writer for (writer,) in connection.execute(sql.OPEN_WRITERS)}
            for writer in (suspects | signs(directory)) - {own}:
                with _explained(directory), dead(directory, writer) as gone:
                    if gone and writer in suspects:
                        closed += _bury(connection, writer, now)
        return closed

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

        Args:
            group_by: Any of `deltaweir.usage_report.GROUPS`; lines are sorted by them. Without any
                there is one line, or none when there are no streams.
            since: Seconds since 1970, inclusive; None for all.
            until: Seconds since 1970, exclusive; None for all.
            key_id: Only streams of this key; None for all.
            user: Only streams of this user; None for all.
            most: How many lines are wanted at most, the first of them; None for all.

        Raises:
            InvalidRequest: ``group_by`` has an unknown name.
        """
        query = sql.usage(grouping(group_by), bounded=since is not None, most=most)
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
        with self._reading() as connection:
            connection.execute("BEGIN")
            try:
                streams = connection.execute(sql.ROWS, chosen).fetchall()
                for one in connection.execute(sql.ATTEMPTS, chosen):
                    attempts.setdefault(one[0], []).append(attempt(one))
            finally:
                connection.execute("ROLLBACK")
        return [row(one, tuple(attempts.get(one[0], ()))) for one in streams]

    def running(self, most: int) -> list[RunningRow]:
        """Return the open rows of other processes, the newest first.

        Among them are those of processes that died, until somebody closes them.

        Args:
            most: How many are returned at most; each tells how many there are.

        Raises:
            LedgerUnavailable: The file cannot be read.
        """
        own = None if self._life is None else self._life.writer_id
        with self._reading() as connection:
            found = connection.execute(sql.RUNNING, (own, most)).fetchall()
        return [running_row(one) for one in found]

    def close(self) -> None:
        """Close the file; rows that are still open count as a dead process's from now on."""
        if self._process != os.getpid():
            return
        with self._using:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                if isinstance(self.path, Path):
                    _open_in.pop(self.path, None)
            if self._life is not None:
                self._life.end()
                self._life = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self) -> sqlite3.Connection:
        """Return a new connection to a ledger of the newest version."""
        if isinstance(self.path, Path) and _open_in.get(self.path, os.getpid()) != os.getpid():
            raise LedgerUnavailable(
                f"the ledger {self.path} was open when this process was forked; fork first"
            )
        connection = connect(self.path, read_only=self._read_only, busy_s=self._busy_s)
        try:
            if self._read_only:
                check_version(connection, self.path)
            else:
                migrate(connection, self.path, busy_s=self._busy_s)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Use the connection that is kept, alone."""
        if self._process != os.getpid():
            self._forked()
        with self._using, named(self.path):
            if self._connection is None:
                self._connection = self._connected()
                if isinstance(self.path, Path):
                    _open_in[self.path] = os.getpid()
            yield self._connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Use a connection of one's own, so that reading never waits for writing."""
        if not isinstance(self.path, Path):
            with self._writing() as connection:
                yield connection
            return
        with contextlib.closing(self._connected()) as connection, named(self.path):
            yield connection

    def _forked(self) -> None:
        """Start anew in a child, without its parent's lock, connection and life."""
        self._process = os.getpid()
        self._using = threading.Lock()
        self._life = None
        if self._connection is not None:
            _abandoned.append(self._connection)  # closing it would drop the parent's locks
            self._connection = None

    def _signs_of_life(self) -> Path:
        return Path(f"{self.path}-writers")

    def _writer_id(self) -> str | None:
        if not isinstance(self.path, Path):
            return None
        if self._life is None:
            with _explained(self._signs_of_life()):
                self._life = Life(self._signs_of_life())
        return self._life.writer_id


@contextlib.contextmanager
def _explained(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerUnavailable(
            f"the ledger's writers cannot be told apart: {directory}: {error.strerror}"
        ) from error


def _bury(connection: sqlite3.Connection, writer: str, now: float) -> int:
    with transaction(connection):
        connection.execute(sql.BURY_ATTEMPTS, (now, writer))
        return connection.execute(sql.BURY, (now, writer)).rowcount
