"""Recordings as files: never over another, whole lines, and no harm where the disk is full."""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import threading
from pathlib import Path

import pytest

from deltaweir.adapters import recording_files
from deltaweir.adapters.recording_files import RecordedFile, RecordingFile
from deltaweir.errors import InvalidRecording, InvalidRequest
from deltaweir.recording import End, Header, end_line, event_line, header_line

HEADER = header_line(Header(kind="text"))
LOCKS = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such files, locks and processes"
)


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
    """A file that holds anything is refused."""
    path = tmp_path / "r.jsonl"
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
    """A file that was opened for a request that failed is gone again, and so is one dropped."""
    path = tmp_path / "r.jsonl"
    RecordingFile(str(path)).discard()
    assert not path.exists()
    file = RecordingFile(str(path))
    file.write(HEADER)
    file.discard()
    assert not path.exists()
    RecordingFile(str(path))
    assert not path.exists()


def test_only_ones_own_file_is_discarded(tmp_path: Path) -> None:
    """Another file in its place stays, and one that was there before is empty again."""
    path = tmp_path / "r.jsonl"
    file = RecordingFile(str(path))
    path.unlink()
    path.write_bytes(b"another's")
    file.discard()
    assert path.read_bytes() == b"another's"


@LOCKS
def test_an_empty_file_is_given_back(tmp_path: Path) -> None:
    """A file that was there before is its owner's alone while it is written, and stays."""
    path = tmp_path / "r.jsonl"
    path.touch(0o644)
    file = RecordingFile(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    file.write(HEADER)
    file.discard()
    assert path.read_bytes() == b""


@LOCKS
def test_two_streams_never_share_a_file(tmp_path: Path) -> None:
    """A file that is open is refused though it be empty, until it is closed."""
    path = tmp_path / "r.jsonl"
    for _ in range(2):  # made here, and there before
        file = RecordingFile(str(path))
        with pytest.raises(InvalidRequest, match="another stream is recorded to it"):
            RecordingFile(str(path))
        file.close()
        assert path.read_bytes() == b""


def test_only_a_new_file_may_be_taken(tmp_path: Path) -> None:
    """Whoever wants a file that was not there before is refused an empty one."""
    (tmp_path / "r.jsonl").touch()
    with pytest.raises(InvalidRequest, match="there is a file already"):
        RecordingFile(str(tmp_path / "r.jsonl"), new=True)


@LOCKS
def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    """A pipe without a reader would wait for ever, and a link may lead nowhere."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidRequest, match="it is neither a file nor a device"):
        RecordingFile(str(tmp_path / "pipe"))
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidRequest, match="it is a link that leads nowhere"):
        RecordingFile(str(tmp_path / "link"))


def test_a_name_that_no_file_can_have_is_said() -> None:
    """A NUL is told as such, in what is written and in what is read."""
    with pytest.raises(InvalidRequest, match="its name has a NUL"):
        RecordingFile("a\0b")
    with pytest.raises(InvalidRecording, match="its name has a NUL"):
        RecordedFile("a\0b")


def test_what_is_dropped_says_its_last_words(tmp_path: Path) -> None:
    """A file that nobody has closed ends as whoever wrote it said beforehand."""
    path = tmp_path / "r.jsonl"
    file = RecordingFile(str(path))
    file.last_words = lambda: b"last\n"
    file.write(HEADER)
    del file
    assert path.read_bytes() == HEADER + b"last\n"


def test_a_call_amid_a_call_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler that ends the recording while a line is written comes after the line."""
    path = tmp_path / "r.jsonl"
    file, write = RecordingFile(str(path)), os.write

    def interrupted(descriptor: int, lines: bytes) -> int:
        monkeypatch.undo()
        file.write(b"end\n")
        file.close()
        file.write(b"late\n")
        return write(descriptor, lines)

    monkeypatch.setattr(os, "write", interrupted)
    file.write(HEADER)
    assert path.read_bytes() == HEADER + b"end\n"


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    """Whoever closes from another thread closes nothing under a line that is being written."""
    path = tmp_path / "r.jsonl"
    file = RecordingFile(str(path))
    line = b"x" * 100 + b"\n"

    def write() -> None:
        for _ in range(200):
            file.write(line)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    assert path.read_bytes() == line * 600


@LOCKS
def test_where_no_file_can_be_locked_only_new_ones_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two streams share no file either where nothing tells whether it is open."""

    def no_locks(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    path = tmp_path / "r.jsonl"
    file = RecordingFile(str(path))
    with pytest.raises(InvalidRequest, match="there is a file already"):
        RecordingFile(str(path))
    file.discard()
    assert not path.exists()


def test_a_line_that_finds_no_room_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a line ends the recording, with one warning."""
    path = tmp_path / "r.jsonl"
    file, write = RecordingFile(str(path)), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, lines: write(descriptor, lines[:5]))
    with caplog.at_level(logging.WARNING):
        file.write(HEADER)
        file.write(HEADER)
    assert path.read_bytes() == HEADER[:5]
    assert [record.getMessage().partition("early: ")[2] for record in caplog.records] == [
        "it was not written whole; the disk may be full"
    ]


def test_what_a_fork_left_open_is_forgotten(tmp_path: Path) -> None:
    """In a child nothing is written to any file that was open, and none is removed."""
    path = tmp_path / "r.jsonl"
    file = RecordingFile(str(path))
    for _ in range(2):
        recording_files._forked()
    file.write(HEADER)
    file.discard()
    assert path.read_bytes() == b""


@LOCKS
def test_the_child_of_a_fork_leaves_it_alone(tmp_path: Path) -> None:
    """It neither writes nor ends what its parent records."""
    path = tmp_path / "r.jsonl"
    file = RecordingFile(str(path))
    file.write(HEADER)
    child = os.fork()
    if child == 0:
        file.write(b"child\n")
        file.discard()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    file.write(b"parent\n")
    file.close()
    assert path.read_bytes() == HEADER + b"parent\n"


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
