"""What a provider's refusal means: its status and body as one of our errors. Pure."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

import msgspec

from deltaweir.errors import (
    APIStatusError,
    AuthenticationFailed,
    BadRequestError,
    BudgetExceeded,
    ContextLengthExceeded,
    DeltaweirError,
    GuardBlocked,
    InternalServerError,
    InvalidRequest,
    ModelNotFound,
    NotFoundError,
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
    StallTimeout,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.wire.http1 import Head

MAX_BODY_BYTES = 1024 * 1024
"""How much of an error's body is read."""
MAX_RETRY_AFTER_S = 60.0
"""A server that asks for a longer pause is not waited for; ours is taken, as openai does."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
_SHOWN_CHARS = 500
_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"

_BY_CODE: dict[str, type[DeltaweirError]] = {
    "context_length_exceeded": ContextLengthExceeded,
    "content_filter": GuardBlocked,
    "budget_exceeded": BudgetExceeded,
    "model_not_found": ModelNotFound,
    "upstream_truncated": StreamTruncated,
    "upstream_failed": StreamFailed,
    "stall_timeout": StallTimeout,
}
_BY_STATUS: dict[int, type[DeltaweirError]] = {
    400: InvalidRequest,
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFoundError,
    422: InvalidRequest,
    429: RateLimited,
    503: ServiceUnavailable,
}
_WHAT_TO_DO = {
    401: "check the api_key",
    403: "this key may not do that",
    404: "check the base_url and the model's name",
    429: "wait, or ask for a higher limit",
}


class Refusal(NamedTuple):
    """The fields of an error body, as OpenAI has them; None where they are missing."""

    message: str | None
    type: str | None
    param: str | None
    code: str | None


def refusal_of(value: Any) -> Refusal:
    """Return the fields of an error, however a server nests them."""
    inner = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(inner, str):
        return Refusal(inner, None, None, None)
    if not isinstance(inner, dict):
        return Refusal(None, None, None, None)
    message = inner.get("message") or inner.get("detail")
    texts = [inner.get(name) for name in ("type", "param", "code")]
    return Refusal(
        message if isinstance(message, str) else None,
        *(str(text) if isinstance(text, str | int) else None for text in texts),
    )


def status_error(head: Head, body: bytes, *, secret: str | None = None) -> DeltaweirError:
    """Return the error that a status of 300 or above stands for, with the server's own words.

    Args:
        head: The response's head.
        body: What is there of its body.
        secret: A key that the server may repeat, and the error must not.
    """
    try:
        refusal = refusal_of(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeError):
        refusal = Refusal(None, None, None, None)
    said = refusal.message or f"a body of {len(body)} bytes without a message"
    todo = _WHAT_TO_DO.get(head.status)
    if secret:
        said = said.replace(secret, "[key]")
    message = f"the server answered {head.status}: {said[:_SHOWN_CHARS]}"
    return _error(
        _kind(head.status, refusal.code),
        f"{message} ({todo})" if todo else message,
        status=head.status,
        refusal=refusal,
        request_id=head.get("x-request-id"),
    )


def stream_error(value: Any, *, request_id: str | None) -> DeltaweirError:
    """Return the error that an error event inside a stream stands for."""
    refusal = refusal_of(value)
    said = (refusal.message or "it did not say why")[:_SHOWN_CHARS]
    kind = _BY_CODE.get(refusal.code or "", StreamFailed)
    return _error(
        kind, f"the stream broke off: {said}", status=None, refusal=refusal, request_id=request_id
    )


def _kind(status: int, code: str | None) -> type[DeltaweirError]:
    known = _BY_CODE.get(code or "")
    if known is not None and status < 500:  # noqa: PLR2004  # a server error is one whatever it says
        return known
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:  # noqa: PLR2004
        return InternalServerError
    return BadRequestError if status >= 400 else APIStatusError  # noqa: PLR2004


def _error(
    kind: type[DeltaweirError],
    message: str,
    *,
    status: int | None,
    refusal: Refusal,
    request_id: str | None,
) -> DeltaweirError:
    return kind(
        message, status=status, code=refusal.code, param=refusal.param, request_id=request_id
    )


def pause_before_retry(
    head: Head | None, code: str | None, *, attempt: int, chance: float, now: float
) -> float | None:
    """Return how long to wait before a request is sent again, in seconds; None for never.

    Sent again are 408, 409, 429 and all from 500 on, unless the server says otherwise by
    ``x-should-retry``; and requests whose connection failed (no head). The pause is the
    server's ``retry-after`` up to a minute, or else doubles from half a second to eight, less
    up to a quarter by chance, so that not all come back at once.

    Args:
        head: The response's head; None when none came.
        code: The error's code: a spent quota does not fill up by waiting.
        attempt: How often it was sent again already.
        chance: A number from 0 to 1.
        now: Seconds since the epoch, for dates in ``retry-after``.
    """
    if head is not None:
        wish = head.get("x-should-retry")
        usual = head.status in (408, 409, 429) or head.status >= 500  # noqa: PLR2004
        if wish == "false" or (wish != "true" and (not usual or code == "insufficient_quota")):
            return None
        asked = _retry_after(head, now)
        if asked is not None and 0 <= asked <= MAX_RETRY_AFTER_S:
            return asked
    pause = min(FIRST_PAUSE_S * 2.0**attempt, LONGEST_PAUSE_S)
    return pause * (1 - 0.25 * chance)


def _retry_after(head: Head, now: float) -> float | None:
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = head.get(name)
        if value is None:
            continue
        try:
            return float(value) / unit
        except ValueError:
            pass
        try:
            date = dt.datetime.strptime(value, _HTTP_DATE).replace(tzinfo=dt.UTC)
        except ValueError:
            return None
        return date.timestamp() - now
    return None
