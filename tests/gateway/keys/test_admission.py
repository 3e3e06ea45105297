"""A request that is admitted in a thread: what it was given is never lost with its task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deltaweir.allowances import KeyTerms, quotas_of
from deltaweir.gateway.keys.admission import admitted
from deltaweir.gateway.keys.allowance import Allowance
from deltaweir.gateway.keys.keys import Key
from deltaweir.gateway.keys.limits import Limits

KEY = Key(id="4f1c09ab27de", name="n", terms=KeyTerms(quotas=quotas_of(["100tok"])))
LIMIT_S = 10.0


class Door:
    """Admits streams, once it is opened."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.entered, self.open, self.passed = (threading.Event() for _ in range(3))

    def admit(self) -> Allowance:
        """Admit a stream."""
        self.entered.set()
        assert self.open.wait(LIMIT_S)
        try:
            return self.limits.admit(KEY, stream_id="s", prompt_tokens=60, prompt_pico=0)
        finally:
            self.passed.set()

    def free(self) -> bool:
        """Return whether nothing is held: then another stream of that size fits in."""
        self.limits.flush(LIMIT_S)
        allowance = self.limits.admit(KEY, stream_id="t", prompt_tokens=60, prompt_pico=0)
        allowance.close(prompt_tokens=0, completion_tokens=0, cost_pico=0)
        return True


@pytest.fixture(name="door")
def door_fixture(tmp_path: Path) -> Iterator[Door]:
    """Return a door to a budget that one stream holds most of."""
    with Limits.open(f"sqlite:///{tmp_path}/a.db") as limits:
        yield Door(limits)


async def test_what_a_call_returns_is_returned(door: Door) -> None:
    """And its allowance is open."""
    door.open.set()
    allowance = await admitted(door.admit, lambda made: made)
    assert allowance.granted.tokens == 32
    allowance.close(prompt_tokens=60, completion_tokens=0, cost_pico=0)


async def test_what_a_call_raises_is_raised() -> None:
    """There is nothing to close then."""

    def call() -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        await admitted(call, lambda made: made)


async def test_a_cancelled_task_s_allowance_is_closed(door: Door) -> None:
    """As soon as the thread is done, for which nobody waits."""
    task = asyncio.create_task(admitted(door.admit, lambda made: made))
    assert await asyncio.to_thread(door.entered.wait, LIMIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not door.passed.is_set()
    door.open.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert door.free()


async def test_an_allowance_that_came_too_late_is_closed(door: Door) -> None:
    """It is there when its task is cancelled, but was not handed over."""
    made = threading.Event()

    def told(allowance: Allowance) -> Allowance:
        made.set()
        return allowance

    task = asyncio.create_task(admitted(door.admit, told))
    await asyncio.to_thread(door.entered.wait, LIMIT_S)
    door.open.set()
    made.wait(LIMIT_S)  # the loop stands still, and hears of it afterwards
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.get_running_loop().shutdown_default_executor()
    assert door.free()


def test_a_loop_that_ends_leaves_nothing_open(door: Door) -> None:
    """The thread closes what it made, although no loop is there to hear of it."""

    async def main() -> None:
        task = asyncio.create_task(admitted(door.admit, lambda made: made))
        await asyncio.to_thread(door.entered.wait, LIMIT_S)
        asyncio.get_running_loop().call_soon(door.open.set)
        assert not task.done()

    asyncio.run(main())
    assert door.free()


async def test_what_has_no_allowance_is_let_go() -> None:
    """A caller without limits has none."""
    entered, leave = threading.Event(), threading.Event()

    def call() -> None:
        entered.set()
        leave.wait(LIMIT_S)

    task = asyncio.create_task(admitted(call, lambda made: made))
    await asyncio.to_thread(entered.wait, LIMIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    leave.set()
    await asyncio.get_running_loop().shutdown_default_executor()
