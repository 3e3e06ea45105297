"""Send calls on their way to the embedded model or a provider, for programs that await."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from deltaweir.client.destination import Settings, check_settings, provider_for
from deltaweir.client.embedded import Call, Prepared, best_of, call_of, embedded_models, prepare
from deltaweir.client.metering import Metering, engine_metering, text_metering, weir_for
from deltaweir.client.playback import is_replay, play_async, played_of
from deltaweir.client.provider import Provider
from deltaweir.client.recorder import recorded, recording, wanted
from deltaweir.client.requests import (
    ModelList,
    RemoteCall,
    model_list_call,
    only_model,
    remote_call,
    streamed,
)
from deltaweir.client.streams import AsyncStream
from deltaweir.client.whole import RecordT
from deltaweir.models.progress import Progress
from deltaweir.models.weights import is_embedded
from deltaweir.net.async_pool import AsyncPool
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.schema.request import AnyRequest
from deltaweir.sources.fetch import fetch_async
from deltaweir.sources.local.source import AsyncLocalSource
from deltaweir.sources.resuming import async_remote_source

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)
T = TypeVar("T")


class AsyncDispatch:
    """Answer a client's calls.

    Args:
        settings: What the client was told.
        pool: Its connections.
        progress: Told about the download of a model; shown on a terminal unless given.

    Raises:
        InvalidRequest: No request could be made with these settings.
    """

    def __init__(self, settings: Settings, pool: AsyncPool, progress: Progress | None) -> None:
        check_settings(settings)
        self.settings = settings
        self.pool = pool
        self.progress = progress
        self._only_model: str | None = None

    async def models(self) -> ModelList:
        """Return the provider's models, or those that can be embedded.

        Raises:
            DeltaweirError: The provider refused, or cannot be reached.
        """
        provider = self.provider(None)
        if provider is None:
            return embedded_models()
        return await self.fetch(model_list_call(provider, self.settings), ModelList)

    def provider(self, model: str | None) -> Provider | None:
        """Return the provider that a model's prompts go to; None for the embedded model."""
        return provider_for(
            self.settings, os.environ, embedded=isinstance(model, str) and is_embedded(model)
        )

    async def stream(
        self, fields: dict[str, Any], kind: type[ChunkT], reply_kind: type[ReplyT]
    ) -> AsyncStream[ChunkT, ReplyT]:
        """Return a streamed reply.

        Args:
            fields: The request, options of ours among them.
            kind: The chunk type, which tells the endpoint.
            reply_kind: The reply type.

        Raises:
            DeltaweirError: The request cannot be sent, or the model cannot be had.
        """
        with recording(fields, self.settings, kind) as recorder:
            stream, request = await self._stream(fields, kind, reply_kind)
            return recorded(stream, recorder, request)

    async def _stream(
        self, fields: dict[str, Any], kind: type[ChunkT], reply_kind: type[ReplyT]
    ) -> tuple[AsyncStream[ChunkT, ReplyT], AnyRequest | None]:
        """Return a streamed reply, and the request as it was sent."""
        if is_replay(fields.get("model"), self.settings):
            played = await _in_thread(lambda: played_of(fields, self.settings, kind))
            return play_async(played, kind, reply_kind), played.request
        provider = self.provider(fields.get("model"))
        if provider is None:
            prepared = await self._prepared(fields, kind)
            return self._embedded(prepared, kind, reply_kind), prepared.request
        call = await self._call(fields, provider, kind)
        return await self._remote(call, provider, kind, reply_kind), call.request

    async def _remote(
        self, call: RemoteCall, provider: Provider, kind: type[ChunkT], reply_kind: type[ReplyT]
    ) -> AsyncStream[ChunkT, ReplyT]:
        def measured() -> Metering:
            return text_metering(call.request, call.limit, base_url=provider.base_url)

        # a limit needs a vocabulary, which takes a while to load
        metered = await _in_thread(measured) if call.limit else measured()
        return AsyncStream(
            async_remote_source(
                call.sent,
                kind,
                self.pool,
                connect_s=call.timeouts.connect,
                resumption=call.resumption,
            ),
            reply_kind,
            weir=weir_for(kind, metered, call.request.stream_options, call.guard.stream()),
            metering=metered,
            timeouts=call.timeouts,
            request_id=call.sent.request_id,
        )

    async def whole(
        self, fields: dict[str, Any], kind: type[ChunkT], reply_kind: type[ReplyT]
    ) -> ReplyT:
        """Return a whole reply; see `stream`."""
        if (
            is_replay(fields.get("model"), self.settings)
            or wanted(fields, self.settings) is not None
        ):
            async with await self.stream(streamed(fields, "recording"), kind, reply_kind) as played:
                async for _ in played:
                    pass
                return played.whole_reply()
        provider = self.provider(fields.get("model"))
        if provider is not None:
            call = await self._call(fields, provider, kind)
            if not (call.limit or call.guard.reads_answers):
                return await self.fetch(call, reply_kind)
            async with await self._remote(call, provider, kind, reply_kind) as stream:
                async for _ in stream:
                    pass
                return stream.whole_reply()
        prepared = await self._prepared(fields, kind)
        async with self._embedded(prepared, kind, reply_kind) as stream:
            async for _ in stream:
                pass
            return best_of(stream.whole_reply(), prepared)

    async def _prepared(self, fields: dict[str, Any], kind: type[Any]) -> Prepared:
        def checked() -> Call:
            return call_of(fields, chat=issubclass(kind, Chunk), settings=self.settings)

        call = await _in_thread(checked) if self._takes_time(fields) else checked()
        return await _in_thread(lambda: prepare(call, progress=self.progress))

    def _embedded(
        self, prepared: Prepared, kind: type[ChunkT], reply_kind: type[ReplyT]
    ) -> AsyncStream[ChunkT, ReplyT]:
        source: AsyncLocalSource[ChunkT] = AsyncLocalSource(
            prepared.planned,
            prepared.weights,
            prepared.engine,
            identity=prepared.identity,
            created=prepared.created,
        )
        metered = engine_metering(lambda: source.usage, prepared.limit)
        return AsyncStream(
            source,
            reply_kind,
            weir=weir_for(kind, metered, prepared.options, prepared.guard.stream()),
            metering=metered,
            timeouts=prepared.timeouts,
            request_id=prepared.request_id,
        )

    async def _call(
        self, fields: dict[str, Any], provider: Provider, kind: type[Any]
    ) -> RemoteCall:
        if fields.get("model") is None:
            fields = {**fields, "model": await self._model_of(provider)}

        def made() -> RemoteCall:
            return remote_call(
                fields, provider, chat=issubclass(kind, Chunk), settings=self.settings
            )

        return await _in_thread(made) if self._takes_time(fields) else made()

    def _takes_time(self, fields: dict[str, Any]) -> bool:
        """Tell whether a guard's rules may have to be read, or a prompt to be gone through."""
        return fields.get("guard") is not None or bool(self.settings.guard)

    async def _model_of(self, provider: Provider) -> str:
        """Return the model to ask where the caller names none."""
        named = os.environ.get("DELTAWEIR_MODEL") or self._only_model
        if named is None:
            found = await self.fetch(model_list_call(provider, self.settings), ModelList)
            named = self._only_model = only_model(found)
        return named

    async def fetch(self, call: RemoteCall, kind: type[RecordT]) -> RecordT:
        """Wait for an answer in one piece."""
        return await fetch_async(call.sent, kind, self.pool, call.timeouts)


async def _in_thread(work: Callable[[], T]) -> T:
    """Wait for work that blocks, in a thread that nobody waits for when the program ends.

    The loop's own threads are joined when it closes, and so would keep an interrupted program
    until a download is complete.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():  # cancelled
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(cast("T", result))

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # raised again where it is awaited
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, name="deltaweir-prepare", daemon=True).start()
    return await done
