"""An answer at the gateway: one of our streams as frames, an error, one JSON body.

While a stream runs, one task reads the model and writes frames, one waits for the client to
hang up, and one keeps the connection awake; none of them is made per chunk. The first
heartbeat commits the status 200, so what goes wrong before has a status of its own, and what
goes wrong later is an error event, after which no ``[DONE]`` comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from deltaweir.client.frames import StreamFrames
from deltaweir.client.streams import AsyncStream
from deltaweir.errors import ConnectionFailed, DeltaweirError, InvalidRequest
from deltaweir.gateway.lanes.lane import Receive, Send
from deltaweir.schema.frames import error_body
from deltaweir.wire.sse import DONE, HEARTBEAT

_log = logging.getLogger("deltaweir.gateway")

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # or nginx would collect the frames
]
"""Headers of every event stream (FACTS, section 4)."""
STREAM_ID = b"x-deltaweir-stream-id"
"""The header with a stream's id; where it was asked to be resumed, that it can be."""
_USUAL = {
    401: [(b"www-authenticate", b"Bearer")],
    405: [(b"allow", b"POST")],
    429: [(b"retry-after", b"1")],
    503: [(b"retry-after", b"1")],
}
"""What goes with a status (RFC 9110), unless an error says better."""


def stream_head(request_id: str, stream_id: str, headers: Any = ()) -> list[tuple[bytes, bytes]]:
    """Return the headers of an event stream that can be asked for by its id."""
    ids = (b"x-request-id", request_id.encode()), (STREAM_ID, stream_id.encode())
    return [*STREAM_HEADERS, *ids, *headers]


async def send_json(
    send: Send, status: int, body: bytes, *, request_id: str, headers: Any = ()
) -> None:
    """Answer with one JSON body."""
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


class NotAllowed(InvalidRequest):
    """A method that a route does not take.

    Args:
        message: What it takes.
        allowed: The same for the header ``Allow``.
    """

    def __init__(self, message: str, *, allowed: bytes) -> None:
        super().__init__(message, status=405, code="not_allowed")
        self.headers = [(b"allow", allowed)]


async def send_error(
    send: Send, error: DeltaweirError, *, request_id: str, headers: Any = ()
) -> None:
    """Answer with an error's status and body."""
    more = getattr(error, "headers", None)  # of those that know when to ask again
    if more is None:
        more = _USUAL.get(error.status, [])
    await send_json(
        send,
        error.status,
        error_body(error),
        request_id=request_id,
        headers=[*headers, *(more or ())],
    )


class Answer:
    """One reply on its way to one client.

    Args:
        stream: The reply.
        receive: The client's side of ASGI.
        send: Likewise.
        request_id: Sent as ``x-request-id``.
        heartbeat_s: Silence after which a heartbeat is sent.
        annotate: Whether to add our account to finish chunks.
        usage_asked: Whether the client asked for a usage chunk.
        headers: Further headers of a stream.
    """

    def __init__(
        self,
        stream: AsyncStream[Any, Any] | Any,
        receive: Receive,
        send: Send,
        *,
        request_id: str,
        heartbeat_s: float,
        annotate: bool,
        usage_asked: bool,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._stream = stream
        self._receive = receive
        self._send_message = send
        self._request_id = request_id
        self._heartbeat_s = heartbeat_s
        self._headers = [
            *STREAM_HEADERS,
            (b"x-request-id", request_id.encode()),
            *((key.encode(), value.encode("latin-1")) for key, value in (headers or {}).items()),
        ]
        self._frames = StreamFrames(stream, annotate=annotate, usage_asked=usage_asked)
        self._started = False
        self._gone = False
        self._last_sent = 0.0
        self._sending = False

    async def stream(self) -> None:
        """Send the reply as an event stream."""
        loop = asyncio.get_running_loop()
        self._last_sent = loop.time()
        helpers = [loop.create_task(self._watch()), loop.create_task(self._pulse(loop))]
        try:
            async with self._stream:
                await self._frames_out()
        except DeltaweirError as error:
            if not self._gone:
                await self._broke(error)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _frames_out(self) -> None:
        async for chunk in self._stream._own():  # noqa: SLF001  # a watched stream has others
            if self._frames.needs_account(chunk):
                await asyncio.to_thread(self._stream.account)
            await self._write(self._frames.frame(chunk))
        if self._gone:
            return
        await self._write(DONE)
        await self._send_message({"type": "http.response.body", "body": b""})

    async def _broke(self, error: DeltaweirError) -> None:
        if isinstance(error, ConnectionFailed):
            # where a provider is concerns whoever runs this server alone
            _log.warning("%s (%s)", error.message, self._request_id)
            begun = self._stream.timing.first_content is not None
            what = "'s connection broke" if begun else " could not be reached"
            error = ConnectionFailed(f"the provider{what}")
        error.request_id = error.request_id or self._request_id
        if not self._started:
            await send_error(self._send_message, error, request_id=self._request_id)
            return
        await self._write(self._frames.error(error))
        await self._send_message({"type": "http.response.body", "body": b""})

    async def _write(self, frame: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._last_sent = loop.time()
        self._sending = True
        if not self._started:
            self._started = True
            await self._send_message(
                {"type": "http.response.start", "status": 200, "headers": self._headers}
            )
        # returns when the client has taken enough of what was sent before
        await self._send_message({"type": "http.response.body", "body": frame, "more_body": True})
        self._sending = False

    async def _watch(self) -> None:
        """Wait for the client to hang up, and end the computation then."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        await self._stream.close()

    async def _pulse(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send a heartbeat whenever nothing was sent for long, while the client still reads."""
        while True:
            wait = self._last_sent + self._heartbeat_s - loop.time()
            if wait <= 0 and not self._sending:
                await self._write(HEARTBEAT)
            await asyncio.sleep(wait if wait > 0 else self._heartbeat_s)
