"""Our clients at a gateway of ours, with connections that break in between."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import pytest
from tests.gateway.conftest import DEADLINE_S, until
from tests.gateway.fronts import PROMPT, Front, fronted

import deltaweir
from deltaweir.testing import Pause, Peer, chat_events, stream_answer

WORDS = ("Hel", "lo, ", "wörld", "!")
EVENTS = chat_events(*WORDS, usage=(3, 4))


class Cutter:
    """Stands between client and gateway, and breaks connections off after so many bytes.

    Args:
        port: The gateway's port.
        limits: Bytes of the answers that are let through, by connection; later ones are whole.
    """

    def __init__(self, port: int, *limits: int) -> None:
        self._port = port
        self._limits = list(limits)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._ends: list[socket.socket] = []
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _shut(self._listener, *self._ends)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        for end in (self._listener, *self._ends):
            end.close()

    def _start(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # how its end is told
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [near, far]
                limit = self._limits.pop(0) if self._limits else None
                self._start(self._carry, near, far, None)
                self._start(self._carry, far, near, limit)

    def _carry(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        """Carry bytes one way until either side leaves, or there were enough."""
        with contextlib.suppress(OSError):  # either side may be gone
            while limit is None or limit > 0:
                data = source.recv(65536 if limit is None else limit)
                if not data:
                    break
                sink.sendall(data)
                if limit is not None:
                    limit -= len(data)
        _shut(source, sink)


def _shut(*ends: socket.socket) -> None:
    """Break connections off; those that are gone already are let be."""
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A gateway that all tests here share."""
    with fronted() as one:
        yield one


def read(base_url: str) -> tuple[Any, list[Any]]:
    """Read a stream as a program that blocks; return it and its chunks."""
    client = deltaweir.Client(base_url=base_url, api_key="x", resume=True, proxy="")
    with client.chat.completions.create(
        model="m", messages=PROMPT, stream=True, stream_options={"include_usage": True}
    ) as stream:
        return stream, list(stream)


def read_async(base_url: str) -> tuple[Any, list[Any]]:
    """Read a stream as an asyncio program."""

    async def run() -> tuple[Any, list[Any]]:
        async with deltaweir.AsyncClient(
            base_url=base_url, api_key="x", resume=True, proxy=""
        ) as client:
            stream = await client.chat.completions.create(
                model="m", messages=PROMPT, stream=True, stream_options={"include_usage": True}
            )
            async with stream:
                return stream, [chunk async for chunk in stream]

    return asyncio.run(run())


@pytest.mark.parametrize("how", [read, read_async])
def test_a_stream_through_broken_connections(front: Front, how: Any) -> None:
    """Wherever the first connections break, text, usage and end are those of a whole stream."""
    with Peer(stream_answer(EVENTS)) as peer:
        front.before(peer)
        base_url = f"http://127.0.0.1:{front.port}/v1"
        whole, _ = how(base_url)
        for cut in range(450, 2200, 97):
            with Cutter(front.port, cut, 700) as cutter:
                stream, chunks = how(cutter.base_url)
            said = [one.delta.content or "" for chunk in chunks for one in chunk.choices]
            assert "".join(said) == stream.text == whole.text == "".join(WORDS)
            assert (stream.usage, stream.finish_reason) == (whole.usage, whole.finish_reason)
            assert stream.complete
            assert stream.stream_id.startswith("stm_")


def test_a_stream_that_is_left(front: Front) -> None:
    """Its generation ends at once, and the ledger says who ended it."""
    pause = Pause()
    with Peer([*stream_answer(EVENTS[:3], end=False), pause]) as peer:
        front.before(peer)
        client = deltaweir.Client(
            base_url=f"http://127.0.0.1:{front.port}/v1", api_key="x", resume=True, proxy=""
        )
        tag = front.tag()
        with client.chat.completions.create(
            model="m",
            messages=PROMPT,
            stream=True,
            extra_headers={"X-Deltaweir": f'{{"tag": "{tag}"}}'},
        ) as stream:
            next(stream)
        assert peer.wait_gone(timeout_s=5.0)
        row = front.row(tag)
    assert row.closed is not None
    assert row.closed.ending == "stopped"


def test_a_stream_that_is_left_to_be_finished(front: Front) -> None:
    """Who says so in the body leaves it to the gateway, which goes on to its end."""
    pause = Pause()
    with Peer([*stream_answer(EVENTS[:3], end=False), pause, *stream_answer(EVENTS)[4:]]) as peer:
        front.before(peer)
        client = deltaweir.Client(
            base_url=f"http://127.0.0.1:{front.port}/v1", api_key="x", resume=True, proxy=""
        )
        tag = front.tag()
        with client.chat.completions.create(
            model="m",
            messages=PROMPT,
            stream=True,
            extra_body={"deltaweir": {"on_disconnect": "finish", "tag": tag}},
        ) as stream:
            next(stream)
        pause.release()
        row = front.row(tag)
    assert row.closed is not None
    assert row.closed.ending == "complete"


def test_a_gateway_that_stops_a_stream(front: Front) -> None:
    """A stream that somebody else stops ends as it does for all, and is not resumed."""
    pause = Pause()
    with Peer([*stream_answer(EVENTS[:3], end=False), pause]) as peer:
        front.before(peer)
        base_url = f"http://127.0.0.1:{front.port}/v1"
        client = deltaweir.Client(base_url=base_url, api_key="x", resume=True, proxy="")
        stream = client.chat.completions.create(model="m", messages=PROMPT, stream=True)
        next(stream)
        until(lambda: stream.stream_id is not None)
        source: Any = stream._source
        source._end_generation()
        rest = list(stream)
    assert rest[-1].choices[0].finish_reason == "length"
    assert (stream.stopped_by, stream.complete, stream.resumed_at) == ("stop", False, ())
