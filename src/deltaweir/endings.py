"""The states of a stream, and the table of its endings. Pure."""

from __future__ import annotations

import enum
from typing import Any, Self


class State(enum.Enum):
    """Where a stream stands."""

    OPEN = "open"
    DONE = "done"
    CUT = "cut"
    FAILED = "failed"


class Ending(enum.Enum):
    """How a stream ends: the state it leads to, what readers see, and who stopped it.

    Attributes:
        state: The state this ending leads to.
        finish_reason: What every choice still open ends with; None where no such chunk goes
            out, since the source said it itself or the stream failed.
        stopped_by: Who cut the stream, None when nobody did.
        code: The code of the error that readers get, None when there is none.
    """

    state: State
    finish_reason: str | None
    stopped_by: str | None
    code: str | None

    COMPLETE = ("complete", State.DONE, None, None, None)
    BLOCKED = ("blocked", State.CUT, "content_filter", "guard", None)
    TRUNCATED_BY_GUARD = ("truncated_by_guard", State.CUT, "length", "guard", None)
    BUDGET = ("budget", State.CUT, "length", "budget", None)
    STOPPED = ("stopped", State.CUT, "length", "stop", None)
    REVOKED = ("revoked", State.CUT, "length", "revoked", None)
    ABANDONED = ("abandoned", State.CUT, None, "reader", None)
    TRUNCATED = ("truncated", State.FAILED, None, None, "upstream_truncated")
    FAILED = ("failed", State.FAILED, None, None, "upstream_failed")
    STALLED = ("stalled", State.FAILED, None, None, "stall_timeout")

    def __new__(cls, name: str, *columns: Any) -> Self:
        """Give each row of the table its columns as attributes."""
        member = object.__new__(cls)
        member._value_ = name
        member.state, member.finish_reason, member.stopped_by, member.code = columns
        return member
