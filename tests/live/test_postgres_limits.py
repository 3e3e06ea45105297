"""Limits of keys in PostgreSQL: all that holds for a ledger's file, over kills and frosts too."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, Popen

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gateway.keys import test_limits as file
from tests.gateway.keys.test_limits import LIMIT_S, STILL, Crowd, World, admit, end, key
from tests.live.databases import Postgres, database, postgres_fixture

from deltaweir.errors import ServiceUnavailable
from deltaweir.gateway.config.store import StoreConfig
from deltaweir.gateway.keys.keys import Key
from deltaweir.gateway.keys.limits import LimitReached, Limits
from deltaweir.gateway.keys.trips import OVER_A_NETWORK, Pace
from deltaweir.stores.postgres_keys import PostgresKeys
from deltaweir.stores.postgres_leases import PostgresLeases
from deltaweir.stores.postgres_line import PostgresLine

__all__ = ["database", "postgres_fixture"]

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform == "win32", reason="freezes and kills by signals"),
]

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
    """A database, the time, and processes that use it."""

    def __init__(self, server: Postgres, url: str, stack: contextlib.ExitStack) -> None:
        super().__init__(Path(), stack)
        self.server = server
        self.url = url
        self._stack = stack
        self._asking = self.line()

    def line(self) -> PostgresLine:
        """Return a connection."""
        line = PostgresLine(self.url)
        self._stack.callback(line.close)
        return line

    def process(self, holder: str = "a", pace: Pace = STILL, *, lenient: bool = False) -> Limits:
        """Return the limits of another machine, as far as the database can tell."""
        store = PostgresLeases(self.line(), holder=holder)
        more_s = max(pace.more_s, 0.05)  # for a machine that has other things to do
        pace = msgspec.structs.replace(pace, turn_s=1.0, patient_s=0.1, more_s=more_s)
        limits = Limits(store, clock=lambda: self.now, pace=pace, lenient=lenient)
        self._stack.callback(limits.close, 0.0)
        return limits

    def spent(self, key: Key) -> list[int]:
        """Return what is booked of a key's budgets now."""
        return PostgresKeys(self._asking).spent(key.id, key.terms.quotas, self.now)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Freeze the server."""
        with self.server.frozen():
            yield

    def leased(self) -> int:
        """Return what all processes hold together, and have not let expire."""
        with psycopg.connect(self.url) as hand:
            found = hand.execute(
                "SELECT value FROM deltaweir.key_books, jsonb_each_text(fields)"
                " WHERE name LIKE 'pot:%' AND key LIKE '@%'"
            ).fetchall()
        held = [one.split() for (one,) in found]
        return sum(int(amount) for amount, expires in held if int(expires) > 1000 * self.now)

    def emptied(self) -> None:
        """Forget all."""
        with psycopg.connect(self.url, autocommit=True) as hand:
            hand.execute("TRUNCATE deltaweir.key_books")


@pytest.fixture(name="world")
def world_fixture(postgres: Postgres, database: str) -> Iterator[Shared]:
    """Return a world in a database of its own."""
    with contextlib.ExitStack() as stack:
        yield Shared(postgres, database, stack)


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
        max_size=15,
    ),
    limit=st.sampled_from([50, 500, 10**6]),
)
def test_however_it_is_interleaved(
    world: Shared, steps: list[tuple[str, int, int]], limit: int
) -> None:
    """No step books and grants more than there is, over crashes, frosts and lost answers."""
    world.spent(key("1tok"))
    world.emptied()
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


def test_a_server_that_lost_its_last_moments(world: Shared) -> None:
    """Leases that it has forgotten are written again, before others are granted what is held."""
    limits, who, other = world.process(), key("1000tok"), key(rpm=100, key_id="0" * 12)
    stream = admit(limits, who)
    assert limits.flush(LIMIT_S)
    held = world.leased()
    assert held >= 42
    world.emptied()
    admit(limits, other)
    assert limits.flush(LIMIT_S)
    assert limits.flush(LIMIT_S)
    assert world.leased() >= held
    end(stream, 10, 1)


def test_a_rate_is_exact_under_threads_of_many_processes(world: Shared) -> None:
    """As many requests are let in as a minute has, and none but those are refused for it."""
    who, count = key(rpm=40), 60
    processes = [world.process(str(number), OVER_A_NETWORK) for number in range(4)]

    def ask(number: int) -> bool:
        try:
            admit(processes[number % len(processes)], who)
        except LimitReached:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(count))) == 40


def test_budgets_without_a_circle(world: Shared) -> None:
    """Keys that many processes use at once, several budgets each, never wait for one another."""
    whose = [key("9000tok", "9000tok/day", rpm=10**6, key_id=f"{one:012x}") for one in range(3)]
    processes = [world.process(str(number), OVER_A_NETWORK) for number in range(4)]

    def work(number: int) -> int:
        limits, used = processes[number % len(processes)], 0
        for turn in range(10):
            allowance = admit(limits, whose[(number + turn) % len(whose)])
            allowance.more(20, None)
            end(allowance, 10, 20)
            used += 30
        return used

    with ThreadPoolExecutor(8) as pool:
        used = sum(pool.map(work, range(8)))
    for limits in processes:
        assert limits.flush(LIMIT_S)
    assert sum(world.spent(one)[0] for one in whose) == used
    assert sum(world.spent(one)[1] for one in whose) == used
    asked = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with psycopg.connect(world.url) as hand:
        assert hand.execute(asked).fetchone() == (0,)


def test_many_keys_of_many_processes_are_booked_in_batches(world: Shared) -> None:
    """Though all of them are written by others all the time, in one transaction or another."""
    whose = [key("90000tok", key_id=f"{one:012x}") for one in range(30)]
    pace = msgspec.structs.replace(OVER_A_NETWORK, renew_s=0.05, look_s=0.01, gather_s=0.01)
    processes = [world.process(str(number), pace) for number in range(4)]

    def work(limits: Limits) -> int:
        used = 0
        for _ in range(3):
            streams = [admit(limits, who) for who in whose]
            for stream in streams:
                stream.more(20, None)
                end(stream, 10, 20)
                used += 30
        return used

    with ThreadPoolExecutor(4) as pool:
        used = sum(pool.map(work, processes))
    for limits in processes:
        assert limits.close(LIMIT_S)
    assert sum(world.spent(one)[0] for one in whose) == used
    assert world.leased() == 0


PROCESS = file.PROCESS.replace('"sqlite:///" + sys.argv[1]', "sys.argv[1]")


def test_processes_share_a_budget(world: Shared) -> None:
    """What three processes use together is booked to the token, and is not above the budget."""
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-c", PROCESS, world.url]
        running = [
            stack.enter_context(Popen(command, stdin=PIPE, stdout=PIPE, text=True))
            for _ in range(3)
        ]
        for one in running:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        used = [int(one.communicate("\n", timeout=60)[0]) for one in running]
    assert world.spent(key("20000tok")) == [sum(used)]
    assert 19_000 <= sum(used) <= 20_000
    assert world.leased() == 0


def test_limits_are_opened_by_the_configuration(world: Shared) -> None:
    """Closed while the database is away, unless it says that they are open."""
    who = key(rpm=100)
    with (
        Limits.open(world.url) as closed,
        Limits.open(world.url, StoreConfig(limits="open")) as lenient,
    ):
        assert admit(closed, who).headers
        assert admit(lenient, who).headers
        with world.server.gone():
            with pytest.raises(ServiceUnavailable, match="ask again in a second"):
                admit(closed, who)
            assert admit(lenient, who).headers == []
        assert dict(admit(closed, who).headers)[b"x-ratelimit-limit-requests"] == b"100"
