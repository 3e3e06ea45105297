"""Connections for programs that block, and the pool that keeps them for another request.

One thread uses a connection; any thread may close it. A reader in the middle of a wait wakes
by ``shutdown``, and only then lets go of the descriptor itself: a descriptor closed under a
reader may already be another connection's when the reader looks again.

A forked child has a share in each connection of its parent. It uses none of them, or one would
get the other's answers, and only lets go of its share, since ``shutdown`` ends both.
"""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import ssl
import time

from deltaweir.client.provider import Origin
from deltaweir.net.route import (
    Route,
    connect_error,
    discard_unsent,
    route_to,
    tls_context,
    tunnelled,
)
from deltaweir.wire.http1 import ResponseReader

RECEIVE_BYTES = 32 * 1024
IDLE_S = 60.0
"""How long an unused connection is kept, in seconds; servers close theirs after about as much."""
MAX_IDLE = 20
"""Unused connections kept for one origin."""
LOOK_S = 1.0
"""The longest single wait for bytes, in seconds.

A signal that comes right before a wait, or that the system hands to another thread, wakes nobody;
Python runs its handler, and so Ctrl-C ends a stream, when the wait is over.
"""

_LONGEST_S = 1_000_000.0
_SHORTEST_S = 1e-6  # zero would make a socket that never waits, with errors of its own


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
        self.process = os.getpid()
        """The process that made it."""
        self._tls = tls
        self._socket: socket.socket | None = None
        # set in this order by whoever uses and whoever closes, so that one of them sees both
        self._busy = False
        self._closed = False

    def open(self, timeout_s: float | None) -> None:
        """Connect, through the proxy and TLS where there are any.

        A name is looked up by the system, which neither the time nor `close` can interrupt.

        Args:
            timeout_s: Seconds for all of it.

        Raises:
            ConnectionFailed: No connection was made in time.
        """
        deadline = time.monotonic() + (_LONGEST_S if timeout_s is None else timeout_s)
        self._busy = True
        try:
            self._connect(deadline)
            if self.route.tunnel:
                self._tunnel(deadline)
            if self.route.origin.scheme == "https":
                self._secure(deadline)
        except OSError as error:
            self._closed = True
            raise connect_error(self.route, error) from error
        except BaseException:
            self._closed = True
            raise
        finally:
            self._leave()

    def send(self, data: bytes, timeout_s: float | None) -> None:
        """Send all of it.

        Raises:
            TimeoutError: The peer took it too slowly.
            OSError: The connection broke, or was closed here.
        """
        sock = self._enter(timeout_s)
        try:
            sock.sendall(data)
        except BaseException:
            discard_unsent(sock)
            raise
        finally:
            self._leave()

    def receive(self, timeout_s: float | None) -> bytes:
        """Wait for bytes; none mean that the peer has closed.

        Raises:
            TimeoutError: Nothing came in time.
            OSError: The connection broke, or was closed here.
        """
        ends = None if timeout_s is None else time.monotonic() + timeout_s
        sock = self._enter(LOOK_S if timeout_s is None else min(timeout_s, LOOK_S))
        try:
            while True:
                try:
                    return sock.recv(RECEIVE_BYTES)
                except TimeoutError:
                    left = LOOK_S if ends is None else ends - time.monotonic()
                    if left <= 0:
                        raise
                sock.settimeout(max(min(left, LOOK_S), _SHORTEST_S))
        finally:
            self._leave()

    def stale(self) -> bool:
        """Tell whether the peer has closed, or said something unasked, while it was idle."""
        if time.monotonic() - self.idle_since > IDLE_S:
            return True
        try:
            sock = self._enter(0.0)
            try:
                sock.settimeout(0.0)
                # not by select, which takes no descriptor above 1023; and below TLS
                socket.socket.recv(sock, 1, socket.MSG_PEEK)
            finally:
                self._leave()
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Close at once, and wake whoever waits; idempotent, from any thread, without a lock."""
        self._closed = True
        sock = self._socket
        if sock is not None:
            mine = self.process == os.getpid()
            with contextlib.suppress(OSError):  # it may be closed by either side already
                if mine:  # past TLS, whose state belongs to the reader
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
            if not (mine and self._busy):
                sock.close()

    def __del__(self) -> None:
        self._busy = False
        self.close()

    def _enter(self, timeout_s: float | None) -> socket.socket:
        """Begin to use the socket; every way out goes by `_leave`."""
        self._busy = True
        sock = self._socket
        if sock is None or self._closed:
            self._leave()
            raise ConnectionAbortedError("closed by the reader")
        sock.settimeout(None if timeout_s is None else max(timeout_s, _SHORTEST_S))
        return sock

    def _leave(self) -> None:
        """Stop using the socket, and close it for whoever wanted that meanwhile."""
        self._busy = False
        if self._closed and self._socket is not None:
            self._socket.close()

    def _keep(self, sock: socket.socket) -> socket.socket:
        """Make a socket known to `close`."""
        self._socket = sock
        if self._closed:
            raise ConnectionAbortedError("closed by the reader")
        return sock

    def _connect(self, deadline: float) -> None:
        """Try the host's addresses one after the other, each for its share of the time."""
        failure = OSError("the name has no address")
        found = socket.getaddrinfo(*self.route.address, type=socket.SOCK_STREAM)
        for tried, (family, kind, protocol, _, address) in enumerate(found):
            left = _left(deadline) / (len(found) - tried)
            try:
                sock = self._keep(socket.socket(family, kind, protocol))
                sock.settimeout(left)
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                failure = error
                if self._socket is not None:
                    self._socket.close()
                if self._closed:
                    break
            else:
                return
        raise failure

    def _tunnel(self, deadline: float) -> None:
        sock = self._socket
        assert sock is not None
        sock.settimeout(_left(deadline))
        sock.sendall(self.route.tunnel)
        reader = ResponseReader()
        while True:
            sock.settimeout(_left(deadline))
            # a byte at a time, since what follows the head belongs to TLS
            if tunnelled(reader, sock.recv(1)):
                return

    def _secure(self, deadline: float) -> None:
        assert self._socket is not None
        assert self._tls is not None
        self._socket.settimeout(_left(deadline))
        # the handshake comes after `_keep`, so that `close` can wake it; and outside of
        # truststore's lock, which would make all other connections wait for this one
        secure = self._tls.wrap_socket(
            self._socket,
            server_hostname=self.route.origin.host,
            do_handshake_on_connect=False,
        )
        self._keep(secure)
        secure.do_handshake()


def _left(deadline: float) -> float:
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
        self._process = os.getpid()
        self._closed = False

    def take(self, origin: Origin, *, fresh: bool = False) -> Connection:
        """Return an idle connection, or one that is still to be opened.

        Args:
            origin: Where it goes.
            fresh: Whether an idle one will not do.

        Raises:
            InvalidRequest: The proxy or the certificates are not usable.
        """
        route = self.route(origin)
        if self._process != os.getpid():
            self._idle, self._process = {}, os.getpid()
        idle = self._idle.setdefault(route, collections.deque())
        while idle and not fresh:
            with contextlib.suppress(IndexError):  # another thread was faster
                connection = idle.pop()
                if not connection.stale():
                    return connection
                connection.close()
        return Connection(route, self.tls(origin))

    def route(self, origin: Origin) -> Route:
        """Return the way to an origin; raises as `take` does."""
        return route_to(origin, proxy=self._proxy)

    def tls(self, origin: Origin) -> ssl.SSLContext | None:
        """Return what checks an origin's certificates; None for plain HTTP.

        Raises:
            InvalidRequest: The file of certificates is not usable.
        """
        if origin.scheme == "https" and self._tls is None:
            self._tls = tls_context(self._ca_file)
        return self._tls if origin.scheme == "https" else None

    def give(self, connection: Connection) -> None:
        """Take a connection back whose response has ended, for another request."""
        if connection.process != os.getpid():
            connection.close()
            return
        connection.fresh = False
        connection.idle_since = time.monotonic()
        idle = self._idle.setdefault(connection.route, collections.deque())
        idle.append(connection)
        with contextlib.suppress(IndexError):  # another thread was faster
            oldest = idle.popleft()  # looked at only while no other thread can take it
            if len(idle) >= MAX_IDLE or oldest.stale():
                oldest.close()
            else:
                idle.appendleft(oldest)
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close all idle connections; those in use are closed when they are given back."""
        self._closed = True
        for idle in list(self._idle.values()):
            with contextlib.suppress(IndexError):
                while True:
                    idle.pop().close()
