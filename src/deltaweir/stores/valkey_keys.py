"""Clients' keys in a store: made, revoked, and read again only when one has changed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Self

import msgspec

from deltaweir.allowances import KeyRecord, Quota, window_of
from deltaweir.errors import InvalidRequest
from deltaweir.stores.failures import LedgerDamaged
from deltaweir.stores.valkey import Script, ValkeyLine
from deltaweir.stores.versioned_books import fields_of, named

WAIT_S = 1.0
"""How long a call waits for the store, in seconds."""

_CREATE = Script("""
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('SET', KEYS[3], ARGV[3])
return 1
""")
_REVOKE = Script("""
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found then return {} end
if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 1 then
  redis.call('SET', KEYS[3], ARGV[3])
end
return {found, redis.call('HGET', KEYS[2], ARGV[1])}
""")
_ALL = Script("return {redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])}")


_kept = msgspec.json.Decoder(KeyRecord)


class ValkeyKeys:
    """Keep keys, without their secrets. Calls block and may come from any thread.

    Args:
        line: The store; closed with this.
        prefix: How all names in it begin.
    """

    def __init__(self, line: ValkeyLine, *, prefix: str) -> None:
        self._line = line
        self._prefix = prefix
        self._names = [named(prefix, one) for one in ("keys", "revoked", "changes")]

    def create(self, record: KeyRecord) -> None:
        """Add a key; whether it is on disk afterwards is the store's business.

        Raises:
            InvalidRequest: There is one with this id.
            StoreUnavailable: It cannot be written.
        """
        kept = msgspec.json.encode(msgspec.structs.replace(record, revoked=None))
        if not self._run(_CREATE, record.id, kept, secrets.token_hex(8)):
            raise InvalidRequest(f"there is a key with the id {record.id!r}; ask for another")

    def revoke(self, key_id: str, now: float) -> KeyRecord:
        """Revoke a key, and return it as it is then; one that was revoked stays as it is.

        Args:
            key_id: Its id.
            now: Seconds since 1970.

        Raises:
            InvalidRequest: There is no such key.
            StoreUnavailable: It cannot be written.
        """
        found = self._run(_REVOKE, key_id, repr(now), secrets.token_hex(8))
        if not found:
            raise InvalidRequest(
                f"no key has the id {key_id!r}; `deltaweir keys list` shows those that exist",
                status=404,
                code="key_not_found",
            )
        return _record(key_id, *found)

    def records(self) -> list[KeyRecord]:
        """Return all keys, the oldest first.

        Raises:
            LedgerDamaged: One cannot be read.
            StoreUnavailable: They cannot be read.
        """
        kept, revoked = map(fields_of, self._run(_ALL))
        found = [_record(key_id.decode(), one, revoked.get(key_id)) for key_id, one in kept.items()]
        return sorted(found, key=lambda one: (one.created, one.id))

    def changes(self) -> tuple[object, ...]:
        """Return what is another pair after each change of a key; costs one trip to the store.

        Raises:
            StoreUnavailable: It cannot be read.
        """
        changed = self._line.call("GET", self._names[2], wait_s=WAIT_S)
        return self._line.openings, changed  # behind another connection may be another store

    def spent(self, key_id: str, quotas: Sequence[Quota], now: float) -> list[int]:
        """Return what is booked of each budget of a key, in the window that a time lies in.

        Raises:
            StoreUnavailable: It cannot be read.
        """
        found = []
        for one in quotas:
            began = str(window_of(one.period, now))
            pot = named(self._prefix, "pot", key_id, one.unit, one.period, began)
            found.append(self._line.call("HGET", pot, "spent", wait_s=WAIT_S))
        return [int(one or 0) for one in found]

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, script: Script, *values: bytes | str) -> Any:
        return self._line.run(script, self._names, values, wait_s=WAIT_S)


def _record(key_id: str, kept: bytes, revoked: bytes | None) -> KeyRecord:
    try:
        record = _kept.decode(kept)
        since = None if revoked is None else float(revoked)
    except (msgspec.DecodeError, ValueError) as error:
        raise LedgerDamaged(
            f"the store has terms of the key {key_id!r} that cannot be read"
        ) from error
    return msgspec.structs.replace(record, revoked=since)
