"""How much a process keeps at hand of a budget, so that no stream has to wait for the file. Pure.

A stream asks for more on the loop's thread, where nothing may wait for long. So while streams of
a key run their process holds a reserve, which a thread fills again when half of it is taken.

Where less is left of a budget than a few blocks nothing is held in reserve: other processes
need it, and whatever runs is about to end by it.
"""

from __future__ import annotations

from typing import NamedTuple

from deltaweir.leases import Part, Share, share_of

_KEPT_OF = 4


class Claim(NamedTuple):
    """A share to be written; and the part, if any, that lacks so much of it at least."""

    share: Share
    part: Part | None = None
    least: int = 0

    @property
    def want(self) -> int:
        """How much is better for the part: another block besides."""
        return 0 if self.part is None else self.least - 1 + self.part.block


def runs_low(share: Share) -> bool:
    """Return whether it is time to fetch more, before a stream has to wait for it."""
    ample = _ample(share)
    return ample > 0 and share.free < ample // 2


def kept(share: Share) -> int:
    """Return how much stays at hand when nothing was taken for a while: a block or a few.

    A stream may take minutes to use a large block, and shall find another one after that.
    """
    return _ample(share) // _KEPT_OF if share.streams else 0


def portion(part: Part) -> int:
    """Return how much a running stream takes of what is at hand: a block, or its fair part.

    Streams that ask while the file cannot be reached so find something, one and all.
    """
    share = part.share
    return min(part.block, max(part.floor, share.free // max(1, share.streams)))


def _ample(share: Share) -> int:
    ample = share_of(share.left, share.floor)
    return ample if ample >= share.floor else 0
