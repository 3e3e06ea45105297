"""The gateway as a process: uvicorn around the application, and a stop that loses nothing.

Told to stop, the server refuses new requests with 503 while streams go on; after ``drain_s``
it tells those that are left, and then exits with 0, which uvicorn by itself does not. Told to
reload (SIGHUP), it reads its configuration again; a mistake in it is logged and changes
nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from types import FrameType

import uvicorn

from deltaweir.errors import DeltaweirError
from deltaweir.gateway.app import application
from deltaweir.gateway.config.file import Config
from deltaweir.gateway.config.reloading import Reloaded, reloaded, told
from deltaweir.gateway.lanes.protocol import Protocol
from deltaweir.gateway.server.listening import BACKLOG, unavailable
from deltaweir.gateway.service import Authorize, Gateway

SWITCH_S = 0.0005
"""How long a thread computes while another waits for the interpreter, in seconds."""
LAST_WORDS_S = 1.0
"""How long streams that were told of the stop have to send that, in seconds."""
CLOSE_S = 5.0
"""How long connections have to close after the last stream, in seconds."""
_HANG_UP = getattr(signal, "SIGHUP", None)
_log = logging.getLogger("deltaweir.gateway")


def settle() -> None:
    """Let a process do nothing but serve, once all is loaded.

    The collector looks no more through some hundred thousand objects that stay; and a thread
    that writes the ledger gives way to the loop within a tenth of the usual time.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)


class Server(uvicorn.Server):
    """A uvicorn server that drains its streams before it stops.

    Args:
        config: What to serve, and where.
        reread: Returns the configuration anew, for a reload; may block. None where there is
            no file.
        authorize: Takes a request and returns its user's name, None to refuse it.
    """

    def __init__(
        self,
        config: Config,
        *,
        reread: Callable[[], Config] | None = None,
        authorize: Authorize | None = None,
    ) -> None:
        self.gateway = Gateway(config, authorize=authorize)
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
                proxy_headers=False,  # who a client's proxy says it is, nobody asks here
                backlog=BACKLOG,
                timeout_keep_alive=75,  # longer than clients keep theirs, or both close at once
                timeout_graceful_shutdown=int(CLOSE_S),
            )
        )
        self.on_started: Callable[[], object] = lambda: None
        """Called once, when the server listens."""
        self._reread = reread
        self._reloading: asyncio.Task[None] | None = None
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
            AddressUnavailable: Somebody else has begun to listen there meanwhile.
        """
        await asyncio.to_thread(self.gateway.book.open)
        await asyncio.to_thread(self.gateway.routing.warm_all)
        self.gateway.keep()
        try:
            await super().startup(sockets)
        except OSError as error:
            server = self.gateway.config.server
            raise unavailable(server.host, server.port, error) from error
        if self.started:
            self.on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is open, and write the last rows of the ledger."""
        await super().shutdown(sockets)
        self.gateway.stop_runs()  # who is told to stop twice does not wait for streams
        await self._none_left(LAST_WORDS_S)
        await self.gateway.leave()
        await asyncio.to_thread(self.gateway.close)

    def drain(self) -> None:
        """Begin to stop, unless it has begun. On the loop's thread only."""
        if self._drain is None:
            self.gateway.draining = True
            self.gateway.dashboard.close()
            if open_now := len(self.gateway.runs) + len(self.gateway.readers):
                _log.info(
                    "stopping: %d open, for up to %g s; told again, it stops at once",
                    open_now,
                    self.gateway.config.server.drain_s,
                )
            self._drain = asyncio.get_running_loop().create_task(self._drained())

    def stop(self) -> None:
        """Begin to stop; called again, stop at once. On the loop's thread only."""
        if self._drain is None:
            self.drain()
        else:
            self.should_exit = self.force_exit = True

    def reload(self) -> None:
        """Read the configuration again, and serve what it says; what runs goes on as it began.

        A mistake in it is logged, and nothing changes. Without anything to read from, a hang-up
        has its usual meaning, and the server stops. On the loop's thread only.
        """
        if self._reread is None:
            self.drain()
            return
        self._reloading = asyncio.get_running_loop().create_task(
            self._read_again(self._reread, self._reloading)
        )

    def take(self, config: Config) -> None:
        """Serve another configuration from the next request on. On the loop's thread only.

        Raises:
            InvalidRequest: It cannot be served.
        """
        self.gateway.reload(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop and reload on the usual signals, and do not raise them again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        had_terminal = has_terminal()

        def stop(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.stop)

        def hang_up(_number: int, _frame: FrameType | None) -> None:
            # a terminal that closes sends the signal too, and nobody wants a reload then
            closed = had_terminal and not has_terminal()
            loop.call_soon_threadsafe(self.drain if closed else self.reload)

        wanted: dict[int, Callable[[int, FrameType | None], None]] = {
            signal.SIGINT: stop,
            signal.SIGTERM: stop,
        }
        if _HANG_UP is not None:
            wanted[_HANG_UP] = hang_up
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        try:
            yield
        finally:
            for number, earlier in before.items():
                signal.signal(number, earlier)

    async def _read_again(
        self, reread: Callable[[], Config], earlier: asyncio.Task[None] | None
    ) -> None:
        if earlier is not None:  # the file may have changed since that one read it
            await asyncio.wait([earlier])
        running = self.gateway.config

        def read() -> Reloaded:
            return reloaded(running, reread())

        try:
            after = await asyncio.to_thread(read)
            self.take(after.config)
        except DeltaweirError as error:
            not_reloaded(error)
        else:
            _log.info("%s", told(running, after))

    async def _drained(self) -> None:
        await self._none_left(self.gateway.config.server.drain_s)
        self.gateway.stop_runs()
        await self._none_left(LAST_WORDS_S)
        self.gateway.dismiss_readers()
        self.should_exit = True

    async def _none_left(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        gateway = self.gateway
        while (gateway.runs or gateway.readers) and loop.time() < deadline:  # noqa: ASYNC110  # rare, and short
            await asyncio.sleep(0.02)


def not_reloaded(error: DeltaweirError) -> None:
    """Log a configuration that cannot take the place of the running one."""
    _log.error("the configuration was not reloaded, all stays as it was: %s", error)


def has_terminal() -> bool:
    """Say whether somebody may see on a terminal what this process says."""
    return sys.stderr is not None and sys.stderr.isatty()
