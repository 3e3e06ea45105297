"""One connection to the tables of keys, which lie beside the ledger's in the same file.

What is refused here would otherwise go wrong in silence: a file that was removed or replaced
while it was open, whose old content SQLite would go on to read and write; a file that is gone
and would be made anew, empty, with every budget whole again; a connection taken over a fork.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from deltaweir.errors import InvalidRequest
from deltaweir.stores.failures import LedgerBusy, LedgerUnavailable, named
from deltaweir.stores.sqlite_schema import connect, migrate, transaction


class KeyFile:
    """Open the file, and lend its connection to one thread at a time.

    Args:
        path: The ledger's file, created when missing.
        durable: Whether a commit survives a power cut. Without, it costs no waiting for the
            disk; what is lost then are the last moments before the machine stopped, back to the
            ledger's own last commit, never the file.
        busy_s: Seconds that opening it waits while another process writes.

    Raises:
        InvalidRequest: The path is none that processes can share.
        LedgerUnavailable: The file cannot be opened, or is no ledger of ours.
    """

    def __init__(self, path: Path | str, *, durable: bool, busy_s: float = 5.0) -> None:
        if str(path) == ":memory:":
            raise InvalidRequest(
                "keys need a ledger in a file: set [ledger] url = 'sqlite:///deltaweir.db'",
                param="ledger.url",
            )
        self.path = Path(path).absolute()
        self._durable = durable
        self._busy_s = busy_s
        self._process = os.getpid()
        self._using = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self.openings = 0
        """How often the file was opened; what was read before the last time may be another's."""
        self._open(busy_s)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Use the connection, alone.

        Raises:
            LedgerUnavailable: The file cannot be used; the next call tries to open it again.
        """
        with self._using, named(self.path):
            yield self._connected(self._busy_s)

    @contextlib.contextmanager
    def writing(self, *, wait_s: float) -> Iterator[sqlite3.Connection]:
        """Use the connection in a transaction, which is undone when the block raises.

        Args:
            wait_s: Seconds to wait for other threads, and as long again for other processes;
                where the file was lost, also to open it again.

        Raises:
            LedgerBusy: It was not to be had in time; nothing was written.
            LedgerUnavailable: The file cannot be used.
        """
        if not self._using.acquire(timeout=wait_s):
            raise LedgerBusy(f"the ledger {self.path} is in use by another thread")
        try:
            with named(self.path):
                connection = self._connected(wait_s)
                connection.execute(f"PRAGMA busy_timeout = {max(1, int(1000 * wait_s))}")
                with transaction(connection):
                    yield connection
        finally:
            self._using.release()

    def close(self) -> None:
        """Close the file; it stays closed."""
        if self._process != os.getpid():
            return
        with self._using:
            self._drop()
            self._process = -1

    def _connected(self, busy_s: float) -> sqlite3.Connection:
        if self._process != os.getpid():
            raise LedgerUnavailable(
                f"the ledger {self.path} was closed, or open when this process was forked"
            )
        if self._connection is not None and self._file != _identity(self.path):
            self._drop()
            raise LedgerUnavailable(f"the ledger {self.path} was removed or replaced while in use")
        if self._connection is None:
            if _identity(self.path) is None:
                raise LedgerUnavailable(f"the ledger {self.path} is gone; restart to begin another")
            self._open(busy_s)
        assert self._connection is not None
        return self._connection

    def _open(self, busy_s: float) -> None:
        connection = connect(self.path, read_only=False, busy_s=busy_s)
        try:
            migrate(connection, self.path, busy_s=busy_s)
            if not self._durable:
                connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        self._connection, self._file = connection, _identity(self.path)
        self.openings += 1

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # once a transaction: pathlib takes twice as long
    except OSError:
        return None
    return found.st_dev, found.st_ino
