"""The way of a text through a weir, for callers who have no chunk around it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from deltaweir.endings import Ending
from deltaweir.schema.chunk import Chunk, TextChunk
from deltaweir.slots import Pass

ChunkT = TypeVar("ChunkT", bound=Chunk | TextChunk)


class TextWay(NamedTuple, Generic[ChunkT]):
    """The steps that a text takes through a weir, in this order; good until it is fed a chunk."""

    take: Callable[[str], None] | None
    """1. Meters a text; None where nobody counts."""
    show: Pass | None
    """2. and 3. Takes a text and the time; returns what of it may leave, and an ending that it
    brings. None where all may leave at once."""
    end: Callable[[Ending], Sequence[ChunkT]]
    """4. Ends the stream, where there was an ending; returns chunks to write behind the text."""
