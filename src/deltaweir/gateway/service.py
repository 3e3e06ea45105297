"""The state behind the gateway's routes: models, upstreams, ledger, and the streams that run."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from starlette.requests import Request

from deltaweir.endings import Ending
from deltaweir.errors import AuthenticationFailed, DeltaweirError
from deltaweir.gateway.account_book import AccountBook
from deltaweir.gateway.config.file import Config
from deltaweir.gateway.config.guards import Guards
from deltaweir.gateway.dashboard.feed import DashboardFeed
from deltaweir.gateway.keys.access import Access, Caller, Needs
from deltaweir.gateway.keys.allowance import Allowance
from deltaweir.gateway.ledger.rows import is_stream_id
from deltaweir.gateway.log.refusals import KEY, refusal_of
from deltaweir.gateway.log.streams import StreamLog
from deltaweir.gateway.metrics import gauges
from deltaweir.gateway.metrics.metrics import Metrics
from deltaweir.gateway.metrics.summary import Endpoint, Summary
from deltaweir.gateway.running import Running
from deltaweir.gateway.streams.reader import JournalReader
from deltaweir.gateway.streams.shared import Shared
from deltaweir.gateway.streams.streams import Stream, Streams, may, no_stream, not_resumable
from deltaweir.gateway.upstreams.routing import Routing

_log = logging.getLogger("deltaweir.gateway")

Scope = Any
Authorize = Callable[[Request], str | Awaitable[str | None] | None]
"""Takes a request and returns its user's name, or None to refuse it."""

POLL_S = 0.5
"""How often keys are read again, in seconds; what is revoked ends within two of these."""


class Gateway:
    """Know the models, keep the ledger, and end what runs.

    Args:
        config: What to serve.
        authorize: Takes a request and returns its user's name, None to refuse it.

    Attributes:
        runs: All that is on its way.
        readers: Who reads a stream beside its first reader.
        streams: The streams by their ids, and what is kept of them.
        shared: Those that run elsewhere; None without a store.
        access: The keys and their limits; None where nobody needs a key.
        book: The ledger.
        routing: The models and their upstreams.
        metrics: What all streams add up to.
        guards: The guards that models and requests name.
        dashboard: Shows all this to who runs it.
        draining: Whether new requests are refused since the server stops.
    """

    def __init__(self, config: Config, *, authorize: Authorize | None = None) -> None:
        self.config = config
        self._authorize = authorize
        self.runs: set[Running] = set()
        self.readers: set[JournalReader] = set()
        self.streams = Streams(
            ttl_s=config.server.journal_ttl_s,
            most_bytes=int(config.server.journal_mib * 2**20),
            wait_s=config.server.resume_wait_s,
        )
        self.guards = Guards(config.guards)
        self.draining = False
        self.routing = Routing(config)
        self.shared = Shared.of(config, self.streams)
        self.metrics = Metrics.of_environment()
        self.metrics.known = self.routing.models
        self._log = StreamLog(config.server.log)
        self.access = (
            Access(config.ledger.address, config.store) if config.server.auth == "keys" else None
        )
        self._keeper: asyncio.Task[None] | None = None
        self.book = AccountBook(config.ledger, self.access)
        gauges.watch(self)
        self.dashboard = DashboardFeed(self)

    def reload(self, config: Config) -> None:
        """Serve another configuration from the next request on; what runs goes on as it began.

        Args:
            config: Where to listen and where the ledger lies are not looked at again.
        """
        before = self.routing
        self.routing = Routing(config, before)
        self.guards = Guards(config.guards)
        self.config = config
        self.metrics.known = self.routing.models
        before.close_all_but(self.routing)

    async def user_of(self, scope: Scope) -> str | None:
        """Return who asks, as the host knows them; None where nobody checks.

        Raises:
            AuthenticationFailed: The host refuses the request.
        """
        if self._authorize is None:
            return None
        user = self._authorize(Request(scope))
        if inspect.isawaitable(user):
            user = await user
        if user is None:
            raise AuthenticationFailed("this request is not authorised")
        return user

    async def caller_of(self, scope: Scope) -> Caller:
        """Return who asks.

        Raises:
            AuthenticationFailed: The host, or this gateway, refuses the request.
        """
        self.keep()
        user = await self.user_of(scope)
        if self.access is None:
            return Caller(user)
        if not self.access.is_open:
            await asyncio.to_thread(self.book.open_access)
        key = await self.access.let_in(scope["headers"])
        scope[KEY] = key.id
        return Caller(user, key)

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked who they are."""
        return self.access is None and self._authorize is None

    def permit(self, caller: Caller, model: str) -> None:
        """Accept that somebody uses a model.

        Raises:
            PermissionDenied: Their key may not.
        """
        if self.access is not None and caller.key is not None:
            self.access.permits(caller.key, model)

    def admit(self, caller: Caller, needs: Needs) -> Allowance | None:
        """Return what a stream may use of its key's limits; None without keys.

        It blocks where the key has limits (`Caller.limited`).

        Raises:
            LimitReached: A rate or a budget is used up.
            PermissionDenied: The key has a budget in money, and no price is known.
            ServiceUnavailable: The limits cannot be checked.
        """
        if self.access is None or caller.key is None:
            return None
        return self.access.admit(caller.key, needs)

    @property
    def resumable(self) -> bool:
        """Whether streams can outlive their connection: some process knows all of them."""
        return self.config.server.workers == 1 or self.shared is not None

    def check_resumable(self) -> None:
        """Accept that a stream shall be resumed.

        Raises:
            InvalidRequest: This server's processes share nothing in which it could be kept.
        """
        if not self.resumable:
            raise not_resumable()

    @contextlib.contextmanager
    def reading(self, reader: JournalReader) -> Iterator[None]:
        """Know somebody who reads a stream beside or after its run."""
        self.readers.add(reader)
        try:
            yield
        finally:
            self.readers.discard(reader)

    async def stream(
        self, stream_id: str, caller: Caller, *, to_read: bool = False, as_admin: bool = False
    ) -> Stream:
        """Return a stream of somebody's own, wherever it runs.

        Args:
            stream_id: Its id.
            caller: Who asks.
            to_read: Whether its frames are wanted.
            as_admin: Whether keys for administrators may do with all streams what is asked.

        Raises:
            NotFoundError: There is none, or it is another's; which of the two is not told.
            ServiceUnavailable: The store cannot be asked.
        """
        found = self.streams.get(stream_id)
        if found is None and self.shared is not None and is_stream_id(stream_id):
            # whose it is is looked at before its frames are fetched
            found = await self.shared.following.find(stream_id)
            if found is not None and to_read and may(caller, found, as_admin=as_admin):
                found = await self.shared.following.follow(stream_id)
        if found is None or not may(caller, found, as_admin=as_admin):
            raise no_stream()
        return found

    def began(self, run: Running, stream: Stream) -> None:
        """Know a stream while it runs."""
        self.runs.add(run)
        self.streams.begin(stream)

    def left(self, run: Running, stream_id: str) -> None:
        """Take note that a stream has ended, of which all is known."""
        self.runs.discard(run)
        self.streams.end(stream_id)

    def ended(self, summary: Summary) -> None:
        """Count and log a stream that has ended."""
        self.metrics.ended(summary)
        self.routing.ended(summary)
        self._log.ended(summary)

    def refused(
        self,
        scope: Scope,
        error: DeltaweirError,
        *,
        endpoint: Endpoint | None = None,
        request_id: str | None = None,
    ) -> None:
        """Log a request that was refused before it was a stream; count it with an endpoint."""
        if endpoint is not None:
            self.metrics.refused(endpoint, error.status)
        passed = self.config.server.passthrough
        self._log.refused(refusal_of(scope, error, request_id=request_id, passed=passed))

    def keep(self) -> None:
        """Look after keys, metrics and streams from now on, on the running loop."""
        keeper, loop = self._keeper, asyncio.get_running_loop()
        if keeper is None or keeper.done() or keeper.get_loop() is not loop:
            self._keeper = loop.create_task(self._kept())
            if self.shared is not None:
                self.shared.start()

    async def _kept(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self._look_after()
            except Exception as error:  # noqa: BLE001  # the next look is as needed as this one
                _log.error("a look after the streams failed", exc_info=error)

    async def _look_after(self) -> None:
        """Tidy what runs; read keys again, and end what those have that were revoked."""
        self.metrics.publish()
        self._log.tidy()
        for run in [*self.runs]:
            run.tidy()
        now, heartbeat_s = time.monotonic(), self.config.server.heartbeat_s
        self.streams.look_after(now, heartbeat_s)
        if self.shared is not None:
            self.shared.following.beat(now, heartbeat_s)
        if self.access is None or not self.access.is_open:
            return
        gone = await self.access.look()
        for run in [run for run in self.runs if run.key_id in gone]:
            run.abort(Ending.REVOKED)
        self.dashboard.dismiss(gone)

    def close(self) -> None:
        """Write what the ledger still waits for, and let go of it; blocks."""
        self.book.close()
        self.metrics.close()
        self._log.close()

    async def leave(self) -> None:
        """Look after nothing any more; streams have ended."""
        keeper, self._keeper = self._keeper, None
        self.dashboard.close()
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        if self.shared is not None:
            await self.shared.close()
        for upstream in self.routing.upstreams.values():
            upstream.close()

    def stop_runs(self) -> None:
        """End every stream that still runs; each client is told."""
        for run in [*self.runs]:
            run.stop()

    def dismiss_readers(self) -> None:
        """Break off who still reads; where streams are shared, they go on elsewhere."""
        for reader in [*self.readers]:
            reader.abort()
