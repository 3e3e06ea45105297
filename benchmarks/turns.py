"""Turns of an event loop over many sockets, in one process: what a way from one to another costs.

A channel is two TCP connections on loopback with a way between them. In a turn each channel is
given one piece, untimed; then the loop runs until all pieces have come out at the other end,
timed; then they are taken away, untimed. So nobody competes for the processor, and the kernel's
share is that of reading and writing alone.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

STEPS = 6
"""Iterations of the loop in which a piece comes through, by the longest of the ways."""
_MOST = 1 << 16


class Channel(NamedTuple):
    """The far ends of one channel, as a provider and a reader have them."""

    fed: socket.socket
    read: socket.socket


class Ends(NamedTuple):
    """The near ends of one channel, which a way joins."""

    upstream: socket.socket
    client: socket.socket


def channel() -> tuple[Channel, Ends]:
    """Make a channel without anything between its connections."""
    fed, upstream = _connected()
    read, client = _connected()
    read.setblocking(False)  # noqa: FBT003  # its only argument
    return Channel(fed, read), Ends(upstream, client)


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    for sock in (far, near):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return far, near


async def adopted(protocol: asyncio.BaseProtocol, sock: socket.socket) -> Any:
    """Let a loop have a socket that is connected; return the transport."""
    sock.setblocking(False)  # noqa: FBT003  # its only argument
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock)
    return transport


def turn(
    loop: asyncio.AbstractEventLoop, channels: Sequence[Channel], data: Sequence[bytes]
) -> float:
    """Send each channel its piece; return the seconds until all were through.

    Args:
        loop: Runs what is between.
        channels: All of one way.
        data: A piece for each; empty ones for a turn in which nothing comes.
    """
    for one, piece in zip(channels, data, strict=True):
        if piece:
            one.fed.sendall(piece)
    began = time.perf_counter()
    loop.run_until_complete(_steps())
    return time.perf_counter() - began


def emptied(channels: Sequence[Channel]) -> list[bytes]:
    """Return what has come out of each channel."""
    return [_taken(one.read) for one in channels]


async def _steps() -> None:
    for _ in range(STEPS):
        await asyncio.sleep(0)


def _taken(sock: socket.socket) -> bytes:
    try:
        return sock.recv(_MOST)
    except BlockingIOError:
        return b""


class Deaf(asyncio.Protocol):
    """Take what comes, and do nothing with it."""

    def data_received(self, data: bytes) -> None:
        """Take it."""


class Passing(asyncio.Protocol):
    """Write what comes to another transport, and do nothing else.

    Args:
        other: The transport.
    """

    def __init__(self, other: Any) -> None:
        self._write = other.write

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self._write(data)
