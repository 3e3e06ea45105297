"""Rates between readings: exact where all is known, never below zero, none where nothing is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaweir.accounts import PICODOLLARS
from deltaweir.gateway.live import WINDOW_S, Ended, Live, Pace, Rates

NOW = 1_796_000_000.0


def stream(name: str = "s", tokens: int | None = 0, *, at: float = NOW, **more: Any) -> Live:
    """Return a stream that runs."""
    told: dict[str, Any] = {"model": "m", "started": NOW - 10, "state": "streaming"}
    return Live(stream_id=name, completion_tokens=tokens, at=at, **(told | more))


def test_one_reading_has_no_rates() -> None:
    """The first reading tells no pace, but of a stream the average since its first token."""
    rates = Rates()
    one = stream(tokens=60, first_token_s=4.0)
    assert rates.take(NOW, [one], Ended()) == Pace()
    assert rates.of(one) == 10.0
    assert rates.of(stream("other")) is None


@pytest.mark.parametrize(
    "one",
    [
        stream(tokens=None, first_token_s=4.0),
        stream(tokens=60),
        stream(tokens=0, first_token_s=4.0),
        stream(tokens=60, first_token_s=9.9),
        stream(tokens=60, first_token_s=1.0, state="waiting"),
    ],
    ids=["uncounted", "elsewhere", "nothing yet", "just begun", "waiting"],
)
def test_a_stream_without_a_speed(one: Live) -> None:
    """What is not known, or too young, has none; it is never zero for that."""
    rates = Rates()
    rates.take(NOW, [one], Ended())
    assert rates.of(one) is None


def test_the_pace_of_all() -> None:
    """A running stream counts by what is new of it, one that began by all it has."""
    rates = Rates()
    rates.take(NOW, [stream("a", 10, cost_pico=PICODOLLARS)], Ended(streams=5))
    later = NOW + 2
    live = [
        stream("a", 30, at=later, cost_pico=2 * PICODOLLARS),
        stream("b", 4, at=later, started=NOW + 1, cost_pico=None),
    ]
    pace = rates.take(later, live, Ended(streams=5))
    assert pace == Pace(tokens_per_s=12.0, streams_per_s=0.5, usd_per_hour=1800.0)
    assert rates.of(live[0]) == 10.0


def test_a_stream_that_has_ended_counts_once() -> None:
    """What it had before is not counted again; one between two readings counts whole."""
    rates = Rates()
    rates.take(NOW, [stream("a", 10, cost_pico=10)], Ended(cost_pico=100))
    ended = Ended(streams=2, completion_tokens=10 + 5 + 7, cost_pico=100 + 10 + 5 + 7)
    pace = rates.take(NOW + 1, [], ended)
    assert (pace.tokens_per_s, pace.streams_per_s) == (12.0, 1.0)
    assert pace.usd_per_hour == round(12 / PICODOLLARS * 3600, 6)


def test_what_ends_on_another_machine_takes_nothing_back() -> None:
    """Sums that know nothing of a stream that is gone make no rate negative."""
    rates = Rates()
    rates.take(NOW, [stream("far", 500, here=False), stream("a", 10)], Ended())
    pace = rates.take(NOW + 1, [stream("a", 15, at=NOW + 1)], Ended())
    assert (pace.tokens_per_s, pace.streams_per_s) == (5.0, 0.0)


def test_without_any_known_cost_there_is_none() -> None:
    """An unknown cost is no cost of zero."""
    rates = Rates()
    rates.take(NOW, [stream("a", 10)], Ended())
    assert rates.take(NOW + 1, [stream("a", 20)], Ended()).usd_per_hour is None
    assert rates.take(NOW + 2, [stream("a", 20, cost_pico=0)], Ended()).usd_per_hour == 0.0


def test_a_stream_elsewhere_goes_by_its_checkpoints() -> None:
    """Figures that have not changed since are no standstill; those that have are by their times."""
    rates = Rates()
    for second in range(5):
        at = NOW + second - second % 2  # a checkpoint each two seconds
        one = stream("far", int(at - NOW) * 8, at=at, here=False)
        rates.take(NOW + second, [one], Ended())
    assert rates.of(one) == 8.0


def test_a_stream_that_stands_still_has_a_speed_of_zero() -> None:
    """Nothing for the whole of a window is nothing, whatever its average was."""
    rates = Rates()
    for second in range(int(WINDOW_S) + 2):
        one = stream(tokens=100, at=NOW + second, first_token_s=0.1)
        rates.take(NOW + second, [one], Ended())
    assert rates.of(one) == 0.0


def test_readings_of_long_ago_are_forgotten() -> None:
    """After a pause the pace is not that of the pause; a clock set back starts anew."""
    for moment in (NOW + 100, NOW - 100):
        rates = Rates()
        rates.take(NOW, [stream("a", 10)], Ended())
        assert rates.take(moment, [stream("a", 20, at=moment)], Ended()) == Pace()


COUNTS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans(), st.booleans()), max_size=8
)


@given(streams=COUNTS, seconds=st.floats(0.5, WINDOW_S))
def test_no_token_is_lost_or_counted_twice(
    streams: list[tuple[int, int, bool, bool]], seconds: float
) -> None:
    """However streams begin and end between two readings, the pace has each new token once."""
    before, after, rates = list[Live](), list[Live](), Rates()
    ended, tokens = Ended(streams=3, completion_tokens=999), 0
    for number, (first, more, was_there, ends) in enumerate(streams):
        name, had = str(number), first if was_there else 0
        if was_there:
            before.append(stream(name, had))
        if ends:
            ended = Ended(
                streams=ended.streams + 1, completion_tokens=ended.completion_tokens + had + more
            )
        else:
            after.append(stream(name, had + more, at=NOW + seconds))
        tokens += more
    rates.take(NOW, before, Ended(streams=3, completion_tokens=999))
    pace = rates.take(NOW + seconds, after, ended)
    took = NOW + seconds - NOW
    assert pace.tokens_per_s == pytest.approx(tokens / took, abs=1e-5)
    new = sum(not was_there for _, _, was_there, _ in streams)
    assert pace.streams_per_s == pytest.approx(new / took, abs=1e-5)
