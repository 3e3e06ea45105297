"""Routes that are passed to an upstream as they are: embeddings, audio, files and the like.

Keys and rates hold for them, but nobody here reads what goes through: no token is counted, no
guard looks on, and the ledger has no row. A request that names a model goes to the model's
upstreams, under the name that they know; all others go to the first upstream.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import NamedTuple

from deltaweir.client.relayed import RelayExchange
from deltaweir.client.requests import new_request_id
from deltaweir.endings import Ending
from deltaweir.errors import (
    DeltaweirError,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    ServiceUnavailable,
)
from deltaweir.gateway.keys.access import Caller, Needs
from deltaweir.gateway.keys.admission import admitted
from deltaweir.gateway.keys.allowance import Allowance
from deltaweir.gateway.lanes.answer import send_error
from deltaweir.gateway.lanes.bodies import ClientGoneError, read_body
from deltaweir.gateway.lanes.body import BodyLane
from deltaweir.gateway.lanes.lane import Lane, Receive, Send
from deltaweir.gateway.ledger.rows import new_stream_id
from deltaweir.gateway.log.refusals import MODEL, code_of
from deltaweir.gateway.metrics.summary import NO_UPSTREAM, Summary
from deltaweir.gateway.passthrough.answers import Said
from deltaweir.gateway.passthrough.passing import (
    BODILESS,
    REFUSED_METHODS,
    Passed,
    answer_headers,
    passed,
    passes,
)
from deltaweir.gateway.passthrough.relay import Relay
from deltaweir.gateway.service import Gateway, Scope
from deltaweir.gateway.upstreams.upstreams import Upstream

__all__ = ["Passthrough", "passes"]

CLIENT_LEFT = 499
"""What logs call the status of an answer that nobody waited for."""
NO_MODEL = "none"
"""What logs and metrics call the model of a request that names none."""


class Passthrough:
    """All routes that the configuration passes on, as plain ASGI; other paths are not found.

    Args:
        gateway: Whose routes they are.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began, request_id = time.monotonic(), new_request_id()
        try:
            path = self._path(scope)
            caller = await self._gateway.caller_of(scope)
            asked = await self._asked(scope, receive, path)
            sent, upstreams = self._routed(asked)
            allowance = await self._admitted(caller, asked)
        except DeltaweirError as error:
            self._gateway.refused(scope, error, endpoint="passthrough", request_id=request_id)
            await send_error(send, error, request_id=request_id)
            return
        except ClientGoneError:
            return
        relay = Relay(
            upstreams,
            lambda upstream: _exchange(sent, upstream, request_id),
            what=sent.path if sent.model is None else sent.model,
            key_id=None if caller.key is None else caller.key.id,
        )
        model = NO_MODEL if asked.model is None else asked.model
        job = _Job(sent.method, model, relay, caller, allowance, request_id, began)
        try:
            await self._relayed(job, scope, receive, send)
        finally:
            if allowance is not None:
                allowance.close(prompt_tokens=0, completion_tokens=0, cost_pico=0)

    def _path(self, scope: Scope) -> str:
        """Return the path, as this application sees it."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        if not passes(self._gateway.config.server.passthrough, path):
            raise _not_found(f"there is no {path[:80]}")
        if scope["method"] in REFUSED_METHODS:
            raise InvalidRequest(
                f"{path[:80]} does not take {scope['method']}", status=405, code="not_allowed"
            )
        return path

    async def _asked(self, scope: Scope, receive: Receive, path: str) -> Passed:
        gateway = self._gateway
        if gateway.draining:
            raise ServiceUnavailable("the server is stopping; ask again")
        body = await read_body(receive, int(gateway.config.server.max_body_mib * 2**20))
        asked = passed(scope["method"], path, scope["query_string"], scope["headers"], body)
        scope[MODEL] = asked.model
        return asked

    def _routed(self, asked: Passed) -> tuple[Passed, tuple[Upstream, ...]]:
        """Return the request as it is sent, and whom to ask.

        A model that the configuration does not list, such as one for embeddings, is the first
        upstream's to know.
        """
        routing = self._gateway.routing
        try:
            route = None if asked.model is None else routing.route_to(asked.model)
        except ModelNotFound:
            route = None
        if route is None:
            first = (*routing.upstreams.values(),)[:1]
            if not first:
                raise _not_found("there is no such route: this server has no upstreams")
            return asked, first
        if not route.upstreams:
            raise _not_found(
                f"the model {route.name!r} has no upstream, and answers completions only",
                param="model",
            )
        return asked.named(route.model.sent_name(route.name)), route.upstreams

    async def _admitted(self, caller: Caller, asked: Passed) -> Allowance | None:
        """Let a request in that the caller's key may make, within its rates.

        Nothing is booked, since nothing is counted; but a budget that is spent lets nobody in.

        Raises:
            PermissionDenied: The key may not use the model; or it may use certain models only,
                and the body shows none.
            LimitReached: A rate is used up, or a budget.
            ServiceUnavailable: The limits cannot be checked.
        """
        gateway = self._gateway
        if asked.model is not None:
            gateway.permit(caller, asked.model)
        elif asked.body and caller.key is not None and caller.key.models:
            raise PermissionDenied(
                "this key may use certain models only, and the request names none",
                code="model_not_allowed",
                param="model",
            )
        needs = Needs(new_stream_id(), token_pico=None)
        if caller.limited:
            return await admitted(lambda: gateway.admit(caller, needs), lambda made: made)
        return gateway.admit(caller, needs)

    async def _relayed(self, job: _Job, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and answer it, and tell of its end."""
        gateway, relay = self._gateway, job.relay
        runs = gateway.runs  # it is looked after like one of them
        slow, status, said = gateway.config.server.slow_reader_s, CLIENT_LEFT, None
        runs.add(relay)
        try:
            with BodyLane(scope, receive, send, relay, slow_reader_s=slow) as lane:
                said = await relay.ask()
                if not lane.gone:
                    status = await self._answered(job, said, lane, send)
        finally:
            relay.leave()
            runs.discard(relay)
        gateway.ended(job.summary(said, status))

    async def _answered(self, job: _Job, said: Said | None, lane: Lane, send: Send) -> int:
        """Answer with what the upstream said, or with our own error; return the status."""
        if said is None:
            error = job.relay.failure or ServiceUnavailable("the request was ended; ask again")
            ours = [] if job.allowance is None else job.allowance.headers
            await send_error(send, error, request_id=job.request_id, headers=ours)
            return error.status
        headers = job.headers(said)
        status = said.head.status
        if said.refusal is not None:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": said.refusal})
            return status
        await lane.start(status, headers)
        job.relay.open_to(lane)
        await job.relay.done
        if job.relay.ending is Ending.COMPLETE:
            await lane.end()
        elif not lane.gone:
            await asyncio.sleep(0)  # what was written in this turn may still go out
            lane.abort()  # so that nobody takes it for whole
        return status


class _Job(NamedTuple):
    """One request on its way."""

    method: str
    model: str
    relay: Relay
    caller: Caller
    allowance: Allowance | None
    request_id: str
    began: float

    def headers(self, said: Said) -> list[tuple[bytes, bytes]]:
        """Return an answer's headers."""
        headers = answer_headers(said.head, said.provider)
        headers.append((b"x-request-id", self.request_id.encode()))
        if self.allowance is not None:
            headers += self.allowance.headers
        length = said.head.get("content-length")
        if said.refusal is not None and self.method != "HEAD":
            length = str(len(said.refusal))
        if length is not None and said.head.status not in BODILESS:
            headers.append((b"content-length", length.encode()))
        return headers

    def summary(self, said: Said | None, status: int) -> Summary:
        """Return what is known of it at its end.

        Args:
            said: What the upstream said; None for nothing.
            status: The HTTP status that was sent.
        """
        relay, caller, kind = self.relay, self.caller, None
        if said is not None:
            kind = said.head.get("content-type")
        assert relay.ending is not None
        return Summary(
            stream_id=new_stream_id() if self.allowance is None else self.allowance.stream_id,
            request_id=self.request_id,
            model=self.model,
            upstream=relay.upstream or NO_UPSTREAM,
            attempts=relay.attempts,
            key_id=relay.key_id,
            user=caller.user,
            endpoint="passthrough",
            streamed=kind is not None and kind.startswith("text/event-stream"),
            ending=str(relay.ending.value),
            status=status,
            stopped_by=relay.ending.stopped_by,
            finish_reason=None,
            prompt_tokens=None,
            completion_tokens=None,
            cost_pico=None,
            source=None,
            first_content_s=None,
            total_s=time.monotonic() - self.began,
            added_s=None,
            gaps=(),
            withheld_chars=0,
            code=code_of(relay.failure),
            asked_before=tuple(relay.asked_before),
        )


def _exchange(sent: Passed, upstream: Upstream, request_id: str) -> RelayExchange:
    return RelayExchange(
        sent.to(upstream.provider, request_id=request_id),
        bodiless=sent.method == "HEAD",
        chance=random.random,
        now=time.time,
    )


def _not_found(what: str, *, param: str | None = None) -> InvalidRequest:
    return InvalidRequest(what, status=404, code="not_found", param=param)
