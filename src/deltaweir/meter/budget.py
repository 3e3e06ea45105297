"""Limits on what a stream may generate, and where a delta passes them. Pure.

A token limit is on generated tokens, summed over choices, visible reasoning included. A money
limit is on prompt and answer together, and becomes a token limit as soon as price and prompt
are known. The promise: the text that was let through never counts more than the limit, and
the cut lies in the first delta whose running total passes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from deltaweir.errors import BudgetExceeded, InvalidRequest
from deltaweir.meter.limit import NO_LIMIT, AnyBudget, Limit, least, limit_of
from deltaweir.meter.prices import Price, usd
from deltaweir.meter.tokens import TokenCounter, Tokenizer
from deltaweir.schema.chunk import Usage

__all__ = [
    "NO_LIMIT",
    "AnyBudget",
    "Budget",
    "EngineBudget",
    "Lease",
    "Limit",
    "check_prompt",
    "limit_of",
]


class Lease(Protocol):
    """A share of a budget that several streams have in common."""

    @property
    def granted(self) -> Limit:
        """What this stream may use so far."""

    def more(self, used_tokens: int, used_pico: int | None) -> Limit:
        """Take more; return all that is granted now, unchanged when nothing is left.

        Args:
            used_tokens: What this stream has generated.
            used_pico: What it has cost; None where that is not known.
        """


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
            "got a budget in usd for a model whose price is not known; set one in tokens, such as "
            "500tok, or in a gateway's configuration the model's price",
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
        lease: What a shared budget has granted so far, and grants when asked for more.
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
        lease: Lease | None = None,
    ) -> None:
        self._limit = limit
        self._lease = lease
        self._prompt_tokens, self._cached = prompt_tokens, 0
        self._tokenizer = tokenizer
        self._price = price
        self._reported = reported
        self._hidden_now = hidden
        self._seen: Usage | None = None
        self._hidden = 0
        self._counters: dict[tuple[int, str], TokenCounter] = {}
        self._most = self._tokens()

    @property
    def sent(self) -> int:
        """Tokens of the text that was let through, by our count."""
        return sum(counter.total for counter in self._counters.values())

    @property
    def spent(self) -> bool:
        """Whether nothing more may be generated; what a lease has granted may still grow."""
        most = self._within(self._limit)
        return most is not None and self.sent + self._hidden >= most

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
        while allowed is not None and self._grew(self.sent + self._hidden):
            if self._most is None:  # never less than before
                allowed = None
            else:
                allowed = counter.fitting(text, self._most - others - self._hidden)
        if allowed is not None and field.endswith(".name"):
            allowed = 0
        counter.feed(text if allowed is None else text[:allowed])
        return allowed

    def _debit(self, reported: Usage) -> None:
        self._seen = reported
        self._hidden = self._hidden_now()
        self._prompt_tokens, self._cached = reported.prompt_tokens, _cached(reported)
        self._most = self._tokens()

    def _grew(self, used: int) -> bool:
        """Ask a lease for more; tell whether it gave any."""
        before = self._most
        if self._lease is None or before == self._within(self._limit):
            return False  # its own limit is what it has come to
        cost = None
        if self._price is not None:
            cost = self._price.cost(_figures(self._prompt_tokens, used))
        self._lease.more(used, cost)
        self._most = self._tokens()
        return self._most is None or (before is not None and self._most > before)

    def _tokens(self) -> int | None:
        """Return how many tokens may be generated after the prompt; None for any number."""
        limit = self._limit
        return self._within(limit if self._lease is None else limit.tighter(self._lease.granted))

    def _within(self, limit: Limit) -> int | None:
        price = self._price
        if limit.pico is None or price is None:
            return limit.tokens
        bought = price.completion_tokens_within(
            limit.pico, prompt_tokens=self._prompt_tokens, cached_tokens=self._cached
        )
        return least(limit.tokens, bought)


class EngineBudget:
    """A limit on a stream whose engine counts its own tokens.

    Args:
        limit: What may be generated.
        usage: Returns the engine's count of what it has handed over.
        price: What its tokens cost; None for nothing, so that no sum of money is ever passed.
        lease: As for `Budget`.
    """

    def __init__(
        self,
        limit: Limit,
        usage: Callable[[], Usage | None],
        *,
        price: Price | None = None,
        lease: Lease | None = None,
    ) -> None:
        self._limit = limit
        self._lease = lease
        self._usage = usage
        self._price = price
        self._sent = 0

    @property
    def sent(self) -> int:
        """Tokens of the text that was let through."""
        return self._sent

    @property
    def spent(self) -> bool:
        """Whether nothing more may be generated; what a lease has granted may still grow."""
        usage = self._usage()
        most = None if usage is None else self._within(self._limit, usage)
        return most is not None and usage is not None and usage.completion_tokens >= most

    def allow(self, index: int, field: str, text: str) -> int | None:  # noqa: ARG002
        """Return 0 when the engine's count passes the limit with this text, else None."""
        usage = self._usage()
        if usage is None:
            return None
        most = self._most(usage)
        while most is not None and usage.completion_tokens > most:
            if not self._grew(usage, most):
                return 0
            most = self._most(usage)
        self._sent = usage.completion_tokens
        return None

    def _grew(self, usage: Usage, most: int) -> bool:
        if self._lease is None or most == self._within(self._limit, usage):
            return False
        cost = 0 if self._price is None else self._price.cost(usage)
        self._lease.more(usage.completion_tokens, cost)
        now = self._most(usage)
        return now is None or now > most

    def _most(self, usage: Usage) -> int | None:
        limit = self._limit
        if self._lease is not None:
            limit = limit.tighter(self._lease.granted)
        return self._within(limit, usage)

    def _within(self, limit: Limit, usage: Usage) -> int | None:
        if limit.pico is None or self._price is None:
            return limit.tokens
        bought = self._price.completion_tokens_within(
            limit.pico, prompt_tokens=usage.prompt_tokens, cached_tokens=_cached(usage)
        )
        return least(limit.tokens, bought)


def _figures(prompt: int, completion: int) -> Usage:
    return Usage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
    )


def _cached(usage: Usage) -> int:
    details = usage.prompt_tokens_details
    return 0 if details is None else details.cached_tokens or 0
