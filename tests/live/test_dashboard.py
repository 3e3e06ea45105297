"""The dashboard of one gateway shows what others run, and says what it can stop of it."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.fronts import Client
from tests.live.databases import Postgres, database, postgres_fixture
from tests.live.served import Served, model, until, upstream
from tests.live.valkeys import Valkey

from deltaweir.testing import Pause, Peer, chat_events, stream_answer

__all__ = ["database", "postgres_fixture"]  # fixtures

pytestmark = pytest.mark.live

ROLE, *CONTENT = chat_events(*[f" {number}" for number in range(20)], finish=None, done=False)
END = chat_events(usage=(3, 20))[1:]


def get(gateway: Served, path: str = "/v1/dashboard") -> Any:
    """Return what a gateway says."""
    return json.loads(gateway.ask(path=path).body)


def stopped(gateway: Served, stream_id: str) -> tuple[int, Any]:
    """Ask a gateway to stop a stream; return the status and what it says."""
    line = http.client.HTTPConnection(*gateway.address, timeout=60)
    with contextlib.closing(line):
        line.request("DELETE", f"/v1/streams/{stream_id}")
        response = line.getresponse()
        return response.status, json.loads(response.read())


class Pair:
    """Two gateways, and a stream that the first one runs.

    Args:
        gateways: The gateways.
        client: Reads the stream.
    """

    def __init__(self, gateways: list[Served], client: Client) -> None:
        self.runs, self.looks = gateways
        self.client = client

    def others(self) -> list[Any]:
        """Return the streams that the second gateway shows."""
        found: list[Any] = get(self.looks)["streams"]
        return found

    def counted(self) -> Any:
        """Wait until its figures have come to the other, and return it."""
        until(lambda: [one["state"] for one in self.others()] == ["streaming"])
        (one,) = self.others()
        return one


@contextlib.contextmanager
def pair(folder: Path, ledger: str, more: str = "") -> Iterator[Pair]:
    """Run two gateways on one ledger, with a stream that waits in its midst at the first."""
    pause = Pause()
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(Peer(stream_answer([ROLE, *CONTENT[:10], pause, *END])))
        stack.callback(pause.release)
        found = []
        for number in range(2):
            own = folder / f"gateway{number}"
            own.mkdir()
            tables = upstream("u", peer.base_url) + model("m", ["u"], "price = {input=1, output=9}")
            config = f'{tables}\n[ledger]\nurl = "{ledger}"\n{more}'
            found.append(stack.enter_context(Served(own, config)))
        client = Client(found[0].address[1], "tag")
        stack.callback(client.hang_up)
        client.read_until(b" 9")
        yield Pair(found, client)


def test_another_process_is_seen_by_the_ledger(tmp_path: Path) -> None:
    """With its figures; but nothing between them could stop it, so that it does not say so."""
    with pair(tmp_path, f"sqlite:///{tmp_path}/common.db") as both:
        one = both.counted()
        (own,) = get(both.runs)["streams"]
        assert (own["here"], own["stoppable"], one["here"], one["stoppable"]) == (
            True,
            True,
            False,
            False,
        )
        same = ("id", "model", "upstream", "tag", "started", "completion_tokens", "cost_usd")
        assert [one[name] for name in same] == [own[name] for name in same]
        assert get(both.looks)["gateways"] == 2
        assert [each["id"] for each in get(both.looks, "/v1/streams")["data"]] == [one["id"]]
        assert stopped(both.looks, one["id"])[0] == 404


def test_with_a_store_it_is_stopped_from_either(tmp_path: Path, valkey: Valkey) -> None:
    """Which is what is said of it; and when it has ended nobody shows it any more."""
    store = f'[store]\nurl = "{valkey.url}"'
    with pair(tmp_path, f"sqlite:///{tmp_path}/common.db", store) as both:
        one = both.counted()
        assert one["stoppable"]
        status, said = stopped(both.looks, one["id"])
        assert (status, said["ending"]) == (200, "stopped")
        assert b'"stopped_by":"stop"' in both.client.rest()
        until(lambda: both.others() == [])
        assert get(both.looks)["gateways"] == 1


def test_machines_see_each_other_by_their_database(
    tmp_path: Path, postgres: Postgres, database: str
) -> None:
    """So with PostgreSQL; while it is away each still shows its own."""
    with pair(tmp_path, database) as both:
        one = both.counted()
        assert (one["here"], one["upstream"]) == (False, "u")
        with postgres.frozen():
            (own,) = get(both.runs)["streams"]
            assert own["here"]


def test_workers_see_each_other(tmp_path: Path) -> None:
    """Whichever answers shows all of them; none can be sure to find the one that would stop it."""
    pauses = [Pause() for _ in range(8)]
    answers = [stream_answer([ROLE, *CONTENT[:10], pause, *END]) for pause in pauses]
    with Peer(*answers) as peer, contextlib.ExitStack() as stack:
        for pause in pauses:
            stack.callback(pause.release)
        tables = upstream("u", peer.base_url) + model("m", ["u"])
        config = f"[server]\nworkers = 2\n{tables}"
        served = stack.enter_context(Served(tmp_path, config))
        for _ in pauses:
            client = Client(served.address[1], "tag")
            stack.callback(client.hang_up)
            client.read_until(b" 9")

        until(lambda: get(served)["streams_total"] == len(pauses) and get(served)["workers"] == 2)
        assert not any(one["stoppable"] for one in get(served)["streams"])
