"""Limits of keys: they hold under threads, processes and deaths, and refuse with what helps."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deltaweir.allowances import KeyTerms, quotas_of, window_end
from deltaweir.errors import InvalidRequest, PermissionDenied, ServiceUnavailable
from deltaweir.gateway.keys.keys import Key
from deltaweir.gateway.keys.limits import Allowance, LimitReached, Limits
from deltaweir.gateway.keys.trips import Pace, Rest, Trips
from deltaweir.leases import FLOOR_TOKENS
from deltaweir.meter.budget import NO_LIMIT, Limit
from deltaweir.stores.failures import LedgerBusy
from deltaweir.stores.sqlite_key_leases import SqliteLeases
from deltaweir.stores.sqlite_keys import SqliteKeys

NOON = 1_795_521_600.0  # of a day in UTC
DAY = 86_400.0
LIMIT_S = 10.0
STILL = Pace(look_s=3600, gather_s=3600, admit_s=0.05, more_s=0.005)
"""Nothing is written by itself."""


class World:
    """A file, the time, and processes that use it."""

    def __init__(self, path: Path, stack: contextlib.ExitStack) -> None:
        self.path = path
        self.now = NOON
        self._stack = stack

    def process(self, holder: str = "a", pace: Pace = STILL, *, lenient: bool = False) -> Limits:
        """Return the limits of another process, as far as the file can tell."""
        store = SqliteLeases(self.path, holder=holder)
        limits = Limits(store, clock=lambda: self.now, pace=pace, lenient=lenient)
        self._stack.callback(limits.close, 0.0)
        return limits

    def spent(self, key: Key) -> list[int]:
        """Return what is booked of a key's budgets now."""
        with SqliteKeys(self.path) as keys:
            return keys.spent(key.id, key.terms.quotas, self.now)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the file, as a process that writes."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield

    def leased(self) -> int:
        """Return what all processes hold together."""
        with contextlib.closing(sqlite3.connect(self.path)) as file:
            return int(file.execute("SELECT total(amount) FROM key_leases").fetchone()[0])


@pytest.fixture(name="world")
def world_fixture(tmp_path: Path) -> Iterator[World]:
    """Return a world whose processes end with the test."""
    with contextlib.ExitStack() as stack:
        yield World(tmp_path / "a.db", stack)


def key(*budgets: str, key_id: str = "4f1c09ab27de", **terms: Any) -> Key:
    """Return a key with limits."""
    quotas = quotas_of(budgets) if budgets else ()
    return Key(id=key_id, name="n", terms=KeyTerms(quotas=quotas, **terms))


def admit(
    limits: Limits, who: Key, tokens: int = 10, pico: int | None = 0, **more: Any
) -> Allowance:
    """Admit a stream."""
    return limits.admit(who, stream_id="s", prompt_tokens=tokens, prompt_pico=pico, **more)


def end(allowance: Allowance, prompt: int, completion: int, pico: int | None = None) -> None:
    """End a stream."""
    allowance.close(prompt_tokens=prompt, completion_tokens=completion, cost_pico=pico)


def test_a_key_without_limits_costs_nothing(world: World) -> None:
    """It has no headers and no bounds, and goes on when the file cannot be used."""
    limits = world.process()
    limits.close()
    allowance = admit(limits, key())
    assert (allowance.granted, allowance.headers) == (NO_LIMIT, [])
    assert allowance.more(10**9, 10**9) == NO_LIMIT
    end(allowance, 1, 1)
    assert allowance.stream_id == "s"


def test_a_stream_takes_blocks_and_gives_the_rest_back(world: World) -> None:
    """Prompt and answer count, it is granted more as it goes on, and what it used is booked."""
    limits, who = world.process(), key("1000tok")
    allowance = admit(limits, who, tokens=100)
    granted = allowance.granted.tokens or 0
    assert granted == FLOOR_TOKENS == allowance.more(0, None).tokens
    assert granted < (allowance.more(granted, None).tokens or 0) <= 2 * FLOOR_TOKENS
    end(allowance, 100, 40)
    end(allowance, 999, 999)
    assert limits.flush(LIMIT_S)
    assert world.spent(who) == [140]
    world.now += 2
    assert limits.close(LIMIT_S)
    assert world.leased() == 0


def test_a_stream_is_cut_at_the_budget(world: World) -> None:
    """Alone it gets all there is, to the last token, and then no more."""
    limits, who = world.process(), key("500tok", "2000tok/day")
    allowance = admit(limits, who, tokens=100)
    granted, before = allowance.granted.tokens or 0, 0
    while granted != before:
        before, granted = granted, allowance.more(granted, None).tokens or 0
    assert granted == 400
    end(allowance, 100, 400)
    limits.flush(LIMIT_S)
    assert world.spent(who) == [500, 500]
    with pytest.raises(LimitReached, match="budget of this key, 500tok, is spent") as refused:
        admit(limits, who)
    assert (refused.value.status, refused.value.code) == (429, "insufficient_quota")
    assert refused.value.headers == [(b"x-should-retry", b"false")]


def test_money_counts_prompt_and_answer(world: World) -> None:
    """Blocks are made for the price of a token; what it cost is booked."""
    limits, who = world.process(), key("0.01usd")
    allowance = admit(limits, who, pico=10**9, token_pico=10**6)
    assert allowance.granted == Limit(pico=10**9 + 10**6 - 1 + 10**10 // 64)
    assert allowance.more(5, 11 * 10**8).pico == allowance.granted.pico
    end(allowance, 10, 500, 15 * 10**8)
    limits.flush(LIMIT_S)
    assert world.spent(who) == [15 * 10**8]
    end(admit(limits, who, pico=10**9), 10, 500, None)
    limits.flush(LIMIT_S)
    assert world.spent(who) == [25 * 10**8]  # nobody knew more than the prompt's price


def test_a_budget_in_money_needs_a_price(world: World) -> None:
    """Without a price there is no telling what is spent; what is free needs no money."""
    limits, who = world.process(), key("0.00001usd")
    with pytest.raises(PermissionDenied, match="`price`") as refused:
        admit(limits, who, pico=None)
    assert (refused.value.status, refused.value.code) == (403, "price_unknown")
    spent = admit(limits, who, pico=10**6)
    end(spent, 1, 1, 10**8)
    limits.flush(LIMIT_S)
    with pytest.raises(LimitReached):
        admit(limits, who, pico=10**6)
    assert admit(limits, who, pico=0, token_pico=0).granted == NO_LIMIT


def test_what_is_used_above_a_grant_is_booked(world: World) -> None:
    """Then less than nothing is left, and the next stream is refused."""
    limits, who = world.process(), key("100tok/day")
    allowance = admit(limits, who)
    allowance.more(150, None)
    end(allowance, 10, 170)
    limits.flush(LIMIT_S)
    assert world.spent(who) == [180]
    with pytest.raises(LimitReached, match="whole again at 2026-11-25 00:00 UTC") as refused:
        admit(limits, who)
    assert refused.value.retry_after_s == DAY / 2
    world.now += DAY / 2
    assert admit(limits, who).granted.tokens


def test_a_prompt_that_is_too_long_for_the_rest(world: World) -> None:
    """The error says how much is left; nothing is taken by it."""
    limits, who = world.process(), key("100tok/month")
    with pytest.raises(LimitReached, match="100tok left, too little for this prompt") as refused:
        admit(limits, who, tokens=100)
    assert refused.value.retry_after_s == window_end("month", 1_793_491_200) - NOON  # type: ignore[operator]
    limits.flush(LIMIT_S)
    assert world.leased() == 0
    assert admit(limits, who, tokens=99).granted.tokens == 1


def test_a_stream_goes_on_into_the_next_day(world: World) -> None:
    """What it takes after midnight is the new day's; what it had before stays the old one's."""
    limits, who = world.process(), key("100tok/day")
    world.now = NOON + DAY / 2 - 1
    allowance = admit(limits, who, tokens=50)
    granted = allowance.granted.tokens
    assert granted == FLOOR_TOKENS
    world.now += 2
    assert (allowance.more(granted, None).tokens or 0) > granted
    end(allowance, 50, granted + 5)
    limits.flush(LIMIT_S)
    assert world.spent(who) == [5]
    world.now -= 2
    assert world.spent(who) == [50 + granted]


def test_streams_go_on_into_the_next_day_together(world: World) -> None:
    """What one has fetched of the new day is at hand for the next, were the file locked."""
    limits, who = world.process(), key("20000tok/day")
    world.now = NOON + DAY / 2 - 1
    streams = [admit(limits, who) for _ in range(2)]
    world.now += 2
    granted = [one.granted.tokens or 0 for one in streams]
    streams[0].more(granted[0], None)
    with world.locked():
        assert (streams[1].more(granted[1], None).tokens or 0) > granted[1]
    for one, used in zip(streams, granted, strict=True):
        end(one, 10, used + 3)
    limits.flush(LIMIT_S)
    assert world.spent(who) == [6]


def test_streams_that_hold_the_rest_are_waited_for(world: World) -> None:
    """Another process's share is not to be had until it is given back or its time is over."""
    one, other, who = world.process("a"), world.process("b"), key("60tok")
    running = admit(one, who, tokens=20)
    assert running.granted.tokens == FLOOR_TOKENS
    with pytest.raises(LimitReached, match="streams that run hold") as refused:
        admit(other, who, tokens=20)
    assert (refused.value.code, refused.value.retry_after_s) == ("insufficient_quota", 1)
    end(running, 20, 5)
    one.flush(LIMIT_S)
    assert admit(other, who, tokens=20).granted.tokens == 60 - 25 - 20


def test_a_crashed_process_s_leases_return(world: World) -> None:
    """After their time; those of the living are renewed, and hold."""
    dead, alive, who = world.process("a"), world.process("b"), key("100tok", "200tok/day")
    admit(dead, who, tokens=40)
    held = admit(alive, who, tokens=10)
    for _ in range(4):
        world.now += 9
        alive.flush(LIMIT_S)
    assert admit(alive, who, tokens=50).granted.tokens == 100 - 28 - 50
    assert held.granted.tokens == 18
    end(held, 10, 18)
    with pytest.raises(LimitReached, match="left, too little for this prompt"):
        admit(alive, who, tokens=72)


def test_idle_shares_are_given_back(world: World) -> None:
    """What no stream has taken for a second is there for others, but for what one takes next."""
    one, other, who = world.process("a"), world.process("b"), key("1000000tok")
    allowance = admit(one, who)
    assert world.leased() == 11 + 10**6 // 16
    world.now += 0.5
    one.flush(LIMIT_S)
    assert world.leased() == 11 + 10**6 // 16
    world.now += 3601  # the look is made once in an hour here
    one.flush(LIMIT_S)
    granted = allowance.granted.tokens or 0
    assert world.leased() == 10 + granted + (10**6 - 11 - 10**6 // 16) // 64
    end(admit(other, who), 0, 0)
    with world.locked():
        assert (allowance.more(granted, None).tokens or 0) > granted
    end(allowance, 10, granted)
    world.now += 3601
    for limits in (one, other):
        limits.flush(LIMIT_S)
    assert world.leased() == 0


def test_requests_a_minute(world: World) -> None:
    """The headers say what is left, as OpenAI's do; a refusal says when to come back."""
    limits, who = world.process(), key(rpm=2)
    assert dict(admit(limits, who).headers) == {
        b"x-ratelimit-limit-requests": b"2",
        b"x-ratelimit-remaining-requests": b"1",
        b"x-ratelimit-reset-requests": b"30s",
    }
    admit(limits, who)
    with pytest.raises(
        LimitReached, match="2 requests a minute: 0 are left; ask again in 30s"
    ) as refused:
        admit(limits, who)
    assert (refused.value.status, refused.value.code) == (429, "rate_limit_exceeded")
    assert dict(refused.value.headers) == {
        b"x-ratelimit-limit-requests": b"2",
        b"x-ratelimit-remaining-requests": b"0",
        b"x-ratelimit-reset-requests": b"1m0s",
        b"retry-after": b"30",
        b"retry-after-ms": b"30000",
    }
    world.now += 30
    admit(world.process("b"), who)
    with pytest.raises(LimitReached):
        admit(limits, who)


def test_tokens_a_minute(world: World) -> None:
    """Prompts count at once, answers when they are told; no stream is cut for them."""
    limits, who = world.process(), key(tpm=100)
    allowance = admit(limits, who, tokens=30)
    assert allowance.granted == NO_LIMIT
    assert dict(allowance.headers)[b"x-ratelimit-remaining-tokens"] == b"70"
    assert dict(allowance.headers)[b"x-ratelimit-reset-tokens"] == b"18s"
    end(allowance, 32, 18)
    assert dict(admit(limits, who, tokens=10).headers)[b"x-ratelimit-remaining-tokens"] == b"40"
    limits.flush(LIMIT_S)
    with pytest.raises(LimitReached, match="40 are left, and this prompt has 70; ask again in 18s"):
        admit(world.process("b"), who, tokens=70)
    with pytest.raises(LimitReached, match="alone has 101; shorten it") as refused:
        admit(limits, who, tokens=101)
    assert refused.value.retry_after_s is None
    running = admit(limits, who, tokens=0)
    end(running, 0, 300)
    limits.flush(LIMIT_S)
    with pytest.raises(LimitReached, match="0 are left") as refused:
        admit(limits, who, tokens=1)
    assert refused.value.retry_after_s == pytest.approx(0.6 * 261)


def test_a_running_stream_fills_the_rate(world: World) -> None:
    """What it tells on its way is in the rate before it ends, and counts once."""
    limits, who = world.process(), key("10000tok", tpm=100)
    allowance = admit(limits, who, tokens=10)
    allowance.more(40, None)
    assert dict(admit(limits, who, tokens=0).headers)[b"x-ratelimit-remaining-tokens"] == b"50"
    end(allowance, 10, 50)
    assert dict(admit(limits, who, tokens=0).headers)[b"x-ratelimit-remaining-tokens"] == b"40"


def test_a_refused_request_takes_nothing(world: World) -> None:
    """Neither a rate nor a budget is touched by what another limit refuses."""
    limits = world.process()
    who = key("100tok", "30tok/day", rpm=1)
    with pytest.raises(LimitReached, match="30tok a day"):
        admit(limits, who, tokens=40)
    admit(limits, who, tokens=5)
    with pytest.raises(LimitReached, match="requests a minute"):
        admit(limits, who, tokens=5)
    limits.flush(LIMIT_S)
    with contextlib.closing(sqlite3.connect(world.path)) as file:
        assert {row[0] for row in file.execute("SELECT amount FROM key_leases")} == {30, 37}


def test_a_locked_file_lets_nobody_in(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A request is refused with a 503, a running stream keeps what it has; then all goes on."""
    limits, who = world.process(), key("100tok")
    running = admit(limits, who)
    with contextlib.closing(sqlite3.connect(world.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceUnavailable, match="ask again in a second") as refused:
            admit(limits, key("5tok", key_id="0" * 12), tokens=1)
        assert refused.value.status == 503
        assert str(world.path) not in str(refused.value)
        assert running.more(32, None) == running.granted == Limit(tokens=32)
        end(running, 10, 32)
        assert not limits.flush(0.06)
    assert str(world.path) in caplog.text
    assert limits.flush(LIMIT_S)
    assert world.spent(who) == [42]


def test_limits_that_cannot_be_checked_may_be_none(world: World) -> None:
    """Streams begin and go on block by block, all is booked later, and then limits hold again."""
    limits, who = world.process(lenient=True), key("1000tok", "1usd", rpm=1, tpm=2000)
    running = admit(limits, who, pico=10**9)
    with world.locked():
        begun = [admit(limits, who, pico=10**9) for _ in range(2)]
        assert [one.headers for one in begun] == [[], []]
        assert limits.unchecked == 2
        for one in (running, *begun):
            used = 0
            while used < 300:
                used, before = one.granted.tokens or 0, used
                assert used > before
                assert (one.more(used, 10**9 + 10**6).pico or 0) > 10**9 + 10**6
        (first, second), last = begun, running.granted.tokens or 0
        end(first, 10, 300, 2 * 10**9)
    limits.flush(LIMIT_S)  # the rest is over with the lock
    used = second.granted.tokens or 0
    while (granted := second.more(used, 10**9).tokens or 0) > used:
        used = granted  # what is left of the budget, and no more
    end(second, 10, used, 2 * 10**9)
    end(running, 10, last, 2 * 10**9)
    limits.flush(LIMIT_S)
    assert world.spent(who) == [310 + 10 + used + 10 + last, 6 * 10**9]
    assert world.spent(who)[0] >= 1000
    with pytest.raises(LimitReached):
        admit(limits, who, pico=10**9)


def test_streams_wait_once_for_a_locked_file(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing is at hand the first waits its moment, and those that follow not at all."""
    limits = world.process(pace=Pace(look_s=3600, gather_s=3600, more_s=0.25))
    who = key("2000tok")
    streams = [admit(limits, who) for _ in range(20)]
    with world.locked():
        began, before = time.monotonic(), 0
        while before != (granted := streams[0].granted.tokens or 0):
            before = granted
            streams[0].more(granted, None)
        for one in streams:
            had = one.granted
            assert one.more(had.tokens or 0, None) == had
        assert time.monotonic() - began < 2.5
    assert not caplog.records  # nothing is wrong with a file that somebody writes
    limits.flush(LIMIT_S)
    for one in streams:  # the rest is over with the lock
        granted = one.granted.tokens or 0
        assert (one.more(granted, None).tokens or 0) > granted


def test_a_locked_file_s_streams_share_what_is_at_hand(world: World) -> None:
    """Each gets some of it, together they get all of it, and then no token more."""
    limits, who = world.process(), key("20000tok")
    streams = [admit(limits, who) for _ in range(4)]
    limits.flush(LIMIT_S)
    held = world.leased()
    with world.locked():
        before = [one.granted.tokens or 0 for one in streams]
        after = [one.more(one.granted.tokens or 0, None).tokens or 0 for one in streams]
        assert all(more > less for more, less in zip(after, before, strict=True))
        while before != after:
            before = after
            after = [one.more(one.granted.tokens or 0, None).tokens or 0 for one in streams]
    assert sum(after) + 4 * 10 == held
    for one, used in zip(streams, after, strict=True):
        end(one, 10, used)
    limits.flush(LIMIT_S)
    assert world.spent(who) == [held]


def test_a_reserve_is_there_before_it_is_needed(world: World) -> None:
    """Once half of what is at hand is taken the next turn fetches more, until the budget is low."""
    limits, who = world.process(), key("20000tok")
    allowance, used = admit(limits, who), 0
    for _ in range(20):
        used = allowance.granted.tokens or 0
        allowance.more(used, None)
        limits.flush(LIMIT_S)
        with world.locked():
            granted = allowance.granted.tokens or 0
            assert (allowance.more(granted, None).tokens or 0) > granted


def test_a_rest_grows_while_it_is_needed() -> None:
    """A file that was locked is left alone for a tenth of a second, then longer, up to one."""
    rest = Rest()
    assert not rest.lasts(0.0)
    now, lengths = 5.0, []
    for _ in range(6):
        rest.begin(now)
        rest.begin(now)  # others find the same
        began = now
        while rest.lasts(now):
            now += 0.025
        lengths.append(round(now - began, 1))
    assert lengths == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    rest.begin(now)
    rest.end()
    assert not rest.lasts(now)
    rest.begin(now)
    assert not rest.lasts(now + 0.1)


def test_a_stream_whose_figures_are_lost(world: World) -> None:
    """What was told of it is booked, and at least the prompt; nothing is held any more."""
    limits, who = world.process(), key("1000tok", "1usd")
    silent, told = (admit(limits, who, pico=10**9) for _ in range(2))
    told.more(20, 3 * 10**9)
    for one in (silent, told, told):
        one.close_uncounted()
    end(told, 500, 500, 10**12)
    limits.flush(LIMIT_S)
    assert world.spent(who) == [10 + 30, 4 * 10**9]
    assert limits.close(LIMIT_S)
    assert world.leased() == 0
    admit(limits, key()).close_uncounted()


def test_a_file_without_its_tables_lets_nobody_in(world: World) -> None:
    """Nor does one that is gone."""
    limits = world.process()
    with contextlib.closing(sqlite3.connect(world.path)) as hand:
        hand.execute("DROP TABLE key_rates")
    with pytest.raises(ServiceUnavailable):
        admit(limits, key(rpm=5))


def test_a_thread_books_and_renews(world: World) -> None:
    """What a stream used is in the file within moments, without anybody waiting for it."""
    limits, who = world.process(pace=Pace(gather_s=0.001)), key("100tok")
    allowance = admit(limits, who)
    end(allowance, 10, 7)
    _until(lambda: world.spent(who) == [17])
    assert limits.close(LIMIT_S)
    assert limits.close(LIMIT_S)
    with pytest.raises(ServiceUnavailable):
        admit(limits, who)


def _until(condition: Any) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    pytest.fail("waited too long")


def test_the_thread_goes_on_after_a_lock(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """What could not be booked is booked when it can be, and the log says so once."""
    limits, who = world.process(pace=Pace(gather_s=0.001)), key("100tok")
    allowance = admit(limits, who)
    with contextlib.closing(sqlite3.connect(world.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        end(allowance, 10, 7)
        _until(lambda: "cannot be checked" in caplog.text)
    _until(lambda: world.spent(who) == [17])
    assert caplog.text.count("cannot be checked") == 1


def test_a_share_is_filled_before_it_is_empty(world: World) -> None:
    """Far from the end a stream that goes on hardly ever waits for the file."""
    limits, who = world.process(pace=Pace(gather_s=0.001)), key("10000000tok")
    allowance = admit(limits, who)
    before = world.leased()
    used = 0
    while used < 60_000:
        assert allowance.more(used, None).tokens != used
        used += 1000
    _until(lambda: world.leased() > before)
    end(allowance, 10, used)


def test_threads_that_work_on_the_file_are_waited_for(world: World) -> None:
    """One after the other; who waits for too long is refused."""
    trips = Trips(SqliteLeases(world.path, holder="a"))
    entered, leave = threading.Event(), threading.Event()

    def work(_books: Any) -> None:
        entered.set()
        leave.wait(LIMIT_S)

    thread = threading.Thread(target=trips.run, args=(work, print), kwargs={"wait_s": LIMIT_S})
    thread.start()
    entered.wait(LIMIT_S)
    with pytest.raises(LedgerBusy, match="this process's threads"):
        trips.run(work, print, wait_s=0.01)
    leave.set()
    trips.run(work, print, wait_s=LIMIT_S)
    thread.join(LIMIT_S)


def test_a_hundred_threads_share_a_budget_for_ten(world: World) -> None:
    """Together they use what there is and no token more; most of those let in are served."""
    limits, who = world.process(pace=Pace()), key("400tok")
    start = threading.Barrier(50)

    def stream(_number: int) -> int:
        start.wait(LIMIT_S)
        try:
            allowance = admit(limits, who)
        except LimitReached:
            return 0
        used = 0
        while used < 30 and allowance.more(used, None).tokens != used:
            used += 1
        end(allowance, 10, used)
        return 10 + used

    with ThreadPoolExecutor(50) as pool:
        used = [*pool.map(stream, range(100))]
    limits.flush(LIMIT_S)
    assert sum(used) <= 400
    assert world.spent(who) == [sum(used)]
    assert sum(one == 40 for one in used) >= 5


PROCESS = """
import sys, time
from deltaweir.allowances import KeyTerms, quotas_of
from deltaweir.gateway.keys.keys import Key
from deltaweir.gateway.keys.limits import Limits, LimitReached
who = Key(id="4f1c09ab27de", name="n", terms=KeyTerms(quotas=quotas_of(["20000tok"])))
limits = Limits.open("sqlite:///" + sys.argv[1])
print("ready", flush=True); sys.stdin.readline()
total = 0
try:
    while True:
        allowance = limits.admit(who, stream_id="s", prompt_tokens=10, prompt_pico=None)
        used = 0
        while used < 90 and (left := allowance.more(used, None).tokens - used):
            used += min(left, 7)
        allowance.close(prompt_tokens=10, completion_tokens=used, cost_pico=None)
        total += 10 + used
except LimitReached:
    pass
limits.close()
print(total, flush=True)
"""


def test_processes_share_a_budget(world: World) -> None:
    """What two processes use together is booked to the token, and is not above the budget."""
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROCESS, str(world.path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(2)
        ]
        for one in running:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        used = [int(one.communicate("\n", timeout=30)[0]) for one in running]
    assert world.spent(key("20000tok")) == [sum(used)]
    assert 19_000 <= sum(used) <= 20_000
    assert world.leased() == 0


class Crowd:
    """Two processes with streams of one key."""

    def __init__(self, world: World, limit: int) -> None:
        self.world = world
        self.who = key(f"{limit}tok")
        self.names = iter(range(1000))
        self.processes = [self.born(), self.born()]
        self.streams: list[tuple[Limits, Allowance, list[int]]] = []

    def born(self) -> Limits:
        """Start a process."""
        return self.world.process(str(next(self.names)))

    def admit(self, process: int, tokens: int) -> None:
        """Begin a stream, if there is enough for it."""
        limits = self.processes[process]
        with contextlib.suppress(LimitReached):
            self.streams.append((limits, admit(limits, self.who, tokens=tokens), [tokens, 0, 0]))

    def more(self, _process: int, number: int) -> None:
        """Use what a stream was granted, and ask for more."""
        _, allowance, used = self.streams[number % len(self.streams)]
        used[1] = min(used[1] + number, allowance.granted.tokens or 0)
        allowance.more(used[1], None)
        used[2] = used[0]  # the prompt is booked with what was generated

    def locked(self, process: int, number: int) -> None:
        """Have streams ask for more while the file is locked."""
        with self.world.locked():
            for _ in range(3):
                self.more(process, number)

    def end(self, _process: int, number: int) -> None:
        """End a stream."""
        _, allowance, (prompt, completion, _) = self.streams.pop(number % len(self.streams))
        end(allowance, prompt, completion)

    def wait(self, _process: int, number: int) -> None:
        """Let time pass, in which the living renew their leases."""
        self.world.now += number / 20
        for limits in self.processes:
            limits.flush(LIMIT_S)

    def die(self, process: int, _number: int) -> None:
        """Kill a process, start another, and let the leases' time pass."""
        gone, self.processes[process] = self.processes[process], self.born()
        self.streams = [stream for stream in self.streams if stream[0] is not gone]
        self.wait(process, 400)
        self.wait(process, 400)

    def check(self, limit: int) -> None:
        """Check that what is booked and what streams may still use is not above the budget."""
        for limits in self.processes:
            limits.flush(LIMIT_S)
        unused = sum(
            (allowance.granted.tokens or 0) - completion + prompt - booked
            for _, allowance, (prompt, completion, booked) in self.streams
        )
        (spent,) = self.world.spent(self.who)
        assert spent + unused <= limit
        assert spent + self.world.leased() <= limit


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["admit", "more", "more", "locked", "end", "wait", "die"]),
            st.integers(0, 1),
            st.integers(0, 400),
        ),
        max_size=25,
    ),
    limit=st.sampled_from([50, 500, 10**6]),
)
def test_however_it_is_interleaved(
    world: World, steps: list[tuple[str, int, int]], limit: int
) -> None:
    """No step books and grants more than there is, over crashes, time and processes."""
    world.path = world.path.with_name(f"{len(list(world.path.parent.iterdir()))}.db")
    crowd = Crowd(world, limit)
    for what, process, number in steps:
        if crowd.streams or what not in {"more", "locked", "end"}:
            getattr(crowd, what)(process, number)
        crowd.check(limit)
    while crowd.streams:
        crowd.end(0, 0)
    for limits in crowd.processes:
        assert limits.close(LIMIT_S)
    world.process("z").flush(LIMIT_S)
    world.now += 31
    with contextlib.closing(sqlite3.connect(world.path)) as file:
        asked = "SELECT total(amount) FROM key_leases WHERE expires > ?"
        assert file.execute(asked, (world.now,)).fetchone() == (0,)


def test_limits_are_opened_by_url(tmp_path: Path) -> None:
    """By the ledger's, which must name a file."""
    with Limits.open(f"sqlite:///{tmp_path}/a.db") as limits:
        assert admit(limits, key(rpm=1)).headers
    with pytest.raises(InvalidRequest):
        Limits.open("sqlite:///:memory:")
