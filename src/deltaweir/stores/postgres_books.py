"""How the records of keys' budgets and rates lie in PostgreSQL: what is asked, and what it takes.

A record has a name, a version, which is the commit that wrote it last, and fields, as
`deltaweir.stores.versioned_books` knows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from deltaweir.stores.postgres_schema import SCHEMA
from deltaweir.stores.versioned_books import Change, Fields, Memory

_BOOKS = f"{SCHEMA}.key_books"
_OWN_LASTS_S = 30 * 86_400
_PATIENCE = 0.8
"""How much of its time a message may wait for locks: the rest is for the answer."""
_SILENCE_MS = 1000
"""How long the server lets somebody hold locks who says nothing."""

NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
# names begin with what they are of and the key's id, and ';' comes next after ':'
OF_KEY = f"""SELECT name, version, fields FROM {_BOOKS}
    WHERE name >= %(pots)s || ':' AND name < %(pots)s || ';'
    OR name >= %(rates)s || ':' AND name < %(rates)s || ';'"""  # noqa: S608  # a constant
"""Reads all records of a key."""
TIDY = f"""DELETE FROM {_BOOKS} WHERE name IN (SELECT name FROM {_BOOKS}
    WHERE expires < now() ORDER BY name LIMIT 1000 FOR UPDATE SKIP LOCKED)"""  # noqa: S608  # constants
"""Removes what has expired; waits for nobody."""

HOLD = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT {SCHEMA}.key_hold(%(told)s::jsonb)"
"""Begins a transaction that holds records, and returns them."""
_COMMIT = f"SELECT * FROM {SCHEMA}.key_commit(%(told)s::jsonb)"  # noqa: S608  # a constant

_Records = Mapping[str, tuple[str, dict[str, str]]]


def hold(names: Sequence[str], wait_s: float) -> dict[str, str]:
    """Return what `HOLD` takes."""
    told = {"names": names, "patience": _patience(wait_s), "silence": str(_SILENCE_MS)}
    return {"told": msgspec.json.encode(told).decode()}


def commit(
    memory: Memory, changes: Sequence[Change], name: str, wait_s: float, *, begun: bool
) -> tuple[str, dict[str, str]]:
    """Return the statements that write a transaction, and what they take.

    What is spent or held of a budget is on disk before it is answered; rates need not be.

    Args:
        memory: What the process has seen.
        changes: What the transaction has read and written.
        name: What the commit is called.
        wait_s: How long it may take, in seconds.
        begun: Whether `HOLD` has begun it. Then what it touches besides is not waited for:
            others may hold that, and wait for what this one holds.
    """
    own = {"name": memory.own, "seen": memory.last, "fields": {}, "lasts_s": _OWN_LASTS_S}
    told = {
        "commit": name,
        "patience": _patience(wait_s),
        "durable": any(_written(one) and one.name.startswith("pot:") for one in changes),
        "waits": not begun,
        "records": [own, *map(_record, changes)],
    }
    statements = f"{_COMMIT}; COMMIT" if begun else _COMMIT
    return statements, {"told": msgspec.json.encode(told).decode()}


def fields_of(version: str, texts: Mapping[str, str]) -> Fields:
    """Return a record as a transaction sees it."""
    fields = {name.encode(): value.encode() for name, value in texts.items()}
    return {b"v": version.encode(), **fields} if version else fields


def flat(records: _Records, names: Sequence[str]) -> list[list[bytes]]:
    """Return records as fields and values, one after the other; empty where there is none."""
    found = [fields_of(*records[name]) if name in records else {} for name in names]
    return [[part for pair in fields.items() for part in pair] for fields in found]


def _record(change: Change) -> dict[str, Any]:
    record: dict[str, Any] = {"name": change.name, "seen": change.seen.decode()}
    if _written(change):
        fields = change.fields.items()
        # the version has a column of its own
        record["fields"] = {name.decode(): one.decode() for name, one in fields if name != b"v"}
        record["lasts_s"] = change.lasts_s or None
    return record


def _written(change: Change) -> bool:
    return bool(change.sets or change.drops)


def _patience(wait_s: float) -> str:
    """Return how long to wait for locks, in milliseconds, as the server wants it told."""
    return str(max(1, int(1000 * wait_s * _PATIENCE)))
