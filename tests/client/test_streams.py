"""Streams: one list of cases for both, since both are one view and two ways of waiting."""

from __future__ import annotations

import asyncio
import gc
import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.client.clocks import Timeouts
from deltaweir.client.streams import AsyncStream, Stream
from deltaweir.errors import ConnectionFailed, StallTimeout, StreamFailed, StreamTruncated
from deltaweir.schema.builder import build_reply
from deltaweir.testing import HEARTBEAT, SILENCE, AsyncScript, Script, Step
from deltaweir.types import Chunk, Reply, TextChunk, TextReply, Usage
from deltaweir.weir import Ending, Weir

OFF = Timeouts(None, None, None, None, None)


def chunk(text: str | None = None, end: str | None = None, count: int | None = None) -> Chunk:
    """Return a chunk with a text, an end, and a running count of tokens."""
    delta = {} if text is None else {"content": text}
    usage = None if count is None else {"completion_tokens": count}
    choices = [{"index": 0, "delta": delta, "finish_reason": end}]
    return Chunk.model_validate({"id": "c1", "choices": choices, "usage": usage})


def whole() -> list[Step]:
    """Return the chunks of a whole reply."""
    return [chunk(""), chunk("a", count=1), chunk("b", count=2), chunk(end="stop")]


class Time:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def after(self, *steps: tuple[float, Step]) -> Iterator[Step]:
        """Yield steps, each after so many seconds."""
        for seconds, step in steps:
            self.now += seconds
            yield step


class Blocking:
    """How a program that blocks reads a stream."""

    over: type[Exception] = StopIteration
    interruption: type[BaseException] = KeyboardInterrupt
    source: type[Any] = Script
    stream: type[Any] = Stream

    def open(self, steps: Iterable[Step] | Any, **options: Any) -> tuple[Any, Any]:
        """Return a stream over a script, or over a source, and the source."""
        source = steps if hasattr(steps, "receive") else self.source(steps)
        options = {"weir": Weir(Chunk), "timeouts": OFF, "request_id": "req_1"} | options
        return self.stream(source, options.pop("reply", Reply), **options), source

    def next(self, stream: Any) -> Any:
        """Wait for the next chunk."""
        return next(stream)

    def rest(self, stream: Any) -> list[Any]:
        """Read to the end."""
        return list(stream)

    def frames(self, stream: Any) -> list[bytes]:
        """Read to the end as frames."""
        return list(stream.sse())

    def close(self, stream: Any) -> None:
        """Close the stream."""
        stream.close()

    def within(self, stream: Any, body: Callable[[], None]) -> None:
        """Do something in a `with` block."""
        with stream as entered:
            assert entered is stream
            body()


class Asynchronous(Blocking):
    """How an asyncio program reads a stream."""

    over = StopAsyncIteration
    interruption = asyncio.CancelledError
    source = AsyncScript
    stream = AsyncStream

    def __init__(self, runner: asyncio.Runner) -> None:
        self._run = runner.run

    def next(self, stream: Any) -> Any:
        """Await the next chunk."""
        return self._run(stream.__anext__())

    def rest(self, stream: Any) -> list[Any]:
        """Read to the end."""

        async def read() -> list[Any]:
            return [one async for one in stream]

        return self._run(read())

    def frames(self, stream: Any) -> list[bytes]:
        """Read to the end as frames."""

        async def read() -> list[bytes]:
            return [one async for one in stream.sse()]

        return self._run(read())

    def close(self, stream: Any) -> None:
        """Close the stream."""
        self._run(stream.close())

    def within(self, stream: Any, body: Callable[[], None]) -> None:
        """Do something in an `async with` block."""

        async def inside() -> None:
            async with stream as entered:
                assert entered is stream
                body()

        self._run(inside())


@pytest.fixture(scope="module", params=["blocking", "asynchronous"])
def way(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    """Return a way of reading streams."""
    if request.param == "blocking":
        yield Blocking()
        return
    with asyncio.Runner() as runner:
        yield Asynchronous(runner)


# --- reading ---------------------------------------------------------------------------------


def test_chunks_come_as_they_were_sent(way: Blocking) -> None:
    """Every chunk comes once, in order, and then the iteration is over for ever."""
    steps = whole()
    stream, source = way.open(steps)
    assert all(one is two for one, two in zip(way.rest(stream), steps, strict=True))
    for _ in range(3):
        with pytest.raises(way.over):
            way.next(stream)
    assert source.closed
    assert stream.complete


@given(st.lists(st.text(max_size=3), max_size=6))
@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
def test_what_came_can_be_read_at_any_moment(kind: str, texts: list[str]) -> None:
    """After every chunk, text, usage, reply and finish reason are those of what came so far."""
    with asyncio.Runner() as runner:
        way = Blocking() if kind == "blocking" else Asynchronous(runner)
        steps = [*(chunk(text, count=at) for at, text in enumerate(texts)), chunk(end="length")]
        stream, _ = way.open(steps)
        assert (stream.text, stream.usage, stream.finish_reason) == ("", None, None)
        for at, step in enumerate(steps):
            way.next(stream)
            assert stream.text == "".join(texts[: at + 1])
            assert stream.usage == (
                Usage(completion_tokens=min(at, len(texts) - 1)) if texts else None
            )
            assert stream.finish_reason == step.choices[0].finish_reason
            expected = build_reply(steps[: at + 1])
            assert stream.reply() == expected
            assert not stream.complete
        assert way.rest(stream) == []
        assert (stream.complete, stream.stopped_by) == (True, None)


def test_a_look_early_does_not_disturb(way: Blocking) -> None:
    """A stream that nobody has read from shows nothing, and asks its source for nothing."""
    stream, source = way.open(whole())
    assert stream.reply() == Reply()
    assert (stream.request_id, stream.stream_id, stream.cost) == ("req_1", None, None)
    assert stream.prompt_progress == (0, 0)
    assert not source.closed
    source.progress = (3, 9)
    assert stream.prompt_progress == (3, 9)


def test_text_completions_stream_alike(way: Blocking) -> None:
    """The older endpoint's chunks add up to its reply."""
    choices = [{"text": "a"}, {"text": "b", "finish_reason": "stop"}]
    steps = [TextChunk.model_validate({"choices": [one]}) for one in choices]
    stream, _ = way.open(steps, weir=Weir(TextChunk), reply=TextReply)
    way.rest(stream)
    assert (stream.text, stream.finish_reason) == ("ab", "stop")
    assert type(stream.reply()) is TextReply


def test_usage_of_the_chunks_stands_where_the_source_counts_nothing(way: Blocking) -> None:
    """A reply has the usage the chunks brought when the source has no count of its own."""
    stream, source = way.open([chunk("a", end="stop", count=3)])
    way.next(stream)
    source.usage = None
    assert stream.usage is None
    assert stream.reply().usage == Usage(completion_tokens=3)


def test_only_those_who_asked_see_the_usage_chunk(way: Blocking) -> None:
    """The chunk with empty choices is counted, and shown to who asked."""
    usage = Chunk(usage=Usage(completion_tokens=2))
    for asked in (False, True):
        stream, _ = way.open([*whole(), usage], weir=Weir(Chunk, usage_asked=asked))
        assert [one.choices == [] for one in way.rest(stream)] == [False] * 4 + [True] * asked
        assert stream.usage == Usage(completion_tokens=2)


def test_several_chunks_of_one_wait(way: Blocking) -> None:
    """A source may hand over several chunks at once; they come one by one."""
    many = Batch(
        [chunk("a"), chunk("b"), chunk(end="stop")], asynchronous=way.over is not StopIteration
    )
    stream, _ = way.open(many)
    assert way.next(stream).choices[0].delta.content == "a"
    assert stream.text == "ab"
    assert [one.choices[0].finish_reason for one in way.rest(stream)] == [None, "stop"]
    assert stream.complete


class Batch:
    """A source that hands over all its chunks at once, and does something on the way.

    Args:
        chunks: What it hands over; an error is raised, None is the end.
        asynchronous: Whether its reader awaits.
        during: Called while the reader waits.
    """

    usage = None
    answered = said_done = False

    def __init__(
        self,
        chunks: list[Any] | BaseException | None,
        *,
        asynchronous: bool,
        during: Callable[[], None] = lambda: None,
    ) -> None:
        self._chunks, self.closed, self.during = chunks, 0, during
        self.receive = self._areceive if asynchronous else self._receive

    def _receive(self, timeout_s: float | None) -> Any:
        self.during()
        chunks, self._chunks = self._chunks, None
        if isinstance(chunks, BaseException):
            raise chunks
        return chunks

    async def _areceive(self, timeout_s: float | None) -> Any:
        return self._receive(timeout_s)

    def close(self) -> None:
        """Count how often it was closed."""
        self.closed += 1


# --- timing ----------------------------------------------------------------------------------


def test_timing(way: Blocking) -> None:
    """Seconds to the first chunk, to the first content and to the end, and the speed between."""
    clock = Time()
    stream, _ = way.open(
        clock.after(
            (1, HEARTBEAT),
            (1, chunk("")),
            (2, chunk("a", count=1)),
            (5, chunk("b", count=11)),
            (1, chunk(end="stop")),
        ),
        clock=clock,
    )
    assert stream.timing == (None, None, 0.0, None)
    way.next(stream)
    assert stream.timing == (2.0, None, 2.0, None)
    way.next(stream)
    assert stream.timing == (2.0, 4.0, 4.0, None)
    clock.now += 7
    assert stream.timing.total == 11.0
    way.rest(stream)
    clock.now += 50
    assert stream.timing == (2.0, 4.0, 17.0, 10 / 12)


def test_a_speed_takes_content(way: Blocking) -> None:
    """Tokens that brought no content yet have no speed, nor have those of one moment."""
    clock = Time()
    stream, _ = way.open(
        clock.after((1, chunk("", count=5)), (1, chunk("a", count=9))), clock=clock
    )
    for _ in range(2):
        way.next(stream)
        assert stream.timing.tokens_per_second is None


@pytest.mark.parametrize("count", [None, 0, 1])
def test_a_speed_takes_two_tokens(way: Blocking, count: int | None) -> None:
    """Below two tokens there is no speed, and never a negative one."""
    clock = Time()
    stream, _ = way.open(clock.after((1, chunk("a")), (1, chunk("b", count=count))), clock=clock)
    way.next(stream)
    way.next(stream)
    assert stream.timing.tokens_per_second is None


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "error", "ending"),
    [
        ([SILENCE], StallTimeout, Ending.STALLED),
        ([lambda: StreamFailed("died")], StreamFailed, Ending.FAILED),
        (
            [lambda: ConnectionFailed("broke", request_id="theirs")],
            ConnectionFailed,
            Ending.FAILED,
        ),
        ([], StreamTruncated, Ending.TRUNCATED),
        ([lambda: StreamTruncated("cut off")], StreamTruncated, Ending.TRUNCATED),
        ([lambda: StallTimeout("silent")], StallTimeout, Ending.STALLED),
        ([HEARTBEAT], StreamTruncated, Ending.TRUNCATED),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_a_failure_carries_what_came(
    way: Blocking, steps: list[Any], error: type[Any], ending: Ending, begun: bool
) -> None:
    """A stream that fails raises once, with the request's id and what had come by then."""
    before = [chunk("a", count=1)] if begun else []
    fresh = [step() if callable(step) else step for step in steps]
    stream, source = way.open([*before, *fresh])
    for _ in before:
        way.next(stream)
    with pytest.raises(error) as caught:
        way.next(stream)
    one = caught.value
    assert one.request_id == ("theirs" if error is ConnectionFailed else "req_1")
    if begun:
        assert one.partial.reply.choices[0].message.content == "a"
        assert one.partial.usage == Usage(completion_tokens=1)
    else:
        assert one.partial is None
    with pytest.raises(way.over):
        way.next(stream)
    assert (source.closed, stream.complete, stream.stopped_by) == (True, False, None)
    assert stream._weir.ending is ending
    assert stream.text == "a" * begun


def test_silence_before_every_end_is_truncation(way: Blocking) -> None:
    """With two choices, a source that ends after the end of one was cut off."""
    two = Chunk.model_validate({"choices": [{"index": 1, "delta": {"content": "b"}}]})
    stream, _ = way.open([two, chunk("a", end="stop")])
    with pytest.raises(StreamTruncated):
        way.rest(stream)
    assert not stream.complete
    assert stream.reply().choices[1].finish_reason is None


def test_what_may_still_leave_comes_before_the_error(way: Blocking) -> None:
    """Chunks that a weir releases when its source dies are read first, then the error."""

    class Late(Weir[Chunk]):
        def _end(self, ending: Ending) -> list[Chunk]:
            return [*super()._end(ending), chunk("late")]

    for step in (StreamFailed("died"), SILENCE):
        stream, _ = way.open([chunk("a"), step], weir=Late(Chunk))
        assert way.next(stream).choices[0].delta.content == "a"
        assert way.next(stream).choices[0].delta.content == "late"
        with pytest.raises((StreamFailed, StallTimeout)):
            way.next(stream)
        with pytest.raises(way.over):
            way.next(stream)


def test_a_cut_closes_the_source_at_once(way: Blocking) -> None:
    """When a limit cuts, the source is closed with the chunk that passed it; nothing is raised."""

    class Nothing:
        sent = 0
        spent = False

        def allow(self, index: int, field: str, text: str) -> int | None:
            return 1

    stream, source = way.open([chunk("ab"), chunk("c")], weir=Weir(Chunk, budget=Nothing()))
    way.next(stream)
    assert source.closed
    assert [one.choices[0].finish_reason for one in way.rest(stream)] == ["length"]
    assert (stream.text, stream.complete, stream.stopped_by) == ("a", False, "budget")


def test_an_error_of_the_source_is_not_the_readers_doing(way: Blocking) -> None:
    """A bug in a source goes through as it is, and the stream counts as failed."""
    stream, source = way.open([chunk("a"), ValueError("bug")])
    way.next(stream)
    with pytest.raises(ValueError, match="bug"):
        way.next(stream)
    assert (stream.stopped_by, stream._weir.ending) == (None, Ending.FAILED)
    assert (source.closed, stream.text) == (True, "a")


# --- clocks ----------------------------------------------------------------------------------


def test_heartbeats_reset_no_clock(way: Blocking) -> None:
    """Signs of life keep a connection, but nobody waits longer for content because of them."""
    clock = Time()
    stream, source = way.open(
        clock.after(*[(4, HEARTBEAT)] * 9), clock=clock, timeouts=OFF._replace(first_content=10)
    )
    with pytest.raises(StallTimeout, match="no content came within 10 s"):
        way.next(stream)
    assert clock.now == 112.0
    assert source.closed


def test_a_role_is_no_content(way: Blocking) -> None:
    """The clock for the first content runs on after a role, and the other only after content."""
    clock = Time()
    steps: list[tuple[float, Step]] = [
        (9, chunk("")),
        (0, chunk("a")),
        (9, chunk("b")),
        (9, HEARTBEAT),
        (9, HEARTBEAT),
    ]
    timeouts = OFF._replace(first_content=10, stall=15)
    stream, _ = way.open(clock.after(*steps, (9, HEARTBEAT)), clock=clock, timeouts=timeouts)
    assert [way.next(stream).choices[0].delta.content for _ in range(3)] == ["", "a", "b"]
    with pytest.raises(StallTimeout, match="nothing came after the last chunk within 15 s"):
        way.next(stream)


def test_clocks_rest_between_two_calls(way: Blocking) -> None:
    """What a reader does between two chunks counts for none of the clocks."""
    clock = Time()
    timeouts = Timeouts(5, 5, 5, 5, 5)
    stream, _ = way.open(
        clock.after(*((1, step) for step in whole())), clock=clock, timeouts=timeouts
    )
    for _ in whole():
        clock.now += 1000
        way.next(stream)
    assert way.rest(stream) == []
    assert stream.complete


def test_the_source_is_told_the_limit(way: Blocking) -> None:
    """Each wait is limited by what the clocks have left."""
    clock, limits = Time(), list[float | None]()

    class Asked(way.source):  # type: ignore[name-defined,misc]  # the one or the other
        def receive(self, timeout_s: float | None) -> Any:
            limits.append(timeout_s)
            return super().receive(timeout_s)

    steps = clock.after((3, HEARTBEAT), (1, chunk("a")), (2, chunk(end="stop")))
    timeouts = OFF._replace(first_content=10, total=12)
    stream, _ = way.open(Asked(steps), clock=clock, timeouts=timeouts)
    way.rest(stream)
    assert limits == [10, 7, 8, 6]


def test_the_default_clocks_run(way: Blocking) -> None:
    """Without a word from the caller a stream has the default clocks."""
    stream, _ = way.open([SILENCE], timeouts=None)
    with pytest.raises(StallTimeout, match="within 600 s"):
        way.next(stream)


# --- closing ---------------------------------------------------------------------------------


def test_close_ends_the_stream(way: Blocking) -> None:
    """A closed stream has what came, is not complete, and says that its reader stopped it."""
    stream, source = way.open(whole())
    way.next(stream)
    way.next(stream)
    for _ in range(3):
        way.close(stream)
        assert source.closed
        with pytest.raises(way.over):
            way.next(stream)
    assert (stream.text, stream.complete, stream.stopped_by) == ("a", False, "reader")


def test_close_after_the_end_changes_nothing(way: Blocking) -> None:
    """A stream that was complete stays complete."""
    stream, _ = way.open(whole())
    way.rest(stream)
    total = stream.timing.total
    way.close(stream)
    assert (stream.complete, stream.stopped_by) == (True, None)
    assert stream.timing.total == total


def test_close_drops_what_was_not_read(way: Blocking) -> None:
    """Chunks that waited for the reader do not come after a close, but count as what came."""
    asynchronous = way.over is not StopIteration
    stream, source = way.open(Batch([chunk("a"), chunk("b")], asynchronous=asynchronous))
    way.next(stream)
    way.close(stream)
    assert way.rest(stream) == []
    assert (stream.text, source.closed) == ("ab", 1)


def test_leaving_with_closes(way: Blocking) -> None:
    """Leaving the block closes the source, however it is left."""
    stream, source = way.open(whole())
    way.within(stream, lambda: None)
    assert source.closed
    stream, source = way.open(whole())

    def fail() -> None:
        raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"):
        way.within(stream, fail)
    assert source.closed
    assert stream.stopped_by == "reader"


def test_dropping_the_stream_closes(way: Blocking) -> None:
    """A stream that nobody holds any more is closed."""
    stream, source = way.open(whole())
    way.next(stream)
    assert not source.closed
    del stream
    gc.collect()
    assert source.closed


def test_an_interrupted_wait_closes(way: Blocking) -> None:
    """Ctrl-C or a cancellation in a wait ends the generation and keeps what came."""
    stream, source = way.open([chunk("a", count=1), way.interruption()])
    way.next(stream)
    with pytest.raises(way.interruption):
        way.next(stream)
    assert source.closed
    with pytest.raises(way.over):
        way.next(stream)
    assert (stream.text, stream.usage) == ("a", Usage(completion_tokens=1))
    assert (stream.complete, stream.stopped_by) == (False, "reader")


@pytest.mark.parametrize(
    "then", [None, [chunk("b")], [], StreamFailed("closed"), TimeoutError(), ConnectionFailed("x")]
)
def test_a_close_during_a_wait_is_the_end(way: Blocking, then: Any) -> None:
    """Whatever a source does when it is closed under its reader, the reader sees the end."""
    source = Batch(then, asynchronous=way.over is not StopIteration)
    stream, _ = way.open(source)
    source.during = stream._abandon
    with pytest.raises(way.over):
        way.next(stream)
    assert (stream.complete, stream.stopped_by) == (False, "reader")


class Queued:
    """A source that another thread feeds, and whose reader really waits."""

    usage = None
    answered = said_done = False

    def __init__(self) -> None:
        self.items: queue.SimpleQueue[list[Chunk] | None] = queue.SimpleQueue()
        self.waiting = threading.Event()

    def receive(self, timeout_s: float | None) -> list[Chunk] | None:
        """Wait for the next item."""
        self.waiting.set()
        return self.items.get(timeout=timeout_s)

    def close(self) -> None:
        """Wake the reader."""
        self.items.put(None)


def test_close_from_another_thread() -> None:
    """Closing wakes a reader in another thread, whose iteration is then over."""
    source = Queued()
    stream = Stream(source, Reply, weir=Weir(Chunk), timeouts=OFF)
    source.items.put([chunk("a")])
    read = list[Chunk]()
    reader = threading.Thread(target=lambda: read.extend(stream))
    reader.start()
    assert source.waiting.wait(10)
    stream.close()
    reader.join(10)
    assert not reader.is_alive()
    assert (stream.complete, stream.stopped_by) == (False, "reader")


async def test_a_cancelled_task_closes() -> None:
    """Cancelling the task that waits closes the source, and the task is cancelled."""
    entered = asyncio.Event()

    class Endless(AsyncScript[Chunk]):
        async def receive(self, timeout_s: float | None) -> list[Chunk] | None:
            entered.set()
            await asyncio.Event().wait()
            return None

    source = Endless([])
    stream = AsyncStream(source, Reply, weir=Weir(Chunk), timeouts=OFF)
    task = asyncio.create_task(anext(stream))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed
    assert stream.stopped_by == "reader"


def test_a_stream_that_was_never_made_is_dropped_in_peace() -> None:
    """A constructor that fails leaves nothing to close, and says nothing on the way out."""
    Stream.__new__(Stream).__del__()


def test_reading_while_another_thread_reads() -> None:
    """Many threads may look at a stream at once; all see a reply in good form."""
    stream = Stream(Script[Chunk]([]), Reply, weir=Weir(Chunk), timeouts=OFF)
    wrong = list[str]()

    def look() -> None:
        for _ in range(200):
            text = stream.reply().choices
            if text and set(text[0].message.content or "a") != {"a"}:
                wrong.append(str(text))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(500):
        stream._received([chunk("a")], 0.0)
    for thread in threads:
        thread.join(20)
    assert wrong == []
    assert stream.text == "a" * 500


def test_a_stream_as_frames(way: Blocking) -> None:
    """`sse()` gives frames that any client reads: chunks, our account, [DONE]."""
    stream, _ = way.open([chunk("a"), chunk(end="stop")])
    *frames, last = way.frames(stream)
    read = [json.loads(frame.removeprefix(b"data: ")) for frame in frames]
    assert last == b"data: [DONE]\n\n"
    assert read[0]["choices"][0]["delta"]["content"] == "a"
    assert "deltaweir" not in read[0]
    assert read[-1]["deltaweir"] == {"usage": None, "cost_usd": None, "source": None}


def test_a_broken_stream_as_frames(way: Blocking) -> None:
    """A stream that breaks off ends with an error event, and never with [DONE]."""
    stream, _ = way.open([chunk("a"), StreamFailed("broken")])
    *_, last = way.frames(stream)
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_failed"


def test_a_closed_stream_as_frames(way: Blocking) -> None:
    """A reader who closes gets no further frame, not even a last one."""
    stream, _ = way.open([chunk("a"), chunk("b")])
    way.next(stream)
    way.close(stream)
    assert way.frames(stream) == []
