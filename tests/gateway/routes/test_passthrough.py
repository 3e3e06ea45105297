"""Routes that are passed on: the whole way from a client to an upstream, and back."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.gateway.conftest import DEADLINE_S, Running, request, until

from deltaweir.allowances import KeyRecord, KeyTerms, digest_of
from deltaweir.client import answers
from deltaweir.endings import Ending
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ModelConfig,
    ServerConfig,
    UpstreamConfig,
)
from deltaweir.gateway.routes.passthrough import Passthrough
from deltaweir.gateway.service import Gateway
from deltaweir.gateway.upstreams.upstreams import Upstream
from deltaweir.stores.sqlite_keys import SqliteKeys
from deltaweir.testing import (
    Drop,
    Pause,
    Peer,
    Reset,
    Unreachable,
    error_answer,
    json_answer,
    stream_answer,
    unused_port,
)

KEY = "sk-upstream-secret"
CLIENT = "dw-client-secret"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
SPEECH = "/v1/audio/speech"
PASSED = (EMBEDDINGS, RESPONSES, "/v1/responses/*", "/v1/audio/*", "/v1/files/*")
BIG = bytes(range(256)) * 4 * 40 * 1024
"""40 MiB, more than all that sockets between two ends hold."""


class Gate(Running):
    """A gateway with passthrough routes."""

    def on_loop(self, work: Callable[[], object]) -> None:
        """Do something on the server's thread, and wait for it."""
        done = threading.Event()

        def do() -> None:
            work()
            done.set()

        self._loop.call_soon_threadsafe(do)
        assert done.wait(DEADLINE_S)

    def before(self, *peers: Peer | Unreachable | str, **upstream: Any) -> None:
        """Stand before these upstreams from now on; they are called u0, u1 and so on."""
        tables = tuple(
            UpstreamConfig(
                name=f"u{number}",
                base_url=one if isinstance(one, str) else one.base_url,
                api_key=KEY,
                **upstream,
            )
            for number, one in enumerate(peers)
        )
        names = tuple(one.name for one in tables)
        models = (
            ModelConfig(name="m", upstreams=names),
            ModelConfig(name="team/*", upstreams=names[-1:]),
            ModelConfig(name="local", embedded="smollm2"),
        )
        now = self.server.gateway.config
        changed = Config(server=now.server, ledger=now.ledger, upstreams=tables, models=models)
        self.on_loop(lambda: self.server.take(changed))

    def rests(self, what: str) -> bool:
        """Tell whether the first upstream rests for a model or a path."""
        rests = self.server.gateway.routing.upstreams["u0"].rests
        return rests.wait(what, time.monotonic()) > 0

    def metrics(self) -> str:
        """Return what Prometheus would read."""
        text: list[str] = []
        self.on_loop(lambda: text.append(self.server.gateway.metrics.text().decode()))
        return text[0]

    def endings(self, model: str = "none") -> set[tuple[str, str]]:
        """Return how requests for a model ended, and who was asked last for them."""
        found: set[tuple[str, str]] = set()
        for line in self.metrics().splitlines():
            if line.startswith("deltaweir_streams_total{") and f'model="{model}"' in line:
                labels = line.partition("{")[2].rpartition("} ")[0]
                pairs = dict(pair.split("=") for pair in labels.replace('"', "").split(","))
                assert pairs["endpoint"] == "passthrough"
                found.add((pairs["ending"], pairs["upstream"]))
        return found


def opened(**server: Any) -> contextlib.AbstractContextManager[Gate]:
    """Run a gateway with passthrough routes until the block ends."""
    config = Config(
        server=ServerConfig(port=0, log="none", passthrough=PASSED, max_body_mib=0.1, **server),
        models=(ModelConfig(name="local", embedded="smollm2"),),
        ledger=LedgerConfig(url=""),
    )
    return running(config)


@contextlib.contextmanager
def running(config: Config) -> Iterator[Gate]:
    """Run a gateway until the block ends."""
    one = Gate(config)
    try:
        yield one
    finally:
        one.stop()
        one.join()


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses between attempts be short."""
    monkeypatch.setattr(answers, "FIRST_PAUSE_S", 0.01)


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    """A gateway that all tests share which do not stop it."""
    with opened() as one:
        yield one


def connected(gate: Gate, path: str = SPEECH, *, version: str = "1.1") -> socket.socket:
    """Send a request without a body and return its connection, nothing read yet."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    sock.settimeout(DEADLINE_S)
    sock.connect(("127.0.0.1", gate.port))
    sock.sendall(f"POST {path} HTTP/{version}\r\nhost: h\r\ncontent-length: 0\r\n\r\n".encode())
    return sock


def read(sock: socket.socket, until_bytes: bytes) -> bytes:
    """Read until these bytes have come."""
    got = b""
    while until_bytes not in got:
        data = sock.recv(65536)
        assert data, got
        got += data
    return got


def error_in(body: bytes) -> Any:
    """Return the error of an error's body."""
    (error,) = json.loads(body).values()
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_a_request_and_its_answer_go_through(gate: Gate) -> None:
    """Path, query, headers and body; the upstream's key instead of the client's; no cookie."""
    more = {"x-request-id": "req_theirs", "set-cookie": "a=b", "x-ratelimit-limit-requests": "9"}
    with Peer(json_answer({"data": [1.0]}, status=201, headers=more)) as peer:
        gate.before(peer, query={"api-version": "7"})
        status, headers, body = request(
            gate,
            f"{EMBEDDINGS}?b=2&b=%20",
            {"input": ["x"], "model": "e1"},
            headers={"authorization": f"Bearer {CLIENT}", "cookie": f"k={CLIENT}"},
        )
    (came,) = peer.requests
    assert came.target == "/v1/embeddings?api-version=7&b=2&b=%20"
    assert json.loads(came.body) == {"input": ["x"], "model": "e1"}
    assert came.headers["authorization"] == f"Bearer {KEY}"
    assert CLIENT.encode() not in came.raw
    assert (status, body) == (201, b'{"data":[1.0]}')
    ours = headers.pop("x-request-id")
    assert came.headers["x-client-request-id"] == ours
    del headers["date"]
    assert headers == {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "x-upstream-request-id": "req_theirs",
    }
    assert gate.endings("e1") == {("complete", "u0")}


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_every_method_goes_through(gate: Gate, method: str) -> None:
    """With a body or without, to the first upstream where no model is named."""
    with Peer(json_answer({})) as peer, Peer() as other:
        gate.before(peer, other)
        assert request(gate, "/v1/files/f%20%2Fx", method=method)[0] == 200
    assert [(one.method, one.target) for one in peer.requests] == [(method, "/v1/files/f%20/x")]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_that_would_tell_a_key_are_refused(gate: Gate, method: str) -> None:
    """The answer to TRACE is the request, our upstream's key in it."""
    with Peer(json_answer({})) as peer:
        gate.before(peer)
        with socket.create_connection(("127.0.0.1", gate.port), DEADLINE_S) as sock:
            sock.sendall(f"{method} {SPEECH} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
            assert sock.recv(100)[9:12] == b"405"
    assert not peer.requests


@pytest.mark.parametrize(
    ("answer", "method", "status", "length"),
    [
        (stream_answer([b"x" * 9], framing="length", end=False)[:1], "HEAD", 200, "9"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], "DELETE", 204, None),
        ([b'HTTP/1.1 304 Not Modified\r\netag: "a"\r\n\r\n'], "GET", 304, None),
        (stream_answer([b"x"], status=404, framing="length", end=False)[:1], "HEAD", 404, "1"),
    ],
)
def test_an_answer_without_a_body_ends_with_its_head(
    gate: Gate, answer: Any, method: str, status: int, length: str | None
) -> None:
    """HEAD tells the length, and the client's connection serves on."""
    with Peer(answer, json_answer({})) as peer:
        gate.before(peer)
        client = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=DEADLINE_S)
        with contextlib.closing(client):
            for asked, wanted, size in [(method, status, length), ("GET", 200, "2")]:
                client.request(asked, "/v1/files/f")
                got = client.getresponse()
                assert (got.status, got.headers["content-length"]) == (wanted, size)
                assert len(got.read()) == (2 if asked == "GET" and wanted == 200 else 0)


@pytest.mark.parametrize(
    "path",
    ["/v1/images", "/v1/audio/../models", "/v1/audio/%2e%2e/models", "/v1/audio/%252e%252e/x"],
)
def test_other_paths_are_not_found(gate: Gate, path: str) -> None:
    """Nor those that would lead elsewhere at the upstream."""
    with Peer(json_answer({})) as peer:
        gate.before(peer)
        status, _, body = request(gate, path, {})
    assert (status, error_in(body)["code"], peer.requests) == (404, "not_found", [])


def test_a_model_goes_to_its_upstreams_under_the_name_they_know(gate: Gate) -> None:
    """A pattern's model is asked for without what stands before the star."""
    with Peer(json_answer({})) as peer, Peer(json_answer({})) as other:
        gate.before(peer, other)
        assert request(gate, EMBEDDINGS, {"model": "team/e5", "input": 1.0})[0] == 200
    assert not peer.requests
    assert other.requests[0].body == b'{"model":"e5","input":1.0}'
    assert gate.endings("team/e5") == {("complete", "u1")}


def test_a_model_that_is_not_listed_is_the_first_upstreams_to_know(gate: Gate) -> None:
    """Those for embeddings need not be listed beside those for chats."""
    with Peer(json_answer({})) as peer, Peer(json_answer({})) as other:
        gate.before(peer, other)
        assert request(gate, EMBEDDINGS, {"model": "unknown", "input": "a"})[0] == 200
    assert peer.requests[0].body == b'{"model":"unknown","input":"a"}'
    assert not other.requests


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "local"}, 404, "not_found"),
        ({"model": 5}, 400, "invalid_request"),
        (b"x" * 200_000, 413, "too_large"),
    ],
)
def test_what_cannot_be_passed_on_is_refused(gate: Gate, body: Any, status: int, code: str) -> None:
    """An unknown model, an embedded one, one that is no text, a body above the limit."""
    with Peer(json_answer({})) as peer:
        gate.before(peer)
        got, headers, raw = request(gate, EMBEDDINGS, body)
    assert (got, error_in(raw)["code"], peer.requests) == (status, code, [])
    assert headers["x-request-id"].startswith("req_")


def test_without_upstreams_nothing_is_passed_on() -> None:
    """A server of embedded models has no such routes."""
    with opened() as one:
        status, _, body = request(one, EMBEDDINGS, {})
        assert (status, error_in(body)["code"]) == (404, "not_found")
        one.on_loop(lambda: setattr(one.server.gateway, "draining", True))
        assert request(one, EMBEDDINGS, {})[0] == 503


@pytest.mark.parametrize(("model", "status"), [("m", 200), ("team/w", 400)])
def test_a_form_goes_through_as_it_is(gate: Gate, model: str, status: int) -> None:
    """Byte for byte to its model's upstream, or not at all where the name would have to change."""
    kind = {"content-type": "multipart/form-data; boundary=cut"}
    body = (
        b'--cut\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n\0\r\n'
        b'--cut\r\ncontent-disposition: form-data; name="model"\r\n\r\n%b\r\n--cut--\r\n'
    ) % model.encode()
    with Peer(json_answer({"text": "hi"})) as peer:
        gate.before(peer)
        got = request(gate, "/v1/audio/transcriptions", body, headers=kind)
    assert got[0] == status
    assert [one.body for one in peer.requests] == ([body] if status == 200 else [])


def test_events_pass_one_by_one(gate: Gate) -> None:
    """Head and each event at once, as they came, with nothing added."""
    pauses = [Pause(), Pause()]
    steps = stream_answer([pauses[0], b"event: a\ndata: 1\n\n", pauses[1], b"data: 2\n\n"])
    with Peer(steps) as peer:
        gate.before(peer)
        with connected(gate, RESPONSES) as sock:
            head = read(sock, b"\r\n\r\n")
            assert b"text/event-stream" in head
            assert b"x-accel-buffering: no" in head
            pauses[0].release()
            assert read(sock, b"\n\n\r\n") == b"12\r\nevent: a\ndata: 1\n\n\r\n"
            pauses[1].release()
            assert read(sock, b"0\r\n\r\n") == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_body_arrives_whole_however_it_is_framed(gate: Gate, framing: Any, version: str) -> None:
    """With its length where that is told, else in chunks, or up to the end for HTTP/1.0."""
    parts = [b"x" * 70_000, b"", b"\r\n0\r\n\r\n", b"y"]
    with Peer(stream_answer(parts, framing=framing)) as peer:
        gate.before(peer)
        with connected(gate, version=version) as sock:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            assert answer.read() == b"".join(parts)
            sized = answer.headers["content-length"] is not None
            chunked = answer.headers["transfer-encoding"] == "chunked"
    assert sized == (framing == "length")
    assert chunked == (version == "1.1" and not sized)


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_client_that_hangs_up_ends_the_upstream(gate: Gate, where: str) -> None:
    """At once, before the answer has begun and after."""
    pause = Pause()
    steps = [pause] if where == "head" else [*stream_answer([b"one", pause], end=False)]
    with Peer(steps) as peer:
        gate.before(peer)
        with connected(gate, f"{SPEECH}?{where}") as sock:
            assert pause.reached.wait(DEADLINE_S)
            if where == "body":
                read(sock, b"one")
            left = time.monotonic()
        assert peer.wait_gone()
        assert time.monotonic() - left < 4
    until(lambda: gate.answers == 0)
    until(lambda: ("abandoned", "u0") in gate.endings())


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    ("framing", "fault"),
    [
        ("chunked", Drop()),
        ("chunked", Reset()),
        ("chunked", b"nonsense\r\n\r\n"),
        ("length", Drop()),
        ("length", Reset()),
        ("close", Reset()),
    ],
)
def test_an_upstream_that_dies_never_gives_a_clean_end(
    gate: Gate, framing: Any, fault: Any, version: str
) -> None:
    """What came goes through, and then the client's connection breaks off."""
    pause = Pause()
    whole = stream_answer([b"one", b"two"], framing=framing)
    with Peer([*whole[:2], pause, fault, Drop()]) as peer:
        gate.before(peer)
        with connected(gate, version=version) as sock:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            assert answer.read1(3) == b"one"
            pause.release()
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                answer.read()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_what_came_before_the_end_still_arrives(gate: Gate, version: str) -> None:
    """Even if it came with the end."""
    with Peer([*stream_answer([b"one"], end=False), Reset()]) as peer:
        gate.before(peer)
        with connected(gate, version=version) as sock:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            assert answer.read1(3) == b"one"


def test_another_upstream_is_asked_before_the_head(gate: Gate) -> None:
    """One that refuses its key, one that is full and one that is not there are passed over."""
    full = error_answer(429, "slow down", headers={"retry-after": "30"})
    with Peer(error_answer(401)) as first, Peer(full) as second, Peer(json_answer(1)) as last:
        gate.before(first, f"http://127.0.0.1:{unused_port()}/v1", second, last)
        status, _, body = request(gate, EMBEDDINGS, {"model": "m"})
    assert (status, body) == (200, b"1")
    assert len({one.requests[0].body for one in (first, second, last)}) == 1


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ([Drop()], 502, "the upstream 'u0' could not be reached"),
        (error_answer(401, f"bad key {KEY}"), 502, "the upstream 'u0' refused this server's key"),
        (error_answer(403, "not yours"), 502, "the upstream 'u0' refused this server's key"),
        (error_answer(501, f"broken {KEY}"), 501, "answered 501: broken [key]"),
        (json_answer({}, status=307, headers={"location": "http://inside"}), 502, "redirect"),
        (json_answer({}, status=700), 502, "answered 700"),
        ([b"nonsense\r\n\r\n"], 502, "does not speak HTTP/1.1"),
    ],
)
def test_no_answer_is_an_error_of_ours(gate: Gate, answer: Any, status: int, said: str) -> None:
    """In OpenAI's form, without our key, an address, or a 401 that would blame the client."""
    with Peer(answer) as peer:
        gate.before(peer)
        got, _, body = request(gate, EMBEDDINGS, {"model": "m"})
        port = peer.port
    assert got == status
    assert said in error_in(body)["message"]
    assert str(port).encode() not in body
    assert b"inside" not in body
    assert b"base_url" not in body
    assert KEY.encode() not in body


@pytest.mark.parametrize("status", [400, 404, 405, 409, 416, 422, 429])
def test_a_refusal_goes_through_as_it_is(gate: Gate, status: int) -> None:
    """Status, body and when to ask again; only our key is taken out of it."""
    headers = {"retry-after": "90", "x-should-retry": "false"}
    answer = error_answer(status, f"with {KEY}", code="c", param="p", headers=headers)
    with Peer(answer) as peer:
        gate.before(peer)
        got, names, body = request(gate, EMBEDDINGS, {"model": "m"})
    assert (got, names["retry-after"]) == (status, "90")
    assert error_in(body) == {
        "message": "with [key]",
        "type": "some_error",
        "param": "p",
        "code": "c",
    }
    assert len(peer.requests) == 1


def test_what_is_refused_for_its_content_is_so_everywhere(gate: Gate) -> None:
    """No other upstream is asked."""
    with Peer(error_answer(404, code="content_filter")) as peer, Peer() as other:
        gate.before(peer, other)
        assert request(gate, EMBEDDINGS, {"model": "m"})[0] == 404
    assert not other.requests


def test_a_refusal_without_end_is_told_in_our_words(gate: Gate) -> None:
    """Only so much of one is kept; its status stays."""
    with Peer(stream_answer([b"x" * 100_000], status=422, framing="length")) as peer:
        gate.before(peer)
        status, _, body = request(gate, EMBEDDINGS, {})
    assert status == 422
    assert "the upstream 'u0'" in error_in(body)["message"]


def test_upstreams_that_fail_again_and_again_are_left_alone(gate: Gate) -> None:
    """Their breaker opens, and they are not asked: the metrics name none."""
    with Peer(error_answer(501, headers={"x-should-retry": "false"})) as peer:
        gate.before(peer)
        for _ in range(5):
            request(gate, EMBEDDINGS, {})
        status, headers, body = request(gate, EMBEDDINGS, {})
    assert (status, error_in(body)["code"]) == (503, "upstreams_resting")
    assert 1 < int(headers["retry-after"]) <= 6
    assert f"ask again in {headers['retry-after']} s" in error_in(body)["message"]
    assert len(peer.requests) == 5
    until(lambda: 'upstream="none"' in gate.metrics())
    assert 'upstream=""' not in gate.metrics()
    assert 'attempts_total{model="none",upstream="none"}' not in gate.metrics()


def test_a_rate_that_is_used_up_rests_a_model_or_a_path(gate: Gate) -> None:
    """All others go on; whoever asks for it is told when to ask again."""
    full = error_answer(429, headers={"retry-after": "30", "x-should-retry": "true"})
    with Peer(full, json_answer(1), full, json_answer(1)) as peer, Peer() as none:
        gate.before(peer, none)
        for one in ("a", "b"):  # the first of two asks, and leaves
            with connected(gate, f"/v1/files/{one}"):
                assert peer.wait_requests(2 * "ab".index(one) + 1)
                until(lambda one=one: gate.rests(f"/files/{one}"))  # type: ignore[misc]
            until(lambda: gate.answers == 0)
            status, headers, _ = request(gate, f"/v1/files/{one}", {})
            assert (status, 28 < int(headers["retry-after"]) <= 31) == (503, True)
            assert request(gate, EMBEDDINGS, {"model": "m"})[0] == 200
    assert not none.requests


@pytest.mark.parametrize("status", [302, 403, 404, 405, 416])
def test_a_client_cannot_have_an_upstream_left_alone(gate: Gate, status: int) -> None:
    """However often it asks for what the upstream refuses."""
    with Peer(*[json_answer({}, status=status)] * 6, json_answer(1)) as peer:
        gate.before(peer)
        for _ in range(6):
            assert request(gate, SPEECH, method="GET")[0] == (502 if status < 404 else status)
        assert request(gate, SPEECH, method="GET")[0] == 200


def test_a_slow_reader_holds_the_upstream_and_not_the_memory(gate: Gate) -> None:
    """The upstream waits, longer than its clocks allow for, and then all of it comes."""
    with Peer(stream_answer([BIG], framing="length")) as peer:
        gate.before(peer, timeouts={"stall": 0.1})
        with connected(gate) as sock:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            seen = -1
            while seen != peer.sent_bytes:
                seen = peer.sent_bytes
                time.sleep(0.15)
            assert seen < len(BIG) * 3 / 4
            assert gate.answers == 1
            assert answer.read() == BIG


def test_a_reader_that_takes_nothing_is_given_up() -> None:
    """After slow_reader_s, and its upstream with it."""
    with Peer(stream_answer([BIG])) as peer, opened(slow_reader_s=0.1) as one:
        one.before(peer)
        with connected(one) as sock:
            read(sock, b"\r\n\r\n")
            assert peer.wait_gone()
            until(lambda: one.answers == 0)


@pytest.mark.parametrize("clock", ["headers", "total"])
def test_an_answer_that_does_not_begin_is_given_up(gate: Gate, clock: str) -> None:
    """By the clock that is set for it."""
    with Peer([Pause()]) as peer:
        gate.before(peer, timeouts={clock: 0.05}, max_connections=1)
        with connected(gate) as sock:
            assert b"stall_timeout" in read(sock, b"}}")
        assert peer.wait_gone()


def test_a_body_that_stalls_is_broken_off(gate: Gate) -> None:
    """Between two reads no more time may pass than is set."""
    with Peer(stream_answer([b"one", Pause()], end=False)) as peer:
        gate.before(peer, timeouts={"stall": 0.05})
        with connected(gate) as sock:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            assert answer.read1(3) == b"one"
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                answer.read()


def test_an_answer_may_begin_when_it_is_whole() -> None:
    """Ten minutes, unless the configuration says otherwise."""
    plain = Upstream(UpstreamConfig(name="u", base_url="http://u"))
    told = Upstream(UpstreamConfig(name="u", base_url="http://u", timeouts={"headers": 5}))
    assert plain.whole_clocks == (5, 600.0, None, 60, None)
    assert told.whole_clocks.headers == 5


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda run: run.stop(), b"service_unavailable"),
        (lambda run: run.abort(Ending.REVOKED), b"invalid_api_key"),
        (lambda run: run.abort(Ending.STOPPED), b"service_unavailable"),
    ],
)
def test_a_request_can_be_ended_from_here(
    gate: Gate, end: Any, code: bytes, *, begun: bool
) -> None:
    """When the server stops or a key is revoked: with an error, or by breaking off the body."""
    pause = Pause()
    with Peer(stream_answer([b"one", pause], end=False) if begun else [pause]) as peer:
        gate.before(peer)
        with connected(gate) as sock:
            assert pause.reached.wait(DEADLINE_S)
            if begun:
                read(sock, b"one\r\n")
            gate.on_loop(lambda: [end(run) for run in [*gate.server.gateway.runs]])
            if begun:
                with contextlib.suppress(ConnectionError):
                    assert sock.recv(100) == b""
            else:
                assert code in read(sock, b"}}")
        assert peer.wait_gone()


def test_a_pause_before_the_next_attempt_ends_with_the_client(gate: Gate) -> None:
    """Nobody is asked for a client who has left."""
    with Peer(error_answer(503, headers={"retry-after": "20"})) as peer:
        gate.before(peer)
        with connected(gate):
            assert peer.wait_requests(1)
        until(lambda: gate.answers == 0)
        assert len(peer.requests) == 1


def test_a_client_that_waits_for_a_connection_may_leave(gate: Gate) -> None:
    """Its turn then goes to the next."""
    pause = Pause()
    with Peer([pause, *json_answer(1)], json_answer(2)) as peer:
        gate.before(peer, max_connections=1)
        with connected(gate) as first:
            assert pause.reached.wait(DEADLINE_S)
            with connected(gate):
                until(lambda: gate.answers == 2)
            pause.release()
            read(first, b"\r\n\r\n1")
        until(lambda: gate.answers == 0)
        assert request(gate, SPEECH, {})[2] == b"2"


def test_keys_hold_for_passed_routes(tmp_path: Any) -> None:
    """No key is 401, another model 403, a rate 429; our limits are told, not the upstream's."""
    keys = {name: f"dw-{name * 12}-{'s' * 43}" for name in "ab"}
    terms = {"a": KeyTerms(models=("m",), rpm=2), "b": KeyTerms()}
    config = Config(
        server=ServerConfig(port=0, log="none", passthrough=PASSED, auth="keys"),
        models=(ModelConfig(name="local", embedded="smollm2"),),
        ledger=LedgerConfig(url=f"sqlite:///{tmp_path}/a.db"),
    )
    with SqliteKeys(tmp_path / "a.db") as store:
        for name, key in keys.items():
            digest = digest_of(key.encode())
            store.create(
                KeyRecord(id=name * 12, digest=digest, name=name, terms=terms[name], created=0)
            )
    answer = json_answer({}, headers={"x-ratelimit-limit-requests": "999"})
    with Peer(answer) as peer, running(config) as one:
        one.before(peer)

        def asked(name: str, body: Any, path: str = EMBEDDINGS) -> tuple[int, dict[str, str]]:
            bearer = {"authorization": f"Bearer {keys.get(name, name)}"}
            return request(one, path, body, headers=bearer)[:2]

        assert asked("nobody", {"model": "m"})[0] == 401
        assert asked("a", {"model": "team/x"})[0] == 403
        assert asked("a", {"input": "x"})[0] == 403  # a body that shows no model
        status, headers = asked("a", {"model": "m"})
        assert (status, headers["x-ratelimit-limit-requests"]) == (200, "2")
        assert asked("a", None, "/v1/files/f")[0] == 200
        assert asked("a", {"model": "m"})[0] == 429
        assert asked("b", {"input": "x"})[0] == 200
        assert one.rows() == []
    assert len(peer.requests) == 3
    assert not any(key.encode() in came.raw for key in keys.values() for came in peer.requests)


async def told(
    app: Passthrough, path: str = EMBEDDINGS, *, root: str = "", hang_up: bool = False
) -> list[Any]:
    """Ask by plain ASGI, as another server does, and return what is sent."""
    sent: list[Any] = []
    left = asyncio.Event()
    messages = iter([{"type": "http.request", "body": b"{}", "more_body": hang_up}])

    async def receive() -> Any:
        for message in messages:
            return message
        if not hang_up:
            await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": f"{root}{path}",
        "root_path": root,
        "query_string": b"",
        "headers": [],
    }
    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("root", ["", "/llm"])
@pytest.mark.parametrize("whole", [True, False])
async def test_another_server_passes_on_too(root: str, *, whole: bool) -> None:
    """Mounted anywhere; a body that broke off is not ended, which the server then does."""
    parts: Any = [b"one", b"two"] if whole else [b"one", Drop()]
    with Peer(stream_answer(parts, end=whole)) as peer:
        config = Config(
            server=ServerConfig(passthrough=PASSED, log="none"),
            upstreams=(UpstreamConfig(name="u", base_url=peer.base_url),),
            models=(ModelConfig(name="m", upstreams=("u",)),),
            ledger=LedgerConfig(url=""),
        )
        gateway = Gateway(config)
        app = Passthrough(gateway)
        sent = await told(app, root=root)
        assert await told(app, root=root, hang_up=True) == []
        assert (await told(app, "/v1/images", root=root))[0]["status"] == 404
        await gateway.leave()
        gateway.close()
    assert sent[0]["status"] == 200
    body = b"".join(one.get("body", b"") for one in sent)
    ended = sent[-1].get("more_body") is False
    assert (body, ended) == ((b"onetwo", True) if whole else (body, False))
