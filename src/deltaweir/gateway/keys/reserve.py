"""How much a process keeps at hand of a budget, so that no stream has to wait for the file. Pure.

A stream asks for more on the loop's thread, where nothing may wait for long. So while streams of
a key run their process holds a reserve, which a thread fills again when half of it is taken.

Where less is left of a budget than a few blocks nothing is held in reserve: other processes
need it, and whatever runs is about to end by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from deltaweir.allowances import Quota
from deltaweir.errors import PermissionDenied
from deltaweir.leases import (
    FLOOR_PICO,
    FLOOR_TOKENS,
    Part,
    Share,
    SpentError,
    Standing,
    Trade,
    share_of,
)
from deltaweir.stores.books import Books

Work = Callable[[Books], Sequence[tuple["Claim", Trade]]]
"""Reads and writes in one transaction; called again when it was too early."""
Rated = tuple[tuple[str, int], int]
"""A key and its tokens a minute, and how many are used and not booked."""

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


def needs_of(
    quota: Quota, prompt_tokens: int, prompt_pico: int | None, token_pico: int | None
) -> tuple[int, int]:
    """Return how much of a quota a request needs before it begins, and its smallest block.

    Args:
        quota: The quota.
        prompt_tokens: Tokens of the prompt.
        prompt_pico: What they cost in picodollars; None when unknown.
        token_pico: What a generated token costs, where it is known.

    Raises:
        PermissionDenied: The quota is in money, and no price is known.
    """
    if quota.unit == "tokens":
        return prompt_tokens + 1, FLOOR_TOKENS
    if prompt_pico is None:
        raise PermissionDenied(
            "this key has a budget in usd, and the price of this model is not known; whoever runs "
            "this server sets `price` in its [[models]], or gives the key a budget in tokens",
            code="price_unknown",
            param="model",
        )
    token = max(1, token_pico or 0)
    return prompt_pico + token, FLOOR_TOKENS * token_pico if token_pico else FLOOR_PICO


def no_part(traded: tuple[Claim, Trade]) -> tuple[Claim, Trade]:
    """Return the same for a share whose part has gone, or has been told no."""
    claim, trade = traded
    return claim._replace(part=None), trade


def lacking_of(claim: Claim, standing: Standing) -> SpentError:
    """Return what is wrong where less is left than a claim needs."""
    share, part, least = claim
    return SpentError(
        share.pot,
        limit=share.limit,
        spent=standing.spent + share.spent,
        needed=least + (0 if part is None else part.granted),
    )


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
