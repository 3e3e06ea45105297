"""The client for asyncio programs: `AsyncClient`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

from deltaweir.adapters.guards import AnyGuard
from deltaweir.client.async_dispatch import AsyncDispatch
from deltaweir.client.clocks import timeouts_of
from deltaweir.client.destination import Settings, changed
from deltaweir.client.guarding import ready_policy, with_policy
from deltaweir.client.options import ChatOptions, ClientOptions, TextOptions
from deltaweir.client.provider import RETRIES
from deltaweir.client.requests import ModelList
from deltaweir.client.streams import AsyncStream
from deltaweir.meter.budget import AnyBudget, limit_of
from deltaweir.models.progress import Progress
from deltaweir.net.async_pool import AsyncPool
from deltaweir.recorded_request import AnyRecord
from deltaweir.recording import AnySpeed
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply


class Completions:
    """Text completions: ``client.completions``."""

    def __init__(self, dispatch: AsyncDispatch) -> None:
        self._dispatch = dispatch

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
            **options: As OpenAI's reference has them, the clocks ``timeout``,
                ``timeouts``, ``budget``, ``guard``, ``record``, ``replay_speed``.

        Returns:
            A stream of chunks with ``stream=True``, else the whole reply.

        Raises:
            InvalidRequest: A field is wrong, or the model cannot do what it asks.
            GuardBlocked: The guard refuses the prompt; nothing was sent.
            ModelNotFound: No model has this name.
            ModelUnavailable: The model's weights or engine cannot be had.
            ContextLengthExceeded: The prompt is too long; where its length alone does not tell,
                raised by the first wait.
        """
        fields = {"prompt": prompt, "model": model, "stream": stream, **options}
        if stream:
            return await self._dispatch.stream(fields, TextChunk, TextReply)
        return await self._dispatch.whole(fields, TextChunk, TextReply)


class ChatCompletions:
    """Chat completions: ``client.chat.completions``."""

    def __init__(self, dispatch: AsyncDispatch) -> None:
        self._dispatch = dispatch

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
            **options: As OpenAI's reference has them, the clocks ``timeout``,
                ``timeouts``, ``budget``, ``guard``, ``record``, ``replay_speed``.

        Returns:
            A stream of chunks with ``stream=True``, else the whole reply.

        Raises:
            InvalidRequest: A field is wrong, or the model cannot do what it asks.
            GuardBlocked: The guard refuses the prompt; nothing was sent.
            ModelNotFound: No model has this name.
            ModelUnavailable: The model's weights or engine cannot be had.
            ContextLengthExceeded: The prompt is too long; where its length alone does not tell,
                raised by the first wait.
        """
        fields = {"messages": messages, "model": model, "stream": stream, **options}
        if stream:
            return await self._dispatch.stream(fields, Chunk, Reply)
        return await self._dispatch.whole(fields, Chunk, Reply)


class Chat:
    """The namespace ``client.chat``."""

    def __init__(self, dispatch: AsyncDispatch) -> None:
        self.completions = ChatCompletions(dispatch)
        """Chat completions."""


class Models:
    """The models that can be asked: ``client.models``."""

    def __init__(self, dispatch: AsyncDispatch) -> None:
        self._dispatch = dispatch

    async def list(self) -> ModelList:
        """Return the provider's models, or those that can be embedded.

        Raises:
            DeltaweirError: The provider refused, or cannot be reached.
        """
        return await self._dispatch.models()


class AsyncClient:
    """Ask models from asyncio programs.

    Without a provider, neither here nor in the environment, the embedded model answers.

    Args:
        base_url: A provider's address, such as ``https://api.openai.com/v1``.
        api_key: Its key; alone it is OpenAI's.
        organization: Sent as ``OpenAI-Organization``.
        project: Sent as ``OpenAI-Project``.
        default_headers: Sent with every request.
        default_query: Appended to every address, such as Azure's ``api-version``.
        max_retries: How often a request is sent again before content has come; 2 unless told.
        timeout: Seconds for a whole answer; None for no limit.
        timeouts: Seconds by clock: connect, headers, first_content, stall, total.
        budget: What each answer may use: ``{"tokens": n, "usd": x}``, or ``"500tok"``; never sent.
        guard: What may not leave, in prompts and answers: a preset (``"standard"``, ``"secrets"``,
            ``"pii"``), a TOML file's path, rules, a `deltaweir.Guard`, or several; never sent.
        record: A folder in which each answer is recorded; see `deltaweir.record`.
        replay_speed: The pace of a ``replay:FILE`` as a factor; 0 or ``"max"`` for at once.
        resume: Whether streams go on by a new connection when theirs broke; see `Stream`.
        proxy: An HTTP proxy; None asks the environment, an empty text uses none.
        ca_file: Certificates to trust instead of the system's, a PEM file.
        progress: Told about the download of a model; shown on a terminal unless given.

    Raises:
        InvalidRequest: An argument is malformed.

    Cheap to make, and made for one event loop. Connections are kept for the next
    request; an embedded model stays in memory until the process ends.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, str] | None = None,
        max_retries: int = RETRIES,
        timeout: float | None = None,
        timeouts: Mapping[str, float | None] | None = None,
        budget: AnyBudget = None,
        guard: AnyGuard = None,
        record: AnyRecord = None,
        replay_speed: AnySpeed = None,
        resume: bool = False,
        proxy: str | None = None,
        ca_file: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        settings = Settings(
            base_url=base_url,
            api_key=api_key,
            organization=organization,
            project=project,
            headers=default_headers,
            query=default_query,
            retries=max_retries,
            timeouts=timeouts_of(timeouts, timeout),
            limit=limit_of(budget),
            guard=ready_policy(guard),
            record=record,
            replay_speed=replay_speed,
            resume=resume,
        )
        self._begin(AsyncDispatch(settings, AsyncPool(proxy=proxy, ca_file=ca_file), progress))

    def _begin(self, dispatch: AsyncDispatch) -> None:
        self._dispatch = dispatch
        self.chat = Chat(dispatch)
        """Chat completions, under ``.completions``."""
        self.completions = Completions(dispatch)
        """Text completions."""
        self.models = Models(dispatch)
        """The models that can be asked."""

    def with_options(self, **changes: Unpack[ClientOptions]) -> Self:
        """Return a client with some options changed; it shares this one's connections.

        Args:
            **changes: Options of the client by name, such as ``budget``.

        Raises:
            InvalidRequest: A value is malformed.
        """
        other = copy.copy(self)
        mine = self._dispatch
        settings = changed(mine.settings, with_policy(changes))
        other._begin(AsyncDispatch(settings, mine.pool, mine.progress))  # noqa: SLF001  # same class
        return other

    async def close(self) -> None:
        """Close the connections that wait for another request; streams go on."""
        self._dispatch.pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
