"""What a client's streams are counted, priced and limited by."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from deltaweir.client.metering import (
    Asked,
    ModelBasis,
    SharedMeter,
    asked_by,
    engine_metering,
    metering,
    text_metering,
    weir_for,
)
from deltaweir.endings import Ending
from deltaweir.errors import BudgetExceeded, InvalidRequest
from deltaweir.meter.budget import NO_LIMIT, limit_of
from deltaweir.meter.meter import Meter
from deltaweir.meter.prices import own_price
from deltaweir.schema.chunk import Chunk, Usage
from deltaweir.schema.request import StreamOptions, chat_request, text_request

OPENAI = "https://api.openai.com/v1"
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


def chunk(content: str, usage: Usage | None = None) -> Chunk:
    """Return a chunk of the first choice."""
    choice = {"index": 0, "delta": {"content": content}}
    made = Chunk.model_validate({"choices": [choice], "model": "gpt-4o"})
    made.usage = usage
    return made


def used(prompt: int, completion: int) -> Usage:
    """Return a provider's usage."""
    return Usage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
    )


def test_a_request_says_all_that_is_counted() -> None:
    """Messages and what is on offer with them, or a prompt."""
    body = {
        "messages": HELLO,
        "tools": [{"type": "function"}],
        "functions": [{"name": "f"}],
        "tool_choice": "auto",
        "function_call": "none",
        "response_format": {"type": "text"},
    }
    asked = asked_by(chat_request(body))
    assert asked._asdict() == {**body, "prompt": None}
    assert asked_by(text_request({"prompt": ["a"]})) == Asked(prompt=["a"])


def test_a_prompt_of_a_form_nobody_knows_is_not_known() -> None:
    """Its provider may know better; nothing is made up, and nothing raises."""
    odd = [{"role": "user", "content": [{"type": "image_url", "image_url": 5}]}]
    assert ModelBasis(Asked(messages=odd)).prompt("gpt-4o") is None
    assert ModelBasis(None).prompt("gpt-4o") is None
    known = ModelBasis(Asked(prompt="hello there")).prompt("gpt-3.5-turbo-instruct")
    assert known is not None
    assert known.tokens == 2


def test_a_price_holds_where_the_request_went() -> None:
    """A model's price is known at its own provider's address, and not on loopback."""
    assert ModelBasis(None, base_url=OPENAI).price("gpt-4o") is not None
    assert ModelBasis(None, base_url="http://127.0.0.1:9/v1").price("gpt-4o") is None
    assert ModelBasis(None, base_url=OPENAI).price(None) is None
    own = own_price("m", {"input": 1, "output": 2})
    assert ModelBasis(None, base_url="http://127.0.0.1:9/v1", price=own).price("m") is own


def test_a_stream_at_openai_has_a_cost() -> None:
    """Prompt and answer at their prices, growing with the text."""
    basis = ModelBasis(Asked(messages=HELLO), base_url=OPENAI)
    price = basis.price("gpt-4o")
    assert price is not None
    meter = metering(basis, "gpt-4o", NO_LIMIT).meter
    assert meter.account().cost_pico == price.cost(used(8, 0))
    meter.take(chunk("one two three"))
    account = meter.account()
    assert account.cost_pico == price.cost(used(8, 3))
    assert account.cost_usd is not None
    assert account.cost_usd > 0


def test_a_prompt_too_dear_is_refused() -> None:
    """Before anything is sent, with both sums."""
    request = chat_request({"messages": HELLO, "model": "gpt-4o"})
    with pytest.raises(BudgetExceeded, match=r"8 tokens") as caught:
        text_metering(request, limit_of({"usd": 1e-9}), base_url=OPENAI)
    assert (caught.value.status, caught.value.param) == (400, "budget")


def test_money_without_a_price_is_refused() -> None:
    """The error says how to limit it all the same."""
    request = chat_request({"messages": HELLO, "model": "gpt-4o"})
    with pytest.raises(InvalidRequest, match="500tok"):
        text_metering(request, limit_of("1usd"), base_url="http://127.0.0.1:9/v1")


def test_money_cuts_where_it_is_spent() -> None:
    """A budget for the prompt and three tokens lets three tokens through."""
    basis = ModelBasis(Asked(messages=HELLO), base_url=OPENAI)
    price = basis.price("gpt-4o")
    assert price is not None
    limit = limit_of({"usd": price.cost(used(8, 3)) / 10**12})
    metered = metering(basis, "gpt-4o", limit)
    weir = weir_for(Chunk, metered, None)
    out = weir.feed(chunk("one two three four five"), 0.0)
    assert weir.ending is Ending.BUDGET
    assert out[0].choices[0].delta.content == "one two three"


def test_a_running_usage_is_not_counted_twice() -> None:
    """A usage tells of its own chunk's text too, which is no overshoot."""
    metered = metering(ModelBasis(None), "gpt-4o", limit_of("7tok"))
    weir = weir_for(Chunk, metered, None)
    for text, tokens in (("one two three", 3), (" four five six", 6), (" seven", 7)):
        (shown,) = weir.feed(chunk(text, used(8, tokens)), 0.0)
        assert shown.choices[0].delta.content == text
    assert weir.ending is None
    weir.feed(chunk(" eight"), 0.0)
    assert weir.ending is Ending.BUDGET


@pytest.mark.parametrize("later", [False, True], ids=["on the text", "on an empty chunk"])
def test_hidden_reasoning_is_debited(later: bool) -> None:
    """What a provider's usage has beyond all text uses the budget up."""
    metered = metering(ModelBasis(None), "gpt-4o", limit_of("10tok"))
    weir = weir_for(Chunk, metered, None)
    weir.feed(chunk("one two three", None if later else used(8, 9)), 0.0)
    if later:
        weir.feed(Chunk(usage=used(8, 9)), 0.0)
    out = weir.feed(chunk(" four five"), 0.0)
    assert weir.ending is Ending.BUDGET
    assert out[0].choices[0].delta.content == " four"


def test_an_engines_metering() -> None:
    """The engine's count is the usage, nothing is hidden, and only a limit makes a budget."""
    metered = engine_metering(lambda: used(3, 4), NO_LIMIT)
    assert metered.budget is None
    meter = metered.meter
    assert (meter.usage, meter.reported, meter.hidden) == (used(3, 4), used(3, 4), 0)
    assert meter.account().source == "engine"
    meter.condense()
    limited = engine_metering(lambda: used(3, 4), limit_of("4tok")).budget
    assert limited is not None
    assert limited.spent


@pytest.mark.parametrize(
    ("options", "asked", "everywhere"),
    [
        (None, False, False),
        (StreamOptions(), False, False),
        (StreamOptions(include_usage=True), True, False),
        (StreamOptions(continuous_usage_stats=True), False, True),
    ],
)
def test_a_weir_has_the_usage_that_was_asked_for(
    options: StreamOptions | None,
    asked: bool,
    everywhere: bool,
) -> None:
    """At the end, on every chunk, or not at all."""
    weir = weir_for(Chunk, engine_metering(lambda: used(1, 1), NO_LIMIT), options)
    assert weir.usage_asked == asked
    (shown,) = weir.feed(chunk("a"), 0.0)
    assert (shown.usage is not None) == everywhere


def test_a_meter_may_be_read_while_it_is_fed() -> None:
    """Each figure is the count of what had come, never less than before, and the last is exact."""
    meter = SharedMeter(Meter(ModelBasis(Asked(messages=HELLO)), model="gpt-4o"))
    over = threading.Event()
    seen: list[int] = []
    wrong: list[Any] = []

    def read() -> None:
        while not over.is_set():
            account = meter.account()
            assert account.usage is not None
            seen.append(account.usage.completion_tokens)
            if account.counted != account.usage.completion_tokens:
                wrong.append(account)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(2000):
        meter.take(chunk(" word"))
        if number % 100 == 0:
            meter.condense()
    over.set()
    reader.join()
    assert not wrong
    assert seen == sorted(seen)
    assert meter.usage == used(8, 2000)


_UNREAD = """
import sys
from deltaweir.client.metering import *
from deltaweir.meter.budget import NO_LIMIT
from deltaweir.schema.chunk import Chunk
from deltaweir.schema.request import chat_request
body = {"messages": [{"role": "user", "content": "hello"}], "model": "gpt-4o"}
metered = text_metering(chat_request(body), NO_LIMIT, base_url="https://api.openai.com/v1")
weir = weir_for(Chunk, metered, None)
weir.feed(Chunk.model_validate({"choices": [{"index": 0, "delta": {"content": "a"}}]}), 0.0)
heavy = [name for name in ("splintr", "genai_prices") if name in sys.modules]
assert not heavy, heavy
assert metered.meter.usage.completion_tokens == 1
assert "splintr" in sys.modules
"""


def test_nothing_is_loaded_before_somebody_reads() -> None:
    """Neither a vocabulary nor prices; the first look loads the vocabulary."""
    subprocess.run([sys.executable, "-c", _UNREAD], check=True)
