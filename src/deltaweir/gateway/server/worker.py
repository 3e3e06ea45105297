"""One process of several: it answers, and its supervisor alone tells it when to stop or reload.

Orders come through a pipe, not by signals: Ctrl-C and a service manager signal all processes
of a group at once, and an order on top of that would be the second one, which drops streams.
The pipe also ends when the supervisor dies, however it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import signal
import socket
import threading
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Literal

from starlette.requests import Request

from deltaweir.errors import DeltaweirError
from deltaweir.gateway.config.file import Config
from deltaweir.gateway.log.json_lines import take_over_uvicorn
from deltaweir.gateway.server.loopback import embedded_in
from deltaweir.gateway.server.server import Server, not_reloaded, settle
from deltaweir.gateway.service import Authorize

Order = Config | Literal["stop", "now"]
"""A configuration to serve from now on; to drain and stop; to stop at once."""
STARTED = "started"
"""What a worker says when it listens; before that, any other text says why it cannot."""
BY_SUPERVISOR = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that are the supervisor's to hear; a worker is born with them blocked."""
_log = logging.getLogger("deltaweir.gateway")


def work(
    sockets: list[socket.socket],
    control: Connection,
    token: str | None,
    begin: Callable[[], object] | None,
) -> None:
    """Answer requests until told to stop; a process's first and last call.

    Args:
        sockets: Where to listen, bound.
        control: The supervisor's pipe; the first message is what to serve.
        token: What clients must show as their key, where these are workers; the models are
            then loaded before the process listens.
        begin: Called first, to set up the log.

    Raises:
        SystemExit: It could not start; the supervisor was told why.
    """
    _leave_signals_to_the_supervisor()
    if begin is not None:
        begin()
    try:
        config = control.recv()
        if token is not None:
            _load(config)
        worker = _Worker(config, control, None if token is None else _only(token))
        take_over_uvicorn()
        worker.run(sockets)
    except EOFError:
        return
    except DeltaweirError as error:
        with contextlib.suppress(OSError):
            control.send(str(error))
        raise SystemExit(1) from error


class _Worker(Server):
    """A server that obeys a pipe."""

    def __init__(self, config: Config, control: Connection, authorize: Authorize | None) -> None:
        super().__init__(config, authorize=authorize)
        self._control = control
        self.on_started = self._say_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen to the supervisor, then to clients."""
        loop = asyncio.get_running_loop()
        threading.Thread(
            target=self._obey, args=(loop,), name="deltaweir-orders", daemon=True
        ).start()
        await super().startup(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Let SIGTERM, sent to this worker alone, drain it, however often it comes."""
        loop = asyncio.get_running_loop()

        def told(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.drain)

        before = signal.signal(signal.SIGTERM, told)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _say_started(self) -> None:
        settle()
        with contextlib.suppress(OSError):
            self._control.send(STARTED)

    def _obey(self, loop: asyncio.AbstractEventLoop) -> None:
        """Carry out what the supervisor says, on a thread of its own, until it dies."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            while True:
                try:
                    self._carry_out(self._control.recv(), loop)
                except (EOFError, OSError):
                    loop.call_soon_threadsafe(self.drain)
                    return
                except DeltaweirError as error:  # a file of rules has changed since it was read
                    not_reloaded(error)

    def _carry_out(self, order: Order, loop: asyncio.AbstractEventLoop) -> None:
        if isinstance(order, Config):
            loop.call_soon_threadsafe(self._take_quietly, order)
        elif order == "stop":
            loop.call_soon_threadsafe(self.drain)
        else:
            loop.call_soon_threadsafe(self._stop_at_once)

    def _take_quietly(self, config: Config) -> None:
        try:
            self.take(config)
        except DeltaweirError as error:
            not_reloaded(error)

    def _stop_at_once(self) -> None:
        self.drain()
        self.stop()


def _load(config: Config) -> None:
    from deltaweir.client.embedded import weights_of
    from deltaweir.sources.local.answer import load

    for name in embedded_in(config):
        load(weights_of(name))


def _only(token: str) -> Authorize:
    """Return what lets in whoever shows the token."""
    wanted = f"Bearer {token}".encode()

    def authorize(request: Request) -> str | None:
        shown = request.headers.get("authorization", "").encode("latin-1")
        return "worker" if hmac.compare_digest(shown, wanted) else None

    return authorize


def _leave_signals_to_the_supervisor() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in BY_SUPERVISOR[1:]:
        number: Any = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN if name == "SIGHUP" else signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK,
            {getattr(signal, name) for name in BY_SUPERVISOR if hasattr(signal, name)},
        )
