"""Limits: how they are said, and that no text passes one."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import BudgetExceeded, InvalidRequest
from deltaweir.meter.budget import (
    NO_LIMIT,
    Budget,
    EngineBudget,
    Limit,
    check_prompt,
    limit_of,
)
from deltaweir.meter.prices import own_price
from deltaweir.schema.chunk import PromptTokensDetails, Usage

PRICE = own_price("m", {"input": 1, "output": 2, "cached_input": 0.5})


class Letters:
    """A tokenizer for which each character is a token."""

    name = "letters"

    def count(self, text: str) -> int:
        """Return the number of characters."""
        return len(text)


def usage(prompt: int, completion: int, cached: int | None = None) -> Usage:
    """Return a provider's usage."""
    details = None if cached is None else PromptTokensDetails(cached_tokens=cached)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=details,
    )


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (None, NO_LIMIT),
        ({}, NO_LIMIT),
        ({"tokens": 500}, Limit(tokens=500)),
        ({"tokens": 0}, Limit(tokens=0)),
        ({"usd": 0.02}, Limit(pico=20_000_000_000)),
        ({"usd": 1, "tokens": 5}, Limit(tokens=5, pico=10**12)),
        ("500tok", Limit(tokens=500)),
        ("1 token", Limit(tokens=1)),
        ("12 tokens", Limit(tokens=12)),
        ("0.02usd", Limit(pico=20_000_000_000)),
        ("500tok, 0.02usd", Limit(tokens=500, pico=20_000_000_000)),
        ("500tok,20tok", Limit(tokens=20)),
        (Limit(tokens=3), Limit(tokens=3)),
    ],
)
def test_a_limit_can_be_said_in_several_ways(value: Any, limit: Limit) -> None:
    """A mapping, a text, a limit, or nothing."""
    assert limit_of(value) == limit
    assert bool(limit) == (limit != NO_LIMIT)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "500",
        "tok",
        "-5tok",
        "1.5tok",
        "5eur",
        "5tok;3tok",
        "\u0665tok",
        5,
        0.5,
        True,
        ["5tok"],
        {"tokens": -1},
        {"tokens": 1.5},
        {"tokens": True},
        {"tokens": "5"},
        {"usd": "5"},
        {"usd": -0.1},
        {"usd": math.nan},
        {"usd": math.inf},
        {"usd": False},
        {"token": 5},
        {5: 5},
        pytest.param("9" * 5000 + "tok", id="a number that int() refuses"),
        pytest.param({"tokens": 10**5000}, id="a number that str() refuses"),
        pytest.param({"tokens": -(10**5000)}, id="likewise below zero"),
        pytest.param({"usd": 10**400}, id="a number that no float holds"),
        pytest.param("9" * 5000 + "usd", id="money without end"),
        pytest.param({"usd": 1e300}, id="money no ledger holds"),
    ],
)
def test_what_is_no_limit_is_refused(value: Any) -> None:
    """The error names the field, and says what is wanted."""
    with pytest.raises(InvalidRequest, match=r"tok.*usd") as caught:
        limit_of(value)
    assert caught.value.param == "budget"


def test_limits_add_up_to_the_tighter() -> None:
    """Each kind by itself."""
    one, other = Limit(tokens=5, pico=10), Limit(tokens=9)
    assert one.tighter(other) == other.tighter(one) == Limit(tokens=5, pico=10)
    assert one.tighter(NO_LIMIT) == one


def test_a_prompt_that_is_too_dear_is_refused() -> None:
    """Before anything is spent, with both sums; so is money without a price."""
    check_prompt(Limit(tokens=1), None, 10**9)
    check_prompt(Limit(pico=5_000_000), PRICE, 5)
    with pytest.raises(BudgetExceeded, match=r"\$0.000006 \(6 tokens\).*\$0.000005") as caught:
        check_prompt(Limit(pico=5_000_000), PRICE, 6)
    assert caught.value.status == 400
    with pytest.raises(InvalidRequest, match="price is not known"):
        check_prompt(Limit(pico=5_000_000), None, 1)


TEXTS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["content", "text"]), st.text()))


@given(TEXTS, st.integers(0, 30))
def test_no_text_passes_a_limit(texts: list[tuple[int, str, str]], most: int) -> None:
    """What is let through never counts more, and the cut is in the first text that would pass."""
    budget = Budget(Limit(tokens=most), Letters)
    total = 0
    for index, field, text in texts:
        allowed = budget.allow(index, field, text)
        if allowed is not None:
            assert total + len(text) > most
            assert total + allowed == most
            assert budget.sent == most
            assert budget.spent
            return
        total += len(text)
        assert total == budget.sent <= most
        assert budget.spent == (total == most)


def test_money_buys_tokens() -> None:
    """After a prompt of 3 tokens at 1, a budget of 9 buys 3 tokens at 2."""
    budget = Budget(Limit(pico=9_000_000), Letters, price=PRICE, prompt_tokens=3)
    assert budget.allow(0, "content", "ab") is None
    assert budget.allow(0, "content", "cd") == 1


def test_a_providers_word_moves_the_limit() -> None:
    """Its own count of the prompt, and its cache, replace ours; hidden reasoning is debited."""
    said: Usage | None = None
    hidden = 0
    budget = Budget(
        Limit(pico=10_000_000),
        Letters,
        price=PRICE,
        prompt_tokens=2,
        reported=lambda: said,
        hidden=lambda: hidden,
    )
    assert budget.allow(0, "content", "a") is None
    said = usage(4, 1, cached=4)  # costs 2 + 2, so 4 tokens may be generated
    assert budget.allow(0, "content", "bcd") is None
    said, hidden = usage(4, 6, cached=4), 2
    assert budget.allow(0, "content", "e") == 0
    assert budget.sent == 4


def test_hidden_tokens_use_the_limit_up() -> None:
    """They are debited when they are reported, and once."""
    said = usage(4, 5)
    budget = Budget(Limit(tokens=6), Letters, reported=lambda: said, hidden=lambda: 3)
    assert budget.allow(0, "content", "ab") is None
    assert not budget.spent
    assert budget.allow(0, "content", "cd") == 1
    assert budget.spent


def test_a_name_is_within_the_limit_or_is_not() -> None:
    """Half a name is never sent, so none of it counts as sent."""
    budget = Budget(Limit(tokens=4), Letters)
    assert budget.allow(0, "content", "ab") is None
    assert budget.allow(0, "tool_calls[0].name", "abc") == 0
    assert budget.sent == 2


def test_without_a_limit_all_passes() -> None:
    """A budget of nothing only counts."""
    budget = Budget(NO_LIMIT, Letters)
    assert budget.allow(0, "content", "a" * 1000) is None
    assert (budget.sent, budget.spent) == (1000, False)


def test_an_engines_budget() -> None:
    """The engine's own count passes the limit or does not; a piece that passes goes whole."""
    said: Usage | None = None
    budget = EngineBudget(Limit(tokens=2), lambda: said)
    assert budget.allow(0, "content", "a") is None
    assert not budget.spent
    for tokens, allowed, sent, spent in ((1, None, 1, False), (2, None, 2, True), (3, 0, 2, True)):
        said = usage(9, tokens)
        assert (budget.allow(0, "content", "a"), budget.sent, budget.spent) == (
            allowed,
            sent,
            spent,
        )


def test_an_engines_tokens_may_have_a_price() -> None:
    """Then money is a limit as well; without one no sum is ever passed."""
    said = usage(1, 3)
    priced = EngineBudget(Limit(pico=5_000_000), lambda: said, price=PRICE)
    assert priced.allow(0, "content", "a") == 0
    free = EngineBudget(Limit(pico=0), lambda: said)
    assert free.allow(0, "content", "a") is None
    assert not free.spent
