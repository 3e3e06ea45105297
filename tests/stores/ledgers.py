"""What every ledger must do, whichever database holds it, and what may be told to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec
import pytest
from hypothesis import strategies as st

from deltaweir.accounts import Attempt, Checkpoint, Closed, Entry, Opened, Row, Tally
from deltaweir.errors import InvalidRequest
from deltaweir.stores.ledger_columns import RunningRow, upstream_of
from deltaweir.usage_report import GROUPS, Line, day_of, hour_of, minute_of, total

NOON = 1_795_521_600.0  # 2026-11-24 in UTC


class Kept(Protocol):
    """A ledger, as far as all are alike."""

    def write(self, batch: Sequence[Entry]) -> None:
        """Write all or nothing."""

    def usage(self, *args: Any, **chosen: Any) -> list[Line]:
        """Return a report's lines."""

    def rows(self, *args: Any, **chosen: Any) -> list[Row]:
        """Return rows, the oldest first."""

    def running(self, most: int) -> list[RunningRow]:
        """Return the open rows of other processes."""


Fresh = Callable[[], AbstractContextManager[Kept]]
"""Makes an empty ledger, for a block."""


def opened(stream_id: str = "s", started: float = NOON, **more: Any) -> Opened:
    """Return a stream's beginning."""
    return Opened(stream_id=stream_id, started=started, model=more.pop("model", "m"), **more)


def closed(stream_id: str = "s", **more: Any) -> Closed:
    """Return its end."""
    tally = Tally(prompt_tokens=3, completion_tokens=9, cost_pico=7, source="counted")
    told: dict[str, Any] = {"ended": NOON + 5, "tally": tally, "ending": "complete"}
    return Closed(stream_id=stream_id, **(told | more))


def by_id(store: Kept) -> dict[str, Row]:
    """Return all rows by their streams."""
    return {row.stream_id: row for row in store.rows()}


FIGURES = st.none() | st.integers(0, 2**62)
TALLIES = st.builds(
    Tally,
    prompt_tokens=st.integers(0, 10**9) | st.none(),
    completion_tokens=st.integers(0, 10**9) | st.none(),
    cached_tokens=FIGURES,
    reasoning_tokens=FIGURES,
    cost_pico=FIGURES,
    source=st.sampled_from([None, "provider", "engine", "counted", "estimated"]),
    counted_tokens=FIGURES,
)
TIMES = st.floats(0, 4e9, allow_nan=False)
NAMES = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3)


@st.composite
def streams(draw: st.DrawFn, stream_id: str) -> list[Entry]:
    """Return all that may be told of one stream, or a part of it."""
    told: list[Entry] = [
        draw(
            st.builds(
                Opened,
                stream_id=st.just(stream_id),
                started=TIMES,
                model=st.sampled_from(["a", "b"]),
                upstream_model=NAMES,
                key_id=NAMES,
                user=NAMES,
                tag=NAMES,
                endpoint=st.sampled_from(["chat", "text"]),
            )
        )
    ]
    told += [
        Checkpoint(stream_id=stream_id, at=at, tally=draw(TALLIES))
        for at in draw(st.lists(st.integers(0, 99), max_size=3, unique=True))
    ]
    for number in range(draw(st.integers(0, 2))):
        running = Attempt(stream_id=stream_id, number=number, upstream="u", started=1.0)
        ended = msgspec.structs.replace(running, ended=2.0, tally=draw(TALLIES), ending="failed")
        told += [running, ended]
    if draw(st.booleans()):
        told.append(closed(stream_id, tally=draw(TALLIES), ended=draw(TIMES), first_content_s=0.5))
    return told


TOLD = st.tuples(streams("one"), streams("two")).map(lambda two: two[0] + two[1])


REPORTED = st.lists(
    st.tuples(
        st.floats(NOON - 90_000, NOON + 90_000),
        st.sampled_from(["a", "b"]),
        st.sampled_from([None, "k", "ü"]),
        st.none() | TALLIES,
    ),
    max_size=8,
)
GROUPINGS = st.lists(st.sampled_from(GROUPS), unique=True).map(tuple)


def check_order(fresh: Fresh, told: list[Entry], data: st.DataObject) -> None:
    """Told in any order, any entry more than once, in any batches, the rows are the same."""
    shuffled = data.draw(st.permutations(told + data.draw(st.lists(st.sampled_from(told)))))
    size = data.draw(st.integers(1, len(shuffled)))
    with fresh() as store:
        store.write(told)
        once = store.rows()
    with fresh() as store:
        for start in range(0, len(shuffled), size):
            store.write(shuffled[start : start + size])
        assert store.rows() == once


def check_fields(fresh: Fresh, told: list[Entry]) -> None:
    """Every field of every entry comes back as it was told."""
    with fresh() as store:
        store.write(told)
        rows = by_id(store)
    for entry in told:
        row = rows[entry.stream_id]
        if isinstance(entry, Opened):
            assert row.opened == entry
        elif isinstance(entry, Closed):
            assert row.closed == entry
            assert row.tally == entry.tally
        elif isinstance(entry, Attempt) and entry.ended is not None:
            assert entry in row.attempts
        elif isinstance(entry, Checkpoint) and row.closed is None:
            assert row.checkpointed is not None
            assert row.checkpointed >= entry.at
            if row.checkpointed == entry.at:
                assert row.tally == entry.tally


def check_first_end(fresh: Fresh) -> None:
    """Neither a checkpoint nor another end changes an ended row, nor does opening it again."""
    with fresh() as store:
        store.write([opened(), closed()])
        before = store.rows()
        later = Checkpoint(stream_id="s", at=NOON + 9, tally=Tally(completion_tokens=99))
        store.write([later, closed(ending="budget"), opened(model="other")])
        assert store.rows() == before
        assert before[0].closed == closed()


def check_report(
    fresh: Fresh,
    told: list[tuple[float, str, str | None, Tally | None]],
    group_by: tuple[str, ...],
) -> None:
    """Whatever it is grouped by, a report has the sums that Python finds, to the picodollar."""
    entries: list[Entry] = []
    for number, (started, model, name, tally) in enumerate(told):
        stream_id = str(number)
        entries.append(opened(stream_id, started, model=model, key_id=name, user=name, tag=name))
        entries += [  # the last one counts, in whatever order they are told
            Attempt(stream_id=stream_id, number=at, upstream=upstream, started=started)
            for at, upstream in [(2, name or "embedded m"), (1, "first")]
        ][: number % 3]
        if tally is not None:
            entries.append(closed(stream_id, tally=tally))
    with fresh() as store:
        store.write(entries)
        found = store.usage(group_by=group_by)
    assert found == _reported(entries, group_by)


def check_midnight(fresh: Fresh) -> None:
    """The last ten-thousandth of a second belongs to the day that ends."""
    midnight = NOON + 12 * 3600
    with fresh() as store:
        store.write([opened("a", midnight - 0.0001), opened("b", midnight)])
        days = [line.day for line in store.usage(group_by=["day"])]
    assert days == ["2026-11-24", "2026-11-25"]


def check_hours(fresh: Fresh) -> None:
    """An hour is one of UTC, and by day and hour each has both."""
    noon = [("2026-11-24", "2026-11-24T11"), ("2026-11-24", "2026-11-24T12")]
    with fresh() as store:
        store.write([opened("a", NOON - 0.0001), opened("b", NOON), opened("c", NOON + 3599.9)])
        lines = store.usage(group_by=["hour", "day"], since=NOON - 1)
        assert store.usage(group_by=["hour"], since=NOON + 3600) == []
        minutes = [line.minute for line in store.usage(group_by=["minute"])]
        assert minutes == ["2026-11-24T11:59", "2026-11-24T12:00", "2026-11-24T12:59"]
        first = store.usage(group_by=["minute"], most=2)
        assert [line.minute for line in first] == minutes[:2]
    assert [(line.day, line.hour) for line in lines] == noon
    assert [line.streams for line in lines] == [1, 2]


def check_running(fresh: Fresh, other: Callable[[], AbstractContextManager[Kept]]) -> None:
    """What another process runs is told, the newest first, until it ends; one's own is not.

    Args:
        fresh: Makes an empty ledger.
        other: Opens the same one as another process would.
    """
    tally = Tally(prompt_tokens=3, completion_tokens=7, cost_pico=9, source="counted")
    with fresh() as store, other() as another:
        assert store.running(9) == []
        store.write([opened("own")])
        another.write([opened(str(at), NOON + at, key_id="k", user="u") for at in range(4)])
        another.write([Checkpoint(stream_id="2", at=NOON + 9, tally=tally), closed("1")])
        for number, upstream in ((2, "last"), (1, "first")):
            one = Attempt(stream_id="2", number=number, upstream=upstream, started=NOON)
            another.write([one])
        found = store.running(2)
        assert [one.opened.stream_id for one in found] == ["3", "2"]
        assert [one.total for one in found] == [3, 3]
        assert len({one.writer for one in found}) == 1
        assert found[1].opened == opened("2", NOON + 2, key_id="k", user="u")
        assert (found[1].checkpointed, found[1].tally) == (NOON + 9, tally)
        assert [one.upstream for one in found] == [None, "last"]
        assert [one.opened.stream_id for one in another.running(9)] == ["own"]
        another.write([closed("0"), closed("2"), closed("3")])
        assert store.running(9) == []


def check_window(fresh: Fresh) -> None:
    """From ``since`` on, before ``until``, one key's own; running streams by their checkpoint."""
    with fresh() as store:
        store.write([opened(str(at), at, key_id="k" if at % 2 else None) for at in range(1, 8)])
        store.write([Checkpoint(stream_id="3", at=9, tally=Tally(completion_tokens=5))])
        (line,) = store.usage(since=2, until=6, key_id="k")
        chosen = [row.stream_id for row in store.rows(since=2, until=6, key_id="k")]
        assert store.usage(since=100, group_by=["day"]) == []
        assert store.usage(since=100) == []
    assert (line.streams, line.completion_tokens, line.unpriced) == (2, 5, 2)
    assert chosen == ["3", "5"]


def check_groups(fresh: Fresh) -> None:
    """The name of a group never reaches the database."""
    with fresh() as store, pytest.raises(InvalidRequest, match="known are day"):
        store.usage(group_by=["model; DROP TABLE streams"])


def _reported(told: list[Entry], group_by: tuple[str, ...]) -> list[Line]:
    """Add the same streams up in Python."""
    opened = {one.stream_id: one for one in told if isinstance(one, Opened)}
    closed = {one.stream_id: one for one in told if isinstance(one, Closed)}
    asked: dict[str, Attempt] = {}
    for entry in told:
        if isinstance(entry, Attempt):
            last = asked.get(entry.stream_id)
            if last is None or entry.number > last.number:
                asked[entry.stream_id] = entry
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for stream_id, one in opened.items():
        tally = closed[stream_id].tally if stream_id in closed else Tally()
        moment, last = one.started, asked.get(stream_id)
        upstream = None if last is None else upstream_of(last.upstream)
        times = day_of(moment), hour_of(moment), minute_of(moment)
        names = (*times, one.model, upstream, one.key_id, one.user, one.tag)
        key = tuple(
            name if group in group_by else None for group, name in zip(GROUPS, names, strict=True)
        )
        line = Line(
            streams=1,
            prompt_tokens=tally.prompt_tokens or 0,
            completion_tokens=tally.completion_tokens or 0,
            cost_pico=tally.cost_pico,
            unpriced=int(tally.cost_pico is None),
        )
        groups.setdefault(key, []).append(line)
    sums = {key: total(lines) for key, lines in groups.items()}
    ordered = sorted(
        sums, key=lambda key: [(name is not None, (name or "").encode()) for name in key]
    )
    return [
        msgspec.structs.replace(sums[key], **dict(zip(GROUPS, key, strict=True))) for key in ordered
    ]
