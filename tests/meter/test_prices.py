"""A price of whole numbers: what usage costs, what a sum buys, what a configuration may say."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.errors import InvalidRequest
from deltaweir.meter.prices import Price, Rates, Tier, own_price, pico, scaled, usd
from deltaweir.schema.chunk import CompletionTokensDetails, PromptTokensDetails, Usage

counts = st.integers(-10, 3000)
rate = st.integers(0, 10**9)


def rates(**kinds: int) -> Rates:
    """Return rates of a kind each, those not named at 1000 a token."""
    return Rates.of({"input": 1000, "output": 1000} | kinds)


def price(**fields: Any) -> Price:
    """Return a price of somebody's list."""
    plain: dict[str, Any] = {
        "provider": "p",
        "model": "m",
        "source": "genai-prices",
        "rates": rates(),
    }
    return Price(**(plain | fields))


def usage(prompt: int, completion: int, **details: int) -> Usage:
    """Return usage with details, by the names a provider gives them; ``spoken`` is audio out."""
    asked = {name: details[name] for name in ("cached_tokens", "audio_tokens") if name in details}
    read = PromptTokensDetails(**asked)
    if "cache_write_tokens" in details:
        read = PromptTokensDetails.model_validate(
            asked | {"cache_write_tokens": details["cache_write_tokens"]}
        )
    wrote = CompletionTokensDetails(
        audio_tokens=details.get("spoken"), reasoning_tokens=details.get("reasoning_tokens")
    )
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=details.get("total", prompt + completion),
        prompt_tokens_details=read,
        completion_tokens_details=wrote,
    )


any_usage = st.builds(
    usage,
    counts,
    counts,
    cached_tokens=counts,
    audio_tokens=counts,
    cache_write_tokens=counts,
    spoken=counts,
    reasoning_tokens=counts,
    total=counts,
)
any_rates = st.builds(Rates, **dict.fromkeys(Rates.__struct_fields__, rate))
any_price = st.builds(
    price,
    rates=any_rates,
    tiers=st.lists(st.builds(Tier, st.integers(0, 3000), any_rates), max_size=3).map(
        lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above))
    ),
    request=rate,
)


def test_usage_without_details_costs_prompt_and_answer() -> None:
    """Each side's tokens are multiplied by its rate, and a fee for the request is added."""
    plain = Usage(prompt_tokens=3, completion_tokens=5)
    assert price(rates=rates(input=10, output=100), request=7).cost(plain) == 537


@pytest.mark.parametrize(
    ("kind", "details", "cost"),
    [
        ("cached_input", {"cached_tokens": 4}, 6 * 1000 + 4),
        ("cache_write", {"cache_write_tokens": 4}, 6 * 1000 + 4),
        ("audio_input", {"audio_tokens": 4}, 6 * 1000 + 4),
        ("cached_audio_input", {"audio_tokens": 10, "cached_tokens": 4}, 6 * 1000 + 4),
    ],
)
def test_parts_of_the_prompt_have_rates_of_their_own(
    kind: str, details: dict[str, int], cost: int
) -> None:
    """Cached, written and heard tokens are taken out of the prompt, not added to it."""
    assert price(rates=rates(**{kind: 1})).cost(usage(10, 0, **details)) == cost


@pytest.mark.parametrize(
    ("kind", "details"),
    [("reasoning", {"reasoning_tokens": 4}), ("audio_output", {"spoken": 4})],
)
def test_parts_of_the_answer_have_rates_of_their_own(kind: str, details: dict[str, int]) -> None:
    """Thought and spoken tokens are taken out of the answer, not added to it."""
    assert price(rates=rates(**{kind: 1})).cost(usage(0, 10, **details)) == 6 * 1000 + 4


def test_thought_beside_the_answer_is_added() -> None:
    """Where the total says that thinking comes on top, as xAI counts, it is paid for."""
    apart = usage(10, 5, reasoning_tokens=100, total=115)
    assert price(rates=rates(reasoning=2)).cost(apart) == 15 * 1000 + 100 * 2


def test_cached_tokens_are_text_first() -> None:
    """Only what the text cannot hold of the cached tokens is taken for audio."""
    figures = rates(cached_input=1, audio_input=10, cached_audio_input=100)
    assert (
        price(rates=figures).cost(usage(10, 0, audio_tokens=6, cached_tokens=5))
        == 4 * 1 + 5 * 10 + 100
    )


@pytest.mark.parametrize(
    ("given_kinds", "kind", "value"),
    [
        ({"input": 2}, "cached_input", 2),
        ({"input": 2}, "cache_write", 2),
        ({"input": 2}, "cached_audio_input", 2),
        ({"input": 2, "cached_input": 1}, "cached_audio_input", 1),
        ({"input": 2, "cached_input": 1, "audio_input": 3}, "cached_audio_input", 3),
        ({"output": 2}, "reasoning", 2),
        ({"output": 2}, "audio_output", 2),
        ({"output": 2}, "input", 0),
    ],
)
def test_a_missing_rate_is_that_of_the_larger_kind(
    given_kinds: dict[str, int], kind: str, value: int
) -> None:
    """A kind that is not priced apart costs what the kind it belongs to costs."""
    assert getattr(Rates.of(given_kinds), kind) == value


@pytest.mark.parametrize(("prompt", "cost"), [(99, 99), (100, 100), (101, 202), (201, 603)])
def test_a_tier_prices_the_whole_request(prompt: int, cost: int) -> None:
    """A prompt above a tier's start pays the tier's rate for every token, its answer too."""
    tiers = tuple(
        Tier(above, rates(input=factor, output=factor)) for above, factor in ((100, 2), (200, 3))
    )
    tiered = price(rates=rates(input=1, output=1), tiers=tiers)
    assert tiered.prompt_cost(prompt) == cost
    assert tiered.cost(usage(prompt, 10)) == cost + 10 * cost // prompt


def test_another_service_tier_has_its_own_price() -> None:
    """The chunk's service tier picks its price; a name the list does not have changes nothing."""
    flex = price(rates=rates(input=1))
    standard = price(services=(("flex", flex),))
    assert standard.served("flex") is flex
    assert standard.served(None) is standard
    assert standard.served("scale") is standard


def test_a_written_count_that_is_no_number_is_none() -> None:
    """A field of the peer's own that holds text is not charged, and breaks nothing."""
    odd = usage(10, 0)
    odd.prompt_tokens_details = PromptTokensDetails.model_validate({"cache_write_tokens": "many"})
    assert price().cost(odd) == 10_000


@given(any_price, any_usage)
def test_contradictions_never_fail_nor_pay(any_price: Price, figures: Usage) -> None:
    """Whatever a peer claims, the cost is between nothing and all tokens at the dearest rate."""
    every = [any_price.rates, *(tier.rates for tier in any_price.tiers)]
    dearest = max(getattr(one, kind) for one in every for kind in Rates.__struct_fields__)
    details = figures.completion_tokens_details
    thought = 0 if details is None else max(details.reasoning_tokens or 0, 0)
    most = max(figures.prompt_tokens, 0) + max(figures.completion_tokens, 0) + thought
    assert any_price.request <= any_price.cost(figures) <= any_price.request + most * dearest


@given(any_price, st.integers(-(10**12), 10**13), counts, counts)
def test_a_sum_buys_the_most_tokens_it_can(
    any_price: Price, sum_of_pico: int, prompt: int, cached: int
) -> None:
    """The number bought is within the sum, and one token more is not."""
    bought = any_price.completion_tokens_within(
        sum_of_pico, prompt_tokens=prompt, cached_tokens=cached
    )

    def cost(completion: int) -> int:
        return any_price.cost(usage(prompt, completion, cached_tokens=cached))

    if bought is None:
        assert cost(10**9) == cost(0) <= sum_of_pico
    else:
        assert bought == 0 or cost(bought) <= sum_of_pico
        assert cost(bought + 1) > sum_of_pico


@given(any_price, counts)
def test_a_prompt_alone_costs_what_usage_says(any_price: Price, tokens: int) -> None:
    """The price of a prompt before it is sent is that of the same usage without an answer."""
    assert any_price.prompt_cost(tokens) == any_price.cost(Usage(prompt_tokens=tokens))


def test_too_dear_a_prompt_buys_nothing_though_answers_are_free() -> None:
    """Free answers are not unlimited where the prompt alone is above the sum."""
    free = price(rates=rates(output=0))
    assert free.completion_tokens_within(999, prompt_tokens=1) == 0
    assert free.completion_tokens_within(1000, prompt_tokens=1) is None


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [
        (0, 0),
        (0.1, 100_000_000_000),
        ("0.02", 20_000_000_000),
        (Decimal("1e-12"), 1),
        ("0.0000000000005", 0),
        ("0.0000000000015", 2),
        ("-0", 0),
        (3, 3 * 10**12),
        ("9223372.036854775807", 2**63 - 1),
        ("0." + "1" * 60, 111_111_111_111),
        ("1e-999999", 0),
    ],
)
def test_dollars_are_read_exactly(dollars: Any, expected: int) -> None:
    """A float means the decimal it is written as; only below a picodollar is rounded."""
    assert pico(dollars) == expected


@given(st.integers(0, 2**63 - 1))
def test_picodollars_survive_as_text(amount: int) -> None:
    """What is written with all its decimals is read back as the same number."""
    assert pico(f"{amount // 10**12}.{amount % 10**12:012}") == amount


def test_a_narrow_decimal_context_changes_nothing() -> None:
    """A program that computes with three digits gets exact amounts all the same."""
    with decimal.localcontext(prec=3):
        assert pico("1.234567890123") == 1_234_567_890_123
        assert scaled(Decimal("0.0833333333333333"), places=6) == 83_333


@pytest.mark.parametrize(
    ("dollars", "named"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (Decimal("sNaN"), "NaN"),
        (-0.01, "-0.01"),
        ("two", "'two'"),
        ("x" * 500, "'xxx"),
        (True, "bool"),
        (None, "NoneType"),
        pytest.param(10**5000, r"1\.00000e\+5000", id="long"),
        ("1e999999", "at most 9223372.04"),
        ("9223372.036854775808", "at most"),
    ],
)
def test_what_is_no_amount_is_refused(dollars: Any, named: str) -> None:
    """The error names what was got, shortened, and what is wanted."""
    with pytest.raises(InvalidRequest, match=named) as caught:
        pico(dollars)
    assert "wanted" in caught.value.message
    assert len(caught.value.message) < 120


def test_picodollars_are_shown_as_dollars() -> None:
    """The nearest float is what is written in JSON."""
    assert usd(1_200_000_000) == 0.0012
    assert usd(0) == 0.0


def test_an_own_price_is_in_dollars_per_million() -> None:
    """Rates come as a configuration has them, a fee in dollars per request."""
    own = own_price(
        "mine", {"input": 0.15, "output": "0.6", "cached_input": 0.01875, "request": 0.005}
    )
    assert (own.provider, own.model, own.source) == (None, "mine", "configuration")
    assert own.request == 5_000_000_000
    expected = {"input": 150_000, "output": 600_000, "cached_input": 18_750}
    assert own.rates == Rates.of(expected)


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"input": 1, "outptu": 2}, "'outptu' in a price; did you mean output?"),
        ({"input": 1, "output": 2, "zzz": 3}, "known are input, "),
        ({"input": 1}, "without output;"),
        ({}, "without input and output;"),
        ({"input": -1, "output": 2}, "input of a price: got -1;"),
        ({"input": 1, "output": "x"}, "output of a price: got 'x';"),
        ({"input": 1e-7, "output": 2}, "got 1e-7, wanted 0 or at least a picodollar"),
    ],
)
def test_a_wrong_own_price_is_refused(table: dict[str, Any], named: str) -> None:
    """The error names the key, the value and what is wanted."""
    with pytest.raises(InvalidRequest) as caught:
        own_price("mine", table)
    assert named in caught.value.message
    assert caught.value.param == "price"


def test_a_price_is_a_value() -> None:
    """Equal prices are one key, and none can be changed."""
    assert len({price(), price()}) == 1
    with pytest.raises(AttributeError):
        price().request = 1  # type: ignore[misc]  # what is asserted
