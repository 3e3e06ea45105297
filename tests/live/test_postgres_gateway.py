"""A ledger in PostgreSQL: whatever dies, no stream is lost, and no row is lost or doubled."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.live.databases import PASSWORD, Postgres
from tests.live.provider import Play, Provider
from tests.live.readers import Connection, Reading, read
from tests.live.served import Served, model, upstream

from deltaweir.accounts import Row
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.postgres import LEASE_S, PostgresLedger

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform == "win32", reason="freezes and kills by signals"),
]

STREAMS = 200
PATIENCE_S = 60.0


def asked(play: Play) -> dict[str, Any]:
    """Return the body of a request."""
    return {"model": "m", "messages": [{"role": "user", "content": play.prompt}]}


def plays(count: int, *, seconds: float, first: int = 0) -> list[Play]:
    """Return streams of different lengths, the longest of so many seconds."""
    pieces = [5 + (number * 7) % 36 for number in range(count)]
    return [Play(first + number, many, seconds / 40) for number, many in enumerate(pieces)]


class House:
    """A database, a provider, and gateways between them, each in a folder of its own."""

    def __init__(self, folder: Path, database: Postgres, provider: Provider) -> None:
        self.database = database
        self.provider = provider
        self._folder = folder
        self._gateways: list[Served] = []

    async def gateway(self, name: str = "one") -> Served:
        """Start a gateway in a folder, which may have been there before."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        tables = (
            '[server]\nlog = "none"\n',
            f'[ledger]\nurl = "{self.database.url_of("postgres", password="")}"\n',
            'password = "env:LEDGER_PASSWORD"\n',
            upstream("provider", self.provider.base_url),
            model("m", ["provider"]),
        )
        secret = {"LEDGER_PASSWORD": PASSWORD}
        served = Served(folder, "".join(tables), environment=secret)
        await asyncio.to_thread(served.__enter__)
        self._gateways.append(served)
        return served

    async def kill(self, served: Served) -> None:
        """End a gateway as ``kill -9`` does."""
        self._gateways.remove(served)
        served.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(served.process.communicate)

    def rows(self) -> list[Row]:
        """Return all rows."""
        with PostgresLedger(self.database.url, read_only=True) as ledger:
            return ledger.rows()

    def endings(self) -> Counter[str | None]:
        """Return how many streams have ended in which way."""
        try:
            return Counter(row.closed.ending if row.closed else None for row in self.rows())
        except LedgerUnavailable:  # no gateway has found the database yet
            return Counter()

    async def close(self) -> None:
        """Stop the gateways that still run."""
        for served in self._gateways:
            await asyncio.to_thread(served.stop)


@contextlib.asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    """Build one, with a database that runs."""
    async with Provider() as provider:
        database = Postgres(folder / "postgres")
        await asyncio.to_thread(database.__enter__)
        try:
            built = House(folder, database, provider)
            try:
                yield built
            finally:
                await built.close()
        finally:
            await asyncio.to_thread(database.__exit__)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop that does not look at itself."""
    with asyncio.Runner(debug=False) as runner:
        runner.run(main)


async def settled(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, which is asked in a thread."""
    deadline = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


def begin(served: Served, chosen: list[Play]) -> asyncio.Future[list[Reading]]:
    """Begin to read streams."""
    return asyncio.gather(*(read(served.address, asked(play)) for play in chosen))


def begin_in_vain(served: Served, chosen: list[Play]) -> asyncio.Future[list[None]]:
    """Begin to read streams whose gateway will be killed."""
    return asyncio.gather(*(read_in_vain(served, play) for play in chosen))


async def read_in_vain(served: Served, play: Play) -> None:
    """Read a stream until its gateway dies."""
    connection = Connection(served.address)
    await connection.ask(asked(play))
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        async with contextlib.aclosing(connection.events(Reading())) as coming:
            async for _ in coming:
                pass
    await connection.close(abruptly=True)


def queued(served: Served) -> int:
    """Return how many bytes are in a gateway's queue on disk."""
    return sum(one.stat().st_size for one in (served.folder / "deltaweir-spool").glob("*.spool"))


def check(chosen: list[Play], readings: list[Reading]) -> None:
    """Check that each stream came whole."""
    for play, reading in zip(chosen, readings, strict=True):
        assert (reading.text == play.text, reading.done, reading.error) == (True, True, None)


async def check_written(built: House, served: Served, chosen: list[Play]) -> None:
    """Check that each stream has one row with its end and figures, and that nothing waits."""
    await settled(lambda: built.endings()["complete"] >= len(chosen), "rows are missing")
    rows = await asyncio.to_thread(built.rows)
    assert len(rows) == len(chosen)
    assert [row.presumed for row in rows] == [False] * len(rows)
    assert Counter(row.tally.completion_tokens for row in rows) == Counter(
        play.pieces for play in chosen
    )
    assert [len(row.attempts) for row in rows] == [1] * len(rows)
    seen = await asyncio.to_thread(served.metrics)
    assert seen["deltaweir_ledger_rows_lost_total"] == 0
    await settled(lambda: served.metrics()["deltaweir_ledger_up"] == 1, "it is not up again")
    assert served.ask(path="/readyz").json["ledger"] == {"status": "up"}
    await settled(lambda: not queued(served), "the queue is not empty")


async def through_an_outage(
    folder: Path, *, count: int, kill: bool, no_queue: bool = False
) -> None:
    """Stream while the database is killed, or frozen, and back again."""
    async with house(folder) as built:
        if no_queue:
            (folder / "one").mkdir()
            (folder / "one" / "deltaweir-spool").touch()  # where its folder would be
        served, database = await built.gateway(), built.database
        chosen = plays(count, seconds=10)
        reading = begin(served, chosen)
        await settled(lambda: built.endings()[None] > count // 2, "no rows while they run")
        await asyncio.to_thread(database.kill if kill else database.freeze)
        down = lambda: served.ask(path="/readyz").json["ledger"]["status"] == "down"  # noqa: E731
        await settled(down, "nobody says that it is away")
        answer = served.ask(path="/readyz")
        assert (answer.status, answer.json["status"]) == (200, "ready")
        seen = await asyncio.to_thread(served.metrics)
        assert seen["deltaweir_ledger_up"] == 0
        readings = await reading
        check(chosen, readings)
        more = plays(20, seconds=1, first=5000)
        check(more, await begin(served, more))  # new streams begin as ever
        await asyncio.to_thread(database.start if kill else database.thaw)
        await check_written(built, served, chosen + more)


def test_a_killed_database_costs_no_stream_and_no_row(tmp_path: Path) -> None:
    """Killed in the middle of 200 streams, back when all have ended: all is there, once."""
    run(through_an_outage(tmp_path, count=STREAMS, kill=True))


def test_a_frozen_database_costs_no_stream_and_no_row(tmp_path: Path) -> None:
    """One that keeps its connections and says nothing is no worse."""
    run(through_an_outage(tmp_path, count=STREAMS // 4, kill=False))


def test_a_queue_that_cannot_be_written_either_costs_nothing(tmp_path: Path) -> None:
    """Where the disk takes nothing all waits in memory."""
    run(through_an_outage(tmp_path, count=STREAMS // 4, kill=True, no_queue=True))


async def killed_with_a_queue(folder: Path) -> None:
    """Kill a gateway that could not write, start it again without a database, then start that."""
    async with house(folder) as built:
        served = await built.gateway()
        await asyncio.to_thread(built.database.kill)
        ended = plays(20, seconds=1)
        check(ended, await begin(served, ended))
        open_ones = plays(5, seconds=400, first=100)
        reading = begin_in_vain(served, open_ones)
        kept = lambda: served.metrics()["deltaweir_ledger_rows_waiting"] >= 3 * 20 + 2 * 5  # noqa: E731
        await settled(kept, "nothing waits")
        await asyncio.sleep(2)  # each has a checkpoint then
        await built.kill(served)
        await reading
        again = await built.gateway()  # it starts without the database
        assert again.ask(path="/readyz").json["ledger"]["status"] == "down"
        more = plays(5, seconds=1, first=200)
        check(more, await begin(again, more))
        await asyncio.to_thread(built.database.start)
        wanted = {"complete": 25, "failed": 5}
        await settled(lambda: built.endings() == wanted, "rows are missing")
        failed = [row for row in built.rows() if row.presumed]
        assert [row.closed and row.closed.ending for row in failed] == ["failed"] * 5
        assert all(row.tally.completion_tokens for row in failed)


def test_what_a_killed_gateway_could_not_write_is_written_by_the_next(tmp_path: Path) -> None:
    """Its queue outlives it; streams that died with it end as failed, at their last checkpoint."""
    run(killed_with_a_queue(tmp_path))


async def one_of_two(folder: Path) -> None:
    """Kill one of two gateways on one database."""
    async with house(folder) as built:
        dies, lives = await built.gateway("dies"), await built.gateway("lives")
        chosen = plays(10, seconds=400)
        reading = begin_in_vain(dies, chosen)
        others = plays(10, seconds=24, first=100)
        living = begin(lives, others)
        await settled(lambda: built.endings()[None] == 20, "no rows while they run")
        await asyncio.sleep(2)
        await built.kill(dies)
        killed = time.monotonic()
        await reading
        await settled(lambda: built.endings()["failed"] == 10, "they are open still")
        assert time.monotonic() - killed < LEASE_S + 10
        check(others, await living)
        await settled(lambda: built.endings() == {"failed": 10, "complete": 10}, "more has ended")


def test_another_gateway_closes_the_rows_of_one_that_was_killed(tmp_path: Path) -> None:
    """Within a lease and two looks; its own streams are left alone."""
    run(one_of_two(tmp_path))


def test_a_mistake_is_said_and_nothing_is_served(tmp_path: Path) -> None:
    """A wrong password: --check exits with 2, serving with 1, each with what is wrong."""
    with Postgres(tmp_path / "postgres") as database:
        (tmp_path / "deltaweir.toml").write_text(
            f'[ledger]\nurl = "{database.url_of("postgres", password="wrong")}"\n'  # noqa: S106
            + upstream("u", "http://127.0.0.1:1/v1")
        )
        command = [sys.executable, "-m", "deltaweir", "serve", "--port", "0"]
        for more, code in ((["--check"], 2), ([], 1)):
            ended = subprocess.run(
                [*command, *more], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert ended.returncode == code
            said = " ".join(ended.stderr.split())
            assert "password authentication failed" in said
            assert "wrong" not in said
        with database.gone():
            ended = subprocess.run(
                [*command, "--check"], cwd=tmp_path, capture_output=True, text=True, check=False
            )
        assert (ended.returncode, "a server would start" in ended.stderr) == (0, True)
