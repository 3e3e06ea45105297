"""Both clients against the real small model: one list of cases, by blocking and by awaiting."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import deltaweir
from deltaweir import AsyncClient, Client
from deltaweir.client import async_dispatch, embedded
from deltaweir.client.streams import AsyncStream, Stream
from deltaweir.errors import (
    ContextLengthExceeded,
    DeltaweirError,
    InvalidRequest,
    ModelNotFound,
    StallTimeout,
)
from deltaweir.models.weights import Weights
from deltaweir.sources.local.answer import load
from deltaweir.sources.local.engine import Engine

SOON_S = 20.0
STORY = "Once upon a time"
ENDLESS = {"2": -100, "0": -100}
"""A bias by which the model never ends by itself."""


class Blocking:
    """Ask by blocking."""

    def whole(self, **fields: Any) -> Any:
        """Return a whole reply."""
        client = Client()
        create: Any = client.completions if "prompt" in fields else client.chat.completions
        return create.create(**{"model": "smollm2", "temperature": 0, **fields})

    def stream(self, **fields: Any) -> tuple[list[Any], Any]:
        """Return the chunks of a stream, and the stream."""
        stream = self.whole(stream=True, **fields)
        return list(stream), stream


class Awaiting:
    """Ask by awaiting."""

    def whole(self, **fields: Any) -> Any:
        """Return a whole reply."""
        return asyncio.run(asked(**fields))

    def stream(self, **fields: Any) -> tuple[list[Any], Any]:
        """Return the chunks of a stream, and the stream."""

        async def read() -> tuple[list[Any], Any]:
            stream = await asked(stream=True, **fields)
            return [chunk async for chunk in stream], stream

        return asyncio.run(read())


async def asked(**fields: Any) -> Any:
    """Await a reply or a stream."""
    client = AsyncClient()
    create: Any = client.completions if "prompt" in fields else client.chat.completions
    return await create.create(**{"model": "smollm2", "temperature": 0, **fields})


Asking = Blocking | Awaiting


@pytest.fixture(params=[Blocking, Awaiting])
def ask(request: pytest.FixtureRequest, smollm2: Weights) -> Asking:
    """Both ways of asking."""
    made: Asking = request.param()
    return made


@pytest.fixture
def engine(smollm2: Weights) -> Iterator[Engine]:
    """The process's engine, idle before and after."""
    shared = load(smollm2)
    assert idle(shared)
    yield shared
    assert idle(shared)


def idle(engine: Engine, within_s: float = SOON_S) -> bool:
    """Wait until nothing is computed."""
    deadline = time.monotonic() + within_s
    while engine.running and time.monotonic() < deadline:
        time.sleep(0.005)
    return engine.running == 0


def chat(text: str = "Say something.", **fields: Any) -> dict[str, Any]:
    """Return the fields of a chat."""
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 8, **fields}


def text(**fields: Any) -> dict[str, Any]:
    """Return the fields of a text completion."""
    return {"prompt": STORY, "max_tokens": 8, **fields}


BOTH = pytest.mark.parametrize("fields", [chat, text])


@BOTH
def test_a_whole_reply_is_the_sum_of_the_stream(ask: Asking, fields: Callable[..., Any]) -> None:
    """Text, finish reasons and usage, at temperature 0."""
    whole = ask.whole(**fields())
    _, stream = ask.stream(**fields())
    added = stream.reply()
    assert added.choices == whole.choices
    assert added.usage.completion_tokens == whole.usage.completion_tokens == 8
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 8
    assert whole.choices[0].finish_reason == "length"
    assert stream.complete


@BOTH
def test_every_token_is_a_chunk(ask: Asking, fields: Callable[..., Any]) -> None:
    """Between the first chunk and the last with its reason; no chunk is without choices."""
    chunks, stream = ask.stream(**fields())
    said = [chunk for chunk in chunks if chunk.choices[0].finish_reason is None]
    if fields is chat:
        assert said.pop(0).choices[0].delta.model_dump() == {"role": "assistant"}
    assert len(said) == stream.usage.completion_tokens == 8
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].id.startswith("chatcmpl-" if fields is chat else "cmpl-")


@BOTH
def test_usage_is_sent_to_whoever_asked(ask: Asking, fields: Callable[..., Any]) -> None:
    """In one last chunk without choices, equal to the stream's own."""
    chunks, stream = ask.stream(**fields(stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage == stream.usage
    assert all(chunk.choices for chunk in chunks[:-1])


def test_usage_is_sent_all_along_to_whoever_asked(ask: Asking) -> None:
    """``continuous_usage_stats``: on every chunk, rising by one a token."""
    chunks, _ = ask.stream(**text(stream_options={"continuous_usage_stats": True}))
    assert [chunk.usage.completion_tokens for chunk in chunks] == [*range(1, 9), 8]


def test_a_prompt_read_before_is_cached(ask: Asking) -> None:
    """All but its last token."""
    fields = chat(f"What are weirs? {type(ask).__name__}")
    ask.whole(**fields)
    usage = ask.whole(**fields).usage
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1


@BOTH
def test_an_answer_may_be_random_and_repeated(ask: Asking, fields: Callable[..., Any]) -> None:
    """One seed gives one text, another gives another."""
    said = [
        json.dumps(ask.whole(**fields(temperature=1.5, seed=seed)).model_dump()["choices"])
        for seed in (1, 1, 2)
    ]
    assert said[0] == said[1] != said[2]


def test_more_choices_than_slots_are_all_answered(ask: Asking, engine: Engine) -> None:
    """Each by a seed of its own; the prompt counts once."""
    one = ask.whole(**text(temperature=1.5, seed=5))
    reply = ask.whole(**text(temperature=1.5, seed=5, n=engine.slots + 2))
    texts = [choice.text for choice in reply.choices]
    assert [choice.index for choice in reply.choices] == [*range(6)]
    assert len(set(texts)) > 3
    assert reply.usage.prompt_tokens == one.usage.prompt_tokens
    assert reply.usage.completion_tokens == 6 * 8


def test_several_prompts_are_answered_in_order(ask: Asking) -> None:
    """Each with n choices, and each counted."""
    reply = ask.whole(**text(prompt=[STORY, "The capital of France is"], n=2))
    first, second = ask.whole(**text()), ask.whole(**text(prompt="The capital of France is"))
    assert [one.text for one in reply.choices] == [
        choice.text for choice in (*first.choices * 2, *second.choices * 2)
    ]
    prompts = first.usage.prompt_tokens + second.usage.prompt_tokens
    assert reply.usage.prompt_tokens == prompts


def test_token_ids_are_a_prompt(ask: Asking) -> None:
    """One list, or several."""
    assert ask.whole(**text(prompt=[1, 2, 3])).usage.prompt_tokens == 3
    assert len(ask.whole(**text(prompt=[[1], [2, 3]])).choices) == 2


@BOTH
def test_a_stop_sequence_ends_the_answer_before_it(ask: Asking, fields: Callable[..., Any]) -> None:
    """Also one that begins in the middle of a token and goes on in the next."""
    whole = ask.whole(**fields()).choices[0]
    said = whole.text if fields is text else whole.message.content
    middle = said[3:9]
    chunks, stream = ask.stream(**fields(stop=["zzz", middle]))
    assert stream.text == said[: said.index(middle)]
    assert stream.finish_reason == "stop"
    assert stream.complete
    assert stream.usage.completion_tokens < 8
    assert chunks[-1].choices[0].finish_reason == "stop"


@BOTH
def test_text_held_for_a_stop_sequence_is_kept_at_the_limit(
    ask: Asking, fields: Callable[..., Any]
) -> None:
    """The beginning of a sequence that does not come is text like any other."""
    whole = ask.whole(**fields()).choices[0]
    said = whole.text if fields is text else whole.message.content
    _, stream = ask.stream(**fields(stop=said[-2:] + "zzz"))
    assert (stream.text, stream.finish_reason) == (said, "length")


@BOTH
def test_no_tokens_at_all(ask: Asking, fields: Callable[..., Any]) -> None:
    """``max_tokens: 0`` counts the prompt and generates nothing."""
    reply = ask.whole(**fields(max_tokens=0))
    assert reply.usage.completion_tokens == 0
    assert reply.usage.prompt_tokens == ask.whole(**fields()).usage.prompt_tokens
    assert reply.choices[0].finish_reason == "length"


def test_both_names_of_the_limit_are_known(ask: Asking) -> None:
    """The newer wins."""
    reply = ask.whole(**chat(max_tokens=9, max_completion_tokens=3))
    assert reply.usage.completion_tokens == 3


def test_a_bias_bans_and_forces_tokens(ask: Asking) -> None:
    """The first token of the plain answer never comes, or only another one does."""
    plain = ask.whole(**text(logprobs=0)).choices[0].logprobs.tokens
    banned = ask.whole(**text(logit_bias={str(one): -100 for one in range(40_000)}))
    forced = ask.whole(**text(logit_bias={"1000": 100}, logprobs=0)).choices[0].logprobs.tokens
    assert banned.choices[0].text != "".join(plain)
    assert len(set(forced)) == 1


@pytest.mark.parametrize("name", ["frequency_penalty", "presence_penalty"])
def test_penalties_change_what_is_repeated(ask: Asking, name: str) -> None:
    """A text that repeats itself stops doing so."""
    fields = text(prompt="The cat, the cat, the", max_tokens=12)
    assert ask.whole(**fields).choices != ask.whole(**fields, **{name: 2.0}).choices


def test_top_p_of_almost_nothing_is_greedy(ask: Asking) -> None:
    """Only the likeliest token is left."""
    greedy = ask.whole(**text()).choices
    assert ask.whole(**text(temperature=1.5, top_p=1e-6, seed=3)).choices == greedy


def test_chat_logprobs(ask: Asking) -> None:
    """An entry a token, with its bytes and rivals, the likeliest of which was taken."""
    choice = ask.whole(**chat(logprobs=True, top_logprobs=3)).choices[0]
    entries = choice.logprobs.content
    assert "".join(entry.token for entry in entries) == choice.message.content
    assert [bytes(entry.bytes).decode() for entry in entries] == [one.token for one in entries]
    assert all(len(entry.top_logprobs) == 3 for entry in entries)
    assert all(entry.top_logprobs[0].logprob == entry.logprob <= 0 for entry in entries)


def test_text_logprobs(ask: Asking) -> None:
    """Four lists of one length, offsets where the tokens stand."""
    choice = ask.whole(**text(logprobs=2)).choices[0]
    logprobs = choice.logprobs
    assert "".join(logprobs.tokens) == choice.text
    for token, offset in zip(logprobs.tokens, logprobs.text_offset, strict=True):
        assert choice.text[offset:].startswith(token)
    assert all(len(rivals) == 2 for rivals in logprobs.top_logprobs)
    assert len(logprobs.token_logprobs) == 8


def test_an_echo_repeats_the_prompt(ask: Asking) -> None:
    """Streamed as the first chunk."""
    plain = ask.whole(**text()).choices[0].text
    chunks, stream = ask.stream(**text(echo=True))
    assert chunks[0].choices[0].text == STORY
    assert stream.text == STORY + plain


def test_the_best_of_several_is_returned(ask: Asking) -> None:
    """All are counted, one is shown, without scores that nobody asked for."""
    reply = ask.whole(**text(best_of=3, temperature=1.5, seed=1))
    assert len(reply.choices) == 1
    assert reply.choices[0].logprobs is None
    assert reply.usage.completion_tokens == 24


def test_json_is_what_it_says(ask: Asking) -> None:
    """An object by a schema; the small model is held to it by a grammar."""
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 1, "maximum": 99}},
        "required": ["age"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    reply = ask.whole(**chat(response_format=form, max_tokens=200))
    assert 1 <= json.loads(reply.choices[0].message.content)["age"] <= 99


def test_any_json_object(ask: Asking) -> None:
    """It begins as one, whatever the model would rather say."""
    reply = ask.whole(**chat(response_format={"type": "json_object"}))
    assert reply.choices[0].message.content.lstrip().startswith("{")


HISTORY = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    {"role": "assistant", "content": "Hello", "name": "smol"},
    {"role": "user", "content": "And?"},
]


def test_conversations_with_all_roles_are_read(ask: Asking) -> None:
    """Messages of earlier replies among them."""
    earlier = ask.whole(**chat()).choices[0].message
    reply = ask.whole(messages=[*HISTORY, earlier, HISTORY[1]], max_tokens=4)
    assert reply.choices[0].message.content


def test_an_assistants_last_word_is_not_continued(ask: Asking) -> None:
    """The reply is a message of its own, also after two of them."""
    said = [{"role": "assistant", "content": "Hel"}]
    assert ask.whole(messages=[*HISTORY, *said, *said], max_tokens=4).choices[0].message.content


def test_the_text_of_a_control_token_is_read_as_that_token(ask: Asking) -> None:
    """Known and kept: the engine has no way to tell a template's tokens from a user's text.

    So whoever shows the model text of strangers must expect that it can end a turn.
    """
    plain = ask.whole(**chat("a b")).usage.prompt_tokens
    control = ask.whole(**chat("a<|im_end|>b")).usage.prompt_tokens
    assert control - plain <= 1


REFUSED: list[tuple[dict[str, Any], str]] = [
    (chat(messages=[]), "messages"),
    ({"messages": [{"role": "alien", "content": "x"}]}, "messages[0].role"),
    (chat("\ud800"), "messages[0].content"),
    (text(prompt="\udfff"), "prompt[0]"),
    (text(suffix="x"), "suffix"),
    (chat(temperature=3), "temperature"),
    (chat(n=0), "n"),
    (chat(tools=[{"type": "function", "function": {"name": "f"}}]), "tools"),
    (chat(temperatur=0), "temperatur"),
    (chat(response_format={"type": "json_schema"}), "response_format.json_schema"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_bad_input_is_refused_before_anything_is_computed(
    ask: Asking, fields: dict[str, Any], param: str
) -> None:
    """By ``create`` itself, with the field's name, in one or two lines."""
    with pytest.raises(InvalidRequest) as caught:
        ask.whole(**fields)
    assert caught.value.param == param
    assert str(caught.value).count("\n") < 2


def test_an_unknown_model_is_not_found(ask: Asking) -> None:
    """The error names those that exist."""
    with pytest.raises(ModelNotFound):
        ask.whole(**chat(model="smollm3"))


@pytest.mark.parametrize("schema", [{"$ref": "#/nope"}, {"type": "nope"}, {"enum": []}])
def test_a_schema_that_the_engine_cannot_use_is_refused(
    ask: Asking, schema: dict[str, Any]
) -> None:
    """It only finds out when it is asked."""
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    with pytest.raises(InvalidRequest, match="engine refused the request"):
        ask.whole(**chat(response_format=form))


@BOTH
def test_a_prompt_longer_than_the_context_has_both_numbers(
    ask: Asking, fields: Callable[..., Any]
) -> None:
    """Counted by the engine where the length alone does not tell."""
    long = {"prompt": "word " * 5000} if fields is text else chat("word " * 5000)
    with pytest.raises(ContextLengthExceeded) as caught:
        ask.stream(**long)
    assert caught.value.context_tokens == 4096
    assert 5000 <= (caught.value.prompt_tokens or 0) < 5100
    assert caught.value.param == ("prompt" if fields is text else "messages")
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.request_id


@BOTH
def test_ten_megabytes_are_refused_at_once(ask: Asking, fields: Callable[..., Any]) -> None:
    """The engine would need ten seconds and a gigabyte."""
    long = "a" * 10_000_000
    began = time.process_time()
    with pytest.raises(ContextLengthExceeded) as caught:
        ask.whole(**({"prompt": long} if fields is text else chat(long)))
    assert time.process_time() - began < 3
    assert caught.value.prompt_tokens == 10_000_000 // 256


def test_a_clock_that_runs_out_gives_what_came(ask: Asking, engine: Engine) -> None:
    """And stops the engine."""
    with pytest.raises(StallTimeout) as caught:
        ask.stream(prompt=STORY, max_tokens=4000, logit_bias=ENDLESS, timeout=0.5)
    assert caught.value.partial is not None
    assert caught.value.partial.usage.completion_tokens > 0
    assert caught.value.partial.reply.choices[0].text


def endless() -> Stream[Any, Any]:
    """Return a stream that never ends by itself."""
    stream: Stream[Any, Any] = Blocking().whole(
        prompt=STORY, max_tokens=4000, logit_bias=ENDLESS, stream=True
    )
    return stream


async def async_endless() -> AsyncStream[Any, Any]:
    """Return a stream that never ends by itself."""
    fields = {"prompt": STORY, "max_tokens": 4000, "logit_bias": ENDLESS, "stream": True}
    stream: AsyncStream[Any, Any] = await asked(**fields)
    return stream


def check_cut(stream: Any, least: int) -> None:
    """See that a cut stream is honest, and its count that of its text."""
    assert not stream.complete
    assert stream.stopped_by == "reader"
    assert stream.usage.completion_tokens >= least
    assert stream.text
    assert stream.finish_reason is None


def test_leaving_the_block_stops_the_engine(engine: Engine) -> None:
    """Within a token; what came is kept."""
    with endless() as stream:
        for _ in itertools.islice(stream, 5):
            pass
    assert idle(engine, 2)
    check_cut(stream, 5)
    assert list(stream) == []


async def test_leaving_the_async_block_stops_the_engine(engine: Engine) -> None:
    """Likewise."""
    async with await async_endless() as stream:
        for _ in range(5):
            await anext(stream)
    assert await asyncio.to_thread(idle, engine, 2)
    check_cut(stream, 5)


def test_closing_from_another_thread_wakes_the_reader(engine: Engine) -> None:
    """At once, though it waits for the next token."""
    stream = endless()
    next(stream)
    threading.Timer(0.1, stream.close).start()
    began = time.monotonic()
    assert len(list(stream)) > 0
    assert time.monotonic() - began < 2
    check_cut(stream, 1)


def test_dropping_a_stream_stops_the_engine(engine: Engine) -> None:
    """The computation does not keep it alive."""
    stream = endless()
    next(stream)
    assert engine.running == 1
    del stream
    gc.collect()
    assert idle(engine, 2)


async def test_dropping_an_async_stream_stops_the_engine(engine: Engine) -> None:
    """Likewise."""
    stream = await async_endless()
    await anext(stream)
    del stream
    gc.collect()
    assert await asyncio.to_thread(idle, engine, 2)


async def test_cancelling_a_task_stops_the_engine(engine: Engine) -> None:
    """In the middle of a wait; what came is kept."""
    stream = await async_endless()

    async def read() -> None:
        async for _ in stream:
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert await asyncio.to_thread(idle, engine, 2)
    check_cut(stream, 1)


async def test_cancelling_a_whole_reply_stops_the_engine(engine: Engine) -> None:
    """Nobody will read it."""
    task = asyncio.create_task(asked(prompt=STORY, max_tokens=4000, logit_bias=ENDLESS))
    while not engine.running:  # noqa: ASYNC110  # the engine has no event to wait for
        await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(idle, engine, 2)


@contextlib.asynccontextmanager
async def lag() -> AsyncIterator[list[float]]:
    """Measure how late the loop wakes, in seconds."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            late.append(time.monotonic() - began - 0.005)

    task = asyncio.create_task(tick())
    yield late
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_the_loop_runs_on_while_answers_are_generated(engine: Engine) -> None:
    """Four streams at once, and a prompt that takes its time."""
    async with lag() as late:
        long = {"prompt": "word " * 300, "max_tokens": 20}
        await asyncio.gather(*(asked(**(text() if at else long)) for at in range(4)))
    late.sort()
    assert len(late) > 10
    assert late[len(late) // 2] < 0.05


async def test_the_loop_runs_on_while_a_model_is_prepared(
    monkeypatch: pytest.MonkeyPatch, smollm2: Weights
) -> None:
    """Pulling and loading are done on another thread."""
    real = embedded.prepare
    threads: list[threading.Thread] = []

    def slow(*given: Any, **more: Any) -> Any:
        threads.append(threading.current_thread())
        time.sleep(0.3)
        return real(*given, **more)

    monkeypatch.setattr(async_dispatch, "prepare", slow)
    async with lag() as late:
        await asked(**text())
    assert threads[0] is not threading.main_thread()
    assert threads[0].daemon  # an interrupted program does not wait for a download
    assert max(late) < 0.2


async def test_an_error_of_the_preparation_reaches_the_caller(smollm2: Weights) -> None:
    """As it is."""
    with pytest.raises(ModelNotFound):
        await asked(**chat(model="smollm3"))


def test_one_client_serves_several_threads(smollm2: Weights) -> None:
    """More than there are slots, each with its own answer."""
    client = Client()
    alone = Blocking().whole(**text()).choices[0].text
    said: list[str] = []

    def work() -> None:
        with client.completions.create(
            model="smollm2", prompt=STORY, max_tokens=8, temperature=0, stream=True
        ) as stream:
            said.append("".join(chunk.choices[0].text for chunk in stream))

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(SOON_S)
    assert said == [alone] * 8


def test_two_streams_interleave_and_closing_one_leaves_the_other(engine: Engine) -> None:
    """The other's text is what it is alone."""
    alone = Blocking().whole(**text(max_tokens=30)).choices[0].text
    first = endless()
    with Client().completions.create(
        model="smollm2", prompt=STORY, max_tokens=30, temperature=0, stream=True
    ) as second:
        for _ in range(5):
            next(first)
            next(second)
        first.close()
        for _ in second:
            pass
    assert second.text == alone
    assert second.complete
    check_cut(first, 5)


def test_errors_are_those_of_the_package() -> None:
    """The root of all of them."""
    assert issubclass(ContextLengthExceeded, DeltaweirError)
    assert deltaweir.DeltaweirError is DeltaweirError


LIVE = "qwen2.5-coder-0.5b"
SUM = "What's 1+1? Answer in one word."
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city", "unit"],
        },
    },
}


@pytest.fixture(params=[Blocking, Awaiting])
def ask_live(request: pytest.FixtureRequest) -> Asking:
    """Both ways of asking the default model."""
    made: Asking = request.param()
    return made


@pytest.mark.live
def test_live_one_and_one_are_two(ask_live: Asking) -> None:
    """A role, the word, an empty delta with the reason."""
    chunks, stream = ask_live.stream(**chat(SUM, model=LIVE))
    assert [chunk.model_dump()["choices"][0] for chunk in chunks] == [
        {"delta": {"role": "assistant"}, "finish_reason": None, "index": 0},
        {"delta": {"content": "2"}, "finish_reason": None, "index": 0},
        {"delta": {}, "finish_reason": "stop", "index": 0},
    ]
    assert (stream.usage.prompt_tokens, stream.usage.completion_tokens) == (41, 2)


@pytest.mark.live
@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_live_a_forced_call_is_valid(ask_live: Asking, choice: Any) -> None:
    """By the tool's own schema."""
    question = chat("Weather in Paris?", model=LIVE, tools=[WEATHER], tool_choice=choice)
    (made,) = ask_live.whole(**{**question, "max_tokens": 200}).choices
    assert made.finish_reason == "tool_calls"
    (call,) = made.message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert call.function.name == "get_weather"
    assert arguments.keys() == {"city", "unit"}
    assert arguments["unit"] in ("C", "F")


@pytest.mark.live
def test_live_a_free_choice_is_answered(ask_live: Asking) -> None:
    """By a call or by text: a model this small often writes the call as text."""
    question = chat("Weather in Paris?", model=LIVE, tools=[WEATHER], max_tokens=80)
    (made,) = ask_live.whole(**question).choices
    assert made.message.tool_calls or made.message.content


@pytest.mark.live
def test_live_older_functions(ask_live: Asking) -> None:
    """Answered in their own words."""
    function = WEATHER["function"]
    fields = chat("Weather in Paris?", model=LIVE, functions=[function], max_tokens=200)
    (made,) = ask_live.whole(**fields, function_call={"name": "get_weather"}).choices
    assert made.finish_reason == "function_call"
    assert json.loads(made.message.function_call.arguments)["city"]


@pytest.mark.live
def test_live_a_suffix_is_written_up_to(ask_live: Asking) -> None:
    """The model fills in what stands between."""
    reply = ask_live.whole(
        model=LIVE, prompt="def add(a, b):\n    ", suffix="\n\nprint(add(1, 2))\n", max_tokens=16
    )
    assert "a + b" in reply.choices[0].text


@pytest.mark.live
def test_live_json_by_a_schema(ask_live: Asking) -> None:
    """And a whole object."""
    schema = {
        "type": "object",
        "properties": {"capital": {"type": "string"}},
        "required": ["capital"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    fields = chat("What is the capital of France?", model=LIVE, response_format=form)
    reply = ask_live.whole(**{**fields, "max_tokens": 60})
    assert "Paris" in json.loads(reply.choices[0].message.content)["capital"]


@pytest.mark.live
def test_live_six_choices(ask_live: Asking) -> None:
    """More than there are slots."""
    reply = ask_live.whole(**chat(SUM, model=LIVE, n=6))
    assert [choice.message.content for choice in reply.choices] == ["2"] * 6
    assert reply.usage.prompt_tokens == 41
