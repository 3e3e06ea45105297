"""The routes that answer completions: from a request's bytes to a stream with its row."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import msgspec

from deltaweir.client.counting import prompt_of
from deltaweir.client.destination import Settings
from deltaweir.client.embedded import Call, Prepared, best_of, call_of, prepare
from deltaweir.client.metering import engine_metering, weir_for
from deltaweir.client.streams import AsyncStream
from deltaweir.errors import DeltaweirError, InvalidRequest, ServiceUnavailable
from deltaweir.gateway.answer import Answer, Message, Receive, Send, send_error
from deltaweir.gateway.config import ModelConfig
from deltaweir.gateway.ledger import Ledger
from deltaweir.gateway.rows import StreamRow
from deltaweir.gateway.service import Gateway, Scope
from deltaweir.gateway.terms import Terms, terms_of
from deltaweir.meter.budget import check_prompt
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.schema.reply import Reply, TextReply
from deltaweir.sources.local.source import AsyncLocalSource

_MOST_USER_CHARS = 256
"""What is kept of the ``user`` of a request, since it stands in every row of the ledger."""


class Asked:
    """A checked request, with everything its stream needs."""

    def __init__(
        self, call: Call, model: ModelConfig, terms: Terms, *, user: str | None, name: str
    ) -> None:
        self.call = call
        self.model = model
        self.terms = terms
        said = call.request.user
        self.user = said and said[:_MOST_USER_CHARS] if user is None else user
        self.name = name
        """The model's name as the client used it."""


class Completions:
    """A route that answers completions, as plain ASGI: nothing stands between it and the wire."""

    def __init__(self, gateway: Gateway, *, chat: bool) -> None:
        self._gateway = gateway
        self._chat = chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = f"req_{secrets.token_hex(12)}"
        if scope["method"] != "POST":
            error = InvalidRequest("completions take POST", status=405, code="not_allowed")
            await send_error(send, error, request_id=request_id)
            return
        try:
            asked = await self._asked(scope, receive)
            # a model may have to be loaded, and a ledger opened, which takes seconds
            ready, ledger = await asyncio.to_thread(self._ready, asked)
            row = StreamRow(
                ledger,
                model=asked.name,
                upstream=f"embedded {asked.model.embedded}",
                user=asked.user,
                tag=asked.terms.tag,
                endpoint="chat" if self._chat else "text",
                streamed=bool(asked.call.request.stream),
            )
        except DeltaweirError as error:
            await send_error(send, error, request_id=request_id)
            return
        except ClientGoneError:
            return
        with row:
            try:
                stream = self._stream(asked, ready, request_id)
            except DeltaweirError as error:
                await send_error(send, error, request_id=request_id)
                return
            row.follow(stream)
            answer = self._answer(stream, receive, send, request_id=request_id)
            await self._sent(answer, asked, ready)

    async def _asked(self, scope: Scope, receive: Receive) -> Asked:
        gateway = self._gateway
        user = await gateway.user_of(scope)
        if gateway.draining:
            raise ServiceUnavailable("the server is stopping; ask again")
        body = await read_body(receive, int(gateway.config.server.max_body_mib * 2**20))
        fields = fields_of(body)
        for ours in ("budget", "guard"):
            # options of our clients, of which a guard could be a path; here both stand in
            # `deltaweir`, where a guard is a name
            fields.pop(ours, None)
        terms = terms_of(fields.pop("deltaweir", None), scope["headers"])
        named = fields.get("model")
        # of another type it is refused with the request
        model = gateway.model_for(named if isinstance(named, str) else None)
        call = await self._call(fields, (*model.guards, *terms.guards))
        call.request.model = model.embedded
        limit = call.limit.tighter(terms.limit).tighter(model.limit)
        return Asked(call._replace(limit=limit), model, terms, user=user, name=model.name)

    async def _call(self, fields: dict[str, Any], guards: tuple[str, ...]) -> Call:
        """Return the checked request; its prompt too, where guards look at it."""
        if not guards:
            return call_of(fields, chat=self._chat, settings=Settings())
        # rules may have to be compiled, and a long prompt takes its time
        return await asyncio.to_thread(self._guarded, fields, guards)

    def _guarded(self, fields: dict[str, Any], guards: tuple[str, ...]) -> Call:
        policy = self._gateway.guards.named(guards, param="deltaweir.guard")
        return call_of(fields, chat=self._chat, settings=Settings(guard=policy))

    def _ready(self, asked: Asked) -> tuple[Prepared, Ledger | None]:
        """Return all that the stream needs; blocks."""
        ready = prepare(asked.call)
        price, limit = asked.model.own_price, asked.call.limit
        if price is not None and limit.pico is not None:
            prompt = prompt_of(asked.call.request.model_dump())
            check_prompt(limit, price, prompt.tokens)
        return ready, self._gateway.ledger()

    async def _sent(self, answer: Answer, asked: Asked, ready: Prepared) -> None:
        """Send an answer, known to the gateway meanwhile."""
        self._gateway.answers.add(answer)
        try:
            if asked.call.request.stream:
                await answer.stream()
            else:
                await answer.whole(lambda reply: best_of(reply, ready) if not self._chat else reply)
        finally:
            self._gateway.answers.discard(answer)

    def _stream(self, asked: Asked, ready: Prepared, request_id: str) -> AsyncStream[Any, Any]:
        source: AsyncLocalSource[Any] = AsyncLocalSource(
            ready.planned,
            ready.weights,
            ready.engine,
            identity=ready.identity,
            created=ready.created,
        )
        metered = engine_metering(lambda: source.usage, ready.limit, asked.model.own_price)
        kind, reply_kind = (Chunk, Reply) if self._chat else (TextChunk, TextReply)
        return AsyncStream(
            source,
            reply_kind,
            weir=weir_for(kind, metered, ready.options, ready.guard.stream()),
            metering=metered,
            timeouts=ready.timeouts,
            request_id=request_id,
        )

    def _answer(
        self, stream: AsyncStream[Any, Any], receive: Receive, send: Send, *, request_id: str
    ) -> Answer:
        server = self._gateway.config.server
        return Answer(
            stream,
            receive,
            send,
            request_id=request_id,
            heartbeat_s=server.heartbeat_s,
            annotate=server.annotate,
            usage_asked=stream.usage_asked,
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


def fields_of(body: bytes) -> dict[str, Any]:
    """Return a request's fields.

    Raises:
        InvalidRequest: The body is not a JSON object.
    """
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"got a body of {len(body)} bytes that is not JSON") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("got a body that is not a JSON object")
    return fields
