"""What a model's tokens cost, in whole picodollars. Pure.

A picodollar is 1e-12 US dollars. Prices are published in dollars per million tokens, with up
to six decimals: $0.01875 per million is 18,750 picodollars a token. So a price is a whole
number, a cost is sums and products of whole numbers, and no rounding ever adds up.

Usage comes from peers, who may contradict themselves: more cached tokens than prompt, counts
below zero. Such figures are clamped to the total they belong to, so a cost is never negative
and pricing never fails. Nobody tells which of a prompt's cached tokens are audio: they are
taken to be text as far as there is text.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any, Literal, Self

import msgspec

from deltaweir.errors import InvalidRequest
from deltaweir.schema.chunk import PromptTokensDetails, Usage

_PICO_PLACES, _PER_MILLION_PLACES = 12, 6
_PICO_PER_DOLLAR = 1_000_000_000_000
_EXACT = Context(prec=40)
"""Wide enough for every amount below the limit; the program's own context may be narrow."""
_MOST_DOLLARS = Decimal(2**63 - 1).scaleb(-_PICO_PLACES, _EXACT)
"""What a database's signed integer holds in picodollars."""
_SHOWN_CHARS = 40
_REQUEST = "request"


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Picodollars per token, by kind of token.

    Attributes:
        input: Of the prompt, where nothing below says otherwise.
        cached_input: Of the prompt, read from the provider's cache.
        cache_write: Of the prompt, written to the provider's cache.
        audio_input: Of the prompt, heard.
        cached_audio_input: Of the prompt, heard and read from the cache.
        output: Of the answer, where nothing below says otherwise.
        reasoning: Of the answer, thought but not said.
        audio_output: Of the answer, spoken.
    """

    input: int
    cached_input: int
    cache_write: int
    audio_input: int
    cached_audio_input: int
    output: int
    reasoning: int
    audio_output: int

    @classmethod
    def of(cls, given: Mapping[str, int]) -> Self:
        """Return rates of which only some are given; the others are those of their larger kind.

        A cached rate beside an audio rate is that of text, so cached audio then costs as audio.

        Args:
            given: Picodollars per token, by the names of the attributes; 0 for an input or
                output that is missing.
        """
        plain, output = given.get("input", 0), given.get("output", 0)
        cached = given.get("cached_input", plain)
        audio = given.get("audio_input", plain)
        return cls(
            input=plain,
            cached_input=cached,
            cache_write=given.get("cache_write", plain),
            audio_input=audio,
            cached_audio_input=given.get(
                "cached_audio_input", audio if "audio_input" in given else cached
            ),
            output=output,
            reasoning=given.get("reasoning", output),
            audio_output=given.get("audio_output", output),
        )


class Tier(msgspec.Struct, frozen=True):
    """The rates of the whole request, prompt and answer, once its prompt is this long.

    Attributes:
        above: Tokens of the longest prompt that these rates do not yet apply to.
        rates: What every token of a request with a longer prompt costs.
    """

    above: int
    rates: Rates


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What one model costs at one provider at one time; a value, safe to share.

    Attributes:
        provider: Who charges it, by the price list's name; None for one's own figures.
        model: The model, by the price list's name.
        source: Where the figures come from.
        rates: Of prompts below every tier.
        tiers: Rates of longer prompts, shortest prompt first.
        request: Picodollars of a request, whatever its length.
        services: Prices of the provider's other service tiers, by name.
    """

    provider: str | None
    model: str
    source: Literal["genai-prices", "configuration"]
    rates: Rates
    tiers: tuple[Tier, ...] = ()
    request: int = 0
    services: tuple[tuple[str, Price], ...] = ()

    def served(self, service_tier: str | None) -> Price:
        """Return the price in a service tier; the same price where the list has no other.

        Args:
            service_tier: As the chunk's field of this name says (``flex``, ``priority``).
        """
        return next((price for name, price in self.services if name == service_tier), self)

    def cost(self, usage: Usage) -> int:
        """Return the picodollars of a request, never below zero.

        Cached, written and heard tokens are parts of the prompt, thought and spoken ones of
        the answer. Where ``total_tokens`` shows that the thought ones come on top of
        ``completion_tokens``, as xAI counts, they are added.
        """
        prompt = max(usage.prompt_tokens, 0)
        rates = self._rates(prompt)
        details = usage.prompt_tokens_details
        read = prompt * rates.input if details is None else _reading(rates, prompt, details)
        return self.request + read + _writing(rates, usage)

    def prompt_cost(self, tokens: int) -> int:
        """Return the picodollars of a prompt alone, none of it cached, with the request's fee."""
        tokens = max(tokens, 0)
        return self.request + tokens * self._rates(tokens).input

    def completion_tokens_within(
        self, pico: int, *, prompt_tokens: int, cached_tokens: int = 0
    ) -> int | None:
        """Return the most tokens of text that an answer may have within a sum.

        Args:
            pico: Picodollars for prompt and answer together.
            prompt_tokens: Tokens of the prompt, the cached ones among them.
            cached_tokens: Tokens of the prompt that are read from the cache.

        Returns:
            The largest number whose cost is within the sum; 0 also where the prompt alone
            costs more (`prompt_cost` tells); None for no limit, since answers are free.
        """
        prompt = max(prompt_tokens, 0)
        rates = self._rates(prompt)
        details = PromptTokensDetails(cached_tokens=cached_tokens)
        left = pico - self.request - _reading(rates, prompt, details)
        if left < 0:
            return 0
        return left // rates.output if rates.output else None

    def _rates(self, prompt: int) -> Rates:
        rates = self.rates
        for tier in self.tiers:
            if prompt <= tier.above:
                break
            rates = tier.rates
        return rates


def _within(tokens: object, most: int) -> int:
    """Clamp a count that a peer claims to be part of another; what is no number counts nothing."""
    return min(max(tokens, 0), most) if isinstance(tokens, int) else 0


def _reading(rates: Rates, prompt: int, details: PromptTokensDetails) -> int:
    audio = _within(details.audio_tokens, prompt)
    cached = _within(details.cached_tokens, prompt)
    text = prompt - audio
    cached_text = min(cached, text)
    cached_audio = cached - cached_text
    # the chunk's schema does not know this field: OpenAI and OpenRouter send it
    written = _within(details.get("cache_write_tokens"), text - cached_text)
    return (
        (text - cached_text - written) * rates.input
        + cached_text * rates.cached_input
        + written * rates.cache_write
        + (audio - cached_audio) * rates.audio_input
        + cached_audio * rates.cached_audio_input
    )


def _writing(rates: Rates, usage: Usage) -> int:
    completion = max(usage.completion_tokens, 0)
    details = usage.completion_tokens_details
    if details is None:
        return completion * rates.output
    thought = max(details.reasoning_tokens or 0, 0)
    if usage.total_tokens == usage.prompt_tokens + usage.completion_tokens + thought:
        completion += thought
    spoken = _within(details.audio_tokens, completion)
    thought = min(thought, completion - spoken)
    return (
        (completion - spoken - thought) * rates.output
        + spoken * rates.audio_output
        + thought * rates.reasoning
    )


def usd(pico: int) -> float:
    """Return picodollars as US dollars, to the nearest float."""
    return pico / _PICO_PER_DOLLAR


def pico(usd: float | str | Decimal) -> int:
    """Return US dollars as the nearest whole number of picodollars.

    A float means the shortest decimal that it is written as: 0.1 is a tenth.

    Raises:
        InvalidRequest: It is no number, not finite, below zero, or more than $9,223,372.03,
            the most that fits into a ledger's column.
    """
    return scaled(_dollars(usd), places=_PICO_PLACES)


def scaled(dollars: Decimal, *, places: int) -> int:
    """Return an amount times a power of ten, rounded once, half to even.

    Args:
        dollars: Zero or more, below ten million.
        places: The power: 12 for picodollars, 6 for those of one of a million tokens.
    """
    step = Decimal(1).scaleb(-places, _EXACT)
    rounded = dollars.quantize(step, rounding=ROUND_HALF_EVEN, context=_EXACT)
    return int(rounded.scaleb(places, _EXACT))


def _dollars(amount: object) -> Decimal:
    """Read an amount exactly, and refuse what is none."""
    wanted = "wanted US dollars, zero or more"
    if isinstance(amount, bool) or not isinstance(amount, int | float | str | Decimal):
        raise InvalidRequest(f"got a {type(amount).__name__}; {wanted}")
    try:
        dollars = Decimal(repr(amount) if isinstance(amount, float) else amount)
    except InvalidOperation as error:
        raise InvalidRequest(f"got {str(amount)[:_SHOWN_CHARS]!r}; {wanted}") from error
    if not dollars.is_finite() or dollars < 0:
        raise InvalidRequest(f"got {dollars:.6g}; {wanted}")
    if dollars > _MOST_DOLLARS:
        raise InvalidRequest(f"got {dollars:.6g}; wanted at most {_MOST_DOLLARS:.2f} US dollars")
    return dollars


def own_price(model: str, rates: Mapping[str, Any]) -> Price:
    """Return a price from one's own configuration.

    Args:
        model: The model's name.
        rates: US dollars per million tokens, by the names of `Rates`; ``input`` and
            ``output`` must be there. ``request`` is US dollars per request.

    Raises:
        InvalidRequest: A name is unknown (the nearest known one is named), ``input`` or
            ``output`` is missing, or a value is no amount, or so small that a token would
            cost nothing.
    """
    known = (*Rates.__struct_fields__, _REQUEST)
    for name in rates:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise InvalidRequest(f"unknown key {name!r} in a price; {hint}", param="price")
    missing = [name for name in ("input", "output") if name not in rates]
    if missing:
        raise InvalidRequest(
            f"got a price without {' and '.join(missing)}; wanted US dollars per million tokens",
            param="price",
        )
    given = {name: _configured(name, value) for name, value in rates.items()}
    request = given.pop(_REQUEST, 0)
    return Price(
        provider=None, model=model, source="configuration", rates=Rates.of(given), request=request
    )


def _configured(name: str, value: object) -> int:
    try:
        dollars = _dollars(value)
    except InvalidRequest as error:
        raise InvalidRequest(f"{name} of a price: {error.message}", param="price") from error
    whole = scaled(dollars, places=_PICO_PLACES if name == _REQUEST else _PER_MILLION_PLACES)
    if dollars and not whole:
        least = f"{name} of a price: got {dollars:.3g}, wanted 0 or at least a picodollar"
        raise InvalidRequest(least, param="price")
    return whole
