"""The ledger's statements in SQLite, and how entries become columns and columns rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from deltaweir.accounts import (
    FAILED,
    GROUPS,
    Attempt,
    Checkpoint,
    Closed,
    Entry,
    Group,
    Line,
    Opened,
    Row,
    Tally,
)
from deltaweir.endings import Ending, State

_OPENED = ("started", "model", "upstream_model", "key_id", "user", "tag", "endpoint", "streamed")
_TALLY = Tally.__struct_fields__
_CLOSED = ("ended", "ending", "finish_reason", "first_content_s", "total_s")
_ATTEMPT = ("stream_id", "number", "upstream", "started", "ended", "ending")


def _upsert(table: str, key: str, columns: Sequence[str], *, unless: str, **fixed: str) -> str:
    """Return a statement that sets columns of a new row, or of one that a condition allows."""
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    changed = [
        f"{name} = excluded.{name}"
        for name in columns
        if name not in key.split(", ") and name != "writer"
    ]
    changed += [f"{name} = {value}" for name, value in fixed.items()]
    return (
        f"INSERT INTO {table} ({names}) VALUES ({marks}) "  # noqa: S608  # names from this module
        f"ON CONFLICT ({key}) DO UPDATE SET {', '.join(changed)} WHERE {unless}"
    )


INSERTS: dict[type[Entry], str] = {
    Opened: _upsert(
        "streams", "stream_id", ("stream_id", "writer", *_OPENED), unless="streams.started IS NULL"
    ),
    Attempt: _upsert(
        "attempts",
        "stream_id, number",
        (*_ATTEMPT, *_TALLY),
        unless="excluded.ended IS NOT NULL AND (attempts.ended IS NULL OR attempts.presumed)",
        presumed="0",
    ),
    Checkpoint: _upsert(
        "streams",
        "stream_id",
        ("stream_id", "writer", "checkpointed", *_TALLY),
        unless="streams.ended IS NULL AND "
        "(streams.checkpointed IS NULL OR excluded.checkpointed > streams.checkpointed)",
    ),
    # a checkpoint that comes after the end is not kept, so one that came before is not either
    Closed: _upsert(
        "streams",
        "stream_id",
        ("stream_id", "writer", *_CLOSED, *_TALLY),
        unless="streams.ended IS NULL OR streams.presumed",
        presumed="0",
        checkpointed="NULL",
    ),
}
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
    "model": "model",
    "key": "key_id",
    "user": "user",
    "tag": "tag",
}


_FAILURES = ", ".join(f"'{one.value}'" for one in Ending if one.state is State.FAILED)


def _selected(table: str, columns: Sequence[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in columns)


_ROW = ("stream_id", "checkpointed", "presumed", *_OPENED, *_CLOSED, *_TALLY)

ROWS = (
    f"SELECT {_selected('streams', _ROW)} FROM streams WHERE {_WINDOW} ORDER BY started, stream_id"  # noqa: S608  # names from this module
)

ATTEMPTS = f"""SELECT {_selected("attempts", (*_ATTEMPT, *_TALLY))} FROM attempts
    WHERE stream_id IN (SELECT stream_id FROM streams WHERE {_WINDOW})
    ORDER BY stream_id, number"""  # noqa: S608  # names from this module


def usage(groups: Sequence[Group]) -> str:
    """Return the query for a report's lines, in the order of a line's fields.

    Costs come in two halves, since SQLite refuses sums above 9.2 million dollars in picodollars.
    """
    columns = [_COLUMN_OF[group] if group in groups else "NULL" for group in GROUPS]
    numbers = [str(1 + GROUPS.index(group)) for group in groups]
    grouped = f"GROUP BY {', '.join(numbers)} ORDER BY {', '.join(numbers)}" if groups else ""
    return f"""SELECT {", ".join(columns)}, count(*) AS streams,
    coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),
    sum(cost_pico / 1000000), sum(cost_pico % 1000000), count(*) - count(cost_pico),
    coalesce(sum(ending IN ({_FAILURES})), 0)
    FROM streams WHERE started IS NOT NULL AND {_WINDOW} {grouped}"""  # noqa: S608  # names from this module


def window(
    since: float | None, until: float | None, key_id: str | None, user: str | None
) -> dict[str, Any]:
    """Return the parameters that choose rows."""
    return {"since": since, "until": until, "key_id": key_id, "user": user}


def line(found: Sequence[Any]) -> Line:
    """Return a report's line from a row of `usage`."""
    *groups, streams, prompt, completion, millions, units, unpriced, failed = found
    return Line(
        **dict(zip(GROUPS, groups, strict=True)),
        streams=streams,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_pico=None if millions is None else 1_000_000 * millions + units,
        unpriced=unpriced,
        failed=failed,
    )


def values(entry: Entry, writer: str | None) -> list[Any]:
    """Return what an entry's statement takes."""
    tally = () if isinstance(entry, Opened) else msgspec.structs.astuple(entry.tally)
    if isinstance(entry, Checkpoint):
        own: tuple[Any, ...] = (entry.stream_id, writer, entry.at)
    elif isinstance(entry, Attempt):
        own = tuple(getattr(entry, name) for name in _ATTEMPT)
    else:
        names = _OPENED if isinstance(entry, Opened) else _CLOSED
        own = (entry.stream_id, writer, *(getattr(entry, name) for name in names))
    return [_storable(value) for value in (*own, *tally)]


def _storable(value: Any) -> Any:
    """Return a value that SQLite takes: JSON may bring lone surrogates, which UTF-8 has not."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def row(found: Sequence[Any], attempts: tuple[Attempt, ...]) -> Row:
    """Return a row from one of `ROWS`."""
    columns = dict(zip(_ROW, found, strict=True))
    stream_id, tally = columns["stream_id"], _tally(columns)
    opened = {name: columns[name] for name in _OPENED} | {"streamed": bool(columns["streamed"])}
    ended = {name: columns[name] for name in _CLOSED}
    return Row(
        stream_id=stream_id,
        opened=None if opened["started"] is None else Opened(stream_id=stream_id, **opened),
        checkpointed=columns["checkpointed"],
        tally=tally,
        closed=None
        if ended["ended"] is None
        else Closed(stream_id=stream_id, tally=tally, **ended),
        presumed=bool(columns["presumed"]),
        attempts=attempts,
    )


def attempt(found: Sequence[Any]) -> Attempt:
    """Return an attempt from one of `ATTEMPTS`."""
    columns = dict(zip((*_ATTEMPT, *_TALLY), found, strict=True))
    own = {name: columns[name] for name in _ATTEMPT}
    return Attempt(**own, tally=_tally(columns))


def _tally(columns: dict[str, Any]) -> Tally:
    return Tally(**{name: columns[name] for name in _TALLY})
