"""A gateway in front of scripted providers: what its clients see, and what its ledger says."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple

from tests.gateway.conftest import CHAT, DEADLINE_S, Running, events, request, served, until

from deltaweir.accounts import Row
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ModelConfig,
    ServerConfig,
    UpstreamConfig,
)
from deltaweir.testing import Peer, Unreachable, unused_port
from deltaweir.wire.http1 import ResponseReader

KEY = "sk-upstream-secret"
"""What upstreams are sent as key."""
QUICK = {"connect": 0.1, "headers": 0.1, "first_content": 0.15, "stall": 0.1}
"""Clocks for upstreams that let one wait."""
PROMPT = [{"role": "user", "content": "Say hello."}]

Provider = Peer | Unreachable | str


class Answer(NamedTuple):
    """What a client got."""

    tag: str
    """By which its row is found in the ledger."""
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The whole body."""
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """The error of a refusal."""
        return self.json["error"]

    @property
    def events(self) -> list[Any]:
        """The events of a stream, the last word as text."""
        return events(self.body)

    @property
    def done(self) -> bool:
        """Whether the stream says that all was sent, as its last word."""
        return self.events[-1:] == ["[DONE]"]

    @property
    def chunks(self) -> list[Any]:
        """The events that have choices."""
        return [one for one in self.events if isinstance(one, dict) and "choices" in one]

    @property
    def text(self) -> str:
        """What all chunks say, of all choices and in either form."""
        return "".join(
            choice.get("text") or (choice.get("delta") or {}).get("content") or ""
            for chunk in self.chunks
            for choice in chunk["choices"]
        )

    @property
    def finish_reasons(self) -> list[str]:
        """The finish reasons of the choices that have ended."""
        return [
            choice["finish_reason"]
            for chunk in self.chunks
            for choice in chunk["choices"]
            if choice["finish_reason"] is not None
        ]


class Client:
    """One connection with one request, read as the test likes.

    Args:
        port: The gateway's.
        tag: By which its row is found.
        narrow: Whether little may wait for it in the system.
        version: Of HTTP; to 1.1 chunks may go straight.
        key: Its key, where it has one.
        **body: Of the request.
    """

    def __init__(
        self,
        port: int,
        tag: str,
        *,
        narrow: bool = False,
        version: str = "1.1",
        key: str = "",
        **body: Any,
    ) -> None:
        self.tag = tag
        self.got = b""
        ours = {"deltaweir": {"tag": self.tag, **body.pop("deltaweir", {})}}
        raw = json.dumps(asked(**body) | ours).encode()
        self.socket = socket.socket()
        if narrow:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(("127.0.0.1", port))
        head = f"POST {CHAT} HTTP/{version}\r\nHost: h\r\nConnection: close\r\n"
        head += f"Authorization: Bearer {key}\r\n" if key else ""
        self.socket.sendall(f"{head}Content-Length: {len(raw)}\r\n\r\n".encode() + raw)

    def read_until(self, text: bytes) -> None:
        """Read until something has come."""
        while text not in self.got:
            data = self.socket.recv(65536)
            assert data, "it has ended"
            self.got += data

    def rest(self) -> bytes:
        """Read to the end; return all of the body."""
        reader = ResponseReader()
        pieces = reader.feed(self.got)
        for data in iter(lambda: self.socket.recv(2**18), b""):
            pieces += reader.feed(data)
        reader.eof()
        return b"".join(pieces)

    def hang_up(self) -> None:
        """Close the connection."""
        self.socket.close()


class Front:
    """A gateway whose upstreams change from test to test.

    Args:
        running: The gateway.
        config: What it began with.
    """

    def __init__(self, running: Running, config: Config) -> None:
        self.running = running
        self._config = config
        self._tags = (f"ask-{number}" for number in itertools.count())

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.running.port

    @property
    def upstreams(self) -> Any:
        """The upstreams at work, by name."""
        return self.running.server.gateway.routing.upstreams

    def now(self) -> float:
        """Return the time by the clock of the gateway's breakers."""
        return time.monotonic()

    def before(
        self,
        *providers: Provider,
        model: dict[str, Any] | None = None,
        quick: bool = False,
        **upstream: Any,
    ) -> None:
        """Stand before these providers from now on.

        Args:
            *providers: In order of preference; they are called u0, u1 and so on.
            model: Further keys of the model's table.
            quick: Whether the first of them is waited for but a moment.
            **upstream: Further keys of each upstream's table.
        """
        clocks: dict[str, Any] = {"timeouts": QUICK} if quick else {}
        tables = tuple(
            UpstreamConfig(
                name=f"u{number}",
                base_url=address(one),
                api_key=KEY,
                **upstream,
                **({} if number else clocks),
            )
            for number, one in enumerate(providers)
        )
        named = {"name": "m", "upstreams": tuple(one.name for one in tables), **(model or {})}
        self.take(
            Config(
                server=self._config.server,
                ledger=self._config.ledger,
                upstreams=tables,
                models=(ModelConfig(**named),),
                guards=self._config.guards,
            )
        )

    def kept(self) -> None:
        """Wait until the first upstream's connection waits for another request."""
        until(lambda: self.upstreams["u0"].idle > 0)

    def take(self, config: Config) -> None:
        """Serve another configuration from now on."""
        self.on_loop(lambda: self.running.server.take(config))

    def on_loop(self, call: Callable[[], Any]) -> Any:
        """Call something on the gateway's thread, and return what it returned."""
        done: Future[Any] = Future()
        self.running._loop.call_soon_threadsafe(lambda: done.set_result(call()))
        return done.result(DEADLINE_S)

    def tasks(self) -> int:
        """Return how many tasks the gateway has."""
        return len(asyncio.all_tasks(self.running._loop))

    def tag(self) -> str:
        """Return a tag that no other request has."""
        return next(self._tags)

    def ask(
        self,
        *,
        path: str = CHAT,
        headers: dict[str, str] | None = None,
        by: http.client.HTTPConnection | None = None,
        **body: Any,
    ) -> Answer:
        """Ask for a stream, unless the body says otherwise, and read all of it.

        Args:
            path: The route.
            headers: Of the request.
            by: The connection; None makes one.
            **body: Further fields of the request.
        """
        tag = self.tag()
        ours = {"deltaweir": {"tag": tag, **body.pop("deltaweir", {})}}
        raw = json.dumps(asked(path, **body) | ours)
        connection = by or http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("POST", path, raw, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(tag, response.status, names, response.read())
        finally:
            if by is None:
                connection.close()

    @contextlib.contextmanager
    def client(self, **options: Any) -> Iterator[Client]:
        """Ask as a client that reads as the test likes; its connection is closed in the end.

        Args:
            **options: As for `Client`.
        """
        one = Client(self.port, self.tag(), **options)
        try:
            yield one
        finally:
            one.hang_up()

    def get(self, path: str) -> bytes:
        """Return what another route says."""
        return request(self.running, path, method="GET")[2]

    def row(self, answer: Answer | str) -> Row:
        """Wait for the ledger's row of a request, and return it."""
        return self.running.ended(answer if isinstance(answer, str) else answer.tag)

    def attempts(self, answer: Answer | str) -> list[tuple[str, str | None]]:
        """Return who was asked for an answer, and how that ended."""
        return [(one.upstream, one.ending) for one in self.row(answer).attempts]


def asked(path: str = CHAT, **more: Any) -> dict[str, Any]:
    """Return a request's body for one of the routes of completions, streamed unless told."""
    body: dict[str, Any] = {"model": "m", "stream": True}
    body |= {"messages": PROMPT} if path == CHAT else {"prompt": "One,"}
    return body | more


def address(provider: Provider) -> str:
    """Return a provider's address."""
    return provider if isinstance(provider, str) else provider.base_url


def refusing() -> str:
    """Return the address of a port that refuses connections."""
    return f"http://127.0.0.1:{unused_port()}/v1"


@contextlib.contextmanager
def fronted(*, guards: dict[str, Any] | None = None, **server: Any) -> Iterator[Front]:
    """Run a gateway until the block ends.

    Args:
        guards: Its tables of guards.
        **server: Keys of ``[server]``.
    """
    with tempfile.TemporaryDirectory() as directory:
        config = Config(
            server=ServerConfig(port=0, log="none", **server),
            upstreams=(UpstreamConfig(name="nobody", base_url=refusing()),),
            models=(ModelConfig(name="m", upstreams=("nobody",)),),
            guards=guards or {},
            ledger=LedgerConfig(url=f"sqlite:///{directory}/deltaweir.db"),
        )
        with served(config) as running:
            yield Front(running, config)
