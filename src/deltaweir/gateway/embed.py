"""Streams in a web application of one's own: a response, or the whole gateway mounted."""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from starlette.applications import Starlette
from starlette.responses import Response

from deltaweir.client.streams import AsyncStream, Stream
from deltaweir.errors import InvalidRequest
from deltaweir.gateway.app import application
from deltaweir.gateway.config.file import Config, embedded_config, load_config
from deltaweir.gateway.lanes.answer import Answer
from deltaweir.gateway.lanes.lane import Receive, Send
from deltaweir.gateway.service import Authorize, Gateway

HEARTBEAT_S = 15.0
"""Silence after which a comment is sent; proxies on the way give up after 30 to 100 s."""


class StreamResponse(Response):
    """A stream as a response of Starlette and FastAPI; made by `sse_response`."""

    def __init__(
        self,
        stream: AsyncStream[Any, Any] | Stream[Any, Any],
        *,
        headers: Mapping[str, str],
        heartbeat_s: float,
        annotate: bool,
    ) -> None:
        super().__init__(media_type="text/event-stream")
        self._stream = stream
        self._more_headers = headers
        self._heartbeat_s = heartbeat_s
        self._annotate = annotate

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the stream; a client that hangs up ends its computation."""
        stream = self._stream
        answer = Answer(
            stream if isinstance(stream, AsyncStream) else _Awaited(stream),
            receive,
            send,
            request_id=stream.request_id or f"req_{secrets.token_hex(12)}",
            heartbeat_s=self._heartbeat_s,
            annotate=self._annotate,
            usage_asked=stream.usage_asked,
            headers=self._more_headers,
        )
        await answer.stream()
        if self.background is not None:
            await self.background()


class _Awaited:
    """A stream for programs that block, read from a loop by way of threads."""

    def __init__(self, stream: Stream[Any, Any]) -> None:
        self._stream = stream
        self._chunks = stream._own()  # noqa: SLF001  # a watched stream has others

    def _own(self) -> _Awaited:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stream.close()

    def __aiter__(self) -> _Awaited:
        return self

    async def __anext__(self) -> Any:
        chunk = await asyncio.to_thread(next, self._chunks, None)
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def close(self) -> None:
        """End the stream; the thread that waits for it returns."""
        self._stream.close()


def sse_response(
    stream: AsyncStream[Any, Any] | Stream[Any, Any],
    *,
    headers: Mapping[str, str] | None = None,
    heartbeat_s: float = HEARTBEAT_S,
    annotate: bool = True,
) -> StreamResponse:
    """Return a stream as the response of a route in Starlette or FastAPI.

    The right headers, heartbeats in silence, an error event when it breaks, ``[DONE]`` when it
    is whole; a client that hangs up ends the computation. What fails before the first chunk
    is answered with its status; what ``create`` raises is the route's to answer.

    Args:
        stream: What a client's ``create(stream=True)`` returned.
        headers: Further headers.
        heartbeat_s: Seconds of silence before a heartbeat.
        annotate: Whether finish chunks carry usage and cost under ``deltaweir``.

    Raises:
        InvalidRequest: It is no stream of ours.
    """
    if not isinstance(stream, AsyncStream | Stream):
        raise _unfit(stream)
    return StreamResponse(stream, headers=headers or {}, heartbeat_s=heartbeat_s, annotate=annotate)


def _unfit(stream: Any) -> InvalidRequest:
    """Return the error for what cannot be sent; a coroutine ends, so that it never asks."""
    got, wanted = f"a {type(stream).__name__}", "a stream: create(..., stream=True)"
    if inspect.iscoroutine(stream):
        stream.close()
        got, wanted = "a coroutine", "the stream that it gives when it is awaited"
    elif hasattr(stream, "__iter__") or hasattr(stream, "__aiter__"):
        wanted += "; deltaweir.watch() makes one of others"
    return InvalidRequest(f"got {got}, expected {wanted}", param="stream")


def asgi(
    config: str | Path | Config | None = None, *, authorize: Authorize | None = None
) -> Starlette:
    """Return the whole gateway as an application to serve, or to mount under any prefix.

    It needs no lifespan of its host: models are loaded and the ledger is opened by the first
    request.

    Args:
        config: A TOML file or a configuration; None serves the embedded default.
        authorize: Takes the request and returns the name of its user, or None to refuse it;
            it may be a coroutine function.

    Raises:
        InvalidRequest: The configuration is not usable.
    """
    if config is None:
        config = embedded_config()
    elif not isinstance(config, Config):
        config = load_config(config)
    return application(Gateway(config, authorize=authorize))
