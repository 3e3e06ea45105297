"""Streams that are read from any point, by many, and stopped: what readers and the ledger see."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest.mock import ANY

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from tests.gateway.conftest import DEADLINE_S, until
from tests.gateway.fronts import Answer, Front, asked, fronted
from tests.gateway.test_embed import ask

from deltaweir.errors import StreamTruncated
from deltaweir.gateway.app import application
from deltaweir.gateway.config.file import Config, LedgerConfig, ModelConfig, UpstreamConfig
from deltaweir.gateway.service import Gateway
from deltaweir.testing import Pause, Peer, Reset, chat_events, error_answer, stream_answer
from deltaweir.wire.sse import Decoder, Event

WORDS = [" one", " two", " three", " four", " five", " six"]
ROLE, *CONTENT = chat_events(*WORDS, finish=None, done=False)
RESUME = {"resume": True}


class Read(NamedTuple):
    """What somebody was given who read on."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def events(self) -> list[Event]:
        """The events of the stream."""
        return Decoder().feed(self.body)

    @property
    def numbers(self) -> list[int]:
        """The numbers of its events."""
        return [int(event.id.rpartition(":")[2]) for event in self.events]

    @property
    def error(self) -> Any:
        """The error of a refusal."""
        return json.loads(self.body)["error"]


def read(front: Front, path: str, *, method: str = "GET", **headers: str) -> Read:
    """Ask for a stream, and read to its end."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=DEADLINE_S)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/v1/streams/{path}", headers=names)
        response = connection.getresponse()
        got = {name.lower(): value for name, value in response.getheaders()}
        return Read(response.status, got, response.read())
    finally:
        connection.close()


def id_of(answer: Answer) -> str:
    """Return a stream's id."""
    return answer.headers["x-deltaweir-stream-id"]


def unnumbered(body: bytes) -> bytes:
    """Return a stream's bytes without ids."""
    return b"".join(line for line in body.splitlines(keepends=True) if not line.startswith(b"id:"))


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted() as one:
        yield one


def test_a_stream_is_read_again_from_any_point(front: Front) -> None:
    """Behind each number come the very bytes that were sent behind it."""
    with Peer(stream_answer(chat_events(*WORDS, usage=(3, 7)))) as peer:
        front.before(peer)
        answer = front.ask(deltaweir=RESUME)
    assert answer.status == 200
    events = Decoder().feed(answer.body)
    stream = id_of(answer)
    assert [event.id for event in events] == [f"{stream}:{n}" for n in range(1, len(events) + 1)]
    assert events[-1].data == b"[DONE]"
    frames = answer.body.split(b"\n\n")[:-1]
    assert len(frames) == len(events)
    for number in range(len(frames)):
        rest = b"".join(frame + b"\n\n" for frame in frames[number:])
        for one in (
            read(front, f"{stream}?starting_after={number}"),
            read(front, stream, last_event_id=f"{stream}:{number}"),
            read(front, f"{stream}?starting_after=0", last_event_id=str(number)),
        ):
            assert (one.status, one.body) == (200, rest)
            assert one.headers["content-type"].startswith("text/event-stream")
            assert one.headers["x-deltaweir-stream-id"] == stream
    assert read(front, stream).body == answer.body
    for beyond in (len(frames), len(frames) + 5):
        one = read(front, f"{stream}?starting_after={beyond}")
        assert (one.status, one.body) == (204, b"")


def test_who_does_not_ask_gets_no_ids(front: Front) -> None:
    """The frames are those of a stream that cannot be resumed, and that one cannot be read."""
    with Peer(*[stream_answer(chat_events(*WORDS, usage=(3, 7)))] * 2) as peer:
        front.before(peer)
        plain, kept = front.ask(), front.ask(deltaweir=RESUME)
    assert b"id:" not in plain.body
    assert unnumbered(kept.body) == plain.body
    refused = read(front, id_of(plain))
    assert (refused.status, refused.error["code"]) == (404, "stream_not_found")


@pytest.mark.parametrize("cut", range(1, len(WORDS) + 1))
def test_a_stream_outlives_its_connection(front: Front, cut: int) -> None:
    """Its client hangs up after each event in turn, reads on, and lacks nothing."""
    pause = Pause()
    steps = [ROLE, *CONTENT[:cut], pause, *CONTENT[cut:], *chat_events(usage=(3, 7))[1:]]
    with Peer(stream_answer(steps)) as peer:
        front.before(peer)
        with front.client(deltaweir=RESUME) as one:
            one.read_until(WORDS[cut - 1].encode())
            stream = _stream_id(one.got)
        last = one.got.rpartition(f"id: {stream}:".encode())[2].partition(b"\n")[0].decode()
        _wait_for_readers(front, stream, 0)
        got: list[Read] = []
        reader = threading.Thread(
            target=lambda: got.append(read(front, stream, last_event_id=f"{stream}:{last}"))
        )
        reader.start()
        _wait_for_readers(front, stream, 1)
        pause.release()
        reader.join(DEADLINE_S)
    (rest,) = got
    assert rest.numbers[0] == int(last) + 1
    assert rest.events[-1].data == b"[DONE]"
    assert _text(rest.events) == "".join(WORDS[cut:])
    row = front.row(one.tag)
    assert row.closed is not None
    assert (row.closed.ending, row.tally.completion_tokens) == ("complete", 7)


def test_fifty_read_at_once(front: Front) -> None:
    """Readers that come at any time, during the run and after it, get the same; it is paid once."""
    pauses = [Pause() for _ in WORDS]
    steps: list[Any] = [ROLE]
    for pause, event in zip(pauses, CONTENT, strict=True):
        steps += [pause, event]
    with Peer(stream_answer([*steps, *chat_events(usage=(3, 7))[1:]])) as peer:
        front.before(peer)
        with front.client(deltaweir=RESUME) as one:
            pauses[0].release()
            one.read_until(WORDS[0].encode())
            stream = _stream_id(one.got)
            got: list[Read] = []
            threads = []
            for pause in pauses[1:]:
                more = [
                    threading.Thread(target=lambda: got.append(read(front, stream)))
                    for _ in range(10)
                ]
                for thread in more:
                    thread.start()
                threads += more
                _wait_for_readers(front, stream, 1 + len(threads))
                pause.release()
            for thread in threads:
                thread.join(DEADLINE_S)
            body = one.rest()
    assert len(got) == 50
    assert {reading.body for reading in got} == {body}
    assert read(front, stream).body == body
    assert front.row(one.tag).tally.completion_tokens == 7
    assert len(peer.requests) == 1


def test_a_slow_reader_pauses_nobody(front: Front) -> None:
    """A reader that takes nothing leaves source and other readers alone, and goes on later."""
    text = "x" * 4096
    events = chat_events(*[text] * 1500, usage=(3, 7))
    with Peer(stream_answer(events)) as peer:
        front.before(peer)
        with front.client(deltaweir=RESUME, narrow=True) as slow:
            slow.read_until(b"id: ")
            quick = read(front, _stream_id(slow.got))
            assert _text(quick.events) == text * 1500
            until(lambda: front.running.ended(slow.tag).closed is not None)
            assert slow.rest() == quick.body


def test_what_was_lost_is_told() -> None:
    """A reader whose frames have left the journal is broken off, and learns why on its return."""
    text = "x" * 4096
    events = chat_events(*[text] * 3000, usage=(3, 7))
    with (
        fronted(journal_mib=1) as front,
        Peer(stream_answer(events)) as peer,
    ):
        front.before(peer)
        with front.client(deltaweir=RESUME, narrow=True) as slow:
            slow.read_until(b"id: ")
            stream = _stream_id(slow.got)
            until(lambda: front.running.ended(slow.tag).closed is not None)
            _wait_for_readers(front, stream, 0)
            with pytest.raises((ConnectionError, StreamTruncated)):
                slow.rest()
        gone = read(front, f"{stream}?starting_after=1")
        assert (gone.status, gone.error["code"]) == (410, "stream_gone")


def test_a_stream_is_stopped_for_everyone(front: Front) -> None:
    """All readers get an end by length; the source is closed, and the row says so."""
    pause = Pause()
    with Peer([*stream_answer([ROLE, *CONTENT], end=False), pause]) as peer:
        front.before(peer, model={"upstream_model": "gpt-4o"})
        with front.client(deltaweir=RESUME) as one:
            one.read_until(b" six")
            stream = _stream_id(one.got)
            stopped = read(front, stream, method="DELETE")
            assert stopped.status == 200
            told = json.loads(stopped.body)
            assert (told["usage"]["completion_tokens"], told["source"]) == (6, "counted")
            assert told["ending"] == "stopped"
            body = one.rest()
            assert peer.wait_gone(timeout_s=1.0)
        last = [json.loads(e.data) for e in Decoder().feed(body) if e.data != b"[DONE]"][-1]
        assert last["choices"][0]["finish_reason"] == "length"
        assert last["deltaweir"]["stopped_by"] == "stop"
        assert body.endswith(b"data: [DONE]\n\n")
        row = front.row(one.tag)
        assert row.closed is not None
        assert (row.closed.ending, row.tally.completion_tokens) == ("stopped", 6)
        again = read(front, stream, method="DELETE")
        assert json.loads(again.body)["ending"] == "stopped"
        assert json.loads(read(front, f"{stream}/usage").body) == told


def test_a_stream_that_is_not_kept_can_be_stopped(front: Front) -> None:
    """Its id is in its headers, and is good until its end."""
    pause = Pause()
    with Peer([*stream_answer([ROLE, *CONTENT], end=False), pause]) as peer:
        front.before(peer)
        with front.client() as one:
            one.read_until(b" six")
            stream = _stream_id(one.got)
            running = json.loads(read(front, f"{stream}/usage").body)
            assert (running["ending"], running["usage"]["completion_tokens"]) == (None, 6)
            assert read(front, stream, method="DELETE").status == 200
            assert one.rest().endswith(b"data: [DONE]\n\n")
        front.row(one.tag)
        until(lambda: read(front, stream, method="DELETE").status == 404)


def test_a_stream_that_nobody_reads_goes_on_unless_told(front: Front) -> None:
    """With resume alone it goes to its end."""
    pause = Pause()
    with Peer(stream_answer([ROLE, *CONTENT, pause, *chat_events(usage=(3, 7))[1:]])) as peer:
        front.before(peer)
        with front.client(deltaweir=RESUME) as one:
            one.read_until(b" six")
            stream = _stream_id(one.got)
        _wait_for_readers(front, stream, 0)
        pause.release()
        row = front.row(one.tag)
    assert row.closed is not None
    assert row.closed.ending == "complete"
    assert read(front, stream).events[-1].data == b"[DONE]"


def test_a_stream_that_nobody_reads_ends_where_that_was_asked() -> None:
    """It waits for a reader's return, and tells whoever comes too late that it is not whole."""
    pause = Pause()
    with (
        fronted(resume_wait_s=0.3) as front,
        Peer([*stream_answer([ROLE, *CONTENT], end=False), pause]) as peer,
    ):
        front.before(peer)
        with front.client(deltaweir={"resume": True, "on_disconnect": "cancel"}) as one:
            one.read_until(b" six")
            stream = _stream_id(one.got)
        assert peer.wait_gone(timeout_s=DEADLINE_S)
        row = front.row(one.tag)
        assert row.closed is not None
        assert row.closed.ending == "abandoned"
        late = read(front, stream)
        assert json.loads(late.events[-1].data)["error"]["code"] == "abandoned"
        assert _text(late.events) == "".join(WORDS)
        assert read(front, stream, last_event_id=late.events[-1].id).status == 204


def test_a_stream_that_nobody_was_told_of_is_not_kept_waiting(front: Front) -> None:
    """Its client leaves before it knows the id: with cancel its upstream is left at once."""
    pause = Pause()
    with Peer([*stream_answer([ROLE], end=False), pause]) as peer:
        front.before(peer)
        with front.client(deltaweir={"resume": True, "on_disconnect": "cancel"}) as one:
            assert pause.reached.wait(DEADLINE_S)
        assert peer.wait_gone(timeout_s=3.0)
    row = front.row(one.tag)
    assert row.closed is not None
    assert row.closed.ending == "abandoned"


def test_a_failure_is_kept_too(front: Front) -> None:
    """Whoever reads later gets the same error event, and no [DONE]."""
    with Peer(stream_answer([ROLE, *CONTENT, Reset()], end=False)) as peer:
        front.before(peer)
        answer = front.ask(deltaweir=RESUME)
    assert b"[DONE]" not in answer.body
    assert b'"error"' in answer.body
    assert read(front, id_of(answer)).body == answer.body


def test_a_refusal_has_its_own_status(front: Front) -> None:
    """What fails before anything was sent is no stream."""
    with Peer(error_answer(400, "no")) as peer:
        front.before(peer)
        answer = front.ask(deltaweir=RESUME)
    assert answer.status == 400
    assert "x-deltaweir-stream-id" not in answer.headers


def test_a_whole_reply_needs_no_journal(front: Front) -> None:
    """The same terms may stand with every request of a client."""
    with Peer(stream_answer(chat_events("Hi", usage=(3, 7)))) as peer:
        front.before(peer)
        answer = front.ask(stream=False, deltaweir={**RESUME, "budget": {"tokens": 50}})
    assert answer.status == 200
    assert answer.json["choices"][0]["message"]["content"] == "Hi"


def test_heartbeats_are_no_events() -> None:
    """A reader of a silent stream is kept awake, and numbers do not change."""
    pause = Pause()
    with (
        fronted(heartbeat_s=0.3) as front,
        Peer(stream_answer([pause, *chat_events("Hi", usage=(3, 7))])) as peer,
    ):
        front.before(peer)
        with front.client(deltaweir=RESUME) as one:
            one.read_until(b": keep-alive")
            stream = _stream_id(one.got)
            pause.release()
            body = one.rest()
        numbers = [int(event.id.rpartition(":")[2]) for event in Decoder().feed(body)]
        assert numbers == [*range(1, len(numbers) + 1)]
        assert b"keep-alive" not in read(front, stream).body


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("stm_" + "0" * 32, {}, 404, "stream_not_found"),
        ("nothing", {}, 404, "stream_not_found"),
        ("{id}?starting_after=x", {}, 400, None),
        ("{id}?starting_after=1&starting_after=2", {}, 400, None),
        ("{id}?after=1", {}, 400, None),
        ("{id}", {"last_event_id": "stm_other:1"}, 400, None),
    ],
)
def test_what_cannot_be_read_is_refused(
    front: Front, path: str, headers: dict[str, str], status: int, code: str | None
) -> None:
    """Each with its status, and with what was wrong."""
    with Peer(stream_answer(chat_events("Hi", usage=(3, 7)))) as peer:
        front.before(peer)
        stream = id_of(front.ask(deltaweir=RESUME))
    refused = read(front, path.replace("{id}", stream), **headers)
    assert refused.status == status
    assert code is None or refused.error["code"] == code
    assert refused.headers["cache-control"] == "no-store"
    for below, method, allowed in (("", "POST", "GET, DELETE"), ("/usage", "DELETE", "GET")):
        other = read(front, stream + below, method=method)
        assert (other.status, other.headers["allow"]) == (405, allowed)


def _stream_id(got: bytes) -> str:
    """Return the id in the head of an answer."""
    return got.partition(b"x-deltaweir-stream-id: ")[2].partition(b"\r\n")[0].decode()


def _readers(front: Front, stream: str) -> int:
    """Return how many read a stream at this moment."""
    found = front.running.server.gateway.streams.journals.get(stream)
    return found.publication.readers if found is not None and found.publication else -1


def _wait_for_readers(front: Front, stream: str, count: int) -> None:
    until(lambda: _readers(front, stream) == count)


def _text(events: list[Event]) -> str:
    chunks = [json.loads(event.data) for event in events if event.data != b"[DONE]"]
    return "".join(
        choice["delta"].get("content") or ""
        for chunk in chunks
        for choice in chunk.get("choices", [])
    )


def test_a_stop_waits_for_readers_and_then_breaks_them_off() -> None:
    """Who reads slowly is waited for as a stream is, and then not told that it was whole."""
    text = "x" * 4096
    events = chat_events(*[text] * 1500, usage=(3, 7))
    with (
        fronted(drain_s=0.3) as front,
        Peer(stream_answer(events)) as peer,
    ):
        front.before(peer)
        with front.client(deltaweir=RESUME, narrow=True) as slow:
            slow.read_until(b"id: ")
            front.row(slow.tag)
            front.running.stop()
            front.running.join()
            with pytest.raises((ConnectionError, StreamTruncated)):
                slow.rest()


async def test_a_stream_is_resumed_where_another_server_sends_it() -> None:
    """By plain ASGI, under a host's path, readers get the same bytes."""
    with Peer(stream_answer(chat_events(*WORDS, usage=(3, 7)))) as peer:
        config = Config(
            upstreams=(UpstreamConfig(name="u", base_url=peer.base_url, proxy=""),),
            models=(ModelConfig(name="m", upstreams=("u",)),),
            ledger=LedgerConfig(url=""),
        )
        gateway = Gateway(config)
        app = Starlette(routes=[Mount("/ai", application(gateway))])
        body = json.dumps(asked() | {"deltaweir": RESUME}).encode()
        status, headers, told = await ask(app, "/ai/v1/chat/completions", body=body)
        assert status == 200
        path = f"/ai/v1/streams/{headers['x-deltaweir-stream-id']}"
        assert await ask(app, path) == (200, ANY, told)
        rest = told[told.index(b"id: ", 4) :]
        assert await ask(app, path, query_string=b"starting_after=1") == (200, ANY, rest)
        assert (await ask(app, f"{path}/usage"))[0] == 200
        await gateway.leave()
        gateway.close()
