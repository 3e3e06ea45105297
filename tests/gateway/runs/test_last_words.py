"""What ends a stream is its end: nothing of an upstream follows it, and nothing waits for long."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.gateway.conftest import CHAT, DEADLINE_S, until
from tests.gateway.fronts import Answer, Front, asked, fronted

from deltaweir.endings import Ending
from deltaweir.testing import Pause, Peer, chat_events, stream_answer
from deltaweir.testing.faults import Step
from deltaweir.wire.sse import DONE

END = b"data: [DONE]\n\n\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted() as one:
        yield one


def test_nothing_follows_the_end_of_a_response(front: Front) -> None:
    """A chunk that fits all others, but comes behind [DONE], is part of no response."""
    role, *words = chat_events("one", "two", "three", "four", "five", finish=None, done=False)
    pauses = [Pause() for _ in range(6)]
    parts: list[Step] = [role]
    for event, pause in zip([*words, DONE], pauses, strict=True):
        parts += [event, pause]
    with Peer(stream_answer([*parts, words[0], words[1]], end=False)) as peer:
        front.before(peer)
        body = json.dumps(asked()).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", front.port), DEADLINE_S) as kept:
            kept.sendall(head.encode() + body)
            got = b""
            for said, pause in zip(["one", "two", "three", "four", "five"], pauses, strict=False):
                while said.encode() not in got:
                    got += kept.recv(65536)
                pause.release()
            while END not in got:
                got += kept.recv(65536)
            pauses[-1].release()
            kept.settimeout(0.3)
            with pytest.raises(TimeoutError):
                got += kept.recv(1000) or b"closed"
        assert got.endswith(END)


def test_a_finish_chunk_does_not_wait_for_ever(front: Front) -> None:
    """An upstream that says nothing behind it is told apart from one that tells its usage."""
    events = chat_events("one", "two", done=False)
    with Peer([*stream_answer(events, end=False), Pause()]) as peer:
        front.before(peer, timeouts={"stall": 2.0})
        with front.client() as client:
            began = time.monotonic()
            client.read_until(b'"finish_reason":"stop"')
            assert time.monotonic() - began < 1.8
            client.read_until(b"[DONE]")
        row = front.row(client.tag)
    assert row.closed is not None
    assert row.closed.ending == "complete"


@pytest.mark.parametrize("stream", [True, False])
def test_a_key_revoked_before_the_first_content_is_an_error(front: Front, *, stream: bool) -> None:
    """There is no reply that one could call cut."""
    answers: list[Answer] = []
    with Peer([Pause()]) as peer:
        front.before(peer)
        runs = front.running.server.gateway.runs
        asking = threading.Thread(target=lambda: answers.append(front.ask(stream=stream)))
        asking.start()
        until(lambda: bool(runs) and peer.wait_requests(1))

        def revoke() -> None:
            for run in [*runs]:
                run.abort(Ending.REVOKED)

        front.on_loop(revoke)
        asking.join(10)
    (answer,) = answers
    assert answer.status == 401
    assert answer.error["message"] == "this key was revoked"


def test_the_keeper_outlives_a_failure(front: Front) -> None:
    """One look that fails does not end all others."""
    gateway: Any = front.running.server.gateway
    looked = threading.Event()
    publish = gateway.metrics.publish

    def fails() -> None:
        gateway.metrics.publish = seen
        raise RuntimeError

    def seen() -> None:
        looked.set()
        publish()

    try:
        gateway.metrics.publish = fails
        assert looked.wait(5)
    finally:
        gateway.metrics.publish = publish


def test_a_request_of_too_many_parts_is_refused(front: Front) -> None:
    """To look at each of them would take seconds."""
    answer = front.ask(metadata={"many": [[] for _ in range(100_001)]})
    assert answer.status == 400
    assert answer.error["code"] == "too_large"
