"""The upstreams of a configuration at work: their connections, and how they fare."""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable, Mapping
from typing import Literal

from deltaweir import __version__
from deltaweir.client.clocks import Timeouts
from deltaweir.client.provider import Letterhead, Outgoing
from deltaweir.client.requests import WHOLE_HEADERS_S
from deltaweir.errors import ConnectionFailed
from deltaweir.gateway.config.file import UpstreamConfig
from deltaweir.gateway.upstreams.breaker import FAILURES, Breaker
from deltaweir.gateway.upstreams.failover import Rests
from deltaweir.gateway.upstreams.state import UpstreamState
from deltaweir.net.async_pool import AsyncPool
from deltaweir.net.route import route_to

_log = logging.getLogger("deltaweir.gateway")


class Upstream:
    """One provider: a pool of connections, a limit on them, a breaker, and rests.

    Args:
        config: What the configuration says of it.

    Attributes:
        active: How many connections are in use.
        last_failure: The code of its last failure; None where there was none.
    """

    def __init__(self, config: UpstreamConfig) -> None:
        self.config = config
        self.provider = config.provider
        self.clocks = config.clocks
        self.breaker = Breaker(self._turned)
        self.rests = Rests()
        self.pool = AsyncPool(
            ca_file=config.ca_file,
            max_idle=config.max_connections,
            route=route_to(config.provider.origin, proxy=config.proxy),
        )
        self.active = self._failures = 0
        self.last_failure: str | None = None
        self._letterheads: dict[tuple[str, bool], Letterhead] = {}
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self.config.name

    @property
    def whole_clocks(self) -> Timeouts:
        """How long to wait for a whole reply, which begins when it is there."""
        told = "headers" in self.config.timeouts
        clocks = self.clocks._replace(first_content=None)
        return clocks if told else clocks._replace(headers=WHOLE_HEADERS_S)

    @property
    def idle(self) -> int:
        """How many connections wait for another request."""
        return self.pool.idle

    def outgoing(
        self,
        path: str,
        body: bytes,
        *,
        stream: bool,
        request_id: str,
        headers: Mapping[str, str] | None = None,
    ) -> Outgoing:
        """Return a request to it.

        Args:
            path: Such as ``/chat/completions``, of which there are a few.
            body: JSON text.
            stream: Whether an event stream is wanted.
            request_id: An id of ours.
            headers: Further headers.
        """
        head = self._letterheads.get((path, stream))
        if head is None:
            head = Letterhead(self.provider, path, stream=stream, version=__version__)
            self._letterheads[path, stream] = head
        return head.outgoing(body, request_id=request_id, headers=headers)

    async def reserve(
        self, timeout_s: float | None, *, gone: asyncio.Future[None] | None = None
    ) -> Callable[[], None]:
        """Wait for the right to use a connection; return what gives it back, called once.

        Args:
            timeout_s: Seconds to wait at most; None for ever.
            gone: Set when nobody wants it any more.

        Raises:
            ConnectionFailed: All connections were in use all the time.
        """
        if self.active >= self.config.max_connections or self._waiting:
            await self._turn(timeout_s, [] if gone is None else [gone])
        else:
            self.active += 1
        return self._freed

    def failed(self, code: str | None) -> None:
        """Take note of a failure, for whoever watches.

        Args:
            code: That of its error.
        """
        self.last_failure = code
        self._failures += 1

    def taken_failures(self) -> int:
        """Return how many failures there were since this was asked before."""
        found, self._failures = self._failures, 0
        return found

    def shown(self, now: float, wall: float) -> UpstreamState:
        """Return how it fares.

        Args:
            now: Seconds on the monotonic clock.
            wall: The same in seconds since 1970.
        """
        wait = self.breaker.wait(now)
        state: Literal["up", "trying", "down"] = "up"
        if self.breaker.open:
            state = "down" if wait and not self.breaker.trying else "trying"
        return UpstreamState(
            name=self.name,
            state=state,
            active=self.active,
            last_failure=self.last_failure,
            retry_at=wall + wait if state == "down" else None,
        )

    def close(self) -> None:
        """Close the connections that are not in use; the others when they are given back."""
        self.pool.close()

    def _turned(self, rest_s: float | None) -> None:
        """Log that the breaker has opened or closed."""
        if rest_s is None:
            _log.info("upstream %s: it answers again, its breaker is closed", self.name)
        else:
            _log.warning(
                "upstream %s: its breaker is open after %d failures in a row; it is left alone "
                "for %g s, then asked by one request at a time",
                self.name,
                FAILURES,
                rest_s,
            )

    async def _turn(self, timeout_s: float | None, gone: list[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait([turn, *gone], timeout=timeout_s, return_when=first)
        except BaseException:
            if turn.done():
                self._freed()  # its turn came in the very moment it gave up
            else:
                self._waiting.remove(turn)
            raise
        if not turn.done():
            self._waiting.remove(turn)
            raise ConnectionFailed(
                f"all {self.config.max_connections} connections to it were in use; raise "
                "max_connections"
            )

    def _freed(self) -> None:
        """Hand a connection's right to the next that waits."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self.active -= 1
