"""The routes that answer completions: from a request's bytes to a stream with its row."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from deltaweir.client.embedded import Call
from deltaweir.client.requests import new_request_id
from deltaweir.errors import DeltaweirError, InvalidRequest, ServiceUnavailable
from deltaweir.gateway.answering.answering import Answering, EmbeddedAnswering, UpstreamAnswering
from deltaweir.gateway.answering.asked import Asked, check_embedded, check_forwarded, peeked
from deltaweir.gateway.answering.jobs import Job
from deltaweir.gateway.answering.recordings import check_recordable, tape_for
from deltaweir.gateway.answering.replaying import ReplayAnswering
from deltaweir.gateway.answering.terms import Terms, terms_of
from deltaweir.gateway.keys.access import Needs
from deltaweir.gateway.keys.admission import admitted
from deltaweir.gateway.keys.allowance import Allowance
from deltaweir.gateway.lanes.answer import send_error, send_json, stream_head
from deltaweir.gateway.lanes.bodies import ClientGoneError, read_body
from deltaweir.gateway.lanes.lane import Lane, Receive, Send
from deltaweir.gateway.lanes.outflow import Outflow
from deltaweir.gateway.ledger.ledger import Ledger
from deltaweir.gateway.ledger.rows import StreamRow, new_stream_id
from deltaweir.gateway.log.refusals import MODEL
from deltaweir.gateway.metrics.summary import Endpoint
from deltaweir.gateway.runs.runs import Run
from deltaweir.gateway.service import Gateway, Scope
from deltaweir.gateway.streams.publication import Publication
from deltaweir.gateway.streams.reader import JournalReader
from deltaweir.gateway.streams.streams import owner_of
from deltaweir.gateway.upstreams.routing import Route
from deltaweir.journal import Journal

OK = 200
CLIENT_LEFT = 499
"""What logs call the status of an answer that nobody waited for."""
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
            job = await self._job(asked, began)
        except DeltaweirError as error:
            endpoint: Endpoint = "chat" if self._chat else "text"
            self._gateway.refused(scope, error, endpoint=endpoint, request_id=request_id)
            await send_error(send, error, request_id=request_id)
            return
        except ClientGoneError:
            return
        await self._done(job, scope, receive, send)

    async def _done(self, job: Job, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and write down what came of it."""
        gateway, run = self._gateway, job.run
        reader = None if job.publication is None else JournalReader(job.publication)
        feeder = reader or job.tape or run
        slow, status = self._server.slow_reader_s, CLIENT_LEFT
        with Lane(scope, receive, send, feeder, slow_reader_s=slow) as lane:
            with job.row:
                gateway.began(run, job.stream)
                try:
                    if reader is not None:
                        status = await self._published(job, reader, lane, send)
                    elif job.asked.wants_stream:
                        status = await self._stream(job, lane, send)
                    else:
                        status = await self._whole(job, lane, send)
                    await run.counted()
                finally:
                    run.leave()
                    gateway.left(run, job.row.stream_id)
                    job.close()
            gateway.ended(job.summary(status))
            if job.tape is not None:
                job.tape.end()
            run.forget()
            if reader is not None and reader.begun:  # the stream is over, and its reader slower
                with gateway.reading(reader):
                    await reader.done
                await reader.end()

    @property
    def _server(self) -> Any:
        return self._gateway.config.server

    async def _asked(self, scope: Scope, receive: Receive, request_id: str) -> Asked:
        gateway = self._gateway
        caller = await gateway.caller_of(scope)
        if gateway.draining:
            raise ServiceUnavailable("the server is stopping; ask again")
        body = await read_body(receive, int(self._server.max_body_mib * 2**20))
        peek = peeked(body)
        scope[MODEL] = peek.model
        terms = terms_of(peek.deltaweir, scope["headers"])
        check_recordable(terms.record, peek.model, caller, self._gateway.config.recordings)
        # a model of another type is refused with the request
        route = gateway.routing.route_to(peek.model)
        guards = (*route.model.guards, *terms.guards)
        if len(body) > QUICK_BYTES or (guards and not gateway.guards.ready(guards)):
            # a long request takes its time, and rules may have to be compiled
            call = await asyncio.to_thread(self._call, body, route, terms, guards)
        else:
            call = self._call(body, route, terms, guards)
        wants = bool(call.request.stream)
        if terms.record is not None and not wants:
            raise InvalidRequest(
                "only a stream can be recorded; ask for one with stream: true",
                param="deltaweir.record",
            )
        if wants and terms.resume:
            gateway.check_resumable()
        return Asked(call, wants, route, terms, caller, self._chat, request_id)

    def _call(self, body: bytes, route: Route, terms: Terms, guards: tuple[str, ...]) -> Call:
        """Return the checked call of a request, its prompt as guards let it through."""
        policy = self._gateway.guards.named(guards, param="deltaweir.guard")
        limit = terms.limit.tighter(route.model.limit)
        if route.model.embedded is None:
            return check_forwarded(body, policy, limit, chat=self._chat)
        call = check_embedded(body, route.model.embedded, policy, chat=self._chat)
        return call._replace(limit=call.limit.tighter(limit))

    async def _job(self, asked: Asked, began: float) -> Job:
        """Return the answer, admitted and with its row, but not begun."""
        self._gateway.permit(asked.caller, asked.route.name)
        if asked.terms.record is None:
            return await self._unrecorded(asked, began)
        tape = await asyncio.to_thread(tape_for, asked, self._gateway.config.recordings, began)
        try:
            job = await self._unrecorded(asked, began)
        except BaseException:
            tape.discard()
            raise
        tape.follow(job.run, finishes=asked.terms.finishes)
        return job._replace(tape=tape)

    async def _unrecorded(self, asked: Asked, began: float) -> Job:
        gateway, caller = self._gateway, asked.caller
        stream_id = new_stream_id()
        quick = (
            gateway.book.is_open and asked.route.upstreams and gateway.routing.is_warm(asked.route)
        )
        if quick and asked.call.limit.pico is None and not caller.limited:
            answering, ledger = self._answering(asked), gateway.book.ledger()
            allowance = gateway.admit(caller, Needs(stream_id))
        else:
            # a model may have to be loaded, and a ledger opened, which takes seconds
            answering, ledger, allowance = await admitted(
                lambda: self._admitted(asked, stream_id), lambda made: made[2]
            )
        try:
            run = self._run(asked, answering, allowance, began)
            row = self._row(asked, answering, ledger, stream_id)
        except BaseException:
            if allowance is not None:
                allowance.close(prompt_tokens=0, completion_tokens=0, cost_pico=0)
            raise
        row.follow(run)
        return Job(asked, answering, run, row, allowance, self._publication(asked, stream_id))

    def _publication(self, asked: Asked, stream_id: str) -> Publication | None:
        """Return where a stream is kept that may be resumed; a whole reply needs none."""
        if not (asked.terms.resume and asked.wants_stream):
            return None
        return Publication(stream_id, owner_of(asked.caller), Journal())

    def _admitted(
        self, asked: Asked, stream_id: str
    ) -> tuple[Answering, Ledger | None, Allowance | None]:
        answering, ledger = self._answering(asked), self._gateway.book.ledger()
        needs = answering.needs(stream_id) if asked.caller.limited else Needs(stream_id)
        return answering, ledger, self._gateway.admit(asked.caller, needs)

    def _answering(self, asked: Asked) -> Answering:
        routing = self._gateway.routing
        price = routing.price_of(asked.route.model)
        if asked.route.model.replay is not None:
            return ReplayAnswering(asked)
        if not asked.route.upstreams:
            return EmbeddedAnswering(asked, price)
        if not routing.is_warm(asked.route):
            routing.warm(asked.route)
        return UpstreamAnswering(asked, price)

    def _run(
        self, asked: Asked, answering: Answering, allowance: Allowance | None, began: float
    ) -> Run:
        server, key = self._server, asked.caller.key
        return answering.run(
            allowance,
            request_id=asked.request_id,
            began=began,
            annotate=server.annotate,
            heartbeat_s=server.heartbeat_s,
            finishes=asked.wants_stream and (asked.terms.finishes or asked.terms.resume),
            whole=not asked.wants_stream,
            key_id=None if key is None else key.id,
        )

    def _row(
        self,
        asked: Asked,
        answering: Answering,
        ledger: Ledger | None,
        stream_id: str,
    ) -> StreamRow:
        key = asked.caller.key
        return StreamRow(
            ledger,
            stream_id=stream_id,
            model=asked.route.name,
            upstream_model=answering.upstream_model,
            key_id=None if key is None else key.id,
            user=asked.user,
            tag=asked.terms.tag,
            endpoint="chat" if self._chat else "text",
            streamed=asked.wants_stream,
        )

    async def _stream(self, job: Job, lane: Lane, send: Send) -> int:
        """Answer with a stream; return its status."""
        run = job.run
        outflow = Outflow(lane, stream_head(run.request_id, job.row.stream_id, job.headers))
        run.write_to(job.before(outflow))
        await job.begun()
        await run.done
        failure = run.failure
        if failure is None or outflow.begun:
            await outflow.end()
            return OK if outflow.opened is not None else CLIENT_LEFT
        return await self._refused(job, failure, lane, send)

    async def _published(self, job: Job, reader: JournalReader, lane: Lane, send: Send) -> int:
        """Let a stream run to its end, which its client is the first to read; return the status.

        The client may still have to be sent what it was too slow for.
        """
        run, publication = job.run, job.publication
        assert publication is not None
        reader.read(Outflow(lane, stream_head(run.request_id, job.row.stream_id, job.headers)))
        run.write_to(job.before(publication))
        await job.begun()
        await run.done
        if run.failure is None or publication.begun:
            return OK if reader.begun else CLIENT_LEFT
        return await self._refused(job, run.failure, lane, send)

    async def _whole(self, job: Job, lane: Lane, send: Send) -> int:
        """Answer with one JSON body; return its status."""
        run = job.run
        await job.begun()
        await run.done
        if run.failure is not None:
            return await self._refused(job, run.failure, lane, send)
        if lane.gone:
            return CLIENT_LEFT
        reply = job.answering.reply(run)
        if self._server.annotate:
            reply.deltaweir = run.outbox.account()
        body = msgspec.json.encode(reply.model_dump())
        await send_json(send, OK, body, request_id=run.request_id, headers=job.headers)
        return OK

    async def _refused(self, job: Job, error: DeltaweirError, lane: Lane, send: Send) -> int:
        if lane.gone:
            return CLIENT_LEFT
        await send_error(send, error, request_id=job.run.request_id, headers=job.headers)
        return error.status
