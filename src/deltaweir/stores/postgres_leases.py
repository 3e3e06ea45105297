"""What processes of several machines hold and book of keys' budgets and rates, in PostgreSQL.

A transaction works on records as this process has seen them last, and is then one message: the
server locks the records in the order of their names, and writes them if each is still of the
version that was seen; otherwise it answers with all of them as they are. So where nobody else
writes, one trip does, and where somebody does, two; nothing stays locked while anybody thinks, and
nobody can wait for another in a circle. It is the way of `deltaweir.stores.valkey_books`, which
knows what the records mean, and what became of a message whose answer got lost.

What is spent or held of a budget is on the database's disk before anybody is told. Rates need not
be: should the server crash, it forgets less than a second of a minute.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from deltaweir.errors import DeltaweirError
from deltaweir.leases import SpentError
from deltaweir.stores.failures import LedgerBusy, LedgerUnavailable, StoreUnsure
from deltaweir.stores.postgres_line import PostgresLine
from deltaweir.stores.postgres_schema import SCHEMA
from deltaweir.stores.valkey_books import Change, Clock, Fields, Memory, ValkeyBooks

_BOOKS = f"{SCHEMA}.key_books"
_OPEN_S = 5.0
_TIDY_MS = 3_600_000
_OWN_LASTS_S = 30 * 86_400
_PATIENCE = 0.8
"""How much of its time a message may wait for locks: the rest is for the answer."""

_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
# names begin with what they are of and the key's id, and ';' comes next after ':'
_OF_KEY = f"""SELECT name, version, fields FROM {_BOOKS}
    WHERE name >= %(pots)s || ':' AND name < %(pots)s || ';'
    OR name >= %(rates)s || ':' AND name < %(rates)s || ';'"""  # noqa: S608  # a constant
_TIDY = f"""DELETE FROM {_BOOKS} WHERE name IN (SELECT name FROM {_BOOKS}
    WHERE expires < now() ORDER BY name LIMIT 1000 FOR UPDATE SKIP LOCKED)"""  # noqa: S608  # constants

_PATIENTLY = "SELECT set_config('lock_timeout', %(patience)s, true)"
_SOON = "SELECT set_config('synchronous_commit', 'off', true)"
_INSERT = f"""INSERT INTO {_BOOKS} (name) SELECT unnest(%(new)s::text[])
    ON CONFLICT DO NOTHING"""
_LOCK = f"SELECT FROM {_BOOKS} WHERE name = ANY(%(names)s) ORDER BY name FOR UPDATE"
_WRITE = f"""WITH wanted AS (
    SELECT * FROM unnest(%(names)s::text[], %(seen)s::text[], %(fields)s::text[],
        %(lasts_s)s::bigint[]) AS wanted (name, seen, fields, lasts_s)
), held AS (
    SELECT count(*) = cardinality(%(names)s::text[]) AS yes
    FROM wanted JOIN {_BOOKS} AS books USING (name) WHERE books.version = wanted.seen
), written AS (
    UPDATE {_BOOKS} AS books SET version = %(commit)s, fields = wanted.fields::jsonb,
        expires = now() + wanted.lasts_s * interval '1 second'
    FROM wanted, held
    WHERE held.yes AND books.name = wanted.name AND wanted.fields IS NOT NULL
)
SELECT held.yes, extract(epoch FROM clock_timestamp())::float8, CASE WHEN NOT held.yes THEN (
    SELECT json_object_agg(name, json_build_array(version, fields))
    FROM {_BOOKS} WHERE name = ANY(%(names)s)) END
FROM held"""  # noqa: S608  # constants
"""Writes records if all are as they were seen, else returns them; ``fields`` has null for those
that were only read, ``lasts_s`` for those that last for ever."""


class PostgresLeases:
    """Write leases, bookings and rates. Calls block and may come from any thread.

    Args:
        line: The database; closed with this.
        holder: A name that no other process, of any time, has.

    Raises:
        LedgerUnavailable: It cannot be reached, or used.
    """

    def __init__(self, line: PostgresLine, *, holder: str) -> None:
        self._line = line
        self._memory = Memory("", holder)
        self._clock = Clock()
        self._using = threading.Lock()
        self._tidied_ms = 0
        asked = time.monotonic()
        ((told,),) = line.ask(_NOW, wait_s=_OPEN_S)
        self._clock.learn(told, asked, time.monotonic())

    @property
    def last(self) -> str:
        """The name of what was written last for this process, as far as it knows."""
        return self._memory.last

    @property
    def losses(self) -> int:
        """How often what was written for this process was found to be lost."""
        return self._memory.losses

    def now(self) -> float:
        """Return the database's time, the same for all machines, in seconds since 1970."""
        return self._clock.at(time.monotonic())

    @contextlib.contextmanager
    def writing(self, *, wait_s: float) -> Iterator[ValkeyBooks]:
        """Write all or nothing of what the block does.

        Args:
            wait_s: Seconds to wait for other threads, and the database.

        Raises:
            LedgerBusy: Others wrote meanwhile, or for too long; nothing was written.
            StoreUnsure: The database has not answered; `last` tells later whether it was written.
            LedgerUnavailable: It cannot be reached, or refuses; nothing was written.
        """
        deadline = time.monotonic() + wait_s
        if not self._using.acquire(timeout=wait_s):
            raise LedgerBusy("the ledger is in use by another thread")
        try:
            books = self._memory.begin(self._reader(deadline))
            try:
                yield books
            except LedgerUnavailable:
                raise
            except (DeltaweirError, SpentError):
                # nobody is refused for what was true a while ago
                if books.guesses:
                    books.only_look()
                    self._commit(books, deadline)
                raise
            self._tidy(deadline)
            if books.changes():
                self._commit(books, deadline)
        finally:
            self._using.release()

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def _reader(self, deadline: float) -> Callable[[str], Fields]:
        """Return what reads a record; all of its key come with it, in one trip."""
        found: dict[str, dict[str, Fields]] = {}

        def read(name: str) -> Fields:
            _, key_id, _ = name.split(":", 2)
            if key_id not in found:
                told = {"pots": f"pot:{key_id}", "rates": f"rate:{key_id}"}
                rows = self._line.ask(_OF_KEY, told, wait_s=_left(deadline))
                found[key_id] = {row[0]: _fields(*row[1:]) for row in rows}
            return found[key_id].get(name, {})

        return read

    def _tidy(self, deadline: float) -> None:
        """Remove what has expired, once an hour, when dead processes' leases are forgotten."""
        forgotten_ms = self._memory.forgotten_ms
        if forgotten_ms > self._tidied_ms + _TIDY_MS:
            self._tidied_ms = forgotten_ms
            self._line.ask(_TIDY, wait_s=_left(deadline))

    def _commit(self, books: ValkeyBooks, deadline: float) -> None:
        memory = self._memory
        commit = memory.name()
        statements, told = _message(memory, books.changes(), commit)
        asked = time.monotonic()
        wait_s = _left(deadline)
        told["patience"] = str(max(1, int(1000 * wait_s * _PATIENCE)))
        try:
            ((held, now, records),) = self._line.ask(statements, told, wait_s=wait_s)
        except StoreUnsure as error:
            memory.unsure(commit)
            error.commit = commit
            raise
        self._clock.learn(now, asked, time.monotonic())
        if held:
            memory.wrote(books, commit)
            return
        names = [memory.own, *(one.name for one in books.changes())]
        there = {name: _fields(*one) for name, one in (records or {}).items()}
        memory.found(names, [_flat(there.get(name, {})) for name in names])
        raise LedgerBusy("others wrote to the ledger meanwhile")


def _message(memory: Memory, changes: Sequence[Change], commit: str) -> tuple[str, dict[str, Any]]:
    """Return the statements of a transaction, and what they take."""
    rows: list[tuple[str, str, str | None, int | None]] = []
    rows.append((memory.own, memory.last, "{}", _OWN_LASTS_S))
    rows += [
        (
            one.name,
            one.seen.decode(),
            _text(one.fields) if one.sets or one.drops else None,
            one.lasts_s or None,
        )
        for one in changes
    ]
    names, seen, fields, lasts_s = map(list, zip(*sorted(rows), strict=True))
    new = [name for name, version in zip(names, seen, strict=True) if not version]
    budgets = any((one.sets or one.drops) and one.name.startswith("pot:") for one in changes)
    statements = [_PATIENTLY, *(() if budgets else (_SOON,)), *((_INSERT,) if new else ())]
    told = {"names": names, "seen": seen, "fields": fields, "lasts_s": lasts_s}
    return "; ".join([*statements, _LOCK, _WRITE]), {**told, "new": new, "commit": commit}


def _text(fields: Fields) -> str:
    """Return a record's fields as JSON; its version has a column of its own."""
    texts = {name.decode(): value.decode() for name, value in fields.items() if name != b"v"}
    return msgspec.json.encode(texts).decode()


def _fields(version: str, texts: dict[str, str]) -> Fields:
    fields = {name.encode(): value.encode() for name, value in texts.items()}
    return {b"v": version.encode(), **fields} if version else fields


def _flat(fields: Fields) -> list[bytes]:
    return [part for pair in fields.items() for part in pair]


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())
