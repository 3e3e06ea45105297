"""What runs is told as it stands: waiting, streaming, held up or unread; here and elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.gateway.conftest import request, until
from tests.gateway.fronts import Front, fronted

from deltaweir.accounts import Opened, Tally
from deltaweir.gateway.dashboard import live_streams
from deltaweir.gateway.dashboard.live_streams import live_elsewhere, live_here, shown_upstream
from deltaweir.gateway.runs import timed
from deltaweir.gateway.streams.streams import Stream
from deltaweir.stores.ledger_columns import RunningRow
from deltaweir.testing import Pause, Peer, chat_events, stream_answer

ROLE, *CONTENT = chat_events(*[f" {number}" for number in range(6)], finish=None, done=False)
END = chat_events(usage=(3, 6))[1:]


@pytest.fixture(scope="module", name="front")
def front_fixture() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted() as front:
        yield front


def listed(front: Front) -> Any:
    """Return what runs."""
    return json.loads(request(front.running, "/v1/streams", method="GET")[2])["data"]


def until_it_is(front: Front, state: str) -> Any:
    """Wait until the one stream is in a state, and return it."""
    until(lambda: [one["state"] for one in listed(front)] == [state])
    (one,) = listed(front)
    return one


def test_a_stream_waits_and_streams(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first content nothing is known but whose turn it is."""
    monkeypatch.setattr(live_streams, "AT_ONCE", 1)
    first, second = Pause(), Pause()
    with Peer(stream_answer([ROLE, first, *CONTENT[:3], second, *CONTENT[3:], *END])) as peer:
        front.before(peer)
        with front.client() as client:
            one = until_it_is(front, "waiting")
            assert (one["upstream"], one["readers"]) == ("u0", 1)
            assert (one["first_token_s"], one["tokens_per_s"]) == (None, None)
            until(lambda: listed(front)[0]["completion_tokens"] == 0)  # with the role
            first.release()
            client.read_until(b" 2")
            one = until_it_is(front, "streaming")
            assert one["completion_tokens"] == 6
            second.release()
            client.rest()
    until(lambda: listed(front) == [])


def test_a_stream_that_says_nothing_is_held_up(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while of silence in its midst."""
    monkeypatch.setattr(timed, "HELD_UP_S", 0.05)
    pause = Pause()
    with Peer(stream_answer([ROLE, *CONTENT[:3], pause, *CONTENT[3:], *END])) as peer:
        front.before(peer)
        with front.client() as client:
            client.read_until(b" 2")
            until_it_is(front, "held_up")
            pause.release()
            client.rest()


def test_a_stream_without_a_reader_is_unread(front: Front) -> None:
    """One that was to finish all the same, and one that may be resumed."""
    for asked in ({"on_disconnect": "finish"}, {"resume": True}):
        pause = Pause()
        with Peer(stream_answer([ROLE, *CONTENT[:3], pause, *CONTENT[3:], *END])) as peer:
            front.before(peer)
            with front.client(deltaweir=asked) as client:
                client.read_until(b" 2")
                assert until_it_is(front, "streaming")["readers"] == 1
            assert until_it_is(front, "unread")["readers"] == 0
            pause.release()
            until(lambda: listed(front) == [])


def test_a_whole_reply_has_a_reader(front: Front) -> None:
    """It is shown too, and waits until it is there."""
    pause = Pause()
    with Peer(stream_answer([pause, ROLE, *CONTENT, *END])) as peer:
        front.before(peer)
        with front.client(stream=False) as client:
            assert until_it_is(front, "waiting")["readers"] == 1
            pause.release()
            client.rest()


def test_what_has_ended_is_left_out() -> None:
    """A stream may end while others are looked at."""
    gone = Stream("stm_1", owner=None, run=None, publication=None)  # type: ignore[arg-type]
    assert [*live_here([gone], lambda _: None, stoppable=True)] == []


def test_the_ledger_tells_of_others() -> None:
    """As far as it knows: what is not there is unknown, and nothing is known of readers."""
    row = RunningRow(
        opened=Opened(stream_id="a", started=5.0, model="m", key_id="k", user="u", tag="t"),
        writer="w",
        checkpointed=7.0,
        tally=Tally(prompt_tokens=3, completion_tokens=4, cost_pico=5),
        upstream="openai",
        total=2,
    )
    young = RunningRow(
        opened=Opened(stream_id="b", started=6.0, model="m"),
        writer="w",
        checkpointed=None,
        tally=Tally(),
        upstream=None,
        total=2,
    )
    names = {"k": "alice", None: None}
    one, two = live_elsewhere([row, young], names.get, stoppable={"a"}.__contains__)
    assert (one.state, one.at, one.key_name, one.upstream) == ("streaming", 7.0, "alice", "openai")
    assert (one.completion_tokens, one.cost_pico) == (4, 5)
    assert (two.state, two.at, two.completion_tokens, two.upstream) == ("waiting", 6.0, None, None)
    assert [(each.here, each.stoppable, each.readers) for each in (one, two)] == [
        (False, True, None),
        (False, False, None),
    ]


def test_the_embedded_model_is_called_so() -> None:
    """Whichever it is; and nobody is nobody."""
    assert [shown_upstream(name) for name in ("embedded smollm2", "openai", "")] == [
        "embedded",
        "openai",
        None,
    ]
