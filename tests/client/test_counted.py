"""Counts and budgets through the clients: of a provider's streams, and the embedded model's."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.client.programs import DONE, STOP, Awaiting, Blocking, chat, said, used, written

import deltaweir
from deltaweir.client import classic_calls
from deltaweir.errors import InvalidRequest, StreamTruncated
from deltaweir.models.weights import Weights
from deltaweir.testing import Drop, Pause, Peer, stream_answer

HELLO = [{"role": "user", "content": "hello"}]
STORY = "Once upon a time"
LONG = "one two three four five six seven eight nine ten " * 20
LONG_TOKENS = 201
LIMIT = 5
ONE_TO_FIVE = "one two three four five"
INCLUDE = {"include_usage": True}
RUNNING = {"continuous_usage_stats": True}


@pytest.fixture(params=["blocking", "awaiting"])
def way(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    """Return each way of asking."""
    if request.param == "blocking":
        yield Blocking()
        return
    with asyncio.Runner() as runner:
        yield Awaiting(runner)


SPOKEN = [chat(said("one two")), chat(said(" three")), chat(STOP), DONE]


def opened(way: Blocking, peer: Peer, **fields: Any) -> Any:
    """Return a stream from a peer, or a whole reply."""
    client = way.client(base_url=peer.base_url, api_key="k", budget=fields.pop("all", None))
    fields = {"model": "gpt-4o", "stream": True, **fields}
    if "prompt" in fields:
        return way.run(client.completions.create, **fields)
    return way.run(client.chat.completions.create, **{"messages": HELLO, **fields})


def asked(way: Blocking, events: list[bytes], **fields: Any) -> tuple[Any, list[Any]]:
    """Read a stream of events; return it, and its chunks."""
    with Peer(stream_answer(events)) as peer:
        stream = opened(way, peer, **fields)
        return stream, way.read(stream)


def figures(stream: Any) -> tuple[int | None, int, str]:
    """Return the tokens read and generated, and who says so."""
    account = stream.account()
    return account.usage.prompt_tokens, account.usage.completion_tokens, account.source


# --- counting


@pytest.mark.parametrize(("model", "source"), [("gpt-4o", "counted"), ("unknown-1", "estimated")])
def test_a_count_is_right_at_every_chunk(way: Blocking, model: str, source: str) -> None:
    """It is that of the prompt, and of the text so far; what loopback costs is not known."""
    prompt = deltaweir.count_prompt(HELLO, model=model).tokens
    texts = ["Hel", "lo", " wor", "ld, don", "'t", " \U0001f600", " stop"]
    counts: list[int] = []

    def look(stream: Any, _: Any) -> None:
        expected = deltaweir.count_tokens(stream.text, model=model)
        assert figures(stream) == (prompt, expected, source)
        assert stream.usage.total_tokens == prompt + expected
        assert (stream.cost, stream.account().cost_usd) == (None, None)
        counts.append(expected)

    events = [*(chat(said(text), model=model) for text in texts), chat(STOP), DONE]
    with Peer(stream_answer(events)) as peer:
        stream = opened(way, peer, model=model)
        # one event at a time, else all are counted before the first is shown
        stream._source = _One(stream._source, awaits=isinstance(way, Awaiting))
        way.read(stream, look)
    assert counts[0] == 1
    assert counts[-1] == deltaweir.count_tokens("".join(texts), model=model)
    assert stream.reply().usage == stream.usage


class _One:
    """A source that hands over one chunk at a time, however many came at once."""

    def __init__(self, source: Any, *, awaits: bool) -> None:
        self._source = source
        self._kept: list[Any] = []
        self.receive = self._awaited if awaits else self._blocked

    def _blocked(self, timeout_s: float | None) -> Any:
        return self._first(None if self._kept else self._source.receive(timeout_s))

    async def _awaited(self, timeout_s: float | None) -> Any:
        return self._first(None if self._kept else await self._source.receive(timeout_s))

    def _first(self, came: Any) -> Any:
        if not self._kept:
            if not came:
                return came
            self._kept += came
        return [self._kept.pop(0)]


def test_what_a_program_does_to_its_messages_changes_no_count(way: Blocking) -> None:
    """The prompt is that which was sent."""
    messages = [dict(HELLO[0])]
    with Peer(stream_answer(SPOKEN)) as peer:
        stream = opened(way, peer, messages=messages)
        messages[0]["content"] = LONG
        messages.append(messages[0])
        way.read(stream)
    assert figures(stream) == (8, 3, "counted")


def test_every_kind_of_text_counts(way: Blocking) -> None:
    """Reasoning, refusals, names and arguments of calls, of all choices."""
    call = {"index": 0, "id": "c", "function": {"name": "weather", "arguments": '{"city":'}}
    events = [
        chat(said("one two", reasoning_content="three four"), said("five", index=1)),
        chat({"index": 1, "delta": {"refusal": "no", "tool_calls": [call]}}),
        chat(STOP, {**STOP, "index": 1}),
        DONE,
    ]
    stream, _ = asked(way, events)
    parts = ("one two", "three four", "five", "no", "weather", '{"city":')
    assert stream.usage.completion_tokens == sum(map(deltaweir.count_tokens, parts))


PROVIDER = [
    [chat(said("one two three")), chat(STOP), chat(usage=used(11, 7)), DONE],
    [chat(said("one two three")), chat(STOP, usage=used(11, 7)), DONE],
    [chat(said("one")), chat(said(" two three"), usage=used(11, 7)), chat(STOP), DONE],
    [
        chat(said("one"), usage=used(11, 1)),
        chat(said(" two three"), usage=used(11, 7)),
        chat(STOP, usage=used(11, 7)),
        DONE,
    ],
    [
        chat(said("one two three")),
        chat(STOP),
        chat(usage=used(11, 7)).replace(b'"choices": []', b'"choices": null'),
        DONE,
    ],
]


@pytest.mark.parametrize(
    "events", PROVIDER, ids=["own chunk", "finish", "content", "cumulative", "null choices"]
)
def test_a_providers_usage_wins(way: Blocking, events: list[bytes]) -> None:
    """Wherever it comes; the difference to our own count is told to who asks."""
    stream, chunks = asked(way, events)
    assert figures(stream) == (11, 7, "provider")
    account = stream.account(both=True)
    assert (account.counted, account.difference, account.source) == (3, 4, "provider")
    assert stream.reply().usage.completion_tokens == 7
    assert all(chunk.choices for chunk in chunks)


def test_a_providers_zero_wins(way: Blocking) -> None:
    """It is a figure like any other."""
    events = [chat(said("one two three")), chat(STOP), chat(usage=used(0, 0)), DONE]
    stream, _ = asked(way, events)
    assert figures(stream) == (0, 0, "provider")
    assert stream.account(both=True).difference == -3


def test_a_usage_chunk_passes_to_who_asked(way: Blocking) -> None:
    """And where the server sends none, it is of our own count."""
    stream, chunks = asked(way, PROVIDER[0], stream_options=INCLUDE)
    assert chunks[-1].choices == []
    assert chunks[-1].usage == stream.usage
    stream, chunks = asked(way, SPOKEN, stream_options=INCLUDE)
    assert (chunks[-1].choices, chunks[-1].usage) == ([], stream.usage)
    assert stream.usage.completion_tokens == 3


def test_usage_can_be_had_on_every_chunk(way: Blocking) -> None:
    """Also from a server that does not know how: then it is our count."""
    _, chunks = asked(way, SPOKEN, stream_options=RUNNING)
    assert [chunk.usage.completion_tokens for chunk in chunks] == [2, 3, 3]


def test_a_broken_stream_has_its_count(way: Blocking) -> None:
    """It is counted when read, and the error can be pickled."""
    with (
        Peer([*stream_answer([chat(said("one two"))], end=False), Drop()]) as peer,
        pytest.raises(StreamTruncated) as caught,
    ):
        way.read(opened(way, peer))
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  our own
    for partial in (caught.value.partial, again.partial):
        assert partial is not None
        assert (partial.usage.prompt_tokens, partial.usage.completion_tokens) == (8, 2)


def test_a_reader_that_leaves_knows_what_was_generated(way: Blocking) -> None:
    """A hang-up ends the generation; what came until then is counted."""
    pause = Pause()
    with Peer([*stream_answer(SPOKEN[:2], end=False), pause]) as peer:
        stream = opened(way, peer)

        def leave(stream: Any, _: Any) -> None:
            if stream.text == "one two three":
                closed = stream.close()
                if closed is not None:  # a coroutine that has nothing to wait for
                    with pytest.raises(StopIteration):
                        closed.send(None)

        way.read(stream, leave)
        assert way.gone(peer)
    assert (stream.stopped_by, stream.complete) == ("reader", False)
    assert figures(stream) == (8, 3, "counted")


def test_usage_may_be_read_from_another_thread() -> None:
    """Two thousand chunks pass while it reads: each figure is consistent, the last exact."""
    events = [*[chat(said(" word"))] * 2000, chat(STOP), DONE]
    over = threading.Event()
    seen: list[int] = []

    def read(stream: Any) -> None:
        while not over.is_set():
            usage = stream.usage
            assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
            seen.append(usage.completion_tokens)

    with Peer(stream_answer(events)) as peer:
        stream = opened(Blocking(), peer)
        reader = threading.Thread(target=read, args=(stream,))
        reader.start()
        try:
            Blocking().read(stream)
        finally:
            over.set()
            reader.join()
    assert seen == sorted(seen)
    assert stream.usage.completion_tokens == 2000


_UNREAD = """
import sys, deltaweir
client = deltaweir.Client(base_url=sys.argv[1], api_key="k")
ask = dict(model="gpt-4o", messages=[{"role": "user", "content": "hello"}])
with client.chat.completions.create(stream=True, **ask) as stream:
    for chunk in stream:
        pass
assert stream.text == "one two three" and stream.complete
assert not {"splintr", "genai_prices"} & set(sys.modules)
assert stream.usage.completion_tokens == 3
assert "splintr" in sys.modules
"""


def test_nothing_is_counted_unless_somebody_reads() -> None:
    """A program that asks for no figure loads no vocabulary and no prices."""
    with Peer(stream_answer(SPOKEN)) as peer:
        subprocess.run([sys.executable, "-c", _UNREAD, peer.base_url], check=True)


# --- budgets


@pytest.mark.parametrize("budget", [{"tokens": LIMIT}, "5tok", {"tokens": 9, "usd": None}])
@pytest.mark.parametrize("everywhere", ["all", "budget"])
def test_a_budget_cuts_within_a_delta(way: Blocking, budget: Any, everywhere: str) -> None:
    """At the token, at once; what lies beyond is told, and nothing of it is sent."""
    pause = Pause()
    answer = [*stream_answer([chat(said(LONG))], end=False), pause]
    limit = 9 if budget == {"tokens": 9, "usd": None} else LIMIT
    with Peer(answer) as peer:
        stream = opened(way, peer, **{everywhere: budget})
        chunks = way.read(stream)
        assert way.gone(peer)  # though the server has not ended
    assert "budget" not in json.loads(peer.requests[0].body)
    assert "max_tokens" not in json.loads(peer.requests[0].body)
    assert deltaweir.count_tokens(stream.text) == limit
    assert LONG.startswith(stream.text)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert (stream.finish_reason, stream.stopped_by, stream.complete) == ("length", "budget", False)
    assert stream.account().withheld == LONG_TOKENS - limit
    assert figures(stream) == (8, LONG_TOKENS, "counted")


def test_the_tightest_budget_wins(way: Blocking) -> None:
    """Of the client's and the call's, whichever way round; `with_options` sets the client's."""
    for client, call in (("5tok", "50tok"), ("50tok", "5tok")):
        stream, _ = asked(way, [chat(said(LONG)), chat(STOP), DONE], all=client, budget=call)
        assert stream.text == ONE_TO_FIVE
    with Peer(stream_answer([chat(said(LONG)), chat(STOP), DONE])) as peer:
        client = way.client(base_url=peer.base_url).with_options(budget="5tok")
        for more in ({}, {"budget": "50tok"}):
            create = client.chat.completions.create
            fields = {"model": "gpt-4o", "messages": HELLO, "stream": True, **more}
            stream = way.run(create, **fields)
            way.read(stream)
            assert stream.text == ONE_TO_FIVE
        free = client.with_options(budget=None).chat.completions.create
        stream = way.run(free, model="gpt-4o", messages=HELLO, stream=True)
        way.read(stream)
    assert (stream.text, stream.stopped_by) == (LONG, None)


def test_a_budget_that_is_not_reached_changes_nothing(way: Blocking) -> None:
    """The stream ends as its source says."""
    stream, chunks = asked(way, SPOKEN, budget="3tok")
    free, others = asked(way, SPOKEN)
    assert chunks == others
    assert (stream.stopped_by, stream.complete, stream.finish_reason) == (None, True, "stop")
    assert stream.account() == free.account()


def test_a_budget_of_nothing_lets_nothing_through(way: Blocking) -> None:
    """Zero is a limit."""
    stream, _ = asked(way, [chat(said(LONG)), chat(STOP), DONE], budget={"tokens": 0})
    assert (stream.text, stream.stopped_by) == ("", "budget")
    assert stream.account().withheld == LONG_TOKENS


def test_a_running_usage_does_not_cut_early(way: Blocking) -> None:
    """A provider that counts along is not taken for one that hides something."""
    events = [
        chat(said("one two three"), usage=used(8, 3)),
        chat(said(" four five"), usage=used(8, 5)),
        chat(STOP, usage=used(8, 5)),
        DONE,
    ]
    stream, _ = asked(way, events, budget="5tok")
    assert (stream.text, stream.complete) == (ONE_TO_FIVE, True)


def test_withheld_text_is_told_apart_from_hidden_reasoning(way: Blocking) -> None:
    """The provider's figure has both; only text that came was withheld."""
    events = [chat(said(LONG), usage=used(8, LONG_TOKENS + 2)), DONE]
    stream, _ = asked(way, events, budget="50tok")
    assert deltaweir.count_tokens(stream.text) == 48
    assert figures(stream) == (8, LONG_TOKENS + 2, "provider")
    assert stream.account().withheld == stream.account(both=True).withheld == LONG_TOKENS - 48


def test_the_frames_tell_of_a_cut(way: Blocking) -> None:
    """Usage, cost, who says so, who cut, and how much was withheld."""
    with Peer(stream_answer([chat(said(LONG)), chat(STOP), DONE])) as peer:
        frames = way.frames(opened(way, peer, budget="5tok"))
    assert frames[-1] == DONE
    read = [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:-1]]
    assert [frame["choices"][0]["finish_reason"] for frame in read] == [None, "length"]
    assert read[0]["choices"][0]["delta"]["content"] == ONE_TO_FIVE
    assert read[1]["deltaweir"] == {
        "usage": used(8, LONG_TOKENS),
        "cost_usd": None,
        "source": "counted",
        "stopped_by": "budget",
        "withheld_tokens": LONG_TOKENS - LIMIT,
    }
    assert all("usage" not in frame for frame in read)


def test_the_frames_of_a_cut_have_a_usage_chunk_where_it_was_asked(way: Blocking) -> None:
    """Which then carries the account, and not the finish chunk."""
    with Peer(stream_answer([chat(said(LONG)), chat(STOP), DONE])) as peer:
        frames = way.frames(opened(way, peer, budget="5tok", stream_options=INCLUDE))
    last = json.loads(frames[-2].removeprefix(b"data: "))
    assert (last["choices"], last["usage"]) == ([], used(8, LONG_TOKENS))
    assert last["deltaweir"]["withheld_tokens"] == LONG_TOKENS - LIMIT
    assert b"deltaweir" not in b"".join(frames[:-2])


@pytest.mark.parametrize("fields", [{}, {"budget": "5tok"}], ids=["whole", "cut"])
def test_no_chunk_of_a_text_completion_is_without_choices(
    way: Blocking, fields: dict[str, Any]
) -> None:
    """`resp.choices[0].text` works on each, also after a cut, whatever the server sends."""
    empty = chat(usage=used(8, 9))
    events = [written("one two "), empty, written(LONG), written("", "stop"), empty, DONE]
    stream, chunks = asked(way, events, prompt="hello", **fields)
    assert "".join(chunk.choices[0].text for chunk in chunks) == stream.text
    assert chunks[-1].choices[0].finish_reason == ("length" if fields else "stop")
    with Peer([*stream_answer(events[:3], end=False), Drop()]) as peer:
        shown: list[str] = []
        with pytest.raises(StreamTruncated):
            way.read(
                opened(way, peer, prompt="hello"),
                lambda _, chunk: shown.append(chunk.choices[0].text),
            )
    assert "".join(shown) == "one two " + LONG


def test_a_budget_is_for_all_choices_together(way: Blocking) -> None:
    """Each that is open ends with the one that passed it."""
    events = [
        chat(said("one two"), said("one", index=1)),
        chat(said(LONG, index=1)),
        chat(said(" never")),
    ]
    stream, chunks = asked(way, events, budget="5tok")
    contents = [choice.message.content for choice in stream.reply().choices]
    assert sum(map(deltaweir.count_tokens, contents)) == LIMIT
    reasons = {
        choice.index: choice.finish_reason
        for chunk in chunks
        for choice in chunk.choices
        if choice.finish_reason
    }
    assert reasons == {0: "length", 1: "length"}
    assert contents[0] == "one two"


def test_calls_and_reasoning_are_cut_too(way: Blocking) -> None:
    """All that is generated counts, and a name that does not fit is not sent in part."""
    call = {"index": 0, "id": "c", "function": {"name": "weather", "arguments": LONG}}
    thought = chat({"index": 0, "delta": {"reasoning_content": "one two"}})
    stream, _ = asked(way, [thought, chat(said(LONG))], budget="5tok")
    assert (stream.text, stream.stopped_by) == (
        "one two three"[:0] + LONG[: len("one two three")],
        "budget",
    )
    stream, chunks = asked(
        way, [thought, chat({"index": 0, "delta": {"tool_calls": [call]}})], budget="5tok"
    )
    (made,) = stream.reply().choices[0].message.tool_calls
    assert made.function.name == "weather"
    assert deltaweir.count_tokens(made.function.arguments) == 2
    named = {"index": 0, "function": {"name": "a_name_of_many_tokens", "arguments": "{}"}}
    stream, chunks = asked(
        way, [thought, chat({"index": 0, "delta": {"tool_calls": [named]}})], budget="4tok"
    )
    assert not any("a_name" in chunk.model_dump_json() for chunk in chunks)
    assert stream.account().withheld == deltaweir.count_tokens("a_name_of_many_tokens") + 1


@pytest.mark.parametrize("chatting", [True, False])
def test_a_whole_reply_is_cut_too(way: Blocking, chatting: bool) -> None:
    """Only a stream can be stopped, so one is asked for; the reply is one in one piece."""
    fields: dict[str, Any] = {} if chatting else {"prompt": "hello"}
    events = [chat(said(LONG)), chat(STOP)] if chatting else [written(LONG), written("", "stop")]
    with Peer([*stream_answer(events[:1], end=False), Pause()]) as peer:
        reply = opened(way, peer, stream=False, budget="5tok", **fields)
        assert way.gone(peer)
    assert json.loads(peer.requests[0].body)["stream"] is True
    choice = reply.choices[0]
    assert (choice.message.content if chatting else choice.text) == ONE_TO_FIVE
    assert choice.finish_reason == "length"
    assert reply.object == ("chat.completion" if chatting else "text_completion")
    assert reply.usage.completion_tokens == LONG_TOKENS


def test_a_whole_reply_within_its_budget_has_the_providers_figures(way: Blocking) -> None:
    """The stream that it is made of is asked for them; a program's own options are kept."""
    events = [chat(said("one")), chat(STOP), chat(usage=used(70, 9)), DONE]
    with Peer(stream_answer(events), stream_answer(events)) as peer:
        reply = opened(way, peer, stream=False, budget="50tok")
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (70, 9)
        own = {"include_usage": False}
        opened(way, peer, stream=False, budget="50tok", stream_options=own)
    sent = [json.loads(request.body)["stream_options"] for request in peer.requests]
    assert sent == [{"include_usage": True}, own]


def test_money_on_a_price_nobody_knows_is_refused(way: Blocking) -> None:
    """Before a connection is opened, streamed or whole; so is what is no budget."""
    with Peer(stream_answer(SPOKEN)) as peer:
        for budget in ({"usd": 1}, "1usd", "lots"):
            for stream in (True, False):
                with pytest.raises(InvalidRequest) as caught:
                    opened(way, peer, budget=budget, stream=stream)
                assert caught.value.param == "budget"
        with pytest.raises(InvalidRequest):
            way.client(base_url=peer.base_url, budget="lots")
    assert peer.connections == 0


def test_the_classic_surface_has_budgets() -> None:
    """The cut chunk says no more than may be shown, and has the form of its endpoint."""
    chats = stream_answer([chat(said(LONG)), chat(STOP), DONE])
    texts = stream_answer([written(LONG), written("", "stop"), DONE])
    with Peer(chats, chats, texts, texts) as peer:
        call: dict[str, Any] = {"api_base": peer.base_url, "api_key": "k", "model": "gpt-4o"}
        call["budget"] = "5tok"
        create: Any = deltaweir.ChatCompletion.create
        chunks = list(create(messages=HELLO, stream=True, **call))
        reply = create(messages=HELLO, **call)
        assert [chunk.choices[0].delta.get("content") for chunk in chunks] == [ONE_TO_FIVE, None]
        assert reply.choices[0].message.content == ONE_TO_FIVE
        complete: Any = deltaweir.Completion.create
        pieces = list(complete(prompt="hello", stream=True, **call))
        assert [piece.choices[0].text for piece in pieces] == [ONE_TO_FIVE, ""]
        assert complete(prompt="hello", **call).choices[0].text == ONE_TO_FIVE
    ends = [*chunks[-1:], reply, *pieces[-1:]]
    assert [one.choices[0].finish_reason for one in ends] == ["length"] * 3
    assert "budget" not in json.loads(peer.requests[0].body)
    for pool in classic_calls._Process.pools.values():
        pool.close()


async def test_the_classic_surface_awaited_has_budgets() -> None:
    """The same, awaited."""
    with Peer(stream_answer([written(LONG), written("", "stop"), DONE])) as peer:
        call: dict[str, Any] = {"api_base": peer.base_url, "api_key": "k", "model": "gpt-4o"}
        create: Any = deltaweir.Completion.acreate
        stream = await create(prompt="hello", stream=True, budget="5tok", **call)
        assert [chunk.choices[0].text async for chunk in stream] == [ONE_TO_FIVE, ""]
        reply = await create(prompt="hello", budget="5tok", **call)
        assert reply.choices[0].text == ONE_TO_FIVE


# --- the embedded model


def embedded(way: Blocking, **fields: Any) -> Any:
    """Ask the small model, which never ends by itself."""
    client = way.client()
    fields = {"model": "smollm2", "temperature": 0, "logit_bias": {"2": -100, "0": -100}, **fields}
    if "prompt" in fields:
        return way.run(client.completions.create, **fields)
    return way.run(client.chat.completions.create, **{"messages": HELLO, **fields})


BOTH = pytest.mark.parametrize("kind", [{}, {"prompt": STORY}], ids=["chat", "text"])


@BOTH
def test_an_embedded_budget_is_exact(way: Blocking, kind: dict[str, Any], smollm2: Weights) -> None:
    """By the engine's own tokens, of which none is made in vain."""
    stream = embedded(way, stream=True, budget="20tok", max_tokens=64, **kind)
    chunks = way.read(stream)
    account = stream.account()
    assert (account.usage.completion_tokens, account.source) == (20, "engine")
    assert (account.withheld, account.cost_usd, stream.cost) == (0, 0.0, 0.0)
    assert (stream.stopped_by, stream.finish_reason, stream.complete) == ("budget", "length", False)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert deltaweir.count_tokens(stream.text, model="smollm2") <= 20


@BOTH
def test_an_embedded_budget_holds_for_all_choices(
    way: Blocking, kind: dict[str, Any], smollm2: Weights
) -> None:
    """Two choices share it, and end together."""
    stream = embedded(way, stream=True, budget="20tok", max_tokens=64, n=2, **kind)
    chunks = way.read(stream)
    account = stream.account()
    assert account.usage.completion_tokens - account.withheld == 20
    assert stream.stopped_by == "budget"
    ends = [c.index for chunk in chunks for c in chunk.choices if c.finish_reason == "length"]
    assert sorted(ends) == [0, 1]


@BOTH
def test_an_embedded_budget_may_be_larger_than_the_answer(
    way: Blocking, kind: dict[str, Any], smollm2: Weights
) -> None:
    """Then `max_tokens` ends the answer as ever, and the answer is complete."""
    stream = embedded(way, stream=True, budget="20tok", max_tokens=6, **kind)
    way.read(stream)
    assert (stream.stopped_by, stream.finish_reason, stream.complete) == (None, "length", True)
    assert stream.usage.completion_tokens == 6
    stream = embedded(way, stream=True, budget="3000tok", stop=[" "], max_tokens=50, **kind)
    way.read(stream)
    assert (stream.stopped_by, stream.finish_reason, stream.complete) == (None, "stop", True)


def test_an_embedded_budget_of_nothing(way: Blocking, smollm2: Weights) -> None:
    """No text is shown at all."""
    stream = embedded(way, stream=True, budget={"tokens": 0})
    way.read(stream)
    assert (stream.text, stream.finish_reason, stream.stopped_by) == ("", "length", "budget")


def test_nothing_is_what_an_embedded_answer_costs(way: Blocking, smollm2: Weights) -> None:
    """So that no sum of money, not even none, ever cuts one."""
    stream = embedded(way, stream=True, budget={"usd": 0}, max_tokens=4)
    way.read(stream)
    assert (stream.usage.completion_tokens, stream.complete) == (4, True)


@BOTH
def test_an_embedded_whole_reply_has_a_budget(
    way: Blocking, kind: dict[str, Any], smollm2: Weights
) -> None:
    """It equals the stream's, at temperature 0."""
    stream = embedded(way, stream=True, budget="7tok", **kind)
    way.read(stream)
    reply = embedded(way, budget="7tok", **kind)
    assert reply.choices == stream.reply().choices
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens == 7


@BOTH
@pytest.mark.parametrize("more", [{}, INCLUDE], ids=["running", "and at the end"])
@pytest.mark.parametrize("budget", [None, "5tok"])
def test_the_last_running_count_is_the_final_usage(
    way: Blocking, kind: dict[str, Any], more: dict[str, Any], budget: Any, smollm2: Weights
) -> None:
    """On every chunk, the role chunk included; never less than before."""
    stream = embedded(
        way, stream=True, max_tokens=8, stream_options={**RUNNING, **more}, budget=budget, **kind
    )
    chunks = way.read(stream)
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == sorted(counts)
    assert chunks[-1].usage == stream.usage
    assert counts[-1] == (8 if budget is None else 5)
    assert (chunks[-1].choices == []) == bool(more)


@pytest.mark.parametrize("tokens", range(1, 9))
def test_tokens_that_show_no_text_count_as_well(
    way: Blocking, tokens: int, smollm2: Weights
) -> None:
    """An answer of emoji, several tokens each, is cut where its last character is half there."""
    hello = [{"role": "user", "content": "Say hello"}]
    stream = embedded(way, stream=True, messages=hello, budget={"tokens": tokens})
    chunks = way.read(stream)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert (stream.stopped_by, stream.complete) == ("budget", False)
    assert stream.usage.completion_tokens == tokens


def test_reasoning_by_its_other_name_is_counted_and_limited(way: Blocking) -> None:
    """OpenRouter, Groq and newer vLLM say ``reasoning``; a budget holds for it as well."""
    thoughts = [chat({"index": 0, "delta": {"reasoning": " one"}}) for _ in range(9)]
    stream, chunks = asked(way, [*thoughts, chat(STOP), DONE])
    assert stream.usage.completion_tokens == deltaweir.count_tokens(" one" * 9, model="gpt-4o")
    assert stream.reply().choices[0].message.reasoning == " one" * 9
    stream, chunks = asked(way, [*thoughts, chat(STOP), DONE], budget="3tok")
    shown = [choice.delta.get("reasoning") for one in chunks for choice in one.choices]
    assert "".join(text for text in shown if text) == " one" * 3
    assert stream.stopped_by == "budget"


def test_the_best_of_several_has_no_budget(way: Blocking) -> None:
    """It is refused before anything is sent: a budget needs a stream."""
    with Peer() as peer, pytest.raises(InvalidRequest, match="best_of"):
        opened(way, peer, stream=False, prompt="a", best_of=2, budget="5tok")
    assert peer.requests == []
