"""Who may do what: the keys and limits of a gateway at work, opened with its ledger."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any, NamedTuple

from deltaweir.errors import ServiceUnavailable
from deltaweir.gateway.config.store import StoreConfig
from deltaweir.gateway.keys.allowance import Allowance
from deltaweir.gateway.keys.keys import Key, KeyRing, UnknownKey
from deltaweir.gateway.keys.limits import Limits
from deltaweir.stores.failures import LedgerUnavailable

MOST_WAITING = 100
"""Requests that wait at once for keys to be read again; whoever tries keys fills no more."""
LONGEST_WAIT_S = 1.0
"""How long they wait, should nobody look."""
_log = logging.getLogger("deltaweir.gateway")


class Caller(NamedTuple):
    """Who asks."""

    user: str | None = None
    """Their name, as the host of the gateway knows them."""
    key: Key | None = None
    """Their key, where this gateway wants one."""

    @property
    def limited(self) -> bool:
        """Whether their key has rates or budgets."""
        terms = None if self.key is None else self.key.terms
        return terms is not None and bool(terms.quotas or terms.rpm or terms.tpm)

    @property
    def budgeted(self) -> bool:
        """Whether their key has budgets, which end streams."""
        return self.key is not None and bool(self.key.terms.quotas)

    @property
    def own_key(self) -> str | None:
        """The id of their key, where they may see nothing of others; None otherwise."""
        return None if self.key is None or self.key.admin else self.key.id

    @property
    def operator(self) -> bool:
        """Whether they may watch all that runs: an administrator's key, or nobody is asked."""
        return self.own_key is None and self.user is None


class Needs(NamedTuple):
    """What a stream is sure to use."""

    stream_id: str
    prompt_tokens: int = 0
    prompt_pico: int | None = 0
    """What the prompt costs in picodollars; None where that is not known."""
    token_pico: int | None = 0
    """What a generated token costs; None where that is not known."""


class Access:
    """Let in who has a key, within its limits.

    Args:
        url: The ledger's, where keys and limits are kept.
        store: The store where they are kept instead, if it is one.

    Attributes:
        available: Whether keys could be looked at the last time.
        since: Since when that is so, in seconds since 1970; None until they are opened.
    """

    def __init__(self, url: str, store: StoreConfig = StoreConfig()) -> None:
        self.available = True
        self.since: float | None = None
        self._url = url
        self._store = store
        self._opening = threading.Lock()
        self._ring: KeyRing | None = None
        self._limits: Limits | None = None
        self._said = ""
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def is_open(self) -> bool:
        """Whether keys were read."""
        return self._ring is not None

    @property
    def stale(self) -> bool:
        """Whether nobody is let in, since keys could not be looked at for too long."""
        ring = self._ring
        return ring is not None and ring.stale

    @property
    def unchecked(self) -> int:
        """How many streams were let in whose limits could not be checked."""
        limits = self._limits
        return 0 if limits is None else limits.unchecked

    def open(self) -> None:
        """Read the keys, once; blocks.

        Raises:
            LedgerUnavailable: They cannot be read.
        """
        with self._opening:
            if self._ring is None:
                limits = Limits.open(self._url, self._store)
                try:
                    ring = KeyRing.open(self._url, self._store)
                except BaseException:
                    limits.close(0.0)
                    raise
                self._limits, self.since = limits, time.time()
                self._ring = ring  # the last: whoever sees it uses the others

    async def let_in(self, headers: Any) -> Key:
        """Return whose key a request's headers have; see `KeyRing.authenticate`.

        A key that is not known waits for the next `look`, since it may have been made just now,
        and no client tries again after a 401.
        """
        try:
            return self._known().authenticate(headers)
        except UnknownKey:
            if len(self._waiting) >= MOST_WAITING:
                raise
        looked = asyncio.get_running_loop().create_future()
        self._waiting.append(looked)
        await asyncio.wait([looked], timeout=LONGEST_WAIT_S)
        return self._known().authenticate(headers)

    async def look(self) -> set[str]:
        """Do as `poll` in a thread, for whoever waits for it as well."""
        waiting, self._waiting = self._waiting, []
        try:
            return await asyncio.to_thread(self.poll)
        finally:
            for looked in waiting:
                if not looked.done():
                    looked.set_result(None)

    def name_of(self, key_id: str | None) -> str | None:
        """Return what a key is called; None for none, or one that is not known."""
        ring = self._ring
        return None if ring is None or key_id is None else ring.name_of(key_id)

    def permits(self, key: Key, model: str) -> None:
        """Accept that a key uses a model; see `KeyRing.permits`."""
        self._known().permits(key, model)

    def admit(self, key: Key, needs: Needs) -> Allowance:
        """Return what a stream may use; see `Limits.admit`."""
        self._known()
        assert self._limits is not None
        return self._limits.admit(
            key,
            stream_id=needs.stream_id,
            prompt_tokens=needs.prompt_tokens,
            prompt_pico=needs.prompt_pico,
            token_pico=needs.token_pico,
        )

    def poll(self) -> set[str]:
        """Read the keys again if they have changed; return the ids of those that are gone; blocks.

        Where they cannot be read, that is logged; after a while nobody is let in any more.
        """
        try:
            gone = self._known().poll()
        except LedgerUnavailable as error:
            self._turned(available=False)
            if self._said != str(error):  # never a flood of lines
                self._said = str(error)
                _log.error("keys cannot be read: %s", error)  # no traceback is of use
            return set()
        self._turned(available=True)
        return gone

    def _turned(self, *, available: bool) -> None:
        if available != self.available:
            self.available, self.since = available, time.time()
            if available:
                self._said = ""
                _log.warning("keys can be read again")

    def close(self) -> None:
        """Book what is still to be booked, and let go of the file; blocks."""
        with self._opening:
            limits, self._limits = self._limits, None
            ring, self._ring = self._ring, None
        if limits is not None:
            limits.close()
        if ring is not None:
            ring.close()

    def _known(self) -> KeyRing:
        ring = self._ring
        if ring is None:
            raise ServiceUnavailable("this server has not read its keys; ask again")
        return ring
