"""Connections for programs that block, and the pool that keeps them for another request."""

from __future__ import annotations

import collections
import contextlib
import select
import socket
import ssl
import time

from deltaweir.client.provider import Origin
from deltaweir.errors import DeltaweirError
from deltaweir.net.route import (
    Route,
    check_tunnel,
    connect_error,
    route_to,
    tls_context,
)
from deltaweir.wire.http1 import ResponseReader

RECEIVE_BYTES = 64 * 1024
IDLE_S = 60.0
"""How long an unused connection is kept, in seconds; servers close theirs after about as much."""
MAX_IDLE = 20
"""Unused connections kept for one origin."""


class Connection:
    """One connection to an origin, made when it is opened.

    Args:
        route: The way there.
        tls: Checks certificates; unused for plain HTTP.
    """

    def __init__(self, route: Route, tls: ssl.SSLContext | None) -> None:
        self.route = route
        self.fresh = True
        """Whether it has not yet served a request."""
        self.idle_since = 0.0
        self._tls = tls
        self._socket: socket.socket | None = None
        self._closed = False

    def open(self, timeout_s: float | None) -> None:
        """Connect, through the proxy and TLS where there are any.

        Raises:
            ConnectionFailed: No connection was made in time.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            self._keep(socket.create_connection(self.route.address, timeout_s))
            assert self._socket is not None
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.route.origin.scheme == "https":
                if self.route.proxy is not None:
                    self._tunnel(deadline)
                assert self._tls is not None
                self._socket.settimeout(_left(deadline))
                self._keep(
                    self._tls.wrap_socket(self._socket, server_hostname=self.route.origin.host)
                )
        except OSError as error:
            self.close()
            raise connect_error(self.route, error) from error
        except DeltaweirError:
            self.close()
            raise

    def send(self, data: bytes, timeout_s: float | None) -> None:
        """Send all of it.

        Raises:
            TimeoutError: The peer took it too slowly.
            ConnectionFailed: The connection broke.
        """
        self._within(timeout_s).sendall(data)

    def receive(self, timeout_s: float | None) -> bytes:
        """Wait for bytes; none mean that the peer has closed.

        Raises:
            TimeoutError: Nothing came in time.
            OSError: The connection broke.
        """
        return self._within(timeout_s).recv(RECEIVE_BYTES)

    def stale(self) -> bool:
        """Tell whether the peer has closed, or said something unasked, while it was idle."""
        if self._socket is None or time.monotonic() - self.idle_since > IDLE_S:
            return True
        readable, _, _ = select.select([self._socket], [], [], 0)
        return bool(readable)

    def close(self) -> None:
        """Close at once, and wake whoever waits; idempotent, from any thread, without a lock."""
        self._closed = True
        sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):  # it may be closed by either side already
                # a reader in another thread wakes by this, not by close
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            sock.close()

    def _keep(self, sock: socket.socket) -> None:
        self._socket = sock
        if self._closed:  # while it was being made
            sock.close()
            raise ConnectionAbortedError("closed by the reader")

    def _within(self, timeout_s: float | None) -> socket.socket:
        if self._socket is None or self._closed:
            raise ConnectionAbortedError("closed by the reader")
        self._socket.settimeout(timeout_s)
        return self._socket

    def _tunnel(self, deadline: float | None) -> None:
        self.send(self.route.tunnel, _left(deadline))
        reader = ResponseReader()
        while reader.head is None:
            # a byte at a time, since what follows the head belongs to TLS
            data = self._within(_left(deadline)).recv(1)
            if not data:
                raise ConnectionResetError("the proxy closed the connection")
            reader.feed(data)
        check_tunnel(reader.head.status)


def _left(deadline: float | None) -> float | None:
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class Pool:
    """Connections that wait for another request, and the making of new ones.

    Args:
        proxy: A proxy's address; None asks the environment, empty uses none.
        ca_file: Certificates to trust instead of the system's.

    Safe to share between threads.
    """

    def __init__(self, *, proxy: str | None = None, ca_file: str | None = None) -> None:
        self._proxy = proxy
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        # a deque's ends may be used from several threads without a lock
        self._idle: dict[Route, collections.deque[Connection]] = {}
        self._closed = False

    def take(self, origin: Origin, *, fresh: bool = False) -> Connection:
        """Return an idle connection, or one that is still to be opened.

        Args:
            origin: Where it goes.
            fresh: Whether an idle one will not do.

        Raises:
            InvalidRequest: The proxy or the certificates are not usable.
        """
        route = route_to(origin, proxy=self._proxy)
        idle = self._idle.setdefault(route, collections.deque())
        while idle and not fresh:
            with contextlib.suppress(IndexError):  # another thread was faster
                connection = idle.pop()
                if not connection.stale():
                    return connection
                connection.close()
        if origin.scheme == "https" and self._tls is None:
            self._tls = tls_context(self._ca_file)
        return Connection(route, self._tls)

    def give(self, connection: Connection) -> None:
        """Take a connection back whose response has ended, for another request."""
        connection.fresh = False
        connection.idle_since = time.monotonic()
        idle = self._idle.setdefault(connection.route, collections.deque())
        if self._closed or len(idle) >= MAX_IDLE:
            connection.close()
        else:
            idle.append(connection)

    def close(self) -> None:
        """Close all idle connections; those in use are closed when they are given back."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                idle.pop().close()
