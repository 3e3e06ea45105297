"""The chunk that tells a stream's usage, kept for the very end. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from deltaweir.schema.chunk import Chunk, TextChunk, Usage

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)


class LastUsage(Generic[ChunkT]):
    """Keep the source's last usage chunk, and bring it up to date."""

    __slots__ = ("_behind", "_chunk")

    def __init__(self) -> None:
        self._chunk: ChunkT | None = None
        self._behind: ChunkT | None = None

    @property
    def kept(self) -> bool:
        """Whether the source has told its usage."""
        return self._chunk is not None

    def keep(self, chunk: ChunkT, behind: ChunkT | None) -> None:
        """Keep a chunk until the end.

        Args:
            chunk: Tells usage, and has no choices.
            behind: The last chunk with choices before it.
        """
        self._chunk, self._behind = chunk, behind

    def chunks(
        self, last: ChunkT | None, counted: Usage | None, made: Callable[[], ChunkT]
    ) -> tuple[Sequence[ChunkT], bool]:
        """Return the source's chunk, or else one of our own count; and whether it was changed.

        Args:
            last: The last chunk with choices.
            counted: Our count, None without a meter.
            made: Makes a chunk of the stream without choices.
        """
        theirs = self._chunk
        if theirs is not None and (self._behind is last or counted is None):
            return (theirs,), False
        if counted is None:
            return (), False
        chunk = made() if theirs is None else theirs
        chunk.usage = counted  # more was generated since the source told of its own
        return (chunk,), True
