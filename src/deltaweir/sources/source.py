"""What a source of chunks must do for readers that block, that await, or that are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from deltaweir.errors import DeltaweirError
from deltaweir.schema.chunk import Chunk, TextChunk, Usage

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)
ReadT_contra = TypeVar("ReadT_contra", bound=Chunk | TextChunk, contravariant=True)


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


class PushingSource(AnySource, Protocol):
    """One stream of chunks that calls its reader, on the thread of its event loop.

    The reader's methods are those of `Reader`.
    """

    def pause(self) -> None:
        """Push nothing more for a while."""

    def resume(self) -> None:
        """Push again; idempotent."""


class Reader(Protocol[ReadT_contra]):
    """Takes what a source pushes; after `ended` or `failed` nothing comes."""

    def took(self, chunks: Sequence[ReadT_contra]) -> None:
        """Take chunks; the source may be paused or closed meanwhile."""

    def ended(self) -> None:
        """Take note that the source has ended; whether that was whole, finish reasons tell."""

    def failed(self, error: DeltaweirError) -> None:
        """Take note that the source failed; it has ended."""


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


class _NoSource:
    """Stands where a stream has no source yet: it does nothing, and says nothing."""

    usage: Usage | None = None
    answered = False
    said_done = False

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def close(self) -> None:
        pass


NO_SOURCE: PushingSource = _NoSource()
"""The source of a stream before it has one."""
