"""The gateway as a process: uvicorn around the application, and a stop that loses nothing.

Told to stop, the server refuses new requests with 503 while streams go on; after ``drain_s``
it tells those that are left, and then exits with 0, which uvicorn by itself does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType

import uvicorn

from deltaweir.gateway.app import application
from deltaweir.gateway.config import Config
from deltaweir.gateway.protocol import Protocol
from deltaweir.gateway.service import Gateway

LAST_WORDS_S = 1.0
"""How long streams that were told of the stop have to send that, in seconds."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """A uvicorn server that drains its streams before it stops.

    Args:
        config: What to serve, and where.
    """

    def __init__(self, config: Config) -> None:
        self.gateway = Gateway(config)
        server = config.server
        super().__init__(
            uvicorn.Config(
                application(self.gateway),
                host=server.host,
                port=server.port,
                http=Protocol,
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=75,  # longer than clients keep theirs, or both close at once
                timeout_graceful_shutdown=5,
            )
        )
        self.on_started: Callable[[], object] = lambda: None
        """Called once, when the server listens."""
        self._drain: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the ledger, begin to listen, and say so.

        Raises:
            LedgerUnavailable: The ledger cannot be opened.
        """
        await asyncio.to_thread(self.gateway.open_ledger)
        await super().startup(sockets)
        if self.started:
            self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is open, and write the last rows of the ledger."""
        await super().shutdown(sockets)
        self.gateway.stop_answers()  # who is told to stop twice does not wait for streams
        await self._none_left(LAST_WORDS_S)
        await asyncio.to_thread(self.gateway.close)

    def stop(self) -> None:
        """Begin to stop; called again, stop at once. On the loop's thread only."""
        if self._drain is None:
            self.gateway.draining = True
            self._drain = asyncio.get_running_loop().create_task(self._drained())
        else:
            self.should_exit = self.force_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on the usual signals, and do not raise them again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()

        def told(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.stop)

        before = {number: signal.signal(number, told) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def _drained(self) -> None:
        await self._none_left(self.gateway.config.server.drain_s)
        self.gateway.stop_answers()
        await self._none_left(LAST_WORDS_S)
        self.should_exit = True

    async def _none_left(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.gateway.answers and loop.time() < deadline:  # noqa: ASYNC110  # rare, and short
            await asyncio.sleep(0.02)
