"""The ledger's statements in PostgreSQL.

Columns come as arrays, so a batch is one statement a kind of entry however many there are. All
statements of a call go in one round trip, and are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from deltaweir.accounts import FAILED, Entry
from deltaweir.stores import ledger_columns
from deltaweir.stores.ledger_columns import (
    ATTEMPT_ROW,
    EMBEDDED,
    FAILURES,
    STREAM_ROW,
    UPSERTS,
    Upsert,
    merged,
    values,
)
from deltaweir.stores.postgres_schema import SCHEMA
from deltaweir.usage_report import GROUPS, Group, Line

_STREAMS, _ATTEMPTS, _WRITERS = (f"{SCHEMA}.{name}" for name in ("streams", "attempts", "writers"))
_MOMENTS = {"started", "ended", "checkpointed", "first_content_s", "total_s"}
_COUNTS = {
    "number",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "cost_pico",
    "counted_tokens",
}


def _text(value: str) -> str:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")  # which PostgreSQL's text has not


def _kind(name: str) -> tuple[str, Callable[[Any], Any]]:
    """Return a column's type, and what makes a value one of it."""
    if name in _MOMENTS:
        return "float8", float
    if name in _COUNTS:
        return "bigint", int
    return ("boolean", bool) if name == "streamed" else ("text", _text)


def _quoted(names: Sequence[str], table: str = "") -> str:
    return ", ".join(f'{table}"{name}"' for name in names)


def _statement(upsert: Upsert) -> str:
    """Return a statement that sets columns of new rows, or of those that a condition allows."""
    arrays = ", ".join(f"%s::{_kind(name)[0]}[]" for name in upsert.columns)
    changed = [f'"{name}" = excluded."{name}"' for name in upsert.changed]
    changed += [f"{name} = {value}" for name, value in upsert.fixed]
    return (
        f"INSERT INTO {SCHEMA}.{upsert.table} AS {upsert.table} ({_quoted(upsert.columns)}) "  # noqa: S608  # our own names
        f"SELECT * FROM unnest({arrays}) ON CONFLICT ({', '.join(upsert.key)}) "
        f"DO UPDATE SET {', '.join(changed)} WHERE {upsert.unless}"
    )


_INSERTS = {kind: (_statement(upsert), upsert.columns) for kind, upsert in UPSERTS.items()}


def written(batch: Sequence[Entry], writer: str) -> tuple[list[str], list[Any]]:
    """Return the statements that write a batch, and what they take."""
    statements: list[str] = []
    arrays: list[Any] = []
    found = merged(batch)
    for kind, (statement, columns) in _INSERTS.items():
        entries = found.get(kind)
        if not entries:
            continue
        statements.append(statement)
        rows = zip(*(values(entry, writer) for entry in entries), strict=True)
        for name, column in zip(columns, rows, strict=True):
            make = _kind(name)[1]
            arrays.append([None if value is None else make(value) for value in column])
    return statements, arrays


LEASE = f"""INSERT INTO {_WRITERS} AS writers (writer, expires)
    VALUES (%s, clock_timestamp() + %s * interval '1 second')
    ON CONFLICT (writer) DO UPDATE SET expires = excluded.expires RETURNING xmax = 0"""  # noqa: S608  # constants
"""Renews a writer's lease; takes the writer and seconds, returns whether it had none."""

END_LEASE = f"DELETE FROM {_WRITERS} WHERE writer = %s"  # noqa: S608  # a constant
"""Gives a writer's lease up."""

# A lease is locked before rows are closed: its writer, should it come back just then, waits, and
# finds out. After a restart of the server nobody could renew anything, so all get a lease's time.
_GONE = f"""streams.ended IS NULL AND streams.writer IS NOT NULL AND NOT EXISTS (
    SELECT FROM {_WRITERS} AS living WHERE living.writer = streams.writer
    AND living.expires > now())
    AND pg_postmaster_start_time() < now() - %(lease_s)s * interval '1 second'"""

BURY = (
    f"SELECT writer FROM {_WRITERS} WHERE expires <= now() ORDER BY writer FOR UPDATE",  # noqa: S608  # a constant
    f"""UPDATE {_ATTEMPTS} AS attempts SET ending = '{FAILED}', presumed = TRUE, ended =
    greatest(attempts.started, coalesce(streams.checkpointed, streams.started, %(now)s::float8))
    FROM {_STREAMS} AS streams WHERE streams.stream_id = attempts.stream_id
    AND attempts.ended IS NULL AND {_GONE}""",  # noqa: S608  # constants
    f"DELETE FROM {_WRITERS} WHERE expires <= now()",  # noqa: S608  # a constant
    f"""UPDATE {_STREAMS} AS streams SET ending = '{FAILED}', presumed = TRUE,
    ended = coalesce(checkpointed, started, %(now)s::float8) WHERE {_GONE}""",  # noqa: S608  # constants
)
"""Closes the open rows of all whose lease ran out, and lastly says of how many streams."""

REVIVE = (
    f"""UPDATE {_ATTEMPTS} AS attempts SET ending = NULL, ended = NULL, presumed = FALSE
    FROM {_STREAMS} AS streams WHERE streams.stream_id = attempts.stream_id
    AND attempts.presumed AND streams.presumed AND streams.writer = %(writer)s""",  # noqa: S608  # constants
    f"""UPDATE {_STREAMS} AS streams SET ending = NULL, ended = NULL, presumed = FALSE
    WHERE presumed AND writer = %(writer)s""",  # noqa: S608  # constants
)
"""Opens again what was closed while a writer was away."""

_WINDOW = """(%(since)s::float8 IS NULL OR started >= %(since)s::float8)
    AND (%(until)s::float8 IS NULL OR started < %(until)s::float8)
    AND (%(key_id)s::text IS NULL OR key_id = %(key_id)s::text)
    AND (%(user)s::text IS NULL OR "user" = %(user)s::text)"""

_BEGAN = "to_timestamp(trunc(started)) AT TIME ZONE 'UTC'"
_COLUMN_OF: dict[Group, str] = {
    "day": f"to_char({_BEGAN}, 'YYYY-MM-DD')",
    "hour": f"""to_char({_BEGAN}, 'YYYY-MM-DD"T"HH24')""",
    "minute": f"""to_char({_BEGAN}, 'YYYY-MM-DD"T"HH24:MI')""",
    "model": 'model COLLATE "C"',
    "upstream": f"""(SELECT CASE WHEN left(upstream, {len(EMBEDDED)}) <> '{EMBEDDED}'
        THEN upstream END FROM {_ATTEMPTS} AS attempts
        WHERE attempts.stream_id = streams.stream_id
        ORDER BY number DESC LIMIT 1) COLLATE "C" """,  # noqa: S608  # our own names
    "key": 'key_id COLLATE "C"',
    "user": '"user" COLLATE "C"',
    "tag": 'tag COLLATE "C"',
}
_FAILURES = ", ".join(f"'{one}'" for one in FAILURES)

ROWS = (
    f"SELECT {_quoted(STREAM_ROW)} FROM {_STREAMS} WHERE {_WINDOW} "  # noqa: S608  # our own names
    'ORDER BY started NULLS FIRST, stream_id COLLATE "C"'
)

ATTEMPTS = f"""SELECT {_quoted(ATTEMPT_ROW)} FROM {_ATTEMPTS}
    WHERE stream_id IN (SELECT stream_id FROM {_STREAMS} WHERE {_WINDOW})
    ORDER BY stream_id, number"""  # noqa: S608  # our own names


UPSTREAM = f"""(SELECT upstream FROM {_ATTEMPTS} AS attempts
    WHERE attempts.stream_id = streams.stream_id ORDER BY number DESC LIMIT 1)"""  # noqa: S608  # our own names
"""Who was asked last for a stream."""

RUNNING = f"""SELECT {_quoted(STREAM_ROW)}, writer, {UPSTREAM}, count(*) OVER ()
    FROM {_STREAMS} AS streams WHERE ended IS NULL AND started IS NOT NULL
    AND writer IS NOT NULL AND writer <> %(own)s
    ORDER BY started DESC, stream_id COLLATE "C" LIMIT %(most)s"""  # noqa: S608  # our own names
"""The open rows of others; takes the own writer, and how many."""


def usage(groups: Sequence[Group], *, most: int | None) -> str:
    """Return the query for a report's lines; costs stand last, as sums that never overflow."""
    columns = [_COLUMN_OF[group] if group in groups else "NULL::text" for group in GROUPS]
    numbers = [str(1 + GROUPS.index(group)) for group in groups]
    ordered = ", ".join(f"{number} NULLS FIRST" for number in numbers)
    grouped = f"GROUP BY {', '.join(numbers)} ORDER BY {ordered}" if groups else ""
    limit = "" if most is None else f"LIMIT {int(most)}"
    return f"""SELECT {", ".join(columns)}, count(*) AS streams,
    coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),
    count(*) - count(cost_pico), count(*) FILTER (WHERE ending IN ({_FAILURES})), sum(cost_pico)
    FROM {_STREAMS} AS streams WHERE started IS NOT NULL AND {_WINDOW} {grouped}
    {limit}"""  # noqa: S608  # our own names


def window(
    since: float | None, until: float | None, key_id: str | None, user: str | None
) -> dict[str, Any]:
    """Return the parameters that choose rows."""
    names = {"key_id": key_id, "user": user}
    found = {name: None if value is None else _text(value) for name, value in names.items()}
    return {"since": since, "until": until, **found}


def line(found: Sequence[Any]) -> Line:
    """Return a report's line from a row of `usage`."""
    *figures, cost = found
    return ledger_columns.line(figures, cost_pico=None if cost is None else int(cost))
