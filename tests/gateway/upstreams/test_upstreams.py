"""Streams and replies of a good upstream, as a client gets them, and as the ledger has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.gateway.conftest import CHAT, TEXT
from tests.gateway.fronts import KEY, PROMPT, Front, fronted

from deltaweir.gateway.config.guards import GuardConfig
from deltaweir.testing import Peer, chat_events, error_answer, json_answer, stream_answer
from deltaweir.wire.sse import DONE, encode

HELLO = stream_answer(chat_events("Hel", "l\u00f6", usage=(3, 2)))
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted(guards={"secret": GuardConfig(preset="secrets")}) as one:
        yield one


def chunk(choices: list[Any], **more: Any) -> dict[str, Any]:
    """Return a chunk of a chat completion."""
    base = {"id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 7, "model": "gpt"}
    return {**base, "choices": choices, **more}


def choice(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    """Return one choice of a chunk."""
    return {"index": 0, "delta": delta, "finish_reason": finish, **more}


def streamed(*chunks: dict[str, Any] | bytes) -> list[Any]:
    """Return the answer that streams these chunks."""
    raw = [one if isinstance(one, bytes) else msgspec.json.encode(one) for one in chunks]
    return stream_answer([*map(encode, raw), DONE])


def test_a_stream_goes_through_with_the_account_of_its_provider(front: Front) -> None:
    """Role first, one id, content, a finish chunk with the provider's own usage, [DONE]."""
    with Peer(HELLO) as peer:
        front.before(peer)
        answer = front.ask()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-request-id"].startswith("req_")
    deltas = [one["choices"][0]["delta"] for one in answer.chunks]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "l\u00f6"},
        {},
    ]
    assert {one["id"] for one in answer.chunks} == {"chatcmpl-scripted"}
    assert (answer.finish_reasons, answer.done) == (["stop"], True)
    assert answer.chunks[-1]["deltaweir"] == {
        "usage": USAGE,
        "cost_usd": None,
        "source": "provider",
    }
    row = front.row(answer)
    assert row.closed is not None
    assert (row.closed.ending, row.closed.finish_reason) == ("complete", "stop")
    tally = row.closed.tally
    assert (tally.prompt_tokens, tally.completion_tokens, tally.source) == (3, 2, "provider")
    assert front.attempts(answer) == [("u0", "complete")]


def test_a_text_completion_goes_through(front: Front) -> None:
    """The older route is streamed to the upstream's own, usage kept from who did not ask."""
    base = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "gpt"}
    parts = [
        {**base, "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": end}]}
        for text, end in ((" two", None), (" three", None), ("", "length"))
    ]
    with Peer(streamed(*parts, {**base, "choices": [], "usage": USAGE})) as peer:
        front.before(peer)
        answer = front.ask(path=TEXT)
    assert peer.requests[0].target == "/v1/completions"
    assert (answer.text, answer.finish_reasons, answer.done) == (" two three", ["length"], True)
    assert len(answer.chunks) == 3
    assert answer.chunks[-1]["deltaweir"]["usage"] == USAGE
    opened = front.row(answer).opened
    assert opened is not None
    assert opened.endpoint == "text"


def test_usage_is_sent_to_who_asked(front: Front) -> None:
    """With include_usage the last chunk has no choices, the usage, and our account."""
    with Peer(HELLO) as peer:
        front.before(peer)
        answer = front.ask(stream_options={"include_usage": True})
    *chunks, last = answer.chunks
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert last["deltaweir"]["usage"] == USAGE
    assert not any("deltaweir" in one for one in chunks)


def test_the_null_usage_that_our_asking_causes_may_pass(front: Front) -> None:
    """Chunks with ``usage: null`` go out as they came; the chunk with the usage does not."""
    parts = [chunk([choice({"content": "a"})], usage=None), chunk([choice({}, "stop")], usage=None)]
    with Peer(streamed(*parts, chunk([], usage=USAGE))) as peer:
        front.before(peer)
        answer = front.ask()
    assert json.loads(peer.requests[0].body)["stream_options"] == {"include_usage": True}
    assert [one["usage"] for one in answer.chunks] == [None, None]
    assert answer.chunks[-1]["deltaweir"]["usage"] == USAGE


@pytest.mark.parametrize(
    "last",
    [
        [chunk([choice({}, "stop")], usage=USAGE)],
        [chunk([choice({}, "stop")]), {**chunk([]), "choices": None, "usage": USAGE}],
    ],
)
def test_usage_in_unusual_places_is_read(front: Front, last: list[Any]) -> None:
    """On the finish chunk, or on one whose choices are null, it is the provider's account."""
    with Peer(streamed(chunk([choice({"content": "a"})]), *last)) as peer:
        front.before(peer)
        answer = front.ask()
    assert (answer.text, answer.finish_reasons, answer.done) == ("a", ["stop"], True)
    assert answer.chunks[-1]["deltaweir"]["usage"] == USAGE
    assert all(one["choices"] for one in answer.chunks)


def test_usage_on_every_chunk_for_who_asks_for_it(front: Front) -> None:
    """continuous_usage_stats is ours: it is not passed on, and each chunk has what was used."""
    with Peer(HELLO) as peer:
        front.before(peer)
        options = {"include_usage": True, "continuous_usage_stats": True}
        answer = front.ask(stream_options=options)
    assert json.loads(peer.requests[0].body)["stream_options"] == {"include_usage": True}
    counts = [one["usage"]["completion_tokens"] for one in answer.chunks]
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] == 2


@pytest.mark.parametrize("price", [{"input": 1, "output": 1000}, None])
@pytest.mark.parametrize("asked", [{}, {"include_usage": True}])
def test_its_cost_on_every_chunk_too(front: Front, price: Any, asked: dict[str, Any]) -> None:
    """By what has come until then, null where no price is known; the account where it always is."""
    with Peer(HELLO) as peer:
        front.before(peer, model={} if price is None else {"price": price})
        answer = front.ask(stream_options={"continuous_usage_stats": True, **asked})
    *chunks, last = answer.chunks
    for one in chunks:
        tokens = one["usage"]["prompt_tokens"] + 1000 * one["usage"]["completion_tokens"]
        cost = None if price is None else pytest.approx(tokens / 10**6)
        assert one["deltaweir"] == {"cost_usd": cost}
    assert {"usage", "source"} <= set(last["deltaweir"])
    assert (answer.done, "".join(answer.finish_reasons)) == (True, "stop")


def test_without_annotations_there_is_no_cost() -> None:
    """Usage is OpenAI's own, the cost is ours."""
    with fronted(annotate=False) as front, Peer(HELLO) as peer:
        front.before(peer)
        answer = front.ask(stream_options={"continuous_usage_stats": True})
    assert all("usage" in one and "deltaweir" not in one for one in answer.chunks)


def test_a_provider_without_usage_is_counted(front: Front) -> None:
    """Where no usage comes the account is our own count, and says so."""
    with Peer(stream_answer(chat_events("Hel", "lo"))) as peer:
        front.before(peer, model={"upstream_model": "gpt-4o"})
        answer = front.ask()
    account = answer.chunks[-1]["deltaweir"]
    assert (account["usage"]["completion_tokens"], account["source"]) == (1, "counted")
    assert account["usage"]["prompt_tokens"] > 0
    tally = front.row(answer).tally
    assert (tally.completion_tokens, tally.counted_tokens) == (1, 1)


def test_unchanged_chunks_keep_their_bytes(front: Front) -> None:
    """What nothing was taken from goes out byte for byte, unknown fields and odd spaces too."""
    odd = [
        b'{"id": "a",  "object":"chat.completion.chunk","created":1,"model":"m","x":{"y":[1.0]},'
        b'"choices":[{"index":0,"delta":{"content":"%b","new":1e2},"finish_reason":null}]}' % text
        for text in (b"one", b"tw\\u00f6", "dr\u00e9i".encode(), b'\\"\\n')
    ]
    with Peer(streamed(*odd, chunk([choice({}, "stop")]))) as peer:
        front.before(peer)
        answer = front.ask()
    assert answer.body.startswith(b"".join(map(encode, odd)))
    assert answer.text == 'onetw\u00f6dr\u00e9i"\n'


def test_unknown_fields_of_a_request_go_through(front: Front) -> None:
    """What nobody here knows reaches the upstream; what is ours does not."""
    more: dict[str, Any] = {
        "top_k": 7,
        "vendor": {"a": [None, 1.5]},
        "temperature": 0.25,
        "seed": 2**40,
    }
    with Peer(HELLO) as peer:
        front.before(peer)
        front.ask(**more, guard="x", budget="1tok", deltaweir={"on_disconnect": "cancel"})
    assert json.loads(peer.requests[0].body) == {
        "model": "m",
        "messages": PROMPT,
        "stream": True,
        "stream_options": {"include_usage": True},
        **more,
    }


def test_no_secret_of_either_side_reaches_the_other(front: Front) -> None:
    """The client's key, cookies and headers stay here; the upstream gets its own key."""
    theirs = {"Authorization": "Bearer client-key", "Cookie": "session=1", "X-Other": "2"}
    with Peer(HELLO) as peer:
        front.before(peer)
        answer = front.ask(headers={**theirs, "X-Deltaweir": '{"budget": {"tokens": 9}}'})
    (sent,) = peer.requests
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    for secret in (b"client-key", b"session", b"X-Other", b"x-other", b"deltaweir:", b"budget"):
        assert secret not in sent.raw
    assert KEY.encode() not in answer.body
    assert KEY not in str(answer.headers)


def test_a_key_that_an_upstream_repeats_is_hidden(front: Front) -> None:
    """An upstream's error that shows its key is told without it."""
    with Peer(error_answer(400, f"bad key {KEY}")) as peer:
        front.before(peer)
        answer = front.ask()
    assert answer.status == 400
    assert KEY.encode() not in answer.body


def test_query_and_headers_of_the_upstream(front: Front) -> None:
    """Azure's api-version and headers of the configuration are sent with each request."""
    with Peer(HELLO) as peer:
        front.before(peer, query={"api-version": "2026-01-01"}, headers={"X-Team": "blue"})
        assert front.ask().done
    (sent,) = peer.requests
    assert sent.target == "/v1/chat/completions?api-version=2026-01-01"
    assert sent.headers["x-team"] == "blue"


@pytest.mark.parametrize(
    ("table", "asked", "sent"),
    [
        ({}, "m", "m"),
        ({"upstream_model": "gpt-4o"}, "m", "gpt-4o"),
        ({"name": "openai/*"}, "openai/gpt-4o", "gpt-4o"),
        ({"name": "*", "upstream_model": "vendor/*"}, "any/thing", "vendor/any/thing"),
    ],
)
def test_the_name_that_an_upstream_is_asked_for(
    front: Front, table: dict[str, Any], asked: str, sent: str
) -> None:
    """The configuration's name for it, or what a star stands for; the ledger keeps both."""
    with Peer(HELLO) as peer:
        front.before(peer, model=table)
        answer = front.ask(model=asked)
    assert json.loads(peer.requests[0].body)["model"] == sent
    opened = front.row(answer).opened
    assert opened is not None
    assert (opened.model, opened.upstream_model) == (asked, None if asked == sent else sent)


def test_two_choices_interleave(front: Front) -> None:
    """With n=2 each choice keeps its order and its end; the account rides on the last end."""
    parts = [
        chunk([{"index": index, "delta": {"content": text}, "finish_reason": None}])
        for index, text in ((0, "a"), (1, "x"), (1, "y"), (0, "b"))
    ]
    ends = [chunk([{"index": i, "delta": {}, "finish_reason": "stop"}]) for i in (1, 0)]
    with Peer(streamed(*parts, *ends, chunk([], usage=USAGE))) as peer:
        front.before(peer)
        answer = front.ask(n=2)
    said = {0: "", 1: ""}
    for one in answer.chunks:
        said[one["choices"][0]["index"]] += one["choices"][0]["delta"].get("content", "")
    assert (said, answer.finish_reasons, answer.done) == ({0: "ab", 1: "xy"}, ["stop"] * 2, True)
    assert answer.chunks[-1]["deltaweir"]["usage"] == USAGE


TOOL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
LOGPROB = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
RICH = [
    chunk([choice({"role": "assistant", "content": None, "reasoning_content": "hm"})]),
    chunk([choice({"content": "a"}, logprobs={"content": [LOGPROB], "refusal": None})]),
    chunk([choice({"refusal": "no"})], system_fingerprint="fp", service_tier="x"),
    chunk([choice({"tool_calls": [TOOL]})]),
    chunk([choice({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]})]),
    chunk([choice({"function_call": {"name": "g", "arguments": "{}"}})], obfuscation="abc"),
    chunk([choice({"audio": {"data": "AAA="}})]),
]


def test_everything_a_chunk_may_bring_goes_through(front: Front) -> None:
    """Reasoning, logprobs, refusals, tools, functions, audio: as they came."""
    with Peer(streamed(*RICH, chunk([choice({}, "tool_calls")]))) as peer:
        front.before(peer)
        answer = front.ask(tools=[{"type": "function", "function": {"name": "f"}}])
    assert answer.chunks[:-1] == RICH
    assert answer.finish_reasons == ["tool_calls"]


REPLY = {
    "id": "chatcmpl-w",
    "object": "chat.completion",
    "created": 3,
    "model": "gpt",
    "vendor": {"x": 1},
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi.", "mood": "good"},
            "finish_reason": "stop",
            "score": 0.5,
        }
    ],
    "usage": USAGE,
}


def test_a_whole_reply_keeps_what_nobody_here_knows(front: Front) -> None:
    """It is asked whole of the upstream, and answered with our account beside its fields."""
    with Peer(json_answer(REPLY)) as peer:
        front.before(peer)
        answer = front.ask(stream=False)
    assert json.loads(peer.requests[0].body) == {"model": "m", "messages": PROMPT, "stream": False}
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    told = answer.json
    assert told.pop("deltaweir") == {"usage": USAGE, "cost_usd": None, "source": "provider"}
    logprobs = told["choices"][0].pop("logprobs", None)
    assert logprobs is None
    assert told == REPLY
    row = front.row(answer)
    assert row.closed is not None
    assert (row.closed.ending, row.tally.completion_tokens) == ("complete", 2)
    assert row.opened is not None
    assert not row.opened.streamed


def test_a_whole_reply_that_may_be_cut_is_streamed_behind(front: Front) -> None:
    """With a budget the upstream is asked for a stream, of which one reply is put together."""
    told = [
        chunk([choice({"role": "assistant", "content": ""})], vendor=1),
        chunk([choice({"content": "Hel", "mood": "good"})]),
        chunk([choice({"content": "lo"})]),
        chunk([choice({}, "stop")]),
        chunk([], usage=USAGE),
    ]
    with Peer(streamed(*told)) as peer:
        front.before(peer)
        answer = front.ask(stream=False, deltaweir={"budget": {"tokens": 50}})
    assert json.loads(peer.requests[0].body)["stream"] is True
    (only,) = answer.json["choices"]
    assert answer.json["object"] == "chat.completion"
    assert (only["message"]["content"], only["finish_reason"]) == ("Hello", "stop")
    assert answer.json["usage"] == USAGE
    assert answer.headers["content-type"] == "application/json"


def test_a_whole_reply_is_cut_by_its_budget(front: Front) -> None:
    """The reply ends at the token with finish_reason length, and the upstream is left at once."""
    words = [" apple"] * 30
    with Peer(stream_answer(chat_events(*words), end=False)) as peer:
        front.before(peer, model={"upstream_model": "gpt-4o"})
        answer = front.ask(stream=False, deltaweir={"budget": {"tokens": 5}})
        assert peer.wait_gone(timeout_s=1)
    (only,) = answer.json["choices"]
    assert (only["message"]["content"], only["finish_reason"]) == (" apple" * 5, "length")
    assert answer.json["deltaweir"]["stopped_by"] == "budget"
    assert front.attempts(answer) == [("u0", "budget")]


def test_a_stream_is_cut_by_its_budget(front: Front) -> None:
    """At the token: length, stopped_by budget, [DONE]; what was generated till then is booked."""
    with Peer(stream_answer(chat_events(*[" apple"] * 30), end=False)) as peer:
        front.before(peer, model={"upstream_model": "gpt-4o", "budget": "5tok"})
        answer = front.ask()
        assert peer.wait_gone(timeout_s=1)
    assert (answer.text, answer.finish_reasons, answer.done) == (" apple" * 5, ["length"], True)
    assert answer.chunks[-1]["deltaweir"]["stopped_by"] == "budget"
    row = front.row(answer)
    assert row.closed is not None
    assert (row.closed.ending, row.tally.completion_tokens) == ("budget", 6)  # one delta passed it
    assert row.tally.source == "counted"


def test_a_guard_takes_out_what_chunks_part(front: Front) -> None:
    """What a rule covers never leaves, though it came in pieces; the rest keeps its place."""
    parts = ["The key is AKIA", "ABCDEFGH", "IJKLMNOP", ", keep it."]
    with Peer(stream_answer(chat_events(*parts))) as peer:
        front.before(peer, model={"guard": "secret"})
        answer = front.ask()
        whole = front.ask(stream=False)
    assert "ABCDEFGH" not in answer.body.decode()
    assert answer.text.startswith("The key is [REDACTED:")
    assert answer.text.endswith(", keep it.")
    assert whole.json["choices"][0]["message"]["content"] == answer.text
    assert answer.chunks[-1]["deltaweir"]["guard"]


def test_a_price_of_the_configuration_is_told_and_booked(front: Front) -> None:
    """Where the price is known, the cost stands in the account and in the row."""
    with Peer(HELLO) as peer:
        front.before(peer, model={"price": {"input": 1.0, "output": 10.0}})
        answer = front.ask()
    assert answer.chunks[-1]["deltaweir"]["cost_usd"] == pytest.approx(23e-6)
    assert front.row(answer).tally.cost_pico == 23_000_000


def test_annotations_may_be_left_out() -> None:
    """With ``annotate = false`` chunks and replies are the provider's alone."""
    with fronted(annotate=False) as front, Peer(HELLO, json_answer(REPLY)) as peer:
        front.before(peer)
        stream, whole = front.ask(), front.ask(stream=False)
        assert front.row(stream).tally.completion_tokens == 2
    assert b"deltaweir" not in stream.body + whole.body
    assert stream.done


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_without_a_model_gets_the_first(front: Front, *, stream: bool) -> None:
    """The first model of the configuration is asked, by its own name."""
    answers = {True: HELLO, False: json_answer(REPLY)}
    with Peer(answers[stream]) as peer:
        front.before(peer)
        answer = front.ask(path=CHAT, stream=stream, model=None)
    assert answer.status == 200
    assert json.loads(peer.requests[0].body)["model"] == "m"
