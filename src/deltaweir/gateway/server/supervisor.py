"""Several processes that answer at one address: ``deltaweir serve --workers N``.

The supervisor binds the sockets once and hands them to its workers, so that no connection is
refused while one of them dies and comes back. Each worker is a whole gateway; they share the
ledger's file, and nothing else. Embedded models run in one process more, which workers reach
over loopback, since their weights should be in memory once.

Processes are spawned by multiprocessing rather than started as commands: socket, configuration
and orders then go over pipes of their own, so that no key is in arguments or environments, and
a worker imports from where its supervisor does. They are not forked: threads of the libraries
would not survive that.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import wait
from types import FrameType

from deltaweir.errors import DeltaweirError, InvalidRequest
from deltaweir.gateway.config.file import Config
from deltaweir.gateway.config.reloading import reloaded, told
from deltaweir.gateway.server.child import Child
from deltaweir.gateway.server.listening import BACKLOG, bound
from deltaweir.gateway.server.loopback import HOST, by_loopback, embedded_in, embedded_only
from deltaweir.gateway.server.server import CLOSE_S, LAST_WORDS_S, has_terminal, not_reloaded

GRACE_S = 2 * LAST_WORDS_S + CLOSE_S + 10.0
"""How long after ``drain_s`` a worker may still live, in seconds; its ledger has to be written."""
_AT_ONCE_S = LAST_WORDS_S + CLOSE_S + 5.0
_METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the directory in which workers add up their metrics."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_log = logging.getLogger("deltaweir.gateway")


class WorkersFailed(DeltaweirError):
    """No worker could be started."""

    default_code = "workers_failed"


class Supervisor:
    """Keep workers alive until told to stop.

    Args:
        config: What to serve, where, and with how many workers.
        reread: Returns the configuration anew, for a reload; may block. None where there is
            no file.
        begin: Called first in each process, to set up its log; a function of a module, since
            it is found there by its name.
    """

    def __init__(
        self,
        config: Config,
        *,
        reread: Callable[[], Config] | None = None,
        begin: Callable[[], object] | None = None,
    ) -> None:
        self.on_started: Callable[[], object] = lambda: None
        """Called once, when all workers listen for the first time."""
        self.port = config.server.port
        """The port they listen on, once started."""
        self._config = config
        self._reread = reread
        self._begin = begin
        self._workers: list[Child] = []
        self._models: Child | None = None
        self._token = secrets.token_urlsafe(32)
        self._models_port = 0
        self._signals: deque[int] = deque()
        self._told_to_stop = 0
        self._kill_at = float("inf")
        self._said = False
        self._had_terminal = has_terminal()
        self._lifetime = ExitStack()

    def run(self) -> None:
        """Serve until a signal says to stop, and every stream has ended or ``drain_s`` is over.

        On the main thread only, where signals arrive.

        Raises:
            InvalidRequest: This system cannot share sockets between processes.
            AddressUnavailable: Nobody can listen there.
            WorkersFailed: No worker could be started; the message says why.
        """
        if sys.platform == "win32":
            raise InvalidRequest(
                f"got {self._config.server.workers} workers, but on Windows a socket cannot be "
                "shared between them; expected 1",
                param="workers",
            )
        with self._lifetime, _signals(self._signals) as woken:
            self._prepare()
            try:
                while self._goes_on():
                    self._advance()
                    self._wait(woken)
                    self._heed_signals()
                    self._look_after()
            finally:
                for child in self._children:
                    child.kill()

    @property
    def _children(self) -> list[Child]:
        return [*self._workers, *([self._models] if self._models is not None else [])]

    def _prepare(self) -> None:
        directory = self._lifetime.enter_context(
            tempfile.TemporaryDirectory(prefix="deltaweir-metrics-")
        )
        server = self._config.server
        sockets = bound(server.host, server.port)
        for one in sockets:
            self._lifetime.enter_context(one)
        self.port = sockets[0].getsockname()[1]
        self._workers = [
            Child(
                f"worker {number}",
                sockets,
                environment={_METRICS: directory},
                begin=self._begin,
            )
            for number in range(1, server.workers + 1)
        ]
        self._need_models()

    def _need_models(self) -> None:
        """Make a place for the embedded models if there are any, and none yet."""
        if self._models is not None or not embedded_in(self._config):
            return
        (one,) = bound(HOST, 0)
        self._lifetime.enter_context(one)
        one.listen(BACKLOG)  # workers wait for the weights to be loaded
        self._models_port = one.getsockname()[1]
        self._models = Child(
            "the embedded model",
            [one],
            token=self._token,
            environment={_METRICS: None},  # its streams are counted by the workers
            begin=self._begin,
        )

    def _config_of(self, child: Child) -> Config:
        if child is self._models:
            return embedded_only(self._config)
        if not embedded_in(self._config):
            return self._config
        return by_loopback(self._config, port=self._models_port, token=self._token)

    def _goes_on(self) -> bool:
        return not self._told_to_stop or any(child.pid is not None for child in self._children)

    def _advance(self) -> None:
        """Start what is due; workers when the models they need are there."""
        if self._told_to_stop:
            return
        now = time.monotonic()
        for child in self._children:
            new = child.pid is None and child.due is None
            early = child is not self._models and self._models is not None
            if early and new and self._models is not None and not self._models.ever_started:
                continue
            if new or (child.due is not None and child.due <= now):
                child.start(self._config_of(child))

    def _wait(self, woken: int) -> None:
        due = [child.due for child in self._children if child.due is not None]
        if self._told_to_stop:
            due = [self._kill_at]
        left = max(0.0, min(due) - time.monotonic()) if due else None
        watched = [one for child in self._children for one in child.waited_for]
        if woken in wait([woken, *watched], left):
            os.read(woken, 4096)

    def _heed_signals(self) -> None:
        while self._signals:
            number = self._signals.popleft()
            hung_up = number not in _STOP_SIGNALS
            if hung_up and self._reread is not None and not self._terminal_closed():
                self._reload(self._reread)
            elif not (hung_up and self._told_to_stop):
                self._stop()

    def _terminal_closed(self) -> bool:
        return self._had_terminal and not has_terminal()

    def _stop(self) -> None:
        self._told_to_stop += 1
        wait_s = self._config.server.drain_s + GRACE_S
        if self._told_to_stop > 1:
            wait_s = _AT_ONCE_S
        self._kill_at = time.monotonic() + wait_s
        for child in self._workers:
            self._tell_to_stop(child)

    def _tell_to_stop(self, child: Child) -> None:
        if child.listens:
            child.tell("now" if self._told_to_stop > 1 else "stop")
        else:  # it has no streams
            child.kill()

    def _reload(self, reread: Callable[[], Config]) -> None:
        """Read the configuration again, and hand it to all; a mistake in it changes nothing."""
        try:
            after = reloaded(self._config, reread())
        except DeltaweirError as error:
            not_reloaded(error)
            return
        line = told(self._config, after)
        self._config = after.config
        self._need_models()
        for child in self._children:
            child.tell(self._config_of(child))
        _log.info("%s", line)

    def _look_after(self) -> None:
        """Take note of who has started and who has died."""
        for child in self._children:
            child.hear()
            pid = child.pid
            code = child.dead()
            if code is not None and pid is not None:
                self._bury(child, pid, code)
        if not self._said and all(child.ever_started for child in self._children):
            self._said = True
            self.on_started()
        workers_left = any(child.pid is not None for child in self._workers)
        if self._told_to_stop and self._models is not None and not workers_left:
            self._tell_to_stop(self._models)  # last, since the workers' streams come from there
        if time.monotonic() >= self._kill_at:
            for child in self._children:
                child.kill()

    def _bury(self, child: Child, pid: int, code: int) -> None:
        if self._told_to_stop:
            return
        how = child.failure or (f"ended by signal {-code}" if code < 0 else f"exit code {code}")
        alike = [child] if child is self._models else self._workers
        none_started = not any(one.ever_started for one in alike)
        if none_started and (child.failure is not None or child.hopeless):
            raise WorkersFailed(f"{child.label} does not start: {how}")
        pause = max(0.0, (child.due or 0.0) - time.monotonic())
        _log.warning(
            "%s (process %d) has died: %s; starting another%s",
            child.label,
            pid,
            how,
            f" in {pause:.1f} s" if pause else "",
        )


@contextmanager
def _signals(heard: deque[int]) -> Iterator[int]:
    """Collect signals while the block runs; give the descriptor that they make readable."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)

    def hear(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        with suppress(BlockingIOError):  # enough is in it
            os.write(writable, b"\0")

    numbers = [*_STOP_SIGNALS, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, hear) for number in numbers}
    try:
        yield readable
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(readable)
        os.close(writable)
