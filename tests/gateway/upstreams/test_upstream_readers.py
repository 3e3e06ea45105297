"""Clients that hang up, read slowly or never: what upstreams see, and what the ledger says."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gateway.conftest import DEADLINE_S, events, until
from tests.gateway.fronts import Front, fronted, refusing

from deltaweir.testing import Pause, Peer, Unreachable, chat_events, stream_answer
from deltaweir.testing.faults import Step

AT_ONCE_S = 1.0
"""What counts as at once, on a machine that is busy; commonly it is a millisecond."""
WORDS = [" one", " two", " three", " four", " five", " six"]
ENOUGH = 24 * 2**20
"""Bytes of a stream that fit into no buffers on its way."""


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted() as one:
        yield one


ROLE, *CONTENT = chat_events(*WORDS, finish=None, done=False)
MOMENTS: dict[str, list[Step]] = {
    "before the head": [],
    "before content": stream_answer([ROLE], end=False),
    "in the stream": stream_answer([ROLE, *CONTENT], end=False),
}


@pytest.mark.parametrize(("stream", "version"), [(True, "1.1"), (True, "1.0"), (False, "1.1")])
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_upstream_is_left_when_its_client_hangs_up(
    front: Front, moment: str, version: str, *, stream: bool
) -> None:
    """Whenever it goes, the upstream's connection is closed at once, and the row says abandoned."""
    pause = Pause()
    with Peer([*MOMENTS[moment], pause]) as peer:
        front.before(peer, model={"upstream_model": "gpt-4o"})
        with front.client(stream=stream, version=version) as one:
            assert pause.reached.wait(DEADLINE_S)
            if stream and moment == "in the stream":
                one.read_until(b" six")
            one.hang_up()
            assert peer.wait_gone(timeout_s=AT_ONCE_S)
        row = front.row(one.tag)
    assert row.closed is not None
    assert (row.closed.ending, row.closed.finish_reason) == ("abandoned", None)
    assert front.attempts(one.tag) == [("u0", "abandoned")]
    if stream and moment == "in the stream":
        assert (row.tally.completion_tokens, row.tally.source) == (len(WORDS), "counted")
    assert front.upstreams["u0"].active == 0


def test_a_client_that_hangs_up_while_a_connection_is_made(front: Front) -> None:
    """Its stream ends though its upstream neither takes nor refuses the connection."""
    with Unreachable() as nobody:
        front.before(nobody)
        with front.client() as one:
            until(lambda: front.upstreams["u0"].active == 1)
            one.hang_up()
            began = time.monotonic()
            until(lambda: front.running.answers == 0)
        assert time.monotonic() - began < AT_ONCE_S
        assert front.upstreams["u0"].active == 0


def test_a_client_that_hangs_up_while_upstreams_rest(front: Front) -> None:
    """The pause before another attempt ends with the client."""
    busy = b"HTTP/1.1 503 Busy\r\nretry-after: 30\r\ncontent-length: 0\r\n\r\n"
    with Peer([busy]) as peer:
        front.before(peer)
        with front.client() as one:
            assert peer.wait_requests(1)
            until(lambda: front.upstreams["u0"].active == 0)
            one.hang_up()
            until(lambda: front.running.answers == 0)
        row = front.row(one.tag)
    assert row.closed is not None
    assert row.closed.ending == "abandoned"


def test_a_stream_that_is_to_finish_goes_on_without_its_client(front: Front) -> None:
    """With ``on_disconnect: finish`` the upstream runs to its end, and all of it is booked."""
    pause, last = Pause(), chat_events(" end", usage=(3, 99))[1:]
    with Peer(stream_answer([ROLE, *CONTENT, pause, *last])) as peer:
        front.before(peer)
        with front.client(deltaweir={"on_disconnect": "finish"}) as one:
            one.read_until(b" six")
            one.hang_up()
            assert not peer.wait_gone(timeout_s=0.1)
            pause.release()
            row = front.row(one.tag)
        assert not peer.wait_gone(timeout_s=0)
    assert row.closed is not None
    assert (row.closed.ending, row.closed.finish_reason) == ("complete", "stop")
    assert (row.tally.completion_tokens, row.tally.source) == (99, "provider")


def test_a_stream_that_is_to_finish_is_asked_for_though_nobody_waits(front: Front) -> None:
    """Its client may go before the head of the upstream's answer."""
    pause = Pause()
    with Peer([pause, *stream_answer(chat_events("Hi", usage=(3, 7)))]) as peer:
        front.before(peer)
        with front.client(deltaweir={"on_disconnect": "finish"}) as one:
            assert pause.reached.wait(DEADLINE_S)
            one.hang_up()
            time.sleep(0.05)
            pause.release()
            row = front.row(one.tag)
    assert row.closed is not None
    assert (row.closed.ending, row.tally.completion_tokens) == ("complete", 7)


def long_answer() -> tuple[list[Step], int]:
    """Return an answer that fits into no buffers, and its characters."""
    words = ["word " * 3000] * (ENOUGH // 15_000)
    return stream_answer(chat_events(*words)), sum(map(len, words))


def settled(peer: Peer) -> int:
    """Wait until a peer can send no more, and return how much it has sent."""
    last = -1
    while peer.sent_bytes != last:
        last = peer.sent_bytes
        time.sleep(0.15)
    return last


def test_a_slow_reader_pauses_its_upstream_and_nobody_else(front: Front) -> None:
    """Little waits for it here, others stream on, no clock runs, and in the end it has all."""
    steps, length = long_answer()
    with Peer(steps) as peer, Peer(stream_answer(chat_events("Hi"))) as other:
        front.before(peer, timeouts={"stall": 0.25})
        with front.client(narrow=True) as slow:
            slow.read_until(b"data:")
            front.before(other)
            assert all(front.ask().done for _ in range(3))
            assert settled(peer) < ENOUGH * 7 / 8
            slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
            said = events(slow.rest())
    assert said.pop() == "[DONE]"
    text = "".join(one["choices"][0]["delta"].get("content", "") for one in said)
    assert len(text) == length


def test_a_reader_that_never_reads_is_given_up() -> None:
    """After slow_reader_s its connection is broken off and its upstream is left."""
    steps, _ = long_answer()
    with fronted(slow_reader_s=0.15) as front, Peer(steps) as peer:
        front.before(peer)
        with front.client(narrow=True) as slow:
            slow.read_until(b"data:")
            assert peer.wait_gone(timeout_s=5)
            row = front.row(slow.tag)
            with pytest.raises(ConnectionError):
                slow.rest()
    assert row.closed is not None
    assert row.closed.ending == "abandoned"


def test_a_reader_that_is_slow_but_reads_is_kept() -> None:
    """What counts is that it takes something within slow_reader_s, not how fast."""
    steps, _ = long_answer()
    with fronted(slow_reader_s=0.15) as front, Peer(steps) as peer:
        front.before(peer)
        with front.client() as slow:
            ends = time.monotonic() + 0.4
            while time.monotonic() < ends:
                assert slow.socket.recv(2**17)
                time.sleep(0.01)
            assert not peer.wait_gone(timeout_s=0)
            assert front.running.answers == 1


def test_a_stop_tells_the_streams_that_run() -> None:
    """When their time is over: one error event, the upstream closed, the row failed."""
    pause = Pause()
    steps = [*stream_answer([ROLE, *CONTENT], end=False), pause]
    with Peer(steps) as peer, fronted(drain_s=0.1) as front:
        front.before(peer)
        with front.client() as one:
            one.read_until(b" six")
            front.running.stop()
            said = events(one.rest())
            assert peer.wait_gone(timeout_s=AT_ONCE_S)
        front.running.join()
        row = front.row(one.tag)
    assert said[-1]["error"]["code"] == "service_unavailable"
    assert said[-1]["deltaweir"]["usage"]["completion_tokens"] > 0
    assert "[DONE]" not in said
    assert row.closed is not None
    assert row.closed.ending == "failed"


def test_nothing_is_left_of_clients_that_hang_up_at_any_moment(front: Front) -> None:
    """No task, no connection, no right to one: whenever they go, and whatever they wanted."""
    answers = [stream_answer(chat_events(*WORDS)), [*stream_answer(CONTENT, end=False), Pause()]]
    chance = random.Random(6)  # noqa: S311  # no secret
    with Peer(*answers * 40) as peer:
        front.before(peer, max_connections=5)
        assert front.ask().done
        tasks, descriptors = front.tasks(), opened()
        for _ in range(60):
            finish = {"deltaweir": {"on_disconnect": "finish"}} if chance.random() < 0.1 else {}
            with front.client(stream=chance.random() < 0.8, **finish) as one:
                if chance.random() < 0.8:
                    one.socket.settimeout(chance.random() * 0.02)
                    with contextlib.suppress(TimeoutError):
                        one.socket.recv(chance.randrange(1, 2000))
        upstream = front.upstreams["u0"]
        until(lambda: front.running.answers <= 5)  # those that go on without a reader
        front.on_loop(front.running.server.gateway.stop_runs)
        until(lambda: front.running.answers == upstream.active == 0)
        front.before(refusing())
        until(lambda: front.tasks() <= tasks)
        until(lambda: opened() <= descriptors)


def opened() -> int:
    """Return how many descriptors this process has open; 0 where the system does not tell."""
    told = Path("/proc/self/fd")
    return len([*told.iterdir()]) if told.is_dir() else 0
