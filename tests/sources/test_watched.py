"""Somebody else's streams as sources: what is pulled, and when and how they are closed."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar

import pytest

from deltaweir.errors import InvalidRequest
from deltaweir.sources.watched import AsyncWatchedSource, WatchedSource, is_stream, refused
from deltaweir.types import Chunk


class Log:
    """Streams that say what happens to them."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def generator(self, *values: Any) -> Iterator[Any]:
        """Yield values."""
        try:
            yield from values
        finally:
            self.said.append("closed")

    async def async_generator(self, *values: Any) -> AsyncIterator[Any]:
        """Yield values."""
        try:
            for value in values:
                yield value
        finally:
            await asyncio.sleep(0)
            self.said.append("closed")

    async def waiting(self, event: asyncio.Event) -> AsyncIterator[Any]:
        """Wait for an event, then yield."""
        try:
            await event.wait()
            yield 1
        finally:
            self.said.append("closed")


class Closable:
    """An iterator of a class, which can be closed."""

    def __init__(self, log: Log, *values: Any) -> None:
        self._log = log
        self._values = iter(values)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._values)

    def close(self) -> None:
        """Say so."""
        self._log.said.append("class closed")


def test_what_is_a_stream() -> None:
    """Iterables, async iterables and awaitables are; whole replies, texts and classes are not."""

    class Whole:
        model_fields = ()

        def __iter__(self) -> Iterator[Any]:
            return iter(())

    class Old:
        choices = ()
        __iter__ = Whole.__iter__

    log = Log()
    coroutine = asyncio.sleep(0)
    streams: list[Any] = [[], iter(()), log.generator(), log.async_generator(), coroutine]
    for stream in streams:
        assert is_stream(stream)
    coroutine.close()
    others: list[Any] = ["a", b"a", {}, None, 5, Chunk(), Whole(), Old(), list, print]
    for value in others:
        assert not is_stream(value)
    assert "got None" in str(refused(None))
    assert "got a value of type Old, expected a stream" in str(refused(Old()))
    assert "stream=True" in str(refused(Old()))


def test_values_one_by_one() -> None:
    """Each value comes as it is; the end is None, and closes nothing by itself."""
    source = WatchedSource(["a", "b"])
    assert not source.answered
    assert source.receive(None) == ["a"]
    assert source.answered
    assert source.receive(None) == ["b"]
    assert source.receive(None) is None
    assert (source.usage, source.said_done) == (None, False)


def test_close_a_generator() -> None:
    """A generator is closed at once, and once."""
    log = Log()
    source = WatchedSource(log.generator(1, 2))
    source.receive(None)
    source.close()
    source.close()
    assert log.said == ["closed"]
    assert source.receive(None) is None


def test_close_what_gave_the_iterator() -> None:
    """The iterator is closed, then the object that gave it, then what LiteLLM keeps inside."""
    log = Log()
    source = WatchedSource(_Iterable(log))
    assert source.receive(None) == [1]
    source.close()
    assert log.said == ["closed", "class closed", "class closed"]


class _Iterable:
    """An iterable whose iterators are generators, with a stream inside as LiteLLM has it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.completion_stream = Closable(log)

    def __iter__(self) -> Iterator[Any]:
        return self._log.generator(1, 2)

    def close(self) -> None:
        """Say so."""
        self._log.said.append("class closed")


def test_what_has_no_close_is_let_go() -> None:
    """A map over a generator cannot be closed, but is not held any longer."""
    log = Log()
    source = WatchedSource(map(str, log.generator(1, 2)))
    assert source.receive(None) == ["1"]
    source.close()
    gc.collect()
    assert log.said == ["closed"]


def test_errors_pass_unchanged() -> None:
    """What the stream raises is raised, unless the reader had closed it."""
    error = ZeroDivisionError()

    def broken() -> Iterator[int]:
        yield 1
        raise error

    source = WatchedSource(broken())
    source.receive(None)
    with pytest.raises(ZeroDivisionError) as caught:
        source.receive(None)
    assert caught.value is error

    class Dying(Closable):
        def __next__(self) -> Any:
            dying.close()
            raise error

    dying = WatchedSource(Dying(Log()))
    assert dying.receive(None) is None


def test_close_from_another_thread_while_it_runs() -> None:
    """A running generator is closed by its reader, as soon as it has given its next value."""
    log, running, go = Log(), threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        try:
            running.set()
            go.wait(10)
            yield 1
        finally:
            log.said.append(threading.current_thread().name)

    source = WatchedSource(slow())
    reader = threading.Thread(target=source.receive, args=(None,), name="reader")
    reader.start()
    assert running.wait(10)
    source.close()
    source.close()
    assert not log.said
    go.set()
    reader.join(10)
    assert log.said == ["reader"]


def test_close_wakes_a_thread_that_waits_for_a_socket() -> None:
    """A reader inside an httpx response is woken, since closing a socket alone does not."""
    ours, theirs = socket.socketpair()
    waits = threading.Event()

    class Network:
        def get_extra_info(self, name: str) -> Any:
            return {"socket": ours}[name]

    class Response:
        extensions: ClassVar = {"network_stream": Network()}

    class Reading(Closable):
        response = Response()

        def __next__(self) -> Any:
            waits.set()
            return ours.recv(1)

    with ours, theirs:
        source = WatchedSource(Reading(Log()))
        got = list[Any]()
        reader = threading.Thread(target=lambda: got.append(source.receive(None)))
        reader.start()
        assert waits.wait(10)
        source.close()
        reader.join(10)
        assert got == [[b""]]
    source._pulling = True
    source._owned = [Reading(Log())]
    source.close()  # a socket that is closed already harms nobody


def test_close_while_the_reader_is_just_done() -> None:
    """A closer that is refused since the generator runs tries again when it runs no more."""
    log = Log()

    class Racing(Closable):
        tries = 0

        def close(self) -> None:
            self.tries += 1
            if self.tries == 1:
                source._pulling = False
                raise ValueError
            super().close()

        def __next__(self) -> Any:
            source.close()
            return 1

    source = WatchedSource(Racing(log))
    assert source.receive(None) == [1]
    assert log.said == ["class closed"]


def test_an_error_of_closing_is_told() -> None:
    """What a close raises on its own is raised."""

    class Bad(Closable):
        def close(self) -> None:
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        WatchedSource(Bad(Log())).close()


def test_another_thread_has_the_last() -> None:
    """Two closers at once close each thing once."""

    class Emptied(list[Any]):
        def pop(self, *_: Any) -> Any:
            raise IndexError

    log = Log()
    source = WatchedSource(Closable(log))
    source._owned = Emptied(source._owned)
    source.close()
    assert not log.said


async def test_async_values() -> None:
    """Each value comes as it is; closing awaits the generator's own end."""
    log = Log()
    source = AsyncWatchedSource(log.async_generator(1, 2))
    assert await source.receive(None) == [1]
    await source.settle()
    assert not log.said
    source.close()
    await source.settle()
    await source.settle()
    assert log.said == ["closed"]
    assert await source.receive(None) is None


async def test_the_end_of_an_async_stream() -> None:
    """The end is None, an error passes unchanged, and is the end once the reader has closed."""
    source = AsyncWatchedSource(Log().async_generator())
    assert await source.receive(None) is None

    class Broken:
        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            if closes:
                source.close()
            raise ZeroDivisionError

    closes = False
    source = AsyncWatchedSource(Broken())
    with pytest.raises(ZeroDivisionError):
        await source.receive(None)
    closes = True
    assert await source.receive(None) is None
    await source.settle()  # it has no close


async def test_ways_to_close() -> None:
    """An `aclose` comes before a `close`, which may be a coroutine function or not."""
    said = list[str]()

    class Stream:
        def __aiter__(self) -> AsyncIterator[Any]:
            return Log().async_generator()

        def close(self) -> None:
            said.append("close")

    class Both(Stream):
        async def aclose(self) -> None:
            said.append("aclose")

    for stream in (Stream(), Both()):
        source = AsyncWatchedSource(stream)
        source.close()
        await source.settle()
    assert said == ["close", "aclose"]


async def test_a_coroutine_that_gives_a_stream() -> None:
    """A coroutine is awaited when the first value is asked for."""
    log = Log()

    async def create() -> AsyncIterator[int]:
        log.said.append("created")
        return log.async_generator(1)

    source = AsyncWatchedSource(create())
    assert not log.said
    assert await source.receive(None) == [1]
    source.close()
    await source.settle()
    assert log.said == ["created", "closed"]


@pytest.mark.parametrize("given", [Chunk(), "text", [1]])
async def test_a_coroutine_that_gives_no_stream(given: Any) -> None:
    """What is no async stream is refused."""
    source = AsyncWatchedSource(asyncio.sleep(0, given))
    with pytest.raises(InvalidRequest, match="stream=True"):
        await source.receive(None)


async def test_a_coroutine_that_was_never_awaited() -> None:
    """It is closed without a warning, and a future is cancelled."""
    source = AsyncWatchedSource(asyncio.sleep(10))
    source.close()
    source.close()
    assert await source.receive(None) is None
    future = asyncio.get_running_loop().create_future()
    AsyncWatchedSource(future).close()
    assert future.cancelled()


async def test_close_wakes_a_task_that_waits() -> None:
    """A task that waits gets the end, is not cancelled, and goes on; the generator is closed."""
    log, event = Log(), asyncio.Event()
    source = AsyncWatchedSource(log.waiting(event))

    async def read() -> Any:
        got = await source.receive(None)
        await source.settle()
        await asyncio.sleep(0)
        current = asyncio.current_task()
        assert current is not None
        return got, current.cancelling()

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    source.close()
    source.close()
    await source.settle()
    assert await task == (None, 0)
    assert log.said == ["closed"]


async def test_close_from_another_thread_wakes_too() -> None:
    """Any thread may end the wait of a task."""
    log = Log()
    source = AsyncWatchedSource(log.waiting(asyncio.Event()))
    task = asyncio.create_task(source.receive(None))
    await asyncio.sleep(0)
    await asyncio.to_thread(source.close)
    assert await task is None


async def test_a_stream_that_swallows_the_wake() -> None:
    """A stream that goes on after it was woken gives nothing more, and the task stays whole."""

    async def stubborn() -> AsyncIterator[int]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield 1

    source = AsyncWatchedSource(stubborn())
    task = asyncio.create_task(source.receive(None))
    await asyncio.sleep(0)
    source.close()
    assert await task is None
    assert task.cancelling() == 0


async def test_a_wake_that_comes_too_late() -> None:
    """A wake finds nobody when the value came first."""
    event = asyncio.Event()
    source = AsyncWatchedSource(Log().waiting(event))
    task = asyncio.create_task(source.receive(None))
    await asyncio.sleep(0)
    event.set()
    await asyncio.sleep(0)
    source._wake()
    source.close()
    await task
    source._wake()
    assert task.cancelling() == 0


async def test_a_reader_that_is_cancelled() -> None:
    """Somebody else's cancellation passes, also beside a close."""
    for closes in (False, True):
        source = AsyncWatchedSource(Log().waiting(asyncio.Event()))
        task = asyncio.create_task(source.receive(None))
        await asyncio.sleep(0)
        task.cancel()
        if closes:
            source._closed = True
            source._woken = task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_loop_that_is_gone() -> None:
    """A source whose loop has ended in the middle of a wait can still be closed."""
    source = AsyncWatchedSource(Log().waiting(asyncio.Event()))
    loop = asyncio.new_event_loop()
    source._loop, source._puller = loop, weakref.proxy(source)
    loop.close()
    source.close()
