"""Streams through nginx and HAProxy as ``deploy/`` sets them up: whole, and at once."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.live.balancers import KINDS, Balancer, HAProxy, Nginx
from tests.live.lines import again, ask
from tests.live.pairs import (
    WHOLE,
    WORDS,
    Gateway,
    Provider,
    addresses,
    made,
    paused,
    provider_fixture,
    started,
)
from tests.live.valkeys import Valkey

from deltaweir.testing import Pause, error_answer, json_answer

__all__ = ["provider_fixture"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

QUICK_S = 1.0
"""How soon what happens to a client is known to the provider, in seconds."""


@pytest.fixture(name="pair", scope="module")
def pair_fixture(
    provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Gateway]]:
    """Return two gateways on one store, for tests that end none of them."""
    folder = tmp_path_factory.mktemp("pair")
    with contextlib.ExitStack() as stack:
        valkey = stack.enter_context(Valkey(folder / "valkey"))
        yield started(stack, made(folder, provider, valkey))


@pytest.fixture(name="front", scope="module", params=KINDS, ids=lambda kind: kind.program)
def front_fixture(
    request: pytest.FixtureRequest, pair: list[Gateway], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balancer]:
    """Return a balancer before them."""
    kind: type[Balancer] = request.param
    with kind(tmp_path_factory.mktemp("front") / "own", addresses(pair)) as front:
        yield front


def test_events_come_one_by_one(front: Balancer, provider: Provider) -> None:
    """Each is there before the next one is sent: nothing collects them."""
    pauses = paused(provider, *range(1, 20))
    with ask(front) as line:
        for number, pause in enumerate(pauses, 1):
            line.until(b'"content":"%b"' % WORDS[number - 1].encode())
            pause.release()
        assert line.rest()
        assert line.said == "".join(WORDS)
        assert line.text.endswith(b"data: [DONE]\n\n")


def test_a_hang_up_reaches_the_provider(front: Balancer, provider: Provider) -> None:
    """Whoever closes the connection in a silence, between heartbeats, stops what costs money."""
    (pause,) = paused(provider, 3)
    with ask(front) as line:
        line.until(b'" 3"')
        assert pause.reached.wait(QUICK_S)
        line.hang_up()
        assert provider.wait_gone(provider.requests[-1].connection, timeout_s=QUICK_S)


def test_a_cut_connection_is_taken_up(front: Balancer, provider: Provider) -> None:
    """Wherever it lands, and by as many readers as like, it goes on behind the last event."""
    (pause,) = paused(provider, 5)
    asked = len(provider.requests)
    with ask(front, resume=True) as line, contextlib.ExitStack() as stack:
        line.until(b'" 5"')
        line.hang_up()
        readers = [stack.enter_context(again(front, line.stream, line.last)) for _ in range(4)]
        pause.release()
        for reader in readers:
            assert reader.rest()
            assert line.said + reader.said == "".join(WORDS)
            assert reader.text.endswith(b"data: [DONE]\n\n")
        with again(front, line.stream, readers[0].last) as late:
            assert late.status == http.client.NO_CONTENT
    assert len(provider.requests) == asked + 1


def test_a_reload_cuts_nothing(front: Balancer, provider: Provider) -> None:
    """A stream goes on by the old process while the new one takes what comes."""
    (pause,) = paused(provider, 5)
    with ask(front) as line:
        line.until(b'" 5"')
        front.reload()
        provider.answer = WHOLE
        with ask(front) as other:
            assert other.rest()
            assert other.said == "".join(WORDS)
        pause.release()
        assert line.rest()
        assert line.said == "".join(WORDS)


def test_errors_pass_as_they_are(front: Balancer, provider: Provider) -> None:
    """Where no gateway has an answer, the client has the last one's own words."""
    provider.answer = error_answer(503, "overloaded", code="overloaded")
    with ask(front) as line:
        assert line.status == http.client.SERVICE_UNAVAILABLE
        assert line.rest()
        assert json.loads(line.text)["error"]["code"] == "overloaded"


def test_heartbeats_outlast_silence(
    pair: list[Gateway], provider: Provider, tmp_path: Path
) -> None:
    """A provider may think for longer than any timeout, since the gateway shows that it lives."""
    short = {"timeout client 75s": "timeout client 3s", "server 610s": "server 3s"}
    (pause,) = paused(provider, 3)
    with contextlib.ExitStack() as stack:
        fronts = [
            Nginx(
                tmp_path / "n",
                addresses(pair),
                {"proxy_read_timeout 610s": "proxy_read_timeout 3s"},
            ),
            HAProxy(tmp_path / "h", addresses(pair), short),
        ]
        lines = [stack.enter_context(ask(stack.enter_context(front))) for front in fronts]
        for line in lines:
            line.until(b": keep-alive", times=3)
        pause.release()
        for line in lines:
            assert line.rest()
            assert line.said == "".join(WORDS)


def test_a_whole_reply_may_take_its_time(
    pair: list[Gateway], provider: Provider, tmp_path: Path
) -> None:
    """It says nothing until it is there, for longer than a client may be silent."""
    pause = Pause()
    reply = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}}]}
    provider.answer = [pause, *json_answer(reply)]
    with HAProxy(
        tmp_path / "h", addresses(pair), {"timeout client 75s": "timeout client 1s"}
    ) as front:
        threading.Timer(2.0, pause.release).start()
        with ask(front, stream=False) as line:
            assert line.status == http.client.OK
