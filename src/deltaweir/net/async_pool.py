"""The pool that keeps connections of asyncio programs for another request."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ssl
import time
import weakref
from collections.abc import AsyncGenerator

from deltaweir.client.provider import Origin
from deltaweir.net.asynchronous import Connection
from deltaweir.net.blocking import MAX_IDLE
from deltaweir.net.route import Route, route_to, tls_context


class AsyncPool:
    """Connections that wait for another request, and the making of new ones.

    Args:
        proxy: A proxy's address; None asks the environment, empty uses none.
        ca_file: Certificates to trust instead of the system's.
        max_idle: Unused connections kept for one origin.
        route: The way of all connections, where there is but one origin; then neither proxy nor
            environment is asked.

    Belongs to the event loop it is used on; on another it begins anew. When its loop ends, or
    nobody has the pool any more, its connections are closed.
    """

    def __init__(
        self,
        *,
        proxy: str | None = None,
        ca_file: str | None = None,
        max_idle: int = MAX_IDLE,
        route: Route | None = None,
    ) -> None:
        self._route = route
        self._proxy = proxy
        self._ca_file = ca_file
        self._max_idle = max_idle
        self._tls: ssl.SSLContext | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: dict[Route, collections.deque[Connection]] = {}
        self._made: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._keeper: AsyncGenerator[None] | None = None
        self._closed = False

    def take(self, origin: Origin, *, fresh: bool = False) -> Connection:
        """Return an idle connection, or one that is still to be opened with `tls`.

        Args:
            origin: Where it goes.
            fresh: Whether an idle one will not do.

        Raises:
            InvalidRequest: The proxy is not usable.
        """
        self._settle()
        route = self.route(origin)
        idle = self._idle.setdefault(route, collections.deque())
        while idle and not fresh:
            connection = idle.pop()
            if not connection.stale():
                return connection
            connection.close()
        connection = Connection(route)
        self._made.add(connection)
        return connection

    def route(self, origin: Origin) -> Route:
        """Return the way to an origin.

        Raises:
            InvalidRequest: The proxy is not usable.
        """
        return self._route or route_to(origin, proxy=self._proxy)

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
        connection.fresh = False
        connection.idle_since = time.monotonic()
        idle = self._idle.setdefault(connection.route, collections.deque())
        idle.append(connection)
        while idle and (self._closed or len(idle) > self._max_idle or idle[0].stale()):
            idle.popleft().close()

    @property
    def idle(self) -> int:
        """How many connections wait for another request."""
        return sum(map(len, self._idle.values()))

    def close(self) -> None:
        """Close all idle connections; those in use are closed when they are given back."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _settle(self) -> None:
        """Belong to the running loop."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        self._loop = loop
        self._idle = {}
        self._made = weakref.WeakSet()
        self._keeper = _keep(self._made)
        with contextlib.suppress(StopIteration):  # so that the loop knows it, and ends it
            self._keeper.__anext__().send(None)


async def _keep(connections: weakref.WeakSet[Connection]) -> AsyncGenerator[None]:
    """Close connections when the loop shuts its generators down, or drops this one."""
    try:
        yield
    finally:
        for connection in list(connections):
            connection.close()
