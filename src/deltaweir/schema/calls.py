"""Tool calls that come without an index: the one a reader finds for them. Pure."""

from __future__ import annotations

from deltaweir.schema.chunk import Delta


class CallPlaces:
    """Give the pieces of one choice's tool calls an index, where their server sends none.

    A new id opens a new call, one that was there before belongs to its call, and a piece
    without an id to the last. With the index on it, every reader puts a piece where its text
    was checked.
    """

    def __init__(self) -> None:
        self._indexes: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._last = -1

    def give(self, delta: Delta) -> bool:
        """Take the next delta; return whether it was changed."""
        changed = False
        for call in delta.tool_calls or ():
            if call.index is None:
                call.index, changed = self._index(call.id), True
            self._last = max(self._last, call.index)
            if call.id:
                self._indexes.setdefault(call.id, call.index)
                self._ids[call.index] = call.id
        return changed

    def _index(self, name: str | None) -> int:
        if not name or self._last < 0 or self._ids.get(self._last) == name:
            return max(self._last, 0)
        return self._indexes.get(name, self._last + 1)
