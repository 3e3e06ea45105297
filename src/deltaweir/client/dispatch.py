"""Send calls on their way to the embedded model or a provider, for programs that block."""

from __future__ import annotations

import os
from typing import Any, TypeVar

from deltaweir.client.destination import Settings, check_settings, provider_for
from deltaweir.client.embedded import Prepared, best_of, call_of, embedded_models, prepare
from deltaweir.client.metering import engine_metering, text_metering, weir_for
from deltaweir.client.playback import is_replay, play, played_of
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
from deltaweir.client.streams import Stream
from deltaweir.client.whole import RecordT
from deltaweir.models.progress import Progress
from deltaweir.models.weights import is_embedded
from deltaweir.net.blocking import Pool
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.schema.request import AnyRequest
from deltaweir.sources.fetch import fetch
from deltaweir.sources.local.source import LocalSource
from deltaweir.sources.resuming import remote_source

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
ReplyT = TypeVar("ReplyT", bound=Reply | TextReply)


class Dispatch:
    """Answer a client's calls.

    Args:
        settings: What the client was told.
        pool: Its connections.
        progress: Told about the download of a model; shown on a terminal unless given.

    Raises:
        InvalidRequest: No request could be made with these settings.
    """

    def __init__(self, settings: Settings, pool: Pool, progress: Progress | None) -> None:
        check_settings(settings)
        self.settings = settings
        self.pool = pool
        self.progress = progress
        self._only_model: str | None = None

    def models(self) -> ModelList:
        """Return the provider's models, or those that can be embedded.

        Raises:
            DeltaweirError: The provider refused, or cannot be reached.
        """
        provider = self.provider(None)
        if provider is None:
            return embedded_models()
        return self.fetch(model_list_call(provider, self.settings), ModelList)

    def provider(self, model: str | None) -> Provider | None:
        """Return the provider that a model's prompts go to; None for the embedded model."""
        return provider_for(
            self.settings, os.environ, embedded=isinstance(model, str) and is_embedded(model)
        )

    def stream(
        self, fields: dict[str, Any], kind: type[ChunkT], reply_kind: type[ReplyT]
    ) -> Stream[ChunkT, ReplyT]:
        """Return a streamed reply.

        Args:
            fields: The request, options of ours among them.
            kind: The chunk type, which tells the endpoint.
            reply_kind: The reply type.

        Raises:
            DeltaweirError: The request cannot be sent, or the model cannot be had.
        """
        with recording(fields, self.settings, kind) as recorder:
            stream, request = self._stream(fields, kind, reply_kind)
            return recorded(stream, recorder, request)

    def _stream(
        self, fields: dict[str, Any], kind: type[ChunkT], reply_kind: type[ReplyT]
    ) -> tuple[Stream[ChunkT, ReplyT], AnyRequest | None]:
        """Return a streamed reply, and the request as it was sent."""
        if is_replay(fields.get("model"), self.settings):
            played = played_of(fields, self.settings, kind)
            return play(played, kind, reply_kind), played.request
        provider = self.provider(fields.get("model"))
        if provider is None:
            prepared = self._prepared(fields, kind)
            return self._embedded(prepared, kind, reply_kind), prepared.request
        call = self._call(fields, provider, kind)
        return self._remote(call, provider, kind, reply_kind), call.request

    def _remote(
        self, call: RemoteCall, provider: Provider, kind: type[ChunkT], reply_kind: type[ReplyT]
    ) -> Stream[ChunkT, ReplyT]:
        metered = text_metering(call.request, call.limit, base_url=provider.base_url)
        return Stream(
            remote_source(
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

    def whole(self, fields: dict[str, Any], kind: type[ChunkT], reply_kind: type[ReplyT]) -> ReplyT:
        """Return a whole reply; see `stream`."""
        if (
            is_replay(fields.get("model"), self.settings)
            or wanted(fields, self.settings) is not None
        ):
            with self.stream(streamed(fields, "recording"), kind, reply_kind) as played:
                for _ in played:
                    pass
                return played.whole_reply()
        provider = self.provider(fields.get("model"))
        if provider is not None:
            call = self._call(fields, provider, kind)
            if not (call.limit or call.guard.reads_answers):
                return self.fetch(call, reply_kind)
            with self._remote(call, provider, kind, reply_kind) as stream:
                for _ in stream:
                    pass
                return stream.whole_reply()
        prepared = self._prepared(fields, kind)
        with self._embedded(prepared, kind, reply_kind) as stream:
            for _ in stream:
                pass
            return best_of(stream.whole_reply(), prepared)

    def _prepared(self, fields: dict[str, Any], kind: type[Any]) -> Prepared:
        call = call_of(fields, chat=issubclass(kind, Chunk), settings=self.settings)
        return prepare(call, progress=self.progress)

    def _embedded(
        self, prepared: Prepared, kind: type[ChunkT], reply_kind: type[ReplyT]
    ) -> Stream[ChunkT, ReplyT]:
        source: LocalSource[ChunkT] = LocalSource(
            prepared.planned,
            prepared.weights,
            prepared.engine,
            identity=prepared.identity,
            created=prepared.created,
        )
        metered = engine_metering(lambda: source.usage, prepared.limit)
        return Stream(
            source,
            reply_kind,
            weir=weir_for(kind, metered, prepared.options, prepared.guard.stream()),
            metering=metered,
            timeouts=prepared.timeouts,
            request_id=prepared.request_id,
        )

    def _call(self, fields: dict[str, Any], provider: Provider, kind: type[Any]) -> RemoteCall:
        if fields.get("model") is None:
            fields = {**fields, "model": self._model_of(provider)}
        return remote_call(fields, provider, chat=issubclass(kind, Chunk), settings=self.settings)

    def _model_of(self, provider: Provider) -> str:
        """Return the model to ask where the caller names none."""
        named = os.environ.get("DELTAWEIR_MODEL") or self._only_model
        if named is None:
            found = self.fetch(model_list_call(provider, self.settings), ModelList)
            named = self._only_model = only_model(found)
        return named

    def fetch(self, call: RemoteCall, kind: type[RecordT]) -> RecordT:
        """Wait for an answer in one piece."""
        return fetch(call.sent, kind, self.pool, call.timeouts)
