"""The server's own life: which loop it runs on, and what signals make of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.gateway.config.file import Config, load_config
from deltaweir.gateway.server.listening import AddressUnavailable, bound
from deltaweir.gateway.server.server import Server

UPSTREAM = '[[upstreams]]\nname = "a"\nbase_url = "http://127.0.0.1:9/v1"\n'
OTHER = UPSTREAM.replace('"a"', '"b"')
FILE = f'[server]\nport = 0\ndrain_s = 1\n[ledger]\nurl = ""\n{UPSTREAM}'
DEADLINE_S = 20.0
signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")


class Taking(Server):
    """A server that keeps what it was told to serve."""

    def __init__(self, path: Path) -> None:
        """Serve a file."""
        super().__init__(load_config(path), reread=lambda: load_config(path))
        self.taken: list[Config] = []

    def take(self, config: Config) -> None:
        """Keep it, unless it is one that cannot be served."""
        if config.server.heartbeat_s == 1:
            raise InvalidRequest("not with this heartbeat")
        self.taken.append(config)
        self.gateway.config = config


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with a configuration."""
    path = tmp_path / "deltaweir.toml"
    write(path, FILE)
    return path


def write(path: Path, text: str) -> None:
    """Give the file another text."""
    path.write_text(text, "utf-8")


@contextlib.asynccontextmanager
async def serving(server: Server) -> AsyncIterator[asyncio.Task[None]]:
    """Run a server on this loop, where it gets the signals of the process."""
    started = asyncio.Event()
    server.on_started = started.set
    task = asyncio.get_running_loop().create_task(server.serve())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await started.wait()
            yield task
    finally:
        server.stop()
        await task


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> str:
    """Wait for a line with a text, and return it."""
    while True:
        for record in caplog.records:
            if text in record.getMessage():
                return record.getMessage()
        await asyncio.sleep(0.01)


def test_it_runs_on_the_fastest_loop(path: Path) -> None:
    """That is uvloop's where it is installed; many may wait to be accepted."""
    uvloop = pytest.importorskip("uvloop")
    server = Server(load_config(path))
    loops: list[asyncio.AbstractEventLoop] = []

    def started() -> None:
        loops.append(asyncio.get_running_loop())
        server.stop()

    server.on_started = started
    thread = threading.Thread(target=server.run, args=(bound("127.0.0.1", 0),))
    thread.start()
    thread.join(DEADLINE_S)
    assert isinstance(loops[0], uvloop.Loop)
    assert server.config.backlog == 2048


@signals
async def test_a_hang_up_reads_the_file_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What can hold at once does; the log names what needs a restart."""
    server = Taking(path)
    with caplog.at_level(logging.INFO):
        async with serving(server):
            write(path, FILE.replace("port = 0", "port = 1") + OTHER)
            os.kill(os.getpid(), signal.SIGHUP)
            line = await logged(caplog, "reloaded: added model b/*, added upstream b; needs")
    assert line.endswith("needs a restart: server.port")
    assert [one.name for one in server.taken[0].models] == ["a/*", "b/*"]
    assert server.taken[0].server.port == 0


@signals
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1", "unknown key 'prot' in server"),
        (FILE.replace("drain_s", "heartbeat_s"), "not with this heartbeat"),
    ],
)
async def test_a_mistake_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture, text: str, message: str
) -> None:
    """It is logged, the old configuration stays, and the next reload works."""
    server = Taking(path)
    with caplog.at_level(logging.INFO):
        async with serving(server):
            write(path, text)
            os.kill(os.getpid(), signal.SIGHUP)
            line = await logged(caplog, "not reloaded, all stays as it was")
            assert message in line
            assert server.taken == []
            write(path, FILE)
            os.kill(os.getpid(), signal.SIGHUP)
            await logged(caplog, "no table changed")


async def test_reloads_wait_for_each_other(path: Path) -> None:
    """However often one is asked for at once, what is served last is what the file says last."""
    server = Taking(path)
    async with serving(server):
        for number in range(5):
            write(path, FILE.replace("drain_s = 1", f"drain_s = {number}"))
            server.reload()
        assert server._reloading is not None
        await server._reloading
    assert len(server.taken) == 5
    assert server.taken[-1].server.drain_s == 4


@signals
async def test_a_hang_up_without_a_file_ends_it(path: Path) -> None:
    """There is nothing to read again, so it has its usual meaning."""
    server = Server(load_config(path))
    async with serving(server) as task:
        os.kill(os.getpid(), signal.SIGHUP)
        await task


async def test_somebody_else_listens_meanwhile(path: Path) -> None:
    """An address that is taken between binding and listening is a typed error."""
    (one,) = bound("127.0.0.1", 0)
    (other,) = bound("127.0.0.1", one.getsockname()[1])
    with one, other:
        other.listen()
        with pytest.raises(AddressUnavailable, match="cannot listen at"):
            await Server(load_config(path)).serve([one])
