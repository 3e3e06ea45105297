"""A worker obeys its supervisor's pipe, and nothing else but the pipe's end."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from multiprocessing.connection import Connection

import pytest
from msgspec.structs import replace
from starlette.requests import Request

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import Config, LedgerConfig, ServerConfig, UpstreamConfig
from deltaweir.gateway.server.worker import STARTED, _only, _Worker

CONFIG = Config(
    server=ServerConfig(port=0),
    upstreams=(UpstreamConfig(name="a", base_url="http://127.0.0.1:9/v1"),),
    ledger=LedgerConfig(url=""),
)
OTHER = replace(CONFIG, server=ServerConfig(port=0, drain_s=2))
REFUSED = replace(CONFIG, server=ServerConfig(port=0, heartbeat_s=1))
DEADLINE_S = 20.0


class Taking(_Worker):
    """A worker that keeps what it was told to serve."""

    def __init__(self, control: Connection) -> None:
        """Serve nothing at first."""
        super().__init__(CONFIG, control, None)
        self.taken: asyncio.Queue[Config] = asyncio.Queue()

    def take(self, config: Config) -> None:
        """Keep it, unless it is one that cannot be served."""
        if config.server.heartbeat_s == 1:
            raise InvalidRequest("not with this heartbeat")
        self.taken.put_nowait(config)


@contextlib.asynccontextmanager
async def working() -> AsyncIterator[tuple[Taking, Connection, asyncio.Task[None]]]:
    """Run a worker on this loop; give it, the supervisor's end of its pipe, and its task."""
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        worker = Taking(theirs)
        task = asyncio.get_running_loop().create_task(worker.serve())
        async with asyncio.timeout(DEADLINE_S):
            assert await asyncio.to_thread(ours.recv) == STARTED
            yield worker, ours, task
            await task


def signalled(times: int) -> None:
    """Send this process what a service manager sends to all."""
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    "end",
    [
        lambda control: control.send("stop"),
        lambda control: control.send("now"),
        lambda control: control.close(),
        pytest.param(
            lambda _: signalled(3),
            marks=pytest.mark.skipif(sys.platform == "win32", reason="kills there"),
        ),
    ],
    ids=["stop", "now", "dead supervisor", "signals"],
)
async def test_what_ends_it(end: Callable[[Connection], object]) -> None:
    """An order, the pipe's end, and a signal to it alone, which counts once."""
    async with working() as (worker, control, task):
        end(control)
        await task
        assert worker.gateway.draining


async def test_another_configuration() -> None:
    """It is served from then on; one that cannot be is left out, and the next one works."""
    async with working() as (worker, control, _):
        control.send(REFUSED)
        control.send(OTHER)
        assert await worker.taken.get() == OTHER
        assert worker.taken.empty()
        control.send("stop")


@pytest.mark.parametrize(
    ("shown", "user"),
    [
        ("Bearer token", "worker"),
        ("Bearer token2", None),
        ("bearer token", None),
        ("token", None),
        ("Bearer t\xf6ken", None),
        (None, None),
    ],
)
def test_who_may_ask_the_models(shown: str | None, user: str | None) -> None:
    """Only who shows the token."""
    headers = [] if shown is None else [(b"authorization", shown.encode("latin-1"))]
    assert _only("token")(Request({"type": "http", "headers": headers})) == user
