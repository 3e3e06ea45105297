"""Two gateways on one store: one budget, one rate, one revocation, over kills and frosts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from tests.live.provider import Play, Provider
from tests.live.readers import Reading, read
from tests.live.served import Served, model, upstream
from tests.live.test_gateway_budgets import asked, operate
from tests.live.valkeys import Valkey

import deltaweir
from deltaweir.allowances import KeyRecord, Quota
from deltaweir.stores.valkey import ValkeyLine
from deltaweir.stores.valkey_keys import ValkeyKeys
from deltaweir.stores.valkey_url import address_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

PLAYS = [Play(1000 + number, 60, 0.005, usage=False) for number in range(50)]
DELTA = max(deltaweir.count_tokens(PLAYS[0].piece(index)) for index in range(60))
"""Tokens of the longest delta."""
PROMPT = max(deltaweir.count_prompt(asked(play)["messages"], model="m").tokens for play in PLAYS)


class Pair:
    """Two gateways that share a store, and a provider that they ask.

    Args:
        folder: Where they lie.
        server: The store.
        more: What else stands under ``[store]``.
    """

    def __init__(self, folder: Path, server: Valkey, more: str = "") -> None:
        self.server = server
        self._folders = [folder / name for name in ("a", "b")]
        self._store = f'[store]\nurl = "{server.url}"\n{more}\n'
        self.gateways: list[Served] = []

    async def __aenter__(self) -> Self:
        self._provider = Provider()
        await self._provider.__aenter__()
        tables = upstream("provider", self._provider.base_url) + model("m", ["provider"])
        for folder in self._folders:
            folder.mkdir()
            served = Served(folder, f'[server]\nauth = "keys"\n{self._store}{tables}')
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

    async def spent(self, key: str, wanted: int) -> int:
        """Return what is booked of a key's budget, once that is at least so much."""
        found = 0
        for _ in range(500):
            found = await asyncio.to_thread(booked, self.server, key)
            if found >= wanted:
                break
            await asyncio.sleep(0.02)
        return found


def booked(server: Valkey, key: str) -> int:
    """Return what is booked of a key's budget."""
    with contextlib.closing(ValkeyLine(address_of(server.url))) as line:
        keys = ValkeyKeys(line, prefix="deltaweir")
        record: KeyRecord = next(one for one in keys.records() if one.id == key[3:15])
        quotas: tuple[Quota, ...] = record.terms.quotas
        return keys.spent(record.id, quotas, time.time())[0]


@pytest.fixture(name="server")
def server_fixture(tmp_path: Path) -> Iterator[Valkey]:
    """Return a server that keeps what it was told."""
    with Valkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture(name="fast")
def fast_fixture(tmp_path: Path) -> Iterator[Valkey]:
    """Return a server that waits for no disk, as most do."""
    with Valkey(tmp_path / "valkey", append_only=False) as server:
        yield server


def run(work: Any) -> None:
    """Run a coroutine as a gateway's clients run."""
    with asyncio.Runner(debug=False) as runner:
        runner.run(work)


def used_by(readings: list[Reading]) -> int:
    """Return how many tokens streams have sent, with their prompts."""
    begun = [one for one in readings if one.status == 200]
    return sum(PROMPT + deltaweir.count_tokens(one.text) for one in begun)


def test_a_budget_is_shared_by_fifty_streams(tmp_path: Path, fast: Valkey) -> None:
    """Never above it by more than a delta a stream, and what is booked is what was sent."""
    budget = 10 * (PROMPT + max(deltaweir.count_tokens(play.text) for play in PLAYS))

    async def work() -> None:
        async with Pair(tmp_path, fast) as pair:
            key = await pair.key("--budget", f"{budget}tok")
            asking = [pair.read(number % 2, play, key) for number, play in enumerate(PLAYS)]
            readings = await asyncio.gather(*asking)
            refused = [one for one in readings if one.status != 200]
            assert {one.error and one.error["code"] for one in refused} <= {"insufficient_quota"}
            sent = used_by(readings)
            assert budget * 0.9 < sent <= budget
            begun = len(readings) - len(refused)
            assert sent <= await pair.spent(key, sent) <= budget + begun * DELTA

    run(work())


def test_a_key_is_revoked_everywhere(tmp_path: Path, server: Valkey) -> None:
    """Within a second or so it is refused, and its streams end, at both."""

    async def work() -> None:
        async with Pair(tmp_path, server) as pair:
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
        for served in pair.gateways:
            (row,) = await asyncio.to_thread(served.rows, 1)
            assert row.closed is not None
            assert row.closed.ending == "revoked"

    run(work())


def test_a_rate_is_shared(tmp_path: Path, server: Valkey) -> None:
    """What one gateway lets in the other counts, in requests and in tokens."""
    short = Play(1000, 2, usage=False)
    room = 3 * PROMPT

    async def work() -> None:
        async with Pair(tmp_path, server) as pair:
            key = await pair.key("--rpm", "4")
            seen = [(await pair.read(one % 2, short, key)).status for one in range(6)]
            assert seen == [200] * 4 + [429] * 2
            key = await pair.key("--tpm", f"{room}")
            seen = [(await pair.read(one % 2, short, key)).status for one in range(4)]
            assert seen[0] == 200
            assert seen[-1] == 429

    run(work())


@pytest.mark.parametrize("frozen", [True, False])
def test_closed_limits_refuse_while_the_store_is_gone(
    tmp_path: Path, server: Valkey, frozen: bool
) -> None:
    """Streams end when used is what their gateway held, new ones get a 503; then all goes on."""
    long = Play(1000, 400, 0.01, usage=False)

    async def work() -> None:
        async with Pair(tmp_path, server) as pair:
            key, free = await pair.key("--budget", "3000tok"), await pair.key("--admin")
            running = [asyncio.create_task(pair.read(one, long, key)) for one in (0, 1)]
            unlimited = asyncio.create_task(pair.read(0, long, free))
            await asyncio.sleep(0.5)
            with server.frozen() if frozen else server.gone():
                await pair.ready(0, lambda status, told: told["store"]["status"] == "down")
                ended = await asyncio.gather(*running)
                began = time.monotonic()
                refused = await pair.read(1, long, key)
                assert (refused.status, time.monotonic() - began < 5) == (503, True)
                assert (await unlimited).text == long.text
                metrics = await asyncio.to_thread(pair.gateways[0].metrics, free)
                assert metrics["deltaweir_store_up"] == 0
            for one in ended:
                assert (one.finish_reason, one.done) == ("length", True)
                assert len(one.pieces) < long.pieces
            await pair.ready(0, lambda _, told: told["store"]["status"] == "up")
            sent = used_by(ended)
            assert sent <= await pair.spent(key, sent) <= sent + 2 * DELTA
            assert (await pair.read(0, Play(1000, 2), key)).done

    run(work())


@pytest.mark.parametrize("frozen", [True, False])
def test_open_limits_let_pass_while_the_store_is_gone(
    tmp_path: Path, server: Valkey, frozen: bool
) -> None:
    """Streams run to their ends, new ones begin, and all that was used is booked afterwards."""
    long = Play(1000, 300, 0.01, usage=False)

    async def work() -> None:
        async with Pair(tmp_path, server, 'limits = "open"\nstale_s = 60') as pair:
            key = await pair.key("--budget", "3000tok", "--rpm", "100")
            running = [asyncio.create_task(pair.read(one, long, key)) for one in (0, 1)]
            await asyncio.sleep(0.5)
            with server.frozen() if frozen else server.gone():
                await pair.ready(1, lambda status, told: told["store"]["status"] == "down")
                ended = [await pair.read(1, Play(1000, 40, usage=False), key)]
                ended += await asyncio.gather(*running)
                assert [len(one.pieces) for one in ended] == [40, 300, 300]
                assert all(one.finish_reason == "stop" for one in ended)
            sent = used_by(ended)
            assert sent <= await pair.spent(key, sent) <= sent + 3 * DELTA

    run(work())


def test_nobody_is_let_in_when_keys_are_stale(tmp_path: Path, server: Valkey) -> None:
    """A gateway says so itself, streams run on, and it comes back without a restart."""
    long = Play(1000, 500, 0.01)

    async def work() -> None:
        async with Pair(tmp_path, server, "stale_s = 1") as pair:
            key = await pair.key()
            running = asyncio.create_task(pair.read(0, long, key))
            await asyncio.sleep(0.5)
            with server.gone():
                await pair.ready(0, lambda status, told: status == 503)
                assert (await pair.read(0, long, key)).status == 503
            await pair.ready(0, lambda status, told: told["status"] == "ready")
            assert (await pair.read(0, Play(1000, 2), key)).done
            assert (await running).text == long.text
        said = "".join(pair.gateways[0].said)
        assert said.count("keys cannot be read: the store valkey://127.0.0.1") >= 1
        assert "keys can be read again" in said

    run(work())


def test_the_command_lists_what_is_in_the_store(tmp_path: Path, server: Valkey) -> None:
    """And says where a key was put."""
    served = Served(tmp_path, f'[server]\nauth = "keys"\n[store]\nurl = "{server.url}"\n')
    key = operate(served, "create", "--name", "alice", "--budget", "400tok")
    (row,) = json.loads(operate(served, "list", "--json"))
    assert (row["id"], row["name"], row["budgets"][0]["limit"]) == (key[3:15], "alice", 400)
    operate(served, "revoke", row["id"])
    assert json.loads(operate(served, "list", "--json"))[0]["state"] == "revoked"
    assert not (tmp_path / "deltaweir.db").exists()
