"""Rates: no more passes than a bucket and its draining allow, and the waits that are told hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.rates import Bucket, duration

MINUTE_MS = 60_000
LIMITS = st.integers(1, 10**6)


@given(
    limit=LIMITS, steps=st.lists(st.tuples(st.integers(0, 90_000), st.integers(0, 5)), max_size=30)
)
def test_no_more_passes_than_the_limit_and_what_drains(
    limit: int, steps: list[tuple[int, int]]
) -> None:
    """In any span of time at most the limit passes, and what drains in that time."""
    bucket, now, passed = Bucket(), 0, list[int]()
    for later, asked in steps:
        now += later
        bucket = bucket.drained(now, limit)
        for _ in range(asked):
            if bucket.remaining(limit):
                bucket = bucket.with_(1)
                passed.append(now)
    for at, first in enumerate(passed):
        for number, last in enumerate(passed[at:], 1):
            assert number <= limit + (last - first) * limit / MINUTE_MS


@given(limit=LIMITS, filled=st.integers(0, 3 * 10**6), units=st.integers(1, 10**6))
def test_who_waits_as_told_finds_room(limit: int, filled: int, units: int) -> None:
    """After the wait there is room, a millisecond before there is none; then it is empty."""
    units = min(units, limit)
    bucket = Bucket().with_(filled)
    wait = bucket.wait_ms(units, limit)
    assert bucket.drained(wait, limit).remaining(limit) >= units
    if wait:
        assert bucket.drained(wait - 1, limit).remaining(limit) < units
    assert bucket.drained(bucket.reset_ms(limit), limit).weight == 0


@given(limit=LIMITS, units=st.integers(0, 2**40), cuts=st.lists(st.integers(0, 10**6), max_size=9))
def test_draining_loses_nothing(limit: int, units: int, cuts: list[int]) -> None:
    """However often it is looked at, as much drains as in one go."""
    often, now = Bucket().with_(units), 0
    for cut in cuts:
        now += cut
        often = often.drained(now, limit)
    assert often.weight == Bucket().with_(units).drained(now, limit).weight


def test_a_clock_that_goes_back_drains_nothing() -> None:
    """And the time from then on counts."""
    bucket = Bucket(at=10_000).with_(60)
    back = bucket.drained(4_000, 60)
    assert back == bucket._replace(at=4_000)
    assert back.drained(5_000, 60).remaining(60) == 1


def test_what_was_taken_too_much_is_put_back() -> None:
    """Never below empty, and never beyond what a database holds."""
    assert Bucket().with_(5).with_(-7) == Bucket()
    assert Bucket().with_(2**60).weight < 2**63


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0ms"),
        (20, "20ms"),
        (1000, "1s"),
        (8640, "8.64s"),
        (59_999, "59.999s"),
        (60_000, "1m0s"),
        (360_000, "6m0s"),
        (72_500, "1m12.5s"),
        (3_600_000, "1h0m0s"),
        (90_061_000, "25h1m1s"),
    ],
)
def test_times_are_written_as_openai_does(milliseconds: int, text: str) -> None:
    """The units that are needed, without blanks."""
    assert duration(milliseconds) == text
