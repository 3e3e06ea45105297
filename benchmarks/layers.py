"""A chunk's way through the gateway, layer upon layer, each measured with all that is below it."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from benchmarks.forwarded import HEAD, ROUTE, Forwarded
from benchmarks.turns import Channel, Deaf, Ends, Passing, adopted, channel, emptied, turn

from deltaweir.net.asynchronous import Connection

Join = Callable[[Ends], Awaitable[None]]
"""Puts a way between the ends of a channel."""


async def deaf(ends: Ends) -> None:
    """Read, and do nothing."""
    await adopted(Deaf(), ends.upstream)
    await adopted(asyncio.Protocol(), ends.client)


async def passing(ends: Ends) -> None:
    """Read, and write the same."""
    client = await adopted(asyncio.Protocol(), ends.client)
    await adopted(Passing(client), ends.upstream)


def gateway(**options: bool) -> Join:
    """Return what puts the gateway's own way between; as for `Forwarded`."""

    async def join(ends: Ends) -> None:
        client = await adopted(asyncio.Protocol(), ends.client)
        connection = Connection(ROUTE)
        connection.fresh = False
        await adopted(connection, ends.upstream)
        stream = Forwarded(connection=connection, transport=client, **options)
        await stream.begin()
        _KEPT.append(stream)

    return join


_KEPT: list[Forwarded] = []
"""Nobody else has them, though their connections would keep all but their alarms."""

WAYS: dict[str, Join] = {
    "read by the loop": deaf,
    "and written": passing,
    "and counted": gateway(),
    "and guarded": gateway(guard=True),
    "the long way": gateway(straight=False),
    "the long way, guarded": gateway(straight=False, guard=True),
}
GATEWAY = tuple(WAYS)[2:]


class Layer:
    """A number of channels with one way between their ends.

    Args:
        loop: Runs the way.
        name: Which of `WAYS`.
        count: How many channels.
        warm: Pieces that go through before any is timed.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, name: str, count: int, warm: Sequence[bytes]
    ) -> None:
        self._loop = loop
        made = [channel() for _ in range(count)]
        self.channels = [one for one, _ in made]
        for _, ends in made:
            loop.run_until_complete(_joined(WAYS[name], ends))
        for one in self.channels if name in GATEWAY else ():
            one.fed.recv(65536)  # the request
        self._turn([HEAD] * count)
        for piece in warm:
            self._turn([piece] * count)
        emptied(self.channels)

    def spent(self, data: Sequence[Sequence[bytes]]) -> float:
        """Return the seconds of a chunk, the mean of these turns, empty turns taken off."""
        count = len(self.channels)
        idle = min(self._turn([b""] * count) for _ in range(5))
        spent = sum(self._turn(pieces) - idle for pieces in data)
        return spent / (len(data) * count)

    def _turn(self, pieces: Sequence[bytes]) -> float:
        seconds = turn(self._loop, self.channels, pieces)
        emptied(self.channels)
        return seconds


async def _joined(join: Join, ends: Ends) -> None:
    await join(ends)


def kernel(count: int, data: bytes) -> dict[str, float]:
    """Return the seconds of system calls alone, for a socket of many with a piece each."""
    made = [channel() for _ in range(count)]
    for one, _ in made:
        one.fed.sendall(data)
    poll = select.epoll() if hasattr(select, "epoll") else None
    spent: dict[str, float] = {}
    if poll is not None:
        for _, ends in made:
            poll.register(ends.upstream, select.EPOLLIN)
        spent["epoll_wait"] = _each(count, lambda: poll.poll(0, count))
        poll.close()
    spent["recv"] = _each(count, lambda: [ends.upstream.recv(65536) for _, ends in made])
    spent["send"] = _each(count, lambda: [ends.client.send(data) for _, ends in made])
    for one, ends in made:
        for sock in (*one, *ends):
            sock.close()
    return spent


def _each(count: int, calls: Callable[[], Any]) -> float:
    began = time.perf_counter()
    calls()
    return (time.perf_counter() - began) / count


def close(channels: Sequence[Channel]) -> None:
    """Close the far ends of channels."""
    for one in channels:
        sock: socket.socket
        for sock in one:
            sock.close()
