"""Recordings as files: written line by line as the stream goes on, and read so.

A line is in the system's hands as soon as it is written, so that nothing is lost when this
process dies. Nothing waits for the disk itself, which would cost milliseconds a line. A file is
made for its owner alone, since it holds what a model has answered, and none is ever replaced.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from deltaweir.errors import InvalidRecording, InvalidRequest
from deltaweir.recording import Event, Header
from deltaweir.recording_reader import MAX_LINE_BYTES, RecordingReader

SUFFIX = ".jsonl"
_log = logging.getLogger("deltaweir.recording")


class RecordingFile:
    """A file that a recording is written to.

    Where it cannot be written any more, such as on a full disk, one warning is logged and the
    rest is left out; who records goes on. What is there is a recording of a truncated stream.

    Args:
        path: A file that does not exist or is empty; or a folder that exists, or whose name ends
            with a slash, in which a file of a new name is made.

    Raises:
        InvalidRequest: It cannot be written, or there is something already.
    """

    def __init__(self, path: str) -> None:
        self.path, self._made = path, True
        try:
            self._file = self._opened(path)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._broken = False
        self._written = False

    def write(self, lines: bytes) -> None:
        """Write lines at once; nothing is raised, see above."""
        if self._broken:
            return
        self._written = True
        try:
            whole = self._file.write(lines) == len(lines)
            reason = "it was not written whole; the disk may be full"
        except (OSError, ValueError) as error:  # ValueError: it is closed
            whole, reason = False, getattr(error, "strerror", None) or "it is closed"
        if not whole:
            self._broken = True
            _log.warning("the recording %s ends early: %s", self.path, reason)
            self.close()

    def close(self) -> None:
        """Write no more; idempotent."""
        self._broken = True
        with contextlib.suppress(OSError):  # what it could not write it has said
            self._file.close()

    def discard(self) -> None:
        """Write no more, and remove the file if nothing was written and it was not there before."""
        self.close()
        if self._made and not self._written:
            with contextlib.suppress(OSError):  # an empty file is no harm
                Path(self.path).unlink()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self.close()

    def _opened(self, path: str) -> io.FileIO:
        place = Path(path)
        if path.endswith(("/", os.sep)):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if place.is_dir():
            made = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
            self.path = str(place / f"{made}-{secrets.token_hex(4)}{SUFFIX}")
        try:
            return io.FileIO(self.path, "x", opener=_for_its_owner)
        except FileExistsError:
            if Path(self.path).stat().st_size:
                raise
            self._made = False
            return io.FileIO(self.path, "a")


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _unwritable(path: str, error: OSError) -> InvalidRequest:
    if isinstance(error, FileExistsError):
        reason = "there is a file already; remove it, or name another file or a folder"
    elif isinstance(error, FileNotFoundError):
        reason = "its folder does not exist; make it first"
    else:
        reason = f"it cannot be written: {error.strerror or type(error).__name__}"
    return InvalidRequest(f"nothing can be recorded to {path}: {reason}", param="record")


class RecordedFile:
    """A recording that was read from a file, its first line looked at.

    It is in memory from then on, so that playing it waits for no disk.

    Args:
        path: The file.
        name: What errors call it; the path unless told.

    Raises:
        InvalidRecording: There is no such file, it cannot be read, or it is no recording.
    """

    def __init__(self, path: str, *, name: str | None = None) -> None:
        self.name = name or path
        self.reader = RecordingReader(self.name)
        """What was read so far."""
        try:
            self._file = io.BytesIO(Path(path).read_bytes())
        except OSError as error:
            raise self._unreadable(error) from error
        self.reader.read(self._line())
        header = self.reader.header
        assert header is not None  # or reading has raised
        self.header: Header = header

    def events(self) -> Iterator[Event]:
        """Yield the events from here on, up to the end or to where the file breaks off.

        Raises:
            InvalidRecording: A line is damaged.
        """
        while self.reader.end is None and (line := self._line()):
            event = self.reader.read(line)
            if event is not None:
                yield event

    def _line(self) -> bytes:
        line = self._file.readline(MAX_LINE_BYTES)
        if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
            raise self.reader.too_long()
        return line

    def _unreadable(self, error: OSError) -> InvalidRecording:
        if isinstance(error, FileNotFoundError):
            return InvalidRecording(f"there is no recording {self.name}", param="model")
        reason = error.strerror or type(error).__name__
        return InvalidRecording(f"{self.name} cannot be read: {reason}", param="model")
