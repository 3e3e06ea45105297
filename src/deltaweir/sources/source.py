"""What a source of chunks must do, for readers that block and for readers that await."""

from __future__ import annotations

from typing import Protocol, TypeVar

from deltaweir.schema.chunk import Chunk, TextChunk, Usage

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)


class AnySource(Protocol):
    """One stream of chunks, whichever way its reader waits."""

    @property
    def usage(self) -> Usage | None:
        """The source's own count so far, None before it has one."""

    @property
    def answered(self) -> bool:
        """Whether the answer has begun, though perhaps no chunk has come."""

    @property
    def said_done(self) -> bool:
        """Whether the source said that all was sent, beside its choices' finish reasons."""

    def close(self) -> None:
        """End the stream and what makes it at once, and wake a reader that is waiting.

        Idempotent, from any thread, and never takes a lock: it may be called while garbage
        is collected or in a signal handler.
        """


class Source(AnySource, Protocol[ChunkT]):
    """One stream of chunks for a reader that blocks."""

    def receive(self, timeout_s: float | None) -> list[ChunkT] | None:
        """Wait for the next chunks; none in the list is a sign of life, None is the end.

        Raises:
            TimeoutError: Nothing came within the time; the source may be asked again.
            DeltaweirError: The source failed; it has ended.
        """


class AsyncSource(AnySource, Protocol[ChunkT]):
    """One stream of chunks for a reader that awaits."""

    async def receive(self, timeout_s: float | None) -> list[ChunkT] | None:
        """Wait for the next chunks; none in the list is a sign of life, None is the end.

        Raises:
            TimeoutError: Nothing came within the time; the source may be asked again.
            DeltaweirError: The source failed; it has ended.
        """
