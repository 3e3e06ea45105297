"""What the gateway answers, in the form that OpenAI's clients expect."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from tests.gateway.conftest import (
    CHAT,
    STORY,
    TEXT,
    Running,
    events,
    hello,
    opened,
    request,
    running,
    until,
)

from deltaweir.client.embedded import weights_of
from deltaweir.sources.local.answer import load

LONG = hello(messages=[{"role": "user", "content": "a " * 9000}])


def computing() -> int:
    """Return how many native calls of the small model run."""
    return load(weights_of("smollm2")).running


def test_a_stream_has_the_form_of_the_protocol(gateway: Running) -> None:
    """Role, content, finish with our account, [DONE]: one id, data only, no other line."""
    status, headers, body = request(gateway, CHAT, hello(stream=True))
    assert status == 200
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-request-id"].startswith("req_")
    lines = [line for line in body.split(b"\n") if line and not line.startswith(b": ")]
    assert all(line.startswith(b"data: ") for line in lines)
    *chunks, last = events(body)
    assert last == "[DONE]"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert all(
        list(chunk)[:5] == ["id", "object", "created", "model", "choices"] for chunk in chunks
    )
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * 5
    assert chunks[-1]["choices"][0] == {
        "delta": {},
        "finish_reason": "length",
        "index": 0,
        "logprobs": None,
    }
    account = chunks[-1]["deltaweir"]
    assert account["usage"]["completion_tokens"] == 4
    assert (account["cost_usd"], account["source"]) == (0.0, "engine")
    assert all(chunk["choices"] for chunk in chunks)


def test_usage_comes_only_where_it_was_asked_for(gateway: Running) -> None:
    """With include_usage every chunk has the key, and the last has no choices and our account."""
    body = hello(stream=True, stream_options={"include_usage": True})
    *chunks, _ = events(request(gateway, CHAT, body)[2])
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 4
    assert chunks[-1]["deltaweir"]["usage"] == chunks[-1]["usage"]
    assert not any("deltaweir" in chunk for chunk in chunks[:-1])


def test_a_whole_reply_equals_the_sum_of_the_stream(gateway: Running) -> None:
    """The same request gives the same text either way."""
    whole = json.loads(request(gateway, CHAT, hello())[2])
    *chunks, _ = events(request(gateway, CHAT, hello(stream=True))[2])
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": text}
    assert whole["object"] == "chat.completion"
    assert whole["usage"]["completion_tokens"] == 4


def test_text_completions(gateway: Running) -> None:
    """The older endpoint streams texts and answers whole."""
    body = {"prompt": "One, two,", "max_tokens": 3, "temperature": 0}
    whole = json.loads(request(gateway, TEXT, body)[2])
    *chunks, last = events(request(gateway, TEXT, {**body, "stream": True})[2])
    assert last == "[DONE]"
    assert whole["choices"][0]["text"] == "".join(one["choices"][0]["text"] for one in chunks)
    assert whole["object"] == chunks[0]["object"] == "text_completion"
    assert chunks[0]["id"].startswith("cmpl-")


def test_several_choices(gateway: Running) -> None:
    """With n=2 the chunks of both choices come, each with its end."""
    *chunks, _ = events(request(gateway, CHAT, hello(stream=True, n=2))[2])
    ends = [c["choices"][0] for c in chunks if c["choices"][0]["finish_reason"] is not None]
    assert sorted(end["index"] for end in ends) == [0, 1]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"{", 400, "invalid_request", None),
        (b"[]", 400, "invalid_request", None),
        (b"\xff", 400, "invalid_request", None),
        (b"[" * 50_000, 400, "invalid_request", None),
        (hello(messages=[]), 400, "invalid_request", "messages"),
        (hello(temperature=3), 400, "invalid_request", "temperature"),
        (hello(model="gpt-9"), 404, "model_not_found", "model"),
        (
            hello(messages=[{"role": "user", "content": "a " * 9000}]),
            400,
            "context_length_exceeded",
            "messages",
        ),
        (b"x" * 200_000, 413, "too_large", None),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_refusals(
    gateway: Running, body: Any, status: int, code: str, param: str | None, *, stream: bool
) -> None:
    """What is refused has its status, four keys under error, and an id."""
    if isinstance(body, dict) and stream:
        body = {**body, "stream": True}
    got, headers, raw = request(gateway, CHAT, body)
    error = json.loads(raw)["error"]
    assert (got, error["code"], error["param"]) == (status, code, param)
    assert set(error) == {"message", "type", "param", "code"}
    assert headers["x-request-id"]


def test_an_unknown_model_names_the_known_ones(gateway: Running) -> None:
    """404 says which models there are."""
    _, _, raw = request(gateway, CHAT, hello(model="gpt-9"))
    assert "smollm2" in json.loads(raw)["error"]["message"]


def test_models_health_and_description(gateway: Running) -> None:
    """The other routes answer JSON."""
    models = json.loads(request(gateway, "/v1/models", method="GET")[2])
    assert [model["id"] for model in models["data"]] == ["smollm2"]
    assert json.loads(request(gateway, "/v1/models/smollm2", method="GET")[2])["id"] == "smollm2"
    assert request(gateway, "/v1/models/other", method="GET")[0] == 404
    for path in ("/healthz", "/readyz"):
        assert request(gateway, path, method="GET")[0] == 200
    document = json.loads(request(gateway, "/openapi.json", method="GET")[2])
    assert CHAT in document["paths"]
    assert "ChatRequest" in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nope", "GET", 404),
        (CHAT, "GET", 405),
        ("/healthz", "POST", 405),
        # no redirect, which would send a prompt on to plain HTTP where a proxy has the TLS
        (f"{CHAT}/", "POST", 404),
        ("/v1/streams/", "GET", 404),
    ],
)
def test_other_routes_and_methods(gateway: Running, path: str, method: str, status: int) -> None:
    """What is not there is an error in OpenAI's form too."""
    got, _, raw = request(gateway, path, method=method)
    assert got == status
    assert set(json.loads(raw)["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/models", "let the base_url end with /v1"),
        ("/v1/models/", "leave out the slash at its end"),
        ("/v1/streams/", "leave out the slash at its end"),
        ("/v1/embeddings", "can pass it on by [server] passthrough"),
        ("/dashboard", "it is on the page, at /#/dashboard"),
    ],
)
def test_where_a_path_leads_that_is_not_there(gateway: Running, path: str, hint: str) -> None:
    """What was likely meant is said."""
    _, _, raw = request(gateway, path, method="GET")
    message = json.loads(raw)["error"]["message"]
    assert message.startswith(f"there is no {path}; ")
    assert hint in message


def test_heartbeats_have_one_newline_and_stand_between_events() -> None:
    """Silence is filled with comments that no client takes for an event."""
    long = "word " * 200  # some tenths of a second, several heartbeats
    body = hello(stream=True, messages=[{"role": "user", "content": long}])
    with running(heartbeat_s=0.05) as gateway:
        _, _, raw = request(gateway, CHAT, body)
    assert raw.startswith(b": keep-alive\n")
    assert b": keep-alive\n\n" not in raw
    assert events(raw)[-1] == "[DONE]"


def test_http_1_0_gets_a_body_without_frames(gateway: Running) -> None:
    """A client of HTTP/1.0 reads events until the connection closes."""
    with opened(gateway, hello(stream=True), version="1.0") as connection:
        raw = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert events(body)[-1] == "[DONE]"


@pytest.mark.parametrize("read", [0, 1, 400, 2000])
def test_a_client_that_hangs_up_stops_the_computation(gateway: Running, read: int) -> None:
    """Whenever the client goes, the engine is idle soon after."""
    with opened(gateway, hello(stream=True, max_tokens=3000, messages=STORY)) as connection:
        got = 0
        while got < read:
            got += len(connection.recv(1000))
    until(lambda: computing() == 0 and gateway.answers == 0)


def test_a_client_that_hangs_up_on_a_whole_reply(gateway: Running) -> None:
    """A whole reply that nobody waits for is not computed to its end."""
    with opened(gateway, hello(max_tokens=3000, messages=STORY)):
        until(lambda: computing() == 1)
    until(lambda: computing() == 0 and gateway.answers == 0)


def test_a_head_without_end_is_refused(gateway: Running) -> None:
    """Headers beyond the limit are refused, and the connection is closed."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        try:
            for number in range(400):
                connection.sendall(b"x-%d: %b\r\n" % (number, b"a" * 1000))
            answer = connection.recv(100)
        except ConnectionError:
            return
    assert answer == b"" or b" 431 " in answer


def test_stopping_lets_streams_end_and_refuses_new_ones() -> None:
    """Told to stop, the server finishes what runs, answers 503 to the rest, and exits."""
    with running(drain_s=20) as server:
        with opened(server, hello(stream=True, max_tokens=60)) as connection:
            first = connection.recv(100)
            server.stop()
            until(lambda: server.server.gateway.draining)
            status, headers, raw = request(server, CHAT, hello())
            assert (status, headers["retry-after"]) == (503, "1")
            assert json.loads(raw)["error"]["code"] == "service_unavailable"
            assert request(server, "/readyz", method="GET")[0] == 503
            rest = b"".join(iter(lambda: connection.recv(4096), b""))
        assert b"data: [DONE]" in first + rest
        server.join()


def test_stopping_tells_streams_that_do_not_end_in_time() -> None:
    """After its time to drain, the server says so in the open streams."""
    with running(drain_s=0.2) as server:
        body = hello(stream=True, max_tokens=3000, messages=STORY)
        with opened(server, body) as connection:
            connection.recv(100)
            server.stop()
            rest = b"".join(iter(lambda: connection.recv(4096), b""))
        assert b"service_unavailable" in rest
        assert b"[DONE]" not in rest
        server.join()


def test_stopping_waits_for_no_request_that_is_not_whole(caplog: pytest.LogCaptureFixture) -> None:
    """Whose body has not come is told of the stop, and nothing is logged as a fault."""
    with running() as server:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(head + b"{")
            until(lambda: bool(server.server.server_state.tasks))
            server.stop()
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 503 ")
        server.join()
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_pages_of_other_origins() -> None:
    """Only configured origins may read answers; a preflight is answered."""
    with running(cors_origins=("https://chat.example",)) as server:
        for origin, allowed in (("https://chat.example", True), ("https://evil.example", False)):
            _, headers, _ = request(server, "/v1/models", method="GET", headers={"Origin": origin})
            assert (headers.get("access-control-allow-origin") == origin) is allowed
        # by these OpenAI's client knows whether and when to ask again
        readable = headers["access-control-expose-headers"].split(", ")
        assert {"retry-after", "retry-after-ms", "x-should-retry"} <= {*readable}
        _, headers, _ = request(
            server,
            CHAT,
            method="OPTIONS",
            headers={
                "Origin": "https://chat.example",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            },
        )
        assert headers["access-control-allow-origin"] == "https://chat.example"
