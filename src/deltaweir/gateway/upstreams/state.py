"""What those who run a gateway are told of an upstream. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec


class UpstreamState(msgspec.Struct, frozen=True, kw_only=True):
    """How an upstream fares.

    Attributes:
        name: What the configuration calls it.
        state: ``down`` while it is left alone after failures, ``trying`` when the next request
            is to show whether it works again, ``up`` otherwise.
        active: Its connections in use, of all workers.
        requests: How often it was asked for streams that have ended, retries included.
        failures: How often it failed; a request that it refuses for its own faults is none.
        last_failure: The code of its last failure here; None where there was none.
        retry_at: When it is asked again, in seconds since 1970; None unless it is down.
    """

    name: str
    state: Literal["up", "trying", "down"]
    active: int | None = None
    requests: int = 0
    failures: int = 0
    last_failure: str | None = None
    retry_at: float | None = None
