"""Upstreams that fail before their first content: who is asked next, and what a client is told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from tests.gateway.conftest import until
from tests.gateway.fronts import KEY, Front, Provider, fronted, refusing

from deltaweir.client import answers
from deltaweir.testing import (
    Drop,
    Pause,
    Peer,
    Reset,
    Unreachable,
    chat_events,
    error_answer,
    error_event,
    json_answer,
    stream_answer,
)
from deltaweir.testing.faults import Step
from deltaweir.wire.sse import DONE

WHOLE = {
    "id": "chatcmpl-w",
    "object": "chat.completion",
    "created": 1,
    "model": "scripted",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    ],
}
SOON = {"retry-after": "0"}


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted() as one:
        yield one


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again soon where nobody says when."""
    monkeypatch.setattr(answers, "FIRST_PAUSE_S", 0.01)


class Fault(NamedTuple):
    """A way to fail, and what becomes of it where nobody else can be asked."""

    name: str
    steps: list[Step] | Callable[[], Any]
    """An answer, or what makes a provider that gives none."""
    status: int
    code: str
    ending: str = "failed"
    attempts: int = 3
    """How often this upstream is asked, when it is the only one."""
    whole: bool = True
    """Whether whole replies can fail so too."""


ROLE = chat_events("x")[:1]
PAGE = {"content-type": "text/html"}
FAULTS = [
    Fault("refused", lambda: contextlib.nullcontext(refusing()), 502, "connection_failed"),
    Fault("hanging connect", Unreachable, 504, "stall_timeout", "stalled"),
    Fault("no head", [Pause()], 504, "stall_timeout", "stalled"),
    Fault("dropped", [Drop()], 502, "connection_failed"),
    Fault("reset", [Reset()], 502, "connection_failed"),
    Fault("half a head", [b"HTTP/1.1 200 O", Drop()], 502, "connection_failed"),
    Fault("no HTTP", [b"220 mail.example ESMTP\r\n" * 9, Drop()], 502, "upstream_failed"),
    Fault("500", error_answer(500, code=None, headers=SOON), 500, "server_error"),
    Fault("500 page", stream_answer([b"<html>"], status=500, headers=PAGE), 500, "server_error"),
    Fault("503", error_answer(503, headers=SOON), 503, "service_unavailable"),
    Fault("429", error_answer(429, headers=SOON), 429, "rate_limit_exceeded"),
    Fault(
        "quota",
        error_answer(429, code="insufficient_quota"),
        429,
        "insufficient_quota",
        *("failed", 1),
    ),
    Fault("401", error_answer(401), 502, "upstream_failed", attempts=1),
    Fault("403", error_answer(403), 502, "upstream_failed", attempts=1),
    Fault("404", error_answer(404), 404, "not_found", attempts=1),
    Fault(
        "redirection",
        error_answer(302, headers={"location": "/x"}),
        502,
        "upstream_failed",
        *("failed", 1),
    ),
    Fault("page", stream_answer([b"<html>no</html>"], headers=PAGE), 502, "upstream_failed"),
    Fault(
        "compressed",
        stream_answer([b"\x1f\x8b\x08"], headers={"content-encoding": "gzip"}),
        502,
        "upstream_failed",
    ),
    Fault(
        "error under 200",
        json_answer({"error": {"message": "no", "code": "overloaded"}}),
        502,
        "overloaded",
    ),
    Fault("empty", stream_answer([]), 502, "upstream_truncated", "truncated", whole=False),
    Fault(
        "error event",
        stream_answer([*ROLE, error_event("oh no")]),
        502,
        "upstream_failed",
        whole=False,
    ),
    Fault(
        "rate event",
        stream_answer([*ROLE, error_event("slowly", code="rate_limit_exceeded")]),
        429,
        "rate_limit_exceeded",
        whole=False,
    ),
    Fault("999", error_answer(999), 502, "upstream_failed"),
    Fault("600", error_answer(600), 502, "upstream_failed"),
    Fault(
        "flat error",
        stream_answer([error_event("oh no", flat=True)]),
        502,
        "upstream_failed",
        whole=False,
    ),
    Fault(
        "done at once", stream_answer([DONE]), 502, "upstream_truncated", "truncated", whole=False
    ),
    Fault("role only", stream_answer(ROLE), 502, "upstream_truncated", "truncated", whole=False),
    Fault(
        "role, dropped",
        [*stream_answer(ROLE, end=False), Drop()],
        502,
        "upstream_truncated",
        "truncated",
        whole=False,
    ),
    Fault(
        "no content", stream_answer([*ROLE, Pause()]), 504, "stall_timeout", "stalled", whole=False
    ),
    Fault("no JSON", stream_answer([b"data: {oops\n\n"]), 502, "upstream_failed", whole=False),
]
CASES = [
    pytest.param(fault, stream, id=f"{fault.name}-{'stream' if stream else 'whole'}")
    for fault in FAULTS
    for stream in (True, False)
    if stream or fault.whole
]


@contextlib.contextmanager
def failing(fault: Fault) -> Iterator[Provider]:
    """Serve a fault."""
    steps = fault.steps
    with steps() if callable(steps) else Peer(steps) as provider:
        yield provider


def good(*, stream: bool) -> Peer:
    """Return an upstream that answers."""
    return Peer(stream_answer(chat_events("Hi", identity="good")) if stream else json_answer(WHOLE))


@pytest.mark.parametrize(("fault", "stream"), CASES)
def test_the_next_upstream_answers(front: Front, fault: Fault, *, stream: bool) -> None:
    """The client gets one clean answer with the second's id; the ledger has both attempts."""
    with failing(fault) as first, good(stream=stream) as second:
        front.before(first, second, quick=fault.status == 504)
        answer = front.ask(stream=stream)
    assert answer.status == 200
    if stream:
        assert {one["id"] for one in answer.chunks} == {"good"}
        assert (answer.text, answer.finish_reasons, answer.done) == ("Hi", ["stop"], True)
    else:
        assert answer.json["choices"] == WHOLE["choices"]
    assert front.attempts(answer) == [("u0", fault.ending), ("u1", "complete")]
    row = front.row(answer)
    assert row.closed is not None
    assert row.closed.ending == "complete"


@pytest.mark.parametrize(("fault", "stream"), CASES)
def test_what_a_client_is_told_when_nobody_else_can_be_asked(
    front: Front, fault: Fault, *, stream: bool
) -> None:
    """A status and OpenAI's error body, without addresses or keys; the ledger has each attempt."""
    with failing(fault) as only:
        front.before(only, quick=fault.status == 504)
        answer = front.ask(stream=stream)
    error = answer.error
    assert (answer.status, error["code"]) == (fault.status, fault.code)
    assert set(error) == {"message", "type", "param", "code"}
    assert "'u0'" in error["message"]
    assert "127.0.0.1" not in answer.body.decode()
    assert KEY not in answer.body.decode()
    assert answer.headers["content-type"] == "application/json"
    assert front.attempts(answer) == [("u0", fault.ending)] * fault.attempts
    row = front.row(answer)
    assert row.closed is not None
    assert row.closed.ending == fault.ending
    assert row.closed.finish_reason is None
    assert row.closed.first_content_s is None
    assert not row.tally.completion_tokens


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, None),
        (400, "context_length_exceeded"),
        (400, "content_filter"),
        (413, None),
        (422, None),
    ],
)
def test_a_bad_request_is_passed_at_once(
    front: Front, status: int, code: str | None, *, stream: bool
) -> None:
    """It would be as bad elsewhere: nobody else is asked, and the client reads why."""
    refusal = error_answer(status, "max_tokens is too large", code=code, param="max_tokens")
    with Peer(refusal) as first, good(stream=stream) as second:
        front.before(first, second)
        answer = front.ask(stream=stream)
        assert not second.requests
    assert (answer.status, answer.error["code"]) == (status, code or "invalid_request")
    assert answer.error["param"] == "max_tokens"
    assert "max_tokens is too large" in answer.error["message"]
    assert answer.error["type"] == "invalid_request_error"
    assert front.attempts(answer) == [("u0", "failed")]


def test_an_upstream_that_recovers_is_asked_again(front: Front) -> None:
    """Where all have failed, the first is asked again after its pause, and answers."""
    with Peer(error_answer(503, headers=SOON), stream_answer(chat_events("Hi"))) as only:
        front.before(only)
        answer = front.ask()
    assert (answer.text, answer.done) == ("Hi", True)
    assert front.attempts(answer) == [("u0", "failed"), ("u0", "complete")]


def test_retry_after_is_honoured(front: Front) -> None:
    """An upstream that asks for a pause is not asked before it is over."""
    busy = error_answer(429, headers={"retry-after": "0.15"})
    with Peer(busy, stream_answer(chat_events("Hi"))) as only:
        front.before(only)
        began = time.monotonic()
        assert front.ask().done
        assert time.monotonic() - began > 0.15


def test_nobody_waits_for_an_upstream_that_asks_for_a_pause(front: Front) -> None:
    """Other streams leave it alone meanwhile, and go to the next at once."""
    with (
        Peer(error_answer(429, headers={"retry-after": "50"})) as first,
        good(stream=True) as second,
    ):
        front.before(first, second)
        answers_ = [front.ask() for _ in range(3)]
    assert all(one.done for one in answers_)
    assert (len(first.requests), len(second.requests)) == (1, 3)
    assert [name for name, _ in front.attempts(answers_[-1])] == ["u1"]


def test_a_rate_that_is_used_up_rests_one_model(front: Front) -> None:
    """Clients of the upstream's other models are served as if nothing had been."""
    busy = error_answer(429, headers={"retry-after": "50"})
    with Peer(busy, stream_answer(chat_events("Hi"))) as only:
        front.before(only, model={"name": "team/*"})
        with front.client(model="team/a"):
            until(lambda: front.upstreams["u0"].rests.wait("a", front.now()) > 0)
        answer = front.ask(model="team/a")
        assert (answer.status, answer.error["code"]) == (503, "upstreams_resting")
        assert 48 < int(answer.headers["retry-after"]) <= 51
        assert front.ask(model="team/b").done


def test_a_refusal_says_when_to_ask_again(front: Front) -> None:
    """The client of a busy upstream gets its retry-after, and is not kept waiting for long ones."""
    with Peer(error_answer(429, headers={"retry-after": "90", "x-should-retry": "false"})) as only:
        front.before(only)
        answer = front.ask()
    assert (answer.status, answer.headers["retry-after"]) == (429, "90")
    assert answer.headers["x-should-retry"] == "false"


def test_the_log_has_no_word_of_an_upstreams(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """It may repeat a prompt: status, kind and ids are enough, and a code that is a name."""
    names = {"x-request-id": "req_there"}
    said = [
        error_answer(400, "you said 4711", code="bad_thing", headers=names),
        error_answer(500, "4711", code="it was 4711", headers={"x-should-retry": "false"}),
        stream_answer([error_event("4711", code="stall_timeout")]),
        json_answer({"error": {"message": "4711", "param": "4711"}}),
    ]
    for answer in said:
        with Peer(answer) as only:
            front.before(only)
            assert "4711" in front.ask().error["message"]
    front.before(refusing())
    front.ask()
    lines = [one.getMessage() for one in caplog.records if one.name == "deltaweir.gateway"]
    assert not any("4711" in line for line in lines)
    assert "upstream u0: answered 400 bad_thing (attempt 1, req_" in lines[0]
    assert lines[0].endswith(", its id req_there)")
    assert "upstream u0: answered 500 (attempt 1, req_" in lines[1]
    assert "no connection to 127.0.0.1" in lines[-1]
    assert "; is it running? (attempt 3, req_" in lines[-1]


def test_an_answer_without_content_is_an_answer(front: Front) -> None:
    """A model that says nothing and stops has answered: nobody else is asked."""
    with Peer(stream_answer(chat_events(usage=(3, 0)))) as first, good(stream=True) as second:
        front.before(first, second)
        answer = front.ask()
        assert not second.requests
    assert (answer.text, answer.finish_reasons, answer.done) == ("", ["stop"], True)
    row = front.row(answer)
    assert row.closed is not None
    assert (row.closed.ending, row.tally.completion_tokens) == ("complete", 0)
