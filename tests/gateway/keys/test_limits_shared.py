"""Limits in a shared store: whatever commands and answers are lost, budgets hold.

The store here is in memory; tests/live has the same with real servers.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.keys.test_limits import LIMIT_S, STILL, Crowd, World, admit, end, key
from tests.stores.lossy import Fate, Line, Server

from deltaweir.errors import ServiceUnavailable
from deltaweir.gateway.keys.keys import Key
from deltaweir.gateway.keys.limits import Limits
from deltaweir.gateway.keys.trips import Pace
from deltaweir.leases import Pot
from deltaweir.stores.valkey_leases import ValkeyLeases
from deltaweir.stores.versioned_books import named


class Shared(World):
    """A store in memory, the time, and processes that use it."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        super().__init__(Path(), stack)
        self.server = Server()
        self.lines: list[Line] = []
        self._ends = stack

    def process(self, holder: str = "a", pace: Pace = STILL, *, lenient: bool = False) -> Limits:
        """Return the limits of another machine, as far as the store can tell."""
        self.lines.append(Line(self.server))
        store = ValkeyLeases(self.lines[-1], prefix="p", holder=holder)
        limits = Limits(store, clock=lambda: self.now, pace=pace, lenient=lenient)
        self._ends.callback(limits.close, 0.0)
        return limits

    def spent(self, key: Key) -> list[int]:
        """Return what is booked of a key's budgets, which are for their lives."""
        pots = [Pot(key.id, one.unit, one.period, 0) for one in key.terms.quotas]
        hashes = [self.server.read(named("p", "pot", *map(str, pot))) for pot in pots]
        return [int(one.get(b"spent", 0)) for one in hashes]

    def leased(self) -> int:
        """Return what all processes hold together, and have not let expire."""
        held = [
            value.split()
            for fields in self.server.hashes.values()
            for field, value in fields.items()
            if field.startswith(b"@")
        ]
        return sum(int(amount) for amount, expires in held if int(expires) > 1000 * self.now)


class Lossy(Crowd):
    """Two machines with streams of one key, and a network that loses what they say."""

    world: Shared

    def fate(self, process: int, fates: list[Fate]) -> None:
        """Let the next commands of a process come to what is said."""
        self.world.lines[process].fates += fates

    def deliver(self) -> None:
        """Let what is late come."""
        for line in self.world.lines:
            line.deliver()


FATES = st.lists(st.sampled_from(["heard", "refused", "unheard", "lost", "late"]), max_size=4)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "more", "more", "end", "wait", "deliver"]),
        st.integers(0, 1),
        st.integers(0, 400),
        FATES,
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, limit=st.sampled_from([50, 500, 10**6]))
def test_however_answers_are_lost(
    steps: list[tuple[str, int, int, list[Fate]]], limit: int
) -> None:
    """No step books and grants more than there is, and in the end each token is booked once."""
    with contextlib.ExitStack() as stack:
        world = Shared(stack)
        crowd, used = Lossy(world, limit), 0
        for what, process, number, fates in steps:
            if what == "deliver":
                crowd.deliver()
                continue
            crowd.fate(process, fates)
            if what == "end" and crowd.streams:
                used += sum(crowd.streams[number % len(crowd.streams)][2][:2])
            if crowd.streams or what not in {"more", "end"}:
                with contextlib.suppress(ServiceUnavailable):
                    getattr(crowd, what)(process, number)
            crowd.check(limit)
        while crowd.streams:
            used += sum(crowd.streams[0][2][:2])
            crowd.end(0, 0)
        for limits in crowd.processes:
            assert limits.close(LIMIT_S)
        crowd.deliver()
        assert world.spent(crowd.who) == [used]
        world.now += 31  # what nobody knows that it was granted frees itself by time
        assert world.leased() == 0


def test_what_was_granted_after_all_lies_at_hand() -> None:
    """A request whose answer was lost is refused, and what it was given serves the next one."""
    with contextlib.ExitStack() as stack:
        world = Shared(stack)
        limits, who = world.process(), key("100tok")
        world.lines[0].fates = ["unheard"]
        with contextlib.suppress(ServiceUnavailable):
            admit(limits, who, tokens=40)
        assert world.leased() == 72
        stream = admit(limits, who, tokens=40)
        assert world.leased() >= 72
        end(stream, 40, 10)
        assert limits.close(LIMIT_S)
        assert world.spent(who) == [50]
        assert world.leased() == 0


def test_leases_that_the_store_lost_are_written_again() -> None:
    """As soon as it is noticed, so that others are not granted what streams still hold."""
    with contextlib.ExitStack() as stack:
        world = Shared(stack)
        limits, who, other = world.process(), key("1000tok"), key("50tok", key_id="0" * 12)
        stream = admit(limits, who)
        assert limits.flush(LIMIT_S)
        held = world.leased()
        assert held >= 42
        world.server.hashes.clear()
        end(admit(limits, other), 1, 1)
        assert limits.flush(LIMIT_S)
        assert limits.flush(LIMIT_S)
        assert world.leased() >= held
        end(stream, 10, 1)


def test_rates_are_filled_once() -> None:
    """Also where it is not known for a while whether they were."""
    with contextlib.ExitStack() as stack:
        world = Shared(stack)
        limits, who = world.process(), key(tpm=1000)
        stream = admit(limits, who, tokens=100)
        world.lines[0].fates = ["unheard", "late", "lost", "refused"]
        end(stream, 100, 50)
        assert limits.flush(LIMIT_S)
        world.lines[0].deliver()
        remaining = dict(admit(limits, who, tokens=1).headers)[b"x-ratelimit-remaining-tokens"]
        assert remaining == b"849"
