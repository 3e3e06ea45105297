"""Limits of keys in a real store: all that holds for a ledger's file, over kills and frosts too."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gateway.keys import test_limits as file
from tests.gateway.keys.test_limits import LIMIT_S, STILL, Crowd, World, admit, end, key
from tests.live.valkeys import Valkey

from deltaweir.gateway.keys.keys import Key
from deltaweir.gateway.keys.limits import Limits
from deltaweir.gateway.keys.trips import Pace
from deltaweir.stores.valkey import ValkeyLine
from deltaweir.stores.valkey_keys import ValkeyKeys
from deltaweir.stores.valkey_leases import ValkeyLeases
from deltaweir.stores.valkey_url import address_of
from deltaweir.stores.versioned_books import fields_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

test_a_key_without_limits_costs_nothing = file.test_a_key_without_limits_costs_nothing
test_a_stream_takes_blocks = file.test_a_stream_takes_blocks_and_gives_the_rest_back
test_a_stream_is_cut_at_the_budget = file.test_a_stream_is_cut_at_the_budget
test_money_counts_prompt_and_answer = file.test_money_counts_prompt_and_answer
test_a_budget_in_money_needs_a_price = file.test_a_budget_in_money_needs_a_price
test_what_is_used_above_a_grant_is_booked = file.test_what_is_used_above_a_grant_is_booked
test_a_prompt_that_is_too_long = file.test_a_prompt_that_is_too_long_for_the_rest
test_a_stream_goes_on_into_the_next_day = file.test_a_stream_goes_on_into_the_next_day
test_streams_go_on_into_the_next_day = file.test_streams_go_on_into_the_next_day_together
test_streams_that_hold_the_rest = file.test_streams_that_hold_the_rest_are_waited_for
test_a_crashed_process_s_leases_return = file.test_a_crashed_process_s_leases_return
test_idle_shares_are_given_back = file.test_idle_shares_are_given_back
test_requests_a_minute = file.test_requests_a_minute
test_tokens_a_minute = file.test_tokens_a_minute
test_a_running_stream_fills_the_rate = file.test_a_running_stream_fills_the_rate
test_streams_share_what_is_at_hand = file.test_a_locked_file_s_streams_share_what_is_at_hand
test_a_reserve_is_there_before = file.test_a_reserve_is_there_before_it_is_needed
test_a_stream_whose_figures_are_lost = file.test_a_stream_whose_figures_are_lost
test_a_thread_books_and_renews = file.test_a_thread_books_and_renews
test_a_share_is_filled_before_it_is_empty = file.test_a_share_is_filled_before_it_is_empty
test_limits_may_be_none = file.test_limits_that_cannot_be_checked_may_be_none
test_a_hundred_threads_share_a_budget = file.test_a_hundred_threads_share_a_budget_for_ten


class Shared(World):
    """A store, the time, and processes that use it."""

    def __init__(self, server: Valkey, prefix: str, stack: contextlib.ExitStack) -> None:
        super().__init__(Path(), stack)
        self.server = server
        self.prefix = prefix
        self._stack = stack
        self.asking = self.line()

    def line(self) -> ValkeyLine:
        """Return a connection."""
        line = ValkeyLine(address_of(self.server.url))
        self._stack.callback(line.close)
        return line

    def process(self, holder: str = "a", pace: Pace = STILL, *, lenient: bool = False) -> Limits:
        """Return the limits of another machine, as far as the store can tell."""
        store = ValkeyLeases(self.line(), prefix=self.prefix, holder=holder)
        more_s = max(pace.more_s, 0.05)  # for a machine that has other things to do
        pace = msgspec.structs.replace(pace, turn_s=1.0, patient_s=0.1, more_s=more_s)
        limits = Limits(store, clock=lambda: self.now, pace=pace, lenient=lenient)
        self._stack.callback(limits.close, 0.0)
        return limits

    def spent(self, key: Key) -> list[int]:
        """Return what is booked of a key's budgets now."""
        keys = ValkeyKeys(self.asking, prefix=self.prefix)
        return keys.spent(key.id, key.terms.quotas, self.now)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Freeze the server."""
        with self.server.frozen():
            yield

    def leased(self) -> int:
        """Return what all processes hold together, and have not let expire."""
        total = 0
        for name in self.asking.call("KEYS", f"{{{self.prefix}}}:pot:*", wait_s=5):
            fields = fields_of(self.asking.call("HGETALL", name, wait_s=5))
            for field, value in fields.items():
                amount, _, expires = value.partition(b" ")
                if field.startswith(b"@") and int(expires) > 1000 * self.now:
                    total += int(amount)
        return total


@pytest.fixture(name="server", scope="module")
def server_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Return a server for all tests but those in which it is killed."""
    with Valkey(tmp_path_factory.mktemp("valkey"), append_only=False) as server:
        yield server


@pytest.fixture(name="mortal")
def mortal_fixture(tmp_path: Path) -> Iterator[Shared]:
    """Return a world in a server that keeps what it answered."""
    with Valkey(tmp_path / "valkey") as server, contextlib.ExitStack() as stack:
        yield Shared(server, "mortal", stack)


@pytest.fixture(name="world")
def world_fixture(server: Valkey, tmp_path: Path) -> Iterator[Shared]:
    """Return a world of its own in that server."""
    with contextlib.ExitStack() as stack:
        yield Shared(server, tmp_path.name, stack)


class Mortal(Crowd):
    """Two machines with streams of one key, on a server that dies and keeps what it answered."""

    world: Shared

    def killed(self, process: int, number: int) -> None:
        """Have streams ask for more while there is no server."""
        with self.world.server.gone():
            for _ in range(3):
                self.more(process, number)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["admit", "more", "more", "locked", "killed", "end", "wait", "die"]),
            st.integers(0, 1),
            st.integers(0, 400),
        ),
        max_size=25,
    ),
    limit=st.sampled_from([50, 500, 10**6]),
)
def test_however_it_is_interleaved(
    mortal: Shared, steps: list[tuple[str, int, int]], limit: int
) -> None:
    """No step books and grants more than there is, over crashes, frosts and lost answers."""
    world = mortal
    world.asking.call("FLUSHDB", wait_s=5)
    crowd = Mortal(world, limit)
    for what, process, number in steps:
        if crowd.streams or what not in {"more", "locked", "killed", "end"}:
            getattr(crowd, what)(process, number)
        crowd.check(limit)
    while crowd.streams:
        crowd.end(0, 0)
    for limits in crowd.processes:
        assert limits.close(LIMIT_S)
    world.now += 31
    assert world.leased() == 0


@pytest.mark.parametrize("lost", [True, False])
def test_an_answer_that_is_lost(world: Shared, lost: bool) -> None:
    """What it was about is booked once, whether the server heard of it or not."""
    limits, who = world.process(), key("1000tok")
    stream = admit(limits, who)
    end(stream, 10, 20)
    if lost:
        with world.server.frozen():
            assert not limits.flush(0.06)
    assert limits.flush(LIMIT_S)
    assert world.spent(who) == [30]
    assert limits.close(LIMIT_S)
    assert world.leased() == 0
