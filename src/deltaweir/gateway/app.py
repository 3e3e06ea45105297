"""The gateway as an ASGI application: its routes, and what each answers."""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deltaweir.client.clocks import Timeouts
from deltaweir.client.embedded import Call, Prepared, best_of, call_of, prepare
from deltaweir.client.streams import AsyncStream
from deltaweir.errors import (
    AuthenticationFailed,
    DeltaweirError,
    InvalidRequest,
    ModelNotFound,
    ServiceUnavailable,
)
from deltaweir.gateway.answer import Answer, Message, Receive, Send, send_error
from deltaweir.gateway.config import Config
from deltaweir.gateway.openapi import document
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.frames import error_body
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.sources.local.source import AsyncLocalSource
from deltaweir.weir import Weir

Scope = Any
Authorize = Callable[[Request], str | Awaitable[str | None] | None]
"""Takes a request and returns its user's name, or None to refuse it."""


class Gateway:
    """The state behind the routes: the models, and the streams that run.

    Args:
        config: What to serve.
        authorize: Takes a request and returns its user's name, None to refuse it.

    Attributes:
        answers: The replies on their way.
        draining: Whether new requests are refused since the server stops.
    """

    def __init__(self, config: Config, *, authorize: Authorize | None = None) -> None:
        self.config = config
        self._authorize = authorize
        self.answers: set[Answer] = set()
        self.draining = False
        self._models = {model.name: model.embedded for model in config.models}

    def application(self) -> Starlette:
        """Return the routes as an ASGI application, to be served or mounted."""
        origins = list(self.config.server.cors_origins)
        cors = Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "x-deltaweir-stream-id"],
        )
        return Starlette(
            routes=[
                Route("/v1/chat/completions", _Endpoint(self, chat=True)),
                Route("/v1/completions", _Endpoint(self, chat=False)),
                Route("/v1/models", self._list_models),
                Route("/v1/models/{name:path}", self._model),
                Route("/healthz", self._health),
                Route("/readyz", self._ready),
                Route("/openapi.json", self._openapi),
            ],
            middleware=[cors] if origins else [],
            exception_handlers={404: _not_found, 405: _not_allowed},
        )

    def embedded_for(self, name: str | None) -> str:
        """Return the embedded model behind a name; the first model where none is named.

        Raises:
            ModelNotFound: No model has this name.
        """
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            raise ModelNotFound(
                f"no model is called {name[:80]!r}; this server has: {', '.join(self._models)}",
                param="model",
            )
        return self._models[name]

    async def user_of(self, scope: Scope) -> str | None:
        """Return who asks, as the host knows them; None where nobody checks.

        Raises:
            AuthenticationFailed: The host refuses the request.
        """
        if self._authorize is None:
            return None
        user = self._authorize(Request(scope))
        if inspect.isawaitable(user):
            user = await user
        if user is None:
            raise AuthenticationFailed("this request is not authorised")
        return user

    def stop_answers(self) -> None:
        """End every stream that still runs; each client is told."""
        for answer in [*self.answers]:
            answer.stop()

    async def _list_models(self, request: Request) -> Response:
        try:
            await self.user_of(request.scope)
        except DeltaweirError as error:
            return _refusal(error)
        return _json({"object": "list", "data": [_model(name) for name in self._models]})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            await self.user_of(request.scope)
            self.embedded_for(name)
        except DeltaweirError as error:
            return _refusal(error)
        return _json(_model(name))

    async def _health(self, _request: Request) -> Response:
        return _json({"status": "ok"})

    async def _ready(self, _request: Request) -> Response:
        if self.draining:
            return _json({"status": "stopping"}, 503)
        return _json({"status": "ready"})

    async def _openapi(self, _request: Request) -> Response:
        return _json(document(list(self._models)))


class _Endpoint:
    """A route that answers completions, as plain ASGI: nothing stands between it and the wire."""

    def __init__(self, gateway: Gateway, *, chat: bool) -> None:
        self._gateway = gateway
        self._chat = chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = f"req_{secrets.token_hex(12)}"
        if scope["method"] != "POST":
            await _not_allowed_here(send, request_id)
            return
        try:
            await self._gateway.user_of(scope)
            prepared = await self._prepared(receive)
        except DeltaweirError as error:
            await send_error(send, error, request_id=request_id)
            return
        except ClientGoneError:
            return
        call, ready = prepared
        answer = self._answer(ready, receive, send, request_id=request_id)
        self._gateway.answers.add(answer)
        try:
            if call.request.stream:
                await answer.stream()
            else:
                await answer.whole(lambda reply: best_of(reply, ready) if not self._chat else reply)
        finally:
            self._gateway.answers.discard(answer)

    async def _prepared(self, receive: Receive) -> tuple[Call, Prepared]:
        gateway = self._gateway
        if gateway.draining:
            raise ServiceUnavailable("the server is stopping; ask again")
        body = await read_body(receive, int(gateway.config.server.max_body_mib * 2**20))
        call = call_of(_fields(body), chat=self._chat, timeouts=Timeouts())
        call.request.model = gateway.embedded_for(call.request.model)
        # a model may have to be loaded, which takes seconds
        return call, await asyncio.to_thread(prepare, call)

    def _answer(self, ready: Prepared, receive: Receive, send: Send, *, request_id: str) -> Answer:
        server = self._gateway.config.server
        source: AsyncLocalSource[Any] = AsyncLocalSource(
            ready.planned,
            ready.weights,
            ready.engine,
            identity=ready.identity,
            created=ready.created,
        )
        kind, reply_kind = (Chunk, Reply) if self._chat else (TextChunk, TextReply)
        stream: AsyncStream[Any, Any] = AsyncStream(
            source,
            reply_kind,
            weir=Weir(kind, usage_asked=ready.usage_asked),
            timeouts=ready.timeouts,
            request_id=request_id,
        )
        return Answer(
            stream,
            receive,
            send,
            request_id=request_id,
            heartbeat_s=server.heartbeat_s,
            annotate=server.annotate,
            usage_asked=ready.usage_asked,
        )


class ClientGoneError(Exception):
    """The client hung up before its request was whole."""


async def read_body(receive: Receive, limit_bytes: int) -> bytes:
    """Return a request's body.

    Raises:
        InvalidRequest: It is larger than the limit (413).
        ClientGoneError: The client hung up.
    """
    pieces: list[bytes] = []
    size = 0
    more = True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit_bytes:
            raise InvalidRequest(
                f"the request is larger than {limit_bytes} bytes", status=413, code="too_large"
            )
        pieces.append(piece)
        more = message.get("more_body", False)
    return b"".join(pieces)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidRequest(f"got a body of {len(body)} bytes that is not JSON") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("got a body that is not a JSON object")
    return fields


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _refusal(error: DeltaweirError) -> Response:
    return Response(error_body(error), error.status, media_type="application/json")


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "deltaweir"}


async def _not_found(request: Request, _error: Exception) -> Response:
    error = InvalidRequest(f"there is no {request.url.path}", status=404, code="not_found")
    return _refusal(error)


async def _not_allowed(request: Request, _error: Exception) -> Response:
    error = InvalidRequest(
        f"{request.url.path} does not take {request.method}", status=405, code="not_allowed"
    )
    return _refusal(error)


async def _not_allowed_here(send: Send, request_id: str) -> None:
    error = InvalidRequest("completions take POST", status=405, code="not_allowed")
    await send_error(send, error, request_id=request_id)
