"""Two gateways that share keys and limits, and what must hold for them wherever those are."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, Self

import pytest
from tests.live.provider import Play, Provider
from tests.live.readers import Reading, read
from tests.live.served import Served, model, upstream
from tests.live.test_gateway_budgets import asked, operate

import deltaweir
from deltaweir.accounts import Row
from deltaweir.stores.books import KeyStore

PLAYS = [Play(1000 + number, 60, 0.005, usage=False) for number in range(50)]
DELTA = max(deltaweir.count_tokens(PLAYS[0].piece(index)) for index in range(60))
"""Tokens of the longest delta."""
PROMPT = max(deltaweir.count_prompt(asked(play)["messages"], model="m").tokens for play in PLAYS)


class Server(Protocol):
    """What keeps keys and limits."""

    def frozen(self) -> AbstractContextManager[None]:
        """Keep it frozen for a block."""

    def gone(self) -> AbstractContextManager[None]:
        """Kill it, and start it again after a block."""


class Pair:
    """Two gateways that share a server, and a provider that they ask.

    Args:
        folder: Where they lie.
        server: What keeps keys and limits.
        tables: How their configurations name it.
        place: What they call it where they say whether they are ready.
        keys: Opens the keys there.
        workers: Processes of each.
    """

    def __init__(
        self,
        folder: Path,
        server: Server,
        *,
        tables: str,
        place: str,
        keys: Callable[[], AbstractContextManager[KeyStore]],
        workers: int = 1,
    ) -> None:
        self.server = server
        self.place = place
        self.keys = keys
        self._folders = [folder / name for name in ("a", "b")]
        self._tables = f'[server]\nauth = "keys"\nworkers = {workers}\n{tables}\n'
        self.gateways: list[Served] = []

    async def __aenter__(self) -> Self:
        self._provider = Provider()
        await self._provider.__aenter__()
        tables = upstream("provider", self._provider.base_url) + model("m", ["provider"])
        for folder in self._folders:
            folder.mkdir()
            served = Served(folder, self._tables + tables)
            await asyncio.to_thread(served.__enter__)
            self.gateways.append(served)
        return self

    async def __aexit__(self, *_: object) -> None:
        for served in self.gateways:
            await asyncio.to_thread(served.stop)
        await self._provider.__aexit__()

    async def key(self, *limits: str) -> str:
        """Return a new key, once both know it."""
        made = ("create", "--name", "n", *limits)
        key = await asyncio.to_thread(operate, self.gateways[0], *made)
        for served in self.gateways:
            asked_for = functools.partial(served.ask, None, "/v1/models", key=key)
            assert (await asyncio.to_thread(asked_for)).status == 200
        return key

    async def read(self, gateway: int, play: Play, key: str) -> Reading:
        """Read a stream of one of them to its end."""
        return await read(self.gateways[gateway].address, asked(play), key=key)

    async def ready(self, gateway: int, condition: Callable[[int, Any], bool]) -> None:
        """Wait until what a gateway says of itself meets a condition."""
        for _ in range(1000):
            told = await asyncio.to_thread(self.gateways[gateway].ask, None, "/readyz")
            if condition(told.status, told.json):
                return
            await asyncio.sleep(0.02)
        pytest.fail("waited too long")

    async def finds(self, gateway: int, status: str) -> None:
        """Wait until a gateway finds the server up or down."""
        await self.ready(gateway, lambda _, told: told[self.place]["status"] == status)

    async def spent(self, key: str, wanted: int) -> int:
        """Return what is booked of a key's budget, once that is at least so much."""
        found = 0
        for _ in range(500):
            found = await asyncio.to_thread(self._booked, key)
            if found >= wanted:
                break
            await asyncio.sleep(0.02)
        return found

    def _booked(self, key: str) -> int:
        with self.keys() as keys:
            record = next(one for one in keys.records() if one.id == key[3:15])
            return keys.spent(record.id, record.terms.quotas, time.time())[0]


def run(work: Any) -> None:
    """Run a coroutine as a gateway's clients run."""
    with asyncio.Runner(debug=False) as runner:
        runner.run(work)


def used_by(readings: list[Reading]) -> int:
    """Return how many tokens streams have sent, with their prompts."""
    begun = [one for one in readings if one.status == 200]
    return sum(PROMPT + deltaweir.count_tokens(one.text) for one in begun)


async def check_a_budget(pair: Pair) -> None:
    """Never above it by more than a delta a stream, and what is booked is what was sent."""
    budget = 10 * (PROMPT + max(deltaweir.count_tokens(play.text) for play in PLAYS))
    async with pair:
        key = await pair.key("--budget", f"{budget}tok")
        asking = [pair.read(number % 2, play, key) for number, play in enumerate(PLAYS)]
        readings = await asyncio.gather(*asking)
        refused = [one for one in readings if one.status != 200]
        assert {one.error and one.error["code"] for one in refused} <= {"insufficient_quota"}
        sent = used_by(readings)
        assert budget * 0.9 < sent <= budget
        begun = len(readings) - len(refused)
        assert sent <= await pair.spent(key, sent) <= budget + begun * DELTA


async def check_a_revocation(pair: Pair, rows: Callable[[Pair], list[Row]]) -> None:
    """Within a second or so a key is refused, and its streams end, at both."""
    async with pair:
        key = await pair.key()
        play = Play(1000, 4000, 0.01)
        reading = [asyncio.create_task(pair.read(one, play, key)) for one in (0, 1)]
        await asyncio.sleep(0.7)
        await asyncio.to_thread(operate, pair.gateways[1], "revoke", key)
        told = time.monotonic()
        for one in await asyncio.wait_for(asyncio.gather(*reading), 10):
            assert (one.status, one.finish_reason, one.done) == (200, "length", True)
            assert one.moments[-1] < told + 1
        assert [(await pair.read(one, play, key)).status for one in (0, 1)] == [401, 401]
    endings = [row.closed and row.closed.ending for row in await asyncio.to_thread(rows, pair)]
    assert endings == ["revoked", "revoked"]


async def check_rates(pair: Pair) -> None:
    """What one gateway lets in the other counts, in requests and in tokens."""
    short = Play(1000, 2, usage=False)
    room = 3 * PROMPT
    async with pair:
        key = await pair.key("--rpm", "4")
        seen = [(await pair.read(one % 2, short, key)).status for one in range(6)]
        assert seen == [200] * 4 + [429] * 2
        key = await pair.key("--tpm", f"{room}")
        seen = [(await pair.read(one % 2, short, key)).status for one in range(4)]
        assert seen[0] == 200
        assert seen[-1] == 429


async def check_closed(pair: Pair, *, frozen: bool, gauge: str) -> None:
    """Streams end when used is what their gateway held, new ones get a 503; then all goes on."""
    long, server = Play(1000, 400, 0.01, usage=False), pair.server
    async with pair:
        key, free = await pair.key("--budget", "3000tok"), await pair.key("--admin")
        running = [asyncio.create_task(pair.read(one, long, key)) for one in (0, 1)]
        unlimited = asyncio.create_task(pair.read(0, long, free))
        await asyncio.sleep(0.5)
        with server.frozen() if frozen else server.gone():
            await pair.finds(0, "down")
            ended = await asyncio.gather(*running)
            began = time.monotonic()
            refused = await pair.read(1, long, key)
            assert (refused.status, time.monotonic() - began < 5) == (503, True)
            assert (await unlimited).text == long.text
            metrics = await asyncio.to_thread(pair.gateways[0].metrics, free)
            assert metrics[gauge] == 0
        for one in ended:
            assert (one.finish_reason, one.done) == ("length", True)
            assert len(one.pieces) < long.pieces
        await pair.finds(0, "up")
        sent = used_by(ended)
        assert sent <= await pair.spent(key, sent) <= sent + 2 * DELTA
        assert (await pair.read(0, Play(1000, 2), key)).done


async def check_open(pair: Pair, *, frozen: bool) -> None:
    """Streams run to their ends, new ones begin, and all that was used is booked afterwards."""
    long, server = Play(1000, 300, 0.01, usage=False), pair.server
    async with pair:
        key = await pair.key("--budget", "3000tok", "--rpm", "100", "--admin")
        running = [asyncio.create_task(pair.read(one, long, key)) for one in (0, 1)]
        await asyncio.sleep(0.5)
        with server.frozen() if frozen else server.gone():
            await pair.finds(1, "down")
            ended = [await pair.read(1, Play(1000, 40, usage=False), key)]
            ended += await asyncio.gather(*running)
            assert [len(one.pieces) for one in ended] == [40, 300, 300]
            assert all(one.finish_reason == "stop" for one in ended)
            metrics = await asyncio.to_thread(pair.gateways[1].metrics, key)
            assert metrics["deltaweir_unchecked_streams_total"] >= 1
        sent = used_by(ended)
        assert sent <= await pair.spent(key, sent) <= sent + 3 * DELTA


async def check_stale(pair: Pair, said: str) -> None:
    """A gateway says itself that it lets nobody in, streams run on, and it comes back."""
    long = Play(1000, 500, 0.01)
    async with pair:
        key = await pair.key()
        running = asyncio.create_task(pair.read(0, long, key))
        await asyncio.sleep(0.5)
        with pair.server.gone():
            await pair.ready(0, lambda status, told: status == 503)
            assert (await pair.read(0, long, key)).status == 503
        await pair.ready(0, lambda status, told: told["status"] == "ready")
        assert (await pair.read(0, Play(1000, 2), key)).done
        assert (await running).text == long.text
    told = "".join(pair.gateways[0].said)
    assert told.count(f"keys cannot be read: {said}") >= 1
    assert "keys can be read again" in told
