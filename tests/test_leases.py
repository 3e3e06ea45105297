"""Leases: however streams, processes and deaths interleave, no more is granted than there is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deltaweir.leases import FLOOR_TOKENS, Part, Pot, Share, Standing, block_of, share_of

LIMIT = 5000


class World:
    """A database, two processes, and windows that follow each other."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.window = 0
        self.spent: dict[int, int] = {}
        self.leases: dict[tuple[int, int], int] = {}
        self.shares: dict[tuple[int, int], Share] = {}
        self.parts: list[tuple[int, Part]] = []
        self.over: dict[int, int] = {}

    def share(self, process: int, window: int) -> Share:
        """Return what a process holds of a window."""
        pot = Pot("k", "tokens", "day", window)
        return self.shares.setdefault((process, window), Share(pot, self.limit))

    def trip(self, process: int, share: Share, *, least: int = 0, want: int = 0) -> bool:
        """Exchange with the database; return whether there was enough."""
        window = share.pot.began
        others = sum(
            amount
            for (whose, when), amount in self.leases.items()
            if (whose, when) != (process, window) and when == window
        )
        trade = share.trade(Standing(self.spent.get(window, 0), others), least=least, want=want)
        if trade is None:
            return False
        self.spent[window] = max(0, self.spent.get(window, 0) + trade.spent)
        self.leases[process, window] = trade.lease
        share.traded(trade)
        return True

    def begin(self, process: int, prompt: int) -> None:
        """Begin a stream, or refuse it."""
        share = self.share(process, self.window)
        part = Part(share, FLOOR_TOKENS)
        part.take(prompt + part.block, 0)
        least = prompt + 1 - part.granted
        if least > 0:
            if not self.trip(process, share, least=least, want=least + part.block):
                part.end(0)
                return
            part.take(least + part.block, 0)
        assert part.granted > prompt
        self.parts.append((process, part))

    def more(self, number: int, used: int) -> None:
        """Use what was granted, and ask for more when it runs short."""
        process, part = self.parts[number % len(self.parts)]
        before = part.granted
        part.report(min(part.used + used, part.granted))
        share = self.share(process, self.window)
        if part.short:
            asked = share.free > 0 or self.trip(process, share, least=1, want=part.block)
            if asked:
                if share is not part.share:
                    part.move(share)
                part.take(part.block, 0)
        assert part.granted >= before

    def overshoot(self, number: int, used: int) -> None:
        """Use more than was granted."""
        _, part = self.parts[number % len(self.parts)]
        above = part.granted + used
        window = part.share.pot.began
        self.over[window] = self.over.get(window, 0) + used
        part.report(above)

    def end(self, number: int, back: int) -> None:
        """End a stream, with a final figure that may be lower."""
        _, part = self.parts.pop(number % len(self.parts))
        part.end(max(0, part.used - back) if back else part.used)

    def die(self, process: int) -> None:
        """Kill a process, and let its leases expire."""
        self.parts = [one for one in self.parts if one[0] != process]
        for name in [name for name in self.shares if name[0] == process]:
            del self.shares[name]
        for name in [name for name in self.leases if name[0] == process]:
            del self.leases[name]  # their time is over

    def check(self) -> None:
        """Check that no window grants more than it has, and that all figures add up."""
        for window in {when for _, when in self.shares} | set(self.spent):
            shares = [share for (_, when), share in self.shares.items() if when == window]
            held = sum(amount for (_, when), amount in self.leases.items() if when == window)
            granted = sum(
                part.granted - part.used for _, part in self.parts if part.share.pot.began == window
            )
            used = self.spent.get(window, 0) + sum(share.spent for share in shares)
            assert used + granted <= self.limit + self.over.get(window, 0)
            assert self.spent.get(window, 0) + held <= self.limit + self.over.get(window, 0)
        for (process, window), share in self.shares.items():
            mine = sum(part.granted - part.used for _, part in self.parts if part.share is share)
            assert share.held == share.free + share.released + mine
            assert share.held == self.leases.get((process, window), 0)
            assert share.free >= 0
            assert share.released >= 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.integers(0, 1), st.integers(0, 300)),
        st.tuples(st.just("more"), st.integers(0, 9), st.integers(0, 500)),
        st.tuples(st.just("overshoot"), st.integers(0, 9), st.integers(1, 50)),
        st.tuples(st.just("end"), st.integers(0, 9), st.sampled_from([0, 0, 1, 40])),
        st.tuples(st.just("trip"), st.integers(0, 1), st.integers(0, 1)),
        st.tuples(st.just("idle"), st.integers(0, 1), st.integers(0, 1)),
        st.tuples(st.just("midnight"), st.just(0), st.just(0)),
        st.tuples(st.just("die"), st.integers(0, 1), st.just(0)),
    ),
    max_size=40,
)


def play(world: World, steps: list[tuple[str, int, int]]) -> None:
    """Do what the steps say, and look after each whether all is right."""
    for what, one, other in steps:
        if what in {"more", "overshoot", "end"}:
            if world.parts:
                getattr(world, what)(one, other)
        elif what == "begin":
            world.begin(one, other)
        elif what == "trip":
            share = world.share(one, world.window)
            world.trip(one, share, least=other and int(share.low))
        elif what == "idle":
            world.share(one, world.window).give_back()
        elif what == "midnight":
            world.window += 1
        else:
            world.die(one)
        world.check()


@settings(max_examples=150, deadline=None)
@given(limit=st.sampled_from([1, 40, 400, LIMIT, 10**7]), steps=STEPS)
def test_no_more_is_granted_than_there_is(limit: int, steps: list[tuple[str, int, int]]) -> None:
    """Booked, held and granted never pass the budget, and in the end all is given back."""
    world = World(limit)
    play(world, steps)
    for number in range(len(world.parts)):
        world.end(number, 0)
    for (process, _), share in world.shares.items():
        share.give_back()
        world.trip(process, share)
        assert share.over
        assert not share.dirty
    assert not any(world.leases.values())


@given(limit=st.integers(1, 10**9), others=st.integers(0, 10**9), spent=st.integers(0, 10**9))
def test_a_process_gets_what_is_left_at_most(limit: int, others: int, spent: int) -> None:
    """It gets at least what it needs or nothing, and never more than is left."""
    share = Share(Pot("k", "tokens", "life", 0), limit)
    trade = share.trade(Standing(spent, others), least=10, want=100)
    left = limit - spent - others
    assert (trade is None) is (left < 10)
    if trade is not None:
        assert 10 <= trade.got <= left
        assert trade.left == left - trade.got


def test_the_first_streams_do_not_take_all() -> None:
    """Of a budget of ten blocks ten streams get one each; far from the end blocks are larger."""
    world = World(10 * FLOOR_TOKENS)
    for _ in range(20):
        world.begin(0, 0)
    assert [part.granted for _, part in world.parts] == [33] * 9 + [23]
    assert block_of(10**9, FLOOR_TOKENS) == 128 * FLOOR_TOKENS
    assert block_of(64_000, FLOOR_TOKENS) == 1000
    assert share_of(100, FLOOR_TOKENS) == 6


def test_what_a_stream_leaves_serves_the_next() -> None:
    """What a stream gives back is taken by others of its process without a trip."""
    world = World(10**6)
    world.begin(0, 10)
    ((_, part),) = world.parts
    part.end(20)
    share = part.share
    assert (share.spent, share.streams) == (20, 0)
    again = Part(share, FLOOR_TOKENS)
    assert again.take(again.block, 0) == again.block


def test_less_than_was_told_is_taken_back() -> None:
    """A final figure below what was told is booked as it is; of another day it is not."""
    share = Share(Pot("k", "tokens", "day", 0), LIMIT)
    assert share.trade(Standing(0, 0), least=100, want=100) is not None
    share.held = share.free = 100
    part = Part(share, 10)
    part.take(100, 0)
    part.report(80)
    part.report(70)
    part.end(60)
    assert (share.spent, share.free + share.released) == (60, 100)
    moved = Part(share, 10)
    moved.report(50)
    moved.move(Share(Pot("k", "tokens", "day", 1), LIMIT))
    moved.end(10)
    assert (share.spent, moved.share.spent) == (110, 0)


def test_a_low_share_is_known_while_there_is_plenty() -> None:
    """Far from the end a share that runs low is filled ahead; near it nothing is hoarded."""

    def low(limit: int, **more: Any) -> bool:
        share = Share(Pot("k", "tokens", "life", 0), limit)
        share.floor, share.left = FLOOR_TOKENS, limit
        for name, value in more.items():
            setattr(share, name, value)
        return share.low

    assert low(10**6, free=10)
    assert not low(10**6, free=10**5)
    assert not low(10**4)


@pytest.mark.parametrize("amount", [-5, 0])
def test_taking_nothing_takes_nothing(amount: int) -> None:
    """Amounts below one leave all as it is."""
    share = Share(Pot("k", "tokens", "life", 0), LIMIT)
    share.held = share.free = 10
    assert Part(share, 1).take(amount, 0) == 0
    assert share.free == 10
