"""A timer set anew for each chunk, against one that looks when it rings.

    python timer_per_chunk.py

For the clock that ends a stream whose upstream says nothing for a minute.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from side_by_side import compare

STREAMS, CHUNKS = 200, 100
STALL_S = 60.0


class Lazy:
    """Keep when the last chunk came; the timer that is set already looks at that."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._last = time.monotonic()
        self._timer = loop.call_later(STALL_S, self._rung)

    def took(self) -> None:
        """Take a chunk."""
        self._last = time.monotonic()

    def _rung(self) -> None:
        pass

    def end(self) -> None:
        """End the stream."""
        self._timer.cancel()


class Eager:
    """Set a timer anew with each chunk."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer = loop.call_later(STALL_S, self._rung)

    def took(self) -> None:
        """Take a chunk."""
        self._timer.cancel()
        self._timer = self._loop.call_later(STALL_S, self._rung)

    def _rung(self) -> None:
        pass

    def end(self) -> None:
        """End the stream."""
        self._timer.cancel()


async def _timed(kind: type[Lazy | Eager]) -> float:
    loop = asyncio.get_running_loop()
    streams = [kind(loop) for _ in range(STREAMS)]
    began = time.perf_counter()
    for _ in range(CHUNKS):
        for one in streams:
            one.took()
        await asyncio.sleep(0)  # the loop has its own work with timers that were cancelled
    spent = time.perf_counter() - began
    for one in streams:
        one.end()
    return spent / (STREAMS * CHUNKS)


async def _timeout() -> float:
    """Wait for each chunk within `asyncio.timeout`, as a task per stream would."""
    began = time.perf_counter()
    for _ in range(CHUNKS * 10):
        async with asyncio.timeout(STALL_S):  # noqa: ASYNC100  # what it costs by itself
            pass
    return (time.perf_counter() - began) / (CHUNKS * 10)


def main() -> None:
    """Compare them on both loops."""
    ways: dict[str, Callable[[], float]] = {}
    for name, loop in (("uvloop", uvloop.new_event_loop()), ("asyncio", asyncio.new_event_loop())):
        run = loop.run_until_complete
        ways[f"one that looks later, on {name}"] = functools.partial(_run, run, Lazy)
        ways[f"call_later and cancel, on {name}"] = functools.partial(_run, run, Eager)
        ways[f"asyncio.timeout, on {name}"] = functools.partial(_wait, run)
    compare("the clock of a stall", ways)


def _run(run: Callable[..., float], kind: type[Lazy | Eager]) -> float:
    return run(_timed(kind))


def _wait(run: Callable[..., float]) -> float:
    return run(_timeout())


if __name__ == "__main__":
    main()
