"""The routes of one stream: read it from any point, stop it, ask what it has used."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec

from deltaweir.client.requests import new_request_id
from deltaweir.endings import Ending
from deltaweir.errors import DeltaweirError, InvalidRequest
from deltaweir.gateway.lanes.answer import NotAllowed, send_error, send_json, stream_head
from deltaweir.gateway.lanes.lane import Lane, Receive, Send
from deltaweir.gateway.lanes.outflow import Outflow
from deltaweir.gateway.log.refusals import REQUEST_ID
from deltaweir.gateway.service import Gateway, Scope
from deltaweir.gateway.streams.errands import Errand
from deltaweir.gateway.streams.reader import JournalReader
from deltaweir.gateway.streams.streams import Stream, no_stream
from deltaweir.journal import position

_NOT_KEPT = [(b"cache-control", b"no-store")]
"""A browser may keep a 404 or a 410, for whoever asks next from another point."""
_LAST_EVENT_ID = b"last-event-id"
_STARTING_AFTER = "starting_after"


class OneStream:
    """``GET`` and ``DELETE /v1/streams/{id}``, as plain ASGI; see `Completions`.

    Args:
        gateway: Whose streams they are.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = scope.get(REQUEST_ID) or new_request_id()
        try:
            if scope["method"] == "DELETE":
                await self._stop(scope, send, request_id)
            elif scope["method"] == "GET":
                await self._read(scope, receive, send, request_id)
            else:
                raise NotAllowed("a stream takes GET and DELETE", allowed=b"GET, DELETE")
        except DeltaweirError as error:
            self._gateway.refused(scope, error, request_id=request_id)
            await send_error(send, error, request_id=request_id, headers=_NOT_KEPT)

    async def _read(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        """Answer with what comes behind a point."""
        caller = await self._gateway.caller_of(scope)
        stream = await self._gateway.stream(scope["path_params"]["id"], caller, to_read=True)
        publication = stream.publication
        if publication is None:
            raise no_stream()
        after = _asked_position(scope, stream.stream_id)
        journal = publication.journal
        if not journal.keeps(after):
            raise InvalidRequest(
                f"what follows event {after} is no longer kept; the first that is, is "
                f"{journal.first}",
                status=410,
                code="stream_gone",
            )
        if journal.ended and after >= journal.last:
            if after == journal.last or not publication.died:
                await _send_nothing(send, request_id)
                return
            after = journal.last - 1  # it has frames that were never written, and not the last word
        reader = JournalReader(publication, after)
        slow = self._gateway.config.server.slow_reader_s
        with Lane(scope, receive, send, reader, slow_reader_s=slow) as lane:
            outflow = Outflow(lane, stream_head(request_id, publication.stream_id))
            outflow.open()
            reader.read(outflow)
            with self._gateway.reading(reader):
                await reader.done
            await reader.end()

    async def _stop(self, scope: Scope, send: Send, request_id: str) -> None:
        """End a stream for everyone; one that has ended stays as it is."""
        caller = await self._gateway.caller_of(scope)
        gateway = self._gateway
        stream = await gateway.stream(scope["path_params"]["id"], caller, as_admin=True)
        if stream.run is not None:
            stream.run.abort(Ending.STOPPED)
        await _answer_usage(await _usage(gateway, stream, "stop"), send, request_id)


class StreamUsage:
    """``GET /v1/streams/{id}/usage``, likewise.

    Args:
        gateway: Whose streams they are.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = scope.get(REQUEST_ID) or new_request_id()
        try:
            if scope["method"] != "GET":
                raise NotAllowed("usage takes GET", allowed=b"GET")
            caller = await self._gateway.caller_of(scope)
            gateway = self._gateway
            stream = await gateway.stream(scope["path_params"]["id"], caller, as_admin=True)
            await _answer_usage(await _usage(gateway, stream, "usage"), send, request_id)
        except DeltaweirError as error:
            self._gateway.refused(scope, error, request_id=request_id)
            await send_error(send, error, request_id=request_id, headers=_NOT_KEPT)


async def _usage(gateway: Gateway, stream: Stream, errand: Errand) -> dict[str, Any]:
    """Return what a stream has used, asked where it runs."""
    if stream.gateway is None or gateway.shared is None:
        return stream.usage()
    return await gateway.shared.errands.ask(stream, errand)


async def _answer_usage(usage: dict[str, Any], send: Send, request_id: str) -> None:
    body = msgspec.json.encode(usage)
    await send_json(send, 200, body, request_id=request_id, headers=_NOT_KEPT)


async def _send_nothing(send: Send, request_id: str) -> None:
    headers = [(b"x-request-id", request_id.encode()), *_NOT_KEPT]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _asked_position(scope: Scope, stream_id: str) -> int:
    """Return behind which event a request wants to read."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    for name, values in query.items():
        if name != _STARTING_AFTER or len(values) > 1:
            raise InvalidRequest(
                f"unknown or repeated parameter {name[:40]!r}; known is {_STARTING_AFTER}",
                param=name[:40],
            )
    told = [value for name, value in scope["headers"] if name == _LAST_EVENT_ID]
    return position(
        stream_id,
        last_event_id=told[-1].decode("latin-1") if told else None,
        starting_after=query.get(_STARTING_AFTER, [None])[0],
    )
