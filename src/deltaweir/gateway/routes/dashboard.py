"""The routes for whoever watches a gateway: its dashboard, and the streams that run."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

import msgspec

from deltaweir.accounts import Opened
from deltaweir.client.requests import new_request_id
from deltaweir.errors import DeltaweirError, InvalidRequest, PermissionDenied, ServiceUnavailable
from deltaweir.gateway.dashboard.dashboard import item
from deltaweir.gateway.dashboard.feed import DashboardFeed
from deltaweir.gateway.keys.access import Caller
from deltaweir.gateway.lanes.answer import STREAM_HEADERS, NotAllowed, send_error, send_json
from deltaweir.gateway.lanes.lane import Lane, Receive, Send
from deltaweir.gateway.lanes.outflow import Outflow
from deltaweir.gateway.log.refusals import REQUEST_ID
from deltaweir.gateway.service import Gateway, Scope

_EVENT_STREAM = b"text/event-stream"
_NOT_KEPT = [(b"cache-control", b"no-store")]
_WORDS = {"true": True, "false": False}


class DashboardRoute:
    """``GET /v1/dashboard``, as plain ASGI: one snapshot, or one a second.

    Args:
        gateway: What is shown.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = scope.get(REQUEST_ID) or new_request_id()
        try:
            _only_get(scope)
            caller = await self._gateway.caller_of(scope)
            if not caller.operator:
                raise PermissionDenied(
                    "the dashboard is for keys made by `deltaweir keys create --admin`",
                    code="not_admin",
                )
            if not _streamed(scope):
                body = await self._gateway.dashboard.snapshot()
                await send_json(send, 200, body, request_id=request_id, headers=_NOT_KEPT)
                return
            if self._gateway.draining:
                raise ServiceUnavailable("the server is stopping; ask again")
            await self._watch(scope, receive, send, caller, request_id)
        except DeltaweirError as error:
            self._gateway.refused(scope, error, request_id=request_id)
            await send_error(send, error, request_id=request_id, headers=_NOT_KEPT)

    async def _watch(
        self, scope: Scope, receive: Receive, send: Send, caller: Caller, request_id: str
    ) -> None:
        key_id = None if caller.key is None else caller.key.id
        watcher = LaneWatcher(self._gateway.dashboard, key_id)
        slow = self._gateway.config.server.slow_reader_s
        with Lane(scope, receive, send, watcher, slow_reader_s=slow) as lane:
            outflow = Outflow(lane, [*STREAM_HEADERS, (b"x-request-id", request_id.encode())])
            outflow.open()
            watcher.watch(outflow)
            try:
                await watcher.done
                await outflow.end()
            finally:
                self._gateway.dashboard.leave(watcher)


class LaneWatcher:
    """One who watches; what its lane's feeder is. While it is held, only the newest waits for it.

    Args:
        feed: What it watches.
        key_id: Whose key let it in; None without keys.

    Attributes:
        done: Set when nothing comes any more, or its client has gone.
    """

    def __init__(self, feed: DashboardFeed, key_id: str | None = None) -> None:
        self.key_id = key_id
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._feed = feed
        self._outflow: Outflow | None = None
        self._held = False
        self._waiting: bytes | None = None

    def watch(self, outflow: Outflow) -> None:
        """Begin."""
        self._outflow = outflow
        if outflow.gone:
            self.end()
        else:
            self._feed.enter(self)

    # what follows is called by the feed

    def show(self, frame: bytes) -> None:
        """Send a snapshot, or let it wait in the place of an older one."""
        if self._held or self._outflow is None:
            self._waiting = frame
        else:
            self._outflow.write(frame)

    def end(self) -> None:
        """Take note that nothing comes any more."""
        self._waiting = None
        if not self.done.done():
            self.done.set_result(None)

    # what follows is called by the lane

    def hold(self) -> None:
        """Send nothing for a while: the client reads too slowly."""
        self._held = True

    def go_on(self) -> None:
        """Send the newest, if it has not been sent."""
        self._held = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.show(waiting)

    def reader_left(self) -> None:
        """End: the client has gone, or takes nothing."""
        self.end()
        self._feed.leave(self)


class StreamList:
    """``GET /v1/streams``, as plain ASGI: the streams of somebody's own that run now.

    Args:
        gateway: Whose streams they are.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = scope.get(REQUEST_ID) or new_request_id()
        try:
            _only_get(scope)
            caller = await self._gateway.caller_of(scope)
            live = await self._gateway.dashboard.live(lambda opened: may_see(caller, opened))
            own = [item(one, one.average) for one in live]
            body = msgspec.json.encode({"object": "list", "data": own})
            await send_json(send, 200, body, request_id=request_id, headers=_NOT_KEPT)
        except DeltaweirError as error:
            self._gateway.refused(scope, error, request_id=request_id)
            await send_error(send, error, request_id=request_id, headers=_NOT_KEPT)


def may_see(caller: Caller, opened: Opened) -> bool:
    """Tell whether somebody may know of a stream that runs.

    Args:
        caller: Who asks.
        opened: How the stream began.
    """
    if caller.key is not None and caller.key.admin:
        return True
    return caller.own_key == opened.key_id and caller.user in {None, opened.user}


def _only_get(scope: Scope) -> None:
    if scope["method"] != "GET":
        raise NotAllowed("this takes GET", allowed=b"GET")


def _streamed(scope: Scope) -> bool:
    """Tell whether snapshots are wanted again and again."""
    query: dict[str, Any] = parse_qs(
        scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True
    )
    for name, values in query.items():
        if name != "stream" or len(values) > 1 or values[0].lower() not in _WORDS:
            raise InvalidRequest(
                f"unknown or repeated parameter {name[:40]!r}; known is stream, true or false",
                param=name[:40],
            )
        return _WORDS[values[0].lower()]
    accepted = [value for name, value in scope["headers"] if name == b"accept"]
    return any(_EVENT_STREAM in value.lower() for value in accepted)
