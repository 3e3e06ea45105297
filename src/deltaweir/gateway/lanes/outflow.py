"""Frames on their way to one reader: the head of the answer goes out with the first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from deltaweir.gateway.lanes.lane import QUEUE_BYTES, Lane
from deltaweir.wire.sse import HEARTBEAT


class Outflow:
    """Write frames into a lane, which is opened by the first of them.

    Until the head is out, what is written waits; where that is too much, the lane's feeder is
    held, and the reader is given up as one that takes nothing.

    Args:
        lane: The reader's.
        headers: Those of the answer.

    Attributes:
        last: When something was written last, in seconds on the monotonic clock.
        opened: When the head and the first frames were handed to the system; None before.
    """

    lasting = False

    def __init__(self, lane: Lane, headers: list[tuple[bytes, bytes]]) -> None:
        self.lane = lane
        self.last = time.monotonic()
        self.opened: float | None = None
        self._headers = headers
        self._head: asyncio.Task[None] | None = None
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0

    @property
    def begun(self) -> bool:
        """Whether the status of the answer is decided."""
        return self._head is not None

    @property
    def gone(self) -> bool:
        """Whether the reader has gone."""
        return self.lane.gone

    @property
    def straight(self) -> bool:
        """Whether pieces of a chunked body may be written as they come."""
        return self.opened is not None and self.lane.framed

    @property
    def piece(self) -> Callable[[bytes], object]:
        """Write one frame that is a piece of a chunked body; only where ``straight``."""
        return self.lane.transport.write

    def pieces(self, pieces: Sequence[bytes]) -> None:
        """Write such pieces at once."""
        self.lane.transport.write(b"".join(pieces))

    def frames(self, frames: Sequence[bytes]) -> None:
        """Send frames."""
        self.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def heartbeat(self) -> None:
        """Keep an idle connection awake."""
        self.write(HEARTBEAT)

    def conclude(self) -> None:
        """Do nothing: `end` is awaited by whoever answers."""

    def write(self, data: bytes) -> None:
        """Send bytes: whole frames."""
        self.last = time.monotonic()
        if self.opened is not None:
            self.lane.write(data)
            return
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > QUEUE_BYTES:
            self.lane.choke()
        self.open()

    def open(self) -> None:
        """Send the head now; it does not wait for the first frame."""
        if self._head is None:
            self._head = asyncio.get_running_loop().create_task(self._open())

    async def end(self) -> None:
        """End the answer, once the reader has taken enough of it."""
        if self._head is not None:
            await self._head
        await self.lane.end()

    async def _open(self) -> None:
        await self.lane.start(200, self._headers)
        self.lane.write(b"".join(self._unsent))
        self._unsent.clear()
        self.opened = time.monotonic()
        self.lane.look()
