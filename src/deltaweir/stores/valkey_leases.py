"""What processes of several machines hold and book of keys' budgets and rates, in a store.

A transaction is one script, written if what it was worked out from still holds
(`deltaweir.stores.versioned_books`). An answer that does not come in time says nothing about what
was written; the next one does.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from deltaweir.errors import DeltaweirError
from deltaweir.leases import SpentError
from deltaweir.stores.failures import LedgerBusy, LedgerUnavailable, StoreUnsure
from deltaweir.stores.valkey import Script, ValkeyLine
from deltaweir.stores.versioned_books import (
    Clock,
    Fields,
    Memory,
    VersionedBooks,
    fields_of,
)

COMMIT = """
local held = 1
for at, key in ipairs(KEYS) do
  if (redis.call('HGET', key, 'v') or '') ~= ARGV[at] then held = 0 end
end
local time = redis.call('TIME')
local said = {held, time[1], time[2]}
if held == 0 then
  for at, key in ipairs(KEYS) do said[at + 3] = redis.call('HGETALL', key) end
  return said
end
local at = #KEYS + 1
for _, key in ipairs(KEYS) do
  local lasts, sets, drops = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  at = at + 3
  if sets > 0 then redis.call('HSET', key, unpack(ARGV, at, at + 2 * sets - 1)) end
  at = at + 2 * sets
  if drops > 0 then redis.call('HDEL', key, unpack(ARGV, at, at + drops - 1)) end
  at = at + drops
  if lasts > 0 then redis.call('EXPIRE', key, lasts) end
end
return said
"""
"""Writes hashes if all are as they were seen. ``KEYS`` are their names; ``ARGV`` has the ``v``
that each was seen with, and then of each: seconds that it lasts (0 for ever), how many fields are
set, how many are dropped, and those."""

_COMMIT = Script(COMMIT)
_OPEN_S = 2.0


class ValkeyLeases:
    """Write leases, bookings and rates. Calls block and may come from any thread.

    Args:
        line: The store; closed with this.
        prefix: How all names in it begin.
        holder: A name that no other process, of any time, has.

    Raises:
        StoreUnavailable: It cannot be reached.
    """

    def __init__(self, line: ValkeyLine, *, prefix: str, holder: str) -> None:
        self._line = line
        self._memory = Memory(prefix, holder)
        self._clock = Clock()
        self._using = threading.Lock()
        asked = time.monotonic()
        seconds, micros = line.call("TIME", wait_s=_OPEN_S)
        self._clock.learn(int(seconds) + int(micros) / 1e6, asked, time.monotonic())

    @property
    def last(self) -> str:
        """The name of what was written last for this process, as far as it knows."""
        return self._memory.last

    @property
    def losses(self) -> int:
        """How often what was written for this process was found to be lost."""
        return self._memory.losses

    def now(self) -> float:
        """Return the store's time, the same for all machines, in seconds since 1970."""
        return self._clock.at(time.monotonic())

    @contextlib.contextmanager
    def writing(self, *, wait_s: float) -> Iterator[VersionedBooks]:
        """Write all or nothing of what the block does.

        Args:
            wait_s: Seconds to wait for other threads, and the store.

        Raises:
            LedgerBusy: Others wrote meanwhile, or this process's threads for too long; nothing was
                written.
            StoreUnsure: The store has not answered; `last` tells later whether it was written.
            StoreUnavailable: It cannot be reached, or refuses; nothing was written.
        """
        deadline = time.monotonic() + wait_s
        if not self._using.acquire(timeout=wait_s):
            raise LedgerBusy("the store is in use by another thread")
        try:
            books = self._memory.begin(lambda name: self._read(name, deadline))
            try:
                yield books
            except LedgerUnavailable:
                raise
            except (DeltaweirError, SpentError):
                # nobody is refused for what was true a while ago
                if books.guesses:
                    books.only_look()
                    self._commit(books, deadline)
                raise
            if books.changes():
                self._commit(books, deadline)
        finally:
            self._using.release()

    def close(self) -> None:
        """Close the connection."""
        self._line.close()

    def _read(self, name: str, deadline: float) -> Fields:
        flat = self._line.call("HGETALL", name, wait_s=_left(deadline))
        return fields_of(flat)

    def _commit(self, books: VersionedBooks, deadline: float) -> None:
        commit = self._memory.name()
        names, values = books.command(commit)
        asked = time.monotonic()
        try:
            held, seconds, micros, *hashes = self._line.run(
                _COMMIT, names, values, wait_s=_left(deadline)
            )
        except StoreUnsure as error:
            self._memory.unsure(commit)
            error.commit = commit
            raise
        self._clock.learn(int(seconds) + int(micros) / 1e6, asked, time.monotonic())
        if not held:
            self._memory.found(names, hashes)
            raise LedgerBusy("others wrote to the store meanwhile")
        self._memory.wrote(books, commit)


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.monotonic())
