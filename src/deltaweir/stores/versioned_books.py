"""Leases, bookings and rates as hashes that are written only if nobody else has. Pure.

Each hash has a field ``v``, the name of the commit that wrote it last, which no two commits share.
A transaction works on hashes as this process has seen them last, whatever became of them since,
and is then sent whole: the server writes it if each hash that it touches is still the one that was
seen, and otherwise answers with all of them as they are. So where nobody else writes, one trip
does; and where somebody does, two.

A process has a hash of its own, which each of its commits writes. So at most one of several whose
answers got lost was written, and which one it was can be read there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from deltaweir.leases import Pot, Standing
from deltaweir.rates import Bucket

Fields = dict[bytes, bytes]
"""A hash."""

_MOST_KNOWN = 10_000
_MOST_SPENT = 2**62  # with what one stream may add, an integer of 64 bits holds it
_DAY_S = 86_400
_LASTS_S = {"life": 0, "day": 9 * _DAY_S, "month": 40 * _DAY_S, "rate": 2 * _DAY_S}
_OWN_LASTS_S = 30 * _DAY_S
_SKEW_MS = 5000
"""Clocks that differ by less are not taken for one that was set back."""


class Change(NamedTuple):
    """What a transaction does to a hash."""

    name: str
    seen: bytes
    """The ``v`` that it was seen with; empty where there was no such hash."""
    fields: Fields
    """What the transaction sees of it."""
    sets: dict[bytes, bytes]
    drops: set[bytes]
    lasts_s: int

    def set(self, field: bytes, value: bytes) -> None:
        """Set a field."""
        self.fields[field] = self.sets[field] = value
        self.drops.discard(field)

    def drop(self, field: bytes) -> None:
        """Remove a field, if it is there."""
        if self.fields.pop(field, None) is not None:
            self.sets.pop(field, None)
            self.drops.add(field)


class Memory:
    """What this process has seen of the store, between its transactions.

    Args:
        prefix: How all names begin.
        holder: The process's name, which no other process, of any time, has.

    Attributes:
        last: The process's commit that was written last, as far as it knows; empty for none.
        losses: How often that was found to be lost.
    """

    def __init__(self, prefix: str, holder: str) -> None:
        self.holder = holder
        self.own = named(prefix, "holder", holder)
        self.prefix = prefix
        self.known: dict[str, Fields] = {}
        self.last = ""
        self.losses = 0
        self.forgotten_ms = 0
        """Leases that end before may be removed."""
        self._unsure = set[str]()
        self._commits = 0

    def begin(self, read: Callable[[str], Fields]) -> VersionedBooks:
        """Return a transaction.

        Args:
            read: Gets a hash that is not known from the store.
        """
        if len(self.known) > _MOST_KNOWN:
            self.known.clear()
        return VersionedBooks(self, read)

    def name(self) -> str:
        """Return the name of the next commit."""
        self._commits += 1
        return f"{self.holder}:{self._commits}"

    def unsure(self, commit: str) -> None:
        """Learn that nobody knows whether a commit was written."""
        self._unsure.add(commit)

    def wrote(self, books: VersionedBooks, commit: str) -> None:
        """Learn that a transaction was written, and so none of those before it is to come."""
        self.last = commit
        self._unsure.clear()
        for one in books.changes():
            if one.sets or one.drops:
                one.fields[b"v"] = commit.encode()
                self.known[one.name] = one.fields

    def found(self, names: Sequence[str], hashes: Sequence[Sequence[bytes]]) -> None:
        """Learn what hashes are like, since they were not as they had been seen.

        Args:
            names: Their names, the process's own first.
            hashes: Fields and values of each, one after the other.
        """
        for name, flat in zip(names, hashes, strict=True):
            self.known[name] = fields_of(flat)
        last = self.known.pop(self.own, {}).get(b"v", b"").decode()
        if last != self.last:
            self.losses += last not in self._unsure
            self.last = last
            self._unsure.clear()


class VersionedBooks:
    """What may be read and written in one transaction; made by `Memory.begin`.

    Args:
        memory: What the process has seen.
        read: Gets a hash that is not known from the store.
    """

    def __init__(self, memory: Memory, read: Callable[[str], Fields]) -> None:
        self._memory = memory
        self._read = read
        self._mine = b"@" + memory.holder.encode()
        self._changes: dict[str, Change] = {}
        self.guesses = False
        """Whether anything was not read in this transaction, but before."""

    def standing(self, pot: Pot, now: float) -> Standing:
        """Return what is spent of a pot, and what other processes hold at this time."""
        change, others, moment = self._pot(pot), 0, 1000 * now
        for field, value in [*change.fields.items()]:
            if field[:1] == b"@" and field != self._mine:
                amount, _, expires = value.partition(b" ")
                if int(expires) <= self._memory.forgotten_ms:
                    change.drop(field)
                elif int(expires) > moment:
                    others += int(amount)
        return Standing(int(change.fields.get(b"spent", 0)), others)

    def book(self, pot: Pot, amount: int) -> None:
        """Add what was spent; it never gets below zero."""
        if amount:
            change = self._pot(pot)
            spent = int(change.fields.get(b"spent", 0)) + amount
            change.set(b"spent", b"%d" % min(_MOST_SPENT, max(0, spent)))

    def hold(self, pot: Pot, amount: int, expires: float) -> None:
        """Set what this process holds, until a time."""
        if amount > 0:
            self._pot(pot).set(self._mine, b"%d %d" % (amount, int(1000 * expires)))
        else:
            self._pot(pot).drop(self._mine)

    def forget_expired(self, now: float) -> None:
        """Let the leases of processes that have not renewed them go, with what is written next."""
        self._memory.forgotten_ms = int(1000 * now)

    def bucket(self, key_id: str, unit: str) -> Bucket:
        """Return a key's rate as it was last written."""
        fields = self._of("rate", key_id, unit, lasts="rate").fields
        return Bucket(int(fields.get(b"weight", 0)), int(fields.get(b"at", 0)))

    def fill(self, key_id: str, unit: str, bucket: Bucket) -> None:
        """Write a key's rate.

        Clocks of several machines differ by a little: a rate must not drain twice for it.
        """
        change = self._of("rate", key_id, unit, lasts="rate")
        before = int(change.fields.get(b"at", 0))
        at = before if 0 < before - bucket.at <= _SKEW_MS else bucket.at
        change.set(b"weight", b"%d" % bucket.weight)
        change.set(b"at", b"%d" % at)

    def changes(self) -> list[Change]:
        """Return what was read or written, in the order of `command`."""
        return [*self._changes.values()]

    def command(self, commit: str) -> tuple[list[str], list[bytes | str | int]]:
        """Return the names and the values of Valkey's script `COMMIT`, which writes this.

        Args:
            commit: Its name.
        """
        memory, changes = self._memory, self.changes()
        values: list[bytes | str | int] = [memory.last, *(one.seen for one in changes)]
        values += (_OWN_LASTS_S, 1, 0, "v", commit)
        for one in changes:
            if not (one.sets or one.drops):
                values += (0, 0, 0)
                continue
            values += (one.lasts_s, len(one.sets) + 1, len(one.drops), "v", commit)
            values += (part for pair in one.sets.items() for part in pair)
            values += one.drops
        return [memory.own, *self._changes], values

    def only_look(self) -> None:
        """Write nothing after all, and only see whether all is as it was seen."""
        for one in self._changes.values():
            one.sets.clear()
            one.drops.clear()

    def _pot(self, pot: Pot) -> Change:
        key_id, unit, period, began = pot
        return self._of("pot", key_id, unit, period, str(began), lasts=period)

    def _of(self, *parts: str, lasts: str) -> Change:
        name = named(self._memory.prefix, *parts)
        change = self._changes.get(name)
        if change is None:
            fields = self._memory.known.get(name)
            if fields is None:
                fields = self._read(name)
                self._memory.known[name] = fields
            else:
                self.guesses = True
            seen = fields.get(b"v", b"")
            change = Change(name, seen, {**fields}, {}, set(), _LASTS_S[lasts])
            self._changes[name] = change
        return change


class Clock:
    """The store's time, from a clock of one's own and what the store said of its.

    Where its answers would have it between two times it is left as it was, so that it goes evenly.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None

    def at(self, ticks: float) -> float:
        """Return seconds since 1970.

        Args:
            ticks: The clock of one's own, in seconds; one that nobody sets.
        """
        return ticks + (self._ahead or 0.0)

    def learn(self, told: float, asked: float, answered: float) -> None:
        """Learn what time the store told.

        Args:
            told: Seconds since 1970.
            asked: The clock of one's own when it was asked.
            answered: The same when it answered.
        """
        least, most = told - answered, told - asked
        ahead = (least + most) / 2 if self._ahead is None else self._ahead
        self._ahead = min(max(ahead, least), most)


def named(prefix: str, *parts: str) -> str:
    """Return a name in the store; all of one prefix lie in one slot of a cluster.

    Args:
        prefix: How it begins; empty where the store is nobody else's.
        *parts: What it is made of.
    """
    name = ":".join(parts)
    return f"{{{prefix}}}:{name}" if prefix else name


def fields_of(flat: Sequence[bytes]) -> Fields:
    """Return a hash from its fields and values, one after the other."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
