"""What this process holds of keys' budgets, between its streams and the file all processes share.

What is in memory is guarded by a lock that is never held while anything waits. The file is
reached by trips, one at a time (`deltaweir.gateway.keys.trips`), so that what a share holds
changes in one place only, from reading it to learning what was written.

Whatever a trip cannot write stays in the shares, and goes with the next one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from deltaweir.allowances import Quota, window_of
from deltaweir.gateway.keys import reserve
from deltaweir.gateway.keys.reserve import Claim, Rated, Work
from deltaweir.gateway.keys.trips import Pace, Trips
from deltaweir.leases import Part, Pot, Share, Trade
from deltaweir.stores.books import Books, LeaseStore

_BATCH = 100
"""Shares of one transaction, so that others wait for a millisecond or two at most."""


class Shares:
    """Divide keys' budgets among this process's streams; from any thread.

    Args:
        store: The file.
        clock: Seconds since 1970, the same for all processes.
        pace: How long things take.

    Attributes:
        wake: Set when something waits to be written.
    """

    def __init__(
        self, store: LeaseStore, *, clock: Callable[[], float] = time.time, pace: Pace = Pace()
    ) -> None:
        self.wake = threading.Event()
        self._trips = Trips(store, turn_s=pace.turn_s)
        self._clock = clock
        self._pace = pace
        self._memory = threading.Lock()
        self._shares: dict[Pot, Share] = {}
        self._dirty: set[Share] = set()
        self._unbooked: dict[tuple[str, int], int] = {}  # tokens, by key and its rate
        self._renew_at = self._look_at = 0.0

    def open(self, key_id: str, wanted: Sequence[tuple[Quota, int, int]]) -> list[Part]:
        """Return a new stream's parts, with as much as this process has at hand.

        Args:
            key_id: The key.
            wanted: Each quota, how much the stream needs at once, and its smallest block.
        """
        now = self._clock()
        parts = []
        with self._memory:
            for quota, needed, floor in wanted:
                part = Part(self._current(key_id, quota, now), floor)
                self._take(part, needed - 1 + part.block, now)
                parts.append(part)
        return parts

    def admit(
        self, key_id: str, lacking: Sequence[tuple[Part, int]], check: Callable[[Books, int], None]
    ) -> None:
        """Get what parts lack, all or nothing; blocks.

        Args:
            key_id: The key.
            lacking: Parts, and how much each needs in all.
            check: Refuses the request by raising. It gets the books, and how many tokens are
                used and not in the key's rate yet; it puts them there.

        Raises:
            SpentError: That much is not left.
            LedgerUnavailable: The file cannot be written, or was locked for too long.
        """
        now = self._clock()
        rated: list[Rated] = []

        def work(books: Books) -> list[tuple[Claim, Trade]]:
            with self._memory:
                rated[:] = [one for one in self._unbooked.items() if one[0][0] == key_id]
                for part, needed in lacking:  # it may have come to hand meanwhile
                    part.take(needed - part.granted, now)
            claims = [Claim(part.share, part, needed - part.granted) for part, needed in lacking]
            check(books, sum(tokens for _, tokens in rated))
            return [(one, self._needed(books, one, now)) for one in claims if one.least > 0]

        self._trip(work, rated, wait_s=self._pace.admit_s)

    def more(self, key_id: str, told: Sequence[tuple[Part, Quota, int]]) -> bool:
        """Book what a stream has used, and give it another block of what it is short of.

        It waits for the file only where this process has nothing at hand, and not even then
        while the file is known to be locked: it returns False then, and else True.

        Args:
            key_id: The key.
            told: Its parts, their quotas, and what is used of each since the stream began.

        Raises:
            LedgerUnavailable: The file cannot be written, or was locked for too long.
        """
        now = self._clock()
        claims = []
        with self._memory:
            for part, quota, used in told:
                part.report(used)
                self._dirty.add(part.share)
                if not part.short:
                    continue
                share = self._current(key_id, quota, now)
                if not self._served(part, share, now):
                    share.streams += 1  # it stays while we ask for it
                    claims.append(Claim(share, part, 1))
        return not claims or self._fetch(claims, now)

    def _fetch(self, claims: Sequence[Claim], now: float) -> bool:
        """Get a running stream what is not at hand, if the file can be reached."""

        def work(books: Books) -> list[tuple[Claim, Trade]]:
            return [(one, trade) for one in claims if (trade := self._traded(books, one, now))]

        try:
            if self._trips.resting:
                return False
            self._trip(work, wait_s=self._pace.more_s)
        finally:
            with self._memory:
                for claim in claims:
                    claim.share.streams -= 1
        return True

    def end(self, told: Iterable[tuple[Part, int]]) -> None:
        """Book what a stream has used in all, and take the rest back; never waits."""
        with self._memory:
            for part, used in told:
                part.end(used)
                self._dirty.add(part.share)
        self.wake.set()

    def rate(self, key_id: str, limit: int, tokens: int) -> None:
        """Book tokens in a key's rate, or below zero take them back; never waits."""
        with self._memory:
            self._unbooked[key_id, limit] = self._unbooked.get((key_id, limit), 0) + tokens
        self.wake.set()

    @property
    def holding(self) -> bool:
        """Whether there is anything to look after."""
        return bool(self._shares or self._unbooked)

    def turn(self, *, last: bool = False) -> None:
        """Write what waits, renew leases and give back what lies idle; blocks.

        Args:
            last: Whether to give back all that no stream has.

        Raises:
            LedgerUnavailable: The file cannot be written; all stays for the next time.
        """
        now = self._clock()
        if self._trips.has_lost():  # or others were granted what streams still hold
            self._renew_at = 0.0
        renew = not now < self._renew_at <= now + self._pace.renew_s  # nor after a set clock
        self._write_rates(now, forget=renew)
        with self._memory:
            if last or not now < self._look_at <= now + self._pace.look_s:
                self._look_at = now + self._pace.look_s
                self._sort_out(now, last=last)
            chosen = [*(self._shares.values() if renew else self._dirty)]
        for at in range(0, len(chosen), _BATCH):
            self._write(chosen[at : at + _BATCH], now, last=last)
        if renew:
            self._renew_at = now + self._pace.renew_s

    def _sort_out(self, now: float, *, last: bool) -> None:
        """Give back what lies idle, and forget the shares that nobody needs."""
        for share in [*self._shares.values()]:
            # while the file is locked that could not be told, and streams may need it
            if last or (self._idle(share, now) and not self._trips.resting):
                share.give_back(0 if last else reserve.kept(share))
            if share.over:
                del self._shares[share.pot]
                self._dirty.discard(share)
            elif share.dirty:
                self._dirty.add(share)

    def _write_rates(self, now: float, *, forget: bool) -> None:
        """Put what is used into the rates, and forget the leases of the dead."""
        rated: list[Rated] = []

        def work(books: Books) -> tuple[()]:
            with self._memory:
                rated[:] = self._unbooked.items()
            for (key_id, limit), tokens in rated:
                bucket = books.bucket(key_id, "tokens").drained(int(1000 * now), limit)
                books.fill(key_id, "tokens", bucket.with_(tokens))
            if forget:
                books.forget_expired(now)
            return ()

        if self._unbooked or forget:
            self._trip(work, rated)

    def _write(self, shares: Sequence[Share], now: float, *, last: bool) -> None:
        """Tell the file what it does not know of shares, and get more where they are low."""

        def work(books: Books) -> list[tuple[Claim, Trade]]:
            trades = []
            for share in shares:
                wanted = share.streams and reserve.runs_low(share) and not self._idle(share, now)
                claim = Claim(share, least=int(bool(wanted and not last)))
                trade = self._traded(books, claim, now) or self._traded(books, Claim(share), now)
                assert trade is not None  # nothing was asked for
                trades.append((claim, trade))
            return trades

        self._trip(work)
        with self._memory:
            self._dirty.difference_update(share for share in shares if not share.dirty)

    def _trip(
        self, work: Work, rated: Sequence[Rated] = (), *, wait_s: float | None = None
    ) -> None:
        """Write all or nothing, and learn what was written; ``rated`` is what rates got."""
        self._trips.run(
            work,
            lambda trades: self._apply(trades, rated),
            # whoever asked was told no, and may have gone: it lies at hand for others
            late=lambda trades: self._apply(map(reserve.no_part, trades), rated),
            wait_s=self._pace.patient_s if wait_s is None else wait_s,
        )

    def _apply(self, trades: Iterable[tuple[Claim, Trade]], rated: Iterable[Rated]) -> None:
        with self._memory:
            now = self._clock()
            for claim, trade in trades:
                share, part, _ = claim
                share.traded(trade)
                if part is None:
                    continue
                if share is not part.share:
                    part.move(share)
                self._take(part, claim.want, now)
            for name, tokens in rated:
                self._unbooked[name] -= tokens
                if not self._unbooked[name]:
                    del self._unbooked[name]

    def _needed(self, books: Books, claim: Claim, now: float) -> Trade:
        trade = self._traded(books, claim, now)
        if trade is None:
            raise reserve.lacking_of(claim, books.standing(claim.share.pot, now))
        return trade

    def _traded(self, books: Books, claim: Claim, now: float) -> Trade | None:
        share = claim.share
        standing = books.standing(share.pot, now)
        with self._memory:
            trade = share.trade(standing, least=claim.least, want=claim.want)
        if trade is not None:
            books.book(share.pot, trade.spent)
            books.hold(share.pot, trade.lease, now + self._pace.lease_s)
        return trade

    def _served(self, part: Part, share: Share, now: float) -> bool:
        """Give a running stream what is at hand; return whether that is anything."""
        if share is not part.share and share.free:
            part.move(share)
        before = part.granted
        if share is part.share:
            self._take(part, reserve.portion(part), now)
        return part.granted > before

    def _take(self, part: Part, amount: int, now: float) -> None:
        """Take what is free, and have more fetched where little is left of it."""
        part.take(amount, now)
        if reserve.runs_low(part.share):  # the next stream shall not have to wait
            self._dirty.add(part.share)
            self.wake.set()

    def _idle(self, share: Share, now: float) -> bool:
        return not 0 <= now - share.used_at <= self._pace.idle_s  # nor after a set clock

    def _current(self, key_id: str, quota: Quota, now: float) -> Share:
        """Return the share of the window that a time lies in."""
        pot = Pot(key_id, quota.unit, quota.period, window_of(quota.period, now))
        share = self._shares.get(pot)
        if share is None:
            share = self._shares[pot] = Share(pot, quota.amount)
            share.used_at = now
            self.wake.set()  # there is something to look after
        return share
