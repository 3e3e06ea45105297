"""The client for programs that block: `Client`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from deltaweir.client.clocks import timeouts_of
from deltaweir.client.destination import check_destination
from deltaweir.client.embedded import Prepared, best_of, call_of, prepare
from deltaweir.client.options import ChatOptions, TextOptions
from deltaweir.client.streams import Stream
from deltaweir.models.progress import Progress
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.sources.local.source import LocalSource
from deltaweir.weir import Weir

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)


class Completions:
    """Text completions: ``client.completions``."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @overload
    def create(
        self,
        *,
        prompt: str | list[Any],
        stream: Literal[True],
        model: str | None = None,
        **options: Unpack[TextOptions],
    ) -> Stream[TextChunk, TextReply]: ...

    @overload
    def create(
        self,
        *,
        prompt: str | list[Any],
        stream: Literal[False] | None = None,
        model: str | None = None,
        **options: Unpack[TextOptions],
    ) -> TextReply: ...

    @overload
    def create(
        self,
        *,
        prompt: str | list[Any],
        stream: bool,
        model: str | None = None,
        **options: Unpack[TextOptions],
    ) -> Stream[TextChunk, TextReply] | TextReply: ...

    def create(
        self,
        *,
        prompt: str | list[Any],
        stream: bool | None = None,
        model: str | None = None,
        **options: Unpack[TextOptions],
    ) -> Stream[TextChunk, TextReply] | TextReply:
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
        prepared = self._client._prepare(
            {"prompt": prompt, "model": model, "stream": stream, **options}, chat=False
        )
        opened: Stream[TextChunk, TextReply] = _opened(prepared, TextChunk, TextReply)
        return opened if stream else best_of(_whole(opened), prepared)


class ChatCompletions:
    """Chat completions: ``client.chat.completions``."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @overload
    def create(
        self,
        *,
        messages: Iterable[Any],
        stream: Literal[True],
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> Stream[Chunk, Reply]: ...

    @overload
    def create(
        self,
        *,
        messages: Iterable[Any],
        stream: Literal[False] | None = None,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> Reply: ...

    @overload
    def create(
        self,
        *,
        messages: Iterable[Any],
        stream: bool,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> Stream[Chunk, Reply] | Reply: ...

    def create(
        self,
        *,
        messages: Iterable[Any],
        stream: bool | None = None,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> Stream[Chunk, Reply] | Reply:
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
        prepared = self._client._prepare(
            {"messages": messages, "model": model, "stream": stream, **options}, chat=True
        )
        opened: Stream[Chunk, Reply] = _opened(prepared, Chunk, Reply)
        return opened if stream else _whole(opened)


class Chat:
    """The namespace ``client.chat``."""

    def __init__(self, client: Client) -> None:
        self.completions = ChatCompletions(client)
        """Chat completions."""


class Client:
    """Ask models from programs that block.

    Args:
        base_url: A provider's address; this release knows none, and says so.
        api_key: A provider's key; likewise.
        timeout: Seconds for a whole answer; None for no limit.
        timeouts: Seconds by clock: connect, headers, first_content, stall, total.
        progress: Told about the download of a model; shown on a terminal unless given.

    Raises:
        InvalidRequest: An argument is malformed, or asks for a provider.

    Cheap to make, and safe to share between threads: the model stays in memory until the
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

    def close(self) -> None:
        """Let go of what the client holds; streams it opened go on."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _prepare(self, fields: dict[str, Any], *, chat: bool) -> Prepared:
        call = call_of(fields, chat=chat, timeouts=self._timeouts)
        return prepare(call, progress=self._progress)


def _opened(
    prepared: Prepared, kind: type[ChunkT], reply_kind: type[ReplyT]
) -> Stream[ChunkT, ReplyT]:
    source: LocalSource[ChunkT] = LocalSource(
        prepared.planned,
        prepared.weights,
        prepared.engine,
        identity=prepared.identity,
        created=prepared.created,
    )
    return Stream(
        source,
        reply_kind,
        weir=Weir(kind, usage_asked=prepared.usage_asked),
        timeouts=prepared.timeouts,
        request_id=prepared.request_id,
    )


def _whole(stream: Stream[ChunkT, ReplyT]) -> ReplyT:
    with stream:
        for _ in stream:
            pass
        return stream.reply()
