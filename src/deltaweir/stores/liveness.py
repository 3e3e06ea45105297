"""Which writers of a shared file still live: an operating system's lock tells, not a number.

A writer has a random id and holds, as long as it lives, the lock on a file of that name. The
system drops the lock when the process dies, however it dies; whoever gets another's lock thus
knows that its holder is dead. Process ids would not do: they are given out again.

Three traps shape this module. A forked child inherits the open file, and with it a share in the
lock, so that its parent would seem to live on: children close their copies at once. A file that
was created and is not yet locked looks dead: its creator, once it has the lock, makes sure that
the file still stands at its path, else takes a new id. And a file is removed only while its
lock is held, or on Windows while nobody has it open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_SUFFIX = ".lock"
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_open = set[int]()
_changing = threading.Lock()


def _closed_in_child() -> None:
    # closing a copy leaves the parent's lock alone; unlocking it would not
    for descriptor in _open:
        os.close(descriptor)
    _open.clear()
    _changing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_changing.acquire,
        after_in_parent=_changing.release,
        after_in_child=_closed_in_child,
    )


def _locked(path: Path, flags: int) -> int | None:
    """Return an open descriptor that holds the lock on a file; None when another holds it."""
    with _changing:
        descriptor = os.open(path, flags, 0o644)
        try:
            _take(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _HELD:
                return None
            raise
        _open.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    with _changing:
        if descriptor in _open:  # else a child has closed it after a fork
            _open.remove(descriptor)
            os.close(descriptor)


def _remove(path: Path, descriptor: int) -> None:
    if sys.platform == "win32":  # an open file cannot be removed there
        _close(descriptor)
        with contextlib.suppress(FileNotFoundError, PermissionError):
            path.unlink()
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        _close(descriptor)


class Life:
    """This writer's sign of life, from its creation until ``end``, or the death of the process.

    Args:
        directory: Where the writers of one shared file keep their locks; created when missing.

    Attributes:
        writer_id: A random id, never used before.

    Raises:
        OSError: The directory cannot be written, or its file system has no locks.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        while True:
            self.writer_id = secrets.token_hex(8)
            self._path = directory / (self.writer_id + _SUFFIX)
            descriptor = _locked(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            if descriptor is None:
                continue
            if _stands(self._path, descriptor):
                break
            _close(descriptor)
        self._descriptor = descriptor

    def end(self) -> None:
        """Give the lock up and remove its file; what this writer left open counts as dead."""
        _remove(self._path, self._descriptor)

    def leave(self) -> None:
        """Give the lock up and leave its file, as death would: others must see it to take over."""
        _close(self._descriptor)


def _stands(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def dead(directory: Path, writer_id: str) -> Iterator[bool]:
    """Tell whether a writer is dead; while the block runs nobody else is told so.

    The lock's file is removed after the block, unless the block raises. A writer without a file
    is dead.

    Raises:
        OSError: The lock's file cannot be opened, or its file system has no locks.
    """
    path = directory / (writer_id + _SUFFIX)
    try:
        descriptor = _locked(path, os.O_RDWR)
    except FileNotFoundError:
        yield True
        return
    if descriptor is None:
        yield False
        return
    try:
        yield True
        _remove(path, descriptor)
    finally:
        _close(descriptor)


def signs(directory: Path) -> set[str]:
    """Return the ids of all writers whose lock file exists, dead or alive."""
    return {path.stem for path in directory.glob("*" + _SUFFIX)}
