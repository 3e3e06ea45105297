"""Recordings that a thread writes: in order, and never more of them in memory than is allowed."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from deltaweir.adapters.later_recording import LaterRecording
from deltaweir.adapters.recording_files import RecordingFile


class Disk(RecordingFile):
    """A file on a disk that takes nothing until it may."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.takes = threading.Event()

    def write(self, lines: bytes) -> None:
        """Wait for the disk, and write."""
        self.takes.wait(10)
        super().write(lines)


def test_lines_keep_their_order(tmp_path: Path) -> None:
    """All that was written is there once it is closed, and nothing that came behind."""
    path = tmp_path / "r.jsonl"
    later = LaterRecording(RecordingFile(str(path)))
    for number in range(100):
        later.write(b"%d\n" % number)
    later.close().result(10)
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(100))
    later.write(b"late\n")
    later.discard().result(10)
    assert path.read_bytes().endswith(b"99\n")  # what was closed stays


def test_what_is_discarded_is_gone(tmp_path: Path) -> None:
    """Nothing stays of what was written before."""
    path = tmp_path / "r.jsonl"
    later = LaterRecording(RecordingFile(str(path)))
    later.write(b"x")
    later.discard().result(10)
    assert not path.exists()


def test_a_disk_that_is_stuck_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for it; above a bound the rest is left out, and one warning says so."""
    monkeypatch.setattr("deltaweir.adapters.later_recording.MOST_WAITING", 30)
    path = tmp_path / "r.jsonl"
    disk = Disk(str(path))
    later = LaterRecording(disk)
    with caplog.at_level(logging.WARNING):
        for _ in range(9):
            later.write(b"123456789\n")
    disk.takes.set()
    later.close().result(10)
    assert path.read_bytes() == b"123456789\n" * 3
    assert [record.getMessage().partition("r.jsonl ")[2] for record in caplog.records] == [
        "ends early: its disk takes nothing"
    ]
