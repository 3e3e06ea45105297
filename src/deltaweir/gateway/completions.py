"""The routes that answer completions: from a request's bytes to a stream with its row."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

import msgspec

from deltaweir.client.requests import new_request_id
from deltaweir.errors import DeltaweirError, InvalidRequest, ServiceUnavailable
from deltaweir.gateway.answer import STREAM_HEADERS, send_error, send_json
from deltaweir.gateway.answering import Answering, EmbeddedAnswering, UpstreamAnswering
from deltaweir.gateway.asked import Asked, check_embedded, check_forwarded
from deltaweir.gateway.bodies import ClientGoneError, fields_of, read_body
from deltaweir.gateway.lane import Lane, Receive, Send
from deltaweir.gateway.ledger import Ledger
from deltaweir.gateway.outflow import Outflow
from deltaweir.gateway.rows import StreamRow
from deltaweir.gateway.runs import Run
from deltaweir.gateway.service import Gateway, Route, Scope
from deltaweir.gateway.terms import Terms, terms_of

QUICK_BYTES = 16 * 1024
"""Bytes of a request that is checked at once; a larger one's prompt is looked at in a thread."""


class Completions:
    """A route that answers completions, as plain ASGI: nothing stands between it and the wire."""

    def __init__(self, gateway: Gateway, *, chat: bool) -> None:
        self._gateway = gateway
        self._chat = chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began, request_id = time.monotonic(), new_request_id()
        if scope["method"] != "POST":
            error = InvalidRequest("completions take POST", status=405, code="not_allowed")
            await send_error(send, error, request_id=request_id)
            return
        try:
            asked = await self._asked(scope, receive, request_id)
            answering, ledger = await self._ready(asked)
            run = self._run(asked, answering, began)
            row = self._row(asked, answering, ledger)
        except DeltaweirError as error:
            await send_error(send, error, request_id=request_id)
            return
        except ClientGoneError:
            return
        with row:
            row.follow(run)
            self._gateway.runs.add(run)
            slow = self._server.slow_reader_s
            job = _Job(asked, answering, run, row)
            try:
                with Lane(scope, receive, send, run, slow_reader_s=slow) as lane:
                    await (self._stream if asked.wants_stream else self._whole)(job, lane, send)
            finally:
                run.leave()
                self._gateway.runs.discard(run)

    @property
    def _server(self) -> Any:
        return self._gateway.config.server

    async def _asked(self, scope: Scope, receive: Receive, request_id: str) -> Asked:
        gateway = self._gateway
        caller = await gateway.caller_of(scope)
        if gateway.draining:
            raise ServiceUnavailable("the server is stopping; ask again")
        body = await read_body(receive, int(self._server.max_body_mib * 2**20))
        fields = fields_of(body)
        for ours in ("budget", "guard"):
            # options of our clients, of which a guard could be a path; here both stand in
            # `deltaweir`, where a guard is a name
            fields.pop(ours, None)
        terms = terms_of(fields.pop("deltaweir", None), scope["headers"])
        named = fields.get("model")
        # of another type it is refused with the request
        route = gateway.route_to(named if isinstance(named, str) else None)
        guards = (*route.model.guards, *terms.guards)
        if guards and (len(body) > QUICK_BYTES or not gateway.guards.ready(guards)):
            # rules may have to be compiled, and a long prompt takes its time
            call = await asyncio.to_thread(self._call, fields, route, terms, guards)
        else:
            call = self._call(fields, route, terms, guards)
        return Asked(call, fields, route, terms, caller, self._chat, request_id)

    def _call(
        self, fields: dict[str, Any], route: Route, terms: Terms, guards: tuple[str, ...]
    ) -> Any:
        """Return the checked call of a request, its prompt as guards let it through."""
        policy = self._gateway.guards.named(guards, param="deltaweir.guard")
        limit = terms.limit.tighter(route.model.limit)
        if route.model.embedded is None:
            return check_forwarded(fields, policy, limit, chat=self._chat)
        call = check_embedded(fields, route.model.embedded, policy, chat=self._chat)
        return call._replace(limit=call.limit.tighter(limit))

    async def _ready(self, asked: Asked) -> tuple[Answering, Ledger | None]:
        """Return who answers, and the ledger."""
        gateway = self._gateway
        quick = gateway.is_open and asked.route.upstreams and gateway.is_warm(asked.route)
        if quick and asked.call.limit.pico is None:
            return self._prepared(asked), gateway.ledger()
        # a model may have to be loaded, and a ledger opened, which takes seconds
        return await asyncio.to_thread(lambda: (self._prepared(asked), gateway.ledger()))

    def _prepared(self, asked: Asked) -> Answering:
        price = self._gateway.price_of(asked.route.model)
        if asked.route.upstreams:
            self._gateway.warm(asked.route)
            return UpstreamAnswering(asked, price)
        return EmbeddedAnswering(asked, price)

    def _run(self, asked: Asked, answering: Answering, began: float) -> Run:
        server = self._server
        return answering.run(
            None,
            request_id=asked.request_id,
            began=began,
            annotate=server.annotate,
            heartbeat_s=server.heartbeat_s,
            finishes=asked.terms.finishes and asked.wants_stream,
            whole=not asked.wants_stream,
        )

    def _row(self, asked: Asked, answering: Answering, ledger: Ledger | None) -> StreamRow:
        return StreamRow(
            ledger,
            model=asked.route.name,
            upstream_model=answering.upstream_model,
            key_id=None if asked.caller.key is None else asked.caller.key.id,
            user=asked.user,
            tag=asked.terms.tag,
            endpoint="chat" if self._chat else "text",
            streamed=asked.wants_stream,
        )

    def _headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        return [*STREAM_HEADERS, (b"x-request-id", request_id.encode())]

    async def _stream(self, job: _Job, lane: Lane, send: Send) -> None:
        """Answer with a stream."""
        run = job.run
        outflow = Outflow(lane, self._headers(run.request_id))
        run.write_to(outflow)
        await job.begun()
        await run.done
        failure = run.failure
        if failure is None or outflow.begun:
            await outflow.end()
        elif not lane.gone:
            await send_error(send, failure, request_id=run.request_id)

    async def _whole(self, job: _Job, lane: Lane, send: Send) -> None:
        """Answer with one JSON body."""
        run = job.run
        await job.begun()
        await run.done
        if lane.gone:
            return
        if run.failure is not None:
            await send_error(send, run.failure, request_id=run.request_id)
            return
        reply = job.answering.reply(run)
        if self._server.annotate:
            reply.deltaweir = run.outbox.account()
        body = msgspec.json.encode(reply.model_dump())
        await send_json(send, 200, body, request_id=run.request_id)


class _Job(NamedTuple):
    """One answer on its way."""

    asked: Asked
    answering: Answering
    run: Run
    row: StreamRow

    async def begun(self) -> None:
        """Have it answered; returns when the answer has begun, or there will be none."""
        try:
            await self.answering.begin(self.run, self.row)
        except DeltaweirError as error:
            self.run.failed(error)
