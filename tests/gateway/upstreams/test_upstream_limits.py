"""Upstreams with few connections, with too many failures, and with another configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.gateway.conftest import until
from tests.gateway.fronts import Front, fronted, refusing

from deltaweir.client import answers
from deltaweir.gateway.upstreams.breaker import FAILURES, FIRST_REST_S
from deltaweir.testing import Pause, Peer, chat_events, error_answer, stream_answer

HELLO = stream_answer(chat_events("Hi"))
FAILS = error_answer(500, headers={"x-should-retry": "false"})


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted() as one:
        yield one


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again soon where nobody says when."""
    monkeypatch.setattr(answers, "FIRST_PAUSE_S", 0.01)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for clients that wait."""
    with ThreadPoolExecutor(4) as threads:
        yield threads


def test_streams_wait_for_their_turn(front: Front, pool: ThreadPoolExecutor) -> None:
    """With max_connections = 1 one stream runs at a time, and nobody is refused."""
    pause = Pause()
    with Peer([pause, *HELLO], HELLO) as peer:
        front.before(peer, max_connections=1)
        asking = [pool.submit(front.ask) for _ in range(3)]
        assert pause.reached.wait(5)
        until(lambda: len(front.upstreams["u0"]._waiting) == 2)
        assert (front.upstreams["u0"].active, len(peer.requests)) == (1, 1)
        pause.release()
        assert all(one.result(5).done for one in asking)
        until(lambda: front.upstreams["u0"].active == 0)  # its last bytes come after its end
        assert peer.connections == 1


def test_a_turn_that_never_comes(front: Front, pool: ThreadPoolExecutor) -> None:
    """After the time to connect the next upstream is asked; the ledger has both."""
    pause = Pause()
    with Peer([pause, *HELLO]) as peer, Peer(HELLO) as other:
        front.before(peer, other, max_connections=1, timeouts={"connect": 0.1})
        first = pool.submit(front.ask)
        assert pause.reached.wait(5)
        answer = front.ask()
        pause.release()
        assert first.result(5).done
    assert answer.done
    assert front.attempts(answer) == [("u0", "failed"), ("u1", "complete")]


def test_a_client_that_gives_up_its_place(front: Front, pool: ThreadPoolExecutor) -> None:
    """Who hangs up while waiting takes no turn; the next in the row does."""
    pause = Pause()
    with Peer([pause, *HELLO], HELLO) as peer:
        front.before(peer, max_connections=1)
        upstream = front.upstreams["u0"]
        first = pool.submit(front.ask)
        assert pause.reached.wait(5)
        with front.client():
            until(lambda: len(upstream._waiting) == 1)
            last = pool.submit(front.ask)
            until(lambda: len(upstream._waiting) == 2)
        until(lambda: front.running.answers == 2)
        pause.release()
        assert first.result(5).done
        assert last.result(5).done
        assert len(peer.requests) == 2


def test_upstreams_that_fail_again_and_again_are_left_alone(front: Front) -> None:
    """From then on clients are told at once, with the seconds until it is worth to ask again."""
    with Peer(FAILS) as peer:
        front.before(peer)
        statuses = [front.ask().status for _ in range(FAILURES)]
        answer = front.ask()
    assert statuses == [500] * FAILURES
    assert len(peer.requests) == FAILURES
    assert (answer.status, answer.error["code"]) == (503, "upstreams_resting")
    wait = int(answer.headers["retry-after"])
    assert 1 <= wait <= FIRST_REST_S + 1
    assert f"{wait} s" in answer.error["message"]
    assert front.attempts(answer) == []


def test_the_next_upstream_stands_in_for_one_that_rests(front: Front) -> None:
    """Nobody is asked in vain while it rests."""
    with Peer(FAILS) as peer, Peer(HELLO) as other:
        front.before(peer, other)
        answers_ = [front.ask() for _ in range(FAILURES + 2)]
    assert all(one.done for one in answers_)
    assert len(peer.requests) == FAILURES
    assert front.attempts(answers_[-1]) == [("u1", "complete")]


def test_an_upstream_that_works_again_is_taken_again(
    front: Front, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After its rest one stream tries it, and all others follow; the log tells of both changes."""
    caplog.set_level("INFO", "deltaweir.gateway")
    monkeypatch.setattr("deltaweir.gateway.upstreams.breaker.FIRST_REST_S", 0.1)
    with Peer(*[FAILS] * FAILURES, HELLO) as peer:
        front.before(peer)
        for _ in range(FAILURES):
            front.ask()
        assert front.ask().status == 503
        until(lambda: front.upstreams["u0"].breaker.wait(front.now()) == 0)
        assert shown_open(front) == b"1.0"
        assert [front.ask().status for _ in range(3)] == [200, 200, 200]
    assert shown_open(front) == b"0.0"
    changes = [one.getMessage() for one in caplog.records if "breaker" in one.getMessage()]
    opened, closed = changes
    assert opened.startswith("upstream u0: its breaker is open after 5 failures in a row")
    assert closed == "upstream u0: it answers again, its breaker is closed"


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_in_one_read_closes_a_breaker(front: Front, *, stream: bool) -> None:
    """Also where it is over before anybody has looked, and kept for a whole reply."""
    with Peer([b"".join(one for one in HELLO if isinstance(one, bytes))]) as peer:
        front.before(peer, model={"budget": {"tokens": 900}})
        breaker = front.upstreams["u0"].breaker
        front.on_loop(lambda: [breaker.failed(breaker.asked(0.0), 0.0) for _ in range(4)])
        assert front.ask(stream=stream).status == 200
        assert breaker._failures == 0


def shown_open(front: Front) -> bytes:
    """Return what the metrics say of the first upstream's breaker."""
    name = b'deltaweir_upstream_breakers_open{upstream="u0"} '
    (line,) = (one for one in front.get("/metrics").splitlines() if one.startswith(name))
    return line.removeprefix(name)


def test_the_retries_of_a_request_are_no_further_failures(front: Front) -> None:
    """One client whose requests make an upstream fail needs many of them to bar it for others."""
    fails = error_answer(500, headers={"retry-after-ms": "1"})
    with Peer(*[fails] * 6, HELLO) as peer:
        front.before(peer)
        assert [front.ask().status for _ in range(2)] == [500, 500]
        assert front.ask().done
    assert len(peer.requests) == 7


def test_a_trial_keeps_others_away_until_its_head(front: Front) -> None:
    """Its first content may be a long time coming."""
    pause = Pause()
    with Peer(*[FAILS] * FAILURES, [*HELLO[:1], pause, *HELLO[1:]], HELLO) as peer:
        front.before(peer)
        for _ in range(FAILURES):
            front.ask()
        breaker = front.upstreams["u0"].breaker
        front.on_loop(lambda: setattr(breaker, "_until", 0.0))  # its rest is over
        with front.client():
            assert pause.reached.wait(5)
            until(lambda: front.on_loop(lambda: breaker.wait(front.now())) == 0)
            assert front.ask().done
            pause.release()


def test_a_crowd_is_neither_failure_nor_answer(front: Front, pool: ThreadPoolExecutor) -> None:
    """However many find no connection free, a breaker stays as it was."""
    pause = Pause()
    with Peer([pause, *HELLO]) as peer:
        front.before(peer, max_connections=1, timeouts={"connect": 0.01})
        breaker = front.upstreams["u0"].breaker
        front.on_loop(lambda: [breaker.failed(breaker.asked(0.0), 0.0) for _ in range(4)])
        first = pool.submit(front.ask)
        assert pause.reached.wait(5)
        assert [front.ask().status for _ in range(2)] == [502, 502]
        assert breaker._failures == FAILURES - 1
        pause.release()
        assert first.result(5).done


@pytest.mark.parametrize("status", [400, 403, 404])
def test_refusals_of_a_request_say_nothing_of_an_upstream(front: Front, status: int) -> None:
    """However often one client asks for nonsense, others are served."""
    with Peer(*[error_answer(status)] * (FAILURES + 1), HELLO) as peer:
        front.before(peer)
        for _ in range(FAILURES + 1):
            assert front.ask().status >= 400
        assert front.ask().done


def test_clients_that_leave_say_nothing_of_an_upstream(front: Front) -> None:
    """However many hang up before the answer, the upstream is asked by the next."""
    pauses = [Pause() for _ in range(FAILURES + 1)]
    with Peer(*[[pause] for pause in pauses], HELLO) as peer:
        front.before(peer)
        for number, pause in enumerate(pauses):
            with front.client():
                assert pause.reached.wait(5)
            assert peer.wait_gone(number)
        assert front.ask().done


def test_a_reload_leaves_running_streams_alone(front: Front, pool: ThreadPoolExecutor) -> None:
    """They end as they began, though their upstream is no longer in the configuration."""
    pause, parts = Pause(), chat_events("Hel", "lo")
    with Peer(stream_answer([*parts[:2], pause, *parts[2:]])) as peer, Peer(HELLO) as other:
        front.before(peer)
        running = pool.submit(front.ask)
        assert pause.reached.wait(5)
        front.before(other)
        assert front.ask().text == "Hi"
        pause.release()
        assert running.result(5).text == "Hello"
        assert peer.wait_gone(timeout_s=1)  # nobody will use its connection again


def test_a_reload_keeps_connections_and_drops_others(front: Front) -> None:
    """An upstream that stays as it was keeps its idle connection; one that goes closes it."""
    with Peer(HELLO) as peer:
        front.before(peer)
        assert front.ask().done
        front.kept()
        front.before(peer)
        assert front.ask().done
        assert peer.connections == 1
        front.kept()
        front.before(refusing())
        assert peer.wait_gone(timeout_s=1)


def test_figures_of_pools(front: Front) -> None:
    """/metrics tells how many connections are in use, and how many wait."""
    with Peer(HELLO) as peer:
        front.before(peer)
        assert front.ask().done
        until(lambda: front.upstreams["u0"].idle == 1)
        body = front.get("/metrics")
    assert b'deltaweir_upstream_connections{state="idle",upstream="u0"} 1.0' in body
    assert b'upstream="u0"} 0.0' in body


def test_a_whole_reply_waits_for_its_turn_too(front: Front, pool: ThreadPoolExecutor) -> None:
    """Whole replies take a connection as streams do."""
    pause, raw = Pause(), b'{"choices":[{"index":0,"message":{},"finish_reason":"stop"}]}'
    whole = stream_answer([raw], framing="length", headers={"content-type": "application/json"})
    with Peer([pause, *whole], whole) as peer:
        front.before(peer, max_connections=1)
        asking = [pool.submit(front.ask, stream=False) for _ in range(2)]
        assert pause.reached.wait(5)
        until(lambda: len(front.upstreams["u0"]._waiting) == 1)
        pause.release()
        assert [json.loads(one.result(5).body)["choices"][0]["index"] for one in asking] == [0, 0]
