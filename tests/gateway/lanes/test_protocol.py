"""What clients may send before, in and behind a request, and how long they may take for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.lanes.test_lane import served, spun

from deltaweir.gateway.lanes.protocol import MAX_HEAD_BYTES, REQUEST_S, Protocol

POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = POST + b"Content-Length: 10\r\n\r\n"
BODY = b"2\r\n{}\r\n0\r\n"
MANY = b"".join(b"x-%d: %b\r\n" % (number, b"a" * 1000) for number in range(MAX_HEAD_BYTES // 1000))
SHORT_S = 0.05


class Hasty(Protocol):
    """Our protocol, with little patience."""

    request_s = SHORT_S


class Reader:
    """An application that reads each request, and answers with its body when it may."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.scopes: list[Any] = []
        self.left = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        self.scopes.append(scope)
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body += message["body"]
            more = message["more_body"]
        self.bodies.append(body)
        await self.may_answer.wait()
        head = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def asked(
    app: Any, *pieces: bytes, http: type[Protocol] = Protocol
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Send bytes to an application; gives the client's ends of the connection."""
    async with served(app, http) as port, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the connection is closed, or reset."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while data := await reader.read(65536):
            got += data
    return got


@given(st.lists(st.integers(1, 200), max_size=6))
def test_trailers_are_no_headers(cuts: list[int]) -> None:
    """However a request is cut, what comes behind its body is not among its headers."""
    request = CHUNKED + BODY + b"X-Deltaweir: {}\r\nExpect: 100-continue\r\n\r\n"

    async def answer() -> bytes:
        app = Reader()
        async with asked(app) as (reader, writer):
            at = 0
            for end in sorted(cut % len(request) for cut in cuts):
                writer.write(request[at:end])
                at = end
                await asyncio.sleep(0)
            writer.write(request[at:])
            answer = await reader.readuntil(b"\r\n\r\n{}")
        names = [name for name, _ in app.scopes[0]["headers"]]
        assert names == [b"host", b"transfer-encoding"]
        return answer

    assert asyncio.run(answer()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "offer",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Connection: close, upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    ],
    ids=["of HTTP/2", "of WebSocket"],
)
@given(cuts=st.lists(st.integers(1, 300), max_size=6))
def test_an_offer_of_another_protocol_changes_nothing(offer: bytes, cuts: list[int]) -> None:
    """Java's client sends one with each request; what follows it is its body, and no request."""
    body = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    request = POST + offer + b"Content-Length: %d\r\n\r\n" % len(body) + body

    async def answer() -> Reader:
        app = Reader()
        async with asked(app) as (reader, writer):
            at = 0
            for end in sorted(cut % len(request) for cut in cuts):
                writer.write(request[at:end])
                at = end
                await asyncio.sleep(0)
            writer.write(request[at:])
            assert (await reader.readuntil(body)).startswith(b"HTTP/1.1 200")
        return app

    app = asyncio.run(answer())
    assert app.bodies == [body]
    assert [scope["path"] for scope in app.scopes] == ["/"]


async def test_a_request_may_follow_an_offer_of_another_protocol() -> None:
    """Both are answered, whether one of them has a body or not."""
    offer = b"GET /one HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    app = Reader()
    async with asked(app, offer + offer + SIZED + b"0123456789") as (reader, _):
        await reader.readuntil(b"0123456789")
    assert [scope["path"] for scope in app.scopes] == ["/one", "/one", "/"]


async def test_a_tunnel_is_refused() -> None:
    """CONNECT asks for another protocol too, and for nothing else."""
    app = Reader()
    async with asked(app, b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n") as (reader, _):
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 400 ")
    assert app.scopes == []


@pytest.mark.parametrize(
    ("begin", "more"),
    [(BODY, MANY), (BODY + b"x: ", b"a" * len(MANY)), (b"2;", b"a" * len(MANY))],
    ids=["fields", "one field", "an extension of a chunk"],
)
async def test_trailers_without_end_are_refused(begin: bytes, more: bytes) -> None:
    """Above the bound of a head the client hears 431, and the application that it has gone."""
    app = Reader()
    async with asked(app, CHUNKED, begin) as (reader, writer):
        await spun(lambda: bool(app.scopes))
        for _ in range(8):
            writer.write(more)
        answer = await rest_of(reader)
        await app.left.wait()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert app.bodies == []


async def test_a_long_body_is_no_head() -> None:
    """What is bounded is only what comes between pieces of a body."""
    app, size = Reader(), 4 * MAX_HEAD_BYTES
    head = POST + b"Content-Length: %d\r\n\r\n" % size
    async with asked(app, head, b"x" * size) as (reader, _):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert [len(body) for body in app.bodies] == [size]


def test_a_request_may_take_a_minute() -> None:
    """The clock is that of nginx, and can be set on the class."""
    assert Protocol.request_s == REQUEST_S == 60


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b"POST /v1/ch", b"HTTP/1.1 408 "),
        (SIZED, b"HTTP/1.1 408 "),
        (SIZED + b"{", b"HTTP/1.1 408 "),
        (CHUNKED + BODY, b"HTTP/1.1 408 "),
    ],
    ids=["nothing", "a blank line", "half a head", "no body", "half a body", "no last line"],
)
async def test_a_request_that_does_not_come_is_given_up(sent: bytes, said: bytes) -> None:
    """Its connection is closed, with 408 once it has begun, and its application hears of it."""
    app = Reader()
    async with asked(app, sent, http=Hasty) as (reader, _):
        answer = await rest_of(reader)
        if app.scopes:
            await app.left.wait()
    assert answer.startswith(said)
    assert bool(answer) == bool(said)


async def test_a_head_that_comes_by_drops_is_given_up() -> None:
    """Each byte is not progress: a head is waited for once."""
    async with asked(Reader(), b"GET / HTTP/1.1\r\n", http=Hasty) as (reader, writer):
        answer = asyncio.ensure_future(rest_of(reader))
        while not answer.done():
            writer.write(b"x: y\r\n")
            await asyncio.wait([answer], timeout=SHORT_S / 5)
    assert answer.result().startswith(b"HTTP/1.1 408 ") or not answer.result()


async def test_a_body_that_goes_on_may_take_its_time() -> None:
    """Each piece is progress."""
    app = Reader()
    async with asked(app, SIZED, http=Hasty) as (reader, writer):
        for _ in range(10):
            await asyncio.sleep(SHORT_S / 4)
            writer.write(b"x")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_an_answer_may_take_its_time() -> None:
    """The clock is for requests: neither an answer nor an idle connection ends by it."""
    app = Reader()
    app.may_answer.clear()
    async with asked(app, SIZED, b"x" * 10, http=Hasty) as (reader, writer):
        for _ in range(2):
            await asyncio.sleep(2 * SHORT_S)
            app.may_answer.set()
            await reader.readuntil(b"x" * 10)
            await asyncio.sleep(2 * SHORT_S)
            app.may_answer.clear()
            writer.write(SIZED + b"x" * 10)
        assert not reader.at_eof()
        app.may_answer.set()


@pytest.mark.parametrize("more", [SIZED[:20], SIZED, SIZED + b"x"])
async def test_a_request_behind_another_is_not_hurried(more: bytes) -> None:
    """While an answer is on its way, what is pipelined behind it may wait; then its time begins."""
    app = Reader()
    app.may_answer.clear()
    async with asked(app, SIZED + b"x" * 10 + more, http=Hasty) as (reader, _):
        await asyncio.sleep(3 * SHORT_S)
        assert not reader.at_eof()
        app.may_answer.set()
        answers = await rest_of(reader)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 408 ") == 1


async def test_a_refusal_does_not_break_into_an_answer() -> None:
    """A client whose answer has begun gets no second head in the middle of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": []}
        await send(head)
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with asked(app, SIZED, http=Hasty) as (reader, _):
        answer = await rest_of(reader)
    assert answer.endswith(b"3\r\none\r\n")


async def test_a_stray_line_does_not_keep_an_idle_connection() -> None:
    """It ends the wait of uvicorn's own, and ours begins."""
    async with asked(Reader(), SIZED + b"x" * 10, http=Hasty) as (reader, writer):
        await reader.readuntil(b"x" * 10)
        writer.write(b"\r\n")
        assert await rest_of(reader) == b""


class Closing:
    """A transport that closes when what is unsent is taken, which it never is.

    Args:
        transport: What it stands before.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Wait."""
        self.closing = True

    def is_closing(self) -> bool:
        """Say so."""
        return self.closing


async def test_a_client_that_does_not_take_a_refusal_is_broken_off() -> None:
    """Closing waits for what is unsent, but not for ever."""

    class Stuck(Hasty):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(Closing(transport))  # type: ignore[arg-type]

    async with asked(Reader(), SIZED, http=Stuck) as (reader, _):
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 408 ")
