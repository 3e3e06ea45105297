"""The whole numbers behind the metrics: of this process, or of all workers of a machine.

Workers share a directory. Each has one file there, mapped into its memory, and counts in it
directly: so nothing is lost when a worker is killed, and any worker can read all of them. Two
workers never write to the same file, hence no lock. Whether a worker lives is told by the lock
of `deltaweir.stores.liveness`, since process ids are given out again.

A file is a row of segments of the same size. A segment holds records, one after the other, and
then zeros: the name's length in bytes and the number of cells, both as cells; the name as JSON,
padded to whole cells; the cells. A cell is a signed integer of eight bytes, in the machine's
order. A writer sets the length last, so a reader that finds one finds all of the record.

prometheus-client's own way with several processes would not do: it keeps one set of files a
process, whatever registry is asked, and floats, whose sums depend on the order.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from deltaweir.stores.liveness import Life, dead

_log = logging.getLogger("deltaweir.gateway.metrics")

Name = tuple[str, ...]
"""A metric's name, then the values of its labels."""

MOST = 2**63 - 1
"""What a cell can hold; more is cut to it."""
SEGMENT = 2**18
"""Bytes by which a file grows; a multiple of what any system maps at once."""
_CELL = 8
_SUFFIX = ".cells"


class Counts(Protocol):
    """Some cells, to be counted in."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...
    def __iter__(self) -> Iterator[int]: ...


Named = list[tuple[Name, list[int]]]
"""Names, each with what stands in its cells."""


class Cells:
    """The numbers of one process, by name."""

    def __init__(self) -> None:
        self._own: dict[Name, Counts] = {}

    def found(self, name: Name) -> Counts | None:
        """Return the cells of a name, to be counted in; None when nobody has made them."""
        return self._own.get(name)

    def made(self, name: Name, count: int) -> Counts:
        """Return new cells of a name, all zero.

        Args:
            name: What they are called.
            count: How many there are, one at least.
        """
        cells = self._own[name] = self._new(name, count)
        return cells

    def own(self) -> Named:
        """Return what this process has counted."""
        names = [*self._own.items()]  # at once: another thread may add to them
        return [(name, [*cells]) for name, cells in names]

    def others(self) -> Iterator[tuple[bool, Named]]:
        """Yield for each other worker whether it lives, and what it has counted."""
        yield from ()

    def close(self) -> None:
        """Say that this worker is gone."""

    def _new(self, _name: Name, count: int) -> Counts:
        return [0] * count


class SharedCells(Cells):
    """The numbers of this worker, in a directory where all workers find each other's.

    It is for the process that made it: a forked child makes its own.

    Args:
        directory: Where the files lie.

    Raises:
        OSError: The directory cannot be written, or its file system has no locks.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._life = Life(directory)
        self._path = directory / (self._life.writer_id + _SUFFIX)
        self._path.touch()
        self._segment = memoryview(b"").cast("q")
        self._used = 0
        self._refused = self._closed = False

    def others(self) -> Iterator[tuple[bool, Named]]:
        """Yield for each other worker whether it lives, and what it has counted."""
        for path in self._directory.glob("*" + _SUFFIX):
            if path != self._path:
                with dead(self._directory, path.stem) as gone:
                    yield not gone, [*_records(path)]

    def close(self) -> None:
        """Say that this worker is gone; what it counted stays, and it may go on counting."""
        if not self._closed:
            self._closed = True
            self._life.end()

    def _new(self, name: Name, count: int) -> Counts:
        encoded = json.dumps(name).encode()
        words = -(-len(encoded) // _CELL)
        end = self._used + 2 + words + count
        try:
            if end > len(self._segment):
                self._grow()
                end = 2 + words + count
        except OSError as error:
            if not self._refused:  # never a flood of lines
                self._refused = True
                _log.error("metrics: other workers will miss some of this one's: %s", error)
            return super()._new(name, count)
        record = self._segment[self._used : end]
        record[2 : 2 + words].cast("B")[: len(encoded)] = encoded
        record[1] = count
        record[0] = len(encoded)
        self._used = end
        return record[2 + words :]

    def _grow(self) -> None:
        with self._path.open("r+b") as file:
            start = file.seek(0, os.SEEK_END) // SEGMENT * SEGMENT
            _allocate(file.fileno(), start)
            # lives as long as a view of it does
            segment = mmap.mmap(file.fileno(), SEGMENT, offset=start)
        self._segment, self._used = memoryview(segment).cast("q"), 0


def _allocate(descriptor: int, start: int) -> None:
    """Lengthen a file by a segment of zeros.

    Raises:
        OSError: The disk is full.
    """
    if sys.platform == "linux":
        # a hole in the file, written to when the disk is full, would kill the process
        os.posix_fallocate(descriptor, start, SEGMENT)
    else:
        os.truncate(descriptor, start + SEGMENT)


def _records(path: Path) -> Iterator[tuple[Name, list[int]]]:
    """Yield what stands in a worker's file; nothing where it is gone or empty."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END) // SEGMENT * SEGMENT
            if not size:
                return
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        return
    cells = memoryview(mapped).cast("q")
    for start in range(0, len(cells), SEGMENT // _CELL):
        at, end = start, start + SEGMENT // _CELL
        while at < end and cells[at]:
            length, count = cells[at], cells[at + 1]
            values = at + 2 + -(-length // _CELL)
            name = bytes(cells[at + 2 : values].cast("B")[:length])
            yield tuple(json.loads(name)), cells[values : values + count].tolist()
            at = values + count
