"""An account: what is said of the figures, and the account of an engine."""

from __future__ import annotations

from deltaweir.meter.account import Account, EngineMeter
from deltaweir.meter.prices import own_price
from deltaweir.schema.chunk import Chunk, Usage

SAID = Usage(prompt_tokens=4, completion_tokens=9, total_tokens=13)


def test_what_is_not_known_is_none() -> None:
    """Neither a cost nor a difference is made up."""
    account = Account(None, None, None, None, None)
    assert (account.cost_usd, account.difference) == (None, None)
    assert Account(SAID, "provider", 0, None, SAID).difference is None
    assert Account(SAID, "counted", 0, 3, None).difference is None


def test_the_difference_is_the_providers_figure_less_ours() -> None:
    """Hidden reasoning makes it positive."""
    account = Account(SAID, "provider", 1_500_000_000_000, 7, SAID)
    assert (account.difference, account.cost_usd) == (2, 1.5)


def test_an_engines_count_is_the_count() -> None:
    """Nothing is kept or counted where an engine's ids are the tokens; it costs nothing."""
    usage: Usage | None = None
    meter = EngineMeter(lambda: usage)
    meter.take(Chunk())
    assert meter.account() == Account(None, None, None, None, None)
    usage = Usage(prompt_tokens=4, completion_tokens=2, total_tokens=6)
    assert (meter.usage, meter.reported, meter.hidden) == (usage, usage, 0)
    account = meter.account(both=True)
    assert (account.source, account.cost_usd, account.difference) == ("engine", 0.0, None)
    meter.condense()
    priced = EngineMeter(lambda: usage, price=own_price("m", {"input": 1, "output": 2}))
    assert priced.account().cost_pico == 8_000_000
