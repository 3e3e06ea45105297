"""When a stream's chunks may go straight, found out from those that took the long way."""

from __future__ import annotations

from typing import Any

from deltaweir.gateway.runs.outlet import Outlet
from deltaweir.gateway.runs.straight import Straight, Traveller
from deltaweir.schema.chunk import AnyChunk
from deltaweir.schema.forwarding import ForwardedChunk, ForwardedTextChunk, frame_of
from deltaweir.sources.upstream import UpstreamSource
from deltaweir.weir import Weir

MOST_TRIES = 8
"""How often a stream may find out what its chunks have in common."""
MOST_MISSES = 4
"""Chunks in a row that were others, after which it is looked for anew."""


class Shortcut:
    """Choose the way of one run's chunks.

    Args:
        run: The run.
        weir: Its weir.
    """

    __slots__ = ("_run", "_tries", "_weir")

    def __init__(self, run: Traveller, weir: Weir[Any]) -> None:
        self._run = run
        self._weir = weir
        self._tries = 0

    def look(self, source: Any, outlet: Outlet | None, chunk: AnyChunk) -> None:
        """Look at a chunk that took the long way, and choose the way of those that follow.

        Args:
            source: The run's source; only that of an upstream has two ways.
            outlet: Where its frames go; None where nobody reads, or other frames come first.
            chunk: The chunk, after the weir.
        """
        way: UpstreamSource[Any] | None = getattr(source, "long_way", None)
        if way is None:
            return
        straight = way.shortcut
        if isinstance(straight, Straight):
            takes = outlet is not None and self._weir.takes_texts(straight.index)
            if straight.misses > MOST_MISSES or not takes:
                way.shortcut = None
            else:
                straight.renew()
        elif self._tries < MOST_TRIES and outlet is not None and outlet.straight:
            way.shortcut = self._made(chunk, way, outlet)

    def leave(self, source: Any) -> None:
        """Let all chunks take the long way at once: there is nobody to send them to."""
        way: UpstreamSource[Any] | None = getattr(source, "long_way", None)
        if way is not None:
            way.bypassed_by(None)
        self._tries = MOST_TRIES

    def _made(self, chunk: AnyChunk, way: UpstreamSource[Any], outlet: Outlet) -> Straight | None:
        if not isinstance(chunk, ForwardedChunk | ForwardedTextChunk) or not chunk.choices:
            return None
        index = chunk.choices[0].index
        if not self._weir.takes_texts(index):
            return None
        self._tries += 1
        frame = frame_of(chunk)
        if frame is None:
            return None
        return Straight(self._run, self._weir, way, outlet, frame=frame, index=index)
