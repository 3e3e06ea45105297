"""Streams that several gateways share, by a store between them.

What runs here is written there, some dozens of times a second and never per chunk; what runs
elsewhere is followed from there, as long as somebody here reads it, and read as if it ran here.

**When the store is slow or gone**, streams go on: their journals are in memory, and what the store
lacks of them is written when it is back. Until then only this gateway can be asked for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Self

from deltaweir.gateway.config.file import Config
from deltaweir.gateway.streams.errands import Errands
from deltaweir.gateway.streams.following import Following
from deltaweir.gateway.streams.listener import Listener
from deltaweir.gateway.streams.mirror import Mirror
from deltaweir.gateway.streams.store_calls import FLUSH_S, StoreCalls
from deltaweir.gateway.streams.streams import Streams
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.valkey_journals import Heard, ValkeyJournals

LOOK_S = 1.0
"""How often gateways are looked at whose streams are read here, in seconds."""

_RETRY_S = 0.5
_log = logging.getLogger("deltaweir.gateway")


class Shared:
    """Share streams with other gateways; on the event loop's thread.

    Args:
        store: What is between them; closed with this.
        streams: The streams of this gateway.
        ttl_s: How long the store keeps a stream after its end, in seconds.
        most_bytes: What may be kept here of streams that ended here, and of others' streams.

    Attributes:
        errands: To stop streams that run elsewhere, or ask about them.
        following: Those that are read here.
    """

    def __init__(
        self, store: ValkeyJournals, streams: Streams, *, ttl_s: float, most_bytes: int
    ) -> None:
        self._store = store
        self._calls = StoreCalls(store)
        self._mirror = Mirror(store.gateway, ttl_s=ttl_s, most_bytes=most_bytes)
        self._listener = Listener(store, self._heard)
        self._started = False
        self.errands = Errands(self._calls, streams)
        self.following = Following(self._calls, self._listener, self.errands, most_bytes=most_bytes)
        self._openings = 0
        streams.on_begin = self._mirror.began
        streams.on_end = lambda stream: self._mirror.ended(stream, time.monotonic())

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
        most_bytes = int(server.journal_mib * 2**20)
        return cls(journals, streams, ttl_s=server.journal_ttl_s, most_bytes=most_bytes)

    @property
    def since(self) -> float | None:
        """Since when the store cannot be used, in seconds since 1970; None while it can."""
        return self._calls.since

    @property
    def unwritten(self) -> int:
        """How many streams are not written to their end."""
        return self._mirror.streams

    async def known(self, stream_ids: Sequence[str]) -> set[str]:
        """Return those streams that can be stopped from here; none while the store is away."""
        try:
            return await self._calls.call(self._store.known, stream_ids) if stream_ids else set()
        except LedgerUnavailable:  # it is logged
            return set()

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
            except Exception as error:  # noqa: BLE001  # the next turn is as needed as this one
                _log.error("streams could not be shared", exc_info=error)
                await asyncio.sleep(_RETRY_S)

    async def _flush(self) -> None:
        if self._openings != self._store.openings:  # it may have lost its last words
            self._openings = self._store.openings
            self._mirror.doubt()
        while batch := self._mirror.batch():
            self._mirror.learned(batch, await self._calls.call(self._store.publish, batch))

    async def _look_for_ever(self) -> None:
        while True:
            try:
                self._mirror.tidy(time.monotonic())
                await self.following.look_after()
            except LedgerUnavailable:  # it is logged
                pass
            except Exception as error:  # noqa: BLE001  # as above
                _log.error("a look after shared streams failed", exc_info=error)
            await asyncio.sleep(LOOK_S)

    def _heard(self, heard: dict[str, Heard]) -> None:
        """Take what has come, of streams and by mail."""
        mail = heard.pop(self._store.mailbox, None)
        for message in () if mail is None else mail.mail:
            self.errands.heard(message)
        self.following.heard(heard)
