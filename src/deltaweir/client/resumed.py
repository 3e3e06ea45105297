"""What a stream shows of its resumptions, and how it asks for one when nothing comes. Pure."""

from __future__ import annotations

from deltaweir.client.clocks import Clocks
from deltaweir.errors import DeltaweirError, StallTimeout
from deltaweir.sources.source import AnySource


class ToldBySource:
    """How a stream may be reached again, as its source tells."""

    _closing: AnySource
    _clocks: Clocks

    @property
    def stream_id(self) -> str | None:
        """The id by which a server lets this stream be resumed; None where it does not."""
        found: str | None = getattr(self._closing, "stream_id", None)
        return found

    @property
    def resumed_at(self) -> tuple[int, ...]:
        """The number of the event with which each further connection began, in their order.

        Empty for a stream that came by one connection. Events are counted from 1.
        """
        found: tuple[int, ...] = getattr(self._closing, "resumed_at", ())
        return found

    @property
    def _gave_up(self) -> DeltaweirError | None:
        found: DeltaweirError | None = getattr(self._closing, "gave_up", None)
        return found

    def _goes_on(self, error: StallTimeout) -> bool:
        """Tell whether a stream goes on after a clock ran out: by another connection.

        Only the clock between two chunks tells of a dead connection; the others end what takes
        too long.

        Raises:
            DeltaweirError: It could not be resumed.
        """
        stalled = getattr(self._closing, "stalled", None)
        if stalled is None or error.param != "stall" or not stalled(error):
            return False
        self._clocks.renew()
        return True
