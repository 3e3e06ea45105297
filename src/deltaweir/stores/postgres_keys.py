"""Clients' keys in PostgreSQL: made, revoked, and read again only when one has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import msgspec
import psycopg

from deltaweir.allowances import KeyRecord, Quota, window_of
from deltaweir.errors import InvalidRequest
from deltaweir.stores.key_rows import key_of
from deltaweir.stores.postgres_line import PostgresLine
from deltaweir.stores.postgres_schema import SCHEMA
from deltaweir.stores.versioned_books import named

WAIT_S = 5.0
"""How long a call waits for the database, in seconds."""
LOOK_S = 1.0
"""How long a look for changes does, which is made twice a second."""

_COLUMNS = "key_id, digest, name, terms::text, created, revoked"
_INSERT = f"""INSERT INTO {SCHEMA}.keys (key_id, digest, name, terms, created)
    VALUES (%(key_id)s, %(digest)s, %(name)s, %(terms)s::jsonb, %(created)s)"""  # noqa: S608  # constants
_REVOKE = f"""UPDATE {SCHEMA}.keys SET revoked = %(now)s
    WHERE key_id = %(key_id)s AND revoked IS NULL;
    SELECT {_COLUMNS} FROM {SCHEMA}.keys WHERE key_id = %(key_id)s"""  # noqa: S608  # constants
_ALL = f"SELECT {_COLUMNS} FROM {SCHEMA}.keys ORDER BY created, key_id"  # noqa: S608  # constants
_CHANGES = f"SELECT number FROM {SCHEMA}.key_changes"  # noqa: S608  # a constant
_SPENT = f"""SELECT name, fields ->> 'spent' FROM {SCHEMA}.key_books
    WHERE name = ANY(%(names)s)"""  # noqa: S608  # a constant


class PostgresKeys:
    """Keep keys, without their secrets. Calls block and may come from any thread.

    Args:
        line: The database; closed with this.
    """

    def __init__(self, line: PostgresLine) -> None:
        self._line = line

    def create(self, record: KeyRecord) -> None:
        """Add a key; it is on the database's disk afterwards.

        Raises:
            InvalidRequest: There is one with this id.
            LedgerUnavailable: It cannot be written.
        """
        told = {
            "key_id": record.id,
            "digest": record.digest,
            "name": record.name,
            "terms": msgspec.json.encode(record.terms).decode(),
            "created": float(record.created),
        }
        try:
            self._line.ask(_INSERT, told, wait_s=WAIT_S)
        except psycopg.IntegrityError as error:
            raise InvalidRequest(
                f"there is a key with the id {record.id!r}; ask for another"
            ) from error

    def revoke(self, key_id: str, now: float) -> KeyRecord:
        """Revoke a key, and return it as it is then; one that was revoked stays as it is.

        Args:
            key_id: Its id.
            now: Seconds since 1970.

        Raises:
            InvalidRequest: There is no such key.
            LedgerUnavailable: It cannot be written.
        """
        found = self._line.ask(_REVOKE, {"key_id": key_id, "now": float(now)}, wait_s=WAIT_S)
        if not found:
            raise InvalidRequest(
                f"no key has the id {key_id!r}; `deltaweir keys list` shows those that exist",
                status=404,
                code="key_not_found",
            )
        return key_of(found[0], ledger=self._line.name)

    def records(self) -> list[KeyRecord]:
        """Return all keys, the oldest first.

        Raises:
            LedgerDamaged: One cannot be read.
            LedgerUnavailable: They cannot be read.
        """
        return [key_of(row, ledger=self._line.name) for row in self._line.ask(_ALL, wait_s=WAIT_S)]

    def changes(self) -> tuple[object, ...]:
        """Return what is another pair after each change of a key; costs one trip.

        Raises:
            LedgerUnavailable: It cannot be read.
        """
        number = self._line.ask(_CHANGES, wait_s=LOOK_S)
        return self._line.openings, *number  # behind another connection may be another server

    def spent(self, key_id: str, quotas: Sequence[Quota], now: float) -> list[int]:
        """Return what is booked of each budget of a key, in the window that a time lies in.

        Raises:
            LedgerUnavailable: It cannot be read.
        """
        if not quotas:
            return []
        names = [
            named("", "pot", key_id, one.unit, one.period, str(window_of(one.period, now)))
            for one in quotas
        ]
        found = dict(self._line.ask(_SPENT, {"names": names}, wait_s=WAIT_S))
        return [int(found.get(name) or 0) for name in names]

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
