"""What a provider's refusal means: its status and body as one of our errors. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from deltaweir.errors import (
    APIStatusError,
    AuthenticationFailed,
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
from deltaweir.schema.record import Record
from deltaweir.wire.http1 import Head

MAX_BODY_BYTES = 1024 * 1024
"""How much of an error's body is read."""
MAX_RETRY_AFTER_S = 60.0
"""A server that asks for a longer pause is not waited for; ours is taken, as openai does."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
SHOWN_CHARS = 500
"""Characters of a server's words that an error repeats."""
_SPENT = "insufficient_quota"
_MOST_DOUBLINGS = 10
_HTTP_DATE = re.compile(r"\w{3}, (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
# written out, since strptime reads them in the language of the process
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

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
    413: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    503: ServiceUnavailable,
}
_CODES_TELL = frozenset({400, 404, 409, 413, 422})
"""Statuses that a code makes more exact; 401, 403 and 429 say enough, as in the openai package."""
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


def parsed(body: bytes) -> object:
    """Return what a peer's JSON says, None for what is none or nested too deeply to be read."""
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value


def refusal_of(value: Any) -> Refusal:
    """Return the fields of an error, however a server nests them."""
    inner = (value.get("error") or value) if isinstance(value, dict) else value
    if isinstance(inner, str):
        return Refusal(inner, None, None, None)
    if not isinstance(inner, dict):
        return Refusal(None, None, None, None)
    texts = [inner.get(name) for name in ("type", "param", "code")]
    return Refusal(
        _message(inner),
        *(str(text) if isinstance(text, str | int) else None for text in texts),
    )


def tells_error(record: Record) -> bool:
    """Tell whether a record is an error: nested, as it should be, or flat."""
    return bool(record.__dict__.get("error")) or getattr(record, "object", None) == "error"


def _message(error: dict[str, Any]) -> str | None:
    """Return what an error says: OpenAI's message, or the detail of FastAPI."""
    message = error.get("message") or error.get("detail")
    if isinstance(message, list):
        told = [one.get("msg") for one in message if isinstance(one, dict)]
        message = "; ".join(one for one in told if isinstance(one, str))
    return message if isinstance(message, str) and message else None


def _as_sent(text: str) -> str:
    return text


def status_error(
    head: Head,
    body: bytes,
    *,
    hide: Callable[[str], str] = _as_sent,
    todo: str | None = None,
) -> DeltaweirError:
    """Return the error that a status of 300 or above stands for, with the server's own words.

    Args:
        head: The response's head.
        body: What is there of its body.
        hide: Takes keys out of a text; the server may repeat them, and the error must not.
        todo: What to do about it; what this status usually asks for unless told.
    """
    refusal = _hidden(refusal_of(parsed(body)), hide)
    if refusal.code is None and refusal.type == _SPENT:
        refusal = refusal._replace(code=_SPENT)
    said = refusal.message or f"a body of {len(body)} bytes without a message"
    todo = todo or _WHAT_TO_DO.get(head.status)
    if 300 <= head.status < 400:  # noqa: PLR2004
        said = f"a redirection to {_place(hide(head.get('location') or 'nowhere'))}"
        todo = "redirections are not followed; change the base_url"
    message = f"the server answered {head.status}: {said[:SHOWN_CHARS]}"
    return _error(
        _kind(head.status, refusal.code),
        f"{message} ({todo})" if todo else message,
        status=head.status,
        refusal=refusal,
        request_id=head.get("x-request-id"),
    )


def _place(location: str) -> str:
    """Return an address without its query and credentials, which may be secrets."""
    return re.sub(r"//[^/]*@", "//", re.split(r"[?#]", location)[0])


def stream_error(
    value: Any,
    *,
    request_id: str | None,
    hide: Callable[[str], str] = _as_sent,
    what: str = "the stream broke off",
) -> DeltaweirError:
    """Return the error that an error event, or an error under status 200, stands for.

    Args:
        value: The event's JSON.
        request_id: The server's id of the request.
        hide: Takes keys out of a text.
        what: What the message begins with.
    """
    refusal = _hidden(refusal_of(value), hide)
    said = (refusal.message or "it did not say why")[:SHOWN_CHARS]
    return _error(
        _BY_CODE.get(refusal.code or "", StreamFailed),
        f"{what}: {said}",
        status=None,
        refusal=refusal,
        request_id=request_id,
    )


def _hidden(refusal: Refusal, hide: Callable[[str], str]) -> Refusal:
    return Refusal(*(text if text is None else hide(text) for text in refusal))


def _kind(status: int, code: str | None) -> type[DeltaweirError]:
    if status in _CODES_TELL and code in _BY_CODE:
        return _BY_CODE[code]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return InternalServerError if status >= 500 else APIStatusError  # noqa: PLR2004


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
        if wish == "false" or (wish != "true" and (not usual or code == _SPENT)):
            return None
        asked = _retry_after(head, now)
        if asked is not None and 0 <= asked <= MAX_RETRY_AFTER_S:
            return asked
    pause = min(FIRST_PAUSE_S * 2.0 ** min(attempt, _MOST_DOUBLINGS), LONGEST_PAUSE_S)
    return pause * (1 - 0.25 * chance)


def _retry_after(head: Head, now: float) -> float | None:
    """Return the seconds that a server asks to wait, by the first header that makes sense."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = head.get(name)
        if value is None:
            continue
        try:
            return float(value) / unit
        except ValueError:
            date = _date(value)
        if date is not None:
            return date - now
    return None


def _date(text: str) -> float | None:
    """Return the seconds since the epoch that a date of RFC 9110 names."""
    found = _HTTP_DATE.fullmatch(text.strip())
    if found is None or found[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(found[at]) for at in (1, 3, 4, 5, 6))
    try:
        date = dt.datetime(
            year, _MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=dt.UTC
        )
    except ValueError:
        return None
    return date.timestamp()
