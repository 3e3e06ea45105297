"""The engine: one model in memory, a few slots, and a fair queue before them.

Rules, each learnt by experiment:

- A native call blocks its thread until its answer ends, so each slot has a thread. A slot is
  free only when its native call has returned, and so no more calls run than there are slots.
- The engine asks a callback for every token; "stop" from it ends the call within a token,
  or within a batch of the prompt, which is why batches are small.
- Threads that compute wait passively, and never take all cores: ggml spins at its barriers.
- An exception in a callback would be lost in native code, so it is kept and reported.
- A callback that comes when the interpreter is gone would end the process, so at exit all
  calls are cancelled and waited for.
- Cancelling takes no lock: it may happen in a signal handler, or while garbage is collected.
"""

from __future__ import annotations

import atexit
import collections
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deltaweir.errors import EngineMissing, ModelCorrupt, ServiceUnavailable
from deltaweir.sources.local.request import Call

Deliver = Callable[[int, bytes | BaseException | None], object]
"""Takes what a call said: its number, and an event, the error it died of, or None at its end."""

SLOTS = 4
"""Answers generated at once; more wait in the queue."""
BATCH = 32
"""Tokens of a prompt read in one go: what a cancel or a second prompt waits for at most."""
CACHE_MIB = 256
"""Memory for prompts read before, so that a conversation's past is not read again."""
EXIT_WAIT_S = 10.0
"""How long the process waits at its exit for cancelled calls to return, in seconds."""


class Job:
    """The calls of one request, on their way through an engine.

    Attributes:
        cancelled: Set by `cancel`; once set, no call of the job starts or goes on.
    """

    __slots__ = ("_bodies", "_chat", "_deliver", "_enough", "_next", "cancelled")

    def __init__(
        self,
        calls: Sequence[Call],
        *,
        chat: bool,
        deliver: Deliver,
        enough: Callable[[int], bool],
    ) -> None:
        self.cancelled = False
        self._bodies = [call.body for call in calls]
        self._chat = chat
        self._deliver = deliver
        self._enough = enough
        self._next = 0

    def cancel(self) -> None:
        """Stop computing, within a token; idempotent, from any thread, never blocks."""
        self.cancelled = True

    def _take(self) -> int | None:
        """Return the next call's number, None when there is none. The engine holds its lock."""
        if self.cancelled or self._next >= len(self._bodies):
            return None
        self._next += 1
        return self._next - 1

    def _run(self, number: int, native: Callable[[bytes, Callable[[bytes], bool]], None]) -> None:
        failure: list[BaseException] = []

        def said(raw: bytes) -> bool:
            if self.cancelled:
                return True
            try:
                self._deliver(number, raw)
            except BaseException as error:  # noqa: BLE001  # native code would swallow it
                failure.append(error)
                return True
            return self._enough(number)

        try:
            native(self._bodies[number], said)
        except (ValueError, RuntimeError) as error:  # how the engine refuses a request
            failure.append(error)
        self._deliver(number, failure[0] if failure else None)


class Engine:
    """A model in memory that answers several requests at once.

    Args:
        path: The weights, a GGUF file that has been checked.
        context: Tokens that each answer may use, prompt and reply together.
        slots: Answers generated at once.
        threads: Threads that compute; half the cores unless told.

    Raises:
        EngineMissing: xllamacpp is not installed, or does not run on this machine.
        ModelCorrupt: The engine cannot load the weights.

    Safe to share between threads.
    """

    def __init__(
        self, path: Path, *, context: int, slots: int = SLOTS, threads: int | None = None
    ) -> None:
        self.context = context
        self.slots = slots
        self._server = _load(path, context=context, slots=slots, threads=threads)
        self._changed = threading.Condition()
        self._waiting: collections.deque[Job] = collections.deque()
        self._running: dict[int, Job] = {}
        self._workers = 0
        self._closed = False

    @property
    def running(self) -> int:
        """Native calls that have not returned yet."""
        return len(self._running)

    def submit(self, job: Job) -> None:
        """Queue a request; its events come from the engine's threads.

        Raises:
            ServiceUnavailable: The process is shutting down.
        """
        with self._changed:
            if self._closed:
                raise ServiceUnavailable("the engine is shutting down and takes no request")
            self._waiting.append(job)
            if self._workers < self.slots:
                threading.Thread(
                    target=self._work,
                    args=(self._workers,),
                    name=f"deltaweir-slot-{self._workers}",
                    daemon=True,
                ).start()
                self._workers += 1
            self._changed.notify(len(job._bodies))

    def close(self) -> None:
        """Cancel everything and wait for native calls to return; idempotent."""
        with self._changed:
            self._closed = True
            for job in [*self._waiting, *self._running.values()]:
                job.cancel()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._running, EXIT_WAIT_S)
            if not self._running:
                self._server = None

    def _work(self, worker: int) -> None:
        while True:
            with self._changed:
                self._running.pop(worker, None)
                self._changed.notify_all()
                while (taken := self._take()) is None:
                    if self._closed:
                        return
                    self._changed.wait()
                job, number = taken
                self._running[worker] = job
                server = self._server
            native = server.handle_chat_completions if job._chat else server.handle_completions
            job._run(number, native)
            del job, native, server

    def _take(self) -> tuple[Job, int] | None:
        """Take the next call, one from each waiting request in turn."""
        while self._waiting:
            job = self._waiting.popleft()
            number = job._take()
            if number is not None:
                self._waiting.append(job)
                return job, number
        return None


def _load(path: Path, *, context: int, slots: int, threads: int | None) -> Any:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when the engine is imported
    try:
        import xllamacpp  # heavy: only a process that answers by itself pays for it
    except ImportError as error:
        raise EngineMissing(
            "the engine of the embedded model is not installed, or does not run here: "
            "pip install 'deltaweir[local]' (Linux x86_64, macOS arm64, Windows)"
        ) from error
    wanted = xllamacpp.CommonParams()
    wanted.model.path = os.fspath(path)
    wanted.n_parallel = slots
    wanted.n_ctx = slots * context
    wanted.kv_unified = False
    wanted.n_batch = wanted.n_ubatch = BATCH
    count = threads or max(1, (os.cpu_count() or 2) // 2)
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = count
    wanted.cache_ram_mib = CACHE_MIB
    wanted.verbosity = 0
    # The engine opens a port of its own that nobody here needs: locked with a key that
    # nobody knows, closed to browsers, with neither page nor statistics.
    wanted.port = 0
    wanted.api_keys = [secrets.token_hex(32)]
    wanted.cors_origins = "http://127.0.0.1"
    wanted.ui = False
    wanted.endpoint_slots = False
    try:
        return xllamacpp.Server(wanted)
    except (RuntimeError, ValueError) as error:
        raise ModelCorrupt(
            f"the engine cannot load {path.name}: not weights it knows, damaged, or too large "
            "for this machine's memory"
        ) from error


_engines: dict[tuple[Path, int], Engine] = {}
_loading = threading.Lock()


def engine_for(path: Path, *, context: int) -> Engine:
    """Return the process's engine for these weights, loading them at the first call.

    The engine stays in memory until the process ends, so that later calls start at once.

    Raises:
        EngineMissing: xllamacpp is not installed, or does not run on this machine.
        ModelCorrupt: The engine cannot load the weights.
    """
    key = (path.resolve(), context)
    with _loading:
        engine = _engines.get(key)
        if engine is None:
            engine = _engines[key] = Engine(path, context=context)
        return engine


@atexit.register
def _close_all() -> None:
    for engine in _engines.values():
        engine.close()
    _engines.clear()


_lost: list[dict[tuple[Path, int], Engine]] = []


def _forget() -> None:
    """Start anew in a forked child, where the engine's threads do not exist."""
    global _engines, _loading
    _lost.append(_engines)  # destroying them here would wait for those threads for ever
    _engines, _loading = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
