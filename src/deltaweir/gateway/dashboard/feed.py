"""The dashboard's snapshots: one a second for all who watch, and none while nobody does.

What takes time is done in threads: figures of streams are counted there, and the ledger is asked
for those of other processes by a look of its own, so that a slow ledger delays nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from deltaweir.accounts import Opened
from deltaweir.gateway.dashboard.dashboard import (
    MOST_SHOWN,
    Reading,
    counted,
    newest_first,
    snapshot,
)
from deltaweir.gateway.dashboard.live import Live, Rates
from deltaweir.gateway.dashboard.live_streams import live_elsewhere, live_here
from deltaweir.gateway.upstreams.state import UpstreamState
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.ledger_columns import RunningRow

if TYPE_CHECKING:
    from deltaweir.gateway.service import Gateway

EVERY_S = 1.0
"""Seconds from one snapshot to the next."""
PATIENCE_S, ONCE_S = 0.25, 2.0
"""How long the ledger has to tell of other processes, each second and for who asks once, in
seconds."""
STALE_S = 5.0
"""How long what was found elsewhere is believed, should the ledger not answer, in seconds."""
_FRAME = b"event: snapshot\ndata: %b\n\n"
_ENCODER = msgspec.json.Encoder()
_log = logging.getLogger("deltaweir.gateway")


class Watcher(Protocol):
    """Somebody who watches.

    Attributes:
        key_id: Whose key let them in; None without keys.
    """

    key_id: str | None

    def show(self, frame: bytes) -> None:
        """Take a new snapshot, as an event."""

    def end(self) -> None:
        """Take note that nothing comes any more."""


class Elsewhere(NamedTuple):
    """What other processes run, as far as the ledger knows it."""

    found: float = 0.0
    """When that was found, on the monotonic clock."""
    rows: Sequence[RunningRow] = ()
    total: int = 0
    """How many there are; more than there are rows where those are cut off."""
    gateways: int = 0
    """How many processes run them."""
    stoppable: frozenset[str] = frozenset()
    """Those that can be stopped from here."""


NOWHERE = Elsewhere()


class DashboardFeed:
    """Take snapshots of a gateway; on the loop's thread.

    Args:
        gateway: Of which.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.latest: bytes | None = None
        """The newest snapshot while anybody watches, as JSON."""
        self._gateway = gateway
        self._watchers: dict[Watcher, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._elsewhere = NOWHERE
        self._looking: asyncio.Task[Elsewhere] | None = None

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def enter(self, watcher: Watcher) -> None:
        """Show snapshots to somebody from now on, until `leave`."""
        self._watchers[watcher] = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watched())
        elif self.latest is not None:
            watcher.show(_FRAME % self.latest)

    def leave(self, watcher: Watcher) -> None:
        """Show nothing more to somebody; calls may repeat."""
        self._watchers.pop(watcher, None)
        if not self._watchers:
            self.close()

    def dismiss(self, key_ids: Collection[str]) -> None:
        """Show nothing more to whom these keys have let in, and tell them.

        Args:
            key_ids: The ids of keys that are not accepted any more.
        """
        for watcher in [one for one in self._watchers if one.key_id in key_ids]:
            watcher.end()
            self.leave(watcher)

    def close(self) -> None:
        """Take no more snapshots; all who watch are told."""
        task, self._task, self.latest = self._task, None, None
        if task is not None:
            task.cancel()
        watchers, self._watchers = self._watchers, {}
        for watcher in watchers:
            watcher.end()

    async def snapshot(self) -> bytes:
        """Return a snapshot as JSON: the newest that is there, or one of now."""
        if self.latest is not None:
            return self.latest
        return await self._taken(Rates(), await self._found(ONCE_S))

    async def live(self, may_see: Callable[[Opened], bool]) -> list[Live]:
        """Return streams that run now, the newest first.

        Args:
            may_see: Tells whether a stream is wanted, so that no other is counted.
        """
        elsewhere = await self._found(ONCE_S)
        return newest_first(await asyncio.to_thread(self._live, elsewhere, may_see))

    async def _watched(self) -> None:
        rates, loop = Rates(), asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                self.latest = await self._taken(rates, await self._found(PATIENCE_S))
            except Exception as error:  # noqa: BLE001  # the next snapshot is as wanted as this one
                _log.error("a snapshot for the dashboard failed", exc_info=error)
            else:
                frame = _FRAME % self.latest
                for watcher in [*self._watchers]:
                    watcher.show(frame)
            await asyncio.sleep(max(EVERY_S / 10, began + EVERY_S - loop.time()))

    async def _taken(self, rates: Rates, elsewhere: Elsewhere) -> bytes:
        upstreams = self._upstreams()
        return await asyncio.to_thread(self._encoded, rates, elsewhere, upstreams)

    def _encoded(
        self, rates: Rates, elsewhere: Elsewhere, upstreams: Sequence[UpstreamState]
    ) -> bytes:
        """Return a snapshot as JSON; blocks."""
        # before those that run: what ends meanwhile is in neither, and is found with the next
        sums = counted(self._gateway.metrics.sums())
        live = self._live(elsewhere)
        reading = Reading(
            now=time.time(),
            gateways=1 + elsewhere.gateways,
            live=live,
            hidden=max(0, elsewhere.total - len(elsewhere.rows)),
            sums=sums,
            upstreams=upstreams,
        )
        return _ENCODER.encode(snapshot(reading, rates))

    def _live(
        self, elsewhere: Elsewhere, may_see: Callable[[Opened], bool] = lambda _: True
    ) -> list[Live]:
        """Return the streams that run now; blocks."""
        gateway, known = self._gateway, elsewhere.stoppable
        running = [  # a stream that ends meanwhile lets go of its row: it is read once
            one for one in gateway.streams.running if (row := one.row) and may_see(row.opened)
        ]
        rows = [one for one in elsewhere.rows if may_see(one.opened)]
        here = live_here(running, self._key_name, stoppable=gateway.resumable)
        others = live_elsewhere(rows, self._key_name, stoppable=known.__contains__)
        return [*here, *others]

    def _key_name(self, key_id: str | None) -> str | None:
        access = self._gateway.access
        return None if access is None else access.name_of(key_id)

    def _upstreams(self) -> list[UpstreamState]:
        """Return how upstreams fare, as far as this process knows."""
        now, wall = time.monotonic(), time.time()
        return [one.shown(now, wall) for one in self._gateway.routing.upstreams.values()]

    async def _found(self, patience_s: float) -> Elsewhere:
        """Return what other processes run; what was found before where the ledger takes long."""
        if time.monotonic() - self._elsewhere.found < EVERY_S / 2:
            return self._elsewhere
        looking = self._looking
        if looking is None:
            looking = self._looking = asyncio.get_running_loop().create_task(self._looked())
        done, _ = await asyncio.wait({looking}, timeout=patience_s)
        if done:  # others may have waited for it as well
            self._looking = None if self._looking is looking else self._looking
            self._elsewhere = looking.result()
        elif time.monotonic() - self._elsewhere.found > STALE_S:
            self._elsewhere = NOWHERE
        return self._elsewhere

    async def _looked(self) -> Elsewhere:
        """Return what other processes run; what was found before while the ledger is away."""
        ledger = self._gateway.book.opened
        if ledger is None:
            return NOWHERE
        try:
            found = await asyncio.to_thread(ledger.running, MOST_SHOWN)
        except LedgerUnavailable:  # whoever writes it has logged that
            before = self._elsewhere
            return before if time.monotonic() - before.found <= STALE_S else NOWHERE
        shared = self._gateway.shared
        ids = [one.opened.stream_id for one in found]
        known = set[str]() if shared is None else await shared.known(ids)
        return Elsewhere(
            found=time.monotonic(),
            rows=found,
            total=found[0].total if found else 0,
            gateways=len({one.writer for one in found}),
            stoppable=frozenset(known),
        )
