"""The ledger's writer: streams never wait, nothing is lost in silence, a kill tears nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deltaweir.accounts import Attempt, Closed, Opened, Row, Tally
from deltaweir.errors import InvalidRequest
from deltaweir.gateway.ledger.ledger import Ledger
from deltaweir.gateway.ledger.writer import Pace
from deltaweir.stores.failures import LedgerDamaged, LedgerUnavailable
from deltaweir.stores.sqlite import SqliteLedger

NOON = 1_795_521_600.0
LIMIT_S = 20.0
THREADS_FORK = pytest.mark.filterwarnings(  # Python 3.12 and later: what is tested here
    "ignore:.*multi-threaded.*:DeprecationWarning"
)
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
SLOW = Pace(window_s=60, checkpoint_s=3600, look_s=3600)
QUICK = Pace(window_s=0.001, checkpoint_s=0.01, look_s=0.02)


def _opened(stream_id: str = "s", **more: Any) -> Opened:
    return Opened(stream_id=stream_id, started=NOON, model="m", **more)


def _closed(stream_id: str = "s", **more: Any) -> Closed:
    told: dict[str, Any] = {
        "ended": NOON + 5,
        "tally": Tally(completion_tokens=9),
        "ending": "complete",
    }
    return Closed(stream_id=stream_id, **(told | more))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger's file that is not there yet."""
    return tmp_path / "ledger.db"


def _rows(path: Path) -> dict[str, Row]:
    with SqliteLedger(path, read_only=True) as store:
        return {row.stream_id: row for row in store.rows()}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold the file's write lock, until the block ends or rolls back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def _until(condition: Any) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.002)


def test_a_stream_is_one_row(path: Path) -> None:
    """What a stream tells is on disk once it is flushed: row, attempts and end."""
    attempt = Attempt(stream_id="s", number=1, upstream="u", started=NOON, ended=NOON, ending="x")
    with Ledger(SqliteLedger(path), pace=SLOW) as ledger:
        handle = ledger.opened(_opened(), Tally)
        handle.attempt(attempt)
        handle.close(_closed())
        handle.close(_closed(ending="failed"))
        assert ledger.flush(LIMIT_S)
        row = _rows(path)["s"]
    assert (row.opened, row.closed, row.attempts) == (_opened(), _closed(), (attempt,))


def test_closing_writes_all(path: Path) -> None:
    """Everything told before the ledger is closed is on disk afterwards."""
    ledger = Ledger(SqliteLedger(path))
    for number in range(2000):
        ledger.opened(_opened(str(number)), Tally).close(_closed(str(number)))
    assert ledger.close(LIMIT_S)
    assert ledger.close()
    rows = _rows(path)
    assert len(rows) == 2000
    assert all(row.closed for row in rows.values())
    assert ledger.lost == 0


def test_threads_share_a_ledger(path: Path) -> None:
    """Streams of several threads are all recorded."""

    def work(name: str) -> None:
        for number in range(200):
            stream_id = f"{name}-{number}"
            ledger.opened(_opened(stream_id), Tally).close(_closed(stream_id))

    with Ledger(SqliteLedger(path), pace=QUICK) as ledger:
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
    rows = _rows(path)
    assert len(rows) == 800
    assert all(row.closed for row in rows.values())


def test_a_running_stream_is_checkpointed(path: Path) -> None:
    """While a stream runs its tally is asked again and again; an ended one is left alone."""
    asked = threading.Event()
    count = iter(range(10**9))

    def tally() -> Tally:
        asked.set()
        return Tally(completion_tokens=next(count))

    with Ledger(SqliteLedger(path), pace=QUICK, clock=lambda: NOON + 1) as ledger:
        handle = ledger.opened(_opened(), tally)
        _until(lambda: _rows(path).get("s") and _rows(path)["s"].checkpointed == NOON + 1)
        handle.close(_closed())
        ledger.flush(LIMIT_S)
        asked.clear()
        ledger.opened(_opened("t"), Tally)
        _until(lambda: "t" in _rows(path) and _rows(path)["t"].checkpointed)
        assert not asked.is_set()
    assert _rows(path)["s"].closed == _closed()


def test_the_promised_pace_is_below_a_second() -> None:
    """A window and a checkpoint's interval together leave time to write within a second."""
    assert Pace().window_s + Pace().checkpoint_s <= 0.9


def test_a_tally_that_raises_stops_nobody_else(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the other streams have their checkpoints."""

    def fail() -> Tally:
        raise ZeroDivisionError

    with Ledger(SqliteLedger(path), pace=QUICK) as ledger:
        ledger.opened(_opened("bad"), fail)
        ledger.opened(_opened("good"), Tally)
        _until(lambda: "good" in _rows(path) and _rows(path)["good"].checkpointed)
    assert _rows(path)["bad"].checkpointed is None
    assert "no checkpoint of bad" in caplog.text


def test_durable_is_done_when_the_row_is_on_disk(path: Path) -> None:
    """Who waits for the row finds it in the file, without waiting for the window."""
    with Ledger(SqliteLedger(path), pace=SLOW) as ledger:
        handle = ledger.opened(_opened(), Tally)
        handle.durable.result(LIMIT_S)
        assert "s" in _rows(path)
        assert handle.durable.done()
        assert not handle.durable.cancel()


def test_durable_may_be_asked_for_late(path: Path) -> None:
    """A row that is on disk already is durable at once."""
    with Ledger(SqliteLedger(path)) as ledger:
        handle = ledger.opened(_opened(), Tally)
        ledger.flush(LIMIT_S)
        assert handle.durable.done()


async def test_a_coroutine_waits_off_the_loop(path: Path) -> None:
    """While many streams wait for their rows the loop goes on."""
    with Ledger(SqliteLedger(path), pace=SLOW) as ledger:
        handles = [ledger.opened(_opened(str(number)), Tally) for number in range(50)]
        waiting = [asyncio.wrap_future(handle.durable) for handle in handles]
        await asyncio.wait_for(asyncio.gather(*waiting), LIMIT_S)
        assert len(_rows(path)) == 50


def test_a_locked_file_stops_no_stream(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While another holds the file, what streams tell waits; then all of it is written."""
    with Ledger(SqliteLedger(path, busy_s=0.01), pace=QUICK) as ledger:
        with _locked(path):
            handles = [ledger.opened(_opened(str(number)), Tally) for number in range(100)]
            for handle in handles:
                handle.close(_closed(handle.stream_id))
            assert not ledger.flush(0.05)
            _until(lambda: ledger.unavailable_since is not None)
            assert not ledger.full
            assert not handles[0].durable.done()
            assert _rows(path) == {}
        assert ledger.flush(LIMIT_S)
        assert handles[0].durable.done()
        assert ledger.unavailable_since is None
        rows = _rows(path)
    assert len(rows) == 100
    assert all(row.closed for row in rows.values())
    assert ledger.lost == 0
    assert "entries wait" in caplog.text
    assert "written again" in caplog.text


def test_a_full_queue_keeps_streams_that_end_later(path: Path) -> None:
    """A stream that found no room at its beginning is recorded as a whole at its end."""
    with Ledger(SqliteLedger(path, busy_s=0.01), pace=QUICK, waiting=2) as ledger:
        with _locked(path):
            first = ledger.opened(_opened("first"), Tally)
            _until(lambda: not ledger._writer.waiting)  # it is in the writer's hands
            for name in ("second", "third"):
                ledger.opened(_opened(name), Tally)
            late = ledger.opened(_opened("late"), Tally)
            late.attempt(Attempt(stream_id="late", number=1, upstream="u", started=NOON))
            assert ledger._writer.waiting == 2
            first.close(_closed("first"))  # once queued, always queued
            assert ledger._writer.waiting == 3
        assert ledger.flush(LIMIT_S)
        assert "late" not in _rows(path)
        late.close(_closed("late"))
        assert ledger.flush(LIMIT_S)
        rows = _rows(path)
        assert late.durable.done()
    assert (rows["first"].closed, rows["late"].closed) == (_closed("first"), _closed("late"))
    assert len(rows["late"].attempts) == 1
    assert ledger.lost == 0


def test_a_stream_lost_to_a_full_queue_is_counted(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Streams without room until their end are lost, counted, and logged without a flood."""
    caplog.set_level(logging.ERROR)
    with Ledger(SqliteLedger(path, busy_s=0.01), pace=QUICK, waiting=0) as ledger:
        handles = [ledger.opened(_opened(str(number)), Tally) for number in range(100)]
        for handle in handles:
            handle.close(_closed(handle.stream_id))
            handle.close(_closed(handle.stream_id))
        assert ledger.lost == 100
        with pytest.raises(LedgerUnavailable, match="full"):
            handles[0].durable.result(LIMIT_S)
    assert _rows(path) == {}
    assert [record.args for record in caplog.records] == [(2**power,) for power in range(7)]


def test_one_bad_entry_harms_no_other(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the store refuses for itself is given up and counted; all others are written."""
    with Ledger(SqliteLedger(path), pace=SLOW) as ledger:
        handles = [ledger.opened(_opened(name), Tally) for name in ("a", "b", "c")]
        handles[0].close(_closed("a"))
        handles[1].close(_closed("b", tally=Tally(completion_tokens=2**63)))
        handles[2].close(_closed("c"))
        assert ledger.flush(LIMIT_S)
        rows = _rows(path)
    assert [rows[name].closed is not None for name in "abc"] == [True, False, True]
    assert ledger.lost == 1
    assert "Closed of b" in caplog.text


def test_what_a_closed_ledger_cannot_write_is_counted(path: Path) -> None:
    """When the file stays locked closing gives up in time, and says how much is lost."""
    ledger = Ledger(SqliteLedger(path, busy_s=0.01), pace=QUICK)
    with _locked(path):
        held = ledger.opened(_opened("held"), Tally)
        _until(lambda: not ledger._writer.waiting)
        queued = ledger.opened(_opened("queued"), Tally)
        assert not ledger.close(0.2)
    assert ledger.lost == 2
    for handle in (held, queued):
        with pytest.raises(LedgerUnavailable, match="gave the row up"):
            handle.durable.result(LIMIT_S)
    held.close(_closed("held"))
    assert ledger.lost == 3  # told after the end: counted, not written
    assert ledger.flush(0)
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.opened(_opened(), Tally)


def test_a_process_that_ends_without_closing_writes_all(path: Path) -> None:
    """The interpreter's end flushes what is queued."""
    program = (
        "import sys\n"
        "from deltaweir.accounts import *\n"
        "from deltaweir.gateway.ledger.ledger import Ledger\n"
        "ledger = Ledger.open('sqlite:///' + sys.argv[1])\n"
        "for number in range(100):\n"
        "    ledger.opened(Opened(stream_id=str(number), started=1, model='m'), Tally)\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(_rows(path)) == 100


@FORKS
@THREADS_FORK
def test_a_child_is_refused(path: Path) -> None:
    """A ledger made before a fork takes nothing in the child, whose end harms nobody."""
    with Ledger(SqliteLedger(path), pace=QUICK) as ledger:
        ledger.opened(_opened("before"), Tally).durable.result(LIMIT_S)
        child = os.fork()
        if child == 0:
            refused = 1
            with contextlib.suppress(LedgerUnavailable):
                ledger.opened(_opened("child"), Tally)
                refused = 0
            os._exit(refused * ledger.flush(0) * ledger.close(0))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        ledger.opened(_opened("after"), Tally).durable.result(LIMIT_S)
    assert set(_rows(path)) == {"before", "after"}


# What a configuration says


def test_without_a_url_there_is_no_ledger() -> None:
    """An empty URL turns the ledger off."""
    assert Ledger.open("") is None


@pytest.mark.parametrize(
    "url", ["mysql://user:secret@host/name", "ledger.db", "sqlite:///", "sqlite://x.db"]
)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    """The error names what is supported, and never the URL, which may hold a password."""
    with pytest.raises(InvalidRequest, match=r"sqlite:///file\.db") as refused:
        Ledger.open(url)
    assert refused.value.param == "ledger.url"
    assert "secret" not in refused.value.message


def test_a_url_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes begin at the working directory, four at the root."""
    monkeypatch.chdir(tmp_path)
    for url, file in [
        ("sqlite:///near.db", tmp_path / "near.db"),
        (f"sqlite:///{tmp_path / 'far.db'}", tmp_path / "far.db"),
    ]:
        ledger = Ledger.open(url, clock=lambda: NOON)
        assert ledger is not None
        ledger.opened(_opened(), Tally)
        assert ledger.close()
        assert set(_rows(file)) == {"s"}


def test_a_damaged_file_is_refused_at_once(path: Path) -> None:
    """A configuration with a file that is no ledger fails when it is opened, not later."""
    path.write_text("no database " * 100, encoding="ascii")
    with pytest.raises(LedgerDamaged):
        Ledger.open(f"sqlite:///{path}")


def test_rows_of_the_dead_are_closed_when_opening(path: Path) -> None:
    """The next ledger to be opened closes what a dead process left open."""
    with SqliteLedger(path) as store:
        store.write([_opened()])
    ledger = Ledger.open(f"sqlite:///{path}")
    assert ledger is not None
    closed = _rows(path)["s"].closed
    ledger.close()
    assert closed is not None
    assert closed.ending == "failed"


def test_rows_of_the_dead_are_closed_while_others_live(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that runs on closes what another left open, and says so."""
    with Ledger(SqliteLedger(path), pace=QUICK) as ledger:
        with SqliteLedger(path) as store:
            store.write([_opened()])
        _until(lambda: _rows(path)["s"].closed)
        assert ledger.lost == 0
    _until(lambda: "closed 1 rows" in caplog.text)


def test_the_dead_wait_while_they_cannot_be_told(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When signs of life cannot be read that is logged, and done later; the writer lives on."""
    with SqliteLedger(path) as store:
        store.write([_opened("dead")])
    writers = Path(f"{path}-writers")
    writers.rmdir()
    writers.touch()
    with Ledger(SqliteLedger(path), pace=QUICK) as ledger:
        _until(lambda: "dead processes wait" in caplog.text)
        assert _rows(path)["dead"].closed is None
        writers.unlink()
        _until(lambda: _rows(path)["dead"].closed)
        ledger.opened(_opened("alive"), Tally).durable.result(LIMIT_S)


# Killed a hundred times

FORKER = Path(__file__).with_name("ledger_victims.py")
KILLS = 100


class Promises:
    """What one victim has said to be on disk before it was killed."""

    def __init__(self, path: Path) -> None:
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        self.opened = set[str]()
        self.closed = set[str]()
        self.counted: dict[str, int] = {}
        for line in whole.splitlines():
            what, stream_id, *count = line.split()
            if what == "opened":
                self.opened.add(stream_id)
            elif what == "closed":
                self.closed.add(stream_id)
            else:
                self.counted[stream_id] = int(count[0])


def _check_victim(rows: dict[str, Row], promised: Promises) -> int:
    """Assert that a dead victim's rows are whole, ended and as promised; return the failed."""
    assert promised.opened <= set(rows)
    for stream_id in promised.closed:
        closed = rows[stream_id].closed
        assert closed is not None
        assert closed.ending == "complete"
    failed = 0
    for stream_id, row in rows.items():
        assert row.opened is not None
        assert row.closed is not None
        count = row.tally.completion_tokens
        if count is not None:  # a torn row would not have its figures from one moment
            assert (row.tally.prompt_tokens, row.tally.counted_tokens) == (2 * count, 3 * count)
        if row.closed.ending == "complete":
            continue
        failed += 1
        assert row.closed.ending == "failed"
        assert row.presumed
        assert row.closed.ended == (row.checkpointed or row.opened.started)
        assert (count or 0) >= promised.counted.get(stream_id, 0)
        assert all(attempt.ending is not None for attempt in row.attempts)
    return failed


@pytest.mark.live  # it takes long
@FORKS
@pytest.mark.timeout(120)
def test_a_hundred_kills_tear_nothing(path: Path, tmp_path: Path) -> None:
    """Killed in mid-write a hundred times: no row torn, none twice, none open, none too many.

    A process forks victims that write as fast as they can, and are killed after some
    milliseconds; two steady writers live through it all, with streams that stay open.
    """
    delays = random.Random(4)  # noqa: S311  # the same delays in each run
    total = failed = wrote = 0
    command = [sys.executable, str(FORKER), str(path), str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as forker:
        assert forker.stdin is not None
        assert forker.stdout is not None
        assert forker.stdout.readline() == "steady\n"
        for number in range(KILLS):
            began = time.time()
            forker.stdin.write(f"{delays.uniform(0.002, 0.06)}\n")
            assert forker.stdout.readline() == "killed\n"
            with SqliteLedger(path) as store:
                store.close_dead(NOON)
                assert store.close_dead(NOON) == 0
                rows = {row.stream_id: row for row in store.rows(since=began)}
                steady = store.rows(key_id="steady")
            failed += _check_victim(rows, Promises(tmp_path / f"{number}.promises"))
            assert all(name.startswith(f"{number}-") for name in rows)
            assert [row.closed for row in steady] == [None] * 2 * 5
            total += len(rows)
            wrote += bool(rows)
        forker.stdin.close()
        assert forker.wait(LIMIT_S) == 0
    with SqliteLedger(path, read_only=True) as store:
        assert len(store.rows()) == total + 2 * 5
        endings = [row.closed and row.closed.ending for row in store.rows(key_id="steady")]
    assert endings == ["complete"] * 2 * 5
    assert min(wrote, failed) > KILLS / 4  # else the test would prove nothing
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert list(Path(f"{path}-writers").iterdir()) == []
