"""The gateway in front of upstreams that nobody here wrote: llama.cpp's server, a LiteLLM proxy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.live.foreign import Foreign, litellm_proxy, llama_server
from tests.live.served import Served, model, until, upstream

import deltaweir
from deltaweir.client.embedded import weights_of
from deltaweir.testing import Pause, Peer, chat_events, error_answer, error_event, stream_answer

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

KEY = "sk-of-the-upstream-0123456789"
HELLO: list[dict[str, str]] = [{"role": "user", "content": "Say hello."}]
STORY: list[dict[str, str]] = [{"role": "user", "content": "Tell me a very long story."}]
# a field that only llama.cpp knows: nothing is left from the request before
EXACT: dict[str, Any] = {"temperature": 0, "cache_prompt": False}


# llama.cpp


@pytest.fixture(scope="module")
def llama() -> Iterator[Foreign]:
    """llama.cpp's own server with the small model."""
    with llama_server(weights_of("smollm2").path, KEY) as server:
        yield server


@pytest.fixture(scope="module")
def served(llama: Foreign, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway in front of it."""
    config = "".join(
        (
            upstream("llama", llama.base_url, 'api_key = "env:LLAMA_KEY"'),
            upstream("keyless", llama.base_url, 'api_key = "sk-of-nobody-0123456789"'),
            model("small", ["llama"]),
            model("short", ["llama"], 'budget = "5tok"'),
            model("guarded", ["llama"], 'guard = "standard"'),
            model("refused", ["keyless"]),
            model("second", ["keyless", "llama"]),
        )
    )
    folder = tmp_path_factory.mktemp("llama")
    with Served(folder, config, environment={"LLAMA_KEY": llama.key}) as gateway:
        yield gateway


@pytest.fixture
def through(served: Served) -> Iterator[deltaweir.Client]:
    """A client of the gateway."""
    with deltaweir.Client(base_url=served.base_url, api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture
def direct(llama: Foreign) -> Iterator[deltaweir.Client]:
    """A client of llama.cpp's server."""
    with deltaweir.Client(base_url=llama.base_url, api_key=llama.key, max_retries=0) as client:
        yield client


def figures(usage: Any) -> tuple[int | None, int | None]:
    """Return the two numbers of a usage, or of a ledger's row."""
    return usage.prompt_tokens, usage.completion_tokens


@pytest.mark.parametrize("name", ["small", "guarded", "second"])
def test_a_chat_streams_as_llama_cpp_streams_it(
    name: str, served: Served, through: deltaweir.Client, direct: deltaweir.Client
) -> None:
    """The same pieces and the same usage, which the ledger has too."""
    asked: dict[str, Any] = {"messages": HELLO, "max_tokens": 12, **EXACT}
    asked["stream_options"] = {"include_usage": True}
    with direct.chat.completions.create(model="any", stream=True, **asked) as theirs:
        expected = [chunk.choices[0].delta.content for chunk in theirs if chunk.choices]
    tagged = {"deltaweir": {"tag": f"chat/{name}"}}
    with through.chat.completions.create(
        model=name, stream=True, extra_body=tagged, **asked
    ) as ours:
        came = [chunk.choices[0].delta.content for chunk in ours if chunk.choices]
    if name == "guarded":  # at the length's limit it drops a word that may become an address
        assert len(ours.text) > 10
        assert theirs.text.startswith(ours.text)
    else:
        assert list(filter(None, came)) == list(filter(None, expected))
    assert (ours.finish_reason, ours.complete) == (theirs.finish_reason, True) == ("length", True)
    assert ours.usage is not None
    assert theirs.usage is not None
    row = served.row(f"chat/{name}")
    assert figures(ours.usage) == figures(theirs.usage) == figures(row.tally)
    assert row.closed is not None
    assert (row.closed.ending, row.tally.source) == ("complete", "provider")
    upstreams = [attempt.upstream for attempt in row.attempts]
    assert upstreams == (["keyless", "llama"] if name == "second" else ["llama"])


def test_usage_that_nobody_asked_for_is_in_the_ledger_alone(
    served: Served, llama: Foreign, direct: deltaweir.Client
) -> None:
    """The gateway asks llama.cpp for it, keeps its chunk, and annotates the finish chunk."""
    asked: dict[str, Any] = {"messages": HELLO, "max_tokens": 5, **EXACT}
    told = direct.chat.completions.create(model="any", **asked)
    tagged = {"model": "small", "stream": True, "deltaweir": {"tag": "unasked"}}
    *chunks, done = served.ask({**asked, **tagged}).events
    assert done == "[DONE]"
    assert all(len(chunk["choices"]) == 1 and not chunk.get("usage") for chunk in chunks)
    account = chunks[-1]["deltaweir"]
    assert account["usage"]["completion_tokens"] == told.usage.completion_tokens == 5
    assert (account["source"], account["cost_usd"]) == ("provider", None)
    assert figures(served.row("unasked").tally) == figures(told.usage)


def test_a_whole_reply_comes_as_llama_cpp_makes_it(
    through: deltaweir.Client, direct: deltaweir.Client
) -> None:
    """Text, log probabilities, usage, two choices, and fields that only llama.cpp has."""
    asked: dict[str, Any] = {"messages": HELLO, "max_tokens": 4, "logprobs": True, **EXACT}
    for more in ({}, {"n": 2}, {"response_format": {"type": "json_object"}}):
        theirs = direct.chat.completions.create(model="any", **asked, **more).model_dump()
        ours = through.chat.completions.create(model="small", **asked, **more).model_dump()
        for varying in ("id", "created", "timings"):
            assert theirs.pop(varying)
            assert ours.pop(varying)
        assert ours.pop("deltaweir")["source"] == "provider"
        assert ours == theirs


def test_text_completions_stream_and_come_whole(
    served: Served, through: deltaweir.Client, direct: deltaweir.Client
) -> None:
    """The same text both ways, and usage as llama.cpp tells it, on a chunk with choices."""
    asked: dict[str, Any] = {"prompt": "One, two, three,", "max_tokens": 6, **EXACT}
    theirs = direct.completions.create(model="any", **asked)
    ours = through.completions.create(model="small", **asked)
    assert ours.choices[0].text == theirs.choices[0].text
    assert figures(ours.usage) == figures(theirs.usage)
    tagged = {"deltaweir": {"tag": "text"}}
    with through.completions.create(
        model="small", **asked, stream=True, extra_body=tagged
    ) as stream:
        for _ in stream:
            pass
    assert (stream.text, stream.finish_reason) == (theirs.choices[0].text, "length")
    row = served.row("text")
    assert figures(row.tally) == figures(theirs.usage)
    assert row.opened is not None
    assert row.opened.endpoint == "text"


def test_a_hang_up_stops_llama_cpp(served: Served, llama: Foreign) -> None:
    """Its slot is free at once, and the row has what was generated until then."""
    with deltaweir.Client(base_url=served.base_url, api_key="unused") as client:
        stream = client.chat.completions.create(
            model="small",
            messages=STORY,
            max_tokens=1500,
            stream=True,
            temperature=0,
            extra_body={"deltaweir": {"tag": "left"}},
        )
        for _ in zip(range(5), stream, strict=False):
            pass
        assert llama.busy == 1
        stream.close()
    until(lambda: llama.busy == 0, patience_s=2.0)
    row = served.row("left")
    assert row.closed is not None
    assert row.closed.ending == "abandoned"
    assert row.tally.source == "estimated"  # by an encoding that is not the model's
    assert 4 <= (row.tally.completion_tokens or 0) < 200


def test_a_budget_stops_llama_cpp(
    served: Served, llama: Foreign, through: deltaweir.Client
) -> None:
    """The stream is cut at the token, and nothing more is computed."""
    with through.chat.completions.create(
        model="short",
        messages=STORY,
        max_tokens=1500,
        stream=True,
        extra_body={"deltaweir": {"tag": "cut"}},
    ) as stream:
        for _ in stream:
            pass
    until(lambda: llama.busy == 0, patience_s=2.0)
    assert stream.finish_reason == "length"
    assert 0 < deltaweir.count_tokens(stream.text) <= 5
    row = served.row("cut")
    assert row.closed is not None
    assert row.closed.ending == "budget"


def test_refusals_of_llama_cpp_are_passed_on(served: Served, through: deltaweir.Client) -> None:
    """Too long, malformed: as it says it, at once. A key that it refuses is the server's matter."""
    long = [{"role": "user", "content": "a " * 5000}]
    with pytest.raises(deltaweir.BadRequestError, match="5031 tokens"):
        through.chat.completions.create(model="small", messages=long)
    with pytest.raises(deltaweir.BadRequestError):
        through.chat.completions.create(model="small", messages=HELLO, extra_body={"top_k": "many"})
    answer = served.ask({"model": "refused", "messages": HELLO})
    assert answer.status == 502
    error = answer.json["error"]
    assert error["code"] == "upstream_failed"
    assert error["message"] == "the upstream 'keyless' refused this server's key"


# LiteLLM


WORDS = "Hello from the proxy, in several words."
MEASURED = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
BEFORE, AFTER = "Hel", "lo"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway in front of a LiteLLM proxy, whose own upstreams are scripted."""
    folder = tmp_path_factory.mktemp("litellm")
    broken = [*chat_events(BEFORE, finish=None, done=False), error_event("it fell over")]
    answers = {
        "measured": stream_answer(chat_events(BEFORE, AFTER, " there", usage=(7, 3))),
        "broken": stream_answer(broken),
        "endless": [
            *stream_answer(chat_events(BEFORE, finish=None, done=False), end=False),
            Pause(),
        ],
        "refusing": error_answer(400, "no such thing", code="invalid_value", param="top_p"),
        "limited": error_answer(429, "slow down", code="rate_limit_exceeded"),
    }
    with contextlib.ExitStack() as stack:
        common = {"model": "openai/gpt-4o-mini", "api_key": "sk-of-nobody-0123456789"}
        models: dict[str, dict[str, Any]] = {"mocked": {**common, "mock_response": WORDS}}
        for name, answer in answers.items():
            peer = stack.enter_context(Peer(answer))
            models[name] = {**common, "api_base": peer.base_url}
        proxy = stack.enter_context(litellm_proxy(folder, models, KEY))
        table = upstream("proxy", proxy.base_url, f'api_key = "{KEY}"')
        yield stack.enter_context(Served(folder, table + model("*", ["proxy"])))


def test_litellm_streams(proxied: Served) -> None:
    """Text and usage are LiteLLM's; its chunk with usage, which has choices, is one chunk more."""
    asked = {"messages": HELLO, "stream": True}
    for name, text in {"mocked": WORDS, "measured": f"{BEFORE}{AFTER} there"}.items():
        tagged = {"model": name, "deltaweir": {"tag": name}}
        *chunks, done = proxied.ask({**asked, **tagged}).events
        assert done == "[DONE]"
        contents = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
        assert "".join(filter(None, contents)) == text
        ends = [chunk["choices"][0].get("finish_reason") for chunk in chunks]
        assert list(filter(None, ends)) == ["stop"]
        row = proxied.row(name)
        assert row.closed is not None
        assert (row.closed.ending, row.tally.source) == ("complete", "provider")
        if name == "measured":
            assert figures(row.tally) == (7, 3)
            (account,) = (chunk["deltaweir"] for chunk in chunks if "deltaweir" in chunk)
            assert account["usage"]["completion_tokens"] == 3
            assert account["cost_usd"] is None


def test_litellm_answers_whole(proxied: Served) -> None:
    """The reply and its usage are LiteLLM's."""
    tagged = {"model": "mocked", "deltaweir": {"tag": "whole"}}
    reply = proxied.ask({"messages": HELLO, **tagged}).json
    assert reply["choices"][0]["message"]["content"] == WORDS
    told = reply["usage"]["prompt_tokens"], reply["usage"]["completion_tokens"]
    assert figures(proxied.row("whole").tally) == told


def test_an_error_inside_a_stream_of_litellm_is_no_clean_end(proxied: Served) -> None:
    """The client gets what came, then the error with the usage so far, and no ``[DONE]``."""
    asked = {"model": "broken", "messages": HELLO, "stream": True, "deltaweir": {"tag": "broken"}}
    *chunks, last = proxied.ask(asked).events
    contents = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert "".join(filter(None, contents)) == BEFORE
    assert "it fell over" in last["error"]["message"]
    assert last["deltaweir"]["usage"]["completion_tokens"] >= 1
    row = proxied.row("broken")
    assert row.closed is not None
    assert row.closed.ending == "failed"


def test_refusals_of_litellm_have_their_status(proxied: Served) -> None:
    """What is wrong with a request is told at once; a limit after the retries."""
    for name, status in {"refusing": 400, "limited": 429}.items():
        answer = proxied.ask({"model": name, "messages": HELLO, "stream": True})
        assert answer.status == status
        assert set(answer.json["error"]) == {"message", "type", "param", "code"}


def test_a_hang_up_on_litellm_is_in_the_ledger(proxied: Served) -> None:
    """With what was generated until then; the connection to LiteLLM is closed."""
    with deltaweir.Client(base_url=proxied.base_url, api_key="unused") as client:
        stream = client.chat.completions.create(
            model="endless", messages=HELLO, stream=True, extra_body={"deltaweir": {"tag": "left"}}
        )
        next(stream)
        stream.close()
    row = proxied.row("left")
    assert row.closed is not None
    assert row.closed.ending == "abandoned"
    assert (row.tally.completion_tokens, row.tally.source) == (1, "estimated")
    until(lambda: proxied.metrics()["deltaweir_streams_running"] == 0)
