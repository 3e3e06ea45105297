"""Recordings that a thread writes, for an event loop that must not wait for a disk."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor

from deltaweir.adapters.recording_files import RecordingFile

MOST_WAITING = 16 * 2**20
"""Bytes of one recording that may wait for a disk that takes none; then it is given up."""
_log = logging.getLogger("deltaweir.recording")

# one thread, so that lines keep their order; begun with the first recording, and waited for
# when the process ends, so that what was handed over is written
_WRITER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deltaweir-recordings")


class LaterRecording:
    """A recording's file that is written soon, in order, while nobody waits. One thread calls it.

    Args:
        file: The file; nobody else writes to it any more.
    """

    def __init__(self, file: RecordingFile) -> None:
        self._file = file
        self._given = self._written = 0
        self._given_up = False

    def write(self, lines: bytes) -> None:
        """Write lines soon; where too many wait, one warning is logged and the rest left out."""
        if self._given_up:
            return
        self._given += len(lines)
        if self._given - self._written > MOST_WAITING:
            self._given_up = True
            _log.warning("the recording %s ends early: its disk takes nothing", self._file.path)
            return
        _WRITER.submit(self._write, lines)

    def close(self) -> Future[None]:
        """Write no more; what is returned is done when all is written."""
        return _WRITER.submit(self._file.close)

    def discard(self) -> Future[None]:
        """Write no more, and remove the file."""
        return _WRITER.submit(self._file.discard)

    def _write(self, lines: bytes) -> None:
        self._file.write(lines)
        self._written += len(lines)
