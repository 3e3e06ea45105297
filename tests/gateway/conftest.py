"""A gateway with the small model, in this process, on a port of its own."""

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

from deltaweir.gateway.config import Config, embedded_config
from deltaweir.gateway.server import Server

DEADLINE_S = 20.0


class Running:
    """A server that runs in a thread of this process."""

    def __init__(self, config: Config) -> None:
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
        return len(self.server.gateway.answers)

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


@contextlib.contextmanager
def running(**server: Any) -> Iterator[Running]:
    """Run a gateway with the small model until the block ends."""
    one = Running(embedded_config("smollm2", port=0, **server))
    try:
        yield one
    finally:
        one.stop()
        one.join()


@pytest.fixture(scope="session")
def gateway() -> Iterator[Running]:
    """A gateway that all tests share which do not stop it."""
    with running(heartbeat_s=0.05, drain_s=5, max_body_mib=0.1) as one:
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


def hello(**more: Any) -> dict[str, Any]:
    """Return a short chat request."""
    return {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "Say hello."}],
        "temperature": 0,
        "max_tokens": 4,
        **more,
    }
