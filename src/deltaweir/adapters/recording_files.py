"""Recordings as files: written line by line as the stream goes on, and read so.

A line is in the system's hands as soon as it is written, so that nothing is lost when this
process dies. Nothing waits for the disk itself, which would cost milliseconds a line. A file is
made for its owner alone, since it holds what a model has answered, and none is ever replaced.

A stream may be closed by a signal handler, a finaliser or another thread while one of its lines
is being written, so nobody here waits for a lock: lines stand in a queue, and whoever finds
that nobody writes does so until it is empty. A descriptor is closed by whoever writes, and
never under him; nor by the child of a fork, whose recording it is not.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import io
import logging
import os
import secrets
import stat
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from deltaweir.errors import InvalidRecording, InvalidRequest
from deltaweir.recording import Event, Header
from deltaweir.recording_reader import MAX_LINE_BYTES, RecordingReader

if sys.platform != "win32":
    import fcntl

SUFFIX = ".jsonl"
_WRITES = os.O_WRONLY | getattr(os, "O_BINARY", 0)
_log = logging.getLogger("deltaweir.recording")


class RecordingFile:
    """A file that a recording is written to.

    Where it cannot be written any more, such as on a full disk, one warning is logged and the
    rest is left out; who records goes on. What is there is a recording of a truncated stream.
    Any thread may call it, also a signal handler in the middle of another call.

    Args:
        path: A file that does not exist or is empty; a device; or a folder that exists, or whose
            name ends with a slash, in which a file of a new name is made. On Windows, and where
            files cannot be locked, none that exists is taken.
        new: Whether only a file that does not exist is taken.

    Raises:
        InvalidRequest: It cannot be written, there is something already, or another stream is
            recorded to it.
    """

    def __init__(self, path: str, *, new: bool = False) -> None:
        self.path = path
        self.last_words: Callable[[], bytes] = bytes
        """Returns what is written where the file is dropped before it was closed."""
        self._made = True
        self._removed = self._begun = False
        self._descriptor: int | None = None
        self._lines: collections.deque[bytes | None] = collections.deque()
        self._writing = threading.Lock()  # only ever tried
        try:
            self._descriptor = self._opened(path, new=new)
        except (OSError, ValueError) as error:  # ValueError: NUL in a path
            raise _unwritable(self.path, error) from error
        _open.add(self)

    def write(self, lines: bytes) -> None:
        """Write lines at once; nothing is raised, see above."""
        self._begun = True
        self._lines.append(lines)
        self._settle()

    def close(self) -> None:
        """Write no more; idempotent."""
        self._lines.append(None)
        self._settle()

    def discard(self) -> None:
        """Write no more, and leave things as they were: remove the file if it was made here."""
        self._removed = True
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is None:
            return
        if self._begun:
            self.write(self.last_words())
            self.close()
        else:
            self.discard()

    def _settle(self) -> None:
        """Do what is to be done, unless somebody does; he will find it."""
        waiting, writing = self._lines, self._writing
        while waiting and writing.acquire(False):  # noqa: FBT003  a name is twice the call
            try:
                while waiting:
                    lines, descriptor = waiting.popleft(), self._descriptor
                    if descriptor is None:
                        continue
                    if lines is None:
                        self._close()
                    elif os.write(descriptor, lines) != len(lines):
                        self._give_up("it was not written whole; the disk may be full")
            except OSError as error:
                self._give_up(error.strerror or type(error).__name__)
            finally:
                writing.release()

    def forget(self) -> None:
        """Close what the child of a fork has of it, and nothing else."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _give_up(self, reason: str) -> None:
        self._close()
        _log.warning("the recording %s ends early: %s", self.path, reason)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        assert descriptor is not None  # or nobody would call
        place, gone = Path(self.path), False
        with contextlib.suppress(OSError):
            if self._removed and not self._made:
                os.ftruncate(descriptor, 0)
            elif self._removed:
                gone = os.path.samestat(place.stat(), os.fstat(descriptor))
            # before it is closed, so that nobody has taken the empty file meanwhile
            if gone and sys.platform != "win32":
                place.unlink()
        with contextlib.suppress(OSError):  # what it could not write it has said
            os.close(descriptor)
        if gone and sys.platform == "win32":  # where nothing that is open can be removed
            with contextlib.suppress(OSError):
                place.unlink()

    def _opened(self, path: str, *, new: bool) -> int:
        place = Path(path)
        if path.endswith(("/", os.sep)):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if place.is_dir():
            made = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
            self.path = str(place / f"{made}-{secrets.token_hex(4)}{SUFFIX}")
        try:
            descriptor = os.open(self.path, _WRITES | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if new:
                raise
            self._made = False
            return _taken(self.path)
        with _closed_if_refused(descriptor):
            _lock(descriptor)
        return descriptor


_open: weakref.WeakSet[RecordingFile] = weakref.WeakSet()


def _forked() -> None:
    for file in list(_open):
        file.forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)


def _taken(path: str) -> int:
    """Return the descriptor of a device, or of an empty file that nobody else writes."""
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        raise OSError(errno.EINVAL, "it is a link that leads nowhere") from None
    if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode)):
        raise OSError(errno.EINVAL, "it is neither a file nor a device")
    descriptor = os.open(path, _WRITES | os.O_APPEND)
    if stat.S_ISCHR(mode):
        return descriptor
    with _closed_if_refused(descriptor):
        own = os.fstat(descriptor) if _lock(descriptor) else None
        if own is None or own.st_size or not os.path.samestat(own, Path(path).stat()):
            raise FileExistsError
        if sys.platform != "win32":
            os.fchmod(descriptor, 0o600)
    return descriptor


@contextlib.contextmanager
def _closed_if_refused(descriptor: int) -> Iterator[None]:
    try:
        yield
    except OSError:
        os.close(descriptor)
        raise


def _lock(descriptor: int) -> bool:
    """Keep others from an empty file as long as it is open; tell whether that can be done.

    Raises:
        OSError: Another has it.
    """
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        said = "another stream is recorded to it; name another file or a folder"
        raise OSError(errno.EBUSY, said) from error
    except OSError:  # a file system without locks
        return False
    return True


def _unwritable(path: str, error: OSError | ValueError) -> InvalidRequest:
    if isinstance(error, ValueError):
        reason = "its name has a NUL"
    elif isinstance(error, FileExistsError):
        reason = "there is a file already; remove it, or name another file or a folder"
    elif isinstance(error, FileNotFoundError):
        reason = "its folder does not exist; make it first"
    else:
        reason = f"it cannot be written: {error.strerror or type(error).__name__}"
    shown = path.replace("\0", "\\0")
    return InvalidRequest(f"nothing can be recorded to {shown}: {reason}", param="record")


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
        except (OSError, ValueError) as error:  # ValueError: NUL in a path
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

    def _unreadable(self, error: OSError | ValueError) -> InvalidRecording:
        if isinstance(error, FileNotFoundError):
            return InvalidRecording(f"there is no recording {self.name}", param="model")
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
        else:
            reason = "its name has a NUL"
        name = self.name.replace("\0", "\\0")
        return InvalidRecording(f"{name} cannot be read: {reason}", param="model")
