"""The ledger in SQLite: one row a stream, however often and in whatever order it is told."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaweir.accounts import (
    GROUPS,
    Attempt,
    Checkpoint,
    Closed,
    Entry,
    Line,
    Opened,
    Row,
    Tally,
    day_of,
    total,
)
from deltaweir.errors import InvalidRequest
from deltaweir.stores.failures import (
    LedgerBusy,
    LedgerDamaged,
    LedgerTooNew,
    LedgerUnavailable,
)
from deltaweir.stores.sqlite import SqliteLedger

NOON = 1_795_521_600.0  # 2026-11-24 in UTC
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

WRITER = """
import sys
from deltaweir.accounts import *
from deltaweir.stores.sqlite import SqliteLedger
store = SqliteLedger(sys.argv[1])
store.write([
    Opened(stream_id="plain", started=5.0, model="m"),
    Opened(stream_id="counted", started=6.0, model="m"),
    Checkpoint(stream_id="counted", at=7.0, tally=Tally(completion_tokens=3)),
    Checkpoint(stream_id="counted", at=8.0, tally=Tally(completion_tokens=4)),
    Attempt(stream_id="counted", number=1, upstream="u", started=6.5),
    Checkpoint(stream_id="unopened", at=9.0, tally=Tally()),
    Opened(stream_id="ended", started=6.0, model="m"),
    Closed(stream_id="ended", ended=9.0, tally=Tally(), ending="complete"),
])
print("written", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def _running(program: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        try:
            yield process
        finally:
            process.kill()


def _opened(stream_id: str = "s", started: float = NOON, **more: Any) -> Opened:
    return Opened(stream_id=stream_id, started=started, model=more.pop("model", "m"), **more)


def _closed(stream_id: str = "s", **more: Any) -> Closed:
    tally = Tally(prompt_tokens=3, completion_tokens=9, cost_pico=7, source="counted")
    told: dict[str, Any] = {"ended": NOON + 5, "tally": tally, "ending": "complete"}
    return Closed(stream_id=stream_id, **(told | more))


def _by_id(store: SqliteLedger) -> dict[str, Row]:
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
        told.append(_closed(stream_id, tally=draw(TALLIES), ended=draw(TIMES), first_content_s=0.5))
    return told


TOLD = st.tuples(streams("one"), streams("two")).map(lambda two: two[0] + two[1])


@given(told=TOLD, data=st.data())
@settings(max_examples=150, deadline=None)
def test_neither_order_nor_repetition_nor_batches_matter(
    told: list[Entry], data: st.DataObject
) -> None:
    """Told in any order, any entry more than once, in any batches, the rows are the same."""
    shuffled = data.draw(st.permutations(told + data.draw(st.lists(st.sampled_from(told)))))
    size = data.draw(st.integers(1, len(shuffled)))
    with SqliteLedger(":memory:") as once, SqliteLedger(":memory:") as often:
        once.write(told)
        for start in range(0, len(shuffled), size):
            often.write(shuffled[start : start + size])
        assert often.rows() == once.rows()


@given(told=TOLD)
@settings(deadline=None)
def test_what_is_told_is_what_is_read(told: list[Entry]) -> None:
    """Every field of every entry comes back as it was told."""
    with SqliteLedger(":memory:") as store:
        store.write(told)
        rows = _by_id(store)
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


def test_the_first_end_is_kept(tmp_path: Path) -> None:
    """Neither a checkpoint nor another end changes an ended row, nor does opening it again."""
    with SqliteLedger(tmp_path / "a.db") as store:
        store.write([_opened(), _closed()])
        before = store.rows()
        later = Checkpoint(stream_id="s", at=NOON + 9, tally=Tally(completion_tokens=99))
        store.write([later, _closed(ending="budget"), _opened(model="other")])
        assert store.rows() == before
        assert before[0].closed == _closed()


def test_a_batch_is_all_or_nothing(tmp_path: Path) -> None:
    """A batch with a figure that SQLite cannot hold writes nothing of itself."""
    with SqliteLedger(tmp_path / "a.db") as store:
        with pytest.raises(OverflowError):
            store.write([_opened(), _closed(tally=Tally(completion_tokens=2**63))])
        assert store.rows() == []
        store.write([_opened()])
        assert len(store.rows()) == 1


def test_text_that_utf8_has_not_is_replaced(tmp_path: Path) -> None:
    """A lone surrogate in a client's words loses itself, not the row."""
    with SqliteLedger(tmp_path / "a.db") as store:
        store.write([_opened(user="a\ud800é", tag="\0")])
        (row,) = store.rows()
    assert row.opened == _opened(user="a?é", tag="\0")


def test_rows_outlive_the_object(tmp_path: Path) -> None:
    """A file opened again has the rows; a file that is only read changes nothing."""
    path = tmp_path / "a.db"
    with SqliteLedger(path) as store:
        store.write([_opened(), _closed()])
        before = store.rows()
    with SqliteLedger(path, read_only=True) as store:
        assert store.rows() == before
        assert store.close_dead(NOON) == 0
        with pytest.raises(LedgerUnavailable, match="readonly"):
            store.write([_opened("t")])


# Reports


def _reported(told: list[Entry], group_by: tuple[str, ...]) -> list[Line]:
    """Add the same streams up in Python."""
    opened = {one.stream_id: one for one in told if isinstance(one, Opened)}
    closed = {one.stream_id: one for one in told if isinstance(one, Closed)}
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for stream_id, one in opened.items():
        tally = closed[stream_id].tally if stream_id in closed else Tally()
        names = (day_of(one.started), one.model, one.key_id, one.user, one.tag)
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


@given(
    told=st.lists(
        st.tuples(
            st.floats(NOON - 90_000, NOON + 90_000),
            st.sampled_from(["a", "b"]),
            st.sampled_from([None, "k", "ü"]),
            st.none() | TALLIES,
        ),
        max_size=8,
    ),
    group_by=st.lists(st.sampled_from(GROUPS), unique=True).map(tuple),
)
@settings(max_examples=150, deadline=None)
def test_a_report_adds_up(
    told: list[tuple[float, str, str | None, Tally | None]], group_by: tuple[str, ...]
) -> None:
    """Whatever it is grouped by, a report has the sums that Python finds, to the picodollar."""
    entries: list[Entry] = []
    for number, (started, model, name, tally) in enumerate(told):
        stream_id = str(number)
        entries.append(_opened(stream_id, started, model=model, key_id=name, user=name, tag=name))
        if tally is not None:
            entries.append(_closed(stream_id, tally=tally))
    with SqliteLedger(":memory:") as store:
        store.write(entries)
        found = store.usage(group_by=group_by)
    assert found == _reported(entries, group_by)


def test_a_day_ends_at_midnight(tmp_path: Path) -> None:
    """The last ten-thousandth of a second belongs to the day that ends."""
    midnight = NOON + 12 * 3600
    with SqliteLedger(tmp_path / "a.db") as store:
        store.write([_opened("a", midnight - 0.0001), _opened("b", midnight)])
        days = [line.day for line in store.usage(group_by=["day"])]
    assert days == ["2026-11-24", "2026-11-25"]


def test_a_report_takes_a_time_and_a_key(tmp_path: Path) -> None:
    """From ``since`` on, before ``until``, one key's own; running streams by their checkpoint."""
    with SqliteLedger(tmp_path / "a.db") as store:
        store.write([_opened(str(at), at, key_id="k" if at % 2 else None) for at in range(1, 8)])
        store.write([Checkpoint(stream_id="3", at=9, tally=Tally(completion_tokens=5))])
        (line,) = store.usage(since=2, until=6, key_id="k")
        chosen = [row.stream_id for row in store.rows(since=2, until=6, key_id="k")]
        assert store.usage(since=100, group_by=["day"]) == []
        assert store.usage(since=100) == []
    assert (line.streams, line.completion_tokens, line.unpriced) == (2, 5, 2)
    assert chosen == ["3", "5"]


def test_a_report_by_a_strange_group_is_refused(tmp_path: Path) -> None:
    """The name of a group never reaches the database."""
    with (
        SqliteLedger(tmp_path / "a.db") as store,
        pytest.raises(InvalidRequest, match="known are day"),
    ):
        store.usage(group_by=["model; DROP TABLE streams"])


# The dead


def test_a_dead_process_s_rows_are_closed(tmp_path: Path) -> None:
    """A killed process's open rows end as failed, at their last checkpoint, and only they."""
    path = tmp_path / "a.db"
    with SqliteLedger(path) as store:
        store.write([_opened("mine")])
        with _running(WRITER, path) as process:
            assert store.close_dead(NOON) == 0
            process.kill()
            process.wait(20)
            assert store.close_dead(NOON) == 3
        assert store.close_dead(NOON) == 0
        rows = _by_id(store)
    assert rows["mine"].closed is None
    ended = {name: row.closed.ended for name, row in rows.items() if row.closed}
    assert ended == {"plain": 5.0, "counted": 8.0, "unopened": 9.0, "ended": 9.0}
    counted = rows["counted"]
    assert counted.presumed
    assert counted.tally == Tally(completion_tokens=4)
    assert counted.closed is not None
    assert (counted.closed.ending, counted.attempts[0].ending) == ("failed", "failed")
    assert (counted.attempts[0].ended, counted.closed.total_s) == (8.0, None)
    assert not rows["ended"].presumed
    assert list(Path(f"{path}-writers").iterdir()) == []


def test_a_dead_attempt_without_a_row_harms_nobody(tmp_path: Path) -> None:
    """Of a stream that was never told to be open there is nothing to close."""
    with SqliteLedger(tmp_path / "a.db") as first:
        first.write([Attempt(stream_id="s", number=1, upstream="u", started=1.0)])
    with SqliteLedger(tmp_path / "a.db") as second:
        assert second.close_dead(NOON) == 0
        assert second.rows() == []


def test_an_end_that_was_only_presumed_gives_way(tmp_path: Path) -> None:
    """A writer whose lock file somebody removed is presumed dead; what it tells later counts."""
    path = tmp_path / "a.db"
    with SqliteLedger(path) as alive, SqliteLedger(path) as looker:
        running = Attempt(stream_id="s", number=1, upstream="u", started=NOON)
        ended = msgspec.structs.replace(running, ended=NOON + 4, ending="complete")
        alive.write([_opened(), running])
        for file in Path(f"{path}-writers").iterdir():
            file.unlink()
        assert looker.close_dead(NOON) == 1
        assert looker.rows()[0].presumed
        alive.write([ended, _closed()])
        (row,) = looker.rows()
    assert (row.closed, row.presumed, row.attempts) == (_closed(), False, (ended,))


def test_leaving_with_open_rows_is_dying(tmp_path: Path) -> None:
    """What was open when a ledger was closed is closed as failed by the next that looks."""
    path = tmp_path / "a.db"
    with SqliteLedger(path) as first:
        first.write([_opened()])
    with SqliteLedger(path) as second:
        assert second.close_dead(NOON) == 1


def test_a_lock_nobody_needs_is_removed(tmp_path: Path) -> None:
    """A dead process that left no open row leaves no file either."""
    path = tmp_path / "a.db"
    directory = Path(f"{path}-writers")
    directory.mkdir()
    (directory / "gone.lock").touch()
    with SqliteLedger(path) as store:
        assert store.close_dead(NOON) == 0
    assert list(directory.iterdir()) == []


def test_one_that_only_looks_is_no_writer(tmp_path: Path) -> None:
    """Reading and looking for the dead leave no sign of life behind."""
    with SqliteLedger(tmp_path / "a.db") as store:
        store.usage()
        store.close_dead(NOON)
        assert not Path(f"{tmp_path / 'a.db'}-writers").exists()


# Files that are none, or not ours alone


def test_a_missing_directory_is_not_made(tmp_path: Path) -> None:
    """The error names the path."""
    path = tmp_path / "nowhere" / "a.db"
    with pytest.raises(LedgerUnavailable, match=r"nowhere.a\.db"):
        SqliteLedger(path)
    assert not path.parent.exists()


def test_a_missing_file_is_not_made_for_reading(tmp_path: Path) -> None:
    """The error names the path, and no file appears."""
    with pytest.raises(LedgerUnavailable, match=r"a\.db"):
        SqliteLedger(tmp_path / "a.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """The file is named, and left as it is."""
    path = tmp_path / "a.db"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 40)
    before = path.read_bytes()
    with pytest.raises(LedgerDamaged, match=r"a\.db"):
        SqliteLedger(path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """A file whose pages are torn fails with its name, whenever that is found."""
    path = tmp_path / "a.db"
    with SqliteLedger(path) as store:
        store.write([_opened(str(number)) for number in range(2000)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(LedgerDamaged, match=r"a\.db"), SqliteLedger(path) as store:
        store.rows()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """Opening a newer version's file fails at once."""
    path = tmp_path / "a.db"
    SqliteLedger(path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(LedgerTooNew) as refused:
        SqliteLedger(path)
    assert refused.value.found == 7


def test_a_locked_file_is_busy_and_then_is_not(tmp_path: Path) -> None:
    """While another writes for too long nothing is written; the same batch succeeds later."""
    path = tmp_path / "a.db"
    with (
        SqliteLedger(path, busy_s=0.01) as store,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerBusy, match=r"a\.db"):
            store.write([_opened()])
        assert store.rows() == []
        other.execute("ROLLBACK")
        store.write([_opened()])
        assert len(store.rows()) == 1


def test_writers_that_cannot_be_told_apart_write_nothing(tmp_path: Path) -> None:
    """Without a place for signs of life nothing is written that nobody could close."""
    path = tmp_path / "a.db"
    Path(f"{path}-writers").touch()
    with SqliteLedger(path) as store:
        with pytest.raises(LedgerUnavailable, match="told apart"):
            store.write([_opened()])
        assert store.rows() == []


def test_processes_write_one_file_at_once(tmp_path: Path) -> None:
    """Several processes, each with many transactions, lose and double nothing."""
    program = (
        "import sys\n"
        "from deltaweir.accounts import *\n"
        "from deltaweir.stores.sqlite import SqliteLedger\n"
        "name = sys.argv[2]\n"
        "with SqliteLedger(sys.argv[1]) as store:\n"
        "    for number in range(50):\n"
        "        stream_id = f'{name}-{number}'\n"
        "        store.write([Opened(stream_id=stream_id, started=1, model='m')])\n"
        "        store.write([Closed(stream_id=stream_id, ended=2, ending='complete',\n"
        "                            tally=Tally(completion_tokens=1))])\n"
    )
    path = tmp_path / "a.db"
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen([sys.executable, "-c", program, str(path), str(number)])
            )
            for number in range(4)
        ]
        assert [process.wait(40) for process in processes] == [0, 0, 0, 0]
    with SqliteLedger(path) as store:
        (line,) = store.usage()
        assert store.close_dead(NOON) == 0
    assert (line.streams, line.completion_tokens) == (200, 200)


@FORKS
def test_a_child_may_use_what_was_not_open(tmp_path: Path) -> None:
    """An object made before a fork works in the child, as a writer of its own."""
    store = SqliteLedger(tmp_path / "a.db")
    child = os.fork()
    if child == 0:
        store.write([_opened("child")])
        os._exit(0)  # as if it had died
    assert os.waitpid(child, 0)[1] == 0
    store.write([_opened("parent")])
    assert store.close_dead(NOON) == 1
    closed = {row.stream_id: row.closed is not None for row in store.rows()}
    store.close()
    assert closed == {"child": True, "parent": False}


@FORKS
def test_a_child_may_not_use_what_was_open(tmp_path: Path) -> None:
    """SQLite would corrupt the file; the child is told to fork first, the parent goes on."""
    path = tmp_path / "a.db"
    with SqliteLedger(path) as store:
        store.write([_opened("before")])
        child = os.fork()
        if child == 0:
            refusals = 0
            for attempt in (lambda: store.write([_opened("child")]), lambda: SqliteLedger(path)):
                try:
                    attempt()
                except LedgerUnavailable as error:
                    refusals += "fork first" in error.message
            store.close()
            os._exit(refusals)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        store.write([_opened("after")])
        assert {row.stream_id for row in store.rows()} == {"before", "after"}
        assert store.close_dead(NOON) == 0
