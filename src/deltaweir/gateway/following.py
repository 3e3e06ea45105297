"""Which streams of other gateways are read here: fetched once, then heard, and let go unread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from deltaweir.endings import Ending
from deltaweir.errors import StreamFailed
from deltaweir.gateway.errands import NO_MAIL
from deltaweir.gateway.followed import Followed
from deltaweir.gateway.listener import Listener
from deltaweir.gateway.publication import Owner
from deltaweir.gateway.store_calls import StoreCalls
from deltaweir.gateway.streams import Stream
from deltaweir.schema.frames import error_body
from deltaweir.stores.valkey_journals import LEASE_S, Found, Heard
from deltaweir.wire.sse import encode

GRACE_S = LEASE_S / 2
"""For how long a gateway must have shown no sign of life before its streams are buried."""
UNREAD_S = 5.0
"""How long a stream is followed that nobody reads, in seconds."""

_DIED = {"usage": None, "cost_usd": None, "source": None, "ending": Ending.FAILED.value}
"""What is known of a stream whose gateway died; the ledger knows more."""
_LAST_WORD = encode(
    error_body(StreamFailed("the server that ran this stream has died", code="failed"))
)


class Following:
    """Follow streams that run elsewhere.

    Args:
        calls: The store.
        listener: Hears what comes of them.
    """

    def __init__(self, calls: StoreCalls, listener: Listener) -> None:
        self._calls = calls
        self._listener = listener
        self._followed: dict[str, Followed] = {}
        self._loading: dict[str, asyncio.Task[Followed | None]] = {}

    async def find(self, stream_id: str) -> Stream | None:
        """Return a stream that runs elsewhere, or has ended there; None where nobody knows it.

        Raises:
            ServiceUnavailable: The store cannot be asked.
        """
        if stream_id in self._followed:
            return self._followed[stream_id].stream
        found = await self._calls.find(stream_id, lambda found: found is not None)
        if found is None:
            return None
        about = found.about
        owner = Owner(about.key_id, about.user)
        stream = Stream(stream_id, owner, None, None, gateway=about.gateway)
        if found.ended is not None:
            stream.told(found.ended)
        return stream

    async def follow(self, stream_id: str) -> Stream | None:
        """Return a stream that runs elsewhere with what was sent of it; None as for `find`.

        Raises:
            ServiceUnavailable: The store cannot be asked.
        """
        followed = self._followed.get(stream_id)
        if followed is None:
            loading = self._loading.get(stream_id)
            if loading is None:
                loading = self._loading[stream_id] = self._calls.spawn(self._load(stream_id))
                loading.add_done_callback(lambda _: self._loading.pop(stream_id))
            followed = await asyncio.shield(loading)  # others may wait for it as well
        return None if followed is None else followed.stream

    def heard(self, heard: Mapping[str, Heard]) -> None:
        """Take what has come."""
        for stream_id, followed in self._followed.items():
            news = heard.get(self._calls.store.stream_key(stream_id))
            if news is not None:
                followed.take(news)

    async def look_after(self, heartbeat_s: float) -> None:
        """Look whether those live who run what is read here, and keep readers awake.

        Args:
            heartbeat_s: Silence after which readers are sent a heartbeat.

        Raises:
            LedgerUnavailable: The store cannot be asked.
        """
        now = time.monotonic()
        for stream_id, followed in [*self._followed.items()]:
            followed.publication.beat(now, heartbeat_s)
            if followed.unread(now) >= UNREAD_S:
                self._forget(stream_id)
            elif not followed.ended:
                found = await self._calls.call(self._calls.store.find, stream_id)
                await self._look_at(stream_id, followed, found)

    async def _load(self, stream_id: str) -> Followed | None:
        store, ask = self._calls.store, self._calls.for_client
        found = await ask(store.find, stream_id)
        if found is None or not found.about.resumable:
            return None
        followed = Followed(stream_id, found.about)
        journal = followed.publication.journal
        while True:
            heard = await ask(store.frames, stream_id, journal.last)
            followed.take(heard)
            if not heard.frames:
                break
        self._followed[stream_id] = followed
        if not followed.ended:
            self._listener.add(store.stream_key(stream_id), heard.position)
            await ask(store.send, store.gateway, NO_MAIL)
        return followed

    async def _look_at(self, stream_id: str, followed: Followed, found: Found | None) -> None:
        lost = found is None or not (found.alive or found.ended)
        if followed.lost(time.monotonic(), lost=lost) < GRACE_S:
            return
        if found is None:  # the store has lost it: its readers shall ask again
            followed.publication.skip_to(followed.publication.journal.last + 1)
            self._forget(stream_id)
            return
        store, gateway = self._calls.store, found.about.gateway
        seen = followed.publication.furthest
        await self._calls.call(
            lambda: store.bury(stream_id, gateway, frame=_LAST_WORD, seen=seen, ended=_DIED)
        )

    def _forget(self, stream_id: str) -> None:
        del self._followed[stream_id]
        self._listener.remove(self._calls.store.stream_key(stream_id))
