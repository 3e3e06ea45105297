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


# --- shared budgets --------------------------------------------------------------------------


class Share:
    """A lease that grants so much at first, and so much more each time it is asked.

    Args:
        grants: Tokens, or picodollars; 0 is a no.
        money: Whether it is a share of money.
        refuses: Raised when it is asked; None where it may be.
    """

    def __init__(self, *grants: int, money: bool = False, refuses: Exception | None = None) -> None:
        self._left = [*grants]
        self._money = money
        self._refuses = refuses
        self.total = self._left.pop(0)
        self.asked = list[tuple[int, int | None]]()

    @property
    def granted(self) -> Limit:
        """Return what was granted so far."""
        return Limit(pico=self.total) if self._money else Limit(tokens=self.total)

    def more(self, used_tokens: int, used_pico: int | None) -> Limit:
        """Grant more, while there is more."""
        if self._refuses is not None:
            raise self._refuses
        self.asked.append((used_tokens, used_pico))
        self.total += self._left.pop(0) if self._left else 0
        return self.granted


GRANTS = st.lists(st.integers(0, 9), min_size=1, max_size=6)
DELTAS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(["content", "text"]), st.text(max_size=6)),
    max_size=12,
)


@given(GRANTS, DELTAS, st.none() | st.integers(0, 20))
def test_a_share_grows_until_it_is_refused(
    grants: list[int], deltas: list[tuple[int, str, str]], own: int | None
) -> None:
    """What is let through is never more than was granted, and asked for when it is needed."""
    share = Share(*grants)
    budget = Budget(Limit(tokens=own), Letters, lease=share)
    sent = 0
    for index, field, text in deltas:
        before, asked = share.total, len(share.asked)
        allowed = budget.allow(index, field, text)
        sent += len(text) if allowed is None else allowed
        most = share.total if own is None else min(share.total, own)
        assert budget.sent == sent <= most
        if len(share.asked) > asked:
            assert sent + len(text) > before
            assert all(used <= before for used, _ in share.asked[asked:])
            assert own is None or before < own
        if allowed is not None:
            assert sent == most
            assert sent == own or share.asked
            assert budget.spent == (sent == own)
            return


@given(GRANTS, st.lists(st.integers(0, 4), max_size=12), st.none() | st.integers(0, 20))
def test_an_engines_share_grows_until_it_is_refused(
    grants: list[int], pieces: list[int], own: int | None
) -> None:
    """The piece that passes what is granted is not shown, nor is it asked for too early."""
    share, made = Share(*grants), 0
    budget = EngineBudget(Limit(tokens=own), lambda: usage(1, made), lease=share)
    for tokens in pieces:
        before, asked, shown = share.total, len(share.asked), budget.sent
        made += tokens
        allowed = budget.allow(0, "content", "a")
        most = share.total if own is None else min(share.total, own)
        assert (allowed is None) == (made <= most)
        assert budget.sent == (shown if allowed is not None else made) <= most
        if len(share.asked) > asked:
            assert made > before
            assert own is None or before < own
        if allowed is not None:
            return


@pytest.mark.parametrize("own", [NO_LIMIT, Limit(tokens=5), Limit(tokens=6)])
def test_the_tightest_of_both_holds(own: Limit) -> None:
    """Where a stream's own limit is passed, no more is taken of what others could have."""
    share = Share(5, 0, refuses=None if own != Limit(tokens=5) else AssertionError("needless"))
    budget = Budget(own, Letters, lease=share)
    assert budget.allow(0, "content", "abcd") is None
    assert budget.allow(0, "content", "efg") == 1
    assert budget.spent == (own == Limit(tokens=5))


def test_a_source_that_ends_where_a_share_does_was_not_cut() -> None:
    """It was told of the stream's own limit alone; the share may still grow."""
    said = usage(1, 4)
    for budget in (
        Budget(NO_LIMIT, Letters, lease=Share(4, 9)),
        EngineBudget(NO_LIMIT, lambda: said, lease=Share(4, 9)),
    ):
        assert budget.allow(0, "content", "abcd") is None
        assert not budget.spent


def test_a_share_of_money_is_told_what_was_spent() -> None:
    """Prompt and answer together; each token at its price."""
    share = Share(5_000_000, 4_000_000, 0, money=True)
    budget = Budget(NO_LIMIT, Letters, price=PRICE, prompt_tokens=3, lease=share)
    assert budget.allow(0, "content", "a") is None
    assert budget.allow(0, "content", "bc") is None
    assert budget.allow(0, "content", "de") == 0
    assert share.asked == [(1, 5_000_000), (3, 9_000_000)]
    said = usage(3, 1)
    share = Share(5_000_000, 4_000_000, 0, money=True)
    engine = EngineBudget(NO_LIMIT, lambda: said, price=PRICE, lease=share)
    assert engine.allow(0, "content", "a") is None
    said = usage(3, 3)
    assert engine.allow(0, "content", "bc") is None
    said = usage(3, 4)
    assert engine.allow(0, "content", "d") == 0
    assert engine.sent == 3
    assert share.asked == [(3, 9_000_000), (4, 11_000_000)]


def test_hidden_tokens_are_of_the_share_too() -> None:
    """A share is asked for what was used, shown or not."""
    said = usage(1, 9)
    share = Share(6, 3, 0)
    budget = Budget(NO_LIMIT, Letters, reported=lambda: said, hidden=lambda: 5, lease=share)
    assert budget.allow(0, "content", "ab") is None
    assert share.asked == [(5, None)]
    assert budget.allow(0, "content", "cde") == 2
