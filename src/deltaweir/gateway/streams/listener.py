"""The thread that waits for what other gateways write, and shows them that this one lives."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.valkey_journals import LEASE_S, Heard, ValkeyJournals

RENEW_S = LEASE_S / 4
"""How often this gateway shows that it lives, in seconds."""
LISTEN_S = 0.5
"""How long the store is listened to at a time, in seconds; what comes is heard at once."""

_RETRY_S = 0.2
_log = logging.getLogger("deltaweir.gateway")


class Listener:
    """Hear what comes, and tell it on a loop.

    Args:
        store: Where to listen.
        heard: Called on the loop with what has come, by where.
    """

    def __init__(self, store: ValkeyJournals, heard: Callable[[dict[str, Heard]], object]) -> None:
        self._store = store
        self._told = heard
        self._changing = threading.Lock()
        self._positions = {store.mailbox: "0-0"}
        self._openings = 0
        self._renewed = -RENEW_S
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen from now on."""
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="deltaweir-listener", daemon=True
        )
        self._thread.start()

    def add(self, key: str, position: str) -> None:
        """Listen to one more, behind a position; from the next turn on."""
        with self._changing:
            self._positions[key] = position

    def remove(self, key: str) -> None:
        """Listen to one less."""
        with self._changing:
            self._positions.pop(key, None)

    def close(self) -> None:
        """Listen no more; blocks for a turn at most."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.is_set():
            try:
                self._turn(loop)
            except LedgerUnavailable as error:  # whoever writes there tells of it
                _log.debug("cannot listen to the store: %s", error)
                self._stopping.wait(_RETRY_S)
            except Exception as error:  # noqa: BLE001  # the next turn is as needed as this one
                if not loop.is_closed():
                    _log.error("what the store says is not understood", exc_info=error)
                self._stopping.wait(_RETRY_S)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        if now - self._renewed >= RENEW_S:
            self._store.renew()
            self._renewed = now
        with self._changing:
            if self._openings != self._store.listenings:
                # another server may have another clock, by which mail is numbered
                self._openings = self._store.listenings
                self._positions[self._store.mailbox] = "0-0"
            positions = self._positions.copy()
        heard = self._store.listen(positions, LISTEN_S)
        with self._changing:
            for key, news in heard.items():
                if key in self._positions:
                    self._positions[key] = news.position
        if heard and not self._stopping.is_set():
            loop.call_soon_threadsafe(self._told, heard)
