"""Clients whose streams outlive their connections, against a server that breaks them off."""

from __future__ import annotations

import asyncio
import collections
import gc
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.resumable import (
    OFFER,
    STREAM,
    Fault,
    ResumablePeer,
    after,
    after_bytes,
    nothing_more,
    numbered,
    offering,
    refusing,
    whole,
)

import deltaweir
from deltaweir.errors import (
    ConnectionFailed,
    DeltaweirError,
    InvalidRequest,
    StallTimeout,
    StreamFailed,
    StreamTruncated,
)
from deltaweir.sources import stopping
from deltaweir.testing import (
    Drop,
    Pause,
    Peer,
    Reset,
    Tunnel,
    chat_events,
    error_event,
    json_answer,
    stream_answer,
)

HELLO = [{"role": "user", "content": "hello"}]
EVENTS = chat_events("Hel", "lo, ", "wörld", usage=(3, 4))
TEXT = "Hello, wörld"
TLS = Path(__file__).parent.parent / "data" / "tls"
CERTIFICATE, AUTHORITY = TLS / "localhost.pem", TLS / "authority.pem"


class Blocking:
    """A program that blocks."""

    def client(self, base_url: str, **options: Any) -> Any:
        """Return a client whose streams are resumed."""
        return deltaweir.Client(**{**self.options(base_url), **options})

    def options(self, base_url: str) -> dict[str, Any]:
        """Return what a client is told unless a test says otherwise."""
        return {"base_url": base_url, "api_key": "secret-key", "resume": True, "proxy": ""}

    def ask(self, client: Any, **options: Any) -> Any:
        """Return a client's stream."""
        return client.chat.completions.create(model="m", messages=HELLO, stream=True, **options)

    def open(self, base_url: str, **options: Any) -> Any:
        """Return a stream that is resumed."""
        return self.ask(self.client(base_url), **options)

    def read(self, stream: Any, most: int | None = None) -> list[Any]:
        """Read a stream to its end, or so many chunks of it."""
        return [chunk for chunk, _ in zip(stream, range(most or 1000), strict=False)]

    def close(self, stream: Any) -> None:
        """Close a stream."""
        stream.close()

    def leave(self, stream: Any) -> None:
        """Leave a stream's block."""
        with stream:
            pass

    def settle(self) -> None:
        """Let happen what is to happen soon."""


class Awaiting(Blocking):
    """An asyncio program."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._run = runner.run

    def client(self, base_url: str, **options: Any) -> Any:
        """Return a client whose streams are resumed."""
        return deltaweir.AsyncClient(**{**self.options(base_url), **options})

    def ask(self, client: Any, **options: Any) -> Any:
        """Return a client's stream."""
        create = client.chat.completions.create
        return self._run(create(model="m", messages=HELLO, stream=True, **options))

    def read(self, stream: Any, most: int | None = None) -> list[Any]:
        """Read a stream to its end, or so many chunks of it."""

        async def read() -> list[Any]:
            found: list[Any] = []
            async for chunk in stream:
                found.append(chunk)
                if len(found) == most:
                    break
            return found

        return self._run(read())

    def close(self, stream: Any) -> None:
        """Close a stream."""
        self._run(stream.close())

    def leave(self, stream: Any) -> None:
        """Leave a stream's block."""

        async def leave() -> None:
            async with stream:
                pass

        self._run(leave())

    def settle(self) -> None:
        """Let happen what is to happen soon."""
        self._run(asyncio.sleep(0))


@pytest.fixture(params=["blocking", "awaiting"])
def way(request: pytest.FixtureRequest) -> Iterator[Blocking]:
    """Return each way of asking."""
    if request.param == "blocking":
        yield Blocking()
        return
    with asyncio.Runner() as runner:
        yield Awaiting(runner)


@pytest.fixture(scope="module")
def uncut() -> list[Any]:
    """The chunks of a stream whose connection held."""
    with ResumablePeer(EVENTS) as peer:
        return Blocking().read(Blocking().open(peer.base_url))


def check_whole(stream: Any, chunks: list[Any], uncut: list[Any]) -> None:
    """Check that a stream was none the worse for its faults."""
    assert chunks == uncut
    assert (stream.text, stream.finish_reason, stream.complete) == (TEXT, "stop", True)
    assert (stream.usage.prompt_tokens, stream.usage.completion_tokens) == (3, 4)
    assert stream.stream_id == STREAM


@pytest.mark.parametrize("events", range(len(EVENTS)))
def test_a_cut_after_each_event(way: Blocking, uncut: list[Any], events: int) -> None:
    """The loop goes on as if nothing had been."""
    with ResumablePeer(EVENTS, after(events)) as peer:
        stream = way.open(peer.base_url)
        check_whole(stream, way.read(stream), uncut)
    assert stream.resumed_at == (events + 1,)
    assert peer.resumes == [f"{STREAM}:{events}"]
    assert peer.stops == []


def test_a_cut_after_each_byte(way: Blocking) -> None:
    """Also where it falls into an event, a character or the framing."""
    events = chat_events("é", finish="stop")[1:]
    answer = b"".join(step for step in offering(numbered(events)) if isinstance(step, bytes))
    cuts = range(answer.index(b"\r\n\r\n") + 4, answer.index(b"data: [DONE]\n\n") + 14)
    faults = [fault for cut in cuts for fault in (after_bytes(cut), whole)]
    with ResumablePeer(events, *faults) as peer:
        client = way.client(peer.base_url)
        for _ in cuts:
            stream = way.ask(client)
            assert len(way.read(stream)) == 2
            assert (stream.text, stream.complete) == ("é", True)
    assert len(peer.resumes) == len(cuts) > 300


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.booleans())
def test_several_faults_in_one_stream(cuts: list[int], reset: bool) -> None:
    """Each takes a few events with it, or breaks off harder."""

    def fault(events: int) -> Fault:
        return lambda steps: [*steps[: events + 1], Reset() if reset else Drop()]

    with ResumablePeer(EVENTS, *map(fault, cuts)) as peer:
        stream = Blocking().open(peer.base_url)
        chunks = Blocking().read(stream)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    )
    assert stream.complete


def test_refused_connections_between(way: Blocking, uncut: list[Any]) -> None:
    """A server that restarts on its address is waited for."""
    with ResumablePeer(EVENTS, after(3)) as first:
        port = first.port
        stream = way.open(first.base_url)
        way.read(stream, 2)
        assert first.wait_gone()

        def restart() -> None:
            first._listener.close()
            time.sleep(0.2)
            again = ResumablePeer(EVENTS)
            again._listener.close()
            again._listener = socket.create_server(("127.0.0.1", port))
            again.port = port
            served.append(again.__enter__())

        served: list[ResumablePeer] = []
        first.__exit__(None, None, None)
        restarting = threading.Thread(target=restart)
        restarting.start()
        way.read(stream)
        restarting.join()
        assert (stream.text, stream.complete, stream.resumed_at) == (TEXT, True, (4,))
        assert served[0].resumes == [f"{STREAM}:3"]
        served[0].__exit__(None, None, None)


def test_a_busy_server(way: Blocking, uncut: list[Any]) -> None:
    """It is asked again when it says."""
    faults = (after(3), refusing(503, retry_after="0"), refusing(429, retry_after="0"))
    with ResumablePeer(EVENTS, *faults) as peer:
        stream = way.open(peer.base_url)
        check_whole(stream, way.read(stream), uncut)
    assert peer.resumes == [f"{STREAM}:3"] * 3
    assert stream.resumed_at == (4,)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (refusing(404), r"could not be resumed: asked for what follows event 3, .* 404: not now"),
        (refusing(410), r"410: not now \(what came is kept; ask again"),
        (nothing_more(), r"could not be resumed: the server has nothing after event 3"),
    ],
)
def test_what_cannot_be_resumed(way: Blocking, fault: Fault, message: str) -> None:
    """It is truncated, as it would be without resuming; what came is kept, and why is told."""
    with ResumablePeer(EVENTS, after(3), fault) as peer:
        stream = way.open(peer.base_url)
        with pytest.raises(StreamTruncated, match=message) as caught:
            way.read(stream)
    assert caught.value.partial is not None
    assert caught.value.partial.reply.choices[0].message.content == "Hello, "
    assert isinstance(caught.value.__cause__, DeltaweirError)
    assert (stream.complete, stream.text) == (False, "Hello, ")


def test_reasons_without_done(way: Blocking) -> None:
    """Every choice has ended, so nothing is missing that a server no longer keeps."""
    with ResumablePeer(EVENTS, after(5), refusing(404)) as peer:
        stream = way.open(peer.base_url)
        way.read(stream)
    assert (stream.text, stream.complete) == (TEXT, True)


def test_an_error_event_after_a_resumption(way: Blocking) -> None:
    """The server's own word ends the stream; nothing is asked again, nor stopped."""
    events = [*EVENTS[:4], error_event("it died", code="upstream_failed")]
    with ResumablePeer(events, after(3)) as peer:
        stream = way.open(peer.base_url)
        with pytest.raises(StreamFailed, match="it died") as caught:
            way.read(stream)
        way.close(stream)
    assert caught.value.partial is not None
    assert caught.value.partial.reply.choices[0].message.content == TEXT
    assert [request.method for request in peer.requests] == ["POST", "GET"]


def test_a_dead_connection(way: Blocking, uncut: list[Any]) -> None:
    """What brings nothing for as long as the clock `stall` allows is left for another."""
    pause = Pause()
    with ResumablePeer(EVENTS, lambda steps: [*steps[:3], pause]) as peer:
        stream = way.open(peer.base_url, timeouts={"stall": 0.1})
        check_whole(stream, way.read(stream), uncut)
    assert stream.resumed_at[0] == 3
    assert peer.stops == []


@pytest.mark.parametrize("events", [3, 5])
def test_a_clock_beside_the_end_of_patience(way: Blocking, events: int) -> None:
    """Whichever is noticed first, a stream that is given up ends as the interruption began."""
    pause = Pause()
    with ResumablePeer(EVENTS, after(events), lambda _: [pause]) as peer:
        stream = way.open(peer.base_url, timeouts={"stall": 60})
        way.read(stream, 2)
        exchange: Any = stream._source._resuming
        exchange._resume_s = 0.1
        given_up = exchange.give_up

        def give_up(why: DeltaweirError) -> None:
            stream._clocks._quiet = 60.0  # as if that had taken all of it
            given_up(why)

        exchange.give_up = give_up
        if events == 5:
            way.read(stream)
        else:
            with pytest.raises(StreamTruncated, match="it could not be resumed: given up after"):
                way.read(stream)
        assert stream.complete is (events == 5)


def test_a_gateway_that_died(way: Blocking) -> None:
    """Its stream's last word has a number that is not due, and is raised as what it is."""
    last = numbered([error_event("its gateway died", code="failed")], first=2)
    cut = [*offering(numbered(EVENTS)[:3], end=False), Drop()]
    with Peer(cut, offering(last)) as peer:
        stream = way.open(peer.base_url)
        with pytest.raises(StreamFailed, match="its gateway died") as caught:
            way.read(stream)
        way.close(stream)
    assert caught.value.code == "failed"
    assert caught.value.partial is not None
    assert caught.value.partial.reply.choices[0].message.content == "Hello, "
    assert (stream.ending.value, stream.resumed_at) == ("failed", ())
    assert [request.method for request in peer.requests] == ["POST", "GET"]


def test_a_dead_connection_without_an_offer(way: Blocking) -> None:
    """There is nothing to go on with, so it fails as ever."""
    pause = Pause()
    with Peer([*stream_answer(EVENTS[:3], end=False), pause]) as peer:
        stream = way.open(peer.base_url, timeouts={"stall": 0.1})
        with pytest.raises(StallTimeout, match=r"after the last chunk within 0\.1 s; raise"):
            way.read(stream)
    assert not stream._source.stalled(StallTimeout("quiet"))


def test_an_answer_that_never_begins(way: Blocking, uncut: list[Any]) -> None:
    """A server that takes the request for the rest, and says nothing, is asked again."""
    pause = Pause()
    with ResumablePeer(EVENTS, after(3), lambda _: [pause]) as peer:
        stream = way.open(peer.base_url, timeouts={"stall": 0.1})
        check_whole(stream, way.read(stream), uncut)
    assert len(peer.resumes) >= 2


def test_the_whole_time_holds(way: Blocking) -> None:
    """`total` ends everything, a resumption too; and the generation with it."""
    pause = Pause()
    with ResumablePeer(EVENTS, after(3), lambda _: [pause]) as peer:
        stream = way.open(peer.base_url, timeouts={"total": 0.6})
        with pytest.raises(StallTimeout, match="the answer was not whole within"):
            way.read(stream)
        assert peer.wait_requests(3)
        assert len(peer.stops) == 1


def test_patience_without_clocks(way: Blocking) -> None:
    """Also where no clock is set, a server that never answers is given up in the end."""
    pause = Pause()
    with ResumablePeer(EVENTS, after(3), lambda _: [pause]) as peer:
        stream = way.open(peer.base_url, timeouts={"stall": None, "first_content": None})
        stream._source._resuming._resume_s = 0.5
        with pytest.raises(StreamTruncated, match=r"given up after 0\.5 s, at last: the server"):
            way.read(stream)
        assert peer.wait_requests(3)
    assert stream.text == "Hello, "


@pytest.mark.parametrize("ways", ["close", "with", "drop", "cut"])
def test_leaving_stops_the_generation(way: Blocking, ways: str) -> None:
    """For everyone, once, and with the credentials of the stream."""
    pause = Pause()
    budget = {"tokens": 1} if ways == "cut" else None
    with ResumablePeer(EVENTS, lambda steps: [*steps[:4], pause]) as peer:
        stream = way.open(peer.base_url, budget=budget)
        way.read(stream, None if ways == "cut" else 2)
        if ways == "close":
            way.close(stream)
            way.close(stream)
        elif ways == "with":
            way.leave(stream)
        elif ways == "drop":
            del stream
            gc.collect()
        way.settle()
        assert peer.wait_requests(2)
        assert peer.wait_gone(0)
        assert peer.wait_gone(1)
        assert [request.method for request in peer.requests] == ["POST", "DELETE"]
        stop = peer.stops[0]
        assert stop.target == f"/v1/streams/{STREAM}"
        assert stop.headers["authorization"] == "Bearer secret-key"
        assert stop.body == b""


def finalise(stream: Any) -> None:
    """Call what a stream holds to its end as the collector may: in any order, inmost first."""
    met: list[Any] = [stream]
    for one in met:  # which grows meanwhile
        for inner in gc.get_referents(one):
            ours = type(inner).__module__.startswith("deltaweir.")
            plain = isinstance(inner, list | tuple | dict | collections.deque)
            if (ours or plain) and not any(inner is known for known in met):
                met.append(inner)
    ended = [one for one in reversed(met) if hasattr(type(one), "__del__")]
    assert stream in ended
    for one in ended:
        one.__del__()


def test_a_stream_that_the_collector_drops(way: Blocking) -> None:
    """What ends the generation outlives all that goes with the stream."""
    pause = Pause()
    with ResumablePeer(EVENTS, lambda steps: [*steps[:4], pause]) as peer:
        stream = way.open(peer.base_url)
        way.read(stream, 2)
        finalise(stream)
        way.settle()
        assert peer.wait_requests(2)
        assert len(peer.stops) == 1


def test_leaving_in_a_pause(way: Blocking) -> None:
    """Also while the stream has no connection, its generation is ended."""
    with ResumablePeer(EVENTS, after(3), refusing(503, retry_after="30")) as peer:
        stream = way.open(peer.base_url, timeouts={"total": 0.6})
        with pytest.raises(StallTimeout):
            way.read(stream)
        assert peer.wait_requests(3)
        assert len(peer.stops) == 1


@pytest.mark.parametrize("offer", [OFFER, {}])
def test_what_is_not_stopped(way: Blocking, offer: dict[str, str]) -> None:
    """A stream that has ended by itself, or that cannot be stopped, is let be."""
    whole = stream_answer(numbered(EVENTS) if offer else EVENTS, headers=offer)
    with Peer(whole, json_answer({"data": []})) as peer:
        stream = way.open(peer.base_url)
        way.read(stream, None if offer else 2)
        way.close(stream)
        way.settle()
        assert offer or peer.wait_gone(0)
        assert stream.stream_id == (STREAM if offer else None)
        assert len(stream._source._stops) == (1 if offer else 0)  # at hand, and never sent
        assert len(peer.requests) == 1


def test_another_wish_is_kept(way: Blocking) -> None:
    """Whoever wants a stream finished for others says so himself, and then it is not stopped."""
    pause = Pause()
    wish = {"X-Deltaweir": '{"on_disconnect": "finish", "guard": "strict"}'}
    with Peer([*offering(numbered(EVENTS)[:3], end=False), pause]) as peer:
        stream = way.open(peer.base_url, extra_headers=wish)
        way.read(stream, 2)
        way.close(stream)
        way.settle()
        assert peer.wait_gone(0)
        sent = json.loads(peer.requests[0].headers["x-deltaweir"])
        assert sent == {"on_disconnect": "finish", "guard": "strict", "resume": True}
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("body", "header", "sent", "stopped"),
    [
        ({"on_disconnect": "finish"}, None, "finish", False),
        ({"on_disconnect": "cancel"}, None, "cancel", True),
        ({"tag": "t"}, None, "cancel", True),
        ("nothing of ours", None, "cancel", True),
        ({"on_disconnect": "finish"}, "cancel", "cancel", True),
        ({"on_disconnect": "cancel"}, "finish", "finish", True),
    ],
)
def test_a_wish_in_the_body(
    body: Any, header: str | None, sent: str, stopped: bool, way: Blocking
) -> None:
    """It counts as one in the header does; of two the one that ends the stream, as there."""
    pause = Pause()
    more = {} if header is None else {"X-Deltaweir": json.dumps({"on_disconnect": header})}
    cut = [*offering(numbered(EVENTS)[:3], end=False), pause]
    with Peer(cut, json_answer({"id": STREAM})) as peer:
        stream = way.open(peer.base_url, extra_body={"deltaweir": body}, extra_headers=more)
        way.read(stream, 2)
        way.close(stream)
        way.settle()
        assert peer.wait_gone(0)
        assert peer.wait_requests(2) if stopped else len(peer.requests) == 1
    asked = peer.requests[0]
    assert json.loads(asked.body)["deltaweir"] == body
    assert json.loads(asked.headers["x-deltaweir"]) == {"resume": True, "on_disconnect": sent}


def test_what_is_asked_for(way: Blocking) -> None:
    """The wish is a header; a call may do without it, and the body never has it."""
    with ResumablePeer(EVENTS) as peer:
        way.read(way.open(peer.base_url))
        peer._answers = [[]]
    request = peer.requests[0]
    assert json.loads(request.headers["x-deltaweir"]) == {"resume": True, "on_disconnect": "cancel"}
    assert json.loads(request.body) == {"messages": HELLO, "model": "m", "stream": True}
    with Peer(stream_answer(EVENTS)) as plain:
        way.read(way.open(plain.base_url, resume=False))
    assert "x-deltaweir" not in plain.requests[0].headers


def test_wrong_options() -> None:
    """What is neither true nor false is refused, as is a header that nothing can be added to."""
    with pytest.raises(InvalidRequest, match="got a resume of type str, expected True or False"):
        deltaweir.Client(resume="yes")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidRequest, match="got a resume of type int"):
        Blocking().open("http://127.0.0.1:1/v1", resume=1)
    with pytest.raises(InvalidRequest, match="X-Deltaweir that is no JSON object"):
        Blocking().open("http://127.0.0.1:1/v1", extra_headers={"x-deltaweir": "yes"})
    client = deltaweir.Client(base_url="http://127.0.0.1:1/v1").with_options(resume=True)
    assert client._dispatch.settings.resume


def test_text_completions_and_the_classic_surface() -> None:
    """All that streams is resumed."""
    texts = [
        b'data: {"id":"c","object":"text_completion","created":1,"model":"m","choices":'
        b'[{"index":0,"text":"%b","logprobs":null,"finish_reason":%b}]}\n\n' % pair
        for pair in ((b"a", b"null"), (b"b", b"null"), (b"c", b'"stop"'))
    ]
    with ResumablePeer([*texts, b"data: [DONE]\n\n"], after(2)) as peer:
        client = deltaweir.Client(base_url=peer.base_url, resume=True)
        stream = client.completions.create(model="m", prompt="x", stream=True)
        assert [chunk.choices[0].text for chunk in stream] == ["a", "b", "c"]
    with ResumablePeer(EVENTS, after(3)) as peer:
        chunks = deltaweir.ChatCompletion.create(
            "m", messages=HELLO, stream=True, api_base=peer.base_url, api_key="x", resume=True
        )
        said = [chunk.choices[0].delta.get("content", "") for chunk in chunks if chunk.choices]
    assert "".join(said) == TEXT
    with ResumablePeer(EVENTS, after(3)) as peer:
        client = deltaweir.Client(base_url=peer.base_url, resume=True, budget="500tok")
        reply = client.chat.completions.create(model="m", messages=HELLO)
    assert reply.choices[0].message.content == TEXT


@pytest.mark.parametrize("secure", [False, True])
def test_by_a_proxy(way: Blocking, secure: bool, uncut: list[Any]) -> None:
    """The rest comes the way the first part came, and the request to stop goes it too."""
    pause = Pause()
    certificate = CERTIFICATE if secure else None
    with (
        ResumablePeer(EVENTS, after(3), whole, after(3), certificate=certificate) as peer,
        Peer([Tunnel()]) as tunnel,
    ):
        options: dict[str, Any] = {"ca_file": str(AUTHORITY)} if secure else {}
        if secure:
            options["proxy"] = f"http://127.0.0.1:{tunnel.port}"
        client = way.client(peer.base_url.replace("127.0.0.1", "localhost"), **options)
        stream = way.ask(client)
        check_whole(stream, way.read(stream), uncut)
        peer._faults = [lambda steps: [*steps[:4], pause]]
        stream = way.ask(client)
        way.read(stream, 2)
        way.close(stream)
        way.settle()
        assert peer.wait_requests(4)
        assert len(peer.stops) == 1
    assert len(tunnel.requests) >= (3 if secure else 0)


def test_a_provider_whose_certificate_changed() -> None:
    """What would fail alike is not tried for a minute."""
    with ResumablePeer(EVENTS, after(3)) as peer:
        stream = Blocking().open(peer.base_url)
        next(stream)
        hopeless = ConnectionFailed("the proxy refused", code="proxy_refused")
        stream._source._resuming.stalled(StallTimeout("quiet"))
        with pytest.raises(StallTimeout, match="quiet; it could not be resumed: the proxy refused"):
            stream._source._unconnected(hopeless, None)
        stream.close()


PROGRAM = """
import sys, deltaweir
client = deltaweir.Client(base_url=sys.argv[1], api_key="x", resume=True, proxy="")
create = client.chat.completions.create
stream = create(model="m", messages=[{"role": "user", "content": "hello"}], stream=True)
for chunk in stream:
    print(chunk.choices[0].delta.content, flush=True)
    if chunk.choices[0].delta.content == sys.argv[2]:
        sys.exit(0)
"""


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_end_of_a_program(interrupted: bool) -> None:
    """Its open streams are stopped on the way out, also by Ctrl-C."""
    pause = Pause()
    with ResumablePeer(EVENTS, lambda steps: [*steps[:4], pause]) as peer:
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, peer.base_url, "none" if interrupted else "lo, "],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert program.stdout is not None
        if interrupted:
            assert pause.reached.wait(10)
            while program.stdout.readline().strip() != b"lo,":
                pass
            program.send_signal(signal.SIGINT)
        program.communicate(timeout=10)
        assert len(peer.stops) == 1


def test_a_server_that_cannot_be_told(caplog: pytest.LogCaptureFixture) -> None:
    """It stops by itself later; the log says why, and not what."""
    caplog.set_level(logging.DEBUG, "deltaweir.client")
    pause = Pause()
    with Peer([*offering(numbered(EVENTS)[:3], end=False), pause], [Reset()]) as peer:
        stream = Blocking().open(peer.base_url)
        next(stream)
        stream.close()
        assert peer.wait_requests(2)
        ends = time.monotonic() + 5
        while not caplog.messages and time.monotonic() < ends:
            time.sleep(0.01)
    assert caplog.messages == ["a stream could not be stopped at once: ConnectionResetError"]


def test_a_pause_that_outlasts_patience() -> None:
    """It is none of the server's."""
    with ResumablePeer(EVENTS, after(3)) as peer:
        stream = Blocking().open(peer.base_url)
        next(stream)
        source: Any = stream._source
        assert source.stalled(StallTimeout("quiet"))
        source._unheard()
        assert source._resuming.pause_s == 0.0
        stream.close()


def test_a_machine_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot stop several streams at once does so one by one."""
    pause = Pause()

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with ResumablePeer(EVENTS, lambda steps: [*steps[:4], pause]) as peer:
        stream = Blocking().open(peer.base_url)
        next(stream)
        _, stop = stream._source._stops[0]
        monkeypatch.setattr(threading.Thread, "start", start)
        done: list[Any] = []
        monkeypatch.setattr(stop, "deliver", lambda: done.append(stop))
        stream.close()
        ends = time.monotonic() + 5
        while not done and time.monotonic() < ends:
            time.sleep(0.001)
        monkeypatch.undo()
    assert done == [stop]


def test_a_machine_without_a_single_thread(
    way: Blocking, uncut: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Who cannot stop a stream reads it all the same, and resumes it; the log says so."""
    caplog.set_level(logging.DEBUG, "deltaweir.client")
    started = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("deltaweir-stopping"):
            raise RuntimeError("can't start new thread")
        started(thread)

    with ResumablePeer(EVENTS, after(3)) as peer:
        monkeypatch.setattr(stopping._Process, "stopper", None)
        monkeypatch.setattr(threading.Thread, "start", start)
        stream = way.open(peer.base_url)
        check_whole(stream, way.read(stream), uncut)
        way.close(stream)
        way.settle()
        assert peer.stops == []
    assert stream.resumed_at == (4,)
    assert caplog.messages == ["no thread can be started to stop a stream that is left"]


def test_a_fork_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process never relies on threads that another one has."""
    mine = stopping.stopper()
    assert stopping.stopper() is mine
    monkeypatch.setattr(stopping._Process, "stopper", mine)  # put back in the end
    monkeypatch.setattr(mine, "pid", 1)
    other = stopping.stopper()
    assert other is not mine
    mine._exit()  # not its business
    assert mine._thread.is_alive()
    other._exit()
    other._thread.join(5)
    assert not other._thread.is_alive()
