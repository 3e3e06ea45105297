"""A lane for a body whose length is told in the answer's head."""

from __future__ import annotations

from deltaweir.gateway.lanes.lane import Lane


class BodyLane(Lane):
    """One response with a body from elsewhere: framed here, or of a length that its head tells.

    Whoever writes sees to it that a body has the length it was said to have.
    """

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head; from then on the lane can be written to."""
        await super().start(status, headers)
        cycle = self._cycle
        if cycle is None or self._queue is not None or self.direct or self.gone:
            return
        if cycle.expected_content_length:
            # the server would miss the bytes that go past it
            cycle.expected_content_length = 0
            self.direct = True
            self._put = self.transport.write
