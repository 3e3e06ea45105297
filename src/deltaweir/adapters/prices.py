"""Prices from the list of genai-prices, turned into whole numbers once per request.

Who charges decides the price, not the model's name alone: the same weights run at many
providers and on one's own machine. So:

- A base URL names the provider by its host. A host that no provider in the list has, a local
  or private one above all, has no price.
- Without one, a provider that was given, or that the name begins with (``openai/gpt-4o``).
- Without either, the name alone, if the list has it as such: genai-prices itself also takes
  ``deepseek-r1:7b`` or ``deepseek-chat-mine``, which are somebody's own, for DeepSeek's.

What the list has no figure for costs None, never 0. Its empty rows, too: they stand for what
a subscription includes and for what nobody has looked up; only a name that ends in ``:free``
says that it is free. Not priced, since a stream's usage does not tell it: hours of audio,
pages, searches, citations; image and video tokens count as text, and a cache written for an
hour as one written for five minutes.

The list is the one installed; nothing is ever fetched. Importing it is slow and brings in
asyncio, hence it is done where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deltaweir.meter.prices import Price, Rates, Tier, scaled

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

_KINDS = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "input_audio_mtok": "audio_input",
    "cache_audio_read_mtok": "cached_audio_input",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "audio_output",
}
_FREE = {"input_mtok": Decimal(0), "output_mtok": Decimal(0)}
_PER_MILLION_TOKENS, _PER_THOUSAND_REQUESTS = 6, 9
"""Decimal places from the list's dollars to picodollars of one."""
_VERSION = re.compile(r"([-@](\d[\d.]*|latest|preview|beta|exp|v\d[\d.]*))*")
_COMPACT_DATE = re.compile(r"-20\d{6}$")


def price_of(
    model: str,
    *,
    provider: str | None = None,
    base_url: str | None = None,
    when: datetime | None = None,
) -> Price | None:
    """Return what a model costs, or None where that is not known.

    Args:
        model: The model's name, as it is sent to the provider.
        provider: The provider, by the name that genai-prices or LiteLLM gives it; it is
            believed over the host.
        base_url: Where requests go; its host names the provider.
        when: The time of the request, UTC where it names no zone; None for now. Prices
            change by date, and some by the hour.
    """
    row = _row(model, provider, base_url)
    return None if row is None else row.at(when or datetime.now(UTC))


class _Row:
    """One model of the list, with the prices made from it so far; shared by all threads.

    Two threads may make the same price at once; both are equal, and either may stay.
    """

    def __init__(self, provider: Provider, model: ModelInfo) -> None:
        self._provider = provider.id
        self._model = model
        conditional = model.prices if isinstance(model.prices, list) else []
        # the list's rule: a model lent by another provider has its standard price only
        own = any(model is listed for listed in provider.models)
        variants = (model.price_variants or []) if own else []
        self._services = sorted(
            {one.when["service_tier"] for one in variants if set(one.when) == {"service_tier"}}
        )
        conditions = [one.constraint for one in conditional] + [one.constraint for one in variants]
        self._constraints = [one for one in conditions if one is not None]
        self._prices: dict[tuple[bool, ...], Price | None] = {}

    def at(self, when: datetime) -> Price | None:
        """Return the price at a time, made once for each set of conditions that hold."""
        holding = tuple(one.active(when) for one in self._constraints)
        if holding not in self._prices:
            self._prices[holding] = self._made(when)
        return self._prices[holding]

    def _made(self, when: datetime) -> Price | None:
        listed = vars(self._model.get_prices(when))
        price = self._price(listed)
        if price is None:
            return None
        services = list[tuple[str, Price]]()
        for name in self._services:
            special = self._price(vars(self._model.get_prices(when, {"service_tier": name})))
            if special is not None and special != price:
                services.append((name, special))
        return self._price(listed, tuple(services))

    def _price(
        self, listed: Mapping[str, Any], services: tuple[tuple[str, Price], ...] = ()
    ) -> Price | None:
        figures = {kind: value for kind, value in listed.items() if value is not None}
        if not figures and self._model.id.endswith(":free"):
            figures = dict(_FREE)
        if not figures.keys() & _KINDS.keys():
            return None
        starts = {tier.start for value in figures.values() for tier in _tiers(value)}
        return Price(
            provider=self._provider,
            model=self._model.id,
            source="genai-prices",
            rates=_rates(figures, None),
            tiers=tuple(Tier(start, _rates(figures, start)) for start in sorted(starts)),
            request=scaled(
                figures.get("requests_kcount", Decimal(0)), places=_PER_THOUSAND_REQUESTS
            ),
            services=services,
        )


def _tiers(value: Any) -> list[Any]:
    tiers: list[Any] = getattr(value, "tiers", [])
    return tiers


def _rates(figures: Mapping[str, Any], start: int | None) -> Rates:
    """Return the rates of a prompt just above a tier's start, None for below all tiers."""
    given = dict[str, int]()
    for listed, kind in _KINDS.items():
        value = figures.get(listed)
        if value is None:
            continue
        dollars = getattr(value, "base", value)
        for tier in _tiers(value):
            if start is not None and tier.start <= start:
                dollars = tier.price
        given[kind] = scaled(dollars, places=_PER_MILLION_TOKENS)
    return Rates.of(given)


@lru_cache(maxsize=4096)
def _row(model: str, provider: str | None, base_url: str | None) -> _Row | None:
    """Find the list's row; bounded, since anyone may ask for any name."""
    address = None if base_url is None or provider is not None else _address(base_url)
    if address == "":
        return None
    from genai_prices.data import providers

    name = model.lower()
    if provider is not None:
        among = _called(providers, provider)
    elif address is not None:
        among = _reached(providers, address)
    else:
        among = _called(providers, name.partition("/")[0]) if "/" in name else []
        if not among:
            return _known_by_name(providers, name)
    for one in among:
        for text in _spellings(name, one):
            found = one.find_model(text, all_providers=providers)
            if found is not None:
                return _Row(one, found)
    return None


def _spellings(name: str, provider: Provider) -> list[str]:
    """Return the name as it is, and without the provider's own name in front."""
    prefix, _, rest = name.partition("/")
    return [name, rest] if rest and _called([provider], prefix) else [name]


def _known_by_name(providers: list[Provider], name: str) -> _Row | None:
    for one in providers:
        if one.model_match is None or not one.model_match.is_match(name):
            continue
        found = one.find_model(name)
        bare = _COMPACT_DATE.sub("", name)
        if found is not None and (_names(found.match, name) or _names(found.match, bare)):
            return _Row(one, found)
    return None


def _called(providers: list[Provider], name: str) -> list[Provider]:
    """Return the provider of a name, if there is one: ``x-ai``, ``xai``, ``vertex_ai``."""
    wanted = {name.lower().strip()}
    wanted |= {one.removesuffix("_ai") for one in wanted}
    by_id = [one for one in providers if one.id in wanted]
    by_rule = (
        one
        for one in providers
        if one.provider_match is not None
        and any(_names(one.provider_match, text) for text in wanted)
    )
    return by_id[:1] or list(by_rule)[:1]


def _address(base_url: str) -> str:
    """Return an address as the list writes it; empty where no provider can be.

    Those are numbers and names without a dot: who talks to a machine nearby need not wait
    for the list.
    """
    try:
        parts = urlsplit(base_url)
        host = parts.hostname or ""
    except ValueError:  # brackets that close nothing
        return ""
    nearby = "." not in host or ":" in host or host.replace(".", "").isdecimal()
    return "" if nearby else f"https://{host}{parts.path or '/'}"


def _reached(providers: list[Provider], address: str) -> list[Provider]:
    """Return the providers whose API is at an address; several may share one."""
    # a wildcard of the list stands for a part of the host, never for a path
    found = ((one, re.match(one.api_pattern.replace(".*", "[^/]*"), address)) for one in providers)
    return [one for one, match in found if match is not None and _ends_whole(match)]


def _ends_whole(found: re.Match[str]) -> bool:
    """Tell whether a match ends at the end of a host, since patterns are open there.

    ``api.openai.com.example.org`` is somebody's proxy. A pattern that ends with a dot is
    open on purpose.
    """
    after = found.string[found.end() : found.end() + 1]
    return found[0].endswith((".", "/")) or not re.match(r"[\w.-]", after)


def _names(clause: Any, name: str) -> bool:
    """Tell whether a clause of the list is this name, give or take a version at its end."""
    for kind in ("or_", "and_"):
        parts = getattr(clause, kind, None)
        if parts is not None:
            return clause.is_match(name) and any(_names(part, name) for part in parts)
    words = (getattr(clause, kind, None) for kind in ("starts_with", "contains", "ends_with"))
    literal = next((word for word in words if word is not None), None)
    if literal is None:  # the whole name, or a pattern of it
        return bool(clause.is_match(name))
    return name.startswith(literal.lower()) and bool(_VERSION.fullmatch(name, len(literal)))
