"""The queue on disk: bounded, whole after a kill, taken over once, gone when it is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.stores.ledgers import closed, opened

from deltaweir.accounts import Entry
from deltaweir.stores.spool import Spool
from deltaweir.stores.spool_records import framed

MOST = 2**20
DYING = """
import os, sys
from pathlib import Path
from deltaweir.accounts import *
from deltaweir.stores.spool import Spool
spool = Spool(Path(sys.argv[1]), most_bytes=2**20)
told = [Opened(stream_id=str(number), started=1.0, model="m") for number in range(5)]
assert spool.append(told, writer_id="dying")
print("kept", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "spool"


def _spool(folder: Path, most_bytes: int = MOST) -> Spool:
    return Spool(folder, most_bytes=most_bytes)


def _drained(spool: Spool) -> list[Entry]:
    found: list[Entry] = []
    while (some := spool.first(3)) is not None:
        found += some.entries
        spool.taken(some)
    return found


def _inherited(spool: Spool, most: int = 100) -> list[Entry]:
    with spool.inherited(most) as found:
        return [] if found is None else found.entries


def _dying(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", DYING, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "kept\n"
    return process


def _killed(folder: Path) -> None:
    """Let a process keep entries there and die."""
    process = _dying(folder)
    process.kill()
    process.communicate(timeout=20)


def test_what_is_kept_comes_back_in_order(folder: Path) -> None:
    """Entries of several calls, in portions; nothing is on disk before the first and after all."""
    spool = _spool(folder)
    assert (spool.waiting, spool.first(1)) == (0, None)
    assert not folder.exists()
    told: list[Entry] = [opened(str(number)) for number in range(7)]
    assert spool.append(told[:4], writer_id="w")
    assert spool.append(told[4:], writer_id="w")
    assert spool.waiting == 7
    assert _drained(spool) == told
    assert spool.waiting == 0
    assert spool.append([closed()], writer_id="w")
    assert _drained(spool) == [closed()]
    spool.close()
    assert list(folder.iterdir()) == []


def test_new_entries_join_while_old_ones_leave(folder: Path) -> None:
    """What is appended between two portions is in a later one."""
    spool = _spool(folder)
    spool.append([opened("a"), opened("b")], writer_id="w")
    some = spool.first(1)
    assert some is not None
    spool.append([opened("c")], writer_id="w")
    spool.taken(some)
    assert spool.waiting == 2
    assert _drained(spool) == [opened("b"), opened("c")]
    spool.close()


def test_a_file_that_somebody_removed_is_read_none_the_less(folder: Path) -> None:
    """While its process lives, its entries are there."""
    spool = _spool(folder)
    spool.append([opened("a")], writer_id="w")
    (file,) = folder.glob("*.spool")
    file.unlink()
    spool.append([opened("b")], writer_id="w")
    assert _drained(spool) == [opened("a"), opened("b")]
    spool.close()


def test_its_room_is_for_all_together(folder: Path) -> None:
    """Two that share a folder share its bound; who finds no room keeps nothing and says why."""
    one, two = _spool(folder, 1200), _spool(folder, 1200)
    many: list[Entry] = [opened(str(number)) for number in range(4)]
    assert one.append(many, writer_id="one")
    assert not one.half_full or two.half_full
    assert two.append(many, writer_id="two") or two.append(many[:1], writer_id="two")
    assert not one.append(many, writer_id="one")
    assert "spool" in one.refused
    assert one.waiting == 4
    assert one.half_full
    assert _drained(one) == many
    one.close()
    two.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """A file in its place, or no folder around it: nothing is kept, and the reason is told."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "nowhere" / "spool"):
        spool = _spool(folder)
        assert not spool.append([opened()], writer_id="w")
        assert str(folder) in spool.refused
        assert spool.waiting == 0
        spool.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is full")
def test_a_full_disk_is_said(folder: Path) -> None:
    """What does not go on the disk is not kept; what is there stays, and later entries follow."""
    spool = _spool(folder)
    assert spool.append([opened("a")], writer_id="w")
    whole, spool._file = spool._file, os.open("/dev/full", os.O_WRONLY)
    assert not spool.append([opened("b")], writer_id="w")
    assert "No space left" in spool.refused
    os.close(spool._file)
    spool._file = whole
    assert spool.append([opened("c")], writer_id="w")
    assert _drained(spool) == [opened("a"), opened("c")]
    spool.close()


def test_what_waits_outlives_its_owner(folder: Path) -> None:
    """Closed with entries, the file stays, and the next takes it over, once, and removes it."""
    first = _spool(folder)
    first.append([opened("a"), opened("b"), opened("c")], writer_id="first")
    first.close()
    heir = _spool(folder)
    with heir.inherited(2) as found:
        assert found is not None
        assert (found.writer, found.entries) == ("first", [opened("a"), opened("b")])
        assert not found.ended
        assert _inherited(_spool(folder)) == []  # another looks at the same moment
    assert len(list(folder.glob("*.lock"))) == 1  # so that nobody else takes the rest
    assert _inherited(heir, 2) == [opened("c")]
    assert _inherited(heir) == []
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_a_killed_process_s_entries_are_taken_over(folder: Path) -> None:
    """While it lives nobody touches its file; killed, its entries are the next one's."""
    process = _dying(folder)
    heir = _spool(folder)
    assert _inherited(heir) == []
    process.kill()
    process.communicate(timeout=20)
    assert [entry.stream_id for entry in _inherited(heir)] == ["0", "1", "2", "3", "4"]
    assert list(folder.iterdir()) == []


def test_what_could_not_be_written_stays(folder: Path) -> None:
    """When the block fails the entries are there for the next one."""
    _killed(folder)
    heir = _spool(folder)

    def fail() -> None:
        with heir.inherited(100) as found:
            assert found is not None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(_inherited(heir)) == 5


def test_a_torn_tail_is_dropped(folder: Path) -> None:
    """The whole records before it are read, and the file is removed."""
    _killed(folder)
    (file,) = folder.glob("*.spool")
    file.write_bytes(file.read_bytes()[:-3])
    with _spool(folder).inherited(100) as found:
        assert found is not None
        assert (len(found.entries), found.ended) == (4, True)
        assert found.dropped > 0
    assert list(folder.iterdir()) == []


def test_a_file_without_entries_is_removed(folder: Path) -> None:
    """One that was torn in its first record, and a sign of life without a file, say nothing."""
    folder.mkdir()
    (folder / "torn.spool").write_bytes(b"\x05\0\0")
    (folder / "empty.spool").touch()
    (folder / "gone.lock").touch()
    assert _inherited(_spool(folder)) == []
    assert list(folder.iterdir()) == []


def test_a_newer_version_s_file_is_left_alone(folder: Path) -> None:
    """It is for a newer program."""
    folder.mkdir()
    file = folder / "newer.spool"
    file.write_bytes(framed(msgspec.msgpack.encode({"spool": 2, "writer": "w"})))
    assert _inherited(_spool(folder)) == []
    assert file.exists()
