"""Which streams of other gateways are read here: fetched once, then heard, and let go unread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from deltaweir.errors import ServiceUnavailable
from deltaweir.gateway.streams.errands import NO_MAIL, Errands
from deltaweir.gateway.streams.followed import Followed
from deltaweir.gateway.streams.listener import Listener
from deltaweir.gateway.streams.publication import Owner
from deltaweir.gateway.streams.store_calls import GRACE_S, StoreCalls
from deltaweir.gateway.streams.streams import Stream
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.valkey_journals import Heard

UNREAD_S = 5.0
"""How long a stream is followed that nobody reads, in seconds."""


class Following:
    """Follow streams that run elsewhere.

    Args:
        calls: The store.
        listener: Hears what comes of them.
        errands: Tells their gateways that they are read.
        most_bytes: What their frames may take here.
    """

    def __init__(
        self, calls: StoreCalls, listener: Listener, errands: Errands, *, most_bytes: int
    ) -> None:
        self._calls = calls
        self._listener = listener
        self._errands = errands
        self._most_bytes = most_bytes
        self._followed: dict[str, Followed] = {}
        self._by_key: dict[str, Followed] = {}
        self._loading: dict[str, asyncio.Task[Followed | None]] = {}
        self._waking: asyncio.Task[None] | None = None

    @property
    def bytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(one.publication.journal.bytes for one in self._followed.values())

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
            ServiceUnavailable: The store cannot be asked, or too many are read here.
        """
        followed = self._followed.get(stream_id)
        if followed is None:
            loading = self._loading.get(stream_id)
            if loading is None:
                self._make_room()
                loading = self._loading[stream_id] = self._calls.spawn(self._load(stream_id))
                loading.add_done_callback(lambda _: self._loading.pop(stream_id))
            followed = await asyncio.shield(loading)  # others may wait for it as well
        return None if followed is None else followed.stream

    def heard(self, heard: Mapping[str, Heard]) -> None:
        """Take what has come, by where."""
        for key, news in heard.items():
            followed = self._by_key.get(key)
            if followed is not None:
                followed.take(news)

    def beat(self, now: float, heartbeat_s: float) -> None:
        """Keep readers awake, and let go of what nobody reads; about twice a second.

        Args:
            now: Seconds on the monotonic clock.
            heartbeat_s: Silence after which readers are sent a heartbeat.
        """
        for stream_id, followed in [*self._followed.items()]:
            followed.publication.beat(now, heartbeat_s)
            if followed.unread(now) >= UNREAD_S:
                self._forget(stream_id)

    async def look_after(self) -> None:
        """Tell gateways which of their streams are read here; bury those of the dead.

        Raises:
            LedgerUnavailable: The store cannot be asked.
        """
        read: dict[str, list[str]] = {}
        for stream_id, followed in self._followed.items():
            if not followed.ended and followed.stream.gateway is not None:
                read.setdefault(followed.stream.gateway, []).append(stream_id)
        try:
            store = self._calls.store  # asked also where nothing is read: is it there?
            alive = await self._calls.call(store.alive, [*read, store.gateway])
            for gateway, stream_ids in read.items():
                if gateway in alive:
                    await self._errands.tell_read(gateway, stream_ids)
        except LedgerUnavailable:
            for followed in self._followed.values():
                followed.lost(0.0, lost=False)  # of others nothing is known either
            raise
        for gateway, stream_ids in read.items():
            for stream_id in stream_ids:
                await self._look_at(stream_id, gateway, lost=gateway not in alive)

    async def _look_at(self, stream_id: str, gateway: str, *, lost: bool) -> None:
        followed = self._followed.get(stream_id)
        if followed is None or followed.lost(time.monotonic(), lost=lost) < GRACE_S:
            return
        publication = followed.publication
        seen = max(publication.furthest, publication.journal.last)
        buried = await self._calls.call(self._calls.bury, stream_id, gateway, seen)
        if not buried and await self._calls.call(self._calls.store.find, stream_id) is None:
            # the store has lost it, and nobody will write it again
            publication.skip_to(publication.journal.last + 1)
            self._forget(stream_id)

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
        if not followed.ended and found.ended is not None:
            return None  # the store has lost its frames
        followed.publication.unread_since = time.monotonic()
        self._followed[stream_id] = self._by_key[store.stream_key(stream_id)] = followed
        if not followed.ended:
            self._listener.add(store.stream_key(stream_id), heard.position)
            if self._waking is None or self._waking.done():
                self._waking = self._calls.spawn(self._wake())
        return followed

    async def _wake(self) -> None:
        """Have the listener hear of what was added."""
        store = self._calls.store
        try:
            await self._calls.call(store.send, store.gateway, NO_MAIL)
        except LedgerUnavailable:  # it is logged, and the listener's turn ends soon
            return

    def _make_room(self) -> None:
        for stream_id, followed in [*self._followed.items()]:
            if self.bytes < self._most_bytes:
                return
            if not followed.publication.readers:
                self._forget(stream_id)
        if self.bytes >= self._most_bytes:
            raise ServiceUnavailable("this server shows too many streams of others; ask again")

    def _forget(self, stream_id: str) -> None:
        key = self._calls.store.stream_key(stream_id)
        del self._followed[stream_id], self._by_key[key]
        self._listener.remove(key)
