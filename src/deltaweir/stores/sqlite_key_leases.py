"""What processes hold and book of keys' budgets and rates, in short transactions.

A lease costs no waiting for the disk: commits are synced only when the ledger's own are, which
come about once a second while anything runs. Should the machine lose its power in between, the
bookings of that second are forgotten; the leases of its processes are void then anyhow.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from deltaweir.leases import Pot, Standing
from deltaweir.rates import Bucket
from deltaweir.stores.sqlite_key_file import KeyFile

_POT = "key_id = ? AND unit = ? AND period = ? AND began = ?"
_STANDING = (
    f"SELECT (SELECT spent FROM key_spending WHERE {_POT}),"  # noqa: S608  # a constant
    f" (SELECT sum(amount) FROM key_leases WHERE {_POT} AND holder <> ? AND expires > ?)"
)
# 2**62: with what one stream may add to it, a sum that an integer of SQLite holds
_BOOK = (
    "INSERT INTO key_spending VALUES (?, ?, ?, ?, max(0, ?))"
    " ON CONFLICT DO UPDATE SET spent = min(4611686018427387904, max(0, spent + ?))"
)
_HOLD = "INSERT OR REPLACE INTO key_leases VALUES (?, ?, ?, ?, ?, ?, ?)"
_RETURN = f"DELETE FROM key_leases WHERE {_POT} AND holder = ?"  # noqa: S608  # a constant
_FORGET = "DELETE FROM key_leases WHERE expires <= ?"
_BUCKET = "SELECT weight, at FROM key_rates WHERE key_id = ? AND unit = ?"
_FILL = "INSERT OR REPLACE INTO key_rates VALUES (?, ?, ?, ?)"


class Books:
    """What may be read and written in one transaction; made by `SqliteLeases.writing`.

    Args:
        connection: In a transaction.
        holder: The process's name.
    """

    def __init__(self, connection: sqlite3.Connection, holder: str) -> None:
        self._execute = connection.execute
        self._holder = holder

    def standing(self, pot: Pot, now: float) -> Standing:
        """Return what is spent of a pot, and what other processes hold at this time."""
        row = self._execute(_STANDING, (*pot, *pot, self._holder, now)).fetchone()
        return Standing(row[0] or 0, row[1] or 0)

    def book(self, pot: Pot, amount: int) -> None:
        """Add what was spent; it never gets below zero."""
        if amount:
            self._execute(_BOOK, (*pot, amount, amount))

    def hold(self, pot: Pot, amount: int, expires: float) -> None:
        """Set what this process holds, until a time."""
        if amount > 0:
            self._execute(_HOLD, (*pot, self._holder, amount, expires))
        else:
            self._execute(_RETURN, (*pot, self._holder))

    def forget_expired(self, now: float) -> None:
        """Remove the leases of processes that have not renewed them."""
        self._execute(_FORGET, (now,))

    def bucket(self, key_id: str, unit: str) -> Bucket:
        """Return a key's rate as it was last written."""
        row = self._execute(_BUCKET, (key_id, unit)).fetchone()
        return Bucket() if row is None else Bucket(*row)

    def fill(self, key_id: str, unit: str, bucket: Bucket) -> None:
        """Write a key's rate."""
        self._execute(_FILL, (key_id, unit, *bucket))


class SqliteLeases:
    """Write leases, bookings and rates. Calls block and may come from any thread.

    Args:
        path: The ledger's file, created when missing.
        holder: A name that no other process, of any time, has.

    Raises:
        InvalidRequest: The path is none that processes can share.
        LedgerUnavailable: The file cannot be opened, or is no ledger of ours.
    """

    last = ""
    """What a shared store says of outcomes that are not known: in a file all are."""
    losses = 0
    """What a shared store may have lost: a file is there or gone."""

    def __init__(self, path: Path | str, *, holder: str) -> None:
        self._file = KeyFile(path, durable=False)
        self._holder = holder

    @contextlib.contextmanager
    def writing(self, *, wait_s: float) -> Iterator[Books]:
        """Write all or nothing of what the block does.

        Args:
            wait_s: Seconds to wait for other threads, and as long again for other processes.

        Raises:
            LedgerBusy: Others wrote for too long.
            LedgerUnavailable: The file cannot be used.
        """
        with self._file.writing(wait_s=wait_s) as connection:
            yield Books(connection, self._holder)

    @staticmethod
    def now() -> float:
        """Return the machine's time, in seconds since 1970."""
        return time.time()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
