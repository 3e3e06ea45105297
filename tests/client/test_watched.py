"""Watched streams: the same objects come, the account is ours, and both streams end together."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import pytest
from tests.client.foreign_objects import KINDS, STREAMS, chat, recorded, text, usage

from deltaweir.adapters.vocabularies import tokenizer_of
from deltaweir.client.watch import watch
from deltaweir.errors import InvalidRequest, StreamFailed, StreamTruncated
from deltaweir.meter.tokens import TokenCounter
from deltaweir.schema.builder import build_reply, build_text_reply
from deltaweir.types import Chunk, PartialUsage, TextChunk, Usage

ALL = STREAMS | recorded()


class Blocking:
    """How a program that blocks watches a stream."""

    def __init__(self) -> None:
        self.closed = 0

    def stream(self, *steps: Any) -> Any:
        """Return a generator over values; an error among them is raised."""
        return self._generator(steps)

    def _generator(self, steps: Any) -> Iterator[Any]:
        try:
            for step in steps:
                if isinstance(step, BaseException):
                    raise step
                yield step
        finally:
            self.closed += 1

    def next(self, stream: Any) -> Any:
        """Wait for the next object."""
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

    def leave(self, stream: Any) -> Any:
        """Read one object in a `with` block, and leave it."""
        with stream as entered:
            return next(entered)


class Asynchronous(Blocking):
    """How an asyncio program watches a stream."""

    def __init__(self, runner: asyncio.Runner) -> None:
        super().__init__()
        self._run = runner.run

    def stream(self, *steps: Any) -> Any:
        """Return an async generator over values."""
        return self._async_generator(steps)

    async def _async_generator(self, steps: Any) -> AsyncIterator[Any]:
        try:
            for step in steps:
                await asyncio.sleep(0)
                if isinstance(step, BaseException):
                    raise step
                yield step
        finally:
            await asyncio.sleep(0)
            self.closed += 1

    def next(self, stream: Any) -> Any:
        """Await the next object."""
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

    def leave(self, stream: Any) -> Any:
        """Read one object in an `async with` block, and leave it."""

        async def inside() -> Any:
            async with stream as entered:
                return await anext(entered)

        return self._run(inside())


class Coroutine(Asynchronous):
    """How an asyncio program watches a coroutine that gives a stream."""

    def stream(self, *steps: Any) -> Any:
        """Return a coroutine that was not awaited."""

        async def create() -> Any:
            await asyncio.sleep(0)
            return super(Coroutine, self).stream(*steps)

        return create()


@pytest.fixture(params=[Blocking, Asynchronous, Coroutine])
def program(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    """A program of either kind."""
    if request.param is Blocking:
        yield Blocking()
        return
    with asyncio.Runner(debug=True) as runner:
        yield request.param(runner)


def count(words: str) -> int:
    """Return the tokens of a text of gpt-4o."""
    counter = TokenCounter(tokenizer_of("o200k_base"))
    counter.feed(words)
    return counter.total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALL)
def test_the_same_objects_and_one_account(program: Blocking, name: str, kind: str) -> None:
    """Whatever objects a stream has, they come unchanged, and text, reply and usage are alike."""
    objects = [KINDS[kind](data) for data in ALL[name]]
    ours: list[Any] = [KINDS["ours"](data) for data in ALL[name]]
    stream = watch(program.stream(*objects))
    got = program.rest(stream)
    assert len(got) == len(objects)
    assert all(one is other for one, other in zip(got, objects, strict=True))
    assert stream.complete
    whole = build_text_reply(ours) if isinstance(ours[0], TextChunk) else build_reply(ours)
    plain = watch(iter(ALL[name]))
    assert len(list(plain)) == len(objects)
    assert stream.usage == plain.usage
    assert stream.account() == plain.account()
    assert stream.reply() == plain.reply()
    assert stream.reply().choices[0].finish_reason == whole.choices[0].finish_reason
    if name == "content":
        assert stream.reply().choices == whole.choices
    assert program.closed == 1


def test_the_account(program: Blocking) -> None:
    """Text, usage, cost and time are there while the stream runs, by the name chunks bear."""
    stream = watch(program.stream(*STREAMS["content"]))
    program.next(stream)
    assert stream.usage == PartialUsage(completion_tokens=0)
    program.next(stream)
    assert (stream.text, stream.usage) == ("Hello", PartialUsage(completion_tokens=1))
    assert (stream.cost, stream.finish_reason) == (None, None)
    program.rest(stream)
    assert stream.text == "Hello world, как дела?"
    assert stream.usage == PartialUsage(completion_tokens=count(stream.text))
    assert stream.account().source == "counted"
    assert stream.timing.first_content is not None


@pytest.mark.parametrize(
    ("steps", "said", "source"),
    [
        ([chat("Hi", "stop", usage=usage(3, 7))], (3, 7), "provider"),
        (
            [chat("Hi", usage=usage(3, 1)), chat(" you", "stop", usage=usage(3, 2))],
            (3, 2),
            "provider",
        ),
        ([chat("Hi", "stop"), chat(choices=[], usage=usage(0, 0))], (0, 0), "provider"),
        ([chat("Hi", "stop"), chat(choices=None, usage=usage(3, 7))], (3, 7), "provider"),
        ([chat("Hi", usage=usage(3, 1)), chat(" you", "stop")], (3, 2), "counted"),
    ],
)
def test_the_provider_says(
    program: Blocking, steps: list[Any], said: tuple[int, int], source: str
) -> None:
    """The provider's usage wins, on whatever chunk, zero too, the last where it is cumulative."""
    stream = watch(program.stream(*steps), model="gpt-4o")
    assert program.rest(stream) == steps
    assert stream.usage is not None
    assert (stream.usage.prompt_tokens, stream.usage.completion_tokens) == said
    assert stream.account().source == source
    assert stream.cost == pytest.approx(said[0] * 2.5e-6 + said[1] * 1e-5)


@pytest.mark.parametrize("limit", range(8))
@pytest.mark.parametrize("kind", ["dict", "openai before 1.0", "model", "ours"])
def test_a_budget(program: Blocking, kind: str, limit: int) -> None:
    """A cut yields exactly the limit, objects of one kind, and closes the stream at once."""
    make = KINDS[kind]
    words = ["One", " two", " three four five", " six seven eight"]
    objects = [make(chat(word)) for word in words]
    stream = watch(program.stream(*objects, make(chat(end="stop"))), budget={"tokens": limit})
    got = program.rest(stream)
    assert count(stream.text) == limit
    assert "".join(words).startswith(stream.text)
    assert {type(one) for one in got} == {type(objects[0])}
    assert all(one is other for one, other in zip(got[: min(limit, 2)], objects, strict=False))
    assert end_of(got[-1]) == "length"
    assert (stream.stopped_by, stream.complete, program.closed) == ("budget", False, 1)
    assert [content_of(one) for one in objects] == words  # none was changed


def content_of(one: Any) -> Any:
    """Return the content of an object."""
    return (one["choices"][0]["delta"] if type(one) is dict else one.choices[0].delta)["content"]


def end_of(one: Any) -> Any:
    """Return the finish reason of an object."""
    return (one["choices"][0] if type(one) is dict else one.choices[0])["finish_reason"]


def test_a_budget_in_a_text_completion(program: Blocking) -> None:
    """Text completions are cut alike, and no chunk without choices is added."""
    steps = [text("One two"), text(" three four"), text("", "stop")]
    stream = watch(program.stream(*steps), budget="3tok", model="gpt-4o")
    got = program.rest(stream)
    assert [one["choices"][0]["text"] for one in got] == ["One two", " three", ""]
    assert got[-1]["choices"][0]["finish_reason"] == "length"
    assert stream.reply().object == "text_completion"
    assert stream.account().withheld == 1


def test_a_budget_that_is_not_passed(program: Blocking) -> None:
    """Within a budget the objects are the very same, also after the end of one choice."""
    late = chat(choices=[{"index": 0, "delta": {"content": "late"}, "finish_reason": None}])
    steps = [chat("Hi"), chat("", "stop"), late, chat(choices=[], usage=usage(1, 1))]
    stream = watch(program.stream(*steps), budget="100tok")
    got = program.rest(stream)
    assert [id(one) for one in got] == [id(steps[at]) for at in (0, 1, 3)]
    assert stream.complete


def test_chunks_without_choices_come_in_their_place(program: Blocking) -> None:
    """What has no choices is never kept back: it is there since somebody asked for it."""
    steps = [
        {"id": "", "object": "", "choices": [], "prompt_filter_results": [1]},
        chat("Hi"),
        chat(choices=[], usage=usage(1, 1)),
        chat(" you", "stop"),
        chat(choices=[], usage=usage(1, 2)),
    ]
    stream = watch(program.stream(*steps))
    assert program.rest(stream) == steps
    assert stream.usage == Usage.model_validate(usage(1, 2))


def test_errors_pass(program: Blocking) -> None:
    """An error of the other stream is raised unchanged after all that came, which is kept."""
    for error in (ZeroDivisionError(), TimeoutError(), StreamTruncated("theirs")):
        stream = watch(program.stream(chat("Hi"), error))
        program.next(stream)
        with pytest.raises(type(error)) as caught:
            program.next(stream)
        assert caught.value is error
        assert (stream.text, stream.complete) == ("Hi", False)
        assert stream.usage == PartialUsage(completion_tokens=1)
        assert not program.rest(stream)


def test_interruption(program: Blocking) -> None:
    """An interruption ends both streams, and is nobody's failure."""
    stream = watch(program.stream(chat("Hi"), asyncio.CancelledError()))
    program.next(stream)
    with pytest.raises(asyncio.CancelledError):
        program.next(stream)
    assert stream.stopped_by == "reader"
    assert program.closed == 1


def test_an_early_end(program: Blocking) -> None:
    """A stream that ends before its choices do is truncated, and what came is in the error."""
    stream = watch(program.stream(chat("Hi"), chat(" you")))
    program.next(stream)
    program.next(stream)
    with pytest.raises(StreamTruncated) as caught:
        program.next(stream)
    assert caught.value.partial is not None
    assert caught.value.partial.reply.choices[0].message.content == "Hi you"
    assert caught.value.partial.usage == PartialUsage(completion_tokens=2)


@pytest.mark.parametrize("bad", [("id", "x"), chat({"content": 5}), text("Hi")])
def test_what_is_no_chunk(program: Blocking, bad: Any) -> None:
    """What is no chunk, or one of the other kind, fails the stream and closes the other."""
    stream = watch(program.stream(chat("Hi"), bad))
    program.next(stream)
    with pytest.raises(StreamFailed) as caught:
        program.next(stream)
    assert caught.value.partial is not None
    assert program.closed == 1


def test_leaving_early(program: Blocking) -> None:
    """Leaving `with` and closing end the other stream at once, and only once."""
    stream = watch(program.stream(*STREAMS["content"]))
    assert program.leave(stream) is STREAMS["content"][0]
    assert (stream.stopped_by, program.closed) == ("reader", 1)
    program.close(stream)
    assert not program.rest(stream)
    assert program.closed == 1


def test_closing_before_the_first(program: Blocking) -> None:
    """A stream that was never read is closed without a warning, and gives nothing."""
    stream = watch(program.stream(*STREAMS["content"]))
    program.close(stream)
    assert not program.rest(stream)
    assert stream.usage == PartialUsage(completion_tokens=0)


@pytest.mark.parametrize("kind", KINDS)
def test_frames(program: Blocking, kind: str) -> None:
    """Frames hold our chunks whatever the objects are; the end tells the provider's usage."""
    steps = [chat("Hi"), chat(end="stop"), chat(choices=[], usage=usage(3, 7))]
    frames = program.frames(watch(program.stream(*map(KINDS[kind], steps)), model="gpt-4o"))
    assert frames[-1] == b"data: [DONE]\n\n"
    first, end, last = (json.loads(frame[6:]) for frame in frames[:-1])
    assert first["choices"][0]["delta"] == {"content": "Hi"}
    assert end["choices"][0]["finish_reason"] == "stop"
    assert end["deltaweir"]["usage"] == usage(3, 7)
    assert end["deltaweir"]["source"] == "provider"
    assert (last["choices"], last["usage"]) == ([], usage(3, 7))


def test_frames_of_a_stream_that_breaks(program: Blocking) -> None:
    """An end that waits for usage is written before the error; theirs is raised."""
    frames = program.frames(
        watch(program.stream(chat("Hi"), chat("", "stop"), chat({"content": 5})))
    )
    assert [b'"stop"' in frame for frame in frames] == [False, True, False]
    assert b'"error"' in frames[-1]
    with pytest.raises(ZeroDivisionError):
        program.frames(watch(program.stream(chat("Hi"), ZeroDivisionError())))


def test_frames_of_a_cut(program: Blocking) -> None:
    """A cut stream ends as one of our own does."""
    frames = program.frames(watch(program.stream(chat("Hi you"), chat(end="stop")), budget="1tok"))
    end = json.loads(frames[-2][6:])
    assert end["choices"][0]["finish_reason"] == "length"
    assert end["deltaweir"]["stopped_by"] == "budget"
    assert end["deltaweir"]["withheld_tokens"] == 1


def test_our_own_stream_is_watched_unchanged(program: Blocking) -> None:
    """Our own records are yielded as they are, but a budget changes copies."""
    chunk = Chunk.model_validate(chat("One two three"))
    stream = watch(program.stream(chunk), budget="1tok")
    first = program.next(stream)
    assert first.choices[0].delta.content == "One"
    assert chunk == Chunk.model_validate(chat("One two three"))


def test_close_from_another_thread() -> None:
    """A reader whose stream another thread closes gets the end, and the generator is closed."""
    running, go, closed = threading.Event(), threading.Event(), list[str]()

    def slow() -> Iterator[Any]:
        try:
            yield chat("Hi")
            running.set()
            go.wait(10)
            yield chat(" you")
        finally:
            closed.append(threading.current_thread().name)

    stream = watch(slow())
    got = list[Any]()
    reader = threading.Thread(target=lambda: got.extend(stream), name="reader")
    reader.start()
    assert running.wait(10)
    stream.close()
    go.set()
    reader.join(10)
    assert (got, closed, stream.stopped_by) == ([chat("Hi")], ["reader"], "reader")


async def test_close_from_another_task() -> None:
    """A task that waits gets the end, and no task or warning is left."""
    closed, waits = list[int](), asyncio.Event()

    async def silent() -> AsyncIterator[Any]:
        try:
            yield chat("Hi")
            waits.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.append(1)

    stream = watch(silent())

    async def read() -> list[Any]:
        return [one async for one in stream]

    task = asyncio.create_task(read())
    await waits.wait()
    await stream.close()
    assert await task == [chat("Hi")]
    assert closed == [1]
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_wait_that_is_dropped() -> None:
    """A wait whose coroutine is closed in its midst ends the stream, with nothing to await."""

    class Silent:
        def __aiter__(self) -> Self:
            return self

        async def __anext__(self) -> Any:
            await asyncio.Event().wait()

    async def read() -> None:
        stream = watch(Silent())
        waiting = stream.__anext__()
        waiting.send(None)
        waiting.close()
        assert stream.stopped_by == "reader"

    asyncio.run(read())


def test_a_coroutine_that_gives_a_whole_reply() -> None:
    """It is refused once it is known, and the error says what to do."""

    async def create() -> Any:
        return Chunk()

    async def read() -> None:
        stream = watch(create())
        with pytest.raises(InvalidRequest, match="stream=True"):
            await anext(stream)
        assert not [one async for one in stream]

    asyncio.run(read())
