"""Upstreams that fail behind their first content: the client reads so, and nothing is retried."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from tests.gateway.fronts import Front, fronted

from deltaweir.testing import (
    Drop,
    Pause,
    Peer,
    Reset,
    chat_events,
    error_event,
    stream_answer,
)
from deltaweir.testing.faults import Framing, Step
from deltaweir.wire.sse import DONE, HEARTBEAT

WORDS = [" one", " two", " three", " four", " five", " six"]
BEGUN = chat_events(*WORDS, finish=None, done=False)


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted() as one:
        yield one


class Fault(NamedTuple):
    """A way to fail behind six words."""

    name: str
    parts: list[Step]
    """What the body goes on with."""
    code: str
    ending: str
    ends: bool = False
    """Whether the body ends as its head says."""


HALF = b'data: {"choices":[{"index":0,"delta":{"content":"\xe2\x82'
FAULTS = [
    Fault("dropped", [Drop()], "upstream_truncated", "truncated"),
    Fault("reset", [Reset()], "upstream_truncated", "truncated"),
    Fault("no end of its own", [], "upstream_truncated", "truncated", ends=True),
    Fault("error event", [error_event("oh no"), DONE], "upstream_failed", "failed"),
    Fault("error with a code", [error_event("x", code="overloaded")], "overloaded", "failed"),
    Fault("flat error", [error_event("oh no", flat=True)], "upstream_failed", "failed"),
    Fault("page", [b"<html>\n\n<p>no\n\n"], "upstream_truncated", "truncated", ends=True),
    Fault("no JSON", [b"data: {oops\n\n"], "upstream_failed", "failed"),
    Fault("no object", [b"data: 7\n\n"], "upstream_failed", "failed"),
    Fault("half a character", [HALF, Drop()], "upstream_truncated", "truncated"),
    Fault("no UTF-8", [HALF + b'"}}]}\n\n'], "upstream_failed", "failed"),
    Fault("silence", [Pause()], "stall_timeout", "stalled"),
]
CASES = [
    pytest.param(fault, framing, id=f"{fault.name}-{framing}")
    for fault in FAULTS
    for framing in ("chunked", "close")
]
OTHER = stream_answer(chat_events("never"))


def check(front: Front, steps: list[Step], code: str, ending: str, *, quick: bool = False) -> None:
    """Check what a client and the ledger get of an answer that fails behind six words."""
    with Peer(steps) as peer, Peer(OTHER) as other:
        front.before(peer, other, quick=quick, model={"upstream_model": "gpt-4o"})
        answer = front.ask()
        assert not other.requests
    assert answer.status == 200
    assert (answer.text, answer.finish_reasons) == ("".join(WORDS), [])
    assert b"[DONE]" not in answer.body
    errors = [event for event in answer.events if "error" in event]
    assert errors == answer.events[-1:]
    (last,) = errors
    assert last["error"]["code"] == code
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert "127.0.0.1" not in last["error"]["message"]
    assert last["deltaweir"]["usage"]["completion_tokens"] == len(WORDS)
    assert front.attempts(answer) == [("u0", ending)]
    row = front.row(answer)
    assert row.closed is not None
    assert (row.closed.ending, row.closed.finish_reason) == (ending, None)
    assert (row.tally.completion_tokens, row.tally.source) == (len(WORDS), "counted")


@pytest.mark.parametrize(("fault", "framing"), CASES)
def test_a_stream_that_fails_behind_content(front: Front, fault: Fault, framing: Framing) -> None:
    """One error event with partial usage is the last; no finish reason, no [DONE], no retry."""
    steps = stream_answer([*BEGUN, *fault.parts], framing=framing, end=fault.ends)
    check(front, steps, fault.code, fault.ending, quick=fault.code == "stall_timeout")


@pytest.mark.parametrize(
    ("raw", "code", "ending"),
    [
        (b"ff\r\ndata: {", "upstream_truncated", "truncated"),
        (b"zz\r\n", "upstream_failed", "failed"),
        (b"4\r\nabcdXX", "upstream_failed", "failed"),
    ],
)
def test_the_framing_of_a_body_breaks(front: Front, raw: bytes, code: str, ending: str) -> None:
    """A piece that is cut off, or none, is an error event as well."""
    check(front, [*stream_answer(BEGUN, end=False), raw, Drop()], code, ending)


def test_a_body_shorter_than_its_length(front: Front) -> None:
    """What ends before the length that its head says is truncated."""
    steps = stream_answer([*BEGUN, b"data: more", Drop()], framing="length")
    cut = [*steps[: len(BEGUN) + 1], Drop()]
    check(front, cut, "upstream_truncated", "truncated")


@pytest.mark.parametrize("begun", [BEGUN, BEGUN[:1]], ids=["in the stream", "before content"])
def test_heartbeats_of_an_upstream_do_not_stop_the_clock(front: Front, begun: list[Step]) -> None:
    """An upstream that only says that it lives is given up like one that says nothing."""
    pauses = [Pause() for _ in range(40)]
    beats = [step for pause in pauses for step in (HEARTBEAT, pause)]

    def beat() -> None:
        for pause in pauses:
            if not pause.reached.wait(0.2):
                return
            time.sleep(0.02)
            pause.release()

    with Peer(stream_answer([*begun, *beats, *chat_events("end")]), OTHER) as peer:
        front.before(peer, quick=True)
        with ThreadPoolExecutor(1) as threads:
            threads.submit(beat)
            answer = front.ask()
    attempt = front.attempts(answer)[0]
    assert attempt == ("u0", "stalled")
    if begun is BEGUN:
        assert answer.events[-1]["error"]["code"] == "stall_timeout"
    else:
        assert answer.text == "never"


def test_usage_that_came_before_the_fault_is_the_account(front: Front) -> None:
    """Where the provider's own figures are here, they are told and booked."""
    with Peer([*stream_answer(usage_first(), end=False), Drop()]) as peer:
        front.before(peer)
        answer = front.ask()
    assert answer.events[-1]["deltaweir"]["usage"]["completion_tokens"] == 9
    tally = front.row(answer).tally
    assert (tally.completion_tokens, tally.source) == (9, "provider")


def usage_first() -> list[Step]:
    """Return events of which each tells the usage so far."""
    usage = b'"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12},"choices"'
    return [one.replace(b'"choices"', usage) for one in BEGUN if isinstance(one, bytes)]


def test_a_stream_without_done_but_with_its_end_is_complete(front: Front) -> None:
    """A finish reason is an end, also where [DONE] never comes."""
    with Peer(stream_answer(chat_events("Hi", done=False, usage=(3, 1)))) as peer:
        front.before(peer)
        answer = front.ask()
    assert (answer.finish_reasons, answer.done) == (["stop"], True)
    row = front.row(answer)
    assert row.closed is not None
    assert row.closed.ending == "complete"


@pytest.mark.parametrize("fault", [Drop(), Reset()])
def test_a_connection_that_breaks_behind_the_finish_reason(front: Front, fault: Step) -> None:
    """The answer is whole, and its client is told so."""
    with Peer([*stream_answer(chat_events("Hi", done=False), end=False), fault]) as peer:
        front.before(peer)
        answer = front.ask()
    assert (answer.text, answer.finish_reasons, answer.done) == ("Hi", ["stop"], True)


def test_one_of_two_choices_without_an_end_is_no_whole_answer(front: Front) -> None:
    """With n=2 each choice needs its finish reason; the ended one keeps its own."""
    other = BEGUN[-1]
    assert isinstance(other, bytes)
    two = other.replace(b'"index":0', b'"index":1')
    with Peer(stream_answer([*BEGUN, two, *chat_events(done=False)[1:]])) as peer:
        front.before(peer)
        answer = front.ask(n=2)
    assert answer.finish_reasons == ["stop"]
    assert answer.events[-1]["error"]["code"] == "upstream_truncated"
    assert front.attempts(answer) == [("u0", "truncated")]


def test_an_upstream_that_says_done_has_ended(front: Front) -> None:
    """[DONE] is its word that all was sent, also where it gave no finish reason."""
    with Peer(stream_answer([*BEGUN, DONE])) as peer:
        front.before(peer)
        answer = front.ask()
    assert (answer.text, answer.done) == ("".join(WORDS), True)
    assert front.attempts(answer) == [("u0", "complete")]


def test_an_error_over_http_names_nothing_of_python(front: Front) -> None:
    """What a client reads of a truncated stream makes sense without this package."""
    with Peer(stream_answer(BEGUN)) as peer:
        front.before(peer)
        answer = front.ask()
    assert ".partial" not in answer.events[-1]["error"]["message"]


@pytest.mark.parametrize("fault", FAULTS[:6], ids=[one.name for one in FAULTS[:6]])
def test_a_whole_reply_put_together_of_a_stream_that_fails(front: Front, fault: Fault) -> None:
    """It is an error with its status, never a reply that looks whole; nobody else is asked."""
    steps = stream_answer([*BEGUN, *fault.parts], end=fault.ends)
    with Peer(steps) as peer, Peer(OTHER) as other:
        front.before(peer, other, model={"budget": "90tok", "upstream_model": "gpt-4o"})
        answer = front.ask(stream=False)
        assert not other.requests
    assert (answer.status, answer.error["code"]) == (502, fault.code)
    row = front.row(answer)
    assert row.closed is not None
    assert (row.closed.ending, row.tally.completion_tokens) == (fault.ending, len(WORDS))


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_whole_reply_that_is_cut_off(front: Front, framing: Framing) -> None:
    """A JSON body that breaks off is no answer: the next upstream is asked."""
    raw = b'{"choices": [{"index": 0, "message": {"content": "Hi'
    cut = stream_answer(
        [raw, b"}" * 9], framing=framing, headers={"content-type": "application/json"}
    )
    good = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
    whole = stream_answer([good], framing="length", headers={"content-type": "application/json"})
    with Peer([*cut[:2], Drop()]) as peer, Peer(whole) as other:
        front.before(peer, other)
        answer = front.ask(stream=False)
    assert answer.json["choices"][0]["message"]["content"] == "Hi"
    assert [name for name, _ in front.attempts(answer)] == ["u0", "u1"]


def test_a_whole_reply_without_a_finish_reason_is_a_reply(front: Front) -> None:
    """A body that came whole is answered as it came, as the client would have got it."""
    raw = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"}}]}'
    page = stream_answer([raw], framing="length", headers={"content-type": "application/json"})
    with Peer(page) as peer:
        front.before(peer)
        answer = front.ask(stream=False)
    assert answer.status == 200
    assert answer.json["choices"][0]["message"]["content"] == "Hi"
