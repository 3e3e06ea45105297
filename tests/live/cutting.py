"""Something between a client and a gateway that cuts connections after each event."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from typing import Self

_END = b"\n\n"
"""An event's end."""
_ALIVE, _CLOSE = b"Connection: keep-alive\r\n", b"\r\nConnection: close\r\n"
_RESET = struct.pack("ii", 1, 0)


class Cutting:
    """A proxy that lets so many events through, and then breaks the connection off.

    Each connection carries one request.

    Args:
        port: The gateway's.
        events: How many events a connection carries; None cuts nothing.
        retry_ms: How soon a browser shall come back; None says nothing of it.
        reset: Whether a connection is reset rather than closed.

    Attributes:
        port: Where it listens.
        cuts: How many connections it has cut.
    """

    def __init__(
        self,
        port: int,
        *,
        events: int | None = 1,
        retry_ms: int | None = None,
        reset: bool = True,
    ) -> None:
        self._gateway = port
        self.events = events
        self.cuts = 0
        self._retry = b"" if retry_ms is None else b"retry: %d\n\n" % retry_ms
        self._reset = reset
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listening.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()

    @property
    def base_url(self) -> str:
        """The address for clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    def cut(self) -> None:
        """Break off all connections there are."""
        for one in [*self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(30)

    def _start(self, target: object, *told: object) -> None:
        thread = threading.Thread(target=target, args=told)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            gateway = socket.create_connection(("127.0.0.1", self._gateway), timeout=60)
            with gateway:
                self._open |= {client, gateway}
                back = threading.Thread(target=self._up, args=(client, gateway))
                back.start()
                try:
                    self._down(gateway, client)
                finally:
                    for one in (gateway, client):
                        with contextlib.suppress(OSError):
                            one.shutdown(socket.SHUT_RDWR)
                    back.join(30)
                    self._open -= {client, gateway}

    @staticmethod
    def _up(client: socket.socket, gateway: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            asked = client.recv(65536)
            gateway.sendall(asked.replace(_ALIVE, b"").replace(b"\r\n", _CLOSE, 1))
            while client.fileno() >= 0:  # a call that waits would keep it from being closed
                if select.select([client], [], [], 0.02)[0]:
                    data = client.recv(65536)
                    if not data:
                        break
                    gateway.sendall(data)
        with contextlib.suppress(OSError):
            gateway.shutdown(socket.SHUT_WR)

    def _down(self, gateway: socket.socket, client: socket.socket) -> None:
        """Pass what comes on, until enough events have."""
        got, passed = b"", 0
        while data := gateway.recv(65536):
            got += data
            end = self._end(got)
            told = got[passed : len(got) if end is None else end]
            head = got.find(b"\r\n\r\n") + 4
            if self._retry and passed < head <= passed + len(told) and _streams(got):
                extra = b"%x\r\n%b\r\n" % (len(self._retry), self._retry)
                told = told[: head - passed] + extra + told[head - passed :]
            client.sendall(told)
            passed = len(got) if end is None else end
            if end is not None:
                self.cuts += 1
                if self._reset:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    client.close()
                return

    def _end(self, got: bytes) -> int | None:
        """Return where to cut; None where not yet."""
        if self.events is None or not _streams(got):
            return None
        at = got.find(b"\r\n\r\n") + 4
        for _ in range(self.events):
            at = got.find(_END, at) + len(_END)
            if at < len(_END):
                return None
        return at


def _streams(got: bytes) -> bool:
    head = got.partition(b"\r\n\r\n")[0].lower()
    return b"text/event-stream" in head and len(head) < len(got)
