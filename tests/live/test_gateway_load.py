"""Many streams at once: memory stays bounded, nobody waits for slow readers, nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.live.provider import Play, Provider
from tests.live.readers import Connection, Reading, read, read_slowly
from tests.live.served import PATIENCE_S, Served, model, upstream

from deltaweir.stores.sqlite import SqliteLedger

uvloop: Any = pytest.importorskip("uvloop", reason="Windows has no uvloop")

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="looks at a process by /proc"),
]

STREAMS, SLOW = 500, 50
PER_STREAM_KIB, FIXED_KIB = 60, 16 * 1024
WIDE = 4000
"""Pieces of a slow reader's stream, 16 MB in all: the system takes a good part of them unread."""
PATIENT = 5
"""Slow readers that read to the end; that takes a while."""
TIMES, LATE_S = 3, 0.5
"""How much later 99 of 100 pieces may come to the others than without slow readers."""
OPENING = 2
"""Pieces of each stream that are not timed: all streams begin at once, which is another load."""
LEFT, WARM, AT_ONCE = 10_000, 1_500, 100
GROWN_KIB = 96 * 1024
"""What the last 8,500 streams may leave in memory: holes mostly, and cycles of objects that nobody
has looked for yet. Were they kept, it would be three times as much."""


def asked(play: Play) -> dict[str, Any]:
    """Return the body of a request."""
    return {"model": "m", "messages": [{"role": "user", "content": play.prompt}]}


@contextlib.asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[Provider, Served]]:
    """A provider, and a gateway that counts and guards what it says."""
    async with Provider() as provider:
        tables = (
            '[server]\nlog = "none"\n',
            upstream("provider", provider.base_url),
            model("m", ["provider"], 'guard = "standard"'),
        )
        served = Served(folder, "".join(tables), inspected=True)
        await asyncio.to_thread(served.__enter__)
        try:
            yield provider, served
        finally:
            await asyncio.to_thread(served.stop)


async def settled(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, which is asked in a thread."""
    deadline = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.2)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop that does not look at itself, as fast as there is."""
    with asyncio.Runner(debug=False, loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def crowd(served: Served, provider: Provider, plays: list[Play]) -> float:
    """Read streams to their end, and return by when 99 of 100 pieces have come, in seconds."""
    readings = await asyncio.gather(*(read(served.address, asked(play)) for play in plays))
    for play, reading in zip(plays, readings, strict=True):
        assert (reading.text == play.text, reading.done, reading.error) == (True, True, None)
    delays = sorted(
        moment - provider.moments[play.number, index]
        for play, reading in zip(plays, readings, strict=True)
        for index, moment in enumerate(reading.moments)
        if index >= OPENING
    )
    return delays[len(delays) * 99 // 100]


async def held(provider: Provider, plays: list[Play]) -> list[int]:
    """Wait until streams have stopped for their readers; return how many pieces were sent."""
    sent: list[int] = []
    while True:
        await asyncio.sleep(1)
        before, sent = sent, [provider.sent.get(play.number, 0) for play in plays]
        # what a slow reader takes meanwhile lets a few go
        if before and sum(sent) - sum(before) < SLOW * 20:
            return sent


async def read_among_slow(folder: Path) -> None:
    """Read many streams at once, then the same with others that are read slowly."""
    async with gateway(folder) as (provider, served):
        for number in range(20):
            await read(served.address, asked(Play(5000 + 111 * number, 50)))
        before = served.memory_kib
        plays = [Play(number, 20, 0.15) for number in range(STREAMS - SLOW)]
        alone_s = await crowd(served, provider, plays)
        wide = [Play(1000 + number, WIDE, padding=4096) for number in range(SLOW)]
        over = asyncio.Event()
        slow = [
            asyncio.create_task(read_slowly(served.address, asked(play), pause_s=0.2, until=over))
            for play in wide
        ]
        async with asyncio.timeout(PATIENCE_S):
            sent = await held(provider, wide)
        # twice, since other programs of the machine may have been in the way
        among_s = min([await crowd(served, provider, plays) for _ in range(2)])
        grown = served.memory_kib - before
        for one in slow[PATIENT:]:
            one.cancel()
        await asyncio.wait(slow[PATIENT:])
        over.set()
        slowly = await asyncio.gather(*slow[:PATIENT])
    assert [reading.text == play.text for play, reading in zip(wide, slowly, strict=False)] == (
        [True] * PATIENT
    )
    # the system may take all of a few streams unread
    held_back = sum(pieces < WIDE for pieces in sent)
    assert held_back > 0.9 * SLOW, "readers were not slow enough to hold their streams"
    assert grown < STREAMS * PER_STREAM_KIB + FIXED_KIB
    assert among_s < TIMES * alone_s + LATE_S


def test_slow_readers_among_five_hundred_cost_nobody_anything(tmp_path: Path) -> None:
    """Memory stays bounded, the others' pieces come at once, and every text is exact."""
    run(read_among_slow(tmp_path))


async def leave(served: Served, number: int, chance: random.Random) -> None:
    """Read a stream, or leave it anywhere: before its head, in it, with a reset or without."""
    play = Play(number, chance.randrange(1, 20), chance.choice((0.0, 0.002, 0.01)))
    if chance.random() < 0.3:
        reading = await read(served.address, asked(play))
        assert (reading.text == play.text, reading.done) == (True, True)
        return
    reading, connection = Reading(), Connection(served.address)
    await connection.ask(asked(play))
    events = chance.randrange(play.pieces + 3)
    if events:
        async with contextlib.aclosing(connection.events(reading)) as coming:
            async for _ in coming:
                events -= 1
                if not events:
                    break
    else:
        await asyncio.sleep(chance.random() * 0.01)
    assert play.text.startswith(reading.text)
    await connection.close(abruptly=chance.random() < 0.5)


def idle(held: dict[str, int]) -> bool:
    """Tell whether nothing of any stream is held; the last one's row may be."""
    return max(count for name, count in held.items() if name != "objects") < 5


async def hang_up(folder: Path) -> None:
    """Leave thousands of streams anywhere, and look at what is left of them."""
    async with gateway(folder) as (provider, served):
        numbers = iter(range(LEFT))

        async def some(chance: random.Random, most: int) -> None:
            for number in itertools.islice(numbers, most):
                await leave(served, number, chance)

        async def many(count: int) -> None:
            each = count // AT_ONCE
            chances = [random.Random(seed) for seed in range(AT_ONCE)]  # noqa: S311  # no secret
            await asyncio.gather(*(some(chance, each) for chance in chances))

        files = served.files
        await many(WARM)
        await settled(lambda: idle(served.holds()), "tasks or streams are left")
        warm, objects = (
            served.memory_kib,
            await asyncio.to_thread(lambda: served.holds()["objects"]),
        )
        await many(LEFT - WARM)
        assert next(numbers, None) is None
        await settled(lambda: provider.running == 0, "the provider plays to nobody")
        await settled(lambda: served.metrics()["deltaweir_streams_running"] == 0, "streams run on")
        await settled(lambda: idle(served.holds()), "tasks or streams are left")
        left = await asyncio.to_thread(lambda: served.holds()["objects"]) - objects
        assert left < (LEFT - WARM) / 4, "objects are left"
        assert served.memory_kib - warm < GROWN_KIB
        pooled = await asyncio.to_thread(served.metrics)
        connections = pooled["deltaweir_upstream_connections"]
        assert connections <= AT_ONCE
        assert served.files - connections <= files + 2


def test_ten_thousand_streams_that_are_left_leave_nothing(tmp_path: Path) -> None:
    """No task, no socket, no memory; and each that began has its end in the ledger."""
    run(hang_up(tmp_path))
    with SqliteLedger(tmp_path / "deltaweir.db", read_only=True) as ledger:
        endings = Counter(row.closed and row.closed.ending for row in ledger.rows())
    assert set(endings) == {"complete", "abandoned"}
    assert LEFT // 2 < endings.total() <= LEFT
