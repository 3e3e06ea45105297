"""A ledger that is away: what is told waits on disk, is bounded, and is written when it is back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.stores.ledgers import NOON, closed, opened

from deltaweir.accounts import Checkpoint, Entry, Row, Tally
from deltaweir.gateway.ledger.ledger import Ledger
from deltaweir.gateway.ledger.spooled import SpooledStore
from deltaweir.gateway.ledger.writer import Pace
from deltaweir.stores.failures import LedgerBusy, LedgerMisconfigured, LedgerUnavailable
from deltaweir.stores.ledger_columns import RunningRow
from deltaweir.stores.spool import Spool
from deltaweir.stores.sqlite import SqliteLedger
from deltaweir.usage_report import Line

LIMIT_S = 20.0
QUICK = Pace(window_s=0.001, checkpoint_s=0.01, look_s=0.02)
MISTAKE = LedgerMisconfigured("the password is wrong")
AWAY = LedgerUnavailable("nobody answers")
BAD = "bad"


class Faulty:
    """A ledger in memory that fails as it is told.

    Attributes:
        fails: What each call raises; None while it works.
        writers: Who told what was written, in order.
    """

    name = "it"
    writer_id = "own"

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.writers: list[str] = []
        self.kept = SqliteLedger(":memory:")
        self.closed = threading.Event()

    def prepare(self) -> None:
        """See that it works."""
        if self.fails is not None:
            raise self.fails

    def write(self, batch: Sequence[Entry], *, writer_id: str | None = None) -> None:
        """Write, unless it fails or a stream is a bad one."""
        self.prepare()
        if any(entry.stream_id == BAD for entry in batch):
            raise ValueError(BAD)
        self.kept.write(batch)
        self.writers.append(writer_id or self.writer_id)

    def close_dead(self, now: float) -> int:
        """Find nobody dead."""
        self.prepare()
        return 0

    def usage(self, *args: Any, **chosen: Any) -> list[Line]:
        """Report."""
        return self.kept.usage(**chosen)

    def running(self, most: int) -> list[RunningRow]:
        """Return the open rows of others."""
        return self.kept.running(most)

    def close(self) -> None:
        """Be closed."""
        self.closed.set()

    @property
    def rows(self) -> dict[str, Row]:
        """All rows."""
        return {row.stream_id: row for row in self.kept.rows()}


@pytest.fixture
def faulty() -> Faulty:
    """A ledger that works until it is told not to."""
    return Faulty()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the queue is."""
    return tmp_path / "spool"


def _store(faulty: Faulty, folder: Path, *, most_bytes: int = 2**20) -> SpooledStore:
    return SpooledStore(faulty, Spool(folder, most_bytes=most_bytes))


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.002)


def _looks(store: SpooledStore) -> Callable[[], bool]:
    """Return what looks whether a ledger is back, as its writer does now and then."""

    def looked() -> bool:
        store.close_dead(NOON)
        return store.unavailable_since is None

    return looked


def test_what_is_told_meanwhile_is_written_when_it_is_back(
    faulty: Faulty, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On disk while the ledger is away, in it when it is back; both is said once."""
    store = _store(faulty, folder)
    store.write([opened("before")])
    faulty.fails = AWAY
    for _ in range(3):
        store.write([opened("meanwhile")])
    assert store.close_dead(NOON) == 0
    assert store.unavailable_since is not None
    assert store.waiting == 3
    with pytest.raises(LedgerUnavailable, match="nobody answers"):
        store.running(9)
    faulty.fails = None
    _until(_looks(store))
    assert (set(faulty.rows), store.waiting) == ({"before", "meanwhile"}, 0)
    store.close()
    assert list(folder.iterdir()) == []
    assert faulty.closed.is_set()
    assert {record.name for record in caplog.records} == {"deltaweir.gateway.ledger"}
    said = [record.getMessage() for record in caplog.records]
    assert len([one for one in said if "nobody answers" in one]) == 1
    assert len([one for one in said if "is back" in one]) == 1


def test_new_entries_do_not_wait_for_old_ones(faulty: Faulty, folder: Path) -> None:
    """A write when the ledger is back goes there directly, and takes what waited along."""
    store = _store(faulty, folder)
    faulty.fails = AWAY
    store.write([opened("old")])
    faulty.fails = None

    def written() -> bool:
        store.write([opened("new")])
        return store.unavailable_since is None

    _until(written)
    assert set(faulty.rows) == {"old", "new"}
    store.close()


def test_another_starts_with_what_a_dead_one_left(faulty: Faulty, folder: Path) -> None:
    """What was on disk when a process ended is the next one's to write, for the dead writer."""
    faulty.fails = AWAY
    store = _store(faulty, folder)
    store.write([opened()])
    faulty.writer_id = "gone"
    store.close()
    faulty.fails, faulty.writer_id = None, "next"
    heir = _store(faulty, folder)
    heir.open(NOON)
    assert (set(faulty.rows), faulty.writers) == ({"s"}, ["own"])
    heir.close()
    assert list(folder.iterdir()) == []


def test_a_start_without_the_ledger_is_one(faulty: Faulty, folder: Path) -> None:
    """Where it is only away all begins; where it refuses what was configured nothing does."""
    faulty.fails = AWAY
    store = _store(faulty, folder)
    store.open(NOON)
    store.write([opened()])
    assert store.waiting == 1
    faulty.fails = MISTAKE
    with pytest.raises(LedgerMisconfigured):
        store.open(NOON)
    store.close()


def test_a_mistake_while_it_runs_is_being_away(faulty: Faulty, folder: Path) -> None:
    """A password that was changed loses nothing."""
    store = _store(faulty, folder)
    faulty.fails = MISTAKE
    store.write([opened()])
    assert store.waiting == 1
    store.close()


def test_a_busy_ledger_is_tried_again(faulty: Faulty, folder: Path) -> None:
    """What another's transaction held up goes not to the disk."""
    store = _store(faulty, folder)
    faulty.fails = LedgerBusy("a deadlock")
    with pytest.raises(LedgerBusy):
        store.write([opened()])
    with pytest.raises(LedgerBusy):
        store.close_dead(NOON)
    assert (store.waiting, store.unavailable_since) == (0, None)
    store.close()


def test_checkpoints_leave_room_for_ends(faulty: Faulty, folder: Path) -> None:
    """From half of the room on they are left out; when it is full entries are refused."""
    store = _store(faulty, folder, most_bytes=2000)
    faulty.fails = AWAY
    checkpoint = Checkpoint(stream_id="s", at=NOON, tally=Tally())
    told = 0
    while store.waiting == told:
        store.write([checkpoint])
        told += 1
        if store.waiting < told:
            break
    assert 3 < told < 20
    store.write([closed()])
    assert store.waiting == told
    with pytest.raises(LedgerUnavailable, match="nobody answers; the queue is full"):
        store.write([closed()] * 20)
    faulty.fails = None
    _until(_looks(store))
    assert faulty.rows["s"].closed == closed()
    store.close()


def test_without_a_queue_all_waits_in_memory(faulty: Faulty) -> None:
    """The writer keeps what is refused, and tells since when; afterwards all is written."""
    with Ledger(SpooledStore(faulty, None), pace=QUICK, waiting=3) as ledger:
        faulty.fails = AWAY
        handles = [ledger.opened(opened("first"), Tally)]
        _until(lambda: ledger.unavailable_since is not None)
        handles += [ledger.opened(opened(str(number)), Tally) for number in range(8)]
        assert ledger.full
        faulty.fails = None
        _until(lambda: ledger.unavailable_since is None)
        assert not ledger.full
        for handle in handles:
            handle.close(closed(handle.stream_id))
            assert ledger.flush(LIMIT_S)
        assert len(faulty.rows) == 9
        assert ledger.lost == 0


def test_one_bad_entry_of_the_queue_is_counted(
    faulty: Faulty, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The ledger takes all others of its portion."""
    store = _store(faulty, folder)
    faulty.fails = AWAY
    store.write([opened("a"), opened(BAD), opened("b")])
    faulty.fails = None
    _until(_looks(store))
    assert (set(faulty.rows), store.lost, store.waiting) == ({"a", "b"}, 1, 0)
    assert "Opened of bad" in caplog.text
    store.close()


def test_it_may_go_away_again_while_it_catches_up(faulty: Faulty, folder: Path) -> None:
    """What was not written yet still waits."""
    store = _store(faulty, folder)
    faulty.fails = AWAY
    store.write([opened(), opened(BAD)])
    write, calls = faulty.write, iter([None, None, AWAY])

    def failing(batch: Sequence[Entry], *, writer_id: str | None = None) -> None:
        faulty.fails = next(calls, faulty.fails)
        write(batch, writer_id=writer_id)

    faulty.write = failing  # type: ignore[method-assign]
    faulty.fails = None
    looks = _looks(store)
    _until(lambda: looks() or faulty.fails is AWAY)
    assert store.waiting == 2
    assert store.unavailable_since is not None
    faulty.fails = None
    _until(looks)
    _until(lambda: looks() and not store.waiting)
    assert set(faulty.rows) == {"s"}
    store.close()


def test_streams_are_kept_over_an_outage(
    faulty: Faulty, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Through a ledger's thread: rows count as kept once they are on disk, and none is lost."""
    caplog.set_level(logging.WARNING)
    with Ledger(_store(faulty, folder), pace=QUICK) as ledger:
        ledger.opened(opened("before"), Tally).durable.result(LIMIT_S)
        faulty.fails = AWAY
        handles = [ledger.opened(opened(str(number)), Tally) for number in range(50)]
        for handle in handles:
            handle.durable.result(LIMIT_S)
        for handle in handles[:25]:
            handle.close(closed(handle.stream_id))
        assert ledger.flush(LIMIT_S)
        assert ledger.waiting >= 75
        assert ledger.unavailable_since is not None
        assert not ledger.full
        faulty.fails = None
        _until(lambda: ledger.unavailable_since is None and not ledger.waiting)
        for handle in handles[25:]:
            handle.close(closed(handle.stream_id))
        assert ledger.flush(LIMIT_S)
        assert ledger.lost == 0
    rows = faulty.rows
    assert len(rows) == 51
    assert [rows[str(number)].closed for number in range(50)] == [
        closed(str(number)) for number in range(50)
    ]
    assert [line.streams for line in ledger.usage()] == [51]
