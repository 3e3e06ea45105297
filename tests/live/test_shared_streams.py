"""Streams between gateways on one store: read, stopped and asked for anywhere, whoever dies."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.fronts import Client
from tests.live.served import Served, model, until, upstream
from tests.live.valkeys import Valkey

from deltaweir.stores.sqlite import SqliteLedger
from deltaweir.testing import Pause, Peer, chat_events, stream_answer
from deltaweir.wire.sse import Decoder, Event

pytestmark = pytest.mark.live

WORDS = [f" {number}" for number in range(1, 21)]
ROLE, *CONTENT = chat_events(*WORDS, finish=None, done=False)
END = chat_events(usage=(3, 20))[1:]
RESUME = {"resume": True}


def config(peer: Peer, valkey: Valkey, more: str = "", *, server: str = "") -> str:
    """Return the configuration of a gateway in front of a peer, with the store."""
    return (
        f"[server]\n{server}\n"
        f"{upstream('u', peer.base_url)}{model('m', ['u'])}"
        f'[store]\nurl = "{valkey.url}"\n{more}'
    )


@contextlib.contextmanager
def gateways(
    folder: Path, peer: Peer, valkey: Valkey, count: int = 2, **options: Any
) -> Iterator[list[Served]]:
    """Run gateways, each in a process of its own."""
    with contextlib.ExitStack() as stack:
        found = []
        for number in range(count):
            own = folder / f"gateway{number}"
            own.mkdir()
            found.append(stack.enter_context(Served(own, config(peer, valkey, **options))))
        yield found


@contextlib.contextmanager
def ask(served: Served, **ours: Any) -> Iterator[Client]:
    """Begin a resumable stream; its connection is closed in the end."""
    client = Client(served.address[1], "tag", deltaweir={**RESUME, **ours})
    try:
        yield client
    finally:
        client.hang_up()


def stream_of(client: Client) -> str:
    """Return a stream's id, once the head has come."""
    client.read_until(b"\r\n\r\n")
    return client.got.partition(b"x-deltaweir-stream-id: ")[2].partition(b"\r\n")[0].decode()


def read(served: Served, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Ask for a stream, and read to its end."""
    line = http.client.HTTPConnection(*served.address, timeout=60)
    with contextlib.closing(line):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        line.request(method, f"/v1/streams/{path}", headers=names)
        response = line.getresponse()
        return response.status, response.read()


class Reading(threading.Thread):
    """Read a stream in a thread, once its answer has begun."""

    def __init__(self, served: Served, path: str, **headers: str) -> None:
        super().__init__()
        self._line = http.client.HTTPConnection(*served.address, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self._line.request("GET", f"/v1/streams/{path}", headers=names)
        self._response = self._line.getresponse()
        assert self._response.status == 200
        self.body = b""
        self.start()

    def run(self) -> None:
        """Read to the end."""
        with contextlib.closing(self._line):
            self.body = self._response.read()

    def result(self) -> bytes:
        """Wait for the end, and return all."""
        self.join(60)
        assert not self.is_alive()
        return self.body


def text_of(events: list[Event]) -> str:
    """Return what chunks say."""
    said = [json.loads(event.data) for event in events if event.data != b"[DONE]"]
    deltas = [choice["delta"] for chunk in said for choice in chunk.get("choices", [])]
    return "".join(delta.get("content") or "" for delta in deltas)


def numbers_of(events: list[Event]) -> list[int]:
    """Return the numbers of events."""
    return [int(event.id.rpartition(":")[2]) for event in events]


def test_a_stream_is_read_at_another_gateway(tmp_path: Path, valkey: Valkey) -> None:
    """From every number, during the run and after it, it gets the very bytes."""
    pause = Pause()
    steps = stream_answer([ROLE, *CONTENT[:10], pause, *CONTENT[10:], *END])
    with (
        Peer(steps) as peer,
        gateways(tmp_path, peer, valkey) as (here, there),
        ask(here) as client,
    ):
        stream = stream_of(client)
        client.read_until(b'" 10"')
        during = [Reading(there, f"{stream}?starting_after={after}") for after in range(10)]
        behind = Reading(there, stream, last_event_id=f"{stream}:11")
        until(lambda: there.metrics()["deltaweir_streams_running"] == 0)
        time.sleep(0.3)  # readers at both sides of the pause; whoever comes late proves less
        pause.release()
        body = client.rest()
        frames = body.split(b"\n\n")[:-1]
        whole = [frame + b"\n\n" for frame in frames]
        for after, reading in enumerate(during):
            assert reading.result() == b"".join(whole[after:])
        assert behind.result() == b"".join(whole[11:])
        until(lambda: read(there, f"{stream}?starting_after={len(whole)}")[0] == 204)
        for after in range(len(whole)):
            assert read(there, f"{stream}?starting_after={after}") == (
                200,
                b"".join(whole[after:]),
            )
        usage = json.loads(read(there, f"{stream}/usage")[1])
        assert (usage["usage"]["completion_tokens"], usage["ending"]) == (20, "complete")
        assert len(peer.requests) == 1


def test_a_connection_that_dies_is_taken_up_elsewhere(tmp_path: Path, valkey: Valkey) -> None:
    """The client hangs up at one gateway, goes on at the other, and gets the rest."""
    pause = Pause()
    steps = stream_answer([ROLE, *CONTENT[:5], pause, *CONTENT[5:], *END])
    with (
        Peer(steps) as peer,
        gateways(tmp_path, peer, valkey) as (here, there),
        ask(here, on_disconnect="cancel") as client,
    ):
        stream = stream_of(client)
        client.read_until(b'" 5"')
        client.hang_up()
        last = numbers_of(Decoder().feed(client.got.partition(b"\r\n\r\n")[2]))
        reading = Reading(there, stream, last_event_id=f"{stream}:{max(last, default=0)}")
        pause.release()
        body = reading.result()
        assert body.endswith(b"data: [DONE]\n\n")
        assert text_of(Decoder().feed(body)).endswith("".join(WORDS[5:]))
        row = here.row("tag")
        assert row.closed is not None
        assert row.closed.ending == "complete"


def test_a_stream_that_is_read_elsewhere_goes_on(tmp_path: Path, valkey: Valkey) -> None:
    """Nobody reads it where it runs, for longer than it would wait; its reader is elsewhere."""
    pause = Pause()
    steps = stream_answer([ROLE, *CONTENT[:5], pause, *CONTENT[5:], *END])
    with (
        Peer(steps) as peer,
        gateways(tmp_path, peer, valkey, server="resume_wait_s = 1.5") as (here, there),
        ask(here, on_disconnect="cancel") as client,
    ):
        stream = stream_of(client)
        client.read_until(b'" 5"')
        client.hang_up()
        reading = Reading(there, stream)
        time.sleep(5)
        assert json.loads(read(there, f"{stream}/usage")[1])["ending"] is None
        pause.release()
        assert reading.result().endswith(b"data: [DONE]\n\n")


def test_a_stream_is_stopped_and_asked_for_elsewhere(tmp_path: Path, valkey: Valkey) -> None:
    """Also one that cannot be resumed; what it used is told, and the ledger says stopped."""
    pause = Pause()
    steps = [*stream_answer([ROLE, *CONTENT], end=False), pause]
    with Peer(steps, steps) as peer, gateways(tmp_path, peer, valkey) as (here, there):
        for ours in (RESUME, {"resume": False}):
            with ask(here, **ours) as client:
                stream = stream_of(client)
                client.read_until(b'" 20"')
                running = json.loads(read(there, f"{stream}/usage")[1])
                assert running["ending"] is None
                assert running["usage"]["completion_tokens"] > 0
                status, told = read(there, stream, "DELETE")
                assert (status, json.loads(told)["ending"]) == (200, "stopped")
                assert client.rest().endswith(b"data: [DONE]\n\n")
                assert json.loads(read(there, stream, "DELETE")[1]) == json.loads(told)
        endings = {row.closed.ending for row in here.rows(2) if row.closed}
        assert endings == {"stopped"}


def test_a_gateway_that_is_killed_fails_honestly(tmp_path: Path, valkey: Valkey) -> None:
    """Its client goes on at the other with what was written, and then gets an honest end."""
    pause = Pause()
    steps = [*stream_answer([ROLE, *CONTENT], end=False), pause]
    with (
        Peer(steps) as peer,
        gateways(tmp_path, peer, valkey, 1) as (there,),
        _victim(tmp_path, peer, valkey) as victim,
        ask(victim) as client,
    ):
        stream = stream_of(client)
        client.read_until(b'" 20"')
        reading = Reading(there, stream)
        until(lambda: read(there, f"{stream}/usage")[0] == 200)
        until(lambda: _checkpointed(victim))
        os.kill(victim.process.pid, signal.SIGKILL)
        late = Reading(there, f"{stream}?starting_after=30")  # it has what the store never got
        body = reading.result()
        events = Decoder().feed(body)
        assert text_of(events) == "".join(WORDS)
        assert json.loads(events[-1].data)["error"]["code"] == "failed"
        assert b"[DONE]" not in body
        assert json.loads(Decoder().feed(late.result())[-1].data)["error"]["code"] == "failed"
        last = max(numbers_of(Decoder().feed(late.body)))
        assert read(there, stream, last_event_id=f"{stream}:{last}")[0] == 204
        status, later = read(there, f"{stream}?starting_after={last + 5}")
        assert (status, numbers_of(Decoder().feed(later))) == (200, [last])
        assert json.loads(read(there, f"{stream}/usage")[1])["ending"] == "failed"
        victim.process.wait()
    with Served(victim.folder, config_of(victim)) as again:
        row = again.row("tag")
        assert row.closed is not None
        assert row.closed.ending == "failed"
        assert row.tally.completion_tokens


def test_a_dead_gateways_stream_is_told_without_a_reader(tmp_path: Path, valkey: Valkey) -> None:
    """Whoever asks what it used, or stops it, learns that it has failed."""
    pause = Pause()
    steps = [*stream_answer([ROLE, *CONTENT], end=False), pause]
    with (
        Peer(steps, steps) as peer,
        gateways(tmp_path, peer, valkey, 1) as (there,),
        _victim(tmp_path, peer, valkey) as victim,
        ask(victim) as client,
        ask(victim, resume=False) as other,
    ):
        streams = [stream_of(client), stream_of(other)]
        for one, stream in zip((client, other), streams, strict=True):
            one.read_until(b'" 20"')
            assert read(there, f"{stream}/usage")[0] == 200
        os.kill(victim.process.pid, signal.SIGKILL)
        until(lambda: read(there, f"{streams[0]}/usage")[0] == 200)
        until(lambda: read(there, streams[1], "DELETE")[0] == 200)
        for stream in streams:
            assert json.loads(read(there, f"{stream}/usage")[1])["ending"] == "failed"


def test_streams_outlive_the_store(tmp_path: Path, valkey: Valkey) -> None:
    """It is killed in the middle; clients lack nothing, and then everything is there again."""
    pauses = [Pause(), Pause()]
    steps = stream_answer(
        [ROLE, *CONTENT[:5], pauses[0], *CONTENT[5:15], pauses[1], *CONTENT[15:], *END]
    )
    with (
        Peer(steps) as peer,
        gateways(tmp_path, peer, valkey) as (here, there),
        ask(here) as client,
    ):
        stream = stream_of(client)
        client.read_until(b'" 5"')
        until(lambda: read(there, f"{stream}/usage")[0] == 200)
        reading = Reading(there, stream)
        with valkey.gone():
            pauses[0].release()
            client.read_until(b'" 15"')
            assert read(there, "stm_" + "0" * 32)[0] == 503
            assert "store" in here.ask(path="/readyz").json
            assert read(here, f"{stream}/usage")[0] == 200
        pauses[1].release()
        body = client.rest()
        assert body.endswith(b"data: [DONE]\n\n")
        assert reading.result() == body
        until(lambda: read(there, stream) == (200, body))


def test_a_store_that_stands_still_holds_nobody_up(tmp_path: Path, valkey: Valkey) -> None:
    """Streams run at their pace while the store answers nothing."""
    with (
        Peer(stream_answer([ROLE, *CONTENT, *END])) as peer,
        gateways(tmp_path, peer, valkey, 1) as (here,),
        valkey.frozen(),
    ):
        began = time.monotonic()
        with ask(here) as client:
            assert client.rest().endswith(b"data: [DONE]\n\n")
            assert time.monotonic() - began < 1.0


def test_a_resume_may_land_on_any_worker(tmp_path: Path, valkey: Valkey) -> None:
    """Several processes on one port share their streams by the store."""
    steps = stream_answer([ROLE, *CONTENT, *END])
    with (
        Peer(steps) as peer,
        gateways(tmp_path, peer, valkey, 1, server="workers = 3") as (here,),
        ask(here) as client,
    ):
        stream = stream_of(client)
        body = client.rest()
        for _ in range(12):  # by as many connections, each to any worker
            until(lambda: read(here, stream) == (200, body))


def test_workers_without_a_store_resume_nothing(tmp_path: Path) -> None:
    """The refusal names what is missing, before anything is spent."""
    with Peer(stream_answer([ROLE, *CONTENT, *END])) as peer:
        tables = f"[server]\nworkers = 2\n{upstream('u', peer.base_url)}{model('m', ['u'])}"
        with Served(tmp_path, tables) as here:
            body = {"model": "m", "stream": True, "deltaweir": RESUME}
            refused = here.ask({**body, "messages": [{"role": "user", "content": "Hi"}]})
        assert (refused.status, refused.json["error"]["code"]) == (400, "resume_needs_store")
        assert "[store]" in refused.json["error"]["message"]
        assert not peer.requests


@contextlib.contextmanager
def _victim(folder: Path, peer: Peer, valkey: Valkey) -> Iterator[Served]:
    """Run a gateway that will be killed."""
    own = folder / "victim"
    own.mkdir()
    served = Served(own, config(peer, valkey))
    served.__enter__()
    try:
        yield served
    finally:
        served.process.kill()
        served.process.wait()
        for reader in served._readers:
            reader.join(60)
        for pipe in (served.process.stdout, served.process.stderr):
            assert pipe is not None
            pipe.close()


def _checkpointed(served: Served) -> bool:
    """Tell whether what all streams used is in the ledger."""
    with SqliteLedger(served.folder / "deltaweir.db", read_only=True) as ledger:
        rows = ledger.rows()
    return bool(rows) and all(row.tally.completion_tokens for row in rows)


def config_of(served: Served) -> str:
    """Return a gateway's configuration."""
    return served.config.read_text()
