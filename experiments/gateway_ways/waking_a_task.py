"""A task per stream between upstream and client, against writing in the call that reads.

    python waking_a_task.py

Nothing is looked at, only passed on. From the top: the upstream's protocol writes to the client's
transport; it fills an `asyncio.Queue` that a task per stream empties; an async generator stands
between that queue and the task; uvicorn's ``send`` is awaited for what the generator yields; and
Starlette's `StreamingResponse` does that.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.responses import StreamingResponse
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.forwarded import pieces
from benchmarks.turns import Channel, Ends, Passing, adopted, channel, emptied, turn
from side_by_side import compare

STREAMS, TURNS = 100, 40
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
PIECES = pieces([" word"])
TASKS: set[asyncio.Task[Any]] = set()
QUEUES: dict[int, asyncio.Queue[bytes]] = {}
"""What comes for a client, by its port."""


class Filling(asyncio.Protocol):
    """Put what comes into a queue."""

    def __init__(self, queue: asyncio.Queue[bytes]) -> None:
        self._put = queue.put_nowait

    def data_received(self, data: bytes) -> None:
        """Put it."""
        self._put(data)


async def each(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    """Yield what comes."""
    while True:
        yield await queue.get()


async def emptying(queue: asyncio.Queue[bytes], client: Any) -> None:
    """Write what comes."""
    while True:
        client.write(await queue.get())


async def iterating(queue: asyncio.Queue[bytes], client: Any) -> None:
    """Write what a generator yields."""
    async for data in each(queue):
        client.write(data)


async def sending(scope: Any, _receive: Any, send: Any) -> None:
    """Send what a generator yields, as an ASGI application."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    async for data in each(QUEUES[scope["client"][1]]):
        await send({"type": "http.response.body", "body": data, "more_body": True})


async def responding(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what a generator yields, as Starlette does."""
    await StreamingResponse(each(QUEUES[scope["client"][1]]))(scope, receive, send)


async def pushed(ends: Ends) -> None:
    """Write in the call that reads."""
    client = await adopted(asyncio.Protocol(), ends.client)
    await adopted(Passing(client), ends.upstream)


async def by_task(run: Callable[..., Any], ends: Ends) -> None:
    """Let a task write."""
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    client = await adopted(asyncio.Protocol(), ends.client)
    await adopted(Filling(queue), ends.upstream)
    TASKS.add(asyncio.get_running_loop().create_task(run(queue, client)))


async def by_application(config: uvicorn.Config, ends: Ends) -> None:
    """Let uvicorn write."""
    queue = QUEUES[ends.client.getpeername()[1]] = asyncio.Queue()
    await adopted(Filling(queue), ends.upstream)
    served = HttpToolsProtocol(config=config, server_state=ServerState(), app_state={})
    await adopted(served, ends.client)


def loaded(application: Any) -> uvicorn.Config:
    """Return the configuration of a server that only streams."""
    config = uvicorn.Config(application, access_log=False, log_level="error", lifespan="off")
    config.load()
    return config


def layer(
    loop: asyncio.AbstractEventLoop, join: Callable[[Ends], Awaitable[None]]
) -> Callable[[], float]:
    """Return what measures one way."""
    made = [channel() for _ in range(STREAMS)]
    channels: list[Channel] = [one for one, _ in made]

    async def joined() -> None:
        for _, ends in made:
            await join(ends)

    loop.run_until_complete(joined())
    for one in channels:
        one.read.send(REQUEST)
    turn(loop, channels, [b""] * STREAMS)
    emptied(channels)
    data = PIECES * STREAMS

    def run() -> float:
        spent = 0.0
        for _ in range(TURNS):
            spent += turn(loop, channels, data)
            assert all(PIECES[0] in got for got in emptied(channels))
        idle = min(turn(loop, channels, [b""] * STREAMS) for _ in range(5))
        return (spent / TURNS - idle) / STREAMS

    return run


def main() -> None:
    """Compare them on uvloop."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    joins: dict[str, Callable[[Ends], Awaitable[None]]] = {
        "written in the call that reads": pushed,
        "a queue, and a task": functools.partial(by_task, emptying),
        "a queue, an async generator, a task": functools.partial(by_task, iterating),
        "the generator by ASGI's send": functools.partial(by_application, loaded(sending)),
        "the generator by StreamingResponse": functools.partial(by_application, loaded(responding)),
    }
    compare(
        f"from upstream to client, {STREAMS} streams in turn",
        {name: layer(loop, join) for name, join in joins.items()},
    )


if __name__ == "__main__":
    main()
