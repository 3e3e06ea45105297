"""Where a run's frames go: one reader's outflow, or a publication that many read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Outlet(Protocol):
    """Takes a run's frames; on the event loop's thread."""

    @property
    def lasting(self) -> bool:
        """Whether it outlives its readers, so that how the stream ends is told to it always."""

    last: float
    """When something was written last, in seconds on the monotonic clock."""

    @property
    def opened(self) -> float | None:
        """When the first frames were handed to the system; None before."""

    @property
    def begun(self) -> bool:
        """Whether something of the answer is on its way, so that its status is out."""

    @property
    def gone(self) -> bool:
        """Whether nobody will read what is written."""

    @property
    def straight(self) -> bool:
        """Whether pieces of a chunked body may be written as they come."""

    def frames(self, frames: Sequence[bytes]) -> None:
        """Write frames."""

    @property
    def piece(self) -> Callable[[bytes], object]:
        """Write one frame that is a piece of a chunked body; only where ``straight``."""

    def pieces(self, pieces: Sequence[bytes]) -> object:
        """Write such pieces, of which some may be empty."""

    def heartbeat(self) -> None:
        """Keep an idle connection awake."""

    def conclude(self) -> None:
        """Take note that nothing comes any more."""
