"""Recordings as files: never over another, whole lines, and no harm where the disk is full."""

from __future__ import annotations

import logging
import os
import stat
import sys
from pathlib import Path

import pytest

from deltaweir.adapters.recording_files import RecordedFile, RecordingFile
from deltaweir.errors import InvalidRecording, InvalidRequest
from deltaweir.recording import End, Header, end_line, event_line, header_line

HEADER = header_line(Header(kind="text"))


def test_a_file_is_its_owners_and_written_at_once(tmp_path: Path) -> None:
    """What was written is there before the file is closed, for its owner alone."""
    path = tmp_path / "r.jsonl"
    file = RecordingFile(str(path))
    file.write(HEADER)
    assert path.read_bytes() == HEADER
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    file.close()
    file.close()


def test_no_file_is_replaced(tmp_path: Path) -> None:
    """A file that holds anything is refused; an empty one is taken."""
    path = tmp_path / "r.jsonl"
    path.touch()
    file = RecordingFile(str(path))
    file.discard()
    assert path.exists()  # it was there before
    path.write_bytes(HEADER)
    with pytest.raises(InvalidRequest, match="there is a file already; remove it") as caught:
        RecordingFile(str(path))
    assert caught.value.param == "record"
    assert path.read_bytes() == HEADER


def test_a_folder_takes_a_file_for_each(tmp_path: Path) -> None:
    """In a folder each recording has a name of its own; one with a slash is made."""
    folder = tmp_path / "new"
    files = [RecordingFile(f"{folder}/"), RecordingFile(str(folder))]
    for file in files:
        file.write(HEADER)
        file.close()
    assert len(list(folder.glob("*.jsonl"))) == 2


def test_what_was_never_begun_leaves_nothing(tmp_path: Path) -> None:
    """A file that was opened for a request that failed is gone again; a written one stays."""
    path = tmp_path / "r.jsonl"
    RecordingFile(str(path)).discard()
    assert not path.exists()
    file = RecordingFile(str(path))
    file.write(HEADER)
    file.discard()
    assert path.exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A missing folder is named as such, and so is what is no folder."""
    with pytest.raises(InvalidRequest, match="its folder does not exist; make it first"):
        RecordingFile(str(tmp_path / "none" / "r.jsonl"))
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InvalidRequest, match="it cannot be written"):
        RecordingFile(str(tmp_path / "file" / "r.jsonl"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no full device")  # noqa: PTH110
def test_a_full_disk_ends_the_recording_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised, and one warning names the file."""
    file = RecordingFile("/dev/full")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            file.write(HEADER)
    (record,) = caplog.records
    assert "/dev/full ends early: No space left on device" in record.getMessage()


def test_a_recording_is_read_up_to_where_it_breaks_off(tmp_path: Path) -> None:
    """A torn last line counts for nothing, and what is behind the end is not looked at."""
    path = tmp_path / "r.jsonl"
    lines = [HEADER, event_line(1, b"{}"), event_line(2, b"{}")]
    path.write_bytes(b"".join(lines)[:-3])
    torn = RecordedFile(str(path))
    assert [event.at for event in torn.events()] == [1]
    assert torn.reader.end is None
    path.write_bytes(b"".join([*lines, end_line(End(at=3, end="complete")), b"more\n"]))
    whole = RecordedFile(str(path), name="mine")
    assert [event.at for event in whole.events()] == [1, 2]
    assert whole.reader.end is not None


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    """A missing file, a folder and a file of something else are told by their name."""
    with pytest.raises(InvalidRecording, match=r"there is no recording .*none"):
        RecordedFile(str(tmp_path / "none"))
    with pytest.raises(InvalidRecording, match="cannot be read"):
        RecordedFile(str(tmp_path))
    (tmp_path / "other").write_text("hello\n")
    with pytest.raises(InvalidRecording, match="mine: line 1: this is no recording"):
        RecordedFile(str(tmp_path / "other"), name="mine")


def test_a_line_without_an_end_is_not_read_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line has a longest length, above which the file is no recording."""
    monkeypatch.setattr("deltaweir.adapters.recording_files.MAX_LINE_BYTES", 100)
    path = tmp_path / "r.jsonl"
    path.write_bytes(HEADER + b"x" * 200)
    with pytest.raises(InvalidRecording, match="line 2: the line is damaged"):
        list(RecordedFile(str(path)).events())
