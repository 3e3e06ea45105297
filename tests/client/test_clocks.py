"""Clocks: each runs when it should, and says what to raise."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.client.clocks import Clocks, Deadlines, Timeouts, timeouts_of
from deltaweir.errors import InvalidRequest, StallTimeout


def test_the_defaults() -> None:
    """Without a word from the caller the clocks are those the documents tell."""
    assert timeouts_of() == Timeouts(5, 60, 600, 60, None)


def test_what_a_caller_leaves_out_keeps_its_value() -> None:
    """Names left out keep the base's value; None turns a clock off."""
    base = Timeouts(connect=1, stall=2)
    assert timeouts_of({"stall": None, "total": 9}, base=base) == Timeouts(1, 60, 600, None, 9)
    assert timeouts_of({}, base=base) is base or timeouts_of({}, base=base) == base


def test_timeout_is_the_total() -> None:
    """`timeout` sets the total, also where `timeouts` has one."""
    assert timeouts_of(timeout=30).total == 30
    assert timeouts_of({"total": 10}, timeout=30).total == 30
    assert timeouts_of({"total": 10}).total == 10


WRONG = [True, False, 0, 0.0, -1, math.nan, math.inf, -math.inf, "5", [5], 1e9, 10**400]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:9])
def test_seconds_are_positive_numbers(value: Any) -> None:
    """Anything but seconds above 0 that every platform can wait is refused, by its name."""
    with pytest.raises(InvalidRequest, match=r"for timeouts\['stall'\], expected seconds") as one:
        timeouts_of({"stall": value})
    with pytest.raises(InvalidRequest, match="for timeout, expected seconds") as two:
        timeouts_of(timeout=value)
    assert (one.value.param, two.value.param) == ("timeouts", "timeout")


@pytest.mark.parametrize(
    ("name", "hint"), [("stal", "; did you mean stall?"), ("x", "total"), (5, "total"), (None, "")]
)
def test_an_unknown_clock_is_refused(name: Any, hint: str) -> None:
    """A name nobody knows is refused, with those that exist and the nearest one."""
    with pytest.raises(InvalidRequest, match="connect, headers") as caught:
        timeouts_of({name: 5})
    assert hint in str(caught.value)


@pytest.mark.parametrize("timeouts", ["stall", 5, [("stall", 5)], True])
def test_timeouts_are_a_mapping(timeouts: Any) -> None:
    """Anything but a mapping is refused by its type."""
    with pytest.raises(InvalidRequest, match="seconds by name"):
        timeouts_of(timeouts)


def clocks(**timeouts: float | None) -> Clocks:
    """Return clocks that are off but for those given."""
    off: dict[str, float | None] = dict.fromkeys(Timeouts._fields)
    return Clocks(timeouts_of(off | timeouts))


def test_without_clocks_one_waits_for_ever() -> None:
    """A wait without a clock has no limit; a source that gives up all the same has an error."""
    assert clocks().limit is None
    assert clocks(connect=1).limit is None
    assert isinstance(clocks().error(), StallTimeout)
    assert clocks().error().param is None


def test_before_content_only_its_clock_runs() -> None:
    """Role chunks and signs of life do not reset the clock that waits for content."""
    one = clocks(first_content=10, stall=3)
    assert one.limit == 10
    one.waited(4, chunk=True, content=False)
    one.waited(4, chunk=False, content=False)
    assert one.limit == 2
    assert "no content came within 10 s; raise the timeout 'first_content'" in str(one.error())
    assert one.error().param == "first_content"


def test_the_answer_must_begin_in_time() -> None:
    """Until the answer has begun its own clock runs beside the one for content."""
    one = clocks(headers=5, first_content=20)
    one.waited(4)
    assert one.limit == 1
    one.waited(1)
    assert one.error().param == "headers"
    one.waited(0, answered=True)
    assert one.limit == 15


def test_after_content_only_silence_counts() -> None:
    """A chunk resets the clock between chunks; a heartbeat does not."""
    one = clocks(first_content=10, stall=3)
    one.waited(9, chunk=True, content=True)
    assert one.limit == 3
    one.waited(2, chunk=False, content=True)
    assert one.limit == 1
    one.waited(0.5, chunk=True, content=True)
    assert one.limit == 3
    one.waited(5, chunk=False, content=True)
    assert one.limit == 0
    assert one.error().param == "stall"
    assert "nothing came after the last chunk within 3 s" in str(one.error())


def test_the_total_counts_every_wait() -> None:
    """The total runs before and after content alike, and the shortest clock limits a wait."""
    one = clocks(first_content=10, stall=3, total=11)
    one.waited(9, chunk=True, content=True)
    assert one.limit == 2
    one.waited(2.5, chunk=False, content=True)
    assert one.limit == 0
    assert one.error().param == "total"
    assert "the answer was not whole within 11 s" in str(one.error())


WAIT = st.tuples(st.floats(0, 9), st.booleans(), st.booleans())


@given(st.lists(WAIT), st.floats(0.1, 50), st.floats(0.1, 50), st.floats(0.1, 50))
def test_a_wait_never_has_a_negative_limit(
    waits: list[tuple[float, bool, bool]], first: float, stall: float, total: float
) -> None:
    """However long the waits were, the next has a limit of 0 or more, and an error at hand."""
    one = clocks(first_content=first, stall=stall, total=total)
    for seconds, chunk, content in waits:
        limit = one.limit
        assert limit is not None
        assert 0 <= limit <= total
        one.waited(seconds, chunk=chunk, content=content)
        assert one.error().param in ("first_content", "stall", "total")


# --- what is pushed --------------------------------------------------------------------------


def deadlines(**timeouts: float | None) -> Deadlines:
    """Return deadlines of a request sent at 100 that are off but for those given."""
    off: dict[str, float | None] = dict.fromkeys(Timeouts._fields)
    return Deadlines(timeouts_of(off | timeouts), 100.0)


SECONDS = st.none() | st.integers(1, 40)
MOMENT = st.tuples(
    st.integers(0, 9), st.integers(0, 9), st.sampled_from(["", "answered", "chunk", "content"])
)


@given(SECONDS, SECONDS, SECONDS, SECONDS, st.lists(MOMENT, max_size=12))
def test_deadlines_are_the_clocks_seen_from_their_end(
    headers: int | None,
    first: int | None,
    stall: int | None,
    total: int | None,
    moments: list[tuple[int, int, str]],
) -> None:
    """Whatever comes when, and however long a reader pauses, both name one time and one error."""
    set_to = {"headers": headers, "first_content": first, "stall": stall, "total": total}
    one, other, now = clocks(**set_to), deadlines(**set_to), 100.0
    for waits, pauses, what in moments:
        now += waits
        answered, chunk = what != "", what in {"chunk", "content"}
        one.waited(waits, answered=answered, chunk=chunk, content=what == "content")
        if answered:
            other.answered()
        if chunk:
            other.last = now
        if what == "content":
            other.content()
        if pauses:
            other.pause(now)
            assert other.due is None
            now += pauses
            other.resume(now)
        due, limit = other.due, one.limit
        assert (due is None) == (limit is None)
        if due is not None and limit is not None:
            assert max(0.0, due - now) == limit
            assert (str(other.error()), other.error().param) == (
                str(one.error()),
                one.error().param,
            )


def test_a_pause_within_a_pause_is_one() -> None:
    """A second word changes nothing, nor does one without a pause."""
    one = deadlines(total=10)
    one.resume(104.0)
    one.pause(105.0)
    one.pause(108.0)
    assert one.due is None
    one.resume(109.0)
    one.resume(120.0)
    assert one.due == 114.0
    assert one.error().param == "total"
