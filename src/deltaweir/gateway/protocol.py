"""What uvicorn's HTTP protocol lacks for us: a lane, a limit on heads, bodies for HTTP/1.0.

A client of HTTP/1.0 knows no chunked bodies (RFC 9112, section 6.1), so its answer ends with
the connection. uvicorn would send it chunks all the same.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from deltaweir.gateway.lane import CYCLE_NAMES, EXTENSION, Lane

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a request's line and headers."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class _Unlimited(int):
    """The length of a body that ends when it ends: never passed, and always reached."""

    def __lt__(self, other: Any) -> bool:
        """Say that no length passes this one."""
        return False

    def __sub__(self, other: Any) -> _Unlimited:
        """Stay unlimited, whatever was sent."""
        return self


class Protocol(HttpToolsProtocol):
    """One connection of a client; asyncio and the parser call it."""

    lane: Lane | None = None
    """The response that is streamed; uvicorn runs one at a time."""
    choked = False
    lost = False
    _head_bytes = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless they belong to a head without end."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to count a head's bytes."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Offer the request a lane, and set a client of HTTP/1.0 up for a body without frames."""
        self._in_head = False
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
        self.lost = True
        if self.lane is not None:
            self.lane.client_left()
