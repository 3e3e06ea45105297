"""Clients' keys in the ledger's file: made, revoked, and read again only when one has changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from deltaweir.allowances import KeyRecord, Quota, window_of
from deltaweir.errors import InvalidRequest
from deltaweir.stores.key_rows import key_of
from deltaweir.stores.sqlite_key_file import KeyFile

_BUSY_S = 5.0

_INSERT = "INSERT INTO keys (key_id, digest, name, terms, created) VALUES (?, ?, ?, ?, ?)"
_REVOKE = "UPDATE keys SET revoked = ? WHERE key_id = ? AND revoked IS NULL"
_ONE = "SELECT key_id, digest, name, terms, created, revoked FROM keys WHERE key_id = ?"
_ALL = "SELECT key_id, digest, name, terms, created, revoked FROM keys ORDER BY created, key_id"
_CHANGES = "SELECT number FROM key_changes"
_SPENT = "SELECT spent FROM key_spending WHERE key_id = ? AND unit = ? AND period = ? AND began = ?"


class SqliteKeys:
    """Keep keys, without their secrets. Calls block and may come from any thread.

    Args:
        path: The ledger's file, created when missing.
        busy_s: Seconds that a call waits while another process writes.

    Raises:
        InvalidRequest: The path is none that processes can share.
        LedgerUnavailable: The file cannot be opened, or is no ledger of ours.
    """

    def __init__(self, path: Path | str, *, busy_s: float = _BUSY_S) -> None:
        self._file = KeyFile(path, durable=True, busy_s=busy_s)
        self._busy_s = busy_s

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    def create(self, record: KeyRecord) -> None:
        """Add a key; it is on disk afterwards.

        Raises:
            LedgerUnavailable: It cannot be written.
        """
        terms = msgspec.json.encode(record.terms).decode()
        values = (record.id, record.digest, record.name, terms, record.created)
        with self._file.writing(wait_s=self._busy_s) as connection:
            connection.execute(_INSERT, values)

    def revoke(self, key_id: str, now: float) -> KeyRecord:
        """Revoke a key, and return it as it is then; one that was revoked stays as it is.

        Args:
            key_id: Its id.
            now: Seconds since 1970.

        Raises:
            InvalidRequest: There is no such key.
            LedgerUnavailable: It cannot be written.
        """
        with self._file.writing(wait_s=self._busy_s) as connection:
            connection.execute(_REVOKE, (now, key_id))
            found = connection.execute(_ONE, (key_id,)).fetchone()
        if found is None:
            raise InvalidRequest(
                f"no key has the id {key_id!r}; `deltaweir keys list` shows those that exist",
                status=404,
                code="key_not_found",
            )
        return key_of(found, ledger=self.path)

    def records(self) -> list[KeyRecord]:
        """Return all keys, the oldest first.

        Raises:
            LedgerUnavailable: They cannot be read.
        """
        with self._file.reading() as connection:
            found = connection.execute(_ALL).fetchall()
        return [key_of(row, ledger=self.path) for row in found]

    def changes(self) -> tuple[int, int]:
        """Return what is another pair after each change of a key; costs some microseconds.

        Raises:
            LedgerUnavailable: It cannot be read.
        """
        with self._file.reading() as connection:
            return self._file.openings, connection.execute(_CHANGES).fetchone()[0]

    def spent(self, key_id: str, quotas: Sequence[Quota], now: float) -> list[int]:
        """Return what is booked of each budget of a key, in the window that a time lies in.

        Raises:
            LedgerUnavailable: It cannot be read.
        """
        with self._file.reading() as connection:
            found = [
                connection.execute(
                    _SPENT, (key_id, one.unit, one.period, window_of(one.period, now))
                ).fetchone()
                for one in quotas
            ]
        return [0 if row is None else row[0] for row in found]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
