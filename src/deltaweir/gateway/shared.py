"""Streams that several gateways share, by a store between them.

What runs here is written there, some dozens of times a second and never per chunk; what runs
elsewhere is followed from there, as long as somebody here reads it, and read as if it ran here.

**When the store is slow or gone**, streams go on: their journals are in memory, and what the store
lacks of them is written when it is back. Until then only this gateway can be asked for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Self

from deltaweir.gateway.config import Config
from deltaweir.gateway.errands import Errands
from deltaweir.gateway.following import Following
from deltaweir.gateway.listener import Listener
from deltaweir.gateway.mirror import Mirror
from deltaweir.gateway.store_calls import FLUSH_S, StoreCalls
from deltaweir.gateway.streams import Streams
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.valkey_journals import LEASE_S, Heard, ValkeyJournals

RENEW_S = LEASE_S / 4
"""How often this gateway shows that it lives, in seconds."""

_RETRY_S = 0.5


class Shared:
    """Share streams with other gateways; on the event loop's thread.

    Args:
        store: What is between them; closed with this.
        streams: The streams of this gateway.
        heartbeat_s: Silence after which readers are sent a heartbeat.

    Attributes:
        errands: To stop streams that run elsewhere, or ask about them.
        following: Those that are read here.
    """

    def __init__(self, store: ValkeyJournals, streams: Streams, *, heartbeat_s: float) -> None:
        self._store = store
        self._heartbeat_s = heartbeat_s
        self._calls = StoreCalls(store)
        self._mirror = Mirror(store.gateway)
        self._listener = Listener(store, self._heard)
        self._started = False
        self.errands = Errands(self._calls, streams)
        self.following = Following(self._calls, self._listener)
        streams.on_begin = self._mirror.began

    @classmethod
    def of(cls, config: Config, streams: Streams) -> Self | None:
        """Return what a configuration shares; None where it has no store.

        Raises:
            InvalidRequest: The package's extra is not installed.
        """
        store, server = config.store, config.server
        if not store.shared:
            return None
        journals = ValkeyJournals(
            store.line(),
            store.line(),
            prefix=store.prefix,
            gateway=secrets.token_hex(8),
            ttl_s=server.journal_ttl_s,
        )
        return cls(journals, streams, heartbeat_s=server.heartbeat_s)

    @property
    def since(self) -> float | None:
        """Since when the store cannot be used, in seconds since 1970; None while it can."""
        return self._calls.since

    @property
    def unwritten(self) -> int:
        """How many streams are not written to their end."""
        return self._mirror.streams

    def start(self) -> None:
        """Write and listen from now on, on the running loop."""
        if not self._started:
            self._started = True
            self._listener.start(asyncio.get_running_loop())
            self._calls.spawn(self._flush_for_ever())
            self._calls.spawn(self._look_for_ever())

    async def close(self) -> None:
        """Write what is left, in a moment, and let go of the store."""
        self._calls.end_tasks()
        await asyncio.to_thread(self._listener.close)
        with contextlib.suppress(LedgerUnavailable):  # it is logged
            await self._flush()
            await self._calls.call(self._store.leave)
        self._calls.close()

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self._flush()
            except LedgerUnavailable:  # it is logged
                await asyncio.sleep(_RETRY_S)

    async def _flush(self) -> None:
        while batch := self._mirror.batch():
            self._mirror.learned(batch, await self._calls.call(self._store.publish, batch))

    async def _look_for_ever(self) -> None:
        while True:
            with contextlib.suppress(LedgerUnavailable):  # it is logged
                await self._calls.call(self._store.renew)
                await self.following.look_after(self._heartbeat_s)
            await asyncio.sleep(RENEW_S)

    def _heard(self, heard: dict[str, Heard]) -> None:
        """Take what has come, of streams and by mail."""
        mail = heard.pop(self._store.mailbox, None)
        for message in () if mail is None else mail.mail:
            self.errands.heard(message)
        self.following.heard(heard)
