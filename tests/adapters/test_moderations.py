"""A moderation endpoint is asked over real sockets, and every fault of it is one error."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from deltaweir.adapters.moderations import EndpointJudge
from deltaweir.client.provider import provider_of
from deltaweir.errors import ClassifierFailed
from deltaweir.guard.findings import CLEAN, Finding
from deltaweir.testing.faults import (
    Drop,
    NeverRead,
    Pause,
    Reset,
    Step,
    Trickle,
    error_answer,
    json_answer,
    stream_answer,
)
from deltaweir.testing.peer import Peer
from deltaweir.testing.ports import Unreachable, unused_port

KEY = "sk-very-secret-0123456789"
TEXT = "a text that nobody may repeat"
BAD = {"results": [{"flagged": True, "categories": {"hate": True}}]}
NICE = {"results": [{"flagged": False}]}
SHORT_S = 0.06
NOW = {"retry-after": "0"}
Way = Callable[[EndpointJudge], Finding]


def blocking(judge: EndpointJudge) -> Finding:
    """Ask as a program that blocks does."""
    return judge.judge(TEXT)


def awaiting(judge: EndpointJudge) -> Finding:
    """Ask as a program that awaits does."""
    return asyncio.run(judge.judge_async(TEXT))


@pytest.fixture(params=[blocking, awaiting])
def ask(request: pytest.FixtureRequest) -> Way:
    """One of the two ways to ask."""
    way: Way = request.param
    return way


def judge_of(base_url: str, timeout_s: float = 5.0, **more: Any) -> EndpointJudge:
    """Return the judge that asks an endpoint."""
    options: dict[str, Any] = {"model": None, "thresholds": None, **more}
    provider = provider_of(base_url, api_key=KEY, retries=options.pop("retries", 2))
    return EndpointJudge(provider, name="omni", timeout_s=timeout_s, **options)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (json_answer(BAD), Finding(flagged=True, category="hate")),
        (json_answer(NICE), CLEAN),
        (json_answer(NICE, framing="chunked"), CLEAN),
        (
            [Trickle(b"".join(step for step in json_answer(BAD) if isinstance(step, bytes)))],
            Finding(flagged=True, category="hate"),
        ),
    ],
)
def test_an_endpoint_gives_its_verdict(ask: Way, answer: Sequence[Step], found: Finding) -> None:
    """However its answer is framed and cut."""
    with Peer(answer) as peer:
        assert ask(judge_of(peer.base_url)) == found


def test_a_connection_serves_the_next_question() -> None:
    """Both ways keep it, each its own."""
    with Peer(json_answer(NICE)) as peer:
        judge = judge_of(peer.base_url)
        judge.judge(TEXT)
        judge.judge(TEXT)
        assert peer.connections == 1

        async def twice() -> None:
            await judge.judge_async(TEXT)
            await judge.judge_async(TEXT)

        asyncio.run(twice())
        assert peer.connections == 2
        asyncio.run(twice())
        assert peer.connections == 3
        assert len(peer.requests) == 6


def test_a_refusal_that_may_pass_is_tried_again(ask: Way) -> None:
    """As every request is, within the time for a verdict."""
    busy = error_answer(503, headers=NOW)
    with Peer(busy, busy, json_answer(NICE)) as peer:
        assert ask(judge_of(peer.base_url)) == CLEAN
        assert len({request.headers["x-client-request-id"] for request in peer.requests}) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (error_answer(500, TEXT + KEY), r"InternalServerError \(500\)"),
        (error_answer(401, TEXT + KEY), r"AuthenticationFailed \(401\)"),
        (error_answer(404, TEXT), r"NotFoundError \(404\)"),
        (error_answer(400, TEXT, code="stall_timeout"), "asked: StallTimeout$"),
        (json_answer({"error": {"message": TEXT}}), "StreamFailed"),
        (json_answer([TEXT]), "StreamFailed"),
        (json_answer({"results": [{"flagged": TEXT}]}), "StreamFailed"),
        (json_answer({"results": []}), "without results"),
        (stream_answer([b"<html>" + TEXT.encode()]), "StreamFailed"),
        ([b"garbage\r\n\r\n", Drop()], "StreamFailed"),
        ([json_answer(BAD)[0], b'{"results"', Drop()], "StreamTruncated"),
    ],
)
def test_an_answer_that_is_none_gives_no_verdict(
    ask: Way, answer: Sequence[Step], why: str
) -> None:
    """The error names its kind, and repeats nothing that the endpoint said."""
    with Peer(answer) as peer, pytest.raises(ClassifierFailed, match=why) as caught:
        ask(judge_of(peer.base_url, retries=0))
    error = caught.value
    assert str(error).startswith("the classifier 'omni' ")
    assert TEXT not in str(error)
    assert KEY not in str(error)
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize(
    "answer",
    [
        [Pause()],
        [json_answer(NICE)[0], Pause()],
        [NeverRead()],
        [Drop()],  # tried again, after a pause that is too long
        [Reset()],
        error_answer(503, headers={"retry-after": "30"}),
    ],
)
def test_an_endpoint_that_is_slow_or_hangs_up_is_given_up(ask: Way, answer: Sequence[Step]) -> None:
    """When its time is up there is no verdict, whatever it does."""
    with Peer(answer) as peer:
        began = time.monotonic()
        with pytest.raises(ClassifierFailed, match=r"no verdict within 0\.06 s"):
            ask(judge_of(peer.base_url, SHORT_S))
        assert SHORT_S <= time.monotonic() - began < 5


def test_an_endpoint_that_cannot_be_reached_gives_no_verdict(ask: Way) -> None:
    """Neither where connections hang, nor where they are refused."""
    with Unreachable() as nowhere, pytest.raises(ClassifierFailed, match="no verdict within"):
        ask(judge_of(nowhere.base_url, SHORT_S))
    with pytest.raises(ClassifierFailed, match=r"asked: ConnectionFailed$"):
        ask(judge_of(f"http://127.0.0.1:{unused_port()}/v1", retries=0))


def test_a_text_that_is_none_gives_no_verdict(ask: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a surrogate pair cannot be sent."""
    judge = judge_of("http://127.0.0.1:9/v1")
    monkeypatch.setattr(f"{__name__}.TEXT", "\ud800")
    with pytest.raises(ClassifierFailed, match="UnicodeEncodeError"):
        ask(judge)


def test_thresholds_and_model_are_used(ask: Way) -> None:
    """They are kept as they were when the judge was made."""
    thresholds = {"hate": 0.5}
    scores = {"results": [{"flagged": False, "category_scores": {"hate": 0.5}}]}
    with Peer(json_answer(scores)) as peer:
        judge = judge_of(peer.base_url, model="omni", thresholds=thresholds)
        thresholds["hate"] = 1.0
        assert ask(judge).flagged
        assert b'"model":"omni"' in peer.requests[0].body


def test_a_repr_tells_no_key() -> None:
    """It tells the address."""
    assert repr(judge_of("http://h/v1?key=secret")) == "EndpointJudge('http://h/v1')"


def test_loops_in_several_threads_do_not_share_connections() -> None:
    """A question on one loop does not end those on another."""
    pause = Pause()
    with Peer([pause, *json_answer(BAD)], json_answer(NICE)) as peer:
        judge = judge_of(peer.base_url)
        first: list[Finding] = []
        thread = threading.Thread(target=lambda: first.append(awaiting(judge)))
        thread.start()
        assert pause.reached.wait(5.0)
        assert awaiting(judge) == CLEAN
        pause.release()
        thread.join(5.0)
        assert [found.flagged for found in first] == [True]
