"""A queue on disk for entries that their ledger cannot take now, and that outlives its process.

Each process appends to a file of its own, ``<id>.spool``, beside its sign of life (`liveness`).
When its entries are in the ledger the file is removed. A file whose process has died is taken
over by whoever comes first, a restarted gateway say. Entries may thus be written twice, which a
ledger bears. What files look like is told in `spool_records`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from deltaweir.accounts import Entry
from deltaweir.stores.liveness import Life, dead, signs
from deltaweir.stores.spool_records import (
    HEAD,
    VERSION,
    Beginning,
    beginning_in,
    framed,
    portion,
    record,
    said_at,
)

_SUFFIX = ".spool"
_LONGEST_BEGINNING = 4096
_READ = 4 * 2**20
"""Bytes of a file that are read at once; a record has a few hundred."""


class Portion(NamedTuple):
    """Some entries of a file."""

    writer: str
    """Who told them."""
    entries: list[Entry]
    offset: int
    """Where the next portion begins, in bytes."""
    ended: bool
    """Whether nothing comes after them."""
    dropped: int
    """Bytes that come after them and can never be read."""


class _Unfinished(Exception):  # not an error
    """More entries of a dead process wait."""


class Spool:
    """This process's file, made with the first entry, and those of the dead beside it.

    Args:
        directory: Where the files of all processes are; made with the first entry.
        most_bytes: How much they may take in all.

    Attributes:
        waiting: Entries of this process that wait.
        refused: Why the last ones that found no room were refused.

    It is for one thread at a time.
    """

    def __init__(self, directory: Path, *, most_bytes: int) -> None:
        self.directory = directory
        self.waiting = 0
        self.refused = ""
        self._most = most_bytes
        self._life: Life | None = None
        self._file: int | None = None
        self._size = self._read = 0
        self._offsets: dict[Path, int] = {}

    @property
    def half_full(self) -> bool:
        """Whether less than half of the room is left."""
        return self._used() > self._most // 2

    def append(self, entries: Sequence[Entry], *, writer_id: str) -> bool:
        """Keep entries, all or none; return whether they are on disk.

        Args:
            entries: The entries.
            writer_id: Who tells them; the same for as long as entries wait.

        Raises:
            OverflowError: One has a figure beyond 64 bits.
        """
        told = b"".join(map(record, entries))
        if self._used() + len(told) > self._most:
            self.refused = f"{self.directory} has {self._most // 2**20} MiB"
            return False
        try:
            self._append(told, writer_id)
        except OSError as error:
            self.refused = f"{self.directory}: {error.strerror}"
            return False
        self.waiting += len(entries)
        return True

    def first(self, most: int) -> Portion | None:
        """Return the entries that wait longest; None where none do.

        Raises:
            OSError: The file cannot be read.
        """
        if self._file is None or not self.waiting:
            return None
        # the open file, which is there even if somebody has removed its name
        with os.fdopen(os.dup(self._file), "rb") as file:
            return _portion_of(file, self._read, most)

    def taken(self, found: Portion) -> None:
        """Forget the entries that `first` returned, since they are in the ledger."""
        self._read = found.offset
        self.waiting = 0 if found.ended else self.waiting - len(found.entries)
        if not self.waiting:
            self._forget()

    @contextlib.contextmanager
    def inherited(self, most: int) -> Iterator[Portion | None]:
        """Take over entries of a dead process for a block; None where there are none.

        When the block ends they count as being in the ledger, unless it raises.

        Raises:
            OSError: The directory cannot be read or written.
        """
        for path in sorted(self._others()):
            with contextlib.suppress(_Unfinished), dead(self.directory, path.stem) as gone:
                found = self._left_in(path, most) if gone and path.exists() else None
                if found is None:
                    continue  # alive, or of a newer version, which will take it over itself
                yield found
                self._offsets[path] = found.offset
                if not found.ended:
                    raise _Unfinished  # which leaves its sign of death for the next portion
                del self._offsets[path]
                path.unlink(missing_ok=True)
            return
        yield None

    def close(self) -> None:
        """Let go of the file; it is removed unless entries wait, which others may take over."""
        if self._life is None:
            return
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self.waiting:
            self._life.leave()
        else:
            self._path.unlink(missing_ok=True)
            self._life.end()
        self._life = None

    @property
    def _path(self) -> Path:
        assert self._life is not None
        return self.directory / (self._life.writer_id + _SUFFIX)

    def _left_in(self, path: Path, most: int) -> Portion | None:
        """Return entries of a dead process's file, which is removed where it can have none."""
        with path.open("rb") as file:
            found = _portion_of(file, self._offsets.get(path, 0), most)
            torn = found is None and not said_at(_first_of(file), 0)
        if torn:
            path.unlink()
        return found

    def _append(self, told: bytes, writer_id: str) -> None:
        if self._life is None:
            self._life = Life(self.directory)
        if self._file is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
            self._file = os.open(self._path, flags, 0o600)  # rows name users
            self._size = self._read = 0
        if not self._size:
            beginning = Beginning(spool=VERSION, writer=writer_id)
            told = framed(msgspec.msgpack.encode(beginning)) + told
        try:
            os.lseek(self._file, self._size, os.SEEK_SET)
            _write_all(self._file, told)
            os.fsync(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # a torn tail is overwritten, or dropped when read
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(told)

    def _forget(self) -> None:
        assert self._file is not None
        os.ftruncate(self._file, 0)
        self._size = self._read = 0

    def _used(self) -> int:
        return sum(_size(path) for path in self.directory.glob("*" + _SUFFIX))

    def _others(self) -> set[Path]:
        if not self.directory.is_dir():
            return set()
        names = {path.stem for path in self.directory.glob("*" + _SUFFIX)} | signs(self.directory)
        own = self._life.writer_id if self._life else None
        return {self.directory / (name + _SUFFIX) for name in names if name != own}


def _write_all(file: int, told: bytes) -> None:
    left = memoryview(told)
    while left:
        left = left[os.write(file, left) :]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another has just taken it over
        return 0


def _first_of(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(_LONGEST_BEGINNING)


def _portion_of(file: BinaryIO, offset: int, most: int) -> Portion | None:
    """Return entries of a file from an offset on; None where it has no readable beginning."""
    size = os.fstat(file.fileno()).st_size
    said = said_at(_first_of(file), 0)
    beginning = None if said is None else beginning_in(said)
    if said is None or beginning is None:
        return None
    offset = file.seek(max(offset, HEAD.size + len(said)))
    data = file.read(_READ)
    entries, taken, ended = portion(data, last=offset + len(data) >= size, most=most)
    ended |= not entries  # a record longer than what is read at once is none of ours
    end = offset + taken
    return Portion(beginning.writer, entries, end, ended, size - end if ended else 0)
