"""A request's admission in a thread, whose allowance is never lost with the request's task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from deltaweir.gateway.keys.allowance import Allowance

T = TypeVar("T")


async def admitted(call: Callable[[], T], allowance_of: Callable[[T], Allowance | None]) -> T:
    """Return what a call returns that is made in a thread, since it blocks.

    When the awaiting task is cancelled, which it is at once, the thread goes on to its end. The
    allowance is closed as soon as it is there, as one that nothing was used of; so it is when
    the loop has ended by then.

    Args:
        call: Admits a request.
        allowance_of: Returns the allowance, if any, that is a part of what the call returned.

    Raises:
        Exception: Whatever the call raises.
    """
    admission = _Admission(call, allowance_of)
    try:
        return await asyncio.to_thread(admission.run)
    except BaseException:
        admission.leave()
        raise


class _Admission(Generic[T]):
    """One admission, between the thread that makes it and the task that waits for it."""

    def __init__(
        self, call: Callable[[], T], allowance_of: Callable[[T], Allowance | None]
    ) -> None:
        self._call = call
        self._allowance_of = allowance_of
        self._deciding = threading.Lock()
        self._allowance: Allowance | None = None
        self._left = False

    def run(self) -> T:
        """Make the call."""
        result = self._call()
        with self._deciding:
            self._allowance = self._allowance_of(result)
            self._close()
        return result

    def leave(self) -> None:
        """Learn that nobody waits for it any more; it may be over by then, but not delivered."""
        with self._deciding:
            self._left = True
            self._close()

    def _close(self) -> None:
        if self._left and self._allowance is not None:
            self._allowance.close(prompt_tokens=0, completion_tokens=0, cost_pico=0)
