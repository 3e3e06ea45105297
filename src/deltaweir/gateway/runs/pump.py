"""A source that is awaited, as one that pushes: for the embedded model's streams."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from deltaweir.errors import DeltaweirError
from deltaweir.schema.chunk import Chunk, TextChunk, Usage
from deltaweir.sources.source import AsyncSource, Reader

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)


class Pump(Generic[ChunkT]):
    """Ask a source again and again, and hand on what it says.

    Args:
        source: The source.
        reader: Who takes its chunks.
    """

    def __init__(self, source: AsyncSource[ChunkT], reader: Reader[ChunkT]) -> None:
        self._source = source
        self._reader = reader
        self._free = asyncio.Event()
        self._free.set()
        self._closed = False

    @property
    def usage(self) -> Usage | None:
        """The source's own count."""
        return self._source.usage

    @property
    def answered(self) -> bool:
        """Whether the answer has begun."""
        return self._source.answered

    @property
    def said_done(self) -> bool:
        """Whether the source said that all was sent."""
        return self._source.said_done

    def pause(self) -> None:
        """Ask no more for a while."""
        self._free.clear()

    def resume(self) -> None:
        """Ask again."""
        self._free.set()

    def close(self) -> None:
        """End the source."""
        self._closed = True
        self._free.set()
        self._source.close()

    async def run(self) -> None:
        """Hand on all that the source says, until its end."""
        try:
            while True:
                await self._free.wait()
                chunks = await self._source.receive(None)
                if chunks is None or self._closed:
                    break
                if chunks:
                    self._reader.took(chunks)
        except DeltaweirError as error:
            if not self._closed:
                self._reader.failed(error)
            return
        finally:
            self._source.close()
        if not self._closed:
            self._reader.ended()
