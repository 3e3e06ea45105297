"""A gateway with the small model, in this process, on a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deltaweir.accounts import Row
from deltaweir.gateway.config.file import (
    Config,
    LedgerConfig,
    ModelConfig,
    embedded_config,
    ledger_path,
)
from deltaweir.gateway.server.server import Server
from deltaweir.stores.sqlite import SqliteLedger
from deltaweir.wire.sse import Decoder

DEADLINE_S = 20.0
CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
STORY = [{"role": "user", "content": "Tell me a very long story about a river."}]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a directory of the test's own, since a ledger lies in the working directory."""
    monkeypatch.chdir(tmp_path)


class Running:
    """A server that runs in a thread of this process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.server = Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        until(lambda: self.server.started)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self.server.serve())

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.server.port

    @property
    def answers(self) -> int:
        """How many replies are on their way."""
        return len(self.server.gateway.runs)

    def rows(self, *, tag: str | None = None) -> list[Row]:
        """Return the ledger's rows, all that were told of in it; only those with a tag if given."""
        self.server.gateway.book.written()
        return rows_in(self._config, tag=tag)

    def ended(self, tag: str) -> Row:
        """Wait until the one row with a tag has its end, and return it."""
        until(lambda: all(row.closed for row in self.rows(tag=tag)) and bool(self.rows(tag=tag)))
        (row,) = self.rows(tag=tag)
        return row

    def stop(self) -> None:
        """Tell it to stop, as a signal would."""
        with contextlib.suppress(RuntimeError):  # it has stopped already
            self._loop.call_soon_threadsafe(self.server.stop)

    def join(self) -> None:
        """Wait until it has stopped."""
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, in small polls."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def rows_in(config: Config, *, tag: str | None = None) -> list[Row]:
    """Return the rows on disk, the oldest first; only those with a tag if given."""
    with SqliteLedger(Path(ledger_path(config.ledger.url)), read_only=True) as store:
        rows = store.rows()
    return [row for row in rows if tag is None or (row.opened and row.opened.tag == tag)]


def configured(
    directory: Path | str, *, model: dict[str, Any] | None = None, **server: Any
) -> Config:
    """Return a configuration of the small model, with its ledger in a directory.

    Args:
        directory: Where the ledger lies.
        model: Further keys of the model's table.
        **server: Keys of ``[server]``.
    """
    return replace(
        embedded_config("smollm2", port=0, **server),
        ledger=LedgerConfig(url=f"sqlite:///{directory}/deltaweir.db"),
        models=(ModelConfig(name="smollm2", embedded="smollm2", **(model or {})),),
    )


@contextlib.contextmanager
def served(config: Config) -> Iterator[Running]:
    """Run a gateway until the block ends."""
    one = Running(config)
    try:
        yield one
    finally:
        one.stop()
        one.join()


@contextlib.contextmanager
def running(**options: Any) -> Iterator[Running]:
    """Run a gateway with the small model until the block ends; options as for `configured`."""
    with (
        tempfile.TemporaryDirectory() as directory,
        served(configured(directory, **options)) as one,
    ):
        yield one


@pytest.fixture(scope="session")
def gateway() -> Iterator[Running]:
    """A gateway that all tests share which do not stop it."""
    with running(drain_s=5, max_body_mib=0.1) as one:
        yield one


def request(
    gateway: Running,
    path: str,
    body: Any = None,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Ask once and return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE_S)
    try:
        raw = body if isinstance(body, bytes) else json.dumps(body) if body is not None else None
        connection.request(method, path, raw, headers or {})
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, names, answer.read()
    finally:
        connection.close()


def opened(gateway: Running, body: dict[str, Any], *, version: str = "1.1") -> socket.socket:
    """Send a chat request and return its connection, nothing read yet."""
    raw = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=DEADLINE_S)
    connection.sendall(
        f"POST /v1/chat/completions HTTP/{version}\r\nHost: h\r\n"
        f"Content-Length: {len(raw)}\r\n\r\n".encode()
        + raw
    )
    return connection


def events(body: bytes) -> list[Any]:
    """Return the JSON of a stream's events; the last word stays text."""
    return [
        "[DONE]" if event.data == b"[DONE]" else json.loads(event.data)
        for event in Decoder().feed(body)
    ]


def hello(**more: Any) -> dict[str, Any]:
    """Return a short chat request."""
    return {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "Say hello."}],
        "temperature": 0,
        "max_tokens": 4,
        **more,
    }


def asking(path: str, **more: Any) -> dict[str, Any]:
    """Return a short request for one of the two routes of completions."""
    body = hello(**more)
    if path == TEXT:
        del body["messages"]
        body.setdefault("prompt", "One, two,")
    return body
