"""What a key is told when a limit of its is reached, and of its rates in each answer."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, NamedTuple

from deltaweir.allowances import shown, window_end
from deltaweir.errors import RateLimited
from deltaweir.gateway.keys.keys import Key
from deltaweir.leases import SpentError
from deltaweir.rates import Bucket, duration
from deltaweir.stores.books import Books

Headers = list[tuple[bytes, bytes]]

_LARGER = "whoever runs this server makes a key with another budget by `deltaweir keys create`"


class LimitReached(RateLimited):
    """A key's rate or budget is used up; nothing was spent.

    Args:
        message: Which, how much of it, and when it is worth to ask again.
        headers: What the answer has to say besides, retry-after included.
        retry_after_s: In how many seconds it is worth to ask again; None for never.
        **data: As for every error.
    """

    def __init__(
        self,
        message: str,
        *,
        headers: Headers | None = None,
        retry_after_s: float | None = None,
        **data: Any,
    ) -> None:
        super().__init__(message, **data)
        self.retry_after_s = retry_after_s
        self.headers = [*(headers or ()), *_retry(retry_after_s)]


def _retry(after_s: float | None) -> Headers:
    if after_s is None:
        return [(b"x-should-retry", b"false")]  # OpenAI's clients would try again otherwise
    return [
        (b"retry-after", str(max(1, math.ceil(after_s))).encode()),
        (b"retry-after-ms", str(max(1, math.ceil(1000 * after_s))).encode()),
    ]


def check_rates(books: Books, key: Key, prompt_tokens: int, unbooked: int, now_ms: int) -> Headers:
    """Put a request into a key's rates, and return what its answer says of them.

    Args:
        books: The transaction.
        key: Whose request it is.
        prompt_tokens: Tokens of its prompt; those of the answer are put in as they come.
        unbooked: Tokens of earlier requests that are still to be put in.
        now_ms: Milliseconds since 1970.

    Raises:
        LimitReached: It finds no room; says in how many seconds it will.
    """
    found: list[_Rate] = []
    if key.terms.rpm is not None:
        bucket = books.bucket(key.id, "requests").drained(now_ms, key.terms.rpm)
        found.append(_Rate("requests", key.terms.rpm, 1, bucket))
    if key.terms.tpm is not None:
        bucket = books.bucket(key.id, "tokens").drained(now_ms, key.terms.tpm).with_(unbooked)
        found.append(_Rate("tokens", key.terms.tpm, prompt_tokens, bucket))
    for rate in found:
        _check(rate, [header for one in found for header in one.headers()])
    for number, rate in enumerate(found):
        found[number] = filled = rate._replace(bucket=rate.bucket.with_(rate.needed))
        books.fill(key.id, rate.unit, filled.bucket)
    return [header for one in found for header in one.headers()]


class _Rate(NamedTuple):
    """One of a key's rates, and what a request needs of it."""

    unit: str
    limit: int
    needed: int
    bucket: Bucket

    def headers(self) -> Headers:
        figures = {
            "limit": str(self.limit),
            "remaining": str(self.bucket.remaining(self.limit)),
            "reset": duration(self.bucket.reset_ms(self.limit)),
        }
        return [
            (f"x-ratelimit-{name}-{self.unit}".encode(), figure.encode())
            for name, figure in figures.items()
        ]


def _check(rate: _Rate, headers: Headers) -> None:
    unit, limit, needed, bucket = rate
    if needed > limit:
        raise LimitReached(
            f"this key may use {limit} {unit} a minute, and this prompt alone has {needed}; "
            "shorten it",
            headers=headers,
        )
    if bucket.remaining(limit) >= max(1, needed):
        return
    wait_ms = max(1, bucket.wait_ms(max(1, needed), limit))
    left = f", and this prompt has {needed}" if unit == "tokens" else ""
    raise LimitReached(
        f"this key may use {limit} {unit} a minute: {bucket.remaining(limit)} are left"
        f"{left}; ask again in {duration(wait_ms)}",
        headers=headers,
        retry_after_s=wait_ms / 1000,
    )


def quota_spent(error: SpentError, now: float) -> LimitReached:
    """Return what a request is told that finds too little left of a budget.

    Args:
        error: Which budget, and how much of it is left.
        now: Seconds since 1970.
    """
    unit, period, began = error.pot.unit, error.pot.period, error.pot.began
    whole = f"{shown(error.limit, unit)}{'' if period == 'life' else f' a {period}'}"
    left = max(0, error.limit - error.spent)
    if left >= error.needed:  # streams that run may give back some of what they hold
        return LimitReached(
            f"the budget of this key is {whole}, and streams that run hold what is left of it; "
            "ask again when one has ended",
            code="insufficient_quota",
            retry_after_s=1.0,
        )
    end = window_end(period, began)
    when = f"; it is whole again at {_moment(end)}" if end is not None else ""
    much = f"has {shown(left, unit)} left, too little for this prompt" if left else "is spent"
    return LimitReached(
        f"the budget of this key, {whole}, {much}{when}; {_LARGER}",
        code="insufficient_quota",
        retry_after_s=None if end is None else max(1.0, end - now),
    )


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
