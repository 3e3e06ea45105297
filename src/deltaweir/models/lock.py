"""One pull at a time per model, among all processes of this machine.

The lock is the operating system's, on an open file: it goes with the process that holds it,
so a crashed pull never blocks the next one, whatever file it leaves behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_S = 0.1
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _taken(descriptor: int) -> bool:
    try:
        _take(descriptor)
    except OSError as error:
        if error.errno in _HELD:
            return False
        # Some network file systems know no locks. Two pulls at once are then possible, and
        # harmless: the checksum decides before anything gets its final name.
    return True


@contextlib.contextmanager
def locked(path: Path, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock on the file ``path`` inside the block, waiting for it as long as it takes.

    Args:
        path: The lock file; created when missing, never removed.
        waiting: Called once when another process holds the lock.

    Raises:
        OSError: The file cannot be opened for writing.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        # Short polls instead of a blocking call, so that Ctrl-C works everywhere.
        if not _taken(descriptor):
            waiting()
            while not _taken(descriptor):
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)
