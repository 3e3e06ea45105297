"""Ports that give no connection, each in its own way."""

from __future__ import annotations

import contextlib
import random
import socket
from types import TracebackType
from typing import Self

_PORTS = range(10_000, 32_768)
"""Below those of connections, which begin at 32768 on Linux and at 49152 elsewhere (RFC 6335)."""
_TRIES = 100
_generator = random.SystemRandom()  # processes that test side by side choose different ones


class Unreachable:
    """A port on which every attempt to connect hangs, as behind a firewall that drops.

    Its queue of connections is full and nobody takes any (on Linux; elsewhere some may get in).
    """

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._queued: list[socket.socket] = []

    @property
    def base_url(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        for _ in range(2):
            sock = socket.socket()
            sock.setblocking(False)  # noqa: FBT003  # its only argument
            sock.connect_ex(("127.0.0.1", self.port))
            self._queued.append(sock)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sock in (*self._queued, self._listener):
            sock.close()


def unused_port() -> int:
    """Return a port on which nobody listens: connections to it are refused.

    It is none that the system gives to whoever asks for any port, nor to the near end of a
    connection, so that it stays unused while a server there is down. A test may listen on it.

    Raises:
        OSError: No port was found.
    """
    for port in _generator.sample(_PORTS, _TRIES):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError(f"found no unused port in {_TRIES} tries between {_PORTS[0]} and {_PORTS[-1]}")
