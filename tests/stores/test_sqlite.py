"""The ledger in SQLite: one row a stream, however often and in whatever order it is told."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stores.ledgers import (
    GROUPINGS,
    NOON,
    REPORTED,
    TOLD,
    Fresh,
    by_id,
    check_fields,
    check_first_end,
    check_groups,
    check_hours,
    check_midnight,
    check_order,
    check_report,
    check_running,
    check_window,
    closed,
    opened,
)

from deltaweir.accounts import Attempt, Entry, Tally
from deltaweir.stores import sqlite_statements as statements
from deltaweir.stores.failures import (
    LedgerBusy,
    LedgerDamaged,
    LedgerTooNew,
    LedgerUnavailable,
)
from deltaweir.stores.sqlite import SqliteLedger
from deltaweir.stores.sqlite_schema import migrate
from deltaweir.usage_report import GROUPS

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


def _in_memory() -> SqliteLedger:
    return SqliteLedger(":memory:")


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


@given(told=TOLD, data=st.data())
@settings(max_examples=150, deadline=None)
def test_neither_order_nor_repetition_nor_batches_matter(
    told: list[Entry], data: st.DataObject
) -> None:
    """Told in any order, any entry more than once, in any batches, the rows are the same."""
    check_order(_in_memory, told, data)


@given(told=TOLD)
@settings(deadline=None)
def test_what_is_told_is_what_is_read(told: list[Entry]) -> None:
    """Every field of every entry comes back as it was told."""
    check_fields(_in_memory, told)


@pytest.mark.parametrize(
    "check", [check_first_end, check_midnight, check_hours, check_window, check_groups]
)
def test_it_is_a_ledger(check: Callable[[Fresh], None], tmp_path: Path) -> None:
    """It does what every ledger must, in a file as well."""
    check(lambda: SqliteLedger(tmp_path / "a.db"))


def test_others_streams_are_told(tmp_path: Path) -> None:
    """Those of all processes that write the same file."""
    check_running(lambda: SqliteLedger(tmp_path / "a.db"), lambda: SqliteLedger(tmp_path / "a.db"))


def test_a_report_since_a_time_reads_no_more() -> None:
    """It goes by the index of the beginnings, whatever it is grouped by."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        migrate(connection, ":memory:", busy_s=1)
        for groups in ((), GROUPS):
            plan = connection.execute(
                f"EXPLAIN QUERY PLAN {statements.usage(groups, bounded=True, most=None)}",
                statements.window(NOON, None, None, None),
            ).fetchall()
            assert "streams_by_start (started>?)" in plan[0][3]


def test_a_batch_is_all_or_nothing(tmp_path: Path) -> None:
    """A batch with a figure that SQLite cannot hold writes nothing of itself."""
    with SqliteLedger(tmp_path / "a.db") as store:
        with pytest.raises(OverflowError):
            store.write([opened(), closed(tally=Tally(completion_tokens=2**63))])
        assert store.rows() == []
        store.write([opened()])
        assert len(store.rows()) == 1


def test_text_that_utf8_has_not_is_replaced(tmp_path: Path) -> None:
    """A lone surrogate in a client's words loses itself, not the row."""
    with SqliteLedger(tmp_path / "a.db") as store:
        store.write([opened(user="a\ud800é", tag="\0")])
        (row,) = store.rows()
    assert row.opened == opened(user="a?é", tag="\0")


def test_rows_outlive_the_object(tmp_path: Path) -> None:
    """A file opened again has the rows; a file that is only read changes nothing."""
    path = tmp_path / "a.db"
    with SqliteLedger(path) as store:
        store.write([opened(), closed()])
        before = store.rows()
    with SqliteLedger(path, read_only=True) as store:
        assert store.rows() == before
        assert store.close_dead(NOON) == 0
        with pytest.raises(LedgerUnavailable, match="readonly"):
            store.write([opened("t")])


# Reports


@given(told=REPORTED, group_by=GROUPINGS)
@settings(max_examples=150, deadline=None)
def test_a_report_adds_up(
    told: list[tuple[float, str, str | None, Tally | None]], group_by: tuple[str, ...]
) -> None:
    """Whatever it is grouped by, a report has the sums that Python finds, to the picodollar."""
    check_report(_in_memory, told, group_by)


# The dead


def test_a_dead_process_s_rows_areclosed(tmp_path: Path) -> None:
    """A killed process's open rows end as failed, at their last checkpoint, and only they."""
    path = tmp_path / "a.db"
    with SqliteLedger(path) as store:
        store.write([opened("mine")])
        with _running(WRITER, path) as process:
            assert store.close_dead(NOON) == 0
            process.kill()
            process.wait(20)
            assert store.close_dead(NOON) == 3
        assert store.close_dead(NOON) == 0
        rows = by_id(store)
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
        alive.write([opened(), running])
        for file in Path(f"{path}-writers").iterdir():
            file.unlink()
        assert looker.close_dead(NOON) == 1
        assert looker.rows()[0].presumed
        alive.write([ended, closed()])
        (row,) = looker.rows()
    assert (row.closed, row.presumed, row.attempts) == (closed(), False, (ended,))


def test_leaving_with_open_rows_is_dying(tmp_path: Path) -> None:
    """What was open when a ledger was closed is closed as failed by the next that looks."""
    path = tmp_path / "a.db"
    with SqliteLedger(path) as first:
        first.write([opened()])
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
        store.write([opened(str(number)) for number in range(2000)])
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
            store.write([opened()])
        assert store.rows() == []
        other.execute("ROLLBACK")
        store.write([opened()])
        assert len(store.rows()) == 1


def test_writers_that_cannot_be_told_apart_write_nothing(tmp_path: Path) -> None:
    """Without a place for signs of life nothing is written that nobody could close."""
    path = tmp_path / "a.db"
    Path(f"{path}-writers").touch()
    with SqliteLedger(path) as store:
        with pytest.raises(LedgerUnavailable, match="told apart"):
            store.write([opened()])
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
        store.write([opened("child")])
        os._exit(0)  # as if it had died
    assert os.waitpid(child, 0)[1] == 0
    store.write([opened("parent")])
    assert store.close_dead(NOON) == 1
    closed = {row.stream_id: row.closed is not None for row in store.rows()}
    store.close()
    assert closed == {"child": True, "parent": False}


@FORKS
def test_a_child_may_not_use_what_was_open(tmp_path: Path) -> None:
    """SQLite would corrupt the file; the child is told to fork first, the parent goes on."""
    path = tmp_path / "a.db"
    with SqliteLedger(path) as store:
        store.write([opened("before")])
        child = os.fork()
        if child == 0:
            refusals = 0
            for attempt in (lambda: store.write([opened("child")]), lambda: SqliteLedger(path)):
                try:
                    attempt()
                except LedgerUnavailable as error:
                    refusals += "fork first" in error.message
            store.close()
            os._exit(refusals)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
        store.write([opened("after")])
        assert {row.stream_id for row in store.rows()} == {"before", "after"}
        assert store.close_dead(NOON) == 0
