"""One request passed on: whom it asks, when it rests, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deltaweir.client import answers
from deltaweir.client.relayed import RelayExchange
from deltaweir.endings import Ending
from deltaweir.gateway.config.file import UpstreamConfig
from deltaweir.gateway.passthrough.passing import passed
from deltaweir.gateway.passthrough.relay import Relay
from deltaweir.gateway.upstreams.upstreams import Upstream
from deltaweir.testing import Pause, Peer, stream_answer


class Written:
    """A lane that keeps what is written into it."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        """Keep bytes."""
        self.data += data


@pytest.fixture(autouse=True)
async def _no_leaks() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0.001)
    gc.collect()


def upstream_at(peer: Peer, **more: Any) -> Upstream:
    """Return an upstream that is this peer."""
    return Upstream(UpstreamConfig(name="u", base_url=peer.base_url, **more))


def relay_to(*upstreams: Upstream) -> Relay:
    """Return a request that is not on its way yet."""
    asked = passed("POST", "/v1/x", b"", [], b"")

    def exchange(upstream: Upstream) -> RelayExchange:
        sent = asked.to(upstream.provider, request_id="req_1")
        return RelayExchange(sent, bodiless=False, chance=lambda: 0.0, now=lambda: 0.0)

    return Relay(upstreams, exchange, what="/x")


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again soon where nobody says when."""
    monkeypatch.setattr(answers, "FIRST_PAUSE_S", 0.001)


async def reached(pause: Pause) -> None:
    """Wait until a peer is there."""
    assert await asyncio.to_thread(pause.reached.wait, 5)


async def test_a_client_who_is_too_slow_holds_the_answer_at_every_stage() -> None:
    """Before the head, between the head and the body, and in the body."""
    with Peer(stream_answer([b"one", b"two"])) as peer:
        upstream, lane = upstream_at(peer), Written()
        relay = relay_to(upstream)
        relay.hold()
        asking = asyncio.create_task(relay.ask())
        assert await asyncio.to_thread(peer.wait_requests, 1)
        await asyncio.sleep(0.02)
        assert not asking.done()
        relay.go_on()
        said = await asking
        assert said is not None
        assert said.head.status == 200
        relay.hold()
        relay.go_on()  # the head is not on its way yet
        relay.hold()
        relay.open_to(lane)  # type: ignore[arg-type]  # all that it needs of one
        relay.go_on()
        await relay.done
        assert (lane.data, relay.ending) == (b"onetwo", Ending.COMPLETE)
        upstream.close()


async def test_a_request_that_has_ended_asks_nobody() -> None:
    """Its client has gone before."""
    with Peer([]) as peer:
        relay = relay_to(upstream_at(peer))
        relay.reader_left()
        relay.stop()
        assert await relay.ask() is None
        assert (relay.ending, relay.failure, peer.requests) == (Ending.ABANDONED, None, [])


async def test_a_request_that_is_cancelled_closes_its_upstream() -> None:
    """And leaves the breaker as it was, so that others may try."""
    pause = Pause()
    with Peer([pause]) as peer:
        upstream = upstream_at(peer)
        for _ in range(5):
            upstream.breaker.failed(upstream.breaker.asked(-100), -100)
        relay = relay_to(upstream)
        asking = asyncio.create_task(relay.ask())
        await reached(pause)
        assert upstream.breaker.wait(time.monotonic()) > 0
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        relay.leave()
        assert upstream.breaker.wait(time.monotonic()) == 0
        assert await asyncio.to_thread(peer.wait_gone)
        assert upstream.active == 0


async def test_an_upstream_whose_connections_are_all_in_use_is_passed_over() -> None:
    """After the time that a connection may take."""
    with Peer(stream_answer([b"x"])) as peer:
        full = upstream_at(peer, max_connections=1, timeouts={"connect": 0.01})
        release = await full.reserve(None)
        other = upstream_at(peer)
        relay = relay_to(full, other)
        assert await relay.ask() is not None
        assert relay.attempts == 2
        relay.leave()
        release()


async def test_a_crowd_says_nothing_of_an_upstream() -> None:
    """Whoever found no connection free, however often, keeps nobody away."""
    with Peer(stream_answer([b"x"])) as peer:
        full = upstream_at(peer, max_connections=1, timeouts={"connect": 0.001})
        release = await full.reserve(None)
        for _ in range(4):
            full.breaker.failed(full.breaker.asked(0.0), 0.0)
        for _ in range(2):
            relay = relay_to(full)
            assert await relay.ask() is None
            assert relay.attempts == 3
        release()
        assert not full.breaker.open
        full.breaker.failed(full.breaker.asked(0.0), 0.0)
        assert full.breaker.open


async def test_a_client_who_leaves_gives_up_its_place_in_the_queue() -> None:
    """At once, not after the time that a connection may take."""
    with Peer([]) as peer:
        full = upstream_at(peer, max_connections=1)
        release = await full.reserve(None)
        relay = relay_to(full)
        asking = asyncio.create_task(relay.ask())
        await asyncio.sleep(0)
        assert full._waiting
        relay.reader_left()
        assert await asking is None
        assert (len(full._waiting), peer.requests) == (0, [])
        release()
        assert full.active == 0


async def test_whoever_gets_its_turn_after_the_breaker_has_opened_does_not_ask() -> None:
    """Its connection goes to the next in the row."""
    with Peer([]) as peer:
        full = upstream_at(peer, max_connections=1)
        release = await full.reserve(None)
        relay = relay_to(full)
        asking = asyncio.create_task(relay.ask())
        await asyncio.sleep(0)
        assert full._waiting
        for _ in range(5):
            full.breaker.failed(full.breaker.asked(0.0), time.monotonic())
        release()
        assert await asking is None
        assert relay.failure is not None
        assert relay.failure.code == "upstreams_resting"
        assert (full.active, peer.requests) == (0, [])


async def test_each_read_of_a_body_winds_the_clock() -> None:
    """Only a pause between two of them may not be too long."""
    pause = Pause()
    with Peer(stream_answer([b"one", pause, b"two", Pause()], end=False)) as peer:
        relay = relay_to(upstream_at(peer, timeouts={"stall": 0.1}))
        assert await relay.ask() is not None
        lane = Written()
        relay.open_to(lane)  # type: ignore[arg-type]  # as above
        await asyncio.sleep(0.06)
        pause.release()
        await asyncio.sleep(0.06)
        assert relay.open
        await relay.done
        assert (lane.data, relay.ending) == (b"onetwo", Ending.STALLED)
