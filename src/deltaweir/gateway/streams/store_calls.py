"""Calls to the store that gateways share, off the loop; what clients hear when it is gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from deltaweir.endings import Ending
from deltaweir.errors import ServiceUnavailable, StreamFailed
from deltaweir.schema.frames import error_body
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.valkey_journals import LEASE_S, Found, ValkeyJournals
from deltaweir.wire.sse import encode

T = TypeVar("T")

FLUSH_S = 0.025
"""How long news of streams are gathered, in seconds."""

GRACE_S = LEASE_S / 2
"""For how long a gateway must have shown no sign of life before its streams are buried."""

_DIED = {"usage": None, "cost_usd": None, "source": None, "ending": Ending.FAILED.value}
"""What is known of a stream whose gateway died; the ledger knows more."""
_LAST_WORD = encode(
    error_body(StreamFailed("the server that ran this stream has died", code="failed"))
)
_LATE_S = 2 * FLUSH_S, 4 * FLUSH_S, 8 * FLUSH_S
_log = logging.getLogger("deltaweir.gateway")


class StoreCalls:
    """Call a store, one call after the other, in a thread of its own.

    Args:
        store: The store; closed with this.

    Attributes:
        store: The same.
        since: Since when it cannot be used, in seconds since 1970; None while it can.
    """

    def __init__(self, store: ValkeyJournals) -> None:
        self.store = store
        self.since: float | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="deltaweir-store")
        self._tasks: set[asyncio.Task[Any]] = set()

    async def call(self, call: Callable[..., T], *told: Any) -> T:
        """Call it.

        Raises:
            LedgerUnavailable: It cannot be reached, or refuses; that is logged once.
        """
        loop = asyncio.get_running_loop()
        try:
            answer = await loop.run_in_executor(self._executor, call, *told)
        except LedgerUnavailable as error:
            if self.since is None:  # never a flood of lines
                self.since = time.time()
                _log.error("streams are not shared at the moment: %s", error)
            raise
        if self.since is not None:
            _log.warning("streams are shared again, after %.1f s", time.time() - self.since)
            self.since = None
        return answer

    async def for_client(self, call: Callable[..., T], *told: Any) -> T:
        """Call it for a client, who is told less than the log.

        Raises:
            ServiceUnavailable: It cannot be reached, or refuses.
        """
        try:
            return await self.call(call, *told)
        except LedgerUnavailable as error:
            raise ServiceUnavailable(
                "the store in which this server shares streams cannot be reached; ask again"
            ) from error

    async def find(self, stream_id: str, enough: Callable[[Found | None], bool]) -> Found | None:
        """Return what is known of a stream; what happened just now may not be written yet.

        Args:
            stream_id: The stream.
            enough: Tells whether that is enough, or to be asked for again in a moment.

        Raises:
            ServiceUnavailable: The store cannot be asked.
        """
        found = await self.for_client(self.store.find, stream_id)
        for pause_s in _LATE_S:
            if enough(found):
                break
            await asyncio.sleep(pause_s)
            found = await self.for_client(self.store.find, stream_id)
        return found

    def bury(self, stream_id: str, gateway: str, seen: int) -> bool:
        """End a stream whose gateway is dead; return whether that was done just now; blocks.

        Args:
            stream_id: The stream.
            gateway: Who ran it.
            seen: The number of the last frame that anybody has.
        """
        return self.store.bury(stream_id, gateway, frame=_LAST_WORD, seen=seen, ended=_DIED)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something beside; it ends with this."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def end_tasks(self) -> None:
        """End what is done beside."""
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """Let go of the store."""
        self._executor.shutdown()
        self.store.close()
