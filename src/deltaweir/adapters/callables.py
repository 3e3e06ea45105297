"""A program's own function that judges texts, kept to its time."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent import futures
from pathlib import Path
from typing import Any

from deltaweir.errors import ClassifierFailed
from deltaweir.guard.findings import Finding, NoFinding, finding_of

Said = bool | str | Finding | None
JudgingFunction = Callable[[str], Said | Awaitable[Said]]
"""A function of a text, to be called or awaited."""

MOST_STRAYS = 16
"""Calls past their time that may still run; beyond, no further one is begun."""

Outcome = Finding | ClassifierFailed


class CallableJudge:
    """Ask a function; may be shared by threads and loops, if the function may.

    A coroutine function is awaited: on the caller's loop, or, for callers that block, on one
    loop of a thread of its own. Every other function is called in a thread of its own, and a
    call that takes longer than it may is no longer waited for: Python cannot end it, so it
    runs on to its end, or to that of the program, and what it returns is dropped.

    Args:
        function: The function.
        name: What it is called in errors.
        timeout_s: Seconds for a verdict.
    """

    def __init__(self, function: JudgingFunction, *, name: str, timeout_s: float) -> None:
        self._function: Callable[[str], Any] = function
        self._name = name
        self._timeout_s = timeout_s
        call = getattr(function, "__call__", None)  # noqa: B004  # an object with an async one
        self._awaits = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
        self._strays: set[futures.Future[Outcome] | asyncio.Future[Outcome]] = set()

    def __repr__(self) -> str:
        return f"CallableJudge({self._name!r})"

    def judge(self, text: str) -> Finding:
        """Return what the function says of a text; block until then.

        Raises:
            ClassifierFailed: It raised, took too long, or returned what is no verdict.
        """
        self._check_strays()
        if self._awaits:
            running = asyncio.run_coroutine_threadsafe(self._awaited(text), _LOOP.running())
        else:
            running = self._begin(text)
        try:
            futures.wait((running,), self._timeout_s)
        finally:
            self._let_go(running)
        return self._result(running)

    async def judge_async(self, text: str) -> Finding:
        """Return what the function says of a text; await it; see `judge`."""
        self._check_strays()
        running: asyncio.Future[Outcome]
        if self._awaits:
            running = asyncio.ensure_future(self._awaited(text))
            kept: futures.Future[Outcome] | asyncio.Future[Outcome] = running
        else:
            kept = self._begin(text)
            running = asyncio.wrap_future(kept)
        try:
            await asyncio.wait((running,), timeout=self._timeout_s)
        finally:
            self._let_go(kept)
            running.cancel()  # or the call's end would look for a loop that may be closed by then
        return self._result(running)

    def _begin(self, text: str) -> futures.Future[Outcome]:
        """Call the function in a thread that nobody waits for when the program ends."""
        running: futures.Future[Outcome] = futures.Future()
        running.set_running_or_notify_cancel()  # from here on nobody can cancel it
        context = contextvars.copy_context()

        def run() -> None:
            running.set_result(context.run(self._called, text))

        try:
            threading.Thread(target=run, name=f"deltaweir-{self._name}", daemon=True).start()
        except RuntimeError:  # the machine has no more threads
            running.set_result(self._failed("found no thread to run in"))
        return running

    def _called(self, text: str) -> Outcome:
        try:
            said = self._function(text)
        except BaseException as error:  # noqa: BLE001  # no thread's end may look like a verdict
            return self._raised(error)
        return self._told(said)

    async def _awaited(self, text: str) -> Outcome:
        try:
            said = await self._function(text)
        except Exception as error:  # noqa: BLE001  # as above
            return self._raised(error)
        return self._told(said)

    def _told(self, said: Any) -> Outcome:
        if inspect.iscoroutine(said):
            said.close()  # or Python warns that nobody awaited it
        try:
            return finding_of(said)
        except NoFinding as error:
            return self._failed(str(error))

    def _raised(self, error: BaseException) -> ClassifierFailed:
        """Tell where a function failed; its own message may repeat the text."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        assert trace is not None
        file = Path(trace.tb_frame.f_code.co_filename).name
        return self._failed(f"raised {type(error).__name__} (line {trace.tb_lineno} of {file})")

    def _result(self, running: futures.Future[Outcome] | asyncio.Future[Outcome]) -> Finding:
        if running.cancelled() or not running.done():
            raise self._failed(f"gave no verdict within {self._timeout_s:g} s")
        outcome = running.result()
        if isinstance(outcome, ClassifierFailed):
            raise outcome
        return outcome

    def _let_go(self, running: futures.Future[Outcome] | asyncio.Future[Outcome]) -> None:
        """Cancel a call that is still running, and keep it in sight until it has ended."""
        if not running.done():
            self._strays.add(running)
            running.add_done_callback(self._strays.discard)
            running.cancel()

    def _check_strays(self) -> None:
        if len(self._strays) >= MOST_STRAYS:
            raise self._failed(f"still has {MOST_STRAYS} calls running that are past their time")

    def _failed(self, why: str) -> ClassifierFailed:
        return ClassifierFailed(f"the classifier {self._name!r} {why}")


class _Loop:
    """The loop on which programs that block have their coroutine functions awaited.

    One for all of them, and for good, so that what a function keeps, such as connections,
    serves the next call too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            # a process that was forked has the loop, and not its thread
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="deltaweir-classifiers", daemon=True
                )
                self._thread.start()
            return self._loop


_LOOP = _Loop()
