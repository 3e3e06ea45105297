"""What uvicorn's HTTP protocol lacks for us: a lane, limits on requests, bodies for HTTP/1.0.

A request must come: its head within `REQUEST_S`, and its body never later than that after the
piece before. What a client sends beyond heads and bodies, such as trailers (RFC 9112, section
7.1.2), is dropped, and bounded like a head. How long a connection may be idle between requests
stays uvicorn's business.

An offer to speak another protocol, such as Java's client and ``curl --http2`` make of HTTP/2, is
left alone (RFC 9110, section 7.8). uvicorn would lose the body behind it, or take it for a request.

A client of HTTP/1.0 knows no chunked bodies (RFC 9112, section 6.1), so its answer ends with
the connection. uvicorn would send it chunks all the same.
"""

from __future__ import annotations

import asyncio
import enum
from array import array
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from deltaweir.gateway.lanes.lane import CYCLE_NAMES, EXTENSION, Lane

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request's line and headers, and of what else comes between pieces of its body."""
REQUEST_S = 60.0
"""Seconds for a request's head, and between pieces of its body; nginx's two limits by default."""

_REFUSAL = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_TOO_LARGE = _REFUSAL % b"431 Request Header Fields Too Large"
_TOO_LATE = _REFUSAL % b"408 Request Timeout"
_STOPPING = _REFUSAL % b"503 Service Unavailable"
_OFFERING = (b"upgrade", b"http2-settings")
"""Headers that offer another protocol; without the first, none is offered."""


class _Part(enum.Enum):
    """What a client is to send next."""

    BEGINNING = enum.auto()
    """A request, of which nothing has come, though the connection is not known to be idle."""
    HEAD = enum.auto()
    BODY = enum.auto()
    NOTHING = enum.auto()
    """The request is whole."""


class _Flow(FlowControl):
    """uvicorn's control of a connection's flow, which also knows when reading went on."""

    resumed = 0.0

    def resume_reading(self) -> None:
        """Let the client go on."""
        if self.read_paused:
            self.resumed = asyncio.get_running_loop().time()
        super().resume_reading()


class _Unlimited(int):
    """The length of a body that ends when it ends: never passed, and always reached."""

    def __lt__(self, other: Any) -> bool:
        """Say that no length passes this one."""
        return False

    def __sub__(self, other: Any) -> _Unlimited:
        """Stay unlimited, whatever was sent."""
        return self


class _Parser(httptools.HttpRequestParser):
    """A parser that reads on behind an offer of another protocol, where its base stops.

    Args:
        protocol: What it calls.
    """

    def __init__(self, protocol: Protocol) -> None:
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self._protocol = protocol

    def feed_data(self, data: bytes | bytearray | memoryview[int] | array[int]) -> None:
        """Take bytes; a head that makes an offer is read again without it."""
        parser, rest = self, memoryview(data)
        while rest:
            try:
                super(_Parser, parser).feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]
                head = self._protocol.head_without_offer()
                # the old one takes nothing more where the client wants the connection closed
                parser = self._protocol.parser = _Parser(self._protocol)
                super(_Parser, parser).feed_data(head)
            else:
                return


class Protocol(HttpToolsProtocol):
    """One connection of a client; asyncio and the parser call it."""

    lane: Lane | None = None
    """The response that is streamed; uvicorn runs one at a time."""
    request_s: float = REQUEST_S
    """Seconds for a request's head, and between pieces of its body."""
    choked = False
    lost = False
    flow: _Flow
    _part = _Part.BEGINNING
    _since = 0.0
    _part_bytes = 0
    _clock: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parser = _Parser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self._wait_for(_Part.BEGINNING)

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless they belong to a head or trailers without end."""
        if self._part is _Part.NOTHING and not self._answering:
            self._wait_for(_Part.BEGINNING)  # uvicorn's clock stops even if none begins
        self._part_bytes += len(data)
        super().data_received(data)
        if self._part_bytes > MAX_HEAD_BYTES and self._part is not _Part.NOTHING:
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin to count a head's bytes and time."""
        self._wait_for(_Part.HEAD)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of a head; trailers are no part of it."""
        if self._part is _Part.HEAD:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, and begin to wait for the next."""
        self._since, self._part_bytes = self.loop.time(), 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for nothing more."""
        if self._is_offer:
            return
        self._part = _Part.NOTHING
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Give the time that the answer took to a request that has begun behind it."""
        self._since = self.loop.time()
        super().on_response_complete()

    def on_headers_complete(self) -> None:
        """Offer the request a lane, and set a client of HTTP/1.0 up for a body without frames."""
        if self._is_offer:
            return
        self._wait_for(_Part.BODY)
        scope: Any = self.scope
        offer: dict[str, Any] = {"connection": self, "cycle": None}
        scope.setdefault("extensions", {})[EXTENSION] = offer
        super().on_headers_complete()
        cycle: Any = self.cycle
        if all(hasattr(cycle, name) for name in CYCLE_NAMES) and cycle.scope is scope:
            offer["cycle"] = cycle
        if cycle is not None and cycle.scope.get("http_version") == "1.0":
            cycle.chunked_encoding = False
            cycle.expected_content_length = _Unlimited()

    def head_without_offer(self) -> bytes:
        """Return the newest head as if it did not offer another protocol."""
        parser: Any = self.parser
        version = parser.get_http_version().encode()
        kept = (one for one in self.headers if one[0] not in _OFFERING)
        fields = b"".join(b"%b: %b\r\n" % one for one in kept)
        return b"%b %b HTTP/%b\r\n%b\r\n" % (parser.get_method(), self.url, version, fields)

    def shutdown(self) -> None:
        """Close, once what is answered is out; a request that is not whole is not waited for."""
        super().shutdown()
        if self._part is _Part.BODY:
            self._refuse(_STOPPING)

    def pause_writing(self) -> None:
        """Hold the lane, as too much waits for the client."""
        super().pause_writing()
        self.choked = True
        if self.lane is not None:
            self.lane.choke()

    def resume_writing(self) -> None:
        """Let the lane go on."""
        super().resume_writing()
        self.choked = False
        if self.lane is not None:
            self.lane.unchoke()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the lane that the client has gone."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # after a reset uvicorn forgets to, and keeps us
        self.lost = True
        if self._clock is not None:
            self._clock.cancel()
        if self.lane is not None:
            self.lane.client_left()

    @property
    def _is_offer(self) -> bool:
        """Whether the newest head offers another protocol, and will be read without that."""
        # CONNECT is for nothing else: it has no path, and is refused for that
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    @property
    def _answering(self) -> bool:
        """Whether the newest request whose head has come waits for the rest of its answer."""
        cycle: Any = self.cycle  # None before the first
        return cycle is not None and not cycle.response_complete

    def _wait_for(self, part: _Part) -> None:
        self._part, self._part_bytes, self._since = part, 0, self.loop.time()
        if self._clock is None:
            self._clock = self.loop.call_later(self.request_s, self._look_at_clock)

    def _look_at_clock(self) -> None:
        """Refuse a request that does not come, or look again when that is due."""
        self._clock = None
        if self._part is _Part.NOTHING or self.transport.is_closing():
            return
        now = self.loop.time()
        behind = self.pipeline if self._part is _Part.BODY else self._answering
        if self.flow.read_paused or behind:
            self._since = now  # then it is we who let it wait
        left = max(self._since, self.flow.resumed) + self.request_s - now
        if left > 0:
            self._clock = self.loop.call_later(left, self._look_at_clock)
        else:
            self._refuse(b"" if self._part is _Part.BEGINNING else _TOO_LATE)

    def _refuse(self, answer: bytes) -> None:
        """Close the connection, with an answer if no other is on its way."""
        if self.transport.is_closing():
            return
        waits = self._answering
        if self._part is _Part.BODY:
            waits = bool(self.pipeline) or self.cycle.response_started
        if answer and not waits:
            self.transport.write(answer)
        self.transport.close()
        if self._clock is not None:
            self._clock.cancel()
        # closing waits for what is unsent, and a client may not take it
        self._clock = self.loop.call_later(self.request_s, self.transport.abort)
