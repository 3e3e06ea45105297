"""An answer in one piece is waited for within its clocks, by both ways of waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from deltaweir.client.clocks import Timeouts
from deltaweir.client.moderation import Moderations
from deltaweir.client.provider import Outgoing, outgoing, provider_of
from deltaweir.errors import InternalServerError, StallTimeout
from deltaweir.net.async_pool import AsyncPool
from deltaweir.net.blocking import Pool
from deltaweir.sources.fetch import fetch, fetch_async
from deltaweir.testing.faults import Pause, error_answer, json_answer
from deltaweir.testing.peer import Peer

Way = Callable[[Outgoing, Timeouts], Moderations]


def blocking(sent: Outgoing, timeouts: Timeouts) -> Moderations:
    """Wait as a program that blocks does."""
    return fetch(sent, Moderations, Pool(), timeouts)


def awaiting(sent: Outgoing, timeouts: Timeouts) -> Moderations:
    """Wait as a program that awaits does."""

    async def main() -> Moderations:
        return await fetch_async(sent, Moderations, AsyncPool(), timeouts)

    return asyncio.run(main())


@pytest.fixture(params=[blocking, awaiting])
def wait(request: pytest.FixtureRequest) -> Way:
    """One of the two ways to wait."""
    way: Way = request.param
    return way


def request_to(peer: Peer) -> Outgoing:
    """Return a request that is sent once."""
    provider = provider_of(peer.base_url, retries=0)
    return outgoing(provider, "/moderations", request_id="req_1", body=b"{}")


def test_an_answer_comes_whole(wait: Way) -> None:
    """It is what was asked for."""
    with Peer(json_answer({"results": [{"flagged": True}]})) as peer:
        assert wait(request_to(peer), Timeouts()).results[0].flagged


def test_a_refusal_is_raised_with_an_id(wait: Way) -> None:
    """Ours, where the server says none."""
    with Peer(error_answer(500)) as peer, pytest.raises(InternalServerError) as caught:
        wait(request_to(peer), Timeouts())
    assert caught.value.request_id == "req_1"


@pytest.mark.parametrize("clock", ["total", "headers"])
def test_a_clock_ends_the_wait(wait: Way, clock: str) -> None:
    """The error names the clock that ran out."""
    with Peer([Pause()]) as peer, pytest.raises(StallTimeout, match=clock) as caught:
        wait(request_to(peer), Timeouts()._replace(**{clock: 0.03}))
    assert caught.value.request_id == "req_1"
