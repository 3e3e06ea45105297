"""Calls as programs write them, with the types that mypy must infer; checked, never run."""

from __future__ import annotations

from typing import assert_type

import deltaweir
from deltaweir import types
from deltaweir.client.asynchronous import AsyncClient
from deltaweir.client.blocking import Client
from deltaweir.client.streams import AsyncStream, Stream
from deltaweir.client.timing import Timing
from deltaweir.errors import StreamFailed
from deltaweir.meter.account import Account
from deltaweir.types import Chunk, Reply, TextChunk, TextReply, Usage

MESSAGES = [{"role": "user", "content": "hi"}]


def chat(client: Client, *, stream: bool) -> None:
    """Overloads of a chat completion."""
    create = client.chat.completions.create
    assert_type(create(messages=MESSAGES, stream=True), Stream[Chunk, Reply])
    assert_type(create(messages=MESSAGES, stream=False), Reply)
    assert_type(create(messages=MESSAGES, stream=None), Reply)
    assert_type(create(messages=MESSAGES), Reply)
    assert_type(create(messages=MESSAGES, stream=stream), Stream[Chunk, Reply] | Reply)
    with create(model="m", messages=MESSAGES, stream=True, temperature=0, n=2) as opened:
        assert_type(opened, Stream[Chunk, Reply])
        for chunk in opened:
            assert_type(chunk, Chunk)
            assert_type(chunk.choices[0].delta.content, str | None)
            assert_type(chunk.choices[0].delta.tool_calls, list[types.ToolCallDelta] | None)
            assert_type(chunk.choices[0].finish_reason, str | None)
            assert_type(chunk.usage, Usage | None)
    assert_type(opened.text, str)
    assert_type(opened.usage, Usage | None)
    assert_type(opened.cost, float | None)
    assert_type(opened.finish_reason, str | None)
    assert_type(opened.complete, bool)
    assert_type(opened.reply(), Reply)
    assert_type(opened.reply().choices[0].message.content, str | None)


def complete(client: Client, *, stream: bool) -> None:
    """Overloads of a text completion."""
    create = client.completions.create
    assert_type(create(prompt="a", stream=True), Stream[TextChunk, TextReply])
    assert_type(create(prompt="a", stream=False), TextReply)
    assert_type(create(prompt="a"), TextReply)
    assert_type(create(prompt="a", stream=stream), Stream[TextChunk, TextReply] | TextReply)
    for chunk in create(prompt="a", max_tokens=5, stream=True):
        assert_type(chunk.choices[0].text, str)


async def chat_async(client: AsyncClient, *, stream: bool) -> None:
    """Overloads of an awaited chat completion."""
    create = client.chat.completions.create
    assert_type(await create(messages=MESSAGES, stream=True), AsyncStream[Chunk, Reply])
    assert_type(await create(messages=MESSAGES, stream=False), Reply)
    assert_type(await create(messages=MESSAGES), Reply)
    assert_type(await create(messages=MESSAGES, stream=stream), AsyncStream[Chunk, Reply] | Reply)
    async with await create(messages=MESSAGES, stream=True) as opened:
        async for chunk in opened:
            assert_type(chunk.choices[0].delta.content, str | None)
    assert_type(opened.reply(), Reply)


async def complete_async(client: AsyncClient, *, stream: bool) -> None:
    """Overloads of an awaited text completion."""
    create = client.completions.create
    either = await create(prompt="a", stream=stream)
    assert_type(await create(prompt="a", stream=True), AsyncStream[TextChunk, TextReply])
    assert_type(await create(prompt="a"), TextReply)
    assert_type(either, AsyncStream[TextChunk, TextReply] | TextReply)


def failures(error: StreamFailed) -> None:
    """Errors have typed data."""
    assert_type(error.status, int)
    assert_type(error.code, str | None)
    assert_type(error.request_id, str | None)
    assert_type(types.Chunk.model_validate({}), Chunk)
    assert_type(types.Reply.model_validate_json("{}"), Reply)


def counted(client: Client) -> None:
    """Counts, accounts and budgets."""
    assert_type(deltaweir.count_tokens("a", model="gpt-4o"), int)
    assert_type(deltaweir.count_tokens("a", encoding="cl100k_base"), int)
    prompt = deltaweir.count_prompt(MESSAGES, model="gpt-4o", tools=[{"type": "function"}])
    assert_type(prompt.tokens, int)
    assert_type(prompt.source, str)
    create = client.with_options(budget="500tok").chat.completions.create
    opened = create(messages=MESSAGES, stream=True, budget={"tokens": 500, "usd": 0.02})
    assert_type(opened.account(both=True), Account)
    assert_type(opened.account().source, str | None)
    assert_type(opened.account().withheld, int)
    assert_type(opened.stopped_by, str | None)
    assert_type(opened.timing, Timing)
    assert_type(opened.timing.tokens_per_second, float | None)
    assert_type(create(messages=MESSAGES, budget=None), Reply)
    assert_type(Client(budget={"usd": 1}).models.list().data[0].id, str)
