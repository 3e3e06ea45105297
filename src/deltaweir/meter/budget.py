"""Limits on what a stream may generate, and where a delta passes them. Pure.

A token limit is on generated tokens, summed over choices, visible reasoning included. A money
limit is on prompt and answer together, and becomes a token limit as soon as price and prompt
are known. The promise: the text that was let through never counts more than the limit, and
the cut lies in the first delta whose running total passes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from deltaweir.errors import BudgetExceeded, InvalidRequest
from deltaweir.meter.prices import Price, pico, usd
from deltaweir.meter.tokens import TokenCounter, Tokenizer
from deltaweir.schema.chunk import Usage

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
            tokens=_least(self.tokens, other.tokens),
            pico=_least(self.pico, other.pico),
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


def _least(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def check_prompt(limit: Limit, price: Price | None, prompt_tokens: int) -> None:
    """Refuse a request whose prompt alone costs more than its budget.

    Raises:
        BudgetExceeded: It does; names both sums.
        InvalidRequest: The budget is in money, and no price is known.
    """
    if limit.pico is None:
        return
    if price is None:
        raise InvalidRequest(
            "got a budget in usd for a model whose price is not known; set its price, or a "
            'budget in tokens such as "500tok"',
            param="budget",
        )
    cost = price.prompt_cost(prompt_tokens)
    if cost > limit.pico:
        raise BudgetExceeded(
            f"the prompt alone costs ${usd(cost):.6f} ({prompt_tokens} tokens), but the budget "
            f"is ${usd(limit.pico):.6f}",
            param="budget",
        )


class Budget:
    """A limit on a stream whose text we count.

    Args:
        limit: What may be generated.
        tokenizer: Returns what counts the text; asked when the first text has come, since only
            then it may be known which model speaks.
        prompt_tokens: The prompt's, as we count them; a provider's figure replaces it.
        price: What tokens cost; needed for a limit in money.
        reported: Returns what the provider said last.
        hidden: Returns how many generated tokens of that no text has shown, such as hidden
            reasoning; they are debited as overshoot.
    """

    def __init__(
        self,
        limit: Limit,
        tokenizer: Callable[[], Tokenizer],
        *,
        prompt_tokens: int = 0,
        price: Price | None = None,
        reported: Callable[[], Usage | None] = lambda: None,
        hidden: Callable[[], int] = lambda: 0,
    ) -> None:
        self._limit = limit
        self._tokenizer = tokenizer
        self._price = price
        self._reported = reported
        self._hidden_now = hidden
        self._seen: Usage | None = None
        self._hidden = 0
        self._counters: dict[tuple[int, str], TokenCounter] = {}
        self._most = self._tokens(prompt_tokens, cached=0)

    @property
    def sent(self) -> int:
        """Tokens of the text that was let through, by our count."""
        return sum(counter.total for counter in self._counters.values())

    @property
    def spent(self) -> bool:
        """Whether nothing more may be generated."""
        return self._most is not None and self.sent + self._hidden >= self._most

    def allow(self, index: int, field: str, text: str) -> int | None:
        """Return how many characters of a text are within the limit; None for all.

        Any number means that the limit is passed here. The text up to there counts as sent.
        Half a function's name is of no use, so that a name is within the limit or is not.
        """
        counter = self._counters.get((index, field))
        if counter is None:
            counter = self._counters[index, field] = TokenCounter(self._tokenizer())
        reported = self._reported()
        if reported is not self._seen and reported is not None:
            self._debit(reported)
        if self._most is None:
            counter.feed(text)
            return None
        others = sum(each.total for each in self._counters.values() if each is not counter)
        allowed = counter.fitting(text, self._most - others - self._hidden)
        if allowed is not None and field.endswith(".name"):
            allowed = 0
        counter.feed(text if allowed is None else text[:allowed])
        return allowed

    def _debit(self, reported: Usage) -> None:
        self._seen = reported
        self._hidden = self._hidden_now()
        self._most = self._tokens(reported.prompt_tokens, cached=_cached(reported))

    def _tokens(self, prompt_tokens: int, *, cached: int) -> int | None:
        """Return how many tokens may be generated after this prompt; None for any number."""
        limit, price = self._limit, self._price
        if limit.pico is None or price is None:
            return limit.tokens
        bought = price.completion_tokens_within(
            limit.pico, prompt_tokens=prompt_tokens, cached_tokens=cached
        )
        return _least(limit.tokens, bought)


class EngineBudget:
    """A limit on a stream whose engine counts its own tokens.

    Args:
        limit: What may be generated.
        usage: Returns the engine's count of what it has handed over.
        price: What its tokens cost; None for nothing, so that no sum of money is ever passed.
    """

    def __init__(
        self, limit: Limit, usage: Callable[[], Usage | None], *, price: Price | None = None
    ) -> None:
        self._limit = limit
        self._usage = usage
        self._price = price
        self._sent = 0

    @property
    def sent(self) -> int:
        """Tokens of the text that was let through."""
        return self._sent

    @property
    def spent(self) -> bool:
        """Whether nothing more may be generated."""
        usage = self._usage()
        most = None if usage is None else self._most(usage)
        return most is not None and usage is not None and usage.completion_tokens >= most

    def allow(self, index: int, field: str, text: str) -> int | None:  # noqa: ARG002
        """Return 0 when the engine's count passes the limit with this text, else None."""
        usage = self._usage()
        if usage is None:
            return None
        most = self._most(usage)
        if most is not None and usage.completion_tokens > most:
            return 0
        self._sent = usage.completion_tokens
        return None

    def _most(self, usage: Usage) -> int | None:
        if self._limit.pico is None or self._price is None:
            return self._limit.tokens
        bought = self._price.completion_tokens_within(
            self._limit.pico, prompt_tokens=usage.prompt_tokens, cached_tokens=_cached(usage)
        )
        return _least(self._limit.tokens, bought)


def _cached(usage: Usage) -> int:
    details = usage.prompt_tokens_details
    return 0 if details is None else details.cached_tokens or 0
