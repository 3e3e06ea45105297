"""What streams rely on goes away in the middle of 200 of them: no stream is lost, no row."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.live.provider import Play, Provider
from tests.live.readers import Reading, read
from tests.live.served import Served, model, upstream
from tests.live.valkeys import Valkey

from deltaweir.accounts import Row

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

STREAMS, PIECES, PAUSE_S = 200, 60, 0.06
"""Some seconds of streams that all run at once."""
AWAY_S = 1.0
"""How long what goes away stays away; the streams run on."""


def play(number: int) -> Play:
    """Return one of the streams."""
    return Play(number, PIECES, PAUSE_S)


def asked(number: int) -> dict[str, Any]:
    """Return the request for one that may be resumed."""
    messages = [{"role": "user", "content": play(number).prompt}]
    return {"model": "m", "messages": messages, "deltaweir": {"resume": True, "tag": str(number)}}


@contextlib.asynccontextmanager
async def gateways(
    folder: Path, *tables: str, count: int = 1
) -> AsyncIterator[tuple[Provider, list[Served]]]:
    """A provider, and gateways before it, each in a process of its own."""
    async with Provider() as provider:
        text = f'[server]\nlog = "none"\n{upstream("p", provider.base_url)}{model("m", ["p"])}'
        served = []
        for number in range(count):
            own = folder / str(number)
            own.mkdir()
            served.append(Served(own, text + "".join(tables)))
        async with contextlib.AsyncExitStack() as stack:
            for one in served:
                await asyncio.to_thread(one.__enter__)
                stack.push_async_callback(asyncio.to_thread, one.stop)
            yield provider, served


async def through(served: Served, outage: Callable[[], Awaitable[None]]) -> list[Reading]:
    """Read all streams while something goes away; return what came, whole."""
    began = time.monotonic()
    streams = [asyncio.create_task(read(served.address, asked(one))) for one in range(STREAMS)]
    await asyncio.sleep(PIECES * PAUSE_S / 4)
    await outage()
    assert not any(one.done() for one in streams), "they ended too early to prove anything"
    readings = await asyncio.gather(*streams)
    for number, one in enumerate(readings):
        said = (one.text, one.finish_reason, one.done, one.error)
        assert said == (play(number).text, "stop", True, None)
    # nobody has waited for what was away
    assert time.monotonic() - began < PIECES * PAUSE_S + 10
    return readings


def check_rows(rows: list[Row]) -> None:
    """See that each stream is there once, and whole."""
    tags = sorted(int(row.opened.tag or -1) for row in rows if row.opened)
    assert tags == [*range(STREAMS)]
    assert {row.closed.ending for row in rows if row.closed} == {"complete"}
    assert {row.tally.completion_tokens for row in rows} == {PIECES}


@pytest.mark.parametrize("how", ["killed", "killed and empty", "frozen"])
def test_the_store_goes_away(tmp_path: Path, how: str) -> None:
    """Streams run on; when it is back, all can be read at another gateway, byte for byte."""
    with Valkey(tmp_path / "valkey", append_only=how != "killed and empty") as valkey:

        async def outage() -> None:
            away = valkey.frozen() if how == "frozen" else valkey.gone()
            with away:
                await asyncio.sleep(AWAY_S)

        async def main() -> None:
            store = f'[store]\nurl = "{valkey.url}"\n'
            async with gateways(tmp_path, store, count=2) as (_, (here, there)):
                await through(here, outage)
                rows = await asyncio.to_thread(here.rows, STREAMS)
                check_rows(rows)
                for row in rows:
                    path = f"/v1/streams/{row.stream_id}"
                    answers = [await asyncio.to_thread(one.ask, path=path) for one in (here, there)]
                    assert [one.status for one in answers] == [200, 200]
                    assert answers[0].body == answers[1].body
                    assert answers[0].body.endswith(b"data: [DONE]\n\n")
                ready = await asyncio.to_thread(here.ask, path="/readyz")
                assert ready.json["store"]["status"] == "up"

        asyncio.run(main())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB, which is easily filled."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    program = shutil.which("mount") or "/bin/mount"
    subprocess.run([program, "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run([shutil.which("umount") or "/bin/umount", disk], check=True)


def test_the_disk_is_full(small_disk: Path) -> None:
    """Rows wait until there is room; then all are there, once."""

    async def outage() -> None:
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        assert shutil.disk_usage(small_disk).free == 0
        await asyncio.sleep(AWAY_S)
        filler.unlink()

    async def main() -> None:
        async with gateways(small_disk) as (_, (here,)):
            await through(here, outage)
            check_rows(await asyncio.to_thread(here.rows, STREAMS))
            usage = await asyncio.to_thread(here.ask, path="/v1/usage")
            assert json.loads(usage.body)["total"]["streams"] == STREAMS

    asyncio.run(main())
