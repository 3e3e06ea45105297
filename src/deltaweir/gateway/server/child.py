"""A process that a supervisor keeps: started, told, mourned, and started again."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Generator, Mapping
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from deltaweir.gateway.config.file import Config
from deltaweir.gateway.server.restarts import Restarts
from deltaweir.gateway.server.worker import BY_SUPERVISOR, STARTED, Order, work

_SPAWN = multiprocessing.get_context("spawn")


class Child:
    """One place among a supervisor's processes, and the process that fills it now.

    Args:
        label: What the log calls it.
        sockets: Where it listens; they outlive its processes.
        token: What its clients must show, where they are workers.
        environment: Variables to set for it, or with None to unset.
        begin: Called first in each of its processes.

    Attributes:
        ever_started: Whether one of its processes has listened.
        failure: What the last process said of why it cannot start; None if it said nothing.
        due: When to start the next process, on the monotonic clock; None while one lives.
    """

    def __init__(
        self,
        label: str,
        sockets: list[socket.socket],
        *,
        token: str | None = None,
        environment: Mapping[str, str | None],
        begin: Callable[[], object] | None = None,
    ) -> None:
        self.label = label
        self.ever_started = False
        self.failure: str | None = None
        self.due: float | None = None
        self._sockets = sockets
        self._token = token
        self._environment = environment
        self._begin = begin
        self._process: SpawnProcess | None = None
        self._control: Connection | None = None
        self._listens = False
        self._restarts = Restarts()
        self._began = 0.0

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def listens(self) -> bool:
        """Whether the process has begun to answer, and lives."""
        return self._listens

    @property
    def hopeless(self) -> bool:
        """Whether it has died at its start too often to go on, and has never worked."""
        return not self.ever_started and self._restarts.hopeless

    @property
    def waited_for(self) -> list[Connection | int]:
        """What becomes readable when the process speaks or ends; nothing without one."""
        if self._process is None:
            return []
        return [self._process.sentinel, *([self._control] if self._control is not None else [])]

    def start(self, config: Config) -> None:
        """Start a process.

        Args:
            config: What it serves.
        """
        self.due, self.failure, self._began = None, None, time.monotonic()
        ours, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(
            target=work, args=(self._sockets, theirs, self._token, self._begin), name=self.label
        )
        with _environment(self._environment), _signals_blocked():
            self._process.start()
        theirs.close()
        self._control = ours
        self.tell(config)

    def tell(self, order: Order) -> None:
        """Send an order; a process that is about to end does not get it, which is no error."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.send(order)

    def hear(self) -> bool:
        """Take what the process has said; return whether it has just begun to listen."""
        before = self._listens
        while self._control is not None:
            try:
                if not self._control.poll():
                    break
                said = self._control.recv()
            except (EOFError, OSError):
                self._control.close()
                self._control = None
                break
            if said == STARTED:
                self._listens = self.ever_started = True
            else:
                self.failure = said
        return self._listens and not before

    def dead(self) -> int | None:
        """Return the exit code of a process that has ended, None where none has.

        A negative one is the signal that killed it. The next is then due at ``due``.
        """
        if self._process is None or self._process.exitcode is None:
            return None
        code = self._process.exitcode
        self.hear()  # its last words
        self._process.close()
        if self._control is not None:
            self._control.close()
        self._process = self._control = None
        self._listens = False
        now = time.monotonic()
        self.due = now + self._restarts.died(now - self._began)
        return code

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None:
            self._process.kill()
            self._process.join()


@contextlib.contextmanager
def _signals_blocked() -> Generator[None, None, None]:
    """Let a process be born deaf to the signals that are for its supervisor.

    Else a Ctrl-C would interrupt it while it still imports.
    """
    resource_tracker.ensure_running()  # it would unblock them while the process starts
    numbers = {getattr(signal, name) for name in BY_SUPERVISOR}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str | None]) -> Generator[None, None, None]:
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
