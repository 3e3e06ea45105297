"""`watch`: what it takes for a stream, and what it counts and limits by."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, assert_type

import pytest
from tests.client.foreign_objects import KINDS, Model, chat, usage

import deltaweir
from deltaweir.client.watch import AsyncWatchedStream, WatchedStream, watch
from deltaweir.errors import BudgetExceeded, InvalidRequest
from deltaweir.meter.budget import Limit
from deltaweir.types import Chunk, PartialUsage, Reply

HELLO = [{"role": "user", "content": "Say hello."}]


def steps() -> Iterator[Any]:
    """Yield a whole stream."""
    yield chat("Hello")
    yield chat(end="stop")


async def async_steps() -> AsyncIterator[Any]:
    """Yield a whole stream."""
    for step in steps():
        yield step


async def create() -> AsyncIterator[Any]:
    """Return a whole stream, as a client's method does."""
    return async_steps()


class Both:
    """A stream that is read either way, as LiteLLM's is."""

    def __init__(self) -> None:
        self._steps = steps()

    def __iter__(self) -> Iterator[Any]:
        return self._steps

    def __aiter__(self) -> AsyncIterator[Any]:
        return async_steps()


@pytest.mark.parametrize("stream", [steps, lambda: list(steps()), Both])
def test_what_a_program_that_blocks_watches(stream: Any) -> None:
    """An iterator, a list, and what can be read either way where no loop is running."""
    watched = watch(stream())
    assert isinstance(watched, WatchedStream)
    assert list(watched) == list(steps())
    assert (watched.text, watched.request_id, watched.stream_id) == ("Hello", "", None)


@pytest.mark.parametrize("stream", [async_steps, create, Both])
async def test_what_an_asyncio_program_watches(stream: Any) -> None:
    """An async iterator, a coroutine that gives one, and what can be read either way in a loop."""
    watched: Any = watch(stream())
    assert isinstance(watched, AsyncWatchedStream)
    assert [one async for one in watched] == list(steps())
    task: Any = watch(asyncio.ensure_future(create()))
    assert [one async for one in task] == list(steps())


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (None, "None"),
        ("text", "str"),
        (b"text", "bytes"),
        (chat(), "dict"),
        (Reply(), "Reply"),
        (Model({}), "Model"),
        (KINDS["openai before 1.0"](chat()), "Old"),
        (KINDS["object"](chat()), "SimpleNamespace"),
        (5, "int"),
        (steps, "function"),
    ],
)
def test_what_is_no_stream(value: Any, got: str) -> None:
    """A whole reply, a text, or anything else is refused, with what was got and what to do."""
    with pytest.raises(InvalidRequest) as caught:
        watch(value)
    assert got in str(caught.value)
    assert "stream=True" in str(caught.value)
    assert caught.value.param == "stream"


@pytest.mark.parametrize(
    ("options", "error", "param"),
    [
        ({"budget": "much"}, InvalidRequest, "budget"),
        ({"budget": "1usd", "model": "of nobody"}, InvalidRequest, "budget"),
        ({"budget": "1usd"}, InvalidRequest, "budget"),
        ({"budget": {"usd": 1e-9}, "model": "gpt-4o", "prompt": HELLO}, BudgetExceeded, "budget"),
        ({"prompt": 5}, InvalidRequest, "prompt"),
        ({"prompt": b"5"}, InvalidRequest, "prompt"),
    ],
)
def test_refusals_spend_nothing(options: Any, error: type[Exception], param: str) -> None:
    """What cannot be counted is refused; a coroutine never begins, a stream is closed."""
    begun = list[int]()

    async def never() -> AsyncIterator[Any]:
        begun.append(1)
        return async_steps()

    stream = steps()
    next(stream)
    for given in (never(), stream):
        with pytest.raises(error) as caught:
            watch(given, **options)
        assert getattr(caught.value, "param", None) == param
    assert not begun
    assert not list(stream)


@pytest.mark.parametrize(
    ("prompt", "tokens", "cost"),
    [
        (None, None, None),
        ("Say hello.", 3, 3 * 2.5e-6 + 1e-5),
        (HELLO, 10, 10 * 2.5e-6 + 1e-5),
        ([{"nothing": "known"}], None, None),
        ([[1, 2, 3]], 3, 3 * 2.5e-6 + 1e-5),
    ],
)
def test_the_prompt(prompt: Any, tokens: int | None, cost: float | None) -> None:
    """A text, messages and tokens are counted; without them prompt tokens and cost are None."""
    watched = watch(steps(), model="gpt-4o", prompt=prompt)
    next(watched)
    assert watched.usage is not None
    assert (watched.usage.prompt_tokens, watched.usage.completion_tokens) == (tokens, 1)
    assert watched.cost == (None if cost is None else pytest.approx(cost))


def test_tools_are_counted() -> None:
    """Tool definitions are a part of the prompt."""
    function = {"name": "now", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    bare, armed = (watch(steps(), model="gpt-4o", prompt=HELLO, tools=t) for t in (None, tools))
    assert bare.usage is not None
    assert armed.usage is not None
    assert armed.usage.prompt_tokens > bare.usage.prompt_tokens


def test_the_provider_settles_the_prompt() -> None:
    """As soon as the provider reports its usage, prompt tokens and cost are known."""
    watched = watch([chat("Hello"), chat(end="stop", usage=usage(10, 1))])
    next(watched)
    assert watched.usage == PartialUsage(completion_tokens=1)
    list(watched)
    assert watched.cost == pytest.approx(10 * 2.5e-6 + 1e-5)


@pytest.mark.parametrize("model", [None, "my-deployment"])
def test_a_budget_counts_as_the_account_does(model: str | None) -> None:
    """By the vocabulary of the model that the chunks name, where the one asked for is not known.

    The text has far more tokens in cl100k_base than in o200k_base.
    """
    said = {
        **chat("\u0434\u043e\u0431\u0440\u044b\u0439 \u0434\u0435\u043d\u044c " * 8),
        "model": "gpt-4",
    }
    watched = watch(iter([said, said, chat(end="stop")]), model=model, budget="30tok")
    assert len(list(watched)) > 0
    shown = deltaweir.count_tokens(watched.text, model="gpt-4")
    assert 0 < shown <= 30 < deltaweir.count_tokens(said["choices"][0]["delta"]["content"], "gpt-4")
    account = watched.account()
    assert account.counted == shown + account.withheld


def test_every_form_of_a_budget() -> None:
    """A text, a mapping and a limit cut alike; one in money counts the prompt as well."""
    for budget in ("2tok", {"tokens": 2}, Limit(tokens=2), {"usd": 10 * 2.5e-6 + 2e-5}):
        watched = watch(
            [chat("One two three"), chat(end="stop")], model="gpt-4o", prompt=HELLO, budget=budget
        )
        list(watched)
        assert (watched.text, watched.stopped_by) == ("One two", "budget")


def test_types() -> None:
    """A type checker knows what is yielded, and which way of waiting it is for."""
    chunks = [Chunk.model_validate(chat(end="stop"))]
    assert_type(watch(chunks), WatchedStream[Chunk])
    assert_type(list(watch(chunks)), list[Chunk])
    given: AsyncIterator[int] = async_steps()
    assert_type(watch(given), AsyncWatchedStream[int])
    coroutine: Coroutine[Any, Any, AsyncIterator[int]] = create()
    watched = watch(coroutine)
    assert_type(watched, AsyncWatchedStream[int])
    asyncio.run(watched.close())
