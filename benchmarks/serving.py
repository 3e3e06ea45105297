"""The two servers of bench_gateway.py, each in a process of its own, with nothing to compute.

    python benchmarks/serving.py gateway
    python benchmarks/serving.py bare

``gateway`` is the whole gateway (uvicorn with our `Server` and `Protocol`, routes, `Run`, `Pump`)
over a source of prepared chunks. ``bare`` is an `asyncio.Protocol` that writes the same frames at
the same times and does nothing else. The model's name in a request tells the pace, see PACES. The
gateway keeps a ledger in a directory of its own, unless the environment says LEDGER=, and guards
its models with the preset that GUARD names. Both print their loop and their port; then each line
on stdin is answered with CPU seconds and resident bytes.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import uvicorn

import deltaweir.gateway.answering.answering as gateway_answering
from deltaweir.client.embedded import Call, Prepared
from deltaweir.gateway.config.file import Config, LedgerConfig, ModelConfig, ServerConfig
from deltaweir.gateway.server.server import Server
from deltaweir.schema.frames import FrameWriter
from deltaweir.types import Choice, Chunk, Delta, Usage
from deltaweir.wire.sse import DONE

NO_HEARTBEATS_S = 86_400.0
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n"
    b"x-request-id: req_012345678901234567890123\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Pace(NamedTuple):
    """How a stream's chunks come."""

    chunks: int
    """Before the one that finishes."""
    together: int
    """How many come in one turn of the loop."""
    pause_s: float
    """Between two turns; 0 only lets others run."""


PACES = {
    "singly": Pace(5_000, 1, 0.0),
    "together": Pace(20_000, 64, 0.0),
    "paced": Pace(1_000, 1, 0.001),
    "short": Pace(1, 1, 0.0),
    "idle": Pace(2, 1, NO_HEARTBEATS_S),
}
"""By the model's name; an idle stream has one chunk and waits for the next."""


def chunk(number: int, *, last: bool = False) -> Chunk:
    """Return a chunk as the embedded model makes them."""
    return Chunk(
        id="chatcmpl-0123456789abcdef01234567",
        created=1795500000,
        model="scripted",
        choices=[
            Choice(
                delta=Delta() if last else Delta(content=f" word{number}"),
                finish_reason="stop" if last else None,
            )
        ],
    )


async def turns(pace: Pace) -> AsyncIterator[range]:
    """Yield the numbers of the chunks that are due, turn by turn."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for first in range(0, pace.chunks, pace.together):
        if first:
            due = began + first * pace.pause_s
            await asyncio.sleep(max(0.0, due - loop.time()) if pace.pause_s else 0)
        yield range(first, min(first + pace.together, pace.chunks))


class Source:
    """Prepared chunks as a source; stands in for the embedded model's."""

    cost_usd = 0.0
    answered = True
    said_done = True

    def __class_getitem__(cls, _kind: object) -> type[Source]:
        """Stand for a source of chunks of any kind."""
        return cls

    def __init__(self, planned: Any, *_: object, **__: object) -> None:
        self._ready = CHUNKS[planned]
        self._turns = turns(PACES[planned])
        self._waiting: asyncio.Task[Any] | None = None
        self._finished = False
        self._closed = False
        self._given = 0

    @property
    def usage(self) -> Usage:
        """The count so far, made when it is asked for, as the embedded model's is."""
        return Usage(prompt_tokens=10, completion_tokens=self._given, total_tokens=10 + self._given)

    async def receive(self, _timeout_s: float | None) -> list[Chunk] | None:
        """Return the chunks of the next turn; see `deltaweir.sources.source.AsyncSource`."""
        if self._closed:
            return None
        self._waiting = asyncio.current_task()
        try:
            due = await anext(self._turns, None)
        except asyncio.CancelledError:
            if not self._closed:
                raise
            self._waiting.uncancel()  # it was cancelled from here
            return None
        finally:
            self._waiting = None
        if due is not None:
            self._given += len(due)
            return self._ready[due.start : due.stop]
        if self._finished:
            return None
        self._finished = True
        return [chunk(0, last=True)]

    def close(self) -> None:
        """End it, and wake the reader."""
        self._closed = True
        if self._waiting is not None and self._waiting is not asyncio.current_task():
            self._waiting.cancel()


CHUNKS: dict[str, list[Chunk]] = {}


def scripted(call: Call) -> Prepared:
    """Prepare a call for the source, in place of a model."""
    nothing: Any = None
    pace: Any = call.request.model
    return Prepared(
        planned=pace,
        weights=nothing,
        engine=nothing,
        identity="x",
        created=0,
        request_id="x",
        timeouts=call.timeouts,
        limit=call.limit,
        options=call.request.stream_options,
        guard=call.guard,
    )


async def serve_gateway(directory: str) -> None:
    """Serve the gateway over prepared chunks.

    Args:
        directory: Where its ledger lies.
    """
    CHUNKS.update(
        {name: [chunk(number) for number in range(pace.chunks)] for name, pace in PACES.items()}
    )
    # the two names by which its answers reach a model
    patched: Any = gateway_answering
    patched.prepare, patched.AsyncLocalSource = scripted, Source
    guard = os.environ.get("GUARD") or None
    models = tuple(ModelConfig(name=name, embedded=name, guard=guard) for name in PACES)
    url = f"sqlite:///{directory}/deltaweir.db" if os.environ.get("LEDGER", "on") else ""
    settings = ServerConfig(port=0, heartbeat_s=NO_HEARTBEATS_S, log="none")
    server = Server(Config(server=settings, models=models, ledger=LedgerConfig(url=url)))
    server.on_started = lambda: print(server.port, flush=True)
    await server.serve()


class Bare(asyncio.Protocol):
    """Write frames, and wait only while the reader is slow."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._go_on = asyncio.Event()
        self._go_on.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """End what is being written."""
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer a request, which comes in one piece on loopback."""
        name = str(json.loads(data.partition(b"\r\n\r\n")[2])["model"])
        task = asyncio.get_running_loop().create_task(self._write(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def pause_writing(self) -> None:
        """Wait for the reader."""
        self._go_on.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._go_on.set()

    async def _write(self, name: str) -> None:
        assert self._transport is not None
        write, frames = self._transport.write, FRAMES[name]
        write(_HEAD)
        async for due in turns(PACES[name]):
            for number in due:
                write(frames[number])
                if not self._go_on.is_set():
                    await self._go_on.wait()
        for frame in frames[PACES[name].chunks :]:
            write(frame)


def frames_of(pace: Pace) -> list[bytes]:
    """Return all frames of a stream, as they go over the wire."""
    frame = FrameWriter().frame
    ready = [frame(chunk(number)) for number in range(pace.chunks)]
    finish = chunk(0, last=True)
    usage = Usage(
        prompt_tokens=10, completion_tokens=pace.chunks, total_tokens=10 + pace.chunks
    ).model_dump()
    finish.deltaweir = {"usage": usage, "cost_usd": 0.0, "source": "engine"}
    ready += [frame(finish), DONE]
    return [*(b"%x\r\n%b\r\n" % (len(one), one) for one in ready), b"0\r\n\r\n"]


FRAMES: dict[str, list[bytes]] = {}


async def serve_bare() -> None:
    """Serve the frames and nothing else."""
    FRAMES.update({name: frames_of(pace) for name, pace in PACES.items()})
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def tell() -> None:
    """Answer each line on stdin with what was used so far; end with the last."""
    for _ in sys.stdin:
        memory = Path("/proc/self/statm")  # Linux only
        pages = int(memory.read_text().split()[1]) if memory.exists() else 0
        used = {
            "cpu": time.process_time(),
            "rss": pages * os.sysconf("SC_PAGE_SIZE") if pages else 0,
        }
        print(json.dumps(used), flush=True)
    os._exit(0)


def main() -> None:
    """Serve, on the loop that uvicorn itself would take."""
    factory = uvicorn.Config("", loop="auto").get_loop_factory()
    kind = "asyncio" if factory is None else factory.__module__
    print(f"{kind.partition('.')[0]} {platform.python_version()}", flush=True)
    threading.Thread(target=tell, daemon=True).start()
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=factory) as runner,
    ):
        runner.run(serve_gateway(directory) if sys.argv[1] == "gateway" else serve_bare())


if __name__ == "__main__":
    main()
