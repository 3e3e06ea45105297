"""Gateways behind a balancer are replaced and killed, and no stream is lost or called complete."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.live.balancers import KINDS, Balancer, HAProxy
from tests.live.lines import Line, again, ask, whole
from tests.live.pairs import (
    WHOLE,
    WORDS,
    Gateway,
    Provider,
    addresses,
    made,
    parted,
    paused,
    provider_fixture,
    started,
)
from tests.live.served import until
from tests.live.valkeys import Valkey

__all__ = ["provider_fixture"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]


@pytest.fixture(name="own", params=KINDS, ids=lambda kind: kind.program)
def own_fixture(
    request: pytest.FixtureRequest, provider: Provider, valkey: Valkey, tmp_path: Path
) -> Iterator[tuple[Balancer, list[Gateway]]]:
    """Return a balancer and its gateways, which a test may end."""
    kind: type[Balancer] = request.param
    with contextlib.ExitStack() as stack:
        gateways = started(stack, made(tmp_path, provider, valkey))
        yield stack.enter_context(kind(tmp_path / "own", addresses(gateways))), gateways


def test_a_gateway_is_replaced_under_load(
    own: tuple[Balancer, list[Gateway]], provider: Provider
) -> None:
    """It drains: its streams run on, new ones go elsewhere, and then it comes back."""
    front, gateways = own
    (pause,) = paused(provider, 5)
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(ask(front)) for _ in range(3)]
        for line in lines:
            line.until(b'" 5"')
        # the one with fewer streams, to which the balancer would send all that is new
        leaving = min(gateways, key=lambda one: one.runs)
        assert leaving.runs == 1, front.log
        leaving.process.send_signal(signal.SIGTERM)
        until(lambda: leaving.ask(path="/readyz").status == http.client.SERVICE_UNAVAILABLE)
        provider.answer = WHOLE
        for prompt in ("Count.", "Count on! " * 5000) * 3:
            assert whole(front, prompt)
        pause.release()
        for line in lines:
            assert line.rest()
            assert line.said == "".join(WORDS)
    leaving.stop()
    assert whole(front)
    with leaving.again() as back:
        until(lambda: whole(front) and back.metrics().get("deltaweir_streams_total", 0) > 0)


def test_readers_of_a_gateway_that_leaves_go_on(
    provider: Provider, valkey: Valkey, tmp_path: Path
) -> None:
    """What it only reads from another it gives up when its time is over, and never as whole."""
    (pause,) = paused(provider, 5)
    with contextlib.ExitStack() as stack:
        gateways = started(stack, made(tmp_path, provider, valkey, drain_s=1))
        front = stack.enter_context(HAProxy(tmp_path / "own", addresses(gateways)))
        line = stack.enter_context(ask(front, resume=True))
        line.until(b'" 5"')
        _, there = parted(gateways)
        with Line(there.address, f"/v1/streams/{line.stream}") as reader:
            reader.until(b'" 5"')
            there.stop()
            assert not reader.rest()
            with again(front, line.stream, reader.last) as other:
                pause.release()
                assert other.rest()
                assert reader.said + other.said == "".join(WORDS)
        assert line.rest()
        assert line.said == "".join(WORDS)


def test_a_killed_gateway_ends_honestly(
    own: tuple[Balancer, list[Gateway]], provider: Provider
) -> None:
    """Its client resumes elsewhere, has all that was journalled, and is told how it ended."""
    front, gateways = own
    paused(provider, 20)
    with ask(front, resume=True) as line:
        line.until(b'" 20"')
        here, there = parted(gateways)
        with Line(there.address, f"/v1/streams/{line.stream}") as reader:
            reader.until(b'" 20"')  # so much is in the store
            here.killed()
            assert not line.rest()
            provider.answer = WHOLE
            for _ in range(4):  # nobody is sent to a gateway that is gone
                assert whole(front)
            assert reader.rest()
        with again(front, line.stream, line.events[9].id) as late:
            assert late.rest()
            *kept, end = late.events
        assert [one.id for one in kept] == [one.id for one in line.events[10:]]
        assert json.loads(end.data)["error"]["code"] == "failed"
        assert reader.events[-1] == end
