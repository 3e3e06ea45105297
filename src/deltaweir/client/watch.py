"""Somebody else's stream, counted and limited while it is read.

What a program iterates over stays what it was: the same objects, in the same order. Only
where a budget cuts or a guard holds text back, objects are made anew, of the same kind. There
are no clocks: the wait of an iterator that is not ours cannot be ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

from deltaweir.adapters.guards import AnyGuard
from deltaweir.client.guarding import Guarded, ready_policy
from deltaweir.client.metering import Asked, ModelBasis, metering
from deltaweir.client.watched import AsyncWatchedStream, WatchedStream
from deltaweir.errors import InvalidRequest
from deltaweir.meter.budget import AnyBudget, limit_of
from deltaweir.schema.record import plain
from deltaweir.sources.watched import AsyncWatchedSource, WatchedSource, is_stream, refused

__all__ = ["AsyncWatchedStream", "WatchedStream", "watch"]

T = TypeVar("T")


@overload
def watch(
    stream: Iterable[T],
    *,
    model: str | None = None,
    prompt: str | Sequence[Mapping[str, Any]] | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    budget: AnyBudget = None,
    guard: AnyGuard = None,
) -> WatchedStream[T]: ...


@overload
def watch(
    stream: AsyncIterable[T] | Awaitable[AsyncIterable[T]],
    *,
    model: str | None = None,
    prompt: str | Sequence[Mapping[str, Any]] | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    budget: AnyBudget = None,
    guard: AnyGuard = None,
) -> AsyncWatchedStream[T]: ...


def watch(
    stream: Any,
    *,
    model: str | None = None,
    prompt: str | Sequence[Mapping[str, Any]] | None = None,
    tools: Sequence[Mapping[str, Any]] | None = None,
    budget: AnyBudget = None,
    guard: AnyGuard = None,
) -> Any:
    """Return somebody else's stream, counted and limited while it is read.

    Iterate over what is returned instead of the stream: the same objects come, at once.

    Args:
        stream: Chunks as OpenAI has them: of the openai package (any version), of LiteLLM,
            dicts, our own. An iterator, an async iterator, or a coroutine that gives one and
            was not awaited. What is both is read as an async one where a loop is running.
        model: The model that was asked for, for its vocabulary and its price; None takes the
            name that the chunks bear, and so does what nobody knows, such as a deployment's.
        prompt: The text or the messages that were sent. Without them the prompt's tokens and
            the cost are None until the provider reports its usage.
        tools: The tool definitions that were sent.
        budget: What the answer may use at most: ``{"tokens": n, "usd": x}``, ``"500tok"``.
        guard: What may not be shown: a preset such as ``"standard"``, a TOML file's path, rules,
            a `deltaweir.Guard`, or several. The prompt is not checked, since it was sent already.

    Raises:
        InvalidRequest: It is no stream but a whole reply or something else; or the budget, the
            guard or the prompt is none. A coroutine is closed then, so that nothing is spent.
        BudgetExceeded: The prompt alone costs more than the budget; likewise.
    """
    if not is_stream(stream):
        raise refused(stream)
    source: AsyncWatchedSource | WatchedSource
    source = AsyncWatchedSource(stream) if _awaits(stream) else WatchedSource(stream)
    try:
        filtering = Guarded(ready_policy(guard), ()).stream()
        metered = metering(ModelBasis(_asked(prompt, tools)), model, limit_of(budget))
    except BaseException:
        source.close()
        raise
    if isinstance(source, AsyncWatchedSource):
        return AsyncWatchedStream[Any](source, metered=metered, guard=filtering)
    return WatchedStream[Any](source, metered=metered, guard=filtering)


def _awaits(stream: Any) -> bool:
    if hasattr(stream, "__await__"):
        return True
    if not hasattr(stream, "__aiter__"):
        return False
    if not hasattr(stream, "__iter__"):
        return True
    try:  # LiteLLM's streams are both
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _asked(prompt: Any, tools: Any) -> Asked | None:
    if prompt is None:
        return None
    if isinstance(prompt, str):
        return Asked(prompt=prompt)
    if not isinstance(prompt, Sequence) or isinstance(prompt, bytes | bytearray):
        raise InvalidRequest(
            f"got a prompt of type {type(prompt).__name__}, expected a text or messages",
            param="prompt",
        )
    read = plain(prompt)
    if all(isinstance(message, Mapping) for message in read):
        return Asked(messages=read, tools=plain(tools))
    return Asked(prompt=read)
