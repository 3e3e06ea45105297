"""How running streams hold a budget that many processes share. Pure.

A *pot* is a quota of a key in one window: its whole life, one day or one month. The database
knows what of it is spent, and what each process holds by a lease. A process's `Share` of a pot
is divided among its streams; a stream's `Part` grows block by block while the stream runs.

**The promise.** spent + all leases never pass the quota by a grant: a process is granted only
what is left, and streams are granted only what their process holds. So whatever is granted is
there, in any order of grants, bookings, returns and deaths. What is used above a grant (the rest
of one delta, reasoning nobody saw) is booked all the same; then less than nothing is left, and
nothing is granted until there is.

**What is held back.** The first streams must not take all, and a process must not sit on what
others need: a block is a 64th of what is left and a share a 16th, each between a floor and a
multiple of it. So far from the end a stream comes back once in thousands of tokens, and near it
every `FLOOR_TOKENS`.

**A part of an ended window** is never used again by others, so what a stream was granted then
counts as used there when it goes on in the next window: its grant never shrinks.
"""

from __future__ import annotations

from typing import NamedTuple

from deltaweir.allowances import Period, Unit

FLOOR_TOKENS = 32
"""Tokens of the smallest block."""
FLOOR_PICO = 100_000_000
"""Picodollars of the smallest block where no token's price is known: 10 tokens at $10 a million."""

_BLOCK_OF, _SHARE_OF = 64, 16
_MOST_BLOCK, _MOST_SHARE = 128, 2048
"""Floors of the largest block, and of the largest share."""


class Pot(NamedTuple):
    """A quota of a key in one window."""

    key_id: str
    unit: Unit
    period: Period
    began: int
    """When the window began, in seconds since 1970; 0 for a life."""


class Standing(NamedTuple):
    """What the database knows of a pot.

    Attributes:
        spent: What is booked.
        others: What other processes hold.
    """

    spent: int
    others: int


class Trade(NamedTuple):
    """What a process and the database exchange: to be written, then told to the share.

    Attributes:
        spent: What to book.
        lease: What the process holds from then on.
        got: What it was granted of that.
        left: What is left for everybody.
        released: What it no longer holds.
    """

    spent: int
    lease: int
    got: int
    left: int
    released: int


class SpentError(Exception):
    """Less is left of a quota than a request needs.

    Attributes:
        pot: Of which window of which quota.
        limit: The quota's amount.
        spent: What of it is spent.
        needed: How much the request needs in all.
    """

    def __init__(self, pot: Pot, *, limit: int, spent: int, needed: int) -> None:
        super().__init__(pot.key_id)
        self.pot = pot
        self.limit = limit
        self.spent = spent
        self.needed = needed


def block_of(left: int, floor: int) -> int:
    """Return how much a stream asks for at a time."""
    return min(max(left // _BLOCK_OF, floor), floor * _MOST_BLOCK)


def share_of(left: int, floor: int) -> int:
    """Return how much a process may hold beside what its streams have."""
    return min(left // _SHARE_OF, floor * _MOST_SHARE)


class Share:
    """What one process holds of a pot; not for several threads at once.

    Always ``held == free + released + what parts hold``.

    Args:
        pot: Of what.
        limit: The quota's amount.

    Attributes:
        held: The lease, as it was last written.
        free: What of it no stream has.
        released: What of it is to be given back.
        spent: What is used and not booked yet; below zero where it was counted too high.
        left: What everybody else could get, when it was last read.
        floor: The smallest block of the stream that came last.
        streams: How many parts there are.
        used_at: When it was last taken from, in seconds.
    """

    __slots__ = (
        "floor",
        "free",
        "held",
        "left",
        "limit",
        "pot",
        "released",
        "spent",
        "streams",
        "used_at",
    )

    def __init__(self, pot: Pot, limit: int) -> None:
        self.pot = pot
        self.limit = limit
        self.held = self.free = self.released = self.spent = self.left = self.streams = 0
        self.floor = 1
        self.used_at = 0.0

    @property
    def dirty(self) -> bool:
        """Whether the database does not know all."""
        return bool(self.released or self.spent)

    @property
    def over(self) -> bool:
        """Whether nobody needs it any more, and the database knows that."""
        return not (self.streams or self.held or self.spent)

    @property
    def low(self) -> bool:
        """Whether more should be fetched before a stream has to wait; never near the end."""
        ample = share_of(self.left, self.floor)
        return ample >= _MOST_BLOCK // 2 * self.floor and self.free < ample // 2

    def trade(self, standing: Standing, *, least: int = 0, want: int = 0) -> Trade | None:
        """Return what to exchange; None when less than the least is left.

        Args:
            standing: What the database knows of the pot, at this moment.
            least: How much is needed; 0 only books and gives back.
            want: How much is better.
        """
        kept = self.held - self.released
        left = max(0, self.limit - standing.spent - self.spent - standing.others - kept)
        if left < least:
            return None
        got = min(left, max(want, least + share_of(left, self.floor))) if least else 0
        return Trade(self.spent, kept + got, got, left - got, self.released)

    def traded(self, trade: Trade) -> None:
        """Learn that an exchange was written; what happened meanwhile stays to be told."""
        self.held = trade.lease
        self.released -= trade.released
        self.spent -= trade.spent
        self.free += trade.got
        self.left = trade.left

    def give_back(self, keep: int = 0) -> None:
        """Give back what no stream has, but for some."""
        extra = self.free - keep
        if extra > 0:
            self.free -= extra
            self.released += extra


class Part:
    """What one stream holds of a pot; figures are totals since the stream began.

    Args:
        share: The process's share.
        floor: The smallest block; at least 1.

    Attributes:
        granted: What the stream may use.
        used: What of it is used, as far as told.
    """

    __slots__ = ("_since", "floor", "granted", "share", "used")

    def __init__(self, share: Share, floor: int) -> None:
        self.share = share
        self.floor = share.floor = floor
        self.granted = self.used = self._since = 0
        share.streams += 1

    @property
    def block(self) -> int:
        """How much to ask for at a time."""
        return block_of(self.share.left + self.share.free, self.floor)

    @property
    def short(self) -> bool:
        """Whether it is time to ask for more."""
        return self.granted - self.used < self.floor

    def take(self, amount: int, now: float) -> int:
        """Take up to an amount of what is free, and return how much it was.

        Args:
            amount: How much.
            now: Seconds, of any clock.
        """
        got = max(0, min(amount, self.share.free))
        self.share.free -= got
        self.share.used_at = now
        self.granted += got
        return got

    def report(self, used: int) -> None:
        """Book what is used in all; less than before says nothing new."""
        if used <= self.used:
            return
        self.share.spent += used - self.used
        self.share.released += min(used, self.granted) - self.used
        self.used = used
        self.granted = max(self.granted, used)

    def move(self, share: Share) -> None:
        """Go on in another window; all that was granted counts as used in the old one."""
        self.report(self.granted)
        self.share.streams -= 1
        self._since = self.used
        self.share = share
        share.streams += 1

    def end(self, used: int) -> None:
        """Book what was used in all, and give the rest back.

        Args:
            used: The final figure; where it is below one that was told, that is taken back as
                far as it was booked in this window.
        """
        self.report(used)
        too_much = self.used - max(used, self._since)
        if too_much > 0:
            self.share.spent -= too_much
        self.share.free += self.granted - self.used
        self.granted = self.used
        self.share.streams -= 1
        self.share.give_back(keep=share_of(self.share.left, self.floor))
