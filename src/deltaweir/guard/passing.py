"""The shortest way of a text through a guard: straight into its filter. Pure."""

from __future__ import annotations

from collections.abc import Callable

from deltaweir.endings import Ending
from deltaweir.guard.filter import TextFilter

Rest = Callable[[TextFilter, str], tuple[str, Ending | None]]
"""Takes a filter, and the piece that it could not take; returns what may leave all the same,
and the ending that this brings."""


class Passing:
    """Feed one text's filter, for as long as nothing is to be said about it.

    Args:
        one: The filter.
        stopped: Returns the ending that the filter has called for.
        failed: Deals with a filter that cannot go on.
    """

    __slots__ = ("_failed", "_feed", "_filter", "_stopped")

    def __init__(
        self, one: TextFilter, *, stopped: Callable[[TextFilter], Ending | None], failed: Rest
    ) -> None:
        self._filter: TextFilter | None = one
        self._feed = one.feed
        self._stopped = stopped
        self._failed = failed

    def take(self, text: str, _now: float) -> tuple[str, Ending | None]:
        """Take the next piece; return what may leave now, and an ending that it brings."""
        one = self._filter
        if one is None:  # it could not go on, and the guard is open in that case
            return text, None
        try:
            shown = self._feed(text)
        except Exception:  # noqa: BLE001  # whatever it is, no text may pass unchecked
            self._filter = None
            return self._failed(one, text)
        return shown, None if one.stopped is None else self._stopped(one)
