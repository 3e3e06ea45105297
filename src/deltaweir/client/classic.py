"""The surface that made streaming popular: ``ChatCompletion.create(stream=True)``.

As the openai package had it before 1.0: calls on classes, settings on the module, true
generators, and chunks that are dicts with attributes. Code of that time tells chunks from
replies with ``inspect.isgenerator``, prints them, and pickles them; all of that works.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, Literal, overload

from deltaweir.client.classic_calls import classic_call
from deltaweir.client.classic_objects import (
    ClassicObject,
    WireChunk,
    WireReply,
    WireTextChunk,
    WireTextReply,
    classic_object,
)
from deltaweir.net.async_pool import AsyncPool
from deltaweir.schema.reply import Reply, TextReply


class ChatCompletion:
    """Chat completions, the classic way."""

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: Literal[True], **params: Any
    ) -> Generator[ClassicObject, None, None]: ...

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: Literal[False] = False, **params: Any
    ) -> ClassicObject: ...

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: bool, **params: Any
    ) -> Generator[ClassicObject, None, None] | ClassicObject: ...

    @classmethod
    def create(
        cls, model: str | None = None, *, stream: bool = False, **params: Any
    ) -> Generator[ClassicObject, None, None] | ClassicObject:
        """Answer a conversation.

        Without a provider every model name is answered by the embedded model, with one
        warning a process; the chunks tell its true name.

        Args:
            model: A model's name; ``engine=`` and ``deployment_id=`` mean the same.
            stream: Whether to return a generator of chunks.
            **params: ``messages`` and all else OpenAI's reference has;
                ``request_timeout`` in seconds; ``budget``, ``guard`` and ``record``, which
                act here and are never sent; ``resume=True``, by which a stream goes on when
                its connection broke, where its server offers that.

        Raises:
            InvalidRequest: A field is wrong, or a provider was asked for.
            GuardBlocked: The guard refuses the prompt; nothing was sent.
            ModelUnavailable: The embedded model cannot be had.
        """
        way, fields = classic_call(model, params)
        if stream:
            return _chunks(way.blocking.stream({**fields, "stream": True}, WireChunk, Reply))
        return classic_object(way.blocking.whole(fields, WireChunk, WireReply))

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: Literal[True], **params: Any
    ) -> AsyncGenerator[ClassicObject, None]: ...

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: Literal[False] = False, **params: Any
    ) -> ClassicObject: ...

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: bool, **params: Any
    ) -> AsyncGenerator[ClassicObject, None] | ClassicObject: ...

    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: bool = False, **params: Any
    ) -> AsyncGenerator[ClassicObject, None] | ClassicObject:
        """Answer a conversation, awaited; with ``stream=True`` an async generator.

        Raises:
            InvalidRequest: A field is wrong, or a provider was asked for.
            ModelUnavailable: The embedded model cannot be had.
        """
        way, fields = classic_call(model, params)
        dispatch = way.asynchronous()
        if stream:
            sent = {**fields, "stream": True}
            return _achunks(await dispatch.stream(sent, WireChunk, Reply), dispatch.pool)
        try:
            return classic_object(await dispatch.whole(fields, WireChunk, WireReply))
        finally:
            dispatch.pool.close()


class Completion:
    """Text completions, the classic way."""

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: Literal[True], **params: Any
    ) -> Generator[ClassicObject, None, None]: ...

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: Literal[False] = False, **params: Any
    ) -> ClassicObject: ...

    @overload
    @classmethod
    def create(
        cls, model: str | None = None, *, stream: bool, **params: Any
    ) -> Generator[ClassicObject, None, None] | ClassicObject: ...

    @classmethod
    def create(
        cls, model: str | None = None, *, stream: bool = False, **params: Any
    ) -> Generator[ClassicObject, None, None] | ClassicObject:
        """Complete a text; see `ChatCompletion.create`, with ``prompt`` for ``messages``.

        Raises:
            InvalidRequest: A field is wrong, or a provider was asked for.
            ModelUnavailable: The embedded model cannot be had.
        """
        way, fields = classic_call(model, params)
        if stream:
            sent = {**fields, "stream": True}
            return _chunks(way.blocking.stream(sent, WireTextChunk, TextReply))
        return classic_object(way.blocking.whole(fields, WireTextChunk, WireTextReply))

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: Literal[True], **params: Any
    ) -> AsyncGenerator[ClassicObject, None]: ...

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: Literal[False] = False, **params: Any
    ) -> ClassicObject: ...

    @overload
    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: bool, **params: Any
    ) -> AsyncGenerator[ClassicObject, None] | ClassicObject: ...

    @classmethod
    async def acreate(
        cls, model: str | None = None, *, stream: bool = False, **params: Any
    ) -> AsyncGenerator[ClassicObject, None] | ClassicObject:
        """Complete a text, awaited; with ``stream=True`` an async generator.

        Raises:
            InvalidRequest: A field is wrong, or a provider was asked for.
            ModelUnavailable: The embedded model cannot be had.
        """
        way, fields = classic_call(model, params)
        dispatch = way.asynchronous()
        if stream:
            sent = {**fields, "stream": True}
            return _achunks(await dispatch.stream(sent, WireTextChunk, TextReply), dispatch.pool)
        try:
            return classic_object(await dispatch.whole(fields, WireTextChunk, WireTextReply))
        finally:
            dispatch.pool.close()


def _chunks(stream: Any) -> Generator[ClassicObject, None, None]:
    with stream:
        for chunk in stream:
            yield classic_object(chunk)


async def _achunks(stream: Any, pool: AsyncPool) -> AsyncGenerator[ClassicObject, None]:
    """Read a stream, and then close its connection, since no later call could find it."""
    try:
        async with stream:
            async for chunk in stream:
                yield classic_object(chunk)
    finally:
        pool.close()
