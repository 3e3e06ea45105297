"""Whose stream it is: who may read, stop and ask about it where keys are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.gateway.keys.test_keys_served import MODEL, Desk, bearer, desk
from tests.gateway.streams.test_resume import CONTENT, RESUME, ROLE, Read, read

from deltaweir.testing import Pause, Peer, chat_events, stream_answer

__all__ = ["desk"]


def read_by(desk: Desk, key: str, path: str, *, method: str = "GET", **headers: str) -> Read:
    """Ask for a stream by a key."""
    return read(desk.front, path, method=method, **bearer(key), **headers)


@pytest.fixture
def peer(desk: Desk) -> Iterator[Peer]:
    """An upstream whose stream stands still in the middle."""
    pause = Pause()
    with Peer([*stream_answer([ROLE, *CONTENT], end=False), pause]) as one:
        desk.front.before(one, model=MODEL)
        yield one


def test_another_keys_stream_is_none(desk: Desk, peer: Peer) -> None:
    """It cannot be told from one that never was; only its owner may read it."""
    mine, other, admin = desk.key(), desk.key(), desk.key(admin=True)
    with desk.front.client(deltaweir=RESUME, key=mine) as one:
        one.read_until(b" six")
        stream = one.got.partition(b"x-deltaweir-stream-id: ")[2].partition(b"\r\n")[0].decode()
        never = read_by(desk, other, "stm_" + "0" * 32)
        for method in ("GET", "DELETE"):
            answer = read_by(desk, other, stream, method=method)
            assert (answer.status, answer.error) == (404, never.error)
        assert read_by(desk, other, f"{stream}/usage").status == 404
        assert read_by(desk, admin, stream).status == 404
        assert read(desk.front, stream).status == 401
        assert read_by(desk, mine, f"{stream}/usage").status == 200
        # whoever runs the server may stop what runs there, and see what it costs
        assert read_by(desk, admin, f"{stream}/usage").status == 200
        assert json.loads(read_by(desk, admin, stream, method="DELETE").body)["ending"] == "stopped"
        assert one.rest() == read_by(desk, mine, stream).body
        assert read_by(desk, other, stream).status == 404


def test_a_revoked_keys_stream_ends_for_all_its_readers(desk: Desk, peer: Peer) -> None:
    """Nothing more is read of it afterwards either."""
    mine = desk.key()
    with desk.front.client(deltaweir=RESUME, key=mine) as one:
        one.read_until(b" six")
        stream = one.got.partition(b"x-deltaweir-stream-id: ")[2].partition(b"\r\n")[0].decode()
        desk.revoke(mine)
        body = one.rest()
    assert b'"stopped_by":"revoked"' in body
    assert read_by(desk, mine, stream).status == 401


def test_reading_again_costs_nothing(desk: Desk) -> None:
    """A budget is debited once, however many read; a key without any left may still read."""
    mine = desk.key("12tok")
    with Peer(stream_answer(chat_events("Hi", usage=(10, 2)))) as one:
        desk.front.before(one, model=MODEL)
        answer = desk.ask(mine, deltaweir=RESUME)
        stream = answer.headers["x-deltaweir-stream-id"]
        assert desk.booked(mine, 12) == 12
        for _ in range(3):
            assert read_by(desk, mine, stream).body == answer.body
        assert desk.spent(mine) == 12
        assert len(one.requests) == 1
