"""What the log says of upstreams that failed, for whoever runs the gateway. Pure.

An upstream's words may repeat a prompt: only ours are told, and of its own the status, and a code
or an id that looks like a name.
"""

from __future__ import annotations

import re

from deltaweir.errors import (
    ConnectionFailed,
    DeltaweirError,
    ServiceUnavailable,
    StallTimeout,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.gateway.log.hints import hint_of
from deltaweir.wire.http1 import Head

_NAME = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_REFUSALS = 300
"""The first status that is no answer."""


def failure_line(
    name: str, error: DeltaweirError, head: Head | None, *, attempt: int, request_id: str
) -> str:
    """Return what the log says of an upstream that failed.

    Args:
        name: Which.
        error: Why.
        head: The head of its answer; None where none came.
        attempt: Which of the request's attempts it was, from one.
        request_id: The request's id.
    """
    what = _what(error, head)
    if hint := hint_of(error.message):
        what = what if hint in what else f"{what}; {hint}"
    theirs = "" if _no_name(error.request_id) else f", its id {error.request_id}"
    return f"upstream {name}: {what} (attempt {attempt}, {request_id}{theirs})"


def _what(error: DeltaweirError, head: Head | None) -> str:
    """Return what happened, in words of ours."""
    if isinstance(error, ConnectionFailed):
        if isinstance(error.__cause__, ConnectionRefusedError):
            # asyncio and uvloop word it differently
            where, _, _ = error.message.partition(": ")
            return f"{where}: connection refused; is it running?"
        return error.message
    if head is None:
        return _without_answer(error)
    if head.status < _REFUSALS:
        return _instead_of_an_answer(error)
    own = _no_name(error.code) or error.code == error.default_code
    return f"answered {head.status}{'' if own else f' {error.code}'}"


def _without_answer(error: DeltaweirError) -> str:
    """Return what happened where no answer began; only we have spoken then."""
    if isinstance(error, StallTimeout):
        return error.message
    if isinstance(error, ServiceUnavailable):
        return "not asked, since other requests found that it does not work"
    return "sent what is no HTTP answer"


def _instead_of_an_answer(error: DeltaweirError) -> str:
    """Return what came under a status that promises an answer."""
    if isinstance(error, StallTimeout):
        return "took too long"
    if isinstance(error, StreamTruncated):
        return "ended its answer too early"
    if _no_name(error.code) or error.code == StreamFailed.default_code:
        return "sent an error, or what is no answer"
    return f"sent an error, {error.code}"


def _no_name(said: str | None) -> bool:
    """Tell whether a code or an id is missing, or is none: what else it says is not told."""
    return said is None or _NAME.fullmatch(said) is None
