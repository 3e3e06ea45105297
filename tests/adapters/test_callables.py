"""A function is asked in its time, however it is called, and its failures stay apart."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from deltaweir.adapters.callables import MOST_STRAYS, CallableJudge, _Loop
from deltaweir.errors import ClassifierFailed
from deltaweir.guard.findings import CLEAN, Finding

RUDE = Finding(flagged=True, category="rude")
SHORT_S = 0.02
Way = Callable[[CallableJudge, str], Finding]


def blocking(judge: CallableJudge, text: str) -> Finding:
    """Ask as a program that blocks does."""
    return judge.judge(text)


def awaiting(judge: CallableJudge, text: str) -> Finding:
    """Ask as a program that awaits does."""
    return asyncio.run(judge.judge_async(text))


@pytest.fixture(params=[blocking, awaiting])
def ask(request: pytest.FixtureRequest) -> Way:
    """One of the two ways to ask."""
    way: Way = request.param
    return way


def judge_of(function: Any, timeout_s: float = 5.0) -> CallableJudge:
    """Return the judge that asks a function."""
    return CallableJudge(function, name="tone", timeout_s=timeout_s)


async def awaited(text: str) -> str | None:
    """Find one word, after a moment."""
    await asyncio.sleep(0)
    return "rude" if "damn" in text else None


class Judging:
    """An object that is called like a coroutine function."""

    async def __call__(self, text: str) -> str | None:
        """Find one word."""
        return await awaited(text)


@pytest.mark.parametrize(
    "function",
    [
        lambda text: "rude" if "damn" in text else False,
        awaited,
        functools.partial(awaited),
        Judging(),
    ],
)
def test_functions_and_coroutine_functions_judge(ask: Way, function: Any) -> None:
    """What they return is the verdict."""
    judge = judge_of(function)
    assert ask(judge, "damn") == RUDE
    assert ask(judge, "fine") == CLEAN


def test_a_function_runs_in_a_thread_and_sees_the_callers_context(ask: Way) -> None:
    """A loop goes on meanwhile; what the caller's context holds is there."""
    mark = contextvars.ContextVar("mark", default="")
    seen = []

    def look(text: str) -> bool:
        seen.append((mark.get(), threading.current_thread() is threading.main_thread()))
        return False

    token = mark.set("here")
    ask(judge_of(look), "x")
    mark.reset(token)
    assert seen == [("here", False)]


def test_a_loop_goes_on_while_a_function_judges() -> None:
    """The function waits for what only the loop does."""
    ready = threading.Event()

    async def main() -> Finding:
        asyncio.get_running_loop().call_later(0.005, ready.set)
        return await judge_of(lambda text: ready.wait(5.0)).judge_async("x")

    assert asyncio.run(main()).flagged


def test_programs_that_block_share_one_loop() -> None:
    """What a coroutine function keeps on its loop serves the next call."""
    loops = []

    async def look(text: str) -> None:
        loops.append(asyncio.get_running_loop())

    judge_of(look).judge("x")
    judge_of(look).judge("x")
    assert loops[0] is loops[1]


def raising(text: str) -> bool:
    """Fail with the text in hand."""
    raise KeyError(text)


async def raising_later(text: str) -> bool:
    """Fail with the text in hand, on a loop."""
    raise KeyError(text)


@pytest.mark.parametrize("function", [raising, raising_later])
def test_a_function_that_raises_gives_no_verdict(ask: Way, function: Any) -> None:
    """The error names the kind and the place, and not what was said."""
    with pytest.raises(
        ClassifierFailed, match=r"raised KeyError \(line \d+ of test_callables"
    ) as caught:
        ask(judge_of(function), "the secret")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("error", [SystemExit, StopIteration, asyncio.CancelledError])
def test_a_thread_that_is_told_to_end_gives_no_verdict(
    ask: Way, error: type[BaseException]
) -> None:
    """Whatever ends the call early is a failure like another."""

    def leave(text: str) -> bool:
        raise error

    with pytest.raises(ClassifierFailed, match=f"raised {error.__name__}"):
        ask(judge_of(leave), "x")


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda text: 0.9, "float"),
        (lambda text: "", "empty"),
        (lambda text: awaited(text + text), "coroutine"),
    ],
)
def test_what_is_no_verdict_is_refused(ask: Way, function: Any, got: str) -> None:
    """A coroutine from a plain function is not awaited, nor left behind with a warning."""
    with pytest.raises(ClassifierFailed, match=f"'tone' returned .*{got}"):
        ask(judge_of(function), "x")


def test_a_function_that_is_slow_is_not_waited_for(ask: Way) -> None:
    """It runs on, and its verdict is dropped."""
    go, done = threading.Event(), threading.Event()

    def slow(text: str) -> bool:
        go.wait(5.0)
        done.set()
        return True

    judge = judge_of(slow, SHORT_S)
    with pytest.raises(ClassifierFailed, match=r"no verdict within 0\.02 s"):
        ask(judge, "x")
    assert len(judge._strays) == 1
    go.set()
    assert done.wait(5.0)


def test_a_coroutine_that_is_slow_is_cancelled(ask: Way) -> None:
    """It is told, and can let go of what it has."""
    told = threading.Event()

    async def slow(text: str) -> None:
        try:
            await asyncio.sleep(5.0)
        finally:
            told.set()

    with pytest.raises(ClassifierFailed, match="no verdict within"):
        ask(judge_of(slow, SHORT_S), "x")
    assert told.wait(5.0)


def test_a_coroutine_that_will_not_be_cancelled_is_left_behind() -> None:
    """Nobody waits for it beyond its time."""

    async def main() -> None:
        go = asyncio.Event()

        async def stubborn(text: str) -> None:
            while not go.is_set():
                try:
                    await go.wait()
                except asyncio.CancelledError:
                    continue

        judge = judge_of(stubborn, SHORT_S)
        with pytest.raises(ClassifierFailed, match="no verdict within"):
            await judge.judge_async("x")
        await asyncio.sleep(0)
        assert len(judge._strays) == 1
        go.set()
        (left,) = judge._strays
        assert isinstance(left, asyncio.Future)
        await left
        assert not judge._strays

    asyncio.run(main())


def test_a_caller_that_is_cancelled_cancels_the_coroutine() -> None:
    """A stream that ends takes its question back."""

    async def main() -> None:
        begun, told = asyncio.Event(), asyncio.Event()

        async def slow(text: str) -> None:
            begun.set()
            try:
                await asyncio.sleep(5.0)
            finally:
                told.set()

        asking = asyncio.ensure_future(judge_of(slow).judge_async("x"))
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(5.0):
            await told.wait()

    asyncio.run(main())


def test_calls_that_never_end_are_bounded() -> None:
    """When too many run past their time, no other is begun until one has ended."""
    go = threading.Event()
    judge = judge_of(lambda text: not go.wait(5.0), 0.001)
    for _ in range(MOST_STRAYS):
        with pytest.raises(ClassifierFailed, match="no verdict within"):
            judge.judge("x")
    for way in (blocking, awaiting):
        with pytest.raises(ClassifierFailed, match=f"still has {MOST_STRAYS} calls"):
            way(judge, "x")
    strays = [*judge._strays]
    go.set()
    for stray in strays:
        assert not isinstance(stray, asyncio.Future)
        stray.result(5.0)
    judge._timeout_s = 5.0
    assert judge.judge("x") == CLEAN


def test_a_machine_without_threads_gives_no_verdict(
    ask: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is a failure like another."""

    def full(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("deltaweir.adapters.callables.threading.Thread.start", full)
    with pytest.raises(ClassifierFailed, match="no thread"):
        ask(judge_of(raising), "x")


def test_a_loop_whose_thread_is_gone_is_made_anew() -> None:
    """As in a process that was forked."""
    one = _Loop()
    loops = []
    for _ in range(2):
        loops.append(one.running())
        assert one.running() is loops[-1]
        loops[-1].call_soon_threadsafe(loops[-1].stop)
        assert one._thread is not None
        one._thread.join(5.0)
        loops[-1].close()
    assert loops[0] is not loops[1]


def test_a_repr_tells_the_name_alone() -> None:
    """What a function's own repr says, nobody knows."""
    assert repr(judge_of(raising)) == "CallableJudge('tone')"
