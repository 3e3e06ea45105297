"""The dashboard as it is served: who sees it, as what, how often, and what it can stop."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from tests.gateway.conftest import DEADLINE_S, request, until
from tests.gateway.fronts import Front, fronted
from tests.gateway.keys.test_keys_served import Desk, bearer, desk
from tests.gateway.test_embed import ask

from deltaweir.accounts import Opened, Tally
from deltaweir.allowances import KeyTerms
from deltaweir.gateway.app import application
from deltaweir.gateway.config.file import Config, LedgerConfig, ModelConfig, UpstreamConfig
from deltaweir.gateway.dashboard import feed as dashboard_feed
from deltaweir.gateway.dashboard.feed import DashboardFeed
from deltaweir.gateway.keys.access import Caller
from deltaweir.gateway.keys.keys import Key
from deltaweir.gateway.routes.dashboard import LaneWatcher, may_see
from deltaweir.gateway.service import Gateway
from deltaweir.stores.failures import LedgerUnavailable
from deltaweir.stores.ledger_columns import RunningRow
from deltaweir.testing import Pause, Peer, chat_events, error_answer, stream_answer
from deltaweir.wire.sse import Decoder

DASHBOARD = "/v1/dashboard"
STREAMS = "/v1/streams"
EVENTS = {"Accept": "text/event-stream"}
WORDS = [f" {number}" for number in range(8)]
ROLE, *CONTENT = chat_events(*WORDS, finish=None, done=False)
END = chat_events(usage=(3, 8))[1:]
HELLO = stream_answer(chat_events("Hi", usage=(10, 1)))
ELSEWHERE = RunningRow(
    opened=Opened(stream_id="far", started=time.time(), model="m"),
    writer="w",
    checkpointed=None,
    tally=Tally(),
    upstream=None,
    total=1,
)

__all__ = ["desk"]  # a fixture


@pytest.fixture(scope="module", name="front")
def front_fixture() -> Iterator[Front]:
    """A gateway that all tests here share; it shows a snapshot twenty times a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dashboard_feed, "EVERY_S", 0.05)
        with fronted() as front:
            yield front


class Viewer:
    """One who watches, and reads as the test likes.

    Args:
        port: The gateway's.
        narrow: Whether little may wait for it in the system.
        path: What it watches.
        key: Its key; empty for none.
    """

    def __init__(
        self, port: int, *, narrow: bool = False, path: str = DASHBOARD, key: str = ""
    ) -> None:
        self._line = socket.socket()
        if narrow:
            self._line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._line.settimeout(DEADLINE_S)
        self._line.connect(("127.0.0.1", port))
        head = f"GET {path} HTTP/1.0\r\nHost: h\r\nAccept: text/event-stream\r\n"
        said = f"Authorization: Bearer {key}\r\n" if key else ""
        self._line.sendall(f"{head}{said}\r\n".encode())
        self._decoder = Decoder()
        self._events: list[Any] = []
        self._head = b""

    def next(self) -> Any:
        """Return the next snapshot; None at the end."""
        while not self._events:
            data = self._line.recv(65536)
            if not data:
                return None
            if not self._head.endswith(b"\r\n\r\n"):
                self._head, end, data = (self._head + data).partition(b"\r\n\r\n")
                self._head += end
            self._events += self._decoder.feed(data)
        event = self._events.pop(0)
        assert event.name == "snapshot"
        return json.loads(event.data)

    def until(self, condition: Any) -> Any:
        """Return the first snapshot that fulfils a condition."""
        while not condition(one := self.next()):
            assert one is not None, "it has ended"
        return one

    def close(self) -> None:
        """Leave."""
        self._line.close()


@contextlib.contextmanager
def watching(front: Front, **options: Any) -> Iterator[Viewer]:
    """Watch until the block ends."""
    with contextlib.closing(Viewer(front.port, **options)) as one:
        yield one


@contextlib.contextmanager
def paused(front: Front, **model: Any) -> Iterator[tuple[Peer, Pause]]:
    """Stand before a provider that waits after half of its answer."""
    pause = Pause()
    with Peer(stream_answer([ROLE, *CONTENT[:4], pause, *CONTENT[4:], *END])) as peer:
        front.before(peer, model={"price": {"input": 1, "output": 1000}, **model})
        try:
            yield peer, pause
        finally:
            pause.release()


def feed(front: Front) -> Any:
    """Return what takes a gateway's snapshots."""
    return front.running.server.gateway.dashboard


def snapshot(front: Front, **headers: str) -> Any:
    """Return one snapshot."""
    status, names, body = request(front.running, DASHBOARD, method="GET", headers=headers)
    assert (status, names["content-type"]) == (200, "application/json")
    assert names["cache-control"] == "no-store"
    return json.loads(body)


def test_a_snapshot_shows_a_stream_while_it_runs(front: Front) -> None:
    """With its figures so far, and among those that ended when it has."""
    with paused(front) as (_, pause), front.client() as client:
        client.read_until(b" 3")
        before = snapshot(front)
        (one,), (asked,) = before["streams"], before["upstreams"]
        assert (one["model"], one["upstream"], one["state"]) == ("m", "u0", "streaming")
        assert one["tag"] == client.tag
        assert (one["completion_tokens"], one["readers"]) == (8, 1)
        assert one["cost_usd"] == pytest.approx((one["prompt_tokens"] + 1000 * 8) / 10**6)
        assert 0 < one["first_token_s"] < DEADLINE_S
        assert one["stoppable"]
        assert one["id"].encode() in client.got
        pause.release()
        assert client.rest().endswith(b"[DONE]\n\n")
    ended = before["totals"]["streams"] + 1
    until(lambda: snapshot(front)["totals"]["streams"] == ended)
    after = snapshot(front)
    assert after["streams"] == []
    (upstream,) = after["upstreams"]
    assert (upstream["name"], upstream["state"]) == ("u0", "up")
    assert upstream["requests"] == asked["requests"] + 1


def test_who_watches_sees_snapshot_after_snapshot(front: Front) -> None:
    """As events of a type of their own, from the first moment on; rates come with the second."""
    with paused(front) as (_, pause), watching(front) as viewer:
        first = viewer.next()
        assert first["now_rates"]["tokens_per_s"] is None
        with front.client() as client:
            client.read_until(b" 3")
            shown = viewer.until(lambda one: one["streams"] and one["now_rates"]["tokens_per_s"])
            assert shown["streams_total"] == 1
            pause.release()
            client.rest()
        after = viewer.until(lambda one: not one["streams"])
        assert after["now"] > shown["now"]
        assert after["endings"]["complete"] >= 1


@pytest.mark.parametrize("path", [f"{DASHBOARD}?stream=true", f"{DASHBOARD}?stream=TRUE"])
def test_a_query_asks_for_events_too(front: Front, path: str) -> None:
    """Where a header cannot be set."""
    line = http.client.HTTPConnection("127.0.0.1", front.port, timeout=DEADLINE_S)
    with contextlib.closing(line):
        line.request("GET", path)
        response = line.getresponse()
        assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
        assert response.getheader("x-request-id")
        assert response.readline() == b"event: snapshot\n"
    until(lambda: feed(front).watchers == 0)


def test_a_query_asks_for_one_snapshot(front: Front) -> None:
    """Whatever is accepted; anything else in it is refused."""
    path = f"{DASHBOARD}?stream=false"
    status, names, _ = request(front.running, path, method="GET", headers=EVENTS)
    assert (status, names["content-type"]) == (200, "application/json")
    for query in ("stream=perhaps", "stream=true&stream=true", "since=1"):
        status, _, body = request(front.running, f"{DASHBOARD}?{query}", method="GET")
        assert (status, json.loads(body)["error"]["param"]) == (400, query.partition("=")[0])


@pytest.mark.parametrize("path", [DASHBOARD, STREAMS])
def test_only_get_is_taken(front: Front, path: str) -> None:
    """And the answer says so."""
    status, names, _ = request(front.running, path)
    assert (status, names["allow"]) == (405, "GET")


def test_nothing_is_taken_while_nobody_watches(front: Front) -> None:
    """The last who leaves ends it, and whoever comes then begins anew."""
    with watching(front) as one, watching(front) as other:
        one.next()
        other.next()
        until(lambda: feed(front).watchers == 2)
        one.close()
        until(lambda: feed(front).watchers == 1)
        assert feed(front).latest is not None
        other.next()
    until(lambda: feed(front).watchers == 0)
    assert feed(front).latest is None
    with watching(front) as again:
        assert again.next()["now_rates"]["tokens_per_s"] is None


def test_all_who_watch_see_the_same(front: Front) -> None:
    """A snapshot is taken once, however many watch; who comes later begins with the newest."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(watching(front))
        first.next()
        others = [stack.enter_context(watching(front)) for _ in range(4)]
        begun = [other.next() for other in others]
        latest = max(one["now"] for one in begun)
        seen = {first.until(lambda one: one["now"] > latest)["now"]}
        at = next(iter(seen))
        seen |= {other.until(lambda one: one["now"] >= at)["now"] for other in others}
    assert seen == {at}


def test_one_who_reads_slowly_gets_the_newest(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one has no room for is not sent later: the next read is of now, not of then."""
    real = feed(front)._encoded
    monkeypatch.setattr(feed(front), "_encoded", lambda *told: real(*told) + b" " * 500_000)
    with watching(front, narrow=True) as viewer:
        seen = viewer.next()["now"]
        (slow,) = feed(front)._watchers
        with watching(front) as quick:
            quick.until(lambda _: slow._held)
            for _ in range(20):
                last = quick.next()["now"]
            assert slow._held
        moments = [seen]
        while moments[-1] < last:
            moments.append(viewer.next()["now"])
        assert max(map(float.__sub__, moments[1:], moments)) > 0.5


def test_a_stream_is_stopped_from_the_dashboard(front: Front) -> None:
    """By the id that it shows, for everyone; it is among what was stopped then."""
    with paused(front), watching(front) as viewer, front.client() as client:
        client.read_until(b" 3")
        one = viewer.until(lambda one: one["streams"])["streams"][0]
        assert one["stoppable"]
        status, _, body = request(front.running, f"{STREAMS}/{one['id']}", method="DELETE")
        assert (status, json.loads(body)["ending"]) == (200, "stopped")
        assert b'"stopped_by":"stop"' in client.rest()
        after = viewer.until(lambda one: not one["streams"] and one["endings"].get("stopped"))
        assert after["streams_total"] == 0


def test_an_upstream_that_fails_is_shown(front: Front) -> None:
    """Its failures with the last one's code, and until when it is left alone."""
    with Peer(*[error_answer(500)] * 20) as bad:
        front.before(bad)
        while (one := snapshot(front)["upstreams"][0])["state"] == "up":
            assert front.ask(stream=False).status == 500
        assert (one["state"], one["failures"] >= 5) == ("down", True)
        assert one["last_failure"] is not None
        assert 0 < one["retry_at"] - time.time() < 60


def test_a_stream_that_breaks_is_its_upstreams_failure(front: Front) -> None:
    """Also where the answer had begun, so that nobody else was asked."""
    with Peer(stream_answer([ROLE, *CONTENT])) as peer:
        front.before(peer)
        assert not front.ask().done
        until(lambda: snapshot(front)["upstreams"][0]["failures"] > 0)
        (one,) = snapshot(front)["upstreams"]
    assert (one["state"], one["last_failure"]) == ("up", "upstream_truncated")


def test_a_request_at_fault_is_no_failure_of_its_upstream(front: Front) -> None:
    """Whatever its own faults are, the upstream that says so works."""
    with Peer(error_answer(400)) as peer:
        front.before(peer)
        before = snapshot(front)["upstreams"][0]
        assert front.ask().status == 400
        until(lambda: snapshot(front)["upstreams"][0]["requests"] > before["requests"])
        (one,) = snapshot(front)["upstreams"]
    assert (one["failures"], one["last_failure"]) == (before["failures"], None)


def test_who_took_over_was_not_asked_for_both(front: Front) -> None:
    """Each upstream has its own requests."""
    with Peer(error_answer(500)) as bad, Peer(HELLO) as good:
        before = {one: feed_requests(front, one) for one in ("u0", "u1")}
        front.before(bad, good)
        assert front.ask().status == 200
        until(lambda: feed_requests(front, "u1") == before["u1"] + 1)
        assert feed_requests(front, "u0") == before["u0"] + 1


def feed_requests(front: Front, upstream: str) -> int:
    """Return how often an upstream was asked, as the dashboard has it."""
    told = snapshot(front)["upstreams"]
    return next((int(one["requests"]) for one in told if one["name"] == upstream), 0)


def test_draining_ends_who_watches() -> None:
    """At once, and not when the last stream has ended; new ones are refused."""
    with fronted(drain_s=20) as front, paused(front) as (_, pause), front.client() as client:
        client.read_until(b" 3")
        with watching(front) as viewer:
            viewer.next()
            front.running.stop()
            while viewer.next() is not None:
                pass
        status, _, body = request(front.running, DASHBOARD, method="GET", headers=EVENTS)
        assert (status, json.loads(body)["error"]["code"]) == (503, "service_unavailable")
        assert len(snapshot(front)["streams"]) == 1
        pause.release()
        assert client.rest().endswith(b"[DONE]\n\n")


def test_a_snapshot_that_fails_is_not_the_last(front: Front) -> None:
    """A fault is logged, and who watches gets the next one."""
    gateway = front.running.server.gateway
    real = gateway.metrics.sums
    failures: list[int] = []

    def sums() -> Any:
        if not failures:
            failures.append(1)
            raise OSError("the disk is gone")
        return real()

    gateway.metrics.sums = sums  # type: ignore[method-assign]
    with watching(front) as viewer:
        assert viewer.next()["workers"] == 1
    assert failures


@pytest.mark.parametrize("path", [DASHBOARD, STREAMS])
def test_with_keys_nobody_looks_without_one(desk: Desk, path: str) -> None:
    """401, in OpenAI's form."""
    status, said = desk.get(path, None)
    assert (status, said["error"]["code"]) == (401, "invalid_api_key")


def test_with_keys_the_dashboard_is_for_administrators(desk: Desk) -> None:
    """Others are told whose it is."""
    status, said = desk.get(DASHBOARD, desk.key())
    assert (status, said["error"]["code"]) == (403, "not_admin")
    status, said = desk.get(DASHBOARD, desk.key(admin=True))
    assert (status, said["workers"]) == (200, 1)


def test_a_key_lists_its_own_streams(desk: Desk) -> None:
    """An administrator's lists all, with the names of keys."""
    mine, other, admin = desk.key(), desk.key(), desk.key(admin=True)
    with paused(desk.front), desk.front.client(key=mine) as client:
        client.read_until(b" 3")
        status, said = desk.get(STREAMS, mine)
        assert (status, said["object"]) == (200, "list")
        (one,) = said["data"]
        assert (one["key"], one["key_name"], one["tag"]) == (mine[3:15], "n", client.tag)
        assert desk.get(STREAMS, other) == (200, {"object": "list", "data": []})
        assert [one["id"] for one in desk.get(STREAMS, admin)[1]["data"]] == [one["id"]]
        (shown,) = desk.get(DASHBOARD, admin)[1]["streams"]
        assert shown["key_name"] == "n"
        report = desk.get("/v1/usage?group_by=key", mine)[1]["data"]
        assert [(line["key"], line["key_name"]) for line in report] == [(mine[3:15], "n")]
        path = f"{STREAMS}/{one['id']}"
        assert request(desk.front.running, path, method="DELETE", headers=bearer(admin))[0] == 200
        client.rest()


def test_a_key_that_is_revoked_watches_no_longer(desk: Desk) -> None:
    """Nor does one that expires; who has another key goes on."""
    revoked, expiring = desk.key(admin=True), desk.key(admin=True, expires_s=1.0)
    with contextlib.ExitStack() as stack:
        paths = [f"{DASHBOARD}?stream=true"] * 3
        keys = [revoked, expiring, desk.key(admin=True)]
        first, second, third = (
            stack.enter_context(watching(desk.front, path=path, key=key))
            for path, key in zip(paths, keys, strict=True)
        )
        assert all(viewer.next() for viewer in (first, second, third))
        desk.revoke(revoked)
        for viewer in (first, second):
            while viewer.next() is not None:
                pass
        assert feed(desk.front).watchers == 1
        assert third.next()
    assert desk.get(DASHBOARD, revoked)[0] == 401


KEYS = {one: Key(id=one, name=one, terms=KeyTerms(admin=one == "boss")) for one in ("k", "boss")}


@pytest.mark.parametrize(
    ("key", "user", "seen"),
    [
        (None, None, {"none's", "ann's", "bob's"}),  # nobody is asked who they are
        (None, "ann", {"ann's"}),
        ("k", None, {"k's", "k's, ann's"}),
        ("k", "ann", {"k's, ann's"}),
        ("boss", None, {"none's", "ann's", "bob's", "k's", "k's, ann's", "boss's"}),
    ],
)
def test_who_sees_whose_streams(key: str | None, user: str | None, seen: set[str]) -> None:
    """A key its own, a user their own, an administrator's key all."""
    streams = {
        "none's": (None, None),
        "ann's": (None, "ann"),
        "bob's": (None, "bob"),
        "k's": ("k", None),
        "k's, ann's": ("k", "ann"),
        "boss's": ("boss", None),
    }
    caller = Caller(user, None if key is None else KEYS[key])
    found = {
        name
        for name, (key_id, whose) in streams.items()
        if may_see(caller, Opened(stream_id="s", started=0.0, model="m", key_id=key_id, user=whose))
    }
    assert found == seen


def test_whom_a_host_knows_sees_no_others(tmp_path: Any) -> None:
    """A program that mounts the gateway has users, none of whom runs it."""
    pause, names = Pause(), ["bob", "ann", "bob", "ann"]

    async def all_of_it(app: Any, gateway: Gateway) -> list[tuple[int, Any]]:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
        path = "/v1/chat/completions"
        running = asyncio.create_task(ask(app, path, body=json.dumps(body).encode()))
        await asyncio.to_thread(until, lambda: bool(gateway.streams.running))
        told = [await ask(app, path) for path in (STREAMS, STREAMS, DASHBOARD)]
        pause.release()
        await running
        await gateway.leave()
        return [(status, json.loads(said)) for status, _, said in told]

    with Peer(stream_answer([ROLE, *CONTENT, pause, *END])) as peer:
        config = Config(
            upstreams=(UpstreamConfig(name="u", base_url=peer.base_url, proxy=""),),
            models=(ModelConfig(name="m", upstreams=("u",)),),
            ledger=LedgerConfig(url=f"sqlite:///{tmp_path}/deltaweir.db"),
        )
        gateway = Gateway(config, authorize=lambda _: names.pop(0))
        listed, own, (refused, why) = asyncio.run(all_of_it(application(gateway), gateway))
    gateway.close()
    assert listed == (200, {"object": "list", "data": []})
    assert (own[0], [one["user"] for one in own[1]["data"]]) == (200, ["bob"])
    assert (refused, why["error"]["code"]) == (403, "not_admin")


def test_many_who_ask_at_once_are_all_answered(front: Front) -> None:
    """They share a look at what others run, and none of them spoils it for another."""
    with paused(front), front.client() as client, watching(front) as viewer:
        client.read_until(b" 3")
        paths = [DASHBOARD, STREAMS] * 10
        with ThreadPoolExecutor(len(paths)) as pool:
            answers = [*pool.map(lambda path: request(front.running, path, method="GET"), paths)]
        assert {status for status, _, _ in answers} == {200}
        viewer.until(lambda one: one["streams_total"] == 1)


def test_a_ledger_that_takes_long_holds_nothing_up(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs here is shown meanwhile; what others run is believed for a while, then no more."""
    ledger = front.running.server.gateway.book.ledger()
    assert ledger is not None
    monkeypatch.setattr(dashboard_feed, "PATIENCE_S", 0.01)
    monkeypatch.setattr(dashboard_feed, "STALE_S", 0.5)
    slow, asked = threading.Event(), threading.Event()

    def running(_: int) -> list[RunningRow]:
        if asked.is_set():
            slow.wait(DEADLINE_S)
        asked.set()
        return [ELSEWHERE]

    monkeypatch.setattr(ledger, "running", running)
    try:
        with watching(front) as viewer:
            seen = viewer.until(lambda one: one["streams"])
            assert (seen["streams"][0]["id"], seen["gateways"]) == ("far", 2)
            assert viewer.until(lambda one: not one["streams"])["gateways"] == 1
    finally:
        slow.set()
    until(lambda: len(json.loads(_streams(front))["data"]) == 1)


def test_a_ledger_that_is_away_is_of_no_account(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks sees what runs here."""
    ledger = front.running.server.gateway.book.ledger()

    def running(_: int) -> list[RunningRow]:
        raise LedgerUnavailable("it is away")

    monkeypatch.setattr(ledger, "running", running)
    with paused(front), front.client() as client:
        client.read_until(b" 3")
        until(lambda: len(json.loads(_streams(front))["data"]) == 1)


def test_what_others_run_is_believed_while_the_ledger_is_away(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a while; what came of it since is not known."""
    ledger = front.running.server.gateway.book.ledger()
    monkeypatch.setattr(dashboard_feed, "STALE_S", 0.5)
    asked = list[int]()

    def running(_: int) -> list[RunningRow]:
        asked.append(1)
        if len(asked) > 1:
            raise LedgerUnavailable("it is away")
        return [ELSEWHERE]

    monkeypatch.setattr(ledger, "running", running)
    with watching(front) as viewer:
        viewer.until(lambda one: one["streams"])
        tries = len(asked)
        viewer.until(lambda one: len(asked) > tries + 1 and one["streams"])
        viewer.until(lambda one: not one["streams"])


def test_a_stream_may_end_while_it_is_looked_at() -> None:
    """It lets go of its row in another thread, at any moment."""

    class Ending:
        run, reads = None, 0

        @property
        def row(self) -> Any:
            self.reads += 1
            opened = Opened(stream_id="s", started=0.0, model="m")
            return SimpleNamespace(opened=opened) if self.reads == 1 else None

    gateway: Any = SimpleNamespace(
        streams=SimpleNamespace(running=[Ending()]), resumable=True, access=None
    )
    one = DashboardFeed(gateway)
    gateway.book = SimpleNamespace(opened=None)
    assert asyncio.run(one.live(lambda _: True)) == []


def _streams(front: Front) -> bytes:
    return request(front.running, STREAMS, method="GET")[2]


def test_who_has_left_already_watches_nothing() -> None:
    """A client may go before its watch begins, or twice; nothing is taken for it."""

    async def left() -> tuple[bool, int]:
        feed = DashboardFeed(gateway)
        watcher = LaneWatcher(feed)
        watcher.watch(Gone())  # type: ignore[arg-type]  # of an outflow this is all
        watcher.reader_left()
        return watcher.done.done(), feed.watchers

    gateway: Any = None
    assert asyncio.run(left()) == (True, 0)


class Gone:
    """An outflow whose reader has gone."""

    gone = True
