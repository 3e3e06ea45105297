"""What a client's key may do: its terms as text and as values, and the times they span. Pure.

A key is ``dw-<id>-<secret>``. Kept is the SHA-256 of the whole text: the secret has 256 random
bits, so that there is nothing to guess, and a slow hash would only slow each request down.

A quota is a budget in tokens or money for a key's life, a UTC day or a UTC month; prompt and
completion count. What running streams hold of one is `deltaweir.leases`; requests and tokens a
minute are `deltaweir.rates`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.meter.budget import limit_of
from deltaweir.usage_report import SPAN, SPAN_S, moment_of

Unit = Literal["tokens", "pico"]
"""What a quota is in; a picodollar is 1e-12 US dollars."""
Period = Literal["life", "day", "month"]

KEY = re.compile(r"dw-(?P<id>[0-9a-f]{12})-[A-Za-z0-9_-]{43}", re.ASCII)
"""What a key looks like."""
KEY_ID = re.compile(r"[0-9a-f]{12}", re.ASCII)

_DAY_S = 86_400
_PICO_PLACES = 12
_PERIOD = re.compile(r"(?P<amount>[^/]*)(?:/(?P<period>day|month))?", re.ASCII)
_MODEL = re.compile(r"[^\s,*]{1,200}|[^\s,*]{0,200}\*")
_MOST_NAME_CHARS = 64
_MOST_A_MINUTE = 10**12


class Quota(msgspec.Struct, frozen=True):
    """A budget of a key.

    Attributes:
        unit: Tokens or picodollars.
        amount: How many in one period.
        period: How long it is for.
    """

    unit: Unit
    amount: int
    period: Period = "life"

    def __str__(self) -> str:
        return shown(self.amount, self.unit) + ("" if self.period == "life" else f"/{self.period}")


class KeyTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key may do.

    Attributes:
        models: Names of models, or beginnings of names such as ``openai/*``; empty for all.
        rpm: Requests a minute; None for any number.
        tpm: Tokens a minute, prompt and completion; None for any number.
        quotas: Its budgets; all of them hold.
        expires: Seconds since 1970 from which on it is not accepted; None for never.
        admin: Whether it sees the usage of all keys.
        may_record: Whether its streams may be recorded.
    """

    models: tuple[str, ...] = ()
    rpm: int | None = None
    tpm: int | None = None
    quotas: tuple[Quota, ...] = ()
    expires: float | None = None
    admin: bool = False
    may_record: bool = False

    def permit(self, model: str) -> bool:
        """Tell whether a model may be used."""
        return not self.models or any(_covers(pattern, model) for pattern in self.models)


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept, which is without its secret.

    Attributes:
        id: The part of it that is no secret.
        digest: The SHA-256 of the whole key.
        name: What it is called, for people.
        terms: What it may do.
        created: Seconds since 1970.
        revoked: Since when it is not accepted; None while it is.
    """

    id: str
    digest: bytes
    name: str
    terms: KeyTerms
    created: float
    revoked: float | None = None

    def __repr__(self) -> str:
        return f"KeyRecord(id={self.id!r}, name={self.name!r})"

    def state(self, now: float) -> Literal["active", "expired", "revoked"]:
        """Return whether it is accepted, and why not."""
        if self.revoked is not None:
            return "revoked"
        expires = self.terms.expires
        return "active" if expires is None or now < expires else "expired"


def digest_of(key: bytes) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(key).digest()


def name_of(text: str) -> str:
    """Return a key's name.

    Raises:
        InvalidRequest: It is empty, too long, or cannot be printed.
    """
    name = text.strip()
    if not name or len(name) > _MOST_NAME_CHARS or not name.isprintable():
        raise InvalidRequest(
            f"got a name of {len(name)} characters, expected 1 to {_MOST_NAME_CHARS} that can be "
            "printed",
            param="name",
        )
    return name


def quotas_of(texts: Sequence[str]) -> tuple[Quota, ...]:
    """Return the budgets that texts stand for.

    Args:
        texts: Such as "400tok", "5usd/month", "1000tok/day, 20usd".

    Raises:
        InvalidRequest: One is no budget, is for nothing, or is given twice.
    """
    found: dict[tuple[Unit, Period], Quota] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        quota = _quota(part)
        if found.setdefault((quota.unit, quota.period), quota) is not quota:
            raise InvalidRequest(
                f"got two budgets of one kind: {found[quota.unit, quota.period]} and {quota}",
                param="budget",
            )
    return tuple(found.values())


def _quota(text: str) -> Quota:
    split = _PERIOD.fullmatch(text)
    try:
        limit = limit_of("" if split is None else split["amount"])
    except InvalidRequest as error:
        raise InvalidRequest(
            f"got a budget {text[:40]!r}, expected tokens or dollars such as 400tok, 5usd/month "
            "or 1000tok/day; several are parted by commas",
            param="budget",
        ) from error
    assert split is not None  # or there were no limit
    period: Period = split["period"] or "life"  # type: ignore[assignment]  # the pattern's own
    unit: Unit = "pico" if limit.tokens is None else "tokens"
    amount = limit.pico if limit.tokens is None else limit.tokens
    if not amount:
        raise InvalidRequest(f"got a budget {text[:40]!r}, which is for nothing", param="budget")
    return Quota(unit, amount, period)


def models_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the models that texts name, each with commas between, in their order, each once.

    Raises:
        InvalidRequest: One is empty, has a blank, or a star that is not its end.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if _MODEL.fullmatch(name) is None:
            raise InvalidRequest(
                f"got a model {name[:40]!r}, expected a name, or its beginning such as openai/*",
                param="models",
            )
    return tuple(dict.fromkeys(names))


def a_minute(number: int | None, *, param: str) -> int | None:
    """Return a number of requests or tokens a minute; None for any number.

    Raises:
        InvalidRequest: It is below 1, or more than can be counted.
    """
    if number is not None and not 1 <= number <= _MOST_A_MINUTE:
        raise InvalidRequest(f"got {param} {number}, expected 1 to {_MOST_A_MINUTE}", param=param)
    return number


def expiry_of(text: str | None, now: float) -> float | None:
    """Return when a key expires, in seconds since 1970; None for never.

    Args:
        text: A time from now such as "90m", "12h", "30d" or "4w"; or a date, at whose beginning
            in UTC it expires; or a time, as `deltaweir.usage_report.moment_of` takes it.
        now: Seconds since 1970.

    Raises:
        InvalidRequest: It is neither, or it is past.
    """
    if text is None:
        return None
    span = SPAN.fullmatch(text.strip())
    if span is not None:
        moment = now + int(span["number"]) * SPAN_S[span["unit"]]
    else:
        try:
            found = moment_of(text.strip(), param="expires")
        except InvalidRequest as error:
            raise _no_expiry(text) from error
        if found is None:
            raise _no_expiry(text)
        moment = found
    if moment <= now:
        raise InvalidRequest(f"got expires {text[:40]!r}, which is past", param="expires")
    return moment


def _no_expiry(text: str) -> InvalidRequest:
    return InvalidRequest(
        f"got expires {text[:40]!r}, expected a time from now such as 30d or 12h, or a date such "
        "as 2026-12-31",
        param="expires",
    )


def window_of(period: Period, now: float) -> int:
    """Return when the period began that a time lies in, in seconds since 1970; 0 for a life."""
    if period == "life":
        return 0
    seconds = int(now)
    if period == "day":
        return seconds - seconds % _DAY_S
    day = datetime.fromtimestamp(seconds, tz=UTC)
    return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp())


def window_end(period: Period, began: int) -> int | None:
    """Return when a period ends, in seconds since 1970; None for a life."""
    if period == "life":
        return None
    # no month has more than 31 days, and none is as short as four
    return began + _DAY_S if period == "day" else window_of("month", began + 31 * _DAY_S + 1)


def shown(amount: int, unit: Unit) -> str:
    """Return an amount as people write it: 400tok, 0.02usd."""
    if unit == "tokens":
        return f"{amount}tok"
    return f"{Decimal(amount).scaleb(-_PICO_PLACES).normalize():f}usd"


def _covers(pattern: str, model: str) -> bool:
    return model.startswith(pattern[:-1]) if pattern.endswith("*") else model == pattern
