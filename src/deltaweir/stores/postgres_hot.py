"""Which records others write too, so that they are locked before they are read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence

from deltaweir.stores.versioned_books import Fields

_MOST_HOT = 500
_MOST_TOGETHER = 8
"""As many as one key has: what is used together by one request is also locked together."""


class Hot:
    """Remember records with which others were faster, until they are quiet.

    What one request uses, the rates and budgets of one key, is one group. A batch is of many keys:
    it is locked as a whole when it is tried again, and only then, since nobody else shall wait for
    all of it.
    """

    def __init__(self) -> None:
        self._groups: dict[str, tuple[str, ...]] = {}
        self._versions: dict[str, bytes] = {}
        self._again: tuple[str, ...] = ()

    def add(self, names: Sequence[str], *, late: Sequence[str]) -> None:
        """Learn that others were faster.

        Args:
            names: The records of a transaction.
            late: Those of them that others have written, or may have.
        """
        if not late:
            return
        if len(self._groups) > _MOST_HOT:
            self._groups.clear()
            self._versions.clear()
        if len(names) <= _MOST_TOGETHER:
            self._groups |= dict.fromkeys(names, tuple(names))
            return
        self._again = tuple(name for name in names if name in self._groups or name in late)
        if len(late) <= _MOST_TOGETHER:
            for name in late:
                self._groups.setdefault(name, (name,))

    def group(self, name: str) -> tuple[str, ...]:
        """Return what is to be locked before a record is read; nothing where it need not be."""
        if name in self._again:
            again, self._again = self._again, ()
            return again
        return self._groups.get(name, ())

    def look(self, records: Mapping[str, Fields]) -> None:
        """Learn what records were like when they were locked; forget them if they were as left."""
        if all(one.get(b"v", b"") == self._versions.get(name) for name, one in records.items()):
            for name in records:
                self._groups.pop(name, None)
                self._versions.pop(name, None)

    def leave(self, known: MutableMapping[str, Fields]) -> None:
        """Take what is hot out of what is known, so that it is read again."""
        for name in (*self._groups, *self._again):
            fields = known.pop(name, None)
            if fields is not None:
                self._versions[name] = fields.get(b"v", b"")
