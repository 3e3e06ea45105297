"""A source that plays a script: chunks, silences and faults, in the order given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

from deltaweir.schema.chunk import Chunk, TextChunk, Usage

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)

SILENCE = "silence"
"""A step in which nothing comes before the clock runs out."""
HEARTBEAT = "heartbeat"
"""A step in which the source shows a sign of life and nothing else."""

Step = Chunk | TextChunk | BaseException | str
"""A chunk to send, an error to raise, or one of SILENCE and HEARTBEAT."""


class _Playing(Generic[ChunkT]):
    """The script's state, however one waits for it."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = iter(steps)
        self.usage: Usage | None = None
        """The usage of the last chunk that had one."""
        self.answered = False
        """Whether a chunk has come."""
        self.said_done = False
        """Whether the source says that all was sent; set it to play ``[DONE]``."""
        self.closed = False
        """Whether the reader has closed the source."""

    def close(self) -> None:
        """Take note that the reader wants no more."""
        self.closed = True

    def _next(self) -> list[ChunkT] | None:
        if self.closed:
            return None
        for step in self._steps:
            if isinstance(step, BaseException):
                raise step
            if step == SILENCE:
                raise TimeoutError
            if step == HEARTBEAT:
                return []
            self.answered = True
            assert isinstance(step, Chunk | TextChunk)  # the last kind of step
            self.usage = step.usage or self.usage
            return [step]  # type: ignore[list-item]  # a script has chunks of one kind
        return None


class Script(_Playing[ChunkT]):
    """A scripted source for a reader that blocks.

    Args:
        steps: What happens at each wait; after the last the source ends.
    """

    def receive(self, timeout_s: float | None) -> list[ChunkT] | None:  # noqa: ARG002
        """Play the next step, at once, whatever the time; see `deltaweir.sources.source.Source`."""
        return self._next()


class AsyncScript(_Playing[ChunkT]):
    """A scripted source for a reader that awaits.

    Args:
        steps: What happens at each wait; after the last the source ends.
    """

    async def receive(self, timeout_s: float | None) -> list[ChunkT] | None:  # noqa: ARG002
        """Play the next step, whatever the time; see `deltaweir.sources.source.AsyncSource`."""
        await asyncio.sleep(0)
        return self._next()
