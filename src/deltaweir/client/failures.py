"""How a stream ends with an error. Pure."""

from __future__ import annotations

from deltaweir.endings import Ending
from deltaweir.errors import DeltaweirError, StallTimeout, StreamTruncated

_ENDINGS = ((StreamTruncated, Ending.TRUNCATED), (StallTimeout, Ending.STALLED))


def ending_of(error: DeltaweirError) -> Ending:
    """Return how a stream ends with an error of its source: as failed, unless it says better."""
    fitting = (ending for kind, ending in _ENDINGS if isinstance(error, kind))
    return next(fitting, Ending.FAILED)


def ended_early() -> StreamTruncated:
    """Return the error of a source that ended, though not every choice had."""
    return StreamTruncated("the stream ended before every choice had a finish_reason")
