"""How much a stream may generate, as users write it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from deltaweir.errors import InvalidRequest
from deltaweir.meter.prices import pico

_TEXT = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>tok|tokens?|usd)", re.ASCII)
_MOST_TOKENS = 2**63 - 1
_WANTED = 'expected {"tokens": n, "usd": x}, or a text such as "500tok" or "0.02usd"'


class Limit(NamedTuple):
    """How much one stream may generate; None where there is no limit."""

    tokens: int | None = None
    """Generated tokens, over all choices."""
    pico: int | None = None
    """Picodollars for prompt and answer together."""

    def __bool__(self) -> bool:
        return self != (None, None)

    def tighter(self, other: Limit) -> Limit:
        """Return the limit that keeps both."""
        return Limit(
            tokens=least(self.tokens, other.tokens),
            pico=least(self.pico, other.pico),
        )


NO_LIMIT = Limit()


AnyBudget = Mapping[str, int | float | None] | str | Limit | None
"""What a ``budget`` may be; see `limit_of`."""


def limit_of(value: Any) -> Limit:
    """Return the limit that a ``budget`` stands for.

    Args:
        value: ``{"tokens": n, "usd": x}`` with either or both, a text such as ``"500tok"`` or
            ``"0.02usd"`` (several joined by commas), a `Limit`, or None for none.

    Raises:
        InvalidRequest: It is neither; the message says what was wanted.
    """
    if value is None:
        return NO_LIMIT
    if isinstance(value, Limit):
        return value
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, Mapping):
        return _of_mapping(value)
    raise _refused(f"a {type(value).__name__}")


def _of_mapping(value: Mapping[Any, Any]) -> Limit:
    unknown = set(value) - {"tokens", "usd"}
    if unknown:
        raise _refused(f"the key {str(min(unknown, key=str))[:40]!r}")
    tokens, money = value.get("tokens"), value.get("usd")
    if tokens is not None:
        if isinstance(tokens, bool) or not isinstance(tokens, int):
            raise _refused(f"tokens of type {type(tokens).__name__}")
        if not 0 <= tokens <= _MOST_TOKENS:
            bits = tokens.bit_length()  # str refuses numbers of thousands of digits
            raise _refused(f"{tokens} tokens" if bits < 64 else f"tokens of {bits} bits")  # noqa: PLR2004  # as any database
    if money is None:
        return Limit(tokens=tokens)
    if isinstance(money, bool) or not isinstance(money, int | float):
        raise _refused(f"usd of type {type(money).__name__}")
    return Limit(tokens=tokens, pico=_pico(money))


def _pico(money: float | str) -> int:
    try:
        return pico(money)
    except InvalidRequest as error:
        raise _refused(f"an amount that is none ({error.message})") from error


def _of_text(text: str) -> Limit:
    limit = NO_LIMIT
    for part in text.split(","):
        found = _TEXT.fullmatch(part.strip())
        if found is None:
            raise _refused(f"{text[:40]!r}")
        number, unit = found["number"], found["unit"]
        if unit == "usd":
            limit = limit.tighter(Limit(pico=_pico(number)))
        elif "." in number or len(number) > len(str(_MOST_TOKENS)):
            raise _refused(f"{text[:40]!r}")
        else:
            limit = limit.tighter(_of_mapping({"tokens": int(number)}))
    return limit


def _refused(got: str) -> InvalidRequest:
    return InvalidRequest(f"got a budget with {got}, {_WANTED}", param="budget")


def least(one: int | None, other: int | None) -> int | None:
    """Return the smaller of two limits; None stands for no limit."""
    return min((each for each in (one, other) if each is not None), default=None)
