"""Many paced streams at once, with their provider and their readers, beside a test's own thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from tests.live.provider import Play, Provider
from tests.live.readers import Connection, Reading

T = TypeVar("T")
_PATIENCE_S = 60.0


class Crowd:
    """A provider of plays, and clients that read them; a context manager that ends both.

    Attributes:
        provider: What streams are played by.
    """

    def __init__(self) -> None:
        self.provider = Provider()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._reading: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self.provider.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self._run(self.provider.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    def read(self, address: tuple[str, int], play: Play, **options: Any) -> Reading:
        """Let one more client read a play; return what it gets, which grows.

        Args:
            address: Of the gateway.
            play: What the stream is like.
            **options: Further fields of the request; ``key`` is sent as such. The model is
                ``paced`` unless told.
        """
        reading = Reading()
        key = options.pop("key", None)
        body = {
            "model": "paced",
            "messages": [{"role": "user", "content": play.prompt}],
            "stream_options": {"include_usage": False},
            **options,
        }
        self._reading.append(self._start(_read(address, body, key, reading)))
        return reading

    def leave(self) -> None:
        """Let all clients hang up."""
        for one in self._reading:
            one.cancel()
        for one in self._reading:
            with contextlib.suppress(Exception):
                one.exception(_PATIENCE_S)
        self._reading.clear()

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._start(work).result(_PATIENCE_S)


async def _read(
    address: tuple[str, int], body: dict[str, Any], key: str | None, reading: Reading
) -> None:
    connection = Connection(address)
    await connection.ask(body, key)
    try:
        async for _ in connection.events(reading):
            pass
    finally:
        await connection.close(abruptly=True)
