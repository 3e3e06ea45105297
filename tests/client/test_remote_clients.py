"""The clients and the classic surface against a provider: what is sent, and what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import deltaweir
from deltaweir.client import classic_calls
from deltaweir.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    InvalidRequest,
    RateLimited,
    StallTimeout,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.testing import (
    Drop,
    Pause,
    Peer,
    chat_events,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
    unused_port,
)

HELLO = [{"role": "user", "content": "hello"}]
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    "extension": {"kept": True},
}
MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "x"}]}


class Blocking:
    """A program that blocks."""

    def client(self, **options: Any) -> Any:
        """Return a client."""
        return deltaweir.Client(**options)

    def call(self, function: Callable[..., Any], **fields: Any) -> Any:
        """Make a call and wait for it."""
        return function(**fields)

    def read(self, stream: Any) -> list[Any]:
        """Read a stream to its end."""
        with stream:
            return list(stream)


class Awaiting(Blocking):
    """An asyncio program."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._run = runner.run

    def client(self, **options: Any) -> Any:
        """Return a client."""
        return deltaweir.AsyncClient(**options)

    def call(self, function: Callable[..., Any], **fields: Any) -> Any:
        """Make a call and await it."""
        return self._run(function(**fields))

    def read(self, stream: Any) -> list[Any]:
        """Read a stream to its end."""

        async def read() -> list[Any]:
            async with stream:
                return [chunk async for chunk in stream]

        return self._run(read())


@pytest.fixture(params=["blocking", "awaiting"])
def way(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    """Return each way of asking."""
    if request.param == "blocking":
        yield Blocking()
        return
    with asyncio.Runner() as runner:
        yield Awaiting(runner)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no provider or proxy of the machine's environment into the tests."""
    for name in (
        "DELTAWEIR_API_KEY",
        "DELTAWEIR_BASE_URL",
        "DELTAWEIR_MODEL",
        "OPENAI_API_BASE",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "HTTP_PROXY",
        "http_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


def asked(way: Blocking, *answers: Any, stream: bool = True, **options: Any) -> tuple[Any, Peer]:
    """Ask a peer once, and return what came and the peer."""
    with Peer(*answers) as peer:
        client = way.client(base_url=peer.base_url, api_key="secret-key", **options)
        got = way.call(client.chat.completions.create, model="m", messages=HELLO, stream=stream)
        if stream:
            way.read(got)
        close = client.close()
        if close is not None:
            way.call(lambda: close)
        return got, peer


def test_a_stream(way: Blocking) -> None:
    """The request is OpenAI's, text and end come through; the count is ours, the cost unknown."""
    stream, peer = asked(way, stream_answer(chat_events("Hel", "lo")))
    assert (stream.text, stream.finish_reason, stream.complete) == ("Hello", "stop", True)
    assert (stream.cost, stream.account().source) == (None, "estimated")
    assert (stream.usage.prompt_tokens, stream.usage.completion_tokens) == (8, 1)
    sent = peer.requests[0]
    assert (sent.method, sent.target.endswith("/chat/completions")) == ("POST", True)
    assert json.loads(sent.body) == {"messages": HELLO, "model": "m", "stream": True}
    assert sent.headers["authorization"] == "Bearer secret-key"
    assert sent.headers["accept"] == "text/event-stream"
    assert sent.headers["user-agent"] == f"deltaweir/{deltaweir.__version__}"
    assert sent.headers["x-client-request-id"] == stream.request_id


def test_a_whole_reply(way: Blocking) -> None:
    """A whole reply is typed, and what is not known of it is kept."""
    reply, peer = asked(way, json_answer(REPLY), stream=False)
    assert reply.choices[0].message.content == "Hi"
    assert reply.usage.total_tokens == 3
    assert reply.extension == {"kept": True}
    assert peer.requests[0].headers["accept"] == "application/json"


def test_options_of_the_client_reach_every_request(way: Blocking) -> None:
    """Headers, query, organisation and project are sent; a call's own win."""
    with Peer(stream_answer(chat_events("a"))) as peer:
        client = way.client(
            base_url=peer.base_url,
            organization="org",
            project="prj",
            default_headers={"X-Mine": "1", "X-Other": "1"},
            default_query={"api-version": "7"},
        )
        way.read(
            way.call(
                client.chat.completions.create,
                model="m",
                messages=HELLO,
                stream=True,
                extra_headers={"x-other": "2"},
                extra_query={"q": "z"},
                extra_body={"top_k": 5},
            )
        )
        close = client.close()
        if close is not None:
            way.call(lambda: close)
    sent = peer.requests[0]
    assert sent.target.endswith("/chat/completions?api-version=7&q=z")
    names = ("openai-organization", "openai-project", "x-mine", "x-other")
    assert [sent.headers[name] for name in names] == ["org", "prj", "1", "2"]
    assert json.loads(sent.body)["top_k"] == 5
    assert "authorization" not in sent.headers


def test_a_connection_is_used_again(way: Blocking) -> None:
    """Two streams of one client go over one connection, also by `with_options`."""
    with Peer(stream_answer(chat_events("a"))) as peer:
        client = way.client(base_url=peer.base_url)
        for one in (client, client.with_options(timeout=30)):
            way.read(way.call(one.chat.completions.create, model="m", messages=HELLO, stream=True))
        close = client.close()
        if close is not None:
            way.call(lambda: close)
    assert [request.connection for request in peer.requests] == [0, 0]


def test_without_a_model_the_only_one_is_asked(way: Blocking) -> None:
    """A provider with one model needs no name; with several the error names them."""
    _, peer = _unnamed(way, json_answer(MODELS), stream_answer(chat_events("a")))
    assert [request.method for request in peer.requests] == ["GET", "POST"]
    assert json.loads(peer.requests[1].body)["model"] == "m"
    several = {"data": [{"id": "one"}, {"id": "two"}]}
    with pytest.raises(InvalidRequest, match="has 2: one, two; name one"):
        _unnamed(way, json_answer(several))


def _unnamed(way: Blocking, *answers: Any) -> tuple[Any, Peer]:
    with Peer(*answers) as peer:
        client = way.client(base_url=peer.base_url)
        try:
            stream = way.call(client.chat.completions.create, messages=HELLO, stream=True)
            way.read(stream)
        finally:
            close = client.close()
            if close is not None:
                way.call(lambda: close)
    return stream, peer


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error_answer(401, "bad key secret-key", code="invalid_api_key"), AuthenticationFailed),
        (error_answer(429, "slow down", headers={"retry-after": "99"}), RateLimited),
        (error_answer(400, "no", param="messages"), InvalidRequest),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_refusals_are_typed_and_hide_the_key(
    way: Blocking, answer: Any, kind: type[Exception], stream: bool
) -> None:
    """A status is a type of error, whichever way one asks, and no key is in it."""
    with pytest.raises(kind) as caught:
        asked(way, answer, stream=stream, max_retries=0)
    assert "secret-key" not in str(caught.value)
    assert caught.value.request_id  # type: ignore[attr-defined]


def test_busy_servers_are_asked_again(way: Blocking) -> None:
    """A refusal that passes is answered by asking again, with the same idempotency key."""
    busy = error_answer(503, headers={"retry-after-ms": "1"})
    stream, peer = asked(way, busy, busy, stream_answer(chat_events("a")))
    assert stream.text == "a"
    assert len({request.headers["idempotency-key"] for request in peer.requests}) == 1


def test_a_stream_that_breaks_off_raises_with_what_came(way: Blocking) -> None:
    """No [DONE] and no finish reason is no clean end."""
    events = chat_events("Hel", "lo")[:2]
    with pytest.raises(StreamTruncated) as caught:
        asked(way, [*stream_answer(events, end=False), Drop()])
    assert caught.value.partial is not None
    assert caught.value.partial.reply.choices[0].message.content == "Hel"


def test_an_error_event_raises_with_its_code(way: Blocking) -> None:
    """An error inside the stream has the code that the server gave it."""
    events = [*chat_events("Hel")[:2], error_event("overloaded", code="overloaded")]
    with pytest.raises(deltaweir.StreamFailed) as caught:
        asked(way, stream_answer(events))
    assert caught.value.code == "overloaded"


def test_a_server_that_says_nothing_runs_into_a_clock(way: Blocking) -> None:
    """The clock for the answer's head is the caller's."""
    pause = Pause()
    try:
        with pytest.raises(StallTimeout, match="headers"):
            asked(way, [pause], timeouts={"headers": 0.1})
        with pytest.raises(StallTimeout, match="headers"):
            asked(way, [pause], timeouts={"headers": 0.1}, stream=False)
    finally:
        pause.release()


def test_a_server_that_is_not_there(way: Blocking) -> None:
    """A refused connection is a typed error that says where nobody listens."""
    client = way.client(base_url=f"http://127.0.0.1:{unused_port()}", max_retries=0)
    with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1"):
        way.call(client.models.list)


def test_without_a_provider_the_catalogue_is_listed(way: Blocking) -> None:
    """The embedded models are those that can be asked by name."""
    models = way.call(way.client().models.list)
    assert "smollm2" in {model.id for model in models}


def test_the_classic_surface_keeps_keys_and_order() -> None:
    """Over HTTP an object has the server's keys in the server's order, nulls and all."""
    raw = '{"model":"m","id":"i","zzz":null,"choices":[{"index":0,"delta":{"content":"a"}}]}'
    end = '{"id":"i","choices":[{"finish_reason":"stop","delta":{},"index":0}]}'
    events = [f"data: {text}\n\n".encode() for text in (raw, end)]
    events.append(b"data: [DONE]\n\n")
    with Peer(stream_answer(events), json_answer(REPLY)) as peer:
        call: dict[str, Any] = {"api_base": peer.base_url, "api_key": "k", "messages": HELLO}
        chunks = list(deltaweir.ChatCompletion.create(model="gpt-4", stream=True, **call))
        assert [json.dumps(chunk) for chunk in chunks] == [
            json.dumps(json.loads(text)) for text in (raw, end)
        ]
        assert chunks[0].choices[0].delta.content == "a"
        reply = deltaweir.ChatCompletion.create(
            model="gpt-4", headers={"x-mine": "1"}, request_timeout=5, **call
        )
        assert json.dumps(reply) == json.dumps(REPLY)
    assert peer.requests[1].headers["x-mine"] == "1"
    assert json.loads(peer.requests[1].body) == {"messages": HELLO, "model": "gpt-4"}
    for pool in classic_calls._Process.pools.values():
        pool.close()


async def test_the_classic_surface_awaited_leaves_no_connection() -> None:
    """An awaited call closes what it opened, since no later call could find it."""
    with Peer(stream_answer(chat_events("a")), json_answer(REPLY)) as peer:
        call: dict[str, Any] = {"api_base": peer.base_url, "api_key": "k", "messages": HELLO}
        stream = await deltaweir.ChatCompletion.acreate(model="m", stream=True, **call)
        texts = [chunk.choices[0].delta.get("content", "") async for chunk in stream]
        assert "".join(texts) == "a"
        reply = await deltaweir.ChatCompletion.acreate(model="m", **call)
        assert reply.choices[0].message.content == "Hi"
    assert [request.connection for request in peer.requests] == [0, 1]


def test_a_page_where_a_reply_was_asked_for(way: Blocking) -> None:
    """A wrong address is the likeliest reason; nothing of the page is told."""
    page = stream_answer(
        [b"<p>log in</p>"], framing="length", headers={"content-type": "text/html"}
    )
    with pytest.raises(StreamFailed, match=r"with text/html where JSON .* base_url") as caught:
        asked(way, page, stream=False)
    assert "log in" not in str(caught.value)


@pytest.mark.parametrize("stream", [True, False])
def test_a_model_is_a_name(way: Blocking, stream: bool) -> None:
    """A model of another type is the caller's mistake, whoever would answer."""
    client = way.client(base_url="http://127.0.0.1:1/v1")
    for asked_of in (client, way.client()):
        with pytest.raises(InvalidRequest, match="int"):
            way.call(asked_of.chat.completions.create, messages=HELLO, model=5, stream=stream)
