"""Lanes in the installed uvicorn, and under servers that are not ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from deltaweir.gateway.lanes.lane import CYCLE_NAMES, EXTENSION, QUEUE_BYTES, Lane
from deltaweir.gateway.lanes.outflow import Outflow
from deltaweir.gateway.lanes.protocol import Protocol

HEAD = [(b"content-type", b"text/event-stream")]
Work = Callable[[Lane, "Feeder"], Awaitable[None]]


class Feeder:
    """What writes into a lane; remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._any = asyncio.Event()

    def hold(self) -> None:
        """Take note."""
        self._note("hold")

    def go_on(self) -> None:
        """Take note."""
        self._note("go on")

    def reader_left(self) -> None:
        """Take note."""
        self._note("left")

    def _note(self, what: str) -> None:
        self.told.append(what)
        self._any.set()

    async def until(self, what: str) -> None:
        """Wait until it was told something."""
        async with asyncio.timeout(5):
            while what not in self.told:
                self._any.clear()
                await self._any.wait()


class App:
    """An application that answers each request by a lane.

    Args:
        work: What it does with it.
        slow_reader_s: As for the lane.
    """

    def __init__(self, work: Work, *, slow_reader_s: float = 5.0) -> None:
        self.lanes: list[Lane] = []
        self.scopes: list[Any] = []
        self.feeder = Feeder()
        self.over = asyncio.Event()
        self._work = work
        self._slow_reader_s = slow_reader_s

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        self.scopes.append(scope)
        seconds = self._slow_reader_s
        with Lane(scope, receive, send, self.feeder, slow_reader_s=seconds) as lane:
            self.lanes.append(lane)
            await self._work(lane, self.feeder)
        self.over.set()


async def three_words(lane: Lane, _feeder: Feeder) -> None:
    """Write two words and nothing."""
    await lane.start(200, HEAD)
    for word in (b"one", b"", b"three"):
        lane.write(word)
    await lane.end()


async def spun(happened: Callable[[], bool]) -> None:
    """Wait until something has happened that tells nobody."""
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110  # as it says
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def served(app: Any, http: type[asyncio.Protocol] = Protocol) -> AsyncIterator[int]:
    """Serve an application by uvicorn's protocol; gives the port."""
    config = uvicorn.Config(app, http=http, ws="none", lifespan="off", log_config=None)
    config.load()
    state = ServerState()

    def protocol() -> Any:
        kind: Any = config.http_protocol_class
        return kind(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in [*state.connections]:
            connection.transport.abort()
        await spun(lambda: not state.tasks)


@contextlib.asynccontextmanager
async def connected(port: int, *requests: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """Send requests, and give what answers are read from."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**14)
    writer.write(b"".join(requests))
    try:
        yield reader
    finally:
        writer.transport.abort()


def get(method: str = "GET", version: str = "1.1", *, last: bool = True) -> bytes:
    """Return a request."""
    close = "Connection: close\r\n" if last else ""
    return f"{method} / HTTP/{version}\r\nHost: h\r\n{close}\r\n".encode()


async def answered(app: Any, *requests: bytes, http: type[asyncio.Protocol] = Protocol) -> bytes:
    """Return all that a server answers until it closes."""
    async with (
        served(app, http) as port,
        connected(port, *requests) as reader,
        asyncio.timeout(5),
    ):
        return await reader.read(-1)


def body_of(answer: bytes) -> bytes:
    """Return an answer without its head."""
    return answer.partition(b"\r\n\r\n")[2]


FRAMED = b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"


def test_uvicorn_still_has_what_a_lane_needs() -> None:
    """The names that the lane reads are there; else it would go by plain ``send`` unnoticed."""
    names = set(RequestResponseCycle.__init__.__code__.co_names)
    assert set(CYCLE_NAMES) <= names


async def test_a_lane_is_offered_and_goes_straight() -> None:
    """Under our protocol writes become pieces of a chunked body, an empty one nothing."""
    app = App(three_words)
    answer = await answered(app, get())
    (lane,) = app.lanes
    assert EXTENSION in app.scopes[0]["extensions"]
    assert (lane.direct, lane.framed, lane.gone) == (True, True, False)
    assert b"transfer-encoding: chunked" in answer
    assert body_of(answer) == FRAMED
    assert app.feeder.told == []


async def test_a_client_of_http_1_0_gets_no_frames() -> None:
    """Its body ends with the connection; writes still go straight."""
    app = App(three_words)
    answer = await answered(app, get(version="1.0"))
    assert (app.lanes[0].direct, app.lanes[0].framed) == (True, False)
    assert body_of(answer) == b"onethree"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204)])
async def test_answers_that_have_no_body(method: str, status: int) -> None:
    """What is written to HEAD or 204 goes nowhere."""

    async def work(lane: Lane, _feeder: Feeder) -> None:
        await lane.start(status, HEAD)
        lane.write(b"nothing")
        await lane.end()

    app = App(work)
    answer = await answered(app, get(method))
    assert (app.lanes[0].direct, body_of(answer)) == (False, b"")


async def test_each_request_of_a_connection_has_a_lane_of_its_own() -> None:
    """Pipelined answers come one after the other, whole."""
    app = App(three_words)
    answer = await answered(app, get(last=False), get())
    assert answer.count(b"HTTP/1.1 200") == answer.count(FRAMED) == 2
    assert all(lane.direct for lane in app.lanes)


def holding_back(app: Any) -> Any:
    """Return an application whose answers' heads go out with their first bytes, as some do."""

    async def held(scope: Any, receive: Any, send: Any) -> None:
        head: list[Any] = []

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                head.append(message)
                return
            if head:
                await send(head.pop())
            await send(message)

        await app(scope, receive, sent)

    return held


async def test_a_middleware_that_holds_the_head_back() -> None:
    """The lane then goes by plain ``send``, and the client gets the same."""
    app = App(three_words)
    answer = await answered(holding_back(app), get())
    assert not app.lanes[0].direct
    assert body_of(answer).replace(b"8\r\nonethree\r\n", b"3\r\none\r\n5\r\nthree\r\n") == FRAMED


async def test_another_protocol_than_ours() -> None:
    """The one of uvicorn itself offers no lane; plain ``send`` works."""
    app = App(three_words)
    answer = await answered(app, get(), http=HttpToolsProtocol)
    assert not app.lanes[0].direct
    assert body_of(answer).endswith(b"0\r\n\r\n")


async def until_left(lane: Lane, feeder: Feeder) -> None:
    """Write one word, and wait for the client to leave; then write and end all the same."""
    await lane.start(200, HEAD)
    lane.write(b"one")
    await feeder.until("left")
    lane.write(b"two")
    await lane.end()


@pytest.mark.parametrize("wrap", [lambda app: app, holding_back], ids=["direct", "plain"])
@pytest.mark.parametrize("http", [Protocol, HttpToolsProtocol])
async def test_a_client_that_leaves_is_noticed(wrap: Any, http: type[asyncio.Protocol]) -> None:
    """The feeder is told, once; what is written later goes nowhere, and nothing fails."""
    app = App(until_left)
    async with served(wrap(app), http) as port:
        async with connected(port, get()) as reader:
            await reader.readuntil(b"one")
        await asyncio.wait_for(app.over.wait(), 5)
    assert app.feeder.told == ["left"]
    assert app.lanes[0].gone


async def test_a_client_that_leaves_before_the_head_is_noticed() -> None:
    """A lane is entered before the answer is known, and hears of it."""

    async def work(lane: Lane, feeder: Feeder) -> None:
        await feeder.until("left")
        await lane.start(200, HEAD)
        lane.write(b"one")
        await lane.end()

    app = App(work)
    async with served(app) as port:
        async with connected(port, get()):
            await spun(lambda: bool(app.lanes))
        await asyncio.wait_for(app.over.wait(), 5)
    assert app.feeder.told == ["left"]


async def too_much(lane: Lane, feeder: Feeder) -> None:
    """Write until it is too much, then wait until it is taken."""
    await lane.start(200, HEAD)
    while "hold" not in feeder.told:
        lane.write(b"x" * 65536)
        await asyncio.sleep(0)
    await feeder.until("go on")
    await lane.end()


@pytest.mark.parametrize("wrap", [lambda app: app, holding_back], ids=["direct", "plain"])
async def test_a_slow_client_holds_its_feeder_and_lets_it_go_on(wrap: Any) -> None:
    """Each is told once, and the client gets all."""
    app = App(too_much)
    async with served(wrap(app)) as port, connected(port, get()) as reader:
        await app.feeder.until("hold")
        answer = await asyncio.wait_for(reader.read(-1), 5)
    assert app.feeder.told == ["hold", "go on"]
    assert answer.endswith(b"0\r\n\r\n")


async def test_a_client_that_takes_nothing_is_broken_off() -> None:
    """After slow_reader_s it is gone, its feeder is released and told, and it sees a reset."""

    async def work(lane: Lane, feeder: Feeder) -> None:
        await lane.start(200, HEAD)
        while "hold" not in feeder.told:
            lane.write(b"x" * 65536)
            await asyncio.sleep(0)
        await feeder.until("left")
        await lane.end()

    app = App(work, slow_reader_s=0.05)
    async with served(app) as port, connected(port, get()) as reader:
        await asyncio.wait_for(app.over.wait(), 5)
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
    assert app.feeder.told == ["hold", "go on", "left"]


class Plain:
    """A server that is not ours, in the hands of a test.

    Args:
        version: Of HTTP.
    """

    def __init__(self, version: str = "2") -> None:
        self.scope = {"type": "http", "http_version": version, "method": "POST"}
        self.sent: list[Any] = []
        self.free = asyncio.Event()
        self.free.set()
        self.left = asyncio.Event()

    async def receive(self) -> Any:
        """Return what the client does: in the end it leaves."""
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take a message, when there is room."""
        await self.free.wait()
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        """What was sent."""
        return b"".join(one.get("body", b"") for one in self.sent)


async def test_a_server_that_knows_only_asgi() -> None:
    """The same calls send the same bytes, head first, and the end last."""
    server = Plain()
    app = App(three_words)
    await app(server.scope, server.receive, server.send)
    assert server.sent[0] == {"type": "http.response.start", "status": 200, "headers": HEAD}
    assert server.body == b"onethree"
    assert [one["more_body"] for one in server.sent[1:]] == [True, False]
    assert app.feeder.told == []


async def test_a_client_that_leaves_a_server_that_knows_only_asgi() -> None:
    """Its disconnect is watched for while the lane is open."""
    server = Plain()
    app = App(until_left)
    running = asyncio.ensure_future(app(server.scope, server.receive, server.send))
    await spun(lambda: bool(server.body))
    server.left.set()
    await asyncio.wait_for(running, 5)
    assert app.feeder.told == ["left"]
    assert server.body == b"one"


async def test_a_client_that_reads_slowly_from_a_server_that_knows_only_asgi() -> None:
    """Where ``send`` does not return, what waits holds the feeder, until it is taken."""
    server = Plain()
    app = App(too_much)
    server.free.clear()
    running = asyncio.ensure_future(app(server.scope, server.receive, server.send))
    await asyncio.sleep(0)
    server.free.set()
    await spun(lambda: bool(server.sent))
    server.free.clear()
    await app.feeder.until("hold")
    server.free.set()
    await asyncio.wait_for(running, 5)
    assert app.feeder.told == ["hold", "go on"]
    assert len(server.body) > QUEUE_BYTES


async def test_a_client_that_takes_nothing_from_a_server_that_knows_only_asgi() -> None:
    """Its feeder is told that it left, and the task that sends is ended."""

    async def work(lane: Lane, feeder: Feeder) -> None:
        await lane.start(200, HEAD)
        server.free.clear()
        lane.write(b"x" * (QUEUE_BYTES + 1))
        await feeder.until("left")
        await lane.end()

    server, before = Plain(), asyncio.all_tasks()
    app = App(work, slow_reader_s=0.05)
    await asyncio.wait_for(app(server.scope, server.receive, server.send), 5)
    await asyncio.sleep(0)
    assert app.feeder.told == ["hold", "go on", "left"]
    assert asyncio.all_tasks() == before


async def test_a_send_that_fails_is_told_at_the_end() -> None:
    """An error of the server's own is not lost with the task that met it."""
    server = Plain()

    async def send(message: Any) -> None:
        if message.get("body"):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await App(three_words)(server.scope, server.receive, send)


LONG = 16 * 2**20
"""Bytes that fit into no buffers on their way."""


def behind_a_long_reply(app: App) -> Any:
    """Return an application that answers by a long reply first, and then by lanes."""
    asked: list[Any] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope)
        if len(asked) > 1:
            await app(scope, receive, send)
            return
        head = [(b"content-length", b"%d" % LONG)]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"x" * LONG})

    return answer


async def through_an_outflow(lane: Lane, feeder: Feeder) -> None:
    """Write frames until held, then wait until the feeder is let go, and end."""
    outflow, wrote = Outflow(lane, HEAD), 0
    outflow.write(b"one")
    while "hold" not in feeder.told:
        outflow.write(b"x" * 1024)
        wrote += 1024
        assert wrote < 2 * QUEUE_BYTES
        await asyncio.sleep(0)
    await feeder.until("go on")
    await outflow.end()


async def test_a_lane_behind_an_answer_that_is_not_taken_is_held_at_once() -> None:
    """To pipelined requests the second's feeder is held from the start, and let go in time."""
    app = App(through_an_outflow)
    requests = get(last=False) + get()
    async with (
        served(behind_a_long_reply(app)) as port,
        connected(port, requests) as reader,
        asyncio.timeout(5),
    ):
        await app.feeder.until("hold")
        assert app.feeder.told == ["hold"]
        answers = await reader.read(-1)
    assert app.feeder.told == ["hold", "go on"]
    assert answers.endswith(b"0\r\n\r\n")


async def test_a_client_that_takes_nothing_of_the_answer_before_is_broken_off() -> None:
    """After slow_reader_s the second request's feeder is told too, though its head is not out."""

    async def work(lane: Lane, feeder: Feeder) -> None:
        outflow = Outflow(lane, HEAD)
        outflow.write(b"one")
        await feeder.until("left")
        await outflow.end()

    app = App(work, slow_reader_s=0.05)
    requests = get(last=False) + get()
    async with served(behind_a_long_reply(app)) as port, connected(port, requests):
        await asyncio.wait_for(app.over.wait(), 5)
    assert app.feeder.told == ["hold", "go on", "left"]


async def test_what_waits_for_its_head_is_bounded() -> None:
    """Where a server does not take the head, the feeder is held, until it has been taken."""
    server = Plain()
    app = App(through_an_outflow)
    server.free.clear()
    running = asyncio.ensure_future(app(server.scope, server.receive, server.send))
    await app.feeder.until("hold")
    assert not server.sent
    server.free.set()
    await asyncio.wait_for(running, 5)
    assert app.feeder.told[:2] == ["hold", "go on"]
    assert len(server.body) > QUEUE_BYTES


async def test_a_server_that_never_takes_the_head_is_given_up() -> None:
    """The lane's clock ends the wait for it, and leaves no task behind."""

    async def work(lane: Lane, feeder: Feeder) -> None:
        server.free.clear()
        outflow = Outflow(lane, HEAD)
        outflow.write(b"x" * (QUEUE_BYTES + 1))
        await feeder.until("left")
        await outflow.end()

    server, before = Plain(), asyncio.all_tasks()
    app = App(work, slow_reader_s=0.05)
    await asyncio.wait_for(app(server.scope, server.receive, server.send), 5)
    await asyncio.sleep(0)
    assert app.feeder.told == ["hold", "go on", "left"]
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("takes", [0, 1], ids=["the last bytes", "the end"])
async def test_a_client_that_stops_before_the_end_is_given_up(takes: int) -> None:
    """The clock runs for what is too little to hold the feeder, and for the end itself."""
    server, before = Plain(), asyncio.all_tasks()

    async def send(message: Any) -> None:
        await server.send(message)
        if len(server.sent) == 1 + takes:
            server.free.clear()

    app = App(three_words, slow_reader_s=0.05)
    await asyncio.wait_for(app(server.scope, server.receive, send), 5)
    await asyncio.sleep(0)
    assert len(server.sent) == 1 + takes
    assert app.feeder.told == ["left"]
    assert asyncio.all_tasks() == before


async def test_a_client_that_takes_the_end_slowly_gets_it() -> None:
    """While it takes something between two looks, it is waited for."""
    server = Plain()

    async def send(message: Any) -> None:
        await asyncio.sleep(0.03)
        await server.send(message)

    app = App(three_words, slow_reader_s=0.05)
    await asyncio.wait_for(app(server.scope, server.receive, send), 5)
    assert app.feeder.told == []
    assert server.sent[-1]["more_body"] is False


async def test_a_lane_that_is_left_by_an_error_leaves_no_task() -> None:
    """What waits to be sent then is forgotten."""
    server, before = Plain(), asyncio.all_tasks()

    async def work(lane: Lane, _feeder: Feeder) -> None:
        await lane.start(200, HEAD)
        server.free.clear()
        lane.write(b"one")
        await asyncio.sleep(0)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await App(work)(server.scope, server.receive, server.send)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
