"""A streamed response whose chunks take no detour: from whoever has them straight to the socket.

By plain ASGI every chunk goes through ``send``: a task must be woken for it, and three layers
of a server look at it. A `Lane` leaves the head and the end of a response to the server's own
``send``, so that its books stay true, and writes what is between to the client's transport in
the caller's own turn. It hears at once when the client reads too slowly, or has gone.

Where the server is not ours (`deltaweir.gateway.lanes.protocol`), has changed inside, or a
middleware holds the head back, the same methods go by plain ``send``; ``direct`` tells which way
it is.

All of it runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol, Self

from deltaweir.net.route import discard_unsent

EXTENSION = "deltaweir.lane"
"""Under this name our protocol offers itself in a request's ``extensions``."""
CYCLE_NAMES = ("scope", "response_started", "chunked_encoding", "disconnected")
"""What the lane needs to know of uvicorn's request and response; tests look for them."""
QUEUE_BYTES = 64 * 1024
"""Bytes that may wait for a head, or a plain ``send``, before the source is paused."""
_NO_CHUNKS = "1.0"
"""The version of HTTP that ends a body by the connection's end (RFC 9112, section 6.1)."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Feeder(Protocol):
    """What writes into a lane; calls may repeat, and stop once the lane has ended."""

    def hold(self) -> None:
        """Write little from now on: the client reads too slowly."""

    def go_on(self) -> None:
        """Write freely again; called too when a lane ends that was held."""

    def reader_left(self) -> None:
        """Take note that the client has gone, or has taken nothing for too long."""


class Connection(Protocol):
    """A client's connection as the lane sees it."""

    transport: asyncio.Transport
    lane: Lane | None
    choked: bool
    """Whether more waits to be sent than should."""
    lost: bool


class Lane:
    """One streamed response: `start`, `write` any number of times, `end`.

    A context manager, entered before the source is asked, so that a client who leaves
    meanwhile is noticed.

    Args:
        scope: The request, as ASGI has it.
        receive: Likewise.
        send: Likewise.
        feeder: What will write.
        slow_reader_s: Seconds that a client may take nothing while bytes wait for it.
    """

    def __init__(
        self, scope: Any, receive: Receive, send: Send, feeder: Feeder, *, slow_reader_s: float
    ) -> None:
        self.gone = False
        """Whether the client has gone."""
        self.direct = False
        """Whether writes go straight to the transport."""
        self._feeder = feeder
        self._receive = receive
        self._send = send
        self._slow_reader_s = slow_reader_s
        self._old = scope.get("http_version") == _NO_CHUNKS
        self._loop = asyncio.get_running_loop()
        self._put: Callable[[bytes], object] | None = None
        self._framed = False
        self._held = False
        self._ending = False
        self._stalls: asyncio.TimerHandle | None = None
        self._waiting_bytes = 0
        self._queue: _Queue | None = None
        self._sending: asyncio.Future[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        offer = (scope.get("extensions") or {}).get(EXTENSION) or {}
        self._cycle = offer.get("cycle")
        self._connection: Connection | None = offer["connection"] if self._cycle else None

    def __enter__(self) -> Self:
        if self._connection is None:
            self._watcher = self._loop.create_task(self._watch())
        elif self._connection.lost:
            self.client_left()
        else:
            self._connection.lane = self
            if self._connection.choked:  # by an answer before this one, to pipelined requests
                self.choke()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        if self._connection is not None and self._connection.lane is self:
            self._connection.lane = None
        if self._watcher is not None:
            self._watcher.cancel()

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head; from then on the lane can be written to."""
        cycle = self._cycle
        await self._sent({"type": "http.response.start", "status": status, "headers": headers})
        if self.gone:
            return
        connection = self._connection
        if cycle is None or connection is None or not cycle.response_started:
            self._queue = _Queue(self._send, self)
            self._put = self._queue.put
            return
        self._framed = bool(cycle.chunked_encoding)
        self.direct = self._framed or self._old
        self._put = connection.transport.write if self.direct else _discard
        if connection.choked:
            self.choke()

    @property
    def transport(self) -> asyncio.Transport:
        """The client's, where writes are ``direct``."""
        assert self._connection is not None
        return self._connection.transport

    @property
    def framed(self) -> bool:
        """Whether each write becomes a piece of a chunked body, straight on the transport."""
        return self._framed and self.direct and not self.gone

    def write(self, data: bytes) -> None:
        """Send bytes; they may wait for the client. Once the client has gone they are dropped."""
        if data and self._put is not None:  # an empty chunk would end the response
            self._put(b"%x\r\n%b\r\n" % (len(data), data) if self._framed else data)

    async def end(self) -> None:
        """End the response, once the client has taken enough of it; by the server's own books."""
        if self._queue is not None and not self.gone:
            self._ending = True
            self._watch_stalls()
            await self._queue.drained()
        await self._sent({"type": "http.response.body", "body": b"", "more_body": False})

    def abort(self) -> None:
        """Give the client up: its connection is broken off, so that it can tell."""
        if self._connection is not None:
            # else the system would go on to offer what waits, and then end it as if it were whole
            discard_unsent(self._connection.transport.get_extra_info("socket"))
            self._connection.transport.abort()
        self.client_left()

    # what follows is called by the connection, or by the queue

    def choke(self) -> None:
        """Take note that too much waits for the client."""
        if self._held or self.gone:
            return
        self._held = True
        self._watch_stalls()
        self._feeder.hold()

    def unchoke(self) -> None:
        """Take note that the client has caught up."""
        if not self._ending:  # else all must be taken, not only enough
            self._rest()
        self._release()

    def look(self) -> None:
        """Let a held feeder go on, unless still too much waits."""
        choked = self._connection is not None and self._connection.choked
        if not choked and (self._queue is None or self._queue.bytes <= QUEUE_BYTES):
            self.unchoke()

    def client_left(self) -> None:
        """Take note that the client has gone."""
        if self.gone:
            return
        self.gone = True
        self._put = _discard
        if self._cycle is not None:  # uvicorn itself marks only the newest of pipelined requests
            self._cycle.disconnected = True
        self._stop()
        self._feeder.reader_left()

    async def _sent(self, message: Message) -> None:
        """Send by the server's ``send``, which may wait for as long as the client is there."""
        if self.gone:
            return
        if self._connection is not None:  # whose end also ends the wait
            await self._send(message)
        else:
            self._sending = asyncio.ensure_future(self._send(message))
            await asyncio.wait([self._sending])
            if not self._sending.cancelled():
                self._sending.result()

    def _stop(self) -> None:
        self._rest()
        self._release()
        for sending in (self._queue, self._sending):
            if sending is not None:
                sending.cancel()

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._feeder.go_on()

    def _watch_stalls(self) -> None:
        if self._stalls is None:
            self._waiting_bytes = self._left()
            self._stalls = self._loop.call_later(self._slow_reader_s, self._stalled)

    def _rest(self) -> None:
        if self._stalls is not None:
            self._stalls.cancel()
            self._stalls = None

    def _stalled(self) -> None:
        """Give up a client that has taken nothing since the last look."""
        self._stalls = None
        if self._left() < self._waiting_bytes:
            self._watch_stalls()
        else:
            self.abort()

    def _left(self) -> int:
        left = 0 if self._queue is None else self._queue.bytes
        if self._connection is not None:
            left += self._connection.transport.get_write_buffer_size()
        return left

    async def _watch(self) -> None:
        """Wait for the client to leave, where only ASGI can tell."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_left()


def _discard(_data: bytes) -> None:
    """Drop bytes that nobody wants, or may get: HEAD, 204 and 304 have no body."""


class _Queue:
    """What waits for a plain ``send``, and the task that empties it."""

    def __init__(self, send: Send, lane: Lane) -> None:
        self.bytes = 0
        self._send = send
        self._lane = lane
        self._pieces: list[bytes] = []
        self._more = asyncio.Event()
        self._over = False
        self._task = asyncio.get_running_loop().create_task(self._pump())

    def put(self, data: bytes) -> None:
        self._pieces.append(data)
        self.bytes += len(data)
        self._more.set()
        if self.bytes > QUEUE_BYTES:
            self._lane.choke()

    def cancel(self) -> None:
        self._pieces.clear()
        self._over = True
        self._task.cancel()

    async def drained(self) -> None:
        """Wait until all is sent."""
        self._over = True
        self._more.set()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def _pump(self) -> None:
        while self._pieces or not self._over:
            if not self._pieces:
                self._more.clear()
                await self._more.wait()
                continue
            data = b"".join(self._pieces)
            self._pieces.clear()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            self.bytes -= len(data)
            self._lane.look()
