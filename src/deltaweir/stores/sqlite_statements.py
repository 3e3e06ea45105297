"""The ledger's statements in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
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
)
from deltaweir.usage_report import GROUPS, Group, Line


def _statement(upsert: Upsert) -> str:
    """Return a statement that sets columns of a new row, or of one that a condition allows."""
    names = ", ".join(upsert.columns)
    marks = ", ".join("?" * len(upsert.columns))
    changed = [f"{name} = excluded.{name}" for name in upsert.changed]
    changed += [f"{name} = {value}" for name, value in upsert.fixed]
    return (
        f"INSERT INTO {upsert.table} ({names}) VALUES ({marks}) "  # noqa: S608  # our own names
        f"ON CONFLICT ({', '.join(upsert.key)}) DO UPDATE SET {', '.join(changed)} "
        f"WHERE {upsert.unless}"
    )


INSERTS: dict[type[Entry], str] = {kind: _statement(upsert) for kind, upsert in UPSERTS.items()}
"""The statement that writes each kind of entry."""

OPEN_WRITERS = "SELECT DISTINCT writer FROM streams WHERE ended IS NULL AND writer IS NOT NULL"

BURY = f"""UPDATE streams SET ended = coalesce(checkpointed, started, ?), ending = '{FAILED}',
    presumed = 1 WHERE ended IS NULL AND writer = ?"""  # noqa: S608  # a constant
"""Closes a dead writer's rows; takes the time and the writer."""

BURY_ATTEMPTS = f"""UPDATE attempts SET ending = '{FAILED}', presumed = 1,
    ended = max(attempts.started, coalesce(streams.checkpointed, streams.started, ?))
    FROM streams WHERE streams.stream_id = attempts.stream_id AND attempts.ended IS NULL
    AND streams.ended IS NULL AND streams.writer = ?"""  # noqa: S608  # a constant
"""Closes the attempts of a dead writer's open rows, before `BURY`; takes the same."""

_WINDOW = """(:since IS NULL OR started >= :since) AND (:until IS NULL OR started < :until)
    AND (:key_id IS NULL OR key_id = :key_id) AND (:user IS NULL OR user = :user)"""

# CAST cuts the fraction off; strftime alone rounds the last half millisecond into the next day
_COLUMN_OF: dict[Group, str] = {
    "day": "strftime('%Y-%m-%d', CAST(started AS INTEGER), 'unixepoch')",
    "hour": "strftime('%Y-%m-%dT%H', CAST(started AS INTEGER), 'unixepoch')",
    "minute": "strftime('%Y-%m-%dT%H:%M', CAST(started AS INTEGER), 'unixepoch')",
    "model": "model",
    "upstream": f"""(SELECT CASE WHEN substr(upstream, 1, {len(EMBEDDED)}) <> '{EMBEDDED}'
        THEN upstream END FROM attempts WHERE attempts.stream_id = streams.stream_id
        ORDER BY number DESC LIMIT 1)""",  # noqa: S608  # a constant
    "key": "key_id",
    "user": "user",
    "tag": "tag",
}


_FAILURES = ", ".join(f"'{one}'" for one in FAILURES)


def _selected(table: str, columns: Sequence[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in columns)


ROWS = (
    f"SELECT {_selected('streams', STREAM_ROW)} FROM streams WHERE {_WINDOW} "  # noqa: S608  # our own names
    "ORDER BY started, stream_id"
)

ATTEMPTS = f"""SELECT {_selected("attempts", ATTEMPT_ROW)} FROM attempts
    WHERE stream_id IN (SELECT stream_id FROM streams WHERE {_WINDOW})
    ORDER BY stream_id, number"""  # noqa: S608  # names from this module


UPSTREAM = """(SELECT upstream FROM attempts WHERE attempts.stream_id = streams.stream_id
    ORDER BY number DESC LIMIT 1)"""
"""Who was asked last for a stream."""

RUNNING = f"""SELECT {_selected("streams", STREAM_ROW)}, writer, {UPSTREAM}, count(*) OVER ()
    FROM streams WHERE ended IS NULL AND started IS NOT NULL AND writer IS NOT NULL
    AND writer IS NOT ? ORDER BY started DESC, stream_id LIMIT ?"""  # noqa: S608  # names from this module
"""The open rows of others; takes the own writer, and how many."""


def usage(groups: Sequence[Group], *, bounded: bool, most: int | None) -> str:
    """Return the query for a report's lines; costs stand last.

    Costs come in two halves, since SQLite refuses sums above 9.2 million dollars in picodollars.

    Args:
        groups: What lines are grouped by.
        bounded: Whether it is told from when on; said plainly, so that the index on that serves.
        most: How many lines are wanted at most; None for all.
    """
    since = "started >= :since" if bounded else "started IS NOT NULL"
    columns = [_COLUMN_OF[group] if group in groups else "NULL" for group in GROUPS]
    numbers = [str(1 + GROUPS.index(group)) for group in groups]
    grouped = f"GROUP BY {', '.join(numbers)} ORDER BY {', '.join(numbers)}" if groups else ""
    limit = "" if most is None else f"LIMIT {int(most)}"
    return f"""SELECT {", ".join(columns)}, count(*) AS streams,
    coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),
    count(*) - count(cost_pico), coalesce(sum(ending IN ({_FAILURES})), 0),
    sum(cost_pico / 1000000), sum(cost_pico % 1000000)
    FROM streams WHERE {since} AND {_WINDOW} {grouped} {limit}"""  # noqa: S608  # names from this module


def window(
    since: float | None, until: float | None, key_id: str | None, user: str | None
) -> dict[str, Any]:
    """Return the parameters that choose rows."""
    return {"since": since, "until": until, "key_id": key_id, "user": user}


def line(found: Sequence[Any]) -> Line:
    """Return a report's line from a row of `usage`."""
    *figures, millions, units = found
    cost = None if millions is None else 1_000_000 * millions + units
    return ledger_columns.line(figures, cost_pico=cost)
