"""The embedded model as a source, and its answer to one request."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from deltaweir.errors import DeltaweirError, InvalidRequest, ServiceUnavailable, StreamFailed
from deltaweir.models.weights import Weights
from deltaweir.schema.request import chat_request, text_request
from deltaweir.sources.local import answer
from deltaweir.sources.local.engine import Engine
from deltaweir.sources.local.request import Plan
from deltaweir.sources.local.source import AsyncLocalSource, LocalSource
from deltaweir.types import TextChunk


@pytest.fixture
def engine(smollm2: Weights) -> Engine:
    """The process's engine."""
    return answer.load(smollm2)


def planned(weights: Weights, **fields: Any) -> Plan:
    """Plan a text completion."""
    return answer.plan(text_request({"prompt": "Once", "temperature": 0, **fields}), weights)


def opened(weights: Weights, engine: Engine, **fields: Any) -> LocalSource[TextChunk]:
    """Return a source of a text completion."""
    return LocalSource(planned(weights, **fields), weights, engine, identity="i", created=7)


def test_a_source_brings_chunks_until_it_has_ended(smollm2: Weights, engine: Engine) -> None:
    """Signs of life between, one chunk a token, then usage, then None for ever."""
    source = opened(smollm2, engine, max_tokens=3)
    received = []
    while (chunks := source.receive(20)) is not None:
        received.append(chunks)
    assert received[0] == []
    flat = [chunk for chunks in received for chunk in chunks]
    assert [len(chunk.choices) for chunk in flat] == [1, 1, 1, 1, 0]
    assert flat[-1].usage == source.usage
    assert source.finished
    assert source.answered
    assert not source.said_done
    assert source.progress == (1, 1)
    assert source.receive(0) is None


def test_a_wait_has_an_end(smollm2: Weights, engine: Engine) -> None:
    """The source may be asked again after it."""
    source = opened(smollm2, engine, max_tokens=3, prompt="word " * 300)
    source.receive(20)
    with pytest.raises(TimeoutError):
        source.receive(0.0001)
    while source.receive(20) is not None:
        pass
    assert source.finished


def test_an_answer_ends_where_the_context_ends(smollm2: Weights) -> None:
    """With reason length, and all that was generated counted."""
    small = Engine(smollm2.path, context=256, slots=1)
    source = opened(smollm2, small, prompt=[5] * 250, max_tokens=50, logit_bias={"2": -100})
    reasons: list[str | None] = []
    while (chunks := source.receive(20)) is not None:
        reasons += [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    assert reasons[-1] == "length"
    assert source.usage is not None
    assert 250 < source.usage.total_tokens <= 257
    small.close()


def test_closing_wakes_the_reader_and_stops_the_engine(smollm2: Weights, engine: Engine) -> None:
    """At once, from another thread, twice."""
    source = opened(smollm2, engine, max_tokens=2000)
    ended = threading.Event()

    def read() -> None:
        while source.receive(None) is not None:
            pass
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    source.receive(20)
    source.close()
    source.close()
    assert ended.wait(5)


def test_an_async_source_brings_the_same(smollm2: Weights, engine: Engine) -> None:
    """And its waits have an end too."""

    async def read() -> list[str]:
        source: AsyncLocalSource[TextChunk] = AsyncLocalSource(
            planned(smollm2, max_tokens=3), smollm2, engine, identity="i", created=7
        )
        said: list[str] = []
        late = 0
        while True:
            try:
                chunks = await source.receive(0.0001 if not late else 20)
            except TimeoutError:
                late += 1
                continue
            if chunks is None:
                assert await source.receive(0) is None
                assert late
                return said
            said += [choice.text for chunk in chunks for choice in chunk.choices]

    source = opened(smollm2, engine, max_tokens=3)
    said: list[str] = []
    while (chunks := source.receive(20)) is not None:
        said += [choice.text for chunk in chunks for choice in chunk.choices]
    assert asyncio.run(read()) == said


async def test_closing_wakes_a_task_that_waits(smollm2: Weights, engine: Engine) -> None:
    """With None, as at an end."""
    source: AsyncLocalSource[TextChunk] = AsyncLocalSource(
        planned(smollm2, max_tokens=2000), smollm2, engine, identity="i", created=7
    )
    await source.receive(20)
    asyncio.get_running_loop().call_later(0.05, source.close)
    async with asyncio.timeout(5):
        while await source.receive(None) is not None:
            pass


def test_a_loop_that_is_gone_cancels_the_answer(smollm2: Weights, engine: Engine) -> None:
    """Nobody can be told any more, so the engine stops."""

    async def begin() -> AsyncLocalSource[TextChunk]:
        return AsyncLocalSource(
            planned(smollm2, max_tokens=2000), smollm2, engine, identity="i", created=7
        )

    source = asyncio.run(begin())
    deadline = time.monotonic() + 20
    while engine.running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine.running == 0
    source.close()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("schema"), InvalidRequest),
        (RuntimeError("body"), InvalidRequest),
        (MemoryError(), StreamFailed),
        (IndexError(), StreamFailed),
        (ServiceUnavailable("closing"), ServiceUnavailable),
    ],
)
def test_what_native_code_throws_has_a_name_of_ours(
    error: BaseException, kind: type[DeltaweirError]
) -> None:
    """With the original as its cause."""
    typed = answer._typed(error)
    assert type(typed) is kind
    assert typed is error or typed.__cause__ is error


def test_a_bug_stays_what_it_is() -> None:
    """It is no fault of the request."""
    bug = AssertionError()
    assert answer._typed(bug) is bug


def test_a_model_of_the_catalogue_has_the_catalogues_abilities(smollm2: Weights) -> None:
    """A file of the user's is judged by what it says of itself."""
    own = type(smollm2)(path=smollm2.path, name="own", entry=None, head=smollm2.head)
    assert answer.abilities_of(smollm2) == ("smollm2", 49152, False, None, 4096)
    assert answer.abilities_of(own) == ("own", 49152, False, None, answer.CONTEXT)


def test_a_model_without_a_chat_template_completes_texts_only(smollm2: Weights) -> None:
    """The error says what to call instead."""
    import msgspec

    head = msgspec.structs.replace(smollm2.head, chat_template=None)
    base = msgspec.structs.replace(smollm2, head=head)
    with pytest.raises(InvalidRequest, match=r"use completions\.create"):
        answer.plan(chat_request({"messages": [{"role": "user", "content": "x"}]}), base)
    assert answer.plan(text_request({"prompt": "x"}), base).calls
