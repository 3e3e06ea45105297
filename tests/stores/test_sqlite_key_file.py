"""The file of keys: what would go wrong in silence is refused."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.stores.failures import LedgerBusy, LedgerDamaged, LedgerUnavailable
from deltaweir.stores.sqlite import SqliteLedger
from deltaweir.stores.sqlite_key_file import KeyFile

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
UNLINKS = pytest.mark.skipif(os.name == "nt", reason="Windows removes no open file")


@pytest.fixture(name="file")
def file_fixture(tmp_path: Path) -> Iterator[KeyFile]:
    """Return a file of keys."""
    with contextlib.closing(KeyFile(tmp_path / "a.db", durable=False)) as file:
        yield file


def changes(file: KeyFile) -> int:
    """Read something."""
    with file.reading() as connection:
        return int(connection.execute("SELECT number FROM key_changes").fetchone()[0])


def test_it_is_the_ledger_s_file(file: KeyFile) -> None:
    """Keys lie beside the ledger's rows, whichever comes first."""
    with SqliteLedger(file.path) as ledger:
        assert ledger.rows() == []
    assert changes(file) == 0


@pytest.mark.parametrize(("durable", "level"), [(True, 2), (False, 1)])
def test_only_what_must_be_is_synced(tmp_path: Path, durable: bool, level: int) -> None:
    """Keys are synced at each commit (2 is FULL), leases with the ledger (1 is NORMAL)."""
    with (
        contextlib.closing(KeyFile(tmp_path / "a.db", durable=durable)) as file,
        file.reading() as connection,
    ):
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@UNLINKS
def test_a_removed_file_is_refused(file: KeyFile) -> None:
    """A file that is gone is neither read on nor made anew, and is used when it is back."""
    shutil.copy(file.path, file.path.with_name("kept.db"))
    file.path.unlink()
    with pytest.raises(LedgerUnavailable, match="removed or replaced"):
        changes(file)
    with pytest.raises(LedgerUnavailable, match="is gone"):
        changes(file)
    assert not file.path.exists()
    shutil.copy(file.path.with_name("kept.db"), file.path)
    assert changes(file) == 0
    assert file.openings == 2


@UNLINKS
def test_a_file_is_opened_again_as_fast_as_it_is_written(file: KeyFile) -> None:
    """Who may wait for a moment only does not wait longer where the file has to be opened first."""
    for one in file.path.parent.iterdir():
        one.unlink()
    with pytest.raises(LedgerUnavailable, match="removed or replaced"), file.writing(wait_s=0.005):
        pass
    with contextlib.closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        with pytest.raises(LedgerBusy), file.writing(wait_s=0.005):
            pass
        assert time.monotonic() - began < 2


def test_a_locked_file_is_busy(file: KeyFile) -> None:
    """Another process's lock, or another thread's use, is waited for as long as is said."""
    with contextlib.closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerBusy), file.writing(wait_s=0.005):
            pass
        assert changes(file) == 0
    with file.writing(wait_s=1):
        seen = list[Exception]()

        def write() -> None:
            try:
                with file.writing(wait_s=0.005):
                    pass
            except LedgerBusy as error:
                seen.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        assert "another thread" in str(seen[0])


def test_a_block_that_raises_writes_nothing(file: KeyFile) -> None:
    """And the next one works."""
    values = [(7,), (-(2**63),)]  # of the second there is no absolute value
    with pytest.raises(sqlite3.OperationalError), file.writing(wait_s=1) as connection:
        connection.executemany("UPDATE key_changes SET number = abs(?)", values)
    assert changes(file) == 0


def test_memory_cannot_be_shared() -> None:
    """Processes share keys through a file; the error says how it is named."""
    with pytest.raises(InvalidRequest, match=r"sqlite:///deltaweir\.db"):
        KeyFile(":memory:", durable=True)


def test_another_program_s_file_is_refused(tmp_path: Path) -> None:
    """It is left as it is."""
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as other:
        other.execute("CREATE TABLE a (b)")
    with pytest.raises(LedgerDamaged):
        KeyFile(tmp_path / "a.db", durable=True)


def test_a_closed_file_stays_closed(file: KeyFile) -> None:
    """Whoever uses it afterwards is told."""
    file.close()
    file.close()
    with pytest.raises(LedgerUnavailable, match="was closed"):
        changes(file)


@FORKS
def test_a_child_is_refused(file: KeyFile) -> None:
    """A connection does not survive a fork."""
    child = os.fork()
    if not child:
        try:
            changes(file)
        except LedgerUnavailable:
            file.close()
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert changes(file) == 0
