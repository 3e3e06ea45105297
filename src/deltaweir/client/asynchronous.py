"""The client for asyncio programs: `AsyncClient`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from deltaweir.client.clocks import timeouts_of
from deltaweir.client.destination import check_destination
from deltaweir.client.embedded import Prepared, best_of, call_of, prepare
from deltaweir.client.options import ChatOptions, TextOptions
from deltaweir.client.streams import AsyncStream
from deltaweir.models.progress import Progress
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.sources.local.source import AsyncLocalSource
from deltaweir.weir import Weir

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)


class Completions:
    """Text completions: ``client.completions``."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    @overload
    async def create(
        self,
        *,
        prompt: str | list[Any],
        stream: Literal[True],
        model: str | None = None,
        **options: Unpack[TextOptions],
    ) -> AsyncStream[TextChunk, TextReply]: ...

    @overload
    async def create(
        self,
        *,
        prompt: str | list[Any],
        stream: Literal[False] | None = None,
        model: str | None = None,
        **options: Unpack[TextOptions],
    ) -> TextReply: ...

    @overload
    async def create(
        self,
        *,
        prompt: str | list[Any],
        stream: bool,
        model: str | None = None,
        **options: Unpack[TextOptions],
    ) -> AsyncStream[TextChunk, TextReply] | TextReply: ...

    async def create(
        self,
        *,
        prompt: str | list[Any],
        stream: bool | None = None,
        model: str | None = None,
        **options: Unpack[TextOptions],
    ) -> AsyncStream[TextChunk, TextReply] | TextReply:
        """Complete a text.

        Args:
            prompt: A text, several texts, or token ids.
            stream: Whether to return the reply while it arrives.
            model: An embedded model's name or GGUF path; the embedded default unless told.
            **options: As OpenAI's reference has them, and the clocks ``timeout``, ``timeouts``.

        Returns:
            A stream of chunks with ``stream=True``, else the whole reply.

        Raises:
            InvalidRequest: A field is wrong, or the model cannot do what it asks.
            ModelNotFound: No model has this name.
            ModelUnavailable: The model's weights or engine cannot be had.
            ContextLengthExceeded: The prompt is too long; raised by the first wait.
        """
        prepared = await self._client._prepare(
            {"prompt": prompt, "model": model, "stream": stream, **options}, chat=False
        )
        opened: AsyncStream[TextChunk, TextReply] = _opened(prepared, TextChunk, TextReply)
        return opened if stream else best_of(await _whole(opened), prepared)


class ChatCompletions:
    """Chat completions: ``client.chat.completions``."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Any],
        stream: Literal[True],
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncStream[Chunk, Reply]: ...

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Any],
        stream: Literal[False] | None = None,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> Reply: ...

    @overload
    async def create(
        self,
        *,
        messages: Iterable[Any],
        stream: bool,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncStream[Chunk, Reply] | Reply: ...

    async def create(
        self,
        *,
        messages: Iterable[Any],
        stream: bool | None = None,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncStream[Chunk, Reply] | Reply:
        """Answer a conversation.

        Args:
            messages: The conversation: mappings with role and content, or messages of
                earlier replies.
            stream: Whether to return the reply while it arrives.
            model: An embedded model's name or GGUF path; the embedded default unless told.
            **options: As OpenAI's reference has them, and the clocks ``timeout``, ``timeouts``.

        Returns:
            A stream of chunks with ``stream=True``, else the whole reply.

        Raises:
            InvalidRequest: A field is wrong, or the model cannot do what it asks.
            ModelNotFound: No model has this name.
            ModelUnavailable: The model's weights or engine cannot be had.
            ContextLengthExceeded: The prompt is too long; raised by the first wait.
        """
        prepared = await self._client._prepare(
            {"messages": messages, "model": model, "stream": stream, **options}, chat=True
        )
        opened: AsyncStream[Chunk, Reply] = _opened(prepared, Chunk, Reply)
        return opened if stream else await _whole(opened)


class Chat:
    """The namespace ``client.chat``."""

    def __init__(self, client: AsyncClient) -> None:
        self.completions = ChatCompletions(client)
        """Chat completions."""


class AsyncClient:
    """Ask models from asyncio programs.

    Args:
        base_url: A provider's address; this release knows none, and says so.
        api_key: A provider's key; likewise.
        timeout: Seconds for a whole answer; None for no limit.
        timeouts: Seconds by clock: connect, headers, first_content, stall, total.
        progress: Told about the download of a model; shown on a terminal unless given.

    Raises:
        InvalidRequest: An argument is malformed, or asks for a provider.

    Cheap to make, and safe to share between tasks: the model stays in memory until the
    process ends, whichever client asked for it first.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float | None = None,
        timeouts: Mapping[str, float | None] | None = None,
        progress: Progress | None = None,
    ) -> None:
        check_destination(base_url=base_url, api_key=api_key)
        self._timeouts = timeouts_of(timeouts, timeout)
        self._progress = progress
        self.chat = Chat(self)
        self.completions = Completions(self)

    async def close(self) -> None:
        """Let go of what the client holds; streams it opened go on."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _prepare(self, fields: dict[str, Any], *, chat: bool) -> Prepared:
        call = call_of(fields, chat=chat, timeouts=self._timeouts)
        return await asyncio.to_thread(prepare, call, progress=self._progress)


def _opened(
    prepared: Prepared, kind: type[ChunkT], reply_kind: type[ReplyT]
) -> AsyncStream[ChunkT, ReplyT]:
    source: AsyncLocalSource[ChunkT] = AsyncLocalSource(
        prepared.planned,
        prepared.weights,
        prepared.engine,
        identity=prepared.identity,
        created=prepared.created,
    )
    return AsyncStream(
        source,
        reply_kind,
        weir=Weir(kind, usage_asked=prepared.usage_asked),
        timeouts=prepared.timeouts,
        request_id=prepared.request_id,
    )


async def _whole(stream: AsyncStream[ChunkT, ReplyT]) -> ReplyT:
    async with stream:
        async for _ in stream:
            pass
        return stream.reply()
