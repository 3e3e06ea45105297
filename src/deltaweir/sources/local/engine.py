"""The engine: one model in memory, a few slots, and a fair queue before them.

Rules, each learnt by experiment:

- A native call blocks its thread until its answer ends, so each slot has a thread. A slot is
  free only when its native call has returned, and so no more calls run than there are slots.
- The engine asks a callback for every token; "stop" from it ends the call within a token,
  or within a batch of the prompt, which is why batches are small.
- An exception in a callback would be lost in native code, so it is kept and reported. What
  goes wrong in one call, of whatever kind, never takes its slot away.
- A callback that comes when the interpreter is gone would end the process, so at exit all
  calls are cancelled and waited for.
- A forked child has none of the engine's threads: it must load anew, and never destroy what
  it inherited, since that would wait for them.
- Cancelling takes no lock: it may happen in a signal handler, or while garbage is collected.
"""

from __future__ import annotations

import atexit
import collections
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from deltaweir.errors import ServiceUnavailable
from deltaweir.sources.local.native import load_server, survive_fork
from deltaweir.sources.local.request import Call

Hear = Callable[[int, bytes], bool]
"""Takes a call's number and an event of it; tells whether the call can be ended."""
Returned = Callable[[int, BaseException | None], object]
"""Takes the number of a call that has returned, and the error it died of."""

SLOTS = 4
"""Answers generated at once; more wait in the queue."""
EXIT_WAIT_S = 10.0
"""How long the process waits at its exit for cancelled calls to return, in seconds."""


class Job:
    """The calls of one request, on their way through an engine.

    Args:
        calls: What the engine is asked.
        chat: Whether they are chat completions.
        hear: Takes each call's events, on the thread of that call.
        returned: Told of each call that has returned, or that will never start since the
            engine closes; not of calls that never started since the job was cancelled.

    Attributes:
        cancelled: Set by `cancel`; once set, no call of the job starts or goes on.
        chat: Whether its calls are chat completions.
    """

    __slots__ = ("_calls", "_hear", "_next", "_refusal", "_returned", "cancelled", "chat")

    def __init__(
        self, calls: Sequence[Call], *, chat: bool, hear: Hear, returned: Returned
    ) -> None:
        self.cancelled = False
        self._calls = calls
        self.chat = chat
        self._hear = hear
        self._returned = returned
        self._next = 0
        self._refusal: BaseException | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def cancel(self) -> None:
        """Stop computing, within a token; idempotent, from any thread, never blocks."""
        self.cancelled = True

    def refuse(self, error: BaseException | None) -> None:
        """Cancel since the engine closes, and tell whoever waits for an answer why.

        Args:
            error: The reason; None tells nothing, since nobody lives to read it.
        """
        if error is None:
            self._returned = _untold
        self._refusal = error
        waiting = range(self._next, 0 if self.cancelled else len(self._calls))
        self.cancelled = True
        for number in waiting:
            self._returned(number, error)

    def take(self) -> int | None:
        """Return the next call's number, None when there is none. The engine holds its lock."""
        if self.cancelled or self._next >= len(self._calls):
            return None
        self._next += 1
        return self._next - 1

    def run(self, number: int, native: Callable[[bytes, Callable[[bytes], bool]], None]) -> None:
        """Make a call, which takes until its answer has ended."""
        failure: list[BaseException] = []

        def said(raw: bytes) -> bool:
            if self.cancelled:
                return True
            try:
                return self._hear(number, raw)
            except BaseException as error:  # noqa: BLE001  # native code would swallow it
                failure.append(error)
                return True

        try:
            native(self._calls[number].body, said)
        except Exception as error:  # noqa: BLE001  # whatever C++ throws, the reader must know
            failure.append(error)
        self._returned(number, failure[0] if failure else self._refusal)


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
        self._server = load_server(path, context=context, slots=slots, threads=threads)
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
        """Queue a request; its events come on the engine's threads.

        Raises:
            ServiceUnavailable: The engine is closed, or the process is shutting down.
        """
        with self._changed:
            if self._closed:
                raise _closing()
            try:
                for _ in range(min(len(job), self.slots - self._workers)):
                    threading.Thread(
                        target=self._work,
                        args=(self._workers,),
                        name=f"deltaweir-slot-{self._workers}",
                        daemon=True,
                    ).start()
                    self._workers += 1
            except RuntimeError as error:
                if not self._workers:
                    raise _closing() from error
            self._waiting.append(job)
            self._changed.notify(len(job))

    def close(self, *, tell: bool = True) -> None:
        """Cancel everything and wait for native calls to return; idempotent.

        Args:
            tell: Whether readers that wait get an error, rather than wait on.
        """
        with self._changed:
            self._closed = True
            for job in {*self._waiting, *self._running.values()}:
                job.refuse(_closing() if tell else None)
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
            native = server.handle_chat_completions if job.chat else server.handle_completions
            try:
                job.run(number, native)
            except Exception:  # noqa: BLE001  # from a reader's callback; the slot must live on
                _report()
            del job, native, server

    def _take(self) -> tuple[Job, int] | None:
        """Take the next call, one from each waiting request in turn."""
        while self._waiting:
            job = self._waiting.popleft()
            number = job.take()
            if number is not None:
                self._waiting.append(job)
                return job, number
        return None


def _closing() -> ServiceUnavailable:
    return ServiceUnavailable("the engine is shutting down and takes no request")


def _untold(number: int, error: BaseException | None) -> None:
    """Take the end of a call that nobody waits for."""


def _report() -> None:
    """Show an exception as the interpreter shows one that ends a thread."""
    kind, error, trace = sys.exc_info()
    assert kind is not None  # called while one is handled
    threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))


_engines: dict[tuple[Path, int], Engine] = {}
_loading = threading.Lock()
_exiting = False


def engine_for(path: Path, *, context: int) -> Engine:
    """Return the process's engine for these weights, loading them at the first call.

    The engine stays in memory until the process ends, so that later calls start at once.

    Raises:
        EngineMissing: xllamacpp is not installed, or does not run on this machine.
        ModelCorrupt: The engine cannot load the weights.
        ServiceUnavailable: The process is shutting down.
    """
    key = (path.resolve(), context)
    with _loading:
        if _exiting:
            raise _closing()
        engine = _engines.get(key)
        if engine is None:
            engine = _engines[key] = Engine(path, context=context)
        return engine


@atexit.register
def _close_all() -> None:
    global _exiting  # noqa: PLW0603  # of the process, like the engines
    _exiting = True  # without the lock, which a thread that is loading holds
    for engine in [*_engines.values()]:
        engine.close(tell=False)  # only threads that the interpreter stops still read
    _engines.clear()


def _forget() -> None:
    """Start anew in a forked child, where the engine's threads do not exist."""
    global _engines, _loading
    if _engines:
        survive_fork([engine._server for engine in _engines.values()])  # noqa: SLF001  # of this module
    _engines, _loading = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
