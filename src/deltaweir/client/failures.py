"""How a stream ends with an error. Pure."""

from __future__ import annotations

from deltaweir.endings import Ending
from deltaweir.errors import DeltaweirError, StallTimeout, StreamTruncated

_ENDINGS = ((StreamTruncated, Ending.TRUNCATED), (StallTimeout, Ending.STALLED))


def ending_of(error: DeltaweirError) -> Ending:
    """Return how a stream ends with an error of its source: as failed, unless it says better."""
    fitting = (ending for kind, ending in _ENDINGS if isinstance(error, kind))
    return next(fitting, Ending.FAILED)


def ended_early(gave_up: DeltaweirError | None = None) -> DeltaweirError:
    """Return the error of a source that ended, though not every choice had.

    Args:
        gave_up: Why it could not be resumed, where that was tried.
    """
    error = StreamTruncated("the stream ended before every choice had a finish_reason")
    return error if gave_up is None else unresumed(error, gave_up)


def unresumed(error: DeltaweirError, why: DeltaweirError) -> DeltaweirError:
    """Return an error that also says why its stream could not be resumed.

    Args:
        error: What had interrupted the stream.
        why: What resuming said, which becomes the cause.
    """
    error.message = f"{error.message}; it could not be resumed: {why.message}"
    error.args = (error.message,)
    error.__cause__ = why
    return error
