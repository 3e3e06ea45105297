"""The columns of a ledger, whichever database holds it: what entries fill, what reports read. Pure.

A row is filled by upserts, each of which touches only what its entry knows, and only while
nothing final stands there. `UPSERTS` says which columns those are, and when they may be changed;
the databases say it in their dialects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from deltaweir.accounts import Attempt, Checkpoint, Closed, Entry, Opened, Row, Tally
from deltaweir.endings import Ending, State
from deltaweir.usage_report import GROUPS, Line

OPENED = ("started", "model", "upstream_model", "key_id", "user", "tag", "endpoint", "streamed")
"""The columns of a stream's beginning, named as the fields of `Opened`."""
CLOSED = ("ended", "ending", "finish_reason", "first_content_s", "total_s")
"""The columns of its end."""
TALLY = Tally.__struct_fields__
"""The columns of its figures, and of an attempt's."""
ATTEMPT = ("stream_id", "number", "upstream", "started", "ended", "ending")
"""The columns of an attempt, without its figures."""
STREAM_ROW = ("stream_id", "checkpointed", "presumed", *OPENED, *CLOSED, *TALLY)
"""What `row` reads, in this order."""
ATTEMPT_ROW = (*ATTEMPT, *TALLY)
"""What `attempt` reads, in this order."""
FAILURES = tuple(one.value for one in Ending if one.state is State.FAILED)
"""The endings of streams that count as failed."""
EMBEDDED = "embedded "
"""What the name of an attempt's upstream begins with where the embedded model answered; those of
a configuration have no blanks."""


class RunningRow(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that has not ended, as a ledger knows it.

    Attributes:
        opened: How it began.
        writer: Which process runs it: an id of that process's own.
        checkpointed: When its figures were taken, in seconds since 1970; None before that.
        tally: What it had used by then.
        upstream: Who was asked last; None before anybody was.
        total: How many such rows there are.
    """

    opened: Opened
    writer: str
    checkpointed: float | None
    tally: Tally
    upstream: str | None
    total: int


class Upsert(NamedTuple):
    """How one kind of entry fills a row."""

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    """Those that the entry tells, the key's first."""
    unless: str
    """The condition in SQL under which a row that is there may be changed."""
    fixed: tuple[tuple[str, str], ...] = ()
    """Columns that a change sets to a constant in SQL."""

    @property
    def changed(self) -> tuple[str, ...]:
        """The columns that a change sets to what the entry tells; a writer never changes."""
        return tuple(name for name in self.columns if name not in {*self.key, "writer"})


UPSERTS: dict[type[Entry], Upsert] = {
    Opened: Upsert(
        "streams", ("stream_id",), ("stream_id", "writer", *OPENED), "streams.started IS NULL"
    ),
    Attempt: Upsert(
        "attempts",
        ("stream_id", "number"),
        ATTEMPT_ROW,
        "excluded.ended IS NOT NULL AND (attempts.ended IS NULL OR attempts.presumed)",
        (("presumed", "FALSE"),),
    ),
    Checkpoint: Upsert(
        "streams",
        ("stream_id",),
        ("stream_id", "writer", "checkpointed", *TALLY),
        "streams.ended IS NULL AND "
        "(streams.checkpointed IS NULL OR excluded.checkpointed > streams.checkpointed)",
    ),
    # a checkpoint that comes after the end is not kept, so one that came before is not either
    Closed: Upsert(
        "streams",
        ("stream_id",),
        ("stream_id", "writer", *CLOSED, *TALLY),
        "streams.ended IS NULL OR streams.presumed",
        (("presumed", "FALSE"), ("checkpointed", "NULL")),
    ),
}
"""How each kind of entry is written."""


def values(entry: Entry, writer: str | None) -> list[Any]:
    """Return what an entry tells, in the order of its upsert's columns."""
    tally = () if isinstance(entry, Opened) else msgspec.structs.astuple(entry.tally)
    if isinstance(entry, Checkpoint):
        own: tuple[Any, ...] = (entry.stream_id, writer, entry.at)
    elif isinstance(entry, Attempt):
        own = tuple(getattr(entry, name) for name in ATTEMPT)
    else:
        names = OPENED if isinstance(entry, Opened) else CLOSED
        own = (entry.stream_id, writer, *(getattr(entry, name) for name in names))
    return [legible(value) for value in (*own, *tally)]


def legible(value: Any) -> Any:
    """Return a value that a database takes: JSON may bring lone surrogates, which UTF-8 has not."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def merged(batch: Sequence[Entry]) -> dict[type[Entry], list[Entry]]:
    """Return what of a batch counts, by kind: one entry at most for each row.

    What is left comes to the same as all, written one after the other: of several ends the first,
    of several checkpoints the latest.
    """
    found: dict[type[Entry], dict[Any, Entry]] = {}
    for entry in batch:
        rows = found.setdefault(type(entry), {})
        key = (entry.stream_id, entry.number) if isinstance(entry, Attempt) else entry.stream_id
        before = rows.get(key)
        if before is None or _counts_more(entry, before):
            rows[key] = entry
    return {kind: [*rows.values()] for kind, rows in found.items()}


def _counts_more(entry: Entry, before: Entry) -> bool:
    if isinstance(entry, Checkpoint) and isinstance(before, Checkpoint):
        return entry.at > before.at
    if isinstance(entry, Attempt) and isinstance(before, Attempt):
        return before.ended is None and entry.ended is not None
    return False


def line(found: Sequence[Any], *, cost_pico: int | None) -> Line:
    """Return a report's line.

    Args:
        found: The groups, in their order, then streams, prompt and completion tokens, unpriced
            and failed streams.
        cost_pico: The cost in picodollars.
    """
    *groups, streams, prompt, completion, unpriced, failed = found
    return Line(
        **dict(zip(GROUPS, groups, strict=True)),
        streams=streams,
        prompt_tokens=int(prompt),
        completion_tokens=int(completion),
        cost_pico=cost_pico,
        unpriced=unpriced,
        failed=failed,
    )


def row(found: Sequence[Any], attempts: tuple[Attempt, ...]) -> Row:
    """Return a row from the columns of `STREAM_ROW`."""
    columns = dict(zip(STREAM_ROW, found, strict=True))
    stream_id, tally = columns["stream_id"], _tally(columns)
    opened = {name: columns[name] for name in OPENED} | {"streamed": bool(columns["streamed"])}
    ended = {name: columns[name] for name in CLOSED}
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


def running_row(found: Sequence[Any]) -> RunningRow:
    """Return an open row from the columns of `STREAM_ROW`, then its writer, upstream and total."""
    *columns, writer, upstream, total = found
    known = row(columns, ())
    assert known.opened is not None
    return RunningRow(
        opened=known.opened,
        writer=writer,
        checkpointed=known.checkpointed,
        tally=known.tally,
        upstream=upstream,
        total=total,
    )


def attempt(found: Sequence[Any]) -> Attempt:
    """Return an attempt from the columns of `ATTEMPT_ROW`."""
    columns = dict(zip(ATTEMPT_ROW, found, strict=True))
    own = {name: columns[name] for name in ATTEMPT}
    return Attempt(**own, tally=_tally(columns))


def _tally(columns: dict[str, Any]) -> Tally:
    return Tally(**{name: columns[name] for name in TALLY})


def upstream_of(asked: str | None) -> str | None:
    """Return the upstream that an attempt names; None for none, and for the embedded model."""
    return None if asked is None or asked.startswith(EMBEDDED) else asked
